//! A table of the catalog as DataFusion knows it: by definition when a query is planned, with rows when it is run.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use catalog::Table;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, Result};
use datafusion::datasource::source::DataSourceExec;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::split_conjunction;
use datafusion::physical_plan::ExecutionPlan;
use types::SqlError;

use super::Run;
use super::like::HasParts;
use super::source::ScanSource;
use super::statistics::TableEstimates;
use crate::errors;
use crate::resolve::sql_schema;
use crate::source::TableSource;

/// See the module's head. Its columns are the table's SQL columns, and behind them the key if DML wants it. DataFusion is not told of
/// the primary key: see `dependencies`; its projections take other columns for it, too (`projected_constraints`).
pub(crate) struct TableProvider {
    definition: Arc<Table>,
    schema: SchemaRef,
    with_key: bool,
    bound: Option<Bound>,
}

struct Bound {
    table: Arc<dyn TableSource>,
    estimates: Arc<TableEstimates>,
    run: Run,
}

impl TableProvider {
    pub(crate) fn new(definition: Arc<Table>, with_key: bool) -> TableProvider {
        TableProvider { schema: sql_schema(&definition, with_key), definition, with_key, bound: None }
    }

    pub(crate) fn definition(&self) -> &Arc<Table> {
        &self.definition
    }

    /// Whether it shows its rows' keys: the table that DML changes.
    pub(crate) fn has_key(&self) -> bool {
        self.with_key
    }

    /// The same table with its rows.
    pub(crate) fn bound(&self, table: Arc<dyn TableSource>, run: Run) -> TableProvider {
        let estimates = Arc::new(TableEstimates::new(&self.definition, table.as_ref()));
        TableProvider {
            definition: Arc::clone(&self.definition),
            schema: Arc::clone(&self.schema),
            with_key: self.with_key,
            bound: Some(Bound { table, estimates, run }),
        }
    }

    /// What is known of the rows, once there are any.
    pub(crate) fn estimates(&self) -> Option<&Arc<TableEstimates>> {
        self.bound.as_ref().map(|bound| &bound.estimates)
    }
}

impl fmt::Debug for TableProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableProvider").field("table", &self.definition.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl datafusion::catalog::TableProvider for TableProvider {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// A scan applies every filter it can compute by itself, exactly.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let own = |filter: &&Expr| {
            let needs_more = filter.exists(|e| {
                Ok(matches!(e, Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::OuterReferenceColumn(..)))
            })?;
            Ok(if needs_more { TableProviderFilterPushDown::Unsupported } else { TableProviderFilterPushDown::Exact })
        };
        filters.iter().map(own).collect()
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(bound) = &self.bound else {
            return Err(errors::raise(SqlError::bug(format!("table \"{}\" is scanned without its rows", self.definition.name))));
        };
        let schema = DFSchema::try_from(Arc::clone(&self.schema))?;
        let physical =
            filters.iter().map(|filter| session.create_physical_expr(filter.clone(), &schema)).collect::<Result<Vec<_>>>()?;
        // Each condition by itself: the cheap ones go first and spare the others.
        let physical = physical.iter().flat_map(split_conjunction).cloned();
        let physical = physical.map(|condition| HasParts::within(condition, &self.schema)).collect::<Result<Vec<_>>>()?;
        let projection = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let threads = session.config().target_partitions();
        let source = ScanSource::new(
            Arc::clone(&self.definition),
            Arc::clone(&bound.table),
            Arc::clone(&self.schema),
            self.with_key,
            projection,
            physical,
            bound.estimates.selectivity(filters),
            Arc::clone(&bound.estimates),
            limit,
            threads,
            bound.run.clone(),
        )?;
        Ok(Arc::new(DataSourceExec::new(Arc::new(source))))
    }
}

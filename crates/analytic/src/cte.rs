//! Queries of WITH that are computed once, whoever reads them (see `prepare::cte`): planned once, run by whoever reads first.
//!
//! ```text
//! plan                            "1" = plan of Q                                     plan that scans "1" twice
//! execute   bind, optimize  -->   physical plan, run once  -->  batches  <-- read by --  CteExec, CteExec
//! ```
//!
//! 1. To the planner it is a table. Its rows are as many as its plan is estimated to give.
//! 2. It runs as a task of its own, from the first read on, to its end: a reader that stops early keeps no other waiting. It is
//!    dropped, running or not, with the last who can read it.
//! 3. Its batches are in the memory that queries have together, at most a quarter of it; the rest is in a file.
//! 4. Each execution computes it again; all subqueries of one execution, run for whatever key, read the same.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, OnceLock};

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchemaRef, Result};
use datafusion::datasource::source_as_provider;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Expr, LogicalPlan, TableSource, TableType};
use datafusion::physical_plan::ExecutionPlan;
use futures::future::Shared;
use types::SqlError;

use crate::errors;
use crate::join_order::Estimate;

mod run;

use run::{CteExec, Held};

/// A query of WITH that is computed once, and its plan, before an execution.
#[derive(Clone)]
pub(crate) struct Cte {
    /// The relation it is scanned as.
    pub(crate) relation: String,
    /// What WITH called it.
    pub(crate) name: String,
    pub(crate) plan: LogicalPlan,
}

/// Such a query in one execution: its physical plan, and from the first read on its rows.
pub(crate) struct CteResult {
    relation: String,
    pub(crate) name: String,
    schema: DFSchemaRef,
    estimate: Estimate,
    pub(crate) physical: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    held: OnceLock<Shared<Held>>,
}

impl CteResult {
    /// `logical` and `physical`: its plans over this execution's tables.
    pub(crate) fn new(
        relation: String,
        name: String,
        logical: &LogicalPlan,
        physical: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
    ) -> CteResult {
        CteResult {
            relation,
            name,
            schema: Arc::clone(logical.schema()),
            estimate: Estimate::of(logical),
            physical,
            context,
            held: OnceLock::new(),
        }
    }

    pub(crate) fn is(&self, relation: &str) -> bool {
        self.relation == relation
    }
}

/// Those of `ctes` that `plan` reads, or that one of these reads; in the order they have.
pub(crate) fn needed(ctes: Vec<Arc<Cte>>, plan: &LogicalPlan) -> Result<Vec<Cte>> {
    let mut scanned = HashSet::new();
    let mut needed = Vec::new();
    add_scanned(plan, &mut scanned)?;
    for cte in ctes.into_iter().rev() {
        if scanned.contains(&cte.relation) {
            add_scanned(&cte.plan, &mut scanned)?;
            needed.push(Arc::unwrap_or_clone(cte));
        }
    }
    needed.reverse();
    Ok(needed)
}

fn add_scanned(plan: &LogicalPlan, scanned: &mut HashSet<String>) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(table) = table_of(&scan.source)
        {
            scanned.insert(table.relation.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map(drop)
}

/// As a table; with its result when it is run.
#[derive(Clone)]
pub(crate) struct CteTable {
    pub(crate) relation: String,
    schema: SchemaRef,
    result: Option<Arc<CteResult>>,
}

impl CteTable {
    /// `columns`: the names WITH gives the first ones.
    pub(crate) fn new(relation: &str, plan: &LogicalPlan, columns: &[String]) -> CteTable {
        let fields = plan.schema().fields().iter().enumerate().map(|(at, field)| match columns.get(at) {
            Some(name) => Arc::new(field.as_ref().clone().with_name(name)),
            None => Arc::clone(field),
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        CteTable { relation: relation.to_owned(), schema, result: None }
    }

    pub(crate) fn bound(&self, result: &Arc<CteResult>) -> CteTable {
        CteTable { result: Some(Arc::clone(result)), ..self.clone() }
    }

    /// What is known of its rows, by the columns of its plan, and these columns. `None` until it is bound.
    pub(crate) fn estimate(&self) -> Option<(&Estimate, &DFSchemaRef)> {
        self.result.as_ref().map(|result| (&result.estimate, &result.schema))
    }
}

/// The table behind a scan, if it is such a query.
pub(crate) fn table_of(source: &Arc<dyn TableSource>) -> Option<CteTable> {
    let provider = source_as_provider(source).ok()?;
    provider.downcast_ref::<CteTable>().cloned()
}

impl fmt::Debug for CteTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CteTable").field("relation", &self.relation).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for CteTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(result) = &self.result else {
            return Err(errors::raise(SqlError::bug("a query of WITH is read before it is planned")));
        };
        let threads = session.config().target_partitions();
        Ok(Arc::new(CteExec::new(Arc::clone(result), &self.schema, projection.cloned(), threads)?))
    }
}

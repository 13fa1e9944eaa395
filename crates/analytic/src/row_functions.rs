//! Expressions over the columns of one table, computed without a query: for CHECK, and for what indexes are of.
//!
//! ```text
//! lower(name), a > 0    --planned as SELECT lower(name), a > 0 FROM t-->    its projections, run over any batch of the table's rows
//! ```
//!
//! The same planning, functions and errors as a query's. What needs more than the row itself is refused.
//!
//! Not here: the row driver, which most expressions of this kind go to (`expr::row`).

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{Schema, SchemaRef};
use catalog::Table;
use datafusion::common::{DFSchemaRef, Result};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion::sql::sqlparser::ast;
use types::arrow_form::{self, ColumnBuilder};
use types::{Datum, RowRef, SqlError, SqlType};

use crate::analytic::Analytic;
use crate::context::PlanContext;
use crate::dml::{self, DmlSource};
use crate::errors;
use crate::plan;

/// See the module's head.
#[derive(Debug)]
pub struct RowFunctions {
    /// From the table's columns to the results; each list reads the results of the one before it.
    stages: Vec<Stage>,
    types: Vec<SqlType>,
    /// The table's SQL columns, as batches of its rows have them.
    input: SchemaRef,
    input_types: Vec<SqlType>,
    /// The columns that are read.
    reads: BTreeSet<usize>,
}

#[derive(Debug)]
struct Stage {
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    schema: SchemaRef,
}

impl Analytic {
    /// Compiles expressions over the columns of `table`, which `context.catalog` has. Errors: as [`Analytic::plan`]; 0A000 for what
    /// a row alone does not tell.
    pub fn row_functions(
        self: &Arc<Self>,
        context: &PlanContext,
        table: &Table,
        exprs: &[ast::Expr],
    ) -> std::result::Result<RowFunctions, SqlError> {
        let source = DmlSource {
            target: table.id,
            alias: ast::Ident::with_quote('"', &table.name),
            from: vec![],
            selection: None,
            on: None,
            values: exprs.to_vec(),
        };
        let planned = plan::plan(self, context, &dml::query(&source)?, &[table.id], &[])?;
        // The key comes first.
        let types = planned.columns().iter().skip(1).map(|c| c.data_type).collect();
        let fields = table.columns.iter().map(|c| arrow_form::field(&c.name, c.data_type, true));
        let mut functions = RowFunctions {
            stages: vec![],
            types,
            input: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            input_types: table.columns.iter().map(|c| c.data_type).collect(),
            reads: BTreeSet::new(),
        };
        functions.add(&planned.plan).map_err(|error| errors::sql_error(&error, &context.text))?;
        Ok(functions)
    }
}

impl RowFunctions {
    /// The types of the results.
    pub fn types(&self) -> &[SqlType] {
        &self.types
    }

    /// The SQL columns (from 0) that are read.
    pub fn reads(&self) -> &BTreeSet<usize> {
        &self.reads
    }

    /// Adds the stages of a plan that is projections over a scan.
    fn add(&mut self, node: &LogicalPlan) -> Result<()> {
        match node {
            LogicalPlan::Projection(projection) => {
                self.add(&projection.input)?;
                let first = self.stages.is_empty();
                let mut exprs = Vec::with_capacity(projection.expr.len());
                for expr in &projection.expr {
                    let physical = physical(expr, projection.input.schema())?;
                    if first {
                        let columns = self.input.fields().len();
                        self.reads.extend(collect_columns(&physical).iter().map(|c| c.index()).filter(|c| *c < columns));
                    }
                    exprs.push(physical);
                }
                self.stages.push(Stage { exprs, schema: Arc::new(projection.schema.as_arrow().clone()) });
                Ok(())
            }
            LogicalPlan::SubqueryAlias(alias) => self.add(&alias.input),
            LogicalPlan::TableScan(_) => Ok(()),
            _ => Err(errors::raise(SqlError::unsupported("such an expression needs more than its row"))),
        }
    }

    /// The results for each row of a batch of the table's SQL columns.
    pub fn evaluate(&self, batch: &RecordBatch) -> std::result::Result<Vec<ArrayRef>, SqlError> {
        self.run(batch.columns(), batch.num_rows()).map_err(|error| errors::sql_error(&error, ""))
    }

    /// The results for one row, whose SQL columns begin at its stored column `hidden`.
    pub fn evaluate_row(&self, row: RowRef<'_>, hidden: usize) -> std::result::Result<Vec<Datum>, SqlError> {
        let columns = self.input_types.iter().enumerate().map(|(at, t)| {
            if !self.reads.contains(&at) {
                return new_null_array(&arrow_form::data_type(*t), 1);
            }
            let mut builder = ColumnBuilder::new(*t, 1);
            builder.append(row.get(hidden + at));
            builder.finish()
        });
        let results = self.run(&columns.collect::<Vec<_>>(), 1).map_err(|error| errors::sql_error(&error, ""))?;
        Ok(results.iter().zip(&self.types).map(|(array, t)| arrow_form::datum_at(array, 0, *t)).collect())
    }

    fn run(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<ArrayRef>> {
        // The scan has the key after the columns; it is read by nobody but the first result, which is left out.
        let key = Arc::new(arrow::datatypes::Field::new(dml::KEY_COLUMN, arrow::datatypes::DataType::BinaryView, true));
        let fields = self.input.fields().iter().cloned().chain([key]).collect::<Vec<_>>();
        let no_key = new_null_array(&arrow::datatypes::DataType::BinaryView, rows);
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let columns = columns.iter().cloned().chain([no_key]).collect();
        let mut batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?;
        for stage in &self.stages {
            let results = stage.exprs.iter().map(|expr| expr.evaluate(&batch)?.into_array(rows));
            let nullable = stage.schema.fields().iter().map(|f| Arc::new(f.as_ref().clone().with_nullable(true)));
            let schema = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
            batch = RecordBatch::try_new_with_options(schema, results.collect::<Result<_>>()?, &options)?;
        }
        Ok(batch.columns().iter().skip(1).cloned().collect())
    }
}

fn physical(expr: &Expr, schema: &DFSchemaRef) -> Result<Arc<dyn PhysicalExpr>> {
    let simplifier = ExprSimplifier::new(SimplifyContext::builder().with_schema(Arc::clone(schema)).build());
    create_physical_expr(&simplifier.simplify(expr.clone())?, schema, &ExecutionProps::new(), &PhysicalPlanningContext::default())
}

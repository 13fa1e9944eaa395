//! A scalar subquery may have no row, and is NULL then, whatever its column is.
//!
//! ```text
//! (SELECT id FROM b WHERE x = 7) IS NULL      -->      (SELECT maybe_null(id) FROM b WHERE x = 7) IS NULL
//! ```
//!
//! To DataFusion such an expression is NULL only if the subquery's column can be: with `id` a key, its rules make `false` of the
//! condition above.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DataFusionError, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, Projection, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Subquery, Volatility,
};
use datafusion::optimizer::AnalyzerRule;

/// Has to come before the rule that computes the schemas of the nodes above anew.
#[derive(Debug)]
pub(crate) struct NoRow;

impl AnalyzerRule for NoRow {
    fn name(&self) -> &str {
        "no_row"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let node = |node: LogicalPlan| {
            let names = NamePreserver::new(&node);
            node.map_expressions(|expr| {
                let name = names.save(&expr);
                Ok(expr.transform_up(expression)?.update_data(|expr| name.restore(expr)))
            })
        };
        Ok(plan.transform_up_with_subqueries(node)?.data)
    }
}

fn expression(expr: Expr) -> Result<Transformed<Expr>> {
    match expr {
        Expr::ScalarSubquery(subquery) if needs_null(&subquery.subquery) => {
            Ok(Transformed::yes(Expr::ScalarSubquery(with_null(subquery)?)))
        }
        other => Ok(Transformed::no(other)),
    }
}

fn needs_null(plan: &LogicalPlan) -> bool {
    let is_known = matches!(plan.schema().fields().first(), Some(field) if !field.is_nullable()) || is_computed(plan);
    is_known && !always_has_a_row(plan)
}

/// Whether its column is no column of a relation: then other rules may find that it is never NULL.
fn is_computed(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => !matches!(projection.expr.as_slice(), [Expr::Column(_)]),
        LogicalPlan::SubqueryAlias(alias) => is_computed(&alias.input),
        LogicalPlan::Sort(sort) => is_computed(&sort.input),
        LogicalPlan::Limit(limit) => is_computed(&limit.input),
        LogicalPlan::Distinct(distinct) => is_computed(distinct.input()),
        _ => false,
    }
}

fn always_has_a_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => always_has_a_row(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => always_has_a_row(&alias.input),
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::EmptyRelation(empty) => empty.produce_one_row,
        _ => false,
    }
}

fn with_null(subquery: Subquery) -> Result<Subquery> {
    let column = Column::from(subquery.subquery.schema().qualified_field(0));
    // Of a constant its value would be computed, and be known not to be NULL. What is correlated becomes a join, which nobody asks.
    let volatility = if subquery.outer_ref_columns.is_empty() { Volatility::Volatile } else { Volatility::Immutable };
    let function = ScalarUDF::from(MaybeNull { signature: Signature::any(1, volatility) });
    let name = column.name.clone();
    let value = function.call(vec![Expr::Column(column)]).alias(name);
    let plan = Projection::try_new(vec![value], Arc::clone(&subquery.subquery))?;
    Ok(Subquery { subquery: Arc::new(LogicalPlan::Projection(plan)), ..subquery })
}

/// Its argument, of which nobody may conclude that it is not NULL.
#[derive(Debug, PartialEq, Eq, Hash)]
struct MaybeNull {
    signature: Signature,
}

impl ScalarUDFImpl for MaybeNull {
    fn name(&self) -> &str {
        "maybe_null"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        arg_types.first().cloned().ok_or_else(no_argument)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let field = args.arg_fields.first().ok_or_else(no_argument)?;
        Ok(Arc::new(field.as_ref().clone().with_nullable(true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        args.args.into_iter().next().ok_or_else(no_argument)
    }
}

fn no_argument() -> DataFusionError {
    DataFusionError::Internal("maybe_null is given one argument".into())
}

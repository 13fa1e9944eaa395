//! UNION, INTERSECT and EXCEPT: both sides in the types PostgreSQL gives their columns.
//!
//! ```text
//! SELECT 1 UNION SELECT 2.5                        numeric, both
//! SELECT c4 UNION SELECT c8, of char(4), char(8)   char of any length
//! SELECT 'a' UNION SELECT NULL                     text; so a third side of another type is refused
//! SELECT 1 EXCEPT ALL SELECT 1                     the nth row of a kind on the left goes with the nth on the right
//! ```
//!
//! Two sides at a time, from the left, as they are written. ALL is counted: DataFusion keeps or drops every row that has a match.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, NullEquality, Result};
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::{Distinct, Expr, ExprFunctionExt, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Union};
use types::{SqlType, arrow_form};

use super::planner::{own_digits, to_type};
use super::read::is_open;
use super::{cast_udf, mixed, raise};
use crate::function::Arg;
use crate::rules;

/// Casts what the sides of a set operation give. Errors: 42804, types that have none in common.
pub(super) fn unite(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Union(Union { inputs, schema }) => {
            let wanted = common_types("UNION", &inputs)?;
            let inputs = inputs.into_iter().map(|input| cast_columns(input, &wanted)).collect::<Result<Vec<_>>>()?;
            renewed(LogicalPlan::Union(Union { inputs, schema }))
        }
        LogicalPlan::Join(join) if join.null_equality == NullEquality::NullEqualsNull => {
            let name = match join.join_type {
                JoinType::LeftSemi => "INTERSECT",
                JoinType::LeftAnti => "EXCEPT",
                _ => return Ok(Transformed::no(LogicalPlan::Join(join))),
            };
            let wanted = common_types(name, &[Arc::clone(&join.left), Arc::clone(&join.right)])?;
            // A left side that says DISTINCT has one row of each kind: ALL means nothing to it.
            let all = !matches!(join.left.as_ref(), LogicalPlan::Distinct(Distinct::All(_)));
            if !all && wanted.iter().all(Option::is_none) && !has_forms(&join.left) {
                return Ok(Transformed::no(LogicalPlan::Join(join)));
            }
            let Join { left, right, filter, join_type, join_constraint, null_equality, null_aware, .. } = join;
            let left = match Arc::unwrap_or_clone(left) {
                LogicalPlan::Distinct(Distinct::All(input)) => {
                    Arc::new(LogicalPlan::Distinct(Distinct::All(cast_columns(input, &wanted)?)))
                }
                left => cast_columns(Arc::new(left), &wanted)?,
            };
            let right = renamed(cast_columns(right, &wanted)?)?;
            let shown = columns(&left);
            let (left, right) = if all { (numbered(left)?, numbered(right)?) } else { (left, right) };
            let on = columns(&left).into_iter().zip(columns(&right)).collect();
            let join = Join::try_new(left, right, on, filter, join_type, join_constraint, null_equality, null_aware)?;
            let rows = LogicalPlan::Join(join);
            Ok(Transformed::yes(if all { LogicalPlanBuilder::from(rows).project(shown)?.build()? } else { rows }))
        }
        plan => Ok(Transformed::no(plan)),
    }
}

/// Whether columns are compared by something computed from them.
fn has_forms(plan: &LogicalPlan) -> bool {
    let mut types = plan.schema().fields().iter().filter_map(|field| arrow_form::sql_type_of(field));
    types.any(|t| matches!(t, SqlType::Interval | SqlType::Char(_)))
}

fn columns(plan: &LogicalPlan) -> Vec<Expr> {
    plan.schema().columns().into_iter().map(Expr::Column).collect()
}

/// Each row with its number among those that are equal to it, as the last column.
fn numbered(plan: Arc<LogicalPlan>) -> Result<Arc<LogicalPlan>> {
    let mut shown = columns(&plan);
    let number = row_number().partition_by(shown.clone()).build()?;
    shown.push(Expr::Column(Column::from_name(number.schema_name().to_string())).alias("\u{1}nth"));
    LogicalPlanBuilder::from(Arc::unwrap_or_clone(plan)).window([number])?.project(shown)?.build().map(Arc::new)
}

/// The right side under names of its own: what is computed from the left's columns would find these.
fn renamed(plan: Arc<LogicalPlan>) -> Result<Arc<LogicalPlan>> {
    let columns = plan.schema().columns().into_iter().enumerate();
    let columns = columns.map(|(at, column)| Expr::Column(column).alias(format!("\u{1}right{at}"))).collect::<Vec<_>>();
    LogicalPlanBuilder::from(Arc::unwrap_or_clone(plan)).project(columns)?.build().map(Arc::new)
}

/// A union whose schema is its inputs': those may have changed below it.
pub(super) fn renewed(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Union(Union { inputs, schema }) = plan else { return Ok(Transformed::no(plan)) };
    let union = Union::try_new_with_loose_types(inputs)?;
    let changed = union.schema != schema;
    Ok(Transformed::new_transformed(LogicalPlan::Union(union), changed))
}

/// The type of each column; `None` for one that is of it on all sides, or of none of SQL's, which is DataFusion's business.
fn common_types(name: &str, inputs: &[Arc<LogicalPlan>]) -> Result<Vec<Option<SqlType>>> {
    let width = inputs.first().map_or(0, |input| input.schema().fields().len());
    let mut wanted = Vec::with_capacity(width);
    for at in 0..width {
        let types = inputs.iter().map(|input| {
            let field = input.schema().field(at);
            if is_open(field.data_type()) { Some(None) } else { arrow_form::sql_type_of(field).map(Some) }
        });
        let Some(mut types) = types.collect::<Option<Vec<Arg>>>() else {
            wanted.push(None);
            continue;
        };
        if types.iter().any(|t| matches!(t, Some(SqlType::Numeric { .. }))) {
            // A constant in quotes keeps its digits.
            for (t, input) in types.iter_mut().zip(inputs).filter(|(t, _)| t.is_none()) {
                *t = constant_at(input, at).and_then(|constant| own_digits(constant.clone(), None).1);
            }
        }
        let common = rules::common(types.iter().copied()).ok_or_else(|| raise(mixed(name, &types)))?;
        wanted.push(types.iter().any(|t| *t != Some(common)).then_some(common));
    }
    Ok(wanted)
}

/// The constant that a column of a plan is.
fn constant_at(plan: &LogicalPlan, at: usize) -> Option<&Expr> {
    let LogicalPlan::Projection(projection) = plan else { return None };
    let mut expr = projection.expr.get(at)?;
    while let Expr::Alias(alias) = expr {
        expr = &alias.expr;
    }
    matches!(expr, Expr::Literal(..)).then_some(expr)
}

fn cast_columns(input: Arc<LogicalPlan>, wanted: &[Option<SqlType>]) -> Result<Arc<LogicalPlan>> {
    if wanted.iter().all(Option::is_none) {
        return Ok(input);
    }
    let schema = Arc::clone(input.schema());
    let exprs = wanted.iter().enumerate().map(|(at, wanted)| {
        let field = schema.field(at);
        let (relation, name) = (schema.qualified_field(at).0.cloned(), field.name());
        let column = Expr::Column(Column::from(schema.qualified_field(at)));
        let Some(t) = wanted else { return column };
        let from = if is_open(field.data_type()) { None } else { arrow_form::sql_type_of(field) };
        let cast = match (from, t) {
            // What is text already gets a field that says so: DataFusion wants the same of all branches.
            (Some(SqlType::Varchar(_)), SqlType::Text) => cast_udf::cast_expr(column, *t),
            _ => to_type(column, from, *t),
        };
        // What is around knows it by its whole name.
        cast.alias_qualified(relation, name)
    });
    LogicalPlanBuilder::from(Arc::unwrap_or_clone(input)).project(exprs)?.build().map(Arc::new)
}

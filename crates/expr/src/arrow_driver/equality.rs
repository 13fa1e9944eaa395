//! Types with several forms of one value, which Arrow takes for several values.
//!
//! ```text
//! interval                   '1 month' = '30 days': ordered by its length, a month is 30 days, a day 24 hours: interval_order(v)
//! char of several lengths    'ab  ' = 'ab':         blanks at the end do not count:                            without_blanks(v)
//! floats                     0 = -0:                where an order goes on behind them, or has peers:          float_order(v)
//!
//! ORDER BY v                        ORDER BY order(v)
//! PARTITION BY v, ON a.v = b.v      likewise
//! GROUP BY v                        GROUP BY order(v), with the first v of each group
//! SELECT DISTINCT v                 likewise
//! SELECT DISTINCT ON (v)            SELECT DISTINCT ON (order(v))
//! count(DISTINCT v)                 count(DISTINCT order(v));    any aggregate of distinct floats has one zero
//! ```
//!
//! Comparisons are written so by the planner; `min` and `max` have an order of their own (`aggregates::ordered`).
//! Not here: grouping sets of them, which keep different forms apart.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::functions_aggregate::first_last::first_value_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, WindowFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Aggregate, Distinct, Expr, ExprSchemable, LogicalPlan, Projection};
use types::{SqlType, arrow_form};

use super::cast_udf::cast_expr;
use super::planner::{arg, float_order, interval_order, side, without_blanks};
use crate::rules::{self, Comparison};

/// See the module's head. Before DataFusion's type coercion, which has no frames of a window ordered by intervals.
pub(super) fn settle(plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(plan.transform_up_with_subqueries(node)?.data)
}

/// Whether a value of the type has several forms.
fn has_forms(t: SqlType) -> bool {
    matches!(t, SqlType::Interval | SqlType::Char(0))
}

/// What the expression is ordered and equal by, if it is not the expression itself.
fn canonical(expr: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    let Ok((_, field)) = expr.to_field(schema) else { return Ok(None) };
    Ok(match arrow_form::sql_type_of(&field) {
        Some(SqlType::Interval) => Some(interval_order(expr.clone())?),
        Some(SqlType::Char(0)) => Some(without_blanks(expr.clone())),
        _ => None,
    })
}

fn make_canonical(expr: &mut Expr, schema: &DFSchema) -> Result<()> {
    if let Some(by) = canonical(expr, schema)? {
        *expr = by;
    }
    Ok(())
}

/// The keys of an order. A float that is the last can stay as it is, for the scan to find its column.
fn make_order_canonical<'a>(keys: impl IntoIterator<Item = &'a mut Expr>, schema: &DFSchema) -> Result<()> {
    let mut keys = keys.into_iter().peekable();
    while let Some(key) = keys.next() {
        make_canonical(key, schema)?;
        if keys.peek().is_some() {
            make_zeros_one(key, schema)?;
        }
    }
    Ok(())
}

fn make_zeros_one(key: &mut Expr, schema: &DFSchema) -> Result<()> {
    if let Ok((_, field)) = key.to_field(schema)
        && field.data_type().is_floating()
    {
        *key = float_order(std::mem::take(key))?;
    }
    Ok(())
}

/// Whether what is computed from these columns may be a value of several forms. `char(n)` may meet one of another length.
fn may_have_forms(schema: &DFSchema) -> bool {
    let mut types = schema.fields().iter().filter_map(|field| arrow_form::sql_type_of(field));
    types.any(|t| has_forms(t) || matches!(t, SqlType::Char(_) | SqlType::Float4 | SqlType::Float8))
}

fn is_grouped_by_forms(aggregate: &Aggregate, schema: &DFSchema) -> Result<bool> {
    for expr in &aggregate.group_expr {
        if canonical(expr, schema)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let plan = match plan {
        LogicalPlan::Distinct(Distinct::All(input))
            if input.schema().fields().iter().any(|field| arrow_form::sql_type_of(field).is_some_and(has_forms)) =>
        {
            let columns = input.schema().columns().into_iter().map(Expr::Column).collect();
            LogicalPlan::Aggregate(Aggregate::try_new(input, columns, vec![])?)
        }
        plan => plan,
    };
    let schema = merge_schema(&plan.inputs());
    let is_grouped = match &plan {
        LogicalPlan::Aggregate(aggregate) => is_grouped_by_forms(aggregate, &schema)?,
        _ => false,
    };
    if !is_grouped && !may_have_forms(&schema) {
        return Ok(Transformed::no(plan));
    }
    let names = NamePreserver::new(&plan);
    let done = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        Ok(expr.transform_up(|expr| ordered(expr, &schema))?.update_data(|expr| name.restore(expr)))
    })?;
    Ok(match done.data {
        LogicalPlan::Aggregate(aggregate) if is_grouped => Transformed::yes(grouped(aggregate, &schema)?),
        plan => Transformed::new_transformed(keys(plan, &schema)?, true),
    })
}

/// What the node itself compares.
fn keys(plan: LogicalPlan, schema: &DFSchema) -> Result<LogicalPlan> {
    Ok(match plan {
        LogicalPlan::Sort(mut sort) => {
            make_order_canonical(sort.expr.iter_mut().map(|key| &mut key.expr), schema)?;
            LogicalPlan::Sort(sort)
        }
        LogicalPlan::Distinct(Distinct::On(mut on)) => {
            for key in on.on_expr.iter_mut().chain(on.sort_expr.iter_mut().flatten().map(|key| &mut key.expr)) {
                make_canonical(key, schema)?;
                make_zeros_one(key, schema)?;
            }
            LogicalPlan::Distinct(Distinct::On(on))
        }
        LogicalPlan::Join(mut join) => {
            for (left, right) in &mut join.on {
                let (a, b) = (arg(left, join.left.schema()), arg(right, join.right.schema()));
                match (a, b) {
                    (Ok(Some(SqlType::Interval)), Ok(Some(SqlType::Interval))) => {
                        *left = interval_order(std::mem::take(left))?;
                        *right = interval_order(std::mem::take(right))?;
                    }
                    (Ok(a), Ok(b)) => {
                        if let Some(how @ (Comparison::Blanks | Comparison::CharAsText)) = rules::comparison(a, b) {
                            *left = side(std::mem::take(left), a, how);
                            *right = side(std::mem::take(right), b, how);
                        }
                    }
                    _ => {}
                }
            }
            LogicalPlan::Join(join)
        }
        plan => plan,
    })
}

/// What an expression compares without saying so.
fn ordered(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    Ok(match expr {
        Expr::WindowFunction(mut window) => {
            let WindowFunction { params, .. } = window.as_mut();
            for key in params.partition_by.iter_mut().chain(params.order_by.iter_mut().map(|key| &mut key.expr)) {
                make_canonical(key, schema)?;
                make_zeros_one(key, schema)?;
            }
            Transformed::yes(Expr::WindowFunction(window))
        }
        Expr::AggregateFunction(mut function) => {
            let AggregateFunction { func, params } = &mut function;
            make_order_canonical(params.order_by.iter_mut().map(|key| &mut key.expr), schema)?;
            if params.distinct {
                // What it is ordered by has to stay one of the arguments.
                for arg in params.args.iter_mut().chain(params.order_by.iter_mut().map(|key| &mut key.expr)) {
                    make_zeros_one(arg, schema)?;
                }
            }
            if params.distinct
                && func.name() == "count"
                && let [arg] = params.args.as_mut_slice()
            {
                make_canonical(arg, schema)?;
            }
            Transformed::yes(Expr::AggregateFunction(function))
        }
        other => Transformed::no(other),
    })
}

/// Groups by what values are equal by, and gives the first value of each group.
fn grouped(aggregate: Aggregate, schema: &DFSchema) -> Result<LogicalPlan> {
    let Aggregate { input, group_expr, aggr_expr, schema: shown, .. } = aggregate;
    if group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_))) {
        return Ok(LogicalPlan::Aggregate(Aggregate::try_new(input, group_expr, aggr_expr)?));
    }
    let mut keys = Vec::new();
    let mut firsts = Vec::new();
    let mut outputs = Vec::new();
    // What is named twice is one field of the node.
    let mut seen = HashSet::new();
    for (at, expr) in group_expr.into_iter().filter(|expr| seen.insert(expr.clone())).enumerate() {
        let (table, field) = shown.qualified_field(at);
        let output = |from: Expr| Expr::Alias(datafusion::logical_expr::expr::Alias::new(from, table.cloned(), field.name()));
        let value = expr.clone().unalias();
        if let Some(key) = canonical(&value, schema)? {
            let is_char = arrow_form::sql_type_of(field) == Some(SqlType::Char(0));
            keys.push(key.alias(format!("\u{1}key{at}")));
            let name = format!("\u{1}first{at}");
            firsts.push(first_value_udaf().call(vec![value]).alias(&name));
            let first = Expr::Column(Column::new_unqualified(name));
            // The first of texts is text to DataFusion.
            outputs.push(output(if is_char { cast_expr(first, SqlType::Char(0)) } else { first }));
        } else {
            keys.push(expr);
            outputs.push(Expr::Column(Column::from((table, field))));
        }
    }
    let groups = keys.len();
    outputs.extend((groups..shown.fields().len()).map(|at| Expr::Column(Column::from(shown.qualified_field(at)))));
    let aggregates = aggr_expr.into_iter().chain(firsts).collect();
    let grouped = LogicalPlan::Aggregate(Aggregate::try_new(input, keys, aggregates)?);
    Ok(LogicalPlan::Projection(Projection::try_new(outputs, Arc::new(grouped))?))
}

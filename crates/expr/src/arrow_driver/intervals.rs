//! Intervals are ordered, and equal, by their length: a month is 30 days, a day 24 hours. Arrow compares their parts.
//!
//! ```text
//! ORDER BY iv                        ORDER BY interval_order(iv)
//! PARTITION BY iv, ON a.iv = b.iv    likewise
//! GROUP BY iv                        GROUP BY interval_order(iv), with the first iv of each group
//! SELECT DISTINCT iv                 likewise
//! SELECT DISTINCT ON (iv)            SELECT DISTINCT ON (interval_order(iv))
//! count(DISTINCT iv)                 count(DISTINCT interval_order(iv))
//! ```
//!
//! Comparisons are written so by the planner; `min` and `max` have an order of their own (`aggregates::ordered`).
//! Not here: grouping sets of intervals, which keep intervals of different parts apart.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::functions_aggregate::first_last::first_value_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, Sort, WindowFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Aggregate, Distinct, Expr, ExprSchemable, LogicalPlan, Projection};
use types::{SqlType, arrow_form};

use super::planner::interval_order;

/// See the module's head. Before DataFusion's type coercion, which has no frames of a window ordered by intervals.
pub(super) fn settle(plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(plan.transform_up_with_subqueries(node)?.data)
}

fn is_interval(expr: &Expr, schema: &DFSchema) -> bool {
    expr.to_field(schema).is_ok_and(|(_, field)| arrow_form::sql_type_of(&field) == Some(SqlType::Interval))
}

fn has_interval(schema: &DFSchema) -> bool {
    schema.fields().iter().any(|field| arrow_form::sql_type_of(field) == Some(SqlType::Interval))
}

fn node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let plan = match plan {
        LogicalPlan::Distinct(Distinct::All(input)) if has_interval(input.schema()) => {
            let columns = input.schema().columns().into_iter().map(Expr::Column).collect();
            LogicalPlan::Aggregate(Aggregate::try_new(input, columns, vec![])?)
        }
        plan => plan,
    };
    let schema = merge_schema(&plan.inputs());
    if !has_interval(&schema)
        && !matches!(&plan, LogicalPlan::Aggregate(a) if a.group_expr.iter().any(|e| is_interval(e, &schema)))
    {
        return Ok(Transformed::no(plan));
    }
    let names = NamePreserver::new(&plan);
    let done = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        Ok(expr.transform_up(|expr| ordered(expr, &schema))?.update_data(|expr| name.restore(expr)))
    })?;
    Ok(match done.data {
        LogicalPlan::Sort(mut sort) => {
            for key in &mut sort.expr {
                by_length(key, &schema)?;
            }
            Transformed::yes(LogicalPlan::Sort(sort))
        }
        LogicalPlan::Distinct(Distinct::On(mut on)) => {
            for key in &mut on.on_expr {
                if is_interval(key, &schema) {
                    *key = interval_order(std::mem::take(key))?;
                }
            }
            for key in on.sort_expr.iter_mut().flatten() {
                by_length(key, &schema)?;
            }
            Transformed::yes(LogicalPlan::Distinct(Distinct::On(on)))
        }
        LogicalPlan::Join(mut join) => {
            let (left, right) = (Arc::clone(join.left.schema()), Arc::clone(join.right.schema()));
            for (a, b) in &mut join.on {
                if is_interval(a, &left) && is_interval(b, &right) {
                    *a = interval_order(std::mem::take(a))?;
                    *b = interval_order(std::mem::take(b))?;
                }
            }
            Transformed::yes(LogicalPlan::Join(join))
        }
        LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.iter().any(|e| is_interval(e, &schema)) => {
            Transformed::yes(grouped(aggregate, &schema)?)
        }
        plan => Transformed::new_transformed(plan, done.transformed),
    })
}

/// What an expression compares without saying so.
fn ordered(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    Ok(match expr {
        Expr::WindowFunction(mut window) => {
            let WindowFunction { params, .. } = window.as_mut();
            for key in &mut params.partition_by {
                if is_interval(key, schema) {
                    *key = interval_order(std::mem::take(key))?;
                }
            }
            for key in &mut params.order_by {
                by_length(key, schema)?;
            }
            Transformed::yes(Expr::WindowFunction(window))
        }
        Expr::AggregateFunction(mut function) => {
            let AggregateFunction { func, params } = &mut function;
            for key in &mut params.order_by {
                by_length(key, schema)?;
            }
            if params.distinct
                && func.name() == "count"
                && let [arg] = params.args.as_mut_slice()
                && is_interval(arg, schema)
            {
                *arg = interval_order(std::mem::take(arg))?;
            }
            Transformed::yes(Expr::AggregateFunction(function))
        }
        other => Transformed::no(other),
    })
}

fn by_length(key: &mut Sort, schema: &DFSchema) -> Result<()> {
    if is_interval(&key.expr, schema) {
        key.expr = interval_order(std::mem::take(&mut key.expr))?;
    }
    Ok(())
}

/// Groups by lengths, and gives the first interval of each.
fn grouped(aggregate: Aggregate, schema: &DFSchema) -> Result<LogicalPlan> {
    let Aggregate { input, group_expr, aggr_expr, schema: shown, .. } = aggregate;
    if group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_))) {
        return Ok(LogicalPlan::Aggregate(Aggregate::try_new(input, group_expr, aggr_expr)?));
    }
    let mut keys = Vec::new();
    let mut firsts = Vec::new();
    let mut outputs = Vec::new();
    for (at, expr) in group_expr.into_iter().enumerate() {
        let (table, field) = shown.qualified_field(at);
        let output = |from: Expr| Expr::Alias(datafusion::logical_expr::expr::Alias::new(from, table.cloned(), field.name()));
        if is_interval(&expr, schema) {
            let name = format!("\u{1}length{at}");
            keys.push(interval_order(expr.clone().unalias())?.alias(&name));
            let first = format!("\u{1}first{at}");
            firsts.push(first_value_udaf().call(vec![expr.unalias()]).alias(&first));
            outputs.push(output(Expr::Column(Column::new_unqualified(first))));
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

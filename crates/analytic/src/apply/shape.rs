//! Which correlated subqueries DataFusion turns into joins, and rightly.
//!
//! ```text
//! EXISTS, IN    Projection, Filter, inner Join, ... down to the tables, with outer columns in Filters only
//! scalar        one ungrouped Aggregate over such a chain, whose outer columns are in equalities `inner column = outer` only
//! ```
//!
//! What is above an aggregate, a LIMIT, a window, a set operation is computed from other rows once a condition below it is gone; so
//! there nothing may refer outwards.

use datafusion::common::Result;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Cast, Distinct, Expr, FetchType, JoinType, LogicalPlan, Operator, SkipType,
};

use super::references::{beyond, has_subqueries, is_correlated};

/// The subquery without what does not matter to whether it has a row.
pub(super) fn rows_of(plan: &LogicalPlan) -> &LogicalPlan {
    match plan {
        LogicalPlan::Projection(projection) => rows_of(&projection.input),
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => rows_of(&sort.input),
        LogicalPlan::Distinct(Distinct::All(input)) => rows_of(input),
        LogicalPlan::Limit(limit) => match (limit.get_skip_type(), limit.get_fetch_type()) {
            (Ok(SkipType::Literal(0)), Ok(FetchType::Literal(None | Some(1..)))) => rows_of(&limit.input),
            _ => plan,
        },
        plan => plan,
    }
}

/// Whether EXISTS and IN of the subquery can be semi joins.
pub(super) fn is_chain(plan: &LogicalPlan) -> Result<bool> {
    chain(plan, &|_| true)
}

/// Whether a scalar subquery can be a left join with its groups. `everywhere`: its value is asked for in all rows of the query around it,
/// so what is computed from their columns may be computed for all of them.
pub(super) fn is_scalar(plan: &LogicalPlan, everywhere: bool) -> Result<bool> {
    match plan {
        LogicalPlan::Projection(projection) => Ok(!projection.expr.iter().any(Expr::contains_outer)
            && nothing_beyond(plan)?
            && is_scalar(&projection.input, everywhere)?),
        LogicalPlan::Aggregate(Aggregate { input, group_expr, aggr_expr, .. }) => Ok(group_expr.is_empty()
            && !aggr_expr.iter().any(Expr::contains_outer)
            && nothing_beyond(plan)?
            && chain(input, &|condition| is_equality(condition, everywhere))?),
        _ => Ok(false),
    }
}

/// `fits`: which conditions may use outer columns.
fn chain(plan: &LogicalPlan, fits: &dyn Fn(&Expr) -> bool) -> Result<bool> {
    if !is_correlated(plan)? {
        return Ok(true);
    }
    if !nothing_beyond(plan)? {
        return Ok(false);
    }
    match plan {
        LogicalPlan::Filter(filter) => {
            let mut outer = split_conjunction(&filter.predicate).into_iter().filter(|condition| condition.contains_outer());
            // With a subquery, it would be a join of the subquery around.
            let is_plain = |condition: &Expr| fits(condition) && has_subqueries(condition).is_ok_and(|has| !has);
            Ok(outer.all(is_plain) && chain(&filter.input, fits)?)
        }
        LogicalPlan::Projection(projection) => {
            Ok(!projection.expr.iter().any(Expr::contains_outer) && chain(&projection.input, fits)?)
        }
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner => {
            let conditions = join.on.iter().flat_map(|(left, right)| [left, right]).chain(&join.filter);
            Ok(!conditions.into_iter().any(Expr::contains_outer) && chain(&join.left, fits)? && chain(&join.right, fits)?)
        }
        _ => Ok(false),
    }
}

/// Whether the subqueries of the node's own expressions use nothing outside of it.
fn nothing_beyond(node: &LogicalPlan) -> Result<bool> {
    for expr in node.expressions() {
        if !beyond(&expr, node)?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// `column = outer`, either way round, the column maybe cast; unless `everywhere`, the outer side too is a column.
fn is_equality(condition: &Expr, everywhere: bool) -> bool {
    let is_column = |expr: &Expr| match expr {
        Expr::Column(_) => true,
        Expr::Cast(Cast { expr, .. }) => matches!(expr.as_ref(), Expr::Column(_)),
        _ => false,
    };
    let is_outer = |expr: &Expr| match everywhere {
        true => !expr.any_column_refs(),
        false => matches!(expr, Expr::OuterReferenceColumn(..)),
    };
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            is_column(left) && is_outer(right) || is_column(right) && is_outer(left)
        }
        _ => false,
    }
}

//! LATERAL subqueries that DataFusion would answer wrongly: refused.
//!
//! It makes joins of them by pulling conditions on outer columns up. From below a window, a DISTINCT, an outer join, a HAVING, or from beside
//! a constant that an aggregate without rows has too, they cannot be pulled.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, GroupByExpr, JoinOperator, Query, Select, SelectItem, SetExpr, TableFactor,
};
use types::SqlError;

use super::{aggregates, own};

/// Errors: 0A000.
pub(super) fn refuse(factor: &TableFactor) -> Result<(), SqlError> {
    let TableFactor::Derived { lateral: true, subquery, .. } = factor else { return Ok(()) };
    match what(subquery) {
        None => Ok(()),
        Some(what) => Err(SqlError::unsupported(format!("LATERAL with {what} is not supported"))
            .hint("Compute it in a subquery of the SELECT list, or join and group.")),
    }
}

fn what(query: &Query) -> Option<&'static str> {
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let is_outer = |operator: &JoinOperator| {
        matches!(
            operator,
            JoinOperator::Left(_)
                | JoinOperator::LeftOuter(_)
                | JoinOperator::Right(_)
                | JoinOperator::RightOuter(_)
                | JoinOperator::FullOuter(_)
        )
    };
    if select.from.iter().flat_map(|from| &from.joins).any(|join| is_outer(&join.join_operator)) {
        return Some("an outer join");
    }
    if matches!(select.distinct, Some(Distinct::Distinct | Distinct::On(_))) {
        return Some("DISTINCT");
    }
    if select.having.is_some() {
        return Some("HAVING");
    }
    let items = || items(select);
    if items().any(|expr| contains(expr, &|expr| matches!(expr, Expr::Function(function) if function.over.is_some()))) {
        return Some("a window function");
    }
    let aggregates =
        |expr: &Expr| contains(expr, &|expr| matches!(expr, Expr::Function(function) if aggregates::is_aggregate(function)));
    let is_grouped = matches!(&select.group_by, GroupByExpr::Expressions(exprs, _) if !exprs.is_empty());
    if !is_grouped && items().any(aggregates) && !items().all(aggregates) {
        return Some("an aggregate beside what is none");
    }
    None
}

fn items(select: &Select) -> impl Iterator<Item = &Expr> {
    select.projection.iter().filter_map(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    })
}

/// Whether an expression, subqueries apart, has such a part.
fn contains(expr: &Expr, is: &dyn Fn(&Expr) -> bool) -> bool {
    own::visit(expr, |expr| if is(expr) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }).is_break()
}

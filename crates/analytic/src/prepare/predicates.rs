//! `EXISTS` and `IN (SELECT ..)` as values: in a SELECT list DataFusion knows them only as scalar subqueries.
//!
//! ```text
//! EXISTS (SELECT .. FROM t WHERE c)     (SELECT count(*) > 0 FROM t WHERE c)
//! x IN (SELECT y FROM t)                CASE WHEN (SELECT count(*) > 0 FROM (SELECT y FROM t) s(y) WHERE s.y = x) THEN true
//!                                            WHEN x IS NULL AND EXISTS (SELECT y FROM t) THEN NULL
//!                                            WHEN EXISTS (.. WHERE s.y IS NULL) THEN NULL ELSE false END
//! ```

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Query, SelectItem, SetExpr, UnaryOperator, Value, VisitMut, VisitorMut, visit_expressions,
};
use datafusion::sql::sqlparser::parser::Parser;
use expr::dialect::DIALECT;
use types::SqlError;

use super::own;

/// The name of what IN compares with: no user's.
const SET: &str = "\u{1}set";

/// The name of its one column: no user's either, or it would be taken for one of the outer query's.
const VALUE: &str = "\u{1}value";

/// Rewrites the predicates over subqueries in an item of a SELECT list, not those inside subqueries.
pub(super) fn as_values(expr: &mut Expr) -> Result<(), SqlError> {
    let found = own::visit_mut(expr, |expr| {
        if !matches!(expr, Expr::Exists { .. } | Expr::InSubquery { .. }) {
            return ControlFlow::Continue(());
        }
        let done = match std::mem::replace(expr, Expr::value(Value::Null)) {
            Expr::Exists { subquery, negated } => exists(*subquery).map(|value| not_if(negated, value)),
            Expr::InSubquery { expr, subquery, negated } => is_in(*expr, *subquery).map(|value| not_if(negated, value)),
            other => Ok(other),
        };
        match done {
            Ok(value) => {
                *expr = value;
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    });
    found.break_value().map_or(Ok(()), Err)
}

/// Rewrites `IN (SELECT ..)` where a condition tells NULL from false: below NOT, CASE, IS NULL, =, ... It may stay as it is as a
/// condition, also a negated one, and on a side of AND and OR.
pub(super) fn in_condition(expr: &mut Expr) -> Result<(), SqlError> {
    match expr {
        Expr::Nested(inner) => in_condition(inner),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => in_condition(left).and_then(|()| in_condition(right)),
        Expr::BinaryOp { left, op: BinaryOperator::Or, right } => in_part(left).and_then(|()| in_part(right)),
        Expr::InSubquery { .. } | Expr::Exists { .. } => Ok(()),
        Expr::UnaryOp { op: UnaryOperator::Not, expr: inner } if is_plain(inner) => Ok(()),
        other if has_in(other) => as_values(other),
        _ => Ok(()),
    }
}

/// As [`in_condition`], of a side of OR.
fn in_part(expr: &mut Expr) -> Result<(), SqlError> {
    match expr {
        Expr::Nested(inner) => in_part(inner),
        Expr::BinaryOp { left, op: BinaryOperator::And | BinaryOperator::Or, right } => {
            in_part(left).and_then(|()| in_part(right))
        }
        Expr::InSubquery { negated: false, .. } | Expr::Exists { .. } => Ok(()),
        other if has_in(other) => as_values(other),
        _ => Ok(()),
    }
}

fn is_plain(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_plain(inner),
        expr => matches!(expr, Expr::InSubquery { .. } | Expr::Exists { .. }),
    }
}

/// Whether it has `IN (SELECT ..)`, in a subquery or not.
fn has_in(expr: &Expr) -> bool {
    visit_expressions(expr, |expr| match expr {
        Expr::InSubquery { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    })
    .is_break()
}

fn not_if(negated: bool, value: Expr) -> Expr {
    if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(value) } } else { value }
}

/// Whether a query gives a row, as a scalar subquery.
fn exists(query: Query) -> Result<Expr, SqlError> {
    let plain = query.limit_clause.is_none() && query.fetch.is_none();
    let mut query = query;
    if let SetExpr::Select(select) = query.body.as_mut()
        && plain
        && select.having.is_none()
        && select.distinct.is_none()
        && matches!(&select.group_by, datafusion::sql::sqlparser::ast::GroupByExpr::Expressions(exprs, _) if exprs.is_empty())
        && !has_aggregate(&select.projection)
    {
        // In place, so that conditions on the outer query stay where they can be turned into a join.
        select.projection = vec![SelectItem::UnnamedExpr(expression("count(*) > 0")?)];
        query.order_by = None;
        return Ok(Expr::Subquery(Box::new(query)));
    }
    scalar("SELECT count(*) > 0 FROM (SELECT 1) AS s", query, &[])
}

/// Whether an aggregate may give the query a row where its tables have none: any function is taken for one.
fn has_aggregate(items: &[SelectItem]) -> bool {
    let function = |expr: &Expr| match expr {
        Expr::Function(_) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    items.iter().any(|item| visit_expressions(item, function).is_break())
}

fn is_in(expr: Expr, query: Query) -> Result<Expr, SqlError> {
    let found = scalar(
        &format!("SELECT count(*) > 0 FROM (SELECT 1) AS s(\"{VALUE}\") WHERE \"{SET}\".\"{VALUE}\" = \"{SET}\""),
        query.clone(),
        std::slice::from_ref(&expr),
    )?;
    let any = scalar("SELECT count(*) > 0 FROM (SELECT 1) AS s", query.clone(), &[])?;
    let with_null = scalar(
        &format!("SELECT count(*) > 0 FROM (SELECT 1) AS s(\"{VALUE}\") WHERE \"{SET}\".\"{VALUE}\" IS NULL"),
        query,
        &[],
    )?;
    let mut case =
        expression("CASE WHEN found THEN true WHEN x IS NULL AND any_row THEN NULL WHEN with_null THEN NULL ELSE false END")?;
    substitute(&mut case, &[("found", found), ("x", expr), ("any_row", any), ("with_null", with_null)]);
    Ok(case)
}

/// A scalar subquery by a template whose `(SELECT 1) AS s` is the query, and whose `"\u{1}set"` is the expression.
fn scalar(template: &str, query: Query, values: &[Expr]) -> Result<Expr, SqlError> {
    use datafusion::sql::sqlparser::ast::{Ident, TableFactor};
    let mut outer = parsed(template)?;
    let SetExpr::Select(select) = outer.body.as_mut() else { return Err(SqlError::bug("a template is no SELECT")) };
    let Some(TableFactor::Derived { subquery, alias: Some(alias), .. }) = select.from.first_mut().map(|from| &mut from.relation)
    else {
        return Err(SqlError::bug("a template reads no subquery"));
    };
    **subquery = query;
    alias.name = Ident::with_quote('"', SET);
    if let (Some(selection), Some(value)) = (&mut select.selection, values.first()) {
        substitute(selection, &[(SET, value.clone())]);
    }
    Ok(Expr::Subquery(Box::new(outer)))
}

/// Puts expressions where a name stands for them.
pub(super) fn substitute(expr: &mut Expr, values: &[(&str, Expr)]) {
    struct Names<'a>(&'a [(&'a str, Expr)]);
    impl VisitorMut for Names<'_> {
        type Break = ();

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::Identifier(ident) = expr
                && let Some((_, value)) = self.0.iter().find(|(name, _)| *name == ident.value)
            {
                *expr = Expr::Nested(Box::new(value.clone()));
            }
            ControlFlow::Continue(())
        }
    }
    let _ = VisitMut::visit(expr, &mut Names(values));
}

fn parsed(sql: &str) -> Result<Query, SqlError> {
    let query = Parser::new(&DIALECT).try_with_sql(sql).and_then(|mut parser| parser.parse_query());
    query.map(|query| *query).map_err(|error| SqlError::bug(format!("template {sql:?}: {error}")))
}

pub(super) fn expression(sql: &str) -> Result<Expr, SqlError> {
    let parsed = Parser::new(&DIALECT).try_with_sql(sql).and_then(|mut parser| parser.parse_expr());
    parsed.map_err(|error| SqlError::bug(format!("template {sql:?}: {error}")))
}

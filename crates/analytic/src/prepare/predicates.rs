//! `EXISTS` and `IN (SELECT ..)` as values: in a SELECT list DataFusion knows them only as scalar subqueries.
//!
//! ```text
//! EXISTS (SELECT .. FROM t WHERE c)     (SELECT count(*) > 0 FROM t WHERE c)
//! x IN (SELECT y FROM t)                CASE WHEN (SELECT count(*) > 0 FROM (SELECT y FROM t) s(y) WHERE s.y = x) THEN true
//!                                            WHEN x IS NULL AND EXISTS (SELECT y FROM t) THEN NULL
//!                                            WHEN EXISTS (.. WHERE s.y IS NULL) THEN NULL ELSE false END
//! (x, y) IN (SELECT ..)                 the same with a test of each field; so in conditions, too
//! ```

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Query, SelectItem, SetExpr, UnaryOperator, Value, VisitMut, VisitorMut, visit_expressions,
};
use datafusion::sql::sqlparser::parser::Parser;
use expr::dialect::DIALECT;
use expr::syntax;
use types::{SqlError, SqlState};

use super::aggregates::is_aggregate;
use super::own;

/// The name of what IN compares with: no user's.
const SET: &str = "\u{1}set";

/// The name of its one column: no user's either, or it would be taken for one of the outer query's.
const VALUE: &str = "\u{1}value";

/// Rewrites `(a, b) IN (SELECT ..)`, which DataFusion does not know.
pub(super) fn of_row(expr: &mut Expr) -> Result<(), SqlError> {
    if is_of_row(expr) { as_values(expr) } else { Ok(()) }
}

fn is_of_row(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_of_row(inner),
        Expr::InSubquery { expr, .. } => fields_of(expr).is_some(),
        _ => false,
    }
}

/// The fields of a row, in either of its spellings.
fn fields_of(expr: &Expr) -> Option<Vec<Expr>> {
    match expr {
        Expr::Nested(inner) => fields_of(inner),
        Expr::Tuple(fields) => Some(fields.clone()),
        Expr::Function(function) => syntax::row_fields(function),
        _ => None,
    }
}

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
        row if is_of_row(row) => as_values(row),
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
        row if is_of_row(row) => as_values(row),
        Expr::InSubquery { negated: false, .. } | Expr::Exists { .. } => Ok(()),
        other if has_in(other) => as_values(other),
        _ => Ok(()),
    }
}

fn is_plain(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_plain(inner),
        expr => matches!(expr, Expr::InSubquery { .. } | Expr::Exists { .. }) && !is_of_row(expr),
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

/// `fields IN (query)`: true if a row is equal to them, NULL if none is and for one it is not known.
fn row_is_in(fields: Vec<Expr>, query: Query) -> Result<Expr, SqlError> {
    if let SetExpr::Select(select) = query.body.as_ref()
        && select.projection.iter().all(|item| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. }))
        && select.projection.len() != fields.len()
    {
        let which = if select.projection.len() < fields.len() { "few" } else { "many" };
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, format!("subquery has too {which} columns")));
    }
    let is_aggregate = |expr: &Expr| match expr {
        Expr::Function(function) if is_aggregate(function) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    if fields.iter().any(|field| own::visit(field, is_aggregate).is_break()) {
        return Err(SqlError::unsupported("aggregates in a row that is looked for in a subquery are not supported"));
    }
    let names: Vec<String> = (0..fields.len()).map(|at| format!("{SET}{at}")).collect();
    let columns: Vec<String> = (0..fields.len()).map(|at| format!("\"{VALUE}{at}\"")).collect();
    let tests: Vec<String> =
        names.iter().zip(&columns).map(|(name, column)| format!("\"{SET}\".{column} = \"{name}\"")).collect();
    let (columns, test) = (columns.join(", "), tests.join(" AND "));
    let values: Vec<(&str, Expr)> = names.iter().map(String::as_str).zip(fields).collect();
    let any = |condition: String| {
        let template = format!("SELECT count(*) > 0 FROM (SELECT 1) AS s({columns}) WHERE {condition}");
        scalar(&template, query.clone(), &values)
    };
    let mut case = expression("CASE WHEN found THEN true WHEN unknown THEN NULL ELSE false END")?;
    let unknown = any(format!("({test}) IS NULL"))?;
    substitute(&mut case, &[("found", any(test)?), ("unknown", unknown)]);
    Ok(case)
}

fn is_in(expr: Expr, query: Query) -> Result<Expr, SqlError> {
    if let Some(fields) = fields_of(&expr) {
        return row_is_in(fields, query);
    }
    let found = scalar(
        &format!("SELECT count(*) > 0 FROM (SELECT 1) AS s(\"{VALUE}\") WHERE \"{SET}\".\"{VALUE}\" = \"{SET}\""),
        query.clone(),
        &[(SET, expr.clone())],
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

/// A scalar subquery by a template whose `(SELECT 1) AS s` is the query, with expressions where names stand for them.
fn scalar(template: &str, query: Query, values: &[(&str, Expr)]) -> Result<Expr, SqlError> {
    use datafusion::sql::sqlparser::ast::{Ident, TableFactor};
    let mut outer = parsed(template)?;
    let SetExpr::Select(select) = outer.body.as_mut() else { return Err(SqlError::bug("a template is no SELECT")) };
    let Some(TableFactor::Derived { subquery, alias: Some(alias), .. }) = select.from.first_mut().map(|from| &mut from.relation)
    else {
        return Err(SqlError::bug("a template reads no subquery"));
    };
    **subquery = query;
    alias.name = Ident::with_quote('"', SET);
    if let Some(selection) = &mut select.selection {
        substitute(selection, values);
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

//! `ARRAY(query)`, the values of a query's only column in its order.
//!
//! ```text
//! ARRAY(SELECT a FROM t WHERE .. ORDER BY b)      array_cat((SELECT array_agg(a ORDER BY b) FROM t WHERE ..), '{}')
//! ARRAY(SELECT a FROM t ORDER BY b LIMIT 3)       array_cat((SELECT array_agg(v ORDER BY k) FROM (SELECT a, b FROM t
//!                                                            ORDER BY b LIMIT 3) AS q(v, k)), '{}')
//! ```
//!
//! 1. `array_cat` takes NULL, which `array_agg` of no rows is, for nothing.
//! 2. An order is only kept by who asks for it, so that the keys go along with the values.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Array, Distinct, Expr, Function, FunctionArgumentClause, FunctionArguments, GroupByExpr, Ident, LimitClause, OrderByExpr,
    OrderByKind, Query, SelectItem, SetExpr, Value, ValueWithSpan,
};
use expr::syntax;
use types::{SqlError, SqlState};

use super::{aggregates, order, own};
use crate::names::{self, folded};

/// What the column is called in the query around it: no user's name.
const VALUE: &str = "\u{1}value";

/// Rewrites the call. Errors: 42601 for a query of several columns.
pub(super) fn of_query(expr: &mut Expr) -> Result<(), SqlError> {
    let Expr::Function(Function { name, args: FunctionArguments::Subquery(query), .. }) = expr else { return Ok(()) };
    if names::last(name).is_none_or(|name| name != "array") {
        return Ok(());
    }
    let mut query = query.clone();
    let aggregated = if let Some(value) = plain_value(&query) {
        let keys = order_of(&mut query, &value)?;
        if let SetExpr::Select(select) = query.body.as_mut() {
            select.projection = vec![SelectItem::UnnamedExpr(array_agg(value, keys))];
        }
        query
    } else {
        collected(*query)?.into()
    };
    let empty = Expr::Array(Array { elem: vec![], named: true });
    *expr = syntax::call("array_cat", vec![Expr::Subquery(aggregated), empty]);
    Ok(())
}

/// What a query shows of each row, if there is nothing but that to do with them.
fn plain_value(query: &Query) -> Option<Expr> {
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let [SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. }] = select.projection.as_slice() else {
        return None;
    };
    let is_grouped = !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty()) || select.having.is_some();
    let is_cut = query.limit_clause.is_some() || query.fetch.is_some() || select.distinct.is_some();
    let has_calls = own::visit(value, |expr| match expr {
        Expr::Function(function) if function.over.is_some() || aggregates::is_aggregate(function) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    (query.with.is_none() && !is_grouped && !is_cut && has_calls.is_continue()).then(|| value.clone())
}

/// Takes the order out of a query that has one value a row.
fn order_of(query: &mut Query, value: &Expr) -> Result<Vec<OrderByExpr>, SqlError> {
    let Some(order_by) = query.order_by.take() else { return Ok(vec![]) };
    let OrderByKind::Expressions(mut keys) = order_by.kind else { return Err(SqlError::unsupported("ORDER BY ALL")) };
    for key in &mut keys {
        if is_output(&key.expr, query) {
            key.expr = value.clone();
        }
    }
    Ok(keys)
}

/// Whether a key of ORDER BY is the output column, by its number or its name.
fn is_output(key: &Expr, query: &Query) -> bool {
    let alias = match query.body.as_ref() {
        SetExpr::Select(select) => match select.projection.first() {
            Some(SelectItem::ExprWithAlias { alias, .. }) => Some(folded(alias)),
            _ => None,
        },
        _ => None,
    };
    match key {
        Expr::Value(ValueWithSpan { value: Value::Number(number, _), .. }) => number == "1",
        Expr::Identifier(name) => alias.is_some_and(|alias| alias == folded(name)),
        _ => false,
    }
}

/// The values of a query as one array, by a query around it.
fn collected(mut query: Query) -> Result<Query, SqlError> {
    let mut columns = vec![Ident::with_quote('"', VALUE)];
    let value = || Expr::Identifier(Ident::with_quote('"', VALUE));
    let keys = match query.order_by.as_ref().map(|order_by| order_by.kind.clone()) {
        Some(OrderByKind::Expressions(keys)) => keys,
        Some(OrderByKind::All(_)) => return Err(SqlError::unsupported("ORDER BY ALL")),
        None => vec![],
    };
    let mut shown = Vec::with_capacity(keys.len());
    for (at, mut key) in keys.into_iter().enumerate() {
        let is_output = is_output(&key.expr, &query);
        key.expr = match query.body.as_mut() {
            SetExpr::Select(select) if !is_output && !matches!(select.distinct, Some(Distinct::Distinct | Distinct::All)) => {
                let name = Ident::with_quote('"', names::marked(VALUE, at));
                select.projection.push(SelectItem::ExprWithAlias { expr: key.expr, alias: name.clone() });
                columns.push(name.clone());
                Expr::Identifier(name)
            }
            // The only column there is.
            _ => value(),
        };
        shown.push(key);
    }
    if let SetExpr::Select(select) = query.body.as_ref()
        && select.projection.len() > columns.len()
    {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "subquery must return only one column"));
    }
    let is_bounded = matches!(&query.limit_clause, Some(LimitClause::LimitOffset { .. })) || query.fetch.is_some();
    if !is_bounded && !matches!(query.body.as_ref(), SetExpr::Select(select) if matches!(select.distinct, Some(Distinct::On(_))))
    {
        query.order_by = None;
    }
    order::put_around(&mut query, vec![SelectItem::UnnamedExpr(array_agg(value(), shown))], columns)?;
    Ok(query)
}

/// `array_agg(value ORDER BY keys)`
fn array_agg(value: Expr, keys: Vec<OrderByExpr>) -> Expr {
    let mut call = syntax::call("array_agg", vec![value]);
    if let Expr::Function(Function { args: FunctionArguments::List(list), .. }) = &mut call
        && !keys.is_empty()
    {
        list.clauses.push(FunctionArgumentClause::OrderBy(keys));
    }
    call
}

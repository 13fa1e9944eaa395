//! `generate_series` in a SELECT list, as PostgreSQL has it from of old: the same in FROM.
//!
//! ```text
//! SELECT generate_series(1, 3)            ->   SELECT s.generate_series FROM generate_series(1, 3) AS s
//! SELECT a, generate_series(1, 3) FROM t  ->   SELECT a, s.generate_series FROM t, generate_series(1, 3) AS s
//! ```
//!
//! 1. Only where the two are the same: one call, a whole column of the list, of constants, in a query that does not group.
//!    Everything else is refused.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArguments, GroupByExpr, Ident, Select, SelectItem, SetExpr, TableAlias, TableAliasColumnDef,
    TableFactor, TableFunctionArgs, TableWithJoins, Visit, visit_expressions,
};
use datafusion::sql::sqlparser::parser::Parser;
use expr::dialect::DIALECT;
use types::SqlError;

use super::aggregates::is_aggregate;
use crate::names;

/// The function, and its column.
const SERIES: &str = "generate_series";
/// What the call in FROM is known by; no user can write it.
const ALIAS: &str = "\u{1}series";

/// Moves a call from the list to FROM. Errors: 0A000 where that would be another query.
pub(super) fn to_from(select: &mut Select) -> Result<(), SqlError> {
    let mut calls = select.projection.iter_mut().filter_map(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } if is_series(expr) => Some(expr),
        _ => None,
    });
    let Some(call) = calls.next() else { return Ok(()) };
    if calls.next().is_some() {
        return Err(refused("more than one of them"));
    }
    let column = Expr::CompoundIdentifier(vec![Ident::with_quote('"', ALIAS), Ident::new(SERIES)]);
    let Expr::Function(function) = std::mem::replace(call, column) else { return Err(SqlError::bug("a call is a function")) };
    if mentions(&function, |expr| matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Subquery(_))) {
        return Err(refused("arguments that are no constants"));
    }
    if select.projection.iter().any(|item| matches!(item, SelectItem::Wildcard(_))) {
        return Err(refused("*"));
    }
    let plain = matches!(&select.group_by, GroupByExpr::Expressions(exprs, _) if exprs.is_empty()) && select.having.is_none();
    if !plain || mentions(&select.projection, is_grouping) {
        return Err(refused("aggregates"));
    }
    select.from.push(relation(function)?);
    Ok(())
}

fn refused(what: &str) -> SqlError {
    SqlError::unsupported(format!("{SERIES} in the SELECT list is not supported with {what}")).hint("Use it in FROM.")
}

fn is_series(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(function) if names::last(&function.name).is_some_and(|name| name == SERIES))
}

fn is_grouping(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(function) if function.over.is_some() || is_aggregate(function))
}

fn mentions(node: &impl Visit, wanted: impl Fn(&Expr) -> bool) -> bool {
    visit_expressions(node, |expr| if wanted(expr) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }).is_break()
}

/// `generate_series(..) AS "\u{1}series" (generate_series)`
fn relation(function: Function) -> Result<TableWithJoins, SqlError> {
    let FunctionArguments::List(arguments) = function.args else { return Err(refused("such arguments")) };
    // The parser knows how to fill in a relation's many fields.
    let query = Parser::new(&DIALECT).try_with_sql("SELECT 1 FROM t").and_then(|mut parser| parser.parse_query());
    let mut query = query.map_err(|error| SqlError::bug(error.to_string()))?;
    let SetExpr::Select(select) = query.body.as_mut() else { return Err(SqlError::bug("SELECT is not a select")) };
    let Some(mut from) = select.from.pop() else { return Err(SqlError::bug("FROM is empty")) };
    let TableFactor::Table { name, alias, args, .. } = &mut from.relation else {
        return Err(SqlError::bug("FROM t is not a table"));
    };
    *name = function.name;
    *args = Some(TableFunctionArgs { args: arguments.args, settings: None });
    let columns = vec![TableAliasColumnDef { name: Ident::new(SERIES), data_type: None }];
    *alias = Some(TableAlias { explicit: true, name: Ident::with_quote('"', ALIAS), columns, at: None });
    Ok(from)
}

//! ORDER BY: the name of an output column means it only where it stands alone; in an expression, a name is a column of FROM.
//!
//! ```text
//! SELECT -a AS a FROM t ORDER BY a        the output column
//! SELECT -a AS a FROM t ORDER BY a + 0    the table's: it is written t.a, if there is one table only
//! ```
//!
//! DataFusion takes the output column in both. So that of a whole query gets another name, which no client sees (`crate::names`). That of
//! a subquery gets it back in a query around it.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, Ident, OrderBy, OrderByExpr, OrderByKind, Query, Select, SelectItem, SetExpr, TableAliasColumnDef,
    TableFactor, TableWithJoins, Value, ValueWithSpan,
};
use datafusion::sql::sqlparser::parser::Parser;
use expr::dialect::DIALECT;
use types::{SqlError, SqlState};

use super::own;
use super::using::table_name;
use crate::names::{self, folded};

/// Binds the names in ORDER BY. `outermost`: the query is nobody's subquery.
/// Errors: 42702, several columns have one of them.
pub(super) fn bind(query: &mut Query, outermost: bool, text: &str) -> Result<(), SqlError> {
    let (SetExpr::Select(select), Some(OrderBy { kind: OrderByKind::Expressions(items), .. })) =
        (query.body.as_mut(), &mut query.order_by)
    else {
        return Ok(());
    };
    if matches!(select.distinct, Some(Distinct::On(_))) {
        keep_first(items);
    }
    for item in &*items {
        if let Expr::Identifier(name) = &item.expr
            && is_ambiguous(name, select)
        {
            let error = SqlError::new(SqlState::AMBIGUOUS_COLUMN, format!("ORDER BY \"{}\" is ambiguous", folded(name)));
            return Err(crate::errors::at(error, text, name.span));
        }
    }
    name_expressions(select);
    let aliases = renamed(select);
    if aliases.is_empty() || !qualify(items, select, &aliases) || select.from.is_empty() {
        return Ok(());
    }
    let around = match outermost {
        true => None,
        false => match named(select, &aliases) {
            Some(items) => Some(items),
            // Its columns are not known here.
            None => return Ok(()),
        },
    };
    hide(items, select, &aliases);
    match around {
        Some(items) => put_around(query, items, vec![]),
        None => Ok(()),
    }
}

/// Whether output columns that are not the same have the name.
fn is_ambiguous(name: &Ident, select: &Select) -> bool {
    let wanted = folded(name);
    let mut columns = select.projection.iter().filter_map(|item| match item {
        SelectItem::ExprWithAlias { expr, alias } => (folded(alias) == wanted).then_some(expr),
        SelectItem::UnnamedExpr(expr) => (names::name_of(expr) == wanted).then_some(expr),
        _ => None,
    });
    let Some(first) = columns.next() else { return false };
    columns.any(|column| match (first, column) {
        (Expr::CompoundIdentifier(a), Expr::CompoundIdentifier(b)) => !a.iter().map(folded).eq(b.iter().map(folded)),
        (a, b) => plain(a) != plain(b),
    })
}

/// Without what may make no difference: tables of columns, parentheses, casts.
fn plain(expr: &Expr) -> Expr {
    let mut expr = expr.clone();
    let _ = own::visit_mut(&mut expr, |expr| {
        while let Expr::Nested(inner) | Expr::Cast { expr: inner, .. } = expr {
            *expr = inner.as_ref().clone();
        }
        let name = match &*expr {
            Expr::Identifier(name) => Some(name),
            Expr::CompoundIdentifier(parts) => parts.last(),
            _ => None,
        };
        if let Some(name) = name.map(folded) {
            *expr = Expr::Identifier(Ident::with_quote('"', name));
        }
        ControlFlow::<()>::Continue(())
    });
    expr
}

/// Gives the expressions of the list their names: an output column may have one that nobody wrote.
fn name_expressions(select: &mut Select) {
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) = item
            && !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
        {
            let alias = Ident::with_quote('"', names::name_of(expr));
            let expr = std::mem::replace(expr, Expr::Identifier(Ident::new("")));
            *item = SelectItem::ExprWithAlias { expr, alias };
        }
    }
}

/// A key that was there before orders nothing, and DataFusion's DISTINCT ON fails of it.
fn keep_first(items: &mut Vec<OrderByExpr>) {
    let mut seen = Vec::new();
    items.retain(|item| {
        let is_new = !seen.contains(&item.expr);
        seen.push(item.expr.clone());
        is_new
    });
}

/// Writes the names that output columns have too with their table, where they are in expressions and there is one table only.
/// Whether there are any.
fn qualify(items: &mut [OrderByExpr], select: &Select, aliases: &HashMap<String, usize>) -> bool {
    let table = match select.from.as_slice() {
        [from] if from.joins.is_empty() => table_name(&from.relation),
        _ => None,
    };
    let mut met = false;
    for item in items.iter_mut().filter(|item| !stands_alone(&item.expr)) {
        let _ = own::visit_mut(&mut item.expr, |expr| {
            let name = match expr {
                Expr::Identifier(name) => Some(&*name),
                Expr::CompoundIdentifier(parts) => parts.last(),
                _ => None,
            };
            if name.is_some_and(|name| aliases.contains_key(&folded(name))) {
                met = true;
                if let (Expr::Identifier(name), Some(table)) = (&*expr, &table) {
                    *expr = Expr::CompoundIdentifier(vec![table.clone(), name.clone()]);
                }
            }
            ControlFlow::<()>::Continue(())
        });
    }
    met
}

/// Gives these output columns their other names, in the list and where they stand alone in ORDER BY.
fn hide(items: &mut [OrderByExpr], select: &mut Select, aliases: &HashMap<String, usize>) {
    for item in items {
        if let Expr::Identifier(ident) = &mut item.expr
            && let Some(at) = aliases.get(&folded(ident))
        {
            *ident = hidden(ident, *at);
        }
    }
    for (at, item) in select.projection.iter_mut().enumerate() {
        if let SelectItem::ExprWithAlias { alias, .. } = item
            && aliases.get(&folded(alias)) == Some(&at)
        {
            *alias = hidden(alias, at);
        }
    }
}

/// The columns a subquery shows, by the names they are about to get; `None` if it has a `*`.
fn named(select: &mut Select, aliases: &HashMap<String, usize>) -> Option<Vec<SelectItem>> {
    names::name_columns(select);
    let items = select.projection.iter().enumerate().map(|(at, item)| {
        let alias = match item {
            SelectItem::ExprWithAlias { alias, .. } => alias,
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => name,
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts.last()?,
            _ => return None,
        };
        let shown = Ident::with_quote('"', folded(alias));
        let name = if aliases.get(&folded(alias)) == Some(&at) { hidden(alias, at) } else { shown.clone() };
        Some(SelectItem::ExprWithAlias { expr: Expr::Identifier(name), alias: shown })
    });
    items.collect()
}

/// `SELECT items FROM (query) AS ..(columns)`; without `columns` they are called as in the query.
pub(super) fn put_around(query: &mut Query, items: Vec<SelectItem>, columns: Vec<Ident>) -> Result<(), SqlError> {
    let text = format!("SELECT 1 FROM (SELECT 1) AS \"{ORDERED}\"");
    let parsed = Parser::new(&DIALECT).try_with_sql(&text).and_then(|mut parser| parser.parse_query());
    let mut around = parsed.map_err(|error| SqlError::bug(error.to_string()))?;
    let SetExpr::Select(select) = around.body.as_mut() else { return Err(SqlError::bug("SELECT is not a select")) };
    let [TableWithJoins { relation: TableFactor::Derived { subquery, alias: Some(alias), .. }, .. }] = select.from.as_mut_slice()
    else {
        return Err(SqlError::bug("FROM (SELECT 1) is not a subquery"));
    };
    alias.columns = columns.into_iter().map(|name| TableAliasColumnDef { name, data_type: None }).collect();
    select.projection = items;
    std::mem::swap(subquery.as_mut(), query);
    std::mem::swap(query, &mut around);
    Ok(())
}

/// What a query with an ORDER BY is called in the one around it: no user's name.
const ORDERED: &str = "\u{1}ordered";

fn hidden(name: &Ident, at: usize) -> Ident {
    Ident::with_quote('"', names::marked(&folded(name), at))
}

/// `DISTINCT ON (1)`: an output column by its number.
pub(super) fn distinct_columns(select: &mut Select) {
    let Some(Distinct::On(keys)) = &mut select.distinct else { return };
    for key in keys {
        if let Expr::Value(ValueWithSpan { value: Value::Number(number, _), .. }) = key
            && let Some(at) = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1))
            && let Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = select.projection.get(at)
        {
            *key = expr.clone();
        }
    }
}

fn stands_alone(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(_) | Expr::Value(ValueWithSpan { value: Value::Number(..), .. }))
}

/// The names that output columns have and the columns they are made of have not, and where they stand.
fn renamed(select: &Select) -> HashMap<String, usize> {
    let mut found = HashMap::new();
    for (at, item) in select.projection.iter().enumerate() {
        if let SelectItem::ExprWithAlias { expr, alias } = item {
            let same = match expr {
                Expr::Identifier(name) => folded(name) == folded(alias),
                Expr::CompoundIdentifier(parts) => parts.last().is_some_and(|name| folded(name) == folded(alias)),
                _ => false,
            };
            if !same {
                found.insert(folded(alias), at);
            }
        }
    }
    found
}

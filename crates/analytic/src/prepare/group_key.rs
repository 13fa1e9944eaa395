//! Columns that a grouped primary key determines, grouped with it: PostgreSQL lets them stand beside the aggregates.
//!
//! ```text
//! SELECT c.id, c.name, count(*) FROM c JOIN o .. GROUP BY c.id     ->   .. GROUP BY c.id, c.name
//! ```
//!
//! 1. Every group has one value of each, so groups stay what they are. Only columns that are used outside of aggregates are added.
//! 2. The whole key has to be there, as columns: named, by position, or by the name of an output column that is no input column's. In
//!    grouping sets it is not looked for.
//!
//! Source: PostgreSQL 15, `check_functional_grouping`.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use catalog::Table;
use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, Ident, ObjectName, OrderBy, Select, SelectItem, SelectItemQualifiedWildcardKind, TableWithJoins, Value,
    ValueWithSpan, Visit, Visitor,
};

use super::aggregates;
use super::from::{Relation, merged, relations};
use crate::names;

/// A table of FROM under its name there.
struct Known {
    called: String,
    table: Arc<Table>,
}

/// Adds to GROUP BY. `stored`: the table by a name.
pub(super) fn add_determined(
    select: &mut Select,
    order_by: Option<&OrderBy>,
    stored: &dyn Fn(&ObjectName) -> Option<Arc<Table>>,
) {
    let GroupByExpr::Expressions(grouped, modifiers) = &select.group_by else { return };
    let is_set = |expr: &Expr| matches!(expr, Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_));
    if grouped.is_empty() || !modifiers.is_empty() || grouped.iter().any(is_set) {
        return;
    }
    let from = From::of(&select.from, stored);
    let column = |expr| from.column(expr).or_else(|| from.column(output(expr, &select.projection)?));
    let named: BTreeSet<(usize, usize)> = grouped.iter().filter_map(column).collect();
    let has_key = |(at, known): (usize, &Known)| {
        let key = known.table.primary_key.as_ref()?;
        key.columns.iter().all(|column| named.contains(&(at, *column))).then_some(at)
    };
    let with_key: Vec<usize> = from.tables.iter().enumerate().filter_map(has_key).collect();
    if with_key.is_empty() {
        return;
    }
    let mut used = Used { from: &from, columns: BTreeSet::new(), aggregates: 0 };
    let _ = Visit::visit(&select.projection, &mut used);
    let _ = Visit::visit(&select.having, &mut used);
    let _ = Visit::visit(&select.qualify, &mut used);
    let _ = Visit::visit(&select.named_window, &mut used);
    let _ = Visit::visit(&select.distinct, &mut used);
    let _ = order_by.map(|order_by| Visit::visit(order_by, &mut used));
    used.wildcards(&select.projection);
    let determined = used.columns.iter().filter(|column| with_key.contains(&column.0) && !named.contains(column));
    let determined: Vec<Expr> = determined
        .map(|&(at, column)| {
            let Known { called, table } = &from.tables[at];
            Expr::CompoundIdentifier([called, &table.columns[column].name].map(|name| Ident::with_quote('"', name)).into())
        })
        .collect();
    if let GroupByExpr::Expressions(grouped, _) = &mut select.group_by {
        grouped.extend(determined);
    }
}

/// What an item of GROUP BY means where it is no input column: an output column, by its position or its name.
fn output<'a>(expr: &'a Expr, projection: &'a [SelectItem]) -> Option<&'a Expr> {
    let item = match expr {
        Expr::Nested(inner) => return output(inner, projection),
        Expr::Value(ValueWithSpan { value: Value::Number(number, _), .. }) => {
            projection.get(number.to_string().parse::<usize>().ok()?.checked_sub(1)?)?
        }
        Expr::Identifier(ident) => {
            let wanted = names::folded(ident);
            let named =
                |item: &&SelectItem| matches!(item, SelectItem::ExprWithAlias { alias, .. } if names::folded(alias) == wanted);
            projection.iter().find(named)?
        }
        _ => return None,
    };
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    }
}

struct From {
    tables: Vec<Known>,
    /// Names of columns that USING makes one.
    merged: BTreeSet<String>,
}

impl From {
    fn of(from: &[TableWithJoins], stored: &dyn Fn(&ObjectName) -> Option<Arc<Table>>) -> From {
        let known = |Relation { called, name }| Some(Known { called, table: stored(&name?)? });
        let tables = relations(from).into_iter().filter_map(known).collect();
        From { tables, merged: merged(from).into_iter().collect() }
    }

    /// The table and the column that an expression is.
    fn column(&self, expr: &Expr) -> Option<(usize, usize)> {
        match expr {
            Expr::Nested(inner) => self.column(inner),
            Expr::CompoundIdentifier(parts) => {
                let [.., qualifier, column] = parts.as_slice() else { return None };
                let qualifier = names::folded(qualifier);
                let at = self.tables.iter().position(|known| known.called == qualifier)?;
                self.tables[at].table.column(&names::folded(column)).map(|column| (at, column))
            }
            Expr::Identifier(ident) => {
                let name = names::folded(ident);
                let has = |(at, known): (usize, &Known)| known.table.column(&name).map(|column| (at, column));
                let mut found = self.tables.iter().enumerate().filter_map(has);
                let first = found.next()?;
                (self.merged.contains(&name) || found.next().is_none()).then_some(first)
            }
            _ => None,
        }
    }
}

/// Columns outside of aggregates.
struct Used<'a> {
    from: &'a From,
    columns: BTreeSet<(usize, usize)>,
    /// How many aggregates are around.
    aggregates: usize,
}

impl Used<'_> {
    fn wildcards(&mut self, projection: &[SelectItem]) {
        for item in projection {
            let alias = match item {
                SelectItem::Wildcard(_) => None,
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => names::last(name),
                _ => continue,
            };
            for (at, known) in self.from.tables.iter().enumerate() {
                if alias.as_ref().is_none_or(|alias| *alias == known.called) {
                    self.columns.extend((0..known.table.columns.len()).map(|column| (at, column)));
                }
            }
        }
    }
}

impl Visitor for Used<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.aggregates += usize::from(is_aggregate(expr));
        if self.aggregates == 0 {
            self.columns.extend(self.from.column(expr));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.aggregates -= usize::from(is_aggregate(expr));
        ControlFlow::Continue(())
    }
}

/// An aggregate over a window stands behind the groups.
fn is_aggregate(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(function) if function.over.is_none() && aggregates::is_aggregate(function))
}

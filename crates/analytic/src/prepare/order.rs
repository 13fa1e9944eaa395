//! ORDER BY: the name of an output column means it only where it stands alone; in an expression, a name is a column of FROM.
//!
//! ```text
//! SELECT -a AS a FROM t ORDER BY a        the output column
//! SELECT -a AS a FROM t ORDER BY a + 0    the table's: it is written t.a
//! ```
//!
//! DataFusion takes the output column in both. Of several tables it is not known here which has the column; then the output column of
//! a whole query gets another name, which no client sees (`crate::names`).

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, OrderBy, OrderByKind, Query, Select, SelectItem, SetExpr, Value, ValueWithSpan, VisitMut, VisitorMut,
};

use super::using::table_name;
use crate::names::{self, folded};

/// Binds the names in ORDER BY. `outermost`: the query is nobody's subquery.
pub(super) fn bind(query: &mut Query, outermost: bool) {
    let (SetExpr::Select(select), Some(OrderBy { kind: OrderByKind::Expressions(items), .. })) =
        (query.body.as_mut(), &mut query.order_by)
    else {
        return;
    };
    let aliases = renamed(select);
    if aliases.is_empty() {
        return;
    }
    let only = match select.from.as_slice() {
        [from] if from.joins.is_empty() => table_name(&from.relation),
        _ => None,
    };
    let mut names = Names { aliases: &aliases, table: only.as_ref(), depth: 0, met: false };
    for item in items.iter_mut().filter(|item| !stands_alone(&item.expr)) {
        let _ = VisitMut::visit(&mut item.expr, &mut names);
    }
    if !names.met || only.is_some() || !outermost || select.from.is_empty() {
        return;
    }
    for item in items.iter_mut() {
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

fn hidden(name: &Ident, at: usize) -> Ident {
    Ident::with_quote('"', names::marked(&folded(name), at))
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

struct Names<'a> {
    aliases: &'a HashMap<String, usize>,
    /// The only table, if there is one.
    table: Option<&'a Ident>,
    depth: usize,
    /// Whether a name in an expression is that of an output column.
    met: bool,
}

impl VisitorMut for Names<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth == 0
            && let Expr::Identifier(name) = expr
            && self.aliases.contains_key(&folded(name))
        {
            self.met = true;
            if let Some(table) = self.table {
                *expr = Expr::CompoundIdentifier(vec![table.clone(), name.clone()]);
            }
        }
        ControlFlow::Continue(())
    }
}

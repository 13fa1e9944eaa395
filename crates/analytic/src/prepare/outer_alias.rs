//! Relations of a query around, told apart from columns that have their name: DataFusion takes `s.a` for a field of a column `s` of the
//! subquery before it looks for a relation `s` around it.
//!
//! ```text
//! SELECT .. FROM s WHERE EXISTS (SELECT 1 FROM t WHERE t.a = s.a), t has a column s
//!   -> SELECT .. FROM s AS "s\u{1}0" WHERE EXISTS (SELECT 1 FROM t WHERE t.a = "s\u{1}0".a)
//! ```
//!
//! 1. In PostgreSQL a qualifier is a relation, of the nearest query that has one by the name, and never a column.
//! 2. Only what would be mistaken gets another name. Whether a column of a subquery in FROM has it is not looked up: it may.
//! 3. Queries of WITH, and those in FROM without LATERAL, do not see the FROM they stand in or beside.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableAlias, TableFactor, TableWithJoins, VisitMut, VisitorMut,
};
use types::{SqlError, SqlState};

use super::from::{Relation, called, relations};
use super::{cte, natural};
use crate::names;

/// See the module's head. `text` is the statement's, `columns` those of a table or view, `None` if that is not known. Errors: 42703, a
/// relation around has no such column.
pub(crate) fn tell_apart(query: &mut Query, text: &str, columns: natural::Columns<'_>) -> Result<(), SqlError> {
    let mut walk = Walk { task: Task::Find(Known { columns, ctes: HashSet::new() }), ..Walk::default() };
    match VisitMut::visit(query, &mut walk) {
        ControlFlow::Break(NoColumn(qualifier, column)) => {
            let message = format!("column {}.{} does not exist", names::folded(&qualifier), names::folded(&column));
            let error = SqlError::new(SqlState::UNDEFINED_COLUMN, message);
            return Err(crate::errors::at(error, text, qualifier.span));
        }
        ControlFlow::Continue(()) => {}
    }
    if !walk.mistaken.is_empty() {
        let _ = VisitMut::visit(query, &mut Walk { mistaken: walk.mistaken, ..Walk::default() });
    }
    Ok(())
}

/// A relation around has no such column.
struct NoColumn(Ident, Ident);

/// A walk through all queries; two of them meet the SELECTs in the same order.
#[derive(Default)]
struct Walk<'a> {
    task: Task<'a>,
    /// The SELECTs around, innermost last, each with its number in the order in which they are met.
    open: Vec<(usize, Vec<Relation>)>,
    /// Those that are not seen within what is visited.
    aside: Vec<Option<(usize, Vec<Relation>)>>,
    met: usize,
    /// For each query around: whether its SELECT is closed with it, so that ORDER BY is within.
    with_query: Vec<bool>,
    /// Numbers of SELECTs, and names of their relations.
    mistaken: HashSet<(usize, String)>,
}

#[derive(Default)]
enum Task<'a> {
    /// Finds out what is mistaken.
    Find(Known<'a>),
    /// Gives what is mistaken another name.
    #[default]
    Rename,
}

/// What columns relations have.
struct Known<'a> {
    columns: natural::Columns<'a>,
    /// Names of WITH so far: their columns are not known.
    ctes: HashSet<String>,
}

impl Known<'_> {
    fn columns_of(&self, relation: &Relation) -> Option<Vec<String>> {
        let name = relation.name.as_ref()?;
        if name.0.len() == 1 && names::last(name).is_some_and(|name| self.ctes.contains(&name)) {
            return None;
        }
        (self.columns)(name)
    }
}

impl Walk<'_> {
    /// How far out, and in which SELECT, a qualifier is a relation.
    fn scope_of(&self, qualifier: &str) -> Option<(usize, usize)> {
        let has = |(_, relations): &(usize, Vec<Relation>)| relations.iter().any(|relation| relation.called == qualifier);
        self.open.iter().rev().enumerate().find(|(_, scope)| has(scope)).map(|(out, (number, _))| (out, *number))
    }

    fn open(&mut self, select: &mut Select) {
        let number = self.met;
        self.met += 1;
        self.open.push((number, relations(&select.from)));
        if let Task::Find(_) = self.task {
            return;
        }
        select.from.iter_mut().for_each(|item| self.name(item, number));
        for item in &mut select.projection {
            if let SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) = item {
                self.qualified(name);
            }
        }
    }

    fn name(&self, item: &mut TableWithJoins, number: usize) {
        for factor in std::iter::once(&mut item.relation).chain(item.joins.iter_mut().map(|join| &mut join.relation)) {
            if let TableFactor::NestedJoin { table_with_joins, alias: None } = factor {
                self.name(table_with_joins, number);
                continue;
            }
            let Some(known) = called(factor).filter(|known| self.mistaken.contains(&(number, known.clone()))) else { continue };
            if let TableFactor::Table { alias, .. }
            | TableFactor::Derived { alias, .. }
            | TableFactor::Function { alias, .. }
            | TableFactor::UNNEST { alias, .. }
            | TableFactor::NestedJoin { alias, .. } = factor
            {
                let none = || TableAlias { explicit: true, name: Ident::new(""), columns: vec![], at: None };
                alias.get_or_insert_with(none).name = new_name(&known, number);
            }
        }
    }

    fn new_name_of(&self, qualifier: &Ident) -> Option<Ident> {
        let qualifier = names::folded(qualifier);
        let (_, number) = self.scope_of(&qualifier)?;
        self.mistaken.contains(&(number, qualifier.clone())).then(|| new_name(&qualifier, number))
    }

    fn qualified(&self, name: &mut ObjectName) {
        if let [part] = name.0.as_slice()
            && let Some(new) = part.as_ident().and_then(|ident| self.new_name_of(ident))
        {
            *name = ObjectName::from(new);
        }
    }

    fn find(&mut self, expr: &Expr) -> ControlFlow<NoColumn> {
        let Expr::CompoundIdentifier(parts) = expr else { return ControlFlow::Continue(()) };
        let [.., written, column] = parts.as_slice() else { return ControlFlow::Continue(()) };
        let qualifier = names::folded(written);
        let Some((out @ 1.., number)) = self.scope_of(&qualifier) else { return ControlFlow::Continue(()) };
        let Task::Find(known) = &self.task else { return ControlFlow::Continue(()) };
        let (around, within) = self.open.split_at(self.open.len() - out);
        let mut meant = around.last().into_iter().flat_map(|(_, relations)| relations).filter(|r| r.called == qualifier);
        let wanted = names::folded(column);
        if meant.any(|relation| known.columns_of(relation).is_some_and(|columns| !columns.contains(&wanted))) {
            return ControlFlow::Break(NoColumn(written.clone(), column.clone()));
        }
        let mut within = within.iter().flat_map(|(_, relations)| relations);
        if within.any(|relation| known.columns_of(relation).is_none_or(|columns| columns.contains(&qualifier))) {
            self.mistaken.insert((number, qualifier));
        }
        ControlFlow::Continue(())
    }

    fn rename(&self, expr: &mut Expr) {
        match expr {
            Expr::CompoundIdentifier(parts) => {
                if let [.., qualifier, _] = parts.as_slice()
                    && let Some(new) = self.new_name_of(qualifier)
                {
                    parts.splice(..parts.len() - 1, [new]);
                }
            }
            Expr::QualifiedWildcard(name, _) => self.qualified(name),
            Expr::Function(function) => {
                if let FunctionArguments::List(list) = &mut function.args {
                    for arg in &mut list.args {
                        if let FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(name)) = arg {
                            self.qualified(name);
                        }
                    }
                }
            }
            _ => {}
        }
    }
}

/// Whether what is in an item of FROM sees nothing of the others.
fn is_alone(factor: &TableFactor) -> bool {
    matches!(factor, TableFactor::Derived { lateral: false, .. })
}

fn new_name(known: &str, number: usize) -> Ident {
    Ident::with_quote('"', names::marked(known, number))
}

impl VisitorMut for Walk<'_> {
    type Break = NoColumn;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<NoColumn> {
        if let Task::Find(known) = &mut self.task {
            known.ctes.extend(cte::names_of(query));
        }
        self.with_query.push(matches!(query.body.as_ref(), SetExpr::Select(_)));
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<NoColumn> {
        if self.with_query.pop() == Some(true) {
            self.open.pop();
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<NoColumn> {
        self.open(select);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<NoColumn> {
        if is_alone(factor) {
            self.aside.push(self.open.pop());
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<NoColumn> {
        if is_alone(factor) {
            self.open.extend(self.aside.pop().flatten());
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _select: &mut Select) -> ControlFlow<NoColumn> {
        if self.with_query.last() == Some(&false) {
            self.open.pop();
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<NoColumn> {
        match self.task {
            Task::Find(_) => self.find(expr),
            Task::Rename => {
                self.rename(expr);
                ControlFlow::Continue(())
            }
        }
    }
}

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
//! 3. Queries with names of three parts are left as they are: an alias would hide the schema.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableAlias, TableFactor, TableWithJoins, Visit, VisitMut, Visitor, VisitorMut,
};

use types::{SqlError, SqlState};

use super::cte;
use crate::names;

/// See the module's head. `text` is the statement's, `columns` those of a table or view, `None` if that is not known. Errors: 42703, a
/// relation around has no such column.
pub(crate) fn tell_apart(
    query: &mut Query,
    text: &str,
    columns: &dyn Fn(&ObjectName) -> Option<Vec<String>>,
) -> Result<(), SqlError> {
    let mut finding = Finding { columns, ctes: HashSet::new(), scopes: Scopes::default(), mistaken: HashSet::new() };
    match Visit::visit(query, &mut finding) {
        ControlFlow::Break(Stop::LongName) => return Ok(()),
        ControlFlow::Break(Stop::NoColumn(qualifier, column)) => {
            let message = format!("column {}.{} does not exist", names::folded(&qualifier), names::folded(&column));
            let error = SqlError::new(SqlState::UNDEFINED_COLUMN, message);
            return Err(crate::errors::at(error, text, qualifier.span));
        }
        ControlFlow::Continue(()) => {}
    }
    if !finding.mistaken.is_empty() {
        let _ = VisitMut::visit(query, &mut Renaming { scopes: Scopes::default(), mistaken: finding.mistaken });
    }
    Ok(())
}

/// Why nothing is renamed.
enum Stop {
    /// Rule 3.
    LongName,
    NoColumn(Ident, Ident),
}

/// A relation of FROM: what it is called, and its name if it is a table, a view or one of WITH.
type Named = (String, Option<ObjectName>);

/// The SELECTs around, innermost last, each with its number in the order in which they are met.
#[derive(Default)]
struct Scopes {
    open: Vec<(usize, Vec<Named>)>,
    met: usize,
    /// For each query around: whether its SELECT was opened with it, so that ORDER BY is within.
    with_query: Vec<bool>,
}

impl Scopes {
    fn open(&mut self, select: &Select) -> usize {
        let mut relations = Vec::new();
        select.from.iter().for_each(|item| relations_of(item, &mut relations));
        self.open.push((self.met, relations));
        self.met += 1;
        self.met - 1
    }

    /// How far out, and in which SELECT, a qualifier is a relation.
    fn find(&self, qualifier: &str) -> Option<(usize, usize)> {
        let has = |(_, relations): &(usize, Vec<Named>)| relations.iter().any(|(name, _)| name == qualifier);
        self.open.iter().rev().enumerate().find(|(_, scope)| has(scope)).map(|(out, (number, _))| (out, *number))
    }
}

fn relations_of(item: &TableWithJoins, all: &mut Vec<Named>) {
    for factor in std::iter::once(&item.relation).chain(item.joins.iter().map(|join| &join.relation)) {
        match factor {
            TableFactor::NestedJoin { table_with_joins, alias: None } => relations_of(table_with_joins, all),
            TableFactor::Table { name, alias, args: None, .. } => {
                let known = alias.as_ref().map(|alias| names::folded(&alias.name)).or_else(|| names::last(name));
                // Columns may have other names here.
                let has_own = alias.as_ref().is_none_or(|alias| alias.columns.is_empty());
                all.extend(known.map(|known| (known, has_own.then(|| name.clone()))));
            }
            TableFactor::Table { alias, .. }
            | TableFactor::Derived { alias, .. }
            | TableFactor::Function { alias, .. }
            | TableFactor::UNNEST { alias, .. }
            | TableFactor::NestedJoin { alias, .. } => {
                all.extend(alias.as_ref().map(|alias| (names::folded(&alias.name), None)));
            }
            _ => {}
        }
    }
}

struct Finding<'a> {
    columns: &'a dyn Fn(&ObjectName) -> Option<Vec<String>>,
    /// Names of WITH so far: their columns are not known.
    ctes: HashSet<String>,
    scopes: Scopes,
    /// SELECTs by number, and names of their relations.
    mistaken: HashSet<(usize, String)>,
}

impl Finding<'_> {
    fn columns_of(&self, name: &ObjectName) -> Option<Vec<String>> {
        let is_cte = name.0.len() == 1 && names::last(name).is_some_and(|name| self.ctes.contains(&name));
        if is_cte { None } else { (self.columns)(name) }
    }
}

impl Visitor for Finding<'_> {
    type Break = Stop;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Stop> {
        self.ctes.extend(cte::names_of(query));
        let select = query.body.as_select();
        self.scopes.with_query.push(select.is_some());
        if let Some(select) = select {
            self.scopes.open(select);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<Stop> {
        if self.scopes.with_query.pop() == Some(true) {
            self.scopes.open.pop();
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Stop> {
        if self.scopes.with_query.last() == Some(&false) {
            self.scopes.open(select);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _select: &Select) -> ControlFlow<Stop> {
        if self.scopes.with_query.last() == Some(&false) {
            self.scopes.open.pop();
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Stop> {
        let Expr::CompoundIdentifier(parts) = expr else { return ControlFlow::Continue(()) };
        let [written, column] = parts.as_slice() else { return ControlFlow::Break(Stop::LongName) };
        let qualifier = names::folded(written);
        let Some((out @ 1.., number)) = self.scopes.find(&qualifier) else { return ControlFlow::Continue(()) };
        let around = self.scopes.open.iter().rev().nth(out).into_iter().flat_map(|(_, relations)| relations);
        let known = around.filter(|(name, _)| *name == qualifier).find_map(|(_, table)| self.columns_of(table.as_ref()?));
        if known.is_some_and(|columns| !columns.contains(&names::folded(column))) {
            return ControlFlow::Break(Stop::NoColumn(written.clone(), column.clone()));
        }
        let mut within = self.scopes.open.iter().rev().take(out).flat_map(|(_, relations)| relations);
        let has_column = |(_, name): &Named| {
            name.as_ref().and_then(|name| self.columns_of(name)).is_none_or(|columns| columns.contains(&qualifier))
        };
        if within.any(has_column) {
            self.mistaken.insert((number, qualifier));
        }
        ControlFlow::Continue(())
    }
}

struct Renaming {
    scopes: Scopes,
    mistaken: HashSet<(usize, String)>,
}

impl Renaming {
    fn open(&mut self, select: &mut Select) {
        let number = self.scopes.open(select);
        select.from.iter_mut().for_each(|item| self.name(item, number));
        for item in &mut select.projection {
            if let SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) = item {
                self.qualified(name);
            }
        }
    }

    fn name(&self, item: &mut TableWithJoins, number: usize) {
        for factor in std::iter::once(&mut item.relation).chain(item.joins.iter_mut().map(|join| &mut join.relation)) {
            let (alias, of_table) = match factor {
                TableFactor::NestedJoin { table_with_joins, alias: None } => {
                    self.name(table_with_joins, number);
                    continue;
                }
                TableFactor::Table { name, alias, args: None, .. } => (alias, names::last(name)),
                TableFactor::Table { alias, .. }
                | TableFactor::Derived { alias, .. }
                | TableFactor::Function { alias, .. }
                | TableFactor::UNNEST { alias, .. }
                | TableFactor::NestedJoin { alias, .. } => (alias, None),
                _ => continue,
            };
            let Some(known) = alias.as_ref().map(|alias| names::folded(&alias.name)).or(of_table) else { continue };
            if self.mistaken.contains(&(number, known.clone())) {
                let none = || TableAlias { explicit: true, name: Ident::new(""), columns: vec![], at: None };
                alias.get_or_insert_with(none).name = new_name(&known, number);
            }
        }
    }

    fn new_name_of(&self, qualifier: &Ident) -> Option<Ident> {
        let qualifier = names::folded(qualifier);
        let (_, number) = self.scopes.find(&qualifier)?;
        self.mistaken.contains(&(number, qualifier.clone())).then(|| new_name(&qualifier, number))
    }

    fn qualified(&self, name: &mut ObjectName) {
        if let [part] = name.0.as_slice()
            && let Some(new) = part.as_ident().and_then(|ident| self.new_name_of(ident))
        {
            *name = ObjectName::from(new);
        }
    }
}

fn new_name(known: &str, number: usize) -> Ident {
    Ident::with_quote('"', names::marked(known, number))
}

impl VisitorMut for Renaming {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        match query.body.as_mut() {
            SetExpr::Select(select) => {
                self.scopes.with_query.push(true);
                self.open(select);
            }
            _ => self.scopes.with_query.push(false),
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        if self.scopes.with_query.pop() == Some(true) {
            self.scopes.open.pop();
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        if self.scopes.with_query.last() == Some(&false) {
            self.open(select);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _select: &mut Select) -> ControlFlow<()> {
        if self.scopes.with_query.last() == Some(&false) {
            self.scopes.open.pop();
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::CompoundIdentifier(parts) => {
                if let Some(new) = parts.first().and_then(|qualifier| self.new_name_of(qualifier)) {
                    parts[0] = new;
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
        ControlFlow::Continue(())
    }
}

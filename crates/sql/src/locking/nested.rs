//! FOR UPDATE through subqueries of FROM, and views: the rows of the one table behind them.
//!
//! ```text
//! FROM (SELECT a, b AS c FROM t WHERE ..) s     ->     FROM (SELECT a, b AS c, t.__key FROM t WHERE ..) s        with the key s.__key
//! FROM v                                        ->     FROM (the view's query) v (its columns)                   and on as above
//! ```
//!
//! 1. What is opened gives its own columns and then the key: `*` in it and names of columns behind its alias mean what they did.
//! 2. Of joins, groups and LIMIT inside, rows cannot be told by one key: refused.
//!
//! Source: PostgreSQL 15 `parser/analyze.c` (`transformLockingClause`).

use std::sync::Arc;

use analytic::KEY_COLUMN;
use catalog::{Catalog, Table, View};
use point::LockClause;
use sqlparser::ast::{Expr, Ident, ObjectName, Query, SelectItem, SetExpr, TableAlias, TableAliasColumnDef, TableFactor};
use types::SqlError;

use super::check;
use super::relations::Relation;
use crate::names::Name;
use crate::parse::Statement;
use crate::session::Session;

/// What a statement asks for.
pub(super) struct Asked<'a> {
    pub(super) statement: &'a Statement,
    pub(super) clauses: &'a [LockClause],
    /// Names of its WITH queries.
    pub(super) ctes: &'a [String],
}

impl Session {
    /// Lets a relation show its rows' keys; gives the table they are of, and the name of the relation. `shown` is what the table is called
    /// then. Errors: 0A000 for what cannot be opened.
    pub(super) fn show_keys(
        &self,
        catalog: &Arc<Catalog>,
        mut relation: Relation<'_>,
        asked: &Asked<'_>,
        shown: ObjectName,
    ) -> Result<(Arc<Table>, Ident), SqlError> {
        if let TableFactor::Table { name, args: None, .. } = &*relation.factor {
            let name = Name::of(name, asked.statement.source())?;
            let scope = self.scope(catalog);
            match scope.find(&name)? {
                _ if name.schema.is_none() && asked.ctes.contains(&name.name) => return Err(asked.cannot("of a WITH query")),
                Some(catalog::Relation::View(id)) => relation.open_view(scope.view(id)?)?,
                _ => return Ok((Arc::clone(scope.table(&name)?), relation.show_keys(shown))),
            }
        }
        let alias = Ident::with_quote('"', relation.name().unwrap_or_default());
        let TableFactor::Derived { subquery, alias: called, .. } = &mut *relation.factor else {
            return Err(asked.cannot("of anything else"));
        };
        let table = self.open(catalog, subquery, asked, shown)?;
        if let Some(TableAlias { columns, .. }) = called
            && !columns.is_empty()
        {
            columns.push(TableAliasColumnDef { name: Ident::with_quote('"', KEY_COLUMN), data_type: None });
        }
        Ok((table, alias))
    }

    /// Lets a subquery give the keys of its rows, last.
    fn open(
        &self,
        catalog: &Arc<Catalog>,
        query: &mut Query,
        asked: &Asked<'_>,
        shown: ObjectName,
    ) -> Result<Arc<Table>, SqlError> {
        check(query, asked.clauses)?;
        if query.with.is_some() || query.limit_clause.is_some() || query.fetch.is_some() || !query.locks.is_empty() {
            return Err(asked.cannot("with WITH, LIMIT or locks of its own"));
        }
        let SetExpr::Select(select) = query.body.as_mut() else { return Err(SqlError::bug("a query without SELECT")) };
        let [from] = select.from.as_mut_slice() else { return Err(asked.cannot("that does not read one table")) };
        if !from.joins.is_empty() {
            return Err(asked.cannot("that does not read one table"));
        }
        let relation = Relation { factor: &mut from.relation, is_nullable: false };
        let (table, alias) = self.show_keys(catalog, relation, asked, shown)?;
        let is_star = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
        match select.projection.as_slice() {
            // The table's key is its last column.
            [SelectItem::Wildcard(_)] => {}
            items if items.iter().any(is_star) => return Err(asked.cannot("with * beside other columns")),
            _ => {
                let key = Expr::CompoundIdentifier(vec![alias, Ident::with_quote('"', KEY_COLUMN)]);
                select.projection.push(SelectItem::UnnamedExpr(key));
            }
        }
        Ok(table)
    }
}

impl Asked<'_> {
    fn cannot(&self, what: &str) -> SqlError {
        let words = self.clauses.first().map_or("FOR UPDATE", |clause| clause.lock.words());
        SqlError::unsupported(format!("{words} of rows behind a subquery or view {what} is not supported"))
            .hint("Name the tables to lock with OF.")
    }
}

impl Relation<'_> {
    /// Puts a view's query in its place. Errors: none but of a damaged catalog.
    fn open_view(&mut self, view: &View) -> Result<(), SqlError> {
        let TableFactor::Table { alias, .. } = &*self.factor else { return Ok(()) };
        let renamed = alias.as_ref().map_or(&[][..], |alias| &alias.columns);
        let own = view.columns.iter().skip(renamed.len());
        let own = own.map(|column| TableAliasColumnDef { name: Ident::with_quote('"', &column.name), data_type: None });
        let columns = renamed.iter().cloned().chain(own).collect();
        let name = Ident::with_quote('"', self.name().unwrap_or_default());
        let alias = Some(TableAlias { explicit: true, name, columns, at: None });
        let subquery = crate::parse::parse_query(&view.query)?;
        *self.factor = TableFactor::Derived { lateral: false, subquery, alias, sample: None };
        Ok(())
    }
}

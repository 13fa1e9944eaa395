//! ALTER TABLE that gives other names: RENAME, RENAME COLUMN, SET SCHEMA. Texts of the catalog that have the old name get the new one.
//!
//! Not here: names of constraints (`constraint`), of indexes (`index`).

use catalog::{Edit, IndexSource, Table, View};
use sqlparser::ast::{Expr, Ident, ObjectName, TableFactor, VisitMut, VisitorMut};
use types::{SqlError, SqlState};

use super::names::{check_columns, exists};
use crate::parse::{AlterTable, parse_expr, parse_query};
use crate::session::Session;

impl Session {
    pub(super) fn rename_column(&mut self, alter: &AlterTable, name: &str, to: &str) -> Result<(), SqlError> {
        let (_, table) = self.table_to_alter(&alter.table, "ALTER TABLE")?;
        let mut new = table.as_ref().clone();
        let at = new
            .column(name)
            .ok_or_else(|| SqlError::new(SqlState::UNDEFINED_COLUMN, format!("column \"{name}\" does not exist")))?;
        if new.column(to).is_some() {
            let message = format!("column \"{to}\" of relation \"{}\" already exists", table.name);
            return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message));
        }
        to.clone_into(&mut new.columns[at].name);
        check_columns(new.columns.iter().map(|c| c.name.as_str()))?;
        let renamed = |text: &mut String| -> Result<(), SqlError> {
            let mut expr = parse_expr(text)?;
            let _ = VisitMut::visit(&mut expr, &mut Renamed { name, to });
            *text = expr.to_string();
            Ok(())
        };
        for column in &mut new.columns {
            column.generated.as_mut().map_or(Ok(()), renamed)?;
        }
        for check in &mut new.checks {
            renamed(&mut check.expression)?;
        }
        for index in &mut new.indexes {
            index.predicate.as_mut().map_or(Ok(()), renamed)?;
            for column in &mut index.columns {
                if let IndexSource::Expression { text, .. } = &mut column.source {
                    renamed(text)?;
                }
            }
        }
        self.edit(Edit::AlterTable(new))?;
        let catalog = self.open_transaction()?.catalog();
        for view in catalog.dependents_of(table.id).cloned().collect::<Vec<_>>() {
            if !self.is_good(&view)? {
                let message =
                    format!("cannot rename column \"{name}\" of table \"{}\": view \"{}\" reads it", table.name, view.name);
                return Err(SqlError::unsupported(message).hint("Drop the view, and make it anew afterwards."));
            }
        }
        Ok(())
    }

    pub(super) fn rename_table(&mut self, alter: &AlterTable, to: &str) -> Result<(), SqlError> {
        let (catalog, table) = self.table_to_alter(&alter.table, "ALTER TABLE")?;
        if catalog.relation(table.schema, to).is_some() {
            return Err(exists(to));
        }
        let schema = catalog.schema_by_id(table.schema).map_or("public", |s| s.name.as_str());
        self.edit(Edit::AlterTable(Table { name: to.to_owned(), ..table.as_ref().clone() }))?;
        self.tell_views(&table, schema, (schema, to))
    }

    pub(super) fn move_table(&mut self, alter: &AlterTable, to: &str) -> Result<(), SqlError> {
        let (catalog, table) = self.table_to_alter(&alter.table, "ALTER TABLE")?;
        let schema = self.scope(&catalog).schema(to)?.id;
        if schema == table.schema {
            return Ok(());
        }
        let sequences: Vec<_> = catalog.sequences_owned_by(table.id).cloned().collect();
        let keys = table.primary_key.iter().map(|key| &key.name).chain(table.indexes.iter().map(|index| &index.name));
        for name in std::iter::once(&table.name).chain(keys).chain(sequences.iter().map(|sequence| &sequence.name)) {
            if catalog.relation(schema, name).is_some() {
                let message = format!("relation \"{name}\" already exists in schema \"{to}\"");
                return Err(SqlError::new(SqlState::DUPLICATE_TABLE, message));
            }
        }
        let from = catalog.schema_by_id(table.schema).map_or("public", |s| s.name.as_str());
        self.edit(Edit::AlterTable(Table { schema, ..table.as_ref().clone() }))?;
        for sequence in sequences {
            self.edit(Edit::AlterSequence(catalog::Sequence { schema, ..sequence.as_ref().clone() }))?;
        }
        self.tell_views(&table, from, (to, &table.name))
    }

    /// Names a table anew in the views that read it.
    fn tell_views(&mut self, table: &Table, schema: &str, to: (&str, &str)) -> Result<(), SqlError> {
        let catalog = self.open_transaction()?.catalog();
        for view in catalog.dependents_of(table.id).cloned().collect::<Vec<_>>() {
            let mut query = parse_query(&view.query)?;
            let _ = query.visit(&mut Moved { from: (schema, &table.name), to });
            self.edit(Edit::ReplaceView(View { query: query.to_string(), ..view.as_ref().clone() }))?;
        }
        Ok(())
    }
}

/// Another name for a column, where it stands alone: expressions over one row have no qualifiers.
struct Renamed<'a> {
    name: &'a str,
    to: &'a str,
}

impl VisitorMut for Renamed<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> std::ops::ControlFlow<()> {
        if let Expr::Identifier(ident) = expr
            && ident.value == self.name
        {
            *ident = Ident::with_quote('"', self.to);
        }
        std::ops::ControlFlow::Continue(())
    }
}

/// Another schema and name for a relation of a view's query, which names them all with their schemas.
struct Moved<'a> {
    from: (&'a str, &'a str),
    to: (&'a str, &'a str),
}

impl VisitorMut for Moved<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> std::ops::ControlFlow<()> {
        if let TableFactor::Table { name, args: None, .. } = factor
            && let [schema, table] = name.0.as_slice()
            && schema.as_ident().is_some_and(|ident| ident.value == self.from.0)
            && table.as_ident().is_some_and(|ident| ident.value == self.from.1)
        {
            let part = |name: &str| Ident::with_quote('"', name);
            *name = ObjectName::from(vec![part(self.to.0), part(self.to.1)]);
        }
        std::ops::ControlFlow::Continue(())
    }
}

//! CREATE TABLE.

use std::ops::ControlFlow;

use catalog::{Catalog, Column, Deferral, Edit, Index, IndexColumn, IndexSource, PrimaryKey, Table, UniqueConstraint};
use sqlparser::ast::{Expr, Visit, Visitor};
use types::{ColumnId, Oid, SchemaId, SqlError, SqlState, TableId};

use crate::answer::Answer;
use crate::ddl::generated::of_default;
use crate::ddl::moments::settle_default;
use crate::ddl::names::{check_columns, exists, key_name};
use crate::dml::check_assignable;
use crate::evaluate::{self, Simple};
use crate::notice::Notice;
use crate::parse::{ColumnDefinition, CreateTable, KeyConstraint};
use crate::session::Session;

impl Session {
    pub(crate) async fn create_table(&mut self, create: &CreateTable) -> Result<Answer, SqlError> {
        let catalog = self.begin_ddl();
        let schema = self.scope(&catalog).schema_for_new(&create.name)?.id;
        if catalog.relation(schema, &create.name.name).is_some() {
            self.exists_already(&create.name.name, create.if_not_exists)?;
            return Ok(Answer::Done("CREATE TABLE".into()));
        }
        check_columns(create.columns.iter().map(|c| c.name.as_str()))?;
        let mut columns = Vec::with_capacity(create.columns.len());
        for (at, definition) in create.columns.iter().enumerate() {
            let id = ColumnId(u16::try_from(at + 1).unwrap_or(u16::MAX));
            columns.push(self.column(&catalog, definition, id)?);
        }
        let mut table =
            Table { id: TableId(self.new_oid()?), schema, name: create.name.name.clone(), columns, ..Table::default() };
        for (at, definition) in create.columns.iter().enumerate() {
            self.add_sequence(&mut table, at, definition)?;
        }
        self.add_generated(&mut table, &create.columns.iter().collect::<Vec<_>>())?;
        if let Some(key) = &create.primary_key {
            self.add_key(&mut table, key)?;
        }
        self.add_constraints(&mut table, &create.constraints)?;
        self.edit(Edit::CreateTable(table.clone()))?;
        self.announce_references(&table)?;
        Ok(Answer::Done("CREATE TABLE".into()))
    }

    /// A column as it is defined, but for its sequence and what it is computed by. Errors: everything wrong with its DEFAULT.
    pub(crate) fn column(&mut self, catalog: &Catalog, definition: &ColumnDefinition, id: ColumnId) -> Result<Column, SqlError> {
        let mut column = Column {
            id,
            name: definition.name.clone(),
            data_type: definition.data_type,
            not_null: definition.not_null,
            default: None,
            identity: None,
            generated: definition.generated.as_ref().map(Expr::to_string),
        };
        self.check_default(definition, &column)?;
        if let Some(mut default) = definition.default.clone() {
            self.settle_sequences(catalog, &mut default)?;
            settle_default(&mut default, column.data_type, &self.dates())?;
            column.default = Some(default.to_string());
        }
        Ok(column)
    }

    /// Gives a table that is being made its primary key, whose columns cannot be NULL. Errors: 42703, 42701, 42P07.
    pub(crate) fn add_key(&mut self, table: &mut Table, key: &KeyConstraint) -> Result<(), SqlError> {
        let mut positions = Vec::new();
        for name in &key.columns {
            let position = table.column(name).ok_or_else(|| {
                SqlError::new(SqlState::UNDEFINED_COLUMN, format!("column \"{name}\" named in key does not exist"))
            })?;
            if positions.contains(&position) {
                let message = format!("column \"{name}\" appears twice in primary key constraint");
                return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message));
            }
            positions.push(position);
        }
        for &position in &positions {
            table.columns[position].not_null = true;
        }
        let catalog = self.open_transaction()?.catalog();
        let name = match &key.name {
            Some(name) if catalog.relation(table.schema, name).is_some() || *name == table.name => return Err(exists(name)),
            Some(name) => name.clone(),
            None => key_name(&catalog, table.schema, &table.name),
        };
        if key.deferral == Deferral::NotDeferrable {
            table.primary_key = Some(PrimaryKey { id: Oid(self.new_oid()?), name, columns: positions });
            return Ok(());
        }
        // Rows with equal keys are to be kept for a while: it is an index beside them.
        let column = |at: usize| {
            let Column { id, data_type, .. } = table.columns[at];
            let source = IndexSource::Column(id);
            IndexColumn { source, data_type, nullable: false, descending: false, nulls_first: false }
        };
        let columns = positions.into_iter().map(column).collect();
        let id = Oid(self.new_oid()?);
        let constraint = Some(UniqueConstraint { id, deferral: key.deferral, primary: true });
        let id = TableId(self.new_oid()?);
        table.indexes.push(Index { id, name, columns, unique: true, nulls_not_distinct: false, predicate: None, constraint });
        Ok(())
    }

    /// A relation of this name exists: a notice if that was foreseen, else an error.
    pub(crate) fn exists_already(&mut self, name: &str, foreseen: bool) -> Result<(), SqlError> {
        if !foreseen {
            return Err(exists(name));
        }
        let message = format!("relation \"{name}\" already exists, skipping");
        self.notice(Notice::notice_with(SqlState::DUPLICATE_TABLE, message));
        Ok(())
    }

    /// Errors unless a DEFAULT can be computed and assigned to its column.
    pub(crate) fn check_default(&mut self, definition: &ColumnDefinition, column: &Column) -> Result<(), SqlError> {
        let Some(expr) = &definition.default else { return Ok(()) };
        let dates = self.dates();
        if let Some(simple) = Simple::of(expr, &dates)? {
            return match simple.assign(column.data_type, &column.name, &dates)? {
                Some(_) => Ok(()),
                None => Err(SqlError::new(SqlState::UNDEFINED_PARAMETER, "there is no parameter in a DEFAULT expression")),
            };
        }
        if let ControlFlow::Break(what) = expr.visit(&mut Refused) {
            return Err(SqlError::unsupported(format!("cannot use {what} in DEFAULT expression")));
        }
        let query = evaluate::select(std::slice::from_ref(expr), None)?;
        let (plan, _) = self.analytic_plan(None, &query, &[])?;
        if !plan.params().is_empty() {
            return Err(SqlError::new(SqlState::UNDEFINED_PARAMETER, "there is no parameter in a DEFAULT expression"));
        }
        match plan.columns() {
            [one] => check_assignable(one.data_type, column).map_err(of_default),
            _ => Err(SqlError::bug("an expression gave several columns")),
        }
    }
}

/// What an expression for one row cannot have.
struct Refused;

impl Visitor for Refused {
    type Break = &'static str;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<&'static str> {
        match expr {
            Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => ControlFlow::Break("subquery"),
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => ControlFlow::Break("column reference"),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// A table whose columns are a query's.
pub(crate) fn table_like(
    id: u32,
    schema: SchemaId,
    name: &str,
    columns: impl Iterator<Item = (String, types::SqlType)>,
) -> Table {
    let columns = columns.enumerate().map(|(at, (name, data_type))| Column {
        id: ColumnId(u16::try_from(at + 1).unwrap_or(u16::MAX)),
        name,
        data_type,
        not_null: false,
        default: None,
        identity: None,
        generated: None,
    });
    Table { id: TableId(id), schema, name: name.to_owned(), columns: columns.collect(), ..Table::default() }
}

//! CREATE INDEX, REINDEX, ALTER INDEX, and taking indexes away.
//!
//! 1. An index is built while its table is held: readers go on, writers wait until the transaction has ended. CONCURRENTLY is taken
//!    for what it is without: there is no build that lets writers go on yet.
//! 2. A rebuilt index is a new one under the old name.

use std::sync::Arc;

use analytic::RowFunctions;
use catalog::{Catalog, Edit, Index, IndexColumn, IndexSource, Relation, Table};
use sqlparser::ast::Expr;
use types::{ColumnId, Datum, RowLayout, SqlError, SqlState, SqlType, TableId};

use crate::answer::Answer;
use crate::ddl::foreign_key::relying_on;
use crate::ddl::immutable::is_immutable;
use crate::ddl::moments::settle;
use crate::ddl::names::{choose_name, column_name, exists};
use crate::deparse::{self, Style};
use crate::names::Name;
use crate::notice::Notice;
use crate::parse::{CreateIndex, IndexElement, ReindexKind, Statement, parse_expr};
use crate::session::Session;

/// Columns of an index, at most: PostgreSQL's.
pub(crate) const INDEX_COLUMNS_MAX: usize = 32;

/// 22P02, 22007, 22008, 22003: what a text that is no value of a type is refused with.
const BAD_CONSTANT: [SqlState; 4] = [SqlState(*b"22P02"), SqlState(*b"22007"), SqlState(*b"22008"), SqlState(*b"22003")];

impl Session {
    /// A table that is about to be altered by a command, held, with the catalog that has it. Errors: 42P01, 42809, 55006.
    pub(crate) fn table_to_alter(&mut self, name: &Name, command: &str) -> Result<(Arc<Catalog>, Arc<Table>), SqlError> {
        self.begin_ddl();
        loop {
            let catalog = self.catalog();
            let table = Arc::clone(self.scope(&catalog).table(name)?);
            if self.hold_table(table.id)? {
                self.check_nothing_deferred(&table, command)?;
                return Ok((catalog, table));
            }
        }
    }

    pub(crate) fn create_index(&mut self, statement: &Statement, create: &CreateIndex) -> Result<Answer, SqlError> {
        if create.concurrently {
            self.prevent_in_block(statement, "CREATE INDEX CONCURRENTLY")?;
        }
        let done = Answer::Done("CREATE INDEX".into());
        let catalog = self.begin_ddl();
        if let Some(Relation::View(id)) = self.scope(&catalog).find(&create.table)? {
            let name = &self.scope(&catalog).view(id)?.name;
            let message = format!("cannot create index on relation \"{name}\"");
            let error = SqlError::new(SqlState::WRONG_OBJECT_TYPE, message);
            return Err(error.detail("This operation is not supported for views."));
        }
        let (catalog, table) = self.table_to_alter(&create.table, "CREATE INDEX")?;
        if let Some(name) = &create.name
            && catalog.relation(table.schema, name).is_some()
        {
            self.exists_already(name, create.if_not_exists)?;
            return Ok(done);
        }
        let mut columns = Vec::with_capacity(create.columns.len());
        for element in &create.columns {
            columns.push(self.index_column(&table, &catalog, element)?);
        }
        check_width(columns.len())?;
        let predicate = match &create.predicate {
            None => None,
            Some(predicate) => Some(self.condition(&table, &catalog, predicate, Condition::IndexPredicate)?),
        };
        let name = match &create.name {
            Some(name) => name.clone(),
            None => {
                let addition = name_addition(columns.iter().map(|c| c.name(&table)));
                choose_name(&table.name, &addition, "idx", &|name| catalog.relation(table.schema, name).is_some())
            }
        };
        let index = Index {
            id: TableId(self.new_oid()?),
            name,
            columns,
            unique: create.unique,
            nulls_not_distinct: create.nulls_not_distinct,
            predicate,
            constraint: None,
        };
        self.add_index(&table, index)?;
        Ok(done)
    }

    /// Adds an index to a table that is held, and builds it. Returns the table with it.
    pub(crate) fn add_index(&mut self, table: &Table, index: Index) -> Result<Arc<Table>, SqlError> {
        let id = index.id;
        let mut altered = table.clone();
        altered.indexes.push(index);
        altered.indexes.sort_by_key(|index| index.id);
        self.alter_and_build(altered, &[id])
    }

    /// Puts a table's new definition in force, and builds the indexes `new` of it.
    fn alter_and_build(&mut self, altered: Table, new: &[TableId]) -> Result<Arc<Table>, SqlError> {
        let altered = Arc::new(altered);
        self.edit(Edit::AlterTable(altered.as_ref().clone()))?;
        env::point(self.instance.env().as_ref(), "index: defined");
        let target = self.target(&altered)?;
        let transaction = self.open_transaction()?;
        for id in new {
            super::build::build_index(transaction, &target, *id)?;
        }
        env::point(self.instance.env().as_ref(), "index: filled");
        self.check_unique(&target, Some(new)).map_err(|error| {
            let name = error.fields.constraint.clone().unwrap_or_default();
            super::build::not_unique(error, &name)
        })?;
        Ok(altered)
    }

    /// An index's column or expression. Errors: everything wrong with it; 42P17 if its value may change by itself.
    fn index_column(&mut self, table: &Table, catalog: &Arc<Catalog>, element: &IndexElement) -> Result<IndexColumn, SqlError> {
        let IndexElement { expr, descending, nulls_first } = element;
        let (descending, nulls_first) = (*descending, *nulls_first);
        let mut inner = expr;
        while let Expr::Nested(nested) = inner {
            inner = nested;
        }
        if let Expr::Identifier(ident) = inner {
            let column = table
                .column(&ident.value)
                .map(|at| &table.columns[at])
                .ok_or_else(|| SqlError::new(SqlState::UNDEFINED_COLUMN, format!("column \"{}\" does not exist", ident.value)))?;
            let source = IndexSource::Column(column.id);
            let (data_type, nullable) = (column.data_type, !column.not_null);
            return Ok(IndexColumn { source, data_type, nullable, descending, nulls_first });
        }
        super::constraint::refuse_in_row(inner, "index expression", "index expressions")?;
        let mut expr = super::constraint::without_qualifiers(inner, table);
        settle(&mut expr, &self.dates())?;
        let functions = self.row_functions(table, catalog, std::slice::from_ref(&expr))?;
        refuse_bad_constants(&functions, table)?;
        if !is_immutable(&expr, table) {
            let message = "functions in index expression must be marked IMMUTABLE";
            return Err(SqlError::new(SqlState(*b"42P17"), message));
        }
        let [data_type] = functions.types() else { return Err(SqlError::bug("an expression of several columns")) };
        let source = IndexSource::Expression { text: expr.to_string(), name: column_name(&expr).0 };
        Ok(IndexColumn { source, data_type: *data_type, nullable: true, descending, nulls_first })
    }

    /// Reads the expressions and conditions of indexes anew that read a column which has another type in `new` than in `old`. What they
    /// mean is what they meant for `old`: constants keep their types. Errors: those of making such an index.
    pub(super) fn retype_indexes(&mut self, old: &Table, new: &mut Table) -> Result<(), SqlError> {
        let type_in = |table: &Table, id| table.column_by_id(id).map(|column| column.data_type);
        let is_retyped = |id: &ColumnId| type_in(old, *id).is_some_and(|before| type_in(new, *id) != Some(before));
        let reads = |text: &str| deparse::columns(text, old).iter().any(is_retyped);
        let written = |text: &str| parse_expr(&deparse::expression(text, old, Style::Full).text);
        let mut indexes = new.indexes.clone();
        let catalog = self.catalog_with(&Table { indexes: vec![], ..new.clone() })?;
        for index in &mut indexes {
            for column in &mut index.columns {
                if let IndexSource::Expression { text, .. } = &column.source
                    && reads(text)
                {
                    let IndexColumn { descending, nulls_first, .. } = *column;
                    *column =
                        self.index_column(new, &catalog, &IndexElement { expr: written(text)?, descending, nulls_first })?;
                }
            }
            if let Some(predicate) = index.predicate.as_mut().filter(|text| reads(text)) {
                *predicate = self.condition(new, &catalog, &written(predicate)?, Condition::IndexPredicate)?;
            }
        }
        new.indexes = indexes;
        Ok(())
    }

    /// A condition over a table's rows, checked, as text. Errors: 42804 unless it is boolean, and everything else wrong with it.
    pub(crate) fn condition(
        &mut self,
        table: &Table,
        catalog: &Arc<Catalog>,
        condition: &Expr,
        of: Condition,
    ) -> Result<String, SqlError> {
        let (one, many) = match of {
            Condition::Check => ("check constraint", "check constraints"),
            Condition::IndexPredicate => ("index predicate", "index predicates"),
        };
        super::constraint::refuse_in_row(condition, one, many)?;
        let mut condition = super::constraint::without_qualifiers(condition, table);
        settle(&mut condition, &self.dates())?;
        let functions = self.row_functions(table, catalog, std::slice::from_ref(&condition))?;
        refuse_bad_constants(&functions, table)?;
        if let [data_type] = functions.types()
            && *data_type != SqlType::Bool
            && !matches!(condition, Expr::Value(_))
        {
            let clause = if of == Condition::Check { "CHECK" } else { "WHERE" };
            let message = format!("argument of {clause} must be type boolean, not type {data_type}");
            return Err(SqlError::new(SqlState::DATATYPE_MISMATCH, message));
        }
        if of == Condition::IndexPredicate && !is_immutable(&condition, table) {
            let message = "functions in index predicate must be marked IMMUTABLE";
            return Err(SqlError::new(SqlState(*b"42P17"), message));
        }
        Ok(condition.to_string())
    }

    /// DROP INDEX of one that no constraint requires.
    pub(crate) fn drop_index(&mut self, id: TableId, cascade: bool) -> Result<(), SqlError> {
        let catalog = self.catalog();
        if let Some((table, index)) = catalog.table_of_index(id).and_then(|table| Some((table, table.index(id)?))) {
            let relying = relying_on(&catalog, table.id, Some(id));
            self.drop_relying(&relying, &format!("index {}", index.name), &index.name, cascade)?;
        }
        self.alter_index(id, |table| {
            table.indexes.retain(|index| index.id != id);
            Ok(())
        })
    }

    /// Changes the table of an index that stays as it is stored; nothing if the index is gone by now.
    fn alter_index(&mut self, id: TableId, change: impl FnOnce(&mut Table) -> Result<(), SqlError>) -> Result<(), SqlError> {
        while let Some(table) = self.catalog().table_of_index(id).cloned() {
            if self.hold_table(table.id)? {
                let mut altered = table.as_ref().clone();
                change(&mut altered)?;
                return self.edit(Edit::AlterTable(altered));
            }
        }
        Ok(())
    }

    pub(crate) fn rename_index(&mut self, index: &Name, if_exists: bool, to: &str) -> Result<Answer, SqlError> {
        let done = Answer::Done("ALTER INDEX".into());
        let catalog = self.begin_ddl();
        let taken = |schema| if catalog.relation(schema, to).is_some() { Err(exists(to)) } else { Ok(()) };
        match self.scope(&catalog).find(index)? {
            Some(Relation::Index(id)) => self.alter_index(id, |table| {
                taken(table.schema)?;
                table.indexes.iter_mut().filter(|index| index.id == id).for_each(|index| to.clone_into(&mut index.name));
                Ok(())
            })?,
            Some(Relation::PrimaryKey(_)) => {
                let (catalog, table) = self.table_of_key(index)?;
                if catalog.relation(table.schema, to).is_some() {
                    return Err(exists(to));
                }
                let mut altered = table.as_ref().clone();
                altered.primary_key.iter_mut().for_each(|key| to.clone_into(&mut key.name));
                self.edit(Edit::AlterTable(altered))?;
            }
            Some(_) => {
                let message = format!("\"{}\" is not an index", index.name);
                return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message));
            }
            None if if_exists => {
                self.notice(Notice::plain(format!("relation \"{index}\" does not exist, skipping")));
            }
            None => {
                let message = format!("relation \"{index}\" does not exist");
                return Err(SqlError::new(SqlState::UNDEFINED_TABLE, message));
            }
        }
        Ok(done)
    }

    /// The table whose primary key's index has this name, held.
    fn table_of_key(&mut self, index: &Name) -> Result<(Arc<Catalog>, Arc<Table>), SqlError> {
        loop {
            let catalog = self.catalog();
            let found = match self.scope(&catalog).find(index)? {
                Some(Relation::PrimaryKey(id)) => catalog.table_by_id(id).cloned(),
                _ => None,
            };
            let Some(table) = found else {
                let message = format!("relation \"{index}\" does not exist");
                return Err(SqlError::new(SqlState::UNDEFINED_TABLE, message));
            };
            if self.hold_table(table.id)? {
                return Ok((catalog, table));
            }
        }
    }

    pub(crate) fn reindex(&mut self, statement: &Statement, kind: ReindexKind, name: &Name) -> Result<Answer, SqlError> {
        match kind {
            ReindexKind::Schema => self.prevent_in_block(statement, "REINDEX SCHEMA")?,
            ReindexKind::Database => self.prevent_in_block(statement, "REINDEX DATABASE")?,
            ReindexKind::Index | ReindexKind::Table => {}
        }
        let catalog = self.begin_ddl();
        match kind {
            ReindexKind::Index => match self.scope(&catalog).find(name)? {
                Some(Relation::Index(id)) => {
                    if let Some(table) = catalog.table_of_index(id) {
                        self.rebuild_indexes(table.id, &|index| index.id == id)?;
                    }
                }
                // The rows themselves are sorted by it: there is nothing beside them that could be rebuilt.
                Some(Relation::PrimaryKey(_)) => {}
                Some(_) => {
                    let message = format!("\"{}\" is not an index", name.name);
                    return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message));
                }
                None => {
                    let message = format!("relation \"{name}\" does not exist");
                    return Err(SqlError::new(SqlState::UNDEFINED_TABLE, message));
                }
            },
            ReindexKind::Table => {
                let table = self.scope(&catalog).table(name)?.id;
                self.rebuild_indexes(table, &|_| true)?;
            }
            ReindexKind::Schema | ReindexKind::Database => {
                let schemas: Vec<_> = if kind == ReindexKind::Schema {
                    vec![self.scope(&catalog).schema(&name.name)?.id]
                } else {
                    if catalog.database_by_id(self.database).is_none_or(|d| d.name != name.name) {
                        return Err(SqlError::unsupported("can only reindex the currently open database"));
                    }
                    catalog.schemas_of(self.database).map(|s| s.id).collect()
                };
                let tables: Vec<TableId> = schemas.iter().flat_map(|s| catalog.tables_of(*s)).map(|t| t.id).collect();
                for table in tables {
                    self.rebuild_indexes(table, &|_| true)?;
                }
            }
        }
        Ok(Answer::Done("REINDEX".into()))
    }

    /// Builds indexes of a table anew, each as a new one with its name.
    pub(crate) fn rebuild_indexes(&mut self, table: TableId, wanted: &dyn Fn(&Index) -> bool) -> Result<(), SqlError> {
        loop {
            let Some(table) = self.catalog().table_by_id(table).cloned() else { return Ok(()) };
            if !self.hold_table(table.id)? {
                continue;
            }
            let mut altered = table.as_ref().clone();
            let mut new = Vec::new();
            for index in altered.indexes.iter_mut().filter(|index| wanted(index)) {
                index.id = TableId(self.new_oid()?);
                new.push(index.id);
            }
            altered.indexes.sort_by_key(|index| index.id);
            if !new.is_empty() {
                self.alter_and_build(altered, &new)?;
            }
            return Ok(());
        }
    }
}

/// Errors for constants that are no values of their types, which otherwise the first row would tell.
pub(super) fn refuse_bad_constants(functions: &RowFunctions, table: &Table) -> Result<(), SqlError> {
    let layout = RowLayout::new(&table.stored_types());
    let nulls = layout.encode(&vec![Datum::Null; layout.types().len()]);
    match functions.evaluate_row(layout.read(&nulls), table.hidden()) {
        Err(error) if BAD_CONSTANT.contains(&error.state) => Err(error),
        _ => Ok(()),
    }
}

/// What a condition is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Check,
    IndexPredicate,
}

pub(crate) fn check_width(columns: usize) -> Result<(), SqlError> {
    if columns <= INDEX_COLUMNS_MAX {
        return Ok(());
    }
    let message = format!("cannot use more than {INDEX_COLUMNS_MAX} columns in an index");
    Err(SqlError::new(SqlState::TOO_MANY_COLUMNS, message))
}

/// What the names of an index's columns add to its own: joined, with a number behind one that was there already.
pub(crate) fn name_addition<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut used: Vec<String> = Vec::new();
    for name in names {
        let mut candidate = name.to_owned();
        let mut number = 1;
        while used.contains(&candidate) {
            candidate = format!("{name}{number}");
            number += 1;
        }
        used.push(candidate);
    }
    used.join("_")
}

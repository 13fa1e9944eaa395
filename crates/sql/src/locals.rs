//! Relations of one statement: rows that a query of it reads and no table has.
//!
//! ```text
//! INSERT .. RETURNING a + 1        rows written        SELECT a + 1 FROM local
//! ON CONFLICT DO UPDATE SET ..     rows in the way     SELECT .. FROM local, excluded
//! WITH x AS (DELETE ..) SELECT     what a part gave    SELECT .. FROM x
//! ```
//!
//! 1. A local relation is defined when the statement is planned and gets its rows while it runs. Its name is found before those of
//!    the search path.
//! 2. No part of a statement sees what another part has written: tables are read as they were before it.
//!
//! Not here: how such rows are scanned (`reading`).

use std::collections::HashMap;
use std::sync::Arc;

use analytic::Kept;
use catalog::{Catalog, Edit, Schema, Table};
use sqlparser::ast::{Ident, ObjectName, ObjectNamePart};
use types::{DatabaseId, SchemaId, SqlError, SqlState, SqlType, TableId};

use crate::ddl::table_like;
use crate::reading::{Before, LocalRows};

/// The schema of local relations; nobody can write its name.
const SCHEMA: &str = "\u{1}local";

/// Local relations have ids from here on, tables below.
const FIRST_ID: u32 = 0xE000_0000;

/// As many as one statement can have.
const IDS: u32 = 1 << 24;

/// The name of the column that numbers the rows of relations that belong together.
pub(crate) const ROW_NUMBER: &str = "\u{1}row";

/// Bytes of rows that a part of a statement may give to another one.
const BYTES_MAX: usize = 256 << 20;

/// See the module's head.
#[derive(Default)]
pub(crate) struct Locals {
    made: u32,
    /// What names can stand for.
    visible: Vec<Arc<Table>>,
    /// What the statement that runs has so far.
    pub(crate) held: Held,
    /// For what is held to its end.
    rooms: Vec<Kept>,
}

/// What queries of a running statement read beside the tables.
#[derive(Clone, Default)]
pub(crate) struct Held {
    pub(crate) rows: HashMap<TableId, Arc<LocalRows>>,
    /// The only rows that are looked at, of tables to be changed or locked.
    pub(crate) targets: HashMap<TableId, Arc<LocalRows>>,
    /// What the statement has changed, if later parts of it must not see that.
    pub(crate) before: Option<Arc<Before>>,
}

/// Whether a relation is one of a statement.
pub(crate) fn is_local(id: TableId) -> bool {
    id.0 >= FIRST_ID
}

/// The name of a local relation in a query.
pub(crate) fn name(table: &Table) -> ObjectName {
    let part = |name: &str| ObjectNamePart::Identifier(Ident::with_quote('"', name));
    ObjectName(vec![part(SCHEMA), part(&table.name)])
}

impl Locals {
    /// A new relation. With `numbered`, its first column is [`ROW_NUMBER`].
    pub(crate) fn define(&mut self, name: &str, numbered: bool, columns: impl Iterator<Item = (String, SqlType)>) -> Arc<Table> {
        self.made = (self.made + 1) % IDS;
        let number = numbered.then(|| (ROW_NUMBER.to_owned(), SqlType::Int8));
        let columns = number.into_iter().chain(columns);
        Arc::new(table_like(FIRST_ID + self.made, SchemaId(FIRST_ID), name, columns))
    }

    /// Lets names of the queries that are planned from now on stand for these too. Gives back what to [`Locals::hide`] again.
    pub(crate) fn show(&mut self, tables: impl IntoIterator<Item = Arc<Table>>) -> usize {
        let mark = self.visible.len();
        self.visible.extend(tables);
        mark
    }

    pub(crate) fn hide(&mut self, mark: usize) {
        self.visible.truncate(mark);
    }

    /// Whether an unqualified name is one of them.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.visible.iter().any(|table| table.name == name)
    }

    /// The catalog and the search path with what is visible.
    pub(crate) fn scope(
        &self,
        catalog: Arc<Catalog>,
        database: DatabaseId,
        search_path: &[String],
    ) -> Result<(Arc<Catalog>, Vec<String>), SqlError> {
        if self.visible.is_empty() {
            return Ok((catalog, search_path.to_vec()));
        }
        let schema = Schema { id: SchemaId(FIRST_ID), database, name: SCHEMA.to_owned() };
        let mut catalog = catalog.apply(&Edit::CreateSchema(schema)).map_err(|e| SqlError::bug(e.to_string()))?;
        for (at, table) in self.visible.iter().enumerate() {
            // The last one of a name.
            if !self.visible[at + 1..].iter().any(|later| later.name == table.name) {
                let edit = Edit::CreateTable(table.as_ref().clone());
                catalog = catalog.apply(&edit).map_err(|e| SqlError::bug(e.to_string()))?;
            }
        }
        let implicit = (!search_path.iter().any(|s| s == "pg_catalog")).then(|| "pg_catalog".to_owned());
        let path = std::iter::once(SCHEMA.to_owned()).chain(implicit).chain(search_path.iter().cloned());
        Ok((Arc::new(catalog), path.collect()))
    }

    /// Forgets what a statement had, before the next one and after an error.
    pub(crate) fn clear(&mut self) {
        self.visible.clear();
        self.held = Held::default();
        self.rooms.clear();
    }

    /// Keeps room until the statement ends.
    pub(crate) fn keep(&mut self, room: Kept) {
        self.rooms.push(room);
    }

    /// Gives a relation its rows, in `room`. Errors: 53200, and 54000 for more than 256 MB.
    pub(crate) fn fill(&mut self, table: &Table, rows: LocalRows, room: &mut Kept) -> Result<(), SqlError> {
        room.add(rows.bytes())?;
        if rows.bytes() > BYTES_MAX {
            let message = "a part of the statement gives more than 256 MB to another one";
            return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
        }
        self.held.rows.insert(table.id, Arc::new(rows));
        Ok(())
    }
}

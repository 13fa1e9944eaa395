//! How rows of a table are written: the one path of everything that adds, changes or removes rows.
//!
//! ```text
//! insert    NOT NULL, CHECK --> row --> an entry in each index          a key that exists: conflict, nothing of the row remains
//! modify    row locked, changed by the caller --> NOT NULL, CHECK --> new row --> entries of indexes whose columns changed
//! ```
//!
//! 1. A row and its index entries are changes of one transaction: they are seen, undone, logged and recovered together.
//! 2. An index's entries are exactly one for each row its predicate holds for (`check` compares them).
//! 3. A change that leaves an index's columns alone does not touch the index.
//! 4. A writer is made for one definition of the table; [`engine::Transaction::hold_definition`] keeps that definition in force.
//!
//! Not here: where new values come from (those of generated columns are in `generated`), defaults, and what foreign keys need after a statement (`sql`).
//! Source: PostgreSQL 15 `execIndexing.c` and `ExecConstraints`, for order and messages.

mod arbiters;
mod batch;
mod entries;
mod errors;
mod expression;
mod generated;
mod owed;

use std::sync::Arc;

use catalog::{Check, Table};
use engine::{Change, EngineError, Modified, Transaction};
use types::{Datum, DatumRef, Key, Row, RowLayout, RowRef, SqlError, TableId};

pub use arbiters::{Arbiters, changed_since};
pub use batch::StoredBatch;
pub use entries::IndexRule;
pub use expression::{Compile, Expression, RowFunction};
pub use owed::Links;

use generated::GeneratedRule;

/// Writes rows of one table, see the module's head.
#[derive(Debug)]
pub struct TableWriter {
    table: Arc<Table>,
    layout: Arc<RowLayout>,
    schema_name: String,
    generated: Vec<GeneratedRule>,
    checks: Vec<CheckRule>,
    indexes: Vec<IndexRule>,
    links: Links,
}

/// [`Transaction::modify`] or its kin.
type Modify =
    fn(&mut Transaction, TableId, &[u8], &mut dyn FnMut(RowRef<'_>) -> Result<Change, SqlError>) -> Result<Modified, EngineError>;

/// What is to become of a row, see [`TableWriter::modify_or_move`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// As the engine has it.
    Here(Change),
    /// It gets another key: it goes, and [`TableWriter::insert_moved`] is to follow.
    Moves,
}

#[derive(Debug)]
struct CheckRule {
    name: String,
    condition: Expression,
}

/// What [`TableWriter::insert`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The row is there; its key.
    Done(Key),
    /// It is not, because of a row that is.
    Conflict(Conflict),
}

/// A key that a new row would have and that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The unique index; `None`: the primary key.
    pub index: Option<TableId>,
    key: Key,
}

impl TableWriter {
    /// A writer of `table`, which is in a schema of this name and has these foreign keys.
    pub fn new(table: &Arc<Table>, schema_name: &str, links: Links, compile: &mut dyn Compile) -> Result<TableWriter, SqlError> {
        let generated = GeneratedRule::all(table, compile)?;
        let mut rule =
            |check: &Check| Ok(CheckRule { name: check.name.clone(), condition: compile.expression(&check.expression)? });
        let checks = table.checks.iter().map(&mut rule).collect::<Result<_, SqlError>>()?;
        let indexes = table.indexes.iter().map(|index| IndexRule::new(table, index, compile));
        Ok(TableWriter {
            table: Arc::clone(table),
            layout: Arc::new(RowLayout::new(&table.stored_types())),
            schema_name: schema_name.to_owned(),
            generated,
            checks,
            indexes: indexes.collect::<Result<_, SqlError>>()?,
            links,
        })
    }

    /// The table.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// The layout of its rows.
    pub fn layout(&self) -> &Arc<RowLayout> {
        &self.layout
    }

    /// Its indexes.
    pub fn indexes(&self) -> &[IndexRule] {
        &self.indexes
    }

    /// Whether rows have to be looked at one by one before they are written.
    pub fn has_checks(&self) -> bool {
        !self.checks.is_empty()
    }

    /// Adds a row given by its SQL columns, which are of their types. A conflict leaves nothing of it.
    /// Errors: 23502, 23514, and the engine's.
    pub fn insert(&self, transaction: &mut Transaction, values: &[Datum]) -> Result<Inserted, SqlError> {
        self.add(transaction, values, None, &Arbiters::All)
    }

    /// Adds a row that has [`Fate::Moves`]: `old` is what it was.
    pub fn insert_moved(&self, transaction: &mut Transaction, old: &Row, values: &[Datum]) -> Result<Inserted, SqlError> {
        self.add(transaction, values, Some(old), &Arbiters::All)
    }

    /// The stored row with these SQL columns, with a new row id if it needs one.
    fn row_of(&self, transaction: &mut Transaction, values: &[Datum]) -> Result<Row, SqlError> {
        if self.table.hidden() == 0 {
            return Ok(self.layout.encode_refs(values.iter().map(Datum::as_ref)));
        }
        let rowid = Some(DatumRef::Int8(transaction.new_rowid(self.table.id)?));
        Ok(self.layout.encode_refs(StoredColumns { rowid, values: values.iter() }))
    }

    /// A row with these SQL columns for expressions to read: its row id, if it has one, is nobody's.
    pub(crate) fn unnumbered(&self, values: &[Datum]) -> Row {
        let rowid = (self.table.hidden() == 1).then_some(DatumRef::Int8(0));
        self.layout.encode_refs(StoredColumns { rowid, values: values.iter() })
    }

    /// Lets `change` decide what becomes of the row with this key, as [`Transaction::modify`], and brings the indexes up to date.
    /// Errors: 23502, 23514, 23505, those of `change`, and the engine's.
    pub fn modify(
        &self,
        transaction: &mut Transaction,
        key: &[u8],
        change: &mut dyn FnMut(RowRef<'_>) -> Result<Change, SqlError>,
    ) -> Result<Modified, SqlError> {
        self.modify_or_move(transaction, key, &mut |row| change(row).map(Fate::Here))
    }

    /// As [`TableWriter::modify`], of whatever row has the key by now: see [`Transaction::modify_newest`].
    pub fn modify_newest(
        &self,
        transaction: &mut Transaction,
        key: &[u8],
        change: &mut dyn FnMut(RowRef<'_>) -> Result<Change, SqlError>,
    ) -> Result<Modified, SqlError> {
        self.change(transaction, key, Transaction::modify_newest, &mut |row| change(row).map(Fate::Here))
    }

    /// As [`TableWriter::modify`], of a row that may get another key.
    pub fn modify_or_move(
        &self,
        transaction: &mut Transaction,
        key: &[u8],
        change: &mut dyn FnMut(RowRef<'_>) -> Result<Fate, SqlError>,
    ) -> Result<Modified, SqlError> {
        self.change(transaction, key, Transaction::modify, change)
    }

    fn change(
        &self,
        transaction: &mut Transaction,
        key: &[u8],
        modify: Modify,
        change: &mut dyn FnMut(RowRef<'_>) -> Result<Fate, SqlError>,
    ) -> Result<Modified, SqlError> {
        // By index: the entry that goes and the one that comes.
        let mut entries: Vec<(Option<Row>, Option<Row>)> = Vec::new();
        let mut owed = Vec::new();
        let outcome = modify(transaction, self.table.id, key, &mut |old| {
            entries.clear();
            let (changed, moves) = match change(old)? {
                Fate::Here(changed) => (changed, false),
                Fate::Moves => (Change::Delete, true),
            };
            let new = match &changed {
                Change::Keep => return Ok(changed),
                Change::Delete => None,
                Change::Put(row) => {
                    let new = self.layout.read(row);
                    self.check_row_not_null(new)?;
                    self.check(new)?;
                    Some(new)
                }
            };
            if !self.links.is_empty() {
                // Actions come first: a row that refers to itself gets its own new key.
                owed = if moves { Vec::new() } else { self.links.referenced(old, new) };
                owed.extend(new.into_iter().flat_map(|new| self.links.references(&Key::from(key), Some(old), new, false)));
            }
            for index in &self.indexes {
                entries.push(match new {
                    Some(new) if !index.is_affected(old, new) => (None, None),
                    Some(new) => (index.entry(old)?, index.entry(new)?),
                    None => (index.entry(old)?, None),
                });
            }
            Ok(changed)
        });
        let outcome = match outcome {
            Err(EngineError::Statement(error)) => return Err(error),
            outcome => outcome?,
        };
        if outcome == Modified::Changed {
            self.owe(transaction, owed);
            for (index, (old, new)) in self.indexes.iter().zip(&entries) {
                if let Some(key) = index.replace(transaction, old.as_ref(), new.as_ref())? {
                    let conflict = Conflict { index: Some(index.id()), key };
                    return Err(self.conflict_error(&conflict, new.as_ref()));
                }
                if new != old {
                    new.iter().filter_map(|new| index.owed(new)).for_each(|owed| transaction.owe(owed));
                }
            }
        }
        Ok(outcome)
    }
}

/// The stored columns of a row: maybe a row id, then the SQL columns.
#[derive(Clone)]
struct StoredColumns<'a> {
    rowid: Option<DatumRef<'a>>,
    values: std::slice::Iter<'a, Datum>,
}

impl<'a> Iterator for StoredColumns<'a> {
    type Item = DatumRef<'a>;

    fn next(&mut self) -> Option<DatumRef<'a>> {
        self.rowid.take().or_else(|| self.values.next().map(Datum::as_ref))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.values.len() + usize::from(self.rowid.is_some());
        (len, Some(len))
    }
}

impl ExactSizeIterator for StoredColumns<'_> {}

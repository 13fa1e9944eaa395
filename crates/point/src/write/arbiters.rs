//! Rows that may be in conflict with others: what ON CONFLICT needs of a table's writer.
//!
//! ```text
//! insert_by: keys of the arbiters --> the other keys --> the row is there
//!                 |                        |
//!                 +--exists: a conflict    +--exists: a conflict with a key that is no arbiter's
//! conflicting: the row that has the key --> the caller holds it --> has_key: it still has it
//! ```
//!
//! 1. The arbiters' keys are claimed first: whoever waits for one of them holds nothing else of the row, and of several conflicts
//!    the arbiters' is found.
//! 2. READ COMMITTED: what is found may have gone when it is looked at; then the row is to be added again.
//! 3. REPEATABLE READ: a row in the way that the snapshot does not show as it is now is a 40001.
//!
//! Source: PostgreSQL 15 `ExecCheckIndexConstraints`; there an index is looked at before the row is made, here its entry is made first.

use std::collections::BTreeSet;

use catalog::{Index, IndexSource, Table};
use engine::{Change, EngineError, Modified, Transaction};
use types::{Datum, Key, Row, RowRef, SqlError, SqlState, TableId};

use super::{Conflict, IndexRule, Inserted, TableWriter};

/// The keys at which a conflict is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arbiters {
    /// Every key there is.
    All,
    /// The primary key, or not; and unique indexes.
    Keys {
        /// Whether the primary key is one.
        primary_key: bool,
        /// The indexes.
        indexes: Vec<TableId>,
    },
}

impl Arbiters {
    /// The keys that are of exactly these SQL columns, for all rows; `None`: there is no such key.
    pub fn of_columns(table: &Table, columns: &BTreeSet<usize>) -> Option<Arbiters> {
        let of_index = |index: &Index| -> Option<BTreeSet<usize>> {
            let column = |source: &IndexSource| match source {
                IndexSource::Column(id) => table.position_of(*id),
                IndexSource::Expression { .. } => None,
            };
            index.columns.iter().map(|c| column(&c.source)).collect()
        };
        let primary_key =
            table.primary_key.as_ref().is_some_and(|key| key.columns.iter().copied().collect::<BTreeSet<_>>() == *columns);
        let indexes = table.indexes.iter().filter(|index| index.refuses_duplicates() && index.predicate.is_none());
        let indexes = indexes.filter(|index| of_index(index).as_ref() == Some(columns)).map(|index| index.id);
        Arbiters::Keys { primary_key, indexes: indexes.collect() }.if_any()
    }

    /// `None` for no key at all.
    pub fn if_any(self) -> Option<Arbiters> {
        match &self {
            Arbiters::Keys { primary_key: false, indexes } if indexes.is_empty() => None,
            _ => Some(self),
        }
    }

    /// Whether the key of an index is one, or for `None` the primary key.
    pub fn has(&self, index: Option<TableId>) -> bool {
        match (self, index) {
            (Arbiters::All, _) => true,
            (Arbiters::Keys { primary_key, .. }, None) => *primary_key,
            (Arbiters::Keys { indexes, .. }, Some(index)) => indexes.contains(&index),
        }
    }

    /// Their names; none for all.
    pub fn names<'t>(&self, table: &'t Table) -> Vec<&'t str> {
        let Arbiters::Keys { primary_key, indexes } = self else { return vec![] };
        let key = table.primary_key.iter().filter(|_| *primary_key).map(|key| key.name.as_str());
        key.chain(table.indexes.iter().filter(|index| indexes.contains(&index.id)).map(|index| index.name.as_str())).collect()
    }
}

impl TableWriter {
    /// As [`TableWriter::insert`], with the keys of `arbiters` before the others.
    pub fn insert_by(&self, transaction: &mut Transaction, values: &[Datum], arbiters: &Arbiters) -> Result<Inserted, SqlError> {
        self.add(transaction, values, None, arbiters)
    }

    /// `old` is what the row was under another key, if it was.
    pub(super) fn add(
        &self,
        transaction: &mut Transaction,
        values: &[Datum],
        old: Option<&Row>,
        arbiters: &Arbiters,
    ) -> Result<Inserted, SqlError> {
        self.check_not_null(values)?;
        let row = self.row_of(transaction, values)?;
        let read = self.layout.read(&row);
        self.check(read)?;
        let start = (!self.indexes.is_empty()).then(|| transaction.savepoint());
        let key = self.table.key_of(&read);
        // The row itself, then its entries.
        let all = || std::iter::once(None).chain(self.indexes.iter().map(Some));
        let is_first = |index: &Option<&IndexRule>| arbiters.has(index.map(IndexRule::id));
        for index in all().filter(is_first).chain(all().filter(|index| !is_first(index))) {
            let conflict = match index {
                None => match transaction.insert(self.table.id, &row)? {
                    engine::Inserted::Done => continue,
                    engine::Inserted::Duplicate => Conflict { index: None, key },
                },
                Some(index) => {
                    let Some(entry) = index.entry(read)? else { continue };
                    match index.add(transaction, &entry)? {
                        None => {
                            index.owed(&entry).into_iter().for_each(|owed| transaction.owe(owed));
                            continue;
                        }
                        Some(key) => Conflict { index: Some(index.id()), key },
                    }
                }
            };
            if let Some(start) = &start {
                transaction.rollback_to(start);
            }
            return Ok(Inserted::Conflict(conflict));
        }
        if !self.links.is_empty() {
            let old = old.map(|old| self.layout.read(old));
            if let Some(old) = old {
                self.owe(transaction, self.links.referenced(old, Some(read)));
            }
            self.owe(transaction, self.links.references(&key, old, read, true));
        }
        Ok(Inserted::Done(key))
    }

    /// The key of the row that a new one is in conflict with: its newest version's, own changes included, waiting for who holds the
    /// entry. `None` if READ COMMITTED finds it gone by now. Errors: 40001 if REPEATABLE READ does not see it.
    pub fn conflicting(&self, transaction: &mut Transaction, conflict: &Conflict) -> Result<Option<Key>, SqlError> {
        let Some(index) = conflict.index.and_then(|id| self.indexes.iter().find(|index| index.id() == id)) else {
            return Ok(Some(conflict.key.clone()));
        };
        let mut found = None;
        let outcome = transaction.modify_newest(index.id(), &conflict.key, &mut |entry| {
            found = Some(index.row_key(&self.table, entry));
            Ok(Change::Keep)
        });
        was_found(transaction, outcome).map(|()| found)
    }

    /// Whether a row has the key that a conflict is about.
    pub fn has_key(&self, row: RowRef<'_>, conflict: &Conflict) -> Result<bool, SqlError> {
        let index = conflict.index.and_then(|id| self.indexes.iter().find(|index| index.id() == id));
        Ok(match index {
            None => self.table.key_of(&row) == conflict.key,
            Some(index) => index.entry(row)?.is_some_and(|entry| index.entry_key(&entry) == conflict.key),
        })
    }

    /// Errors with 40001 if REPEATABLE READ does not see the row in the way as it is now: nothing may be concluded from it then.
    pub fn see_conflicting(&self, transaction: &mut Transaction, conflict: &Conflict) -> Result<(), SqlError> {
        if transaction.isolation().keeps_snapshot()
            && let Some(key) = self.conflicting(transaction, conflict)?
        {
            let outcome = transaction.modify_newest(self.table.id, &key, &mut |_| Ok(Change::Keep));
            was_found(transaction, outcome)?;
        }
        Ok(())
    }
}

/// A row that REPEATABLE READ does not find is one that its snapshot does not show.
fn was_found(transaction: &Transaction, outcome: Result<Modified, EngineError>) -> Result<(), SqlError> {
    match outcome? {
        Modified::NotFound if transaction.isolation().keeps_snapshot() => Err(changed_since()),
        _ => Ok(()),
    }
}

/// 40001.
pub fn changed_since() -> SqlError {
    SqlError::new(SqlState::SERIALIZATION_FAILURE, "could not serialize access due to concurrent update")
}

//! Rows on their way into a table, one at a time, with notes of what they replace.

use std::collections::BTreeMap;
use std::sync::Arc;

use analytic::Kept;
use arrow::array::RecordBatch;
use catalog::Table;
use engine::{Change, Transaction};
use point::write::{Arbiters, Fate, Inserted};
use types::{Datum, Key, Row, SqlError};

use crate::dml::modify::key_at;
use crate::dml::target::Target;
use crate::reading::Before;
use crate::session::Session;

/// A transaction in the middle of a statement that writes.
pub(crate) struct Writer<'a> {
    pub(crate) transaction: &'a mut Transaction,
    before: Option<&'a mut Arc<Before>>,
}

impl Session {
    /// What the statement that runs writes with.
    pub(crate) fn writer(&mut self) -> Result<Writer<'_>, SqlError> {
        let Session { transaction, locals, .. } = self;
        let transaction = transaction.inner().ok_or_else(|| SqlError::bug("a statement that writes outside of a transaction"))?;
        Ok(Writer { transaction, before: locals.held.before.as_mut() })
    }

    /// From now on queries of this statement read tables as they are now.
    pub(crate) fn hide_changes(&mut self) {
        self.locals.held.before.get_or_insert_default();
    }
}

/// What is to become of a row.
pub(crate) enum RowChange<'a> {
    Delete,
    /// These SQL columns get these values.
    Set(&'a [(usize, Datum)]),
}

/// What became of it.
pub(crate) enum Changed {
    /// It is done: the SQL columns of the new row, or of the one that is deleted.
    Done(Vec<Datum>),
    /// The row is not there any more.
    Gone,
    /// The row is another one than the statement's snapshot shows: nothing was changed.
    Stale,
}

impl Writer<'_> {
    /// Changes the row with this key. Where it gets another key, the old row goes before the new one comes, one row after the other as
    /// in PostgreSQL: it must not meet a row that is to get another key later. Errors: those of [`point::TableWriter::modify`].
    pub(crate) fn change(&mut self, target: &Target, key: &[u8], change: &RowChange<'_>) -> Result<Changed, SqlError> {
        // REPEATABLE READ: the engine itself refuses a row that has changed.
        let looks = !self.transaction.isolation().keeps_snapshot();
        let seen = if looks { self.transaction.get(target.table.id, key)? } else { None };
        self.note(&target.table, key)?;
        let hidden = target.table.hidden();
        let mut changed = Changed::Gone;
        // What it was, of a row that gets another key.
        let mut moved = None;
        target.writer.modify_or_move(self.transaction, key, &mut |row| {
            moved = None;
            if looks && seen.as_ref() != Some(&row.to_row()) {
                changed = Changed::Stale;
                return Ok(Fate::Here(Change::Keep));
            }
            let mut values = row.to_datums();
            let RowChange::Set(new) = change else {
                changed = Changed::Done(values.split_off(hidden));
                return Ok(Fate::Here(Change::Delete));
            };
            for (at, value) in *new {
                values[hidden + at].clone_from(value);
            }
            target.writer.generate(&mut values[hidden..])?;
            // Before the key, which has no NULL.
            target.writer.check_not_null(&values[hidden..])?;
            let image = target.layout.encode(&values);
            let moves = *target.table.key_of(&target.layout.read(&image)) != *key;
            changed = Changed::Done(values.split_off(hidden));
            if moves {
                moved = Some(row.to_row());
                return Ok(Fate::Moves);
            }
            Ok(Fate::Here(Change::Put(image)))
        })?;
        if let (Some(old), Changed::Done(values)) = (moved, &changed) {
            self.note(&target.table, &target.key_of(values))?;
            target.insert_moved(self.transaction, &old, values)?;
        }
        Ok(changed)
    }

    /// Adds a row by its SQL columns, which are of their types. Errors: 23502, 23505, 23514, and the engine's.
    pub(crate) fn insert(&mut self, target: &Target, values: &[Datum]) -> Result<(), SqlError> {
        match self.insert_by(target, values, &Arbiters::All)? {
            Inserted::Done(_) => Ok(()),
            Inserted::Conflict(conflict) => Err(target.writer.conflict(&conflict, values)),
        }
    }

    /// As [`point::TableWriter::insert_by`].
    pub(crate) fn insert_by(&mut self, target: &Target, values: &[Datum], arbiters: &Arbiters) -> Result<Inserted, SqlError> {
        // NULL in a key is an error of the writer's.
        let is_keyed = target.table.hidden() == 0 && target.writer.check_not_null(values).is_ok();
        if self.before.is_some() && is_keyed {
            self.note(&target.table, &target.key_of(values))?;
        }
        let inserted = target.writer.insert_by(self.transaction, values, arbiters)?;
        if let (Inserted::Done(key), Some(before)) = (&inserted, &mut self.before)
            && !is_keyed
        {
            Arc::make_mut(before).note(target.table.id, key, None);
        }
        Ok(inserted)
    }

    /// Holds every row that a query has found until the transaction ends. Returns those that are not what the statement's snapshot
    /// shows any more, as they are now; `None`: it has ended.
    pub(crate) fn hold_found(
        &mut self,
        table: &Table,
        found: &[RecordBatch],
        cancel: &engine::Cancel,
        kept: &mut Kept,
    ) -> Result<BTreeMap<Key, Option<Row>>, SqlError> {
        let mut changed = BTreeMap::new();
        for batch in found {
            if cancel.is_set() {
                return Err(crate::watch::canceled());
            }
            for row in 0..batch.num_rows() {
                let Some(key) = key_at(batch.column(0), row)? else { continue };
                let seen = self.transaction.get(table.id, key)?;
                let now = self.hold(table, key)?;
                if now == seen {
                    continue;
                }
                kept.add(2 * size_of::<(Key, Option<Row>)>() + key.len() + now.as_ref().map_or(0, |row| row.0.len()))?;
                if let Some(before) = &mut self.before
                    && !before.has(table.id, key)
                {
                    Arc::make_mut(before).note(table.id, key, seen);
                }
                changed.insert(Key::from(key), now);
            }
        }
        Ok(changed)
    }

    /// Holds the row that the statement's snapshot shows under a key until the transaction ends. Returns it as it is now, `None` if it
    /// has ended.
    pub(crate) fn hold(&mut self, table: &Table, key: &[u8]) -> Result<Option<Row>, SqlError> {
        let mut found = None;
        // A write of the row as it is holds it; it concerns no index and no constraint.
        self.transaction.modify(table.id, key, &mut |row| {
            found = Some(row.to_row());
            Ok(Change::Put(row.to_row()))
        })?;
        Ok(found)
    }

    /// As [`Writer::hold`], of whatever row has the key by now; queries of this statement do not see that it was written.
    pub(crate) fn hold_newest(&mut self, table: &Table, key: &[u8]) -> Result<Option<Row>, SqlError> {
        self.note(table, key)?;
        let mut found = None;
        self.transaction.modify_newest(table.id, key, &mut |row| {
            found = Some(row.to_row());
            Ok(Change::Put(row.to_row()))
        })?;
        Ok(found)
    }

    fn note(&mut self, table: &Table, key: &[u8]) -> Result<(), SqlError> {
        if let Some(before) = &mut self.before
            && !before.has(table.id, key)
        {
            let row = self.transaction.get(table.id, key)?;
            Arc::make_mut(before).note(table.id, key, row);
        }
        Ok(())
    }
}

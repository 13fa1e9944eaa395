//! Rows that are locked without being written.
//!
//! 1. What is given back is the row's newest version, which may not be on disk yet: see [`Transaction::settle_seen`].
//! 2. Locks are given back with the savepoint they were taken after.
//! 3. Past some number of rows a transaction locks the whole table against writers instead.
//!
//! Source: PostgreSQL 15 `heap_lock_tuple`, `nodeLockRows.c`.

use std::sync::Arc;

use txn::{LockMode, RowLock};
use types::{Key, Row, TableId, TxnId};

use super::{Change, Modified, Transaction};
use crate::error::EngineError;

/// Rows that a transaction keeps locks of, at most: some 10 MB.
const ROW_LOCKS_MAX: usize = 100_000;

/// What to do about a row that another transaction has locked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnLocked {
    /// Wait for the end of that transaction.
    #[default]
    Wait,
    /// Fail with 55P03: NOWAIT.
    Fail,
    /// Leave the row out: SKIP LOCKED.
    Skip,
}

/// What [`Transaction::lock_row`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Locked {
    /// The row, as it is now.
    Row(Row),
    /// It has been deleted since the statement's snapshot.
    Gone,
    /// Another transaction has it, and it is to be skipped.
    Skipped,
}

impl Transaction {
    /// Locks the row that the statement's snapshot sees under this key until the transaction ends. With [`RowLock::KeyShare`] it is given
    /// as the snapshot has it, else as it is now. Errors: 40001 under REPEATABLE READ if
    /// it has changed since, 40P01, 55P03, 57014, 25006.
    pub fn lock_row(&mut self, table: TableId, key: &[u8], lock: RowLock, on_locked: OnLocked) -> Result<Locked, EngineError> {
        let (at, me) = self.writable(table, LockMode::Shared)?;
        let store = Arc::clone(&self.tables[at].store);
        let key = Key::from(key);
        if self.rows_locked >= ROW_LOCKS_MAX {
            self.lock(me, table, LockMode::Exclusive)?;
        }
        let writer = || {
            let (txn, deletes) = store.delta.writer(&key, me)?;
            let held = if deletes { RowLock::Update } else { RowLock::NoKeyUpdate };
            held.conflicts(lock).then_some(txn)
        };
        loop {
            match self.engine.txns.lock_row(me, table, &key, lock, writer) {
                Ok(new) => {
                    self.rows_locked += usize::from(new);
                    break;
                }
                Err(holder) => match on_locked {
                    OnLocked::Wait => self.wait_for(me, holder)?,
                    OnLocked::Fail => return Err(EngineError::RowLocked(store.definition.name.clone())),
                    OnLocked::Skip => return Ok(Locked::Skipped),
                },
            }
        }
        // Its key stays, whatever has become of the rest, or becomes of it.
        let seen = |me: &Transaction| Ok(me.get(table, &key)?.map_or(Locked::Gone, Locked::Row));
        if lock == RowLock::KeyShare && store.delta.writer(&key, me).is_some() {
            return seen(self);
        }
        let mut newest = None;
        let found = self.modify(table, &key, &mut |row| {
            newest = Some(row.to_row());
            Ok(Change::Keep)
        });
        match found {
            Ok(Modified::NotFound) => return Ok(Locked::Gone),
            Ok(_) if lock == RowLock::KeyShare => return seen(self),
            Err(EngineError::Conflict("update")) if lock == RowLock::KeyShare && self.goes_on(&store, &key)? => {
                return seen(self);
            }
            // As PostgreSQL words it for locks.
            Err(EngineError::Conflict(_)) => return Err(EngineError::Conflict("update")),
            found => found.map(drop)?,
        }
        newest.map(Locked::Row).ok_or_else(|| EngineError::Bug(format!("a row of table {table} was kept unseen")))
    }

    pub(super) fn unlock_rows(&mut self, me: TxnId, kept: usize) {
        if self.rows_locked > kept {
            self.engine.txns.unlock_rows(me, kept);
            self.rows_locked = kept;
        }
    }
}

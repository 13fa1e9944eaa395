//! How a transaction holds tables: shared to write rows and to rely on a definition, alone to load them or to change them.
//!
//! 1. What is held is held to the end, but for one that is let go before anything was done (`writable_alone`). A table that was changed
//!    or dropped between the statement's snapshot and the lock is an error: the statement is to be planned again.
//! 2. The lock of the catalog comes before that of a table that is changed.
//!
//! Not here: who waits for whom, and deadlocks (`txn`).

use std::sync::Arc;

use txn::LockMode;
use types::{CommitTs, TableId, TxnId};

use super::{CATALOG_LOCK, Step, TouchedTable, Transaction};
use crate::error::EngineError;

impl Transaction {
    pub(crate) fn lock(&self, me: TxnId, table: TableId, mode: LockMode) -> Result<(), EngineError> {
        Ok(self.engine.txns.lock_table(me, table, mode, self.limits())?)
    }

    /// The position in `tables` of a table that is about to be written, locked at least in `mode`.
    ///
    /// Looks whether the statement is to stop: what writes many rows need not. Errors: `Canceled`, `NoTable`, `TableChanged`, and those
    /// of waiting.
    pub(crate) fn writable(&mut self, table: TableId, mode: LockMode) -> Result<(usize, TxnId), EngineError> {
        if self.begin.cancel.is_set() {
            return Err(EngineError::Canceled);
        }
        let me = self.write_id()?;
        let at = match self.tables.iter().position(|t| t.store.id() == table) {
            Some(at) => at,
            None => {
                let store = self.engine.store(table)?;
                self.tables.push(TouchedTable { store, own: Arc::default(), locked: None });
                self.tables.len() - 1
            }
        };
        let have = self.tables[at].locked;
        if have != Some(LockMode::Exclusive) && have != Some(mode) {
            self.lock(me, table, mode)?;
            let store = &self.tables[at].store;
            if store.dropped_at() != CommitTs::MAX {
                return Err(EngineError::NoTable(table));
            }
            // Who changed the definition held the table alone: it stays as it is now. Locked before, it has not changed since.
            if have.is_none() && self.snapshot.as_ref().is_some_and(|guard| store.changed_at() > guard.ts) {
                return Err(EngineError::TableChanged(table));
            }
            self.tables[at].locked = Some(mode);
        }
        Ok((at, me))
    }

    /// As [`Transaction::writable`], to write the table alone. Two loads hold its definition, and neither would let the other have it
    /// alone: the one that closes the circle lets it go if it has written nothing there, and must find it as it was. Errors:
    /// `TableChanged` then.
    pub(crate) fn writable_alone(&mut self, table: TableId) -> Result<(usize, TxnId), EngineError> {
        let deadlock = match self.writable(table, LockMode::Exclusive) {
            Err(error @ EngineError::Deadlock(_)) => error,
            done => return done,
        };
        let wrote = |at: usize| {
            self.steps.iter().any(|step| match step {
                Step::Row { table, .. } | Step::Ingest { table, .. } => *table == at,
                Step::Edit { .. } => false,
            })
        };
        let held = self.tables.iter().position(|t| t.store.id() == table && t.locked == Some(LockMode::Shared));
        // Locks of keys are under the table's, too.
        let Some(at) = held.filter(|at| self.key_locks == 0 && !wrote(*at)) else { return Err(deadlock) };
        let me = self.write_id()?;
        let store = Arc::clone(&self.tables[at].store);
        let known = store.changed_at();
        self.engine.txns.unlock_table(me, table);
        self.tables[at].locked = None;
        let found = self.writable(table, LockMode::Exclusive)?;
        if store.changed_at() == known { Ok(found) } else { Err(EngineError::TableChanged(table)) }
    }

    /// Keeps a table's definition as the statement's snapshot has it until the transaction ends; others may write rows meanwhile.
    /// Errors: `TableChanged` or `NoTable` if it is another one by now; the statement is to be planned again on a new snapshot,
    /// after [`Transaction::settle`].
    pub fn hold_definition(&mut self, table: TableId) -> Result<(), EngineError> {
        self.writable(table, LockMode::Shared).map(drop)
    }

    /// As [`Transaction::hold_definition`]; others do not write the table's rows meanwhile.
    pub fn hold_rows(&mut self, table: TableId) -> Result<(), EngineError> {
        self.writable(table, LockMode::Exclusive).map(drop)
    }

    /// As [`Transaction::hold_definition`], to change the definition: others neither write rows nor change the catalog meanwhile.
    pub fn hold_table(&mut self, table: TableId) -> Result<(), EngineError> {
        let me = self.write_id()?;
        self.lock(me, CATALOG_LOCK, LockMode::Exclusive)?;
        self.writable(table, LockMode::Exclusive).map(drop)
    }
}

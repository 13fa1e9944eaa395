//! Table locks: statements share a table, DDL has it alone.
//!
//! Locks are held to the end of the transaction, but for one given back before anything was done; asking again for what is held is free.

use std::collections::HashMap;
use std::sync::Arc;

use env::Signal;
use parking_lot::Mutex;
use types::{TableId, TxnId};

use crate::lock::{Asked, Grant, Lock, LockMode};

const SHARDS: usize = 16;

#[derive(Default)]
pub(crate) struct TableLocks {
    shards: [Mutex<HashMap<TableId, Lock<TxnId>>>; SHARDS],
}

impl TableLocks {
    fn with<R>(&self, table: TableId, f: impl FnOnce(&mut Lock<TxnId>) -> R) -> R {
        let mut tables = self.shards[table.0 as usize % SHARDS].lock();
        let lock = tables.entry(table).or_default();
        let result = f(lock);
        if lock.is_free() {
            tables.remove(&table);
        }
        result
    }

    pub(crate) fn ask(&self, txn: TxnId, table: TableId, mode: LockMode) -> Asked {
        self.with(table, |lock| lock.ask(txn, mode))
    }

    /// Asks once more, and queues if that is in vain.
    pub(crate) fn ask_or_enqueue(
        &self,
        txn: TxnId,
        table: TableId,
        mode: LockMode,
        signal: Arc<dyn Signal>,
    ) -> Result<Asked, Arc<Grant>> {
        self.with(table, |lock| match lock.ask(txn, mode) {
            Asked::Blocked => Err(lock.enqueue(txn, mode, signal)),
            asked => Ok(asked),
        })
    }

    /// Leaves the queue, unless the lock was granted meanwhile.
    pub(crate) fn dequeue(&self, table: TableId, grant: &Arc<Grant>) {
        self.with(table, |lock| lock.dequeue(grant));
    }

    pub(crate) fn release(&self, txn: TxnId, table: TableId) {
        self.with(table, |lock| lock.weaken(txn, None));
    }

    pub(crate) fn blockers(&self, txn: TxnId, table: TableId) -> Vec<TxnId> {
        self.with(table, |lock| lock.blockers(txn))
    }

    /// How `txn` holds `table`.
    pub(crate) fn held(&self, txn: TxnId, table: TableId) -> Option<LockMode> {
        self.with(table, |lock| lock.held(txn))
    }
}

//! SERIALIZABLE: where a transaction's reads and writes are noted ([`txn::Serializable`]).
//!
//! 1. What a client is answered depends on is noted: rows looked up, ranges as far as they were read, tables that queries scan.
//! 2. Foreign keys look at what is newest under locks of their own, and note nothing.
//! 3. An index's hidden table is noted as any other: a range of an index is one of its entries.

use std::sync::Arc;

use txn::SnapshotGuard;
use types::TableId;

use super::{Isolation, Transaction};
use crate::error::EngineError;

impl Transaction {
    /// A snapshot for a statement; of SERIALIZABLE from now on its transaction is noted.
    pub(super) fn take_snapshot(&mut self) -> SnapshotGuard {
        let engine = Arc::clone(&self.engine);
        let take = || engine.txns.snapshot(None);
        if self.begin.isolation != Isolation::Serializable {
            return take();
        }
        if self.begin.read_only && self.begin.deferrable {
            let waiting = self.session.map(|session| session.process);
            engine.deferred.lock().extend(waiting);
            let guard = engine.serializable.begin_deferrable(&self.begin.cancel, take);
            engine.deferred.lock().retain(|process| Some(*process) != waiting);
            if let Some(guard) = guard {
                return guard;
            }
        }
        let (guard, serial) = engine.serializable.begin(self.begin.read_only, take);
        self.serial = serial.map(Arc::new);
        guard
    }

    pub(super) fn note_read(&self, table: TableId, key: &[u8]) -> Result<(), EngineError> {
        self.serial.as_ref().map_or(Ok(()), |serial| Ok(serial.read_key(table, key)?))
    }

    pub(super) fn note_write(&self, table: TableId, key: &[u8]) -> Result<(), EngineError> {
        self.serial.as_ref().map_or(Ok(()), |serial| Ok(serial.write_key(table, key)?))
    }

    pub(crate) fn note_load(&self, table: TableId) -> Result<(), EngineError> {
        self.serial.as_ref().map_or(Ok(()), |serial| Ok(serial.write_table(table)?))
    }

    pub(super) fn end_serial(&mut self, committed: bool) {
        if let Some(serial) = self.serial.take() {
            serial.end(committed, self.engine.txns.visible());
        }
    }
}

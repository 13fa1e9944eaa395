//! Figures of the moment, for people and for tests.

use std::sync::atomic::Ordering;

use types::{CommitTs, TableId};

use crate::engine::Inner;

/// The state of an engine.
#[derive(Clone, Debug)]
pub struct Status {
    /// Every table.
    pub tables: Vec<TableStatus>,
    /// The last commit that everybody sees.
    pub visible: CommitTs,
    /// The oldest moment somebody reads at.
    pub oldest: CommitTs,
    /// What the newest manifest has.
    pub checkpoint: CommitTs,
    /// Redo bytes written since then, about.
    pub wal_bytes: u64,
    /// Bytes of all deltas.
    pub delta_bytes: u64,
    /// Decoded columns in memory, in bytes.
    pub cache_bytes: u64,
    /// Transactions, counted.
    pub transactions: txn::Counters,
}

/// The state of one table.
#[derive(Clone, Debug)]
pub struct TableStatus {
    /// Which.
    pub table: TableId,
    /// Its name.
    pub name: String,
    /// Rows in the delta, about.
    pub delta_rows: usize,
    /// Bytes of the delta.
    pub delta_bytes: u64,
    /// Live segments.
    pub segments: usize,
    /// Rows in them, dead ones included.
    pub segment_rows: u64,
    /// Dead rows in them.
    pub segment_rows_dead: u64,
    /// Their files, in bytes.
    pub segment_bytes: u64,
    /// What is always in memory of them to find rows by key, in bytes.
    pub index_bytes: u64,
}

impl Status {
    pub(crate) fn of(engine: &Inner) -> Status {
        let stores = engine.stores();
        let tables = stores.iter().map(|store| {
            let set = store.segments();
            let live: Vec<_> = set.segments().iter().filter(|l| l.until() == CommitTs::MAX).collect();
            TableStatus {
                table: store.id(),
                name: store.definition.name.clone(),
                delta_rows: store.delta.rows(),
                delta_bytes: store.delta.bytes() as u64,
                segments: live.len(),
                segment_rows: live.iter().map(|l| u64::from(l.segment.rows())).sum(),
                segment_rows_dead: live.iter().map(|l| l.dead.count() as u64).sum(),
                segment_bytes: live.iter().map(|l| l.segment.bytes_on_disk()).sum(),
                index_bytes: live.iter().map(|l| l.segment.index_bytes() as u64).sum(),
            }
        });
        Status {
            tables: tables.collect(),
            visible: engine.txns.visible(),
            oldest: engine.txns.oldest(),
            checkpoint: engine.checkpointed.lock().at,
            wal_bytes: engine.wal_bytes.load(Ordering::Relaxed),
            delta_bytes: engine.stores().iter().map(|s| s.delta.bytes() as u64).sum(),
            cache_bytes: engine.cache.bytes() as u64,
            transactions: engine.txns.counters(),
        }
    }
}

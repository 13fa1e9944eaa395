//! The work of one scan, in pieces that partitions take from a shared queue.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::RecordBatch;
use parking_lot::Mutex;

use crate::source::{TableSource, Unit};

/// Rows of a piece when there are too few row groups for everybody: a multiple of the batch size.
const ROWS_PER_PIECE: u32 = 32_768;

/// A piece of a unit.
#[derive(Clone, Debug)]
pub(super) struct Morsel {
    pub(super) unit: Unit,
    /// Rows, counted from the unit's first.
    pub(super) rows: Range<u32>,
}

/// What all partitions of one execution of a scan share.
pub(super) struct Morsels {
    morsels: Vec<Morsel>,
    next: AtomicUsize,
    delta: Mutex<Option<Box<dyn Iterator<Item = RecordBatch> + Send>>>,
}

impl Morsels {
    pub(super) fn new(
        table: &dyn TableSource,
        partitions: usize,
        delta: Box<dyn Iterator<Item = RecordBatch> + Send>,
    ) -> Morsels {
        let units = table.units();
        // A whole group at a time decodes each of its columns once, even when the cache cannot keep them.
        let split = units.len() < 4 * partitions && partitions > 1;
        let pieces = |unit: Unit| {
            let step = if split { ROWS_PER_PIECE } else { unit.rows.max(1) };
            (0..unit.rows).step_by(step as usize).map(move |start| Morsel { unit, rows: start..(start + step).min(unit.rows) })
        };
        Morsels {
            morsels: units.into_iter().flat_map(pieces).collect(),
            next: AtomicUsize::new(0),
            delta: Mutex::new(Some(delta)),
        }
    }

    /// The next piece of a unit; `None` once all are taken.
    pub(super) fn next(&self) -> Option<Morsel> {
        self.morsels.get(self.next.fetch_add(1, Ordering::Relaxed)).cloned()
    }

    /// The next batch of the delta; `None` once it is exhausted.
    pub(super) fn next_of_delta(&self) -> Option<RecordBatch> {
        let mut delta = self.delta.lock();
        let batch = delta.as_mut()?.next();
        if batch.is_none() {
            *delta = None;
        }
        batch
    }
}

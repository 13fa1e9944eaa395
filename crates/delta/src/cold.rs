//! Cold rows: those nobody has written for a while, to be frozen into a segment.
//!
//! The table has a clock that its owner moves on ([`DeltaTable::tick`], say once a second); a slot keeps the reading at its last
//! write. The reading has 16 bits: a slot untouched for exactly 65,536 ticks looks fresh for a moment, which only delays it.

use std::sync::atomic::Ordering;

use txn::Version;
use types::{CommitTs, Key, Row};

use crate::index::SlotRef;
use crate::slots::{NONE, ROW_OVERHEAD, State};
use crate::table::DeltaTable;

/// A row that can be frozen as it is, unless someone writes it meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cold {
    /// Its key.
    pub key: Key,
    /// Where it is: for [`DeltaTable::overwrite`] with [`crate::Write::InSegment`].
    pub slot: SlotRef,
    /// The stamp it must still have then.
    pub version: Version,
    /// The row.
    pub row: Row,
}

impl Cold {
    /// What the delta gives back when the row has left it, in bytes; before-images are not counted.
    pub fn bytes(&self) -> usize {
        ROW_OVERHEAD + self.key.len() + self.row.0.len()
    }
}

impl DeltaTable {
    /// Moves the clock on by one.
    pub fn tick(&self) {
        self.clock.fetch_add(1, Ordering::Relaxed);
    }

    /// Rows whose newest version was committed at `at` or before and that were not written within the last `idle_ticks` ticks (0:
    /// any), sorted by key. Stops before `rows_max` or after about `bytes_max` bytes of images and keys; rows found first are those
    /// in slabs of low position. Locks a slab at a time.
    pub fn cold(&self, at: CommitTs, idle_ticks: u16, rows_max: usize, bytes_max: usize) -> Vec<Cold> {
        let clock = self.clock.load(Ordering::Relaxed);
        let (mut cold, mut bytes) = (Vec::new(), 0);
        'slabs: for position in 0..self.slabs.end() {
            let Some(slab) = self.slabs.get(position) else {
                continue;
            };
            let slots = slab.slots.read();
            for slot in slots.live().iter() {
                if cold.len() >= rows_max || bytes >= bytes_max {
                    break 'slabs;
                }
                let head = slots.head(slot);
                let idle = clock.wrapping_sub(head.written) >= idle_ticks;
                if idle && head.state == State::Row && head.version.is_committed_by(at) {
                    let key = Key::from(slots.key(slot));
                    let row = slots.row_at(&self.shape, slot, NONE, None);
                    bytes += key.len() + row.0.len();
                    let slot = SlotRef { slab: position, slot: slot as u16, generation: slots.generation(slot) };
                    cold.push(Cold { key, slot, version: head.version, row });
                }
            }
        }
        cold.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        cold
    }
}

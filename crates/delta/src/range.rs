//! A range of keys, a block at a time, in key order either way.
//!
//! ```text
//!   index: the next n entries        slabs: each slot under its own short lock
//!   (one stripe locked at a time)    row -> image into the block | deleted | in a segment
//! ```
//!
//! Keys that have a slot are all given, also deleted ones and those whose row is in a segment, so that who merges with segments
//! knows what the delta says of each key. No lock is held between blocks: a snapshot's answer for a key does not change while the
//! snapshot is held, so blocks fit together.

use std::ops::Bound;

use txn::Snapshot;
use types::{ByteList, Direction};

use crate::index::SlotRef;
use crate::slots::Seen;
use crate::table::{DeltaTable, Found};

/// What the delta says of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// The row with it is this image.
    Row(&'a [u8]),
    /// There is no row, whatever segments hold.
    Deleted,
    /// What the segments hold at the snapshot.
    InSegment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Row,
    Deleted,
    InSegment,
}

/// A block of a range: see [`DeltaTable::range`]. To be used again for the next one.
#[derive(Debug, Default)]
pub struct RangeBlock {
    keys: ByteList,
    slots: Vec<SlotRef>,
    states: Vec<State>,
    /// One for each key, empty for those that are no rows.
    images: ByteList,
}

impl RangeBlock {
    /// Keys in it.
    pub fn len(&self) -> usize {
        self.states.len()
    }

    /// True for no key.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// The key at `at`, from 0, in the order of the range.
    pub fn key(&self, at: usize) -> &[u8] {
        self.keys.get(at)
    }

    /// What the delta says of that key.
    pub fn entry(&self, at: usize) -> Entry<'_> {
        match self.states[at] {
            State::Row => Entry::Row(self.images.get(at)),
            State::Deleted => Entry::Deleted,
            State::InSegment => Entry::InSegment,
        }
    }

    fn clear(&mut self) {
        self.keys.clear();
        self.slots.clear();
        self.states.clear();
        self.images.clear();
    }
}

impl DeltaTable {
    /// Replaces what is in `block` by the first `n` keys (from the direction's side) between `from` and `to` that have a slot, with
    /// what `snapshot` sees under each; false if there are no more behind them. With `wanted` (columns in order) the others' texts
    /// and byteas are not copied: they read as empty. About 0.2 us a key.
    pub fn range(
        &self,
        snapshot: &Snapshot,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        direction: Direction,
        n: usize,
        wanted: Option<&[usize]>,
        block: &mut RangeBlock,
    ) -> bool {
        block.clear();
        self.index.range(from, to, direction, n, &mut block.keys, &mut block.slots);
        for at in 0..block.slots.len() {
            let slot = block.slots[at];
            let state = self.slabs.get(slot.slab).and_then(|slab| {
                let slots = slab.slots.read();
                let number = usize::from(slot.slot);
                slots.holds(slot).then(|| match slots.seen(number, snapshot) {
                    Seen::Row(undo) => {
                        block.images.push_with(|out| slots.append_row_at(&self.shape, number, undo, wanted, out));
                        State::Row
                    }
                    Seen::Deleted | Seen::Absent => State::Deleted,
                    Seen::InSegment => State::InSegment,
                })
            });
            // The slot was freed since; the key may have another one.
            let state = state.unwrap_or_else(|| match self.get(block.keys.get(at), snapshot) {
                Found::Row(row) => {
                    block.images.push(&row.0);
                    State::Row
                }
                Found::Deleted => State::Deleted,
                Found::InSegment | Found::NoSlot => State::InSegment,
            });
            if state != State::Row {
                block.images.push(&[]);
            }
            block.states.push(state);
        }
        block.len() == n
    }
}

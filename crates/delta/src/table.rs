//! [`DeltaTable`]: versions of rows by key, for one table.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use parking_lot::Mutex;
use txn::{Snapshot, Version};
use types::{CommitTs, Key, Row, RowLayout, TxnId};

use crate::counters::{Counters, Counts};
use crate::index::{Index, SlotRef};
use crate::shape::Shape;
use crate::slab::Slab;
use crate::slabs::Slabs;
use crate::slots::{Base, Full, NONE, Seen, Slots, State};

/// What a snapshot sees under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// This row.
    Row(Row),
    /// No row, whatever segments hold.
    Deleted,
    /// What the segments hold at that snapshot.
    InSegment,
    /// The delta knows nothing of the key: what the segments hold.
    NoSlot,
}

/// The newest version under a key, for one who wants to write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Newest {
    /// The delta knows nothing of the key.
    NoSlot,
    /// Another transaction in progress has written it.
    Blocked(TxnId),
    /// A row, committed or the asker's own.
    Row {
        /// Its stamp.
        version: Version,
        /// The row.
        row: Row,
    },
    /// Deleted by a commit or the asker.
    Deleted {
        /// The stamp of the deletion.
        version: Version,
    },
    /// Moved to a segment.
    InSegment {
        /// The stamp of the move.
        version: Version,
    },
}

/// Whether a key still has the row that a snapshot sees under it. A row goes on while it is updated and moved; with a deletion it
/// ends, and what is put under its key later is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lineage {
    /// It has, as far as commits go.
    Same,
    /// It has not, or the snapshot sees none.
    Other,
    /// It has the row that segments have under the key at the snapshot, if there is one.
    Segment,
}

/// What a writer has found, and expects to be so still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The key has no slot; this is what is under it.
    NoSlot(Base),
    /// The newest version has this stamp.
    Version(Version),
}

/// A new version.
#[derive(Clone, Copy, Debug)]
pub enum Write<'a> {
    /// The row is this image.
    Row(&'a Row),
    /// There is no row.
    Deleted,
    /// The row is in a segment, as it was.
    InSegment,
}

/// What became of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// Done; the slot is needed to undo or stamp it.
    Done(SlotRef),
    /// The newest version is not the expected one any more: look again.
    Changed,
    /// The values of the slab's rows, with their versions, would pass 2 GiB. Nothing was changed.
    TooBig,
}

/// The rows of one table that are not, or not only, in segments. All methods take `&self` and may run at the same time.
pub struct DeltaTable {
    pub(crate) shape: Arc<Shape>,
    pub(crate) slabs: Arc<Slabs>,
    pub(crate) index: Index,
    pub(crate) counters: Counters,
    /// Slabs with something to reclaim, by when that will be possible.
    pub(crate) dirty: Mutex<BinaryHeap<Reverse<(CommitTs, u32)>>>,
    /// The greatest `oldest` that [`DeltaTable::reclaim`] was called with.
    pub(crate) oldest: AtomicU64,
    /// Counts [`DeltaTable::tick`]s.
    pub(crate) clock: AtomicU16,
}

impl DeltaTable {
    /// An empty table of rows of that layout.
    pub fn new(layout: Arc<RowLayout>) -> DeltaTable {
        DeltaTable::with_shape(Shape::new(layout))
    }

    pub(crate) fn with_shape(shape: Shape) -> DeltaTable {
        DeltaTable {
            shape: Arc::new(shape),
            slabs: Arc::default(),
            index: Index::default(),
            counters: Counters::default(),
            dirty: Mutex::default(),
            oldest: AtomicU64::new(0),
            clock: AtomicU16::new(0),
        }
    }

    /// The layout of its rows.
    pub fn layout(&self) -> &Arc<RowLayout> {
        &self.shape.layout
    }

    /// How much it holds.
    pub fn counts(&self) -> Counts {
        self.counters.counts()
    }

    /// [`Counts::bytes`].
    pub fn bytes(&self) -> usize {
        self.counters.bytes()
    }

    /// [`Counts::rows`].
    pub fn rows(&self) -> usize {
        self.counters.rows()
    }

    /// Runs `f` with the live slot of `key`, under its slab's read lock.
    fn with_slot<R>(&self, key: &[u8], f: impl FnOnce(&Slots, usize) -> R) -> Option<R> {
        loop {
            let slot = self.index.get(key)?;
            if let Some(slab) = self.slabs.get(slot.slab) {
                let slots = slab.slots.read();
                if slots.holds(slot) {
                    return Some(f(&slots, usize::from(slot.slot)));
                }
            }
            // The slot was freed after we found the entry, or its freer has not come to remove the entry yet.
            self.index.remove_if(key, slot);
        }
    }

    fn found(&self, slots: &Slots, slot: usize, snapshot: &Snapshot, wanted: Option<&[usize]>) -> Found {
        match slots.seen(slot, snapshot) {
            Seen::Row(undo) => Found::Row(slots.row_at(&self.shape, slot, undo, wanted)),
            Seen::Deleted | Seen::Absent => Found::Deleted,
            Seen::InSegment => Found::InSegment,
        }
    }

    /// What `snapshot` sees under `key`.
    pub fn get(&self, key: &[u8], snapshot: &Snapshot) -> Found {
        self.get_columns(key, snapshot, None)
    }

    /// As [`DeltaTable::get`]; with `wanted`, which is in order, texts of other columns are left empty.
    pub fn get_columns(&self, key: &[u8], snapshot: &Snapshot, wanted: Option<&[usize]>) -> Found {
        self.with_slot(key, |slots, slot| self.found(slots, slot, snapshot, wanted)).unwrap_or(Found::NoSlot)
    }

    /// The newest version under `key`, for transaction `me`, which may want to write it.
    pub fn newest(&self, key: &[u8], me: TxnId) -> Newest {
        let newest = self.with_slot(key, |slots, slot| {
            let head = slots.head(slot);
            let version = head.version;
            match (version.txn(), head.state) {
                (Some(txn), _) if txn != me => Newest::Blocked(txn),
                (_, State::Row) => Newest::Row { version, row: slots.row_at(&self.shape, slot, NONE, None) },
                (_, State::Deleted) => Newest::Deleted { version },
                (_, State::InSegment) => Newest::InSegment { version },
            }
        });
        newest.unwrap_or(Newest::NoSlot)
    }

    /// The other transaction in progress that has written `key`, if there is one, and whether it has deleted the row.
    pub fn writer(&self, key: &[u8], me: TxnId) -> Option<(TxnId, bool)> {
        let writer = self.with_slot(key, |slots, slot| {
            let head = slots.head(slot);
            head.version.txn().filter(|txn| *txn != me).map(|txn| (txn, head.state == State::Deleted))
        });
        writer.flatten()
    }

    /// Whether the newest committed version under `key` is of the row that `snapshot` sees there.
    pub fn lineage(&self, key: &[u8], snapshot: &Snapshot) -> Lineage {
        self.with_slot(key, |slots, slot| slots.lineage(slot, snapshot)).unwrap_or(Lineage::Segment)
    }

    /// Changes a slab under its write lock, and the counters with it.
    pub(crate) fn change<R>(&self, slab: &Slab, f: impl FnOnce(&mut Slots) -> R) -> R {
        let mut slots = slab.slots.write();
        let before = slots.counts(&self.shape);
        let result = f(&mut slots);
        self.counters.change(before, slots.counts(&self.shape));
        result
    }

    /// The slab of a slot that holds a version in progress, which keeps it.
    fn slab_of(&self, slot: SlotRef) -> Arc<Slab> {
        self.slabs.get(slot.slab).expect("a slot with a version in progress is not freed")
    }

    /// Puts a new version of transaction `me` under `key` if the newest one is still the expected one. A second version of the same
    /// transaction keeps the first as before-image, so that a savepoint can be rolled back to.
    ///
    /// Hold a snapshot from before the look to after the put: without one, a slot can be made, committed, moved to a segment and
    /// reclaimed in between, and [`Expect::NoSlot`] would be true again of another row.
    pub fn put(&self, key: &Key, me: TxnId, expect: Expect, write: Write<'_>) -> PutOutcome {
        match expect {
            Expect::NoSlot(base) => self.insert(key, me, base, write),
            Expect::Version(version) => match self.index.get(key) {
                Some(slot) => self.overwrite(slot, me, version, write),
                None => PutOutcome::Changed,
            },
        }
    }

    /// As [`DeltaTable::put`] with [`Expect::Version`], for a slot known from [`crate::Cold`] or an earlier put.
    pub fn overwrite(&self, slot: SlotRef, me: TxnId, expected: Version, write: Write<'_>) -> PutOutcome {
        let Some(slab) = self.slabs.get(slot.slab) else {
            return PutOutcome::Changed;
        };
        let clock = self.clock.load(Ordering::Relaxed);
        let oldest = CommitTs(self.oldest.load(Ordering::Relaxed));
        let at = usize::from(slot.slot);
        self.change(&slab, |slots| {
            if !slots.holds(slot) || slots.head(at).version != expected {
                return PutOutcome::Changed;
            }
            // While the slab is at hand: what only forgotten snapshots would see makes room for the new before-image.
            slots.cut_below(&self.shape, at, oldest);
            match slots.overwrite(&self.shape, at, me, write, clock) {
                Ok(()) => PutOutcome::Done(slot),
                Err(Full) => PutOutcome::TooBig,
            }
        })
    }

    fn insert(&self, key: &Key, me: TxnId, base: Base, write: Write<'_>) -> PutOutcome {
        if self.with_slot(key, |_, _| ()).is_some() {
            return PutOutcome::Changed;
        }
        let Some((slab, slot)) = self.insert_slot(key, me, base, write) else {
            return PutOutcome::TooBig;
        };
        // Until the index has it only scans meet the slot, and to them it is a version in progress.
        match self.index.insert_if_absent(key, slot) {
            Ok(()) => {
                let mut entry = Counts::default();
                entry.add_index_entry(key);
                self.counters.change(Counts::default(), entry);
                PutOutcome::Done(slot)
            }
            Err(_) => {
                self.free(&slab, slot);
                PutOutcome::Changed
            }
        }
    }

    fn insert_slot(&self, key: &Key, me: TxnId, base: Base, write: Write<'_>) -> Option<(Arc<Slab>, SlotRef)> {
        let clock = self.clock.load(Ordering::Relaxed);
        loop {
            let slab = self.slabs.take_open();
            let (inserted, more) = self.change(&slab, |slots| {
                if slots.retired || !slots.has_room() {
                    slots.open = false;
                    return (None, false);
                }
                let slot = slots.insert(&self.shape, key, me, write, base, clock);
                let more = slots.has_room() && slot.is_ok();
                slots.open = more;
                (Some(slot.map(|slot| (slot, slots.generation(slot))).map_err(|Full| slots.live_count() == 0)), more)
            });
            if more {
                self.slabs.put_back(Arc::clone(&slab));
            }
            match inserted {
                Some(Ok((slot, generation))) => {
                    let reference = SlotRef { slab: slab.position, slot: slot as u16, generation };
                    return Some((slab, reference));
                }
                Some(Err(true)) => return None,
                Some(Err(false)) | None => (),
            }
        }
    }

    /// Frees a slot that the index has not (or no longer) to name.
    fn free(&self, slab: &Arc<Slab>, slot: SlotRef) {
        let (open, dirty) = self.change(slab, |slots| {
            slots.free(&self.shape, usize::from(slot.slot));
            let dirty = slots.live_count() == 0 && slots.queue(CommitTs::ZERO);
            (!std::mem::replace(&mut slots.open, true), dirty)
        });
        if open {
            self.slabs.put_back(Arc::clone(slab));
        }
        if dirty {
            // Empty: the next reclaim drops the slab if nothing was inserted until then.
            self.dirty.lock().push(Reverse((CommitTs::ZERO, slab.position)));
        }
    }

    /// Takes the newest version, which must be `me`'s, off the slot; frees the slot if there was none below. For a transaction or
    /// a savepoint rolled back: once for each put, in reverse order.
    pub fn undo(&self, slot: SlotRef, me: TxnId) {
        let slab = self.slab_of(slot);
        let at = usize::from(slot.slot);
        let (left, key) = self.change(&slab, |slots| {
            assert!(
                slots.holds(slot) && slots.head(at).version == Version::in_progress(me),
                "a transaction undoes what it wrote"
            );
            if slots.pop(&self.shape, at) {
                (Some(self.note_pending(slots, at)), None)
            } else {
                (None, Some(Key::from(slots.key(at))))
            }
        });
        if let Some(Some(ts)) = left {
            self.dirty.lock().push(Reverse((ts, slot.slab)));
        }
        if let Some(key) = key {
            self.free(&slab, slot);
            self.forget_key(&key, slot);
        }
    }

    /// Removes an index entry whose slot is freed.
    pub(crate) fn forget_key(&self, key: &[u8], slot: SlotRef) {
        self.index.remove_if(key, slot);
        let mut entry = Counts::default();
        entry.add_index_entry(key);
        self.counters.change(entry, Counts::default());
    }

    /// Makes all versions of `me` in the slot one version, committed at `ts`: once for each slot, or again, which does nothing.
    pub fn stamp(&self, slot: SlotRef, me: TxnId, ts: CommitTs) {
        let slab = self.slab_of(slot);
        let at = usize::from(slot.slot);
        let dirty = self.change(&slab, |slots| {
            assert!(slots.holds(slot), "a slot with a version in progress is not freed");
            if slots.head(at).version == Version::committed(ts) {
                return None;
            }
            slots.stamp(&self.shape, at, me, ts);
            self.note_pending(slots, at)
        });
        if let Some(ts) = dirty {
            self.dirty.lock().push(Reverse((ts, slot.slab)));
        }
    }

    /// Notes for reclaim what a slot's committed head leaves to do; returns when, if the slab is to be queued for it.
    fn note_pending(&self, slots: &mut Slots, slot: usize) -> Option<CommitTs> {
        let ts = slots.mark_pending(slot)?;
        slots.queue(ts).then_some(ts)
    }
}

#[cfg(test)]
mod tests;

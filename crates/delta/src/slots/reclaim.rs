//! Giving back what nobody sees: slots that are gone, before-images behind a version that every snapshot sees.

use txn::Version;
use types::{CommitTs, Key};

use super::{NONE, Reclaimed, Slots, State};
use crate::index::SlotRef;
use crate::patch;
use crate::shape::{Reference, Shape};

impl Slots {
    /// Notes that a committed head may need reclaim; returns when it would.
    pub(crate) fn mark_pending(&mut self, slot: usize) -> Option<CommitTs> {
        let head = &self.heads[slot];
        let ts = head.version.committed_ts()?;
        if head.state == State::Row && head.undo == NONE {
            return None;
        }
        self.pending.set(slot);
        Some(ts)
    }

    /// Frees what no snapshot at `oldest` or later sees: slots that are gone, before-images behind a version all see.
    pub(crate) fn reclaim(&mut self, shape: &Shape, position: u32, oldest: CommitTs) -> Reclaimed {
        let mut done = Reclaimed::default();
        let before = self.undo_count;
        for slot in self.pending.clone().iter() {
            let head = self.heads[slot];
            if head.state != State::Row && head.version.is_committed_by(oldest) {
                let reference = SlotRef { slab: position, slot: slot as u16, generation: head.generation };
                done.slots.push((Key::from(self.key(slot)), reference));
                self.release(shape, slot);
                continue;
            }
            self.cut_below(shape, slot, oldest);
            match self.next_reclaim(slot, oldest) {
                Some(ts) => done.next = Some(done.next.map_or(ts, |next| next.min(ts))),
                None => self.pending.clear(slot),
            }
        }
        done.versions = before - self.undo_count;
        self.compact_if_worth(shape);
        done
    }

    /// Frees the before-images of `slot` that only snapshots before `oldest` see.
    pub(crate) fn cut_below(&mut self, shape: &Shape, slot: usize, oldest: CommitTs) {
        let head = self.heads[slot];
        if head.version.is_committed_by(oldest) {
            self.cut(shape, head.undo);
            self.heads[slot].undo = NONE;
            return;
        }
        let mut undo = head.undo;
        while undo != NONE {
            let record = self.undo[undo as usize];
            if record.version.is_committed_by(oldest) {
                self.cut(shape, record.next);
                self.undo[undo as usize].next = NONE;
                return;
            }
            undo = record.next;
        }
    }

    /// Frees a chain from `undo` on.
    pub(super) fn cut(&mut self, shape: &Shape, mut undo: u32) {
        while undo != NONE {
            let record = self.undo[undo as usize];
            self.garbage += record.patch.len as usize + patch::variable_len(shape, record.patch.of(&self.heap));
            self.drop_undo(undo);
            undo = record.next;
        }
    }

    /// Frees the before-images that no snapshot at one of `needed` (ascending), or after the last of them, sees. Returns how many.
    pub(crate) fn reclaim_between(&mut self, shape: &Shape, needed: &[CommitTs]) -> usize {
        let before = self.undo_count;
        let last = needed.last().copied().unwrap_or(CommitTs::ZERO);
        for slot in self.pending.clone().iter() {
            self.remove_versions(shape, slot, |newer, version| match (version.committed_ts(), newer.committed_ts()) {
                (Some(from), Some(until)) if until <= last => {
                    needed.get(needed.partition_point(|ts| *ts < from)).is_none_or(|ts| *ts >= until)
                }
                _ => false,
            });
        }
        self.compact_if_worth(shape);
        before - self.undo_count
    }

    /// Removes versions below the newest one from a slot's chain: those for which `goes(next newer version that stays, version)`.
    /// Their patches are merged into that of the next older version that stays.
    pub(super) fn remove_versions(&mut self, shape: &Shape, slot: usize, goes: impl Fn(Version, Version) -> bool) {
        let (mut newer, mut undo) = (self.heads[slot].version, self.heads[slot].undo);
        // Where the record that stays is linked from: another record, or the head.
        let mut link = NONE;
        while undo != NONE {
            let record = self.undo[undo as usize];
            if goes(newer, record.version) {
                let mut merged = Merged::new(shape);
                let (mut going, mut born) = (undo, false);
                while going != NONE && goes(newer, self.undo[going as usize].version) {
                    let record = self.undo[going as usize];
                    self.garbage += merged.absorb(shape, record.patch, &self.heap);
                    born |= record.born;
                    self.drop_undo(going);
                    going = record.next;
                }
                if going == NONE {
                    self.garbage += merged.variable_len(shape, &self.heap);
                } else {
                    let kept = self.undo[going as usize].patch;
                    self.garbage += merged.absorb(shape, kept, &self.heap);
                    self.undo[going as usize].patch = merged.write(shape, &mut self.heap);
                }
                match link {
                    NONE => {
                        self.heads[slot].undo = going;
                        self.heads[slot].born |= born;
                    }
                    link => {
                        self.undo[link as usize].next = going;
                        self.undo[link as usize].born |= born;
                    }
                }
                undo = going;
            }
            if undo != NONE {
                newer = self.undo[undo as usize].version;
                link = undo;
                undo = self.undo[undo as usize].next;
            }
        }
    }

    /// After `cut_below(oldest)`: the timestamp `oldest` must reach for more to be freed.
    fn next_reclaim(&self, slot: usize, oldest: CommitTs) -> Option<CommitTs> {
        let head = &self.heads[slot];
        let (mut next, mut version, mut undo) = (None, head.version, head.undo);
        if head.state != State::Row {
            next = version.committed_ts();
        }
        while undo != NONE {
            let record = &self.undo[undo as usize];
            if let Some(ts) = version.committed_ts().filter(|ts| *ts > oldest) {
                next = Some(ts);
            }
            (version, undo) = (record.version, record.next);
        }
        next
    }
}

/// Patches being merged: for each column the entry of the oldest so far, as its place in the heap.
struct Merged {
    columns: Vec<Option<Option<usize>>>,
}

impl Merged {
    fn new(shape: &Shape) -> Merged {
        Merged { columns: vec![None; shape.fields.len()] }
    }

    /// Takes in the next older patch; returns the bytes of the heap that are not needed any more: the patch itself, as it will be
    /// written anew, and the values that it overrides.
    fn absorb(&mut self, shape: &Shape, patch: Reference, heap: &[u8]) -> usize {
        let mut garbage = patch.len as usize;
        for entry in patch::entries(shape, patch.of(heap)) {
            let field = entry.field.map(|at| patch.at as usize + at);
            let overridden = self.columns[entry.column].replace(field);
            if let Some(Some(at)) = overridden.filter(|_| shape.fields[entry.column].variable) {
                garbage += Reference::read(&heap[at..]).len as usize;
            }
        }
        garbage
    }

    /// The bytes of the values it refers to.
    fn variable_len(&self, shape: &Shape, heap: &[u8]) -> usize {
        let fields = self.columns.iter().zip(&shape.fields).filter(|(_, field)| field.variable);
        fields.filter_map(|(entry, _)| entry.flatten()).map(|at| Reference::read(&heap[at..]).len as usize).sum()
    }

    fn write(&self, shape: &Shape, heap: &mut Vec<u8>) -> Reference {
        let start = heap.len();
        for (column, entry) in self.columns.iter().enumerate() {
            if let Some(field) = entry {
                patch::push_entry(shape, column, *field, heap);
            }
        }
        Reference { at: start as u32, len: (heap.len() - start) as u32 }
    }
}

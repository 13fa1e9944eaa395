//! The heap and the undo records: appending, letting go, compacting, counting.

use super::{Full, GARBAGE_BYTES_MIN, Head, NONE, SLOTS, Slots, Undo};
use crate::counters::Counts;
use crate::patch;
use crate::shape::{Reference, Shape};

impl Slots {
    /// Makes room for that many bytes, so that what follows does not fail half-way.
    pub(super) fn make_room(&mut self, shape: &Shape, bytes: usize) -> Result<(), Full> {
        if self.heap.len() + bytes > shape.heap_bytes_max {
            self.compact(shape);
            if self.heap.len() + bytes > shape.heap_bytes_max {
                return Err(Full);
            }
        }
        if self.heap.capacity() - self.heap.len() < bytes {
            // By half, not to double: there are many heaps, and most have nearly the size they will keep.
            self.heap.reserve_exact(bytes.max(self.heap.len() / 2));
        }
        Ok(())
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Reference {
        if bytes.is_empty() {
            return Reference::default();
        }
        let at = self.heap.len() as u32;
        self.heap.extend_from_slice(bytes);
        Reference { at, len: bytes.len() as u32 }
    }

    pub(super) fn push_undo(&mut self, record: Undo) -> u32 {
        self.undo_count += 1;
        if self.undo_free == NONE {
            self.undo.push(record);
            return (self.undo.len() - 1) as u32;
        }
        let at = self.undo_free;
        self.undo_free = self.undo[at as usize].next;
        self.undo[at as usize] = record;
        at
    }

    pub(super) fn drop_undo(&mut self, at: u32) {
        self.undo_count -= 1;
        self.undo[at as usize].next = self.undo_free;
        self.undo_free = at;
        if self.undo_count == 0 {
            self.undo_free = NONE;
            self.undo.clear();
            if self.undo.capacity() > SLOTS {
                self.undo.shrink_to(SLOTS);
            }
        }
    }

    pub(super) fn compact_if_worth(&mut self, shape: &Shape) {
        if self.garbage >= GARBAGE_BYTES_MIN && self.garbage * 2 > self.heap.len() {
            self.compact(shape);
        }
    }

    /// An eighth or more of the heap is garbage.
    pub(crate) fn is_loose(&self) -> bool {
        self.garbage >= GARBAGE_BYTES_MIN && self.garbage * 8 > self.heap.len()
    }

    /// Copies what is referred to into a new heap.
    pub(crate) fn compact(&mut self, shape: &Shape) {
        let old = std::mem::take(&mut self.heap);
        let mut new = Vec::with_capacity(old.len() - self.garbage);
        let copy = |reference: Reference, new: &mut Vec<u8>| {
            if reference.len == 0 {
                return Reference::default();
            }
            let at = new.len() as u32;
            new.extend_from_slice(reference.of(&old));
            Reference { at, len: reference.len }
        };
        for slot in self.live.iter() {
            let head = &mut self.heads[slot];
            head.key = copy(head.key, &mut new);
            let fixed = &mut self.fixed[slot * shape.fixed_len..(slot + 1) * shape.fixed_len];
            for field in shape.fields.iter().filter(|field| field.variable) {
                let target = &mut fixed[field.at..field.at + field.width];
                copy(Reference::read(target), &mut new).write(target);
            }
            let mut undo = head.undo;
            while undo != NONE {
                let record = &mut self.undo[undo as usize];
                let patch = copy(record.patch, &mut new);
                for entry in patch::entries(shape, record.patch.of(&old)) {
                    if let (Some(at), true) = (entry.field, shape.fields[entry.column].variable) {
                        let moved = copy(Reference::read(&record.patch.of(&old)[at..]), &mut new);
                        let target = patch.at as usize + at;
                        moved.write(&mut new[target..target + Reference::WIDTH]);
                    }
                }
                record.patch = patch;
                undo = record.next;
            }
        }
        debug_assert_eq!(new.len(), old.len() - self.garbage, "every reference is owned once");
        self.heap = new;
        self.garbage = 0;
    }

    pub(crate) fn counts(&self, shape: &Shape) -> Counts {
        const HEAD: usize = size_of::<Head>();
        const UNDO: usize = size_of::<Undo>();
        Counts {
            rows: self.live_count,
            gone: self.gone,
            versions: self.undo_count,
            bytes: self.live_count * (HEAD + shape.fixed_len) + self.heap.len() + self.undo_count * UNDO,
            bytes_held: self.heads.capacity() * HEAD + self.fixed.capacity() + self.heap.capacity() + self.undo.capacity() * UNDO,
        }
    }
}

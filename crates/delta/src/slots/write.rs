//! Writing: new versions over old ones, taking them off again, stamping them.

use txn::Version;
use types::{CommitTs, Row, TxnId};

use super::{Base, Full, Head, NONE, Slots, State, Undo};
use crate::patch;
use crate::shape::{Reference, Shape, is_null, set_null};
use crate::table::Write;

impl Slots {
    /// Puts the first version of a key into a free slot.
    pub(crate) fn insert(
        &mut self,
        shape: &Shape,
        key: &[u8],
        me: TxnId,
        write: Write<'_>,
        base: Base,
        clock: u16,
    ) -> Result<usize, Full> {
        let variable = if let Write::Row(row) = write { image_variable_len(shape, row) } else { 0 };
        self.make_room(shape, key.len() + variable)?;
        let slot = self.live.first_clear().expect("an open slab has a free slot");
        if slot == self.heads.len() {
            self.grow(shape);
        }
        let key = self.append(key);
        match write {
            Write::Row(row) => self.write_image(shape, slot, row),
            Write::Deleted | Write::InSegment => {
                self.fixed[slot * shape.fixed_len..(slot + 1) * shape.fixed_len].fill(0);
            }
        }
        let generation = self.heads[slot].generation;
        let state = State::of(write);
        let version = Version::in_progress(me);
        self.heads[slot] = Head { version, undo: NONE, generation, key, written: clock, state, base, born: false };
        self.live.set(slot);
        self.live_count += 1;
        self.in_progress += 1;
        self.gone += usize::from(state != State::Row);
        Ok(slot)
    }

    fn grow(&mut self, shape: &Shape) {
        let slots = self.heads.len();
        if slots.is_power_of_two() || slots == 0 {
            let more = slots.max(8);
            self.heads.reserve_exact(more);
            self.fixed.reserve_exact(more * shape.fixed_len);
        }
        self.heads.push(Head {
            version: Version::committed(CommitTs::ZERO),
            undo: NONE,
            generation: self.generation_first,
            key: Reference::default(),
            written: 0,
            state: State::Deleted,
            base: Base::Absent,
            born: false,
        });
        self.fixed.resize((slots + 1) * shape.fixed_len, 0);
    }

    /// Puts a newer version over the newest one, which becomes a before-image.
    pub(crate) fn overwrite(&mut self, shape: &Shape, slot: usize, me: TxnId, write: Write<'_>, clock: u16) -> Result<(), Full> {
        let mut patch = Reference::default();
        if let Write::Row(row) = write {
            self.make_room(shape, image_variable_len(shape, row) + shape.fixed_len + 2 * shape.fields.len())?;
            patch = self.push_difference(shape, slot, row);
            self.write_difference(shape, slot, row, patch);
        }
        let head = self.heads[slot];
        let undo = self.push_undo(Undo { version: head.version, next: head.undo, patch, state: head.state, born: head.born });
        self.in_progress += usize::from(head.version.txn().is_none());
        let before = head.state;
        self.set_state(slot, State::of(write));
        let head = &mut self.heads[slot];
        head.born = before == State::Deleted && head.state != State::Deleted;
        head.version = Version::in_progress(me);
        head.undo = undo;
        head.written = clock;
        Ok(())
    }

    /// Appends the patch from `row` back to the image in place.
    fn push_difference(&mut self, shape: &Shape, slot: usize, row: &Row) -> Reference {
        let old = &self.fixed[slot * shape.fixed_len..(slot + 1) * shape.fixed_len];
        let (new, variable) = row.0.split_at(shape.fixed_len);
        let at = self.heap.len();
        for (column, field) in shape.fields.iter().enumerate() {
            let range = field.at..field.at + field.width;
            let same = match (is_null(old, column), is_null(new, column)) {
                (true, true) => true,
                (false, false) if field.variable => {
                    Reference::read(&old[range.clone()]).of(&self.heap) == Reference::read(&new[range]).of(variable)
                }
                (false, false) => old[range.clone()] == new[range],
                _ => false,
            };
            if !same {
                patch::push(shape, old, column, &mut self.heap);
            }
        }
        Reference { at: at as u32, len: (self.heap.len() - at) as u32 }
    }

    /// Writes the columns named in `patch` from `row` over the image in place.
    fn write_difference(&mut self, shape: &Shape, slot: usize, row: &Row, patch: Reference) {
        let (new, variable) = row.0.split_at(shape.fixed_len);
        let start = slot * shape.fixed_len;
        let (mut at, end) = (patch.at as usize, (patch.at + patch.len) as usize);
        while at < end {
            let (entry, next) = patch::entry(shape, &self.heap, at);
            let field = shape.fields[entry.column];
            self.write_field(
                shape,
                start,
                entry.column,
                &new[field.at..field.at + field.width],
                variable,
                is_null(new, entry.column),
            );
            at = next;
        }
    }

    fn write_field(&mut self, shape: &Shape, start: usize, column: usize, new: &[u8], variable: &[u8], null: bool) {
        let field = shape.fields[column];
        let reference =
            if field.variable && !null { self.append(Reference::read(new).of(variable)) } else { Reference::default() };
        let fixed = &mut self.fixed[start..start + shape.fixed_len];
        let target = &mut fixed[field.at..field.at + field.width];
        if null {
            target.fill(0);
        } else if field.variable {
            reference.write(target);
        } else {
            target.copy_from_slice(new);
        }
        set_null(fixed, column, null);
    }

    fn write_image(&mut self, shape: &Shape, slot: usize, row: &Row) {
        let (new, variable) = row.0.split_at(shape.fixed_len);
        let start = slot * shape.fixed_len;
        self.fixed[start..start + shape.fixed_len].copy_from_slice(new);
        for (column, field) in shape.fields.iter().enumerate() {
            let null = is_null(new, column);
            if null || field.variable {
                self.write_field(shape, start, column, &new[field.at..field.at + field.width], variable, null);
            }
        }
    }

    /// Takes the newest version off; returns false (and leaves it) if it is the only one.
    pub(crate) fn pop(&mut self, shape: &Shape, slot: usize) -> bool {
        let undo = self.heads[slot].undo;
        if undo == NONE {
            return false;
        }
        let record = self.undo[undo as usize];
        let fixed = &mut self.fixed[slot * shape.fixed_len..(slot + 1) * shape.fixed_len];
        let before = shape.variable_len(fixed) + patch::variable_len(shape, record.patch.of(&self.heap));
        patch::apply(shape, record.patch.of(&self.heap), fixed);
        self.garbage += before - shape.variable_len(fixed) + record.patch.len as usize;
        self.drop_undo(undo);
        self.set_state(slot, record.state);
        let head = &mut self.heads[slot];
        head.version = record.version;
        head.born = record.born;
        head.undo = record.next;
        if record.version.txn().is_none() {
            self.in_progress -= 1;
        }
        self.compact_if_worth(shape);
        true
    }

    /// Makes all versions of `me` in the slot one version, committed at `ts`.
    pub(crate) fn stamp(&mut self, shape: &Shape, slot: usize, me: TxnId, ts: CommitTs) {
        let mine = Version::in_progress(me);
        assert_eq!(self.heads[slot].version, mine, "a transaction stamps what it wrote");
        // What the transaction itself wrote over, nobody will see.
        self.remove_versions(shape, slot, |_, version| version == mine);
        self.heads[slot].version = Version::committed(ts);
        self.in_progress -= 1;
        self.newest = self.newest.max(ts);
        self.compact_if_worth(shape);
    }

    fn set_state(&mut self, slot: usize, state: State) {
        let head = &mut self.heads[slot];
        self.gone -= usize::from(head.state != State::Row);
        self.gone += usize::from(state != State::Row);
        head.state = state;
    }

    /// Frees a slot with all its versions.
    pub(crate) fn free(&mut self, shape: &Shape, slot: usize) {
        self.release(shape, slot);
        self.compact_if_worth(shape);
    }

    pub(super) fn release(&mut self, shape: &Shape, slot: usize) {
        let head = self.heads[slot];
        self.cut(shape, head.undo);
        self.garbage += head.key.len as usize + shape.variable_len(self.fixed(shape, slot));
        self.in_progress -= usize::from(head.version.txn().is_some());
        self.gone -= usize::from(head.state != State::Row);
        self.live.clear(slot);
        self.pending.clear(slot);
        self.live_count -= 1;
        self.freed = self.freed.wrapping_add(1);
        let head = &mut self.heads[slot];
        head.undo = NONE;
        head.generation = head.generation.wrapping_add(1);
        if self.live_count == 0 {
            self.heap = Vec::new();
            self.undo = Vec::new();
            self.undo_free = NONE;
            self.garbage = 0;
        }
    }

    /// Releases all memory: the slab leaves the table. Returns the first generation for the next slab at its position.
    pub(crate) fn retire(&mut self) -> u32 {
        assert_eq!(self.live_count, 0, "only an empty slab is retired");
        let generation = self.generation_first.wrapping_add(self.freed).wrapping_add(1);
        *self = Slots { retired: true, open: false, ..Slots::new(generation) };
        generation
    }
}

/// The bytes of the variable part an image not yet stored refers to; what a NULL's field holds does not count.
fn image_variable_len(shape: &Shape, row: &Row) -> usize {
    let fixed = &row.0[..shape.fixed_len];
    let fields = shape.fields.iter().enumerate().filter(|(column, field)| field.variable && !is_null(fixed, *column));
    fields.map(|(_, field)| Reference::read(&fixed[field.at..]).len as usize).sum()
}

//! The 512 slots of a slab: version chains, the heap behind them, and what keeps both small.
//!
//! ```text
//!   heads[i]   version, state, undo ->  undo records (version, state, patch) -> older -> NONE, then the base
//!   fixed      512 fixed parts in a row; texts and byteas are references into
//!   heap       | key | text | text | patch | key | ...          append only; compacted when half of it is garbage
//! ```
//!
//! 1. The image in place is that of the newest version that has one. Applying the patches down to a record gives that record's
//!    image; records without an image (`Deleted`, `InSegment`) have patches too, for the ones below them.
//! 2. Every reference is owned once: by an image in place or by one patch entry. What is let go is counted as garbage.
//! 3. A version put over a deletion is `born`: of a new row under an old key. Whatever takes a version out of a chain hands its mark
//!    on to the next newer one.
//! 4. A head that is committed, and is no row or has before-images, is `pending` until reclaim has dealt with it.
//!
//! Not here: locks (`slab`), the index (`table`).

mod heap;
mod reclaim;
mod write;

use txn::{Snapshot, Version};
use types::{CommitTs, Key, Row};

use crate::index::{ENTRY_BYTES, SlotRef};
use crate::patch;
use crate::shape::{Reference, Shape, is_null};
use crate::slab::Bits;
use crate::table::{Lineage, Write};

/// Slots of a slab: enough to scan in long loops, few enough that a writer waits at most some 20 us for such a loop.
pub(crate) const SLOTS: usize = 512;

/// No undo record: the image in place, or the end of a chain.
pub(crate) const NONE: u32 = u32::MAX;

/// A heap is not compacted for less garbage than this.
const GARBAGE_BYTES_MIN: usize = 4096;

/// A slab whose values take more than this gets no further rows, so that compacting it stays short.
const HEAP_BYTES_TARGET: usize = 1 << 20;

/// What was under a key before its first version here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// Nothing: there was no such row.
    Absent,
    /// A row in a segment: readers whose snapshot sees no version here find it there.
    InSegment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Row,
    Deleted,
    InSegment,
}

#[derive(Clone, Copy)]
pub(crate) struct Head {
    pub(crate) version: Version,
    undo: u32,
    generation: u32,
    key: Reference,
    /// The table's clock when the slot was last written.
    pub(crate) written: u16,
    pub(crate) state: State,
    base: Base,
    /// The newest version is of another row than the ones below it.
    born: bool,
}

#[derive(Clone, Copy)]
struct Undo {
    version: Version,
    next: u32,
    /// The patch in the heap.
    patch: Reference,
    state: State,
    born: bool,
}

/// What a snapshot sees in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The row image down to this undo record ([`NONE`]: the one in place).
    Row(u32),
    Deleted,
    InSegment,
    Absent,
}

/// The heap has no room for so many bytes.
#[derive(Debug)]
pub(crate) struct Full;

/// What [`Slots::reclaim`] did.
#[derive(Default)]
pub(crate) struct Reclaimed {
    /// Slots freed, to be removed from the index.
    pub(crate) slots: Vec<(Key, SlotRef)>,
    /// Before-images freed, those of freed slots too.
    pub(crate) versions: usize,
    /// When there will be more to do: once every snapshot is at this timestamp or later.
    pub(crate) next: Option<CommitTs>,
}

/// What a row in the delta takes beside its image and its key, in bytes: the slot's head and the index's entry.
pub const ROW_OVERHEAD: usize = size_of::<Head>() + ENTRY_BYTES;

pub(crate) struct Slots {
    heads: Vec<Head>,
    fixed: Vec<u8>,
    heap: Vec<u8>,
    garbage: usize,
    undo: Vec<Undo>,
    undo_free: u32,
    undo_count: usize,
    live: Bits,
    live_count: usize,
    pending: Bits,
    /// Live slots whose head is in progress.
    in_progress: usize,
    /// Live slots whose head is not a row.
    gone: usize,
    /// At least the greatest timestamp stamped on a head.
    newest: CommitTs,
    generation_first: u32,
    freed: u32,
    /// In the table's stack of slabs with free slots, or in the hands of who took it from there.
    pub(crate) open: bool,
    /// Under which timestamp it is in the table's queue for reclaim; other entries of it there are stale.
    pub(crate) queued: Option<CommitTs>,
    /// No longer in the table.
    pub(crate) retired: bool,
}

impl Slots {
    pub(crate) fn new(generation_first: u32) -> Slots {
        Slots {
            heads: Vec::new(),
            fixed: Vec::new(),
            heap: Vec::new(),
            garbage: 0,
            undo: Vec::new(),
            undo_free: NONE,
            undo_count: 0,
            live: Bits::default(),
            live_count: 0,
            pending: Bits::default(),
            in_progress: 0,
            gone: 0,
            newest: CommitTs::ZERO,
            generation_first,
            freed: 0,
            open: true,
            queued: None,
            retired: false,
        }
    }

    // ---- reading

    /// True if `slot` still lives the life the reference means.
    pub(crate) fn holds(&self, slot: SlotRef) -> bool {
        let at = usize::from(slot.slot);
        at < self.heads.len() && self.live.get(at) && self.heads[at].generation == slot.generation
    }

    pub(crate) fn head(&self, slot: usize) -> &Head {
        &self.heads[slot]
    }

    pub(crate) fn generation(&self, slot: usize) -> u32 {
        self.heads[slot].generation
    }

    pub(crate) fn key(&self, slot: usize) -> &[u8] {
        self.heads[slot].key.of(&self.heap)
    }

    pub(crate) fn live(&self) -> &Bits {
        &self.live
    }

    pub(crate) fn live_count(&self) -> usize {
        self.live_count
    }

    /// Has room for another row.
    pub(crate) fn has_room(&self) -> bool {
        self.live_count < SLOTS && self.heap.len() - self.garbage < HEAP_BYTES_TARGET
    }

    /// True if `snapshot` sees the newest version of every live slot, and each is a row.
    pub(crate) fn is_clean_for(&self, snapshot: &Snapshot) -> bool {
        self.in_progress == 0 && self.gone == 0 && self.newest <= snapshot.ts
    }

    /// True if the slab is to be queued for reclaim at `ts`; false if it already is, then or earlier.
    pub(crate) fn queue(&mut self, ts: CommitTs) -> bool {
        let sooner = self.queued.is_none_or(|queued| ts < queued);
        if sooner {
            self.queued = Some(ts);
        }
        sooner
    }

    /// What `snapshot` sees in a live slot.
    pub(crate) fn seen(&self, slot: usize, snapshot: &Snapshot) -> Seen {
        let of = |state, undo| match state {
            State::Row => Seen::Row(undo),
            State::Deleted => Seen::Deleted,
            State::InSegment => Seen::InSegment,
        };
        let head = &self.heads[slot];
        if snapshot.sees(head.version) {
            return of(head.state, NONE);
        }
        let mut undo = head.undo;
        while undo != NONE {
            let record = &self.undo[undo as usize];
            if snapshot.sees(record.version) {
                return of(record.state, undo);
            }
            undo = record.next;
        }
        match head.base {
            Base::Absent => Seen::Absent,
            Base::InSegment => Seen::InSegment,
        }
    }

    /// Whether the newest committed version of a live slot is of the row that `snapshot` sees in it.
    pub(crate) fn lineage(&self, slot: usize, snapshot: &Snapshot) -> Lineage {
        let head = &self.heads[slot];
        let (mut version, mut state, mut born, mut undo) = (head.version, head.state, head.born, head.undo);
        loop {
            if snapshot.sees(version) {
                return if state == State::Deleted { Lineage::Other } else { Lineage::Same };
            }
            // What is in progress may come to nothing.
            if version.txn().is_none() && (born || state == State::Deleted) {
                return Lineage::Other;
            }
            if undo == NONE {
                return match head.base {
                    Base::Absent => Lineage::Other,
                    Base::InSegment => Lineage::Segment,
                };
            }
            let record = &self.undo[undo as usize];
            (version, state, born, undo) = (record.version, record.state, record.born, record.next);
        }
    }

    /// The fixed part in place.
    pub(crate) fn fixed(&self, shape: &Shape, slot: usize) -> &[u8] {
        &self.fixed[slot * shape.fixed_len..(slot + 1) * shape.fixed_len]
    }

    /// What the references of every image and patch refer to.
    pub(crate) fn heap(&self) -> &[u8] {
        &self.heap
    }

    /// Appends the fixed part as it was at undo record `until`.
    pub(crate) fn fixed_at(&self, shape: &Shape, slot: usize, until: u32, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(self.fixed(shape, slot));
        let mut undo = if until == NONE { NONE } else { self.heads[slot].undo };
        while undo != NONE {
            let record = &self.undo[undo as usize];
            patch::apply(shape, record.patch.of(&self.heap), &mut out[start..]);
            undo = if undo == until { NONE } else { record.next };
        }
    }

    /// The row image as it was at undo record `until`, in one piece; of `wanted` as [`Slots::append_row_at`].
    pub(crate) fn row_at(&self, shape: &Shape, slot: usize, until: u32, wanted: Option<&[usize]>) -> Row {
        let mut image = Vec::new();
        self.append_row_at(shape, slot, until, wanted, &mut image);
        Row(image.into_boxed_slice())
    }

    /// Appends the row image as it was at undo record `until`; with `wanted` (in order), texts of other columns are left empty.
    pub(crate) fn append_row_at(&self, shape: &Shape, slot: usize, until: u32, wanted: Option<&[usize]>, out: &mut Vec<u8>) {
        if until == NONE {
            return self.gather(shape, self.fixed(shape, slot), wanted, out);
        }
        let mut fixed = Vec::with_capacity(shape.fixed_len);
        self.fixed_at(shape, slot, until, &mut fixed);
        self.gather(shape, &fixed, wanted, out);
    }

    fn gather(&self, shape: &Shape, fixed: &[u8], wanted: Option<&[usize]>, out: &mut Vec<u8>) {
        let is_wanted = |column: &usize| wanted.is_none_or(|wanted| wanted.binary_search(column).is_ok());
        let references = shape.fields.iter().enumerate().filter(|(column, field)| field.variable && !is_null(fixed, *column));
        let references = references.map(|(column, field)| {
            let reference = if is_wanted(&column) { Reference::read(&fixed[field.at..]) } else { Reference::default() };
            (field, reference)
        });
        if out.capacity() == 0 {
            // Exactly, for a row alone.
            out.reserve_exact(shape.fixed_len + references.clone().map(|(_, reference)| reference.len as usize).sum::<usize>());
        }
        let start = out.len();
        out.extend_from_slice(fixed);
        for (field, reference) in references {
            let at = (out.len() - start - shape.fixed_len) as u32;
            Reference { at, len: reference.len }.write(&mut out[start + field.at..start + field.at + field.width]);
            out.extend_from_slice(reference.of(&self.heap));
        }
    }
}

impl State {
    fn of(write: Write<'_>) -> State {
        match write {
            Write::Row(_) => State::Row,
            Write::Deleted => State::Deleted,
            Write::InSegment => State::InSegment,
        }
    }
}

//! Rows of a table between two keys, in key order either way: the delta and the segments merged at one snapshot.
//!
//! ```text
//!   delta     k1 row      k2 deleted    k4 in segment    k7 row         what the delta says of a key, goes
//!   loaded                                        k6                    rows this transaction has loaded
//!   segment         k1    k2  k3        k4   k5                         else the row of the segment that has it alive
//!   --> k1 (delta)  k3 (segment)  k4 (segment)  k5 (segment)  k6 (loaded)  k7 (delta)
//! ```
//!
//! 1. Each live row comes exactly once (I1): keys are merged, so that a row whose place changes between two blocks, by freeze or
//!    compaction, is still met under its one key, and what a held snapshot sees under a key never changes.
//! 2. No lock is held between blocks, nor while a segment is read. A segment is opened when the range comes to its keys, its columns
//!    are read when a row of it is taken: a range that is left early has paid for what it gave.
//! 3. It sees the changes its transaction had made when a block was read; who changes rows on the way should change those behind.
//!
//! Cost: about 1 us to start and one search per segment that overlaps; then about 0.2 us a row from the delta and 0.1 us a row, plus
//! 10 ns a value, from cached segments.

use std::ops::Bound;
use std::sync::Arc;

use delta::{Entry, RangeBlock};
use roaring::RoaringBitmap;
use segments::{LiveSegment, SegmentRange};
use txn::{Cancel, SerialTransaction, Snapshot, SnapshotGuard};
use types::{ByteList, Direction, Key, RowLayout, RowRef};

use crate::error::EngineError;
use crate::table::TableStore;
use crate::transaction::Own;

/// Keys the delta is first asked for; each further time twice as many.
const DELTA_KEYS_MIN: usize = 16;
/// The most it is asked for at once.
const DELTA_KEYS_MAX: usize = 256;
/// Bytes of keys and rows at which a block is full.
const BLOCK_BYTES_MAX: usize = 1 << 20;

/// Which rows, and what of them; see [`crate::Transaction::range`].
#[derive(Clone, Copy, Debug)]
pub struct RangeOf<'a> {
    /// The least key.
    pub from: Bound<&'a [u8]>,
    /// The greatest key.
    pub to: Bound<&'a [u8]>,
    /// Which end comes first.
    pub direction: Direction,
    /// The stored columns that are read, in order; None: all. The others of a row are NULL or empty.
    pub wanted: Option<&'a [usize]>,
}

/// A range being read: see [`crate::Transaction::range`].
pub struct RangeCursor {
    store: Arc<TableStore>,
    snapshot: Snapshot,
    cancel: Arc<Cancel>,
    /// What ended it early.
    failed: Option<EngineError>,
    /// Of SERIALIZABLE: notes how far it was read.
    serial: Option<Arc<SerialTransaction>>,
    /// The last key of what is noted.
    noted: Option<Key>,
    from: Bound<Key>,
    to: Bound<Key>,
    direction: Direction,
    wanted: Option<Box<[usize]>>,
    delta: RangeBlock,
    /// The first key of `delta` that was not given yet.
    delta_at: usize,
    /// There may be keys behind those of `delta`.
    delta_more: bool,
    delta_keys: usize,
    /// Segments whose keys all come later; the last one next.
    waiting: Vec<Arc<LiveSegment>>,
    /// Segments being read, those this transaction has loaded first.
    open: Vec<SegmentRange>,
    /// The key being decided.
    key: Vec<u8>,
    /// Keeps versions and segments from being reclaimed.
    _guard: Arc<SnapshotGuard>,
}

/// Some rows of a range, with their keys. To be used again for the next ones.
#[derive(Debug)]
pub struct RowBlock {
    layout: Arc<RowLayout>,
    keys: ByteList,
    rows: ByteList,
}

impl RowBlock {
    /// How many.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// True for none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The key of the row at `at`, from 0.
    pub fn key(&self, at: usize) -> &[u8] {
        self.keys.get(at)
    }

    /// The row at `at`, from 0.
    pub fn row(&self, at: usize) -> RowRef<'_> {
        self.layout.read_image(self.rows.get(at))
    }
}

fn as_bytes(bound: &Bound<Key>) -> Bound<&[u8]> {
    bound.as_ref().map(|key| &**key)
}

impl RangeCursor {
    pub(crate) fn new(
        store: Arc<TableStore>,
        own: &Own,
        snapshot: Snapshot,
        guard: Arc<SnapshotGuard>,
        cancel: Arc<Cancel>,
        of: RangeOf<'_>,
    ) -> Result<RangeCursor, EngineError> {
        store.bury_rest()?;
        let mut waiting = store.segments().overlapping(of.from, of.to, snapshot.ts);
        match of.direction {
            Direction::Forward => waiting.reverse(),
            Direction::Backward => waiting.sort_by(|a, b| a.segment.max_key().cmp(b.segment.max_key())),
        }
        let mut open = Vec::new();
        for live in &own.ingested {
            let dead = own.dead.iter().find(|(l, _)| Arc::ptr_eq(l, live)).map(|(_, dead)| Arc::new(RoaringBitmap::clone(dead)));
            open.push(SegmentRange::new(Arc::clone(live), snapshot.ts, dead, of.from, of.to, of.direction)?);
        }
        Ok(RangeCursor {
            store,
            snapshot,
            cancel,
            failed: None,
            serial: None,
            noted: None,
            from: of.from.map(Key::from),
            to: of.to.map(Key::from),
            direction: of.direction,
            wanted: of.wanted.map(Into::into),
            delta: RangeBlock::default(),
            delta_at: 0,
            delta_more: true,
            delta_keys: DELTA_KEYS_MIN,
            waiting,
            open,
            key: Vec::new(),
            _guard: guard,
        })
    }

    /// An empty block for this range's rows.
    pub fn block(&self) -> RowBlock {
        RowBlock { layout: Arc::clone(&self.store.layout), keys: ByteList::default(), rows: ByteList::default() }
    }

    /// Replaces what is in `block` by the next rows: at most `rows_max`, and about 1 MiB of them; none after the last.
    /// Errors: `Canceled`, and what reading segments can give. After an error there are no more rows to be had: every further call
    /// gives it again.
    pub fn next(&mut self, block: &mut RowBlock, rows_max: usize) -> Result<(), EngineError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        block.keys.clear();
        block.rows.clear();
        let filled = self.fill(block, rows_max).and_then(|()| self.note(block, rows_max));
        if let Err(error) = &filled {
            self.failed = Some(error.clone());
            block.keys.clear();
            block.rows.clear();
        }
        filled
    }

    pub(crate) fn noted_by(self, serial: Option<Arc<SerialTransaction>>) -> RangeCursor {
        RangeCursor { serial, ..self }
    }

    /// Notes what a block shows to have been read: as far as its last row, or all that was left.
    fn note(&mut self, block: &RowBlock, rows_max: usize) -> Result<(), EngineError> {
        let Some(serial) = &self.serial else { return Ok(()) };
        let is_full = block.len() >= rows_max || block.keys.bytes() + block.rows.bytes() >= BLOCK_BYTES_MAX;
        let last = block.len().checked_sub(1).filter(|_| is_full).map(|last| Key::from(block.key(last)));
        let behind = self.noted.as_deref().map(Bound::Excluded);
        let until = last.as_deref().map(Bound::Included);
        let (from, to) = (as_bytes(&self.from), as_bytes(&self.to));
        let (from, to) = match self.direction {
            Direction::Forward => (behind.unwrap_or(from), until.unwrap_or(to)),
            Direction::Backward => (until.unwrap_or(from), behind.unwrap_or(to)),
        };
        serial.read_range(self.store.id(), from, to)?;
        if last.is_none() {
            self.serial = None;
        }
        self.noted = last;
        Ok(())
    }

    fn fill(&mut self, block: &mut RowBlock, rows_max: usize) -> Result<(), EngineError> {
        while block.len() < rows_max && block.keys.bytes() + block.rows.bytes() < BLOCK_BYTES_MAX {
            if self.cancel.is_set() {
                return Err(EngineError::Canceled);
            }
            if !self.choose(rows_max - block.len())? {
                break;
            }
            self.take(block)?;
        }
        Ok(())
    }

    /// Finds the next key that the delta or a segment has, into `key`; false after the last.
    fn choose(&mut self, rows: usize) -> Result<bool, EngineError> {
        if self.delta_at == self.delta.len() && self.delta_more {
            self.read_delta(rows);
        }
        let mut found = self.delta_at < self.delta.len();
        if found {
            self.key.clear();
            self.key.extend_from_slice(self.delta.key(self.delta_at));
        }
        let mut at = 0;
        while at < self.open.len() {
            match self.open[at].peek()? {
                None => drop(self.open.remove(at)),
                Some(key) => {
                    offer(&mut self.key, &mut found, key, self.direction);
                    at += 1;
                }
            }
        }
        while let Some(live) = self.waiting.last() {
            let first = match self.direction {
                Direction::Forward => live.segment.min_key(),
                Direction::Backward => live.segment.max_key(),
            };
            if found && self.direction.is_before(&self.key, first) {
                break;
            }
            let (from, to) = (as_bytes(&self.from), as_bytes(&self.to));
            let mut range = SegmentRange::new(Arc::clone(live), self.snapshot.ts, None, from, to, self.direction)?;
            self.waiting.pop();
            if let Some(key) = range.peek()? {
                offer(&mut self.key, &mut found, key, self.direction);
                self.open.push(range);
            }
        }
        Ok(found && self.is_within())
    }

    /// Whether the key being decided is not beyond the far bound: of a segment some keys behind it may come.
    fn is_within(&self) -> bool {
        match (self.direction, &self.from, &self.to) {
            (Direction::Forward, _, Bound::Included(to)) => *self.key <= **to,
            (Direction::Forward, _, Bound::Excluded(to)) => *self.key < **to,
            (Direction::Backward, Bound::Included(from), _) => *self.key >= **from,
            (Direction::Backward, Bound::Excluded(from), _) => *self.key > **from,
            (Direction::Forward, _, Bound::Unbounded) | (Direction::Backward, Bound::Unbounded, _) => true,
        }
    }

    /// Adds the row with `key`, if there is one, and goes past the key everywhere.
    fn take(&mut self, block: &mut RowBlock) -> Result<(), EngineError> {
        let mut in_segment = true;
        if self.delta_at < self.delta.len() && *self.key == *self.delta.key(self.delta_at) {
            match self.delta.entry(self.delta_at) {
                Entry::Row(image) => {
                    block.keys.push(&self.key);
                    block.rows.push(image);
                    in_segment = false;
                }
                Entry::Deleted => in_segment = false,
                Entry::InSegment => {}
            }
            self.delta_at += 1;
        }
        for range in &mut self.open {
            if range.key() != Some(&*self.key) {
                continue;
            }
            if in_segment {
                let mut read = Ok(());
                let (layout, wanted) = (&self.store.layout, self.wanted.as_deref());
                block.rows.push_with(|out| read = range.append_row(layout, wanted, out));
                read?;
                block.keys.push(&self.key);
                in_segment = false;
            }
            range.advance();
        }
        Ok(())
    }

    fn read_delta(&mut self, rows: usize) {
        // Behind the last key; a range read before it has none.
        let last = (!self.delta.is_empty()).then(|| Key::from(self.delta.key(self.delta.len() - 1)));
        let behind = last.as_deref().map(Bound::Excluded);
        let (from, to) = (as_bytes(&self.from), as_bytes(&self.to));
        let (from, to) = match self.direction {
            Direction::Forward => (behind.unwrap_or(from), to),
            Direction::Backward => (from, behind.unwrap_or(to)),
        };
        let n = rows.min(self.delta_keys);
        self.delta_keys = (self.delta_keys * 2).min(DELTA_KEYS_MAX);
        let wanted = self.wanted.as_deref();
        self.delta_more = self.store.delta.range(&self.snapshot, from, to, self.direction, n, wanted, &mut self.delta);
        self.delta_at = 0;
    }
}

/// Makes `key` the earlier one of itself, if there is one, and `other`.
fn offer(key: &mut Vec<u8>, found: &mut bool, other: &[u8], direction: Direction) {
    if !*found || direction.is_before(other, key) {
        key.clear();
        key.extend_from_slice(other);
        *found = true;
    }
}

//! The cache of columns as they are packed: which row groups' columns of which segments are in memory.
//!
//! ```text
//! Segment -- Slots: one per (group, column) and per group's keys               a hit: one reference count
//!                     | filled                                                 no table to search
//! Cache   -- small FIFO --used again--> main FIFO --used again--> main, again
//!              | not used                 | not used                           (a slot that comes back soon after it was
//!              v empty the slot           v empty the slot                      pushed out goes to main at once)
//! ```
//!
//! 1. What slots hold together stays within `bytes_max`, except for what is being put in at this moment.
//! 2. One large scan passes through the small queue, a tenth of the memory, and leaves the rest alone.
//! 3. One load of a slot at a time: who comes meanwhile waits and gets the same values.
//! 4. What is not admitted (more than half of the cache) is still handed to who asked, and to everyone who asks while it is in use.
//! 5. An emptied slot frees memory when the last reader is done with the values.
//! 6. A point read looks at all its columns without counting references to each: each atomic step would keep the processor from
//!    fetching the next column's memory while it waits for this one's.
//!
//! Source: S3-FIFO (Yang et al., SOSP 2023), with the ghost queue kept as a number in each slot.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::{ArcSwap, Guard};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{ByteViewType, DataType};
use parking_lot::Mutex;

use crate::error::Result;
use crate::keys::KeyList;
use crate::packed::Packed;

const USES_COUNTED_MAX: u8 = 3;

/// More than the cores of most machines.
const HITS: usize = 16;

/// A cache shared by the segments of a database.
pub struct Cache {
    bytes_max: usize,
    bytes: AtomicUsize,
    hits: [Hits; HITS],
    loads: AtomicU64,
    queues: Mutex<Queues>,
}

/// Apart from each other: each thread adds to its own, or to one that it shares with few.
#[derive(Default)]
#[repr(align(128))]
struct Hits(AtomicU64);

/// Counters for the people who watch a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounters {
    /// Times the values were there, or a little more: counted without a lock.
    pub hits: u64,
    /// Times they were read: from Parquet, decoded and packed, or as they are from a local file.
    pub loads: u64,
    /// Times values were pushed out.
    pub evictions: u64,
}

#[derive(Default)]
struct Queues {
    small: VecDeque<Entry>,
    main: VecDeque<Entry>,
    small_bytes: usize,
    evictions: u64,
    /// Length of both queues at which entries of segments that are gone are swept out.
    sweep_at: usize,
}

struct Entry {
    slots: Weak<Slots>,
    slot: usize,
    bytes: usize,
}

/// What a slot holds.
#[derive(Clone)]
pub(crate) enum Block {
    Column(Arc<Packed>),
    Keys(Arc<KeyList>),
}

#[derive(Default)]
enum WeakBlock {
    #[default]
    Nothing,
    Column(Weak<Packed>),
    Keys(Weak<KeyList>),
}

/// The slots of one segment: those of a group side by side.
pub(crate) struct Slots {
    cache: Arc<Cache>,
    /// What the slots of each group hold.
    groups: Box<[ArcSwap<Blocks>]>,
    group_slots: usize,
    slots: Box<[Slot]>,
}

/// What the slots of a group hold. Replaced as a whole, so that who reads it writes nothing that others read.
type Blocks = Vec<Option<Held>>;

/// What a filled slot holds.
#[derive(Clone)]
struct Held {
    block: Block,
    bytes: usize,
}

/// What a group's slots hold, which stays as it is for as long as this is held: not for long, and not while something is loaded.
pub(crate) struct GroupBlocks<'a> {
    held: Guard<Arc<Blocks>>,
    slots: &'a [Slot],
    cache: &'a Cache,
}

#[derive(Default)]
struct Slot {
    /// Uses of what it holds, up to [`USES_COUNTED_MAX`].
    uses: AtomicU8,
    /// Reads of single pages while the slot was empty.
    cold_reads: AtomicU8,
    /// The cache's count of evictions just after this slot was emptied; 0 if it never was.
    evicted_at: AtomicU64,
    /// Held while loading. What was loaded last, should someone still use it.
    loading: Mutex<WeakBlock>,
}

impl Block {
    fn bytes(&self) -> usize {
        match self {
            Block::Column(column) => column.memory(),
            Block::Keys(keys) => keys.memory(),
        }
    }

    fn downgrade(&self) -> WeakBlock {
        match self {
            Block::Column(column) => WeakBlock::Column(Arc::downgrade(column)),
            Block::Keys(keys) => WeakBlock::Keys(Arc::downgrade(keys)),
        }
    }
}

impl WeakBlock {
    fn upgrade(&self) -> Option<Block> {
        match self {
            WeakBlock::Nothing => None,
            WeakBlock::Column(column) => column.upgrade().map(Block::Column),
            WeakBlock::Keys(keys) => keys.upgrade().map(Block::Keys),
        }
    }
}

impl Cache {
    /// A cache that holds at most `bytes_max` bytes of packed columns and keys; 0 keeps nothing.
    pub fn new(bytes_max: usize) -> Arc<Cache> {
        Arc::new(Cache {
            bytes_max,
            bytes: AtomicUsize::new(0),
            hits: Default::default(),
            loads: AtomicU64::new(0),
            queues: Mutex::new(Queues { sweep_at: 1024, ..Queues::default() }),
        })
    }

    /// Bytes of packed columns and keys held now.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The most it holds.
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// How well it does.
    pub fn counters(&self) -> CacheCounters {
        CacheCounters {
            hits: self.hits.iter().map(|hits| hits.0.load(Ordering::Relaxed)).sum(),
            loads: self.loads.load(Ordering::Relaxed),
            evictions: self.queues.lock().evictions,
        }
    }

    /// Fills a slot that is empty (its loading lock is held) and makes room.
    fn admit(&self, slots: &Arc<Slots>, slot: usize, block: &Block) {
        let bytes = block.bytes();
        if bytes > self.bytes_max / 2 {
            return;
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        slots.set(slot, Some(Held { block: block.clone(), bytes }));
        let entry = Entry { slots: Arc::downgrade(slots), slot, bytes };

        let mut dropped = Vec::new();
        let mut queues = self.queues.lock();
        let evicted_at = slots.slots[slot].evicted_at.load(Ordering::Relaxed);
        let remembered = (queues.small.len() + queues.main.len()) as u64;
        if evicted_at != 0 && queues.evictions - evicted_at <= remembered {
            queues.main.push_back(entry);
        } else {
            queues.small_bytes += bytes;
            queues.small.push_back(entry);
        }
        self.make_room(&mut queues, &mut dropped);
        queues.sweep();
        drop(queues);
        // Only now may values be freed: dropping the last handle of a segment's slots comes back here.
        drop(dropped);
    }

    fn make_room(&self, queues: &mut Queues, dropped: &mut Vec<(Arc<Slots>, Option<Held>)>) {
        while self.bytes() > self.bytes_max {
            let from_small = queues.small_bytes > self.bytes_max / 10 || queues.main.is_empty();
            let popped = if from_small { queues.small.pop_front() } else { queues.main.pop_front() };
            let Some(entry) = popped else { return };
            if from_small {
                queues.small_bytes -= entry.bytes;
            }
            let Some(slots) = entry.slots.upgrade() else { continue };
            if slots.is_kept(entry.slot, from_small) {
                queues.main.push_back(entry);
                dropped.push((slots, None));
            } else {
                queues.evictions += 1;
                slots.slots[entry.slot].evicted_at.store(queues.evictions, Ordering::Relaxed);
                let held = slots.set(entry.slot, None);
                self.bytes.fetch_sub(entry.bytes, Ordering::Relaxed);
                dropped.push((slots, held));
            }
        }
    }
}

impl Queues {
    /// Forgets entries of segments that no longer exist, now and then: their bytes were given back when the segments went.
    fn sweep(&mut self) {
        if self.small.len() + self.main.len() < self.sweep_at {
            return;
        }
        self.small.retain(|entry| entry.slots.strong_count() > 0);
        self.main.retain(|entry| entry.slots.strong_count() > 0);
        self.small_bytes = self.small.iter().map(|entry| entry.bytes).sum();
        self.sweep_at = ((self.small.len() + self.main.len()) * 2).max(1024);
    }
}

impl Slots {
    /// Empty slots: in each of the groups one for each column, and one for the keys.
    pub(crate) fn new(cache: Arc<Cache>, groups: usize, columns: usize) -> Arc<Slots> {
        let group_slots = columns + 1;
        let empty = || ArcSwap::from_pointee(vec![None; group_slots]);
        Arc::new(Slots {
            cache,
            groups: (0..groups).map(|_| empty()).collect(),
            group_slots,
            slots: (0..groups * group_slots).map(|_| Slot::default()).collect(),
        })
    }

    /// What the slots of a group hold.
    pub(crate) fn group(&self, group: usize) -> GroupBlocks<'_> {
        let first = group * self.group_slots;
        GroupBlocks { held: self.groups[group].load(), slots: &self.slots[first..first + self.group_slots], cache: &self.cache }
    }

    /// What the slot holds.
    pub(crate) fn get(&self, slot: usize) -> Option<Block> {
        let group = self.group(slot / self.group_slots);
        let block = group.block(slot % self.group_slots)?.clone();
        group.count_hits(1);
        Some(block)
    }

    /// What the slot holds; does not count as a use.
    pub(crate) fn peek(&self, slot: usize) -> Option<Block> {
        self.groups[slot / self.group_slots].load()[slot % self.group_slots].as_ref().map(|held| held.block.clone())
    }

    /// Puts something, or nothing, into a slot; what was there before.
    fn set(&self, slot: usize, held: Option<Held>) -> Option<Held> {
        self.slots[slot].uses.store(0, Ordering::Relaxed);
        let at = slot % self.group_slots;
        let before = self.groups[slot / self.group_slots].rcu(|now| {
            let mut blocks = Blocks::clone(now);
            blocks[at].clone_from(&held);
            blocks
        });
        before[at].clone()
    }

    /// Whether a slot was used enough to stay; then its uses count anew, or one less.
    fn is_kept(&self, slot: usize, from_small: bool) -> bool {
        let uses = &self.slots[slot].uses;
        let counted = uses.load(Ordering::Relaxed);
        let keep = if from_small { counted > 1 } else { counted > 0 };
        if keep {
            uses.store(if from_small { 0 } else { counted - 1 }, Ordering::Relaxed);
        }
        keep
    }

    /// What the slot holds, or what `load` makes; then it is in the slot if the cache admits it.
    pub(crate) fn get_or_load(self: &Arc<Self>, slot: usize, load: impl FnOnce() -> Result<Block>) -> Result<Block> {
        if let Some(block) = self.get(slot) {
            return Ok(block);
        }
        env::blocking(|| self.load(slot, load))
    }

    fn load(self: &Arc<Self>, slot: usize, load: impl FnOnce() -> Result<Block>) -> Result<Block> {
        let mut loading = self.slots[slot].loading.lock();
        if let Some(block) = self.get(slot) {
            return Ok(block);
        }
        let block = match loading.upgrade() {
            Some(block) => block,
            None => {
                self.cache.loads.fetch_add(1, Ordering::Relaxed);
                let block = load()?;
                *loading = block.downgrade();
                block
            }
        };
        self.cache.admit(self, slot, &block);
        Ok(block)
    }

    /// Counts a read of a single page of an empty slot; returns how many there were before.
    pub(crate) fn count_cold_read(&self, slot: usize) -> u8 {
        let reads = &self.slots[slot].cold_reads;
        let before = reads.load(Ordering::Relaxed);
        reads.store(before.saturating_add(1), Ordering::Relaxed);
        before
    }

    /// Starts that count anew.
    pub(crate) fn reset_cold_reads(&self, slot: usize) {
        self.slots[slot].cold_reads.store(0, Ordering::Relaxed);
    }
}

impl GroupBlocks<'_> {
    /// What a slot of the group holds; counts as a use of it, not as a hit.
    fn block(&self, slot: usize) -> Option<&Block> {
        self.used(slot).map(|held| &held.block)
    }

    /// The column that a slot of the group holds; counts as a use of it, not as a hit.
    #[inline]
    pub(crate) fn column(&self, slot: usize) -> Option<&Packed> {
        match &self.used(slot)?.block {
            Block::Column(column) => Some(column),
            Block::Keys(_) => None,
        }
    }

    /// The group's keys, if they are there; counts as a hit.
    pub(crate) fn keys(&self) -> Option<&KeyList> {
        match &self.used(self.slots.len() - 1)?.block {
            Block::Keys(keys) => {
                self.count_hits(1);
                Some(keys)
            }
            Block::Column(_) => None,
        }
    }

    #[inline]
    fn used(&self, slot: usize) -> Option<&Held> {
        let held = self.held[slot].as_ref()?;
        let uses = &self.slots[slot].uses;
        let counted = uses.load(Ordering::Relaxed);
        if counted < USES_COUNTED_MAX {
            uses.store(counted + 1, Ordering::Relaxed);
        }
        Some(held)
    }

    /// Not an atomic addition: a count lost now and then is cheaper than every point read fighting for one line.
    pub(crate) fn count_hits(&self, hits: u64) {
        let own = &self.cache.hits[env::thread_number() % HITS].0;
        own.store(own.load(Ordering::Relaxed) + hits, Ordering::Relaxed);
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        let held = |group: &ArcSwap<Blocks>| group.load().iter().flatten().map(|held| held.bytes).sum::<usize>();
        let held: usize = self.groups.iter().map(held).sum();
        self.cache.bytes.fetch_sub(held, Ordering::Relaxed);
    }
}

/// Bytes of memory an array keeps alive, each buffer once.
pub(crate) fn memory(array: &ArrayRef) -> usize {
    match array.data_type() {
        DataType::Utf8View => view_memory(array.as_string_view()),
        DataType::BinaryView => view_memory(array.as_binary_view()),
        _ => array.get_array_memory_size(),
    }
}

fn view_memory<T: ByteViewType>(array: &arrow::array::GenericByteViewArray<T>) -> usize {
    let nulls = array.nulls().map_or(0, |nulls| nulls.buffer().capacity());
    size_of_val(array) + array.views().inner().capacity() + nulls + buffer_bytes(array)
}

/// Bytes of the distinct buffers behind an array of views.
fn buffer_bytes<T: ByteViewType>(array: &arrow::array::GenericByteViewArray<T>) -> usize {
    let mut buffers: Vec<_> = array.data_buffers().iter().map(|b| (b.data_ptr(), b.capacity())).collect();
    buffers.sort_unstable_by_key(|(pointer, _)| *pointer);
    buffers.dedup_by_key(|(pointer, _)| *pointer);
    buffers.iter().map(|(_, bytes)| bytes).sum()
}

/// The same values in less memory, if much of what the array keeps alive is not its values: short strings live in their views, so
/// the pages they were decoded from are dead weight; strings repeated from a dictionary are better left shared.
pub(crate) fn compact(array: ArrayRef) -> ArrayRef {
    fn smaller<T: ByteViewType>(array: &arrow::array::GenericByteViewArray<T>) -> Option<ArrayRef> {
        let (held, used) = (buffer_bytes(array), array.total_buffer_bytes_used());
        (used < held / 4 * 3).then(|| Arc::new(array.gc()) as ArrayRef)
    }
    let compacted = match array.data_type() {
        DataType::Utf8View => smaller(array.as_string_view()),
        DataType::BinaryView => smaller(array.as_binary_view()),
        _ => None,
    };
    compacted.unwrap_or(array)
}

//! From key to slot: an ordered map in stripes by range of keys, each with its own lock.
//!
//! A stripe that has grown too large is split in two, one that is empty is dropped; only that locks the list of stripes for writing.
//!
//! ```text
//!   entry: | first 16 bytes of the key, as two numbers | the whole key, if it is longer | slot |
//! ```
//!
//! A lookup compares numbers that lie in the tree's nodes; it follows a pointer only to tell long keys with equal heads apart.
//!
//! An entry may outlive its slot for a moment; who finds that removes it with [`Index::remove_if`]. Source: measured against a
//! B+tree with optimistic locks, a skip list and others before it was chosen; the interface is what a faster one will have.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;

use parking_lot::RwLock;
use types::{ByteList, Direction, Key};

/// Entries at which a stripe is split: few enough that writers rarely meet and a split is short (some 20 us), many enough that the
/// list of stripes stays in the cache (some 4,000 for 10 M keys).
const STRIPE_ENTRIES_MAX: usize = if cfg!(test) { 64 } else { 4096 };

/// What an index entry takes: key head, pointer and slot, in nodes that are about four fifths full.
pub(crate) const ENTRY_BYTES: usize = (size_of::<Stored>() + size_of::<SlotRef>()) * 5 / 4;

/// Bytes of a key that are kept in the tree's nodes.
const HEAD_LEN: usize = 16;

/// One life of one slot of a slab. Found again only as long as that life lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotRef {
    pub(crate) slab: u32,
    pub(crate) slot: u16,
    pub(crate) generation: u32,
}

/// A key with its head apart; orders as the key does.
struct Headed<'a> {
    head: [u64; 2],
    whole: Whole<'a>,
}

enum Whole<'a> {
    /// The head is all: its length.
    Short(u8),
    Owned(Box<[u8]>),
    Borrowed(&'a [u8]),
}

/// A key in the tree.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Stored(Headed<'static>);

type Map = BTreeMap<Stored, SlotRef>;

struct Stripe {
    /// The least key that belongs here; everything up to the next stripe's does.
    from: Stored,
    map: RwLock<Map>,
}

pub(crate) struct Index {
    /// In key order, never empty; the first is from the least key of all. Locked before a stripe's map.
    stripes: RwLock<Vec<Stripe>>,
}

impl Default for Index {
    fn default() -> Index {
        Index { stripes: RwLock::new(vec![Stripe { from: Stored::of(&[]), map: RwLock::default() }]) }
    }
}

/// The stripe of a key.
fn position(stripes: &[Stripe], key: &Headed<'_>) -> usize {
    stripes.partition_point(|stripe| stripe.from.0 <= *key) - 1
}

impl Index {
    pub(crate) fn get(&self, key: &[u8]) -> Option<SlotRef> {
        let key = Headed::of(key);
        let stripes = self.stripes.read();
        stripes[position(&stripes, &key)].map.read().get(&key).copied()
    }

    /// Adds an entry, or returns the one the key has.
    pub(crate) fn insert_if_absent(&self, key: &[u8], slot: SlotRef) -> Result<(), SlotRef> {
        let (stored, headed) = (Stored::of(key), Headed::of(key));
        let stripes = self.stripes.read();
        let mut map = stripes[position(&stripes, &headed)].map.write();
        match map.entry(stored) {
            Entry::Vacant(entry) => entry.insert(slot),
            Entry::Occupied(entry) => return Err(*entry.get()),
        };
        let is_large = map.len() > STRIPE_ENTRIES_MAX;
        drop(map);
        drop(stripes);
        if is_large {
            self.split(&headed);
        }
        Ok(())
    }

    /// Splits the stripe of a key in the middle, unless another has done so.
    fn split(&self, key: &Headed<'_>) {
        let mut stripes = self.stripes.write();
        let at = position(&stripes, key);
        let map = stripes[at].map.get_mut();
        if map.len() > STRIPE_ENTRIES_MAX
            && let Some(middle) = map.keys().nth(map.len() / 2).map(Stored::key)
        {
            let upper = map.split_off(&Headed::of(&middle));
            stripes.insert(at + 1, Stripe { from: Stored::of(&middle), map: RwLock::new(upper) });
        }
    }

    /// Removes the key's entry if it is `slot`; returns whether it was.
    pub(crate) fn remove_if(&self, key: &[u8], slot: SlotRef) -> bool {
        let key = Headed::of(key);
        let stripes = self.stripes.read();
        let at = position(&stripes, &key);
        let mut map = stripes[at].map.write();
        let is = map.get(&key) == Some(&slot);
        if is {
            map.remove(&key);
        }
        let is_empty = map.is_empty() && at > 0;
        drop(map);
        drop(stripes);
        if is && is_empty {
            self.drop_empty(&key);
        }
        is
    }

    /// Drops the stripe of a key if it is still empty; the one before takes over its range.
    fn drop_empty(&self, key: &Headed<'_>) {
        let mut stripes = self.stripes.write();
        let at = position(&stripes, key);
        if at > 0 && stripes[at].map.get_mut().is_empty() {
            stripes.remove(at);
            if stripes.len() * 4 < stripes.capacity() {
                let len = stripes.len();
                stripes.shrink_to(len * 2);
            }
        }
    }

    /// Appends the first `n` entries between the bounds, in key order from the direction's side. One stripe is locked at a time.
    pub(crate) fn range(
        &self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        direction: Direction,
        n: usize,
        keys: &mut ByteList,
        slots: &mut Vec<SlotRef>,
    ) {
        if is_empty(from, to) {
            return;
        }
        let (from, to) = (from.map(Headed::of), to.map(Headed::of));
        let stripes = self.stripes.read();
        let stripe_of = |bound: &Bound<Headed<'_>>| match bound {
            Bound::Included(key) | Bound::Excluded(key) => Some(position(&stripes, key)),
            Bound::Unbounded => None,
        };
        let (first, last) = (stripe_of(&from).unwrap_or(0), stripe_of(&to).unwrap_or(stripes.len() - 1));
        let end = slots.len() + n;
        for at in 0..=last - first {
            let room = end - slots.len();
            if room == 0 {
                break;
            }
            let map = match direction {
                Direction::Forward => stripes[first + at].map.read(),
                Direction::Backward => stripes[last - at].map.read(),
            };
            let mut add = |(key, slot): (&Stored, &SlotRef)| {
                keys.push_with(|out| key.append_to(out));
                slots.push(*slot);
            };
            let entries = map.range::<Headed<'_>, _>((from.as_ref(), to.as_ref()));
            match direction {
                Direction::Forward => entries.take(room).for_each(&mut add),
                Direction::Backward => entries.rev().take(room).for_each(&mut add),
            }
        }
    }

    /// Memory an entry takes.
    pub(crate) fn entry_bytes(key: &[u8]) -> usize {
        ENTRY_BYTES + if key.len() > HEAD_LEN { key.len() } else { 0 }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.stripes.read().iter().map(|stripe| stripe.map.read().len()).sum()
    }
}

impl<'a> Headed<'a> {
    fn of(key: &'a [u8]) -> Headed<'a> {
        let mut head = [0; HEAD_LEN];
        let len = key.len().min(HEAD_LEN);
        head[..len].copy_from_slice(&key[..len]);
        let (first, second) = head.split_at(HEAD_LEN / 2);
        let word = |half: &[u8]| u64::from_be_bytes(half.try_into().expect("half of the head has 8 bytes"));
        let whole = if key.len() <= HEAD_LEN { Whole::Short(len as u8) } else { Whole::Borrowed(key) };
        Headed { head: [word(first), word(second)], whole }
    }
}

impl Whole<'_> {
    fn bytes(&self) -> Option<&[u8]> {
        match self {
            Whole::Short(_) => None,
            Whole::Owned(bytes) => Some(bytes),
            Whole::Borrowed(bytes) => Some(bytes),
        }
    }

    fn len(&self) -> usize {
        match self {
            Whole::Short(len) => usize::from(*len),
            whole => whole.bytes().map_or(0, <[u8]>::len),
        }
    }
}

impl PartialEq for Headed<'_> {
    fn eq(&self, other: &Headed<'_>) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Headed<'_> {}

impl PartialOrd for Headed<'_> {
    fn partial_cmp(&self, other: &Headed<'_>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Headed<'_> {
    #[inline]
    fn cmp(&self, other: &Headed<'_>) -> Ordering {
        self.head.cmp(&other.head).then_with(|| match (self.whole.bytes(), other.whole.bytes()) {
            (Some(a), Some(b)) => a.cmp(b),
            // With equal heads the short one is the other's beginning, but for zeros, which order as its end does.
            _ => self.whole.len().cmp(&other.whole.len()),
        })
    }
}

impl Stored {
    fn of(key: &[u8]) -> Stored {
        let Headed { head, whole } = Headed::of(key);
        let whole = match whole {
            Whole::Short(len) => Whole::Short(len),
            Whole::Owned(_) | Whole::Borrowed(_) => Whole::Owned(key.into()),
        };
        Stored(Headed { head, whole })
    }

    fn key(&self) -> Key {
        let mut key = Vec::new();
        self.append_to(&mut key);
        Key::from(key)
    }

    fn append_to(&self, out: &mut Vec<u8>) {
        match &self.0.whole {
            Whole::Short(len) => {
                let head = self.0.head.map(u64::to_be_bytes);
                out.extend_from_slice(&head.as_flattened()[..usize::from(*len)]);
            }
            whole => out.extend_from_slice(whole.bytes().unwrap_or_default()),
        }
    }
}

impl<'a> Borrow<Headed<'a>> for Stored {
    fn borrow(&self) -> &Headed<'a> {
        &self.0
    }
}

/// True if nothing can be between the bounds; `BTreeMap::range` panics on some of these.
fn is_empty(from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
    match (from, to) {
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => from >= to,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(n: u32) -> SlotRef {
        SlotRef { slab: n, slot: 0, generation: 0 }
    }

    fn key(n: u32) -> Key {
        Key::from(n.to_be_bytes().as_slice())
    }

    /// The numbers of the keys in a range.
    fn range(index: &Index, from: Bound<&[u8]>, to: Bound<&[u8]>, direction: Direction, n: usize) -> Vec<u32> {
        let (mut keys, mut slots) = (ByteList::default(), Vec::new());
        index.range(from, to, direction, n, &mut keys, &mut slots);
        assert!(slots.iter().enumerate().all(|(at, slot)| *keys.get(at) == *key(slot.slab)));
        slots.into_iter().map(|slot| slot.slab).collect()
    }

    #[test]
    fn a_range_is_in_key_order_across_stripes() {
        let index = Index::default();
        for n in (0..1000).rev() {
            index.insert_if_absent(&key(n), slot(n)).unwrap();
        }
        let (from, to) = (key(100), key(200));
        let numbers = |from, to, n| range(&index, from, to, Direction::Forward, n);
        let backward = |from, to, n| range(&index, from, to, Direction::Backward, n);
        assert_eq!(numbers(Bound::Included(&from), Bound::Excluded(&to), 1000), (100..200).collect::<Vec<_>>());
        assert_eq!(numbers(Bound::Excluded(&from), Bound::Included(&to), 3), [101, 102, 103]);
        assert_eq!(numbers(Bound::Unbounded, Bound::Unbounded, 2000).len(), 1000);
        assert_eq!(backward(Bound::Included(&from), Bound::Excluded(&to), 1000), (100..200).rev().collect::<Vec<_>>());
        assert_eq!(backward(Bound::Excluded(&from), Bound::Included(&to), 3), [200, 199, 198]);
        assert_eq!(backward(Bound::Unbounded, Bound::Unbounded, 999).last(), Some(&1));
        for (from, to) in [
            (Bound::Included(&*to), Bound::Included(&*from)),
            (Bound::Excluded(&*from), Bound::Excluded(&*from)),
            (Bound::Excluded(&*to), Bound::Included(&*from)),
        ] {
            assert!(numbers(from, to, 10).is_empty() && backward(from, to, 10).is_empty());
        }
    }

    #[test]
    fn keys_order_as_their_bytes() {
        let mut keys: Vec<Vec<u8>> = vec![vec![], vec![0], vec![0, 0], vec![1], vec![255; 15], vec![255; 16], vec![255; 17]];
        for len in [14, 15, 16, 17, 18, 30] {
            for last in [0, 1, 255] {
                let mut key = vec![7; len];
                keys.push(key.clone());
                key[len - 1] = last;
                keys.push(key.clone());
                key[len - 2] = last;
                keys.push(key);
            }
        }
        for a in &keys {
            for b in &keys {
                assert_eq!(Headed::of(a).cmp(&Headed::of(b)), a.cmp(b), "{a:?} {b:?}");
                assert_eq!(Stored::of(a).cmp(&Stored::of(b)), a.cmp(b), "{a:?} {b:?}");
            }
            assert_eq!(*Stored::of(a).key(), **a);
        }
    }

    #[test]
    fn an_entry_is_removed_only_as_what_it_is() {
        let index = Index::default();
        index.insert_if_absent(&key(1), slot(1)).unwrap();
        assert_eq!(index.insert_if_absent(&key(1), slot(2)), Err(slot(1)));
        assert!(!index.remove_if(&key(1), slot(2)));
        assert_eq!(index.get(&key(1)), Some(slot(1)));
        assert!(index.remove_if(&key(1), slot(1)));
        assert_eq!((index.get(&key(1)), index.len()), (None, 0));
    }

    #[test]
    fn stripes_split_as_they_grow_and_go_when_they_are_empty() {
        const KEYS: u32 = 50 * STRIPE_ENTRIES_MAX as u32;
        for ascending in [true, false] {
            let index = Index::default();
            let scattered = |n: u32| if ascending { n } else { n.wrapping_mul(7) % KEYS };
            (0..KEYS).for_each(|n| index.insert_if_absent(&key(scattered(n)), slot(scattered(n))).unwrap());
            let stripes = index.stripes.read();
            assert!(stripes.len() >= 50 && stripes.iter().all(|stripe| stripe.map.read().len() <= STRIPE_ENTRIES_MAX));
            drop(stripes);
            assert!((0..KEYS).all(|n| index.get(&key(n)) == Some(slot(n))));
            let all = range(&index, Bound::Unbounded, Bound::Unbounded, Direction::Forward, KEYS as usize + 1);
            assert!(all.into_iter().eq(0..KEYS));
            let (from, to) = (key(KEYS / 4), key(KEYS / 4 * 3));
            let some = range(&index, Bound::Excluded(&from), Bound::Included(&to), Direction::Backward, KEYS as usize);
            assert!(some.into_iter().eq((KEYS / 4 + 1..=KEYS / 4 * 3).rev()));
            assert!((0..KEYS).all(|n| index.remove_if(&key(scattered(n)), slot(scattered(n)))));
            assert_eq!((index.len(), index.stripes.read().len()), (0, 1));
        }
    }

    #[test]
    fn entries_are_found_while_stripes_split_and_go() {
        use rand::rngs::StdRng;
        use rand::{Rng, SeedableRng};
        const THREADS: u32 = 3;
        let index = &Index::default();
        let stays = |n: u32| n % 10 == 9;
        (0..3000).filter(|n| stays(*n)).for_each(|n| index.insert_if_absent(&key(n), slot(n)).unwrap());
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                scope.spawn(move || {
                    let random = &mut StdRng::seed_from_u64(thread.into());
                    let mut mine = std::collections::BTreeSet::new();
                    for round in 0..20_000 {
                        // Grow, then shrink, so that stripes come and go.
                        let n = random.random_range(0..1000) * THREADS + thread;
                        if stays(n) {
                            assert_eq!(index.get(&key(n)), Some(slot(n)));
                        } else if random.random_bool(if round % 8000 < 4000 { 0.8 } else { 0.2 }) {
                            assert_eq!(index.insert_if_absent(&key(n), slot(n)).is_ok(), mine.insert(n));
                        } else {
                            assert_eq!(index.remove_if(&key(n), slot(n)), mine.remove(&n));
                        }
                    }
                    mine.iter().for_each(|n| assert!(index.remove_if(&key(*n), slot(*n))));
                });
            }
            scope.spawn(move || {
                for from in (0..3000).cycle().step_by(97).take(500) {
                    let (first, end) = (key(from), key(3000));
                    let found = range(index, Bound::Included(&first), Bound::Excluded(&end), Direction::Forward, 500);
                    assert!(found.is_sorted_by(|a, b| a < b));
                    let end = if found.len() < 500 { 3000 } else { found[499] };
                    let there = found.into_iter().filter(|n| stays(*n) && *n < end);
                    assert!(there.eq((from..end).filter(|n| stays(*n))), "what stays is always found");
                }
            });
        });
        assert_eq!(index.len(), 300);
    }
}

//! One slab behind its lock, and sets of its slots.

use parking_lot::RwLock;

use crate::slots::{SLOTS, Slots};

const WORDS: usize = SLOTS / 64;

/// 512 slots, locked together. Nothing else is locked while this is.
pub(crate) struct Slab {
    pub(crate) position: u32,
    pub(crate) slots: RwLock<Slots>,
}

/// A set of slots.
#[derive(Clone, Default)]
pub(crate) struct Bits([u64; WORDS]);

impl Bits {
    pub(crate) fn get(&self, slot: usize) -> bool {
        self.0[slot / 64] & (1 << (slot % 64)) != 0
    }

    pub(crate) fn set(&mut self, slot: usize) {
        self.0[slot / 64] |= 1 << (slot % 64);
    }

    pub(crate) fn clear(&mut self, slot: usize) {
        self.0[slot / 64] &= !(1 << (slot % 64));
    }

    pub(crate) fn first_clear(&self) -> Option<usize> {
        let word = self.0.iter().position(|word| *word != u64::MAX)?;
        Some(word * 64 + self.0[word].trailing_ones() as usize)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.iter_from(0)
    }

    /// The slots from `first` on, ascending.
    pub(crate) fn iter_from(&self, first: usize) -> impl Iterator<Item = usize> + '_ {
        let mut word = first / 64;
        let mut rest = self.0.get(word).map_or(0, |bits| bits & (u64::MAX << (first % 64)));
        std::iter::from_fn(move || {
            while rest == 0 {
                word += 1;
                rest = *self.0.get(word)?;
            }
            let slot = word * 64 + rest.trailing_zeros() as usize;
            rest &= rest - 1;
            Some(slot)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_gives_its_slots_in_order_from_any_start() {
        let slots = [0, 1, 63, 64, 200, 511];
        let mut bits = Bits::default();
        slots.iter().for_each(|slot| bits.set(*slot));
        for first in 0..=SLOTS {
            let expected: Vec<_> = slots.iter().copied().filter(|slot| *slot >= first).collect();
            assert_eq!(bits.iter_from(first).collect::<Vec<_>>(), expected, "from {first}");
        }
        assert_eq!(bits.first_clear(), Some(2));
        bits.clear(1);
        assert_eq!(bits.first_clear(), Some(1));
        (0..SLOTS).for_each(|slot| bits.set(slot));
        assert_eq!((bits.first_clear(), bits.iter().count()), (None, SLOTS));
    }
}

//! Reclaim: giving back what no snapshot sees any more.
//!
//! A slab with something to reclaim is in a queue, once, under the timestamp that the oldest snapshot must reach for it; so a
//! call looks only at slabs where it will free something, however long a snapshot holds back the others.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use types::CommitTs;

use crate::slots::Reclaimed;
use crate::table::DeltaTable;

impl DeltaTable {
    /// Frees slots whose newest version is `Deleted` or `InSegment` and committed at or before `oldest`, before-images that no
    /// snapshot at `oldest` or later sees, and the memory of slabs left empty. Returns how many slots and before-images were freed.
    /// No snapshot before `oldest` may be used on this table from now on. Locks a slab for some 20 us at a time.
    pub fn reclaim(&self, oldest: CommitTs) -> usize {
        self.oldest.fetch_max(oldest.0, Ordering::Relaxed);
        let (mut freed, mut retired) = (0, false);
        while let Some((ts, position)) = self.next_dirty(oldest) {
            let Some(slab) = self.slabs.get(position) else {
                continue;
            };
            let (done, open, generation) = self.change(&slab, |slots| {
                if slots.queued != Some(ts) {
                    return (Reclaimed::default(), false, None);
                }
                let done = slots.reclaim(&self.shape, position, oldest);
                slots.queued = done.next;
                if slots.live_count() == 0 {
                    return (done, false, Some(slots.retire()));
                }
                let open = slots.has_room() && !std::mem::replace(&mut slots.open, true);
                (done, open, None)
            });
            if let Some(generation) = generation {
                self.slabs.forget(&slab, generation);
                retired = true;
            } else if open {
                self.slabs.put_back(Arc::clone(&slab));
            }
            if let Some(next) = done.next {
                self.dirty.lock().push(Reverse((next, position)));
            }
            freed += done.versions + done.slots.len();
            for (key, slot) in done.slots {
                self.forget_key(&key, slot);
            }
        }
        if retired {
            self.slabs.sweep_open();
        }
        freed
    }

    /// [`DeltaTable::reclaim`] to the first of `needed`, and then also frees before-images between: those that no snapshot at one of
    /// `needed` (ascending), or after the last of them, sees. So that a long snapshot keeps one version of each row and not all
    /// that were made since. Looks at every slab that has before-images. Returns how many slots and before-images were freed.
    pub fn reclaim_between(&self, needed: &[CommitTs]) -> usize {
        let Some(oldest) = needed.first() else {
            return 0;
        };
        let mut freed = self.reclaim(*oldest);
        let positions: BTreeSet<u32> = self.dirty.lock().iter().map(|Reverse((_, position))| *position).collect();
        for slab in positions.into_iter().filter_map(|position| self.slabs.get(position)) {
            freed += self.change(&slab, |slots| slots.reclaim_between(&self.shape, needed));
        }
        freed
    }

    /// Compacts the values of slabs of which an eighth or more is let go: they are else kept until it is half. Looks at every slab.
    pub fn squeeze(&self) {
        for slab in (0..self.slabs.end()).filter_map(|position| self.slabs.get(position)) {
            if slab.slots.read().is_loose() {
                self.change(&slab, |slots| slots.compact(&self.shape));
            }
        }
    }

    fn next_dirty(&self, oldest: CommitTs) -> Option<(CommitTs, u32)> {
        let mut dirty = self.dirty.lock();
        let Reverse((ts, _)) = dirty.peek()?;
        if *ts > oldest {
            return None;
        }
        dirty.pop().map(|Reverse(entry)| entry)
    }
}

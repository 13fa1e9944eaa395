//! How much a table holds: counters that are cheap to keep and to read, exact when nothing is under way.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::index::Index;

/// How much a delta table holds. Approximate while writers are active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Slots in use, one for each key.
    pub rows: usize,
    /// Of these, slots whose newest version is `Deleted` or `InSegment`: not rows any more, freed by reclaim in time.
    pub gone: usize,
    /// Before-images.
    pub versions: usize,
    /// Bytes that rows, before-images and index need: what a budget should count. Free slots are not in it; they are used first.
    pub bytes: usize,
    /// Bytes allocated.
    pub bytes_held: usize,
}

impl Counts {
    pub(crate) fn add_index_entry(&mut self, key: &[u8]) {
        self.bytes += Index::entry_bytes(key);
        self.bytes_held += Index::entry_bytes(key);
    }
}

#[derive(Default)]
pub(crate) struct Counters {
    rows: AtomicUsize,
    gone: AtomicUsize,
    versions: AtomicUsize,
    bytes: AtomicUsize,
    bytes_held: AtomicUsize,
}

impl Counters {
    /// Something that counted `before` now counts `after`.
    pub(crate) fn change(&self, before: Counts, after: Counts) {
        let change = |counter: &AtomicUsize, before: usize, after: usize| {
            if before != after {
                counter.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
            }
        };
        change(&self.rows, before.rows, after.rows);
        change(&self.gone, before.gone, after.gone);
        change(&self.versions, before.versions, after.versions);
        change(&self.bytes, before.bytes, after.bytes);
        change(&self.bytes_held, before.bytes_held, after.bytes_held);
    }

    pub(crate) fn counts(&self) -> Counts {
        // A reader between two changes may find a counter that was decreased before it was increased elsewhere.
        let read = |counter: &AtomicUsize| usize::try_from(counter.load(Ordering::Relaxed) as isize).unwrap_or(0);
        Counts {
            rows: read(&self.rows),
            gone: read(&self.gone),
            versions: read(&self.versions),
            bytes: self.bytes(),
            bytes_held: read(&self.bytes_held),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        usize::try_from(self.bytes.load(Ordering::Relaxed) as isize).unwrap_or(0)
    }

    pub(crate) fn rows(&self) -> usize {
        usize::try_from(self.rows.load(Ordering::Relaxed) as isize).unwrap_or(0)
    }
}

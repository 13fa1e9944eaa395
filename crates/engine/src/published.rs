//! What every statement reads and few change: tables, catalogs, a table's segments.
//!
//! Who reads it writes nothing that other threads read: a lock's word or a reference count that all cores write costs each of them more
//! than the read itself. Source: `arc_swap`.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;

/// A value that is replaced as a whole.
pub(crate) struct Published<T> {
    now: ArcSwap<T>,
    changing: Mutex<()>,
}

impl<T> Published<T> {
    pub(crate) fn new(value: T) -> Published<T> {
        Published { now: ArcSwap::from_pointee(value), changing: Mutex::new(()) }
    }

    /// The value as it is now, for a short while: a thread that holds several counts references after all.
    pub(crate) fn read(&self) -> Guard<Arc<T>> {
        self.now.load()
    }

    /// The same, to keep.
    pub(crate) fn get(&self) -> Arc<T> {
        self.now.load_full()
    }

    /// Puts another value in its place. Changes come one after the other.
    pub(crate) fn change(&self, change: impl FnOnce(&T) -> T) {
        let _changing = self.changing.lock();
        self.now.store(Arc::new(change(&self.now.load())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_change_is_lost_and_a_reader_keeps_what_it_has() {
        let numbers = Published::new(vec![0]);
        let before = numbers.get();
        std::thread::scope(|scope| {
            for thread in 1..=4 {
                let numbers = &numbers;
                scope.spawn(move || {
                    for at in 0..100 {
                        numbers.change(|now| now.iter().copied().chain([thread * 1000 + at]).collect());
                        assert!(numbers.read().contains(&(thread * 1000 + at)));
                    }
                });
            }
        });
        assert_eq!((before.len(), numbers.read().len()), (1, 401));
    }
}

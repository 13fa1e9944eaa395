//! A request to stop, that also wakes who it is meant for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use env::Signal;
use parking_lot::Mutex;

/// A flag that one thread sets and another looks at between pieces of work; a wait under it ends at once. Share it in an `Arc`.
#[derive(Default)]
pub struct Cancel {
    set: AtomicBool,
    waiting_on: Mutex<Vec<Arc<dyn Signal>>>,
}

/// While it lives, [`Cancel::set`] wakes its signal.
pub struct Registration<'a> {
    cancel: &'a Cancel,
    signal: &'a Arc<dyn Signal>,
}

impl Cancel {
    /// A flag that is not set.
    pub fn new() -> Cancel {
        Cancel::default()
    }

    /// Asks whoever works under this flag to stop, and wakes them if they wait. Stays set until [`Cancel::clear`].
    pub fn set(&self) {
        self.set.store(true, Ordering::SeqCst);
        let signals = self.waiting_on.lock().clone();
        for signal in signals {
            signal.notify_all();
        }
    }

    /// True once [`Cancel::set`] was called.
    pub fn is_set(&self) -> bool {
        self.set.load(Ordering::Relaxed)
    }

    /// Makes the flag usable for the next statement.
    pub fn clear(&self) {
        self.set.store(false, Ordering::SeqCst);
    }

    /// From now until the registration is dropped, setting the flag notifies `signal`. The condition waited for must include
    /// [`Cancel::is_set`], looked at after registering.
    pub fn register<'a>(&'a self, signal: &'a Arc<dyn Signal>) -> Registration<'a> {
        self.waiting_on.lock().push(Arc::clone(signal));
        Registration { cancel: self, signal }
    }
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        let mut waiting_on = self.cancel.waiting_on.lock();
        if let Some(at) = waiting_on.iter().position(|signal| Arc::ptr_eq(signal, self.signal)) {
            waiting_on.swap_remove(at);
        }
    }
}

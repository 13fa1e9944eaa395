//! What keeps a thread for long, said aloud, so that a thread which serves many can hand the others over first.
//!
//! 1. A thread of an async runtime serves many connections; whoever keeps it keeps them all waiting. Work that may take a millisecond or
//!    more goes through [`blocking`], waits of a [`crate::Signal`] do so themselves, once they really wait.
//! 2. How a thread hands over is the program's to say ([`set_blocking_hook`]); without a hook the work is simply done.
//! 3. Within such work there may be more of it, and locks may be held.
//! 4. Threads whose tasks are all alike, as those of queries are, keep them ([`keep_thread`]), but where one waits for another session
//!    ([`waiting`]).
//!
//! Not here: which threads there are (docs/notes/0003-half-the-cores-for-connections.md).

use std::cell::Cell;
use std::sync::OnceLock;

use parking_lot::{Mutex, MutexGuard};

/// Runs what it is given, once, in this thread.
pub type BlockingHook = fn(&mut dyn FnMut());

static HOOK: OnceLock<BlockingHook> = OnceLock::new();

thread_local! {
    static IS_KEPT: Cell<bool> = const { Cell::new(false) };
}

/// Rows, steps and other things of about a microsecond each, from which work on them is worth [`blocking`]: to hand over takes some 10 us.
pub const BLOCKING_STEPS_MIN: usize = 256;

/// Bytes to copy or to read through, likewise.
pub const BLOCKING_BYTES_MIN: usize = 64 * 1024;

/// Says how threads of this process hand over, e.g. by `tokio::task::block_in_place`. The first call counts.
pub fn set_blocking_hook(hook: BlockingHook) {
    HOOK.get_or_init(|| hook);
}

/// From now on this thread hands nothing over.
pub fn keep_thread() {
    IS_KEPT.set(true);
}

/// Runs something that may keep this thread for long.
pub fn blocking<T>(work: impl FnOnce() -> T) -> T {
    if IS_KEPT.get() { work() } else { waiting(work) }
}

/// Runs something that may wait for as long as another session likes: a thread that is kept hands over, too.
pub fn waiting<T>(work: impl FnOnce() -> T) -> T {
    let Some(hook) = HOOK.get() else { return work() };
    let mut work = Some(work);
    let mut result = None;
    hook(&mut || result = work.take().map(|work| work()));
    result.expect("a hook runs its work")
}

/// As [`blocking`] where there is `much` to do.
pub fn blocking_if<T>(much: bool, work: impl FnOnce() -> T) -> T {
    if much { blocking(work) } else { work() }
}

/// Locks what others may hold for long.
pub fn lock_blocking<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.try_lock().unwrap_or_else(|| blocking(|| mutex.lock()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Env, RealEnv};

    thread_local! {
        static HANDED_OVER: Cell<usize> = const { Cell::new(0) };
    }

    fn hook(work: &mut dyn FnMut()) {
        HANDED_OVER.set(HANDED_OVER.get() + 1);
        work();
    }

    #[test]
    fn a_thread_hands_over_where_it_really_waits_or_works_for_long() {
        set_blocking_hook(hook);
        let signal = RealEnv::new().signal();
        assert!(signal.wait_until(&mut || true, None));
        assert_eq!(*lock_blocking(&Mutex::new(7)), 7);
        assert_eq!(blocking_if(false, || 7), 7);
        assert_eq!(HANDED_OVER.get(), 0);
        assert!(!signal.wait_until(&mut || false, Some(Duration::from_millis(1))));
        assert_eq!(HANDED_OVER.get(), 1);
        assert_eq!(blocking(|| 7), 7);
        assert_eq!(HANDED_OVER.get(), 2);
        keep_thread();
        assert_eq!(blocking(|| 7), 7);
        assert_eq!(HANDED_OVER.get(), 2);
    }
}

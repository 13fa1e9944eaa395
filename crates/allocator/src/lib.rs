//! The memory allocator of the programs, and how long it keeps what was freed.
//!
//! ```text
//! keep_freed_memory        pages that were freed are still there for ten seconds
//! give_back_freed_memory   they go back to the system now, and from now on after a second
//! ```
//!
//! 1. Pages that went back to the system come again one by one, cleared: a third of the time of some joins. But the allocator does not
//!    always take them again before others: a load took eight times the memory. So who keeps them watches what the process has
//!    (docs/notes/0007-freed-memory-is-kept.md).
//!
//! Not here: how much memory the parts of the program may have (`sql::Options`, `analytic`'s pool), when it is enough (`cli`).
//! Source: mimalloc's options, <https://microsoft.github.io/mimalloc/environment.html>.

use std::ffi::c_long;

use libmimalloc_sys::{mi_collect, mi_option_set_default, mi_option_t};

/// For `#[global_allocator]`.
pub use mimalloc::MiMalloc as Allocator;

/// `mi_option_purge_delay` of mimalloc's `mimalloc.h`, which its bindings leave out. In milliseconds.
const PURGE_DELAY: mi_option_t = 15;
const DEFAULT_MS: c_long = 1_000;
const KEPT_MS: c_long = 10_000;

/// Has the allocator keep freed memory for ten seconds, unless `MIMALLOC_PURGE_DELAY` says how long.
pub fn keep_freed_memory() {
    set_delay(KEPT_MS);
}

/// Gives freed memory back to the system, and has the allocator do that after a second again. Costs what the system takes for it.
pub fn give_back_freed_memory() {
    set_delay(DEFAULT_MS);
    // SAFETY: it may be called at any time by any thread.
    unsafe { mi_collect(true) }
}

fn set_delay(milliseconds: c_long) {
    // SAFETY: it stores a number in a table of options, which the allocator reads now and then; the option is one of them (tested).
    unsafe { mi_option_set_default(PURGE_DELAY, milliseconds) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libmimalloc_sys::mi_option_get;

    #[test]
    fn the_option_is_the_one_that_is_a_second_without_this() {
        // SAFETY: it reads a number from a table of options.
        let delay = || unsafe { mi_option_get(PURGE_DELAY) };
        assert_eq!(delay(), DEFAULT_MS);
        keep_freed_memory();
        assert_eq!(delay(), KEPT_MS);
        give_back_freed_memory();
        assert_eq!(delay(), DEFAULT_MS);
    }
}

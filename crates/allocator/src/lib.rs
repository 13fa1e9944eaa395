//! The memory allocator of the programs, and how long it keeps what was freed.
//!
//! ```text
//! freed, taken again within ten seconds: the pages are still there       later: given back to the system
//! ```
//!
//! 1. A query's large buffers are freed at its end and wanted by the next one. Pages that went back to the system in between come again
//!    one by one, cleared: a third of the time of some joins (docs/notes/0007-freed-memory-is-kept.md).
//! 2. What is kept is bounded by what was in use at once: what is asked for is taken from it first.
//!
//! Not here: how much memory the parts of the program may have (`sql::Options`, `analytic`'s pool).
//! Source: mimalloc's options, <https://microsoft.github.io/mimalloc/environment.html>.

use libmimalloc_sys::{mi_option_set_default, mi_option_t};

/// For `#[global_allocator]`.
pub use mimalloc::MiMalloc as Allocator;

/// `mi_option_purge_delay` of mimalloc's `mimalloc.h`, which its bindings leave out.
const PURGE_DELAY: mi_option_t = 15;
const KEPT_MS: std::ffi::c_long = 10_000;

/// Has the allocator keep freed memory for ten seconds instead of one, unless `MIMALLOC_PURGE_DELAY` says how long. To be called before
/// there are threads.
pub fn keep_freed_memory() {
    // SAFETY: it stores a number in a table of options; one that there is not is ignored.
    unsafe { mi_option_set_default(PURGE_DELAY, KEPT_MS) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libmimalloc_sys::mi_option_get;

    #[test]
    fn the_option_is_the_one_that_is_a_second_without_this() {
        // SAFETY: it reads a number from a table of options.
        let delay = || unsafe { mi_option_get(PURGE_DELAY) };
        assert_eq!(delay(), 1000);
        keep_freed_memory();
        assert_eq!(delay(), KEPT_MS);
    }
}

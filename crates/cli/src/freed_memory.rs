//! Keeps memory that was freed for the next query, as long as the process has not much.
//!
//! ```text
//! resident:   0 ........ 3/8 ........ 1/2 of what the database may use and more
//!             |   kept    | as it was  | given back, at once and from then on
//! ```
//!
//! Source: docs/notes/0007-freed-memory-is-kept.md.

use std::sync::Arc;
use std::time::Duration;

use env::{Env, JobHandle, Next, Priority};

/// A load frees some hundred megabytes in it.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Looks at it until the job is stopped.
pub(crate) fn keep(env: &dyn Env, options: &sql::Options) -> Arc<dyn JobHandle> {
    let may_use = options.engine.cache_bytes_max + options.engine.delta_bytes_max + options.query_memory_bytes_max as u64;
    let mut policy = Policy { may_use, keeps: false };
    let look = move || {
        match env::resident_bytes().and_then(|resident| policy.decide(resident)) {
            Some(true) => allocator::keep_freed_memory(),
            Some(false) => allocator::give_back_freed_memory(),
            None => {}
        }
        Next::Sleep(LOOK_EVERY)
    };
    env.spawn("freed-memory", Priority::Background, Box::new(look))
}

struct Policy {
    /// Bytes.
    may_use: u64,
    keeps: bool,
}

impl Policy {
    /// What to do now, if that is something else.
    fn decide(&mut self, resident: u64) -> Option<bool> {
        let keeps = if self.keeps { resident <= self.may_use / 2 } else { resident < self.may_use / 8 * 3 };
        (std::mem::replace(&mut self.keeps, keeps) != keeps).then_some(keeps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_kept_as_long_as_there_is_not_much() {
        let mut policy = Policy { may_use: 800, keeps: false };
        let decided = [10, 399, 400, 401, 350, 299, 400].map(|resident| policy.decide(resident));
        assert_eq!(decided, [Some(true), None, None, Some(false), None, Some(true), None]);
    }
}

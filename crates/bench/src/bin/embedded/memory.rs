//! How much memory the process and the database use, and the most they used.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

const SAMPLED_EVERY: Duration = Duration::from_millis(50);

/// A database's own account, in bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Memory {
    /// What finds rows in segments by key and is always in memory.
    pub(crate) index: u64,
    /// Decoded columns.
    pub(crate) cache: u64,
    /// Recent rows.
    pub(crate) delta: u64,
    /// How many segments there are.
    pub(crate) segments: usize,
}

/// Resident memory of this process in bytes; 0 where the system does not say.
pub(crate) fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Runs `work`; what it gave, and the most resident memory meanwhile.
pub(crate) fn watched<T: Send>(work: impl FnOnce() -> T + Send) -> (T, u64) {
    let (most, over) = (AtomicU64::new(resident()), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                most.fetch_max(resident(), Ordering::Relaxed);
                std::thread::park_timeout(SAMPLED_EVERY);
            }
        });
        let done = work();
        over.store(true, Ordering::Relaxed);
        watcher.thread().unpark();
        (done, most.load(Ordering::Relaxed).max(resident()))
    })
}

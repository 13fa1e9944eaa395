//! The threads queries run on: their own, at low priority, so that sessions answer while scans run.

use std::io;

/// How much lower than everybody else queries run (`nice`): a session that has work gets about nine tenths of a contended core.
const NICE: i32 = 10;

/// For threads that plan and run statements: they walk trees by recursion. Only what is touched takes memory.
pub const STACK_BYTES: usize = 16 << 20;

/// A runtime with `threads` workers.
pub(crate) fn build(threads: usize) -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.max(1))
        .thread_name("query")
        .thread_stack_size(STACK_BYTES)
        .enable_time()
        .on_thread_start(|| {
            env::keep_thread();
            // On Linux this is the thread's own niceness. Where it is refused, queries merely run at normal priority.
            if let Err(error) = rustix::process::nice(NICE) {
                tracing::debug!(%error, "queries run at normal priority");
            }
        })
        .build()
}

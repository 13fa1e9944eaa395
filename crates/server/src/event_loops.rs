//! The threads that connections run on: an event loop for each core, and a connection stays with the one it was given to.
//!
//! ```text
//! accept --> the loop with the fewest connections      loop 1: c1 c3 c5 ...      loop 2: c2 c4 ...
//! ```
//!
//! 1. A loop wakes no other. One runtime of many threads does whenever it finds two connections ready, for the other thread to take one
//!    of them over: with lookups by key that was a seventh of the CPU.
//! 2. What takes long says so (`sql` does, by `block_in_place`): the loop goes on with another thread meanwhile.
//!
//! Not here: queries, which have their own threads (`analytic`). Source: the event loops of Netty.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Builder, Runtime};

/// See the module's head. Dropped, it stops them, and does not wait.
pub(crate) struct EventLoops(Vec<EventLoop>);

struct EventLoop {
    /// Of one thread, and those that stand in for it. `None` once it is dropped.
    runtime: Option<Runtime>,
    connections: Arc<AtomicUsize>,
}

/// One connection of a loop.
struct Counted(Arc<AtomicUsize>);

impl EventLoops {
    /// Starts `count` of them, one at least. Errors: no thread can be started.
    pub(crate) fn start(count: usize) -> io::Result<EventLoops> {
        let start = |_| {
            let mut builder = Builder::new_multi_thread();
            let runtime = builder.worker_threads(1).thread_stack_size(sql::STACK_BYTES).thread_name("connections").enable_all();
            Ok(EventLoop { runtime: Some(runtime.build()?), connections: Arc::default() })
        };
        (0..count.max(1)).map(start).collect::<io::Result<_>>().map(EventLoops)
    }

    /// Runs a connection on one of them.
    pub(crate) fn spawn(&self, connection: impl Future<Output = ()> + Send + 'static) {
        let free = self.0.iter().min_by_key(|one| one.connections.load(Ordering::Relaxed));
        let Some(EventLoop { runtime: Some(runtime), connections }) = free else { return };
        connections.fetch_add(1, Ordering::Relaxed);
        let counted = Counted(Arc::clone(connections));
        runtime.spawn(async move {
            connection.await;
            drop(counted);
        });
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

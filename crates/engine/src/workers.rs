//! Threads that encode rows while others read the next ones: a short queue of tasks, worked off by jobs of the environment.
//!
//! 1. The threads are started with the first task and end with the engine; an engine that never loads has none.
//! 2. A task that panics is dropped, with what it holds; the thread goes on.
//! 3. Nothing bounds the queue here: whoever adds tasks waits for its own (`bulk::build`).

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use env::{Env, JobHandle, Next, Priority};
use parking_lot::Mutex;

/// Something to be done by one of the threads. It must not wait for another task.
pub(crate) type Task = Box<dyn FnOnce() + Send>;

/// The threads, see the module's head.
pub(crate) struct Workers {
    threads: usize,
    queue: Arc<Mutex<VecDeque<Task>>>,
    started: Mutex<Vec<Arc<dyn JobHandle>>>,
}

impl Workers {
    /// At most `threads` of them, and at least one.
    pub(crate) fn new(threads: usize) -> Workers {
        Workers { threads: threads.max(1), queue: Arc::default(), started: Mutex::default() }
    }

    /// How many tasks run at a time.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// Runs a task soon, in the order in which they were added.
    pub(crate) fn run(&self, env: &dyn Env, task: Task) {
        self.queue.lock().push_back(task);
        let mut started = self.started.lock();
        if started.is_empty() {
            *started = (0..self.threads).map(|_| self.start(env)).collect();
        }
        started.iter().for_each(|job| job.wake());
    }

    fn start(&self, env: &dyn Env) -> Arc<dyn JobHandle> {
        let queue = Arc::clone(&self.queue);
        let step = move || {
            let task = queue.lock().pop_front();
            let Some(task) = task else { return Next::Wait };
            if catch_unwind(AssertUnwindSafe(task)).is_err() {
                tracing::error!("a task of a bulk load panicked");
            }
            Next::Again
        };
        env.spawn("load", Priority::Normal, Box::new(step))
    }

    /// Ends the threads; tasks that have not begun are dropped.
    pub(crate) fn stop(&self) {
        let started = std::mem::take(&mut *self.started.lock());
        let tasks = std::mem::take(&mut *self.queue.lock());
        drop(tasks);
        started.iter().for_each(|job| job.stop());
    }
}

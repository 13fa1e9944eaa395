//! How many threads serve connections: half of the cores, and the others as well while that leaves them idle.
//!
//! ```text
//!   threads of the runtime, one for each core:   base .. base  spare .. spare
//!                                                               | each holds a Gate: closed, its thread sleeps in it
//!   control, four times a second:  busy here and idle cores --> open one;  little to do --> close one
//!                                  no idle core --> close one for a second: closed it stays if more was served meanwhile
//! ```
//!
//! 1. Where load and clients share the cores, one thread for all connections takes more of them at a time and wakes nobody: a lookup costs
//!    a third less than with two (docs/notes/0003-half-the-cores-for-connections.md). Where it is all busy and cores are idle, clients elsewhere or waiting for
//!    each other, the spare ones are worth more than that (docs/notes/0004-spare-threads-for-connections.md).
//! 2. A closed gate keeps a thread in the poll of a task: to the runtime it is busy, so it is neither woken nor waited for, and what lies in
//!    its queue is taken by the others.
//! 3. Without Linux's /proc/stat spare threads stay closed.
//!
//! Not here: what a connection's thread may not do for long (`env::blocking`), threads of queries (`sql`).

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::runtime::Builder;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often it is looked whether threads should be more or fewer.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// From this share of a core on for each thread at work, they are all busy.
const BUSY: f64 = 0.75;
/// So much less than a thread fewer could do: one is closed.
const SLACK: f64 = 0.25;
/// Cores idle, from which another thread has something to gain.
const IDLE_MIN: f64 = 0.3;
/// Cores idle, below which spare threads only take them from clients.
const IDLE_FULL: f64 = 0.1;
/// Looks in a row at a full machine, until a thread is closed to see whether the others serve more without it.
const FULL_LOOKS: u32 = 8;
/// Looks at the machine without it; the first has some of both.
const TRIAL_LOOKS: u32 = 5;
/// How long what a trial has shown is good for, at first and at most.
const RETRY_FIRST: Duration = Duration::from_secs(2);
const RETRY_MAX: Duration = Duration::from_secs(64);

/// Runs `work` on threads for connections: as many as said, or as in the module. Errors: the system has no threads to give.
pub fn run<T>(threads: Option<NonZeroUsize>, work: impl Future<Output = T>) -> io::Result<T> {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let base = threads.map_or(cores.div_ceil(2), NonZeroUsize::get);
    let spare = if threads.is_some() { 0 } else { cores - base };
    let runtime = Builder::new_multi_thread()
        .worker_threads(base + spare)
        // One for each connection that waits or works for long: their number is what is limited.
        .max_blocking_threads(usize::from(u16::MAX))
        .thread_stack_size(sql::STACK_BYTES)
        .enable_all()
        .build()?;
    let gates: Vec<Arc<Gate>> = (0..spare).map(|_| Arc::default()).collect();
    let _released = Released(gates.clone());
    for gate in &gates {
        runtime.spawn(Arc::clone(gate).hold());
    }
    if spare > 0 {
        runtime.spawn(control(base, gates));
    }
    Ok(runtime.block_on(work))
}

/// A thread that may be kept from work.
#[derive(Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
    closing: Notify,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum State {
    #[default]
    Closed,
    Open,
    /// And never closed again.
    Released,
}

impl Gate {
    async fn hold(self: Arc<Gate>) {
        while self.opened() == State::Open {
            self.closing.notified().await;
            // What waits for this thread goes first.
            for _ in 0..4 {
                yield_now().await;
            }
        }
    }

    /// Keeps the thread as long as the gate is closed.
    fn opened(&self) -> State {
        let mut state = self.state.lock();
        while *state == State::Closed {
            self.changed.wait(&mut state);
        }
        *state
    }

    fn set(&self, state: State) {
        *self.state.lock() = state;
        self.changed.notify_one();
        if state != State::Open {
            self.closing.notify_one();
        }
    }
}

/// Opens the gates at the end, so that the runtime can stop.
struct Released(Vec<Arc<Gate>>);

impl Drop for Released {
    fn drop(&mut self) {
        self.0.iter().for_each(|gate| gate.set(State::Released));
    }
}

/// Answers given that a thread has not told of yet, at most.
const UNTOLD_MAX: u64 = 64;

static SERVED: AtomicU64 = AtomicU64::new(0);

/// A client was answered.
pub(crate) fn served() {
    thread_local!(static UNTOLD: Cell<u64> = const { Cell::new(0) });
    UNTOLD.with(|untold| match untold.get() + 1 {
        UNTOLD_MAX => {
            SERVED.fetch_add(UNTOLD_MAX, Ordering::Relaxed);
            untold.set(0);
        }
        more => untold.set(more),
    });
}

/// What there was to do since the last look.
#[derive(Clone, Copy)]
struct Load {
    /// Cores used by this process.
    used: f64,
    /// Cores used by nobody.
    idle: f64,
    /// Answers to clients, a second.
    served: f64,
}

/// When to open and to close.
struct Policy {
    base: usize,
    open: usize,
    full_looks: u32,
    /// Answers a second at those, added up.
    full_served: f64,
    trial: Option<Trial>,
    /// Until then it stays as the last trial has shown.
    settled_until: Duration,
    retry: Duration,
}

/// A thread fewer on a full machine.
struct Trial {
    /// Answers a second before.
    before: f64,
    looks: u32,
    /// Answers a second since, added up.
    served: f64,
}

impl Policy {
    fn new(base: usize) -> Policy {
        let (full_looks, full_served, trial) = (0, 0.0, None);
        Policy { base, open: 0, full_looks, full_served, trial, settled_until: Duration::ZERO, retry: RETRY_FIRST }
    }

    /// How many of `spare` threads should be open after `now`, a time since the start.
    fn decide(&mut self, load: Load, spare: usize, now: Duration) -> usize {
        if let Some(trial) = &mut self.trial {
            trial.looks += 1;
            if trial.looks > 1 {
                trial.served += load.served;
            }
            if trial.looks == TRIAL_LOOKS {
                let is_better_open = trial.served / f64::from(TRIAL_LOOKS - 1) < trial.before;
                self.open += usize::from(is_better_open);
                self.trial = None;
                self.settled_until = now + self.retry;
                self.retry = (self.retry * 2).min(RETRY_MAX);
            }
            return self.open;
        }
        let at_work = (self.base + self.open) as f64;
        if load.idle < IDLE_FULL {
            self.full_looks += 1;
            self.full_served += load.served;
        } else {
            (self.full_looks, self.full_served) = (0, 0.0);
        }
        if self.open > 0 && load.used < (at_work - 1.0) * BUSY - SLACK {
            self.open -= 1;
            self.retry = RETRY_FIRST;
        } else if now < self.settled_until {
            (self.full_looks, self.full_served) = (0, 0.0);
        } else if self.open > 0 && self.full_looks >= FULL_LOOKS {
            self.open -= 1;
            self.trial = Some(Trial { before: self.full_served / f64::from(self.full_looks), looks: 0, served: 0.0 });
            (self.full_looks, self.full_served) = (0, 0.0);
        } else if self.open < spare && load.idle >= IDLE_MIN && load.used >= at_work * BUSY {
            self.open += 1;
        }
        self.open
    }
}

async fn control(base: usize, gates: Vec<Arc<Gate>>) {
    let mut policy = Policy::new(base);
    let started = Instant::now();
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let Some(mut before) = Clocks::now() else { return };
    loop {
        looks.tick().await;
        let Some(now) = Clocks::now() else { return };
        let Some(load) = now.since(&before) else { continue };
        before = now;
        let was_open = policy.open;
        let open = policy.decide(load, gates.len(), started.elapsed());
        if open > was_open {
            gates[was_open].set(State::Open);
        } else if open < was_open {
            gates[open].set(State::Closed);
        }
    }
}

/// Times that only grow, in seconds.
struct Clocks {
    at: Instant,
    used: f64,
    idle: f64,
    served: u64,
}

impl Clocks {
    fn now() -> Option<Clocks> {
        let (used, idle) = (env::process_cpu_seconds()?, env::idle_core_seconds()?);
        Some(Clocks { at: Instant::now(), used, idle, served: SERVED.load(Ordering::Relaxed) })
    }

    /// `None` if too little time has passed to tell.
    fn since(&self, before: &Clocks) -> Option<Load> {
        let seconds = (self.at - before.at).as_secs_f64();
        let per_second = |now: f64, then: f64| (now - then) / seconds;
        (seconds >= LOOK_EVERY.as_secs_f64() / 2.0).then(|| Load {
            used: per_second(self.used, before.used),
            idle: per_second(self.idle, before.idle),
            served: (self.served - before.served) as f64 / seconds,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Barrier, mpsc};

    use super::*;

    #[test]
    fn spare_threads_work_where_all_are_busy_and_cores_are_idle() {
        let idle = Load { used: 0.1, idle: 1.8, served: 10.0 };
        let busy = Load { used: 0.95, idle: 0.6, served: 800.0 };
        let shared = Load { used: 1.0, idle: 0.02, served: 1000.0 };
        let both = Load { used: 1.5, idle: 0.2, served: 1500.0 };
        let (more, less) = (Load { served: 1200.0, ..shared }, Load { served: 900.0, ..shared });
        let second = Duration::from_secs;
        let full = |trial: Vec<Load>| [vec![busy], vec![shared; 8], trial].concat();
        for (loads, open, why) in [
            (vec![idle; 10], 0, "nothing to do"),
            (vec![busy], 1, "one thread is not enough"),
            (vec![shared; 100], 0, "clients take the other core"),
            (vec![busy, both, both, both, both, both, both, both, both, both], 1, "both work, and a little is left"),
            (vec![busy, idle], 0, "the work is over"),
            (full(vec![]), 0, "the machine is full: a trial"),
            (full(vec![more; 5]), 0, "one alone serves more"),
            (full(vec![less; 5]), 1, "one alone serves less"),
            (full(vec![more, less, less, less, less]), 1, "the first look has some of both"),
            (full([vec![less; 5], vec![shared; 8]].concat()), 1, "it has just been seen"),
            (full([vec![less; 5], vec![shared; 12]].concat()), 0, "again, some time later"),
            (full([vec![more; 5], vec![busy]].concat()), 0, "it has just been full"),
            (full([vec![more; 5], vec![idle, idle, busy]].concat()), 1, "it has been long ago"),
        ] {
            let mut policy = Policy::new(1);
            let mut last = 0;
            for (number, load) in (0..).zip(loads) {
                last = policy.decide(load, 1, second(number));
            }
            assert_eq!(last, open, "{why}");
        }
    }

    #[test]
    fn the_other_thread_does_all_the_work_while_one_is_closed() {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let gate = Arc::<Gate>::default();
        let released = Released(vec![Arc::clone(&gate)]);
        runtime.spawn(Arc::clone(&gate).hold());
        let (met, meetings) = mpsc::channel();
        let barrier = Arc::new(Barrier::new(2));
        // Tasks that keep their threads until they meet. Nobody is left for timers meanwhile.
        let meet = || {
            let (met, barrier) = (met.clone(), Arc::clone(&barrier));
            runtime.spawn(async move {
                barrier.wait();
                met.send(()).unwrap();
            });
        };
        for _ in 0..100 {
            runtime.block_on(runtime.spawn(yield_now())).unwrap();
        }
        meet();
        meet();
        assert!(meetings.recv_timeout(Duration::from_millis(100)).is_err(), "one thread cannot be at two places");
        gate.set(State::Open);
        assert!(meetings.recv_timeout(Duration::from_secs(20)).is_ok());
        gate.set(State::Closed);
        drop(released);
    }

    #[test]
    fn work_is_run_and_its_threads_stop() {
        assert_eq!(run(None, async { tokio::spawn(async { 7 }).await }).unwrap().unwrap(), 7);
        assert_eq!(run(NonZeroUsize::new(3), async { 8 }).unwrap(), 8);
    }
}

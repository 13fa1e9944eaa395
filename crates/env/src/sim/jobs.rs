//! Background jobs in one thread: a step runs only while something waits, or when the test says so.
//!
//! ```text
//!   wait_until: ready? --no--> step of a random runnable job --> ready? ... --none runnable--> jump to the next sleeper's time
//!                                                                           --no sleeper-----> deadlock
//! ```
//!
//! 1. Which job steps next comes from the seed; a job is stepped by nobody else while it is in a step (a step may wait too).
//! 2. Time passes by a microsecond a call or step, a hundred a sync, and by jumps when nobody can run.

use std::sync::{Arc, Weak};
use std::time::Duration;

use rand::Rng;

use super::{SimEnv, State};
use crate::{Job, JobHandle, Next, Signal};

/// Steps one wait may take before it is called endless: a sane job sleeps or waits long before that.
const STEPS_MAX: u64 = 10_000_000;

/// A job in the scheduler's list.
pub(super) struct Scheduled {
    id: u64,
    work: Option<Box<dyn Job>>, // None during a step
    due: Option<Duration>,      // None until woken
}

/// What [`SimEnv::step`] could do.
enum Progress {
    Stepped,
    Jumped,
    Nothing,
}

impl SimEnv {
    /// Runs up to `steps` steps of jobs, letting time jump over sleeps; returns how many ran before no job could.
    pub fn run_jobs(&self, steps: usize) -> usize {
        let mut done = 0;
        while done < steps {
            match self.step(None) {
                Progress::Stepped => done += 1,
                Progress::Jumped => {}
                Progress::Nothing => break,
            }
        }
        done
    }

    /// Lets `time` pass, with all the job steps that are due in it.
    pub fn advance(&self, time: Duration) {
        let deadline = self.state.lock().now + time;
        self.wait(&mut || false, Some(deadline));
    }

    pub(super) fn add_job(&self, work: Box<dyn Job>) -> Arc<dyn JobHandle> {
        let mut state = self.state.lock();
        state.jobs_started += 1;
        let (id, now) = (state.jobs_started, state.now);
        if state.gone {
            return Arc::new(SimJobHandle { env: Weak::new(), id }); // nothing ever runs again; `work` is dropped
        }
        state.jobs.push(Scheduled { id, work: Some(work), due: Some(now) });
        state.note(&[0x0a, id]);
        Arc::new(SimJobHandle { env: self.this.clone(), id })
    }

    pub(super) fn wait(&self, ready: &mut dyn FnMut() -> bool, deadline: Option<Duration>) -> bool {
        for _ in 0..STEPS_MAX {
            if ready() {
                return true;
            }
            if deadline.is_some_and(|deadline| self.state.lock().now >= deadline) {
                return false;
            }
            match (self.step(deadline), deadline) {
                (Progress::Stepped | Progress::Jumped, _) => {}
                (Progress::Nothing, Some(deadline)) => {
                    let mut state = self.state.lock();
                    state.now = state.now.max(deadline);
                }
                (Progress::Nothing, None) => {
                    // A machine that is gone makes nothing true; and a panic while panicking would hide the first one.
                    if self.state.lock().gone || std::thread::panicking() {
                        return false;
                    }
                    panic!("deadlock in simulation: a wait without timeout, and no job can run");
                }
            }
        }
        panic!("livelock in simulation: {STEPS_MAX} job steps in one wait");
    }

    /// One step of one job, or a jump in time to the next sleeper not after `deadline`.
    fn step(&self, deadline: Option<Duration>) -> Progress {
        let (id, mut work) = {
            let mut state = self.state.lock();
            let now = state.now;
            let due = |job: &Scheduled| if job.work.is_some() { job.due } else { None };
            let Some(first) = state.jobs.iter().filter_map(due).min() else { return Progress::Nothing };
            if first > now {
                if deadline.is_some_and(|deadline| deadline < first) {
                    return Progress::Nothing;
                }
                state.now = first;
                return Progress::Jumped;
            }
            let runnable: Vec<usize> =
                (0..state.jobs.len()).filter(|&at| due(&state.jobs[at]).is_some_and(|due| due <= now)).collect();
            state.now += Duration::from_micros(1); // so that a job that never rests does not stop the clock
            let at = runnable[state.random.random_range(0..runnable.len())];
            let job = &mut state.jobs[at];
            job.due = None;
            let picked = (job.id, job.work.take().expect("a runnable job is not in a step"));
            state.note(&[0x0b, picked.0]);
            picked
        };
        let next = work.step();
        let mut state = self.state.lock();
        let State { jobs, now, .. } = &mut *state;
        // It may have been stopped meanwhile, and woken: a wake during a step is not lost.
        if let Some(at) = jobs.iter().position(|job| job.id == id) {
            let job = &mut jobs[at];
            match next {
                Next::Again => job.due = Some(*now),
                Next::Sleep(time) => job.due = Some(job.due.unwrap_or(now.saturating_add(time))),
                Next::Wait => {}
                Next::Done => drop(jobs.remove(at)),
            }
            if next != Next::Done {
                jobs[at].work = Some(work);
                return Progress::Stepped;
            }
        }
        drop(state);
        drop(work); // may call the environment
        Progress::Stepped
    }
}

/// Nothing but the id: the job itself may hold the environment, which holds the job.
struct SimJobHandle {
    env: Weak<SimEnv>,
    id: u64,
}

impl JobHandle for SimJobHandle {
    fn wake(&self) {
        let Some(env) = self.env.upgrade() else { return };
        let mut state = env.state.lock();
        let now = state.now;
        if let Some(job) = state.jobs.iter_mut().find(|job| job.id == self.id) {
            job.due = Some(now);
        }
    }

    /// A step in progress further down the one stack there is cannot be waited for: it just gets no next step.
    fn stop(&self) {
        let Some(env) = self.env.upgrade() else { return };
        let mut state = env.state.lock();
        if let Some(at) = state.jobs.iter().position(|job| job.id == self.id) {
            let job = state.jobs.remove(at);
            drop(state);
            drop(job); // may call the environment
        }
    }
}

impl Drop for SimJobHandle {
    fn drop(&mut self) {
        self.stop();
    }
}

pub(super) struct SimSignal {
    pub(super) env: Weak<SimEnv>,
}

impl Signal for SimSignal {
    /// Waiters look after every step anyway.
    fn notify_all(&self) {}

    fn wait_until(&self, ready: &mut dyn FnMut() -> bool, timeout: Option<Duration>) -> bool {
        let Some(env) = self.env.upgrade() else { return ready() };
        let deadline = timeout.and_then(|timeout| env.state.lock().now.checked_add(timeout));
        env.wait(ready, deadline)
    }
}

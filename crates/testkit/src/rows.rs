//! Rows of the reliability scorecard that are simulated: what is tried, and what counts as a failure.
//!
//! ```text
//! simulate ROW --from 200 --count 100     tries 200 to 299 of the row, each by its number and the seed alone
//!                    |
//!                    +-- a try: a machine, something that goes wrong, a recovery, what is found against what may be found
//! ```
//!
//! 1. A try says what went wrong, or nothing. A panic is a failure of that try.
//! 2. Figures are counts that are added up over tries: they show that a try did what its row is about.
//!
//! Not here: what the rows are for (`scripts/reliability --list`), real servers and real disks (`scripts/checks/reliability`).

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use env::SimEnv;

use crate::script::{Machine, State, Step};
use crate::world::Crash;

mod durable_calls;
mod failing_calls;
mod full_disk;
mod points;
mod power_loss;
mod torn_tail;

/// Counts by name, added up over tries.
pub type Figures = BTreeMap<&'static str, u64>;

/// One row.
pub trait Row {
    /// How many tries there are at most; the tier may take fewer.
    fn tries(&self) -> u64;
    /// Makes a try. Errors: what went wrong.
    fn run(&self, number: u64, figures: &mut Figures) -> Result<(), String>;
}

/// How much is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Small databases.
    Quick,
    /// Larger ones.
    Full,
}

/// The row of a name. None: there is none.
pub fn row(name: &str, tier: Tier, seed: u64) -> Option<Box<dyn Row>> {
    Some(match name {
        "durable-calls" => Box::new(durable_calls::DurableCalls::new(tier, seed)),
        "power-loss" => Box::new(power_loss::PowerLoss { seed }),
        "torn-tail" => Box::new(torn_tail::TornTail::new(seed)),
        "failing-calls" => Box::new(failing_calls::FailingCalls::new(tier, seed)),
        "full-disk" => Box::new(full_disk::FullDisk::new(tier, seed)),
        "points" => Box::new(points::Points::new(seed)),
        _ => return None,
    })
}

/// Makes one try of a row; what went wrong, panics included.
pub fn try_number(row: &dyn Row, number: u64, figures: &mut Figures) -> Result<(), String> {
    match catch_unwind(AssertUnwindSafe(|| row.run(number, figures))) {
        Ok(outcome) => outcome,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).to_owned()));
            Err(format!("panic: {}", text.unwrap_or_default()))
        }
    }
}

/// How far a script came.
struct Progress {
    /// Commits that were acknowledged.
    acknowledged: usize,
    /// Commits of the step that failed beyond those: each may have happened.
    in_flight: usize,
    /// Why it went no further.
    error: Option<types::SqlError>,
}

/// Runs a script until something fails.
fn run_script(machine: &Machine, script: &[Step]) -> Progress {
    let mut acknowledged = 0;
    for step in script {
        let (done, outcome) = machine.step(step);
        acknowledged += done;
        if let Err(error) = outcome {
            return Progress { acknowledged, in_flight: step.commits() - done, error: Some(error) };
        }
    }
    Progress { acknowledged, in_flight: 0, error: None }
}

/// The machine stops; its database is dropped afterwards, as nothing it does then reaches the disk.
fn stop(env: &SimEnv, crash: Crash, machine: Option<Machine>) -> Arc<SimEnv> {
    let next = match crash {
        Crash::Kill => env.process_kill(),
        Crash::PowerLoss => env.power_loss(),
    };
    drop(machine);
    next
}

/// The row that is written after something went wrong, whether or not that works.
const LATER_KEY: &str = "2147483647";

/// Tries to write that row; true if it is acknowledged.
fn write_later(machine: &Machine) -> bool {
    machine.run(&format!("INSERT INTO a (k, note) VALUES ({LATER_KEY}, 'later')")).is_ok()
}

/// Opens the database after a crash and compares it with the states it may be in, the row of [`write_later`] aside, which must be there
/// if `later`; then writes, and opens it once more. Returns which of the states it was.
fn recover(env: &Arc<SimEnv>, states: &[State], later: bool) -> Result<usize, String> {
    let machine = Machine::open(env).map_err(|error| format!("recovery failed: {error:?}"))?;
    let reading = |error| format!("reading after recovery: {error:?}");
    let found = machine.state().map_err(reading)?;
    let without = found.clone().without(LATER_KEY);
    if later && found == without {
        return Err("a row is lost that was acknowledged after something had gone wrong".into());
    }
    let at = is_one_of(&without, states)?;
    machine.check()?;
    let writing = |error| format!("writing after recovery: {error:?}");
    machine.run("CREATE TABLE after_recovery (k int PRIMARY KEY)").map_err(writing)?;
    machine.run("INSERT INTO after_recovery VALUES (1), (2)").map_err(writing)?;
    let written = machine.state().map_err(reading)?;
    let env = stop(env, Crash::PowerLoss, Some(machine));
    let again = Machine::open(&env).map_err(|error| format!("the second recovery failed: {error:?}"))?;
    let found = again.state().map_err(reading)?;
    if found != written {
        return Err(format!("the second recovery finds {}, not {}", found.summary(), written.summary()));
    }
    Ok(at)
}

/// Which one it is. Errors: it is none of the states that are possible.
fn is_one_of(found: &State, states: &[State]) -> Result<usize, String> {
    match states.iter().position(|state| state == found) {
        Some(at) => Ok(at),
        None => Err(format!(
            "the state is none of {} that are possible: {}, not {}",
            states.len(),
            found.summary(),
            states[0].summary()
        )),
    }
}

impl Progress {
    fn none(error: types::SqlError) -> Progress {
        Progress { acknowledged: 0, in_flight: 0, error: Some(error) }
    }

    /// The states that a database may be in which came so far.
    fn possible<'a>(&self, states: &'a [State]) -> &'a [State] {
        &states[self.acknowledged..=self.acknowledged + self.in_flight]
    }
}

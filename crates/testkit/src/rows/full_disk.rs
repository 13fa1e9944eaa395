//! The disk is full after each number of pages: writes are refused as 53100 and leave nothing behind, reads go on, and once there is room
//! everything goes on, without a restart.

use std::time::Duration;

use env::SimEnv;
use types::{SqlError, SqlState};

use crate::script::{Machine, State, Step, script, states};
use crate::world::Crash;

use super::{Figures, Row, Tier, recover, run_script, stop};

pub(super) struct FullDisk {
    seed: u64,
    script: Vec<Step>,
    states: Vec<State>,
    pages: u64,
}

impl FullDisk {
    pub(super) fn new(tier: Tier, seed: u64) -> FullDisk {
        let script = script(tier == Tier::Full);
        let states = states(&script);
        let env = SimEnv::new(seed);
        let machine = Machine::open(&env).expect("open a new directory");
        let mut pages = env.pages_used();
        for step in &script {
            machine.step(step).1.expect("nothing goes wrong by itself");
            pages = pages.max(env.pages_used());
        }
        FullDisk { seed, script, states, pages }
    }
}

fn is_full(error: &SqlError) -> Result<(), String> {
    if error.state == SqlState::DISK_FULL { Ok(()) } else { Err(format!("a full disk is told as {error:?}")) }
}

impl Row for FullDisk {
    /// The pages there are, two files of the log and some more than the script takes included.
    fn tries(&self) -> u64 {
        self.pages + 20
    }

    fn run(&self, number: u64, figures: &mut Figures) -> Result<(), String> {
        let said = |what: String| format!("{number} pages: {what}");
        let env = SimEnv::new(self.seed);
        env.disk_full_after(number * 4096);
        let machine = match Machine::open(&env) {
            Ok(machine) => machine,
            Err(error) => {
                is_full(&error).map_err(said)?;
                *figures.entry("could not be made").or_default() += 1;
                env.free_space();
                let machine = Machine::open(&env).map_err(|error| said(format!("with room: {error:?}")))?;
                let progress = run_script(&machine, &self.script);
                let env = stop(&env, Crash::PowerLoss, Some(machine));
                return match progress.error {
                    None => recover(&env, &self.states[progress.acknowledged..], false).map(drop).map_err(said),
                    Some(error) => Err(said(format!("with room: {error:?}"))),
                };
            }
        };
        let mut done = 0;
        for step in &self.script {
            let (some, outcome) = machine.step(step);
            done += some;
            let Err(error) = outcome else { continue };
            let said = |what: String| said(format!("{step:?}: {what}"));
            is_full(&error).map_err(said)?;
            *figures.entry("refused").or_default() += 1;
            let rest = step.rest(some);
            let step = rest.as_ref().unwrap_or(step);
            // Once more while it is full: nothing of the first attempt goes out with the second.
            let (more, again) = machine.step(step);
            done += more;
            let reading = |error| said(format!("reading while the disk is full: {error:?}"));
            reads_as(&machine.state().map_err(reading)?, &self.states[done]).map_err(said)?;
            if let Err(error) = again {
                is_full(&error).map_err(said)?;
                env.free_space();
                env.advance(Duration::from_secs(2));
                let rest = step.rest(more);
                let (more, outcome) = machine.step(rest.as_ref().unwrap_or(step));
                done += more;
                outcome.map_err(|error| said(format!("with room again: {error:?}")))?;
                *figures.entry("went on without a restart").or_default() += 1;
                env.disk_full_after((number % 13) * 4096);
            }
        }
        env.free_space();
        let found = machine.state().map_err(|error| said(format!("{error:?}")))?;
        reads_as(&found, &self.states[done]).map_err(said)?;
        *figures.entry("commits refused by a full log").or_default() += fill_log(&machine).map_err(said)?;
        let found = machine.state().map_err(|error| said(format!("{error:?}")))?;
        machine.check().map_err(said)?;
        let env = stop(&env, Crash::PowerLoss, Some(machine));
        recover(&env, &[found], false).map(drop).map_err(said)
    }
}

/// Commits until the log has no room, and some more; then there is room. Returns how many were refused.
fn fill_log(machine: &Machine) -> Result<u64, String> {
    let insert = |n: u64| machine.run(&format!("INSERT INTO filled VALUES ({n})"));
    machine.run("CREATE TABLE filled (n bigint)").map_err(|error| format!("{error:?}"))?;
    machine.env.disk_full_after(0);
    let mut refused = 0;
    for n in 0..300 {
        if let Err(error) = insert(n) {
            is_full(&error)?;
            refused += 1;
            if refused == 3 {
                break;
            }
        }
    }
    machine.env.free_space();
    machine.env.advance(Duration::from_secs(2));
    (300..305).try_for_each(insert).map_err(|error| format!("with room in the log again: {error:?}"))?;
    Ok(refused)
}

/// Errors: a client would find something else.
fn reads_as(found: &State, wanted: &State) -> Result<(), String> {
    if found.reads_as(wanted) {
        return Ok(());
    }
    Err(format!("a client finds {}, not {}", found.summary(), wanted.summary()))
}

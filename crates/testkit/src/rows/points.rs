//! The machine stops at named places (`env::point`), at some passage of each, also while it recovers.

use std::collections::BTreeMap;
use std::sync::Arc;

use env::SimEnv;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::script::{Machine, State, Step, script, states};
use crate::world::{Crash, World};

use super::{Figures, Progress, Row, recover, run_script, stop};

/// Tries of each place.
const SEEDS: u64 = 25;
const STEPS: usize = 400;
/// Runs until one passes a place.
const ATTEMPTS: u64 = 5;

/// Where a place is passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum By {
    Script,
    Recovery,
    Clients,
}

pub(super) struct Points {
    seed: u64,
    script: Vec<Step>,
    states: Vec<State>,
    calls: u64,
    /// Each place, and by what it is passed how often.
    places: Vec<(&'static str, Vec<(By, u64)>)>,
}

impl Points {
    pub(super) fn new(seed: u64) -> Points {
        let script = script(false);
        let states = states(&script);
        let mut passed: BTreeMap<&'static str, BTreeMap<By, u64>> = BTreeMap::new();
        let mut note = |by: By, env: &SimEnv| {
            for (name, times) in env.points() {
                let known = passed.entry(name).or_default().entry(by).or_default();
                *known = times.max(*known);
            }
        };
        let env = SimEnv::new(seed);
        let machine = Machine::open(&env).expect("open a new directory");
        run_script(&machine, &script);
        note(By::Script, &env);
        drop(machine);
        for calls in (0..env.mutations()).step_by(29) {
            let env = stopped_after(seed, calls, &script).0;
            drop(Machine::open(&env));
            note(By::Recovery, &env);
        }
        for run in 0..3 {
            let mut world = World::new(seed + run);
            for _ in 0..STEPS {
                world.step();
            }
            note(By::Clients, world.env());
        }
        let places = passed.into_iter().map(|(name, by)| (name, by.into_iter().collect())).collect();
        Points { seed, script, states, calls: env.mutations(), places }
    }
}

/// A machine that stopped in the middle of the script, by losing its power.
fn stopped_after(seed: u64, calls: u64, script: &[Step]) -> (Arc<SimEnv>, Progress) {
    let env = SimEnv::new(seed);
    env.set_crash_at(calls);
    let machine = Machine::open(&env);
    let progress = match &machine {
        Ok(machine) => run_script(machine, script),
        Err(error) => Progress::none(error.clone()),
    };
    (stop(&env, Crash::PowerLoss, machine.ok()), progress)
}

impl Row for Points {
    fn tries(&self) -> u64 {
        self.places.len() as u64 * SEEDS
    }

    fn run(&self, number: u64, figures: &mut Figures) -> Result<(), String> {
        let (name, by) = &self.places[(number / SEEDS) as usize];
        for attempt in 0..ATTEMPTS {
            let mut random = SmallRng::seed_from_u64(self.seed << 40 | attempt << 32 | number);
            let (by, times) = by[random.random_range(0..by.len())];
            // How often it is passed differs from run to run.
            let nth = random.random_range(1..=(times >> attempt).max(1));
            let crash = if random.random_bool(0.7) { Crash::PowerLoss } else { Crash::Kill };
            let said = |what: String| format!("{name}, passage {nth} of {times} by {by:?}, {crash:?}: {what}");
            if self.stop_at(name, nth, by, crash, &mut random).map_err(said)? {
                *figures.entry("stopped there").or_default() += 1;
                return Ok(());
            }
        }
        *figures.entry("not reached").or_default() += 1;
        Ok(())
    }
}

impl Points {
    /// Stops at a passage of a place, and recovers; whether it was reached. Errors: what was found was wrong.
    fn stop_at(&self, name: &str, nth: u64, by: By, crash: Crash, random: &mut SmallRng) -> Result<bool, String> {
        if by == By::Clients {
            let mut world = World::new(random.random());
            world.env().set_crash_at_point(name, nth);
            for _ in 0..STEPS {
                if !world.step() && world.env().has_crashed() {
                    break;
                }
            }
            let reached = world.env().has_crashed();
            world.crash_and_recover(crash);
            return Ok(reached);
        }
        let (env, before) = match by {
            By::Recovery => {
                let (env, progress) = stopped_after(self.seed, random.random_range(0..self.calls), &self.script);
                (env, Some(progress))
            }
            _ => (SimEnv::new(self.seed), None),
        };
        env.set_crash_at_point(name, nth);
        let machine = Machine::open(&env);
        let progress = match (before, &machine) {
            (Some(progress), _) => progress,
            (None, Ok(machine)) => run_script(machine, &self.script),
            (None, Err(error)) => Progress::none(error.clone()),
        };
        let reached = env.has_crashed();
        let env = stop(&env, crash, machine.ok());
        recover(&env, progress.possible(&self.states), false)?;
        Ok(reached)
    }
}

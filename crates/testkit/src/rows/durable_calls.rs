//! The machine stops before and after every call that changes the disk, of a script that does everything.

use crate::script::{Machine, State, Step, script, states};
use crate::world::Crash;
use env::SimEnv;

use super::{Figures, Progress, Row, Tier, recover, run_script, stop};

/// How a machine stops, and whether recovery is stopped too.
const WAYS: [(Crash, bool); 4] = [(Crash::Kill, false), (Crash::PowerLoss, false), (Crash::PowerLoss, true), (Crash::Kill, true)];

pub(super) struct DurableCalls {
    seed: u64,
    script: Vec<Step>,
    states: Vec<State>,
    calls: u64,
}

impl DurableCalls {
    pub(super) fn new(tier: Tier, seed: u64) -> DurableCalls {
        let script = script(tier == Tier::Full);
        let states = states(&script);
        let env = SimEnv::new(seed);
        let machine = Machine::open(&env).expect("open a new directory");
        assert!(run_script(&machine, &script).error.is_none(), "nothing goes wrong by itself");
        DurableCalls { seed, script, states, calls: env.mutations() }
    }
}

impl Row for DurableCalls {
    /// The call after which the machine stops, by the way in which it does.
    fn tries(&self) -> u64 {
        (self.calls + 1) * WAYS.len() as u64
    }

    fn run(&self, number: u64, figures: &mut Figures) -> Result<(), String> {
        let call = number / WAYS.len() as u64;
        let (crash, twice) = WAYS[(number % WAYS.len() as u64) as usize];
        let env = SimEnv::new(self.seed);
        env.set_crash_at(call);
        let machine = Machine::open(&env);
        let progress = match &machine {
            Ok(machine) => run_script(machine, &self.script),
            Err(error) if env.has_crashed() => Progress::none(error.clone()),
            Err(error) => return Err(format!("open: {error:?}")),
        };
        if progress.error.is_some() && !env.has_crashed() {
            return Err(format!("call {call}: {:?}", progress.error));
        }
        *figures.entry("stopped").or_default() += 1;
        let mut env = stop(&env, crash, machine.ok());
        if twice {
            env.set_crash_at(number % 37);
            let half = Machine::open(&env).ok();
            *figures.entry("stopped again in recovery").or_default() += u64::from(env.has_crashed());
            env = stop(&env, Crash::PowerLoss, half);
        }
        let kept = recover(&env, progress.possible(&self.states), false);
        let kept = kept.map_err(|what| format!("{crash:?} after call {call}: {what}"))?;
        *figures.entry("kept though not answered").or_default() += u64::from(kept > 0);
        Ok(())
    }
}

//! Every call of a script fails once, or from then on: nothing is acknowledged that is not durable, reads go on, and a restart has all.

use env::{Fault, Operation, SimEnv};
use types::SqlState;

use crate::script::{Machine, State, Step, script, states};
use crate::world::Crash;

use super::{Figures, Progress, Row, Tier, is_one_of, recover, run_script, stop, write_later};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

const OPERATIONS: [Operation; 9] = [
    Operation::SyncData,
    Operation::SyncDir,
    Operation::Write,
    Operation::Create,
    Operation::Rename,
    Operation::Link,
    Operation::Unlink,
    Operation::Read,
    Operation::CreateDir,
];

pub(super) struct FailingCalls {
    seed: u64,
    script: Vec<Step>,
    states: Vec<State>,
    /// Each with the error it gives.
    faults: Vec<(Fault, i32)>,
}

impl FailingCalls {
    pub(super) fn new(tier: Tier, seed: u64) -> FailingCalls {
        let script = script(tier == Tier::Full);
        let states = states(&script);
        let env = SimEnv::new(seed);
        let machine = Machine::open(&env).expect("open a new directory");
        assert!(run_script(&machine, &script).error.is_none(), "nothing goes wrong by itself");
        let mut faults = Vec::new();
        for operation in OPERATIONS {
            for call in 1..=env.calls(operation) {
                let operation = Some(operation);
                for error in [EIO, ENOSPC] {
                    faults.extend([(Fault::Once { operation, call }, error), (Fault::Always { operation, call }, error)]);
                }
            }
        }
        FailingCalls { seed, script, states, faults }
    }
}

impl Row for FailingCalls {
    fn tries(&self) -> u64 {
        self.faults.len() as u64
    }

    fn run(&self, number: u64, figures: &mut Figures) -> Result<(), String> {
        let (fault, os_error) = self.faults[number as usize];
        let said = |what: String| format!("{fault:?} with {}: {what}", if os_error == EIO { "EIO" } else { "ENOSPC" });
        let env = SimEnv::new(self.seed);
        env.set_fault(fault);
        env.fail_with(os_error);
        let machine = Machine::open(&env);
        let progress = match &machine {
            Ok(machine) => run_script(machine, &self.script),
            Err(error) => Progress::none(error.clone()),
        };
        let possible = progress.possible(&self.states);
        let mut later = false;
        if let Some(error) = &progress.error {
            *figures.entry("told to a client").or_default() += 1;
            if error.state != SqlState::IO_ERROR && (os_error == EIO || error.state != SqlState::DISK_FULL) {
                return Err(said(format!("the client is told {error:?}")));
            }
        }
        if let Ok(machine) = &machine {
            env.clear_faults();
            let state = machine.state().map_err(|error| said(format!("reading after the failure: {error:?}")))?;
            is_one_of(&state, possible).map_err(|what| said(format!("after the failure, {what}")))?;
            later = write_later(machine);
            *figures.entry("goes on writing").or_default() += u64::from(later);
            // A second attempt must not make worse what the first has left.
            *figures.entry("makes a checkpoint").or_default() += u64::from(machine.step(&Step::Checkpoint).1.is_ok());
        }
        // A kill, too, after a failed sync: what it has not saved stays readable until the power fails.
        let crash = if number % 8 < 4 { Crash::PowerLoss } else { Crash::Kill };
        let env = stop(&env, crash, machine.ok());
        recover(&env, possible, later).map(drop).map_err(said)
    }
}

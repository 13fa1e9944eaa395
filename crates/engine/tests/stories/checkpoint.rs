//! Checkpoints that fail, and what they leave behind.

use std::collections::BTreeMap;

use engine::{EngineError, Inserted};
use env::{Fault, Operation};

use crate::support::{Machine, by_hand};

/// The manifest had its name but its directory could not be synced. The next attempt, of the same version, replaced the dump that it
/// names; after a restart the dump did not match.
#[test]
fn after_a_manifest_that_may_count_or_not_nothing_is_written_until_a_restart() {
    let mut closed = 0;
    for call in 1..8 {
        let mut machine = Machine::new(by_hand());
        machine.commit(|t| assert_eq!(machine.insert(t, 1, 10).unwrap(), Inserted::Done));
        machine.env.set_fault(Fault::Once { operation: Some(Operation::SyncDir), call });
        let first = machine.engine().checkpoint();
        let second = machine.engine().checkpoint();
        if first.is_err() && matches!(second, Err(EngineError::Closed(_))) {
            closed += 1;
            let mut transaction = machine.begin();
            assert!(matches!(machine.insert(&mut transaction, 2, 10), Err(EngineError::Closed(_))));
        }
        machine.kill().unwrap();
        assert_eq!(machine.rows(), BTreeMap::from([(1, 10)]), "call {call}");
        machine.engine().checkpoint().unwrap();
        machine.lose_power().unwrap();
        assert_eq!(machine.rows(), BTreeMap::from([(1, 10)]), "call {call}");
    }
    assert_eq!(closed, 1);
}

//! Transactions whose statements fail in the middle.

use std::collections::BTreeMap;

use catalog::Edit;
use engine::{EngineError, Inserted, Modified};
use env::{Fault, Operation};

use crate::support::{Machine, by_hand};

/// A write over a version that the statement's snapshot does not see looks into the segments for what it does see. That failed after
/// the version was put, and nothing took it off again: whoever wanted the row next waited for a transaction that was gone.
#[test]
fn a_write_that_cannot_read_a_segment_leaves_no_version_behind() {
    for insert in [false, true] {
        let machine = Machine::new(by_hand());
        machine.commit(|t| assert_eq!(machine.load(t, &[(0, 10), (1, 10)]).unwrap(), 2));
        let mut earlier = machine.begin();
        let changed = if insert { machine.delete(&mut earlier, 1) } else { machine.update(&mut earlier, 1, 20) };
        assert_eq!(changed.unwrap(), Modified::Changed);
        let not_durable_yet = earlier.commit().unwrap();
        let mut transaction = machine.begin();
        machine.env.set_fault(Fault::Always { operation: Some(Operation::Read), call: 1 });
        let failed = if insert {
            machine.insert(&mut transaction, 1, 30).map(drop)
        } else {
            machine.update(&mut transaction, 1, 30).map(drop)
        };
        assert!(failed.is_err());
        drop(transaction);
        machine.env.clear_faults();
        not_durable_yet.wait().unwrap();
        machine.commit(|t| {
            if insert {
                assert_eq!(machine.insert(t, 1, 40).unwrap(), Inserted::Done);
            } else {
                assert_eq!(machine.update(t, 1, 40).unwrap(), Modified::Changed);
            }
        });
        assert_eq!(machine.rows(), BTreeMap::from([(0, 10), (1, 40)]));
    }
}

/// The first write into a table that another transaction had just dropped was refused; the next one took the table for locked and
/// went through, into nothing.
#[test]
fn a_dropped_table_refuses_every_write() {
    let machine = Machine::new(by_hand());
    let mut writer = machine.begin();
    let mut dropper = machine.begin();
    dropper.edit_catalog(Edit::DropTable(machine.table().0)).unwrap();
    assert!(matches!(machine.insert(&mut writer, 1, 10), Err(EngineError::LockTimeout)));
    dropper.commit().unwrap().wait().unwrap();
    for _ in 0..2 {
        let before = writer.savepoint();
        assert!(matches!(machine.insert(&mut writer, 1, 10), Err(EngineError::NoTable(_))));
        writer.rollback_to(&before);
    }
}

//! Transactions whose statements fail in the middle.

use std::collections::BTreeMap;

use catalog::Edit;
use engine::{Change, EngineError, Inserted, KeyLock, Modified};
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

/// READ COMMITTED changed whatever row had the key by then: one that another transaction had put there after it deleted the row that
/// the statement had seen, or one that the statement had not seen at all.
#[test]
fn read_committed_changes_only_rows_that_its_snapshot_sees() {
    // Where the row is when the statement begins, and what happens to it before the statement gets there.
    for in_segment in [false, true] {
        for (story, changed) in [("updated", true), ("frozen", true), ("replaced", false), ("loaded anew", false)] {
            let machine = Machine::new(by_hand());
            machine.commit(|t| {
                if in_segment {
                    machine.load(t, &[(1, 10)]).unwrap();
                } else {
                    machine.insert(t, 1, 10).unwrap();
                }
            });
            let mut statement = machine.begin();
            statement.begin_statement();
            machine.commit(|t| match story {
                "updated" => assert_eq!(machine.update(t, 1, 20).unwrap(), Modified::Changed),
                "frozen" => {}
                _ => {
                    assert_eq!(machine.delete(t, 1).unwrap(), Modified::Changed);
                    if story == "replaced" {
                        assert_eq!(machine.insert(t, 1, 20).unwrap(), Inserted::Done);
                        assert_eq!(machine.update(t, 1, 30).unwrap(), Modified::Changed, "its own row");
                    } else {
                        assert_eq!(machine.load(t, &[(1, 20)]).unwrap(), 1);
                    }
                }
            });
            machine.engine().merge(None).unwrap();
            let told = statement.modify(machine.table(), &machine.key(1), &mut |_| Ok(Change::Delete)).unwrap();
            let expected = if changed { Modified::Changed } else { Modified::NotFound };
            assert_eq!(told, expected, "{story}, in a segment: {in_segment}");
        }
    }
    // A row in flight, or committed since, is none that the statement waits for or changes.
    let machine = Machine::new(by_hand());
    let mut inserter = machine.begin();
    let mut statement = machine.begin();
    statement.begin_statement();
    assert_eq!(machine.insert(&mut inserter, 1, 10).unwrap(), Inserted::Done);
    let mut change = |_: types::RowRef<'_>| Ok(Change::Delete);
    assert_eq!(statement.modify(machine.table(), &machine.key(1), &mut change).unwrap(), Modified::NotFound);
    inserter.commit().unwrap().wait().unwrap();
    assert_eq!(statement.modify(machine.table(), &machine.key(1), &mut change).unwrap(), Modified::NotFound);
    drop(statement);
    let mut statement = machine.begin();
    statement.begin_statement();
    machine.commit(|t| assert_eq!(machine.load(t, &[(2, 10)]).unwrap(), 1));
    assert_eq!(statement.modify(machine.table(), &machine.key(2), &mut change).unwrap(), Modified::NotFound);
    assert_eq!(machine.delete(&mut statement, 2).unwrap(), Modified::Changed, "the next statement sees it");
}

/// A row that refers to a key came in although the key had gone: another transaction, which came to nothing, was about to put the key
/// there again, and below that the deletion was committed but not on disk yet.
#[test]
fn a_key_that_has_gone_is_not_there_for_those_who_refer_to_it() {
    for in_segment in [false, true] {
        let machine = Machine::new(by_hand());
        machine.commit(|t| {
            assert_eq!(machine.load(t, &[(1, 10), (2, 10)]).unwrap(), 2);
            if !in_segment {
                assert_eq!(machine.update(t, 1, 20).unwrap(), Modified::Changed);
                assert_eq!(machine.update(t, 2, 20).unwrap(), Modified::Changed);
            }
        });
        let (gone, stays) = (machine.key(1), machine.key(2));
        let mut takes_away = machine.begin();
        assert_eq!(machine.delete(&mut takes_away, 1).unwrap(), Modified::Changed);
        takes_away.lock_key(machine.table(), &gone, KeyLock::Exclusive).unwrap();
        let not_durable_yet = takes_away.commit().unwrap();
        let mut in_the_way = machine.begin();
        assert_eq!(machine.update(&mut in_the_way, 2, 30).unwrap(), Modified::Changed);
        assert_eq!(machine.insert(&mut in_the_way, 1, 30).unwrap(), Inserted::Done);
        let mut refers = machine.begin();
        for (key, is_there) in [(&gone, false), (&stays, true)] {
            refers.lock_key(machine.table(), key, KeyLock::Shared).unwrap();
            assert_eq!(refers.has_now(machine.table(), key).unwrap(), is_there, "in a segment: {in_segment}");
        }
        drop(in_the_way);
        assert!(!refers.has_now(machine.table(), &gone).unwrap());
        assert!(refers.has_now(machine.table(), &stays).unwrap());
        not_durable_yet.wait().unwrap();
    }
}

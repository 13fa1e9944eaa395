//! Background work when one piece of it fails.

use std::collections::BTreeSet;

use engine::{Inserted, Isolation, Modified, Options};
use env::{Fault, Operation};

use crate::support::{Machine, by_hand};

/// Two segments whose compaction is due and has two outputs, the second not durable yet, with the background job at work.
fn before_a_compaction() -> (Machine, engine::Commit) {
    let options = Options { maintenance: true, compact_overlap: 2, segment_rows: 6, checkpoint_wal_bytes: 1, ..by_hand() };
    let machine = Machine::new(options);
    machine.commit(|t| assert_eq!(machine.load(t, &[(1, 1), (3, 1), (5, 1), (7, 1), (9, 1)]).unwrap(), 5));
    let mut transaction = machine.begin();
    assert_eq!(machine.load(&mut transaction, &[(2, 1), (4, 1), (6, 1), (8, 1), (10, 1)]).unwrap(), 5);
    let commit = transaction.commit().unwrap();
    (machine, commit)
}

/// One page that could not be read kept every checkpoint from being made, and the log from being cut.
#[test]
fn a_compaction_that_fails_keeps_no_checkpoint_from_being_made() {
    let (machine, commit) = before_a_compaction();
    let ts = commit.ts().unwrap();
    machine.env.set_fault(Fault::Always { operation: Some(Operation::Read), call: 1 });
    commit.wait().unwrap();
    machine.env.run_jobs(300);
    let status = machine.engine().status();
    assert_eq!(status.tables[0].segments, 2, "compaction has failed");
    assert!(status.checkpoint >= ts, "{status:?}");
}

/// Outputs that were done when a later one failed, and files that could not be removed at once, stayed until a restart.
#[test]
fn background_work_that_fails_at_any_call_leaves_no_files_behind() {
    for operation in [Operation::Create, Operation::Write, Operation::SyncData, Operation::Unlink] {
        for call in 1..30 {
            let (machine, commit) = before_a_compaction();
            machine.env.set_fault(Fault::Once { operation: Some(operation), call });
            let committed = commit.wait();
            machine.env.run_jobs(300);
            if committed.is_err() || machine.create_another_table().is_err() {
                continue; // the fault hit the log
            }
            machine.env.run_jobs(300);
            assert_eq!(machine.rows().len(), 10);
            let view = machine.begin().read_view().table(machine.table()).unwrap();
            let live: BTreeSet<String> = view.segments().iter().map(|s| format!("{}.parquet", s.segment.id())).collect();
            let files: BTreeSet<String> = machine.files().into_iter().filter(|name| name.ends_with(".parquet")).collect();
            assert_eq!(files, live, "{operation:?} {call}");
        }
    }
}

/// One long snapshot kept every version that hot rows got meanwhile, until the delta was full and writes were refused.
#[test]
fn a_long_snapshot_keeps_one_version_of_a_hot_row_and_not_all() {
    let machine = Machine::new(Options { maintenance: true, delta_bytes_max: 64 << 10, ..by_hand() });
    machine.commit(|t| assert_eq!(machine.insert(t, 1, 0).unwrap(), Inserted::Done));
    let mut old = machine.begin_as(Isolation::RepeatableRead);
    for v in 1..4000 {
        machine.commit(|t| assert_eq!(machine.update(t, 1, v).unwrap(), Modified::Changed));
    }
    assert_eq!(machine.get(&mut old, 1), Some(0));
    assert_eq!(machine.get(&mut machine.begin(), 1), Some(3999));
}

/// A commit could not read the segment that compaction had put its row into: the row stayed there beside its successor.
#[test]
fn a_row_whose_place_cannot_be_read_when_it_dies_is_not_read_twice() {
    let machine = Machine::new(Options { cache_bytes_max: 0, compact_overlap: 2, ..by_hand() });
    machine.commit(|t| assert_eq!(machine.load(t, &[(1, 1), (3, 1), (5, 1)]).unwrap(), 3));
    machine.commit(|t| assert_eq!(machine.load(t, &[(2, 1), (4, 1), (6, 1)]).unwrap(), 3));
    let mut changes = machine.begin();
    assert_eq!(machine.update(&mut changes, 3, 2).unwrap(), Modified::Changed);
    assert_eq!(machine.delete(&mut changes, 4).unwrap(), Modified::Changed);
    machine.engine().merge(None).unwrap();

    machine.env.set_fault(Fault::Always { operation: Some(Operation::Read), call: 1 });
    let commit = changes.commit().unwrap();
    commit.wait().unwrap();
    assert!(machine.begin().read_view().table(machine.table()).is_err());
    drop(machine.engine().merge(None)); // gives up no slot that hides a row
    assert_eq!(machine.get(&mut machine.begin(), 3), Some(2));
    assert_eq!(machine.get(&mut machine.begin(), 4), None);
    machine.env.clear_faults();

    assert_eq!(machine.rows(), [(1, 1), (2, 1), (3, 2), (5, 1), (6, 1)].into());
    machine.engine().merge(None).unwrap();
    assert_eq!(machine.rows(), [(1, 1), (2, 1), (3, 2), (5, 1), (6, 1)].into());
    assert_eq!(machine.engine().check().unwrap(), []);
}

/// Short of memory, the slot of a deleted row was given up although its row in a segment was still alive.
#[test]
fn a_row_that_could_not_be_buried_stays_hidden_when_memory_is_short() {
    let options = Options { maintenance: true, compact_overlap: 2, delta_bytes_max: 200, freeze_rows_min: 1000, ..by_hand() };
    let machine = Machine::new(Options { cache_bytes_max: 0, ..options });
    machine.commit(|t| assert_eq!(machine.load(t, &[(1, 1), (3, 1), (5, 1)]).unwrap(), 3));
    machine.commit(|t| assert_eq!(machine.load(t, &[(2, 1), (4, 1), (6, 1)]).unwrap(), 3));
    let mut changes = machine.begin();
    assert_eq!(machine.delete(&mut changes, 4).unwrap(), Modified::Changed);
    machine.env.run_jobs(300);
    machine.env.set_fault(Fault::Always { operation: Some(Operation::Read), call: 1 });
    changes.commit().unwrap().wait().unwrap();
    machine.env.run_jobs(300);
    machine.env.clear_faults();
    assert_eq!(machine.get(&mut machine.begin(), 4), None);
    assert_eq!(machine.rows(), [(1, 1), (2, 1), (3, 1), (5, 1), (6, 1)].into());
}

/// The row that a load had put in the place of a deleted one could die for it.
#[test]
fn a_row_that_could_not_be_buried_is_not_taken_for_the_one_loaded_in_its_place() {
    for key in [1, 4, 6] {
        let machine = Machine::new(Options { cache_bytes_max: 0, compact_overlap: 2, ..by_hand() });
        machine.commit(|t| assert_eq!(machine.load(t, &[(1, 1), (3, 1), (5, 1)]).unwrap(), 3));
        machine.commit(|t| assert_eq!(machine.load(t, &[(2, 1), (4, 1), (6, 1)]).unwrap(), 3));
        let mut changes = machine.begin();
        assert_eq!(machine.delete(&mut changes, key).unwrap(), Modified::Changed);
        machine.engine().merge(None).unwrap();
        assert_eq!(machine.load(&mut changes, &[(key, 2)]).unwrap(), 1);
        machine.env.set_fault(Fault::Always { operation: Some(Operation::Read), call: 1 });
        changes.commit().unwrap().wait().unwrap();
        machine.env.clear_faults();
        let expected = (1..=6).map(|k| (k, if k == key { 2 } else { 1 })).collect();
        assert_eq!(machine.rows(), expected);
        assert_eq!(machine.engine().check().unwrap(), []);
    }
}

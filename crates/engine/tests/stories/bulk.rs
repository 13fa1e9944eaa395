//! Bulk loads over keys that were deleted a moment ago: their slots were still there and said "deleted" to whoever looked by key,
//! while scans showed the loaded row.

use std::collections::BTreeMap;

use engine::{EngineError, Inserted, Isolation, Modified, Options};

use crate::support::{Machine, by_hand};

#[test]
fn a_row_loaded_over_one_deleted_in_the_same_transaction_is_found_and_can_be_changed() {
    for frozen in [false, true] {
        let machine = Machine::new(by_hand());
        machine.commit(|t| assert_eq!(machine.insert(t, 1, 10).unwrap(), Inserted::Done));
        if frozen {
            machine.engine().merge(None).unwrap();
        }
        machine.commit(|t| {
            assert_eq!(machine.delete(t, 1).unwrap(), Modified::Changed);
            assert_eq!(machine.load(t, &[(1, 20), (2, 20)]).unwrap(), 2);
            assert_eq!(machine.rows_of(t), BTreeMap::from([(1, 20), (2, 20)]));
            assert_eq!(machine.insert(t, 1, 30).unwrap(), Inserted::Duplicate);
            assert!(matches!(machine.load(t, &[(1, 30)]), Err(EngineError::DuplicateKey { .. })));
            assert_eq!(machine.update(t, 1, 40).unwrap(), Modified::Changed);
            assert_eq!(machine.delete(t, 1).unwrap(), Modified::Changed);
            assert_eq!(machine.load(t, &[(1, 50)]).unwrap(), 1, "deleted and loaded once more");
            assert_eq!(machine.rows_of(t), BTreeMap::from([(1, 50), (2, 20)]));
        });
        assert_eq!(machine.rows(), BTreeMap::from([(1, 50), (2, 20)]));
    }
}

#[test]
fn a_row_loaded_over_a_deleted_one_is_found_by_others_at_once() {
    let machine = Machine::new(by_hand());
    machine.commit(|t| assert_eq!(machine.insert(t, 1, 10).unwrap(), Inserted::Done));
    let mut old = machine.begin_as(Isolation::RepeatableRead);
    assert_eq!(machine.get(&mut old, 1), Some(10), "keeps the slot from being reclaimed");
    machine.commit(|t| assert_eq!(machine.delete(t, 1).unwrap(), Modified::Changed));
    machine.commit(|t| assert_eq!(machine.load(t, &[(1, 20)]).unwrap(), 1));
    machine.commit(|t| {
        assert_eq!(machine.rows_of(t), BTreeMap::from([(1, 20)]));
        assert_eq!(machine.insert(t, 1, 30).unwrap(), Inserted::Duplicate);
        assert_eq!(machine.update(t, 1, 40).unwrap(), Modified::Changed);
    });
    assert_eq!(machine.rows(), BTreeMap::from([(1, 40)]));
    assert_eq!(machine.get(&mut old, 1), Some(10));
    assert!(matches!(machine.update(&mut old, 1, 50), Err(EngineError::Conflict(_))));
}

#[test]
fn repeatable_read_does_not_change_a_row_that_was_loaded_in_the_place_of_the_one_it_sees() {
    let machine = Machine::new(by_hand());
    machine.commit(|t| {
        assert_eq!(machine.insert(t, 1, 10).unwrap(), Inserted::Done);
        assert_eq!(machine.insert(t, 2, 10).unwrap(), Inserted::Done);
    });
    let mut old = machine.begin_as(Isolation::RepeatableRead);
    machine.commit(|t| assert_eq!(machine.delete(t, 1).unwrap(), Modified::Changed));
    machine.commit(|t| assert_eq!(machine.load(t, &[(1, 20)]).unwrap(), 1));
    machine.engine().merge(None).unwrap();
    assert_eq!(machine.update(&mut old, 2, 30).unwrap(), Modified::Changed, "a row that was only moved is the same");
    assert!(matches!(machine.update(&mut old, 1, 30), Err(EngineError::Conflict(_))));
}

#[test]
fn a_load_over_a_deleted_row_leaves_nothing_when_it_is_rolled_back() {
    let machine = Machine::new(by_hand());
    machine.commit(|t| assert_eq!(machine.insert(t, 1, 10).unwrap(), Inserted::Done));
    machine.commit(|t| {
        assert_eq!(machine.delete(t, 1).unwrap(), Modified::Changed);
        let before = t.savepoint();
        assert_eq!(machine.load(t, &[(1, 20)]).unwrap(), 1);
        t.rollback_to(&before);
        assert_eq!(machine.get(t, 1), None);
        assert_eq!(machine.insert(t, 1, 30).unwrap(), Inserted::Done);
    });
    assert_eq!(machine.rows(), BTreeMap::from([(1, 30)]));
}

#[test]
fn a_row_loaded_over_a_deleted_one_and_changed_is_recovered_once() {
    let mut machine = Machine::new(by_hand());
    machine.commit(|t| {
        for k in 1..=3 {
            assert_eq!(machine.insert(t, k, 10).unwrap(), Inserted::Done);
        }
    });
    machine.commit(|t| {
        for k in 1..=3 {
            assert_eq!(machine.delete(t, k).unwrap(), Modified::Changed);
        }
    });
    machine.commit(|t| assert_eq!(machine.load(t, &[(1, 20), (2, 20), (3, 20)]).unwrap(), 3));
    machine.commit(|t| {
        assert_eq!(machine.update(t, 1, 30).unwrap(), Modified::Changed);
        assert_eq!(machine.delete(t, 2).unwrap(), Modified::Changed);
    });
    machine.kill().unwrap();
    assert_eq!(machine.rows(), BTreeMap::from([(1, 30), (3, 20)]));
    assert_eq!(machine.engine().check().unwrap(), []);
}

/// Compaction took a segment that was to be seen only from a later moment than the one it read its inputs at: at that moment the row
/// that the loaded one stands in for was still alive in another input.
#[test]
fn a_segment_that_nobody_sees_yet_is_not_compacted() {
    let machine = Machine::new(Options { compact_overlap: 2, ..by_hand() });
    machine.commit(|t| assert_eq!(machine.load(t, &[(1, 10), (2, 10)]).unwrap(), 2));
    let mut delete = machine.begin();
    assert_eq!(machine.delete(&mut delete, 1).unwrap(), Modified::Changed);
    assert_eq!(machine.load(&mut delete, &[(1, 20), (3, 20)]).unwrap(), 2);
    let not_durable_yet = delete.commit().unwrap();
    machine.engine().merge(None).unwrap();
    not_durable_yet.wait().unwrap();
    machine.engine().merge(None).unwrap();
    assert_eq!(machine.rows(), BTreeMap::from([(1, 20), (2, 10), (3, 20)]));
    assert_eq!(machine.engine().status().tables[0].segments, 1);
}

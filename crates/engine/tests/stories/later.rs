//! Commits that are acknowledged before they are on disk.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::Inserted;

use crate::support::{Machine, by_hand};

fn commit_later(machine: &Machine, k: i64) {
    let mut transaction = machine.begin();
    assert_eq!(machine.insert(&mut transaction, k, k).unwrap(), Inserted::Done);
    transaction.commit_later().unwrap().wait().unwrap();
}

fn commit(machine: &Machine, k: i64) {
    machine.commit(|t| assert_eq!(machine.insert(t, k, k).unwrap(), Inserted::Done));
}

fn keys(machine: &Machine) -> Vec<i64> {
    machine.rows().into_keys().collect()
}

#[test]
fn they_are_seen_at_once_and_on_disk_after_200_ms() {
    let mut machine = Machine::new(by_hand());
    commit_later(&machine, 1);
    assert_eq!(keys(&machine), [1]);
    machine.env.run_jobs(100);
    machine.env.advance(Duration::from_millis(200));
    machine.env.run_jobs(100);
    commit_later(&machine, 2);
    assert_eq!(keys(&machine), [1, 2]);
    machine.lose_power().unwrap();
    assert_eq!(keys(&machine), [1]);
}

#[test]
fn a_power_loss_takes_the_last_ones_and_none_before_a_commit_that_was_waited_for() {
    for waited_for in 0..4 {
        let mut machine = Machine::with_seed(waited_for as u64, by_hand());
        for k in 1..=5 {
            if k == waited_for { commit(&machine, k) } else { commit_later(&machine, k) }
        }
        machine.lose_power().unwrap();
        let kept = keys(&machine);
        assert!(kept.len() as i64 >= waited_for, "{kept:?}");
        assert_eq!(kept, (1..=kept.len() as i64).collect::<Vec<_>>(), "a beginning of them");
    }
}

/// The log would end before the place from which the manifest says that it goes on.
#[test]
fn a_checkpoint_takes_along_what_it_has_seen() {
    let mut machine = Machine::new(by_hand());
    commit_later(&machine, 1);
    machine.engine().checkpoint().unwrap();
    commit_later(&machine, 2);
    machine.lose_power().unwrap();
    assert_eq!(machine.rows(), BTreeMap::from([(1, 1)]));
    commit(&machine, 3);
    machine.kill().unwrap();
    assert_eq!(keys(&machine), [1, 3]);
}

#[test]
fn a_close_leaves_none_behind() {
    let mut machine = Machine::new(by_hand());
    commit_later(&machine, 1);
    machine.engine().close().unwrap();
    machine.lose_power().unwrap();
    assert_eq!(keys(&machine), [1]);
}

#[test]
fn a_change_of_the_catalog_and_a_load_are_waited_for() {
    let mut machine = Machine::new(by_hand());
    let mut transaction = machine.begin();
    machine.load(&mut transaction, &[(1, 1)]).unwrap();
    transaction.commit_later().unwrap().wait().unwrap();
    machine.lose_power().unwrap();
    assert_eq!(keys(&machine), [1]);
}

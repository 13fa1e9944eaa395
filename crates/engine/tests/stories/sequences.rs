//! Sequences do not go back: not by rollback, not by checkpoints, not by a crash.

use catalog::{Edit, Sequence};
use engine::Position;
use env::Env;
use types::{SchemaId, SqlType, TableId};

use crate::support::{Machine, by_hand};

fn sequence(id: u32, storage: u32, name: &str) -> Sequence {
    Sequence {
        id: TableId(id),
        schema: SchemaId(2200),
        name: name.into(),
        data_type: SqlType::Int8,
        increment: 1,
        min: 1,
        max: i64::MAX,
        start: 1,
        cache: 1,
        cycle: false,
        owner: None,
        storage: TableId(storage),
        first: 1,
    }
}

fn create(machine: &Machine, name: &str) -> Sequence {
    let mut created = None;
    machine.commit(|transaction| {
        let new = sequence(transaction.new_oid(), transaction.new_oid(), name);
        transaction.edit_catalog(Edit::CreateSequence(new.clone())).unwrap();
        created = Some(new);
    });
    created.unwrap()
}

fn next(machine: &Machine, sequence: &Sequence) -> i64 {
    let mut value = 0;
    machine.commit(|transaction| value = transaction.sequences().next(sequence).unwrap());
    value
}

#[test]
fn a_value_that_was_acknowledged_is_not_given_again() {
    for seed in 0..60 {
        let mut machine = Machine::with_seed(seed, by_hand());
        let sequences = [create(&machine, "a"), create(&machine, "b")];
        // The highest value that was given, of transactions that have ended; and when a commit was last acknowledged.
        let (mut ended, mut acknowledged) = ([0; 2], [0; 2]);
        let mut bytes = [0; 4];
        for step in 0..60 {
            machine.env.fill_random(&mut bytes);
            let which = usize::from(bytes[1] % 2);
            let transaction = machine.begin();
            let mut last = 0;
            for _ in 0..bytes[2] % 5 {
                last = transaction.sequences().next(&sequences[which]).unwrap();
                assert!(last > ended[which], "seed {seed}, step {step}: {last} was given before");
                ended[which] = last;
            }
            match bytes[0] % 8 {
                0 => drop(transaction),
                1 => {
                    // One whose commit is not waited for.
                    drop(transaction.commit().unwrap());
                }
                2 => {
                    drop(transaction);
                    machine.engine().checkpoint().unwrap();
                }
                3 | 4 => {
                    drop(transaction);
                    if bytes[3] % 2 == 0 {
                        machine.kill().unwrap()
                    } else {
                        machine.lose_power().unwrap()
                    }
                    for (sequence, acknowledged) in sequences.iter().zip(&acknowledged) {
                        let at = machine.begin().sequences().position(sequence);
                        let given = if at.called { at.value } else { 0 };
                        assert!(given >= *acknowledged, "seed {seed}, step {step}: {acknowledged} was acknowledged, now {given}");
                    }
                    // What nobody was told of may be given again.
                    ended = acknowledged;
                }
                _ => {
                    transaction.commit().unwrap().wait().unwrap();
                    // A transaction that took nothing has nothing in the log to wait for.
                    if last > 0 {
                        acknowledged = ended;
                    }
                }
            }
        }
    }
}

#[test]
fn a_restart_is_undone_with_its_transaction_and_values_are_not() {
    let mut machine = Machine::new(by_hand());
    let before = create(&machine, "s");
    assert_eq!([next(&machine, &before), next(&machine, &before)], [1, 2]);
    let mut transaction = machine.begin();
    let restarted = Sequence { storage: TableId(transaction.new_oid()), first: 100, ..before.clone() };
    transaction.edit_catalog(Edit::AlterSequence(restarted.clone())).unwrap();
    assert_eq!(transaction.sequences().next(&restarted).unwrap(), 100);
    transaction.rollback();
    assert_eq!(next(&machine, &before), 3);
    machine.commit(|transaction| {
        transaction.edit_catalog(Edit::AlterSequence(restarted.clone())).unwrap();
        transaction.sequences().set(&restarted, Position { value: 200, called: false }).unwrap();
    });
    machine.engine().checkpoint().unwrap();
    machine.kill().unwrap();
    assert_eq!([next(&machine, &restarted), next(&machine, &restarted)], [200, 201]);
    machine.lose_power().unwrap();
    assert_eq!(next(&machine, &restarted), 202);
}

/// Each rollback would leave one.
#[test]
fn counters_of_sequences_that_are_gone_are_forgotten() {
    let machine = Machine::new(by_hand());
    let kept = create(&machine, "kept");
    assert_eq!(next(&machine, &kept), 1);
    let mut transaction = machine.begin();
    let undone = sequence(transaction.new_oid(), transaction.new_oid(), "undone");
    transaction.edit_catalog(Edit::CreateSequence(undone.clone())).unwrap();
    assert_eq!(transaction.sequences().next(&undone).unwrap(), 1);
    machine.engine().checkpoint().unwrap();
    assert_eq!(transaction.sequences().next(&undone).unwrap(), 2, "it is still in use");
    transaction.rollback();
    machine.commit(|transaction| assert_eq!(transaction.sequences().next(&kept).unwrap(), 2));
    machine.engine().checkpoint().unwrap();
    let at = machine.begin().sequences().position(&undone);
    assert_eq!(at, Position { value: 1, called: false }, "as if it had never been");
}

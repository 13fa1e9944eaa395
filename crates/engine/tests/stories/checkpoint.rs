//! Checkpoints that fail, and what they leave behind.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use engine::{Begin, Engine, EngineError, Inserted, Modified, Options};
use env::{Env, Fault, Operation, SimEnv};
use parking_lot::Mutex;

use crate::support::{AtLink, Machine, by_hand, dir};

/// The manifest had its name but its directory could not be synced. The next attempt, of the same version, replaced the dump that it
/// names; after a restart the dump did not match. For lack of room, too, where that was taken for a manifest that surely does not count.
#[test]
fn after_a_manifest_that_may_count_or_not_nothing_is_written_until_a_restart() {
    const ENOSPC: i32 = 28;
    let mut closed = 0;
    for (call, is_full) in (1..8).flat_map(|call| [(call, false), (call, true)]) {
        let mut machine = Machine::new(by_hand());
        machine.commit(|t| assert_eq!(machine.insert(t, 1, 10).unwrap(), Inserted::Done));
        machine.env.set_fault(Fault::Once { operation: Some(Operation::SyncDir), call });
        if is_full {
            machine.env.fail_with(ENOSPC);
        }
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
    assert_eq!(closed, 2);
}

/// The reserve was given up for a second attempt, also when the first had named its manifest.
#[test]
fn room_is_no_reason_to_make_a_manifest_again_that_may_count() {
    const ENOSPC: i32 = 28;
    let mut closed = 0;
    for call in 1..8 {
        let mut machine = Machine::new(Options { maintenance: true, reserve_bytes: 64 << 10, ..by_hand() });
        machine.env.advance(Duration::from_secs(20));
        assert!(machine.env.exists(&dir().join("RESERVE")).unwrap());
        machine.commit(|t| assert_eq!(machine.insert(t, 1, 10).unwrap(), Inserted::Done));
        machine.env.set_fault(Fault::Once { operation: Some(Operation::SyncDir), call });
        machine.env.fail_with(ENOSPC);
        closed += usize::from(machine.engine().checkpoint().is_err());
        machine.kill().unwrap();
        assert_eq!(machine.rows(), BTreeMap::from([(1, 10)]), "call {call}");
    }
    assert_eq!(closed, 1);
}

/// Whoever asked for the status waited until all dumps were written.
#[test]
fn the_status_can_be_read_while_a_checkpoint_is_made() {
    let env = Arc::new(AtLink { inner: SimEnv::new(1), first: Mutex::default() });
    let engine = Engine::open(Arc::clone(&env) as Arc<dyn Env>, dir(), by_hand()).unwrap();
    let mut transaction = engine.begin(Begin::default());
    transaction.begin_statement();
    let id = transaction.new_oid();
    transaction.edit_catalog(catalog::Edit::CreateTable(crate::support::definition(id))).unwrap();
    transaction.commit().unwrap().wait().unwrap();
    let (tell, told) = mpsc::channel();
    let (asked, answered) = (Arc::clone(&engine), mpsc::channel());
    *env.first.lock() = Some(Box::new(move || {
        let (answer, answers) = answered;
        std::thread::spawn(move || answer.send(asked.status().checkpoint));
        tell.send(answers.recv_timeout(Duration::from_secs(5))).unwrap();
    }));
    engine.checkpoint().unwrap();
    let before = told.recv().unwrap().expect("the status is told at once");
    assert!(engine.status().checkpoint > before);
}

/// A dropped table is in no manifest, and only folders of tables in the manifest were looked at.
#[test]
fn a_checkpoint_removes_the_dumps_and_deletion_vectors_of_dropped_tables() {
    let machine = Machine::new(by_hand());
    let rows: Vec<(i64, i64)> = (0..3000).map(|k| (k, 10)).collect();
    machine.commit(|t| assert_eq!(machine.load(t, &rows).unwrap(), 3000));
    machine.commit(|t| {
        for k in (0..3000).step_by(2) {
            assert_eq!(machine.delete(t, k).unwrap(), Modified::Changed);
        }
        assert_eq!(machine.insert(t, 3000, 10).unwrap(), Inserted::Done);
    });
    machine.engine().checkpoint().unwrap();
    let of_checkpoint = || machine.files().into_iter().filter(|name| name.ends_with(".rows") || name.ends_with(".dv")).count();
    assert_eq!(of_checkpoint(), 2, "{:?}", machine.files());
    machine.commit(|t| t.edit_catalog(catalog::Edit::DropTable(machine.table().0)).unwrap());
    machine.engine().checkpoint().unwrap();
    assert_eq!(of_checkpoint(), 0, "{:?}", machine.files());
}

/// When old log files could not be removed, what the checkpoint had made unneeded was still counted: the next one was due at once, had
/// nothing to do, and so on, in a loop.
#[test]
fn a_checkpoint_counts_even_if_old_log_files_cannot_be_removed() {
    let mut machine = Machine::new(Options { wal_file_bytes: 8192, ..by_hand() });
    for k in 0..40 {
        machine.commit(|t| assert_eq!(machine.insert(t, k, k).unwrap(), Inserted::Done));
    }
    // Log files of another size are not used again.
    machine.options.wal_file_bytes = 64 << 10;
    machine.kill().unwrap();
    assert!(machine.engine().status().wal_bytes > 0);
    machine.env.set_fault(Fault::Always { operation: Some(Operation::Unlink), call: 1 });
    assert!(machine.engine().checkpoint().is_err());
    assert_eq!(machine.engine().status().wal_bytes, 0);
}

/// Every start redid all log of the run before, however cleanly it had ended.
#[test]
fn after_a_clean_close_next_to_nothing_is_redone() {
    let mut machine = Machine::new(by_hand());
    let rows: BTreeMap<i64, i64> = (0..80_000).map(|k| (k, k)).collect();
    machine.commit(|t| rows.iter().for_each(|(k, v)| assert_eq!(machine.insert(t, *k, *v).unwrap(), Inserted::Done)));
    assert!(machine.engine().status().wal_bytes > 1 << 20);
    machine.engine().checkpoint_to_close().unwrap();
    machine.engine().close().unwrap();
    machine.kill().unwrap();
    assert_eq!(machine.engine().status().wal_bytes, 0);
    assert_eq!(machine.rows(), rows);

    // For a short log the time is not taken.
    let before = machine.engine().status().checkpoint;
    machine.commit(|t| assert_eq!(machine.insert(t, -1, 0).unwrap(), Inserted::Done));
    machine.engine().checkpoint_to_close().unwrap();
    assert_eq!(machine.engine().status().checkpoint, before);
}

/// On a full disk a log with files to give back stayed full: nobody made the checkpoint, and had one been made, it would have had no room for
/// its own files.
#[test]
fn on_a_full_disk_checkpoints_have_room_and_give_the_log_its_files_back() {
    let options = Options { maintenance: true, wal_file_bytes: 16 << 10, reserve_bytes: 256 << 10, ..by_hand() };
    let machine = Machine::new(options);
    let reserve = dir().join("RESERVE");
    assert!(!machine.env.exists(&reserve).unwrap(), "a short command does not wait for it");
    machine.env.advance(Duration::from_secs(20));
    assert_eq!(env::read_file(machine.env.as_ref(), &reserve).unwrap(), vec![0; 256 << 10]);
    machine.env.disk_full_after(0);
    let (mut expected, mut refused) = (BTreeMap::new(), 0);
    while expected.len() < 400 {
        let k = expected.len() as i64;
        let mut transaction = machine.begin();
        assert_eq!(machine.insert(&mut transaction, k, k).unwrap(), Inserted::Done);
        match transaction.commit() {
            Ok(commit) => {
                commit.wait().unwrap();
                expected.insert(k, k);
            }
            Err(error) => {
                refused += 1;
                assert!(refused < 100, "after {k} commits: {error}");
                machine.env.advance(Duration::from_millis(300));
            }
        }
    }
    assert!(refused > 0 && !machine.env.exists(&reserve).unwrap());
    assert_eq!(machine.rows(), expected);
    machine.env.free_space();
    machine.env.advance(Duration::from_secs(20));
    assert!(machine.env.exists(&reserve).unwrap(), "it is made again");
    // What a crash leaves of it is made anew.
    let mut machine = machine;
    machine.env.open(&reserve, env::OpenMode::Write).unwrap().set_len(1000).unwrap();
    machine.kill().unwrap();
    machine.env.advance(Duration::from_secs(20));
    assert_eq!(machine.env.open(&reserve, env::OpenMode::Read).unwrap().len().unwrap(), 256 << 10);
    assert_eq!(machine.rows(), expected);
}

//! Recovery beside what earlier lives of the process have left in the folders.

use std::sync::Arc;

use engine::{Begin, Engine, Inserted, Options};
use env::{Env, SimEnv};

use crate::support::{Machine, by_hand, dir};

/// A freeze of redone rows took the next segment id after the manifest's, which a file already had: one of a freeze before the crash,
/// or of the recovery before this one. No later opening did better.
#[test]
fn recovery_freezes_rows_beside_the_files_of_freezes_that_no_manifest_has() {
    let mut machine = Machine::new(by_hand());
    for k in 0..1100 {
        machine.commit(|t| assert_eq!(machine.insert(t, k, k).unwrap(), Inserted::Done));
    }
    let rows = machine.rows();
    machine.engine().merge(None).unwrap();
    machine.options.delta_bytes_max = 60_000;
    for _ in 0..2 {
        machine.kill().unwrap();
        assert_eq!(machine.rows(), rows);
        assert_eq!(machine.engine().status().tables[0].segments, 1, "redo has frozen rows");
    }
    machine.engine().checkpoint().unwrap();
    machine.kill().unwrap();
    assert_eq!(machine.rows(), rows);
    assert_eq!(machine.files().iter().filter(|name| name.ends_with(".parquet")).count(), 1, "{:?}", machine.files());
}

/// Recovery from a manifest that was readable but not durable removed the log before it. When the power failed then, the manifest was
/// that of before, and its log was missing.
#[test]
fn no_log_is_removed_before_the_manifest_that_replaces_it_is_durable() {
    for (seed, in_checkpoint, in_recovery) in (0..8).flat_map(|s| (10..16).flat_map(move |c| (3..9).map(move |r| (s, c, r)))) {
        let mut machine = Machine::with_seed(seed, Options { wal_file_bytes: 8192, ..by_hand() });
        for k in 0..40 {
            machine.commit(|t| assert_eq!(machine.insert(t, k, k).unwrap(), Inserted::Done));
        }
        let rows = machine.rows();
        machine.env.set_crash_at(in_checkpoint);
        drop(machine.engine().checkpoint());
        // Log files of another size are not used again.
        machine.options.wal_file_bytes = 64 << 10;
        machine.kill_and_lose_power_in_recovery(in_recovery).unwrap();
        assert_eq!(machine.rows(), rows, "{seed} {in_checkpoint} {in_recovery}");
    }
}

/// Who made the directory was killed when `FORMAT` had its name and that was not durable. The next process took it for made; a power loss
/// then took the name, and the directory was refused for good.
#[test]
fn a_directory_is_found_again_wherever_its_making_was_interrupted() {
    for calls in 0..200 {
        let env = SimEnv::new(calls);
        env.set_crash_at(calls);
        let made = Engine::open(Arc::clone(&env) as Arc<dyn Env>, dir(), by_hand());
        let is_made = made.is_ok() && !env.has_crashed();
        let env = env.process_kill();
        drop(made);
        let engine = Engine::open(Arc::clone(&env) as Arc<dyn Env>, dir(), by_hand()).unwrap();
        let mut transaction = engine.begin(Begin::default());
        transaction.begin_statement();
        let id = transaction.new_oid();
        transaction.edit_catalog(catalog::Edit::CreateTable(crate::support::definition(id))).unwrap();
        transaction.commit().unwrap().wait().unwrap();
        let env = env.power_loss();
        drop(engine);
        let engine = Engine::open(Arc::clone(&env) as Arc<dyn Env>, dir(), by_hand());
        let engine = engine.unwrap_or_else(|error| panic!("stopped after {calls} calls: {error}"));
        assert!(engine.catalog().table_by_id(types::TableId(id)).is_some(), "stopped after {calls} calls");
        if is_made {
            return;
        }
    }
    panic!("a directory is made in 200 calls");
}

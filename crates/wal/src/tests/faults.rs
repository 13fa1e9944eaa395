use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use env::{Fault, Operation};

use super::*;

/// Appends records of 1,000 bytes until something fails; returns how many became durable, and the failure.
fn append_until_failure(wal: &Wal) -> (usize, WalError) {
    let mut ends = Vec::new();
    loop {
        let outcome = wal.append(&[&[ends.len() as u8; 1000]]).and_then(|end| {
            wal.wait_durable(end)?;
            Ok(end)
        });
        match outcome {
            Ok(end) => ends.push(end),
            Err(error) => return (ends.len(), error),
        }
    }
}

fn assert_holds(env: &Arc<SimEnv>, at_least: usize, at_most: usize) {
    let (_, replayed) = open(env);
    assert!((at_least..=at_most).contains(&replayed.len()), "{at_least}..={at_most}: {}", replayed.len());
    assert!(replayed.iter().enumerate().all(|(n, (_, record))| *record == [n as u8; 1000]));
}

#[test]
fn a_failed_write_or_sync_closes_the_log_for_good() {
    for operation in [Operation::Write, Operation::SyncData, Operation::SyncDir, Operation::Create] {
        for call in 1..40 {
            let env = SimEnv::new(call);
            let (wal, _) = open(&env);
            let (told, in_callback) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let counter = told.clone();
            wal.on_durable(Box::new(move |lsn| {
                assert!(in_callback.fetch_add(usize::from(lsn.is_err()), Ordering::Relaxed) == 0, "nothing after the failure");
                counter.fetch_add(usize::from(lsn.is_err()), Ordering::Relaxed);
            }));
            env.set_fault(Fault::Once { operation: Some(operation), call });
            let (durable, error) = append_until_failure(&wal);
            assert!(matches!(error, WalError::Closed { .. }), "{error}");
            assert!(error.to_string().contains("Input/output error"), "{error}");
            env.run_jobs(10);
            assert_eq!(told.load(Ordering::Relaxed), 1);
            // The fault was a passing one; the log stays closed all the same.
            env.advance(Duration::from_secs(10));
            assert!(matches!(wal.append(&[b"x"]), Err(WalError::Closed { .. })));
            assert!(matches!(wal.wait_durable(Lsn(u64::MAX)), Err(WalError::Closed { .. })));
            assert!(matches!(wal.close(), Err(WalError::Closed { .. })));
            wal.on_durable(Box::new(|lsn| assert!(lsn.is_err())));
            drop(wal);
            assert_holds(&env.crash_clone(call), durable, durable + 1);
            assert_holds(&env, durable, durable + 1);
        }
    }
}

/// A sync failed, and the next process found the group in the page cache, took it for durable and showed it to readers; a power loss
/// then took it from them.
#[test]
fn what_a_failed_sync_has_not_saved_is_not_replayed_from_memory() {
    let mut dropped = 0;
    for call in 1..60 {
        let env = SimEnv::new(call);
        let (wal, _) = open(&env);
        env.set_fault(Fault::Once { operation: Some(Operation::SyncData), call });
        let (durable, _) = append_until_failure(&wal);
        drop(wal);
        let env = env.process_kill();
        let (wal, replayed) = open(&env);
        dropped += usize::from(replayed.len() == durable);
        drop(wal);
        assert_eq!(open(&env.power_loss()).1, replayed, "call {call}");
        assert!((durable..=durable + 1).contains(&replayed.len()), "call {call}");
    }
    assert!(dropped > 10, "{dropped}");
}

#[test]
fn a_failed_call_during_opening_is_an_error_and_the_next_opening_is_well() {
    for call in 1..60 {
        let env = SimEnv::new(call);
        let (wal, _) = open(&env);
        for n in 0..30u8 {
            wal.append(&[&[n; 1000]]).unwrap();
        }
        env.run_jobs(12);
        let durable = wal.durable().0 as usize / 1004;
        let env = env.power_loss();
        env.set_fault(Fault::Once { operation: None, call });
        let outcome = open_from(&env, Lsn(0));
        assert!(!matches!(outcome, Err(WalError::Damaged { .. } | WalError::Missing { .. })));
        if let Err(error) = outcome {
            assert!(error.to_string().contains("Input/output error"), "{error}");
        }
        env.clear_faults();
        assert_holds(&env, durable, 30);
    }
}

#[test]
fn a_full_disk_refuses_what_has_no_place_and_is_well_again_when_there_is_space() {
    for pages in 0..24 {
        let env = SimEnv::new(pages);
        env.disk_full_after(4096 * pages);
        let (wal, _) = match open_from(&env, Lsn(0)) {
            Ok(opened) => opened,
            Err(error) => panic!("an empty log needs no space: {error}"),
        };
        let (before, error) = append_until_failure(&wal);
        assert!(matches!(error, WalError::DiskFull { .. }), "{error}");
        let files = pages as usize / 4;
        assert!((9 * files..=10 * files).contains(&before), "{before} records in {files} files");
        for _ in 0..3 {
            assert!(matches!(wal.append(&[&[0; 1000]]), Err(WalError::DiskFull { .. })));
            env.advance(Duration::from_millis(700));
        }
        wal.wait_durable(wal.end()).unwrap();
        let after_crash = env.crash_clone(pages);
        assert_holds(&after_crash, before, before);
        // Space comes back.
        env.free_space();
        env.advance(Duration::from_millis(200));
        for n in before..before + 30 {
            let end = wal.append(&[&[n as u8; 1000]]).unwrap();
            wal.wait_durable(end).unwrap();
        }
        assert_holds(&env.power_loss(), before + 30, before + 30);
    }
}

#[test]
fn a_full_disk_leaves_no_half_made_file_and_one_spare_at_most() {
    let env = SimEnv::new(1);
    let (wal, _) = open(&env);
    wal.append(&[b"x"]).unwrap();
    env.run_jobs(1000);
    env.disk_full_after(70_000);
    let error = wal.append(&[&[1; 200_000]]).unwrap_err();
    assert!(matches!(error, WalError::DiskFull { .. }), "{error}");
    assert_eq!(files(&env).iter().map(|(_, len)| *len).collect::<Vec<_>>(), [16 << 10; 2]);
    let end = wal.append(&[&[1; 10_000]]).unwrap();
    wal.wait_durable(end).unwrap();
    // What a truncation gives back can be used at once.
    while wal.append(&[&[1; 1000]]).is_ok() {}
    wal.wait_durable(wal.end()).unwrap();
    wal.truncate_below(wal.end()).unwrap();
    let end = wal.append(&[&[2; 1000]]).unwrap();
    wal.wait_durable(end).unwrap();
    assert_eq!(open_from(&env.power_loss(), Lsn(end.0 - 1004)).unwrap().1, [(end, vec![2; 1000])]);
}

#[test]
fn no_record_that_was_taken_is_ever_refused_by_a_full_disk() {
    for seed in 0..100 {
        let mut random = SmallRng::seed_from_u64(seed);
        let env = SimEnv::new(seed);
        let (wal, _) = open(&env);
        env.disk_full_after(random.random_range(0..400_000));
        let mut taken = 0;
        for _ in 0..200 {
            let len = if random.random_range(0..30) == 0 { random.random_range(0..60_000) } else { random.random_range(0..900) };
            match wal.append(&[&vec![1; len]]) {
                Ok(_) => taken += 1,
                Err(error) => assert!(matches!(error, WalError::DiskFull { .. }), "seed {seed}: {error}"),
            }
            env.run_jobs(random.random_range(0..3));
        }
        wal.wait_durable(wal.end()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(open(&env.power_loss()).1.len(), taken, "seed {seed}");
    }
}

/// The costs that are promised must cover a record that spans many files, to the byte.
#[test]
fn a_record_that_just_fits_into_many_files_fits() {
    let mut taken = 0;
    for len in (225_000..240_000).step_by(61) {
        let env = SimEnv::new(1);
        let (wal, _) = open(&env);
        env.disk_full_after(20 * (16 << 10));
        match wal.append(&[&vec![1; len]]) {
            Ok(end) => {
                wal.wait_durable(end).unwrap_or_else(|error| panic!("{len} bytes: {error}"));
                taken += 1;
            }
            Err(error) => assert!(matches!(error, WalError::DiskFull { .. }), "{len} bytes: {error}"),
        }
    }
    assert!(0 < taken && taken < 15_000 / 61, "{taken}");
}

/// Wherever the machine stops while it makes a file: what is later taken for a spare has its space.
#[test]
fn a_spare_found_after_a_crash_has_all_its_space() {
    for call in 0..24 {
        let env = SimEnv::new(call);
        env.create_dir_all(Path::new(DIR)).unwrap();
        env.set_crash_at(call);
        if let Ok((wal, _)) = open_from(&env, Lsn(0)) {
            env.run_jobs(50);
            drop(wal);
        }
        for seed in 0..200 {
            let env = env.crash_clone(seed);
            let (wal, _) = open(&env);
            env.disk_full_after(0);
            let (_, error) = append_until_failure(&wal);
            assert!(matches!(error, WalError::DiskFull { .. }), "crash at {call}, outcome {seed}: {error}");
        }
    }
}

/// A callback holds up the writer. If it waits in turn, in an append that needs a file, nobody but the preparer can say that there
/// will be none.
#[test]
fn an_append_that_waits_for_a_file_is_told_of_the_failure_without_the_writer() {
    let env = SimEnv::new(1);
    let wal = Arc::new(open(&env).0);
    let (weak, outcomes) = (Arc::downgrade(&wal), Arc::new(AtomicUsize::new(0)));
    let in_callback = outcomes.clone();
    wal.on_durable(Box::new(move |lsn| {
        if let (Ok(_), Some(wal)) = (lsn, weak.upgrade()) {
            let error = wal.append(&[&[1; 100_000]]).unwrap_err();
            assert!(matches!(error, WalError::Closed { .. }), "{error}");
            in_callback.fetch_add(1, Ordering::Relaxed);
        }
    }));
    let end = wal.append(&[b"x"]).unwrap();
    env.set_fault(Fault::Always { operation: Some(Operation::Create), call: 1 });
    wal.wait_durable(end).unwrap();
    assert_eq!(outcomes.load(Ordering::Relaxed), 1);
}

/// The next file was taken for part of the log before its header was on disk, and the file before it, full to the last byte and no
/// longer needed, was removed: nothing on disk told where the log goes on.
#[test]
fn a_file_is_not_given_up_before_the_next_one_has_its_header() {
    for len in 0..1200 {
        let env = SimEnv::new(len);
        let open = |env: &Arc<SimEnv>, file_bytes, from| {
            Wal::open(env.clone(), Options { file_bytes, ..options() }, from, &mut |_, _| Ok(()))
        };
        // Files of another size are removed, not used again.
        let wal = open(&env, 8192, Lsn(0)).unwrap();
        wal.append(&[b"first"]).unwrap();
        wal.close().unwrap();
        drop(wal);
        let wal = open(&env, 16 << 10, Lsn(0)).unwrap();
        wal.append(&[&[1; 5000]]).unwrap();
        let end = wal.append(&[&vec![2; len as usize]]).unwrap();
        wal.wait_durable(end).unwrap();
        env.set_fault(Fault::Always { operation: Some(Operation::Write), call: 1 });
        let failed = wal.append(&[b"x"]).and_then(|end| wal.wait_durable(end));
        assert!(failed.is_err());
        env.clear_faults();
        wal.truncate_below(end).unwrap();
        drop(wal);
        open(&env.power_loss(), 16 << 10, end).unwrap();
    }
}

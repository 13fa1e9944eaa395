use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use env::{Fault, Operation, RealEnv};
use parking_lot::Mutex;

use super::*;

#[test]
fn records_come_back_in_order_with_their_positions() {
    let env = SimEnv::new(1);
    let (wal, replayed) = open(&env);
    assert_eq!((replayed.len(), wal.end(), wal.durable()), (0, Lsn(0), Lsn(0)));
    let records: [&[&[u8]]; 5] = [&[b"a"], &[b"", b"bc", b"d"], &[], &[&[7; 5000]], &[b"last"]];
    let ends: Vec<Lsn> = records.iter().map(|record| wal.append(record).unwrap()).collect();
    assert_eq!(ends, [5, 12, 16, 5020, 5028].map(Lsn));
    assert_eq!(wal.end(), ends[4]);
    wal.wait_durable(ends[1]).unwrap();
    assert!(wal.durable() >= ends[1]);
    wal.close().unwrap();
    assert_eq!(wal.durable(), ends[4]);
    let expected: Vec<Replayed> = ends.iter().copied().zip(records.iter().map(|record| record.concat())).collect();
    for (n, from) in [Lsn(0)].into_iter().chain(ends).enumerate() {
        let (wal, replayed) = open_from(&env, from).unwrap();
        assert_eq!(replayed, expected[n..]);
        assert_eq!((wal.end(), wal.durable()), (Lsn(5028), Lsn(5028)));
    }
}

#[test]
fn a_group_is_everything_that_waits_and_costs_one_write_and_one_sync() {
    let env = SimEnv::new(1);
    let (wal, _) = open(&env);
    wal.append(&[b"first"]).unwrap();
    env.run_jobs(100);
    let announced: Arc<Mutex<Vec<Lsn>>> = Arc::default();
    let in_callback = announced.clone();
    wal.on_durable(Box::new(move |lsn| in_callback.lock().push(lsn.unwrap())));
    let before = env.mutations();
    let ends: Vec<Lsn> = (0..100).map(|_| wal.append(&[b"record"]).unwrap()).collect();
    wal.wait_durable(ends[0]).unwrap();
    assert_eq!(wal.durable(), ends[99]);
    assert_eq!(*announced.lock(), [ends[99]]);
    assert_eq!(env.mutations() - before, 2);
    wal.close().unwrap(); // not to be told of an end by a drop
}

#[test]
fn a_lazy_record_waits_for_a_while_or_for_one_that_is_not() {
    let env = SimEnv::new(1);
    let (wal, _) = open(&env);
    let first = wal.append_lazily(&[b"lazy"]).unwrap();
    env.run_jobs(100);
    env.advance(Duration::from_millis(199));
    env.run_jobs(100);
    assert!(wal.durable() < first);
    let second = wal.append_lazily(&[b"no longer"]).unwrap();
    env.advance(Duration::from_millis(1));
    env.run_jobs(100);
    assert_eq!(wal.durable(), second, "the first has waited for 200 ms");
    wal.append_lazily(&[b"lazy"]).unwrap();
    let urgent = wal.append(&[b"urgent"]).unwrap();
    env.run_jobs(100);
    assert_eq!(wal.durable(), urgent);
    let waited_for = wal.append_lazily(&[b"waited for"]).unwrap();
    wal.wait_durable(waited_for).unwrap();
    let here = [wal.append_lazily(&[b"lazy"]).unwrap(), wal.stage(&[b"own"]).unwrap()];
    wal.write_here();
    assert_eq!(wal.durable(), here[1]);
    let many: Vec<Lsn> = (0..30).map(|_| wal.append_lazily(&[&[7; 1000]]).unwrap()).collect();
    assert!(wal.durable() >= many[10], "there is no room for all of them to wait");
    wal.append_lazily(&[b"last"]).unwrap();
    wal.close().unwrap();
    assert_eq!(wal.durable(), wal.end());
}

#[test]
fn a_record_is_written_in_the_thread_that_asks_and_marked_by_the_job() {
    let env = SimEnv::new(1);
    let (wal, _) = open(&env);
    let first = wal.append(&[b"first"]).unwrap();
    env.run_jobs(100);
    env.advance(Duration::from_millis(60));
    env.run_jobs(100);
    let before = env.mutations();
    let end = wal.stage(&[b"own"]).unwrap();
    env.run_jobs(100);
    assert_eq!((wal.durable(), env.mutations() - before), (first, 0), "nobody was told of it");
    wal.write_here();
    assert_eq!((wal.durable(), env.mutations() - before), (end, 2));
    let written = env.monotonic();
    env.run_jobs(100);
    assert_eq!(env.mutations() - before, 4, "the mark and the witness");
    assert!(env.monotonic() - written >= Duration::from_millis(50), "only at rest");
    let long = wal.stage(&[&[1; 100_000]]).unwrap();
    wal.write_here();
    assert!(wal.durable() < long, "a long one is the job's");
    wal.wait_durable(long).unwrap();
}

/// Nobody's record is left behind when the one who writes is not the one who was woken.
#[test]
fn many_threads_write_for_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let wal = Wal::open(RealEnv::new(), Options::new(dir.path().join("log")), Lsn(0), &mut |_, _| Ok(())).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let wal = &wal;
            scope.spawn(move || {
                for n in 0..500 {
                    let here = (n + thread) % 3 != 0;
                    let append = if here { Wal::stage } else { Wal::append };
                    let end = append(wal, &[&[n as u8; 50]]).unwrap();
                    if here {
                        wal.write_here();
                    }
                    wal.wait_durable(end).unwrap();
                }
            });
        }
    });
    assert_eq!(wal.durable(), Lsn(4 * 500 * 54));
    wal.close().unwrap();
}

#[test]
fn records_longer_than_files_and_buffer_go_through() {
    let env = SimEnv::new(1);
    let (wal, _) = open(&env);
    let records: Vec<Vec<u8>> = [1, 100_000, 3, 40_000, 16_384, 7].map(|len| vec![len as u8; len]).into();
    for record in &records {
        wal.append(&[record]).unwrap();
    }
    wal.close().unwrap();
    assert!(files(&env).len() > 9);
    let (_, replayed) = open(&env);
    assert_eq!(replayed.into_iter().map(|(_, record)| record).collect::<Vec<_>>(), records);
    let too_long = vec![&[0u8; 1 << 20][..]; 2049];
    assert!(matches!(wal.append(&too_long), Err(WalError::TooLong { bytes: 2_148_532_224 })));
}

#[test]
fn a_record_over_several_files_does_not_rest_between_them() {
    let env = SimEnv::new(1);
    let (wal, _) = open(&env);
    let end = wal.append(&[&[1; 60_000]]).unwrap();
    let before = env.monotonic();
    wal.wait_durable(end).unwrap();
    assert!(env.monotonic() - before < Duration::from_millis(10));
}

#[test]
fn an_append_waits_while_the_buffer_is_full() {
    let env = SimEnv::new(1);
    let (wal, _) = open(&env);
    let mut most = 0;
    for _ in 0..200 {
        wal.append(&[&[1; 700]]).unwrap();
        most = most.max(wal.end().0 - wal.durable().0);
    }
    assert!(8000 < most && most <= options().buffer_bytes_max as u64, "{most}");
}

#[test]
fn truncation_gives_whole_files_back_and_keeps_what_is_needed() {
    let env = SimEnv::new(1);
    let (wal, _) = open(&env);
    let mut ends = vec![Lsn(0)];
    for round in 0..40u64 {
        for n in 0..10 {
            ends.push(wal.append(&[&[n; 900]]).unwrap());
        }
        let below = ends[ends.len() - 4];
        wal.wait_durable(below).unwrap();
        wal.truncate_below(below).unwrap();
        assert!(files(&env).len() <= 4, "files are used again");
        if round % 7 == 0 {
            let (_, replayed) = open_from(&env.crash_clone(round), below).unwrap();
            assert!(replayed.iter().map(|(end, _)| *end).eq(ends[ends.len() - 3..][..replayed.len()].iter().copied()));
        }
    }
    wal.close().unwrap();
    let n = ends.len();
    let (_, replayed) = open_from(&env, ends[n - 4]).unwrap();
    assert_eq!(replayed.iter().map(|(end, _)| *end).collect::<Vec<_>>(), ends[n - 3..]);
    let needed_too_much = open_from(&env, ends[5]).err().unwrap();
    assert!(matches!(needed_too_much, WalError::Missing { from, .. } if from == ends[5]), "{needed_too_much}");
}

#[test]
fn a_file_used_again_has_another_salt() {
    let env = SimEnv::new(1);
    let (wal, _) = open(&env);
    let mut salts = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let end = wal.append(&[&[1; 9000]]).unwrap();
        wal.wait_durable(end).unwrap();
        wal.truncate_below(end).unwrap();
        for (path, _) in files(&env) {
            let mut header = [0; 512];
            handle(&env, &path).read_at(&mut header, 0).unwrap();
            if let crate::frame::FileHeader::Valid { salt, first: Some(_) } = crate::frame::decode_file_header(&header) {
                salts.insert(salt);
            }
        }
    }
    assert!(files(&env).len() < 5 && salts.len() >= 10, "{} files, {} salts", files(&env).len(), salts.len());
}

#[test]
fn truncation_never_takes_what_is_not_below() {
    for lsn in [0, 30_000, 30_001, u64::MAX] {
        let env = SimEnv::new(1);
        let (wal, _) = open(&env);
        let ends: Vec<Lsn> = (0..100).map(|n| wal.append(&[&[n; 996]]).unwrap()).collect();
        wal.wait_durable(ends[99]).unwrap();
        wal.truncate_below(Lsn(lsn)).unwrap();
        wal.close().unwrap();
        let from = if lsn > 100_000 { ends[99] } else { Lsn(lsn / 1000 * 1000) };
        let (_, replayed) = open_from(&env, from).unwrap();
        assert_eq!(replayed.len() as u64, (100_000 - from.0) / 1000);
    }
}

#[test]
fn files_given_up_are_removed_if_there_are_too_many_or_the_size_has_changed() {
    let env = SimEnv::new(1);
    let (wal, _) = open(&env);
    for n in 0..60 {
        wal.append(&[&[n; 12_000]]).unwrap();
    }
    let end = wal.append(&[b"end"]).unwrap();
    wal.wait_durable(end).unwrap();
    let before = files(&env).len();
    assert!(before > 40);
    let (_, replayed) = {
        let copy = env.crash_clone(0);
        let opened = open_from(&copy, end).unwrap();
        assert!(files(&copy).len() <= crate::shared::SPARES_MAX + 2, "opening gives up what is below");
        opened
    };
    assert_eq!(replayed, []);
    wal.truncate_below(end).unwrap();
    assert!(files(&env).len() <= crate::shared::SPARES_MAX + 2);
    wal.close().unwrap();
    let larger = Options { file_bytes: 20_001, ..options() };
    let wal = Wal::open(env.clone(), larger, end, &mut |_, _| Ok(())).unwrap();
    assert_eq!(files(&env).len(), 1, "of spares only the old tail is left");
    let more = wal.append(&[&[1; 30_000]]).unwrap();
    wal.wait_durable(more).unwrap();
    let lens: Vec<u64> = files(&env).into_iter().map(|(_, len)| len).collect();
    assert!(lens.len() >= 2 && lens[0] == 16 << 10 && lens[1..].iter().all(|len| *len == 20_480), "{lens:?}");
    wal.close().unwrap();
    assert_eq!(open_from(&env, end).unwrap().1, [(more, vec![1; 30_000])]);
}

#[test]
fn a_closed_log_takes_nothing_more() {
    let env = SimEnv::new(1);
    let (wal, _) = open(&env);
    let end = wal.append(&[b"x"]).unwrap();
    wal.close().unwrap();
    wal.close().unwrap();
    wal.wait_durable(end).unwrap();
    assert!(matches!(wal.append(&[b"y"]), Err(WalError::Closed { .. })));
    assert!(matches!(wal.wait_durable(Lsn(end.0 + 1)), Err(WalError::Closed { .. })));
    let told = Arc::new(AtomicUsize::new(0));
    let in_callback = told.clone();
    wal.on_durable(Box::new(move |_| {
        in_callback.fetch_add(1, Ordering::Relaxed);
    }));
    drop(wal);
    assert_eq!(told.load(Ordering::Relaxed), 0, "a close is no failure");
}

#[test]
fn a_dropped_log_tells_who_waits_and_leaves_what_was_durable() {
    let env = SimEnv::new(1);
    let (wal, _) = open(&env);
    let end = wal.append(&[b"x"]).unwrap();
    wal.wait_durable(end).unwrap();
    wal.append(&[b"y"]).unwrap();
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let in_callback = told.clone();
    wal.on_durable(Box::new(move |lsn| in_callback.lock().push(format!("{}", lsn.unwrap_err()))));
    drop(wal);
    assert_eq!(*told.lock(), ["the log is closed: its writer has stopped"]);
    assert_eq!(open(&env).1, [(end, b"x".to_vec())]);
}

#[test]
fn a_refusing_replay_stops_the_opening_and_changes_nothing() {
    let env = SimEnv::new(1);
    let (wal, _) = open(&env);
    wal.append(&[b"x"]).unwrap();
    let end = wal.append(&[b"y"]).unwrap();
    wal.close().unwrap();
    let before = env.mutations();
    let refused = Wal::open(env.clone(), options(), Lsn(0), &mut |_, record| match record {
        b"y" => Err(ReplayStop("no y".into())),
        _ => Ok(()),
    });
    let error = refused.err().unwrap();
    assert!(matches!(&error, WalError::Stopped { lsn, .. } if *lsn == end), "{error}");
    assert_eq!(error.to_string(), "replay stopped at 10: no y");
    assert_eq!(env.mutations(), before);
    assert_eq!(open(&env).1.len(), 2);
}

#[test]
fn the_next_file_is_made_before_it_is_needed() {
    let env = SimEnv::new(1);
    let (wal, _) = open(&env);
    wal.append(&[b"x"]).unwrap();
    env.run_jobs(1000);
    assert_eq!(files(&env).len(), 2, "one in use and one spare");
    // From now on making files fails; 12 KiB more still fit into the two.
    env.set_fault(Fault::Always { operation: Some(Operation::Create), call: 1 });
    let end = wal.append(&[&[1; 12_000]]).unwrap();
    assert!(wal.durable() < end);
}

#[test]
fn a_log_at_rest_is_marked_once() {
    let env = SimEnv::new(1);
    let (wal, _) = open(&env);
    let end = wal.append(&[b"x"]).unwrap();
    wal.wait_durable(end).unwrap();
    env.run_jobs(1000);
    let before = env.mutations();
    env.advance(Duration::from_secs(3600));
    assert_eq!(env.mutations(), before);
    let mut bytes = [0; 1024];
    handle(&env, &files(&env)[0].0).read_exact_at(&mut bytes, 512).unwrap();
    let mark = crate::frame::Frame::decode(&bytes[512..]).unwrap();
    assert_eq!((mark.len, mark.lsn, mark.durable), (0, 5, 5));
}

#[test]
fn many_threads_share_groups_on_a_real_disk() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { dir: directory.path().join("wal"), file_bytes: 256 << 10, buffer_bytes_max: 64 << 10 };
    let wal = Wal::open(RealEnv::new(), options.clone(), Lsn(0), &mut |_, _| Ok(())).unwrap();
    let appended: Mutex<Vec<Replayed>> = Mutex::default();
    std::thread::scope(|scope| {
        for thread in 0..8u8 {
            let (wal, appended) = (&wal, &appended);
            scope.spawn(move || {
                for n in 0..200u32 {
                    let record = [&[thread][..], &n.to_le_bytes(), &vec![thread; n as usize * 5]].concat();
                    let end = wal.append(&[&record]).unwrap();
                    if n % 3 == 0 {
                        wal.wait_durable(end).unwrap();
                        assert!(wal.durable() >= end);
                    }
                    appended.lock().push((end, record));
                }
            });
        }
    });
    wal.wait_durable(wal.end()).unwrap();
    drop(wal); // not closed: as after a kill
    let mut appended = appended.into_inner();
    appended.sort();
    let mut replayed = Vec::new();
    let wal = Wal::open(RealEnv::new(), options, Lsn(0), &mut |lsn, record| {
        replayed.push((lsn, record.to_vec()));
        Ok(())
    });
    assert_eq!(replayed.len(), 1600);
    assert!(replayed == appended);
    wal.unwrap().close().unwrap();
}

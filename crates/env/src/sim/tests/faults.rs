use super::*;

#[test]
fn a_fault_hits_the_call_it_is_set_for() {
    let env = SimEnv::new(1);
    let file = durable(&env, "a", &[1; 100]);
    let is_eio = |result: io::Result<()>| result.is_err_and(|error| error.raw_os_error() == Some(5));
    env.set_fault(Fault::Once { operation: Some(Operation::SyncData), call: 2 });
    file.write_all_at(&[2; 100], 0).unwrap();
    file.sync_data().unwrap();
    assert!(is_eio(file.sync_data()));
    file.sync_data().unwrap();
    env.set_fault(Fault::Always { operation: None, call: 2 });
    assert_eq!(file.len().unwrap(), 100);
    assert!(is_eio(file.set_len(1)) && is_eio(env.unlink(&path("a"))) && is_eio(env.create_dir_all(&path("d"))));
    env.clear_faults();
    assert_eq!((file.len().unwrap(), env.list(Path::new("/")).unwrap()), (100, vec!["a".to_owned()]));
}

#[test]
fn a_failed_write_has_written_some_prefix() {
    let written: BTreeSet<usize> = (0..50)
        .map(|seed| {
            let env = SimEnv::new(seed);
            let file = durable(&env, "a", &[1; 100]);
            env.set_fault(Fault::Once { operation: Some(Operation::Write), call: 1 });
            file.write_all_at(&[2; 100], 0).unwrap_err();
            let bytes = contents(&env, "a").unwrap();
            let written = bytes.iter().filter(|b| **b == 2).count();
            assert!(bytes[..written].iter().all(|b| *b == 2));
            written
        })
        .collect();
    assert!(written.len() > 10);
}

#[test]
fn after_a_failed_sync_the_next_one_saves_nothing_that_was_dirty() {
    let mut lost = 0;
    for seed in 0..50 {
        let env = SimEnv::new(seed);
        let file = durable(&env, "a", &[1; PAGE]);
        file.write_all_at(&[2; PAGE], 0).unwrap();
        env.set_fault(Fault::Once { operation: Some(Operation::SyncData), call: 1 });
        file.sync_data().unwrap_err();
        file.sync_data().unwrap();
        assert_eq!(contents(&env, "a").unwrap(), [2; PAGE], "still visible");
        let on_disk = contents(&env.crash_clone(seed), "a").unwrap();
        file.forget_cached(PAGE as u64).unwrap();
        assert_eq!(contents(&env, "a").unwrap(), on_disk, "read from the disk");
        let after = env.power_loss();
        lost += usize::from(contents(&after, "a").unwrap() != [2; PAGE]);
    }
    assert!(0 < lost && lost < 50, "{lost}");
}

#[test]
fn a_full_disk_takes_what_fits_and_is_well_again_when_space_is_free() {
    let env = SimEnv::new(1);
    let file = durable(&env, "a", &[1; PAGE]);
    let full = |result: io::Result<()>| assert_eq!(result.unwrap_err().kind(), ErrorKind::StorageFull);
    env.disk_full_after(2 * PAGE as u64);
    file.write_all_at(&[2; PAGE], 0).unwrap();
    full(file.write_all_at(&[3; 4 * PAGE], PAGE as u64));
    assert!((PAGE + 1..=3 * PAGE).contains(&contents(&env, "a").unwrap().len()), "in part");
    full(file.write_all_at(&[3; 4 * PAGE], PAGE as u64));
    file.write_all_at(&[4; 2 * PAGE], PAGE as u64).unwrap();
    assert_eq!(env.open(&path("b"), OpenMode::CreateNew).err().map(|e| e.kind()), Some(ErrorKind::StorageFull));
    file.set_len(PAGE as u64).unwrap();
    drop(env.open(&path("b"), OpenMode::CreateNew).unwrap());
    env.link(&path("a"), &path("second name")).unwrap();
    let file = env.open(&path("b"), OpenMode::Write).unwrap();
    file.write_all_at(&[5; 2 * PAGE], 0).unwrap();
    full(file.write_all_at(&[5; 3 * PAGE], 0));
    env.unlink(&path("second name")).unwrap();
    full(file.write_all_at(&[5; 3 * PAGE], 0));
    env.unlink(&path("a")).unwrap();
    file.write_all_at(&[5; 3 * PAGE], 0).unwrap();
    full(file.write_all_at(&[5; 1], 3 * PAGE as u64));
    env.free_space();
    file.write_all_at(&[5; 9 * PAGE], 0).unwrap();
    env.disk_full_after(0);
    for next in [env.crash_clone(1), env.power_loss()] {
        durable(&next, "c", &[1; 9 * PAGE]);
    }
}

#[test]
fn the_machine_stops_after_the_given_number_of_mutating_calls() {
    let run = |env: &Arc<SimEnv>| -> io::Result<()> {
        let file = env.open(&path("a"), OpenMode::CreateNew)?;
        file.write_all_at(&[1], 0)?;
        file.read_at(&mut [0], 0)?;
        file.sync_data()?;
        env.sync_dir(Path::new("/"))?;
        env.rename(&path("a"), &path("b"))
    };
    let env = SimEnv::new(1);
    run(&env).unwrap();
    assert_eq!(env.mutations(), 5);
    for n in 0..5 {
        let env = SimEnv::new(1);
        env.set_crash_at(n);
        run(&env).unwrap_err();
        assert!(env.has_crashed());
        assert_eq!(env.mutations(), n);
        assert!(env.exists(&path("a")).is_err());
        let after = env.process_kill();
        assert_eq!(contents(&after, "a"), [None, Some(vec![]), Some(vec![1])][n.min(2) as usize]);
    }
    let env = SimEnv::new(1);
    env.set_crash_at(5);
    run(&env).unwrap();
    assert!(env.has_crashed() && env.list(Path::new("/")).is_err());
}

/// Two jobs that write, a wait for both, a power loss, and what is left.
fn a_small_history(seed: u64) -> (u64, Vec<u8>) {
    let env = SimEnv::new(seed);
    let file = durable(&env, "a", &[0; 3 * PAGE]);
    let done = Arc::new(AtomicUsize::new(0));
    let handles: Vec<_> = (1..=2u8)
        .map(|job| {
            let (file, done, mut steps) = (file.clone(), done.clone(), 0);
            let work = move || {
                file.write_all_at(&[job; 600], steps * 700).unwrap();
                steps += 1;
                if steps < 10 {
                    return Next::Again;
                }
                done.fetch_add(1, Ordering::Relaxed);
                Next::Done
            };
            env.spawn("writer", Priority::Background, Box::new(work))
        })
        .collect();
    assert!(env.signal().wait_until(&mut || done.load(Ordering::Relaxed) == 2, None));
    drop(handles);
    env.random_u64();
    let env = env.power_loss();
    let bytes = contents(&env, "a").unwrap();
    (env.trace_hash(), bytes)
}

#[test]
fn one_seed_is_one_history_and_another_seed_another() {
    let hashes: BTreeSet<u64> = (0..20)
        .map(|seed| {
            assert_eq!(a_small_history(seed), a_small_history(seed));
            a_small_history(seed).0
        })
        .collect();
    assert_eq!(hashes.len(), 20);
}

#[test]
fn the_trace_tells_every_argument() {
    let hash = |act: &dyn Fn(&SimEnv, &dyn File)| {
        let env = SimEnv::new(1);
        let file = durable(&env, "a", &[1; 10]);
        act(&env, &*file);
        env.trace_hash()
    };
    let hashes = set([
        hash(&|_, _| ()),
        hash(&|_, file| drop(file.len())),
        hash(&|_, file| drop(file.read_at(&mut [0; 1], 0))),
        hash(&|_, file| drop(file.read_at(&mut [0; 2], 0))),
        hash(&|_, file| drop(file.read_at(&mut [0; 1], 1))),
        hash(&|_, file| drop(file.write_all_at(&[1], 0))),
        hash(&|_, file| drop(file.write_all_at(&[2], 0))),
        hash(&|env, _| drop(env.exists(&path("a")))),
        hash(&|env, _| drop(env.exists(&path("b")))),
        hash(&|env, _| drop(env.rename(&path("a"), &path("b")))),
        hash(&|env, _| env.fill_random(&mut [0; 8])),
    ]);
    assert_eq!(hashes.len(), 11);
}

#[test]
fn the_machine_stops_at_a_named_place() {
    let env = SimEnv::new(1);
    let file = durable(&env, "a", &[1; 100]);
    env.set_crash_at_point("between", 2);
    for passage in 1..4 {
        crate::point(env.as_ref(), "before");
        assert_eq!(file.write_all_at(&[2; 100], 0).is_ok(), passage < 3, "passage {passage}");
        crate::point(env.as_ref(), "between");
        assert_eq!(file.sync_data().is_ok(), passage < 2, "passage {passage}");
    }
    assert!(env.has_crashed());
    assert_eq!(env.points().into_iter().collect::<Vec<_>>(), [("before", 2), ("between", 2)]);
    assert_eq!(env.calls(Operation::SyncData), 2, "one of them by `durable`");
}

#[test]
fn a_failed_call_says_what_it_was_told_to() {
    let env = SimEnv::new(1);
    env.set_fault(Fault::Once { operation: Some(Operation::SyncDir), call: 1 });
    env.fail_with(28);
    assert_eq!(env.sync_dir(Path::new("/")).unwrap_err().kind(), ErrorKind::StorageFull);
    env.clear_faults();
    env.set_fault(Fault::Once { operation: Some(Operation::SyncDir), call: 1 });
    assert_eq!(env.sync_dir(Path::new("/")).unwrap_err().raw_os_error(), Some(5));
}

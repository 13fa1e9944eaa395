use super::*;

#[test]
fn what_is_synced_survives_every_power_loss() {
    let env = SimEnv::new(1);
    let bytes: Vec<u8> = (0..20_000u32).map(|n| n as u8).collect();
    let file = durable(&env, "a", &bytes);
    file.write_all_at(&[9; 6000], 3000).unwrap();
    file.sync_data().unwrap();
    let expected = read_file(&*env, &path("a")).unwrap();
    assert_eq!(outcomes(&env, |env| contents(env, "a")), set([Some(expected)]));
}

#[test]
fn an_unsynced_sector_is_kept_or_lost_or_garbage_and_its_neighbours_are_safe() {
    let env = SimEnv::new(1);
    let file = durable(&env, "a", &[1; PAGE]);
    file.write_all_at(&[2; 512], 1536).unwrap();
    let seen = outcomes(&env, |env| {
        let bytes = contents(env, "a").unwrap();
        assert!(bytes[..1536].iter().chain(&bytes[2048..]).all(|b| *b == 1));
        let sector = &bytes[1536..2048];
        let is_garbage = |bytes: &[u8]| !bytes.iter().all(|b| *b == 1) && !bytes.iter().all(|b| *b == 2);
        let left_is_garbage = is_garbage(&sector[..8]);
        let right_is_garbage = is_garbage(&sector[504..]);
        match (left_is_garbage, right_is_garbage) {
            (false, false) if sector == [1; 512] => "lost",
            (false, false) if sector == [2; 512] => "kept",
            (true, false) => "left",
            (false, true) => "right",
            (true, true) => "whole",
            _ => "by chance not seen as garbage",
        }
    });
    assert!(seen.is_superset(&set(["lost", "kept", "left", "right", "whole"])), "{seen:?}");
}

#[test]
fn unsynced_pages_survive_out_of_order_and_in_parts() {
    let env = SimEnv::new(1);
    let file = durable(&env, "a", &[1; 2 * PAGE]);
    file.write_all_at(&[2; PAGE], 0).unwrap();
    file.write_all_at(&[2; PAGE], PAGE as u64).unwrap();
    let seen = outcomes(&env, |env| {
        let bytes = contents(env, "a").unwrap();
        [0, 1].map(|page| match &bytes[page * PAGE..(page + 1) * PAGE] {
            whole if whole == [1; PAGE] => "old",
            whole if whole == [2; PAGE] => "new",
            _ => "parts",
        })
    });
    assert!(
        seen.is_superset(&set([["old", "old"], ["new", "new"], ["old", "new"], ["new", "old"], ["parts", "new"]])),
        "{seen:?}"
    );
}

#[test]
fn a_page_written_twice_may_be_found_in_its_first_state() {
    let env = SimEnv::new(1);
    let file = durable(&env, "a", &[1; PAGE]);
    file.write_all_at(&[2; 512], 0).unwrap();
    file.write_all_at(&[3; 512], 0).unwrap();
    let seen = outcomes(&env, |env| contents(env, "a").unwrap()[..512].to_vec());
    assert!([1, 2, 3].iter().all(|state| seen.contains(&vec![*state; 512])));
    for _ in 0..100 {
        file.write_all_at(&[4; 512], 0).unwrap();
    }
    let seen = outcomes(&env, |env| contents(env, "a").unwrap()[..512].to_vec());
    assert!([1, 2, 4].iter().all(|state| seen.contains(&vec![*state; 512])));
}

#[test]
fn length_and_contents_survive_apart() {
    let env = SimEnv::new(1);
    let file = durable(&env, "a", &[]);
    file.write_all_at(&[7; PAGE], 0).unwrap();
    file.write_all_at(&[7; 100], PAGE as u64).unwrap();
    let seen = outcomes(&env, |env| {
        let bytes = contents(env, "a").unwrap();
        (bytes.len(), bytes.first().copied())
    });
    assert!(seen.is_superset(&set([(0, None), (PAGE, Some(7)), (PAGE + 100, Some(7)), (PAGE + 100, Some(0))])), "{seen:?}");
    assert!(seen.iter().all(|(len, _)| [0, PAGE, PAGE + 100].contains(len)));
}

#[test]
fn what_was_written_behind_a_lost_length_does_not_come_back() {
    let env = SimEnv::new(1);
    let file = durable(&env, "a", &[1; 100]);
    file.write_all_at(&[2; 3 * PAGE], 50).unwrap();
    let seen = outcomes(&env, |env| {
        let file = env.open(&path("a"), OpenMode::Write).unwrap();
        let len = file.len().unwrap();
        file.set_len(len + 2 * PAGE as u64).unwrap();
        let bytes = contents(env, "a").unwrap();
        assert!(bytes[len as usize..].iter().all(|b| *b == 0));
        (len, bytes[60])
    });
    assert!(seen.is_superset(&set([(100, 1), (100, 2), (50 + 3 * PAGE as u64, 2)])), "{seen:?}");
}

#[test]
fn a_cut_survives_or_not_and_what_is_cut_does_not_come_back_behind_it() {
    let env = SimEnv::new(1);
    let file = durable(&env, "a", &[1; 3 * PAGE]);
    file.set_len(100).unwrap();
    let lens = outcomes(&env, |env| contents(env, "a").unwrap().len());
    assert_eq!(lens, set([100, 3 * PAGE]));
    file.set_len(2 * PAGE as u64).unwrap();
    assert_eq!(read_file(&*env, &path("a")).unwrap()[99..], [&[1][..], &[0; 2 * PAGE - 100]].concat());
    let seen = outcomes(&env, |env| {
        let bytes = contents(env, "a").unwrap();
        (bytes.len(), bytes.get(PAGE).copied())
    });
    assert_eq!(seen, set([(100, None), (2 * PAGE, Some(0)), (3 * PAGE, Some(1))]));
    file.sync_data().unwrap();
    assert_eq!(outcomes(&env, |env| contents(env, "a").unwrap().len()), set([2 * PAGE]));
}

#[test]
fn a_name_is_durable_only_after_its_directory_is_synced() {
    let env = SimEnv::new(1);
    let file = env.open(&path("a"), OpenMode::CreateNew).unwrap();
    file.write_all_at(&[1], 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(outcomes(&env, |env| contents(env, "a")), set([None, Some(vec![1])]));
    env.create_dir_all(&path("d/e")).unwrap();
    env.sync_dir(&path("d")).unwrap();
    assert_eq!(outcomes(&env, |env| contents(env, "a")).len(), 2, "another directory was synced");
    env.sync_dir(Path::new("/")).unwrap();
    assert_eq!(outcomes(&env, |env| contents(env, "a")), set([Some(vec![1])]));
    assert!(env.crash_clone(1).exists(&path("d/e")).unwrap());
    env.unlink(&path("a")).unwrap();
    assert_eq!(contents(&env, "a"), None);
    assert_eq!(outcomes(&env, |env| contents(env, "a")), set([None, Some(vec![1])]));
    env.sync_dir(Path::new("/")).unwrap();
    assert_eq!(outcomes(&env, |env| contents(env, "a")), set([None]));
}

#[test]
fn changes_of_unrelated_names_survive_apart_and_of_one_name_in_order() {
    let env = SimEnv::new(1);
    for name in ["a", "b"] {
        env.open(&path(name), OpenMode::CreateNew).unwrap();
    }
    let both = |env: &SimEnv| (contents(env, "a").is_some(), contents(env, "b").is_some());
    assert_eq!(outcomes(&env, both), set([(false, false), (true, false), (false, true), (true, true)]));
    env.rename(&path("a"), &path("c")).unwrap();
    env.rename(&path("c"), &path("d")).unwrap();
    let seen = outcomes(&env, |env| env.list(Path::new("/")).unwrap().into_iter().filter(|n| n != "b").collect::<Vec<_>>());
    assert_eq!(seen, ["", "a", "c", "d"].map(|n| if n.is_empty() { vec![] } else { vec![n.to_owned()] }).into());
}

#[test]
fn a_rename_is_lost_or_kept_as_a_whole() {
    let env = SimEnv::new(1);
    durable(&env, "x", &[1]);
    durable(&env, "y", &[2]);
    env.rename(&path("x"), &path("y")).unwrap();
    assert_eq!((contents(&env, "x"), contents(&env, "y")), (None, Some(vec![1])));
    let seen = outcomes(&env, |env| (contents(env, "x"), contents(env, "y")));
    assert_eq!(seen, set([(Some(vec![1]), Some(vec![2])), (None, Some(vec![1]))]));
    env.sync_dir(Path::new("/")).unwrap();
    assert_eq!(outcomes(&env, |env| (contents(env, "x"), contents(env, "y"))), set([(None, Some(vec![1]))]));
}

#[test]
fn a_rename_between_directories_never_loses_both_names() {
    for synced in [["/", "/d"], ["/d", "/"]] {
        let env = SimEnv::new(1);
        env.create_dir_all(&path("d")).unwrap();
        durable(&env, "x", &[1]);
        env.rename(&path("x"), &path("d/y")).unwrap();
        let look = |env: &SimEnv| (contents(env, "x").is_some(), contents(env, "d/y").is_some());
        assert_eq!(outcomes(&env, look), set([(true, false), (false, true)]));
        env.sync_dir(Path::new(synced[0])).unwrap();
        assert!(!outcomes(&env, look).contains(&(false, false)));
        env.sync_dir(Path::new(synced[1])).unwrap();
        assert_eq!(outcomes(&env, look), set([(false, true)]));
    }
}

#[test]
fn a_link_and_the_unlink_of_the_other_name_keep_the_file() {
    let env = SimEnv::new(1);
    durable(&env, "x", &[1]);
    env.link(&path("x"), &path("y")).unwrap();
    env.unlink(&path("x")).unwrap();
    let seen = outcomes(&env, |env| (contents(env, "x").is_some(), contents(env, "y").is_some()));
    assert_eq!(seen, set([(true, false), (true, true), (false, true)]));
}

#[test]
fn a_linked_file_is_one_file_after_the_power_loss_too() {
    let env = SimEnv::new(1);
    durable(&env, "x", &[1; PAGE]);
    env.link(&path("x"), &path("y")).unwrap();
    env.sync_dir(Path::new("/")).unwrap();
    env.open(&path("y"), OpenMode::Write).unwrap().write_all_at(&[2; PAGE], 0).unwrap();
    for seed in 0..50 {
        let after = env.crash_clone(seed);
        assert_eq!(contents(&after, "x"), contents(&after, "y"));
        after.open(&path("x"), OpenMode::Write).unwrap().write_all_at(&[3], 0).unwrap();
        assert_eq!(contents(&after, "y").unwrap()[0], 3);
    }
}

#[test]
fn a_killed_process_loses_nothing_it_wrote_but_made_nothing_durable() {
    let env = SimEnv::new(1);
    let file = env.open(&path("a"), OpenMode::CreateNew).unwrap();
    file.write_all_at(&[1], 0).unwrap();
    let lock = env.lock(&path("LOCK")).unwrap();
    assert_eq!(env.lock(&path("LOCK")).err().map(|e| e.kind()), Some(ErrorKind::WouldBlock));
    let next = env.process_kill();
    assert_eq!(contents(&next, "a"), Some(vec![1]));
    next.lock(&path("LOCK")).unwrap();
    drop(lock);
    assert_eq!(outcomes(&next, |env| contents(env, "a").is_some()), set([false, true]));
}

#[test]
fn the_old_world_answers_with_errors() {
    let env = SimEnv::new(1);
    let file = durable(&env, "a", &[1]);
    let dropped = Arc::new(AtomicUsize::new(0));
    let in_job = CountDrop(dropped.clone());
    let handle = env.spawn(
        "job",
        Priority::Normal,
        Box::new(move || Next::Sleep(Duration::from_secs(in_job.0.load(Ordering::Relaxed) as u64 + 1))),
    );
    let next = env.power_loss();
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
    assert!(file.read_at(&mut [0], 0).is_err() && file.write_all_at(&[2], 0).is_err() && file.sync_data().is_err());
    assert!(env.open(&path("a"), OpenMode::Read).is_err() && env.list(Path::new("/")).is_err());
    assert!(!env.signal().wait_until(&mut || false, None));
    env.spawn("late", Priority::Normal, Box::new(|| panic!("nothing runs in a world that is gone")));
    assert_eq!(env.run_jobs(10), 0);
    handle.wake();
    handle.stop();
    assert_eq!(contents(&next, "a"), Some(vec![1]));
}

struct CountDrop(Arc<AtomicUsize>);

impl Drop for CountDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn an_unlinked_file_lives_on_through_its_handle() {
    let env = SimEnv::new(1);
    let file = durable(&env, "a", &[1]);
    env.unlink(&path("a")).unwrap();
    durable(&env, "a", &[2]);
    file.write_all_at(&[3], 1).unwrap();
    let mut bytes = [0; 2];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!((bytes, contents(&env, "a")), ([1, 3], Some(vec![2])));
}

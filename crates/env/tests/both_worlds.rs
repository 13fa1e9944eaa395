//! The interface promises one thing; both environments must keep it.

#![allow(clippy::unwrap_used)]

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use env::{Env, Next, OpenMode, Priority, RealEnv, SimEnv, read_file, write_file_atomically};

/// Runs `check` with a fresh directory in each world.
fn in_both(check: impl Fn(&Arc<dyn Env>, &Path)) {
    let directory = tempfile::tempdir().unwrap();
    check(&(RealEnv::new() as Arc<dyn Env>), directory.path());
    let env = SimEnv::new(1);
    env.create_dir_all(Path::new("/data")).unwrap();
    check(&(env as Arc<dyn Env>), Path::new("/data"));
}

fn kind<T>(result: std::io::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

#[test]
fn files_are_read_where_they_were_written() {
    in_both(|env, d| {
        let path = d.join("a");
        assert_eq!(kind(env.open(&path, OpenMode::Read)), Some(ErrorKind::NotFound));
        assert_eq!(kind(env.open(&path, OpenMode::Write)), Some(ErrorKind::NotFound));
        assert_eq!(kind(env.open(&d.join("none/a"), OpenMode::CreateNew)), Some(ErrorKind::NotFound));
        let file = env.open(&path, OpenMode::CreateNew).unwrap();
        assert_eq!(kind(env.open(&path, OpenMode::CreateNew)), Some(ErrorKind::AlreadyExists));
        assert!(file.is_empty().unwrap());
        file.write_all_at(&[7; 5000], 4000).unwrap();
        assert_eq!(file.len().unwrap(), 9000);
        let mut bytes = [9; 10];
        assert_eq!(file.read_at(&mut bytes, 3995).unwrap(), 10);
        assert_eq!(bytes, [0, 0, 0, 0, 0, 7, 7, 7, 7, 7]);
        assert_eq!(file.read_at(&mut bytes, 8997).unwrap(), 3);
        assert_eq!(file.read_at(&mut bytes, 9000).unwrap(), 0);
        assert_eq!(kind(file.read_exact_at(&mut bytes, 8997)), Some(ErrorKind::UnexpectedEof));
        file.set_len(4001).unwrap();
        file.set_len(4003).unwrap();
        file.sync_data().unwrap();
        assert_eq!(read_file(&**env, &path).unwrap()[3999..], [0, 7, 0, 0]);
        let reader = env.open(&path, OpenMode::Read).unwrap();
        assert!(reader.write_all_at(&[1], 0).is_err());
        assert!(reader.set_len(0).is_err());
        assert_eq!(reader.len().unwrap(), 4003);
    });
}

#[test]
fn names_are_given_moved_and_taken() {
    in_both(|env, d| {
        for name in ["b", "a"] {
            env.open(&d.join(name), OpenMode::CreateNew).unwrap().write_all_at(name.as_bytes(), 0).unwrap();
        }
        assert_eq!(env.list(d).unwrap(), ["a", "b"]);
        assert_eq!(kind(env.link(&d.join("a"), &d.join("b"))), Some(ErrorKind::AlreadyExists));
        assert_eq!(kind(env.link(&d.join("none"), &d.join("c"))), Some(ErrorKind::NotFound));
        env.link(&d.join("a"), &d.join("c")).unwrap();
        env.rename(&d.join("a"), &d.join("c")).unwrap(); // two names of one file: nothing happens
        assert_eq!(env.list(d).unwrap(), ["a", "b", "c"]);
        env.rename(&d.join("a"), &d.join("b")).unwrap();
        assert_eq!(read_file(&**env, &d.join("b")).unwrap(), b"a");
        assert_eq!(kind(env.rename(&d.join("a"), &d.join("b"))), Some(ErrorKind::NotFound));
        env.unlink(&d.join("b")).unwrap();
        assert_eq!(kind(env.unlink(&d.join("b"))), Some(ErrorKind::NotFound));
        assert!(env.exists(&d.join("c")).unwrap() && !env.exists(&d.join("b")).unwrap());
        env.sync_dir(d).unwrap();
        assert_eq!(kind(env.sync_dir(&d.join("none"))), Some(ErrorKind::NotFound));
        assert_eq!(kind(env.list(&d.join("none"))), Some(ErrorKind::NotFound));
    });
}

#[test]
fn directories_are_created_with_their_parents() {
    in_both(|env, d| {
        env.create_dir_all(&d.join("x/y/z")).unwrap();
        env.create_dir_all(&d.join("x/y")).unwrap();
        assert_eq!(env.list(&d.join("x")).unwrap(), ["y"]);
        assert!(env.exists(&d.join("x/y/z")).unwrap());
        env.open(&d.join("file"), OpenMode::CreateNew).unwrap();
        assert!(env.create_dir_all(&d.join("file")).is_err());
    });
}

#[test]
fn a_file_is_replaced_as_a_whole() {
    in_both(|env, d| {
        let path = d.join("manifest");
        env.open(&d.join("manifest.tmp"), OpenMode::CreateNew).unwrap(); // left behind by a crash
        for bytes in [&b"one"[..], b"two, longer", b""] {
            write_file_atomically(&**env, &path, bytes).unwrap();
            assert_eq!(read_file(&**env, &path).unwrap(), bytes);
        }
        assert_eq!(env.list(d).unwrap(), ["manifest"]);
    });
}

#[test]
fn a_lock_has_one_owner_at_a_time() {
    in_both(|env, d| {
        let path = d.join("LOCK");
        let lock = env.lock(&path).unwrap();
        for _ in 0..2 {
            assert_eq!(kind(env.lock(&path)), Some(ErrorKind::WouldBlock));
        }
        let other = env.lock(&d.join("OTHER")).unwrap();
        drop(lock);
        drop(env.lock(&path).unwrap());
        drop(env.lock(&path).unwrap());
        drop(other);
        assert!(env.exists(&path).unwrap());
    });
}

#[test]
fn a_job_steps_until_it_waits_and_again_when_woken() {
    in_both(|env, _| {
        let (steps, signal) = (Arc::new(AtomicUsize::new(0)), env.signal());
        let (in_job, tell) = (steps.clone(), signal.clone());
        let work = move || {
            let next = match in_job.fetch_add(1, Ordering::SeqCst) + 1 {
                1 => Next::Again,
                2 => Next::Wait,
                3 => Next::Sleep(Duration::from_millis(1)),
                4 => Next::Sleep(Duration::from_secs(3600)),
                _ => Next::Done,
            };
            tell.notify_all();
            next
        };
        let job = env.spawn("steps", Priority::Normal, Box::new(work));
        let reaches = |n| signal.wait_until(&mut || steps.load(Ordering::SeqCst) == n, Some(Duration::from_secs(20)));
        assert!(reaches(2));
        assert!(!signal.wait_until(&mut || steps.load(Ordering::SeqCst) != 2, Some(Duration::from_millis(30))), "it waits");
        job.wake();
        assert!(reaches(4));
        job.wake();
        assert!(reaches(5));
        job.wake();
        assert!(!signal.wait_until(&mut || steps.load(Ordering::SeqCst) != 5, Some(Duration::from_millis(30))), "it is done");
    });
}

#[test]
fn a_stopped_job_steps_no_more_and_is_dropped() {
    in_both(|env, _| {
        for drop_the_handle in [false, true] {
            let alive = Arc::new(());
            let in_job = alive.clone();
            let work = move || {
                assert!(Arc::strong_count(&in_job) > 1);
                Next::Again
            };
            let job = env.spawn("endless", Priority::Background, Box::new(work));
            assert!(!env.signal().wait_until(&mut || false, Some(Duration::from_millis(2))));
            if drop_the_handle {
                drop(job);
            } else {
                job.stop();
                job.stop();
            }
            assert_eq!(Arc::strong_count(&alive), 1);
        }
    });
}

#[test]
fn clocks_go_on_and_random_bytes_differ() {
    in_both(|env, _| {
        let (wall, time) = (env.now_micros(), env.monotonic());
        assert!(!env.signal().wait_until(&mut || false, Some(Duration::from_millis(20))));
        assert!(env.monotonic() >= time + Duration::from_millis(20));
        assert!(env.now_micros() - wall >= 10_000, "the wall clock moves too");
        assert!(wall > 1_600_000_000_000_000);
        assert_ne!((env.random_u64(), env.random_u64()), (0, 0));
        assert_ne!(env.random_u64(), env.random_u64());
    });
}

//! Power loss at every call that changes the disk: what was finished is there in full; what was not is garbage by its name.

use std::path::Path;
use std::sync::Arc;

use env::{Env, Fault, Operation, SimEnv};
use segments::{Cache, Codec, DeletionVector, DumpReader, DumpWriter, Manifest, files};
use types::{CommitTs, Kind, SqlType, TableId};

use crate::manifest::example;
use crate::support::*;

/// Runs `work` in worlds that stop after 0, 1, 2, ... changes, until it gets through; `check` sees the world after each power loss
/// and what `work` returned.
fn stop_everywhere<T>(work: impl Fn(&Arc<SimEnv>) -> Option<T>, check: impl Fn(&Arc<SimEnv>, Option<&T>)) {
    for stop in 0..1_000 {
        let env = world(stop);
        env.set_crash_at(stop);
        let done = work(&env);
        let crashed = env.has_crashed();
        assert!(crashed || done.is_some(), "it failed without a crash");
        for seed in 0..4 {
            check(&env.crash_clone(seed), done.as_ref());
        }
        check(&env.power_loss(), done.as_ref());
        if done.is_some() && !crashed {
            return;
        }
    }
    panic!("it never gets through");
}

#[test]
fn a_finished_segment_survives_and_an_unfinished_one_is_garbage() {
    let schema = schema(&[("k", SqlType::Int8, false), ("v", SqlType::Text, true)], &[0]);
    let rows = rows(&schema, 400, 1);
    stop_everywhere(
        |env| write(env, &schema, &rows, small(Codec::Lz4), &Cache::new(0)).ok().map(|segment| segment.info()),
        |env, info| {
            for name in env.list(&dir()).unwrap() {
                assert!(files::parse(&name).is_some(), "{name} is nobody's");
            }
            if let Some(info) = info {
                let segment = open(env, info, &Cache::new(0)).unwrap();
                assert_same(&read_all(&segment).unwrap(), &rows);
                segment.verify().unwrap();
            }
        },
    );
}

#[test]
fn a_manifest_is_installed_whole_or_not_at_all() {
    let manifests = Path::new("/manifest");
    stop_everywhere(
        |env| {
            Manifest::install(env.as_ref(), manifests, &example(1)).ok()?;
            Manifest::install(env.as_ref(), manifests, &example(2)).ok()
        },
        |env, done| {
            let found = Manifest::load_newest(env.as_ref(), manifests).unwrap();
            match done {
                Some(()) => assert_eq!(found, Some(example(2))),
                None => assert!(found.is_none_or(|m| m == example(1) || m == example(2))),
            }
            // The next checkpoint gets through whatever was left behind.
            Manifest::install(env.as_ref(), manifests, &example(3)).unwrap();
            assert_eq!(Manifest::load_newest(env.as_ref(), manifests).unwrap(), Some(example(3)));
        },
    );
}

#[test]
fn an_installed_manifest_stays_when_the_next_one_fails() {
    let manifests = Path::new("/manifest");
    for stop in 0..12 {
        let env = world(stop);
        Manifest::install(env.as_ref(), manifests, &example(1)).unwrap();
        env.set_crash_at(stop);
        let second = Manifest::install(env.as_ref(), manifests, &example(2));
        for seed in 0..8 {
            let found = Manifest::load_newest(env.crash_clone(seed).as_ref(), manifests).unwrap().unwrap();
            assert!(found == example(2) || (second.is_err() && found == example(1)), "stopped after {stop}");
        }
    }
}

#[test]
fn dumps_and_deletion_vectors_are_durable_when_they_say_so() {
    let dead = (0..40_000u32).step_by(3).collect();
    stop_everywhere(
        |env| {
            let world: Arc<dyn Env> = Arc::clone(env) as Arc<dyn Env>;
            let mut writer = DumpWriter::create(world, &dir(), 1, TableId(1), CommitTs(1)).ok()?;
            for i in 0..5_000u32 {
                writer.append(&i.to_be_bytes(), &[7; 100]).ok()?;
            }
            let dump = writer.finish().ok()?;
            let vector = DeletionVector::store(env.as_ref(), &dir(), ID, CommitTs(1), &dead).ok()?;
            Some((dump, vector))
        },
        |env, done| {
            for name in env.list(&dir()).unwrap() {
                assert!(files::parse(&name).is_some(), "{name} is nobody's");
            }
            let Some((dump, vector)) = done else { return };
            assert_eq!(vector.load(env.as_ref(), &dir(), ID, 40_000).unwrap(), dead);
            let mut reader = DumpReader::open(env.as_ref(), &dir(), dump, TableId(1), CommitTs(1)).unwrap();
            let mut n = 0;
            while reader.next_row().unwrap().is_some() {
                n += 1;
            }
            assert_eq!(n, 5_000);
        },
    );
}

#[test]
fn a_failing_disk_is_an_error_and_never_a_finished_segment() {
    let schema = schema(&[("k", SqlType::Int8, false), ("v", SqlType::Text, true)], &[0]);
    let rows = rows(&schema, 400, 1);
    for operation in
        [Operation::Create, Operation::Write, Operation::SyncData, Operation::SyncDir, Operation::Read, Operation::Open]
    {
        for call in 1..4 {
            let env = world(call);
            env.set_fault(Fault::Once { operation: Some(operation), call });
            if let Err(error) = write(&env, &schema, &rows, small(Codec::Lz4), &Cache::new(0)) {
                assert_eq!(error.kind(), Kind::Unavailable, "{error}");
                assert_eq!(env.list(&dir()).unwrap(), Vec::<String>::new(), "{operation:?} {call} left files");
            }
        }
    }
}

#[test]
fn a_full_disk_says_so() {
    let schema = schema(&[("k", SqlType::Int8, false), ("v", SqlType::Text, true)], &[0]);
    let rows = rows(&schema, 2_000, 1);
    let env = world(1);
    env.disk_full_after(8 << 10);
    let error = write(&env, &schema, &rows, small(Codec::Lz4), &Cache::new(0)).unwrap_err();
    assert!(error.is_disk_full(), "{error}");
    env.free_space();
    write(&env, &schema, &rows, small(Codec::Lz4), &Cache::new(0)).unwrap().verify().unwrap();
}

//! The workload without faults, with power losses, with kills; each from a seed. `SEEDS` says how many of each
//! (`SEEDS=2000 cargo test -p testkit`), `SEED` runs one.

#![allow(clippy::print_stdout)] // what a run of many seeds found

use std::time::Duration;

use env::{Fault, Operation};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use testkit::{Crash, World};

fn seeds(default: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(default),
    }
}

#[test]
fn every_view_is_the_state_of_its_snapshot_whatever_runs_beside_it() {
    for seed in seeds(20) {
        let mut world = World::new(seed);
        for _ in 0..1500 {
            assert!(world.step(), "seed {seed}: the machine stopped by itself");
        }
    }
}

fn crash_again_and_again(crash: Crash, default: u64, offset: u64) {
    let (mut survived, mut lost) = (0, 0);
    for seed in seeds(default) {
        let seed = seed + offset;
        let mut random = SmallRng::seed_from_u64(seed);
        let mut world = World::new(seed);
        for _ in 0..3 {
            // Either somewhere between steps or in the middle of one, at a random call.
            if random.random_bool(0.7) {
                world.env().set_crash_at(random.random_range(1..600));
            }
            for _ in 0..random.random_range(1..300) {
                if !world.step() {
                    break;
                }
            }
            let (s, l) = world.crash_and_recover(crash);
            survived += s;
            lost += l;
        }
    }
    println!("{crash:?}: commits nobody was told of: {survived} survived, {lost} did not");
}

#[test]
fn power_loss_keeps_what_was_acknowledged_and_halves_nothing() {
    crash_again_and_again(Crash::PowerLoss, 60, 1 << 32);
}

#[test]
fn a_kill_keeps_what_was_acknowledged_and_halves_nothing() {
    crash_again_and_again(Crash::Kill, 40, 2 << 32);
}

/// Single calls fail, now and then; what cannot go on after that says so, and nothing is lost.
#[test]
fn a_disk_that_fails_at_any_call_loses_nothing() {
    use Operation::{Create, Link, Read, SyncData, SyncDir, Unlink, Write};
    let mut failed = 0;
    for seed in seeds(60) {
        let seed = seed + (3 << 32);
        let mut random = SmallRng::seed_from_u64(seed);
        let mut world = World::new(seed);
        for _ in 0..3 {
            // What a failed sync of a file has not saved stays readable until the power fails: a new process cannot know.
            let (crash, operations): (_, &[Operation]) = match random.random_bool(0.5) {
                true => (Crash::Kill, &[Create, Link, Read, Unlink, Write, SyncDir]),
                false => (Crash::PowerLoss, &[Create, Link, Read, Unlink, Write, SyncData, SyncDir]),
            };
            for _ in 0..random.random_range(1..300) {
                if random.random_bool(0.05) {
                    let operation = operations[random.random_range(0..operations.len())];
                    world.env().set_fault(Fault::Once { operation: Some(operation), call: random.random_range(1..10) });
                }
                failed += usize::from(!world.step());
            }
            world.crash_and_recover(crash);
        }
    }
    println!("{failed} steps failed");
    assert!(failed > 0);
}

/// While the disk is full some things fail; once there is room again, nothing does.
#[test]
fn a_full_disk_is_only_a_pause() {
    let mut failed = 0;
    for seed in seeds(40) {
        let seed = seed + (4 << 32);
        let mut random = SmallRng::seed_from_u64(seed);
        let mut world = World::new(seed);
        for _ in 0..3 {
            world.env().disk_full_after(random.random_range(0..200_000));
            for _ in 0..random.random_range(1..300) {
                failed += usize::from(!world.step());
            }
            world.env().free_space();
            world.env().advance(Duration::from_secs(2));
            for _ in 0..100 {
                assert!(world.step(), "seed {seed}: the disk has room again");
            }
            if random.random_bool(0.5) {
                world.crash_and_recover(Crash::PowerLoss);
            }
        }
    }
    println!("{failed} steps failed");
    assert!(failed > 0);
}

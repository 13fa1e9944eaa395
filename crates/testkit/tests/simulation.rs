//! The workload without faults, with power losses, with kills; each from a seed. `SEEDS` says how many of each
//! (`SEEDS=2000 cargo test -p testkit`), `SEED` runs one.

#![allow(clippy::print_stdout)] // what a run of many seeds found

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

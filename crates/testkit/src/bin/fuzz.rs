//! Runs fuzz targets: `fuzz [--runs N] [--seed N] [TARGET...]`, all of them without a name; `--list` names them.
//!
//! Prints a line for each target: runs, panics, slow runs, runs that allocated beyond the target's bound, the most bytes one allocated.
//! What went wrong is written to `fuzz-TARGET-SEED-RUN` in the working directory, and the exit code is 1. `fuzz --file F TARGET` runs one.

#![allow(clippy::print_stdout, reason = "what it is for")]
#![allow(clippy::disallowed_methods, reason = "inputs that fail are written to files, and time is measured")]

use std::alloc::System;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::SmallRng;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use testkit::fuzz::{Target, bend, targets};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// A run that takes longer hangs.
const RUN_MAX: Duration = Duration::from_secs(1);
/// Inputs that fail which are kept of one target.
const KEPT_MAX: usize = 10;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut runs, mut seed, mut file, mut names) = (100_000, 1, None, Vec::new());
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--runs" => runs = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(runs),
            "--seed" => seed = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(seed),
            "--file" => file = arguments.next(),
            "--list" => {
                targets().iter().for_each(|target| println!("{}", target.name));
                return ExitCode::SUCCESS;
            }
            name => names.push(name.to_owned()),
        }
    }
    let targets = targets();
    if let Some(unknown) = names.iter().find(|name| targets.iter().all(|target| target.name != *name)) {
        println!("there is no target {unknown}");
        return ExitCode::from(2);
    }
    let chosen = targets.iter().filter(|target| names.is_empty() || names.iter().any(|name| name == target.name));
    if let Some(file) = file {
        let bytes = std::fs::read(&file).expect("read the input");
        chosen.for_each(|target| (target.run)(&bytes));
        return ExitCode::SUCCESS;
    }
    std::panic::set_hook(Box::new(|_| {})); // it is counted, and its input kept
    let failed = chosen.map(|target| fuzz(target, runs, seed)).sum::<usize>();
    ExitCode::from(u8::from(failed > 0))
}

/// Returns how many runs failed.
fn fuzz(target: &Target, runs: u64, seed: u64) -> usize {
    let (mut panics, mut slow, mut large, mut most) = (0, 0, 0, 0);
    let mut bytes = Vec::new();
    let begun = Instant::now();
    for run in 0..runs {
        let mut random = SmallRng::seed_from_u64(seed.rotate_left(32) ^ run);
        bend(target, &mut random, &mut bytes);
        let (region, started) = (Region::new(ALLOCATOR), Instant::now());
        let panicked = catch_unwind(AssertUnwindSafe(|| (target.run)(&bytes))).is_err();
        let (took, allocated) = (started.elapsed(), region.change().bytes_allocated);
        most = most.max(allocated);
        let failed = [panicked, took > RUN_MAX, allocated > target.bytes_max(bytes.len())];
        panics += usize::from(failed[0]);
        slow += usize::from(failed[1]);
        large += usize::from(failed[2]);
        if failed.contains(&true) && panics + slow + large <= KEPT_MAX {
            let name = format!("fuzz-{}-{seed}-{run}", target.name);
            println!("{name}: panic {panicked}, {took:?}, {allocated} bytes allocated for {}", bytes.len());
            drop(std::fs::write(name, &bytes));
        }
    }
    println!(
        "{:<13} {runs} runs, {panics} panics, {slow} slow, {large} beyond the bound, most {most} bytes, {:.0} s",
        target.name,
        begun.elapsed().as_secs_f64()
    );
    panics + slow + large
}

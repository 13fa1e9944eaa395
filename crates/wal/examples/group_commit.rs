//! How many durable records a second, by number of threads: `cargo run --release -p wal --example group_commit [DIR]`.
//!
//! Each thread appends a record of 512 bytes, waits until it is durable, and does it again. DIR should be on the disk in question
//! (not tmpfs); the default is the current directory. The log is removed afterwards.

#![allow(clippy::print_stdout, reason = "prints its result")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use env::{Env, RealEnv};
use types::Lsn;
use wal::{Options, Wal, WalError};

const SECONDS: u64 = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let parent = std::env::args().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    println!("threads   records/s   us a record   records a group");
    for threads in [1, 2, 8, 32] {
        let env = RealEnv::new();
        let options = Options::new(parent.join(format!("group_commit.{}", std::process::id())));
        let dir = options.dir.clone();
        let wal = Wal::open(env.clone(), options, Lsn(0), &mut |_, _| Ok(()))?;
        // The first file is not yet there.
        let first = wal.append(&[&[0; 512]])?;
        wal.wait_durable(first)?;
        let (records, groups) = (AtomicU64::new(0), std::sync::Arc::new(AtomicU64::new(0)));
        let counter = groups.clone();
        wal.on_durable(Box::new(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        }));
        let started = env.monotonic();
        let outcomes: Vec<Result<(), WalError>> = std::thread::scope(|scope| {
            let work = || {
                while env.monotonic() - started < Duration::from_secs(SECONDS) {
                    let end = wal.append(&[&[7; 512]])?;
                    wal.wait_durable(end)?;
                    records.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            };
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
        });
        outcomes.into_iter().collect::<Result<(), WalError>>()?;
        let seconds = (env.monotonic() - started).as_secs_f64();
        let (records, groups) = (records.into_inner() as f64, groups.load(Ordering::Relaxed) as f64);
        let latency = seconds * 1e6 * f64::from(threads) / records;
        println!("{threads:>7}   {:>9.0}   {latency:>11.0}   {:>15.1}", records / seconds, records / groups);
        wal.close()?;
        drop(wal);
        for name in env.list(&dir)? {
            env.unlink(&dir.join(name))?;
        }
        std::fs::remove_dir(&dir)?;
    }
    Ok(())
}

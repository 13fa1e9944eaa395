//! The program `ycsb`: workloads A to F on a PostgreSQL-wire server, on a Colonnade directory in this process, or on SQLite.
//!
//! ```text
//!   command line --> place --connections--> store (wire | embedded | sqlite) <-- run: workload, keys
//! ```
//!
//! Exit codes: 0 done; 1 an error; 2 wrong use.

#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::process::ExitCode;
use std::time::Duration;

use bench::{answer, warn};
use clap::{Parser, Subcommand};

#[cfg(feature = "embedded")]
mod embedded;
mod keys;
mod place;
mod run;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;
mod wire;
mod workload;

use keys::Distribution;
use place::{Place, PlaceArguments};
use run::{Figures, Plan};
use store::Failure;
use workload::Workload;

/// YCSB A to F: over the wire, in process, or on SQLite.
#[derive(Parser)]
#[command(name = "ycsb", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  ycsb load --url postgres://postgres@127.0.0.1:5433/postgres --records 1000000
  ycsb run  --url postgres://postgres@127.0.0.1:5433/postgres --workload a --threads 8 --duration 30
  ycsb load --data DIR --records 1000000               Colonnade in this process
  ycsb run  --sqlite FILE --workload c --threads 1      built with --features sqlite

Exit codes: 0 done; 1 an error; 2 wrong use.";

#[derive(Subcommand)]
enum Command {
    /// Create the table and fill it.
    Load {
        #[command(flatten)]
        place: PlaceArguments,
        /// Records to insert, about 1 KB each.
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
        records: u64,
        /// Connections that load at the same time; SQLite takes one.
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1000))]
        threads: u32,
        /// Drop a table of this name first.
        #[arg(long)]
        drop: bool,
    },
    /// Run a workload on the loaded table.
    Run {
        #[command(flatten)]
        place: PlaceArguments,
        /// Which of the six.
        #[arg(long, value_enum, ignore_case = true)]
        workload: Workload,
        /// Clients, each with a connection; over the wire one thread serves all of them, in process each is one.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        threads: u32,
        /// Seconds to measure.
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
        duration: u64,
        /// Seconds to run before.
        #[arg(long, default_value_t = 2)]
        warmup: u64,
        /// How records are chosen [default: the workload's own: latest for D, else zipfian].
        #[arg(long, value_enum)]
        distribution: Option<Distribution>,
        /// Another seed asks for other records.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

fn main() -> ExitCode {
    match execute(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            warn(&format!("ycsb: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command) -> Result<(), Failure> {
    match command {
        Command::Load { place: arguments, records, threads, drop } => {
            let place = Place::open(&arguments)?;
            let loaded = run::load(&place, records, threads, drop)?;
            answer(arguments.json, "ycsb load", place.servers()?, loaded, |loaded| {
                format!("loaded {records} records in {:.1} s, {:.0} a second", loaded.seconds, loaded.records_per_second)
            });
        }
        Command::Run { place: arguments, workload, threads, duration, warmup, distribution, seed } => {
            let place = Place::open(&arguments)?;
            let plan = Plan {
                workload,
                distribution: distribution.unwrap_or(workload.distribution()),
                threads,
                warmup: Duration::from_secs(warmup),
                duration: Duration::from_secs(duration),
                seed,
            };
            let figures = run::run(&place, &plan)?;
            answer(arguments.json, "ycsb run", place.servers()?, figures, Figures::text);
        }
    }
    Ok(())
}

//! The program `tpcc`: load, run and check TPC-C on any PostgreSQL-wire server.
//!
//! ```text
//!   load   schema, rows (rows) by COPY (load), indexes, foreign keys
//!   run    terminals (run): input --> transactions --statements--> wire --> figures
//!   check  the twelve consistency conditions (check)
//! ```
//!
//! Exit codes: 0 done, and every condition holds; 1 an error or a broken condition; 2 wrong use.
//!
//! Source: TPC-C specification, revision 5.11.

#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use bench::{BenchError, Server, Target, answer, warn};
use clap::{Args, Parser, Subcommand};
use tokio::runtime::Builder;

mod check;
mod input;
mod load;
mod random;
mod rows;
mod run;
mod schema;
mod statements;
mod transactions;
mod wire;

use wire::{Isolation, Manner, Protocol};

/// TPC-C against any PostgreSQL-wire server.
#[derive(Parser)]
#[command(name = "tpcc", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  tpcc load --url postgres://postgres@127.0.0.1:5432/postgres --warehouses 10
  tpcc run --url postgres://postgres@127.0.0.1:5432/postgres --terminals 16 --duration 600 --isolation serializable
  tpcc check --url postgres://postgres@127.0.0.1:5432/postgres --warehouses 10

Port 5432 is PostgreSQL's, 5433 Colonnade's.

A password left out of the URL is taken from PGPASSWORD.
Exit codes: 0 done, and every condition holds; 1 an error or a broken condition; 2 wrong use.";

#[derive(Subcommand)]
enum Command {
    /// Create the tables, fill them by COPY over several connections, add indexes and foreign keys.
    Load {
        #[command(flatten)]
        to: Common,
        /// Warehouses; each is about 100 MB.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        warehouses: u32,
        /// Connections that copy at the same time [default: the number of cores, 2 at least].
        #[arg(long)]
        connections: Option<usize>,
        /// Drop tables of these names first.
        #[arg(long)]
        drop: bool,
        /// Without the two secondary indexes.
        #[arg(long)]
        no_indexes: bool,
        /// Without the foreign keys, for a server that has none or to compare.
        #[arg(long)]
        no_foreign_keys: bool,
        /// Another seed makes other rows.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Run the five transactions and report throughput and latency.
    Run {
        #[command(flatten)]
        on: Common,
        /// Warehouses to use [default: all that are loaded].
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        warehouses: Option<u32>,
        /// Terminals, each with a connection [default: 10 a warehouse with --think, else 16].
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        terminals: Option<u32>,
        /// Seconds to measure.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
        duration: u64,
        /// Seconds to run before.
        #[arg(long, default_value_t = 0)]
        warmup: u64,
        /// Seconds of a line of the curve.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
        interval: u64,
        /// The isolation level of every transaction.
        #[arg(long, value_enum, default_value = "read-committed")]
        isolation: Isolation,
        /// How statements are sent.
        #[arg(long, value_enum, default_value = "prepared")]
        protocol: Protocol,
        /// Send each statement when the one before has answered, also those that do not need its rows.
        #[arg(long)]
        one_by_one: bool,
        /// Wait for keys and thoughts, as the specification wants.
        #[arg(long)]
        think: bool,
        /// Another seed makes other input.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Ask whether the twelve consistency conditions hold; also while a run goes on.
    Check {
        #[command(flatten)]
        on: Common,
        /// Warehouses there must be [default: as many as there are, but one at least].
        #[arg(long)]
        warehouses: Option<u32>,
    },
}

#[derive(Args)]
struct Common {
    /// The server, such as postgres://postgres@127.0.0.1:5432/postgres.
    #[arg(long, value_name = "URL")]
    url: String,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    let command = Cli::parse().command;
    // Terminals mostly wait: in one thread they wake nobody but each other. Rows to load are made by as many as there are cores.
    let runtime = match command {
        Command::Run { .. } => Builder::new_current_thread().enable_all().build(),
        Command::Load { .. } | Command::Check { .. } => Builder::new_multi_thread().enable_all().build(),
    };
    let done = runtime.map_err(Failure::from).and_then(|runtime| runtime.block_on(execute(command)));
    done.unwrap_or_else(|error| {
        warn(&format!("tpcc: {error}"));
        ExitCode::FAILURE
    })
}

async fn execute(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Load { to, warehouses, connections, drop, no_indexes, no_foreign_keys, seed } => {
            let target = Target::parse(&to.url)?;
            let cores = std::thread::available_parallelism().map_or(2, Into::into);
            let plan = load::Plan {
                warehouses,
                connections: connections.unwrap_or(cores).max(1),
                seed,
                drop_first: drop,
                extras: schema::Extras { indexes: !no_indexes, foreign_keys: !no_foreign_keys },
            };
            let loaded = load::load(&target, &plan).await?;
            answer(to.json, "tpcc load", Server::identify(&[target]).await?, loaded, |loaded| {
                format!("loaded {warehouses} warehouses: {} rows in {:.1} s", loaded.rows, loaded.seconds)
            });
            Ok(ExitCode::SUCCESS)
        }
        Command::Run { on, warehouses, terminals, duration, warmup, interval, isolation, protocol, one_by_one, think, seed } => {
            let target = Target::parse(&on.url)?;
            let warehouses = warehouses_of(&target, warehouses).await?;
            let plan = run::Plan {
                warehouses,
                terminals: terminals.unwrap_or(if think { warehouses.saturating_mul(10) } else { 16 }),
                warmup: Duration::from_secs(warmup),
                duration: Duration::from_secs(duration),
                interval: Duration::from_secs(interval),
                manner: Manner { protocol, isolation, pipeline: !one_by_one },
                think,
                seed,
            };
            let figures = run::run(&target, &plan, warn).await?;
            answer(on.json, "tpcc run", Server::identify(&[target]).await?, figures, run::Figures::text);
            Ok(ExitCode::SUCCESS)
        }
        Command::Check { on, warehouses } => {
            let target = Target::parse(&on.url)?;
            let verdicts = check::check(&target, warehouses).await?;
            let all_hold = verdicts.iter().all(|verdict| verdict.holds);
            answer(on.json, "tpcc check", Server::identify(&[target]).await?, verdicts, |verdicts| check::table(verdicts));
            Ok(if all_hold { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

/// How many warehouses a run uses. Errors: fewer are loaded.
async fn warehouses_of(target: &Target, wanted: Option<u32>) -> Result<u32, BenchError> {
    let what = "count the warehouses (tpcc load makes them)";
    let counted = target.connect().await?.text_value(what, "select count(*) from warehouse").await?;
    let loaded: u32 = counted.parse().unwrap_or(0);
    let wanted = wanted.unwrap_or(loaded);
    if loaded == 0 || wanted > loaded {
        return Err(BenchError::Statement { what: what.to_owned(), reason: format!("{loaded} are loaded") });
    }
    Ok(wanted)
}

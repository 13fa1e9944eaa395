//! The program `embedded`: one table in this process, loaded, read by key and updated; beside SQLite if it is built with that.
//!
//! ```text
//!   command line --> rows: a table of either shape --> peers: ours, sqlite, loaded one after the other
//!                    work: reads and updates, the peers in turns, medians of rounds --> table, ratios, memory
//! ```
//!
//! Exit codes: 0 done; 1 an error; 2 wrong use.

#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bench::{Server, answer, warn};
use clap::Parser;

mod memory;
mod ours;
mod rows;
#[cfg(feature = "sqlite")]
mod sqlite;
mod work;

use rows::Shape;
use work::{Case, Figures, Peer};

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// As the server has it.
#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator;

/// One table in this process: loaded, read by key, updated; beside SQLite.
#[derive(Parser)]
#[command(name = "embedded", version, after_help = EXAMPLES)]
struct Cli {
    /// A folder that is not there yet; removed at the end.
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
    /// Rows of the table.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=1_000_000_000))]
    rows: u64,
    /// Of which columns.
    #[arg(long, value_enum, default_value = "mixed")]
    shape: Shape,
    /// Rounds; the figures are their medians.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds of each case of a round.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seconds: u64,
    /// Threads that update at the same time, beside one alone.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    threads: u32,
    /// Colonnade's decoded columns, and SQLite's page cache of each connection.
    #[arg(long, default_value_t = 1280, value_name = "MIB")]
    cache_mib: u32,
    /// Colonnade's recent rows.
    #[arg(long, default_value_t = 1024, value_name = "MIB")]
    delta_mib: u32,
    /// Cases to measure.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Case::ALL)]
    cases: Vec<Case>,
    /// Colonnade alone.
    #[arg(long)]
    alone: bool,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  cargo run --release -p bench --features sqlite --bin embedded -- --folder DIR --rows 1000000
  embedded --folder DIR --rows 1000000 --shape wide
  embedded --folder DIR --rows 100000000 --alone --cache-mib 14000

Exit codes: 0 done; 1 an error; 2 wrong use.";

fn main() -> ExitCode {
    match execute(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            warn(&format!("embedded: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn execute(cli: &Cli) -> Result<(), Failure> {
    std::fs::create_dir(&cli.folder).map_err(|error| format!("create {}: {error}", cli.folder.display()))?;
    let done = measure(cli);
    if let Err(error) = std::fs::remove_dir_all(&cli.folder) {
        warn(&format!("remove {}: {error}", cli.folder.display()));
    }
    let (servers, figures) = done?;
    answer(cli.json, "embedded", servers, figures, Figures::text);
    Ok(())
}

fn measure(cli: &Cli) -> Result<(Vec<Server>, Figures), Failure> {
    let ours = ours::Ours::open(&cli.folder.join("colonnade"), cli.shape, cli.cache_mib, cli.delta_mib)?;
    let peers: Vec<Box<dyn Peer>> = if cli.alone { vec![Box::new(ours)] } else { vec![Box::new(ours), sqlite(cli)?] };
    let servers = peers.iter().map(|peer| Server { url: cli.folder.display().to_string(), version: peer.version() }).collect();
    let plan = work::Plan {
        rows: cli.rows,
        rounds: cli.rounds,
        duration: Duration::from_secs(cli.seconds),
        threads: cli.threads,
        cases: &cli.cases,
    };
    Ok((servers, work::measure(&peers, &plan)?))
}

#[cfg(feature = "sqlite")]
fn sqlite(cli: &Cli) -> Result<Box<dyn Peer>, Failure> {
    Ok(Box::new(sqlite::Sqlite::create(&cli.folder.join("sqlite.db"), cli.shape, cli.cache_mib)?))
}

#[cfg(not(feature = "sqlite"))]
fn sqlite(_: &Cli) -> Result<Box<dyn Peer>, Failure> {
    Err("SQLite is not built in: see the feature sqlite of crate bench, or measure --alone".into())
}

//! The program `colonnade`: commands and flags, nothing clever.
//!
//! ```text
//!   demo    serve    sql    import    export    check
//!             |       \_______|_________|         |
//!           server     client: a data directory   engine
//!                      opened here, or a URL
//! ```
//!
//! 1. Results go to standard output, everything else (progress, logs, errors) to standard error.
//! 2. A message says what to do next. Exit codes are those of [`exit`].
//!
//! Not here: what statements mean (`sql`), the protocol (`server`), storage (`engine`).

#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::num::NonZeroUsize;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod check;
mod client;
mod config;
mod demo;
mod exit;
mod export;
mod files;
mod freed_memory;
mod import;
mod log;
mod names;
mod serve;
mod shell;

use exit::Failure;

#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator;

/// A transactional row store in front of an analytical column store, behind PostgreSQL's protocol or embedded.
#[derive(Parser)]
#[command(name = "colonnade", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  colonnade demo                                   load TPC-H, serve it, query it while orders come in
  colonnade serve --data shop                      serve the directory shop, made at first use; prints the password once
  colonnade import --data shop orders orders.parquet --create
  colonnade sql --data shop -c 'select count(*) from orders'
  colonnade export --data shop 'select * from orders where o_orderkey < 100' some.csv
  colonnade check --data shop

Exit codes:
  0  done
  1  an error; its message says what to do
  2  wrong use of the command line
  3  check found damage
  4  import is done, but some rows were rejected";

#[derive(Subcommand)]
enum Command {
    /// Load TPC-H, serve it, run the 22 queries while orders come in, print what happened.
    Demo(demo::Arguments),
    /// Serve a data directory to PostgreSQL clients.
    Serve(serve::Arguments),
    /// Run SQL from a prompt, the command line or a file.
    Sql(shell::Arguments),
    /// Load CSV and Parquet files into a table.
    Import(import::Arguments),
    /// Write a table or a query's rows to a CSV or Parquet file.
    Export(export::Arguments),
    /// Verify everything in a data directory.
    Check(check::Arguments),
}

fn main() -> ExitCode {
    env::raise_open_files_limit();
    let outcome = match Cli::parse().command {
        Command::Demo(arguments) => run(None, demo::run(arguments)),
        Command::Serve(arguments) => serve::run(arguments),
        Command::Sql(arguments) => run(None, shell::run(arguments)),
        Command::Import(arguments) => run(None, import::run(arguments)),
        Command::Export(arguments) => run(None, export::run(arguments)),
        Command::Check(arguments) => run(None, check::run(arguments)),
    };
    outcome.unwrap_or_else(|failure: Failure| failure.report())
}

/// Runs it on so many threads, by default as many as it is worth (`server::workers`).
fn run(threads: Option<NonZeroUsize>, work: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    server::workers::run(threads, work).map_err(|error| Failure::during("start threads", error))?
}

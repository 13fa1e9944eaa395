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

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod check;
mod client;
mod config;
mod demo;
mod exit;
mod export;
mod files;
mod import;
mod log;
mod names;
mod serve;
mod shell;

use exit::Failure;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    match tokio::runtime::Builder::new_multi_thread().thread_stack_size(sql::STACK_BYTES).enable_all().build() {
        Ok(runtime) => runtime.block_on(run()),
        Err(error) => Failure::during("start threads", error).report(),
    }
}

async fn run() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Demo(arguments) => demo::run(arguments).await,
        Command::Serve(arguments) => serve::run(arguments).await,
        Command::Sql(arguments) => shell::run(arguments).await,
        Command::Import(arguments) => import::run(arguments).await,
        Command::Export(arguments) => export::run(arguments).await,
        Command::Check(arguments) => check::run(arguments).await,
    };
    outcome.unwrap_or_else(|failure: Failure| failure.report())
}

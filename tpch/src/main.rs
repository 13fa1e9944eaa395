//! The program `tpch`: load, run and validate TPC-H, and change its tables under test, on any PostgreSQL-wire server.
//!
//! Exit codes: 0 done and equal; 1 an error, a failed query or a different answer; 2 wrong use.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use bench::{Report, Server, Target, answer, say, warn};
use clap::{Args, Parser, Subcommand};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tpch::{QUERIES, Query};

mod benchmark;
mod generate;
mod load;
mod mixed;
mod run;
mod validate;

/// TPC-H against any PostgreSQL-wire server.
#[derive(Parser)]
#[command(name = "tpch", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  tpch load --url postgres://postgres@127.0.0.1:5433/postgres --scale 1
  tpch validate --url postgres://postgres@127.0.0.1:5433/postgres --scale 1
  tpch run --url postgres://postgres@127.0.0.1:5433/postgres --scale 1 --compare postgres://postgres@127.0.0.1:5432/tpch --json
  tpch benchmark --url postgres://postgres@127.0.0.1:5433/postgres --scale 1 --streams 2
  tpch generate --scale 1 --out sf1

A password left out of the URL is taken from PGPASSWORD.
Exit codes: 0 done and equal; 1 an error, a failed query or a different answer; 2 wrong use.";

#[derive(Subcommand)]
enum Command {
    /// Create the tables and fill them by COPY over several connections.
    Load {
        #[command(flatten)]
        to: Common,
        /// Scale factor: 1 is about 1 GB of text.
        #[arg(long, value_parser = scale)]
        scale: f64,
        /// Connections that copy at the same time [default: the number of cores, 2 at least].
        #[arg(long)]
        connections: Option<usize>,
        /// Drop tables of these names first.
        #[arg(long)]
        drop: bool,
    },
    /// Time the queries.
    Run {
        #[command(flatten)]
        on: Common,
        /// The scale factor that was loaded; looked at before the first round.
        #[arg(long, value_parser = scale)]
        scale: Option<f64>,
        /// A second server with the same data, run in turns with the first; ratios are first over second.
        #[arg(long, value_name = "URL")]
        compare: Option<String>,
        /// Counted rounds.
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// Rounds before them that are not counted.
        #[arg(long, default_value_t = 1)]
        warmups: usize,
        /// Only these queries, such as 1,6,14.
        #[arg(long, value_delimiter = ',', value_parser = query)]
        queries: Vec<Query>,
    },
    /// Compare each query's rows with the expected answer.
    Validate {
        #[command(flatten)]
        on: Common,
        /// The scale factor that was loaded.
        #[arg(long, value_parser = scale)]
        scale: f64,
        /// Expected answers made by scripts/oracle/tpch_answers.py, for scales that have none built in.
        #[arg(long, value_name = "DIR")]
        answers: Option<PathBuf>,
        /// Only these queries, such as 1,6,14.
        #[arg(long, value_delimiter = ',', value_parser = query)]
        queries: Vec<Query>,
    },
    /// Change the tables by many clients while the queries run, and check that nothing is ever lost, doubled or seen half.
    Mixed(mixed::Arguments),
    /// The power test and the throughput test, with the refresh functions. Changes the tables.
    Benchmark {
        #[command(flatten)]
        on: Common,
        /// The scale factor that was loaded; looked at first.
        #[arg(long, value_parser = scale)]
        scale: f64,
        /// Streams of queries at the same time.
        #[arg(long, default_value_t = 2, value_parser = streams)]
        streams: usize,
        /// What the queries' parameters come from.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// The first set of rows that the refresh functions put in and take out; each can be used once.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=900))]
        first_set: i32,
    },
    /// Print the queries, with other parameters than those that answers are known for.
    Queries {
        /// What the parameters come from.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// The scale factor of the tables.
        #[arg(long, value_parser = scale, default_value = "1")]
        scale: f64,
        /// Only these queries, such as 1,6,14.
        #[arg(long, value_delimiter = ',', value_parser = query)]
        queries: Vec<Query>,
    },
    /// Write the tables to files.
    Generate {
        /// Scale factor: 1 is about 1 GB of text.
        #[arg(long, value_parser = scale)]
        scale: f64,
        /// The folder to write to; created if missing.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Parquet or CSV.
        #[arg(long, value_enum, default_value = "parquet")]
        format: generate::Format,
        /// Files a table.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=10_000))]
        parts: i32,
    },
}

#[derive(Args)]
struct Common {
    /// The server, such as postgres://postgres@127.0.0.1:5433/postgres.
    #[arg(long, value_name = "URL")]
    url: String,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

fn scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if (0.001..=100_000.0).contains(&scale) => Ok(scale),
        _ => Err("a scale factor is a number from 0.001 to 100000".into()),
    }
}

fn streams(text: &str) -> Result<usize, String> {
    let streams = text.parse().ok().filter(|streams| (1..=benchmark::STREAMS_MAX).contains(streams));
    streams.ok_or_else(|| format!("there are 1 to {} streams", benchmark::STREAMS_MAX))
}

fn query(text: &str) -> Result<Query, String> {
    let number: usize = text.trim_start_matches(['q', 'Q']).parse().map_err(|_| "a query is a number from 1 to 22")?;
    QUERIES.iter().find(|query| query.number == number).copied().ok_or_else(|| "a query is a number from 1 to 22".into())
}

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    match execute(Cli::parse().command).await {
        Ok(code) => code,
        Err(error) => {
            warn(&format!("tpch: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn execute(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Load { to, scale, connections, drop } => {
            let target = Target::parse(&to.url)?;
            let connections = connections.unwrap_or_else(|| std::thread::available_parallelism().map_or(2, Into::into)).max(2);
            let loaded = load::load(&target, scale, connections, drop).await?;
            answer(to.json, "tpch load", Server::identify(&[target]).await?, loaded, |loaded| {
                format!("loaded scale {scale}: {} rows in {:.1} s", loaded.rows, loaded.seconds)
            });
            Ok(ExitCode::SUCCESS)
        }
        Command::Run { on, scale, compare, rounds, warmups, queries } => {
            let mut targets = vec![Target::parse(&on.url)?];
            if let Some(url) = compare {
                targets.push(Target::parse(&url)?);
            }
            if let Some(scale) = scale {
                run::check_scale(&targets, scale).await?;
            }
            let figures = run::run(&targets, &or_all(queries), warmups, rounds.max(1)).await?;
            let failed = figures.failed();
            figures.errors(&targets).iter().for_each(|line| warn(line));
            answer(on.json, "tpch run", Server::identify(&targets).await?, figures, |figures| figures.table().to_string());
            Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        }
        Command::Validate { on, scale, answers, queries } => {
            let target = Target::parse(&on.url)?;
            let verdicts = validate::validate(&target, &or_all(queries), scale, answers.as_deref()).await?;
            let equal = verdicts.iter().filter(|verdict| verdict.equal).count();
            let all = verdicts.len();
            for verdict in &verdicts {
                verdict.differences.iter().for_each(|difference| warn(&format!("Q{}: {difference}", verdict.query)));
            }
            answer(on.json, "tpch validate", Server::identify(&[target]).await?, verdicts, |verdicts| {
                format!("{}\n{equal} of {all} equal", validate::table(verdicts))
            });
            Ok(if equal == all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Mixed(arguments) => {
            let (target, figures) = mixed::run(&arguments).await?;
            let text = figures.text();
            if arguments.json {
                let server = Server { url: target.to_string(), version: String::new() };
                say(&Report::new("tpch mixed", vec![server], figures).to_json());
            } else {
                say(&text);
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Benchmark { on, scale, streams, seed, first_set } => {
            let targets = [Target::parse(&on.url)?];
            run::check_scale(&targets, scale).await?;
            let figures = benchmark::run(&targets[0], scale, streams, seed, first_set).await?;
            answer(on.json, "tpch benchmark", Server::identify(&targets).await?, figures, benchmark::Figures::text);
            Ok(ExitCode::SUCCESS)
        }
        Command::Queries { seed, scale, queries } => {
            let mut random = StdRng::seed_from_u64(seed);
            or_all(queries).iter().for_each(|query| say(&query.substituted(scale, &mut random)));
            Ok(ExitCode::SUCCESS)
        }
        Command::Generate { scale, out, format, parts } => {
            generate::generate(&out, scale, format, parts).await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn or_all(queries: Vec<Query>) -> Vec<Query> {
    if queries.is_empty() { QUERIES.to_vec() } else { queries }
}

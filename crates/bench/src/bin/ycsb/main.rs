//! The program `ycsb`: workloads A to F on a PostgreSQL-wire server, on a Colonnade directory in this process, or on SQLite.
//!
//! ```text
//!   threads, each with a store: workload --operation--> keys --record--> store (wire | embedded | sqlite) --> latencies
//! ```
//!
//! 1. A time is from the call to its answer with all rows read; choosing the record and its values is outside of it, but inside of
//!    operations a second.
//! 2. An operation that fails, or whose record is not there, ends the run.
//!
//! Exit codes: 0 done; 1 an error; 2 wrong use.

#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bench::{Align, Histogram, Progress, Server, Table, Target, answer, warn};
use clap::{Args, Parser, Subcommand};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use tokio::time::Instant;

#[cfg(feature = "embedded")]
mod embedded;
mod keys;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;
mod wire;
mod workload;

use keys::{Chooser, Distribution, Inserted, key_of};
use store::{FIELDS, Failure, Fields, Sql, Store};
use workload::{Operation, SCAN_MAX, Workload};

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
        /// Threads, each with a connection.
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

#[derive(Args)]
struct PlaceArguments {
    #[command(flatten)]
    place: OnePlace,
    /// SQLite's page cache of each connection.
    #[arg(long, default_value_t = 256, value_name = "MIB")]
    sqlite_cache: u32,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct OnePlace {
    /// A server, such as postgres://postgres@127.0.0.1:5433/postgres.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// A Colonnade directory, opened by this process.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// An SQLite file.
    #[arg(long, value_name = "FILE")]
    sqlite: Option<PathBuf>,
}

/// Where the table is.
enum Place {
    Wire(Target),
    #[cfg(feature = "embedded")]
    Embedded {
        database: colonnade::Database,
        shown: String,
    },
    #[cfg(feature = "sqlite")]
    Sqlite {
        file: PathBuf,
        cache_mib: u32,
    },
}

impl Place {
    fn open(arguments: &PlaceArguments) -> Result<Place, Failure> {
        match &arguments.place {
            OnePlace { url: Some(url), .. } => Ok(Place::Wire(Target::parse(url)?)),
            #[cfg(feature = "embedded")]
            OnePlace { data: Some(data), .. } => {
                let opened = colonnade::Database::open(data);
                let database = opened.map_err(|error| format!("open {}: {}", data.display(), error.message))?;
                Ok(Place::Embedded { database, shown: data.display().to_string() })
            }
            #[cfg(feature = "sqlite")]
            OnePlace { sqlite: Some(file), .. } => Ok(Place::Sqlite { file: file.clone(), cache_mib: arguments.sqlite_cache }),
            _ => Err("this place is not built in: see the features embedded and sqlite of crate bench".into()),
        }
    }

    fn connect(&self) -> Result<Box<dyn Store>, Failure> {
        Ok(match self {
            Place::Wire(target) => Box::new(wire::Wire::open(target)?),
            #[cfg(feature = "embedded")]
            Place::Embedded { database, .. } => Box::new(embedded::Embedded::open(database)?),
            #[cfg(feature = "sqlite")]
            Place::Sqlite { file, cache_mib } => Box::new(sqlite::Sqlite::open(file, *cache_mib)?),
        })
    }

    /// Who was measured, for the report.
    fn servers(&self) -> Result<Vec<Server>, Failure> {
        match self {
            Place::Wire(target) => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                Ok(runtime.block_on(Server::identify(std::slice::from_ref(target)))?)
            }
            #[cfg(feature = "embedded")]
            Place::Embedded { shown, .. } => {
                Ok(vec![Server { url: shown.clone(), version: format!("Colonnade {} in process", env!("CARGO_PKG_VERSION")) }])
            }
            #[cfg(feature = "sqlite")]
            Place::Sqlite { file, cache_mib } => Ok(vec![Server {
                url: file.display().to_string(),
                version: format!("SQLite {}, WAL, synchronous FULL, cache {cache_mib} MiB", rusqlite::version()),
            }]),
        }
    }
}

#[derive(Debug, Serialize)]
struct Loaded {
    records: u64,
    threads: u32,
    seconds: f64,
    records_per_second: f64,
}

#[derive(Debug, Serialize)]
struct Figures {
    workload: Workload,
    distribution: Distribution,
    records: u64,
    threads: u32,
    seconds: f64,
    operations_per_second: f64,
    operations: Vec<OperationFigures>,
}

#[derive(Debug, Serialize)]
struct OperationFigures {
    operation: Operation,
    count: u64,
    mean_us: f64,
    p50_us: f64,
    p95_us: f64,
    p99_us: f64,
    p999_us: f64,
    max_us: f64,
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
            let loaded = load(&place, records, threads, drop)?;
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
            let figures = run(&place, &plan)?;
            answer(arguments.json, "ycsb run", place.servers()?, figures, Figures::text);
        }
    }
    Ok(())
}

fn load(place: &Place, records: u64, threads: u32, drop_first: bool) -> Result<Loaded, Failure> {
    let mut first = place.connect()?;
    if drop_first {
        first.run(store::DROP)?;
    }
    first.run(&Sql::new('$').create)?;
    #[cfg(feature = "sqlite")]
    let threads = if matches!(place, Place::Sqlite { .. }) { 1 } else { threads };
    let started = Instant::now();
    let progress = Progress::rows("load", Some(records));
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..u64::from(threads))
            .map(|worker| {
                let (progress, share) = (&progress, |worker: u64| records * worker / u64::from(threads));
                scope.spawn(move || place.connect()?.load(share(worker)..share(worker + 1), &mut Fields::new(worker), progress))
            })
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker of the load does not panic"))
    })?;
    progress.finish();
    let seconds = started.elapsed().as_secs_f64();
    let counted = first.number(store::COUNT)?;
    if counted != records {
        return Err(format!("{counted} records are there, {records} were sent").into());
    }
    // Where it is known it helps PostgreSQL's plans; where not, nothing is lost.
    drop(first.run("analyze usertable"));
    Ok(Loaded { records, threads, seconds, records_per_second: records as f64 / seconds })
}

struct Plan {
    workload: Workload,
    distribution: Distribution,
    threads: u32,
    warmup: Duration,
    duration: Duration,
    seed: u64,
}

/// Latencies by operation.
type Latencies = [Histogram; 5];

fn run(place: &Place, plan: &Plan) -> Result<Figures, Failure> {
    let records = place.connect()?.number(store::COUNT)?;
    if records == 0 {
        return Err("the table is empty: ycsb load fills it".into());
    }
    let inserted = Inserted::new(records);
    let chooser = Chooser::new(plan.distribution, records);
    let mut stores = Vec::new();
    for _ in 0..plan.threads {
        let mut store = place.connect()?;
        store.prepare()?;
        stores.push(store);
    }
    let started = Instant::now() + plan.warmup;
    let failed = AtomicBool::new(false);
    let latencies = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..)
            .zip(stores)
            .map(|(number, store)| {
                let (chooser, inserted, failed) = (chooser.clone(), &inserted, &failed);
                let client = Client::new(plan, number, chooser, inserted);
                scope.spawn(move || {
                    let done = client.work(store, started, started + plan.duration, failed);
                    failed.fetch_or(done.is_err(), Ordering::Relaxed);
                    done
                })
            })
            .collect();
        let mut all = Latencies::default();
        for client in clients {
            let latencies = client.join().expect("a client does not panic")?;
            all.iter_mut().zip(&latencies).for_each(|(all, one)| all.merge(one));
        }
        Ok::<_, Failure>(all)
    })?;
    Ok(figures(plan, records, &latencies))
}

/// A thread's part of a run.
struct Client<'a> {
    workload: Workload,
    chooser: Chooser,
    inserted: &'a Inserted,
    rng: StdRng,
    fields: Fields,
}

impl<'a> Client<'a> {
    fn new(plan: &Plan, number: u64, chooser: Chooser, inserted: &'a Inserted) -> Client<'a> {
        let seed = plan.seed.wrapping_mul(1_000_003).wrapping_add(number);
        Client { workload: plan.workload, chooser, inserted, rng: StdRng::seed_from_u64(seed), fields: Fields::new(seed) }
    }

    /// Works until `end`, or until another has failed; counts what begins at `start` or later and ends by `end`.
    fn work(
        mut self,
        mut store: Box<dyn Store>,
        start: Instant,
        end: Instant,
        failed: &AtomicBool,
    ) -> Result<Latencies, Failure> {
        let mut latencies = Latencies::default();
        while !failed.load(Ordering::Relaxed) {
            let operation = self.workload.draw(&mut self.rng);
            let (began, ended) = self.once(store.as_mut(), operation)?;
            if ended > end {
                break;
            }
            if began >= start {
                latencies[operation as usize].record(ended - began);
            }
        }
        Ok(latencies)
    }

    /// Runs one operation: when it began and ended.
    fn once(&mut self, store: &mut dyn Store, operation: Operation) -> Result<(Instant, Instant), Failure> {
        if operation == Operation::Insert {
            let record = self.inserted.take();
            let (key, values) = (key_of(record), self.fields.values());
            let began = Instant::now();
            store.insert(&key, &values)?;
            let ended = Instant::now();
            self.inserted.acknowledge(record);
            return Ok((began, ended));
        }
        let key = key_of(self.chooser.choose(self.inserted.records(), &mut self.rng));
        let (field, scanned) = (self.rng.random_range(0..FIELDS), self.rng.random_range(1..=SCAN_MAX));
        let value = self.fields.value();
        let began = Instant::now();
        let found = match operation {
            Operation::Read => store.read(&key)?,
            Operation::Update => store.update(&key, field, value)?,
            Operation::Scan => store.scan(&key, scanned)? > 0,
            Operation::ReadModifyWrite => store.read(&key)? && store.update(&key, field, value)?,
            Operation::Insert => unreachable!("inserted above"),
        };
        let ended = Instant::now();
        if found { Ok((began, ended)) } else { Err(format!("{}: {key} is not there", operation.name()).into()) }
    }
}

fn figures(plan: &Plan, records: u64, latencies: &Latencies) -> Figures {
    let microseconds = |time: Duration| time.as_secs_f64() * 1e6;
    let seconds = plan.duration.as_secs_f64();
    let seen = Operation::ALL.into_iter().zip(latencies).filter(|(_, latency)| latency.count() > 0);
    let operations: Vec<_> = seen
        .map(|(operation, latency)| OperationFigures {
            operation,
            count: latency.count(),
            mean_us: microseconds(latency.mean()),
            p50_us: microseconds(latency.quantile(0.5)),
            p95_us: microseconds(latency.quantile(0.95)),
            p99_us: microseconds(latency.quantile(0.99)),
            p999_us: microseconds(latency.quantile(0.999)),
            max_us: microseconds(latency.max()),
        })
        .collect();
    Figures {
        workload: plan.workload,
        distribution: plan.distribution,
        records,
        threads: plan.threads,
        seconds,
        operations_per_second: operations.iter().map(|figures| figures.count).sum::<u64>() as f64 / seconds,
        operations,
    }
}

impl Figures {
    fn text(&self) -> String {
        let columns = ["count", "mean us", "p50", "p95", "p99", "p99.9", "max"];
        let mut table = Table::new([("", Align::Left)].into_iter().chain(columns.map(|name| (name, Align::Right))));
        for figures in &self.operations {
            let times = [figures.mean_us, figures.p50_us, figures.p95_us, figures.p99_us, figures.p999_us, figures.max_us];
            let named = [figures.operation.name().to_owned(), figures.count.to_string()];
            table.row(named.into_iter().chain(times.map(|us| format!("{us:.1}"))));
        }
        let Figures { workload, distribution, records, threads, operations_per_second, .. } = self;
        format!(
            "{table}\n{workload:?} {distribution:?}, {records} records, {threads} threads: {operations_per_second:.0} operations/s"
        )
    }
}

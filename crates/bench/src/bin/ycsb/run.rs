//! `ycsb load` and `ycsb run`: threads, each with a store, and the latencies of what they did.
//!
//! ```text
//!   threads, each with a store: workload --operation--> keys --record--> store (wire | embedded | sqlite) --> latencies
//! ```
//!
//! 1. A time is from the call to its answer with all rows read; choosing the record and its values is outside of it, but inside of
//!    operations a second.
//! 2. An operation that fails, or whose record is not there, ends the run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bench::{Align, Histogram, Progress, Table};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use tokio::time::Instant;

use crate::keys::{Chooser, Distribution, Inserted, key_of};
use crate::place::Place;
use crate::store::{self, FIELDS, Failure, Fields, Sql, Store};
use crate::workload::{Operation, SCAN_MAX, Workload};

#[derive(Debug, Serialize)]
pub(crate) struct Loaded {
    records: u64,
    threads: u32,
    pub(crate) seconds: f64,
    pub(crate) records_per_second: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Figures {
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

/// Makes the table and fills it. Errors: it is there, or the store's.
pub(crate) fn load(place: &Place, records: u64, threads: u32, drop_first: bool) -> Result<Loaded, Failure> {
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

/// What to run.
pub(crate) struct Plan {
    pub(crate) workload: Workload,
    pub(crate) distribution: Distribution,
    pub(crate) threads: u32,
    pub(crate) warmup: Duration,
    pub(crate) duration: Duration,
    pub(crate) seed: u64,
}

/// Latencies by operation.
type Latencies = [Histogram; 5];

/// Runs a workload. Errors: the table is empty, or the first that a client has.
pub(crate) fn run(place: &Place, plan: &Plan) -> Result<Figures, Failure> {
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
    /// As a table.
    pub(crate) fn text(&self) -> String {
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

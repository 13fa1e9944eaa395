//! `ycsb load` and `ycsb run`: clients, each with a connection, and the latencies of what they did.
//!
//! ```text
//!   clients, each with a connection: workload --operation--> keys --record--> wire | embedded | sqlite --> latencies
//! ```
//!
//! 1. A time is from the call to its answer with all rows read; choosing the record and its values is outside of it, but inside of
//!    operations a second.
//! 2. An operation that fails, or whose record is not there, ends the run.
//! 3. Clients of a server share one thread: what the driver takes of the cores the server does not get. Those in process are threads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bench::{Align, Histogram, Progress, Table};
use futures::TryStreamExt as _;
use futures::stream::FuturesUnordered;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use tokio::runtime::Builder;
use tokio::time::Instant;

#[cfg(feature = "embedded")]
use crate::embedded::EmbeddedRecords;
use crate::keys::{Chooser, Distribution, Inserted, key_of};
use crate::place::Place;
#[cfg(feature = "sqlite")]
use crate::sqlite::Sqlite;
use crate::store::{self, FIELDS, Failure, Fields, Records, Sql};
use crate::wire::WireRecords;
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
    let begin =
        || Run { plan, chooser: &chooser, inserted: &inserted, started: Instant::now() + plan.warmup, failed: false.into() };
    let latencies = match place {
        Place::Wire(target) => Builder::new_current_thread().enable_all().build()?.block_on(async {
            let mut connections = Vec::new();
            for _ in 0..plan.threads {
                connections.push(WireRecords::open(target).await?);
            }
            let run = begin();
            let clients = (0..).zip(connections).map(|(number, connection)| run.client(number, connection));
            clients.collect::<FuturesUnordered<_>>().try_collect::<Vec<_>>().await
        }),
        #[cfg(feature = "embedded")]
        Place::Embedded { database, .. } => in_threads(plan.threads, begin, || EmbeddedRecords::open(database)),
        #[cfg(feature = "sqlite")]
        Place::Sqlite { file, cache_mib } => in_threads(plan.threads, begin, || Sqlite::open(file, *cache_mib)),
    }?;
    let mut all = Latencies::default();
    for latencies in latencies {
        all.iter_mut().zip(&latencies).for_each(|(all, one)| all.merge(one));
    }
    Ok(figures(plan, records, &all))
}

/// What the clients of a run share.
struct Run<'a> {
    plan: &'a Plan,
    chooser: &'a Chooser,
    inserted: &'a Inserted,
    /// Counting begins.
    started: Instant,
    failed: AtomicBool,
}

impl Run<'_> {
    async fn client(&self, number: u64, mut records: impl Records) -> Result<Latencies, Failure> {
        let seed = self.plan.seed.wrapping_mul(1_000_003).wrapping_add(number);
        let (rng, fields) = (StdRng::seed_from_u64(seed), Fields::new(seed));
        let mut client = Client { run: self, chooser: self.chooser.clone(), rng, fields, latencies: Latencies::default() };
        let done = client.work(&mut records).await;
        self.failed.fetch_or(done.is_err(), Ordering::Relaxed);
        done.map(|()| client.latencies)
    }
}

/// Clients that never wait.
#[cfg(any(feature = "embedded", feature = "sqlite"))]
fn in_threads<'a, R: Records + Send>(
    threads: u32,
    begin: impl Fn() -> Run<'a>,
    open: impl Fn() -> Result<R, Failure>,
) -> Result<Vec<Latencies>, Failure> {
    use futures::FutureExt as _;

    let connections: Vec<R> = (0..threads).map(|_| open()).collect::<Result<_, _>>()?;
    let run = &begin();
    std::thread::scope(|scope| {
        let client = move |(number, connection)| {
            scope.spawn(move || run.client(number, connection).now_or_never().expect("in process nothing waits"))
        };
        let clients: Vec<_> = (0..).zip(connections).map(client).collect();
        clients.into_iter().map(|client| client.join().expect("a client does not panic")).collect()
    })
}

/// A client's part of a run.
struct Client<'a> {
    run: &'a Run<'a>,
    chooser: Chooser,
    rng: StdRng,
    fields: Fields,
    latencies: Latencies,
}

impl Client<'_> {
    /// Works until the end, or until another has failed; counts what begins after the warmup and ends by the end.
    async fn work(&mut self, records: &mut impl Records) -> Result<(), Failure> {
        let end = self.run.started + self.run.plan.duration;
        while !self.run.failed.load(Ordering::Relaxed) {
            let operation = self.run.plan.workload.draw(&mut self.rng);
            let (began, ended) = self.once(records, operation).await?;
            if ended > end {
                break;
            }
            if began >= self.run.started {
                self.latencies[operation as usize].record(ended - began);
            }
        }
        Ok(())
    }

    /// Runs one operation: when it began and ended.
    async fn once(&mut self, records: &mut impl Records, operation: Operation) -> Result<(Instant, Instant), Failure> {
        let inserted = self.run.inserted;
        if operation == Operation::Insert {
            let record = inserted.take();
            let (key, values) = (key_of(record), self.fields.values());
            let began = Instant::now();
            records.insert(&key, &values).await?;
            let ended = Instant::now();
            inserted.acknowledge(record);
            return Ok((began, ended));
        }
        let key = key_of(self.chooser.choose(inserted.records(), &mut self.rng));
        let (field, scanned) = (self.rng.random_range(0..FIELDS), self.rng.random_range(1..=SCAN_MAX));
        let value = self.fields.value();
        let began = Instant::now();
        let found = match operation {
            Operation::Read => records.read(&key).await?,
            Operation::Update => records.update(&key, field, value).await?,
            Operation::Scan => records.scan(&key, scanned).await? > 0,
            Operation::ReadModifyWrite => records.read(&key).await? && records.update(&key, field, value).await?,
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

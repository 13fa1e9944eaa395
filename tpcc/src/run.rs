//! `tpcc run`: terminals, each a connection and a task, until the time is up; figures per transaction and per interval.
//!
//! ```text
//!   |-- warm-up --|-- interval --|-- interval --| .. |-- rest --|
//!    not counted   a line each, and added up
//! ```
//!
//! 1. A time is from the first statement to the answer to COMMIT, with all attempts that the server asked for (40001, 40P01); keying
//!    and thinking are outside of it.
//! 2. Counted is what ends inside the measured time; what is under way at its end is carried through and not counted.
//! 3. NOPM is committed New-Orders a minute. tpmC here adds the one in a hundred that the profile rolls back; it is only like the
//!    specification's, whose rules for publishing are not followed.
//! 4. An answer that the data cannot give, or an error that is no conflict, ends the run.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bench::{Align, BenchError, Histogram, Table as Grid, Target};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::input::{Deck, Home, Input, Kind};
use crate::random::{Constants, Random};
use crate::statements;
use crate::transactions::{self, Outcome};
use crate::wire::{Connection, Fault, Isolation, Manner, Protocol};

/// A transaction that the server asks to run again more often than this is given up, and counted as such.
const ATTEMPTS_MAX: u32 = 1000;

/// What to run.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) warehouses: u32,
    pub(crate) terminals: u32,
    pub(crate) warmup: Duration,
    pub(crate) duration: Duration,
    pub(crate) interval: Duration,
    pub(crate) manner: Manner,
    pub(crate) think: bool,
    pub(crate) seed: u64,
}

/// What was counted of one kind of transaction.
#[derive(Clone, Default)]
struct Count {
    latency: Histogram,
    committed: u64,
    rolled_back: u64,
    serialization_failures: u64,
    deadlocks: u64,
    given_up: u64,
}

/// What was counted in some time.
#[derive(Clone, Default)]
struct Tally {
    counts: [Count; 5],
    skipped_deliveries: u64,
}

impl Tally {
    fn merge(&mut self, other: &Tally) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            mine.latency.merge(&theirs.latency);
            mine.committed += theirs.committed;
            mine.rolled_back += theirs.rolled_back;
            mine.serialization_failures += theirs.serialization_failures;
            mine.deadlocks += theirs.deadlocks;
            mine.given_up += theirs.given_up;
        }
        self.skipped_deliveries += other.skipped_deliveries;
    }

    fn of(&mut self, kind: Kind) -> &mut Count {
        &mut self.counts[kind as usize]
    }

    fn new_orders(&self) -> u64 {
        self.counts[Kind::NewOrder as usize].committed
    }

    fn transactions(&self) -> u64 {
        self.counts.iter().map(|count| count.committed + count.rolled_back).sum()
    }

    fn retries(&self) -> u64 {
        self.counts.iter().map(|count| count.serialization_failures + count.deadlocks).sum()
    }
}

/// Figures of a kind of transaction.
#[derive(Debug, Serialize)]
pub(crate) struct KindFigures {
    pub(crate) transaction: Kind,
    pub(crate) committed: u64,
    pub(crate) rolled_back: u64,
    pub(crate) mix_percent: f64,
    pub(crate) serialization_failures: u64,
    pub(crate) deadlocks: u64,
    pub(crate) given_up: u64,
    pub(crate) mean_ms: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) p95_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
}

/// A point of the curve.
#[derive(Debug, Serialize)]
pub(crate) struct Point {
    /// Seconds from the start of the measured time to the end of the interval.
    pub(crate) second: f64,
    pub(crate) new_orders: u64,
    pub(crate) nopm: f64,
    pub(crate) transactions: u64,
    pub(crate) new_order_p50_ms: f64,
    pub(crate) new_order_p99_ms: f64,
    pub(crate) retries: u64,
}

/// The figures of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) warehouses: u32,
    pub(crate) terminals: u32,
    pub(crate) seconds: f64,
    pub(crate) isolation: Isolation,
    pub(crate) protocol: Protocol,
    pub(crate) pipeline: bool,
    pub(crate) think: bool,
    pub(crate) seed: u64,
    /// Committed New-Orders a minute.
    pub(crate) nopm: f64,
    /// New-Orders a minute, with those that are rolled back as they must.
    pub(crate) tpmc: f64,
    /// All transactions a second.
    pub(crate) tps: f64,
    pub(crate) retries: u64,
    pub(crate) skipped_deliveries: u64,
    pub(crate) transactions: Vec<KindFigures>,
    pub(crate) curve: Vec<Point>,
}

/// What the terminals share: the tally of the interval that is going on.
type Shared = Arc<Mutex<Tally>>;

fn locked(shared: &Shared) -> MutexGuard<'_, Tally> {
    // Counting does not panic half-way, so the tally is whole.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `plan`; `say` gets a line at the end of each interval. Errors: the first that a terminal has.
pub(crate) async fn run(target: &Target, plan: &Plan, say: impl Fn(&str)) -> Result<Figures, BenchError> {
    let statements = statements::all();
    let mut connections = Vec::new();
    for _ in 0..plan.terminals {
        connections.push(Connection::open(target, plan.manner, &statements).await?);
    }
    let shared = Shared::default();
    let started = Instant::now() + plan.warmup;
    let end = started + plan.duration;
    let mut terminals = JoinSet::new();
    for (number, connection) in (0..).zip(connections) {
        terminals.spawn(terminal(number, connection, *plan, end, Arc::clone(&shared)));
    }

    let mut total = Tally::default();
    let mut curve = Vec::new();
    let mut interval_started = started;
    let mut due = started;
    let mut warm = false;
    loop {
        tokio::select! {
            () = sleep_until(due) => {}
            Some(ended) = terminals.join_next() => {
                ended.expect("a terminal neither panics nor is aborted")?;
                continue;
            }
        }
        let now = Instant::now().min(end);
        let tally = std::mem::take(&mut *locked(&shared));
        if !warm {
            // The warm-up ends here.
            (warm, interval_started) = (true, started);
        } else if now > interval_started {
            let point = point(&tally, (now - interval_started).as_secs_f64(), (now - started).as_secs_f64());
            say(&point.line());
            curve.push(point);
            total.merge(&tally);
            interval_started = now;
        }
        if now >= end {
            break;
        }
        due = (due + plan.interval).min(end);
    }
    while let Some(terminal) = terminals.join_next().await {
        terminal.expect("a terminal neither panics nor is aborted")?;
    }
    Ok(figures(plan, &total, curve))
}

async fn terminal(number: u32, mut connection: Connection, plan: Plan, end: Instant, shared: Shared) -> Result<(), BenchError> {
    let home = Home::of(number, plan.warehouses);
    let mut random = Random::new(plan.seed, number.into(), Constants::of_run(plan.seed));
    let mut deck = Deck::default();
    while Instant::now() < end {
        let kind = deck.draw(&mut random);
        let input = Input::draw(kind, home, &mut random);
        if plan.think {
            sleep(kind.keying().min(end.saturating_duration_since(Instant::now()))).await;
        }
        let started = Instant::now();
        let tried = attempts(&mut connection, &input).await;
        let took = started.elapsed();
        let tried = tried.map_err(|fault| BenchError::Statement { what: kind.name().to_owned(), reason: fault.to_string() })?;
        if Instant::now() <= end {
            record(&mut locked(&shared), kind, took, &tried);
        }
        if plan.think {
            sleep(kind.think(&mut random).min(end.saturating_duration_since(Instant::now()))).await;
        }
    }
    Ok(())
}

/// What became of a transaction.
#[derive(Default)]
struct Tried {
    outcome: Option<Outcome>,
    serialization_failures: u64,
    deadlocks: u64,
}

async fn attempts(connection: &mut Connection, input: &Input) -> Result<Tried, Fault> {
    let mut tried = Tried::default();
    for _ in 0..ATTEMPTS_MAX {
        match transactions::run(connection, input).await {
            Ok(outcome) => {
                tried.outcome = Some(outcome);
                break;
            }
            Err(fault) => {
                match fault.code() {
                    Some("40001") => tried.serialization_failures += 1,
                    Some("40P01") => tried.deadlocks += 1,
                    _ => return Err(fault),
                }
                connection.rollback().await?;
            }
        }
    }
    Ok(tried)
}

fn record(tally: &mut Tally, kind: Kind, took: Duration, tried: &Tried) {
    let count = tally.of(kind);
    count.serialization_failures += tried.serialization_failures;
    count.deadlocks += tried.deadlocks;
    match tried.outcome {
        Some(Outcome::Committed | Outcome::Skipped(_)) => count.committed += 1,
        Some(Outcome::RolledBack) => count.rolled_back += 1,
        None => {
            count.given_up += 1;
            return;
        }
    }
    count.latency.record(took);
    if let Some(Outcome::Skipped(districts)) = tried.outcome {
        tally.skipped_deliveries += districts;
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn point(tally: &Tally, seconds: f64, second: f64) -> Point {
    let latency = &tally.counts[Kind::NewOrder as usize].latency;
    Point {
        second,
        new_orders: tally.new_orders(),
        nopm: tally.new_orders() as f64 / seconds * 60.0,
        transactions: tally.transactions(),
        new_order_p50_ms: milliseconds(latency.quantile(0.5)),
        new_order_p99_ms: milliseconds(latency.quantile(0.99)),
        retries: tally.retries(),
    }
}

impl Point {
    fn line(&self) -> String {
        let Point { second, nopm, transactions, new_order_p50_ms: p50, new_order_p99_ms: p99, retries, .. } = self;
        format!(
            "{second:6.1} s  {nopm:9.0} NOPM  {transactions:8} transactions  New-Order p50 {p50:.1} ms, p99 {p99:.1} ms  {retries} retries"
        )
    }
}

fn figures(plan: &Plan, total: &Tally, curve: Vec<Point>) -> Figures {
    let seconds = plan.duration.as_secs_f64();
    let (new_orders, all) = (total.new_orders(), total.transactions());
    let rolled_back = total.counts[Kind::NewOrder as usize].rolled_back;
    let transactions = Kind::ALL.into_iter().zip(&total.counts).map(|(kind, count)| {
        let quantile = |quantile| milliseconds(count.latency.quantile(quantile));
        KindFigures {
            transaction: kind,
            committed: count.committed,
            rolled_back: count.rolled_back,
            mix_percent: (count.committed + count.rolled_back) as f64 * 100.0 / all.max(1) as f64,
            serialization_failures: count.serialization_failures,
            deadlocks: count.deadlocks,
            given_up: count.given_up,
            mean_ms: milliseconds(count.latency.mean()),
            p50_ms: quantile(0.5),
            p90_ms: quantile(0.9),
            p95_ms: quantile(0.95),
            p99_ms: quantile(0.99),
            p999_ms: quantile(0.999),
            max_ms: milliseconds(count.latency.max()),
        }
    });
    Figures {
        warehouses: plan.warehouses,
        terminals: plan.terminals,
        seconds,
        isolation: plan.manner.isolation,
        protocol: plan.manner.protocol,
        pipeline: plan.manner.pipeline,
        think: plan.think,
        seed: plan.seed,
        nopm: new_orders as f64 / seconds * 60.0,
        tpmc: (new_orders + rolled_back) as f64 / seconds * 60.0,
        tps: all as f64 / seconds,
        retries: total.retries(),
        skipped_deliveries: total.skipped_deliveries,
        transactions: transactions.collect(),
        curve,
    }
}

impl Figures {
    /// The figures for people.
    pub(crate) fn text(&self) -> String {
        let columns = ["committed", "rolled back", "mix %", "retries", "mean ms", "p50", "p90", "p95", "p99", "p99.9", "max"];
        let mut grid = Grid::new([("", Align::Left)].into_iter().chain(columns.map(|name| (name, Align::Right))));
        for figures in &self.transactions {
            let times = [
                figures.mean_ms,
                figures.p50_ms,
                figures.p90_ms,
                figures.p95_ms,
                figures.p99_ms,
                figures.p999_ms,
                figures.max_ms,
            ];
            let counts = [
                figures.transaction.name().to_owned(),
                figures.committed.to_string(),
                figures.rolled_back.to_string(),
                format!("{:.1}", figures.mix_percent),
                (figures.serialization_failures + figures.deadlocks).to_string(),
            ];
            grid.row(counts.into_iter().chain(times.map(|ms| format!("{ms:.2}"))));
        }
        let sum = |of: fn(&KindFigures) -> u64| self.transactions.iter().map(of).sum::<u64>();
        format!(
            "{grid}\n{:.0} NOPM, {:.0} tpmC-like, {:.0} transactions/s; {} serialization failures, {} deadlocks, {} given up, {} \
             deliveries skipped",
            self.nopm,
            self.tpmc,
            self.tps,
            sum(|figures| figures.serialization_failures),
            sum(|figures| figures.deadlocks),
            sum(|figures| figures.given_up),
            self.skipped_deliveries,
        )
    }
}

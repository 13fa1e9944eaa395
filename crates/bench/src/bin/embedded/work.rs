//! What the peers are asked to do, in turns, and the figures of it.
//!
//! ```text
//!   load each --> for each case: a round without figures, then rounds: each peer for some seconds, the one that begins changing
//! ```
//!
//! 1. Ids are drawn uniformly: of all rows, or for `recent` of those written last.
//! 2. A figure is of the whole loop: drawing an id, the call, looking at what it gave.

use std::ops::Range;
use std::time::Duration;

use bench::{Align, Progress, Table};
use clap::ValueEnum;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use tokio::time::Instant;

use crate::Failure;
use crate::memory::{Memory, resident, watched};

/// Rows written last, which are read as `recent`.
const RECENT_ROWS: u64 = 100_000;
/// Operations between two looks at the clock.
const UNTIMED: u64 = 16;

/// A case to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Case {
    /// Reads by key of any row, one thread.
    Read,
    /// The same, two threads.
    Read2,
    /// Reads by key of rows written lately, one thread.
    ReadRecent,
    /// Durable updates by key, one thread.
    Update,
    /// Durable updates by key, many threads.
    UpdateMany,
}

impl Case {
    pub(crate) const ALL: [Case; 5] = [Case::Read, Case::Read2, Case::ReadRecent, Case::Update, Case::UpdateMany];
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.to_possible_value().expect("no case is hidden").get_name())
    }
}

/// Ids to work on, until time is up.
pub(crate) struct Job<'a> {
    ids: &'a Range<u64>,
    rng: StdRng,
    until: Instant,
    done: u64,
}

impl Job<'_> {
    /// The next id; None when time is up. An id asked for says that the one before is done.
    pub(crate) fn next(&mut self) -> Option<u64> {
        self.done += 1;
        if self.done.is_multiple_of(UNTIMED) && Instant::now() >= self.until {
            return None;
        }
        Some(self.rng.random_range(self.ids.clone()))
    }

    /// How many are done.
    pub(crate) fn done(&self) -> u64 {
        self.done.saturating_sub(1)
    }
}

/// A database with the table.
pub(crate) trait Peer: Sync {
    fn name(&self) -> &'static str;
    fn version(&self) -> String;
    /// Makes the table and fills it the fastest way there is.
    fn load(&self, rows: u64, progress: &Progress) -> Result<(), Failure>;
    /// Writes rows, so that they are where recent ones are.
    fn make_recent(&self, rows: Range<u64>) -> Result<(), Failure>;
    /// Reads rows by key, every column. How many.
    fn read(&self, job: Job<'_>) -> Result<u64, Failure>;
    /// Updates rows by key, each in a durable transaction. How many.
    fn update(&self, job: Job<'_>) -> Result<u64, Failure>;
    /// Its own account of memory.
    fn memory(&self) -> Option<Memory>;
}

pub(crate) struct Plan<'a> {
    pub(crate) rows: u64,
    pub(crate) rounds: u32,
    pub(crate) duration: Duration,
    pub(crate) threads: u32,
    pub(crate) cases: &'a [Case],
}

#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    rows: u64,
    lines: Vec<Line>,
}

/// What a peer did in a case.
#[derive(Debug, Serialize)]
struct Line {
    case: String,
    peer: &'static str,
    per_second: f64,
    /// Of a thread, for one operation.
    mean_us: f64,
    /// This peer's rate by the last one's.
    ratio: f64,
    resident_most: u64,
    memory: Option<Memory>,
}

/// Errors: the peers'.
pub(crate) fn measure(peers: &[Box<dyn Peer>], plan: &Plan<'_>) -> Result<Figures, Failure> {
    let mut lines = Vec::new();
    let mut loaded = Vec::new();
    for peer in peers {
        let progress = Progress::rows(peer.name(), Some(plan.rows));
        let started = Instant::now();
        let (done, most) = watched(|| peer.load(plan.rows, &progress));
        done?;
        progress.finish();
        loaded.push((vec![plan.rows as f64 / started.elapsed().as_secs_f64()], most));
    }
    add(&mut lines, peers, "load", 1, loaded);
    for case in plan.cases {
        let (threads, ids) = match case {
            Case::Read | Case::Update => (1, 0..plan.rows),
            Case::Read2 => (2, 0..plan.rows),
            Case::ReadRecent => (1, plan.rows - RECENT_ROWS.min(plan.rows)..plan.rows),
            Case::UpdateMany => (plan.threads, 0..plan.rows),
        };
        if *case == Case::ReadRecent {
            peers.iter().try_for_each(|peer| peer.make_recent(ids.clone()))?;
        }
        let mut found: Vec<(Vec<f64>, u64)> = peers.iter().map(|_| (Vec::new(), resident())).collect();
        for round in 0..=plan.rounds {
            let order: Vec<usize> = if round % 2 == 0 { (0..peers.len()).collect() } else { (0..peers.len()).rev().collect() };
            for at in order {
                let (rate, most) = watched(|| once(peers[at].as_ref(), *case, threads, &ids, plan.duration, round));
                // The first round warms up.
                if round > 0 {
                    found[at].0.push(rate?);
                    found[at].1 = found[at].1.max(most);
                }
            }
        }
        add(&mut lines, peers, &case.to_string(), threads, found);
    }
    Ok(Figures { rows: plan.rows, lines })
}

/// Operations a second of all threads.
fn once(peer: &dyn Peer, case: Case, threads: u32, ids: &Range<u64>, duration: Duration, round: u32) -> Result<f64, Failure> {
    let started = Instant::now();
    let work = |thread: u32| {
        let seed = u64::from(round) * 1000 + u64::from(thread);
        let job = Job { ids, rng: StdRng::seed_from_u64(seed), until: started + duration, done: 0 };
        match case {
            Case::Read | Case::Read2 | Case::ReadRecent => peer.read(job),
            Case::Update | Case::UpdateMany => peer.update(job),
        }
    };
    let done = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker does not panic")).sum::<Result<u64, Failure>>()
    })?;
    Ok(done as f64 / started.elapsed().as_secs_f64())
}

/// Adds the medians of a case.
fn add(lines: &mut Vec<Line>, peers: &[Box<dyn Peer>], case: &str, threads: u32, found: Vec<(Vec<f64>, u64)>) {
    let medians: Vec<f64> = found.iter().map(|(rates, _)| median(rates)).collect();
    let last = medians.last().copied().unwrap_or(f64::NAN);
    for ((peer, (_, resident_most)), per_second) in peers.iter().zip(found).zip(medians) {
        lines.push(Line {
            case: if threads == 1 { case.to_owned() } else { format!("{case} x{threads}") },
            peer: peer.name(),
            per_second,
            mean_us: 1e6 * f64::from(threads) / per_second,
            ratio: per_second / last,
            resident_most,
            memory: peer.memory(),
        });
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Figures {
    /// As a table.
    pub(crate) fn text(&self) -> String {
        let columns = ["per second", "mean us", "ratio", "resident MiB", "cache", "recent", "index"];
        let names = [("", Align::Left), ("", Align::Left)];
        let mut table = Table::new(names.into_iter().chain(columns.map(|name| (name, Align::Right))));
        let mib = |bytes: u64| (bytes >> 20).to_string();
        for line in &self.lines {
            let memory = line.memory.map_or(Default::default(), |memory| [memory.cache, memory.delta, memory.index].map(mib));
            let figures = [format!("{:.0}", line.per_second), format!("{:.2}", line.mean_us), format!("{:.2}", line.ratio)];
            let named = [line.case.clone(), line.peer.to_owned()];
            table.row(named.into_iter().chain(figures).chain([mib(line.resident_most)]).chain(memory));
        }
        format!("{table}\n{} rows; resident memory is the process's, the most while the case ran", self.rows)
    }
}

//! `tpch benchmark`: the power test and the throughput test, with the refresh functions.
//!
//! ```text
//!   power        RF1 of set 1, the 22 queries in the order of stream 0, RF2 of set 1                       one after another
//!   throughput   queries of stream 1 | queries of stream 2 | .. | RF1, RF2 of set 2; RF1, RF2 of set 3; ..  at the same time
//! ```
//!
//! 1. A refresh function is one transaction: RF1 puts in the orders of a set, with their lines, under keys that the generator leaves
//!    free; RF2 takes out as many of the first load's. A set is a thousandth of the orders, and each is for one time only.
//! 2. A query's time is from sending it to its last row.
//!
//! Not as the specification has it: a new order has the values of the one it takes the place of, under another key; how many streams there
//! have to be (2 at scale 1, 3 at scale 10) is left to who runs it; nothing is audited.
//!
//! Source: TPC-H specification 3.0, 2.5 to 2.7 (refresh functions), 5.3 and 5.4 (tests and metrics), appendix A (orders of queries).

use bench::{Align, BenchError, Session, Table as Grid, Target, geometric_mean};
use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tpch::{QUERIES, Table};

/// The queries of stream 0 and of the streams beside one another.
const ORDERS: [[usize; 22]; 5] = [
    [14, 2, 9, 20, 6, 17, 18, 8, 21, 13, 3, 22, 16, 4, 11, 15, 1, 10, 19, 5, 7, 12],
    [21, 3, 18, 5, 11, 7, 6, 20, 17, 12, 16, 15, 13, 10, 2, 8, 14, 19, 9, 22, 1, 4],
    [6, 17, 14, 16, 19, 10, 9, 2, 15, 8, 5, 22, 12, 7, 13, 18, 1, 4, 20, 3, 11, 21],
    [8, 5, 4, 6, 17, 7, 1, 18, 22, 14, 9, 10, 15, 11, 20, 2, 21, 19, 13, 16, 12, 3],
    [5, 21, 14, 19, 15, 17, 12, 6, 4, 9, 8, 16, 11, 2, 10, 18, 1, 13, 7, 22, 3, 20],
];
/// Streams beside one another, at most.
pub(crate) const STREAMS_MAX: usize = ORDERS.len() - 1;
/// Sets that the orders are divided into.
const SETS: i32 = 1000;
/// Between the key of an order and that of the one that takes its place: of 32 keys in a row the generator uses the first eight.
const KEYS_APART: i64 = 8;
/// Keys that a statement of RF2 names.
const KEYS_PER_STATEMENT: usize = 1000;

/// What was measured. Times are in seconds, rates in queries an hour, at the scale.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    scale: f64,
    streams: usize,
    /// By number, in the power test.
    queries: Vec<f64>,
    refresh: [f64; 2],
    power: f64,
    throughput_seconds: f64,
    throughput: f64,
    composite: f64,
}

/// Runs both tests on tables of this scale, from refresh set `first` on.
pub(crate) async fn run(target: &Target, scale: f64, streams: usize, seed: u64, first: i32) -> Result<Figures, BenchError> {
    let session = target.connect().await?;
    let first_refresh = insert(&session, scale, first).await?;
    let mut queries = vec![0.0; QUERIES.len()];
    for (number, seconds) in stream(&session, scale, 0, seed).await? {
        queries[number - 1] = seconds;
    }
    let refresh = [first_refresh, delete(&session, scale, first).await?];
    let times: Vec<f64> = queries.iter().chain(&refresh).copied().collect();
    // Of times that are too short to be told from others a thousandth of the longest counts.
    let least = times.iter().copied().fold(0.0, f64::max) / 1000.0;
    let mean = geometric_mean(times.iter().map(|time| time.max(least))).unwrap_or(f64::NAN);
    let power = 3600.0 / mean * scale;

    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for number in 1..=streams {
        let session = target.connect().await?;
        tasks.spawn(async move { stream(&session, scale, number, seed).await.map(drop) });
    }
    tasks.spawn(async move {
        for set in 1..=streams as i32 {
            insert(&session, scale, first + set).await?;
            delete(&session, scale, first + set).await?;
        }
        Ok(())
    });
    while let Some(task) = tasks.join_next().await {
        task.expect("a stream neither panics nor is aborted")?;
    }
    let throughput_seconds = started.elapsed().as_secs_f64();
    let throughput = (streams * QUERIES.len()) as f64 * 3600.0 / throughput_seconds * scale;
    let composite = (power * throughput).sqrt();
    Ok(Figures { scale, streams, queries, refresh, power, throughput_seconds, throughput, composite })
}

/// The queries in a stream's order, each with the seconds it took.
async fn stream(session: &Session, scale: f64, number: usize, seed: u64) -> Result<Vec<(usize, f64)>, BenchError> {
    let mut random = StdRng::seed_from_u64(seed.wrapping_add(number as u64));
    let mut times = Vec::new();
    for query in ORDERS[number] {
        let text = QUERIES[query - 1].substituted(scale, &mut random);
        let started = Instant::now();
        session.count_rows(&format!("run Q{query} of stream {number}"), &text).await?;
        times.push((query, started.elapsed().as_secs_f64()));
    }
    Ok(times)
}

/// RF1; the seconds it took.
async fn insert(session: &Session, scale: f64, set: i32) -> Result<f64, BenchError> {
    let rows = [Table::Orders, Table::LineItem].map(|table| {
        let chunks = table.copy_chunks(scale, set, SETS).map(|chunk| moved(&chunk.bytes)).collect::<Vec<_>>();
        (table, chunks)
    });
    let started = Instant::now();
    session.run("begin RF1", "begin").await?;
    for (table, chunks) in rows {
        let sql = format!("copy {} from stdin with (delimiter '|')", table.name());
        let chunks = futures::stream::iter(chunks.into_iter().map(Ok));
        session.copy_in(&format!("copy set {set} into {}", table.name()), &sql, chunks).await?;
    }
    session.run("commit RF1", "commit").await?;
    Ok(started.elapsed().as_secs_f64())
}

/// RF2; the seconds it took.
async fn delete(session: &Session, scale: f64, set: i32) -> Result<f64, BenchError> {
    let chunks: Vec<_> = Table::Orders.copy_chunks(scale, set, SETS).collect();
    let keys: Vec<String> = chunks.iter().flat_map(|chunk| keys(&chunk.bytes)).map(|(key, _)| key.to_string()).collect();
    let started = Instant::now();
    session.run("begin RF2", "begin").await?;
    for keys in keys.chunks(KEYS_PER_STATEMENT) {
        let keys = keys.join(", ");
        session.run("delete lines", &format!("delete from lineitem where l_orderkey in ({keys})")).await?;
        session.run("delete orders", &format!("delete from orders where o_orderkey in ({keys})")).await?;
    }
    session.run("commit RF2", "commit").await?;
    Ok(started.elapsed().as_secs_f64())
}

/// Of rows as COPY text each key, which comes first, and the rest.
fn keys(rows: &Bytes) -> impl Iterator<Item = (i64, &str)> {
    let text = std::str::from_utf8(rows).expect("the generator makes text");
    text.lines().map(|line| {
        let (key, rest) = line.split_once('|').expect("a row has several values");
        (key.parse().expect("the key is a number"), rest)
    })
}

/// The rows under the keys that are free.
fn moved(rows: &Bytes) -> Bytes {
    keys(rows).map(|(key, rest)| format!("{}|{rest}\n", key + KEYS_APART)).collect::<String>().into()
}

impl Figures {
    /// The figures for people.
    pub(crate) fn text(&self) -> String {
        let mut grid = Grid::new(vec![("", Align::Left), ("s", Align::Right)]);
        let queries = self.queries.iter().enumerate().map(|(at, seconds)| (format!("Q{}", at + 1), *seconds));
        let refresh = ["RF1", "RF2"].map(str::to_owned).into_iter().zip(self.refresh);
        for (name, seconds) in queries.chain(refresh) {
            grid.row(vec![name, format!("{seconds:.3}")]);
        }
        let Figures { scale, streams, power, throughput_seconds, throughput, composite, .. } = self;
        let throughput = format!("throughput@{scale} {throughput:.0} ({streams} streams, {throughput_seconds:.1} s)");
        format!("{grid}\npower@{scale} {power:.0}, {throughput}, QphH@{scale} {composite:.0}")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_stream_has_every_query() {
        for order in ORDERS {
            assert_eq!(order.into_iter().collect::<BTreeSet<_>>(), (1..=22).collect());
        }
    }

    #[test]
    fn sets_are_a_thousandth_under_keys_that_are_free() {
        let keys_of = |table: Table, part, parts| -> BTreeSet<i64> {
            table
                .copy_chunks(0.01, part, parts)
                .flat_map(|chunk| keys(&chunk.bytes).map(|(key, _)| key).collect::<Vec<_>>())
                .collect()
        };
        let all = keys_of(Table::Orders, 1, 1);
        let set = keys_of(Table::Orders, 7, SETS);
        assert_eq!((all.len(), set.len()), (15_000, 15));
        assert!(set.is_subset(&all) && set.iter().all(|key| !all.contains(&(key + KEYS_APART))));
        assert_eq!(keys_of(Table::LineItem, 7, SETS), set);
        let rows = Table::Orders.copy_chunks(0.01, 7, SETS).next().unwrap().bytes;
        assert_eq!(keys(&moved(&rows)).map(|(key, _)| key - KEYS_APART).collect::<BTreeSet<_>>(), set);
    }
}

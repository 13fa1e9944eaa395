//! `tpch run`: the queries timed, on one server or on two in turns.
//!
//! ```text
//!   round   Q1: A B   Q2: B A   Q3: A B ..      the server that goes first alternates, so that neither always finds warm caches
//! ```
//!
//! 1. Warm-up rounds run first and are not counted.
//! 2. A time is from sending the prepared query to the last row read, undecoded; preparing counts too.

use bench::{Align, BenchError, Session, Table as Grid, Target, Timings, geometric_mean};
use serde::Serialize;
use tokio::time::Instant;
use tpch::Query;

use crate::Failure;

/// TPC-H 4.2.5: rows of `supplier` a scale unit.
const SUPPLIERS_PER_SCALE: f64 = 10_000.0;

/// The figures of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) rounds: usize,
    pub(crate) warmups: usize,
    pub(crate) queries: Vec<QueryFigures>,
    /// Per server: the sum over the queries of the shortest time, and of the median, in milliseconds.
    pub(crate) total_min_ms: Vec<f64>,
    pub(crate) total_median_ms: Vec<f64>,
    /// Per server: the geometric mean of the shortest times, in milliseconds.
    pub(crate) geomean_ms: Vec<Option<f64>>,
    /// The first server's shortest time over the second's: geometric mean over the queries both ran.
    pub(crate) ratio_geomean: Option<f64>,
}

/// One query's figures, an entry a server.
#[derive(Debug, Serialize)]
pub(crate) struct QueryFigures {
    pub(crate) query: usize,
    pub(crate) rows: Vec<Option<u64>>,
    pub(crate) min_ms: Vec<Option<f64>>,
    pub(crate) median_ms: Vec<Option<f64>>,
    pub(crate) rounds_ms: Vec<Vec<f64>>,
    /// The first error of each server that had one; its times are then left out.
    pub(crate) errors: Vec<Option<String>>,
}

#[derive(Default)]
struct Cell {
    timings: Timings,
    rows: Option<u64>,
    error: Option<String>,
}

/// Runs `queries` on each server, `warmups` + `rounds` times.
pub(crate) async fn run(targets: &[Target], queries: &[Query], warmups: usize, rounds: usize) -> Result<Figures, BenchError> {
    let mut sessions = Vec::new();
    for target in targets {
        sessions.push(target.connect().await?);
    }
    let mut cells: Vec<Vec<Cell>> = queries.iter().map(|_| targets.iter().map(|_| Cell::default()).collect()).collect();
    for round in 0..warmups + rounds {
        for (index, (query, row)) in queries.iter().zip(&mut cells).enumerate() {
            let first = (round + index) % targets.len();
            for server in (0..targets.len()).map(|offset| (first + offset) % targets.len()) {
                if row[server].error.is_none() {
                    once(&targets[server], &mut sessions[server], query, round >= warmups, &mut row[server]).await?;
                }
            }
        }
    }
    Ok(figures(queries, &cells, warmups, rounds, targets.len()))
}

/// Errors unless each server holds the tables of this scale factor, by the number of suppliers.
pub(crate) async fn check_scale(targets: &[Target], scale: f64) -> Result<(), Failure> {
    let expected = (scale * SUPPLIERS_PER_SCALE) as u64;
    for target in targets {
        let found = target.connect().await?.text_value("count suppliers", "select count(*) from supplier").await?;
        if found.parse() != Ok(expected) {
            return Err(format!("{target}: supplier has {found} rows, scale {scale} has {expected}").into());
        }
    }
    Ok(())
}

async fn once(target: &Target, session: &mut Session, query: &Query, counted: bool, cell: &mut Cell) -> Result<(), BenchError> {
    let started = Instant::now();
    match session.count_rows(&format!("run Q{}", query.number), query.text).await {
        Ok(rows) => {
            if counted {
                cell.timings.push(started.elapsed());
            }
            cell.rows = Some(rows);
        }
        Err(error) => {
            cell.error = Some(error.to_string());
            if session.client().is_closed() {
                *session = target.connect().await?;
            }
        }
    }
    Ok(())
}

fn milliseconds(time: std::time::Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn figures(queries: &[Query], cells: &[Vec<Cell>], warmups: usize, rounds: usize, servers: usize) -> Figures {
    let per_query: Vec<_> = queries
        .iter()
        .zip(cells)
        .map(|(query, row)| {
            let ok = |cell: &Cell, time: std::time::Duration| cell.error.is_none().then(|| milliseconds(time));
            QueryFigures {
                query: query.number,
                rows: row.iter().map(|cell| cell.rows).collect(),
                min_ms: row.iter().map(|cell| ok(cell, cell.timings.min())).collect(),
                median_ms: row.iter().map(|cell| ok(cell, cell.timings.median())).collect(),
                rounds_ms: row.iter().map(|cell| cell.timings.rounds().iter().copied().map(milliseconds).collect()).collect(),
                errors: row.iter().map(|cell| cell.error.clone()).collect(),
            }
        })
        .collect();
    let sum = |of: fn(&QueryFigures) -> &[Option<f64>]| -> Vec<f64> {
        (0..servers).map(|server| per_query.iter().filter_map(|query| of(query)[server]).sum()).collect()
    };
    Figures {
        rounds,
        warmups,
        total_min_ms: sum(|query| &query.min_ms),
        total_median_ms: sum(|query| &query.median_ms),
        geomean_ms: (0..servers)
            .map(|server| geometric_mean(per_query.iter().filter_map(|query| query.min_ms[server])))
            .collect(),
        ratio_geomean: geometric_mean(per_query.iter().filter_map(QueryFigures::ratio)),
        queries: per_query,
    }
}

impl QueryFigures {
    fn ratio(&self) -> Option<f64> {
        match self.min_ms[..] {
            [Some(first), Some(second)] => Some(first / second),
            _ => None,
        }
    }
}

impl Figures {
    /// True if a server refused or failed a query.
    pub(crate) fn failed(&self) -> bool {
        self.queries.iter().any(|query| query.errors.iter().any(Option::is_some))
    }

    /// The figures for people.
    pub(crate) fn table(&self) -> Grid {
        let compared = self.total_min_ms.len() == 2;
        let mut heads =
            vec![("query", Align::Left), ("rows", Align::Right), ("min ms", Align::Right), ("median ms", Align::Right)];
        if compared {
            heads.extend([("other min ms", Align::Right), ("other median ms", Align::Right), ("ratio", Align::Right)]);
        }
        let mut grid = Grid::new(heads);
        let number = |value: Option<f64>| value.map_or_else(|| "error".into(), |ms| format!("{ms:.1}"));
        for query in &self.queries {
            let rows = query.rows[0].map_or_else(|| "-".into(), |rows| rows.to_string());
            let mut row = vec![format!("Q{}", query.query), rows, number(query.min_ms[0]), number(query.median_ms[0])];
            if compared {
                let ratio = query.ratio().map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}"));
                row.extend([number(query.min_ms[1]), number(query.median_ms[1]), ratio]);
            }
            grid.row(row);
        }
        let mut totals = vec!["total".into(), String::new()];
        let mut means = vec!["geomean".into(), String::new()];
        for server in 0..self.total_min_ms.len() {
            totals.extend([number(Some(self.total_min_ms[server])), number(Some(self.total_median_ms[server]))]);
            means.extend([self.geomean_ms[server].map_or_else(|| "-".into(), |ms| format!("{ms:.1}")), String::new()]);
        }
        if compared {
            totals.push(format!("{:.2}", self.total_min_ms[0] / self.total_min_ms[1]));
            means.push(self.ratio_geomean.map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}")));
        }
        grid.row(totals);
        grid.row(means);
        grid
    }

    /// A line per server and query that failed.
    pub(crate) fn errors(&self, targets: &[Target]) -> Vec<String> {
        let of_query = |query: &QueryFigures| -> Vec<String> {
            let errors = query.errors.iter().zip(targets);
            errors.filter_map(|(error, target)| Some(format!("{target}: {}", error.as_ref()?))).collect()
        };
        self.queries.iter().flat_map(of_query).collect()
    }
}

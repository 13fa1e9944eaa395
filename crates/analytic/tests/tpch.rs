//! The 22 queries of TPC-H at scale 0.01, compared with DuckDB's answers.

#![allow(clippy::unwrap_used)]

mod support;

// The files of the `tpch` crate, which may not be a dependency here: it drives servers, and stands above them.
#[path = "../../../tpch/src/answers.rs"]
#[allow(dead_code, unreachable_pub, missing_docs)]
mod answers;
#[path = "../../../tpch/src/data.rs"]
#[allow(dead_code, unreachable_pub, missing_docs)]
mod data;
#[path = "../../../tpch/src/queries.rs"]
#[allow(dead_code, unreachable_pub, missing_docs)]
mod queries;

use answers::Answer;
use arrow::array::{RecordBatch, UInt32Array};
use data::Table;
use queries::{QUERIES, SCHEMA};
use roaring::RoaringBitmap;
use support::Database;

const SCALE: f64 = 0.01;

/// All tables; every third row of the larger ones is in the delta, and dead where it was.
fn database(spread: bool) -> Database {
    let mut database = Database::new(SCHEMA);
    for table in Table::ALL {
        let units: Vec<RecordBatch> = table.batches(SCALE, 1, 1, 20_000).map(Result::unwrap).collect();
        let (mut dead, mut delta) = (vec![], vec![]);
        if spread {
            for unit in &units {
                let moved: UInt32Array = (0..unit.num_rows() as u32).filter(|row| row % 3 == 1).collect();
                delta.push(arrow::compute::take_record_batch(unit, &moved).unwrap());
                dead.push(moved.values().iter().copied().collect::<RoaringBitmap>());
            }
        }
        database.fill(table.name(), units, dead, delta);
    }
    database
}

fn check(database: &Database) {
    let mut failed = Vec::new();
    for query in &QUERIES {
        let expected = Answer::stored(query, SCALE).expect("there are answers for this scale").unwrap();
        let sql = query.text.trim().trim_end_matches(';');
        match database.rows(sql) {
            Ok(rows) => {
                if let Err(differences) = expected.compare(query, &rows) {
                    failed.push(format!("Q{}: {}", query.number, differences.join("\n    ")));
                }
            }
            Err(error) => failed.push(format!("Q{}: {error:?}", query.number)),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn all_22_queries_answer_as_duckdb_does() {
    check(&database(false));
}

#[test]
fn where_a_row_lives_changes_no_answer() {
    check(&database(true));
}

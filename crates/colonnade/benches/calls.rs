//! What the hot calls of the library cost: rows by key from recent rows and from a segment, ranges, and durable writes of one row.
//!
//! `cargo bench --workspace --features colonnade/criterion --bench calls`
//!
//! Tables have 200,000 rows of ten columns, about 100 bytes each. Keys are drawn at random, so that memory is what it is at work.

#![allow(missing_docs, reason = "what criterion's macros make is not read by anybody")]
#![allow(clippy::unwrap_used, reason = "a program for people")]

use std::cell::RefCell;
use std::hint::black_box;

use colonnade::{Connection, Database, Value};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

const ROWS: i64 = 200_000;

/// A number of each round, not in order.
struct Numbers(i64);

impl Numbers {
    fn next(&mut self) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33).rem_euclid(ROWS)
    }
}

/// A table of [`ROWS`] rows, in a segment; or, `written` by small statements, among the recent rows.
fn fill(connection: &mut Connection, table: &str, written: bool) {
    let columns =
        "id bigint PRIMARY KEY, a bigint, b int, c int, d numeric(15,2), e date, f text, g varchar(10), h char(1), i text";
    connection.execute(&format!("CREATE TABLE {table} ({columns})")).unwrap();
    let step = if written { 500 } else { ROWS };
    for from in (0..ROWS).step_by(step as usize) {
        let rows = format!(
            "SELECT g, g * 3, 7, g % 1000, 9.99, DATE '2024-02-29', 'Customer#' || g, 'BUILDING', 'F', '15-768-687-3665'
             FROM generate_series({from}, {}) AS s (g)",
            from + step - 1
        );
        connection.execute(&format!("INSERT INTO {table} {rows}")).unwrap();
    }
    if !written {
        connection.execute(&format!("VACUUM {table}")).unwrap();
    }
}

fn reads(c: &mut Criterion) {
    let database = Database::in_memory().unwrap();
    let mut connection = database.connect().unwrap();
    let mut numbers = Numbers(1);
    for (place, table, written) in [("a segment", "loaded", false), ("recent rows", "written", true)] {
        fill(&mut connection, table, written);
        let all = connection.prepare(&format!("SELECT * FROM {table} WHERE id = $1")).unwrap();
        let one = connection.prepare(&format!("SELECT f FROM {table} WHERE id = $1")).unwrap();
        let range = connection.prepare(&format!("SELECT * FROM {table} WHERE id >= $1 ORDER BY id LIMIT 20")).unwrap();
        for id in 0..ROWS {
            assert_eq!(connection.query_prepared(&all, &[Value::from(id)]).unwrap().len(), 1);
        }
        let mut group = c.benchmark_group(format!("read from {place}"));
        for (name, statement) in
            [("a row of ten columns by key", &all), ("one column by key", &one), ("a range of 20 rows", &range)]
        {
            group.bench_function(name, |b| {
                b.iter(|| black_box(connection.query_prepared(statement, &[Value::from(numbers.next())]).unwrap()))
            });
        }
        group.finish();
    }
}

fn writes(c: &mut Criterion) {
    let database = Database::in_memory().unwrap();
    let mut connection = database.connect().unwrap();
    let mut numbers = Numbers(2);
    fill(&mut connection, "t", false);
    let update = connection.prepare("UPDATE t SET a = a + 1 WHERE id = $1").unwrap();
    let insert = connection
        .prepare("INSERT INTO t VALUES ($1, 1, 7, 3, 9.99, '2024-02-29', 'Customer', 'BUILDING', 'F', '15-768')")
        .unwrap();
    let mut next = ROWS;
    let mut group = c.benchmark_group("write");
    group.bench_function("update of one row, durable", |b| {
        b.iter(|| connection.execute_prepared(&update, &[Value::from(numbers.next())]).unwrap())
    });
    group.bench_function("insert of one row, durable", |b| {
        b.iter(|| {
            next += 1;
            connection.execute_prepared(&insert, &[Value::from(next)]).unwrap()
        })
    });
    // What statement and commit cost apart.
    connection.execute("BEGIN").unwrap();
    group.bench_function("update of one row in a transaction", |b| {
        b.iter(|| connection.execute_prepared(&update, &[Value::from(numbers.next())]).unwrap())
    });
    connection.execute("COMMIT").unwrap();
    let connection = RefCell::new(connection);
    group.bench_function("commit of one row, durable", |b| {
        let change = || {
            let mut connection = connection.borrow_mut();
            connection.execute("BEGIN").unwrap();
            connection.execute_prepared(&update, &[Value::from(numbers.next())]).unwrap();
        };
        b.iter_batched(change, |()| connection.borrow_mut().execute("COMMIT").unwrap(), BatchSize::PerIteration)
    });
    group.finish();
}

criterion_group!(benches, reads, writes);
criterion_main!(benches);

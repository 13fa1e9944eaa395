//! Queries that have little memory.

#![allow(clippy::unwrap_used)]

mod common;

use common::Client;
use env::RealEnv;
use sql::{Instance, Options};
use types::SqlState;

/// What is computed once had all memory there is, and its readers none.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_of_with_leaves_memory_to_those_who_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { query_threads: 2, query_memory_bytes_max: 24 << 20, ..Options::default() };
    let instance = Instance::open(RealEnv::new(), dir.path(), options).unwrap();
    let mut client = Client::new(&instance);
    // 32 MB of rows; the join holds a tenth of them.
    let text = "WITH c AS (SELECT x * 7919::bigint AS x, x::bigint AS y FROM generate_series(1, 2000000) AS g (x)) \
        SELECT count(*), max(a.y) FROM c AS a JOIN c AS b ON a.x = b.x WHERE b.y <= 200000";
    let outcome = client.ok(text).await;
    assert_eq!(outcome.rows, [[Some("200000".to_owned()), Some("200000".to_owned())]]);
}

/// A condition that is computed where rows are read is of the query, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_condition_of_a_scan_has_the_memory_of_its_query() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { query_threads: 2, query_memory_bytes_max: 64 << 20, ..Options::default() };
    let instance = Instance::open(RealEnv::new(), dir.path(), options).unwrap();
    let mut client = Client::new(&instance);
    client.ok("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT * FROM generate_series(1, 20)").await;
    let error = client.error("SELECT id FROM t WHERE length(repeat('x', 10000000) || id) > 5").await;
    assert_eq!(error.state, SqlState::OUT_OF_MEMORY);
}

/// A hash join whose smaller side is more than the memory failed with 53200.
#[tokio::test(flavor = "multi_thread")]
async fn a_join_of_more_than_the_memory_is_done_by_sorting() {
    for query_threads in [1, 2] {
        join_with_little_memory(query_threads).await;
    }
}

async fn join_with_little_memory(query_threads: usize) {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { query_threads, query_memory_bytes_max: 96 << 20, ..Options::default() };
    let instance = Instance::open(RealEnv::new(), dir.path(), options).unwrap();
    let mut client = Client::new(&instance);
    client.ok("CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL, s text NOT NULL)").await;
    for part in 0..6 {
        let rows = format!("generate_series({}, {}) AS g (x)", part * 50_000 + 1, (part + 1) * 50_000);
        client
            .ok(&format!("INSERT INTO t SELECT x, x * 7919::bigint % 1000003, repeat('some text ', 50) || x FROM {rows}"))
            .await;
    }
    let text = "SELECT count(*), sum(length(a.s || b.s)) FROM t AS a JOIN t AS b ON a.n = b.n";
    let expected = client.ok("SELECT count(*), sum(2 * length(s)) FROM t").await;
    assert_eq!(client.ok(text).await.rows, expected.rows);
    assert_eq!(client.ok(&format!("WITH c AS MATERIALIZED ({text}) SELECT * FROM c")).await.rows, expected.rows);
    // Not twice what does something each time.
    let error = client.error(&text.replace("FROM t AS a", "FROM (SELECT *, random() AS r FROM t OFFSET 0) AS a")).await;
    assert_eq!(error.state, SqlState::OUT_OF_MEMORY);
}

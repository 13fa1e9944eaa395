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
    let dir = tempfile::tempdir().unwrap();
    let options = Options { query_threads: 2, query_memory_bytes_max: 32 << 20, ..Options::default() };
    let instance = Instance::open(RealEnv::new(), dir.path(), options).unwrap();
    let mut client = Client::new(&instance);
    client.ok("CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL, s text NOT NULL)").await;
    client
        .ok("INSERT INTO t SELECT x, x * 7919::bigint % 1000003, repeat('some text ', 12) || x FROM generate_series(1, 300000) AS g (x)")
        .await;
    let text = "SELECT count(*), sum(length(a.s || b.s)) FROM t AS a JOIN t AS b ON a.n = b.n";
    let expected = client.ok("SELECT count(*), sum(2 * length(s)) FROM t").await;
    assert_eq!(client.ok(text).await.rows, expected.rows);
}

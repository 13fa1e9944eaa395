//! Statements that write while others write the same rows: what PostgreSQL says at READ COMMITTED and REPEATABLE READ.
//!
//! Each story: `a` holds a row, `b` meets it and waits, `a` ends. The expectations follow PostgreSQL 15's documentation and source; they
//! have not been recorded from a server yet.

#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{Client, Outcome, instance};
use sql::Answer;
use types::{SqlError, SqlState};

/// What `b` got, having waited for `a` to run `end`.
async fn after(a: &mut Client, mut b: Client, text: &'static str, end: &str) -> (Result<Outcome, SqlError>, Client) {
    let waiter = tokio::spawn(async move { (b.run(text).await, b) });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!waiter.is_finished(), "{text} did not wait");
    a.ok(end).await;
    waiter.await.unwrap()
}

/// A result on one line.
async fn shown(c: &mut Client, text: &str) -> String {
    let rows = c.ok(text).await.rows;
    let row = |row: Vec<Option<String>>| row.into_iter().map(|v| v.unwrap_or("NULL".into())).collect::<Vec<_>>().join(" ");
    rows.into_iter().map(row).collect::<Vec<_>>().join(", ")
}

const TABLE: &str = "CREATE TABLE t (k int PRIMARY KEY, v int, n text); INSERT INTO t VALUES (1, 10, 'a'), (2, 20, 'b')";

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_changed_is_looked_at_again_and_no_other_is_found() {
    for (text, tag, left) in [
        // Hermitage, PMP with a write: the row that is 20 now is not the one that was.
        ("DELETE FROM t WHERE v = 20", "DELETE 0", "1 20, 2 30"),
        ("DELETE FROM t WHERE v >= 20", "DELETE 1", "1 20"),
        ("UPDATE t SET v = v + 1 WHERE v IN (10, 30)", "UPDATE 0", "1 20, 2 30"),
        ("UPDATE t SET v = v + 1 WHERE v > 0", "UPDATE 2", "1 21, 2 31"),
        // The others of a join are those of the snapshot.
        ("UPDATE t SET v = o.v FROM t AS o WHERE o.k = t.k", "UPDATE 2", "1 10, 2 20"),
        ("UPDATE t SET v = t.v + o.v FROM t AS o WHERE o.k = 3 - t.k AND t.v < 25", "UPDATE 1", "1 40, 2 30"),
        ("UPDATE t SET v = t.v + o.v FROM t AS o WHERE o.k = 3 - t.k AND o.v = 10", "UPDATE 1", "1 20, 2 40"),
        ("UPDATE t SET v = (SELECT sum(v) FROM t) WHERE v > 0", "UPDATE 2", "1 30, 2 30"),
        ("UPDATE t SET v = 0 WHERE v = (SELECT max(v) FROM t)", "UPDATE 0", "1 20, 2 30"),
        ("UPDATE t SET n = 'x' WHERE k = (SELECT k FROM t WHERE v = 20)", "UPDATE 1", "1 20, 2 30"),
        ("UPDATE t SET k = k + 10 WHERE v = 30 OR v = 10", "UPDATE 0", "1 20, 2 30"),
        ("UPDATE t SET k = k + 10 WHERE v < 100", "UPDATE 2", "11 20, 12 30"),
        ("WITH d AS (DELETE FROM t WHERE v < 30 RETURNING *) SELECT count(*) FROM d", "SELECT 1", "2 30"),
    ] {
        let (instance, _dir) = instance();
        let (mut a, b) = (Client::new(&instance), Client::new(&instance));
        a.ok(TABLE).await;
        a.ok("BEGIN; UPDATE t SET v = v + 10").await;
        let (outcome, mut b) = after(&mut a, b, text, "COMMIT").await;
        assert_eq!(outcome.unwrap().tag, tag, "{text}");
        assert_eq!(shown(&mut b, "SELECT k, v FROM t ORDER BY k").await, left, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_conflict_waits_for_a_row_that_is_not_committed() {
    // The second form has no row kernel.
    for text in [
        "INSERT INTO t VALUES (3, 1, 'b') ON CONFLICT (k) DO UPDATE SET v = t.v + excluded.v",
        "INSERT INTO t VALUES (3, 1, 'b') ON CONFLICT (k) DO UPDATE SET v = abs(t.v) + excluded.v",
        "WITH x AS (INSERT INTO t VALUES (3, 1, 'b') ON CONFLICT (k) DO UPDATE SET v = t.v + excluded.v) SELECT 1",
    ] {
        for (end, left) in [("COMMIT", "101"), ("ROLLBACK", "1")] {
            let (instance, _dir) = instance();
            let (mut a, b) = (Client::new(&instance), Client::new(&instance));
            a.ok(TABLE).await;
            a.ok("BEGIN; INSERT INTO t VALUES (3, 100, 'a')").await;
            let (outcome, mut b) = after(&mut a, b, text, end).await;
            outcome.unwrap();
            assert_eq!(shown(&mut b, "SELECT v FROM t WHERE k = 3").await, left, "{text} {end}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_conflict_do_nothing_and_returning_of_a_row_that_is_not_committed() {
    for (end, given) in [("COMMIT", vec![]), ("ROLLBACK", vec![vec![Some("3".to_owned())]])] {
        let (instance, _dir) = instance();
        let (mut a, b) = (Client::new(&instance), Client::new(&instance));
        a.ok(TABLE).await;
        a.ok("BEGIN; INSERT INTO t VALUES (3, 100, 'a')").await;
        let text = "INSERT INTO t VALUES (3, 1, 'b') ON CONFLICT DO NOTHING RETURNING k";
        let (outcome, _b) = after(&mut a, b, text, end).await;
        assert_eq!(outcome.unwrap().rows, given, "{end}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn repeatable_read_does_not_touch_what_it_does_not_see() {
    for text in [
        "INSERT INTO t VALUES (3, 1, 'b') ON CONFLICT (k) DO UPDATE SET v = excluded.v",
        "INSERT INTO t VALUES (3, 1, 'b') ON CONFLICT (k) DO UPDATE SET v = abs(excluded.v)",
        "INSERT INTO t VALUES (3, 1, 'b') ON CONFLICT (k) DO NOTHING",
        "INSERT INTO t SELECT 3, 1, 'b' ON CONFLICT (k) DO NOTHING",
        "UPDATE t SET v = v + 1 WHERE v = 10",
        "MERGE INTO t USING (SELECT 1 AS k) AS s ON s.k = t.k WHEN MATCHED THEN UPDATE SET v = 0",
        "INSERT INTO t VALUES (1, 1, 'b') ON CONFLICT (k) DO UPDATE SET v = excluded.v",
    ] {
        let (instance, _dir) = instance();
        let (mut a, mut b) = (Client::new(&instance), Client::new(&instance));
        a.ok(TABLE).await;
        b.ok("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM t").await;
        a.ok("INSERT INTO t VALUES (3, 100, 'a'); UPDATE t SET v = 11 WHERE k = 1").await;
        let error = b.error(text).await;
        let expected = (SqlState::SERIALIZATION_FAILURE, "could not serialize access due to concurrent update");
        assert_eq!((error.state, error.message.as_str()), expected, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn merge_waits_and_sees_the_newest_row() {
    let text = "MERGE INTO t USING (VALUES (1, 5), (2, 6)) AS s (k, v) ON s.k = t.k \
        WHEN MATCHED AND t.v > 15 THEN UPDATE SET v = t.v + s.v WHEN MATCHED THEN DELETE";
    let (instance, _dir) = instance();
    let (mut a, b) = (Client::new(&instance), Client::new(&instance));
    a.ok(TABLE).await;
    a.ok("BEGIN; UPDATE t SET v = v + 10").await;
    let (outcome, mut b) = after(&mut a, b, text, "COMMIT").await;
    assert_eq!(outcome.unwrap().tag, "MERGE 2");
    assert_eq!(shown(&mut b, "SELECT k, v FROM t ORDER BY k").await, "1 25, 2 36");
}

#[tokio::test(flavor = "multi_thread")]
async fn upserts_lose_nothing_to_each_other() {
    let (instance, _dir) = instance();
    let mut c = Client::new(&instance);
    c.ok("CREATE TABLE t (k int PRIMARY KEY, v int)").await;
    let mut tasks = Vec::new();
    for number in 0..4 {
        let mut c = Client::new(&instance);
        // Half of them by row kernels, half by a query.
        let value = if number % 2 == 0 { "t.v + 1" } else { "abs(t.v) + 1" };
        let text = format!("INSERT INTO t VALUES (1, 1), (2, 1) ON CONFLICT (k) DO UPDATE SET v = {value}");
        tasks.push(tokio::spawn(async move {
            for _ in 0..25 {
                c.ok(&text).await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(shown(&mut c, "SELECT * FROM t ORDER BY k").await, "1 100, 2 100");
}

/// All of them hold the definition of the table when they find out that they have enough rows for segments, and want the table alone.
#[tokio::test(flavor = "multi_thread")]
async fn loads_into_one_table_follow_each_other() {
    let (instance, _dir) = instance();
    let mut a = Client::new(&instance);
    a.ok("CREATE TABLE t (k int PRIMARY KEY, v int UNIQUE)").await;
    let loads: Vec<_> = (0..4)
        .map(|n| {
            let mut client = Client::new(&instance);
            tokio::spawn(async move {
                let text =
                    format!("INSERT INTO t SELECT x + {n} * 100000, x + {n} * 100000 FROM generate_series(1, 70000) AS g (x)");
                client.run(&text).await.map(|outcome| outcome.tag)
            })
        })
        .collect();
    for load in loads {
        assert_eq!(load.await.unwrap().unwrap(), "INSERT 0 70000");
    }
    assert_eq!(shown(&mut a, "SELECT count(*), count(DISTINCT v) FROM t").await, "280000 280000");
}

/// It had its lock back from those who wait to change the table, who then had changed it.
#[tokio::test(flavor = "multi_thread")]
async fn a_load_goes_before_those_who_wait_to_change_its_table() {
    let (instance, _dir) = instance();
    let (mut a, mut b) = (Client::new(&instance), Client::new(&instance));
    a.ok("CREATE TABLE t (k int PRIMARY KEY, v int)").await;
    let statement = a.session.parse("COPY t FROM STDIN").unwrap().remove(0);
    let prepared = a.session.prepare(&statement, &[]).unwrap();
    assert!(matches!(a.session.execute(&prepared, vec![]).await.unwrap(), Answer::CopyIn(_)));
    a.session.copy_in_data(b"1\t1\n").unwrap();
    let index = tokio::spawn(async move { b.run("CREATE INDEX i ON t (v)").await.map(|outcome| outcome.tag) });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let lines: String = (2..=100_000).map(|k| format!("{k}\t{k}\n")).collect();
    // Where it gets the table alone, a thread waits.
    let (mut a, tag) = tokio::task::spawn_blocking(move || {
        a.session.copy_in_data(lines.as_bytes()).unwrap();
        let tag = tokio::runtime::Handle::current().block_on(a.session.copy_in_finish()).unwrap();
        (a, tag)
    })
    .await
    .unwrap();
    a.session.finish_implicit().await.unwrap();
    assert_eq!((tag.as_str(), index.await.unwrap().unwrap().as_str()), ("COPY 100000", "CREATE INDEX"));
    assert_eq!(shown(&mut a, "SELECT count(*) FROM t").await, "100000");
}

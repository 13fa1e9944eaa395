//! What a client meets besides rows: notices, tags, waiting, stopping, losing the connection, coming back.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Client, instance, login, open};
use env::RealEnv;
use sql::{Answer, Instance, Options, RowBatch, Session, TransactionStatus};
use types::{Datum, SqlState, SqlType};

#[tokio::test(flavor = "multi_thread")]
async fn notices_are_postgresqls() {
    let (instance, _dir) = instance();
    let mut c = Client::new(&instance);
    for (text, notices) in [
        ("CREATE TABLE t (a int)", vec![]),
        ("CREATE TABLE IF NOT EXISTS t (a int)", vec!["NOTICE 42P07 relation \"t\" already exists, skipping"]),
        (
            "DROP TABLE IF EXISTS x, y",
            vec!["NOTICE 00000 table \"x\" does not exist, skipping", "NOTICE 00000 table \"y\" does not exist, skipping"],
        ),
        ("DROP TABLE IF EXISTS s.x", vec!["NOTICE 00000 schema \"s\" does not exist, skipping"]),
        ("CREATE SCHEMA IF NOT EXISTS public", vec!["NOTICE 42P06 schema \"public\" already exists, skipping"]),
        ("CREATE VIEW v AS SELECT * FROM t; CREATE VIEW w AS SELECT * FROM v", vec![]),
        ("DROP VIEW v CASCADE", vec!["NOTICE 00000 drop cascades to view w"]),
        ("COMMIT", vec!["WARNING 25P01 there is no transaction in progress"]),
        ("ROLLBACK", vec!["WARNING 25P01 there is no transaction in progress"]),
        ("SET LOCAL work_mem = '1MB'", vec!["WARNING 25P01 SET LOCAL can only be used in transaction blocks"]),
        ("SET TRANSACTION READ ONLY", vec!["WARNING 25P01 SET TRANSACTION can only be used in transaction blocks"]),
        ("BEGIN", vec![]),
        ("BEGIN", vec!["WARNING 25001 there is already a transaction in progress"]),
        ("COMMIT", vec![]),
        ("SET client_min_messages = error", vec![]),
        ("DROP TABLE IF EXISTS x", vec![]),
    ] {
        c.ok(text).await;
        assert_eq!(c.notices(), notices, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_postgresqls() {
    let (instance, _dir) = instance();
    let mut c = Client::new(&instance);
    for (text, tag) in [
        ("CREATE TABLE t (a int PRIMARY KEY, b int)", "CREATE TABLE"),
        ("INSERT INTO t VALUES (1, 1), (2, 2)", "INSERT 0 2"),
        ("SELECT * FROM t", "SELECT 2"),
        ("UPDATE t SET b = 3", "UPDATE 2"),
        ("UPDATE t SET b = 3 WHERE a = 1", "UPDATE 1"),
        ("DELETE FROM t WHERE a = 1", "DELETE 1"),
        ("DELETE FROM t WHERE a = 1", "DELETE 0"),
        ("COPY t TO STDOUT", "COPY 1"),
        ("BEGIN", "BEGIN"),
        ("ROLLBACK", "ROLLBACK"),
        ("START TRANSACTION", "START TRANSACTION"),
        ("SAVEPOINT s", "SAVEPOINT"),
        ("ROLLBACK TO s", "ROLLBACK"),
        ("RELEASE s", "RELEASE"),
        ("END", "COMMIT"),
        ("SET work_mem = '1MB'", "SET"),
        ("SHOW work_mem", "SHOW"),
        ("RESET work_mem", "RESET"),
        ("CREATE VIEW v AS SELECT 1 AS one", "CREATE VIEW"),
        ("DROP VIEW v", "DROP VIEW"),
        ("CREATE SCHEMA s", "CREATE SCHEMA"),
        ("DROP SCHEMA s", "DROP SCHEMA"),
        ("CREATE TABLE u AS SELECT * FROM t", "SELECT 1"),
        ("TRUNCATE u", "TRUNCATE TABLE"),
        ("DROP TABLE u", "DROP TABLE"),
        ("PREPARE p AS SELECT 1", "PREPARE"),
        ("EXECUTE p", "SELECT 1"),
        ("DEALLOCATE p", "DEALLOCATE"),
        ("VACUUM t", "VACUUM"),
        ("ANALYZE", "ANALYZE"),
        ("CHECKPOINT", "CHECKPOINT"),
        ("DISCARD ALL", "DISCARD ALL"),
        ("EXPLAIN SELECT 1", "EXPLAIN"),
    ] {
        assert_eq!(c.ok(text).await.tag, tag, "{text}");
    }
    c.ok("BEGIN").await;
    c.error("SELECT 1/0").await;
    assert_eq!(c.session.transaction_status(), TransactionStatus::Failed);
    assert_eq!(c.ok("COMMIT").await.tag, "ROLLBACK", "a failed transaction cannot be committed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_stops_when_it_is_cancelled_or_takes_too_long() {
    let (instance, _dir) = instance();
    let mut c = Client::new(&instance);
    let endless = "WITH d (x) AS (VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) \
        SELECT sum(a.x + b.x + c.x + d.x + e.x + f.x + g.x + h.x + i.x + j.x + k.x) \
        FROM d a, d b, d c, d d, d e, d f, d g, d h, d i, d j, d k";
    let cancel = c.session.cancel();
    let stopper = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        cancel.set();
    });
    let error = c.error(endless).await;
    assert_eq!((error.state, error.message.as_str()), (SqlState::QUERY_CANCELED, "canceling statement due to user request"));
    stopper.await.unwrap();
    assert_eq!(c.value("SELECT 1").await, "1", "the next statement runs");

    c.ok("SET statement_timeout = 100").await;
    let error = c.error(endless).await;
    assert_eq!((error.state, error.message.as_str()), (SqlState::QUERY_CANCELED, "canceling statement due to statement timeout"));
    assert_eq!(c.value("SELECT 1").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_a_row_ends_with_a_timeout_a_deadlock_or_the_row() {
    let (instance, _dir) = instance();
    let (mut a, mut b) = (Client::new(&instance), Client::new(&instance));
    a.ok("CREATE TABLE t (k int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 0), (2, 0)").await;
    a.ok("BEGIN; UPDATE t SET v = v + 1 WHERE k = 1").await;

    b.ok("SET lock_timeout = 50").await;
    let error = b.error("UPDATE t SET v = v + 10 WHERE k = 1").await;
    assert_eq!((error.state, error.message.as_str()), (SqlState::LOCK_NOT_AVAILABLE, "canceling statement due to lock timeout"));
    b.ok("SET lock_timeout = 0").await;

    let waiter = tokio::spawn(async move {
        b.ok("UPDATE t SET v = v + 10 WHERE k = 1").await;
        b
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    a.ok("COMMIT").await;
    let mut b = waiter.await.unwrap();
    assert_eq!(b.value("SELECT v FROM t WHERE k = 1").await, "11", "the second update saw the first");

    a.ok("BEGIN; UPDATE t SET v = 0 WHERE k = 1").await;
    b.ok("BEGIN; UPDATE t SET v = 0 WHERE k = 2").await;
    let waiter = tokio::spawn(async move { (a.run("UPDATE t SET v = 1 WHERE k = 2").await, a) });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let second = b.run("UPDATE t SET v = 1 WHERE k = 1").await;
    b.ok("ROLLBACK").await;
    let (first, _a) = waiter.await.unwrap();
    let errors: Vec<SqlState> = [first.err(), second.err()].into_iter().flatten().map(|e| e.state).collect();
    assert_eq!(errors, [SqlState::DEADLOCK_DETECTED], "one of them, and only one, is the victim");
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_that_need_a_query_lose_nothing_to_each_other() {
    let (instance, _dir) = instance();
    let mut c = Client::new(&instance);
    c.ok("CREATE TABLE t (k int PRIMARY KEY, v int); INSERT INTO t SELECT x, 0 FROM generate_series(1, 5) AS g (x)").await;
    c.ok("VACUUM t").await;
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let mut c = Client::new(&instance);
        tasks.push(tokio::spawn(async move {
            for _ in 0..10 {
                // Not by key: it goes through the query executor.
                c.ok("UPDATE t SET v = v + 1 WHERE k + 0 <= 3").await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let rows = c.ok("SELECT v FROM t ORDER BY k").await.rows;
    let values: Vec<&str> = rows.iter().map(|row| row[0].as_deref().unwrap()).collect();
    assert_eq!(values, ["40", "40", "40", "0", "0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_vanishes_leaves_nothing() {
    let (instance, _dir) = instance();
    let mut c = Client::new(&instance);
    c.ok("CREATE TABLE t (a int PRIMARY KEY)").await;
    let mut gone = Client::new(&instance);
    gone.ok("BEGIN; INSERT INTO t VALUES (1); CREATE TABLE u (a int)").await;
    assert_eq!(instance.sessions().len(), 2);
    drop(gone);
    assert_eq!(instance.sessions().len(), 1);
    c.ok("INSERT INTO t VALUES (1)").await;
    assert_eq!(c.error("SELECT * FROM u").await.state, SqlState::UNDEFINED_TABLE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_is_one_transaction_until_its_end() {
    let (instance, _dir) = instance();
    let mut c = Client::new(&instance);
    c.ok("CREATE TABLE t (a int PRIMARY KEY)").await;
    let statement = c.session.parse("INSERT INTO t VALUES ($1)").unwrap().remove(0);
    let insert = c.session.prepare(&statement, &[]).unwrap();
    assert_eq!(insert.params, [SqlType::Int4]);
    for value in [1, 2] {
        c.session.execute(&insert, vec![Datum::Int4(value)]).await.unwrap();
    }
    let error = c.session.execute(&insert, vec![Datum::Int4(1)]).await.err().unwrap();
    assert_eq!(error.state, SqlState::UNIQUE_VIOLATION);
    c.session.finish_implicit().await.unwrap();
    assert_eq!(c.value("SELECT count(*) FROM t").await, "0", "the first two went with the third");
    for value in [1, 2] {
        c.session.execute(&insert, vec![Datum::Int4(value)]).await.unwrap();
    }
    c.session.finish_implicit().await.unwrap();
    assert_eq!(c.value("SELECT count(*) FROM t").await, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_outlive_the_statement_and_keep_their_snapshot() {
    let (instance, _dir) = instance();
    let mut c = Client::new(&instance);
    c.ok("CREATE TABLE t (a int); INSERT INTO t SELECT x FROM generate_series(1, 20000) AS g (x)").await;
    let statement = c.session.parse("SELECT a FROM t").unwrap().remove(0);
    let prepared = c.session.prepare(&statement, &[]).unwrap();
    let Answer::Rows(mut rows) = c.session.execute(&prepared, vec![]).await.unwrap() else { panic!() };
    let mut count = rows.next().await.unwrap().map_or(0, |batch| batch.rows());
    c.session.finish_implicit().await.unwrap();
    c.ok("DELETE FROM t").await;
    c.ok("DROP TABLE t").await;
    while let Some(batch) = rows.next().await.unwrap() {
        assert!(matches!(batch, RowBatch::Arrow(_)));
        count += batch.rows();
    }
    assert_eq!(count, 20000);
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_get_the_types_of_what_they_stand_for() {
    let (instance, _dir) = instance();
    let mut c = Client::new(&instance);
    c.ok("CREATE TABLE t (a bigint PRIMARY KEY, b varchar(5), c numeric(8,2), d date)").await;
    for (text, types) in [
        ("SELECT * FROM t WHERE a = $1", vec![SqlType::Int8]),
        ("SELECT * FROM t WHERE d >= $1 AND c < $2", vec![SqlType::Date, SqlType::NUMERIC]),
        ("SELECT $1::int + 1", vec![SqlType::Int4]),
        ("SELECT a FROM t LIMIT $1 OFFSET $2", vec![SqlType::Int8, SqlType::Int8]),
        ("SELECT $1", vec![SqlType::Text]),
        (
            "INSERT INTO t VALUES ($1, $2, $3, $4)",
            vec![SqlType::Int8, SqlType::Varchar(5), SqlType::Numeric { precision: 8, scale: 2 }, SqlType::Date],
        ),
        ("INSERT INTO t (d, a) VALUES ($2, $1 + 1)", vec![SqlType::Int4, SqlType::Date]),
        ("UPDATE t SET d = $1 WHERE a = $2", vec![SqlType::Date, SqlType::Int8]),
        ("UPDATE t SET d = $1 WHERE a + 1 = $2", vec![SqlType::Date, SqlType::Int8]),
        ("DELETE FROM t WHERE a = $1", vec![SqlType::Int8]),
    ] {
        let statement = c.session.parse(text).unwrap().remove(0);
        let prepared = c.session.prepare(&statement, &[]).unwrap_or_else(|e| panic!("{text}: {e:?}"));
        let plain = |t: &SqlType| t.oid();
        let got: Vec<u32> = prepared.params.iter().map(plain).collect();
        assert_eq!(got, types.iter().map(plain).collect::<Vec<_>>(), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    {
        let instance = open(dir.path());
        let mut c = Client::new(&instance);
        c.ok("CREATE TABLE t (a int PRIMARY KEY, b text DEFAULT 'x'); CREATE VIEW v AS SELECT b, a FROM t").await;
        c.ok("INSERT INTO t VALUES (1), (2)").await;
        c.ok("VACUUM").await;
        c.ok("UPDATE t SET b = 'y' WHERE a = 2; INSERT INTO t VALUES (3)").await;
        c.ok("BEGIN; DELETE FROM t").await;
        drop(c);
        instance.close().unwrap();
    }
    let instance = open(dir.path());
    let mut c = Client::new(&instance);
    let rows = c.ok("SELECT * FROM v ORDER BY a").await.rows;
    let rows: Vec<String> = rows.iter().map(|r| r.iter().map(|v| v.clone().unwrap()).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(rows, ["x 1", "y 2", "x 3"]);
    assert_eq!(c.error("INSERT INTO t VALUES (3)").await.state, SqlState::UNIQUE_VIOLATION);
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_are_apart() {
    let (instance, _dir) = instance();
    let mut c = Client::new(&instance);
    let error = Session::new(Arc::clone(&instance), login("other")).err().unwrap();
    assert_eq!((error.state, error.message.as_str()), (SqlState::INVALID_CATALOG_NAME, "database \"other\" does not exist"));
    c.ok("CREATE TABLE t (a int); INSERT INTO t VALUES (1)").await;
    c.ok("CREATE DATABASE other").await;
    let mut other = Client { session: Session::new(Arc::clone(&instance), login("other")).unwrap() };
    assert_eq!(other.error("SELECT * FROM t").await.state, SqlState::UNDEFINED_TABLE);
    other.ok("CREATE TABLE t (b text); INSERT INTO t VALUES ('other')").await;
    assert_eq!(c.value("SELECT a FROM t").await, "1");
    assert_eq!(other.value("SELECT b FROM t").await, "other");
    assert_eq!(other.error("SELECT * FROM postgres.public.t").await.state, SqlState::FEATURE_NOT_SUPPORTED);
    let error = c.error("DROP DATABASE other").await;
    assert_eq!(
        (error.state, error.fields.detail.as_deref()),
        (SqlState::OBJECT_IN_USE, Some("There is 1 other session using the database."),)
    );
    drop(other);
    c.ok("DROP DATABASE other").await;
    assert!(Session::new(Arc::clone(&instance), login("other")).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn large_loads_go_straight_into_segments() {
    let (instance, _dir) = instance();
    let mut c = Client::new(&instance);
    c.ok("CREATE TABLE t (a int PRIMARY KEY, b text)").await;
    let line = |a: usize| format!("{a}\tvalue {a}\n");
    let load = |from: usize, to: usize| format!("COPY t FROM STDIN\n{}", (from..to).map(line).collect::<String>().trim_end());
    assert_eq!(c.ok(&load(0, 70_000)).await.tag, "COPY 70000");
    let status = instance.engine().status();
    let table = status.tables.iter().find(|t| t.name == "t").unwrap();
    assert_eq!((table.delta_rows, table.segment_rows), (0, 70_000));
    assert_eq!(c.value("SELECT b FROM t WHERE a = 69999").await, "value 69999", "by key");
    assert_eq!(c.value("SELECT sum(a) FROM t").await, "2449965000", "by a scan");

    let error = c.error(&load(69_999, 150_000)).await;
    assert_eq!(error.state, SqlState::UNIQUE_VIOLATION);
    assert_eq!(error.fields.detail.as_deref(), Some("Key (a)=(69999) already exists."));
    assert_eq!(c.value("SELECT count(*) FROM t").await, "70000", "nothing of the second load is left");

    c.ok("BEGIN; INSERT INTO t VALUES (-1, 'small')").await;
    c.ok(&load(70_000, 140_000)).await;
    assert_eq!(c.value("SELECT count(*) FROM t").await, "140001", "the transaction sees both");
    c.ok("UPDATE t SET b = 'changed' WHERE a = 100000; DELETE FROM t WHERE a = 139999").await;
    assert_eq!(Client::new(&instance).value("SELECT count(*) FROM t").await, "70000", "others see neither");
    c.ok("COMMIT").await;
    assert_eq!(c.value("SELECT count(*) FROM t WHERE b = 'changed' OR a = 139999").await, "1");
    assert_eq!(c.value("SELECT count(*) FROM t").await, "140000");

    c.ok("CREATE TABLE u AS SELECT * FROM t").await;
    assert_eq!(c.ok("INSERT INTO u SELECT * FROM u").await.tag, "INSERT 0 140000", "a table without a key may read itself");
    assert_eq!(c.value("SELECT count(*) FROM u").await, "280000");
    assert_eq!(c.error("ALTER TABLE t ADD PRIMARY KEY (b)").await.state.as_str(), "42P16");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_moved_into_segments_are_the_same_rows() {
    let (instance, _dir) = instance();
    let mut c = Client::new(&instance);
    c.ok("CREATE TABLE t (a int PRIMARY KEY, b int); INSERT INTO t SELECT x, x FROM generate_series(1, 1000) AS g (x)").await;
    c.ok("DELETE FROM t WHERE a % 3 = 0; UPDATE t SET b = -1 WHERE a % 5 = 0").await;
    let before = c.ok("SELECT * FROM t ORDER BY a").await;
    c.ok("VACUUM t").await;
    let table = instance.engine().status().tables.iter().find(|t| t.name == "t").cloned().unwrap();
    assert_eq!((table.delta_rows, table.segment_rows - table.segment_rows_dead), (0, 667));
    assert_eq!(c.ok("SELECT * FROM t ORDER BY a").await, before);
    c.ok("UPDATE t SET b = -2 WHERE a % 7 = 0; DELETE FROM t WHERE a % 11 = 0").await;
    assert_eq!(c.value("SELECT count(*) FROM t WHERE b = -2").await, c.value("SELECT count(*) FROM t WHERE a % 7 = 0").await);
    assert_eq!(c.value("SELECT count(*) FROM t").await, "607");
    assert_eq!(c.ok("SELECT b FROM t WHERE a = 14").await.rows, [[Some("-2".to_owned())]], "by key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_given_up_leaves_nothing() {
    let (instance, _dir) = instance();
    let mut c = Client::new(&instance);
    c.ok("CREATE TABLE t (a int)").await;
    let statement = c.session.parse("COPY t FROM STDIN").unwrap().remove(0);
    let prepared = c.session.prepare(&statement, &[]).unwrap();
    assert!(matches!(c.session.execute(&prepared, vec![]).await.unwrap(), Answer::CopyIn(_)));
    c.session.copy_in_data(b"1\n2\n").unwrap();
    let error = c.session.copy_in_fail("out of tape");
    assert_eq!((error.state, error.message.as_str()), (SqlState::QUERY_CANCELED, "COPY from stdin failed: out of tape"));
    c.session.finish_implicit().await.unwrap();
    assert_eq!(c.value("SELECT count(*) FROM t").await, "0");
    assert!(c.session.copy_in_data(b"3\n").is_err(), "the COPY is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_fills_in_defaults_row_by_row() {
    let (instance, _dir) = instance();
    let mut c = Client::new(&instance);
    c.ok("CREATE TABLE t (a int, b int DEFAULT 40 + 2, c timestamptz DEFAULT now(), d double precision DEFAULT random())").await;
    c.ok("COPY t (a) FROM STDIN\n1\n2\n3").await;
    assert_eq!(c.value("SELECT count(*) FROM t WHERE b = 42 AND c <= now()").await, "3");
    assert_eq!(c.value("SELECT count(DISTINCT c) FROM t").await, "1", "one transaction, one time");
    assert_eq!(c.value("SELECT count(DISTINCT d) FROM t").await, "3", "random() is called for each row");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_told_of_settings_they_care_about() {
    let (instance, _dir) = instance();
    let mut settings = login("postgres");
    settings.application_name = "tests".into();
    settings.settings = vec![("timezone".into(), "Asia/Tokyo".into()), ("options".into(), "-c work_mem=1MB".into())];
    let mut c = Client { session: Session::new(Arc::clone(&instance), settings).unwrap() };
    let told = c.session.parameter_status_changes();
    for (name, value) in
        [("TimeZone", "Asia/Tokyo"), ("application_name", "tests"), ("client_encoding", "UTF8"), ("is_superuser", "on")]
    {
        assert!(told.contains(&(name.into(), value.into())), "{name}: {told:?}");
    }
    assert_eq!(c.value("SHOW work_mem").await, "1MB");
    c.ok("SET application_name = 'renamed'; SET work_mem = '2MB'").await;
    assert_eq!(c.session.parameter_status_changes(), [("application_name".into(), "renamed".into())]);
    assert_eq!(instance.sessions()[0].application_name, "renamed");
    c.ok("RESET timezone").await;
    assert_eq!(c.session.parameter_status_changes(), [], "reset to what the session began with");
    let mut wrong = login("postgres");
    wrong.settings = vec![("nonsense".into(), "1".into())];
    assert_eq!(Session::new(instance, wrong).err().unwrap().state, SqlState::UNDEFINED_OBJECT);
}

/// A transaction at READ COMMITTED that waited for its client held its last snapshot, and with it every version since.
#[tokio::test(flavor = "multi_thread")]
async fn between_statements_read_committed_holds_no_snapshot() {
    let (instance, _dir) = instance();
    let (mut idle, mut writer) = (Client::new(&instance), Client::new(&instance));
    writer.ok("CREATE TABLE t (k int PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    idle.ok("BEGIN; SELECT count(*) FROM t; INSERT INTO t VALUES (2); SELECT k FROM t WHERE k = 1").await;
    writer.ok("INSERT INTO t VALUES (3)").await;
    let status = instance.engine().status();
    assert_eq!(status.oldest, status.visible);
    assert_eq!(idle.value("SELECT count(*) FROM t").await, "3");
    idle.ok("COMMIT; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t").await;
    writer.ok("INSERT INTO t VALUES (4)").await;
    let status = instance.engine().status();
    assert!(status.oldest < status.visible, "this one must be able to read again what it has read");
    assert_eq!(idle.value("SELECT count(*) FROM t").await, "3");
}

/// A restart had put more into the delta than it may have; the first statement took its snapshot and waited for room, which the merge
/// could not make: what it had moved was still seen by that snapshot. After ten seconds the statement was refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_waits_for_room_holds_no_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = Options { query_threads: 2, ..Options::default() };
    options.engine.delta_bytes_max = 1 << 20;
    options.engine.maintenance = false; // room never comes
    let instance = Instance::open(RealEnv::new(), dir.path(), options).unwrap();
    let mut writer = Client::new(&instance);
    writer.ok("CREATE TABLE t (k int PRIMARY KEY, v text)").await;
    let mut k = 0;
    while instance.engine().status().delta_bytes <= 3 << 19 {
        writer.ok(&format!("INSERT INTO t VALUES ({k}, '{}')", "x".repeat(8_000))).await;
        k += 1;
    }
    writer.ok("SET statement_timeout = 1500").await;
    let waiting = tokio::spawn(async move { writer.error("INSERT INTO t VALUES (-1, 'late')").await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    Client::new(&instance).ok("CREATE TABLE other (k int PRIMARY KEY)").await;
    let status = instance.engine().status();
    assert!(!waiting.is_finished());
    assert_eq!(status.oldest, status.visible);
    assert_eq!(waiting.await.unwrap().state, SqlState::QUERY_CANCELED);
}

/// DataFusion puts a query of WITH wherever it is referred to: one that doubles was planned for a minute, took gigabytes, and nothing
/// stopped it.
#[test]
fn planning_can_be_stopped_and_is_refused_when_it_would_take_too_much() {
    // The server's threads have this much stack.
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).thread_stack_size(sql::STACK_BYTES).enable_all().build().unwrap();
    runtime.block_on(async { tokio::spawn(plan_what_doubles()).await.unwrap() });
}

async fn plan_what_doubles() {
    let doubled = |levels: usize| {
        let next = |level: usize| format!(", c{level} AS NOT MATERIALIZED (SELECT a.x FROM c{0} a CROSS JOIN c{0} b)", level - 1);
        let all: String = (2..=levels).map(next).collect();
        format!("WITH c1 AS (SELECT 1 AS x FROM generate_series(1, 1)){all} SELECT count(*) FROM c{levels}")
    };
    let (instance, _dir) = instance();
    let mut client = Client::new(&instance);
    assert_eq!(client.value(&doubled(5)).await, "1");
    assert_eq!(client.error(&doubled(60)).await.state, SqlState::STATEMENT_TOO_COMPLEX);
    // The same by views, each of which is planned where it is.
    client.ok("CREATE VIEW v1 AS SELECT 1 AS x FROM generate_series(1, 1)").await;
    for level in 2..=12 {
        client.ok(&format!("CREATE VIEW v{level} AS SELECT a.x FROM v{0} a CROSS JOIN v{0} b", level - 1)).await;
    }
    assert_eq!(client.error("SELECT count(*) FROM v12 a, v12 b, v12 c, v12 d").await.state, SqlState::STATEMENT_TOO_COMPLEX);
    client.ok("SET statement_timeout = 1").await;
    let error = client.error(&doubled(12)).await;
    assert_eq!((error.state, error.message.as_str()), (SqlState::QUERY_CANCELED, "canceling statement due to statement timeout"));
}

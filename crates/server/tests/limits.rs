//! Statements that would take all time or all memory: they are stopped, or refused, and others go on.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "it times how long a statement takes to stop")]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Running, message, start, start_with_options};
use sql::Options;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// What a statement that ends by itself in hours must not take to stop: asked for is a second, and the machine may be busy.
const SOON: Duration = Duration::from_secs(5);

/// The error of a statement, which comes soon.
async fn refused(client: &Client, text: &str) -> (SqlState, String) {
    let started = Instant::now();
    let error = client.simple_query(text).await.expect_err(text);
    assert!(started.elapsed() < SOON, "{text} took {:?}", started.elapsed());
    let error = error.as_db_error().unwrap_or_else(|| panic!("{text}: {error}"));
    (error.code().clone(), error.message().to_owned())
}

/// The only value of a statement's result.
async fn value(client: &Client, text: &str) -> String {
    let messages = client.simple_query(text).await.unwrap_or_else(|error| panic!("{text}: {error:?}"));
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("NULL").to_owned()),
        _ => None,
    });
    row.unwrap_or_else(|| panic!("{text} gave no row"))
}

/// The values of a result's first column.
async fn column(client: &Client, text: &str) -> Vec<String> {
    let messages = client.simple_query(text).await.unwrap_or_else(|error| panic!("{text}: {error:?}"));
    let row = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("NULL").to_owned()),
        _ => None,
    };
    messages.iter().filter_map(row).collect()
}

/// Waits until a query gives this value.
async fn until(client: &Client, text: &str, wanted: &str) {
    for _ in 0..600 {
        if column(client, text).await.first().is_some_and(|found| found == wanted) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{text} is not {wanted}");
}

/// A server whose queries have so much memory together.
async fn start_small(bytes: usize) -> Running {
    start_with_options(Options { query_memory_bytes_max: bytes, ..Options::default() }).await
}

/// Each would run for hours. Nothing of a join's output or input comes meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_stops_whatever_runs() {
    let running = start().await;
    let client = running.client().await;
    client.batch_execute("set statement_timeout = '300ms'").await.unwrap();
    let series = "generate_series(1, 300000)";
    for text in [
        format!("select count(*) from {series} a (x) join {series} b (y) on a.x + b.y < 0"),
        format!("select count(*) from {series} a (x) left join {series} b (y) on a.x + b.y < 0"),
        format!("select count(*) from {series} a (x) where not exists (select 1 from {series} b (y) where a.x + b.y < 0)"),
        format!("select count(*) from {series} a (x), {series} b (y) where (a.x + b.y) % 7 = 9"),
        format!("select count(*) from {series} a (x) cross join {series} b (y) cross join {series} c (z)"),
        format!("select count(*) from {series} a (x) join {series} b (y) on a.x / 1000000 = b.y / 1000000 and a.x + b.y < 0"),
        "select count(*) from generate_series(1, 1000000000000)".to_owned(),
        "select sum(x) from generate_series(1.0, 1e15, 0.1) g (x)".to_owned(),
        "select pg_sleep(60)".to_owned(),
        "select pg_sleep(0.1) from generate_series(1, 1000)".to_owned(),
        "select 1 where pg_sleep(60) is null".to_owned(),
    ] {
        let (state, message) = refused(&client, &text).await;
        assert_eq!(
            (state, message.as_str()),
            (SqlState::QUERY_CANCELED, "canceling statement due to statement timeout"),
            "{text}"
        );
    }
    client.batch_execute("reset statement_timeout").await.unwrap();
    assert_eq!(value(&client, "select count(*) from generate_series(1, 20000)").await, "20000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_lasts_too_long_ends_its_session() {
    let running = start().await;
    let over = |error: tokio_postgres::Error| {
        let error = error.as_db_error().cloned().map(|error| (error.code().code().to_owned(), error.message().to_owned()));
        assert_eq!(error.unwrap(), ("25P04".to_owned(), "terminating connection due to transaction timeout".to_owned()));
    };
    // One statement is a transaction, too.
    let client = running.client().await;
    client.batch_execute("set transaction_timeout = '400ms'").await.unwrap();
    over(client.simple_query("select pg_sleep(60)").await.unwrap_err());
    assert!(client.simple_query("select 1").await.is_err_and(|error| error.is_closed()));
    // Of equal ones, and of a longer one, that of the transaction counts.
    let client = running.client().await;
    client.batch_execute("set statement_timeout = '1s'; set transaction_timeout = '1s'; begin").await.unwrap();
    client.simple_query("select pg_sleep(0.2)").await.unwrap();
    over(client.simple_query("select pg_sleep(60)").await.unwrap_err());
    // Nobody asks for anything.
    let client = running.client().await;
    client
        .batch_execute("begin; set transaction_timeout = '300ms'; set idle_in_transaction_session_timeout = '60s'")
        .await
        .unwrap();
    tokio::time::timeout(SOON, async {
        while !client.is_closed() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    // What is short may go on for ever.
    let client = running.client().await;
    client.batch_execute("set transaction_timeout = '2s'").await.unwrap();
    for _ in 0..5 {
        client.simple_query("select pg_sleep(0.5)").await.unwrap();
    }
    assert_eq!(value(&client, "show transaction_timeout").await, "2s");
}

/// A cancelled join must leave its thread: with all of them taken, nothing else would run.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_join_gives_its_thread_back() {
    let running = start().await;
    let series = "generate_series(1, 300000)";
    let text = format!("select count(*) from {series} a (x) join {series} b (y) on a.x + b.y < 0");
    let others = std::thread::available_parallelism().map_or(2, usize::from) * 2;
    let mut clients = Vec::new();
    for _ in 0..others {
        let client = Arc::new(running.client().await);
        let (runs, text) = (Arc::clone(&client), text.clone());
        clients.push((client, tokio::spawn(async move { runs.simple_query(&text).await.map(|_| ()) })));
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let started = Instant::now();
    for (client, task) in clients {
        // A cancel is for what runs: who has not come so far is asked again.
        while !task.is_finished() {
            assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
            client.cancel_token().cancel_query(NoTls).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(task.await.unwrap().unwrap_err().code(), Some(&SqlState::QUERY_CANCELED));
    }
    let client = running.client().await;
    assert_eq!(value(&client, "select sum(x) from generate_series(1, 100) g (x) where x % 2 = 0").await, "2550");
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn sleep_waits_and_gives_nothing() {
    let running = start().await;
    let client = running.client().await;
    let started = Instant::now();
    assert_eq!(value(&client, "select pg_sleep(0.3)").await, "");
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert_eq!(value(&client, "select pg_sleep(-1)").await, "");
    assert_eq!(value(&client, "select pg_sleep('0')").await, "");
    assert_eq!(value(&client, "select pg_sleep(NULL)").await, "NULL");
    // Sleepers keep no thread that others need.
    let mut sleepers = Vec::new();
    for _ in 0..16 {
        let client = running.client().await;
        sleepers.push(tokio::spawn(async move { client.simple_query("select pg_sleep(1)").await.map(|_| ()) }));
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(value(&client, "select count(*) from generate_series(1, 10)").await, "10");
    for sleeper in sleepers {
        sleeper.await.unwrap().unwrap();
    }
    assert!(started.elapsed() < Duration::from_secs(10), "one after the other");
}

#[tokio::test(flavor = "multi_thread")]
async fn long_values_are_counted_as_memory() {
    let running = start_small(128 << 20).await;
    let client = running.client().await;
    for text in [
        // Each value alone is too long.
        "select length(repeat('x', 500000000))",
        "select length(repeat('x', 300000000 + x)) from generate_series(1, 3) g (x)",
        "select length(lpad('x', 200000000 + x, 'y')) from generate_series(1, 3) g (x)",
        "select length(replace(repeat('x', 10000 + x), 'x', repeat('y', 30000))) from generate_series(1, 3) g (x)",
        // All of them together are.
        "select max(length(repeat('x', 100000 + x))) from generate_series(1, 8000) g (x)",
        "select max(length(repeat('x', 60000) || repeat('y', 60000 + x))) from generate_series(1, 8000) g (x)",
        "select max(length(concat(repeat('x', 60000), repeat('y', 60000 + x), x))) from generate_series(1, 8000) g (x)",
        "select length(string_agg(repeat('x', 10000 + x), '')) from generate_series(1, 100000) g (x)",
    ] {
        let (state, _) = refused(&client, text).await;
        assert_eq!(state, SqlState::OUT_OF_MEMORY, "{text}");
    }
    for text in [
        "select repeat('x', 1100000000)",
        "select lpad('x', 300000000)",
        "select rpad('x' || x, 2000000000) from generate_series(1, 2) g (x)",
    ] {
        let (state, message) = refused(&client, text).await;
        assert_eq!((state, message.as_str()), (SqlState::PROGRAM_LIMIT_EXCEEDED, "requested length too large"), "{text}");
    }
    // What was taken is given back, by threads that may not have seen yet that their query has failed.
    let long = "select length(repeat('x', 50000000))";
    for _ in 0..200 {
        if client.simple_query(long).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(value(&client, long).await, "50000000");
    assert_eq!(
        value(&client, "select max(length(repeat('x', 200 + x % 1000))) from generate_series(1, 400000) g (x)").await,
        "1199"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_to_write_are_counted_as_memory() {
    let running = start_small(24 << 20).await;
    let client = running.client().await;
    client.batch_execute("create table t (k int primary key, v text, w int)").await.unwrap();
    client.batch_execute("insert into t select x, repeat('v', 100), 0 from generate_series(1, 20000) g (x)").await.unwrap();
    for text in [
        "update t set v = repeat('x', 5000) || k::text where w = 0",
        "update t set w = 1 where w = 0 returning v, v, v, v, v, v, v, v, v, v, v, v, v, v, v, v, v",
        "insert into t select k + 100000, repeat(v, 100) || k::text, 0 from t",
        "insert into t select k + 100000, v, w from t returning v, v, v, v, v, v, v, v, v, v, v, v, v, v, v, v, v",
    ] {
        let error = client.simple_query(text).await.expect_err(text);
        assert_eq!(error.code(), Some(&SqlState::OUT_OF_MEMORY), "{text}: {error:?}");
    }
    // Nothing of them happened, and what fits is done.
    assert_eq!(value(&client, "select count(*) || ' ' || sum(w) || ' ' || max(length(v)) from t").await, "20000 0 100");
    client.batch_execute("update t set w = w + 1; delete from t where k % 2 = 0").await.unwrap();
    assert_eq!(value(&client, "select count(*) || ' ' || sum(w) from t").await, "10000 10000");
}

#[tokio::test(flavor = "multi_thread")]
async fn suspended_results_are_counted_as_memory() {
    let running = start_small(40 << 20).await;
    let mut client = running.client().await;
    client.batch_execute("create table t (k int primary key, v text)").await.unwrap();
    client.batch_execute("insert into t select x, repeat('v', 500) from generate_series(1, 20000) g (x)").await.unwrap();
    let transaction = client.transaction().await.unwrap();
    transaction.execute("update t set v = v || 'w' where k = 1", &[]).await.unwrap();
    let mut portals = Vec::new();
    let error = loop {
        let portal = transaction.bind("select k, v from t order by k", &[]).await.unwrap();
        match transaction.query_portal(&portal, 10).await {
            Ok(rows) => assert_eq!(rows.len(), 10),
            Err(error) => break error,
        }
        portals.push(portal);
        assert!(portals.len() < 10, "each holds 10 MB of 40");
    };
    assert_eq!(error.code(), Some(&SqlState::OUT_OF_MEMORY), "{error:?}");
    assert!(!portals.is_empty(), "one fits");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_fetch_has_moved_its_cursor() {
    let running = start().await;
    let mut client = running.client().await;
    client
        .batch_execute("create table t (k int primary key); insert into t select x from generate_series(1, 30000) g (x)")
        .await
        .unwrap();
    let transaction = client.transaction().await.unwrap();
    transaction.batch_execute("declare c cursor for select k from t order by k").await.unwrap();
    let portal = transaction.bind("fetch 100 from c", &[]).await.unwrap();
    let keys = |rows: Vec<tokio_postgres::Row>| rows.iter().map(|row| row.get::<_, i32>(0)).collect::<Vec<_>>();
    assert_eq!(keys(transaction.query_portal(&portal, 10).await.unwrap()), (1..=10).collect::<Vec<_>>());
    assert_eq!(keys(transaction.query("fetch 1 from c", &[]).await.unwrap()), [101]);
    transaction.batch_execute("close c").await.unwrap();
    assert_eq!(keys(transaction.query_portal(&portal, 0).await.unwrap()), (11..=100).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_reads_forward_what_its_transaction_saw() {
    let running = start().await;
    let client = running.client().await;
    client
        .batch_execute("create table t (k int primary key); insert into t select x from generate_series(1, 30000) g (x)")
        .await
        .unwrap();
    let state = |result: Result<Vec<SimpleQueryMessage>, tokio_postgres::Error>| result.unwrap_err().code().unwrap().clone();
    assert_eq!(state(client.simple_query("declare c cursor for select 1").await), SqlState::NO_ACTIVE_SQL_TRANSACTION);
    assert_eq!(state(client.simple_query("fetch c").await), SqlState::INVALID_CURSOR_NAME);

    client
        .batch_execute("begin; insert into t values (0); declare c no scroll cursor for select k from t order by k")
        .await
        .unwrap();
    client.batch_execute("delete from t where k > 10; declare d cursor for select count(*) from t").await.unwrap();
    assert_eq!(column(&client, "fetch 3 from c").await, ["0", "1", "2"]);
    assert_eq!(column(&client, "fetch next in c").await, ["3"]);
    assert_eq!(column(&client, "fetch absolute 11 from c").await, ["10"]);
    assert_eq!(column(&client, "fetch relative 2 from c").await, ["12"]);
    client.batch_execute("move 19986 from c").await.unwrap();
    assert_eq!(column(&client, "fetch forward 2 from c").await, ["19999", "20000"]);
    assert_eq!(column(&client, "fetch all from c").await.len(), 10000);
    assert!(column(&client, "fetch c").await.is_empty());
    assert_eq!(column(&client, "fetch all from d").await, ["11"]);
    client.batch_execute("savepoint s; declare e cursor for select 1").await.unwrap();
    assert_eq!(state(client.simple_query("declare c cursor for select 1").await), SqlState::DUPLICATE_CURSOR);
    client.batch_execute("rollback to s").await.unwrap();
    assert_eq!(state(client.simple_query("fetch e").await), SqlState::INVALID_CURSOR_NAME);
    client.batch_execute("rollback to s; declare f cursor for select k from t order by k; fetch 2 from f").await.unwrap();
    for back in [
        "fetch prior from f",
        "fetch -1 from f",
        "fetch backward 3 in f",
        "move backward all in f",
        "fetch first from f",
        "fetch last from f",
        "fetch 0 from f",
    ] {
        let error = client.simple_query(back).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE), "{back}");
        assert_eq!(error.as_db_error().unwrap().message(), "cursor can only scan forward", "{back}");
        client.batch_execute("rollback to s; declare f cursor for select k from t order by k; fetch 2 from f").await.unwrap();
    }
    client.batch_execute("close f; close all; commit").await.unwrap();
    assert_eq!(state(client.simple_query("fetch c").await), SqlState::INVALID_CURSOR_NAME);
}

/// Whoever is inside keeps the database; whoever comes while it goes finds it gone, and nobody is left in what is not there.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_dropped_or_entered() {
    let running = start().await;
    let client = running.client().await;
    let (mut entered, mut dropped) = (0, 0);
    for round in 0..40 {
        client.batch_execute(&format!("create database d{round}")).await.unwrap();
        let mut config = running.config();
        config.dbname(format!("d{round}"));
        let login = async move {
            let (client, connection) = config.connect(NoTls).await?;
            tokio::spawn(connection);
            Ok::<_, tokio_postgres::Error>(client)
        };
        let text = format!("drop database d{round}");
        let (login, drop) = match round % 3 {
            0 => {
                let login = login.await;
                (login, client.batch_execute(&text).await)
            }
            1 => {
                let drop = client.batch_execute(&text).await;
                (login.await, drop)
            }
            // Whoever comes first.
            _ => tokio::join!(login, client.batch_execute(&text)),
        };
        match (login, drop) {
            (Ok(inside), Err(error)) => {
                assert_eq!(error.code(), Some(&SqlState::OBJECT_IN_USE));
                assert_eq!(value(&inside, "select current_database()").await, format!("d{round}"));
                inside.batch_execute("create table t (a int); insert into t values (1)").await.unwrap();
                entered += 1;
            }
            (Err(error), Ok(())) => {
                assert_eq!(error.code(), Some(&SqlState::INVALID_CATALOG_NAME), "{error:?}");
                dropped += 1;
            }
            (Ok(_), Ok(())) => panic!("round {round}: a session in a database that was dropped"),
            (Err(login), Err(drop)) => panic!("round {round}: {login:?} {drop:?}"),
        }
    }
    assert!(entered >= 14 && dropped >= 13, "{entered} entered, {dropped} dropped");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_can_be_cancelled_and_ended_by_others() {
    let running = start().await;
    let client = running.client().await;
    let pid = |text: String| text.parse::<i32>().unwrap();
    let other = Arc::new(running.client().await);
    let other_pid = pid(value(&other, "select pg_backend_pid()").await);
    let runs = Arc::clone(&other);
    let task = tokio::spawn(async move { runs.simple_query("select pg_sleep(60)").await.map(|_| ()) });
    let active = format!("select state || ' ' || query from pg_stat_activity where pid = {other_pid}");
    until(&client, &active, "active select pg_sleep(60)").await;
    assert_eq!(value(&client, &format!("select pg_cancel_backend({other_pid})")).await, "t");
    assert_eq!(task.await.unwrap().unwrap_err().code(), Some(&SqlState::QUERY_CANCELED));
    // One that is idle is not hurt.
    assert_eq!(value(&client, &format!("select pg_cancel_backend({other_pid})")).await, "t");
    assert_eq!(value(&other, "select 1").await, "1");
    let ended = format!("select pg_terminate_backend(pid) from pg_stat_activity where pid = {other_pid}");
    assert_eq!(value(&client, &ended).await, "t");
    let gone = format!("select count(*) from pg_stat_activity where pid = {other_pid}");
    until(&client, &gone, "0").await;
    assert!(other.simple_query("select 1").await.is_err());
    assert_eq!(value(&client, "select pg_terminate_backend(2000000000)").await, "f");
}

/// A DROP DATABASE that is rolled back within its pipeline keeps nobody out.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_stays_can_be_entered() {
    let running = start().await;
    running.client().await.batch_execute("create database d").await.unwrap();
    let mut raw = running.log_in().await;
    let mut pipeline = Vec::new();
    for text in ["drop database d", "rollback"] {
        pipeline.extend(message(b'P', &[b"\0", text.as_bytes(), b"\0\0\0"]));
        pipeline.extend(message(b'B', &[b"\0\0\0\0\0\0\0\0"]));
        pipeline.extend(message(b'E', &[b"\0\0\0\0\0"]));
    }
    pipeline.extend(message(b'S', &[]));
    raw.send(&pipeline).await;
    raw.until_ready().await;
    let found = value(&running.client().await, "select count(*) from pg_database where datname = 'd'").await;
    assert_eq!(found, "1");
    let mut config = running.config();
    config.dbname("d");
    config.connect(NoTls).await.map(drop).unwrap();
}

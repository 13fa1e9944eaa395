//! Statements that would take all time or all memory: they are stopped, or refused, and others go on.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // it times how long a statement takes to stop

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::start;
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
    for (client, _) in &clients {
        client.cancel_token().cancel_query(NoTls).await.unwrap();
    }
    let started = Instant::now();
    for (_, task) in clients {
        assert_eq!(task.await.unwrap().unwrap_err().code(), Some(&SqlState::QUERY_CANCELED));
    }
    let client = running.client().await;
    assert_eq!(value(&client, "select sum(x) from generate_series(1, 100) g (x) where x % 2 = 0").await, "2550");
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

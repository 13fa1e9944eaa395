//! `tpch load`: tables, rows by COPY over several connections, counts compared.
//!
//! ```text
//!   parts of tables --> worker --> generator thread --4 chunks at most--> COPY on the worker's own connection
//! ```

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bench::{BenchError, Progress, Session, Target};
use futures::StreamExt;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tpch::{SCHEMA, Table};

/// Chunks made ahead of the connection: the generator and the server overlap, memory stays at a megabyte a worker.
const CHUNKS_AHEAD: usize = 4;

/// What a load did.
#[derive(Debug, Serialize)]
pub(crate) struct Loaded {
    pub(crate) scale: f64,
    pub(crate) connections: usize,
    pub(crate) rows: u64,
    pub(crate) seconds: f64,
}

/// A share of one table's rows.
struct Part {
    table: Table,
    part: i32,
    parts: i32,
}

/// Creates the tables, fills them and compares their counts with what was sent.
pub(crate) async fn load(target: &Target, scale: f64, connections: usize, drop_first: bool) -> Result<Loaded, BenchError> {
    let session = target.connect().await?;
    if drop_first {
        for table in Table::ALL {
            session.run(&format!("drop table {}", table.name()), &format!("drop table if exists {}", table.name())).await?;
        }
    }
    session.run("create the tables (--drop replaces old ones)", SCHEMA).await?;

    let started = Instant::now();
    let progress = Progress::rows("load", Some(Table::ALL.iter().map(|table| table.rows_about(scale)).sum()));
    let sent = send_all(target, scale, connections, &progress).await.inspect_err(|_| progress.abandon())?;
    progress.finish();
    let seconds = started.elapsed().as_secs_f64();

    for table in Table::ALL {
        let name = table.name();
        let counted = session.text_value(&format!("count {name}"), &format!("select count(*) from {name}")).await?;
        let expected = sent.iter().filter(|(of, _)| *of == table).map(|(_, rows)| rows).sum::<u64>();
        if counted != expected.to_string() {
            let reason = format!("{counted} rows are there, {expected} were sent");
            return Err(BenchError::Statement { what: format!("count {name}"), reason });
        }
    }
    // PostgreSQL plans badly without statistics; a server that keeps its own may refuse the statement.
    drop(session.run("collect statistics", "analyze").await);
    Ok(Loaded { scale, connections, rows: sent.iter().map(|(_, rows)| rows).sum(), seconds })
}

async fn send_all(target: &Target, scale: f64, connections: usize, progress: &Progress) -> Result<Vec<(Table, u64)>, BenchError> {
    // The largest table first: the small ones then fill the gaps at the end.
    let parts = Table::ALL.iter().rev().flat_map(|&table| {
        let parts = table.parts(scale);
        (1..=parts).map(move |part| Part { table, part, parts })
    });
    let queue = Arc::new(Mutex::new(parts.collect::<VecDeque<_>>()));
    let mut workers = JoinSet::new();
    for _ in 0..connections {
        let (queue, progress, session) = (Arc::clone(&queue), progress.clone(), target.connect().await?);
        workers.spawn(async move {
            let mut sent = Vec::new();
            loop {
                let next = queue.lock().expect("no worker panics while it takes a part").pop_front();
                let Some(part) = next else { return Ok::<_, BenchError>(sent) };
                sent.push((part.table, send(&session, scale, part, &progress).await?));
            }
        });
    }
    let mut sent = Vec::new();
    while let Some(worker) = workers.join_next().await {
        sent.extend(worker.expect("a load worker neither panics nor is aborted")?);
    }
    Ok(sent)
}

async fn send(session: &Session, scale: f64, part: Part, progress: &Progress) -> Result<u64, BenchError> {
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
    let Part { table, part, parts } = part;
    let generator = tokio::task::spawn_blocking(move || {
        let mut rows = 0;
        for chunk in table.copy_chunks(scale, part, parts) {
            rows += chunk.rows;
            if sender.blocking_send(chunk).is_err() {
                break; // the connection failed; its error says why
            }
        }
        rows
    });
    let chunks = futures::stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|chunk| (chunk, receiver)) })
        .map(|chunk| {
            progress.add(chunk.rows);
            Ok(chunk.bytes)
        });
    let what = format!("copy part {part} of {parts} into {}", table.name());
    let sql = format!("copy {} from stdin with (delimiter '|')", table.name());
    let taken = session.copy_in(&what, &sql, chunks).await?;
    let made = generator.await.expect("the generator does not panic");
    if taken != made {
        return Err(BenchError::Statement { what, reason: format!("the server took {taken} of {made} rows") });
    }
    Ok(taken)
}

//! `tpcc load`: tables, rows by COPY over several connections, indexes, foreign keys; counts compared.
//!
//! ```text
//!   (table, warehouse) --> worker --> generator thread --4 chunks at most--> COPY on the worker's own connection
//! ```

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bench::{BenchError, Progress, Session, Target};
use bytes::Bytes;
use futures::StreamExt;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::rows::Generator;
use crate::schema::{Extras, Table, create_tables, drop_tables};

/// Bytes of a message; the last row goes over it.
const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks made ahead of the connection: the generator and the server overlap, memory stays at a few hundred kilobytes a worker.
const CHUNKS_AHEAD: usize = 4;

/// What to load.
pub(crate) struct Plan {
    pub(crate) warehouses: u32,
    pub(crate) connections: usize,
    pub(crate) seed: u64,
    pub(crate) drop_first: bool,
    pub(crate) extras: Extras,
}

/// What a load did.
#[derive(Debug, Serialize)]
pub(crate) struct Loaded {
    pub(crate) warehouses: u32,
    pub(crate) connections: usize,
    pub(crate) seed: u64,
    pub(crate) indexes: bool,
    pub(crate) foreign_keys: bool,
    pub(crate) rows: u64,
    pub(crate) copy_seconds: f64,
    /// With indexes, foreign keys, counting and ANALYZE.
    pub(crate) seconds: f64,
}

/// Creates and fills the tables and compares their counts with what was sent. Errors: the server's, with the flag that does without.
pub(crate) async fn load(target: &Target, plan: &Plan) -> Result<Loaded, BenchError> {
    let session = target.connect().await?;
    if plan.drop_first {
        drop_tables(&session).await?;
    }
    create_tables(&session).await?;
    plan.extras.try_out(&session).await?;

    let started = Instant::now();
    let progress = Progress::rows("load", Some(Table::ALL.iter().map(|table| table.rows_about(plan.warehouses)).sum()));
    let sent = send_all(target, plan, &progress).await.inspect_err(|_| progress.abandon())?;
    progress.finish();
    let copy_seconds = started.elapsed().as_secs_f64();

    plan.extras.create(&session).await?;
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
    Ok(Loaded {
        warehouses: plan.warehouses,
        connections: plan.connections,
        seed: plan.seed,
        indexes: plan.extras.indexes,
        foreign_keys: plan.extras.foreign_keys,
        rows: sent.iter().map(|(_, rows)| rows).sum(),
        copy_seconds,
        seconds: started.elapsed().as_secs_f64(),
    })
}

async fn send_all(target: &Target, plan: &Plan, progress: &Progress) -> Result<Vec<(Table, u64)>, BenchError> {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
    let generator = Generator { seed: plan.seed, now };
    // The largest tables first: the small ones then fill the gaps at the end.
    let parts = Table::ALL.iter().flat_map(|&table| {
        let last = if table == Table::Item { 1 } else { plan.warehouses };
        (1..=last).map(move |warehouse| (table, warehouse))
    });
    let queue = Arc::new(Mutex::new(parts.collect::<VecDeque<_>>()));
    let mut workers = JoinSet::new();
    for _ in 0..plan.connections {
        let (queue, progress, generator) = (Arc::clone(&queue), progress.clone(), generator.clone());
        let session = target.connect().await?;
        workers.spawn(async move {
            let mut sent = Vec::new();
            loop {
                let next = queue.lock().expect("no worker panics while it takes a part").pop_front();
                let Some((table, warehouse)) = next else { return Ok::<_, BenchError>(sent) };
                sent.push((table, send(&session, &generator, table, warehouse, &progress).await?));
            }
        });
    }
    let mut sent = Vec::new();
    while let Some(worker) = workers.join_next().await {
        sent.extend(worker.expect("a load worker neither panics nor is aborted")?);
    }
    Ok(sent)
}

async fn send(
    session: &Session,
    generator: &Generator,
    table: Table,
    warehouse: u32,
    progress: &Progress,
) -> Result<u64, BenchError> {
    let (sender, receiver) = mpsc::channel::<(Vec<u8>, u64)>(CHUNKS_AHEAD);
    let generator = generator.clone();
    let making = tokio::task::spawn_blocking(move || {
        let (mut made, mut rows, mut chunk) = (0, 0, Vec::with_capacity(CHUNK_BYTES + 1024));
        generator.each(table, warehouse, |row| {
            chunk.extend_from_slice(row.as_bytes());
            chunk.push(b'\n');
            (made, rows) = (made + 1, rows + 1);
            if chunk.len() >= CHUNK_BYTES {
                let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK_BYTES + 1024));
                // Fails only if the connection did; its error says why.
                drop(sender.blocking_send((full, std::mem::take(&mut rows))));
            }
        });
        drop(sender.blocking_send((chunk, rows)));
        made
    });
    let chunks = futures::stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|chunk| (chunk, receiver)) })
        .map(|(chunk, rows)| {
            progress.add(rows);
            Ok(Bytes::from(chunk))
        });
    let what = format!("copy warehouse {warehouse} into {}", table.name());
    let taken = session.copy_in(&what, &format!("copy {} from stdin", table.name()), chunks).await?;
    let made = making.await.expect("the generator does not panic");
    if taken != made {
        return Err(BenchError::Statement { what, reason: format!("the server took {taken} of {made} rows") });
    }
    Ok(taken)
}

//! Freeze: cold rows leave the delta for a new segment.
//!
//! ```text
//! choose      rows that every snapshot sees, that nobody holds and that were not written lately, by key
//! write       segment file and sidecar, durable; nobody knows of it yet
//! mark        each slot still as chosen gets a version "in segment"; the position of any other is dead on arrival
//! publish P   with commits excluded: the segment is live from P, the marks carry P
//! later       when every snapshot is at P or after, the slots are reclaimed
//! ```
//!
//! A snapshot before P still finds the row in the slot, one at P or later in the segment: exactly one place at any time.
//! A writer that meets a marked slot waits until the publish is over and then finds the row in the segment.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use delta::{Cold, PutOutcome, Write};
use env::Env;
use segments::{Cache, DeletionLog, LiveSegment, Segment, SegmentWriter, WriterOptions};
use txn::Outcome;
use types::arrow_form::ColumnBuilder;
use types::{CommitTs, SegmentId, TxnId};

use crate::engine::Inner;
use crate::error::EngineError;
use crate::recovery::REDO;
use crate::table::TableStore;

/// Rows per batch handed to the segment writer.
const ROWS_PER_BATCH: usize = 8192;
/// Bytes of row images from which a batch gets no further row.
const BYTES_PER_BATCH: usize = 16 << 20;

/// How much has to be cold for a segment to be worth it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Least {
    Rows(usize),
    /// By [`Cold::bytes`].
    Bytes(u64),
}

/// What has left the delta, or will when no snapshot is older than `at`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moved {
    pub(crate) at: CommitTs,
    /// By [`Cold::bytes`].
    pub(crate) bytes: u64,
}

/// Freezes rows of a table that were not written within the last `idle_ticks` ticks, a segment's worth, if there is at least so much.
/// Memory: the images of its rows, half of the delta's limit or one row more.
pub(crate) fn run(engine: &Inner, store: &TableStore, least: Least, idle_ticks: u16) -> Result<Option<Moved>, EngineError> {
    let _moving = store.moving.lock();
    if store.dropped_at() != CommitTs::MAX {
        return Ok(None);
    }
    let bytes_max = (engine.options.delta_bytes_max / 2).max(1) as usize;
    let cold = store.delta.cold(engine.txns.oldest(), idle_ticks, engine.options.segment_rows, bytes_max);
    let bytes = cold.iter().map(|row| row.bytes() as u64).sum();
    let enough = match least {
        Least::Rows(rows) => cold.len() >= rows,
        Least::Bytes(least) => bytes >= least,
    };
    if cold.is_empty() || !enough {
        return Ok(None);
    }
    store.bury_rest()?;
    tracing::debug!(table = %store.id(), rows = cold.len(), "freezing rows");
    env::point(engine.env.as_ref(), "freeze: rows chosen");
    let to = Destination { env: &engine.env, dir: store.dir(engine.env.as_ref(), &engine.dir)?, cache: &engine.cache };
    let segment = write(&to, store, engine.new_segment(), &cold)?;
    env::point(engine.env.as_ref(), "freeze: segment written");
    let me = engine.txns.begin();
    let mut marked = Vec::with_capacity(cold.len());
    let mut dead_on_arrival = Vec::new();
    for (position, row) in cold.iter().enumerate() {
        match store.delta.overwrite(row.slot, me, row.version, Write::InSegment) {
            PutOutcome::Done(slot) => marked.push(slot),
            PutOutcome::Changed | PutOutcome::TooBig => dead_on_arrival.push(position as u32),
        }
    }
    env::point(engine.env.as_ref(), "freeze: slots marked");
    let at = engine.txns.quiesce(|at| {
        publish(store, segment, me, &marked, &dead_on_arrival, at);
        at
    });
    engine.txns.finish(me, Outcome::Committed);
    env::point(engine.env.as_ref(), "freeze: published");
    tracing::debug!(table = %store.id(), rows = marked.len(), changed_meanwhile = dead_on_arrival.len(), "froze rows");
    Ok(Some(Moved { at, bytes }))
}

/// Makes the segment live at `at`, and with it the rows leave the delta.
pub(crate) fn publish(
    store: &TableStore,
    segment: Arc<Segment>,
    me: TxnId,
    marked: &[delta::SlotRef],
    dead_on_arrival: &[u32],
    at: CommitTs,
) {
    let live = LiveSegment::new(segment, at, DeletionLog::default());
    for &position in dead_on_arrival {
        live.dead.append(position, at);
    }
    store.change_segments(|list| list.push(Arc::new(live)));
    for &slot in marked {
        store.delta.stamp(slot, me, at);
    }
}

/// Freezes a segment's worth while the log is read: there are no other readers or writers, and the rows move at the last commit
/// redone. Returns whether there was something to move.
pub(crate) fn while_loading(
    to: &Destination<'_>,
    store: &TableStore,
    id: SegmentId,
    rows_max: usize,
    bytes_max: usize,
    at: CommitTs,
) -> Result<bool, EngineError> {
    let cold = store.delta.cold(at, 0, rows_max, bytes_max);
    if cold.is_empty() {
        return Ok(false);
    }
    let segment = write(to, store, id, &cold)?;
    env::point(to.env.as_ref(), "freeze: segment written while loading");
    let mut marked = Vec::with_capacity(cold.len());
    for row in &cold {
        match store.delta.overwrite(row.slot, REDO, row.version, Write::InSegment) {
            PutOutcome::Done(slot) => marked.push(slot),
            PutOutcome::Changed | PutOutcome::TooBig => {
                return Err(EngineError::Bug("a row changed during recovery".into()));
            }
        }
    }
    publish(store, segment, REDO, &marked, &[], at);
    env::point(to.env.as_ref(), "freeze: published while loading");
    store.delta.reclaim(at);
    Ok(true)
}

/// Where a segment is written.
pub(crate) struct Destination<'a> {
    pub(crate) env: &'a Arc<dyn Env>,
    pub(crate) dir: PathBuf,
    pub(crate) cache: &'a Arc<Cache>,
}

fn write(to: &Destination<'_>, store: &TableStore, id: SegmentId, cold: &[Cold]) -> Result<Arc<Segment>, EngineError> {
    let mut writer = SegmentWriter::create(
        Arc::clone(to.env),
        &to.dir,
        id,
        Arc::clone(&store.schema),
        WriterOptions::default(),
        Arc::clone(to.cache),
    )?;
    for rows in batches(cold) {
        let mut builders: Vec<ColumnBuilder> = store.layout.types().iter().map(|&t| ColumnBuilder::new(t, rows.len())).collect();
        for row in rows {
            let row = store.layout.read(&row.row);
            for (column, builder) in builders.iter_mut().enumerate() {
                builder.append(row.get(column));
            }
        }
        let columns = builders.into_iter().map(|mut b| b.finish()).collect();
        let batch = RecordBatch::try_new(Arc::clone(store.schema.arrow()), columns)
            .map_err(|e| EngineError::Bug(format!("batch of frozen rows: {e}")))?;
        writer.append(&batch)?;
    }
    Ok(writer.finish()?)
}

/// The rows cut into batches, of at least one row each.
fn batches(cold: &[Cold]) -> impl Iterator<Item = &[Cold]> {
    let mut bytes = 0;
    let mut rows = 0;
    cold.chunk_by(move |before, _| {
        bytes += before.row.0.len();
        rows += 1;
        let more = rows < ROWS_PER_BATCH && bytes < BYTES_PER_BATCH;
        if !more {
            (bytes, rows) = (0, 0);
        }
        more
    })
}

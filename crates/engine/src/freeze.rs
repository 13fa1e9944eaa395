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

/// Freezes rows of a table that were not written within the last `idle_ticks` ticks, if there are at least `rows_min`; returns
/// how many moved. Memory: the images of at most one segment's rows.
pub(crate) fn run(engine: &Inner, store: &TableStore, rows_min: usize, idle_ticks: u16) -> Result<usize, EngineError> {
    let _moving = store.moving.lock();
    if store.dropped_at() != CommitTs::MAX {
        return Ok(0);
    }
    let bytes_max = (engine.options.delta_bytes_max / 2) as usize;
    let cold = store.delta.cold(engine.txns.oldest(), idle_ticks, engine.options.segment_rows, bytes_max);
    if cold.len() < rows_min.max(1) {
        return Ok(0);
    }
    store.bury_rest()?;
    tracing::debug!(table = %store.id(), rows = cold.len(), "freezing rows");
    let to = Destination { env: &engine.env, dir: store.dir(engine.env.as_ref(), &engine.dir)?, cache: &engine.cache };
    let segment = write(&to, store, engine.new_segment(), &cold)?;
    let me = engine.txns.begin();
    let mut marked = Vec::with_capacity(cold.len());
    let mut dead_on_arrival = Vec::new();
    for (position, row) in cold.iter().enumerate() {
        match store.delta.overwrite(row.slot, me, row.version, Write::InSegment) {
            PutOutcome::Done(slot) => marked.push(slot),
            PutOutcome::Changed | PutOutcome::TooBig => dead_on_arrival.push(position as u32),
        }
    }
    engine.txns.quiesce(|at| publish(store, segment, me, &marked, &dead_on_arrival, at));
    engine.txns.finish(me, Outcome::Committed);
    tracing::debug!(table = %store.id(), rows = marked.len(), changed_meanwhile = dead_on_arrival.len(), "froze rows");
    Ok(marked.len())
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

/// Freezes while the log is read: there are no other readers or writers, and the rows move at the last commit redone.
pub(crate) fn while_loading(
    to: &Destination<'_>,
    store: &TableStore,
    id: SegmentId,
    rows_max: usize,
    at: CommitTs,
) -> Result<(), EngineError> {
    let cold = store.delta.cold(at, 0, rows_max, usize::MAX);
    if cold.is_empty() {
        return Ok(());
    }
    let segment = write(to, store, id, &cold)?;
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
    store.delta.reclaim(at);
    Ok(())
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
    for rows in cold.chunks(ROWS_PER_BATCH) {
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

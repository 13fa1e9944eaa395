//! Compaction: segments that overlap, or are full of dead rows, become new ones without either.
//!
//! ```text
//! choose     inputs: dead-heavy ones, or those whose key ranges overlap too deeply
//! merge      rows alive at F, by key, into outputs; the files are durable
//! publish P  with commits excluded: rows that died between F and now die in the outputs too;
//!            inputs are retired at P, outputs live from P
//! later      when every snapshot is at P or after, the inputs leave the list; their files go when nobody reads them
//! ```
//!
//! 1. A snapshot before P reads the inputs, one at P or later the outputs.
//! 2. A transaction in flight that has replaced a row of an input finds it in the output when it is stamped (`burial`). While one of
//!    these is left over nothing is published: at its timestamp the row must be found where it still is.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::interleave;
use roaring::RoaringBitmap;
use segments::{Codec, DeletionLog, KeyList, LiveSegment, Segment, SegmentWriter, WriterOptions};
use types::CommitTs;

use crate::engine::Inner;
use crate::error::EngineError;
use crate::table::TableStore;

/// At most so many segments are merged at once: each holds one decoded row group in memory.
const INPUTS_MAX: usize = 8;
const ROWS_PER_BATCH: usize = 8192;

/// How rows are written that are not expected to move soon.
fn settled() -> WriterOptions {
    WriterOptions { codec: Codec::Zstd1, ..WriterOptions::default() }
}

/// Compacts one group of segments of a table if one is due; returns whether it did.
pub(crate) fn run(engine: &Inner, store: &TableStore) -> Result<bool, EngineError> {
    let _moving = store.moving.lock();
    if store.dropped_at() != CommitTs::MAX {
        return Ok(false);
    }
    store.bury_rest()?;
    let guard = engine.txns.snapshot(None);
    let inputs = choose(engine, &store.segments(), guard.ts);
    if inputs.is_empty() {
        return Ok(false);
    }
    tracing::debug!(table = %store.id(), inputs = inputs.len(), "compacting segments");
    env::point(engine.env.as_ref(), "compact: inputs chosen");
    let dead_at_f: Vec<Arc<RoaringBitmap>> = inputs.iter().map(|l| l.dead.as_of(guard.ts)).collect();
    let outputs = merge(engine, store, &inputs, &dead_at_f)?;
    env::point(engine.env.as_ref(), "compact: outputs written");
    drop(guard);
    let Some(outputs) = engine.txns.quiesce(|at| publish(store, &inputs, &dead_at_f, outputs, at))? else { return Ok(false) };
    env::point(engine.env.as_ref(), "compact: published");
    tracing::debug!(table = %store.id(), inputs = inputs.len(), outputs, "compacted segments");
    Ok(true)
}

/// The segments to merge, of those live at `at` and judged by what can be left out then: first those with too many dead rows (with
/// their small neighbours), else the deepest overlap.
fn choose(engine: &Inner, set: &segments::SegmentSet, at: CommitTs) -> Vec<Arc<LiveSegment>> {
    let options = &engine.options;
    // One that is live only from later on may have rows whose predecessors are alive at `at` in another input.
    let is_input = |l: &&Arc<LiveSegment>| l.from <= at && l.until() == CommitTs::MAX;
    let mut live: Vec<&Arc<LiveSegment>> = set.segments().iter().filter(is_input).collect();
    live.sort_by(|a, b| a.segment.min_key().cmp(b.segment.min_key()));
    let alive = |l: &LiveSegment| u64::from(l.segment.rows()).saturating_sub(l.dead.count_at(at));
    let dead_heavy =
        |l: &&Arc<LiveSegment>| l.dead.count_at(at) as f64 > options.compact_dead_fraction * f64::from(l.segment.rows());
    if let Some(at) = live.iter().position(dead_heavy) {
        let mut rows = 0;
        return live[at..]
            .iter()
            .take_while(|l| {
                rows += alive(l);
                rows <= options.segment_rows as u64 || Arc::ptr_eq(l, live[at])
            })
            .take(INPUTS_MAX)
            .map(|l| Arc::clone(l))
            .collect();
    }
    // Sweep by least key, keeping those that reach to the current one.
    let mut open: Vec<&Arc<LiveSegment>> = Vec::new();
    for next in &live {
        open.retain(|l| l.segment.max_key() >= next.segment.min_key());
        open.push(next);
        if open.len() >= options.compact_overlap {
            open.sort_by_key(|l| alive(l));
            return open.into_iter().take(INPUTS_MAX).map(Arc::clone).collect();
        }
    }
    // Runs of small neighbours become one.
    let small = |l: &&&Arc<LiveSegment>| alive(l) * 4 <= options.segment_rows as u64;
    let run = live.chunk_by(|a, b| small(&a) && small(&b)).find(|run| run.len() >= options.compact_overlap);
    run.unwrap_or_default().iter().take(INPUTS_MAX).map(|l| Arc::clone(l)).collect()
}

/// The next rows of one input.
struct Input<'a> {
    segment: &'a Segment,
    dead: &'a RoaringBitmap,
    group: usize,
    first_position: u32,
    keys: Option<Arc<KeyList>>,
    columns: Vec<ArrayRef>,
    row: usize,
}

impl Input<'_> {
    /// Moves to the next row that is alive, `row` included; false at the end.
    fn settle(&mut self) -> Result<bool, EngineError> {
        loop {
            let Some(keys) = &self.keys else {
                if self.group == self.segment.groups().len() {
                    return Ok(false);
                }
                let columns: Vec<usize> = (0..self.segment.schema().columns().len()).collect();
                self.keys = Some(self.segment.group_keys(self.group)?);
                // Past the cache: the inputs are read once more and never again, and would push out what queries use.
                let rows = self.segment.group(self.group).rows() as usize;
                self.columns = self.segment.read_rows(self.group, &columns, 0..rows)?;
                self.row = 0;
                continue;
            };
            while self.row < keys.len() {
                if !self.dead.contains(self.first_position + self.row as u32) {
                    return Ok(true);
                }
                self.row += 1;
            }
            self.first_position += keys.len() as u32;
            self.keys = None;
            self.group += 1;
        }
    }

    fn key(&self) -> Vec<u8> {
        self.keys.as_ref().map(|keys| keys.get(self.row).to_vec()).unwrap_or_default()
    }
}

/// Merges what is alive of the inputs by key into segments of the target size.
fn merge<'a>(
    engine: &'a Inner,
    store: &TableStore,
    inputs: &[Arc<LiveSegment>],
    dead: &[Arc<RoaringBitmap>],
) -> Result<Unseen<'a>, EngineError> {
    let mut inputs: Vec<Input<'_>> = inputs
        .iter()
        .zip(dead)
        .map(|(live, dead)| Input {
            segment: &live.segment,
            dead,
            group: 0,
            first_position: 0,
            keys: None,
            columns: Vec::new(),
            row: 0,
        })
        .collect();
    let mut heap = BinaryHeap::new();
    for (at, input) in inputs.iter_mut().enumerate() {
        if input.settle()? {
            heap.push(Reverse((input.key(), at)));
        }
    }
    let mut output = Output { engine, store, writer: None, rows: 0, done: Unseen { engine, segments: Vec::new() } };
    let mut picked: Vec<(usize, usize)> = Vec::with_capacity(ROWS_PER_BATCH);
    while let Some(Reverse((_, at))) = heap.pop() {
        let input = &mut inputs[at];
        picked.push((at, input.row));
        input.row += 1;
        // Before an input moves on to its next group, the rows picked from this one are copied out.
        if picked.len() == ROWS_PER_BATCH || !rows_left(&inputs[at]) {
            output.append(&take_rows(store, &inputs, &mut picked)?)?;
        }
        let input = &mut inputs[at];
        if input.settle()? {
            heap.push(Reverse((input.key(), at)));
        }
    }
    if !picked.is_empty() {
        output.append(&take_rows(store, &inputs, &mut picked)?)?;
    }
    output.finish()
}

/// True if the input's current group has another row that is alive.
fn rows_left(input: &Input<'_>) -> bool {
    let len = input.keys.as_ref().map_or(0, |keys| keys.len());
    (input.row..len).any(|row| !input.dead.contains(input.first_position + row as u32))
}

fn take_rows(store: &TableStore, inputs: &[Input<'_>], picked: &mut Vec<(usize, usize)>) -> Result<RecordBatch, EngineError> {
    let bug = |e: arrow::error::ArrowError| EngineError::Bug(format!("batch of merged rows: {e}"));
    let mut used: Vec<usize> = picked.iter().map(|(at, _)| *at).collect();
    used.sort_unstable();
    used.dedup();
    let indices: Vec<(usize, usize)> =
        picked.iter().map(|(at, row)| (used.binary_search(at).unwrap_or_default(), *row)).collect();
    let columns: Result<Vec<ArrayRef>, _> = (0..store.schema.columns().len())
        .map(|column| {
            let arrays: Vec<&dyn Array> = used.iter().map(|&at| inputs[at].columns[column].as_ref()).collect();
            interleave(&arrays, &indices)
        })
        .collect();
    picked.clear();
    RecordBatch::try_new(Arc::clone(store.schema.arrow()), columns.map_err(bug)?).map_err(bug)
}

/// Segments being written one after the other.
struct Output<'a, 's> {
    engine: &'a Inner,
    store: &'s TableStore,
    writer: Option<SegmentWriter>,
    rows: usize,
    done: Unseen<'a>,
}

/// Segments that are durable and that nobody knows of yet. Dropped with it they are discarded.
struct Unseen<'a> {
    engine: &'a Inner,
    segments: Vec<Arc<Segment>>,
}

impl Drop for Unseen<'_> {
    fn drop(&mut self) {
        self.segments.drain(..).for_each(|segment| self.engine.discard_unseen(segment));
    }
}

impl<'a> Output<'a, '_> {
    fn append(&mut self, batch: &RecordBatch) -> Result<(), EngineError> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => self.writer.insert(SegmentWriter::create(
                Arc::clone(&self.engine.env),
                &self.store.dir(self.engine.env.as_ref(), &self.engine.dir)?,
                self.engine.new_segment(),
                Arc::clone(&self.store.schema),
                settled(),
                Arc::clone(&self.engine.cache),
            )?),
        };
        writer.append(batch)?;
        self.rows += batch.num_rows();
        if self.rows >= self.engine.options.segment_rows {
            self.close()?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), EngineError> {
        if let Some(writer) = self.writer.take() {
            self.done.segments.push(writer.finish()?);
            env::point(self.engine.env.as_ref(), "compact: output written");
            self.rows = 0;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Unseen<'a>, EngineError> {
        self.close()?;
        Ok(self.done)
    }
}

/// Puts the outputs in the place of the inputs; returns their number, or `None` if a burial is left over.
fn publish(
    store: &TableStore,
    inputs: &[Arc<LiveSegment>],
    dead_at_f: &[Arc<RoaringBitmap>],
    mut unseen: Unseen<'_>,
    at: CommitTs,
) -> Result<Option<usize>, EngineError> {
    // Commits are excluded; this keeps out those who bury what earlier ones have left.
    let burials = store.burials.lock();
    if !burials.is_empty() {
        return Ok(None);
    }
    let live = |segment| Arc::new(LiveSegment::new(Arc::clone(segment), at, DeletionLog::default()));
    let outputs: Vec<Arc<LiveSegment>> = unseen.segments.iter().map(live).collect();
    for (input, before) in inputs.iter().zip(dead_at_f) {
        let late = input.dead.as_of(CommitTs::MAX).as_ref() - before.as_ref();
        for position in late {
            let key = input.segment.key_at(position)?;
            for output in &outputs {
                if let Some(position) = output.segment.find(&key)? {
                    output.dead.append(position, at);
                }
            }
        }
    }
    // Outputs first: a writer, whom nothing keeps out, finds each row in at least one of them.
    let count = outputs.len();
    unseen.segments.clear();
    store.change_segments(|list| list.extend(outputs));
    for input in inputs {
        input.retire(at);
    }
    Ok(Some(count))
}

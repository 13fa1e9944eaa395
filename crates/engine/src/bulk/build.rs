//! Segments being built by several threads: groups of sorted rows in, durable segments out.
//!
//! ```text
//! add(group) --budget--> task: encode --> its place in the segment's order --> file     the last one: footer, sync, open
//!       |                     (any thread)     (one thread at a time)
//! close_segment()
//! finish() waits for all of them
//! ```
//!
//! 1. Groups are added in the order of their keys; a segment's groups may be encoded in any order but are written in this one.
//! 2. What is held in memory is bounded by [`GROUP_BYTES_MAX`] and by two groups a thread: a group counts until it is written.
//! 3. After the first error nothing more is encoded, and a build that is dropped has no more to do: its segments are discarded,
//!    those just being finished too.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use env::Signal;
use parking_lot::Mutex;
use segments::{EncodedGroup, GroupEncoder, Segment, SegmentWriter, WriterOptions};

use crate::engine::Inner;
use crate::error::EngineError;
use crate::table::TableStore;

/// Bytes of Arrow rows being encoded or waiting for it; one larger group may be there alone.
const GROUP_BYTES_MAX: usize = 384 << 20;

/// The segments of one bulk load, see the module's head.
pub(super) struct Build {
    engine: Arc<Inner>,
    store: Arc<TableStore>,
    options: WriterOptions,
    encoder: Option<Arc<GroupEncoder>>,
    current: Option<Current>,
    segments: usize,
    shared: Arc<Shared>,
}

/// The segment that groups are added to.
struct Current {
    assembly: Arc<Mutex<Assembly>>,
    groups: usize,
    rows: usize,
    bytes: usize,
}

/// A segment's groups as they come in.
struct Assembly {
    number: usize,
    writer: Option<SegmentWriter>,
    /// Encoded before those that go in front of them.
    early: BTreeMap<usize, (EncodedGroup, Permit)>,
    written: usize,
    /// How many there will be, once that is known.
    groups: Option<usize>,
}

struct Shared {
    state: Mutex<State>,
    changed: Arc<dyn Signal>,
}

#[derive(Default)]
struct State {
    /// Groups that are not written yet, and their bytes.
    groups: usize,
    bytes: usize,
    /// Segments that were begun and are not finished, and how many of them are being finished.
    unfinished: usize,
    finishing: usize,
    finished: Vec<(usize, Arc<Segment>)>,
    error: Option<EngineError>,
}

/// A group's share of the memory, given back when it is dropped. Dropped before the group is written it leaves an error: whoever
/// waits learns of a task that was lost.
struct Permit {
    shared: Arc<Shared>,
    bytes: usize,
    written: bool,
}

/// A segment with all of its groups. Dropped before it is finished it leaves an error.
struct Finishing {
    shared: Arc<Shared>,
    number: usize,
    segment: Option<Arc<Segment>>,
}

impl Build {
    pub(super) fn new(engine: Arc<Inner>, store: Arc<TableStore>, options: WriterOptions) -> Build {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: engine.env.signal() });
        Build { engine, store, options, encoder: None, current: None, segments: 0, shared }
    }

    /// Rows in the segment that groups are added to.
    pub(super) fn rows(&self) -> usize {
        self.current.as_ref().map_or(0, |current| current.rows)
    }

    /// Bytes in it, as Arrow rows.
    pub(super) fn bytes(&self) -> usize {
        self.current.as_ref().map_or(0, |current| current.bytes)
    }

    /// Adds a row group: rows of the stored columns, of `bytes` in memory, whose keys ascend and are greater than those before.
    /// Waits while too much is in memory. Errors: what went wrong with this or an earlier group.
    pub(super) fn add(&mut self, batches: Vec<RecordBatch>, bytes: usize) -> Result<(), EngineError> {
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let permit = self.permit(bytes)?;
        let encoder = match &self.encoder {
            Some(encoder) => Arc::clone(encoder),
            None => {
                let encoder = GroupEncoder::new(Arc::clone(&self.store.schema), self.options, &batches)?;
                Arc::clone(self.encoder.insert(encoder))
            }
        };
        let current = match &mut self.current {
            Some(current) => current,
            None => {
                let writer = self.create()?;
                let assembly =
                    Assembly { number: self.segments, writer: Some(writer), early: BTreeMap::new(), written: 0, groups: None };
                self.segments += 1;
                self.shared.state.lock().unfinished += 1;
                self.current.insert(Current { assembly: Arc::new(Mutex::new(assembly)), groups: 0, rows: 0, bytes: 0 })
            }
        };
        let group = current.groups;
        current.groups += 1;
        current.rows += rows;
        current.bytes += bytes;
        let (assembly, shared) = (Arc::clone(&current.assembly), Arc::clone(&self.shared));
        let task = move || {
            if shared.has_failed() {
                return;
            }
            let encoded = encoder.encode(group, &batches);
            drop(batches);
            match encoded {
                Ok(encoded) => Assembly::add(&assembly, &shared, &encoder, group, (encoded, permit)),
                // The error first: the permit's own says less.
                Err(error) => {
                    shared.fail(error.into());
                    drop(permit);
                }
            }
        };
        self.engine.workers.run(self.engine.env.as_ref(), Box::new(task));
        Ok(())
    }

    fn create(&self) -> Result<SegmentWriter, EngineError> {
        let engine = &self.engine;
        Ok(SegmentWriter::create(
            Arc::clone(&engine.env),
            &self.store.dir(engine.env.as_ref(), &engine.dir)?,
            engine.new_segment(),
            Arc::clone(&self.store.schema),
            self.options,
            Arc::clone(&engine.cache),
        )?)
    }

    fn permit(&self, bytes: usize) -> Result<Permit, EngineError> {
        let groups_max = 2 * self.engine.workers.threads();
        let mut outcome = None;
        let mut ready = || {
            let mut state = self.shared.state.lock();
            if let Some(error) = &state.error {
                outcome = Some(Err(error.clone()));
            } else if state.groups == 0 || (state.groups < groups_max && state.bytes + bytes <= GROUP_BYTES_MAX) {
                state.groups += 1;
                state.bytes += bytes;
                outcome = Some(Ok(Permit { shared: Arc::clone(&self.shared), bytes, written: false }));
            }
            outcome.is_some()
        };
        if !ready() {
            self.shared.changed.wait_until(&mut ready, None);
        }
        outcome.unwrap_or_else(|| Err(EngineError::Closed("the machine is gone".into())))
    }

    /// Ends the segment that groups are added to: the next group begins another one.
    pub(super) fn close_segment(&mut self) {
        let Some(current) = self.current.take() else { return };
        let mut assembly = current.assembly.lock();
        assembly.groups = Some(current.groups);
        if let Some((writer, finishing)) = assembly.take_complete(&self.shared) {
            self.engine.workers.run(self.engine.env.as_ref(), Box::new(move || finishing.finish(writer)));
        }
    }

    /// Waits until every segment is durable; returns them in the order of their rows. Errors: the first that happened.
    pub(super) fn finish(&mut self) -> Result<Vec<Arc<Segment>>, EngineError> {
        self.close_segment();
        self.wait();
        let mut state = self.shared.state.lock();
        if let Some(error) = &state.error {
            return Err(error.clone());
        }
        if state.unfinished > 0 {
            return Err(EngineError::Closed("the machine is gone".into()));
        }
        let mut finished = std::mem::take(&mut state.finished);
        finished.sort_by_key(|(number, _)| *number);
        Ok(finished.into_iter().map(|(_, segment)| segment).collect())
    }

    /// Waits until no group is being encoded and no segment being finished, and either all are or one never will be.
    fn wait(&self) {
        let mut ready = || {
            let state = self.shared.state.lock();
            state.groups == 0 && state.finishing == 0 && (state.unfinished == 0 || state.error.is_some())
        };
        self.shared.changed.wait_until(&mut ready, None);
    }
}

impl Drop for Build {
    fn drop(&mut self) {
        if self.segments == 0 {
            return;
        }
        self.shared.fail(EngineError::Closed("the load was given up".into()));
        self.current = None;
        self.wait();
        let finished = std::mem::take(&mut self.shared.state.lock().finished);
        finished.into_iter().for_each(|(_, segment)| self.engine.discard_unseen(segment));
    }
}

impl Assembly {
    /// Writes a group if those in front of it are written, and those that waited for it; finishes the segment after its last.
    fn add(this: &Mutex<Assembly>, shared: &Arc<Shared>, encoder: &GroupEncoder, number: usize, group: (EncodedGroup, Permit)) {
        let mut assembly = this.lock();
        assembly.early.insert(number, group);
        loop {
            let next = assembly.written;
            let Some((group, mut permit)) = assembly.early.remove(&next) else { break };
            let Some(writer) = &mut assembly.writer else {
                return shared.fail(EngineError::Bug("a row group comes after its segment's end".into()));
            };
            if let Err(error) = writer.append_group(encoder, group) {
                return shared.fail(error.into());
            }
            assembly.written += 1;
            permit.written = true;
            // Counted as being finished before its last group's permit goes: there is no moment at which nothing seems to be done.
            let complete = assembly.take_complete(shared);
            drop(permit);
            if let Some((writer, finishing)) = complete {
                drop(assembly);
                return finishing.finish(writer);
            }
        }
    }

    /// The writer, if all groups are written and nobody has taken it yet.
    fn take_complete(&mut self, shared: &Arc<Shared>) -> Option<(SegmentWriter, Finishing)> {
        if self.groups != Some(self.written) {
            return None;
        }
        let writer = self.writer.take()?;
        shared.state.lock().finishing += 1;
        Some((writer, Finishing { shared: Arc::clone(shared), number: self.number, segment: None }))
    }
}

impl Finishing {
    fn finish(mut self, writer: SegmentWriter) {
        match writer.finish() {
            Ok(segment) => self.segment = Some(segment),
            Err(error) => self.shared.fail(error.into()),
        }
    }
}

impl Shared {
    fn has_failed(&self) -> bool {
        self.state.lock().error.is_some()
    }

    /// Keeps the first error.
    fn fail(&self, error: EngineError) {
        self.state.lock().error.get_or_insert(error);
        self.changed.notify_all();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.groups -= 1;
        state.bytes -= self.bytes;
        if !self.written {
            state.error.get_or_insert_with(lost);
        }
        drop(state);
        self.shared.changed.notify_all();
    }
}

impl Drop for Finishing {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.finishing -= 1;
        match self.segment.take() {
            Some(segment) => {
                state.unfinished -= 1;
                state.finished.push((self.number, segment));
            }
            None => {
                state.error.get_or_insert_with(lost);
            }
        }
        drop(state);
        self.shared.changed.notify_all();
    }
}

fn lost() -> EngineError {
    EngineError::Bug("a part of a bulk load was lost".into())
}

//! Which segments have a local file of their packed columns (`segments::PackedFileWriter`), and when it is made.
//!
//! ```text
//! nothing else is due, there is room:   the next live segment without one --a row group a step--> its file
//! the disk runs full:                   all of them go
//! ```
//!
//! 1. Nobody waits for a file: what it saves is decoding Parquet at a later start, or when columns do not fit into memory.
//! 2. A tenth of the disk is left free by making them; below a twentieth, and when background work or a checkpoint finds no room, they
//!    are removed. Together they have at most `packed_bytes_max`.
//! 3. One that cannot be written is given up, and not tried again before a restart unless room was all that it lacked.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use env::Room;
use segments::{LiveSegment, PackedFileWriter};
use types::{CommitTs, SegmentId};

use crate::engine::Inner;
use crate::error::EngineError;
use crate::table::TableStore;

/// After there was nothing to do, no room, or a failure.
const PAUSE: Duration = Duration::from_secs(10);

/// How far it is.
#[derive(Default)]
pub(crate) struct Packing {
    /// The file that is being made.
    writer: Option<(Weak<LiveSegment>, PackedFileWriter)>,
    failed: HashSet<SegmentId>,
    next_attempt: Duration,
}

impl Packing {
    /// The next piece of work: a row group. Returns whether there was any.
    fn step(&mut self, engine: &Inner, stores: &[Arc<TableStore>]) -> Result<bool, EngineError> {
        if let Some((live, mut writer)) = self.writer.take() {
            let Some(live) = live.upgrade().filter(|live| live.until() == CommitTs::MAX) else { return Ok(true) };
            match writer.step() {
                Ok(true) => self.writer = Some((Arc::downgrade(&live), writer)),
                Ok(false) => {}
                Err(error) if error.is_disk_full() => return Ok(false),
                Err(error) => {
                    self.failed.insert(live.segment.id());
                    return Err(error.into());
                }
            }
            return Ok(true);
        }
        let (mut used, mut next) = (0, None);
        for live in stores.iter().flat_map(|store| live(store)) {
            match live.segment.packed_bytes_on_disk() {
                Some(bytes) => used += bytes,
                None if next.is_none() && !self.failed.contains(&live.segment.id()) => next = Some(live),
                None => {}
            }
        }
        let Some(next) = next else { return Ok(false) };
        // Codes take about as much as what Parquet makes of them and of strings.
        let about = next.segment.bytes_on_disk();
        let fits = room(engine)?.is_none_or(|room| room.free.saturating_sub(about) > room.total / 10);
        if !fits || used + about > engine.options.packed_bytes_max {
            return Ok(false);
        }
        self.writer = Some((Arc::downgrade(&next), PackedFileWriter::create(&next.segment)?));
        Ok(true)
    }
}

/// The next piece of work, if it is time for one. Returns whether there was any.
pub(crate) fn step(engine: &Inner, stores: &[Arc<TableStore>]) -> Result<bool, EngineError> {
    let mut packing = engine.packing.lock();
    if engine.env.monotonic() < packing.next_attempt || engine.options.packed_bytes_max == 0 {
        return Ok(false);
    }
    let worked = packing.step(engine, stores);
    if !matches!(worked, Ok(true)) {
        packing.next_attempt = engine.env.monotonic() + PAUSE;
    }
    worked
}

/// See [`crate::Engine::pack`].
pub(crate) fn pack_now(engine: &Inner) -> Result<(), EngineError> {
    let stores = engine.stores();
    engine.packing.lock().next_attempt = Duration::ZERO;
    while step(engine, &stores)? {}
    Ok(())
}

/// Removes all of them if the disk is nearly full.
pub(crate) fn keep_room(engine: &Inner) {
    match room(engine) {
        Ok(Some(room)) if room.free < room.total / 20 => drop(give_up(engine)),
        Ok(_) => {}
        Err(error) => tracing::debug!(%error, "the room on the disk is not known"),
    }
}

/// Removes all of them, what there is of the next one too; returns whether there were any.
pub(crate) fn give_up(engine: &Inner) -> bool {
    let mut packing = engine.packing.lock();
    let mut gone = packing.writer.take().is_some();
    packing.next_attempt = engine.env.monotonic() + PAUSE;
    for live in engine.stores().iter().flat_map(|store| live(store)) {
        if live.segment.packed_bytes_on_disk().is_some() {
            match live.segment.remove_packed_file() {
                Ok(()) => gone = true,
                Err(error) => tracing::debug!(%error, "cannot make room"),
            }
        }
    }
    gone
}

fn room(engine: &Inner) -> Result<Option<Room>, EngineError> {
    engine.env.room(&engine.dir).map_err(|error| EngineError::io("look for room in", &engine.dir, &error))
}

fn live(store: &TableStore) -> Vec<Arc<LiveSegment>> {
    let set = store.segments();
    set.segments().iter().filter(|live| live.until() == CommitTs::MAX).cloned().collect()
}

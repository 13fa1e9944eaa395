//! Which segments have a local file of their packed columns (`segments::PackedFileWriter`), and when it is made.
//!
//! ```text
//! nothing else is due, there is room:   the next live segment without one --a row group a step--> its file
//! the disk runs full:                   one file after another goes; all at once if a checkpoint finds no room
//! ```
//!
//! 1. Nobody waits for a file: what it saves is decoding Parquet at a later start, or when columns do not fit into memory.
//! 2. A tenth of the disk is left free by making them, and below a twentieth they are removed again; together they have at most
//!    `packed_bytes_max`.
//! 3. One that cannot be written is given up and tried again later.

use std::sync::Arc;
use std::time::Duration;

use segments::{LiveSegment, PackedFileWriter};
use types::CommitTs;

use crate::engine::Inner;
use crate::error::EngineError;
use crate::table::TableStore;

/// After a failure, and between looks at a disk without room.
const RETRY: Duration = Duration::from_secs(10);

/// The file that is being made.
#[derive(Default)]
pub(crate) struct Packing {
    writer: Option<PackedFileWriter>,
    next_attempt: Duration,
}

impl Packing {
    /// The next piece of work: a row group, or a file that is removed. Returns whether there was any.
    pub(crate) fn step(&mut self, engine: &Inner, stores: &[Arc<TableStore>]) -> Result<bool, EngineError> {
        if engine.env.monotonic() < self.next_attempt || engine.options.packed_bytes_max == 0 {
            return Ok(false);
        }
        let worked = self.try_step(engine, stores);
        if !matches!(worked, Ok(true)) {
            self.next_attempt = engine.env.monotonic() + RETRY;
        }
        match worked {
            Err(error) if error.is_disk_full() => Ok(false),
            outcome => outcome,
        }
    }

    fn try_step(&mut self, engine: &Inner, stores: &[Arc<TableStore>]) -> Result<bool, EngineError> {
        if let Some(mut writer) = self.writer.take() {
            if writer.step()? {
                self.writer = Some(writer);
            }
            return Ok(true);
        }
        let room = engine.env.room(&engine.dir).map_err(|e| EngineError::io("ask for the room of", &engine.dir, &e))?;
        let mut used = 0;
        let mut next = None;
        for live in stores.iter().flat_map(|store| live(store)) {
            match live.segment.packed_bytes_on_disk() {
                Some(_) if room.is_some_and(|room| room.free < room.total / 20) => {
                    live.segment.remove_packed_file()?;
                    return Ok(true);
                }
                Some(bytes) => used += bytes,
                None if next.is_none() => next = Some(live),
                None => {}
            }
        }
        let Some(next) = next else { return Ok(false) };
        // Codes are about twice as long as what Parquet makes of them.
        let about = 2 * next.segment.bytes_on_disk();
        let fits = room.is_none_or(|room| room.free.saturating_sub(about) > room.total / 10);
        if !fits || used + about > engine.options.packed_bytes_max {
            return Ok(false);
        }
        self.writer = Some(PackedFileWriter::create(&next.segment)?);
        Ok(true)
    }
}

/// Removes all of them; returns whether there were any.
pub(crate) fn give_up(engine: &Inner) -> bool {
    let mut gone = false;
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

fn live(store: &TableStore) -> Vec<Arc<LiveSegment>> {
    let set = store.segments();
    set.segments().iter().filter(|live| live.until() == CommitTs::MAX).cloned().collect()
}

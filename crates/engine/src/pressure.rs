//! Short of memory: which tables give rows to segments, so that the delta comes back to its budget.
//!
//! ```text
//! bytes of all deltas     0 ......... half ............... limit .............. twice the limit
//!                           as rows cool | big pieces now    | small ones, too    | no writes
//! ```
//!
//! 1. By bytes, whatever the number of rows: tables that hold most come first, until half of the limit is left.
//! 2. What has moved is in memory until no snapshot is older than the move. It counts as gone: moving more would free nothing sooner.
//! 3. If all that can move is not enough (the rest is of transactions in progress), small pieces wait before they are moved again:
//!    else every row that is written would become a file.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use types::CommitTs;

use crate::engine::Inner;
use crate::error::EngineError;
use crate::freeze::{self, Least};
use crate::maintenance::reclaim;
use crate::table::TableStore;

/// A piece is big from this part of the limit on: 16 MiB of 1 GiB, so that there are at most some 64 of them in memory.
const BIG: u64 = 64;
/// Between two times that small pieces are moved in vain.
const PAUSE: Duration = Duration::from_secs(1);

/// What is remembered of earlier steps.
#[derive(Default)]
pub(crate) struct Pressure {
    /// Bytes that have moved, and when, where older snapshots keep them.
    leaving: Vec<(CommitTs, u64)>,
    /// When all small pieces were moved and it was not enough.
    in_vain: Option<Duration>,
}

impl Pressure {
    /// Freezes until the delta has come down to half of its limit or nothing more can be frozen. Reports each piece to `note`.
    pub(crate) fn relieve(
        &mut self,
        engine: &Inner,
        stores: &[Arc<TableStore>],
        note: &mut dyn FnMut(Result<bool, EngineError>),
    ) {
        let limit = engine.options.delta_bytes_max;
        let oldest = engine.txns.oldest();
        self.leaving.retain(|(at, _)| *at > oldest);
        let bytes = measure(engine, stores);
        if self.staying(bytes) <= limit / 2 {
            return;
        }
        let now = engine.env.monotonic();
        let paused = self.in_vain.is_some_and(|at| now.saturating_sub(at) < PAUSE);
        let small_too = bytes > limit && !paused;
        let least = if small_too { 1 } else { limit / BIG };
        let mut by_bytes: Vec<(u64, &Arc<TableStore>)> = stores.iter().map(|s| (s.delta.bytes() as u64, s)).collect();
        by_bytes.retain(|(bytes, _)| *bytes >= least);
        by_bytes.sort_by(|(a, _), (b, _)| b.cmp(a));
        for (_, store) in by_bytes {
            loop {
                let moved = match freeze::run(engine, store, Least::Bytes(least), 1) {
                    Ok(None) => break,
                    Ok(Some(moved)) => moved,
                    Err(error) => {
                        note(Err(error));
                        break;
                    }
                };
                note(Ok(true));
                reclaim(engine, store);
                if engine.txns.oldest() < moved.at {
                    self.leaving.push((moved.at, moved.bytes));
                }
                if self.staying(measure(engine, stores)) <= limit / 2 {
                    return;
                }
            }
        }
        if small_too {
            self.in_vain = Some(now);
        }
    }

    fn staying(&self, bytes: u64) -> u64 {
        bytes.saturating_sub(self.leaving.iter().map(|(_, bytes)| bytes).sum())
    }
}

/// Counts the bytes of all deltas and tells those who wait for room.
pub(crate) fn measure(engine: &Inner, stores: &[Arc<TableStore>]) -> u64 {
    let bytes = stores.iter().map(|s| s.delta.bytes() as u64).sum();
    engine.delta_bytes.store(bytes, Ordering::Relaxed);
    engine.progress.notify_all();
    bytes
}

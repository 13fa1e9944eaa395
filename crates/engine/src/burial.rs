//! A row of a segment dies: its position goes into the deletion log, of the segment where compaction has put the row by then.
//!
//! ```text
//! bury       at a commit, which cannot fail any more          found -> dead
//!               \ the segment where it is now cannot be read -> left over
//! bury_rest  before a view, a freeze, a load, a reclaim, a compaction   left over -> dead, or an error for whoever asks
//! ```
//!
//! 1. While a burial is left over nothing scans the table's segments, compacts them, or gives up the delta slots that hide their rows;
//!    who reads by key meets the slot first.
//! 2. The row is looked for as of the moment before its commit: what the commit itself loads under the key is another one.
//! 3. There are at most as many burials as rows that commits in flight at a compaction have changed.

use std::sync::Arc;

use segments::LiveSegment;
use types::CommitTs;

use crate::error::EngineError;
use crate::table::TableStore;

/// A row that is dead from `ts` on, at the position it once had.
pub(crate) struct Burial {
    live: Arc<LiveSegment>,
    position: u32,
    ts: CommitTs,
}

impl TableStore {
    /// Marks the row at a segment's position dead from `ts` on; if compaction has moved it since, where it is now.
    pub(crate) fn bury(&self, live: &Arc<LiveSegment>, position: u32, ts: CommitTs) {
        if env::seeded_bug("dead-rows-forgotten") {
            return;
        }
        if let Err(error) = self.try_bury(live, position, ts) {
            let mut burials = self.burials.lock();
            if burials.is_empty() {
                tracing::error!(%error, table = %self.id(), segment = %live.segment.id(), position, "cannot find a row that was moved");
            }
            burials.push(Burial { live: Arc::clone(live), position, ts });
        }
    }

    /// Buries what could not be buried before. Errors: it still cannot, because a segment cannot be read.
    pub(crate) fn bury_rest(&self) -> Result<(), EngineError> {
        let mut burials = self.burials.lock();
        while let Some(Burial { live, position, ts }) = burials.last() {
            self.try_bury(live, *position, *ts)?;
            burials.pop();
        }
        Ok(())
    }

    fn try_bury(&self, live: &LiveSegment, position: u32, ts: CommitTs) -> Result<(), EngineError> {
        let segments = self.segments();
        if let Some(current) = segments.get(live.segment.id()).filter(|l| l.until() == CommitTs::MAX) {
            current.dead.append(position, ts);
            return Ok(());
        }
        let key = live.segment.key_at(position)?;
        match segments.find(&key, CommitTs(ts.0.saturating_sub(1)))? {
            Some((successor, position)) => successor.dead.append(position, ts),
            // Unreachable: it was there when it was changed, and only compaction moves it.
            None => tracing::error!(segment = %live.segment.id(), position, "a moved row is in no segment"),
        }
        Ok(())
    }
}

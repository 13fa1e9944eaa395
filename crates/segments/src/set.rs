//! A table's segments at one moment, and which of them a snapshot reads.
//!
//! ```text
//! segment   from      until
//! g1        0         30        a snapshot at 25 reads g1 and g2, one at 30 reads g3: compaction replaced both by g3 at 30
//! g2        10        30        g1 and g2 stay listed until no snapshot below 30 is left
//! g3        30        -
//! ```
//!
//! 1. A list never changes; publishing makes the next one. What changes are `until` of a segment and its deletion log.
//! 2. At any timestamp a key is alive in at most one segment: `find` may stop at the first.

use std::collections::HashMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use types::{ColumnId, CommitTs, SegmentId};

use crate::deletion::DeletionLog;
use crate::error::Result;
use crate::segment::Segment;
use crate::statistics::{ColumnStatistics, ColumnSummary, KeyRange, TableStatistics};

/// A segment in use: when it is visible, and which of its rows are dead.
#[derive(Debug)]
pub struct LiveSegment {
    /// The rows.
    pub segment: Arc<Segment>,
    /// The first timestamp that reads it.
    pub from: CommitTs,
    /// The first timestamp that does not any more; [`CommitTs::MAX`] while there is none.
    until: AtomicU64,
    /// Its dead rows.
    pub dead: DeletionLog,
}

impl LiveSegment {
    /// A segment that snapshots from `from` on read.
    pub fn new(segment: Arc<Segment>, from: CommitTs, dead: DeletionLog) -> LiveSegment {
        LiveSegment { segment, from, until: AtomicU64::new(CommitTs::MAX.0), dead }
    }

    /// The first timestamp that does not read it any more.
    pub fn until(&self) -> CommitTs {
        CommitTs(self.until.load(Ordering::Acquire))
    }

    /// Snapshots from `ts` on do not read it: a successor has its rows.
    pub fn retire(&self, ts: CommitTs) {
        self.until.store(ts.0, Ordering::Release);
    }

    /// True if a snapshot at `ts` reads it. At [`CommitTs::MAX`]: if it has not been retired.
    pub fn is_live(&self, ts: CommitTs) -> bool {
        let until = self.until();
        self.from <= ts && (ts < until || until == CommitTs::MAX)
    }
}

/// One table's segments, see the module's head.
#[derive(Debug, Default)]
pub struct SegmentSet {
    /// By smallest key.
    segments: Vec<Arc<LiveSegment>>,
    /// For each segment, which of it and those before has the greatest key: where a search backwards may stop.
    reach: Vec<usize>,
    merged: Mutex<Merged>,
}

/// The column statistics made last, and what for.
#[derive(Debug, Default)]
struct Merged {
    segments: Vec<SegmentId>,
    columns: HashMap<ColumnId, ColumnStatistics>,
}

impl SegmentSet {
    /// The list of these segments.
    pub fn new(mut segments: Vec<Arc<LiveSegment>>) -> SegmentSet {
        segments.sort_by(|a, b| a.segment.min_key().cmp(b.segment.min_key()));
        let mut reach: Vec<usize> = Vec::with_capacity(segments.len());
        for (i, live) in segments.iter().enumerate() {
            let farthest = reach.last().copied().filter(|j| segments[*j].segment.max_key() >= live.segment.max_key());
            reach.push(farthest.unwrap_or(i));
        }
        SegmentSet { segments, reach, merged: Mutex::default() }
    }

    /// All segments, retired ones too, by smallest key.
    pub fn segments(&self) -> &[Arc<LiveSegment>] {
        &self.segments
    }

    /// The segments that a snapshot at `ts` reads, by smallest key.
    pub fn at(&self, ts: CommitTs) -> impl Iterator<Item = &Arc<LiveSegment>> {
        self.segments.iter().filter(move |live| live.is_live(ts))
    }

    /// The segment with this id.
    pub fn get(&self, id: SegmentId) -> Option<&Arc<LiveSegment>> {
        self.segments.iter().find(|live| live.segment.id() == id)
    }

    /// Where the row with this key is for a snapshot at `ts`; None if no segment has it alive. Looks only into segments whose
    /// keys span it. Errors: as [`Segment::find`].
    pub fn find(&self, key: &[u8], ts: CommitTs) -> Result<Option<(&Arc<LiveSegment>, u32)>> {
        let mut candidates = self.segments.partition_point(|live| live.segment.min_key() <= key);
        while candidates > 0 {
            candidates -= 1;
            let live = &self.segments[candidates];
            if live.is_live(ts)
                && let Some(position) = live.segment.find(key)?
                && !live.dead.contains(position, ts)
            {
                return Ok(Some((live, position)));
            }
            let before = candidates.checked_sub(1).map(|i| &self.segments[self.reach[i]]);
            if before.is_none_or(|farthest| farthest.segment.max_key() < key) {
                break;
            }
        }
        Ok(None)
    }

    /// The segments that a snapshot at `ts` reads and whose keys may be between the bounds, by smallest key.
    pub fn overlapping(&self, from: Bound<&[u8]>, to: Bound<&[u8]>, ts: CommitTs) -> Vec<Arc<LiveSegment>> {
        let is_before = |live: &LiveSegment| match from {
            Bound::Included(from) | Bound::Excluded(from) => live.segment.max_key() < from,
            Bound::Unbounded => false,
        };
        let end = match to {
            Bound::Included(to) | Bound::Excluded(to) => self.segments.partition_point(|live| live.segment.min_key() <= to),
            Bound::Unbounded => self.segments.len(),
        };
        // Before `start` no segment reaches the first key: `reach` ascends.
        let start = self.reach[..end].partition_point(|farthest| is_before(&self.segments[*farthest]));
        self.segments[start..end].iter().filter(|live| live.is_live(ts) && !is_before(live)).map(Arc::clone).collect()
    }

    /// What the segments that a snapshot at `ts` reads hold in these columns. A column that some segment lacks (it was added later)
    /// has no smallest and greatest value. Cheap while the segments stay the same.
    pub fn statistics(&self, ts: CommitTs, columns: &[ColumnId]) -> TableStatistics {
        let live: Vec<_> = self.at(ts).collect();
        let stored_rows: u64 = live.iter().map(|live| u64::from(live.segment.rows())).sum();
        let dead: u64 = live.iter().map(|live| live.dead.count_at(ts)).sum();
        let segments: Vec<SegmentId> = live.iter().map(|live| live.segment.id()).collect();
        let mut merged = self.merged.lock();
        if merged.segments != segments {
            *merged = Merged { segments, columns: HashMap::new() };
        }
        let statistics = |id: &ColumnId| merged.columns.entry(*id).or_insert_with(|| column_statistics(&live, *id)).clone();
        let columns = columns.iter().map(statistics).collect();
        TableStatistics { rows: stored_rows.saturating_sub(dead), stored_rows, columns }
    }
}

fn column_statistics(live: &[&Arc<LiveSegment>], id: ColumnId) -> ColumnStatistics {
    let mut all = ColumnSummary::default();
    let mut sql_type = None;
    for live in live {
        let schema = live.segment.schema();
        match schema.position(id) {
            // Of another type since: a rewrite is under way, and the two ranges do not compare.
            Some(column) if sql_type.is_none_or(|t| t == schema.columns()[column].sql_type) => {
                sql_type = Some(schema.columns()[column].sql_type);
                all.merge(live.segment.summary(column));
            }
            _ => {
                all.merge(&ColumnSummary { rows: u64::from(live.segment.rows()), range: KeyRange::Unknown, ..Default::default() })
            }
        }
    }
    match sql_type {
        Some(t) => all.statistics(t),
        None => ColumnStatistics { min: None, max: None, null_count: 0, distinct: 0 },
    }
}

//! Which rows of a segment are dead, at any timestamp that someone can still ask about.
//!
//! ```text
//! base: bitmap of positions dead at every snapshot     log: position -> the commit that killed it       vector as of ts:
//! (Arc, shared with scans)                             (commits that some snapshot may not see)         base + log where <= ts
//! ```
//!
//! 1. A row dies once. Killing a dead row again keeps the earlier of the two commits.
//! 2. [`DeletionLog::as_of`] at two moments with the same timestamp is the same set, except for commits at or below it that were
//!    appended in between: commits stamp their deletes before their timestamp becomes visible, so readers never see that.
//! 3. Folding moves entries that every snapshot sees into the base; it changes no answer.
//! 4. On disk a vector is a roaring bitmap in the portable format that every roaring library reads.
//!
//! Byte table: `docs/format.md`, Deletion vectors. Source: Delta Lake's and Iceberg's deletion vectors; roaring (Lemire et al. 2016).

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use env::Env;
use parking_lot::{Mutex, RwLock};
use roaring::RoaringBitmap;
use types::{CommitTs, SegmentId};

use crate::codec::{Decoder, Encoder, trailing_crc};
use crate::error::{Result, SegmentError};
use crate::files;

const MAGIC: &[u8; 8] = b"CLNDDV1\n";

/// The dead rows of one live segment, see the module's head.
#[derive(Debug, Default)]
pub struct DeletionLog {
    /// Rows in base and log: zero is the common case and costs readers one load.
    dead: AtomicU32,
    rows: RwLock<Rows>,
    /// The last vector made, valid for timestamps in `from..until`.
    recent: Mutex<Option<Recent>>,
}

#[derive(Debug, Default)]
struct Rows {
    base: Arc<RoaringBitmap>,
    log: HashMap<u32, CommitTs>,
}

#[derive(Debug)]
struct Recent {
    from: CommitTs,
    until: CommitTs,
    vector: Arc<RoaringBitmap>,
}

/// Entries that are moved under one lock, some milliseconds: lookups wait for it.
const FOLDED_AT_ONCE: usize = 16 * 1024;

impl DeletionLog {
    /// A log in which the rows of `base` are dead at every timestamp.
    pub fn new(base: RoaringBitmap) -> DeletionLog {
        let dead = AtomicU32::new(base.len() as u32);
        DeletionLog { dead, rows: RwLock::new(Rows { base: Arc::new(base), log: HashMap::new() }), recent: Mutex::default() }
    }

    /// The row at `position` is dead from the commit at `ts` on.
    pub fn append(&self, position: u32, ts: CommitTs) {
        let mut rows = self.rows.write();
        if rows.base.contains(position) {
            return;
        }
        let mut counted = true;
        rows.log.entry(position).and_modify(|old| (*old, counted) = ((*old).min(ts), false)).or_insert(ts);
        if counted {
            self.dead.fetch_add(1, Ordering::Release);
        }
        // Still under the write lock: a vector made before this entry must not outlive it for timestamps that see it.
        let mut recent = self.recent.lock();
        *recent = recent.take().filter(|r| r.from < ts).map(|r| Recent { until: r.until.min(ts), ..r });
    }

    /// True if the row at `position` is dead for a snapshot at `ts`. One load if no row of the segment is dead.
    pub fn contains(&self, position: u32, ts: CommitTs) -> bool {
        if self.dead.load(Ordering::Acquire) == 0 {
            return false;
        }
        let rows = self.rows.read();
        rows.log.get(&position).is_some_and(|killed| *killed <= ts) || rows.base.contains(position)
    }

    /// The rows that are dead for a snapshot at `ts`. Cheap while no commit since the last call concerns `ts`.
    pub fn as_of(&self, ts: CommitTs) -> Arc<RoaringBitmap> {
        let rows = self.rows.read();
        if rows.log.is_empty() {
            return Arc::clone(&rows.base);
        }
        if let Some(recent) = &*self.recent.lock()
            && recent.from <= ts
            && ts < recent.until
        {
            return Arc::clone(&recent.vector);
        }
        let mut vector = RoaringBitmap::clone(&rows.base);
        let mut from = CommitTs::ZERO;
        let mut until = CommitTs(u64::MAX);
        for (position, killed) in &rows.log {
            if *killed <= ts {
                vector.insert(*position);
                from = from.max(*killed);
            } else {
                until = until.min(*killed);
            }
        }
        let vector = Arc::new(vector);
        *self.recent.lock() = Some(Recent { from, until, vector: Arc::clone(&vector) });
        vector
    }

    /// Moves the rows killed at or before `oldest`, which every snapshot sees, into the base. Returns how many entries are left.
    pub fn fold(&self, oldest: CommitTs) -> usize {
        loop {
            let mut rows = self.rows.write();
            let old = rows.log.iter().filter(|(_, killed)| **killed <= oldest);
            let old: Vec<u32> = old.map(|(position, _)| *position).take(FOLDED_AT_ONCE).collect();
            if !old.is_empty() {
                let mut base = RoaringBitmap::clone(&rows.base);
                for position in &old {
                    rows.log.remove(position);
                    base.insert(*position);
                }
                rows.base = Arc::new(base);
            }
            if old.len() < FOLDED_AT_ONCE {
                return rows.log.len();
            }
        }
    }

    /// How many rows are dead for the newest snapshots.
    pub fn count(&self) -> u32 {
        self.dead.load(Ordering::Acquire)
    }

    /// How many rows are dead for a snapshot at `ts`.
    pub fn count_at(&self, ts: CommitTs) -> u64 {
        if self.count() == 0 {
            return 0;
        }
        let rows = self.rows.read();
        rows.base.len() + rows.log.values().filter(|killed| **killed <= ts).count() as u64
    }
}

/// A deletion vector as a manifest has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeletionVector {
    /// No row is dead.
    #[default]
    Empty,
    /// A small bitmap, in the roaring portable format.
    Inline(Vec<u8>),
    /// The file [`files::deletions`] of the segment and this timestamp.
    File {
        /// As of which commit.
        ts: CommitTs,
        /// Length of the file.
        bytes: u64,
        /// The CRC-32 that it ends with.
        crc: u32,
    },
}

impl DeletionVector {
    /// Longest bitmap that [`DeletionVector::store`] keeps inside the manifest.
    pub const INLINE_BYTES_MAX: usize = 1024;

    /// Makes `dead` (the rows of segment `id` dead as of `ts`) durable: in the value itself if small, else in a file in `dir`.
    pub fn store(env: &dyn Env, dir: &Path, id: SegmentId, ts: CommitTs, dead: &RoaringBitmap) -> Result<DeletionVector> {
        DeletionVector::store_beyond(DeletionVector::INLINE_BYTES_MAX, env, dir, id, ts, dead)
    }

    /// The same, in a file if it is longer than `inline_max` bytes.
    pub fn store_beyond(
        inline_max: usize,
        env: &dyn Env,
        dir: &Path,
        id: SegmentId,
        ts: CommitTs,
        dead: &RoaringBitmap,
    ) -> Result<DeletionVector> {
        if dead.is_empty() {
            return Ok(DeletionVector::Empty);
        }
        let bitmap = portable(dead);
        if bitmap.len() <= inline_max {
            return Ok(DeletionVector::Inline(bitmap));
        }
        let mut out = Encoder::default();
        out.raw(MAGIC);
        out.u64(id.0);
        out.u64(ts.0);
        out.raw(&bitmap);
        let file = out.finish_with_crc();
        let path = dir.join(files::deletions(id, ts));
        env::write_file_atomically(env, &path, &file).map_err(SegmentError::io("write deletion vector", &path))?;
        Ok(DeletionVector::File { ts, bytes: file.len() as u64, crc: trailing_crc(&file).unwrap_or_default() })
    }

    /// The dead rows of segment `id`, which has `rows` rows, in `dir`. Errors: `Missing`, `Checksum`, `Damaged`, `Io`.
    pub fn load(&self, env: &dyn Env, dir: &Path, id: SegmentId, rows: u32) -> Result<RoaringBitmap> {
        match self {
            DeletionVector::Empty => Ok(RoaringBitmap::new()),
            DeletionVector::Inline(bitmap) => parse(&dir.join(files::segment(id)), bitmap, rows),
            DeletionVector::File { ts, bytes, crc } => {
                let path = dir.join(files::deletions(id, *ts));
                let file = env::read_file(env, &path).map_err(SegmentError::io("read deletion vector", &path))?;
                if file.len() as u64 != *bytes {
                    let what = format!("it has {} bytes, the manifest says {bytes}", file.len());
                    return Err(SegmentError::damaged(&path, file.len() as u64, what));
                }
                let mut from = Decoder::with_this_crc(&path, &file, *crc)?;
                if from.raw(8)? != MAGIC || from.u64()? != id.0 || from.u64()? != ts.0 {
                    return Err(SegmentError::damaged(&path, 0, "it is not this segment's deletion vector"));
                }
                parse(&path, from.rest(), rows)
            }
        }
    }

    pub(crate) fn encode(&self, out: &mut Encoder) {
        match self {
            DeletionVector::Empty => out.u8(0),
            DeletionVector::Inline(bitmap) => {
                out.u8(1);
                out.bytes(bitmap);
            }
            DeletionVector::File { ts, bytes, crc } => {
                out.u8(2);
                out.u64(ts.0);
                out.u64(*bytes);
                out.u32(*crc);
            }
        }
    }

    pub(crate) fn decode(from: &mut Decoder<'_>) -> Result<DeletionVector> {
        Ok(match from.u8()? {
            0 => DeletionVector::Empty,
            1 => DeletionVector::Inline(from.bytes()?.to_vec()),
            2 => DeletionVector::File { ts: CommitTs(from.u64()?), bytes: from.u64()?, crc: from.u32()? },
            other => return Err(from.refuse(format!("{other} is no kind of deletion vector"))),
        })
    }
}

fn portable(bitmap: &RoaringBitmap) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(bitmap.serialized_size());
    bitmap.serialize_into(&mut bytes).expect("writing to a vector does not fail");
    bytes
}

pub(crate) fn parse(path: &Path, bytes: &[u8], rows: u32) -> Result<RoaringBitmap> {
    // A list of containers is allocated by its length, before it is read, and so are the runs of one.
    if containers(bytes) > (rows >> 16) + 1 {
        return Err(SegmentError::damaged(path, 0, format!("deletion vector: it has rows beyond {rows}")));
    }
    if !has_its_runs(bytes) {
        return Err(SegmentError::damaged(path, 0, "deletion vector: it ends within a container".to_owned()));
    }
    let mut rest = bytes;
    let bitmap = RoaringBitmap::deserialize_from(&mut rest);
    let bitmap = bitmap.map_err(|e| SegmentError::damaged(path, 0, format!("deletion vector: {e}")))?;
    if !rest.is_empty() || bitmap.max().is_some_and(|last| last >= rows) {
        return Err(SegmentError::damaged(path, 0, format!("deletion vector: it has rows beyond {rows}")));
    }
    Ok(bitmap)
}

/// The low half of the cookie of a bitmap some of whose containers are lists of runs.
const WITH_RUNS: u32 = 12_347;

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// How many containers, of 65,536 rows each, a bitmap says that it has: after its cookie, or in it.
fn containers(bytes: &[u8]) -> u32 {
    match word(bytes, 0).unwrap_or(0) {
        cookie if cookie & 0xFFFF == WITH_RUNS => (cookie >> 16) + 1,
        _ => word(bytes, 4).unwrap_or(0),
    }
}

/// Whether all runs that a bitmap says it has are there.
fn has_its_runs(bytes: &[u8]) -> bool {
    if word(bytes, 0).is_none_or(|cookie| cookie & 0xFFFF != WITH_RUNS) {
        return true;
    }
    let count = containers(bytes) as usize;
    let cardinalities = 4 + count.div_ceil(8);
    // From four containers on there are offsets.
    let mut at = cardinalities + if count < 4 { 4 * count } else { 8 * count };
    let half = |at: usize| Some(usize::from(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?)));
    for container in 0..count {
        let is_runs = bytes.get(4 + container / 8).is_some_and(|flags| flags & (1 << (container % 8)) != 0);
        let length = match is_runs {
            true => half(at).map(|runs| 2 + 4 * runs),
            false => half(cardinalities + 4 * container + 2).map(|last| (2 * (last + 1)).min(8192)),
        };
        let Some(length) = length else { return false };
        at += length;
    }
    at <= bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_read_only_if_they_are_there() {
        let path = Path::new("dead");
        let mut bitmap = RoaringBitmap::from_iter((0..70_000).chain([131_072, 200_000, 300_000]));
        assert!(bitmap.optimize());
        let whole = portable(&bitmap);
        assert_eq!(word(&whole, 0).map(|cookie| cookie & 0xFFFF), Some(WITH_RUNS));
        assert_eq!(parse(path, &whole, 400_000).unwrap(), bitmap);
        for cut in 0..whole.len() {
            assert!(parse(path, &whole[..cut], 400_000).is_err(), "{cut} bytes");
        }
        // One container of 65,535 runs.
        let claim = [&WITH_RUNS.to_le_bytes()[..], &[1], &[0, 0, 9, 0], &[0xFF, 0xFF], &[0; 8]].concat();
        assert!(!has_its_runs(&claim));
        assert!(parse(path, &claim, 65_536).is_err());
    }

    #[test]
    fn a_delete_is_seen_from_its_commit_on() {
        let log = DeletionLog::new(RoaringBitmap::from_iter([1, 2]));
        assert_eq!(log.as_of(CommitTs(1)).len(), 2);
        log.append(7, CommitTs(10));
        log.append(9, CommitTs(20));
        for (ts, dead) in [(9, vec![1, 2]), (10, vec![1, 2, 7]), (19, vec![1, 2, 7]), (20, vec![1, 2, 7, 9]), (5, vec![1, 2])] {
            assert_eq!(log.as_of(CommitTs(ts)).iter().collect::<Vec<_>>(), dead, "as of {ts}");
            assert_eq!(log.count_at(CommitTs(ts)), dead.len() as u64);
            for position in 0..12 {
                assert_eq!(log.contains(position, CommitTs(ts)), dead.contains(&position), "{position} at {ts}");
            }
        }
        assert_eq!(log.count(), 4);
    }

    #[test]
    fn a_vector_is_shared_until_a_commit_concerns_it() {
        let log = DeletionLog::default();
        log.append(1, CommitTs(10));
        let first = log.as_of(CommitTs(15));
        assert!(Arc::ptr_eq(&first, &log.as_of(CommitTs(12))));
        log.append(2, CommitTs(20));
        assert!(Arc::ptr_eq(&first, &log.as_of(CommitTs(19))));
        assert_eq!(log.as_of(CommitTs(20)).len(), 2);
        log.append(3, CommitTs(18));
        assert_eq!(log.as_of(CommitTs(20)).len(), 3);
        assert_eq!(log.as_of(CommitTs(18)).iter().collect::<Vec<_>>(), [1, 3]);
        assert_eq!(log.as_of(CommitTs(17)).iter().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn folding_and_killing_twice_change_no_answer() {
        let log = DeletionLog::default();
        log.append(1, CommitTs(10));
        log.append(2, CommitTs(20));
        log.append(2, CommitTs(30));
        assert_eq!(log.fold(CommitTs(10)), 1);
        log.append(1, CommitTs(40));
        assert_eq!(log.count(), 2);
        assert_eq!(log.as_of(CommitTs(10)).iter().collect::<Vec<_>>(), [1]);
        assert_eq!(log.as_of(CommitTs(20)).iter().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(log.fold(CommitTs(25)), 0);
        assert_eq!(log.as_of(CommitTs(25)).len(), 2);
    }
}

//! Repair: opening a damaged directory with what is left of it, and an account of what is not. `colonnade check --repair`.
//!
//! ```text
//! FORMAT     written again if there is a manifest
//! log        cut where it can no longer be read                          the commits after that are lost
//! segment    sidecar made again, or the rows that can be read written anew, or set aside as a whole
//! dump       the rows of its whole blocks
//! then       a checkpoint: from here on the directory is whole
//! ```
//!
//! 1. Every file that something is lost of is kept in `quarantine/`, as it was found.
//! 2. Of what a checksum does not vouch for nothing is used. Rows of a segment whose deletion vector is lost are lost: some of them were
//!    deleted, and nobody knows which.
//! 3. What is lost is told by table, rows and, of segments, keys.
//!
//! Not here: indexes that do not fit their tables any more (`sql::check`).

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use env::Env;
use roaring::RoaringBitmap;
use segments::files::FileName;
use segments::{
    Cache, DeletionLog, DumpInfo, DumpReader, LiveSegment, Manifest, ManifestTable, Segment, SegmentFileInfo, SegmentWriter,
    WriterOptions,
};
use types::{CommitTs, Kind, Lsn, SegmentId, TableId};
use wal::WalError;

use crate::directory;
use crate::engine::table_dir;
use crate::error::EngineError;
use crate::redo::{self, Op};
use crate::table::TableStore;

/// Something that was damaged, and what has become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// The table it concerns, if one.
    pub table: Option<TableId>,
    /// The file.
    pub place: String,
    /// What was wrong, and what was done.
    pub what: String,
    /// Rows that are lost, at most: 0 if it is mended, None if that is not known.
    pub rows_lost: Option<u64>,
    /// Between which keys these were, if that is known.
    pub keys: Option<(String, String)>,
}

/// Files that something is lost of are kept here.
const QUARANTINE: &str = "quarantine";

/// What a repair has done so far.
pub(crate) struct Repairs {
    env: Arc<dyn Env>,
    dir: PathBuf,
    cache: Arc<Cache>,
    pub(crate) done: Vec<Repair>,
}

impl Repairs {
    pub(crate) fn new(env: &Arc<dyn Env>, dir: &Path, cache: &Arc<Cache>) -> Repairs {
        Repairs { env: Arc::clone(env), dir: dir.to_owned(), cache: Arc::clone(cache), done: Vec::new() }
    }

    /// Before anything is opened: `FORMAT`, and a log that does not open.
    pub(crate) fn mend_log(&mut self, options: &wal::Options, from: Lsn) -> Result<(), EngineError> {
        let opened = wal::Wal::open(Arc::clone(&self.env), options.clone(), from, &mut |_, _| Ok(()));
        let error = match opened {
            Ok(wal) => return Ok(wal.close()?),
            Err(error @ (WalError::Damaged { .. } | WalError::Missing { .. })) => error,
            Err(error) => return Err(error.into()),
        };
        let mut commits = LostCommits::default();
        let aside = self.dir.join(QUARANTINE).join("wal");
        let cut = wal::cut_damaged(self.env.as_ref(), options, from, &aside, &mut |record| commits.add(record))?;
        let bytes = cut.reached.0.saturating_sub(cut.end.0);
        let what =
            format!("{error}; the log now ends at {}, at least {bytes} bytes of commits are lost{}", cut.end, commits.told());
        self.note(None, "wal", what, None, None);
        for (table, rows) in commits.rows {
            self.note(Some(table), "wal", "changes in commits that were lost and can still be counted".into(), rows, None);
        }
        Ok(())
    }

    /// What is left of a table as of a manifest: its segments, and the dump to read.
    pub(crate) fn table(
        &mut self,
        store: &TableStore,
        listed: &ManifestTable,
        next_segment: &mut u64,
    ) -> Result<(Vec<Arc<LiveSegment>>, Option<DumpReader>), EngineError> {
        let dir = table_dir(&self.dir, listed.table);
        let mut live = Vec::with_capacity(listed.segments.len());
        for segment in &listed.segments {
            let dead = match segment.dead.load(self.env.as_ref(), &dir, segment.id, segment.info.rows) {
                Ok(dead) => dead,
                Err(error) if error.kind() == Kind::Corrupt => {
                    let rows = u64::from(segment.info.rows);
                    let files = listed.files().into_iter().filter(|file| is_of(*file, segment.id));
                    self.set_aside(store.id(), files)?;
                    let what =
                        format!("{error}; which of its segment's rows are deleted is not known, all of them are set aside");
                    self.note(
                        Some(store.id()),
                        &dir.join(segments::files::segment(segment.id)).display().to_string(),
                        what,
                        rows,
                        None,
                    );
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            live.extend(self.segment(store, segment.id, &segment.info, segment.from, dead, next_segment)?);
        }
        let dump = listed.dump.map(|dump| self.dump(store, &dir, &dump)).transpose()?.flatten();
        Ok((live, dump))
    }

    /// What is left of a segment, of which `dead` are deleted.
    pub(crate) fn segment(
        &mut self,
        store: &TableStore,
        id: SegmentId,
        info: &SegmentFileInfo,
        from: CommitTs,
        dead: RoaringBitmap,
        next_segment: &mut u64,
    ) -> Result<Option<Arc<LiveSegment>>, EngineError> {
        let dir = table_dir(&self.dir, store.id());
        let place = dir.join(segments::files::segment(id)).display().to_string();
        let both = [FileName::Segment(id), FileName::Sidecar(id)];
        let salvaged = match Segment::salvage(&self.env, &dir, id, info, &store.schema, &self.cache) {
            Ok(salvaged) => salvaged,
            Err(error) if error.kind() == Kind::Corrupt => {
                self.set_aside(store.id(), both.into_iter())?;
                let rows = u64::from(info.rows) - dead.len();
                self.note(Some(store.id()), &place, format!("{error}; the segment is set aside"), rows, None);
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let segment = salvaged.segment;
        let lost = segment.unreadable()?;
        if let Some(done) = salvaged.done {
            self.note(Some(store.id()), &place, done.to_owned(), 0, None);
        }
        if lost.is_empty() && !salvaged.to_rewrite {
            return Ok(Some(Arc::new(LiveSegment::new(segment, from, DeletionLog::new(dead)))));
        }
        self.set_aside(store.id(), both.into_iter())?;
        for positions in &lost {
            let Range { start, end } = *positions;
            let rows = u64::from(end - start) - dead.range_cardinality(positions.clone());
            let what = format!("rows {start} to {} cannot be read; the others are written anew", end - 1);
            self.note(Some(store.id()), &place, what, rows, Some(segment.keys_around(positions)));
        }
        let rewritten = self.rewrite(store, &segment, &dead, SegmentId(*next_segment))?;
        *next_segment += 1;
        Ok(rewritten.map(|segment| Arc::new(LiveSegment::new(segment, from, DeletionLog::default()))))
    }

    /// The rows that can be read and are not dead, in a new segment; None if there are none.
    fn rewrite(
        &self,
        store: &TableStore,
        segment: &Segment,
        dead: &RoaringBitmap,
        id: SegmentId,
    ) -> Result<Option<Arc<Segment>>, EngineError> {
        let bug = |e: arrow::error::ArrowError| EngineError::Bug(format!("batch of saved rows: {e}"));
        let dir = store.dir(self.env.as_ref(), &self.dir)?;
        let (env, schema, cache) = (Arc::clone(&self.env), Arc::clone(&store.schema), Arc::clone(&self.cache));
        let mut writer = SegmentWriter::create(env, &dir, id, schema, WriterOptions::default(), cache)?;
        for run in segment.readable() {
            let (first, columns): (u32, Vec<ArrayRef>) = run?;
            let batch = RecordBatch::try_new(Arc::clone(store.schema.arrow()), columns).map_err(bug)?;
            let alive: BooleanArray =
                (first..first + batch.num_rows() as u32).map(|position| Some(!dead.contains(position))).collect();
            writer.append(&filter_record_batch(&batch, &alive).map_err(bug)?)?;
        }
        if writer.rows() == 0 {
            return Ok(None); // dropped, it removes its file
        }
        Ok(Some(writer.finish()?))
    }

    /// A reader of what is left of a dump.
    fn dump(&mut self, store: &TableStore, dir: &Path, info: &DumpInfo) -> Result<Option<DumpReader>, EngineError> {
        let place = dir.join(segments::files::dump(info.version)).display().to_string();
        let mut reader = match DumpReader::salvage(self.env.as_ref(), dir, info) {
            Ok(reader) => reader,
            Err(error) if error.kind() == Kind::Corrupt => {
                self.note(Some(store.id()), &place, error.to_string(), info.rows, None);
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        while reader.next_row()?.is_some() {}
        let lost = info.rows.saturating_sub(reader.rows());
        if lost > 0 {
            self.set_aside(store.id(), [FileName::Dump(info.version)].into_iter())?;
            self.note(Some(store.id()), &place, "blocks of recent rows cannot be read".into(), lost, None);
        }
        Ok(Some(DumpReader::salvage(self.env.as_ref(), dir, info)?))
    }

    /// Gives files of a table a second name in the quarantine, those that there are.
    fn set_aside(&self, table: TableId, files: impl Iterator<Item = FileName>) -> Result<(), EngineError> {
        let from = table_dir(&self.dir, table);
        let to = table_dir(&self.dir.join(QUARANTINE), table);
        self.env.create_dir_all(&to).map_err(|e| EngineError::io("create", &to, &e))?;
        for name in files.map(|file| file.to_string()) {
            match self.env.link(&from.join(&name), &to.join(&name)) {
                Err(error) if !matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::AlreadyExists) => {
                    return Err(EngineError::io("set aside", from.join(&name), &error));
                }
                _ => {}
            }
        }
        self.env.sync_dir(&to).map_err(|e| EngineError::io("sync", &to, &e))
    }

    fn note(
        &mut self,
        table: Option<TableId>,
        place: &str,
        what: String,
        rows_lost: impl Into<Option<u64>>,
        keys: Option<(String, String)>,
    ) {
        let rows_lost = if env::seeded_bug("lost-rows-not-told") { Some(0) } else { rows_lost.into() };
        tracing::warn!(table = table.map(tracing::field::display), place, "{what}");
        self.done.push(Repair { table, place: place.to_owned(), what, rows_lost, keys });
    }

    /// `FORMAT` again, where it is damaged or missing in a directory that has a manifest.
    pub(crate) fn mend_format(&mut self) -> Result<(), EngineError> {
        let error = match directory::is_new(self.env.as_ref(), &self.dir) {
            Err(error @ EngineError::Io { .. }) => return Err(error),
            Err(error) => error,
            Ok(_) => return Ok(()),
        };
        if Manifest::load_newest(self.env.as_ref(), &self.dir.join("manifest"))?.is_none() {
            return Err(error);
        }
        directory::write_format(self.env.as_ref(), &self.dir)?;
        self.note(None, "FORMAT", format!("{error}; it is written again"), 0, None);
        Ok(())
    }
}

fn is_of(file: FileName, segment: SegmentId) -> bool {
    matches!(file, FileName::Segment(id) | FileName::Sidecar(id) | FileName::Deletions(id, _) if id == segment)
}

/// Commits that are lost and can still be read.
#[derive(Default)]
struct LostCommits {
    commits: u64,
    first: Option<CommitTs>,
    last: CommitTs,
    rows: std::collections::BTreeMap<TableId, u64>,
}

impl LostCommits {
    fn add(&mut self, record: &[u8]) {
        let Ok((ts, ops)) = redo::decode(record) else { return };
        self.commits += 1;
        self.first.get_or_insert(ts);
        self.last = ts;
        for op in ops {
            let (table, rows) = match op {
                Op::Put { table, .. } | Op::Delete { table, .. } => (table, 1),
                Op::Ingest { table, info, .. } => (table, u64::from(info.rows)),
                Op::Catalog(_) | Op::Counter { .. } => continue,
            };
            *self.rows.entry(table).or_default() += rows;
        }
    }

    fn told(&self) -> String {
        match self.first {
            Some(first) => format!(", among them {} commits from timestamp {first} to {}", self.commits, self.last),
            None => String::new(),
        }
    }
}

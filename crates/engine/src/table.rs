//! One table's storage: its delta, its segments and the ids both need.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use catalog::Table;
use delta::{DeltaTable, Found};
use env::Env;
use parking_lot::Mutex;
use segments::{LiveSegment, SegmentColumn, SegmentSchema, SegmentSet};
use txn::Snapshot;
use types::{CommitTs, Row, RowLayout, TableId};

use crate::burial::Burial;
use crate::engine::table_dir;
use crate::error::EngineError;
use crate::published::Published;
use crate::transaction::Own;

/// Where the rows of one table are. Shared by everyone who reads or writes it; dropped when the last of them is done.
pub(crate) struct TableStore {
    pub(crate) definition: Arc<Table>,
    pub(crate) layout: Arc<RowLayout>,
    pub(crate) schema: Arc<SegmentSchema>,
    pub(crate) delta: DeltaTable,
    segments: Published<SegmentSet>,
    next_rowid: AtomicI64,
    /// Held by whoever moves rows between delta and segments or between segments.
    pub(crate) moving: Mutex<()>,
    /// Rows that died and could not be found then; locked by a compaction while it puts its outputs in place.
    pub(crate) burials: Mutex<Vec<Burial>>,
    /// The commit that dropped the table, or `CommitTs::MAX`.
    dropped_at: AtomicU64,
    /// The commit that last changed what has to be done when a row is written: the table's indexes and constraints.
    changed_at: AtomicU64,
    /// Set once the table's folder is known to be there.
    has_dir: AtomicBool,
    /// Why nobody can read the table, if opening could not.
    damage: OnceLock<EngineError>,
}

impl TableStore {
    pub(crate) fn new(definition: Arc<Table>) -> TableStore {
        let layout = Arc::new(RowLayout::new(&definition.stored_types()));
        let rowid = definition.primary_key.is_none().then(SegmentColumn::row_id);
        let sql = definition.columns.iter().map(|c| SegmentColumn::new(c.id, c.name.as_str(), c.data_type, !c.not_null));
        let columns = rowid.into_iter().chain(sql).collect();
        let schema = Arc::new(SegmentSchema::new(columns, definition.key_columns()).ordered(&definition.key_order));
        TableStore {
            delta: DeltaTable::new(Arc::clone(&layout)),
            layout,
            schema,
            definition,
            segments: Published::new(SegmentSet::default()),
            next_rowid: AtomicI64::new(1),
            moving: Mutex::new(()),
            burials: Mutex::default(),
            dropped_at: AtomicU64::new(CommitTs::MAX.0),
            changed_at: AtomicU64::new(CommitTs::ZERO.0),
            has_dir: AtomicBool::new(false),
            damage: OnceLock::new(),
        }
    }

    pub(crate) fn id(&self) -> TableId {
        self.definition.id
    }

    /// Why nobody can read the table: some of it could not be loaded.
    pub(crate) fn damage(&self) -> Option<&EngineError> {
        self.damage.get()
    }

    /// Some of it cannot be loaded: the first reason counts, and what has been loaded is given up.
    pub(crate) fn set_damaged(&self, error: &EngineError) {
        let what = EngineError::Damaged { table: self.definition.name.clone(), what: error.to_string() };
        if self.damage.set(what).is_ok() {
            tracing::error!(table = %self.id(), name = self.definition.name, %error, "a table is damaged");
        }
        self.change_segments(Vec::clear);
    }

    /// The folder of the table's files below the data directory `base`, created durably if it is not there yet.
    pub(crate) fn dir(&self, env: &dyn Env, base: &Path) -> Result<PathBuf, EngineError> {
        let dir = table_dir(base, self.id());
        if !self.has_dir.load(Ordering::Acquire) {
            env.create_dir_all(&dir).map_err(|e| EngineError::io("create directory", &dir, &e))?;
            self.has_dir.store(true, Ordering::Release);
        }
        Ok(dir)
    }

    /// The segments there are now, those that a held snapshot may still need among them.
    pub(crate) fn segments(&self) -> Arc<SegmentSet> {
        self.segments.get()
    }

    /// Puts another list of segments in place. The change must become visible no earlier than the timestamps in it.
    pub(crate) fn change_segments(&self, change: impl FnOnce(&mut Vec<Arc<LiveSegment>>)) {
        self.segments.change(|now| {
            let mut list: Vec<Arc<LiveSegment>> = now.segments().to_vec();
            change(&mut list);
            SegmentSet::new(list)
        });
    }

    /// Where the newest committed version of a key is whose slot says that it is in a segment, or that has none. None where there is no
    /// such row, and where a commit has just put another version into the delta: the slot is to be looked at again then.
    pub(crate) fn find_newest(&self, key: &[u8]) -> Result<Option<(Arc<LiveSegment>, u32)>, EngineError> {
        loop {
            let segments = self.segments.read();
            if let Some((live, position)) = segments.find(key, CommitTs::MAX)? {
                return Ok(Some((Arc::clone(live), position)));
            }
            // Compaction may have retired segments of this list, and put those that have their rows into the next one.
            if Arc::ptr_eq(&segments, &self.segments.read()) {
                return Ok(None);
            }
        }
    }

    /// The row with this key at a snapshot, with a transaction's `own` changes; of columns that are not `wanted` the values may be missing.
    pub(crate) fn get(
        &self,
        key: &[u8],
        wanted: Option<&[usize]>,
        snapshot: &Snapshot,
        own: &Own,
    ) -> Result<Option<Row>, EngineError> {
        match self.delta.get_columns(key, snapshot, wanted) {
            Found::Row(row) => return Ok(Some(row)),
            Found::Deleted => return Ok(None),
            Found::InSegment | Found::NoSlot => {}
        }
        // What was loaded may have replaced a row that the snapshot still finds in another segment.
        if let Some((live, position)) = own.find_loaded(key)? {
            return Ok(Some(live.segment.row(position, &self.layout, wanted)?));
        }
        let segments = self.segments.read();
        let found = segments.find(key, snapshot.ts)?;
        Ok(found.map(|(live, position)| live.segment.row(position, &self.layout, wanted)).transpose()?)
    }

    pub(crate) fn take_rowid(&self) -> i64 {
        self.next_rowid.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn take_rowids(&self, count: usize) -> i64 {
        self.next_rowid.fetch_add(count as i64, Ordering::Relaxed)
    }

    pub(crate) fn next_rowid(&self) -> i64 {
        self.next_rowid.load(Ordering::Relaxed)
    }

    /// Row ids below `next` have been given out.
    pub(crate) fn raise_rowid(&self, next: i64) {
        self.next_rowid.fetch_max(next, Ordering::Relaxed);
    }

    pub(crate) fn dropped_at(&self) -> CommitTs {
        CommitTs(self.dropped_at.load(Ordering::Acquire))
    }

    pub(crate) fn changed_at(&self) -> CommitTs {
        CommitTs(self.changed_at.load(Ordering::Acquire))
    }

    pub(crate) fn set_changed(&self, at: CommitTs) {
        self.changed_at.store(at.0, Ordering::Release);
    }

    pub(crate) fn set_dropped(&self, at: CommitTs) {
        self.dropped_at.store(at.0, Ordering::Release);
    }
}

//! Rows written: what a write meets under its key, and what becomes of it.
//!
//! ```text
//! newest under the key    in progress: wait, look again    a row: INSERT finds it there, UPDATE asks what becomes of it
//!        |                                                 none: INSERT puts one
//!        \--> put, if it is still the newest --> step, redo       else look again
//! ```
//!
//! Not here: indexes and constraints (`point::write`), rows loaded into segments (`bulk`).
//! Source: PostgreSQL 15 `heapam.c`.

use std::sync::Arc;

use delta::{Base, Expect, Lineage, Newest, PutOutcome, ROW_OVERHEAD, Write};
use roaring::RoaringBitmap;
use segments::LiveSegment;
use txn::{LockMode, RowLock};
use types::{Key, Row, RowRef, SqlError, TableId, TxnId};

use super::{Change, Inserted, Modified, Own, Step, Transaction};
use crate::error::EngineError;
use crate::redo;
use crate::table::TableStore;

impl Transaction {
    fn room_for(&self, bytes: usize) -> Result<(), EngineError> {
        let limit = self.engine.options.transaction_bytes_max;
        if self.redo.len() + bytes > limit {
            return Err(EngineError::TransactionTooLarge { limit });
        }
        self.engine.admit_write((bytes + ROW_OVERHEAD) as u64, self.delta_bytes(), &self.begin.cancel)
    }

    /// What it has in the delta, about.
    pub(super) fn delta_bytes(&self) -> u64 {
        (self.redo.len() + self.steps.len() * ROW_OVERHEAD) as u64
    }

    /// A row id for a row of a table without primary key. Ids are not reused while the engine runs; one of a transaction that is
    /// rolled back is lost.
    pub fn new_rowid(&mut self, table: TableId) -> Result<i64, EngineError> {
        let (at, _) = self.writable(table, LockMode::Shared)?;
        Ok(self.tables[at].store.take_rowid())
    }

    /// Adds a row (of the stored columns). Waits for a transaction in flight that holds its key; `Duplicate` leaves things as
    /// they were.
    pub fn insert(&mut self, table: TableId, row: &Row) -> Result<Inserted, EngineError> {
        let (at, me) = self.writable(table, LockMode::Shared)?;
        self.room_for(row.0.len())?;
        let store = Arc::clone(&self.tables[at].store);
        let key = store.definition.key_of(&store.layout.read(row));
        loop {
            let expect = match store.delta.newest(&key, me) {
                Newest::Blocked(holder) => {
                    self.wait_for(me, holder)?;
                    continue;
                }
                Newest::Row { version, .. } | Newest::InSegment { version } => {
                    self.note_read(table, &key)?;
                    if !self.snapshot().sees(version) {
                        // Of two who have not seen the other's row, the second is told that, not that it has come too late.
                        self.note_write(table, &key)?;
                    }
                    return Ok(Inserted::Duplicate);
                }
                Newest::Deleted { version } => Expect::Version(version),
                Newest::NoSlot => {
                    if self.find_newest(at, &key)?.is_some() {
                        self.note_read(table, &key)?;
                        return Ok(Inserted::Duplicate);
                    }
                    Expect::NoSlot(Base::Absent)
                }
            };
            let hidden = self.find_replaced(at, &key, expect)?;
            match store.delta.put(&key, me, expect, Write::Row(row)) {
                PutOutcome::Changed => {}
                PutOutcome::TooBig => return Err(EngineError::RowTooBig),
                PutOutcome::Done(slot) => {
                    self.hide(at, &hidden);
                    let redo_len = self.redo.len();
                    redo::put(&mut self.redo, table, &row.0);
                    self.steps.push(Step::Row { table: at, slot, first: is_first(expect, me), base: None, hidden, redo_len });
                    self.note_write(table, &key)?;
                    return Ok(Inserted::Done);
                }
            }
        }
    }

    fn find_newest(&self, at: usize, key: &[u8]) -> Result<Option<(Arc<LiveSegment>, u32)>, EngineError> {
        let touched = &self.tables[at];
        match touched.own.find_loaded(key)? {
            None => touched.store.find_newest(key),
            loaded => Ok(loaded),
        }
    }

    /// Lets `change` decide what becomes of the row that the statement's snapshot sees under this key (both of the stored columns).
    /// READ COMMITTED gives it the row's newest version, waiting for a transaction in flight that holds the row; `change` may be
    /// called again if the row changes meanwhile, so it re-checks its condition each time. REPEATABLE READ: 40001 if the row changed
    /// after the snapshot.
    pub fn modify(
        &mut self,
        table: TableId,
        key: &[u8],
        change: &mut dyn FnMut(RowRef<'_>) -> Result<Change, SqlError>,
    ) -> Result<Modified, EngineError> {
        self.modify_row(table, key, false, change)
    }

    /// As [`Transaction::modify`]; under READ COMMITTED of whatever row has this key by now, also one that the statement's snapshot does
    /// not see: an index's entry of a row that is held, a row that another is in conflict with.
    pub fn modify_newest(
        &mut self,
        table: TableId,
        key: &[u8],
        change: &mut dyn FnMut(RowRef<'_>) -> Result<Change, SqlError>,
    ) -> Result<Modified, EngineError> {
        let any = !self.begin.isolation.keeps_snapshot();
        self.modify_row(table, key, any, change)
    }

    /// `any`: whether the snapshot sees the row does not matter.
    fn modify_row(
        &mut self,
        table: TableId,
        key: &[u8],
        any: bool,
        change: &mut dyn FnMut(RowRef<'_>) -> Result<Change, SqlError>,
    ) -> Result<Modified, EngineError> {
        let modified = self.modify_unnoted(table, key, any, change)?;
        match modified {
            Modified::Changed => self.note_write(table, key)?,
            Modified::Kept | Modified::NotFound => self.note_read(table, key)?,
        }
        Ok(modified)
    }

    fn modify_unnoted(
        &mut self,
        table: TableId,
        key: &[u8],
        any: bool,
        change: &mut dyn FnMut(RowRef<'_>) -> Result<Change, SqlError>,
    ) -> Result<Modified, EngineError> {
        let (at, me) = self.writable(table, LockMode::Shared)?;
        let store = Arc::clone(&self.tables[at].store);
        let key = Key::from(key);
        loop {
            let newest = store.delta.newest(&key, me);
            let (expect, row, base) = match newest {
                _ if !any && !self.is_same_row(at, &key, &newest)? => return Ok(Modified::NotFound),
                Newest::Blocked(holder) => {
                    self.wait_for(me, holder)?;
                    continue;
                }
                Newest::Row { version, row } => {
                    self.check_unchanged(&store, &key, version, "update")?;
                    if self.begin.isolation.keeps_snapshot() && !self.snapshot().sees(version) {
                        return Ok(Modified::NotFound);
                    }
                    (Expect::Version(version), row, None)
                }
                Newest::Deleted { version } => {
                    self.check_unchanged(&store, &key, version, "delete")?;
                    return Ok(Modified::NotFound);
                }
                Newest::InSegment { version } => match self.find_newest(at, &key)? {
                    None if store.delta.newest(&key, me) != (Newest::InSegment { version }) => continue,
                    None => return Err(EngineError::Bug(format!("a slot of table {table} names a row that no segment has"))),
                    Some(found) => (Expect::Version(version), found.0.segment.row(found.1, &store.layout, None)?, Some(found)),
                },
                Newest::NoSlot => match self.find_newest(at, &key)? {
                    None if store.delta.newest(&key, me) != Newest::NoSlot => continue,
                    None => return Ok(Modified::NotFound),
                    Some(found) => {
                        (Expect::NoSlot(Base::InSegment), found.0.segment.row(found.1, &store.layout, None)?, Some(found))
                    }
                },
            };
            if let Some((live, _)) = &base
                && !any
                && !self.sees_in_segment(at, &key, expect, live, &row)?
            {
                return Ok(Modified::NotFound);
            }
            let changed = change(store.layout.read(&row))?;
            let write = match &changed {
                Change::Keep => {
                    self.build_on(expect);
                    return Ok(Modified::Kept);
                }
                Change::Put(row) => {
                    debug_assert_eq!(store.definition.key_of(&store.layout.read(row)), key, "modify keeps the key");
                    self.room_for(row.0.len())?;
                    Write::Row(row)
                }
                Change::Delete => {
                    self.room_for(key.len())?;
                    Write::Deleted
                }
            };
            let replaced = self.find_replaced(at, &key, expect)?;
            let hidden = base.clone().or(replaced);
            let lock = if matches!(changed, Change::Delete) { RowLock::Update } else { RowLock::NoKeyUpdate };
            let put = self.engine.txns.write_row(me, table, &key, lock, || store.delta.put(&key, me, expect, write));
            let put = match put {
                Ok(put) => put,
                Err(holder) => {
                    self.wait_for(me, holder)?;
                    continue;
                }
            };
            match put {
                PutOutcome::Changed => {}
                PutOutcome::TooBig => return Err(EngineError::RowTooBig),
                PutOutcome::Done(slot) => {
                    self.hide(at, &hidden);
                    let redo_len = self.redo.len();
                    match &changed {
                        Change::Put(row) => redo::put(&mut self.redo, table, &row.0),
                        Change::Delete | Change::Keep => redo::delete(&mut self.redo, table, &key),
                    }
                    self.steps.push(Step::Row { table: at, slot, first: is_first(expect, me), base, hidden, redo_len });
                    return Ok(Modified::Changed);
                }
            }
        }
    }

    /// READ COMMITTED: whether what is newest under a key is, or is in progress over, a version of the row that the snapshot sees
    /// there.
    fn is_same_row(&self, at: usize, key: &Key, newest: &Newest) -> Result<bool, EngineError> {
        let store = &self.tables[at].store;
        if self.begin.isolation.keeps_snapshot() {
            return Ok(true);
        }
        let snapshot = self.snapshot();
        match newest {
            // Deleted: it is not found in any case. No slot: see `sees_in_segment`.
            Newest::Deleted { .. } | Newest::NoSlot => return Ok(true),
            Newest::Row { version, .. } | Newest::InSegment { version } if snapshot.sees(*version) => return Ok(true),
            Newest::Row { .. } | Newest::InSegment { .. } | Newest::Blocked(_) => {}
        }
        self.goes_on(store, key)
    }

    /// Whether the row with this key is still the one that the snapshot sees, and has not been replaced by another.
    pub(crate) fn goes_on(&self, store: &TableStore, key: &Key) -> Result<bool, EngineError> {
        let snapshot = self.snapshot();
        match store.delta.lineage(key, &snapshot) {
            Lineage::Same => Ok(true),
            Lineage::Other => Ok(false),
            Lineage::Segment => Ok(store.segments().find(key, snapshot.ts)?.is_some()),
        }
    }

    /// REPEATABLE READ: fails if the snapshot saw the row and `version`, its newest, is not that one.
    fn check_unchanged(
        &self,
        store: &TableStore,
        key: &Key,
        version: txn::Version,
        what: &'static str,
    ) -> Result<(), EngineError> {
        if !self.begin.isolation.keeps_snapshot() || self.snapshot().sees(version) {
            return Ok(());
        }
        match store.get(key, Some(&[]), &self.snapshot(), &Own::default())? {
            Some(_) => Err(EngineError::Conflict(what)),
            None => Ok(()),
        }
    }

    /// Whether `newest`, a row whose newest version is in the segment `live`, is there for this transaction: one loaded after the
    /// snapshot is not. Under REPEATABLE READ one loaded in the place of another is a conflict (40001). Freeze and compaction do not
    /// change what a snapshot sees.
    fn sees_in_segment(
        &self,
        at: usize,
        key: &[u8],
        expect: Expect,
        live: &LiveSegment,
        newest: &Row,
    ) -> Result<bool, EngineError> {
        let (touched, snapshot) = (&self.tables[at], self.snapshot());
        if !self.begin.isolation.keeps_snapshot() {
            let is_seen = matches!(expect, Expect::Version(_)) || live.is_live(snapshot.ts);
            return Ok(is_seen || touched.store.get(key, Some(&[]), &snapshot, &touched.own)?.is_some());
        }
        // Came to the segment after the snapshot: by freeze, the same row, or by a load.
        let may_differ = matches!(expect, Expect::Version(version) if !snapshot.sees(version));
        let wanted: Option<&[usize]> = if may_differ { None } else { Some(&[]) };
        match touched.store.get(key, wanted, &snapshot, &touched.own)? {
            Some(seen) if may_differ && seen != *newest => Err(EngineError::Conflict("update")),
            seen => Ok(seen.is_some()),
        }
    }

    /// A change on top of a version that the snapshot does not see (a commit that is not durable yet, or a deletion after it): what
    /// the snapshot sees instead may be a row in a segment, which this transaction's own version will hide. To be asked before the
    /// change is made: it may fail.
    fn find_replaced(&mut self, at: usize, key: &Key, replaced: Expect) -> Result<Option<(Arc<LiveSegment>, u32)>, EngineError> {
        if !self.build_on(replaced) {
            return Ok(None);
        }
        let segments = self.tables[at].store.segments();
        Ok(segments.find(key, self.guard().ts)?.map(|(live, position)| (Arc::clone(live), position)))
    }

    /// From now on what this transaction does depends on a version. False: its snapshot sees that.
    pub(super) fn build_on(&mut self, version: Expect) -> bool {
        match version {
            Expect::Version(version) if !self.snapshot().sees(version) => {
                self.built_on = self.built_on.max(version.committed_ts());
                true
            }
            Expect::Version(_) | Expect::NoSlot(_) => false,
        }
    }

    /// From now on this transaction does not see this row of a segment.
    fn hide(&mut self, at: usize, row: &Option<(Arc<LiveSegment>, u32)>) {
        let Some((live, position)) = row else { return };
        let own = Arc::make_mut(&mut self.tables[at].own);
        match own.dead.iter_mut().find(|(l, _)| Arc::ptr_eq(l, live)) {
            Some((_, dead)) => {
                dead.insert(*position);
            }
            None => own.dead.push((Arc::clone(live), RoaringBitmap::from_iter([*position]))),
        }
    }

    /// Lets the slot of a deleted row say that its key is in a segment again, one that is about to be ingested. The table is locked,
    /// so that only reclaim can change the slot: it may free it.
    pub(crate) fn revive(&mut self, at: usize, key: &Key) -> Result<(), EngineError> {
        let me = self.write_id()?;
        let store = Arc::clone(&self.tables[at].store);
        while let Newest::Deleted { version } = store.delta.newest(key, me) {
            let expect = Expect::Version(version);
            let hidden = self.find_replaced(at, key, expect)?;
            match store.delta.put(key, me, expect, Write::InSegment) {
                PutOutcome::Changed => {}
                PutOutcome::TooBig => return Err(EngineError::RowTooBig),
                PutOutcome::Done(slot) => {
                    self.hide(at, &hidden);
                    let redo_len = self.redo.len();
                    self.steps.push(Step::Row { table: at, slot, first: is_first(expect, me), base: None, hidden, redo_len });
                    break;
                }
            }
        }
        Ok(())
    }

    /// Adds a segment whose files are durable; seen by others from the commit on.
    pub(crate) fn ingest(&mut self, at: usize, live: Arc<LiveSegment>) {
        let redo_len = self.redo.len();
        redo::ingest(&mut self.redo, self.tables[at].store.id(), live.segment.id(), &live.segment.info());
        Arc::make_mut(&mut self.tables[at].own).ingested.push(Arc::clone(&live));
        self.steps.push(Step::Ingest { table: at, live, redo_len });
    }
}

/// Whether a transaction that replaces this has not written the slot before.
fn is_first(replaced: Expect, me: TxnId) -> bool {
    !matches!(replaced, Expect::Version(version) if version.txn() == Some(me))
}

//! A transaction: its snapshot, its changes, how to undo them and how to log them.
//!
//! ```text
//! begin --> begin_statement --> get, insert, modify ... --> commit: log record, stamp, acknowledge when durable
//!              |  ^                 | savepoint()
//!              +--+                 +--> rollback_to: steps undone newest first, redo cut
//! ```
//!
//! 1. A change is in the delta at once, under this transaction's id, and in `redo`; nothing of it is in the log before commit.
//! 2. Every change has a step that undoes it; statement atomicity is a savepoint before each statement.
//! 3. READ COMMITTED waits for the holder of a row that the statement's snapshot sees and looks again: if the row has ended
//!    meanwhile, it is gone, whatever has its key now. REPEATABLE READ fails with 40001 if the row changed after the snapshot.
//!
//! Not here: how it writes rows (`write`), goes back and ends (`end`), holds tables (`tables`), locks rows without writing them (`rows`),
//! and notes what it reads and writes under SERIALIZABLE (`serial`).
//! Source: PostgreSQL 15, chapter 13.2, and `heapam.c` for who waits for whom.

use std::sync::Arc;
use std::time::Duration;

use catalog::{Catalog, Edit};
use delta::{Found, SlotRef};
use parking_lot::Mutex;
use roaring::RoaringBitmap;
use segments::LiveSegment;
use txn::{Cancel, LockMode, Outcome, SerialTransaction, SessionId, Snapshot, SnapshotGuard, WaitLimits};
use types::{CommitTs, Row, SegmentId, TableId, TxnId};

use crate::advisory::Taken;
use crate::engine::Inner;
use crate::error::EngineError;
use crate::owed::OwedList;
use crate::range::{RangeCursor, RangeOf};
use crate::read_view::ReadView;
use crate::redo;
use crate::sequences::{Given, Sequences, Touched};
use crate::session::OwnEngine;
use crate::table::TableStore;

mod end;
mod rows;
mod serial;
mod tables;
mod write;

pub use rows::{Locked, OnLocked};

/// The table id whose lock serializes catalog changes.
const CATALOG_LOCK: TableId = TableId(0);

/// How much a transaction is kept apart from others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Each statement sees what was committed when it began.
    #[default]
    ReadCommitted,
    /// Every statement sees what was committed when the first began.
    RepeatableRead,
    /// The same, and all transactions of this level together are as if one had run after the other: one that would break that fails.
    Serializable,
}

impl Isolation {
    /// Whether all statements of a transaction see the same of others.
    pub const fn keeps_snapshot(self) -> bool {
        !matches!(self, Isolation::ReadCommitted)
    }
}

/// How a transaction begins.
#[derive(Clone, Default)]
pub struct Begin {
    /// What it may see of others.
    pub isolation: Isolation,
    /// Whether writes are refused with 25006.
    pub read_only: bool,
    /// Of one that is SERIALIZABLE and reads only: whether it waits for a snapshot with which it cannot fail.
    pub deferrable: bool,
    /// Set from elsewhere to end a wait with 57014.
    pub cancel: Arc<Cancel>,
    /// How long to wait for one lock; None waits until there is a deadlock.
    pub lock_timeout: Option<Duration>,
    /// What the session has been given of sequences.
    pub given: Arc<Given>,
}

/// Where a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the delta: written lately.
    Delta,
    /// In a segment.
    Segment,
    /// There is no such row.
    Nowhere,
}

/// What [`Transaction::insert`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The row is there.
    Done,
    /// A row with its key was there before.
    Duplicate,
}

/// What is to become of a row, see [`Transaction::modify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It stays as it is.
    Keep,
    /// It becomes this row, which has the same key.
    Put(Row),
    /// It goes.
    Delete,
}

/// What [`Transaction::modify`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modified {
    /// The row was replaced or deleted.
    Changed,
    /// There is such a row and it stays.
    Kept,
    /// There is no such row.
    NotFound,
}

/// A moment within a transaction to go back to; the default is its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Savepoint {
    steps: usize,
    owed: [usize; 2],
    rows_locked: usize,
    advisory: usize,
}

/// What a transaction has done to one table.
#[derive(Clone, Default)]
pub(crate) struct Own {
    /// Segment positions whose rows this transaction has replaced or deleted.
    pub(crate) dead: Vec<(Arc<LiveSegment>, RoaringBitmap)>,
    /// Segments this transaction has loaded, seen by nobody else yet.
    pub(crate) ingested: Vec<Arc<LiveSegment>>,
}

impl Own {
    /// Where this transaction has loaded the row with this key, unless it has replaced or deleted that since.
    pub(crate) fn find_loaded(&self, key: &[u8]) -> Result<Option<(Arc<LiveSegment>, u32)>, EngineError> {
        for live in &self.ingested {
            if let Some(position) = live.segment.find(key)?
                && !self.dead.iter().any(|(l, dead)| Arc::ptr_eq(l, live) && dead.contains(position))
            {
                return Ok(Some((Arc::clone(live), position)));
            }
        }
        Ok(None)
    }
}

pub(crate) struct TouchedTable {
    pub(crate) store: Arc<TableStore>,
    pub(crate) own: Arc<Own>,
    locked: Option<LockMode>,
}

/// One change, with what is needed to stamp or undo it.
pub(crate) enum Step {
    /// `first`: of this transaction's changes of the slot. `base`: the segment position whose row this change replaced first, dead
    /// from the commit on. `hidden`: the one that this transaction itself must not see any more.
    Row {
        table: usize,
        slot: SlotRef,
        first: bool,
        base: Option<(Arc<LiveSegment>, u32)>,
        hidden: Option<(Arc<LiveSegment>, u32)>,
        redo_len: usize,
    },
    Ingest {
        table: usize,
        live: Arc<LiveSegment>,
        redo_len: usize,
    },
    Edit {
        before: Option<Arc<Catalog>>,
        redo_len: usize,
    },
}

/// A transaction. Dropping it rolls it back.
pub struct Transaction {
    pub(crate) engine: Arc<OwnEngine>,
    /// The session that holds its locks; see [`crate::SessionLocks`].
    pub(crate) session: Option<SessionId>,
    pub(crate) begin: Begin,
    id: Option<TxnId>,
    snapshot: Option<Arc<SnapshotGuard>>,
    /// Of SERIALIZABLE: what notes its reads and writes.
    serial: Option<Arc<SerialTransaction>>,
    /// A statement has begun.
    begun: bool,
    /// And no other has.
    is_first: bool,
    /// The latest commit that it has written on top of, or looked at, without its snapshot seeing it. That may not be visible yet: the next snapshot of
    /// READ COMMITTED must be one that sees all of it.
    built_on: Option<CommitTs>,
    pub(crate) tables: Vec<TouchedTable>,
    /// The catalog with this transaction's edits.
    pub(crate) edited: Option<Arc<Catalog>>,
    pub(crate) steps: Vec<Step>,
    pub(crate) redo: Vec<u8>,
    pub(crate) owed: OwedList,
    /// Locks of keys it holds, about.
    pub(crate) key_locks: usize,
    /// Locks of rows it holds.
    rows_locked: usize,
    /// Sequences it has taken values of.
    touched: Arc<Mutex<Touched>>,
    /// Advisory locks it has taken.
    pub(crate) advisory: Option<Arc<Taken>>,
}

impl Transaction {
    pub(crate) fn new(engine: Arc<OwnEngine>, session: Option<SessionId>, begin: Begin) -> Transaction {
        Transaction {
            engine,
            session,
            begin,
            id: None,
            snapshot: None,
            serial: None,
            begun: false,
            is_first: false,
            built_on: None,
            tables: Vec::new(),
            edited: None,
            steps: Vec::new(),
            redo: Vec::new(),
            owed: OwedList::default(),
            key_locks: 0,
            rows_locked: 0,
            touched: Arc::default(),
            advisory: None,
        }
    }

    pub(crate) fn of_no_session(engine: &Arc<Inner>, begin: Begin) -> Transaction {
        Transaction::new(Arc::new(OwnEngine(Arc::clone(engine))), None, begin)
    }

    /// Starts a statement: READ COMMITTED takes a fresh snapshot, REPEATABLE READ keeps its first.
    pub fn begin_statement(&mut self) {
        self.is_first = !self.begun;
        self.begun = true;
        if let Some(ts) = self.built_on.take().filter(|_| !self.begin.isolation.keeps_snapshot())
            && let Err(error) = self.wait_visible(ts)
        {
            tracing::debug!(%error, "the log has failed: nothing more becomes visible");
        }
        if self.snapshot.is_none() || !self.begin.isolation.keeps_snapshot() {
            self.snapshot = Some(Arc::new(self.take_snapshot()));
        }
    }

    /// Gives a statement that has done nothing yet another snapshot, one that sees everything so far. False under REPEATABLE READ, unless
    /// it is the transaction's first. Errors: as [`Transaction::settle`].
    pub fn begin_statement_anew(&mut self) -> Result<bool, EngineError> {
        if self.begin.isolation.keeps_snapshot() {
            if !self.is_first || self.has_changes() {
                return Ok(false);
            }
            self.snapshot = None;
            self.end_serial(false);
        }
        self.settle()?;
        let is_first = self.is_first;
        self.begin_statement();
        self.is_first = is_first;
        Ok(true)
    }

    /// Lets a transaction that has only waited for locks begin with its next statement. Errors: as [`Transaction::settle`].
    pub fn begin_later(&mut self) -> Result<(), EngineError> {
        if !self.is_first || self.has_changes() {
            return Ok(());
        }
        self.snapshot = None;
        self.end_serial(false);
        self.begun = false;
        self.settle()
    }

    /// Ends a statement: READ COMMITTED gives its snapshot back, so that a transaction that only waits for its client keeps no old
    /// versions. Views that were taken stay valid. The next access needs [`Transaction::begin_statement`].
    pub fn end_statement(&mut self) {
        if !self.begin.isolation.keeps_snapshot() {
            self.snapshot = None;
        }
    }

    /// As [`Transaction::begin_statement`] for a statement that will write. While others have filled the delta so far that the rest
    /// is for statements under way, it waits, holding (in READ COMMITTED) no snapshot meanwhile: one that waits later may itself
    /// keep the merge from giving memory back. Errors: `DeltaFull` if there is no room after a while, `Canceled`.
    pub fn begin_writing_statement(&mut self) -> Result<(), EngineError> {
        let mut admitted = Ok(());
        let own = self.delta_bytes();
        if self.engine.is_crowded(own) {
            if !self.begin.isolation.keeps_snapshot() {
                self.snapshot = None;
            }
            admitted = self.engine.admit_statement(own, &self.begin.cancel);
        }
        self.begin_statement();
        admitted
    }

    /// Waits until every commit so far is visible, so that the next snapshot has them all: those a lock was waited for may not be
    /// on disk yet. Errors: `Closed` if the log fails first.
    pub fn settle(&self) -> Result<(), EngineError> {
        self.wait_visible(self.engine.txns.quiesce(|ts| ts))
    }

    /// Waits until what the statement has seen of others beyond its snapshot is on disk: a row that it waited for, and gives back.
    /// Errors: `Closed` if the log fails first.
    pub fn settle_seen(&self) -> Result<(), EngineError> {
        self.built_on.map_or(Ok(()), |ts| self.wait_visible(ts))
    }

    fn wait_visible(&self, ts: CommitTs) -> Result<(), EngineError> {
        self.engine.txns.wait_visible(ts).map_err(|failed| EngineError::Closed(failed.cause.to_string()))
    }

    /// The isolation this transaction began with.
    pub fn isolation(&self) -> Isolation {
        self.begin.isolation
    }

    /// Whether it refuses writes.
    pub fn is_read_only(&self) -> bool {
        self.begin.read_only
    }

    /// Changes isolation and access mode; only before the first statement ([`Transaction::has_begun`]).
    pub fn set_mode(&mut self, isolation: Isolation, read_only: bool, deferrable: bool) {
        self.begin.isolation = isolation;
        self.begin.read_only = read_only;
        self.begin.deferrable = deferrable;
    }

    /// How long one wait for a lock may take from now on.
    pub fn set_lock_timeout(&mut self, timeout: Option<Duration>) {
        self.begin.lock_timeout = timeout;
    }

    /// True once a statement has begun.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// True once something was changed.
    pub fn has_changes(&self) -> bool {
        !self.steps.is_empty()
    }

    pub(crate) fn engine_handle(&self) -> Arc<Inner> {
        Arc::clone(&self.engine.0)
    }

    fn guard(&self) -> &Arc<SnapshotGuard> {
        self.snapshot.as_ref().expect("begin_statement comes before every access")
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot { ts: self.guard().ts, own: self.id }
    }

    /// The catalog at the snapshot (between statements: the newest), with this transaction's own changes.
    pub fn catalog(&self) -> Arc<Catalog> {
        match (&self.edited, &self.snapshot) {
            (Some(edited), _) => Arc::clone(edited),
            (None, Some(guard)) => self.engine.catalog_at(guard.ts),
            (None, None) => self.engine.catalog_at(self.engine.txns.visible()),
        }
    }

    /// Whether that is this one.
    pub fn sees_catalog(&self, catalog: &Arc<Catalog>) -> bool {
        match (&self.edited, &self.snapshot) {
            (Some(edited), _) => Arc::ptr_eq(edited, catalog),
            (None, Some(guard)) => self.engine.is_catalog_at(guard.ts, catalog),
            (None, None) => self.engine.is_catalog_at(self.engine.txns.visible(), catalog),
        }
    }

    /// The row with this key at the statement's snapshot, with own changes. Key and row are of the stored columns.
    pub fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Row>, EngineError> {
        self.look_up(table, key, None)
    }

    /// As [`Transaction::get`], for a caller that reads only the columns `wanted`, which is in order: others may be NULL.
    pub fn get_columns(&self, table: TableId, key: &[u8], wanted: &[usize]) -> Result<Option<Row>, EngineError> {
        self.look_up(table, key, Some(wanted))
    }

    fn look_up(&self, table: TableId, key: &[u8], wanted: Option<&[usize]>) -> Result<Option<Row>, EngineError> {
        self.note_read(table, key)?;
        self.look_up_unnoted(table, key, wanted)
    }

    /// As [`Transaction::get`], for what the answer to the client does not depend on but by locks.
    pub(crate) fn look_up_unnoted(
        &self,
        table: TableId,
        key: &[u8],
        wanted: Option<&[usize]>,
    ) -> Result<Option<Row>, EngineError> {
        match self.tables.iter().find(|t| t.store.id() == table) {
            Some(touched) => touched.store.get(key, wanted, &self.snapshot(), &touched.own),
            None => self.engine.with_store(table, |store| store.get(key, wanted, &self.snapshot(), &Own::default())),
        }
    }

    /// The rows between two keys at the statement's snapshot, with own changes, to be pulled block by block. It stays valid, and
    /// keeps its snapshot, for as long as it is held.
    pub fn range(&self, table: TableId, of: RangeOf<'_>) -> Result<RangeCursor, EngineError> {
        let (store, own) = match self.tables.iter().find(|t| t.store.id() == table) {
            Some(touched) => (Arc::clone(&touched.store), Arc::clone(&touched.own)),
            None => (self.engine.store(table)?, Arc::default()),
        };
        let cursor =
            RangeCursor::new(store, &own, self.snapshot(), Arc::clone(self.guard()), Arc::clone(&self.begin.cancel), of)?;
        Ok(cursor.noted_by(self.serial.clone()))
    }

    /// Where the row with this key is at the statement's snapshot.
    pub fn locate(&self, table: TableId, key: &[u8]) -> Result<Place, EngineError> {
        let store = match self.tables.iter().find(|t| t.store.id() == table) {
            Some(touched) => Arc::clone(&touched.store),
            None => self.engine.store(table)?,
        };
        Ok(match store.delta.get(key, &self.snapshot()) {
            Found::Row(_) => Place::Delta,
            Found::Deleted => Place::Nowhere,
            Found::InSegment | Found::NoSlot if self.get_columns(table, key, &[])?.is_some() => Place::Segment,
            Found::InSegment | Found::NoSlot => Place::Nowhere,
        })
    }

    /// Everything at the statement's snapshot, for queries; it stays valid after the transaction has gone on.
    pub fn read_view(&self) -> Arc<ReadView> {
        let own = self.tables.iter().map(|t| (Arc::clone(&t.store), Arc::clone(&t.own))).collect();
        let view = ReadView::new(self.engine_handle(), Arc::clone(self.guard()), self.snapshot(), self.catalog(), own);
        Arc::new(view.noted_by(self.serial.clone()))
    }

    /// The way to values of sequences for this transaction and the threads that work for it.
    pub fn sequences(&self) -> Sequences {
        Sequences {
            engine: self.engine_handle(),
            touched: Arc::clone(&self.touched),
            given: Arc::clone(&self.begin.given),
            read_only: self.begin.read_only,
        }
    }

    /// The id to write with.
    pub(crate) fn write_id(&mut self) -> Result<TxnId, EngineError> {
        if self.begin.read_only {
            return Err(EngineError::ReadOnly);
        }
        self.engine.check_open()?;
        let engine = &self.engine;
        Ok(*self.id.get_or_insert_with(|| engine.txns.begin_in(self.session)))
    }

    fn limits(&self) -> WaitLimits<'_> {
        WaitLimits { timeout: self.begin.lock_timeout, cancel: &self.begin.cancel }
    }

    fn wait_for(&self, me: TxnId, holder: TxnId) -> Result<(), EngineError> {
        Ok(self.engine.txns.wait_for(me, holder, self.limits())?)
    }

    /// The flag that stops it.
    pub fn cancel(&self) -> Arc<Cancel> {
        Arc::clone(&self.begin.cancel)
    }

    /// Everything committed by now, with this transaction's own changes, whatever its isolation: for building what must be true of all
    /// rows of a table that is held.
    pub fn newest_view(&mut self) -> Result<Arc<ReadView>, EngineError> {
        self.settle()?;
        let guard = Arc::new(self.engine.txns.snapshot(None));
        let own = self.tables.iter().map(|t| (Arc::clone(&t.store), Arc::clone(&t.own))).collect();
        let snapshot = Snapshot { ts: guard.ts, own: self.id };
        Ok(Arc::new(ReadView::new(self.engine_handle(), guard, snapshot, self.catalog(), own)))
    }

    /// An id for a new catalog object, never given out before.
    pub fn new_oid(&mut self) -> u32 {
        self.engine.new_oid()
    }

    /// Changes the catalog. Waits for another transaction that is changing it, and for writers of a table that is dropped or altered.
    /// Errors: `TableChanged` for a table that the statement's snapshot sees otherwise.
    pub fn edit_catalog(&mut self, edit: Edit) -> Result<(), EngineError> {
        let me = self.write_id()?;
        self.lock(me, CATALOG_LOCK, LockMode::Exclusive)?;
        let changed = match &edit {
            Edit::CreateTable(table) | Edit::AlterTable(table) => Some(table.id),
            Edit::DropTable(id) => Some(TableId(*id)),
            _ => None,
        };
        if matches!(edit, Edit::AlterTable(_) | Edit::DropTable(_))
            && let Some(table) = changed
        {
            self.writable(table, LockMode::Exclusive)?;
        }
        let current = match &self.edited {
            Some(edited) => Arc::clone(edited),
            None => self.engine.catalog_newest(),
        };
        let next = Arc::new(current.apply(&edit)?);
        let with_rows = |catalog: &Catalog| -> Vec<TableId> {
            let table = changed.and_then(|id| catalog.table_by_id(id));
            table.iter().flat_map(|t| std::iter::once(t.id).chain(t.indexes.iter().map(|index| index.id))).collect()
        };
        let (before, after) = (with_rows(&current), with_rows(&next));
        for gone in before.iter().filter(|id| !after.contains(id)) {
            self.writable(*gone, LockMode::Exclusive)?;
        }
        let redo_len = self.redo.len();
        redo::catalog(&mut self.redo, &edit);
        for new in after.iter().filter(|id| !before.contains(id)) {
            let definition = next.stored_table(*new).expect("apply has just added it");
            let store = Arc::new(TableStore::new(Arc::clone(definition)));
            self.tables.push(TouchedTable { store, own: Arc::default(), locked: Some(LockMode::Exclusive) });
        }
        let before = self.edited.replace(next);
        self.steps.push(Step::Edit { before, redo_len });
        Ok(())
    }

    /// Undoes everything and ends the transaction, as dropping it does.
    pub fn rollback(self) {}
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some(me) = self.id {
            self.rollback_to(&Savepoint::default());
            self.engine.txns.finish(me, Outcome::RolledBack);
        }
        self.end_advisory(None);
        self.end_serial(false);
        self.keep_sequences();
    }
}

/// The positions of `own` that are dead at a snapshot, by segment. Where the snapshot does not read the segment that the row was
/// found in (compaction has made it since, or retired it since), the one that it does read stands in.
pub(crate) fn own_dead(
    store: &TableStore,
    own: &Own,
    snapshot: &Snapshot,
) -> Result<Vec<(SegmentId, RoaringBitmap)>, EngineError> {
    let mut all: Vec<(SegmentId, RoaringBitmap)> = Vec::new();
    let mut add = |id: SegmentId, position: u32| match all.iter_mut().find(|(s, _)| *s == id) {
        Some((_, dead)) => {
            dead.insert(position);
        }
        None => all.push((id, RoaringBitmap::from_iter([position]))),
    };
    let segments = store.segments();
    for (live, dead) in &own.dead {
        let read = live.is_live(snapshot.ts) || own.ingested.iter().any(|own| Arc::ptr_eq(own, live));
        for position in dead {
            if read {
                add(live.segment.id(), position);
            } else if let Some((successor, position)) = segments.find(&live.segment.key_at(position)?, snapshot.ts)? {
                add(successor.segment.id(), position);
            }
        }
    }
    Ok(all)
}

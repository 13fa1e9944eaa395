//! The engine: what all transactions share.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use catalog::Catalog;
use env::{Env, JobHandle, Lock, Signal};
use parking_lot::{Mutex, RwLock};
use segments::{Cache, Segment};
use txn::{Cancel, HeldLock, Serializable, Transactions};
use types::{CommitTs, SegmentId, TableId};
use wal::Wal;

use crate::check::{self, Finding};
use crate::error::EngineError;
use crate::maintenance::{self, Progress};
use crate::options::Options;
use crate::packing::{self, Packing};
use crate::published::Published;
use crate::recovery;
use crate::repair::Repair;
use crate::reserve::Reserve;
use crate::scrub::{self, ScrubStatus, Scrubbed};
use crate::sequences::Counters;
use crate::session::SessionLocks;
use crate::status::Status;
use crate::table::TableStore;
use crate::transaction::{Begin, Transaction};
use crate::workers::Workers;

/// An open data directory. Closed by [`Engine::close`] or when dropped.
pub struct Engine {
    inner: Arc<Inner>,
    job: Mutex<Option<Arc<dyn JobHandle>>>,
    scrub: Mutex<Option<Arc<dyn JobHandle>>>,
}

pub(crate) struct Inner {
    pub(crate) env: Arc<dyn Env>,
    pub(crate) dir: PathBuf,
    pub(crate) options: Options,
    pub(crate) txns: Transactions,
    pub(crate) serializable: Arc<Serializable>,
    /// The sessions that wait for a snapshot with which they cannot fail, by what their clients know them by.
    pub(crate) deferred: Mutex<Vec<i32>>,
    pub(crate) wal: Wal,
    pub(crate) cache: Arc<Cache>,
    /// How far sequences are.
    pub(crate) counters: Counters,
    /// Each table that the catalog of some held snapshot has.
    tables: Published<Tables>,
    /// Catalogs by the commit that made them, ascending; the first is seen by the oldest snapshot.
    catalogs: Published<Vec<(CommitTs, Arc<Catalog>)>>,
    next_oid: AtomicU32,
    next_segment: AtomicU64,
    /// Why writes are refused, if they are.
    closed: RwLock<Option<String>>,
    /// The damage that opening has found, if any: then there are no writes, and tables that are not damaged can be read.
    damage: Option<String>,
    /// What [`Options::repair`] has done.
    repairs: Vec<Repair>,
    /// Segments that no table has any more, with the manifest their files have to wait for.
    pub(crate) discarded: Mutex<Vec<(CommitTs, Arc<Segment>)>>,
    /// Bytes of all deltas, about: measured by the maintenance job, added to by writes.
    pub(crate) delta_bytes: AtomicU64,
    /// Redo bytes since the last checkpoint, about.
    pub(crate) wal_bytes: AtomicU64,
    /// Tells writers that wait for room that there may be some.
    pub(crate) progress: Arc<dyn Signal>,
    /// Held while a checkpoint is made, files that it supersedes removed included.
    pub(crate) checkpointing: Mutex<()>,
    pub(crate) checkpointed: Mutex<Progress>,
    pub(crate) scrub: Scrubbed,
    waker: RwLock<Option<Arc<dyn JobHandle>>>,
    /// Local files of packed columns.
    pub(crate) packing: Mutex<Packing>,
    /// Room for a checkpoint on a full disk.
    pub(crate) reserve: Reserve,
    /// A commit found no room in the log: a checkpoint makes some.
    pub(crate) log_is_full: AtomicBool,
    /// Encode the rows of bulk loads.
    pub(crate) workers: Workers,
    _lock: Box<dyn Lock>,
}

impl Engine {
    /// Opens `dir` (made if [`Options::create`] says so): takes its lock, loads the newest manifest, redoes the log and starts background
    /// work.
    ///
    /// Errors: `Locked` if another engine has it, `NotADataDirectory`, `Incomplete` if it has lost files, `Io`, and whatever shows that
    /// bytes on disk are not what was written; then the database is what it was. Of its files at most a torn end of the log has been
    /// cut, and some that nothing names have been written or removed. Damage of a table's own files is no such error: the database
    /// is open for reading then, the table's reads and all writes fail.
    pub fn open(env: Arc<dyn Env>, dir: &Path, options: Options) -> Result<Arc<Engine>, EngineError> {
        let inner = recovery::open(env, dir, options)?;
        let engine = Arc::new(Engine { inner: Arc::clone(&inner), job: Mutex::new(None), scrub: Mutex::new(None) });
        if inner.options.maintenance {
            let job = maintenance::start(&inner);
            *inner.waker.write() = Some(Arc::clone(&job));
            *engine.job.lock() = Some(job);
            *engine.scrub.lock() = scrub::start(&inner);
        }
        Ok(engine)
    }

    /// Ends background work, makes everything committed durable and closes the log. Transactions still open fail on their next
    /// write. The directory is free for another engine once the last [`Transaction`] and [`crate::ReadView`] is gone.
    pub fn close(&self) -> Result<(), EngineError> {
        for job in [self.scrub.lock().take(), self.job.lock().take()].into_iter().flatten() {
            job.stop();
        }
        *self.inner.waker.write() = None;
        self.inner.close_for_writes("the database is closed");
        self.inner.workers.stop();
        Ok(self.inner.wal.close()?)
    }

    /// A place for a session among those who hold locks. `process` is what its client knows it by, `cancel` what stops its statements.
    pub fn begin_session(&self, process: i32, cancel: Arc<Cancel>) -> SessionLocks {
        SessionLocks::new(Arc::clone(&self.inner), process, cancel)
    }

    /// What is locked and waited for, now.
    pub fn locks(&self) -> Vec<HeldLock> {
        self.inner.txns.locks()
    }

    /// The sessions that keep one from the lock it waits for, by what their clients know them by.
    pub fn blocking(&self, process: i32) -> Vec<i32> {
        self.inner.txns.blocking(process)
    }

    /// The sessions that wait for a snapshot with which they cannot fail, by what their clients know them by.
    pub fn deferred(&self) -> Vec<i32> {
        self.inner.deferred.lock().clone()
    }

    /// A new transaction of no session. Nothing happens until its first statement.
    pub fn begin(&self, begin: Begin) -> Transaction {
        Transaction::of_no_session(&self.inner, begin)
    }

    /// The newest catalog that is durable.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.inner.catalog_at(self.inner.txns.visible())
    }

    /// What was damaged and has been dealt with, after an opening with [`Options::repair`].
    pub fn repairs(&self) -> &[Repair] {
        &self.inner.repairs
    }

    /// Figures of the moment.
    pub fn status(&self) -> Status {
        Status::of(&self.inner)
    }

    /// Waits until every commit so far is visible, or the log has failed. Who is to try again after a conflict with a commit that is not
    /// on disk yet would meet it again.
    pub fn settle(&self) {
        let last = self.inner.txns.quiesce(|ts| ts);
        if let Err(failed) = self.inner.txns.wait_visible(last) {
            tracing::debug!(cause = %failed.cause, "the log has failed while a commit was waited for");
        }
    }

    /// Makes a manifest of everything visible now and cuts the log below it.
    pub fn checkpoint(&self) -> Result<(), EngineError> {
        self.inner.check_open()?;
        crate::checkpoint::run(&self.inner)
    }

    /// Makes a checkpoint before [`Engine::close`], so that opening has next to nothing to redo: if there is log worth it, and within a
    /// few seconds. Nothing depends on it. Errors: `Canceled` if it took longer; as [`Engine::checkpoint`].
    pub fn checkpoint_to_close(&self) -> Result<(), EngineError> {
        self.inner.check_open()?;
        if self.inner.wal_bytes.load(Ordering::Relaxed) < LOG_LEFT_AT_CLOSE {
            return Ok(());
        }
        crate::checkpoint::run_until(&self.inner, Some(self.inner.env.monotonic() + CHECKPOINT_AT_CLOSE))
    }

    /// Moves every row that everybody sees and nobody holds from the delta of `table` and its indexes (or of every table) into segments
    /// and merges segments that are due, now.
    pub fn merge(&self, table: Option<TableId>) -> Result<(), EngineError> {
        self.inner.check_open()?;
        maintenance::merge_now(&self.inner, table)
    }

    /// Writes the local files of packed columns that segments do not have yet, as far as there is room, now. Errors: a segment cannot be
    /// read, a file not written.
    pub fn pack(&self) -> Result<(), EngineError> {
        self.inner.check_open()?;
        packing::pack_now(&self.inner)
    }

    /// How far the scrub is, and what it has found.
    pub fn scrub_status(&self) -> ScrubStatus {
        self.inner.scrub.lock().clone()
    }

    /// Verifies every checksum on disk and every invariant that can be seen from the outside, while others go on; only checkpoints wait
    /// for a part of it. Reads everything once, and holds the keys of a table's delta.
    pub fn check(&self) -> Result<Vec<Finding>, EngineError> {
        check::run(&self.inner)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "close database");
        }
    }
}

/// Tables by id.
pub(crate) type Tables = HashMap<TableId, Arc<TableStore>>;

/// The catalog as of `ts`, of those there are by the commit that made them.
fn catalog_of(catalogs: &[(CommitTs, Arc<Catalog>)], ts: CommitTs) -> &Arc<Catalog> {
    &catalogs[catalogs.partition_point(|(from, _)| *from <= ts).saturating_sub(1)].1
}

/// What recovery hands over.
pub(crate) struct Recovered {
    pub(crate) txns: Transactions,
    pub(crate) wal: Wal,
    pub(crate) cache: Arc<Cache>,
    pub(crate) counters: Counters,
    pub(crate) tables: Tables,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) catalog_at: CommitTs,
    pub(crate) next_segment: u64,
    pub(crate) progress: Progress,
    pub(crate) wal_bytes: u64,
    pub(crate) damage: Option<String>,
    pub(crate) repairs: Vec<Repair>,
}

impl Inner {
    pub(crate) fn new(env: Arc<dyn Env>, dir: &Path, options: Options, lock: Box<dyn Lock>, from: Recovered) -> Arc<Inner> {
        let serializable = Arc::new(Serializable::new(env.signal()));
        let delta_bytes = from.tables.values().map(|t| t.delta.bytes() as u64).sum();
        Arc::new(Inner {
            progress: env.signal(),
            packing: Mutex::default(),
            reserve: Reserve::new(env.as_ref(), dir, options.reserve_bytes),
            env,
            dir: dir.to_owned(),
            workers: Workers::new(options.load_threads),
            log_is_full: AtomicBool::new(false),
            options,
            txns: from.txns,
            serializable,
            deferred: Mutex::default(),
            wal: from.wal,
            cache: from.cache,
            counters: from.counters,
            tables: Published::new(from.tables),
            next_oid: AtomicU32::new(from.catalog.next_oid()),
            catalogs: Published::new(vec![(from.catalog_at, from.catalog)]),
            next_segment: AtomicU64::new(from.next_segment),
            closed: RwLock::new(None),
            damage: from.damage,
            repairs: from.repairs,
            discarded: Mutex::new(Vec::new()),
            delta_bytes: AtomicU64::new(delta_bytes),
            wal_bytes: AtomicU64::new(from.wal_bytes),
            checkpointing: Mutex::new(()),
            checkpointed: Mutex::new(from.progress),
            scrub: Scrubbed::default(),
            waker: RwLock::new(None),
            _lock: lock,
        })
    }

    /// Errors if writes are refused.
    pub(crate) fn check_open(&self) -> Result<(), EngineError> {
        match (&*self.closed.read(), &self.damage) {
            (Some(cause), _) => Err(EngineError::Closed(cause.clone())),
            (None, Some(damage)) => Err(EngineError::ReadOnlyDamaged(damage.clone())),
            (None, None) => Ok(()),
        }
    }

    pub(crate) fn close_for_writes(&self, cause: &str) {
        self.closed.write().get_or_insert_with(|| cause.to_owned());
    }

    /// Where the rows of a table are. Errors: `NoTable`, `Damaged`.
    pub(crate) fn store(&self, table: TableId) -> Result<Arc<TableStore>, EngineError> {
        self.with_store(table, |store| Ok(Arc::clone(store)))
    }

    /// Does something short with where the rows of a table are. Errors: as [`Inner::store`], and those of `work`.
    pub(crate) fn with_store<R>(
        &self,
        table: TableId,
        work: impl FnOnce(&Arc<TableStore>) -> Result<R, EngineError>,
    ) -> Result<R, EngineError> {
        let tables = self.tables.read();
        let store = tables.get(&table).ok_or(EngineError::NoTable(table))?;
        match store.damage().filter(|_| !env::seeded_bug("damaged-table-read")) {
            Some(damage) => Err(damage.clone()),
            None => work(store),
        }
    }

    /// Adds tables, or removes them.
    pub(crate) fn change_tables(&self, change: impl FnOnce(&mut Tables)) {
        self.tables.change(|now| {
            let mut tables = now.clone();
            change(&mut tables);
            tables
        });
    }

    pub(crate) fn stores(&self) -> Vec<Arc<TableStore>> {
        let mut stores: Vec<_> = self.tables.read().values().cloned().collect();
        stores.sort_by_key(|s| s.id());
        stores
    }

    /// The catalog as of `ts`, which a snapshot holds or which is visible.
    pub(crate) fn catalog_at(&self, ts: CommitTs) -> Arc<Catalog> {
        Arc::clone(catalog_of(&self.catalogs.read(), ts))
    }

    /// Whether that is this one.
    pub(crate) fn is_catalog_at(&self, ts: CommitTs, catalog: &Arc<Catalog>) -> bool {
        Arc::ptr_eq(catalog_of(&self.catalogs.read(), ts), catalog)
    }

    /// The catalog with every commit that has its place in the order, visible or not: what the holder of the catalog lock changes.
    pub(crate) fn catalog_newest(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalogs.read().last().expect("there is always a catalog").1)
    }

    pub(crate) fn publish_catalog(&self, at: CommitTs, catalog: Arc<Catalog>) {
        self.catalogs.change(|now| now.iter().cloned().chain([(at, catalog)]).collect());
    }

    /// Forgets catalogs that no snapshot can see any more.
    pub(crate) fn forget_catalogs(&self, oldest: CommitTs) {
        let unseen = |catalogs: &[(CommitTs, _)]| catalogs.partition_point(|(from, _)| *from <= oldest).saturating_sub(1);
        if unseen(&self.catalogs.read()) > 0 {
            self.catalogs.change(|now| now[unseen(now)..].to_vec());
        }
    }

    /// Forgets how far sequences were that no catalog has any more.
    pub(crate) fn forget_counters(&self) {
        let catalogs = self.catalogs.read();
        let known = catalogs.iter().flat_map(|(_, catalog)| catalog.sequences().map(|sequence| sequence.storage));
        self.counters.forget(&known.collect());
    }

    pub(crate) fn new_oid(&self) -> u32 {
        self.next_oid.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn next_oid(&self) -> u32 {
        self.next_oid.load(Ordering::Relaxed)
    }

    pub(crate) fn new_segment(&self) -> SegmentId {
        SegmentId(self.next_segment.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn next_segment(&self) -> u64 {
        self.next_segment.load(Ordering::Relaxed)
    }

    /// Hands over a segment that is in no list any more. Its files go when nobody reads it and a manifest at or after now is
    /// installed: until then the manifest, or a record of a bulk load in the log, may still name it.
    pub(crate) fn discard(&self, segment: Arc<Segment>) {
        self.discarded.lock().push((self.txns.visible(), segment));
    }

    /// Hands over a segment that never was in a list, nor named by a commit.
    pub(crate) fn discard_unseen(&self, segment: Arc<Segment>) {
        self.discarded.lock().push((CommitTs::ZERO, segment));
    }

    /// Lets a write of `bytes`, by a transaction that has `own` in the delta already, go on, slows it down, or refuses it, by how far
    /// the merge is behind.
    pub(crate) fn admit_write(&self, bytes: u64, own: u64, cancel: &Cancel) -> Result<(), EngineError> {
        let limit = self.options.delta_bytes_max;
        // Others wait for room that does not come before this one ends.
        if own + bytes > limit {
            return Err(EngineError::TransactionOutgrowsDelta { limit });
        }
        let room = (2 * limit).saturating_sub(bytes);
        if self.delta_bytes.load(Ordering::Relaxed) > room {
            self.wake();
            self.wait_for_room(room, room, cancel)?;
        }
        let used = self.delta_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if used <= limit {
            return Ok(());
        }
        self.wake();
        // In proportion: nothing at the limit, 2 ms a write at twice the limit. The merge cannot move what is the writer's own.
        let delay = Duration::from_micros(used.saturating_sub(limit + own) * 2_000 / limit);
        if delay > Duration::from_micros(50) {
            self.progress.wait_until(&mut || self.delta_bytes.load(Ordering::Relaxed) <= limit, Some(delay));
        }
        Ok(())
    }

    /// True if so much of the delta is taken, by others than who has `own` bytes of it, that the rest is kept for statements under
    /// way.
    pub(crate) fn is_crowded(&self, own: u64) -> bool {
        self.delta_bytes.load(Ordering::Relaxed) > self.crowded_at(own)
    }

    /// Three quarters of what is refused.
    fn crowded_at(&self, own: u64) -> u64 {
        self.options.delta_bytes_max / 2 * 3 + own
    }

    /// Lets a statement that will write begin once the delta is not crowded, or refuses it if it stays full.
    pub(crate) fn admit_statement(&self, own: u64, cancel: &Cancel) -> Result<(), EngineError> {
        self.wake();
        self.wait_for_room(self.crowded_at(own), 2 * self.options.delta_bytes_max, cancel)
    }

    /// Waits for the delta to go down to `bytes`. Errors: `DeltaFull` if it has not, and is above `most`.
    fn wait_for_room(&self, bytes: u64, most: u64, cancel: &Cancel) -> Result<(), EngineError> {
        let used = || self.delta_bytes.load(Ordering::Relaxed);
        self.progress.wait_until(&mut || used() <= bytes || cancel.is_set(), Some(WAIT_FOR_MERGE));
        match used() {
            _ if cancel.is_set() => Err(EngineError::Canceled),
            bytes if bytes > most => Err(EngineError::DeltaFull { bytes, limit: 2 * self.options.delta_bytes_max }),
            _ => Ok(()),
        }
    }

    /// Background work looks at what there is to do.
    pub(crate) fn wake(&self) {
        if let Some(job) = &*self.waker.read() {
            job.wake();
        }
    }

    /// A commit was refused because the log has no room: background work makes some, if a checkpoint can.
    pub(crate) fn note_full_log(&self) {
        self.log_is_full.store(true, Ordering::Relaxed);
        self.wake();
    }

    pub(crate) fn after_commit(&self, redo_bytes: u64) {
        let before = self.wal_bytes.fetch_add(redo_bytes, Ordering::Relaxed);
        if before < self.options.checkpoint_wal_bytes && before + redo_bytes >= self.options.checkpoint_wal_bytes {
            self.wake();
        }
    }
}

/// Log that is redone in a moment, so that a process that has changed little ends at once.
const LOG_LEFT_AT_CLOSE: u64 = 1 << 20;

/// Within what others give a process that is told to stop (10 s and more).
const CHECKPOINT_AT_CLOSE: Duration = Duration::from_secs(5);

/// How long a write waits for the merge before it is refused.
const WAIT_FOR_MERGE: Duration = Duration::from_secs(10);

pub(crate) fn table_dir(dir: &Path, table: TableId) -> PathBuf {
    dir.join("data").join(table.to_string())
}

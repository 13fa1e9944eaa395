//! [`Transactions`]: what the rest of the engine calls.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use env::{Env, Signal};
use parking_lot::{Mutex, MutexGuard};
use types::{CommitTs, Key, Lsn, TableId, TxnId};

use crate::advisory::AdvisoryLocks;
use crate::commits::{Acknowledge, CommitTicket, Commits, Failed};
use crate::lock::{Asked, Grant, LockMode};
use crate::rows::{Held, RowLock, RowLocks};
use crate::session::{Party, SessionId};
use crate::snapshots::{SnapshotGuard, Snapshots};
use crate::tables::TableLocks;
use crate::waits::{WaitError, WaitLimits, Waits, WaitsFor};

mod advisory;
mod listing;

pub use listing::{HeldLock, LockObject};

const SHARDS: usize = 16;

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its versions are stamped.
    Committed,
    /// Its versions are gone.
    RolledBack,
}

/// What has happened since the start, and what is going on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Transactions that ended committed.
    pub committed: u64,
    /// Transactions that ended rolled back.
    pub rolled_back: u64,
    /// Waits refused because they would have closed a circle.
    pub deadlocks: u64,
    /// Transactions in progress.
    pub active: usize,
    /// Transactions waiting for another one.
    pub waiting: usize,
    /// Different moments at which snapshots are held.
    pub snapshots: usize,
}

/// The end of a transaction, or of something in it, that somebody waits for.
struct End {
    ended: AtomicBool,
    signal: Arc<dyn Signal>,
}

#[derive(Default)]
struct Active {
    session: Option<SessionId>,
    end: Option<Arc<End>>,
    tables: Vec<TableId>,
    /// In the order they were locked.
    rows: Vec<Held>,
}

/// The transactions of one engine: see the crate's head. Cheap to share; all methods take `&self`.
pub struct Transactions {
    env: Arc<dyn Env>,
    snapshots: Arc<Snapshots>,
    commits: Commits,
    txn_next: AtomicU64,
    session_next: AtomicU64,
    active: [Mutex<HashMap<TxnId, Active>>; SHARDS],
    /// Locked before a shard of `active` or `tables`, or `advisory`, never after.
    waits: Mutex<Waits>,
    tables: TableLocks,
    rows: RowLocks,
    advisory: AdvisoryLocks,
    committed: AtomicU64,
    rolled_back: AtomicU64,
    deadlocks: AtomicU64,
}

impl Transactions {
    /// No transaction has begun, and everything up to `visible` was committed before.
    pub fn new(env: Arc<dyn Env>, visible: CommitTs) -> Transactions {
        let snapshots = Arc::new(Snapshots::new(visible));
        Transactions {
            commits: Commits::new(Arc::clone(&snapshots), env.signal()),
            env,
            snapshots,
            txn_next: AtomicU64::new(1),
            session_next: AtomicU64::new(1),
            active: Default::default(),
            waits: Mutex::default(),
            tables: TableLocks::default(),
            rows: RowLocks::default(),
            advisory: AdvisoryLocks::default(),
            committed: AtomicU64::new(0),
            rolled_back: AtomicU64::new(0),
            deadlocks: AtomicU64::new(0),
        }
    }

    /// Recovery has replayed every commit up to `ts`, whose log record ends at `lsn`. Call it before the first commit.
    pub fn recovered(&self, ts: CommitTs, lsn: Lsn) {
        self.commits.recovered(ts, lsn);
    }

    fn shard(&self, txn: TxnId) -> &Mutex<HashMap<TxnId, Active>> {
        &self.active[txn.0 as usize % SHARDS]
    }

    /// A new transaction of no session, in progress until [`Transactions::finish`].
    pub fn begin(&self) -> TxnId {
        self.begin_in(None)
    }

    /// A new transaction of a session, in progress until [`Transactions::finish`].
    pub fn begin_in(&self, session: Option<SessionId>) -> TxnId {
        let txn = TxnId(self.txn_next.fetch_add(1, Ordering::Relaxed));
        self.shard(txn).lock().insert(txn, Active { session, ..Active::default() });
        txn
    }

    /// Ends `txn`: drops its locks and wakes who waits for its rows. Call it after its versions are stamped (or undone), so
    /// that those who look again see the outcome. Ending it twice does nothing.
    pub fn finish(&self, txn: TxnId, outcome: Outcome) {
        let Some(active) = self.shard(txn).lock().remove(&txn) else {
            return;
        };
        match outcome {
            Outcome::Committed => self.committed.fetch_add(1, Ordering::Relaxed),
            Outcome::RolledBack => self.rolled_back.fetch_add(1, Ordering::Relaxed),
        };
        for table in active.tables {
            self.tables.release(txn, table);
        }
        for row in active.rows {
            self.rows.unlock(txn, row);
        }
        if let Some(end) = active.end {
            end.ended.store(true, Ordering::SeqCst);
            end.signal.notify_all();
        }
    }

    /// Lets those who wait for `txn` look again, as it has undone something: they may find that it is not in their way any more.
    pub fn look_again(&self, txn: TxnId) {
        let end = self.shard(txn).lock().get_mut(&txn).and_then(|active| active.end.take());
        if let Some(end) = end {
            end.ended.store(true, Ordering::SeqCst);
            end.signal.notify_all();
        }
    }

    /// True until [`Transactions::finish`].
    pub fn is_active(&self, txn: TxnId) -> bool {
        self.shard(txn).lock().contains_key(&txn)
    }

    /// Every commit up to this one may be seen: stamped, durable unless it need not be, and so are all before it.
    pub fn visible(&self) -> CommitTs {
        self.snapshots.visible()
    }

    /// A snapshot of what is visible now (and of what `own` writes). Some tens of nanoseconds.
    pub fn snapshot(&self, own: Option<TxnId>) -> SnapshotGuard {
        self.snapshots.take(own)
    }

    /// A snapshot of what is visible now, with the end of the log record of the last logged commit it sees: recovery from a
    /// manifest of that moment starts there, once the log is durable up to it.
    pub fn snapshot_position(&self, own: Option<TxnId>) -> (SnapshotGuard, Lsn) {
        self.commits.snapshot_position(own)
    }

    /// The least timestamp a held or future snapshot reads at: versions that only earlier snapshots would see can go.
    pub fn oldest(&self) -> CommitTs {
        self.snapshots.oldest()
    }

    /// The timestamps at which held snapshots read, ascending, and last the least at which a future one does. A version can go if
    /// none of them sees it and the next newer version of its row is not after the last. Keeps one long snapshot from holding every
    /// version made since; the first is as [`Transactions::oldest`].
    pub fn needed(&self) -> Vec<CommitTs> {
        self.snapshots.needed()
    }

    /// Takes the next timestamp and calls `append` with it, which appends the commit's record to the log and returns its end. No
    /// other commit is between the two. If `append` fails its error is returned and the timestamp is not used. Afterwards stamp the
    /// versions and call [`Transactions::stamped`]: nothing later becomes visible before that.
    pub fn commit<E>(
        &self,
        acknowledge: Acknowledge,
        append: impl FnOnce(CommitTs) -> Result<Lsn, E>,
    ) -> Result<CommitTicket, E> {
        self.commits.commit(acknowledge, append)
    }

    /// All versions of the commit at `ts` are stamped.
    pub fn stamped(&self, ts: CommitTs) {
        self.commits.stamped(ts);
    }

    /// The log is durable up to `lsn`. Callbacks of [`Transactions::when_visible`] run in this call.
    pub fn durable(&self, lsn: Lsn) {
        self.commits.durable(lsn);
    }

    /// Waits until the commit at `ts` is visible: from then on it may be acknowledged. Errors: [`Failed`] if the log fails first.
    pub fn wait_visible(&self, ts: CommitTs) -> Result<(), Failed> {
        self.commits.wait_visible(ts)
    }

    /// Calls `callback` once the commit at `ts` is visible, or the log has failed: in this call if that is so already, else in
    /// the one that makes it so (often the log writer's). It must be short and must not wait.
    pub fn when_visible(&self, ts: CommitTs, callback: Box<dyn FnOnce(Result<(), Failed>) + Send>) {
        self.commits.when_visible(ts, callback);
    }

    /// The log has failed for good: everyone waiting for visibility is told `cause`, and nothing more becomes visible.
    pub fn fail_all(&self, cause: &str) {
        self.commits.fail_all(cause);
    }

    /// Runs `publish` with the next timestamp P while no commit is under way and every earlier one is stamped. What it stamps with
    /// P becomes visible together, in order, and needs no log record. Keep it short: commits wait. It must not commit.
    pub fn quiesce<R>(&self, publish: impl FnOnce(CommitTs) -> R) -> R {
        self.commits.quiesce(publish)
    }

    /// Waits until `holder` has ended or undone something ([`Transactions::look_again`]); returns at once if it has ended. Errors: [`WaitError`]; with a timeout of zero `Timeout` at once
    /// if `holder` is in progress, without looking for deadlocks.
    pub fn wait_for(&self, me: TxnId, holder: TxnId, limits: WaitLimits<'_>) -> Result<(), WaitError> {
        if limits.timeout == Some(Duration::ZERO) {
            return if self.is_active(holder) { Err(WaitError::Timeout) } else { Ok(()) };
        }
        let mut waits = self.waits.lock();
        let Some(end) = self.end_of(holder) else {
            return Ok(());
        };
        let (me, what) = (self.party(me), WaitsFor::End(holder));
        waits.add(me, what, &|party, wait| self.blockers(party, wait)).inspect_err(|_| self.count_deadlock())?;
        drop(waits);
        let result = wait(&end.signal, &mut || end.ended.load(Ordering::SeqCst), limits);
        self.waits.lock().remove(me, what);
        result
    }

    pub(crate) fn party(&self, txn: TxnId) -> Party {
        Party::of(txn, self.shard(txn).lock().get(&txn).and_then(|active| active.session))
    }

    /// Who keeps one from what it waits for.
    fn blockers(&self, party: Party, waits_for: &WaitsFor) -> Vec<Party> {
        match waits_for {
            WaitsFor::End(txn) => vec![self.party(*txn)],
            WaitsFor::Table(txn, table, _) => self.tables.blockers(*txn, *table).into_iter().map(|txn| self.party(txn)).collect(),
            WaitsFor::Advisory(key, _) => {
                let of = |session| self.advisory.blockers(session, *key);
                party.session().map_or_else(Vec::new, of).into_iter().map(Party::Session).collect()
            }
        }
    }

    fn end_of(&self, txn: TxnId) -> Option<Arc<End>> {
        let mut active = self.shard(txn).lock();
        let end = &mut active.get_mut(&txn)?.end;
        let new = || Arc::new(End { ended: AtomicBool::new(false), signal: self.env.signal() });
        Some(Arc::clone(end.get_or_insert_with(new)))
    }

    /// Locks `table` until `me` ends; waits its turn if others are in the way. A stronger lock than the one held replaces it; asking
    /// for what is held costs little. Errors: [`WaitError`]; with a timeout of zero `Timeout` at once instead of waiting.
    pub fn lock_table(&self, me: TxnId, table: TableId, lock: LockMode, limits: WaitLimits<'_>) -> Result<(), WaitError> {
        match self.tables.ask(me, table, lock) {
            Asked::Held => return Ok(()),
            Asked::Granted { first } => {
                self.note_table(me, table, first);
                return Ok(());
            }
            Asked::Blocked if limits.timeout == Some(Duration::ZERO) => return Err(WaitError::Timeout),
            Asked::Blocked => (),
        }
        let waits = self.waits.lock();
        let first = self.tables.held(me, table).is_none();
        let grant = match self.tables.ask_or_enqueue(me, table, lock, self.env.signal()) {
            Ok(_) => {
                self.note_table(me, table, first);
                return Ok(());
            }
            Err(grant) => grant,
        };
        let what = WaitsFor::Table(me, table, lock);
        self.wait_granted(waits, self.party(me), what, &grant, limits, || self.tables.dequeue(table, &grant))?;
        self.note_table(me, table, first);
        Ok(())
    }

    /// Waits in a queue, unless that closes a circle; `dequeue` leaves it. What was granted in the last moment counts.
    fn wait_granted(
        &self,
        mut waits: MutexGuard<'_, Waits>,
        me: Party,
        what: WaitsFor,
        grant: &Grant,
        limits: WaitLimits<'_>,
        dequeue: impl FnOnce(),
    ) -> Result<(), WaitError> {
        let added = waits.add(me, what, &|party, wait| self.blockers(party, wait));
        drop(waits);
        let waited = added.and_then(|()| {
            let waited = wait(&grant.signal, &mut || grant.is_granted(), limits);
            self.waits.lock().remove(me, what);
            waited
        });
        let Err(error) = waited else { return Ok(()) };
        dequeue();
        if grant.is_granted() {
            return Ok(());
        }
        if matches!(error, WaitError::Deadlock { .. }) {
            self.count_deadlock();
        }
        Err(error)
    }

    /// Gives a table's lock back before the transaction ends. For one that has done nothing there yet.
    pub fn unlock_table(&self, me: TxnId, table: TableId) {
        if let Some(active) = self.shard(me).lock().get_mut(&me) {
            active.tables.retain(|held| *held != table);
        }
        self.tables.release(me, table);
    }

    /// How `txn` holds `table`, if it does.
    pub fn table_lock(&self, txn: TxnId, table: TableId) -> Option<LockMode> {
        self.tables.held(txn, table)
    }

    fn note_table(&self, me: TxnId, table: TableId, first: bool) {
        if first {
            let mut active = self.shard(me).lock();
            active.get_mut(&me).expect("a transaction locks tables between begin and finish").tables.push(table);
        }
    }

    /// Locks a row until `me` ends, or gives it back ([`Transactions::unlock_rows`]). `writer` says who in progress has written it, if that
    /// is in the way. True: it did not hold it so strongly before. Errors: who is in the way, to be waited for before asking again.
    pub fn lock_row(
        &self,
        me: TxnId,
        table: TableId,
        key: &Key,
        lock: RowLock,
        writer: impl FnOnce() -> Option<TxnId>,
    ) -> Result<bool, TxnId> {
        let Some(held) = self.rows.lock(me, table, key, lock, writer)? else { return Ok(false) };
        let mut active = self.shard(me).lock();
        active.get_mut(&me).expect("a transaction locks rows between begin and finish").rows.push(held);
        Ok(true)
    }

    /// Calls `write`, which puts a version of the row for `me` (short, without waiting), unless another has locked the row so that this
    /// is in its way. Errors: who, to be waited for before looking again.
    pub fn write_row<R>(
        &self,
        me: TxnId,
        table: TableId,
        key: &Key,
        lock: RowLock,
        write: impl FnOnce() -> R,
    ) -> Result<R, TxnId> {
        self.rows.write(me, table, key, lock, write)
    }

    /// Gives back the locks of rows that `me` has taken after it had so many.
    pub fn unlock_rows(&self, me: TxnId, kept: usize) {
        let last = || {
            let mut active = self.shard(me).lock();
            let rows = &mut active.get_mut(&me)?.rows;
            if rows.len() > kept { rows.pop() } else { None }
        };
        while let Some(row) = last() {
            self.rows.unlock(me, row);
        }
    }

    fn count_deadlock(&self) {
        self.deadlocks.fetch_add(1, Ordering::Relaxed);
    }

    /// What has happened and is going on.
    pub fn counters(&self) -> Counters {
        Counters {
            committed: self.committed.load(Ordering::Relaxed),
            rolled_back: self.rolled_back.load(Ordering::Relaxed),
            deadlocks: self.deadlocks.load(Ordering::Relaxed),
            active: self.active.iter().map(|shard| shard.lock().len()).sum(),
            waiting: self.waits.lock().len(),
            snapshots: self.snapshots.held().len(),
        }
    }
}

/// Waits for `ready` within `limits`. What became ready counts, even if a limit was hit at the same time.
fn wait(signal: &Arc<dyn Signal>, ready: &mut dyn FnMut() -> bool, limits: WaitLimits<'_>) -> Result<(), WaitError> {
    let _registration = limits.cancel.register(signal);
    signal.wait_until(&mut || ready() || limits.cancel.is_set(), limits.timeout);
    if ready() {
        Ok(())
    } else if limits.cancel.is_set() {
        Err(WaitError::Cancelled)
    } else {
        Err(WaitError::Timeout)
    }
}

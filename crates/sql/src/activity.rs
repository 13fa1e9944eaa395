//! Who is connected and what they do: `pg_stat_activity`, and what DROP DATABASE looks at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use engine::Cancel;
use parking_lot::Mutex;
use types::DatabaseId;

use crate::parse::Statement;

/// What a session is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActivityState {
    /// Waiting for the client.
    Idle,
    /// Running a statement.
    Active,
    /// Waiting for the client, in a transaction.
    IdleInTransaction,
    /// Waiting for the client, in a transaction that has failed.
    IdleInTransactionAborted,
}

impl ActivityState {
    /// As `pg_stat_activity.state` says it.
    pub fn as_str(self) -> &'static str {
        match self {
            ActivityState::Idle => "idle",
            ActivityState::Active => "active",
            ActivityState::IdleInTransaction => "idle in transaction",
            ActivityState::IdleInTransactionAborted => "idle in transaction (aborted)",
        }
    }
}

/// A session's connection, as other sessions may act on it.
pub trait Backend: std::fmt::Debug + Send + Sync {
    /// Stops the statement that runs, if there is one (57014).
    fn cancel(&self);

    /// Ends the connection (57P01).
    fn terminate(&self);
}

/// One session, as others see it. Times are microseconds since 1970-01-01 UTC.
#[derive(Clone)]
pub struct SessionActivity {
    /// What `pg_backend_pid()` answers in it.
    pub process_id: i32,
    /// Its database.
    pub database: DatabaseId,
    /// Its user.
    pub user: String,
    /// `application_name`, as last set.
    pub application_name: String,
    /// Where the client is; empty if it is in this process.
    pub client_address: String,
    /// When it began.
    pub began_micros: i64,
    /// When its transaction began, if it is in one.
    pub transaction_micros: Option<i64>,
    /// When its last statement began.
    pub query_micros: Option<i64>,
    /// When `state` changed last.
    pub state_micros: i64,
    /// What it is doing.
    pub state: ActivityState,
    /// Its last statement.
    pub statement: Option<Statement>,
    /// Its connection; `None` if it is in this process.
    pub backend: Option<Arc<dyn Backend>>,
    pub(crate) cancel: Arc<Cancel>,
}

impl SessionActivity {
    /// What `pg_cancel_backend` does.
    pub(crate) fn cancel(&self) {
        match &self.backend {
            Some(backend) => backend.cancel(),
            None if self.state == ActivityState::Active => self.cancel.set(),
            None => {}
        }
    }

    /// What `pg_terminate_backend` does. False: it cannot be done.
    pub(crate) fn terminate(&self) -> bool {
        self.backend.as_ref().inspect(|backend| backend.terminate()).is_some()
    }
}

/// All sessions of an instance.
#[derive(Default)]
pub(crate) struct Sessions {
    all: Mutex<All>,
    /// The session that has written last if no other has run a statement since; else [`SEVERAL`].
    at_work: AtWork,
}

/// Apart from everything else: every statement reads it.
#[derive(Default)]
#[repr(align(128))]
struct AtWork(AtomicU64);

/// More than one session, or none.
const SEVERAL: u64 = 0;

impl AtWork {
    /// A statement of a session begins. True if that has written before and no other has run one since: as far as that tells, no other
    /// session is at work.
    ///
    /// Sessions that only read, on however many threads, find what they would write there already, and do not write it.
    fn begin(&self, session: u64, writes: bool) -> bool {
        let seen = self.0.load(Ordering::Relaxed);
        if seen == session {
            return true;
        }
        let now = if writes { session } else { SEVERAL };
        if seen != now {
            self.0.store(now, Ordering::Relaxed);
        }
        false
    }
}

#[derive(Default)]
struct All {
    next: u64,
    by_id: BTreeMap<u64, Arc<Mutex<SessionActivity>>>,
    /// Databases that nobody may enter: they are being dropped.
    dropping: BTreeSet<DatabaseId>,
}

/// The database is being dropped.
pub(crate) struct BeingDropped;

/// Keeps sessions out of a database while it is dropped.
pub(crate) struct Dropping {
    sessions: Arc<Sessions>,
    database: DatabaseId,
}

/// A session's place among all; leaves it when dropped.
pub(crate) struct Registered {
    sessions: Arc<Sessions>,
    id: u64,
    activity: Arc<Mutex<SessionActivity>>,
}

impl Sessions {
    /// Adds a session, unless its database is being dropped.
    pub(crate) fn register(self: &Arc<Self>, activity: SessionActivity) -> Result<Registered, BeingDropped> {
        let mut all = self.all.lock();
        if all.dropping.contains(&activity.database) {
            return Err(BeingDropped);
        }
        all.next += 1;
        let (id, activity) = (all.next, Arc::new(Mutex::new(activity)));
        all.by_id.insert(id, Arc::clone(&activity));
        Ok(Registered { sessions: Arc::clone(self), id, activity })
    }

    /// Keeps everybody out of a database. Errors: how many sessions are in it, or drop it, already.
    pub(crate) fn keep_out(self: &Arc<Self>, database: DatabaseId) -> Result<Dropping, usize> {
        let mut all = self.all.lock();
        let inside = all.by_id.values().filter(|session| session.lock().database == database).count();
        if inside > 0 {
            return Err(inside);
        }
        if !all.dropping.insert(database) {
            return Err(1);
        }
        Ok(Dropping { sessions: Arc::clone(self), database })
    }

    /// Every session, oldest first.
    pub(crate) fn list(&self) -> Vec<SessionActivity> {
        self.all.lock().by_id.values().map(|activity| activity.lock().clone()).collect()
    }
}

impl Registered {
    /// Notes that the session runs a statement; see [`AtWork::begin`].
    pub(crate) fn begin_statement(&self, writes: bool) -> bool {
        self.sessions.at_work.begin(self.id, writes)
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut SessionActivity)) {
        change(&mut self.activity.lock());
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.sessions.all.lock().by_id.remove(&self.id);
    }
}

impl Drop for Dropping {
    fn drop(&mut self) {
        self.sessions.all.lock().dropping.remove(&self.database);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_written_is_alone_until_another_runs_a_statement() {
        const READS: bool = false;
        const WRITES: bool = true;
        let at_work = AtWork::default();
        let statements = [
            (1, READS, false),
            (1, WRITES, false),
            (1, WRITES, true),
            (1, READS, true),
            (1, WRITES, true),
            (2, READS, false),
            (1, WRITES, false),
            (2, WRITES, false),
            (1, WRITES, false),
            (1, WRITES, true),
        ];
        for (at, (session, writes, alone)) in statements.into_iter().enumerate() {
            assert_eq!(at_work.begin(session, writes), alone, "statement {at}");
        }
    }
}

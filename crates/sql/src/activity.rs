//! Who is connected and what they do: `pg_stat_activity`, and what DROP DATABASE looks at.

use std::collections::BTreeMap;
use std::sync::Arc;

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
    /// Stops what it is doing.
    pub cancel: Arc<Cancel>,
}

/// All sessions of an instance.
#[derive(Default)]
pub(crate) struct Sessions {
    next: Mutex<u64>,
    all: Mutex<BTreeMap<u64, Arc<Mutex<SessionActivity>>>>,
}

/// A session's place among all; leaves it when dropped.
pub(crate) struct Registered {
    sessions: Arc<Sessions>,
    id: u64,
    activity: Arc<Mutex<SessionActivity>>,
}

impl Sessions {
    pub(crate) fn register(self: &Arc<Self>, activity: SessionActivity) -> Registered {
        let id = {
            let mut next = self.next.lock();
            *next += 1;
            *next
        };
        let activity = Arc::new(Mutex::new(activity));
        self.all.lock().insert(id, Arc::clone(&activity));
        Registered { sessions: Arc::clone(self), id, activity }
    }

    /// Every session, oldest first.
    pub(crate) fn list(&self) -> Vec<SessionActivity> {
        self.all.lock().values().map(|activity| activity.lock().clone()).collect()
    }
}

impl Registered {
    pub(crate) fn update(&self, change: impl FnOnce(&mut SessionActivity)) {
        change(&mut self.activity.lock());
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.sessions.all.lock().remove(&self.id);
    }
}

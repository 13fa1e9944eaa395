//! Advisory locks: locks of numbers that mean something to the clients only.
//!
//! ```text
//!   session 4 holds (5, 0, 1, bigint):   exclusive  2 x for the session, and for its transaction
//!                                        shared     -                                                  counted by form and mode
//! ```
//!
//! 1. The session holds a lock as long as any of its counts is not zero, as strongly as the strongest of them; it is never in its own way.
//! 2. What was taken for the session is given back as often as it was taken, or with the session; what was taken for a transaction, by
//!    its end or a return to a savepoint before it.
//! 3. A transaction that has committed gives its locks back before others see what it did: who takes one afterwards waits for that
//!    ([`AdvisoryLocks::committed`]).
//! 4. There are at most [`LOCKS_MAX`]: a session's hold of one number, in whatever modes and however often, counts as one.
//!
//! Not here: waiting (`transactions`), savepoints (`engine`), the functions (`sql`). Source: PostgreSQL 15 `lockfuncs.c`, `lmgr/README`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;

use env::Signal;
use parking_lot::Mutex;
use types::CommitTs;

use crate::lock::{Asked, Grant, Lock, LockMode};
use crate::session::SessionId;

/// PostgreSQL's default has room for 64 locks of each of 100 sessions; this many take about 16 MB.
const LOCKS_MAX: usize = 1 << 16;

/// What is locked, as `pg_locks` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AdvisoryKey {
    /// The database: each has its own numbers.
    pub database: u32,
    /// The upper half of the one number, or the first of two.
    pub class: u32,
    /// The lower half, or the second.
    pub object: u32,
    /// 1 for one number, 2 for two.
    pub numbers: u16,
}

impl fmt::Display for AdvisoryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "advisory lock [{},{},{},{}]", self.database, self.class, self.object, self.numbers)
    }
}

/// How long an advisory lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Until it is unlocked, or the session ends.
    Unlocked,
    /// Until the transaction ends.
    TransactionEnd,
}

/// Why a lock is neither held nor to be waited for.
pub(crate) enum Refused {
    /// Rule 4.
    Full,
    /// The session has ended.
    SessionOver,
}

/// How a session holds a lock, by mode.
#[derive(Clone, Copy, Default)]
struct Counts {
    for_session: [u32; 2],
    for_transaction: [bool; 2],
}

impl Counts {
    fn has(&self, mode: LockMode) -> bool {
        self.for_session[mode as usize] > 0 || self.for_transaction[mode as usize]
    }

    fn strongest(&self) -> Option<LockMode> {
        [LockMode::Exclusive, LockMode::Shared].into_iter().find(|mode| self.has(*mode))
    }

    /// True if the transaction did not hold it so before.
    fn add(&mut self, mode: LockMode, until: Until) -> bool {
        match until {
            Until::Unlocked => {
                let count = &mut self.for_session[mode as usize];
                *count = count.saturating_add(1);
                false
            }
            Until::TransactionEnd => !std::mem::replace(&mut self.for_transaction[mode as usize], true),
        }
    }
}

#[derive(Default)]
struct State {
    locks: HashMap<AdvisoryKey, Lock<SessionId>>,
    /// Of every session there is.
    sessions: HashMap<SessionId, HashMap<AdvisoryKey, Counts>>,
    held: usize,
    committed: CommitTs,
}

/// All of them, under one short lock.
#[derive(Default)]
pub(crate) struct AdvisoryLocks(Mutex<State>);

impl State {
    fn lock(&mut self, key: AdvisoryKey) -> &mut Lock<SessionId> {
        self.locks.entry(key).or_default()
    }

    fn forget_if_free(&mut self, key: AdvisoryKey) {
        if let Entry::Occupied(lock) = self.locks.entry(key)
            && lock.get().is_free()
        {
            lock.remove();
        }
    }

    /// Counts a lock that the session holds by now.
    fn count(&mut self, session: SessionId, key: AdvisoryKey, mode: LockMode, until: Until) -> Result<bool, Refused> {
        let Some(held) = self.sessions.get_mut(&session) else {
            self.lock(key).weaken(session, None);
            self.forget_if_free(key);
            return Err(Refused::SessionOver);
        };
        let before = held.len();
        let first = held.entry(key).or_default().add(mode, until);
        self.held += held.len() - before;
        Ok(first)
    }

    /// Takes from the counts of what a session holds, and lets others have what it no longer does. False: `take` found nothing.
    fn uncount(&mut self, session: SessionId, key: AdvisoryKey, take: impl FnOnce(&mut Counts) -> bool) -> bool {
        let Some(held) = self.sessions.get_mut(&session) else { return false };
        let Some(counts) = held.get_mut(&key) else { return false };
        let before = counts.strongest();
        if !take(counts) {
            return false;
        }
        let now = counts.strongest();
        if now.is_none() {
            held.remove(&key);
            self.held -= 1;
        }
        if now != before {
            self.lock(key).weaken(session, now);
            self.forget_if_free(key);
        }
        true
    }
}

impl AdvisoryLocks {
    pub(crate) fn begin_session(&self, session: SessionId) {
        self.0.lock().sessions.insert(session, HashMap::new());
    }

    /// Gives back all that a session holds. What it still waits for is given back when it is granted.
    pub(crate) fn end_session(&self, session: SessionId) {
        let state = &mut *self.0.lock();
        let held = state.sessions.remove(&session).unwrap_or_default();
        state.held -= held.len();
        for key in held.into_keys() {
            state.lock(key).weaken(session, None);
            state.forget_if_free(key);
        }
    }

    /// Takes a lock, or queues for it if `signal` is given. `Ok(Ok(true))`: the transaction did not hold it so before. `Ok(Err(None))`: it
    /// is not free. Errors: [`Refused`].
    pub(crate) fn ask(
        &self,
        session: SessionId,
        key: AdvisoryKey,
        mode: LockMode,
        until: Until,
        signal: Option<Arc<dyn Signal>>,
    ) -> Result<Result<bool, Option<Arc<Grant>>>, Refused> {
        let state = &mut *self.0.lock();
        let is_held = state.sessions.get(&session).ok_or(Refused::SessionOver)?.contains_key(&key);
        if !is_held && state.held >= LOCKS_MAX {
            return Err(Refused::Full);
        }
        let lock = state.lock(key);
        match lock.ask(session, mode) {
            Asked::Held | Asked::Granted { .. } => state.count(session, key, mode, until).map(Ok),
            Asked::Blocked => Ok(Err(signal.map(|signal| lock.enqueue(session, mode, signal)))),
        }
    }

    /// Counts what was waited for and granted.
    pub(crate) fn granted(&self, session: SessionId, key: AdvisoryKey, mode: LockMode, until: Until) -> Result<bool, Refused> {
        self.0.lock().count(session, key, mode, until)
    }

    /// Leaves the queue, unless the lock was granted meanwhile.
    pub(crate) fn dequeue(&self, key: AdvisoryKey, grant: &Arc<Grant>) {
        let state = &mut *self.0.lock();
        state.lock(key).dequeue(grant);
        state.forget_if_free(key);
    }

    /// Gives one of a session's locks back that it took until it is unlocked. False: it has none.
    pub(crate) fn unlock(&self, session: SessionId, key: AdvisoryKey, mode: LockMode) -> bool {
        self.0.lock().uncount(session, key, |counts| {
            let count = &mut counts.for_session[mode as usize];
            let has = *count > 0;
            *count -= u32::from(has);
            has
        })
    }

    /// Gives all of them back, however often they were taken.
    pub(crate) fn unlock_all(&self, session: SessionId) {
        let state = &mut *self.0.lock();
        let keys: Vec<AdvisoryKey> = state.sessions.get(&session).into_iter().flat_map(|held| held.keys().copied()).collect();
        for key in keys {
            state.uncount(session, key, |counts| std::mem::take(&mut counts.for_session) != [0; 2]);
        }
    }

    /// Gives back what was taken for a transaction; `committed` says when, if it has.
    pub(crate) fn unlock_taken(&self, session: SessionId, taken: &[(AdvisoryKey, LockMode)], committed: Option<CommitTs>) {
        let state = &mut *self.0.lock();
        state.committed = state.committed.max(committed.unwrap_or_default());
        for (key, mode) in taken {
            state.uncount(session, *key, |counts| std::mem::take(&mut counts.for_transaction[*mode as usize]));
        }
    }

    /// The last commit of a transaction that has given locks back by its end.
    pub(crate) fn committed(&self) -> CommitTs {
        self.0.lock().committed
    }

    /// Those who keep a session from the lock it is queued for.
    pub(crate) fn blockers(&self, session: SessionId, key: AdvisoryKey) -> Vec<SessionId> {
        self.0.lock().locks.get(&key).map_or_else(Vec::new, |lock| lock.blockers(session))
    }

    /// Calls `f` with every lock that is held, once for each mode.
    pub(crate) fn each_held(&self, mut f: impl FnMut(SessionId, AdvisoryKey, LockMode)) {
        for (session, held) in &self.0.lock().sessions {
            for (key, counts) in held {
                [LockMode::Shared, LockMode::Exclusive]
                    .into_iter()
                    .filter(|mode| counts.has(*mode))
                    .for_each(|mode| f(*session, *key, mode));
            }
        }
    }
}

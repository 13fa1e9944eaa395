//! A transaction's door to advisory locks.
//!
//! 1. What a transaction has taken is kept in the order it was taken: a savepoint's locks are given back from the end, all of them when
//!    it ends, committed or not. With what is taken until it is unlocked a transaction has nothing to do.
//! 2. Threads that work for one statement take turns: a session waits for one advisory lock at a time.
//! 3. Nothing is taken any more once the transaction is over, by a thread that still works for it.
//!
//! Not here: the locks (`txn`), the functions (`sql`). Source: PostgreSQL 15 `lockfuncs.c`.

use std::sync::Arc;
use std::time::Duration;

use env::waiting;
use parking_lot::Mutex;
use txn::{AdvisoryKey, Cancel, LockMode, SessionId, Until, WaitError, WaitLimits};
use types::CommitTs;

use crate::engine::Inner;
use crate::error::EngineError;
use crate::transaction::Transaction;

/// What a transaction has taken.
#[derive(Default)]
pub(crate) struct Taken {
    locks: Mutex<TakenLocks>,
    turn: Mutex<()>,
}

#[derive(Default)]
struct TakenLocks {
    list: Vec<(AdvisoryKey, LockMode)>,
    over: bool,
}

/// A transaction's door to advisory locks, for any thread that works for it.
#[derive(Clone)]
pub struct Advisory {
    engine: Arc<Inner>,
    session: SessionId,
    taken: Arc<Taken>,
    cancel: Arc<Cancel>,
    timeout: Option<Duration>,
}

impl Advisory {
    /// Takes a lock, waiting its turn. Errors: 40P01, 55P03, 57014, 53200 if there are too many.
    pub fn lock(&self, key: AdvisoryKey, mode: LockMode, until: Until) -> Result<(), EngineError> {
        Ok(self.take(key, mode, until, self.timeout)?)
    }

    /// Takes a lock if that is possible at once. Errors: 53200 if there are too many.
    pub fn try_lock(&self, key: AdvisoryKey, mode: LockMode, until: Until) -> Result<bool, EngineError> {
        match self.take(key, mode, until, Some(Duration::ZERO)) {
            Ok(()) => Ok(true),
            Err(WaitError::Timeout) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives back one lock of those that were taken until they are unlocked. False: there is none.
    pub fn unlock(&self, key: AdvisoryKey, mode: LockMode) -> bool {
        self.engine.txns.unlock_advisory(self.session, key, mode)
    }

    /// Gives back all of those.
    pub fn unlock_all(&self) {
        self.engine.txns.unlock_all_advisory(self.session);
    }

    fn take(&self, key: AdvisoryKey, mode: LockMode, until: Until, timeout: Option<Duration>) -> Result<(), WaitError> {
        let txns = &self.engine.txns;
        let lock = |timeout| txns.lock_advisory(self.session, key, mode, until, WaitLimits { timeout, cancel: &self.cancel });
        let _turn = self.taken.turn.try_lock().unwrap_or_else(|| waiting(|| self.taken.turn.lock()));
        let first = match lock(Some(Duration::ZERO)) {
            Err(WaitError::Timeout) if timeout != Some(Duration::ZERO) => waiting(|| lock(timeout))?,
            locked => locked?,
        };
        let mut taken = self.taken.locks.lock();
        if first {
            taken.list.push((key, mode));
        }
        if taken.over {
            txns.unlock_taken(self.session, &std::mem::take(&mut taken.list), None);
            if until == Until::Unlocked {
                txns.unlock_advisory(self.session, key, mode);
            }
            return Err(WaitError::Cancelled);
        }
        drop(taken);
        // Whoever had it may have committed just now: the next statement is to see that.
        if let Err(error) = txns.settle_advisory() {
            tracing::debug!(%error, "the log has failed: nothing more becomes visible");
        }
        Ok(())
    }
}

impl Transaction {
    /// The way to advisory locks for this transaction and the threads that work for it; `None` without a session.
    pub fn advisory(&mut self) -> Option<Advisory> {
        let session = self.session?;
        let taken = Arc::clone(self.advisory.get_or_insert_default());
        let (engine, cancel) = (self.engine_handle(), self.cancel());
        Some(Advisory { engine, session, taken, cancel, timeout: self.begin.lock_timeout })
    }

    /// How many advisory locks it has taken.
    pub(crate) fn advisory_taken(&self) -> usize {
        self.advisory.as_ref().map_or(0, |taken| taken.locks.lock().list.len())
    }

    /// Gives back advisory locks that it has taken after it had so many.
    pub(crate) fn unlock_advisory(&self, kept: usize) {
        if let (Some(taken), Some(session)) = (&self.advisory, self.session) {
            let mut taken = taken.locks.lock();
            let kept = kept.min(taken.list.len());
            self.engine.txns.unlock_taken(session, &taken.list.split_off(kept), None);
        }
    }

    /// Gives back all of them, at its end.
    pub(crate) fn end_advisory(&self, committed: Option<CommitTs>) {
        if let (Some(taken), Some(session)) = (&self.advisory, self.session) {
            let mut taken = taken.locks.lock();
            taken.over = true;
            let list = std::mem::take(&mut taken.list);
            if !list.is_empty() {
                self.engine.txns.unlock_taken(session, &list, committed);
            }
        }
    }
}

//! Sessions, and waiting for advisory locks.

use std::sync::atomic::Ordering;
use std::time::Duration;

use types::CommitTs;

use super::Transactions;
use crate::advisory::{AdvisoryKey, Refused, Until};
use crate::commits::Failed;
use crate::lock::LockMode;
use crate::session::{Party, SessionId};
use crate::waits::{WaitError, WaitLimits, WaitsFor};

impl Transactions {
    /// A new session, to hold locks until [`Transactions::end_session`]. `process` is what its client knows it by; 0: its number.
    pub fn begin_session(&self, process: i32) -> SessionId {
        let number = self.session_next.fetch_add(1, Ordering::Relaxed);
        let session = SessionId { number, process: if process == 0 { number as i32 } else { process } };
        self.advisory.begin_session(session);
        session
    }

    /// Gives back all advisory locks of a session. Its transactions have ended.
    pub fn end_session(&self, session: SessionId) {
        self.advisory.end_session(session);
    }

    /// Takes an advisory lock for a session; waits its turn if others are in the way. True: taken for the transaction, which did not hold
    /// it so before: it is to give it back ([`Transactions::unlock_taken`]). Errors: [`WaitError`]; with a timeout of zero `Timeout` at
    /// once instead of waiting. `Cancelled` if the session has ended.
    pub fn lock_advisory(
        &self,
        session: SessionId,
        key: AdvisoryKey,
        mode: LockMode,
        until: Until,
        limits: WaitLimits<'_>,
    ) -> Result<bool, WaitError> {
        let refused = |refused| match refused {
            Refused::Full => WaitError::TooMany,
            Refused::SessionOver => WaitError::Cancelled,
        };
        if let Ok(first) = self.advisory.ask(session, key, mode, until, None).map_err(refused)? {
            return Ok(first);
        }
        if limits.timeout == Some(Duration::ZERO) {
            return Err(WaitError::Timeout);
        }
        let waits = self.waits.lock();
        let grant = match self.advisory.ask(session, key, mode, until, Some(self.env.signal())).map_err(refused)? {
            Ok(first) => return Ok(first),
            Err(None) => return Err(WaitError::Timeout),
            Err(Some(grant)) => grant,
        };
        let what = WaitsFor::Advisory(key, mode);
        self.wait_granted(waits, Party::Session(session), what, &grant, limits, || self.advisory.dequeue(key, &grant))?;
        self.advisory.granted(session, key, mode, until).map_err(refused)
    }

    /// Waits until others see what those have done who held advisory locks for their transactions and committed. Errors: [`Failed`].
    pub fn settle_advisory(&self) -> Result<(), Failed> {
        self.wait_visible(self.advisory.committed())
    }

    /// Gives back an advisory lock that the session took until it is unlocked. False: it has none.
    pub fn unlock_advisory(&self, session: SessionId, key: AdvisoryKey, mode: LockMode) -> bool {
        self.advisory.unlock(session, key, mode)
    }

    /// Gives back all of those.
    pub fn unlock_all_advisory(&self, session: SessionId) {
        self.advisory.unlock_all(session);
    }

    /// Gives back advisory locks that were taken for a transaction; `committed` says when, if it has.
    pub fn unlock_taken(&self, session: SessionId, taken: &[(AdvisoryKey, LockMode)], committed: Option<CommitTs>) {
        self.advisory.unlock_taken(session, taken, committed);
    }
}

//! Who waits and is waited for: a session with whatever transaction it is in, or a transaction of no session.
//!
//! Locks of a session outlive its transactions, so that a circle of waits may lead through a session between two of them.

use std::fmt;

use types::TxnId;

/// A session, as one who holds locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId {
    /// Never used again.
    pub number: u64,
    /// What its client knows it by: `pg_backend_pid()`.
    pub process: i32,
}

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Party {
    Session(SessionId),
    Alone(TxnId),
}

impl Party {
    pub(crate) fn of(txn: TxnId, session: Option<SessionId>) -> Party {
        session.map_or(Party::Alone(txn), Party::Session)
    }

    pub(crate) fn session(self) -> Option<SessionId> {
        match self {
            Party::Session(session) => Some(session),
            Party::Alone(_) => None,
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Party::Session(session) => write!(f, "process {}", session.process),
            Party::Alone(txn) => write!(f, "transaction {txn}"),
        }
    }
}

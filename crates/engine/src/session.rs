//! Sessions, as the engine knows them: who begins transactions and holds locks.
//!
//! ```text
//! Engine::begin_session --> SessionLocks                 dropped at the session's end
//!                             | session
//!                             v
//!                           EngineSession --begin--> Transaction --> OwnEngine --> Inner
//!                             one OwnEngine for each session           what all share
//! ```
//!
//! Not here: what a session waits for (`txn`), its settings and statements (`sql`).

use std::ops::Deref;
use std::sync::Arc;

use txn::{Cancel, SessionId};

use crate::engine::Inner;
use crate::transaction::{Begin, Transaction};

/// The engine as one session has it. Its transactions count references to this, and not to what those of all sessions, on all cores, would
/// count at one place.
pub(crate) struct OwnEngine(pub(crate) Arc<Inner>);

impl Deref for OwnEngine {
    type Target = Arc<Inner>;

    fn deref(&self) -> &Arc<Inner> {
        &self.0
    }
}

/// A session's place among those who hold locks. Dropped, it gives back what its transactions, which have ended, have left.
pub struct SessionLocks {
    session: EngineSession,
    cancel: Arc<Cancel>,
}

/// A session, to begin its transactions. Cloning is cheap.
#[derive(Clone)]
pub struct EngineSession {
    engine: Arc<OwnEngine>,
    id: SessionId,
}

impl EngineSession {
    /// A new transaction. Nothing happens until its first statement.
    pub fn begin(&self, begin: Begin) -> Transaction {
        Transaction::new(Arc::clone(&self.engine), Some(self.id), begin)
    }

    /// The session's id among those who hold locks.
    pub fn id(&self) -> SessionId {
        self.id
    }
}

impl SessionLocks {
    pub(crate) fn new(engine: Arc<Inner>, process: i32, cancel: Arc<Cancel>) -> SessionLocks {
        let id = engine.txns.begin_session(process);
        SessionLocks { session: EngineSession { engine: Arc::new(OwnEngine(engine)), id }, cancel }
    }

    /// What begins its transactions.
    pub fn session(&self) -> &EngineSession {
        &self.session
    }

    /// Gives back every advisory lock that was taken until it is unlocked, however often.
    pub fn unlock_all(&self) {
        self.session.engine.txns.unlock_all_advisory(self.session.id);
    }
}

impl Drop for SessionLocks {
    fn drop(&mut self) {
        // A thread that still works for its last statement must not wait on.
        self.cancel.set();
        self.session.engine.txns.end_session(self.session.id);
    }
}

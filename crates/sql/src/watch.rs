//! A statement's time: its cancel flag and its timeout.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use engine::Cancel;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use types::{SqlError, SqlState};

/// Watches one statement, and its result while it is pulled. Dropped, the timeout is off.
pub(crate) struct Watch {
    cancel: Arc<Cancel>,
    timeout: Option<Timeout>,
}

struct Timeout {
    passed: Arc<AtomicBool>,
    timer: AbortHandle,
}

impl Watch {
    /// Begins a statement: a cancel request from before is forgotten. Outside of a runtime there is no timeout.
    pub(crate) fn start(cancel: &Arc<Cancel>, timeout: Option<Duration>) -> Watch {
        cancel.clear();
        let timeout = timeout.zip(Handle::try_current().ok()).map(|(after, runtime)| {
            let passed = Arc::new(AtomicBool::new(false));
            let (flag, cancel) = (Arc::clone(&passed), Arc::clone(cancel));
            let timer = runtime.spawn(async move {
                tokio::time::sleep(after).await;
                flag.store(true, Ordering::SeqCst);
                cancel.set();
            });
            Timeout { passed, timer: timer.abort_handle() }
        });
        Watch { cancel: Arc::clone(cancel), timeout }
    }

    /// Errors if the statement was asked to stop.
    pub(crate) fn check(&self) -> Result<(), SqlError> {
        if self.cancel.is_set() { Err(self.explain(canceled())) } else { Ok(()) }
    }

    /// An error of the statement, saying what stopped it if it was stopped.
    pub(crate) fn explain(&self, error: SqlError) -> SqlError {
        let timed_out = self.timeout.as_ref().is_some_and(|t| t.passed.load(Ordering::SeqCst));
        if timed_out && error.state == SqlState::QUERY_CANCELED {
            return SqlError::new(SqlState::QUERY_CANCELED, "canceling statement due to statement timeout");
        }
        error
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(timeout) = &self.timeout {
            timeout.timer.abort();
        }
    }
}

pub(crate) fn canceled() -> SqlError {
    SqlError::new(SqlState::QUERY_CANCELED, "canceling statement due to user request")
}

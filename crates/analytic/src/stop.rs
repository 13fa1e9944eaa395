//! When a query is to stop: its client says so, or nobody reads its result any more.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use datafusion::common::{DataFusionError, Result};
use txn::Cancel;
use types::{SqlError, SqlState};

use crate::errors;

/// How often a running query looks at its cancel flag besides each batch.
const POLL: Duration = Duration::from_millis(10);

/// Asked by all parts of one execution. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Stop {
    cancel: Arc<Cancel>,
    unread: Arc<AtomicBool>,
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stop").field(&self.is_set()).finish()
    }
}

impl Stop {
    /// Stops when `cancel` is set, or by [`Stop::unread`].
    pub(crate) fn new(cancel: Arc<Cancel>) -> Stop {
        Stop { cancel, unread: Arc::default() }
    }

    /// Nobody waits for the result any more.
    pub(crate) fn unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.cancel.is_set() || self.unread.load(Ordering::Relaxed)
    }

    /// Errors once the query is to stop: 57014.
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_set() { Err(errors::raise(canceled())) } else { Ok(()) }
    }

    /// Ready once the query is to stop, with the error for that: 57014. By then the flag may be clear for the next statement.
    pub(crate) async fn wait(&self) -> DataFusionError {
        while !self.is_set() {
            tokio::time::sleep(POLL).await;
        }
        errors::raise(canceled())
    }
}

/// What a cancelled query answers.
pub(crate) fn canceled() -> SqlError {
    SqlError::new(SqlState::QUERY_CANCELED, "canceling statement due to user request")
}

//! A statement's time: its cancel flag and its timeout, or its transaction's if that comes first.

use std::sync::Arc;
use std::time::Duration;

use engine::Cancel;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use types::{SqlError, SqlState};

/// Watches one statement, and its result while it is pulled. Dropped, the timeout is off.
pub(crate) struct Watch {
    cancel: Arc<Cancel>,
    timeout: Option<Timeout>,
}

struct Timeout {
    limit: Limit,
    state: Arc<Mutex<State>>,
    timer: AbortHandle,
}

/// Whose time is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    Statement,
    Transaction,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    TimedOut,
    /// The statement is over: its timer may not stop the next one.
    Over,
}

impl Watch {
    /// Begins a statement. Outside of a runtime there is no timeout.
    pub(crate) fn start(cancel: &Arc<Cancel>, timeout: Option<(Duration, Limit)>) -> Watch {
        let timeout = timeout.and_then(|limit| Some((limit, Handle::try_current().ok()?))).map(|((after, limit), runtime)| {
            let state = Arc::new(Mutex::new(State::Running));
            let (of_timer, cancel) = (Arc::clone(&state), Arc::clone(cancel));
            let timer = runtime.spawn(async move {
                tokio::time::sleep(after).await;
                let mut state = of_timer.lock();
                if *state == State::Running {
                    *state = State::TimedOut;
                    cancel.set();
                }
            });
            Timeout { limit, state, timer: timer.abort_handle() }
        });
        Watch { cancel: Arc::clone(cancel), timeout }
    }

    /// Errors if the statement was asked to stop.
    pub(crate) fn check(&self) -> Result<(), SqlError> {
        if self.cancel.is_set() { Err(self.explain(canceled())) } else { Ok(()) }
    }

    /// An error of the statement, saying what stopped it if it was stopped.
    pub(crate) fn explain(&self, error: SqlError) -> SqlError {
        let over = self.timeout.as_ref().filter(|timeout| *timeout.state.lock() == State::TimedOut);
        match over.map(|timeout| timeout.limit) {
            _ if error.state != SqlState::QUERY_CANCELED => error,
            None => error,
            Some(Limit::Statement) => SqlError::new(SqlState::QUERY_CANCELED, "canceling statement due to statement timeout"),
            Some(Limit::Transaction) => transaction_too_long(),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(timeout) = &self.timeout {
            timeout.timer.abort();
            if std::mem::replace(&mut *timeout.state.lock(), State::Over) == State::TimedOut {
                self.cancel.clear();
            }
        }
    }
}

/// The error that ends the session: 25P04.
pub fn transaction_too_long() -> SqlError {
    SqlError::new(SqlState::TRANSACTION_TIMEOUT, "terminating connection due to transaction timeout")
}

pub(crate) fn canceled() -> SqlError {
    SqlError::new(SqlState::QUERY_CANCELED, "canceling statement due to user request")
}

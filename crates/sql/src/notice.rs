//! What a client is told beside the answer: notices and warnings.

use parking_lot::Mutex;
use types::{SqlError, SqlState};

/// How serious a [`Notice`] is, as PostgreSQL names it in the `S` and `V` fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Details for whoever asked for them.
    Info,
    /// Worth knowing: something was skipped.
    Notice,
    /// Probably not what was meant.
    Warning,
}

impl Severity {
    /// `INFO`, `NOTICE` or `WARNING`.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "INFO",
            Severity::Notice => "NOTICE",
            Severity::Warning => "WARNING",
        }
    }
}

/// A message that does not stop the statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// How serious it is.
    pub severity: Severity,
    /// State, message and fields, as an error has them. The state of a plain notice is 00000.
    pub message: SqlError,
}

impl Notice {
    /// A plain notice, SQLSTATE 00000.
    pub fn plain(message: impl Into<String>) -> Notice {
        Notice { severity: Severity::Notice, message: SqlError::new(SqlState::SUCCESSFUL_COMPLETION, message) }
    }

    /// A notice with a SQLSTATE of its own, e.g. 42P07 for a relation that exists already.
    pub fn notice_with(state: SqlState, message: impl Into<String>) -> Notice {
        Notice { severity: Severity::Notice, message: SqlError::new(state, message) }
    }

    /// A warning.
    pub fn warning(state: SqlState, message: impl Into<String>) -> Notice {
        Notice { severity: Severity::Warning, message: SqlError::new(state, message) }
    }
}

/// So many notices wait for the client at most, of functions called for many rows; further ones are dropped.
const HEARD_MAX: usize = 1000;

/// Notices of functions, from whatever thread, until the session takes them.
#[derive(Default)]
pub(crate) struct Heard(Mutex<Vec<Notice>>);

impl Heard {
    pub(crate) fn add(&self, notice: Notice) {
        let mut heard = self.0.lock();
        if heard.len() < HEARD_MAX {
            heard.push(notice);
        }
    }

    pub(crate) fn take(&self) -> Vec<Notice> {
        std::mem::take(&mut *self.0.lock())
    }
}

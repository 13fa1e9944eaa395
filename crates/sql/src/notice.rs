//! What a client is told beside the answer: notices and warnings.

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

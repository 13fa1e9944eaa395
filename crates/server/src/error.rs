//! What a client is told when something goes wrong, and what becomes of the connection then.
//!
//! | [`Failure`] | the client sees | the connection |
//! |---|---|---|
//! | `Statement` | ErrorResponse, severity ERROR | goes on (in the extended protocol after the next Sync) |
//! | `Fatal` | ErrorResponse, severity FATAL | is closed |
//! | `Gone` | nothing: nobody is there | is closed |
//!
//! Not here: which SQLSTATE an error has ([`types::SqlError`] says), the byte form of the message (`output`).
//! Source: PostgreSQL 15, "Error and Notice Message Fields"; the order of the fields is `send_message_to_frontend`'s.

use std::io;

use types::{SqlError, SqlState};

/// Why a message could not be served.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The statement failed.
    Statement(SqlError),
    /// The connection cannot go on.
    Fatal(SqlError),
    /// The client is not there any more, or said good-bye.
    Gone(Option<io::Error>),
}

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Failure {
        Failure::Statement(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Gone(Some(error))
    }
}

/// How serious a message to the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    Error,
    Fatal,
    Notice(sql::Severity),
}

impl Severity {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
            Severity::Notice(severity) => severity.as_str(),
        }
    }
}

/// The client does not keep to the protocol.
pub(crate) fn violation(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::PROTOCOL_VIOLATION, message)
}

/// `bytes` are not UTF-8, which is the only encoding here. Names the first bad sequence as PostgreSQL does.
pub(crate) fn invalid_utf8(bytes: &[u8]) -> SqlError {
    let at = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
    let rest = bytes.get(at..).unwrap_or_default();
    let length = match rest.first() {
        Some(0xC0..=0xDF) => 2,
        Some(0xE0..=0xEF) => 3,
        Some(0xF0..=0xF7) => 4,
        _ => 1,
    };
    let sequence: Vec<String> = rest.iter().take(length).map(|byte| format!("0x{byte:02x}")).collect();
    SqlError::new(
        SqlState::CHARACTER_NOT_IN_REPERTOIRE,
        format!("invalid byte sequence for encoding \"UTF8\": {}", sequence.join(" ")),
    )
}

/// The statement was stopped from outside.
pub(crate) fn cancelled() -> SqlError {
    SqlError::new(SqlState::QUERY_CANCELED, "canceling statement due to user request")
}

/// Another connection wants to log in.
pub(crate) fn too_many_logins() -> SqlError {
    SqlError::new(SqlState::TOO_MANY_CONNECTIONS, "too many connections are logging in")
}

/// The server is stopping.
pub(crate) fn shutting_down() -> SqlError {
    SqlError::new(SqlState::ADMIN_SHUTDOWN, "terminating connection due to administrator command")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bad_sequence_is_named_at_its_length() {
        let message = |bytes: &[u8]| invalid_utf8(bytes).message;
        assert_eq!(message(b"ab\xff"), "invalid byte sequence for encoding \"UTF8\": 0xff");
        assert_eq!(message(b"\xe2\x28\xa1"), "invalid byte sequence for encoding \"UTF8\": 0xe2 0x28 0xa1");
        assert_eq!(message(b"\xc3"), "invalid byte sequence for encoding \"UTF8\": 0xc3");
        assert_eq!(message("ok ".repeat(3).as_bytes()), "invalid byte sequence for encoding \"UTF8\": ");
    }
}

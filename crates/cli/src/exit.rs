//! How the program ends, and how it says so.
//!
//! | code | meaning |
//! |--:|---|
//! | 0 | done |
//! | 1 | an error; the message says what to do |
//! | 2 | wrong use of the command line |
//! | 3 | `check` found damage, or the directory is too damaged to open |
//! | 4 | `import` is done, but some rows were rejected |
//! | 141 | whoever read the output went away: what a shell says of a program that ends by SIGPIPE |

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use bench::{BenchError, describe};
use types::{Kind, SqlError, SqlState};

/// See the module's table.
const ERROR: u8 = 1;
const USAGE: u8 = 2;
const DAMAGED: u8 = 3;
const REJECTED: u8 = 4;
const OUTPUT_GONE: u8 = 141;

/// Why a command stopped.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    next: Option<String>,
    code: u8,
    /// The database's, if the error is its.
    state: Option<SqlState>,
}

impl Failure {
    /// An error. The message is "verb object: cause".
    pub(crate) fn new(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), next: None, code: ERROR, state: None }
    }

    /// An error while doing `what`.
    pub(crate) fn during(what: impl Display, cause: impl Display) -> Failure {
        Failure::new(format!("{what}: {cause}"))
    }

    /// Arguments that do not fit together.
    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure { code: USAGE, ..Failure::new(message) }
    }

    /// The same with what to do next, instead of what was suggested so far.
    pub(crate) fn next(mut self, next: impl Into<String>) -> Failure {
        self.next = Some(next.into());
        self
    }

    /// The same with the place in the user's files.
    pub(crate) fn at(mut self, place: impl Display) -> Failure {
        self.message.push_str(&format!("\n  at {place}"));
        self
    }

    /// Whether the database says it, with this state.
    pub(crate) fn is(&self, state: SqlState) -> bool {
        self.state == Some(state)
    }

    /// Prints the error.
    pub(crate) fn show(&self) {
        warn(&self.message);
        if let Some(next) = &self.next {
            warn(&format!("  {next}"));
        }
    }

    /// Prints the error as the program's last word; returns the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        self.show();
        ExitCode::from(self.code)
    }

    /// The message alone.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }
}

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Failure {
        let mut message = format!("ERROR {}: {}", error.state, error.message);
        if let Some(detail) = &error.fields.detail {
            message.push_str(&format!("\n  DETAIL: {detail}"));
        }
        if let Some(context) = &error.fields.context {
            message.push_str(&format!("\n  CONTEXT: {context}"));
        }
        let code = if error.kind() == Kind::Corrupt { DAMAGED } else { ERROR };
        let next = error.fields.hint.as_ref().map(|hint| format!("HINT: {hint}"));
        Failure { message, next, code, state: Some(error.state) }
    }
}

impl From<engine::EngineError> for Failure {
    fn from(error: engine::EngineError) -> Failure {
        SqlError::from(error).into()
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Failure {
        let state = error.code().and_then(|code| code.code().as_bytes().try_into().ok()).map(SqlState);
        Failure { state, ..Failure::new(describe(&error)) }
    }
}

impl From<BenchError> for Failure {
    fn from(error: BenchError) -> Failure {
        let failure = Failure::new(error.to_string());
        match error {
            BenchError::Connect { .. } => failure.next("is the server running, and is the password in PGPASSWORD or in the URL?"),
            _ => failure,
        }
    }
}

/// The exit code of a check that found something.
pub(crate) fn damaged() -> ExitCode {
    ExitCode::from(DAMAGED)
}

/// The exit code of an import that rejected rows.
pub(crate) fn rejected() -> ExitCode {
    ExitCode::from(REJECTED)
}

/// `1 row`, `2 rows`.
pub(crate) fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Prints a result. Ends the program where it cannot: without a word if its reader went away, as `head` does.
pub(crate) fn say(text: &str) {
    let Err(error) = writeln!(std::io::stdout().lock(), "{text}") else { return };
    if error.kind() == ErrorKind::BrokenPipe {
        std::process::exit(OUTPUT_GONE.into());
    }
    warn(&format!("write to standard output: {error}"));
    std::process::exit(ERROR.into());
}

/// Prints something beside the result. Nobody may be there to read it.
pub(crate) fn warn(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

//! What a driver prints: its result on standard output, everything else beside it.

use std::io::{ErrorKind, Write};

use serde::Serialize;

use crate::report::{Report, Server};

/// Prints `figures` with the machine and the servers they belong to: as JSON, or as `text` with the report's footer.
pub fn answer<T: Serialize>(json: bool, suite: &str, servers: Vec<Server>, figures: T, text: impl FnOnce(&T) -> String) {
    let report = Report::new(suite, servers, figures);
    say(&if json { report.to_json() } else { format!("{}\n{}", text(&report.figures), report.footer()) });
}

/// Prints a result. Ends the program where it cannot: without a word if its reader went away, as `head` does.
pub fn say(text: &str) {
    let Err(error) = writeln!(std::io::stdout().lock(), "{text}") else { return };
    if error.kind() == ErrorKind::BrokenPipe {
        // What a shell says of a program that ends by SIGPIPE.
        std::process::exit(141);
    }
    warn(&format!("write to standard output: {error}"));
    std::process::exit(1);
}

/// Prints something beside the result: an error, progress. Nobody may be there to read it.
pub fn warn(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

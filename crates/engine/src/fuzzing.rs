//! For fuzzing: what reads a record of the log, given any bytes.

use crate::redo;

/// Reads a commit record; returns how many operations it has. Errors: what cannot be read.
pub fn record(bytes: &[u8]) -> Result<usize, String> {
    redo::decode(bytes).map(|(_, ops)| ops.count())
}

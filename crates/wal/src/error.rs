//! What may go wrong with a log.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use types::{Kind, Lsn};

/// An error of the log. Cheap to clone: one failure is told to everyone who waits.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WalError {
    /// A file could not be read, written or synced.
    #[error("{action} {}: {error}", path.display())]
    Io {
        /// What was tried, e.g. `sync log file`.
        action: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// What the operating system said.
        error: Arc<io::Error>,
    },
    /// There is no room for another log file. Nothing was appended; appending works again when there is.
    #[error("no space left on disk for the log in {}", dir.display())]
    DiskFull {
        /// The log's directory.
        dir: PathBuf,
    },
    /// The log was closed, or failed for good.
    #[error("the log is closed: {cause}")]
    Closed {
        /// Why.
        cause: Arc<str>,
    },
    /// Something that was durable cannot be read any more. Opening the log would lose it.
    #[error("log file {} is damaged at byte {offset}: {finding}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is there, and what tells that there was more.
        finding: String,
    },
    /// The log does not reach the position from which it is needed.
    #[error("the log in {} has records from {first} to {end}, but is needed from {from}", dir.display())]
    Missing {
        /// The log's directory.
        dir: PathBuf,
        /// Where the stream found there starts.
        first: Lsn,
        /// Where it ends.
        end: Lsn,
        /// Where it should have been read from.
        from: Lsn,
    },
    /// A file of a later version of this software.
    #[error("log file {} has format {found}, this version reads format {}", path.display(), crate::frame::VERSION)]
    Version {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Whoever replays refused a record.
    #[error("replay stopped at {lsn}: {}", stop.0)]
    Stopped {
        /// The end of the record.
        lsn: Lsn,
        /// What it said.
        stop: ReplayStop,
    },
    /// A record is longer than [`crate::RECORD_BYTES_MAX`].
    #[error("a log record of {bytes} bytes is too long")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
}

/// Said by a replay that cannot go on, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayStop(pub String);

impl WalError {
    /// What the caller can do about it.
    pub fn kind(&self) -> Kind {
        match self {
            WalError::Io { .. } | WalError::Closed { .. } => Kind::Closed,
            WalError::DiskFull { .. } => Kind::Unavailable,
            WalError::Damaged { .. } | WalError::Missing { .. } | WalError::Stopped { .. } => Kind::Corrupt,
            WalError::Version { .. } | WalError::TooLong { .. } => Kind::Invalid,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> WalError {
        move |error| WalError::Io { action, path: path.to_owned(), error: Arc::new(error) }
    }

    /// True if the operating system said that there is no space.
    pub(crate) fn is_lack_of_space(&self) -> bool {
        matches!(self, WalError::Io { error, .. }
            if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }
}

//! What can go wrong with files of segments, in this crate's terms.

use std::io;
use std::path::{Path, PathBuf};

use types::Kind;

/// The result of anything here that touches a file.
pub type Result<T> = std::result::Result<T, SegmentError>;

/// Why a file of this crate could not be written, read or believed.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// Verb and object, e.g. `read segment`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// Bytes are not those that were written.
    #[error("{} is damaged: checksum of {what} at byte {offset} is {found:08x}, expected {expected:08x}", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// Which part of it.
        what: String,
        /// Where the part starts.
        offset: u64,
        /// The checksum it had when written.
        expected: u32,
        /// The checksum it has now.
        found: u32,
    },
    /// Bytes do not mean what they should: a wrong length, a count that does not fit, values that contradict each other.
    #[error("{} is damaged at byte {offset}: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where, as exactly as is known.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// A file that must exist does not.
    #[error("{} is missing", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a program whose format this one does not know.
    #[error("{} has format version {found}; this program reads up to {supported}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The greatest version known here.
        supported: u32,
    },
    /// The caller broke a rule of this crate.
    #[error("{0}")]
    Misuse(String),
}

impl SegmentError {
    /// What the caller can do about it.
    pub fn kind(&self) -> Kind {
        match self {
            SegmentError::Io { .. } => Kind::Unavailable,
            SegmentError::Checksum { .. } | SegmentError::Damaged { .. } | SegmentError::Missing { .. } => Kind::Corrupt,
            SegmentError::Version { .. } => Kind::Invalid,
            SegmentError::Misuse(_) => Kind::Bug,
        }
    }

    /// True if there is no room on the disk: the only failure after which the same write may be tried again.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, SegmentError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull)
    }

    /// The file it is about, if it is about one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            SegmentError::Io { path, .. }
            | SegmentError::Checksum { path, .. }
            | SegmentError::Damaged { path, .. }
            | SegmentError::Missing { path }
            | SegmentError::Version { path, .. } => Some(path),
            SegmentError::Misuse(_) => None,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SegmentError {
        let path = path.to_path_buf();
        move |source| {
            if source.kind() == io::ErrorKind::NotFound {
                SegmentError::Missing { path }
            } else {
                SegmentError::Io { action, path, source }
            }
        }
    }

    pub(crate) fn damaged(path: &Path, offset: u64, what: impl Into<String>) -> SegmentError {
        SegmentError::Damaged { path: path.to_path_buf(), offset, what: what.into() }
    }
}

/// Compares the CRC-32 of `bytes` with the one noted when they were written.
pub(crate) fn check_crc(path: &Path, what: impl FnOnce() -> String, offset: u64, bytes: &[u8], expected: u32) -> Result<()> {
    let found = crc32fast::hash(bytes);
    if found == expected || env::seeded_bug("page-checksum-not-compared") {
        Ok(())
    } else {
        Err(SegmentError::Checksum { path: path.to_path_buf(), what: what(), offset, expected, found })
    }
}

//! The stamp of a row version, and what a snapshot sees of it.
//!
//! ```text
//! bit 63 = 0: committed, bits 0..62 the commit timestamp        bit 63 = 1: in progress, bits 0..62 the transaction
//! ```

use std::fmt;

use types::{CommitTs, TxnId};

const IN_PROGRESS: u64 = 1 << 63;

/// Who wrote a row version: a commit, or a transaction still in progress.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version(u64);

/// A moment to read at: everything committed up to `ts`, and what transaction `own` has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Snapshot {
    /// Commits up to and including this one are seen.
    pub ts: CommitTs,
    /// The transaction whose own writes are seen too.
    pub own: Option<TxnId>,
}

impl Version {
    /// The stamp of what was committed at `ts`.
    pub const fn committed(ts: CommitTs) -> Version {
        Version(ts.0 & !IN_PROGRESS)
    }

    /// The stamp of what `txn` has written and not yet committed.
    pub const fn in_progress(txn: TxnId) -> Version {
        Version(txn.0 | IN_PROGRESS)
    }

    /// When it was committed; `None` while in progress.
    pub const fn committed_ts(self) -> Option<CommitTs> {
        if self.0 & IN_PROGRESS == 0 { Some(CommitTs(self.0)) } else { None }
    }

    /// Which transaction in progress wrote it; `None` once committed.
    pub const fn txn(self) -> Option<TxnId> {
        if self.0 & IN_PROGRESS == 0 { None } else { Some(TxnId(self.0 & !IN_PROGRESS)) }
    }

    /// True if it was committed at `ts` or before.
    pub const fn is_committed_by(self, ts: CommitTs) -> bool {
        // A stamp in progress has the top bit and compares greater than every timestamp.
        self.0 <= ts.0
    }
}

impl Snapshot {
    /// True if this snapshot sees a version with that stamp (unless a newer version of the row is seen as well).
    pub const fn sees(&self, version: Version) -> bool {
        if version.is_committed_by(self.ts) {
            return true;
        }
        match self.own {
            Some(own) => version.0 == own.0 | IN_PROGRESS,
            None => false,
        }
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.committed_ts(), self.txn()) {
            (Some(ts), _) => write!(f, "@{ts}"),
            (_, Some(txn)) => write!(f, "txn {txn}"),
            _ => f.write_str("?"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_sees_what_was_committed_by_then_and_its_own_writes() {
        let cases = [
            // snapshot at 10, own transaction, the version, seen?
            (None, Version::committed(CommitTs(10)), true),
            (None, Version::committed(CommitTs(11)), false),
            (None, Version::committed(CommitTs::ZERO), true),
            (None, Version::committed(CommitTs::MAX), false),
            (None, Version::in_progress(TxnId(1)), false),
            (Some(TxnId(1)), Version::in_progress(TxnId(1)), true),
            (Some(TxnId(1)), Version::in_progress(TxnId(2)), false),
            (Some(TxnId(1)), Version::committed(CommitTs(11)), false),
            (Some(TxnId(0)), Version::in_progress(TxnId(0)), true),
            (Some(TxnId(11)), Version::committed(CommitTs(11)), false),
        ];
        for (own, version, seen) in cases {
            assert_eq!(Snapshot { ts: CommitTs(10), own }.sees(version), seen, "own {own:?}, {version:?}");
        }
        let latest = Snapshot { ts: CommitTs::MAX, own: None };
        assert!(latest.sees(Version::committed(CommitTs::MAX)) && !latest.sees(Version::in_progress(TxnId(0))));
    }

    #[test]
    fn a_version_is_either_committed_or_in_progress() {
        let committed = Version::committed(CommitTs(7));
        assert_eq!((committed.committed_ts(), committed.txn()), (Some(CommitTs(7)), None));
        let open = Version::in_progress(TxnId(7));
        assert_eq!((open.committed_ts(), open.txn()), (None, Some(TxnId(7))));
        assert_ne!(committed, open);
    }
}

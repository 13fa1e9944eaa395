//! Transactions: timestamps, snapshots, what a snapshot sees, waiting for one another, locks of tables, rows and numbers.
//!
//! ```text
//!            commit: next ts, append to log      stamp rows          log says durable
//!   T7  ------[ order lock ]------------------o-----------------o----------------------> acknowledged
//!   ts  ... 41 | 42 ...                    stamped(42)      durable(lsn)
//!                                                visible = 41 -----------------> 42      snapshots read at `visible`
//! ```
//!
//! 1. Commit order = log order = timestamp order: one critical section takes the timestamp and appends the record.
//! 2. `visible` is the greatest timestamp such that every commit up to it is stamped in memory and durable in the log; it never
//!    decreases, and every snapshot reads at it. So nobody sees what a crash could lose, but for commits that asked not to wait for the
//!    disk ([`Acknowledge::AtOnce`]): a crash loses those, with all that came after, or none.
//! 3. [`Transactions::oldest`] never passes a snapshot that is held, nor one about to be taken.
//! 4. A wait that would close a circle of waits is refused at once; the one who would have closed it is the victim.
//! 5. No lock of this crate is held while a caller's code runs, except the commit order lock in [`Transactions::commit`] and
//!    [`Transactions::quiesce`].
//!
//! Not here: how rows are stored (`delta`), what a log record means (`engine`). Nothing here reads or writes a file.
//! Source: PostgreSQL's `transam/README` and `lmgr/README`; the visible prefix is Spanner's and CockroachDB's closed timestamp
//! on one node.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod advisory;
mod cancel;
mod commits;
mod lock;
mod rows;
mod serializable;
mod session;
mod snapshots;
mod tables;
mod transactions;
mod version;
mod waits;

pub use advisory::{AdvisoryKey, Until};
pub use cancel::Cancel;
pub use commits::{Acknowledge, CommitTicket, Failed};
pub use lock::LockMode;
pub use rows::RowLock;
pub use serializable::{SerialTransaction, Serializable, SerializationFailure};
pub use session::SessionId;
pub use snapshots::SnapshotGuard;
pub use transactions::{Counters, HeldLock, LockObject, Outcome, Transactions};
pub use version::{Snapshot, Version};
pub use waits::{WaitError, WaitLimits};

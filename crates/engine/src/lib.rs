//! The storage engine: transactions over a row store that is merged, in the background, into column segments.
//!
//! ```text
//!  begin ... insert, modify ... commit          read_view            maintenance job
//!        |                         |                |                  | freeze   cold rows of the delta -> a new segment
//!        v                         v                v                  | compact  overlapping or dead-heavy segments -> new ones
//!   delta: versions by key     log record       snapshot S:            | checkpoint  everything at F -> manifest, log cut below it
//!                                               delta + segments       v collect  files that nobody names
//! ```
//!
//! 1. At any snapshot each live row is produced by exactly one place: a delta slot or one segment position (I1).
//! 2. Commit order = log order = timestamp order (I3). A commit is acknowledged, and visible to others, once it is on disk,
//!    but for one that asked not to wait for that ([`Transaction::commit_later`]).
//! 3. The log carries commits only: rows by key, catalog edits, files of bulk loads; and, with each end of a transaction that took
//!    values of sequences, how far those are. Freeze and compaction move rows without
//!    changing them; they become durable with the next manifest and are simply done again if a crash comes first.
//! 4. A manifest describes the whole database at its timestamp F (I4); recovery = load(F), then redo of commits after F.
//! 5. Nothing uncommitted reaches the log or a manifest (I5).
//!
//! Not here: SQL, expressions, clients. Everything below runs on an [`env::Env`], so a whole engine runs in the simulation.
//! Source: SingleStore's rowstore over column segments, HyPer's undo images, LevelDB's version sets; see `docs/architecture.md`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod advisory;
mod bulk;
mod burial;
mod check;
mod checkpoint;
mod commit;
mod compact;
mod directory;
mod engine;
mod error;
mod freeze;
pub mod fuzzing;
mod maintenance;
mod options;
mod owed;
mod packing;
mod pressure;
mod published;
mod range;
mod read_view;
mod recovery;
mod redo;
mod repair;
mod reserve;
mod scrub;
mod sequences;
mod session;
mod status;
mod table;
mod transaction;
mod workers;

pub use advisory::Advisory;
pub use bulk::Bulk;
pub use check::Finding;
pub use commit::Commit;
pub use engine::Engine;
pub use error::EngineError;
pub use options::Options;
pub use owed::{KeyLock, Owed};
pub use range::{RangeCursor, RangeOf, RowBlock};
pub use read_view::{ReadView, SegmentView, TableView};
pub use repair::Repair;
pub use scrub::ScrubStatus;
pub use sequences::{Given, Position, Sequences};
pub use session::{EngineSession, SessionLocks};
pub use status::{Status, TableStatus};
pub use transaction::{Begin, Change, Inserted, Isolation, Locked, Modified, OnLocked, Place, Savepoint, Transaction};

/// Set to stop what a transaction is doing; see [`Begin::cancel`].
pub use txn::Cancel;
/// How strongly [`Transaction::lock_row`] locks.
pub use txn::RowLock;
/// What [`Advisory`] locks and how, and what [`Engine::locks`] says.
pub use txn::{AdvisoryKey, HeldLock, LockMode, LockObject, SessionId, Until};

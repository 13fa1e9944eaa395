//! Changes of the log done again, by two threads where there are two.
//!
//! ```text
//! add(change) --by its key--> half 0 | half 1 --1 MiB, or apply()--> this thread | a worker --> the tables
//! ```
//!
//! 1. All changes of one key are in one half, in their order. Those of other keys do not see each other.
//! 2. Whoever does anything else to the tables, or looks at them, calls [`Applier::apply`] before.

use std::sync::Arc;

use delta::{Base, Expect, Newest, PutOutcome, Write};
use env::{Env, Signal};
use parking_lot::Mutex;
use types::{CommitTs, Key, Row, TxnId};

use crate::error::EngineError;
use crate::table::TableStore;
use crate::workers::Workers;

/// Under which redo writes; no transaction has it.
pub(crate) const REDO: TxnId = TxnId(0);

/// Bytes of the log whose changes are gathered before they are done.
const BATCH_BYTES: usize = 1 << 20;

/// Fewer changes are done here: to wake another thread takes as long.
const SHARED_MIN: usize = 64;

/// A row that is put or, without one, deleted.
pub(crate) struct Change {
    pub(crate) store: Arc<TableStore>,
    pub(crate) key: Key,
    pub(crate) row: Option<Row>,
    pub(crate) ts: CommitTs,
}

/// See the module's head.
pub(crate) struct Applier {
    env: Arc<dyn Env>,
    worker: Option<Workers>,
    halves: [Vec<Change>; 2],
    bytes: usize,
    answer: Arc<Answer>,
}

/// What the worker has done: its half, empty, and how it went.
struct Answer {
    given: Mutex<Option<(Vec<Change>, Result<(), EngineError>)>>,
    changed: Arc<dyn Signal>,
}

/// A task of the worker. Dropped before it is done it leaves an error: who waits learns of it.
struct Task {
    answer: Arc<Answer>,
    changes: Vec<Change>,
    outcome: Result<(), EngineError>,
}

impl Task {
    fn run(mut self) {
        self.outcome = apply_all(&mut self.changes);
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let outcome = std::mem::replace(&mut self.outcome, Ok(()));
        *self.answer.given.lock() = Some((std::mem::take(&mut self.changes), outcome));
        self.answer.changed.notify_all();
    }
}

impl Applier {
    /// One that uses a second thread if there may be more than one.
    pub(crate) fn new(env: Arc<dyn Env>, threads: usize) -> Applier {
        let answer = Arc::new(Answer { given: Mutex::default(), changed: env.signal() });
        Applier { env, worker: (threads > 1).then(|| Workers::new(1)), halves: Default::default(), bytes: 0, answer }
    }

    /// Does a change soon, which `bytes` of the log stand for. Errors: those of it and of earlier ones.
    pub(crate) fn add(&mut self, change: Change, bytes: usize) -> Result<(), EngineError> {
        let is_other = match env::seeded_bug("changes-of-a-key-split") {
            true => self.halves[1].len() < self.halves[0].len(),
            false => is_odd(&change.key),
        };
        let half = usize::from(self.worker.is_some() && is_other);
        self.halves[half].push(change);
        self.bytes += bytes;
        if self.bytes < BATCH_BYTES { Ok(()) } else { self.apply() }
    }

    /// Does all changes that were added. Errors: as [`write`]; those of damaged segments are noted with their table instead.
    pub(crate) fn apply(&mut self) -> Result<(), EngineError> {
        self.bytes = 0;
        let count = self.halves.iter().map(Vec::len).sum::<usize>();
        let [own, others] = &mut self.halves;
        let Some(worker) = self.worker.as_ref().filter(|_| count >= SHARED_MIN) else {
            return apply_all(own).and_then(|()| apply_all(others));
        };
        let lost = Err(EngineError::Bug("a task of recovery panicked".into()));
        let task = Task { answer: Arc::clone(&self.answer), changes: std::mem::take(others), outcome: lost };
        worker.run(self.env.as_ref(), Box::new(|| task.run()));
        let outcome = apply_all(own);
        self.answer.changed.wait_until(&mut || self.answer.given.lock().is_some(), None);
        let Some((emptied, theirs)) = self.answer.given.lock().take() else {
            return Err(EngineError::Bug("a task of recovery gave no answer".into()));
        };
        *others = emptied;
        outcome.and(theirs)
    }
}

impl Drop for Applier {
    fn drop(&mut self) {
        if let Some(worker) = &self.worker {
            worker.stop();
        }
    }
}

/// By the last bytes of a key, in which neighbours differ.
fn is_odd(key: &[u8]) -> bool {
    let hash = key.iter().rev().take(8).fold(0u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 63 == 1
}

fn apply_all(changes: &mut Vec<Change>) -> Result<(), EngineError> {
    for Change { store, key, row, ts } in changes.drain(..) {
        if store.damage().is_some() {
            continue;
        }
        match write(&store, &key, row.as_ref().map_or(Write::Deleted, Write::Row), ts) {
            // The record itself is whole.
            Err(error @ EngineError::Segment(_)) if error.is_corrupt() => store.set_damaged(&error),
            done => done?,
        }
    }
    Ok(())
}

/// Puts a version on top of whatever there is.
fn write(store: &TableStore, key: &Key, write: Write<'_>, ts: CommitTs) -> Result<(), EngineError> {
    let (expect, in_segment) = match store.delta.newest(key, REDO) {
        Newest::Row { version, .. } | Newest::Deleted { version } => (Expect::Version(version), None),
        Newest::InSegment { version } => (Expect::Version(version), store.find_newest(key)?),
        Newest::NoSlot => match store.find_newest(key)? {
            None => (Expect::NoSlot(Base::Absent), None),
            found => (Expect::NoSlot(Base::InSegment), found),
        },
        Newest::Blocked(txn) => return Err(EngineError::Bug(format!("transaction {txn} holds a row during recovery"))),
    };
    if let Some((live, position)) = in_segment {
        store.bury(&live, position, ts);
    }
    put(store, key, expect, write, ts)
}

/// Puts a version as of `ts`. Errors: the row is too big, or it is not what is expected.
pub(crate) fn put(store: &TableStore, key: &Key, expect: Expect, write: Write<'_>, ts: CommitTs) -> Result<(), EngineError> {
    match store.delta.put(key, REDO, expect, write) {
        PutOutcome::Done(slot) => {
            store.delta.stamp(slot, REDO, ts);
            Ok(())
        }
        PutOutcome::TooBig => Err(EngineError::RowTooBig),
        PutOutcome::Changed => Err(EngineError::Bug("a row changed during recovery".into())),
    }
}

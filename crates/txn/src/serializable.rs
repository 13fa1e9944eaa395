//! SERIALIZABLE: which transactions read what others have written anew, and who has to give way.
//!
//! ```text
//! Tin --rw--> Tpivot --rw--> Tout        a --rw--> b: a has read what b, at work at the same time, has written another version of
//!                                        dangerous if Tout is the first of the three to commit: one of the others fails with 40001
//! ```
//!
//! 1. What a transaction reads and writes is noted by what it asked for: a key, the keys between two, a table. An index is a table too, so
//!    a row that would have been found counts as read.
//!    What is written counts as read only once it is undone: until then nobody else can write it.
//! 2. Both are noted under one lock, and each looks for the other: no dependency is missed, whichever comes first. As all its reads are of
//!    one snapshot, it does not matter whether a read is noted before or after it is done.
//! 3. Two transactions depend on each other only if neither saw the other as committed. What one has noted is kept until none is left that
//!    began before its end, and until new snapshots see it.
//! 4. A READ ONLY transaction fails only if Tout committed before its snapshot. One that nobody in progress can bring that about for is
//!    not noted at all; DEFERRABLE waits for such a moment.
//! 5. Notes have a bound: many keys of a table become the whole table, and if all notes together are too many, the oldest transaction in
//!    progress, which makes them be kept, has to give way.
//!
//! Transactions of other levels are not noted: as in PostgreSQL, the promise is among those that ask for it.
//!
//! Source: Cahill, Röhm, Fekete: Serializable isolation for snapshot databases (2008); Ports, Grittner: Serializable snapshot isolation in
//! PostgreSQL (2012), and PostgreSQL 15 `README-SSI` for which of the three fails; precision locking of HyPer for the notes.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use env::Signal;
use parking_lot::Mutex;
use types::{CommitTs, TableId};

use crate::cancel::Cancel;
use crate::snapshots::SnapshotGuard;

mod notes;

use notes::{Noted, Notes};

/// Notes of all transactions together: some 200 MB.
const NOTES_MAX: usize = 1 << 20;

/// A serializable transaction must not go on (40001).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SerializationFailure {
    /// It, or what it depends on, would be the pivot of a dangerous structure.
    #[error("read/write dependencies among transactions")]
    Dependencies,
    /// Others have made so many notes since it began that they cannot all be kept.
    #[error("too many reads and writes since the transaction began")]
    TooMany,
}

/// The transactions whose reads are noted.
pub struct Serializable {
    state: Mutex<State>,
    notes_max: usize,
    ended: Arc<dyn Signal>,
}

/// One of them, until it ends. Dropping it without [`SerialTransaction::end`] is its rollback.
pub struct SerialTransaction {
    all: Arc<Serializable>,
    id: u64,
    ended: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Counts ends.
    sequence: u64,
    id_next: u64,
    transactions: HashMap<u64, Transaction>,
    /// In progress, oldest first.
    active: BTreeSet<u64>,
    /// In the order of their commits.
    committed: VecDeque<u64>,
    /// New snapshots see commits up to this one, at least.
    visible: CommitTs,
    notes: Notes,
}

struct Transaction {
    snapshot: CommitTs,
    /// Ends before it began.
    began: u64,
    read_only: bool,
    end: Option<End>,
    failed: Option<SerializationFailure>,
    /// Those that have read what it has written anew.
    readers: Vec<u64>,
    /// Of those that have written anew what it has read, the first to commit, if that was before itself.
    first_writer: Option<End>,
    noted: Noted,
}

/// The commit of one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct End {
    sequence: u64,
    /// [`CommitTs::ZERO`] if it has written nothing.
    ts: CommitTs,
}

impl Transaction {
    /// Whether `other`, at its beginning, saw it as committed.
    fn is_before(&self, other: &Transaction) -> bool {
        match self.end {
            None => false,
            Some(End { sequence, ts: CommitTs::ZERO }) => sequence <= other.began,
            Some(end) => end.ts <= other.snapshot,
        }
    }

    fn is_active(&self) -> bool {
        self.end.is_none() && self.failed.is_none()
    }

    /// Whether a commit was the first beside its own, if it has one.
    fn ends_after(&self, first: End) -> bool {
        self.end.is_none_or(|end| first.sequence <= end.sequence)
    }
}

impl State {
    fn check(&self, id: u64) -> Result<(), SerializationFailure> {
        match self.transactions.get(&id).and_then(|transaction| transaction.failed) {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    /// `reader` has read what `writer` has written anew; one of them is `me`.
    fn depend(&mut self, reader: u64, writer: u64, me: u64) -> Result<(), SerializationFailure> {
        let (Some(read), Some(wrote)) = (self.transactions.get(&reader), self.transactions.get(&writer)) else { return Ok(()) };
        let apart = read.is_before(wrote) || wrote.is_before(read);
        let over = read.failed.is_some() || wrote.failed.is_some();
        if reader == writer || apart || over || wrote.readers.contains(&reader) {
            return Ok(());
        }
        // reader --> writer --> first
        let by_writer = wrote.first_writer.is_some_and(|first| {
            read.ends_after(first) && wrote.ends_after(first) && (!read.read_only || first.ts <= read.snapshot)
        });
        // other --> reader --> writer
        let by_reader = wrote.end.is_some_and(|first| {
            let others = read.readers.iter().filter_map(|other| self.transactions.get(other));
            others
                .filter(|other| other.failed.is_none())
                .any(|other| other.ends_after(first) && (!other.read_only || first.ts <= other.snapshot))
        });
        let (end, is_over) = (wrote.end, wrote.end.is_some());
        if let Some(wrote) = self.transactions.get_mut(&writer) {
            wrote.readers.push(reader);
        }
        if let (Some(end), Some(read)) = (end, self.transactions.get_mut(&reader))
            && read.ends_after(end)
        {
            read.first_writer = Some(read.first_writer.map_or(end, |first| first.min(end)));
        }
        if !by_writer && !by_reader {
            return Ok(());
        }
        if me == writer || is_over {
            return Err(SerializationFailure::Dependencies);
        }
        self.fail(writer, SerializationFailure::Dependencies);
        Ok(())
    }

    fn fail(&mut self, id: u64, failure: SerializationFailure) {
        if let Some(transaction) = self.transactions.get_mut(&id) {
            transaction.failed.get_or_insert(failure);
        }
    }

    /// Ends a transaction. Those that would be the pivot between one in progress and this one, which is the first to commit, must fail.
    fn commit(&mut self, id: u64, ts: CommitTs) -> Result<(), SerializationFailure> {
        self.check(id)?;
        let Some(me) = self.transactions.get(&id) else { return Ok(()) };
        let readers = me.readers.clone();
        for pivot in &readers {
            let Some(found) = self.transactions.get(pivot).filter(|found| found.is_active()) else { continue };
            let is_dangerous = found.readers.iter().any(|other| {
                let other_is_it = self.transactions.get(other).is_some_and(|other| other.is_active() && !other.read_only);
                *other == id || other_is_it
            });
            if is_dangerous {
                self.fail(*pivot, SerializationFailure::Dependencies);
            }
        }
        self.sequence += 1;
        let end = End { sequence: self.sequence, ts };
        for reader in &readers {
            if let Some(read) = self.transactions.get_mut(reader).filter(|read| read.end.is_none()) {
                read.first_writer = Some(read.first_writer.map_or(end, |first| first.min(end)));
            }
        }
        if let Some(me) = self.transactions.get_mut(&id) {
            me.end = Some(end);
        }
        self.active.remove(&id);
        self.committed.push_back(id);
        Ok(())
    }

    fn remove(&mut self, id: u64) {
        if let Some(transaction) = self.transactions.remove(&id) {
            self.notes.forget(id, transaction.noted);
        }
        self.active.remove(&id);
    }

    /// Forgets those that nobody can depend on any more.
    fn forget(&mut self) {
        while let Some(id) = self.committed.front().copied() {
            let is_needed = self.transactions.get(&id).is_some_and(|committed| {
                committed.end.is_some_and(|end| end.ts > self.visible)
                    || self.active.iter().filter_map(|id| self.transactions.get(id)).any(|other| !committed.is_before(other))
            });
            if is_needed {
                break;
            }
            self.remove(id);
            self.committed.pop_front();
        }
    }
}

impl Serializable {
    /// Nobody is in progress.
    pub fn new(ended: Arc<dyn Signal>) -> Serializable {
        Serializable { state: Mutex::default(), notes_max: NOTES_MAX, ended }
    }

    /// A transaction begins with a snapshot, which `snapshot` takes (short, without waiting). `None`: its reads need not be noted, as it
    /// is READ ONLY and nobody can be in its way.
    pub fn begin(
        self: &Arc<Self>,
        read_only: bool,
        snapshot: impl FnOnce() -> SnapshotGuard,
    ) -> (SnapshotGuard, Option<SerialTransaction>) {
        let mut state = self.state.lock();
        let guard = snapshot();
        if read_only && !state.is_unsafe(guard.ts) {
            return (guard, None);
        }
        let id = state.id_next;
        state.id_next += 1;
        let transaction = Transaction {
            snapshot: guard.ts,
            began: state.sequence,
            read_only,
            end: None,
            failed: None,
            readers: Vec::new(),
            first_writer: None,
            noted: Noted::default(),
        };
        state.transactions.insert(id, transaction);
        state.active.insert(id);
        drop(state);
        (guard, Some(SerialTransaction { all: Arc::clone(self), id, ended: AtomicBool::new(false) }))
    }

    /// A snapshot for READ ONLY DEFERRABLE: one that needs no notes. Waits for it, until `cancel` is set; None then.
    pub fn begin_deferrable(self: &Arc<Self>, cancel: &Cancel, snapshot: impl Fn() -> SnapshotGuard) -> Option<SnapshotGuard> {
        loop {
            let (guard, noted) = self.begin(true, &snapshot);
            let Some(noted) = noted else { return Some(guard) };
            let mut at_work: Vec<u64> = {
                let state = self.state.lock();
                let writes = |id: &&u64| state.transactions.get(id).is_some_and(|other| !other.read_only);
                state.active.iter().filter(writes).copied().collect()
            };
            let _registration = cancel.register(&self.ended);
            let mut ready = || {
                let state = self.state.lock();
                at_work.retain(|id| state.active.contains(id));
                at_work.is_empty() || cancel.is_set()
            };
            self.ended.wait_until(&mut ready, None);
            if cancel.is_set() {
                return None;
            }
            let is_unsafe = self.state.lock().has_unsafe_commit(guard.ts);
            drop(noted);
            if !is_unsafe {
                return Some(guard);
            }
        }
    }

    /// Transactions that are kept, ended ones too, and notes.
    pub fn counts(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.transactions.len(), state.notes.len())
    }
}

impl State {
    /// Whether a READ ONLY transaction with this snapshot could be a Tin.
    fn is_unsafe(&self, snapshot: CommitTs) -> bool {
        self.active.iter().filter_map(|id| self.transactions.get(id)).any(|other| !other.read_only)
            || self.has_unsafe_commit(snapshot)
    }

    /// Whether one that committed after this snapshot has read what one before it has written anew.
    fn has_unsafe_commit(&self, snapshot: CommitTs) -> bool {
        let committed = self.committed.iter().filter_map(|id| self.transactions.get(id));
        let mut late = committed.filter(|other| other.end.is_some_and(|end| end.ts > snapshot));
        late.any(|other| other.first_writer.is_some_and(|first| first.ts <= snapshot))
    }
}

impl SerialTransaction {
    /// Notes something read and looks who has written it; `what` notes it, and finds them.
    fn read(&self, what: impl FnOnce(&mut Notes, &mut Noted, u64) -> Vec<u64>) -> Result<(), SerializationFailure> {
        self.note(what, |state, me, other| state.depend(me, other, me))
    }

    /// Notes something written and looks who has read it.
    fn write(&self, what: impl FnOnce(&mut Notes, &mut Noted, u64) -> Vec<u64>) -> Result<(), SerializationFailure> {
        self.note(what, |state, me, other| state.depend(other, me, me))
    }

    fn note(
        &self,
        what: impl FnOnce(&mut Notes, &mut Noted, u64) -> Vec<u64>,
        depend: impl Fn(&mut State, u64, u64) -> Result<(), SerializationFailure>,
    ) -> Result<(), SerializationFailure> {
        let mut state = self.all.state.lock();
        let state = &mut *state;
        state.check(self.id)?;
        let Some(transaction) = state.transactions.get_mut(&self.id) else { return Ok(()) };
        for other in what(&mut state.notes, &mut transaction.noted, self.id) {
            depend(state, self.id, other)?;
        }
        if state.notes.len() > self.all.notes_max
            && let Some(oldest) = state.active.first().copied()
        {
            // It may wait for its client: its notes go at once, and what is kept because of it.
            state.fail(oldest, SerializationFailure::TooMany);
            state.active.remove(&oldest);
            if let Some(transaction) = state.transactions.get_mut(&oldest) {
                let noted = std::mem::take(&mut transaction.noted);
                state.notes.forget(oldest, noted);
            }
            state.forget();
        }
        state.check(self.id)
    }

    /// It has looked for a key, whether there is a row or not.
    pub fn read_key(&self, table: TableId, key: &[u8]) -> Result<(), SerializationFailure> {
        self.read(|notes, noted, me| notes.read_key(noted, me, table, key))
    }

    /// It has read all rows between two keys.
    pub fn read_range(&self, table: TableId, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Result<(), SerializationFailure> {
        self.read(|notes, noted, me| notes.read_range(noted, me, table, from, to))
    }

    /// It has read a table.
    pub fn read_table(&self, table: TableId) -> Result<(), SerializationFailure> {
        self.read(|notes, noted, me| notes.read_table(noted, me, table))
    }

    /// It has written a key.
    pub fn write_key(&self, table: TableId, key: &[u8]) -> Result<(), SerializationFailure> {
        self.write(|notes, noted, me| notes.write_key(noted, me, table, key))
    }

    /// It has written any number of rows of a table.
    pub fn write_table(&self, table: TableId) -> Result<(), SerializationFailure> {
        self.write(|notes, noted, me| notes.write_table(noted, me, table))
    }

    /// It undoes something that it has written. What that depended on it has read all the same, and until now nobody else could write it: call
    /// it before they can. If it must not go on because of that, it is told so with its next call.
    pub fn undo(&self) {
        if let Err(failure) = self.read(|notes, noted, me| notes.read_written(noted, me)) {
            self.all.state.lock().fail(self.id, failure);
        }
    }

    /// It commits, at `ts` if it has written something: call it where timestamps are taken, so that the order is the same. If that fails
    /// afterwards, drop it. Errors: it must not.
    pub fn commit(&self, ts: Option<CommitTs>) -> Result<(), SerializationFailure> {
        self.all.state.lock().commit(self.id, ts.unwrap_or(CommitTs::ZERO))
    }

    /// It is over; with `committed` after [`SerialTransaction::commit`]. New snapshots see commits up to `visible`.
    pub fn end(&self, committed: bool, visible: CommitTs) {
        if self.ended.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut state = self.all.state.lock();
        if !committed {
            state.remove(self.id);
            state.committed.retain(|id| *id != self.id);
        }
        state.visible = state.visible.max(visible);
        state.forget();
        drop(state);
        self.all.ended.notify_all();
    }
}

impl Drop for SerialTransaction {
    fn drop(&mut self) {
        self.end(false, CommitTs::ZERO);
    }
}

#[cfg(test)]
mod tests;

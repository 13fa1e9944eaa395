//! Locks of rows that are not written: SELECT FOR UPDATE and its kin.
//!
//! ```text
//!                 KEY SHARE   SHARE   NO KEY UPDATE   UPDATE        a write holds its row as NO KEY UPDATE, a deletion as UPDATE
//! KEY SHARE           .         .           .            x
//! SHARE               .         .           x            x          x: the second waits for the first to end
//! NO KEY UPDATE       .         x           x            x
//! UPDATE              x         x           x            x
//! ```
//!
//! 1. Who writes a row puts its version, and who locks it looks for such a version, under the same mutex: neither misses the other.
//!    So a row's lock needs no version of its own, and is neither logged nor seen by snapshots.
//! 2. Locks are kept in the order they were taken: a savepoint's are given back from the end.
//! 3. A transaction's own locks and versions are never in its way.
//!
//! Not here: waiting (`transactions`), versions (`delta`). Source: PostgreSQL 15, chapter 13.3.2 and `README.tuplock`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{DefaultHasher, Hash, Hasher};

use parking_lot::Mutex;
use types::{Key, TableId, TxnId};

const SHARDS: usize = 256;

/// How strongly a row is locked, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowLock {
    /// Its key stays, and it is not deleted.
    KeyShare,
    /// It stays as it is.
    Share,
    /// Only the holder changes it; others may refer to its key.
    NoKeyUpdate,
    /// Only the holder does anything to it.
    Update,
}

impl RowLock {
    /// Whether two transactions cannot hold these at once.
    pub const fn conflicts(self, other: RowLock) -> bool {
        self as u8 + other as u8 >= 3
    }
}

/// One who holds a row.
#[derive(Clone, Copy, Debug)]
struct Holder {
    txn: TxnId,
    table: TableId,
    lock: RowLock,
}

/// By key, of whatever table; mostly one.
type Holders = HashMap<Key, Vec<Holder>>;

/// A lock as its holder remembers it: what it held before, if anything, is its again if this is given back.
pub(crate) struct Held {
    table: TableId,
    key: Key,
    before: Option<RowLock>,
}

pub(crate) struct RowLocks {
    shards: Box<[Mutex<Holders>]>,
}

impl Default for RowLocks {
    fn default() -> RowLocks {
        RowLocks { shards: std::iter::repeat_with(Mutex::default).take(SHARDS).collect() }
    }
}

impl RowLocks {
    fn shard(&self, table: TableId, key: &Key) -> &Mutex<Holders> {
        let mut hasher = DefaultHasher::new();
        (table, key).hash(&mut hasher);
        &self.shards[hasher.finish() as usize % SHARDS]
    }

    /// Locks a row for `me` unless another has it. `writer` says whose version in progress is in the way. Returns what to remember,
    /// none if `me` has the lock already. Errors: who is in the way.
    pub(crate) fn lock(
        &self,
        me: TxnId,
        table: TableId,
        key: &Key,
        lock: RowLock,
        writer: impl FnOnce() -> Option<TxnId>,
    ) -> Result<Option<Held>, TxnId> {
        let mut shard = self.shard(table, key).lock();
        let row = Row { me, table, lock };
        let holders = shard.get_mut(key);
        if let Some(holder) = row.blocker(holders.as_deref()).or_else(writer) {
            return Err(holder);
        }
        let held = |before| Some(Held { table, key: key.clone(), before });
        let new = Holder { txn: me, table, lock };
        let Some(holders) = holders else {
            shard.insert(key.clone(), vec![new]);
            return Ok(held(None));
        };
        match holders.iter_mut().find(|holder| holder.txn == me && holder.table == table) {
            Some(have) if have.lock >= lock => Ok(None),
            Some(have) => Ok(held(Some(std::mem::replace(&mut have.lock, lock)))),
            None => {
                holders.push(new);
                Ok(held(None))
            }
        }
    }

    /// Calls `write`, which puts a version of `me`, unless another's lock is in its way. Errors: whose.
    pub(crate) fn write<R>(
        &self,
        me: TxnId,
        table: TableId,
        key: &Key,
        lock: RowLock,
        write: impl FnOnce() -> R,
    ) -> Result<R, TxnId> {
        let shard = self.shard(table, key).lock();
        match (Row { me, table, lock }).blocker(shard.get(key)) {
            Some(holder) => Err(holder),
            None => Ok(write()),
        }
    }

    /// Gives a lock back.
    pub(crate) fn unlock(&self, me: TxnId, held: Held) {
        let mut shard = self.shard(held.table, &held.key).lock();
        let Entry::Occupied(mut entry) = shard.entry(held.key) else { return };
        let is_it = |holder: &Holder| holder.txn == me && holder.table == held.table;
        match held.before {
            Some(before) => entry.get_mut().iter_mut().filter(|holder| is_it(holder)).for_each(|holder| holder.lock = before),
            None => entry.get_mut().retain(|holder| !is_it(holder)),
        }
        if entry.get().is_empty() {
            entry.remove();
        }
    }

    #[cfg(test)]
    fn rows(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }
}

/// What is asked for.
struct Row {
    me: TxnId,
    table: TableId,
    lock: RowLock,
}

impl Row {
    fn blocker(&self, holders: Option<&Vec<Holder>>) -> Option<TxnId> {
        let in_way = |holder: &&Holder| holder.table == self.table && holder.txn != self.me && holder.lock.conflicts(self.lock);
        holders?.iter().find(in_way).map(|holder| holder.txn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RowLock::{KeyShare, NoKeyUpdate, Share, Update};

    const TABLE: TableId = TableId(7);

    fn key() -> Key {
        Key::from(&b"k"[..])
    }

    #[test]
    fn locks_conflict_as_in_postgresql() {
        // PostgreSQL 15, table 13.3.
        let conflicts = [
            (KeyShare, [false, false, false, true]),
            (Share, [false, false, true, true]),
            (NoKeyUpdate, [false, true, true, true]),
            (Update, [true, true, true, true]),
        ];
        for (held, expected) in conflicts {
            for (asked, expected) in [KeyShare, Share, NoKeyUpdate, Update].into_iter().zip(expected) {
                let locks = RowLocks::default();
                assert!(locks.lock(TxnId(1), TABLE, &key(), held, || None).is_ok());
                assert!(locks.write(TxnId(1), TABLE, &key(), asked, || ()).is_ok(), "one's own lock is not in the way");
                let blocked = locks.lock(TxnId(2), TABLE, &key(), asked, || None).is_err();
                assert_eq!(blocked, expected, "{asked:?} after {held:?}");
                assert_eq!(locks.write(TxnId(2), TABLE, &key(), asked, || ()).is_err(), expected, "a write as {asked:?}");
            }
        }
    }

    #[test]
    fn what_is_given_back_leaves_what_was_held_before() {
        let locks = RowLocks::default();
        let share = locks.lock(TxnId(1), TABLE, &key(), Share, || None).unwrap().unwrap();
        let update = locks.lock(TxnId(1), TABLE, &key(), Update, || None).unwrap().unwrap();
        assert!(locks.lock(TxnId(1), TABLE, &key(), KeyShare, || None).unwrap().is_none(), "held already");
        assert_eq!(locks.lock(TxnId(2), TABLE, &key(), KeyShare, || None).err(), Some(TxnId(1)));
        locks.unlock(TxnId(1), update);
        assert!(locks.lock(TxnId(2), TABLE, &key(), Share, || None).is_ok());
        assert_eq!(locks.lock(TxnId(2), TABLE, &key(), Update, || None).err(), Some(TxnId(1)));
        locks.unlock(TxnId(1), share);
        assert!(locks.lock(TxnId(2), TABLE, &key(), Update, || None).is_ok());
        assert_eq!(locks.rows(), 1);
    }

    #[test]
    fn a_version_in_progress_is_in_the_way() {
        let locks = RowLocks::default();
        assert_eq!(locks.lock(TxnId(1), TABLE, &key(), KeyShare, || Some(TxnId(9))).err(), Some(TxnId(9)));
        assert_eq!(locks.rows(), 0, "nothing is held then");
    }
}

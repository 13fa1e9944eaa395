//! What constraints that are looked at late need of a transaction: a list of what is still to be looked at, locks of keys, and whether a
//! row is there now.
//!
//! ```text
//! child:   row in --> lock of the key, shared    --> is the parent there, now?       the lock is kept to the end
//! parent:  row out --> lock of the key, exclusive --> which children are there, now?
//! unique:  row in --> lock of the values, exclusive --> is there another such row, now?
//! ```
//!
//! 1. Of one who refers to a key and one who takes it away, the second to ask for the lock sees what the first has done: there is never
//!    a child without its parent.
//! 2. Those who refer to the same key share its lock, and changes of other columns of the parent do not concern it.
//! 3. Past some number of keys a transaction locks the whole parent table against writers instead.
//!
//! Not here: what is to be done about them (`sql`). Source: PostgreSQL 15 `ri_triggers.c`; its locks are KEY SHARE of the row.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use delta::{Found, Newest};
use txn::{LockMode, Snapshot};
use types::{CommitTs, Key, Oid, Row, TableId};

use crate::error::EngineError;
use crate::transaction::Transaction;

/// Keys of which a transaction keeps locks, at most: about 1 MB.
const KEY_LOCKS_MAX: usize = 10_000;

/// Something about a constraint to be looked at when the statement, or the transaction, ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owed {
    /// A row refers to another table, by this constraint.
    Reference {
        /// The constraint.
        constraint: Oid,
        /// The row's key.
        row: Key,
        /// It refers to what it did before, under another key: looked at when everything else has been.
        moved: bool,
    },
    /// A row that the constraint may refer to is gone, or has other values now.
    Referenced {
        /// The constraint.
        constraint: Oid,
        /// The row as it was.
        old: Row,
        /// The row as it is.
        new: Option<Row>,
    },
    /// An entry of a deferrable unique index is new: no other may have its values.
    Unique {
        /// The constraint.
        constraint: Oid,
        /// What the keys of such entries begin with.
        values: Key,
    },
}

/// What is owed; each thing comes of a change, whose redo is longer and has a bound.
#[derive(Default)]
pub(crate) struct OwedList {
    /// By the statement.
    pub(crate) now: Vec<Owed>,
    /// By the transaction.
    pub(crate) at_end: Vec<Owed>,
}

/// How the lock of a key is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyLock {
    /// The key stays.
    Shared,
    /// The key goes.
    Exclusive,
}

impl Transaction {
    /// Adds to what the statement owes.
    pub fn owe(&mut self, owed: Owed) {
        self.owed.now.push(owed);
    }

    /// Whether the statement owes anything.
    pub fn owes(&self) -> bool {
        !self.owed.now.is_empty()
    }

    /// What the statement owes, which is settled by the caller.
    pub fn take_owed(&mut self) -> Vec<Owed> {
        std::mem::take(&mut self.owed.now)
    }

    /// Leaves something for the end of the transaction.
    pub fn defer(&mut self, owed: Owed) {
        self.owed.at_end.push(owed);
    }

    /// What has been left for the end of the transaction.
    pub fn deferred(&self) -> &[Owed] {
        &self.owed.at_end
    }

    /// Locks a key of a table until the transaction ends, whether there is a row of it or not. Nobody else writes the table's definition
    /// meanwhile. Errors: 40P01, 55P03, 57014.
    pub fn lock_key(&mut self, table: TableId, key: &[u8], lock: KeyLock) -> Result<(), EngineError> {
        let me = self.write_id()?;
        if self.key_locks >= KEY_LOCKS_MAX {
            return self.lock(me, table, LockMode::Exclusive);
        }
        self.lock(me, table, LockMode::Shared)?;
        self.key_locks += 1;
        let mut hasher = DefaultHasher::new();
        (table, key).hash(&mut hasher);
        // No table has such an id. Two keys with the same one only wait for each other without need.
        let id = TableId(hasher.finish() as u32 | 1 << 31);
        let mode = match lock {
            KeyLock::Shared => LockMode::Shared,
            KeyLock::Exclusive => LockMode::Exclusive,
        };
        self.lock(me, id, mode)
    }

    /// Whether there is a row with this key, whose lock is held: committed by anyone by now, or own. REPEATABLE READ: that its snapshot
    /// sees too; 40001 if it only saw it.
    pub fn has_now(&mut self, table: TableId, key: &[u8]) -> Result<bool, EngineError> {
        let me = self.write_id()?;
        let own = self.tables.iter().find(|t| t.store.id() == table);
        let (store, own) = match own {
            Some(touched) => (Arc::clone(&touched.store), Arc::clone(&touched.own)),
            None => (self.engine.store(table)?, Arc::default()),
        };
        let committed = Snapshot { ts: CommitTs::MAX, own: None };
        let exists = loop {
            let newest = store.delta.newest(key, me);
            let below = match &newest {
                Newest::Row { .. } => break true,
                Newest::Deleted { .. } => break false,
                // Whoever holds it leaves its key, or will see what this transaction refers to; what others have committed below it
                // counts, on disk or not.
                Newest::Blocked(_) => store.delta.get_columns(key, &committed, Some(&[])),
                Newest::InSegment { .. } => Found::InSegment,
                Newest::NoSlot => Found::NoSlot,
            };
            let found = match below {
                Found::Row(_) => true,
                Found::Deleted => false,
                Found::InSegment | Found::NoSlot => own.find_loaded(key)?.is_some() || store.find_newest(key)?.is_some(),
            };
            if found || store.delta.newest(key, me) == newest {
                break found;
            }
        };
        if self.isolation().keeps_snapshot() {
            return match (exists, self.look_up_unnoted(table, key, Some(&[]))?.is_some()) {
                (false, true) => Err(EngineError::Conflict("update")),
                (exists, seen) => Ok(exists && seen),
            };
        }
        Ok(exists)
    }
}

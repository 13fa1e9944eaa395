//! Table locks: statements share a table, DDL has it alone.
//!
//! ```text
//!   table 7   holders: T1 shared, T2 shared      queue: T3 exclusive, T4 shared, T5 shared
//!             T4 and T5 would fit with the holders but wait behind T3, so that T3 gets its turn
//! ```
//!
//! 1. Locks are held to the end of the transaction, but for one given back before anything was done; asking again for what is held is
//!    free.
//! 2. First come, first served, but for one who holds the table shared and asks for it exclusively: it goes before those who hold
//!    nothing, because they could not go before it anyway.
//! 3. Whoever changes holders or queue grants what has become free, before unlocking.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use env::Signal;
use parking_lot::Mutex;
use types::{TableId, TxnId};

const SHARDS: usize = 16;

/// How a transaction uses a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TableLock {
    /// It reads or writes rows; others may too.
    Shared,
    /// It changes or drops the table; nobody else uses it.
    Exclusive,
}

impl fmt::Display for TableLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TableLock::Shared => "shared lock",
            TableLock::Exclusive => "exclusive lock",
        })
    }
}

/// What a waiter waits on.
pub(crate) struct Grant {
    granted: AtomicBool,
    pub(crate) signal: Arc<dyn Signal>,
}

struct Waiter {
    txn: TxnId,
    lock: TableLock,
    grant: Arc<Grant>,
}

#[derive(Default)]
struct Table {
    holders: HashMap<TxnId, TableLock>,
    queue: VecDeque<Waiter>,
}

#[derive(Default)]
pub(crate) struct TableLocks {
    shards: [Mutex<HashMap<TableId, Table>>; SHARDS],
}

/// The answer to asking for a lock.
pub(crate) enum Asked {
    /// The transaction held the table as strongly already.
    Held,
    /// It holds it now; `first` if it held nothing on this table before.
    Granted { first: bool },
    /// Others keep it from it.
    Blocked,
}

impl Grant {
    pub(crate) fn is_granted(&self) -> bool {
        self.granted.load(Ordering::SeqCst)
    }
}

impl Table {
    fn fits(&self, txn: TxnId, lock: TableLock) -> bool {
        match lock {
            TableLock::Shared => self.holders.iter().all(|(holder, held)| *holder == txn || *held == TableLock::Shared),
            TableLock::Exclusive => self.holders.keys().all(|holder| *holder == txn),
        }
    }

    fn ask(&mut self, txn: TxnId, lock: TableLock) -> Asked {
        let held = self.holders.get(&txn).copied();
        if held >= Some(lock) {
            return Asked::Held;
        }
        if (held.is_some() || self.queue.is_empty()) && self.fits(txn, lock) {
            self.holders.insert(txn, lock);
            return Asked::Granted { first: held.is_none() };
        }
        Asked::Blocked
    }

    fn enqueue(&mut self, waiter: Waiter) {
        let at = if self.holders.contains_key(&waiter.txn) {
            self.queue.iter().position(|other| !self.holders.contains_key(&other.txn)).unwrap_or(self.queue.len())
        } else {
            self.queue.len()
        };
        self.queue.insert(at, waiter);
    }

    /// Grants from the front of the queue what fits.
    fn grant(&mut self) {
        while self.queue.front().is_some_and(|waiter| self.fits(waiter.txn, waiter.lock)) {
            let waiter = self.queue.pop_front().expect("there is a front");
            self.holders.insert(waiter.txn, waiter.lock);
            waiter.grant.granted.store(true, Ordering::SeqCst);
            waiter.grant.signal.notify_all();
        }
    }

    /// Those who keep `txn` from the lock it is queued for.
    fn blockers(&self, txn: TxnId) -> Vec<TxnId> {
        let Some(at) = self.queue.iter().position(|waiter| waiter.txn == txn) else {
            return Vec::new();
        };
        let lock = self.queue[at].lock;
        let conflicts = |other: TxnId, held: TableLock| other != txn && lock.max(held) == TableLock::Exclusive;
        let holders = self.holders.iter().map(|(txn, held)| (*txn, *held));
        let ahead = self.queue.iter().take(at).map(|waiter| (waiter.txn, waiter.lock));
        let mut all: Vec<_> = holders.chain(ahead).filter(|(txn, held)| conflicts(*txn, *held)).map(|(txn, _)| txn).collect();
        all.sort_unstable();
        all
    }
}

impl TableLocks {
    fn with<R>(&self, table: TableId, f: impl FnOnce(&mut Table) -> R) -> R {
        let mut tables = self.shards[table.0 as usize % SHARDS].lock();
        let state = tables.entry(table).or_default();
        let result = f(state);
        if state.holders.is_empty() && state.queue.is_empty() {
            tables.remove(&table);
        }
        result
    }

    pub(crate) fn ask(&self, txn: TxnId, table: TableId, lock: TableLock) -> Asked {
        self.with(table, |state| state.ask(txn, lock))
    }

    /// Asks once more, and queues if that is in vain.
    pub(crate) fn ask_or_enqueue(
        &self,
        txn: TxnId,
        table: TableId,
        lock: TableLock,
        signal: Arc<dyn Signal>,
    ) -> Result<Asked, Arc<Grant>> {
        self.with(table, |state| match state.ask(txn, lock) {
            Asked::Blocked => {
                let grant = Arc::new(Grant { granted: AtomicBool::new(false), signal });
                state.enqueue(Waiter { txn, lock, grant: Arc::clone(&grant) });
                Err(grant)
            }
            asked => Ok(asked),
        })
    }

    /// Leaves the queue, unless the lock was granted meanwhile.
    pub(crate) fn dequeue(&self, txn: TxnId, table: TableId, grant: &Grant) {
        self.with(table, |state| {
            if !grant.is_granted() {
                state.queue.retain(|waiter| waiter.txn != txn);
                state.grant();
            }
        });
    }

    pub(crate) fn release(&self, txn: TxnId, table: TableId) {
        self.with(table, |state| {
            state.holders.remove(&txn);
            state.grant();
        });
    }

    pub(crate) fn blockers(&self, txn: TxnId, table: TableId) -> Vec<TxnId> {
        self.with(table, |state| state.blockers(txn))
    }

    /// How `txn` holds `table`.
    pub(crate) fn held(&self, txn: TxnId, table: TableId) -> Option<TableLock> {
        self.with(table, |state| state.holders.get(&txn).copied())
    }
}

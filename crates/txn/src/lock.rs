//! A lock that many share or one has alone, with a queue.
//!
//! ```text
//!   holders: T1 shared, T2 shared      queue: T3 exclusive, T4 shared, T5 shared
//!   T4 and T5 would fit with the holders but wait behind T3, so that T3 gets its turn
//! ```
//!
//! 1. First come, first served, but for one who holds it shared and asks for it exclusively: it goes before those who hold nothing,
//!    because they could not go before it anyway.
//! 2. Whoever changes holders or queue grants what has become free, before unlocking the structure the lock is in.
//!
//! Not here: what is locked, and by whom (`tables`, `advisory`); waiting, and deadlocks (`transactions`, `waits`).
//! Source: PostgreSQL 15 `lmgr/README`.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use env::Signal;

/// How a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LockMode {
    /// With others who share it.
    Shared,
    /// By one alone.
    Exclusive,
}

impl LockMode {
    /// PostgreSQL's name of the mode of a table's lock that keeps off the same.
    pub const fn of_table(self) -> &'static str {
        match self {
            LockMode::Shared => "RowExclusiveLock",
            LockMode::Exclusive => "AccessExclusiveLock",
        }
    }

    /// PostgreSQL's name of the mode of an advisory lock.
    pub const fn of_number(self) -> &'static str {
        match self {
            LockMode::Shared => "ShareLock",
            LockMode::Exclusive => "ExclusiveLock",
        }
    }
}

/// What a waiter waits on.
pub(crate) struct Grant {
    granted: AtomicBool,
    pub(crate) signal: Arc<dyn Signal>,
}

impl Grant {
    pub(crate) fn is_granted(&self) -> bool {
        self.granted.load(Ordering::SeqCst)
    }
}

struct Waiter<O> {
    owner: O,
    mode: LockMode,
    grant: Arc<Grant>,
}

/// Held and waited for by owners of type `O`.
pub(crate) struct Lock<O> {
    holders: HashMap<O, LockMode>,
    queue: VecDeque<Waiter<O>>,
}

impl<O> Default for Lock<O> {
    fn default() -> Lock<O> {
        Lock { holders: HashMap::new(), queue: VecDeque::new() }
    }
}

/// The answer to asking for a lock.
pub(crate) enum Asked {
    /// It was held as strongly already.
    Held,
    /// It is held now; `first` if nothing was held before.
    Granted { first: bool },
    /// Others keep it from who asks.
    Blocked,
}

impl<O: Copy + Eq + Hash + Ord> Lock<O> {
    fn fits(&self, owner: O, mode: LockMode) -> bool {
        match mode {
            LockMode::Shared => self.holders.iter().all(|(holder, held)| *holder == owner || *held == LockMode::Shared),
            LockMode::Exclusive => self.holders.keys().all(|holder| *holder == owner),
        }
    }

    pub(crate) fn ask(&mut self, owner: O, mode: LockMode) -> Asked {
        let held = self.held(owner);
        if held >= Some(mode) {
            return Asked::Held;
        }
        if (held.is_some() || self.queue.is_empty()) && self.fits(owner, mode) {
            self.holders.insert(owner, mode);
            return Asked::Granted { first: held.is_none() };
        }
        Asked::Blocked
    }

    /// For one whom [`Lock::ask`] has answered that others are in the way.
    pub(crate) fn enqueue(&mut self, owner: O, mode: LockMode, signal: Arc<dyn Signal>) -> Arc<Grant> {
        let grant = Arc::new(Grant { granted: AtomicBool::new(false), signal });
        let at = if self.holders.contains_key(&owner) {
            self.queue.iter().position(|other| !self.holders.contains_key(&other.owner)).unwrap_or(self.queue.len())
        } else {
            self.queue.len()
        };
        self.queue.insert(at, Waiter { owner, mode, grant: Arc::clone(&grant) });
        grant
    }

    /// Leaves the queue, unless the lock was granted meanwhile.
    pub(crate) fn dequeue(&mut self, grant: &Arc<Grant>) {
        if !grant.is_granted() {
            self.queue.retain(|waiter| !Arc::ptr_eq(&waiter.grant, grant));
            self.grant();
        }
    }

    /// Holds it more weakly from now on, or not at all.
    pub(crate) fn weaken(&mut self, owner: O, to: Option<LockMode>) {
        match to {
            Some(mode) => self.holders.insert(owner, mode),
            None => self.holders.remove(&owner),
        };
        self.grant();
    }

    /// Grants from the front of the queue what fits.
    fn grant(&mut self) {
        while self.queue.front().is_some_and(|waiter| self.fits(waiter.owner, waiter.mode)) {
            let Some(waiter) = self.queue.pop_front() else { break };
            let held = self.holders.entry(waiter.owner).or_insert(waiter.mode);
            *held = waiter.mode.max(*held);
            waiter.grant.granted.store(true, Ordering::SeqCst);
            waiter.grant.signal.notify_all();
        }
    }

    /// Those who keep `owner` from the lock it is queued for.
    pub(crate) fn blockers(&self, owner: O) -> Vec<O> {
        let Some(at) = self.queue.iter().position(|waiter| waiter.owner == owner) else {
            return Vec::new();
        };
        let mode = self.queue[at].mode;
        let conflicts = |other: O, held: LockMode| other != owner && mode.max(held) == LockMode::Exclusive;
        let holders = self.holders.iter().map(|(owner, held)| (*owner, *held));
        let ahead = self.queue.iter().take(at).map(|waiter| (waiter.owner, waiter.mode));
        let mut all: Vec<O> =
            holders.chain(ahead).filter(|(owner, held)| conflicts(*owner, *held)).map(|(owner, _)| owner).collect();
        all.sort_unstable();
        all
    }

    pub(crate) fn held(&self, owner: O) -> Option<LockMode> {
        self.holders.get(&owner).copied()
    }

    /// Nobody holds it or waits for it.
    pub(crate) fn is_free(&self) -> bool {
        self.holders.is_empty() && self.queue.is_empty()
    }
}

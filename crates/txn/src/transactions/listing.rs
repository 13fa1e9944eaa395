//! What is held and waited for, for people who look.

use types::{TableId, TxnId};

use super::Transactions;
use crate::advisory::AdvisoryKey;
use crate::session::Party;
use crate::waits::WaitsFor;

/// What a lock is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockObject {
    /// A transaction, held by itself until it ends: who wants a row of its waits for that.
    Transaction(TxnId),
    /// A table; or, with the highest bit set, keys of tables that hash to the rest.
    Table(TableId),
    /// Numbers that clients give a meaning.
    Advisory(AdvisoryKey),
}

/// A lock that is held or waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldLock {
    /// What is locked.
    pub on: LockObject,
    /// The transaction it is for, if it is for one.
    pub txn: Option<TxnId>,
    /// What the client knows the session by; `None` for background work.
    pub process: Option<i32>,
    /// As PostgreSQL names it.
    pub mode: &'static str,
    /// False: it is waited for.
    pub granted: bool,
}

impl Transactions {
    /// What is held and waited for now. Not all of one moment.
    pub fn locks(&self) -> Vec<HeldLock> {
        let mut locks = Vec::new();
        for shard in &self.active {
            for (txn, active) in shard.lock().iter() {
                let process = active.session.map(|session| session.process);
                let mut held = |on, mode| locks.push(HeldLock { on, txn: Some(*txn), process, mode, granted: true });
                held(LockObject::Transaction(*txn), "ExclusiveLock");
                for table in &active.tables {
                    if let Some(mode) = self.tables.held(*txn, *table) {
                        held(LockObject::Table(*table), mode.of_table());
                    }
                }
            }
        }
        self.advisory.each_held(|session, key, mode| {
            let process = Some(session.process);
            locks.push(HeldLock { on: LockObject::Advisory(key), txn: None, process, mode: mode.of_number(), granted: true });
        });
        for (party, wait) in self.waits.lock().each() {
            let (on, txn, mode) = match wait {
                WaitsFor::End(txn) => (LockObject::Transaction(*txn), None, "ShareLock"),
                WaitsFor::Table(txn, table, mode) => (LockObject::Table(*table), Some(*txn), mode.of_table()),
                WaitsFor::Advisory(key, mode) => (LockObject::Advisory(*key), None, mode.of_number()),
            };
            locks.push(HeldLock { on, txn, process: party.session().map(|session| session.process), mode, granted: false });
        }
        locks
    }

    /// The sessions that keep one from what it waits for, by what their clients know them by.
    pub fn blocking(&self, process: i32) -> Vec<i32> {
        let waits = self.waits.lock();
        let own = waits.each().filter(|(party, _)| party.session().is_some_and(|session| session.process == process));
        let blockers = own.flat_map(|(party, wait)| self.blockers(party, wait));
        blockers.filter_map(Party::session).map(|session| session.process).collect()
    }
}

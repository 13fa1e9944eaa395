//! Waiting for one another, and finding the circle before it closes.
//!
//! ```text
//!   S1 --row--> S2 --table 7--> S3        S3 asks to wait for S1: S3 -> S1 -> S2 -> S3 is a circle, so S3 is refused
//! ```
//!
//! Edges are added under one lock, each after a search from its end; they only ever vanish otherwise. So a circle is found by
//! the wait that would close it, at once, and the others in it go on when the victim rolls back.
//!
//! Source: PostgreSQL's `lmgr/README` (waits-for graph, edges to those ahead in the queue); we look at once, not after a second.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Write;
use std::time::Duration;

use types::{TableId, TxnId};

use crate::advisory::AdvisoryKey;
use crate::cancel::Cancel;
use crate::lock::LockMode;
use crate::session::Party;

/// When to give up a wait.
#[derive(Clone, Copy)]
pub struct WaitLimits<'a> {
    /// Give up after this long; zero gives up instead of waiting at all (`NOWAIT`); `None` waits for ever.
    pub timeout: Option<Duration>,
    /// Give up when this is set.
    pub cancel: &'a Cancel,
}

/// Why a wait ended without what was waited for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WaitError {
    /// Waiting would have closed a circle of waits (40P01).
    #[error("deadlock detected")]
    Deadlock {
        /// One line for each wait of the circle.
        detail: String,
    },
    /// [`WaitLimits::timeout`] has passed (55P03).
    #[error("lock timeout")]
    Timeout,
    /// [`WaitLimits::cancel`] was set (57014).
    #[error("canceled while waiting for a lock")]
    Cancelled,
    /// There are as many advisory locks as there may be (53200).
    #[error("too many locks")]
    TooMany,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitsFor {
    /// The end of a transaction that holds a row.
    End(TxnId),
    /// A lock on a table, for a transaction.
    Table(TxnId, TableId, LockMode),
    Advisory(AdvisoryKey, LockMode),
}

/// The waits now going on: mostly one of each who waits; threads that work for one statement may have one each.
#[derive(Default)]
pub(crate) struct Waits {
    of: HashMap<Party, Vec<WaitsFor>>,
}

/// Who keeps one from what it waits for.
pub(crate) type Blockers<'a> = &'a dyn Fn(Party, &WaitsFor) -> Vec<Party>;

impl Waits {
    /// Adds the wait of `me`, unless that closes a circle.
    pub(crate) fn add(&mut self, me: Party, waits_for: WaitsFor, blockers: Blockers<'_>) -> Result<(), WaitError> {
        self.of.entry(me).or_default().push(waits_for);
        match self.circle(me, blockers) {
            None => Ok(()),
            Some(circle) => {
                let detail = self.describe(&circle);
                self.remove(me, waits_for);
                Err(WaitError::Deadlock { detail })
            }
        }
    }

    pub(crate) fn remove(&mut self, me: Party, waits_for: WaitsFor) {
        if let Entry::Occupied(mut waits) = self.of.entry(me) {
            let at = waits.get().iter().position(|wait| *wait == waits_for);
            at.map(|at| waits.get_mut().swap_remove(at));
            if waits.get().is_empty() {
                waits.remove();
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.of.values().map(Vec::len).sum()
    }

    pub(crate) fn each(&self) -> impl Iterator<Item = (Party, &WaitsFor)> {
        self.of.iter().flat_map(|(party, waits)| waits.iter().map(|wait| (*party, wait)))
    }

    fn blockers(&self, party: Party, blockers: Blockers<'_>) -> Vec<Party> {
        self.of.get(&party).into_iter().flatten().flat_map(|wait| blockers(party, wait)).collect()
    }

    /// Those of a circle through `me`, `me` first, each waiting for the next and the last for `me`.
    fn circle(&self, me: Party, blockers: Blockers<'_>) -> Option<Vec<Party>> {
        // Depth first; `reached_from` is also the set of those seen.
        let mut reached_from: HashMap<Party, Party> = HashMap::new();
        let mut next = vec![me];
        while let Some(party) = next.pop() {
            for blocker in self.blockers(party, blockers) {
                if blocker == me {
                    let mut circle = vec![party];
                    while circle[0] != me {
                        circle.insert(0, reached_from[&circle[0]]);
                    }
                    return Some(circle);
                }
                if let Entry::Vacant(seen_first) = reached_from.entry(blocker) {
                    seen_first.insert(party);
                    next.push(blocker);
                }
            }
        }
        None
    }

    /// As PostgreSQL words it, where there is the same thing.
    fn describe(&self, circle: &[Party]) -> String {
        let mut detail = String::new();
        for (at, party) in circle.iter().enumerate() {
            let blocker = circle[(at + 1) % circle.len()];
            let newline = if at == 0 { "" } else { "\n" };
            let mut who = party.to_string();
            who[..1].make_ascii_uppercase();
            let what = match self.of.get(party).and_then(|waits| waits.first()) {
                Some(WaitsFor::Table(_, table, mode)) => format!("{} on table {table}", mode.of_table()),
                Some(WaitsFor::Advisory(key, mode)) => format!("{} on {key}", mode.of_number()),
                Some(WaitsFor::End(txn)) => format!("ShareLock on transaction {txn}"),
                None => continue,
            };
            let _infallible = write!(detail, "{newline}{who} waits for {what}; blocked by {blocker}.");
        }
        detail
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::SessionId;

    fn alone(txn: u64) -> Party {
        Party::Alone(TxnId(txn))
    }

    fn ends(_: Party, waits_for: &WaitsFor) -> Vec<Party> {
        match waits_for {
            WaitsFor::End(txn) => vec![Party::Alone(*txn)],
            WaitsFor::Table(..) | WaitsFor::Advisory(..) => vec![alone(3), alone(9)],
        }
    }

    /// Adds row waits in order; the last must be refused (with the circle) or accepted.
    fn closes_a_circle(edges: &[(u64, u64)]) -> bool {
        let mut waits = Waits::default();
        let (last, before) = edges.split_last().unwrap();
        for (from, to) in before {
            waits.add(alone(*from), WaitsFor::End(TxnId(*to)), &ends).unwrap();
        }
        waits.add(alone(last.0), WaitsFor::End(TxnId(last.1)), &ends).is_err()
    }

    #[test]
    fn the_wait_that_closes_a_circle_is_refused() {
        let cases: [(&[(u64, u64)], bool); 7] = [
            (&[(1, 2)], false),
            (&[(1, 1)], true),
            (&[(1, 2), (2, 1)], true),
            (&[(1, 2), (3, 2), (4, 2)], false),
            (&[(1, 2), (2, 3), (3, 4), (4, 1)], true),
            (&[(1, 2), (2, 3), (4, 1)], false),
            (&[(1, 2), (2, 3), (4, 1), (3, 4)], true),
        ];
        for (edges, circle) in cases {
            assert_eq!(closes_a_circle(edges), circle, "{edges:?}");
        }
    }

    #[test]
    fn the_detail_names_every_wait_of_the_circle() {
        let mut waits = Waits::default();
        let session = Party::Session(SessionId { number: 7, process: 70 });
        waits.add(alone(1), WaitsFor::End(TxnId(2)), &ends).unwrap();
        waits.add(alone(2), WaitsFor::Table(TxnId(2), TableId(7), LockMode::Exclusive), &ends).unwrap();
        let refused = waits.add(alone(3), WaitsFor::End(TxnId(1)), &ends);
        let detail = "Transaction 3 waits for ShareLock on transaction 1; blocked by transaction 1.\n\
            Transaction 1 waits for ShareLock on transaction 2; blocked by transaction 2.\n\
            Transaction 2 waits for AccessExclusiveLock on table 7; blocked by transaction 3.";
        assert_eq!(refused, Err(WaitError::Deadlock { detail: detail.into() }));
        assert_eq!(waits.len(), 2, "the refused wait is not recorded");
        let key = AdvisoryKey { database: 5, class: 0, object: 1, numbers: 1 };
        let refused = waits.add(session, WaitsFor::Advisory(key, LockMode::Exclusive), &|_, _| vec![session]);
        let detail = "Process 70 waits for ExclusiveLock on advisory lock [5,0,1,1]; blocked by process 70.";
        assert_eq!(refused, Err(WaitError::Deadlock { detail: detail.into() }));
        waits.remove(alone(1), WaitsFor::End(TxnId(2)));
        waits.remove(alone(2), WaitsFor::Table(TxnId(2), TableId(7), LockMode::Exclusive));
        assert_eq!(waits.len(), 0);
    }
}

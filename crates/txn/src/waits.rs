//! Waiting for one another, and finding the circle before it closes.
//!
//! ```text
//!   T1 --row--> T2 --table 7--> T3        T3 asks to wait for T1: T3 -> T1 -> T2 -> T3 is a circle, so T3 is refused
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

use crate::cancel::Cancel;
use crate::tables::TableLock;

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
}

/// What a transaction waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitsFor {
    /// The end of a transaction that holds a row.
    End(TxnId),
    /// A lock on a table.
    Table(TableId, TableLock),
}

/// The waits now going on.
#[derive(Default)]
pub(crate) struct Waits {
    of: HashMap<TxnId, WaitsFor>,
}

impl Waits {
    /// Adds the wait of `me`, unless that closes a circle. `table_blockers(txn, table)` are the transactions that keep `txn` from
    /// its lock on `table`.
    pub(crate) fn add(
        &mut self,
        me: TxnId,
        waits_for: WaitsFor,
        table_blockers: &dyn Fn(TxnId, TableId) -> Vec<TxnId>,
    ) -> Result<(), WaitError> {
        self.of.insert(me, waits_for);
        match self.circle(me, table_blockers) {
            None => Ok(()),
            Some(circle) => {
                let detail = self.describe(&circle);
                self.of.remove(&me);
                Err(WaitError::Deadlock { detail })
            }
        }
    }

    pub(crate) fn remove(&mut self, me: TxnId) {
        self.of.remove(&me);
    }

    pub(crate) fn len(&self) -> usize {
        self.of.len()
    }

    /// The transactions of a circle through `me`, `me` first, each waiting for the next and the last for `me`.
    fn circle(&self, me: TxnId, table_blockers: &dyn Fn(TxnId, TableId) -> Vec<TxnId>) -> Option<Vec<TxnId>> {
        let blockers = |txn| match self.of.get(&txn) {
            None => Vec::new(),
            Some(WaitsFor::End(holder)) => vec![*holder],
            Some(WaitsFor::Table(table, _)) => table_blockers(txn, *table),
        };
        // Depth first; `reached_from` is also the set of those seen.
        let mut reached_from: HashMap<TxnId, TxnId> = HashMap::new();
        let mut next = vec![me];
        while let Some(txn) = next.pop() {
            for blocker in blockers(txn) {
                if blocker == me {
                    let mut circle = vec![txn];
                    while circle[0] != me {
                        circle.insert(0, reached_from[&circle[0]]);
                    }
                    return Some(circle);
                }
                if let Entry::Vacant(seen_first) = reached_from.entry(blocker) {
                    seen_first.insert(txn);
                    next.push(blocker);
                }
            }
        }
        None
    }

    fn describe(&self, circle: &[TxnId]) -> String {
        let mut detail = String::new();
        for (at, txn) in circle.iter().enumerate() {
            let blocker = circle[(at + 1) % circle.len()];
            let newline = if at == 0 { "" } else { "\n" };
            let _infallible = match self.of.get(txn) {
                Some(WaitsFor::Table(table, lock)) => {
                    write!(
                        detail,
                        "{newline}Transaction {txn} waits for {lock} on table {table}; blocked by transaction {blocker}."
                    )
                }
                _ => write!(detail, "{newline}Transaction {txn} waits for transaction {blocker}, which holds a row it wants."),
            };
        }
        detail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds row waits in order; the last must be refused (with the circle) or accepted.
    fn closes_a_circle(edges: &[(u64, u64)]) -> bool {
        let mut waits = Waits::default();
        let (last, before) = edges.split_last().unwrap();
        for (from, to) in before {
            waits.add(TxnId(*from), WaitsFor::End(TxnId(*to)), &|_, _| Vec::new()).unwrap();
        }
        waits.add(TxnId(last.0), WaitsFor::End(TxnId(last.1)), &|_, _| Vec::new()).is_err()
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
        let blockers = |_, _| vec![TxnId(3), TxnId(9)];
        waits.add(TxnId(1), WaitsFor::End(TxnId(2)), &blockers).unwrap();
        waits.add(TxnId(2), WaitsFor::Table(TableId(7), TableLock::Exclusive), &blockers).unwrap();
        let refused = waits.add(TxnId(3), WaitsFor::End(TxnId(1)), &blockers);
        let detail = "Transaction 3 waits for transaction 1, which holds a row it wants.\n\
            Transaction 1 waits for transaction 2, which holds a row it wants.\n\
            Transaction 2 waits for exclusive lock on table 7; blocked by transaction 3.";
        assert_eq!(refused, Err(WaitError::Deadlock { detail: detail.into() }));
        assert_eq!(waits.len(), 2, "the refused wait is not recorded");
    }
}

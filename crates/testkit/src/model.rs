//! What the database should hold: one map for each commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use types::{CommitTs, Key};

use crate::tables::Content;

/// The rows of every table after a commit: by table and key. A table without rows has no entries.
pub(crate) type State = BTreeMap<(usize, Key), Content>;

/// A change of one row: None deletes it.
pub(crate) type Changes = BTreeMap<(usize, Key), Option<Content>>;

/// Rows that a transaction has deleted; what it has put under their keys since are other rows.
pub(crate) type Ended = BTreeSet<(usize, Key)>;

/// Every state there was, in commit order.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    states: Vec<(CommitTs, Arc<State>)>,
    acknowledged: usize,
    /// When a row with that key ended last.
    ended: BTreeMap<(usize, Key), CommitTs>,
}

impl Model {
    pub(crate) fn new(first: CommitTs) -> Model {
        Model { states: vec![(first, Arc::default())], acknowledged: 1, ended: BTreeMap::new() }
    }

    /// The database starts as this.
    pub(crate) fn replace_first(&mut self, state: Arc<State>) {
        self.states[0].1 = state;
    }

    /// A transaction was committed at `ts`.
    pub(crate) fn commit(&mut self, ts: CommitTs, changes: &Changes, ended: &Ended) {
        let mut next = State::clone(&self.newest());
        apply(&mut next, changes);
        assert!(ts > self.states.last().unwrap().0, "commits are in timestamp order");
        self.states.push((ts, Arc::new(next)));
        self.ended.extend(ended.iter().map(|key| (key.clone(), ts)));
    }

    /// Commits up to `ts` have been acknowledged.
    pub(crate) fn acknowledge(&mut self, ts: CommitTs) {
        self.acknowledged = self.acknowledged.max(self.states.partition_point(|(at, _)| *at <= ts));
    }

    /// The state after the last commit.
    pub(crate) fn newest(&self) -> Arc<State> {
        Arc::clone(&self.states.last().unwrap().1)
    }

    /// The state a snapshot at `ts` sees.
    pub(crate) fn at(&self, ts: CommitTs) -> Arc<State> {
        Arc::clone(&self.states[self.states.partition_point(|(at, _)| *at <= ts) - 1].1)
    }

    /// The newest version of the row that a snapshot at `ts` sees under a key; None if it sees none, or the row has ended since.
    pub(crate) fn goes_on(&self, ts: CommitTs, key: &(usize, Key)) -> Option<Content> {
        let has_ended = self.ended.get(key).is_some_and(|ended| *ended > ts);
        if has_ended || !self.at(ts).contains_key(key) {
            return None;
        }
        self.newest().get(key).cloned()
    }

    /// After a crash: `found` must be the state after some commit, not before the last acknowledged one. Later commits are forgotten.
    /// Returns how many commits that nobody was told of survived, and how many did not.
    pub(crate) fn recover(&mut self, found: &State) -> Result<(usize, usize), String> {
        let possible = self.acknowledged - 1..self.states.len();
        // Of several equal states the last: it keeps most.
        let Some(kept) = possible.clone().rev().find(|&n| *self.states[n].1 == *found) else {
            let before = self.states[..self.acknowledged - 1].iter().rposition(|(_, s)| **s == *found);
            let nearest = &self.states[self.acknowledged - 1].1;
            return Err(match before {
                Some(n) => format!(
                    "acknowledged commits are lost: the state is that of commit {n}, {} were acknowledged",
                    self.acknowledged - 1
                ),
                None => format!(
                    "the state is that after no commit; against the last acknowledged one: {}",
                    difference(nearest, found)
                ),
            });
        };
        let lost = self.states.len() - 1 - kept;
        let survived = kept + 1 - self.acknowledged;
        self.states.truncate(kept + 1);
        self.acknowledged = kept + 1;
        // The clients are gone, and so are their snapshots.
        self.ended.clear();
        Ok((survived, lost))
    }

    /// Forgets states before `ts` that nobody looks at any more.
    pub(crate) fn forget_before(&mut self, ts: CommitTs) {
        let keep = self.states.partition_point(|(at, _)| *at <= ts).min(self.acknowledged).saturating_sub(1);
        self.states.drain(..keep);
        self.acknowledged -= keep;
    }
}

pub(crate) fn apply(state: &mut State, changes: &Changes) {
    for (key, change) in changes {
        match change {
            Some(content) => state.insert(key.clone(), content.clone()),
            None => state.remove(key),
        };
    }
}

/// The first few rows in which two states differ.
pub(crate) fn difference(expected: &State, found: &State) -> String {
    let missing = expected.iter().filter(|(k, v)| found.get(*k) != Some(*v)).take(3);
    let extra = found.iter().filter(|(k, v)| expected.get(*k) != Some(*v)).take(3);
    format!(
        "{} rows expected, {} found; expected {:?}; found {:?}",
        expected.len(),
        found.len(),
        missing.collect::<Vec<_>>(),
        extra.collect::<Vec<_>>()
    )
}

//! Which snapshots are held, and so how far back versions must be kept.
//!
//! ```text
//!   shard 0: (ts 40, 2 holders) (ts 43, 1)        register: lock own shard, read `visible`, count it there
//!   shard 1: (ts 41, 1)                           oldest:   read `visible` FIRST, then the least of every shard
//! ```
//!
//! Why nothing is missed: a registration that `oldest` did not find in a shard locks that shard after `oldest` left it, so it
//! reads `visible` after `oldest` did, and `visible` never decreases.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use types::{CommitTs, TxnId};

use crate::version::Snapshot;

/// More than the cores of most machines: threads rarely share a shard.
const SHARDS: usize = 16;

#[repr(align(128))]
#[derive(Default)]
struct Shard {
    /// (timestamp, holders), ascending; nearly always one is added at the back and taken from the front.
    held: Mutex<VecDeque<(CommitTs, u32)>>,
}

pub(crate) struct Snapshots {
    visible: Visible,
    shards: [Arc<Shard>; SHARDS],
}

/// Apart from everything else: who begins a statement reads it, who commits writes it.
#[repr(align(128))]
struct Visible(AtomicU64);

/// A registered snapshot: while it lives, the versions it sees are kept. Cloning registers it once more.
pub struct SnapshotGuard {
    snapshot: Snapshot,
    shard: Arc<Shard>,
}

impl Snapshots {
    pub(crate) fn new(visible: CommitTs) -> Snapshots {
        Snapshots { visible: Visible(AtomicU64::new(visible.0)), shards: Default::default() }
    }

    pub(crate) fn visible(&self) -> CommitTs {
        CommitTs(self.visible.0.load(Ordering::SeqCst))
    }

    /// Snapshots read at `ts` from now on.
    pub(crate) fn publish(&self, ts: CommitTs) {
        self.visible.0.fetch_max(ts.0, Ordering::SeqCst);
    }

    pub(crate) fn take(&self, own: Option<TxnId>) -> SnapshotGuard {
        let shard = &self.shards[env::thread_number() % SHARDS];
        let mut held = shard.held.lock();
        let ts = self.visible();
        count(&mut held, ts);
        drop(held);
        SnapshotGuard { snapshot: Snapshot { ts, own }, shard: Arc::clone(shard) }
    }

    pub(crate) fn oldest(&self) -> CommitTs {
        let mut oldest = self.visible();
        for shard in &self.shards {
            if let Some((ts, _)) = shard.held.lock().front() {
                oldest = oldest.min(*ts);
            }
        }
        oldest
    }

    pub(crate) fn needed(&self) -> Vec<CommitTs> {
        let visible = self.visible();
        let mut needed = self.held();
        // One that is held and later came to be while we looked; others like it may have been missed.
        needed.retain(|ts| *ts < visible);
        needed.push(visible);
        needed
    }

    /// The timestamps of all held snapshots, ascending, each once.
    pub(crate) fn held(&self) -> Vec<CommitTs> {
        let mut all: Vec<_> =
            self.shards.iter().flat_map(|shard| shard.held.lock().iter().map(|(ts, _)| *ts).collect::<Vec<_>>()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

fn count(held: &mut VecDeque<(CommitTs, u32)>, ts: CommitTs) {
    match held.back_mut() {
        Some((last, holders)) if *last == ts => *holders += 1,
        Some((last, _)) if *last > ts => match held.binary_search_by_key(&ts, |(ts, _)| *ts) {
            Ok(at) => held[at].1 += 1,
            Err(at) => held.insert(at, (ts, 1)),
        },
        _ => held.push_back((ts, 1)),
    }
}

impl Clone for SnapshotGuard {
    fn clone(&self) -> SnapshotGuard {
        count(&mut self.shard.held.lock(), self.snapshot.ts);
        SnapshotGuard { snapshot: self.snapshot, shard: Arc::clone(&self.shard) }
    }
}

impl Deref for SnapshotGuard {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.snapshot
    }
}

impl Drop for SnapshotGuard {
    fn drop(&mut self) {
        let mut held = self.shard.held.lock();
        let at = held.binary_search_by_key(&self.snapshot.ts, |(ts, _)| *ts).expect("a guard's snapshot is registered");
        held[at].1 -= 1;
        if held[at].1 == 0 {
            held.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_is_the_least_held_else_visible() {
        let snapshots = Arc::new(Snapshots::new(CommitTs(5)));
        assert_eq!(snapshots.oldest(), CommitTs(5));
        let five = snapshots.take(None);
        snapshots.publish(CommitTs(8));
        let eight = snapshots.take(None);
        let five_again = five.clone();
        assert_eq!((five.ts, eight.ts, snapshots.oldest()), (CommitTs(5), CommitTs(8), CommitTs(5)));
        drop(five);
        assert_eq!(snapshots.oldest(), CommitTs(5), "the clone still holds it");
        drop(five_again);
        assert_eq!((snapshots.oldest(), snapshots.held()), (CommitTs(8), vec![CommitTs(8)]));
        snapshots.publish(CommitTs(7));
        assert_eq!(snapshots.visible(), CommitTs(8), "visible never decreases");
        drop(eight);
        assert!(snapshots.held().is_empty());
    }

    #[test]
    fn needed_are_the_held_moments_and_the_visible_one() {
        let snapshots = Arc::new(Snapshots::new(CommitTs(5)));
        let five = snapshots.take(None);
        snapshots.publish(CommitTs(7));
        let seven = snapshots.take(None);
        snapshots.publish(CommitTs(9));
        assert_eq!(snapshots.needed(), [CommitTs(5), CommitTs(7), CommitTs(9)]);
        drop(seven);
        assert_eq!(snapshots.needed(), [CommitTs(5), CommitTs(9)]);
        drop(five);
        assert_eq!(snapshots.needed(), [CommitTs(9)]);
    }
}

//! The commit queue: from a timestamp taken to a commit that everybody may see.
//!
//! ```text
//!   queue, in order of timestamp:  [42 stamped, lsn 900] [43 -, lsn 960] [44 stamped, lsn 1010]      durable = 1000
//!   42 is stamped and durable: visible = 42.  43 holds back 44 until it is stamped, whatever the log says.
//! ```
//!
//! 1. `order` is held from taking a timestamp to having it in the queue, the caller's append to the log included; `queue` only
//!    for moments, never while a caller's code runs. The log writer needs only `queue`, so an append may wait for the writer.
//! 2. A timestamp whose append failed was never used: the next commit gets it.
//! 3. After a failure of the log nothing becomes visible any more; who waits is told so.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use env::{Signal, lock_blocking};
use parking_lot::{Mutex, MutexGuard};
use types::{CommitTs, Lsn, TxnId};

use crate::snapshots::{SnapshotGuard, Snapshots};

/// The place of a commit in the order of commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitTicket {
    /// Its timestamp.
    pub ts: CommitTs,
    /// The end of its log record.
    pub lsn: Lsn,
}

/// The log has failed: whether the commit survives a restart is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log has failed: {cause}")]
pub struct Failed {
    /// What the log said.
    pub cause: Arc<str>,
}

pub(crate) type Callback = Box<dyn FnOnce(Result<(), Failed>) + Send>;

/// When a commit is acknowledged, and visible to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledge {
    /// Once its record is on disk.
    OnDisk,
    /// At once, if those before it are visible: a crash may lose it, with all that came later.
    AtOnce,
}

struct Entry {
    lsn: Lsn,
    /// Visible only once the log is durable up to here.
    needs: Lsn,
    stamped: bool,
}

struct Queue {
    /// The commits after `visible`, one for each timestamp.
    entries: VecDeque<Entry>,
    visible: CommitTs,
    /// End of the log record of the last logged commit up to `visible`.
    visible_lsn: Lsn,
    durable: Lsn,
    failed: Option<Failed>,
    callbacks: BTreeMap<CommitTs, Vec<Callback>>,
    /// Threads inside `wait_visible`.
    blocked: usize,
    quiescing: bool,
}

pub(crate) struct Commits {
    snapshots: Arc<Snapshots>,
    /// The last timestamp used.
    order: Mutex<CommitTs>,
    queue: Mutex<Queue>,
    unstamped: AtomicUsize,
    has_failed: AtomicBool,
    progress: Arc<dyn Signal>,
}

impl Commits {
    pub(crate) fn new(snapshots: Arc<Snapshots>, progress: Arc<dyn Signal>) -> Commits {
        let visible = snapshots.visible();
        Commits {
            snapshots,
            order: Mutex::new(visible),
            queue: Mutex::new(Queue {
                entries: VecDeque::new(),
                visible,
                visible_lsn: Lsn(0),
                durable: Lsn(0),
                failed: None,
                callbacks: BTreeMap::new(),
                blocked: 0,
                quiescing: false,
            }),
            unstamped: AtomicUsize::new(0),
            has_failed: AtomicBool::new(false),
            progress,
        }
    }

    pub(crate) fn recovered(&self, ts: CommitTs, lsn: Lsn) {
        let mut last = self.order.lock();
        let mut queue = self.queue.lock();
        assert!(queue.entries.is_empty() && ts >= *last, "recovery ends before the first commit");
        *last = ts;
        queue.visible = ts;
        queue.visible_lsn = lsn;
        queue.durable = lsn;
        self.snapshots.publish(ts);
    }

    pub(crate) fn commit<E>(
        &self,
        acknowledge: Acknowledge,
        append: impl FnOnce(CommitTs) -> Result<Lsn, E>,
    ) -> Result<CommitTicket, E> {
        let mut last = lock_blocking(&self.order);
        let ts = last.next();
        let lsn = append(ts)?;
        let mut queue = self.queue.lock();
        let needs = if acknowledge == Acknowledge::OnDisk { lsn } else { Lsn(0) };
        queue.entries.push_back(Entry { lsn, needs, stamped: false });
        self.unstamped.fetch_add(1, Ordering::SeqCst);
        *last = ts;
        Ok(CommitTicket { ts, lsn })
    }

    pub(crate) fn stamped(&self, ts: CommitTs) {
        let mut queue = self.queue.lock();
        let at = (ts.0 - queue.visible.0 - 1) as usize;
        let entry = &mut queue.entries[at];
        assert!(!entry.stamped, "a commit is stamped once");
        entry.stamped = true;
        let all_stamped = self.unstamped.fetch_sub(1, Ordering::SeqCst) == 1;
        let wake_quiesce = all_stamped && queue.quiescing;
        self.advance(queue);
        if wake_quiesce {
            self.progress.notify_all();
        }
    }

    pub(crate) fn durable(&self, lsn: Lsn) {
        let mut queue = self.queue.lock();
        queue.durable = queue.durable.max(lsn);
        self.advance(queue);
    }

    /// Moves `visible` over what is stamped and as durable as it has to be, then tells who waits for it.
    fn advance(&self, mut queue: MutexGuard<'_, Queue>) {
        if queue.failed.is_some() {
            return;
        }
        let before = queue.visible;
        while queue.entries.front().is_some_and(|entry| entry.stamped && entry.needs <= queue.durable) {
            let entry = queue.entries.pop_front().expect("there is a front");
            queue.visible = queue.visible.next();
            queue.visible_lsn = queue.visible_lsn.max(entry.lsn);
        }
        if queue.visible == before {
            return;
        }
        self.snapshots.publish(queue.visible);
        let later = queue.visible.next();
        let waiting = queue.callbacks.split_off(&later);
        let ready = std::mem::replace(&mut queue.callbacks, waiting);
        let blocked = queue.blocked > 0;
        drop(queue);
        if blocked {
            self.progress.notify_all();
        }
        for callback in ready.into_values().flatten() {
            callback(Ok(()));
        }
    }

    pub(crate) fn snapshot_position(&self, own: Option<TxnId>) -> (SnapshotGuard, Lsn) {
        // `visible` moves only under this lock.
        let queue = self.queue.lock();
        (self.snapshots.take(own), queue.visible_lsn)
    }

    pub(crate) fn wait_visible(&self, ts: CommitTs) -> Result<(), Failed> {
        if self.snapshots.visible() >= ts {
            return Ok(());
        }
        let mut queue = self.queue.lock();
        if queue.visible < ts && queue.failed.is_none() {
            queue.blocked += 1;
            drop(queue);
            let mut ready = || self.snapshots.visible() >= ts || self.has_failed.load(Ordering::SeqCst);
            self.progress.wait_until(&mut ready, None);
            queue = self.queue.lock();
            queue.blocked -= 1;
        }
        match &queue.failed {
            Some(failed) if queue.visible < ts => Err(failed.clone()),
            _ => Ok(()),
        }
    }

    pub(crate) fn when_visible(&self, ts: CommitTs, callback: Callback) {
        let mut queue = self.queue.lock();
        if queue.visible >= ts {
            drop(queue);
            callback(Ok(()));
        } else if let Some(failed) = queue.failed.clone() {
            drop(queue);
            callback(Err(failed));
        } else {
            queue.callbacks.entry(ts).or_default().push(callback);
        }
    }

    pub(crate) fn fail_all(&self, cause: &str) {
        let mut queue = self.queue.lock();
        let failed = queue.failed.get_or_insert_with(|| Failed { cause: cause.into() }).clone();
        self.has_failed.store(true, Ordering::SeqCst);
        let waiting = std::mem::take(&mut queue.callbacks);
        drop(queue);
        self.progress.notify_all();
        for callback in waiting.into_values().flatten() {
            callback(Err(failed.clone()));
        }
    }

    pub(crate) fn quiesce<R>(&self, publish: impl FnOnce(CommitTs) -> R) -> R {
        let last = lock_blocking(&self.order);
        self.queue.lock().quiescing = true;
        self.progress.wait_until(&mut || self.unstamped.load(Ordering::SeqCst) == 0, None);
        self.queue.lock().quiescing = false;
        self.publish_alone(last, publish)
    }

    fn publish_alone<R>(&self, mut last: MutexGuard<'_, CommitTs>, publish: impl FnOnce(CommitTs) -> R) -> R {
        let ts = last.next();
        let result = publish(ts);
        *last = ts;
        let mut queue = self.queue.lock();
        // Nothing is logged, so nothing is left to become durable: it follows the commit before it.
        queue.entries.push_back(Entry { lsn: Lsn(0), needs: Lsn(0), stamped: true });
        self.advance(queue);
        result
    }
}

//! The end of a transaction that stays: log, stamp, acknowledge.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use segments::{DeletionLog, LiveSegment};
use txn::{Acknowledge, CommitTicket, Failed, SerialTransaction};
use types::{CommitTs, TxnId};
use wal::Wal;

use crate::engine::Inner;
use crate::error::EngineError;
use crate::session::OwnEngine;
use crate::transaction::{Step, Transaction};

/// A commit that has its place in the log. It is acknowledged by [`Commit::wait`] or by awaiting it, whichever is easier; dropping
/// it does not take it back.
#[must_use = "a commit is acknowledged only once it is waited for"]
pub struct Commit(Option<(Arc<OwnEngine>, CommitTicket, Arc<Mutex<Answer>>)>);

#[derive(Default)]
enum Answer {
    #[default]
    NotAsked,
    Waiting(Waker),
    Given(Result<(), Failed>),
}

impl Commit {
    pub(crate) fn nothing() -> Commit {
        Commit(None)
    }

    pub(crate) fn of(engine: Arc<OwnEngine>, ticket: CommitTicket) -> Commit {
        Commit(Some((engine, ticket, Arc::default())))
    }

    /// When it was committed; None if the transaction had changed nothing.
    pub fn ts(&self) -> Option<CommitTs> {
        self.0.as_ref().map(|(_, ticket, _)| ticket.ts)
    }

    /// Waits until the commit is on disk, or after [`Transaction::commit_later`] until it is visible. Errors: `Closed` if the log failed first; whether the commit survives is then known
    /// only after a restart.
    pub fn wait(self) -> Result<(), EngineError> {
        let Some((engine, ticket, _)) = &self.0 else { return Ok(()) };
        engine.txns.wait_visible(ticket.ts).map_err(closed)
    }
}

fn closed(failed: Failed) -> EngineError {
    EngineError::Closed(failed.cause.to_string())
}

impl Future for Commit {
    type Output = Result<(), EngineError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some((engine, ticket, answer)) = &self.0 else { return Poll::Ready(Ok(())) };
        if engine.txns.visible() >= ticket.ts {
            return Poll::Ready(Ok(()));
        }
        let mut state = answer.lock();
        match &mut *state {
            Answer::Given(result) => return Poll::Ready(result.clone().map_err(closed)),
            Answer::Waiting(waker) => {
                waker.clone_from(context.waker());
                return Poll::Pending;
            }
            Answer::NotAsked => *state = Answer::Waiting(context.waker().clone()),
        }
        drop(state);
        let told = Arc::clone(answer);
        engine.txns.when_visible(
            ticket.ts,
            Box::new(move |result| {
                if let Answer::Waiting(waker) = std::mem::replace(&mut *told.lock(), Answer::Given(result)) {
                    waker.wake();
                }
            }),
        );
        match &*answer.lock() {
            Answer::Given(result) => Poll::Ready(result.clone().map_err(closed)),
            Answer::NotAsked | Answer::Waiting(_) => Poll::Pending,
        }
    }
}

/// Who writes a commit's record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writer {
    /// The log's own thread.
    Log,
    /// The committer, by calling [`wal::Wal::write_here`] next.
    Committer,
    /// The log's own thread, a while later: nobody waits for it.
    Later,
}

/// Gives the transaction its place in the order and its record to the log. Errors: under SERIALIZABLE, that it must not commit.
pub(crate) fn log(
    engine: &Inner,
    redo: &[u8],
    writer: Writer,
    serial: Option<&SerialTransaction>,
) -> Result<CommitTicket, EngineError> {
    let append = match writer {
        Writer::Log => Wal::append,
        Writer::Committer => Wal::stage,
        Writer::Later => Wal::append_lazily,
    };
    let acknowledge = if writer == Writer::Later { Acknowledge::AtOnce } else { Acknowledge::OnDisk };
    engine.txns.commit(acknowledge, |ts| {
        if let Some(serial) = serial {
            serial.commit(Some(ts))?;
        }
        Ok(append(&engine.wal, &[&ts.0.to_le_bytes(), redo]).inspect_err(|error| {
            if matches!(error, wal::WalError::DiskFull { .. }) {
                engine.note_full_log();
            }
        })?)
    })
}

/// Makes everything the transaction did carry `ts`. Nobody sees it before [`txn::Transactions::stamped`].
pub(crate) fn stamp(engine: &Inner, transaction: &mut Transaction, me: TxnId, ts: CommitTs) {
    if let Some(catalog) = transaction.edited.take() {
        let before = engine.catalog_newest();
        let mut new = Vec::new();
        for touched in &transaction.tables {
            let id = touched.store.id();
            match (catalog.stored_table(id), before.stored_table(id)) {
                (None, _) => touched.store.set_dropped(ts),
                (Some(_), None) => new.push(&touched.store),
                (Some(new), Some(old)) if !Arc::ptr_eq(new, old) => touched.store.set_changed(ts),
                (Some(_), Some(_)) => {}
            }
        }
        if !new.is_empty() {
            engine.change_tables(|tables| tables.extend(new.into_iter().map(|store| (store.id(), Arc::clone(store)))));
        }
        engine.publish_catalog(ts, catalog);
        env::point(engine.env.as_ref(), "commit: catalog published");
    }
    env::point(engine.env.as_ref(), "commit: logged");
    let is_loaded = |table: usize, live: &Arc<LiveSegment>| {
        transaction.tables[table].own.ingested.iter().any(|loaded| loaded.segment.id() == live.segment.id())
    };
    let buried = transaction.steps.iter().filter_map(|step| match step {
        Step::Row { table, base: Some((live, position)), .. } => Some((*table, live, *position)),
        _ => None,
    });
    // What a load replaces is dead before the load is there: a row that compaction has moved is looked for by its key.
    for (table, live, position) in buried.clone().filter(|(table, live, _)| !is_loaded(*table, live)) {
        transaction.tables[table].store.bury(live, position, ts);
    }
    for step in &transaction.steps {
        if let Step::Ingest { table, live, .. } = step {
            let now_live = Arc::new(LiveSegment::new(Arc::clone(&live.segment), ts, DeletionLog::default()));
            transaction.tables[*table].store.change_segments(|list| list.push(now_live));
            env::point(engine.env.as_ref(), "commit: loaded segment live");
        }
    }
    for (table, live, position) in buried.filter(|(table, live, _)| is_loaded(*table, live)) {
        transaction.tables[table].store.bury(live, position, ts);
    }
    for step in &transaction.steps {
        // Once each: a stamped slot is anybody's to write.
        if let Step::Row { table, slot, first: true, .. } = step {
            transaction.tables[*table].store.delta.stamp(*slot, me, ts);
        }
    }
}

//! The way back and the end: savepoints, commit.
//!
//! 1. Steps are undone newest first; the redo is cut where each began.
//! 2. Locks are given back once the record is in the log's buffer and the versions are stamped, before it is on disk.

use std::sync::Arc;

use env::{BLOCKING_BYTES_MIN, BLOCKING_STEPS_MIN, blocking_if};
use txn::{CommitTicket, Outcome};

use super::{Savepoint, Step, Transaction};
use crate::commit::{self, Commit, Writer};
use crate::error::EngineError;
use crate::sequences;

impl Transaction {
    /// A moment to go back to.
    pub fn savepoint(&self) -> Savepoint {
        let owed = [self.owed.now.len(), self.owed.at_end.len()];
        Savepoint { steps: self.steps.len(), owed, rows_locked: self.rows_locked, advisory: self.advisory_taken() }
    }

    /// Undoes every change since `savepoint`, and gives back advisory locks and those of rows that were not written. Others stay until the
    /// end.
    pub fn rollback_to(&mut self, savepoint: &Savepoint) {
        self.unlock_advisory(savepoint.advisory);
        let undone = self.steps.len().saturating_sub(savepoint.steps);
        blocking_if(undone >= BLOCKING_STEPS_MIN, || self.undo_to(savepoint));
    }

    fn undo_to(&mut self, savepoint: &Savepoint) {
        let Some(me) = self.id else { return };
        self.owed.now.truncate(savepoint.owed[0]);
        self.owed.at_end.truncate(savepoint.owed[1]);
        let undoes = self.rows_locked > savepoint.rows_locked || self.steps.len() > savepoint.steps;
        if let Some(serial) = self.serial.as_ref().filter(|_| self.steps.len() > savepoint.steps) {
            serial.undo();
        }
        self.unlock_rows(me, savepoint.rows_locked);
        while self.steps.len() > savepoint.steps {
            let Some(step) = self.steps.pop() else { break };
            match step {
                Step::Row { table, slot, hidden, redo_len, .. } => {
                    let touched = &mut self.tables[table];
                    touched.store.delta.undo(slot, me);
                    if let Some((live, position)) = hidden {
                        let own = Arc::make_mut(&mut touched.own);
                        if let Some((_, dead)) = own.dead.iter_mut().find(|(l, _)| Arc::ptr_eq(l, &live)) {
                            dead.remove(position);
                        }
                    }
                    self.redo.truncate(redo_len);
                }
                Step::Ingest { table, live, redo_len } => {
                    let own = Arc::make_mut(&mut self.tables[table].own);
                    own.ingested.retain(|l| !Arc::ptr_eq(l, &live));
                    own.dead.retain(|(l, _)| !Arc::ptr_eq(l, &live));
                    self.engine.discard_unseen(Arc::clone(&live.segment));
                    self.redo.truncate(redo_len);
                }
                Step::Edit { before, redo_len } => {
                    self.edited = before;
                    self.redo.truncate(redo_len);
                }
            }
        }
        if undoes {
            self.engine.txns.look_again(me);
        }
    }

    /// Commits. The answer is to be waited for ([`Commit`]): only then is the transaction acknowledged. On an error nothing of it
    /// remains.
    pub fn commit(self) -> Result<Commit, EngineError> {
        self.commit_by(Writer::Log)
    }

    /// As [`Transaction::commit`], for a caller that will wait for nothing else: a short record is written in this thread if nobody
    /// writes just now and the disk is fast, which spares two changes of thread. Blocks for some hundreds of microseconds then.
    pub fn commit_here(self) -> Result<Commit, EngineError> {
        self.commit_by(Writer::Committer)
    }

    /// As [`Transaction::commit`], to be acknowledged before it is on disk, where it is some 200 ms later. A power loss before takes it
    /// back, together with every later commit that was not waited for either. One that changes the catalog or loads segments waits.
    pub fn commit_later(self) -> Result<Commit, EngineError> {
        let waits = |step: &Step| matches!(step, Step::Edit { .. } | Step::Ingest { .. });
        let writer = if self.steps.iter().any(waits) { Writer::Log } else { Writer::Later };
        self.commit_by(writer)
    }

    fn commit_by(mut self, writer: Writer) -> Result<Commit, EngineError> {
        sequences::write_down(&self.touched.lock(), &mut self.redo);
        if self.steps.is_empty() && self.redo.is_empty() {
            if let Some(serial) = &self.serial {
                serial.commit(None)?;
            }
            self.end_serial(true);
            return Ok(Commit::nothing());
        }
        self.engine.check_open()?;
        let much = self.steps.len() >= BLOCKING_STEPS_MIN || self.redo.len() >= BLOCKING_BYTES_MIN;
        // The log's thread need not wait for many stamps.
        let writer = if much && writer == Writer::Committer { Writer::Log } else { writer };
        let ticket = blocking_if(much, || self.log_and_stamp(writer))?;
        if writer == Writer::Committer {
            self.engine.wal.write_here();
        }
        Ok(Commit::of(Arc::clone(&self.engine), ticket))
    }

    fn log_and_stamp(&mut self, writer: Writer) -> Result<CommitTicket, EngineError> {
        let engine = Arc::clone(&self.engine);
        let ticket = commit::log(&engine, &self.redo, writer, self.serial.as_deref())?;
        self.touched.lock().clear();
        // Who has only taken values of sequences has no id.
        let me = self.id.take();
        if let Some(me) = me {
            commit::stamp(&engine, self, me, ticket.ts);
        }
        self.steps.clear();
        engine.txns.stamped(ticket.ts);
        if let Some(me) = me {
            engine.txns.finish(me, Outcome::Committed);
        }
        self.end_advisory(Some(ticket.ts));
        self.end_serial(true);
        engine.after_commit(self.redo.len() as u64);
        self.redo = Vec::new();
        Ok(ticket)
    }

    /// Writes down how far sequences are that a transaction took values of which does not commit.
    pub(super) fn keep_sequences(&self) {
        let mut redo = Vec::new();
        sequences::write_down(&self.touched.lock(), &mut redo);
        if redo.is_empty() || self.engine.check_open().is_err() {
            return;
        }
        match commit::log(&self.engine, &redo, Writer::Log, None) {
            Ok(ticket) => {
                self.engine.txns.stamped(ticket.ts);
                self.engine.after_commit(redo.len() as u64);
            }
            Err(error) => tracing::debug!(%error, "the log has failed: nothing is given out any more"),
        }
    }
}

//! A client of the mixed run: transactions one after the other, each again when the server asks for it, each written to the
//! operation log once it is known to be committed.
//!
//! ```text
//!   COMMIT answered              committed: logged
//!   a statement never answered   not committed: its marker must not be there after the restart
//!   COMMIT never answered        either; the marker tells after the restart, and it is logged accordingly
//! ```

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bench::{Histogram, Session, Target, describe};
use rand::Rng;
use tokio::time::Instant;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Error, SimpleQueryMessage};

use super::Failure;
use super::operations::Draw;
use super::plan::{End, Isolation, Plan, Step};
use super::statement::{Statement, cents};

/// What all clients share.
#[derive(Default)]
pub(super) struct Shared {
    /// Rows that committed transactions have inserted, updated or deleted.
    pub(super) rows: AtomicU64,
    /// Everybody stops after the transaction at hand.
    pub(super) stop: AtomicBool,
    /// The server is being killed: a connection that breaks from now on is no fault.
    pub(super) killed: AtomicBool,
}

/// What a client has done.
#[derive(Clone, Default)]
pub(super) struct Done {
    pub(super) committed: u64,
    pub(super) rolled_back: u64,
    pub(super) failed_as_expected: u64,
    /// Conflicts and deadlocks, after which a transaction was run again.
    pub(super) retried: u64,
    /// Transactions whose COMMIT was not answered, and were found committed; and not.
    pub(super) unanswered_there: u64,
    pub(super) unanswered_gone: u64,
    pub(super) latency: Histogram,
}

impl Done {
    pub(super) fn merge(&mut self, other: &Done) {
        self.committed += other.committed;
        self.rolled_back += other.rolled_back;
        self.failed_as_expected += other.failed_as_expected;
        self.retried += other.retried;
        self.unanswered_there += other.unanswered_there;
        self.unanswered_gone += other.unanswered_gone;
        self.latency.merge(&other.latency);
    }
}

/// A transaction that the server's end cut off.
struct CutOff {
    plan: Plan,
    commit_sent: bool,
    rows: u64,
}

/// See the module.
pub(super) struct Client {
    number: u16,
    pub(super) draw: Draw,
    pub(super) done: Done,
    log: BufWriter<File>,
    cut_off: Option<CutOff>,
}

/// Why a transaction is not committed.
enum Stopped {
    Server(Error),
    Wrong(Failure),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Stopped {
        Stopped::Server(error)
    }
}

/// A transaction is given up after so many conflicts: something holds on to a row.
const TRIES_MAX: u32 = 1_000;

impl Client {
    /// A client that has not connected yet. Errors: its operation log cannot be written.
    pub(super) fn new(number: u16, draw: Draw, folder: &Path) -> Result<Client, Failure> {
        let log = OpenOptions::new().write(true).create_new(true).open(folder.join(format!("client-{number:02}.sql")))?;
        Ok(Client { number, draw, done: Done::default(), log: BufWriter::new(log), cut_off: None })
    }

    pub(super) fn number(&self) -> u16 {
        self.number
    }

    /// Works until told to stop or the server is killed. Errors: the server did what it must not.
    pub(super) async fn work(&mut self, target: &Target, shared: &Arc<Shared>) -> Result<(), Failure> {
        let mut session = match target.connect().await {
            Ok(session) => Sender { session, prepared: HashMap::new() },
            Err(_) if shared.killed.load(Ordering::SeqCst) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        while !shared.stop.load(Ordering::Relaxed) {
            match self.one(&mut session, shared).await {
                Ok(()) => {}
                Err(Stopped::Wrong(failure)) => return Err(format!("client {}: {failure}", self.number).into()),
                Err(Stopped::Server(error)) => {
                    // A connection breaks before the signal's sender has said so: it says so before it sends.
                    if error.as_db_error().is_none() && shared.killed.load(Ordering::SeqCst) {
                        return Ok(());
                    }
                    return Err(format!("client {}: {}", self.number, describe(&error)).into());
                }
            }
        }
        Ok(())
    }

    /// After a restart: finds out about the transaction that was cut off. Errors: it is there and must not be.
    pub(super) async fn resolve(&mut self, session: &Session, shared: &Shared) -> Result<(), Failure> {
        let Some(CutOff { plan, commit_sent, rows }) = self.cut_off.take() else { return Ok(()) };
        let sql = format!("select count(*) from marker where m_client = {} and m_seq = {}", self.number, plan.sequence);
        let there = session.text_value("look for a marker", &sql).await? == "1";
        match (there, commit_sent) {
            (true, false) => {
                let what = format!("client {}: a transaction ({}) whose COMMIT was never sent is there", self.number, plan.kind);
                return Err(what.into());
            }
            (true, true) => {
                self.done.unanswered_there += 1;
                self.keep(&plan, rows, shared)?;
            }
            (false, _) => self.done.unanswered_gone += u64::from(commit_sent),
        }
        Ok(())
    }

    /// Makes the operation log complete.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.log.flush()?)
    }

    fn keep(&mut self, plan: &Plan, rows: u64, shared: &Shared) -> Result<(), Failure> {
        self.log.write_all(plan.log().as_bytes())?;
        self.draw.committed(plan);
        self.done.committed += 1;
        shared.rows.fetch_add(rows, Ordering::Relaxed);
        Ok(())
    }

    async fn one(&mut self, session: &mut Sender, shared: &Shared) -> Result<(), Stopped> {
        if self.draw.old.is_none() && self.draw.random().random_ratio(1, 10) {
            let key = self.draw.old_key();
            self.draw.old = session.order(key).await?;
        }
        let plan = self.draw.next();
        let started = Instant::now();
        for _ in 0..TRIES_MAX {
            let mut reached = Reached::default();
            let error = match self.attempt(session, &plan, &mut reached).await {
                Ok(()) => {
                    self.done.latency.record(started.elapsed());
                    match plan.end {
                        End::Commit => self.keep(&plan, reached.rows, shared).map_err(Stopped::Wrong)?,
                        End::Rollback | End::FailedCommit => self.done.rolled_back += 1,
                        End::NoBlock => {}
                    }
                    return Ok(());
                }
                Err(Stopped::Server(error)) => error,
                Err(wrong) => return Err(wrong),
            };
            if !error.code().is_some_and(|code| RETRY.contains(code)) {
                if error.as_db_error().is_none() && plan.end == End::Commit {
                    self.cut_off = Some(CutOff { plan, commit_sent: reached.commit, rows: reached.rows });
                }
                return Err(Stopped::Server(error));
            }
            self.done.retried += 1;
            session.session.client().batch_execute("rollback").await?;
            let pause = self.draw.random().random_range(0..5);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        Err(Stopped::Wrong(format!("a transaction ({}) met {TRIES_MAX} conflicts", plan.kind).into()))
    }

    async fn attempt(&mut self, session: &mut Sender, plan: &Plan, reached: &mut Reached) -> Result<(), Stopped> {
        let wrong = |what: String| Stopped::Wrong(format!("{}: {what}", plan.kind).into());
        if plan.end != End::NoBlock {
            session
                .send(match plan.isolation {
                    Isolation::ReadCommitted => "begin",
                    Isolation::RepeatableRead => "begin isolation level repeatable read",
                })
                .await?;
        }
        let mut rows_at_savepoint = 0;
        for step in &plan.steps {
            match step {
                Step::Run(statement, expected) => {
                    let rows = session.run(statement, self.draw.random().random_ratio(1, 2)).await?;
                    if expected.is_some_and(|expected| expected != rows) {
                        return Err(wrong(format!("{} touched {rows} rows, not {expected:?}", statement.text())));
                    }
                    reached.rows += rows;
                }
                Step::Fails(statement, state) => match session.run(statement, self.draw.random().random_ratio(1, 2)).await {
                    Ok(rows) => return Err(wrong(format!("{} did not fail, {rows} rows", statement.text()))),
                    Err(error) if error.code().is_some_and(|code| code.code() == *state) => self.done.failed_as_expected += 1,
                    Err(error) => return Err(error.into()),
                },
                Step::Savepoint => {
                    rows_at_savepoint = reached.rows;
                    session.send("savepoint s").await?;
                }
                Step::RollbackTo => {
                    reached.rows = rows_at_savepoint;
                    session.send("rollback to s").await?;
                }
                Step::Release => session.send("release s").await?,
            }
        }
        match plan.end {
            End::Commit => {
                reached.commit = true;
                session.send("commit").await?;
            }
            End::Rollback => session.send("rollback").await?,
            End::FailedCommit => session.send("commit").await?,
            End::NoBlock => {}
        }
        Ok(())
    }
}

const RETRY: [SqlState; 2] = [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED];

/// How far a transaction came.
#[derive(Default)]
struct Reached {
    rows: u64,
    commit: bool,
}

/// A session with its prepared statements.
struct Sender {
    session: Session,
    prepared: HashMap<&'static str, tokio_postgres::Statement>,
}

impl Sender {
    async fn send(&self, sql: &str) -> Result<(), Error> {
        self.session.client().batch_execute(sql).await
    }

    /// Runs it prepared, if it has parameters and `prepared` says so, or as text; returns how many rows it touched.
    async fn run(&mut self, statement: &Statement, prepared: bool) -> Result<u64, Error> {
        let client = self.session.client();
        if prepared && let Cow::Borrowed(template) = statement.template {
            if !self.prepared.contains_key(template) {
                let made = client.prepare(&statement.prepared()).await?;
                self.prepared.insert(template, made);
            }
            return client.execute(&self.prepared[template], &statement.parameters()).await;
        }
        let answer = client.simple_query(&statement.text()).await?;
        let tags = answer.iter().map(|message| if let SimpleQueryMessage::CommandComplete(rows) = message { *rows } else { 0 });
        Ok(tags.sum())
    }

    /// An order of the first load, if it is there: key, customer, total in cents.
    async fn order(&self, key: i64) -> Result<Option<(i64, i64, i64)>, Error> {
        let sql = format!("select o_custkey, o_totalprice from orders where o_orderkey = {key}");
        let answer = self.session.client().simple_query(&sql).await?;
        Ok(answer.iter().find_map(|message| {
            let SimpleQueryMessage::Row(row) = message else { return None };
            Some((key, row.get(0)?.parse().ok()?, i64::try_from(cents(row.get(1)?)?).ok()?))
        }))
    }
}

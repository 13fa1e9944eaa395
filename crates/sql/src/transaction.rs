//! The transaction a session is in: implicit or explicit, its savepoints, whether it has failed.
//!
//! ```text
//!          statement                    BEGIN
//!   None ------------> Implicit -------------------> Explicit          COMMIT, ROLLBACK: back to None
//!     ^                   |                            |  ^
//!     +---- Sync ---------+                      error |  | ROLLBACK TO savepoint
//!     +---- error (rolled back at once) ---+           v  |
//!                                                    Failed            only COMMIT, ROLLBACK, ROLLBACK TO
//! ```
//!
//! 1. The engine's transaction begins with the first statement that needs one, so that its isolation can still be set.
//! 2. A failed transaction holds no locks: it is rolled back at once, to its innermost savepoint or as a whole.
//! 3. Settings follow the transaction: what was set in it goes with it.
//!
//! Source: PostgreSQL 15 `xact.c`.

use std::sync::Arc;

use engine::{Begin, Cancel, EngineSession, Given, Isolation, Transaction};
use types::{SqlError, SqlState};

use crate::notice::Notice;
use crate::parse::Modes;
use crate::references::Deferrals;
use crate::session::TransactionStatus;
use crate::settings::active::{Active, too_late};
use crate::settings::{Mark, Settings};

/// What kind of transaction there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    None,
    /// One statement, or all up to Sync.
    Implicit,
    /// From BEGIN on.
    Explicit,
}

/// What a user may go back to.
struct UserSavepoint {
    name: String,
    at: engine::Savepoint,
    settings: Mark,
    deferrals: Deferrals,
    read_only: bool,
}

/// See the module's head.
pub(crate) struct State {
    block: Block,
    failed: bool,
    isolation: Isolation,
    read_only: bool,
    deferrable: bool,
    inner: Option<Transaction>,
    savepoints: Vec<UserSavepoint>,
    deferrals: Deferrals,
    /// Settings before the transaction.
    settings: Option<Mark>,
    /// When it began, in microseconds since 1970-01-01 UTC.
    began_micros: i64,
    /// What the session was given of sequences, in this transaction and before.
    given: Arc<Given>,
    /// The session that its transactions are of.
    session: EngineSession,
}

/// What the end of a transaction leaves to wait for.
pub(crate) enum Ending {
    /// Nothing: rolled back, or nothing was changed.
    RolledBack,
    /// Acknowledged once this is ready.
    Committed(engine::Commit),
}

impl State {
    pub(crate) fn new(session: EngineSession) -> State {
        State {
            block: Block::None,
            failed: false,
            isolation: Isolation::ReadCommitted,
            read_only: false,
            deferrable: false,
            inner: None,
            savepoints: Vec::new(),
            deferrals: Deferrals::default(),
            settings: None,
            began_micros: 0,
            given: Arc::default(),
            session,
        }
    }

    pub(crate) fn status(&self) -> TransactionStatus {
        match (self.block, self.failed) {
            (Block::Explicit, true) => TransactionStatus::Failed,
            (Block::Explicit, false) => TransactionStatus::InTransaction,
            _ => TransactionStatus::Idle,
        }
    }

    /// What the session was given of sequences.
    pub(crate) fn given(&self) -> &Given {
        &self.given
    }

    /// What SET CONSTRAINTS has said.
    pub(crate) fn deferrals(&self) -> &Deferrals {
        &self.deferrals
    }

    pub(crate) fn deferrals_mut(&mut self) -> &mut Deferrals {
        &mut self.deferrals
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// True after BEGIN.
    pub(crate) fn is_explicit(&self) -> bool {
        self.block == Block::Explicit
    }

    pub(crate) fn is_implicit(&self) -> bool {
        self.block == Block::Implicit
    }

    pub(crate) fn isolation(&self) -> Isolation {
        self.isolation
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only
    }

    pub(crate) fn is_deferrable(&self) -> bool {
        self.deferrable
    }

    pub(crate) fn began_micros(&self) -> i64 {
        self.began_micros
    }

    /// True if statements of this transaction have run and their changes, if any, are not committed.
    pub(crate) fn has_run_something(&self) -> bool {
        self.inner.as_ref().is_some_and(Transaction::has_begun)
    }

    /// Makes sure that there is a transaction, implicit if none is.
    pub(crate) fn ensure(&mut self, settings: &Settings, now_micros: i64) {
        if self.block == Block::None {
            self.start(Block::Implicit, settings, now_micros);
        }
    }

    fn start(&mut self, block: Block, settings: &Settings, now_micros: i64) {
        self.block = block;
        self.failed = false;
        self.isolation = settings.active().default_isolation;
        self.read_only = settings.active().default_read_only;
        self.deferrable = settings.active().default_deferrable;
        self.settings = Some(settings.mark());
        self.began_micros = now_micros;
    }

    /// The engine's transaction with a snapshot for the next statement.
    pub(crate) fn begin_statement(&mut self, cancel: &Arc<Cancel>, active: &Active) -> &mut Transaction {
        let transaction = self.open(cancel, active);
        transaction.set_lock_timeout(active.lock_timeout);
        transaction.begin_statement();
        transaction
    }

    /// A statement is over; what it streams has a view of its own.
    pub(crate) fn end_statement(&mut self) {
        if let Some(transaction) = &mut self.inner {
            transaction.end_statement();
        }
    }

    /// As [`State::begin_statement`] for INSERT, UPDATE and DELETE. Errors: 53200 if the store of recent changes stays full, 57014.
    pub(crate) fn begin_writing_statement(&mut self, cancel: &Arc<Cancel>, active: &Active) -> Result<(), SqlError> {
        let transaction = self.open(cancel, active);
        transaction.set_lock_timeout(active.lock_timeout);
        Ok(transaction.begin_writing_statement()?)
    }

    fn open(&mut self, cancel: &Arc<Cancel>, active: &Active) -> &mut Transaction {
        let (isolation, read_only, deferrable, session) = (self.isolation, self.read_only, self.deferrable, &self.session);
        self.inner.get_or_insert_with(|| {
            let (cancel, given) = (Arc::clone(cancel), Arc::clone(&self.given));
            let lock_timeout = active.lock_timeout;
            session.begin(Begin { isolation, read_only, deferrable, cancel, lock_timeout, given })
        })
    }

    /// The engine's transaction, if a statement has begun one.
    pub(crate) fn inner(&mut self) -> Option<&mut Transaction> {
        self.inner.as_mut()
    }

    /// BEGIN. What an implicit transaction has done becomes part of the explicit one.
    pub(crate) fn begin(&mut self, modes: Modes, settings: &Settings, now_micros: i64) -> Result<Option<Notice>, SqlError> {
        let notice = match self.block {
            Block::Explicit => {
                Some(Notice::warning(SqlState::ACTIVE_SQL_TRANSACTION, "there is already a transaction in progress"))
            }
            Block::Implicit => {
                self.block = Block::Explicit;
                None
            }
            Block::None => {
                self.start(Block::Explicit, settings, now_micros);
                None
            }
        };
        self.set_modes(modes)?;
        Ok(notice)
    }

    /// SET TRANSACTION.
    pub(crate) fn set_modes(&mut self, modes: Modes) -> Result<(), SqlError> {
        if let Some(isolation) = modes.isolation
            && isolation != self.isolation
        {
            if self.has_run_something() {
                return Err(too_late("SET TRANSACTION ISOLATION LEVEL"));
            }
            self.isolation = isolation;
        }
        if let Some(read_only) = modes.read_only
            && read_only != self.read_only
        {
            if !read_only && self.has_run_something() {
                let message = "transaction read-write mode must be set before any query";
                return Err(SqlError::new(SqlState::ACTIVE_SQL_TRANSACTION, message));
            }
            self.read_only = read_only;
        }
        if let Some(deferrable) = modes.deferrable
            && deferrable != self.deferrable
        {
            if self.has_run_something() {
                return Err(too_late("SET TRANSACTION [NOT] DEFERRABLE"));
            }
            self.deferrable = deferrable;
        }
        if let Some(inner) = &mut self.inner {
            inner.set_mode(self.isolation, self.read_only, self.deferrable);
        }
        Ok(())
    }

    /// Ends the transaction with COMMIT; `alone`: no other session is at work. A failed one is rolled back. Errors: what the engine
    /// refuses; nothing remains then.
    pub(crate) fn commit(&mut self, settings: &mut Settings, alone: bool) -> Result<Ending, SqlError> {
        if self.failed {
            self.rollback(settings);
            return Ok(Ending::RolledBack);
        }
        let inner = self.inner.take();
        let before = self.settings.take();
        self.leave();
        let commit = match settings.active().synchronous_commit {
            false => Transaction::commit_later,
            true if alone => Transaction::commit_here,
            true => Transaction::commit,
        };
        settings.end_transaction();
        match inner.map(commit).transpose() {
            Ok(Some(commit)) => Ok(Ending::Committed(commit)),
            Ok(None) => Ok(Ending::RolledBack),
            Err(error) => {
                if let Some(before) = before {
                    settings.rollback_to(&before);
                }
                Err(error.into())
            }
        }
    }

    /// Ends the transaction and undoes all of it.
    pub(crate) fn rollback(&mut self, settings: &mut Settings) {
        self.inner = None;
        if let Some(before) = self.settings.take() {
            settings.rollback_to(&before);
        }
        self.leave();
    }

    fn leave(&mut self) {
        self.block = Block::None;
        self.failed = false;
        self.savepoints.clear();
        self.deferrals = Deferrals::default();
        self.settings = None;
    }

    /// A statement failed.
    pub(crate) fn fail(&mut self, settings: &mut Settings) {
        if self.block != Block::Explicit {
            self.rollback(settings);
            return;
        }
        if self.failed {
            return;
        }
        self.failed = true;
        match (self.savepoints.last(), &mut self.inner) {
            (Some(savepoint), Some(inner)) => {
                inner.rollback_to(&savepoint.at);
                settings.rollback_to(&savepoint.settings);
            }
            _ => {
                self.inner = None;
                if let Some(before) = &self.settings {
                    settings.rollback_to(before);
                }
            }
        }
    }

    /// SAVEPOINT.
    pub(crate) fn savepoint(&mut self, name: &str, settings: &Settings, cancel: &Arc<Cancel>) -> Result<(), SqlError> {
        self.need_block("SAVEPOINT")?;
        let at = self.open(cancel, settings.active()).savepoint();
        let (deferrals, read_only) = (self.deferrals.clone(), self.read_only);
        self.savepoints.push(UserSavepoint { name: name.to_owned(), at, settings: settings.mark(), deferrals, read_only });
        Ok(())
    }

    /// RELEASE. READ ONLY that was set since the savepoint ends with it, as with ROLLBACK TO.
    pub(crate) fn release(&mut self, name: &str) -> Result<(), SqlError> {
        self.need_block("RELEASE SAVEPOINT")?;
        let at = self.find_savepoint(name)?;
        self.become_read_only(self.savepoints[at].read_only);
        self.savepoints.truncate(at);
        Ok(())
    }

    fn become_read_only(&mut self, read_only: bool) {
        self.read_only = read_only;
        if let Some(inner) = &mut self.inner {
            inner.set_mode(self.isolation, self.read_only, self.deferrable);
        }
    }

    /// ROLLBACK TO.
    pub(crate) fn rollback_to(&mut self, name: &str, settings: &mut Settings) -> Result<(), SqlError> {
        self.need_block("ROLLBACK TO SAVEPOINT")?;
        let at = self.find_savepoint(name)?;
        self.savepoints.truncate(at + 1);
        if let (Some(savepoint), Some(inner)) = (self.savepoints.last(), &mut self.inner) {
            inner.rollback_to(&savepoint.at);
            settings.rollback_to(&savepoint.settings);
            self.deferrals.clone_from(&savepoint.deferrals);
        }
        self.become_read_only(self.savepoints[at].read_only);
        self.failed = false;
        Ok(())
    }

    /// How many savepoints there are.
    pub(crate) fn savepoints(&self) -> usize {
        self.savepoints.len()
    }

    fn find_savepoint(&self, name: &str) -> Result<usize, SqlError> {
        self.savepoints
            .iter()
            .rposition(|s| s.name == name)
            .ok_or_else(|| SqlError::new(SqlState::INVALID_SAVEPOINT, format!("savepoint \"{name}\" does not exist")))
    }

    /// Errors unless BEGIN opened this transaction: 25P01.
    pub(crate) fn need_block(&self, command: &str) -> Result<(), SqlError> {
        if self.block == Block::Explicit {
            return Ok(());
        }
        let message = format!("{command} can only be used in transaction blocks");
        Err(SqlError::new(SqlState::NO_ACTIVE_SQL_TRANSACTION, message))
    }
}

/// The answer to every statement but a few in a failed transaction.
pub(crate) fn aborted() -> SqlError {
    SqlError::new(
        SqlState::IN_FAILED_SQL_TRANSACTION,
        "current transaction is aborted, commands ignored until end of transaction block",
    )
}

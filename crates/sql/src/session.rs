//! One client in one database: the door to everything else in this crate.
//!
//! ```text
//! parse -> prepare -> execute -> (rows pulled) -> ... -> finish_implicit
//!                        |
//!        command --------+--> session itself: BEGIN .. COMMIT, SET, PREPARE      (session, settings, transaction)
//!                        +--> query, dml, ddl, copy, explain                     (methods of Session in those modules)
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use catalog::Catalog;
use engine::{Cancel, SessionLocks, Transaction};
use env::{BLOCKING_BYTES_MIN, blocking_if};
use sqlparser::ast::SetExpr;
use types::{DatabaseId, Datum, SqlError, SqlState, SqlType};

use crate::activity::{ActivityState, Backend, BeingDropped, Dropping, Registered, SessionActivity};
use crate::answer::Answer;
use crate::copy::from::CopyFrom;
use crate::cursor::Cursors;
use crate::dml::{Outcome, row_bytes};
use crate::format::FormatOptions;
use crate::instance::Instance;
use crate::locals::Locals;
use crate::names::Scope;
use crate::notice::{Heard, Notice};
use crate::parse::{Command, Statement};
use crate::point_plan::PointPlan;
use crate::prepare::{Kind, Planned, Prepared};
use crate::references::Looking;
use crate::settings::Settings;
use crate::transaction::{Ending, State, aborted};
use crate::watch::{Limit, Watch};

/// Who connects, to what, with which settings.
#[derive(Clone, Debug, Default)]
pub struct Login {
    /// The database; a session never leaves it.
    pub database: String,
    /// The authenticated user.
    pub user: String,
    /// `application_name`
    pub application_name: String,
    /// The client's address for `pg_stat_activity`; empty for an embedded one.
    pub client_address: String,
    /// Settings from the startup packet.
    pub settings: Vec<(String, String)>,
    /// What `pg_backend_pid()` answers; 0: a number that no other session of the instance has, without a server.
    pub process_id: i32,
    /// Its connection, for `pg_cancel_backend` and `pg_terminate_backend`; `None` for an embedded client.
    pub backend: Option<Arc<dyn Backend>>,
}

/// ReadyForQuery's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    /// `I`
    Idle,
    /// `T`
    InTransaction,
    /// `E`: only ROLLBACK (or COMMIT, which rolls back) is accepted.
    Failed,
}

impl TransactionStatus {
    /// The byte of ReadyForQuery.
    pub fn as_byte(self) -> u8 {
        match self {
            TransactionStatus::Idle => b'I',
            TransactionStatus::InTransaction => b'T',
            TransactionStatus::Failed => b'E',
        }
    }
}

/// One client in one database: its transaction, settings and prepared statements. Dropped, its transaction is rolled back.
pub struct Session {
    pub(crate) instance: Arc<Instance>,
    pub(crate) login: Login,
    pub(crate) database: DatabaseId,
    pub(crate) cancel: Arc<Cancel>,
    pub(crate) settings: Settings,
    pub(crate) transaction: State,
    /// Statements kept under names, by PREPARE or by the protocol.
    pub(crate) statements: BTreeMap<String, Arc<Prepared>>,
    pub(crate) notices: Vec<Notice>,
    /// Notices of functions, which may run in other threads.
    pub(crate) heard: Arc<Heard>,
    pub(crate) copy: Option<CopyFrom>,
    pub(crate) cursors: Cursors,
    /// Databases that go when the transaction commits.
    pub(crate) dropping: Vec<Dropping>,
    /// Of the statement that is planned or run.
    pub(crate) locals: Locals,
    /// Locks that outlive transactions: given back after the last has ended.
    pub(crate) locks: SessionLocks,
    registered: Registered,
    /// Its last statement is the last of any session.
    alone: bool,
    /// The statement that is planned asks for something as of now.
    pub(crate) uses_system: bool,
    /// The statement that runs has long values, or may have.
    pub(crate) is_large: bool,
    /// There is no server that forgets a cancel that comes too late.
    is_embedded: bool,
}

impl Session {
    /// Opens a session. Errors: 3D000 when the database does not exist, 22023 or 42704 for a setting.
    pub fn new(instance: Arc<Instance>, mut login: Login) -> Result<Session, SqlError> {
        let is_embedded = login.backend.is_none();
        let mut startup = vec![("application_name".to_owned(), login.application_name.clone())];
        for (name, value) in &login.settings {
            match name.as_str() {
                "options" => startup.extend(command_line(value)?),
                _ => startup.push((name.clone(), value.clone())),
            }
        }
        let settings = Settings::new(&login.user, &[&instance.options().settings, &startup])?;
        let missing = || SqlError::new(SqlState::INVALID_CATALOG_NAME, format!("database \"{}\" does not exist", login.database));
        let database = instance.engine().catalog().database(&login.database).ok_or_else(missing)?.id;
        let cancel = Arc::new(Cancel::new());
        let locks = instance.engine().begin_session(login.process_id, Arc::clone(&cancel));
        login.process_id = locks.session().id().process;
        let now = instance.env().now_micros();
        let registered = instance.registry().register(SessionActivity {
            process_id: login.process_id,
            database,
            user: login.user.clone(),
            application_name: login.application_name.clone(),
            client_address: login.client_address.clone(),
            began_micros: now,
            transaction_micros: None,
            query_micros: None,
            state_micros: now,
            state: ActivityState::Idle,
            statement: None,
            backend: login.backend.clone(),
            cancel: Arc::clone(&cancel),
        });
        let registered = registered.map_err(|BeingDropped| missing().detail("It seems to have just been dropped or renamed."))?;
        // Registered first: DROP DATABASE either sees this session or has removed the database by now.
        instance.engine().catalog().database_by_id(database).ok_or_else(missing)?;
        Ok(Session {
            instance,
            login,
            database,
            cancel,
            settings,
            transaction: State::new(locks.session().clone()),
            statements: BTreeMap::new(),
            notices: Vec::new(),
            heard: Arc::default(),
            copy: None,
            cursors: Cursors::default(),
            dropping: Vec::new(),
            locals: Locals::default(),
            locks,
            registered,
            alone: false,
            uses_system: false,
            is_large: false,
            is_embedded,
        })
    }

    /// What the session belongs to.
    pub fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }

    /// Who connected.
    pub fn login(&self) -> &Login {
        &self.login
    }

    /// Set it, from any thread, to stop the statement that runs now (57014). Without one it has no effect, unless a backend is logged in:
    /// then it stays until that clears it.
    pub fn cancel(&self) -> Arc<Cancel> {
        Arc::clone(&self.cancel)
    }

    /// A statement begins: without a server, a cancel from before it has no effect.
    pub(crate) fn forget_cancel(&self) {
        if self.is_embedded {
            self.cancel.clear();
        }
    }

    /// Splits and parses a client's text. Empty text gives no statements. Errors: 42601 with the position in the whole text; an
    /// explicit transaction has failed then.
    pub fn parse(&mut self, text: &str) -> Result<Vec<Statement>, SqlError> {
        blocking_if(text.len() >= BLOCKING_BYTES_MIN, || crate::parse::parse(text)).inspect_err(|_| self.fail())
    }

    /// Whether a statement can begin outside of a runtime, to be waited for within one: its time is not limited, which takes a timer.
    /// Queries run on threads of their own.
    pub fn begins_anywhere(&self) -> bool {
        self.time_left().is_none()
    }

    /// Runs a statement. Begins an implicit transaction if there is none. `params` must be as many as [`Prepared::params`], of
    /// those types. After an error the transaction has failed already: [`Session::fail`] need not be called.
    pub async fn execute(&mut self, prepared: &Arc<Prepared>, params: Vec<Datum>) -> Result<Answer, SqlError> {
        if self.transaction.has_failed() && !prepared.statement.ends_transaction() {
            return Err(aborted());
        }
        let now = self.instance.env().now_micros();
        self.transaction.ensure(&self.settings, now);
        self.registered.update(|activity| {
            activity.state = ActivityState::Active;
            activity.state_micros = now;
            activity.query_micros = Some(now);
            activity.statement = Some(prepared.statement.clone());
        });
        self.alone = self.registered.begin_statement(prepared.statement.command().writes_rows());
        self.is_large = row_bytes(&params) + prepared.statement.text().len() >= BLOCKING_BYTES_MIN;
        self.forget_cancel();
        self.locals.clear();
        let mut watch = Some(Watch::start(&self.cancel, self.time_left()));
        let result = self.run(prepared, &params, &mut watch).await;
        if !matches!(result, Ok(Answer::CopyIn(_))) {
            self.transaction.end_statement();
        }
        result.map_err(|error| {
            self.fail();
            if error.state == SqlState::SERIALIZATION_FAILURE {
                // What it conflicts with may not be on disk yet: tried again at once, it would not see it and conflict again.
                self.instance.engine().settle();
            }
            match &watch {
                Some(watch) => watch.explain(error),
                None => error,
            }
        })
    }

    async fn run(&mut self, prepared: &Prepared, params: &[Datum], watch: &mut Option<Watch>) -> Result<Answer, SqlError> {
        if params.is_empty() && !prepared.params.is_empty() {
            return Err(prepared.statement.parameter_error());
        }
        if params.len() != prepared.params.len() {
            let message = format!("the statement has {} parameters and was given {}", prepared.params.len(), params.len());
            return Err(SqlError::new(SqlState::PROTOCOL_VIOLATION, message));
        }
        let statement = &prepared.statement;
        self.check_read_only(statement.command())?;
        match statement.command() {
            Command::Query(_)
            | Command::Insert(_)
            | Command::Update(_)
            | Command::Delete(_)
            | Command::Merge(_)
            | Command::With(_)
            | Command::Explain(_) => {
                if statement.command().writes_rows() {
                    let active = self.settings.active();
                    self.transaction.begin_writing_statement(&self.cancel, active)?;
                } else {
                    self.begin_statement();
                }
                let planned = self.plan_to_run(prepared)?;
                let answer = match &planned.kind {
                    Kind::Point(plan) => match self.run_point(&planned, plan, params) {
                        Ok(Some(answer)) => Ok(answer),
                        Ok(None) => Box::pin(self.run_general(statement, &planned, plan, params, watch)).await,
                        Err(error) => Err(error),
                    },
                    _ => Box::pin(self.run_planned(statement, &planned, params, watch)).await,
                };
                let answer = answer.and_then(|answer| self.settle_statement().map(|()| answer))?;
                // A client is not shown what a crash could take back. Who writes outside of a block waits for a later commit: its own.
                let in_block = self.transaction.is_explicit();
                if matches!(answer, Answer::Rows(_))
                    && let Some(transaction) = self.transaction.inner()
                    && (in_block || !transaction.has_changes())
                {
                    transaction.settle_seen()?;
                }
                Ok(answer)
            }
            Command::Begin { start, modes } => self.begin(*start, *modes),
            Command::Commit { chain } => self.end(true, *chain).await,
            Command::Rollback { chain } => self.end(false, *chain).await,
            command => Box::pin(self.run_command(prepared, command, params, watch)).await,
        }
    }

    /// A statement whose range has too many rows for a program.
    pub(crate) async fn run_general(
        &mut self,
        statement: &Statement,
        planned: &Planned,
        plan: &PointPlan,
        params: &[Datum],
        watch: &mut Option<Watch>,
    ) -> Result<Answer, SqlError> {
        let general = self.general_plan(statement, planned, plan)?;
        match &general.kind {
            Kind::Query(plan) => self.run_query(&general, plan, params, watch).await,
            Kind::Locking(plan) => self.run_locking(&general, plan, params).await,
            Kind::Modify(plan) => self.run_modify(plan, params).await.map(Outcome::answer),
            _ => Err(SqlError::bug("a statement is planned as something else")),
        }
    }

    /// A plan that is not a point program. In a future of its own: that of a lookup stays small.
    async fn run_planned(
        &mut self,
        statement: &Statement,
        planned: &Planned,
        params: &[Datum],
        watch: &mut Option<Watch>,
    ) -> Result<Answer, SqlError> {
        match &planned.kind {
            Kind::Query(plan) => self.run_query(planned, plan, params, watch).await,
            Kind::Locking(plan) => self.run_locking(planned, plan, params).await,
            Kind::System(plan) => self.run_system(planned, plan, params),
            Kind::Insert(plan) => self.run_insert(plan, params).await.map(Outcome::answer),
            Kind::Modify(plan) => self.run_modify(plan, params).await.map(Outcome::answer),
            Kind::Merge(plan) => self.run_merge(plan, params).await.map(Outcome::answer),
            Kind::With(plan) => self.run_with(plan, params, watch).await,
            Kind::Explain(inner) => self.run_explain(statement, inner, params).await,
            Kind::Point(_) | Kind::Declare(_) | Kind::Command => Err(SqlError::bug("a plan is missing")),
        }
    }

    /// A command that does not end a transaction, in a future of its own as well.
    async fn run_command(
        &mut self,
        prepared: &Prepared,
        command: &Command,
        params: &[Datum],
        watch: &mut Option<Watch>,
    ) -> Result<Answer, SqlError> {
        let statement = &prepared.statement;
        match command {
            Command::CreateTable(create) => self.create_table(create).await,
            Command::CreateTableAs(create) => self.create_table_as(statement, create).await,
            Command::CreateView(create) => self.create_view(statement, create),
            Command::CreateSchema(create) => self.create_schema(create),
            Command::CreateDatabase(create) => self.create_database(statement, create),
            Command::Drop(drop) => self.drop_objects(statement, drop),
            Command::CreateSequence(create) => self.create_sequence(create),
            Command::AlterSequence(alter) => self.alter_sequence(alter),
            Command::Lock { tables, keeps_writers, nowait } => self.lock_tables(tables, *keeps_writers, *nowait),
            Command::Truncate { tables, restart_identity, cascade } => self.truncate(tables, *restart_identity, *cascade),
            Command::SetConstraints { names, deferred } => self.set_constraints(names.as_deref(), *deferred),
            Command::AlterTable(alter) => self.alter_table(alter).await,
            Command::RenameIndex { index, if_exists, to } => self.rename_index(index, *if_exists, to),
            Command::CreateIndex(create) => self.create_index(statement, create),
            Command::Reindex { kind, name } => self.reindex(statement, *kind, name),
            Command::Savepoint(name) => {
                self.transaction.savepoint(name, &self.settings, &self.cancel)?;
                Ok(Answer::Done("SAVEPOINT".into()))
            }
            Command::Release(name) => {
                self.transaction.release(name)?;
                self.cursors.release_to(self.transaction.savepoints());
                Ok(Answer::Done("RELEASE".into()))
            }
            Command::RollbackTo(name) => {
                self.transaction.rollback_to(name, &mut self.settings)?;
                self.cursors.roll_back_to(self.transaction.savepoints() - 1);
                Ok(Answer::Done("ROLLBACK".into()))
            }
            Command::SetTransaction(modes) => self.set_transaction(*modes),
            Command::SetSessionCharacteristics(modes) => self.set_characteristics(*modes),
            Command::Set(set) => self.set(set),
            Command::Reset(name) => self.reset(name.as_deref()),
            Command::Show(name) => self.show(name.as_deref()),
            Command::Discard(what) => self.discard(*what),
            Command::Prepare { name, types, statement } => {
                self.begin_statement();
                let inner = self.prepare_inner(statement, types)?;
                self.keep_prepared(name, inner)?;
                Ok(Answer::Done("PREPARE".into()))
            }
            Command::Execute { name, parameters } => self.run_named(name, parameters, watch).await,
            Command::Deallocate(Some(name)) => {
                self.named(name)?;
                self.forget_prepared(name);
                Ok(Answer::Done("DEALLOCATE".into()))
            }
            Command::Deallocate(None) => {
                self.statements.clear();
                Ok(Answer::Done("DEALLOCATE ALL".into()))
            }
            Command::Copy(copy) => self.run_copy(statement, copy, watch).await,
            Command::Maintain { command, merge, tables } => self.maintain(statement, command, *merge, tables),
            Command::Checkpoint => {
                env::blocking(|| self.instance.engine().checkpoint())?;
                Ok(Answer::Done("CHECKPOINT".into()))
            }
            Command::Declare(declare) => self.declare(prepared, declare, params).await,
            Command::Fetch(fetch) => self.fetch(fetch, watch).await,
            Command::Close(name) => self.close(name.as_deref()),
            Command::Nothing(tag) => Ok(Answer::Done((*tag).to_owned())),
            Command::Query(_)
            | Command::Insert(_)
            | Command::Update(_)
            | Command::Delete(_)
            | Command::Merge(_)
            | Command::With(_)
            | Command::Explain(_)
            | Command::Begin { .. }
            | Command::Commit { .. }
            | Command::Rollback { .. } => Err(SqlError::bug("a statement was taken for a command")),
        }
    }

    /// EXECUTE of a statement prepared under a name.
    async fn run_named(
        &mut self,
        name: &str,
        parameters: &[sqlparser::ast::Expr],
        watch: &mut Option<Watch>,
    ) -> Result<Answer, SqlError> {
        let inner = self.named(name)?;
        if parameters.len() != inner.params.len() {
            let message = format!("wrong number of parameters for prepared statement \"{name}\"");
            let detail = format!("Expected {} parameters but got {}.", inner.params.len(), parameters.len());
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).detail(detail));
        }
        let targets: Vec<SqlType> = inner.params.clone();
        let params = self.evaluate(parameters, &targets).await?;
        Box::pin(self.run(&inner, &params, watch)).await
    }

    /// At Sync, or at the end of a simple Query: commits the implicit transaction, if that is what is open, and waits until it is
    /// durable; a failed implicit transaction is over too. An explicit transaction stays as it is.
    pub async fn finish_implicit(&mut self) -> Result<(), SqlError> {
        let result = if self.transaction.is_implicit() { self.commit().await } else { Ok(()) };
        let now = self.instance.env().now_micros();
        let state = match self.transaction_status() {
            TransactionStatus::Idle => ActivityState::Idle,
            TransactionStatus::InTransaction => ActivityState::IdleInTransaction,
            TransactionStatus::Failed => ActivityState::IdleInTransactionAborted,
        };
        let transaction = (state != ActivityState::Idle).then(|| self.transaction.began_micros());
        self.registered.update(|activity| {
            activity.state = state;
            activity.state_micros = now;
            activity.transaction_micros = transaction;
        });
        result
    }

    /// Ends what lives as long as the transaction. Returns the databases it drops: until that is dropped, nobody can connect to them.
    pub(crate) fn leave_transaction(&mut self) -> Vec<Dropping> {
        self.cursors.clear();
        std::mem::take(&mut self.dropping)
    }

    /// Commits whatever transaction there is and waits until it is durable.
    pub(crate) async fn commit(&mut self) -> Result<(), SqlError> {
        let dropping = self.leave_transaction();
        if !self.transaction.has_failed()
            && let Err(error) = self.settle_deferred(Looking::AtEnd)
        {
            self.transaction.rollback(&mut self.settings);
            return Err(error);
        }
        let committed = match self.transaction.commit(&mut self.settings, self.alone)? {
            Ending::RolledBack => Ok(()),
            Ending::Committed(commit) => Ok(commit.await?),
        };
        // Until now nobody could connect to them.
        drop(dropping);
        committed
    }

    /// Something failed outside `prepare` and `execute` (a bad message, an error while rows were pulled): an implicit transaction
    /// is rolled back, an explicit one has failed.
    pub fn fail(&mut self) {
        self.copy = None;
        self.transaction.fail(&mut self.settings);
        if self.transaction.savepoints() == 0 {
            drop(self.leave_transaction());
        }
    }

    /// What ReadyForQuery says.
    pub fn transaction_status(&self) -> TransactionStatus {
        self.transaction.status()
    }

    /// Settings to report as ParameterStatus since the last call; all of them at the first.
    pub fn parameter_status_changes(&mut self) -> Vec<(String, String)> {
        let changes = self.settings.changes_to_report();
        if let Some((_, name)) = changes.iter().find(|(setting, _)| setting == "application_name") {
            self.registered.update(|activity| activity.application_name.clone_from(name));
        }
        changes
    }

    /// Notices since the last call, oldest first, those below `client_min_messages` left out.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        let from = self.settings.active().notices_from;
        let mut notices = std::mem::take(&mut self.notices);
        notices.extend(self.heard.take());
        notices.retain(|notice| from.is_some_and(|from| notice.severity >= from));
        notices
    }

    /// How values are shown as text now.
    pub fn format_options(&self) -> FormatOptions {
        self.settings.active().format.clone()
    }

    /// What the meaning of a client's dates and times depends on: for parameters in text form.
    pub fn dates(&self) -> types::text::Session {
        let now = match self.transaction.began_micros() {
            0 => self.instance.env().now_micros(),
            began => began,
        };
        types::text::Session { zone: self.settings.active().format.time_zone.clone(), now: Some(now) }
    }

    /// The value of a setting, as SHOW shows it. Errors: 42704.
    pub fn setting(&self, name: &str) -> Result<String, SqlError> {
        self.show_value(name)
    }

    /// How long the session may wait for its client: idle, and in a transaction. `None`: for ever.
    pub fn idle_timeouts(&self) -> (Option<std::time::Duration>, Option<std::time::Duration>) {
        let active = self.settings.active();
        (active.idle_session_timeout, active.idle_in_transaction_session_timeout)
    }

    /// How much longer the transaction may take; then the session is to end with [`crate::transaction_too_long`]. `None`: there is
    /// none, or it has no limit.
    pub fn transaction_time_left(&self) -> Option<std::time::Duration> {
        let limit = self.settings.active().transaction_timeout?;
        let is_open = self.transaction.is_explicit() || self.transaction.is_implicit();
        let spent = self.instance.env().now_micros().saturating_sub(self.transaction.began_micros());
        is_open.then(|| limit.saturating_sub(std::time::Duration::from_micros(u64::try_from(spent).unwrap_or(0))))
    }

    /// How long a statement that begins now may take, and by whose limit: of equal ones the transaction's.
    pub(crate) fn time_left(&self) -> Option<(std::time::Duration, Limit)> {
        let statement = self.settings.active().statement_timeout.map(|left| (left, Limit::Statement));
        let transaction = self.transaction_time_left().map(|left| (left, Limit::Transaction));
        transaction.into_iter().chain(statement).min_by_key(|(left, _)| *left)
    }

    /// The engine's transaction, with a snapshot for this statement.
    pub(crate) fn begin_statement(&mut self) -> &mut Transaction {
        let active = self.settings.active();
        self.transaction.begin_statement(&self.cancel, active)
    }

    /// The catalog as the session sees it now.
    pub(crate) fn catalog(&mut self) -> Arc<Catalog> {
        match self.transaction.inner() {
            Some(inner) if inner.has_begun() => inner.catalog(),
            _ => self.instance.engine().catalog(),
        }
    }

    /// Whether that is this one.
    pub(crate) fn sees_catalog(&mut self, catalog: &Arc<Catalog>) -> bool {
        match self.transaction.inner() {
            Some(inner) if inner.has_begun() => inner.sees_catalog(catalog),
            _ => Arc::ptr_eq(&self.instance.engine().catalog(), catalog),
        }
    }

    /// Where names are looked up.
    pub(crate) fn scope<'a>(&'a self, catalog: &'a Catalog) -> Scope<'a> {
        Scope { catalog, database: self.database, search_path: &self.settings.active().search_path }
    }

    pub(crate) fn notice(&mut self, notice: Notice) {
        self.notices.push(notice);
    }

    /// Errors if a statement that writes runs in a READ ONLY transaction: 25006.
    fn check_read_only(&self, command: &Command) -> Result<(), SqlError> {
        if !self.transaction.is_read_only() {
            return Ok(());
        }
        let name = match command {
            Command::Query(query) => match point::LockClause::of(query).first() {
                None => return Ok(()),
                Some(clause) => {
                    let message = format!("cannot execute SELECT {} in a read-only transaction", clause.lock.words());
                    return Err(SqlError::new(SqlState::READ_ONLY_SQL_TRANSACTION, message));
                }
            },
            Command::Insert(_) => "INSERT",
            Command::Update(_) => "UPDATE",
            Command::Delete(_) => "DELETE",
            Command::Merge(_) => "MERGE",
            Command::With(query) => match query.body.as_ref() {
                SetExpr::Insert(_) => "INSERT",
                SetExpr::Update(_) => "UPDATE",
                SetExpr::Delete(_) => "DELETE",
                SetExpr::Merge(_) => "MERGE",
                _ => "SELECT",
            },
            Command::CreateTable(_) => "CREATE TABLE",
            Command::CreateTableAs(_) => "CREATE TABLE AS",
            Command::CreateView(_) => "CREATE VIEW",
            Command::CreateSchema(_) => "CREATE SCHEMA",
            Command::CreateSequence(_) => "CREATE SEQUENCE",
            Command::AlterSequence(_) => "ALTER SEQUENCE",
            Command::CreateDatabase(_) => "CREATE DATABASE",
            Command::Drop(drop) => drop.kind.drop_tag(),
            Command::Truncate { .. } => "TRUNCATE TABLE",
            Command::AlterTable(_) => "ALTER TABLE",
            Command::RenameIndex { .. } => "ALTER INDEX",
            Command::CreateIndex(_) => "CREATE INDEX",
            Command::Reindex { .. } => "REINDEX",
            Command::Copy(copy) if copy.direction == crate::parse::CopyDirection::FromStdin => "COPY FROM",
            _ => return Ok(()),
        };
        let message = format!("cannot execute {name} in a read-only transaction");
        Err(SqlError::new(SqlState::READ_ONLY_SQL_TRANSACTION, message))
    }

    /// Errors unless the statement is a transaction of its own: 25001.
    pub(crate) fn prevent_in_block(&self, statement: &Statement, command: &str) -> Result<(), SqlError> {
        if self.transaction.is_explicit() || !statement.is_alone() || self.transaction.has_run_something() {
            let message = format!("{command} cannot run inside a transaction block");
            return Err(SqlError::new(SqlState::ACTIVE_SQL_TRANSACTION, message));
        }
        Ok(())
    }
}

/// The settings of the startup packet's `options`: `-c name=value`, `--name=value`.
fn command_line(options: &str) -> Result<Vec<(String, String)>, SqlError> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut chars = options.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => word.extend(chars.next()),
            c if c.is_whitespace() => words.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    words.push(word);
    let invalid = |word: &str| {
        let message = format!("invalid command-line argument for server process: {word}");
        SqlError::new(SqlState::SYNTAX_ERROR, message)
    };
    let mut settings = Vec::new();
    let mut words = words.into_iter().filter(|w| !w.is_empty());
    while let Some(word) = words.next() {
        let assignment = match word.as_str() {
            "-c" => words.next().ok_or_else(|| invalid(&word))?,
            w => w.strip_prefix("--").or_else(|| w.strip_prefix("-c")).ok_or_else(|| invalid(w))?.to_owned(),
        };
        let (name, value) = assignment.split_once('=').ok_or_else(|| invalid(&word))?;
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn startup_options_are_settings() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            command_line("-c statement_timeout=5s --search-path=a\\ b -cwork_mem=1MB").unwrap(),
            [pair("statement_timeout", "5s"), pair("search_path", "a b"), pair("work_mem", "1MB")]
        );
        assert!(command_line("-x").is_err());
        assert!(command_line("-c a").is_err());
    }
}

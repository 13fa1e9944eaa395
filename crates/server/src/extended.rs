//! The extended protocol: statements to parse once, portals to run and to suspend.
//!
//! ```text
//! Parse   --> statement "s": types and columns settled          Describe --> its parameters and columns
//! Bind    --> portal "p": statement + values + formats          Describe --> its columns, in its formats
//! Execute --> Ready --rows--> Streaming --suspended, resumed--> Ended
//!                  \--no rows------------------------------->  Finished
//! ```
//!
//! 1. A portal holds its result's stream: any number of them can be open and suspended at once.
//! 2. Portals end with their transaction: at Sync unless BEGIN opened one, at COMMIT and ROLLBACK, and with every error.
//! 3. The unnamed statement and portal are replaced by the next ones; a name that is taken is an error (42P05, 42P03). Named
//!    statements are one name space with those of PREPARE, which the session keeps.
//!
//! Not here: parsing and types (`sql`), the values' forms (`types`), sending rows (`rows`).
//! Source: PostgreSQL 15, `exec_parse_message`, `exec_bind_message`, `exec_execute_message`, `PortalRun`.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;

use sql::{Answer, Prepared, TransactionStatus};
use types::{Datum, SqlError, SqlState, SqlType, binary, text};

use crate::connection::{Connection, Io};
use crate::encode::Format;
use crate::error::{Failure, invalid_utf8, violation};
use crate::message::{Bind, Codes, Parse, Target};
use crate::rows::{Progress, RowStream};

/// Named statements (and named portals) of one connection: far more than drivers keep, and few enough not to be all memory.
const NAMED_MAX: usize = 100_000;
/// The oid of a literal whose type is not known: as if no type was declared.
const UNKNOWN_OID: u32 = 705;
/// Oids are numbers everywhere but in their binary form.
const OID_OID: u32 = 26;

/// A prepared statement of the protocol.
pub(crate) struct Statement {
    /// `None`: the empty statement.
    prepared: Option<Arc<Prepared>>,
    /// What Describe tells of the parameters: the type the client declared, else the one found.
    oids: Box<[u32]>,
}

/// A statement with its values.
pub(crate) struct Portal {
    statement: Arc<Statement>,
    /// One per column.
    formats: Box<[Format]>,
    state: State,
}

impl Statement {
    fn new(prepared: Arc<Prepared>) -> Statement {
        Statement { oids: prepared.param_oids.as_slice().into(), prepared: Some(prepared) }
    }
}

enum State {
    Ready(Vec<Datum>),
    Streaming(Box<RowStream>),
    Finished,
}

/// What running a portal did to the portals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ran {
    InTransaction,
    /// COMMIT and ROLLBACK take all portals with them.
    EndedTransaction,
}

/// Things by name, one of them unnamed and not looked up.
pub(crate) struct Named<T> {
    unnamed: Option<T>,
    named: HashMap<Box<str>, T>,
}

/// The statements of a connection.
pub(crate) type Statements = Named<Arc<Statement>>;
/// The portals of a connection.
pub(crate) type Portals = Named<Portal>;

impl<T> Default for Named<T> {
    fn default() -> Named<T> {
        Named { unnamed: None, named: HashMap::new() }
    }
}

impl<T> Named<T> {
    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        if name.is_empty() { self.unnamed.as_ref() } else { self.named.get(name) }
    }

    /// Takes it out, to be put back.
    fn take(&mut self, name: &str) -> Option<T> {
        if name.is_empty() { self.unnamed.take() } else { self.named.remove(name) }
    }

    /// Puts it under a name, replacing what was there. Errors: 53400 when there are too many.
    fn put(&mut self, name: &str, thing: T) -> Result<(), SqlError> {
        if name.is_empty() {
            self.unnamed = Some(thing);
            return Ok(());
        }
        if self.named.len() >= NAMED_MAX {
            let message = format!("a connection can have at most {NAMED_MAX} named statements or portals");
            return Err(SqlError::new(SqlState::CONFIGURATION_LIMIT_EXCEEDED, message).hint("Close some of them."));
        }
        self.named.insert(name.into(), thing);
        Ok(())
    }

    pub(crate) fn close(&mut self, name: &str) {
        drop(self.take(name));
    }

    pub(crate) fn clear(&mut self) {
        self.unnamed = None;
        self.named.clear();
    }
}

impl Connection {
    pub(crate) fn parse(&mut self, io: &mut Io<'_>, parse: Parse<'_>) -> Result<(), Failure> {
        if parse.name.is_empty() {
            self.statements.close("");
        } else if self.statement(parse.name).is_ok() {
            let message = format!("prepared statement \"{}\" already exists", parse.name);
            return Err(SqlError::new(SqlState::DUPLICATE_PREPARED_STATEMENT, message).into());
        }
        let mut parsed = self.session.parse(parse.query)?;
        if parsed.len() > 1 {
            let message = "cannot insert multiple commands into a prepared statement";
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).into());
        }
        let statement = match parsed.pop() {
            None => Statement { prepared: None, oids: Box::default() },
            Some(parsed) => {
                let declared = parse.parameter_oids.iter().map(declared_type).collect::<Result<Vec<_>, _>>()?;
                let mut statement = Statement::new(self.session.prepare(&parsed, &declared)?);
                check_declared(&statement, &parse)?;
                for (oid, declared) in statement.oids.iter_mut().zip(parse.parameter_oids.iter()) {
                    if declared != 0 && declared != UNKNOWN_OID {
                        *oid = declared;
                    }
                }
                statement
            }
        };
        if let (false, Some(prepared)) = (parse.name.is_empty(), &statement.prepared) {
            self.session.keep_prepared(parse.name, Arc::clone(prepared))?;
        }
        self.statements.put(parse.name, Arc::new(statement))?;
        io.wire.out.parse_complete();
        Ok(())
    }

    pub(crate) fn bind(&mut self, io: &mut Io<'_>, bind: Bind<'_>) -> Result<(), Failure> {
        let statement = self.statement(bind.statement)?;
        let params = statement.prepared.as_ref().map_or(&[][..], |prepared| &prepared.params);
        self.refuse_if_failed(&statement)?;
        let values = bind.values.len();
        if !matches!(bind.parameter_formats.len(), 0 | 1) && bind.parameter_formats.len() != values {
            let message = format!("bind message has {} parameter formats but {values} parameters", bind.parameter_formats.len());
            return Err(violation(message).into());
        }
        if values != params.len() {
            return Err(violation(format!(
                "bind message supplies {values} parameters, but prepared statement \"{}\" requires {}",
                bind.statement,
                params.len()
            ))
            .into());
        }
        if bind.portal.is_empty() {
            self.portals.close("");
        } else if self.portals.get(bind.portal).is_some() {
            let message = format!("cursor \"{}\" already exists", bind.portal);
            return Err(SqlError::new(SqlState::DUPLICATE_CURSOR, message).into());
        }
        let columns = statement.prepared.as_ref().and_then(|prepared| prepared.columns.as_ref()).map(|columns| columns.len());
        let formats = columns.map_or(Ok(Box::default()), |columns| result_formats(bind.result_formats, columns))?;
        let mut datums = Vec::with_capacity(values);
        let mut text_session: Option<text::Session> = None;
        for (i, (value, data_type)) in bind.values.iter().zip(params).enumerate() {
            let format = format_at(bind.parameter_formats, i).map_err(|error| error.context(parameter(bind.portal, i)))?;
            let oid = statement.oids.get(i).copied().unwrap_or(data_type.oid());
            datums.push(match value {
                None => Datum::Null,
                Some(bytes) if SqlType::from_oid(oid).is_none() => {
                    let value = sql::system_parameter(oid, bytes, format == Format::Binary).unwrap_or_else(|| Err(no_type(oid)));
                    value.map_err(|error| error.context(parameter(bind.portal, i)))?
                }
                Some(bytes) if format == Format::Binary => binary_parameter(*data_type, bytes, bind.portal, i)?,
                Some(bytes) => {
                    let session = text_session.get_or_insert_with(|| self.session.dates());
                    text_parameter(*data_type, bytes, session, bind.portal, i)?
                }
            });
        }
        self.portals.put(bind.portal, Portal { statement, formats, state: State::Ready(datums) })?;
        io.wire.out.bind_complete();
        Ok(())
    }

    pub(crate) fn describe(&mut self, io: &mut Io<'_>, target: Target<'_>) -> Result<(), Failure> {
        let out = &mut io.wire.out;
        let (statement, formats) = match target {
            Target::Statement(name) => {
                let statement = self.statement(name)?;
                out.parameter_description(&statement.oids)?;
                (statement, &[][..])
            }
            Target::Portal(name) => match self.portals.get(name) {
                Some(portal) => (Arc::clone(&portal.statement), &*portal.formats),
                // To PostgreSQL, a cursor is a portal.
                None => match self.session.cursor_columns(name) {
                    Some(columns) => return Ok(out.row_description(&columns, &[])?),
                    None => return Err(no_portal(name).into()),
                },
            },
        };
        match statement.prepared.as_ref().and_then(|prepared| prepared.columns.as_ref()) {
            Some(_) if self.session.transaction_status() == TransactionStatus::Failed => {
                return Err(in_failed_transaction().into());
            }
            Some(columns) => out.row_description(columns, formats)?,
            None => out.no_data(),
        }
        Ok(())
    }

    pub(crate) async fn execute(&mut self, io: &mut Io<'_>, name: &str, rows_max: u32) -> Result<(), Failure> {
        let mut portal = self.portals.take(name).ok_or_else(|| no_portal(name))?;
        match self.run_portal(io, name, &mut portal, rows_max).await? {
            Ran::InTransaction => self.portals.put(name, portal)?,
            Ran::EndedTransaction => self.portals.clear(),
        }
        Ok(())
    }

    async fn run_portal(&mut self, io: &mut Io<'_>, name: &str, portal: &mut Portal, rows_max: u32) -> Result<Ran, Failure> {
        let limit = if rows_max == 0 { u64::MAX } else { rows_max.into() };
        if let State::Ready(values) = &mut portal.state {
            let Some(prepared) = &portal.statement.prepared else {
                io.wire.out.empty_query();
                return Ok(Ran::InTransaction);
            };
            let values = std::mem::take(values);
            portal.state = State::Finished;
            let was = self.session.transaction_status();
            let answer = io.begun_to_its_end(pin!(self.session.execute(prepared, values))).await?;
            let tag = match answer {
                Answer::Rows(rows) => {
                    if rows.columns().len() != portal.formats.len() {
                        let message = "cached plan must not change result type";
                        return Err(SqlError::unsupported(message).into());
                    }
                    let stream = RowStream::new(rows, &portal.formats, self.session.format_options());
                    portal.state = State::Streaming(Box::new(stream));
                    None
                }
                Answer::Done(tag) => Some(tag),
                Answer::Empty => {
                    io.wire.out.empty_query();
                    return Ok(Ran::InTransaction);
                }
                Answer::CopyIn(info) => Some(self.copy_in(io, info).await?),
                Answer::CopyOut(copy) => Some(self.copy_out(io, copy).await?),
            };
            if let Some(tag) = tag {
                self.complete(io, &tag);
                let ended = was != TransactionStatus::Idle && self.session.transaction_status() == TransactionStatus::Idle;
                return Ok(if ended { Ran::EndedTransaction } else { Ran::InTransaction });
            }
        }
        let State::Streaming(stream) = &mut portal.state else {
            let message = format!("portal \"{name}\" cannot be run");
            return Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message).into());
        };
        let before = stream.sent();
        match stream.send(io, limit).await? {
            Progress::Suspended => {
                stream.hold(io).await?;
                io.wire.out.portal_suspended();
            }
            Progress::Ended => {
                // It counts what this Execute sent, also for what changed rows.
                let tag = stream.rows().tag(stream.sent() - before);
                self.complete(io, &tag);
            }
        }
        Ok(Ran::InTransaction)
    }

    fn complete(&mut self, io: &mut Io<'_>, tag: &str) {
        tracing::debug!(tag, "done");
        self.notices(io);
        io.wire.out.command_complete(tag);
    }

    /// Closing what does not exist is no error.
    pub(crate) fn close(&mut self, io: &mut Io<'_>, target: Target<'_>) {
        match target {
            Target::Statement(name) => {
                self.session.forget_prepared(name);
                self.statements.close(name);
            }
            Target::Portal(name) => {
                self.session.close_cursor(name);
                self.portals.close(name);
            }
        }
        io.wire.out.close_complete();
    }

    /// A failed transaction takes only what ends it.
    fn refuse_if_failed(&self, statement: &Statement) -> Result<(), SqlError> {
        let ends = statement.prepared.as_ref().is_none_or(|prepared| prepared.statement().ends_transaction());
        if self.session.transaction_status() == TransactionStatus::Failed && !ends {
            return Err(in_failed_transaction());
        }
        Ok(())
    }

    /// The statement of a name. Those with names are also the session's own, for EXECUTE and DEALLOCATE; what PREPARE made can be
    /// bound too.
    fn statement(&self, name: &str) -> Result<Arc<Statement>, SqlError> {
        let ours = self.statements.get(name);
        if name.is_empty() {
            let message = "unnamed prepared statement does not exist";
            return ours.map(Arc::clone).ok_or_else(|| SqlError::new(SqlState::INVALID_SQL_STATEMENT_NAME, message));
        }
        match (ours, self.session.prepared(name)) {
            (Some(ours), Ok(prepared)) if ours.prepared.as_ref().is_some_and(|ours| Arc::ptr_eq(ours, &prepared)) => {
                Ok(Arc::clone(ours))
            }
            (Some(empty), Err(_)) if empty.prepared.is_none() => Ok(Arc::clone(empty)),
            (_, prepared) => Ok(Arc::new(Statement::new(prepared?))),
        }
    }
}

fn in_failed_transaction() -> SqlError {
    let message = "current transaction is aborted, commands ignored until end of transaction block";
    SqlError::new(SqlState::IN_FAILED_SQL_TRANSACTION, message)
}

fn no_portal(name: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_CURSOR_NAME, format!("portal \"{name}\" does not exist"))
}

/// The type a client declares by oid, `None` if it leaves that to us.
fn declared_type(oid: u32) -> Result<Option<SqlType>, SqlError> {
    match oid {
        0 | UNKNOWN_OID => Ok(None),
        OID_OID => Ok(Some(SqlType::Int8)),
        oid => match SqlType::from_oid(oid) {
            Some(data_type) => Ok(Some(data_type)),
            // Types of the system's relations are found out by how they are used.
            None if sql::is_type(oid) => Ok(None),
            None => Err(no_type(oid)),
        },
    }
}

/// Errors for parameters declared as of a type that only queries of system relations take, or arrays that are none: 0A000.
fn check_declared(statement: &Statement, parse: &Parse<'_>) -> Result<(), SqlError> {
    if statement.prepared.as_ref().is_some_and(|prepared| prepared.is_system()) {
        return Ok(());
    }
    for (at, oid) in parse.parameter_oids.iter().enumerate() {
        let is_taken = matches!(oid, 0 | UNKNOWN_OID | OID_OID) || SqlType::from_oid(oid).is_some();
        let are_arrays = || sql::is_array(oid) && statement.oids.get(at).is_some_and(|wanted| sql::is_array(*wanted));
        if !is_taken && !are_arrays() {
            return Err(no_type(oid));
        }
    }
    Ok(())
}

fn no_type(oid: u32) -> SqlError {
    SqlError::unsupported(format!("parameters of the type with OID {oid} are not supported"))
}

fn text_parameter(data_type: SqlType, bytes: &[u8], session: &text::Session, portal: &str, i: usize) -> Result<Datum, SqlError> {
    let text = std::str::from_utf8(bytes).map_err(|_| invalid_utf8(bytes)).and_then(text::no_zero_byte);
    let text = text.map_err(|error| error.context(parameter(portal, i)))?;
    // PostgreSQL shows the value only if `log_parameter_max_length_on_error` says so.
    text::parse_in(data_type, text, session).map_err(|error| error.context(format!("{} = '...'", parameter(portal, i))))
}

fn binary_parameter(data_type: SqlType, bytes: &[u8], portal: &str, i: usize) -> Result<Datum, SqlError> {
    binary::parse(data_type, bytes).map_err(|mut error| {
        if error.state == SqlState::INVALID_BINARY_REPRESENTATION && bytes.len() as i64 > i64::from(data_type.wire_len()) {
            error.message.push_str(&format!(" in bind parameter {}", i + 1));
        } else if error.state == SqlState::INVALID_BINARY_REPRESENTATION {
            error.state = SqlState::PROTOCOL_VIOLATION;
        }
        error.context(parameter(portal, i))
    })
}

/// Which value an error is about.
fn parameter(portal: &str, i: usize) -> String {
    match portal {
        "" => format!("unnamed portal parameter ${}", i + 1),
        portal => format!("portal \"{portal}\" parameter ${}", i + 1),
    }
}

fn format_at(codes: Codes<'_>, i: usize) -> Result<Format, SqlError> {
    let code = match codes.len() {
        0 => Some(0),
        1 => codes.iter().next(),
        _ => codes.iter().nth(i),
    };
    code.map_or(Ok(Format::Text), format_of)
}

fn format_of(code: i16) -> Result<Format, SqlError> {
    Format::from_code(code)
        .ok_or_else(|| SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("unsupported format code: {code}")))
}

/// One format per column: no code is text, one is for all, else there is one for each.
fn result_formats(codes: Codes<'_>, columns: usize) -> Result<Box<[Format]>, SqlError> {
    match codes.len() {
        0 => Ok(vec![Format::Text; columns].into()),
        1 => {
            let format = codes.iter().next().map_or(Ok(Format::Text), format_of)?;
            Ok(vec![format; columns].into())
        }
        count if count == columns => codes.iter().map(format_of).collect(),
        count => Err(violation(format!("bind message has {count} result formats but query has {columns} columns"))),
    }
}

//! A connection that costs the driver little: messages are written into one buffer and read from another, by the task that waits.
//!
//! ```text
//!   prepare --> Prepared
//!   send(Prepared, values) ..  flush  -->  server  -->  answer() ..      one answer for each send, in order
//! ```
//!
//! 1. Client and server share the cores, so what the client takes of them the server does not get: there is no task for the connection
//!    and no channel to it, and nothing of a row is decoded until it is asked for.
//! 2. Each statement ends with its own Sync: what is sent together still fails and succeeds as if it had been sent alone.
//!
//! Not here: TLS, COPY, notices ([`crate::Session`] is for those).
//!
//! Source: PostgreSQL 15's documentation, chapter 55 (frontend/backend protocol).

use std::io;
use std::sync::Arc;

use bytes::{Buf as _, BytesMut};
use fallible_iterator::FallibleIterator as _;
use postgres_protocol::IsNull as Null;
use postgres_protocol::authentication::{md5_hash, sasl};
use postgres_protocol::message::backend::{DataRowBody, ErrorResponseBody, Message};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_postgres::Config;
use tokio_postgres::config::Host;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type};

/// What a server's answer is read in.
const READ_SIZE: usize = 64 * 1024;

/// Kind and length of a message.
const HEADER: usize = 5;
const DATA_ROW: u8 = b'D';
const ERROR_RESPONSE: u8 = b'E';
const COMMAND_COMPLETE: u8 = b'C';
const READY_FOR_QUERY: u8 = b'Z';

/// Why a statement has no answer.
#[derive(Debug, thiserror::Error)]
pub enum DirectError {
    /// The server said no.
    #[error("{severity} {code}: {message}{}", detail.as_ref().map(|detail| format!("; detail: {detail}")).unwrap_or_default())]
    Server {
        /// ERROR or FATAL.
        severity: String,
        /// The SQLSTATE.
        code: String,
        /// What it said.
        message: String,
        /// And in detail.
        detail: Option<String>,
    },
    /// The connection is gone, or what came is not of the protocol.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl DirectError {
    /// The SQLSTATE, if the server gave one.
    pub fn code(&self) -> Option<&str> {
        match self {
            DirectError::Server { code, .. } => Some(code),
            DirectError::Io(_) => None,
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A statement that the server has prepared.
pub struct Prepared {
    name: String,
    parameters: Vec<Type>,
    columns: Arc<[Type]>,
}

/// A connection; see the module.
pub struct Direct {
    stream: Box<dyn Stream>,
    output: BytesMut,
    input: BytesMut,
    prepared: usize,
}

impl Direct {
    /// Connects and logs in. Errors: nobody answers, or the login is refused.
    pub(crate) async fn connect(config: &Config) -> Result<Direct, DirectError> {
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let stream: Box<dyn Stream> = match (config.get_hostaddrs().first(), config.get_hosts().first()) {
            (Some(address), _) => Box::new(tcp((*address, port)).await?),
            (None, Some(Host::Tcp(name))) => Box::new(tcp((name.as_str(), port)).await?),
            #[cfg(unix)]
            (None, Some(Host::Unix(folder))) => {
                Box::new(tokio::net::UnixStream::connect(folder.join(format!(".s.PGSQL.{port}"))).await?)
            }
            (None, None) => Box::new(tcp(("127.0.0.1", port)).await?),
        };
        let mut connection = Direct { stream, output: BytesMut::new(), input: BytesMut::with_capacity(READ_SIZE), prepared: 0 };
        connection.log_in(config).await?;
        Ok(connection)
    }

    async fn log_in(&mut self, config: &Config) -> Result<(), DirectError> {
        let user = config.get_user().unwrap_or("postgres");
        let password = config.get_password().unwrap_or_default();
        let parameters = [
            ("user", user),
            ("database", config.get_dbname().unwrap_or(user)),
            ("application_name", config.get_application_name().unwrap_or_default()),
            ("client_encoding", "UTF8"),
        ];
        frontend::startup_message(parameters, &mut self.output)?;
        let mut scram = None;
        loop {
            match self.next().await? {
                Message::AuthenticationOk => break,
                Message::AuthenticationCleartextPassword => frontend::password_message(password, &mut self.output)?,
                Message::AuthenticationMd5Password(body) => {
                    let hash = md5_hash(user.as_bytes(), password, body.salt());
                    frontend::password_message(hash.as_bytes(), &mut self.output)?;
                }
                Message::AuthenticationSasl(body) => {
                    if body.mechanisms().all(|mechanism| Ok(mechanism != sasl::SCRAM_SHA_256))? {
                        return Err(unexpected("a way to log in that is not SCRAM-SHA-256"));
                    }
                    let exchange = sasl::ScramSha256::new(password, sasl::ChannelBinding::unsupported());
                    frontend::sasl_initial_response(sasl::SCRAM_SHA_256, exchange.message(), &mut self.output)?;
                    scram = Some(exchange);
                }
                Message::AuthenticationSaslContinue(body) => {
                    let exchange = scram.as_mut().ok_or_else(|| unexpected("SASL data"))?;
                    exchange.update(body.data())?;
                    frontend::sasl_response(exchange.message(), &mut self.output)?;
                }
                Message::AuthenticationSaslFinal(body) => {
                    scram.as_mut().ok_or_else(|| unexpected("SASL data"))?.finish(body.data())?;
                }
                Message::ErrorResponse(body) => return Err(refusal(&body)),
                Message::NoticeResponse(_) => {}
                _ => return Err(unexpected("a message before the login")),
            }
        }
        self.answer().await.map(drop)
    }

    /// Has a statement prepared. Errors: the server's.
    pub async fn prepare(&mut self, sql: &str) -> Result<Prepared, DirectError> {
        self.prepared += 1;
        let name = format!("s{}", self.prepared);
        frontend::parse(&name, sql, [], &mut self.output)?;
        frontend::describe(b'S', &name, &mut self.output)?;
        frontend::sync(&mut self.output);
        let known = |oid| Type::from_oid(oid).ok_or_else(|| unexpected("a type that is not PostgreSQL's own"));
        let (mut parameters, mut columns, mut failed) = (Vec::new(), Vec::new(), None);
        loop {
            match self.next().await? {
                Message::ParameterDescription(body) => {
                    let mut oids = body.parameters();
                    while let Some(oid) = oids.next()? {
                        parameters.push(known(oid)?);
                    }
                }
                Message::RowDescription(body) => {
                    let mut fields = body.fields();
                    while let Some(field) = fields.next()? {
                        columns.push(known(field.type_oid())?);
                    }
                }
                Message::ErrorResponse(body) => failed = Some(refusal(&body)),
                Message::ReadyForQuery(_) => break,
                _ => {}
            }
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(Prepared { name, parameters, columns: columns.into() }),
        }
    }

    /// Writes a statement with its values, binary, into the buffer. Errors: a value is none of its parameter's type.
    pub fn send<V: ToSql>(&mut self, statement: &Prepared, values: &[V]) -> Result<(), DirectError> {
        let pairs = values.iter().zip(&statement.parameters);
        let written = frontend::bind(
            "",
            &statement.name,
            [1],
            pairs,
            |(value, ty), out| match value.to_sql(ty, out)? {
                IsNull::Yes => Ok(Null::Yes),
                IsNull::No => Ok(Null::No),
            },
            [1],
            &mut self.output,
        );
        written.map_err(|error| match error {
            frontend::BindError::Conversion(error) => io::Error::other(error),
            frontend::BindError::Serialization(error) => error,
        })?;
        frontend::execute("", 0, &mut self.output)?;
        frontend::sync(&mut self.output);
        Ok(())
    }

    /// Writes a statement with its values in the text into the buffer.
    pub fn send_text(&mut self, sql: &str) -> Result<(), DirectError> {
        Ok(frontend::query(sql, &mut self.output)?)
    }

    /// Sends what is in the buffer.
    pub async fn flush(&mut self) -> Result<(), DirectError> {
        self.stream.write_all(&self.output).await?;
        self.output.clear();
        Ok(())
    }

    /// The answer to the first statement that has none yet: its rows, and how many it found or changed. Errors: the server's, after
    /// which the connection can go on.
    pub async fn answer(&mut self) -> Result<Answer, DirectError> {
        let (mut answer, mut failed) = (Answer::default(), None);
        loop {
            let (kind, length) = self.arrived().await?;
            match kind {
                DATA_ROW | ERROR_RESPONSE => match self.next().await? {
                    Message::DataRow(row) => answer.rows.push(row),
                    Message::ErrorResponse(body) => failed = Some(refusal(&body)),
                    _ => {}
                },
                // Of the others nothing is kept: they are not taken out of the buffer one by one.
                _ => {
                    if kind == COMMAND_COMPLETE {
                        answer.count = count(&self.input[HEADER..length]);
                    }
                    self.input.advance(length);
                    if kind == READY_FOR_QUERY {
                        break;
                    }
                }
            }
        }
        failed.map_or(Ok(answer), Err)
    }

    /// Runs a statement with its values. Errors: the server's.
    pub async fn run<V: ToSql>(&mut self, statement: &Prepared, values: &[V]) -> Result<Answer, DirectError> {
        self.send(statement, values)?;
        self.answer().await
    }

    /// Runs a statement as text. Errors: the server's.
    pub async fn run_text(&mut self, sql: &str) -> Result<Answer, DirectError> {
        self.send_text(sql)?;
        self.answer().await
    }

    /// The next message.
    async fn next(&mut self) -> Result<Message, DirectError> {
        self.arrived().await?;
        Message::parse(&mut self.input)?.ok_or_else(|| unexpected("a message that is none"))
    }

    /// What the next message is and how long, which is wholly in the buffer; sends what is to be sent before it waits.
    async fn arrived(&mut self) -> Result<(u8, usize), DirectError> {
        loop {
            if let Some([kind, a, b, c, d]) = self.input.first_chunk::<HEADER>() {
                let length = 1 + u32::from_be_bytes([*a, *b, *c, *d]) as usize;
                if length < HEADER {
                    return Err(unexpected("a message shorter than its length"));
                }
                if length <= self.input.len() {
                    return Ok((*kind, length));
                }
            }
            if !self.output.is_empty() {
                self.flush().await?;
            }
            self.input.reserve(READ_SIZE);
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }
}

/// What a statement answered.
#[derive(Default)]
pub struct Answer {
    /// Of the statement's columns, undecoded.
    pub rows: Vec<DataRowBody>,
    /// As the command's tag says.
    pub count: u64,
}

impl Prepared {
    /// Types of the columns of its rows.
    pub fn columns(&self) -> &Arc<[Type]> {
        &self.columns
    }
}

/// A value of a prepared statement's row. Errors: there is no such column, it is NULL, or of another type.
pub fn value<'a, T: FromSql<'a>>(columns: &[Type], row: &'a DataRowBody, column: usize) -> Result<T, String> {
    let ty = columns.get(column).ok_or("there is no such column")?;
    if !T::accepts(ty) {
        return Err(format!("it is of type {ty}"));
    }
    let bytes = field(row, column)?.ok_or("it is NULL")?;
    T::from_sql(ty, bytes).map_err(|error| error.to_string())
}

/// The bytes of a row's column, if it is not NULL. Errors: it has no such column.
pub fn field(row: &DataRowBody, column: usize) -> Result<Option<&[u8]>, String> {
    let range = row.ranges().nth(column).map_err(|error| error.to_string())?;
    Ok(range.ok_or("there is no such column")?.map(|range| &row.buffer()[range]))
}

async fn tcp(address: impl tokio::net::ToSocketAddrs) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// "INSERT 0 3", "UPDATE 3", "SELECT 3", each with a zero behind.
fn count(tag: &[u8]) -> u64 {
    let number = tag.strip_suffix(&[0]).unwrap_or(tag).rsplit(|byte| *byte == b' ').next();
    number.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok()).unwrap_or(0)
}

fn unexpected(what: &str) -> DirectError {
    DirectError::Io(io::Error::new(io::ErrorKind::InvalidData, format!("the server sent {what}")))
}

fn refusal(body: &ErrorResponseBody) -> DirectError {
    let mut texts: [Option<String>; 4] = Default::default();
    let mut fields = body.fields();
    while let Ok(Some(field)) = fields.next() {
        if let Some(index) = b"SCMD".iter().position(|kind| *kind == field.type_()) {
            texts[index] = Some(String::from_utf8_lossy(field.value_bytes()).into_owned());
        }
    }
    let [severity, code, message, detail] = texts;
    DirectError::Server {
        severity: severity.unwrap_or_default(),
        code: code.unwrap_or_default(),
        message: message.unwrap_or_default(),
        detail,
    }
}

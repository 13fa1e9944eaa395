//! A session on the wire: the loop that takes one message after the other.
//!
//! ```text
//!            Query ------------------------------------> answers, ReadyForQuery
//! frame -->  Parse Bind Describe Execute Close --------> answers; after an error everything up to Sync is skipped
//!            Sync --> the implicit transaction ends ---> ReadyForQuery
//! ```
//!
//! 1. Everything from one ReadyForQuery to the next is one implicit transaction, unless BEGIN says otherwise.
//! 2. An error of a statement is told and the connection goes on; one of the protocol itself ends it (FATAL).
//! 3. Whoever waits here can be interrupted: for input and output at any time, in a statement by the session's own flag, which is
//!    given [`STOP_WAIT`] to have an effect before the statement is dropped with its session.
//!
//! Not here: what the messages do (`simple`, `extended`, `copy`), frames (`frame`), logging in (`startup`).
//! Source: PostgreSQL 15, `PostgresMain`.

use std::pin::{Pin, pin};
use std::time::Duration;

use sql::{Session, TransactionStatus};
use tracing::Instrument;
use types::{SqlError, SqlState};

use crate::control::Control;
use crate::error::{Failure, Severity};
use crate::extended::{Portals, Statements};
use crate::frame::{self, Frame, Phase};
use crate::message::{self, Message};
use crate::output::FLUSH_BYTES;
use crate::wire::Wire;
use crate::workers;

/// How long a statement that was told to stop may take, when its connection is to end.
const STOP_WAIT: Duration = Duration::from_secs(3);

/// What a message or statement counts for beside its bytes, until other connections come in ([`Io::let_others_in`]).
pub(crate) const MESSAGE_COST_BYTES: usize = 512;

const IDLE_SESSION_TIMEOUT: SqlState = SqlState(*b"57P05");

/// The client's side of a connection, as whatever serves a message needs it.
pub(crate) struct Io<'a> {
    pub(crate) wire: &'a mut Wire,
    pub(crate) control: &'a Control,
    /// Bytes served since other connections of this thread came in.
    stretch: usize,
}

impl Io<'_> {
    /// The next message. Sends what is to be sent before it waits. Ends with `stop`, the end of the stream, or a frame that is none.
    pub(crate) async fn next_frame(&mut self, stop: impl Future<Output = Failure>) -> Result<Frame, Failure> {
        let mut stop = pin!(stop);
        loop {
            if let Some(frame) = frame::cut(&mut self.wire.input, Phase::Session).map_err(Failure::Fatal)? {
                return Ok(frame);
            }
            let exchange = async {
                self.wire.flush().await?;
                self.wire.fill().await
            };
            tokio::select! {
                biased;
                filled = exchange => if !filled? {
                    return Err(Failure::Gone(None));
                },
                failure = &mut stop => return Err(failure),
            }
        }
    }

    /// Sends what is to be sent, until the statement is to stop.
    pub(crate) async fn flush(&mut self) -> Result<(), Failure> {
        tokio::select! {
            biased;
            flushed = self.wire.flush() => Ok(flushed?),
            failure = self.control.interrupted() => Err(failure),
        }
    }

    /// Lets the other connections of this thread come in, once `bytes` more make that much served without them.
    pub(crate) async fn let_others_in(&mut self, bytes: usize) {
        self.stretch += bytes;
        if self.stretch >= env::BLOCKING_BYTES_MIN {
            self.stretch = 0;
            tokio::task::yield_now().await;
        }
    }

    /// Sends what is to be sent if that is much, and lets others in. Errors: the statement is to stop.
    pub(crate) async fn flush_if_full(&mut self) -> Result<(), Failure> {
        if !self.wire.is_full() {
            return Ok(());
        }
        self.flush().await?;
        self.let_others_in(FLUSH_BYTES).await;
        self.control.interruption().map_or(Ok(()), Err)
    }

    /// Waits for something that may be dropped half-way, until the statement is to stop.
    pub(crate) async fn unless_interrupted<T>(&self, work: impl Future<Output = Result<T, SqlError>>) -> Result<T, Failure> {
        if let Some(failure) = self.control.interruption() {
            return Err(failure);
        }
        tokio::select! {
            biased;
            done = work => Ok(done?),
            failure = self.control.interrupted() => Err(failure),
        }
    }

    /// Waits for something that must come to its end once it has begun, which it has not if it is to stop by now.
    pub(crate) async fn begun_to_its_end<T>(
        &self,
        work: Pin<&mut impl Future<Output = Result<T, SqlError>>>,
    ) -> Result<T, Failure> {
        match self.control.interruption() {
            Some(failure) => Err(failure),
            None => self.to_its_end(work).await,
        }
    }

    /// Waits for something that must come to its end; it watches the session's cancel flag itself. It is pinned by the caller: a
    /// statement's future is some KB that would be copied.
    async fn to_its_end<T>(&self, mut work: Pin<&mut impl Future<Output = Result<T, SqlError>>>) -> Result<T, Failure> {
        let failure = tokio::select! {
            biased;
            done = &mut work => return Ok(done?),
            failure = self.control.interrupted() => failure,
        };
        if let Failure::Statement(_) = failure {
            return Ok(work.await?);
        }
        if tokio::time::timeout(STOP_WAIT, work).await.is_err() {
            tracing::warn!("a statement does not stop; its session is dropped");
        }
        Err(failure)
    }
}

/// A client that has logged in.
pub(crate) struct Connection {
    pub(crate) session: Session,
    pub(crate) statements: Statements,
    pub(crate) portals: Portals,
    /// After an error in the extended protocol: nothing is done until the next Sync.
    skipping: bool,
    /// Between a message of the extended protocol and its Sync.
    in_pipeline: bool,
}

impl Connection {
    pub(crate) fn new(session: Session) -> Connection {
        Connection {
            session,
            statements: Statements::default(),
            portals: Portals::default(),
            skipping: false,
            in_pipeline: false,
        }
    }

    /// Serves the client until the connection ends; returns why.
    pub(crate) async fn run(&mut self, wire: &mut Wire, control: &Control) -> Failure {
        let mut io = Io { wire, control, stretch: 0 };
        self.ready(&mut io);
        loop {
            let buffered = frame::cut(&mut io.wire.input, Phase::Session).map_err(Failure::Fatal);
            let frame = match buffered.transpose() {
                Some(frame) => frame,
                None => {
                    io.stretch = 0;
                    control.end();
                    let in_transaction = self.in_pipeline || self.session.transaction_status() != TransactionStatus::Idle;
                    let stop = self.idle_end(control, in_transaction);
                    let frame = io.next_frame(stop).await;
                    if frame.is_ok() {
                        control.begin();
                    }
                    frame
                }
            };
            let frame = match frame {
                Ok(frame) => frame,
                Err(failure) => return failure,
            };
            io.let_others_in(MESSAGE_COST_BYTES + frame.body.len()).await;
            if let Err(failure) = self.serve(&mut io, frame).await {
                return failure;
            }
        }
    }

    /// Why an idle connection ends by itself: it is told to, or waits longer for its client than the settings allow.
    fn idle_end<'a>(&self, control: &'a Control, in_transaction: bool) -> impl Future<Output = Failure> + use<'a> {
        let (idle, idle_in_transaction) = self.session.idle_timeouts();
        let idle = if in_transaction { idle_in_transaction } else { idle };
        let idle = idle.map(|limit| (limit, idle_too_long(in_transaction)));
        let transaction = self.session.transaction_time_left().map(|left| (left, sql::transaction_too_long()));
        let limit = transaction.into_iter().chain(idle).min_by_key(|(left, _)| *left);
        async move {
            let Some((limit, error)) = limit else { return control.ended(in_transaction).await };
            tokio::select! {
                failure = control.ended(in_transaction) => failure,
                () = tokio::time::sleep(limit) => Failure::Fatal(error),
            }
        }
    }

    async fn serve(&mut self, io: &mut Io<'_>, frame: Frame) -> Result<(), Failure> {
        if self.skipping && !matches!(frame.tag, b'S' | b'X') {
            return Ok(());
        }
        if frame.tag == b'S' {
            self.skipping = false;
            self.in_pipeline = false;
        }
        let extended = message::is_extended(frame.tag);
        self.in_pipeline |= extended;
        let served = match message::decode(&frame) {
            Ok(message) => match self.answer(io, message, frame.body.len()).await {
                // A pipeline asks for much with little, e.g. for descriptions.
                Ok(()) if extended && frame.tag != b'S' => io.flush_if_full().await,
                answered => answered,
            },
            Err(error) => Err(Failure::Statement(error)),
        };
        let error = match served {
            Ok(()) => return Ok(()),
            Err(Failure::Statement(error)) => error,
            Err(failure) => return Err(failure),
        };
        // A statement that stopped because the connection ends has nothing to say of its own.
        if let Some(failure @ (Failure::Gone(_) | Failure::Fatal(_))) = io.control.interruption() {
            return Err(failure);
        }
        if error.state == SqlState::TRANSACTION_TIMEOUT {
            return Err(Failure::Fatal(error));
        }
        self.failed(io, &error);
        if extended {
            self.skipping = true;
            return Ok(());
        }
        self.end_cycle(io).await
    }

    async fn answer(&mut self, io: &mut Io<'_>, message: Message<'_>, length: usize) -> Result<(), Failure> {
        match message {
            Message::Query(text) => {
                let span = tracing::debug_span!("statement", protocol = "simple");
                self.simple_query(io, text).instrument(span).await
            }
            Message::Parse(parse) => self.parse(io, parse),
            Message::Bind(bind) => env::blocking_if(length >= env::BLOCKING_BYTES_MIN, || self.bind(io, bind)),
            Message::Describe(target) => self.describe(io, target),
            Message::Execute { portal, rows_max } => {
                let span = tracing::debug_span!("statement", protocol = "extended");
                self.execute(io, portal, rows_max).instrument(span).await
            }
            Message::Close(target) => {
                self.close(io, target);
                Ok(())
            }
            Message::Sync => self.end_cycle(io).await,
            Message::Flush => io.flush().await,
            // What a client still sends after its COPY failed.
            Message::CopyData(_) | Message::CopyDone | Message::CopyFail(_) => Ok(()),
            Message::FunctionCall => Err(SqlError::unsupported("function calls by message are not supported").into()),
            Message::Terminate => Err(Failure::Gone(None)),
        }
    }

    /// Ends the implicit transaction and says ReadyForQuery.
    pub(crate) async fn end_cycle(&mut self, io: &mut Io<'_>) -> Result<(), Failure> {
        match self.finish(io).await {
            Err(Failure::Statement(error)) => {
                self.failed(io, &error);
                // What was implicit is rolled back; whatever else there is to say about that was said.
                let _ = self.finish(io).await;
            }
            done => done?,
        }
        self.ready(io);
        Ok(())
    }

    /// Ends the implicit transaction. What was acknowledged before is durable when this returns. Nothing is cancelled that has run: the
    /// client is to know that it is committed.
    pub(crate) async fn finish(&mut self, io: &mut Io<'_>) -> Result<(), Failure> {
        io.to_its_end(pin!(self.session.finish_implicit())).await?;
        if self.session.transaction_status() == TransactionStatus::Idle {
            self.portals.clear();
        }
        Ok(())
    }

    /// The transaction has failed; tells the client why.
    fn failed(&mut self, io: &mut Io<'_>, error: &SqlError) {
        tracing::debug!(state = error.state.as_str(), "failed");
        io.control.forget();
        self.session.fail();
        self.portals.clear();
        io.wire.out.abandon();
        self.notices(io);
        io.wire.out.error(Severity::Error, error);
    }

    /// Tells the client what its statements had to remark.
    pub(crate) fn notices(&mut self, io: &mut Io<'_>) {
        for notice in self.session.take_notices() {
            io.wire.out.notice(&notice);
        }
    }

    fn ready(&mut self, io: &mut Io<'_>) {
        self.notices(io);
        for (name, value) in self.session.parameter_status_changes() {
            io.wire.out.parameter_status(&name, &value);
        }
        io.wire.out.ready_for_query(self.session.transaction_status());
        workers::served();
    }
}

fn idle_too_long(in_transaction: bool) -> SqlError {
    let (state, what) = match in_transaction {
        true => (SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT, "idle-in-transaction"),
        false => (IDLE_SESSION_TIMEOUT, "idle-session"),
    };
    SqlError::new(state, format!("terminating connection due to {what} timeout"))
}

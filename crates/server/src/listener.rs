//! The server: accepting connections, limiting them, stopping.
//!
//! ```text
//! accept --+-- sockets <= 2 x (connections_max + 16)?  no: closed  (a cancel request needs a socket also when the house is full)
//!          +-- logging in <= connections_max + 16?      no: the oldest is told 53300 and closed
//!          +-- startup within startup_timeout
//!          +-- sessions <= connections_max?             no: FATAL 53300 once it has proved who it is
//! shutdown: no accept; idle sessions end (57P01); running ones at their next stop; after the grace, now
//! ```
//!
//! 1. A connection is a task of its own; a panic in it is told to its client as FATAL XX000 and ends it alone.
//! 2. Trust authentication is refused on any address that is not loopback.
//!
//! Not here: what is said on a connection (`startup`, `connection`).
//! Source: PostgreSQL 15, `ServerLoop` and `pmdie`.

use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt;
use sql::Instance;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tracing::Instrument;
use types::{SqlError, SqlState};

use crate::config::{Auth, Config, Shutdown};
use crate::connection::Connection;
use crate::control::{Control, Registry};
use crate::error::{Failure, Severity};
use crate::logins::{Login, Logins};
use crate::socket::{Socket, Stream};
use crate::startup::{self, Door};
use crate::watch;
use crate::wire::Wire;

/// Those who may be logging in beyond a whole house of sessions: to cancel, or to be refused. As many sockets again for those who are
/// told to go.
const SPARE: usize = 16;
/// After an accept that failed (no file descriptor is free), the next is tried after this long.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// How long a new connection waits for a socket's place.
const SOCKET_WAIT: Duration = Duration::from_millis(200);
/// How long a shutdown waits for connections that were told to end now.
const TERMINATE_WAIT: Duration = Duration::from_secs(5);

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// `trust` was asked for on an address that others reach.
    #[error("trust authentication is refused on {0}: it lets everyone in; listen on a loopback address or use scram")]
    TrustBeyondLoopback(SocketAddr),
    /// There is nowhere to listen.
    #[error("no address to listen on was given")]
    NoAddress,
    /// An address cannot be listened on.
    #[error("listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
}

/// A running server. Dropped without [`Server::shutdown`], it stops accepting and ends its connections.
pub struct Server {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    tasks: Vec<JoinHandle<()>>,
}

struct Shared {
    door: Door,
    sessions: Arc<Semaphore>,
    sockets: Arc<Semaphore>,
    logins: Arc<Logins>,
    startup_timeout: Duration,
    stopping: AtomicBool,
}

impl Server {
    /// Listens, and serves every client from then on, in tasks of the current (multi-threaded) tokio runtime. Errors: an address is
    /// taken or not ours, `trust` is asked for beyond loopback.
    pub async fn start(config: Config, instance: Arc<Instance>) -> Result<Server, StartError> {
        if config.listen.is_empty() {
            return Err(StartError::NoAddress);
        }
        let beyond_loopback = config.listen.iter().find(|address| !address.ip().is_loopback());
        if let (Auth::Trust { .. }, Some(address)) = (&config.auth, beyond_loopback) {
            return Err(StartError::TrustBeyondLoopback(*address));
        }
        let mut listeners = vec![];
        let mut addresses = vec![];
        for address in config.listen {
            let failed = |source| StartError::Listen { address, source };
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            addresses.push(listener.local_addr().map_err(failed)?);
            listeners.push(listener);
        }
        let registry = Arc::new(Registry::default());
        let shared = Arc::new(Shared {
            door: Door { instance, registry: Arc::clone(&registry), auth: config.auth, tls: config.tls },
            sessions: Arc::new(Semaphore::new(config.connections_max)),
            sockets: Arc::new(Semaphore::new(2 * (config.connections_max + SPARE))),
            logins: Logins::new(config.connections_max + SPARE),
            startup_timeout: config.startup_timeout,
            stopping: AtomicBool::new(false),
        });
        let mut tasks = vec![watch::start(&registry)];
        for listener in listeners {
            tasks.push(tokio::spawn(accept(listener, Arc::clone(&shared))));
        }
        for address in &addresses {
            tracing::info!(%address, "listening");
        }
        Ok(Server { shared, addresses, tasks })
    }

    /// Where it listens, with the ports taken.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Connections there are now, also those that are logging in.
    pub fn connections(&self) -> usize {
        self.shared.door.registry.len()
    }

    /// Stops: accepts nobody any more, lets sessions come to the stop that `mode` says for up to `grace`, then ends them. Returns when
    /// every connection is closed; the database is still open.
    pub async fn shutdown(mut self, mode: Shutdown, grace: Duration) {
        self.stop_accepting();
        let registry = &self.shared.door.registry;
        tracing::info!(?mode, connections = registry.len(), "shutting down");
        for control in registry.all() {
            match mode {
                Shutdown::Smart => control.drain(),
                Shutdown::Fast => control.drain_statement(),
            }
        }
        if tokio::time::timeout(grace, registry.empty()).await.is_err() {
            tracing::info!(connections = registry.len(), "ending connections that are still busy");
            registry.all().iter().for_each(|control| control.terminate());
            if tokio::time::timeout(TERMINATE_WAIT, registry.empty()).await.is_err() {
                tracing::warn!(connections = registry.len(), "connections do not end");
            }
        }
    }

    fn stop_accepting(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        for task in self.tasks.drain(..).skip(1) {
            task.abort();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop_accepting();
        self.shared.door.registry.all().iter().for_each(|control| control.terminate());
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            // Those that give way to it may still be at it.
            Ok((stream, address)) => match tokio::time::timeout(SOCKET_WAIT, Arc::clone(&shared.sockets).acquire_owned()).await {
                Ok(Ok(permit)) => serve(stream, address, permit, &shared),
                _ => tracing::warn!(%address, "too many sockets, closing a new one"),
            },
            Err(error) => {
                tracing::warn!(%error, "accept a connection");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

fn serve(stream: TcpStream, address: SocketAddr, permit: OwnedSemaphorePermit, shared: &Arc<Shared>) {
    let socket = match Socket::new(stream) {
        Ok(socket) => socket,
        Err(error) => {
            tracing::debug!(%address, %error, "the client closed its socket at once");
            return;
        }
    };
    let entry = shared.door.registry.enter(Arc::downgrade(&socket.0));
    let shared = Arc::clone(shared);
    let span = tracing::info_span!("connection", process_id = entry.control.process_id, %address);
    let task = async move {
        let mut wire = Wire::new(Stream::Plain(socket.clone()));
        let control = &entry.control;
        let mut login = Some(shared.logins.enter(control));
        let served = AssertUnwindSafe(converse(&mut wire, &socket, &shared, &mut login, control, address)).catch_unwind().await;
        let ending = served.unwrap_or_else(|_| {
            tracing::error!("a panic ended the connection");
            Failure::Fatal(SqlError::bug("the server met a bug and closes this connection"))
        });
        drop(socket);
        match login {
            Some(_) if control.gives_way() => hurry(wire, &ending).await,
            Some(_) => tokio::select! {
                () = part(wire, ending) => {}
                () = control.place_needed() => {}
            },
            None => part(wire, ending).await,
        }
        drop((login, entry, permit));
    };
    tokio::spawn(task.instrument(span));
}

/// Everything a connection does until it ends, and how it ended. `login` is given up with success.
async fn converse(
    wire: &mut Wire,
    socket: &Socket,
    shared: &Shared,
    login: &mut Option<Login>,
    control: &Arc<Control>,
    address: SocketAddr,
) -> Failure {
    let log_in = log_in(wire, socket, shared, control, address);
    let (mut connection, _session_permit) = tokio::select! {
        logged_in = tokio::time::timeout(shared.startup_timeout, log_in) => match logged_in {
            Ok(Ok(Some(connection))) => connection,
            Ok(Ok(None)) => return Failure::Gone(None),
            Ok(Err(failure)) => return failure,
            Err(_) => return Failure::Fatal(SqlError::new(SqlState::QUERY_CANCELED, "canceling authentication due to timeout")),
        },
        failure = control.login_ended() => return failure,
    };
    *login = None;
    connection.run(wire, control).await
}

async fn log_in(
    wire: &mut Wire,
    socket: &Socket,
    shared: &Shared,
    control: &Arc<Control>,
    address: SocketAddr,
) -> Result<Option<(Connection, OwnedSemaphorePermit)>, Failure> {
    let Some(startup) = startup::greet(wire, socket, &shared.door).await? else { return Ok(None) };
    if shared.stopping.load(Ordering::SeqCst) {
        let error = SqlError::new(SqlState::CANNOT_CONNECT_NOW, "the database system is shutting down");
        return Err(Failure::Fatal(error));
    }
    startup::authenticate(wire, &startup, &shared.door).await?;
    let Ok(permit) = Arc::clone(&shared.sessions).try_acquire_owned() else {
        let error = SqlError::new(SqlState::TOO_MANY_CONNECTIONS, "sorry, too many clients already");
        return Err(Failure::Fatal(error));
    };
    let session = startup::log_in(wire, startup, &shared.door, control, address).await?;
    tracing::info!(user = session.login().user, database = session.login().database, "connected");
    Ok(Some((Connection::new(session), permit)))
}

/// Tells the client how it ended, if that is still possible, and closes.
async fn part(mut wire: Wire, ending: Failure) {
    match ending {
        Failure::Fatal(error) | Failure::Statement(error) => {
            tracing::info!(state = error.state.as_str(), message = error.message, "closing the connection");
            wire.out.error(Severity::Fatal, &error);
            wire.close().await;
        }
        Failure::Gone(None) => {
            tracing::debug!("disconnected");
            wire.close().await;
        }
        Failure::Gone(Some(error)) => tracing::debug!(%error, "the connection broke"),
    }
}

/// As [`part`], of one whose place another waits for: the client gets no time to read it.
async fn hurry(mut wire: Wire, ending: &Failure) {
    if let Failure::Fatal(error) | Failure::Statement(error) = ending {
        wire.out.error(Severity::Fatal, error);
        let _ = tokio::time::timeout(SOCKET_WAIT, wire.flush()).await;
    }
}

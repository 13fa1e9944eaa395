//! How a server is set up.

use std::net::SocketAddr;
use std::time::Duration;

use crate::credentials::{Credentials, SUPERUSER};
use crate::tls::Tls;

/// How clients prove who they are.
#[derive(Clone, Debug)]
pub enum Auth {
    /// SCRAM-SHA-256 against verifiers.
    Scram(Credentials),
    /// Not at all: everyone is who they say, if that user exists. Only on loopback addresses, for tests.
    Trust {
        /// The users that exist.
        users: Vec<String>,
    },
}

impl Auth {
    /// Trust for the superuser alone.
    pub fn trust() -> Auth {
        Auth::Trust { users: vec![SUPERUSER.to_owned()] }
    }
}

/// What a [`crate::Server`] needs beside its database.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 takes any free one.
    pub listen: Vec<SocketAddr>,
    /// Who may log in.
    pub auth: Auth,
    /// Offers TLS to clients that ask for it. Without it they are told there is none.
    pub tls: Option<Tls>,
    /// Sessions at a time; one more is refused with 53300. PostgreSQL's default is 100 too.
    pub connections_max: usize,
    /// How long a client may take from connecting to being logged in. 60 s in PostgreSQL (`authentication_timeout`).
    pub startup_timeout: Duration,
}

impl Config {
    /// PostgreSQL's defaults, listening on `listen`.
    pub fn new(listen: Vec<SocketAddr>, auth: Auth) -> Config {
        Config { listen, auth, tls: None, connections_max: 100, startup_timeout: Duration::from_secs(60) }
    }
}

/// How a server stops: what happens to sessions that are in the middle of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Transactions may end: a session is told 57P01 once it is idle outside a transaction.
    Smart,
    /// Statements may end: a session is told 57P01 once it is idle, its transaction is rolled back.
    Fast,
}

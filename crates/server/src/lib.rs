//! PostgreSQL's protocol over TCP: connections, authentication, TLS, the messages, cancelling and stopping.
//!
//! ```text
//!             workers      the threads
//!             listener     accept, limits, shutdown; a task per connection
//!             startup      TLS, version, parameters          auth, credentials, tls
//!             connection   the loop                          control: its marks; watch: is the client still there
//!             simple | extended | copy                       what messages do
//!             rows         results, pulled as they are sent
//! socket ---- wire         two buffers                       frame, message: bytes in; output, encode: bytes out
//! ```
//!
//! 1. The only crate that knows `pgwire`: its SCRAM mathematics and the messages of the login are used, its loop and its decoders are
//!    not (they can be made to panic, and buffer whole results).
//! 2. Whatever bytes a client sends, it gets an answer or its connection is closed: no panic, no allocation from a length alone.
//! 3. A result is pulled as fast as its client takes it; no result is ever held as a whole.
//! 4. Nothing of a row and no literal is logged at the default level.
//!
//! Not here: what a statement means (`sql`), processes and signals (`cli`).
//! Source: PostgreSQL 15, chapter "Frontend/Backend Protocol"; compared with it byte by byte in `tests/`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod auth;
mod config;
mod connection;
mod control;
mod copy;
pub mod credentials;
mod encode;
mod error;
mod extended;
mod frame;
pub mod fuzzing;
mod listener;
mod logins;
mod message;
mod output;
mod rows;
mod simple;
mod socket;
mod startup;
mod tls;
mod watch;
mod wire;
pub mod workers;

pub use config::{Auth, Config, Shutdown};
pub use credentials::Credentials;
pub use listener::{Server, StartError};
pub use tls::{Tls, TlsError};

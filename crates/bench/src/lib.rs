//! What every load driver and report needs: a connection to any PostgreSQL-wire server, latencies, a progress line, tables, JSON.
//!
//! ```text
//!   Target --connect--> Session or Direct --timed statements--> Histogram / Timings --> table or JSON, with the Machine it ran on
//! ```
//!
//! 1. A driver speaks the plain PostgreSQL protocol, so the same program measures Colonnade and PostgreSQL.
//! 2. A figure is never printed without the machine, the time and the server's version beside it ([`Report`]).
//! 3. Passwords stay in [`Target`]: neither its `Display` nor any report shows them.
//!
//! Not here: what a suite runs (`tpch`, `tpcc`); the embedded engine.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod direct;
mod latency;
mod output;
mod progress;
mod report;
mod table;
mod target;
mod timings;

pub use latency::Histogram;
pub use output::{answer, say, warn};
pub use progress::Progress;
pub use report::{Machine, Report, Server};
pub use table::{Align, Table};
pub use target::{BenchError, Session, Target, TextRows, describe};
pub use timings::{Timings, geometric_mean};

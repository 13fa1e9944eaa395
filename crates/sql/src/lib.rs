//! Statements: what a client may say, from its text to its answer.
//!
//! ```text
//! text --parse--> Statement --prepare--> Prepared --execute--> Answer        all of one client's, in one Session
//!                    |                      |                    |
//!              own utility forms      types, columns,      point | analytic | ddl | dml | copy | settings
//!              and sqlparser's        plan (cached)        in the session's transaction
//! ```
//!
//! 1. A [`Session`] is one client in one database. Everything between two [`Session::finish_implicit`] calls is one implicit
//!    transaction unless BEGIN opened an explicit one; a session dropped is rolled back.
//! 2. A statement happens as a whole or not at all: a failed one is undone to its savepoint.
//! 3. What is parsed is done or refused with a reason (0A000). No option is read and ignored, except those that cannot change a
//!    result here (storage parameters, buffering hints).
//! 4. Messages, SQLSTATEs and command tags are PostgreSQL 15's; the `.slt` files of this crate also run against PostgreSQL.
//!
//! Not here: sockets and message formats (`server`), how a SELECT is planned (`analytic`, `point`), rows and locks (`engine`).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod activity;
mod answer;
mod append;
mod check;
mod column;
mod control;
mod copy;
mod cursor;
mod ddl;
mod deparse;
mod dml;
mod evaluate;
mod explain;
mod format;
mod instance;
mod locals;
mod lock_tables;
mod locking;
mod names;
mod notice;
mod parameters;
mod parse;
mod pg_catalog;
mod plan_cache;
mod point_plan;
mod prepare;
mod query;
mod reading;
mod references;
mod session;
mod settings;
mod transaction;
mod watch;

pub use activity::{ActivityState, Backend, SessionActivity};
pub use analytic::STACK_BYTES;
pub use answer::{Answer, CopyInInfo, CopyOut, RowBatch, Rows};
pub use append::Append;
pub use check::{check, repair};
pub use copy::decode::{Input as CopyInput, Record as CopyRecord};
pub use format::{ByteaOutput, FormatOptions};
pub use instance::{Instance, Options};
pub use notice::{Notice, Severity};
pub use parse::Statement;
pub use pg_catalog::{SystemRows, is_array, is_type, system_parameter};
pub use prepare::{OutputColumn, Prepared};
pub use session::{Login, Session, TransactionStatus};
pub use watch::transaction_too_long;

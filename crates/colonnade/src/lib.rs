//! Colonnade in a process of yours: a transactional row store in front of columns, without a server.
//!
//! ```
//! use colonnade::{Database, Value};
//!
//! # fn main() -> Result<(), colonnade::Error> {
//! let database = Database::in_memory()?;
//! let mut connection = database.connect()?;
//! connection.execute("CREATE TABLE city (name text PRIMARY KEY, people bigint)")?;
//! connection.execute("INSERT INTO city VALUES ('Turin', 850000), ('Genoa', 560000)")?;
//!
//! let insert = connection.prepare("INSERT INTO city VALUES ($1, $2)")?;
//! connection.execute_prepared(&insert, &[Value::from("Aosta"), Value::from(33000i64)])?;
//!
//! let rows = connection.query("SELECT name FROM city WHERE people > 500000 ORDER BY name")?;
//! let names: Vec<&str> = rows.iter().filter_map(|row| row[0].as_str()).collect();
//! assert_eq!(names, ["Genoa", "Turin"]);
//!
//! // Columns, as Arrow record batches.
//! let batches = connection.query_arrow("SELECT sum(people) AS everybody FROM city")?;
//! assert_eq!(batches[0].schema().field(0).name(), "everybody");
//! # Ok(())
//! # }
//! ```
//!
//! 1. A [`Database`] owns a data directory: no other process can open it meanwhile. [`Database::open`] creates it when absent.
//! 2. A [`Connection`] is one session: its transaction, settings and prepared statements. Each call outside of BEGIN .. COMMIT is a
//!    transaction of its own, durable when it returns.
//! 3. Everything comes in two kinds: calls that block ([`Connection`]) and calls that are awaited ([`AsyncConnection`]).
//!
//! Not here: the Postgres wire (`server`). What SQL there is, is documented with [`sql`].

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod asynchronous;
mod connection;
mod database;
mod value;

pub use asynchronous::AsyncConnection;
pub use connection::{Connection, Row, Rows, Statement};
pub use database::Database;
/// What went wrong: message, SQLSTATE, and what else PostgreSQL's error fields tell.
pub use types::SqlError as Error;
pub use value::Value;

pub use arrow;
pub use sql;

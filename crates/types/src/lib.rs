//! The vocabulary every other crate speaks: ids, SQL types and values, rows, keys and errors.
//!
//! 1. `ids`: newtypes for everything that is counted or named.
//! 2. `sql_type`, `datum`: PostgreSQL's types and one value of them; `text`, `binary` their two wire forms, `arrow_form` their
//!    columnar form, `coerce` the assignment rules between them.
//!    `calendar` is the arithmetic of days, `zone` that of time zones.
//! 3. `row`: one row as one byte image, `key`: values as bytes whose order is SQL order, `byte_list`: many of either, `row_images`: rows
//!    of a result.
//! 4. `error`: what a user is told, with PostgreSQL's SQLSTATEs.
//!
//! Not here: files, SQL text, expressions (`expr`).

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod arrow_form;
pub mod binary;
mod byte_list;
pub mod calendar;
pub mod coerce;
pub mod datum;
pub mod error;
pub mod float;
pub mod ids;
pub mod key;
pub mod row;
mod row_images;
pub mod sql_type;
pub mod text;
pub mod zone;

pub use byte_list::ByteList;
pub use datum::{Datum, DatumRef, Decimal, Interval};
pub use error::{Kind, SqlError, SqlState};
pub use ids::{ColumnId, CommitTs, DatabaseId, Lsn, Oid, SchemaId, SegmentId, TableId, TxnId};
pub use key::{Direction, Key};
pub use row::{Row, RowLayout, RowRef};
pub use row_images::{RowImages, Shown};
pub use sql_type::SqlType;

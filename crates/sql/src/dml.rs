//! INSERT, UPDATE, DELETE.
//!
//! ```text
//! INSERT  VALUES | SELECT --columns, defaults, assignment--> rows --> Transaction::insert, or a bulk load from 65,536 rows on
//! UPDATE  query: key, new values --all collected first--> for each key: newest row, changed --> Transaction::modify
//! DELETE  query: key             --all collected first--> Transaction::modify
//! ```
//!
//! 1. The query is finished before the first row is written, so no statement meets its own changes.
//! 2. READ COMMITTED: when a row has changed since the statement's snapshot, the statement is undone, those rows are locked, and it
//!    runs again on a fresh snapshot, which sees them as they are now.
//! 3. A row is checked as PostgreSQL does: types, then NOT NULL, then the key.
//!
//! Not here: statements by key without a query (`point`).

mod bulk;
mod cell;
mod defaults;
mod fill;
mod insert;
mod modify;
mod returning;
mod target;

use types::Datum;

pub(crate) use bulk::{BULK_ROWS, Loader};
pub(crate) use cell::check_assignable;
pub(crate) use defaults::{Default, default_of};
pub(crate) use insert::InsertPlan;
pub(crate) use modify::ModifyPlan;
pub(crate) use target::Target;

/// The memory that a row of values takes.
pub(crate) fn row_bytes(values: &[Datum]) -> usize {
    let long = |value: &Datum| match value {
        Datum::Text(v) => v.len(),
        Datum::Bytea(v) => v.len(),
        _ => 0,
    };
    size_of::<Vec<Datum>>() + size_of_val(values) + values.iter().map(long).sum::<usize>()
}

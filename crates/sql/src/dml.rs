//! INSERT, UPDATE, DELETE, MERGE, and WITH around them.
//!
//! ```text
//! INSERT  VALUES | SELECT --columns, defaults, assignment--> rows --> Transaction::insert, or a bulk load from 65,536 rows on
//! UPDATE  query: key, new values --all collected first--> for each key: newest row, changed --> Transaction::modify
//! DELETE  query: key             --all collected first--> Transaction::modify
//! ```
//!
//! 1. The query is finished before the first row is written, so no statement meets its own changes.
//! 2. READ COMMITTED: when rows have changed since the statement's snapshot, the statement is undone, those rows are held, and the
//!    query is asked again about them alone, as they are now, with everything else as of the snapshot. Only rows that the snapshot
//!    shows as wanted are ever changed.
//! 3. A row is checked as PostgreSQL does: types, then NOT NULL, then the key.
//!
//! Not here: statements by key without a query (`point`).

mod arbiters;
mod assignments;
mod bulk;
mod cell;
mod conflict;
mod defaults;
mod fill;
mod insert;
mod merge;
mod modify;
mod outcome;
mod returning;
mod target;
mod with;
mod write;

use arrow::array::RecordBatch;
use env::BLOCKING_STEPS_MIN;
use types::Datum;

pub(crate) use assignments::defined_always;
pub(crate) use bulk::Loader;
pub(crate) use cell::check_assignable;
pub(crate) use defaults::{Default, default_of};
pub(crate) use insert::InsertPlan;
pub(crate) use merge::MergePlan;
pub(crate) use modify::{ModifyPlan, key_at};
pub(crate) use outcome::Outcome;
pub(crate) use target::{Target, renewed};
pub(crate) use with::WithPlan;

/// Whether to write so many rows is [`env::blocking`].
pub(crate) fn has_many_rows(batches: &[RecordBatch]) -> bool {
    batches.iter().map(RecordBatch::num_rows).sum::<usize>() >= BLOCKING_STEPS_MIN
}

/// The memory that a row of values takes.
pub(crate) fn row_bytes(values: &[Datum]) -> usize {
    let long = |value: &Datum| match value {
        Datum::Text(v) => v.len(),
        Datum::Bytea(v) => v.len(),
        _ => 0,
    };
    size_of::<Vec<Datum>>() + size_of_val(values) + values.iter().map(long).sum::<usize>()
}

//! UPDATE and DELETE of the rows between two keys.
//!
//! ```text
//! range --condition at the snapshot--> keys, all of them --> each row locked --> condition looked at again --> new row
//! ```
//!
//! 1. No row is written before the last key is known: what the statement writes is not met by its own range.
//! 2. The condition is the whole of WHERE, so a row whose new version has left the range is left alone.
//! 3. Too many rows, or too much for RETURNING: nothing is written, or it is undone, and the general way does it.
//!
//! Source: PostgreSQL 15 `EvalPlanQual`, for what is looked at again.

use std::ops::ControlFlow;

use engine::Transaction;
use env::{BLOCKING_STEPS_MIN, blocking_if};
use types::{ByteList, Datum, SqlError};

use crate::range::{BYTES_MAX, bytes_of};
use crate::write::TableWriter;
use crate::{Access, Outcome, Program};

impl Program {
    /// Changes or removes the rows of a range, or [`Outcome::TooMany`].
    pub(crate) fn modify_range(
        &self,
        access: &Access,
        transaction: &mut Transaction,
        params: &[Datum],
        writer: &TableWriter,
    ) -> Result<Outcome, SqlError> {
        let mut keys = ByteList::default();
        let is_all = self.each_found(transaction, params, &mut |key, _| {
            keys.push(key);
            Ok(ControlFlow::Continue(()))
        })?;
        if !is_all {
            return Ok(Outcome::TooMany);
        }
        let start = transaction.savepoint();
        let outcome = blocking_if(keys.len() >= BLOCKING_STEPS_MIN, || {
            let (mut rows, mut returned, mut bytes) = (0, Vec::new(), 0);
            for at in 0..keys.len() {
                match self.modify(access, transaction, &keys.get(at).into(), params, writer)? {
                    Outcome::Returned(values) => {
                        bytes += values.iter().flatten().map(bytes_of).sum::<usize>();
                        returned.extend(values);
                    }
                    Outcome::Changed(more) => rows += more,
                    other => return Ok(other),
                }
                if bytes > BYTES_MAX {
                    return Ok(Outcome::TooMany);
                }
            }
            Ok(if self.columns.is_empty() { Outcome::Changed(rows) } else { Outcome::Returned(returned) })
        });
        if matches!(outcome, Ok(Outcome::TooMany)) {
            transaction.rollback_to(&start);
        }
        outcome
    }
}

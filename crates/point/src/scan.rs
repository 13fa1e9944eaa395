//! The rows that a program finds, one after the other.

use std::ops::{Bound, ControlFlow};

use engine::{RangeOf, Transaction};
use types::{Datum, Key, RowRef, SqlError};

use crate::range::{ROWS_MAX, ROWS_PER_BLOCK, Range};
use crate::{Access, Program};

/// Takes a row's key and the row; says whether it wants more.
pub(crate) type Visit<'a> = dyn FnMut(&[u8], RowRef<'_>) -> Result<ControlFlow<()>, SqlError> + 'a;

impl Program {
    /// Shows `visit` the rows that satisfy the condition at the statement's snapshot, until it has enough: of a join those of all
    /// tables together, which have no key. False: there are more to
    /// look at than a program does. Errors: those of the expressions, of `visit`, and 57014.
    pub(crate) fn each_found(
        &self,
        transaction: &Transaction,
        params: &[Datum],
        visit: &mut Visit<'_>,
    ) -> Result<bool, SqlError> {
        if let Some(join) = &self.join {
            return join.each(transaction, params, visit);
        }
        let Some(access) = &self.access else { return Ok(true) };
        let mut looked_at = 0;
        let mut look = |key: &[u8], row: RowRef<'_>| {
            looked_at += 1;
            if looked_at > ROWS_MAX {
                return Ok(ControlFlow::Break(()));
            }
            match &access.condition {
                Some(condition) if !condition.holds(Some(row), params)? => Ok(ControlFlow::Continue(())),
                _ => visit(key, row),
            }
        };
        if let Some(range) = &self.range {
            let _ = range.each(access, &self.reads, transaction, None, params, &mut look)?;
        } else if let Some(key) = access.find(transaction, None, params)?
            && let Some(row) = transaction.get_columns(access.table.id, &key, &self.reads)?
        {
            let _ = look(&key, access.layout.read(&row))?;
        }
        Ok(looked_at <= ROWS_MAX)
    }
}

impl Range {
    /// Shows `visit` each row with the stored columns `reads`, in the order of the range, until it has enough. `earlier`: what keys are
    /// computed from, of a join.
    pub(crate) fn each(
        &self,
        access: &Access,
        reads: &[usize],
        transaction: &Transaction,
        earlier: Option<RowRef<'_>>,
        params: &[Datum],
        visit: &mut Visit<'_>,
    ) -> Result<ControlFlow<()>, SqlError> {
        let Some((from, to)) = self.bounds(&access.table, earlier, params)? else { return Ok(ControlFlow::Continue(())) };
        let (of, wanted) = match &self.index {
            None => (access.table.id, reads),
            Some(entries) => (entries.id, entries.wanted.as_slice()),
        };
        let bounds = RangeOf { from: as_bytes(&from), to: as_bytes(&to), direction: self.direction, wanted: Some(wanted) };
        let mut cursor = transaction.range(of, bounds)?;
        let mut block = cursor.block();
        loop {
            cursor.next(&mut block, ROWS_PER_BLOCK)?;
            for at in 0..block.len() {
                let flow = match &self.index {
                    None => visit(block.key(at), block.row(at))?,
                    Some(entries) => {
                        let key = entries.named_by(&access.table, block.row(at));
                        match transaction.get_columns(access.table.id, &key, reads)? {
                            Some(row) => visit(&key, access.layout.read(&row))?,
                            None => return Err(SqlError::bug(format!("index {} names a row that is not there", self.name))),
                        }
                    }
                };
                if flow.is_break() {
                    return Ok(flow);
                }
            }
            if block.is_empty() {
                return Ok(ControlFlow::Continue(()));
            }
        }
    }
}

fn as_bytes(bound: &Bound<Key>) -> Bound<&[u8]> {
    bound.as_ref().map(|key| &**key)
}

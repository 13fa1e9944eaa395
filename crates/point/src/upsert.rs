//! ON CONFLICT of a compiled INSERT.
//!
//! ```text
//! row --insert--> there               key exists --> DO NOTHING: the next row
//!                                                --> DO UPDATE:  row locked --> existing ++ excluded --> condition, new values
//! ```
//!
//! 1. Expressions read one row that has the columns of the row in the way and, behind them, those of the row that was to be added.
//! 2. Arbiters known here are those of plain columns, and DO UPDATE does not change the primary key; anything else takes the general
//!    way.
//! 3. A row is added or changed once by one statement: 21000 for the second time.
//! 4. REPEATABLE READ: a row in the way that the snapshot does not show is a conflict (40001), also for DO NOTHING.
//!
//! Source: PostgreSQL 15, `ExecOnConflictUpdate`.

use std::collections::{BTreeSet, HashSet};

use engine::{Change, Modified, Transaction};
use expr::row::{Binder, RowExpr};
use sqlparser::ast::{ConflictTarget, OnConflict as Syntax, OnConflictAction};
use types::{Datum, Key, RowLayout, SqlError, SqlState, SqlType, coerce};

use crate::compile::{Named, Scope, assignments};
use crate::write::{Arbiters, Inserted, TableWriter, changed_since};

/// How often a row in the way may go while it is waited for.
const ATTEMPTS_MAX: usize = 1000;

/// A compiled ON CONFLICT.
#[derive(Debug)]
pub(crate) struct OnConflict {
    arbiters: Arbiters,
    /// `None`: DO NOTHING.
    update: Option<Update>,
}

#[derive(Debug)]
struct Update {
    /// Stored columns of the row in the way, then those of the row that was to be added.
    both: RowLayout,
    assignments: Vec<(usize, RowExpr)>,
    condition: Option<RowExpr>,
}

impl OnConflict {
    pub(crate) fn compile(
        on: &Syntax,
        named: &Named,
        scope: &Scope<'_>,
        params: &mut Vec<Option<SqlType>>,
    ) -> Option<OnConflict> {
        let table = &named.table;
        // What cannot be an arbiter is told by the general way.
        if table.indexes.iter().any(|index| index.unique && !index.refuses_duplicates()) {
            return None;
        }
        let arbiters = match &on.conflict_target {
            Some(ConflictTarget::Columns(names)) => {
                let columns: BTreeSet<usize> = names.iter().map(|name| table.column(&name.value)).collect::<Option<_>>()?;
                Arbiters::of_columns(table, &columns)?
            }
            Some(ConflictTarget::OnConstraint(_)) => return None,
            None if matches!(on.action, OnConflictAction::DoNothing) => Arbiters::All,
            None => return None,
        };
        let OnConflictAction::DoUpdate(update) = &on.action else { return Some(OnConflict { arbiters, update: None }) };
        let stored = table.stored_types();
        let column = |parts: &[&str]| match parts {
            // A bare name is ambiguous.
            ["excluded", name] => named.column(&[name]).map(|(at, t)| (at + stored.len(), t)),
            [qualifier, _] if *qualifier == named.name => named.column(parts),
            _ => None,
        };
        let mut binder = Binder { column: &column, data_type: scope.data_type, params: std::mem::take(params) };
        let assignments = assignments(&update.assignments, table, &mut binder)?;
        let condition = match &update.selection {
            None => None,
            Some(selection) => Some(binder.bind_as(selection, SqlType::Bool)?),
        };
        *params = binder.params;
        let both: Vec<SqlType> = stored.iter().chain(&stored).copied().collect();
        Some(OnConflict { arbiters, update: Some(Update { both: RowLayout::new(&both), assignments, condition }) })
    }

    pub(crate) fn updates(&self) -> bool {
        self.update.is_some()
    }

    /// The work on a statement of so many rows.
    pub(crate) fn begin(&self, rows: usize) -> Upsert<'_> {
        Upsert { conflict: self, touched: (rows > 1 && self.update.is_some()).then(HashSet::new) }
    }
}

/// One statement's.
pub(crate) struct Upsert<'a> {
    conflict: &'a OnConflict,
    /// Keys of rows added or changed, if there can be two of one.
    touched: Option<HashSet<Key>>,
}

impl Upsert<'_> {
    /// Adds a row by its SQL columns, or does what ON CONFLICT says. Returns the row that was added or changed, as it is now.
    pub(crate) fn row(
        &mut self,
        transaction: &mut Transaction,
        writer: &TableWriter,
        values: Vec<Datum>,
        params: &[Datum],
    ) -> Result<Option<Vec<Datum>>, SqlError> {
        for _ in 0..ATTEMPTS_MAX {
            let conflict = match writer.insert_by(transaction, &values, &self.conflict.arbiters)? {
                Inserted::Done(key) => {
                    if let Some(touched) = &mut self.touched {
                        touched.insert(key);
                    }
                    return Ok(Some(values));
                }
                Inserted::Conflict(conflict) if !self.conflict.arbiters.has(conflict.index) => {
                    return Err(writer.conflict(&conflict, &values));
                }
                Inserted::Conflict(conflict) => conflict,
            };
            let Some(update) = &self.conflict.update else {
                return writer.see_conflicting(transaction, &conflict).map(|()| None);
            };
            let Some(key) = writer.conflicting(transaction, &conflict)? else { continue };
            if self.touched.as_ref().is_some_and(|touched| touched.contains(&key)) {
                return Err(second_time());
            }
            let mut met = false;
            let mut new = None;
            let outcome = writer.modify_newest(transaction, &key, &mut |row| {
                met = writer.has_key(row, &conflict)?;
                new = None;
                if !met {
                    return Ok(Change::Keep);
                }
                let existing = row.to_datums();
                let numbers = vec![Datum::Int8(0); writer.table().hidden()];
                let both = Both { existing: existing.iter(), rowid: numbers.iter(), excluded: values.iter() };
                let both = update.both.encode_refs(both);
                let both = update.both.read(&both);
                if let Some(condition) = &update.condition
                    && !condition.holds(Some(both), params)?
                {
                    // It stays, and is held as in PostgreSQL.
                    return Ok(Change::Put(row.to_row()));
                }
                let table = writer.table();
                let mut changed = existing.clone();
                for (column, value) in &update.assignments {
                    let definition = &table.columns[*column];
                    let value = value.evaluate(Some(both), params)?;
                    changed[table.hidden() + *column] = coerce::assign_column(value, definition.data_type, &definition.name)?;
                }
                writer.generate(&mut changed[table.hidden()..])?;
                let image = writer.layout().encode(&changed);
                new = Some(changed.split_off(table.hidden()));
                Ok(Change::Put(image))
            })?;
            match outcome {
                Modified::NotFound if transaction.isolation().keeps_snapshot() => return Err(changed_since()),
                _ if met => {
                    if let Some(touched) = &mut self.touched {
                        touched.insert(key);
                    }
                    return Ok(new);
                }
                // It has gone meanwhile, or got another key.
                _ => {}
            }
        }
        Err(changed_since())
    }
}

/// 21000.
pub fn second_time() -> SqlError {
    let hint = "Ensure that no rows proposed for insertion within the same command have duplicate constrained values.";
    SqlError::new(SqlState::CARDINALITY_VIOLATION, "ON CONFLICT DO UPDATE command cannot affect row a second time").hint(hint)
}

/// The values of a row of both.
#[derive(Clone)]
struct Both<'a> {
    existing: std::slice::Iter<'a, Datum>,
    /// Of the row that was to be added, if rows have such: nobody can ask for it.
    rowid: std::slice::Iter<'a, Datum>,
    excluded: std::slice::Iter<'a, Datum>,
}

impl<'a> Iterator for Both<'a> {
    type Item = types::DatumRef<'a>;

    fn next(&mut self) -> Option<types::DatumRef<'a>> {
        let Both { existing, rowid, excluded } = self;
        existing.next().or_else(|| rowid.next()).or_else(|| excluded.next()).map(Datum::as_ref)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.existing.len() + self.rowid.len() + self.excluded.len();
        (len, Some(len))
    }
}

impl ExactSizeIterator for Both<'_> {}

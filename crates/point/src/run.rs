//! Running a program.

use std::sync::Arc;

use engine::{Change, Modified, Place, Transaction};
use expr::row::RowExpr;
use types::{Datum, Key, RowImages, RowRef, SqlError, coerce};

use crate::write::TableWriter;
use crate::{Access, Program, Verb};

/// What a program gave.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The row of a SELECT, if there is one; that of its aggregates.
    Row(Option<Vec<Datum>>),
    /// The rows of a SELECT between two keys.
    Rows(Vec<Vec<Datum>>),
    /// Rows of a SELECT of columns as they are.
    Images(RowImages),
    /// There are more rows than a program is for: nothing was given, and nothing written.
    TooMany,
    /// How many rows were changed, removed or added.
    Changed(u64),
    /// What RETURNING gives of each of them.
    Returned(Vec<Vec<Datum>>),
}

impl Program {
    /// Runs the program in a transaction whose statement has begun. `params` are of the types the program says; `writer` is of its
    /// table, as the program knows it; a SELECT needs none.
    ///
    /// Errors: those of the expressions and of the writer (23502, 23505, 23514), and the engine's: 40001, 40P01, 55P03, 57014.
    pub fn run(
        &self,
        transaction: &mut Transaction,
        params: &[Datum],
        writer: Option<&TableWriter>,
    ) -> Result<Outcome, SqlError> {
        if let Some(aggregates) = &self.aggregates {
            return self.aggregate(aggregates, transaction, params);
        }
        let Some(access) = &self.access else {
            if self.join.is_some() {
                return self.select_joined(transaction, params);
            }
            return Ok(Outcome::Row(Some(evaluate_all(&self.outputs, None, params)?)));
        };
        if self.verb == Verb::Select {
            if let Some(range) = &self.range {
                return self.select_range(access, range, transaction, params);
            }
            return match access.find(transaction, None, params)? {
                None => Ok(Outcome::Row(None)),
                Some(key) => self.select(access, transaction, &key, params),
            };
        }
        let Some(writer) = writer else { return Err(SqlError::bug("a program that writes has no writer")) };
        if self.verb == Verb::Insert {
            return self.insert(transaction, params, writer);
        }
        if self.range.is_some() {
            return self.modify_range(access, transaction, params, writer);
        }
        match access.find(transaction, None, params)? {
            None => Ok(self.written(0, None)),
            // A row that the snapshot does not show to be wanted is not waited for, whatever becomes of it.
            Some(key) if !access.wants(transaction, &key, params)? => Ok(self.written(0, None)),
            Some(key) => self.modify(access, transaction, &key, params, writer),
        }
    }

    /// Where the row is that the parameters ask for. Errors: as [`Program::run`].
    pub fn locate(&self, transaction: &Transaction, params: &[Datum]) -> Result<Place, SqlError> {
        let Some(access) = self.access.as_ref().filter(|_| self.range.is_none()) else { return Ok(Place::Nowhere) };
        match access.find(transaction, None, params)? {
            Some(key) => Ok(transaction.locate(access.table.id, &key)?),
            None => Ok(Place::Nowhere),
        }
    }

    fn select(&self, access: &Access, transaction: &mut Transaction, key: &Key, params: &[Datum]) -> Result<Outcome, SqlError> {
        let Some(image) = transaction.get_columns(access.table.id, key, &self.reads)? else { return Ok(Outcome::Row(None)) };
        let row = access.layout.read(&image);
        if let Some(condition) = &access.condition
            && !condition.holds(Some(row), params)?
        {
            return Ok(Outcome::Row(None));
        }
        if let Some(shown) = &self.shown {
            return Ok(Outcome::Images(RowImages::of(Arc::clone(shown), image)));
        }
        if let Some(lock) = self.lock {
            return Ok(Outcome::Row(self.lock_row(lock, access, transaction, key, params)?));
        }
        Ok(Outcome::Row(Some(evaluate_all(&self.outputs, Some(row), params)?)))
    }

    pub(crate) fn modify(
        &self,
        access: &Access,
        transaction: &mut Transaction,
        key: &Key,
        params: &[Datum],
        writer: &TableWriter,
    ) -> Result<Outcome, SqlError> {
        let hidden = access.table.hidden();
        let mut returned = None;
        let outcome = writer.modify(transaction, key, &mut |row| {
            if let Some(condition) = &access.condition
                && !condition.holds(Some(row), params)?
            {
                return Ok(Change::Keep);
            }
            if self.verb == Verb::Delete {
                returned = self.outputs_of(row, params)?;
                return Ok(Change::Delete);
            }
            let mut values = row.to_datums();
            for (column, value) in &self.assignments {
                let definition = &access.table.columns[*column];
                let new = value.evaluate(Some(row), params)?;
                values[hidden + column] = coerce::assign_column(new, definition.data_type, &definition.name)?;
            }
            writer.generate(&mut values[hidden..])?;
            let image = access.layout.encode(&values);
            returned = self.outputs_of(access.layout.read(&image), params)?;
            Ok(Change::Put(image))
        })?;
        Ok(match outcome {
            Modified::Changed => self.written(1, returned),
            Modified::Kept | Modified::NotFound => self.written(0, None),
        })
    }

    fn outputs_of(&self, row: RowRef<'_>, params: &[Datum]) -> Result<Option<Vec<Datum>>, SqlError> {
        if self.outputs.is_empty() {
            return Ok(None);
        }
        evaluate_all(&self.outputs, Some(row), params).map(Some)
    }

    fn written(&self, rows: u64, returned: Option<Vec<Datum>>) -> Outcome {
        if self.columns.is_empty() { Outcome::Changed(rows) } else { Outcome::Returned(returned.into_iter().collect()) }
    }
}

impl Access {
    /// The key of the row the parameters, and the row of earlier tables, ask for; `None` if there is none, or cannot be one.
    pub(crate) fn find(
        &self,
        transaction: &Transaction,
        earlier: Option<RowRef<'_>>,
        params: &[Datum],
    ) -> Result<Option<Key>, SqlError> {
        match &self.unique {
            None => self.key(earlier, params),
            Some(unique) => unique.find(&self.table, transaction, earlier, params),
        }
    }

    /// Whether the rest of the condition holds for a row at the statement's snapshot.
    fn wants(&self, transaction: &Transaction, key: &Key, params: &[Datum]) -> Result<bool, SqlError> {
        let Some(condition) = &self.condition else { return Ok(true) };
        match transaction.get(self.table.id, key)? {
            Some(row) => condition.holds(Some(self.layout.read(&row)), params),
            None => Ok(false),
        }
    }

    /// The key the parameters ask for; `None` if no row can have it.
    fn key(&self, earlier: Option<RowRef<'_>>, params: &[Datum]) -> Result<Option<Key>, SqlError> {
        // Of one column it is as long as it has to be, and is not copied to become a key.
        let mut out = Vec::new();
        for part in &self.key {
            if !part.append_to(&mut out, earlier, params)? {
                return Ok(None);
            }
        }
        Ok(Some(out.into()))
    }
}

/// The values of expressions, in room for just as many.
fn evaluate_all(all: &[RowExpr], row: Option<RowRef<'_>>, params: &[Datum]) -> Result<Vec<Datum>, SqlError> {
    let mut values = Vec::with_capacity(all.len());
    for expression in all {
        values.push(expression.evaluate(row, params)?);
    }
    Ok(values)
}

//! Running a program.

use engine::{Change, EngineError, Modified, Place, Transaction};
use types::{Datum, Key, SqlError, coerce};

use crate::{Access, Program, Verb};

/// What a program gave.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The row of a SELECT, if there is one.
    Row(Option<Vec<Datum>>),
    /// How many rows were changed, removed or added.
    Changed(u64),
    /// An INSERT met a key that exists: the row's SQL columns. The statement has failed.
    Duplicate(Vec<Datum>),
}

impl Program {
    /// Runs the program in a transaction whose statement has begun. `params` are of the types the program says; `check` is asked
    /// about the SQL columns of a row before it is written (NOT NULL, CHECK).
    ///
    /// Errors: those of the expressions, of `check`, and the engine's: 40001, 40P01, 55P03, 57014.
    pub fn run(
        &self,
        transaction: &mut Transaction,
        params: &[Datum],
        check: &dyn Fn(&[Datum]) -> Result<(), SqlError>,
    ) -> Result<Outcome, SqlError> {
        let Some(access) = &self.access else {
            return Ok(Outcome::Row(Some(self.outputs.iter().map(|e| e.evaluate(None, params)).collect::<Result<_, _>>()?)));
        };
        if self.verb == Verb::Insert {
            return self.insert(access, transaction, params, check);
        }
        match (self.verb, access.key(params)?) {
            (Verb::Select, None) => Ok(Outcome::Row(None)),
            (Verb::Select, Some(key)) => self.select(access, transaction, &key, params),
            (_, None) => Ok(Outcome::Changed(0)),
            (_, Some(key)) => self.modify(access, transaction, &key, params, check),
        }
    }

    /// Where the row is that the parameters ask for. Errors: as [`Program::run`].
    pub fn locate(&self, transaction: &Transaction, params: &[Datum]) -> Result<Place, SqlError> {
        let Some(access) = &self.access else { return Ok(Place::Nowhere) };
        match access.key(params)? {
            Some(key) => Ok(transaction.locate(access.table.id, &key)?),
            None => Ok(Place::Nowhere),
        }
    }

    fn select(&self, access: &Access, transaction: &Transaction, key: &Key, params: &[Datum]) -> Result<Outcome, SqlError> {
        let Some(row) = transaction.get_columns(access.table.id, key, &self.reads)? else { return Ok(Outcome::Row(None)) };
        let row = access.layout.read(&row);
        if let Some(condition) = &access.condition
            && !condition.holds(Some(row), params)?
        {
            return Ok(Outcome::Row(None));
        }
        let values = self.outputs.iter().map(|e| e.evaluate(Some(row), params)).collect::<Result<Vec<_>, _>>()?;
        Ok(Outcome::Row(Some(values)))
    }

    fn modify(
        &self,
        access: &Access,
        transaction: &mut Transaction,
        key: &Key,
        params: &[Datum],
        check: &dyn Fn(&[Datum]) -> Result<(), SqlError>,
    ) -> Result<Outcome, SqlError> {
        let hidden = access.table.hidden();
        let outcome = transaction.modify(access.table.id, key, &mut |row| {
            if let Some(condition) = &access.condition
                && !condition.holds(Some(row), params)?
            {
                return Ok(Change::Keep);
            }
            if self.verb == Verb::Delete {
                return Ok(Change::Delete);
            }
            let mut values = row.to_datums();
            for (column, value) in &self.assignments {
                let definition = &access.table.columns[*column];
                let new = value.evaluate(Some(row), params)?;
                values[hidden + column] = coerce::assign_column(new, definition.data_type, &definition.name)?;
            }
            check(&values[hidden..])?;
            Ok(Change::Put(access.layout.encode(&values)))
        });
        match outcome {
            Ok(Modified::Changed) => Ok(Outcome::Changed(1)),
            Ok(Modified::Kept | Modified::NotFound) => Ok(Outcome::Changed(0)),
            Err(EngineError::Statement(error)) => Err(error),
            Err(error) => Err(error.into()),
        }
    }
}

impl Access {
    /// The key the parameters ask for; `None` if no row can have it.
    fn key(&self, params: &[Datum]) -> Result<Option<Key>, SqlError> {
        let mut out = Vec::with_capacity(16);
        for part in &self.key {
            match part.evaluate(params)? {
                Some(value) => types::key::encode(value.as_ref(), part.column, &mut out),
                None => return Ok(None),
            }
        }
        Ok(Some(out.into()))
    }
}

//! Arrow batches into a table: COPY without text, for the process that the database lives in.
//!
//! ```text
//! append(table, columns) --> add(batch) ... --> finish() --> rows are part of the session's transaction
//!                                 values are assigned to the columns' types, other columns get their defaults
//! ```
//!
//! 1. Many rows go straight into segments and lock the table against other writers until the transaction ends; a few go row by row.
//! 2. After an error, or dropped before `finish`, nothing of it is kept and the transaction has failed.
//!
//! Not here: the wire's COPY (`copy`).

use std::sync::Arc;

use arrow::array::RecordBatch;
use types::{SqlError, SqlState, SqlType, arrow_form, text};

use crate::copy::copied_columns;
use crate::dml::{Default, Loader, Target, default_of};
use crate::names::Name;
use crate::session::Session;
use crate::transaction::aborted;

/// Rows on their way into a table; see [`Session::append`].
pub struct Append<'a> {
    session: &'a mut Session,
    target: Target,
    columns: Vec<usize>,
    defaults: Vec<(usize, Default)>,
    dates: text::Session,
    /// Taken by [`Append::finish`]; gone after an error.
    loader: Option<Loader>,
    finished: bool,
}

impl Session {
    /// Begins to append rows to a table, in this session's transaction (an implicit one is begun if there is none; commit it with
    /// [`Session::finish_implicit`]). `schema`: where the search path does not lead. `columns`: those that the batches have, in
    /// their order; empty for all that are not generated. Errors: 42P01, 42703, 42701, 42P10, 25P02.
    pub fn append(&mut self, schema: Option<&str>, table: &str, columns: &[String]) -> Result<Append<'_>, SqlError> {
        if self.transaction.has_failed() {
            return Err(aborted());
        }
        self.forget_cancel();
        let now = self.instance.env().now_micros();
        self.transaction.ensure(&self.settings, now);
        let name = Name { database: None, schema: schema.map(str::to_owned), name: table.to_owned(), position: None };
        let (target, columns, defaults, dates) = self.append_target(&name, columns).inspect_err(|_| self.fail())?;
        let loader = Some(Loader::new(target.clone()));
        Ok(Append { session: self, target, columns, defaults, dates, loader, finished: false })
    }

    /// A table's definition as this session's transaction sees it. Begins an implicit one if there is none. Errors: 42P01, 25P02.
    pub fn table(&mut self, schema: Option<&str>, table: &str) -> Result<Arc<catalog::Table>, SqlError> {
        if self.transaction.has_failed() {
            return Err(aborted());
        }
        let now = self.instance.env().now_micros();
        self.transaction.ensure(&self.settings, now);
        let name = Name { database: None, schema: schema.map(str::to_owned), name: table.to_owned(), position: None };
        let catalog = self.begin_statement().catalog();
        let found = self.scope(&catalog).table(&name).cloned();
        found.inspect_err(|_| self.fail())
    }

    fn append_target(
        &mut self,
        name: &Name,
        columns: &[String],
    ) -> Result<(Target, Vec<usize>, Vec<(usize, Default)>, text::Session), SqlError> {
        let target = self.target_to_load(name)?;
        let table = Arc::clone(&target.table);
        let columns = copied_columns(columns, &table)?;
        let dates = self.dates();
        let catalog = self.catalog();
        let others = table.columns.iter().enumerate().filter(|(at, _)| !columns.contains(at));
        let defaults =
            others.map(|(at, column)| Ok((at, default_of(&catalog, column, &dates)?))).collect::<Result<_, SqlError>>()?;
        Ok((target, columns, defaults, dates))
    }
}

impl Append<'_> {
    /// Adds rows: a column for each that was named, of its [`arrow_form`] or any type that can be assigned to it. Errors: a value
    /// that does not fit (22001, 22003, ...), 23502, 42804, and those of writing.
    pub async fn add(&mut self, batch: &RecordBatch) -> Result<(), SqlError> {
        let Some(loader) = &mut self.loader else { return Err(aborted()) };
        let added = add(self.session, loader, &self.target, &self.columns, &self.defaults, &self.dates, batch).await;
        if added.is_err() {
            self.loader = None;
        }
        added
    }

    /// Makes the rows part of the transaction; returns how many. Errors: 23505, and those of writing.
    pub async fn finish(mut self) -> Result<u64, SqlError> {
        let loader = self.loader.take().ok_or_else(aborted)?;
        let transaction = self.session.open_transaction()?;
        let (rows, _) = loader.finish(transaction)?;
        self.session.settle_statement()?;
        self.finished = true;
        Ok(rows)
    }
}

impl Drop for Append<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.session.fail();
        }
    }
}

async fn add(
    session: &mut Session,
    loader: &mut Loader,
    target: &Target,
    columns: &[usize],
    defaults: &[(usize, Default)],
    dates: &text::Session,
    batch: &RecordBatch,
) -> Result<(), SqlError> {
    if batch.num_columns() != columns.len() {
        let message = format!("a batch of {} columns for {}", batch.num_columns(), columns.len());
        return Err(SqlError::new(SqlState::DATATYPE_MISMATCH, message));
    }
    let schema = batch.schema();
    let types = schema.fields().iter().map(|field| {
        arrow_form::sql_type_of(field).ok_or_else(|| {
            let message = format!("column \"{}\" is of type {}, which no table has", field.name(), field.data_type());
            SqlError::new(SqlState::DATATYPE_MISMATCH, message)
        })
    });
    let types: Vec<SqlType> = types.collect::<Result<_, _>>()?;
    let filled = session.fill(batch, &types, columns, defaults, target, dates).await?;
    loader.add(session.open_transaction()?, filled, &[])
}

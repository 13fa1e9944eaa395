//! Many rows into a table: a few through the delta, more straight into segments.
//!
//! ```text
//! batches --> kept, up to 65,536 rows or 32 MB --end--> row by row: others may write the table at the same time
//!                     |
//!                     +--more--> bulk load, of the table and of each of its indexes: the table is locked against other writers
//!                                until the transaction ends
//! ```

use std::collections::HashSet;

use analytic::Kept;
use arrow::array::RecordBatch;
use engine::{Bulk, Owed, Transaction};
use env::{BLOCKING_BYTES_MIN, BLOCKING_STEPS_MIN, blocking_if};
use point::write::StoredBatch;
use types::{Datum, SqlError, SqlState};

use crate::column::ColumnReader;
use crate::dml::row_bytes;
use crate::dml::target::Target;

/// Keys that the rows of one load may refer to, or bring to a deferrable constraint: what is kept of each until it has been looked at takes about 150 bytes.
const OWED_MAX: usize = 4_000_000;

/// Bytes from which it does.
const BULK_BYTES: usize = 32 << 20;

/// Rows on their way into a table, in batches of its SQL columns.
pub(crate) struct Loader {
    target: Target,
    waiting: Vec<(RecordBatch, Vec<u64>)>,
    waiting_rows: usize,
    waiting_bytes: usize,
    bulk: Option<TableBulk>,
    rows: u64,
    kept: Option<(Vec<Vec<Datum>>, Kept)>,
}

impl Loader {
    pub(crate) fn new(target: Target) -> Loader {
        Loader { target, waiting: vec![], waiting_rows: 0, waiting_bytes: 0, bulk: None, rows: 0, kept: None }
    }

    /// Gives all rows back at the end, in this room.
    pub(crate) fn keep_rows(&mut self, room: Kept) {
        self.kept = Some((vec![], room));
    }

    /// Adds rows, coerced. `lines`: where each came from, for errors; may be empty. Errors: 23502, and those of writing.
    pub(crate) fn add(&mut self, transaction: &mut Transaction, batch: RecordBatch, lines: &[u64]) -> Result<(), SqlError> {
        let much = batch.num_rows() >= BLOCKING_STEPS_MIN || batch.get_array_memory_size() >= BLOCKING_BYTES_MIN;
        blocking_if(much, || self.add_here(transaction, batch, lines))
    }

    fn add_here(&mut self, transaction: &mut Transaction, batch: RecordBatch, lines: &[u64]) -> Result<(), SqlError> {
        self.check_not_null(&batch, lines)?;
        self.check(&batch, lines)?;
        self.rows += batch.num_rows() as u64;
        if let Some((kept, room)) = &mut self.kept {
            let readers = readers(&self.target, &batch);
            for row in 0..batch.num_rows() {
                let values: Vec<Datum> = readers.iter().map(|r| r.get(row).to_owned()).collect();
                room.add(row_bytes(&values))?;
                kept.push(values);
            }
        }
        if let Some(bulk) = &mut self.bulk {
            return bulk.append(&batch);
        }
        self.waiting_rows += batch.num_rows();
        self.waiting_bytes += batch.get_array_memory_size();
        self.waiting.push((batch, lines.to_vec()));
        if !transaction.loads_in_bulk(self.waiting_rows) && self.waiting_bytes < BULK_BYTES {
            return Ok(());
        }
        let mut bulk = TableBulk::new(&self.target, transaction)?;
        let waiting = std::mem::take(&mut self.waiting);
        waiting.iter().try_for_each(|(batch, _)| bulk.append(batch))?;
        self.bulk = Some(bulk);
        Ok(())
    }

    /// Writes what is left. Returns how many rows there were, and those to be kept with their room. Errors: 23505 and the engine's.
    pub(crate) fn finish(self, transaction: &mut Transaction) -> Result<(u64, Option<(Vec<Vec<Datum>>, Kept)>), SqlError> {
        let much = self.bulk.is_some() || self.waiting_rows >= BLOCKING_STEPS_MIN || self.waiting_bytes >= BLOCKING_BYTES_MIN;
        blocking_if(much, || self.finish_here(transaction))
    }

    fn finish_here(mut self, transaction: &mut Transaction) -> Result<(u64, Option<(Vec<Vec<Datum>>, Kept)>), SqlError> {
        if let Some(bulk) = self.bulk.take() {
            bulk.finish(transaction)?;
            return Ok((self.rows, self.kept));
        }
        let mut values = Vec::with_capacity(self.target.table.columns.len());
        for (batch, lines) in &self.waiting {
            let readers = readers(&self.target, batch);
            for row in 0..batch.num_rows() {
                values.clear();
                values.extend(readers.iter().map(|reader| reader.get(row).to_owned()));
                self.target.insert(transaction, &values).map_err(|error| self.located(error, lines.get(row)))?;
            }
        }
        Ok((self.rows, self.kept))
    }

    fn check_not_null(&self, batch: &RecordBatch, lines: &[u64]) -> Result<(), SqlError> {
        let columns = &self.target.table.columns;
        let at_fault = |(column, array): (&catalog::Column, &arrow::array::ArrayRef)| {
            if !column.not_null || array.null_count() == 0 {
                return None;
            }
            (0..array.len()).find(|&row| array.is_null(row))
        };
        let Some(row) = columns.iter().zip(batch.columns()).filter_map(at_fault).min() else { return Ok(()) };
        let values: Vec<Datum> = readers(&self.target, batch).iter().map(|r| r.get(row).to_owned()).collect();
        self.target.writer.check_not_null(&values).map_err(|error| self.located(error, lines.get(row)))
    }

    /// CHECK constraints, row by row.
    fn check(&self, batch: &RecordBatch, lines: &[u64]) -> Result<(), SqlError> {
        let writer = &self.target.writer;
        if !writer.has_checks() {
            return Ok(());
        }
        // A row id is given out later; no condition can ask for it.
        let first_rowid = (self.target.table.hidden() == 1).then_some(0);
        let rows = StoredBatch::of_sql_columns(writer.layout(), batch, first_rowid);
        for at in 0..rows.len() {
            let row = rows.row(at);
            writer.check(writer.layout().read(&row)).map_err(|error| self.located(error, lines.get(at)))?;
        }
        Ok(())
    }

    fn located(&self, error: SqlError, line: Option<&u64>) -> SqlError {
        match line {
            Some(line) => error.context(format!("COPY {}, line {line}", self.target.table.name)),
            None => error,
        }
    }
}

/// Bulk loads of a table and its indexes.
struct TableBulk {
    target: Target,
    rows: Bulk,
    /// In the order of the indexes.
    entries: Vec<Bulk>,
    owed: Vec<Owed>,
    /// Keys that rows have referred to.
    referred: HashSet<Vec<u8>>,
}

impl TableBulk {
    fn new(target: &Target, transaction: &mut Transaction) -> Result<TableBulk, SqlError> {
        let rows = transaction.bulk(target.table.id)?;
        let indexes = target.writer.indexes().iter();
        let entries = indexes.map(|index| transaction.bulk(index.id())).collect::<Result<_, _>>()?;
        Ok(TableBulk { target: target.clone(), rows, entries, owed: Vec::new(), referred: HashSet::new() })
    }

    fn append(&mut self, batch: &RecordBatch) -> Result<(), SqlError> {
        let TableBulk { target, rows, entries, owed, referred } = self;
        let writer = &target.writer;
        let first_rowid = rows.append(batch).map_err(|e| writer.explain(e))?;
        let stored = StoredBatch::of_sql_columns(writer.layout(), batch, first_rowid);
        for (index, bulk) in writer.indexes().iter().zip(entries) {
            let entries = index.entries(&stored)?;
            owed.extend(index.owed_by(&entries));
            bulk.append(&entries).map_err(|e| writer.explain(e))?;
        }
        owed.extend(writer.owed_by(&stored, referred));
        if owed.len() > OWED_MAX {
            let message = format!(
                "a load with more than {OWED_MAX} keys that are to be looked at afterwards is too large for one transaction"
            );
            return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message).hint("Load fewer rows at a time."));
        }
        Ok(())
    }

    fn finish(self, transaction: &mut Transaction) -> Result<(), SqlError> {
        let writer = &self.target.writer;
        self.rows.finish(transaction).map_err(|e| writer.explain(e))?;
        for bulk in self.entries {
            bulk.finish(transaction).map_err(|e| writer.explain(e))?;
        }
        self.owed.into_iter().for_each(|owed| transaction.owe(owed));
        Ok(())
    }
}

fn readers<'a>(target: &Target, batch: &'a RecordBatch) -> Vec<ColumnReader<'a>> {
    let columns = batch.columns().iter().zip(&target.table.columns);
    columns.map(|(array, column)| ColumnReader::new(array, column.data_type)).collect()
}

//! Entries of many rows at once, for loads and for building an index.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use catalog::Table;
use engine::Owed;
use types::arrow_form::{self, ColumnBuilder};
use types::{Datum, Row, RowLayout, SqlError, SqlType, coerce};

use super::entries::{IndexRule, Value};
use super::expression::Expression;

/// Rows of one table as columns: all stored ones.
pub struct StoredBatch<'a> {
    layout: &'a RowLayout,
    stored: Vec<ArrayRef>,
    /// The SQL columns.
    sql: RecordBatch,
}

impl<'a> StoredBatch<'a> {
    /// Rows of a table with this layout, from their SQL columns. `first_rowid`: of the first row, if rows have such; the others
    /// follow it.
    pub fn of_sql_columns(layout: &'a RowLayout, batch: &RecordBatch, first_rowid: Option<i64>) -> StoredBatch<'a> {
        let rows = batch.num_rows() as i64;
        let rowids = first_rowid.map(|first| Arc::new(Int64Array::from_iter_values(first..first + rows)) as ArrayRef);
        let stored = rowids.into_iter().chain(batch.columns().iter().cloned()).collect();
        StoredBatch { layout, stored, sql: batch.clone() }
    }

    /// Rows of `table`, which has this layout, from their stored columns.
    pub fn of_stored_columns(table: &Table, layout: &'a RowLayout, batch: &RecordBatch) -> Result<StoredBatch<'a>, SqlError> {
        let sql: Vec<usize> = (table.hidden()..batch.num_columns()).collect();
        let sql = batch.project(&sql).map_err(arrow_bug)?;
        Ok(StoredBatch { layout, stored: batch.columns().to_vec(), sql })
    }

    pub(super) fn layout(&self) -> &RowLayout {
        self.layout
    }

    /// The SQL columns.
    pub(super) fn sql(&self) -> &RecordBatch {
        &self.sql
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.sql.num_rows()
    }

    /// True for none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row at `at`, from 0.
    pub fn row(&self, at: usize) -> Row {
        let types = self.layout.types().iter();
        let values: Vec<Datum> = self.stored.iter().zip(types).map(|(a, t)| arrow_form::datum_at(a, at, *t)).collect();
        self.layout.encode(&values)
    }

    /// The values of an expression, as values of `data_type`.
    fn evaluate(&self, expression: &Expression, data_type: SqlType) -> Result<ArrayRef, SqlError> {
        if let Expression::Other(function) = expression {
            let array = function.evaluate_batch(&self.sql)?;
            if *array.data_type() == arrow_form::data_type(data_type) {
                return Ok(array);
            }
        }
        let mut builder = ColumnBuilder::new(data_type, self.len());
        for at in 0..self.len() {
            let value = expression.evaluate(self.layout.read(&self.row(at)))?;
            builder.append(coerce::assign(value, data_type)?.as_ref());
        }
        Ok(builder.finish())
    }

    /// The batch's own form of a stored column's type.
    fn column(&self, stored: usize) -> ArrayRef {
        Arc::clone(&self.stored[stored])
    }
}

impl IndexRule {
    /// The rows of the hidden table for these rows, in their order; those for which the predicate does not hold have none.
    pub fn entries(&self, batch: &StoredBatch<'_>) -> Result<RecordBatch, SqlError> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.layout().types().len());
        for value in &self.values {
            columns.push(match value {
                Value::Column(column) => batch.column(*column),
                Value::Computed(expression, data_type) => batch.evaluate(expression, *data_type)?,
            });
        }
        if self.tiebreak {
            let has_null = |row: usize| columns.iter().any(|array| array.is_null(row));
            let has_null: Vec<bool> = (0..batch.len()).map(has_null).collect();
            for column in &self.missing {
                let data_type = batch.layout.types()[*column];
                let mut builder = ColumnBuilder::new(data_type, batch.len());
                for (row, has_null) in has_null.iter().enumerate() {
                    let value =
                        if *has_null { arrow_form::datum_at(&batch.stored[*column], row, data_type) } else { Datum::Null };
                    builder.append(value.as_ref());
                }
                columns.push(builder.finish());
            }
        }
        columns.extend(self.missing.iter().map(|column| batch.column(*column)));
        let fields = self.storage().columns.iter().map(|c| arrow_form::field(&c.name, c.data_type, true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let entries = RecordBatch::try_new(schema, columns).map_err(arrow_bug)?;
        let Some(predicate) = &self.predicate else { return Ok(entries) };
        let mut holds = Vec::with_capacity(batch.len());
        let found = batch.evaluate(predicate, SqlType::Bool)?;
        for row in 0..batch.len() {
            holds.push(arrow_form::datum_at(&found, row, SqlType::Bool) == Datum::Bool(true));
        }
        filter_record_batch(&entries, &BooleanArray::from(holds)).map_err(arrow_bug)
    }

    /// What such rows owe, see [`engine::Owed::Unique`].
    pub fn owed_by(&self, entries: &RecordBatch) -> Vec<Owed> {
        if self.definition().refuses_duplicates() || self.definition().constraint.is_none() {
            return Vec::new();
        }
        (0..entries.num_rows()).filter_map(|at| self.owed(&self.entry_at(entries, at))).collect()
    }

    /// The row of the hidden table at `at` of a batch of them.
    pub fn entry_at(&self, entries: &RecordBatch, at: usize) -> Row {
        let types = self.layout().types().iter();
        let values: Vec<Datum> = entries.columns().iter().zip(types).map(|(a, t)| arrow_form::datum_at(a, at, *t)).collect();
        self.layout().encode(&values)
    }
}

pub(super) fn arrow_bug(error: ArrowError) -> SqlError {
    SqlError::bug(format!("rows as columns: {error}"))
}

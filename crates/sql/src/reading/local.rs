//! Rows in memory as a table that queries scan.

use std::ops::Range;
use std::sync::Arc;

use analytic::{TableSource, Unit};
use arrow::array::{Array, ArrayRef, BinaryViewBuilder, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema};
use catalog::Table;
use roaring::RoaringBitmap;
use segments::{ColumnStatistics, Packed, Predicate};
use types::arrow_form::{self, ColumnBuilder};
use types::{Datum, DatumRef, Key, Row, RowLayout, SqlError, SqlType};

use crate::column::ColumnReader;

/// Rows, in the stored columns of their table's definition.
#[derive(Debug)]
pub(crate) struct LocalRows {
    columns: Vec<ArrayRef>,
    keys: Option<ArrayRef>,
    rows: usize,
}

impl LocalRows {
    /// Rows of a relation without a key, by its SQL columns.
    pub(crate) fn of_datums<'a>(table: &Table, rows: impl ExactSizeIterator<Item = &'a [Datum]>) -> LocalRows {
        let count = rows.len();
        let mut builders: Vec<ColumnBuilder> = table.columns.iter().map(|c| ColumnBuilder::new(c.data_type, count)).collect();
        for row in rows {
            for (at, builder) in builders.iter_mut().enumerate() {
                builder.append(row.get(at).map_or(DatumRef::Null, Datum::as_ref));
            }
        }
        let columns = std::iter::once(row_ids(count)).chain(builders.iter_mut().map(ColumnBuilder::finish));
        LocalRows { columns: columns.collect(), keys: None, rows: count }
    }

    /// As [`LocalRows::of_datums`], of batches with columns of these types.
    pub(crate) fn of_batches(table: &Table, batches: &[RecordBatch]) -> Result<LocalRows, SqlError> {
        let count = batches.iter().map(RecordBatch::num_rows).sum();
        let mut columns = vec![row_ids(count)];
        for (at, column) in table.columns.iter().enumerate() {
            let arrays: Vec<&ArrayRef> = batches.iter().map(|batch| batch.column(at)).collect();
            let t = column.data_type;
            if !arrays.is_empty() && arrays.iter().all(|array| *array.data_type() == arrow_form::data_type(t)) {
                let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
                columns.push(arrow::compute::concat(&arrays).map_err(|e| SqlError::bug(format!("rows of a query: {e}")))?);
                continue;
            }
            let mut builder = ColumnBuilder::new(t, count);
            for array in arrays {
                let reader = ColumnReader::new(array, t);
                (0..array.len()).for_each(|row| builder.append(reader.get(row)));
            }
            columns.push(builder.finish());
        }
        Ok(LocalRows { columns, keys: None, rows: count })
    }

    /// Rows of a table with their keys.
    pub(crate) fn of_stored<'a>(layout: &RowLayout, rows: impl ExactSizeIterator<Item = (&'a Key, &'a Row)>) -> LocalRows {
        let count = rows.len();
        let mut builders: Vec<ColumnBuilder> = layout.types().iter().map(|t| ColumnBuilder::new(*t, count)).collect();
        let mut keys = BinaryViewBuilder::with_capacity(count);
        for (key, row) in rows {
            keys.append_value(key.as_ref());
            let row = layout.read(row);
            for (at, builder) in builders.iter_mut().enumerate() {
                builder.append(row.get(at));
            }
        }
        let columns = builders.iter_mut().map(ColumnBuilder::finish).collect();
        LocalRows { columns, keys: Some(Arc::new(keys.finish())), rows: count }
    }

    /// Memory they take.
    pub(crate) fn bytes(&self) -> usize {
        self.columns.iter().chain(&self.keys).map(|array| array.get_array_memory_size()).sum()
    }

    /// The rows, as [`TableSource::delta`] gives them.
    pub(crate) fn batches(&self, columns: &[usize], with_key: bool, rows_per_batch: usize) -> Vec<RecordBatch> {
        let key = with_key.then(|| self.keys.clone()).flatten();
        let arrays: Vec<ArrayRef> =
            key.into_iter().chain(columns.iter().filter_map(|at| self.columns.get(*at)).cloned()).collect();
        let fields = arrays.iter().enumerate().map(|(at, array)| Field::new(at.to_string(), array.data_type().clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let Ok(all) = RecordBatch::try_new_with_options(schema, arrays, &options) else { return vec![] };
        let starts = (0..self.rows).step_by(rows_per_batch.max(1));
        starts.map(|from| all.slice(from, rows_per_batch.min(self.rows - from))).collect()
    }
}

/// The hidden row ids of a relation without a key.
fn row_ids(count: usize) -> ArrayRef {
    let mut builder = ColumnBuilder::new(SqlType::Int8, count);
    (0..count).for_each(|row| builder.append(DatumRef::Int8(i64::try_from(row).unwrap_or_default())));
    builder.finish()
}

impl TableSource for LocalRows {
    fn units(&self) -> Vec<Unit> {
        vec![]
    }

    fn matching_rows(&self, _unit: Unit, _predicates: &[Predicate]) -> Vec<Range<u32>> {
        vec![]
    }

    fn packed(&self, unit: Unit, _column: usize) -> Result<Arc<Packed>, SqlError> {
        Err(SqlError::bug(format!("rows in memory have no segment {}", unit.segment)))
    }

    fn keys(&self, unit: Unit) -> Result<ArrayRef, SqlError> {
        Err(SqlError::bug(format!("rows in memory have no segment {}", unit.segment)))
    }

    fn dead(&self, _unit: Unit) -> &RoaringBitmap {
        static NONE: std::sync::LazyLock<RoaringBitmap> = std::sync::LazyLock::new(RoaringBitmap::new);
        &NONE
    }

    fn delta(&self, columns: &[usize], with_key: bool, rows_per_batch: usize) -> Box<dyn Iterator<Item = RecordBatch> + Send> {
        Box::new(self.batches(columns, with_key, rows_per_batch).into_iter())
    }

    fn rows_estimate(&self) -> u64 {
        self.rows as u64
    }

    fn column_statistics(&self, _column: usize) -> Option<ColumnStatistics> {
        None
    }
}

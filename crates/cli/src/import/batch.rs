//! Rows on their way into a batch: every value is tried, and a row with a bad one is taken out again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;

use crate::client::schema_of;
use crate::exit::Failure;
use crate::import::Column;
use crate::import::rejects::Fault;

/// Rows a batch has at most.
pub(super) const ROWS_PER_BATCH: usize = 8192;

/// Good rows on their way, and where they are from.
pub(super) struct Lot {
    pub(super) rows: RecordBatch,
    pub(super) file: PathBuf,
    /// The first and the last line (CSV) or row (Parquet).
    pub(super) lines: (u64, u64),
}

/// Which rows of a batch are bad, and why: at most one reason a row, its first column's.
#[derive(Default)]
pub(super) struct Faults {
    faults: BTreeMap<usize, Fault>,
}

impl Faults {
    /// Notes that a row is bad. Its other faults are not kept.
    pub(super) fn add(&mut self, row: usize, column: &str, reason: impl Into<String>) {
        self.faults.entry(row).or_insert_with(|| Fault { column: column.to_owned(), reason: reason.into() });
    }

    /// The bad rows in order.
    pub(super) fn take(&mut self) -> Vec<(usize, Fault)> {
        std::mem::take(&mut self.faults).into_iter().collect()
    }
}

/// The Arrow schema of batches of these columns.
pub(super) fn schema(columns: &[Column]) -> SchemaRef {
    let columns: Vec<_> = columns.iter().map(|column| (column.name.clone(), column.data_type)).collect();
    schema_of(&columns)
}

/// The rows that are not bad.
pub(super) fn good_rows(schema: &SchemaRef, arrays: Vec<ArrayRef>, bad: &[(usize, Fault)]) -> Result<RecordBatch, Failure> {
    let failed = |error| Failure::during("gather rows", error);
    let batch = RecordBatch::try_new(Arc::clone(schema), arrays).map_err(failed)?;
    if bad.is_empty() {
        return Ok(batch);
    }
    let mut keep = vec![true; batch.num_rows()];
    bad.iter().for_each(|(row, _)| keep[*row] = false);
    filter_record_batch(&batch, &BooleanArray::from(keep)).map_err(failed)
}

/// What the database would say about a NULL where none may be.
pub(super) fn null_refused(column: &Column) -> String {
    format!("null value in column \"{}\" violates not-null constraint", column.name)
}

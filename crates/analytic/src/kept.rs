//! Memory that a statement keeps outside of its query's operators (rows to write, a suspended result), counted with theirs.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use types::SqlError;

use crate::errors;

/// Bytes that are counted together.
const STEP: usize = 64 << 10;

/// What is kept; given back when dropped.
#[derive(Debug)]
pub struct Kept {
    reservation: MemoryReservation,
    /// Not counted yet.
    bytes: usize,
}

impl Kept {
    pub(crate) fn new(what: &'static str, pool: &Arc<dyn MemoryPool>) -> Kept {
        Kept { reservation: MemoryConsumer::new(what).register(pool), bytes: 0 }
    }

    /// Counts some bytes more. Errors: 53200.
    pub fn add(&mut self, bytes: usize) -> Result<(), SqlError> {
        self.bytes += bytes;
        if self.bytes >= STEP {
            self.reservation.try_grow(self.bytes).map_err(|error| errors::sql_error(&error, ""))?;
            self.bytes = 0;
        }
        Ok(())
    }

    /// Counts a batch, which is given back without what only other batches need of its buffers. Errors: 53200.
    pub fn batch(&mut self, batch: &RecordBatch) -> Result<RecordBatch, SqlError> {
        let batch = own_batch(batch).map_err(|error| SqlError::bug(error.to_string()))?;
        self.add(batch.get_array_memory_size())?;
        Ok(batch)
    }
}

/// The batch without what only other batches need of its buffers.
pub(crate) fn own_batch(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns: Vec<ArrayRef> = batch.columns().iter().map(own).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(batch.schema(), columns, &options)
}

/// The array with buffers of its own, where what it shares with others is mostly theirs.
fn own(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Utf8View => Arc::new(array.as_string_view().gc()),
        DataType::BinaryView => Arc::new(array.as_binary_view().gc()),
        _ => Arc::clone(array),
    }
}

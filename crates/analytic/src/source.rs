//! What a query reads: tables at one moment. `engine::ReadView` is the real one (`engine_view`); tests bring their own.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use roaring::RoaringBitmap;
use segments::{ColumnStatistics, Packed, Predicate};
use types::{SqlError, TableId};

mod engine_view;

/// Every table at one moment.
pub trait Tables: Send + Sync {
    /// A table. Errors: 42P01 if it is not there at this moment.
    fn table(&self, table: TableId) -> Result<Arc<dyn TableSource>, SqlError>;

    /// The table that DML changes, where the query asks for its keys: the same, unless only some of its rows are looked at again.
    fn target(&self, table: TableId) -> Result<Arc<dyn TableSource>, SqlError> {
        self.table(table)
    }
}

/// A piece of a table that is stored by columns: one row group of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Unit {
    /// Number of the segment.
    pub segment: usize,
    /// Number of the row group in it.
    pub group: usize,
    /// Position of its first row in the segment.
    pub start: u32,
    /// Rows, dead ones too.
    pub rows: u32,
}

/// One table at one moment: rows in the delta, and units of columns. Columns are *stored* columns (`catalog::Table`).
pub trait TableSource: fmt::Debug + Send + Sync {
    /// The units, in key order within a segment.
    fn units(&self) -> Vec<Unit>;

    /// Row ranges of a unit, counted from its first row, that may satisfy all of `predicates`; empty if none can.
    fn matching_rows(&self, unit: Unit, predicates: &[Predicate]) -> Vec<Range<u32>>;

    /// The values of a column in a unit, all of its rows.
    fn packed(&self, unit: Unit, column: usize) -> Result<Arc<Packed>, SqlError>;

    /// The keys of a unit's rows, as a BinaryView array.
    fn keys(&self, unit: Unit) -> Result<ArrayRef, SqlError>;

    /// Positions in the unit's segment that are not part of the table at this moment.
    fn dead(&self, unit: Unit) -> &RoaringBitmap;

    /// The rows of the delta, each once: batches of the given columns, behind a first column of keys if `with_key`.
    fn delta(&self, columns: &[usize], with_key: bool, rows_per_batch: usize) -> Box<dyn Iterator<Item = RecordBatch> + Send>;

    /// Rows in all, about.
    fn rows_estimate(&self) -> u64;

    /// What is known of a column; never exact.
    fn column_statistics(&self, column: usize) -> Option<ColumnStatistics>;
}

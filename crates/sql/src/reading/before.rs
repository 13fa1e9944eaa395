//! A table as it was before the statement that is changing it.
//!
//! ```text
//! view with own changes  -  rows whose keys the statement has written  +  those rows as they were
//! ```
//!
//! 1. A key is noted before it is written first; nothing of the statement is seen by a view that is given the notes.
//! 2. Segments need no care: the position of a row that was written again is dead in the view, and its old row is among the notes.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use analytic::{TableSource, Unit};
use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use roaring::RoaringBitmap;
use segments::{ColumnStatistics, Packed, Predicate};
use types::{Key, Row, RowLayout, SqlError, TableId};

use super::local::LocalRows;

/// Rows as they were, by table and key; `None`: there was none.
#[derive(Clone, Default)]
pub(crate) struct Before {
    tables: HashMap<TableId, HashMap<Key, Option<Row>>>,
}

impl Before {
    /// Whether the statement has written this key.
    pub(crate) fn has(&self, table: TableId, key: &[u8]) -> bool {
        self.tables.get(&table).is_some_and(|rows| rows.contains_key(key))
    }

    /// Notes a row that is about to be written first.
    pub(crate) fn note(&mut self, table: TableId, key: &[u8], row: Option<Row>) {
        self.tables.entry(table).or_default().insert(Key::from(key), row);
    }

    /// A table as it was.
    pub(super) fn table(
        self: &Arc<Before>,
        id: TableId,
        inner: Arc<dyn TableSource>,
        layout: &RowLayout,
    ) -> Arc<dyn TableSource> {
        let Some(rows) = self.tables.get(&id) else { return inner };
        let old: Vec<(&Key, &Row)> = rows.iter().filter_map(|(key, row)| row.as_ref().map(|row| (key, row))).collect();
        let old = LocalRows::of_stored(layout, old.into_iter());
        Arc::new(AsBefore { id, inner, before: Arc::clone(self), old })
    }
}

struct AsBefore {
    id: TableId,
    inner: Arc<dyn TableSource>,
    before: Arc<Before>,
    old: LocalRows,
}

impl std::fmt::Debug for AsBefore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("AsBefore").field(&self.inner).finish()
    }
}

impl TableSource for AsBefore {
    fn units(&self) -> Vec<Unit> {
        self.inner.units()
    }

    fn matching_rows(&self, unit: Unit, predicates: &[Predicate]) -> Vec<Range<u32>> {
        self.inner.matching_rows(unit, predicates)
    }

    fn packed(&self, unit: Unit, column: usize) -> Result<Arc<Packed>, SqlError> {
        self.inner.packed(unit, column)
    }

    fn keys(&self, unit: Unit) -> Result<ArrayRef, SqlError> {
        self.inner.keys(unit)
    }

    fn dead(&self, unit: Unit) -> &RoaringBitmap {
        self.inner.dead(unit)
    }

    fn delta(&self, columns: &[usize], with_key: bool, rows_per_batch: usize) -> Box<dyn Iterator<Item = RecordBatch> + Send> {
        let (before, id) = (Arc::clone(&self.before), self.id);
        let untouched = self.inner.delta(columns, true, rows_per_batch).filter_map(move |batch| {
            let keys = batch.column(0).as_binary_view();
            let keep: BooleanArray = keys.iter().map(|key| Some(!key.is_some_and(|key| before.has(id, key)))).collect();
            let batch = filter_record_batch(&batch, &keep).ok()?;
            let columns: Vec<usize> = (usize::from(!with_key)..batch.num_columns()).collect();
            batch.project(&columns).ok()
        });
        Box::new(untouched.chain(self.old.batches(columns, with_key, rows_per_batch)))
    }

    fn rows_estimate(&self) -> u64 {
        self.inner.rows_estimate()
    }

    fn column_statistics(&self, _column: usize) -> Option<ColumnStatistics> {
        None
    }
}

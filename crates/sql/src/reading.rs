//! An engine's read view, and what a statement has beside it, as what queries read: [`analytic::Tables`].

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use analytic::{TableSource, Tables, Unit};
use arrow::array::{ArrayRef, BinaryBuilder, RecordBatch};
use engine::{ReadView, SegmentView, TableView};
use roaring::RoaringBitmap;
use segments::{ColumnStatistics, Packed, Predicate};
use types::{RowLayout, SqlError, TableId};

mod before;
mod local;

pub(crate) use before::Before;
pub(crate) use local::LocalRows;

use crate::locals::Held;

/// Every table as one statement sees it, and the statement's own relations.
pub(crate) struct Snapshot {
    pub(crate) view: Arc<ReadView>,
    pub(crate) held: Held,
}

impl Tables for Snapshot {
    fn table(&self, table: TableId) -> Result<Arc<dyn TableSource>, SqlError> {
        if let Some(rows) = self.held.rows.get(&table) {
            return Ok(Arc::clone(rows) as Arc<dyn TableSource>);
        }
        let view = self.view.table(table)?;
        match &self.held.before {
            None => Ok(Arc::new(Table(view))),
            Some(before) => {
                let layout = RowLayout::new(&view.definition().stored_types());
                Ok(before.table(table, Arc::new(Table(view)), &layout))
            }
        }
    }

    fn target(&self, table: TableId) -> Result<Arc<dyn TableSource>, SqlError> {
        match self.held.targets.get(&table) {
            Some(rows) => Ok(Arc::clone(rows) as Arc<dyn TableSource>),
            None => self.table(table),
        }
    }
}

struct Table(TableView);

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Table").field(&self.0.definition().name).finish()
    }
}

impl Table {
    fn segment(&self, unit: Unit) -> Result<&SegmentView, SqlError> {
        let missing = || SqlError::bug(format!("{self:?} has no segment {}", unit.segment));
        self.0.segments().get(unit.segment).ok_or_else(missing)
    }
}

impl TableSource for Table {
    fn units(&self) -> Vec<Unit> {
        let mut units = Vec::new();
        for (segment, view) in self.0.segments().iter().enumerate() {
            for (group, found) in view.segment.groups().enumerate() {
                units.push(Unit { segment, group, start: found.start(), rows: found.rows() });
            }
        }
        units
    }

    fn matching_rows(&self, unit: Unit, predicates: &[Predicate]) -> Vec<Range<u32>> {
        match self.segment(unit) {
            Ok(view) => view.segment.group(unit.group).matching_rows(&view.segment.probes(predicates)),
            Err(_) => vec![],
        }
    }

    fn packed(&self, unit: Unit, column: usize) -> Result<Arc<Packed>, SqlError> {
        let view = self.segment(unit)?;
        Ok(view.segment.packed(unit.group, column).map_err(engine::EngineError::from)?)
    }

    fn keys(&self, unit: Unit) -> Result<ArrayRef, SqlError> {
        let view = self.segment(unit)?;
        let keys = view.segment.group_keys(unit.group).map_err(engine::EngineError::from)?;
        let mut binary = BinaryBuilder::with_capacity(keys.len(), keys.len() * 12);
        keys.iter().for_each(|key| binary.append_value(key));
        Ok(Arc::new(binary.finish()))
    }

    fn dead(&self, unit: Unit) -> &RoaringBitmap {
        static NONE: std::sync::LazyLock<RoaringBitmap> = std::sync::LazyLock::new(RoaringBitmap::new);
        self.segment(unit).map_or(&NONE, |view| &view.dead)
    }

    fn delta(&self, columns: &[usize], with_key: bool, rows_per_batch: usize) -> Box<dyn Iterator<Item = RecordBatch> + Send> {
        let scan = self.0.delta(columns, with_key, rows_per_batch);
        // The view keeps the snapshot registered for as long as the scan needs it.
        let view = self.0.clone();
        Box::new(scan.inspect(move |_| {
            let _ = &view;
        }))
    }

    fn rows_estimate(&self) -> u64 {
        self.0.rows_estimate()
    }

    fn column_statistics(&self, column: usize) -> Option<ColumnStatistics> {
        self.0.column_statistics(column)
    }
}

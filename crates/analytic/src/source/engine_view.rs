//! The engine's read view as what queries read.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryViewBuilder, RecordBatch};
use engine::{EngineError, ReadView, SegmentView, TableView};
use roaring::RoaringBitmap;
use segments::{ColumnStatistics, Packed, Predicate};
use types::{SqlError, TableId};

use super::{TableSource, Tables, Unit};

impl Tables for ReadView {
    fn table(&self, table: TableId) -> Result<Arc<dyn TableSource>, SqlError> {
        Ok(Arc::new(EngineTable(ReadView::table(self, table)?)))
    }
}

struct EngineTable(TableView);

impl EngineTable {
    /// Units are made of the view's own segments, so a number that names none is a bug.
    fn segment(&self, unit: Unit) -> &SegmentView {
        &self.0.segments()[unit.segment]
    }
}

impl fmt::Debug for EngineTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EngineTable").field(&self.0.definition().name).finish()
    }
}

impl TableSource for EngineTable {
    fn units(&self) -> Vec<Unit> {
        let groups = |(segment, view): (usize, &SegmentView)| {
            let unit = move |(group, found): (usize, segments::Group<'_>)| Unit {
                segment,
                group,
                start: found.start(),
                rows: found.rows(),
            };
            view.segment.groups().enumerate().map(unit).collect::<Vec<_>>()
        };
        self.0.segments().iter().enumerate().flat_map(groups).collect()
    }

    fn matching_rows(&self, unit: Unit, predicates: &[Predicate]) -> Vec<Range<u32>> {
        let segment = &self.segment(unit).segment;
        let probes = segment.probes(predicates);
        let group = segment.group(unit.group);
        if group.may_match(&probes) { group.matching_rows(&probes) } else { vec![] }
    }

    fn packed(&self, unit: Unit, column: usize) -> Result<Arc<Packed>, SqlError> {
        let read = self.segment(unit).segment.packed(unit.group, column);
        Ok(read.map_err(EngineError::from)?)
    }

    fn keys(&self, unit: Unit) -> Result<ArrayRef, SqlError> {
        let keys = self.segment(unit).segment.group_keys(unit.group).map_err(EngineError::from)?;
        let mut views = BinaryViewBuilder::with_capacity(keys.len());
        keys.iter().for_each(|key| views.append_value(key));
        Ok(Arc::new(views.finish()))
    }

    fn dead(&self, unit: Unit) -> &RoaringBitmap {
        &self.segment(unit).dead
    }

    fn delta(&self, columns: &[usize], with_key: bool, rows_per_batch: usize) -> Box<dyn Iterator<Item = RecordBatch> + Send> {
        let scan = self.0.delta(columns, with_key, rows_per_batch);
        // The scan needs its snapshot to stay registered, which the view sees to.
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

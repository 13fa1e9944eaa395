//! What a query reads: every table as one snapshot sees it.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use catalog::{Catalog, Table};
use delta::DeltaScan;
use roaring::RoaringBitmap;
use segments::{ColumnStatistics, LiveSegment, Segment};
use txn::{Cancel, SerialTransaction, Snapshot, SnapshotGuard};
use types::{CommitTs, Key, Row, TableId, arrow_form};

use crate::engine::Inner;
use crate::error::EngineError;
use crate::range::{RangeCursor, RangeOf};
use crate::table::TableStore;
use crate::transaction::{Own, own_dead};

/// Rows per batch of the delta.
const ROWS_PER_BATCH: usize = 8192;

/// One moment of the whole database, with the changes of the transaction it was taken in. It stays the same while everything else
/// goes on; versions it needs are kept until it is dropped.
pub struct ReadView {
    engine: Arc<Inner>,
    guard: Arc<SnapshotGuard>,
    snapshot: Snapshot,
    catalog: Arc<Catalog>,
    own: Vec<(Arc<TableStore>, Arc<Own>)>,
    /// Of SERIALIZABLE: notes which tables are read.
    serial: Option<Arc<SerialTransaction>>,
}

/// One table at one moment. Cloning is cheap.
#[derive(Clone)]
pub struct TableView {
    store: Arc<TableStore>,
    snapshot: Snapshot,
    segments: Arc<[SegmentView]>,
    own: Arc<Own>,
    /// Keeps versions and segments from being reclaimed.
    guard: Arc<SnapshotGuard>,
}

/// One segment at one moment.
#[derive(Clone)]
pub struct SegmentView {
    /// The rows.
    pub segment: Arc<Segment>,
    /// Positions that are not part of the table at this moment.
    pub dead: Arc<RoaringBitmap>,
}

impl ReadView {
    pub(crate) fn new(
        engine: Arc<Inner>,
        guard: Arc<SnapshotGuard>,
        snapshot: Snapshot,
        catalog: Arc<Catalog>,
        own: Vec<(Arc<TableStore>, Arc<Own>)>,
    ) -> ReadView {
        ReadView { engine, guard, snapshot, catalog, own, serial: None }
    }

    pub(crate) fn noted_by(self, serial: Option<Arc<SerialTransaction>>) -> ReadView {
        ReadView { serial, ..self }
    }

    /// The last commit that is seen.
    pub fn snapshot_ts(&self) -> CommitTs {
        self.snapshot.ts
    }

    /// The catalog at this moment.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// A table, all of which counts as read. Errors: `NoTable`, and what reading a segment's keys can give; 40001 under SERIALIZABLE.
    pub fn table(&self, table: TableId) -> Result<TableView, EngineError> {
        if let Some(serial) = &self.serial {
            serial.read_table(table)?;
        }
        let (store, own) = match self.own.iter().find(|(store, _)| store.id() == table) {
            Some((store, own)) => (Arc::clone(store), Arc::clone(own)),
            None => (self.engine.store(table)?, Arc::default()),
        };
        TableView::new(store, own, self.snapshot, Arc::clone(&self.guard))
    }
}

impl TableView {
    pub(crate) fn new(
        store: Arc<TableStore>,
        own: Arc<Own>,
        snapshot: Snapshot,
        guard: Arc<SnapshotGuard>,
    ) -> Result<TableView, EngineError> {
        store.bury_rest()?;
        let mut hidden = own_dead(&store, &own, &snapshot)?;
        let view = |live: &Arc<LiveSegment>, hidden: &mut Vec<(types::SegmentId, RoaringBitmap)>| {
            let mut dead = live.dead.as_of(snapshot.ts);
            if let Some(at) = hidden.iter().position(|(id, _)| *id == live.segment.id()) {
                *Arc::make_mut(&mut dead) |= hidden.swap_remove(at).1;
            }
            SegmentView { segment: Arc::clone(&live.segment), dead }
        };
        let listed = store.segments();
        let mut segments: Vec<SegmentView> = listed.at(snapshot.ts).map(|live| view(live, &mut hidden)).collect();
        segments.extend(own.ingested.iter().map(|live| view(live, &mut hidden)));
        Ok(TableView { store, snapshot, segments: segments.into(), own, guard })
    }

    /// The table's definition.
    pub fn definition(&self) -> &Arc<Table> {
        &self.store.definition
    }

    /// The stored columns as an Arrow schema (with [`arrow_form::field`]'s metadata).
    pub fn stored_schema(&self) -> SchemaRef {
        let fields = self.store.definition.stored_columns().map(|(name, t, nullable)| arrow_form::field(name, t, nullable));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// The segments that are part of the table at this moment.
    pub fn segments(&self) -> &[SegmentView] {
        &self.segments
    }

    /// The rows that are in the delta, each exactly once, in no order: batches of the stored columns `columns` (in that order), with
    /// a first column `__key` (binary) if `with_key`.
    pub fn delta(&self, columns: &[usize], with_key: bool, rows_per_batch: usize) -> DeltaScan {
        self.store.delta.scan(self.snapshot, columns.to_vec(), with_key, rows_per_batch)
    }

    /// Every row, once, in no order: batches of the stored columns `columns`. Reads one row group at a time. Errors: 57014 once
    /// `cancel` is set, and those of reading.
    pub fn rows<'a>(
        &'a self,
        columns: &'a [usize],
        cancel: &'a Cancel,
    ) -> impl Iterator<Item = Result<RecordBatch, EngineError>> + 'a {
        let in_delta = self.delta(columns, false, ROWS_PER_BATCH).map(Ok);
        let groups = self.segments.iter().flat_map(|view| view.segment.groups().enumerate().map(move |group| (view, group)));
        let in_group = |(view, (at, group)): (&SegmentView, (usize, segments::Group<'_>))| {
            self.live_rows(view, at, group.start()..group.start() + group.rows(), columns)
        };
        in_delta.chain(groups.map(in_group)).map(|batch| if cancel.is_set() { Err(EngineError::Canceled) } else { batch })
    }

    fn live_rows(
        &self,
        view: &SegmentView,
        group: usize,
        positions: std::ops::Range<u32>,
        columns: &[usize],
    ) -> Result<RecordBatch, EngineError> {
        let bug = |e: arrow::error::ArrowError| EngineError::Bug(format!("rows of a segment: {e}"));
        let arrays = columns.iter().map(|&column| view.segment.read_column(group, column)).collect::<Result<Vec<_>, _>>()?;
        let schema = Arc::new(self.stored_schema().project(columns).map_err(bug)?);
        let options = RecordBatchOptions::new().with_row_count(Some(positions.len()));
        let batch = RecordBatch::try_new_with_options(schema, arrays, &options).map_err(bug)?;
        if view.dead.range_cardinality(positions.clone()) == 0 {
            return Ok(batch);
        }
        let live: BooleanArray = positions.map(|position| Some(!view.dead.contains(position))).collect();
        arrow::compute::filter_record_batch(&batch, &live).map_err(bug)
    }

    /// The row with this key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Row>, EngineError> {
        self.store.get(key, None, &self.snapshot, &self.own)
    }

    /// The rows between two keys, to be pulled block by block until `cancel` is set.
    pub fn range(&self, of: RangeOf<'_>, cancel: Arc<Cancel>) -> Result<RangeCursor, EngineError> {
        RangeCursor::new(Arc::clone(&self.store), &self.own, self.snapshot, Arc::clone(&self.guard), cancel, of)
    }

    /// Every key and row in the delta, as a checkpoint writes them.
    pub(crate) fn dump(&self) -> impl Iterator<Item = (Key, Row)> + '_ {
        self.store.delta.dump(self.snapshot)
    }

    /// Rows in segments and (about) in the delta.
    pub fn rows_estimate(&self) -> u64 {
        let in_segments: u64 = self.segments.iter().map(|s| u64::from(s.segment.rows()) - s.dead.len()).sum();
        in_segments + self.store.delta.rows() as u64
    }

    /// Least and greatest value, NULLs and distinct values of a stored column over the segments. Not exact: dead rows count, rows of
    /// the delta do not. None without segments.
    pub fn column_statistics(&self, column: usize) -> Option<ColumnStatistics> {
        let id = self.store.schema.columns()[column].id;
        self.store.segments().statistics(self.snapshot.ts, &[id]).columns.pop()
    }
}

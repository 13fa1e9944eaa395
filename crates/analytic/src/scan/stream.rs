//! One partition of a scan while it runs.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::{ArrayRef, BooleanArray, BooleanBufferBuilder, RecordBatch, RecordBatchOptions};
use arrow::compute::{BatchCoalescer, FilterBuilder, cast};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use catalog::Table;
use datafusion::common::Result;
use datafusion::execution::RecordBatchStream;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet};
use futures::Stream;
use types::SqlType;

use super::Run;
use super::filter::Conditions;
use super::morsels::{Morsel, Morsels};
use super::prune;
use crate::errors;
use crate::session::ROWS_PER_BATCH;
use crate::source::{TableSource, Unit};

/// A column of the scan: the key, or a stored column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Key,
    Stored(usize),
}

/// Which columns a scan reads, for what.
///
/// The columns read are those of the filters, then those only in the output.
pub(super) struct ScanLayout {
    places: Vec<Place>,
    types: Vec<Option<SqlType>>,
    /// Of `places`: those filters look at, a prefix.
    filtered: usize,
    filter_schema: SchemaRef,
    /// Output columns, as positions in `places`.
    output: Vec<usize>,
    fixed: Vec<Arc<dyn PhysicalExpr>>,
    dynamic: Vec<Arc<dyn PhysicalExpr>>,
    /// Stored columns read, in the order of `places`.
    stored: Vec<usize>,
}

impl ScanLayout {
    pub(super) fn new(
        definition: &Table,
        schema: &SchemaRef,
        with_key: bool,
        projection: &[usize],
        fixed: &[Arc<dyn PhysicalExpr>],
        dynamic: &[Arc<dyn PhysicalExpr>],
    ) -> Result<ScanLayout> {
        let key_at = schema.fields().len() - usize::from(with_key);
        let mut in_filters: Vec<usize> =
            fixed.iter().chain(dynamic).flat_map(collect_columns).map(|column| column.index()).collect();
        in_filters.sort_unstable();
        in_filters.dedup();
        let filtered = in_filters.len();
        let mut columns = in_filters;
        for column in projection {
            if !columns.contains(column) {
                columns.push(*column);
            }
        }
        let filter_schema = Arc::new(schema.project(&columns[..filtered])?);
        let here = |exprs: &[Arc<dyn PhysicalExpr>]| {
            exprs.iter().map(|e| reassign_expr_columns(Arc::clone(e), &filter_schema)).collect::<Result<Vec<_>>>()
        };
        let place =
            |column: usize| if with_key && column == key_at { Place::Key } else { Place::Stored(column + definition.hidden()) };
        let places: Vec<Place> = columns.iter().map(|column| place(*column)).collect();
        let stored = places.iter().filter_map(|place| match place {
            Place::Stored(column) => Some(*column),
            Place::Key => None,
        });
        Ok(ScanLayout {
            types: columns.iter().map(|column| definition.columns.get(*column).map(|c| c.data_type)).collect(),
            filtered,
            output: projection.iter().map(|p| columns.iter().position(|c| c == p).unwrap_or_default()).collect(),
            fixed: here(fixed)?,
            dynamic: here(dynamic)?,
            stored: stored.collect(),
            filter_schema,
            places,
        })
    }

    pub(super) fn stored(&self) -> &[usize] {
        &self.stored
    }

    pub(super) fn reads_key(&self) -> bool {
        self.places.contains(&Place::Key)
    }

    fn stored_column(&self, at: usize) -> Option<(usize, SqlType)> {
        match self.places.get(at)? {
            Place::Stored(column) => Some((*column, self.types.get(at).copied().flatten()?)),
            Place::Key => None,
        }
    }

    /// A batch of the delta has the key first and stored columns in order; this is the columns as `places` has them.
    fn of_delta(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        let mut stored = usize::from(self.reads_key());
        self.places
            .iter()
            .map(|place| match place {
                // A view, as the segments' keys are.
                Place::Key => Arc::clone(batch.column(0)),
                Place::Stored(_) => {
                    stored += 1;
                    Arc::clone(batch.column(stored - 1))
                }
            })
            .collect()
    }
}

/// A unit being read: its columns, each loaded when it is first needed.
struct Open {
    unit: Unit,
    columns: Vec<Option<ArrayRef>>,
    /// Runs of rows that are left to do.
    runs: Vec<Range<u32>>,
}

/// See the module's head.
pub(super) struct ScanStream {
    table: Arc<dyn TableSource>,
    layout: ScanLayout,
    morsels: Arc<Morsels>,
    conditions: Conditions,
    schema: SchemaRef,
    run: Run,
    metrics: BaselineMetrics,
    open: Option<Open>,
    units_done: bool,
    /// Rows that passed filters, until there are enough of them for a batch.
    gathered: BatchCoalescer,
    remaining: Option<usize>,
    finished: bool,
}

impl ScanStream {
    pub(super) fn new(
        table: Arc<dyn TableSource>,
        layout: ScanLayout,
        morsels: Arc<Morsels>,
        schema: SchemaRef,
        fetch: Option<usize>,
        run: Run,
        metrics: &ExecutionPlanMetricsSet,
        partition: usize,
    ) -> ScanStream {
        ScanStream {
            conditions: Conditions::new(&layout.fixed, &layout.dynamic),
            gathered: BatchCoalescer::new(Arc::clone(&schema), ROWS_PER_BATCH)
                .with_biggest_coalesce_batch_size(Some(ROWS_PER_BATCH / 2)),
            metrics: BaselineMetrics::new(metrics, partition),
            table,
            layout,
            morsels,
            schema,
            run,
            open: None,
            units_done: false,
            remaining: fetch,
            finished: false,
        }
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            self.run.stop.check()?;
            if self.remaining == Some(0) {
                return Ok(None);
            }
            if let Some(batch) = self.gathered.next_completed_batch() {
                return Ok(Some(self.cut(batch)));
            }
            if self.finished {
                return Ok(None);
            }
            if !self.step()? {
                self.gathered.finish_buffered_batch()?;
                self.finished = true;
            }
        }
    }

    /// Does some rows; false when there are none left.
    fn step(&mut self) -> Result<bool> {
        if let Some(mut open) = self.open.take() {
            if let Some(rows) = next_run(&mut open.runs) {
                let result = self.rows_of_unit(&mut open, rows);
                self.open = Some(open);
                result?;
            }
            return Ok(true);
        }
        if !self.units_done {
            match self.morsels.next() {
                Some(morsel) => self.open(morsel),
                None => self.units_done = true,
            }
            return Ok(true);
        }
        match self.morsels.next_of_delta() {
            Some(batch) => {
                self.run.stats.add_rows_from_delta(batch.num_rows() as u64);
                let columns = self.layout.of_delta(&batch);
                let rows = batch.num_rows();
                let filtered = self.filter_batch(&columns[..self.layout.filtered], rows)?;
                let kept = self.conditions.apply(&filtered, None)?;
                let output = self.layout.output.iter().map(|at| Arc::clone(&columns[*at])).collect();
                self.emit(output, rows, kept)?;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    fn open(&mut self, morsel: Morsel) {
        let Morsel { unit, rows } = morsel;
        let stats = &self.run.stats;
        let asked = rows.end - rows.start;
        let mut predicates = prune::predicates(&self.layout.fixed, &|at| self.layout.stored_column(at));
        predicates.extend(prune::predicates(&self.layout.dynamic, &|at| self.layout.stored_column(at)));
        let mut runs = if predicates.is_empty() {
            vec![rows]
        } else {
            let within = |run: Range<u32>| run.start.max(rows.start)..run.end.min(rows.end);
            let found = self.table.matching_rows(unit, &predicates).into_iter().map(within);
            found.filter(|run| run.start < run.end).collect()
        };
        let left: u32 = runs.iter().map(|run| run.end - run.start).sum();
        stats.add_rows_pruned(u64::from(asked - left));
        if left == 0 {
            stats.add_groups_pruned(1);
            return;
        }
        stats.add_groups_read(1);
        runs.reverse();
        self.open = Some(Open { unit, columns: vec![None; self.layout.places.len()], runs });
    }

    fn rows_of_unit(&mut self, open: &mut Open, rows: Range<u32>) -> Result<()> {
        let (start, count) = (rows.start as usize, (rows.end - rows.start) as usize);
        let alive = self.alive(open.unit, &rows);
        let live = alive.as_ref().map_or(count, BooleanArray::true_count);
        if live == 0 {
            return Ok(());
        }
        self.run.stats.add_rows_from_segments(live as u64);
        let kept = if self.conditions.is_empty() {
            alive
        } else {
            let columns = (0..self.layout.filtered).map(|at| self.slice(open, at, start, count)).collect::<Result<Vec<_>>>()?;
            let batch = self.filter_batch(&columns, count)?;
            self.conditions.apply(&batch, alive)?
        };
        if kept.as_ref().is_some_and(|kept| kept.true_count() == 0) {
            return Ok(());
        }
        let output = self.layout.output.clone();
        let columns = output.into_iter().map(|at| self.slice(open, at, start, count)).collect::<Result<Vec<_>>>()?;
        self.emit(columns, count, kept)
    }

    /// Which of the rows are part of the table; `None`: all are.
    fn alive(&self, unit: Unit, rows: &Range<u32>) -> Option<BooleanArray> {
        let dead = self.table.dead(unit);
        let positions = unit.start + rows.start..unit.start + rows.end;
        if dead.is_empty() || dead.range_cardinality(positions.clone()) == 0 {
            return None;
        }
        let mut bits = BooleanBufferBuilder::new((rows.end - rows.start) as usize);
        bits.append_n((rows.end - rows.start) as usize, true);
        for position in dead.range(positions.clone()) {
            bits.set_bit((position - positions.start) as usize, false);
        }
        Some(BooleanArray::new(bits.finish(), None))
    }

    fn slice(&self, open: &mut Open, at: usize, start: usize, count: usize) -> Result<ArrayRef> {
        if let Some(column) = &open.columns[at] {
            return Ok(column.slice(start, count));
        }
        let column = match self.layout.places[at] {
            Place::Key => self.table.keys(open.unit),
            Place::Stored(column) => self.table.column(open.unit, column),
        };
        let mut column = column.map_err(errors::raise)?;
        if self.layout.places[at] == Place::Key && *column.data_type() != DataType::BinaryView {
            column = cast(&column, &DataType::BinaryView)?;
        }
        self.run.stats.add_bytes_read(column.get_array_memory_size() as u64);
        let slice = column.slice(start, count);
        open.columns[at] = Some(column);
        Ok(slice)
    }

    fn filter_batch(&self, columns: &[ArrayRef], rows: usize) -> Result<RecordBatch> {
        batch(&self.layout.filter_schema, columns.to_vec(), rows)
    }

    fn emit(&mut self, columns: Vec<ArrayRef>, rows: usize, kept: Option<BooleanArray>) -> Result<()> {
        let all = batch(&self.schema, columns, rows)?;
        match kept {
            None => self.gathered.push_batch(all)?,
            Some(kept) if all.num_columns() == 0 => {
                let rows = kept.true_count();
                self.gathered.push_batch(batch(&self.schema, vec![], rows)?)?;
            }
            Some(kept) => {
                let filtered = FilterBuilder::new(&kept).optimize().build().filter_record_batch(&all)?;
                self.gathered.push_batch(filtered)?;
            }
        }
        Ok(())
    }

    /// The batch, or as much of it as is still wanted.
    fn cut(&mut self, batch: RecordBatch) -> RecordBatch {
        let Some(remaining) = &mut self.remaining else { return batch };
        let rows = batch.num_rows().min(*remaining);
        *remaining -= rows;
        batch.slice(0, rows)
    }
}

/// At most a batch of rows off the runs, the first of which is the last element.
fn next_run(runs: &mut Vec<Range<u32>>) -> Option<Range<u32>> {
    let run = runs.last_mut()?;
    let start = run.start;
    run.start = run.end.min(start + ROWS_PER_BATCH as u32);
    let taken = start..run.start;
    if run.start == run.end {
        runs.pop();
    }
    Some(taken)
}

fn batch(schema: &Arc<Schema>, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

impl Stream for ScanStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Option<Result<RecordBatch>>> {
        let elapsed = self.metrics.elapsed_compute().clone();
        let timer = elapsed.timer();
        let next = self.next_batch();
        drop(timer);
        self.metrics.record_poll(Poll::Ready(next.transpose()))
    }
}

impl RecordBatchStream for ScanStream {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

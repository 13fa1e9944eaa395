//! One partition of a scan while it runs.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::{Array, ArrayRef, BooleanArray, BooleanBufferBuilder, RecordBatch};
use arrow::compute::{BatchCoalescer, cast};
use arrow::datatypes::{DataType, SchemaRef};
use catalog::Table;
use datafusion::common::Result;
use datafusion::execution::RecordBatchStream;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet};
use futures::Stream;
use types::SqlType;

use super::Run;
use super::filter::Conditions;
use super::fused::{Fused, State};
use super::morsels::{Morsel, Morsels};
use super::prune;
use super::rows::{Chosen, Loaded, Rows, Unpacking, batch, pieces};
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
    /// Of a prefix of `places`: those filters look at.
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

/// A unit being read.
struct Open {
    unit: Unit,
    columns: Unpacking,
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
    /// What adds rows up instead of giving them out.
    state: Option<State>,
    remaining: Option<usize>,
    finished: bool,
}

impl ScanStream {
    pub(super) fn new(
        table: Arc<dyn TableSource>,
        layout: ScanLayout,
        morsels: Arc<Morsels>,
        schema: SchemaRef,
        fused: Option<&Arc<Fused>>,
        fetch: Option<usize>,
        run: Run,
        metrics: &ExecutionPlanMetricsSet,
        partition: usize,
        pool: &Arc<dyn MemoryPool>,
    ) -> Result<ScanStream> {
        Ok(ScanStream {
            conditions: Conditions::new(&layout.filter_schema, &layout.fixed, &layout.dynamic)?,
            gathered: BatchCoalescer::new(Arc::clone(&schema), ROWS_PER_BATCH)
                .with_biggest_coalesce_batch_size(Some(ROWS_PER_BATCH / 2)),
            metrics: BaselineMetrics::new(metrics, partition),
            state: fused.map(|fused| State::new(fused, &schema, pool)).transpose()?,
            table,
            layout,
            morsels,
            schema,
            run,
            open: None,
            units_done: false,
            remaining: fetch,
            finished: false,
        })
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
            let more = self.step()?;
            if let Some(state) = &mut self.state
                && (!more || state.is_full())
            {
                let groups = state.take()?;
                self.hand_on(groups)?;
            }
            if !more {
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
                Some(morsel) => self.open(morsel)?,
                None => self.units_done = true,
            }
            return Ok(true);
        }
        match self.morsels.next_of_delta() {
            Some(batch) => {
                self.run.stats.add_rows_from_delta(batch.num_rows() as u64);
                let mut rows = Rows::of_batch(self.layout.of_delta(&batch), batch.num_rows());
                self.next_unit()?;
                let kept = self.conditions.apply(&mut rows, None)?;
                give(&self.layout, &self.schema, self.state.as_mut(), &mut self.gathered, &mut rows, kept)?;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Rows of something else come next.
    fn next_unit(&mut self) -> Result<()> {
        match &mut self.state {
            Some(state) => {
                let groups = state.next_unit()?;
                self.hand_on(groups)
            }
            None => Ok(()),
        }
    }

    fn hand_on(&mut self, groups: Option<RecordBatch>) -> Result<()> {
        for piece in groups.iter().flat_map(pieces) {
            self.gathered.push_batch(piece)?;
        }
        Ok(())
    }

    fn open(&mut self, morsel: Morsel) -> Result<()> {
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
            return Ok(());
        }
        stats.add_groups_read(1);
        runs.reverse();
        self.next_unit()?;
        let conditions = self.layout.fixed.len() + self.layout.dynamic.len();
        self.open = Some(Open { unit, columns: Unpacking::new(self.layout.places.len(), conditions), runs });
        Ok(())
    }

    fn rows_of_unit(&mut self, open: &mut Open, rows: Range<u32>) -> Result<()> {
        let (start, count) = (rows.start as usize, (rows.end - rows.start) as usize);
        let alive = self.alive(open.unit, &rows);
        let live = alive.as_ref().map_or(count, BooleanArray::true_count);
        if live == 0 {
            return Ok(());
        }
        self.run.stats.add_rows_from_segments(live as u64);
        let Open { unit, columns, .. } = open;
        let reading = Reading { table: &self.table, layout: &self.layout, run: &self.run, unit: *unit };
        let load = |column| reading.load(column);
        let mut rows = Rows::of_unit(columns, start..start + count, &load);
        let kept = self.conditions.apply(&mut rows, alive)?;
        let (layout, schema) = (&self.layout, &self.schema);
        give(layout, schema, self.state.as_mut(), &mut self.gathered, &mut rows, kept)
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

    /// The batch, or as much of it as is still wanted.
    fn cut(&mut self, batch: RecordBatch) -> RecordBatch {
        let Some(remaining) = &mut self.remaining else { return batch };
        let rows = batch.num_rows().min(*remaining);
        *remaining -= rows;
        batch.slice(0, rows)
    }
}

/// Where the columns of a unit come from.
struct Reading<'a> {
    table: &'a Arc<dyn TableSource>,
    layout: &'a ScanLayout,
    run: &'a Run,
    unit: Unit,
}

impl Reading<'_> {
    fn load(&self, at: usize) -> Result<Loaded> {
        let loaded = match self.layout.places[at] {
            Place::Key => {
                let keys = self.table.keys(self.unit).map_err(errors::raise)?;
                let is_view = *keys.data_type() == DataType::BinaryView;
                Loaded::Array(if is_view { keys } else { cast(&keys, &DataType::BinaryView)? })
            }
            Place::Stored(column) => Loaded::Packed(self.table.packed(self.unit, column).map_err(errors::raise)?),
        };
        let bytes = match &loaded {
            Loaded::Packed(packed) => packed.memory(),
            Loaded::Array(array) => array.get_array_memory_size(),
        };
        self.run.stats.add_bytes_read(bytes as u64);
        Ok(loaded)
    }
}

/// Gives out those rows that are left (all, if `None`), or adds them up.
fn give(
    layout: &ScanLayout,
    schema: &SchemaRef,
    state: Option<&mut State>,
    gathered: &mut BatchCoalescer,
    rows: &mut Rows<'_>,
    kept: Option<BooleanArray>,
) -> Result<()> {
    let chosen = kept.as_ref().map(Chosen::new);
    let count = chosen.as_ref().map_or(rows.len(), Chosen::len);
    if count == 0 {
        return Ok(());
    }
    if let Some(state) = state {
        return state.add(rows, &layout.output, chosen.as_ref());
    }
    let columns = layout.output.iter().map(|at| match &chosen {
        Some(chosen) => rows.chosen(*at, chosen),
        None => rows.array(*at),
    });
    Ok(gathered.push_batch(batch(schema, columns.collect::<Result<Vec<_>>>()?, count)?)?)
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

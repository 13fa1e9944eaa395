//! Aggregation by one whole number of a known range: groups are found in a table by the number, not by its hash.
//!
//! ```text
//! AggregateExec(Partial, gby=[k])                           k - low --> group --> DataFusion's accumulators
//! AggregateExec(FinalPartitioned, gby=[k])       ==>        k - low --> group --> merged, and evaluated
//! ```
//!
//! 1. What the range is comes from statistics, which may be wrong: numbers outside of it are found in a map.
//! 2. Rows that come in the order of the number, as those of segments mostly do, find their groups side by side in memory; a hash
//!    would scatter them.
//! 3. A partial aggregation that gets no more memory hands its groups on; a final one cannot: it is only made this way if table and
//!    groups are a part of all memory for queries, and not in a plan that has to do with little (`spilling`).

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue, internal_datafusion_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::Stream;
use segments::Packed;
use types::{SqlType, arrow_form};

use crate::scan::groups::{Groups, Manner, is_whole};
use crate::scan::{number, pieces};
use crate::spilling;

/// Entries of a table for each row that is expected, at most.
const TABLE_PER_ROW_MAX: f64 = 8.0;
/// A table that is always small enough.
const TABLE_MIN: f64 = 65_536.0;
/// What part of all memory for queries a table may be.
const MEMORY_SHARE: usize = 12;
/// How much more its groups may be, of about so many bytes each.
const GROUPS_PER_TABLE: usize = 4;
const GROUP_BYTES: f64 = 64.0;
/// Where that has no limit.
const TABLE_BYTES_MAX: usize = 64 << 20;

/// The rule; to be run after all others.
pub(crate) struct DenseAggregates(pub(crate) Arc<dyn MemoryPool>);

impl fmt::Debug for DenseAggregates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DenseAggregates")
    }
}

impl PhysicalOptimizerRule for DenseAggregates {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let spills = spilling::is_asked(config);
        let bytes_max = match self.0.memory_limit() {
            MemoryLimit::Finite(limit) => limit / MEMORY_SHARE,
            MemoryLimit::Infinite | MemoryLimit::Unknown => TABLE_BYTES_MAX,
        };
        plan.transform_up(|node| {
            let dense = node.downcast_ref::<AggregateExec>().and_then(|aggregate| dense(aggregate, spills, bytes_max));
            Ok(dense.map_or_else(|| Transformed::no(node), Transformed::yes))
        })
        .data()
    }

    fn name(&self) -> &str {
        "dense_aggregates"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn dense(aggregate: &AggregateExec, spills: bool, bytes_max: usize) -> Option<Arc<dyn ExecutionPlan>> {
    let merges = match aggregate.mode() {
        AggregateMode::Partial => false,
        AggregateMode::FinalPartitioned if !spills => true,
        _ => return None,
    };
    let by = aggregate.group_expr();
    let [(group, _)] = by.expr() else { return None };
    let column = group.downcast_ref::<Column>()?.index();
    let has_more = aggregate.limit_options().is_some() || by.has_grouping_set();
    let functions = aggregate.aggr_expr();
    let is_simple = functions.iter().all(|f| f.groups_accumulator_supported() && !f.is_distinct() && f.order_bys().is_empty());
    let sql_type = arrow_form::sql_type_of(aggregate.schema().field(0)).filter(|t| is_whole(*t))?;
    if has_more || !is_simple {
        return None;
    }
    let statistics = StatisticsContext::new().compute(aggregate.input().as_ref(), &StatisticsArgs::new()).ok()?;
    let known = statistics.column_statistics.get(column)?;
    let bound = |value: &Precision<ScalarValue>| number(value.get_value()?);
    let rows = *statistics.num_rows.get_value()? as f64;
    let most = (TABLE_PER_ROW_MAX * rows).min((bytes_max / size_of::<u32>()) as f64).max(TABLE_MIN);
    let manner = Manner::dense(bound(&known.min_value)?, bound(&known.max_value)?, most)?;
    if let Manner::Dense { size, .. } = manner
        && rows.min(size as f64) * GROUP_BYTES > ((GROUPS_PER_TABLE * bytes_max) as f64).max(TABLE_MIN * GROUP_BYTES)
    {
        return None;
    }
    Some(Arc::new(DenseAggregateExec {
        input: Arc::clone(aggregate.input()),
        replaced: Arc::new(aggregate.clone()),
        merges,
        group: column,
        sql_type,
        manner,
        metrics: ExecutionPlanMetricsSet::new(),
    }))
}

/// See the module's head.
#[derive(Clone, Debug)]
pub(crate) struct DenseAggregateExec {
    /// The aggregation that this is done for.
    replaced: Arc<AggregateExec>,
    input: Arc<dyn ExecutionPlan>,
    /// States come in, values go out.
    merges: bool,
    group: usize,
    sql_type: SqlType,
    manner: Manner,
    metrics: ExecutionPlanMetricsSet,
}

impl DisplayAs for DenseAggregateExec {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dense")?;
        self.replaced.fmt_as(t, f)
    }
}

impl ExecutionPlan for DenseAggregateExec {
    fn name(&self) -> &'static str {
        "DenseAggregateExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.replaced.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.replaced.apply_expressions(f)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.pop().ok_or_else(|| internal_datafusion_err!("an aggregation without an input"))?;
        Ok(Arc::new(DenseAggregateExec { input, metrics: ExecutionPlanMetricsSet::new(), ..(*self).clone() }))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let functions = self.replaced.aggr_expr();
        let accumulators = functions.iter().map(|f| f.create_groups_accumulator()).collect::<Result<Vec<_>>>()?;
        let mut first = 1;
        let arguments = functions.iter().map(|function| {
            if !self.merges {
                return Ok(function.expressions());
            }
            // The states are behind the group, in order.
            let states = function.state_fields()?.len();
            let columns = (first..first + states).map(|at| Arc::new(Column::new("state", at)) as Arc<dyn PhysicalExpr>);
            first += states;
            Ok(columns.collect())
        });
        Ok(Box::pin(DenseStream {
            arguments: arguments.collect::<Result<Vec<_>>>()?,
            filters: self.replaced.filter_expr().to_vec(),
            accumulators,
            groups: Groups::new(self.manner, vec![self.sql_type]),
            memory: MemoryConsumer::new("groups by number").with_can_spill(!self.merges).register(context.memory_pool()),
            input: self.input.execute(partition, context)?,
            schema: self.replaced.schema(),
            merges: self.merges,
            group: self.group,
            sql_type: self.sql_type,
            metrics: BaselineMetrics::new(&self.metrics, partition),
            found: vec![],
            out: VecDeque::new(),
            ended: false,
        }))
    }
}

struct DenseStream {
    input: SendableRecordBatchStream,
    schema: SchemaRef,
    merges: bool,
    group: usize,
    sql_type: SqlType,
    arguments: Vec<Vec<Arc<dyn PhysicalExpr>>>,
    filters: Vec<Option<Arc<dyn PhysicalExpr>>>,
    groups: Groups,
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
    memory: MemoryReservation,
    metrics: BaselineMetrics,
    /// The groups of a batch's rows, kept for its memory.
    found: Vec<u32>,
    out: VecDeque<RecordBatch>,
    ended: bool,
}

impl DenseStream {
    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = batch.num_rows();
        let key = Packed::new(Arc::clone(batch.column(self.group)), self.sql_type);
        let key = key.ok_or_else(|| internal_datafusion_err!("groups are not {}", self.sql_type))?;
        self.groups.find(&[(Arc::new(key), 0)], None, rows, &mut self.found);
        let groups: Vec<usize> = self.found.iter().map(|group| *group as usize).collect();
        let total = self.groups.len();
        let evaluate = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(batch)?.into_array(rows);
        for ((arguments, filter), accumulator) in self.arguments.iter().zip(&self.filters).zip(&mut self.accumulators) {
            let values = arguments.iter().map(evaluate).collect::<Result<Vec<ArrayRef>>>()?;
            if self.merges {
                accumulator.merge_batch(&values, &groups, total)?;
            } else {
                let filter = filter.as_ref().map(evaluate).transpose()?;
                accumulator.update_batch(&values, &groups, filter.as_ref().map(|filter| filter.as_boolean()), total)?;
            }
        }
        let values: usize = self.accumulators.iter().map(|accumulator| accumulator.size()).sum();
        match self.memory.try_resize(self.groups.size() + values) {
            Ok(()) => Ok(()),
            Err(error) if self.merges => Err(error),
            Err(_) => self.hand_on(),
        }
    }

    /// Gives out the groups so far.
    fn hand_on(&mut self) -> Result<()> {
        if self.groups.len() == 0 {
            return Ok(());
        }
        let mut columns = self.groups.arrays();
        for accumulator in &mut self.accumulators {
            if self.merges {
                columns.push(accumulator.evaluate(EmitTo::All)?);
            } else {
                columns.extend(accumulator.state(EmitTo::All)?);
            }
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        self.out.extend(pieces(&batch));
        self.groups.clear();
        self.memory.free();
        Ok(())
    }
}

impl Stream for DenseStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<RecordBatch>>> {
        loop {
            if let Some(batch) = self.out.pop_front() {
                return self.metrics.record_poll(Poll::Ready(Some(Ok(batch))));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            let batch = ready!(self.input.as_mut().poll_next(context)).transpose()?;
            let elapsed = self.metrics.elapsed_compute().clone();
            let _timer = elapsed.timer();
            match batch {
                Some(batch) => self.add(&batch)?,
                None => {
                    self.ended = true;
                    self.hand_on()?;
                }
            }
        }
    }
}

impl RecordBatchStream for DenseStream {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

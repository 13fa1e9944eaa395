//! Computing it, once, and reading what was computed.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, Statistics};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryReservation};
use datafusion::execution::spill_file::SpillFile;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, SpillMetrics};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, SendableRecordBatchStream, SpillManager,
    execute_stream,
};
use futures::future::Shared;
use futures::{FutureExt, StreamExt, TryStreamExt};
use types::SqlError;

use super::CteResult;
use crate::errors;
use crate::session::ROWS_PER_BATCH;

/// What share of the memory of all queries one result may have: its readers, who sort and join it, need the rest.
const MEMORY_SHARE: usize = 4;
/// What a result may have where memory has no limit.
const UNLIMITED_MAX: usize = 256 << 20;

/// Estimated rows from which several threads read.
const ROWS_PER_PARTITION_MIN: f64 = 3.0 * ROWS_PER_BATCH as f64;

/// The result, when it is there.
pub(super) type Held = Pin<Box<dyn Future<Output = Result<Arc<Batches>, Arc<DataFusionError>>> + Send>>;

/// The rows.
pub(super) struct Batches {
    batches: Vec<RecordBatch>,
    /// Those that come after.
    file: Option<(SpillManager, Arc<dyn SpillFile>)>,
    _memory: MemoryReservation,
}

impl CteResult {
    /// Starts to compute it if nobody has.
    fn held(&self) -> Shared<Held> {
        let start = || {
            let task = collect(self.name.clone(), Arc::clone(&self.physical), Arc::clone(&self.context));
            let task = SpawnedTask::spawn(task);
            let held: Held = Box::pin(async move {
                match task.await {
                    Ok(batches) => batches.map(Arc::new).map_err(Arc::new),
                    Err(error) => Err(Arc::new(errors::raise(SqlError::bug(format!("a query of WITH panicked: {error}"))))),
                }
            });
            held.shared()
        };
        self.held.get_or_init(start).clone()
    }
}

async fn collect(name: String, plan: Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> Result<Batches> {
    let environment = context.runtime_env();
    let most = match environment.memory_pool.memory_limit() {
        MemoryLimit::Finite(limit) => limit / MEMORY_SHARE,
        MemoryLimit::Infinite | MemoryLimit::Unknown => UNLIMITED_MAX,
    };
    let memory = MemoryConsumer::new(format!("WITH {name}")).with_can_spill(true).register(&environment.memory_pool);
    let metrics = SpillMetrics::new(&ExecutionPlanMetricsSet::new(), 0);
    let manager = SpillManager::new(environment, metrics, plan.schema());
    let (mut batches, mut file) = (Vec::new(), None);
    let mut stream = execute_stream(plan, context)?;
    while let Some(batch) = stream.next().await {
        let batch = crate::kept::own_batch(&batch?)?;
        if batch.num_rows() == 0 {
            continue;
        }
        let bytes = batch.get_array_memory_size();
        if file.is_none() && memory.size() + bytes <= most && memory.try_grow(bytes).is_ok() {
            batches.push(batch);
            continue;
        }
        let file = match &mut file {
            Some(file) => file,
            None => file.insert(manager.create_in_progress_file("a query of WITH")?),
        };
        file.append_batch(&batch)?;
    }
    let file = match file {
        Some(mut file) => file.finish()?,
        None => None,
    };
    Ok(Batches { batches, file: file.map(|file| (manager, file)), _memory: memory })
}

/// Reads it.
pub(super) struct CteExec {
    result: Arc<CteResult>,
    projection: Option<Vec<usize>>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl CteExec {
    pub(super) fn new(
        result: Arc<CteResult>,
        schema: &SchemaRef,
        projection: Option<Vec<usize>>,
        threads: usize,
    ) -> Result<CteExec> {
        let schema = match &projection {
            Some(projection) => Arc::new(schema.project(projection)?),
            None => Arc::clone(schema),
        };
        let partitions = if result.estimate.rows() < ROWS_PER_PARTITION_MIN { 1 } else { threads };
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        Ok(CteExec { result, projection, schema, properties })
    }
}

impl fmt::Debug for CteExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CteExec").field("name", &self.result.name).finish_non_exhaustive()
    }
}

impl DisplayAs for CteExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<&str> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        write!(f, "CteExec: {}, columns=[{}]", self.result.name, columns.join(", "))
    }
}

impl ExecutionPlan for CteExec {
    fn name(&self) -> &'static str {
        "CteExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        let share = if partition.is_some() { self.properties.partitioning.partition_count() as f64 } else { 1.0 };
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = Precision::Inexact((self.result.estimate.rows() / share) as usize);
        Ok(Arc::new(statistics))
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (result, projection, schema) = (Arc::clone(&self.result), self.projection.clone(), Arc::clone(&self.schema));
        let partitions = self.properties.partitioning.partition_count();
        let shown = Arc::clone(&schema);
        let read = async move {
            let held = result.held().await.map_err(DataFusionError::Shared)?;
            let file = match &held.file {
                Some((manager, file)) if partition == 0 => Some(manager.read_spill_as_stream(Arc::clone(file), None)?),
                _ => None,
            };
            let mut at = partition;
            let in_memory = std::iter::from_fn(move || {
                let batch = held.batches.get(at).cloned();
                at += partitions;
                batch.map(Ok)
            });
            Ok::<_, DataFusionError>(futures::stream::iter(in_memory).chain(futures::stream::iter(file).flatten()))
        };
        let batches = futures::stream::once(read).try_flatten().map(move |batch| {
            let batch: RecordBatch = batch?;
            let columns = match &projection {
                Some(projection) => projection.iter().map(|at| Arc::clone(batch.column(*at))).collect(),
                None => batch.columns().to_vec(),
            };
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            Ok(RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options)?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(shown, batches)))
    }
}

//! A scan as a node of a physical plan.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use catalog::Table;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics};
use datafusion::datasource::source::{DataSource, DataSourceExec, OpenArgs};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::{Column, DynamicFilterTracking};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::utils::reassign_expr_columns;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr, split_conjunction};
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::filter_pushdown::{FilterPushdownPropagation, PushedDown};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::projection::{all_alias_free_columns, new_projections_for_columns};
use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan};
use types::SqlType;

use super::Run;
use super::fused::Fused;
use super::morsels::Morsels;
use super::statistics::TableEstimates;
use super::stream::{ScanLayout, ScanStream};
use crate::selectivity::ColumnEstimates;
use crate::session::ROWS_PER_BATCH;
use crate::source::TableSource;

/// Tables with fewer rows are scanned by one partition.
const ROWS_PER_PARTITION_MIN: f64 = 3.0 * ROWS_PER_BATCH as f64;

/// See the module's head. Expressions refer to `schema`, the provider's; output columns are `projection` of it.
#[derive(Clone)]
pub(super) struct ScanSource {
    definition: Arc<Table>,
    table: Arc<dyn TableSource>,
    schema: SchemaRef,
    with_key: bool,
    projection: Vec<usize>,
    projected: SchemaRef,
    fixed: Vec<Arc<dyn PhysicalExpr>>,
    dynamic: Vec<Arc<dyn PhysicalExpr>>,
    selectivity: f64,
    estimates: Arc<TableEstimates>,
    fetch: Option<usize>,
    partitions: usize,
    run: Run,
    metrics: ExecutionPlanMetricsSet,
    /// What it does with its rows instead of giving them out.
    fused: Option<Arc<Fused>>,
    /// What it gives out: its columns, or states of groups.
    given: SchemaRef,
}

impl ScanSource {
    pub(super) fn new(
        definition: Arc<Table>,
        table: Arc<dyn TableSource>,
        schema: SchemaRef,
        with_key: bool,
        projection: Vec<usize>,
        fixed: Vec<Arc<dyn PhysicalExpr>>,
        selectivity: f64,
        estimates: Arc<TableEstimates>,
        fetch: Option<usize>,
        threads: usize,
        run: Run,
    ) -> Result<ScanSource> {
        let partitions = if estimates.rows() < ROWS_PER_PARTITION_MIN { 1 } else { threads };
        let projected = Arc::new(schema.project(&projection)?);
        Ok(ScanSource {
            given: Arc::clone(&projected),
            projected,
            definition,
            table,
            schema,
            with_key,
            projection,
            fixed,
            dynamic: vec![],
            selectivity,
            estimates,
            fetch,
            partitions,
            run,
            metrics: ExecutionPlanMetricsSet::new(),
            fused: None,
        })
    }

    /// The types of its columns, `None` for the key; none if it gives out something else, or not all.
    pub(super) fn output_types(&self) -> Option<Vec<Option<SqlType>>> {
        let types = self.projection.iter().map(|at| self.definition.columns.get(*at).map(|column| column.data_type));
        (self.fused.is_none() && self.fetch.is_none()).then(|| types.collect())
    }

    /// Rows of the table, about.
    pub(super) fn rows(&self) -> f64 {
        self.estimates.rows()
    }

    /// What is known of a column of its output.
    pub(super) fn estimates_of(&self, column: usize) -> Option<&ColumnEstimates> {
        self.estimates.column(self.projected.field(column).name())
    }

    /// Whether the rows of a unit are in the order of a column of its output.
    pub(super) fn is_clustered_by(&self, column: usize) -> bool {
        let key = self.definition.primary_key.as_ref();
        key.and_then(|key| key.columns.first()) == self.projection.get(column)
    }

    /// The same scan, which gives out states of groups.
    pub(super) fn fused(&self, fused: Fused, given: SchemaRef) -> ScanSource {
        ScanSource { fused: Some(Arc::new(fused)), given, metrics: ExecutionPlanMetricsSet::new(), ..self.clone() }
    }

    fn layout(&self) -> Result<ScanLayout> {
        ScanLayout::new(&self.definition, &self.schema, self.with_key, &self.projection, &self.fixed, &self.dynamic)
    }

    fn morsels(&self, layout: &ScanLayout) -> Morsels {
        let delta = self.table.delta(layout.stored(), layout.reads_key(), ROWS_PER_BATCH);
        Morsels::new(self.table.as_ref(), self.partitions, delta)
    }
}

/// What joins and others learn for this scan while they run; nothing, if the node is none.
pub(crate) fn dynamic_filters(node: &Arc<dyn ExecutionPlan>) -> &[Arc<dyn PhysicalExpr>] {
    match scan_of(node) {
        Some(source) => &source.dynamic,
        None => &[],
    }
}

/// The column of its table that is a scan's column at `column`; `None`: the node is no scan, or not one that may leave out rows.
pub(crate) fn table_column(node: &Arc<dyn ExecutionPlan>, column: usize) -> Option<Arc<dyn PhysicalExpr>> {
    let source = scan_of(node).filter(|source| source.fused.is_none() && source.fetch.is_none())?;
    let at = *source.projection.get(column)?;
    Some(Arc::new(Column::new(source.schema.field(at).name(), at)))
}

/// The same scan with more advice, over the table's columns; `None`: there is none, or the node is no scan.
pub(crate) fn with_conditions(
    node: &Arc<dyn ExecutionPlan>,
    conditions: Vec<Arc<dyn PhysicalExpr>>,
) -> Option<Arc<dyn ExecutionPlan>> {
    let source = scan_of(node).filter(|_| !conditions.is_empty())?;
    let dynamic = source.dynamic.iter().cloned().chain(conditions).collect();
    Some(DataSourceExec::from_data_source(ScanSource { dynamic, metrics: ExecutionPlanMetricsSet::new(), ..source.clone() }))
}

/// The scan that a node is, if it is one.
pub(super) fn scan_of(node: &Arc<dyn ExecutionPlan>) -> Option<&ScanSource> {
    node.downcast_ref::<DataSourceExec>()?.data_source().downcast_ref()
}

impl fmt::Debug for ScanSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScanSource").field("table", &self.definition.name).finish_non_exhaustive()
    }
}

impl DataSource for ScanSource {
    fn open(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let state = self.create_sibling_state(context.session_config().options());
        self.open_with_args(OpenArgs::new(partition, context).with_shared_state(state))
    }

    fn create_sibling_state(&self, _config: &ConfigOptions) -> Option<Arc<dyn Any + Send + Sync>> {
        // An expression that does not fit the table would have been refused when it was pushed down; opening reports it again.
        let layout = self.layout().ok()?;
        Some(Arc::new(self.morsels(&layout)))
    }

    fn open_with_args(&self, args: OpenArgs) -> Result<SendableRecordBatchStream> {
        let layout = self.layout()?;
        let morsels = args.sibling_state.and_then(|state| state.downcast::<Morsels>().ok());
        let morsels = morsels.unwrap_or_else(|| Arc::new(self.morsels(&layout)));
        let stream = ScanStream::new(
            Arc::clone(&self.table),
            layout,
            morsels,
            Arc::clone(&self.given),
            self.fused.as_ref(),
            self.fetch,
            self.run.clone(),
            &self.metrics,
            args.partition,
            args.context.memory_pool(),
        )?;
        Ok(Box::pin(stream))
    }

    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.projected.fields().iter().map(|field| field.name().as_str()).collect();
        match t {
            DisplayFormatType::TreeRender => writeln!(f, "table={}", self.definition.name),
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "{}, columns=[{}]", self.definition.name, names.join(", "))?;
                let filters: Vec<String> = self.fixed.iter().chain(&self.dynamic).map(ToString::to_string).collect();
                if !filters.is_empty() {
                    write!(f, ", filters=[{}]", filters.join(" AND "))?;
                }
                if let Some(fused) = &self.fused {
                    write!(f, "{}", fused.shown(&self.projected))?;
                }
                match self.fetch {
                    Some(fetch) => write!(f, ", fetch={fetch}"),
                    None => Ok(()),
                }
            }
        }
    }

    fn output_partitioning(&self) -> Partitioning {
        Partitioning::UnknownPartitioning(self.partitions)
    }

    fn eq_properties(&self) -> EquivalenceProperties {
        EquivalenceProperties::new(Arc::clone(&self.given))
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        if let Some(fused) = &self.fused {
            let columns: Vec<usize> = fused.group_columns().map(|column| self.projection[column]).collect();
            return Ok(Arc::new(fused.statistics(self.estimates.statistics(&columns, 1.0), &self.given)));
        }
        let share = if partition.is_some() { 1.0 / self.partitions as f64 } else { 1.0 };
        Ok(Arc::new(self.estimates.statistics(&self.projection, self.selectivity * share)))
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn DataSource>> {
        if self.fused.is_some() {
            return None;
        }
        Some(Arc::new(ScanSource { fetch: limit, metrics: ExecutionPlanMetricsSet::new(), ..self.clone() }))
    }

    fn fetch(&self) -> Option<usize> {
        self.fetch
    }

    fn metrics(&self) -> ExecutionPlanMetricsSet {
        self.metrics.clone()
    }

    fn try_swapping_with_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn DataSource>>> {
        let exprs: Vec<_> = projection.iter().cloned().collect();
        if self.fused.is_some() || !all_alias_free_columns(&exprs) {
            return Ok(None);
        }
        let projection = new_projections_for_columns(&exprs, &self.projection);
        let projected = Arc::new(self.schema.project(&projection)?);
        let metrics = ExecutionPlanMetricsSet::new();
        let given = Arc::clone(&projected);
        Ok(Some(Arc::new(ScanSource { projection, projected, given, metrics, ..self.clone() })))
    }

    /// Takes everything a row of the table decides by itself. What a join or a TopK learns while it runs is taken as advice.
    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn DataSource>>> {
        if self.fused.is_some() {
            return Ok(FilterPushdownPropagation { filters: vec![PushedDown::No; filters.len()], updated_node: None });
        }
        let mut next = self.clone();
        let mut answers = Vec::with_capacity(filters.len());
        for filter in filters {
            if is_volatile(&filter) {
                answers.push(PushedDown::No);
                continue;
            }
            let dynamic = DynamicFilterTracking::classify(&filter).contains_dynamic_filter();
            let filter = reassign_expr_columns(filter, &self.schema)?;
            if dynamic {
                next.dynamic.push(filter);
                answers.push(PushedDown::No);
            } else {
                next.fixed.extend(split_conjunction(&filter).into_iter().cloned());
                answers.push(PushedDown::Yes);
            }
        }
        next.metrics = ExecutionPlanMetricsSet::new();
        Ok(FilterPushdownPropagation { filters: answers, updated_node: Some(Arc::new(next)) })
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for expr in self.fixed.iter().chain(&self.dynamic) {
            if f(expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }
}

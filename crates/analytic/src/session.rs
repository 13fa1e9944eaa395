//! DataFusion's side of a statement: one set of functions and rules for everybody, and little that is a statement's own.
//!
//! Building a `SessionState`, or cloning one, copies some hundred functions; that is done once. A statement borrows it and adds the
//! time its transaction began.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::temporal_conversions::timestamp_us_to_datetime;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::catalog::{CatalogProviderList, Session};
use datafusion::common::alias::AliasGenerator;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DFSchema, Result};
use datafusion::config::TableOptions;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{SessionState, TaskContext};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::planner::{ExprPlanner, TypePlanner};
use datafusion::logical_expr::registry::ExtensionTypeRegistryRef;
use datafusion::logical_expr::{AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, ScalarUDF, WindowUDF};
use datafusion::optimizer::{Analyzer, OptimizerConfig};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use datafusion::prelude::SessionConfig;
use expr::arrow_driver::{GoOn, Limits};

use crate::apply;
use crate::compact_strings::CompactStrings;
use crate::dense_aggregate::DenseAggregates;
use crate::dynamic_filters::DynamicFilters;
use crate::join_mode::JoinMode;
use crate::key_sets::KeySets;
use crate::no_row::NoRow;
use crate::optimize::{JoinOrder, Rewrites};
use crate::outer_constants::OuterConstants;
use crate::scan::FusedAggregates;
use crate::spilling;
use crate::stop::Stop;
use crate::yielding::{self, YieldingJoins};

/// Rows of a batch.
pub(crate) const ROWS_PER_BATCH: usize = 8192;

/// DataFusion's physical rules that are not run. The one takes statistics for exact. The other moves a condition on a join's output to
/// the side that has a column of that name, which may be the wrong one (`id IS NULL` above an outer join of two tables with an
/// `id`); conditions are where they belong before, and the rule that passes on those of joins is another.
const LEFT_OUT: [&str; 2] = ["aggregate_statistics", "FilterPushdown"];

/// What all statements share.
pub(crate) struct Shared {
    state: SessionState,
    /// Of plans that can be run with little memory: joins sort, groups spill.
    spilling: Arc<TaskContext>,
    task: Arc<TaskContext>,
    pub(crate) analyzer: Analyzer,
    rewrites: Rewrites,
    joins: JoinOrder,
    physical_rules: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>>,
    pub(crate) expr_planners: Vec<Arc<dyn ExprPlanner>>,
    pub(crate) type_planner: Arc<dyn TypePlanner>,
}

impl Shared {
    pub(crate) fn new(threads: usize, joins: JoinOrder, runtime: Arc<RuntimeEnv>) -> Result<Shared> {
        let state =
            SessionStateBuilder::new().with_config(config(threads)).with_runtime_env(runtime).with_default_features().build();
        let task = state.task_ctx();
        let mut analyzer = state.analyzer().clone();
        expr::arrow_driver::add_analyzer_rules(&mut analyzer.rules);
        analyzer.rules.insert(0, Arc::new(NoRow));
        // Statistics are of the segments, not of a snapshot: nothing may be answered from them (rule 3 of the crate).
        let mut physical_rules: Vec<_> =
            state.physical_optimizers().iter().filter(|rule| !LEFT_OUT.contains(&rule.name())).cloned().collect();
        let selection = physical_rules.iter().position(|rule| rule.name() == "join_selection").unwrap_or_default();
        physical_rules.insert(selection, Arc::new(JoinMode));
        for rule in physical_rules.iter_mut().filter(|rule| rule.name() == DynamicFilters::INSTEAD_OF) {
            *rule = Arc::new(DynamicFilters::new());
        }
        physical_rules.insert(0, Arc::new(OuterConstants));
        physical_rules.push(Arc::new(KeySets));
        physical_rules.push(Arc::new(FusedAggregates));
        physical_rules.push(Arc::new(DenseAggregates(Arc::clone(&state.runtime_env().memory_pool))));
        physical_rules.push(Arc::new(CompactStrings));
        physical_rules.push(Arc::new(YieldingJoins));
        let spilling = spilling::task(&state)?;
        Ok(Shared {
            task,
            spilling,
            joins,
            analyzer,
            rewrites: Rewrites::new(state.optimizer().rules.clone()),
            physical_rules,
            expr_planners: expr::arrow_driver::expr_planners(state.expr_planners()),
            type_planner: expr::arrow_driver::type_planner(),
            state,
        })
    }

    pub(crate) fn state(&self) -> &SessionState {
        &self.state
    }

    pub(crate) fn task(&self) -> &Arc<TaskContext> {
        &self.task
    }
}

fn config(threads: usize) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_target_partitions(threads.max(1))
        .with_batch_size(ROWS_PER_BATCH)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(false);
    let options = config.options_mut();
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.collect_spans = true;
    options.sql_parser.enable_ident_normalization = true;
    options.execution.time_zone = Some("UTC".into());
    // An expression that the physical planner simplifies to a column has the metadata of its type, which the logical one may not have.
    options.execution.skip_physical_aggregate_schema_check = true;
    // The sides of joins are settled with their order (`join_order`), how they are shared among threads by `join_mode`.
    options.optimizer.join_reordering = false;
    // A table by key instead of a hash table, for keys of which one in ten is there: rows that come in the order of the key, as those
    // of segments do, then find theirs side by side. At most some 40 bytes a row.
    options.execution.perfect_hash_join_min_key_density = 0.1;
    options.optimizer.repartition_file_scans = false;
    config
}

/// One statement's view of [`Shared`]: a `Session` and an `OptimizerConfig` of DataFusion.
#[derive(Clone)]
pub(crate) struct StatementSession {
    shared: Arc<Shared>,
    props: ExecutionProps,
    /// What constants are computed under.
    planning: Arc<ConfigOptions>,
    /// Plans are those that can be run with little memory.
    spills: bool,
    stop: Stop,
}

impl StatementSession {
    /// `now_micros`: when the transaction began, microseconds since 1970-01-01 UTC. `zone`: the session's, `None` for UTC.
    pub(crate) fn new(shared: Arc<Shared>, now_micros: i64, zone: Option<&str>, stop: Stop) -> StatementSession {
        let mut options = ConfigOptions::clone(shared.state.config_options());
        if let Some(zone) = zone {
            options.execution.time_zone = Some(zone.to_owned());
        }
        let pool = Arc::clone(&shared.state.runtime_env().memory_pool);
        let asked = stop.clone();
        let go_on: GoOn = Arc::new(move || asked.check());
        let mut planning = options.clone();
        planning.extensions.insert(Limits::of_planning(Arc::clone(&go_on)));
        options.extensions.insert(Limits::new(pool, go_on));
        let mut props = ExecutionProps::new();
        props.query_execution_start_time = timestamp_us_to_datetime(now_micros).map(|at| at.and_utc());
        props.config_options = Some(Arc::new(options));
        StatementSession { shared, props, planning: Arc::new(planning), spills: false, stop }
    }

    /// The same, with joins that sort both sides, on disk where memory ends, instead of holding one, and groups that do likewise.
    pub(crate) fn spilling(&self) -> StatementSession {
        StatementSession { spills: true, ..self.clone() }
    }

    /// The logical plan, rewritten to do less. Errors: the statement was cancelled meanwhile.
    pub(crate) fn optimize_plan(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        self.shared.rewrites.apply(plan, self, self.shared.joins, &|| self.stop.check())
    }

    /// How to run an optimized logical plan, so that it ends when the statement is to stop.
    pub(crate) async fn physical_plan(&self, plan: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(apply::Planner)]);
        yielding::stoppable(planner.create_physical_plan(plan, self).await?, &self.stop)
    }

    pub(crate) fn task(&self) -> &Arc<TaskContext> {
        match self.spills {
            true => &self.shared.spilling,
            false => self.shared.task(),
        }
    }
}

impl OptimizerConfig for StatementSession {
    fn query_execution_start_time(&self) -> Option<DateTime<Utc>> {
        self.props.query_execution_start_time
    }

    fn alias_generator(&self) -> &Arc<AliasGenerator> {
        &self.props.alias_generator
    }

    fn options(&self) -> Arc<ConfigOptions> {
        Arc::clone(&self.planning)
    }

    /// The rule for DISTINCT ON looks for `first_value` there.
    fn function_registry(&self) -> Option<&dyn FunctionRegistry> {
        Some(self.shared.state())
    }
}

#[async_trait]
impl Session for StatementSession {
    fn session_id(&self) -> &str {
        self.shared.state.session_id()
    }

    fn config(&self) -> &SessionConfig {
        match self.spills {
            true => self.shared.spilling.session_config(),
            false => self.shared.state.config(),
        }
    }

    fn catalog_list(&self) -> Arc<dyn CatalogProviderList> {
        Arc::clone(self.shared.state.catalog_list())
    }

    fn query_planner(&self) -> Arc<dyn QueryPlanner + Send + Sync> {
        Arc::clone(self.shared.state.query_planner())
    }

    fn optimize(&self, plan: &LogicalPlan) -> Result<LogicalPlan> {
        self.optimize_plan(plan.clone())
    }

    fn physical_optimizers(&self) -> &[Arc<dyn PhysicalOptimizerRule + Send + Sync>] {
        &self.shared.physical_rules
    }

    async fn create_physical_plan(&self, plan: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
        self.physical_plan(&self.optimize_plan(plan.clone())?).await
    }

    /// Of an expression from an optimized plan, which has all its types. Under the statement's zone, limits and clock.
    fn create_physical_expr(&self, expr: Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
        create_physical_expr(&expr, schema, &self.props, &PhysicalPlanningContext::default())
    }

    fn scalar_functions(&self) -> &HashMap<String, Arc<ScalarUDF>> {
        self.shared.state.scalar_functions()
    }

    fn higher_order_functions(&self) -> &HashMap<String, Arc<HigherOrderUDF>> {
        self.shared.state.higher_order_functions()
    }

    fn aggregate_functions(&self) -> &HashMap<String, Arc<AggregateUDF>> {
        self.shared.state.aggregate_functions()
    }

    fn window_functions(&self) -> &HashMap<String, Arc<WindowUDF>> {
        self.shared.state.window_functions()
    }

    fn extension_type_registry(&self) -> &ExtensionTypeRegistryRef {
        self.shared.state.extension_type_registry()
    }

    fn runtime_env(&self) -> &Arc<RuntimeEnv> {
        self.shared.state.runtime_env()
    }

    fn execution_props(&self) -> &ExecutionProps {
        &self.props
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn table_options(&self) -> &TableOptions {
        self.shared.state.table_options()
    }

    fn table_options_mut(&mut self) -> &mut TableOptions {
        unreachable!("planning does not change the options of table formats")
    }

    fn task_ctx(&self) -> Arc<TaskContext> {
        Arc::clone(self.task())
    }
}

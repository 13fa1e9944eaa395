//! The door: planning, and what all queries share.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::sql::sqlparser::ast::Query;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use types::{SqlError, SqlState, SqlType};

use crate::context::PlanContext;
use crate::kept::Kept;
use crate::optimize::JoinOrder;
use crate::plan::{self, AnalyticPlan};
use crate::runtime;
use crate::session::Shared;

/// Consumers named in an out-of-memory error.
const CONSUMERS_NAMED: std::num::NonZeroUsize = std::num::NonZeroUsize::new(3).expect("three is not zero");

/// What queries may use together.
#[derive(Clone, Debug)]
pub struct AnalyticOptions {
    /// Threads, also the number of partitions a query is split in.
    pub threads: usize,
    /// Bytes that sorts, joins and aggregates may hold; beyond them they spill or fail with 53200.
    pub memory_bytes_max: usize,
    /// Where they spill to: created when first needed, its contents removed with each query.
    pub temp_dir: PathBuf,
    /// Bytes of spilled data; beyond them a query fails with 53100.
    pub temp_bytes_max: u64,
    /// What decides the order of joins.
    pub joins: JoinOrder,
}

/// Files that a sort merges at a time: it reserves memory for each, which others then do not have.
const MERGE_INPUTS_MAX: usize = 8;

/// Plans and runs queries.
pub struct Analytic {
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

impl Analytic {
    /// Starts the threads. Errors: the operating system gives none (53000), the spill directory cannot be used (58030).
    pub fn new(options: AnalyticOptions) -> Result<Arc<Analytic>, SqlError> {
        let pool = TrackConsumersPool::new(FairSpillPool::new(options.memory_bytes_max), CONSUMERS_NAMED);
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![options.temp_dir]))
            .with_max_temp_directory_size(options.temp_bytes_max)
            .with_max_spill_merge_fan_in(MERGE_INPUTS_MAX);
        let environment =
            RuntimeEnvBuilder::new().with_memory_pool(Arc::new(pool)).with_disk_manager_builder(disk).build_arc().map_err(
                |error| SqlError::new(SqlState::IO_ERROR, format!("prepare the directory for temporary files: {error}")),
            )?;
        let runtime = runtime::build(options.threads)
            .map_err(|error| SqlError::new(SqlState::INSUFFICIENT_RESOURCES, format!("start query threads: {error}")))?;
        let shared = Shared::new(options.threads, options.joins, environment).map(Arc::new);
        let shared = shared.map_err(|error| SqlError::bug(format!("prepare the query engine: {error}")))?;
        Ok(Arc::new(Analytic { shared, runtime: Some(runtime) }))
    }

    /// Plans a query. `params` are the types the client declared for `$1`, `$2`, ...; what it left open is inferred.
    ///
    /// Errors: names, types and syntax as PostgreSQL reports them, with a position in `context.text`; 0A000 for what this version
    /// does not have.
    pub fn plan(
        self: &Arc<Self>,
        context: &PlanContext,
        query: &Query,
        params: &[Option<SqlType>],
    ) -> Result<AnalyticPlan, SqlError> {
        plan::plan(self, context, query, &[], params)
    }

    /// Memory to keep things in outside of queries, of what queries may use together. `what` names them in errors.
    pub fn keep(&self, what: &'static str) -> Kept {
        Kept::new(what, &self.shared.state().runtime_env().memory_pool)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.runtime.as_ref().expect("the runtime is taken only by drop").spawn(task)
    }
}

impl Drop for Analytic {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Not waited for: this may run on a thread that must not block. Queries left have no reader any more.
            runtime.shutdown_background();
        }
    }
}

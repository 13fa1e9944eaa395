//! A query while it runs: on the query threads, its batches through a short queue to whoever asked.
//!
//! 1. At most [`BATCHES_QUEUED`] batches wait for the reader: a reader that stops, stops the query.
//! 2. A query that panics ends with an error: an end without one says that every row has come.
//! 3. A query that runs out of memory before its first row is begun again with joins that sort and groups that spill, on disk where
//!    memory ends; but not one with functions that do something each time (`nextval`, `pg_advisory_lock`).
//! 4. Dropping the stream stops the query. Setting its `Cancel` does too. It takes some milliseconds and a batch ([`Stop`]).

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use datafusion::catalog::Session;
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::TreeNode;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use types::SqlError;

use crate::analytic::Analytic;
use crate::apply::ApplyExec;
use crate::cte::{Cte, CteResult};
use crate::dense_aggregate::DenseAggregateExec;
use crate::kept::Kept;
use crate::plan::{AnalyticPlan, Execution, Ready};
use crate::scan::Run;
use crate::session::StatementSession;
use crate::source::Tables;
use crate::statistics::QueryStats;
use crate::stop::Stop;
use crate::{apply, bind, errors};

/// Batches of 8,192 rows that wait for the reader.
const BATCHES_QUEUED: usize = 4;

/// Between looks at the memory of a query that has ended, and how many of them.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);
const LOOKS_MAX: u32 = 50;

/// The result of a query, batch by batch. Dropping it stops the query.
pub struct BatchStream {
    batches: mpsc::Receiver<Result<RecordBatch, SqlError>>,
    task: JoinHandle<()>,
    stop: Stop,
    /// Keeps the threads the query runs on.
    analytic: Arc<Analytic>,
}

impl BatchStream {
    /// The next batch, of any number of rows but 0; `None` at the end. After an error nothing more comes.
    pub async fn next(&mut self) -> Option<Result<RecordBatch, SqlError>> {
        self.batches.recv().await
    }

    /// Memory to keep some of the result in.
    pub fn keep(&self, what: &'static str) -> Kept {
        self.analytic.keep(what)
    }

    /// As [`BatchStream::next`], for a thread outside of any runtime.
    pub fn next_blocking(&mut self) -> Option<Result<RecordBatch, SqlError>> {
        self.batches.blocking_recv()
    }
}

impl Drop for BatchStream {
    fn drop(&mut self) {
        self.stop.unread();
        self.task.abort();
    }
}

/// Starts a query whose parameters are in place.
pub(crate) fn start(planned: &AnalyticPlan, query: Ready, execution: Execution<'_>) -> BatchStream {
    let AnalyticPlan { analytic, text, zone, .. } = planned;
    let (sender, batches) = mpsc::channel(BATCHES_QUEUED);
    let Execution { view, cancel, stats, now_micros, .. } = execution;
    let stop = Stop::new(cancel);
    let session = StatementSession::new(Arc::clone(analytic.shared()), now_micros, zone.as_deref(), stop.clone());
    let text = Arc::clone(text);
    let run = Run { stop: stop.clone(), stats };
    let stopped = stop.clone();
    let task = analytic.spawn(async move {
        let drive = AssertUnwindSafe(drive(query, view, &session, run, &sender)).catch_unwind();
        let outcome = tokio::select! {
            outcome = drive => outcome.unwrap_or_else(|panic| Err(errors::raise(panicked(panic.as_ref())))),
            error = stopped.wait() => Err(error),
        };
        if let Err(error) = outcome {
            // The reader may be gone; then nobody wants to know.
            let _ = sender.send(Err(errors::sql_error(&error, &text))).await;
        }
    });
    BatchStream { batches, task, stop, analytic: Arc::clone(analytic) }
}

pub(crate) fn panicked(panic: &(dyn Any + Send)) -> SqlError {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    SqlError::bug(format!("the query panicked: {}", text.unwrap_or("without a message")))
}

/// The plans of a query over one snapshot.
pub(crate) struct Physical {
    pub(crate) logical: LogicalPlan,
    pub(crate) plan: Arc<dyn ExecutionPlan>,
    /// What it computes once.
    pub(crate) ctes: Vec<Arc<CteResult>>,
}

/// How to run a query over one snapshot.
pub(crate) async fn physical(
    query: Ready,
    view: &dyn Tables,
    session: &StatementSession,
    run: &Run,
) -> Result<Physical, DataFusionError> {
    let mut ctes = Vec::new();
    for Cte { relation, name, plan } in query.ctes {
        let (logical, plan) = one(plan, view, session, run, &ctes).await?;
        ctes.push(Arc::new(CteResult::new(relation, name, &logical, plan, Arc::clone(session.task()))));
    }
    let (logical, plan) = one(query.plan, view, session, run, &ctes).await?;
    Ok(Physical { logical, plan, ctes })
}

/// The optimized and the physical plan of what reads `ctes`.
async fn one(
    plan: LogicalPlan,
    view: &dyn Tables,
    session: &StatementSession,
    run: &Run,
    ctes: &[Arc<CteResult>],
) -> Result<(LogicalPlan, Arc<dyn ExecutionPlan>), DataFusionError> {
    let logical = session.optimize_plan(apply::rewrite(bind::bind(plan, view, run, ctes)?)?)?;
    let physical = session.physical_plan(&logical).await?;
    Ok((logical, physical))
}

async fn drive(
    query: Ready,
    view: Arc<dyn Tables>,
    session: &StatementSession,
    run: Run,
    sender: &mpsc::Sender<Result<RecordBatch, SqlError>>,
) -> Result<(), DataFusionError> {
    let Physical { plan, ctes, .. } = physical(query.clone(), view.as_ref(), session, &run).await?;
    let may_run_again = (holds_all(&plan) || ctes.iter().any(|cte| holds_all(&cte.physical))) && !query.is_volatile()?;
    drop(ctes);
    let mut sent = false;
    match send(plan, session, &run, sender, &mut sent).await {
        // Before the first row nobody can tell that it is begun again.
        Err(error) if may_run_again && !sent && errors::is_memory(&error) => {
            tracing::debug!(%error, "a query is run again with little memory");
            memory_back(&session.runtime_env().memory_pool).await;
            let session = session.spilling();
            let Physical { plan, .. } = physical(query, view.as_ref(), &session, &run).await?;
            send(plan, &session, &run, sender, &mut sent).await
        }
        outcome => outcome,
    }
}

/// Whether some of it needs memory for all of its input, for which there is another way.
fn holds_all(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let holds =
        |node: &Arc<dyn ExecutionPlan>| node.is::<HashJoinExec>() || node.is::<DenseAggregateExec>() || node.is::<ApplyExec>();
    plan.exists(|node| Ok(holds(node))).unwrap_or(false)
}

/// Waits until the parts of a query that has ended, which end when they are next run, have given their memory back; others may hold some.
async fn memory_back(pool: &Arc<dyn MemoryPool>) {
    let mut before = usize::MAX;
    for _ in 0..LOOKS_MAX {
        let now = pool.reserved();
        if now >= before {
            return;
        }
        before = now;
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

/// Runs a plan; `sent` becomes true with its first rows.
async fn send(
    plan: Arc<dyn ExecutionPlan>,
    session: &StatementSession,
    run: &Run,
    sender: &mpsc::Sender<Result<RecordBatch, SqlError>>,
    sent: &mut bool,
) -> Result<(), DataFusionError> {
    let mut stream = execute_stream(plan, Arc::clone(session.task()))?;
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        if batch.num_rows() == 0 {
            continue;
        }
        let stats: &QueryStats = &run.stats;
        stats.add_rows_out(batch.num_rows() as u64);
        *sent = true;
        if sender.send(Ok(batch)).await.is_err() {
            break;
        }
    }
    Ok(())
}

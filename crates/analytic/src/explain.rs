//! EXPLAIN: the plan of a query, and with ANALYZE what each part of it did.

use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use env::Env;
use futures::StreamExt;
use types::{SqlError, SqlState};

use crate::errors;
use crate::plan::{AnalyticPlan, Execution, Ready};
use crate::scan::Run;
use crate::session::StatementSession;
use crate::source::Tables;
use crate::statistics::QueryStats;
use crate::stop::Stop;
use crate::stream::{self, Physical};

/// What EXPLAIN shows.
#[derive(Clone, Default)]
pub struct ExplainOptions {
    /// Run the query and show what each part did.
    pub analyze: bool,
    /// Show the logical plan and estimates too.
    pub verbose: bool,
    /// With `analyze`: leave out what differs from run to run (times, bytes).
    pub no_timing: bool,
    /// Whose clock says how long planning and running took.
    pub clock: Option<Arc<dyn Env>>,
}

impl AnalyticPlan {
    /// The lines of EXPLAIN. With `analyze` the query is run to its end and its rows are thrown away.
    ///
    /// Errors: as of the stream of [`AnalyticPlan::execute`].
    pub async fn explain(&self, execution: Execution<'_>, options: ExplainOptions) -> Result<Vec<String>, SqlError> {
        let query = self.with_values(execution.params)?;
        let Execution { view, cancel, stats, now_micros, .. } = execution;
        let shared = Arc::clone(self.analytic.shared());
        let stop = Stop::new(cancel);
        let session = StatementSession::new(shared, now_micros, self.zone.as_deref(), stop.clone());
        let (stopped, unread) = (stop.clone(), stop.clone());
        let text = Arc::clone(&self.text);
        let (sender, answer) = tokio::sync::oneshot::channel();
        let task = self.analytic.spawn(async move {
            let work = lines(query, view, &session, stop, stats, options);
            let outcome = tokio::select! {
                outcome = work => outcome,
                error = stopped.wait() => Err(error),
            };
            // Whoever asked may be gone.
            let _ = sender.send(outcome.map_err(|error| errors::sql_error(&error, &text)));
        });
        let _stop = AbortOnDrop(task, unread);
        match answer.await {
            Ok(lines) => lines,
            Err(_) => Err(SqlError::new(SqlState::ADMIN_SHUTDOWN, "the query threads stopped")),
        }
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>, Stop);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.1.unread();
        self.0.abort();
    }
}

async fn lines(
    query: Ready,
    view: Arc<dyn Tables>,
    session: &StatementSession,
    stop: Stop,
    stats: Arc<QueryStats>,
    options: ExplainOptions,
) -> Result<Vec<String>, DataFusionError> {
    let now = || options.clock.as_ref().map(|env| env.monotonic());
    let started = now();
    let run = Run { stop, stats: Arc::clone(&stats) };
    let Physical { logical, plan: physical, ctes } = stream::physical(query, view.as_ref(), session, &run).await?;
    let planned = now();
    let mut lines = vec!["Executor: analytic".to_owned()];
    if options.verbose {
        lines.push("Logical plan:".to_owned());
        lines.extend(logical.display_indent().to_string().lines().map(|line| format!("  {line}")));
        lines.push("Physical plan:".to_owned());
    }
    let show = |lines: &mut Vec<String>, shown: &dyn Fn(&dyn ExecutionPlan) -> String| {
        for cte in &ctes {
            lines.push(format!("WITH {}:", cte.name));
            lines.extend(shown(cte.physical.as_ref()).lines().map(|line| format!("  {line}")));
        }
        lines.extend(shown(physical.as_ref()).lines().map(str::to_owned));
    };
    if !options.analyze {
        show(&mut lines, &|plan| {
            let shown = DisplayableExecutionPlan::new(plan).set_show_statistics(options.verbose);
            shown.indent(options.verbose).to_string()
        });
        return Ok(lines);
    }
    let mut batches = execute_stream(Arc::clone(&physical), Arc::clone(session.task()))?;
    while let Some(batch) = batches.next().await {
        stats.add_rows_out(batch?.num_rows() as u64);
    }
    drop(batches);
    let finished = now();
    show(&mut lines, &|plan| {
        let shown = match options.no_timing {
            true => DisplayableExecutionPlan::new(plan),
            false => DisplayableExecutionPlan::with_metrics(plan),
        };
        shown.indent(options.verbose).to_string()
    });
    lines.push(format!("Rows: {}", stats.rows_out()));
    lines.push(format!("Rows from delta: {}, from segments: {}", stats.rows_from_delta(), stats.rows_from_segments()));
    lines.push(format!(
        "Row groups read: {}, pruned: {}; rows pruned: {}",
        stats.groups_read(),
        stats.groups_pruned(),
        stats.rows_pruned()
    ));
    if !options.no_timing {
        lines.push(format!("Bytes read: {}", stats.bytes_read()));
        if let (Some(started), Some(planned), Some(finished)) = (started, planned, finished) {
            lines.push(format!("Planning Time: {:.3} ms", (planned - started).as_secs_f64() * 1e3));
            lines.push(format!("Execution Time: {:.3} ms", (finished - planned).as_secs_f64() * 1e3));
        }
    }
    Ok(lines)
}

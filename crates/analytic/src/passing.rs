//! Nodes of a plan that hand on what they get, batch by batch, and do something with it on the way. Order, partitions and statistics are
//! the input's.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, internal_datafusion_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

/// What is done on the way.
pub(crate) trait Pass: fmt::Debug + Send + Sync + 'static {
    /// The node's name.
    fn name(&self) -> &'static str;

    /// What EXPLAIN shows of it; `schema` is the input's.
    fn shown(&self, _schema: &Schema) -> String {
        self.name().to_owned()
    }

    /// Does it to the batches of a partition.
    fn pass(&self, batches: SendableRecordBatchStream, context: &TaskContext) -> SendableRecordBatchStream;

    /// The same for a plan that is run again.
    fn reset(self: Arc<Self>) -> Arc<dyn Pass>;
}

/// See the module's head.
#[derive(Debug)]
pub(crate) struct PassingExec {
    input: Arc<dyn ExecutionPlan>,
    pass: Arc<dyn Pass>,
}

impl PassingExec {
    /// The node.
    pub(crate) fn over(input: Arc<dyn ExecutionPlan>, pass: impl Pass) -> Arc<dyn ExecutionPlan> {
        Arc::new(PassingExec { input, pass: Arc::new(pass) })
    }
}

impl DisplayAs for PassingExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pass.shown(&self.input.schema()))
    }
}

impl ExecutionPlan for PassingExec {
    fn name(&self) -> &str {
        self.pass.name()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.pop().ok_or_else(|| internal_datafusion_err!("{} of no input", self.pass.name()))?;
        Ok(Arc::new(PassingExec { input, pass: Arc::clone(&self.pass) }))
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(PassingExec { input: Arc::clone(&self.input), pass: Arc::clone(&self.pass).reset() }))
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        inputs.first().cloned().ok_or_else(|| internal_datafusion_err!("{} of no input", self.pass.name()))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        Ok(self.pass.pass(self.input.execute(partition, Arc::clone(&context))?, &context))
    }
}

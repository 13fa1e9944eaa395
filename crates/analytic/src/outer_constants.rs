//! Constants of the side of an outer join that may be missing are none behind it.
//!
//! ```text
//! a LEFT JOIN (SELECT 1 AS q, y FROM b) z ON .. ORDER BY q, a.id      q is 1 in z, and 1 or NULL in the join
//! ```
//!
//! DataFusion takes such a column for constant in what it joins, and leaves it out of sort keys. What hides the constants here is a
//! node over that side, which passes rows on as they are.
//!
//! Source: `EquivalenceGroup::join` of DataFusion 55.

use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinType, Result, Statistics};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::ChildrenPropertiesMode;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties, ReplaceChildrenOptions,
    SendableRecordBatchStream,
};

/// The rule; to be run before any that looks at orders.
#[derive(Debug, Default)]
pub(crate) struct OuterConstants;

impl PhysicalOptimizerRule for OuterConstants {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let join_type = if let Some(join) = node.downcast_ref::<HashJoinExec>() {
                *join.join_type()
            } else if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
                *join.join_type()
            } else if let Some(join) = node.downcast_ref::<SortMergeJoinExec>() {
                join.join_type()
            } else {
                return Ok(Transformed::no(node));
            };
            let missing = match join_type {
                JoinType::Left => [false, true],
                JoinType::Right => [true, false],
                JoinType::Full => [true, true],
                _ => return Ok(Transformed::no(node)),
            };
            let mut changed = false;
            let hidden = |(child, may_miss): (&Arc<dyn ExecutionPlan>, bool)| {
                let hides = may_miss && !child.equivalence_properties().constants().is_empty();
                changed |= hides;
                if hides { Arc::new(VaryingExec::new(Arc::clone(child))) as Arc<dyn ExecutionPlan> } else { Arc::clone(child) }
            };
            let children: Vec<_> = node.children().into_iter().zip(missing).map(hidden).collect();
            Ok(if changed {
                Transformed::yes(node.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))?)
            } else {
                Transformed::no(node)
            })
        })
        .data()
    }

    fn name(&self) -> &str {
        "outer_constants"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Its input, of which no column is known to be constant.
#[derive(Debug)]
struct VaryingExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl VaryingExec {
    fn new(input: Arc<dyn ExecutionPlan>) -> VaryingExec {
        let known = input.equivalence_properties();
        let orders = known.oeq_class().iter().cloned();
        let equal = EquivalenceProperties::new_with_orderings(input.schema(), orders);
        let properties =
            PlanProperties::new(equal, input.output_partitioning().clone(), input.pipeline_behavior(), input.boundedness());
        VaryingExec { input, properties: Arc::new(properties) }
    }
}

impl DisplayAs for VaryingExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VaryingExec")
    }
}

impl ExecutionPlan for VaryingExec {
    fn name(&self) -> &'static str {
        "VaryingExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(match children.into_iter().next() {
            Some(input) => Arc::new(VaryingExec::new(input)),
            None => self,
        })
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        Ok(inputs.first().map_or_else(|| Arc::new(Statistics::new_unknown(&self.input.schema())), Arc::clone))
    }

    fn execute(&self, partition: usize, task: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, task)
    }
}

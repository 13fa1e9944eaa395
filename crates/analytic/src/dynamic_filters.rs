//! Filters that are known while a query runs, and where they may be passed on.
//!
//! ```text
//! HashJoinExec on x.a = y.a      the keys of x, once they are known,
//!   x                            |
//!   HashJoinExec (k, a, k, a)    v   a filter on the second `a` ..
//!     RepartitionExec                .. is looked up by name below: it finds the first one
//! ```
//!
//! DataFusion's rule finds a filter's column in the node below by its name. So where a name occurs twice on the way down, the plan is
//! cut there: the parts below are given to the rule by themselves.
//!
//! Source: <https://github.com/apache/datafusion/issues/25244>, mended after version 55.2.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, replace_children_if_necessary};

/// The rule; in place of [`FilterPushdown::new_post_optimization`].
pub(crate) struct DynamicFilters(FilterPushdown);

impl DynamicFilters {
    /// The name of DataFusion's rule that it stands for.
    pub(crate) const INSTEAD_OF: &str = "FilterPushdown(Post)";

    pub(crate) fn new() -> DynamicFilters {
        DynamicFilters(FilterPushdown::new_post_optimization())
    }
}

impl fmt::Debug for DynamicFilters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DynamicFilters")
    }
}

impl PhysicalOptimizerRule for DynamicFilters {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        if !is_ambiguous(plan.as_ref(), false) {
            return self.0.optimize(plan, config);
        }
        let children =
            plan.children().into_iter().map(|child| self.optimize(Arc::clone(child), config)).collect::<Result<Vec<_>>>()?;
        replace_children_if_necessary(plan, children)
    }

    fn name(&self) -> &str {
        "dynamic_filters"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether a filter of `plan`, or of a node above it, may be taken for one on another column on its way down.
fn is_ambiguous(plan: &dyn ExecutionPlan, from_above: bool) -> bool {
    let renames = plan.is::<ProjectionExec>();
    if from_above && renames && has_duplicate_names(&plan.schema()) {
        return true;
    }
    plan.children().into_iter().enumerate().any(|(side, child)| {
        from_above && has_duplicate_names(&child.schema()) || is_ambiguous(child.as_ref(), from_above || makes_filter(plan, side))
    })
}

/// Whether `plan` gives its input at `side` a filter of its own.
fn makes_filter(plan: &dyn ExecutionPlan, side: usize) -> bool {
    match plan.downcast_ref::<SortExec>() {
        Some(sort) => sort.fetch().is_some(),
        None => plan.is::<HashJoinExec>() && side == 1 || plan.is::<AggregateExec>(),
    }
}

fn has_duplicate_names(schema: &Schema) -> bool {
    let mut names = HashSet::new();
    !schema.fields().iter().all(|field| names.insert(field.name()))
}

//! Our optimizer rules, among DataFusion's.
//!
//! ```text
//! before: subqueries to joins, conditions to where they belong --> join order --> after: the same conditions again, columns
//! ```
//!
//! Joins are ordered once, when conditions are as far down as they go and no projection stands between joins yet. The rules before
//! are not repeated after: one of them would order joins as they stand in the text.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::{Optimizer, OptimizerConfig, OptimizerRule};

use crate::join_order;

type Rules = Vec<Arc<dyn OptimizerRule + Send + Sync>>;

/// The last rule of DataFusion's that prepares joins.
const LAST_BEFORE: &str = "push_down_filter";
/// Rules that are run on both sides of ours: they see to what it has moved.
const AGAIN: [&str; 5] =
    ["simplify_expressions", "eliminate_filter", "propagate_empty_relation", "push_down_limit", "push_down_filter"];

/// All logical rules, in two halves around the order of joins.
#[derive(Debug)]
pub(crate) struct Rewrites {
    before: Optimizer,
    after: Optimizer,
}

impl Rewrites {
    pub(crate) fn new(defaults: Rules) -> Rewrites {
        let split = defaults.iter().position(|rule| rule.name() == LAST_BEFORE).map_or(defaults.len(), |at| at + 1);
        let (before, rest) = defaults.split_at(split);
        let again = before.iter().filter(|rule| AGAIN.contains(&rule.name()));
        let after = again.chain(rest).cloned().collect();
        Rewrites { before: Optimizer::with_rules(before.to_vec()), after: Optimizer::with_rules(after) }
    }

    /// The plan, rewritten to do less. `go_on` is asked between steps and ends it with its error.
    pub(crate) fn apply(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
        joins: JoinOrder,
        go_on: &dyn Fn() -> Result<()>,
    ) -> Result<LogicalPlan> {
        let plan = self.before.optimize(plan, config, |_, _| {})?;
        go_on()?;
        let plan = match joins {
            JoinOrder::ByCost => join_order::order(plan)?,
            JoinOrder::AsWritten => plan,
        };
        go_on()?;
        self.after.optimize(plan, config, |_, _| {})
    }
}

/// What decides the order of joins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JoinOrder {
    /// The estimated cost.
    #[default]
    ByCost,
    /// The query's text, as DataFusion reads it: to compare with.
    AsWritten,
}

//! Functional dependencies of plans, which DataFusion derives and gets wrong: forgotten, wherever it would use them.
//!
//! ```text
//! SELECT a.id, b.s FROM a JOIN b .. GROUP BY a.id, b.s ORDER BY a.id, b.s     "a.id determines all": b.s is dropped from ORDER BY
//! ```
//!
//! 1. What a key determines below an aggregate, DataFusion takes for all that is above it: sort and group keys vanish, groups merge.
//!    Rows that UNNEST multiplies keep their key, too. So tables do not tell their keys ([`crate::scan`]), and what is derived from
//!    GROUP BY and DISTINCT ends where a relation of FROM does, and before each rule that would use it.
//! 2. That columns need not be grouped where a primary key is, is seen to before planning (`prepare::group_key`).
//!
//! Source: `FunctionalDependencies` of DataFusion 55 (`aggregate_functional_dependencies`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchemaRef, FunctionalDependencies, Result};
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use datafusion::sql::sqlparser::ast::TableFactor;

use crate::optimize::Rules;

/// Rules that use dependencies.
const USERS: [&str; 4] = ["eliminate_duplicated_expr", "replace_distinct_aggregate", "eliminate_join", "optimize_projections"];

/// The rules, none of which sees a dependency.
pub(crate) fn without_dependencies(rules: Rules) -> Rules {
    let mut all: Rules = Vec::with_capacity(rules.len() + USERS.len());
    for rule in rules {
        if USERS.contains(&rule.name()) {
            all.push(Arc::new(Forget));
        }
        all.push(rule);
    }
    all
}

/// The plan, in which nothing determines anything.
fn forget(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    plan.transform_up_with_subqueries(|mut node| {
        let schema = match &mut node {
            LogicalPlan::Projection(projection) => &mut projection.schema,
            LogicalPlan::Window(window) => &mut window.schema,
            LogicalPlan::Aggregate(aggregate) => &mut aggregate.schema,
            LogicalPlan::Join(join) => &mut join.schema,
            LogicalPlan::Union(union) => &mut union.schema,
            LogicalPlan::TableScan(scan) => &mut scan.projected_schema,
            LogicalPlan::SubqueryAlias(alias) => &mut alias.schema,
            LogicalPlan::Unnest(unnest) => &mut unnest.schema,
            // They have their input's.
            _ => return Ok(Transformed::no(node)),
        };
        if schema.functional_dependencies().is_empty() {
            return Ok(Transformed::no(node));
        }
        *schema = without(schema)?;
        Ok(Transformed::yes(node))
    })
}

fn without(schema: &DFSchemaRef) -> Result<DFSchemaRef> {
    schema.as_ref().clone().with_functional_dependencies(FunctionalDependencies::empty()).map(Arc::new)
}

/// [`forget`] as a rule.
#[derive(Debug)]
struct Forget;

impl OptimizerRule for Forget {
    fn name(&self) -> &str {
        "forget_dependencies"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        None
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        // Other rules derive them again with every node they make: that is no reason for another pass.
        forget(plan).map(|forgotten| Transformed::no(forgotten.data))
    }
}

/// Plans relations of FROM as DataFusion does, without their dependencies, and with the types their columns will have.
#[derive(Debug, Default)]
pub(crate) struct Relations {
    /// DataFusion is asked for a relation, and asks back first.
    asking: AtomicBool,
}

impl RelationPlanner for Relations {
    fn plan_relation(&self, relation: TableFactor, context: &mut dyn RelationPlannerContext) -> Result<RelationPlanning> {
        let derived = matches!(relation, TableFactor::Table { args: None, .. } | TableFactor::Derived { .. });
        if self.asking.swap(false, Ordering::Relaxed) || !derived {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        }
        self.asking.store(true, Ordering::Relaxed);
        let plan = expr::arrow_driver::with_types(context.plan(relation)?)?;
        let plan = if plan.schema().functional_dependencies().is_empty() { plan } else { forget(plan)?.data };
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, None))))
    }
}

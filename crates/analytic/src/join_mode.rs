//! How the threads share a hash join: one table for all, or rows distributed by key first.
//!
//! One table is filled by one thread while the others wait, and then everybody looks rows up in it where they are. Distributing costs
//! every row of both sides a copy, and fills a table per thread at the same time. So the more threads there are the smaller the
//! table must be, against the rows looked up, for one to be right; with two threads it nearly always is.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};

/// Rows of a table that one thread fills before the others would notice.
const ROWS_SMALL: f64 = 20_000.0;

/// The rule; to be run before DataFusion's own, which takes what is settled as given.
#[derive(Debug, Default)]
pub(crate) struct JoinMode;

impl PhysicalOptimizerRule for JoinMode {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let threads = config.execution.target_partitions as f64;
        plan.transform_up(|node| {
            let Some(join) = node.downcast_ref::<HashJoinExec>() else { return Ok(Transformed::no(node)) };
            if *join.partition_mode() != PartitionMode::Auto {
                return Ok(Transformed::no(node));
            }
            let mode =
                if join.null_aware || one_table(join, threads) { PartitionMode::CollectLeft } else { PartitionMode::Partitioned };
            Ok(Transformed::yes(join.builder().with_partition_mode(mode).build_exec()?))
        })
        .data()
    }

    fn name(&self) -> &str {
        "join_mode"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn one_table(join: &HashJoinExec, threads: f64) -> bool {
    let rows = |plan: &dyn ExecutionPlan| {
        let found = StatisticsContext::new().compute(plan, &StatisticsArgs::new()).ok()?;
        found.num_rows.get_value().map(|rows| *rows as f64)
    };
    match (rows(join.left().as_ref()), rows(join.right().as_ref())) {
        (Some(build), _) if build <= ROWS_SMALL => true,
        (Some(build), Some(probe)) => build * (threads - 2.0) <= probe,
        // The logical plan has the smaller side here.
        _ => threads <= 2.0,
    }
}

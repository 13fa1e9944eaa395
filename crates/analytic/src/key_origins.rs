//! Where the values of a plan's column are read: the scans whose rows may be left out by them.
//!
//! ```text
//! column of a join --> of the side it comes from; is it a key, the other side's column has the same values and is followed, too
//!        of a projection, a filter, a group --> of the input                               else: nowhere
//! ```
//!
//! 1. Who asks wants no row whose value is none of a set, and NULL is none. A row of a scan can go if all that is made of it has its value
//!    in that column, or that of a column it has to be equal to.
//! 2. Nothing is followed through what counts rows (LIMIT, windows), or makes up rows for those that are missing.
//!
//! Source: sideways information passing (Beeri and Ramakrishnan, On the Power of Magic, 1991).

use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;

use crate::passing::PassingExec;
use crate::scan;

/// Nodes that are looked at for one column; a plan may have ten thousand joins.
const NODES_MAX: usize = 256;

/// The scans, each with the column of its table.
pub(crate) fn origins(node: &Arc<dyn ExecutionPlan>, column: usize) -> Vec<(Arc<dyn ExecutionPlan>, Arc<dyn PhysicalExpr>)> {
    let mut found = Vec::new();
    let mut rest = vec![(Arc::clone(node), column)];
    for _ in 0..NODES_MAX {
        let Some((node, column)) = rest.pop() else { break };
        match scan::table_column(&node, column) {
            Some(column) => found.push((node, column)),
            None => inputs(&node, column, &mut rest),
        }
    }
    found
}

/// Adds the inputs that a column of a node comes from, with their columns.
fn inputs(node: &Arc<dyn ExecutionPlan>, column: usize, out: &mut Vec<(Arc<dyn ExecutionPlan>, usize)>) {
    if node.fetch().is_some() {
        return;
    }
    if let Some(join) = node.downcast_ref::<HashJoinExec>() {
        return sides(join, column, out);
    }
    let below = if let Some(projection) = node.downcast_ref::<ProjectionExec>() {
        projection.expr().get(column).and_then(|item| column_of(&item.expr))
    } else if let Some(filter) = node.downcast_ref::<FilterExec>() {
        match filter.projection() {
            Some(projection) => projection.get(column).copied(),
            None => Some(column),
        }
    } else if let Some(aggregate) = node.downcast_ref::<AggregateExec>() {
        let groups = aggregate.group_expr();
        let is_plain = groups.is_single() && aggregate.limit_options().is_none();
        groups.expr().get(column).filter(|_| is_plain).and_then(|(expr, _)| column_of(expr))
    } else if node.is::<PassingExec>()
        || node.is::<CooperativeExec>()
        || node.is::<CoalescePartitionsExec>()
        || node.is::<RepartitionExec>()
        || node.is::<SortExec>()
        || node.is::<SortPreservingMergeExec>()
    {
        Some(column)
    } else {
        None
    };
    if let (Some(below), [input]) = (below, node.children().as_slice()) {
        out.push((Arc::clone(input), below));
    }
}

/// Adds the side that a column of a join comes from, and the other by the column that is equal to it.
fn sides(join: &HashJoinExec, column: usize, out: &mut Vec<(Arc<dyn ExecutionPlan>, usize)>) {
    let column = match &join.projection {
        Some(projection) => projection.get(column).copied(),
        None => Some(column),
    };
    let (Some(column), false) = (column, join.null_aware) else { return };
    let left_columns = join.left().schema().fields().len();
    let (is_left, column) = match join.join_type() {
        JoinType::Inner | JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti if column < left_columns => (true, column),
        JoinType::Inner | JoinType::Right if column >= left_columns => (false, column - left_columns),
        JoinType::RightSemi | JoinType::RightAnti => (false, column),
        // Of the other side rows are made up where there are none.
        _ => return,
    };
    let (side, other) = if is_left { (join.left(), join.right()) } else { (join.right(), join.left()) };
    out.push((Arc::clone(side), column));
    if matches!(join.join_type(), JoinType::Inner | JoinType::LeftSemi | JoinType::RightSemi) {
        let pairs = join.on().iter().map(|(left, right)| if is_left { (left, right) } else { (right, left) });
        let keys = pairs.filter_map(|(own, partner)| Some((column_of(own)?, column_of(partner)?)));
        let of_type =
            |own: usize, partner: usize| side.schema().field(own).data_type() == other.schema().field(partner).data_type();
        let equal = keys.filter(|(own, partner)| *own == column && of_type(*own, *partner));
        out.extend(equal.map(|(_, partner)| (Arc::clone(other), partner)));
    }
}

pub(crate) fn column_of(expr: &Arc<dyn PhysicalExpr>) -> Option<usize> {
    expr.downcast_ref::<Column>().map(Column::index)
}

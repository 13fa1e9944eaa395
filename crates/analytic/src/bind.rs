//! From a plan of names to a plan over the tables of one snapshot.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{HashMap, Result};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Expr, LogicalPlan};
use types::{SqlError, TableId};

use crate::errors;
use crate::resolve::provider_of;
use crate::scan::{Run, TableProvider};
use crate::source::{TableSource, Tables};

/// Gives every scan of a table its rows.
pub(crate) fn bind(plan: LogicalPlan, view: &dyn Tables, run: &Run) -> Result<LogicalPlan> {
    let mut tables: HashMap<TableId, Arc<dyn TableSource>> = HashMap::new();
    let bound = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::TableScan(mut scan) = node else { return Ok(Transformed::no(node)) };
        let Some(provider) = provider_of(&scan.source) else { return Ok(Transformed::no(LogicalPlan::TableScan(scan))) };
        let Some(provider) = provider.downcast_ref::<TableProvider>() else {
            return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
        };
        let id = provider.definition().id;
        let table = match tables.get(&id) {
            Some(table) => Arc::clone(table),
            None => {
                let table = view.table(id).map_err(errors::raise)?;
                tables.insert(id, Arc::clone(&table));
                table
            }
        };
        scan.source = provider_as_source(Arc::new(provider.bound(table, run.clone())));
        Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
    })?;
    Ok(bound.data)
}

/// Refuses plans that are not queries: DataFusion's own DDL and DML must never be reached from here. And subqueries with an aggregate
/// of nothing but columns of a query around them: it is that query's, and DataFusion computes it in the subquery.
pub(crate) fn check(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|node| match node {
        LogicalPlan::Aggregate(aggregate) => {
            for expr in &aggregate.aggr_expr {
                if expr.exists(|expr| Ok(is_of_outer_query(expr)))? {
                    let message = "aggregates of an outer query's columns in a subquery are not supported";
                    return Err(errors::raise(SqlError::unsupported(message)));
                }
            }
            Ok(TreeNodeRecursion::Continue)
        }
        LogicalPlan::Ddl(_) | LogicalPlan::Dml(_) | LogicalPlan::Copy(_) | LogicalPlan::Statement(_) => {
            Err(errors::raise(SqlError::bug("a query was planned as something else")))
        }
        _ => Ok(TreeNodeRecursion::Continue),
    })?;
    Ok(())
}

/// Whether it is an aggregate whose arguments, order and filter have columns of queries around it only.
fn is_of_outer_query(expr: &Expr) -> bool {
    let Expr::AggregateFunction(AggregateFunction { params, .. }) = expr else { return false };
    let order = params.order_by.iter().map(|sort| &sort.expr);
    let mut parts = params.args.iter().chain(order).chain(params.filter.as_deref());
    parts.clone().any(Expr::contains_outer) && !parts.any(Expr::any_column_refs)
}

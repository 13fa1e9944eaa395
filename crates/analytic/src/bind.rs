//! From a plan of names to a plan over the tables of one snapshot.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, HashMap, Result};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::expr::{AggregateFunction, Exists, InSubquery, SetComparison};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use types::{SqlError, SqlState, TableId, arrow_form};

use crate::cte::{CteResult, table_of};
use crate::errors;
use crate::resolve::provider_of;
use crate::scan::{Run, TableProvider};
use crate::source::{TableSource, Tables};

/// Gives every scan of a table its rows, and those of a query of WITH its result.
pub(crate) fn bind(plan: LogicalPlan, view: &dyn Tables, run: &Run, ctes: &[Arc<CteResult>]) -> Result<LogicalPlan> {
    let mut tables: HashMap<(TableId, bool), Arc<dyn TableSource>> = HashMap::new();
    let bound = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::TableScan(mut scan) = node else { return Ok(Transformed::no(node)) };
        if let Some(table) = table_of(&scan.source)
            && let Some(result) = ctes.iter().find(|result| result.is(&table.relation))
        {
            scan.source = provider_as_source(Arc::new(table.bound(result)));
            return Ok(Transformed::yes(LogicalPlan::TableScan(scan)));
        }
        let Some(provider) = provider_of(&scan.source) else { return Ok(Transformed::no(LogicalPlan::TableScan(scan))) };
        let Some(provider) = provider.downcast_ref::<TableProvider>() else {
            return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
        };
        let (id, is_target) = (provider.definition().id, provider.has_key());
        let table = match tables.get(&(id, is_target)) {
            Some(table) => Arc::clone(table),
            None => {
                let found = if is_target { view.target(id) } else { view.table(id) };
                let table = found.map_err(errors::raise)?;
                tables.insert((id, is_target), Arc::clone(&table));
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
                if expr.exists(|expr| is_of_outer_query(expr, aggregate.input.schema()))? {
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

/// Refuses a recursive query whose two sides meet in another type than its first side's: DataFusion casts to that.
pub(crate) fn check_recursion(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::RecursiveQuery(query) = node
            && let LogicalPlan::Projection(term) = query.recursive_term.as_ref()
        {
            for (at, (expr, field)) in term.expr.iter().zip(query.static_term.schema().fields()).enumerate() {
                let (Expr::Cast(cast), Some(first)) = (expr.clone().unalias(), arrow_form::sql_type_of(field)) else { continue };
                // A cast that was written says which of our types it is to.
                let (_, from) = cast.expr.to_field(term.input.schema())?;
                if !cast.field.metadata().is_empty() || from.data_type().is_null() {
                    continue;
                }
                let Some(from) = arrow_form::sql_type_of(&from) else { continue };
                let overall = expr::arrow_driver::common_type("UNION", &[Some(first), Some(from)]).map_err(errors::raise)?;
                if overall.base_name() != first.base_name() {
                    let message = format!(
                        "recursive query \"{}\" column {} has type {} in non-recursive term but type {} overall",
                        query.name,
                        at + 1,
                        first.base_name(),
                        overall.base_name()
                    );
                    let error = SqlError::new(SqlState::DATATYPE_MISMATCH, message);
                    return Err(errors::raise(error.hint("Cast the output of the non-recursive term to the correct type.")));
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// Whether it is an aggregate whose arguments, order and filter have columns of queries around it only.
fn is_of_outer_query(expr: &Expr, input: &DFSchema) -> Result<bool> {
    let Expr::AggregateFunction(AggregateFunction { params, .. }) = expr else { return Ok(false) };
    let order = params.order_by.iter().map(|sort| &sort.expr);
    let (mut outer, mut own) = (false, false);
    for part in params.args.iter().chain(order).chain(params.filter.as_deref()) {
        part.apply(|expr| {
            match expr {
                Expr::Column(_) => own = true,
                Expr::OuterReferenceColumn(..) => outer = true,
                Expr::ScalarSubquery(subquery)
                | Expr::Exists(Exists { subquery, .. })
                | Expr::InSubquery(InSubquery { subquery, .. })
                | Expr::SetComparison(SetComparison { subquery, .. }) => {
                    for column in &subquery.outer_ref_columns {
                        let is_own = matches!(column, Expr::OuterReferenceColumn(_, column) if input.has_column(column));
                        if is_own { own = true } else { outer = true }
                    }
                }
                _ => {}
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    Ok(outer && !own)
}

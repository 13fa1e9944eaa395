//! Names of their own for the columns of a subquery that its conditions on outer columns use.
//!
//! ```text
//! Filter q.x = $a.x          Filter #1 = $a.x
//!   Join e, q                  Projection e.*, q.*, q.x AS #1
//!                                Join e, q
//! ```
//!
//! A join with the subquery looks for those columns in all that the subquery gives, by their names without their tables: `e.x` would do
//! for `q.x`, and so would what the SELECT list calls `x`.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::utils::{conjunction, split_conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, Projection};

use super::Rewriter;

/// What the columns are called, with a number.
const OWN: &str = "\u{1}own";

/// Gives the columns names of their own if one of them shares its name.
pub(super) fn give(plan: LogicalPlan, rewriter: &mut Rewriter) -> Result<LogicalPlan> {
    if !has_shared_name(&plan)? {
        return Ok(plan);
    }
    let renamed = plan.transform_up(|node| match node {
        LogicalPlan::Filter(filter) if filter.predicate.contains_outer() => {
            rename(filter, rewriter).map(|filter| Transformed::yes(LogicalPlan::Filter(filter)))
        }
        // It passes on the new columns.
        node => node.recompute_schema().map(Transformed::yes),
    })?;
    Ok(renamed.data)
}

/// The columns of the subquery itself in those conditions of a filter that use outer ones.
fn used(filter: &Filter) -> BTreeSet<&Column> {
    let conditions = split_conjunction(&filter.predicate);
    conditions.into_iter().filter(|condition| condition.contains_outer()).flat_map(Expr::column_refs).collect()
}

fn has_shared_name(plan: &LogicalPlan) -> Result<bool> {
    let mut columns = BTreeSet::new();
    let mut given = BTreeSet::new();
    plan.apply(|node| {
        match node {
            LogicalPlan::Filter(filter) => {
                let used = used(filter);
                if !used.is_empty() {
                    given.extend(filter.input.schema().columns());
                }
                columns.extend(used.into_iter().cloned());
            }
            LogicalPlan::Projection(projection) => given.extend(projection.schema.columns()),
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    given.extend(columns.iter().cloned());
    Ok(columns.iter().any(|column| given.iter().any(|other| other.name == column.name && other != column)))
}

fn rename(filter: Filter, rewriter: &mut Rewriter) -> Result<Filter> {
    let names: Vec<(Column, String)> = used(&filter).into_iter().map(|column| (column.clone(), rewriter.name(OWN))).collect();
    let mut outputs: Vec<Expr> = filter.input.schema().columns().into_iter().map(Expr::Column).collect();
    outputs.extend(names.iter().map(|(column, name)| Expr::Column(column.clone()).alias(name)));
    let renamed = |condition: Expr| {
        if !condition.contains_outer() {
            return Ok(condition);
        }
        let renamed = condition.transform_up(|expr| {
            let name = match &expr {
                Expr::Column(column) => names.iter().find(|(known, _)| known == column).map(|(_, name)| name),
                _ => None,
            };
            Ok(match name {
                Some(name) => Transformed::yes(Expr::Column(Column::new_unqualified(name))),
                None => Transformed::no(expr),
            })
        })?;
        Ok(renamed.data)
    };
    let conditions = split_conjunction_owned(filter.predicate.clone()).into_iter().map(renamed).collect::<Result<Vec<_>>>()?;
    let input = LogicalPlan::Projection(Projection::try_new(outputs, filter.input)?);
    Filter::try_new(conjunction(conditions).unwrap_or(filter.predicate), Arc::new(input))
}

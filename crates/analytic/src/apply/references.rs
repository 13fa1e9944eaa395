//! Outer references: which columns of the queries around it a subquery uses, and putting values there.
//!
//! A reference means the innermost query around it that has the column. Of subqueries in a subquery, those count that mean something
//! outside of it.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::FieldRef;
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ExprSchema, Result};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Cast, Expr, Join, LogicalPlan, Subquery};
use datafusion::scalar::ScalarValue;
use types::{SqlError, SqlState};

use crate::errors;

/// The subquery of an expression, if it is one.
fn subquery_of(expr: &Expr) -> Option<&Subquery> {
    match expr {
        Expr::ScalarSubquery(subquery)
        | Expr::Exists(Exists { subquery, .. })
        | Expr::InSubquery(InSubquery { subquery, .. })
        | Expr::SetComparison(SetComparison { subquery, .. }) => Some(subquery),
        _ => None,
    }
}

/// Whether an expression is a subquery, maybe with an operand.
pub(super) fn is_subquery(expr: &Expr) -> bool {
    subquery_of(expr).is_some()
}

/// Whether an expression of the node itself has a subquery.
pub(super) fn has_subquery(node: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    node.apply_expressions(|expr| {
        found |= has_subqueries(expr)?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// Whether an expression has a subquery.
pub(super) fn has_subqueries(expr: &Expr) -> Result<bool> {
    expr.exists(|expr| Ok(subquery_of(expr).is_some()))
}

/// The columns that the subqueries of an expression use of the queries around them.
pub(super) fn of_subqueries(expr: &Expr) -> Result<Vec<Column>> {
    let mut found = Vec::new();
    expr.apply(|expr| {
        if let Some(subquery) = subquery_of(expr) {
            collect(&subquery.subquery, &mut Vec::new(), &mut found)?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// Whether the plan of a subquery uses a column of a query around it.
pub(super) fn is_correlated(plan: &LogicalPlan) -> Result<bool> {
    Ok(!outer_columns(plan)?.is_empty())
}

/// The columns of queries around it that the plan of a subquery uses, each once.
pub(super) fn outer_columns(plan: &LogicalPlan) -> Result<Vec<Column>> {
    let mut found = Vec::new();
    collect(plan, &mut Vec::new(), &mut found)?;
    Ok(found)
}

/// The columns of queries further out that an expression of `node` uses in its subqueries.
pub(super) fn beyond(expr: &Expr, node: &LogicalPlan) -> Result<Vec<Column>> {
    let mut found = Vec::new();
    collect_expr(expr, node, true, &mut Vec::new(), &mut found)?;
    Ok(found)
}

/// `around`: what each query between the one looked at and the reference has.
fn collect(node: &LogicalPlan, around: &mut Vec<DFSchema>, found: &mut Vec<Column>) -> Result<()> {
    node.apply_expressions(|expr| {
        collect_expr(expr, node, false, around, found)?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    match node {
        LogicalPlan::Join(Join { left, right, .. }) if is_lateral(right) => {
            collect(left, around, found)?;
            around.push(left.schema().as_ref().clone());
            collect(right, around, found)?;
            around.pop();
        }
        node => {
            for input in node.inputs() {
                collect(input, around, found)?;
            }
        }
    }
    Ok(())
}

fn collect_expr(
    expr: &Expr,
    node: &LogicalPlan,
    in_subqueries: bool,
    around: &mut Vec<DFSchema>,
    found: &mut Vec<Column>,
) -> Result<()> {
    expr.apply(|expr| {
        if let Expr::OuterReferenceColumn(_, column) = expr
            && !in_subqueries
            && !around.iter().any(|schema| schema.has_column(column))
            && !found.contains(column)
        {
            found.push(column.clone());
        }
        if let Some(subquery) = subquery_of(expr) {
            around.push(merge_schema(&node.inputs()));
            collect(&subquery.subquery, around, found)?;
            around.pop();
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// Whether the right side of a join is LATERAL: its references mean the left side.
fn is_lateral(right: &LogicalPlan) -> bool {
    match right {
        LogicalPlan::Subquery(_) => true,
        LogicalPlan::SubqueryAlias(alias) => is_lateral(&alias.input),
        _ => false,
    }
}

/// Errors: the input does not have what a subquery uses of it.
pub(super) fn check(column: &Column, input: &DFSchema) -> Result<()> {
    if input.has_column(column) {
        return Ok(());
    }
    let message = format!("subquery uses ungrouped column \"{}\" from outer query", column.flat_name());
    Err(errors::raise(SqlError::new(SqlState::GROUPING_ERROR, message)))
}

/// An expression over the input as a subquery sees it. `None` if it has a subquery itself.
pub(super) fn as_outer(expr: &Expr, input: &DFSchema) -> Result<Option<Expr>> {
    if has_subqueries(expr)? {
        return Ok(None);
    }
    let outer = expr.clone().transform_up(|expr| match expr {
        Expr::Column(column) => {
            let field = input.field_from_column(&column)?;
            Ok(Transformed::yes(Expr::OuterReferenceColumn(Arc::clone(field), column)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(Some(outer.data))
}

/// A value of an outer column, and the field it has in the input.
pub(super) type Values = HashMap<Column, (ScalarValue, FieldRef)>;

/// The plan of a subquery with values in place of the outer columns.
pub(super) fn substitute(plan: &LogicalPlan, values: &Values) -> Result<LogicalPlan> {
    put(plan.clone(), values, &mut Vec::new())
}

fn put(node: LogicalPlan, values: &Values, around: &mut Vec<DFSchema>) -> Result<LogicalPlan> {
    let left = match &node {
        LogicalPlan::Join(Join { left, right, .. }) if is_lateral(right) => Some(left.schema().as_ref().clone()),
        _ => None,
    };
    let mut inputs = 0;
    let mut node = node
        .map_children(|input| {
            inputs += 1;
            match &left {
                Some(schema) if inputs == 2 => {
                    around.push(schema.clone());
                    let done = put(input, values, around);
                    around.pop();
                    done.map(Transformed::yes)
                }
                _ => put(input, values, around).map(Transformed::yes),
            }
        })?
        .data;
    if let LogicalPlan::Subquery(subquery) = &mut node {
        subquery.outer_ref_columns = subquery.subquery.all_out_ref_exprs();
    }
    let schema = merge_schema(&node.inputs());
    let names = NamePreserver::new(&node);
    let done = node.map_expressions(|expr| {
        let name = names.save(&expr);
        let done = expr.transform_up(|expr| match expr {
            Expr::OuterReferenceColumn(field, column) if !around.iter().any(|schema| schema.has_column(&column)) => {
                Ok(match values.get(&column) {
                    Some(value) => Transformed::yes(constant(value, &field)),
                    None => Transformed::no(Expr::OuterReferenceColumn(field, column)),
                })
            }
            mut expr => {
                let Some(subquery) = subquery_mut(&mut expr) else { return Ok(Transformed::no(expr)) };
                around.push(schema.clone());
                let inner = put(subquery.subquery.as_ref().clone(), values, around);
                around.pop();
                let inner = inner?;
                subquery.outer_ref_columns = inner.all_out_ref_exprs();
                subquery.subquery = Arc::new(inner);
                Ok(Transformed::yes(expr))
            }
        })?;
        Ok(done.update_data(|expr| name.restore(expr)))
    })?;
    done.data.recompute_schema()
}

fn subquery_mut(expr: &mut Expr) -> Option<&mut Subquery> {
    match expr {
        Expr::ScalarSubquery(subquery)
        | Expr::Exists(Exists { subquery, .. })
        | Expr::InSubquery(InSubquery { subquery, .. })
        | Expr::SetComparison(SetComparison { subquery, .. }) => Some(subquery),
        _ => None,
    }
}

fn constant((value, given): &(ScalarValue, FieldRef), wanted: &FieldRef) -> Expr {
    let literal = Expr::Literal(value.clone(), Some(FieldMetadata::from(given.as_ref())));
    if given.data_type() == wanted.data_type() {
        return literal;
    }
    Expr::Cast(Cast::new_from_field(Box::new(literal), Arc::clone(wanted)))
}

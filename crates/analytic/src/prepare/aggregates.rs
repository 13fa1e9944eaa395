//! Aggregates and window functions where there are no groups: refused as PostgreSQL does.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock};

use catalog::Table;
use datafusion::sql::sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments, Ident, Join,
    JoinOperator, ObjectName, OrderBy, OrderByExpr, OrderByOptions, Select, TableFactor, TableWithJoins, Value,
};
use types::{SqlError, SqlState};

use super::from::relations;
use super::own;
use crate::names;

/// Errors: 42803 or 42P20 if an expression of the clause has one outside of subqueries.
pub fn refuse(expr: &Expr, clause: &str) -> Result<(), SqlError> {
    let found = own::visit(expr, |expr| {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        if function.over.is_some() {
            let message = format!("window functions are not allowed in {clause}");
            return ControlFlow::Break(SqlError::new(SqlState::WINDOWING_ERROR, message));
        }
        if is_aggregate(function) {
            let message = format!("aggregate functions are not allowed in {clause}");
            return ControlFlow::Break(SqlError::new(SqlState::GROUPING_ERROR, message));
        }
        ControlFlow::Continue(())
    });
    found.break_value().map_or(Ok(()), Err)
}

/// `count(1)` as `count(*)`, which DataFusion calls the first by: beside each other they would have one name.
pub(super) fn count_rows(expr: &mut Expr) {
    if let Expr::Function(Function { name, args: FunctionArguments::List(list), .. }) = expr
        && list.duplicate_treatment.is_none()
        && let [FunctionArg::Unnamed(argument @ FunctionArgExpr::Expr(Expr::Value(_)))] = list.args.as_mut_slice()
        && !matches!(argument, FunctionArgExpr::Expr(Expr::Value(value)) if is_open(&value.value))
        && names::last(name).is_some_and(|name| name == "count")
    {
        *argument = FunctionArgExpr::Wildcard;
    }
}

/// `count(t.*)` where an outer join may leave t without a row: the count of a column of t that is never NULL. Elsewhere it is that of all
/// rows, as DataFusion takes it.
///
/// Errors: 0A000 where no column is known to be one.
pub(super) fn count_rows_of(
    select: &mut Select,
    order_by: Option<&mut OrderBy>,
    stored: &dyn Fn(&ObjectName) -> Option<Arc<Table>>,
) -> Result<(), SqlError> {
    if !has_outer_join(&select.from) {
        return Ok(());
    }
    let known = relations(&select.from);
    let column = |called: &ObjectName| {
        let called = names::last(called)?;
        let table = stored(known.iter().find(|relation| relation.called == called)?.name.as_ref()?)?;
        let column = table.columns.iter().find(|column| column.not_null)?;
        Some(Expr::CompoundIdentifier([&called, &column.name].map(|name| Ident::with_quote('"', name)).into()))
    };
    let mut change = |expr: &mut Expr| {
        if let Expr::Function(Function { name, args: FunctionArguments::List(list), .. }) = expr
            && let [FunctionArg::Unnamed(argument @ FunctionArgExpr::QualifiedWildcard(_))] = list.args.as_mut_slice()
            && let FunctionArgExpr::QualifiedWildcard(called) = &*argument
            && names::last(name).is_some_and(|name| name == "count")
        {
            let Some(column) = column(called) else {
                let error = SqlError::unsupported("count of all columns of an outer join's side is not supported here");
                return ControlFlow::Break(error.hint("Count a column of it that is never NULL."));
            };
            *argument = FunctionArgExpr::Expr(column);
        }
        ControlFlow::Continue(())
    };
    let mut flow = own::visit_mut(&mut select.projection, &mut change);
    if flow.is_continue() {
        flow = own::visit_mut(&mut select.having, &mut change);
    }
    if flow.is_continue()
        && let Some(order_by) = order_by
    {
        flow = own::visit_mut(order_by, &mut change);
    }
    flow.break_value().map_or(Ok(()), Err)
}

fn has_outer_join(from: &[TableWithJoins]) -> bool {
    let is_outer = |join: &Join| {
        use JoinOperator::{FullOuter, Left, LeftOuter, Right, RightOuter};
        matches!(join.join_operator, FullOuter(_) | Left(_) | LeftOuter(_) | Right(_) | RightOuter(_))
    };
    from.iter().any(|item| {
        let mut factors = std::iter::once(&item.relation).chain(item.joins.iter().map(|join| &join.relation));
        item.joins.iter().any(is_outer)
            || factors.any(|factor| {
                matches!(factor, TableFactor::NestedJoin { table_with_joins, .. } if has_outer_join(std::slice::from_ref(table_with_joins)))
            })
    })
}

/// The aggregates that show the order of what they are of have DISTINCT values in ascending order, as PostgreSQL, which sorts them.
pub(super) fn distinct_in_order(expr: &mut Expr) {
    if let Expr::Function(Function { name, args: FunctionArguments::List(list), .. }) = expr
        && list.duplicate_treatment == Some(DuplicateTreatment::Distinct)
        && names::last(name).is_some_and(|name| matches!(name.as_str(), "array_agg" | "string_agg"))
        && !list.clauses.iter().any(|clause| matches!(clause, FunctionArgumentClause::OrderBy(_)))
        && let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(value))) = list.args.first()
    {
        let options = OrderByOptions { asc: None, nulls_first: None };
        let order = OrderByExpr { expr: value.clone(), options, with_fill: None };
        list.clauses.push(FunctionArgumentClause::OrderBy(vec![order]));
    }
}

/// Whether a constant may be NULL.
fn is_open(value: &Value) -> bool {
    matches!(value, Value::Null | Value::Placeholder(_))
}

/// Whether the function called is an aggregate, with OVER or without.
pub(super) fn is_aggregate(function: &Function) -> bool {
    static NAMES: LazyLock<HashSet<String>> = LazyLock::new(|| {
        let all = datafusion::functions_aggregate::all_default_aggregate_functions();
        all.iter().flat_map(|f| f.aliases().iter().cloned().chain([f.name().to_owned()])).collect()
    });
    let Some(name) = names::last(&function.name) else { return false };
    expr::arrow_driver::aggregate_function(&name).is_some() || NAMES.contains(&name)
}

//! Aggregates and window functions where there are no groups: refused as PostgreSQL does.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::LazyLock;

use datafusion::sql::sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Value};
use types::{SqlError, SqlState};

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

//! The SET list of UPDATE, of ON CONFLICT DO UPDATE and of MERGE.
//!
//! `(a, b) = (SELECT x, y ..)` is planned as `a = (SELECT x ..), b = (SELECT y ..)`: both read one snapshot.

use catalog::{Column, Table};
use sqlparser::ast::{
    Assignment, AssignmentTarget, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName, OrderByKind, Query,
    SelectItem, SetExpr,
};
use types::{SqlError, SqlState};

use crate::dml::cell::{Cell, Cells, is_default};

/// Which columns a list sets to what. Errors: 42703; 42601 for one that is set twice.
pub(crate) fn plan_assignments(
    assignments: &[Assignment],
    table: &Table,
    cells: &mut Cells<'_>,
) -> Result<Vec<(usize, Cell)>, SqlError> {
    let mut planned: Vec<(usize, Cell)> = Vec::new();
    let mut set = |name: &ObjectName, expr: &Expr| {
        let [part] = name.0.as_slice() else {
            return Err(SqlError::unsupported(format!("SET of \"{name}\": only whole columns can be set")));
        };
        let name = part.as_ident().map_or("", |ident| ident.value.as_str());
        let at = table.column(name).ok_or_else(|| {
            let message = format!("column \"{name}\" of relation \"{}\" does not exist", table.name);
            SqlError::new(SqlState::UNDEFINED_COLUMN, message)
        })?;
        if planned.iter().any(|(column, _)| *column == at) {
            let message = format!("multiple assignments to same column \"{name}\"");
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
        }
        if table.columns[at].is_generated_always() && !is_default(expr) {
            let message = format!("column \"{name}\" can only be updated to DEFAULT");
            return Err(SqlError::new(SqlState::GENERATED_ALWAYS, message).detail(defined_always(&table.columns[at])));
        }
        analytic::refuse_aggregates(expr, "UPDATE")?;
        planned.push((at, cells.cell(expr, &table.columns[at])?));
        Ok(())
    };
    for assignment in assignments {
        match &assignment.target {
            AssignmentTarget::ColumnName(name) => set(name, &assignment.value)?,
            AssignmentTarget::Tuple(names) => {
                let values = row_values(&assignment.value, names.len())?;
                names.iter().zip(&values).try_for_each(|(name, value)| set(name, value))?;
            }
        }
    }
    Ok(planned)
}

/// What errors about a column that takes no values add.
pub(crate) fn defined_always(column: &Column) -> String {
    let what = if column.generated.is_some() { "a generated column" } else { "an identity column defined as GENERATED ALWAYS" };
    format!("Column \"{}\" is {what}.", column.name)
}

/// The values of a row expression. Errors: 42601 for another number of them, 0A000 for what is no row.
fn row_values(value: &Expr, count: usize) -> Result<Vec<Expr>, SqlError> {
    let values = match value {
        Expr::Tuple(values) => values.clone(),
        Expr::Nested(inner) if count == 1 => vec![inner.as_ref().clone()],
        Expr::Subquery(query) => split(query)?,
        Expr::Function(function) if function.name.to_string() == "row" => match &function.args {
            FunctionArguments::List(list) => (list.args.iter())
                .map(|argument| match argument {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr.clone()),
                    _ => Err(no_row()),
                })
                .collect::<Result<_, _>>()?,
            _ => return Err(no_row()),
        },
        _ => return Err(no_row()),
    };
    if values.len() != count {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "number of columns does not match number of values"));
    }
    Ok(values)
}

fn no_row() -> SqlError {
    SqlError::unsupported("source for a multiple-column UPDATE item must be a sub-SELECT or ROW() expression")
}

/// Each column of a subquery as a subquery of its own.
fn split(query: &Query) -> Result<Vec<Expr>, SqlError> {
    let SetExpr::Select(select) = query.body.as_ref() else {
        return Err(SqlError::unsupported("SET (a, b) = (VALUES ..) and of UNION are not supported").hint("Use SELECT."));
    };
    if select.distinct.is_some() || counts_columns(query) {
        let message = "SET (a, b) = (SELECT ..) with DISTINCT or ORDER BY of a column's number is not supported";
        return Err(SqlError::unsupported(message));
    }
    let aggregates = |item: &&SelectItem| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
            analytic::refuse_aggregates(expr, "UPDATE").is_err()
        }
        _ => false,
    };
    // On its own, a column that does not aggregate would be one of every row.
    let aggregating = select.projection.iter().filter(aggregates).count();
    if aggregating > 0 && aggregating < select.projection.len() {
        let message = "SET (a, b) = (SELECT ..) that aggregates some of its columns only is not supported";
        return Err(SqlError::unsupported(message).hint("Set each column by a subquery of its own."));
    }
    let one = |item: &SelectItem| {
        if matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)) {
            return Err(SqlError::unsupported("SET (a, b) = (SELECT * ..) is not supported").hint("Name the columns."));
        }
        let mut query = query.clone();
        if let SetExpr::Select(select) = query.body.as_mut() {
            select.projection = vec![item.clone()];
        }
        Ok(Expr::Subquery(Box::new(query)))
    };
    select.projection.iter().map(one).collect()
}

/// Whether ORDER BY would mean another column in a shorter list.
fn counts_columns(query: &Query) -> bool {
    match query.order_by.as_ref().map(|order| &order.kind) {
        Some(OrderByKind::Expressions(exprs)) => exprs.iter().any(|order| matches!(order.expr, Expr::Value(_))),
        Some(OrderByKind::All(_)) => true,
        None => false,
    }
}

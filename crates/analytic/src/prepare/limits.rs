//! LIMIT, OFFSET and FETCH FIRST: one clause of two bounds, both bigint.
//!
//! ```text
//! LIMIT 2.5       ->   LIMIT CAST(2.5 AS bigint)      rounded, as an assignment would be
//! LIMIT NULL      ->   no LIMIT
//! FETCH FIRST $1  ->   LIMIT CAST($1 AS bigint)
//! ```
//!
//! 1. Integer literals stay as they are: the planner pushes them down. Whatever else is cast, parameters too.
//! 2. A bound reads no columns, as in PostgreSQL, and no subqueries, which DataFusion cannot plan there.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{DataType, Expr, LimitClause, Query, Value, ValueWithSpan};
use expr::syntax;
use types::{SqlError, SqlState, SqlType};

use super::{aggregates, own};

/// FETCH FIRST as LIMIT, and both bounds as bigint.
pub(super) fn bind(query: &mut Query, text: &str) -> Result<(), SqlError> {
    if let Some(fetch) = query.fetch.take() {
        if fetch.with_ties {
            return Err(SqlError::unsupported("FETCH FIRST .. WITH TIES is not supported"));
        }
        let count = fetch.quantity.unwrap_or_else(|| Expr::value(Value::Number("1".into(), false)));
        match &mut query.limit_clause {
            None => {
                query.limit_clause = Some(LimitClause::LimitOffset { limit: Some(count), offset: None, limit_by: vec![] });
            }
            Some(LimitClause::LimitOffset { limit: limit @ None, .. }) => *limit = Some(count),
            Some(_) => return Err(SqlError::new(SqlState::SYNTAX_ERROR, "multiple LIMIT clauses not allowed")),
        }
    }
    if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &mut query.limit_clause {
        if let Some(Expr::Value(ValueWithSpan { value: Value::Null, .. })) = limit {
            *limit = None;
        }
        let bounds = [("LIMIT", limit.as_mut()), ("OFFSET", offset.as_mut().map(|offset| &mut offset.value))];
        for (clause, expr) in bounds.into_iter().filter_map(|(clause, expr)| Some((clause, expr?))) {
            bound(expr, clause, text)?;
            if !is_integer(expr) {
                let inner = std::mem::replace(expr, Expr::value(Value::Null));
                *expr = syntax::cast(inner, DataType::Int8(None));
            }
        }
    }
    Ok(())
}

/// Whether it is an integer literal, also one that was cast.
pub(super) fn is_integer(expr: &Expr) -> bool {
    match expr {
        Expr::Cast { expr, .. } => is_integer(expr),
        Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) => digits.bytes().all(|b| b.is_ascii_digit()),
        _ => false,
    }
}

/// Errors: what no LIMIT can be.
fn bound(expr: &Expr, clause: &str, text: &str) -> Result<(), SqlError> {
    aggregates::refuse(expr, clause)?;
    let found = own::visit(expr, |expr| match expr {
        Expr::Identifier(name) => ControlFlow::Break(Some(name.span)),
        Expr::CompoundIdentifier(parts) => ControlFlow::Break(parts.first().map(|name| name.span)),
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => ControlFlow::Break(None),
        _ => ControlFlow::Continue(()),
    });
    match found {
        ControlFlow::Continue(()) => {}
        ControlFlow::Break(None) => return Err(SqlError::unsupported(format!("subqueries in {clause} are not supported"))),
        ControlFlow::Break(Some(span)) => {
            let message = format!("argument of {clause} must not contain variables");
            return Err(crate::errors::at(SqlError::new(SqlState::INVALID_COLUMN_REFERENCE, message), text, span));
        }
    }
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Boolean(_), span }) => {
            Err(crate::errors::at(no_bigint(clause, SqlType::Bool), text, *span))
        }
        Expr::Cast { data_type, .. } => match expr::arrow_driver::sql_type(data_type) {
            Ok(t) if t.is_string() || t == SqlType::Bool => Err(no_bigint(clause, t)),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

fn no_bigint(clause: &str, t: SqlType) -> SqlError {
    let message = format!("argument of {clause} must be type bigint, not type {}", t.base_name());
    SqlError::new(SqlState::DATATYPE_MISMATCH, message)
}

//! Whether an expression of a row is the same at any time and in any session: what an index may be of.
//!
//! Functions are what `pg_proc` says of them; of those that depend on the session only for timestamps with a time zone, and of casts,
//! the operands decide. Source: PostgreSQL 15 `contain_mutable_functions`.

use std::ops::ControlFlow;

use catalog::Table;
use sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, FunctionArguments, visit_expressions};
use types::SqlType;

use crate::parse::sql_type;
use crate::pg_catalog::{Volatility, volatility};

/// See the module's head.
pub(crate) fn is_immutable(expr: &Expr, table: &Table) -> bool {
    visit_expressions(expr, |part| if is_changeable(part, table) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        .is_continue()
}

fn is_changeable(expr: &Expr, table: &Table) -> bool {
    match expr {
        Expr::Function(function) => {
            let name = function.name.0.last().and_then(|part| part.as_ident()).map_or("", |ident| ident.value.as_str());
            match volatility(name) {
                Volatility::Immutable => false,
                Volatility::Mixed => arguments(&function.args).any(|argument| has_zone(argument, table)),
                Volatility::Other => true,
            }
        }
        Expr::Extract { expr, .. } => has_zone(expr, table),
        Expr::Cast { expr, data_type, .. } if column_type(expr, table).is_some() => {
            let (from, to) = (column_type(expr, table), sql_type(data_type).ok());
            from.zip(to).is_some_and(|(from, to)| !is_immutable_cast(from, to))
        }
        Expr::Cast { expr, data_type, .. } => {
            let to_zoned = sql_type(data_type).is_ok_and(|t| t == SqlType::TimestampTz);
            has_zone(expr, table) != to_zoned && !matches!(expr.as_ref(), Expr::Value(_))
        }
        _ => false,
    }
}

/// Whether a cast gives the same in any session: neither its time zone nor the form of its dates counts.
pub(crate) fn is_immutable_cast(from: SqlType, to: SqlType) -> bool {
    let has_form = |t| matches!(t, SqlType::Date | SqlType::Timestamp | SqlType::TimestampTz | SqlType::Interval);
    let is_zoned = |t| t == SqlType::TimestampTz;
    let by_form = has_form(from) && to.is_string() || from.is_string() && has_form(to);
    !by_form && is_zoned(from) == is_zoned(to)
}

/// The type of a column that stands alone.
fn column_type(expr: &Expr, table: &Table) -> Option<SqlType> {
    match expr {
        Expr::Nested(inner) => column_type(inner, table),
        Expr::Identifier(ident) => table.column(&ident.value).map(|at| table.columns[at].data_type),
        _ => None,
    }
}

fn arguments(arguments: &FunctionArguments) -> impl Iterator<Item = &Expr> {
    let list = match arguments {
        FunctionArguments::List(list) => list.args.as_slice(),
        _ => &[],
    };
    list.iter().filter_map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    })
}

/// Whether the value is a timestamp with a time zone.
fn has_zone(expr: &Expr, table: &Table) -> bool {
    match expr {
        Expr::Nested(inner) => has_zone(inner, table),
        Expr::Identifier(_) => column_type(expr, table) == Some(SqlType::TimestampTz),
        Expr::AtTimeZone { timestamp, .. } => !has_zone(timestamp, table),
        Expr::BinaryOp { left, .. } => has_zone(left, table),
        Expr::Cast { data_type, .. } => sql_type(data_type).is_ok_and(|t| t == SqlType::TimestampTz),
        Expr::Function(function) => arguments(&function.args).any(|argument| has_zone(argument, table)),
        _ => false,
    }
}

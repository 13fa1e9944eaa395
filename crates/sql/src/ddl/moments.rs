//! Dates and times in definitions are what they were when the definition was made: `'today'` does not move, and `'2020-01-01'` is
//! midnight in the zone of who wrote it.
//!
//! ```text
//! d date DEFAULT 'today'               '2026-11-26'
//! WHERE t > timestamptz '2020-01-01'   t > '2020-01-01 00:00:00-05'::timestamptz
//! ```
//!
//! Not here: constants without a type beside columns in views and CHECK, whose type the planner finds; they are read anew.

use std::ops::ControlFlow;

use sqlparser::ast::{CastKind, Expr, TypedString, Value, ValueWithSpan, VisitMut, VisitorMut};
use types::text::{self, Session as Dates};
use types::{SqlError, SqlType};

/// Settles the constants that say their type. Errors: 22007, 22008 for those that are none of it.
pub(crate) fn settle(node: &mut impl VisitMut, dates: &Dates) -> Result<(), SqlError> {
    struct Settler<'a>(&'a Dates);
    impl VisitorMut for Settler<'_> {
        type Break = SqlError;

        fn post_visit_expr(&mut self, found: &mut Expr) -> ControlFlow<SqlError> {
            let (value, data_type) = match &*found {
                Expr::TypedString(TypedString { value, data_type, .. }) => (&value.value, data_type),
                Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr: inner, data_type, .. } => match inner.as_ref() {
                    Expr::Value(value) => (&value.value, data_type),
                    _ => return ControlFlow::Continue(()),
                },
                _ => return ControlFlow::Continue(()),
            };
            let Ok(t) = expr::arrow_driver::sql_type(data_type) else { return ControlFlow::Continue(()) };
            match settled(value, t, self.0) {
                Ok(None) => {}
                Ok(Some(constant)) => {
                    *found = Expr::Cast {
                        kind: CastKind::DoubleColon,
                        expr: Box::new(constant),
                        data_type: data_type.clone(),
                        array: false,
                        format: None,
                    };
                }
                Err(error) => return ControlFlow::Break(error),
            }
            ControlFlow::Continue(())
        }
    }
    match VisitMut::visit(node, &mut Settler(dates)) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// As [`settle`], of the DEFAULT of a column of type `t`, which a constant may leave out.
pub(crate) fn settle_default(expr: &mut Expr, t: SqlType, dates: &Dates) -> Result<(), SqlError> {
    if let Expr::Value(ValueWithSpan { value, .. }) = &*expr
        && let Some(constant) = settled(value, t, dates)?
    {
        *expr = constant;
        return Ok(());
    }
    settle(expr, dates)
}

/// A constant in quotes, if its type is of dates and times, as it is read in any session.
fn settled(value: &Value, t: SqlType, dates: &Dates) -> Result<Option<Expr>, SqlError> {
    let (Value::SingleQuotedString(written) | Value::EscapedStringLiteral(written)) = value else { return Ok(None) };
    if !matches!(t, SqlType::Date | SqlType::Time | SqlType::Timestamp | SqlType::TimestampTz) {
        return Ok(None);
    }
    let value = text::parse_in(t, written, dates)?;
    Ok(Some(Expr::value(Value::SingleQuotedString(text::to_string(value.as_ref())))))
}

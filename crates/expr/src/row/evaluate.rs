//! Values of a compiled expression.

use std::cmp::Ordering;

use types::float::one_nan_f64;
use types::{Datum, Decimal, RowRef, SqlError, SqlState, SqlType, coerce};

use super::{Arithmetic, Comparison, Node, RowExpr};
use crate::compare;

impl RowExpr {
    /// The value for a row (`None` only for an expression that [`RowExpr::is_constant`]) and parameters of the types they were
    /// bound with. Errors: 22003, 22012, and those of casts.
    pub fn evaluate(&self, row: Option<RowRef<'_>>, params: &[Datum]) -> Result<Datum, SqlError> {
        let value = |expr: &RowExpr| expr.evaluate(row, params);
        Ok(match &self.node {
            Node::Column(column) => match row {
                Some(row) => row.get(*column).to_owned(),
                None => return Err(SqlError::bug("a column was read where there is no row")),
            },
            Node::Param(at) => params.get(*at).cloned().unwrap_or(Datum::Null),
            Node::Literal(value) => value.clone(),
            Node::Arithmetic(op, pair) => arithmetic(*op, value(&pair[0])?, value(&pair[1])?, self.data_type)?,
            Node::Compare(comparison, pair) => compared(*comparison, &value(&pair[0])?, &value(&pair[1])?)?,
            Node::And(pair) => match value(&pair[0])? {
                Datum::Bool(false) => Datum::Bool(false),
                left => match (left, value(&pair[1])?) {
                    (_, Datum::Bool(false)) => Datum::Bool(false),
                    (Datum::Bool(true), right) => right,
                    _ => Datum::Null,
                },
            },
            Node::Or(pair) => match value(&pair[0])? {
                Datum::Bool(true) => Datum::Bool(true),
                left => match (left, value(&pair[1])?) {
                    (_, Datum::Bool(true)) => Datum::Bool(true),
                    (Datum::Bool(false), right) => right,
                    _ => Datum::Null,
                },
            },
            Node::Not(inner) => match value(inner)? {
                Datum::Bool(v) => Datum::Bool(!v),
                _ => Datum::Null,
            },
            Node::IsNull(inner) => Datum::Bool(value(inner)?.is_null()),
            Node::Concat(pair) => match (value(&pair[0])?, value(&pair[1])?) {
                (Datum::Text(a), Datum::Text(b)) => Datum::Text([a, b].concat().into()),
                _ => Datum::Null,
            },
            Node::Coalesce(list) => {
                for expr in list {
                    let found = value(expr)?;
                    if !found.is_null() {
                        return Ok(found);
                    }
                }
                Datum::Null
            }
            Node::Cast(inner) => coerce::assign(value(inner)?, self.data_type)?,
        })
    }

    /// Whether a condition holds: true only for TRUE. Errors: as [`RowExpr::evaluate`].
    pub fn holds(&self, row: Option<RowRef<'_>>, params: &[Datum]) -> Result<bool, SqlError> {
        Ok(self.evaluate(row, params)? == Datum::Bool(true))
    }
}

fn out_of_range(data_type: SqlType) -> SqlError {
    let message = match data_type {
        SqlType::Numeric { .. } => "value overflows numeric format".to_owned(),
        SqlType::Float4 | SqlType::Float8 => "value out of range: overflow".to_owned(),
        t => format!("{t} out of range"),
    };
    SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message)
}

fn arithmetic(op: Arithmetic, a: Datum, b: Datum, data_type: SqlType) -> Result<Datum, SqlError> {
    if a.is_null() || b.is_null() {
        return Ok(Datum::Null);
    }
    match data_type {
        SqlType::Int2 | SqlType::Int4 | SqlType::Int8 => {
            let (Some(a), Some(b)) = (integer(&a), integer(&b)) else { return Err(mismatch(&a, &b)) };
            let v = integers(op, a, b, data_type)?;
            let narrow = match data_type {
                SqlType::Int2 => i16::try_from(v).map(Datum::Int2).ok(),
                SqlType::Int4 => i32::try_from(v).map(Datum::Int4).ok(),
                _ => Some(Datum::Int8(v)),
            };
            narrow.ok_or_else(|| out_of_range(data_type))
        }
        SqlType::Numeric { .. } => {
            let (Some(a), Some(b)) = (decimal(&a), decimal(&b)) else { return Err(mismatch(&a, &b)) };
            decimals(op, a, b)
                .filter(|v| v.unscaled.unsigned_abs() < 10u128.pow(38))
                .map(Datum::Numeric)
                .ok_or_else(|| out_of_range(data_type))
        }
        _ => {
            let (Some(a), Some(b)) = (float(&a), float(&b)) else { return Err(mismatch(&a, &b)) };
            let v = match op {
                Arithmetic::Add => a + b,
                Arithmetic::Subtract => a - b,
                Arithmetic::Multiply => a * b,
                Arithmetic::Divide | Arithmetic::Modulo if b == 0.0 => return Err(division_by_zero()),
                Arithmetic::Divide => a / b,
                Arithmetic::Modulo => a % b,
            };
            if v.is_infinite() && a.is_finite() && b.is_finite() {
                return Err(out_of_range(data_type));
            }
            let vanishes = match op {
                Arithmetic::Multiply => v == 0.0 && a != 0.0 && b != 0.0,
                Arithmetic::Divide => v == 0.0 && a != 0.0 && b.is_finite(),
                _ => false,
            };
            if vanishes {
                return Err(SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: underflow"));
            }
            Ok(Datum::Float8(one_nan_f64(v)))
        }
    }
}

fn division_by_zero() -> SqlError {
    SqlError::new(SqlState::DIVISION_BY_ZERO, "division by zero")
}

fn mismatch(a: &Datum, b: &Datum) -> SqlError {
    SqlError::bug(format!("arithmetic on {a:?} and {b:?}"))
}

fn integers(op: Arithmetic, a: i64, b: i64, data_type: SqlType) -> Result<i64, SqlError> {
    let v = match op {
        Arithmetic::Add => a.checked_add(b),
        Arithmetic::Subtract => a.checked_sub(b),
        Arithmetic::Multiply => a.checked_mul(b),
        Arithmetic::Divide | Arithmetic::Modulo if b == 0 => return Err(division_by_zero()),
        Arithmetic::Divide => a.checked_div(b),
        Arithmetic::Modulo => Some(a.wrapping_rem(b)),
    };
    v.ok_or_else(|| out_of_range(data_type))
}

fn decimals(op: Arithmetic, a: Decimal, b: Decimal) -> Option<Decimal> {
    if op == Arithmetic::Multiply {
        return Some(Decimal { unscaled: a.unscaled.checked_mul(b.unscaled)?, scale: a.scale + b.scale });
    }
    let scale = a.scale.max(b.scale);
    let grown = |v: Decimal| v.unscaled.checked_mul(10i128.checked_pow(u32::from(scale - v.scale))?);
    let (a, b) = (grown(a)?, grown(b)?);
    let unscaled = if op == Arithmetic::Add { a.checked_add(b)? } else { a.checked_sub(b)? };
    Some(Decimal { unscaled, scale })
}

fn integer(v: &Datum) -> Option<i64> {
    match v {
        Datum::Int2(v) => Some((*v).into()),
        Datum::Int4(v) => Some((*v).into()),
        Datum::Int8(v) => Some(*v),
        _ => None,
    }
}

fn decimal(v: &Datum) -> Option<Decimal> {
    match v {
        Datum::Numeric(v) => Some(*v),
        other => integer(other).map(|v| Decimal { unscaled: v.into(), scale: 0 }),
    }
}

fn float(v: &Datum) -> Option<f64> {
    match v {
        Datum::Float8(v) => Some(*v),
        Datum::Float4(v) => Some((*v).into()),
        // Through its digits, so that the nearest float comes out.
        Datum::Numeric(v) => format!("{}e-{}", v.unscaled, v.scale).parse().ok(),
        other => integer(other).map(|v| v as f64),
    }
}

fn compared(comparison: Comparison, a: &Datum, b: &Datum) -> Result<Datum, SqlError> {
    if a.is_null() || b.is_null() {
        return Ok(Datum::Null);
    }
    let order = match compare(a.as_ref(), b.as_ref()) {
        Some(order) => order,
        // Numbers of two types.
        None => {
            let exact = decimal(a).zip(decimal(b));
            let floats = || float(a).zip(float(b));
            let order = match exact {
                Some((a, b)) => compare(types::DatumRef::Numeric(a), types::DatumRef::Numeric(b)),
                None => floats().and_then(|(a, b)| compare(types::DatumRef::Float8(a), types::DatumRef::Float8(b))),
            };
            order.ok_or_else(|| SqlError::bug(format!("comparison of {a:?} and {b:?}")))?
        }
    };
    Ok(Datum::Bool(match comparison {
        Comparison::Equal => order == Ordering::Equal,
        Comparison::NotEqual => order != Ordering::Equal,
        Comparison::Less => order == Ordering::Less,
        Comparison::LessOrEqual => order != Ordering::Greater,
        Comparison::Greater => order == Ordering::Greater,
        Comparison::GreaterOrEqual => order != Ordering::Less,
    }))
}

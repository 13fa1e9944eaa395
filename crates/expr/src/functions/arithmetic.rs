//! `+ - * / % ^`, unary `-`, and the operators on bits.

use types::{Datum, DatumRef, Decimal, SqlError, SqlState, SqlType};

use super::{fits, mismatch, temporal};
use crate::decimal;
use crate::function::{Arg, Call, Function, Signature};
use crate::rules::{self, as_numeric};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("+", |args, _| plus(args), |call, args| binary(call, args, Op::Add)),
    Function::new(
        "-",
        |args, _| minus(args),
        |call, args| match args {
            [value] => negate(call, *value),
            _ => binary(call, args, Op::Subtract),
        },
    ),
    Function::new("*", |args, _| times(args), |call, args| binary(call, args, Op::Multiply)),
    Function::new("/", |args, _| over(args), |call, args| binary(call, args, Op::Divide)),
    Function::new("%", |args, _| modulo(args), |call, args| binary(call, args, Op::Remainder)),
    Function::new("mod", |args, _| modulo(args), |call, args| binary(call, args, Op::Remainder)),
    Function::new("^", |args, _| fits(args, &[SqlType::Float8; 2], SqlType::Float8), super::math::power),
    Function::new("&", |args, _| bits(args), |_, args| bit_operation(args, |a, b| a & b)),
    Function::new("|", |args, _| bits(args), |_, args| bit_operation(args, |a, b| a | b)),
    Function::new("#", |args, _| bits(args), |_, args| bit_operation(args, |a, b| a ^ b)),
    Function::new("<<", |args, _| shift(args), |_, args| shift_by(args, true)),
    Function::new(">>", |args, _| shift(args), |_, args| shift_by(args, false)),
    Function::new(
        "~",
        |args, _| complement(args),
        |_, args| match args {
            [DatumRef::Int2(v)] => Ok(Datum::Int2(!v)),
            [DatumRef::Int4(v)] => Ok(Datum::Int4(!v)),
            [DatumRef::Int8(v)] => Ok(Datum::Int8(!v)),
            _ => Err(mismatch("~")),
        },
    ),
];

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// Two numbers, or one and an open one.
fn numbers(args: &[Arg], numeric: fn((u8, u8), (u8, u8)) -> SqlType) -> Option<Signature> {
    let &[a, b] = args else { return None };
    let (a, b) = match (a, b) {
        (Some(a), Some(b)) => (a, b),
        // What stands beside a numeric keeps its own digits.
        (Some(t @ SqlType::Numeric { .. }), None) => (t, SqlType::NUMERIC),
        (None, Some(t @ SqlType::Numeric { .. })) => (SqlType::NUMERIC, t),
        (Some(t), None) | (None, Some(t)) if t.is_number() => (t, t),
        _ => return None,
    };
    let (left, right) = rules::numbers(a, b)?;
    let result = match (left, right) {
        (SqlType::Numeric { .. }, SqlType::Numeric { .. }) => numeric(as_numeric(left)?, as_numeric(right)?),
        _ => left,
    };
    Some(Signature { args: vec![left, right], result })
}

fn signature(a: SqlType, b: SqlType, result: SqlType) -> Option<Signature> {
    Some(Signature { args: vec![a, b], result })
}

fn plus(args: &[Arg]) -> Option<Signature> {
    use SqlType::*;
    if let Some(found) = numbers(args, rules::sum_of) {
        return Some(found);
    }
    match *args {
        [Some(Date), Some(Int2 | Int4)] => signature(Date, Int4, Date),
        [Some(Int2 | Int4), Some(Date)] => signature(Int4, Date, Date),
        [Some(Date), Some(Interval) | None] | [Some(Timestamp), Some(Interval) | None] => {
            signature(Timestamp, Interval, Timestamp)
        }
        [Some(Interval) | None, Some(Date | Timestamp)] => signature(Interval, Timestamp, Timestamp),
        [Some(TimestampTz), Some(Interval) | None] => signature(TimestampTz, Interval, TimestampTz),
        [Some(Interval) | None, Some(TimestampTz)] => signature(Interval, TimestampTz, TimestampTz),
        [Some(Date), Some(Time)] => signature(Date, Time, Timestamp),
        [Some(Time), Some(Date)] => signature(Time, Date, Timestamp),
        [Some(Time), Some(Interval) | None] => signature(Time, Interval, Time),
        [Some(Interval), Some(Time)] => signature(Interval, Time, Time),
        [Some(Interval), Some(Interval) | None] | [None, Some(Interval)] => signature(Interval, Interval, Interval),
        _ => None,
    }
}

fn minus(args: &[Arg]) -> Option<Signature> {
    use SqlType::*;
    if let [arg] = *args {
        return match arg {
            Some(t) if t.is_number() || t == Interval => Some(Signature { args: vec![t], result: t }),
            None => Some(Signature { args: vec![Float8], result: Float8 }),
            Some(_) => None,
        };
    }
    if let Some(found) = numbers(args, rules::sum_of) {
        return Some(found);
    }
    match *args {
        [Some(Date), Some(Int2 | Int4)] => signature(Date, Int4, Date),
        [Some(Date), Some(Date) | None] | [None, Some(Date)] => signature(Date, Date, Int4),
        [Some(Date | Timestamp), Some(Interval)] => signature(Timestamp, Interval, Timestamp),
        [Some(TimestampTz), Some(Interval)] => signature(TimestampTz, Interval, TimestampTz),
        [Some(Time), Some(Interval)] => signature(Time, Interval, Time),
        [Some(Time), Some(Time) | None] | [None, Some(Time)] => signature(Time, Time, Interval),
        [Some(Date | Timestamp), Some(Date | Timestamp)] | [Some(Timestamp), None] | [None, Some(Timestamp)] => {
            signature(Timestamp, Timestamp, Interval)
        }
        [Some(Date | Timestamp | TimestampTz), Some(Date | Timestamp | TimestampTz)]
        | [Some(TimestampTz), None]
        | [None, Some(TimestampTz)] => signature(TimestampTz, TimestampTz, Interval),
        [Some(Interval), Some(Interval) | None] | [None, Some(Interval)] => signature(Interval, Interval, Interval),
        _ => None,
    }
}

fn times(args: &[Arg]) -> Option<Signature> {
    use SqlType::{Float8, Interval};
    match *args {
        [Some(Interval), Some(t)] if t.is_number() => signature(Interval, Float8, Interval),
        [Some(t), Some(Interval)] if t.is_number() => signature(Float8, Interval, Interval),
        [Some(Interval), None] => signature(Interval, Float8, Interval),
        [None, Some(Interval)] => signature(Float8, Interval, Interval),
        _ => numbers(args, rules::product_of),
    }
}

fn over(args: &[Arg]) -> Option<Signature> {
    use SqlType::{Float8, Interval};
    match *args {
        [Some(Interval), Some(t)] if t.is_number() => signature(Interval, Float8, Interval),
        [Some(Interval), None] => signature(Interval, Float8, Interval),
        _ => numbers(args, rules::quotient_of),
    }
}

fn modulo(args: &[Arg]) -> Option<Signature> {
    let found = numbers(args, rules::remainder_of)?;
    (!matches!(found.result, SqlType::Float4 | SqlType::Float8)).then_some(found)
}

fn is_integer(t: SqlType) -> bool {
    matches!(t, SqlType::Int2 | SqlType::Int4 | SqlType::Int8)
}

fn bits(args: &[Arg]) -> Option<Signature> {
    numbers(args, rules::sum_of).filter(|found| is_integer(found.result))
}

fn shift(args: &[Arg]) -> Option<Signature> {
    match *args {
        [Some(t), None | Some(SqlType::Int2 | SqlType::Int4)] if is_integer(t) => signature(t, SqlType::Int4, t),
        _ => None,
    }
}

fn complement(args: &[Arg]) -> Option<Signature> {
    match *args {
        [Some(t)] if is_integer(t) => Some(Signature { args: vec![t], result: t }),
        _ => None,
    }
}

fn out_of_range(t: &str) -> SqlError {
    SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{t} out of range"))
}

macro_rules! integers {
    ($name:ident, $type:ty, $shown:literal) => {
        /// `a op b`, or 22003, or 22012.
        pub(crate) fn $name(op: Op, a: $type, b: $type) -> Result<$type, SqlError> {
            let result = match op {
                Op::Add => a.checked_add(b),
                Op::Subtract => a.checked_sub(b),
                Op::Multiply => a.checked_mul(b),
                Op::Divide | Op::Remainder if b == 0 => return Err(decimal::division_by_zero()),
                Op::Divide => a.checked_div(b),
                // The least integer by -1 leaves nothing, though the quotient does not fit.
                Op::Remainder => Some(a.wrapping_rem(b)),
            };
            result.ok_or_else(|| out_of_range($shown))
        }
    };
}

integers!(int2, i16, "smallint");
integers!(int4, i32, "integer");
integers!(int8, i64, "bigint");

/// `a op b` of floats; an infinite result of finite operands is 22003, as is a zero that is none.
pub(crate) fn float8(op: Op, a: f64, b: f64) -> Result<f64, SqlError> {
    let result = match op {
        Op::Add => a + b,
        Op::Subtract => a - b,
        Op::Multiply => a * b,
        Op::Divide | Op::Remainder if b == 0.0 => return Err(decimal::division_by_zero()),
        Op::Divide => a / b,
        Op::Remainder => a % b,
    };
    check_float(result, a.is_infinite() || b.is_infinite(), a == 0.0 || matches!(op, Op::Multiply) && b == 0.0, op)
}

fn check_float(result: f64, infinite: bool, zero: bool, op: Op) -> Result<f64, SqlError> {
    if result.is_infinite() && !infinite {
        return Err(SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: overflow"));
    }
    if result == 0.0 && !zero && !infinite && matches!(op, Op::Multiply | Op::Divide) {
        return Err(SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: underflow"));
    }
    Ok(result)
}

fn float4(op: Op, a: f32, b: f32) -> Result<f32, SqlError> {
    let result = match op {
        Op::Add => a + b,
        Op::Subtract => a - b,
        Op::Multiply => a * b,
        Op::Divide | Op::Remainder if b == 0.0 => return Err(decimal::division_by_zero()),
        Op::Divide => a / b,
        Op::Remainder => a % b,
    };
    let zero = a == 0.0 || matches!(op, Op::Multiply) && b == 0.0;
    check_float(result.into(), a.is_infinite() || b.is_infinite(), zero, op).map(|_| result)
}

fn binary(call: &Call<'_>, args: &[DatumRef<'_>], op: Op) -> Result<Datum, SqlError> {
    let &[a, b] = args else { return Err(mismatch("an operator")) };
    match (a, b) {
        (DatumRef::Int2(a), DatumRef::Int2(b)) => int2(op, a, b).map(Datum::Int2),
        (DatumRef::Int4(a), DatumRef::Int4(b)) => int4(op, a, b).map(Datum::Int4),
        (DatumRef::Int8(a), DatumRef::Int8(b)) => int8(op, a, b).map(Datum::Int8),
        (DatumRef::Float4(a), DatumRef::Float4(b)) => float4(op, a, b).map(Datum::Float4),
        (DatumRef::Float8(a), DatumRef::Float8(b)) => float8(op, a, b).map(Datum::Float8),
        (DatumRef::Numeric(a), DatumRef::Numeric(b)) => {
            let SqlType::Numeric { scale, .. } = call.signature.result else { return Err(mismatch("numeric arithmetic")) };
            numeric(op, a, b, scale).map(Datum::Numeric)
        }
        (a, b) => temporal::arithmetic(op, a, b, &call.session.zone),
    }
}

/// `a op b` of numerics, at `scale`.
pub(crate) fn numeric(op: Op, a: Decimal, b: Decimal, scale: u8) -> Result<Decimal, SqlError> {
    match op {
        Op::Add => decimal::add(a, b, scale),
        Op::Subtract => decimal::subtract(a, b, scale),
        Op::Multiply => decimal::multiply(a, b, scale),
        Op::Divide => decimal::divide(a, b, scale),
        Op::Remainder => decimal::remainder(a, b, scale),
    }
}

fn negate(call: &Call<'_>, value: DatumRef<'_>) -> Result<Datum, SqlError> {
    let out = || out_of_range(&call.signature.result.to_string());
    Ok(match value {
        DatumRef::Int2(v) => Datum::Int2(v.checked_neg().ok_or_else(out)?),
        DatumRef::Int4(v) => Datum::Int4(v.checked_neg().ok_or_else(out)?),
        DatumRef::Int8(v) => Datum::Int8(v.checked_neg().ok_or_else(out)?),
        DatumRef::Float4(v) => Datum::Float4(-v),
        DatumRef::Float8(v) => Datum::Float8(-v),
        DatumRef::Numeric(v) => Datum::Numeric(Decimal { unscaled: -v.unscaled, ..v }),
        DatumRef::Interval(v) => Datum::Interval(temporal::negate(v)?),
        _ => return Err(mismatch("unary -")),
    })
}

fn bit_operation(args: &[DatumRef<'_>], op: fn(i64, i64) -> i64) -> Result<Datum, SqlError> {
    // Bits of a narrower integer come out of a wider one unchanged.
    Ok(match *args {
        [DatumRef::Int2(a), DatumRef::Int2(b)] => Datum::Int2(op(a.into(), b.into()) as i16),
        [DatumRef::Int4(a), DatumRef::Int4(b)] => Datum::Int4(op(a.into(), b.into()) as i32),
        [DatumRef::Int8(a), DatumRef::Int8(b)] => Datum::Int8(op(a, b)),
        _ => return Err(mismatch("a bit operator")),
    })
}

fn shift_by(args: &[DatumRef<'_>], left: bool) -> Result<Datum, SqlError> {
    let &[value, DatumRef::Int4(by)] = args else { return Err(mismatch("a shift")) };
    // As the processor does it, and PostgreSQL with it: only the low bits of the distance count.
    Ok(match (value, left) {
        (DatumRef::Int2(v), true) => Datum::Int2(i32::from(v).wrapping_shl(by as u32) as i16),
        (DatumRef::Int2(v), false) => Datum::Int2(i32::from(v).wrapping_shr(by as u32) as i16),
        (DatumRef::Int4(v), true) => Datum::Int4(v.wrapping_shl(by as u32)),
        (DatumRef::Int4(v), false) => Datum::Int4(v.wrapping_shr(by as u32)),
        (DatumRef::Int8(v), true) => Datum::Int8(v.wrapping_shl(by as u32)),
        (DatumRef::Int8(v), false) => Datum::Int8(v.wrapping_shr(by as u32)),
        _ => return Err(mismatch("a shift")),
    })
}

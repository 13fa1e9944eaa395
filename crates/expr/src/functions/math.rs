//! Functions of numbers.

use types::{Datum, DatumRef, Decimal, SqlError, SqlState, SqlType};

use super::arithmetic::{self, Op};
use super::{fits, float_of, mismatch};
use crate::decimal::{self, Rounding};
use crate::function::{Arg, Call, Function, Signature};
use crate::rules::{DIGITS_MAX, QUOTIENT_SCALE};

use SqlType::{Float8, Int4, Int8};

const PI: &[SqlType] = &[];

pub(super) const FUNCTIONS: &[Function] = &[
    // What a cast to numeric without digits is: the type's own.
    Function::new(
        "numeric",
        |args, _| numeric_signature(args),
        |call, args| {
            let [value] = *args else { return Err(mismatch("numeric")) };
            crate::cast::cast(value, call.signature.result, call.session)
        },
    ),
    // What equal floats are ordered by: both zeros are one.
    Function::new(
        "float_order",
        |args, _| fits(args, &[SqlType::Float4], SqlType::Float4).or_else(|| fits(args, &[Float8], Float8)),
        |_, args| match args {
            [DatumRef::Float4(v)] => Ok(Datum::Float4(v + 0.0)),
            [DatumRef::Float8(v)] => Ok(Datum::Float8(v + 0.0)),
            _ => Err(mismatch("float_order")),
        },
    ),
    Function::new("abs", |args, _| same_number(args), abs),
    Function::new("sign", |args, _| numeric_or_float(args), sign),
    Function::new("ceil", |args, _| whole_number(args), |call, args| rounded(call, args, 0, Rounding::Ceiling)),
    Function::new("ceiling", |args, _| whole_number(args), |call, args| rounded(call, args, 0, Rounding::Ceiling)),
    Function::new("floor", |args, _| whole_number(args), |call, args| rounded(call, args, 0, Rounding::Floor)),
    Function::new("round", round_signature, |call, args| to_digits(call, args, Rounding::Nearest)),
    Function::new("trunc", round_signature, |call, args| to_digits(call, args, Rounding::Zero)),
    Function::new("div", |args, _| div_signature(args), div),
    Function::new("power", |args, _| fits(args, &[Float8; 2], Float8), power),
    Function::new("pow", |args, _| fits(args, &[Float8; 2], Float8), power),
    Function::new(
        "sqrt",
        |args, _| fits(args, &[Float8], Float8),
        |_, args| {
            let v = float_of(args, 0)?;
            if v < 0.0 {
                return Err(SqlError::new(SqlState(*b"2201F"), "cannot take square root of a negative number"));
            }
            Ok(Datum::Float8(v.sqrt()))
        },
    ),
    Function::new("cbrt", |args, _| fits(args, &[Float8], Float8), |_, args| Ok(Datum::Float8(float_of(args, 0)?.cbrt()))),
    Function::new(
        "exp",
        |args, _| fits(args, &[Float8], Float8),
        |_, args| {
            let v = float_of(args, 0)?;
            finite(v.exp(), v.is_infinite() || v.is_nan())
        },
    ),
    Function::new("ln", |args, _| fits(args, &[Float8], Float8), |_, args| logarithm(args, f64::ln)),
    Function::new("log", |args, _| log_signature(args), log),
    Function::new("log10", |args, _| fits(args, &[Float8], Float8), |_, args| logarithm(args, f64::log10)),
    Function::new("pi", |args, _| fits(args, PI, Float8), |_, _| Ok(Datum::Float8(std::f64::consts::PI))),
    Function::new(
        "degrees",
        |args, _| fits(args, &[Float8], Float8),
        |_, args| Ok(Datum::Float8(float_of(args, 0)?.to_degrees())),
    ),
    Function::new(
        "radians",
        |args, _| fits(args, &[Float8], Float8),
        |_, args| Ok(Datum::Float8(float_of(args, 0)?.to_radians())),
    ),
    Function::new("sin", |args, _| fits(args, &[Float8], Float8), |_, args| angle(args, f64::sin)),
    Function::new("cos", |args, _| fits(args, &[Float8], Float8), |_, args| angle(args, f64::cos)),
    Function::new("tan", |args, _| fits(args, &[Float8], Float8), |_, args| angle(args, f64::tan)),
    Function::new("cot", |args, _| fits(args, &[Float8], Float8), |_, args| angle(args, |v| 1.0 / v.tan())),
    Function::new("asin", |args, _| fits(args, &[Float8], Float8), |_, args| inverse(args, f64::asin)),
    Function::new("acos", |args, _| fits(args, &[Float8], Float8), |_, args| inverse(args, f64::acos)),
    Function::new("atan", |args, _| fits(args, &[Float8], Float8), |_, args| Ok(Datum::Float8(float_of(args, 0)?.atan()))),
    Function::new(
        "atan2",
        |args, _| fits(args, &[Float8; 2], Float8),
        |_, args| Ok(Datum::Float8(float_of(args, 0)?.atan2(float_of(args, 1)?))),
    ),
    Function::new("width_bucket", |args, _| fits(args, &[Float8, Float8, Float8, Int4], Int4), width_bucket),
    Function::new("gcd", |args, _| two_integers(args), |_, args| divisor(args, |a, b| Some(gcd(a, b)))),
    Function::new(
        "lcm",
        |args, _| two_integers(args),
        |_, args| divisor(args, |a, b| if a == 0 || b == 0 { Some(0) } else { (a / gcd(a, b)).checked_mul(b) }),
    ),
];

fn out_of_range(what: impl std::fmt::Display) -> SqlError {
    SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{what} out of range"))
}

/// A number of any type; an open one is a double.
fn same_number(args: &[Arg]) -> Option<Signature> {
    match *args {
        [Some(t)] if t.is_number() => Some(Signature { args: vec![t], result: t }),
        [None] => Some(Signature { args: vec![Float8], result: Float8 }),
        _ => None,
    }
}

fn numeric_or_float(args: &[Arg]) -> Option<Signature> {
    match *args {
        [Some(t @ SqlType::Numeric { .. })] => {
            Some(Signature { args: vec![t], result: SqlType::Numeric { precision: 1, scale: 0 } })
        }
        [Some(t)] if !t.is_number() => None,
        [_] => Some(Signature { args: vec![Float8], result: Float8 }),
        _ => None,
    }
}

/// A numeric without digits behind the point, or a double: integers become doubles, as in PostgreSQL.
fn whole_number(args: &[Arg]) -> Option<Signature> {
    match *args {
        [Some(t @ SqlType::Numeric { precision, scale })] => {
            let precision = (precision - scale + 1).min(DIGITS_MAX);
            Some(Signature { args: vec![t], result: SqlType::Numeric { precision, scale: 0 } })
        }
        [Some(t)] if !t.is_number() => None,
        [_] => Some(Signature { args: vec![Float8], result: Float8 }),
        _ => None,
    }
}

/// `round(x)`, `round(x, n)`, and with n known `round@n(x)`.
fn round_signature(args: &[Arg], special: Option<&str>) -> Option<Signature> {
    let digits = special.and_then(|digits| digits.parse::<i32>().ok());
    match (*args.first()?, digits, args.len()) {
        (_, None, 1) => whole_number(args),
        (t, Some(digits), 1) => {
            let (precision, scale) = match t {
                Some(t) => crate::rules::as_numeric(t).or((t.is_number()).then_some((38, 16)))?,
                None => (38, 16),
            };
            let kept = digits.clamp(0, DIGITS_MAX.into()) as u8;
            let whole = precision - scale + 1;
            let result = SqlType::Numeric { precision: (whole + kept).min(DIGITS_MAX), scale: kept };
            Some(Signature { args: vec![SqlType::Numeric { precision, scale }], result })
        }
        // The number of digits is known only per row: the scale stays.
        (t, None, 2) if args[1].is_none_or(|n| matches!(n, SqlType::Int2 | Int4)) => {
            let (precision, scale) = crate::rules::as_numeric(t?)?;
            let precision = (precision + 1).min(DIGITS_MAX);
            Some(Signature {
                args: vec![SqlType::Numeric { precision: precision - u8::from(precision < DIGITS_MAX), scale }, Int4],
                result: SqlType::Numeric { precision, scale },
            })
        }
        _ => None,
    }
}

fn numeric_signature(args: &[Arg]) -> Option<Signature> {
    let &[arg] = args else { return None };
    let (t, (precision, scale)) = match arg {
        Some(t) if t.is_number() => (t, crate::rules::as_numeric(t).unwrap_or((38, QUOTIENT_SCALE))),
        Some(t) if !t.is_string() => return None,
        _ => (SqlType::Text, (38, QUOTIENT_SCALE)),
    };
    Some(Signature { args: vec![t], result: SqlType::Numeric { precision, scale } })
}

fn abs(call: &Call<'_>, args: &[DatumRef<'_>]) -> Result<Datum, SqlError> {
    let out = || out_of_range(call.signature.result);
    Ok(match *args {
        [DatumRef::Int2(v)] => Datum::Int2(v.checked_abs().ok_or_else(out)?),
        [DatumRef::Int4(v)] => Datum::Int4(v.checked_abs().ok_or_else(out)?),
        [DatumRef::Int8(v)] => Datum::Int8(v.checked_abs().ok_or_else(out)?),
        [DatumRef::Float4(v)] => Datum::Float4(v.abs()),
        [DatumRef::Float8(v)] => Datum::Float8(v.abs()),
        [DatumRef::Numeric(v)] => Datum::Numeric(Decimal { unscaled: v.unscaled.abs(), ..v }),
        _ => return Err(mismatch("abs")),
    })
}

fn sign(_: &Call<'_>, args: &[DatumRef<'_>]) -> Result<Datum, SqlError> {
    Ok(match *args {
        [DatumRef::Numeric(v)] => Datum::Numeric(Decimal { unscaled: v.unscaled.signum(), scale: 0 }),
        [DatumRef::Float8(v)] => Datum::Float8(if v == 0.0 { 0.0 } else { v.signum() }),
        _ => return Err(mismatch("sign")),
    })
}

fn to_digits(call: &Call<'_>, args: &[DatumRef<'_>], rounding: Rounding) -> Result<Datum, SqlError> {
    let digits = match (call.special.and_then(|d| d.parse().ok()), args.get(1)) {
        (Some(digits), _) => digits,
        (None, Some(DatumRef::Int4(digits))) => *digits,
        (None, _) => 0,
    };
    rounded(call, args, digits, rounding)
}

fn rounded(call: &Call<'_>, args: &[DatumRef<'_>], digits: i32, rounding: Rounding) -> Result<Datum, SqlError> {
    match (args.first(), call.signature.result) {
        (Some(DatumRef::Numeric(v)), SqlType::Numeric { scale, .. }) => {
            decimal::round(*v, digits, scale, rounding).map(Datum::Numeric)
        }
        (Some(DatumRef::Float8(v)), _) => Ok(Datum::Float8(match rounding {
            Rounding::Nearest => v.round_ties_even(),
            Rounding::Zero => v.trunc(),
            Rounding::Floor => v.floor(),
            Rounding::Ceiling => v.ceil(),
        })),
        _ => Err(mismatch("round")),
    }
}

fn div_signature(args: &[Arg]) -> Option<Signature> {
    let &[a, b] = args else { return None };
    let numeric = |t: Arg| t.map_or(Some((38, QUOTIENT_SCALE)), crate::rules::as_numeric);
    let (a, b) = (numeric(a)?, numeric(b)?);
    let of = |(precision, scale)| SqlType::Numeric { precision, scale };
    let precision = (a.0 - a.1 + b.1).clamp(1, DIGITS_MAX);
    Some(Signature { args: vec![of(a), of(b)], result: of((precision, 0)) })
}

/// The whole part of a quotient.
fn div(_: &Call<'_>, args: &[DatumRef<'_>]) -> Result<Datum, SqlError> {
    let [DatumRef::Numeric(a), DatumRef::Numeric(b)] = *args else { return Err(mismatch("div")) };
    let scale = a.scale.max(b.scale);
    let rest = decimal::remainder(a, b, scale)?;
    let exact = decimal::subtract(Decimal { unscaled: decimal::rescale(a, scale)?, scale }, rest, scale)?;
    decimal::divide(exact, b, scale.max(b.scale)).and_then(|v| decimal::round(v, 0, 0, Rounding::Zero)).map(Datum::Numeric)
}

/// The error for a float that became infinite.
fn finite(v: f64, was_infinite: bool) -> Result<Datum, SqlError> {
    if v.is_infinite() && !was_infinite {
        return Err(SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: overflow"));
    }
    Ok(Datum::Float8(v))
}

pub(super) fn power(_: &Call<'_>, args: &[DatumRef<'_>]) -> Result<Datum, SqlError> {
    let (base, exponent) = (float_of(args, 0)?, float_of(args, 1)?);
    let invalid = |message: &str| Err(SqlError::new(SqlState(*b"2201F"), message));
    if base == 0.0 && exponent < 0.0 {
        return invalid("zero raised to a negative power is undefined");
    }
    if base < 0.0 && exponent.fract() != 0.0 && exponent.is_finite() {
        return invalid("a negative number raised to a non-integer power yields a complex result");
    }
    let result = base.powf(exponent);
    if result == 0.0 && base != 0.0 && base.is_finite() && exponent.is_finite() {
        return Err(SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: underflow"));
    }
    finite(result, base.is_infinite() || exponent.is_infinite())
}

fn logarithm(args: &[DatumRef<'_>], of: fn(f64) -> f64) -> Result<Datum, SqlError> {
    let v = float_of(args, 0)?;
    check_logarithm(v)?;
    Ok(Datum::Float8(of(v)))
}

fn check_logarithm(v: f64) -> Result<(), SqlError> {
    let invalid = |message: &str| Err(SqlError::new(SqlState(*b"2201E"), message));
    if v == 0.0 {
        invalid("cannot take logarithm of zero")
    } else if v < 0.0 {
        invalid("cannot take logarithm of a negative number")
    } else {
        Ok(())
    }
}

/// `log(x)` to base 10; `log(b, x)`.
fn log_signature(args: &[Arg]) -> Option<Signature> {
    match args.len() {
        1 => fits(args, &[Float8], Float8),
        _ => fits(args, &[Float8; 2], Float8),
    }
}

fn log(_: &Call<'_>, args: &[DatumRef<'_>]) -> Result<Datum, SqlError> {
    if args.len() == 1 {
        return logarithm(args, f64::log10);
    }
    let (base, v) = (float_of(args, 0)?, float_of(args, 1)?);
    check_logarithm(base)?;
    check_logarithm(v)?;
    arithmetic::float8(Op::Divide, v.ln(), base.ln()).map(Datum::Float8)
}

fn angle(args: &[DatumRef<'_>], of: fn(f64) -> f64) -> Result<Datum, SqlError> {
    let v = float_of(args, 0)?;
    if v.is_infinite() { Err(out_of_range("input is")) } else { Ok(Datum::Float8(of(v))) }
}

fn inverse(args: &[DatumRef<'_>], of: fn(f64) -> f64) -> Result<Datum, SqlError> {
    let v = float_of(args, 0)?;
    if v.abs() > 1.0 { Err(out_of_range("input is")) } else { Ok(Datum::Float8(of(v))) }
}

/// Which of `count` equal parts of low..high a number is in: 0 below, count + 1 at or above the end.
fn width_bucket(_: &Call<'_>, args: &[DatumRef<'_>]) -> Result<Datum, SqlError> {
    let (v, low, high) = (float_of(args, 0)?, float_of(args, 1)?, float_of(args, 2)?);
    let count = super::int_of(args, 3)?;
    let invalid = |message: &str| SqlError::new(SqlState(*b"2201G"), message);
    if count <= 0 {
        return Err(invalid("count must be greater than zero"));
    }
    if v.is_nan() || !low.is_finite() || !high.is_finite() {
        return Err(invalid("operand, lower bound, and upper bound cannot be NaN"));
    }
    if low == high {
        return Err(invalid("lower bound cannot equal upper bound"));
    }
    let (v, low, high) = if low < high { (v, low, high) } else { (-v, -low, -high) };
    let bucket = if v < low {
        0
    } else if v >= high {
        count + 1
    } else {
        (((v - low) / (high - low)) * count as f64) as i64 + 1
    };
    i32::try_from(bucket).map(Datum::Int4).map_err(|_| out_of_range("integer"))
}

fn two_integers(args: &[Arg]) -> Option<Signature> {
    let &[a, b] = args else { return None };
    let t = match (a, b) {
        (Some(Int8), _) | (_, Some(Int8)) => Int8,
        (Some(SqlType::Int2 | Int4) | None, Some(SqlType::Int2 | Int4) | None) => Int4,
        _ => return None,
    };
    fits(args, &[t, t], t)
}

fn gcd(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    // 2^63 does not fit; it comes from the least bigint alone and is refused below.
    i64::try_from(a).unwrap_or(i64::MIN)
}

fn divisor(args: &[DatumRef<'_>], of: fn(i64, i64) -> Option<i64>) -> Result<Datum, SqlError> {
    match *args {
        [DatumRef::Int4(a), DatumRef::Int4(b)] => {
            let found = of(a.into(), b.into()).map(i64::abs).and_then(|v| i32::try_from(v).ok());
            found.map(Datum::Int4).ok_or_else(|| out_of_range("integer"))
        }
        [DatumRef::Int8(a), DatumRef::Int8(b)] => {
            let found = of(a, b).and_then(i64::checked_abs);
            found.map(Datum::Int8).ok_or_else(|| out_of_range("bigint"))
        }
        _ => Err(mismatch("gcd")),
    }
}

//! Arithmetic of decimals: exact, checked, rounded half away from zero where digits have to go.

use arrow::datatypes::i256;
use types::{Decimal, SqlError, SqlState};

/// 10^38, the first number with too many digits.
pub(crate) const LIMIT: i128 = 10i128.pow(38);

/// The error of a result with more than 38 digits.
pub(crate) fn overflow() -> SqlError {
    SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow")
        .detail("A numeric has at most 38 digits, those behind the point included.")
}

/// The error of dividing by zero.
pub(crate) fn division_by_zero() -> SqlError {
    SqlError::new(SqlState::DIVISION_BY_ZERO, "division by zero")
}

/// `v` if it has at most 38 digits.
pub(crate) fn bounded(v: i128) -> Result<i128, SqlError> {
    if v.unsigned_abs() < LIMIT.unsigned_abs() { Ok(v) } else { Err(overflow()) }
}

/// 10^n.
fn power(n: u8) -> i256 {
    i256::from_i128(10).wrapping_pow(n.into())
}

/// `a / b` rounded half away from zero; `b` is not zero.
fn divide_rounded(a: i256, b: i256) -> i256 {
    let (quotient, remainder) = (a.wrapping_div(b), a.wrapping_rem(b));
    // |remainder| * 2 >= |b|, without leaving the range: both are far below 2^255.
    if remainder.wrapping_abs().wrapping_mul(i256::from_i128(2)) >= b.wrapping_abs() {
        let one = if (a < i256::ZERO) == (b < i256::ZERO) { i256::ONE } else { i256::MINUS_ONE };
        quotient.wrapping_add(one)
    } else {
        quotient
    }
}

fn narrow(v: i256) -> Result<i128, SqlError> {
    v.to_i128().ok_or_else(overflow).and_then(bounded)
}

/// The digits of `v` at `scale`.
pub(crate) fn rescale(v: Decimal, scale: u8) -> Result<i128, SqlError> {
    if v.scale == scale {
        return Ok(v.unscaled);
    }
    let wide = i256::from_i128(v.unscaled);
    narrow(if scale > v.scale { wide.wrapping_mul(power(scale - v.scale)) } else { divide_rounded(wide, power(v.scale - scale)) })
}

/// `a + b` at `scale`, which is at least both of theirs.
pub(crate) fn add(a: Decimal, b: Decimal, scale: u8) -> Result<Decimal, SqlError> {
    let sum = rescale(a, scale)?.checked_add(rescale(b, scale)?).ok_or_else(overflow)?;
    Ok(Decimal { unscaled: bounded(sum)?, scale })
}

/// `a - b`, as [`add`].
pub(crate) fn subtract(a: Decimal, b: Decimal, scale: u8) -> Result<Decimal, SqlError> {
    add(a, Decimal { unscaled: -b.unscaled, ..b }, scale)
}

/// `a * b` at `scale`.
pub(crate) fn multiply(a: Decimal, b: Decimal, scale: u8) -> Result<Decimal, SqlError> {
    let product = i256::from_i128(a.unscaled).wrapping_mul(i256::from_i128(b.unscaled));
    let exact = a.scale + b.scale;
    let unscaled = if exact > scale { divide_rounded(product, power(exact - scale)) } else { product };
    Ok(Decimal { unscaled: narrow(unscaled)?, scale })
}

/// `a / b` at `scale`, which is at least both of theirs. Errors: 22012, 22003.
pub(crate) fn divide(a: Decimal, b: Decimal, scale: u8) -> Result<Decimal, SqlError> {
    if b.unscaled == 0 {
        return Err(division_by_zero());
    }
    // a * 10^(scale + b.scale - a.scale) / b: at most 127 + 76 * 3.33 bits, checked.
    let grown = i256::from_i128(a.unscaled).checked_mul(power(scale + b.scale - a.scale)).ok_or_else(overflow)?;
    Ok(Decimal { unscaled: narrow(divide_rounded(grown, i256::from_i128(b.unscaled)))?, scale })
}

/// `sum / count` at `scale`, which is at least that of the sum; the count is not zero. Errors: 22003.
pub(crate) fn average(sum: Decimal, count: u64, scale: u8) -> Result<Decimal, SqlError> {
    // In 128 bits where that is enough.
    if let Some(grown) = sum.unscaled.checked_mul(10i128.pow((scale - sum.scale).into())) {
        let count = i128::from(count);
        let (quotient, remainder) = (grown / count, grown % count);
        let up = if remainder.abs() * 2 >= count { grown.signum() } else { 0 };
        return Ok(Decimal { unscaled: bounded(quotient + up)?, scale });
    }
    divide(sum, Decimal { unscaled: count.into(), scale: 0 }, scale)
}

/// What is left of `a` when `b` has been taken from it as often as it fits, with the sign of `a`.
pub(crate) fn remainder(a: Decimal, b: Decimal, scale: u8) -> Result<Decimal, SqlError> {
    if b.unscaled == 0 {
        return Err(division_by_zero());
    }
    let wide = |v: Decimal| i256::from_i128(v.unscaled).wrapping_mul(power(scale - v.scale));
    Ok(Decimal { unscaled: narrow(wide(a).wrapping_rem(wide(b)))?, scale })
}

/// How a number loses digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rounding {
    /// To the nearest, half away from zero.
    Nearest,
    /// Towards zero.
    Zero,
    /// Downwards.
    Floor,
    /// Upwards.
    Ceiling,
}

/// `v` with `digits` digits behind the point (before it, if negative), at `scale`.
pub(crate) fn round(v: Decimal, digits: i32, scale: u8, rounding: Rounding) -> Result<Decimal, SqlError> {
    let kept = if digits >= i32::from(v.scale) {
        i256::from_i128(v.unscaled)
    } else {
        let drop = i32::from(v.scale).saturating_sub(digits);
        if drop > 76 {
            return Ok(Decimal { unscaled: 0, scale });
        }
        let unit = power(drop as u8);
        let wide = i256::from_i128(v.unscaled);
        let (quotient, remainder) = (wide.wrapping_div(unit), wide.wrapping_rem(unit));
        let rounded = match rounding {
            Rounding::Nearest => divide_rounded(wide, unit),
            Rounding::Zero => quotient,
            Rounding::Floor if remainder < i256::ZERO => quotient.wrapping_sub(i256::ONE),
            Rounding::Ceiling if remainder > i256::ZERO => quotient.wrapping_add(i256::ONE),
            Rounding::Floor | Rounding::Ceiling => quotient,
        };
        rounded.checked_mul(unit).ok_or_else(overflow)?
    };
    let unscaled = if scale >= v.scale {
        kept.checked_mul(power(scale - v.scale)).ok_or_else(overflow)?
    } else {
        kept.wrapping_div(power(v.scale - scale))
    };
    Ok(Decimal { unscaled: narrow(unscaled)?, scale })
}

/// As a float, the nearest.
pub(crate) fn to_f64(v: Decimal) -> f64 {
    // Up to 2^53 and 10^22 both are exact, so one division rounds once.
    if v.unscaled.unsigned_abs() <= 1 << 53 && v.scale <= 22 {
        return v.unscaled as f64 / 10f64.powi(v.scale.into());
    }
    types::text::to_string(types::DatumRef::Numeric(v)).parse().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(text: &str) -> Decimal {
        types::text::parse_decimal(text).unwrap()
    }

    fn shown(v: Decimal) -> String {
        types::text::to_string(types::DatumRef::Numeric(v))
    }

    #[test]
    fn results_are_exact_or_rounded_half_away_from_zero() {
        assert_eq!(shown(add(d("1.5"), d("2.25"), 2).unwrap()), "3.75");
        assert_eq!(shown(subtract(d("1"), d("0.06"), 2).unwrap()), "0.94");
        assert_eq!(shown(multiply(d("-1.5"), d("1.5"), 1).unwrap()), "-2.3");
        assert_eq!(shown(divide(d("10"), d("3"), 16).unwrap()), "3.3333333333333333");
        assert_eq!(shown(divide(d("-2"), d("3"), 3).unwrap()), "-0.667");
        assert_eq!(shown(divide(d("1"), d("8"), 2).unwrap()), "0.13");
        assert_eq!(shown(remainder(d("-7.5"), d("2"), 1).unwrap()), "-1.5");
    }

    #[test]
    fn digits_are_dropped_in_every_direction() {
        let at = |text: &str, digits, rounding| shown(round(d(text), digits, digits.max(0) as u8, rounding).unwrap());
        assert_eq!(at("2.5", 0, Rounding::Nearest), "3");
        assert_eq!(at("-2.5", 0, Rounding::Nearest), "-3");
        assert_eq!(at("-2.5", 0, Rounding::Zero), "-2");
        assert_eq!(at("-2.5", 0, Rounding::Floor), "-3");
        assert_eq!(at("-2.5", 0, Rounding::Ceiling), "-2");
        assert_eq!(at("2.1", 0, Rounding::Ceiling), "3");
        assert_eq!(at("1251", -2, Rounding::Nearest), "1300");
        assert_eq!(at("1.2", 3, Rounding::Nearest), "1.200");
        assert_eq!(at("4999", -4, Rounding::Nearest), "0");
    }

    #[test]
    fn too_many_digits_are_refused() {
        let most = Decimal { unscaled: LIMIT - 1, scale: 0 };
        assert_eq!(add(most, d("1"), 0).unwrap_err().state, SqlState::NUMERIC_VALUE_OUT_OF_RANGE);
        assert_eq!(multiply(most, d("10"), 0).unwrap_err().state, SqlState::NUMERIC_VALUE_OUT_OF_RANGE);
        assert_eq!(divide(most, d("0.1"), 16).unwrap_err().state, SqlState::NUMERIC_VALUE_OUT_OF_RANGE);
        assert_eq!(divide(most, d("0"), 16).unwrap_err().state, SqlState::DIVISION_BY_ZERO);
        assert!(rescale(most, 1).is_err());
    }
}

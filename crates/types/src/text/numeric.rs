//! `numeric`: decimal digits in, decimal digits out, rounded half away from zero to the scale asked for.

use super::{invalid_syntax, put, put_digits, trim};
use crate::datum::Decimal;
use crate::error::{SqlError, SqlState};

/// Digits a [`Decimal`] has room for.
const DIGITS_MAX: i64 = 38;

/// Digits before and after the point that PostgreSQL's own format has room for, so that its error is given for more.
const WHOLE_DIGITS_MAX: i64 = 131_072;
const SCALE_MAX: i64 = 16_383;

/// A number as written: its digits (without the point) and where the point is.
struct Written<'a> {
    negative: bool,
    /// Digits before and after the point.
    parts: [&'a [u8]; 2],
    /// Places the point moves to the right.
    exponent: i64,
}

/// The `numeric(precision, scale)` that `s` means. Errors: 22P02, 22003.
pub(crate) fn parse(s: &str, precision: u8, scale: u8) -> Result<Decimal, SqlError> {
    if let Some(plain) = plain(s.as_bytes()) {
        return fit(plain, precision, scale);
    }
    let written = match read(s)? {
        Read::Number(written) => written,
        Read::NaN => return Err(no_nan()),
        Read::Infinity => return Err(infinite(precision, scale)),
    };
    let unscaled = written.round(scale.into()).ok_or_else(|| too_large(precision, scale))?;
    fit(Decimal { unscaled, scale }, precision, scale)
}

/// The short path: a sign, up to 18 digits with a point among them, and nothing else. `None` for any other text, right or wrong.
fn plain(s: &[u8]) -> Option<Decimal> {
    let (negative, digits) = match s {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    if digits.len() > 18 {
        return None;
    }
    let (mut unscaled, mut point) = (0i64, None);
    for (at, b) in digits.iter().enumerate() {
        match b {
            b'0'..=b'9' => unscaled = unscaled * 10 + i64::from(b - b'0'),
            b'.' if point.is_none() => point = Some(at),
            _ => return None,
        }
    }
    if digits.len() == usize::from(point.is_some()) {
        return None;
    }
    let scale = point.map_or(0, |at| digits.len() - 1 - at) as u8;
    Some(Decimal { unscaled: i128::from(if negative { -unscaled } else { unscaled }), scale })
}

/// The number that `s` means with as many digits after the point as are written, at most 38 in all (digits after the point that do
/// not fit are rounded). For literals, whose type follows from what is written. Errors: 22P02, 22003.
pub fn parse_any(s: &str) -> Result<Decimal, SqlError> {
    let written = match read(s)? {
        Read::Number(written) => written,
        Read::NaN => return Err(no_nan()),
        Read::Infinity => return Err(overflow()),
    };
    let most = DIGITS_MAX - written.digits_before_point().max(0);
    for scale in [written.scale().min(most), written.scale().min(most) - 1] {
        // The second try is for a rounding that carries into one more digit: 9.99..9 (39 digits) is 10.
        if let Ok(scale @ 0..=38) = u8::try_from(scale)
            && let Some(unscaled) = written.round(scale.into())
        {
            return Ok(Decimal { unscaled, scale });
        }
    }
    Err(overflow())
}

/// A number brought to `scale`, half away from zero, if it has at most `precision` digits then.
/// Errors: 22003 with PostgreSQL's detail.
pub fn fit(v: Decimal, precision: u8, scale: u8) -> Result<Decimal, SqlError> {
    let unscaled = rescale(v, scale).filter(|v| v.unsigned_abs() < power_of_ten(precision).unsigned_abs());
    unscaled.map(|unscaled| Decimal { unscaled, scale }).ok_or_else(|| too_large(precision, scale))
}

/// 10 to the power `n`, which is at most 38.
fn power_of_ten(n: u8) -> i128 {
    const POWERS: [i128; 39] = {
        let mut powers = [1; 39];
        let mut n = 1;
        while n < 39 {
            powers[n] = powers[n - 1] * 10;
            n += 1;
        }
        powers
    };
    POWERS[usize::from(n)]
}

fn rescale(v: Decimal, scale: u8) -> Option<i128> {
    if scale == v.scale {
        return Some(v.unscaled);
    }
    if scale > v.scale {
        return v.unscaled.checked_mul(power_of_ten(scale - v.scale));
    }
    let factor = power_of_ten(v.scale - scale);
    let (quotient, rest) = (v.unscaled / factor, v.unscaled % factor);
    let away = if rest.unsigned_abs() >= factor.unsigned_abs().div_ceil(2) { v.unscaled.signum() } else { 0 };
    Some(quotient + away)
}

/// Appends the digits, as many after the point as the scale says.
pub(super) fn format(v: Decimal, out: &mut Vec<u8>) {
    if v.unscaled < 0 {
        out.push(b'-');
    }
    let magnitude = v.unscaled.unsigned_abs();
    let scale = usize::from(v.scale);
    if let (Ok(small), 0..=18) = (u64::try_from(magnitude), scale) {
        let unit = 10u64.pow(v.scale.into());
        put_digits(small / unit, 1, out);
        if scale > 0 {
            out.push(b'.');
            put_digits(small % unit, scale, out);
        }
        return;
    }
    let unit = 10u128.pow(v.scale.into());
    put(out, format_args!("{}", magnitude / unit));
    if scale > 0 {
        put(out, format_args!(".{:0scale$}", magnitude % unit));
    }
}

enum Read<'a> {
    Number(Written<'a>),
    NaN,
    Infinity,
}

fn read(s: &str) -> Result<Read<'_>, SqlError> {
    let invalid = || invalid_syntax("numeric", s);
    let text = trim(s).as_bytes();
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if text.eq_ignore_ascii_case(b"nan") {
        return Ok(Read::NaN);
    }
    if rest.eq_ignore_ascii_case(b"infinity") || rest.eq_ignore_ascii_case(b"inf") {
        return Ok(Read::Infinity);
    }
    let digits = |text: &[u8]| text.iter().take_while(|b| b.is_ascii_digit()).count();
    let (before, rest) = rest.split_at(digits(rest));
    let (after, rest) = match rest {
        [b'.', rest @ ..] => rest.split_at(digits(rest)),
        rest => (&rest[..0], rest),
    };
    if before.is_empty() && after.is_empty() {
        return Err(invalid());
    }
    let exponent = match rest {
        [] => 0,
        [b'e' | b'E', rest @ ..] => {
            // Blanks may stand here, because C's strtol skips them.
            let rest = rest.trim_ascii_start();
            let (negative, rest) = match rest {
                [b'-', rest @ ..] => (true, rest),
                [b'+', rest @ ..] => (false, rest),
                rest => (false, rest),
            };
            if rest.is_empty() || !rest.iter().all(u8::is_ascii_digit) {
                return Err(invalid());
            }
            let size = rest.iter().fold(0i64, |sum, b| sum.saturating_mul(10).saturating_add(i64::from(b - b'0')));
            if size >= i64::from(i32::MAX / 2) {
                return Err(overflow());
            }
            if negative { -size } else { size }
        }
        _ => return Err(invalid()),
    };
    let written = Written { negative, parts: [before, after], exponent };
    if written.digits_before_point() > WHOLE_DIGITS_MAX || written.scale() > SCALE_MAX {
        return Err(overflow());
    }
    Ok(Read::Number(written))
}

impl Written<'_> {
    fn digits(&self) -> impl Iterator<Item = u8> + '_ {
        self.parts.into_iter().flatten().map(|b| b - b'0')
    }

    /// Digits before the point once the exponent is applied, not counting leading zeros; not positive for a number below 0.1.
    fn digits_before_point(&self) -> i64 {
        let zeros = self.digits().take_while(|digit| *digit == 0).count();
        if zeros == self.parts[0].len() + self.parts[1].len() {
            return 0;
        }
        self.parts[0].len() as i64 + self.exponent - zeros as i64
    }

    /// Digits after the point once the exponent is applied.
    fn scale(&self) -> i64 {
        (self.parts[1].len() as i64 - self.exponent).max(0)
    }

    /// The number times 10^scale, half away from zero; `None` if that has more than 38 digits.
    fn round(&self, scale: i64) -> Option<i128> {
        if self.digits_before_point() + scale > DIGITS_MAX {
            return None;
        }
        let keep = self.parts[0].len() as i64 + self.exponent + scale;
        if keep < 0 {
            return Some(0);
        }
        let mut digits = self.digits();
        let mut value = 0i128;
        let mut taken = 0;
        for digit in digits.by_ref().take(keep as usize) {
            value = value * 10 + i128::from(digit);
            taken += 1;
        }
        if value != 0 {
            value *= 10i128.pow(u32::try_from(keep - taken).ok()?);
        }
        if digits.next().is_some_and(|digit| digit >= 5) {
            value += 1;
        }
        (value < 10i128.pow(38)).then_some(if self.negative { -value } else { value })
    }
}

/// The error for NaN, which PostgreSQL's numeric has.
pub(crate) fn no_nan() -> SqlError {
    SqlError::unsupported("numeric NaN is not supported").hint("Use double precision for it.")
}

/// The error for a number that no numeric here has room for.
pub(crate) fn overflow() -> SqlError {
    SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format")
}

/// The error for an infinity.
pub(crate) fn infinite(precision: u8, scale: u8) -> SqlError {
    field_overflow().detail(format!("A field with precision {precision}, scale {scale} cannot hold an infinite value."))
}

fn field_overflow() -> SqlError {
    SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow")
}

fn too_large(precision: u8, scale: u8) -> SqlError {
    let bound = match precision - scale {
        0 => "1".to_owned(),
        digits => format!("10^{digits}"),
    };
    field_overflow()
        .detail(format!("A field with precision {precision}, scale {scale} must round to an absolute value less than {bound}."))
}

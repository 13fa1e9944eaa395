//! `real` and `double precision`: any decimal number in, the fewest digits that read back as the same value out.
//!
//! ```text
//! exponent of ten of the first digit   -4 ..= 14 (double), -4 ..= 5 (real)    plain: 0.0001, 123456789012345
//!                                      beyond                                 1e-05, 1.5e+15, 1e+100
//! ```

use std::str::FromStr;

use super::{invalid_syntax, put, trim};
use crate::error::{SqlError, SqlState};

/// The double that `s` means. Errors: 22P02; 22003 for a number whose nearest double is infinite or, without being 0, is 0.
pub(super) fn parse_f64(s: &str) -> Result<f64, SqlError> {
    parse(s, "double precision", |v: f64| v.is_infinite(), |v| v == 0.0)
}

/// The real that `s` means. Errors as [`parse_f64`].
pub(super) fn parse_f32(s: &str) -> Result<f32, SqlError> {
    parse(s, "real", |v: f32| v.is_infinite(), |v| v == 0.0)
}

fn parse<T: FromStr + std::ops::Neg<Output = T> + Copy>(
    s: &str,
    name: &str,
    is_infinite: impl Fn(T) -> bool,
    is_zero: impl Fn(T) -> bool,
) -> Result<T, SqlError> {
    let text = trim(s);
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let word = ["infinity", "inf", "nan"].iter().any(|word| unsigned.eq_ignore_ascii_case(word));
    let numeral = || unsigned.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    if !word && !numeral() {
        return Err(invalid_syntax(name, s));
    }
    let value: T = text.parse().map_err(|_| invalid_syntax(name, s))?;
    let mantissa = || unsigned.split(['e', 'E']).next().unwrap_or_default();
    if !word && (is_infinite(value) || is_zero(value) && mantissa().bytes().any(|b| matches!(b, b'1'..=b'9'))) {
        return Err(SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("\"{text}\" is out of range for type {name}")));
    }
    Ok(value)
}

/// Appends the shortest digits of a double.
pub(super) fn format_f64(v: f64, out: &mut Vec<u8>) {
    if special(v, out) {
        return;
    }
    let shortest = format!("{v:e}");
    // Two decimals can be equally near only if one more digit writes v exactly: it is short in binary, and those are all of its
    // digits. A decimal of few digits can lie in the middle of two doubles only where they are whole numbers, or nearly.
    let may_tie = (v * 2f64.powi(18)).fract() == 0.0 && digits(&shortest) >= 16;
    let may_be_middle = (2f64.powi(49)..2f64.powi(140)).contains(&v.abs());
    let shortest = match may_tie || may_be_middle {
        true => strict(shortest, |text| text.parse() == Ok(v), |digits| format!("{v:.digits$e}")),
        false => shortest,
    };
    layout(&shortest, 15, out);
}

/// Appends the shortest digits of a real.
pub(super) fn format_f32(v: f32, out: &mut Vec<u8>) {
    if special(v.into(), out) {
        return;
    }
    let shortest = format!("{v:e}");
    let may_tie = (v * 2f32.powi(10)).fract() == 0.0 && digits(&shortest) >= 7;
    let may_be_middle = (2f32.powi(20)..2f32.powi(70)).contains(&v.abs());
    let shortest = match may_tie || may_be_middle {
        true => strict(shortest, |text| text.parse() == Ok(v), |digits| format!("{v:.digits$e}")),
        false => shortest,
    };
    layout(&shortest, 6, out);
}

/// Digits of a number written as `1.25e-7`.
fn digits(scientific: &str) -> usize {
    scientific.bytes().take_while(|b| *b != b'e').filter(u8::is_ascii_digit).count()
}

/// The shortest digits as PostgreSQL chooses them where Rust may choose others:
///
/// 1. of two decimals equally near, the one whose last digit is even;
/// 2. never one in the middle of two floats: that it reads back relies on a reader that rounds ties to even, and PostgreSQL does
///    not trust its readers with that.
fn strict(shortest: String, reads_back: impl Fn(&str) -> bool, with_fraction: impl Fn(usize) -> String) -> String {
    // Nothing but a middle stops reading back when moved by the least bit away from zero or towards it.
    let is_middle = |text: &str| {
        let (mantissa, exponent) = text.split_once('e').expect("Rust writes an exponent");
        let point = if mantissa.contains('.') { "" } else { "." };
        let away = format!("{mantissa}{point}{}1e{exponent}", "0".repeat(30));
        let Some(last) = mantissa.rfind(|c: char| matches!(c, '1'..='9')) else { return false };
        let digit = char::from(mantissa.as_bytes()[last] - 1);
        let rest = mantissa[last + 1..].replace('0', "9");
        let towards = format!("{}{digit}{rest}{point}{}e{exponent}", &mantissa[..last], "9".repeat(30));
        !reads_back(&away) || !reads_back(&towards)
    };
    let fraction = digits(&shortest) - 1;
    let is_good = |text: &String| reads_back(text) && !is_middle(text);
    let nearest = with_fraction(fraction);
    if is_good(&nearest) {
        return nearest;
    }
    if is_good(&shortest) {
        return shortest;
    }
    (fraction + 1..17).map(with_fraction).find(is_good).unwrap_or(shortest)
}

fn special(v: f64, out: &mut Vec<u8>) -> bool {
    if v.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if v.is_infinite() {
        out.extend_from_slice(if v < 0.0 { b"-Infinity" } else { b"Infinity" });
    } else {
        return false;
    }
    true
}

/// Appends a number written as `1.25e-7` the way PostgreSQL does; plain up to `plain_digits` digits before the point.
fn layout(scientific: &str, plain_digits: i32, out: &mut Vec<u8>) {
    let (mantissa, exponent) = scientific.split_once('e').expect("Rust writes an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent is a small integer");
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    out.extend_from_slice(sign.as_bytes());
    let digits = || mantissa.bytes().filter(|b| *b != b'.');
    if !(-4..plain_digits).contains(&exponent) {
        out.extend_from_slice(mantissa.as_bytes());
        put(out, format_args!("e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.unsigned_abs()));
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', (-exponent - 1) as usize));
        out.extend(digits());
    } else {
        let before = exponent as usize + 1;
        out.extend(digits().chain(std::iter::repeat(b'0')).take(before));
        if digits().count() > before {
            out.push(b'.');
            out.extend(digits().skip(before));
        }
    }
}

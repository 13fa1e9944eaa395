//! Values in PostgreSQL's text form: what a literal says, what COPY and the wire carry.
//!
//! 1. `parse(t, format(v))` is `v` for every value of type `t`.
//! 2. What is written is what PostgreSQL 15 writes with `DateStyle = ISO, MDY`, `IntervalStyle = postgres`,
//!    `bytea_output = hex` and `extra_float_digits = 1`.
//! 3. What is read is what PostgreSQL reads; what it refuses is refused with its SQLSTATE and message. Exceptions, because the
//!    values have no room here: `NaN` and more than 38 digits in `numeric`, timestamps after 294247-01-10, time parts of
//!    intervals beyond 292 years.
//!
//! `numeric`, `float`, `bytes` (bytea, uuid), `datetime` and `interval` hold one type's rules each.
//! Not here: quoting and escapes of COPY (`sql`), the binary form ([`crate::binary`]).
//! Source: the `*_in` and `*_out` functions of PostgreSQL 15; `scripts/oracle/value_forms.py` compares with a running one.

use std::borrow::Cow;
use std::io::Write;

use jiff::tz::TimeZone;

use crate::datum::{Datum, DatumRef};
use crate::error::{SqlError, SqlState};
use crate::sql_type::SqlType;

mod bytes;
mod datetime;
mod float;
mod interval;
pub(crate) mod numeric;

pub use numeric::{fit as fit_numeric, parse_any as parse_decimal};

/// What the meaning of a date or time depends on beside its text.
#[derive(Clone, Debug)]
pub struct Session {
    /// The zone of a `timestamptz` that names none.
    pub zone: TimeZone,
    /// The start of the transaction in microseconds since 1970-01-01 UTC: what `now`, `today`, `tomorrow` and `yesterday` refer to.
    /// `None` where there is no clock; those words are then refused with 0A000.
    pub now: Option<i64>,
}

impl Session {
    /// UTC, without a clock.
    pub const UTC: Session = Session { zone: TimeZone::UTC, now: None };
}

impl Default for Session {
    fn default() -> Session {
        Session::UTC
    }
}

/// The value of type `t` that `s` means, in a session in UTC without a clock.
///
/// A `numeric(p,s)` is rounded to its scale, a `char(n)` padded to its length. Errors are PostgreSQL's: 22P02 and 22007 for text
/// that is no such value, 22003 and 22008 for one out of range, 22001 for a string too long, 22021 for a zero byte in a string.
pub fn parse(t: SqlType, s: &str) -> Result<Datum, SqlError> {
    static UTC: Session = Session::UTC;
    parse_in(t, s, &UTC)
}

/// As [`parse`], in a session with a zone and a clock.
pub fn parse_in(t: SqlType, s: &str, session: &Session) -> Result<Datum, SqlError> {
    Ok(match t {
        SqlType::Bool => Datum::Bool(parse_bool(s)?),
        SqlType::Int2 => Datum::Int2(parse_int(t, s)?),
        SqlType::Int4 => Datum::Int4(parse_int(t, s)?),
        SqlType::Int8 => Datum::Int8(parse_int(t, s)?),
        SqlType::Float4 => Datum::Float4(float::parse_f32(s)?),
        SqlType::Float8 => Datum::Float8(float::parse_f64(s)?),
        SqlType::Numeric { precision, scale } => Datum::Numeric(numeric::parse(s, precision, scale)?),
        SqlType::Text => Datum::Text(no_zero_byte(s)?.into()),
        SqlType::Varchar(_) | SqlType::Char(_) => Datum::Text(fit_string(t, no_zero_byte(s)?)?.into()),
        SqlType::Bytea => Datum::Bytea(bytes::parse_bytea(s)?.into()),
        SqlType::Date => Datum::Date(datetime::parse_date(s, session)?),
        SqlType::Time => Datum::Time(datetime::parse_time(s, session)?),
        SqlType::Timestamp => Datum::Timestamp(datetime::parse_timestamp(s, session)?),
        SqlType::TimestampTz => Datum::TimestampTz(datetime::parse_timestamptz(s, session)?),
        SqlType::Interval => Datum::Interval(interval::parse(s)?),
        SqlType::Uuid => Datum::Uuid(bytes::parse_uuid(s)?),
    })
}

/// Appends the text of a value, a `timestamptz` in UTC. NULL has no text: nothing is appended.
pub fn format(v: DatumRef<'_>, out: &mut Vec<u8>) {
    format_in(v, &TimeZone::UTC, out);
}

/// As [`format()`], a `timestamptz` with the zone's clock and its offset.
pub fn format_in(v: DatumRef<'_>, zone: &TimeZone, out: &mut Vec<u8>) {
    match v {
        DatumRef::Null => {}
        DatumRef::Bool(v) => out.push(if v { b't' } else { b'f' }),
        DatumRef::Int2(v) => put_integer(v.into(), out),
        DatumRef::Int4(v) => put_integer(v.into(), out),
        DatumRef::Int8(v) => put_integer(v, out),
        DatumRef::Float4(v) => float::format_f32(v, out),
        DatumRef::Float8(v) => float::format_f64(v, out),
        DatumRef::Numeric(v) => numeric::format(v, out),
        DatumRef::Text(v) => out.extend_from_slice(v.as_bytes()),
        DatumRef::Bytea(v) => bytes::format_bytea(v, out),
        DatumRef::Date(v) => datetime::format_date(v, out),
        DatumRef::Time(v) => datetime::format_time(v, out),
        DatumRef::Timestamp(v) => datetime::format_timestamp(v, out),
        DatumRef::TimestampTz(v) => datetime::format_timestamptz(v, zone, out),
        DatumRef::Interval(v) => interval::format(v, out),
        DatumRef::Uuid(v) => bytes::format_uuid(v, out),
    }
}

/// The text of a value as a string; empty for NULL.
pub fn to_string(v: DatumRef<'_>) -> String {
    let mut out = Vec::new();
    format(v, &mut out);
    String::from_utf8(out).expect("text forms are UTF-8")
}

/// A string as a value of `varchar(n)` or `char(n)`: blanks beyond n are cut, `char(n)` is padded. Other types leave it as it is.
/// Errors: 22001 if anything but blanks is beyond n.
pub fn fit_string(t: SqlType, s: &str) -> Result<Cow<'_, str>, SqlError> {
    let (SqlType::Varchar(n) | SqlType::Char(n @ 1..)) = t else { return Ok(Cow::Borrowed(s)) };
    let n = n as usize;
    // Fewer bytes than characters allowed cannot be too many characters.
    let end = if s.len() <= n { None } else { s.char_indices().nth(n).map(|(at, _)| at) };
    if let Some(end) = end {
        if s[end..].bytes().any(|b| b != b' ') {
            return Err(SqlError::new(SqlState::STRING_DATA_RIGHT_TRUNCATION, format!("value too long for type {t}")));
        }
        return Ok(Cow::Borrowed(&s[..end]));
    }
    let missing = if matches!(t, SqlType::Char(_)) { n - s.chars().count() } else { 0 };
    if missing == 0 {
        return Ok(Cow::Borrowed(s));
    }
    let mut padded = String::with_capacity(s.len() + missing);
    padded.push_str(s);
    padded.extend(std::iter::repeat_n(' ', missing));
    Ok(Cow::Owned(padded))
}

/// Refuses U+0000, which PostgreSQL's strings cannot hold. Errors: 22021.
pub fn no_zero_byte(s: &str) -> Result<&str, SqlError> {
    match memchr::memchr(0, s.as_bytes()) {
        None => Ok(s),
        Some(_) => Err(SqlError::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, "invalid byte sequence for encoding \"UTF8\": 0x00")),
    }
}

fn parse_bool(s: &str) -> Result<bool, SqlError> {
    let word = trim(s);
    // A word may be cut short as long as it says which one it is.
    let is = |full: &str, least: usize| {
        (least..=full.len()).contains(&word.len()) && full.as_bytes()[..word.len()].eq_ignore_ascii_case(word.as_bytes())
    };
    if is("true", 1) || is("yes", 1) || is("on", 2) || word == "1" {
        Ok(true)
    } else if is("false", 1) || is("no", 1) || is("off", 2) || word == "0" {
        Ok(false)
    } else {
        Err(invalid_syntax("boolean", s))
    }
}

fn parse_int<T: TryFrom<i64>>(t: SqlType, s: &str) -> Result<T, SqlError> {
    // The usual case: digits that cannot overflow.
    if (1..=18).contains(&s.len()) {
        let plain = s.bytes().try_fold(0i64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')));
        if let Some(value) = plain.and_then(|v| T::try_from(v).ok()) {
            return Ok(value);
        }
    }
    let digits = trim(s).as_bytes();
    let (negative, digits) = match digits {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(invalid_syntax(t, s));
    }
    let value = digits.iter().try_fold(0i64, |sum, digit| {
        // Downwards, because the least integer has no positive counterpart.
        sum.checked_mul(10)?.checked_sub(i64::from(digit - b'0'))
    });
    value
        .and_then(|v| if negative { Some(v) } else { v.checked_neg() })
        .and_then(|v| T::try_from(v).ok())
        .ok_or_else(|| SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("value \"{s}\" is out of range for type {t}")))
}

/// Without the blanks that C's `isspace` knows, at both ends.
fn trim(s: &str) -> &str {
    s.trim_matches(is_space)
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0B' | '\x0C')
}

fn invalid_syntax(t: impl std::fmt::Display, s: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("invalid input syntax for type {t}: \"{s}\""))
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to memory does not fail");
}

fn put_integer(v: i64, out: &mut Vec<u8>) {
    if v < 0 {
        out.push(b'-');
    }
    put_digits(v.unsigned_abs(), 1, out);
}

/// Appends the digits of a number, with zeros before it up to `width` digits. Several times as fast as formatting.
fn put_digits(v: u64, width: usize, out: &mut Vec<u8>) {
    const DIGITS_MAX: usize = 20;
    let mut digits = [b'0'; DIGITS_MAX];
    let (mut rest, mut first) = (v, DIGITS_MAX);
    while rest > 0 {
        first -= 1;
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits[first.min(DIGITS_MAX - width)..]);
}

#[cfg(test)]
mod tests;

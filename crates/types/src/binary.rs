//! Values in PostgreSQL's binary form: what parameters and results carry in format 1.
//!
//! ```text
//! boolean          1 byte                      text, varchar, char, bytea   the bytes
//! integers, floats big-endian                  uuid                         16 bytes
//! date             i32 days of 2000-01-01      time                         i64 microseconds
//! timestamp(tz)    i64 microseconds of 2000    interval                     i64 microseconds, i32 days, i32 months
//! numeric          | u16 digits | i16 weight | u16 sign (0000, 4000 = -, C000 = NaN) | u16 scale | u16 digit of base 10,000 ... |
//!                  value = sum of digit[i] * 10,000^(weight - i)
//! ```
//!
//! 1. `parse(t, format(v, t))` is `v` for every value of type `t`.
//! 2. The greatest and the least integer of a date or timestamp are its infinities, here and in PostgreSQL.
//!
//! Not here: the text form ([`crate::text`]), framing (`server`). Source: the `*_recv` and `*_send` functions of PostgreSQL 15.

use std::cmp::Ordering;
use std::fmt::Write;

use crate::calendar::{self, DATE_INFINITY, DATE_MAX, DATE_MIN, DATE_NEG_INFINITY, DAY, DAYS_TO_2000, MICROS_TO_2000};
use crate::datum::{Datum, DatumRef, Decimal, Interval};
use crate::error::{SqlError, SqlState};
use crate::float::{one_nan_f32, one_nan_f64};
use crate::sql_type::SqlType;
use crate::text::{self, fit_string, no_zero_byte, numeric};

const NUMERIC_NEGATIVE: u16 = 0x4000;
const NUMERIC_NAN: u16 = 0xC000;
const NUMERIC_INFINITY: u16 = 0xD000;
const NUMERIC_NEG_INFINITY: u16 = 0xF000;
/// Bits of a scale that mean something.
const NUMERIC_SCALE_MAX: u16 = 0x3FFF;
/// Where the point is among the groups of a number being written: more than 38 digits are on neither side.
const POINT: usize = 11;

const TOO_SHORT: &str = "insufficient data left in message";
const TOO_LONG: &str = "incorrect binary data format";

/// The value of type `t` in these bytes. Errors: 22P03 for bytes that are no such value, 22003 and 22008 for one out of range,
/// 22001 for a string too long, 22021 for one that is not UTF-8.
pub fn parse(t: SqlType, bytes: &[u8]) -> Result<Datum, SqlError> {
    Ok(match t {
        SqlType::Bool => Datum::Bool(take::<1>(bytes)?[0] != 0),
        SqlType::Int2 => Datum::Int2(i16::from_be_bytes(take(bytes)?)),
        SqlType::Int4 => Datum::Int4(i32::from_be_bytes(take(bytes)?)),
        SqlType::Int8 => Datum::Int8(i64::from_be_bytes(take(bytes)?)),
        SqlType::Float4 => Datum::Float4(one_nan_f32(f32::from_be_bytes(take(bytes)?))),
        SqlType::Float8 => Datum::Float8(one_nan_f64(f64::from_be_bytes(take(bytes)?))),
        SqlType::Numeric { precision, scale } => Datum::Numeric(parse_numeric(bytes, precision, scale)?),
        SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_) => Datum::Text(fit_string(t, utf8(bytes)?)?.into()),
        SqlType::Bytea => Datum::Bytea(bytes.into()),
        SqlType::Date => Datum::Date(parse_date(i32::from_be_bytes(take(bytes)?))?),
        SqlType::Time => match i64::from_be_bytes(take(bytes)?) {
            time @ 0..=DAY => Datum::Time(time),
            _ => return Err(out_of_range("time")),
        },
        SqlType::Timestamp => Datum::Timestamp(parse_timestamp(i64::from_be_bytes(take(bytes)?))?),
        SqlType::TimestampTz => Datum::TimestampTz(parse_timestamp(i64::from_be_bytes(take(bytes)?))?),
        SqlType::Interval => {
            let all: [u8; 16] = take(bytes)?;
            Datum::Interval(Interval::new(
                i32::from_be_bytes(take(&all[12..])?),
                i32::from_be_bytes(take(&all[8..12])?),
                i64::from_be_bytes(take(&all[..8])?),
            )?)
        }
        SqlType::Uuid => Datum::Uuid(take(bytes)?),
    })
}

/// Appends the bytes of a value of type `t`. NULL has none: nothing is appended. A value of another type is a bug of the
/// caller and panics in a debug build; its own type's bytes are written otherwise.
pub fn format(v: DatumRef<'_>, t: SqlType, out: &mut Vec<u8>) {
    debug_assert!(is_of(v, t), "{v:?} is no value of type {t}");
    match v {
        DatumRef::Null => {}
        DatumRef::Bool(v) => out.push(v.into()),
        DatumRef::Int2(v) => out.extend_from_slice(&v.to_be_bytes()),
        DatumRef::Int4(v) => out.extend_from_slice(&v.to_be_bytes()),
        DatumRef::Int8(v) | DatumRef::Time(v) => out.extend_from_slice(&v.to_be_bytes()),
        DatumRef::Float4(v) => out.extend_from_slice(&v.to_be_bytes()),
        DatumRef::Float8(v) => out.extend_from_slice(&v.to_be_bytes()),
        DatumRef::Numeric(v) => format_numeric(v, out),
        DatumRef::Text(v) => out.extend_from_slice(v.as_bytes()),
        DatumRef::Bytea(v) => out.extend_from_slice(v),
        DatumRef::Date(v) => {
            let days = if calendar::is_infinite_date(v) { v } else { v.saturating_sub(DAYS_TO_2000) };
            out.extend_from_slice(&days.to_be_bytes());
        }
        DatumRef::Timestamp(v) | DatumRef::TimestampTz(v) => {
            let micros = if calendar::is_infinite_timestamp(v) { v } else { v.saturating_sub(MICROS_TO_2000) };
            out.extend_from_slice(&micros.to_be_bytes());
        }
        DatumRef::Interval(v) => {
            out.extend_from_slice(&v.micros.to_be_bytes());
            out.extend_from_slice(&v.days.to_be_bytes());
            out.extend_from_slice(&v.months.to_be_bytes());
        }
        DatumRef::Uuid(v) => out.extend_from_slice(&v),
    }
}

fn is_of(v: DatumRef<'_>, t: SqlType) -> bool {
    match v {
        DatumRef::Null => true,
        DatumRef::Bool(_) => t == SqlType::Bool,
        DatumRef::Int2(_) => t == SqlType::Int2,
        DatumRef::Int4(_) => t == SqlType::Int4,
        DatumRef::Int8(_) => t == SqlType::Int8,
        DatumRef::Float4(_) => t == SqlType::Float4,
        DatumRef::Float8(_) => t == SqlType::Float8,
        DatumRef::Numeric(_) => matches!(t, SqlType::Numeric { .. }),
        DatumRef::Text(_) => t.is_string(),
        DatumRef::Bytea(_) => t == SqlType::Bytea,
        DatumRef::Date(_) => t == SqlType::Date,
        DatumRef::Time(_) => t == SqlType::Time,
        DatumRef::Timestamp(_) => t == SqlType::Timestamp,
        DatumRef::TimestampTz(_) => t == SqlType::TimestampTz,
        DatumRef::Interval(_) => t == SqlType::Interval,
        DatumRef::Uuid(_) => t == SqlType::Uuid,
    }
}

fn malformed(message: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_BINARY_REPRESENTATION, message)
}

fn out_of_range(what: &str) -> SqlError {
    SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("{what} out of range"))
}

fn take<const N: usize>(bytes: &[u8]) -> Result<[u8; N], SqlError> {
    bytes.try_into().map_err(|_| match bytes.len() {
        len if len < N => malformed(TOO_SHORT),
        _ => malformed(TOO_LONG),
    })
}

fn utf8(bytes: &[u8]) -> Result<&str, SqlError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => no_zero_byte(text),
        Err(error) => {
            let bad = &bytes[error.valid_up_to()..];
            let shown: Vec<String> =
                bad.iter().take(error.error_len().unwrap_or(bad.len())).map(|b| format!("0x{b:02x}")).collect();
            Err(SqlError::new(
                SqlState::CHARACTER_NOT_IN_REPERTOIRE,
                format!("invalid byte sequence for encoding \"UTF8\": {}", shown.join(" ")),
            ))
        }
    }
}

fn parse_date(days: i32) -> Result<i32, SqlError> {
    match days {
        DATE_INFINITY | DATE_NEG_INFINITY => Ok(days),
        _ => {
            days.checked_add(DAYS_TO_2000).filter(|days| (DATE_MIN..=DATE_MAX).contains(days)).ok_or_else(|| out_of_range("date"))
        }
    }
}

fn parse_timestamp(micros: i64) -> Result<i64, SqlError> {
    if calendar::is_infinite_timestamp(micros) {
        return Ok(micros);
    }
    micros
        .checked_add(MICROS_TO_2000)
        .filter(|micros| (calendar::TIMESTAMP_MIN..=calendar::TIMESTAMP_MAX).contains(micros))
        .ok_or_else(|| out_of_range("timestamp"))
}

/// The number in these bytes with the scale they say, for a parameter whose type follows from its value. Errors: as [`parse`].
pub fn parse_decimal(bytes: &[u8]) -> Result<Decimal, SqlError> {
    match digits_of(bytes)? {
        Digits::Finite(written) => text::parse_decimal(&written),
        Digits::NotANumber => Err(numeric::no_nan()),
        Digits::Infinite => Err(numeric::overflow()),
    }
}

fn parse_numeric(bytes: &[u8], precision: u8, scale: u8) -> Result<Decimal, SqlError> {
    match digits_of(bytes)? {
        Digits::Finite(written) => numeric::parse(&written, precision, scale),
        Digits::NotANumber => Err(numeric::no_nan()),
        Digits::Infinite => Err(numeric::infinite(precision, scale)),
    }
}

enum Digits {
    /// In decimal, cut off after as many digits as the scale says, as PostgreSQL does.
    Finite(String),
    NotANumber,
    Infinite,
}

fn digits_of(bytes: &[u8]) -> Result<Digits, SqlError> {
    let (head, groups) = bytes.split_at_checked(8).ok_or_else(|| malformed(TOO_SHORT))?;
    let word = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let (count, weight, sign, scale) = (usize::from(word(0)), word(2) as i16, word(4), word(6));
    match groups.len().cmp(&(count * 2)) {
        Ordering::Less => return Err(malformed(TOO_SHORT)),
        Ordering::Greater => return Err(malformed(TOO_LONG)),
        Ordering::Equal => {}
    }
    match sign {
        0 | NUMERIC_NEGATIVE => {}
        NUMERIC_NAN => return Ok(Digits::NotANumber),
        NUMERIC_INFINITY | NUMERIC_NEG_INFINITY => return Ok(Digits::Infinite),
        _ => return Err(malformed("invalid sign in external \"numeric\" value")),
    }
    if scale > NUMERIC_SCALE_MAX {
        return Err(malformed("invalid scale in external \"numeric\" value"));
    }
    let mut digits = String::with_capacity(count * 4);
    for group in groups.chunks_exact(2) {
        let group = u16::from_be_bytes([group[0], group[1]]);
        if group > 9999 {
            return Err(malformed("invalid digit in external \"numeric\" value"));
        }
        write!(digits, "{group:04}").expect("writing to memory does not fail");
    }
    let scale = usize::from(scale);
    // Where the point is among the digits; it may lie before or after all of them.
    let point = (i64::from(weight) + 1) * 4;
    let (before, after) = digits.split_at(point.clamp(0, digits.len() as i64) as usize);
    // Nothing is multiplied by nothing.
    let is_zero = digits.bytes().all(|digit| digit == b'0');
    let zeros_before = if is_zero { 0 } else { (point - digits.len() as i64).max(0) as usize };
    let zeros_after = ((-point).max(0) as usize).min(scale);
    let after = &after[..after.len().min(scale - zeros_after)];
    let padding = scale - zeros_after - after.len();
    let sign = if sign == NUMERIC_NEGATIVE { "-" } else { "" };
    let zeros = |count: usize| "0".repeat(count);
    Ok(Digits::Finite(format!("{sign}0{before}{}.{}{after}{}", zeros(zeros_before), zeros(zeros_after), zeros(padding))))
}

fn format_numeric(v: Decimal, out: &mut Vec<u8>) {
    // Groups of four digits begin at the point: those before it are cut from the right, those after it from the left.
    let unit = 10u128.pow(v.scale.into());
    let (mut whole, mut fraction) = (v.unscaled.unsigned_abs() / unit, v.unscaled.unsigned_abs() % unit);
    // 38 digits are 10 groups, cut at the point perhaps 11.
    let mut groups = [0u16; 2 * POINT];
    let mut first = POINT;
    while whole > 0 {
        first -= 1;
        groups[first] = (whole % 10_000) as u16;
        whole /= 10_000;
    }
    let mut end = POINT;
    let mut left = usize::from(v.scale);
    while fraction > 0 {
        let rest = 10u128.pow(left.saturating_sub(4) as u32);
        let missing = 10u128.pow(4usize.saturating_sub(left) as u32);
        groups[end] = (fraction / rest * missing) as u16;
        fraction %= rest;
        end += 1;
        left = left.saturating_sub(4);
    }
    while first < end && groups[first] == 0 {
        first += 1;
    }
    while end > first && groups[end - 1] == 0 {
        end -= 1;
    }
    let weight = if first == end { 0 } else { POINT as i16 - 1 - first as i16 };
    let sign = if v.unscaled < 0 { NUMERIC_NEGATIVE } else { 0 };
    for word in [(end - first) as u16, weight as u16, sign, u16::from(v.scale)] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    for group in &groups[first..end] {
        out.extend_from_slice(&group.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMERIC: SqlType = SqlType::Numeric { precision: 10, scale: 4 };

    fn numeric(words: &[u16]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn bytes_of_the_wrong_length_are_refused() {
        for t in [
            SqlType::Bool,
            SqlType::Int2,
            SqlType::Int4,
            SqlType::Int8,
            SqlType::Float4,
            SqlType::Float8,
            NUMERIC,
            SqlType::Date,
            SqlType::Time,
            SqlType::Timestamp,
            SqlType::TimestampTz,
            SqlType::Interval,
            SqlType::Uuid,
        ] {
            let right = usize::try_from(t.wire_len()).unwrap_or(8);
            assert!(parse(t, &vec![0; right]).is_ok(), "{t}");
            for len in (0..20).filter(|len| *len != right) {
                assert_eq!(parse(t, &vec![0; len]).unwrap_err().state, SqlState::INVALID_BINARY_REPRESENTATION, "{t} of {len}");
            }
        }
    }

    #[test]
    fn a_numeric_of_any_shape_is_read_or_refused() {
        let cases: [(&[u16], Result<i128, &[u8; 5]>); 14] = [
            (&[0, 0, 0, 0], Ok(0)),
            (&[1, 0, 0, 0, 12], Ok(120_000)),
            (&[1, 0, 0x4000, 2, 12], Ok(-120_000)),
            (&[1, 0xFFFF, 0, 4, 5000], Ok(5000)),
            (&[1, 0xFFFE, 0, 8, 5000], Ok(1)),
            (&[1, 0xFFFE, 0, 8, 4999], Ok(0)),
            (&[2, 0, 0, 2, 1, 5678], Ok(15_600)),
            (&[1, 1, 0, 0, 99], Ok(9_900_000_000)),
            (&[1, 1, 0, 0, 100], Err(b"22003")),
            (&[1, 0x7FFF, 0, 0, 1], Err(b"22003")),
            (&[1, 0, 0, 0, 10_000], Err(b"22P03")),
            (&[1, 0, 0x1234, 0, 1], Err(b"22P03")),
            (&[0, 0, 0xC000, 0], Err(b"0A000")),
            (&[0, 0, 0xD000, 0], Err(b"22003")),
        ];
        for (words, expected) in cases {
            let answer = parse(NUMERIC, &numeric(words)).map_err(|error| error.state.0);
            let expected = expected.map(|unscaled| Datum::Numeric(Decimal { unscaled, scale: 4 })).map_err(|state| *state);
            assert_eq!(answer, expected, "{words:?}");
        }
        assert_eq!(parse_decimal(&numeric(&[2, 0, 0, 3, 1, 5000])), Ok(Decimal { unscaled: 1500, scale: 3 }));
    }

    #[test]
    fn a_string_that_is_not_utf8_or_too_long_is_refused() {
        let state = |t, bytes: &[u8]| parse(t, bytes).unwrap_err().state;
        assert_eq!(state(SqlType::Text, b"a\xFF"), SqlState::CHARACTER_NOT_IN_REPERTOIRE);
        assert_eq!(state(SqlType::Text, b"a\0"), SqlState::CHARACTER_NOT_IN_REPERTOIRE);
        assert_eq!(state(SqlType::Varchar(1), b"ab"), SqlState::STRING_DATA_RIGHT_TRUNCATION);
        assert_eq!(parse(SqlType::Char(3), b"a"), Ok(Datum::Text("a  ".into())));
        let message = parse(SqlType::Text, b"\xE4\xBD").unwrap_err().message;
        assert_eq!(message, "invalid byte sequence for encoding \"UTF8\": 0xe4 0xbd");
    }

    #[test]
    fn moments_out_of_range_are_refused() {
        for (t, bytes) in [
            (SqlType::Date, (i32::MAX - 1).to_be_bytes().to_vec()),
            (SqlType::Date, (DATE_MIN - DAYS_TO_2000 - 1).to_be_bytes().to_vec()),
            (SqlType::Time, (DAY + 1).to_be_bytes().to_vec()),
            (SqlType::Time, (-1i64).to_be_bytes().to_vec()),
            (SqlType::Timestamp, (i64::MAX - 1).to_be_bytes().to_vec()),
            (SqlType::TimestampTz, (i64::MIN + 1).to_be_bytes().to_vec()),
            (SqlType::Interval, [i64::MAX.to_be_bytes(), [0; 8]].concat()),
        ] {
            assert_eq!(parse(t, &bytes).unwrap_err().state, SqlState::DATETIME_FIELD_OVERFLOW, "{t} {bytes:?}");
        }
        assert_eq!(parse(SqlType::Date, &i32::MAX.to_be_bytes()), Ok(Datum::Date(DATE_INFINITY)));
    }
}

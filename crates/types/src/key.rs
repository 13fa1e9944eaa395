//! Values as bytes whose `memcmp` order is SQL's ascending order (the C collation for text, NULLS LAST).
//!
//! ```text
//! integers, dates, times   big-endian, sign bit flipped          numeric    the same of its unscaled value (8 or 16 bytes)
//! floats                   bits, all flipped if negative         text       bytes, 0x00 as 0x00 0xFF, ended by 0x00 0x00
//! NULL                     0x02; every other value has 0x01 before it, in a nullable column only
//! DESC, NULLS FIRST        the bytes of the value, not of its marker, flipped; NULL is 0x00
//! ```
//!
//! 1. Equal values give equal bytes (-0.0 is 0.0; every NaN is the greatest; 1 month is 30 days), so a key decides uniqueness.
//! 2. No encoding is a prefix of another of the same type, so keys of several columns compare column by column.
//!
//! Source: the memcomparable formats of MyRocks and CockroachDB; NULL order and float order are PostgreSQL's.

use std::borrow::Borrow;
use std::ops::Deref;

use crate::datum::{DatumRef, Interval};
use crate::sql_type::SqlType;

/// An encoded key. Compares as its values do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Key(pub Box<[u8]>);

/// Which way keys are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Least first.
    #[default]
    Forward,
    /// Greatest first.
    Backward,
}

impl Direction {
    /// Whether `a` comes before `b` in this direction.
    pub fn is_before(self, a: &[u8], b: &[u8]) -> bool {
        match self {
            Direction::Forward => a < b,
            Direction::Backward => a > b,
        }
    }
}

impl Deref for Key {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for Key {
    fn from(bytes: &[u8]) -> Key {
        Key(bytes.into())
    }
}

impl From<Vec<u8>> for Key {
    fn from(bytes: Vec<u8>) -> Key {
        Key(bytes.into_boxed_slice())
    }
}

/// How an index sorts one of its columns. A primary key's are all of the default: ascending, NULL last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyOrder {
    /// DESC.
    pub descending: bool,
    /// NULL sorts before every value, whatever the direction.
    pub nulls_first: bool,
}

/// Appends a value of a column in this order; `nullable` says whether the column can be NULL.
pub fn encode_ordered(value: DatumRef<'_>, column: SqlType, nullable: bool, order: KeyOrder, out: &mut Vec<u8>) {
    if nullable {
        if value.is_null() {
            return out.push(if order.nulls_first { 0 } else { 2 });
        }
        out.push(1);
    }
    let start = out.len();
    encode(value, column, out);
    if order.descending {
        out[start..].iter_mut().for_each(|byte| *byte = !*byte);
    }
}

/// Appends a value of a column that can be NULL.
pub fn encode_nullable(value: DatumRef<'_>, column: SqlType, out: &mut Vec<u8>) {
    if value.is_null() {
        out.push(2);
    } else {
        out.push(1);
        encode(value, column, out);
    }
}

/// Appends a value, not NULL, that has been coerced to `column`'s type. NULL or another type is a bug of the caller and panics.
pub fn encode(value: DatumRef<'_>, column: SqlType, out: &mut Vec<u8>) {
    match value {
        DatumRef::Null => panic!("a key column is not NULL"),
        DatumRef::Bool(v) => out.push(u8::from(v)),
        DatumRef::Int2(v) => out.extend_from_slice(&(v as u16 ^ 1 << 15).to_be_bytes()),
        DatumRef::Int4(v) | DatumRef::Date(v) => out.extend_from_slice(&(v as u32 ^ 1 << 31).to_be_bytes()),
        DatumRef::Int8(v) | DatumRef::Time(v) | DatumRef::Timestamp(v) | DatumRef::TimestampTz(v) => encode_i64(v, out),
        DatumRef::Float4(v) => {
            let bits = if v.is_nan() { f32::NAN.to_bits() & !(1 << 31) } else { (v + 0.0).to_bits() };
            let ordered = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
            out.extend_from_slice(&ordered.to_be_bytes());
        }
        DatumRef::Float8(v) => {
            let bits = if v.is_nan() { f64::NAN.to_bits() & !(1 << 63) } else { (v + 0.0).to_bits() };
            let ordered = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
            out.extend_from_slice(&ordered.to_be_bytes());
        }
        DatumRef::Numeric(v) => match column {
            SqlType::Numeric { precision, .. } if precision <= 18 => {
                encode_i64(i64::try_from(v.unscaled).expect("numeric was coerced to its precision"), out);
            }
            _ => encode_i128(v.unscaled, out),
        },
        DatumRef::Text(v) => encode_bytes(v.as_bytes(), out),
        DatumRef::Bytea(v) => encode_bytes(v, out),
        DatumRef::Interval(v) => encode_i128(interval_micros(v), out),
        DatumRef::Uuid(v) => out.extend_from_slice(&v),
    }
}

/// An interval as microseconds, with months of 30 days and days of 24 hours: PostgreSQL's order of intervals.
pub fn interval_micros(v: Interval) -> i128 {
    (i128::from(v.months) * 30 + i128::from(v.days)) * 86_400_000_000 + i128::from(v.micros)
}

fn encode_i64(v: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(&(v as u64 ^ 1 << 63).to_be_bytes());
}

fn encode_i128(v: i128, out: &mut Vec<u8>) {
    out.extend_from_slice(&(v as u128 ^ 1 << 127).to_be_bytes());
}

fn encode_bytes(v: &[u8], out: &mut Vec<u8>) {
    out.reserve(v.len() + 2);
    let mut rest = v;
    while let Some(zero) = memchr::memchr(0, rest) {
        out.extend_from_slice(&rest[..zero]);
        out.extend_from_slice(&[0, 0xFF]);
        rest = &rest[zero + 1..];
    }
    out.extend_from_slice(rest);
    out.extend_from_slice(&[0, 0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(value: DatumRef<'_>, t: SqlType) -> Vec<u8> {
        let mut out = Vec::new();
        encode_nullable(value, t, &mut out);
        out
    }

    #[test]
    fn bytes_are_in_sql_order() {
        let ascending: [(SqlType, Vec<DatumRef<'_>>); 5] = [
            (SqlType::Int4, [i32::MIN, -1, 0, 1, i32::MAX].map(DatumRef::Int4).into()),
            (SqlType::Int2, [i16::MIN, -1, 0, i16::MAX].map(DatumRef::Int2).into()),
            (
                SqlType::Float8,
                [f64::NEG_INFINITY, -1.0, -f64::MIN_POSITIVE, 0.0, 1e-300, 2.0, f64::INFINITY, f64::NAN]
                    .map(DatumRef::Float8)
                    .into(),
            ),
            (SqlType::Text, ["", "\0", "\0a", "\u{1}", "a", "a\0", "ab", "b", "ä"].map(DatumRef::Text).into()),
            (SqlType::Bool, [DatumRef::Bool(false), DatumRef::Bool(true), DatumRef::Null].into()),
        ];
        for (t, values) in ascending {
            for pair in values.windows(2) {
                assert!(key(pair[0], t) < key(pair[1], t), "{:?} < {:?}", pair[0], pair[1]);
            }
        }
    }

    #[test]
    fn a_descending_column_is_in_the_opposite_order_and_null_where_it_is_asked_for() {
        let values = [DatumRef::Text("b"), DatumRef::Text("ab"), DatumRef::Text("a\0"), DatumRef::Text("a"), DatumRef::Text("")];
        for nulls_first in [false, true] {
            let key = |value| {
                let mut out = Vec::new();
                encode_ordered(value, SqlType::Text, true, KeyOrder { descending: true, nulls_first }, &mut out);
                // What follows in the key must not matter.
                out.push(7);
                out
            };
            for pair in values.windows(2) {
                assert!(key(pair[0]) < key(pair[1]), "{:?} before {:?}", pair[0], pair[1]);
            }
            for value in values {
                assert_eq!(key(DatumRef::Null) < key(value), nulls_first);
            }
        }
    }

    #[test]
    fn equal_values_have_equal_keys() {
        assert_eq!(key(DatumRef::Float8(0.0), SqlType::Float8), key(DatumRef::Float8(-0.0), SqlType::Float8));
        assert_eq!(key(DatumRef::Float8(f64::NAN), SqlType::Float8), key(DatumRef::Float8(-f64::NAN), SqlType::Float8));
        let month = Interval { months: 1, ..Interval::default() };
        let days = Interval { days: 30, ..Interval::default() };
        assert_eq!(key(DatumRef::Interval(month), SqlType::Interval), key(DatumRef::Interval(days), SqlType::Interval));
    }

    #[test]
    fn no_key_of_two_columns_mixes_them() {
        let two = |a, b| [key(DatumRef::Text(a), SqlType::Text), key(DatumRef::Text(b), SqlType::Text)].concat();
        assert!(two("a", "b") < two("ab", ""));
        assert!(two("a", "\u{FF}") < two("a\0", ""));
    }
}

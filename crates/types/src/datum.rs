//! One SQL value, owned ([`Datum`]) or borrowed from a row image ([`DatumRef`]).

use crate::error::{SqlError, SqlState};

/// A decimal number: `unscaled / 10^scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decimal {
    /// The digits, without the point. |unscaled| < 10^38.
    pub unscaled: i128,
    /// Digits after the point, 0..=38.
    pub scale: u8,
}

/// An interval as PostgreSQL keeps it: the three parts do not mix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Interval {
    /// Months (years are 12 of them).
    pub months: i32,
    /// Days.
    pub days: i32,
    /// Microseconds, within [`Interval::MICROS_MAX`] either way.
    pub micros: i64,
}

impl Interval {
    /// The greatest time part, in microseconds either way: about 292 years. PostgreSQL's bound is a thousand times that; ours is
    /// what Arrow holds in nanoseconds.
    pub const MICROS_MAX: i64 = i64::MAX / 1000;

    /// An interval of these parts, if its time part is within [`Interval::MICROS_MAX`]. Errors: 22008.
    pub fn new(months: i32, days: i32, micros: i64) -> Result<Interval, SqlError> {
        if micros.unsigned_abs() > Interval::MICROS_MAX.unsigned_abs() {
            return Err(SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "interval out of range"));
        }
        Ok(Interval { months, days, micros })
    }
}

/// One SQL value. `Null` is a value of every type; the others are as [`crate::SqlType`] describes.
#[derive(Clone, Debug, PartialEq)]
pub enum Datum {
    /// SQL NULL.
    Null,
    /// `boolean`
    Bool(bool),
    /// `smallint`
    Int2(i16),
    /// `integer`
    Int4(i32),
    /// `bigint`
    Int8(i64),
    /// `real`
    Float4(f32),
    /// `double precision`
    Float8(f64),
    /// `numeric`
    Numeric(Decimal),
    /// `text`, `varchar(n)` and `char(n)` (the last padded to n)
    Text(Box<str>),
    /// `bytea`
    Bytea(Box<[u8]>),
    /// `date`, days since 1970-01-01
    Date(i32),
    /// `time`, microseconds since midnight
    Time(i64),
    /// `timestamp`, microseconds since 1970-01-01
    Timestamp(i64),
    /// `timestamptz`, microseconds since 1970-01-01 UTC
    TimestampTz(i64),
    /// `interval`
    Interval(Interval),
    /// `uuid`
    Uuid([u8; 16]),
}

/// A [`Datum`] whose bytes live elsewhere.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "variant for variant the same as Datum")]
pub enum DatumRef<'a> {
    Null,
    Bool(bool),
    Int2(i16),
    Int4(i32),
    Int8(i64),
    Float4(f32),
    Float8(f64),
    Numeric(Decimal),
    Text(&'a str),
    Bytea(&'a [u8]),
    Date(i32),
    Time(i64),
    Timestamp(i64),
    TimestampTz(i64),
    Interval(Interval),
    Uuid([u8; 16]),
}

impl Datum {
    /// True for NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Datum::Null)
    }

    /// The same value, borrowed.
    pub fn as_ref(&self) -> DatumRef<'_> {
        match self {
            Datum::Null => DatumRef::Null,
            Datum::Bool(v) => DatumRef::Bool(*v),
            Datum::Int2(v) => DatumRef::Int2(*v),
            Datum::Int4(v) => DatumRef::Int4(*v),
            Datum::Int8(v) => DatumRef::Int8(*v),
            Datum::Float4(v) => DatumRef::Float4(*v),
            Datum::Float8(v) => DatumRef::Float8(*v),
            Datum::Numeric(v) => DatumRef::Numeric(*v),
            Datum::Text(v) => DatumRef::Text(v),
            Datum::Bytea(v) => DatumRef::Bytea(v),
            Datum::Date(v) => DatumRef::Date(*v),
            Datum::Time(v) => DatumRef::Time(*v),
            Datum::Timestamp(v) => DatumRef::Timestamp(*v),
            Datum::TimestampTz(v) => DatumRef::TimestampTz(*v),
            Datum::Interval(v) => DatumRef::Interval(*v),
            Datum::Uuid(v) => DatumRef::Uuid(*v),
        }
    }
}

impl DatumRef<'_> {
    /// True for NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, DatumRef::Null)
    }

    /// The same value, owned.
    pub fn to_owned(self) -> Datum {
        match self {
            DatumRef::Null => Datum::Null,
            DatumRef::Bool(v) => Datum::Bool(v),
            DatumRef::Int2(v) => Datum::Int2(v),
            DatumRef::Int4(v) => Datum::Int4(v),
            DatumRef::Int8(v) => Datum::Int8(v),
            DatumRef::Float4(v) => Datum::Float4(v),
            DatumRef::Float8(v) => Datum::Float8(v),
            DatumRef::Numeric(v) => Datum::Numeric(v),
            DatumRef::Text(v) => Datum::Text(v.into()),
            DatumRef::Bytea(v) => Datum::Bytea(v.into()),
            DatumRef::Date(v) => Datum::Date(v),
            DatumRef::Time(v) => Datum::Time(v),
            DatumRef::Timestamp(v) => Datum::Timestamp(v),
            DatumRef::TimestampTz(v) => Datum::TimestampTz(v),
            DatumRef::Interval(v) => Datum::Interval(v),
            DatumRef::Uuid(v) => Datum::Uuid(v),
        }
    }
}

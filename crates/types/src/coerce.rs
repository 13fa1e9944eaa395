//! Assignment: a value of one type into a column of another, as PostgreSQL's assignment casts do it.
//!
//! ```text
//! from \ to     bool  int2-8  float4-8  numeric  strings  bytea  date  time  timestamp(tz)  interval  uuid
//! boolean        =                                  t
//! integers             22003     ~       22003      t
//! floats               even      ~       15/6       t
//! numeric              away      ~       away       t
//! strings       what their text means, for every type
//! bytea                                             t      =
//! date                                              t            =           midnight
//! time                                              t                  =                      =
//! timestamp                                         t           cut   cut    zone
//! interval                                          t                 cut                     =
//! uuid                                              t                                                   =
//! ```
//!
//! 1. NULL stays NULL; every result fits its type: `numeric` is at its scale, `char(n)` has n characters.
//! 2. Numbers that do not fit are refused (22003), never wrapped. Floats round half to even into integers, decimals half away from
//!    zero; a float becomes a decimal of 15 (real: 6) digits.
//! 3. Cells that are empty are refused with 42804, as PostgreSQL refuses them without an explicit cast.
//!
//! Not here: explicit casts (`expr`), which reach further. Source: PostgreSQL 15 `pg_cast.dat`, contexts `i` and `a`.

use jiff::tz::TimeZone;

use crate::calendar::{self, DATE_INFINITY, DATE_NEG_INFINITY, DAY, SECOND, TIMESTAMP_INFINITY, TIMESTAMP_NEG_INFINITY};
use crate::datum::{Datum, Decimal, Interval};
use crate::error::{SqlError, SqlState};
use crate::sql_type::SqlType;
use crate::text::{self, Session};
use crate::zone;

/// `v` as a value of a column of type `to`, in a session in UTC without a clock.
///
/// Errors: 22003, 22008 out of range; 22001 string too long; 42804 no such assignment; those of [`text::parse`] for strings.
pub fn assign(v: Datum, to: SqlType) -> Result<Datum, SqlError> {
    static UTC: Session = Session::UTC;
    assign_in(v, to, &UTC)
}

/// As [`assign`]; errors name the column, with PostgreSQL's message where the types do not go together.
pub fn assign_column(v: Datum, to: SqlType, column: &str) -> Result<Datum, SqlError> {
    let from = type_name(&v);
    assign(v, to).map_err(|error| in_column(error, from, to, column))
}

/// As [`assign_column`], in a session with a zone and a clock.
pub fn assign_column_in(v: Datum, to: SqlType, column: &str, session: &Session) -> Result<Datum, SqlError> {
    let from = type_name(&v);
    assign_in(v, to, session).map_err(|error| in_column(error, from, to, column))
}

fn in_column(mut error: SqlError, from: &str, to: SqlType, column: &str) -> SqlError {
    if error.state == SqlState::DATATYPE_MISMATCH {
        error.message = format!("column \"{column}\" is of type {} but expression is of type {from}", to.base_name());
        error = error.hint("You will need to rewrite or cast the expression.");
    }
    if error.fields.column.is_none() { error.column(column) } else { error }
}

/// As [`assign`], in a session with a zone and a clock.
pub fn assign_in(v: Datum, to: SqlType, session: &Session) -> Result<Datum, SqlError> {
    match (v, to) {
        (Datum::Null, _) => Ok(Datum::Null),
        (Datum::Text(v), to) => from_text(v, to, session),
        (v, SqlType::Text) => Ok(Datum::Text(to_text(&v, &session.zone).into())),
        (v, SqlType::Varchar(_) | SqlType::Char(_)) => {
            let text = to_text(&v, &session.zone);
            Ok(Datum::Text(text::fit_string(to, &text)?.into()))
        }
        (Datum::Bool(v), SqlType::Bool) => Ok(Datum::Bool(v)),
        (Datum::Int2(v), to) if to.is_number() => integer(v.into(), to),
        (Datum::Int4(v), to) if to.is_number() => integer(v.into(), to),
        (Datum::Int8(v), to) if to.is_number() => integer(v, to),
        (Datum::Float4(v), to) if to.is_number() => real(v, to),
        (Datum::Float8(v), to) if to.is_number() => double(v, to),
        (Datum::Numeric(v), to) if to.is_number() => numeric(v, to),
        (v @ Datum::Bytea(_), SqlType::Bytea) | (v @ Datum::Uuid(_), SqlType::Uuid) => Ok(v),
        (v, to) => moment(v, to, session),
    }
}

fn from_text(v: Box<str>, to: SqlType, session: &Session) -> Result<Datum, SqlError> {
    match to {
        SqlType::Text => Ok(Datum::Text(v)),
        SqlType::Varchar(n) if v.len() <= n as usize => Ok(Datum::Text(v)),
        SqlType::Varchar(_) | SqlType::Char(_) => Ok(Datum::Text(text::fit_string(to, &v)?.into())),
        _ => text::parse_in(to, &v, session),
    }
}

/// The text of a value as a cast to `text` gives it: as on the wire, but booleans are words.
fn to_text(v: &Datum, zone: &TimeZone) -> String {
    if let Datum::Bool(v) = v {
        return v.to_string();
    }
    let mut out = Vec::new();
    text::format_in(v.as_ref(), zone, &mut out);
    String::from_utf8(out).expect("text forms are UTF-8")
}

fn type_name(v: &Datum) -> &'static str {
    match v {
        Datum::Null => "unknown",
        Datum::Bool(_) => "boolean",
        Datum::Int2(_) => "smallint",
        Datum::Int4(_) => "integer",
        Datum::Int8(_) => "bigint",
        Datum::Float4(_) => "real",
        Datum::Float8(_) => "double precision",
        Datum::Numeric(_) => "numeric",
        Datum::Text(_) => "text",
        Datum::Bytea(_) => "bytea",
        Datum::Date(_) => "date",
        Datum::Time(_) => "time without time zone",
        Datum::Timestamp(_) => "timestamp without time zone",
        Datum::TimestampTz(_) => "timestamp with time zone",
        Datum::Interval(_) => "interval",
        Datum::Uuid(_) => "uuid",
    }
}

fn out_of_range(to: SqlType) -> SqlError {
    SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{} out of range", to.base_name()))
}

fn integer(v: i64, to: SqlType) -> Result<Datum, SqlError> {
    Ok(match to {
        SqlType::Int2 => Datum::Int2(v.try_into().map_err(|_| out_of_range(to))?),
        SqlType::Int4 => Datum::Int4(v.try_into().map_err(|_| out_of_range(to))?),
        SqlType::Float4 => Datum::Float4(v as f32),
        SqlType::Float8 => Datum::Float8(v as f64),
        SqlType::Numeric { precision, scale } => {
            Datum::Numeric(text::fit_numeric(Decimal { unscaled: v.into(), scale: 0 }, precision, scale)?)
        }
        _ => Datum::Int8(v),
    })
}

fn real(v: f32, to: SqlType) -> Result<Datum, SqlError> {
    match to {
        SqlType::Float4 => Ok(Datum::Float4(v)),
        SqlType::Numeric { precision, scale } => from_float(v.into(), 6, precision, scale),
        _ => double(v.into(), to),
    }
}

fn double(v: f64, to: SqlType) -> Result<Datum, SqlError> {
    // The bounds are exact as doubles; the upper one is the first that does not fit.
    let whole = |bits: i32| {
        let (rounded, bound) = (v.round_ties_even(), 2f64.powi(bits - 1));
        if (-bound..bound).contains(&rounded) { Ok(rounded as i64) } else { Err(out_of_range(to)) }
    };
    Ok(match to {
        SqlType::Int2 => Datum::Int2(whole(16)? as i16),
        SqlType::Int4 => Datum::Int4(whole(32)? as i32),
        SqlType::Int8 => Datum::Int8(whole(64)?),
        SqlType::Float4 => {
            let narrow = v as f32;
            if narrow.is_infinite() && v.is_finite() {
                return Err(SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: overflow"));
            }
            if narrow == 0.0 && v != 0.0 {
                return Err(SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: underflow"));
            }
            Datum::Float4(narrow)
        }
        SqlType::Numeric { precision, scale } => return from_float(v, 15, precision, scale),
        _ => Datum::Float8(v),
    })
}

/// A float of `digits` significant decimal digits as a decimal.
fn from_float(v: f64, digits: usize, precision: u8, scale: u8) -> Result<Datum, SqlError> {
    let written = if v.is_finite() { format!("{v:.*e}", digits - 1) } else { v.to_string() };
    text::parse(SqlType::Numeric { precision, scale }, &written)
}

fn numeric(v: Decimal, to: SqlType) -> Result<Datum, SqlError> {
    let whole = || text::fit_numeric(v, 38, 0).map(|v| v.unscaled).map_err(|_| out_of_range(to));
    Ok(match to {
        SqlType::Int2 => Datum::Int2(whole()?.try_into().map_err(|_| out_of_range(to))?),
        SqlType::Int4 => Datum::Int4(whole()?.try_into().map_err(|_| out_of_range(to))?),
        SqlType::Int8 => Datum::Int8(whole()?.try_into().map_err(|_| out_of_range(to))?),
        SqlType::Numeric { precision, scale } => Datum::Numeric(text::fit_numeric(v, precision, scale)?),
        // By way of the digits, so that the nearest float is found.
        _ => text::parse(to, &text::to_string(Datum::Numeric(v).as_ref()))?,
    })
}

/// Dates, times, timestamps and intervals among each other.
fn moment(v: Datum, to: SqlType, session: &Session) -> Result<Datum, SqlError> {
    let zone = &session.zone;
    Ok(match (v, to) {
        (v @ Datum::Date(_), SqlType::Date)
        | (v @ Datum::Time(_), SqlType::Time)
        | (v @ Datum::Timestamp(_), SqlType::Timestamp)
        | (v @ Datum::TimestampTz(_), SqlType::TimestampTz)
        | (v @ Datum::Interval(_), SqlType::Interval) => v,
        (Datum::Date(v), SqlType::Timestamp) => Datum::Timestamp(midnight(v)?),
        (Datum::Date(v), SqlType::TimestampTz) => {
            Datum::TimestampTz(to_utc(midnight(v)?, zone).map_err(|_| date_out_of_range())?)
        }
        (Datum::Timestamp(v), SqlType::Date) => Datum::Date(day(v)),
        (Datum::Timestamp(v), SqlType::TimestampTz) => Datum::TimestampTz(to_utc(v, zone)?),
        (Datum::Timestamp(v), SqlType::Time) => time_of_day(v),
        (Datum::TimestampTz(v), SqlType::Timestamp) => Datum::Timestamp(to_local(v, zone)?),
        (Datum::TimestampTz(v), SqlType::Date) => Datum::Date(day(to_local(v, zone)?)),
        // A time of day exists even where the local date would be too early to have one.
        (Datum::TimestampTz(v), SqlType::Time) if !calendar::is_infinite_timestamp(v) => {
            time_of_day(v.saturating_add(i64::from(zone::offset_at(zone, v)) * SECOND))
        }
        (Datum::TimestampTz(v), SqlType::Time) => time_of_day(v),
        (Datum::Time(v), SqlType::Interval) => Datum::Interval(Interval { months: 0, days: 0, micros: v }),
        (Datum::Interval(v), SqlType::Time) => Datum::Time(v.micros.rem_euclid(DAY)),
        (v, to) => {
            let message = format!("cannot cast type {} to {}", type_name(&v), to.base_name());
            return Err(SqlError::new(SqlState::DATATYPE_MISMATCH, message));
        }
    })
}

fn timestamp_out_of_range() -> SqlError {
    SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "timestamp out of range")
}

fn date_out_of_range() -> SqlError {
    SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "date out of range for timestamp")
}

/// The start of a day as a timestamp.
fn midnight(days: i32) -> Result<i64, SqlError> {
    match days {
        DATE_INFINITY => Ok(TIMESTAMP_INFINITY),
        DATE_NEG_INFINITY => Ok(TIMESTAMP_NEG_INFINITY),
        _ => calendar::join_timestamp(days.into(), 0).ok_or_else(date_out_of_range),
    }
}

fn day(micros: i64) -> i32 {
    match micros {
        TIMESTAMP_INFINITY => DATE_INFINITY,
        TIMESTAMP_NEG_INFINITY => DATE_NEG_INFINITY,
        _ => calendar::split_timestamp(micros).0,
    }
}

/// The time of day of a timestamp; an infinite one has none, and becomes NULL as in PostgreSQL.
fn time_of_day(micros: i64) -> Datum {
    if calendar::is_infinite_timestamp(micros) {
        return Datum::Null;
    }
    Datum::Time(calendar::split_timestamp(micros).1)
}

/// The moment at which the zone's clocks show a timestamp.
fn to_utc(local: i64, zone: &TimeZone) -> Result<i64, SqlError> {
    shift(local, |local| -zone::offset_of_local(zone, local))
}

/// What the zone's clocks show at a moment.
fn to_local(utc: i64, zone: &TimeZone) -> Result<i64, SqlError> {
    shift(utc, |utc| zone::offset_at(zone, utc))
}

fn shift(micros: i64, seconds: impl Fn(i64) -> i32) -> Result<i64, SqlError> {
    if calendar::is_infinite_timestamp(micros) {
        return Ok(micros);
    }
    let shifted = micros.checked_add(i64::from(seconds(micros)) * SECOND);
    shifted.and_then(|v| calendar::join_timestamp(0, v)).ok_or_else(timestamp_out_of_range)
}

//! `date`, `time`, `timestamp` and `timestamptz` in text.
//!
//! ```text
//! out   2024-02-29   13:05:09.25   2024-02-29 13:05:09.25   2024-02-29 13:05:09.25+02   0044-03-15 BC   infinity
//! in    the same, and what PostgreSQL reads besides: 20240229T130509Z, Feb 29 2024, 29-Feb-2024, 2/29/2024, 2024.060, J2460370,
//!       1:05:09 pm, Thu Feb 29 13:05 America/New_York, epoch, and with a clock now, today, tomorrow, yesterday
//! ```
//!
//! 1. Text in the form that is written takes a short path of its own (`iso`); everything else is split into fields (`fields`)
//!    that are then given their meaning one by one (`decode`). Both give the same value for the same text.
//! 2. A date of three numbers is month, day, year, unless its first number cannot be a month but must be a year (more than two digits).
//! 3. Half a microsecond rounds to even, as PostgreSQL's `rint` does.

use jiff::tz::TimeZone;

use super::{Session, put};
use crate::calendar::{self, Civil, DAY, HOUR, MINUTE, SECOND};
use crate::error::{SqlError, SqlState};
use crate::zone;

pub(super) mod clock;
mod decode;
pub(super) mod fields;
mod iso;
pub(super) mod words;

use clock::Fault;
use decode::{Decoded, Moment, Wanted};

/// Days since 1970-01-01 of the date that `s` means; a time of day in it is ignored. Errors: 22007, 22008, 22009, 22023.
pub(super) fn parse_date(s: &str, session: &Session) -> Result<i32, SqlError> {
    if let Some(days) = iso::date(s.as_bytes()) {
        return Ok(days);
    }
    match decode(s, "date", Wanted::Date, DATE_BYTES_MAX, session)? {
        Decoded::At(at) => {
            let days = calendar::days_from_civil(at.date.year, at.date.month, at.date.day);
            let in_range = |days: &i32| (calendar::DATE_MIN..=calendar::DATE_MAX).contains(days);
            i32::try_from(days).ok().filter(in_range).ok_or_else(|| out_of_range("date", s))
        }
        Decoded::Epoch => Ok(0),
        Decoded::Infinity => Ok(calendar::DATE_INFINITY),
        Decoded::NegInfinity => Ok(calendar::DATE_NEG_INFINITY),
    }
}

/// Microseconds since midnight of the time of day that `s` means; a date and a zone in it are ignored. Errors: as [`parse_date`].
pub(super) fn parse_time(s: &str, session: &Session) -> Result<i64, SqlError> {
    if let Some(micros) = iso::time(s.as_bytes()) {
        return Ok(micros);
    }
    match decode(s, "time", Wanted::Time, DATE_BYTES_MAX, session)? {
        Decoded::At(at) => Ok(at.micros),
        _ => Err(refuse(Fault::Format, "time", s)),
    }
}

/// Microseconds since 1970-01-01 of the timestamp that `s` means; a zone in it is ignored. Errors: as [`parse_date`].
pub(super) fn parse_timestamp(s: &str, session: &Session) -> Result<i64, SqlError> {
    match iso::timestamp(s.as_bytes()) {
        Some((local, _)) => Ok(local),
        None => timestamp(decode(s, "timestamp", Wanted::Date, TIMESTAMP_BYTES_MAX, session)?, |_| 0)
            .ok_or_else(|| out_of_range("timestamp", s)),
    }
}

/// Microseconds since 1970-01-01 UTC of the moment that `s` means, in the session's zone if it names none.
/// Errors: as [`parse_date`].
pub(super) fn parse_timestamptz(s: &str, session: &Session) -> Result<i64, SqlError> {
    if let Some((local, offset)) = iso::timestamp(s.as_bytes()) {
        let offset = offset.unwrap_or_else(|| zone::offset_of_local(&session.zone, local));
        return Ok(local - i64::from(offset) * SECOND);
    }
    timestamp(decode(s, "timestamp with time zone", Wanted::Date, TIMESTAMP_BYTES_MAX, session)?, |at| at.offset)
        .ok_or_else(|| out_of_range("timestamp", s))
}

/// Bytes of a text that PostgreSQL makes room for.
const DATE_BYTES_MAX: usize = 129;
const TIMESTAMP_BYTES_MAX: usize = 153;

fn decode(s: &str, t: &str, wanted: Wanted, bytes_max: usize, session: &Session) -> Result<Decoded, SqlError> {
    let fields = fields::split(s, bytes_max).ok_or_else(|| refuse(Fault::Format, t, s))?;
    decode::decode(&fields, wanted, session).map_err(|fault| refuse(fault, t, s))
}

/// The timestamp of what was decoded, moved by the offset that `offset` chooses.
fn timestamp(decoded: Decoded, offset: impl Fn(&Moment) -> i32) -> Option<i64> {
    match decoded {
        Decoded::At(at) => {
            let days = calendar::days_from_civil(at.date.year, at.date.month, at.date.day);
            calendar::join_timestamp(days, at.micros - i64::from(offset(&at)) * SECOND)
        }
        Decoded::Epoch => Some(0),
        Decoded::Infinity => Some(calendar::TIMESTAMP_INFINITY),
        Decoded::NegInfinity => Some(calendar::TIMESTAMP_NEG_INFINITY),
    }
}

fn out_of_range(what: &str, s: &str) -> SqlError {
    SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("{what} out of range: \"{s}\""))
}

/// PostgreSQL's error for a text that is refused.
pub(in crate::text) fn refuse(fault: Fault, t: &str, s: &str) -> SqlError {
    let field = || SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("date/time field value out of range: \"{s}\""));
    match fault {
        Fault::Format => SqlError::new(SqlState::INVALID_DATETIME_FORMAT, format!("invalid input syntax for type {t}: \"{s}\"")),
        Fault::Field => field(),
        Fault::MonthOrDay => field().hint("Perhaps you need a different \"datestyle\" setting."),
        Fault::Displacement => {
            SqlError::new(SqlState::INVALID_TIME_ZONE_DISPLACEMENT, format!("time zone displacement out of range: \"{s}\""))
        }
        Fault::Zone(name) => SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("time zone \"{name}\" not recognized")),
        Fault::NoClock => SqlError::unsupported(format!("\"{s}\" is relative to now and cannot be read here")),
    }
}

/// Appends `2024-02-29`.
pub(super) fn format_date(days: i32, out: &mut Vec<u8>) {
    if calendar::is_infinite_date(days) {
        out.extend_from_slice(if days > 0 { b"infinity" } else { b"-infinity" });
        return;
    }
    let date = calendar::civil_from_days(days);
    put_date(date, out);
    put_era(date, out);
}

/// Appends `13:05:09.25`.
pub(super) fn format_time(micros: i64, out: &mut Vec<u8>) {
    put_two((micros / HOUR) as u32, out);
    out.push(b':');
    put_two((micros / MINUTE % 60) as u32, out);
    out.push(b':');
    put_two((micros / SECOND % 60) as u32, out);
    put_fraction((micros % SECOND) as u32, out);
}

/// Appends `2024-02-29 13:05:09.25`.
pub(super) fn format_timestamp(micros: i64, out: &mut Vec<u8>) {
    if put_infinite(micros, out) {
        return;
    }
    let date = put_local(micros, out);
    put_era(date, out);
}

/// Appends `2024-02-29 13:05:09.25+02`: what the zone's clocks show, and their offset.
pub(super) fn format_timestamptz(micros: i64, zone: &TimeZone, out: &mut Vec<u8>) {
    if put_infinite(micros, out) {
        return;
    }
    let offset = zone::offset_at(zone, micros);
    let (days, of_day) = calendar::split_timestamp(micros);
    let date = put_shifted(days, of_day + i64::from(offset) * SECOND, out);
    put_offset(offset, out);
    put_era(date, out);
}

fn put_infinite(micros: i64, out: &mut Vec<u8>) -> bool {
    let infinite = calendar::is_infinite_timestamp(micros);
    if infinite {
        out.extend_from_slice(if micros > 0 { b"infinity" } else { b"-infinity" });
    }
    infinite
}

fn put_local(micros: i64, out: &mut Vec<u8>) -> Civil {
    let (days, of_day) = calendar::split_timestamp(micros);
    put_shifted(days, of_day, out)
}

/// Writes a moment given as a day and microseconds that an offset may have moved out of that day.
fn put_shifted(days: i32, of_day: i64, out: &mut Vec<u8>) -> Civil {
    let date = calendar::civil_from_days(days + of_day.div_euclid(DAY) as i32);
    put_date(date, out);
    out.push(b' ');
    format_time(of_day.rem_euclid(DAY), out);
    date
}

fn put_date(date: Civil, out: &mut Vec<u8>) {
    let year = if date.year > 0 { date.year } else { 1 - date.year };
    if let 0..=9999 = year {
        put_two((year / 100) as u32, out);
        put_two((year % 100) as u32, out);
    } else {
        put(out, format_args!("{year}"));
    }
    out.push(b'-');
    put_two(date.month, out);
    out.push(b'-');
    put_two(date.day, out);
}

fn put_era(date: Civil, out: &mut Vec<u8>) {
    if date.year <= 0 {
        out.extend_from_slice(b" BC");
    }
}

fn put_offset(offset: i32, out: &mut Vec<u8>) {
    out.push(if offset < 0 { b'-' } else { b'+' });
    let seconds = offset.unsigned_abs();
    put_two(seconds / 3600, out);
    // Seconds never stand without minutes, as local mean times show: +00:53:28.
    if !seconds.is_multiple_of(3600) {
        out.push(b':');
        put_two(seconds / 60 % 60, out);
    }
    if !seconds.is_multiple_of(60) {
        out.push(b':');
        put_two(seconds % 60, out);
    }
}

/// The last two digits: more there are only in a value that is none, as a row image from a disk may have.
fn put_two(v: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'0' + (v / 10 % 10) as u8, b'0' + (v % 10) as u8]);
}

/// Writes `.25` for 250000 microseconds, nothing for none.
pub(in crate::text) fn put_fraction(micros: u32, out: &mut Vec<u8>) {
    if micros == 0 {
        return;
    }
    let mut digits = [b'0'; 6];
    let mut rest = micros;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let len = digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
    out.push(b'.');
    out.extend_from_slice(&digits[..len]);
}

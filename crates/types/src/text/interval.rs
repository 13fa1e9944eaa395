//! `interval` in text.
//!
//! ```text
//! out   1 year 2 mons -3 days +04:05:06.7
//! in    the same; '@ 1 year 2 mons ago', '1-2' (years-months), '3 4:05:06' (days, time), '1.5 weeks', and ISO 8601:
//!       P1Y2M3DT4H5M6.7S, P0001-02-03T04:05:06
//! ```
//!
//! 1. Months, days and microseconds stay apart; only the fraction of a unit flows down: of a year into months, of a month and a
//!    week into days, of a day and of everything below into microseconds.
//! 2. Fields are read from right to left, so that a unit is known before its number. A bare number is seconds, or days if a
//!    time of day follows it.
//!
//! Source: PostgreSQL 15, documentation 8.5.4; corner cases from a running one.

use super::datetime::clock::{self, Fault};
use super::datetime::fields::{self, Field, Kind};
use super::datetime::words::LETTERS_MAX;
use super::datetime::{put_fraction, refuse};
use super::put;
use crate::calendar::{HOUR, MINUTE, SECOND};
use crate::datum::Interval;
use crate::error::{SqlError, SqlState};

mod iso;
mod sum;

use sum::{Amount, Sum, Unit};

/// Bytes of a text that PostgreSQL makes room for.
const BYTES_MAX: usize = 256;

/// The interval that `s` means. Errors: 22007, 22008, 22015.
pub(super) fn parse(s: &str) -> Result<Interval, SqlError> {
    let plain = fields::split(s, BYTES_MAX).ok_or(Fault::Format).and_then(|fields| read(&fields));
    let sum = match plain {
        // Only what is no interval otherwise may be ISO 8601: `P1` alone would be both.
        Err(Fault::Format) => iso::read(s),
        sum => sum,
    };
    let sum = sum.map_err(|fault| match fault {
        Fault::Field => SqlError::new(SqlState::INTERVAL_FIELD_OVERFLOW, format!("interval field value out of range: \"{s}\"")),
        fault => refuse(fault, "interval", s),
    })?;
    sum.total().ok_or_else(|| SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "interval out of range"))?
}

fn read(fields: &[Field]) -> Result<Sum, Fault> {
    let mut sum = Sum::default();
    // What a number counts, if nothing has said yet; `None` after a word that can follow no number.
    let mut unit = Some(Unit::Second);
    let mut seen = 0u32;
    let mut is_ago = false;
    for Field { kind, text } in fields.iter().rev() {
        let claimed = match kind {
            Kind::Time => {
                sum.set_time(clock::time(text)?, false)?;
                unit = Some(Unit::Day);
                sum::TIME
            }
            // What is wrong with a time after a sign does not matter: it may still be years and months.
            Kind::Signed if text.contains(':') && sum.set_signed_time(text).is_ok() => {
                unit = Some(Unit::Day);
                sum::TIME
            }
            Kind::Number | Kind::Date | Kind::Signed => {
                let (amount, is_years_months) = amount(text)?;
                let of = if is_years_months { Unit::Month } else { unit.ok_or(Fault::Format)? };
                sum.add(amount, of)?;
                unit = Some(if of == Unit::Hour { Unit::Day } else { of });
                of.claims(amount)
            }
            Kind::Word | Kind::Special => {
                is_ago |= text == "ago";
                unit = if text == "ago" { None } else { unit_of(text)? };
                0
            }
        };
        if seen & claimed != 0 {
            return Err(Fault::Format);
        }
        seen |= claimed;
    }
    if seen == 0 {
        return Err(Fault::Format);
    }
    if is_ago { sum.negated() } else { Ok(sum) }
}

/// `-1.5`, or `1-2` as months.
fn amount(text: &str) -> Result<(Amount, bool), Fault> {
    let is_negative = text.starts_with('-');
    let digits = text.trim_start_matches(['-', '+']);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let number: i128 = match &digits[..end] {
        // A point may come first, as in `.5`.
        "" => 0,
        number => number.parse().map_err(|_| Fault::Field)?,
    };
    let whole = i64::try_from(if is_negative { -number } else { number }).map_err(|_| Fault::Field)?;
    let rest = &digits[end..];
    if let Some(months) = rest.strip_prefix('-') {
        let (months, rest) = clock::leading_int(months).map_err(|_| Fault::Field)?;
        if !(0..12).contains(&months) {
            return Err(Fault::Field);
        }
        if !rest.is_empty() {
            return Err(Fault::Format);
        }
        let months = i64::from(if is_negative { -months } else { months });
        let whole = whole.checked_mul(12).and_then(|years| years.checked_add(months)).ok_or(Fault::Field)?;
        return Ok((Amount { whole, fraction: 0.0 }, true));
    }
    let fraction = match rest.strip_prefix('.') {
        Some(digits) => clock::fraction(digits)?,
        None if rest.is_empty() => 0.0,
        None => return Err(Fault::Format),
    };
    Ok((Amount { whole, fraction: if is_negative { -fraction } else { fraction } }, false))
}

/// The unit a word names; `None` for one that no number can have here.
fn unit_of(word: &str) -> Result<Option<Unit>, Fault> {
    Ok(Some(match &word[..word.len().min(LETTERS_MAX)] {
        "us" | "usec" | "usecs" | "usecond" | "useconds" | "microsecon" => Unit::Microsecond,
        "ms" | "msec" | "msecs" | "msecond" | "mseconds" | "millisecon" => Unit::Millisecond,
        "s" | "sec" | "secs" | "second" | "seconds" => Unit::Second,
        "m" | "min" | "mins" | "minute" | "minutes" => Unit::Minute,
        "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Hour,
        "d" | "day" | "days" => Unit::Day,
        "w" | "week" | "weeks" => Unit::Week,
        "mon" | "mons" | "month" | "months" => Unit::Month,
        "y" | "yr" | "yrs" | "year" | "years" => Unit::Year,
        "dec" | "decs" | "decade" | "decades" => Unit::Decade,
        "c" | "cent" | "century" | "centuries" => Unit::Century,
        "mil" | "mils" | "millennium" | "millennia" => Unit::Millennium,
        "qtr" | "quarter" | "timezone" => return Ok(None),
        _ => return Err(Fault::Format),
    }))
}

/// Appends `1 year 2 mons -3 days +04:05:06.7`.
pub(super) fn format(v: Interval, out: &mut Vec<u8>) {
    let start = out.len();
    let mut after_negative = false;
    for (value, unit) in [(v.months / 12, "year"), (v.months % 12, "mon"), (v.days, "day")] {
        if value == 0 {
            continue;
        }
        if out.len() > start {
            out.push(b' ');
        }
        let plus = if after_negative && value > 0 { "+" } else { "" };
        put(out, format_args!("{plus}{value} {unit}{}", if value == 1 { "" } else { "s" }));
        after_negative = value < 0;
    }
    if v.micros == 0 && out.len() > start {
        return;
    }
    if out.len() > start {
        out.push(b' ');
    }
    let micros = v.micros.unsigned_abs() as i64;
    let sign = if v.micros < 0 {
        "-"
    } else if after_negative {
        "+"
    } else {
        ""
    };
    put(out, format_args!("{sign}{:02}:{:02}:{:02}", micros / HOUR, micros / MINUTE % 60, micros / SECOND % 60));
    put_fraction((micros % SECOND) as u32, out);
}

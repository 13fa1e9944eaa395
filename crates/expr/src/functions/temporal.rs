//! Arithmetic with dates, times, timestamps and intervals.
//!
//! 1. Months are added to the calendar (a day that the month does not have becomes its last), days to the date, microseconds to
//!    the clock, in that order.
//! 2. Infinite dates and timestamps stay infinite. What leaves the range is 22008.
//! 3. Of a timestamptz the calendar and the clock are those of the session's time zone: a day may have 23 hours.
//!
//! Source: PostgreSQL 15, `timestamp.c`, `date.c`.

use jiff::tz::TimeZone;
use types::calendar::{
    self, Civil, DATE_INFINITY, DATE_MAX, DATE_MIN, DATE_NEG_INFINITY, DAY, TIMESTAMP_INFINITY, TIMESTAMP_NEG_INFINITY,
};
use types::key::interval_micros;
use types::{Datum, DatumRef, Interval, SqlError, SqlState, zone};

use super::arithmetic::Op;
use super::mismatch;
use crate::decimal::division_by_zero;

fn out_of_range(what: &str) -> SqlError {
    SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("{what} out of range"))
}

/// `a op b` where at least one is a moment or an interval.
pub(super) fn arithmetic(op: Op, a: DatumRef<'_>, b: DatumRef<'_>, here: &TimeZone) -> Result<Datum, SqlError> {
    use DatumRef::{Date, Float8, Int4, Interval as Span, Time, Timestamp, TimestampTz};
    Ok(match (op, a, b) {
        (Op::Add, Date(date), Int4(days)) | (Op::Add, Int4(days), Date(date)) => Datum::Date(add_days(date, days.into())?),
        (Op::Subtract, Date(date), Int4(days)) => Datum::Date(add_days(date, -i64::from(days))?),
        (Op::Subtract, Date(a), Date(b)) => Datum::Int4(days_between(a, b)?),
        (Op::Add, Date(date), Time(time)) | (Op::Add, Time(time), Date(date)) => Datum::Timestamp(at_time(date, time)?),
        (Op::Add, Timestamp(at), Span(span)) | (Op::Add, Span(span), Timestamp(at)) => Datum::Timestamp(add_interval(at, span)?),
        (Op::Subtract, Timestamp(at), Span(span)) => Datum::Timestamp(add_interval(at, negate(span)?)?),
        (Op::Add, TimestampTz(at), Span(span)) | (Op::Add, Span(span), TimestampTz(at)) => {
            Datum::TimestampTz(add_interval_in(here, at, span)?)
        }
        (Op::Subtract, TimestampTz(at), Span(span)) => Datum::TimestampTz(add_interval_in(here, at, negate(span)?)?),
        (Op::Subtract, Timestamp(a), Timestamp(b)) | (Op::Subtract, TimestampTz(a), TimestampTz(b)) => {
            Datum::Interval(between(a, b)?)
        }
        (Op::Add, Time(at), Span(span)) | (Op::Add, Span(span), Time(at)) => {
            Datum::Time((i128::from(at) + i128::from(span.micros)).rem_euclid(DAY.into()) as i64)
        }
        (Op::Subtract, Time(at), Span(span)) => {
            Datum::Time((i128::from(at) - i128::from(span.micros)).rem_euclid(DAY.into()) as i64)
        }
        (Op::Subtract, Time(a), Time(b)) => Datum::Interval(Interval::new(0, 0, a - b)?),
        (Op::Add, Span(a), Span(b)) => Datum::Interval(add(a, b)?),
        (Op::Subtract, Span(a), Span(b)) => Datum::Interval(add(a, negate(b)?)?),
        (Op::Multiply, Span(span), Float8(by)) | (Op::Multiply, Float8(by), Span(span)) => Datum::Interval(scale(span, by)?),
        (Op::Divide, Span(_), Float8(0.0)) => return Err(division_by_zero()),
        (Op::Divide, Span(span), Float8(by)) => Datum::Interval(divide(span, by)?),
        _ => return Err(mismatch("arithmetic of dates")),
    })
}

fn add_days(date: i32, days: i64) -> Result<i32, SqlError> {
    if calendar::is_infinite_date(date) {
        return Ok(date);
    }
    let moved = i64::from(date) + days;
    i32::try_from(moved).ok().filter(|d| (DATE_MIN..=DATE_MAX).contains(d)).ok_or_else(|| out_of_range("date"))
}

fn days_between(a: i32, b: i32) -> Result<i32, SqlError> {
    if calendar::is_infinite_date(a) || calendar::is_infinite_date(b) {
        return Err(SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "cannot subtract infinite dates"));
    }
    Ok(a - b)
}

/// A date's moment at a time of day.
pub(super) fn at_time(date: i32, time: i64) -> Result<i64, SqlError> {
    match date {
        DATE_INFINITY => Ok(TIMESTAMP_INFINITY),
        DATE_NEG_INFINITY => Ok(TIMESTAMP_NEG_INFINITY),
        date => calendar::join_timestamp(date.into(), time).ok_or_else(|| out_of_range("date out of range for timestamp,")),
    }
}

/// A moment moved by an interval, on the calendar of a time zone.
pub(crate) fn add_interval_in(here: &TimeZone, at: i64, span: Interval) -> Result<i64, SqlError> {
    if *here == TimeZone::UTC || (span.months == 0 && span.days == 0) || calendar::is_infinite_timestamp(at) {
        return add_interval(at, span);
    }
    let out = || out_of_range("timestamp");
    let second = calendar::SECOND;
    let moved = |at: i64, span: Interval| {
        let local = at.checked_add(i64::from(zone::offset_at(here, at)) * second).ok_or_else(out)?;
        let local = add_interval(local, span)?;
        local.checked_sub(i64::from(zone::offset_of_local(here, local)) * second).ok_or_else(out)
    };
    let mut at = at;
    if span.months != 0 {
        at = moved(at, Interval { months: span.months, ..Interval::default() })?;
    }
    if span.days != 0 {
        at = moved(at, Interval { days: span.days, ..Interval::default() })?;
    }
    add_interval(at, Interval { micros: span.micros, ..Interval::default() })
}

/// A moment moved by an interval.
pub(crate) fn add_interval(at: i64, span: Interval) -> Result<i64, SqlError> {
    if calendar::is_infinite_timestamp(at) {
        return Ok(at);
    }
    let (date, time) = calendar::split_timestamp(at);
    let mut days = i64::from(date);
    if span.months != 0 {
        let Civil { year, month, day } = calendar::civil_from_days(date);
        let months = i64::from(year) * 12 + i64::from(month) - 1 + i64::from(span.months);
        let (year, month) = (months.div_euclid(12), months.rem_euclid(12) as u32 + 1);
        let year = i32::try_from(year).map_err(|_| out_of_range("timestamp"))?;
        days = calendar::days_from_civil(year, month, day.min(calendar::days_in_month(year, month)));
    }
    let days = days + i64::from(span.days);
    let time = time.checked_add(span.micros).ok_or_else(|| out_of_range("timestamp"))?;
    calendar::join_timestamp(days, time).ok_or_else(|| out_of_range("timestamp"))
}

/// `a - b` in days and microseconds.
pub(super) fn between(a: i64, b: i64) -> Result<Interval, SqlError> {
    if calendar::is_infinite_timestamp(a) || calendar::is_infinite_timestamp(b) {
        return Err(SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "cannot subtract infinite timestamps"));
    }
    let micros = a.checked_sub(b).ok_or_else(|| out_of_range("interval"))?;
    let days = i32::try_from(micros / DAY).map_err(|_| out_of_range("interval"))?;
    Interval::new(0, days, micros % DAY)
}

/// `-span`.
pub(super) fn negate(span: Interval) -> Result<Interval, SqlError> {
    let months = span.months.checked_neg().ok_or_else(|| out_of_range("interval"))?;
    let days = span.days.checked_neg().ok_or_else(|| out_of_range("interval"))?;
    Interval::new(months, days, -span.micros)
}

pub(super) fn add(a: Interval, b: Interval) -> Result<Interval, SqlError> {
    let out = || out_of_range("interval");
    let months = a.months.checked_add(b.months).ok_or_else(out)?;
    let days = a.days.checked_add(b.days).ok_or_else(out)?;
    Interval::new(months, days, a.micros.checked_add(b.micros).ok_or_else(out)?)
}

/// As PostgreSQL's TSROUND: to microseconds.
fn to_micros(v: f64) -> f64 {
    (v * 1e6).round_ties_even() / 1e6
}

fn scale(span: Interval, by: f64) -> Result<Interval, SqlError> {
    spread(span, |part| part * by)
}

fn divide(span: Interval, by: f64) -> Result<Interval, SqlError> {
    spread(span, |part| part / by)
}

/// Each part changed; what is not whole flows down, a month being 30 days and a day 24 hours.
fn spread(span: Interval, change: impl Fn(f64) -> f64) -> Result<Interval, SqlError> {
    let out = || out_of_range("interval");
    let whole = |v: f64| if v.is_finite() && v.abs() < 2_147_483_648.0 { Ok(v as i32) } else { Err(out()) };
    let months = change(span.months.into());
    let days = change(span.days.into());
    let (whole_months, mut whole_days) = (whole(months)?, whole(days)?);
    let rest_days = to_micros((months - f64::from(whole_months)) * 30.0);
    let rest_whole = rest_days.trunc();
    let mut seconds = to_micros((days - f64::from(whole_days) + rest_days - rest_whole) * 86_400.0);
    if seconds.abs() >= 86_400.0 {
        let carried = (seconds / 86_400.0).trunc();
        whole_days = whole_days.checked_add(carried as i32).ok_or_else(out)?;
        seconds -= carried * 86_400.0;
    }
    whole_days = whole_days.checked_add(rest_whole as i32).ok_or_else(out)?;
    let micros = (change(span.micros as f64) + seconds * 1e6).round_ties_even();
    if !micros.is_finite() || micros.abs() > Interval::MICROS_MAX as f64 {
        return Err(out());
    }
    Interval::new(whole_months, whole_days, micros as i64)
}

/// Years, months, days and time from `b` to `a`, as a person counts: `age(a, b)`.
pub(super) fn age(a: i64, b: i64) -> Result<Interval, SqlError> {
    if calendar::is_infinite_timestamp(a) || calendar::is_infinite_timestamp(b) {
        return Err(out_of_range("interval"));
    }
    let (later, earlier, sign) = if a >= b { (a, b, 1) } else { (b, a, -1) };
    let ((day_a, time_a), (day_b, time_b)) = (calendar::split_timestamp(later), calendar::split_timestamp(earlier));
    let (civil_a, civil_b) = (calendar::civil_from_days(day_a), calendar::civil_from_days(day_b));
    let mut months = (civil_a.year - civil_b.year) * 12 + civil_a.month as i32 - civil_b.month as i32;
    let mut days = civil_a.day as i32 - civil_b.day as i32;
    let mut micros = time_a - time_b;
    if micros < 0 {
        micros += DAY;
        days -= 1;
    }
    if days < 0 {
        // Borrowed from the month the earlier one is in, or for a negative age the later one's.
        let month = if sign == 1 { civil_b } else { civil_a };
        days += calendar::days_in_month(month.year, month.month) as i32;
        months -= 1;
    }
    Interval::new(months * sign, days * sign, micros * i64::from(sign))
}

/// 30 days as a month (if `days`), 24 hours as a day (if `hours`), those parts of one sign.
pub(super) fn justify(span: Interval, hours: bool, days: bool) -> Result<Interval, SqlError> {
    let Interval { mut months, days: mut d, micros: mut us } = span;
    if hours {
        let whole = us / DAY;
        us -= whole * DAY;
        d = d.checked_add(whole as i32).ok_or_else(|| out_of_range("interval"))?;
    }
    if days {
        let whole = d / 30;
        d -= whole * 30;
        months = months.checked_add(whole).ok_or_else(|| out_of_range("interval"))?;
        // Without days the time decides, where it counts.
        let sign = if d == 0 && hours { us.signum() } else { d.signum().into() };
        if months > 0 && sign < 0 {
            d += 30;
            months -= 1;
        } else if months < 0 && sign > 0 {
            d -= 30;
            months += 1;
        }
    }
    if hours && d > 0 && us < 0 {
        us += DAY;
        d -= 1;
    } else if hours && d < 0 && us > 0 {
        us -= DAY;
        d += 1;
    }
    Interval::new(months, d, us)
}

/// A unit that `date_trunc` cuts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "units of time")]
pub(crate) enum TruncateTo {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
}

impl TruncateTo {
    /// The unit with this name. Errors: 22023.
    pub(crate) fn named(name: &str) -> Result<TruncateTo, SqlError> {
        Ok(match name {
            "microsecond" => TruncateTo::Microsecond,
            "millisecond" => TruncateTo::Millisecond,
            "second" => TruncateTo::Second,
            "minute" => TruncateTo::Minute,
            "hour" => TruncateTo::Hour,
            "day" => TruncateTo::Day,
            "week" => TruncateTo::Week,
            "month" => TruncateTo::Month,
            "quarter" => TruncateTo::Quarter,
            "year" => TruncateTo::Year,
            "decade" => TruncateTo::Decade,
            "century" => TruncateTo::Century,
            "millennium" => TruncateTo::Millennium,
            _ => {
                let message = format!("unit \"{name}\" not recognized for type timestamp without time zone");
                return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
            }
        })
    }
}

/// The moment at which the unit that `at` is in began.
pub(crate) fn truncate_timestamp(unit: TruncateTo, at: i64) -> Result<i64, SqlError> {
    use TruncateTo::*;
    if calendar::is_infinite_timestamp(at) {
        return Ok(at);
    }
    let micros = match unit {
        Microsecond => 1,
        Millisecond => 1_000,
        Second => 1_000_000,
        Minute => 60_000_000,
        Hour => 3_600_000_000,
        Day => DAY,
        _ => 0,
    };
    if micros > 0 {
        return Ok(at - at.rem_euclid(micros));
    }
    let (days, _) = calendar::split_timestamp(at);
    let Civil { year, month, .. } = calendar::civil_from_days(days);
    // Years of a century or millennium count from 1: 2000 is in the 20th century.
    let step = |years: i32| (year - 1).div_euclid(years) * years + 1;
    let start = match unit {
        Week => i64::from(days) - i64::from((days + 3).rem_euclid(7)),
        Month => calendar::days_from_civil(year, month, 1),
        Quarter => calendar::days_from_civil(year, (month - 1) / 3 * 3 + 1, 1),
        Decade => calendar::days_from_civil(year.div_euclid(10) * 10, 1, 1),
        Century => calendar::days_from_civil(step(100), 1, 1),
        Millennium => calendar::days_from_civil(step(1000), 1, 1),
        _ => calendar::days_from_civil(year, 1, 1),
    };
    calendar::join_timestamp(start, 0).ok_or_else(|| out_of_range("timestamp"))
}

/// An interval cut to a unit.
pub(super) fn truncate_interval(unit: TruncateTo, span: Interval) -> Result<Interval, SqlError> {
    use TruncateTo::*;
    let micros = |unit: i64| Interval { micros: span.micros - span.micros % unit, ..span };
    let months = |unit: i32| Interval { months: span.months - span.months % unit, days: 0, micros: 0 };
    Ok(match unit {
        Microsecond => span,
        Millisecond => micros(1_000),
        Second => micros(1_000_000),
        Minute => micros(60_000_000),
        Hour => micros(3_600_000_000),
        Day => Interval { micros: 0, ..span },
        Week => return Err(SqlError::unsupported("unit \"week\" not supported for type interval")),
        Month => months(1),
        Quarter => months(3),
        Year => months(12),
        Decade => months(120),
        Century => months(1200),
        Millennium => months(12_000),
    })
}

/// An interval as a number that orders as intervals do.
pub(super) fn interval_order(span: Interval) -> i128 {
    interval_micros(span)
}

#[cfg(test)]
mod tests {
    use types::text;
    use types::{Datum, SqlType};

    use super::*;

    fn at(s: &str) -> i64 {
        match text::parse(SqlType::Timestamp, s).unwrap() {
            Datum::Timestamp(v) => v,
            other => panic!("{other:?}"),
        }
    }

    fn span(s: &str) -> Interval {
        match text::parse(SqlType::Interval, s).unwrap() {
            Datum::Interval(v) => v,
            other => panic!("{other:?}"),
        }
    }

    fn shown(v: Interval) -> String {
        text::to_string(DatumRef::Interval(v))
    }

    #[test]
    fn months_are_added_to_the_calendar() {
        for (start, step, end) in [
            ("2024-01-31", "1 month", "2024-02-29"),
            ("2023-01-31", "1 month", "2023-02-28"),
            ("2024-03-31", "-1 month", "2024-02-29"),
            ("2024-12-15 10:00", "1 mon 20 days 15 hours", "2025-02-05 01:00"),
            ("0001-01-01", "-1 day", "0001-12-31 BC"),
        ] {
            assert_eq!(add_interval(at(start), span(step)).unwrap(), at(end), "{start} + {step}");
        }
        assert!(add_interval(at("294000-01-01"), span("1000 years")).is_err());
        assert_eq!(add_interval(TIMESTAMP_INFINITY, span("1 day")).unwrap(), TIMESTAMP_INFINITY);
    }

    #[test]
    fn what_is_not_whole_flows_down() {
        // As PostgreSQL 15 answers.
        for (start, by, end) in [
            ("1 month", 0.5, "15 days"),
            ("1 year", 0.3, "3 mons 18 days"),
            ("1 day", 1.5, "1 day 12:00:00"),
            ("02:00:00", 0.1, "00:12:00"),
            ("1 mon 1 day", 2.0, "2 mons 2 days"),
            ("-1 month", 0.5, "-15 days"),
        ] {
            assert_eq!(shown(scale(span(start), by).unwrap()), end, "{start} * {by}");
        }
        assert_eq!(shown(divide(span("1 month"), 2.0).unwrap()), "15 days");
    }

    #[test]
    fn age_counts_as_people_do() {
        for (a, b, expected) in [
            ("2001-04-10", "1957-06-13", "43 years 9 mons 27 days"),
            ("1957-06-13", "2001-04-10", "-43 years -9 mons -27 days"),
            ("2024-03-01", "2024-01-31", "1 mon 1 day"),
            ("2024-01-02 01:00", "2024-01-01 02:00", "23:00:00"),
        ] {
            assert_eq!(shown(age(at(a), at(b)).unwrap()), expected, "age({a}, {b})");
        }
    }

    #[test]
    fn units_begin_where_the_calendar_says() {
        for (unit, start) in [
            ("millennium", "2001-01-01"),
            ("century", "2001-01-01"),
            ("decade", "2020-01-01"),
            ("year", "2024-01-01"),
            ("quarter", "2024-04-01"),
            ("month", "2024-05-01"),
            ("week", "2024-05-13"),
            ("day", "2024-05-19"),
            ("hour", "2024-05-19 13:00"),
            ("second", "2024-05-19 13:14:15"),
        ] {
            let unit = TruncateTo::named(unit).unwrap();
            assert_eq!(truncate_timestamp(unit, at("2024-05-19 13:14:15.678")).unwrap(), at(start), "{unit:?}");
        }
        assert_eq!(truncate_timestamp(TruncateTo::Century, at("2000-06-01")).unwrap(), at("1901-01-01"));
        assert!(TruncateTo::named("fortnight").is_err());
    }
}

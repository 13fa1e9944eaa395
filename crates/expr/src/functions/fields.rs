//! `extract` and `date_part`: a field of a date, a time, a timestamp or an interval.
//!
//! `extract` gives a numeric, of 6 digits behind the point for seconds and what is counted with them; `date_part` a double.
//! Source: PostgreSQL 15, `timestamp_part_common`, `interval_part_common`.

use types::calendar::{self, Civil, DAY};
use types::{DatumRef, Decimal, Interval, SqlError, SqlState, SqlType};

/// A field that can be extracted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields of a date")]
pub(crate) enum Field {
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
    Dow,
    Doy,
    Isodow,
    Isoyear,
    Julian,
    Epoch,
    Timezone,
    TimezoneHour,
    TimezoneMinute,
}

impl Field {
    /// The field with this name.
    pub(crate) fn named(name: &str) -> Option<Field> {
        Some(match name {
            "microsecond" => Field::Microsecond,
            "millisecond" => Field::Millisecond,
            "second" => Field::Second,
            "minute" => Field::Minute,
            "hour" => Field::Hour,
            "day" => Field::Day,
            "week" => Field::Week,
            "month" => Field::Month,
            "quarter" => Field::Quarter,
            "year" => Field::Year,
            "decade" => Field::Decade,
            "century" => Field::Century,
            "millennium" => Field::Millennium,
            "dow" => Field::Dow,
            "doy" => Field::Doy,
            "isodow" => Field::Isodow,
            "isoyear" => Field::Isoyear,
            "julian" => Field::Julian,
            "epoch" => Field::Epoch,
            "timezone" => Field::Timezone,
            "timezone_hour" => Field::TimezoneHour,
            "timezone_minute" => Field::TimezoneMinute,
            _ => return None,
        })
    }

    /// The type `extract` gives for a value of type `of`.
    pub(crate) fn result(self, of: SqlType) -> SqlType {
        match self {
            Field::Second => SqlType::Numeric { precision: 8, scale: 6 },
            Field::Millisecond => SqlType::Numeric { precision: 8, scale: 3 },
            Field::Epoch if of == SqlType::Date => SqlType::Numeric { precision: 20, scale: 0 },
            Field::Epoch => SqlType::Numeric { precision: 24, scale: 6 },
            Field::Julian if of != SqlType::Date => SqlType::Numeric { precision: 38, scale: 16 },
            _ => SqlType::Numeric { precision: 10, scale: 0 },
        }
    }
}

fn whole(v: impl Into<i128>) -> Decimal {
    Decimal { unscaled: v.into(), scale: 0 }
}

fn unsupported(field: Field, of: &str) -> SqlError {
    let name = format!("{field:?}").to_lowercase();
    SqlError::unsupported(format!("unit \"{name}\" not supported for type {of}"))
}

/// Infinity of a field that grows with time: less, or more, than every number. `None` of a value or field without.
pub(crate) fn infinity(field: Field, value: DatumRef<'_>) -> Option<f64> {
    let is_less = match value {
        DatumRef::Date(v) if calendar::is_infinite_date(v) => v < 0,
        DatumRef::Timestamp(v) | DatumRef::TimestampTz(v) if calendar::is_infinite_timestamp(v) => v < 0,
        _ => return None,
    };
    let grows = matches!(
        field,
        Field::Year | Field::Decade | Field::Century | Field::Millennium | Field::Julian | Field::Isoyear | Field::Epoch
    );
    grows.then_some(if is_less { f64::NEG_INFINITY } else { f64::INFINITY })
}

/// The field of a value; `None` where it has none (infinity). Errors: 0A000, 22023.
///
/// `offset_at` tells how many seconds the session's clocks are ahead of UTC at a moment.
pub(crate) fn extract(field: Field, value: DatumRef<'_>, offset_at: impl Fn(i64) -> i32) -> Result<Option<Decimal>, SqlError> {
    match value {
        DatumRef::Date(v) if calendar::is_infinite_date(v) => Ok(None),
        DatumRef::Date(v) => of_days(field, v).map(Some),
        DatumRef::Timestamp(v) | DatumRef::TimestampTz(v) if calendar::is_infinite_timestamp(v) => Ok(None),
        DatumRef::Timestamp(v) => of_timestamp(field, v, None).map(Some),
        DatumRef::TimestampTz(v) if field == Field::Epoch => of_timestamp(field, v, None).map(Some),
        DatumRef::TimestampTz(v) => {
            let offset = offset_at(v);
            of_timestamp(field, v.saturating_add(i64::from(offset) * 1_000_000), Some(offset)).map(Some)
        }
        DatumRef::Time(v) => of_time(field, v).map(Some),
        DatumRef::Interval(v) => of_interval(field, v).map(Some),
        _ => Err(super::mismatch("extract")),
    }
}

fn of_days(field: Field, days: i32) -> Result<Decimal, SqlError> {
    match field {
        Field::Microsecond | Field::Millisecond | Field::Second | Field::Minute | Field::Hour => Err(unsupported(field, "date")),
        Field::Timezone | Field::TimezoneHour | Field::TimezoneMinute => Err(unsupported(field, "date")),
        Field::Epoch => Ok(whole(i128::from(days) * 86_400)),
        field => calendar_field(field, days).ok_or_else(|| unsupported(field, "date")),
    }
}

/// The fields a date has.
fn calendar_field(field: Field, days: i32) -> Option<Decimal> {
    let Civil { year, month, day } = calendar::civil_from_days(days);
    // There is no year 0: 1 BC is -1 to whoever asks.
    let shown_year = if year > 0 { year } else { year - 1 };
    let day_of_week = (days + 4).rem_euclid(7);
    Some(match field {
        Field::Day => whole(day),
        Field::Month => whole(month),
        Field::Quarter => whole((month - 1) / 3 + 1),
        Field::Year => whole(shown_year),
        Field::Decade => whole(year.div_euclid(10)),
        Field::Century => whole(if year > 0 { (year + 99) / 100 } else { -((99 - (year - 1)) / 100) }),
        Field::Millennium => whole(if year > 0 { (year + 999) / 1000 } else { -((999 - (year - 1)) / 1000) }),
        Field::Dow => whole(day_of_week),
        Field::Isodow => whole(if day_of_week == 0 { 7 } else { day_of_week }),
        Field::Doy => whole(i64::from(days) - calendar::days_from_civil(year, 1, 1) + 1),
        Field::Week => whole(iso_week(days).1),
        Field::Isoyear => {
            let year = iso_week(days).0;
            whole(if year > 0 { year } else { year - 1 })
        }
        Field::Julian => whole(i64::from(days) + 2_440_588),
        _ => return None,
    })
}

/// The ISO year and week of a date: week 1 has the year's first Thursday.
pub(super) fn iso_week(days: i32) -> (i32, i32) {
    // The Thursday of the date's week decides.
    let thursday = days - (days + 3).rem_euclid(7) + 3;
    let year = calendar::civil_from_days(thursday).year;
    let first = calendar::days_from_civil(year, 1, 1);
    (year, ((i64::from(thursday) - first) / 7 + 1) as i32)
}

fn clock_field(field: Field, micros: i64) -> Option<Decimal> {
    Some(match field {
        Field::Microsecond => whole(micros % 60_000_000),
        Field::Millisecond => Decimal { unscaled: (micros % 60_000_000).into(), scale: 3 },
        Field::Second => Decimal { unscaled: (micros % 60_000_000).into(), scale: 6 },
        Field::Minute => whole(micros / 60_000_000 % 60),
        Field::Hour => whole(micros / 3_600_000_000),
        _ => return None,
    })
}

fn of_timestamp(field: Field, at: i64, offset: Option<i32>) -> Result<Decimal, SqlError> {
    let (days, time) = calendar::split_timestamp(at);
    if let Some(found) = clock_field(field, time) {
        return Ok(found);
    }
    let of = if offset.is_some() { "timestamp with time zone" } else { "timestamp without time zone" };
    match (field, offset) {
        (Field::Epoch, _) => Ok(Decimal { unscaled: at.into(), scale: 6 }),
        (Field::Julian, _) => {
            let day = i128::from(days) + 2_440_588;
            // The day's share at 16 digits, rounded.
            let share = (i128::from(time) * 10i128.pow(16) + i128::from(DAY) / 2) / i128::from(DAY);
            Ok(Decimal { unscaled: day * 10i128.pow(16) + share, scale: 16 })
        }
        (Field::Timezone, Some(offset)) => Ok(whole(offset)),
        (Field::TimezoneHour, Some(offset)) => Ok(whole(offset / 3600)),
        (Field::TimezoneMinute, Some(offset)) => Ok(whole(offset / 60 % 60)),
        (field, _) => calendar_field(field, days).ok_or_else(|| unsupported(field, of)),
    }
}

fn of_time(field: Field, time: i64) -> Result<Decimal, SqlError> {
    match field {
        Field::Epoch => Ok(Decimal { unscaled: time.into(), scale: 6 }),
        field => clock_field(field, time).ok_or_else(|| unsupported(field, "time without time zone")),
    }
}

fn of_interval(field: Field, span: Interval) -> Result<Decimal, SqlError> {
    if let Some(found) = clock_field(field, span.micros) {
        return Ok(found);
    }
    let years = span.months / 12;
    Ok(match field {
        Field::Day => whole(span.days),
        Field::Month => whole(span.months % 12),
        Field::Quarter => whole(span.months % 12 / 3 + 1),
        Field::Year => whole(years),
        Field::Decade => whole(years / 10),
        Field::Century => whole(years / 100),
        Field::Millennium => whole(years / 1000),
        Field::Epoch => {
            // A year is 365.25 days here, a month beyond it 30.
            let days = i128::from(years) * 36_525 + (i128::from(span.months % 12) * 30 + i128::from(span.days)) * 100;
            Decimal { unscaled: days * i128::from(DAY) / 100 + i128::from(span.micros), scale: 6 }
        }
        field => return Err(unsupported(field, "interval")),
    })
}

/// The error for a name that is no field.
pub(crate) fn unknown(name: &str, of: SqlType) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("unit \"{name}\" not recognized for type {of}"))
}

#[cfg(test)]
mod tests {
    use types::{Datum, text};

    use super::*;

    fn field(name: &str, t: SqlType, value: &str) -> String {
        let value = text::parse(t, value).unwrap();
        let found = extract(Field::named(name).unwrap(), value.as_ref(), |_| 0).unwrap().unwrap();
        text::to_string(Datum::Numeric(found).as_ref())
    }

    #[test]
    fn fields_are_postgresqls() {
        // As PostgreSQL 15 answers.
        use SqlType::{Date, Time, Timestamp};
        for (name, t, value, expected) in [
            ("year", Date, "1995-03-15", "1995"),
            ("year", Date, "0044-03-15 BC", "-44"),
            ("century", Date, "2000-12-16", "20"),
            ("century", Date, "2001-02-16", "21"),
            ("century", Date, "0001-12-31 BC", "-1"),
            ("millennium", Date, "2001-02-16", "3"),
            ("decade", Date, "2001-02-16", "200"),
            ("quarter", Date, "2001-02-16", "1"),
            ("dow", Date, "2001-02-16", "5"),
            ("isodow", Date, "2001-02-18", "7"),
            ("doy", Date, "2001-02-16", "47"),
            ("week", Date, "2001-02-16", "7"),
            ("week", Date, "2006-01-01", "52"),
            ("isoyear", Date, "2006-01-01", "2005"),
            ("julian", Date, "2006-01-01", "2453737"),
            ("epoch", Date, "2001-02-16", "982281600"),
            ("second", Timestamp, "2001-02-16 20:38:40.12", "40.120000"),
            ("millisecond", Timestamp, "2001-02-16 20:38:40.12", "40120.000"),
            ("microsecond", Timestamp, "2001-02-16 20:38:40.12", "40120000"),
            ("hour", Timestamp, "2001-02-16 20:38:40", "20"),
            ("epoch", Timestamp, "2001-02-16 20:38:40.12", "982355920.120000"),
            ("minute", Time, "20:38:40", "38"),
            ("day", SqlType::Interval, "40 days 1 minute", "40"),
            ("month", SqlType::Interval, "2 years 13 months", "1"),
            ("epoch", SqlType::Interval, "5 days 3 hours", "442800.000000"),
            ("epoch", SqlType::Interval, "1 year 1 month", "34149600.000000"),
        ] {
            assert_eq!(field(name, t, value), expected, "extract({name} from {value})");
        }
    }
}

//! `to_char` of intervals: the patterns of dates, for years, months, days and a time that each may be negative.
//!
//! 1. Each part has its own sign, and a negative number one place more, as C writes it.
//! 2. What only a day of a calendar has (names, eras, zones, the day of the week) is refused: 22007. What PostgreSQL takes from the
//!    day that such an interval is after the year 0 (ISO weeks, J) is computed as it does.
//!
//! Source: PostgreSQL 15, `formatting.c` (`DCH_to_char`), `datetime.c` (`date2j`), `timestamp.c` (`date2isoweek`).

use types::{Interval, SqlError, SqlState};

use super::template::{Field, ROMAN, write};

/// An interval taken apart. Years and months have the sign of its months, days that of its days, the rest that of its time.
struct Parts {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    micros: i64,
}

/// An interval by a template.
pub(super) fn format_interval(span: Interval, template: &str) -> Result<String, SqlError> {
    let parts = Parts {
        year: i64::from(span.months) / 12,
        month: i64::from(span.months) % 12,
        day: i64::from(span.days),
        hour: span.micros / 3_600_000_000,
        minute: span.micros / 60_000_000 % 60,
        second: span.micros / 1_000_000 % 60,
        micros: span.micros % 1_000_000,
    };
    write(template, &|pattern| field(&parts, pattern))
}

fn field(of: &Parts, pattern: &str) -> Result<Field, SqlError> {
    let Parts { year, month, day, hour, minute, second, micros } = *of;
    // Filled to so many digits, the sign not counted.
    let signed = |number: i64, digits: usize| Field::Number(number, digits + usize::from(number < 0));
    // The sign takes the place of a digit.
    let plain = Field::Number;
    let nothing = || Field::Word(String::new(), 0);
    let word = |word: &str| Field::Word(word.to_owned(), 0);
    // Of a year; where the interval's own is negative there is room for the sign, whatever is shown.
    let digits_of = |shown: i64, digits: usize| Field::Number(shown, digits + usize::from(year < 0));
    let day_of_year = (year * 12 + month) * 30 + day;
    let afternoon = hour % 24 >= 12;
    Ok(match pattern {
        "YYYY" => signed(year, 4),
        "YYY" => digits_of(year % 1000, 3),
        "YY" => digits_of(year % 100, 2),
        "Y" => plain(year % 10, 1),
        "Y,YYY" => Field::Word(format!("{},{:03}", year / 1000, year % 1000), 0),
        "CC" => signed(year / 100, 2),
        "MM" => signed(month, 2),
        "Q" if month == 0 => nothing(),
        "Q" => plain((month - 1) / 3 + 1, 1),
        "RM" | "rm" => match roman(year, month) {
            Some(roman) if pattern == "RM" => Field::Word(roman.to_owned(), 4),
            Some(roman) => Field::Word(roman.to_lowercase(), 4),
            None => nothing(),
        },
        "DDD" => plain(day_of_year, 3),
        "DD" => plain(day, 2),
        "WW" => plain((day_of_year - 1) / 7 + 1, 2),
        "W" => plain((day - 1) / 7 + 1, 1),
        "J" => plain(julian(year, month, day), 1),
        "IYYY" => digits_of(iso_week(of).0, 4),
        "IYY" => digits_of(iso_week(of).0 % 1000, 3),
        "IY" => digits_of(iso_week(of).0 % 100, 2),
        "I" => plain(iso_week(of).0 % 10, 1),
        "IW" => plain(iso_week(of).1, 2),
        "IDDD" => plain(julian(year, month, day) - first_of_iso_year(iso_week(of).0) + 1, 3),
        "HH24" => signed(hour, 2),
        "HH12" | "HH" => {
            let twelve = if hour % 12 == 0 { 12 } else { hour % 12 };
            Field::Number(twelve, 2 + usize::from(hour < 0))
        }
        "MI" => signed(minute, 2),
        "SS" => signed(second, 2),
        "SSSS" | "SSSSS" => plain(hour * 3600 + minute * 60 + second, 1),
        "MS" => plain(micros / 1000, 3),
        "US" => plain(micros, 6),
        "AM" | "PM" => word(if afternoon { "PM" } else { "AM" }),
        "am" | "pm" => word(if afternoon { "pm" } else { "am" }),
        "A.M." | "P.M." => word(if afternoon { "P.M." } else { "A.M." }),
        "a.m." | "p.m." => word(if afternoon { "p.m." } else { "a.m." }),
        _ => {
            let message = "invalid format specification for an interval value";
            return Err(SqlError::new(SqlState::INVALID_DATETIME_FORMAT, message)
                .hint("Intervals are not tied to specific calendar dates."));
        }
    })
}

/// The month in Roman numerals; a negative one counts from the end, and years without a month have the last or the first.
fn roman(year: i64, month: i64) -> Option<&'static str> {
    let at = match (year, month) {
        (0, 0) => return None,
        (1.., 0) => 11,
        (_, 0) => 0,
        (_, ..0) => 12 + month,
        _ => month - 1,
    };
    ROMAN.get(usize::try_from(at).ok()?).copied()
}

/// The Julian day, by PostgreSQL's formula, which takes any month and day.
fn julian(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year + 4800, month + 1) } else { (year + 4799, month + 13) };
    let century = year / 100;
    year * 365 - 32167 + year / 4 - century + century / 4 + 7834 * month / 256 + day
}

/// The Monday of the week that has the year's fourth of January.
fn first_of_iso_year(year: i64) -> i64 {
    let fourth = julian(year, 1, 4);
    fourth - fourth.rem_euclid(7)
}

/// The ISO year and week.
fn iso_week(of: &Parts) -> (i64, i64) {
    let at = julian(of.year, of.month, of.day);
    let mut year = of.year;
    if at < first_of_iso_year(year) {
        year -= 1;
    }
    let mut week = (at - first_of_iso_year(year)) / 7 + 1;
    let next = first_of_iso_year(of.year + 1);
    if week >= 52 && at >= next {
        year = of.year + 1;
        week = (at - next) / 7 + 1;
    }
    (year, week)
}

//! Days and microseconds as calendar dates and times of day: the proleptic Gregorian calendar, as PostgreSQL and ISO 8601 count.
//!
//! ```text
//! year 0 = 1 BC, year -1 = 2 BC          date       4714-11-24 BC ..= 5874897-12-31      i32 days of 1970-01-01
//! -infinity = MIN, infinity = MAX        timestamp  4714-11-24 BC ..= 294247-01-10       i64 microseconds of 1970-01-01
//! ```
//!
//! 1. The least and the greatest integer of a date or timestamp are its two infinities and no moment.
//! 2. Everything between the bounds can be formatted and read back; everything outside is refused with 22008.
//!
//! PostgreSQL counts from 2000-01-01, so its timestamps reach 30 years further than ours; its least ones are the same.
//! Source: Howard Hinnant, "chrono-compatible low-level date algorithms"; the bounds from PostgreSQL 15 `datatype/timestamp.h`.

/// Microseconds of a second.
pub const SECOND: i64 = 1_000_000;
/// Microseconds of a minute.
pub const MINUTE: i64 = 60 * SECOND;
/// Microseconds of an hour.
pub const HOUR: i64 = 60 * MINUTE;
/// Microseconds of a day.
pub const DAY: i64 = 24 * HOUR;

/// The date 4714-11-24 BC, Julian day 0.
pub const DATE_MIN: i32 = -2_440_588;
/// The date 5874897-12-31.
pub const DATE_MAX: i32 = 2_145_042_905;
/// The date `-infinity`.
pub const DATE_NEG_INFINITY: i32 = i32::MIN;
/// The date `infinity`.
pub const DATE_INFINITY: i32 = i32::MAX;

/// The timestamp 4714-11-24 00:00:00 BC.
pub const TIMESTAMP_MIN: i64 = DATE_MIN as i64 * DAY;
/// The timestamp 294247-01-10 04:00:54.775806.
pub const TIMESTAMP_MAX: i64 = i64::MAX - 1;
/// The timestamp `-infinity`.
pub const TIMESTAMP_NEG_INFINITY: i64 = i64::MIN;
/// The timestamp `infinity`.
pub const TIMESTAMP_INFINITY: i64 = i64::MAX;

/// Days from 1970-01-01 to 2000-01-01, where PostgreSQL's binary form counts from.
pub const DAYS_TO_2000: i32 = 10_957;
/// Microseconds from 1970-01-01 to 2000-01-01.
pub const MICROS_TO_2000: i64 = DAYS_TO_2000 as i64 * DAY;

/// A calendar date. `year` counts astronomically: 0 is 1 BC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// The year; 0 is 1 BC.
    pub year: i32,
    /// The month, 1..=12.
    pub month: u32,
    /// The day of the month, 1..=31.
    pub day: u32,
}

/// Days from 1970-01-01 to a date. `day` may lie outside the month: days are counted on.
pub fn days_from_civil(year: i32, month: u32, day: u32) -> i64 {
    let year = i64::from(year) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((i64::from(month) + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The date that is `days` after 1970-01-01.
pub fn civil_from_days(days: i32) -> Civil {
    let days = i64::from(days) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u32;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 } as u32;
    Civil { year: (year_of_era + era * 400) as i32 + i32::from(month <= 2), month, day }
}

/// True for a leap year; 0 is 1 BC, which is one.
pub fn is_leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days of a month, 1..=12.
pub fn days_in_month(year: i32, month: u32) -> u32 {
    match month {
        2 => 28 + u32::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The date of a timestamp and its microseconds since midnight.
pub fn split_timestamp(micros: i64) -> (i32, i64) {
    (micros.div_euclid(DAY) as i32, micros.rem_euclid(DAY))
}

/// The timestamp of a date (days since 1970-01-01) and microseconds since its midnight (which may be more than a day's, or
/// negative), if it is a moment that a timestamp can hold.
pub fn join_timestamp(days: i64, micros: i64) -> Option<i64> {
    let sum = i128::from(days) * i128::from(DAY) + i128::from(micros);
    i64::try_from(sum).ok().filter(|v| (TIMESTAMP_MIN..=TIMESTAMP_MAX).contains(v))
}

/// True for the two infinities.
pub fn is_infinite_date(days: i32) -> bool {
    days == DATE_INFINITY || days == DATE_NEG_INFINITY
}

/// True for the two infinities.
pub fn is_infinite_timestamp(micros: i64) -> bool {
    micros == TIMESTAMP_INFINITY || micros == TIMESTAMP_NEG_INFINITY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_inverse() {
        for (days, year, month, day) in [
            (0, 1970, 1, 1),
            (-1, 1969, 12, 31),
            (DAYS_TO_2000, 2000, 1, 1),
            (11_016, 2000, 2, 29),
            (-719_528, 0, 1, 1),
            (-719_469, 0, 2, 29),
            (DATE_MIN, -4713, 11, 24),
            (DATE_MAX, 5_874_897, 12, 31),
        ] {
            assert_eq!(civil_from_days(days), Civil { year, month, day });
            assert_eq!(days_from_civil(year, month, day), i64::from(days));
        }
        for days in (DATE_MIN..DATE_MAX).step_by(9973) {
            let Civil { year, month, day } = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), i64::from(days));
            assert!(day <= days_in_month(year, month));
        }
    }

    #[test]
    fn timestamps_are_bounded_below_by_julian_day_zero_and_above_by_their_integer() {
        assert_eq!(join_timestamp(i64::from(DATE_MIN), 0), Some(TIMESTAMP_MIN));
        assert_eq!(join_timestamp(i64::from(DATE_MIN), -1), None);
        let (day, micros) = split_timestamp(TIMESTAMP_MAX);
        assert_eq!(civil_from_days(day), Civil { year: 294_247, month: 1, day: 10 });
        assert_eq!(join_timestamp(i64::from(day), micros), Some(TIMESTAMP_MAX));
        assert_eq!(join_timestamp(i64::from(day), micros + 1), None, "that integer is infinity");
        assert_eq!(split_timestamp(-1), (-1, DAY - 1));
    }
}

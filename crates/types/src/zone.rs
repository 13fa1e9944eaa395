//! Time zones: names, abbreviations and POSIX rules into offsets from UTC.
//!
//! ```text
//! name           what it is                                      offset (seconds east of UTC)
//! Europe/Berlin  a zone of the IANA database, in any case        by its rules, of that moment
//! CEST, PST, Z   an abbreviation of PostgreSQL's default set     fixed, or what the abbreviation last meant in its zone
//! FOO+3, EST5EDT a POSIX rule; its sign counts west of UTC       by the rule
//! ```
//!
//! 1. The database is compiled in: the same input means the same moment on every machine.
//! 2. Local times that a clock change skips or repeats are read as standard time, as PostgreSQL does.
//! 3. Beyond year 9999 a zone goes on as it does within the last 400 years before that.
//!
//! `zone/abbreviations.tsv` is PostgreSQL 15's `timezonesets/Default` without its comments.

use std::collections::HashMap;
use std::sync::LazyLock;

use jiff::civil::{DateTime, Time};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};

use crate::calendar::{self, Civil, DAY, SECOND};
use crate::error::{SqlError, SqlState};

static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// Abbreviation to its offset or zone, and whether it is summer time.
static ABBREVIATIONS: LazyLock<HashMap<&'static str, (&'static str, bool)>> = LazyLock::new(|| {
    let entry = |line: &'static str| {
        let mut columns = line.split('\t');
        Some((columns.next()?, (columns.next()?, columns.next() == Some("D"))))
    };
    include_str!("zone/abbreviations.tsv").lines().filter_map(entry).collect()
});

/// Days after which the calendar and so every zone's yearly rules repeat: 400 years.
const CYCLE_DAYS: i32 = 146_097;

/// A zone by its name: an IANA name in any case, or a POSIX rule. Errors: 22023 for a name that is neither.
pub fn named(name: &str) -> Result<TimeZone, SqlError> {
    find(name).ok_or_else(|| SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("time zone \"{name}\" not recognized")))
}

/// As [`named`], with `None` for a name that is neither.
pub fn find(name: &str) -> Option<TimeZone> {
    if name.eq_ignore_ascii_case("utc") {
        return Some(TimeZone::UTC);
    }
    DATABASE.get(name).ok().or_else(|| posix(name))
}

/// The zone of a POSIX rule: a name and an offset, which counts west of UTC; perhaps a name, an offset and a rule for summer
/// time. As in PostgreSQL a name may have any characters, and summer time without a rule is that of the United States.
fn posix(rule: &str) -> Option<TimeZone> {
    let (_, rest) = posix_name(rule)?;
    let (offset, rest) = posix_offset(rest)?;
    if rest.is_empty() {
        return Some(TimeZone::fixed(Offset::from_seconds(-offset).ok()?));
    }
    let (summer, rest) = posix_name(rest)?;
    let (summer_offset, rest) = match rest.bytes().next() {
        None | Some(b',') => (offset - 3600, rest),
        Some(_) => posix_offset(rest)?,
    };
    let rest = if rest.is_empty() { ",M3.2.0,M11.1.0" } else { rest };
    if summer.is_empty() {
        return None;
    }
    let clock = |offset: i32| {
        let (sign, seconds) = (if offset < 0 { "-" } else { "" }, offset.unsigned_abs());
        format!("{sign}{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    };
    // The names themselves do not matter, and not every name is one to jiff.
    TimeZone::posix(&format!("STD{}DST{}{rest}", clock(offset), clock(summer_offset))).ok()
}

/// The name at the start of a rule, in angle brackets or up to the first digit, sign or comma.
fn posix_name(rule: &str) -> Option<(&str, &str)> {
    if let Some(rest) = rule.strip_prefix('<') {
        return rest.split_once('>');
    }
    let end = rule.find(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | ',')).unwrap_or(rule.len());
    Some(rule.split_at(end))
}

/// The `h`, `h:m` or `h:m:s` at the start of a rule, with an optional sign, in seconds.
fn posix_offset(rule: &str) -> Option<(i32, &str)> {
    let (sign, mut rest) = match rule.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, rule.strip_prefix('+').unwrap_or(rule)),
    };
    let mut seconds = 0;
    for (at, (unit, end)) in [(3600, 24 * 7), (60, 60), (1, 61)].into_iter().enumerate() {
        if at > 0 {
            let Some(after) = rest.strip_prefix(':') else { break };
            rest = after;
        }
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let value: i32 = rest[..digits].parse().ok().filter(|value| *value < end)?;
        seconds += value * unit;
        rest = &rest[digits..];
    }
    Some((sign * seconds, rest))
}

/// What an abbreviation stands for.
#[derive(Clone, Debug)]
pub enum Abbreviation {
    /// Always this many seconds east of UTC.
    Fixed(i32),
    /// What it meant, at the time asked for, in this zone.
    In(TimeZone),
}

/// The meaning of an abbreviation of PostgreSQL's default set, in any case, and whether it is of summer time.
pub fn abbreviation(name: &str) -> Option<(Abbreviation, bool)> {
    let (meaning, is_summer) = *ABBREVIATIONS.get(name.to_ascii_uppercase().as_str())?;
    let meaning = match meaning.parse() {
        Ok(offset) => Abbreviation::Fixed(offset),
        Err(_) => Abbreviation::In(find(meaning)?),
    };
    Some((meaning, is_summer))
}

/// True if the zone has had one offset from UTC at all times.
pub fn is_fixed(zone: &TimeZone) -> bool {
    zone.to_fixed_offset().is_ok() || zone.following(jiff::Timestamp::MIN).next().is_none()
}

/// Seconds east of UTC that the zone's clocks are at the timestamp `micros` (since 1970-01-01 UTC).
pub fn offset_at(zone: &TimeZone, micros: i64) -> i32 {
    if *zone == TimeZone::UTC {
        return 0;
    }
    let (days, of_day) = calendar::split_timestamp(micros);
    let micros = i64::from(days_within_jiff(days)) * DAY + of_day;
    jiff::Timestamp::from_microsecond(micros).map_or(0, |at| zone.to_offset(at).seconds())
}

/// Seconds east of UTC that the zone's clocks are when they show `micros` (since 1970-01-01, local).
///
/// A time that is skipped has the offset before the change, one that is repeated the offset after it: both are standard time.
pub fn offset_of_local(zone: &TimeZone, micros: i64) -> i32 {
    if *zone == TimeZone::UTC {
        return 0;
    }
    match zone.to_ambiguous_timestamp(local(micros)).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.seconds(),
        AmbiguousOffset::Gap { before, .. } => before.seconds(),
        AmbiguousOffset::Fold { after, .. } => after.seconds(),
    }
}

/// Seconds east of UTC that `name` meant in `zone` when its clocks showed `micros` (since 1970-01-01, local): the latest
/// use of the abbreviation before that moment, else the first after it, else the zone's own offset.
pub fn offset_of_abbreviation(zone: &TimeZone, name: &str, micros: i64) -> i32 {
    let own = offset_of_local(zone, micros);
    let Ok(at) = jiff::Timestamp::from_microsecond(micros.saturating_sub(i64::from(own) * SECOND)) else {
        return own;
    };
    let now = zone.to_offset_info(at);
    if now.abbreviation().eq_ignore_ascii_case(name) {
        return now.offset().seconds();
    }
    let mut used = zone.preceding(at).chain(zone.following(at).take(400));
    used.find(|change| change.abbreviation().eq_ignore_ascii_case(name)).map_or(own, |change| change.offset().seconds())
}

/// The same day in a 400-year cycle that jiff's calendar, which ends in 9999 either way, has.
fn days_within_jiff(days: i32) -> i32 {
    const FIRST: i32 = -4_371_222; // -9998-01-01
    const LAST: i32 = 2_932_530; // 9998-12-31
    if days > LAST {
        days - (days - LAST + CYCLE_DAYS - 1) / CYCLE_DAYS * CYCLE_DAYS
    } else if days < FIRST {
        days + (FIRST - days + CYCLE_DAYS - 1) / CYCLE_DAYS * CYCLE_DAYS
    } else {
        days
    }
}

fn local(micros: i64) -> DateTime {
    let (days, of_day) = calendar::split_timestamp(micros);
    let Civil { year, month, day } = calendar::civil_from_days(days_within_jiff(days));
    let (seconds, fraction) = (of_day / SECOND, of_day % SECOND);
    let time = Time::constant((seconds / 3600) as i8, (seconds / 60 % 60) as i8, (seconds % 60) as i8, (fraction * 1000) as i32);
    DateTime::from_parts(jiff::civil::date(year as i16, month as i8, day as i8), time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::{HOUR, days_from_civil};

    fn at(year: i32, month: u32, day: u32, hour: i64) -> i64 {
        days_from_civil(year, month, day) * DAY + hour * HOUR
    }

    #[test]
    fn a_clock_change_reads_as_standard_time() {
        let zone = named("america/new_york").unwrap();
        assert_eq!(offset_of_local(&zone, at(2024, 3, 10, 1)), -5 * 3600);
        assert_eq!(offset_of_local(&zone, at(2024, 3, 10, 2)), -5 * 3600, "skipped");
        assert_eq!(offset_of_local(&zone, at(2024, 3, 10, 3)), -4 * 3600);
        assert_eq!(offset_of_local(&zone, at(2024, 11, 3, 1)), -5 * 3600, "repeated");
        assert_eq!(offset_at(&zone, at(2024, 7, 1, 0)), -4 * 3600);
    }

    #[test]
    fn a_zone_goes_on_beyond_the_year_9999() {
        let zone = named("Europe/Berlin").unwrap();
        for year in [9998, 9999, 10_000, 12_345, 294_246] {
            assert_eq!(offset_at(&zone, at(year, 7, 1, 0)), 7200, "{year}");
            assert_eq!(offset_at(&zone, at(year, 1, 2, 0)), 3600, "{year}");
            assert_eq!(offset_of_local(&zone, at(year, 7, 1, 0)), 7200, "{year}");
        }
        assert_eq!(offset_at(&zone, calendar::TIMESTAMP_MIN), 3208, "local mean time");
        assert_eq!(offset_of_local(&zone, calendar::TIMESTAMP_MAX), 3600);
    }

    #[test]
    fn every_abbreviation_has_a_meaning() {
        for name in ABBREVIATIONS.keys() {
            assert!(abbreviation(name).is_some(), "{name}");
        }
        assert!(matches!(abbreviation("pst"), Some((Abbreviation::Fixed(-28_800), false))));
        let Some((Abbreviation::In(moscow), _)) = abbreviation("MSK") else { panic!("MSK is looked up in Europe/Moscow") };
        assert_eq!(offset_of_abbreviation(&moscow, "MSK", at(2012, 1, 1, 0)), 4 * 3600);
        assert_eq!(offset_of_abbreviation(&moscow, "MSK", at(2020, 1, 1, 0)), 3 * 3600);
    }

    #[test]
    fn names_that_are_no_zone_are_refused() {
        for name in ["", "Nowhere/Land", "x", "America"] {
            assert_eq!(named(name).unwrap_err().state, SqlState::INVALID_PARAMETER_VALUE, "{name}");
        }
        assert_eq!(offset_at(&named("FOO+3").unwrap(), 0), -3 * 3600);
    }
}

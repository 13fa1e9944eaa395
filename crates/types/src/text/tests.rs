//! What the fixtures of `tests/oracle.rs` cannot hold: answers that depend on a clock, and functions without a type.

use super::*;
use crate::calendar::{DAY, HOUR, SECOND, days_from_civil};
use crate::zone;

/// 2024-03-10 03:04:05.6 UTC: still the 9th in New York.
fn session(zone: &str) -> Session {
    let now = days_from_civil(2024, 3, 10) * DAY + 3 * HOUR + 4 * 60 * SECOND + 5_600_000;
    Session { zone: zone::named(zone).unwrap(), now: Some(now) }
}

fn shown(t: SqlType, s: &str, session: &Session) -> String {
    let value = parse_in(t, s, session).unwrap();
    let mut out = Vec::new();
    format_in(value.as_ref(), &session.zone, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn words_relative_to_now_follow_the_sessions_clock_and_zone() {
    use SqlType::{Date, Time, Timestamp, TimestampTz};
    for (zone, t, text, expected) in [
        ("UTC", TimestampTz, "now", "2024-03-10 03:04:05.6+00"),
        ("America/New_York", TimestampTz, "now", "2024-03-09 22:04:05.6-05"),
        ("America/New_York", Timestamp, "NOW", "2024-03-09 22:04:05.6"),
        ("America/New_York", Time, "now", "22:04:05.6"),
        ("UTC", Date, "today", "2024-03-10"),
        ("America/New_York", Date, "now", "2024-03-09"),
        ("America/New_York", Date, "today", "2024-03-09"),
        ("America/New_York", Date, "tomorrow", "2024-03-10"),
        ("UTC", Date, "yesterday", "2024-03-09"),
        ("America/New_York", TimestampTz, "tomorrow", "2024-03-10 00:00:00-05"),
        ("America/New_York", TimestampTz, "tomorrow 12:00", "2024-03-10 12:00:00-04"),
        ("UTC", Timestamp, "yesterday 04:05 pm", "2024-03-09 16:05:00"),
        ("UTC", TimestampTz, "tomorrow zulu", "2024-03-11 00:00:00+00"),
        ("UTC", Timestamp, "today allballs", "2024-03-10 00:00:00"),
    ] {
        assert_eq!(shown(t, text, &session(zone)), expected, "{text:?} in {zone}");
    }
}

#[test]
fn without_a_clock_words_relative_to_now_are_refused() {
    for t in [SqlType::Date, SqlType::Timestamp, SqlType::TimestampTz] {
        for text in ["now", "today", "tomorrow", "yesterday 12:00"] {
            assert_eq!(parse(t, text).unwrap_err().state, SqlState::FEATURE_NOT_SUPPORTED, "{text:?}");
        }
        assert!(parse(t, "epoch").is_ok());
    }
}

#[test]
fn a_literal_keeps_the_scale_it_is_written_with() {
    for (text, expected) in [
        ("1.50", Ok("1.50")),
        ("1e3", Ok("1000")),
        ("1.5e1", Ok("15")),
        ("1.25e-3", Ok("0.00125")),
        ("-0.0", Ok("0.0")),
        ("99999999999999999999999999999999999999", Ok("99999999999999999999999999999999999999")),
        ("0.99999999999999999999999999999999999999", Ok("0.99999999999999999999999999999999999999")),
        ("9.99999999999999999999999999999999999999", Ok("10.000000000000000000000000000000000000")),
        ("99999999999999999999999999999999999999.5", Err("22003")),
        ("1e38", Err("22003")),
        ("1.2.3", Err("22P02")),
    ] {
        let answer = parse_decimal(text).map(|v| to_string(DatumRef::Numeric(v)));
        assert_eq!(answer.as_deref().map_err(|error| error.state.as_str()), expected, "{text}");
    }
}

#[test]
fn a_string_is_fitted_by_characters() {
    for (t, text, expected) in [
        (SqlType::Varchar(2), "äö", Some("äö")),
        (SqlType::Varchar(2), "äö  ", Some("äö")),
        (SqlType::Varchar(2), "äöü", None),
        (SqlType::Char(3), "äö", Some("äö ")),
        (SqlType::Char(3), "", Some("   ")),
        (SqlType::Char(2), "ab ", Some("ab")),
        (SqlType::Text, "abc ", Some("abc ")),
    ] {
        assert_eq!(fit_string(t, text).ok().as_deref(), expected, "{t} {text:?}");
    }
    let error = fit_string(SqlType::Varchar(2), "abc").unwrap_err();
    assert_eq!(error.message, "value too long for type character varying(2)");
    assert_eq!(parse(SqlType::Text, "a\0b").unwrap_err().state, SqlState::CHARACTER_NOT_IN_REPERTOIRE);
}

#[test]
fn null_has_no_text() {
    assert_eq!(to_string(DatumRef::Null), "");
}

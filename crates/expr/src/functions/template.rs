//! `to_char`, `to_date`, `to_timestamp`: values by templates such as `YYYY-MM-DD HH24:MI:SS` and `FM999,990.00`.
//!
//! The common patterns are here: of dates `Y YY YYY YYYY Y,YYY IYYY IYY BC AD MONTH Month month MON Mon mon MM RM DAY Day day DY Dy dy
//! D ID DD DDD W WW IW Q CC J HH HH12 HH24 MI SS SSSS SSSSS MS US FF1..FF6 AM PM TZ tz OF FM TH th "text"`; of numbers `9 0 . , D G S MI PL PR
//! SG L FM EEEE` (no `EEEE`, `RN`, `V`: 0A000). Source: PostgreSQL 15, documentation 9.8, `formatting.c`.

use jiff::tz::TimeZone;
use types::calendar::{self, Civil};
use types::{Decimal, SqlError, SqlState};

use super::fields::iso_week;
use crate::decimal::{self, Rounding};

const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
pub(super) const ROMAN: [&str; 12] = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];

/// The patterns of dates, longest first among those that begin alike.
const PATTERNS: &[&str] = &[
    "Y,YYY", "YYYY", "YYY", "YY", "Y", "IYYY", "IYY", "IY", "IW", "IDDD", "ID", "I", "MONTH", "Month", "month", "MON", "Mon",
    "mon", "MM", "MI", "MS", "RM", "rm", "DAY", "Day", "day", "DDD", "DD", "DY", "Dy", "dy", "D", "WW", "W", "Q", "CC", "J",
    "HH24", "HH12", "HH", "SSSSS", "SSSS", "SS", "US", "AM", "PM", "am", "pm", "A.M.", "P.M.", "a.m.", "p.m.", "BC", "AD", "bc",
    "ad", "TZH", "TZM", "TZ", "tz", "OF", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6", "FM", "fm", "TH", "th",
];

/// One piece of a template.
#[derive(Debug, PartialEq)]
enum Piece<'a> {
    Pattern(&'static str),
    Text(&'a str),
}

/// Cuts a template into patterns and text.
fn pieces(template: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let mut rest = template;
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"').unwrap_or(quoted.len());
            found.push(Piece::Text(&quoted[..end]));
            rest = quoted.get(end + 1..).unwrap_or("");
            continue;
        }
        // Case decides the case of names only: mm is MM.
        let exact = PATTERNS.iter().find(|p| rest.starts_with(**p));
        let folded = || PATTERNS.iter().find(|p| rest.get(..p.len()).is_some_and(|head| head.eq_ignore_ascii_case(p)));
        let longer = folded().filter(|folded| exact.is_none_or(|exact| folded.len() > exact.len()));
        match longer.or(exact) {
            Some(pattern) => {
                found.push(Piece::Pattern(pattern));
                rest = &rest[pattern.len()..];
            }
            None => {
                let len = rest.chars().next().map_or(1, char::len_utf8);
                found.push(Piece::Text(&rest[..len]));
                rest = &rest[len..];
            }
        }
    }
    found
}

/// What the patterns of a date show.
struct Shown {
    civil: Civil,
    days: i32,
    /// Microseconds since midnight.
    micros: i64,
}

/// What stands for a pattern, and how many places it is filled to (a number with zeros, its sign counted).
pub(super) enum Field {
    Number(i64, usize),
    Word(String, usize),
}

/// A timestamp by a template. `zone`: seconds ahead of UTC, and the zone.
pub(super) fn format(at: i64, zone: Option<(i32, &TimeZone)>, template: &str) -> Result<String, SqlError> {
    if calendar::is_infinite_timestamp(at) {
        return Ok(String::new());
    }
    let (days, micros) = calendar::split_timestamp(at);
    let shown = Shown { civil: calendar::civil_from_days(days), days, micros };
    write(template, &|pattern| match number(&shown, pattern) {
        Some((number, width)) => Ok(Field::Number(number, width)),
        None => Ok(match name(&shown, pattern)? {
            Some((name, width)) => Field::Word(name, width),
            None => Field::Word(offset(pattern, zone)?, 0),
        }),
    })
}

/// A template with what `field` gives in the places of its patterns.
pub(super) fn write(template: &str, field: &dyn Fn(&'static str) -> Result<Field, SqlError>) -> Result<String, SqlError> {
    let mut out = String::new();
    let mut fill = true;
    let mut last_number: Option<i64> = None;
    for piece in pieces(template) {
        let pattern = match piece {
            Piece::Text(text) => {
                out.push_str(text);
                continue;
            }
            Piece::Pattern("FM" | "fm") => {
                fill = false;
                continue;
            }
            Piece::Pattern(p @ ("TH" | "th")) => {
                let suffix = ordinal(last_number.unwrap_or(0));
                out.push_str(&if p == "TH" { suffix.to_uppercase() } else { suffix.to_owned() });
                continue;
            }
            Piece::Pattern(pattern) => pattern,
        };
        match field(pattern)? {
            Field::Number(number, width) => {
                last_number = Some(number);
                // Decimals of a second mean nothing without their zeros.
                let fill = fill || matches!(pattern, "MS" | "US") || decimals(pattern).is_some();
                if fill { out.push_str(&format!("{number:0width$}")) } else { out.push_str(&number.to_string()) }
            }
            Field::Word(word, width) if fill => out.push_str(&format!("{word:width$}")),
            Field::Word(word, _) => out.push_str(&word),
        }
        // FM counts for the pattern behind it only.
        fill = true;
    }
    Ok(out)
}

/// The number of a numeric pattern, and how many digits it is filled to.
fn number(shown: &Shown, pattern: &str) -> Option<(i64, usize)> {
    let Civil { year, month, day } = shown.civil;
    let year = i64::from(if year > 0 { year } else { 1 - year });
    let hour = shown.micros / 3_600_000_000;
    let twelve = (hour + 11).rem_euclid(12) + 1;
    let day_of_week = i64::from((shown.days + 4).rem_euclid(7));
    let day_of_year = || i64::from(shown.days) - calendar::days_from_civil(shown.civil.year, 1, 1) + 1;
    Some(match pattern {
        "YYYY" => (year, 4),
        "YYY" => (year % 1000, 3),
        "YY" => (year % 100, 2),
        "Y" => (year % 10, 1),
        "IYYY" => (iso_week(shown.days).0.into(), 4),
        "IYY" => (i64::from(iso_week(shown.days).0) % 1000, 3),
        "IY" => (i64::from(iso_week(shown.days).0) % 100, 2),
        "I" => (i64::from(iso_week(shown.days).0) % 10, 1),
        "IW" => (iso_week(shown.days).1.into(), 2),
        "MM" => (month.into(), 2),
        "DDD" => (day_of_year(), 3),
        "DD" => (day.into(), 2),
        "D" => (day_of_week + 1, 1),
        "ID" => (if day_of_week == 0 { 7 } else { day_of_week }, 1),
        "WW" => ((day_of_year() - 1) / 7 + 1, 2),
        "W" => (i64::from(day.saturating_sub(1)) / 7 + 1, 1),
        "Q" => (i64::from(month.saturating_sub(1)) / 3 + 1, 1),
        "CC" => ((year + 99) / 100, 2),
        "J" => (i64::from(shown.days) + 2_440_588, 1),
        "HH24" => (hour, 2),
        "HH12" | "HH" => (twelve, 2),
        "MI" => (shown.micros / 60_000_000 % 60, 2),
        "SS" => (shown.micros / 1_000_000 % 60, 2),
        "SSSS" | "SSSSS" => (shown.micros / 1_000_000, 1),
        "MS" => (shown.micros / 1_000 % 1_000, 3),
        "US" => (shown.micros % 1_000_000, 6),
        _ => {
            let digits = decimals(pattern)?;
            (shown.micros % 1_000_000 / 10i64.pow(6 - digits as u32), digits)
        }
    })
}

/// How many digits of a second's fraction `FF1` to `FF6` stand for.
fn decimals(pattern: &str) -> Option<usize> {
    pattern.strip_prefix("FF")?.parse().ok().filter(|digits| (1..=6).contains(digits))
}

/// The word of a pattern that has one, and the width it is filled to.
fn name(shown: &Shown, pattern: &str) -> Result<Option<(String, usize)>, SqlError> {
    let month = || MONTHS.get((shown.civil.month as usize).wrapping_sub(1)).copied().unwrap_or("");
    let day = || DAYS[(shown.days + 4).rem_euclid(7) as usize];
    let afternoon = shown.micros / 3_600_000_000 % 24 >= 12;
    let before_christ = shown.civil.year <= 0;
    let pick = |yes: &str, no: &str, is: bool| Some((if is { yes } else { no }.to_owned(), 0));
    Ok(match pattern {
        "MONTH" => Some((month().to_uppercase(), 9)),
        "Month" => Some((month().to_owned(), 9)),
        "month" => Some((month().to_lowercase(), 9)),
        "MON" => Some((month().chars().take(3).collect::<String>().to_uppercase(), 0)),
        "Mon" => Some((month().chars().take(3).collect(), 0)),
        "mon" => Some((month().chars().take(3).collect::<String>().to_lowercase(), 0)),
        "RM" | "rm" => {
            let roman = ROMAN.get((shown.civil.month as usize).wrapping_sub(1)).copied().unwrap_or("");
            Some((if pattern == "RM" { roman.to_owned() } else { roman.to_lowercase() }, 4))
        }
        "DAY" => Some((day().to_uppercase(), 9)),
        "Day" => Some((day().to_owned(), 9)),
        "day" => Some((day().to_lowercase(), 9)),
        "DY" => Some((day()[..3].to_uppercase(), 0)),
        "Dy" => Some((day()[..3].to_owned(), 0)),
        "dy" => Some((day()[..3].to_lowercase(), 0)),
        "AM" | "PM" => pick("PM", "AM", afternoon),
        "am" | "pm" => pick("pm", "am", afternoon),
        "A.M." | "P.M." => pick("P.M.", "A.M.", afternoon),
        "a.m." | "p.m." => pick("p.m.", "a.m.", afternoon),
        "BC" | "AD" => pick("BC", "AD", before_christ),
        "bc" | "ad" => pick("bc", "ad", before_christ),
        "Y,YYY" => {
            let year = if before_christ { 1 - shown.civil.year } else { shown.civil.year };
            Some((format!("{},{:03}", year / 1000, year % 1000), 0))
        }
        _ => None,
    })
}

fn offset(pattern: &str, zone: Option<(i32, &TimeZone)>) -> Result<String, SqlError> {
    let Some((seconds, zone)) = zone else { return Ok(String::new()) };
    let sign = if seconds < 0 { '-' } else { '+' };
    let (hours, minutes) = (seconds.abs() / 3600, seconds.abs() / 60 % 60);
    Ok(match pattern {
        "TZH" => format!("{sign}{hours:02}"),
        "TZM" => format!("{minutes:02}"),
        "OF" if minutes == 0 => format!("{sign}{hours:02}"),
        "OF" => format!("{sign}{hours:02}:{minutes:02}"),
        "TZ" | "tz" => {
            let name = match zone.iana_name() {
                Some("UTC" | "Etc/UTC") | None if seconds == 0 => "UTC".to_owned(),
                _ if minutes == 0 => format!("{sign}{hours:02}"),
                _ => format!("{sign}{hours:02}:{minutes:02}"),
            };
            if pattern == "TZ" { name } else { name.to_lowercase() }
        }
        other => return Err(SqlError::unsupported(format!("the pattern {other} is not supported"))),
    })
}

fn ordinal(n: i64) -> &'static str {
    let n = n.unsigned_abs();
    match (n % 100, n % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    }
}

/// The timestamp that `text` is by a template. Errors: 22007, 22008; 0A000 for a pattern that can only be written.
pub(super) fn parse(text: &str, template: &str) -> Result<i64, SqlError> {
    let mut reader = Reader { rest: text.trim_start(), year: 1, month: 1, day: 1, ..Reader::default() };
    let mut found = pieces(template).into_iter().peekable();
    while let Some(piece) = found.next() {
        match piece {
            Piece::Text(text) => {
                for c in text.chars() {
                    reader.skip(c);
                }
            }
            Piece::Pattern(pattern) => {
                // Digits of a number end where the next number begins.
                let glued = matches!(found.peek(), Some(Piece::Pattern(next)) if number_width(next).is_some());
                reader.read(pattern, glued)?;
            }
        }
    }
    reader.finish(text)
}

/// Digits a numeric pattern reads at most.
fn number_width(pattern: &str) -> Option<usize> {
    Some(match pattern {
        "YYYY" | "IYYY" => 4,
        "YYY" | "DDD" | "MS" => 3,
        "YY" | "MM" | "DD" | "HH24" | "HH12" | "HH" | "MI" | "SS" => 2,
        "Y" | "D" => 1,
        "US" => 6,
        "J" => 7,
        "SSSS" | "SSSSS" => 5,
        _ => return decimals(pattern),
    })
}

#[derive(Default)]
struct Reader<'a> {
    rest: &'a str,
    year: i32,
    month: u32,
    day: u32,
    day_of_year: Option<u32>,
    julian: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    micros: i64,
    seconds_of_day: Option<i64>,
    afternoon: Option<bool>,
    /// The hour is one of twelve.
    of_twelve: bool,
    before_christ: bool,
}

impl Reader<'_> {
    fn skip(&mut self, c: char) {
        if c.is_whitespace() {
            self.rest = self.rest.trim_start();
        } else if self.rest.starts_with(c)
            || (c.is_ascii_punctuation() && self.rest.starts_with(|r: char| r.is_ascii_punctuation()))
        {
            self.rest = &self.rest[self.rest.chars().next().map_or(0, char::len_utf8)..];
        }
    }

    fn digits(&mut self, pattern: &str, width: usize) -> Result<i64, SqlError> {
        self.rest = self.rest.trim_start();
        let end = self.rest.bytes().take(width).take_while(u8::is_ascii_digit).count();
        let value = self.rest[..end].parse::<i64>().map_err(|_| {
            let near: String = self.rest.chars().take(width).collect();
            SqlError::new(SqlState::INVALID_DATETIME_FORMAT, format!("invalid value \"{near}\" for \"{pattern}\""))
                .detail("Value must be an integer.")
        })?;
        self.rest = &self.rest[end..];
        Ok(value)
    }

    fn word(&mut self, pattern: &str, words: &[&str]) -> Result<usize, SqlError> {
        let matches = |word: &str| self.rest.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
        match words.iter().position(|word| matches(word)) {
            Some(at) => {
                self.rest = &self.rest[words[at].len()..];
                Ok(at)
            }
            None => {
                let near: String = self.rest.chars().take(9).collect();
                let message = format!("invalid value \"{near}\" for \"{pattern}\"");
                Err(SqlError::new(SqlState::INVALID_DATETIME_FORMAT, message)
                    .detail("The given value did not match any of the allowed values for this field."))
            }
        }
    }

    fn read(&mut self, pattern: &'static str, glued: bool) -> Result<(), SqlError> {
        if let Some(width) = number_width(pattern) {
            let start = self.rest.trim_start().len();
            // A year may have more digits where nothing is glued to it.
            let most = if pattern == "YYYY" && !glued { 7 } else { width };
            let value = self.digits(pattern, most)?;
            let read = start - self.rest.len();
            let small = |v: i64| v as u32;
            match pattern {
                "YYYY" | "IYYY" => self.year = value as i32,
                "YYY" => self.year = value as i32 + if value >= 520 { 1000 } else { 2000 },
                "YY" | "Y" => self.year = value as i32 + if value >= 70 { 1900 } else { 2000 },
                "MM" => self.month = small(value),
                "DD" => self.day = small(value),
                "DDD" => self.day_of_year = Some(small(value)),
                "J" => self.julian = Some(value),
                "HH24" => self.hour = value,
                "HH12" | "HH" => (self.hour, self.of_twelve) = (value, true),
                "MI" => self.minute = value,
                "SS" => self.second = value,
                "MS" => self.micros = value * 10i64.pow(6 - read.min(3) as u32),
                "US" => self.micros = value * 10i64.pow(6 - read.min(6) as u32),
                "SSSS" | "SSSSS" => self.seconds_of_day = Some(value),
                _ if decimals(pattern).is_some() => self.micros = value * 10i64.pow(6 - read.min(6) as u32),
                _ => {}
            }
            return Ok(());
        }
        match pattern {
            "FM" | "fm" => {}
            "MONTH" | "Month" | "month" => {
                self.month = self.word(pattern, &MONTHS)? as u32 + 1;
                self.rest = self.rest.trim_start();
            }
            "MON" | "Mon" | "mon" => self.month = self.word(pattern, &MONTHS.map(|m| &m[..3]))? as u32 + 1,
            "DAY" | "Day" | "day" => {
                self.word(pattern, &DAYS)?;
                self.rest = self.rest.trim_start();
            }
            "DY" | "Dy" | "dy" => {
                self.word(pattern, &DAYS.map(|d| &d[..3]))?;
            }
            "AM" | "PM" | "am" | "pm" => self.afternoon = Some(self.word(pattern, &["AM", "PM"])? == 1),
            "A.M." | "P.M." | "a.m." | "p.m." => self.afternoon = Some(self.word(pattern, &["A.M.", "P.M."])? == 1),
            "BC" | "AD" | "bc" | "ad" => self.before_christ = self.word(pattern, &["AD", "BC"])? == 1,
            "TH" | "th" => self.rest = self.rest.get(2..).unwrap_or(""),
            other => return Err(SqlError::unsupported(format!("the pattern {other} is not supported for input"))),
        }
        Ok(())
    }

    fn finish(self, text: &str) -> Result<i64, SqlError> {
        let bad = || SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("date/time field value out of range: \"{text}\""));
        let year = if self.before_christ { 1 - self.year } else { self.year };
        let mut hour = self.hour;
        if self.of_twelve || self.afternoon.is_some() {
            if !(1..=12).contains(&hour) {
                let message = format!("hour \"{hour}\" is invalid for the 12-hour clock");
                return Err(SqlError::new(SqlState::INVALID_DATETIME_FORMAT, message));
            }
            hour = hour % 12 + if self.afternoon == Some(true) { 12 } else { 0 };
        }
        let seconds = self.seconds_of_day.unwrap_or(hour * 3600 + self.minute * 60 + self.second);
        if hour > 23 || self.minute > 59 || self.second > 59 || seconds >= 86_400 {
            return Err(bad());
        }
        let days = match (self.julian, self.day_of_year) {
            (Some(julian), _) => julian - 2_440_588,
            (None, Some(day)) if (1..=337 + calendar::days_in_month(year, 2)).contains(&day) => {
                calendar::days_from_civil(year, 1, 1) + i64::from(day) - 1
            }
            (None, Some(_)) => return Err(bad()),
            (None, None) => {
                let exists =
                    (1..=12).contains(&self.month) && (1..=calendar::days_in_month(year, self.month)).contains(&self.day);
                if !exists {
                    return Err(bad());
                }
                calendar::days_from_civil(year, self.month, self.day)
            }
        };
        calendar::join_timestamp(days, seconds * 1_000_000 + self.micros).ok_or_else(bad)
    }
}

/// What a numeric can have.
const DIGITS_BEHIND_MAX: usize = 38;

/// A number by a template of `9`, `0`, `.`, `,` and signs.
pub(super) fn format_number(v: Decimal, template: &str) -> Result<String, SqlError> {
    let upper = template.to_ascii_uppercase();
    let (fill, body) = match upper.strip_prefix("FM") {
        Some(body) => (false, body),
        None => (true, upper.as_str()),
    };
    if ["EEEE", "RN", "V", "TH"].iter().any(|p| body.contains(p)) {
        return Err(SqlError::unsupported(format!("the number template \"{template}\" is not supported")));
    }
    // Signs that are written where they stand.
    let digits = body.replace("MI", "\u{1}").replace("PL", "\u{2}").replace("SG", "\u{3}").replace("PR", "");
    let (whole, fraction) = match digits.find(['.', 'D']) {
        Some(at) => (&digits[..at], &digits[at + 1..]),
        None => (digits.as_str(), ""),
    };
    let places = |part: &str| part.chars().filter(|c| matches!(c, '9' | '0')).count();
    let behind = places(fraction);
    if behind > DIGITS_BEHIND_MAX {
        return Err(SqlError::unsupported(format!("more than {DIGITS_BEHIND_MAX} digits behind the point in a number template")));
    }
    let rounded = decimal::round(v, behind as i32, behind as u8, Rounding::Nearest)?;
    let negative = rounded.unscaled < 0;
    let sign = |c: char| match (c, negative) {
        ('\u{1}' | '\u{3}', true) => Some('-'),
        ('\u{2}' | '\u{3}', false) => Some('+'),
        ('\u{1}' | '\u{2}', _) if fill => Some(' '),
        _ => None,
    };
    let unit = 10u128.pow(behind as u32);
    let magnitude = rounded.unscaled.unsigned_abs();
    let before = (magnitude / unit).to_string();
    let room = places(whole);
    let overflow = before.len() > room && magnitude / unit != 0;
    // Digits from the right; a place with nothing in it is a blank, or a zero from the first 0 of the template on.
    let first_zero = whole.chars().filter(|c| matches!(c, '9' | '0')).position(|c| c == '0');
    let mut place = 0;
    let mut started = false;
    let mut out = String::new();
    // Where the digits and the blanks for digits begin.
    let mut start = None;
    for c in whole.chars() {
        match c {
            '\u{1}'..='\u{3}' => out.extend(sign(c)),
            '9' | '0' => {
                start.get_or_insert(out.len());
                let from_right = room - place;
                let digit = before.len().checked_sub(from_right).and_then(|at| before.as_bytes().get(at));
                let shown = match digit {
                    _ if overflow => Some('#'),
                    Some(b'0') if before == "0" => (first_zero.is_some_and(|zero| place >= zero) || behind == 0).then_some('0'),
                    Some(d) => Some(char::from(*d)),
                    None => first_zero.is_some_and(|zero| place >= zero).then_some('0'),
                };
                started |= shown.is_some();
                match shown {
                    Some(shown) => out.push(shown),
                    None if fill => out.push(' '),
                    None => {}
                }
                place += 1;
            }
            ',' | 'G' if started => out.push(','),
            ',' | 'G' if fill => out.push(' '),
            ',' | 'G' | 'S' => {}
            'L' => out.push('$'),
            other => out.push(other),
        }
    }
    if behind > 0 || digits.contains(['.', 'D']) {
        let mut decimals = if overflow { "#".repeat(behind) } else { format!("{:0behind$}", magnitude % unit) };
        if !fill {
            // Trailing zeros go, as far as the template says 9.
            let kept = fraction.chars().filter(|c| matches!(c, '9' | '0')).collect::<String>().rfind('0').map_or(0, |at| at + 1);
            while decimals.len() > kept && decimals.ends_with('0') {
                decimals.pop();
            }
        }
        start.get_or_insert(out.len());
        out.push('.');
        out.push_str(&decimals);
        out.extend(fraction.chars().filter(|c| ('\u{1}'..='\u{3}').contains(c)).filter_map(sign));
    }
    // The sign stands before the first digit.
    let start = start.unwrap_or(out.len());
    let at = out.len() - out[start..].trim_start_matches(' ').len();
    if body.contains("PR") {
        let (open, close) = if negative {
            ("<", ">")
        } else if fill {
            (" ", " ")
        } else {
            ("", "")
        };
        out.insert_str(at, open);
        out.push_str(close);
    } else if body.contains("MI") || body.contains("SG") {
        // Written already.
    } else if body.starts_with('S') {
        out.insert(at, if negative { '-' } else { '+' });
    } else if body.ends_with('S') {
        out.push(if negative { '-' } else { '+' });
    } else if negative {
        out.insert(at, '-');
    } else if fill {
        out.insert(start, ' ');
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use types::{Datum, SqlType, text};

    use super::*;

    fn at(s: &str) -> i64 {
        match text::parse(SqlType::Timestamp, s).unwrap() {
            Datum::Timestamp(v) => v,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn dates_are_written_by_templates() {
        // As PostgreSQL 15 answers.
        for (template, expected) in [
            ("YYYY-MM-DD HH24:MI:SS", "2024-05-09 15:04:05"),
            ("HH12:MI:SS AM", "03:04:05 PM"),
            ("Day, DD Month YYYY", "Thursday , 09 May       2024"),
            ("FMDay, FMDD FMMonth YYYY", "Thursday, 9 May 2024"),
            ("Dy DD Mon YY", "Thu 09 May 24"),
            ("DDD WW IW Q D", "130 19 19 2 5"),
            ("MS US", "678 678901"),
            ("DDth", "09th"),
            ("\"year\" YYYY", "year 2024"),
            ("Y,YYY", "2,024"),
            ("yyyy-mm", "2024-05"),
        ] {
            assert_eq!(format(at("2024-05-09 15:04:05.678901"), None, template).unwrap(), expected, "{template}");
        }
    }

    #[test]
    fn dates_are_read_by_templates() {
        for (text, template, expected) in [
            ("2024-05-09", "YYYY-MM-DD", "2024-05-09"),
            ("20240509", "YYYYMMDD", "2024-05-09"),
            ("05 Dec 2000", "DD Mon YYYY", "2000-12-05"),
            ("9 May 2024 3:04 PM", "DD Month YYYY HH12:MI AM", "2024-05-09 15:04"),
            ("24-130", "YY-DDD", "2024-05-09"),
            ("2024/05/09 12:13:14.5", "YYYY-MM-DD HH24:MI:SS.MS", "2024-05-09 12:13:14.5"),
        ] {
            assert_eq!(parse(text, template).unwrap(), at(expected), "{text} by {template}");
        }
        assert_eq!(parse("2024-13-01", "YYYY-MM-DD").unwrap_err().state, SqlState::DATETIME_FIELD_OVERFLOW);
        assert_eq!(parse("abc", "YYYY").unwrap_err().state, SqlState::INVALID_DATETIME_FORMAT);
    }

    #[test]
    fn numbers_are_written_by_templates() {
        // As PostgreSQL 15 answers.
        for (v, template, expected) in [
            ("125", "999", " 125"),
            ("125.8", "999D9", " 125.8"),
            ("-125.8", "999.99", "-125.80"),
            ("1485", "9,999", " 1,485"),
            ("148.5", "999.990", " 148.500"),
            ("0.1", "0.9", " 0.1"),
            ("0.1", "9.9", "  .1"),
            ("12", "9990999.9", "    0012.0"),
            ("12", "FM9990999.9", "0012."),
            ("485", "FM999", "485"),
            ("-485", "999MI", "485-"),
            ("485", "9999", "  485"),
            ("12345", "999", " ###"),
            ("-1.5", "FM990.00", "-1.50"),
            ("1234567.891", "FM9,999,999.00", "1,234,567.89"),
            ("485", "S999", "+485"),
            ("-12", "999PR", " <12>"),
        ] {
            let value = text::parse_decimal(v).unwrap();
            assert_eq!(format_number(value, template).unwrap(), expected, "{v} by {template}");
        }
    }
}

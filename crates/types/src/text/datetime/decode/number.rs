//! Numbers of a date or time, by what has been seen before them.

use super::super::clock::{self, Fault};
use super::super::fields::{Field, Kind};
use super::super::words::{self, Label, Word};
use super::{DATE, DAY_OF_MONTH, DAY_OF_YEAR, Decoder, FRACTION, MONTH, OF_HOUR, OF_MINUTE, OF_SECOND, TIME, YEAR, ZONE};
use crate::calendar::{self, Civil, DAY, HOUR, MINUTE, SECOND};

const YEAR_AND_MONTH: u32 = YEAR | MONTH;
const MONTH_AND_DAY: u32 = MONTH | DAY_OF_MONTH;

impl Decoder<'_> {
    /// A number that a label stands before.
    pub(super) fn labelled(&mut self, label: Label, text: &str) -> Result<u32, Fault> {
        self.special = None;
        let (whole, fraction) = clock::split_fraction(text);
        let value = clock::int(whole)?;
        if fraction.is_some() && !matches!(label, Label::JulianDay | Label::Time | Label::Second) {
            return Err(Fault::Format);
        }
        match label {
            Label::JulianDay => {
                self.julian_day(value)?;
                let Some(fraction) = fraction else { return Ok(DATE) };
                self.fraction_of_day(clock::fraction(fraction)?);
                Ok(DATE | TIME)
            }
            Label::Time => match self.compact(text, self.seen | DATE)? {
                TIME => Ok(TIME),
                _ => Err(Fault::Format),
            },
            Label::Year => {
                self.year = value;
                Ok(YEAR)
            }
            // Minutes, where month and hour are known.
            Label::Month if self.seen & MONTH != 0 && self.seen & OF_HOUR != 0 => {
                self.minute = value;
                Ok(OF_MINUTE)
            }
            Label::Month => {
                self.month = value;
                Ok(MONTH)
            }
            Label::Day => {
                self.day = value;
                Ok(DAY_OF_MONTH)
            }
            Label::Hour => {
                self.hour = value;
                Ok(OF_HOUR)
            }
            Label::Minute => {
                self.minute = value;
                Ok(OF_MINUTE)
            }
            Label::Second => {
                self.second = value;
                let Some(fraction) = fraction else { return Ok(OF_SECOND) };
                self.fraction = clock::micros_of_fraction(fraction)?;
                Ok(OF_SECOND | FRACTION)
            }
            Label::Other => Err(Fault::Format),
        }
    }

    pub(super) fn julian_day(&mut self, day: i32) -> Result<(), Fault> {
        let days = day.checked_add(calendar::DATE_MIN).filter(|_| day >= 0).ok_or(Fault::Field)?;
        let Civil { year, month, day } = calendar::civil_from_days(days);
        (self.year, self.month, self.day) = (year, month as i32, day as i32);
        self.is_julian = true;
        Ok(())
    }

    pub(super) fn fraction_of_day(&mut self, fraction: f64) {
        let micros = (fraction * DAY as f64) as i64;
        self.hour = (micros / HOUR) as i32;
        self.minute = (micros / MINUTE % 60) as i32;
        self.second = (micros / SECOND % 60) as i32;
        self.fraction = (micros % SECOND) as i32;
    }

    pub(super) fn number_of_date(&mut self, text: &str) -> Result<u32, Fault> {
        let (whole, fraction) = clock::split_fraction(text);
        if fraction.is_some() && self.seen & DATE == 0 {
            return self.date(text);
        }
        let is_compact =
            fraction.is_some() && whole.len() > 2 || text.len() >= 6 && (self.seen & DATE == 0 || self.seen & TIME == 0);
        if is_compact { self.compact(text, self.seen) } else { self.number(text, self.month_is_word, self.seen) }
    }

    pub(super) fn number_of_time(&mut self, fields: &[Field], at: usize) -> Result<u32, Fault> {
        let text = &fields[at].text;
        let (whole, fraction) = clock::split_fraction(text);
        if fraction.is_some() {
            if at == 0 && fields.len() >= 2 && fields[fields.len() - 1].kind == Kind::Date {
                return self.date(text);
            }
            if whole.len() <= 2 {
                return Err(Fault::Format);
            }
            return self.compact(text, self.seen | DATE);
        }
        if text.len() > 4 { self.compact(text, self.seen | DATE) } else { self.number(text, false, self.seen | DATE) }
    }

    /// One number: what it is follows from what has been `seen`. Dates are month, day, year, or begin with a year of more than two
    /// digits; next to a month's name a number of more than two digits is the year.
    pub(super) fn number(&mut self, text: &str, month_is_word: bool, seen: u32) -> Result<u32, Fault> {
        let (whole, fraction) = clock::split_fraction(text);
        let value = clock::int(whole)?;
        if let Some(fraction) = fraction {
            if whole.len() > 2 {
                return self.compact(text, seen | DATE);
            }
            self.fraction = clock::micros_of_fraction(fraction)?;
        }
        if text.len() == 3 && seen & DATE == YEAR && (1..=366).contains(&value) {
            self.day_of_year = value;
            return Ok(DAY_OF_YEAR | MONTH | DAY_OF_MONTH);
        }
        let is_long = text.len() >= 3;
        let claimed = match seen & DATE {
            0 if is_long => YEAR,
            0 | YEAR | DAY_OF_MONTH => MONTH,
            MONTH if month_is_word && is_long => YEAR,
            MONTH => DAY_OF_MONTH,
            YEAR_AND_MONTH if month_is_word && is_long && self.year_is_short => {
                // The number before the month's name was the day after all.
                self.day = self.year;
                self.year = value;
                self.year_is_short = false;
                return Ok(DAY_OF_MONTH);
            }
            YEAR_AND_MONTH => DAY_OF_MONTH,
            MONTH_AND_DAY => YEAR,
            DATE => return self.compact(text, seen),
            _ => return Err(Fault::Format),
        };
        match claimed {
            YEAR => {
                self.year = value;
                self.year_is_short = text.len() <= 2;
            }
            MONTH => self.month = value,
            _ => self.day = value,
        }
        Ok(claimed)
    }

    /// Several numbers written as one: `20240229` or `240229` as long as there is no whole date, then `130509` or `1305`.
    pub(super) fn compact(&mut self, text: &str, seen: u32) -> Result<u32, Fault> {
        let (whole, fraction) = clock::split_fraction(text);
        let part = |range: std::ops::Range<usize>| clock::int(whole.get(range).ok_or(Fault::Format)?);
        if let Some(fraction) = fraction {
            self.fraction = clock::micros_of_fraction(fraction)?;
        } else if seen & DATE != DATE && whole.len() >= 6 {
            let year_len = whole.len() - 4;
            self.day = part(year_len + 2..year_len + 4)?;
            self.month = part(year_len..year_len + 2)?;
            // As in C, a year of too many digits is what is left of it in 32 bits.
            self.year = whole[..year_len].parse().unwrap_or(i64::MAX) as i32;
            self.year_is_short |= year_len == 2;
            return Ok(DATE);
        }
        if seen & TIME == TIME || !matches!(whole.len(), 4 | 6) {
            return Err(Fault::Format);
        }
        self.hour = part(0..2)?;
        self.minute = part(2..4)?;
        self.second = if whole.len() == 6 { part(4..6)? } else { 0 };
        Ok(TIME)
    }

    /// `2024-02-29`, `2/29/2024`, `29-feb-2024`, `2024.060`: a name is the month, wherever it stands.
    pub(super) fn date(&mut self, text: &str) -> Result<u32, Fault> {
        let parts = split_date(text)?;
        let before = self.seen;
        let mut seen = before;
        let mut month_is_word = false;
        for part in parts.iter().filter(|part| part.starts_with(|c: char| c.is_ascii_alphabetic())) {
            match words::meaning(part) {
                Some(Word::Nothing) => {}
                Some(Word::Month(month)) if seen & MONTH == 0 => {
                    self.month = month;
                    month_is_word = true;
                    seen |= MONTH;
                }
                _ => return Err(Fault::Format),
            }
        }
        for part in parts.iter().filter(|part| part.starts_with(|c: char| c.is_ascii_digit())) {
            let claimed = self.number(part, month_is_word, seen)?;
            if seen & claimed != 0 {
                return Err(Fault::Format);
            }
            seen |= claimed;
        }
        if seen & !(DAY_OF_YEAR | ZONE) != DATE {
            return Err(Fault::Format);
        }
        Ok(seen & !before)
    }
}

/// The runs of letters and of digits in a date; nothing may follow the last delimiter.
fn split_date(text: &str) -> Result<Vec<&str>, Fault> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        rest = rest.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        let first = rest.chars().next().ok_or(Fault::Format)?;
        let is_part = |c: char| if first.is_ascii_digit() { c.is_ascii_digit() } else { c.is_ascii_alphabetic() };
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        parts.push(&rest[..end]);
        // One character after a part is dropped, whatever it is.
        rest = rest[end..].get(1..).unwrap_or_default();
    }
    Ok(parts)
}

//! Fields of a date, time or timestamp given their meaning, one after the other.
//!
//! A number's meaning depends on what has been seen before it: `seen` has a bit for each part of a moment, a field claims the
//! bits it sets, and a bit claimed twice is an error. What a first, second or third number of a date is follows from those bits
//! (`number`); a number of six digits or more is a whole date or time (`compact`).
//!
//! Source: PostgreSQL 15, documentation appendix B.1 ("Date/Time Input Interpretation"); corner cases from a running one.

use jiff::tz::TimeZone;

use super::clock::{self, Fault};
use super::fields::{Field, Kind};
use super::words::Label;
use crate::calendar::{self, Civil, DAY, HOUR, MINUTE, SECOND};
use crate::text::Session;
use crate::zone;

mod number;
mod word;

/// What the fields say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    At(Moment),
    Epoch,
    Infinity,
    NegInfinity,
}

/// A local date and time of day and the offset of its clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) date: Civil,
    /// Since midnight; may be more than a day.
    pub(super) micros: i64,
    /// Seconds east of UTC: the zone named, else the session's.
    pub(super) offset: i32,
}

const YEAR: u32 = 1 << 0;
const MONTH: u32 = 1 << 1;
const DAY_OF_MONTH: u32 = 1 << 2;
const DATE: u32 = YEAR | MONTH | DAY_OF_MONTH;
const DAY_OF_YEAR: u32 = 1 << 3;
const OF_HOUR: u32 = 1 << 4;
const OF_MINUTE: u32 = 1 << 5;
const OF_SECOND: u32 = 1 << 6;
const FRACTION: u32 = 1 << 7;
const TIME: u32 = OF_HOUR | OF_MINUTE | OF_SECOND | FRACTION;
const ZONE: u32 = 1 << 8;
const ZONE_IS_SUMMER: u32 = 1 << 9;
const SUMMER_WORD: u32 = 1 << 10;
const HALF_OF_DAY: u32 = 1 << 11;
const ERA: u32 = 1 << 12;
const WEEKDAY: u32 = 1 << 13;
const SPECIAL: u32 = 1 << 14;
const ZONE_BY_DATE: u32 = 1 << 15;

/// Which parts a text must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A date, perhaps with a time of day.
    Date,
    /// A time of day; a date is read only where a zone needs it.
    Time,
}

enum Named {
    Zone(TimeZone),
    Abbreviation(TimeZone, String),
}

struct Decoder<'a> {
    session: &'a Session,
    wanted: Wanted,
    seen: u32,
    year: i32,
    month: i32,
    day: i32,
    day_of_year: i32,
    hour: i32,
    minute: i32,
    second: i32,
    fraction: i32,
    offset: i32,
    named: Option<Named>,
    label: Option<Label>,
    /// 12 after `pm`, 0 after `am`.
    half: Option<i32>,
    year_is_short: bool,
    month_is_word: bool,
    is_julian: bool,
    before_christ: bool,
    special: Option<Decoded>,
}

/// The moment that the fields mean.
pub(super) fn decode(fields: &[Field], wanted: Wanted, session: &Session) -> Result<Decoded, Fault> {
    let mut decoder = Decoder {
        session,
        wanted,
        seen: 0,
        year: 0,
        month: 0,
        day: 0,
        day_of_year: 0,
        hour: 0,
        minute: 0,
        second: 0,
        fraction: 0,
        offset: 0,
        named: None,
        label: None,
        half: None,
        year_is_short: false,
        month_is_word: false,
        is_julian: false,
        before_christ: false,
        special: None,
    };
    for at in 0..fields.len() {
        let claimed = decoder.field(fields, at)?;
        if decoder.seen & claimed != 0 {
            return Err(Fault::Format);
        }
        decoder.seen |= claimed;
    }
    decoder.finish()
}

impl Decoder<'_> {
    /// Takes one field and answers with the bits it claims.
    fn field(&mut self, fields: &[Field], at: usize) -> Result<u32, Fault> {
        let Field { kind, text } = &fields[at];
        match kind {
            Kind::Word | Kind::Special => self.word(text, fields.get(at + 1).map(|next| next.kind)),
            Kind::Signed => {
                self.offset = clock::offset(text)?;
                Ok(ZONE)
            }
            Kind::Time => {
                if self.wanted == Wanted::Date && self.label.take().is_some_and(|label| label != Label::Time) {
                    return Err(Fault::Format);
                }
                self.clock(text)
            }
            Kind::Number => match self.label.take() {
                Some(label) => self.labelled(label, text),
                None if self.wanted == Wanted::Time => self.number_of_time(fields, at),
                None => self.number_of_date(text),
            },
            Kind::Date if self.wanted == Wanted::Time => self.date_in_time(fields, at),
            Kind::Date => self.date_or_zone(text),
        }
    }

    /// `13:05:09.25`
    fn clock(&mut self, text: &str) -> Result<u32, Fault> {
        let time = clock::time(text)?;
        self.hour = i32::try_from(time.hour).map_err(|_| Fault::Field)?;
        (self.minute, self.second, self.fraction) = (time.minute, time.second, time.fraction);
        if self.wanted == Wanted::Date && self.micros() > DAY {
            return Err(Fault::Field);
        }
        Ok(TIME)
    }

    /// A date with delimiters; once there is a date, a zone's name or a compact time with its offset.
    fn date_or_zone(&mut self, text: &str) -> Result<u32, Fault> {
        if self.label == Some(Label::JulianDay) {
            // `J2460370-08`
            self.label = None;
            let digits = text.bytes().take_while(u8::is_ascii_digit).count();
            self.julian_day(clock::int(&text[..digits])?)?;
            self.offset = clock::offset(&text[digits..])?;
            return Ok(DATE | TIME | ZONE);
        }
        if self.label.is_none() && self.seen & (MONTH | DAY_OF_MONTH) != MONTH | DAY_OF_MONTH {
            return self.date(text);
        }
        if self.label.is_none() && !text.starts_with(|c: char| c.is_ascii_digit()) {
            return self.zone_name(text);
        }
        if self.label.take().is_some_and(|label| label != Label::Time) || self.seen & TIME == TIME {
            return Err(Fault::Format);
        }
        self.compact_with_offset(text, self.seen)
    }

    /// A field with delimiters where a time is wanted: a date, if it comes first and a zone or a time follows, else a zone's name or
    /// a compact time with its offset.
    fn date_in_time(&mut self, fields: &[Field], at: usize) -> Result<u32, Fault> {
        let text = &fields[at].text;
        let is_date =
            at == 0 && fields.len() >= 2 && (fields[fields.len() - 1].kind == Kind::Date || fields[1].kind == Kind::Time);
        if is_date {
            return self.date(text);
        }
        if !text.starts_with(|c: char| c.is_ascii_digit()) {
            return self.zone_name(text);
        }
        if self.seen & TIME == TIME {
            return Err(Fault::Format);
        }
        self.compact_with_offset(text, self.seen | DATE)
    }

    fn zone_name(&mut self, text: &str) -> Result<u32, Fault> {
        let zone = zone::find(text).ok_or_else(|| Fault::Zone(text.to_owned()))?;
        self.named = Some(Named::Zone(zone));
        Ok(ZONE)
    }

    /// `130509-08`
    fn compact_with_offset(&mut self, text: &str, seen: u32) -> Result<u32, Fault> {
        let sign = text.find('-').ok_or(Fault::Format)?;
        self.offset = clock::offset(&text[sign..])?;
        Ok(self.compact(&text[..sign], seen)? | ZONE)
    }

    fn micros(&self) -> i64 {
        let (hour, minute, second) = (i64::from(self.hour), i64::from(self.minute), i64::from(self.second));
        hour * HOUR + minute * MINUTE + second * SECOND + i64::from(self.fraction)
    }

    fn finish(mut self) -> Result<Decoded, Fault> {
        self.check_date()?;
        if let Some(half) = self.half {
            if self.hour > 12 {
                return Err(Fault::Field);
            }
            self.hour = self.hour % 12 + half;
        }
        if let Some(special) = self.special {
            return Ok(special);
        }
        match self.wanted {
            Wanted::Date if self.seen & DATE != DATE => return Err(Fault::Format),
            Wanted::Time => {
                let in_range = (0..=24).contains(&self.hour) && (0..60).contains(&self.minute) && (0..=60).contains(&self.second);
                if !in_range || self.micros() > DAY {
                    return Err(Fault::Field);
                }
                if self.seen & TIME != TIME {
                    return Err(Fault::Format);
                }
            }
            Wanted::Date => {}
        }
        let date = Civil { year: self.year, month: self.month as u32, day: self.day as u32 };
        let offset = self.find_offset(date)?;
        Ok(Decoded::At(Moment { date, micros: self.micros(), offset }))
    }

    /// Completes the year, and checks what there is of a date.
    fn check_date(&mut self) -> Result<(), Fault> {
        if self.seen & YEAR != 0 && !self.is_julian {
            if self.year_is_short && !self.before_christ {
                self.year += match self.year {
                    0..70 => 2000,
                    70..100 => 1900,
                    _ => 0,
                };
            } else if self.year <= 0 {
                return Err(Fault::Field);
            } else if self.before_christ {
                self.year = 1 - self.year;
            }
        }
        if self.seen & DAY_OF_YEAR != 0 {
            let days = calendar::days_from_civil(self.year, 1, 1) + i64::from(self.day_of_year) - 1;
            // A year that has no days keeps its number, which is then out of range for the caller.
            let date = i32::try_from(days).map(calendar::civil_from_days);
            let Civil { year, month, day } = date.unwrap_or(Civil { year: self.year, month: 1, day: 1 });
            (self.year, self.month, self.day) = (year, month as i32, day as i32);
        }
        if self.seen & MONTH != 0 && !(1..=12).contains(&self.month) {
            return Err(Fault::MonthOrDay);
        }
        if self.seen & DAY_OF_MONTH != 0 && !(1..=31).contains(&self.day) {
            return Err(Fault::MonthOrDay);
        }
        if self.seen & DATE == DATE && self.day as u32 > calendar::days_in_month(self.year, self.month as u32) {
            return Err(Fault::Field);
        }
        Ok(())
    }

    fn find_offset(&self, date: Civil) -> Result<i32, Fault> {
        let has_date = self.seen & DATE == DATE;
        if self.seen & ZONE != 0 && self.named.is_none() {
            return Ok(self.offset);
        }
        if self.seen & SUMMER_WORD != 0 {
            return Err(Fault::Format);
        }
        if self.wanted == Wanted::Time {
            // A time of day drops its offset, so it is enough that the zone has one.
            return match &self.named {
                Some(Named::Zone(zone)) if !has_date && !zone::is_fixed(zone) => Err(Fault::Format),
                _ if has_date || self.seen & DATE == 0 => Ok(0),
                Some(Named::Zone(_)) => Ok(0),
                _ => Err(Fault::Format),
            };
        }
        let days = calendar::days_from_civil(date.year, date.month, date.day);
        // Beyond what a timestamp holds there is no offset to look up; the caller refuses such a moment.
        let Some(local) = calendar::join_timestamp(days, self.micros()) else { return Ok(0) };
        Ok(match &self.named {
            Some(Named::Zone(zone)) => zone::offset_of_local(zone, local),
            Some(Named::Abbreviation(zone, name)) => zone::offset_of_abbreviation(zone, name, local),
            None => zone::offset_of_local(&self.session.zone, local),
        })
    }
}

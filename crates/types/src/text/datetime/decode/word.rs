//! Words of a date or time: names of months and zones, labels, and the words that are a moment by themselves.

use super::super::clock::Fault;
use super::super::fields::Kind;
use super::super::words::{self, Label, Word};
use super::{
    DATE, DAY_OF_MONTH, Decoded, Decoder, ERA, HALF_OF_DAY, MONTH, Named, SPECIAL, SUMMER_WORD, TIME, WEEKDAY, Wanted, ZONE,
    ZONE_BY_DATE, ZONE_IS_SUMMER,
};
use crate::calendar::{self, Civil, HOUR, MINUTE, SECOND};
use crate::zone::{self, Abbreviation};

impl Decoder<'_> {
    pub(super) fn word(&mut self, text: &str, next: Option<Kind>) -> Result<u32, Fault> {
        if let Some((meaning, is_summer)) = zone::abbreviation(text) {
            return Ok(match meaning {
                Abbreviation::Fixed(offset) => {
                    self.offset = offset;
                    if is_summer { ZONE | ZONE_IS_SUMMER } else { ZONE }
                }
                Abbreviation::In(zone) => {
                    self.named = Some(Named::Abbreviation(zone, text.to_owned()));
                    ZONE | ZONE_BY_DATE
                }
            });
        }
        let Some(word) = words::meaning(text) else {
            let zone = zone::find(text).ok_or(Fault::Format)?;
            self.named = Some(Named::Zone(zone));
            return Ok(ZONE);
        };
        match word {
            Word::Nothing => Ok(0),
            Word::Month(_) | Word::Weekday if self.wanted == Wanted::Time => Err(Fault::Format),
            Word::Month(month) => Ok(self.month_name(month)),
            Word::Weekday => Ok(WEEKDAY),
            Word::BeforeNoon | Word::AfterNoon => {
                self.half = Some(if word == Word::AfterNoon { 12 } else { 0 });
                Ok(HALF_OF_DAY)
            }
            Word::BeforeChrist | Word::AnnoDomini => {
                self.before_christ = word == Word::BeforeChrist;
                Ok(ERA)
            }
            Word::DaylightSaving => {
                self.offset += 3600;
                Ok(SUMMER_WORD | ZONE_IS_SUMMER)
            }
            Word::Label(label) => {
                let is_placed = self.wanted == Wanted::Time || self.seen & DATE == DATE;
                let has_time = matches!(next, Some(Kind::Number | Kind::Time | Kind::Date));
                if label == Label::Time && !(is_placed && has_time) {
                    return Err(Fault::Format);
                }
                self.label = Some(label);
                Ok(0)
            }
            Word::Now => {
                self.special = None;
                let (date, micros) = self.now()?;
                if self.wanted == Wanted::Date {
                    self.set_date(date);
                }
                self.hour = (micros / HOUR) as i32;
                self.minute = (micros / MINUTE % 60) as i32;
                self.second = (micros / SECOND % 60) as i32;
                self.fraction = (micros % SECOND) as i32;
                if self.wanted == Wanted::Time {
                    return Ok(TIME);
                }
                self.offset = self.session.now.map_or(0, |now| zone::offset_at(&self.session.zone, now));
                Ok(DATE | TIME | ZONE)
            }
            Word::Midnight => {
                self.special = None;
                (self.hour, self.minute, self.second, self.offset) = (0, 0, 0, 0);
                Ok(TIME | ZONE)
            }
            _ if self.wanted == Wanted::Time => Err(Fault::Format),
            Word::Today | Word::Tomorrow | Word::Yesterday => {
                let step = match word {
                    Word::Tomorrow => 1,
                    Word::Yesterday => -1,
                    _ => 0,
                };
                self.special = None;
                let days = self.now()?.0 + step;
                self.set_date(days);
                Ok(DATE)
            }
            Word::Epoch | Word::Infinity | Word::NegInfinity => {
                self.special = Some(match word {
                    Word::Epoch => Decoded::Epoch,
                    Word::Infinity => Decoded::Infinity,
                    _ => Decoded::NegInfinity,
                });
                Ok(SPECIAL)
            }
        }
    }

    /// A month's name. A number before it that was taken for the month was the day.
    fn month_name(&mut self, month: i32) -> u32 {
        let number_was_day = self.seen & (MONTH | DAY_OF_MONTH) == MONTH && !self.month_is_word && (1..=31).contains(&self.month);
        if number_was_day {
            self.day = self.month;
        }
        self.month = month;
        self.month_is_word = true;
        if number_was_day { DAY_OF_MONTH } else { MONTH }
    }

    /// The session's date and microseconds since its midnight.
    fn now(&self) -> Result<(i32, i64), Fault> {
        let now = self.session.now.ok_or(Fault::NoClock)?;
        Ok(calendar::split_timestamp(now + i64::from(zone::offset_at(&self.session.zone, now)) * SECOND))
    }

    fn set_date(&mut self, days: i32) {
        let Civil { year, month, day } = calendar::civil_from_days(days);
        (self.year, self.month, self.day) = (year, month as i32, day as i32);
        self.is_julian = true;
    }
}

//! The parts of an interval added up, each in its own unit, with every overflow noticed.

use super::clock::{self, Fault, Time};
use crate::calendar::{DAY, HOUR, MINUTE, SECOND};
use crate::datum::Interval;
use crate::error::SqlError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
    Decade,
    Century,
    Millennium,
}

/// A number of units: its whole part, and what is beyond it (of the same sign, below 1 either way).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Amount {
    pub(super) whole: i64,
    pub(super) fraction: f64,
}

/// What a time of day claims: hours, minutes, seconds and everything below.
pub(super) const TIME: u32 = 1 << Unit::Hour as u32 | 1 << Unit::Minute as u32 | SECONDS;
const SECONDS: u32 = 1 << Unit::Second as u32 | 1 << Unit::Millisecond as u32 | 1 << Unit::Microsecond as u32;

impl Unit {
    /// A bit for each unit that may not be named again.
    pub(super) fn claims(self, amount: Amount) -> u32 {
        if self == Unit::Second && amount.fraction != 0.0 { SECONDS } else { 1 << self as u32 }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    years: i32,
    months: i32,
    days: i32,
    micros: i64,
}

impl Sum {
    /// Adds an amount of a unit; its fraction flows into smaller units.
    pub(super) fn add(&mut self, amount: Amount, unit: Unit) -> Result<(), Fault> {
        let years = |years: i32| (years, f64::from(years));
        let done = match unit {
            Unit::Microsecond => self.add_micros(amount, 1),
            Unit::Millisecond => self.add_micros(amount, 1000),
            Unit::Second => self.add_micros(amount, SECOND),
            Unit::Minute => self.add_micros(amount, MINUTE),
            Unit::Hour => self.add_micros(amount, HOUR),
            Unit::Day => self.add_days(amount.whole, 1).and_then(|()| self.add_part(amount.fraction, DAY)),
            Unit::Week => self.add_days(amount.whole, 7).and_then(|()| self.add_days_and_part(amount.fraction * 7.0)),
            Unit::Month => self.add_months(amount.whole).and_then(|()| self.add_days_and_part(amount.fraction * 30.0)),
            Unit::Year => self.add_years(amount, years(1)),
            Unit::Decade => self.add_years(amount, years(10)),
            Unit::Century => self.add_years(amount, years(100)),
            Unit::Millennium => self.add_years(amount, years(1000)),
        };
        done.ok_or(Fault::Field)
    }

    /// Takes a time of day in place of what was added below a day so far.
    pub(super) fn set_time(&mut self, time: Time, is_negative: bool) -> Result<(), Fault> {
        let below_hour = i64::from(time.minute) * MINUTE + i64::from(time.second) * SECOND + i64::from(time.fraction);
        let micros = time.hour.checked_mul(HOUR).and_then(|hours| hours.checked_add(below_hour)).ok_or(Fault::Field)?;
        self.micros = if is_negative { -micros } else { micros };
        Ok(())
    }

    /// As [`Sum::set_time`], for a time after its sign.
    pub(super) fn set_signed_time(&mut self, text: &str) -> Result<(), Fault> {
        self.set_time(clock::time(&text[1..])?, text.starts_with('-'))
    }

    pub(super) fn add_months(&mut self, months: i64) -> Option<()> {
        self.months = self.months.checked_add(i32::try_from(months).ok()?)?;
        Some(())
    }

    pub(super) fn add_days(&mut self, count: i64, days: i32) -> Option<()> {
        self.days = self.days.checked_add(i32::try_from(count).ok()?.checked_mul(days)?)?;
        Some(())
    }

    fn add_years(&mut self, amount: Amount, (years, years_f): (i32, f64)) -> Option<()> {
        let whole = i32::try_from(amount.whole).ok()?.checked_mul(years)?;
        self.years = self.years.checked_add(whole)?;
        self.months = self.months.checked_add((amount.fraction * years_f * 12.0).round_ties_even() as i32)?;
        Some(())
    }

    fn add_days_and_part(&mut self, days: f64) -> Option<()> {
        let whole = days.trunc();
        self.days = self.days.checked_add(whole as i32)?;
        self.add_part(days - whole, DAY)
    }

    fn add_micros(&mut self, amount: Amount, unit: i64) -> Option<()> {
        self.micros = self.micros.checked_add(amount.whole.checked_mul(unit)?)?;
        self.add_part(amount.fraction, unit)
    }

    /// Adds a fraction of so many microseconds; a half is dropped.
    fn add_part(&mut self, fraction: f64, unit: i64) -> Option<()> {
        let micros = fraction * unit as f64;
        let rest = micros - micros.trunc();
        let rounded = micros as i64 + i64::from(rest > 0.5) - i64::from(rest < -0.5);
        self.micros = self.micros.checked_add(rounded)?;
        Some(())
    }

    pub(super) fn negated(self) -> Result<Sum, Fault> {
        let negated = || {
            Some(Sum {
                years: self.years.checked_neg()?,
                months: self.months.checked_neg()?,
                days: self.days.checked_neg()?,
                micros: self.micros.checked_neg()?,
            })
        };
        negated().ok_or(Fault::Field)
    }

    /// The interval, or `None` if years and months together are too many. Errors: 22008 for a time part beyond the bound.
    pub(super) fn total(self) -> Option<Result<Interval, SqlError>> {
        let months = i64::from(self.years) * 12 + i64::from(self.months);
        Some(Interval::new(i32::try_from(months).ok()?, self.days, self.micros))
    }
}

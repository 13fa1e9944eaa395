//! The numbers inside a field: times of day, offsets from UTC, fractions of a second.

/// Why a text is no date, time or interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::text) enum Fault {
    /// It has no such form.
    Format,
    /// A part of it is out of range.
    Field,
    /// Its month or day is out of range; another order of day and month may have been meant.
    MonthOrDay,
    /// Its offset from UTC is out of range.
    Displacement,
    /// It names a zone that does not exist.
    Zone(String),
    /// It means a moment relative to now, and there is no clock.
    NoClock,
}

/// A time of day, or of an interval, whose hours have no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::text) struct Time {
    pub(in crate::text) hour: i64,
    pub(in crate::text) minute: i32,
    pub(in crate::text) second: i32,
    /// Microseconds, up to and including 1,000,000.
    pub(in crate::text) fraction: i32,
}

/// The least offset from UTC, in hours either way, that is refused.
const OFFSET_HOURS_END: i32 = 16;

/// `13:05`, `13:05:09`, `13:05:09.25`; two numbers with a fraction are minutes and seconds. A number left out is 0.
pub(in crate::text) fn time(text: &str) -> Result<Time, Fault> {
    let (whole, fraction) = split_fraction(text);
    let parts: Vec<&str> = whole.split(':').collect();
    let micros = fraction.map(micros_of_fraction).transpose()?;
    let hour = |text: &str| if text.is_empty() { Ok(0) } else { text.parse::<i64>().map_err(|_| number_fault(text)) };
    let (hour, minute, second) = match (parts.as_slice(), micros) {
        (&[minute, second], Some(_)) => (0, i32::try_from(hour(minute)?).map_err(|_| Fault::Field)?, int_or_zero(second)?),
        (&[hours, minute], None) => (hour(hours)?, int_or_zero(minute)?, 0),
        (&[hours, minute, second], _) => (hour(hours)?, int_or_zero(minute)?, int_or_zero(second)?),
        _ => return Err(Fault::Format),
    };
    if hour < 0 || !(0..60).contains(&minute) || !(0..=60).contains(&second) {
        return Err(Fault::Field);
    }
    Ok(Time { hour, minute, second, fraction: micros.unwrap_or(0) })
}

/// `+02`, `-0230`, `+02:30:15` as seconds east of UTC.
pub(super) fn offset(text: &str) -> Result<i32, Fault> {
    let (sign, digits) = match text.as_bytes().first() {
        Some(b'+') => (1, &text[1..]),
        Some(b'-') => (-1, &text[1..]),
        _ => return Err(Fault::Format),
    };
    let (first, mut rest) = leading_int(digits)?;
    let (hours, minutes, seconds) = if rest.starts_with(':') {
        let mut more = [0; 2];
        for part in &mut more {
            let Some(after) = rest.strip_prefix(':') else { break };
            (*part, rest) = leading_int(after)?;
        }
        (first, more[0], more[1])
    } else if rest.is_empty() && digits.len() > 2 {
        (first / 100, first % 100, 0)
    } else {
        (first, 0, 0)
    };
    if !(0..OFFSET_HOURS_END).contains(&hours) || !(0..60).contains(&minutes) || !(0..60).contains(&seconds) {
        return Err(Fault::Displacement);
    }
    if !rest.is_empty() {
        return Err(Fault::Format);
    }
    Ok(sign * ((hours * 60 + minutes) * 60 + seconds))
}

/// The integer at the start of a text, 0 if there is none, and what follows it.
pub(in crate::text) fn leading_int(text: &str) -> Result<(i32, &str), Fault> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let len = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    if len == 0 {
        return Ok((0, text));
    }
    let value: i32 = digits[..len].parse().map_err(|_| Fault::Displacement)?;
    Ok((if digits.len() < text.len() { -value } else { value }, &digits[len..]))
}

/// The text before the first point, and the text after it if there is one.
pub(in crate::text) fn split_fraction(text: &str) -> (&str, Option<&str>) {
    match text.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    }
}

/// The digits after a point as a number below 1.
pub(in crate::text) fn fraction(digits: &str) -> Result<f64, Fault> {
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Fault::Format);
    }
    format!("0.{digits}0").parse().map_err(|_| Fault::Format)
}

/// The digits after the point of a second as microseconds, half to even.
pub(in crate::text) fn micros_of_fraction(digits: &str) -> Result<i32, Fault> {
    Ok((fraction(digits)? * 1e6).round_ties_even() as i32)
}

/// A number of digits only, within an int4.
pub(super) fn int(digits: &str) -> Result<i32, Fault> {
    digits.parse().map_err(|_| number_fault(digits))
}

fn int_or_zero(digits: &str) -> Result<i32, Fault> {
    if digits.is_empty() { Ok(0) } else { int(digits) }
}

/// What is wrong with a text that is no integer of the size wanted.
fn number_fault(text: &str) -> Fault {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if is_number { Fault::Field } else { Fault::Format }
}

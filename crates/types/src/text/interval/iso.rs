//! Intervals in ISO 8601: `P1Y2M3DT4H5M6S` with units, `P0001-02-03T04:05:06` and `P00010203T040506` without.
//!
//! Wider than the standard, as PostgreSQL is: weeks may stand beside other units, every number may have a fraction or a sign.

use super::clock::Fault;
use super::sum::{Amount, Sum, Unit};

/// What is left to read.
struct Reader<'a> {
    rest: &'a str,
}

/// The interval in `s`. Letters must be capital, and nothing may stand around it.
pub(super) fn read(s: &str) -> Result<Sum, Fault> {
    let mut sum = Sum::default();
    let mut reader = Reader { rest: s.strip_prefix('P').filter(|rest| !rest.is_empty()).ok_or(Fault::Format)? };
    let mut in_time = false;
    let mut is_first = true;
    while !reader.rest.is_empty() {
        if reader.take('T') {
            (in_time, is_first) = (true, true);
            continue;
        }
        let digits = reader.integer_digits();
        let amount = reader.number()?;
        let unit = reader.unit();
        let done = if in_time {
            time_field(&mut reader, &mut sum, amount, unit, is_first, digits)?
        } else {
            date_field(&mut reader, &mut sum, amount, unit, is_first, digits)?
        };
        match done {
            Next::Field => is_first = false,
            Next::Time => (in_time, is_first) = (true, true),
            Next::End => return Ok(sum),
        }
    }
    Ok(sum)
}

enum Next {
    Field,
    Time,
    End,
}

fn date_field(
    reader: &mut Reader<'_>,
    sum: &mut Sum,
    amount: Amount,
    unit: Option<char>,
    is_first: bool,
    digits: usize,
) -> Result<Next, Fault> {
    let next_of = |unit: Option<char>| if unit.is_none() { Next::End } else { Next::Time };
    match unit {
        Some('Y') => sum.add(amount, Unit::Year)?,
        Some('M') => sum.add(amount, Unit::Month)?,
        Some('W') => sum.add(amount, Unit::Week)?,
        Some('D') => sum.add(amount, Unit::Day)?,
        None | Some('T') if digits == 8 && is_first => {
            // 00010203
            sum.add(Amount { whole: amount.whole / 10_000, fraction: 0.0 }, Unit::Year)?;
            sum.add_months(amount.whole / 100 % 100).ok_or(Fault::Field)?;
            sum.add(Amount { whole: amount.whole % 100, fraction: amount.fraction }, Unit::Day)?;
            return Ok(next_of(unit));
        }
        None | Some('T' | '-') if is_first => {
            // 0001-02-03, or the start of it
            sum.add(amount, Unit::Year)?;
            if unit != Some('-') {
                return Ok(next_of(unit));
            }
            sum.add(reader.number()?, Unit::Month)?;
            if reader.rest.is_empty() {
                return Ok(Next::End);
            }
            if !reader.rest.starts_with('T') {
                if !reader.take('-') {
                    return Err(Fault::Format);
                }
                sum.add(reader.number()?, Unit::Day)?;
            }
            return match reader.rest.chars().next() {
                None => Ok(Next::End),
                // The mark itself is read in the loop.
                Some('T') => Ok(Next::Time),
                _ => Err(Fault::Format),
            };
        }
        _ => return Err(Fault::Format),
    }
    Ok(Next::Field)
}

fn time_field(
    reader: &mut Reader<'_>,
    sum: &mut Sum,
    amount: Amount,
    unit: Option<char>,
    is_first: bool,
    digits: usize,
) -> Result<Next, Fault> {
    match unit {
        Some('H') => sum.add(amount, Unit::Hour)?,
        Some('M') => sum.add(amount, Unit::Minute)?,
        Some('S') => sum.add(amount, Unit::Second)?,
        None if digits == 6 && is_first => {
            // 040506
            let whole = |whole| Amount { whole, fraction: 0.0 };
            sum.add(whole(amount.whole / 10_000), Unit::Hour)?;
            sum.add(whole(amount.whole / 100 % 100), Unit::Minute)?;
            sum.add(whole(amount.whole % 100), Unit::Second)?;
            // PostgreSQL takes the fraction for one of a microsecond.
            sum.add(Amount { whole: 0, fraction: amount.fraction }, Unit::Microsecond)?;
            return Ok(Next::End);
        }
        None | Some(':') if is_first => {
            // 04:05:06, or the start of it
            sum.add(amount, Unit::Hour)?;
            if unit.is_none() {
                return Ok(Next::End);
            }
            sum.add(reader.number()?, Unit::Minute)?;
            if reader.rest.is_empty() {
                return Ok(Next::End);
            }
            if !reader.take(':') {
                return Err(Fault::Format);
            }
            sum.add(reader.number()?, Unit::Second)?;
            return if reader.rest.is_empty() { Ok(Next::End) } else { Err(Fault::Format) };
        }
        _ => return Err(Fault::Format),
    }
    Ok(Next::Field)
}

impl Reader<'_> {
    fn take(&mut self, c: char) -> bool {
        let rest = self.rest.strip_prefix(c);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn unit(&mut self) -> Option<char> {
        let unit = self.rest.chars().next()?;
        self.rest = &self.rest[unit.len_utf8()..];
        Some(unit)
    }

    /// Digits before the point of the number that comes next.
    fn integer_digits(&self) -> usize {
        self.rest.trim_start_matches('-').bytes().take_while(u8::is_ascii_digit).count()
    }

    /// A number with an optional sign, fraction and exponent, at most 1e15 either way.
    fn number(&mut self) -> Result<Amount, Fault> {
        let bytes = self.rest.as_bytes();
        let digits = |at: usize| bytes[at.min(bytes.len())..].iter().take_while(|b| b.is_ascii_digit()).count();
        let mut end = usize::from(bytes.first() == Some(&b'-'));
        let whole = digits(end);
        end += whole;
        let mut fraction = 0;
        if bytes.get(end) == Some(&b'.') {
            fraction = digits(end + 1);
            end += 1 + fraction;
        }
        if whole + fraction == 0 {
            return Err(Fault::Format);
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            let exponent = digits(end + 1 + sign);
            if exponent > 0 {
                end += 1 + sign + exponent;
            }
        }
        let value: f64 = self.rest[..end].parse().map_err(|_| Fault::Format)?;
        self.rest = &self.rest[end..];
        if value.is_infinite() {
            return Err(Fault::Format);
        }
        if value.abs() > 1e15 {
            return Err(Fault::Field);
        }
        Ok(Amount { whole: value.trunc() as i64, fraction: value - value.trunc() })
    }
}

//! Decimal numbers as texts have them, whatever their length, and whether a double holds one.

/// A finite decimal number as it is written: digits, with or without a point, with or without an exponent.
pub(super) struct Number<'a> {
    negative: bool,
    /// Before and after the point.
    whole: &'a str,
    fraction: &'a str,
    exponent: i64,
}

/// What a double holds of any decimal number, if its exponent is ordinary.
const DIGITS_OF_A_DOUBLE: usize = 15;

impl<'a> Number<'a> {
    /// None: the text is no such number.
    pub(super) fn read(text: &'a str) -> Option<Number<'a>> {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, i64::from(exponent.parse::<i32>().ok()?)),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let is_number = all_digits(whole) && all_digits(fraction) && !(whole.is_empty() && fraction.is_empty());
        is_number.then_some(Number { negative: text.starts_with('-'), whole, fraction, exponent })
    }

    /// Digits before the point, written without an exponent.
    pub(super) fn whole_digits(&self) -> usize {
        let digits = self.digits();
        let leading_zeros = self.whole.len() + self.fraction.len() - digits.len();
        let shift = self.whole.len() as i64 + self.exponent - leading_zeros as i64;
        if digits.trim_end_matches('0').is_empty() { 0 } else { usize::try_from(shift).unwrap_or(0) }
    }

    /// Digits after the point, written without an exponent; zeros at the end count.
    pub(super) fn fraction_digits(&self) -> usize {
        usize::try_from(self.fraction.len() as i64 - self.exponent).unwrap_or(0)
    }

    /// Digits after the point that are needed.
    pub(super) fn decimals(&self) -> usize {
        let digits = self.digits();
        let needed = digits.trim_end_matches('0');
        if needed.is_empty() { 0 } else { self.fraction_digits().saturating_sub(digits.len() - needed.len()) }
    }

    /// All digits from the first that is not zero.
    fn digits(&self) -> String {
        [self.whole, self.fraction].concat().trim_start_matches('0').to_owned()
    }

    /// Its value: sign, digits without zeros on either side, exponent of the last of them.
    fn value(&self) -> (bool, String, i64) {
        let digits = self.digits();
        let needed = digits.trim_end_matches('0').to_owned();
        if needed.is_empty() {
            return (false, needed, 0);
        }
        let exponent = self.exponent - self.fraction.len() as i64 + (digits.len() - needed.len()) as i64;
        (self.negative, needed, exponent)
    }
}

/// Whether a number, read as a double and written again, is the same number.
pub(super) fn is_held_by_a_double(number: &Number<'_>, text: &str) -> bool {
    if number.exponent == 0 && number.whole.len() + number.fraction.len() <= DIGITS_OF_A_DOUBLE {
        return true;
    }
    let Ok(double) = text.parse::<f64>() else { return false };
    let written = format!("{double:e}");
    Number::read(&written).is_some_and(|written| written.value() == number.value())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_written_without_an_exponent() {
        for (text, whole, fraction, decimals) in [
            ("0", 0, 0, 0),
            ("-12.50", 2, 2, 1),
            (".5", 0, 1, 1),
            ("0.05", 0, 2, 2),
            ("1e5", 6, 0, 0),
            ("1.25e1", 2, 1, 1),
            ("12e-3", 0, 3, 3),
            ("1.20E-1", 0, 3, 2),
            ("100", 3, 0, 0),
        ] {
            let number = Number::read(text).unwrap();
            assert_eq!(
                (number.whole_digits(), number.fraction_digits(), number.decimals()),
                (whole, fraction, decimals),
                "{text}"
            );
        }
        for text in ["", ".", "-", "1e", "e5", "1.2.3", "0x1F", "-Infinity", "NaN", "1e99999999999"] {
            assert!(Number::read(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_double_holds_what_comes_back_from_it() {
        for (text, held) in [
            ("0", true),
            ("-0.0", true),
            ("0.1", true),
            ("1e5", true),
            ("1e300", true),
            ("1.7976931348623157e308", true),
            ("9007199254740993", false),
            ("9007199254740992", true),
            ("100000000000000000000", true),
            ("1234567890123456789012345678901234567890", false),
            ("0.10000000000000000001", false),
            ("1e400", false),
            ("1e-400", false),
        ] {
            assert_eq!(is_held_by_a_double(&Number::read(text).unwrap(), text), held, "{text}");
        }
    }
}

//! How values become text for this session.

use jiff::tz::TimeZone;
use types::{DatumRef, text};

/// How `bytea` is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteaOutput {
    /// `\x0102`
    Hex,
    /// `\001\002`, printable bytes as they are
    Escape,
}

/// The session settings that text output depends on. Dates are always ISO and intervals in PostgreSQL's own style: no other
/// `DateStyle` or `IntervalStyle` is accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct FormatOptions {
    /// `TimeZone`: where `timestamptz` is shown.
    pub time_zone: TimeZone,
    /// `extra_float_digits`: above 0 the shortest exact form, else 15 (or 6) digits plus this many.
    pub extra_float_digits: i32,
    /// `bytea_output`
    pub bytea: ByteaOutput,
}

impl Default for FormatOptions {
    fn default() -> FormatOptions {
        FormatOptions { time_zone: TimeZone::UTC, extra_float_digits: 1, bytea: ByteaOutput::Hex }
    }
}

impl FormatOptions {
    /// Appends the text of a value. NULL has no text: nothing is appended.
    pub fn write(&self, value: DatumRef<'_>, out: &mut Vec<u8>) {
        match value {
            DatumRef::Float4(v) if self.extra_float_digits <= 0 => rounded(f64::from(v), 6 + self.extra_float_digits, out),
            DatumRef::Float8(v) if self.extra_float_digits <= 0 => rounded(v, 15 + self.extra_float_digits, out),
            DatumRef::Bytea(bytes) if self.bytea == ByteaOutput::Escape => escaped(bytes, out),
            value => text::format_in(value, &self.time_zone, out),
        }
    }
}

/// C's `%.{digits}g`.
fn rounded(v: f64, digits: i32, out: &mut Vec<u8>) {
    let digits = digits.max(1) as usize;
    if !v.is_finite() || v == 0.0 {
        return text::format(DatumRef::Float8(v), out);
    }
    let scientific = format!("{v:.*e}", digits - 1);
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |number: &str| match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => number.to_owned(),
    };
    let text = if exponent < -4 || exponent >= digits as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", trim(mantissa), exponent.abs())
    } else {
        trim(&format!("{v:.*}", (digits as i32 - 1 - exponent).max(0) as usize))
    };
    out.extend_from_slice(text.as_bytes());
}

/// PostgreSQL's old form of `bytea`.
fn escaped(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b' '..=b'~' => out.push(byte),
            _ => out.extend_from_slice(format!("\\{byte:03o}").as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(options: &FormatOptions, value: DatumRef<'_>) -> String {
        let mut out = Vec::new();
        options.write(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_follow_extra_float_digits() {
        // Taken from PostgreSQL 15: SET extra_float_digits = 0 / -5; SELECT ...
        let options = |digits| FormatOptions { extra_float_digits: digits, ..FormatOptions::default() };
        for (value, digits, expected) in [
            (0.1 + 0.2, 1, "0.30000000000000004"),
            (0.1 + 0.2, 0, "0.3"),
            (1.0 / 3.0, 0, "0.333333333333333"),
            (1.0 / 3.0, -5, "0.3333333333"),
            (1e20, 0, "1e+20"),
            (123456789.125, 0, "123456789.125"),
            (1.5e-7, 0, "1.5e-07"),
            (0.0001, 0, "0.0001"),
            (1e15, 0, "1e+15"),
            (-0.0, 0, "-0"),
        ] {
            assert_eq!(text_of(&options(digits), DatumRef::Float8(value)), expected);
        }
        assert_eq!(text_of(&options(0), DatumRef::Float4(0.1)), "0.1");
        assert_eq!(text_of(&options(0), DatumRef::Float4(1.0 / 3.0)), "0.333333");
    }

    #[test]
    fn bytea_can_be_escaped() {
        let options = FormatOptions { bytea: ByteaOutput::Escape, ..FormatOptions::default() };
        assert_eq!(text_of(&options, DatumRef::Bytea(b"a\\\x01\xff")), "a\\\\\\001\\377");
        assert_eq!(text_of(&FormatOptions::default(), DatumRef::Bytea(b"a\x01")), "\\x6101");
    }
}

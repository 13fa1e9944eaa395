//! One value as text, as the session wants to see it.
//!
//! Not here: the forms themselves (`types::text`), except where a setting asks for another than the default.
//! Source: PostgreSQL 15, `float8out_internal` and `byteaout`.

use std::io::Write;

use sql::{ByteaOutput, FormatOptions};
use types::{DatumRef, text};

/// Appends the text of a value. NULL has none.
pub(super) fn put(value: DatumRef<'_>, options: &FormatOptions, out: &mut Vec<u8>) {
    match value {
        DatumRef::Int2(v) => put_int(v, out),
        DatumRef::Int4(v) => put_int(v, out),
        DatumRef::Int8(v) => put_int(v, out),
        DatumRef::Float4(v) if options.extra_float_digits <= 0 => put_digits(v.into(), 6, options.extra_float_digits, out),
        DatumRef::Float8(v) if options.extra_float_digits <= 0 => put_digits(v, 15, options.extra_float_digits, out),
        DatumRef::Bytea(v) if options.bytea == ByteaOutput::Escape => put_escaped(v, out),
        value => text::format_in(value, &options.time_zone, out),
    }
}

/// An integer in decimal.
pub(super) fn put_int(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// As C's `%.*g` writes it, at `digits + extra` significant digits, at least one.
fn put_digits(value: f64, digits: i32, extra: i32, out: &mut Vec<u8>) {
    if !value.is_finite() {
        return text::format(DatumRef::Float8(value), out);
    }
    let precision = (digits + extra).max(1) as usize;
    // `{:e}` rounds to the digits asked for; the exponent after rounding decides between the two notations.
    let scientific = format!("{value:.*e}", precision - 1);
    let (mantissa, exponent) = scientific.split_once('e').expect("the format has an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent is a number");
    let shortened = |digits: &str| match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => digits.to_owned(),
    };
    let written = if exponent < -4 || exponent >= precision as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        write!(out, "{}e{sign}{:02}", shortened(mantissa), exponent.abs())
    } else {
        write!(out, "{}", shortened(&format!("{value:.*}", (precision as i32 - 1 - exponent).max(0) as usize)))
    };
    written.expect("writing to memory does not fail");
}

/// `bytea_output = escape`: printable bytes as they are, a backslash doubled, the rest in octal.
fn put_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x20..=0x7e => out.push(byte),
            _ => out.extend_from_slice(&[b'\\', b'0' + (byte >> 6), b'0' + ((byte >> 3) & 7), b'0' + (byte & 7)]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: DatumRef<'_>, options: &FormatOptions) -> String {
        let mut out = vec![];
        put(value, options, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fewer_float_digits_look_as_in_postgresql() {
        // From PostgreSQL 15: `set extra_float_digits = n; select v`.
        for (value, extra, expected) in [
            (0.1 + 0.2, 0, "0.3"),
            (1.0 / 3.0, 0, "0.333333333333333"),
            (1.0 / 3.0, -14, "0.3"),
            (1.0 / 3.0, -15, "0.3"),
            (123456789.0, -10, "1.2346e+08"),
            (100000.0, 0, "100000"),
            (1e15, 0, "1e+15"),
            (123456789012345.0, 0, "123456789012345"),
            (0.0001, 0, "0.0001"),
            (0.00001, 0, "1e-05"),
            (9.9999999, -13, "10"),
            (0.0, 0, "0"),
            (-0.0, 0, "-0"),
            (1e300, 0, "1e+300"),
            (f64::NAN, 0, "NaN"),
            (f64::NEG_INFINITY, -3, "-Infinity"),
        ] {
            let options = FormatOptions { extra_float_digits: extra, ..FormatOptions::default() };
            assert_eq!(shown(DatumRef::Float8(value), &options), expected, "{value} with {extra}");
        }
        let options = FormatOptions { extra_float_digits: 0, ..FormatOptions::default() };
        assert_eq!(shown(DatumRef::Float4(0.1), &options), "0.1");
        assert_eq!(shown(DatumRef::Float8(0.1 + 0.2), &FormatOptions::default()), "0.30000000000000004");
    }

    #[test]
    fn bytes_are_escaped_when_asked_for() {
        let options = FormatOptions { bytea: ByteaOutput::Escape, ..FormatOptions::default() };
        assert_eq!(shown(DatumRef::Bytea(b"a\\b\0\xff\x7f"), &options), r"a\\b\000\377\177");
        assert_eq!(shown(DatumRef::Bytea(b"a\0"), &FormatOptions::default()), r"\x6100");
    }
}

//! `bytea` (hex and escape form in, hex out) and `uuid`.

use super::invalid_syntax;
use crate::error::{SqlError, SqlState};

/// The bytes of `\x0a0b` or of the escape form, where `\\` is a backslash and `\ooo` a byte in octal. Errors: 22P02, 22023.
pub(super) fn parse_bytea(s: &str) -> Result<Vec<u8>, SqlError> {
    match s.strip_prefix("\\x") {
        Some(hex) => parse_hex(hex),
        None => parse_escaped(s),
    }
}

fn parse_hex(hex: &str) -> Result<Vec<u8>, SqlError> {
    let refuse = |message: String| SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message);
    let mut out = Vec::with_capacity(hex.len() / 2);
    let mut chars = hex.chars();
    let digit = |c: char| match c.to_digit(16) {
        Some(digit) => Ok(digit as u8),
        None => Err(refuse(format!("invalid hexadecimal digit: \"{c}\""))),
    };
    while let Some(high) = chars.next() {
        // Blanks may stand between two bytes.
        if matches!(high, ' ' | '\n' | '\t' | '\r') {
            continue;
        }
        let high = digit(high)?;
        let low = chars.next().ok_or_else(|| refuse("invalid hexadecimal data: odd number of digits".to_owned()))?;
        out.push(high << 4 | digit(low)?);
    }
    Ok(out)
}

fn parse_escaped(s: &str) -> Result<Vec<u8>, SqlError> {
    let mut out = Vec::with_capacity(s.len());
    let mut rest = s.as_bytes();
    loop {
        rest = match rest {
            [] => return Ok(out),
            [b'\\', b'\\', rest @ ..] => {
                out.push(b'\\');
                rest
            }
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', rest @ ..] => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest
            }
            [b'\\', ..] => {
                return Err(SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, "invalid input syntax for type bytea"));
            }
            [byte, rest @ ..] => {
                out.push(*byte);
                rest
            }
        };
    }
}

/// Appends `\x` and two digits a byte.
pub(super) fn format_bytea(v: &[u8], out: &mut Vec<u8>) {
    out.reserve(2 + 2 * v.len());
    out.extend_from_slice(b"\\x");
    hex(v, out);
}

fn hex(v: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in v {
        out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

/// 32 hex digits, with a hyphen allowed after each four, perhaps in braces. Errors: 22P02.
pub(super) fn parse_uuid(s: &str) -> Result<[u8; 16], SqlError> {
    read_uuid(s.as_bytes()).ok_or_else(|| invalid_syntax("uuid", s))
}

fn read_uuid(text: &[u8]) -> Option<[u8; 16]> {
    let mut rest = match text {
        [b'{', inner @ .., b'}'] => inner,
        [b'{', ..] => return None,
        text => text,
    };
    let mut uuid = [0; 16];
    for (at, byte) in uuid.iter_mut().enumerate() {
        let (pair, after) = rest.split_at_checked(2)?;
        let digit = |b: u8| char::from(b).to_digit(16);
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
        rest = match after {
            [b'-', after @ ..] if at % 2 == 1 && at < 15 => after,
            after => after,
        };
    }
    rest.is_empty().then_some(uuid)
}

/// Appends the form 8-4-4-4-12.
pub(super) fn format_uuid(v: [u8; 16], out: &mut Vec<u8>) {
    for (at, part) in [&v[..4], &v[4..6], &v[6..8], &v[8..10], &v[10..]].into_iter().enumerate() {
        if at > 0 {
            out.push(b'-');
        }
        hex(part, out);
    }
}

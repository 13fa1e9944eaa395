//! `encode` and `decode`: bytes as text, in `hex`, `base64` and `escape`.
//!
//! base64 is MIME's: lines of 76 characters, blanks between characters ignored, padding required (and allowed within).
//! Source: PostgreSQL 15, "Binary String Functions and Operators".

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use types::{Datum, DatumRef, SqlError, SqlState, SqlType};

use super::{fits, mismatch, text, text_of};
use crate::function::{Call, Function};

/// Characters of a line of base64.
const LINE: usize = 76;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("encode", |args, _| fits(args, &[SqlType::Bytea, SqlType::Text], SqlType::Text), encode),
    Function::new("decode", |args, _| fits(args, &[SqlType::Text, SqlType::Text], SqlType::Bytea), decode),
];

enum Format {
    Hex,
    Base64,
    Escape,
}

impl Format {
    fn named(name: &str) -> Result<Format, SqlError> {
        match name.to_ascii_lowercase().as_str() {
            "hex" => Ok(Format::Hex),
            "base64" => Ok(Format::Base64),
            "escape" => Ok(Format::Escape),
            _ => Err(invalid(format!("unrecognized encoding: \"{name}\""))),
        }
    }
}

fn invalid(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

fn encode(call: &Call<'_>, args: &[DatumRef<'_>]) -> Result<Datum, SqlError> {
    let Some(DatumRef::Bytea(bytes)) = args.first() else { return Err(mismatch("encode")) };
    match Format::named(text_of(args, 1)?)? {
        Format::Hex => {
            call.room_for(bytes.len().saturating_mul(2))?;
            text(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect::<String>())
        }
        Format::Base64 => {
            call.room_for(bytes.len().saturating_mul(4) / 3 + bytes.len() / 50)?;
            let whole = STANDARD.encode(bytes);
            let mut lines = String::with_capacity(whole.len() + whole.len() / LINE);
            for (at, character) in whole.chars().enumerate() {
                if at > 0 && at % LINE == 0 {
                    lines.push('\n');
                }
                lines.push(character);
            }
            text(lines)
        }
        Format::Escape => {
            call.room_for(bytes.len().saturating_mul(4))?;
            let mut out = String::with_capacity(bytes.len());
            for byte in bytes.iter() {
                match byte {
                    b'\\' => out.push_str("\\\\"),
                    0 | 128.. => out.push_str(&format!("\\{byte:03o}")),
                    byte => out.push(char::from(*byte)),
                }
            }
            text(out)
        }
    }
}

fn digit(nibble: u8) -> char {
    char::from_digit(nibble.into(), 16).unwrap_or('0')
}

fn decode(_: &Call<'_>, args: &[DatumRef<'_>]) -> Result<Datum, SqlError> {
    let shown = text_of(args, 0)?;
    let bytes = match Format::named(text_of(args, 1)?)? {
        Format::Hex => from_hex(shown)?,
        Format::Base64 => from_base64(shown)?,
        Format::Escape => from_escape(shown)?,
    };
    Ok(Datum::Bytea(bytes.into()))
}

/// Padding may stand within, as in what was put together of several; from the first on, it says how long each group is.
fn from_base64(shown: &str) -> Result<Vec<u8>, SqlError> {
    let mut out = Vec::with_capacity(shown.len() / 4 * 3);
    let (mut group, mut digits, mut length) = (0_u32, 0, 3);
    for c in shown.chars().filter(|c| !matches!(c, ' ' | '\t' | '\n' | '\r')) {
        let digit = match c {
            'A'..='Z' => u32::from(c) - u32::from('A'),
            'a'..='z' => u32::from(c) - u32::from('a') + 26,
            '0'..='9' => u32::from(c) - u32::from('0') + 52,
            '+' => 62,
            '/' => 63,
            '=' => {
                length = match (length, digits) {
                    (3, 2) => 1,
                    (3, 3) => 2,
                    (3, _) => return Err(invalid("unexpected \"=\" while decoding base64 sequence")),
                    (length, _) => length,
                };
                0
            }
            wrong => return Err(invalid(format!("invalid symbol \"{wrong}\" found while decoding base64 sequence"))),
        };
        group = group << 6 | digit;
        digits += 1;
        if digits == 4 {
            out.extend_from_slice(&group.to_be_bytes()[1..=length]);
            (group, digits) = (0, 0);
        }
    }
    if digits > 0 {
        return Err(invalid("invalid base64 end sequence")
            .hint("Input data is missing padding, is truncated, or is otherwise corrupted."));
    }
    Ok(out)
}

fn from_hex(shown: &str) -> Result<Vec<u8>, SqlError> {
    let mut nibbles = Vec::with_capacity(shown.len());
    for c in shown.chars().filter(|c| !matches!(c, ' ' | '\t' | '\n' | '\r')) {
        let nibble = c.to_digit(16).ok_or_else(|| invalid(format!("invalid hexadecimal digit: \"{c}\"")))?;
        nibbles.push(nibble as u8);
    }
    if nibbles.len() % 2 == 1 {
        return Err(invalid("invalid hexadecimal data: odd number of digits"));
    }
    Ok(nibbles.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

fn from_escape(shown: &str) -> Result<Vec<u8>, SqlError> {
    let wrong = || SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, "invalid input syntax for type bytea");
    let mut out = Vec::with_capacity(shown.len());
    let mut rest = shown.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'\\') => out.push(b'\\'),
            Some(first @ b'0'..=b'3') => {
                let mut value = first - b'0';
                for _ in 0..2 {
                    match rest.next() {
                        Some(octal @ b'0'..=b'7') => value = value << 3 | (octal - b'0'),
                        _ => return Err(wrong()),
                    }
                }
                out.push(value);
            }
            _ => return Err(wrong()),
        }
    }
    Ok(out)
}

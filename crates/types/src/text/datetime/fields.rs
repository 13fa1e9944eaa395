//! Text of a date, time or interval split into fields, before any of them has a meaning.
//!
//! ```text
//! Number   4  20240229  040506.789  2024.060          Word     feb  thu  pm  bc  est  infinity
//! Date     2024-02-29  29-feb-2024  america/new_york   Special  -infinity
//! Time     13:05:09.25                                 Signed   +02:30  -7  -1-2
//! ```
//!
//! Blanks and stray punctuation separate fields, and so does every change of kind (`20240229t1305z` has four). Letters become small.
//! Source: PostgreSQL 15, documentation appendix B.1, step 1.

use super::words;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::text) enum Kind {
    Number,
    Date,
    Time,
    Word,
    Special,
    Signed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::text) struct Field {
    pub(in crate::text) kind: Kind,
    pub(in crate::text) text: String,
}

/// The most fields PostgreSQL takes.
const FIELDS_MAX: usize = 25;

/// The fields of `s`, or `None` if something in it can be no field, or it is longer than PostgreSQL takes: more than 25 fields,
/// or `bytes_max` bytes with one more for each field.
pub(in crate::text) fn split(s: &str, bytes_max: usize) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    let mut rest = s.as_bytes();
    let mut room = bytes_max;
    while let Some(&first) = rest.first() {
        if is_space(first) {
            rest = &rest[1..];
            continue;
        }
        let skips_blanks = matches!(first, b'+' | b'-');
        let (kind, len) = match first {
            b'0'..=b'9' => numeral(rest),
            b'.' => (Kind::Number, 1 + run(&rest[1..], |b| b.is_ascii_digit())),
            b'a'..=b'z' | b'A'..=b'Z' => word(rest),
            b'+' | b'-' => signed(rest)?,
            _ if first.is_ascii_punctuation() => {
                rest = &rest[1..];
                continue;
            }
            _ => return None,
        };
        let bytes = rest[..len].iter().filter(|b| !(skips_blanks && is_space(**b)));
        let text: String = bytes.map(|b| char::from(b.to_ascii_lowercase())).collect();
        room = room.checked_sub(text.len() + 1)?;
        if room == 0 || fields.len() == FIELDS_MAX {
            return None;
        }
        fields.push(Field { kind, text });
        rest = &rest[len..];
    }
    Some(fields)
}

fn is_space(b: u8) -> bool {
    super::super::is_space(b.into())
}

fn run(bytes: &[u8], is_part: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take_while(|b| is_part(**b)).count()
}

/// A field that begins with a digit.
fn numeral(bytes: &[u8]) -> (Kind, usize) {
    let digits = run(bytes, |b| b.is_ascii_digit());
    match bytes.get(digits) {
        Some(b':') => (Kind::Time, digits + run(&bytes[digits..], |b| b.is_ascii_digit() || b == b':' || b == b'.')),
        Some(&delimiter @ (b'-' | b'/' | b'.')) => {
            let after = &bytes[digits + 1..];
            if !after.first().is_some_and(u8::is_ascii_digit) {
                return (Kind::Date, digits + 1 + run(after, |b| b.is_ascii_alphanumeric() || b == delimiter));
            }
            let second = digits + 1 + run(after, |b| b.is_ascii_digit());
            if bytes.get(second) == Some(&delimiter) {
                return (Kind::Date, second + run(&bytes[second..], |b| b.is_ascii_digit() || b == delimiter));
            }
            (if delimiter == b'.' { Kind::Number } else { Kind::Date }, second)
        }
        _ => (Kind::Number, digits),
    }
}

/// A field that begins with a letter: a word, or a date or the name of a zone with punctuation or digits in it.
fn word(bytes: &[u8]) -> (Kind, usize) {
    let letters = run(bytes, |b| b.is_ascii_alphabetic());
    let goes_on = match bytes.get(letters) {
        Some(b'-' | b'/' | b'.') => true,
        // `t0405` and `j2460370` are a word and a number, `gmt+3` and `est5edt` are zones.
        Some(b'+' | b'0'..=b'9') => {
            let text = String::from_utf8_lossy(&bytes[..letters]).to_ascii_lowercase();
            words::meaning(&text).is_none()
        }
        _ => false,
    };
    if !goes_on {
        return (Kind::Word, letters);
    }
    let is_part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'/' | b'_' | b'.' | b':');
    (Kind::Date, letters + 1 + run(&bytes[letters + 1..], is_part))
}

/// A field that begins with a sign; blanks may follow the sign.
fn signed(bytes: &[u8]) -> Option<(Kind, usize)> {
    let start = 1 + run(&bytes[1..], is_space);
    match bytes.get(start)? {
        b'0'..=b'9' => {
            let len = run(&bytes[start..], |b| b.is_ascii_digit() || matches!(b, b':' | b'.' | b'-'));
            Some((Kind::Signed, start + len))
        }
        b if b.is_ascii_alphabetic() => Some((Kind::Special, start + run(&bytes[start..], |b| b.is_ascii_alphabetic()))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_of_kind_begins_a_field() {
        let cases: [(&str, &[(Kind, &str)]); 7] = [
            (
                "20240229T130509.5Z",
                &[(Kind::Number, "20240229"), (Kind::Word, "t"), (Kind::Number, "130509.5"), (Kind::Word, "z")],
            ),
            ("2024-02-29 13:05+02", &[(Kind::Date, "2024-02-29"), (Kind::Time, "13:05"), (Kind::Signed, "+02")]),
            ("Thu Feb  29, 2024", &[(Kind::Word, "thu"), (Kind::Word, "feb"), (Kind::Number, "29"), (Kind::Number, "2024")]),
            ("America/New_York GMT+8", &[(Kind::Date, "america/new_york"), (Kind::Date, "gmt+8")]),
            ("- infinity", &[(Kind::Special, "-infinity")]),
            ("2024.060", &[(Kind::Number, "2024.060")]),
            ("@ 1 -2:3 ago", &[(Kind::Number, "1"), (Kind::Signed, "-2:3"), (Kind::Word, "ago")]),
        ];
        for (text, expected) in cases {
            let fields = split(text, 128).unwrap();
            let fields: Vec<_> = fields.iter().map(|field| (field.kind, field.text.as_str())).collect();
            assert_eq!(fields, expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_field_or_too_long_is_refused() {
        for text in ["2024-02-29ä", "+", "1 \u{1}"] {
            assert_eq!(split(text, 128), None, "{text:?}");
        }
        assert_eq!(split(&"1 ".repeat(26), 128), None);
        assert_eq!(split(&"1".repeat(200), 128), None);
    }
}

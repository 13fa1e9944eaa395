//! The type of a column from its values' text.
//!
//! ```text
//!   boolean   integer > bigint > numeric > double precision   date   timestamp   timestamptz   time   uuid      else text
//! ```
//!
//! 1. A type is chosen only if every value seen is read as it by the database itself (`types::text`).
//! 2. Numbers with leading zeros (007, post codes, phone numbers) are text: as numbers they would lose them.
//! 3. Words that PostgreSQL reads as dates or booleans but people mean as words (`now`, `yes`, `1`) do not make a column one.

use types::{SqlType, text};

/// What the values of a column have in common so far.
#[derive(Clone, Debug)]
pub(super) struct Inference {
    candidates: Vec<SqlType>,
    seen: bool,
    /// Digits before and after the point of the widest number.
    whole_digits: usize,
    fraction_digits: usize,
}

/// In the order of preference; the numeric one stands for any digits.
const CANDIDATES: [SqlType; 10] = [
    SqlType::Bool,
    SqlType::Int4,
    SqlType::Int8,
    SqlType::NUMERIC,
    SqlType::Float8,
    SqlType::Date,
    SqlType::Timestamp,
    SqlType::TimestampTz,
    SqlType::Time,
    SqlType::Uuid,
];

impl Default for Inference {
    fn default() -> Inference {
        Inference { candidates: CANDIDATES.to_vec(), seen: false, whole_digits: 0, fraction_digits: 0 }
    }
}

impl Inference {
    /// Takes a value that is not NULL into account.
    pub(super) fn see(&mut self, value: &str) {
        self.seen = true;
        let value = value.trim();
        self.candidates.retain(|candidate| fits(*candidate, value));
        if let Some((whole, fraction)) = digits(value) {
            self.whole_digits = self.whole_digits.max(whole);
            self.fraction_digits = self.fraction_digits.max(fraction);
        }
    }

    /// The type for the column.
    pub(super) fn sql_type(&self) -> SqlType {
        let first = self
            .candidates
            .iter()
            .copied()
            .find(|candidate| *candidate != SqlType::NUMERIC || self.whole_digits + self.fraction_digits <= 38);
        match first {
            _ if !self.seen => SqlType::Text,
            None => SqlType::Text,
            Some(SqlType::NUMERIC) => {
                // Eighteen digits fit a machine word, and leave room for larger numbers further on.
                let precision = if self.whole_digits + self.fraction_digits <= 16 { 18 } else { 38 };
                SqlType::Numeric { precision, scale: self.fraction_digits as u8 }
            }
            Some(found) => found,
        }
    }
}

fn fits(candidate: SqlType, value: &str) -> bool {
    let starts_like_a_number = value.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+' || c == '.');
    let plausible = match candidate {
        SqlType::Bool => return ["true", "false", "t", "f"].iter().any(|word| value.eq_ignore_ascii_case(word)),
        SqlType::NUMERIC => return digits(value).is_some() && !has_leading_zero(value),
        SqlType::Int4 | SqlType::Int8 | SqlType::Float8 => starts_like_a_number && !has_leading_zero(value),
        SqlType::Date => value.contains(['-', '/']) && !value.contains(':') && value.starts_with(|c: char| c.is_ascii_digit()),
        SqlType::Timestamp => value.contains(['-', '/']) && value.starts_with(|c: char| c.is_ascii_digit()) && !has_zone(value),
        SqlType::TimestampTz => value.contains(':') && value.contains(['-', '/']) && has_zone(value),
        SqlType::Time => value.contains(':') && !value.contains(['/', '-']) && value.starts_with(|c: char| c.is_ascii_digit()),
        SqlType::Uuid => value.len() == 36,
        _ => true,
    };
    plausible && text::parse(candidate, value).is_ok()
}

/// Digits before and after the point of a plain decimal number.
fn digits(value: &str) -> Option<(usize, usize)> {
    let unsigned = value.strip_prefix(['-', '+']).unwrap_or(value);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    (all_digits(whole) && all_digits(fraction) && !(whole.is_empty() && fraction.is_empty()))
        .then_some((whole.len(), fraction.len()))
}

fn has_leading_zero(value: &str) -> bool {
    let unsigned = value.strip_prefix(['-', '+']).unwrap_or(value).as_bytes();
    matches!(unsigned, [b'0', next, ..] if next.is_ascii_digit())
}

/// True for an offset or a zone after the time: `...T10:00Z`, `... 10:00+02`, `... 10:00 Europe/Berlin`.
fn has_zone(value: &str) -> bool {
    let Some(colon) = value.find(':') else { return false };
    value[colon..]
        .contains(|c: char| c == '+' || c == '-' || (c.is_alphabetic() && !matches!(c, 'A' | 'P' | 'M' | 'a' | 'p' | 'm')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inferred(values: &[&str]) -> String {
        let mut inference = Inference::default();
        values.iter().for_each(|value| inference.see(value));
        inference.sql_type().to_string()
    }

    #[test]
    fn columns_get_the_narrowest_type_that_holds_their_values() {
        for (values, expected) in [
            (&["1", "-2", "0"][..], "integer"),
            (&["1", "3000000000"], "bigint"),
            (&["1", "99999999999999999999"], "numeric(38,0)"),
            (&["1", "2.50", ".5"], "numeric(18,2)"),
            (&["1", "2.5e3"], "double precision"),
            (&["007", "8"], "text"),
            (&["0", "0.5"], "numeric(18,1)"),
            (&["true", "F"], "boolean"),
            (&["1", "true"], "text"),
            (&["yes", "no"], "text"),
            (&["2026-11-23", "1999-01-01"], "date"),
            (&["2026-11-23", "1999-01-01 10:00:00"], "timestamp without time zone"),
            (&["1999-01-01T10:00:00Z", "1999-01-01 10:00+02"], "timestamp with time zone"),
            (&["10:00", "23:59:59.5"], "time without time zone"),
            (&["now", "today"], "text"),
            (&["2026-02-30"], "text"),
            (&["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"], "uuid"),
            (&["12-34", "x"], "text"),
            (&[], "text"),
        ] {
            assert_eq!(inferred(values), expected, "{values:?}");
        }
    }
}

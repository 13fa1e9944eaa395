//! The columns of a new table from its files, and the type of a column from its values' text.
//!
//! ```text
//!   boolean   integer > bigint > numeric > double precision   date   timestamp   timestamptz   time   uuid      else text
//! ```
//!
//! 1. A type is chosen only if every value seen is read as it by the database itself (`types::text`).
//! 2. Numbers with leading zeros (007, post codes) or a plus sign (phone numbers) are text: as numbers they would lose them. So are dates
//!    that begin with day or month, unless one of them says which.
//! 3. No value is changed by its column's type: a number of more digits than a double holds, or a time of more than six decimals, makes
//!    its column another one. Rows that come after those looked at are held to that: [`keeps`].
//! 4. Words that PostgreSQL reads as dates or booleans but people mean as words (`now`, `yes`, `1`) do not make a column one.

use types::{SqlType, text};

use crate::exit::Failure;
use crate::import::Column;
use crate::import::number::{Number, is_held_by_a_double};

/// A column of a file, as far as is known.
#[derive(Debug)]
pub(super) struct Guess {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) not_null: bool,
}

/// What is known of a column's type.
#[derive(Debug)]
pub(super) enum Kind {
    /// The file says it.
    Said(SqlType),
    /// Its values suggest it.
    Seen(Inference),
}

impl Kind {
    fn sql_type(&self) -> SqlType {
        match self {
            Kind::Said(t) => *t,
            Kind::Seen(inference) => inference.sql_type(),
        }
    }
}

/// The columns of the first file, each of a type that holds what all files have in it. Errors: there is none.
pub(super) fn columns(files: Vec<Vec<Guess>>) -> Result<Vec<Column>, Failure> {
    let mut files = files.into_iter();
    let mut columns = files.next().unwrap_or_default();
    for guess in files.flatten() {
        // A file with other columns is refused when it is bound to the table.
        let Some(column) = columns.iter_mut().find(|column| column.name == guess.name) else { continue };
        column.not_null &= guess.not_null;
        match (&mut column.kind, &guess.kind) {
            (Kind::Seen(all), Kind::Seen(more)) => all.add(more),
            (one, other) if one.sql_type() == other.sql_type() => {}
            (one, other) => {
                let (name, one, other) = (&guess.name, one.sql_type(), other.sql_type());
                return Err(Failure::new(format!("column {name} is {one} in one file and {other} in another"))
                    .next("make the table with CREATE TABLE, and import without --create"));
            }
        }
    }
    let column = |guess: Guess| Column { data_type: guess.kind.sql_type(), name: guess.name, not_null: guess.not_null };
    Ok(columns.into_iter().map(column).collect())
}

/// What the values of a column have in common so far.
#[derive(Clone, Debug)]
pub(super) struct Inference {
    candidates: Vec<SqlType>,
    seen: bool,
    /// Every value is a finite decimal number, and these are the digits before and after the point that hold all.
    decimal: bool,
    whole_digits: usize,
    fraction_digits: usize,
    /// A double would change one of them.
    outgrows_double: bool,
    /// A date begins with what may be the day or the month; and with the month, as its day cannot be one.
    day_or_month: bool,
    month_first: bool,
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
        Inference {
            candidates: CANDIDATES.to_vec(),
            seen: false,
            decimal: true,
            whole_digits: 0,
            fraction_digits: 0,
            outgrows_double: false,
            day_or_month: false,
            month_first: false,
        }
    }
}

impl Inference {
    /// Takes a value that is not NULL into account.
    pub(super) fn see(&mut self, value: &str) {
        self.seen = true;
        let value = value.trim();
        self.candidates.retain(|candidate| fits(*candidate, value));
        if let Some(second) = second_field(value) {
            self.day_or_month = true;
            self.month_first |= second > 12;
        }
        match Number::read(value) {
            Some(number) => {
                self.whole_digits = self.whole_digits.max(number.whole_digits());
                self.fraction_digits = self.fraction_digits.max(number.fraction_digits());
                self.outgrows_double |= !is_held_by_a_double(&number, value);
            }
            None => self.decimal = false,
        }
    }

    /// Takes into account what another file's values have in common.
    fn add(&mut self, other: &Inference) {
        self.seen |= other.seen;
        self.candidates.retain(|candidate| other.candidates.contains(candidate));
        self.decimal &= other.decimal;
        self.whole_digits = self.whole_digits.max(other.whole_digits);
        self.fraction_digits = self.fraction_digits.max(other.fraction_digits);
        self.outgrows_double |= other.outgrows_double;
        self.day_or_month |= other.day_or_month;
        self.month_first |= other.month_first;
    }

    /// The type for the column.
    pub(super) fn sql_type(&self) -> SqlType {
        let digits = self.whole_digits + self.fraction_digits;
        let exact = self.decimal && digits <= 38;
        let first = self.candidates.iter().copied().find(|candidate| *candidate != SqlType::NUMERIC || exact);
        match first {
            _ if !self.seen => SqlType::Text,
            None => SqlType::Text,
            Some(SqlType::NUMERIC) => {
                // Eighteen digits fit a machine word, and leave room for larger numbers further on.
                let precision = if digits <= 16 { 18 } else { 38 };
                SqlType::Numeric { precision, scale: self.fraction_digits as u8 }
            }
            Some(SqlType::Float8) if self.outgrows_double && exact => {
                SqlType::Numeric { precision: 38, scale: self.fraction_digits as u8 }
            }
            Some(SqlType::Float8) if self.outgrows_double => SqlType::Text,
            Some(SqlType::Date | SqlType::Timestamp | SqlType::TimestampTz) if self.day_or_month && !self.month_first => {
                SqlType::Text
            }
            Some(found) => found,
        }
    }
}

/// Whether a column of an inferred type takes a value that the type can read: not if its like, seen in time, would have led to
/// another type.
pub(super) fn keeps(t: SqlType, value: &str) -> bool {
    let value = value.trim();
    match t {
        SqlType::Numeric { scale, .. } => {
            !has_leading_zero(value) && Number::read(value).is_some_and(|number| number.decimals() <= usize::from(scale))
        }
        SqlType::Float8 => is_plausible(t, value) && Number::read(value).is_none_or(|number| is_held_by_a_double(&number, value)),
        _ => is_plausible(t, value),
    }
}

fn fits(candidate: SqlType, value: &str) -> bool {
    let read = match candidate {
        SqlType::Bool | SqlType::NUMERIC => true,
        _ => text::parse(candidate, value).is_ok(),
    };
    read && is_plausible(candidate, value)
}

fn is_plausible(candidate: SqlType, value: &str) -> bool {
    let starts_like_a_number = value.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.');
    match candidate {
        SqlType::Bool => ["true", "false", "t", "f"].iter().any(|word| value.eq_ignore_ascii_case(word)),
        SqlType::NUMERIC => {
            starts_like_a_number && !value.contains(['e', 'E']) && Number::read(value).is_some() && !has_leading_zero(value)
        }
        SqlType::Int4 | SqlType::Int8 | SqlType::Float8 => starts_like_a_number && !has_leading_zero(value),
        SqlType::Date => value.contains(['-', '/']) && !value.contains(':') && value.starts_with(|c: char| c.is_ascii_digit()),
        SqlType::Timestamp | SqlType::TimestampTz | SqlType::Time if is_finer_than_a_microsecond(value) => false,
        SqlType::Timestamp => value.contains(['-', '/']) && value.starts_with(|c: char| c.is_ascii_digit()) && !has_zone(value),
        SqlType::TimestampTz => value.contains(':') && value.contains(['-', '/']) && has_zone(value),
        SqlType::Time => value.contains(':') && !value.contains(['/', '-']) && value.starts_with(|c: char| c.is_ascii_digit()),
        SqlType::Uuid => value.len() == 36,
        _ => true,
    }
}

/// The second number of a date that does not begin with a year: `12/31/2024`, `31-12-24`.
fn second_field(value: &str) -> Option<u32> {
    let mut fields = value.split(['/', '-', '.']);
    let number = |field: &str| field.bytes().all(|b| b.is_ascii_digit()).then(|| field.parse::<u32>().ok()).flatten();
    let (first, second, _year) = (fields.next()?, fields.next()?, fields.next()?);
    (first.len() <= 2 && number(first).is_some()).then(|| number(second)).flatten()
}

/// True for a time whose seventh decimal, or one behind it, is not zero.
fn is_finer_than_a_microsecond(value: &str) -> bool {
    value.split('.').skip(1).any(|part| {
        let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        part[..end].trim_end_matches('0').len() > 6
    })
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
            (&["1e5", "0.1", "1e300"], "double precision"),
            (&["1", "1234567890123456789012345678901234567890"], "text"),
            (&["12345678901234567890123456789012345678", "1.5"], "text"),
            (&["1234567890123456789012345678901234567", "1.5"], "numeric(38,1)"),
            (&["0.12345678901234567890123456789012345678"], "numeric(38,38)"),
            (&["1e5", "12345678901234567.25"], "numeric(38,2)"),
            (&["1e5", "1.2345678901234567890e-3"], "numeric(38,22)"),
            (&["1e300", "12345678901234567.25"], "text"),
            (&["-Infinity", "1e5"], "double precision"),
            (&["-Infinity", "1e5", "12345678901234567.25"], "text"),
            (&["007", "8"], "text"),
            (&["0", "0.5"], "numeric(18,1)"),
            (&["true", "F"], "boolean"),
            (&["1", "true"], "text"),
            (&["yes", "no"], "text"),
            (&["2026-11-23", "1999-01-01"], "date"),
            (&["2026-11-23", "1999-01-01 10:00:00"], "timestamp without time zone"),
            (&["1999-01-01T10:00:00Z", "1999-01-01 10:00+02"], "timestamp with time zone"),
            (&["10:00", "23:59:59.5"], "time without time zone"),
            (&["2024-01-02 03:04:05.123456", "2024-01-02 03:04:05.1234560"], "timestamp without time zone"),
            (&["2024-01-02 03:04:05.1234567"], "text"),
            (&["2024-01-02 03:04:05.1234567+02"], "text"),
            (&["03:04:05.1234567"], "text"),
            (&["+41791234567", "1"], "text"),
            (&["+1.5"], "text"),
            (&["01/02/2024", "03/02/2024"], "text"),
            (&["01/02/2024", "12/31/2024"], "date"),
            (&["01/02/2024", "31/12/2024"], "text"),
            (&["01-02-2024 10:00"], "text"),
            (&["2024/01/02"], "date"),
            (&["now", "today"], "text"),
            (&["2026-02-30"], "text"),
            (&["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"], "uuid"),
            (&["12-34", "x"], "text"),
            (&[], "text"),
        ] {
            assert_eq!(inferred(values), expected, "{values:?}");
        }
    }

    fn seen(name: &str, values: &[&str]) -> Guess {
        let mut inference = Inference::default();
        values.iter().for_each(|value| inference.see(value));
        Guess { name: name.into(), kind: Kind::Seen(inference), not_null: false }
    }

    #[test]
    fn a_column_gets_a_type_that_holds_what_every_file_has() {
        let files = vec![
            vec![seen("price", &["1.25"]), seen("day", &["2026-01-01"])],
            vec![seen("day", &["2026-01-02 23:59:00"]), seen("price", &["1.23999"])],
            vec![seen("price", &[])],
        ];
        let found: Vec<String> = columns(files).unwrap().iter().map(|column| column.data_type.to_string()).collect();
        assert_eq!(found, ["numeric(18,5)", "timestamp without time zone"]);

        let said = |t| vec![Guess { name: "n".into(), kind: Kind::Said(t), not_null: true }];
        assert_eq!(columns(vec![said(SqlType::Int8), said(SqlType::Int8)]).unwrap()[0].data_type, SqlType::Int8);
        assert!(columns(vec![said(SqlType::Timestamp), said(SqlType::Date)]).is_err());
    }

    #[test]
    fn a_value_its_inferred_type_would_change_is_not_kept() {
        let price = SqlType::Numeric { precision: 18, scale: 2 };
        for (t, value, kept) in [
            (price, "1.23", true),
            (price, "-7", true),
            (price, "1.2300", true),
            (price, "1.23999", false),
            (SqlType::Date, "2026-01-02", true),
            (SqlType::Date, "2026-01-02 23:59:00", false),
            (SqlType::Timestamp, "2026-01-02 23:59:00", true),
            (SqlType::Timestamp, "2026-01-02 23:59:00+02", false),
            (price, "1e5", true),
            (price, "1e-3", false),
            (price, "007", false),
            (SqlType::Float8, "0.1", true),
            (SqlType::Float8, "1e5", true),
            (SqlType::Float8, "-Infinity", true),
            (SqlType::Float8, "1234567890123456789012345678901234567890", false),
            (SqlType::Float8, "1.00000000000000000001e7", false),
            (SqlType::Timestamp, "2026-01-02 23:59:00.123456", true),
            (SqlType::Timestamp, "2026-01-02 23:59:00.1234567", false),
            (SqlType::TimestampTz, "2026-01-02 23:59:00.1234567Z", false),
            (SqlType::Time, "23:59:00.1234567", false),
            (SqlType::Time, "23:59:00.1234560", true),
            (SqlType::Int4, "7", true),
            (SqlType::Int4, "007", false),
            (SqlType::Bool, "true", true),
            (SqlType::Bool, "1", false),
        ] {
            assert_eq!(keeps(t, value), kept, "{value} as {t}");
        }
    }
}

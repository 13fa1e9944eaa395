//! SQL types as PostgreSQL names and numbers them.
//!
//! Source: PostgreSQL 15, `pg_type.dat` (oids, lengths) and `format_type.c` (names).

use std::fmt;

use crate::{SqlError, SqlState};

/// The type of a column, a parameter or an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SqlType {
    /// `boolean`
    Bool,
    /// `smallint`
    Int2,
    /// `integer`
    Int4,
    /// `bigint`
    Int8,
    /// `real`
    Float4,
    /// `double precision`
    Float8,
    /// `numeric(precision, scale)`; 1 <= precision <= 38, 0 <= scale <= precision. See [`SqlType::NUMERIC`] for a bare `numeric`.
    Numeric {
        /// Decimal digits in all.
        precision: u8,
        /// Decimal digits after the point.
        scale: u8,
    },
    /// `text`
    Text,
    /// `character varying(n)`, n in characters
    Varchar(u32),
    /// `character(n)`, blank-padded, n in characters; 0 is of any length, as expressions of several lengths are: no column's type
    Char(u32),
    /// `bytea`
    Bytea,
    /// `date`: days since 1970-01-01
    Date,
    /// `time without time zone`: microseconds since midnight
    Time,
    /// `timestamp without time zone`: microseconds since 1970-01-01 00:00
    Timestamp,
    /// `timestamp with time zone`: microseconds since 1970-01-01 00:00 UTC
    TimestampTz,
    /// `interval`: months, days, microseconds
    Interval,
    /// `uuid`
    Uuid,
}

/// How `char` of any length is shown. As a user's name of a type it is `text`.
const ANY_LENGTH: &str = "bpchar";

/// The greatest n of `varchar(n)` and `char(n)`: PostgreSQL's.
const CHARACTERS_MAX: u32 = 10_485_760;

fn is_micros(arguments: &[u32]) -> bool {
    matches!(arguments, [] | [6])
}

impl SqlType {
    /// What a bare `numeric` becomes: 38 digits, 16 of them after the point. PostgreSQL has no such bound; a value
    /// that does not fit is refused with 22003.
    pub const NUMERIC: SqlType = SqlType::Numeric { precision: 38, scale: 16 };

    /// PostgreSQL's type oid.
    pub fn oid(self) -> u32 {
        match self {
            SqlType::Bool => 16,
            SqlType::Bytea => 17,
            SqlType::Int8 => 20,
            SqlType::Int2 => 21,
            SqlType::Int4 => 23,
            SqlType::Text => 25,
            SqlType::Float4 => 700,
            SqlType::Float8 => 701,
            SqlType::Char(_) => 1042,
            SqlType::Varchar(_) => 1043,
            SqlType::Date => 1082,
            SqlType::Time => 1083,
            SqlType::Timestamp => 1114,
            SqlType::TimestampTz => 1184,
            SqlType::Interval => 1186,
            SqlType::Numeric { .. } => 1700,
            SqlType::Uuid => 2950,
        }
    }

    /// The type a client names by oid (and no modifier): what a parameter of that oid is.
    pub fn from_oid(oid: u32) -> Option<SqlType> {
        Some(match oid {
            16 => SqlType::Bool,
            17 => SqlType::Bytea,
            20 => SqlType::Int8,
            21 => SqlType::Int2,
            23 => SqlType::Int4,
            25 | 19 | 705 | 1042 | 1043 => SqlType::Text,
            700 => SqlType::Float4,
            701 => SqlType::Float8,
            1082 => SqlType::Date,
            1083 => SqlType::Time,
            1114 => SqlType::Timestamp,
            1184 => SqlType::TimestampTz,
            1186 => SqlType::Interval,
            1700 => SqlType::NUMERIC,
            2950 => SqlType::Uuid,
            _ => return None,
        })
    }

    /// The type a name means, as `format_type` writes it or as a user may: `integer`, `int4`, `VARCHAR(10)`, `numeric(10, 2)`,
    /// `timestamp with time zone`, `bpchar`, ... `None` if it is no name of a type here, or its lengths are out of range.
    ///
    /// As in PostgreSQL `varchar` without a length is `text`, and `char` without one is `char(1)`.
    pub fn from_name(name: &str) -> Option<SqlType> {
        let lower = name.trim().to_ascii_lowercase();
        let (head, arguments, tail) = match lower.split_once('(') {
            None => (lower.as_str(), None, ""),
            Some((head, rest)) => {
                let (arguments, tail) = rest.split_once(')')?;
                (head, Some(arguments), tail)
            }
        };
        // `timestamp(6) with time zone` carries its precision in the middle of its name.
        let words = head.split_whitespace().chain(tail.split_whitespace()).collect::<Vec<_>>().join(" ");
        let arguments = match arguments {
            None => vec![],
            Some(text) => text.split(',').map(|n| n.trim().parse::<u32>().ok()).collect::<Option<Vec<_>>>()?,
        };
        let length = |default: Option<u32>| match (arguments.as_slice(), default) {
            ([], n) => n,
            (&[n @ 1..=CHARACTERS_MAX], _) => Some(n),
            _ => None,
        };
        Some(match words.as_str() {
            "numeric" | "decimal" | "dec" => match *arguments.as_slice() {
                [] => SqlType::NUMERIC,
                [precision @ 1..=38] => SqlType::Numeric { precision: precision as u8, scale: 0 },
                [precision @ 1..=38, scale] if scale <= precision => {
                    SqlType::Numeric { precision: precision as u8, scale: scale as u8 }
                }
                _ => return None,
            },
            "character varying" | "varchar" | "char varying" if arguments.is_empty() => SqlType::Text,
            "character varying" | "varchar" | "char varying" => SqlType::Varchar(length(None)?),
            "character" | "char" => SqlType::Char(length(Some(1))?),
            "bpchar" if arguments.is_empty() => SqlType::Text,
            "bpchar" => SqlType::Char(length(None)?),
            // Only microseconds are kept, so a coarser precision is not this type.
            "time" | "time without time zone" if is_micros(&arguments) => SqlType::Time,
            "timestamp" | "timestamp without time zone" if is_micros(&arguments) => SqlType::Timestamp,
            "timestamptz" | "timestamp with time zone" if is_micros(&arguments) => SqlType::TimestampTz,
            "interval" if is_micros(&arguments) => SqlType::Interval,
            "float" => match *arguments.as_slice() {
                [] | [25..=53] => SqlType::Float8,
                [1..=24] => SqlType::Float4,
                _ => return None,
            },
            _ if !arguments.is_empty() => return None,
            "boolean" | "bool" => SqlType::Bool,
            "smallint" | "int2" => SqlType::Int2,
            "integer" | "int" | "int4" => SqlType::Int4,
            "bigint" | "int8" => SqlType::Int8,
            "real" | "float4" => SqlType::Float4,
            "double precision" | "float8" => SqlType::Float8,
            "text" | "name" => SqlType::Text,
            "bytea" => SqlType::Bytea,
            "date" => SqlType::Date,
            "uuid" => SqlType::Uuid,
            _ => return None,
        })
    }

    /// The type that is shown as `name`.
    pub fn from_shown(name: &str) -> Option<SqlType> {
        if name == ANY_LENGTH { Some(SqlType::Char(0)) } else { SqlType::from_name(name) }
    }

    /// The error for a name that [`SqlType::from_name`] refuses, if it is that of a string type with a length that there is not.
    pub fn length_error(name: &str) -> Option<SqlError> {
        let lower = name.trim().to_ascii_lowercase();
        let (head, length) = lower.strip_suffix(')')?.split_once('(')?;
        let kind = match head.trim_end() {
            "character varying" | "varchar" | "char varying" => "varchar",
            "character" | "char" | "bpchar" => "char",
            _ => return None,
        };
        let message = match length.trim().parse::<u64>() {
            Ok(0) => format!("length for type {kind} must be at least 1"),
            Ok(_) => format!("length for type {kind} cannot exceed {CHARACTERS_MAX}"),
            Err(_) => "invalid type modifier".to_owned(),
        };
        Some(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message))
    }

    /// The name without length or precision, as most of PostgreSQL's messages have it.
    pub fn base_name(self) -> &'static str {
        match self {
            SqlType::Bool => "boolean",
            SqlType::Int2 => "smallint",
            SqlType::Int4 => "integer",
            SqlType::Int8 => "bigint",
            SqlType::Float4 => "real",
            SqlType::Float8 => "double precision",
            SqlType::Numeric { .. } => "numeric",
            SqlType::Text => "text",
            SqlType::Varchar(_) => "character varying",
            SqlType::Char(_) => "character",
            SqlType::Bytea => "bytea",
            SqlType::Date => "date",
            SqlType::Time => "time without time zone",
            SqlType::Timestamp => "timestamp without time zone",
            SqlType::TimestampTz => "timestamp with time zone",
            SqlType::Interval => "interval",
            SqlType::Uuid => "uuid",
        }
    }

    /// PostgreSQL's `typlen`: bytes on the wire in binary form, -1 if it varies.
    pub fn wire_len(self) -> i16 {
        match self {
            SqlType::Bool => 1,
            SqlType::Int2 => 2,
            SqlType::Int4 | SqlType::Float4 | SqlType::Date => 4,
            SqlType::Int8 | SqlType::Float8 | SqlType::Time | SqlType::Timestamp | SqlType::TimestampTz => 8,
            SqlType::Interval | SqlType::Uuid => 16,
            SqlType::Numeric { .. } | SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_) | SqlType::Bytea => -1,
        }
    }

    /// PostgreSQL's `atttypmod`: length or precision and scale, -1 if there is none.
    pub fn typmod(self) -> i32 {
        match self {
            SqlType::NUMERIC => -1,
            SqlType::Numeric { precision, scale } => ((i32::from(precision) << 16) | i32::from(scale)) + 4,
            SqlType::Char(0) => -1,
            SqlType::Varchar(n) | SqlType::Char(n) => n as i32 + 4,
            _ => -1,
        }
    }

    /// True for `text`, `varchar(n)` and `char(n)`.
    pub fn is_string(self) -> bool {
        matches!(self, SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_))
    }

    /// True for the integer, floating and numeric types.
    pub fn is_number(self) -> bool {
        matches!(
            self,
            SqlType::Int2 | SqlType::Int4 | SqlType::Int8 | SqlType::Float4 | SqlType::Float8 | SqlType::Numeric { .. }
        )
    }
}

impl fmt::Display for SqlType {
    /// The name `format_type` gives, e.g. `character varying(10)`. [`SqlType::from_shown`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            SqlType::NUMERIC => f.write_str(self.base_name()),
            SqlType::Numeric { precision, scale } => write!(f, "{}({precision},{scale})", self.base_name()),
            SqlType::Char(0) => f.write_str(ANY_LENGTH),
            SqlType::Varchar(n) | SqlType::Char(n) => write!(f, "{}({n})", self.base_name()),
            _ => f.write_str(self.base_name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_written_is_read_back() {
        for t in [
            SqlType::Bool,
            SqlType::Int2,
            SqlType::Int4,
            SqlType::Int8,
            SqlType::Float4,
            SqlType::Float8,
            SqlType::NUMERIC,
            SqlType::Numeric { precision: 38, scale: 0 },
            SqlType::Numeric { precision: 15, scale: 2 },
            SqlType::Text,
            SqlType::Varchar(10),
            SqlType::Char(1),
            SqlType::Char(0),
            SqlType::Bytea,
            SqlType::Date,
            SqlType::Time,
            SqlType::Timestamp,
            SqlType::TimestampTz,
            SqlType::Interval,
            SqlType::Uuid,
        ] {
            assert_eq!(SqlType::from_shown(&t.to_string()), Some(t), "{t}");
        }
    }

    #[test]
    fn aliases_mean_what_they_mean_in_postgresql() {
        for (name, expected) in [
            ("int", Some(SqlType::Int4)),
            (" INT8 ", Some(SqlType::Int8)),
            ("decimal( 10 , 2 )", Some(SqlType::Numeric { precision: 10, scale: 2 })),
            ("numeric(5)", Some(SqlType::Numeric { precision: 5, scale: 0 })),
            ("numeric(39)", None),
            ("numeric(5,6)", None),
            ("numeric(0,0)", None),
            ("varchar", Some(SqlType::Text)),
            ("varchar(3)", Some(SqlType::Varchar(3))),
            ("varchar(0)", None),
            ("varchar(10485761)", None),
            ("char", Some(SqlType::Char(1))),
            ("bpchar", Some(SqlType::Text)),
            ("bpchar(4)", Some(SqlType::Char(4))),
            ("bpchar(0)", None),
            ("char(0)", None),
            ("float(24)", Some(SqlType::Float4)),
            ("float(25)", Some(SqlType::Float8)),
            ("double  precision", Some(SqlType::Float8)),
            ("timestamptz", Some(SqlType::TimestampTz)),
            ("timestamp(6) with time zone", Some(SqlType::TimestampTz)),
            ("timestamp(3)", None),
            ("integer(4)", None),
            ("varchar(x)", None),
            ("varchar(3", None),
            ("json", None),
            ("", None),
        ] {
            assert_eq!(SqlType::from_name(name), expected, "{name:?}");
        }
    }
}

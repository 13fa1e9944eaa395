//! Values and their types: constants as PostgreSQL shows them, and what operands become.

use sqlparser::ast::Value;
use types::{SqlType, text};

use super::shown::Node;
use crate::pg_catalog::type_name;

/// A part of the tree and its type, if it is known.
pub(super) struct Typed {
    pub(super) node: Node,
    pub(super) data_type: Option<SqlType>,
    /// The string it is, if it takes whatever type is wanted.
    pub(super) literal: Option<String>,
}

pub(super) fn typed(node: Node, data_type: impl Into<Option<SqlType>>) -> Typed {
    Typed { node, data_type: data_type.into(), literal: None }
}

pub(super) fn null() -> Typed {
    typed(Node::Leaf("NULL".into()), None)
}

pub(super) fn constant(value: &Value) -> Option<Typed> {
    Some(match value {
        Value::Null => null(),
        Value::Boolean(v) => typed(Node::Leaf(v.to_string()), SqlType::Bool),
        Value::SingleQuotedString(s) | Value::EscapedStringLiteral(s) => {
            Typed { node: literal_of(s, SqlType::Text), data_type: None, literal: Some(s.clone()) }
        }
        Value::Number(digits, false) => {
            let t = if digits.parse::<i32>().is_ok() {
                SqlType::Int4
            } else if digits.parse::<i64>().is_ok() {
                SqlType::Int8
            } else {
                SqlType::NUMERIC
            };
            typed(literal_of(digits, t), t)
        }
        _ => return None,
    })
}

/// A constant of a type.
pub(super) fn literal_of(literal: &str, t: SqlType) -> Node {
    // In the form in which the type writes it; what numbers have behind the point stays.
    let canonical = match t {
        SqlType::Numeric { .. } => literal.trim().to_owned(),
        // A constant is not padded to the column's length.
        SqlType::Char(_) | SqlType::Varchar(_) => literal.to_owned(),
        _ => text::parse(t, literal).map_or_else(|_| literal.to_owned(), |datum| text::to_string(datum.as_ref())),
    };
    let bare = match t {
        SqlType::Int4 => !canonical.starts_with('-'),
        SqlType::Numeric { .. } => !canonical.starts_with('-') && canonical.contains('.'),
        _ => false,
    };
    Node::Leaf(match (bare, t) {
        (true, _) => canonical,
        (_, SqlType::Bool) => if canonical == "t" { "true" } else { "false" }.to_owned(),
        _ => format!("'{}'::{}", canonical.replace('\'', "''"), constant_type(t)),
    })
}

/// The name of a constant's type: without lengths.
pub(super) fn constant_type(t: SqlType) -> String {
    match t {
        SqlType::Char(_) => "bpchar".into(),
        SqlType::Varchar(_) => "character varying".into(),
        SqlType::Numeric { .. } => "numeric".into(),
        t => type_name(t),
    }
}

/// The value as one of this type.
pub(super) fn settled(value: Typed, wanted: impl Into<Option<SqlType>>) -> Typed {
    let Some(wanted) = wanted.into() else { return value };
    match (&value.literal, value.data_type) {
        (Some(literal), _) => typed(literal_of(literal, wanted), wanted),
        (None, Some(t)) if t.oid() != wanted.oid() => converted(value, wanted),
        (None, None) if matches!(&value.node, Node::Leaf(text) if text == "NULL") => {
            typed(Node::Leaf(format!("NULL::{}", constant_type(wanted))), wanted)
        }
        _ => value,
    }
}

/// A cast that PostgreSQL adds: to a type without lengths.
pub(super) fn converted(value: Typed, to: SqlType) -> Typed {
    typed(Node::Cast(Box::new(value.node), constant_type(to)), to)
}

pub(super) fn cast(value: Typed, to: SqlType) -> Typed {
    typed(Node::Cast(Box::new(value.node), type_name(to)), to)
}

pub(super) fn as_text(value: Typed) -> Node {
    settled(value, SqlType::Text).node
}

/// Operands as PostgreSQL's operators take them: there are such for integers of two sizes, dates and timestamps, floats of two sizes.
pub(super) fn alike(left: Typed, right: Typed) -> (Typed, Typed) {
    let operand = |t: SqlType| if matches!(t, SqlType::Varchar(_)) { SqlType::Text } else { t };
    match (left.data_type, right.data_type) {
        (Some(l), Some(r)) => {
            let common = numbers(l, r).or_else(|| strings(l, r));
            match common {
                // Floats of both sizes compare with a double.
                Some(SqlType::Float8) => {
                    let side =
                        |value: Typed, t| if matches!(t, SqlType::Float4) { value } else { settled(value, SqlType::Float8) };
                    (side(left, l), side(right, r))
                }
                Some(t) => (settled(left, t), settled(right, t)),
                None => (left, right),
            }
        }
        (Some(t), None) => (settled(left, operand(t)), settled(right, operand(t))),
        (None, Some(t)) => (settled(left, operand(t)), settled(right, operand(t))),
        (None, None) => (settled(left, SqlType::Text), settled(right, SqlType::Text)),
    }
}

/// What two numbers become to be compared or computed with, if one of them changes.
pub(super) fn numbers(l: SqlType, r: SqlType) -> Option<SqlType> {
    let is_integer = |t| matches!(t, SqlType::Int2 | SqlType::Int4 | SqlType::Int8);
    let is_float = |t| matches!(t, SqlType::Float4 | SqlType::Float8);
    let is_numeric = |t| matches!(t, SqlType::Numeric { .. });
    match (l, r) {
        (l, r) if (is_float(l) && !is_float(r) && r.is_number()) || (is_float(r) && !is_float(l) && l.is_number()) => {
            Some(SqlType::Float8)
        }
        (l, r) if (is_numeric(l) && is_integer(r)) || (is_integer(l) && is_numeric(r)) => Some(SqlType::NUMERIC),
        _ => None,
    }
}

pub(super) fn strings(l: SqlType, r: SqlType) -> Option<SqlType> {
    match (l, r) {
        (SqlType::Char(n), SqlType::Char(_) | SqlType::Varchar(_)) | (SqlType::Varchar(_), SqlType::Char(n)) => {
            Some(SqlType::Char(n))
        }
        (SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_), SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_)) => {
            Some(SqlType::Text)
        }
        _ => None,
    }
}

/// The type that values of different types become: the widest number, or the first type there is.
pub(super) fn common<'a>(values: impl Iterator<Item = &'a Typed>) -> Option<SqlType> {
    values.fold(None, |found, value| wider(found, value.data_type))
}

pub(super) fn wider(found: Option<SqlType>, other: Option<SqlType>) -> Option<SqlType> {
    match (found, other) {
        (Some(f), Some(o)) if number_rank(f) != 0 && number_rank(o) > number_rank(f) => Some(o),
        (found, other) => found.or(other),
    }
}

pub(super) fn number_rank(t: SqlType) -> u8 {
    match t {
        SqlType::Int2 => 1,
        SqlType::Int4 => 2,
        SqlType::Int8 => 3,
        SqlType::Numeric { .. } => 4,
        SqlType::Float4 => 5,
        SqlType::Float8 => 6,
        _ => 0,
    }
}

pub(super) fn arithmetic_type(left: Option<SqlType>, operator: &str, right: Option<SqlType>) -> Option<SqlType> {
    use SqlType::{Date, Int4, Interval, Timestamp, TimestampTz};
    Some(match (left?, right?) {
        (l, r) if l.is_number() && r.is_number() => numbers(l, r).unwrap_or(if number_rank(l) >= number_rank(r) { l } else { r }),
        (Date, Date) if operator == "-" => Int4,
        (Date, Int4) => Date,
        (Date, Interval) => Timestamp,
        (Timestamp | TimestampTz, Timestamp | TimestampTz) => Interval,
        (t @ (Timestamp | TimestampTz), Interval) => t,
        _ => return None,
    })
}

/// The type that all of these become.
pub(super) fn common_type(values: &[Typed]) -> Option<SqlType> {
    common(values.iter()).or_else(|| values.iter().any(|value| value.literal.is_some()).then_some(SqlType::Text))
}

//! Values, and how they become Rust's and back.

use types::{Datum, SqlType, text};

/// One SQL value.
///
/// `From` makes one of a Rust value, the `as_` methods look into it; for types without a Rust counterpart here, [`Value::parse`] and
/// `to_string` use PostgreSQL's text form.
#[derive(Clone, Debug, PartialEq)]
pub struct Value(pub(crate) Datum);

impl Value {
    /// SQL NULL.
    pub const NULL: Value = Value(Datum::Null);

    /// The value of a type that a text means. Errors: 22P02 and its kin.
    pub fn parse(data_type: SqlType, text: &str) -> Result<Value, crate::Error> {
        text::parse(data_type, text).map(Value)
    }

    /// True for NULL.
    pub fn is_null(&self) -> bool {
        self.0.is_null()
    }

    /// A string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.0 {
            Datum::Text(v) => Some(v),
            _ => None,
        }
    }

    /// An integer of any width.
    pub fn as_i64(&self) -> Option<i64> {
        match self.0 {
            Datum::Int2(v) => Some(v.into()),
            Datum::Int4(v) => Some(v.into()),
            Datum::Int8(v) => Some(v),
            _ => None,
        }
    }

    /// A float of any width, or an integer of at most 32 bits.
    pub fn as_f64(&self) -> Option<f64> {
        match self.0 {
            Datum::Float4(v) => Some(v.into()),
            Datum::Float8(v) => Some(v),
            Datum::Int2(v) => Some(v.into()),
            Datum::Int4(v) => Some(v.into()),
            _ => None,
        }
    }

    /// A boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self.0 {
            Datum::Bool(v) => Some(v),
            _ => None,
        }
    }

    /// Bytes.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match &self.0 {
            Datum::Bytea(v) => Some(v),
            _ => None,
        }
    }

    /// The value itself.
    pub fn as_datum(&self) -> &Datum {
        &self.0
    }
}

/// PostgreSQL's text form; `NULL` for NULL.
impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Datum::Null => f.write_str("NULL"),
            value => f.write_str(&text::to_string(value.as_ref())),
        }
    }
}

impl From<Datum> for Value {
    fn from(value: Datum) -> Value {
        Value(value)
    }
}

macro_rules! from {
    ($($rust:ty => $variant:ident),*) => {
        $(impl From<$rust> for Value {
            fn from(value: $rust) -> Value {
                Value(Datum::$variant(value.into()))
            }
        })*
    };
}

from! {
    bool => Bool, i16 => Int2, i32 => Int4, i64 => Int8, f32 => Float4, f64 => Float8, &str => Text, String => Text,
    &[u8] => Bytea, Vec<u8> => Bytea, [u8; 16] => Uuid
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::NULL, Into::into)
    }
}

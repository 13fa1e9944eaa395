//! Values of system relations: a few forms for the many types the catalog has.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use types::{Datum, text};

/// A value; its type is kept beside it, in the plan.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// Integers, and everything that is an oid.
    Int(i64),
    Float(f64),
    /// `text`, `name`, `"char"`, and types that are only looked at.
    Text(Arc<str>),
    Array(Arc<[Value]>),
    Row(Arc<[Value]>),
    /// Everything else: dates, numerics.
    Datum(Box<Datum>),
}

impl Value {
    pub(crate) fn text(s: impl AsRef<str>) -> Value {
        Value::Text(s.as_ref().into())
    }

    pub(crate) fn array(values: impl IntoIterator<Item = Value>) -> Value {
        Value::Array(values.into_iter().collect())
    }

    /// Microseconds since 1970-01-01 UTC.
    pub(crate) fn timestamp(micros: i64) -> Value {
        Value::Datum(Box::new(Datum::TimestampTz(micros)))
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// True only for true.
    pub(crate) fn is_true(&self) -> bool {
        matches!(self, Value::Bool(true))
    }

    pub(crate) fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(v) => Some(*v),
            Value::Text(s) => s.trim().parse().ok(),
            _ => None,
        }
    }

    /// An oid, if it is one.
    pub(crate) fn as_oid(&self) -> Option<u32> {
        self.as_int().and_then(|v| u32::try_from(v).ok())
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Value::Text(s) => Some(s),
            _ => None,
        }
    }

    pub(crate) fn as_array(&self) -> Option<&[Value]> {
        match self {
            Value::Array(values) => Some(values),
            _ => None,
        }
    }

    /// As the value of a column or parameter, whatever its type.
    pub(crate) fn of_datum(datum: Datum) -> Value {
        match datum {
            Datum::Null => Value::Null,
            Datum::Bool(v) => Value::Bool(v),
            Datum::Int2(v) => Value::Int(v.into()),
            Datum::Int4(v) => Value::Int(v.into()),
            Datum::Int8(v) => Value::Int(v),
            Datum::Float4(v) => Value::Float(v.into()),
            Datum::Float8(v) => Value::Float(v),
            Datum::Text(v) => Value::Text(v.into()),
            other => Value::Datum(Box::new(other)),
        }
    }

    fn as_datum(&self) -> Option<Datum> {
        match self {
            Value::Bool(v) => Some(Datum::Bool(*v)),
            Value::Int(v) => Some(Datum::Int8(*v)),
            Value::Float(v) => Some(Datum::Float8(*v)),
            Value::Datum(v) => Some(v.as_ref().clone()),
            _ => None,
        }
    }
}

/// How two values that are not NULL are ordered; `None` if they are not comparable.
pub(crate) fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Text(a), Value::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Array(a), Value::Array(b)) | (Value::Row(a), Value::Row(b)) => {
            for (a, b) in a.iter().zip(b.iter()) {
                match total(a, b) {
                    Ordering::Equal => {}
                    unequal => return Some(unequal),
                }
            }
            Some(a.len().cmp(&b.len()))
        }
        (a, b) => {
            let (a, b) = (a.as_datum()?, b.as_datum()?);
            match (&a, &b) {
                (Datum::Int8(x), Datum::Float8(y)) => (*x as f64).partial_cmp(y),
                (Datum::Float8(x), Datum::Int8(y)) => x.partial_cmp(&(*y as f64)),
                (Datum::Numeric(_), Datum::Int8(_) | Datum::Float8(_))
                | (Datum::Int8(_) | Datum::Float8(_), Datum::Numeric(_)) => float(&a).partial_cmp(&float(&b)),
                _ => expr::compare(a.as_ref(), b.as_ref()),
            }
        }
    }
}

fn float(number: &Datum) -> f64 {
    text::to_string(number.as_ref()).parse().unwrap_or(f64::NAN)
}

/// An order of all values, NULL last.
pub(crate) fn total(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Greater,
        (_, Value::Null) => Ordering::Less,
        (a, b) => compare(a, b).unwrap_or(Ordering::Equal),
    }
}

/// Values as keys: NULL is one value, as in GROUP BY.
impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Null, _) | (_, Value::Null) => false,
            (a, b) => compare(a, b) == Some(Ordering::Equal),
        }
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Value::Null => 0.hash(state),
            Value::Bool(v) => v.hash(state),
            // Equal numbers hash alike whatever their form.
            Value::Int(v) => (*v as f64).to_bits().hash(state),
            Value::Float(v) => v.to_bits().hash(state),
            Value::Text(v) => v.hash(state),
            Value::Array(v) | Value::Row(v) => v.hash(state),
            Value::Datum(v) => match v.as_ref() {
                Datum::Numeric(n) => {
                    float(&Datum::Numeric(*n)).to_bits().hash(state);
                }
                other => text::to_string(other.as_ref()).hash(state),
            },
        }
    }
}

/// The text of an array: `{a,NULL,"b c"}`.
pub(crate) fn array_text(elements: &[Option<String>]) -> String {
    let mut out = String::from("{");
    for (at, element) in elements.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        match element {
            None => out.push_str("NULL"),
            Some(text) => push_element(&mut out, text),
        }
    }
    out.push('}');
    out
}

fn push_element(out: &mut String, text: &str) {
    let quote = text.is_empty()
        || text.eq_ignore_ascii_case("null")
        || text.contains(|c: char| matches!(c, '{' | '}' | ',' | '"' | '\\') || c.is_whitespace());
    // An array inside an array is its own text.
    if !quote || (text.starts_with('{') && text.ends_with('}')) {
        out.push_str(text);
        return;
    }
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

/// The elements in an array's text; `None` if it is malformed. Arrays of arrays are not read.
pub(crate) fn array_elements(text: &str) -> Option<Vec<Option<String>>> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut elements = Vec::new();
    let mut chars = inner.chars().peekable();
    if inner.trim().is_empty() {
        return Some(elements);
    }
    loop {
        let mut element = String::new();
        let mut quoted = false;
        while let Some(c) = chars.next_if(|c| *c != ',') {
            match c {
                '"' => {
                    quoted = true;
                    loop {
                        match chars.next()? {
                            '"' => break,
                            '\\' => element.push(chars.next()?),
                            c => element.push(c),
                        }
                    }
                }
                '\\' => element.push(chars.next()?),
                '{' | '}' => return None,
                c => element.push(c),
            }
        }
        let element = if quoted { element } else { element.trim().to_owned() };
        elements.push(if !quoted && element.eq_ignore_ascii_case("null") { None } else { Some(element) });
        if chars.next().is_none() {
            return Some(elements);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_written_and_read_as_postgresql_does() {
        let elements =
            vec![Some("a".into()), None, Some("b c".into()), Some("NULL".into()), Some("q\"\\".into()), Some(String::new())];
        let text = array_text(&elements);
        assert_eq!(text, r#"{a,NULL,"b c","NULL","q\"\\",""}"#);
        assert_eq!(array_elements(&text), Some(elements));
        assert_eq!(array_elements("{}"), Some(vec![]));
        assert_eq!(array_elements("{ 1 , 2 }"), Some(vec![Some("1".into()), Some("2".into())]));
        assert_eq!(array_elements("1,2"), None);
    }

    #[test]
    fn equal_numbers_are_equal_keys() {
        use std::collections::HashSet;
        let keys = HashSet::from([Value::Int(1), Value::Float(1.0), Value::Null, Value::Null]);
        assert_eq!(keys.len(), 2);
    }
}

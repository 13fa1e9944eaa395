//! Results of system queries, and values of the types only system relations have, as clients see them.
//!
//! Text forms are those of `cast::shown`. Binary forms: an oid and what is shown as a name is 4 bytes, an array is
//!
//! ```text
//! dimensions:i32  has nulls:i32  element oid:u32  ( length:i32  lower bound:i32 ) x dimensions  ( bytes:i32, -1 for NULL  value )*
//! ```
//!
//! Source: PostgreSQL 15, `array_send`, `array_recv`, `inet_send`.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use types::{Datum, SqlError, SqlState, SqlType, binary, text};

use super::cast;
use super::kind::{self, Kind};
use super::relation::Row;
use super::store::Store;
use super::value::{self, Value};

/// The rows of one query of system relations.
pub struct SystemRows {
    rows: Vec<Row>,
    kinds: Vec<Kind>,
    store: Arc<Store>,
}

impl fmt::Debug for SystemRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemRows").field("rows", &self.rows).field("kinds", &self.kinds).finish()
    }
}

impl SystemRows {
    pub(crate) fn new(rows: Vec<Row>, kinds: Vec<Kind>, store: Arc<Store>) -> SystemRows {
        SystemRows { rows, kinds, store }
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Some of them.
    pub(crate) fn slice(&self, from: usize, to: usize) -> SystemRows {
        SystemRows { rows: self.rows[from..to].to_vec(), kinds: self.kinds.clone(), store: Arc::clone(&self.store) }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many columns.
    pub fn width(&self) -> usize {
        self.kinds.len()
    }

    /// A value in the form of the columns' SQL types: what has none of its own is text. NULL past the end.
    pub fn datum(&self, row: usize, column: usize) -> Datum {
        match (self.rows.get(row).and_then(|row| row.get(column)), self.kinds.get(column)) {
            (Some(value), Some(kind)) => cast::shown(&self.store, value, *kind),
            _ => Datum::Null,
        }
    }

    /// All rows, in that form.
    pub fn datums(&self) -> Vec<Vec<Datum>> {
        (0..self.len()).map(|row| (0..self.width()).map(|column| self.datum(row, column)).collect()).collect()
    }

    /// Appends a value in PostgreSQL's binary form; false for NULL, which has none.
    pub fn put_binary(&self, row: usize, column: usize, out: &mut Vec<u8>) -> bool {
        match (self.rows.get(row).and_then(|row| row.get(column)), self.kinds.get(column)) {
            (Some(value), Some(kind)) if !value.is_null() => {
                put_binary(&self.store, value, *kind, out);
                true
            }
            _ => false,
        }
    }
}

fn put_binary(store: &Store, value: &Value, kind: Kind, out: &mut Vec<u8>) {
    match value {
        Value::Int(v) if is_oid(kind) => out.extend_from_slice(&u32::try_from(*v).unwrap_or(0).to_be_bytes()),
        Value::Array(elements) if kind::is_array(kind) => {
            let element = kind::element(kind);
            let lower = i32::from(!matches!(kind, kind::INT2VECTOR | kind::OIDVECTOR));
            put_i32(i32::from(!elements.is_empty()), out);
            put_i32(i32::from(elements.iter().any(Value::is_null)), out);
            out.extend_from_slice(&element.to_be_bytes());
            if elements.is_empty() {
                return;
            }
            put_i32(i32::try_from(elements.len()).unwrap_or(i32::MAX), out);
            put_i32(lower, out);
            for value in elements.iter() {
                if value.is_null() {
                    put_i32(-1, out);
                    continue;
                }
                let mut bytes = Vec::new();
                put_binary(store, value, element, &mut bytes);
                put_i32(i32::try_from(bytes.len()).unwrap_or(i32::MAX), out);
                out.extend_from_slice(&bytes);
            }
        }
        Value::Text(address) if kind == kind::INET => put_address(address, out),
        value => match (cast::shown(store, value, kind), kind::shown(kind)) {
            (Datum::Text(text), _) => out.extend_from_slice(text.as_bytes()),
            (datum, t) => binary::format(datum.as_ref(), t, out),
        },
    }
}

fn put_i32(v: i32, out: &mut Vec<u8>) {
    out.extend_from_slice(&v.to_be_bytes());
}

/// Family, bits of the mask, "is a network", length, address.
fn put_address(text: &str, out: &mut Vec<u8>) {
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => {
            out.extend_from_slice(&[2, 32, 0, 4]);
            out.extend_from_slice(&v4.octets());
        }
        Ok(IpAddr::V6(v6)) => {
            out.extend_from_slice(&[3, 128, 0, 16]);
            out.extend_from_slice(&v6.octets());
        }
        Err(_) => out.extend_from_slice(text.as_bytes()),
    }
}

/// Types of four bytes that hold an oid.
fn is_oid(kind: Kind) -> bool {
    kind::is_reg(kind) || matches!(kind, kind::OID | kind::XID | kind::CID)
}

/// Whether there is a type with an oid.
pub fn is_type(oid: u32) -> bool {
    kind::info(oid).is_some()
}

/// Whether it is the oid of a type of arrays.
pub fn is_array(oid: u32) -> bool {
    kind::is_array(oid)
}

/// A parameter of a type only system relations have, in the form statements take it. `None`: there is no such type. Errors: 22P02,
/// 22P03 and 08P01 for bytes that are none of the type; 0A000 for binary forms that are not read.
pub fn system_parameter(type_oid: u32, bytes: &[u8], is_binary: bool) -> Option<Result<Datum, SqlError>> {
    kind::info(type_oid)?;
    Some(if is_binary { from_binary(type_oid, bytes) } else { from_text(type_oid, bytes) })
}

fn from_text(kind: Kind, bytes: &[u8]) -> Result<Datum, SqlError> {
    let utf8 = std::str::from_utf8(bytes)
        .map_err(|_| SqlError::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, "invalid byte sequence for encoding \"UTF8\""))?;
    let text = text::no_zero_byte(utf8)?;
    match kind::shown(kind) {
        SqlType::Text => Ok(Datum::Text(text.into())),
        t => text::parse(t, text),
    }
}

fn from_binary(kind: Kind, bytes: &[u8]) -> Result<Datum, SqlError> {
    match kind {
        kind if is_oid(kind) => {
            let oid = u32::from_be_bytes(bytes.try_into().map_err(|_| malformed())?);
            Ok(if kind::is_reg(kind) { Datum::Text(oid.to_string().into()) } else { Datum::Int8(oid.into()) })
        }
        kind::CHAR => from_text(kind, bytes),
        kind if kind::is_array(kind) => array_text(bytes).map(|text| Datum::Text(text.into())),
        kind => match SqlType::from_oid(kind) {
            Some(t) => binary::parse(t, bytes),
            None => {
                let name = kind::format(kind, None);
                Err(SqlError::unsupported(format!("parameters of type {name} are not read in binary form")))
            }
        },
    }
}

/// A binary array as the text of one.
fn array_text(bytes: &[u8]) -> Result<String, SqlError> {
    let mut rest = bytes;
    let mut number = || -> Result<i32, SqlError> {
        let (head, tail) = rest.split_first_chunk::<4>().ok_or_else(malformed)?;
        rest = tail;
        Ok(i32::from_be_bytes(*head))
    };
    let (dimensions, _, element) = (number()?, number()?, number()?);
    let element = Kind::try_from(element).ok().filter(|element| !kind::is_array(*element)).ok_or_else(malformed)?;
    let length = match dimensions {
        0 => 0,
        1 => {
            let length = number()?;
            number()?;
            length
        }
        _ => return Err(SqlError::unsupported("arrays of more than one dimension are not supported")),
    };
    let mut elements = Vec::new();
    for _ in 0..length {
        let (head, tail) = rest.split_first_chunk::<4>().ok_or_else(malformed)?;
        rest = tail;
        let Ok(size) = usize::try_from(i32::from_be_bytes(*head)) else {
            elements.push(None);
            continue;
        };
        let (value, tail) = rest.split_at_checked(size).ok_or_else(malformed)?;
        rest = tail;
        elements.push(Some(text::to_string(from_binary(element, value)?.as_ref())));
    }
    Ok(value::array_text(&elements))
}

fn malformed() -> SqlError {
    SqlError::new(SqlState::INVALID_BINARY_REPRESENTATION, "incorrect binary data format")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_the_systems_types_are_read() {
        let int4_array = |values: &[Option<i32>]| {
            let mut bytes: Vec<u8> =
                [1, 1, 23, i32::try_from(values.len()).unwrap(), 1].iter().flat_map(|v: &i32| v.to_be_bytes()).collect();
            for value in values {
                put_i32(value.map_or(-1, |_| 4), &mut bytes);
                bytes.extend(value.iter().flat_map(|v| v.to_be_bytes()));
            }
            bytes
        };
        let text = |s: &str| Ok(Datum::Text(s.into()));
        for (kind, bytes, is_binary, expected) in [
            (kind::OID, 1259u32.to_be_bytes().to_vec(), true, Ok(Datum::Int8(1259))),
            (kind::OID, b"1259".to_vec(), false, Ok(Datum::Int8(1259))),
            (kind::OID, b"x".to_vec(), false, Err(SqlState::INVALID_TEXT_REPRESENTATION)),
            (kind::OID, vec![1, 2], true, Err(SqlState::INVALID_BINARY_REPRESENTATION)),
            (kind::REGCLASS, b"pg_class".to_vec(), false, text("pg_class")),
            (kind::REGCLASS, 1259u32.to_be_bytes().to_vec(), true, text("1259")),
            (1007, int4_array(&[Some(1), None, Some(-3)]), true, text("{1,NULL,-3}")),
            (1007, int4_array(&[Some(1)])[..22].to_vec(), true, Err(SqlState::INVALID_BINARY_REPRESENTATION)),
            (1007, vec![0; 12], true, text("{}")),
            (kind::INET, vec![0; 8], true, Err(SqlState::FEATURE_NOT_SUPPORTED)),
        ] {
            let found = system_parameter(kind, &bytes, is_binary).unwrap().map_err(|error| error.state);
            assert_eq!(found, expected, "{kind} {bytes:?}");
        }
        assert!(system_parameter(4_000_000_000, b"", false).is_none());
    }
}

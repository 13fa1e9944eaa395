//! Casts between the types of system relations, and their texts.

use types::{Datum, SqlError, SqlState, SqlType, text};

use super::kind::{self, Kind};
use super::objects::{self, Object};
use super::run::Run;
use super::server;
use super::store::Store;
use super::value::{self, Value};
use crate::names::quote_ident;

/// A value as another type. Errors: 22P02 and its kin for text that is none of the type, 42P01, 42704 and 42883 for names that stand
/// for nothing, 42846.
pub(crate) fn cast(run: &Run<'_>, value: Value, from: Kind, to: Kind) -> Result<Value, SqlError> {
    if value.is_null() || from == to {
        return Ok(value);
    }
    let store = run.store;
    if kind::is_string(to) {
        let text = match &value {
            Value::Text(_) => value,
            other => Value::text(text_of(store, other, from)),
        };
        // A "char" is one byte, a name at most 63.
        return Ok(match (to, text) {
            (kind::CHAR, Value::Text(s)) => Value::text(s.chars().next().map(String::from).unwrap_or_default()),
            (_, text) => text,
        });
    }
    match value {
        Value::Text(s) if from != kind::UNKNOWN && !kind::is_string(from) && kind::is_array(to) => Ok(Value::Text(s)),
        Value::Text(s) => parse(store, &s, to),
        Value::Array(values) if kind::is_array(to) => {
            let (from, to) = (kind::element(from), kind::element(to));
            Ok(Value::array(values.iter().map(|v| cast(run, v.clone(), from, to)).collect::<Result<Vec<_>, _>>()?))
        }
        Value::Int(v) => match to {
            kind::BOOL => Ok(Value::Bool(v != 0)),
            kind::FLOAT4 | kind::FLOAT8 => Ok(Value::Float(v as f64)),
            kind::INT2 => in_range(v, i64::from(i16::MIN), i64::from(i16::MAX), "smallint"),
            kind::INT4 => in_range(v, i64::from(i32::MIN), i64::from(i32::MAX), "integer"),
            kind::OID | kind::XID => in_range(v, 0, i64::from(u32::MAX), "OID"),
            to if kind::is_integer(to) => Ok(Value::Int(v)),
            kind::NUMERIC => datum(&v.to_string(), to),
            _ => Err(impossible(from, to)),
        },
        Value::Bool(v) if to == kind::INT4 => Ok(Value::Int(v.into())),
        Value::Float(v) => match to {
            kind::FLOAT4 | kind::FLOAT8 => Ok(Value::Float(v)),
            kind::INT2 | kind::INT4 | kind::INT8 => Ok(Value::Int(v.round_ties_even() as i64)),
            kind::NUMERIC => datum(&v.to_string(), to),
            _ => Err(impossible(from, to)),
        },
        Value::Datum(inner) => {
            let Some(target) = SqlType::from_oid(to) else { return Err(impossible(from, to)) };
            types::coerce::assign_in(*inner, target, &store.moment.dates).map(Value::of_datum)
        }
        Value::Row(_) | Value::Array(_) | Value::Bool(_) => Err(impossible(from, to)),
        Value::Null => Ok(Value::Null),
    }
}

fn in_range(v: i64, min: i64, max: i64, name: &str) -> Result<Value, SqlError> {
    if (min..=max).contains(&v) {
        return Ok(Value::Int(v));
    }
    Err(SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{name} out of range")))
}

fn impossible(from: Kind, to: Kind) -> SqlError {
    let message = format!("cannot cast type {} to {}", kind::format(from, None), kind::format(to, None));
    SqlError::new(SqlState::CANNOT_COERCE, message)
}

fn invalid(name: &str, text: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("invalid input syntax for type {name}: \"{text}\""))
}

fn datum(text: &str, to: Kind) -> Result<Value, SqlError> {
    match SqlType::from_oid(to) {
        Some(t) => text::parse(t, text).map(Value::of_datum),
        None => Ok(Value::text(text)),
    }
}

/// Reads a text as a value of a type.
pub(crate) fn parse(store: &Store, s: &str, to: Kind) -> Result<Value, SqlError> {
    match to {
        kind if kind::is_string(kind) => Ok(Value::text(s)),
        kind if kind::is_reg(kind) => parse_reg(store, s, kind),
        kind::OID | kind::XID | kind::CID | kind::XID8 => {
            s.trim().parse::<u32>().map(|v| Value::Int(v.into())).map_err(|_| invalid("oid", s))
        }
        kind::INT2VECTOR | kind::OIDVECTOR => {
            let read = |word: &str| word.parse().map(Value::Int).map_err(|_| invalid("smallint", s));
            Ok(Value::array(s.split_whitespace().map(read).collect::<Result<Vec<_>, _>>()?))
        }
        kind if kind::is_array(kind) => {
            let elements = value::array_elements(s).ok_or_else(|| {
                SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("malformed array literal: \"{s}\""))
            })?;
            let element = kind::element(kind);
            let read = |e: Option<String>| e.map_or(Ok(Value::Null), |text| parse(store, &text, element));
            Ok(Value::array(elements.into_iter().map(read).collect::<Result<Vec<_>, _>>()?))
        }
        kind => match SqlType::from_oid(kind) {
            Some(t) => text::parse_in(t, s, &store.moment.dates).map(Value::of_datum),
            // Types that only pass through: pg_node_tree, aclitem, inet, ...
            None => Ok(Value::text(s)),
        },
    }
}

/// A dotted name's parts: unquoted ones folded.
pub(crate) fn identifiers(text: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut chars = text.trim().chars().peekable();
    loop {
        let mut part = String::new();
        if chars.next_if_eq(&'"').is_some() {
            loop {
                match chars.next()? {
                    '"' if chars.next_if_eq(&'"').is_some() => part.push('"'),
                    '"' => break,
                    c => part.push(c),
                }
            }
        } else {
            while let Some(c) = chars.next_if(|c| *c != '.' && *c != '"') {
                part.extend(c.to_lowercase());
            }
            part = part.trim().to_owned();
            if part.is_empty() {
                return None;
            }
        }
        parts.push(part);
        match chars.next() {
            None => return Some(parts),
            Some('.') => {}
            Some(_) => return None,
        }
    }
}

/// The oid a name stands for as one of the `reg` types; `None` if it stands for nothing.
pub(crate) fn find_reg(store: &Store, s: &str, to: Kind) -> Option<u32> {
    if to == kind::REGTYPE {
        return kind::of_name(s);
    }
    if matches!(to, kind::REGPROCEDURE | kind::REGPROC) {
        return objects::function_oid(s.split('(').next().unwrap_or(s).trim());
    }
    if matches!(to, kind::REGOPER | kind::REGOPERATOR) {
        let rows = store.catalog_relation("pg_operator")?;
        let name = s.rsplit('.').next().unwrap_or(s).split('(').next().unwrap_or(s);
        return rows.rows().iter().find(|row| row.get(1).and_then(Value::as_str) == Some(name))?.first()?.as_oid();
    }
    let parts = identifiers(s)?;
    match (to, parts.as_slice()) {
        (kind::REGNAMESPACE, [name]) => objects::schemas(store).find(|(schema, _)| schema == name).map(|(_, oid)| oid),
        (kind::REGROLE, [name]) => server::user_oid(store, name).and_then(|oid| u32::try_from(oid).ok()),
        (kind::REGCLASS, [name]) => {
            objects::search_path(store).into_iter().find_map(|schema| objects::relation_oid(store, schema, name))
        }
        (kind::REGCLASS, [schema, name]) => objects::relation_oid(store, schema, name),
        (kind::REGCLASS, [_, schema, name]) => objects::relation_oid(store, schema, name),
        _ => None,
    }
}

fn parse_reg(store: &Store, s: &str, to: Kind) -> Result<Value, SqlError> {
    let trimmed = s.trim();
    if trimmed == "-" {
        return Ok(Value::Int(0));
    }
    if !trimmed.is_empty() && trimmed.bytes().all(|b| b.is_ascii_digit()) {
        return trimmed.parse::<u32>().map(|v| Value::Int(v.into())).map_err(|_| invalid("oid", s));
    }
    if let Some(oid) = find_reg(store, trimmed, to) {
        return Ok(Value::Int(oid.into()));
    }
    let (state, what) = match to {
        kind::REGCLASS => (SqlState::UNDEFINED_TABLE, "relation"),
        kind::REGTYPE => (SqlState::UNDEFINED_OBJECT, "type"),
        kind::REGNAMESPACE => (SqlState::INVALID_SCHEMA_NAME, "schema"),
        kind::REGROLE => (SqlState::UNDEFINED_OBJECT, "role"),
        kind::REGOPER | kind::REGOPERATOR => (SqlState::UNDEFINED_FUNCTION, "operator"),
        _ => (SqlState::UNDEFINED_FUNCTION, "function"),
    };
    let written = identifiers(trimmed).map_or_else(|| trimmed.to_owned(), |parts| parts.join("."));
    Err(SqlError::new(state, format!("{what} \"{written}\" does not exist")))
}

/// The text of an oid that is shown as a name.
fn reg_text(store: &Store, oid: u32, kind: Kind) -> String {
    if oid == 0 {
        return "-".into();
    }
    let catalog = &store.moment.catalog;
    let name = match kind {
        kind::REGCLASS => objects::object(catalog, oid).map(|object| qualified(store, &object)),
        kind::REGTYPE => kind::info(oid).map(|_| kind::format(oid, None)),
        kind::REGNAMESPACE => objects::schemas(store).find(|(_, id)| *id == oid).map(|(name, _)| quote_ident(name)),
        kind::REGROLE => server::users(store).find(|(id, _)| *id == i64::from(oid)).map(|(_, name)| quote_ident(name)),
        kind::REGPROC => objects::function_name(oid).map(str::to_owned),
        kind::REGPROCEDURE => super::functions::procedure_text(store, oid),
        kind::REGOPER | kind::REGOPERATOR => {
            let rows = store.catalog_relation("pg_operator");
            rows.and_then(|rows| {
                let at = rows.find(0, &Value::Int(oid.into())).first().copied()?;
                rows.rows().get(at as usize)?.get(1)?.as_str().map(str::to_owned)
            })
        }
        _ => None,
    };
    name.unwrap_or_else(|| oid.to_string())
}

/// A relation's name, with its schema if it would not be found without.
pub(crate) fn qualified(store: &Store, object: &Object<'_>) -> String {
    let schema = object.schema(&store.moment.catalog);
    let name = quote_ident(object.name());
    if is_visible(store, schema, object.name()) { name } else { format!("{}.{name}", quote_ident(schema)) }
}

/// Whether a relation is what its name alone stands for.
pub(crate) fn is_visible(store: &Store, schema: &str, name: &str) -> bool {
    let path = objects::search_path(store);
    path.into_iter().find(|s| objects::relation_oid(store, s, name).is_some()) == Some(schema)
}

/// The text of a value of a type.
pub(crate) fn text_of(store: &Store, value: &Value, kind: Kind) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "true".into(),
        Value::Bool(false) => "false".into(),
        Value::Int(v) if kind::is_reg(kind) => reg_text(store, u32::try_from(*v).unwrap_or(0), kind),
        Value::Int(v) => v.to_string(),
        Value::Float(v) if kind == kind::FLOAT4 => text::to_string(Datum::Float4(*v as f32).as_ref()),
        Value::Float(v) => text::to_string(Datum::Float8(*v).as_ref()),
        Value::Text(s) => s.to_string(),
        Value::Array(values) if matches!(kind, kind::INT2VECTOR | kind::OIDVECTOR) => {
            values.iter().map(|v| text_of(store, v, kind::INT4)).collect::<Vec<_>>().join(" ")
        }
        Value::Array(values) => {
            let element = kind::element(kind);
            let written = |v: &Value| match v {
                Value::Null => None,
                Value::Bool(b) => Some(if *b { "t".to_owned() } else { "f".to_owned() }),
                v => Some(text_of(store, v, element)),
            };
            value::array_text(&values.iter().map(written).collect::<Vec<_>>())
        }
        Value::Row(fields) => {
            let written = |v: &Value| match v {
                Value::Bool(b) => {
                    if *b {
                        "t".to_owned()
                    } else {
                        "f".to_owned()
                    }
                }
                v => text_of(store, v, kind::UNKNOWN),
            };
            format!("({})", fields.iter().map(written).collect::<Vec<_>>().join(","))
        }
        Value::Datum(datum) => {
            let mut out = Vec::new();
            store.moment.format.write(datum.as_ref().as_ref(), &mut out);
            String::from_utf8_lossy(&out).into_owned()
        }
    }
}

/// A value as clients are sent it.
pub(crate) fn shown(store: &Store, value: &Value, kind: Kind) -> Datum {
    let t = kind::shown(kind);
    match (value, t) {
        (Value::Null, _) => Datum::Null,
        (Value::Bool(v), SqlType::Bool) => Datum::Bool(*v),
        (Value::Int(v), SqlType::Int2) => i16::try_from(*v).map_or(Datum::Null, Datum::Int2),
        (Value::Int(v), SqlType::Int4) => i32::try_from(*v).map_or(Datum::Null, Datum::Int4),
        (Value::Int(v), SqlType::Int8) => Datum::Int8(*v),
        (Value::Int(v), SqlType::Float8) => Datum::Float8(*v as f64),
        (Value::Int(v), SqlType::Float4) => Datum::Float4(*v as f32),
        (Value::Float(v), SqlType::Float4) => Datum::Float4(*v as f32),
        (Value::Float(v), SqlType::Float8) => Datum::Float8(*v),
        (Value::Datum(v), t) if t != SqlType::Text => v.as_ref().clone(),
        (value, SqlType::Text) => Datum::Text(text_of(store, value, kind).into()),
        (value, t) => text::parse(t, &text_of(store, value, kind)).unwrap_or(Datum::Null),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dotted_names_are_split_and_folded() {
        let parts = |text| identifiers(text).map(|p| p.join("|"));
        assert_eq!(parts("Public.\"My Table\""), Some("public|My Table".into()));
        assert_eq!(parts("\"a\"\"b\""), Some("a\"b".into()));
        assert_eq!(parts("a."), None);
        assert_eq!(parts("\"open"), None);
    }
}

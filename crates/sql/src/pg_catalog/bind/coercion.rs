//! What types go with what: casts of constants, one type for several values, conditions.

use types::{SqlError, SqlState};

use super::{Binder, Typed};
use crate::pg_catalog::kind::{self, Kind};
use crate::pg_catalog::operator::Operator;
use crate::pg_catalog::plan::Ex;
use crate::pg_catalog::value::Value;

/// Types whose values can be compared with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Any,
    Number,
    String,
    Bool,
    Time,
    Array,
    Row,
    Other(Kind),
}

pub(super) fn family(kind: Kind) -> Family {
    match kind {
        kind::UNKNOWN => Family::Any,
        kind::BOOL => Family::Bool,
        kind::DATE | 1114 | kind::TIMESTAMPTZ => Family::Time,
        kind::RECORD => Family::Row,
        kind if kind::is_number(kind) => Family::Number,
        kind if kind::is_string(kind) => Family::String,
        kind if kind::is_array(kind) => Family::Array,
        other => Family::Other(other),
    }
}

/// Whether values of the types can be compared.
pub(super) fn comparable(a: Kind, b: Kind) -> bool {
    match (family(a), family(b)) {
        (Family::Any, _) | (_, Family::Any) => true,
        (Family::Array, Family::Array) => comparable(kind::element(a), kind::element(b)),
        (a, b) => a == b,
    }
}

/// The one type of several values: of those with a type, the one the others become. `None` if there is none.
fn common(a: Kind, b: Kind) -> Option<Kind> {
    match (family(a), family(b)) {
        _ if a == b => Some(a),
        (Family::Any, _) => Some(b),
        (_, Family::Any) => Some(a),
        (Family::Number, Family::Number) if kind::is_reg(a) || kind::is_reg(b) => Some(kind::OID),
        (Family::Number, Family::Number) if a == kind::OID || b == kind::OID => Some(kind::OID),
        (Family::Number, Family::Number) => Some(Operator::Add.result(a, b)),
        (Family::String, Family::String) if a == kind::VARCHAR && b == kind::BPCHAR => Some(a),
        (Family::String, Family::String) => Some(kind::TEXT),
        (Family::Time, Family::Time) => Some(a.max(b)),
        (Family::Array, Family::Array) => common(kind::element(a), kind::element(b)).map(kind::array_of),
        _ => None,
    }
}

impl Binder<'_> {
    /// A value as one of a type: constants and parameters without a type get this one, others are cast where values differ.
    pub(super) fn coerce(&self, value: Typed, to: Kind) -> Ex {
        if value.kind == to || to == kind::UNKNOWN {
            return value.ex;
        }
        if let Ex::Param(at) = value.ex
            && value.kind == kind::UNKNOWN
        {
            return self.parameter_as(at, to).ex;
        }
        match (&value.ex, value.kind) {
            (Ex::Const(Value::Null), _) => value.ex,
            // A "char" from a longer constant is cut, everything else that is text is the same text.
            (_, from) if kind::is_string(from) && kind::is_string(to) && to != kind::CHAR => value.ex,
            (_, from) if kind::is_integer(from) && kind::is_integer(to) => value.ex,
            (Ex::Array(items), from) if kind::element(from) == kind::UNKNOWN && kind::is_array(to) => {
                let element = kind::element(to);
                Ex::Array(items.iter().map(|ex| self.coerce(Typed::new(ex.clone(), kind::UNKNOWN), element)).collect())
            }
            (_, from) => Ex::Cast { ex: Box::new(value.ex), from, to },
        }
    }

    /// A parameter of a type; the first use with a type settles it.
    pub(super) fn parameter_as(&self, at: usize, to: Kind) -> Typed {
        let mut params = self.params.borrow_mut();
        if params.len() <= at {
            params.resize(at + 1, None);
        }
        let kind = *params.get_mut(at).map(|slot| slot.get_or_insert(to)).unwrap_or(&mut { to });
        let ex = Ex::Param(at);
        Typed::new(if kind == to { ex } else { Ex::Cast { ex: Box::new(ex), from: kind, to } }, to)
    }

    /// A parameter before anything is known of its use.
    pub(super) fn parameter(&self, at: usize) -> Typed {
        let mut params = self.params.borrow_mut();
        if params.len() <= at {
            params.resize(at + 1, None);
        }
        Typed::new(Ex::Param(at), params.get(at).copied().flatten().unwrap_or(kind::UNKNOWN))
    }

    /// Several values as values of one type. Errors: 42804, naming `what` they are.
    pub(super) fn unify(&self, what: &str, values: Vec<Typed>) -> Result<(Vec<Ex>, Kind), SqlError> {
        let kind = common_kind(what, values.iter().map(|v| v.kind))?;
        Ok((values.into_iter().map(|v| self.coerce(v, kind)).collect(), kind))
    }

    /// A condition. Errors: 42804, naming the clause.
    pub(super) fn condition(&self, what: &str, value: Typed) -> Result<Ex, SqlError> {
        match value.kind {
            kind::BOOL => Ok(value.ex),
            kind::UNKNOWN => Ok(self.coerce(value, kind::BOOL)),
            other => {
                let message = format!("argument of {what} must be type boolean, not type {}", kind::format(other, None));
                Err(SqlError::new(SqlState::DATATYPE_MISMATCH, message))
            }
        }
    }
}

/// The one type of several values: text if none has a type. Errors: 42804.
pub(super) fn common_kind(what: &str, kinds: impl IntoIterator<Item = Kind>) -> Result<Kind, SqlError> {
    let mut found = kind::UNKNOWN;
    for next in kinds {
        found = common(found, next).ok_or_else(|| {
            let (a, b) = (kind::format(found, None), kind::format(next, None));
            SqlError::new(SqlState::DATATYPE_MISMATCH, format!("{what} types {a} and {b} cannot be matched"))
        })?;
    }
    Ok(if found == kind::UNKNOWN { kind::TEXT } else { found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_type_stands_for_several() {
        let text = kind::TEXT;
        for (kinds, expected) in [
            (vec![], Some(text)),
            (vec![kind::UNKNOWN, kind::UNKNOWN], Some(text)),
            (vec![kind::UNKNOWN, kind::NAME], Some(kind::NAME)),
            (vec![kind::NAME, text], Some(text)),
            (vec![kind::INT2, kind::INT8, kind::INT4], Some(kind::INT8)),
            (vec![kind::INT4, kind::NUMERIC], Some(kind::NUMERIC)),
            (vec![kind::OID, kind::INT4], Some(kind::OID)),
            (vec![kind::REGCLASS, kind::OID], Some(kind::OID)),
            (vec![kind::array_of(kind::NAME), kind::array_of(text)], Some(kind::array_of(text))),
            (vec![kind::INT4, text], None),
            (vec![kind::BOOL, kind::INT4], None),
        ] {
            assert_eq!(common_kind("CASE", kinds.clone()).ok(), expected, "{kinds:?}");
        }
        let error = common_kind("UNION", [text, kind::INT4]).unwrap_err();
        assert_eq!(
            (error.state, error.message.as_str()),
            (SqlState::DATATYPE_MISMATCH, "UNION types text and integer cannot be matched")
        );
    }
}

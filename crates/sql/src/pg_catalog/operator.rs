//! Operators between two values that are not NULL.

use std::cmp::Ordering;

use types::{Datum, SqlError, SqlState, SqlType};

use super::kind::{self, Kind};
use super::run::Run;
use super::value::{self, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Eq,
    NotEq,
    Lt,
    LtEq,
    Gt,
    GtEq,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    BitAnd,
    BitOr,
    ShiftLeft,
    ShiftRight,
    Concat,
    /// `||` with an array on a side.
    Append,
    Match {
        fold: bool,
        negated: bool,
    },
    Like {
        fold: bool,
        negated: bool,
    },
    StartsWith,
    Contains,
    ContainedBy,
    Overlaps,
}

impl Operator {
    /// By its symbol.
    pub(crate) fn of_symbol(symbol: &str) -> Option<Operator> {
        use Operator::*;
        Some(match symbol {
            "=" => Eq,
            "<>" | "!=" => NotEq,
            "<" => Lt,
            "<=" => LtEq,
            ">" => Gt,
            ">=" => GtEq,
            "+" => Add,
            "-" => Subtract,
            "*" => Multiply,
            "/" => Divide,
            "%" => Modulo,
            "&" => BitAnd,
            "|" => BitOr,
            "<<" => ShiftLeft,
            ">>" => ShiftRight,
            "||" => Concat,
            "~" => Match { fold: false, negated: false },
            "~*" => Match { fold: true, negated: false },
            "!~" => Match { fold: false, negated: true },
            "!~*" => Match { fold: true, negated: true },
            "~~" => Like { fold: false, negated: false },
            "~~*" => Like { fold: true, negated: false },
            "!~~" => Like { fold: false, negated: true },
            "!~~*" => Like { fold: true, negated: true },
            "^@" => StartsWith,
            "@>" => Contains,
            "<@" => ContainedBy,
            "&&" => Overlaps,
            _ => return None,
        })
    }

    pub(crate) fn is_comparison(self) -> bool {
        use Operator::*;
        matches!(self, Eq | NotEq | Lt | LtEq | Gt | GtEq)
    }

    pub(crate) fn is_pattern(self) -> bool {
        matches!(self, Operator::Match { .. } | Operator::Like { .. } | Operator::StartsWith)
    }

    /// The type of the result, from the sides' types.
    pub(crate) fn result(self, left: Kind, right: Kind) -> Kind {
        use Operator::*;
        match self {
            Add | Subtract | Multiply | Divide | Modulo => arithmetic(left, right),
            BitAnd | BitOr => arithmetic(left, right),
            ShiftLeft | ShiftRight => left,
            Concat => kind::TEXT,
            Append if kind::is_array(left) => left,
            Append => right,
            _ => kind::BOOL,
        }
    }
}

fn arithmetic(left: Kind, right: Kind) -> Kind {
    let rank = |k: Kind| match k {
        kind::INT2 => 1,
        kind::INT4 | kind::UNKNOWN => 2,
        kind::INT8 | kind::OID | kind::XID => 3,
        kind::NUMERIC => 4,
        kind::FLOAT4 => 5,
        kind::FLOAT8 => 6,
        _ => 0,
    };
    match (rank(left), rank(right)) {
        // Dates and intervals: of the side that is one.
        (0, _) => left,
        (_, 0) => right,
        (l, r) if l >= r => {
            if left == kind::OID {
                kind::INT8
            } else {
                left
            }
        }
        _ => {
            if right == kind::OID {
                kind::INT8
            } else {
                right
            }
        }
    }
}

/// Applies an operator. Errors: 22003, 22012, 2201B; 42883 for values it does not go with.
pub(crate) fn apply(run: &Run<'_>, operator: Operator, left: &Value, right: &Value) -> Result<Value, SqlError> {
    use Operator::*;
    if left.is_null() || right.is_null() {
        // An array and NULL make an array.
        return Ok(match (operator, left, right) {
            (Append, Value::Array(_), _) => left.clone(),
            (Append, _, Value::Array(_)) => right.clone(),
            _ => Value::Null,
        });
    }
    let comparison = |test: fn(Ordering) -> bool| -> Result<Value, SqlError> {
        match value::compare(left, right) {
            Some(order) => Ok(Value::Bool(test(order))),
            None => Err(undefined()),
        }
    };
    match operator {
        Eq => comparison(Ordering::is_eq),
        NotEq => comparison(Ordering::is_ne),
        Lt => comparison(Ordering::is_lt),
        LtEq => comparison(Ordering::is_le),
        Gt => comparison(Ordering::is_gt),
        GtEq => comparison(Ordering::is_ge),
        Add | Subtract | Multiply | Divide | Modulo | BitAnd | BitOr | ShiftLeft | ShiftRight => number(operator, left, right),
        Concat => Ok(Value::text(format!("{}{}", run.plain_text(left), run.plain_text(right)))),
        Append => Ok(append(left, right)),
        Match { fold, negated } => {
            let (text, pattern) = texts(left, right)?;
            Ok(Value::Bool(run.regex(pattern, fold)?.is_match(text) != negated))
        }
        Like { fold, negated } => {
            let (text, pattern) = texts(left, right)?;
            let matches = if fold { like(&text.to_lowercase(), &pattern.to_lowercase()) } else { like(text, pattern) };
            Ok(Value::Bool(matches != negated))
        }
        StartsWith => {
            let (text, prefix) = texts(left, right)?;
            Ok(Value::Bool(text.starts_with(prefix)))
        }
        Contains | ContainedBy | Overlaps => {
            let (a, b) = (left.as_array().ok_or_else(undefined)?, right.as_array().ok_or_else(undefined)?);
            let within = |inner: &[Value], outer: &[Value]| inner.iter().all(|v| !v.is_null() && outer.contains(v));
            Ok(Value::Bool(match operator {
                Contains => within(b, a),
                ContainedBy => within(a, b),
                _ => a.iter().any(|v| !v.is_null() && b.contains(v)),
            }))
        }
    }
}

fn undefined() -> SqlError {
    SqlError::new(SqlState::UNDEFINED_FUNCTION, "operator does not exist for these types")
}

fn texts<'a>(left: &'a Value, right: &'a Value) -> Result<(&'a str, &'a str), SqlError> {
    match (left, right) {
        (Value::Text(a), Value::Text(b)) => Ok((a, b)),
        _ => Err(undefined()),
    }
}

fn append(left: &Value, right: &Value) -> Value {
    match (left, right) {
        (Value::Array(a), Value::Array(b)) => Value::array(a.iter().chain(b.iter()).cloned()),
        (Value::Array(a), b) => Value::array(a.iter().cloned().chain([b.clone()])),
        (a, Value::Array(b)) => Value::array([a.clone()].into_iter().chain(b.iter().cloned())),
        _ => Value::Null,
    }
}

fn number(operator: Operator, left: &Value, right: &Value) -> Result<Value, SqlError> {
    use Operator::*;
    let overflow = || SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "bigint out of range");
    let by_zero = || SqlError::new(SqlState::DIVISION_BY_ZERO, "division by zero");
    match (left, right) {
        (Value::Int(a), Value::Int(b)) => {
            let (a, b) = (*a, *b);
            let result = match operator {
                Add => a.checked_add(b),
                Subtract => a.checked_sub(b),
                Multiply => a.checked_mul(b),
                Divide | Modulo if b == 0 => return Err(by_zero()),
                Divide => a.checked_div(b),
                Modulo => a.checked_rem(b),
                BitAnd => Some(a & b),
                BitOr => Some(a | b),
                ShiftLeft => u32::try_from(b).ok().and_then(|b| a.checked_shl(b)),
                _ => u32::try_from(b).ok().and_then(|b| a.checked_shr(b)),
            };
            result.map(Value::Int).ok_or_else(overflow)
        }
        (Value::Datum(a), Value::Datum(b)) if matches!(operator, Subtract) => match (a.as_ref(), b.as_ref()) {
            (Datum::TimestampTz(a) | Datum::Timestamp(a), Datum::TimestampTz(b) | Datum::Timestamp(b)) => {
                let micros = a.checked_sub(*b).ok_or_else(overflow)?;
                let day = 86_400_000_000;
                let days = i32::try_from(micros / day).map_err(|_| overflow())?;
                Ok(Value::Datum(Box::new(Datum::Interval(types::Interval::new(0, days, micros % day)?))))
            }
            (Datum::Date(a), Datum::Date(b)) => Ok(Value::Int(i64::from(*a) - i64::from(*b))),
            _ => floats(operator, left, right),
        },
        _ => floats(operator, left, right),
    }
}

fn floats(operator: Operator, left: &Value, right: &Value) -> Result<Value, SqlError> {
    use Operator::*;
    let float = |v: &Value| match v {
        Value::Int(v) => Some(*v as f64),
        Value::Float(v) => Some(*v),
        Value::Datum(d) if matches!(d.as_ref(), Datum::Numeric(_)) => types::text::to_string(d.as_ref().as_ref()).parse().ok(),
        _ => None,
    };
    let is_exact = [left, right].into_iter().any(|v| matches!(v, Value::Datum(_)))
        && ![left, right].into_iter().any(|v| matches!(v, Value::Float(_)));
    let (a, b) = (float(left).ok_or_else(undefined)?, float(right).ok_or_else(undefined)?);
    let result = match operator {
        Add => a + b,
        Subtract => a - b,
        Multiply => a * b,
        Divide | Modulo if b == 0.0 => return Err(SqlError::new(SqlState::DIVISION_BY_ZERO, "division by zero")),
        Divide => a / b,
        Modulo => a % b,
        _ => return Err(undefined()),
    };
    if is_exact {
        return exact(&result.to_string());
    }
    Ok(Value::Float(result))
}

/// A `numeric` with as many digits behind the point as are written.
pub(crate) fn exact(digits: &str) -> Result<Value, SqlError> {
    let scale = digits.split_once('.').map_or(0, |(_, fraction)| fraction.bytes().take_while(u8::is_ascii_digit).count());
    let plain = !digits.contains(['e', 'E']);
    let t = match u8::try_from(scale) {
        Ok(scale) if plain && scale <= 38 => SqlType::Numeric { precision: 38, scale },
        _ => SqlType::NUMERIC,
    };
    types::text::parse(t, digits).map(Value::of_datum)
}

/// LIKE, with `\` as escape.
pub(crate) fn like(text: &str, pattern: &str) -> bool {
    enum Piece {
        Any,
        One,
        Char(char),
    }
    let mut pieces = Vec::new();
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        pieces.push(match c {
            '%' => Piece::Any,
            '_' => Piece::One,
            '\\' => match rest.next() {
                Some(escaped) => Piece::Char(escaped),
                None => return false,
            },
            c => Piece::Char(c),
        });
    }
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut piece) = (0, 0);
    // After the last `%`: its place in the pattern, and how far it reaches. Earlier ones need never reach further.
    let mut last = None;
    while at < text.len() {
        match pieces.get(piece) {
            Some(Piece::Any) => {
                piece += 1;
                last = Some((piece, at));
            }
            Some(Piece::One) => (at, piece) = (at + 1, piece + 1),
            Some(Piece::Char(c)) if *c == text[at] => (at, piece) = (at + 1, piece + 1),
            _ => {
                let Some((after, reach)) = last else { return false };
                last = Some((after, reach + 1));
                (at, piece) = (reach + 1, after);
            }
        }
    }
    pieces[piece..].iter().all(|piece| matches!(piece, Piece::Any))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_knows_its_wildcards() {
        assert!(like("pg_class", "pg\\_%"));
        assert!(!like("pgxclass", "pg\\_%"));
        assert!(like("abcabd", "%ab_%d") && like("aab", "%ab") && !like("aab", "%aab_") && like("a%", "a\\%"));
        assert!(!like(&"a".repeat(2000), &("%a".repeat(500) + "b")));
        assert!(like("abc", "a_c") && like("", "%") && !like("abc", "ab"));
    }
}

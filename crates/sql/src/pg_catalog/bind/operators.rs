//! Operators: which one a symbol is between two types, and what becomes of constants beside it.

use sqlparser::ast::{BinaryOperator, Expr, UnaryOperator};
use types::{SqlError, SqlState};

use super::coercion::{Family, comparable, family};
use super::level::Level;
use super::{Binder, Typed, unsupported};
use crate::pg_catalog::functions;
use crate::pg_catalog::kind::{self, Kind};
use crate::pg_catalog::operator::Operator;
use crate::pg_catalog::plan::Ex;

/// The symbol of an operator, without its schema.
fn symbol(op: &BinaryOperator) -> String {
    match op {
        BinaryOperator::PGCustomBinaryOperator(parts) => parts.last().cloned().unwrap_or_default(),
        BinaryOperator::NotEq => "<>".to_owned(),
        op => op.to_string(),
    }
}

impl Binder<'_> {
    pub(super) fn binary(&self, level: &Level<'_>, left: &Expr, op: &BinaryOperator, right: &Expr) -> Result<Typed, SqlError> {
        match op {
            BinaryOperator::And => return self.connective(level, left, op, right),
            BinaryOperator::Or => return self.connective(level, left, op, right),
            _ => {}
        }
        let (left, right) = (self.expression(level, left)?, self.expression(level, right)?);
        self.operate(&symbol(op), left, right)
    }

    /// AND and OR, of which clients make long chains: a balanced tree of them.
    fn connective(&self, level: &Level<'_>, left: &Expr, op: &BinaryOperator, right: &Expr) -> Result<Typed, SqlError> {
        let name = if *op == BinaryOperator::And { "AND" } else { "OR" };
        let mut parts = vec![right];
        let mut rest = left;
        while let Expr::BinaryOp { left, op: other, right } = rest
            && other == op
        {
            parts.push(right);
            rest = left;
        }
        parts.push(rest);
        let bound = parts.into_iter().rev().map(|part| self.condition(name, self.expression(level, part)?));
        let bound = bound.collect::<Result<Vec<_>, _>>()?;
        Ok(Typed::new(balanced(bound, *op == BinaryOperator::And), kind::BOOL))
    }

    /// An operator between two bound values. Errors: 42883.
    pub(super) fn operate(&self, symbol: &str, left: Typed, right: Typed) -> Result<Typed, SqlError> {
        let (l, r) = (left.kind, right.kind);
        let missing = || missing_operator(symbol, l, r);
        let operator = Operator::of_symbol(symbol).ok_or_else(missing)?;
        if operator == Operator::Concat && (kind::is_array(l) || kind::is_array(r)) {
            return Ok(self.append(left, right));
        }
        let (to_left, to_right) = self.operands(operator, l, r).ok_or_else(missing)?;
        let returns = match (operator, family(to_left), to_left) {
            (Operator::Subtract, Family::Time, kind::DATE) => kind::INT4,
            (Operator::Subtract, Family::Time, _) => kind::INTERVAL,
            _ => operator.result(to_left, to_right),
        };
        let (left, right) = (self.operand(left, to_left), self.operand(right, to_right));
        Ok(Typed::new(Ex::Operate(operator, Box::new(left), Box::new(right)), returns))
    }

    fn operand(&self, value: Typed, to: Kind) -> Ex {
        // Values of two number types are compared and computed with as they are.
        if family(value.kind) == Family::Number && family(to) == Family::Number { value.ex } else { self.coerce(value, to) }
    }

    /// The types an operator's sides become; `None` if it does not go with them.
    fn operands(&self, operator: Operator, l: Kind, r: Kind) -> Option<(Kind, Kind)> {
        use Operator::{
            Add, BitAnd, BitOr, Concat, ContainedBy, Contains, Divide, Modulo, Multiply, Overlaps, ShiftLeft, ShiftRight,
            Subtract,
        };
        let of = |kind: Kind, other: Kind| if kind == kind::UNKNOWN { other } else { kind };
        let (fl, fr) = (family(l), family(r));
        match operator {
            operator if operator.is_comparison() => {
                let text = |kind| if kind == kind::UNKNOWN { kind::TEXT } else { kind };
                comparable(l, r).then(|| (text(of(l, r)), text(of(r, l))))
            }
            operator if operator.is_pattern() => {
                let string = |f| matches!(f, Family::String | Family::Any);
                (string(fl) && string(fr)).then_some((of(l, kind::TEXT), of(r, kind::TEXT)))
            }
            // One side at least is a text; the other one is written out.
            Concat => {
                let text = |kind| if family(kind) == Family::String { kind } else { kind::TEXT };
                (matches!(fl, Family::String | Family::Any) || matches!(fr, Family::String | Family::Any))
                    .then(|| (text(l), text(r)))
            }
            Subtract if fl == Family::Time && fr == Family::Time => (l == r).then_some((l, r)),
            Contains | ContainedBy | Overlaps => {
                let (l, r) = (of(l, r), of(r, l));
                (kind::is_array(l) && kind::is_array(r) && comparable(l, r)).then_some((l, r))
            }
            Add | Subtract | Multiply | Divide | Modulo | BitAnd | BitOr | ShiftLeft | ShiftRight => {
                let number = |kind| family(kind) == Family::Number && !kind::is_reg(kind);
                let (l, r) = (of(l, r), of(r, l));
                (number(l) && number(r)).then_some((l, r))
            }
            _ => None,
        }
    }

    /// `||` with an array: of arrays, or of an array and an element.
    fn append(&self, left: Typed, right: Typed) -> Typed {
        let array = if kind::is_array(left.kind) { left.kind } else { right.kind };
        let to = |kind: Kind| if kind == kind::UNKNOWN || kind::is_array(kind) { array } else { kind::element(array) };
        let (to_left, to_right) = (to(left.kind), to(right.kind));
        let (left, right) = (self.coerce(left, to_left), self.coerce(right, to_right));
        Typed::new(Ex::Operate(Operator::Append, Box::new(left), Box::new(right)), array)
    }

    /// `left op ANY (right)` and ALL, of an array.
    pub(super) fn quantified(&self, symbol: &str, all: bool, left: Typed, right: Typed) -> Result<Typed, SqlError> {
        let (operator, element) = self.quantified_operator(symbol, left.kind, element_of(right.kind)?)?;
        let array = if right.kind == kind::UNKNOWN { kind::array_of(element) } else { right.kind };
        let element_left = if left.kind == kind::UNKNOWN { element } else { left.kind };
        let (left, right) = (self.operand(left, element_left), self.coerce(right, array));
        let ex = Ex::Quantified { operator, all, left: Box::new(left), right: Box::new(right) };
        Ok(Typed::new(ex, kind::BOOL))
    }

    /// The operator of ANY and ALL, and the type of what is on its right.
    pub(super) fn quantified_operator(&self, symbol: &str, left: Kind, element: Kind) -> Result<(Operator, Kind), SqlError> {
        let operator = Operator::of_symbol(symbol);
        let found = operator.and_then(|operator| {
            let (_, right) = self.operands(operator, left, element)?;
            (operator.is_comparison() || operator.is_pattern()).then_some((operator, right))
        });
        found.ok_or_else(|| missing_operator(symbol, left, element))
    }

    pub(super) fn any_or_all(
        &self,
        level: &Level<'_>,
        all: bool,
        left: &Expr,
        op: &BinaryOperator,
        right: &Expr,
    ) -> Result<Typed, SqlError> {
        let symbol = symbol(op);
        let mut inner = right;
        while let Expr::Nested(nested) = inner {
            inner = nested;
        }
        if let Expr::Subquery(query) = inner {
            return self.quantified_subquery(level, &symbol, all, left, query);
        }
        let (left, right) = (self.expression(level, left)?, self.expression(level, right)?);
        self.quantified(&symbol, all, left, right)
    }

    pub(super) fn unary(&self, level: &Level<'_>, op: UnaryOperator, operand: &Expr) -> Result<Typed, SqlError> {
        let value = self.expression(level, operand)?;
        match op {
            UnaryOperator::Not => Ok(Typed::new(Ex::Not(Box::new(self.condition("NOT", value)?)), kind::BOOL)),
            UnaryOperator::Plus if family(value.kind) == Family::Number => Ok(value),
            UnaryOperator::Minus if family(value.kind) == Family::Number => {
                let kind = value.kind;
                let Some(function) = functions::find("-", &[kind]) else { return Err(unsupported("this negation")) };
                Ok(Typed::new(Ex::Call(function, vec![value.ex], [kind].into()), kind))
            }
            UnaryOperator::Plus | UnaryOperator::Minus => {
                let message = format!("operator does not exist: {op} {}", kind::format(value.kind, None));
                Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, message))
            }
            op => Err(unsupported(format!("operator {op}"))),
        }
    }
}

fn element_of(array: Kind) -> Result<Kind, SqlError> {
    match array {
        kind::UNKNOWN => Ok(kind::UNKNOWN),
        array if kind::is_array(array) => Ok(kind::element(array)),
        _ => Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, "op ANY/ALL (array) requires array on right side")),
    }
}

fn missing_operator(symbol: &str, left: Kind, right: Kind) -> SqlError {
    let name = |kind| if kind == kind::UNKNOWN { "unknown".to_owned() } else { kind::format(kind, None) };
    let message = format!("operator does not exist: {} {symbol} {}", name(left), name(right));
    let hint = "No operator matches the given name and argument types. You might need to add explicit type casts.";
    SqlError::new(SqlState::UNDEFINED_FUNCTION, message).hint(hint)
}

/// A tree of conditions as deep as it must be.
fn balanced(mut parts: Vec<Ex>, and: bool) -> Ex {
    let half = parts.split_off(parts.len() / 2);
    match (parts.len(), half.len()) {
        (0, _) => half.into_iter().next().unwrap_or(Ex::Const(crate::pg_catalog::value::Value::Bool(and))),
        _ => {
            let (left, right) = (Box::new(balanced(parts, and)), Box::new(balanced(half, and)));
            if and { Ex::And(left, right) } else { Ex::Or(left, right) }
        }
    }
}

//! From syntax to a compiled expression.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, UnaryOperator, Value, ValueWithSpan,
};
use types::{Datum, Decimal, SqlType, text};

use super::{Arithmetic, Comparison, Node, RowExpr};

/// What a name stands for, and the parameter types found so far.
pub struct Binder<'a> {
    /// The stored column and its type for a name of one or two parts.
    pub column: &'a dyn Fn(&[&str]) -> Option<(usize, SqlType)>,
    /// The type a cast names.
    pub data_type: &'a dyn Fn(&datafusion::sql::sqlparser::ast::DataType) -> Option<SqlType>,
    /// Declared or inferred types of `$1`, `$2`, ...; grows as parameters are met.
    pub params: Vec<Option<SqlType>>,
}

/// An operand before its type is certain.
#[derive(Clone, Debug)]
pub enum Bound {
    /// An expression with its type.
    Typed(RowExpr),
    /// A string constant: of whatever type is wanted.
    Untyped(Box<str>),
    /// NULL.
    Null,
    /// A parameter whose type nobody has said.
    Param(usize),
}

fn typed(node: Node, data_type: SqlType) -> Bound {
    Bound::Typed(RowExpr { node, data_type })
}

impl Binder<'_> {
    /// Compiles an expression; `None` for a form that has no row kernel, and for anything wrong, which the other driver reports.
    pub fn bind(&mut self, expr: &Expr) -> Option<Bound> {
        Some(match expr {
            Expr::Nested(inner) => return self.bind(inner),
            Expr::Identifier(ident) => {
                let (column, t) = (self.column)(&[&ident.value])?;
                typed(Node::Column(column), t)
            }
            Expr::CompoundIdentifier(parts) => {
                let parts: Vec<&str> = parts.iter().map(|p| p.value.as_str()).collect();
                let (column, t) = (self.column)(&parts)?;
                typed(Node::Column(column), t)
            }
            Expr::Value(value) => self.constant(&value.value)?,
            // The sign belongs to the literal: -2147483648 is an integer.
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } if integer_literal(expr).is_some() => {
                self.constant(&Value::Number(format!("-{}", integer_literal(expr)?), false))?
            }
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match self.bind(expr)? {
                Bound::Typed(inner) if inner.data_type.is_number() => {
                    let zero = match inner.data_type {
                        SqlType::Int2 => Datum::Int2(0),
                        SqlType::Int4 => Datum::Int4(0),
                        SqlType::Int8 => Datum::Int8(0),
                        SqlType::Numeric { .. } => Datum::Numeric(Decimal { unscaled: 0, scale: 0 }),
                        // 0 - 0.0 is 0.0, not -0.0.
                        _ => return None,
                    };
                    let t = inner.data_type;
                    let zero = RowExpr { node: Node::Literal(zero), data_type: t };
                    typed(Node::Arithmetic(Arithmetic::Subtract, Box::new([zero, inner])), t)
                }
                _ => return None,
            },
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => {
                let inner = self.bind_as(expr, SqlType::Bool)?;
                typed(Node::Not(Box::new(inner)), SqlType::Bool)
            }
            Expr::IsNull(inner) => typed(Node::IsNull(Box::new(self.bind_any(inner)?)), SqlType::Bool),
            Expr::IsNotNull(inner) => {
                let test = RowExpr { node: Node::IsNull(Box::new(self.bind_any(inner)?)), data_type: SqlType::Bool };
                typed(Node::Not(Box::new(test)), SqlType::Bool)
            }
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right)?,
            Expr::Between { expr, negated, low, high } => {
                let low = self.compare(expr, Comparison::GreaterOrEqual, low)?;
                let high = self.compare(expr, Comparison::LessOrEqual, high)?;
                let both = RowExpr { node: Node::And(Box::new([low, high])), data_type: SqlType::Bool };
                if *negated { typed(Node::Not(Box::new(both)), SqlType::Bool) } else { Bound::Typed(both) }
            }
            Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr, data_type, format: None, .. } => {
                let to = (self.data_type)(data_type)?;
                // An explicit cast cuts strings, which assignment refuses.
                if matches!(to, SqlType::Varchar(_) | SqlType::Char(_)) {
                    return None;
                }
                match self.bind(expr)? {
                    Bound::Typed(inner) if casts_alike(inner.data_type, to) => typed(Node::Cast(Box::new(inner)), to),
                    Bound::Typed(_) => return None,
                    other => Bound::Typed(self.settle(other, to)?),
                }
            }
            Expr::Function(function) if function.over.is_none() && function.filter.is_none() => {
                let [part] = function.name.0.as_slice() else { return None };
                let FunctionArguments::List(list) = &function.args else { return None };
                if !part.as_ident()?.value.eq_ignore_ascii_case("coalesce") || list.duplicate_treatment.is_some() {
                    return None;
                }
                let args: Option<Vec<&Expr>> = list
                    .args
                    .iter()
                    .map(|arg| match arg {
                        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
                        _ => None,
                    })
                    .collect();
                self.coalesce(&args?)?
            }
            _ => return None,
        })
    }

    /// Compiles an expression that must have a type of its own.
    fn bind_any(&mut self, expr: &Expr) -> Option<RowExpr> {
        match self.bind(expr)? {
            Bound::Typed(expr) => Some(expr),
            Bound::Untyped(_) | Bound::Null | Bound::Param(_) => None,
        }
    }

    /// Compiles an expression of exactly this type.
    pub fn bind_as(&mut self, expr: &Expr, wanted: SqlType) -> Option<RowExpr> {
        let bound = self.bind(expr)?;
        self.settle(bound, wanted).filter(|e| e.data_type == wanted)
    }

    /// Gives an operand that has no type yet the type that is wanted; leaves another as it is.
    pub fn settle(&mut self, bound: Bound, wanted: SqlType) -> Option<RowExpr> {
        Some(match bound {
            Bound::Typed(expr) => expr,
            Bound::Null => RowExpr { node: Node::Literal(Datum::Null), data_type: wanted },
            // What it means depends on the session's zone, which a shared program does not know.
            Bound::Untyped(_) if wanted == SqlType::TimestampTz => return None,
            Bound::Untyped(s) => RowExpr { node: Node::Literal(text::parse(wanted, &s).ok()?), data_type: wanted },
            Bound::Param(at) => {
                let declared = *self.params.get_mut(at)?.get_or_insert(wanted);
                RowExpr { node: Node::Param(at), data_type: declared }
            }
        })
    }

    fn constant(&mut self, value: &Value) -> Option<Bound> {
        Some(match value {
            Value::Null => Bound::Null,
            Value::Boolean(v) => typed(Node::Literal(Datum::Bool(*v)), SqlType::Bool),
            Value::SingleQuotedString(s) | Value::EscapedStringLiteral(s) => Bound::Untyped(s.as_str().into()),
            Value::Number(digits, false) => {
                if let Ok(v) = digits.parse::<i32>() {
                    typed(Node::Literal(Datum::Int4(v)), SqlType::Int4)
                } else if let Ok(v) = digits.parse::<i64>() {
                    typed(Node::Literal(Datum::Int8(v)), SqlType::Int8)
                } else {
                    let (whole, fraction) = digits.split_once('.')?;
                    if !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) || whole.len() + fraction.len() > 30 {
                        return None;
                    }
                    let scale = fraction.len() as u8;
                    let unscaled = format!("0{whole}{fraction}").parse().ok()?;
                    typed(Node::Literal(Datum::Numeric(Decimal { unscaled, scale })), SqlType::Numeric { precision: 38, scale })
                }
            }
            Value::Placeholder(name) => {
                let at = name.strip_prefix('$')?.parse::<usize>().ok()?.checked_sub(1)?;
                if at >= usize::from(u16::MAX) {
                    return None;
                }
                if self.params.len() <= at {
                    self.params.resize(at + 1, None);
                }
                match self.params[at] {
                    Some(t) => typed(Node::Param(at), t),
                    None => Bound::Param(at),
                }
            }
            _ => return None,
        })
    }

    fn binary(&mut self, left: &Expr, op: &BinaryOperator, right: &Expr) -> Option<Bound> {
        let comparison = match op {
            BinaryOperator::Eq => Some(Comparison::Equal),
            BinaryOperator::NotEq => Some(Comparison::NotEqual),
            BinaryOperator::Lt => Some(Comparison::Less),
            BinaryOperator::LtEq => Some(Comparison::LessOrEqual),
            BinaryOperator::Gt => Some(Comparison::Greater),
            BinaryOperator::GtEq => Some(Comparison::GreaterOrEqual),
            _ => None,
        };
        if let Some(comparison) = comparison {
            return self.compare(left, comparison, right).map(Bound::Typed);
        }
        let arithmetic = match op {
            BinaryOperator::And | BinaryOperator::Or => {
                let pair = Box::new([self.bind_as(left, SqlType::Bool)?, self.bind_as(right, SqlType::Bool)?]);
                let node = if *op == BinaryOperator::And { Node::And(pair) } else { Node::Or(pair) };
                return Some(typed(node, SqlType::Bool));
            }
            BinaryOperator::StringConcat => {
                let pair = [self.bind_string(left)?, self.bind_string(right)?];
                return Some(typed(Node::Concat(Box::new(pair)), SqlType::Text));
            }
            BinaryOperator::Plus => Arithmetic::Add,
            BinaryOperator::Minus => Arithmetic::Subtract,
            BinaryOperator::Multiply => Arithmetic::Multiply,
            BinaryOperator::Divide => Arithmetic::Divide,
            BinaryOperator::Modulo => Arithmetic::Modulo,
            _ => return None,
        };
        let [left, right] = self.pair(left, right)?;
        let common = common_number(left.data_type, right.data_type)?;
        let general = match common {
            SqlType::Numeric { .. } => matches!(arithmetic, Arithmetic::Divide | Arithmetic::Modulo),
            SqlType::Float4 | SqlType::Float8 => arithmetic == Arithmetic::Modulo,
            _ => false,
        };
        if general {
            return None;
        }
        let scale = |t: SqlType| match t {
            SqlType::Numeric { scale, .. } => scale,
            _ => 0,
        };
        let data_type = match (common, arithmetic) {
            (SqlType::Numeric { .. }, Arithmetic::Multiply) => {
                let scale = scale(left.data_type) + scale(right.data_type);
                if scale > 38 {
                    return None;
                }
                SqlType::Numeric { precision: 38, scale }
            }
            (SqlType::Numeric { .. }, _) => {
                SqlType::Numeric { precision: 38, scale: scale(left.data_type).max(scale(right.data_type)) }
            }
            (common, _) => common,
        };
        Some(typed(Node::Arithmetic(arithmetic, Box::new([left, right])), data_type))
    }

    /// Both operands, where one without a type takes the other's.
    fn pair(&mut self, left: &Expr, right: &Expr) -> Option<[RowExpr; 2]> {
        let (left, right) = (self.bind(left)?, self.bind(right)?);
        match (left, right) {
            (Bound::Typed(left), right) => {
                let right = self.settle(right, operand_type(left.data_type))?;
                Some([left, right])
            }
            (left, Bound::Typed(right)) => {
                let left = self.settle(left, operand_type(right.data_type))?;
                Some([left, right])
            }
            _ => None,
        }
    }

    /// A string, for `||`.
    fn bind_string(&mut self, expr: &Expr) -> Option<RowExpr> {
        let bound = self.bind(expr)?;
        // char(n) loses its blanks when it becomes text; that rule is the other driver's.
        self.settle(bound, SqlType::Text).filter(|e| matches!(e.data_type, SqlType::Text | SqlType::Varchar(_)))
    }

    fn compare(&mut self, left: &Expr, comparison: Comparison, right: &Expr) -> Option<RowExpr> {
        let [left, right] = self.pair(left, right)?;
        if !comparable(left.data_type, right.data_type) {
            return None;
        }
        Some(RowExpr { node: Node::Compare(comparison, Box::new([left, right])), data_type: SqlType::Bool })
    }

    fn coalesce(&mut self, args: &[&Expr]) -> Option<Bound> {
        let bound: Vec<Bound> = args.iter().map(|arg| self.bind(arg)).collect::<Option<_>>()?;
        let wanted = bound.iter().find_map(|b| match b {
            Bound::Typed(e) => Some(e.data_type),
            _ => None,
        })?;
        let list: Vec<RowExpr> = bound.into_iter().map(|b| self.settle(b, wanted)).collect::<Option<_>>()?;
        list.iter().all(|e| e.data_type == wanted).then(|| typed(Node::Coalesce(list), wanted))
    }
}

/// The digits of an integer literal.
fn integer_literal(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Number(digits, false), .. }) => {
            digits.bytes().all(|b| b.is_ascii_digit()).then_some(digits)
        }
        _ => None,
    }
}

/// The type an operand without one takes beside one of this type.
fn operand_type(t: SqlType) -> SqlType {
    match t {
        SqlType::Varchar(_) => SqlType::Text,
        // A constant beside a numeric column keeps its own digits.
        SqlType::Numeric { .. } => SqlType::NUMERIC,
        other => other,
    }
}

fn integer_rank(t: SqlType) -> Option<u8> {
    match t {
        SqlType::Int2 => Some(0),
        SqlType::Int4 => Some(1),
        SqlType::Int8 => Some(2),
        _ => None,
    }
}

/// The type arithmetic is done in.
fn common_number(a: SqlType, b: SqlType) -> Option<SqlType> {
    match (a, b) {
        _ if !a.is_number() || !b.is_number() => None,
        (SqlType::Float4, SqlType::Float4) => None,
        (SqlType::Float8 | SqlType::Float4, _) | (_, SqlType::Float8 | SqlType::Float4) => Some(SqlType::Float8),
        (SqlType::Numeric { .. }, _) | (_, SqlType::Numeric { .. }) => Some(SqlType::NUMERIC),
        _ => Some(if integer_rank(a)? >= integer_rank(b)? { a } else { b }),
    }
}

fn comparable(a: SqlType, b: SqlType) -> bool {
    let text = |t| matches!(t, SqlType::Text | SqlType::Varchar(_));
    a == b || text(a) && text(b) || common_number(a, b).is_some()
}

/// Casts that mean the same explicitly as in an assignment, and that do not depend on the time zone.
fn casts_alike(from: SqlType, to: SqlType) -> bool {
    let integer = integer_rank(from).is_some();
    match to {
        _ if from == to => true,
        // Without a precision the value keeps its own digits.
        SqlType::NUMERIC => false,
        SqlType::Numeric { .. } => integer || matches!(from, SqlType::Numeric { .. }),
        _ => integer && (integer_rank(to).is_some() || to == SqlType::Float8),
    }
}

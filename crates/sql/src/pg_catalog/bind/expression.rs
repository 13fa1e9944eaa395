//! Values: constants, columns, casts, conditions.

use sqlparser::ast::{self, AccessExpr, CaseWhen, DataType, Expr, Ident, ObjectName, Subscript};
use types::{SqlError, SqlState};

use super::level::Level;
use super::{Binder, Typed, unsupported};
use crate::pg_catalog::kind;
use crate::pg_catalog::plan::Ex;
use crate::pg_catalog::value::Value;

fn boolean(ex: Ex) -> Typed {
    Typed::new(ex, kind::BOOL)
}

fn negated(negated: bool, value: Typed) -> Typed {
    if negated { boolean(Ex::Not(Box::new(value.ex))) } else { value }
}

impl Binder<'_> {
    pub(super) fn expression(&self, level: &Level<'_>, expr: &Expr) -> Result<Typed, SqlError> {
        self.deeper(|| self.any_expression(level, expr))
    }

    fn any_expression(&self, level: &Level<'_>, expr: &Expr) -> Result<Typed, SqlError> {
        match expr {
            Expr::Identifier(ident) => self.column(level, ident),
            Expr::CompoundIdentifier(parts) => self.qualified_column(level, parts),
            Expr::CompoundFieldAccess { root, access_chain } => self.access(level, root, access_chain),
            Expr::Value(value) => self.constant(&value.value),
            Expr::Nested(inner) => self.expression(level, inner),
            Expr::BinaryOp { left, op, right } => self.binary(level, left, op, right),
            Expr::UnaryOp { op, expr } => self.unary(level, *op, expr),
            Expr::Cast { expr, data_type, .. } => self.cast(level, expr, data_type),
            Expr::TypedString(typed) => {
                let text = typed.value.clone().into_string().unwrap_or_default();
                self.cast_to(Typed::new(Ex::Const(Value::text(text)), kind::UNKNOWN), &typed.data_type)
            }
            Expr::Function(function) => self.function(level, function),
            Expr::Case { operand, conditions, else_result, .. } => {
                self.case(level, operand.as_deref(), conditions, else_result.as_deref())
            }
            Expr::Collate { expr, collation } => self.collate(level, expr, collation),
            Expr::Array(array) => self.array(level, &array.elem),
            Expr::Tuple(items) => self.row(level, items),
            Expr::Exists { .. } | Expr::Subquery(_) | Expr::InSubquery { .. } => self.subquery(level, expr),
            Expr::AnyOp { left, compare_op, right, .. } => self.any_or_all(level, false, left, compare_op, right),
            Expr::AllOp { left, compare_op, right } => self.any_or_all(level, true, left, compare_op, right),
            other => self.predicate(level, other),
        }
    }

    /// What is either true or false.
    fn predicate(&self, level: &Level<'_>, expr: &Expr) -> Result<Typed, SqlError> {
        let truth = |inner: &Expr, wanted: bool, not: bool| {
            let value = self.condition("IS", self.expression(level, inner)?)?;
            let same = Ex::Same(Box::new(value), Box::new(Ex::Const(Value::Bool(wanted))));
            Ok(negated(not, boolean(same)))
        };
        match expr {
            Expr::IsNull(inner) | Expr::IsUnknown(inner) => Ok(boolean(Ex::IsNull(Box::new(self.expression(level, inner)?.ex)))),
            Expr::IsNotNull(inner) | Expr::IsNotUnknown(inner) => {
                Ok(negated(true, boolean(Ex::IsNull(Box::new(self.expression(level, inner)?.ex)))))
            }
            Expr::IsTrue(inner) => truth(inner, true, false),
            Expr::IsNotTrue(inner) => truth(inner, true, true),
            Expr::IsFalse(inner) => truth(inner, false, false),
            Expr::IsNotFalse(inner) => truth(inner, false, true),
            Expr::IsDistinctFrom(a, b) => Ok(negated(true, self.same(level, a, b)?)),
            Expr::IsNotDistinctFrom(a, b) => self.same(level, a, b),
            Expr::InList { expr, list, negated: not } => self.in_list(level, expr, list, *not),
            Expr::Between { expr, negated: not, low, high } => {
                let value = self.expression(level, expr)?;
                let above = self.operate(">=", value.clone(), self.expression(level, low)?)?;
                let below = self.operate("<=", value, self.expression(level, high)?)?;
                Ok(negated(*not, boolean(Ex::And(Box::new(above.ex), Box::new(below.ex)))))
            }
            Expr::Like { negated: not, any: false, expr, pattern, escape_char } => {
                self.like(level, if *not { "!~~" } else { "~~" }, expr, pattern, escape_char.as_ref())
            }
            Expr::ILike { negated: not, any: false, expr, pattern, escape_char } => {
                self.like(level, if *not { "!~~*" } else { "~~*" }, expr, pattern, escape_char.as_ref())
            }
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                let mut args = vec![expr.as_ref()];
                match (substring_from, substring_for) {
                    (Some(from), count) => args.extend([from.as_ref()].into_iter().chain(count.as_deref())),
                    _ => return Err(unsupported("SUBSTRING without FROM")),
                }
                self.call_with(level, "substring", &args)
            }
            Expr::Position { expr, r#in } => self.call_with(level, "position", &[r#in, expr]),
            Expr::Trim { trim_where: None, trim_what: None, expr, trim_characters: None } => {
                self.call_with(level, "btrim", &[expr])
            }
            Expr::Interval(interval) if interval.leading_field.is_none() => {
                let value = self.expression(level, &interval.value)?;
                Ok(Typed::new(self.coerce(value, kind::INTERVAL), kind::INTERVAL))
            }
            other => Err(unsupported(format!("\"{other}\""))),
        }
    }

    fn same(&self, level: &Level<'_>, a: &Expr, b: &Expr) -> Result<Typed, SqlError> {
        let (a, b) = (self.expression(level, a)?, self.expression(level, b)?);
        // As `=` would have them.
        match self.operate("=", a, b)?.ex {
            Ex::Operate(_, a, b) => Ok(boolean(Ex::Same(a, b))),
            _ => Err(SqlError::bug("an equality is no operator")),
        }
    }

    fn like(
        &self,
        level: &Level<'_>,
        symbol: &str,
        expr: &Expr,
        pattern: &Expr,
        escape: Option<&ast::ValueWithSpan>,
    ) -> Result<Typed, SqlError> {
        if escape.is_some_and(|e| e.value.clone().into_string().as_deref() != Some("\\")) {
            return Err(unsupported("LIKE with an escape character of its own"));
        }
        self.operate(symbol, self.expression(level, expr)?, self.expression(level, pattern)?)
    }

    fn in_list(&self, level: &Level<'_>, expr: &Expr, list: &[Expr], not: bool) -> Result<Typed, SqlError> {
        let value = self.expression(level, expr)?;
        let items = list.iter().map(|item| self.expression(level, item)).collect::<Result<Vec<_>, _>>()?;
        if value.kind == kind::RECORD {
            let mut any: Option<Ex> = None;
            for item in items {
                let equal = self.operate("=", value.clone(), item)?.ex;
                any = Some(any.map_or_else(|| equal.clone(), |found| Ex::Or(Box::new(found), Box::new(equal.clone()))));
            }
            return Ok(negated(not, boolean(any.unwrap_or(Ex::Const(Value::Bool(false))))));
        }
        let (items, element) = self.unify("IN", items.into_iter().map(|i| self.settle(i, value.kind)).collect())?;
        let right = Typed::new(Ex::Array(items), kind::array_of(element));
        let symbol = if not { "<>" } else { "=" };
        self.quantified(symbol, not, value, right)
    }

    /// A constant or parameter without a type as one of `to`; anything else as it is.
    fn settle(&self, value: Typed, to: kind::Kind) -> Typed {
        match (value.kind, to) {
            (kind::UNKNOWN, kind::UNKNOWN) => value,
            (kind::UNKNOWN, to) => Typed::new(self.coerce(value, to), to),
            _ => value,
        }
    }

    fn constant(&self, value: &ast::Value) -> Result<Typed, SqlError> {
        use ast::Value::{
            Boolean, DollarQuotedString, EscapedStringLiteral, NationalStringLiteral, Null, Number, Placeholder,
            SingleQuotedString, UnicodeStringLiteral,
        };
        Ok(match value {
            Null => Typed::null(),
            Boolean(v) => boolean(Ex::Const(Value::Bool(*v))),
            SingleQuotedString(s) | EscapedStringLiteral(s) | UnicodeStringLiteral(s) | NationalStringLiteral(s) => {
                Typed::new(Ex::Const(Value::text(s)), kind::UNKNOWN)
            }
            DollarQuotedString(s) => Typed::new(Ex::Const(Value::text(&s.value)), kind::UNKNOWN),
            Number(digits, _) => number(digits)?,
            Placeholder(name) => {
                let position = name.strip_prefix('$').and_then(|n| n.parse::<usize>().ok()).and_then(|n| n.checked_sub(1));
                // What the protocol can count.
                match position {
                    Some(at) if at < usize::from(u16::MAX) => self.parameter(at),
                    _ => return Err(SqlError::new(SqlState::UNDEFINED_PARAMETER, format!("there is no parameter {name}"))),
                }
            }
            other => return Err(unsupported(format!("the constant {other}"))),
        })
    }

    fn cast(&self, level: &Level<'_>, expr: &Expr, data_type: &DataType) -> Result<Typed, SqlError> {
        let value = match expr {
            // ARRAY[]::text[]
            Expr::Array(array) if array.elem.is_empty() => Typed::new(Ex::Array(vec![]), kind::UNKNOWN),
            expr => self.expression(level, expr)?,
        };
        self.cast_to(value, data_type)
    }

    fn cast_to(&self, value: Typed, data_type: &DataType) -> Result<Typed, SqlError> {
        let to = kind::of_syntax(data_type)?;
        if let (Ex::Param(at), kind::UNKNOWN) = (&value.ex, value.kind) {
            return Ok(self.parameter_as(*at, to));
        }
        if value.kind == kind::RECORD && !kind::is_string(to) {
            let message = format!("cannot cast type record to {}", kind::format(to, None));
            return Err(SqlError::new(SqlState::CANNOT_COERCE, message));
        }
        if value.kind == to || matches!((&value.ex, value.kind), (Ex::Array(items), kind::UNKNOWN) if items.is_empty()) {
            return Ok(Typed::new(value.ex, to));
        }
        Ok(Typed::new(Ex::Cast { ex: Box::new(value.ex), from: value.kind, to }, to))
    }

    /// Texts are ordered by their bytes whatever their collation is called.
    fn collate(&self, level: &Level<'_>, expr: &Expr, collation: &ObjectName) -> Result<Typed, SqlError> {
        let name = collation.0.last().and_then(|part| part.as_ident()).map_or("", |ident| ident.value.as_str());
        if !matches!(name, "default" | "C" | "POSIX" | "ucs_basic") {
            let message = format!("collation \"{name}\" for encoding \"UTF8\" does not exist");
            return Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message));
        }
        let value = self.expression(level, expr)?;
        Ok(if value.kind == kind::UNKNOWN { Typed::new(self.coerce(value, kind::TEXT), kind::TEXT) } else { value })
    }

    fn case(
        &self,
        level: &Level<'_>,
        operand: Option<&Expr>,
        conditions: &[CaseWhen],
        last: Option<&Expr>,
    ) -> Result<Typed, SqlError> {
        let operand = operand.map(|expr| self.expression(level, expr)).transpose()?;
        let mut tests = Vec::with_capacity(conditions.len());
        let mut results = Vec::with_capacity(conditions.len() + 1);
        for CaseWhen { condition, result } in conditions {
            let condition = self.expression(level, condition)?;
            tests.push(match &operand {
                Some(operand) => self.operate("=", operand.clone(), condition)?.ex,
                None => self.condition("CASE/WHEN", condition)?,
            });
            results.push(self.expression(level, result)?);
        }
        // The default's type comes first, as in PostgreSQL's messages.
        results.insert(0, last.map_or_else(|| Ok(Typed::null()), |expr| self.expression(level, expr))?);
        let (results, kind) = self.unify("CASE", results)?;
        let mut results = results.into_iter();
        let last = results.next().map(Box::new);
        Ok(Typed::new(Ex::Case(tests.into_iter().zip(results).collect(), last), kind))
    }

    fn array(&self, level: &Level<'_>, elements: &[Expr]) -> Result<Typed, SqlError> {
        if elements.is_empty() {
            let error = SqlError::new(SqlState(*b"42P18"), "cannot determine type of empty array");
            return Err(error.hint("Explicitly cast to the desired type, for example ARRAY[]::integer[]."));
        }
        let items = elements.iter().map(|e| self.expression(level, e)).collect::<Result<Vec<_>, _>>()?;
        let (items, element) = self.unify("ARRAY", items)?;
        Ok(Typed::new(Ex::Array(items), kind::array_of(element)))
    }

    pub(super) fn row(&self, level: &Level<'_>, items: &[Expr]) -> Result<Typed, SqlError> {
        let items = items.iter().map(|e| self.expression(level, e)).collect::<Result<Vec<_>, _>>()?;
        let fields = (1..).zip(&items).map(|(n, item)| (format!("f{n}"), item.kind)).collect();
        Ok(Typed { ex: Ex::Row(items.into_iter().map(|i| i.ex).collect()), kind: kind::RECORD, fields: Some(fields) })
    }

    /// `(row).field`, `array[1]`, `array[1:2]`.
    fn access(&self, level: &Level<'_>, root: &Expr, chain: &[AccessExpr]) -> Result<Typed, SqlError> {
        // `a.b[1]` has the column's own dots in the chain.
        let mut names = vec![];
        let mut rest = chain;
        let mut value = if let Expr::Identifier(first) = root {
            names.push(first.clone());
            while let [AccessExpr::Dot(Expr::Identifier(next)), tail @ ..] = rest {
                names.push(next.clone());
                rest = tail;
            }
            if let [only] = names.as_slice() { self.column(level, only)? } else { self.qualified_column(level, &names)? }
        } else {
            self.expression(level, root)?
        };
        for access in rest {
            value = match access {
                AccessExpr::Dot(Expr::Identifier(field)) => self.field(value, field)?,
                AccessExpr::Dot(other) => return Err(unsupported(format!("\".{other}\""))),
                AccessExpr::Subscript(subscript) => self.subscript(level, value, subscript)?,
            };
        }
        Ok(value)
    }

    pub(super) fn field(&self, value: Typed, field: &Ident) -> Result<Typed, SqlError> {
        let fields = value.fields.as_ref();
        let found = fields.and_then(|f| f.iter().position(|(name, _)| *name == field.value).zip(Some(f)));
        let Some((at, fields)) = found else {
            let message = format!("column \"{}\" not found in data type {}", field.value, kind::format(value.kind, None));
            return Err(self.error_of(field, SqlState::UNDEFINED_COLUMN, message));
        };
        let kind = fields.get(at).map_or(kind::TEXT, |(_, kind)| *kind);
        Ok(Typed::new(Ex::Field(Box::new(value.ex), at), kind))
    }

    fn subscript(&self, level: &Level<'_>, array: Typed, subscript: &Subscript) -> Result<Typed, SqlError> {
        let element = kind::element(array.kind);
        if element == kind::UNKNOWN {
            let message =
                format!("cannot subscript type {} because it does not support subscripting", kind::format(array.kind, None));
            return Err(SqlError::new(SqlState::DATATYPE_MISMATCH, message));
        }
        let base = i64::from(!matches!(array.kind, kind::INT2VECTOR | kind::OIDVECTOR));
        let bound = |expr: &Expr| Ok::<_, SqlError>(Box::new(self.coerce(self.expression(level, expr)?, kind::INT4)));
        match subscript {
            Subscript::Index { index } => {
                let ex = Ex::Subscript { array: Box::new(array.ex), index: bound(index)?, base };
                Ok(Typed::new(ex, element))
            }
            Subscript::Slice { lower_bound, upper_bound, stride: None } => {
                let (from, to) = (lower_bound.as_ref().map(bound).transpose()?, upper_bound.as_ref().map(bound).transpose()?);
                Ok(Typed::new(Ex::Slice { array: Box::new(array.ex), from, to, base }, array.kind))
            }
            Subscript::Slice { .. } => Err(unsupported("a slice with a stride")),
        }
    }
}

fn number(digits: &str) -> Result<Typed, SqlError> {
    if let Ok(v) = digits.parse::<i64>() {
        let kind = if i32::try_from(v).is_ok() { kind::INT4 } else { kind::INT8 };
        return Ok(Typed::new(Ex::Const(Value::Int(v)), kind));
    }
    Ok(Typed::new(Ex::Const(crate::pg_catalog::operator::exact(digits)?), kind::NUMERIC))
}

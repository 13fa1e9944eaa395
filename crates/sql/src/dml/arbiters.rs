//! Which keys a conflict target of ON CONFLICT means.
//!
//! ```text
//! (a, b)                     the primary key and unique indexes of exactly these columns
//! (lower(a)) WHERE b > 0     unique indexes of these expressions, whose condition follows from this one
//! ON CONSTRAINT name         the key of a constraint
//! ```
//!
//! A condition follows from another if each of its parts is among the other's, or follows from one by the bounds of an integer or by
//! being about a value that is not NULL.
//!
//! Source: PostgreSQL 15 `infer_arbiter_indexes` and `predtest.c`, of which this is the part that indexes are written with.

use std::collections::BTreeSet;

use catalog::{Index, IndexSource, Table};
use point::write::Arbiters;
use sqlparser::ast::{BinaryOperator, ConflictTarget, Expr, UnaryOperator, Value};
use types::{SqlError, SqlState};

use crate::deparse::{self, Style};
use crate::parse::{Inference, inference_of_name, parse_expr};
use crate::session::Session;

impl Session {
    /// The keys a conflict target means. Errors: 42P10, 42704, 42703; 42601 where DO UPDATE has no target; 55000 for a deferrable one.
    pub(crate) fn arbiters(
        &mut self,
        target: Option<&ConflictTarget>,
        table: &Table,
        updates: bool,
    ) -> Result<Arbiters, SqlError> {
        let arbiters = self.arbiters_of(target, table, updates)?;
        if table.indexes.iter().any(|index| index.unique && !index.refuses_duplicates() && arbiters.has(Some(index.id))) {
            let message = "ON CONFLICT does not support deferrable unique constraints/exclusion constraints as arbiters";
            return Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message));
        }
        Ok(arbiters)
    }

    fn arbiters_of(&mut self, target: Option<&ConflictTarget>, table: &Table, updates: bool) -> Result<Arbiters, SqlError> {
        match target {
            None if updates => {
                let message = "ON CONFLICT DO UPDATE requires inference specification or constraint name";
                Err(SqlError::new(SqlState::SYNTAX_ERROR, message).hint("For example, ON CONFLICT (column_name)."))
            }
            None => Ok(Arbiters::All),
            Some(ConflictTarget::OnConstraint(name)) => {
                let name = name.0.last().and_then(|part| part.as_ident()).map_or("", |ident| ident.value.as_str());
                match inference_of_name(name)? {
                    None => of_constraint(name, table),
                    Some(inference) => self.infer(&inference, table),
                }
            }
            Some(ConflictTarget::Columns(names)) => {
                let elements = names.iter().cloned().map(Expr::Identifier).collect();
                self.infer(&Inference { elements, predicate: None }, table)
            }
        }
    }

    fn infer(&mut self, inference: &Inference, table: &Table) -> Result<Arbiters, SqlError> {
        let mut columns = BTreeSet::new();
        let mut expressions = BTreeSet::new();
        let catalog = self.catalog();
        for element in &inference.elements {
            match element {
                Expr::Identifier(ident) => {
                    columns.insert(table.column(&ident.value).ok_or_else(|| {
                        let message = format!("column \"{}\" does not exist", ident.value);
                        SqlError::new(SqlState::UNDEFINED_COLUMN, message)
                    })?);
                }
                expr => {
                    self.compile(table, &catalog, expr)?;
                    expressions.insert(normal(&expr.to_string(), table));
                }
            }
        }
        let mut given = Vec::new();
        if let Some(predicate) = &inference.predicate {
            self.compile(table, &catalog, predicate)?;
            conjuncts(predicate, &mut given);
        }
        let fits = |index: &Index| {
            let mut own = (BTreeSet::new(), BTreeSet::new());
            for column in &index.columns {
                match &column.source {
                    IndexSource::Column(id) => own.0.extend(table.position_of(*id)),
                    IndexSource::Expression { text, .. } => own.1.extend([normal(text, table)]),
                }
            }
            own.0 == columns && own.1 == expressions && follows(index.predicate.as_deref(), &given, table)
        };
        let indexes = table.indexes.iter().filter(|index| index.unique && fits(index)).map(|index| index.id).collect();
        let is_key = |key: &catalog::PrimaryKey| key.columns.iter().copied().collect::<BTreeSet<_>>() == columns;
        let primary_key = expressions.is_empty() && table.primary_key.as_ref().is_some_and(is_key);
        Arbiters::Keys { primary_key, indexes }.if_any().ok_or_else(|| {
            let message = "there is no unique or exclusion constraint matching the ON CONFLICT specification";
            SqlError::new(SqlState::INVALID_COLUMN_REFERENCE, message)
        })
    }
}

fn of_constraint(name: &str, table: &Table) -> Result<Arbiters, SqlError> {
    if table.primary_key.as_ref().is_some_and(|key| key.name == name) {
        return Ok(Arbiters::Keys { primary_key: true, indexes: vec![] });
    }
    if let Some(index) = table.indexes.iter().find(|index| index.constraint.is_some() && index.name == name) {
        return Ok(Arbiters::Keys { primary_key: false, indexes: vec![index.id] });
    }
    let others = table.checks.iter().map(|check| &check.name).chain(table.foreign_keys.iter().map(|key| &key.name));
    if others.into_iter().any(|other| other == name) {
        let message = "constraint in ON CONFLICT clause has no associated index";
        return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message));
    }
    let message = format!("constraint \"{name}\" for table \"{}\" does not exist", table.name);
    Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message))
}

/// An expression in one form, however it was written.
fn normal(text: &str, table: &Table) -> String {
    deparse::expression(text, table, Style::Full).text
}

/// The parts of a condition that must all hold.
fn conjuncts<'e>(expr: &'e Expr, out: &mut Vec<&'e Expr>) {
    match expr {
        Expr::Nested(inner) => conjuncts(inner, out),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            conjuncts(left, out);
            conjuncts(right, out);
        }
        other => out.push(other),
    }
}

/// Whether an index's condition holds wherever all of `given` do.
fn follows(predicate: Option<&str>, given: &[&Expr], table: &Table) -> bool {
    let Some(predicate) = predicate else { return true };
    let Ok(predicate) = parse_expr(predicate) else { return false };
    let mut wanted = Vec::new();
    conjuncts(&predicate, &mut wanted);
    let text = |expr: &Expr| normal(&expr.to_string(), table);
    wanted.iter().all(|wanted| {
        let same = text(wanted);
        given.iter().any(|given| text(given) == same || implies(given, wanted, &text))
    })
}

fn implies(given: &Expr, wanted: &Expr, text: &dyn Fn(&Expr) -> String) -> bool {
    if let (Expr::IsNotNull(value), Expr::BinaryOp { left, op, right }) = (wanted, given) {
        return is_comparison(op) && [left, right].into_iter().any(|side| text(side) == text(value));
    }
    let (Some((value, from)), Some((other, to))) = (bounds(given), bounds(wanted)) else { return false };
    text(value) == text(other)
        && to.0.is_none_or(|to| from.0.is_some_and(|from| from >= to))
        && to.1.is_none_or(|to| from.1.is_some_and(|from| from <= to))
}

fn is_comparison(op: &BinaryOperator) -> bool {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(op, Eq | Gt | GtEq | Lt | LtEq | NotEq)
}

/// `value > 3`: the value, and its least and greatest, which are a half off where they are not reached: by twos, to be whole.
fn bounds(expr: &Expr) -> Option<(&Expr, (Option<i128>, Option<i128>))> {
    let Expr::BinaryOp { left, op, right } = expr else { return None };
    let (value, op, bound) = match (integer(left), integer(right)) {
        (None, Some(bound)) => (left, op.clone(), bound),
        (Some(bound), None) => (right, mirrored(op)?, bound),
        _ => return None,
    };
    let bound = bound.checked_mul(2)?;
    Some((
        value,
        match op {
            BinaryOperator::Eq => (Some(bound), Some(bound)),
            BinaryOperator::Gt => (Some(bound + 1), None),
            BinaryOperator::GtEq => (Some(bound), None),
            BinaryOperator::Lt => (None, Some(bound - 1)),
            BinaryOperator::LtEq => (None, Some(bound)),
            _ => return None,
        },
    ))
}

fn mirrored(op: &BinaryOperator) -> Option<BinaryOperator> {
    Some(match op {
        BinaryOperator::Eq => BinaryOperator::Eq,
        BinaryOperator::Gt => BinaryOperator::Lt,
        BinaryOperator::GtEq => BinaryOperator::LtEq,
        BinaryOperator::Lt => BinaryOperator::Gt,
        BinaryOperator::LtEq => BinaryOperator::GtEq,
        _ => return None,
    })
}

fn integer(expr: &Expr) -> Option<i128> {
    match expr {
        Expr::Nested(inner) => integer(inner),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => integer(expr)?.checked_neg(),
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => number.parse::<i64>().ok().map(i128::from),
            _ => None,
        },
        _ => None,
    }
}

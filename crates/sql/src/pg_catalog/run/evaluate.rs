//! Values of expressions.

use std::sync::Arc;

use types::{SqlError, SqlState};

use super::{Run, Scope};
use crate::pg_catalog::cast;
use crate::pg_catalog::operator::{self, Operator};
use crate::pg_catalog::plan::{Ex, Plan, SubqueryKind};
use crate::pg_catalog::relation::Row;
use crate::pg_catalog::value::Value;

impl Run<'_> {
    /// The value of an expression.
    pub(crate) fn value(&self, ex: &Ex, scope: &Scope<'_>) -> Result<Value, SqlError> {
        Ok(match ex {
            Ex::Const(value) => value.clone(),
            Ex::Param(at) => self.params.get(*at).cloned().unwrap_or(Value::Null),
            Ex::Column { up, at } => {
                let mut from = Some(scope);
                for _ in 0..*up {
                    from = from.and_then(|scope| scope.outer);
                }
                let found = from.and_then(|scope| scope.row.get(*at));
                found.cloned().ok_or_else(|| SqlError::bug("a column is read outside its query"))?
            }
            Ex::Aggregate(at) => scope.aggregates.get(*at).cloned().unwrap_or(Value::Null),
            Ex::Set(at) => scope.sets.get(*at).cloned().unwrap_or(Value::Null),
            Ex::And(a, b) => match self.value(a, scope)? {
                Value::Bool(false) => Value::Bool(false),
                a => match (a, self.value(b, scope)?) {
                    (_, Value::Bool(false)) => Value::Bool(false),
                    (Value::Bool(true), Value::Bool(true)) => Value::Bool(true),
                    _ => Value::Null,
                },
            },
            Ex::Or(a, b) => match self.value(a, scope)? {
                Value::Bool(true) => Value::Bool(true),
                a => match (a, self.value(b, scope)?) {
                    (_, Value::Bool(true)) => Value::Bool(true),
                    (Value::Bool(false), Value::Bool(false)) => Value::Bool(false),
                    _ => Value::Null,
                },
            },
            Ex::Not(a) => match self.value(a, scope)? {
                Value::Bool(v) => Value::Bool(!v),
                _ => Value::Null,
            },
            Ex::IsNull(a) => Value::Bool(match self.value(a, scope)? {
                Value::Row(fields) => fields.iter().all(Value::is_null),
                value => value.is_null(),
            }),
            Ex::Same(a, b) => Value::Bool(self.value(a, scope)? == self.value(b, scope)?),
            Ex::Operate(op, a, b) => operator::apply(self, *op, &self.value(a, scope)?, &self.value(b, scope)?)?,
            Ex::Call(function, args, kinds) => function.call(self, &self.all(args, scope)?, kinds)?,
            Ex::Cast { ex, from, to } => cast::cast(self, self.value(ex, scope)?, *from, *to)?,
            Ex::Case(branches, last) => {
                for (condition, result) in branches {
                    if self.value(condition, scope)?.is_true() {
                        return self.value(result, scope);
                    }
                }
                last.as_ref().map_or(Ok(Value::Null), |ex| self.value(ex, scope))?
            }
            Ex::Coalesce(args) => {
                for arg in args {
                    let value = self.value(arg, scope)?;
                    if !value.is_null() {
                        return Ok(value);
                    }
                }
                Value::Null
            }
            Ex::Quantified { operator, all, left, right } => {
                let left = self.value(left, scope)?;
                match self.value(right, scope)? {
                    Value::Array(values) => self.quantified(*operator, *all, &left, values.iter())?,
                    _ => Value::Null,
                }
            }
            Ex::Array(items) => Value::array(self.all(items, scope)?),
            Ex::Row(items) => Value::Row(self.all(items, scope)?.into()),
            Ex::Subscript { array, index, base } => {
                let index = self.value(index, scope)?;
                let element = |values: &[Value]| {
                    let at = usize::try_from(index.as_int()?.checked_sub(*base)?).ok()?;
                    values.get(at).cloned()
                };
                self.value(array, scope)?.as_array().and_then(element).unwrap_or(Value::Null)
            }
            Ex::Slice { array, from, to, base } => {
                let bound = |ex: &Option<Box<Ex>>| ex.as_ref().map(|ex| self.value(ex, scope)).transpose();
                let (from, to) = (bound(from)?, bound(to)?);
                let place = |v: Value| v.as_int().map_or(0, |v| usize::try_from(v - base).unwrap_or(0));
                match self.value(array, scope)? {
                    Value::Array(values) => {
                        let end = to.map_or(values.len(), |v| place(v) + 1).min(values.len());
                        let start = from.map_or(0, place).min(end);
                        Value::array(values.iter().take(end).skip(start).cloned())
                    }
                    _ => Value::Null,
                }
            }
            Ex::Field(row, at) => match self.value(row, scope)? {
                Value::Row(fields) => fields.get(*at).cloned().unwrap_or(Value::Null),
                _ => Value::Null,
            },
            Ex::Subquery(plan, how) => self.subquery(plan, how, scope)?,
        })
    }

    fn subquery(&self, plan: &Arc<Plan>, how: &SubqueryKind, scope: &Scope<'_>) -> Result<Value, SqlError> {
        let relation = self.kept(plan, Some(scope))?;
        let rows = relation.rows();
        let first = |row: &Row| row.first().cloned().unwrap_or(Value::Null);
        Ok(match how {
            SubqueryKind::Exists => Value::Bool(!rows.is_empty()),
            SubqueryKind::Scalar => match rows {
                [] => Value::Null,
                [row] => first(row),
                _ => {
                    let message = "more than one row returned by a subquery used as an expression";
                    return Err(SqlError::new(SqlState::CARDINALITY_VIOLATION, message));
                }
            },
            SubqueryKind::Array => Value::array(rows.iter().map(first)),
            SubqueryKind::Quantified { operator, all, left } => {
                let left = self.value(left, scope)?;
                let is_row = matches!(left, Value::Row(_));
                // IN over many rows: by the index of the only column.
                if *operator == Operator::Eq && !all && !is_row && rows.len() > 8 && !left.is_null() {
                    if !relation.find(0, &left).is_empty() {
                        return Ok(Value::Bool(true));
                    }
                    let unknown = rows.iter().any(|row| row.first().is_some_and(Value::is_null));
                    return Ok(if unknown { Value::Null } else { Value::Bool(false) });
                }
                let values: Vec<Value> =
                    rows.iter().map(|row| if is_row { Value::Row(row.clone().into()) } else { first(row) }).collect();
                self.quantified(*operator, *all, &left, values.iter())?
            }
        })
    }

    pub(super) fn quantified<'v>(
        &self,
        operator: Operator,
        all: bool,
        left: &Value,
        values: impl Iterator<Item = &'v Value>,
    ) -> Result<Value, SqlError> {
        let mut unknown = false;
        for value in values {
            match operator::apply(self, operator, left, value)? {
                Value::Bool(truth) if truth != all => return Ok(Value::Bool(truth)),
                Value::Null => unknown = true,
                _ => {}
            }
        }
        Ok(if unknown { Value::Null } else { Value::Bool(all) })
    }
}

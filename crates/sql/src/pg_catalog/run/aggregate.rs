//! Groups of rows and what is computed of each.

use std::collections::{HashMap, HashSet};

use types::SqlError;

use super::{Run, Scope, sort};
use crate::pg_catalog::operator::{self, Operator};
use crate::pg_catalog::plan::{Aggregate, AggregateKind, Ex, OrderKey, Select};
use crate::pg_catalog::relation::Row;
use crate::pg_catalog::value::{self, Value};

impl Run<'_> {
    /// A row of each group with the group's aggregates.
    pub(super) fn groups(
        &self,
        select: &Select,
        by: &[Ex],
        rows: Vec<Row>,
        outer: Option<&Scope<'_>>,
    ) -> Result<Vec<(Row, Vec<Value>)>, SqlError> {
        let mut order: Vec<Vec<Row>> = Vec::new();
        if by.is_empty() {
            order.push(rows);
        } else {
            let mut places: HashMap<Vec<Value>, usize> = HashMap::new();
            for row in rows {
                let key = self.all(by, &Scope::of(&row, outer))?;
                let place = *places.entry(key).or_insert_with(|| {
                    order.push(vec![]);
                    order.len() - 1
                });
                if let Some(group) = order.get_mut(place) {
                    group.push(row);
                }
            }
        }
        let mut groups = Vec::with_capacity(order.len());
        for rows in order {
            let aggregates = select.aggregates.iter().map(|a| self.aggregate(a, &rows, outer)).collect::<Result<Vec<_>, _>>()?;
            let first = rows.into_iter().next().unwrap_or_else(|| vec![Value::Null; select.width]);
            groups.push((first, aggregates));
        }
        Ok(groups)
    }

    fn aggregate(&self, aggregate: &Aggregate, rows: &[Row], outer: Option<&Scope<'_>>) -> Result<Value, SqlError> {
        let mut inputs: Vec<(Vec<Value>, Row)> = Vec::new();
        for row in rows {
            let scope = Scope::of(row, outer);
            if let Some(filter) = &aggregate.filter
                && !self.value(filter, &scope)?.is_true()
            {
                continue;
            }
            let mut keys = Vec::new();
            for by in &aggregate.order {
                if let OrderKey::Expression(ex) = &by.key {
                    keys.push(self.value(ex, &scope)?);
                }
            }
            inputs.push((keys, self.all(&aggregate.args, &scope)?));
        }
        sort(&mut inputs, &aggregate.order);
        if aggregate.distinct {
            let mut seen = HashSet::new();
            inputs.retain(|(_, args)| seen.insert(args.clone()));
        }
        let counts_rows = aggregate.args.is_empty();
        let firsts = || inputs.iter().filter_map(|(_, args)| args.first()).filter(|v| !v.is_null());
        Ok(match aggregate.how {
            AggregateKind::Count if counts_rows => Value::Int(i64::try_from(inputs.len()).unwrap_or(i64::MAX)),
            AggregateKind::Count => Value::Int(i64::try_from(firsts().count()).unwrap_or(i64::MAX)),
            AggregateKind::Sum => {
                let mut sum = Value::Null;
                for value in firsts() {
                    sum = if sum.is_null() { value.clone() } else { operator::apply(self, Operator::Add, &sum, value)? };
                }
                sum
            }
            AggregateKind::Min => firsts().min_by(|a, b| value::total(a, b)).cloned().unwrap_or(Value::Null),
            AggregateKind::Max => firsts().max_by(|a, b| value::total(a, b)).cloned().unwrap_or(Value::Null),
            AggregateKind::And if firsts().next().is_none() => Value::Null,
            AggregateKind::Or if firsts().next().is_none() => Value::Null,
            AggregateKind::And => Value::Bool(firsts().all(Value::is_true)),
            AggregateKind::Or => Value::Bool(firsts().any(Value::is_true)),
            AggregateKind::Array if inputs.is_empty() => Value::Null,
            AggregateKind::Array => Value::array(inputs.iter().map(|(_, args)| args.first().cloned().unwrap_or(Value::Null))),
            AggregateKind::String => {
                let mut out: Option<String> = None;
                for (_, args) in &inputs {
                    let [Value::Text(text), delimiter] = args.as_slice() else { continue };
                    match &mut out {
                        None => out = Some(text.to_string()),
                        Some(out) => {
                            out.push_str(delimiter.as_str().unwrap_or_default());
                            out.push_str(text);
                        }
                    }
                }
                out.map_or(Value::Null, Value::text)
            }
        })
    }
}

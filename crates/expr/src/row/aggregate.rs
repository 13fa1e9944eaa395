//! Aggregates of rows that are met one by one, as the Arrow driver has them.
//!
//! ```text
//! count(*), count(x)      bigint            sum(integers)            bigint; of bigint: numeric(38)
//! min(x), max(x)          the type of x     sum(numeric(p,s))        numeric(38,s), 22003 beyond
//!                                           avg(integers, numeric)   numeric(38, max(s, 16))
//! ```
//!
//! Not here: floats, whose sum depends on the order; `char` and intervals, which have equal values that look different; the least of
//! `varchar`, which is a `text` in PostgreSQL and not in the other driver; numerics that are no columns, whose digits are the other
//! driver's. They are not bound.

use std::cmp::Ordering;
use std::collections::HashSet;

use types::{Datum, Decimal, RowRef, SqlError, SqlType, key};

use super::RowExpr;
use crate::{compare, decimal, rules};

/// An aggregate of an expression over rows.
#[derive(Debug)]
pub struct RowAggregate {
    function: Function,
    distinct: bool,
    /// `None`: `count(*)`.
    argument: Option<RowExpr>,
    /// The type of its value.
    pub data_type: SqlType,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Count,
    Sum,
    Avg,
    Min,
    Max,
}

impl RowAggregate {
    /// `count(*)`.
    pub fn count_rows() -> RowAggregate {
        RowAggregate { function: Function::Count, distinct: false, argument: None, data_type: SqlType::Int8 }
    }

    /// The aggregate of this name over an expression, or over its different values. `None`: not known here.
    pub fn new(name: &str, distinct: bool, argument: RowExpr) -> Option<RowAggregate> {
        let of = argument.data_type;
        let is_whole = matches!(of, SqlType::Int2 | SqlType::Int4 | SqlType::Int8);
        let is_numeric = matches!(of, SqlType::Numeric { .. }) && argument.as_column().is_some();
        let is_text = matches!(of, SqlType::Text | SqlType::Varchar(_));
        let is_moment = matches!(of, SqlType::Date | SqlType::Time | SqlType::Timestamp | SqlType::TimestampTz);
        if !is_whole && !is_numeric && !is_text && !is_moment && of != SqlType::Bool {
            return None;
        }
        let (function, data_type) = match name {
            "count" => (Function::Count, SqlType::Int8),
            "sum" => (Function::Sum, rules::sum(of)?),
            "avg" => (Function::Avg, rules::average(of)?),
            _ if matches!(of, SqlType::Bool | SqlType::Varchar(_)) => return None,
            "min" => (Function::Min, of),
            "max" => (Function::Max, of),
            _ => return None,
        };
        Some(RowAggregate { function, distinct, argument: Some(argument), data_type })
    }

    /// The expression it is of; `None`: of whole rows.
    pub fn argument(&self) -> Option<&RowExpr> {
        self.argument.as_ref()
    }

    /// The aggregate of no rows yet.
    pub fn begin(&self) -> Aggregated<'_> {
        Aggregated { of: self, count: 0, sum: 0, best: Datum::Null, met: HashSet::new() }
    }
}

/// An aggregate of the rows so far.
#[derive(Debug)]
pub struct Aggregated<'a> {
    of: &'a RowAggregate,
    /// Values that are not NULL.
    count: u64,
    /// Of numbers, at the scale of their type.
    sum: i128,
    best: Datum,
    /// Of DISTINCT: the values, as keys.
    met: HashSet<Vec<u8>>,
}

impl Aggregated<'_> {
    /// Takes a row in. Errors: those of the expression, and 22003 for a sum out of range.
    pub fn add(&mut self, row: RowRef<'_>, params: &[Datum]) -> Result<(), SqlError> {
        let Some(argument) = &self.of.argument else {
            self.count += 1;
            return Ok(());
        };
        let value = argument.evaluate(Some(row), params)?;
        if value.is_null() {
            return Ok(());
        }
        if self.of.distinct {
            let mut bytes = Vec::new();
            key::encode(value.as_ref(), argument.data_type, &mut bytes);
            if !self.met.insert(bytes) {
                return Ok(());
            }
        }
        self.count += 1;
        match self.of.function {
            Function::Count => {}
            Function::Sum | Function::Avg => {
                let number = match value {
                    Datum::Int2(v) => v.into(),
                    Datum::Int4(v) => v.into(),
                    Datum::Int8(v) => v.into(),
                    Datum::Numeric(v) => v.unscaled,
                    other => return Err(SqlError::bug(format!("a sum of {other:?}"))),
                };
                self.sum = self.sum.checked_add(number).ok_or_else(decimal::overflow)?;
            }
            Function::Min => self.prefer(value, Ordering::Less),
            Function::Max => self.prefer(value, Ordering::Greater),
        }
        Ok(())
    }

    fn prefer(&mut self, value: Datum, order: Ordering) {
        if self.best.is_null() || compare(value.as_ref(), self.best.as_ref()) == Some(order) {
            self.best = value;
        }
    }

    /// Its value. Errors: 22003.
    pub fn value(self) -> Result<Datum, SqlError> {
        let scale = |t: SqlType| match t {
            SqlType::Numeric { scale, .. } => scale,
            _ => 0,
        };
        Ok(match (self.of.function, self.of.data_type) {
            (Function::Count, _) => Datum::Int8(self.count as i64),
            (Function::Min | Function::Max, _) => self.best,
            _ if self.count == 0 => Datum::Null,
            (Function::Sum, SqlType::Int8) => Datum::Int8(self.sum as i64),
            (Function::Sum, data_type) => {
                Datum::Numeric(Decimal { unscaled: decimal::bounded(self.sum)?, scale: scale(data_type) })
            }
            (Function::Avg, data_type) => {
                let of = Decimal { unscaled: self.sum, scale: self.of.argument.as_ref().map_or(0, |e| scale(e.data_type)) };
                Datum::Numeric(decimal::average(of, self.count, scale(data_type))?)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use types::{RowLayout, text};

    use super::*;

    fn aggregate(name: &str, distinct: bool, of: SqlType, values: &[Option<&str>]) -> String {
        let aggregate = RowAggregate::new(name, distinct, RowExpr::column(0, of)).unwrap();
        let layout = RowLayout::new(&[of]);
        let mut found = aggregate.begin();
        for value in values {
            let row = layout.encode(&[value.map_or(Datum::Null, |v| text::parse(of, v).unwrap())]);
            found.add(layout.read(&row), &[]).unwrap();
        }
        let value = found.value().unwrap();
        if value.is_null() { "NULL".into() } else { text::to_string(value.as_ref()) }
    }

    #[test]
    fn nulls_count_for_nothing_and_no_value_is_null() {
        for name in ["sum", "avg", "min", "max"] {
            assert_eq!(aggregate(name, false, SqlType::Int4, &[]), "NULL", "{name}");
            assert_eq!(aggregate(name, false, SqlType::Int4, &[None]), "NULL", "{name}");
        }
        assert_eq!(aggregate("count", false, SqlType::Int4, &[None, Some("3")]), "1");
        assert_eq!(aggregate("avg", false, SqlType::Int4, &[None, Some("3")]), "3.0000000000000000");
    }

    #[test]
    fn sums_leave_the_type_of_their_values() {
        let most = i64::MAX.to_string();
        assert_eq!(aggregate("sum", false, SqlType::Int8, &[Some(&most), Some(&most)]), "18446744073709551614");
        assert_eq!(aggregate("sum", false, SqlType::Int4, &[Some("2147483647"), Some("1")]), "2147483648");
        let money = SqlType::Numeric { precision: 6, scale: 2 };
        assert_eq!(aggregate("sum", false, money, &[Some("9999.99"), Some("0.01")]), "10000.00");
        assert_eq!(aggregate("avg", false, money, &[Some("1.00"), Some("2.01")]), "1.5050000000000000");
        assert_eq!(aggregate("avg", false, SqlType::Int8, &[Some("1"), Some("1"), Some("0")]), "0.6666666666666667");
    }

    #[test]
    fn a_sum_beyond_the_digits_of_a_numeric_is_an_error() {
        let all = SqlType::Numeric { precision: 38, scale: 0 };
        let aggregate = RowAggregate::new("sum", false, RowExpr::column(0, all)).unwrap();
        let layout = RowLayout::new(&[all]);
        let row = layout.encode(&[Datum::Numeric(Decimal { unscaled: 10i128.pow(38) - 1, scale: 0 })]);
        let mut found = aggregate.begin();
        found.add(layout.read(&row), &[]).unwrap();
        let outcome = found.add(layout.read(&row), &[]).and_then(|()| found.value());
        assert_eq!(outcome.unwrap_err().state, types::SqlState::NUMERIC_VALUE_OUT_OF_RANGE);
    }

    #[test]
    fn distinct_values_count_once() {
        let values = [Some("a"), Some("b"), Some("a"), None];
        assert_eq!(aggregate("count", true, SqlType::Text, &values), "2");
        assert_eq!(aggregate("max", true, SqlType::Text, &values), "b");
        assert_eq!(aggregate("sum", true, SqlType::Int2, &[Some("2"), Some("2"), Some("3")]), "5");
    }

    #[test]
    fn what_is_not_exact_is_not_bound() {
        for (name, of) in [
            ("sum", SqlType::Float8),
            ("avg", SqlType::Float4),
            ("min", SqlType::Char(3)),
            ("max", SqlType::Bool),
            ("min", SqlType::Varchar(3)),
        ] {
            assert!(RowAggregate::new(name, false, RowExpr::column(0, of)).is_none(), "{name} of {of}");
        }
    }
}

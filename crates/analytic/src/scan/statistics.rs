//! What is known of a table's rows, for choosing plans: never exact, never an answer.
//!
//! Rows come from delta and segments; distinct values, smallest and greatest value, and NULLs of a column from the segments'
//! sketches. Without segments a key is taken to be unique and everything else to repeat.

use catalog::Table;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::scalar::ScalarValue;
use types::{Datum, SqlType, arrow_form};

use crate::source::TableSource;

/// Share of rows that a condition nobody can judge is taken to keep.
const UNKNOWN: f64 = 0.25;
/// Share of rows that a pattern is taken to match.
const LIKE: f64 = 0.08;
/// Share of rows that `a < b` of two columns is taken to keep.
const COMPARISON: f64 = 0.4;
/// Average bytes of a string.
const STRING_BYTES: f64 = 32.0;

/// Estimates of one table at one moment.
#[derive(Debug)]
pub(crate) struct TableEstimates {
    rows: f64,
    columns: Vec<ColumnEstimates>,
}

#[derive(Clone, Debug)]
struct ColumnEstimates {
    name: String,
    sql_type: SqlType,
    distinct: f64,
    null_share: f64,
    min: Option<Datum>,
    max: Option<Datum>,
    bytes: f64,
}

impl TableEstimates {
    pub(crate) fn new(definition: &Table, table: &dyn TableSource) -> TableEstimates {
        let rows = table.rows_estimate() as f64;
        let hidden = definition.hidden();
        let key = definition.primary_key.as_ref().map(|key| key.columns.as_slice()).unwrap_or_default();
        let columns = definition.columns.iter().enumerate().map(|(at, column)| {
            let known = table.column_statistics(at + hidden);
            let is_key = key == [at];
            let distinct = match &known {
                _ if is_key => rows,
                Some(known) => (known.distinct as f64).min(rows),
                None => rows.sqrt() * 4.0,
            };
            ColumnEstimates {
                name: column.name.clone(),
                sql_type: column.data_type,
                distinct: distinct.clamp(1.0, rows.max(1.0)),
                null_share: known.as_ref().map_or(0.0, |k| if rows > 0.0 { (k.null_count as f64 / rows).min(1.0) } else { 0.0 }),
                min: known.as_ref().and_then(|k| k.min.clone()),
                max: known.as_ref().and_then(|k| k.max.clone()),
                bytes: width(column.data_type),
            }
        });
        TableEstimates { rows, columns: columns.collect() }
    }

    /// Rows, before any condition.
    pub(crate) fn rows(&self) -> f64 {
        self.rows
    }

    /// Different values of a column.
    pub(crate) fn distinct(&self, column: &str) -> Option<f64> {
        self.column(column).map(|c| c.distinct)
    }

    /// Bytes of a column's value in memory.
    pub(crate) fn bytes(&self, column: &str) -> Option<f64> {
        self.column(column).map(|c| c.bytes)
    }

    fn column(&self, name: &str) -> Option<&ColumnEstimates> {
        self.columns.iter().find(|c| c.name == name)
    }

    /// The share of rows that satisfies all conditions, over 0 up to 1.
    pub(crate) fn selectivity(&self, conditions: &[Expr]) -> f64 {
        let parts: Vec<&Expr> = conditions.iter().flat_map(split_conjunction).collect();
        let mut share = 1.0;
        let mut ranges: Vec<(&str, f64, f64)> = Vec::new();
        for part in parts {
            match self.bound(part) {
                // Two bounds of one column make one range.
                Some((column, low, high)) => match ranges.iter_mut().find(|(name, ..)| *name == column) {
                    Some((_, known_low, known_high)) => {
                        *known_low = known_low.max(low);
                        *known_high = known_high.min(high);
                    }
                    None => ranges.push((column, low, high)),
                },
                None => share *= self.share(part),
            }
        }
        for (_, low, high) in ranges {
            share *= (high - low).clamp(0.0, 1.0);
        }
        share.clamp(0.5 / self.rows.max(1.0), 1.0)
    }

    /// `column < constant` and its like as the part of the column's range, 0 to 1, that remains.
    fn bound<'e>(&self, condition: &'e Expr) -> Option<(&'e str, f64, f64)> {
        match condition {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let (column, op, value) = match (uncast(left), uncast(right)) {
                    (Expr::Column(column), Expr::Literal(value, _)) => (column, *op, value),
                    (Expr::Literal(value, _), Expr::Column(column)) => (column, op.swap()?, value),
                    _ => return None,
                };
                let at = self.place(self.column(&column.name)?, value)?;
                match op {
                    Operator::Lt | Operator::LtEq => Some((&column.name, 0.0, at)),
                    Operator::Gt | Operator::GtEq => Some((&column.name, at, 1.0)),
                    _ => None,
                }
            }
            Expr::Between(between) if !between.negated => {
                let (Expr::Column(column), Expr::Literal(low, _), Expr::Literal(high, _)) =
                    (uncast(&between.expr), uncast(&between.low), uncast(&between.high))
                else {
                    return None;
                };
                let known = self.column(&column.name)?;
                Some((&column.name, self.place(known, low)?, self.place(known, high)?))
            }
            _ => None,
        }
    }

    /// Where a value lies between a column's smallest (0) and greatest (1).
    fn place(&self, column: &ColumnEstimates, value: &ScalarValue) -> Option<f64> {
        let (min, max) = (number(column.min.as_ref()?)?, number(column.max.as_ref()?)?);
        let value = number(&expr::arrow_driver::datum(value, column.sql_type)?)?;
        if max <= min {
            return Some(if value < min {
                0.0
            } else if value > max {
                1.0
            } else {
                0.5
            });
        }
        Some(((value - min) / (max - min)).clamp(0.0, 1.0))
    }

    fn share(&self, condition: &Expr) -> f64 {
        match condition {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
                Operator::And => self.share(left) * self.share(right),
                Operator::Or => {
                    let (a, b) = (self.selectivity(std::slice::from_ref(left)), self.selectivity(std::slice::from_ref(right)));
                    1.0 - (1.0 - a) * (1.0 - b)
                }
                Operator::Eq | Operator::IsNotDistinctFrom => self.equality(left, right),
                Operator::NotEq | Operator::IsDistinctFrom => 1.0 - self.equality(left, right),
                Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq => COMPARISON,
                Operator::LikeMatch | Operator::ILikeMatch | Operator::RegexMatch | Operator::RegexIMatch => LIKE,
                Operator::NotLikeMatch | Operator::NotILikeMatch | Operator::RegexNotMatch | Operator::RegexNotIMatch => {
                    1.0 - LIKE
                }
                _ => UNKNOWN,
            },
            Expr::InList(list) => {
                let one = match uncast(&list.expr) {
                    Expr::Column(column) => self.column(&column.name).map_or(0.05, |c| 1.0 / c.distinct),
                    _ => 0.05,
                };
                let any = (one * list.list.len() as f64).min(1.0);
                if list.negated { 1.0 - any } else { any }
            }
            Expr::Like(like) => {
                if like.negated {
                    1.0 - LIKE
                } else {
                    LIKE
                }
            }
            Expr::Not(inner) => 1.0 - self.selectivity(std::slice::from_ref(inner)),
            Expr::IsNull(inner) => self.null_share(inner),
            Expr::IsNotNull(inner) => 1.0 - self.null_share(inner),
            Expr::Literal(ScalarValue::Boolean(Some(value)), _) => f64::from(u8::from(*value)),
            Expr::Column(_) => 0.5,
            _ => UNKNOWN,
        }
    }

    fn equality(&self, left: &Expr, right: &Expr) -> f64 {
        match (uncast(left), uncast(right)) {
            (Expr::Column(column), Expr::Literal(..)) | (Expr::Literal(..), Expr::Column(column)) => {
                self.column(&column.name).map_or(0.05, |c| (1.0 - c.null_share) / c.distinct)
            }
            (Expr::Column(a), Expr::Column(b)) => {
                let distinct = |name: &str| self.column(name).map_or(20.0, |c| c.distinct);
                1.0 / distinct(&a.name).max(distinct(&b.name))
            }
            _ => 0.05,
        }
    }

    fn null_share(&self, expr: &Expr) -> f64 {
        match uncast(expr) {
            Expr::Column(column) => self.column(&column.name).map_or(0.05, |c| c.null_share),
            _ => 0.05,
        }
    }

    /// For DataFusion: of the columns at `projection`, when `selectivity` of the rows are left. Everything inexact.
    pub(crate) fn statistics(&self, projection: &[usize], selectivity: f64) -> Statistics {
        let rows = (self.rows * selectivity).ceil();
        let known: Vec<Option<&ColumnEstimates>> = projection.iter().map(|at| self.columns.get(*at)).collect();
        let bytes: f64 = known.iter().map(|c| c.map_or(STRING_BYTES, |c| c.bytes)).sum::<f64>() * rows;
        let value = |datum: &Option<Datum>, t: SqlType| match datum {
            Some(datum) => Precision::Inexact(expr::arrow_driver::scalar(datum, t)),
            None => Precision::Absent,
        };
        let column_statistics = known
            .iter()
            .map(|column| match column {
                Some(c) => ColumnStatistics {
                    null_count: Precision::Inexact((c.null_share * rows) as usize),
                    min_value: value(&c.min, c.sql_type),
                    max_value: value(&c.max, c.sql_type),
                    sum_value: Precision::Absent,
                    distinct_count: Precision::Inexact(remaining(c.distinct, self.rows, rows) as usize),
                    byte_size: Precision::Inexact((c.bytes * rows) as usize),
                },
                None => ColumnStatistics::new_unknown(),
            })
            .collect();
        Statistics {
            num_rows: Precision::Inexact(rows as usize),
            total_byte_size: Precision::Inexact(bytes as usize),
            column_statistics,
        }
    }
}

/// Different values left when `rows` of `all` rows are left, drawn evenly (Cardenas).
pub(crate) fn remaining(distinct: f64, all: f64, rows: f64) -> f64 {
    if all <= 0.0 || rows >= all || distinct <= 1.0 {
        return distinct;
    }
    (distinct * (1.0 - (1.0 - rows / all).powf(all / distinct))).clamp(1.0, rows.max(1.0))
}

fn uncast(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast(cast) => uncast(&cast.expr),
        Expr::Alias(alias) => uncast(&alias.expr),
        other => other,
    }
}

/// Bytes of a value in Arrow form.
fn width(t: SqlType) -> f64 {
    match arrow_form::data_type(t).primitive_width() {
        Some(bytes) => bytes as f64,
        None if t == SqlType::Bool => 0.125,
        None if t == SqlType::Uuid => 16.0,
        None => match t {
            SqlType::Varchar(n) | SqlType::Char(n) if n <= 12 => 16.0,
            _ => STRING_BYTES,
        },
    }
}

/// A value on a line.
fn number(value: &Datum) -> Option<f64> {
    Some(match value {
        Datum::Int2(v) => f64::from(*v),
        Datum::Int4(v) | Datum::Date(v) => f64::from(*v),
        Datum::Int8(v) | Datum::Time(v) | Datum::Timestamp(v) | Datum::TimestampTz(v) => *v as f64,
        Datum::Float4(v) => f64::from(*v),
        Datum::Float8(v) => *v,
        Datum::Numeric(v) => v.unscaled as f64 / 10f64.powi(v.scale.into()),
        // The first bytes as a number: enough to place a word in a dictionary.
        Datum::Text(v) => v.bytes().chain(std::iter::repeat(0)).take(6).fold(0.0, |sum, byte| sum * 256.0 + f64::from(byte)),
        _ => return None,
    })
    .filter(|v| v.is_finite())
}

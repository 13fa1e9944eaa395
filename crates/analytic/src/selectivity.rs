//! The share of rows that conditions keep, guessed from what is known of their columns. Guesses choose plans; they never answer.
//!
//! 1. Bounds of one column make one range; other conditions are taken to be independent of each other.
//! 2. What is not known has a fixed share, so that a plan without statistics is the same every time.

use datafusion::common::Column;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::scalar::ScalarValue;
use types::{Datum, SqlType};

/// Share of rows that a condition nobody can judge is taken to keep.
const UNKNOWN: f64 = 0.25;
/// Share of rows that a pattern is taken to match.
const LIKE: f64 = 0.08;
/// Share of rows that `a < b` of two columns is taken to keep.
const COMPARISON: f64 = 0.4;
/// Share of rows that `a = b` is taken to keep when nothing is known of either.
const EQUALITY: f64 = 0.05;

/// What is known of a column.
#[derive(Clone, Debug)]
pub(crate) struct ColumnEstimates {
    pub(crate) sql_type: SqlType,
    /// Different values in the rows at hand.
    pub(crate) distinct: f64,
    /// Different values before any condition: what values of other tables are taken to be drawn from too.
    pub(crate) domain: f64,
    pub(crate) null_share: f64,
    pub(crate) min: Option<Datum>,
    pub(crate) max: Option<Datum>,
    /// Bytes of a value in memory.
    pub(crate) bytes: f64,
}

/// Finds what is known of a column.
pub(crate) type Known<'a> = &'a dyn Fn(&Column) -> Option<&'a ColumnEstimates>;

/// The share of `rows` rows that satisfies all conditions, over 0 up to 1.
pub(crate) fn selectivity(conditions: &[Expr], rows: f64, known: Known<'_>) -> f64 {
    Judge { rows, known }.all(conditions)
}

struct Judge<'a> {
    rows: f64,
    known: Known<'a>,
}

impl<'a> Judge<'a> {
    fn all(&self, conditions: &[Expr]) -> f64 {
        let parts: Vec<&Expr> = conditions.iter().flat_map(split_conjunction).collect();
        let mut share = 1.0;
        let mut ranges: Vec<(&Column, f64, f64)> = Vec::new();
        for part in parts {
            match self.bound(part) {
                Some((column, low, high)) => match ranges.iter_mut().find(|(known, ..)| *known == column) {
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

    fn one(&self, condition: &Expr) -> f64 {
        self.all(std::slice::from_ref(condition))
    }

    fn column(&self, expr: &Expr) -> Option<&'a ColumnEstimates> {
        match uncast(expr) {
            Expr::Column(column) => (self.known)(column),
            _ => None,
        }
    }

    /// `column < constant` and its like as the part of the column's range, 0 to 1, that remains.
    fn bound<'e>(&self, condition: &'e Expr) -> Option<(&'e Column, f64, f64)> {
        match condition {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let (column, op, value) = match (uncast(left), uncast(right)) {
                    (Expr::Column(column), Expr::Literal(value, _)) => (column, *op, value),
                    (Expr::Literal(value, _), Expr::Column(column)) => (column, op.swap()?, value),
                    _ => return None,
                };
                let at = place((self.known)(column)?, value)?;
                match op {
                    Operator::Lt | Operator::LtEq => Some((column, 0.0, at)),
                    Operator::Gt | Operator::GtEq => Some((column, at, 1.0)),
                    _ => None,
                }
            }
            Expr::Between(between) if !between.negated => {
                let (Expr::Column(column), Expr::Literal(low, _), Expr::Literal(high, _)) =
                    (uncast(&between.expr), uncast(&between.low), uncast(&between.high))
                else {
                    return None;
                };
                let known = (self.known)(column)?;
                Some((column, place(known, low)?, place(known, high)?))
            }
            _ => None,
        }
    }

    fn share(&self, condition: &Expr) -> f64 {
        match condition {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
                Operator::And => self.share(left) * self.share(right),
                Operator::Or => 1.0 - (1.0 - self.one(left)) * (1.0 - self.one(right)),
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
                let one = self.column(&list.expr).map_or(EQUALITY, |c| 1.0 / c.distinct);
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
            Expr::Not(inner) => 1.0 - self.one(inner),
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
                (self.known)(column).map_or(EQUALITY, |c| (1.0 - c.null_share) / c.distinct)
            }
            (Expr::Column(a), Expr::Column(b)) => {
                let distinct = |column: &Column| (self.known)(column).map_or(1.0 / EQUALITY, |c| c.distinct);
                1.0 / distinct(a).max(distinct(b))
            }
            _ => EQUALITY,
        }
    }

    fn null_share(&self, expr: &Expr) -> f64 {
        self.column(expr).map_or(EQUALITY, |c| c.null_share)
    }
}

/// Where a value lies between a column's smallest (0) and greatest (1).
fn place(column: &ColumnEstimates, value: &ScalarValue) -> Option<f64> {
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

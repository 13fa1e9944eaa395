//! Sums, differences and products of columns that are kept as whole numbers, over many rows at once, in 64 bits.
//!
//! ```text
//! physical expressions --> steps, each different one once          once for a plan
//! what the columns' numbers lie between --> what each step's do    for each unit: all of them within 64 bits, or not this way
//! columns --> steps, one after the other                           for each run of rows
//! ```
//!
//! 1. No step is checked while it is computed: whatever the rows are, nothing overflows (`Arithmetic::bounds`).
//! 2. The numbers are those that `expr` gives: digits of numerics, at the scale of the result's type.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};

use crate::scan::numbers::number;

/// From the smallest to the largest number there may be.
pub(super) type Bounds = (i128, i128);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Add,
    Subtract,
    Multiply,
}

/// A number for each row.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// Of a column of the scan's output.
    Column(usize),
    Constant(i64),
    Operation {
        op: Op,
        left: usize,
        right: usize,
        left_factor: i64,
        right_factor: i64,
        limits: Bounds,
    },
}

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Arithmetic {
    steps: Vec<Step>,
}

/// The numbers of every step in a run of rows.
#[derive(Default)]
pub(super) struct Numbers {
    steps: Vec<Vec<i64>>,
}

/// Digits behind the point of a type kept as whole numbers.
fn scale(t: &DataType) -> Option<u32> {
    match t {
        DataType::Int16 | DataType::Int32 | DataType::Int64 => Some(0),
        DataType::Decimal128(_, scale) => u32::try_from(*scale).ok(),
        _ => None,
    }
}

/// What a value of a type may be.
fn limits(t: &DataType) -> Bounds {
    match t {
        DataType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        _ => (i64::MIN.into(), i64::MAX.into()),
    }
}

impl Arithmetic {
    /// Adds the steps of an expression over a scan's output; which of them is the expression. `None`: it is something else, and none of its
    /// parts is added.
    pub(super) fn add(&mut self, expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Option<usize> {
        let before = self.steps.len();
        let added = self.add_parts(expr, schema);
        if added.is_none() {
            self.steps.truncate(before);
        }
        added
    }

    fn add_parts(&mut self, expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Option<usize> {
        let t = expr.data_type(schema).ok()?;
        let result_scale = scale(&t)?;
        if let Some(column) = expr.downcast_ref::<Column>() {
            return Some(self.step(Step::Column(column.index())));
        }
        if let Some(literal) = expr.downcast_ref::<Literal>() {
            let value = i64::try_from(number(literal.value())?).ok()?;
            return Some(self.step(Step::Constant(value)));
        }
        let call = expr.downcast_ref::<ScalarFunctionExpr>()?;
        let op = match call.fun().name() {
            "+" => Op::Add,
            "-" => Op::Subtract,
            "*" => Op::Multiply,
            _ => return None,
        };
        let [left, right] = call.args() else { return None };
        let of = |side: &Arc<dyn PhysicalExpr>| scale(&side.data_type(schema).ok()?);
        let (left_scale, right_scale) = (of(left)?, of(right)?);
        let (left_factor, right_factor) = match op {
            Op::Multiply if result_scale == left_scale + right_scale => (1, 1),
            Op::Multiply => return None,
            _ => {
                let factor = |scale: u32| 10i64.checked_pow(result_scale.checked_sub(scale)?);
                (factor(left_scale)?, factor(right_scale)?)
            }
        };
        let (left, right) = (self.add_parts(left, schema)?, self.add_parts(right, schema)?);
        Some(self.step(Step::Operation { op, left, right, left_factor, right_factor, limits: limits(&t) }))
    }

    fn step(&mut self, step: Step) -> usize {
        match self.steps.iter().position(|known| *known == step) {
            Some(at) => at,
            None => {
                self.steps.push(step);
                self.steps.len() - 1
            }
        }
    }

    /// The columns it reads.
    pub(super) fn columns(&self) -> impl Iterator<Item = usize> + '_ {
        self.steps.iter().filter_map(|step| match step {
            Step::Column(column) => Some(*column),
            _ => None,
        })
    }

    /// What the numbers of each step lie between, where those of a column lie between `of_column`; `None`: some may be beyond 64 bits,
    /// or what the result's type can hold.
    pub(super) fn bounds(&self, of_column: impl Fn(usize) -> Bounds) -> Option<Vec<Bounds>> {
        let mut all: Vec<Bounds> = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let (bounds, (least, most)) = match step {
                Step::Column(column) => (of_column(*column), limits(&DataType::Int64)),
                Step::Constant(value) => (((*value).into(), (*value).into()), limits(&DataType::Int64)),
                Step::Operation { op, left, right, left_factor, right_factor, limits } => {
                    let scaled = |(low, high): Bounds, factor: i64| (low * i128::from(factor), high * i128::from(factor));
                    // Of at most 64 bits each, so nothing here leaves 128.
                    let (a, b) = (scaled(all[*left], *left_factor), scaled(all[*right], *right_factor));
                    for (low, high) in [a, b] {
                        i64::try_from(low).and(i64::try_from(high)).ok()?;
                    }
                    let bounds = match op {
                        Op::Add => (a.0 + b.0, a.1 + b.1),
                        Op::Subtract => (a.0 - b.1, a.1 - b.0),
                        Op::Multiply => {
                            let corners = [a.0 * b.0, a.0 * b.1, a.1 * b.0, a.1 * b.1];
                            (corners.into_iter().min()?, corners.into_iter().max()?)
                        }
                    };
                    (bounds, *limits)
                }
            };
            if bounds.0 < least || bounds.1 > most {
                return None;
            }
            all.push(bounds);
        }
        Some(all)
    }

    /// Computes every step of `rows` rows; `column` writes the numbers of a column.
    pub(super) fn run(&self, rows: usize, numbers: &mut Numbers, mut column: impl FnMut(usize, &mut Vec<i64>)) {
        numbers.steps.resize_with(self.steps.len(), Vec::new);
        for (at, step) in self.steps.iter().enumerate() {
            let mut out = std::mem::take(&mut numbers.steps[at]);
            out.clear();
            match step {
                Step::Column(from) => column(*from, &mut out),
                Step::Constant(value) => out.resize(rows, *value),
                Step::Operation { op, left, right, left_factor, right_factor, .. } => {
                    let pairs = numbers.steps[*left].iter().zip(&numbers.steps[*right]);
                    let (fl, fr) = (*left_factor, *right_factor);
                    match (op, fl == 1 && fr == 1) {
                        (Op::Add, true) => out.extend(pairs.map(|(a, b)| a.wrapping_add(*b))),
                        (Op::Add, false) => out.extend(pairs.map(|(a, b)| a.wrapping_mul(fl).wrapping_add(b.wrapping_mul(fr)))),
                        (Op::Subtract, true) => out.extend(pairs.map(|(a, b)| a.wrapping_sub(*b))),
                        (Op::Subtract, false) => {
                            out.extend(pairs.map(|(a, b)| a.wrapping_mul(fl).wrapping_sub(b.wrapping_mul(fr))));
                        }
                        (Op::Multiply, _) => out.extend(pairs.map(|(a, b)| a.wrapping_mul(*b))),
                    }
                }
            }
            numbers.steps[at] = out;
        }
    }
}

impl Numbers {
    /// The numbers of a step.
    pub(super) fn of(&self, step: usize) -> &[i64] {
        &self.steps[step]
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;
    use datafusion::logical_expr::{ColumnarValue, Operator, Volatility, create_udf};
    use datafusion::physical_expr::expressions::{binary, col, lit};

    use super::*;

    /// A sum of the kind that `expr` plans.
    fn sum(left: Arc<dyn PhysicalExpr>, right: Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
        let none = Arc::new(|args: &[ColumnarValue]| Ok(args[0].clone()));
        let plus = create_udf("+", vec![DataType::Int64; 2], DataType::Int64, Volatility::Immutable, none);
        let field = Arc::new(Field::new("+", DataType::Int64, true));
        Arc::new(ScalarFunctionExpr::new("+", Arc::new(plus), vec![left, right], field, Arc::default()))
    }

    #[test]
    fn what_is_something_else_leaves_nothing() {
        let schema = Schema::new(vec![Field::new("a", DataType::Int64, false), Field::new("b", DataType::Int64, false)]);
        let (a, b) = (col("a", &schema).unwrap(), col("b", &schema).unwrap());
        let mut arithmetic = Arithmetic::default();
        assert_eq!(arithmetic.add(&sum(Arc::clone(&a), lit(1i64)), &schema), Some(2));
        let other = binary(Arc::clone(&a), Operator::BitwiseAnd, lit(1i64), &schema).unwrap();
        assert_eq!(arithmetic.add(&sum(b, other), &schema), None);
        assert_eq!(arithmetic.columns().collect::<Vec<_>>(), [0]);
        assert_eq!(arithmetic.add(&sum(a, lit(1i64)), &schema), Some(2));
    }

    #[test]
    fn what_may_leave_its_type_has_no_bounds() {
        let steps = |op| {
            let operation =
                Step::Operation { op, left: 0, right: 1, left_factor: 1, right_factor: 1, limits: limits(&DataType::Int32) };
            Arithmetic { steps: vec![Step::Column(0), Step::Column(1), operation] }
        };
        let most = i128::from(i32::MAX);
        for (op, a, b, found) in [
            (Op::Add, (-5, 7), (1, 2), Some((-4, 9))),
            (Op::Add, (0, most), (0, 1), None),
            (Op::Subtract, (-5, 7), (1, 2), Some((-7, 6))),
            (Op::Subtract, (-most, 0), (0, 2), None),
            (Op::Multiply, (-3, 2), (-5, 4), Some((-12, 15))),
            (Op::Multiply, (-65_536, 0), (0, 65_536), None),
            (Op::Add, (i128::MIN, i128::MAX), (0, 0), None),
        ] {
            let bounds = steps(op).bounds(|column| if column == 0 { a } else { b });
            assert_eq!(bounds.map(|bounds| bounds[2]), found, "{op:?} {a:?} {b:?}");
        }
    }
}

//! Conditions on numbers as ranges of them: what a packed column is compared with.

use std::ops::Range;
use std::sync::Arc;

use arrow::buffer::BooleanBuffer;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};
use segments::Codes;

/// `column op constant`, where both are kept as whole numbers of one unit: the numbers that satisfy it, both ends included, or all but
/// those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NumberRange {
    low: i128,
    high: i128,
    outside: bool,
}

impl NumberRange {
    /// The condition as a range; `None`: it is another.
    pub(super) fn of(expr: &Arc<dyn PhysicalExpr>) -> Option<NumberRange> {
        let binary = expr.downcast_ref::<BinaryExpr>()?;
        let is_column = |side: &Arc<dyn PhysicalExpr>| side.is::<Column>();
        let constant = |side: &Arc<dyn PhysicalExpr>| number(side.downcast_ref::<Literal>()?.value());
        let (op, value) = match (is_column(binary.left()), is_column(binary.right())) {
            (true, false) => (*binary.op(), constant(binary.right())?),
            (false, true) => (binary.op().swap()?, constant(binary.left())?),
            _ => return None,
        };
        let range = |low, high| Some(NumberRange { low, high, outside: false });
        match op {
            Operator::Eq => range(value, value),
            Operator::NotEq => Some(NumberRange { low: value, high: value, outside: true }),
            Operator::Lt => range(i128::MIN, value.checked_sub(1)?),
            Operator::LtEq => range(i128::MIN, value),
            Operator::Gt => range(value.checked_add(1)?, i128::MAX),
            Operator::GtEq => range(value, i128::MAX),
            _ => None,
        }
    }

    /// Which of `rows` satisfy it, whose numbers are `base` and a code.
    pub(super) fn among(&self, base: i64, codes: &Codes, rows: Range<usize>) -> BooleanBuffer {
        let base = i128::from(base);
        // Codes are not below 0, nor beyond 64 bits.
        let low = self.low.saturating_sub(base).clamp(0, i128::from(u64::MAX));
        let high = self.high.saturating_sub(base).min(u64::MAX.into());
        let within = if high < low || self.low.saturating_sub(base) > u64::MAX.into() {
            BooleanBuffer::new_unset(rows.len())
        } else {
            codes.within(rows, low as u64..=high as u64)
        };
        if self.outside { !&within } else { within }
    }
}

/// The number a value is kept as; of other types `None`. Comparisons have both sides of one type, so its unit is the column's.
pub(crate) fn number(value: &ScalarValue) -> Option<i128> {
    Some(match value {
        ScalarValue::Int16(Some(v)) => (*v).into(),
        ScalarValue::Int32(Some(v)) | ScalarValue::Date32(Some(v)) => (*v).into(),
        ScalarValue::Int64(Some(v)) | ScalarValue::Time64Microsecond(Some(v)) | ScalarValue::TimestampMicrosecond(Some(v), _) => {
            (*v).into()
        }
        ScalarValue::Decimal128(Some(v), ..) => *v,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::physical_expr::expressions::{binary, col, lit};

    use super::*;

    #[test]
    fn a_comparison_is_a_range_of_codes() {
        let schema = Schema::new(vec![Field::new("a", DataType::Int64, false)]);
        let codes = Codes::U8(vec![0, 1, 2, 255].into());
        let base = -1;
        let values = [-1i64, 0, 1, 254];
        let ops = [Operator::Eq, Operator::NotEq, Operator::Lt, Operator::LtEq, Operator::Gt, Operator::GtEq];
        for op in ops {
            for constant in [i64::MIN, -2, -1, 0, 1, 2, 253, 254, 255, 1 << 40, i64::MAX] {
                for swapped in [false, true] {
                    let (column, constant_expr) = (col("a", &schema).unwrap(), lit(constant));
                    let expr = match swapped {
                        false => binary(column, op, constant_expr, &schema).unwrap(),
                        true => binary(constant_expr, op.swap().unwrap(), column, &schema).unwrap(),
                    };
                    let found = NumberRange::of(&expr).unwrap().among(base, &codes, 0..4);
                    let expected = values.map(|v| match op {
                        Operator::Eq => v == constant,
                        Operator::NotEq => v != constant,
                        Operator::Lt => v < constant,
                        Operator::LtEq => v <= constant,
                        Operator::Gt => v > constant,
                        _ => v >= constant,
                    });
                    assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{op} {constant} {swapped}");
                }
            }
        }
    }
}

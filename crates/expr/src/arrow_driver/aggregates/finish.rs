//! From sums to results: one value, or one per group.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Decimal128Array, Float32Array, Float64Array, Int64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue};

use super::{Finish, FromSum};

/// The results for sums that are whole numbers.
fn whole(
    finish: &Finish,
    sums: impl Iterator<Item = i128>,
    counts: Option<&[u64]>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    let is_null = |at: usize| nulls.as_ref().is_some_and(|nulls| nulls.is_null(at));
    let count = |at: usize| counts.and_then(|counts| counts.get(at)).copied().unwrap_or(1);
    let values = sums
        .enumerate()
        .map(|(at, sum)| if is_null(at) { Ok(0) } else { finish.whole(sum, count(at)) })
        .collect::<Result<Vec<i128>>>()?;
    let array = Decimal128Array::new(values.into(), nulls);
    Ok(Arc::new(array.with_data_type(finish.result.clone())))
}

fn decimal(finish: &Finish, value: Option<i128>) -> Result<ScalarValue> {
    match finish.result {
        DataType::Decimal128(precision, scale) => Ok(ScalarValue::Decimal128(value, precision, scale)),
        _ => Ok(ScalarValue::Int64(value.map(|v| v as i64))),
    }
}

impl FromSum for Int64Type {
    fn scalar(finish: &Finish, sum: i64, count: u64) -> Result<ScalarValue> {
        decimal(finish, Some(finish.whole(sum.into(), count)?))
    }

    fn array(finish: &Finish, sums: Vec<i64>, counts: Option<&[u64]>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        match finish.result {
            DataType::Int64 => Ok(Arc::new(Int64Array::new(sums.into(), nulls))),
            _ => whole(finish, sums.into_iter().map(i128::from), counts, nulls),
        }
    }
}

impl FromSum for Decimal128Type {
    fn scalar(finish: &Finish, sum: i128, count: u64) -> Result<ScalarValue> {
        decimal(finish, Some(finish.whole(sum, count)?))
    }

    fn array(finish: &Finish, sums: Vec<i128>, counts: Option<&[u64]>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        whole(finish, sums.into_iter(), counts, nulls)
    }
}

impl FromSum for Float64Type {
    fn scalar(finish: &Finish, sum: f64, count: u64) -> Result<ScalarValue> {
        let value = finish.float(sum, count);
        Ok(match finish.result {
            DataType::Float32 => ScalarValue::Float32(Some(value as f32)),
            _ => ScalarValue::Float64(Some(value)),
        })
    }

    fn array(finish: &Finish, sums: Vec<f64>, counts: Option<&[u64]>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let count = |at: usize| counts.and_then(|counts| counts.get(at)).copied().unwrap_or(1);
        let values = sums.into_iter().enumerate().map(|(at, sum)| finish.float(sum, count(at)));
        Ok(match finish.result {
            DataType::Float32 => {
                let values: Vec<f32> = values.map(|v| v as f32).collect();
                Arc::new(Float32Array::new(values.into(), nulls))
            }
            _ => {
                let values: Vec<f64> = values.collect();
                let array = Float64Array::new(values.into(), nulls);
                debug_assert_eq!(array.data_type(), &finish.result);
                Arc::new(array)
            }
        })
    }
}

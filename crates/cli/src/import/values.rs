//! Values that an Arrow type has and its SQL type has not: they are refused, never stored as something else.
//!
//! ```text
//! decimal256 of more than 38 digits      text with a byte of 0
//! a time past 24:00                      a date or timestamp before 4713 BC, or after what 64 bits of microseconds hold
//! ```
//!
//! 1. The greatest and the least date and timestamp are infinity, as in what is exported.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Decimal256Type, TimeUnit};
use types::{Datum, Interval, SqlType, calendar};

/// Of text with a byte of 0.
pub(super) const NUL_BYTE: &str = "invalid byte sequence for encoding \"UTF8\": 0x00";

/// 38 digits.
const DECIMAL_MAX: i128 = 10i128.pow(38) - 1;

/// Why a value that was read from `array` is none of SQL's.
pub(super) fn refusal(array: &ArrayRef, row: usize, value: &Datum) -> Option<String> {
    let message = match value {
        Datum::Text(text) if text.contains('\0') => NUL_BYTE,
        Datum::Time(micros) if !is_time(*micros) => "time out of range",
        Datum::Date(days) if !is_date(*days) => "date out of range",
        Datum::Timestamp(micros) | Datum::TimestampTz(micros) if !is_timestamp(*micros) => "timestamp out of range",
        // What did not fit as microseconds is as far as they go.
        Datum::Timestamp(micros) | Datum::TimestampTz(micros) if calendar::is_infinite_timestamp(*micros) && !is_exact(array) => {
            "timestamp out of range"
        }
        Datum::Interval(v) if v.micros.unsigned_abs() == Interval::MICROS_MAX.unsigned_abs() && !is_exact(array) => {
            "interval out of range"
        }
        Datum::Numeric(_) if !is_numeric(array, row) => "numeric field overflow",
        _ => return None,
    };
    Some(message.to_owned())
}

/// Whether none of a column that has its SQL type's form already is [`refusal`]'s, or a float that `datum_at` changes.
pub(super) fn are_all_of(array: &ArrayRef, t: SqlType) -> bool {
    use arrow::datatypes::{Date32Type, Float32Type, Float64Type, Time64MicrosecondType, TimestampMicrosecondType};
    match t {
        SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_) => {
            array.as_string_view().iter().flatten().all(|text| !text.as_bytes().contains(&0))
        }
        SqlType::Float4 => array.as_primitive::<Float32Type>().values().iter().all(|v| !v.is_nan()),
        SqlType::Float8 => array.as_primitive::<Float64Type>().values().iter().all(|v| !v.is_nan()),
        SqlType::Time => array.as_primitive::<Time64MicrosecondType>().iter().flatten().all(is_time),
        SqlType::Date => array.as_primitive::<Date32Type>().iter().flatten().all(is_date),
        SqlType::Timestamp | SqlType::TimestampTz => {
            array.as_primitive::<TimestampMicrosecondType>().iter().flatten().all(is_timestamp)
        }
        _ => true,
    }
}

/// Whether values of an array become microseconds without being cut at the ends.
fn is_exact(array: &ArrayRef) -> bool {
    match array.data_type() {
        DataType::Timestamp(unit, _) => matches!(unit, TimeUnit::Microsecond | TimeUnit::Nanosecond),
        DataType::Duration(unit) => *unit == TimeUnit::Nanosecond,
        data_type => *data_type != DataType::Date64,
    }
}

fn is_time(micros: i64) -> bool {
    (0..=calendar::DAY).contains(&micros)
}

fn is_date(days: i32) -> bool {
    calendar::is_infinite_date(days) || (calendar::DATE_MIN..=calendar::DATE_MAX).contains(&days)
}

fn is_timestamp(micros: i64) -> bool {
    calendar::is_infinite_timestamp(micros) || (calendar::TIMESTAMP_MIN..=calendar::TIMESTAMP_MAX).contains(&micros)
}

fn is_numeric(array: &ArrayRef, row: usize) -> bool {
    match array.data_type() {
        DataType::Decimal256(_, _) => {
            let value = array.as_primitive::<Decimal256Type>().value(row).to_i128();
            value.is_some_and(|value| (-DECIMAL_MAX..=DECIMAL_MAX).contains(&value))
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        Date32Array, Decimal256Array, DurationSecondArray, StringViewArray, Time64MicrosecondArray, TimestampMicrosecondArray,
        TimestampSecondArray,
    };
    use arrow::datatypes::i256;
    use types::arrow_form;

    use super::*;

    #[test]
    fn what_no_sql_type_has_is_refused() {
        let numeric = SqlType::Numeric { precision: 38, scale: 2 };
        let wide = Decimal256Array::from(vec![i256::from_i128(-DECIMAL_MAX), i256::from_i128(DECIMAL_MAX + 1), i256::MAX]);
        let seconds = |values: Vec<i64>| Arc::new(TimestampSecondArray::from(values));
        let cases: [(SqlType, ArrayRef, &[bool]); 7] = [
            (SqlType::Timestamp, seconds(vec![1, i64::MAX, i64::MIN, 10_000_000_000_000]), &[true, false, false, false]),
            (
                SqlType::Interval,
                Arc::new(DurationSecondArray::from(vec![1, i64::MAX, 10_000_000_000_000])),
                &[true, false, false],
            ),
            (SqlType::Text, Arc::new(StringViewArray::from(vec!["a", "a\0b"])), &[true, false]),
            (
                SqlType::Time,
                Arc::new(Time64MicrosecondArray::from(vec![0, calendar::DAY, calendar::DAY + 1, -1])),
                &[true, true, false, false],
            ),
            (SqlType::Date, Arc::new(Date32Array::from(vec![i32::MAX, i32::MIN, i32::MIN + 1])), &[true, true, false]),
            (
                SqlType::Timestamp,
                Arc::new(TimestampMicrosecondArray::from(vec![i64::MAX, 0, i64::MIN + 1])),
                &[true, true, false],
            ),
            (numeric, Arc::new(wide.with_precision_and_scale(50, 2).unwrap()), &[true, false, false]),
        ];
        for (t, array, good) in cases {
            let found: Vec<bool> =
                (0..array.len()).map(|row| refusal(&array, row, &arrow_form::datum_at(&array, row, t)).is_none()).collect();
            assert_eq!(found, good, "{t:?}");
            let is_own = *array.data_type() == arrow_form::data_type(t);
            assert!(!is_own || t == numeric || !are_all_of(&array, t), "{t:?}");
        }
    }
}

//! One value out of an array, whatever array holds it: for the places that handle single values, not for scans.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType, Float16Type, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalDayTimeType, IntervalMonthDayNanoType, IntervalUnit,
    IntervalYearMonthType, Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};

use crate::datum::{Datum, Decimal, Interval};
use crate::float::{one_nan_f32, one_nan_f64};
use crate::sql_type::SqlType;

/// The value at `row` of an array of [`super::data_type`]`(t)`, or of any other whose [`super::sql_type`] is that of `t`
/// (plain or dictionary-encoded strings, other units of time, ...). Units finer than a microsecond are rounded down; a value
/// that its SQL type cannot hold (a time of day in seconds beyond the range, a 256-bit decimal) saturates.
///
/// An array of a type that has nothing to do with `t`, or a row that does not exist, is a bug of the caller and panics.
pub fn datum_at(array: &dyn Array, row: usize, t: SqlType) -> Datum {
    if array.is_null(row) || *array.data_type() == DataType::Null {
        return Datum::Null;
    }
    match (t, array.data_type()) {
        (_, DataType::Dictionary(_, _)) => {
            let dictionary = array.as_any_dictionary();
            datum_at(dictionary.values(), index_at(dictionary.keys(), row), t)
        }
        (SqlType::Bool, DataType::Boolean) => Datum::Bool(array.as_boolean().value(row)),
        (SqlType::Int2, DataType::Int16) => Datum::Int2(at::<Int16Type>(array, row)),
        (SqlType::Int2, DataType::Int8) => Datum::Int2(at::<Int8Type>(array, row).into()),
        (SqlType::Int2, DataType::UInt8) => Datum::Int2(at::<UInt8Type>(array, row).into()),
        (SqlType::Int4, DataType::Int32) => Datum::Int4(at::<Int32Type>(array, row)),
        (SqlType::Int4, DataType::UInt16) => Datum::Int4(at::<UInt16Type>(array, row).into()),
        (SqlType::Int8, DataType::Int64) => Datum::Int8(at::<Int64Type>(array, row)),
        (SqlType::Int8, DataType::UInt32) => Datum::Int8(at::<UInt32Type>(array, row).into()),
        (SqlType::Float4, DataType::Float32) => Datum::Float4(one_nan_f32(at::<Float32Type>(array, row))),
        (SqlType::Float4, DataType::Float16) => Datum::Float4(one_nan_f32(at::<Float16Type>(array, row).to_f32())),
        (SqlType::Float8, DataType::Float64) => Datum::Float8(one_nan_f64(at::<Float64Type>(array, row))),
        (SqlType::Numeric { scale, .. }, other) => Datum::Numeric(decimal_at(array, row, other, scale)),
        (SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_), DataType::Utf8View) => {
            Datum::Text(array.as_string_view().value(row).into())
        }
        (SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_), DataType::Utf8) => {
            Datum::Text(array.as_string::<i32>().value(row).into())
        }
        (SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_), DataType::LargeUtf8) => {
            Datum::Text(array.as_string::<i64>().value(row).into())
        }
        (SqlType::Bytea, DataType::BinaryView) => Datum::Bytea(array.as_binary_view().value(row).into()),
        (SqlType::Bytea, DataType::Binary) => Datum::Bytea(array.as_binary::<i32>().value(row).into()),
        (SqlType::Bytea, DataType::LargeBinary) => Datum::Bytea(array.as_binary::<i64>().value(row).into()),
        (SqlType::Bytea, DataType::FixedSizeBinary(_)) => Datum::Bytea(array.as_fixed_size_binary().value(row).into()),
        (SqlType::Date, DataType::Date32) => Datum::Date(at::<Date32Type>(array, row)),
        (SqlType::Time, DataType::Time32(_) | DataType::Time64(_)) => Datum::Time(micros_at(array, row)),
        (SqlType::Timestamp, DataType::Timestamp(_, None) | DataType::Date64) => Datum::Timestamp(micros_at(array, row)),
        (SqlType::TimestampTz, DataType::Timestamp(_, _)) => Datum::TimestampTz(micros_at(array, row)),
        (SqlType::Interval, DataType::Interval(_) | DataType::Duration(_)) => Datum::Interval(interval_at(array, row)),
        (SqlType::Uuid, DataType::FixedSizeBinary(16)) => {
            Datum::Uuid(array.as_fixed_size_binary().value(row).try_into().expect("the array's values have 16 bytes"))
        }
        (t, other) => panic!("an array of {other} does not hold values of type {t}"),
    }
}

/// A dictionary's key; a valid one is an index into its values.
fn index_at(keys: &dyn Array, row: usize) -> usize {
    match keys.data_type() {
        DataType::Int8 => at::<Int8Type>(keys, row) as usize,
        DataType::Int16 => at::<Int16Type>(keys, row) as usize,
        DataType::Int32 => at::<Int32Type>(keys, row) as usize,
        DataType::Int64 => at::<Int64Type>(keys, row) as usize,
        DataType::UInt8 => at::<UInt8Type>(keys, row).into(),
        DataType::UInt16 => at::<UInt16Type>(keys, row).into(),
        DataType::UInt32 => at::<UInt32Type>(keys, row) as usize,
        DataType::UInt64 => at::<UInt64Type>(keys, row) as usize,
        other => panic!("a dictionary's keys are integers, not {other}"),
    }
}

fn at<T: ArrowPrimitiveType>(array: &dyn Array, row: usize) -> T::Native {
    array.as_primitive::<T>().value(row)
}

fn decimal_at(array: &dyn Array, row: usize, data_type: &DataType, scale: u8) -> Decimal {
    let (unscaled, from) = match data_type {
        DataType::Decimal128(_, from) => (at::<Decimal128Type>(array, row), *from),
        DataType::Decimal32(_, from) => (at::<Decimal32Type>(array, row).into(), *from),
        DataType::Decimal64(_, from) => (at::<Decimal64Type>(array, row).into(), *from),
        DataType::Decimal256(_, from) => {
            let wide = at::<Decimal256Type>(array, row);
            (wide.to_i128().unwrap_or(if wide.is_negative() { -DECIMAL_MAX } else { DECIMAL_MAX }), *from)
        }
        DataType::UInt64 => (at::<UInt64Type>(array, row).into(), 0),
        other => panic!("an array of {other} does not hold values of type numeric"),
    };
    let shift = i32::from(scale) - i32::from(from);
    let factor = 10i128.pow(shift.unsigned_abs().min(38));
    let unscaled = if shift >= 0 { unscaled.saturating_mul(factor) } else { unscaled / factor };
    Decimal { unscaled: unscaled.clamp(-DECIMAL_MAX, DECIMAL_MAX), scale }
}

/// The greatest unscaled value of 38 digits.
const DECIMAL_MAX: i128 = 10i128.pow(38) - 1;

fn micros_at(array: &dyn Array, row: usize) -> i64 {
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => at::<TimestampMicrosecondType>(array, row),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => at::<TimestampNanosecondType>(array, row).div_euclid(1000),
        DataType::Timestamp(TimeUnit::Millisecond, _) => at::<TimestampMillisecondType>(array, row).saturating_mul(1000),
        DataType::Timestamp(TimeUnit::Second, _) => at::<TimestampSecondType>(array, row).saturating_mul(1_000_000),
        DataType::Date64 => at::<Date64Type>(array, row).saturating_mul(1000),
        DataType::Time64(TimeUnit::Microsecond) => at::<Time64MicrosecondType>(array, row),
        DataType::Time64(_) => at::<Time64NanosecondType>(array, row).div_euclid(1000),
        DataType::Time32(TimeUnit::Second) => i64::from(at::<Time32SecondType>(array, row)) * 1_000_000,
        DataType::Time32(_) => i64::from(at::<Time32MillisecondType>(array, row)) * 1000,
        other => panic!("an array of {other} does not hold times"),
    }
}

fn interval_at(array: &dyn Array, row: usize) -> Interval {
    let of_micros =
        |micros: i64| Interval { months: 0, days: 0, micros: micros.clamp(-Interval::MICROS_MAX, Interval::MICROS_MAX) };
    match array.data_type() {
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let v = at::<IntervalMonthDayNanoType>(array, row);
            Interval { months: v.months, days: v.days, micros: v.nanoseconds.div_euclid(1000) }
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            let v = at::<IntervalDayTimeType>(array, row);
            Interval { months: 0, days: v.days, micros: i64::from(v.milliseconds) * 1000 }
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            Interval { months: at::<IntervalYearMonthType>(array, row), ..Interval::default() }
        }
        DataType::Duration(TimeUnit::Second) => of_micros(at::<DurationSecondType>(array, row).saturating_mul(1_000_000)),
        DataType::Duration(TimeUnit::Millisecond) => of_micros(at::<DurationMillisecondType>(array, row).saturating_mul(1000)),
        DataType::Duration(TimeUnit::Microsecond) => of_micros(at::<DurationMicrosecondType>(array, row)),
        DataType::Duration(TimeUnit::Nanosecond) => of_micros(at::<DurationNanosecondType>(array, row).div_euclid(1000)),
        other => panic!("an array of {other} does not hold intervals"),
    }
}

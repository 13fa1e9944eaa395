//! Values out of Arrow columns, one at a time, without copying them.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeBinaryArray, Float32Array,
    Float64Array, Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray, StringArray, StringViewArray,
    Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, TimeUnit};
use types::{Datum, DatumRef, Decimal, Interval, SqlType, arrow_form};

/// A column with its array's type settled, so that reading a value is one match. Arrays of other types than
/// [`arrow_form::data_type`] gives are read value by value into memory first.
pub(crate) struct ColumnReader<'a> {
    array: &'a ArrayRef,
    values: Values<'a>,
}

enum Values<'a> {
    Bool(&'a BooleanArray),
    Int2(&'a Int16Array),
    Int4(&'a Int32Array),
    Int8(&'a Int64Array),
    Float4(&'a Float32Array),
    Float8(&'a Float64Array),
    Numeric(&'a Decimal128Array, u8),
    TextView(&'a StringViewArray),
    Text(&'a StringArray),
    Bytea(&'a BinaryViewArray),
    Date(&'a Date32Array),
    Time(&'a Time64MicrosecondArray),
    Timestamp(&'a TimestampMicrosecondArray),
    TimestampTz(&'a TimestampMicrosecondArray),
    Interval(&'a IntervalMonthDayNanoArray),
    Uuid(&'a FixedSizeBinaryArray),
    Other(Vec<Datum>),
}

impl<'a> ColumnReader<'a> {
    pub(crate) fn new(array: &'a ArrayRef, t: SqlType) -> ColumnReader<'a> {
        let values = match (t, array.data_type()) {
            (SqlType::Bool, DataType::Boolean) => Values::Bool(array.as_boolean()),
            (SqlType::Int2, DataType::Int16) => Values::Int2(array.as_primitive()),
            (SqlType::Int4, DataType::Int32) => Values::Int4(array.as_primitive()),
            (SqlType::Int8, DataType::Int64) => Values::Int8(array.as_primitive()),
            (SqlType::Float4, DataType::Float32) => Values::Float4(array.as_primitive()),
            (SqlType::Float8, DataType::Float64) => Values::Float8(array.as_primitive()),
            (SqlType::Numeric { scale, .. }, DataType::Decimal128(_, s)) if i16::from(scale) == i16::from(*s) => {
                Values::Numeric(array.as_primitive(), scale)
            }
            (t, DataType::Utf8View) if t.is_string() => Values::TextView(array.as_string_view()),
            (t, DataType::Utf8) if t.is_string() => Values::Text(array.as_string()),
            (SqlType::Bytea, DataType::BinaryView) => Values::Bytea(array.as_binary_view()),
            (SqlType::Date, DataType::Date32) => Values::Date(array.as_primitive()),
            (SqlType::Time, DataType::Time64(TimeUnit::Microsecond)) => Values::Time(array.as_primitive()),
            (SqlType::Timestamp, DataType::Timestamp(TimeUnit::Microsecond, None)) => Values::Timestamp(array.as_primitive()),
            (SqlType::TimestampTz, DataType::Timestamp(TimeUnit::Microsecond, _)) => Values::TimestampTz(array.as_primitive()),
            (SqlType::Interval, DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano)) => {
                Values::Interval(array.as_primitive())
            }
            (SqlType::Uuid, DataType::FixedSizeBinary(16)) => Values::Uuid(array.as_fixed_size_binary()),
            _ => Values::Other((0..array.len()).map(|row| arrow_form::datum_at(array, row, t)).collect()),
        };
        ColumnReader { array, values }
    }

    /// The value of a row, which must exist.
    pub(crate) fn get(&self, row: usize) -> DatumRef<'_> {
        if let Values::Other(values) = &self.values {
            return values.get(row).map_or(DatumRef::Null, Datum::as_ref);
        }
        if self.array.is_null(row) {
            return DatumRef::Null;
        }
        match &self.values {
            Values::Bool(a) => DatumRef::Bool(a.value(row)),
            Values::Int2(a) => DatumRef::Int2(a.value(row)),
            Values::Int4(a) => DatumRef::Int4(a.value(row)),
            Values::Int8(a) => DatumRef::Int8(a.value(row)),
            Values::Float4(a) => DatumRef::Float4(a.value(row)),
            Values::Float8(a) => DatumRef::Float8(a.value(row)),
            Values::Numeric(a, scale) => DatumRef::Numeric(Decimal { unscaled: a.value(row), scale: *scale }),
            Values::TextView(a) => DatumRef::Text(a.value(row)),
            Values::Text(a) => DatumRef::Text(a.value(row)),
            Values::Bytea(a) => DatumRef::Bytea(a.value(row)),
            Values::Date(a) => DatumRef::Date(a.value(row)),
            Values::Time(a) => DatumRef::Time(a.value(row)),
            Values::Timestamp(a) => DatumRef::Timestamp(a.value(row)),
            Values::TimestampTz(a) => DatumRef::TimestampTz(a.value(row)),
            Values::Interval(a) => {
                let v = a.value(row);
                DatumRef::Interval(Interval { months: v.months, days: v.days, micros: v.nanoseconds.div_euclid(1000) })
            }
            Values::Uuid(a) => DatumRef::Uuid(a.value(row).try_into().unwrap_or_default()),
            Values::Other(_) => DatumRef::Null,
        }
    }
}

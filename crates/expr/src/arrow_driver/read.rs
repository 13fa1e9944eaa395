//! Arrays read a value at a time as SQL values, without copying.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeBinaryArray, Float32Array,
    Float64Array, Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray, StringViewArray, Time64MicrosecondArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, IntervalMonthDayNanoType,
    Time64MicrosecondType, TimestampMicrosecondType,
};
use types::{DatumRef, Decimal, Interval, SqlError, SqlType, arrow_form};

/// An array in the Arrow form of its SQL type.
pub(super) enum Reader<'a> {
    Bool(&'a BooleanArray),
    Int2(&'a Int16Array),
    Int4(&'a Int32Array),
    Int8(&'a Int64Array),
    Float4(&'a Float32Array),
    Float8(&'a Float64Array),
    Numeric(&'a Decimal128Array, u8),
    Text(&'a StringViewArray),
    /// `char(n)` where text is wanted: its blanks at the end do not count.
    Blanks(&'a StringViewArray),
    Bytea(&'a BinaryViewArray),
    Date(&'a Date32Array),
    Time(&'a Time64MicrosecondArray),
    Timestamp(&'a TimestampMicrosecondArray),
    TimestampTz(&'a TimestampMicrosecondArray),
    Interval(&'a IntervalMonthDayNanoArray),
    Uuid(&'a FixedSizeBinaryArray),
}

impl<'a> Reader<'a> {
    /// The array as values of type `t`. `from` is the type its field has, which may be `char(n)` where `t` is text.
    pub(super) fn new(array: &'a ArrayRef, t: SqlType, from: Option<SqlType>) -> Result<Reader<'a>, SqlError> {
        if *array.data_type() != arrow_form::data_type(t) {
            return Err(SqlError::bug(format!("an array of {} where {t} is wanted", array.data_type())));
        }
        Ok(match t {
            SqlType::Bool => Reader::Bool(array.as_boolean()),
            SqlType::Int2 => Reader::Int2(array.as_primitive::<Int16Type>()),
            SqlType::Int4 => Reader::Int4(array.as_primitive::<Int32Type>()),
            SqlType::Int8 => Reader::Int8(array.as_primitive::<Int64Type>()),
            SqlType::Float4 => Reader::Float4(array.as_primitive::<Float32Type>()),
            SqlType::Float8 => Reader::Float8(array.as_primitive::<Float64Type>()),
            SqlType::Numeric { scale, .. } => Reader::Numeric(array.as_primitive::<Decimal128Type>(), scale),
            SqlType::Text | SqlType::Varchar(_) if matches!(from, Some(SqlType::Char(_))) => {
                Reader::Blanks(array.as_string_view())
            }
            SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_) => Reader::Text(array.as_string_view()),
            SqlType::Bytea => Reader::Bytea(array.as_binary_view()),
            SqlType::Date => Reader::Date(array.as_primitive::<Date32Type>()),
            SqlType::Time => Reader::Time(array.as_primitive::<Time64MicrosecondType>()),
            SqlType::Timestamp => Reader::Timestamp(array.as_primitive::<TimestampMicrosecondType>()),
            SqlType::TimestampTz => Reader::TimestampTz(array.as_primitive::<TimestampMicrosecondType>()),
            SqlType::Interval => Reader::Interval(array.as_primitive::<IntervalMonthDayNanoType>()),
            SqlType::Uuid => Reader::Uuid(array.as_fixed_size_binary()),
        })
    }

    /// The value at a row.
    #[inline]
    pub(super) fn get(&self, row: usize) -> DatumRef<'a> {
        macro_rules! value {
            ($array:expr, $v:ident => $datum:expr) => {
                if $array.is_null(row) {
                    DatumRef::Null
                } else {
                    let $v = $array.value(row);
                    $datum
                }
            };
        }
        match *self {
            Reader::Bool(a) => value!(a, v => DatumRef::Bool(v)),
            Reader::Int2(a) => value!(a, v => DatumRef::Int2(v)),
            Reader::Int4(a) => value!(a, v => DatumRef::Int4(v)),
            Reader::Int8(a) => value!(a, v => DatumRef::Int8(v)),
            Reader::Float4(a) => value!(a, v => DatumRef::Float4(v)),
            Reader::Float8(a) => value!(a, v => DatumRef::Float8(v)),
            Reader::Numeric(a, scale) => value!(a, v => DatumRef::Numeric(Decimal { unscaled: v, scale })),
            Reader::Text(a) => value!(a, v => DatumRef::Text(v)),
            Reader::Blanks(a) => value!(a, v => DatumRef::Text(v.trim_end_matches(' '))),
            Reader::Bytea(a) => value!(a, v => DatumRef::Bytea(v)),
            Reader::Date(a) => value!(a, v => DatumRef::Date(v)),
            Reader::Time(a) => value!(a, v => DatumRef::Time(v)),
            Reader::Timestamp(a) => value!(a, v => DatumRef::Timestamp(v)),
            Reader::TimestampTz(a) => value!(a, v => DatumRef::TimestampTz(v)),
            Reader::Interval(a) => value!(a, v => {
                DatumRef::Interval(Interval { months: v.months, days: v.days, micros: v.nanoseconds / 1000 })
            }),
            Reader::Uuid(a) => value!(a, v => match v.try_into() {
                Ok(bytes) => DatumRef::Uuid(bytes),
                Err(_) => DatumRef::Null,
            }),
        }
    }
}

/// Whether an Arrow type is that of a string constant or NULL, whose SQL type is still open.
pub(super) fn is_open(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Null)
}

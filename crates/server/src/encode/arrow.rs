//! A column of an Arrow batch as a [`Cell`] that writes its values, chosen once from array type, SQL type and format.
//!
//! 1. The common pairs have a cell of their own: integers, floats, booleans and strings are written without a detour; the other
//!    types of `types::arrow_form` are written from their native value.
//! 2. Everything else an executor may produce (dictionaries, other units, unsigned integers, ...) goes through
//!    [`arrow_form::datum_at`], value by value.
//!
//! Not here: which Arrow type holds which SQL type (`types::arrow_form`).

use arrow::array::{Array, ArrayAccessor, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, IntervalMonthDayNanoType,
    IntervalUnit, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use sql::FormatOptions;
use types::{DatumRef, Decimal, Interval, SqlError, SqlType, arrow_form};

use super::{Format, binary, put_bytes, put_counted, put_datum, put_null, text};

/// Writes the values of one column of one batch.
pub(super) trait Cell {
    /// Appends the length and the bytes of the value at `row`.
    fn put(&self, row: usize, out: &mut Vec<u8>);
}

/// An array and how to write a value of it that is not NULL, with its length.
struct Column<'a, A, F> {
    array: A,
    nulls: Option<&'a NullBuffer>,
    put: F,
}

impl<A: ArrayAccessor, F: Fn(A::Item, &mut Vec<u8>)> Cell for Column<'_, A, F> {
    fn put(&self, row: usize, out: &mut Vec<u8>) {
        if self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            return put_null(out);
        }
        (self.put)(self.array.value(row), out);
    }
}

/// Any array, one value at a time.
struct Slow<'a> {
    array: &'a dyn Array,
    data_type: SqlType,
    format: Format,
    options: &'a FormatOptions,
}

impl Cell for Slow<'_> {
    fn put(&self, row: usize, out: &mut Vec<u8>) {
        let value = arrow_form::datum_at(self.array, row, self.data_type);
        put_datum(value.as_ref(), self.data_type, self.format, self.options, out);
    }
}

/// The cell for a column that was described as `data_type`. Errors: XX000 if the array holds something else.
pub(super) fn cell<'a>(
    array: &'a ArrayRef,
    data_type: SqlType,
    format: Format,
    options: &'a FormatOptions,
) -> Result<Box<dyn Cell + 'a>, SqlError> {
    if !holds(array.data_type(), data_type) {
        return Err(SqlError::bug(format!("a column described as {data_type} came as {}", array.data_type())));
    }
    Ok(match (data_type, array.data_type()) {
        (SqlType::Int2, DataType::Int16) => int(array, array.as_primitive::<Int16Type>(), format, i16::to_be_bytes),
        (SqlType::Int4, DataType::Int32) => int(array, array.as_primitive::<Int32Type>(), format, i32::to_be_bytes),
        (SqlType::Int8, DataType::Int64) => int(array, array.as_primitive::<Int64Type>(), format, i64::to_be_bytes),
        (SqlType::Bool, DataType::Boolean) => {
            let (yes, no) = match format {
                Format::Text => (b't', b'f'),
                Format::Binary => (1, 0),
            };
            column(array, array.as_boolean(), move |v, out| put_bytes(&[if v { yes } else { no }], out))
        }
        (t, DataType::Utf8View) if t.is_string() => column(array, array.as_string_view(), |v, out| put_bytes(v.as_bytes(), out)),
        (t, DataType::Utf8) if t.is_string() => column(array, array.as_string::<i32>(), |v, out| put_bytes(v.as_bytes(), out)),
        (t, DataType::LargeUtf8) if t.is_string() => {
            column(array, array.as_string::<i64>(), |v, out| put_bytes(v.as_bytes(), out))
        }
        (SqlType::Bytea, DataType::BinaryView) => match format {
            Format::Binary => column(array, array.as_binary_view(), put_bytes),
            Format::Text => column(array, array.as_binary_view(), put_as(data_type, format, options, DatumRef::Bytea)),
        },
        (SqlType::Float4, DataType::Float32) => {
            column(array, array.as_primitive::<Float32Type>(), put_as(data_type, format, options, DatumRef::Float4))
        }
        (SqlType::Float8, DataType::Float64) => {
            column(array, array.as_primitive::<Float64Type>(), put_as(data_type, format, options, DatumRef::Float8))
        }
        (SqlType::Numeric { scale, .. }, DataType::Decimal128(_, from)) if i32::from(*from) == i32::from(scale) => {
            let value = move |unscaled| DatumRef::Numeric(Decimal { unscaled, scale });
            column(array, array.as_primitive::<Decimal128Type>(), put_as(data_type, format, options, value))
        }
        (SqlType::Date, DataType::Date32) => {
            column(array, array.as_primitive::<Date32Type>(), put_as(data_type, format, options, DatumRef::Date))
        }
        (SqlType::Time, DataType::Time64(TimeUnit::Microsecond)) => {
            column(array, array.as_primitive::<Time64MicrosecondType>(), put_as(data_type, format, options, DatumRef::Time))
        }
        (SqlType::Timestamp, DataType::Timestamp(TimeUnit::Microsecond, None)) => {
            let put = put_as(data_type, format, options, DatumRef::Timestamp);
            column(array, array.as_primitive::<TimestampMicrosecondType>(), put)
        }
        (SqlType::TimestampTz, DataType::Timestamp(TimeUnit::Microsecond, Some(_))) => {
            let put = put_as(data_type, format, options, DatumRef::TimestampTz);
            column(array, array.as_primitive::<TimestampMicrosecondType>(), put)
        }
        (SqlType::Interval, DataType::Interval(IntervalUnit::MonthDayNano)) => {
            let value = |v: <IntervalMonthDayNanoType as arrow::datatypes::ArrowPrimitiveType>::Native| {
                DatumRef::Interval(Interval { months: v.months, days: v.days, micros: v.nanoseconds.div_euclid(1000) })
            };
            column(array, array.as_primitive::<IntervalMonthDayNanoType>(), put_as(data_type, format, options, value))
        }
        _ => Box::new(Slow { array: array.as_ref(), data_type, format, options }),
    })
}

fn column<'a, A: ArrayAccessor + 'a>(
    array: &'a ArrayRef,
    accessor: A,
    put: impl Fn(A::Item, &mut Vec<u8>) + 'a,
) -> Box<dyn Cell + 'a> {
    Box::new(Column { array: accessor, nulls: array.nulls(), put })
}

fn int<'a, A, const N: usize>(
    array: &'a ArrayRef,
    accessor: A,
    format: Format,
    to_bytes: impl Fn(A::Item) -> [u8; N] + 'a,
) -> Box<dyn Cell + 'a>
where
    A: ArrayAccessor + 'a,
    A::Item: itoa::Integer,
{
    match format {
        Format::Text => column(array, accessor, |v, out| put_bytes(itoa::Buffer::new().format(v).as_bytes(), out)),
        Format::Binary => column(array, accessor, move |v, out| put_bytes(&to_bytes(v), out)),
    }
}

/// Writes a native value as the [`DatumRef`] it is.
fn put_as<'a, T>(
    data_type: SqlType,
    format: Format,
    options: &'a FormatOptions,
    value: impl Fn(T) -> DatumRef<'a> + 'a,
) -> impl Fn(T, &mut Vec<u8>) + 'a {
    move |v, out| {
        put_counted(out, |out| match format {
            Format::Text => text::put(value(v), options, out),
            Format::Binary => binary::put(value(v), data_type, out),
        });
    }
}

/// True if [`arrow_form::datum_at`] reads values of type `t` from arrays of `array_type`.
fn holds(array_type: &DataType, t: SqlType) -> bool {
    match (arrow_form::sql_type(array_type), t) {
        _ if *array_type == DataType::Null => true,
        (Some(SqlType::Text), t) if t.is_string() => true,
        (Some(SqlType::Numeric { .. }), SqlType::Numeric { .. }) => true,
        (Some(SqlType::Uuid), SqlType::Bytea) => true,
        (Some(SqlType::Timestamp), SqlType::TimestampTz) => matches!(array_type, DataType::Timestamp(..)),
        (Some(from), t) => from == t,
        (None, _) => false,
    }
}

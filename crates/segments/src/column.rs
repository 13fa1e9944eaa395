//! One Arrow column, read a value at a time as SQL values, without copying.

use std::ops::Range;

use arrow::array::{
    Array, ArrayRef, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeBinaryArray, Float32Array,
    Float64Array, Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray, StringViewArray, Time64MicrosecondArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::NullBuffer;
use types::{DatumRef, Decimal, Interval, SqlType};

/// An array that is known to be of its SQL type's Arrow form (`types::arrow_form::data_type`).
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "variant for variant the types of SqlType")]
pub enum ColumnView<'a> {
    Bool(&'a BooleanArray),
    Int2(&'a Int16Array),
    Int4(&'a Int32Array),
    Int8(&'a Int64Array),
    Float4(&'a Float32Array),
    Float8(&'a Float64Array),
    Numeric(&'a Decimal128Array, u8),
    Text(&'a StringViewArray),
    Bytea(&'a BinaryViewArray),
    Date(&'a Date32Array),
    Time(&'a Time64MicrosecondArray),
    Timestamp(&'a TimestampMicrosecondArray),
    TimestampTz(&'a TimestampMicrosecondArray),
    Interval(&'a IntervalMonthDayNanoArray),
    Uuid(&'a FixedSizeBinaryArray),
}

/// A column by itself: what is behind an array, for reads of a value here and there. To ask an array what it is takes as long as to read it.
#[derive(Clone, Debug)]
pub(crate) enum Column {
    Bool(BooleanArray),
    Int2(Int16Array),
    Int4(Int32Array),
    Int8(Int64Array),
    Float4(Float32Array),
    Float8(Float64Array),
    Numeric(Decimal128Array, u8),
    Text(StringViewArray),
    Bytea(BinaryViewArray),
    Date(Date32Array),
    Time(Time64MicrosecondArray),
    Timestamp(TimestampMicrosecondArray),
    TimestampTz(TimestampMicrosecondArray),
    Interval(IntervalMonthDayNanoArray),
    Uuid(FixedSizeBinaryArray),
}

impl Column {
    /// The array as a column of type `t`; None if it is not of that type's Arrow form.
    pub(crate) fn new(array: &ArrayRef, t: SqlType) -> Option<Column> {
        Some(match ColumnView::new(array, t)? {
            ColumnView::Bool(a) => Column::Bool(a.clone()),
            ColumnView::Int2(a) => Column::Int2(a.clone()),
            ColumnView::Int4(a) => Column::Int4(a.clone()),
            ColumnView::Int8(a) => Column::Int8(a.clone()),
            ColumnView::Float4(a) => Column::Float4(a.clone()),
            ColumnView::Float8(a) => Column::Float8(a.clone()),
            ColumnView::Numeric(a, scale) => Column::Numeric(a.clone(), scale),
            ColumnView::Text(a) => Column::Text(a.clone()),
            ColumnView::Bytea(a) => Column::Bytea(a.clone()),
            ColumnView::Date(a) => Column::Date(a.clone()),
            ColumnView::Time(a) => Column::Time(a.clone()),
            ColumnView::Timestamp(a) => Column::Timestamp(a.clone()),
            ColumnView::TimestampTz(a) => Column::TimestampTz(a.clone()),
            ColumnView::Interval(a) => Column::Interval(a.clone()),
            ColumnView::Uuid(a) => Column::Uuid(a.clone()),
        })
    }

    /// To read it.
    #[inline]
    pub(crate) fn view(&self) -> ColumnView<'_> {
        match self {
            Column::Bool(a) => ColumnView::Bool(a),
            Column::Int2(a) => ColumnView::Int2(a),
            Column::Int4(a) => ColumnView::Int4(a),
            Column::Int8(a) => ColumnView::Int8(a),
            Column::Float4(a) => ColumnView::Float4(a),
            Column::Float8(a) => ColumnView::Float8(a),
            Column::Numeric(a, scale) => ColumnView::Numeric(a, *scale),
            Column::Text(a) => ColumnView::Text(a),
            Column::Bytea(a) => ColumnView::Bytea(a),
            Column::Date(a) => ColumnView::Date(a),
            Column::Time(a) => ColumnView::Time(a),
            Column::Timestamp(a) => ColumnView::Timestamp(a),
            Column::TimestampTz(a) => ColumnView::TimestampTz(a),
            Column::Interval(a) => ColumnView::Interval(a),
            Column::Uuid(a) => ColumnView::Uuid(a),
        }
    }
}

impl<'a> ColumnView<'a> {
    /// The array as a column of type `t`; None if it is not of that type's Arrow form.
    pub fn new(array: &'a ArrayRef, t: SqlType) -> Option<ColumnView<'a>> {
        let any = array.as_any();
        Some(match t {
            SqlType::Bool => ColumnView::Bool(any.downcast_ref()?),
            SqlType::Int2 => ColumnView::Int2(any.downcast_ref()?),
            SqlType::Int4 => ColumnView::Int4(any.downcast_ref()?),
            SqlType::Int8 => ColumnView::Int8(any.downcast_ref()?),
            SqlType::Float4 => ColumnView::Float4(any.downcast_ref()?),
            SqlType::Float8 => ColumnView::Float8(any.downcast_ref()?),
            SqlType::Numeric { scale, .. } => ColumnView::Numeric(any.downcast_ref()?, scale),
            SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_) => ColumnView::Text(any.downcast_ref()?),
            SqlType::Bytea => ColumnView::Bytea(any.downcast_ref()?),
            SqlType::Date => ColumnView::Date(any.downcast_ref()?),
            SqlType::Time => ColumnView::Time(any.downcast_ref()?),
            SqlType::Timestamp => ColumnView::Timestamp(any.downcast_ref()?),
            SqlType::TimestampTz => ColumnView::TimestampTz(any.downcast_ref()?),
            SqlType::Interval => ColumnView::Interval(any.downcast_ref()?),
            SqlType::Uuid => {
                let array: &FixedSizeBinaryArray = any.downcast_ref()?;
                (array.value_length() == 16).then_some(ColumnView::Uuid(array))?
            }
        })
    }

    fn array(&self) -> &'a dyn Array {
        match *self {
            ColumnView::Bool(a) => a,
            ColumnView::Int2(a) => a,
            ColumnView::Int4(a) => a,
            ColumnView::Int8(a) => a,
            ColumnView::Float4(a) => a,
            ColumnView::Float8(a) => a,
            ColumnView::Numeric(a, _) => a,
            ColumnView::Text(a) => a,
            ColumnView::Bytea(a) => a,
            ColumnView::Date(a) => a,
            ColumnView::Time(a) => a,
            ColumnView::Timestamp(a) | ColumnView::TimestampTz(a) => a,
            ColumnView::Interval(a) => a,
            ColumnView::Uuid(a) => a,
        }
    }

    /// Values in the column.
    pub fn len(&self) -> usize {
        self.array().len()
    }

    /// True for a column of no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True if the value at `row` is NULL.
    #[inline]
    pub fn is_null(&self, row: usize) -> bool {
        // By type: a call through the array's interface for each value would be felt.
        match *self {
            ColumnView::Bool(a) => a.is_null(row),
            ColumnView::Int2(a) => a.is_null(row),
            ColumnView::Int4(a) => a.is_null(row),
            ColumnView::Int8(a) => a.is_null(row),
            ColumnView::Float4(a) => a.is_null(row),
            ColumnView::Float8(a) => a.is_null(row),
            ColumnView::Numeric(a, _) => a.is_null(row),
            ColumnView::Text(a) => a.is_null(row),
            ColumnView::Bytea(a) => a.is_null(row),
            ColumnView::Date(a) => a.is_null(row),
            ColumnView::Time(a) => a.is_null(row),
            ColumnView::Timestamp(a) | ColumnView::TimestampTz(a) => a.is_null(row),
            ColumnView::Interval(a) => a.is_null(row),
            ColumnView::Uuid(a) => a.is_null(row),
        }
    }

    /// How many values are NULL.
    pub fn null_count(&self) -> usize {
        self.array().null_count()
    }

    /// Which values are NULL, if any are.
    pub(crate) fn nulls(&self) -> Option<&'a NullBuffer> {
        self.array().nulls().filter(|nulls| nulls.null_count() > 0)
    }

    /// How many of the values `rows` are NULL.
    pub(crate) fn null_count_in(&self, rows: Range<usize>) -> usize {
        self.nulls().map_or(0, |nulls| nulls.slice(rows.start, rows.len()).null_count())
    }

    /// The value at `row` (from 0). Panics beyond the end.
    pub fn get(&self, row: usize) -> DatumRef<'a> {
        if self.is_null(row) { DatumRef::Null } else { self.value(row) }
    }

    /// Reads from memory what [`ColumnView::get`] will, but for strings that are not short, and no more: some bits of the value at `row`.
    #[inline]
    pub(crate) fn touch(&self, row: usize) -> u64 {
        match *self {
            ColumnView::Bool(a) => u64::from(a.value(row)),
            ColumnView::Int2(a) => a.values()[row] as u64,
            ColumnView::Int4(a) => a.values()[row] as u64,
            ColumnView::Int8(a) => a.values()[row] as u64,
            ColumnView::Float4(a) => u64::from(a.values()[row].to_bits()),
            ColumnView::Float8(a) => a.values()[row].to_bits(),
            ColumnView::Numeric(a, _) => a.values()[row] as u64,
            ColumnView::Text(a) => a.views()[row] as u64,
            ColumnView::Bytea(a) => a.views()[row] as u64,
            ColumnView::Date(a) => a.values()[row] as u64,
            ColumnView::Time(a) => a.values()[row] as u64,
            ColumnView::Timestamp(a) | ColumnView::TimestampTz(a) => a.values()[row] as u64,
            ColumnView::Interval(a) => u64::from(a.values()[row].days.unsigned_abs()),
            ColumnView::Uuid(a) => u64::from(a.value(row)[0]),
        }
    }

    /// The value at `row`, which is not NULL.
    pub(crate) fn value(&self, row: usize) -> DatumRef<'a> {
        match *self {
            ColumnView::Bool(a) => DatumRef::Bool(a.value(row)),
            ColumnView::Int2(a) => DatumRef::Int2(a.value(row)),
            ColumnView::Int4(a) => DatumRef::Int4(a.value(row)),
            ColumnView::Int8(a) => DatumRef::Int8(a.value(row)),
            ColumnView::Float4(a) => DatumRef::Float4(a.value(row)),
            ColumnView::Float8(a) => DatumRef::Float8(a.value(row)),
            ColumnView::Numeric(a, scale) => DatumRef::Numeric(Decimal { unscaled: a.value(row), scale }),
            ColumnView::Text(a) => DatumRef::Text(a.value(row)),
            ColumnView::Bytea(a) => DatumRef::Bytea(a.value(row)),
            ColumnView::Date(a) => DatumRef::Date(a.value(row)),
            ColumnView::Time(a) => DatumRef::Time(a.value(row)),
            ColumnView::Timestamp(a) => DatumRef::Timestamp(a.value(row)),
            ColumnView::TimestampTz(a) => DatumRef::TimestampTz(a.value(row)),
            ColumnView::Interval(a) => {
                let v = a.value(row);
                DatumRef::Interval(Interval { months: v.months, days: v.days, micros: v.nanoseconds / 1000 })
            }
            ColumnView::Uuid(a) => {
                let mut bytes = [0; 16];
                bytes.copy_from_slice(a.value(row));
                DatumRef::Uuid(bytes)
            }
        }
    }
}

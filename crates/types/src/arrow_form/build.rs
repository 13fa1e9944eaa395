//! Values into an array: one builder per column, chosen once, so that appending a value is one match and one push.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryViewBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, FixedSizeBinaryBuilder, Float32Builder,
    Float64Builder, Int16Builder, Int32Builder, Int64Builder, IntervalMonthDayNanoBuilder, StringViewBuilder,
    Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::IntervalMonthDayNano;

use super::data_type;
use crate::datum::{DatumRef, Interval};
use crate::float::{one_nan_f32, one_nan_f64};
use crate::sql_type::SqlType;

/// Builds the array of one column, value by value.
#[derive(Debug)]
pub struct ColumnBuilder {
    kind: SqlType,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Bool(BooleanBuilder),
    Int2(Int16Builder),
    Int4(Int32Builder),
    Int8(Int64Builder),
    Float4(Float32Builder),
    Float8(Float64Builder),
    Numeric(Decimal128Builder, u8),
    Text(StringViewBuilder),
    Bytea(BinaryViewBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    TimestampTz(TimestampMicrosecondBuilder),
    Interval(IntervalMonthDayNanoBuilder),
    Uuid(FixedSizeBinaryBuilder),
}

macro_rules! each {
    ($values:expr, $builder:ident => $do:expr) => {
        match $values {
            Values::Bool($builder) => $do,
            Values::Int2($builder) => $do,
            Values::Int4($builder) => $do,
            Values::Int8($builder) => $do,
            Values::Float4($builder) => $do,
            Values::Float8($builder) => $do,
            Values::Numeric($builder, _) => $do,
            Values::Text($builder) => $do,
            Values::Bytea($builder) => $do,
            Values::Date($builder) => $do,
            Values::Time($builder) => $do,
            Values::Timestamp($builder) | Values::TimestampTz($builder) => $do,
            Values::Interval($builder) => $do,
            Values::Uuid($builder) => $do,
        }
    };
}

impl ColumnBuilder {
    /// A builder of an array of [`data_type`]`(t)`, with room for `capacity` values.
    pub fn new(t: SqlType, capacity: usize) -> ColumnBuilder {
        let values = match t {
            SqlType::Bool => Values::Bool(BooleanBuilder::with_capacity(capacity)),
            SqlType::Int2 => Values::Int2(Int16Builder::with_capacity(capacity)),
            SqlType::Int4 => Values::Int4(Int32Builder::with_capacity(capacity)),
            SqlType::Int8 => Values::Int8(Int64Builder::with_capacity(capacity)),
            SqlType::Float4 => Values::Float4(Float32Builder::with_capacity(capacity)),
            SqlType::Float8 => Values::Float8(Float64Builder::with_capacity(capacity)),
            SqlType::Numeric { scale, .. } => {
                Values::Numeric(Decimal128Builder::with_capacity(capacity).with_data_type(data_type(t)), scale)
            }
            SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_) => Values::Text(StringViewBuilder::with_capacity(capacity)),
            SqlType::Bytea => Values::Bytea(BinaryViewBuilder::with_capacity(capacity)),
            SqlType::Date => Values::Date(Date32Builder::with_capacity(capacity)),
            SqlType::Time => Values::Time(Time64MicrosecondBuilder::with_capacity(capacity)),
            SqlType::Timestamp => Values::Timestamp(TimestampMicrosecondBuilder::with_capacity(capacity)),
            SqlType::TimestampTz => {
                Values::TimestampTz(TimestampMicrosecondBuilder::with_capacity(capacity).with_data_type(data_type(t)))
            }
            SqlType::Interval => Values::Interval(IntervalMonthDayNanoBuilder::with_capacity(capacity)),
            SqlType::Uuid => Values::Uuid(FixedSizeBinaryBuilder::with_capacity(capacity, 16)),
        };
        ColumnBuilder { kind: t, values }
    }

    /// The column's SQL type.
    pub fn sql_type(&self) -> SqlType {
        self.kind
    }

    /// Appends a value of the column's type, or NULL. A value of another type, a numeric of another scale, or an interval beyond
    /// [`Interval::MICROS_MAX`] is a bug of the caller and panics.
    #[inline]
    pub fn append(&mut self, value: DatumRef<'_>) {
        match (&mut self.values, value) {
            (Values::Bool(b), DatumRef::Bool(v)) => b.append_value(v),
            (Values::Int2(b), DatumRef::Int2(v)) => b.append_value(v),
            (Values::Int4(b), DatumRef::Int4(v)) => b.append_value(v),
            (Values::Int8(b), DatumRef::Int8(v)) => b.append_value(v),
            (Values::Float4(b), DatumRef::Float4(v)) => b.append_value(one_nan_f32(v)),
            (Values::Float8(b), DatumRef::Float8(v)) => b.append_value(one_nan_f64(v)),
            (Values::Numeric(b, scale), DatumRef::Numeric(v)) if v.scale == *scale => b.append_value(v.unscaled),
            (Values::Text(b), DatumRef::Text(v)) => b.append_value(v),
            (Values::Bytea(b), DatumRef::Bytea(v)) => b.append_value(v),
            (Values::Date(b), DatumRef::Date(v)) => b.append_value(v),
            (Values::Time(b), DatumRef::Time(v)) => b.append_value(v),
            (Values::Timestamp(b), DatumRef::Timestamp(v)) | (Values::TimestampTz(b), DatumRef::TimestampTz(v)) => {
                b.append_value(v);
            }
            (Values::Interval(b), DatumRef::Interval(v)) => b.append_value(arrow_interval(v)),
            (Values::Uuid(b), DatumRef::Uuid(v)) => b.append_value(v).expect("a uuid has the array's 16 bytes"),
            (values, DatumRef::Null) => each!(values, b => b.append_null()),
            (_, value) => panic!("{value:?} in an array of type {}: values are coerced before they are appended", self.kind),
        }
    }

    /// Values appended since the start or the last [`ColumnBuilder::finish`].
    pub fn len(&self) -> usize {
        use arrow::array::ArrayBuilder;
        each!(&self.values, b => b.len())
    }

    /// True if nothing was appended.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The array of what was appended; the builder is empty again afterwards.
    pub fn finish(&mut self) -> ArrayRef {
        each!(&mut self.values, b => Arc::new(b.finish()))
    }
}

/// An interval in Arrow's units.
fn arrow_interval(v: Interval) -> IntervalMonthDayNano {
    let nanoseconds = v.micros.checked_mul(1000).expect("an interval's time part is at most Interval::MICROS_MAX");
    IntervalMonthDayNano::new(v.months, v.days, nanoseconds)
}

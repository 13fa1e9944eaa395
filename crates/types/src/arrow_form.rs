//! SQL types and values in their columnar form: which Arrow type a column has, and how values get into and out of arrays.
//!
//! ```text
//! boolean    Boolean            numeric(p,s)    Decimal128(p,s)     date         Date32
//! smallint   Int16              text, varchar,  Utf8View            time         Time64(us)
//! integer    Int32                char                              timestamp    Timestamp(us)
//! bigint     Int64              bytea           BinaryView          timestamptz  Timestamp(us, "UTC")
//! real       Float32            uuid            FixedSizeBinary(16) interval     Interval(MonthDayNano)
//! double     Float64
//! ```
//!
//! 1. `sql_type(data_type(t))` is `t`, up to what only a field's metadata can say: the length of `varchar(n)` and `char(n)`.
//! 2. A column built here holds values already coerced to its type ([`crate::coerce`]).
//! 3. Intervals count nanoseconds in Arrow and microseconds in SQL, so an interval's time part is bounded by
//!    [`Interval::MICROS_MAX`](crate::Interval::MICROS_MAX) wherever one is made.
//!
//! Not here: kernels over arrays (`expr`), the wire (`text`, `binary`).

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};

use crate::sql_type::SqlType;

mod build;
mod read;

pub use build::ColumnBuilder;
pub use read::datum_at;

/// The metadata key under which a field keeps its SQL type, as `format_type` writes it.
pub const TYPE_KEY: &str = "colonnade.type";

/// The zone every `timestamptz` array carries.
const UTC: &str = "UTC";

/// The Arrow type of a column of SQL type `t`.
pub fn data_type(t: SqlType) -> DataType {
    match t {
        SqlType::Bool => DataType::Boolean,
        SqlType::Int2 => DataType::Int16,
        SqlType::Int4 => DataType::Int32,
        SqlType::Int8 => DataType::Int64,
        SqlType::Float4 => DataType::Float32,
        SqlType::Float8 => DataType::Float64,
        SqlType::Numeric { precision, scale } => DataType::Decimal128(precision, scale as i8),
        SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_) => DataType::Utf8View,
        SqlType::Bytea => DataType::BinaryView,
        SqlType::Date => DataType::Date32,
        SqlType::Time => DataType::Time64(TimeUnit::Microsecond),
        SqlType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        SqlType::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
        SqlType::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
        SqlType::Uuid => DataType::FixedSizeBinary(16),
    }
}

/// The SQL type that holds every value of an Arrow type, or `None` for nested types, which have none here.
///
/// The inverse of [`data_type`], and for the types it never gives what a PostgreSQL user would call them: unsigned integers
/// become the next wider signed one, every unit of time becomes microseconds.
pub fn sql_type(data_type: &DataType) -> Option<SqlType> {
    Some(match data_type {
        DataType::Boolean => SqlType::Bool,
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => SqlType::Int2,
        DataType::UInt16 | DataType::Int32 => SqlType::Int4,
        DataType::UInt32 | DataType::Int64 => SqlType::Int8,
        DataType::UInt64 => SqlType::Numeric { precision: 20, scale: 0 },
        DataType::Float16 | DataType::Float32 => SqlType::Float4,
        DataType::Float64 => SqlType::Float8,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => numeric(*precision, *scale),
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => SqlType::Text,
        DataType::FixedSizeBinary(16) => SqlType::Uuid,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => SqlType::Bytea,
        DataType::Date32 => SqlType::Date,
        DataType::Time32(_) | DataType::Time64(_) => SqlType::Time,
        DataType::Date64 | DataType::Timestamp(_, None) => SqlType::Timestamp,
        DataType::Timestamp(_, Some(_)) => SqlType::TimestampTz,
        DataType::Interval(_) | DataType::Duration(_) => SqlType::Interval,
        DataType::Dictionary(_, values) => return sql_type(values),
        _ => return None,
    })
}

/// The `numeric` that is nearest to an Arrow decimal: a negative scale is more digits before the point, and 38 digits are the most.
fn numeric(precision: u8, scale: i8) -> SqlType {
    let scale_digits = scale.max(0) as u8;
    let precision = precision.saturating_add(scale.min(0).unsigned_abs()).max(scale_digits);
    SqlType::Numeric { precision: precision.clamp(1, 38), scale: scale_digits.min(38) }
}

/// A field of SQL type `t` that a reader gets back whole with [`sql_type_of`], also after a trip through Parquet or IPC.
pub fn field(name: impl Into<String>, t: SqlType, nullable: bool) -> Field {
    let metadata = HashMap::from([(TYPE_KEY.to_owned(), t.to_string())]);
    Field::new(name, data_type(t), nullable).with_metadata(metadata)
}

/// The SQL type of a field: what its metadata says if that fits its Arrow type, else [`sql_type`] of the latter.
pub fn sql_type_of(field: &Field) -> Option<SqlType> {
    let plain = sql_type(field.data_type());
    let named = field.metadata().get(TYPE_KEY).and_then(|name| SqlType::from_shown(name));
    match (named, plain) {
        (Some(named), Some(plain)) if named.is_string() && plain == SqlType::Text => Some(named),
        (Some(named), _) if data_type(named) == *field.data_type() => Some(named),
        _ => plain,
    }
}

#[cfg(test)]
mod tests;

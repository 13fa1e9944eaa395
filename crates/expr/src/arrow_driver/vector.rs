//! The functions that queries spend their time in, over whole arrays.
//!
//! Each gives what the kernel gives row by row, or nothing, and then the kernel does: an overflow is left to it, so that errors are
//! the same too.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, Datum, Decimal128Array, PrimitiveArray, Scalar, StringViewBuilder,
};
use arrow::buffer::NullBuffer;
use arrow::compute::kernels::numeric;
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use datafusion::common::Result;
use datafusion::logical_expr::ColumnarValue;
use types::{SqlType, arrow_form, calendar};

use crate::decimal::LIMIT;
use crate::function::Call;
use crate::functions::{Field, Op, TruncateTo, characters, truncate_timestamp};

type Found = Option<Result<ArrayRef>>;

/// The result of a function over arrays, if it is one of those here. At least one argument is an array of `rows` rows.
pub(super) fn apply(name: &str, call: &Call<'_>, args: &[ColumnarValue], from: &[Option<SqlType>], rows: usize) -> Found {
    match (name, args) {
        ("+", [a, b]) => arithmetic(Op::Add, call, a, b, rows),
        ("-", [a, b]) => arithmetic(Op::Subtract, call, a, b, rows),
        ("*", [a, b]) => arithmetic(Op::Multiply, call, a, b, rows),
        ("/", [a, b]) => arithmetic(Op::Divide, call, a, b, rows),
        ("%" | "mod", [a, b]) => arithmetic(Op::Remainder, call, a, b, rows),
        ("float_order", [ColumnarValue::Array(array)]) => float_order(array),
        ("extract", [ColumnarValue::Array(array)]) => extract(call, array),
        ("date_trunc", [ColumnarValue::Array(array)]) => truncate(call, array),
        ("substring" | "substr", [ColumnarValue::Array(array), rest @ ..]) => substring(array, rest, from),
        _ => None,
    }
}

/// A cast over an array, if it is one of those here.
pub(super) fn cast(array: &ArrayRef, from: SqlType, to: SqlType) -> Found {
    match (from, to) {
        // Values that the database wrote have their lengths already.
        (SqlType::Varchar(_) | SqlType::Text, SqlType::Text) => Some(Ok(Arc::clone(array))),
        (SqlType::Varchar(m), SqlType::Varchar(n)) if m <= n => Some(Ok(Arc::clone(array))),
        (SqlType::Char(m), SqlType::Char(n)) if m == n => Some(Ok(Arc::clone(array))),
        (from, SqlType::Char(0)) if from.is_string() => Some(Ok(Arc::clone(array))),
        (SqlType::Date, SqlType::Timestamp) => {
            let days = array.as_primitive::<Date32Type>();
            let last = (calendar::TIMESTAMP_MAX / calendar::DAY) as i32;
            if days.values().iter().any(|d| !(calendar::DATE_MIN..last).contains(d)) {
                return None;
            }
            Some(arrow::compute::cast(array, &arrow_form::data_type(to)).map_err(Into::into))
        }
        (SqlType::Numeric { scale, .. }, SqlType::Float8) => {
            // Exact below 2^53 and 10^22, where one division rounds once.
            let decimals = array.as_primitive::<Decimal128Type>();
            if scale > 22 || decimals.values().iter().any(|v| v.unsigned_abs() > 1 << 53) {
                return None;
            }
            let unit = 10f64.powi(scale.into());
            let floats: PrimitiveArray<Float64Type> = decimals.unary(|v| v as f64 / unit);
            Some(Ok(Arc::new(floats)))
        }
        (SqlType::Float4 | SqlType::Float8, SqlType::Float8) => {
            Some(arrow::compute::cast(array, &DataType::Float64).map_err(Into::into))
        }
        _ => None,
    }
}

fn arithmetic(op: Op, call: &Call<'_>, a: &ColumnarValue, b: &ColumnarValue, rows: usize) -> Found {
    match (call.signature.args.as_slice(), call.signature.result) {
        ([SqlType::Int2 | SqlType::Int4 | SqlType::Int8, right], result) if *right == result => integers(op, a, b),
        ([SqlType::Float4 | SqlType::Float8, right], result) if *right == result => floats(op, a, b, result),
        (
            &[SqlType::Numeric { precision: pa, scale: sa }, SqlType::Numeric { precision: pb, scale: sb }],
            SqlType::Numeric { precision, scale },
        ) => {
            let shape = Shape { a: (pa, sa), b: (pb, sb), result: (precision, scale) };
            decimals(op, shape, a, b, rows)
        }
        _ => None,
    }
}

/// Runs one of Arrow's kernels on arrays and constants.
fn kernel(
    a: &ColumnarValue,
    b: &ColumnarValue,
    run: impl Fn(&dyn Datum, &dyn Datum) -> std::result::Result<ArrayRef, ArrowError>,
) -> Option<ArrayRef> {
    let constant = |v: &ColumnarValue| match v {
        ColumnarValue::Array(_) => None,
        ColumnarValue::Scalar(value) => value.to_array().ok().map(Scalar::new),
    };
    match (a, b, constant(a), constant(b)) {
        (ColumnarValue::Array(a), ColumnarValue::Array(b), ..) => run(a, b),
        (ColumnarValue::Array(a), _, _, Some(b)) => run(a, &b),
        (_, ColumnarValue::Array(b), Some(a), _) => run(&a, b),
        _ => return None,
    }
    .ok()
}

fn integers(op: Op, a: &ColumnarValue, b: &ColumnarValue) -> Found {
    kernel(a, b, |a, b| match op {
        Op::Add => numeric::add(a, b),
        Op::Subtract => numeric::sub(a, b),
        Op::Multiply => numeric::mul(a, b),
        Op::Divide => numeric::div(a, b),
        Op::Remainder => numeric::rem(a, b),
    })
    .map(Ok)
}

fn floats(op: Op, a: &ColumnarValue, b: &ColumnarValue, t: SqlType) -> Found {
    let found = kernel(a, b, |a, b| match op {
        Op::Add => numeric::add(a, b),
        Op::Subtract => numeric::sub(a, b),
        Op::Multiply => numeric::mul(a, b),
        Op::Divide => numeric::div(a, b),
        Op::Remainder => numeric::rem(a, b),
    })?;
    // Infinity, NaN and zero may be an overflow, a division by zero, an underflow: rare enough to look again.
    let suspicious = |v: f64| !v.is_finite() || (v == 0.0 && matches!(op, Op::Multiply | Op::Divide));
    let again = match t {
        SqlType::Float4 => found.as_primitive::<Float32Type>().values().iter().any(|v| suspicious(f64::from(*v))),
        _ => found.as_primitive::<Float64Type>().values().iter().any(|v| suspicious(*v)),
    };
    (!again).then_some(Ok(found))
}

fn float_order(array: &ArrayRef) -> Found {
    Some(Ok(match array.data_type() {
        DataType::Float32 => Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float32Type>(|v| v + 0.0)),
        _ => Arc::new(array.as_primitive_opt::<Float64Type>()?.unary::<_, Float64Type>(|v| v + 0.0)),
    }))
}

/// Digits and scale of the operands and the result.
#[derive(Clone, Copy)]
struct Shape {
    a: (u8, u8),
    b: (u8, u8),
    result: (u8, u8),
}

/// Digits of an operand; a constant is the same for every row.
enum Digits<'a> {
    Each(&'a [i128]),
    All(i128),
}

fn digits_of<'a>(value: &'a ColumnarValue) -> Option<(Digits<'a>, Option<NullBuffer>)> {
    use datafusion::common::ScalarValue;
    match value {
        ColumnarValue::Array(array) => {
            let array = array.as_primitive_opt::<Decimal128Type>()?;
            Some((Digits::Each(array.values()), array.nulls().cloned()))
        }
        ColumnarValue::Scalar(ScalarValue::Decimal128(Some(v), _, _)) => Some((Digits::All(*v), None)),
        ColumnarValue::Scalar(_) => None,
    }
}

/// Applies `f` to each pair.
fn zip(a: &Digits<'_>, b: &Digits<'_>, rows: usize, f: impl Fn(i128, i128) -> i128) -> Vec<i128> {
    match (a, b) {
        (Digits::Each(a), Digits::Each(b)) => a.iter().zip(*b).map(|(a, b)| f(*a, *b)).collect(),
        (Digits::Each(a), Digits::All(b)) => a.iter().map(|a| f(*a, *b)).collect(),
        (Digits::All(a), Digits::Each(b)) => b.iter().map(|b| f(*a, *b)).collect(),
        (Digits::All(a), Digits::All(b)) => vec![f(*a, *b); rows],
    }
}

/// Digits that fit in 64 bits.
const SHORT: u8 = 18;

fn decimals(op: Op, shape: Shape, a: &ColumnarValue, b: &ColumnarValue, rows: usize) -> Found {
    let ((left, left_nulls), (right, right_nulls)) = (digits_of(a)?, digits_of(b)?);
    let Shape { a: (pa, sa), b: (pb, sb), result: (precision, scale) } = shape;
    let values = match op {
        Op::Add | Op::Subtract => {
            // The result has room for one digit more than either operand at its scale: nothing can overflow.
            if (pa - sa).max(pb - sb) + 1 + scale > precision {
                return None;
            }
            let (ma, mb) = (10i128.pow((scale - sa).into()), 10i128.pow((scale - sb).into()));
            match (op, sa == scale && sb == scale) {
                (Op::Add, true) => zip(&left, &right, rows, i128::wrapping_add),
                (Op::Add, false) => zip(&left, &right, rows, |a, b| a.wrapping_mul(ma).wrapping_add(b.wrapping_mul(mb))),
                (_, true) => zip(&left, &right, rows, i128::wrapping_sub),
                (_, false) => zip(&left, &right, rows, |a, b| a.wrapping_mul(ma).wrapping_sub(b.wrapping_mul(mb))),
            }
        }
        Op::Multiply if scale == sa + sb => {
            if pa <= SHORT && pb <= SHORT {
                // One multiplication of the machine's.
                zip(&left, &right, rows, |a, b| i128::from(a as i64) * i128::from(b as i64))
            } else if pa + pb <= crate::rules::DIGITS_MAX {
                zip(&left, &right, rows, i128::wrapping_mul)
            } else {
                // Products that do not fit are marked by a value that does not either.
                let products = zip(&left, &right, rows, |a, b| a.checked_mul(b).unwrap_or(i128::MAX));
                if products.iter().any(|v| v.unsigned_abs() >= LIMIT.unsigned_abs()) {
                    return None;
                }
                products
            }
        }
        _ => return None,
    };
    let nulls = NullBuffer::union(left_nulls.as_ref(), right_nulls.as_ref());
    let array = Decimal128Array::new(values.into(), nulls);
    Some(array.with_precision_and_scale(precision, scale as i8).map(|array| Arc::new(array) as ArrayRef).map_err(Into::into))
}

/// Fields of dates and timestamps that are whole numbers.
fn extract(call: &Call<'_>, array: &ArrayRef) -> Found {
    let field = call.special.and_then(Field::named)?;
    let SqlType::Numeric { precision, scale: 0 } = call.signature.result else { return None };
    let of_date = |days: i32| -> Option<i128> {
        let civil = calendar::civil_from_days(days);
        Some(match field {
            Field::Year if civil.year > 0 => civil.year.into(),
            Field::Month => civil.month.into(),
            Field::Day => civil.day.into(),
            _ => return None,
        })
    };
    let values: Option<Vec<i128>> = match call.signature.args.first()? {
        SqlType::Date => {
            each(array.as_primitive::<Date32Type>(), |days| if calendar::is_infinite_date(days) { None } else { of_date(days) })
        }
        SqlType::Timestamp => each(array.as_primitive::<TimestampMicrosecondType>(), |at| {
            if calendar::is_infinite_timestamp(at) { None } else { of_date(calendar::split_timestamp(at).0) }
        }),
        _ => None,
    };
    let array = Decimal128Array::new(values?.into(), array.nulls().cloned());
    Some(array.with_precision_and_scale(precision, 0).map(|array| Arc::new(array) as ArrayRef).map_err(Into::into))
}

/// `f` of every value that is not NULL, 0 where it is; `None` as soon as `f` is.
fn each<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, f: impl Fn(T::Native) -> Option<i128>) -> Option<Vec<i128>> {
    array.iter().map(|v| v.map_or(Some(0), &f)).collect()
}

fn truncate(call: &Call<'_>, array: &ArrayRef) -> Found {
    let unit = TruncateTo::named(call.special?).ok()?;
    let is_utc = call.session.zone == jiff::tz::TimeZone::UTC;
    match call.signature.result {
        SqlType::Timestamp => {}
        SqlType::TimestampTz if is_utc => {}
        _ => return None,
    }
    let moments = array.as_primitive::<TimestampMicrosecondType>();
    let found: std::result::Result<PrimitiveArray<TimestampMicrosecondType>, types::SqlError> =
        moments.try_unary(|at| truncate_timestamp(unit, at));
    found.ok().map(|found| Ok(Arc::new(found.with_data_type(array.data_type().clone())) as ArrayRef))
}

/// `substring(text, from, count)` with constant positions.
fn substring(array: &ArrayRef, rest: &[ColumnarValue], from: &[Option<SqlType>]) -> Found {
    use datafusion::common::ScalarValue;
    let constant = |value: &ColumnarValue| match value {
        ColumnarValue::Scalar(ScalarValue::Int32(Some(v))) => Some(i64::from(*v)),
        _ => None,
    };
    let (start, end) = match rest {
        [start] => (constant(start)?, i64::MAX),
        [start, count] => {
            let (start, count) = (constant(start)?, constant(count)?);
            if count < 0 {
                return None;
            }
            (start, start.saturating_add(count))
        }
        _ => return None,
    };
    let blanks = matches!(from.first(), Some(Some(SqlType::Char(_))));
    let strings = array.as_string_view_opt()?;
    let mut builder = StringViewBuilder::with_capacity(strings.len());
    for value in strings {
        match value {
            Some(value) => {
                let value = if blanks { value.trim_end_matches(' ') } else { value };
                builder.append_value(characters(value, start, end));
            }
            None => builder.append_null(),
        }
    }
    Some(Ok(Arc::new(builder.finish())))
}

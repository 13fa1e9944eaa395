//! Set-returning functions with constant arguments, as tables: `generate_series`.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::Schema;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::scalar::ScalarValue;
use types::arrow_form::{self, ColumnBuilder};
use types::{Datum, DatumRef, Decimal, Interval, SqlError, SqlState, SqlType};

use super::values;
use crate::compare::compare;
use crate::functions::add_interval;
use crate::{cast, decimal};

/// Rows a series may have: it is made before the query reads it.
const ROWS_MAX: usize = 10_000_000;
const ROWS_PER_BATCH: usize = 8192;

/// The table for a call, if the function is one of those here.
pub(super) fn table_function(name: &str, arguments: &[ScalarValue]) -> Option<Result<Arc<dyn TableProvider>, SqlError>> {
    (name == "generate_series").then(|| generate_series(arguments))
}

fn generate_series(arguments: &[ScalarValue]) -> Result<Arc<dyn TableProvider>, SqlError> {
    if !(2..=3).contains(&arguments.len()) {
        let message = format!("function generate_series takes 2 or 3 arguments, not {}", arguments.len());
        return Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, message));
    }
    let given: Vec<(Datum, Option<SqlType>)> = arguments
        .iter()
        .map(|value| {
            let t = arrow_form::sql_type(&value.data_type());
            let open = matches!(value, ScalarValue::Utf8(_) | ScalarValue::Null);
            let datum = t.and_then(|t| values::datum(value, t)).unwrap_or(Datum::Null);
            (datum, t.filter(|_| !open))
        })
        .collect();
    let t = series_type(&given)?;
    let step_type = if matches!(t, SqlType::Timestamp | SqlType::TimestampTz) { SqlType::Interval } else { t };
    let session = types::text::Session::UTC;
    let as_type = |(datum, _): &(Datum, Option<SqlType>), t| cast::cast(datum.as_ref(), t, &session);
    let (start, stop) = (as_type(&given[0], t)?, as_type(&given[1], t)?);
    let step = match given.get(2) {
        Some(step) => as_type(step, step_type)?,
        None => match t {
            SqlType::Int4 => Datum::Int4(1),
            SqlType::Int8 => Datum::Int8(1),
            SqlType::Numeric { scale, .. } => Datum::Numeric(Decimal { unscaled: 10i128.pow(scale.into()), scale }),
            _ => return Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, "generate_series of timestamps needs a step")),
        },
    };
    let schema = Arc::new(Schema::new(vec![arrow_form::field("generate_series", t, true)]));
    let batches = rows(t, start, &stop, &step)?
        .into_iter()
        .map(|column| RecordBatch::try_new(Arc::clone(&schema), vec![column]).map_err(|e| SqlError::bug(e.to_string())))
        .collect::<Result<Vec<_>, _>>()?;
    let table = MemTable::try_new(schema, vec![batches]).map_err(|e| SqlError::bug(e.to_string()))?;
    Ok(Arc::new(table))
}

fn series_type(given: &[(Datum, Option<SqlType>)]) -> Result<SqlType, SqlError> {
    let moments = given.iter().take(2).filter_map(|(_, t)| *t);
    if moments.clone().any(|t| t == SqlType::TimestampTz) {
        return Ok(SqlType::TimestampTz);
    }
    if moments.clone().any(|t| matches!(t, SqlType::Timestamp | SqlType::Date)) {
        return Ok(SqlType::Timestamp);
    }
    match crate::rules::common(given.iter().map(|(_, t)| *t)) {
        Some(SqlType::Int2 | SqlType::Int4) => Ok(SqlType::Int4),
        Some(t @ (SqlType::Int8 | SqlType::Numeric { .. })) => Ok(t),
        _ => Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, "generate_series takes integers, numerics or timestamps")),
    }
}

fn rows(t: SqlType, start: Datum, stop: &Datum, step: &Datum) -> Result<Vec<ArrayRef>, SqlError> {
    use std::cmp::Ordering;
    let mut batches = Vec::new();
    if start.is_null() || stop.is_null() || step.is_null() {
        return Ok(batches);
    }
    let zero = match step {
        Datum::Int4(_) => Datum::Int4(0),
        Datum::Int8(_) => Datum::Int8(0),
        Datum::Numeric(v) => Datum::Numeric(Decimal { unscaled: 0, ..*v }),
        _ => Datum::Interval(Interval::default()),
    };
    let direction = match compare(step.as_ref(), zero.as_ref()) {
        Some(Ordering::Equal) | None => {
            return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "step size cannot equal zero"));
        }
        Some(direction) => direction,
    };
    let mut builder = ColumnBuilder::new(t, ROWS_PER_BATCH);
    let mut at = Some(start);
    let mut rows = 0;
    while let Some(value) = at {
        if compare(value.as_ref(), stop.as_ref()) == Some(direction) {
            break;
        }
        rows += 1;
        if rows > ROWS_MAX {
            return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, format!("a series of more than {ROWS_MAX} rows")));
        }
        builder.append(value.as_ref());
        if builder.len() == ROWS_PER_BATCH {
            batches.push(builder.finish());
        }
        at = next(value.as_ref(), step);
    }
    if !builder.is_empty() {
        batches.push(builder.finish());
    }
    Ok(batches)
}

/// The value a step on; `None` where the type ends.
fn next(value: DatumRef<'_>, step: &Datum) -> Option<Datum> {
    Some(match (value, step) {
        (DatumRef::Int4(v), Datum::Int4(step)) => Datum::Int4(v.checked_add(*step)?),
        (DatumRef::Int8(v), Datum::Int8(step)) => Datum::Int8(v.checked_add(*step)?),
        (DatumRef::Numeric(v), Datum::Numeric(step)) => Datum::Numeric(decimal::add(v, *step, v.scale).ok()?),
        (DatumRef::Timestamp(v), Datum::Interval(step)) => Datum::Timestamp(add_interval(v, *step).ok()?),
        (DatumRef::TimestampTz(v), Datum::Interval(step)) => Datum::TimestampTz(add_interval(v, *step).ok()?),
        _ => return None,
    })
}

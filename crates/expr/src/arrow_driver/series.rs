//! `generate_series` with constant arguments, as a table whose rows are made as they are read.
//!
//! ```text
//! (1, 10)                       integer       (1, 10.0, 0.5)                          numeric
//! (1, 10::bigint)               bigint        (timestamp, timestamp, interval)        timestamp
//! (date or open, .., interval)  timestamptz   (timestamptz, .., interval)             timestamptz
//! ```

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::scalar::ScalarValue;
use jiff::tz::TimeZone;
use types::arrow_form::{self, ColumnBuilder};
use types::text::Session;
use types::{Datum, DatumRef, Decimal, Interval, SqlError, SqlState, SqlType};

use super::{undefined, values};
use crate::compare::compare;
use crate::function::Arg;
use crate::functions::{add_interval, add_interval_in};
use crate::{cast, decimal};

const ROWS_PER_BATCH: usize = 8192;

/// The table for a call.
pub(super) fn table(arguments: &[ScalarValue], session: &Session) -> Result<Arc<dyn TableProvider>, SqlError> {
    let series = Arc::new(Series::new(arguments, session)?);
    let table = StreamingTable::try_new(Arc::clone(&series.schema), vec![series]);
    Ok(Arc::new(table.map_err(|e| SqlError::bug(e.to_string()))?))
}

/// A call.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) schema: SchemaRef,
    data_type: SqlType,
    /// NULL: there are no rows.
    pub(super) start: Datum,
    stop: Datum,
    step: Datum,
    /// Where days begin.
    zone: TimeZone,
    /// How the values after `stop` compare with it.
    direction: Ordering,
}

impl Series {
    /// Errors: 42883 for types there is no series of, 22023 for a step of zero, those of casts.
    fn new(arguments: &[ScalarValue], session: &Session) -> Result<Series, SqlError> {
        let given: Vec<(Datum, Arg)> = arguments
            .iter()
            .map(|value| {
                let t = arrow_form::sql_type(&value.data_type());
                let open = matches!(value, ScalarValue::Utf8(_) | ScalarValue::Null);
                let datum = t.and_then(|t| values::datum(value, t)).unwrap_or(Datum::Null);
                (datum, t.filter(|_| !open))
            })
            .collect();
        Series::of(&given, session)
    }

    /// The same of values and their types, `None` for constants of none.
    pub(super) fn of(given: &[(Datum, Arg)], session: &Session) -> Result<Series, SqlError> {
        let types: Vec<Arg> = given.iter().map(|(_, t)| *t).collect();
        let data_type = series_type(&types).ok_or_else(|| undefined("generate_series", &types))?;
        let step_type = if is_moment(data_type) { SqlType::Interval } else { data_type };
        let as_type = |(datum, _): &(Datum, Arg), t| cast::cast(datum.as_ref(), t, session);
        let (mut start, stop) = (as_type(&given[0], data_type)?, as_type(&given[1], data_type)?);
        let step = match (given.get(2), data_type) {
            (Some(step), _) => as_type(step, step_type)?,
            (None, SqlType::Int4) => Datum::Int4(1),
            (None, SqlType::Int8) => Datum::Int8(1),
            (None, SqlType::Numeric { scale, .. }) => Datum::Numeric(Decimal { unscaled: 10i128.pow(scale.into()), scale }),
            (None, _) => return Err(undefined("generate_series", &types)),
        };
        if stop.is_null() || step.is_null() {
            start = Datum::Null;
        }
        let zero = match &step {
            Datum::Int4(_) => Datum::Int4(0),
            Datum::Int8(_) => Datum::Int8(0),
            Datum::Numeric(v) => Datum::Numeric(Decimal { unscaled: 0, ..*v }),
            _ => Datum::Interval(Interval::default()),
        };
        let direction = compare(step.as_ref(), zero.as_ref()).unwrap_or(Ordering::Greater);
        if direction == Ordering::Equal && !start.is_null() {
            return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "step size cannot equal zero"));
        }
        let schema = Arc::new(Schema::new(vec![arrow_form::field("generate_series", data_type, true)]));
        Ok(Series { schema, data_type, start, stop, step, zone: session.zone.clone(), direction })
    }

    /// The rows from `at` on, some thousand of them, and where they go on.
    pub(super) fn batch(&self, mut at: Datum) -> Option<(RecordBatch, Datum)> {
        let mut builder = ColumnBuilder::new(self.data_type, ROWS_PER_BATCH);
        while builder.len() < ROWS_PER_BATCH && !at.is_null() && compare(at.as_ref(), self.stop.as_ref()) != Some(self.direction)
        {
            builder.append(at.as_ref());
            at = next(at.as_ref(), &self.step, &self.zone).unwrap_or(Datum::Null);
        }
        if builder.is_empty() {
            return None;
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), vec![builder.finish()]);
        Some((batch.expect("the builder is of the field's type"), at))
    }
}

impl PartitionStream for Series {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let series = self.clone();
        let mut at = self.start.clone();
        let batches = std::iter::from_fn(move || {
            let (batch, next) = series.batch(std::mem::replace(&mut at, Datum::Null))?;
            at = next;
            Some(Ok(batch))
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), futures::stream::iter(batches)))
    }
}

fn is_moment(t: SqlType) -> bool {
    matches!(t, SqlType::Timestamp | SqlType::TimestampTz)
}

/// The type of the rows; `None` if there is no such function.
pub(super) fn series_type(args: &[Arg]) -> Option<SqlType> {
    use SqlType::{Date, Int2, Int4, Int8, Interval, Numeric, Timestamp, TimestampTz};
    let [first, second, rest @ ..] = args else { return None };
    let ends = [*first, *second];
    match rest {
        [None | Some(Interval)] if ends.iter().all(|t| matches!(t, None | Some(Date | Timestamp | TimestampTz))) => {
            let of_timestamps = ends.contains(&Some(Timestamp)) && !ends.contains(&Some(TimestampTz));
            let known = rest[0].is_some() || ends.iter().any(Option::is_some);
            match of_timestamps {
                true => Some(Timestamp),
                // Of timestamptz and the others, PostgreSQL prefers it.
                false if known => Some(TimestampTz),
                false => None,
            }
        }
        [] | [_] => match crate::rules::common(args.iter().copied())? {
            Int2 | Int4 => Some(Int4),
            t @ (Int8 | Numeric { .. }) => Some(t),
            _ => None,
        },
        _ => None,
    }
}

/// The value a step on; `None` where the type ends.
fn next(value: DatumRef<'_>, step: &Datum, zone: &TimeZone) -> Option<Datum> {
    Some(match (value, step) {
        (DatumRef::Int4(v), Datum::Int4(step)) => Datum::Int4(v.checked_add(*step)?),
        (DatumRef::Int8(v), Datum::Int8(step)) => Datum::Int8(v.checked_add(*step)?),
        (DatumRef::Numeric(v), Datum::Numeric(step)) => Datum::Numeric(decimal::add(v, *step, v.scale).ok()?),
        (DatumRef::Timestamp(v), Datum::Interval(step)) => Datum::Timestamp(add_interval(v, *step).ok()?),
        (DatumRef::TimestampTz(v), Datum::Interval(step)) => Datum::TimestampTz(add_interval_in(zone, v, *step).ok()?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(series: &Series) -> Vec<String> {
        let mut lines = Vec::new();
        let mut at = series.start.clone();
        while let Some((batch, next)) = series.batch(at) {
            let column = batch.column(0);
            lines.extend(
                (0..column.len()).map(|row| types::text::to_string(arrow_form::datum_at(column, row, series.data_type).as_ref())),
            );
            at = next;
        }
        lines
    }

    /// Expected: PostgreSQL 15's.
    #[test]
    fn rows_end_where_the_next_would_be_beyond() {
        let int = |v: i32| ScalarValue::Int32(Some(v));
        let cases: [(&[ScalarValue], &[&str]); 7] = [
            (&[int(1), int(3)], &["1", "2", "3"]),
            (&[int(3), int(1)], &[]),
            (&[int(3), int(-2), int(-2)], &["3", "1", "-1"]),
            (&[int(i32::MAX - 1), int(i32::MAX)], &["2147483646", "2147483647"]),
            (&[int(1), ScalarValue::Int64(Some(2))], &["1", "2"]),
            (&[int(1), ScalarValue::Int32(None)], &[]),
            (&[int(1), ScalarValue::Int32(None), int(0)], &[]),
        ];
        for (arguments, expected) in cases {
            let series = Series::new(arguments, &Session::UTC).unwrap();
            assert_eq!(lines(&series), expected, "{arguments:?}");
        }
        let error = |arguments: &[ScalarValue]| Series::new(arguments, &Session::UTC).unwrap_err().state;
        assert_eq!(error(&[int(1), int(2), int(0)]), SqlState::INVALID_PARAMETER_VALUE);
        assert_eq!(error(&[int(1)]), SqlState::UNDEFINED_FUNCTION);
        assert_eq!(error(&[ScalarValue::Boolean(Some(true)), int(1)]), SqlState::UNDEFINED_FUNCTION);
    }

    #[test]
    fn batches_follow_each_other() {
        let series = Series::new(&[ScalarValue::Int32(Some(1)), ScalarValue::Int32(Some(20_000))], &Session::UTC).unwrap();
        let lines = lines(&series);
        assert_eq!(lines.len(), 20_000);
        assert_eq!(lines[8191..8193], ["8192", "8193"]);
    }
}

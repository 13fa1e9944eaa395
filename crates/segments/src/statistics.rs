//! What the planner is told about a column: smallest and greatest value, NULLs, and about how many distinct values.
//!
//! 1. `min` and `max` are exact or absent: absent where there is no value, where the type's key cannot be turned back into a
//!    value (interval), and where a text is longer than [`RANGE_BYTES_MAX`].
//! 2. They describe the segment as it was written. Rows deleted since still count; so over a table they are bounds, and counts
//!    are upper limits.

use types::key::encode;
use types::{Datum, SqlType};

use crate::codec::{Decoder, Encoder};
use crate::column::ColumnView;
use crate::error::Result;
use crate::filter::hash_bytes;
use crate::keys::decode_value;
use crate::sketch::{DistinctSketch, hash_u64};

/// Longest key of a smallest or greatest value that is kept.
pub(crate) const RANGE_BYTES_MAX: usize = 256;

/// A column's statistics, of one segment or of all of a table's.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnStatistics {
    /// The smallest value.
    pub min: Option<Datum>,
    /// The greatest value; NaN is the greatest float.
    pub max: Option<Datum>,
    /// Rows in which it is NULL.
    pub null_count: u64,
    /// About how many different values it has, NULL not counted; never more than there are rows.
    pub distinct: u64,
}

/// A table's statistics: what its segments hold, without the delta.
#[derive(Clone, Debug, PartialEq)]
pub struct TableStatistics {
    /// Rows that are live at the snapshot asked about.
    pub rows: u64,
    /// Rows that are stored: `rows` and those deleted since.
    pub stored_rows: u64,
    /// Per column.
    pub columns: Vec<ColumnStatistics>,
}

/// What a segment keeps of a column, mergeable.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ColumnSummary {
    pub(crate) rows: u64,
    pub(crate) nulls: u64,
    pub(crate) range: KeyRange,
    pub(crate) sketch: DistinctSketch,
}

/// The smallest and the greatest value as keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum KeyRange {
    #[default]
    Empty,
    Known(Vec<u8>, Vec<u8>),
    /// One of the values was too long to keep.
    Unknown,
}

impl KeyRange {
    fn merge(&mut self, other: &KeyRange) {
        match (&mut *self, other) {
            (KeyRange::Unknown, _) | (_, KeyRange::Empty) => {}
            (_, KeyRange::Unknown) => *self = KeyRange::Unknown,
            (KeyRange::Empty, known) => *self = known.clone(),
            (KeyRange::Known(min, max), KeyRange::Known(a, b)) => {
                if a < min {
                    min.clone_from(a);
                }
                if b > max {
                    max.clone_from(b);
                }
            }
        }
    }
}

impl ColumnSummary {
    pub(crate) fn merge(&mut self, other: &ColumnSummary) {
        self.rows += other.rows;
        self.nulls += other.nulls;
        self.range.merge(&other.range);
        self.sketch.merge(&other.sketch);
    }

    pub(crate) fn statistics(&self, t: SqlType) -> ColumnStatistics {
        let values = self.rows - self.nulls;
        let (min, max) = match &self.range {
            KeyRange::Known(min, max) => (decode_value(min, t), decode_value(max, t)),
            KeyRange::Empty | KeyRange::Unknown => (None, None),
        };
        let distinct = self.sketch.estimate().clamp(values.min(1), values);
        ColumnStatistics { min, max, null_count: self.nulls, distinct }
    }

    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.u64(self.rows);
        out.u64(self.nulls);
        match &self.range {
            KeyRange::Empty => out.u8(0),
            KeyRange::Known(min, max) => {
                out.u8(1);
                out.bytes(min);
                out.bytes(max);
            }
            KeyRange::Unknown => out.u8(2),
        }
        self.sketch.encode(out);
    }

    pub(crate) fn decode(from: &mut Decoder<'_>) -> Result<ColumnSummary> {
        let (rows, nulls) = (from.u64()?, from.u64()?);
        let range = match from.u8()? {
            0 => KeyRange::Empty,
            1 => KeyRange::Known(from.bytes()?.to_vec(), from.bytes()?.to_vec()),
            2 => KeyRange::Unknown,
            other => return Err(from.refuse(format!("{other} is no kind of range"))),
        };
        if nulls > rows {
            return Err(from.refuse("a column has more NULLs than rows"));
        }
        Ok(ColumnSummary { rows, nulls, range, sketch: DistinctSketch::decode(from)? })
    }
}

/// The range of a column whose smallest and greatest values are in the rows `extremes`.
pub(crate) fn range(view: ColumnView<'_>, t: SqlType, extremes: Option<(usize, usize)>) -> KeyRange {
    let Some((min, max)) = extremes else { return KeyRange::Empty };
    let key = |row| {
        let mut key = Vec::new();
        encode(view.value(row), t, &mut key);
        key
    };
    let (min, max) = (key(min), key(max));
    if min.len().max(max.len()) <= RANGE_BYTES_MAX { KeyRange::Known(min, max) } else { KeyRange::Unknown }
}

/// The hash by which a value, not NULL, is known to sketches. `key` is scratch.
pub(crate) fn hash_value(view: ColumnView<'_>, row: usize, t: SqlType, key: &mut Vec<u8>) -> u64 {
    match view {
        ColumnView::Bool(a) => hash_u64(u64::from(a.value(row))),
        ColumnView::Int2(a) => hash_u64(a.value(row) as u64),
        ColumnView::Int4(a) => hash_u64(a.value(row) as u64),
        ColumnView::Int8(a) => hash_u64(a.value(row) as u64),
        ColumnView::Date(a) => hash_u64(a.value(row) as u64),
        ColumnView::Time(a) => hash_u64(a.value(row) as u64),
        ColumnView::Timestamp(a) | ColumnView::TimestampTz(a) => hash_u64(a.value(row) as u64),
        ColumnView::Numeric(a, _) => {
            let v = a.value(row);
            hash_u64(v as u64 ^ hash_u64((v >> 64) as u64))
        }
        ColumnView::Text(a) => hash_bytes(a.value(row).as_bytes()),
        ColumnView::Bytea(a) => hash_bytes(a.value(row)),
        ColumnView::Uuid(a) => hash_bytes(a.value(row)),
        // Equal values of these have several forms (-0.0, NaN, 30 days): only their key is one.
        ColumnView::Float4(_) | ColumnView::Float8(_) | ColumnView::Interval(_) => {
            key.clear();
            encode(view.value(row), t, key);
            hash_bytes(key)
        }
    }
}

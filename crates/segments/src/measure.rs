//! What the sidecar keeps of a column's values, computed in one pass of each kind: zones, the smallest and greatest value, the sketch.
//!
//! ```text
//! rows    0 ... 4095 | 4096 ... 8191 | ...          the extremes of each run, and among those the extremes of all
//!         zone 0     | zone 1        | ...          sketch: every value's hash, a repeated short text's only once
//! ```
//!
//! Not here: what zones and summaries are for and how they are stored (`zone`, `statistics`).

use std::ops::Range;

use arrow::array::{Array, GenericByteViewArray};
use arrow::datatypes::ByteViewType;
use types::{DatumRef, SqlType};

use crate::column::ColumnView;
use crate::error::Result;
use crate::statistics::{ColumnSummary, hash_value, range};
use crate::zone::{Zone, bound_of_row};

/// Bytes of a text that lie in its view.
const INLINE_BYTES_MAX: u32 = 12;
/// Texts remembered as being in the sketch already.
const SEEN: usize = 256;

/// What is known of a run of a column's rows.
pub(crate) struct Measured {
    /// Of each run of rows per zone.
    pub(crate) zones: Vec<Zone>,
    /// Of all of them.
    pub(crate) zone: Zone,
    pub(crate) summary: ColumnSummary,
}

/// Measures a column. Errors: a numeric beyond its column's precision ([`crate::SegmentError::Misuse`]).
pub(crate) fn measure(view: ColumnView<'_>, t: SqlType, rows_per_zone: usize) -> Result<Measured> {
    let mut zones = Vec::with_capacity(view.len().div_ceil(rows_per_zone));
    let mut zone = Zone::empty();
    let mut found = Vec::with_capacity(2 * zones.capacity());
    for start in (0..view.len()).step_by(rows_per_zone) {
        let rows = start..(start + rows_per_zone).min(view.len());
        let range = match extremes(view, rows.clone()) {
            Some((min, max)) => {
                found.extend([min, max]);
                Some((bound_of_row(view, min, t)?, bound_of_row(view, max, t)?))
            }
            None => None,
        };
        let part = Zone::new(rows.len(), view.null_count_in(rows), range);
        zone.merge(&part);
        zones.push(part);
    }
    let mut summary = ColumnSummary {
        rows: view.len() as u64,
        nulls: view.null_count() as u64,
        range: range(view, t, extremes_among(view, &found)),
        ..ColumnSummary::default()
    };
    sketch(view, t, &mut summary);
    Ok(Measured { zones, zone, summary })
}

fn sketch(view: ColumnView<'_>, t: SqlType, summary: &mut ColumnSummary) {
    let mut key = Vec::new();
    let mut insert = |row| summary.sketch.insert(hash_value(view, row, t, &mut key));
    let nulls = view.nulls();
    match (view, nulls) {
        (ColumnView::Text(array), None) => {
            // No valid view: its length says it lies elsewhere, and it is not remembered then.
            let mut seen = [u128::MAX; SEEN];
            for (row, text) in array.views().iter().enumerate() {
                if *text as u32 <= INLINE_BYTES_MAX {
                    let mixed = (*text as u64 ^ (*text >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    let place = &mut seen[(mixed >> 56) as usize % SEEN];
                    if *place == *text {
                        continue;
                    }
                    *place = *text;
                }
                insert(row);
            }
        }
        (_, None) => (0..view.len()).for_each(insert),
        (_, Some(nulls)) => nulls.valid_indices().for_each(insert),
    }
}

/// Rows of the smallest and the greatest value among `rows`; None if all are NULL.
fn extremes(view: ColumnView<'_>, rows: Range<usize>) -> Option<(usize, usize)> {
    if view.nulls().is_some() {
        return by_row(view, rows);
    }
    match view {
        ColumnView::Int2(a) => by_value(a.values(), rows),
        ColumnView::Int4(a) => by_value(a.values(), rows),
        ColumnView::Int8(a) => by_value(a.values(), rows),
        ColumnView::Numeric(a, _) => by_value(a.values(), rows),
        ColumnView::Date(a) => by_value(a.values(), rows),
        ColumnView::Time(a) => by_value(a.values(), rows),
        ColumnView::Timestamp(a) | ColumnView::TimestampTz(a) => by_value(a.values(), rows),
        ColumnView::Text(a) => by_prefix(a, rows),
        ColumnView::Bytea(a) => by_prefix(a, rows),
        _ => by_row(view, rows),
    }
}

/// As [`extremes`], among a few rows.
fn extremes_among(view: ColumnView<'_>, rows: &[usize]) -> Option<(usize, usize)> {
    by_row(view, rows.iter().copied())
}

/// In plain numbers: two loops that the compiler makes wide, and a short look for where.
fn by_value<T: Ord + Copy>(values: &[T], rows: Range<usize>) -> Option<(usize, usize)> {
    let run = values.get(rows.clone())?;
    let first = *run.first()?;
    let (min, max) = run.iter().fold((first, first), |(min, max), v| (min.min(*v), max.max(*v)));
    let place = |wanted: T| run.iter().position(|v| *v == wanted).map(|at| rows.start + at);
    Some((place(min)?, place(max)?))
}

/// In texts: their first four bytes decide nearly always, and lie in the view.
fn by_prefix<T: ByteViewType>(array: &GenericByteViewArray<T>, rows: Range<usize>) -> Option<(usize, usize)>
where
    T::Native: Ord,
{
    let views = array.views();
    let prefix = |row: usize| ((views[row] >> 32) as u32).swap_bytes();
    let first = rows.clone().next()?;
    let (mut min, mut max) = (first, first);
    let (mut min_prefix, mut max_prefix) = (prefix(first), prefix(first));
    for row in rows {
        let own = prefix(row);
        if own < min_prefix || (own == min_prefix && views[row] != views[min] && array.value(row) < array.value(min)) {
            (min, min_prefix) = (row, own);
        }
        if own > max_prefix || (own == max_prefix && views[row] != views[max] && array.value(row) > array.value(max)) {
            (max, max_prefix) = (row, own);
        }
    }
    Some((min, max))
}

fn by_row(view: ColumnView<'_>, rows: impl Iterator<Item = usize>) -> Option<(usize, usize)> {
    fn by<T: Copy>(
        rows: impl Iterator<Item = usize>,
        nulls: Option<&arrow::buffer::NullBuffer>,
        value: impl Fn(usize) -> T,
        less: impl Fn(T, T) -> bool,
    ) -> Option<(usize, usize)> {
        let mut valid = rows.filter(|row| nulls.is_none_or(|nulls| nulls.is_valid(*row)));
        let first = valid.next()?;
        let (mut min, mut max) = ((first, value(first)), (first, value(first)));
        for row in valid {
            let v = value(row);
            if less(v, min.1) {
                min = (row, v);
            } else if less(max.1, v) {
                max = (row, v);
            }
        }
        Some((min.0, max.0))
    }
    // PostgreSQL's order of floats: NaN last.
    fn float_less(a: f64, b: f64) -> bool {
        if b.is_nan() { !a.is_nan() } else { a < b }
    }
    match view {
        ColumnView::Bool(a) => by(rows, a.nulls(), |i| a.value(i), |x, y| !x & y),
        ColumnView::Int2(a) => by(rows, a.nulls(), |i| a.value(i), |x, y| x < y),
        ColumnView::Int4(a) => by(rows, a.nulls(), |i| a.value(i), |x, y| x < y),
        ColumnView::Int8(a) => by(rows, a.nulls(), |i| a.value(i), |x, y| x < y),
        ColumnView::Float4(a) => by(rows, a.nulls(), |i| f64::from(a.value(i)), float_less),
        ColumnView::Float8(a) => by(rows, a.nulls(), |i| a.value(i), float_less),
        ColumnView::Numeric(a, _) => by(rows, a.nulls(), |i| a.value(i), |x, y| x < y),
        ColumnView::Text(a) => by(rows, a.nulls(), |i| a.value(i), |x, y| x < y),
        ColumnView::Bytea(a) => by(rows, a.nulls(), |i| a.value(i), |x, y| x < y),
        ColumnView::Date(a) => by(rows, a.nulls(), |i| a.value(i), |x, y| x < y),
        ColumnView::Time(a) => by(rows, a.nulls(), |i| a.value(i), |x, y| x < y),
        ColumnView::Timestamp(a) | ColumnView::TimestampTz(a) => by(rows, a.nulls(), |i| a.value(i), |x, y| x < y),
        ColumnView::Interval(a) => {
            let micros = |i| match view.value(i) {
                DatumRef::Interval(v) => types::key::interval_micros(v),
                _ => 0,
            };
            by(rows, a.nulls(), micros, |x, y| x < y)
        }
        ColumnView::Uuid(a) => by(rows, a.nulls(), |i| a.value(i), |x, y| x < y),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Decimal128Array, Int64Array, StringViewArray};

    use super::*;

    /// The short ways against the plain one, with and without NULLs.
    #[test]
    fn the_short_ways_find_what_the_plain_one_finds() {
        let mut state = 7_u64;
        let mut random = |n: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % n
        };
        let texts = ["", "a", "a\0", "ab", "abcd", "abcde", "abcdefghijkl", "abcdefghijklm", "abcdefghijkln", "b", "\u{ff}"];
        for round in 0..200 {
            let n = 1 + random(40) as usize;
            let words: Vec<Option<&str>> =
                (0..n).map(|_| (round % 2 == 0 || random(3) > 0).then(|| texts[random(11) as usize])).collect();
            let numbers: Vec<Option<i64>> = words.iter().map(|w| w.map(|_| random(9) as i64 - 4)).collect();
            let columns: [(ArrayRef, SqlType); 3] = [
                (Arc::new(StringViewArray::from(words)), SqlType::Text),
                (Arc::new(Int64Array::from(numbers.clone())), SqlType::Int8),
                (
                    Arc::new(
                        numbers
                            .iter()
                            .map(|v| v.map(i128::from))
                            .collect::<Decimal128Array>()
                            .with_precision_and_scale(9, 2)
                            .unwrap(),
                    ),
                    SqlType::Numeric { precision: 9, scale: 2 },
                ),
            ];
            for (array, t) in &columns {
                let view = ColumnView::new(array, *t).unwrap();
                let shown =
                    |found: Option<(usize, usize)>| found.map(|(a, b)| (view.value(a).to_owned(), view.value(b).to_owned()));
                assert_eq!(shown(extremes(view, 0..n)), shown(by_row(view, 0..n)), "{array:?}");
                let mut plain = ColumnSummary::default();
                let valid = (0..n).filter(|row| !view.is_null(*row));
                valid.for_each(|row| plain.sketch.insert(hash_value(view, row, *t, &mut Vec::new())));
                assert_eq!(measure(view, *t, 7).unwrap().summary.sketch, plain.sketch);
            }
        }
    }
}

//! Zone maps: for a run of rows and a column, the smallest and greatest value and how many NULLs; and the question they answer:
//! can any row of the run satisfy `column op value`?
//!
//! ```text
//! bound = first 16 bytes of the value's order-preserving key (types::key)      a prefix compares like the whole:
//!   x < y   implies   prefix(x) <= prefix(y)                                   so a cut bound is still a bound
//! ```
//!
//! 1. The answer errs only towards "perhaps": a value of a type that does not fit the column, a NULL, anything not understood
//!    never excludes a row.
//! 2. Order is PostgreSQL's as `types::key` has it: NaN is the greatest float and equals itself, -0.0 equals 0.0, text is bytes.
//!
//! Not here: which rows a query asks for; that is evaluated on the values themselves.

use types::key::encode;
use types::{Datum, DatumRef, Decimal, SqlType};

use crate::codec::{Decoder, Encoder};
use crate::column::ColumnView;
use crate::error::{Result, SegmentError};
use crate::keys::decode_value;

/// Bytes of a key that a bound keeps: all of every fixed-width type.
pub(crate) const BOUND_BYTES: usize = 16;

/// A comparison of a column with a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `column = value`
    Eq,
    /// `column <> value`
    NotEq,
    /// `column < value`
    Lt,
    /// `column <= value`
    LtEq,
    /// `column > value`
    Gt,
    /// `column >= value`
    GtEq,
    /// `column IS NULL`; the value is not looked at
    IsNull,
    /// `column IS NOT NULL`; the value is not looked at
    IsNotNull,
}

/// One condition that every wanted row satisfies.
#[derive(Clone, Debug, PartialEq)]
pub struct Predicate {
    /// Position of the column in the segment's schema.
    pub column: usize,
    /// The comparison.
    pub op: Op,
    /// What the column is compared with.
    pub value: Datum,
}

/// A [`Predicate`] made ready for the zones of one segment: its value in the column's order-preserving form.
#[derive(Clone, Debug)]
pub struct Probe {
    pub(crate) column: usize,
    op: Op,
    bound: Option<Bound>,
}

/// The beginning of a value's key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bound {
    len: u8,
    bytes: [u8; BOUND_BYTES],
}

impl std::fmt::Debug for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_slice().fmt(f)
    }
}

/// The zone map of one column over a run of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    rows: u32,
    nulls: u32,
    range: Option<(Bound, Bound)>,
}

impl Bound {
    fn of_key(key: &[u8]) -> Bound {
        let len = key.len().min(BOUND_BYTES);
        let mut bytes = [0; BOUND_BYTES];
        bytes[..len].copy_from_slice(&key[..len]);
        Bound { len: len as u8, bytes }
    }

    fn of(value: DatumRef<'_>, t: SqlType) -> Bound {
        let mut key = Vec::with_capacity(BOUND_BYTES);
        match value {
            // A long text costs only its beginning: cutting it (at a character) keeps the first 16 bytes of its key.
            DatumRef::Text(v) => {
                let end = (0..=v.len().min(BOUND_BYTES + 3)).rev().find(|i| v.is_char_boundary(*i)).unwrap_or(0);
                encode(DatumRef::Text(&v[..end]), t, &mut key);
            }
            DatumRef::Bytea(v) => encode(DatumRef::Bytea(&v[..v.len().min(BOUND_BYTES)]), t, &mut key),
            v => encode(v, t, &mut key),
        }
        Bound::of_key(&key)
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// True if this is all of the value's key: nothing was cut off.
    fn is_whole(&self, t: SqlType) -> bool {
        usize::from(self.len) < BOUND_BYTES || !(t.is_string() || t == SqlType::Bytea)
    }
}

impl Predicate {
    /// This condition, ready for zones of a column of type `t`.
    pub fn probe(&self, t: SqlType) -> Probe {
        let (op, bound) = match fit(&self.value, self.op, t) {
            Some((op, value)) => (op, Some(Bound::of(value.as_ref(), t))),
            None => (self.op, None),
        };
        Probe { column: self.column, op, bound }
    }
}

impl Zone {
    /// Rows in the run.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// How many of them hold NULL.
    pub fn null_count(&self) -> u32 {
        self.nulls
    }

    /// The smallest value; None if there is none, or if the type's bounds are cut (text, bytea) or not invertible (interval).
    pub fn min(&self, t: SqlType) -> Option<Datum> {
        self.range.filter(|_| width_is_fixed(t)).and_then(|(min, _)| decode_value(min.as_slice(), t))
    }

    /// The greatest value; None as for [`Zone::min`]. NaN is the greatest float.
    pub fn max(&self, t: SqlType) -> Option<Datum> {
        self.range.filter(|_| width_is_fixed(t)).and_then(|(_, max)| decode_value(max.as_slice(), t))
    }

    /// False: no row of the run satisfies the condition. True: perhaps one does. `t` is the column's type.
    pub fn may_match(&self, probe: &Probe, t: SqlType) -> bool {
        match probe.op {
            Op::IsNull => return self.nulls > 0,
            Op::IsNotNull => return self.nulls < self.rows,
            _ => {}
        }
        let Some(bound) = probe.bound else { return true };
        let Some((min, max)) = self.range else {
            return self.nulls < self.rows;
        };
        let (value, min_bytes, max_bytes) = (bound.as_slice(), min.as_slice(), max.as_slice());
        match probe.op {
            Op::Eq => min_bytes <= value && value <= max_bytes,
            // A value below a cut bound of the same bytes is possible: only a strict difference excludes.
            Op::Lt if min.is_whole(t) && bound.is_whole(t) => min_bytes < value,
            Op::Lt | Op::LtEq => min_bytes <= value,
            Op::Gt if max.is_whole(t) && bound.is_whole(t) => max_bytes > value,
            Op::Gt | Op::GtEq => max_bytes >= value,
            Op::NotEq => !(min == max && min == bound && min.is_whole(t)),
            Op::IsNull | Op::IsNotNull => true,
        }
    }

    /// The zone of both runs together.
    pub(crate) fn merge(&mut self, other: &Zone) {
        self.rows += other.rows;
        self.nulls += other.nulls;
        self.range = match (self.range, other.range) {
            (Some((a, b)), Some((c, d))) => {
                Some((if c.as_slice() < a.as_slice() { c } else { a }, if d.as_slice() > b.as_slice() { d } else { b }))
            }
            (a, b) => a.or(b),
        };
    }

    /// The zone of `rows` rows, `nulls` of them NULL, between these bounds.
    pub(crate) fn new(rows: usize, nulls: usize, range: Option<(Bound, Bound)>) -> Zone {
        Zone { rows: rows as u32, nulls: nulls as u32, range }
    }

    /// The zone of no rows.
    pub(crate) fn empty() -> Zone {
        Zone { rows: 0, nulls: 0, range: None }
    }

    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.u32(self.rows);
        out.u32(self.nulls);
        match &self.range {
            None => out.u8(u8::MAX),
            Some((min, max)) => {
                for bound in [min, max] {
                    out.u8(bound.len);
                    out.raw(bound.as_slice());
                }
            }
        }
    }

    pub(crate) fn decode(from: &mut Decoder<'_>) -> Result<Zone> {
        let (rows, nulls) = (from.u32()?, from.u32()?);
        let range = match from.u8()? {
            u8::MAX => None,
            len => {
                let min = decode_bound(from, len)?;
                let len = from.u8()?;
                Some((min, decode_bound(from, len)?))
            }
        };
        if nulls > rows || (range.is_none() && nulls < rows) {
            return Err(from.refuse("a zone's counts contradict each other"));
        }
        Ok(Zone { rows, nulls, range })
    }
}

fn decode_bound(from: &mut Decoder<'_>, len: u8) -> Result<Bound> {
    if usize::from(len) > BOUND_BYTES {
        return Err(from.refuse("a bound is too long"));
    }
    Ok(Bound::of_key(from.raw(usize::from(len))?))
}

fn width_is_fixed(t: SqlType) -> bool {
    !(t.is_string() || t == SqlType::Bytea)
}

pub(crate) fn bound_of_row(view: ColumnView<'_>, row: usize, t: SqlType) -> Result<Bound> {
    let value = view.value(row);
    if let (DatumRef::Numeric(v), SqlType::Numeric { precision, .. }) = (value, t)
        && v.unscaled.unsigned_abs() >= 10u128.pow(u32::from(precision))
    {
        return Err(SegmentError::Misuse(format!("a value of {t} has more digits than that")));
    }
    Ok(Bound::of(value, t))
}

/// The condition with its value in the column's type; None if it cannot be told apart soundly there.
fn fit(value: &Datum, op: Op, t: SqlType) -> Option<(Op, Datum)> {
    let integer = match value {
        Datum::Int2(v) => Some(i128::from(*v)),
        Datum::Int4(v) => Some(i128::from(*v)),
        Datum::Int8(v) => Some(i128::from(*v)),
        _ => None,
    };
    let same = |value: &Datum| Some((op, value.clone()));
    match (t, value) {
        (SqlType::Int2, _) => Some((op, Datum::Int2(i16::try_from(integer?).ok()?))),
        (SqlType::Int4, _) => Some((op, Datum::Int4(i32::try_from(integer?).ok()?))),
        (SqlType::Int8, _) => Some((op, Datum::Int8(i64::try_from(integer?).ok()?))),
        (SqlType::Numeric { precision, scale }, _) => {
            let v = match (integer, value) {
                (Some(unscaled), _) => Decimal { unscaled, scale: 0 },
                (None, Datum::Numeric(v)) => *v,
                _ => return None,
            };
            let (op, unscaled) = rescale(v, op, scale)?;
            let fits = unscaled.unsigned_abs() < 10u128.pow(u32::from(precision));
            fits.then_some((op, Datum::Numeric(Decimal { unscaled, scale })))
        }
        // Stored values are padded to n characters.
        (SqlType::Char(n), Datum::Text(v)) => {
            let missing = (n as usize).saturating_sub(v.chars().count());
            Some((op, Datum::Text([v.as_ref(), &" ".repeat(missing)].concat().into_boxed_str())))
        }
        (SqlType::Text | SqlType::Varchar(_), Datum::Text(_))
        | (SqlType::Bool, Datum::Bool(_))
        | (SqlType::Float4, Datum::Float4(_))
        | (SqlType::Float8, Datum::Float8(_))
        | (SqlType::Bytea, Datum::Bytea(_))
        | (SqlType::Date, Datum::Date(_))
        | (SqlType::Time, Datum::Time(_))
        | (SqlType::Timestamp, Datum::Timestamp(_))
        | (SqlType::TimestampTz, Datum::TimestampTz(_))
        | (SqlType::Interval, Datum::Interval(_))
        | (SqlType::Uuid, Datum::Uuid(_)) => same(value),
        _ => None,
    }
}

/// `v` at another scale. With digits lost, a bound between two representable values becomes the lower one: x < 1.25 and
/// x <= 1.25 are x <= 1.2 at one digit, x > 1.25 and x >= 1.25 are x > 1.2; equality is left undecided.
fn rescale(v: Decimal, op: Op, scale: u8) -> Option<(Op, i128)> {
    if v.scale > 38 {
        return None;
    }
    if v.scale <= scale {
        let factor = 10i128.pow(u32::from(scale - v.scale));
        return Some((op, v.unscaled.checked_mul(factor)?));
    }
    let factor = 10i128.pow(u32::from(v.scale - scale));
    let floor = v.unscaled.div_euclid(factor);
    if v.unscaled.rem_euclid(factor) == 0 {
        return Some((op, floor));
    }
    match op {
        Op::Lt | Op::LtEq => Some((Op::LtEq, floor)),
        Op::Gt | Op::GtEq => Some((Op::Gt, floor)),
        Op::Eq | Op::NotEq | Op::IsNull | Op::IsNotNull => None,
    }
}

//! One row as one byte image: what the delta keeps in a slot, what the log and a checkpoint carry.
//!
//! ```text
//! | null bitmap | fixed part: one field per column, at the offsets of the layout | variable part |
//!   bit i set = column i is NULL (its field is zero)
//!   text, bytea: field = u32 offset into the variable part, u32 length        all integers little-endian
//! ```
//!
//! 1. A layout is made from column types alone, so two tables with the same types share images.
//! 2. Offsets are relative to the variable part: fixed and variable part can be stored apart and still be read.
//! 3. `decode` checks every offset, so an image read from disk is either readable in full or refused.
//!
//! The byte table is in `docs/format.md`.

use crate::datum::{Datum, DatumRef, Decimal, Interval};
use crate::sql_type::SqlType;

/// A row image, see the module's head.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Row(pub Box<[u8]>);

/// Where each column of a row image is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowLayout {
    types: Vec<SqlType>,
    offsets: Vec<u32>,
    fixed_len: usize,
}

/// A readable row: an image, or its two parts where they are stored apart.
#[derive(Clone, Copy, Debug)]
pub struct RowRef<'a> {
    layout: &'a RowLayout,
    fixed: &'a [u8],
    variable: &'a [u8],
}

/// A row image that does not fit its layout; `column` counts from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("row image does not fit its layout at column {column}")]
pub struct MalformedRow {
    /// The first column that cannot be read.
    pub column: usize,
}

fn width(column: SqlType) -> usize {
    match column {
        SqlType::Bool => 1,
        SqlType::Int2 => 2,
        SqlType::Int4 | SqlType::Float4 | SqlType::Date => 4,
        SqlType::Int8 | SqlType::Float8 | SqlType::Time | SqlType::Timestamp | SqlType::TimestampTz => 8,
        SqlType::Numeric { precision, .. } if precision <= 18 => 8,
        SqlType::Numeric { .. } | SqlType::Interval | SqlType::Uuid => 16,
        SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_) | SqlType::Bytea => 8,
    }
}

fn is_variable(column: SqlType) -> bool {
    column.is_string() || column == SqlType::Bytea
}

impl RowLayout {
    /// The layout of rows with these column types.
    pub fn new(types: &[SqlType]) -> RowLayout {
        let mut at = types.len().div_ceil(8);
        let offsets = types
            .iter()
            .map(|t| {
                let offset = at as u32;
                at += width(*t);
                offset
            })
            .collect();
        RowLayout { types: types.to_vec(), offsets, fixed_len: at }
    }

    /// The column types, in order.
    pub fn types(&self) -> &[SqlType] {
        &self.types
    }

    /// Bytes of null bitmap and fixed part: where the variable part starts.
    pub fn fixed_len(&self) -> usize {
        self.fixed_len
    }

    /// Where in the fixed part the field of column `column` (from 0) is.
    pub fn field(&self, column: usize) -> std::ops::Range<usize> {
        let at = self.offsets[column] as usize;
        at..at + width(self.types[column])
    }

    /// True if the field of column `column` (from 0) refers to the variable part: u32 offset, u32 length.
    pub fn is_variable(&self, column: usize) -> bool {
        is_variable(self.types[column])
    }

    /// Writes the image of `values`, one of each column's type (or NULL) in order. A `Numeric` must have its column's scale and
    /// every value must already be coerced to its column's type ([`crate::coerce`]); a mismatch is a bug of the caller and panics.
    pub fn encode(&self, values: &[Datum]) -> Row {
        self.encode_refs(values.iter().map(Datum::as_ref))
    }

    /// As [`RowLayout::encode`], for borrowed values.
    pub fn encode_refs<'a>(&self, values: impl ExactSizeIterator<Item = DatumRef<'a>> + Clone) -> Row {
        let variable = values.clone().map(|value| match value {
            DatumRef::Text(text) => text.len(),
            DatumRef::Bytea(bytes) => bytes.len(),
            _ => 0,
        });
        // All of it at once, and no more: the image is kept as it is.
        let mut image = Vec::with_capacity(self.fixed_len + variable.sum::<usize>());
        self.append_refs(values, &mut image);
        Row(image.into_boxed_slice())
    }

    /// As [`RowLayout::encode_refs`], at the end of `out`.
    pub fn append_refs<'a>(&self, values: impl ExactSizeIterator<Item = DatumRef<'a>>, out: &mut Vec<u8>) {
        assert_eq!(values.len(), self.types.len(), "one value per column");
        let start = out.len();
        out.resize(start + self.fixed_len, 0);
        for (column, value) in values.enumerate() {
            self.put(out, start, column, value);
        }
    }

    /// Writes a value into the image that begins at `start` and ends where `image` does.
    fn put(&self, image: &mut Vec<u8>, start: usize, column: usize, value: DatumRef<'_>) {
        let at = start + self.offsets[column] as usize;
        let mut set = |bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
        match (value, self.types[column]) {
            (DatumRef::Null, _) => image[start + column / 8] |= 1 << (column % 8),
            (DatumRef::Bool(v), SqlType::Bool) => set(&[u8::from(v)]),
            (DatumRef::Int2(v), SqlType::Int2) => set(&v.to_le_bytes()),
            (DatumRef::Int4(v), SqlType::Int4) | (DatumRef::Date(v), SqlType::Date) => set(&v.to_le_bytes()),
            (DatumRef::Int8(v), SqlType::Int8)
            | (DatumRef::Time(v), SqlType::Time)
            | (DatumRef::Timestamp(v), SqlType::Timestamp)
            | (DatumRef::TimestampTz(v), SqlType::TimestampTz) => set(&v.to_le_bytes()),
            (DatumRef::Float4(v), SqlType::Float4) => set(&v.to_le_bytes()),
            (DatumRef::Float8(v), SqlType::Float8) => set(&v.to_le_bytes()),
            (DatumRef::Numeric(v), SqlType::Numeric { precision, scale }) => {
                assert_eq!(v.scale, scale, "numeric of column {column} is not at its column's scale");
                if precision <= 18 {
                    set(&i64::try_from(v.unscaled).expect("numeric was coerced to its precision").to_le_bytes());
                } else {
                    set(&v.unscaled.to_le_bytes());
                }
            }
            (DatumRef::Interval(v), SqlType::Interval) => {
                let mut bytes = [0; 16];
                bytes[..4].copy_from_slice(&v.months.to_le_bytes());
                bytes[4..8].copy_from_slice(&v.days.to_le_bytes());
                bytes[8..].copy_from_slice(&v.micros.to_le_bytes());
                set(&bytes);
            }
            (DatumRef::Uuid(v), SqlType::Uuid) => set(&v),
            (DatumRef::Text(v), t) if t.is_string() => self.put_variable(image, start, at, v.as_bytes()),
            (DatumRef::Bytea(v), SqlType::Bytea) => self.put_variable(image, start, at, v),
            (value, t) => panic!("{value:?} in column {column} of type {t}: values are coerced before they are encoded"),
        }
    }

    fn put_variable(&self, image: &mut Vec<u8>, start: usize, at: usize, bytes: &[u8]) {
        let offset = (image.len() - start - self.fixed_len) as u32;
        image[at..at + 4].copy_from_slice(&offset.to_le_bytes());
        image[at + 4..at + 8].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
        image.extend_from_slice(bytes);
    }

    /// Reads an image made by [`RowLayout::encode`] of this layout.
    pub fn read<'a>(&'a self, row: &'a Row) -> RowRef<'a> {
        self.read_image(&row.0)
    }

    /// As [`RowLayout::read`], of an image that lies among others.
    pub fn read_image<'a>(&'a self, image: &'a [u8]) -> RowRef<'a> {
        let (fixed, variable) = image.split_at(self.fixed_len);
        self.read_parts(fixed, variable)
    }

    /// Reads an image whose fixed part (with the null bitmap) and variable part are stored apart.
    pub fn read_parts<'a>(&'a self, fixed: &'a [u8], variable: &'a [u8]) -> RowRef<'a> {
        RowRef { layout: self, fixed, variable }
    }

    /// Takes an image that came from disk: checks that every field can be read. Errors: [`MalformedRow`].
    pub fn decode(&self, image: &[u8]) -> Result<Row, MalformedRow> {
        if image.len() < self.fixed_len {
            return Err(MalformedRow { column: 0 });
        }
        let (fixed, variable) = image.split_at(self.fixed_len);
        for (column, t) in self.types.iter().enumerate() {
            if fixed[column / 8] & (1 << (column % 8)) != 0 || !is_variable(*t) {
                continue;
            }
            let (offset, len) = reference(fixed, self.offsets[column] as usize);
            let bytes = offset.checked_add(len).and_then(|end| variable.get(offset..end)).ok_or(MalformedRow { column })?;
            if t.is_string() && std::str::from_utf8(bytes).is_err() {
                return Err(MalformedRow { column });
            }
        }
        Ok(Row(image.into()))
    }
}

fn reference(fixed: &[u8], at: usize) -> (usize, usize) {
    (u32::from_le_bytes(take(fixed, at)) as usize, u32::from_le_bytes(take(fixed, at + 4)) as usize)
}

fn take<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the slice has N bytes")
}

impl<'a> RowRef<'a> {
    /// Columns of the row.
    pub fn len(&self) -> usize {
        self.layout.types.len()
    }

    /// True for a row of no columns.
    pub fn is_empty(&self) -> bool {
        self.layout.types.is_empty()
    }

    /// True if column `column` (from 0) is NULL.
    pub fn is_null(&self, column: usize) -> bool {
        self.fixed[column / 8] & (1 << (column % 8)) != 0
    }

    /// The value of column `column` (from 0). Costs a few nanoseconds; text is checked for UTF-8 when an image is decoded from
    /// disk and again here.
    pub fn get(&self, column: usize) -> DatumRef<'a> {
        if self.is_null(column) {
            return DatumRef::Null;
        }
        let (fixed, at) = (self.fixed, self.layout.offsets[column] as usize);
        match self.layout.types[column] {
            SqlType::Bool => DatumRef::Bool(fixed[at] != 0),
            SqlType::Int2 => DatumRef::Int2(i16::from_le_bytes(take(fixed, at))),
            SqlType::Int4 => DatumRef::Int4(i32::from_le_bytes(take(fixed, at))),
            SqlType::Date => DatumRef::Date(i32::from_le_bytes(take(fixed, at))),
            SqlType::Int8 => DatumRef::Int8(i64::from_le_bytes(take(fixed, at))),
            SqlType::Time => DatumRef::Time(i64::from_le_bytes(take(fixed, at))),
            SqlType::Timestamp => DatumRef::Timestamp(i64::from_le_bytes(take(fixed, at))),
            SqlType::TimestampTz => DatumRef::TimestampTz(i64::from_le_bytes(take(fixed, at))),
            SqlType::Float4 => DatumRef::Float4(f32::from_le_bytes(take(fixed, at))),
            SqlType::Float8 => DatumRef::Float8(f64::from_le_bytes(take(fixed, at))),
            SqlType::Numeric { precision, scale } => DatumRef::Numeric(Decimal {
                unscaled: if precision <= 18 {
                    i128::from(i64::from_le_bytes(take(fixed, at)))
                } else {
                    i128::from_le_bytes(take(fixed, at))
                },
                scale,
            }),
            SqlType::Interval => DatumRef::Interval(Interval {
                months: i32::from_le_bytes(take(fixed, at)),
                days: i32::from_le_bytes(take(fixed, at + 4)),
                micros: i64::from_le_bytes(take(fixed, at + 8)),
            }),
            SqlType::Uuid => DatumRef::Uuid(take(fixed, at)),
            SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_) => {
                let (offset, len) = reference(fixed, at);
                let bytes = &self.variable[offset..offset + len];
                DatumRef::Text(std::str::from_utf8(bytes).expect("text was UTF-8 when the image was made or decoded"))
            }
            SqlType::Bytea => {
                let (offset, len) = reference(fixed, at);
                DatumRef::Bytea(&self.variable[offset..offset + len])
            }
        }
    }

    /// Every value in column order, owned.
    pub fn to_datums(self) -> Vec<Datum> {
        (0..self.len()).map(|column| self.get(column).to_owned()).collect()
    }

    /// The image in one piece, as [`RowLayout::encode`] makes it.
    pub fn to_row(self) -> Row {
        let mut image = Vec::with_capacity(self.fixed.len() + self.variable.len());
        self.append_to(&mut image);
        Row(image.into_boxed_slice())
    }

    /// The image at the end of `out`.
    pub fn append_to(self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.fixed);
        out.extend_from_slice(self.variable);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_type() -> (RowLayout, Vec<Datum>) {
        let (types, values): (Vec<_>, Vec<_>) = [
            (SqlType::Bool, Datum::Bool(true)),
            (SqlType::Int2, Datum::Int2(-2)),
            (SqlType::Int4, Datum::Int4(i32::MIN)),
            (SqlType::Int8, Datum::Int8(i64::MAX)),
            (SqlType::Float4, Datum::Float4(1.5)),
            (SqlType::Float8, Datum::Float8(-0.25)),
            (SqlType::Numeric { precision: 15, scale: 2 }, Datum::Numeric(Decimal { unscaled: -12345, scale: 2 })),
            (SqlType::Numeric { precision: 38, scale: 4 }, Datum::Numeric(Decimal { unscaled: 10i128.pow(37), scale: 4 })),
            (SqlType::Text, Datum::Text("säule".into())),
            (SqlType::Varchar(3), Datum::Text("".into())),
            (SqlType::Char(2), Datum::Text("a ".into())),
            (SqlType::Bytea, Datum::Bytea([0, 255].into())),
            (SqlType::Date, Datum::Date(-1)),
            (SqlType::Time, Datum::Time(1)),
            (SqlType::Timestamp, Datum::Timestamp(2)),
            (SqlType::TimestampTz, Datum::TimestampTz(3)),
            (SqlType::Interval, Datum::Interval(Interval { months: 1, days: -2, micros: 3 })),
            (SqlType::Uuid, Datum::Uuid([7; 16])),
        ]
        .into_iter()
        .unzip();
        (RowLayout::new(&types), values)
    }

    #[test]
    fn an_image_gives_back_its_values() {
        let (layout, values) = every_type();
        let row = layout.encode(&values);
        assert_eq!(layout.read(&row).to_datums(), values);
        assert_eq!(layout.decode(&row.0), Ok(row.clone()));
        let mut several = b"before".to_vec();
        layout.append_refs(values.iter().map(Datum::as_ref), &mut several);
        assert_eq!(several[6..], *row.0);
        let nulls = vec![Datum::Null; values.len()];
        let row = layout.encode(&nulls);
        assert_eq!(layout.read(&row).to_datums(), nulls);
    }

    #[test]
    fn a_cut_or_bent_image_is_refused_or_readable_but_never_panics() {
        let (layout, values) = every_type();
        let row = layout.encode(&values);
        for len in 0..row.0.len() {
            if let Ok(cut) = layout.decode(&row.0[..len]) {
                layout.read(&cut).to_datums();
            }
        }
        for at in 0..row.0.len() {
            for bit in 0..8 {
                let mut bent = row.0.to_vec();
                bent[at] ^= 1 << bit;
                if let Ok(bent) = layout.decode(&bent) {
                    layout.read(&bent).to_datums();
                }
            }
        }
        assert_eq!(layout.decode(&[]), Err(MalformedRow { column: 0 }));
    }
}

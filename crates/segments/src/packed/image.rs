//! A packed column as bytes, for a local file.
//!
//! ```text
//! | kind, width, has NULLs, - | rows | strings | bytes of strings | base | most | validity | codes or values | offsets | bytes of strings |
//!   1     1      1          1   4      4         8                  8      8      each part at a multiple of 64, where Arrow wants it
//! ```
//!
//! 1. Reading takes the parts as they are, without a copy; only the strings of a dictionary get views.
//! 2. Strings that do not come again have no image: Parquet has them about as they would be here, and in half the room.
//! 3. Bytes whose checksum is right are still not believed: codes are within their range, strings are UTF-8, lengths fit.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayRef, BinaryArray, BinaryViewArray, StringArray, StringViewArray, make_array};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::DataType;
use types::{SqlType, arrow_form};

use super::{Codes, Form, Packed};
use crate::codec::{Decoder, Encoder};
use crate::column::{Column, ColumnView};

/// Of each part.
const ALIGNMENT: usize = 64;

const VALUES: u8 = 0;
const WHOLE: u8 = 1;
const DICTIONARY: u8 = 2;

/// Strings one behind the other.
struct Strings {
    offsets: ScalarBuffer<i32>,
    bytes: Vec<u8>,
}

impl Strings {
    /// Those of a column of strings; NULLs are empty. `None` for 2 GiB of them.
    fn of(column: ColumnView<'_>) -> Option<Strings> {
        let (mut offsets, mut bytes) = (vec![0], Vec::new());
        for row in 0..column.len() {
            match column {
                ColumnView::Text(array) if array.is_valid(row) => bytes.extend_from_slice(array.value(row).as_bytes()),
                ColumnView::Bytea(array) if array.is_valid(row) => bytes.extend_from_slice(array.value(row)),
                _ => {}
            }
            offsets.push(i32::try_from(bytes.len()).ok()?);
        }
        Some(Strings { offsets: offsets.into(), bytes })
    }
}

impl Packed {
    /// The bytes of an image. `None`: it has none.
    pub(crate) fn image(&self) -> Option<Vec<u8>> {
        match &self.form {
            Form::Plain(array, column) => self.image_of(VALUES, 0, (0, 0), array.nulls(), column.bytes()?.as_slice(), None),
            Form::Whole { base, codes, most, nulls } => {
                self.image_of(WHOLE, codes.width(), (*base, *most), nulls.as_ref(), codes.bytes(), None)
            }
            Form::Strings { column, codes, nulls, .. } => {
                let strings = Strings::of(column.view())?;
                self.image_of(DICTIONARY, codes.width(), (0, 0), nulls.as_ref(), codes.bytes(), Some(strings))
            }
        }
    }

    fn image_of(
        &self,
        kind: u8,
        width: u8,
        (base, most): (i64, u64),
        nulls: Option<&NullBuffer>,
        values: &[u8],
        strings: Option<Strings>,
    ) -> Option<Vec<u8>> {
        let strings = strings.unwrap_or_else(|| Strings { offsets: vec![0].into(), bytes: vec![] });
        let count = strings.offsets.len() - 1;
        let mut out = Encoder { bytes: Vec::with_capacity(self.memory()) };
        out.raw(&[kind, width, u8::from(nulls.is_some()), 0]);
        out.u32(u32::try_from(self.rows).ok()?);
        out.u32(u32::try_from(count).ok()?);
        out.u64(strings.bytes.len() as u64);
        out.u64(base as u64);
        out.u64(most);
        let mut part = |bytes: &[u8]| {
            out.bytes.resize(out.bytes.len().next_multiple_of(ALIGNMENT), 0);
            out.raw(bytes);
        };
        if let Some(nulls) = nulls {
            part(nulls.inner().sliced().as_slice());
        }
        part(values);
        if kind == DICTIONARY {
            part(strings.offsets.inner().as_slice());
            part(&strings.bytes);
        }
        Some(out.bytes)
    }

    /// The column of type `t` and `rows` values that has this image. `None`: it is no image of such a column.
    pub(crate) fn of_image(image: &Buffer, t: SqlType, rows: usize) -> Option<Packed> {
        // What is wrong with it nobody asks.
        let mut from = Decoder::new(Path::new(""), image);
        let (kind, width, has_nulls) = (from.u8().ok()?, from.u8().ok()?, from.u8().ok()? != 0);
        from.u8().ok()?;
        if from.u32().ok()? as usize != rows {
            return None;
        }
        let (count, text_bytes) = (from.u32().ok()? as usize, usize::try_from(from.u64().ok()?).ok()?);
        let (base, most) = (from.u64().ok()? as i64, from.u64().ok()?);
        let mut at = from.position();
        let mut part = |bytes: usize| {
            let start = usize::next_multiple_of(at, ALIGNMENT);
            at = start.checked_add(bytes)?;
            (at <= image.len()).then(|| image.slice_with_length(start, bytes))
        };
        let nulls = match has_nulls {
            true => Some(NullBuffer::new(BooleanBuffer::new(part(rows.div_ceil(8))?, 0, rows))),
            false => None,
        };
        let mut memory = size_of::<Packed>() + image.len();
        let form = match kind {
            WHOLE => {
                let codes = Codes::of_bytes(part(rows.checked_mul(width.into())?)?, width)?;
                base.checked_add_unsigned(most)?;
                if !is_whole(t) || codes.greatest() > most {
                    return None;
                }
                Form::Whole { base, codes, most, nulls }
            }
            DICTIONARY => {
                let codes = Codes::of_bytes(part(rows.checked_mul(width.into())?)?, width)?;
                let (offsets, bytes) = (part(count.checked_add(1)?.checked_mul(4)?)?, part(text_bytes)?);
                // Where all are NULL there need not be a string.
                let is_empty = nulls.as_ref().map_or(0, NullBuffer::null_count) == rows;
                let is_within = codes.greatest() < count as u64 || (codes.greatest() == 0 && is_empty);
                let strings = views(offsets, bytes, t).filter(|_| is_within)?;
                memory += count * size_of::<u128>();
                Form::Strings { column: Column::new(&strings, t)?, strings, codes, nulls }
            }
            VALUES => {
                let data_type = arrow_form::data_type(t);
                let bytes = match (&data_type, data_type.primitive_width()) {
                    (DataType::Boolean, _) => rows.div_ceil(8),
                    (DataType::FixedSizeBinary(width), _) => rows.checked_mul(usize::try_from(*width).ok()?)?,
                    (_, width) => rows.checked_mul(width?)?,
                };
                let data = ArrayData::builder(data_type).len(rows).add_buffer(part(bytes)?).nulls(nulls).build().ok()?;
                let array = make_array(data);
                Form::Plain(Arc::clone(&array), Column::new(&array, t)?)
            }
            _ => return None,
        };
        Some(Packed { sql_type: t, rows, form, memory })
    }
}

/// Whether a type's values may be whole numbers with a base.
fn is_whole(t: SqlType) -> bool {
    use SqlType::{Date, Int2, Int4, Int8, Numeric, Time, Timestamp, TimestampTz};
    matches!(t, Int2 | Int4 | Int8 | Date | Time | Timestamp | TimestampTz | Numeric { .. })
}

/// Strings as views of their bytes, if they are of this type.
fn views(offsets: Buffer, bytes: Buffer, t: SqlType) -> Option<ArrayRef> {
    let offsets = ScalarBuffer::<i32>::from(offsets);
    let (first, last) = (*offsets.first()?, *offsets.last()?);
    let ascend = offsets.windows(2).all(|pair| pair[0] <= pair[1]);
    if first != 0 || usize::try_from(last).ok()? > bytes.len() || !ascend {
        return None;
    }
    let offsets = OffsetBuffer::new(offsets);
    Some(match arrow_form::data_type(t) {
        DataType::Utf8View => Arc::new(StringViewArray::from(&StringArray::try_new(offsets, bytes, None).ok()?)),
        DataType::BinaryView => Arc::new(BinaryViewArray::from(&BinaryArray::try_new(offsets, bytes, None).ok()?)),
        _ => return None,
    })
}

impl Codes {
    /// Bytes of a code.
    pub(super) fn width(&self) -> u8 {
        match self {
            Codes::U8(_) => 1,
            Codes::U16(_) => 2,
            Codes::U32(_) => 4,
            Codes::U64(_) => 8,
        }
    }

    fn bytes(&self) -> &[u8] {
        with_codes!(self, codes => codes.inner().as_slice())
    }

    fn of_bytes(bytes: Buffer, width: u8) -> Option<Codes> {
        Some(match width {
            1 => Codes::U8(bytes.into()),
            2 => Codes::U16(bytes.into()),
            4 => Codes::U32(bytes.into()),
            8 => Codes::U64(bytes.into()),
            _ => return None,
        })
    }

    fn greatest(&self) -> u64 {
        with_codes!(self, codes => codes.iter().max().map_or(0, |code| *code as u64))
    }
}

impl Column {
    /// The bytes of its values, if all have the same number of bits.
    fn bytes(&self) -> Option<Buffer> {
        Some(match self {
            Column::Bool(a) => a.values().sliced(),
            Column::Int2(a) => a.values().inner().clone(),
            Column::Int4(a) => a.values().inner().clone(),
            Column::Int8(a) => a.values().inner().clone(),
            Column::Float4(a) => a.values().inner().clone(),
            Column::Float8(a) => a.values().inner().clone(),
            Column::Numeric(a, _) => a.values().inner().clone(),
            Column::Date(a) => a.values().inner().clone(),
            Column::Time(a) => a.values().inner().clone(),
            Column::Timestamp(a) | Column::TimestampTz(a) => a.values().inner().clone(),
            Column::Interval(a) => a.values().inner().clone(),
            Column::Uuid(a) => a.value_data().to_vec().into(),
            Column::Text(_) | Column::Bytea(_) => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use arrow::buffer::MutableBuffer;
    use proptest::prelude::*;
    use types::arrow_form::datum_at;

    use super::super::tests::{array_of, columns};
    use super::*;

    /// In memory as a read leaves it.
    fn read(image: &[u8]) -> Buffer {
        let mut read = MutableBuffer::from_len_zeroed(image.len());
        read.as_slice_mut().copy_from_slice(image);
        read.into()
    }

    proptest! {
        #[test]
        fn an_image_has_the_values((t, values) in columns(), start in any::<proptest::sample::Index>()) {
            let start = start.index(values.len());
            let array = array_of(t, &values).slice(start, values.len() - start);
            let packed = Packed::new(array, t).unwrap();
            let Some(image) = packed.image() else {
                prop_assert!(matches!(t, SqlType::Text | SqlType::Bytea));
                return Ok(());
            };
            let again = Packed::of_image(&read(&image), t, packed.len()).unwrap();
            let array = again.array(0..again.len());
            for (row, value) in values[start..].iter().enumerate() {
                prop_assert_eq!(&again.get(row).to_owned(), value);
                prop_assert_eq!(&datum_at(&array, row, t), value);
            }
            prop_assert!(Packed::of_image(&read(&image), t, packed.len() + 1).is_none());
        }

        /// What is read may be wrong then, but nothing panics.
        #[test]
        fn any_bytes_are_a_column_or_are_refused((t, values) in columns(), at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
            let Some(mut image) = Packed::new(array_of(t, &values), t).unwrap().image() else { return Ok(()) };
            let at = at.index(image.len());
            image[at] = byte;
            if let Some(packed) = Packed::of_image(&read(&image), t, values.len()) {
                let array = packed.array(0..values.len());
                for row in 0..values.len() {
                    prop_assert_eq!(packed.get(row).is_null(), datum_at(&array, row, t).is_null());
                }
            }
            if let Some(cut) = image.get(..at) {
                prop_assert!(Packed::of_image(&read(cut), t, values.len()).is_none() || image[at..].iter().all(|byte| *byte == 0));
            }
        }
    }
}

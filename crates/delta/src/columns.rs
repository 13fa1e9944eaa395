//! A column of a batch being put together from slabs.
//!
//! Fixed-width values go through [`ColumnBuilder`]. Texts and byteas are copied here, byte for byte, into views of our own making:
//! they are checked to be UTF-8 once, as a whole, when the array is made.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryViewArray, NullBufferBuilder, StringViewArray, make_view};
use arrow::buffer::{Buffer, ScalarBuffer};
use types::SqlType;
use types::arrow_form::ColumnBuilder;

/// Views have 32-bit offsets; a buffer is closed long before.
const BUFFER_BYTES: usize = 1 << 30;

/// What fits into a view itself.
const INLINE_LEN: usize = 12;

pub(crate) enum Column {
    Values(ColumnBuilder),
    Views(Views),
}

/// A column of views.
pub(crate) struct Views {
    is_text: bool,
    views: Vec<u128>,
    nulls: NullBufferBuilder,
    bytes: Vec<u8>,
    full: Vec<Buffer>,
}

impl Column {
    pub(crate) fn new(t: SqlType, capacity: usize) -> Column {
        match t {
            SqlType::Bytea => Column::Views(Views::new(false, capacity)),
            t if t.is_string() => Column::Views(Views::new(true, capacity)),
            t => Column::Values(ColumnBuilder::new(t, capacity)),
        }
    }

    pub(crate) fn finish(self) -> ArrayRef {
        match self {
            Column::Values(mut builder) => builder.finish(),
            Column::Views(views) => views.finish(),
        }
    }
}

impl Views {
    pub(crate) fn new(is_text: bool, capacity: usize) -> Views {
        Views {
            is_text,
            views: Vec::with_capacity(capacity),
            nulls: NullBufferBuilder::new(capacity),
            bytes: Vec::new(),
            full: Vec::new(),
        }
    }

    #[inline]
    pub(crate) fn append(&mut self, value: &[u8]) {
        let view = if value.len() <= INLINE_LEN { make_view(value, 0, 0) } else { self.store(value) };
        self.views.push(view);
        self.nulls.append_non_null();
    }

    pub(crate) fn append_null(&mut self) {
        self.views.push(0);
        self.nulls.append_null();
    }

    fn store(&mut self, value: &[u8]) -> u128 {
        if !self.bytes.is_empty() && self.bytes.len() + value.len() > BUFFER_BYTES {
            self.full.push(Buffer::from_vec(std::mem::take(&mut self.bytes)));
        }
        let at = self.bytes.len() as u32;
        self.bytes.extend_from_slice(value);
        make_view(value, self.full.len() as u32, at)
    }

    pub(crate) fn finish(mut self) -> ArrayRef {
        let views = ScalarBuffer::from(self.views);
        if !self.bytes.is_empty() {
            self.full.push(Buffer::from_vec(self.bytes));
        }
        let nulls = self.nulls.finish();
        if self.is_text {
            let array = StringViewArray::try_new(views, self.full, nulls);
            Arc::new(array.expect("text was UTF-8 when its image was made or decoded"))
        } else {
            Arc::new(BinaryViewArray::try_new(views, self.full, nulls).expect("views point into the buffers"))
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};

    use super::*;

    #[test]
    fn views_give_back_what_was_appended() {
        let values: Vec<Option<String>> = (0..40).map(|len| (len % 5 != 3).then(|| "äb".repeat(len))).collect();
        let mut texts = Views::new(true, 1);
        let mut binaries = Views::new(false, 100);
        for value in &values {
            match value {
                Some(value) => {
                    texts.append(value.as_bytes());
                    binaries.append(value.as_bytes());
                }
                None => {
                    texts.append_null();
                    binaries.append_null();
                }
            }
        }
        let (texts, binaries) = (texts.finish(), binaries.finish());
        assert_eq!(texts.as_string_view().iter().map(|text| text.map(str::to_owned)).collect::<Vec<_>>(), values);
        assert!(binaries.as_binary_view().iter().zip(&values).all(|(a, b)| a == b.as_ref().map(String::as_bytes)));
        assert_eq!(Views::new(true, 0).finish().len(), 0);
    }
}

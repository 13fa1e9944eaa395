//! Patches: the fields in which an older image differs from the next newer one.
//!
//! ```text
//!   | u16 column, top bit = it was NULL | the field, if it was not NULL | u16 column ...
//! ```
//!
//! A field of variable length is the reference the older image had: its bytes stay in the heap as long as the patch does.

use crate::shape::{Reference, Shape, is_null, set_null};

const WAS_NULL: u16 = 1 << 15;

/// One field of a patch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) column: usize,
    /// Where in the patch the field is; `None` if it was NULL.
    pub(crate) field: Option<usize>,
}

/// Appends how `column` was in `fixed`.
pub(crate) fn push(shape: &Shape, fixed: &[u8], column: usize, patch: &mut Vec<u8>) {
    let field = shape.fields[column];
    if is_null(fixed, column) {
        patch.extend_from_slice(&(column as u16 | WAS_NULL).to_le_bytes());
    } else {
        patch.extend_from_slice(&(column as u16).to_le_bytes());
        patch.extend_from_slice(&fixed[field.at..field.at + field.width]);
    }
}

/// Appends an entry for `column` whose field is at `field` of the same heap; `None`: it was NULL.
pub(crate) fn push_entry(shape: &Shape, column: usize, field: Option<usize>, heap: &mut Vec<u8>) {
    match field {
        None => heap.extend_from_slice(&(column as u16 | WAS_NULL).to_le_bytes()),
        Some(at) => {
            heap.extend_from_slice(&(column as u16).to_le_bytes());
            heap.extend_from_within(at..at + shape.fields[column].width);
        }
    }
}

/// The entry at `at` of a patch and where the next one starts.
pub(crate) fn entry(shape: &Shape, patch: &[u8], at: usize) -> (Entry, usize) {
    let tag = u16::from_le_bytes([patch[at], patch[at + 1]]);
    let column = usize::from(tag & !WAS_NULL);
    if tag & WAS_NULL != 0 {
        (Entry { column, field: None }, at + 2)
    } else {
        (Entry { column, field: Some(at + 2) }, at + 2 + shape.fields[column].width)
    }
}

/// The entries of a patch.
pub(crate) fn entries<'a>(shape: &'a Shape, patch: &'a [u8]) -> impl Iterator<Item = Entry> + 'a {
    let mut at = 0;
    std::iter::from_fn(move || {
        (at < patch.len()).then(|| {
            let (entry, next) = entry(shape, patch, at);
            at = next;
            entry
        })
    })
}

/// Makes of the newer image the older one.
pub(crate) fn apply(shape: &Shape, patch: &[u8], fixed: &mut [u8]) {
    for entry in entries(shape, patch) {
        let field = shape.fields[entry.column];
        let target = &mut fixed[field.at..field.at + field.width];
        match entry.field {
            Some(at) => target.copy_from_slice(&patch[at..at + field.width]),
            None => target.fill(0),
        }
        set_null(fixed, entry.column, entry.field.is_none());
    }
}

/// The bytes of the heap a patch refers to.
pub(crate) fn variable_len(shape: &Shape, patch: &[u8]) -> usize {
    let of = |entry: Entry| match entry.field {
        Some(at) if shape.fields[entry.column].variable => Reference::read(&patch[at..]).len as usize,
        _ => 0,
    };
    entries(shape, patch).map(of).sum()
}

//! Where the fields of a row image are: what the slab needs to know of a [`RowLayout`] per column, in one array.

use std::sync::Arc;

use types::RowLayout;

/// One column's place in the fixed part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) at: usize,
    pub(crate) width: usize,
    /// The field is a [`Reference`] into the heap.
    pub(crate) variable: bool,
}

/// The layout of a table's images.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) layout: Arc<RowLayout>,
    pub(crate) fields: Vec<Field>,
    pub(crate) fixed_len: usize,
    /// How far rows may fill a slab's heap: half of what references of 32 bits reach, as stamping adds patches unasked.
    pub(crate) heap_bytes_max: usize,
}

/// Bytes in a heap, as a field holds them: u32 offset, u32 length, little-endian.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) at: u32,
    pub(crate) len: u32,
}

impl Shape {
    pub(crate) fn new(layout: Arc<RowLayout>) -> Shape {
        let field = |column| {
            let range = layout.field(column);
            Field { at: range.start, width: range.len(), variable: layout.is_variable(column) }
        };
        Shape {
            fields: (0..layout.types().len()).map(field).collect(),
            fixed_len: layout.fixed_len(),
            heap_bytes_max: 1 << 31,
            layout,
        }
    }

    /// The references of an image's fixed part; NULL is an empty one.
    pub(crate) fn references<'a>(&'a self, fixed: &'a [u8]) -> impl Iterator<Item = Reference> + 'a {
        self.fields.iter().filter(|field| field.variable).map(|field| Reference::read(&fixed[field.at..]))
    }

    /// The bytes of the heap an image refers to.
    pub(crate) fn variable_len(&self, fixed: &[u8]) -> usize {
        self.references(fixed).map(|reference| reference.len as usize).sum()
    }
}

impl Reference {
    pub(crate) const WIDTH: usize = 8;

    pub(crate) fn read(field: &[u8]) -> Reference {
        let word = |at: usize| u32::from_le_bytes(field[at..at + 4].try_into().expect("the slice has 4 bytes"));
        Reference { at: word(0), len: word(4) }
    }

    pub(crate) fn write(self, field: &mut [u8]) {
        field[..4].copy_from_slice(&self.at.to_le_bytes());
        field[4..8].copy_from_slice(&self.len.to_le_bytes());
    }

    pub(crate) fn of(self, heap: &[u8]) -> &[u8] {
        &heap[self.at as usize..self.at as usize + self.len as usize]
    }
}

pub(crate) fn is_null(fixed: &[u8], column: usize) -> bool {
    fixed[column / 8] & (1 << (column % 8)) != 0
}

pub(crate) fn set_null(fixed: &mut [u8], column: usize, null: bool) {
    let bit = 1 << (column % 8);
    if null {
        fixed[column / 8] |= bit;
    } else {
        fixed[column / 8] &= !bit;
    }
}

//! Rows of a result as the images they were read in, and which of their columns are shown.

use std::sync::Arc;

use crate::byte_list::ByteList;
use crate::datum::{Datum, DatumRef};
use crate::row::{Row, RowLayout};

/// What rows show: columns of their images, in any order, also more than once.
#[derive(Debug)]
pub struct Shown {
    layout: RowLayout,
    columns: Vec<usize>,
}

impl Shown {
    /// The columns at `columns` (from 0) of images of `layout`.
    pub fn new(layout: RowLayout, columns: Vec<usize>) -> Shown {
        Shown { layout, columns }
    }
}

/// Rows of a result, see the module.
#[derive(Clone, Debug)]
pub struct RowImages {
    shown: Arc<Shown>,
    images: Images,
}

#[derive(Clone, Debug)]
enum Images {
    /// As most lookups find it; it is not copied.
    One(Row),
    Many(ByteList),
}

impl RowImages {
    /// Rows of the layout.
    pub fn new(shown: Arc<Shown>, rows: ByteList) -> RowImages {
        RowImages { shown, images: Images::Many(rows) }
    }

    /// One row of it.
    pub fn of(shown: Arc<Shown>, row: Row) -> RowImages {
        RowImages { shown, images: Images::One(row) }
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        match &self.images {
            Images::One(_) => 1,
            Images::Many(list) => list.len(),
        }
    }

    /// True for none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all images.
    pub fn bytes(&self) -> usize {
        match &self.images {
            Images::One(row) => row.0.len(),
            Images::Many(list) => list.bytes(),
        }
    }

    /// The value that row `row` (from 0) shows at `column` (from 0).
    pub fn value(&self, row: usize, column: usize) -> DatumRef<'_> {
        self.shown.layout.read_image(self.image(row)).get(self.shown.columns[column])
    }

    /// The values that row `row` (from 0) shows.
    pub fn values(&self, row: usize) -> impl ExactSizeIterator<Item = DatumRef<'_>> {
        let row = self.shown.layout.read_image(self.image(row));
        self.shown.columns.iter().map(move |column| row.get(*column))
    }

    /// The values of all rows, owned.
    pub fn to_datums(&self) -> Vec<Vec<Datum>> {
        (0..self.len()).map(|row| self.values(row).map(DatumRef::to_owned).collect()).collect()
    }

    /// The rows `from..to`.
    #[must_use]
    pub fn slice(&self, from: usize, to: usize) -> RowImages {
        let mut images = ByteList::default();
        (from..to).for_each(|row| images.push(self.image(row)));
        RowImages { shown: Arc::clone(&self.shown), images: Images::Many(images) }
    }

    fn image(&self, row: usize) -> &[u8] {
        match &self.images {
            Images::One(only) => &only.0,
            Images::Many(list) => list.get(row),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql_type::SqlType;

    #[test]
    fn rows_show_the_columns_that_are_asked_for() {
        let layout = RowLayout::new(&[SqlType::Int4, SqlType::Text, SqlType::Int8]);
        let row = |n: i32, text: &str| layout.encode(&[Datum::Int4(n), Datum::Text(text.into()), Datum::Null]);
        let shown = Arc::new(Shown::new(layout.clone(), vec![1, 2, 1, 0]));
        let values = |n: i32, text: &str| {
            let text = Datum::Text(text.into());
            vec![text.clone(), Datum::Null, text, Datum::Int4(n)]
        };
        let mut list = ByteList::default();
        for row in [row(1, "a"), row(2, ""), row(3, "ccc")] {
            list.push_with(|out| layout.read(&row).append_to(out));
        }
        let rows = RowImages::new(Arc::clone(&shown), list);
        assert_eq!(rows.to_datums(), [values(1, "a"), values(2, ""), values(3, "ccc")]);
        assert_eq!(rows.slice(1, 3).to_datums(), [values(2, ""), values(3, "ccc")]);
        assert_eq!(rows.value(2, 3), DatumRef::Int4(3));
        assert!(rows.slice(1, 1).is_empty());
        let one = RowImages::of(shown, row(4, "d"));
        assert_eq!((one.len(), one.to_datums(), one.slice(0, 1).to_datums()), (1, vec![values(4, "d")], vec![values(4, "d")]));
    }
}

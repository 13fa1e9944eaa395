//! Scans: the rows a snapshot sees, slab by slab, as Arrow batches or one by one.
//!
//! ```text
//!   under the slab's read lock:  1. pick   slots whose visible version is a row; older versions are put together in `images`
//!                                2. for each column: for each picked row: append the value
//! ```
//!
//! A slab whose newest versions are all rows the snapshot sees is picked whole, without looking at chains. A scan owns what it
//! needs: it may outlive the table's owner, but not the registration of its snapshot.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use txn::Snapshot;
use types::{Key, Row, arrow_form};

use crate::columns::{Column, Views};
use crate::shape::{Reference, Shape, is_null};
use crate::slabs::Slabs;
use crate::slots::{NONE, SLOTS, Seen, Slots};
use crate::table::DeltaTable;

/// The name of the column of keys.
pub const KEY_COLUMN: &str = "__key";

/// Marks a picked row that is an image put together, not one in place.
const OLDER: u32 = 1 << 31;

/// The rows a snapshot sees, as batches: see [`DeltaTable::scan`].
pub struct DeltaScan {
    slabs: Arc<Slabs>,
    shape: Arc<Shape>,
    snapshot: Snapshot,
    columns: Vec<usize>,
    with_key: bool,
    rows_per_batch: usize,
    /// Expected rows of a batch: what builders make room for.
    capacity: usize,
    schema: SchemaRef,
    place: Place,
    end: u32,
    picked: Picked,
}

/// The rows a snapshot sees, one by one: see [`DeltaTable::dump`].
pub struct Dump {
    slabs: Arc<Slabs>,
    shape: Arc<Shape>,
    snapshot: Snapshot,
    place: Place,
    end: u32,
    rows: std::vec::IntoIter<(Key, Row)>,
}

/// Where a scan goes on.
#[derive(Clone, Copy)]
struct Place {
    position: u32,
    slot: usize,
}

/// Rows of one slab.
#[derive(Default)]
struct Picked {
    /// Fixed parts of older versions.
    images: Vec<u8>,
    /// Slots, or indexes into `images` with [`OLDER`] set.
    sources: Vec<u32>,
    slots: Vec<u16>,
}

impl Picked {
    /// Picks at most `limit` rows from `slot` on; returns where to go on, `None` after the last slot.
    fn pick(&mut self, slots: &Slots, shape: &Shape, snapshot: &Snapshot, first: usize, limit: usize) -> Option<usize> {
        self.images.clear();
        self.sources.clear();
        self.slots.clear();
        let clean = slots.is_clean_for(snapshot);
        let mut older = 0;
        for slot in slots.live().iter_from(first) {
            if self.sources.len() == limit {
                return Some(slot);
            }
            let source = match if clean { Seen::Row(NONE) } else { slots.seen(slot, snapshot) } {
                Seen::Row(NONE) => slot as u32,
                Seen::Row(undo) => {
                    slots.fixed_at(shape, slot, undo, &mut self.images);
                    older += 1;
                    (older - 1) | OLDER
                }
                Seen::Deleted | Seen::InSegment | Seen::Absent => continue,
            };
            self.sources.push(source);
            self.slots.push(slot as u16);
        }
        None
    }

    /// The fixed parts of the picked rows.
    fn images<'a>(&'a self, slots: &'a Slots, shape: &'a Shape) -> impl Iterator<Item = &'a [u8]> {
        let len = shape.fixed_len;
        self.sources.iter().map(move |source| match source & OLDER {
            0 => slots.fixed(shape, *source as usize),
            _ => {
                let at = (source & !OLDER) as usize * len;
                &self.images[at..at + len]
            }
        })
    }

    fn append(&self, slots: &Slots, shape: &Shape, column: usize, to: &mut Column) {
        match to {
            Column::Values(builder) => {
                for fixed in self.images(slots, shape) {
                    builder.append(shape.layout.read_parts(fixed, &[]).get(column));
                }
            }
            Column::Views(views) => {
                let at = shape.fields[column].at;
                for fixed in self.images(slots, shape) {
                    if is_null(fixed, column) {
                        views.append_null();
                    } else {
                        views.append(Reference::read(&fixed[at..]).of(slots.heap()));
                    }
                }
            }
        }
    }

    fn append_keys(&self, slots: &Slots, keys: &mut Views) {
        for slot in &self.slots {
            keys.append(slots.key(usize::from(*slot)));
        }
    }
}

impl DeltaTable {
    /// The rows `snapshot` sees, each once, in no order, as batches of at most `rows_per_batch` rows (at least one row each), with
    /// `columns` (positions in the layout, output in that order; the fields are named by position). `with_key` adds a first column
    /// [`KEY_COLUMN`], `BinaryView`. Rows in segments are not included. No lock is held between slabs; inserts that come during
    /// the scan, also those of the snapshot's own transaction, are at most partly seen.
    pub fn scan(&self, snapshot: Snapshot, columns: Vec<usize>, with_key: bool, rows_per_batch: usize) -> DeltaScan {
        let key = with_key.then(|| Field::new(KEY_COLUMN, DataType::BinaryView, false));
        let types = self.shape.layout.types();
        let fields = columns.iter().map(|column| arrow_form::field(column.to_string(), types[*column], true));
        let schema = Arc::new(Schema::new(key.into_iter().chain(fields).collect::<Vec<_>>()));
        let rows_per_batch = rows_per_batch.max(1);
        DeltaScan {
            slabs: Arc::clone(&self.slabs),
            shape: Arc::clone(&self.shape),
            snapshot,
            columns,
            with_key,
            rows_per_batch,
            capacity: rows_per_batch.min(self.rows() + 1),
            schema,
            place: Place { position: 0, slot: 0 },
            end: self.slabs.end(),
            picked: Picked::default(),
        }
    }

    /// The keys and rows `snapshot` sees, each once, in no order. For a checkpoint. No lock is held between slabs.
    pub fn dump(&self, snapshot: Snapshot) -> Dump {
        Dump {
            slabs: Arc::clone(&self.slabs),
            shape: Arc::clone(&self.shape),
            snapshot,
            place: Place { position: 0, slot: 0 },
            end: self.slabs.end(),
            rows: Vec::new().into_iter(),
        }
    }
}

impl DeltaScan {
    /// What its batches look like.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The same scan in at most `parts` pieces of about the same size, each with a share of the slabs. Before the first batch.
    pub fn split(self, parts: usize) -> Vec<DeltaScan> {
        let slabs = self.end - self.place.position;
        let parts = (parts.max(1) as u32).min(slabs.max(1));
        let bound = |part: u32| self.place.position + (u64::from(slabs) * u64::from(part) / u64::from(parts)) as u32;
        let piece = |part| DeltaScan {
            slabs: Arc::clone(&self.slabs),
            shape: Arc::clone(&self.shape),
            columns: self.columns.clone(),
            schema: Arc::clone(&self.schema),
            place: Place { position: bound(part), slot: 0 },
            end: bound(part + 1),
            picked: Picked::default(),
            ..self
        };
        (0..parts).map(piece).collect()
    }
}

impl Iterator for DeltaScan {
    type Item = RecordBatch;

    fn next(&mut self) -> Option<RecordBatch> {
        let types = self.shape.layout.types();
        let mut arrays: Vec<_> = self.columns.iter().map(|column| Column::new(types[*column], self.capacity)).collect();
        let mut keys = self.with_key.then(|| Views::new(false, self.capacity));
        let mut rows = 0;
        while rows < self.rows_per_batch && self.place.position < self.end {
            let Some(slab) = self.slabs.get(self.place.position) else {
                self.place = Place { position: self.place.position + 1, slot: 0 };
                continue;
            };
            let slots = slab.slots.read();
            let limit = SLOTS.min(self.rows_per_batch - rows);
            let next = self.picked.pick(&slots, &self.shape, &self.snapshot, self.place.slot, limit);
            for (array, column) in arrays.iter_mut().zip(&self.columns) {
                self.picked.append(&slots, &self.shape, *column, array);
            }
            if let Some(keys) = &mut keys {
                self.picked.append_keys(&slots, keys);
            }
            rows += self.picked.sources.len();
            self.place = match next {
                Some(slot) => Place { slot, ..self.place },
                None => Place { position: self.place.position + 1, slot: 0 },
            };
        }
        if rows == 0 {
            return None;
        }
        let arrays = keys.map(Views::finish).into_iter().chain(arrays.into_iter().map(Column::finish)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options);
        Some(batch.expect("the arrays are of the schema's types and all of the same length"))
    }
}

impl Iterator for Dump {
    type Item = (Key, Row);

    fn next(&mut self) -> Option<(Key, Row)> {
        loop {
            if let Some(row) = self.rows.next() {
                return Some(row);
            }
            if self.place.position == self.end {
                return None;
            }
            let mut rows = Vec::new();
            if let Some(slab) = self.slabs.get(self.place.position) {
                let slots = slab.slots.read();
                for slot in slots.live().iter() {
                    if let Seen::Row(undo) = slots.seen(slot, &self.snapshot) {
                        rows.push((Key::from(slots.key(slot)), slots.row_at(&self.shape, slot, undo, None)));
                    }
                }
            }
            self.place.position += 1;
            self.rows = rows.into_iter();
        }
    }
}

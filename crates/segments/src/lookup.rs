//! Rows of a segment by key and by position: what point reads and unique checks use.
//!
//! ```text
//! find(key):  [min, max] fences --> filter --> sparse keys --> one block of 128 keys --> position
//!               2 compares          1 line     binary search    of the group's keys (cached), or of one page (cold)
//! ```
//!
//! 1. Keys are never stored apart: they are made from the key columns when a group's keys are wanted.
//! 2. Single values of a group that is not cached are read from their page; after a few such reads the group is decoded and cached.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::ArrayRef;
use types::{Datum, DatumRef, Key, Row, RowLayout, SqlType};

use crate::cache::Block;
use crate::column::ColumnView;
use crate::error::{Result, SegmentError};
use crate::filter::hash_bytes;
use crate::keys::KeyList;
use crate::packed::Packed;
use crate::segment::Segment;
use crate::sidecar::KEY_BLOCK_ROWS;

/// Of a string, how much is fetched ahead: the processor itself goes on from there.
const FETCHED_LINES_MAX: usize = 4;

/// Page reads of an empty slot after which its whole group is decoded and cached. A page costs about 1/30 of a group.
pub(crate) const COLD_READS_MAX: u8 = 16;

/// Values of a column: a group's, or of some rows read for now.
pub(crate) enum Values {
    Packed(Arc<Packed>),
    Read(ArrayRef, SqlType),
}

impl Values {
    /// The value at `row` of those there are.
    pub(crate) fn get(&self, row: usize) -> DatumRef<'_> {
        match self {
            Values::Packed(packed) => packed.get(row),
            Values::Read(array, t) => {
                ColumnView::new(array, *t).expect("the reader gives only arrays of their column's type").get(row)
            }
        }
    }
}

impl Segment {
    /// The position of the row with this key, dead or not. About 1 us when the group's keys are cached, a few for a key that is not
    /// there; one page read and decoded per key column when they are not. Errors: as [`Segment::read_group`].
    pub fn find(&self, key: &[u8]) -> Result<Option<u32>> {
        let index = &self.sidecar.keys;
        if key < &*index.min || key > &*index.max || !index.filter.may_contain(hash_bytes(key)) {
            return Ok(None);
        }
        Ok(self.search(key)?.ok())
    }

    /// The position of the row with this key, dead or not, or where it would be. Costs what [`Segment::find`] does. Errors: as
    /// [`Segment::read_group`].
    pub(crate) fn search(&self, key: &[u8]) -> Result<std::result::Result<u32, u32>> {
        if key < self.min_key() {
            return Ok(Err(0));
        }
        if key > self.max_key() {
            return Ok(Err(self.rows()));
        }
        let sparse = &self.sidecar.keys.sparse;
        let block = match sparse.search(0..sparse.len(), key) {
            Ok(block) => return Ok(Ok(self.block_position(block))),
            Err(next) => next.saturating_sub(1),
        };
        let (group, rows) = self.block_rows(block);
        let cached = self.slots.group(group).keys().map(|keys| keys.search(rows.clone(), key));
        let found = match cached {
            Some(found) => found,
            None => match self.cached_keys(group)? {
                Some(keys) => keys.search(rows, key),
                None => {
                    let keys = self.read_keys(group, rows.clone())?;
                    let found = keys.search(0..keys.len(), key);
                    found.map(|row| rows.start + row).map_err(|row| rows.start + row)
                }
            },
        };
        let position = |row: usize| self.starts[group] + row as u32;
        Ok(found.map(position).map_err(position))
    }

    /// The group that a block of sparse keys is in, and its rows there.
    pub(crate) fn block_rows(&self, block: usize) -> (usize, Range<usize>) {
        let group = self.blocks.partition_point(|first| *first <= block) - 1;
        let start = (block - self.blocks[group]) * KEY_BLOCK_ROWS;
        (group, start..(start + KEY_BLOCK_ROWS).min(self.sidecar.groups[group].rows as usize))
    }

    /// The position of the first row of a block of sparse keys.
    pub(crate) fn block_position(&self, block: usize) -> u32 {
        let (group, rows) = self.block_rows(block);
        self.starts[group] + rows.start as u32
    }

    /// The keys of a group, unless they are not cached and it is too early to make them.
    pub(crate) fn cached_keys(&self, group: usize) -> Result<Option<Arc<KeyList>>> {
        let slot = self.slot(group, self.sidecar.schema.columns().len());
        if let Some(Block::Keys(keys)) = self.slots.get(slot) {
            return Ok(Some(keys));
        }
        if self.slots.count_cold_read(slot) < COLD_READS_MAX {
            return Ok(None);
        }
        self.slots.reset_cold_reads(slot);
        self.group_keys(group).map(Some)
    }

    /// The keys of a group, through the cache.
    pub fn group_keys(&self, group: usize) -> Result<Arc<KeyList>> {
        let slot = self.slot(group, self.sidecar.schema.columns().len());
        let load = || self.read_keys(group, 0..self.sidecar.groups[group].rows as usize).map(|keys| Block::Keys(Arc::new(keys)));
        match self.slots.get_or_load(slot, load)? {
            Block::Keys(keys) => Ok(keys),
            Block::Column(_) => Err(SegmentError::Misuse("a column in the slot of keys".into())),
        }
    }

    /// The keys of some rows of a group, from its key columns.
    pub(crate) fn read_keys(&self, group: usize, rows: Range<usize>) -> Result<KeyList> {
        let schema = &self.sidecar.schema;
        let columns = env::blocking(|| self.read_rows(group, schema.key(), rows.clone()))?;
        KeyList::of_columns(schema, &columns, 0..rows.len())
    }

    /// The group of a position, and the row in it. Panics for a position beyond the last.
    pub(crate) fn locate(&self, position: u32) -> (usize, usize) {
        assert!(position < self.sidecar.rows, "position {position} of a segment of {} rows", self.sidecar.rows);
        let group = self.starts.partition_point(|start| *start <= position) - 1;
        (group, (position - self.starts[group]) as usize)
    }

    /// One value's column, and its row there: the cached column of the group, or the page that has it.
    fn column_at(&self, group: usize, row: usize, column: usize) -> Result<(Values, usize)> {
        let slot = self.slot(group, column);
        if let Some(Block::Column(packed)) = self.slots.get(slot) {
            return Ok((Values::Packed(packed), row));
        }
        if self.slots.count_cold_read(slot) >= COLD_READS_MAX {
            self.slots.reset_cold_reads(slot);
            return Ok((Values::Packed(self.packed(group, column)?), row));
        }
        let page = env::blocking(|| self.reader.read(&self.sidecar, group, column, row..row + 1))?;
        Ok((Values::Read(page, self.sidecar.schema.columns()[column].sql_type), 0))
    }

    /// The row at `position` in the form of `layout`, which must be that of the schema's types; with `wanted`, which is in order,
    /// only those columns are read and the others are NULL. Panics for a position beyond the last. Errors: as
    /// [`Segment::read_group`].
    pub fn row(&self, position: u32, layout: &RowLayout, wanted: Option<&[usize]>) -> Result<Row> {
        let (group, row) = self.locate(position);
        if let Some(row) = self.cached_row(group, row, layout, wanted) {
            return Ok(row);
        }
        let is_wanted = |column: &usize| wanted.is_none_or(|wanted| wanted.binary_search(column).is_ok());
        let columns = (0..self.sidecar.schema.columns().len())
            .map(|column| Some(column).filter(is_wanted).map(|column| self.column_at(group, row, column)).transpose())
            .collect::<Result<Vec<_>>>()?;
        let values = columns.iter().map(|read| match read {
            Some((values, row)) => values.get(*row),
            None => DatumRef::Null,
        });
        Ok(layout.encode_refs(values))
    }

    /// The same of a row of a group, if all columns that are read are cached.
    ///
    /// Memory that is not in the processor's caches is waited for three times, for all columns together: their values, the strings that
    /// those refer to, and while it is copied what the processor has not fetched by itself.
    fn cached_row(&self, group: usize, row: usize, layout: &RowLayout, wanted: Option<&[usize]>) -> Option<Row> {
        let blocks = self.slots.group(group);
        let columns = self.sidecar.schema.columns().len();
        let mut touched = 0;
        let mut touch = |column: usize| {
            touched ^= blocks.column(column)?.touch(row);
            Some(())
        };
        match wanted {
            Some(wanted) => wanted.iter().try_for_each(|column| touch(*column))?,
            None => (0..columns).try_for_each(touch)?,
        }
        std::hint::black_box(touched);
        let mut values = vec![DatumRef::Null; columns];
        let mut read = |column: usize| {
            values[column] = blocks.column(column)?.get(row);
            Some(())
        };
        match wanted {
            Some(wanted) => wanted.iter().try_for_each(|column| read(*column))?,
            None => (0..columns).try_for_each(read)?,
        }
        fetch(&values);
        blocks.count_hits(wanted.map_or(columns, <[usize]>::len) as u64);
        Some(layout.encode_refs(values.iter().copied()))
    }

    /// The values at `position` of the columns at positions `columns`. Panics for a position beyond the last.
    pub fn datums(&self, position: u32, columns: &[usize]) -> Result<Vec<Datum>> {
        let (group, row) = self.locate(position);
        let value = |column: usize| {
            let (values, row) = self.column_at(group, row, column)?;
            Ok(values.get(row).to_owned())
        };
        columns.iter().map(|column| value(*column)).collect()
    }

    /// The key of the row at `position`. Panics for a position beyond the last.
    pub fn key_at(&self, position: u32) -> Result<Key> {
        let (group, row) = self.locate(position);
        let keys = match self.cached_keys(group)? {
            Some(keys) => return Ok(Key::from(keys.get(row))),
            None => self.read_keys(group, row..row + 1)?,
        };
        Ok(Key::from(keys.get(0)))
    }
}

/// Reads a byte of every 64 of strings that are wanted soon: the processor waits for all that memory at once, not for one after another.
fn fetch(values: &[DatumRef<'_>]) {
    let bytes = values.iter().filter_map(|value| match value {
        DatumRef::Text(text) => Some(text.as_bytes()),
        DatumRef::Bytea(bytes) => Some(*bytes),
        _ => None,
    });
    let lines = bytes.map(|bytes| bytes.iter().step_by(64).take(FETCHED_LINES_MAX).fold(0, |all, byte| all ^ byte));
    std::hint::black_box(lines.fold(0, |all, line| all ^ line));
}

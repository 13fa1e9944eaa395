//! The full check of one segment: what `colonnade check` runs.
//!
//! Reads every byte of both files again, past the cache, and derives from the values everything the sidecar says of them: pages,
//! counts, zone maps, key order, sparse keys, filter, summaries. Takes the time of a full scan and
//! the memory of a row group and 8 bytes a row.

use arrow::array::{Array, ArrayRef};

use crate::column::ColumnView;
use crate::error::{Result, SegmentError};
use crate::filter::{KeyFilter, hash_bytes};
use crate::keys::KeyList;
use crate::measure::measure;
use crate::segment::{Segment, read_sidecar};
use crate::sidecar::{GroupEntry, KEY_BLOCK_ROWS};
use crate::statistics::ColumnSummary;

/// What a check looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Rows whose values were decoded.
    pub rows: u64,
    /// Pages whose checksum was compared.
    pub pages: u64,
    /// Bytes read from disk.
    pub bytes: u64,
}

impl Segment {
    /// Checks everything about the segment, see the module's head. Errors: the first thing that is wrong; `Io`.
    pub fn verify(&self) -> Result<Checked> {
        let sidecar = read_sidecar(self.env.as_ref(), &self.dir, self.id(), &self.info())?;
        if sidecar != self.sidecar {
            return Err(self.wrong(0, "the sidecar on disk is not the one in memory"));
        }
        let magic = self.reader.read_ranges(&[0..4, self.sidecar.tail_offset..self.sidecar.parquet_bytes])?;
        if &magic[0][..] != b"PAR1" {
            return Err(self.wrong(0, "it does not begin as a Parquet file"));
        }
        let path = self.path();
        let tail = (self.sidecar.tail_offset, self.sidecar.tail_crc);
        crate::error::check_crc(path, || "the footer".into(), tail.0, &magic[1], tail.1)?;

        let mut state = State { last_key: Box::default(), block: 0, hashes: Vec::new(), columns: Vec::new() };
        state.columns.resize(self.schema().columns().len(), ColumnSummary::default());
        let mut checked = Checked { bytes: self.bytes_on_disk(), ..Checked::default() };
        for (group, entry) in self.sidecar.groups.iter().enumerate() {
            let rows = entry.rows as usize;
            let columns = (0..self.schema().columns().len())
                .map(|column| self.reader.read(&self.sidecar, group, column, 0..rows))
                .collect::<Result<Vec<_>>>()?;
            self.verify_group(group, entry, &columns, &mut state)?;
            checked.rows += rows as u64;
            let chunks = entry.columns.iter().flat_map(|column| &column.chunks);
            checked.pages += chunks.map(|chunk| chunk.dictionary.iter().len() + chunk.pages.len()).sum::<usize>() as u64;
        }
        if KeyFilter::new(&state.hashes) != self.sidecar.keys.filter {
            return Err(self.wrong(0, "the sidecar's filter is not that of the keys"));
        }
        if state.last_key != self.sidecar.keys.max || state.columns != self.sidecar.columns {
            return Err(self.wrong(0, "the sidecar's greatest key or column summaries are not those of the values"));
        }
        Ok(checked)
    }

    /// In how many parts [`Segment::verify_part`] reads it.
    pub fn parts(&self) -> usize {
        1 + self.sidecar.groups.len() * self.schema().columns().len()
    }

    /// Compares the checksums of part `part`: the sidecar and the footer, or a column of a row group. Past the cache, nothing is decoded.
    /// Returns how many bytes it read. Errors: the first thing that is wrong; `Io`.
    pub fn verify_part(&self, part: usize) -> Result<u64> {
        let Some(at) = part.checked_sub(1) else {
            let tail = self.sidecar.tail_offset..self.sidecar.parquet_bytes;
            let bytes = self.reader.read_ranges(std::slice::from_ref(&tail))?;
            crate::error::check_crc(self.path(), || "the footer".into(), tail.start, &bytes[0], self.sidecar.tail_crc)?;
            if read_sidecar(self.env.as_ref(), &self.dir, self.id(), &self.info())? != self.sidecar {
                return Err(self.wrong(0, "the sidecar on disk is not the one in memory"));
            }
            return Ok(tail.end - tail.start + self.info().sidecar_bytes);
        };
        let columns = self.schema().columns().len();
        let (group, column) = (at / columns, at % columns);
        let chunks = &self.sidecar.groups[group].columns[column].chunks;
        for chunk in chunks {
            self.reader.read_pages(self.schema(), group, column, chunk, 0..chunk.pages.len())?;
        }
        Ok(chunks.iter().map(|chunk| chunk.bytes()).sum())
    }

    fn verify_group(&self, group: usize, entry: &GroupEntry, columns: &[ArrayRef], state: &mut State) -> Result<()> {
        let schema = self.schema();
        let index = &self.sidecar.keys;
        let key_columns: Vec<ArrayRef> = schema.key().iter().map(|column| columns[*column].clone()).collect();
        let rows = entry.rows as usize;
        let keys = KeyList::of_columns(schema, &key_columns, 0..rows)?;
        let first_is_next = if group == 0 { *keys.get(0) == *index.min } else { *keys.get(0) > *state.last_key };
        if !first_is_next || keys.first_unsorted().is_some() {
            return Err(self.wrong(entry.columns[0].chunks[0].offset, format!("keys of row group {group} do not ascend")));
        }
        for row in (0..rows).step_by(KEY_BLOCK_ROWS) {
            if index.sparse.get(state.block) != keys.get(row) {
                return Err(self.wrong(0, format!("sparse key {} is not that of its row", state.block)));
            }
            state.block += 1;
        }
        state.hashes.extend(keys.iter().map(hash_bytes));
        state.last_key = keys.get(rows - 1).into();
        for (c, array) in columns.iter().enumerate() {
            let column = &schema.columns()[c];
            let view = ColumnView::new(array, column.sql_type)
                .ok_or_else(|| SegmentError::Misuse(format!("{} decoded as {}", column.name, array.data_type())))?;
            let measured = measure(view, column.sql_type, self.sidecar.rows_per_zone as usize)?;
            if measured.zones != entry.columns[c].zones || measured.zone != entry.columns[c].zone {
                let what = format!("zone maps of column {} in row group {group} are not those of its values", column.name);
                return Err(self.wrong(entry.columns[c].chunks[0].offset, what));
            }
            state.columns[c].merge(&measured.summary);
        }
        Ok(())
    }

    fn wrong(&self, offset: u64, what: impl Into<String>) -> SegmentError {
        SegmentError::damaged(self.path(), offset, what)
    }
}

struct State {
    last_key: Box<[u8]>,
    block: usize,
    hashes: Vec<u64>,
    columns: Vec<ColumnSummary>,
}

//! From bytes of a Parquet file to Arrow arrays: read, verify, only then decode.
//!
//! ```text
//! rows of one column --> pages that have them --> one read per leaf --> CRC of each page --> parquet's decoder --> array
//!                                                 (dictionary first)    (from the sidecar)    over those bytes only
//! ```
//!
//! 1. No byte reaches the decoder that has not been compared with the CRC taken when it was written.
//! 2. The decoder sees a file that consists of just the dictionary and the pages asked for, so it cannot read anything else.
//! 3. What comes out has exactly the rows and the type asked for, and NULLs only where they may be; anything else is damage.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, IntervalMonthDayNanoArray};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{Int32Type, Int64Type, IntervalMonthDayNano};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use object_store::ObjectStore;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, FileMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::schema::types::SchemaDescPtr;
use types::{SqlType, arrow_form};

use crate::cache::compact;
use crate::error::{Result, SegmentError, check_crc};
use crate::local::complete_now;
use crate::schema::SegmentSchema;
use crate::sidecar::{ChunkEntry, Sidecar};

/// Reads one segment's Parquet file.
pub(crate) struct Reader {
    store: Arc<dyn ObjectStore>,
    location: object_store::path::Path,
    path: PathBuf,
    metadata: ParquetMetaData,
    columns: Vec<OneColumn>,
}

/// A column as the decoder sees it: the only one of its file.
struct OneColumn {
    parquet: SchemaDescPtr,
    arrow: ArrowReaderOptions,
}

impl Reader {
    /// A reader of the file at `location`, also known as `path`, whose footer is `metadata`.
    pub(crate) fn new(
        store: Arc<dyn ObjectStore>,
        location: object_store::path::Path,
        path: &Path,
        metadata: ParquetMetaData,
        sidecar: &Sidecar,
    ) -> Result<Reader> {
        let schema = &sidecar.schema;
        let groups = metadata.row_groups();
        let same_rows = groups.iter().map(RowGroupMetaData::num_rows).eq(sidecar.groups.iter().map(|g| i64::from(g.rows)));
        let leaves = schema.first_leaf(schema.columns().len());
        if !same_rows || groups.iter().any(|group| group.num_columns() != leaves) {
            return Err(SegmentError::damaged(path, sidecar.tail_offset, "the footer's row groups are not the sidecar's"));
        }
        let wrong_schema = |e: ParquetError| SegmentError::damaged(path, sidecar.tail_offset, format!("the schema: {e}"));
        if *metadata.file_metadata().schema() != *schema.parquet().map_err(wrong_schema)?.root_schema() {
            return Err(SegmentError::damaged(path, sidecar.tail_offset, "the footer's columns are not the sidecar's"));
        }
        let columns = (0..schema.columns().len())
            .map(|c| {
                let (parquet, arrow) = schema.storage_of(c)?;
                Ok(OneColumn { parquet, arrow: ArrowReaderOptions::new().with_schema(arrow) })
            })
            .collect::<std::result::Result<Vec<_>, ParquetError>>()
            .map_err(wrong_schema)?;
        Ok(Reader { store, location, path: path.to_path_buf(), metadata, columns })
    }

    /// The values of `column` in the rows `rows` of group `group`, counted from the group's first. Reads and decodes the pages
    /// that have them.
    pub(crate) fn read(&self, sidecar: &Sidecar, group: usize, column: usize, rows: Range<usize>) -> Result<ArrayRef> {
        let entry = &sidecar.groups[group].columns[column];
        let group_rows = sidecar.groups[group].rows as usize;
        let covering = entry.chunks.iter().map(|chunk| pages_of(chunk, &rows)).collect::<Vec<_>>();
        // The members of an interval are cut alike; should they not be, the whole group is.
        let alike = covering.iter().all(|(_, covered)| Some(covered) == covering.first().map(|(_, covered)| covered));
        let covered = match covering.first() {
            Some((_, covered)) if alike => covered.clone(),
            _ => 0..group_rows,
        };
        let mut bytes = Vec::with_capacity(entry.chunks.len());
        let mut metadata = Vec::with_capacity(entry.chunks.len());
        let mut start = 0;
        for (leaf, (chunk, (pages, _))) in entry.chunks.iter().zip(covering).enumerate() {
            let pages = if alike { pages } else { 0..chunk.pages.len() };
            let verified = self.read_pages(&sidecar.schema, group, column, chunk, pages)?;
            let footer = self.metadata.row_group(group).column(sidecar.schema.first_leaf(column) + leaf).clone();
            metadata.push((footer, chunk.dictionary.map_or(0, |page| page.bytes), start, verified.len()));
            start += verified.len();
            bytes.push(verified);
        }
        let bytes = if bytes.len() == 1 { bytes.remove(0) } else { Bytes::from(bytes.concat()) };
        let array = self.decode(&sidecar.schema, column, covered.len(), bytes, metadata).map_err(|what| {
            let name = &sidecar.schema.columns()[column].name;
            SegmentError::damaged(&self.path, entry.chunks[0].offset, format!("column {name} of row group {group}: {what}"))
        })?;
        if covered == rows { Ok(compact(array)) } else { Ok(array.slice(rows.start - covered.start, rows.len())) }
    }

    /// The dictionary and the pages `pages` of one chunk, side by side and verified.
    pub(crate) fn read_pages(
        &self,
        schema: &SegmentSchema,
        group: usize,
        column: usize,
        chunk: &ChunkEntry,
        pages: Range<usize>,
    ) -> Result<Bytes> {
        let dictionary_bytes = chunk.dictionary.map_or(0, |page| u64::from(page.bytes));
        let skipped: u64 = chunk.pages[..pages.start].iter().map(|page| u64::from(page.bytes)).sum();
        let data: u64 = chunk.pages[pages.clone()].iter().map(|page| u64::from(page.bytes)).sum();
        let data_start = chunk.offset + dictionary_bytes + skipped;
        let mut ranges = Vec::with_capacity(2);
        if skipped == 0 {
            ranges.push(chunk.offset..data_start + data);
        } else {
            if dictionary_bytes > 0 {
                ranges.push(chunk.offset..chunk.offset + dictionary_bytes);
            }
            ranges.push(data_start..data_start + data);
        }
        let mut parts = self.read_ranges(&ranges)?;
        let bytes = if parts.len() == 1 { parts.remove(0) } else { Bytes::from(parts.concat()) };

        let mut at = 0;
        let mut row: u64 = chunk.pages[..pages.start].iter().map(|page| u64::from(page.rows)).sum();
        for page in chunk.dictionary.iter().chain(&chunk.pages[pages]) {
            let end = at + page.bytes as usize;
            let page_bytes = bytes.get(at..end).unwrap_or_default();
            let what = || {
                let name = &schema.columns()[column].name;
                match page.rows {
                    0 => format!("the dictionary of column {name} in row group {group}"),
                    rows => format!("column {name}, rows {row} to {} of row group {group}", row + u64::from(rows) - 1),
                }
            };
            let offset = chunk.offset + at as u64 + if page.rows == 0 { 0 } else { skipped };
            check_crc(&self.path, what, offset, page_bytes, page.crc)?;
            at = end;
            row += u64::from(page.rows);
        }
        Ok(bytes)
    }

    /// Ranges of the file, as they are.
    pub(crate) fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let failed = |source: object_store::Error| match source {
            object_store::Error::NotFound { .. } => SegmentError::Missing { path: self.path.clone() },
            source => {
                let source = std::io::Error::other(source);
                SegmentError::Io { action: "read segment", path: self.path.clone(), source }
            }
        };
        match complete_now(self.store.get_ranges(&self.location, ranges)) {
            Some(parts) => parts.map_err(failed),
            None => Err(SegmentError::Misuse("this object store does not answer at once".into())),
        }
    }

    /// Decodes verified bytes: per leaf the chunk that its footer entry describes, its dictionary's length, and where its bytes
    /// start and how many there are.
    fn decode(
        &self,
        schema: &SegmentSchema,
        column: usize,
        rows: usize,
        bytes: Bytes,
        chunks: Vec<(ColumnChunkMetaData, u32, usize, usize)>,
    ) -> std::result::Result<ArrayRef, String> {
        let one = &self.columns[column];
        let batch = decode_file(one, rows, bytes, chunks).map_err(|e| e.to_string())?.ok_or("no rows")?;
        let column = &schema.columns()[column];
        let array = from_storage(batch.column(0), column.sql_type)?;
        if array.len() != rows || *array.data_type() != arrow_form::data_type(column.sql_type) {
            return Err(format!("{} values of type {} where {rows} were written", array.len(), array.data_type()));
        }
        if !column.nullable && array.null_count() > 0 {
            return Err("a NULL where none may be".into());
        }
        Ok(array)
    }
}

/// Decodes a Parquet file of one row group and one column that exists only here.
fn decode_file(
    column: &OneColumn,
    rows: usize,
    bytes: Bytes,
    chunks: Vec<(ColumnChunkMetaData, u32, usize, usize)>,
) -> std::result::Result<Option<RecordBatch>, ParquetError> {
    let chunks = chunks.into_iter().map(|(footer, dictionary, start, len)| {
        footer
            .into_builder()
            .set_dictionary_page_offset((dictionary > 0).then_some(start as i64))
            .set_data_page_offset(start as i64 + i64::from(dictionary))
            .set_total_compressed_size(len as i64)
            .set_num_values(rows as i64)
            .build()
    });
    let group = RowGroupMetaData::builder(Arc::clone(&column.parquet))
        .set_num_rows(rows as i64)
        .set_column_metadata(chunks.collect::<std::result::Result<Vec<_>, _>>()?)
        .build()?;
    let file = FileMetaData::new(1, rows as i64, None, None, Arc::clone(&column.parquet), None);
    let metadata = ArrowReaderMetadata::try_new(Arc::new(ParquetMetaData::new(file, vec![group])), column.arrow.clone())?;
    let mut reader = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, metadata).with_batch_size(rows).build()?;
    Ok(reader.next().transpose()?)
}

/// The pages of a chunk that have some of `rows`, and the rows that those pages have.
fn pages_of(chunk: &ChunkEntry, rows: &Range<usize>) -> (Range<usize>, Range<usize>) {
    let mut start = 0;
    let mut pages = 0..0;
    let mut covered = 0..0;
    for (i, page) in chunk.pages.iter().enumerate() {
        let end = start + page.rows as usize;
        if start < rows.end && rows.start < end {
            if pages.is_empty() {
                (pages.start, covered.start) = (i, start);
            }
            (pages.end, covered.end) = (i + 1, end);
        }
        start = end;
    }
    (pages, covered)
}

/// The opposite of `pages::to_storage`.
fn from_storage(array: &ArrayRef, t: SqlType) -> std::result::Result<ArrayRef, String> {
    if t != SqlType::Interval {
        return Ok(Arc::clone(array));
    }
    let group = array.as_struct_opt().filter(|group| group.num_columns() == 3).ok_or("an interval is not three numbers")?;
    let months = group.column(0).as_primitive_opt::<Int32Type>().ok_or("months are not integers")?;
    let days = group.column(1).as_primitive_opt::<Int32Type>().ok_or("days are not integers")?;
    let micros = group.column(2).as_primitive_opt::<Int64Type>().ok_or("microseconds are not integers")?;
    let values = (0..group.len())
        .map(|i| {
            if group.is_null(i) {
                return Ok(IntervalMonthDayNano::new(0, 0, 0));
            }
            let nanos = micros.value(i).checked_mul(1000).ok_or("an interval is too long")?;
            Ok(IntervalMonthDayNano::new(months.value(i), days.value(i), nanos))
        })
        .collect::<std::result::Result<Vec<_>, String>>()?;
    Ok(Arc::new(IntervalMonthDayNanoArray::new(ScalarBuffer::from(values), group.nulls().cloned())))
}

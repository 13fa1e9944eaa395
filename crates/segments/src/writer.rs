//! Writing a segment: sorted batches in, a Parquet file and its sidecar out, both durable.
//!
//! ```text
//! batches --> one row group in memory --> keys, zones, sketches --> sidecar   (kept until finish)
//!                                     \-> pages, CRC of each    --> file      (written group by group)
//! finish: page indexes and footer, sync, sidecar, sync, sync of the directory, open
//! ```
//!
//! 1. Keys ascend strictly over the whole segment; a row that breaks this is refused, nothing is sorted here.
//! 2. A page's CRC is computed from the bytes in memory on their way to the file, never from what the disk gives back.
//! 3. Pages are cut at the same rows in every column (a value of megabytes may cut its column's page earlier).
//! 4. Until a manifest names the segment its two files are garbage: a crash, an error or a drop before `finish` loses nothing else.
//!
//! A column is written with a dictionary if its first row group has few distinct values: a dictionary that does not pay makes every
//! cold point read decode it. Memory: one row group of values, and 8 bytes a row for the filter.

use std::mem::take;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::concat;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use env::{Env, File, OpenMode};
use parquet::arrow::arrow_writer::{ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;
use types::{SegmentId, SqlType};

use crate::cache::Cache;
use crate::codec::trailing_crc;
use crate::column::ColumnView;
use crate::error::{Result, SegmentError};
use crate::files;
use crate::filter::{KeyFilter, hash_bytes};
use crate::info::SegmentFileInfo;
use crate::keys::KeyList;
use crate::pages::{PageTable, to_storage};
use crate::schema::{SegmentSchema, check_batch};
use crate::segment::Segment;
use crate::sidecar::{ColumnEntry, GroupEntry, KEY_BLOCK_ROWS, KeyIndex, Sidecar};
use crate::statistics::ColumnSummary;
use crate::zone::Zone;

/// A dictionary is used where a distinct value comes at least this often on average.
const DICTIONARY_REPEATS_MIN: u64 = 16;
/// Bounds a page whose values are huge; pages are otherwise cut by rows.
const PAGE_BYTES_MAX: usize = 16 << 20;

/// How pages are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Fast to read and write: for fresh segments and tables read by key.
    Lz4,
    /// About 30 % smaller, half as fast to decode: for settled segments.
    Zstd1,
}

/// How a segment is laid out.
#[derive(Clone, Copy, Debug)]
pub struct WriterOptions {
    /// Compression of every column.
    pub codec: Codec,
    /// Rows of a page and of a zone.
    pub rows_per_page: usize,
    /// Rows of a row group: the unit of caching and of a scan's work.
    pub rows_per_group: usize,
    /// A row group is closed early when its values take this much memory.
    pub group_bytes_max: usize,
}

impl Default for WriterOptions {
    fn default() -> WriterOptions {
        WriterOptions { codec: Codec::Lz4, rows_per_page: 4096, rows_per_group: 131_072, group_bytes_max: 256 << 20 }
    }
}

/// Writes one segment, see the module's head. Dropped before [`SegmentWriter::finish`], it removes what it wrote.
pub struct SegmentWriter {
    env: Arc<dyn Env>,
    dir: PathBuf,
    id: SegmentId,
    schema: Arc<SegmentSchema>,
    options: WriterOptions,
    cache: Arc<Cache>,
    file: Arc<dyn File>,
    path: PathBuf,
    written: u64,
    pending: Vec<RecordBatch>,
    pending_rows: usize,
    pending_bytes: usize,
    parquet: Option<Parquet>,
    rows: u64,
    groups: Vec<GroupEntry>,
    columns: Vec<ColumnSummary>,
    sparse: KeyList,
    hashes: Vec<u64>,
    min_key: Box<[u8]>,
    max_key: Box<[u8]>,
    finished: bool,
}

/// The Parquet encoder; what it has encoded is taken out of its vector and written to the file.
struct Parquet {
    file: SerializedFileWriter<Vec<u8>>,
    groups: ArrowRowGroupWriterFactory,
    storage: SchemaRef,
}

impl SegmentWriter {
    /// Creates the files of segment `id` in `dir`, which exists. Read back, it will be cached in `cache`.
    /// Errors: `Io` with `AlreadyExists` if the id was used before; the operating system's.
    pub fn create(
        env: Arc<dyn Env>,
        dir: &Path,
        id: SegmentId,
        schema: Arc<SegmentSchema>,
        options: WriterOptions,
        cache: Arc<Cache>,
    ) -> Result<SegmentWriter> {
        if options.rows_per_page == 0 || options.rows_per_group == 0 {
            return Err(SegmentError::Misuse("a page and a row group have at least one row".into()));
        }
        let path = dir.join(files::segment(id));
        let file = env.open(&path, OpenMode::CreateNew).map_err(SegmentError::io("create segment", &path))?;
        Ok(SegmentWriter {
            dir: dir.to_path_buf(),
            id,
            options,
            cache,
            file,
            path,
            written: 0,
            pending: Vec::new(),
            pending_rows: 0,
            pending_bytes: 0,
            parquet: None,
            rows: 0,
            groups: Vec::new(),
            columns: vec![ColumnSummary::default(); schema.columns().len()],
            sparse: KeyList::new(&schema),
            hashes: Vec::new(),
            min_key: Box::default(),
            max_key: Box::default(),
            finished: false,
            env,
            schema,
        })
    }

    /// The segment being written.
    pub fn id(&self) -> SegmentId {
        self.id
    }

    /// Rows appended so far.
    pub fn rows(&self) -> u64 {
        self.rows + self.pending_rows as u64
    }

    /// Adds rows whose keys are greater than all before, in the columns of [`SegmentSchema::arrow`].
    /// Errors: `Misuse` for other columns, NULL where none may be, or keys out of order (noticed when the row group is written);
    /// `Io`. After an error the writer is of no more use.
    pub fn append(&mut self, batch: &RecordBatch) -> Result<()> {
        check_batch(&self.schema, batch)?;
        let mut start = 0;
        while start < batch.num_rows() {
            // A page's rows at a time, so that a batch of huge values is cut into groups too.
            let room = (self.options.rows_per_group - self.pending_rows).min(self.options.rows_per_page);
            let take = room.min(batch.num_rows() - start);
            let part = batch.slice(start, take);
            start += take;
            self.pending_rows += take;
            self.pending_bytes += part.columns().iter().map(value_bytes).sum::<usize>();
            self.pending.push(part);
            if self.pending_rows == self.options.rows_per_group || self.pending_bytes >= self.options.group_bytes_max {
                self.write_group()?;
            }
        }
        Ok(())
    }

    /// Completes the files, makes them and their names durable, and opens the segment.
    /// Errors: `Misuse` for a segment of no rows, and those of [`SegmentWriter::append`].
    pub fn finish(mut self) -> Result<Arc<Segment>> {
        self.write_group()?;
        let Some(mut parquet) = self.parquet.take() else {
            return Err(SegmentError::Misuse("a segment has at least one row".into()));
        };
        let rows = u32::try_from(self.rows).map_err(|_| SegmentError::Misuse("more than 2^32 rows in a segment".into()))?;
        let tail_offset = self.written;
        parquet.file.finish().map_err(encode_error)?;
        let tail = take(parquet.file.inner_mut());
        self.write(&tail)?;
        self.file.sync_data().map_err(SegmentError::io("sync segment", &self.path))?;

        let sidecar = Sidecar {
            id: self.id,
            schema: Arc::clone(&self.schema),
            rows,
            parquet_bytes: self.written,
            tail_offset,
            tail_crc: crc32fast::hash(&tail),
            rows_per_zone: self.options.rows_per_page as u32,
            groups: take(&mut self.groups),
            keys: KeyIndex {
                min: take(&mut self.min_key),
                max: take(&mut self.max_key),
                sparse: self.sparse.clone(),
                filter: KeyFilter::new(&self.hashes),
            },
            columns: take(&mut self.columns),
        };
        sidecar.check_sums().map_err(|what| SegmentError::Misuse(format!("segment {} contradicts itself: {what}", self.id)))?;
        let bytes = sidecar.encode();
        let path = self.dir.join(files::sidecar(self.id));
        let file = self.env.open(&path, OpenMode::CreateNew).map_err(SegmentError::io("create sidecar", &path))?;
        file.write_all_at(&bytes, 0).map_err(SegmentError::io("write sidecar", &path))?;
        file.sync_data().map_err(SegmentError::io("sync sidecar", &path))?;
        self.env.sync_dir(&self.dir).map_err(SegmentError::io("sync directory", &self.dir))?;

        let (sidecar_bytes, sidecar_crc) = (bytes.len() as u64, trailing_crc(&bytes).unwrap_or_default());
        let info = SegmentFileInfo { rows, parquet_bytes: self.written, sidecar_bytes, sidecar_crc };
        let segment = Segment::open(Arc::clone(&self.env), &self.dir, self.id, &info, Arc::clone(&self.cache))?;
        self.finished = true;
        Ok(segment)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(bytes, self.written).map_err(SegmentError::io("write segment", &self.path))?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Writes what is pending as one row group.
    fn write_group(&mut self) -> Result<()> {
        if self.pending_rows == 0 {
            return Ok(());
        }
        let batches = take(&mut self.pending);
        let rows = take(&mut self.pending_rows);
        self.pending_bytes = 0;
        let columns = (0..self.schema.columns().len())
            .map(|c| {
                let parts: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(c).as_ref()).collect();
                if parts.len() == 1 { Ok(Arc::clone(batches[0].column(c))) } else { concat(&parts) }
            })
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(|e| encode_error(e.into()))?;
        drop(batches);
        self.take_keys(&columns, rows)?;
        let mut entries = Vec::with_capacity(columns.len());
        let mut summaries = Vec::with_capacity(columns.len());
        for (column, array) in self.schema.columns().iter().zip(&columns) {
            let t = column.sql_type;
            let view = ColumnView::new(array, t).ok_or_else(|| SegmentError::Misuse(format!("{} is not {t}", column.name)))?;
            let zones = Zone::of_column(view, t, self.options.rows_per_page)?;
            let mut zone = Zone::empty();
            zones.iter().for_each(|part| zone.merge(part));
            summaries.push(ColumnSummary::of_column(view, t, &zone));
            entries.push(ColumnEntry { zone, zones, chunks: Vec::new() });
        }
        for (all, summary) in self.columns.iter_mut().zip(&summaries) {
            all.merge(summary);
        }
        self.write_pages(&columns, &summaries, &mut entries)?;
        self.groups.push(GroupEntry { rows: rows as u32, columns: entries });
        self.rows += rows as u64;
        Ok(())
    }

    fn take_keys(&mut self, columns: &[ArrayRef], rows: usize) -> Result<()> {
        let key_columns: Vec<ArrayRef> = self.schema.key().iter().map(|k| Arc::clone(&columns[*k])).collect();
        let keys = KeyList::of_columns(&self.schema, &key_columns, 0..rows)?;
        let unsorted = if self.rows > 0 && keys.get(0) <= &*self.max_key { Some(0) } else { keys.first_unsorted() };
        if let Some(row) = unsorted {
            let row = self.rows + row as u64;
            return Err(SegmentError::Misuse(format!("row {row} of segment {} is not in ascending key order", self.id)));
        }
        if self.rows == 0 {
            self.min_key = keys.get(0).into();
        }
        self.max_key = keys.get(rows - 1).into();
        self.hashes.extend(keys.iter().map(hash_bytes));
        for row in (0..rows).step_by(KEY_BLOCK_ROWS) {
            self.sparse.push(keys.get(row))?;
        }
        Ok(())
    }

    /// Encodes a row group, writes it and notes where its pages are.
    fn write_pages(&mut self, columns: &[ArrayRef], summaries: &[ColumnSummary], entries: &mut [ColumnEntry]) -> Result<()> {
        let mut parquet = match self.parquet.take() {
            Some(parquet) => parquet,
            None => self.start_parquet(summaries)?,
        };
        let rows_per_page = self.options.rows_per_page;
        let mut writers = parquet.groups.create_column_writers(self.groups.len()).map_err(encode_error)?.into_iter();
        let mut chunks = Vec::new();
        let mut page_tables = Vec::new();
        for (column, (field, array)) in parquet.storage.fields().iter().zip(columns).enumerate() {
            let array = to_storage(array)?;
            let mut column_writers: Vec<_> = writers.by_ref().take(self.schema.leaves(column)).collect();
            for start in (0..array.len()).step_by(rows_per_page) {
                let page = array.slice(start, rows_per_page.min(array.len() - start));
                for (writer, leaf) in column_writers.iter_mut().zip(compute_leaves(field, &page).map_err(encode_error)?) {
                    writer.write(&leaf).map_err(encode_error)?;
                }
            }
            for writer in column_writers {
                let chunk = writer.close().map_err(encode_error)?;
                let table = PageTable::of(chunk.close(), array.len());
                page_tables.push((column, table.ok_or_else(|| SegmentError::Misuse("Parquet kept no page index".into()))?));
                chunks.push(chunk);
            }
        }
        let mut group = parquet.file.next_row_group().map_err(encode_error)?;
        for chunk in chunks {
            chunk.append_to_row_group(&mut group).map_err(encode_error)?;
        }
        group.close().map_err(encode_error)?;
        parquet.file.flush().map_err(|e| encode_error(e.into()))?;
        let bytes = take(parquet.file.inner_mut());

        let mut at = if self.written == 0 { 4 } else { 0 };
        for (column, table) in page_tables {
            entries[column].chunks.push(table.locate(&bytes, &mut at, self.written)?);
        }
        if at != bytes.len() {
            return Err(SegmentError::Misuse(format!("{} bytes of a row group belong to no page", bytes.len() - at)));
        }
        self.write(&bytes)?;
        self.parquet = Some(parquet);
        Ok(())
    }

    fn start_parquet(&self, summaries: &[ColumnSummary]) -> Result<Parquet> {
        let schema = self.schema.parquet().map_err(encode_error)?;
        let compression = match self.options.codec {
            Codec::Lz4 => Compression::LZ4_RAW,
            Codec::Zstd1 => Compression::ZSTD(ZstdLevel::try_new(1).map_err(encode_error)?),
        };
        let mut properties = WriterProperties::builder()
            .set_created_by(concat!("colonnade ", env!("CARGO_PKG_VERSION")).into())
            .set_compression(compression)
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_data_page_row_count_limit(self.options.rows_per_page)
            .set_write_batch_size(self.options.rows_per_page)
            .set_data_page_size_limit(PAGE_BYTES_MAX)
            .set_sorting_columns(self.sorting())
            .set_key_value_metadata(Some(self.describe()));
        let mut leaves = schema.columns().iter();
        for (column, summary) in summaries.iter().enumerate() {
            let values = summary.rows - summary.nulls;
            let repeats = summary.sketch.estimate().saturating_mul(DICTIONARY_REPEATS_MIN) <= values;
            for leaf in leaves.by_ref().take(self.schema.leaves(column)) {
                let path: ColumnPath = leaf.path().clone();
                properties = properties.set_column_dictionary_enabled(path, repeats);
            }
        }
        let storage = self.schema.storage();
        let file = SerializedFileWriter::new(Vec::new(), schema.root_schema_ptr(), Arc::new(properties.build()));
        let file = file.map_err(encode_error)?;
        let groups = ArrowRowGroupWriterFactory::new(&file, Arc::clone(&storage));
        Ok(Parquet { file, groups, storage })
    }

    /// The order of rows as Parquet can say it: only for types whose order is the same there.
    fn sorting(&self) -> Option<Vec<SortingColumn>> {
        let sorting: Vec<_> = self
            .schema
            .key()
            .iter()
            .take_while(|k| !matches!(self.schema.columns()[**k].sql_type, SqlType::Interval | SqlType::Float4 | SqlType::Float8))
            .map(|k| SortingColumn { column_idx: self.schema.first_leaf(*k) as i32, descending: false, nulls_first: false })
            .collect();
        (!sorting.is_empty()).then_some(sorting)
    }

    /// For readers that do not know us: each column's SQL type, and the key.
    fn describe(&self) -> Vec<KeyValue> {
        let columns = self.schema.columns().iter();
        let types = columns.map(|c| KeyValue::new(format!("colonnade.type.{}", c.name), c.sql_type.to_string()));
        let keys = self.schema.key_columns().enumerate();
        types.chain(keys.map(|(i, c)| KeyValue::new(format!("colonnade.key.{i}"), c.name.clone()))).collect()
    }
}

impl Drop for SegmentWriter {
    fn drop(&mut self) {
        if !self.finished {
            for path in [self.path.clone(), self.dir.join(files::sidecar(self.id))] {
                if let Err(error) = self.env.unlink(&path)
                    && error.kind() != std::io::ErrorKind::NotFound
                {
                    tracing::warn!(path = %path.display(), %error, "cannot remove the file of an unfinished segment");
                }
            }
        }
    }
}

/// Bytes of the array's values, without those of its buffers that it does not refer to.
fn value_bytes(array: &ArrayRef) -> usize {
    match array.data_type() {
        DataType::Utf8View => array.len() * 16 + array.as_string_view().total_buffer_bytes_used(),
        DataType::BinaryView => array.len() * 16 + array.as_binary_view().total_buffer_bytes_used(),
        t => array.len() * t.primitive_width().unwrap_or(16),
    }
}

pub(crate) fn encode_error(error: ParquetError) -> SegmentError {
    SegmentError::Misuse(format!("rows cannot be encoded as Parquet: {error}"))
}

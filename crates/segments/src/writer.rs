//! Writing a segment: sorted batches in, a Parquet file and its sidecar out, both durable.
//!
//! ```text
//! batches --> one row group in memory --encode--> keys, zones, sketches --> sidecar   (kept until finish)
//!                                             \-> pages, CRC of each    --> file      (written group by group)
//! finish: page indexes and footer, sync, sidecar, sync, sync of the directory, open
//! ```
//!
//! 1. Keys ascend strictly over the whole segment; a row that breaks this is refused, nothing is sorted here.
//! 2. A page's CRC is computed from the bytes in memory on their way to the file, never from what the disk gives back.
//! 3. Until a manifest names the segment its two files are garbage: a crash, an error or a drop before `finish` loses nothing else.
//!
//! Memory: one row group of values, and 8 bytes a row for the filter. Who encodes groups elsewhere ([`GroupEncoder`]) only hands
//! them over, in order.

use std::mem::take;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use env::{Env, File, OpenMode};
use parquet::file::writer::SerializedFileWriter;
use types::SegmentId;

use crate::cache::Cache;
use crate::codec::trailing_crc;
use crate::encode::{EncodedGroup, GroupEncoder, encode_error};
use crate::error::{Result, SegmentError};
use crate::files;
use crate::filter::KeyFilter;
use crate::info::SegmentFileInfo;
use crate::keys::KeyList;
use crate::schema::{SegmentSchema, check_batch};
use crate::segment::Segment;
use crate::sidecar::{GroupEntry, KeyIndex, Sidecar};
use crate::statistics::ColumnSummary;

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
    encoder: Option<Arc<GroupEncoder>>,
    /// What it has encoded is taken out of its vector and written to the file.
    parquet: Option<SerializedFileWriter<Vec<u8>>>,
    rows: u64,
    groups: Vec<GroupEntry>,
    columns: Vec<ColumnSummary>,
    sparse: KeyList,
    hashes: Vec<u64>,
    min_key: Box<[u8]>,
    max_key: Box<[u8]>,
    finished: bool,
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
            encoder: None,
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
            self.pending_bytes += value_bytes(&part);
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
        parquet.finish().map_err(encode_error)?;
        let tail = take(parquet.inner_mut());
        self.write(&tail)?;
        self.file.sync_data().map_err(SegmentError::io("sync segment", &self.path))?;
        env::point(self.env.as_ref(), "segment: file synced");

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
        env::point(self.env.as_ref(), "segment: sidecar written");
        file.sync_data().map_err(SegmentError::io("sync sidecar", &path))?;
        env::point(self.env.as_ref(), "segment: sidecar synced");
        self.env.sync_dir(&self.dir).map_err(SegmentError::io("sync directory", &self.dir))?;
        env::point(self.env.as_ref(), "segment: named");

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
        self.pending_rows = 0;
        self.pending_bytes = 0;
        let (encoder, group) = match &self.encoder {
            Some(encoder) => (Arc::clone(encoder), encoder.encode(self.groups.len(), &batches)?),
            None => GroupEncoder::with_first(&self.schema, self.options, &batches)?,
        };
        self.encoder = Some(Arc::clone(&encoder));
        self.append_group(&encoder, group)
    }

    /// Adds a row group whose keys are greater than all before, encoded by `encoder`, which is one of this segment's schema and
    /// options. Errors: `Misuse` if its keys are not greater; `Io`. After an error the writer is of no more use.
    pub fn append_group(&mut self, encoder: &GroupEncoder, group: EncodedGroup) -> Result<()> {
        if self.rows > 0 && group.first_key <= self.max_key {
            let row = self.rows;
            return Err(SegmentError::Misuse(format!("row {row} of segment {} is not in ascending key order", self.id)));
        }
        if self.rows == 0 {
            self.min_key = group.first_key;
        }
        self.max_key = group.last_key;
        self.hashes.extend(&group.hashes);
        for key in group.sparse.iter() {
            self.sparse.push(key)?;
        }
        for (all, summary) in self.columns.iter_mut().zip(&group.summaries) {
            all.merge(summary);
        }

        let mut parquet = match self.parquet.take() {
            Some(parquet) => parquet,
            None => encoder.start_file()?,
        };
        let mut page_tables = Vec::with_capacity(group.chunks.len());
        let mut row_group = parquet.next_row_group().map_err(encode_error)?;
        for (column, chunk, table) in group.chunks {
            chunk.append_to_row_group(&mut row_group).map_err(encode_error)?;
            page_tables.push((column, table));
        }
        row_group.close().map_err(encode_error)?;
        parquet.flush().map_err(|e| encode_error(e.into()))?;
        let bytes = take(parquet.inner_mut());

        let mut entries = group.entries;
        let mut at = if self.written == 0 { 4 } else { 0 };
        for (column, table) in page_tables {
            entries[column].chunks.push(table.locate(&bytes, &mut at, self.written)?);
        }
        if at != bytes.len() {
            return Err(SegmentError::Misuse(format!("{} bytes of a row group belong to no page", bytes.len() - at)));
        }
        self.write(&bytes)?;
        env::point(self.env.as_ref(), "segment: row group written");
        self.parquet = Some(parquet);
        self.groups.push(GroupEntry { rows: group.rows as u32, columns: entries });
        self.rows += group.rows as u64;
        Ok(())
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

/// Bytes of the rows' values, without those of the arrays' buffers that they do not refer to.
pub fn value_bytes(batch: &RecordBatch) -> usize {
    let of_column = |array: &ArrayRef| match array.data_type() {
        DataType::Utf8View => array.len() * 16 + array.as_string_view().total_buffer_bytes_used(),
        DataType::BinaryView => array.len() * 16 + array.as_binary_view().total_buffer_bytes_used(),
        t => array.len() * t.primitive_width().unwrap_or(16),
    };
    batch.columns().iter().map(of_column).sum()
}

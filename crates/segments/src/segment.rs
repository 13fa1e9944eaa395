//! A segment: up to some million rows in key order, immutable, in a Parquet file that anyone can read and a sidecar that only we
//! need.
//!
//! ```text
//! <id>.parquet   group 0 | group 1 | ...      131,072 rows each, packed a column of a group at a time     cache: a slot for each
//! <id>.idx       checksums, keys, zone maps, statistics                                                   all of it in memory
//! <id>.packed    the columns as the cache has them, for what is not in memory; may be missing (`packed_file`)
//! ```
//!
//! 1. A position is a row's number in key order, from 0; it never changes. Which positions are dead is known outside (`deletion`).
//! 2. Opening checks the sidecar and the footer against the manifest's entry; reading checks each page (`reader`).
//!
//! Not here: reads by key and position (`lookup`), deletes, visibility, which segments a table has (`set`).

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::ArrayRef;
use env::{Env, File};
use object_store::ObjectStore;
use parking_lot::RwLock;
use parquet::basic::Compression;
use parquet::file::metadata::ParquetMetaDataReader;
use types::SegmentId;

use crate::cache::{Block, Cache, Slots};
use crate::error::{Result, SegmentError, check_crc};
use crate::files;
use crate::group::Group;
use crate::info::SegmentFileInfo;
use crate::local::LocalStore;
use crate::packed::Packed;
use crate::packed_file::PackedState;
use crate::reader::Reader;
use crate::salvage::footer_from;
use crate::schema::SegmentSchema;
use crate::sidecar::{KEY_BLOCK_ROWS, Sidecar};
use crate::statistics::{ColumnStatistics, ColumnSummary};
use crate::zone::{Predicate, Probe};

/// An open segment, see the module's head.
pub struct Segment {
    pub(crate) env: Arc<dyn Env>,
    pub(crate) dir: PathBuf,
    info: SegmentFileInfo,
    path: PathBuf,
    pub(crate) sidecar: Sidecar,
    pub(crate) reader: Reader,
    pub(crate) slots: Arc<Slots>,
    pub(crate) packed_file: RwLock<PackedState>,
    /// First position of each group.
    pub(crate) starts: Vec<u32>,
    /// First sparse key of each group.
    pub(crate) blocks: Vec<usize>,
    _open: Arc<dyn File>,
}

impl Segment {
    /// Opens the segment `id` in `dir`, whose files must be those `expected` describes. Decoded values go to `cache`.
    ///
    /// Reads the sidecar and the Parquet footer and checks both. Errors: `Missing`, `Checksum`, `Damaged`, `Version`, `Io`.
    pub fn open(
        env: Arc<dyn Env>,
        dir: &Path,
        id: SegmentId,
        expected: &SegmentFileInfo,
        cache: Arc<Cache>,
    ) -> Result<Arc<Segment>> {
        let sidecar = read_sidecar(env.as_ref(), dir, id, expected)?;
        Segment::assemble(&env, dir, expected, &cache, sidecar, None)
    }

    /// The segment that `sidecar` describes. With a codec, of which its pages are, its footer is made of the sidecar and not read.
    pub(crate) fn assemble(
        env: &Arc<dyn Env>,
        dir: &Path,
        expected: &SegmentFileInfo,
        cache: &Arc<Cache>,
        sidecar: Sidecar,
        codec: Option<Compression>,
    ) -> Result<Arc<Segment>> {
        let (env, cache) = (Arc::clone(env), Arc::clone(cache));
        let path = dir.join(files::segment(sidecar.id));
        let store = LocalStore::new(Arc::clone(&env), dir);
        let location = object_store::path::Path::from(files::segment(sidecar.id));
        let open = store.keep_open(&location).map_err(|e| match e {
            object_store::Error::NotFound { .. } => SegmentError::Missing { path: path.clone() },
            e => SegmentError::Io { action: "open segment", path: path.clone(), source: std::io::Error::other(e) },
        })?;
        let len = open.len().map_err(SegmentError::io("read segment", &path))?;
        if len != expected.parquet_bytes {
            let what = format!("it has {len} bytes, the manifest says {}", expected.parquet_bytes);
            return Err(SegmentError::damaged(&path, len.min(expected.parquet_bytes), what));
        }
        let metadata = match codec {
            Some(codec) => footer_from(&sidecar, codec).map_err(|e| e.to_string()),
            None => {
                let mut tail = vec![0; (len - sidecar.tail_offset) as usize];
                open.read_exact_at(&mut tail, sidecar.tail_offset).map_err(SegmentError::io("read segment", &path))?;
                check_crc(&path, || "the footer".into(), sidecar.tail_offset, &tail, sidecar.tail_crc)?;
                decode_footer(&tail)
            }
        };
        let metadata = metadata.map_err(|what| SegmentError::damaged(&path, sidecar.tail_offset, what))?;
        let store: Arc<dyn ObjectStore> = Arc::new(store);
        let reader = Reader::new(store, location, &path, metadata, &sidecar)?;

        let slots = Slots::new(cache, sidecar.groups.len(), sidecar.schema.columns().len());
        let rows = sidecar.groups.iter().map(|group| group.rows);
        let starts = rows.clone().scan(0, |next, rows| Some(std::mem::replace(next, *next + rows))).collect();
        let blocks = rows.map(|rows| (rows as usize).div_ceil(KEY_BLOCK_ROWS));
        let blocks = blocks.scan(0, |next, blocks| Some(std::mem::replace(next, *next + blocks))).collect();
        let (dir, info) = (dir.to_path_buf(), *expected);
        let packed_file = RwLock::default();
        Ok(Arc::new(Segment { env, dir, info, path, sidecar, reader, slots, packed_file, starts, blocks, _open: open }))
    }

    /// The id.
    pub fn id(&self) -> SegmentId {
        self.sidecar.id
    }

    /// Rows, dead ones too.
    pub fn rows(&self) -> u32 {
        self.sidecar.rows
    }

    /// Bytes of both files.
    pub fn bytes_on_disk(&self) -> u64 {
        self.info.parquet_bytes + self.info.sidecar_bytes
    }

    /// Bytes of memory that finding rows by key takes as long as the segment is open: the first key of each block, and the filter.
    pub fn index_bytes(&self) -> usize {
        self.sidecar.keys.sparse.memory() + self.sidecar.keys.filter.memory()
    }

    /// The key of the first row.
    pub fn min_key(&self) -> &[u8] {
        &self.sidecar.keys.min
    }

    /// The key of the last row.
    pub fn max_key(&self) -> &[u8] {
        &self.sidecar.keys.max
    }

    /// Columns and key.
    pub fn schema(&self) -> &Arc<SegmentSchema> {
        &self.sidecar.schema
    }

    /// What to write into the manifest.
    pub fn info(&self) -> SegmentFileInfo {
        self.info
    }

    /// The Parquet file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is known of column `column`, dead rows included.
    pub fn statistics(&self, column: usize) -> ColumnStatistics {
        self.sidecar.columns[column].statistics(self.sidecar.schema.columns()[column].sql_type)
    }

    pub(crate) fn summary(&self, column: usize) -> &ColumnSummary {
        &self.sidecar.columns[column]
    }

    /// The row groups, in order of position.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = Group<'_>> {
        let schema = &self.sidecar.schema;
        self.sidecar.groups.iter().zip(&self.starts).map(move |(entry, start)| Group { schema, entry, start: *start })
    }

    /// Row group `group`.
    pub fn group(&self, group: usize) -> Group<'_> {
        Group { schema: &self.sidecar.schema, entry: &self.sidecar.groups[group], start: self.starts[group] }
    }

    /// The conditions in the form that zones are asked with; make them once per segment. One on a column that the segment does
    /// not have excludes nothing and is left out.
    pub fn probes(&self, predicates: &[Predicate]) -> Vec<Probe> {
        let columns = self.sidecar.schema.columns();
        predicates.iter().filter_map(|p| Some(p.probe(columns.get(p.column)?.sql_type))).collect()
    }

    /// The values of the columns at positions `columns` in row group `group`, in that order, each of its type's Arrow form and of
    /// the group's rows. From the cache, or read, verified and decoded. Errors: `Checksum`, `Damaged`, `Missing`, `Io`.
    pub fn read_group(&self, group: usize, columns: &[usize]) -> Result<Vec<ArrayRef>> {
        columns.iter().map(|column| self.read_column(group, *column)).collect()
    }

    /// The values of one column in one row group, as [`Segment::read_group`].
    pub fn read_column(&self, group: usize, column: usize) -> Result<ArrayRef> {
        self.packed(group, column).map(|packed| packed.array(0..packed.len()))
    }

    /// The same, as the cache keeps them.
    pub fn packed(&self, group: usize, column: usize) -> Result<Arc<Packed>> {
        match self.slots.get_or_load(self.slot(group, column), || self.load(group, column).map(Block::Column))? {
            Block::Column(packed) => Ok(packed),
            Block::Keys(_) => Err(SegmentError::Misuse("keys in a column's slot".into())),
        }
    }

    /// The same, without any change to what the cache has.
    pub(crate) fn packed_for_now(&self, group: usize, column: usize) -> Result<Arc<Packed>> {
        match self.slots.peek(self.slot(group, column)) {
            Some(Block::Column(packed)) => Ok(packed),
            _ => self.load(group, column),
        }
    }

    /// From the local file of packed columns, or from Parquet.
    fn load(&self, group: usize, column: usize) -> Result<Arc<Packed>> {
        if let Some(packed) = self.packed_from_file(group, column) {
            return Ok(Arc::new(packed));
        }
        let rows = 0..self.sidecar.groups[group].rows as usize;
        self.reader.read(&self.sidecar, group, column, rows).and_then(|array| self.pack(array, column))
    }

    /// Values of a column that were read.
    pub(crate) fn pack(&self, array: ArrayRef, column: usize) -> Result<Arc<Packed>> {
        let column = &self.sidecar.schema.columns()[column];
        let packed = Packed::new(array, column.sql_type).map(Arc::new);
        packed.ok_or_else(|| SegmentError::Misuse(format!("{} is not {}", column.name, column.sql_type)))
    }

    /// The values of the columns at positions `columns` in the rows `rows` of row group `group` (counted from its first). Of what is
    /// not cached only the pages that have those rows are read, and nothing is put into the cache: for a scan that wants few rows
    /// of a group. Errors: as [`Segment::read_group`].
    pub fn read_rows(&self, group: usize, columns: &[usize], rows: Range<usize>) -> Result<Vec<ArrayRef>> {
        let read = |column: &usize| match self.slots.get(self.slot(group, *column)) {
            Some(Block::Column(packed)) => Ok(packed.array(rows.clone())),
            _ => self.reader.read(&self.sidecar, group, *column, rows.clone()),
        };
        columns.iter().map(read).collect()
    }

    /// True if [`Segment::packed`] needs no read: for a scan that orders its work by what is in memory.
    pub fn is_cached(&self, group: usize, column: usize) -> bool {
        self.slots.peek(self.slot(group, column)).is_some()
    }

    pub(crate) fn slot(&self, group: usize, column: usize) -> usize {
        group * (self.sidecar.schema.columns().len() + 1) + column
    }
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Segment").field("path", &self.path).field("rows", &self.rows()).finish_non_exhaustive()
    }
}

/// Reads and checks the sidecar of a segment.
pub(crate) fn read_sidecar(env: &dyn Env, dir: &Path, id: SegmentId, expected: &SegmentFileInfo) -> Result<Sidecar> {
    let path = dir.join(files::sidecar(id));
    let bytes = env::read_file(env, &path).map_err(SegmentError::io("read sidecar", &path))?;
    if bytes.len() as u64 != expected.sidecar_bytes {
        let what = format!("it has {} bytes, the manifest says {}", bytes.len(), expected.sidecar_bytes);
        return Err(SegmentError::damaged(&path, bytes.len() as u64, what));
    }
    let sidecar = Sidecar::decode(&path, &bytes, expected.sidecar_crc)?;
    if sidecar.id != id || sidecar.rows != expected.rows || sidecar.parquet_bytes != expected.parquet_bytes {
        return Err(SegmentError::damaged(&path, 0, format!("it describes segment {}, not this one", sidecar.id)));
    }
    Ok(sidecar)
}

/// The footer from a verified tail: | page indexes | metadata | its length | PAR1 |.
fn decode_footer(tail: &[u8]) -> std::result::Result<parquet::file::metadata::ParquetMetaData, String> {
    let (rest, magic) = tail.split_last_chunk::<4>().ok_or("no footer")?;
    let (rest, len) = rest.split_last_chunk::<4>().ok_or("no footer")?;
    let start = rest.len().checked_sub(u32::from_le_bytes(*len) as usize);
    let start = start.filter(|_| magic == b"PAR1").ok_or("no footer")?;
    ParquetMetaDataReader::decode_metadata(&rest[start..]).map_err(|e| e.to_string())
}

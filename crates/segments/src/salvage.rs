//! What can be had of a damaged segment: for `colonnade check --repair`, never for queries.
//!
//! ```text
//! sidecar damaged     made again from the Parquet file; only if it is then, by the manifest's CRC, what it was: this proves every page
//! footer damaged      the sidecar knows where pages are and their CRCs; each kind of compression is tried on one page
//! pages damaged       the rows that no page of theirs is damaged of
//! ```
//!
//! Nothing that no checksum vouches for is given to anyone.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrow::array::ArrayRef;
use bytes::Bytes;
use env::{Env, OpenMode};
use parquet::basic::{Compression, Repetition, ZstdLevel};
use parquet::file::metadata::{
    ColumnChunkMetaData, FileMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData,
};
use parquet::schema::types::SchemaDescPtr;
use types::{Kind, SegmentId};

use crate::cache::Cache;
use crate::codec::trailing_crc;
use crate::column::ColumnView;
use crate::error::{Result, SegmentError};
use crate::files;
use crate::filter::{KeyFilter, hash_bytes};
use crate::info::SegmentFileInfo;
use crate::keys::{KeyList, text_of_key};
use crate::local::LocalStore;
use crate::measure::measure;
use crate::reader::Reader;
use crate::schema::{SegmentColumn, SegmentSchema};
use crate::segment::{Segment, read_sidecar};
use crate::sidecar::{ChunkEntry, ColumnEntry, GroupEntry, KEY_BLOCK_ROWS, KeyIndex, PageEntry, Sidecar};
use crate::statistics::ColumnSummary;
use crate::writer::WriterOptions;
use crate::zone::Zone;

/// A segment that could be opened after all.
pub struct Salvaged {
    /// Its rows; not all of them may be readable, see [`Segment::unreadable`].
    pub segment: Arc<Segment>,
    /// What had to be done about its sidecar or footer, in words.
    pub done: Option<&'static str>,
    /// Its files are not what the manifest describes: the rows have to be written anew.
    pub to_rewrite: bool,
}

impl Segment {
    /// Opens a segment as [`Segment::open`] does, and where that fails for damage with what is left of it. A sidecar that could be made
    /// again is put in its place. `schema` is the table's. Errors: nothing of it can be believed; `Io`.
    pub fn salvage(
        env: &Arc<dyn Env>,
        dir: &Path,
        id: SegmentId,
        expected: &SegmentFileInfo,
        schema: &SegmentSchema,
        cache: &Arc<Cache>,
    ) -> Result<Salvaged> {
        let error = match Segment::open(Arc::clone(env), dir, id, expected, Arc::clone(cache)) {
            Ok(segment) => {
                let done = mend_magic(env.as_ref(), segment.path())?.then_some("its first four bytes are mended");
                return Ok(Salvaged { segment, done, to_rewrite: false });
            }
            Err(error) if error.kind() != Kind::Corrupt => return Err(error),
            Err(error) => error,
        };
        match read_sidecar(env.as_ref(), dir, id, expected) {
            Ok(sidecar) => {
                for codec in [Compression::LZ4_RAW, Compression::ZSTD(ZstdLevel::default()), Compression::UNCOMPRESSED] {
                    let opened = Segment::assemble(env, dir, expected, cache, sidecar.clone(), Some(codec));
                    if let Some(segment) = opened.ok().filter(|segment| segment.reads_something()) {
                        return Ok(Salvaged { segment, done: Some("its footer is lost"), to_rewrite: true });
                    }
                }
                Err(error)
            }
            Err(of_sidecar) if of_sidecar.kind() != Kind::Corrupt => Err(of_sidecar),
            Err(of_sidecar) => {
                // Its own error says more than those of the attempt.
                let Ok(bytes) = rebuild_sidecar(env, dir, id, expected, schema) else { return Err(of_sidecar) };
                let path = dir.join(files::sidecar(id));
                env::write_file_atomically(env.as_ref(), &path, &bytes).map_err(SegmentError::io("write sidecar", &path))?;
                let segment = Segment::open(Arc::clone(env), dir, id, expected, Arc::clone(cache))?;
                Ok(Salvaged { segment, done: Some("its sidecar has been made again"), to_rewrite: false })
            }
        }
    }

    /// The positions of rows of which some value cannot be read, dead rows too: runs that ascend and do not touch. Reads everything
    /// past the cache. Errors: `Io`.
    pub fn unreadable(&self) -> Result<Vec<Range<u32>>> {
        let mut lost: Vec<Range<u32>> = Vec::new();
        for (group, start) in self.starts.iter().enumerate() {
            for rows in self.runs(group) {
                if self.read_run(group, &rows)?.is_none() {
                    let (from, to) = (start + rows.start as u32, start + rows.end as u32);
                    match lost.last_mut() {
                        Some(last) if last.end == from => last.end = to,
                        _ => lost.push(from..to),
                    }
                }
            }
        }
        Ok(lost)
    }

    /// All columns of each run of rows that can be read, with the position of its first, in order. Errors: `Io`.
    pub fn readable(&self) -> impl Iterator<Item = Result<(u32, Vec<ArrayRef>)>> + '_ {
        let runs =
            self.starts.iter().enumerate().flat_map(|(group, start)| self.runs(group).map(move |rows| (group, *start, rows)));
        runs.filter_map(|(group, start, rows)| {
            self.read_run(group, &rows).map(|read| Some((start + rows.start as u32, read?))).transpose()
        })
    }

    /// The least and the greatest key that rows at these positions can have, as text: by the sidecar alone.
    pub fn keys_around(&self, positions: &Range<u32>) -> (String, String) {
        let block = |position: u32| {
            let (group, row) = self.locate(position.min(self.rows() - 1));
            self.blocks[group] + row / KEY_BLOCK_ROWS
        };
        let sparse = &self.sidecar.keys.sparse;
        let next = block(positions.end.saturating_sub(1)) + 1;
        let last = if next < sparse.len() { sparse.get(next) } else { self.max_key() };
        (text_of_key(self.schema(), sparse.get(block(positions.start))), text_of_key(self.schema(), last))
    }

    /// The rows of a group cut as its pages are.
    fn runs(&self, group: usize) -> impl Iterator<Item = Range<usize>> + use<'_> {
        let rows = self.sidecar.groups[group].rows as usize;
        let step = self.sidecar.rows_per_zone as usize;
        (0..rows).step_by(step).map(move |start| start..(start + step).min(rows))
    }

    /// All columns of some rows of a group; None if some of them is damaged.
    fn read_run(&self, group: usize, rows: &Range<usize>) -> Result<Option<Vec<ArrayRef>>> {
        let columns = 0..self.schema().columns().len();
        let read = columns.map(|column| self.reader.read(&self.sidecar, group, column, rows.clone())).collect::<Result<Vec<_>>>();
        match read {
            Ok(columns) => Ok(Some(columns)),
            Err(error) if error.kind() == Kind::Corrupt => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether some column's first run can be decoded.
    fn reads_something(&self) -> bool {
        let groups = 0..self.sidecar.groups.len();
        groups.into_iter().any(|group| {
            let mut runs = self.runs(group);
            runs.any(|rows| {
                (0..self.schema().columns().len()).any(|c| self.reader.read(&self.sidecar, group, c, rows.clone()).is_ok())
            })
        })
    }
}

/// Whether the only bytes of a Parquet file that have no checksum, as they are always the same, had to be written again.
fn mend_magic(env: &dyn Env, path: &Path) -> Result<bool> {
    let file = env.open(path, OpenMode::Write).map_err(SegmentError::io("open segment", path))?;
    let mut magic = [0; 4];
    file.read_exact_at(&mut magic, 0).map_err(SegmentError::io("read segment", path))?;
    if &magic == b"PAR1" {
        return Ok(false);
    }
    file.write_all_at(b"PAR1", 0).and_then(|()| file.sync_data()).map_err(SegmentError::io("write segment", path))?;
    Ok(true)
}

/// A footer that says what the sidecar does, for pages compressed by `codec`.
pub(crate) fn footer_from(
    sidecar: &Sidecar,
    codec: Compression,
) -> std::result::Result<ParquetMetaData, parquet::errors::ParquetError> {
    let parquet: SchemaDescPtr = Arc::new(sidecar.schema.parquet()?);
    let group_of = |group: &GroupEntry| {
        let chunks = group.columns.iter().flat_map(|column| &column.chunks);
        let columns = chunks.zip(parquet.columns()).map(|(chunk, leaf)| {
            ColumnChunkMetaData::builder(Arc::clone(leaf))
                .set_compression(codec)
                .set_num_values(i64::from(group.rows))
                .set_total_compressed_size(chunk.bytes() as i64)
                .set_data_page_offset(chunk.offset as i64)
                .build()
        });
        let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
        RowGroupMetaData::builder(Arc::clone(&parquet)).set_num_rows(i64::from(group.rows)).set_column_metadata(columns).build()
    };
    let groups = sidecar.groups.iter().map(group_of).collect::<std::result::Result<Vec<_>, _>>()?;
    let file = FileMetaData::new(1, i64::from(sidecar.rows), None, None, Arc::clone(&parquet), None);
    Ok(ParquetMetaData::new(file, groups))
}

/// The sidecar's bytes, made from the Parquet file beside it. Errors: it is not, by length and CRC, the one that was written.
fn rebuild_sidecar(
    env: &Arc<dyn Env>,
    dir: &Path,
    id: SegmentId,
    expected: &SegmentFileInfo,
    schema: &SegmentSchema,
) -> Result<Vec<u8>> {
    let path = dir.join(files::segment(id));
    let damaged = |what: String| SegmentError::damaged(&path, 0, what);
    let file = Bytes::from(env::read_file(env.as_ref(), &path).map_err(SegmentError::io("read segment", &path))?);
    if file.len() as u64 != expected.parquet_bytes {
        return Err(damaged(format!("it has {} bytes, the manifest says {}", file.len(), expected.parquet_bytes)));
    }
    let reader = ParquetMetaDataReader::new().with_offset_index_policy(PageIndexPolicy::Required);
    let metadata = reader.parse_and_finish(&file).map_err(|e| damaged(e.to_string()))?;
    let schema = Arc::new(schema_as_written(schema, &metadata).ok_or_else(|| damaged("its columns are not the table's".into()))?);
    let groups = chunks_of(&schema, &metadata, &file).ok_or_else(|| damaged("its page index makes no sense".into()))?;
    let tail_offset = groups.last().and_then(|g| g.columns.last()?.chunks.last()).map_or(4, |c| c.offset + c.bytes());
    let tail = usize::try_from(tail_offset).ok().and_then(|start| file.get(start..));
    let tail = tail.ok_or_else(|| damaged("its page index makes no sense".into()))?;
    let mut sidecar = Sidecar {
        id,
        rows: expected.rows,
        parquet_bytes: expected.parquet_bytes,
        tail_offset,
        tail_crc: crc32fast::hash(tail),
        rows_per_zone: WriterOptions::default().rows_per_page as u32,
        groups,
        keys: KeyIndex { min: Box::default(), max: Box::default(), sparse: KeyList::new(&schema), filter: KeyFilter::new(&[]) },
        columns: vec![ColumnSummary::default(); schema.columns().len()],
        schema,
    };
    measure_into(&mut sidecar, env, dir, &path, metadata)?;
    sidecar.check_sums().map_err(damaged)?;
    let bytes = sidecar.encode();
    let same = bytes.len() as u64 == expected.sidecar_bytes && trailing_crc(&bytes) == Some(expected.sidecar_crc);
    same.then_some(bytes).ok_or_else(|| damaged("it is not what its sidecar was made of".into()))
}

/// The table's columns under the names they had when the file was written, and NULL where it could be.
fn schema_as_written(table: &SegmentSchema, metadata: &ParquetMetaData) -> Option<SegmentSchema> {
    let fields = metadata.file_metadata().schema_descr().root_schema().get_fields();
    let column = |field: &Arc<parquet::schema::types::Type>| {
        let info = field.get_basic_info();
        let id = if info.has_id() { info.id() } else { return None };
        let known = table.columns().iter().find(|column| i32::from(column.id.0) == id)?;
        Some(SegmentColumn::new(known.id, field.name(), known.sql_type, info.repetition() != Repetition::REQUIRED))
    };
    let columns = fields.iter().map(column).collect::<Option<Vec<_>>>()?;
    let key =
        table.key().iter().map(|k| columns.iter().position(|c| c.id == table.columns()[*k].id)).collect::<Option<Vec<_>>>()?;
    Some(SegmentSchema::new(columns, key).ordered(table.order()))
}

/// Where pages are and what their CRCs are now, without what is known of values.
fn chunks_of(schema: &SegmentSchema, metadata: &ParquetMetaData, file: &Bytes) -> Option<Vec<GroupEntry>> {
    let indexes = metadata.offset_index()?;
    let chunk = |group: usize, leaf: usize, rows: i64| {
        let pages = indexes.get(group)?.get(leaf)?.page_locations();
        let column = metadata.row_groups()[group].columns().get(leaf)?;
        let offset = u64::try_from(column.dictionary_page_offset().unwrap_or(column.data_page_offset())).ok()?;
        let entry = |start: u64, bytes: u32, rows: u32| {
            let start = usize::try_from(start).ok()?;
            let page = file.get(start..start.checked_add(bytes as usize)?)?;
            Some(PageEntry { bytes, rows, crc: crc32fast::hash(page) })
        };
        let first = u64::try_from(pages.first()?.offset).ok()?;
        let dictionary = match u32::try_from(first.checked_sub(offset)?).ok()? {
            0 => None,
            bytes => Some(entry(offset, bytes, 0)?),
        };
        let ends = pages.iter().skip(1).map(|page| page.first_row_index).chain([rows]);
        let pages = pages.iter().zip(ends).map(|(page, end)| {
            let rows = u32::try_from(end.checked_sub(page.first_row_index)?).ok()?;
            entry(u64::try_from(page.offset).ok()?, u32::try_from(page.compressed_page_size).ok()?, rows)
        });
        Some(ChunkEntry { offset, dictionary, pages: pages.collect::<Option<Vec<_>>>()? })
    };
    let groups = metadata.row_groups().iter().enumerate().map(|(group, listed)| {
        let columns = (0..schema.columns().len()).map(|column| {
            let leaves = schema.first_leaf(column)..schema.first_leaf(column) + schema.leaves(column);
            let chunks = leaves.map(|leaf| chunk(group, leaf, listed.num_rows())).collect::<Option<Vec<_>>>()?;
            Some(ColumnEntry { zone: Zone::empty(), zones: Vec::new(), chunks })
        });
        Some(GroupEntry { rows: u32::try_from(listed.num_rows()).ok()?, columns: columns.collect::<Option<Vec<_>>>()? })
    });
    groups.collect()
}

/// Adds everything that follows from the values.
fn measure_into(sidecar: &mut Sidecar, env: &Arc<dyn Env>, dir: &Path, path: &Path, metadata: ParquetMetaData) -> Result<()> {
    let schema = Arc::clone(&sidecar.schema);
    let location = object_store::path::Path::from(files::segment(sidecar.id));
    let reader = Reader::new(Arc::new(LocalStore::new(Arc::clone(env), dir)), location, path, metadata, sidecar)?;
    let mut hashes = Vec::new();
    for group in 0..sidecar.groups.len() {
        let rows = sidecar.groups[group].rows as usize;
        let columns = (0..schema.columns().len())
            .map(|column| reader.read(sidecar, group, column, 0..rows))
            .collect::<Result<Vec<ArrayRef>>>()?;
        let key_columns: Vec<ArrayRef> = schema.key().iter().map(|k| Arc::clone(&columns[*k])).collect();
        let keys = KeyList::of_columns(&schema, &key_columns, 0..rows)?;
        for row in (0..rows).step_by(KEY_BLOCK_ROWS) {
            sidecar.keys.sparse.push(keys.get(row))?;
        }
        hashes.extend(keys.iter().map(hash_bytes));
        if group == 0 && rows > 0 {
            sidecar.keys.min = keys.get(0).into();
        }
        if rows > 0 {
            sidecar.keys.max = keys.get(rows - 1).into();
        }
        for (c, array) in columns.iter().enumerate() {
            let t = schema.columns()[c].sql_type;
            let view = ColumnView::new(array, t).ok_or_else(|| SegmentError::Misuse("a column of another type".into()))?;
            let measured = measure(view, t, sidecar.rows_per_zone as usize)?;
            let entry = &mut sidecar.groups[group].columns[c];
            (entry.zone, entry.zones) = (measured.zone, measured.zones);
            sidecar.columns[c].merge(&measured.summary);
        }
    }
    sidecar.keys.filter = KeyFilter::new(&hashes);
    Ok(())
}

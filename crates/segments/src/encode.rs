//! A row group on its way to a file: sorted rows in, Parquet pages and all that the sidecar says about them out. No IO, so any
//! number of threads may encode groups of one segment at a time.
//!
//! ```text
//! rows --> keys, zones, sketches --> EncodedGroup --> SegmentWriter::append_group, in the order of keys
//!      \-> pages                 -/
//! ```
//!
//! 1. Keys ascend strictly in a group; a row that breaks this is refused, nothing is sorted here.
//! 2. Pages are cut at the same rows in every column (a value of megabytes may cut its column's page earlier).
//! 3. A column is written with a dictionary if the rows the encoder was made for have few distinct values in it: a dictionary that
//!    does not pay makes every cold point read decode it.

use std::io::{self, Sink};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnPath, SchemaDescriptor};
use types::SqlType;

use crate::column::ColumnView;
use crate::error::{Result, SegmentError};
use crate::filter::hash_bytes;
use crate::keys::KeyList;
use crate::measure;
use crate::pages::{PageTable, to_storage};
use crate::schema::{SegmentSchema, check_batch};
use crate::sidecar::{ColumnEntry, KEY_BLOCK_ROWS};
use crate::statistics::ColumnSummary;
use crate::writer::{Codec, WriterOptions};

/// A dictionary is used where a distinct value comes at least this often on average.
const DICTIONARY_REPEATS_MIN: u64 = 16;
/// Bounds a page whose values are huge; pages are otherwise cut by rows.
const PAGE_BYTES_MAX: usize = 16 << 20;

/// Encodes row groups of one schema, see the module's head. Shared by the threads that do.
pub struct GroupEncoder {
    schema: Arc<SegmentSchema>,
    options: WriterOptions,
    parquet: SchemaDescriptor,
    properties: WriterPropertiesPtr,
    storage: SchemaRef,
    factory: ArrowRowGroupWriterFactory,
}

/// A row group ready to be appended to a segment.
pub struct EncodedGroup {
    pub(crate) rows: usize,
    pub(crate) first_key: Box<[u8]>,
    pub(crate) last_key: Box<[u8]>,
    pub(crate) sparse: KeyList,
    pub(crate) hashes: Vec<u64>,
    pub(crate) entries: Vec<ColumnEntry>,
    pub(crate) summaries: Vec<ColumnSummary>,
    /// A chunk for each leaf, with the column it belongs to.
    pub(crate) chunks: Vec<(usize, ArrowColumnChunk, PageTable)>,
}

/// A row group's columns with what is known of their values.
struct Measured {
    columns: Vec<ArrayRef>,
    entries: Vec<ColumnEntry>,
    summaries: Vec<ColumnSummary>,
}

impl GroupEncoder {
    /// An encoder for groups like `first`, whose values decide which columns get a dictionary.
    /// Errors: `Misuse` for other columns than the schema's, or NULL where none may be.
    pub fn new(schema: Arc<SegmentSchema>, options: WriterOptions, first: &[RecordBatch]) -> Result<Arc<GroupEncoder>> {
        let measured = measure(&schema, &options, first)?;
        GroupEncoder::of(schema, options, &measured.summaries)
    }

    /// As [`GroupEncoder::new`]; returns those rows encoded too.
    pub(crate) fn with_first(
        schema: &Arc<SegmentSchema>,
        options: WriterOptions,
        first: &[RecordBatch],
    ) -> Result<(Arc<GroupEncoder>, EncodedGroup)> {
        let measured = measure(schema, &options, first)?;
        let encoder = GroupEncoder::of(Arc::clone(schema), options, &measured.summaries)?;
        let group = encoder.encode_measured(0, measured)?;
        Ok((encoder, group))
    }

    fn of(schema: Arc<SegmentSchema>, options: WriterOptions, summaries: &[ColumnSummary]) -> Result<Arc<GroupEncoder>> {
        let parquet = schema.parquet().map_err(encode_error)?;
        let properties = Arc::new(properties(&schema, &options, &parquet, summaries)?);
        let storage = schema.storage();
        // The factory takes schema and properties from a file; nothing is written to this one.
        let file: SerializedFileWriter<Sink> =
            SerializedFileWriter::new(io::sink(), parquet.root_schema_ptr(), Arc::clone(&properties)).map_err(encode_error)?;
        let factory = ArrowRowGroupWriterFactory::new(&file, Arc::clone(&storage));
        Ok(Arc::new(GroupEncoder { schema, options, parquet, properties, storage, factory }))
    }

    /// A Parquet file for this encoder's groups, kept in memory until it is taken out.
    pub(crate) fn start_file(&self) -> Result<SerializedFileWriter<Vec<u8>>> {
        let root = self.parquet.root_schema_ptr();
        SerializedFileWriter::new(Vec::new(), root, Arc::clone(&self.properties)).map_err(encode_error)
    }

    /// Encodes the rows of `batches`, in the columns of [`SegmentSchema::arrow`], as row group `group` of its segment.
    /// Errors: `Misuse` for other columns, NULL where none may be, keys that do not ascend, or no rows.
    pub fn encode(&self, group: usize, batches: &[RecordBatch]) -> Result<EncodedGroup> {
        self.encode_measured(group, measure(&self.schema, &self.options, batches)?)
    }

    fn encode_measured(&self, group: usize, measured: Measured) -> Result<EncodedGroup> {
        let Measured { columns, entries, summaries } = measured;
        let rows = columns.first().map_or(0, |column| column.len());
        let key_columns: Vec<ArrayRef> = self.schema.key().iter().map(|k| Arc::clone(&columns[*k])).collect();
        let keys = KeyList::of_columns(&self.schema, &key_columns, 0..rows)?;
        if let Some(row) = keys.first_unsorted() {
            return Err(SegmentError::Misuse(format!("row {row} of row group {group} is not in ascending key order")));
        }
        let mut sparse = KeyList::new(&self.schema);
        for row in (0..rows).step_by(KEY_BLOCK_ROWS) {
            sparse.push(keys.get(row))?;
        }
        Ok(EncodedGroup {
            rows,
            first_key: keys.get(0).into(),
            last_key: keys.get(rows - 1).into(),
            sparse,
            hashes: keys.iter().map(hash_bytes).collect(),
            chunks: self.pages(group, &columns)?,
            entries,
            summaries,
        })
    }

    fn pages(&self, group: usize, columns: &[ArrayRef]) -> Result<Vec<(usize, ArrowColumnChunk, PageTable)>> {
        let rows_per_page = self.options.rows_per_page;
        let mut writers = self.factory.create_column_writers(group).map_err(encode_error)?.into_iter();
        let mut chunks = Vec::new();
        for (column, (field, array)) in self.storage.fields().iter().zip(columns).enumerate() {
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
                let table = table.ok_or_else(|| SegmentError::Misuse("Parquet kept no page index".into()))?;
                chunks.push((column, chunk, table));
            }
        }
        Ok(chunks)
    }
}

impl EncodedGroup {
    /// How many rows it has.
    pub fn rows(&self) -> usize {
        self.rows
    }
}

/// The rows as one array a column, with zones and sketches.
fn measure(schema: &SegmentSchema, options: &WriterOptions, batches: &[RecordBatch]) -> Result<Measured> {
    if batches.iter().all(|batch| batch.num_rows() == 0) {
        return Err(SegmentError::Misuse("a row group has at least one row".into()));
    }
    batches.iter().try_for_each(|batch| check_batch(schema, batch))?;
    let columns = (0..schema.columns().len())
        .map(|c| match batches {
            [batch] => Ok(Arc::clone(batch.column(c))),
            _ => {
                let parts: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(c).as_ref()).collect();
                concat(&parts).map_err(|e| encode_error(e.into()))
            }
        })
        .collect::<Result<Vec<_>>>()?;
    let mut entries = Vec::with_capacity(columns.len());
    let mut summaries = Vec::with_capacity(columns.len());
    for (column, array) in schema.columns().iter().zip(&columns) {
        let t = column.sql_type;
        let view = ColumnView::new(array, t).ok_or_else(|| SegmentError::Misuse(format!("{} is not {t}", column.name)))?;
        let of_column = measure::measure(view, t, options.rows_per_page)?;
        summaries.push(of_column.summary);
        entries.push(ColumnEntry { zone: of_column.zone, zones: of_column.zones, chunks: Vec::new() });
    }
    Ok(Measured { columns, entries, summaries })
}

fn properties(
    schema: &SegmentSchema,
    options: &WriterOptions,
    parquet: &SchemaDescriptor,
    summaries: &[ColumnSummary],
) -> Result<WriterProperties> {
    let compression = match options.codec {
        Codec::Lz4 => Compression::LZ4_RAW,
        Codec::Zstd1 => Compression::ZSTD(ZstdLevel::try_new(1).map_err(encode_error)?),
    };
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("colonnade ", env!("CARGO_PKG_VERSION")).into())
        .set_compression(compression)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_data_page_row_count_limit(options.rows_per_page)
        .set_write_batch_size(options.rows_per_page)
        .set_data_page_size_limit(PAGE_BYTES_MAX)
        .set_sorting_columns(sorting(schema))
        .set_key_value_metadata(Some(describe(schema)));
    let mut leaves = parquet.columns().iter();
    for (column, summary) in summaries.iter().enumerate() {
        let values = summary.rows - summary.nulls;
        let repeats = summary.sketch.estimate().saturating_mul(DICTIONARY_REPEATS_MIN) <= values;
        for leaf in leaves.by_ref().take(schema.leaves(column)) {
            let path: ColumnPath = leaf.path().clone();
            properties = properties.set_column_dictionary_enabled(path, repeats);
        }
    }
    Ok(properties.build())
}

/// The order of rows as Parquet can say it: only for types whose order is the same there.
fn sorting(schema: &SegmentSchema) -> Option<Vec<SortingColumn>> {
    let sorting: Vec<_> = schema
        .key()
        .iter()
        .zip(schema.order())
        .take_while(|(k, _)| !matches!(schema.columns()[**k].sql_type, SqlType::Interval | SqlType::Float4 | SqlType::Float8))
        .map(|(k, order)| SortingColumn {
            column_idx: schema.first_leaf(*k) as i32,
            descending: order.descending,
            nulls_first: order.nulls_first,
        })
        .collect();
    (!sorting.is_empty()).then_some(sorting)
}

/// For readers that do not know us: each column's SQL type, and the key.
fn describe(schema: &SegmentSchema) -> Vec<KeyValue> {
    let columns = schema.columns().iter();
    let types = columns.map(|c| KeyValue::new(format!("colonnade.type.{}", c.name), c.sql_type.to_string()));
    let keys = schema.key_columns().enumerate();
    types.chain(keys.map(|(i, c)| KeyValue::new(format!("colonnade.key.{i}"), c.name.clone()))).collect()
}

pub(crate) fn encode_error(error: ParquetError) -> SegmentError {
    SegmentError::Misuse(format!("rows cannot be encoded as Parquet: {error}"))
}

//! What a segment's columns are, and their three forms: SQL, Arrow in memory, Parquet on disk.
//!
//! ```text
//! SQL                    Arrow                      Parquet
//! numeric(p,s)           Decimal128(p,s)            DECIMAL over INT32 (p<=9), INT64 (p<=18), FIXED_LEN_BYTE_ARRAY
//! text, varchar, char    Utf8View                   BYTE_ARRAY, STRING            bytea: the same without STRING
//! timestamp[tz], time    Timestamp/Time64(us)       INT64, TIMESTAMP or TIME(MICROS)
//! uuid                   FixedSizeBinary(16)        FIXED_LEN_BYTE_ARRAY(16), UUID
//! interval               Interval(MonthDayNano)     group { months INT32, days INT32, micros INT64 }
//! the others             as named                   as named
//! ```
//!
//! 1. A column keeps its id for life, and Parquet's field id is that id: a reader finds a renamed column, and never takes a
//!    dropped column's values for those of a later column of the same name.
//! 2. Parquet's own INTERVAL has milliseconds and would lose what SQL can store; a group of three numbers loses nothing.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use parquet::arrow::{ArrowSchemaConverter, PARQUET_FIELD_ID_META_KEY};
use parquet::basic::{LogicalType, Repetition, Type as PhysicalType};
use parquet::errors::ParquetError;
use parquet::schema::types::{SchemaDescPtr, SchemaDescriptor, Type};
use types::key::KeyOrder;
use types::{ColumnId, SqlType, arrow_form};

use crate::codec::{Decoder, Encoder};
use crate::error::{Result, SegmentError};

/// One column of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentColumn {
    /// The catalog's id of the column; 0 for the hidden row id.
    pub id: ColumnId,
    /// Its name when the segment was written.
    pub name: String,
    /// Its type.
    pub sql_type: SqlType,
    /// False: no row holds NULL in it.
    pub nullable: bool,
}

impl SegmentColumn {
    /// A column.
    pub fn new(id: ColumnId, name: impl Into<String>, sql_type: SqlType, nullable: bool) -> SegmentColumn {
        SegmentColumn { id, name: name.into(), sql_type, nullable }
    }

    /// The hidden first column `__rowid` of tables without a primary key, which is then also their key.
    pub fn row_id() -> SegmentColumn {
        SegmentColumn::new(ColumnId(0), "__rowid", SqlType::Int8, false)
    }
}

/// The columns of a segment in stored order, and which of them, in which order, are its key.
#[derive(Clone, Debug)]
pub struct SegmentSchema {
    columns: Vec<SegmentColumn>,
    key: Vec<usize>,
    order: Vec<KeyOrder>,
    arrow: SchemaRef,
}

impl PartialEq for SegmentSchema {
    fn eq(&self, other: &SegmentSchema) -> bool {
        self.columns == other.columns && self.key == other.key && self.order == other.order
    }
}

/// Bits beside a key column's position in the sidecar.
const DESCENDING: u32 = 1 << 31;
const NULLS_FIRST: u32 = 1 << 30;

impl SegmentSchema {
    /// A schema of at least one column whose key is the columns at positions `key`, at least one and none twice. Panics
    /// otherwise: tables without a primary key have their hidden row id ([`SegmentColumn::row_id`]).
    pub fn new(columns: Vec<SegmentColumn>, key: Vec<usize>) -> SegmentSchema {
        let order = vec![KeyOrder::default(); key.len()];
        Self::checked(columns, key, order).expect("a segment has columns, and a key made of some of them")
    }

    /// The same with the key's columns in these orders, one for each; those left out are in the default one.
    #[must_use]
    pub fn ordered(mut self, order: &[KeyOrder]) -> SegmentSchema {
        self.order.iter_mut().zip(order).for_each(|(mine, order)| *mine = *order);
        self
    }

    fn checked(columns: Vec<SegmentColumn>, key: Vec<usize>, order: Vec<KeyOrder>) -> Option<SegmentSchema> {
        let distinct = key.iter().enumerate().all(|(i, k)| *k < columns.len() && !key[..i].contains(k));
        if key.is_empty() || !distinct {
            return None;
        }
        let fields: Vec<Field> = columns.iter().map(|c| arrow_form::field(&c.name, c.sql_type, c.nullable)).collect();
        Some(SegmentSchema { columns, key, order, arrow: Arc::new(Schema::new(fields)) })
    }

    /// The columns, in stored order.
    pub fn columns(&self) -> &[SegmentColumn] {
        &self.columns
    }

    /// Positions of the key's columns, in key order.
    pub fn key(&self) -> &[usize] {
        &self.key
    }

    /// How each of the key's columns is sorted, in key order.
    pub fn order(&self) -> &[KeyOrder] {
        &self.order
    }

    /// The Arrow schema of batches written and read, with the SQL types in the fields' metadata.
    pub fn arrow(&self) -> &SchemaRef {
        &self.arrow
    }

    /// The position of the column with this id.
    pub fn position(&self, id: ColumnId) -> Option<usize> {
        self.columns.iter().position(|c| c.id == id)
    }

    /// The SQL types, in stored order.
    pub fn types(&self) -> Vec<SqlType> {
        self.columns.iter().map(|c| c.sql_type).collect()
    }

    /// The key columns and whether each can be NULL, in key order.
    pub(crate) fn key_columns(&self) -> impl ExactSizeIterator<Item = &SegmentColumn> {
        self.key.iter().map(|k| &self.columns[*k])
    }

    /// The Arrow schema of what goes into Parquet.
    pub(crate) fn storage(&self) -> SchemaRef {
        let id = |c: &SegmentColumn| HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_string(), c.id.to_string())]);
        let fields: Vec<Field> = self.columns.iter().map(|c| storage_field(c).with_metadata(id(c))).collect();
        Arc::new(Schema::new(fields))
    }

    /// The schemas of a file that has only column `column`, as it is stored. Of the Parquet one only what decoding needs: without
    /// field id, and a uuid is just 16 bytes.
    pub(crate) fn storage_of(&self, column: usize) -> std::result::Result<(SchemaDescPtr, SchemaRef), ParquetError> {
        let arrow = Arc::new(Schema::new(vec![storage_field(&self.columns[column])]));
        Ok((Arc::new(ArrowSchemaConverter::new().convert(&arrow)?), arrow))
    }

    /// The Parquet schema of [`SegmentSchema::storage`].
    pub(crate) fn parquet(&self) -> std::result::Result<SchemaDescriptor, ParquetError> {
        let converted = ArrowSchemaConverter::new().schema_root("table").convert(&self.storage())?;
        let mut fields = converted.root_schema().get_fields().to_vec();
        for (field, column) in fields.iter_mut().zip(&self.columns) {
            if column.sql_type == SqlType::Uuid {
                let uuid = Type::primitive_type_builder(&column.name, PhysicalType::FIXED_LEN_BYTE_ARRAY)
                    .with_repetition(if column.nullable { Repetition::OPTIONAL } else { Repetition::REQUIRED })
                    .with_logical_type(Some(LogicalType::Uuid))
                    .with_length(16)
                    .with_id(Some(i32::from(column.id.0)));
                *field = Arc::new(uuid.build()?);
            }
        }
        let root = Type::group_type_builder("table").with_fields(fields).build()?;
        Ok(SchemaDescriptor::new(Arc::new(root)))
    }

    /// How many Parquet columns (leaves) store column `column`.
    pub(crate) fn leaves(&self, column: usize) -> usize {
        if self.columns[column].sql_type == SqlType::Interval { 3 } else { 1 }
    }

    /// The first Parquet leaf of column `column`.
    pub(crate) fn first_leaf(&self, column: usize) -> usize {
        (0..column).map(|c| self.leaves(c)).sum()
    }

    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.count(self.columns.len());
        for column in &self.columns {
            out.u16(column.id.0);
            out.bytes(column.name.as_bytes());
            out.sql_type(column.sql_type);
            out.u8(u8::from(column.nullable));
        }
        out.count(self.key.len());
        for (position, order) in self.key.iter().zip(&self.order) {
            let descending = if order.descending { DESCENDING } else { 0 };
            let nulls_first = if order.nulls_first { NULLS_FIRST } else { 0 };
            out.u32(*position as u32 | descending | nulls_first);
        }
    }

    pub(crate) fn decode(from: &mut Decoder<'_>) -> Result<SegmentSchema> {
        let n = from.count(12)?;
        let columns = (0..n)
            .map(|_| {
                let (id, name) = (from.column_id()?, from.text()?.to_string());
                let sql_type = from.sql_type()?;
                let nullable = match from.u8()? {
                    0 => false,
                    1 => true,
                    _ => return Err(from.refuse("a column is neither nullable nor not")),
                };
                Ok(SegmentColumn { id, name, sql_type, nullable })
            })
            .collect::<Result<Vec<_>>>()?;
        let n = from.count(4)?;
        let (mut key, mut order) = (Vec::with_capacity(n), Vec::with_capacity(n));
        for _ in 0..n {
            let column = from.u32()?;
            key.push((column & !(DESCENDING | NULLS_FIRST)) as usize);
            order.push(KeyOrder { descending: column & DESCENDING != 0, nulls_first: column & NULLS_FIRST != 0 });
        }
        SegmentSchema::checked(columns, key, order).ok_or_else(|| from.refuse("the key is not a list of distinct columns"))
    }
}

fn storage_field(column: &SegmentColumn) -> Field {
    let data_type = match column.sql_type {
        SqlType::Interval => DataType::Struct(interval_fields()),
        t => arrow_form::data_type(t),
    };
    Field::new(&column.name, data_type, column.nullable)
}

/// The members of an interval's group.
pub(crate) fn interval_fields() -> Fields {
    Fields::from(vec![
        Field::new("months", DataType::Int32, false),
        Field::new("days", DataType::Int32, false),
        Field::new("micros", DataType::Int64, false),
    ])
}

/// A batch whose columns are not those of the schema is a bug of the caller.
pub(crate) fn check_batch(schema: &SegmentSchema, batch: &arrow::record_batch::RecordBatch) -> Result<()> {
    if batch.num_columns() != schema.columns.len() {
        let (found, expected) = (batch.num_columns(), schema.columns.len());
        return Err(SegmentError::Misuse(format!("a batch has {found} columns, its segment {expected}")));
    }
    for (column, array) in schema.columns.iter().zip(batch.columns()) {
        if *array.data_type() != arrow_form::data_type(column.sql_type) {
            let (name, found) = (&column.name, array.data_type());
            return Err(SegmentError::Misuse(format!("column {name} of type {} arrives as {found}", column.sql_type)));
        }
        if !column.nullable && array.null_count() > 0 {
            return Err(SegmentError::Misuse(format!("NULL in column {}, which is NOT NULL", column.name)));
        }
    }
    Ok(())
}

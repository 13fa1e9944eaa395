//! Writes the files of one table, for programs that are not ours to read: `scripts/checks/read_parquet.py` does.
//!
//! ```text
//! cargo run -p segments --example sample_table -- DIR
//!   DIR/1.parquet  DIR/1.idx      140,000 rows, every type, LZ4_RAW          DIR/1.9.dv    every seventh row is dead
//!   DIR/2.parquet  DIR/2.idx      1,000 rows after those, ZSTD
//! ```
//!
//! Row i has in each column a value that follows from i alone, or NULL where i ends in the digit that is the column's number modulo
//! ten: the reader knows what to expect.

use std::path::Path;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use env::{Env, RealEnv};
use roaring::RoaringBitmap;
use segments::{Cache, Codec, DeletionVector, SegmentColumn, SegmentSchema, SegmentWriter, WriterOptions};
use types::arrow_form::ColumnBuilder;
use types::{ColumnId, CommitTs, Datum, Decimal, Interval, SegmentId, SqlType};

const COLUMNS: [(&str, SqlType); 18] = [
    ("id", SqlType::Int8),
    ("bool", SqlType::Bool),
    ("int2", SqlType::Int2),
    ("int4", SqlType::Int4),
    ("float4", SqlType::Float4),
    ("float8", SqlType::Float8),
    ("numeric9", SqlType::Numeric { precision: 9, scale: 2 }),
    ("numeric18", SqlType::Numeric { precision: 18, scale: 4 }),
    ("numeric38", SqlType::Numeric { precision: 38, scale: 10 }),
    ("text", SqlType::Text),
    ("choice", SqlType::Varchar(20)),
    ("bytea", SqlType::Bytea),
    ("date", SqlType::Date),
    ("time", SqlType::Time),
    ("timestamp", SqlType::Timestamp),
    ("timestamptz", SqlType::TimestampTz),
    ("interval", SqlType::Interval),
    ("uuid", SqlType::Uuid),
];

fn value(i: i64, column: usize) -> Datum {
    if column > 0 && i % 10 == (column % 10) as i64 {
        return Datum::Null;
    }
    let numeric = |unscaled: i128, scale| Datum::Numeric(Decimal { unscaled, scale });
    match COLUMNS[column].1 {
        SqlType::Int8 => Datum::Int8(i),
        SqlType::Bool => Datum::Bool(i % 3 == 0),
        SqlType::Int2 => Datum::Int2((i % 30_000) as i16 - 15_000),
        SqlType::Int4 => Datum::Int4((i * 7 - 100_000) as i32),
        SqlType::Float4 => Datum::Float4(i as f32 / 4.0),
        SqlType::Float8 => Datum::Float8(-(i as f64) / 8.0),
        SqlType::Numeric { precision: 9, .. } => numeric(i128::from(i) * 11 - 500_000, 2),
        SqlType::Numeric { precision: 18, .. } => numeric(i128::from(i) * 1_000_000_007, 4),
        SqlType::Numeric { .. } => numeric(-i128::from(i) * 10i128.pow(28), 10),
        SqlType::Text => Datum::Text(format!("row {i} — a text that is not short").into()),
        SqlType::Varchar(_) => Datum::Text(format!("choice {}", i % 5).into()),
        SqlType::Bytea => Datum::Bytea((i as u32).to_le_bytes().into()),
        SqlType::Date => Datum::Date((i % 40_000) as i32 - 10_000),
        SqlType::Time => Datum::Time(i * 1_001 % 86_400_000_000),
        SqlType::Timestamp => Datum::Timestamp(i * 1_000_003 - 5_000_000_000),
        SqlType::TimestampTz => Datum::TimestampTz(i * 1_000_033),
        SqlType::Interval => Datum::Interval(Interval { months: (i % 50) as i32, days: -((i % 7) as i32), micros: i * 3 }),
        _ => Datum::Uuid(u128::from(i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes()),
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args().nth(1).ok_or("which directory?")?;
    let dir = Path::new(&dir);
    let env: Arc<dyn Env> = RealEnv::new();
    env.create_dir_all(dir)?;
    let columns = COLUMNS.iter().enumerate();
    let columns = columns.map(|(c, (name, t))| SegmentColumn::new(ColumnId(c as u16 + 1), *name, *t, c > 0));
    let schema = Arc::new(SegmentSchema::new(columns.collect(), vec![0]));
    for (id, rows, codec) in [(1, 0..140_000i64, Codec::Lz4), (2, 140_000..141_000, Codec::Zstd1)] {
        let options = WriterOptions { codec, ..WriterOptions::default() };
        let (schema, cache) = (Arc::clone(&schema), Cache::new(0));
        let mut writer = SegmentWriter::create(Arc::clone(&env), dir, SegmentId(id), Arc::clone(&schema), options, cache)?;
        let all: Vec<i64> = rows.collect();
        for part in all.chunks(10_000) {
            let column = |(c, (_, t)): (usize, &(&str, SqlType))| {
                let mut builder = ColumnBuilder::new(*t, part.len());
                part.iter().for_each(|i| builder.append(value(*i, c).as_ref()));
                builder.finish()
            };
            let columns = COLUMNS.iter().enumerate().map(column).collect();
            writer.append(&RecordBatch::try_new(Arc::clone(schema.arrow()), columns)?)?;
        }
        writer.finish()?.verify()?;
    }
    let dead: RoaringBitmap = (0..140_000).step_by(7).collect();
    DeletionVector::store(env.as_ref(), dir, SegmentId(1), CommitTs(9), &dead)?;
    Ok(())
}

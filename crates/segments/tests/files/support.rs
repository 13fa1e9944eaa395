//! Tables, rows and files that the tests of this crate share.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::record_batch::RecordBatch;
use env::{Env, OpenMode, SimEnv};
use segments::{Cache, Codec, Result, Segment, SegmentColumn, SegmentFileInfo, SegmentSchema, SegmentWriter, WriterOptions};
use types::{ColumnId, Datum, Decimal, Interval, SegmentId, SqlType, arrow_form, key};

pub(crate) const ID: SegmentId = SegmentId(7);

pub(crate) fn dir() -> PathBuf {
    PathBuf::from("/data/16384")
}

/// A world with the table's directory.
pub(crate) fn world(seed: u64) -> Arc<SimEnv> {
    let env = SimEnv::new(seed);
    env.create_dir_all(&dir()).unwrap();
    env
}

/// Small pages and groups, so that few rows make many of both.
pub(crate) fn small(codec: Codec) -> WriterOptions {
    WriterOptions { codec, rows_per_page: 64, rows_per_group: 192, ..WriterOptions::default() }
}

pub(crate) fn schema(columns: &[(&str, SqlType, bool)], key: &[usize]) -> Arc<SegmentSchema> {
    let columns = columns.iter().enumerate();
    let columns = columns.map(|(i, (name, t, nullable))| SegmentColumn::new(ColumnId(i as u16 + 1), *name, *t, *nullable));
    Arc::new(SegmentSchema::new(columns.collect(), key.to_vec()))
}

/// A table with a column of every type, keyed by its first.
pub(crate) fn every_type() -> Arc<SegmentSchema> {
    let columns = [
        ("id", SqlType::Int8, false),
        ("bool", SqlType::Bool, true),
        ("int2", SqlType::Int2, true),
        ("int4", SqlType::Int4, true),
        ("int8", SqlType::Int8, true),
        ("float4", SqlType::Float4, true),
        ("float8", SqlType::Float8, true),
        ("numeric9", SqlType::Numeric { precision: 9, scale: 2 }, true),
        ("numeric15", SqlType::Numeric { precision: 15, scale: 2 }, true),
        ("numeric38", SqlType::NUMERIC, true),
        ("text", SqlType::Text, true),
        ("varchar", SqlType::Varchar(20), true),
        ("char", SqlType::Char(5), true),
        ("bytea", SqlType::Bytea, true),
        ("date", SqlType::Date, true),
        ("time", SqlType::Time, true),
        ("timestamp", SqlType::Timestamp, true),
        ("timestamptz", SqlType::TimestampTz, true),
        ("interval", SqlType::Interval, true),
        ("uuid", SqlType::Uuid, true),
        ("required", SqlType::Interval, false),
    ];
    schema(&columns, &[0])
}

/// Numbers that look random and are the same in every run.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// A value of type `t`, often one of the extremes, often one that came before.
pub(crate) fn value(t: SqlType, numbers: &mut Numbers) -> Datum {
    let n = numbers.next();
    let extreme = numbers.below(8);
    let int = |max: i64| match extreme {
        0 => max,
        1 => -max - 1,
        2 => 0,
        3..5 => (n % 7) as i64,
        _ => (n as i64) % max,
    };
    let text = |max: usize| {
        let alphabet = ["", "a", "b", "ab", "ä", "日本", "\u{10FFFF}", "\0", " ", "zz"];
        let parts = (0..numbers_of(n, 6)).map(|i| alphabet[(n >> (i * 7)) as usize % alphabet.len()]);
        let text: String = if extreme == 0 { "long ".repeat(12) } else { parts.collect() };
        text.chars().take(max).collect::<String>()
    };
    match t {
        SqlType::Bool => Datum::Bool(n & 1 == 1),
        SqlType::Int2 => Datum::Int2(int(i64::from(i16::MAX)) as i16),
        SqlType::Int4 => Datum::Int4(int(i64::from(i32::MAX)) as i32),
        SqlType::Int8 => Datum::Int8(int(i64::MAX)),
        SqlType::Float4 => Datum::Float4([f32::NAN, f32::INFINITY, -0.0, 0.0, -1.5, n as f32][extreme as usize % 6]),
        SqlType::Float8 => Datum::Float8([f64::NAN, f64::NEG_INFINITY, -0.0, 0.0, 1e-300, n as f64][extreme as usize % 6]),
        SqlType::Numeric { precision, scale } => {
            let max = 10i128.pow(u32::from(precision)) - 1;
            let unscaled = [max, -max, 0, 1, i128::from(n) % max, -(i128::from(n) % max)][extreme as usize % 6];
            Datum::Numeric(Decimal { unscaled, scale })
        }
        SqlType::Text => Datum::Text(text(usize::MAX).into()),
        SqlType::Varchar(n) => Datum::Text(text(n as usize).into()),
        SqlType::Char(n) => {
            let text = text(n as usize);
            let missing = n as usize - text.chars().count();
            Datum::Text([text, " ".repeat(missing)].concat().into())
        }
        SqlType::Bytea => Datum::Bytea(text(usize::MAX).into_bytes().into()),
        SqlType::Date => Datum::Date(int(3_000_000) as i32),
        SqlType::Time => Datum::Time((n % 86_400_000_000) as i64),
        SqlType::Timestamp => Datum::Timestamp(int(1 << 60)),
        SqlType::TimestampTz => Datum::TimestampTz(int(1 << 60)),
        SqlType::Interval => Datum::Interval(Interval {
            months: int(1000) as i32,
            days: (n % 90) as i32,
            micros: if extreme == 5 { Interval::MICROS_MAX } else { -((n % 1_000_000_000_000) as i64) },
        }),
        SqlType::Uuid => {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&n.to_be_bytes());
            bytes[8..].copy_from_slice(&extreme.to_be_bytes());
            Datum::Uuid(bytes)
        }
    }
}

fn numbers_of(n: u64, max: u64) -> u64 {
    (n >> 40) % max
}

/// `n` rows with distinct keys in key order. NULL comes about once in six where it may.
pub(crate) fn rows(schema: &SegmentSchema, n: usize, seed: u64) -> Vec<Vec<Datum>> {
    let mut numbers = Numbers(seed);
    let mut rows = std::collections::BTreeMap::new();
    let mut tries = 0;
    while rows.len() < n {
        tries += 1;
        assert!(tries < n * 1000, "the key's types have too few values");
        let row: Vec<Datum> = schema
            .columns()
            .iter()
            .map(|c| if c.nullable && numbers.below(6) == 0 { Datum::Null } else { value(c.sql_type, &mut numbers) })
            .collect();
        rows.insert(key_of(schema, &row), row);
    }
    rows.into_values().collect()
}

/// The key of a row.
pub(crate) fn key_of(schema: &SegmentSchema, row: &[Datum]) -> Vec<u8> {
    let mut out = Vec::new();
    for position in schema.key() {
        let column = &schema.columns()[*position];
        if column.nullable {
            key::encode_nullable(row[*position].as_ref(), column.sql_type, &mut out);
        } else {
            key::encode(row[*position].as_ref(), column.sql_type, &mut out);
        }
    }
    out
}

pub(crate) fn batch(schema: &SegmentSchema, rows: &[Vec<Datum>]) -> RecordBatch {
    let columns: Vec<ArrayRef> = schema
        .columns()
        .iter()
        .enumerate()
        .map(|(c, column)| {
            let mut builder = arrow_form::ColumnBuilder::new(column.sql_type, rows.len());
            rows.iter().for_each(|row| builder.append(row[c].as_ref()));
            builder.finish()
        })
        .collect();
    RecordBatch::try_new(Arc::clone(schema.arrow()), columns).unwrap()
}

/// Writes the rows as segment [`ID`], in batches of uneven size.
pub(crate) fn write(
    env: &Arc<SimEnv>,
    schema: &Arc<SegmentSchema>,
    rows: &[Vec<Datum>],
    options: WriterOptions,
    cache: &Arc<Cache>,
) -> Result<Arc<Segment>> {
    let env: Arc<dyn Env> = Arc::clone(env) as Arc<dyn Env>;
    let mut writer = SegmentWriter::create(env, &dir(), ID, Arc::clone(schema), options, Arc::clone(cache))?;
    for (i, part) in rows.chunks(77).enumerate() {
        let (a, b) = part.split_at(i % part.len());
        for part in [a, b] {
            writer.append(&batch(schema, part))?;
        }
    }
    assert_eq!(writer.rows(), rows.len() as u64);
    writer.finish()
}

pub(crate) fn open(env: &Arc<SimEnv>, info: &SegmentFileInfo, cache: &Arc<Cache>) -> Result<Arc<Segment>> {
    Segment::open(Arc::clone(env) as Arc<dyn Env>, &dir(), ID, info, Arc::clone(cache))
}

/// Two values are the same value of the column, bit for bit where the type has bits.
pub(crate) fn same(a: &Datum, b: &Datum) -> bool {
    match (a, b) {
        (Datum::Float4(a), Datum::Float4(b)) => a.to_bits() == b.to_bits(),
        (Datum::Float8(a), Datum::Float8(b)) => a.to_bits() == b.to_bits(),
        (a, b) => a == b,
    }
}

/// Every row of a segment, read group by group.
pub(crate) fn read_all(segment: &Segment) -> Result<Vec<Vec<Datum>>> {
    let columns: Vec<usize> = (0..segment.schema().columns().len()).collect();
    let mut out = Vec::new();
    for (g, group) in segment.groups().enumerate() {
        let arrays = segment.read_group(g, &columns)?;
        for row in 0..group.rows() as usize {
            let value = |(array, c): (&ArrayRef, &SegmentColumn)| arrow_form::datum_at(array.as_ref(), row, c.sql_type);
            out.push(arrays.iter().zip(segment.schema().columns()).map(value).collect());
        }
    }
    Ok(out)
}

pub(crate) fn assert_same(found: &[Vec<Datum>], expected: &[Vec<Datum>]) {
    assert_eq!(found.len(), expected.len());
    for (row, (found, expected)) in found.iter().zip(expected).enumerate() {
        for (column, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert!(same(found, expected), "row {row}, column {column}: {found:?} is not {expected:?}");
        }
    }
}

/// Replaces the byte at `at` of a file.
pub(crate) fn set_byte(env: &SimEnv, path: &Path, at: usize, byte: u8) {
    env.open(path, OpenMode::Write).unwrap().write_all_at(&[byte], at as u64).unwrap();
}

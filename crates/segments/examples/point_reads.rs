//! What reading by key costs in one segment: found and absent keys, whole rows, cached and from the file.
//!
//! ```text
//! cargo run --release -p segments --example point_reads -- [rows]      1,000,000 if not said; files go to a temporary directory
//! ```

#![allow(clippy::print_stdout, reason = "it is a program that prints")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use env::{Env, RealEnv};
use segments::{Cache, Segment, SegmentColumn, SegmentSchema, SegmentWriter, WriterOptions};
use types::arrow_form::ColumnBuilder;
use types::{ColumnId, DatumRef, Decimal, RowLayout, SegmentId, SqlType, key};

const COLUMNS: [(&str, SqlType); 10] = [
    ("k", SqlType::Int8),
    ("a", SqlType::Int8),
    ("b", SqlType::Int4),
    ("c", SqlType::Int4),
    ("d", SqlType::Numeric { precision: 15, scale: 2 }),
    ("e", SqlType::Date),
    ("f", SqlType::Text),
    ("g", SqlType::Text),
    ("h", SqlType::Varchar(25)),
    ("i", SqlType::Char(10)),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let n: i64 = std::env::args().nth(1).map_or(Ok(1_000_000), |n| n.parse())?;
    let env: Arc<dyn Env> = RealEnv::new();
    let dir = tempfile::tempdir()?;
    let columns = COLUMNS.iter().enumerate();
    let columns = columns.map(|(c, (name, t))| SegmentColumn::new(ColumnId(c as u16 + 1), *name, *t, c > 0)).collect();
    let schema = Arc::new(SegmentSchema::new(columns, vec![0]));
    let started = env.monotonic();
    let segment = write(&env, dir.path(), &schema, n)?;
    println!("wrote {n} rows in {:?}, {:.1} bytes a row", env.monotonic() - started, segment.bytes_on_disk() as f64 / n as f64);

    let info = segment.info();
    let started = env.monotonic();
    let segment = Segment::open(Arc::clone(&env), dir.path(), SegmentId(1), &info, Cache::new(4 << 30))?;
    println!("opened in {:?}", env.monotonic() - started);
    let layout = RowLayout::new(&schema.types());
    let key = |i: i64| {
        let mut key = Vec::with_capacity(8);
        key::encode(DatumRef::Int8(i), SqlType::Int8, &mut key);
        key
    };
    // Every third number is a key.
    let random = |i: i64| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15u64 as i64) as u64 % n as u64) as i64;
    let per = |name: &str, times: i64, work: &mut dyn FnMut(i64) -> segments::Result<()>| -> segments::Result<()> {
        let started = env.monotonic();
        for i in 0..times {
            work(i)?;
        }
        let took: Duration = env.monotonic() - started;
        println!("{name:<36} {:>9.0} ns", took.as_nanos() as f64 / times as f64);
        Ok(())
    };
    let groups = segment.groups().len();
    per("row by key, from the file", 10, &mut |i| {
        let position = segment.find(&key(random(i) * 3))?.unwrap_or_default();
        black_box(segment.row(position, &layout, None)?);
        Ok(())
    })?;
    let all: Vec<usize> = (0..COLUMNS.len()).collect();
    per("decode a row group of all columns", groups as i64, &mut |group| {
        black_box(segment.read_group(group as usize, &all)?);
        Ok(())
    })?;
    per("make the keys of a row group", groups as i64, &mut |group| {
        black_box(segment.group_keys(group as usize)?);
        Ok(())
    })?;
    per("find a key, cached", 1_000_000, &mut |i| {
        black_box(segment.find(&key(random(i) * 3))?);
        Ok(())
    })?;
    per("find an absent key, cached", 1_000_000, &mut |i| {
        black_box(segment.find(&key(random(i) * 3 + 1))?);
        Ok(())
    })?;
    let few = [1, 6];
    per("two columns by position, cached", 300_000, &mut |i| {
        black_box(segment.row(random(i) as u32, &layout, Some(&few))?);
        Ok(())
    })?;
    per("row by position, cached", 300_000, &mut |i| {
        black_box(segment.row(random(i) as u32, &layout, None)?);
        Ok(())
    })?;
    per("row by key, cached", 300_000, &mut |i| {
        let position = segment.find(&key(random(i) * 3))?.unwrap_or_default();
        black_box(segment.row(position, &layout, None)?);
        Ok(())
    })?;
    Ok(())
}

fn write(env: &Arc<dyn Env>, dir: &std::path::Path, schema: &Arc<SegmentSchema>, n: i64) -> segments::Result<Arc<Segment>> {
    let (options, cache) = (WriterOptions::default(), Cache::new(0));
    let mut writer = SegmentWriter::create(Arc::clone(env), dir, SegmentId(1), Arc::clone(schema), options, cache)?;
    for start in (0..n).step_by(8192) {
        let rows = start..(start + 8192).min(n);
        let columns = COLUMNS.iter().enumerate().map(|(c, (_, t))| {
            let mut builder = ColumnBuilder::new(*t, 8192);
            for i in rows.clone() {
                let text = match c {
                    6 => format!("a comment of row {i} that is a little longer"),
                    7 => format!("kind {}", i % 7),
                    8 => format!("{:x}", i.wrapping_mul(7919)),
                    _ => format!("{:<10}", i % 1000),
                };
                builder.append(match t {
                    SqlType::Int8 => DatumRef::Int8(i * 3),
                    SqlType::Int4 => DatumRef::Int4((i * 31 % 100_003) as i32),
                    SqlType::Numeric { .. } => DatumRef::Numeric(Decimal { unscaled: i128::from(i) * 7, scale: 2 }),
                    SqlType::Date => DatumRef::Date((i % 2500) as i32),
                    _ => DatumRef::Text(&text),
                });
            }
            builder.finish()
        });
        let batch = RecordBatch::try_new(Arc::clone(schema.arrow()), columns.collect());
        writer.append(&batch.map_err(|e| segments::SegmentError::Misuse(e.to_string()))?)?;
    }
    writer.finish()
}

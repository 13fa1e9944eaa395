//! What the codecs of rows and keys cost: a row of ten columns of about 100 bytes, keys of a number, of a text, of both.
//!
//! `cargo bench --workspace --features types/criterion --bench codecs`

#![allow(missing_docs, reason = "what criterion's macros make is not read by anybody")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use types::{Datum, Decimal, RowLayout, SqlType, key};

fn row() -> (RowLayout, Vec<Datum>) {
    let columns = [
        (SqlType::Int8, Datum::Int8(4711)),
        (SqlType::Int8, Datum::Int8(-1)),
        (SqlType::Int4, Datum::Int4(7)),
        (SqlType::Int4, Datum::Int4(100_000)),
        (SqlType::Numeric { precision: 15, scale: 2 }, Datum::Numeric(Decimal { unscaled: 99_999, scale: 2 })),
        (SqlType::Date, Datum::Date(9_000)),
        (SqlType::Text, Datum::Text("Customer#000004711".into())),
        (SqlType::Varchar(10), Datum::Text("BUILDING".into())),
        (SqlType::Char(1), Datum::Text("F".into())),
        (SqlType::Text, Datum::Text("15-768-687-3665".into())),
    ];
    let (types, values): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    (RowLayout::new(&types), values)
}

fn rows(c: &mut Criterion) {
    let (layout, values) = row();
    let image = layout.encode(&values);
    let mut group = c.benchmark_group("row of ten columns");
    group.bench_function("encode", |b| b.iter(|| layout.encode(black_box(&values))));
    group.bench_function("read one column", |b| b.iter(|| black_box(layout.read(black_box(&image)).get(6).is_null())));
    group.bench_function("read all columns", |b| b.iter(|| layout.read(black_box(&image)).to_datums()));
    group.bench_function("check an image from disk", |b| b.iter(|| layout.decode(black_box(&image.0))));
    group.finish();
}

fn keys(c: &mut Criterion) {
    let number = (Datum::Int8(4711), SqlType::Int8);
    let text = (Datum::Text("user6284781860667377211".into()), SqlType::Text);
    let mut group = c.benchmark_group("key");
    for (name, parts) in [("bigint", &[number.clone()][..]), ("text", &[text.clone()]), ("bigint and text", &[number, text])] {
        let mut out = Vec::with_capacity(64);
        group.bench_function(name, |b| {
            b.iter(|| {
                out.clear();
                for (value, column) in black_box(parts) {
                    key::encode(value.as_ref(), *column, &mut out);
                }
                out.len()
            })
        });
    }
    group.finish();
}

criterion_group!(benches, rows, keys);
criterion_main!(benches);

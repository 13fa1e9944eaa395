//! A segment's local file of packed columns: what is read from it is what is in the segment, whatever becomes of the file.

use std::sync::Arc;

use env::{Env, Fault, OpenMode, Operation, SimEnv};
use segments::{Cache, Codec, PackedFileWriter, Segment, SegmentFileInfo, SegmentSchema, files};
use types::Datum;

use crate::support::*;

/// A segment with such a file.
fn written(seed: u64, rows: usize) -> (Arc<SimEnv>, Arc<SegmentSchema>, Vec<Vec<Datum>>, SegmentFileInfo) {
    let (env, schema) = (world(seed), every_type());
    let rows = rows_of(&schema, rows, seed);
    let segment = write(&env, &schema, &rows, small(Codec::Lz4), &Cache::new(0)).unwrap();
    pack(&segment);
    (env, schema, rows, segment.info())
}

/// Strings come again, so that every column has an image.
fn rows_of(schema: &Arc<SegmentSchema>, count: usize, seed: u64) -> Vec<Vec<Datum>> {
    let mut rows = rows(schema, count, seed);
    for (i, row) in rows.iter_mut().enumerate() {
        let text = ["", "some longer text", "x"][i % 3];
        (row[10], row[11]) = (Datum::Text(text.into()), Datum::Text(text.into()));
        (row[12], row[13]) = (Datum::Text("char ".into()), Datum::Bytea(text.as_bytes().into()));
    }
    rows
}

fn pack(segment: &Arc<Segment>) {
    assert_eq!(segment.packed_bytes_on_disk(), None);
    let mut writer = PackedFileWriter::create(segment).unwrap();
    while writer.step().unwrap() {}
    assert!(segment.packed_bytes_on_disk().is_some());
}

fn replace(env: &SimEnv, name: &str, bytes: &[u8]) {
    env.unlink(&dir().join(name)).unwrap();
    env.open(&dir().join(name), OpenMode::CreateNew).unwrap().write_all_at(bytes, 0).unwrap();
}

#[test]
fn columns_are_read_from_it_and_not_from_parquet() {
    let (env, _, rows, info) = written(1, 500);
    let segment = open(&env, &info, &Cache::new(0)).unwrap();
    let parquet = dir().join(files::segment(ID));
    let footer = env.open(&parquet, OpenMode::Read).unwrap().len().unwrap() / 2;
    (4..footer).for_each(|at| set_byte(&env, &parquet, at as usize, 0));
    assert!(segment.verify().is_err());
    assert_same(&read_all(&segment).unwrap(), &rows);
    segment.remove_packed_file().unwrap();
    assert!(read_all(&segment).is_err());
    assert!(!env.exists(&dir().join(files::packed(ID))).unwrap());
}

#[test]
fn any_changed_byte_of_it_makes_it_go_and_nothing_else() {
    let (env, schema, rows, info) = written(2, 30);
    let name = files::packed(ID);
    let bytes = env::read_file(env.as_ref(), &dir().join(&name)).unwrap();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        replace(&env, &name, &changed);
        let segment = open(&env, &info, &Cache::new(0)).unwrap();
        assert_same(&read_all(&segment).unwrap(), &rows);
        let is_gone = segment.packed_bytes_on_disk().is_none();
        assert_eq!(env.exists(&dir().join(&name)).unwrap(), !is_gone);
        assert!(is_gone, "byte {at} was read over");
        env.open(&dir().join(&name), OpenMode::CreateNew).unwrap();
    }
    for len in [0, 10, bytes.len() / 2, bytes.len() - 1] {
        replace(&env, &name, &bytes[..len]);
        let segment = open(&env, &info, &Cache::new(0)).unwrap();
        assert_same(&read_all(&segment).unwrap(), &rows);
        assert_eq!(segment.packed_bytes_on_disk(), None);
        env.open(&dir().join(&name), OpenMode::CreateNew).unwrap();
    }

    // Another segment's, of the same size.
    let other = world(3);
    let segment = write(&other, &schema, &rows[1..], small(Codec::Lz4), &Cache::new(0)).unwrap();
    pack(&segment);
    replace(&env, &name, &env::read_file(other.as_ref(), &dir().join(&name)).unwrap());
    assert_same(&read_all(&open(&env, &info, &Cache::new(0)).unwrap()).unwrap(), &rows);
}

#[test]
fn one_that_is_not_finished_leaves_nothing() {
    let (env, schema) = (world(4), every_type());
    let rows = rows_of(&schema, 400, 4);
    let segment = write(&env, &schema, &rows, small(Codec::Lz4), &Cache::new(0)).unwrap();
    let before = env.list(&dir()).unwrap();

    let mut writer = PackedFileWriter::create(&segment).unwrap();
    assert!(writer.step().unwrap());
    env.disk_full_after(0);
    assert!(writer.step().unwrap_err().is_disk_full());
    drop(writer);
    env.free_space();
    assert_eq!(env.list(&dir()).unwrap(), before);
    assert_eq!(segment.packed_bytes_on_disk(), None);

    let mut writer = PackedFileWriter::create(&segment).unwrap();
    assert!(writer.step().unwrap());
    drop(segment);
    assert!(!writer.step().unwrap());
    drop(writer);
    assert_eq!(env.list(&dir()).unwrap(), before);
}

#[test]
fn one_that_cannot_be_read_for_now_stays() {
    let (env, _, rows, info) = written(5, 200);
    let segment = open(&env, &info, &Cache::new(0)).unwrap();
    assert!(segment.packed_bytes_on_disk().is_some());
    env.set_fault(Fault::Once { operation: Some(Operation::Read), call: 1 });
    assert_same(&read_all(&segment).unwrap(), &rows);
    assert!(segment.packed_bytes_on_disk().is_some());
}

//! What is written comes back: as arrays, as rows, as keys, from every type, through a cold file and a warm cache.

use std::sync::Arc;

use crate::support::*;
use env::{Env, Fault, Operation};
use segments::{Cache, Codec, SegmentError, SegmentWriter, WriterOptions, files};
use types::{Datum, Kind, RowLayout, SqlType, arrow_form};

#[test]
fn every_type_comes_back_with_its_nulls() {
    for (codec, n) in [(Codec::Lz4, 500), (Codec::Zstd1, 193), (Codec::Lz4, 1)] {
        let (env, schema) = (world(1), every_type());
        let rows = rows(&schema, n, n as u64);
        let cache = Cache::new(64 << 20);
        let segment = write(&env, &schema, &rows, small(codec), &cache).unwrap();
        assert_eq!(segment.rows() as usize, n);
        assert_eq!(segment.groups().len(), n.div_ceil(192));
        assert_same(&read_all(&segment).unwrap(), &rows);
        assert_same(&read_all(&segment).unwrap(), &rows);
        let checked = segment.verify().unwrap();
        assert_eq!(checked.rows, n as u64);

        let reopened = open(&env, &segment.info(), &Cache::new(0)).unwrap();
        assert_eq!(**reopened.schema(), *schema);
        assert_same(&read_all(&reopened).unwrap(), &rows);
    }
}

#[test]
fn arrays_have_exactly_the_types_of_the_schema() {
    let (env, schema) = (world(2), every_type());
    let segment = write(&env, &schema, &rows(&schema, 300, 3), small(Codec::Lz4), &Cache::new(0)).unwrap();
    for (c, field) in schema.arrow().fields().iter().enumerate() {
        for (g, group) in segment.groups().enumerate() {
            let array = segment.read_column(g, c).unwrap();
            assert_eq!(array.data_type(), field.data_type(), "{}", field.name());
            assert_eq!(array.len(), group.rows() as usize);
        }
    }
}

#[test]
fn single_rows_are_read_the_same_cold_and_warm() {
    let (env, schema) = (world(3), every_type());
    let rows = rows(&schema, 400, 4);
    let layout = RowLayout::new(&schema.types());
    for cache_bytes in [0, 64 << 20] {
        let segment = write(&env, &schema, &rows, small(Codec::Lz4), &Cache::new(cache_bytes)).unwrap();
        for round in 0..2 {
            for (position, row) in rows.iter().enumerate() {
                let found = segment.row(position as u32, &layout, None).unwrap();
                assert_same(&[layout.read(&found).to_datums()], std::slice::from_ref(row));
                let part = layout.read(&segment.row(position as u32, &layout, Some(&[1, 18])).unwrap()).to_datums();
                assert!(
                    same(&part[1], &row[1]) && same(&part[18], &row[18]) && part[0].is_null(),
                    "row {position} in round {round}"
                );
                let some = segment.datums(position as u32, &[18, 0]).unwrap();
                assert!(same(&some[0], &row[18]) && same(&some[1], &row[0]), "row {position} in round {round}");
            }
        }
        for path in [files::segment(ID), files::sidecar(ID)] {
            env.unlink(&dir().join(path)).unwrap();
        }
    }
}

fn check_finds(schema: &Arc<segments::SegmentSchema>, seed: u64, cache_bytes: usize) {
    let env = world(seed);
    // Every second of the rows is in the segment; the others are the keys that are not.
    let all = rows(schema, 700, seed);
    let stored: Vec<Vec<Datum>> = all.iter().step_by(2).cloned().collect();
    let segment = write(&env, schema, &stored, small(Codec::Lz4), &Cache::new(cache_bytes)).unwrap();
    for round in 0..3 {
        for (i, row) in all.iter().enumerate() {
            let key = key_of(schema, row);
            let expected = (i % 2 == 0).then_some((i / 2) as u32);
            assert_eq!(segment.find(&key).unwrap(), expected, "key {i} in round {round}");
            if let Some(position) = expected {
                assert_eq!(*segment.key_at(position).unwrap(), *key);
            }
        }
        assert_eq!(segment.find(b"").unwrap(), None);
        assert_eq!(segment.find(&[0xFF; 40]).unwrap(), None);
    }
    assert_eq!(segment.min_key(), key_of(schema, &stored[0]));
    assert_eq!(segment.max_key(), key_of(schema, stored.last().unwrap()));
}

#[test]
fn find_agrees_with_a_list_of_the_keys() {
    let bigint = schema(&[("k", SqlType::Int8, false), ("v", SqlType::Text, true)], &[0]);
    let texts = schema(&[("v", SqlType::Int4, true), ("k", SqlType::Text, false), ("l", SqlType::Int4, false)], &[1, 2]);
    let index =
        schema(&[("a", SqlType::Varchar(9), true), ("b", SqlType::Float8, true), ("pk", SqlType::Int8, false)], &[0, 1, 2]);
    let uuid = schema(&[("k", SqlType::Uuid, false)], &[0]);
    for (schema, seed) in [(bigint, 11), (texts, 12), (index, 13), (uuid, 14)] {
        check_finds(&schema, seed, 0);
        check_finds(&schema, seed, 64 << 20);
    }
}

#[test]
fn huge_values_cut_pages_and_groups_early_and_come_back() {
    let env = world(5);
    let schema = schema(&[("k", SqlType::Int4, false), ("v", SqlType::Text, true), ("i", SqlType::Interval, true)], &[0]);
    let mut numbers = Numbers(5);
    let rows: Vec<Vec<Datum>> = (0..60)
        .map(|k| {
            let text = format!("{:x}", numbers.next()).repeat(if k % 7 == 0 { 100_000 } else { 3 });
            vec![Datum::Int4(k), Datum::Text(text.into()), value(SqlType::Interval, &mut numbers)]
        })
        .collect();
    let options = WriterOptions { group_bytes_max: 4 << 20, rows_per_page: 8, ..WriterOptions::default() };
    let segment = write(&env, &schema, &rows, options, &Cache::new(1 << 30)).unwrap();
    assert!(segment.groups().len() > 1, "4 MiB of values make a group");
    assert_same(&read_all(&segment).unwrap(), &rows);
    let cold = open(&env, &segment.info(), &Cache::new(0)).unwrap();
    for (position, row) in rows.iter().enumerate() {
        assert_same(&[cold.datums(position as u32, &[0, 1, 2]).unwrap()], std::slice::from_ref(row));
        assert_eq!(cold.find(&key_of(&schema, row)).unwrap(), Some(position as u32));
    }
    cold.verify().unwrap();
}

#[test]
fn any_run_of_rows_can_be_read_cold_and_warm() {
    let (env, schema) = (world(9), every_type());
    let rows = rows(&schema, 400, 5);
    let segment = write(&env, &schema, &rows, small(Codec::Zstd1), &Cache::new(64 << 20)).unwrap();
    let columns = [18, 10, 0];
    for _ in 0..2 {
        for (group, start, end) in [(0, 0, 192), (0, 63, 65), (0, 64, 128), (0, 191, 192), (1, 5, 130), (2, 0, 16), (2, 7, 7)] {
            let arrays = segment.read_rows(group, &columns, start..end).unwrap();
            for (column, array) in columns.iter().zip(&arrays) {
                assert_eq!(array.len(), end - start);
                for row in start..end {
                    let found = arrow_form::datum_at(array.as_ref(), row - start, schema.columns()[*column].sql_type);
                    assert!(same(&found, &rows[group * 192 + row][*column]), "row {row} of group {group}");
                }
            }
        }
        read_all(&segment).unwrap();
    }
}

#[test]
fn a_read_that_fails_once_fails_once() {
    let (env, schema) = (world(10), every_type());
    let rows = rows(&schema, 200, 6);
    let segment = write(&env, &schema, &rows, small(Codec::Lz4), &Cache::new(64 << 20)).unwrap();
    for call in 1..40 {
        env.set_fault(Fault::Once { operation: Some(Operation::Read), call });
        let failed = read_all(&segment);
        assert!(failed.is_ok() || failed.unwrap_err().kind() == Kind::Unavailable);
        env.clear_faults();
        assert_same(&read_all(&segment).unwrap(), &rows);
    }
}

#[test]
fn rows_out_of_order_are_refused_and_leave_no_files() {
    let env = world(6);
    let schema = schema(&[("k", SqlType::Int8, false)], &[0]);
    let keys = |values: &[i64]| batch(&schema, &values.iter().map(|v| vec![Datum::Int8(*v)]).collect::<Vec<_>>());
    for (first, second) in [(vec![1, 2, 2], vec![]), (vec![1, 3, 2], vec![]), (vec![5; 1], vec![5]), (vec![5], vec![4])] {
        let options = WriterOptions { rows_per_group: first.len(), ..WriterOptions::default() };
        let cache = Cache::new(0);
        let world: Arc<dyn Env> = Arc::clone(&env) as Arc<dyn Env>;
        let mut writer = SegmentWriter::create(world, &dir(), ID, Arc::clone(&schema), options, cache).unwrap();
        let result = writer.append(&keys(&first)).and_then(|()| writer.append(&keys(&second)));
        let error = match result {
            Ok(()) => writer.finish().unwrap_err(),
            Err(error) => {
                drop(writer);
                error
            }
        };
        assert_eq!(error.kind(), Kind::Bug, "{error}");
        assert_eq!(env.list(&dir()).unwrap(), Vec::<String>::new());
    }
}

#[test]
fn wrong_batches_and_empty_segments_are_refused() {
    let env = world(7);
    let schema_a = schema(&[("k", SqlType::Int8, false)], &[0]);
    let schema_b = schema(&[("k", SqlType::Int4, false)], &[0]);
    let nullable = schema(&[("k", SqlType::Int8, true)], &[0]);
    let wrong = [batch(&schema_b, &[vec![Datum::Int4(1)]]), batch(&nullable, &[vec![Datum::Null]])];
    let create = || {
        let world: Arc<dyn Env> = Arc::clone(&env) as Arc<dyn Env>;
        SegmentWriter::create(world, &dir(), ID, Arc::clone(&schema_a), WriterOptions::default(), Cache::new(0)).unwrap()
    };
    for batch in wrong {
        assert!(matches!(create().append(&batch), Err(SegmentError::Misuse(_))));
    }
    assert!(matches!(create().finish(), Err(SegmentError::Misuse(_))));
    assert_eq!(env.list(&dir()).unwrap(), Vec::<String>::new());
}

#[test]
fn an_id_is_used_once() {
    let (env, schema) = (world(8), every_type());
    let rows = rows(&schema, 3, 1);
    let cache = Cache::new(0);
    let segment = write(&env, &schema, &rows, small(Codec::Lz4), &cache).unwrap();
    let error = write(&env, &schema, &rows, small(Codec::Lz4), &cache).unwrap_err();
    assert!(matches!(error, SegmentError::Io { .. }), "{error}");
    segment.verify().unwrap();
}

//! What the cache keeps, and that nothing depends on it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};

use segments::{Cache, Codec, Segment, WriterOptions};
use types::{Datum, SqlType};

use crate::support::*;

fn wide_table(cache: &Arc<Cache>, n: usize) -> (Arc<Segment>, Vec<Vec<Datum>>) {
    let schema = schema(&[("k", SqlType::Int8, false), ("v", SqlType::Text, true), ("n", SqlType::Float8, true)], &[0]);
    let rows = rows(&schema, n, 9);
    let env = world(1);
    let segment = write(&env, &schema, &rows, small(Codec::Lz4), cache).unwrap();
    (segment, rows)
}

#[test]
fn a_tiny_cache_stays_within_its_limit_and_answers_stay_right() {
    for bytes_max in [0, 1_000, 5_000, 20_000, 60_000] {
        let cache = Cache::new(bytes_max);
        let (segment, rows) = wide_table(&cache, 1_500);
        let mut numbers = Numbers(bytes_max as u64);
        for _ in 0..3 {
            assert_same(&read_all(&segment).unwrap(), &rows);
            for _ in 0..200 {
                let position = numbers.below(rows.len() as u64) as u32;
                let row = &rows[position as usize];
                assert_eq!(segment.find(&key_of(segment.schema(), row)).unwrap(), Some(position));
                assert_same(&[segment.datums(position, &[0, 1, 2]).unwrap()], std::slice::from_ref(row));
                assert!(cache.bytes() <= bytes_max, "{} of {bytes_max} bytes", cache.bytes());
            }
        }
        if bytes_max == 0 {
            assert_eq!(cache.counters().hits, 0);
        } else if bytes_max == 60_000 {
            assert!(cache.counters().hits > 0 && cache.counters().evictions > 0, "{:?}", cache.counters());
        }
        drop(segment);
        assert_eq!(cache.bytes(), 0, "a segment that is gone holds nothing");
    }
}

#[test]
fn what_is_used_again_survives_a_scan_of_everything() {
    // Eight groups; the first column's are what point reads use, the others what a scan passes through once.
    let cache = Cache::new(40_000);
    let (segment, _) = wide_table(&cache, 1_500);
    let hot = [0, 1, 2];
    for _ in 0..5 {
        hot.iter().for_each(|group| drop(segment.read_column(*group, 0).unwrap()));
    }
    for group in 0..segment.groups().len() {
        for column in [1, 2] {
            segment.read_column(group, column).unwrap();
        }
    }
    assert!(cache.counters().evictions > 0, "the scan does not fit: {:?}", cache.counters());
    for group in hot {
        assert!(segment.is_cached(group, 0), "group {group} was pushed out by a scan");
    }
}

#[test]
fn one_load_serves_all_who_ask_at_once() {
    let cache = Cache::new(1 << 20);
    let (segment, _) = wide_table(&cache, 1_500);
    let before = cache.counters().loads;
    let barrier = Barrier::new(8);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    segment.packed(3, 1).unwrap()
                })
            })
            .collect();
        let columns: Vec<_> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
        assert!(columns.iter().all(|column| Arc::ptr_eq(column, &columns[0])));
    });
    assert_eq!(cache.counters().loads - before, 1);
}

#[test]
fn what_is_not_admitted_is_shared_while_it_is_in_use() {
    let cache = Cache::new(0);
    let (segment, _) = wide_table(&cache, 300);
    let first = segment.packed(0, 1).unwrap();
    assert!(Arc::ptr_eq(&first, &segment.packed(0, 1).unwrap()));
    let loads = cache.counters().loads;
    drop(first);
    segment.packed(0, 1).unwrap();
    assert_eq!(cache.counters().loads, loads + 1);
}

#[test]
fn readers_and_evictions_at_once_do_no_harm() {
    let cache = Cache::new(30_000);
    let (segment, rows) = wide_table(&cache, 1_500);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (segment, rows, stop) = (&segment, &rows, &stop);
            scope.spawn(move || {
                let mut numbers = Numbers(thread);
                while !stop.load(Ordering::Relaxed) {
                    let position = numbers.below(rows.len() as u64) as usize;
                    let found = segment.datums(position as u32, &[0, 1, 2]).unwrap();
                    assert_same(&[found], std::slice::from_ref(&rows[position]));
                    assert_eq!(segment.find(&key_of(segment.schema(), &rows[position])).unwrap(), Some(position as u32));
                }
            });
        }
        for _ in 0..20 {
            assert_same(&read_all(&segment).unwrap(), &rows);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(cache.bytes() <= 30_000);
}

#[test]
fn bytes_are_those_that_the_values_need() {
    // Strings of at most 12 bytes live in their views: the pages they came from must not be kept or counted.
    let schema = schema(&[("k", SqlType::Int8, false), ("v", SqlType::Text, false)], &[0]);
    let rows: Vec<Vec<Datum>> = (0..40_000).map(|i| vec![Datum::Int8(i), Datum::Text(format!("{i:012}").into())]).collect();
    let env = world(3);
    let cache = Cache::new(64 << 20);
    let options = WriterOptions::default();
    let segment = write(&env, &schema, &rows, options, &cache).unwrap();
    let before = cache.bytes();
    segment.read_column(0, 1).unwrap();
    let views = 40_000 * 16;
    let held = cache.bytes() - before;
    assert!((views..views + views / 20).contains(&held), "{held} bytes for {views} bytes of views");
}

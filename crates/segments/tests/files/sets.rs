//! A table's list of segments: which of them a snapshot reads, and where a key is.

use std::collections::BTreeMap;
use std::sync::Arc;

use env::{Env, SimEnv};
use roaring::RoaringBitmap;
use segments::{
    Cache, DeletionLog, DeletionVector, LiveSegment, Segment, SegmentColumn, SegmentSchema, SegmentSet, SegmentWriter,
    WriterOptions,
};
use types::{ColumnId, CommitTs, Datum, SegmentId, SqlType, key};

use crate::support::*;

fn table() -> Arc<SegmentSchema> {
    schema(&[("k", SqlType::Int8, false), ("v", SqlType::Int4, true)], &[0])
}

fn segment(env: &Arc<SimEnv>, id: u64, schema: &Arc<SegmentSchema>, keys: impl Iterator<Item = i64>) -> Arc<Segment> {
    let rows: Vec<Vec<Datum>> = keys.map(|k| vec![Datum::Int8(k), Datum::Int4((k % 10) as i32)]).collect();
    let world: Arc<dyn Env> = Arc::clone(env) as Arc<dyn Env>;
    let (options, cache) = (WriterOptions::default(), Cache::new(1 << 20));
    let mut writer = SegmentWriter::create(world, &dir(), SegmentId(id), Arc::clone(schema), options, cache).unwrap();
    writer.append(&batch(schema, &rows)).unwrap();
    writer.finish().unwrap()
}

fn live(segment: Arc<Segment>, from: u64) -> Arc<LiveSegment> {
    Arc::new(LiveSegment::new(segment, CommitTs(from), DeletionLog::default()))
}

fn key(k: i64) -> Vec<u8> {
    let mut out = Vec::new();
    key::encode(types::DatumRef::Int8(k), SqlType::Int8, &mut out);
    out
}

#[test]
fn a_snapshot_reads_the_segments_of_its_time() {
    let (env, schema) = (world(1), table());
    let (g1, g2) = (live(segment(&env, 1, &schema, 0..10), 0), live(segment(&env, 2, &schema, 10..20), 10));
    let g3 = live(segment(&env, 3, &schema, 0..20), 30);
    let set = SegmentSet::new(vec![Arc::clone(&g1), Arc::clone(&g2), Arc::clone(&g3)]);
    g1.retire(CommitTs(30));
    g2.retire(CommitTs(30));
    let ids = |ts| set.at(CommitTs(ts)).map(|live| live.segment.id().0).collect::<Vec<_>>();
    assert_eq!((ids(0), ids(10), ids(29), ids(30)), (vec![1], vec![1, 2], vec![1, 2], vec![3]));
    assert_eq!(ids(CommitTs::MAX.0), [3], "after every commit");
    for (ts, k, expected) in [(5, 3, Some(1)), (5, 13, None), (29, 13, Some(2)), (30, 13, Some(3)), (30, 99, None)] {
        let found = set.find(&key(k), CommitTs(ts)).unwrap();
        assert_eq!(found.map(|(live, _)| live.segment.id().0), expected, "key {k} at {ts}");
    }
    assert_eq!(set.get(SegmentId(3)).map(|live| live.from), Some(CommitTs(30)));
    assert!(set.get(SegmentId(4)).is_none());
}

#[test]
fn a_key_is_found_in_the_one_segment_where_it_lives() {
    // Ranges that nest, overlap and stand apart; each key may be stored often but lives once at a time.
    let (env, schema) = (world(2), table());
    let ranges = [(1, 0, 1000, 7), (2, 100, 200, 3), (3, 150, 950, 11), (4, 300, 310, 1), (5, 2000, 2100, 1), (6, 5, 6, 1)];
    let all: Vec<_> = ranges.map(|(id, from, to, step)| live(segment(&env, id, &schema, (from..to).step_by(step)), id)).into();
    let mut owner: BTreeMap<i64, (u64, CommitTs)> = BTreeMap::new();
    let mut numbers = Numbers(5);
    for k in 0..2200 {
        let holders: Vec<_> = all.iter().filter(|live| live.segment.find(&key(k)).unwrap().is_some()).collect();
        if holders.is_empty() {
            continue;
        }
        let keep = numbers.below(holders.len() as u64 + 1) as usize;
        for (i, live) in holders.iter().enumerate() {
            let position = live.segment.find(&key(k)).unwrap().unwrap();
            if i == keep {
                owner.insert(k, (live.segment.id().0, live.from));
            } else {
                live.dead.append(position, CommitTs(1));
            }
        }
    }
    let set = SegmentSet::new(all);
    for k in -1..2200 {
        for ts in [1, 3, 9] {
            let expected = owner.get(&k).filter(|(_, from)| *from <= CommitTs(ts)).map(|(id, _)| *id);
            let found = set.find(&key(k), CommitTs(ts)).unwrap();
            assert_eq!(found.as_ref().map(|(live, _)| live.segment.id().0), expected, "key {k} at {ts}");
            if let Some((live, position)) = found {
                assert_eq!(live.segment.datums(position, &[0]).unwrap(), [Datum::Int8(k)]);
            }
        }
    }
}

#[test]
fn statistics_are_of_the_live_segments() {
    let (env, schema) = (world(3), table());
    let (g1, g2) = (live(segment(&env, 1, &schema, 0..100), 0), live(segment(&env, 2, &schema, 50..150), 10));
    g1.dead.append(3, CommitTs(20));
    let set = SegmentSet::new(vec![g1, g2]);
    let columns = [ColumnId(1), ColumnId(2), ColumnId(9)];
    let early = set.statistics(CommitTs(5), &columns);
    assert_eq!((early.rows, early.stored_rows), (100, 100));
    assert_eq!(early.columns[0].max, Some(Datum::Int8(99)));
    let late = set.statistics(CommitTs(20), &columns);
    assert_eq!((late.rows, late.stored_rows), (199, 200));
    assert_eq!((&late.columns[0].min, &late.columns[0].max), (&Some(Datum::Int8(0)), &Some(Datum::Int8(149))));
    assert!((145..156).contains(&late.columns[0].distinct), "{}", late.columns[0].distinct);
    assert!((9..12).contains(&late.columns[1].distinct));
    assert_eq!(late.columns[2].min, None);
    assert_eq!(set.statistics(CommitTs(20), &columns), late);
}

#[test]
fn a_column_that_some_segments_lack_has_no_bounds() {
    let (env, old) = (world(4), table());
    let columns = [old.columns(), &[SegmentColumn::new(ColumnId(7), "later", SqlType::Int4, true)]].concat();
    let new = Arc::new(SegmentSchema::new(columns, vec![0]));
    let g1 = live(segment(&env, 1, &old, 0..5), 0);
    let rows: Vec<Vec<Datum>> = (5..9).map(|k| vec![Datum::Int8(k), Datum::Null, Datum::Int4(k as i32)]).collect();
    let world: Arc<dyn Env> = Arc::clone(&env) as Arc<dyn Env>;
    let options = WriterOptions::default();
    let mut writer = SegmentWriter::create(world, &dir(), SegmentId(2), Arc::clone(&new), options, Cache::new(0)).unwrap();
    writer.append(&batch(&new, &rows)).unwrap();
    let set = SegmentSet::new(vec![g1, live(writer.finish().unwrap(), 0)]);
    let statistics = set.statistics(CommitTs(1), &[ColumnId(7), ColumnId(2)]);
    assert_eq!((&statistics.columns[0].min, statistics.columns[0].distinct), (&None, 4));
    assert_eq!((&statistics.columns[1].max, statistics.columns[1].null_count), (&Some(Datum::Int4(4)), 4));
}

#[test]
fn a_small_deletion_vector_is_in_the_manifest_and_a_large_one_in_a_file() {
    let env = world(5);
    let small: RoaringBitmap = (0..100_000).collect();
    let large: RoaringBitmap = (0..100_000u32).filter(|i| i % 3 == 0).collect();
    let store = |dead: &RoaringBitmap| DeletionVector::store(env.as_ref(), &dir(), ID, CommitTs(2), dead).unwrap();
    assert_eq!(store(&RoaringBitmap::new()), DeletionVector::Empty);
    let few = store(&RoaringBitmap::from_iter([5, 70_000]));
    assert!(matches!(&few, DeletionVector::Inline(bytes) if bytes.len() < 64));
    assert!(matches!(store(&large), DeletionVector::File { .. }));
    for dead in [&small, &large] {
        assert_eq!(store(dead).load(env.as_ref(), &dir(), ID, 100_000).unwrap(), *dead);
    }
    assert!(few.load(env.as_ref(), &dir(), ID, 70_000).is_err(), "a row beyond the last");
    // Once more for the same commit: the same file, replaced as a whole.
    assert_eq!(store(&large), store(&large));
}

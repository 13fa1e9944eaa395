//! Ranges of keys, forward and backward, cold and warm, are those of a sorted list.

use std::ops::Bound;
use std::sync::Arc;

use crate::support::*;
use roaring::RoaringBitmap;
use segments::{Cache, Codec, DeletionLog, LiveSegment, SegmentRange, SegmentSchema};
use types::{ByteList, CommitTs, Datum, Direction, RowLayout, SqlType};

/// Reads a range: keys and rows, at most `limit`.
fn read(
    live: &Arc<LiveSegment>,
    hidden: &RoaringBitmap,
    (from, to): (Bound<&[u8]>, Bound<&[u8]>),
    direction: Direction,
    wanted: Option<&[usize]>,
    limit: usize,
) -> (ByteList, ByteList) {
    let layout = RowLayout::new(&live.segment.schema().types());
    let hidden = Some(Arc::new(hidden.clone()));
    let mut range = SegmentRange::new(Arc::clone(live), CommitTs(5), hidden, from, to, direction).unwrap();
    let (mut keys, mut rows) = (ByteList::default(), ByteList::default());
    while keys.len() < limit
        && let Some(key) = range.peek().unwrap()
    {
        let beyond = match (direction, from, to) {
            (Direction::Forward, _, Bound::Included(to)) => key > to,
            (Direction::Forward, _, Bound::Excluded(to)) => key >= to,
            (Direction::Backward, Bound::Included(from), _) => key < from,
            (Direction::Backward, Bound::Excluded(from), _) => key <= from,
            _ => false,
        };
        if beyond {
            break;
        }
        keys.push(key);
        rows.push_with(|out| range.append_row(&layout, wanted, out).unwrap());
        range.advance();
    }
    (keys, rows)
}

fn check(schema: &Arc<SegmentSchema>, seed: u64, cache_bytes: usize) {
    let env = world(seed);
    // Every second of the rows is in the segment; the others give bounds between its keys, before them and after them.
    let all = rows(schema, 700, seed);
    let keys: Vec<Vec<u8>> = all.iter().map(|row| key_of(schema, row)).collect();
    let stored: Vec<Vec<Datum>> = all.iter().skip(1).step_by(2).cloned().collect();
    let segment = write(&env, schema, &stored, small(Codec::Lz4), &Cache::new(cache_bytes)).unwrap();
    let layout = RowLayout::new(&schema.types());
    let mut numbers = Numbers(seed);
    let dead = DeletionLog::new(RoaringBitmap::from_iter([0, 7, 349]));
    dead.append(100, CommitTs(5));
    dead.append(101, CommitTs(6));
    let live = Arc::new(LiveSegment::new(segment, CommitTs(1), dead));
    let hidden = RoaringBitmap::from_iter(200..230);
    let is_dead = |position: usize| [0, 7, 349, 100].contains(&position) || (200..230).contains(&position);
    for round in 0..300 {
        let (a, b) = (numbers.below(700) as usize, numbers.below(700) as usize);
        let bound = |at: usize, kind: u64| match kind {
            0 => Bound::Unbounded,
            1 => Bound::Included(&*keys[at]),
            _ => Bound::Excluded(&*keys[at]),
        };
        let (from, to) = (bound(a, numbers.below(3)), bound(b, numbers.below(3)));
        let direction = if numbers.below(2) == 0 { Direction::Forward } else { Direction::Backward };
        let wanted: Option<&[usize]> = if numbers.below(2) == 0 { None } else { Some(&[0]) };
        let limit = if numbers.below(2) == 0 { usize::MAX } else { numbers.below(20) as usize };
        let within = |key: &[u8]| {
            (match from {
                Bound::Unbounded => true,
                Bound::Included(from) => key >= from,
                Bound::Excluded(from) => key > from,
            }) && match to {
                Bound::Unbounded => true,
                Bound::Included(to) => key <= to,
                Bound::Excluded(to) => key < to,
            }
        };
        let mut expected: Vec<usize> =
            (0..350).filter(|position| !is_dead(*position) && within(&keys[position * 2 + 1])).collect();
        let blocks = live.segment.blocks_between(from, to);
        assert!(expected.iter().all(|position| blocks.contains(&(*position as u32))));
        assert!(blocks.len() <= expected.len() + 34 + 2 * 128, "{blocks:?} for {} rows", expected.len());
        if direction == Direction::Backward {
            expected.reverse();
        }
        expected.truncate(limit);
        let (found_keys, found_rows) = read(&live, &hidden, (from, to), direction, wanted, limit);
        assert_eq!(found_keys.len(), expected.len(), "round {round}: {from:?} {to:?} {direction:?}");
        for (at, position) in expected.iter().enumerate() {
            assert_eq!(found_keys.get(at), keys[position * 2 + 1]);
            let row = layout.read_image(found_rows.get(at)).to_datums();
            match wanted {
                None => assert_same(&[row], std::slice::from_ref(&stored[*position])),
                Some(_) => assert!(same(&row[0], &stored[*position][0]) && row[1..].iter().all(Datum::is_null)),
            }
        }
    }
}

#[test]
fn a_range_is_that_of_a_sorted_list() {
    let texts = schema(&[("a", SqlType::Int2, false), ("b", SqlType::Text, false), ("c", SqlType::Int4, true)], &[1, 0]);
    for (seed, cache_bytes) in [(1, 0), (2, 64 << 20), (3, 20_000)] {
        check(&every_type(), seed, cache_bytes);
        check(&texts, seed, cache_bytes);
    }
}

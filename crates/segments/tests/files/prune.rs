//! Zone maps exclude rows only where no row can match, and do exclude where they should.

use std::cmp::Ordering;
use std::sync::Arc;

use proptest::prelude::*;
use segments::{Cache, Codec, Op, Predicate, Segment};
use types::{Datum, Decimal, SqlType, key};

use crate::support::*;

const OPS: [Op; 8] = [Op::Eq, Op::NotEq, Op::Lt, Op::LtEq, Op::Gt, Op::GtEq, Op::IsNull, Op::IsNotNull];

/// PostgreSQL's order of two values of a column, by their keys.
fn compare(a: &Datum, b: &Datum, t: SqlType) -> Ordering {
    let bytes = |v: &Datum| {
        let mut out = Vec::new();
        key::encode(v.as_ref(), t, &mut out);
        out
    };
    bytes(a).cmp(&bytes(b))
}

fn matches(value: &Datum, op: Op, with: &Datum, t: SqlType) -> bool {
    match op {
        Op::IsNull => value.is_null(),
        Op::IsNotNull => !value.is_null(),
        _ if value.is_null() || with.is_null() => false,
        Op::Eq => compare(value, with, t).is_eq(),
        Op::NotEq => compare(value, with, t).is_ne(),
        Op::Lt => compare(value, with, t).is_lt(),
        Op::LtEq => compare(value, with, t).is_le(),
        Op::Gt => compare(value, with, t).is_gt(),
        Op::GtEq => compare(value, with, t).is_ge(),
    }
}

fn every_type_segment(seed: u64, n: usize) -> (Arc<Segment>, Vec<Vec<Datum>>) {
    let (env, schema) = (world(seed), every_type());
    let rows = rows(&schema, n, seed);
    (write(&env, &schema, &rows, small(Codec::Lz4), &Cache::new(0)).unwrap(), rows)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_row_that_matches_is_ever_excluded(seed in 0u64..1_000_000, n in 1usize..400) {
        let (segment, rows) = every_type_segment(seed, n);
        let columns = segment.schema().columns().to_vec();
        let mut numbers = Numbers(seed ^ 1);
        for (column, c) in columns.iter().enumerate() {
            for op in OPS {
                // A stored value, a fresh one, or NULL.
                let value = match numbers.below(8) {
                    0 => Datum::Null,
                    1..4 => rows[numbers.below(n as u64) as usize][column].clone(),
                    _ => value(c.sql_type, &mut numbers),
                };
                let predicate = Predicate { column, op, value };
                let probes = segment.probes(std::slice::from_ref(&predicate));
                for (g, group) in segment.groups().enumerate() {
                    let may_match = group.may_match(&probes);
                    let ranges = group.matching_rows(&probes);
                    for row in 0..group.rows() {
                        let stored = &rows[(group.start() + row) as usize][column];
                        if matches(stored, op, &predicate.value, c.sql_type) {
                            prop_assert!(may_match, "{predicate:?} excludes group {g} with {stored:?}");
                            prop_assert!(ranges.iter().any(|r| r.contains(&row)), "{predicate:?} excludes row {row}: {stored:?}");
                        }
                    }
                    prop_assert!(may_match || ranges.is_empty());
                }
            }
        }
    }

    #[test]
    fn a_number_of_another_scale_is_compared_as_a_number(seed in 0u64..1_000_000, unscaled in -20_000i128..20_000, scale in 0u8..6) {
        let schema = schema(&[("k", SqlType::Int8, false), ("n", SqlType::Numeric { precision: 6, scale: 2 }, true)], &[0]);
        let mut numbers = Numbers(seed);
        let rows: Vec<Vec<Datum>> = (0..300)
            .map(|k| {
                let unscaled = numbers.below(400) as i128 - 200 + i128::from(k) / 64 * 100;
                vec![Datum::Int8(k), Datum::Numeric(Decimal { unscaled, scale: 2 })]
            })
            .collect();
        let segment = write(&world(1), &schema, &rows, small(Codec::Lz4), &Cache::new(0)).unwrap();
        let wide = |d: &Datum| match d {
            Datum::Numeric(v) => v.unscaled * 10i128.pow(u32::from(9 - v.scale)),
            _ => unreachable!("only numerics here"),
        };
        let with = Datum::Numeric(Decimal { unscaled, scale });
        for op in [Op::Eq, Op::NotEq, Op::Lt, Op::LtEq, Op::Gt, Op::GtEq] {
            let probes = segment.probes(&[Predicate { column: 1, op, value: with.clone() }]);
            for group in segment.groups() {
                let ranges = group.matching_rows(&probes);
                for row in 0..group.rows() {
                    let ordering = wide(&rows[(group.start() + row) as usize][1]).cmp(&wide(&with));
                    let matches = match op {
                        Op::Eq => ordering.is_eq(),
                        Op::NotEq => ordering.is_ne(),
                        Op::Lt => ordering.is_lt(),
                        Op::LtEq => ordering.is_le(),
                        Op::Gt => ordering.is_gt(),
                        _ => ordering.is_ge(),
                    };
                    prop_assert!(!matches || ranges.iter().any(|r| r.contains(&row)), "{op:?} {with:?} excludes row {row}");
                }
            }
        }
    }
}

/// Which of the runs of 64 rows may match.
fn runs(segment: &Segment, predicates: &[Predicate]) -> Vec<(u32, u32)> {
    let probes = segment.probes(predicates);
    let groups = segment.groups().flat_map(|group| {
        let start = group.start();
        group.matching_rows(&probes).into_iter().map(move |rows| (start + rows.start, start + rows.end))
    });
    groups.collect()
}

#[test]
fn runs_without_a_match_are_excluded() {
    let columns = [
        ("k", SqlType::Int8, false),
        ("n", SqlType::Numeric { precision: 9, scale: 2 }, true),
        ("t", SqlType::Text, true),
        ("c", SqlType::Char(4), true),
        ("f", SqlType::Float8, true),
    ];
    let schema = schema(&columns, &[0]);
    let rows: Vec<Vec<Datum>> = (0..384i64)
        .map(|k| {
            let run = k / 64;
            let text = format!("a common beginning {run}");
            let float = [1.0, f64::NAN, -1.0, 0.0, -0.0, 2.0][run as usize];
            vec![
                Datum::Int8(k),
                if run == 5 { Datum::Null } else { Datum::Numeric(Decimal { unscaled: i128::from(k) * 100, scale: 2 }) },
                Datum::Text(if run < 3 { format!("{run}{k}") } else { text }.into()),
                Datum::Text(format!("{run}   ").into()),
                Datum::Float8(float),
            ]
        })
        .collect();
    let segment = write(&world(1), &schema, &rows, small(Codec::Lz4), &Cache::new(0)).unwrap();
    let one = |column: usize, op: Op, value: Datum| runs(&segment, &[Predicate { column, op, value }]);
    assert_eq!(one(0, Op::Eq, Datum::Int8(70)), [(64, 128)]);
    assert_eq!(one(0, Op::Eq, Datum::Int4(70)), [(64, 128)], "a narrower integer is the same number");
    assert_eq!(one(0, Op::Lt, Datum::Int8(64)), [(0, 64)]);
    assert_eq!(one(0, Op::LtEq, Datum::Int8(64)), [(0, 128)]);
    assert_eq!(one(0, Op::Gt, Datum::Int8(319)), [(320, 384)]);
    assert_eq!(one(0, Op::GtEq, Datum::Int8(384)), []);
    assert_eq!(one(1, Op::Gt, Datum::Int8(300)), [(256, 320)], "an integer against numeric");
    assert_eq!(one(1, Op::IsNull, Datum::Null), [(320, 384)]);
    assert_eq!(one(1, Op::IsNotNull, Datum::Null), [(0, 192), (192, 320)]);
    assert_eq!(one(2, Op::Eq, Datum::Text("1100".into())), [(64, 128)]);
    assert_eq!(one(2, Op::Lt, Datum::Text("1".into())), [(0, 64)]);
    assert_eq!(one(2, Op::Gt, Datum::Text("b".into())), []);
    assert_eq!(one(2, Op::Gt, Datum::Text("a common beginning 9".into())), [(192, 384)], "cut bounds only exclude what differs");
    assert_eq!(one(2, Op::NotEq, Datum::Text("a common beginning 3".into())).len(), 2, "cut bounds say nothing of equality");
    assert_eq!(one(3, Op::Eq, Datum::Text("2".into())), [(128, 192)], "char(n) is compared padded");
    assert_eq!(one(3, Op::NotEq, Datum::Text("2   ".into())), [(0, 128), (192, 384)]);
    assert_eq!(one(4, Op::Gt, Datum::Float8(2.0)), [(64, 128)], "NaN is greater than all");
    assert_eq!(one(4, Op::Eq, Datum::Float8(f64::NAN)), [(64, 128)]);
    assert_eq!(one(4, Op::Eq, Datum::Float8(-0.0)), [(192, 320)], "both zeros are equal");
    // What does not fit excludes nothing.
    let everything = [(0, 192), (192, 384)];
    assert_eq!(one(0, Op::Eq, Datum::Null), everything);
    assert_eq!(one(0, Op::Eq, Datum::Text("7".into())), everything);
    assert_eq!(runs(&segment, &[Predicate { column: 99, op: Op::Eq, value: Datum::Int8(1) }]), everything);
    // All conditions must hold.
    let both = |a: i64, b: i64| {
        let condition = |op, v| Predicate { column: 0, op, value: Datum::Int8(v) };
        runs(&segment, &[condition(Op::GtEq, a), condition(Op::Lt, b)])
    };
    assert_eq!(both(100, 200), [(64, 192), (192, 256)]);
    assert_eq!(both(200, 100), []);
}

#[test]
fn statistics_are_those_of_the_values() {
    let (segment, rows) = every_type_segment(77, 390);
    for (column, c) in segment.schema().columns().iter().enumerate() {
        let found = segment.statistics(column);
        let mut values: Vec<&Datum> = rows.iter().map(|row| &row[column]).filter(|v| !v.is_null()).collect();
        values.sort_by(|a, b| compare(a, b, c.sql_type));
        assert_eq!(found.null_count as usize, rows.len() - values.len(), "{}", c.name);
        let distinct = values.chunk_by(|a, b| compare(a, b, c.sql_type).is_eq()).count() as f64;
        assert!(
            (found.distinct as f64 - distinct).abs() <= distinct * 0.1 + 1.0,
            "{}: {} for {distinct}",
            c.name,
            found.distinct
        );
        let (min, max) = (values.first().unwrap(), values.last().unwrap());
        if c.sql_type == SqlType::Interval {
            assert_eq!((found.min, found.max), (None, None));
        } else {
            assert!(compare(found.min.as_ref().unwrap(), min, c.sql_type).is_eq(), "{}", c.name);
            assert!(compare(found.max.as_ref().unwrap(), max, c.sql_type).is_eq(), "{}", c.name);
        }
        let zone = segment.group(0).zone(column);
        let fixed = !matches!(c.sql_type, SqlType::Interval | SqlType::Bytea) && !c.sql_type.is_string();
        assert_eq!(zone.min(c.sql_type).is_some(), fixed, "{}", c.name);
        assert_eq!(zone.rows(), 192);
    }
}

#[test]
fn a_range_of_texts_too_long_to_keep_is_unknown() {
    let schema = schema(&[("k", SqlType::Int4, false), ("t", SqlType::Text, false)], &[0]);
    let rows = [vec![Datum::Int4(1), Datum::Text("b".into())], vec![Datum::Int4(2), Datum::Text("c".repeat(300).into())]];
    let segment = write(&world(1), &schema, &rows, small(Codec::Lz4), &Cache::new(0)).unwrap();
    let statistics = segment.statistics(1);
    assert_eq!((statistics.min, statistics.max, statistics.distinct), (None, None, 2));
    let long = Predicate { column: 1, op: Op::Gt, value: Datum::Text("d".into()) };
    assert!(!segment.group(0).may_match(&segment.probes(&[long])), "its zone still has the beginning");
}

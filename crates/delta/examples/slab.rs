//! How fast the row store is: nanoseconds a row for put, get, update and scan, one thread, rows of ten columns.
//!
//! `cargo run --release -p delta --example slab [rows]`

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program for people")]

use std::hint::black_box;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use delta::{Base, DeltaTable, Expect, Found, PutOutcome, RangeBlock, SlotRef, Write};
use env::{Env, RealEnv};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use txn::{Snapshot, Transactions, Version};
use types::{CommitTs, Datum, Decimal, Direction, Key, Row, RowLayout, SqlType, TxnId};

const COLUMNS: [SqlType; 10] = [
    SqlType::Int8,
    SqlType::Int8,
    SqlType::Int4,
    SqlType::Int4,
    SqlType::Numeric { precision: 15, scale: 2 },
    SqlType::Date,
    SqlType::Text,
    SqlType::Varchar(10),
    SqlType::Char(1),
    SqlType::Text,
];

fn values(n: u64, change: i64) -> Vec<Datum> {
    vec![
        Datum::Int8(n as i64),
        Datum::Int8(change),
        Datum::Int4((n % 7) as i32),
        Datum::Int4((n % 100_000) as i32),
        Datum::Numeric(Decimal { unscaled: i128::from(change) * 100 + 99, scale: 2 }),
        Datum::Date((n % 2500) as i32 + 8000),
        Datum::Text(format!("Customer#{n:09}").into()),
        Datum::Text("BUILDING".into()),
        Datum::Text("F".into()),
        Datum::Text("15-768-687-3665".into()),
    ]
}

struct Clock(Arc<dyn Env>);

impl Clock {
    /// Time this thread has run, so that a busy machine counts less; where the system does not tell, time since the start.
    fn now(&self) -> Duration {
        let ran = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
        let nanos = ran.and_then(|text| text.split(' ').next()?.parse().ok());
        nanos.map_or_else(|| self.0.monotonic(), Duration::from_nanos)
    }

    fn time<R>(&self, what: &str, rows: usize, f: impl FnOnce() -> R) -> R {
        let start = self.now();
        let result = f();
        print(what, rows, self.now() - start);
        result
    }
}

fn print(what: &str, rows: usize, took: Duration) {
    println!("{what:<44} {:>7.0} ns a row", took.as_nanos() as f64 / rows as f64);
}

fn main() {
    let rows: u64 = std::env::args().nth(1).map_or(1_000_000, |rows| rows.parse().unwrap());
    let n_rows = rows as usize;
    let env: Arc<dyn Env> = RealEnv::new();
    let clock = Clock(Arc::clone(&env));
    let random = &mut StdRng::seed_from_u64(1);
    let layout = Arc::new(RowLayout::new(&COLUMNS));
    let table = DeltaTable::new(Arc::clone(&layout));
    let mut order: Vec<u64> = (0..rows).collect();
    order.shuffle(random);
    let keys: Vec<Key> = (0..rows).map(|n| Key::from(n.to_be_bytes().as_slice())).collect();
    let images: Vec<Row> = (0..rows).map(|n| layout.encode(&values(n, 0))).collect();
    println!("{rows} rows of {} bytes", images[0].0.len());

    let me = TxnId(1);
    let put = |key: &Key, me: TxnId, expect: Expect, image: &Row| -> SlotRef {
        match table.put(key, me, expect, Write::Row(image)) {
            PutOutcome::Done(slot) => slot,
            other => panic!("{other:?}"),
        }
    };
    let slots: Vec<SlotRef> = clock.time("put (insert, keys ascending)", n_rows, || {
        keys.iter().zip(&images).map(|(key, image)| put(key, me, Expect::NoSlot(Base::Absent), image)).collect()
    });
    clock.time("stamp", n_rows, || slots.iter().for_each(|slot| table.stamp(*slot, me, CommitTs(1))));
    let counts = table.counts();
    println!(
        "{:<44} {:>7.0} bytes a row, {:.0} held",
        "memory",
        counts.bytes as f64 / rows as f64,
        counts.bytes_held as f64 / rows as f64
    );

    let latest = Snapshot { ts: CommitTs(1), own: None };
    // Keys are made on the way: looking them up in an array would cost as much as the row.
    clock.time("get (random key, copy of the row)", n_rows, || {
        order.iter().for_each(|n| assert!(matches!(black_box(table.get(&n.to_be_bytes(), &latest)), Found::Row(_))));
    });
    clock.time("newest (random key)", n_rows, || order.iter().for_each(|n| drop(black_box(table.newest(&n.to_be_bytes(), me)))));
    let ranges = n_rows / 20;
    clock.time("range of 20 (random start)", n_rows, || {
        let mut block = RangeBlock::default();
        for n in &order[..ranges] {
            let from = n.to_be_bytes();
            table.range(&latest, Bound::Included(&from), Bound::Unbounded, Direction::Forward, 20, None, &mut block);
            black_box(&block);
        }
    });

    let columns: [&[usize]; 3] = [&[4], &[0, 3, 4, 5], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]];
    let scan = |share: u32, snapshot: Snapshot| {
        for columns in columns {
            let what = format!("scan {} columns, {share} % versions", columns.len());
            let best = (0..3)
                .map(|_| {
                    let start = clock.now();
                    let found: usize =
                        table.scan(snapshot, columns.to_vec(), false, 8192).map(|batch| black_box(batch).num_rows()).sum();
                    assert_eq!(found, n_rows);
                    clock.now() - start
                })
                .min()
                .unwrap();
            print(&what, n_rows, best);
        }
    };
    scan(0, latest);
    let version = Version::committed(CommitTs(1));
    for (share, from, to) in [(10, 0, 10), (60, 10, 60)] {
        let some = &order[n_rows * from / 100..n_rows * to / 100];
        let writer = TxnId(10 + share);
        let changed: Vec<Row> = some.iter().map(|n| layout.encode(&values(*n, 1))).collect();
        let keys: Vec<Key> = some.iter().map(|n| Key::from(n.to_be_bytes().as_slice())).collect();
        let touched: Vec<SlotRef> = clock.time("put (two columns of a random row change)", some.len(), || {
            keys.iter().zip(&changed).map(|(key, image)| put(key, writer, Expect::Version(version), image)).collect()
        });
        let ts = CommitTs(share);
        clock.time("stamp", some.len(), || touched.iter().for_each(|slot| table.stamp(*slot, writer, ts)));
        scan(share as u32, latest);
    }
    let counts = table.counts();
    println!(
        "{:<44} {:>7.0} bytes a row, {:.0} held",
        "memory",
        counts.bytes as f64 / rows as f64,
        counts.bytes_held as f64 / rows as f64
    );
    clock.time("reclaim before-images", n_rows * 60 / 100, || table.reclaim(CommitTs(60)));

    let cold = clock.time("cold (all rows, sorted by key)", n_rows, || table.cold(CommitTs(60), 0, usize::MAX, usize::MAX));
    clock.time("move to a segment and stamp", n_rows, || {
        for cold in &cold {
            table.overwrite(cold.slot, me, cold.version, Write::InSegment);
            table.stamp(cold.slot, me, CommitTs(70));
        }
    });
    clock.time("reclaim slots", n_rows, || table.reclaim(CommitTs(70)));
    println!("{:<44} {:>7} bytes held", "memory", table.counts().bytes_held);

    let transactions = Transactions::new(env.clone(), CommitTs::ZERO);
    clock.time("take and drop a snapshot", n_rows, || (0..rows).for_each(|_| drop(transactions.snapshot(None))));
    clock.time("begin, commit, stamped, durable, finish", n_rows, || {
        for n in 1..=rows {
            let txn = transactions.begin();
            let ticket = transactions.commit(txn::Acknowledge::OnDisk, |_| Ok::<_, ()>(types::Lsn(n))).unwrap();
            transactions.stamped(ticket.ts);
            transactions.durable(ticket.lsn);
            transactions.finish(txn, txn::Outcome::Committed);
        }
    });
    black_box(random.random::<u64>());
}

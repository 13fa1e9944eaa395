//! Random interleavings of transactions against a naive model: a history of (timestamp, what) for each key.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use delta::{Base, DeltaTable, Entry, Expect, Found, KEY_COLUMN, Newest, PutOutcome, RangeBlock, SlotRef, Write};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use txn::{Snapshot, Version};
use types::{CommitTs, Datum, Decimal, Direction, Key, Row, RowLayout, SqlType, TxnId, arrow_form};

#[derive(Clone, Debug, PartialEq)]
enum What {
    Row(Vec<Datum>),
    Deleted,
    InSegment,
}

#[derive(Default)]
struct History {
    /// Before everything: in a segment?
    base: bool,
    /// What was committed, ascending.
    committed: Vec<(CommitTs, What)>,
    /// What a transaction in progress has put, oldest first.
    open: Option<(TxnId, Vec<What>)>,
    /// The key has a slot.
    slot: Option<Slot>,
}

struct Slot {
    /// What was there before the slot: in a segment?
    base: bool,
    /// The committed versions it keeps.
    versions: Vec<CommitTs>,
}

struct Open {
    txn: TxnId,
    puts: Vec<(u64, SlotRef)>,
}

struct Model {
    random: StdRng,
    table: DeltaTable,
    layout: Arc<RowLayout>,
    keys: u64,
    history: BTreeMap<u64, History>,
    ts: CommitTs,
    txn_next: u64,
    open: Vec<Open>,
    held: Vec<Snapshot>,
}

const COLUMNS: [SqlType; 6] =
    [SqlType::Int8, SqlType::Text, SqlType::Int4, SqlType::Bytea, SqlType::Numeric { precision: 12, scale: 2 }, SqlType::Text];

/// Some keys are longer than what the index keeps in its nodes.
fn key(n: u64) -> Key {
    Key::from([n.to_be_bytes().as_slice(), &b"a long key"[..if n.is_multiple_of(5) { 10 } else { 0 }]].concat())
}

fn number(key: &[u8]) -> u64 {
    u64::from_be_bytes(key[..8].try_into().unwrap())
}

impl Model {
    fn new(seed: u64, keys: u64) -> Model {
        let layout = Arc::new(RowLayout::new(&COLUMNS));
        let history = (0..keys).map(|n| (n, History { base: n % 3 == 0, ..History::default() })).collect();
        Model {
            random: StdRng::seed_from_u64(seed),
            table: DeltaTable::new(Arc::clone(&layout)),
            layout,
            keys,
            history,
            ts: CommitTs::ZERO,
            txn_next: 1,
            open: Vec::new(),
            held: Vec::new(),
        }
    }

    fn random_value(&mut self, column: usize, n: u64) -> Datum {
        let random = &mut self.random;
        if column > 0 && random.random_bool(0.2) {
            return Datum::Null;
        }
        let len = match random.random_range(0..20) {
            0 => 3000,
            1..4 => 0,
            _ => random.random_range(1..30),
        };
        let letter = random.random_range(b'a'..=b'z');
        match column {
            0 => Datum::Int8(n as i64),
            1 | 5 => Datum::Text(String::from_utf8(vec![letter; len]).unwrap().into()),
            2 => Datum::Int4(random.random()),
            3 => Datum::Bytea(vec![letter; len].into()),
            _ => Datum::Numeric(Decimal { unscaled: i128::from(random.random::<i32>()), scale: 2 }),
        }
    }

    /// A row of key `n`: `old` with some columns changed, or another one.
    fn random_row(&mut self, n: u64, old: Option<&Vec<Datum>>) -> Vec<Datum> {
        let mut row = old.cloned().unwrap_or_else(|| (0..COLUMNS.len()).map(|column| self.random_value(column, n)).collect());
        for _ in 0..self.random.random_range(0..3) {
            let column = self.random.random_range(0..COLUMNS.len());
            row[column] = self.random_value(column, n);
        }
        row
    }

    fn newest_of(&self, n: u64) -> Option<(Version, &What)> {
        let history = &self.history[&n];
        if let Some((txn, puts)) = &history.open {
            return puts.last().map(|what| (Version::in_progress(*txn), what));
        }
        history.slot.as_ref()?;
        history.committed.last().map(|(ts, what)| (Version::committed(*ts), what))
    }

    /// One write of transaction `at`, with the whole look-then-put of a real writer.
    fn put(&mut self, at: usize) {
        let me = self.open[at].txn;
        let n = self.random.random_range(0..self.keys);
        let newest = self.table.newest(&key(n), me);
        let expected = match self.newest_of(n) {
            None => Newest::NoSlot,
            Some((version, what)) => match (version.txn(), what) {
                (Some(txn), _) if txn != me => Newest::Blocked(txn),
                (_, What::Row(row)) => Newest::Row { version, row: self.layout.encode(row) },
                (_, What::Deleted) => Newest::Deleted { version },
                (_, What::InSegment) => Newest::InSegment { version },
            },
        };
        assert_eq!(newest, expected, "newest of {n}");
        let old = self.newest_of(n).and_then(|(_, what)| if let What::Row(row) = what { Some(row.clone()) } else { None });
        let history = &self.history[&n];
        let expect = match newest {
            Newest::Blocked(txn) => {
                for wrong in [Expect::NoSlot(Base::Absent), Expect::Version(Version::in_progress(me))] {
                    assert_eq!(self.table.put(&key(n), me, wrong, Write::Deleted), PutOutcome::Changed, "held by {txn}");
                }
                return;
            }
            Newest::NoSlot => match history.committed.last() {
                Some((_, What::InSegment)) => Expect::NoSlot(Base::InSegment),
                None if history.base => Expect::NoSlot(Base::InSegment),
                _ => Expect::NoSlot(Base::Absent),
            },
            Newest::Row { version, .. } | Newest::Deleted { version } | Newest::InSegment { version } => Expect::Version(version),
        };
        if self.random.random_bool(0.1) {
            let wrong = match expect {
                Expect::NoSlot(_) => Expect::Version(Version::committed(self.ts)),
                Expect::Version(version) => {
                    Expect::Version(Version::committed(CommitTs(version.committed_ts().map_or(0, |ts| ts.0) + 1)))
                }
            };
            assert_eq!(self.table.put(&key(n), me, wrong, Write::Deleted), PutOutcome::Changed);
        }
        let what = match self.random.random_range(0..10) {
            0..2 if expect != Expect::NoSlot(Base::Absent) => What::Deleted,
            2 if old.is_some() => What::InSegment,
            _ => What::Row(self.random_row(n, old.as_ref())),
        };
        let image: Row;
        let write = match &what {
            What::Row(row) => {
                image = self.layout.encode(row);
                Write::Row(&image)
            }
            What::Deleted => Write::Deleted,
            What::InSegment => Write::InSegment,
        };
        let earlier = self.open[at].puts.iter().find(|(other, _)| *other == n).map(|(_, slot)| *slot);
        let outcome = match (expect, earlier) {
            (Expect::Version(version), Some(slot)) if self.random.random_bool(0.5) => {
                self.table.overwrite(slot, me, version, write)
            }
            _ => self.table.put(&key(n), me, expect, write),
        };
        let PutOutcome::Done(slot) = outcome else { panic!("nothing has changed since we looked") };
        let history = self.history.get_mut(&n).unwrap();
        history.slot.get_or_insert_with(|| Slot { base: expect == Expect::NoSlot(Base::InSegment), versions: Vec::new() });
        history.open.get_or_insert_with(|| (me, Vec::new())).1.push(what);
        self.open[at].puts.push((n, slot));
    }

    /// Undoes the last `count` puts of transaction `at`.
    fn undo(&mut self, at: usize, count: usize) {
        for _ in 0..count {
            let (n, slot) = self.open[at].puts.pop().unwrap();
            self.table.undo(slot, self.open[at].txn);
            let history = self.history.get_mut(&n).unwrap();
            let puts = &mut history.open.as_mut().unwrap().1;
            puts.pop();
            if puts.is_empty() {
                history.open = None;
                if history.slot.as_ref().unwrap().versions.is_empty() {
                    history.slot = None;
                }
            }
        }
    }

    fn commit(&mut self, at: usize) {
        let open = self.open.swap_remove(at);
        self.ts = self.ts.next();
        for (_, slot) in &open.puts {
            self.table.stamp(*slot, open.txn, self.ts);
        }
        for n in open.puts.iter().map(|(n, _)| *n).collect::<BTreeSet<_>>() {
            let history = self.history.get_mut(&n).unwrap();
            let (_, mut puts) = history.open.take().unwrap();
            history.committed.push((self.ts, puts.pop().unwrap()));
            history.slot.as_mut().unwrap().versions.push(self.ts);
        }
        self.held.retain(|held| held.own != Some(open.txn));
    }

    fn rollback(&mut self, at: usize) {
        self.undo(at, self.open[at].puts.len());
        let open = self.open.swap_remove(at);
        self.held.retain(|held| held.own != Some(open.txn));
    }

    fn reclaim(&mut self) {
        let mut needed: Vec<CommitTs> = self.held.iter().map(|held| held.ts).chain([self.ts]).collect();
        needed.sort_unstable();
        needed.dedup();
        let oldest = needed[0];
        let between = self.random.random_bool(0.3);
        if between {
            self.table.reclaim_between(&needed)
        } else {
            self.table.reclaim(oldest)
        };
        let (mut slots, mut versions, mut gone) = (0, 0, 0);
        for history in self.history.values_mut() {
            let Some(slot) = &mut history.slot else {
                continue;
            };
            if history.open.is_none()
                && history.committed.last().is_some_and(|(ts, what)| *ts <= oldest && !matches!(what, What::Row(_)))
            {
                history.slot = None;
                continue;
            }
            slots += 1;
            // Of the versions up to the oldest snapshot only the last is kept.
            let old = slot.versions.partition_point(|ts| *ts <= oldest);
            slot.versions.drain(..old.saturating_sub(1));
            if between {
                let all = slot.versions.clone();
                let seen = |ts: &CommitTs| needed.iter().any(|needed| all.iter().rfind(|ts| *ts <= needed) == Some(ts));
                slot.versions.retain(seen);
            }
            versions += slot.versions.len() + history.open.as_ref().map_or(0, |(_, puts)| puts.len()) - 1;
            let newest =
                history.open.as_ref().map_or_else(|| &history.committed.last().unwrap().1, |(_, puts)| puts.last().unwrap());
            gone += usize::from(!matches!(newest, What::Row(_)));
        }
        let counts = self.table.counts();
        assert_eq!(
            (counts.rows, counts.versions, counts.gone),
            (slots, versions, gone),
            "reclaim at {needed:?} frees what it can"
        );
    }

    /// What a snapshot sees of key `n`; `None`: what the segments hold, or nothing.
    fn seen(&self, n: u64, snapshot: &Snapshot) -> Option<&What> {
        let history = &self.history[&n];
        if let Some((txn, puts)) = &history.open
            && snapshot.own == Some(*txn)
        {
            return puts.last();
        }
        history.committed.iter().rev().find(|(ts, _)| *ts <= snapshot.ts).map(|(_, what)| what)
    }

    fn rows_seen(&self, snapshot: &Snapshot) -> BTreeMap<u64, Vec<Datum>> {
        let row = |n| if let Some(What::Row(row)) = self.seen(n, snapshot) { Some((n, row.clone())) } else { None };
        (0..self.keys).filter_map(row).collect()
    }

    fn check_found(&self, n: u64, found: &Found, snapshot: &Snapshot) {
        let history = &self.history[&n];
        let expected = match self.seen(n, snapshot) {
            Some(What::Row(row)) => Found::Row(self.layout.encode(row)),
            _ if history.slot.is_none() => Found::NoSlot,
            Some(What::Deleted) => Found::Deleted,
            Some(What::InSegment) => Found::InSegment,
            None if history.slot.as_ref().is_some_and(|slot| slot.base) => Found::InSegment,
            None => Found::Deleted,
        };
        assert_eq!(*found, expected, "key {n} at {snapshot:?}");
    }

    fn check(&mut self) {
        let mut snapshots = self.held.clone();
        snapshots.push(Snapshot { ts: self.ts, own: None });
        let snapshot = snapshots[self.random.random_range(0..snapshots.len())];
        let expected = self.rows_seen(&snapshot);
        match self.random.random_range(0..4) {
            0 => {
                for n in (0..self.keys).step_by(1 + self.keys as usize / 200) {
                    let found = self.table.get(&key(n), &snapshot);
                    self.check_found(n, &found, &snapshot);
                }
            }
            1 => {
                let rows: Vec<_> = self.table.dump(snapshot).collect();
                assert_eq!(rows.len(), expected.len());
                for (key, row) in rows {
                    assert_eq!(self.layout.read(&row).to_datums(), expected[&number(&key)], "{snapshot:?}");
                    assert_eq!(row, self.layout.encode(&expected[&number(&key)]), "images are as encoded");
                }
            }
            2 => {
                let (a, b) = (self.random.random_range(0..self.keys), self.random.random_range(0..=self.keys));
                let limit = if self.random.random_bool(0.5) { usize::MAX / 2 } else { self.random.random_range(0..400) };
                let direction = if self.random.random_bool(0.5) { Direction::Forward } else { Direction::Backward };
                let mut keys: Vec<_> = (a..b.max(a)).filter(|n| self.history[n].slot.is_some()).collect();
                if direction == Direction::Backward {
                    keys.reverse();
                }
                let mut block = RangeBlock::default();
                let (from, to) = (key(a), key(b));
                let (from, to) = (Bound::Included(&*from), Bound::Excluded(&*to));
                let more = self.table.range(&snapshot, from, to, direction, limit, None, &mut block);
                assert!(more || block.len() == keys.len());
                keys.truncate(limit);
                assert_eq!((0..block.len()).map(|at| number(block.key(at))).collect::<Vec<_>>(), keys);
                for at in 0..block.len() {
                    let found = match block.entry(at) {
                        Entry::Row(image) => Found::Row(Row(image.into())),
                        Entry::Deleted => Found::Deleted,
                        Entry::InSegment => Found::InSegment,
                    };
                    self.check_found(number(block.key(at)), &found, &snapshot);
                }
                let wanted = [0, 3];
                self.table.range(&snapshot, from, to, direction, limit, Some(&wanted), &mut block);
                for at in 0..block.len() {
                    if let Entry::Row(image) = block.entry(at) {
                        let row = self.layout.read_image(image);
                        let expected = &expected[&number(block.key(at))];
                        assert!(wanted.iter().all(|column| row.get(*column).to_owned() == expected[*column]));
                    }
                }
            }
            _ => self.check_scan(&snapshot, expected),
        }
    }

    fn check_scan(&mut self, snapshot: &Snapshot, mut expected: BTreeMap<u64, Vec<Datum>>) {
        let columns: Vec<usize> =
            (0..self.random.random_range(0..8)).map(|_| self.random.random_range(0..COLUMNS.len())).collect();
        let rows_per_batch = [1, 7, 512, 1000, 8192][self.random.random_range(0..5)];
        let with_key = self.random.random_bool(0.8);
        let scan = self.table.scan(*snapshot, columns.clone(), with_key, rows_per_batch);
        let schema = Arc::clone(scan.schema());
        let parts = if self.random.random_bool(0.5) { scan.split(self.random.random_range(1..5)) } else { vec![scan] };
        let batches: Vec<RecordBatch> = parts.into_iter().flatten().collect();
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        assert_eq!(rows, expected.len(), "{snapshot:?}");
        for batch in &batches {
            assert!((1..=rows_per_batch).contains(&batch.num_rows()));
            assert_eq!(batch.schema(), schema);
            if !with_key {
                continue;
            }
            let keys = batch.column_by_name(KEY_COLUMN).unwrap().as_binary_view();
            for row in 0..batch.num_rows() {
                let row_expected = expected.remove(&number(keys.value(row))).expect("a row the model has, and once");
                for (at, column) in columns.iter().enumerate() {
                    let array = batch.column(at + 1);
                    assert_eq!(array.len(), batch.num_rows());
                    assert_eq!(arrow_form::datum_at(array, row, COLUMNS[*column]), row_expected[*column], "{snapshot:?}");
                }
            }
        }
    }

    fn check_cold(&mut self) {
        let at = self.held.iter().map(|held| held.ts).min().unwrap_or(self.ts);
        let cold = self.table.cold(at, 0, usize::MAX, usize::MAX);
        let is_cold = |history: &History| {
            history.open.is_none() && history.committed.last().is_some_and(|(ts, what)| *ts <= at && matches!(what, What::Row(_)))
        };
        let keys: Vec<_> = self.history.iter().filter(|(_, history)| is_cold(history)).map(|(n, _)| *n).collect();
        assert_eq!(cold.iter().map(|cold| number(&cold.key)).collect::<Vec<_>>(), keys, "all that is cold, in key order");
        let few = self.table.cold(at, 0, 5, usize::MAX);
        assert_eq!(few.len(), keys.len().min(5));
        assert!(self.table.cold(at, 0, usize::MAX, 1).len() <= 1);
        // Freeze some of them, as one transaction.
        let me = TxnId(self.txn_next);
        self.txn_next += 1;
        self.open.push(Open { txn: me, puts: Vec::new() });
        for cold in few {
            let n = number(&cold.key);
            assert_eq!(self.newest_of(n), Some((cold.version, &What::Row(self.layout.read(&cold.row).to_datums()))));
            assert_eq!(self.table.overwrite(cold.slot, me, cold.version, Write::InSegment), PutOutcome::Done(cold.slot));
            assert_eq!(self.table.overwrite(cold.slot, me, cold.version, Write::InSegment), PutOutcome::Changed);
            self.history.get_mut(&n).unwrap().open = Some((me, vec![What::InSegment]));
            self.open.last_mut().unwrap().puts.push((n, cold.slot));
        }
        if self.random.random_bool(0.8) { self.commit(self.open.len() - 1) } else { self.rollback(self.open.len() - 1) }
    }

    fn step(&mut self) {
        match self.random.random_range(0..100) {
            0..5 if self.open.len() < 5 => {
                let txn = TxnId(self.txn_next);
                self.txn_next += 1;
                self.open.push(Open { txn, puts: Vec::new() });
                if self.random.random_bool(0.5) {
                    self.held.push(Snapshot { ts: self.ts, own: Some(txn) });
                }
            }
            5..8 if self.held.len() < 6 => self.held.push(Snapshot { ts: self.ts, own: None }),
            8..12 if !self.held.is_empty() => {
                let at = self.random.random_range(0..self.held.len());
                self.held.swap_remove(at);
            }
            12..15 => self.reclaim(),
            15..30 => self.check(),
            30..32 => self.check_cold(),
            what if !self.open.is_empty() => {
                let at = self.random.random_range(0..self.open.len());
                match what {
                    32..38 => self.commit(at),
                    38..41 => self.rollback(at),
                    41..46 => {
                        let count = self.random.random_range(0..=self.open[at].puts.len());
                        self.undo(at, count);
                    }
                    46..48 if self.keys > 1000 => (0..400).for_each(|_| self.put(at)),
                    _ => self.put(at),
                }
            }
            _ => (),
        }
    }

    fn run(mut self, steps: usize) {
        (0..steps).for_each(|_| self.step());
        while !self.open.is_empty() {
            if self.random.random_bool(0.5) { self.commit(0) } else { self.rollback(0) }
        }
        (0..8).for_each(|_| self.check());
        self.held.clear();
        self.reclaim();
        assert_eq!(self.table.counts().versions, 0, "nobody sees a before-image");
        // Delete everything: all memory comes back.
        self.open.push(Open { txn: TxnId(self.txn_next), puts: Vec::new() });
        for (n, history) in &self.history {
            if history.slot.is_some() {
                let version = Version::committed(history.committed.last().unwrap().0);
                let PutOutcome::Done(slot) =
                    self.table.put(&key(*n), TxnId(self.txn_next), Expect::Version(version), Write::Deleted)
                else {
                    panic!("nobody else writes");
                };
                self.table.stamp(slot, TxnId(self.txn_next), self.ts.next());
            }
        }
        self.table.reclaim(self.ts.next());
        assert_eq!(self.table.counts(), delta::Counts::default(), "an empty table holds nothing");
    }
}

#[test]
fn a_few_contended_keys_behave_as_the_model() {
    for seed in 0..60 {
        Model::new(seed, 12).run(1500);
    }
}

#[test]
fn many_keys_over_many_slabs_behave_as_the_model() {
    for seed in 100..106 {
        Model::new(seed, 3000).run(1200);
    }
}

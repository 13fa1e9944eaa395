//! Many threads at once: transfers between accounts, freezing, reclaim, readers at many snapshots. The sum never changes, and at
//! any snapshot each open account is in exactly one place: a delta row or a segment position.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use delta::{Base, DeltaTable, Expect, Found, KEY_COLUMN, Newest, PutOutcome, SlotRef, Write};
use env::RealEnv;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use txn::{Acknowledge, Cancel, Outcome, Snapshot, SnapshotGuard, Transactions, Version, WaitError, WaitLimits};
use types::{CommitTs, Datum, DatumRef, Key, Lsn, Row, RowLayout, SqlType, TxnId};

const ACCOUNTS: u64 = 600;
const BALANCE: i64 = 100;
const SUM: i64 = ACCOUNTS as i64 * BALANCE;

/// Before this is all that segments hold for the time being.
const NOW: CommitTs = CommitTs(CommitTs::MAX.0 - 1);

/// What segments hold of one account: from which timestamp until which (exclusive), and the balance.
type Frozen = Vec<(CommitTs, CommitTs, i64)>;

struct Bank {
    transactions: Transactions,
    table: DeltaTable,
    layout: Arc<RowLayout>,
    segments: Mutex<HashMap<u64, Frozen>>,
    appended: AtomicU64,
    running: AtomicUsize,
}

struct Running<'a>(&'a AtomicUsize);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A transaction under way: its puts in order, and which accounts it took out of a segment.
struct Transfer<'a> {
    bank: &'a Bank,
    me: TxnId,
    puts: Vec<(SlotRef, Option<u64>)>,
    /// Held from before the first look, so that no slot comes and goes between a look and a put.
    _snapshot: SnapshotGuard,
}

fn key(n: u64) -> Key {
    Key::from(n.to_be_bytes().as_slice())
}

impl Bank {
    fn new() -> Bank {
        let layout = Arc::new(RowLayout::new(&[SqlType::Int8, SqlType::Text]));
        let bank = Bank {
            transactions: Transactions::new(RealEnv::new(), CommitTs::ZERO),
            table: DeltaTable::new(Arc::clone(&layout)),
            layout,
            segments: Mutex::default(),
            appended: AtomicU64::new(0),
            running: AtomicUsize::new(0),
        };
        // A third of the accounts starts in a segment, the others as rows.
        let mut open = Transfer::begin(&bank);
        for n in 0..ACCOUNTS {
            if n % 3 == 0 {
                bank.segments.lock().insert(n, vec![(CommitTs::ZERO, CommitTs::MAX, BALANCE)]);
            } else {
                open.put(n, Expect::NoSlot(Base::Absent), Some(BALANCE), false);
            }
        }
        open.commit();
        bank
    }

    fn row(&self, balance: i64) -> Row {
        let note = format!("balance {balance} {}", "x".repeat((balance.unsigned_abs() % 40) as usize));
        self.layout.encode(&[Datum::Int8(balance), Datum::Text(note.into())])
    }

    fn balance(&self, row: &Row) -> i64 {
        let row = self.layout.read(row);
        let DatumRef::Int8(balance) = row.get(0) else { panic!("a balance is a bigint") };
        let DatumRef::Text(note) = row.get(1) else { panic!("a note is a text") };
        assert!(note.starts_with(&format!("balance {balance} ")), "row of {balance} says {note}");
        balance
    }

    fn in_segment(&self, n: u64, ts: CommitTs) -> Option<i64> {
        let segments = self.segments.lock();
        let mut found = segments.get(&n)?.iter().filter(|(from, until, _)| *from <= ts && ts < *until);
        let balance = found.next().map(|(_, _, balance)| *balance);
        assert!(found.next().is_none(), "{n} is in two segments at {ts}");
        balance
    }

    /// Commits: log, segments, stamps, in the engine's order.
    fn commit(
        &self,
        me: TxnId,
        slots: impl Iterator<Item = SlotRef>,
        segments: impl FnOnce(CommitTs, &mut HashMap<u64, Frozen>),
    ) {
        let append = |_| Ok::<_, ()>(Lsn(self.appended.fetch_add(1, Ordering::SeqCst) + 1));
        let ticket = self.transactions.commit(Acknowledge::OnDisk, append).unwrap();
        segments(ticket.ts, &mut self.segments.lock());
        slots.for_each(|slot| self.table.stamp(slot, me, ticket.ts));
        self.transactions.stamped(ticket.ts);
        self.transactions.finish(me, Outcome::Committed);
        self.transactions.durable(ticket.lsn);
    }

    fn write(&self, seed: u64, rounds: usize) {
        let _running = Running(&self.running);
        let random = &mut StdRng::seed_from_u64(seed);
        let cancel = Cancel::new();
        let limits = WaitLimits { timeout: None, cancel: &cancel };
        for _ in 0..rounds {
            let mut transfer = Transfer::begin(self);
            // A hot corner, so that transactions meet.
            let range = if random.random_bool(0.5) { 8 } else { ACCOUNTS };
            let (a, b) = (random.random_range(0..range), random.random_range(0..range));
            let done = (|| {
                let (from, expect_from) = transfer.look(a, limits)?;
                transfer.lock(a, expect_from, from, random)?;
                if a == b {
                    return Ok(());
                }
                let (to, expect_to) = transfer.look(b, limits)?;
                let (from_open, to_open) = (from.is_some(), to.is_some());
                let (from, to) = (from.unwrap_or(0), to.unwrap_or(0));
                // Sometimes an account is closed and its all moved to the other; it is opened again when something is moved to it.
                let amount = if random.random_bool(0.2) { from } else { random.random_range(-20..20) };
                let close = from - amount == 0 && random.random_bool(0.7);
                let mine = Expect::Version(Version::in_progress(transfer.me));
                if from_open || !close {
                    transfer.put(a, mine, (!close).then_some(from - amount), true);
                }
                if to_open || amount != 0 {
                    let expect = expect_to;
                    if transfer.try_put(b, expect, Some(to + amount), false) == PutOutcome::Changed {
                        return Err(WaitError::Timeout);
                    }
                }
                Ok(())
            })();
            if done.is_err() || random.random_bool(0.1) {
                transfer.rollback();
            } else {
                transfer.commit();
            }
        }
    }

    fn freeze(&self) {
        while self.running.load(Ordering::SeqCst) > 0 {
            self.table.tick();
            let me = self.transactions.begin();
            let cold = self.table.cold(self.transactions.oldest(), 1, 40, usize::MAX);
            let moved: BTreeMap<u64, (SlotRef, i64)> = cold
                .into_iter()
                .filter(|cold| matches!(self.table.overwrite(cold.slot, me, cold.version, Write::InSegment), PutOutcome::Done(_)))
                .map(|cold| (u64::from_be_bytes((*cold.key).try_into().unwrap()), (cold.slot, self.balance(&cold.row))))
                .collect();
            self.commit(me, moved.values().map(|(slot, _)| *slot), |ts, segments| {
                for (n, (_, balance)) in &moved {
                    segments.entry(*n).or_default().push((ts, CommitTs::MAX, *balance));
                }
            });
            thread::yield_now();
        }
    }

    fn reclaim(&self) {
        while self.running.load(Ordering::SeqCst) > 0 {
            self.table.reclaim(self.transactions.oldest());
            self.table.reclaim_between(&self.transactions.needed());
            thread::yield_now();
        }
    }

    /// The open accounts at a snapshot, by scan.
    fn scan(&self, snapshot: Snapshot) -> BTreeMap<u64, i64> {
        let mut all = BTreeMap::new();
        for batch in self.table.scan(snapshot, vec![0, 1], true, 100) {
            let keys = batch.column_by_name(KEY_COLUMN).unwrap().as_binary_view();
            let (balances, notes) = (batch.column(1).as_primitive::<Int64Type>(), batch.column(2).as_string_view());
            for row in 0..batch.num_rows() {
                let n = u64::from_be_bytes(keys.value(row).try_into().unwrap());
                let balance = balances.value(row);
                assert!(notes.value(row).starts_with(&format!("balance {balance} ")), "torn row {n}");
                assert_eq!(all.insert(n, balance), None, "{n} twice in a scan");
            }
        }
        for n in 0..ACCOUNTS {
            if let Some(balance) = self.in_segment(n, snapshot.ts) {
                assert_eq!(all.insert(n, balance), None, "{n} in the delta and in a segment at {}", snapshot.ts);
            }
        }
        all
    }

    fn read(&self, seed: u64) {
        let random = &mut StdRng::seed_from_u64(seed);
        while self.running.load(Ordering::SeqCst) > 0 {
            let snapshot = self.transactions.snapshot(None);
            let all = self.scan(*snapshot);
            assert_eq!(all.values().sum::<i64>(), SUM, "the sum at {}", snapshot.ts);
            for _ in 0..random.random_range(0..4) {
                // The same snapshot later: nothing has changed for it.
                match random.random_range(0..3) {
                    0 => assert_eq!(self.scan(*snapshot), all),
                    1 => {
                        let dumped: HashSet<u64> =
                            self.table.dump(*snapshot).map(|(key, _)| u64::from_be_bytes((*key).try_into().unwrap())).collect();
                        assert!(dumped.iter().all(|n| all.contains_key(n)));
                    }
                    _ => {
                        for _ in 0..50 {
                            let n = random.random_range(0..ACCOUNTS);
                            let balance = match self.table.get(&key(n), &snapshot) {
                                Found::Row(row) => Some(self.balance(&row)),
                                Found::Deleted => None,
                                Found::InSegment | Found::NoSlot => self.in_segment(n, snapshot.ts),
                            };
                            assert_eq!(balance, all.get(&n).copied(), "account {n} at {}", snapshot.ts);
                        }
                    }
                }
            }
        }
    }
}

impl Transfer<'_> {
    fn begin(bank: &Bank) -> Transfer<'_> {
        let me = bank.transactions.begin();
        Transfer { bank, me, puts: Vec::new(), _snapshot: bank.transactions.snapshot(Some(me)) }
    }

    /// The newest committed (or own) balance of an account, after waiting for whoever holds it; `None` if it is closed.
    fn look(&self, n: u64, limits: WaitLimits<'_>) -> Result<(Option<i64>, Expect), WaitError> {
        loop {
            match self.bank.table.newest(&key(n), self.me) {
                Newest::Blocked(holder) => self.bank.transactions.wait_for(self.me, holder, limits)?,
                Newest::Row { version, row } => return Ok((Some(self.bank.balance(&row)), Expect::Version(version))),
                Newest::Deleted { version } => return Ok((None, Expect::Version(version))),
                Newest::InSegment { version } => {
                    // It may be taken out by another, who commits between our two looks: then the put finds it changed.
                    if let Some(balance) = self.bank.in_segment(n, NOW) {
                        return Ok((Some(balance), Expect::Version(version)));
                    }
                }
                Newest::NoSlot => {
                    let balance = self.bank.in_segment(n, NOW);
                    let base = if balance.is_some() { Base::InSegment } else { Base::Absent };
                    return Ok((balance, Expect::NoSlot(base)));
                }
            }
        }
    }

    /// Puts an account as it is, some times over, and takes some of that back: afterwards it is ours.
    fn lock(&mut self, n: u64, expect: Expect, balance: Option<i64>, random: &mut StdRng) -> Result<(), WaitError> {
        if self.try_put(n, expect, balance, false) == PutOutcome::Changed {
            return Err(WaitError::Timeout);
        }
        let mine = Expect::Version(Version::in_progress(self.me));
        let more = random.random_range(0..3);
        for at in 0..more {
            self.put(n, mine, (at % 2 == 0).then_some(-7 - at), true);
        }
        for _ in 0..more {
            let (slot, _) = self.puts.pop().unwrap();
            self.bank.table.undo(slot, self.me);
        }
        Ok(())
    }

    fn put(&mut self, n: u64, expect: Expect, balance: Option<i64>, again: bool) {
        assert!(matches!(self.try_put(n, expect, balance, again), PutOutcome::Done(_)), "the account is ours");
    }

    fn try_put(&mut self, n: u64, expect: Expect, balance: Option<i64>, again: bool) -> PutOutcome {
        let row = balance.map(|balance| self.bank.row(balance));
        let write = row.as_ref().map_or(Write::Deleted, Write::Row);
        let outcome = self.bank.table.put(&key(n), self.me, expect, write);
        if let PutOutcome::Done(slot) = outcome {
            self.puts.push((slot, (!again).then_some(n)));
        }
        outcome
    }

    fn commit(mut self) {
        let puts = std::mem::take(&mut self.puts);
        let slots: HashSet<SlotRef> = puts.iter().map(|(slot, _)| *slot).collect();
        let accounts: Vec<u64> = puts.iter().filter_map(|(_, n)| *n).collect();
        self.bank.commit(self.me, slots.into_iter(), |ts, segments| {
            for n in accounts {
                for (_, until, _) in segments.entry(n).or_default() {
                    *until = (*until).min(ts);
                }
            }
        });
    }

    fn rollback(mut self) {
        for (slot, _) in std::mem::take(&mut self.puts).into_iter().rev() {
            self.bank.table.undo(slot, self.me);
        }
        self.bank.transactions.finish(self.me, Outcome::RolledBack);
    }
}

impl Drop for Transfer<'_> {
    /// A failed assertion must not leave others waiting for this transaction.
    fn drop(&mut self) {
        self.bank.transactions.finish(self.me, Outcome::RolledBack);
    }
}

#[test]
fn the_sum_is_constant_at_every_snapshot_while_rows_are_written_frozen_and_reclaimed() {
    const WRITERS: u64 = 3;
    let bank = &Bank::new();
    bank.running.store(WRITERS as usize, Ordering::SeqCst);
    thread::scope(|scope| {
        for seed in 0..WRITERS {
            scope.spawn(move || bank.write(seed, 8000));
        }
        for seed in 10..12 {
            scope.spawn(move || bank.read(seed));
        }
        scope.spawn(|| bank.freeze());
        scope.spawn(|| bank.reclaim());
    });
    let snapshot = bank.transactions.snapshot(None);
    assert_eq!(bank.scan(*snapshot).values().sum::<i64>(), SUM);
    bank.table.reclaim(bank.transactions.oldest());
    let counts = bank.table.counts();
    assert_eq!((counts.versions, counts.gone), (0, 0), "all that nobody sees is reclaimed");
    assert_eq!(bank.table.dump(*snapshot).count(), counts.rows);
    let counters = bank.transactions.counters();
    assert_eq!((counters.active, counters.waiting), (0, 0));
    assert!(counters.rolled_back > 0 && counters.deadlocks > 0, "the schedule had conflicts in it: {counters:?}");
}

//! Waiting for one another: rows, table locks, deadlocks, limits.

#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use env::RealEnv;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use txn::{Cancel, LockMode, Outcome, Transactions, WaitError, WaitLimits};
use types::{CommitTs, TableId, TxnId};

use LockMode::{Exclusive, Shared};

const TABLE: TableId = TableId(7);

fn transactions() -> Transactions {
    Transactions::new(RealEnv::new(), CommitTs::ZERO)
}

fn for_ever(cancel: &Cancel) -> WaitLimits<'_> {
    WaitLimits { timeout: None, cancel }
}

fn not_at_all(cancel: &Cancel) -> WaitLimits<'_> {
    WaitLimits { timeout: Some(Duration::ZERO), cancel }
}

fn until_waiting(transactions: &Transactions, n: usize) {
    while transactions.counters().waiting != n {
        thread::yield_now();
    }
}

#[test]
fn a_writer_waits_until_the_holder_has_ended() {
    let transactions = transactions();
    let (me, holder) = (transactions.begin(), transactions.begin());
    let cancel = Cancel::new();
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            transactions.wait_for(me, holder, for_ever(&cancel)).unwrap();
            assert!(ended.load(Ordering::SeqCst));
        });
        until_waiting(&transactions, 1);
        ended.store(true, Ordering::SeqCst);
        transactions.finish(holder, Outcome::Committed);
    });
    assert_eq!(transactions.wait_for(me, holder, for_ever(&cancel)), Ok(()), "it has ended already");
    transactions.finish(holder, Outcome::Committed);
    transactions.finish(me, Outcome::RolledBack);
    let counters = transactions.counters();
    assert_eq!((counters.committed, counters.rolled_back, counters.active, counters.waiting), (1, 1, 0, 0));
}

#[test]
fn a_wait_ends_at_its_limits_and_leaves_nothing_behind() {
    let transactions = transactions();
    let (me, holder) = (transactions.begin(), transactions.begin());
    let cancel = Cancel::new();
    transactions.lock_table(holder, TABLE, Exclusive, for_ever(&cancel)).unwrap();
    let short = WaitLimits { timeout: Some(Duration::from_millis(5)), cancel: &cancel };
    for limits in [not_at_all(&cancel), short] {
        assert_eq!(transactions.wait_for(me, holder, limits), Err(WaitError::Timeout));
        assert_eq!(transactions.lock_table(me, TABLE, Shared, limits), Err(WaitError::Timeout));
    }
    thread::scope(|scope| {
        let row = scope.spawn(|| transactions.wait_for(me, holder, for_ever(&cancel)));
        until_waiting(&transactions, 1);
        cancel.set();
        assert_eq!(row.join().unwrap(), Err(WaitError::Cancelled));
        let table = scope.spawn(|| transactions.lock_table(me, TABLE, Shared, for_ever(&cancel)));
        assert_eq!(table.join().unwrap(), Err(WaitError::Cancelled), "set before the wait began");
    });
    cancel.clear();
    assert_eq!((transactions.counters().waiting, transactions.table_lock(me, TABLE)), (0, None));
    transactions.finish(holder, Outcome::Committed);
    assert_eq!(transactions.lock_table(me, TABLE, Exclusive, not_at_all(&cancel)), Ok(()), "no one is left in the queue");
}

#[test]
fn the_wait_that_closes_a_circle_is_the_victim_and_the_others_go_on() {
    let transactions = transactions();
    let [a, b, c] = [(); 3].map(|()| transactions.begin());
    let cancel = Cancel::new();
    transactions.lock_table(c, TABLE, Shared, for_ever(&cancel)).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            transactions.wait_for(a, b, for_ever(&cancel)).unwrap();
            transactions.finish(a, Outcome::Committed);
        });
        scope.spawn(|| {
            transactions.lock_table(b, TABLE, Exclusive, for_ever(&cancel)).unwrap();
            transactions.finish(b, Outcome::Committed);
        });
        until_waiting(&transactions, 2);
        let Err(WaitError::Deadlock { detail }) = transactions.wait_for(c, a, for_ever(&cancel)) else {
            panic!("c -> a -> b -> c is a circle");
        };
        let lines = [
            format!("Transaction {c} waits for ShareLock on transaction {a}; blocked by transaction {a}."),
            format!("Transaction {a} waits for ShareLock on transaction {b}; blocked by transaction {b}."),
            format!("Transaction {b} waits for AccessExclusiveLock on table 7; blocked by transaction {c}."),
        ];
        assert_eq!(detail, lines.join("\n"));
        transactions.finish(c, Outcome::RolledBack);
    });
    let counters = transactions.counters();
    assert_eq!((counters.committed, counters.rolled_back, counters.deadlocks, counters.waiting), (2, 1, 1, 0));
}

#[test]
fn locks_that_do_not_fit_with_those_held_are_refused() {
    let cases: [(&[(u64, LockMode)], (u64, LockMode), bool); 10] = [
        (&[], (1, Shared), true),
        (&[], (1, Exclusive), true),
        (&[(1, Shared)], (2, Shared), true),
        (&[(1, Shared)], (2, Exclusive), false),
        (&[(1, Exclusive)], (2, Shared), false),
        (&[(1, Exclusive)], (2, Exclusive), false),
        (&[(1, Exclusive)], (1, Shared), true),
        (&[(1, Shared)], (1, Exclusive), true),
        (&[(1, Shared), (2, Shared)], (1, Exclusive), false),
        (&[(1, Shared), (1, Exclusive)], (2, Shared), false),
    ];
    let cancel = Cancel::new();
    for (held, (who, lock), granted) in cases {
        let transactions = transactions();
        let txns: Vec<TxnId> = (0..3).map(|_| transactions.begin()).collect();
        for (who, lock) in held {
            transactions.lock_table(txns[*who as usize], TABLE, *lock, not_at_all(&cancel)).unwrap();
        }
        let result = transactions.lock_table(txns[who as usize], TABLE, lock, not_at_all(&cancel));
        assert_eq!(result.is_ok(), granted, "{held:?}, then {who} {lock:?}");
        txns.into_iter().for_each(|txn| transactions.finish(txn, Outcome::Committed));
        let next = transactions.begin();
        assert_eq!(transactions.lock_table(next, TABLE, Exclusive, not_at_all(&cancel)), Ok(()), "all locks ended");
    }
}

#[test]
fn new_sharers_wait_behind_an_exclusive_waiter_but_holders_do_not() {
    let transactions = transactions();
    let [holder, ddl, late] = [(); 3].map(|()| transactions.begin());
    let cancel = Cancel::new();
    transactions.lock_table(holder, TABLE, Shared, for_ever(&cancel)).unwrap();
    let order = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            transactions.lock_table(ddl, TABLE, Exclusive, for_ever(&cancel)).unwrap();
            assert_eq!(order.fetch_add(1, Ordering::SeqCst), 0, "the exclusive lock came first");
            transactions.finish(ddl, Outcome::Committed);
        });
        until_waiting(&transactions, 1);
        assert_eq!(transactions.lock_table(late, TABLE, Shared, not_at_all(&cancel)), Err(WaitError::Timeout));
        assert_eq!(transactions.lock_table(holder, TABLE, Shared, not_at_all(&cancel)), Ok(()), "held already");
        scope.spawn(|| {
            transactions.lock_table(late, TABLE, Shared, for_ever(&cancel)).unwrap();
            assert_eq!(order.fetch_add(1, Ordering::SeqCst), 1);
            transactions.finish(late, Outcome::Committed);
        });
        until_waiting(&transactions, 2);
        transactions.finish(holder, Outcome::Committed);
    });
    assert_eq!(order.load(Ordering::SeqCst), 2);
}

#[test]
fn a_waiter_that_gives_up_lets_those_behind_it_go_on() {
    let transactions = transactions();
    let [holder, ddl, late] = [(); 3].map(|()| transactions.begin());
    let (cancel, cancel_ddl) = (Cancel::new(), Cancel::new());
    transactions.lock_table(holder, TABLE, Shared, for_ever(&cancel)).unwrap();
    thread::scope(|scope| {
        let ddl = scope.spawn(|| transactions.lock_table(ddl, TABLE, Exclusive, for_ever(&cancel_ddl)));
        until_waiting(&transactions, 1);
        let late = scope.spawn(|| transactions.lock_table(late, TABLE, Shared, for_ever(&cancel)));
        until_waiting(&transactions, 2);
        cancel_ddl.set();
        assert_eq!(ddl.join().unwrap(), Err(WaitError::Cancelled));
        assert_eq!(late.join().unwrap(), Ok(()));
    });
}

#[test]
fn of_two_sharers_who_both_want_the_table_alone_the_second_is_the_victim() {
    let transactions = transactions();
    let [a, b] = [(); 2].map(|()| transactions.begin());
    let cancel = Cancel::new();
    transactions.lock_table(a, TABLE, Shared, for_ever(&cancel)).unwrap();
    transactions.lock_table(b, TABLE, Shared, for_ever(&cancel)).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| transactions.lock_table(a, TABLE, Exclusive, for_ever(&cancel)).unwrap());
        until_waiting(&transactions, 1);
        assert!(matches!(transactions.lock_table(b, TABLE, Exclusive, for_ever(&cancel)), Err(WaitError::Deadlock { .. })));
        assert_eq!(transactions.table_lock(b, TABLE), Some(Shared), "the victim keeps what it has until it ends");
        transactions.finish(b, Outcome::RolledBack);
    });
    assert_eq!(transactions.table_lock(a, TABLE), Some(Exclusive));
}

/// Threads lock tables and wait for each other in random order, deadlocks included: nobody is together with an exclusive holder,
/// nobody is stuck, nothing is left at the end.
#[test]
fn table_locks_exclude_and_nobody_is_stuck_under_random_schedules() {
    const THREADS: u64 = 6;
    const TABLES: u32 = 4;
    let transactions = transactions();
    // Sharers count one each, an exclusive holder a thousand.
    let inside: Vec<AtomicI64> = (0..TABLES).map(|_| AtomicI64::new(0)).collect();
    let running: Vec<AtomicI64> = (0..THREADS).map(|_| AtomicI64::new(-1)).collect();
    let weight = |lock| if lock == Shared { 1 } else { 1000 };
    thread::scope(|scope| {
        for seed in 0..THREADS {
            let (transactions, inside, running) = (&transactions, &inside, &running);
            scope.spawn(move || {
                let random = &mut StdRng::seed_from_u64(seed);
                let cancel = Cancel::new();
                for _ in 0..1500 {
                    let me = transactions.begin();
                    running[seed as usize].store(me.0 as i64, Ordering::SeqCst);
                    let mut held: Vec<Option<LockMode>> = vec![None; TABLES as usize];
                    let mut outcome = Outcome::Committed;
                    for _ in 0..random.random_range(1..5) {
                        let other = running[random.random_range(0..THREADS) as usize].load(Ordering::SeqCst);
                        if random.random_bool(0.2) && other >= 0 && other as u64 != me.0 {
                            if transactions.wait_for(me, TxnId(other as u64), for_ever(&cancel)).is_err() {
                                outcome = Outcome::RolledBack;
                                break;
                            }
                            assert!(!transactions.is_active(TxnId(other as u64)));
                            continue;
                        }
                        let table = random.random_range(0..TABLES) as usize;
                        let lock = if random.random_bool(0.7) { Shared } else { Exclusive };
                        let timeout = random.random_bool(0.1).then_some(Duration::from_micros(random.random_range(0..50)));
                        match transactions.lock_table(me, TableId(table as u32), lock, WaitLimits { timeout, cancel: &cancel }) {
                            Ok(()) if held[table] < Some(lock) => {
                                let added = weight(lock) - held[table].map_or(0, weight);
                                let now = inside[table].fetch_add(added, Ordering::SeqCst) + added;
                                held[table] = Some(lock);
                                assert!(if lock == Exclusive { now == 1000 } else { now < 1000 }, "{now} in table {table}");
                            }
                            Ok(()) | Err(WaitError::Timeout) => (),
                            Err(WaitError::Deadlock { detail }) => {
                                assert!(detail.starts_with(&format!("Transaction {me} waits for ")), "{detail}");
                                assert!(detail.ends_with(&format!("blocked by transaction {me}.")), "{detail}");
                                outcome = Outcome::RolledBack;
                                break;
                            }
                            Err(WaitError::Cancelled | WaitError::TooMany) => panic!("nobody cancels here"),
                        }
                    }
                    for (table, lock) in held.iter().enumerate() {
                        inside[table].fetch_sub(lock.map_or(0, weight), Ordering::SeqCst);
                    }
                    transactions.finish(me, outcome);
                }
                running[seed as usize].store(-1, Ordering::SeqCst);
            });
        }
    });
    let counters = transactions.counters();
    assert_eq!((counters.active, counters.waiting), (0, 0));
    assert!(counters.deadlocks > 0, "the schedule had deadlocks in it");
    assert_eq!(counters.committed + counters.rolled_back, THREADS * 1500);
}

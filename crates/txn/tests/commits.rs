//! The commit queue and the registry of snapshots, through the public interface.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use env::RealEnv;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use txn::{Acknowledge, Failed, Transactions};
use types::{CommitTs, Lsn};

fn transactions() -> Transactions {
    Transactions::new(RealEnv::new(), CommitTs::ZERO)
}

fn commit(transactions: &Transactions, lsn: u64) -> CommitTs {
    transactions.commit(Acknowledge::OnDisk, |_| Ok::<_, ()>(Lsn(lsn))).unwrap().ts
}

enum Step {
    /// Commits with a record that ends there.
    Commit(u64),
    /// The same, and does not wait for it.
    Later(u64),
    Stamped(u64),
    Durable(u64),
    /// Publishes something unlogged.
    Quiesce,
}

#[test]
fn visible_is_the_prefix_that_is_stamped_and_durable() {
    use Step::{Commit, Durable, Later, Quiesce, Stamped};
    let cases: [(&[Step], u64); 16] = [
        (&[], 0),
        (&[Commit(10)], 0),
        (&[Commit(10), Stamped(1)], 0),
        (&[Commit(10), Durable(10)], 0),
        (&[Commit(10), Stamped(1), Durable(9)], 0),
        (&[Commit(10), Stamped(1), Durable(10)], 1),
        (&[Commit(10), Durable(10), Stamped(1)], 1),
        (&[Commit(10), Commit(20), Stamped(2), Durable(20)], 0),
        (&[Commit(10), Commit(20), Stamped(2), Durable(20), Stamped(1)], 2),
        (&[Later(10)], 0),
        (&[Later(10), Stamped(1)], 1),
        (&[Commit(10), Later(20), Stamped(1), Stamped(2)], 0),
        (&[Commit(10), Later(20), Stamped(1), Stamped(2), Durable(10)], 2),
        (&[Later(10), Commit(20), Stamped(1), Stamped(2), Durable(10)], 1),
        (&[Quiesce], 1),
        (&[Commit(10), Stamped(1), Quiesce, Commit(20), Durable(10)], 2),
    ];
    for (at, (steps, visible)) in cases.iter().enumerate() {
        let transactions = transactions();
        for step in *steps {
            match step {
                Commit(lsn) => drop(commit(&transactions, *lsn)),
                Later(lsn) => drop(transactions.commit(Acknowledge::AtOnce, |_| Ok::<_, ()>(Lsn(*lsn)))),
                Stamped(ts) => transactions.stamped(CommitTs(*ts)),
                Durable(lsn) => transactions.durable(Lsn(*lsn)),
                Quiesce => transactions.quiesce(|_| ()),
            }
        }
        assert_eq!(transactions.visible(), CommitTs(*visible), "case {at}");
        assert_eq!(transactions.snapshot(None).ts, CommitTs(*visible), "case {at}");
    }
}

#[test]
fn the_timestamp_of_a_failed_append_goes_to_the_next_commit() {
    let transactions = transactions();
    assert_eq!(transactions.commit(Acknowledge::OnDisk, Err::<Lsn, _>), Err(CommitTs(1)));
    assert_eq!(commit(&transactions, 10), CommitTs(1));
}

#[test]
fn recovery_ends_where_commits_go_on() {
    let transactions = transactions();
    transactions.recovered(CommitTs(41), Lsn(900));
    let position = || {
        let (snapshot, lsn) = transactions.snapshot_position(None);
        (snapshot.ts, lsn)
    };
    assert_eq!(position(), (CommitTs(41), Lsn(900)));
    let ts = commit(&transactions, 1000);
    transactions.stamped(ts);
    assert_eq!((ts, transactions.visible()), (CommitTs(42), CommitTs(41)));
    transactions.durable(Lsn(1000));
    transactions.quiesce(|ts| assert_eq!(ts, CommitTs(43)));
    assert_eq!(position(), (CommitTs(43), Lsn(1000)), "an unlogged publication has no place of its own");
}

#[test]
fn callbacks_run_when_their_commit_is_visible_and_not_before() {
    let transactions = transactions();
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = |ts: u64| {
        let told = Arc::clone(&told);
        transactions.when_visible(CommitTs(ts), Box::new(move |result| told.lock().push((ts, result.is_ok()))));
    };
    for lsn in 1..=3 {
        commit(&transactions, lsn);
        tell(lsn);
    }
    tell(3);
    (1..=3).for_each(|ts| transactions.stamped(CommitTs(ts)));
    assert!(told.lock().is_empty());
    transactions.durable(Lsn(2));
    assert_eq!(*told.lock(), [(1, true), (2, true)]);
    tell(1);
    transactions.durable(Lsn(3));
    assert_eq!(*told.lock(), [(1, true), (2, true), (1, true), (3, true), (3, true)]);
}

#[test]
fn a_failed_log_fails_who_waits_and_nothing_becomes_visible_any_more() {
    let transactions = transactions();
    let (first, second) = (commit(&transactions, 1), commit(&transactions, 2));
    transactions.stamped(first);
    transactions.stamped(second);
    transactions.durable(Lsn(1));
    let failed = Failed { cause: "disk on fire".into() };
    thread::scope(|scope| {
        let waiter = scope.spawn(|| transactions.wait_visible(second));
        let (sender, receiver) = mpsc::channel();
        transactions.when_visible(second, Box::new(move |result| sender.send(result).unwrap()));
        transactions.fail_all("disk on fire");
        assert_eq!(waiter.join().unwrap(), Err(failed.clone()));
        assert_eq!(receiver.recv().unwrap(), Err(failed.clone()));
    });
    assert_eq!(transactions.wait_visible(first), Ok(()), "what was visible stays so");
    assert_eq!(transactions.wait_visible(second), Err(failed.clone()));
    transactions.durable(Lsn(2));
    assert_eq!(transactions.visible(), first);
    assert_eq!(failed.to_string(), "the log has failed: disk on fire");
}

#[test]
fn quiesce_waits_for_every_earlier_commit_to_be_stamped_and_keeps_later_ones_out() {
    let transactions = transactions();
    let first = commit(&transactions, 1);
    let is_stamped = AtomicBool::new(false);
    let published = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            transactions.quiesce(|ts| {
                assert!(is_stamped.load(Ordering::SeqCst));
                assert_eq!(ts, CommitTs(2));
                published.store(true, Ordering::SeqCst);
            });
        });
        scope.spawn(|| {
            // Once the quiesce is under way, commits wait for it; before, they would be waited for.
            is_stamped.store(true, Ordering::SeqCst);
            transactions.stamped(first);
        });
    });
    assert!(published.load(Ordering::SeqCst));
    assert_eq!(transactions.visible(), CommitTs::ZERO, "the publication waits for the commit before it to be durable");
    transactions.durable(Lsn(1));
    assert_eq!(transactions.visible(), CommitTs(2));
    assert_eq!(transactions.quiesce(|ts| ts), CommitTs(3));
}

/// Tells the other threads to stop, also if its own is unwinding: a failed assertion ends the test instead of hanging it.
struct Running<'a>(&'a AtomicU64);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Readers that hold nothing else race with one who publishes and one who reclaims: the moment between reading `visible` and being
/// registered must not be open to `oldest`.
#[test]
fn oldest_never_passes_a_snapshot_that_is_being_taken() {
    let transactions = transactions();
    let (running, reclaimed) = (AtomicU64::new(1), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            let _running = Running(&running);
            for round in 0..100_000 {
                transactions.quiesce(|_| ());
                if round % 16 == 0 {
                    thread::yield_now();
                }
            }
        });
        scope.spawn(|| {
            while running.load(Ordering::SeqCst) > 0 {
                reclaimed.fetch_max(transactions.oldest().0, Ordering::SeqCst);
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                while running.load(Ordering::SeqCst) > 0 {
                    let snapshot = transactions.snapshot(None);
                    for _ in 0..3 {
                        let reclaimed = reclaimed.load(Ordering::SeqCst);
                        assert!(
                            reclaimed <= snapshot.ts.0,
                            "reclaimed up to {reclaimed} with a snapshot at {} held",
                            snapshot.ts
                        );
                        thread::yield_now();
                    }
                }
            });
        }
    });
    assert_eq!(transactions.oldest(), CommitTs(100_000));
}

/// Committers, a log, readers that hold snapshots, one who reclaims: under random schedules `visible` is always a stamped and
/// durable prefix, `oldest` never passes a held snapshot, and everyone who waits is woken.
#[test]
fn invariants_hold_under_random_schedules() {
    const COMMITTERS: u64 = 4;
    const COMMITS: u64 = 3000;
    const ALL: u64 = COMMITTERS * COMMITS;
    let transactions = transactions();
    let stamped: Vec<AtomicBool> = (0..=2 * ALL).map(|_| AtomicBool::new(false)).collect();
    let lsn_of: Vec<AtomicU64> = (0..=2 * ALL).map(|_| AtomicU64::new(0)).collect();
    let (appended, durable, reclaimed) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let (acknowledged, running) = (Arc::new(AtomicUsize::new(0)), AtomicU64::new(COMMITTERS));
    let published = AtomicU64::new(0);
    let wait = |random: &mut StdRng| (0..random.random_range(0..4)).for_each(|_| thread::yield_now());
    thread::scope(|scope| {
        for seed in 0..COMMITTERS {
            let (transactions, stamped, lsn_of, appended) = (&transactions, &stamped, &lsn_of, &appended);
            let (acknowledged, running, published) = (Arc::clone(&acknowledged), &running, &published);
            scope.spawn(move || {
                let _running = Running(running);
                let random = &mut StdRng::seed_from_u64(seed);
                for round in 0..COMMITS {
                    let ticket = transactions.commit(Acknowledge::OnDisk, |ts| {
                        let lsn = appended.fetch_add(1, Ordering::SeqCst) + 1;
                        lsn_of[ts.0 as usize].store(lsn, Ordering::SeqCst);
                        Ok::<_, ()>(Lsn(lsn))
                    });
                    let ticket = ticket.unwrap();
                    wait(random);
                    stamped[ticket.ts.0 as usize].store(true, Ordering::SeqCst);
                    transactions.stamped(ticket.ts);
                    if random.random_bool(0.5) {
                        transactions.wait_visible(ticket.ts).unwrap();
                        assert!(transactions.visible() >= ticket.ts);
                        acknowledged.fetch_add(1, Ordering::SeqCst);
                    } else {
                        let acknowledged = Arc::clone(&acknowledged);
                        let done = move |result: Result<(), Failed>| {
                            result.unwrap();
                            acknowledged.fetch_add(1, Ordering::SeqCst);
                        };
                        transactions.when_visible(ticket.ts, Box::new(done));
                    }
                    if round % 64 == seed {
                        transactions.quiesce(|ts| {
                            let unstamped = (1..ts.0).find(|ts| !stamped[*ts as usize].load(Ordering::SeqCst));
                            assert_eq!(unstamped, None, "quiesced at {ts} with a commit not stamped");
                            stamped[ts.0 as usize].store(true, Ordering::SeqCst);
                            published.fetch_add(1, Ordering::SeqCst);
                        });
                    }
                }
            });
        }
        // The log.
        scope.spawn(|| {
            let random = &mut StdRng::seed_from_u64(100);
            loop {
                // Read first: what is appended after the last committer ended is nothing.
                let last = running.load(Ordering::SeqCst) == 0;
                let lsn = appended.load(Ordering::SeqCst);
                durable.store(lsn, Ordering::SeqCst);
                transactions.durable(Lsn(lsn));
                if last {
                    break;
                }
                wait(random);
            }
        });
        // The one who reclaims.
        scope.spawn(|| {
            while running.load(Ordering::SeqCst) > 0 {
                reclaimed.fetch_max(transactions.needed()[0].0, Ordering::SeqCst);
            }
        });
        // Readers.
        for seed in 200..203 {
            let (transactions, stamped, lsn_of, durable) = (&transactions, &stamped, &lsn_of, &durable);
            let (running, reclaimed) = (&running, &reclaimed);
            scope.spawn(move || {
                let random = &mut StdRng::seed_from_u64(seed);
                let (mut held, mut checked): (Vec<txn::SnapshotGuard>, _) = (Vec::new(), 0);
                while running.load(Ordering::SeqCst) > 0 {
                    let snapshot = transactions.snapshot(None);
                    assert!(snapshot.ts.0 >= checked, "visible went back");
                    for ts in checked + 1..=snapshot.ts.0 {
                        assert!(stamped[ts as usize].load(Ordering::SeqCst), "{ts} is visible and not stamped");
                        let lsn = lsn_of[ts as usize].load(Ordering::SeqCst);
                        assert!(lsn <= durable.load(Ordering::SeqCst), "{ts} is visible and not durable");
                    }
                    checked = snapshot.ts.0;
                    if let Some(again) = held.get(random.random_range(0..held.len().max(1))).cloned() {
                        held.push(again);
                    }
                    held.push(if random.random_bool(0.3) { snapshot.clone() } else { snapshot });
                    for held in &held {
                        let reclaimed = reclaimed.load(Ordering::SeqCst);
                        assert!(reclaimed <= held.ts.0, "reclaimed up to {reclaimed} with a snapshot at {} held", held.ts);
                    }
                    while held.len() > 6 {
                        held.swap_remove(random.random_range(0..held.len()));
                    }
                }
            });
        }
    });
    assert_eq!(transactions.visible(), CommitTs(ALL + published.load(Ordering::SeqCst)));
    assert_eq!(acknowledged.load(Ordering::SeqCst) as u64, ALL, "everyone who waited was told");
    assert_eq!(transactions.counters().snapshots, 0);
    assert_eq!(transactions.oldest(), transactions.visible());
    let lsns: HashMap<_, _> = lsn_of.iter().map(|lsn| (lsn.load(Ordering::SeqCst), ())).collect();
    assert_eq!(lsns.len() as u64, ALL + 1, "every commit had a log record of its own");
}

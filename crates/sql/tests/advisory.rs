//! Advisory locks as the sessions of a process have them: what ends with a session, who waits without keeping others, how many there are.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Client, instance};
use sql::Instance;
use types::SqlState;

async fn until_waiting(instance: &Arc<Instance>, n: usize) {
    while instance.engine().status().transactions.waiting != n {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn value(client: &mut Client, text: &str) -> String {
    client.ok(text).await.rows[0][0].clone().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_gives_its_locks_back_after_its_transaction() {
    let (instance, _dir) = instance();
    let mut a = Client::new(&instance);
    a.ok("CREATE TABLE t (k int PRIMARY KEY)").await;
    a.ok("SELECT pg_advisory_lock(1), pg_advisory_lock(1), pg_advisory_lock_shared(2)").await;
    a.ok("BEGIN; INSERT INTO t VALUES (1); SELECT pg_advisory_xact_lock(3)").await;
    let waiting = Arc::clone(&instance);
    let b = tokio::spawn(async move {
        let mut b = Client::new(&waiting);
        b.ok("SELECT pg_advisory_lock(1), pg_advisory_lock(2), pg_advisory_lock(3)").await;
        // Nobody has the key any more.
        b.ok("SET lock_timeout = '1ms'; INSERT INTO t VALUES (1)").await;
        value(&mut b, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").await
    });
    until_waiting(&instance, 1).await;
    drop(a);
    assert_eq!(b.await.unwrap(), "3");
    let mut c = Client::new(&instance);
    assert_eq!(value(&mut c, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_held_is_warned_about() {
    let (instance, _dir) = instance();
    let mut a = Client::new(&instance);
    a.ok("BEGIN; SELECT pg_advisory_xact_lock(1)").await;
    a.ok("SELECT pg_advisory_unlock(1), pg_advisory_unlock_shared(1, 2)").await;
    let warnings =
        ["WARNING 01000 you don't own a lock of type ExclusiveLock", "WARNING 01000 you don't own a lock of type ShareLock"];
    assert_eq!(a.notices(), warnings);
    a.ok("SELECT count(pg_advisory_unlock(x)) FROM generate_series(1, 3000) AS x").await;
    assert_eq!(a.notices().len(), 1000, "as many as are kept");
}

/// There are two threads for queries here.
#[tokio::test(flavor = "multi_thread")]
async fn queries_that_wait_do_not_keep_others_waiting() {
    let (instance, _dir) = instance();
    let mut a = Client::new(&instance);
    a.ok("CREATE TABLE t (k int PRIMARY KEY, v int); INSERT INTO t SELECT x, x FROM generate_series(1, 100) AS x").await;
    a.ok("SELECT pg_advisory_lock(1)").await;
    let waiters: Vec<_> = (0..8)
        .map(|_| {
            let instance = Arc::clone(&instance);
            tokio::spawn(async move {
                let mut b = Client::new(&instance);
                let sum =
                    value(&mut b, "SELECT sum(v) FROM t WHERE pg_advisory_xact_lock_shared(1) IS NOT NULL AND v % 2 = 0").await;
                assert_eq!(sum, "2550");
            })
        })
        .collect();
    until_waiting(&instance, 8).await;
    assert_eq!(value(&mut a, "SELECT sum(v) FROM t WHERE v % 2 = 1").await, "2500");
    a.ok("SELECT pg_advisory_unlock(1)").await;
    for waiter in waiters {
        waiter.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_ends_the_wait_and_leaves_nothing_behind() {
    let (instance, _dir) = instance();
    let mut a = Client::new(&instance);
    a.ok("CREATE TABLE t (k int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1)").await;
    a.ok("SELECT pg_advisory_lock(1)").await;
    for text in ["SELECT pg_advisory_lock(1)", "SELECT v FROM t WHERE pg_advisory_lock(v) IS NOT NULL AND v + 0 = 1"] {
        let mut b = Client::new(&instance);
        let cancel = b.session.cancel();
        let b = tokio::spawn(async move { b.run(text).await });
        until_waiting(&instance, 1).await;
        cancel.set();
        assert_eq!(b.await.unwrap().unwrap_err().state, SqlState::QUERY_CANCELED, "{text}");
        until_waiting(&instance, 0).await;
    }
    a.ok("SELECT pg_advisory_unlock_all()").await;
    assert_eq!(value(&mut a, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_no_more_than_65536_of_them() {
    let (instance, _dir) = instance();
    let (mut a, mut b) = (Client::new(&instance), Client::new(&instance));
    a.ok("SELECT count(pg_advisory_lock(x)) FROM generate_series(1, 65536) AS x").await;
    for text in ["SELECT pg_advisory_lock(0)", "SELECT pg_try_advisory_xact_lock(1, 1)"] {
        let error = b.run(text).await.unwrap_err();
        assert_eq!((error.state, error.message.as_str()), (SqlState::OUT_OF_MEMORY, "out of shared memory"));
    }
    a.ok("SELECT pg_advisory_lock_shared(7)").await;
    a.ok("SELECT pg_advisory_unlock(9)").await;
    b.ok("SELECT pg_advisory_lock(0)").await;
    assert!(b.run("SELECT pg_advisory_lock(9)").await.is_err());
    a.ok("SELECT pg_advisory_unlock_all()").await;
    b.ok("SELECT pg_advisory_lock(9)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_need_not_be_waited_for() {
    let (instance, _dir) = instance();
    let (mut a, mut b) = (Client::new(&instance), Client::new(&instance));
    a.ok("CREATE TABLE t (k int PRIMARY KEY)").await;
    a.ok("SET synchronous_commit = false").await;
    for k in 0..20 {
        a.ok(&format!("INSERT INTO t VALUES ({k})")).await;
        assert_eq!(value(&mut b, "SELECT count(*) FROM t").await, (k + 1).to_string());
    }
    a.ok("BEGIN; SET LOCAL synchronous_commit = remote_apply; INSERT INTO t VALUES (20); COMMIT").await;
    assert_eq!(value(&mut a, "SHOW synchronous_commit").await, "off");
    assert!(a.run("SET synchronous_commit = sometimes").await.is_err());
}

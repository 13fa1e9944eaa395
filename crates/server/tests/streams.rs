//! Results on their way: back-pressure, cancelling, clients that vanish, stopping the server.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // it times how long a client waits

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Answer, Raw, Running, error, eventually, message, start, tags};
use server::Shutdown;
use tokio::net::TcpStream;
use tokio::sync::RwLock;

/// A million rows of about 110 bytes from nothing.
const MILLION: &str = "with d(x) as (values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) \
     select a.x, b.x, c.x, 'a hundred bytes or so, so that the result is far larger than any buffer on its way to the client' as t \
     from d a, d b, d c, d d, d e, d f";
/// So many rows to count that nobody waits for the end.
const ENDLESS: &str = "with d(x) as (values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) \
     select sum(a.x + b.x + c.x + d.x + e.x + f.x + g.x + h.x + i.x + j.x + k.x) \
     from d a, d b, d c, d d, d e, d f, d g, d h, d i, d j, d k";

/// Held alone by who measures the memory of the process, which all tests here share.
static MEMORY: RwLock<()> = RwLock::const_new(());

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn query(text: &str) -> Vec<u8> {
    message(b'Q', &[text.as_bytes(), b"\0"])
}

/// A session and what cancels it.
async fn with_key(running: &Running) -> (Raw<TcpStream>, Vec<u8>) {
    let mut raw = running.connect().await;
    raw.startup(3 << 16, &[("user", "postgres"), ("database", "postgres")]).await;
    let answers = raw.until_ready().await;
    let key = answers.iter().find(|answer| answer.tag == b'K').unwrap().body.clone();
    let packet = [&(8 + key.len() as u32).to_be_bytes()[..], &80_877_102u32.to_be_bytes(), &key].concat();
    (raw, packet)
}

async fn cancel(running: &Running, packet: &[u8]) {
    let mut raw = running.connect().await;
    raw.send(packet).await;
    assert_eq!(raw.answer().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_made_as_fast_as_it_is_read() {
    let _alone = MEMORY.write().await;
    let running = start().await;
    let mut raw = running.log_in().await;
    let before = resident_bytes();
    raw.send(&query(MILLION)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "a result of 110 MB that nobody reads took {grown} bytes");
    let (mut rows, mut last) = (0, None);
    while last.as_ref().is_none_or(|answer: &Answer| answer.tag != b'Z') {
        last = raw.answer().await;
        rows += usize::from(last.as_ref().unwrap().tag == b'D');
    }
    assert_eq!(rows, 1_000_000);
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 96 << 20, "a result of 110 MB took {grown} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_stops_rows_on_their_way() {
    let _shared = MEMORY.read().await;
    let running = start().await;
    for extended in [false, true] {
        let (mut raw, key) = with_key(&running).await;
        if extended {
            let parse = message(b'P', &[b"\0", MILLION.as_bytes(), b"\0\0\0"]);
            let rest = [message(b'B', &[b"\0\0\0\0\0\0\0\0"]), message(b'E', &[b"\0\0\0\0\0"]), message(b'S', &[])].concat();
            raw.send(&[parse, rest].concat()).await;
        } else {
            raw.send(&query(MILLION)).await;
        }
        let mut rows = 0;
        while rows < 1000 {
            rows += usize::from(raw.answer().await.unwrap().tag == b'D');
        }
        cancel(&running, &key).await;
        let answers = raw.until_ready().await;
        assert_eq!(error(&answers).field(b'C'), "57014");
        assert!(rows + answers.len() < 900_000, "it went on to the end");
        assert_eq!(tags(&raw.query("select 1").await), "TDCZ", "the session goes on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_stops_a_running_scan() {
    let _shared = MEMORY.read().await;
    let running = start().await;
    let (mut raw, key) = with_key(&running).await;
    raw.send(&query(ENDLESS)).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let asked = Instant::now();
    cancel(&running, &key).await;
    let answers = raw.until_ready().await;
    assert_eq!(error(&answers).field(b'C'), "57014");
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    cancel(&running, &key).await;
    assert_eq!(tags(&raw.query("select 1").await), "TDCZ", "a cancel of nothing is forgotten");
}

/// Between two of them nothing runs that would notice.
#[tokio::test(flavor = "multi_thread")]
async fn cancelling_stops_many_short_statements() {
    let _shared = MEMORY.read().await;
    let running = start().await;
    running.log_in().await.query("create table t (a integer primary key)").await;
    let parse = message(b'P', &[b"s\0insert into t values ($1)\0\0\0"]);
    let inserts = (0..40_000).map(|n: u32| {
        let n = n.to_string();
        let length = (n.len() as u32).to_be_bytes();
        let bind = message(b'B', &[b"\0s\0\0\0\0\x01", &length, n.as_bytes(), b"\0\0"]);
        [bind, message(b'E', &[b"\0\0\0\0\0"])].concat()
    });
    let pipeline = [parse, inserts.collect::<Vec<_>>().concat(), message(b'S', &[])].concat();
    for statements in [pipeline, query(&"set work_mem = '4MB';".repeat(40_000))] {
        let (mut raw, key) = with_key(&running).await;
        raw.send(&statements).await;
        // One that comes before the message has been read is for nobody.
        let (answers, ()) = tokio::join!(
            async {
                let mut kept = vec![];
                while kept.last().is_none_or(|answer: &Answer| answer.tag != b'Z') {
                    kept.extend(raw.answer().await.filter(|answer| matches!(answer.tag, b'E' | b'Z')));
                }
                kept
            },
            async {
                for _ in 0..20 {
                    cancel(&running, &key).await;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        );
        assert_eq!(error(&answers).field(b'C'), "57014");
        assert_eq!(raw.query("select count(*) from t").await[1].body, b"\0\x01\0\0\0\x010", "nothing of them is there");
    }
}

/// Whatever a cancel meets, also a commit that waits for the disk.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_to_be_cancelled_is_not_there() {
    let _shared = MEMORY.read().await;
    let running = start().await;
    let (mut raw, key) = with_key(&running).await;
    raw.query("create table t (a integer primary key)").await;
    let done = AtomicBool::new(false);
    let mut done_of = Vec::new();
    tokio::join!(
        async {
            for n in 0..600 {
                let statement = match n % 3 {
                    0 => format!("insert into t values ({n})"),
                    1 => format!("begin; insert into t values ({n}); commit"),
                    _ => format!("begin; insert into t values ({n})"),
                };
                let mut answers = raw.query(&statement).await;
                if n % 3 == 2 && !tags(&answers).contains('E') {
                    answers = raw.query("commit").await;
                }
                if tags(&answers).contains('E') {
                    assert_eq!(error(&answers).field(b'C'), "57014");
                } else {
                    done_of.push(n);
                }
                // It may be cancelled as well.
                while answers.last().unwrap().body != b"I" {
                    answers = raw.query("rollback").await;
                }
            }
            done.store(true, Ordering::Relaxed);
        },
        async {
            while !done.load(Ordering::Relaxed) {
                cancel(&running, &key).await;
            }
        }
    );
    let rows = running.client().await.query("select a from t order by a", &[]).await.unwrap();
    let found: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(found, done_of);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_wakes_a_statement_that_waits_for_a_row() {
    let _shared = MEMORY.read().await;
    let running = start().await;
    let mut holder = running.log_in().await;
    holder.query("create table t (a integer primary key, b integer)").await;
    holder.query("insert into t values (1, 1)").await;
    holder.query("begin").await;
    holder.query("update t set b = 2 where a = 1").await;
    let (mut waiter, key) = with_key(&running).await;
    waiter.send(&query("update t set b = 3 where a = 1")).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    cancel(&running, &key).await;
    assert_eq!(error(&waiter.until_ready().await).field(b'C'), "57014");
    holder.query("commit").await;
    let answers = waiter.query("select b from t").await;
    assert_eq!(answers[1].body, b"\0\x01\0\0\0\x012");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_vanishes_leaves_nothing_behind() {
    let _shared = MEMORY.read().await;
    let running = start().await;
    let mut other = running.log_in().await;
    other.query("create table t (a integer primary key)").await;
    let insert = "begin; insert into t values (1)";
    let endings: [(&str, Vec<u8>); 5] = [
        ("idle", vec![]),
        ("in the middle of a message", b"Q\0\0\0\x20select".to_vec()),
        ("while a scan runs", query(ENDLESS)),
        ("while rows are sent", query(MILLION)),
        ("in the middle of a COPY", [query("copy t from stdin"), message(b'd', &[b"7\n"])].concat()),
    ];
    for (what, last_words) in endings {
        for reset in [false, true] {
            eprintln!("{what}, {}", if reset { "reset" } else { "closed" });
            let mut raw = running.log_in().await;
            raw.query(insert).await;
            raw.send(&last_words).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            if reset {
                raw.stream.set_zero_linger().unwrap();
            }
            drop(raw);
            let vanished = Instant::now();
            eventually(what, || running.server.connections() == 1).await;
            assert!(vanished.elapsed() < Duration::from_secs(5), "{what}: {:?}", vanished.elapsed());
            assert_eq!(tags(&other.query("insert into t values (1)").await), "CZ", "{what}: the key is free");
            assert_eq!(tags(&other.query("delete from t").await), "CZ");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_vanishes_while_it_waits_for_a_row_does_not_wait_on() {
    let _shared = MEMORY.read().await;
    let running = start().await;
    let mut holder = running.log_in().await;
    holder.query("create table t (a integer primary key, b integer)").await;
    holder.query("insert into t values (1, 1), (2, 1)").await;
    holder.query("begin").await;
    holder.query("update t set b = 2 where a = 1").await;
    let mut waiter = running.log_in().await;
    waiter.query("begin").await;
    waiter.query("update t set b = 3 where a = 2").await;
    waiter.send(&query("update t set b = 3 where a = 1")).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(waiter);
    eventually("the waiter is gone", || running.server.connections() == 1).await;
    assert_eq!(tags(&holder.query("update t set b = 4 where a = 2").await), "CZ", "what the waiter held is free");
    assert_eq!(tags(&holder.query("commit").await), "CZ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fast_shutdown_ends_idle_sessions_and_lets_statements_finish() {
    let _shared = MEMORY.read().await;
    let running = start().await;
    let mut idle = running.log_in().await;
    let mut in_transaction = running.log_in().await;
    in_transaction.query("create table t (a integer)").await;
    in_transaction.query("begin; insert into t values (1)").await;
    let mut busy = running.log_in().await;
    busy.send(&query(MILLION)).await;
    assert_eq!(busy.answer().await.unwrap().tag, b'T');
    let Running { server, address, .. } = running;
    let stopping = tokio::spawn(server.shutdown(Shutdown::Fast, Duration::from_secs(50)));
    for raw in [&mut idle, &mut in_transaction] {
        let answers = raw.until_end().await;
        assert_eq!((error(&answers).field(b'S'), error(&answers).field(b'C')), ("FATAL".into(), "57P01".into()));
    }
    assert!(TcpStream::connect(address).await.is_err(), "nobody is accepted any more");
    let answers = busy.until_end().await;
    assert_eq!(answers.iter().filter(|answer| answer.tag == b'D').count(), 1_000_000, "the statement came to its end");
    assert_eq!(error(&answers).field(b'C'), "57P01");
    stopping.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_smart_shutdown_lets_transactions_finish() {
    let _shared = MEMORY.read().await;
    let running = start().await;
    let mut raw = running.log_in().await;
    raw.query("create table t (a integer)").await;
    raw.query("begin; insert into t values (1)").await;
    let mut idle = running.log_in().await;
    let Running { server, .. } = running;
    let stopping = tokio::spawn(server.shutdown(Shutdown::Smart, Duration::from_secs(50)));
    assert_eq!(error(&idle.until_end().await).field(b'C'), "57P01");
    assert_eq!(tags(&raw.query("insert into t values (2)").await), "CZ");
    raw.send(&query("commit")).await;
    assert_eq!(tags(&raw.until_end().await), "CZE");
    stopping.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_grace_statements_are_ended_too() {
    let _shared = MEMORY.read().await;
    let running = start().await;
    let mut busy = running.log_in().await;
    busy.send(&query(ENDLESS)).await;
    let mut stuck = running.log_in().await;
    stuck.send(&query(MILLION)).await; // And never reads.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let asked = Instant::now();
    running.server.shutdown(Shutdown::Fast, Duration::from_millis(300)).await;
    assert!(asked.elapsed() < Duration::from_secs(8), "{:?}", asked.elapsed());
    let answers = busy.until_end().await;
    assert_eq!(answers.last().unwrap().field(b'C'), "57P01");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_result_stays_as_it_was_whatever_its_transaction_does() {
    let _shared = MEMORY.read().await;
    let running = start().await;
    let mut client = running.client().await;
    client.batch_execute("create table t (k int primary key, v int)").await.unwrap();
    client.batch_execute("insert into t select i, 0 from generate_series(1, 30000) as s(i)").await.unwrap();
    let transaction = client.transaction().await.unwrap();
    transaction.execute("update t set v = 1 where k % 2 = 0", &[]).await.unwrap();
    let portal = transaction.bind("select k, v from t", &[]).await.unwrap();
    let mut rows = transaction.query_portal(&portal, 10).await.unwrap();
    transaction.execute("update t set v = 2", &[]).await.unwrap();
    transaction.execute("delete from t where k > 20000", &[]).await.unwrap();
    rows.extend(transaction.query_portal(&portal, 0).await.unwrap());
    let mut found: Vec<(i32, i32)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    found.sort_unstable();
    let expected: Vec<(i32, i32)> = (1..=30000).map(|k| (k, i32::from(k % 2 == 0))).collect();
    assert!(found == expected, "{} rows", found.len());
}

//! One thread serves several sessions: while one of them waits or works for long, the others are answered.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Client, instance};
use sql::Instance;

fn on_one_thread(test: impl Future<Output = ()> + Send + 'static) {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).thread_stack_size(sql::STACK_BYTES).enable_all().build().unwrap();
    runtime.block_on(async { tokio::spawn(test).await.unwrap() });
}

/// The longest time between two answers to a session that looks a row up, while `text` runs and how long that took.
async fn longest_pause(instance: &Arc<Instance>, client: &mut Client, text: &str) -> (Duration, Duration) {
    let over = Arc::new(AtomicBool::new(false));
    let mut probe = Client::new(instance);
    let is_over = Arc::clone(&over);
    let probing = tokio::spawn(async move {
        let (mut longest, mut last) = (Duration::ZERO, Instant::now());
        while !is_over.load(Ordering::SeqCst) {
            probe.ok("SELECT v FROM probe WHERE k = 1").await;
            longest = longest.max(last.elapsed());
            last = Instant::now();
            tokio::task::yield_now().await;
        }
        longest.max(last.elapsed())
    });
    tokio::time::sleep(Duration::from_millis(5)).await;
    let begun = Instant::now();
    client.ok(text).await;
    let took = begun.elapsed();
    over.store(true, Ordering::SeqCst);
    (probing.await.unwrap(), took)
}

#[test]
fn long_statements_do_not_keep_others_waiting() {
    on_one_thread(async {
        let (instance, _dir) = instance();
        let mut client = Client::new(&instance);
        client.ok("CREATE TABLE probe (k int PRIMARY KEY, v int); INSERT INTO probe VALUES (1, 1)").await;
        client.ok("CREATE TABLE parent (k int PRIMARY KEY)").await;
        client.ok("CREATE TABLE child (k int PRIMARY KEY, p int REFERENCES parent ON DELETE CASCADE, v int)").await;
        client.ok("INSERT INTO parent SELECT * FROM generate_series(1, 30000)").await;
        let values =
            |from: usize| (from..from + 20_000).map(|k| format!("({k}, {}, 0)", k % 2 + 1)).collect::<Vec<_>>().join(", ");
        let statements = [
            format!("INSERT INTO child VALUES {}", values(0)),
            "UPDATE child SET v = v + 1".into(),
            "BEGIN; UPDATE child SET p = p % 10 + 1; ROLLBACK".into(),
            "INSERT INTO child SELECT k, 1, 2 FROM child ON CONFLICT (k) DO UPDATE SET v = excluded.v + 1".into(),
            "MERGE INTO child USING (SELECT k AS m FROM child) s ON k = m WHEN MATCHED THEN UPDATE SET v = v + 1".into(),
            "DELETE FROM parent WHERE k < 3".into(),
        ];
        for text in &statements {
            let (pause, took) = longest_pause(&instance, &mut client, text).await;
            let shown: String = text.chars().take(60).collect();
            eprintln!("{took:8.0?} {pause:8.0?} {shown}");
            assert!(pause * 3 < took || pause < Duration::from_millis(50), "{shown}: a pause of {pause:?} in {took:?}");
        }
    });
}

#[test]
fn who_waits_for_a_row_keeps_nobody_waiting() {
    on_one_thread(async {
        let (instance, _dir) = instance();
        let mut holder = Client::new(&instance);
        holder.ok("CREATE TABLE t (k int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 0)").await;
        holder.ok("BEGIN").await;
        holder.ok("UPDATE t SET v = v + 1 WHERE k = 1").await;
        let waiting: Vec<_> = (0..20)
            .map(|_| {
                let mut client = Client::new(&instance);
                tokio::spawn(async move { client.ok("UPDATE t SET v = v + 1 WHERE k = 1").await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(waiting.iter().all(|client| !client.is_finished()));
        holder.ok("COMMIT").await;
        for client in waiting {
            client.await.unwrap();
        }
        assert_eq!(holder.value("SELECT v FROM t").await, "21");
    });
}

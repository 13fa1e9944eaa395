//! Foreign keys where several sessions write, in loads, after restarts and crashes: never a row without its target.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Client, instance, open};
use sql::Instance;
use types::SqlState;

const ORPHANS: &str = "SELECT count(*) FROM c LEFT JOIN p ON c.k = p.k WHERE p.k IS NULL AND c.k IS NOT NULL";

async fn tables(instance: &Arc<Instance>, action: &str) -> Client {
    let mut client = Client::new(instance);
    client.ok("CREATE TABLE p (k int PRIMARY KEY, u int UNIQUE, v int); INSERT INTO p VALUES (1, 10, 0), (2, 20, 0)").await;
    client
        .ok(&format!("CREATE TABLE c (id int PRIMARY KEY, k int REFERENCES p {action}, u int REFERENCES p (u) {action})"))
        .await;
    client
}

/// What a statement gives that waits until `other` has ended its transaction so.
async fn after(mut waits: Client, statement: &'static str, other: &mut Client, end: &str) -> (Client, Option<SqlState>) {
    let waiting = tokio::spawn(async move {
        let outcome = waits.run(statement).await;
        (waits, outcome.err().map(|error| error.state))
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!waiting.is_finished(), "{statement} waits");
    other.ok(end).await;
    waiting.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_second_sees_what_the_first_has_done() {
    let violation = Some(SqlState::FOREIGN_KEY_VIOLATION);
    for (first, second, end, outcome) in [
        ("DELETE FROM p WHERE k = 1", "INSERT INTO c VALUES (1, 1)", "COMMIT", violation),
        ("DELETE FROM p WHERE k = 1", "INSERT INTO c VALUES (1, 1)", "ROLLBACK", None),
        ("INSERT INTO c VALUES (1, 1)", "DELETE FROM p WHERE k = 1", "COMMIT", violation),
        ("INSERT INTO c VALUES (1, 1)", "DELETE FROM p WHERE k = 1", "ROLLBACK", None),
        ("UPDATE p SET u = 11 WHERE u = 10", "INSERT INTO c VALUES (1, NULL, 10)", "COMMIT", violation),
        ("INSERT INTO c VALUES (1, NULL, 10)", "UPDATE p SET u = 11 WHERE u = 10", "COMMIT", violation),
        ("INSERT INTO c VALUES (1, NULL, 10)", "DELETE FROM p WHERE k = 1", "COMMIT", violation),
        ("UPDATE c SET k = 1 WHERE id = 0", "UPDATE p SET k = 5 WHERE k = 1", "COMMIT", violation),
        ("UPDATE p SET k = 5 WHERE k = 1", "UPDATE c SET k = 1 WHERE id = 0", "COMMIT", violation),
    ] {
        let (instance, _dir) = instance();
        let mut one = tables(&instance, "").await;
        one.ok("INSERT INTO c VALUES (0, 2, 20)").await;
        one.ok(&format!("BEGIN; {first}")).await;
        let (_, found) = after(Client::new(&instance), second, &mut one, end).await;
        assert_eq!(found, outcome, "{second} after {first} and {end}");
        assert_eq!(one.value(ORPHANS).await, "0");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_refer_to_the_same_row_do_not_wait_for_each_other() {
    let (instance, _dir) = instance();
    let (mut one, mut two) = (tables(&instance, "").await, Client::new(&instance));
    one.ok("BEGIN; INSERT INTO c VALUES (1, 1, 10)").await;
    two.ok("SET lock_timeout = 1").await;
    two.ok("INSERT INTO c VALUES (2, 1, 10)").await;
    two.ok("UPDATE p SET v = v + 1 WHERE k = 1").await;
    one.ok("INSERT INTO c VALUES (3, 1, 10); COMMIT").await;
    two.ok("BEGIN; UPDATE p SET v = v + 1 WHERE k = 1").await;
    one.ok("SET lock_timeout = 1; INSERT INTO c VALUES (4, 1, 10)").await;
    two.ok("COMMIT").await;
    assert_eq!(one.value("SELECT count(*) FROM c").await, "4");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cascade_reaches_what_was_committed_while_it_waited() {
    let (instance, _dir) = instance();
    let mut one = tables(&instance, "ON DELETE CASCADE").await;
    one.ok("BEGIN; INSERT INTO c VALUES (1, 1, NULL)").await;
    let (mut two, found) = after(Client::new(&instance), "DELETE FROM p WHERE k = 1", &mut one, "COMMIT").await;
    assert_eq!(found, None);
    assert_eq!(two.value("SELECT count(*) FROM c").await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deferred_check_sees_what_others_have_committed_until_then() {
    let (instance, _dir) = instance();
    let mut one = tables(&instance, "DEFERRABLE INITIALLY DEFERRED").await;
    let mut two = Client::new(&instance);
    one.ok("BEGIN; DELETE FROM p WHERE k = 1").await;
    two.ok("INSERT INTO c VALUES (1, 1, NULL)").await;
    assert_eq!(one.error("COMMIT").await.state, SqlState::FOREIGN_KEY_VIOLATION);
    assert_eq!(one.value("SELECT count(*) FROM p").await, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn repeatable_read_fails_where_its_snapshot_is_not_what_there_is() {
    let (instance, _dir) = instance();
    let mut one = tables(&instance, "ON DELETE CASCADE").await;
    let mut two = Client::new(&instance);
    // The target has gone since, and has come since.
    one.ok("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM p").await;
    two.ok("DELETE FROM p WHERE k = 1; INSERT INTO p VALUES (3, 30)").await;
    assert_eq!(one.error("INSERT INTO c VALUES (1, 1, NULL)").await.state, SqlState::SERIALIZATION_FAILURE);
    one.ok("ROLLBACK; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM p").await;
    two.ok("INSERT INTO p VALUES (4, 40)").await;
    assert_eq!(one.error("INSERT INTO c VALUES (1, 4, NULL)").await.state, SqlState::FOREIGN_KEY_VIOLATION);
    // A row has come since that would have to be removed.
    one.ok("ROLLBACK; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM p").await;
    two.ok("INSERT INTO c VALUES (2, 2, NULL)").await;
    assert_eq!(one.error("DELETE FROM p WHERE k = 2").await.state, SqlState::SERIALIZATION_FAILURE);
    one.ok("ROLLBACK").await;
    assert_eq!(one.value(ORPHANS).await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn there_is_never_an_orphan() {
    for action in ["", "ON DELETE CASCADE ON UPDATE CASCADE", "ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED"] {
        let (instance, dir) = instance();
        let mut client = tables(&instance, action).await;
        let mut writers = Vec::new();
        for writer in 0..4u32 {
            let instance = Arc::clone(&instance);
            writers.push(tokio::spawn(async move {
                let mut client = Client::new(&instance);
                let mut seed = writer * 7919 + 17;
                let mut done = 0;
                for n in 0..150 {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let (k, id) = (seed >> 8 & 7, writer * 1000 + n);
                    let statement = match seed >> 20 & 7 {
                        0 | 1 => format!("INSERT INTO p VALUES ({k}, {k}0)"),
                        2 => format!("DELETE FROM p WHERE k = {k}"),
                        3 => format!("UPDATE p SET k = k + 8 WHERE k = {k}"),
                        4 => format!("BEGIN; INSERT INTO c VALUES ({id}, {k}); SELECT count(*) FROM c; COMMIT"),
                        5 => format!("UPDATE c SET k = {k} WHERE id % 5 = {}", n % 5),
                        _ => format!("INSERT INTO c VALUES ({id}, {k}, {k}0)"),
                    };
                    match client.run(&statement).await {
                        Ok(_) => done += 1,
                        Err(error) => {
                            let expected = ["23503", "23505", "40P01"];
                            assert!(expected.contains(&error.state.to_string().as_str()), "{statement}: {error:?}");
                            let _ = client.run("ROLLBACK").await;
                        }
                    }
                    if n % 50 == 0 {
                        tokio::task::block_in_place(|| instance.engine().merge(None)).unwrap();
                    }
                }
                done
            }));
        }
        let mut done = 0;
        for writer in writers {
            done += writer.await.unwrap();
        }
        assert!(done > 100, "{done} statements succeeded");
        assert_eq!(client.value(ORPHANS).await, "0", "{action}");
        let by_unique = "SELECT count(*) FROM c LEFT JOIN p ON c.u = p.u WHERE p.u IS NULL AND c.u IS NOT NULL";
        assert_eq!(client.value(by_unique).await, "0", "{action}");
        assert!(sql::check(&instance).unwrap().is_empty());
        drop(client);
        instance.close().unwrap();
        drop(instance);
        let instance = open(dir.path());
        let mut client = Client::new(&instance);
        assert_eq!(client.error("INSERT INTO c VALUES (-1, 77)").await.state, SqlState::FOREIGN_KEY_VIOLATION);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_into_segments_is_looked_at_when_it_ends() {
    let (instance, _dir) = instance();
    let mut client = tables(&instance, "").await;
    let load = |k: &str, u: &str| format!("INSERT INTO c SELECT i, {k}, {u} FROM generate_series(1, 70000) AS g(i)");
    let error = client.error(&load("i % 2 + 1", "CASE WHEN i = 69000 THEN 30 END")).await;
    assert_eq!(error.fields.detail.as_deref(), Some("Key (u)=(30) is not present in table \"p\"."));
    client.ok(&load("i % 2 + 1", "20")).await;
    client.error("DELETE FROM p WHERE k = 1").await;
    // More keys than are locked one by one.
    client.ok("INSERT INTO p SELECT i, i * 10 FROM generate_series(3, 80000) AS g(i)").await;
    client.ok("CREATE TABLE many (k int REFERENCES p, next int)").await;
    client.ok("INSERT INTO many SELECT i, i FROM generate_series(1, 70000) AS g(i)").await;
    client.error("INSERT INTO many SELECT i, i FROM generate_series(20000, 90000) AS g(i)").await;
    assert_eq!(client.value("SELECT count(*) FROM many").await, "70000");
    // Rows of one load may refer to each other.
    client.ok("CREATE TABLE tree (id int PRIMARY KEY, parent int REFERENCES tree)").await;
    client.ok("INSERT INTO tree SELECT i, i % 70000 + 1 FROM generate_series(1, 70000) AS g(i)").await;
    client.error("DELETE FROM tree WHERE id = 7").await;
    client.ok("ALTER TABLE many ADD FOREIGN KEY (next) REFERENCES tree").await;
    assert_eq!(client.error("DELETE FROM tree").await.state, SqlState::FOREIGN_KEY_VIOLATION);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_made_before_a_foreign_key_knows_it() {
    let (instance, _dir) = instance();
    let (mut one, mut two) = (Client::new(&instance), Client::new(&instance));
    one.ok("CREATE TABLE p (k int PRIMARY KEY); CREATE TABLE c (k int); INSERT INTO p VALUES (1), (2)").await;
    two.ok("PREPARE gone AS DELETE FROM p WHERE k = $1; PREPARE more AS INSERT INTO c VALUES ($1); EXECUTE more(1)").await;
    one.ok("BEGIN; ALTER TABLE c ADD FOREIGN KEY (k) REFERENCES p").await;
    let (mut two, found) = after(two, "EXECUTE gone(1)", &mut one, "COMMIT").await;
    assert_eq!(found, Some(SqlState::FOREIGN_KEY_VIOLATION));
    assert_eq!(two.error("EXECUTE more(3)").await.state, SqlState::FOREIGN_KEY_VIOLATION);
    two.ok("EXECUTE gone(2)").await;
}

//! Indexes and constraints beside everything else: loads, merges, restarts, crashes, sessions that write at the same time, damage.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::{Client, instance, login, open};
use engine::{Begin, Change};
use sql::{Instance, Session};
use types::{Key, SqlState, TableId};

const DEFINITION: &str = "CREATE TABLE t (k int PRIMARY KEY, a int UNIQUE, b text, c numeric(8,2), d date);
    CREATE INDEX t_b ON t (b DESC, c NULLS FIRST);
    CREATE INDEX t_part ON t (d, a) WHERE c > 5;
    CREATE UNIQUE INDEX t_lower ON t (lower(b), k)";

fn findings(instance: &Arc<Instance>) -> Vec<String> {
    sql::check(instance).unwrap().into_iter().map(|finding| format!("{}: {}", finding.place, finding.what)).collect()
}

#[track_caller]
fn is_whole(instance: &Arc<Instance>) {
    assert_eq!(findings(instance), [""; 0]);
}

/// What a killed process leaves: the files as they are now.
fn copy_of(dir: &Path) -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        for entry in from.read_dir().unwrap() {
            let entry = entry.unwrap();
            let to = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                std::fs::create_dir_all(&to).unwrap();
                copy(&entry.path(), &to);
            } else {
                std::fs::copy(entry.path(), to).unwrap();
            }
        }
    }
    let image = tempfile::tempdir().unwrap();
    copy(dir, image.path());
    image
}

/// Files below a folder.
fn files(folder: &Path) -> usize {
    let entries = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}

fn table(instance: &Arc<Instance>, name: &str) -> Arc<catalog::Table> {
    Arc::clone(instance.engine().catalog().tables().find(|table| table.name == name).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_follow_their_rows_through_loads_merges_crashes_and_restarts() {
    let (instance, dir) = instance();
    let mut c = Client::new(&instance);
    c.ok(DEFINITION).await;
    // More than go row by row: straight into segments, indexes too.
    let some = |from: i32, to: i32| {
        format!(
            "INSERT INTO t SELECT i, i * 7, CASE WHEN i % 3 = 0 THEN NULL ELSE 'b' || i % 100 END, (i % 10)::numeric,
             date '2024-01-01' + i % 50 FROM generate_series({from}, {to}) AS g(i)"
        )
    };
    c.ok(&some(1, 70_000)).await;
    is_whole(&instance);
    for text in [
        "UPDATE t SET a = -a WHERE k <= 500",
        "UPDATE t SET c = 9, b = 'B' WHERE k BETWEEN 400 AND 900",
        "UPDATE t SET k = k + 1000000 WHERE k BETWEEN 800 AND 1200",
        "DELETE FROM t WHERE k BETWEEN 2000 AND 2500",
        "BEGIN; DELETE FROM t; ROLLBACK",
        "BEGIN; SAVEPOINT s; UPDATE t SET a = a + 1 WHERE k = 1; ROLLBACK TO s; UPDATE t SET c = 0 WHERE k = 1; COMMIT",
        "INSERT INTO t SELECT i, i * 7, 'new', 1, NULL FROM generate_series(2000, 2100) AS g(i)",
    ] {
        c.ok(text).await;
    }
    is_whole(&instance);
    let id = table(&instance, "t").id;
    tokio::task::block_in_place(|| instance.engine().merge(Some(id))).unwrap();
    is_whole(&instance);
    c.ok("UPDATE t SET a = a - 1, b = 'after' WHERE k BETWEEN 10 AND 300").await;

    let killed = copy_of(dir.path());
    let recovered = open(killed.path());
    is_whole(&recovered);
    let mut r = Client::new(&recovered);
    assert_eq!(r.value("SELECT count(*) FROM t").await, c.value("SELECT count(*) FROM t").await);
    let error = r.error("INSERT INTO t VALUES (-1, 21000)").await;
    assert_eq!(error.fields.detail.as_deref(), Some("Key (a)=(21000) already exists."));
    recovered.close().unwrap();

    instance.engine().checkpoint().unwrap();
    drop(c);
    instance.close().unwrap();
    drop(instance);
    let instance = open(dir.path());
    is_whole(&instance);
    let mut c = Client::new(&instance);
    c.error("INSERT INTO t VALUES (-1, 21000)").await;
    c.ok("REINDEX TABLE t").await;
    is_whole(&instance);
    c.ok("TRUNCATE t").await;
    c.ok(&some(1, 10)).await;
    is_whole(&instance);
    c.ok("DROP TABLE t").await;
    assert_eq!(instance.engine().catalog().stored_tables().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_into_segments_finds_what_is_not_unique() {
    let (instance, _dir) = instance();
    let mut c = Client::new(&instance);
    c.ok("CREATE TABLE t (k int, a int UNIQUE, b int CHECK (b < 70000)); INSERT INTO t VALUES (0, 69000, 0)").await;
    let load = |a: &str, b: &str| format!("INSERT INTO t SELECT i, {a}, {b} FROM generate_series(1, 70000) AS g(i)");
    // Within the load, and with a row that was there.
    for (a, b, state, detail) in [
        ("i % 68000 + 100000", "i - 1", SqlState::UNIQUE_VIOLATION, None),
        ("i", "i - 1", SqlState::UNIQUE_VIOLATION, Some("Key (a)=(69000) already exists.")),
        ("-i", "i", SqlState::CHECK_VIOLATION, Some("Failing row contains (70000, -70000, 70000).")),
    ] {
        let error = c.error(&load(a, b)).await;
        assert_eq!((error.state, error.fields.table.as_deref()), (state, Some("t")), "{error:?}");
        if let Some(detail) = detail {
            assert_eq!(error.fields.detail.as_deref(), Some(detail));
        }
        assert_eq!(c.value("SELECT count(*) FROM t").await, "1");
        is_whole(&instance);
    }
    c.ok(&load("-i", "i - 1")).await;
    is_whole(&instance);
    c.ok("CREATE UNIQUE INDEX t_k ON t (k)").await;
    is_whole(&instance);
    let error = c.error("CREATE UNIQUE INDEX t_mod ON t ((k % 69000))").await;
    assert_eq!(error.message, "could not create unique index \"t_mod\"");
    is_whole(&instance);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_insert_the_same_value_wait_for_each_other() {
    for (end, outcome) in [("COMMIT", Some("Key (a)=(1) already exists.")), ("ROLLBACK", None)] {
        let (instance, _dir) = instance();
        let (mut one, mut two) = (Client::new(&instance), Client::new(&instance));
        one.ok("CREATE TABLE t (k int PRIMARY KEY, a int UNIQUE)").await;
        one.ok("BEGIN; INSERT INTO t VALUES (1, 1)").await;
        let waiting = tokio::spawn(async move { two.run("INSERT INTO t VALUES (2, 1)").await });
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!waiting.is_finished(), "it waits for the other's end");
        one.ok(end).await;
        let result = waiting.await.unwrap();
        assert_eq!(result.err().and_then(|error| error.fields.detail).as_deref(), outcome);
        is_whole(&instance);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_made_waits_for_writers_and_they_for_it() {
    let (instance, _dir) = instance();
    let (mut one, mut two) = (Client::new(&instance), Client::new(&instance));
    one.ok("CREATE TABLE t (k int PRIMARY KEY, a int); INSERT INTO t VALUES (1, 1)").await;
    two.ok("PREPARE add AS INSERT INTO t VALUES ($1, $2); EXECUTE add(2, 2)").await;

    two.ok("BEGIN; EXECUTE add(3, 3)").await;
    let making = tokio::spawn(async move {
        one.ok("BEGIN; CREATE UNIQUE INDEX t_a ON t (a)").await;
        one
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!making.is_finished(), "it waits for writers");
    two.ok("COMMIT").await;
    let mut one = making.await.unwrap();

    // Who reads goes on; who writes waits, and finds the index then.
    assert_eq!(two.value("SELECT count(*) FROM t").await, "3");
    let writing = tokio::spawn(async move { two.run("EXECUTE add(4, 3)").await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!writing.is_finished(), "it waits for the index");
    one.ok("COMMIT").await;
    assert_eq!(writing.await.unwrap().unwrap_err().state, SqlState::UNIQUE_VIOLATION);
    is_whole(&instance);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolled_back_index_leaves_nothing() {
    let (instance, dir) = instance();
    let mut c = Client::new(&instance);
    c.ok("CREATE TABLE t (k int PRIMARY KEY, a int); INSERT INTO t SELECT i, i FROM generate_series(1, 70000) AS g(i)").await;
    instance.engine().pack().unwrap();
    let before = (table(&instance, "t"), files(&dir.path().join("data")));
    c.ok("BEGIN; CREATE INDEX t_a ON t (a); SAVEPOINT s; ALTER TABLE t ADD UNIQUE (a); ROLLBACK").await;
    assert_eq!(table(&instance, "t"), before.0);
    assert_eq!(instance.engine().catalog().stored_tables().count(), 1);
    c.ok("INSERT INTO t VALUES (0, 1)").await;
    is_whole(&instance);
    let killed = copy_of(dir.path());
    let recovered = open(killed.path());
    assert_eq!(recovered.engine().catalog().stored_tables().count(), 1);
    assert_eq!(files(&killed.path().join("data")), before.1, "recovery removes the files of what was never committed");
    is_whole(&recovered);
}

/// Changes an index behind the engine's back.
fn damage(instance: &Arc<Instance>, index: TableId, key: &Key) {
    let mut transaction = instance.engine().begin(Begin::default());
    transaction.begin_statement();
    transaction.modify(index, key, &mut |_| Ok(Change::Delete)).unwrap();
    transaction.commit().unwrap().wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_index_is_found_and_repaired() {
    let (instance, _dir) = instance();
    let mut c = Client::new(&instance);
    c.ok(DEFINITION).await;
    c.ok("INSERT INTO t SELECT i, i, 'b' || i, i, NULL FROM generate_series(1, 100) AS g(i)").await;
    is_whole(&instance);
    let definition = table(&instance, "t");
    let index = definition.indexes.iter().find(|index| index.name == "t_b").unwrap();
    let storage = index.storage(&definition);
    let key = storage.key_from(&[
        types::Datum::Text("b7".into()),
        types::Datum::Numeric(types::Decimal { unscaled: 700, scale: 2 }),
        types::Datum::Int4(7),
    ]);
    damage(&instance, index.id, &key);
    let unique = definition.indexes.iter().find(|index| index.name == "t_a_key").unwrap();
    let key = unique.storage(&definition).key_from(&[types::Datum::Int4(9), types::Datum::Null]);
    damage(&instance, unique.id, &key);
    assert_eq!(findings(&instance), ["index t_a_key: lacks the entry of row (9)", "index t_b: lacks the entry of row (7)"]);
    // The row cannot be changed as if nothing were wrong.
    let error = c.error("UPDATE t SET b = 'x' WHERE k = 7").await;
    assert_eq!((error.state.to_string().as_str(), error.message.as_str()), ("XX002", "index \"t_b\" lacks the entry of a row"));

    let found = sql::check(&instance).unwrap();
    assert_eq!(sql::repair(&instance, &found).await.unwrap(), ["t_a_key", "t_b"]);
    is_whole(&instance);
    c.ok("UPDATE t SET b = 'x' WHERE k = 7").await;
    c.error("INSERT INTO t VALUES (200, 9)").await;
    is_whole(&instance);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_row_found_by_a_unique_index_looks_at_it_again() {
    for (first, second, tag) in [
        ("UPDATE t SET a = 2 WHERE a = 1", "UPDATE t SET b = b + 1 WHERE a = 1", "UPDATE 0"),
        ("UPDATE t SET b = 5 WHERE a = 1", "UPDATE t SET b = b + 1 WHERE a = 1", "UPDATE 1"),
        ("UPDATE t SET b = 5 WHERE a = 1", "DELETE FROM t WHERE a = 1 AND b = 0", "DELETE 0"),
        ("DELETE FROM t WHERE a = 1", "UPDATE t SET b = 7 WHERE a = 1", "UPDATE 0"),
    ] {
        let (instance, _dir) = instance();
        let (mut one, mut two) = (Client::new(&instance), Client::new(&instance));
        one.ok("CREATE TABLE t (k int PRIMARY KEY, a int UNIQUE, b int); INSERT INTO t VALUES (1, 1, 0), (3, 3, 0)").await;
        one.ok(&format!("BEGIN; {first}")).await;
        let waiting = tokio::spawn(async move { two.ok(second).await.tag });
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!waiting.is_finished(), "{second} waits");
        one.ok("COMMIT").await;
        assert_eq!(waiting.await.unwrap(), tag, "{second} after {first}");
        is_whole(&instance);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rot_in_an_index_is_repaired_from_the_table() {
    let (instance, dir) = instance();
    let mut c = Client::new(&instance);
    c.ok("CREATE TABLE t (k int PRIMARY KEY, a int UNIQUE); INSERT INTO t SELECT i, -i FROM generate_series(1, 70000) AS g(i)")
        .await;
    let index = table(&instance, "t").indexes[0].id;
    instance.engine().checkpoint().unwrap();
    drop(c);
    instance.close().unwrap();
    drop(instance);
    let folder = dir.path().join("data").join(index.0.to_string());
    let file = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|e| e == "parquet"));
    let file = file.unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();

    let instance = open(dir.path());
    let found = sql::check(&instance).unwrap();
    assert!(!found.is_empty() && found.iter().all(|finding| finding.table == Some(index)), "{found:?}");
    assert_eq!(sql::repair(&instance, &found).await.unwrap(), ["t_a_key"]);
    is_whole(&instance);
    let mut c = Client::new(&instance);
    assert_eq!(c.value("SELECT k FROM t WHERE a = -69999").await, "69999");
    assert_eq!(c.error("INSERT INTO t VALUES (0, -69999)").await.state, SqlState::UNIQUE_VIOLATION);
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_columns_are_computed_on_every_path_and_survive() {
    let (instance, dir) = instance();
    let mut c = Client::new(&instance);
    // One that the row driver knows, one that it does not, one that is a key.
    c.ok("CREATE TABLE t (a int, b int GENERATED ALWAYS AS (a * 2) STORED UNIQUE, s text,
            u text GENERATED ALWAYS AS (upper(s) || a) STORED, k int GENERATED ALWAYS AS (a % 1000000) STORED PRIMARY KEY);
          CREATE INDEX t_u ON t (u)")
        .await;
    const WRONG: &str = "SELECT count(*) FROM t WHERE b <> a * 2 OR u IS DISTINCT FROM upper(s) || a OR k <> a % 1000000";
    for text in [
        "INSERT INTO t (a, s) VALUES (1, 'x'), (2, NULL)",
        "INSERT INTO t (a, s) SELECT i, 's' || i FROM generate_series(3, 70000) AS g(i)",
        "INSERT INTO t (a, s) VALUES (1, 'y') ON CONFLICT (k) DO UPDATE SET s = excluded.s, a = 1000001",
        "UPDATE t SET s = s || '!' WHERE k = 5",
        "UPDATE t SET a = a + 1000000 WHERE k BETWEEN 10 AND 20",
        "UPDATE t SET a = 80000 WHERE k = 30",
        "MERGE INTO t USING (VALUES (40), (90000)) v (x) ON k = x WHEN MATCHED THEN UPDATE SET a = 90001
            WHEN NOT MATCHED THEN INSERT (a, s) VALUES (x, 'new')",
    ] {
        c.ok(text).await;
        assert_eq!(c.value(WRONG).await, "0", "{text}");
    }
    is_whole(&instance);
    let appended = {
        let mut session = Session::new(Arc::clone(&instance), login("postgres")).unwrap();
        let mut append = session.append(None, "t", &[]).unwrap();
        let a: arrow::array::ArrayRef = Arc::new(arrow::array::Int32Array::from(vec![200_000, 200_001]));
        let s: arrow::array::ArrayRef = Arc::new(arrow::array::StringArray::from(vec![Some("q"), None]));
        let batch = arrow::array::RecordBatch::try_from_iter_with_nullable([("a", a, true), ("s", s, true)]).unwrap();
        append.add(&batch).await.unwrap();
        let appended = append.finish().await.unwrap();
        session.finish_implicit().await.unwrap();
        appended
    };
    assert_eq!((appended, c.value(WRONG).await.as_str()), (2, "0"));

    let killed = copy_of(dir.path());
    drop(c);
    instance.engine().checkpoint().unwrap();
    instance.close().unwrap();
    drop(instance);
    for (recovered, name) in [(open(killed.path()), "killed"), (open(dir.path()), "closed")] {
        is_whole(&recovered);
        let mut r = Client::new(&recovered);
        assert_eq!(r.value("SELECT u FROM t WHERE k = 200000").await, "Q200000", "{name}");
        r.ok("INSERT INTO t (a, s) VALUES (300000, 'after')").await;
        assert_eq!(r.value(WRONG).await, "0", "{name}");
        assert_eq!(r.error("INSERT INTO t (a, b) VALUES (1, 2)").await.state, SqlState::GENERATED_ALWAYS);
        r.error("INSERT INTO t (a) VALUES (300000)").await;
        is_whole(&recovered);
        drop(r);
        recovered.close().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deferrable_keys_survive_and_are_looked_at_late() {
    let (instance, dir) = instance();
    let mut c = Client::new(&instance);
    c.ok("CREATE TABLE t (k int PRIMARY KEY DEFERRABLE, u int UNIQUE DEFERRABLE INITIALLY DEFERRED, s text);
          INSERT INTO t SELECT i, i, 's' || i FROM generate_series(1, 70000) AS g(i)")
        .await;
    let turn = "UPDATE t SET k = k + 1, u = 139001 - u WHERE k > 69000";
    let twice = "BEGIN; INSERT INTO t VALUES (0, 5, 'twice'); COMMIT";
    c.ok(turn).await;
    is_whole(&instance);
    let id = table(&instance, "t").id;
    tokio::task::block_in_place(|| instance.engine().merge(Some(id))).unwrap();
    c.ok("UPDATE t SET k = k + 1 WHERE k > 69990").await;
    is_whole(&instance);
    // A transaction that owes something is not committed by a kill.
    c.ok("BEGIN; INSERT INTO t VALUES (-1, 7, 'owes')").await;
    let killed = copy_of(dir.path());
    assert_eq!(c.error("COMMIT").await.state, SqlState::UNIQUE_VIOLATION);
    drop(c);
    instance.engine().checkpoint().unwrap();
    instance.close().unwrap();
    drop(instance);
    for recovered in [open(killed.path()), open(dir.path())] {
        is_whole(&recovered);
        let mut r = Client::new(&recovered);
        assert_eq!(
            r.value("SELECT count(*) || ' ' || count(DISTINCT k) || ' ' || count(DISTINCT u) FROM t").await,
            "70000 70000 70000"
        );
        assert_eq!(r.error(twice).await.fields.detail.as_deref(), Some("Key (u)=(5) already exists."));
        r.ok("ROLLBACK").await;
        assert_eq!(r.error("INSERT INTO t VALUES (7, -7)").await.state, SqlState::UNIQUE_VIOLATION);
        r.ok("REINDEX TABLE t").await;
        is_whole(&recovered);
        drop(r);
        recovered.close().unwrap();
    }
}

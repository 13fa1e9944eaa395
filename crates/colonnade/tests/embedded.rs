//! The library as a program uses it.

use colonnade::{Database, Error, Value};

#[test]
fn transactions_span_calls() {
    let database = Database::in_memory().unwrap();
    let mut one = database.connect().unwrap();
    let mut two = database.connect().unwrap();
    one.execute("CREATE TABLE t (a int PRIMARY KEY, b text)").unwrap();
    one.execute("BEGIN").unwrap();
    assert_eq!(one.execute("INSERT INTO t VALUES (1, 'one'), (2, NULL)").unwrap(), 2);
    assert!(two.query("SELECT * FROM t").unwrap().is_empty());
    one.execute("COMMIT").unwrap();
    let rows = two.query("SELECT a, b FROM t ORDER BY a").unwrap();
    assert_eq!(rows.columns().iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((rows[0][0].as_i64(), rows[0][1].as_str()), (Some(1), Some("one")));
    assert!(rows[1][1].is_null());
}

#[test]
fn prepared_statements_take_values_of_any_fitting_type() {
    let database = Database::in_memory().unwrap();
    let mut connection = database.connect().unwrap();
    connection.execute("CREATE TABLE t (a bigint PRIMARY KEY, b numeric(6,2), c bytea, d date)").unwrap();
    let insert = connection.prepare("INSERT INTO t VALUES ($1, $2, $3, $4)").unwrap();
    let values = [Value::from(7), Value::from(1.005), Value::from(vec![1u8, 2]), Value::from("2024-02-29")];
    assert_eq!(connection.execute_prepared(&insert, &values).unwrap(), 1);
    let select = connection.prepare("SELECT b, c, d FROM t WHERE a = $1").unwrap();
    let rows = connection.query_prepared(&select, &[Value::from("7")]).unwrap();
    assert_eq!(rows[0].values().iter().map(Value::to_string).collect::<Vec<_>>(), ["1.01", "\\x0102", "2024-02-29"]);
    let wrong: Error =
        connection.execute_prepared(&insert, &[Value::from(true), Value::NULL, Value::NULL, Value::NULL]).unwrap_err();
    assert_eq!(wrong.state.as_str(), "42804");
    assert_eq!(connection.execute_prepared(&insert, &[]).unwrap_err().state.as_str(), "08P01");
}

#[test]
fn results_come_as_arrow_too() {
    let database = Database::in_memory().unwrap();
    let mut connection = database.connect().unwrap();
    connection.execute("CREATE TABLE t (a int PRIMARY KEY, b text)").unwrap();
    let empty = connection.query_arrow("SELECT * FROM t").unwrap();
    assert_eq!((empty.len(), empty[0].num_rows(), empty[0].num_columns()), (1, 0, 2));
    connection.execute("INSERT INTO t SELECT x, 'row ' || x FROM generate_series(1, 10000) AS g (x)").unwrap();
    let batches = connection.query_arrow("SELECT a, b FROM t").unwrap();
    assert_eq!(batches.iter().map(|b| b.num_rows()).sum::<usize>(), 10000);
    let one = connection.query_arrow("SELECT b FROM t WHERE a = 5000").unwrap();
    assert_eq!((one[0].num_rows(), one[0].schema().field(0).name().as_str()), (1, "b"));
    let shown = connection.query_arrow("SHOW work_mem").unwrap();
    assert_eq!(shown[0].num_rows(), 1);
}

#[test]
fn a_failed_call_leaves_no_trace() {
    let database = Database::in_memory().unwrap();
    let mut connection = database.connect().unwrap();
    connection.execute("CREATE TABLE t (a int PRIMARY KEY)").unwrap();
    let error = connection.execute("INSERT INTO t VALUES (1); INSERT INTO t VALUES (1)").unwrap_err();
    assert_eq!(error.state.as_str(), "23505");
    assert_eq!(connection.query("SELECT count(*) FROM t").unwrap()[0][0].as_i64(), Some(0));
    let error = connection.execute("COPY t FROM STDIN").unwrap_err();
    assert_eq!(error.state.as_str(), "57014");
    connection.execute("INSERT INTO t VALUES (1)").unwrap();
}

#[test]
fn copy_in_reads_pieces() {
    let database = Database::in_memory().unwrap();
    let mut connection = database.connect().unwrap();
    connection.execute("CREATE TABLE t (a int PRIMARY KEY, b text)").unwrap();
    let mut pieces = ["1,on", "e\n2,", "two\n"].into_iter();
    assert_eq!(connection.copy_in("COPY t FROM STDIN (FORMAT csv)", || Ok(pieces.next())).unwrap(), 2);
    let error = connection.copy_in("COPY t FROM STDIN", || Err::<Option<&[u8]>, _>(Error::unsupported("no more"))).unwrap_err();
    assert_eq!(error.message, "no more");
    assert_eq!(connection.query("SELECT b FROM t ORDER BY a").unwrap()[1][0].as_str(), Some("two"));
}

#[test]
fn record_batches_are_appended_as_a_whole_or_not_at_all() {
    let database = Database::in_memory().unwrap();
    let mut connection = database.connect().unwrap();
    connection.execute("CREATE TABLE t (a bigint PRIMARY KEY, b text); CREATE TABLE u (a bigint PRIMARY KEY, b text)").unwrap();
    connection.execute("INSERT INTO t SELECT x, 'row ' || x FROM generate_series(1, 10000) AS g (x)").unwrap();
    let batches = connection.query_arrow("SELECT a, b FROM t").unwrap();
    let mut pieces = batches.iter().cloned();
    assert_eq!(connection.append("u", || Ok(pieces.next())).unwrap(), 10000);
    assert_eq!(connection.query("SELECT b FROM u WHERE a = 5000").unwrap()[0][0].as_str(), Some("row 5000"));
    let mut again = batches.iter().cloned();
    assert_eq!(connection.append("u", || Ok(again.next())).unwrap_err().state.as_str(), "23505");
    connection.execute("TRUNCATE u").unwrap();
    let mut pieces = batches.into_iter();
    let error = connection.append("u", || pieces.next().map(Some).ok_or(Error::unsupported("no more"))).unwrap_err();
    assert_eq!(error.message, "no more");
    assert_eq!(connection.query("SELECT count(*) FROM u").unwrap()[0][0].as_i64(), Some(0));
    assert_eq!(connection.append("nothing", || Ok(None)).unwrap_err().state.as_str(), "42P01");
}

#[test]
fn appended_strings_fit_their_columns() {
    let database = Database::in_memory().unwrap();
    let mut connection = database.connect().unwrap();
    connection.execute("CREATE TABLE t (a bigint PRIMARY KEY, b varchar(3))").unwrap();
    let mut append = |texts: &str| {
        let rows = format!("SELECT row_number() OVER () AS a, b FROM unnest(ARRAY[{texts}]) AS u (b)");
        let mut batches = connection.query_arrow(&rows).unwrap().into_iter();
        let appended = connection.append("t", || Ok(batches.next()));
        let found = connection.query("SELECT string_agg(b, ',' ORDER BY a) FROM t").unwrap();
        connection.execute("TRUNCATE t").unwrap();
        (appended.map_err(|error| error.state.as_str().to_owned()), found[0][0].as_str().map(str::to_owned))
    };
    assert_eq!(append("'abc', NULL, ''"), (Ok(3), Some("abc,".to_owned())));
    assert_eq!(append("'äöü', 'ab  '"), (Ok(2), Some("äöü,ab ".to_owned())));
    assert_eq!(append("'abc', 'abcd'"), (Err("22001".to_owned()), None));
}

/// A call of a prepared statement is looked at before there is a runtime.
#[test]
fn prepared_statements_wait_where_they_have_to() {
    let database = Database::in_memory().unwrap();
    let mut connection = database.connect().unwrap();
    connection.execute("CREATE TABLE t (a int PRIMARY KEY, b int)").unwrap();
    let insert =
        connection.prepare("INSERT INTO t SELECT x, x % 7 FROM generate_series(1, 20000) AS g (x) WHERE x > $1").unwrap();
    assert_eq!(connection.execute_prepared(&insert, &[Value::from(0_i64)]).unwrap(), 20_000);
    let groups = connection.prepare("SELECT b, count(*) FROM t GROUP BY b ORDER BY b").unwrap();
    assert_eq!(connection.query_prepared(&groups, &[]).unwrap().len(), 7);
    // More rows than a program looks at.
    let range = connection.prepare("SELECT a FROM t WHERE a > $1 ORDER BY a").unwrap();
    assert_eq!(connection.query_prepared(&range, &[Value::from(5_i64)]).unwrap().len(), 19_995);
    let sleep = connection.prepare("SELECT pg_sleep(60)").unwrap();
    connection.execute("SET statement_timeout = '50ms'").unwrap();
    assert_eq!(connection.query_prepared(&sleep, &[]).unwrap_err().state.as_str(), "57014");
    let update = connection.prepare("UPDATE t SET b = b + 1 WHERE a = 1").unwrap();
    let mut other = database.connect().unwrap();
    other.execute("BEGIN; UPDATE t SET b = 0 WHERE a = 1").unwrap();
    assert_eq!(connection.execute_prepared(&update, &[]).unwrap_err().state.as_str(), "57014");
    connection.execute("RESET statement_timeout").unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| connection.execute_prepared(&update, &[]).unwrap());
        while !database.instance().engine().locks().iter().any(|lock| !lock.granted) {
            std::thread::yield_now();
        }
        other.execute("COMMIT").unwrap();
        assert_eq!(waiting.join().unwrap(), 1);
    });
    assert_eq!(other.query("SELECT b FROM t WHERE a = 1").unwrap()[0][0].as_i64(), Some(1));
}

#[test]
fn a_directory_has_one_owner_and_keeps_its_contents() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path()).unwrap();
    database.connect().unwrap().execute("CREATE TABLE t (a int); INSERT INTO t VALUES (42)").unwrap();
    assert_eq!(Database::open(directory.path()).err().unwrap().state.as_str(), "55006");
    database.close().unwrap();
    drop(database);
    let database = Database::open(directory.path()).unwrap();
    assert_eq!(database.connect().unwrap().query("SELECT a FROM t").unwrap()[0][0].as_i64(), Some(42));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_can_be_awaited() {
    let database = Database::in_memory().unwrap();
    let mut connection = database.connect_async().unwrap();
    connection.execute("CREATE TABLE t (a int PRIMARY KEY)").await.unwrap();
    let insert = connection.prepare("INSERT INTO t VALUES ($1)").await.unwrap();
    for value in 0..10 {
        connection.execute_prepared(&insert, &[Value::from(value)]).await.unwrap();
    }
    let rows = connection.query("SELECT sum(a) FROM t").await.unwrap();
    assert_eq!(rows[0][0].as_i64(), Some(45));
}

#[test]
fn a_database_that_was_closed_opens_without_redoing_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(folder.path()).unwrap();
    let mut connection = database.connect().unwrap();
    connection.execute("CREATE TABLE t (a int PRIMARY KEY, b text)").unwrap();
    connection.execute("INSERT INTO t SELECT g, repeat('x', 100) FROM generate_series(1, 20000) AS g").unwrap();
    let status = |database: &Database| database.instance().engine().status();
    assert!(status(&database).wal_bytes > 1 << 20);
    drop(connection);
    database.close().unwrap();
    drop(database);
    let database = Database::open(folder.path()).unwrap();
    assert_eq!(status(&database).wal_bytes, 0);
    let rows = database.connect().unwrap().query("SELECT count(*) FROM t").unwrap();
    assert_eq!(rows[0][0].as_i64(), Some(20000));
}

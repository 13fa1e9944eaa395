//! How often the hot calls allocate memory, counted in the thread that calls: an allocation more, and this fails.
//!
//! Of a row without texts: each text that is read is one more. Whoever makes a call allocate less lowers its figure; whoever makes it
//! allocate more says why.

#![allow(clippy::unwrap_used)]

use allocation_counter::measure;
use colonnade::{Connection, Database, Value};

const ROWS: i64 = 2000;

fn table() -> (Database, Connection) {
    let database = Database::in_memory().unwrap();
    let mut connection = database.connect().unwrap();
    connection.execute("CREATE TABLE t (id bigint PRIMARY KEY, a bigint, b int, c numeric(15,2), d date)").unwrap();
    let mut rows = (0..ROWS).map(|id| format!("{id}\t1\t2\t3.50\t2024-02-29\n"));
    connection.copy_in("COPY t FROM STDIN", || Ok(rows.next())).unwrap();
    (database, connection)
}

/// The fewest allocations of a call, of some: now and then one finds that something has to grow.
fn allocations(mut call: impl FnMut(i64)) -> u64 {
    (0..200).for_each(&mut call);
    (200..300).map(|id| measure(|| call(id)).count_total).min().unwrap()
}

#[test]
fn a_prepared_read_by_key_allocates_a_stated_number_of_times() {
    let (_database, mut connection) = table();
    let read = connection.prepare("SELECT a, b, c, d FROM t WHERE id = $1").unwrap();
    let from_segment = allocations(|id| {
        assert_eq!(connection.query_prepared(&read, &[Value::from(id)]).unwrap().len(), 1);
    });
    connection.execute("UPDATE t SET a = a + 1 WHERE id < 1000").unwrap();
    let from_delta = allocations(|id| {
        assert_eq!(connection.query_prepared(&read, &[Value::from(id)]).unwrap().len(), 1);
    });
    assert!(from_segment <= 9 && from_delta <= 9, "{from_segment} from a segment, {from_delta} from the delta");
}

#[test]
fn a_prepared_write_of_a_row_allocates_a_stated_number_of_times() {
    let (_database, mut connection) = table();
    let update = connection.prepare("UPDATE t SET a = a + $2 WHERE id = $1").unwrap();
    let insert = connection.prepare("INSERT INTO t VALUES ($1, 1, 2, 3.5, '2024-02-29')").unwrap();
    // The first update of a row brings it from its segment to the recent rows; the others change it there.
    let updated = allocations(|id| {
        assert_eq!(connection.execute_prepared(&update, &[Value::from(id), Value::from(5i64)]).unwrap(), 1);
    });
    let updated_again = allocations(|id| {
        assert_eq!(connection.execute_prepared(&update, &[Value::from(id), Value::from(5i64)]).unwrap(), 1);
    });
    let inserted = allocations(|id| {
        assert_eq!(connection.execute_prepared(&insert, &[Value::from(ROWS + id)]).unwrap(), 1);
    });
    assert!(updated <= 21 && updated_again <= 21, "{updated} the first time, {updated_again} again");
    assert!(inserted <= 20, "{inserted}");
}

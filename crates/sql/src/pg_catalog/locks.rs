//! Who holds and waits for what: `pg_lock_status()`, which `pg_locks` shows, and what sessions wait for.
//!
//! Of tables there are two locks, that of who writes or relies on a definition and that of who changes it; readers have none. They are
//! shown as the modes of PostgreSQL that keep off the same: `RowExclusiveLock` and `AccessExclusiveLock`. Locked rows are not listed, as in
//! PostgreSQL: who wants one waits for the transaction that has it, `transactionid`.

use std::collections::HashMap;

use engine::{HeldLock, LockObject};
use types::TableId;

use super::kind::{self, Kind};
use super::store::Store;
use super::value::Value;

/// Ids from here on stand for keys, not tables.
const KEYS: u32 = 1 << 31;
/// `pg_class`: what who changes any definition locks.
const PG_CLASS: i64 = 1259;

/// The columns of `pg_lock_status()`.
pub(crate) fn columns() -> Vec<(&'static str, Kind)> {
    use kind::{BOOL, INT2, INT4, OID, TEXT, TIMESTAMPTZ, XID};
    vec![
        ("locktype", TEXT),
        ("database", OID),
        ("relation", OID),
        ("page", INT4),
        ("tuple", INT2),
        ("virtualxid", TEXT),
        ("transactionid", XID),
        ("classid", OID),
        ("objid", OID),
        ("objsubid", INT2),
        ("virtualtransaction", TEXT),
        ("pid", INT4),
        ("mode", TEXT),
        ("granted", BOOL),
        ("fastpath", BOOL),
        ("waitstart", TIMESTAMPTZ),
    ]
}

/// Its rows.
pub(crate) fn status(store: &Store) -> Vec<Vec<Value>> {
    store.moment.instance.engine().locks().iter().map(|lock| row(store, lock)).collect()
}

fn row(store: &Store, lock: &HeldLock) -> Vec<Value> {
    let mut row = vec![Value::Null; columns().len()];
    let mut set = |column: usize, value: Value| row[column] = value;
    set(0, Value::text(kind_of(lock.on)));
    match lock.on {
        LockObject::Transaction(txn) => set(6, Value::Int((txn.0 as u32).into())),
        LockObject::Table(id) if id.0 >= KEYS => set(1, Value::Int(store.moment.database.0.into())),
        LockObject::Table(id) => {
            let catalog = &store.moment.catalog;
            let table = catalog.table_by_id(id);
            let database =
                table.and_then(|table| catalog.schema_by_id(table.schema)).map_or(store.moment.database, |s| s.database);
            set(1, Value::Int(database.0.into()));
            set(2, Value::Int(if id == TableId(0) { PG_CLASS } else { id.0.into() }));
        }
        LockObject::Advisory(key) => {
            set(1, Value::Int(key.database.into()));
            set(7, Value::Int(key.class.into()));
            set(8, Value::Int(key.object.into()));
            set(9, Value::Int(key.numbers.into()));
        }
    }
    // The first half of PostgreSQL's is the session, the second counts its transactions.
    let (process, txn) = (lock.process.unwrap_or_default(), lock.txn.map_or(0, |txn| txn.0));
    set(10, Value::text(format!("{process}/{txn}")));
    set(11, lock.process.map_or(Value::Null, |process| Value::Int(process.into())));
    set(12, Value::text(lock.mode));
    set(13, Value::Bool(lock.granted));
    set(14, Value::Bool(false));
    row
}

/// What PostgreSQL calls a lock's kind, and the wait for it.
fn kind_of(on: LockObject) -> &'static str {
    match on {
        LockObject::Transaction(_) => "transactionid",
        LockObject::Table(id) if id.0 >= KEYS => "tuple",
        LockObject::Table(_) => "relation",
        LockObject::Advisory(_) => "advisory",
    }
}

/// What sessions wait for, by process: kind and name of the wait.
pub(crate) fn waits(store: &Store) -> HashMap<i32, (&'static str, &'static str)> {
    let engine = store.moment.instance.engine();
    let deferred = engine.deferred().into_iter().map(|process| (process, ("IPC", "SafeSnapshot")));
    let locks = engine.locks();
    let locks = locks.iter().filter(|lock| !lock.granted).filter_map(|lock| Some((lock.process?, ("Lock", kind_of(lock.on)))));
    locks.chain(deferred).collect()
}

/// What `pg_blocking_pids` answers.
pub(crate) fn blocking(store: &Store, process: i64) -> Value {
    let process = i32::try_from(process).unwrap_or_default();
    Value::array(store.moment.instance.engine().blocking(process).into_iter().map(|process| Value::Int(process.into())))
}

/// What `pg_isolation_test_session_is_blocked` answers: whether one of those keeps the session, or a safe snapshot is not to be had.
pub(crate) fn is_blocked(store: &Store, process: i64, by: &[Value]) -> bool {
    let process = i32::try_from(process).unwrap_or_default();
    let engine = store.moment.instance.engine();
    let keeps = |blocker: i32| by.iter().any(|one| one.as_int() == Some(blocker.into()));
    engine.blocking(process).into_iter().any(keeps) || engine.deferred().contains(&process)
}

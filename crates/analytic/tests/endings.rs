//! How queries end when something goes wrong.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use analytic::{Execution, TableSource, Tables};
use support::Database;
use types::{SqlError, SqlState, TableId};

struct Panics;

impl Tables for Panics {
    fn table(&self, _table: TableId) -> Result<Arc<dyn TableSource>, SqlError> {
        panic!("a table that is not to be read");
    }
}

/// A stream that only ended would be taken for a complete result.
#[test]
fn a_panic_in_a_query_is_an_error() {
    let database = Database::new("CREATE TABLE t (a bigint PRIMARY KEY);");
    let plan = database.plan("SELECT a FROM t", &[]).unwrap();
    let execution = Execution { view: Arc::new(Panics), ..database.execution(&[]) };
    let error = support::rows_of(&plan, execution).unwrap_err();
    assert_eq!(error.state, SqlState::INTERNAL_ERROR);
    assert!(error.message.contains("a table that is not to be read"), "{}", error.message);
}

/// Estimating both sides of a semi join twice takes twice as long with each further one: forty would never end.
#[test]
fn planning_takes_no_longer_than_there_are_subqueries() {
    let mut database = Database::new("CREATE TABLE t (a bigint PRIMARY KEY, b bigint);");
    database.insert("t", &[&[Some("1"), Some("2")]]);
    let mut conditions = "a > 0".to_owned();
    for at in 10..50 {
        conditions.push_str(&format!(" AND EXISTS (SELECT 1 FROM t AS e WHERE e.a = x.a AND e.b <> {at})"));
    }
    // LIMIT makes one relation of all those joins.
    let sql = format!("SELECT y.a FROM (SELECT a, b FROM t AS x WHERE {conditions} LIMIT 10) AS z JOIN t AS y ON y.a = z.a");
    assert_eq!(database.lines(&sql), ["1"]);
}

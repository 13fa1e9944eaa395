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

//! A connection whose calls block, and what both kinds of connection give back.

use std::ops::Index;
use std::sync::Arc;

use arrow::array::RecordBatch;
use engine::Cancel;
use sql::{OutputColumn, Session};
use types::{SqlError, SqlType};

use crate::asynchronous::AsyncConnection;
use crate::database::Database;
use crate::value::Value;

/// A statement whose types are settled. Good for the connection that prepared it.
#[derive(Clone)]
pub struct Statement(pub(crate) Arc<sql::Prepared>);

impl Statement {
    /// The types of `$1`, `$2`, ...
    pub fn params(&self) -> &[SqlType] {
        &self.0.params
    }

    /// The result's columns; none if it gives no rows.
    pub fn columns(&self) -> &[OutputColumn] {
        self.0.columns.as_deref().unwrap_or_default()
    }
}

/// All rows of a result.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    columns: Arc<[OutputColumn]>,
    rows: Vec<Row>,
}

/// One row: one value per column.
#[derive(Clone, Debug, PartialEq)]
pub struct Row(pub(crate) Vec<Value>);

impl Rows {
    pub(crate) fn new(columns: Arc<[OutputColumn]>, rows: Vec<Row>) -> Rows {
        Rows { columns, rows }
    }

    /// The columns.
    pub fn columns(&self) -> &[OutputColumn] {
        &self.columns
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True for none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Row> {
        self.rows.iter()
    }
}

impl Index<usize> for Rows {
    type Output = Row;

    fn index(&self, row: usize) -> &Row {
        &self.rows[row]
    }
}

impl IntoIterator for Rows {
    type Item = Row;
    type IntoIter = std::vec::IntoIter<Row>;

    fn into_iter(self) -> Self::IntoIter {
        self.rows.into_iter()
    }
}

impl Row {
    /// The values in order.
    pub fn values(&self) -> &[Value] {
        &self.0
    }
}

impl Index<usize> for Row {
    type Output = Value;

    fn index(&self, column: usize) -> &Value {
        &self.0[column]
    }
}

/// One session; its calls block until they are done. Dropped, it rolls back what is not committed.
///
/// Not for use within a runtime: there, see [`AsyncConnection`].
pub struct Connection {
    inner: AsyncConnection,
    database: Database,
}

impl Connection {
    pub(crate) fn new(database: Database, session: Session) -> Connection {
        Connection { inner: AsyncConnection::new(database.clone(), session), database }
    }

    /// The session itself: transactions, notices, settings.
    pub fn session(&mut self) -> &mut Session {
        self.inner.session()
    }

    /// Set it from another thread to stop what this connection is doing (57014).
    pub fn cancel_handle(&self) -> Arc<Cancel> {
        self.inner.cancel_handle()
    }

    /// Runs statements, separated by semicolons, and forgets their rows. Returns how many rows the last one changed or gave.
    pub fn execute(&mut self, sql: &str) -> Result<u64, SqlError> {
        self.database.wait(self.inner.execute(sql))
    }

    /// The rows of a query: of the last one, if there are several statements.
    pub fn query(&mut self, sql: &str) -> Result<Rows, SqlError> {
        self.database.wait(self.inner.query(sql))
    }

    /// The result of a query as Arrow record batches: of the last one, if there are several statements. A result without rows is one
    /// empty batch.
    pub fn query_arrow(&mut self, sql: &str) -> Result<Vec<RecordBatch>, SqlError> {
        self.database.wait(self.inner.query_arrow(sql))
    }

    /// Settles a statement's types, to run it often. It has to be one statement; `$1`, `$2`, ... stand for values.
    pub fn prepare(&mut self, sql: &str) -> Result<Statement, SqlError> {
        self.database.wait(self.inner.prepare(sql))
    }

    /// Runs a prepared statement. Returns how many rows it changed or gave.
    pub fn execute_prepared(&mut self, statement: &Statement, params: &[Value]) -> Result<u64, SqlError> {
        let anywhere = self.inner.session().begins_anywhere();
        self.database.wait_from(anywhere, self.inner.execute_prepared(statement, params))
    }

    /// The rows of a prepared query.
    pub fn query_prepared(&mut self, statement: &Statement, params: &[Value]) -> Result<Rows, SqlError> {
        let anywhere = self.inner.session().begins_anywhere();
        self.database.wait_from(anywhere, self.inner.query_prepared(statement, params))
    }

    /// The result of a prepared query as Arrow record batches.
    pub fn query_arrow_prepared(&mut self, statement: &Statement, params: &[Value]) -> Result<Vec<RecordBatch>, SqlError> {
        let anywhere = self.inner.session().begins_anywhere();
        self.database.wait_from(anywhere, self.inner.query_arrow_prepared(statement, params))
    }

    /// Runs `COPY .. FROM STDIN` with the data that `next` gives, in pieces cut anywhere, until it gives none. Returns how many rows
    /// there were.
    pub fn copy_in<B: AsRef<[u8]>>(
        &mut self,
        sql: &str,
        next: impl FnMut() -> Result<Option<B>, SqlError> + Send,
    ) -> Result<u64, SqlError> {
        self.database.wait(self.inner.copy_in(sql, next))
    }

    /// Adds the rows of the record batches that `next` gives, until it gives none, to a table: as COPY, without text. A batch has the
    /// table's columns in their order, each of its Arrow form or a type that can be assigned to it. Returns how many rows there were.
    ///
    /// Many rows go straight into column segments. Errors: 42P01, 23502, 23505, 42804, those of values that do not fit, and `next`'s; no
    /// row is kept then.
    pub fn append(
        &mut self,
        table: &str,
        next: impl FnMut() -> Result<Option<RecordBatch>, SqlError> + Send,
    ) -> Result<u64, SqlError> {
        self.database.wait(self.inner.append(table, next))
    }
}

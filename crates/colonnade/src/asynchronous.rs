//! A connection whose calls are awaited.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use engine::Cancel;
use sql::{Answer, OutputColumn, RowBatch, Session};
use types::arrow_form::{self, ColumnBuilder};
use types::{Datum, SqlError, SqlState, SqlType};

use crate::connection::{Row, Rows, Statement};
use crate::database::Database;
use crate::value::Value;

/// One session. Its calls run on the caller's runtime, which must be tokio's with several threads. Dropped, it rolls back what is not
/// committed.
pub struct AsyncConnection {
    // Before the database: it is closed when the last handle goes.
    session: Session,
    _database: Database,
}

impl AsyncConnection {
    pub(crate) fn new(database: Database, session: Session) -> AsyncConnection {
        AsyncConnection { session, _database: database }
    }

    /// The session itself: transactions, notices, settings.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Set it from another thread to stop what this connection is doing (57014).
    pub fn cancel_handle(&self) -> Arc<Cancel> {
        self.session.cancel()
    }

    /// Runs statements, separated by semicolons, and forgets their rows. Returns how many rows the last one changed or gave.
    pub async fn execute(&mut self, sql: &str) -> Result<u64, SqlError> {
        let mut count = 0;
        self.each(sql, &mut |outcome| {
            count = outcome.count;
        })
        .await?;
        Ok(count)
    }

    /// The rows of a query: of the last one, if there are several statements.
    pub async fn query(&mut self, sql: &str) -> Result<Rows, SqlError> {
        let mut rows = None;
        self.each(sql, &mut |outcome| rows = Some(outcome.into_rows())).await?;
        Ok(rows.unwrap_or_default())
    }

    /// The result of a query as Arrow record batches: of the last one, if there are several statements. A result without rows is one
    /// empty batch.
    pub async fn query_arrow(&mut self, sql: &str) -> Result<Vec<RecordBatch>, SqlError> {
        let mut batches = None;
        self.each(sql, &mut |outcome| batches = Some(outcome.into_batches())).await?;
        batches.unwrap_or_else(|| Ok(vec![]))
    }

    /// Settles a statement's types, to run it often. It has to be one statement; `$1`, `$2`, ... stand for values.
    pub async fn prepare(&mut self, sql: &str) -> Result<Statement, SqlError> {
        let result = self.session.parse(sql).and_then(|statements| match statements.as_slice() {
            [statement] => self.session.prepare(statement, &[]).map(Statement),
            _ => Err(SqlError::new(SqlState::SYNTAX_ERROR, "one statement can be prepared at a time")),
        });
        self.end(result).await
    }

    /// Runs a prepared statement. Returns how many rows it changed or gave.
    pub async fn execute_prepared(&mut self, statement: &Statement, params: &[Value]) -> Result<u64, SqlError> {
        Ok(self.run_prepared(statement, params).await?.count)
    }

    /// The rows of a prepared query.
    pub async fn query_prepared(&mut self, statement: &Statement, params: &[Value]) -> Result<Rows, SqlError> {
        Ok(self.run_prepared(statement, params).await?.into_rows())
    }

    /// The result of a prepared query as Arrow record batches.
    pub async fn query_arrow_prepared(&mut self, statement: &Statement, params: &[Value]) -> Result<Vec<RecordBatch>, SqlError> {
        self.run_prepared(statement, params).await?.into_batches()
    }

    async fn run_prepared(&mut self, statement: &Statement, params: &[Value]) -> Result<Outcome, SqlError> {
        let result = self.run_one(&statement.0, params).await;
        self.end(result).await
    }

    async fn run_one(&mut self, prepared: &Arc<sql::Prepared>, params: &[Value]) -> Result<Outcome, SqlError> {
        if params.len() != prepared.params.len() {
            let message = format!("the statement has {} parameters and was given {}", prepared.params.len(), params.len());
            return Err(SqlError::new(SqlState::PROTOCOL_VIOLATION, message));
        }
        let mut values: Vec<Datum> = Vec::with_capacity(params.len());
        for (value, to) in params.iter().zip(&prepared.params) {
            let value = value.0.clone();
            let is_of_type = matches!((&value, to), (Datum::Int4(_), SqlType::Int4) | (Datum::Int8(_), SqlType::Int8));
            let is_of_type = is_of_type || matches!((&value, to), (Datum::Text(_), SqlType::Text));
            values.push(if is_of_type { value } else { types::coerce::assign_in(value, *to, &self.session.dates())? });
        }
        let answer = self.session.execute(prepared, values).await?;
        self.pull(answer).await
    }

    /// Runs every statement of a text in one implicit transaction.
    async fn each(&mut self, sql: &str, take: &mut (dyn FnMut(Outcome) + Send)) -> Result<(), SqlError> {
        let result = self.each_in_transaction(sql, take).await;
        self.end(result).await
    }

    async fn each_in_transaction(&mut self, sql: &str, take: &mut (dyn FnMut(Outcome) + Send)) -> Result<(), SqlError> {
        for statement in self.session.parse(sql)? {
            let prepared = self.session.prepare(&statement, &[])?;
            take(self.run_one(&prepared, &[]).await?);
        }
        Ok(())
    }

    /// The end of the implicit transaction, whatever came of it.
    async fn end<T>(&mut self, result: Result<T, SqlError>) -> Result<T, SqlError> {
        match result {
            Ok(value) => {
                self.session.finish_implicit().await?;
                Ok(value)
            }
            Err(error) => {
                self.session.fail();
                // The statement's own error is the one to tell.
                let _ = self.session.finish_implicit().await;
                Err(error)
            }
        }
    }

    async fn pull(&mut self, answer: Answer) -> Result<Outcome, SqlError> {
        match answer {
            Answer::Rows(mut rows) => {
                let columns = Arc::clone(rows.columns());
                let mut batches = Vec::new();
                let mut count = 0;
                while let Some(batch) = rows.next().await? {
                    count += batch.rows() as u64;
                    batches.push(batch);
                }
                Ok(Outcome { columns, batches, count })
            }
            Answer::Done(tag) => {
                let count = tag.rsplit(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
                Ok(Outcome { columns: Arc::default(), batches: vec![], count })
            }
            Answer::Empty => Ok(Outcome { columns: Arc::default(), batches: vec![], count: 0 }),
            Answer::CopyIn(_) => Err(self.session.copy_in_fail("use Connection::copy_in")),
            Answer::CopyOut(_) => Err(SqlError::unsupported("COPY TO STDOUT here: query the rows instead")),
        }
    }

    /// Runs `COPY .. FROM STDIN` with the data that `next` gives, in pieces cut anywhere, until it gives none. Returns how many rows
    /// there were.
    pub async fn copy_in<B: AsRef<[u8]>>(
        &mut self,
        sql: &str,
        mut next: impl FnMut() -> Result<Option<B>, SqlError> + Send,
    ) -> Result<u64, SqlError> {
        let result = self.copy_in_transaction(sql, &mut next).await;
        self.end(result).await
    }

    /// Adds the rows of the record batches that `next` gives, until it gives none, to a table: as COPY, without text. A batch has the
    /// table's columns in their order, each of its Arrow form or a type that can be assigned to it. Returns how many rows there were.
    ///
    /// Many rows go straight into column segments. Errors: 42P01, 23502, 23505, 42804, those of values that do not fit, and `next`'s; no
    /// row is kept then.
    pub async fn append(
        &mut self,
        table: &str,
        mut next: impl FnMut() -> Result<Option<RecordBatch>, SqlError> + Send,
    ) -> Result<u64, SqlError> {
        let result = self.append_in_transaction(table, &mut next).await;
        self.end(result).await
    }

    async fn append_in_transaction(
        &mut self,
        table: &str,
        next: &mut (impl FnMut() -> Result<Option<RecordBatch>, SqlError> + Send),
    ) -> Result<u64, SqlError> {
        let mut append = self.session.append(None, table, &[])?;
        while let Some(batch) = next()? {
            append.add(&batch).await?;
        }
        append.finish().await
    }

    async fn copy_in_transaction<B: AsRef<[u8]>>(
        &mut self,
        sql: &str,
        next: &mut (impl FnMut() -> Result<Option<B>, SqlError> + Send),
    ) -> Result<u64, SqlError> {
        let statements = self.session.parse(sql)?;
        let [statement] = statements.as_slice() else {
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, "one COPY can be run at a time"));
        };
        let prepared = self.session.prepare(statement, &[])?;
        let Answer::CopyIn(_) = self.session.execute(&prepared, vec![]).await? else {
            return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, "this is not COPY FROM STDIN"));
        };
        loop {
            match next() {
                Ok(Some(piece)) => self.session.copy_in_data(piece.as_ref())?,
                Ok(None) => break,
                Err(error) => {
                    self.session.copy_in_fail(&error.message);
                    return Err(error);
                }
            }
        }
        let tag = self.session.copy_in_finish().await?;
        Ok(tag.rsplit(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0))
    }
}

/// What one statement gave.
struct Outcome {
    columns: Arc<[OutputColumn]>,
    batches: Vec<RowBatch>,
    count: u64,
}

impl Outcome {
    fn into_rows(self) -> Rows {
        let mut rows = Vec::new();
        for batch in self.batches {
            match batch {
                RowBatch::System(system) => {
                    rows.extend(system.datums().into_iter().map(|row| Row(row.into_iter().map(Value).collect())));
                }
                RowBatch::Images(images) => {
                    let row = |row| Row(images.values(row).map(|value| Value(value.to_owned())).collect());
                    rows.extend((0..images.len()).map(row));
                }
                RowBatch::Datums(values) => {
                    rows.extend(values.into_iter().map(|row| Row(row.into_iter().map(Value).collect())));
                }
                RowBatch::Arrow(batch) => {
                    let value = |row: usize, (array, column): (&ArrayRef, &OutputColumn)| {
                        Value(arrow_form::datum_at(array, row, column.data_type))
                    };
                    rows.extend(
                        (0..batch.num_rows()).map(|row| {
                            Row(batch.columns().iter().zip(self.columns.iter()).map(|pair| value(row, pair)).collect())
                        }),
                    );
                }
            }
        }
        Rows::new(self.columns, rows)
    }

    fn into_batches(self) -> Result<Vec<RecordBatch>, SqlError> {
        let fields = self.columns.iter().map(|c| arrow_form::field(&c.name, c.data_type, true));
        let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let bug = |error: arrow::error::ArrowError| SqlError::bug(format!("a result as Arrow: {error}"));
        let mut batches = Vec::with_capacity(self.batches.len().max(1));
        for batch in self.batches {
            batches.push(match batch {
                RowBatch::Arrow(batch) => batch.with_schema(Arc::clone(&schema)).map_err(bug)?,
                RowBatch::Datums(rows) => batch_of(&schema, &self.columns, &rows).map_err(bug)?,
                RowBatch::Images(rows) => batch_of(&schema, &self.columns, &rows.to_datums()).map_err(bug)?,
                RowBatch::System(rows) => batch_of(&schema, &self.columns, &rows.datums()).map_err(bug)?,
            });
        }
        if batches.is_empty() {
            batches.push(RecordBatch::new_empty(schema));
        }
        Ok(batches)
    }
}

fn batch_of(schema: &SchemaRef, columns: &[OutputColumn], rows: &[Vec<Datum>]) -> Result<RecordBatch, arrow::error::ArrowError> {
    let array = |(at, column): (usize, &OutputColumn)| {
        let mut builder = ColumnBuilder::new(column.data_type, rows.len());
        rows.iter().for_each(|row| builder.append(row[at].as_ref()));
        builder.finish()
    };
    RecordBatch::try_new(Arc::clone(schema), columns.iter().enumerate().map(array).collect())
}

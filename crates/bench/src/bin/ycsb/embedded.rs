//! The table in a Colonnade directory that this process has open.

use bench::Progress;
use colonnade::{Connection, Database, Error, Statement, Value};
use futures::FutureExt as _;

use crate::store::{FIELDS, Failure, Fields, Records, Statements, Store, copy_chunks};

pub(crate) struct Embedded(Connection);

/// A client's connection.
pub(crate) struct EmbeddedRecords {
    connection: Connection,
    statements: Statements<Statement>,
}

fn failure(error: &Error) -> Failure {
    format!("{}: {}", error.state.as_str(), error.message).into()
}

impl Embedded {
    /// Errors: the database's.
    pub(crate) fn open(database: &Database) -> Result<Embedded, Failure> {
        database.connect().map(Embedded).map_err(|error| failure(&error))
    }
}

impl EmbeddedRecords {
    /// Errors: the database's.
    pub(crate) fn open(database: &Database) -> Result<EmbeddedRecords, Failure> {
        let mut connection = database.connect().map_err(|error| failure(&error))?;
        let statements = Statements::prepare(async |sql: &str| connection.prepare(sql).map_err(|error| failure(&error)));
        Ok(EmbeddedRecords { statements: statements.now_or_never().expect("in process nothing waits")?, connection })
    }
}

impl Store for Embedded {
    fn run(&mut self, sql: &str) -> Result<(), Failure> {
        self.0.execute(sql).map(drop).map_err(|error| failure(&error))
    }

    fn number(&mut self, sql: &str) -> Result<u64, Failure> {
        let rows = self.0.query(sql).map_err(|error| failure(&error))?;
        let number = rows.iter().next().and_then(|row| row[0].as_i64());
        Ok(number.ok_or("no number in the answer")?.try_into()?)
    }

    fn load(&mut self, records: std::ops::Range<u64>, fields: &mut Fields, progress: &Progress) -> Result<(), Failure> {
        let mut chunks = copy_chunks(records, fields);
        let next = || {
            let chunk = chunks.next();
            progress.add(chunk.as_ref().map_or(0, |(_, count)| *count));
            Ok(chunk.map(|(chunk, _)| chunk))
        };
        self.0.copy_in("copy usertable from stdin", next).map(drop).map_err(|error| failure(&error))
    }
}

impl Records for EmbeddedRecords {
    async fn read(&mut self, key: &str) -> Result<bool, Failure> {
        let rows = self.connection.query_prepared(&self.statements.read, &[Value::from(key)]);
        Ok(rows.map_err(|error| failure(&error))?.len() == 1)
    }

    async fn update(&mut self, key: &str, field: usize, value: &str) -> Result<bool, Failure> {
        let values = [Value::from(key), Value::from(value)];
        let count = self.connection.execute_prepared(&self.statements.update[field], &values);
        Ok(count.map_err(|error| failure(&error))? == 1)
    }

    async fn insert(&mut self, key: &str, values: &[&str; FIELDS]) -> Result<(), Failure> {
        let all: Vec<Value> = std::iter::once(key).chain(values.iter().copied()).map(Value::from).collect();
        self.connection.execute_prepared(&self.statements.insert, &all).map(drop).map_err(|error| failure(&error))
    }

    async fn scan(&mut self, key: &str, count: u32) -> Result<u64, Failure> {
        let values = [Value::from(key), Value::from(i64::from(count))];
        let rows = self.connection.query_prepared(&self.statements.scan, &values);
        Ok(rows.map_err(|error| failure(&error))?.len() as u64)
    }
}

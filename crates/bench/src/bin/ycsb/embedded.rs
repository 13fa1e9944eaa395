//! The table in a Colonnade directory that this process has open.

use bench::Progress;
use colonnade::{Connection, Database, Error, Statement, Value};

use crate::store::{FIELDS, Failure, Fields, Statements, Store, copy_chunks};

pub(crate) struct Embedded {
    connection: Connection,
    statements: Option<Statements<Statement>>,
}

fn failure(error: &Error) -> Failure {
    format!("{}: {}", error.state.as_str(), error.message).into()
}

impl Embedded {
    /// Errors: the database's.
    pub(crate) fn open(database: &Database) -> Result<Embedded, Failure> {
        let connection = database.connect().map_err(|error| failure(&error))?;
        Ok(Embedded { connection, statements: None })
    }

    fn query(&mut self, of: fn(&Statements<Statement>) -> &Statement, values: &[Value]) -> Result<u64, Failure> {
        let statement = of(self.statements.as_ref().ok_or("the statements are not prepared")?);
        let rows = self.connection.query_prepared(statement, values).map_err(|error| failure(&error))?;
        Ok(rows.len() as u64)
    }

    fn execute(&mut self, of: impl Fn(&Statements<Statement>) -> &Statement, values: &[Value]) -> Result<u64, Failure> {
        let statement = of(self.statements.as_ref().ok_or("the statements are not prepared")?);
        self.connection.execute_prepared(statement, values).map_err(|error| failure(&error))
    }
}

impl Store for Embedded {
    fn run(&mut self, sql: &str) -> Result<(), Failure> {
        self.connection.execute(sql).map(|_| ()).map_err(|error| failure(&error))
    }

    fn number(&mut self, sql: &str) -> Result<u64, Failure> {
        let rows = self.connection.query(sql).map_err(|error| failure(&error))?;
        let number = rows.iter().next().and_then(|row| row[0].as_i64());
        Ok(number.ok_or("no number in the answer")?.try_into()?)
    }

    fn prepare(&mut self) -> Result<(), Failure> {
        let prepare = |sql: &str| self.connection.prepare(sql).map_err(|error| failure(&error));
        self.statements = Some(Statements::prepare(prepare)?);
        Ok(())
    }

    fn load(&mut self, records: std::ops::Range<u64>, fields: &mut Fields, progress: &Progress) -> Result<(), Failure> {
        let mut chunks = copy_chunks(records, fields);
        let next = || {
            let chunk = chunks.next();
            progress.add(chunk.as_ref().map_or(0, |(_, count)| *count));
            Ok(chunk.map(|(chunk, _)| chunk))
        };
        self.connection.copy_in("copy usertable from stdin", next).map(|_| ()).map_err(|error| failure(&error))
    }

    fn read(&mut self, key: &str) -> Result<bool, Failure> {
        Ok(self.query(|statements| &statements.read, &[Value::from(key)])? == 1)
    }

    fn update(&mut self, key: &str, field: usize, value: &str) -> Result<bool, Failure> {
        Ok(self.execute(|statements| &statements.update[field], &[Value::from(key), Value::from(value)])? == 1)
    }

    fn insert(&mut self, key: &str, values: &[&str; FIELDS]) -> Result<(), Failure> {
        let all: Vec<Value> = std::iter::once(key).chain(values.iter().copied()).map(Value::from).collect();
        self.execute(|statements| &statements.insert, &all)?;
        Ok(())
    }

    fn scan(&mut self, key: &str, count: u32) -> Result<u64, Failure> {
        self.query(|statements| &statements.scan, &[Value::from(key), Value::from(i64::from(count))])
    }
}

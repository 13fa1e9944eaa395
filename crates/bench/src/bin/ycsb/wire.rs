//! The table on a PostgreSQL-wire server. A connection has a runtime of its own, driven by its thread while it waits for an answer.

use bench::{Progress, Session, Target};
use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;

use crate::store::{FIELDS, Failure, Fields, Statements, Store, copy_chunks};

pub(crate) struct Wire {
    session: Session,
    statements: Option<Statements<Statement>>,
    /// Last: the connection's task ends after the session.
    runtime: Runtime,
}

impl Wire {
    /// Errors: nobody answers, or the login is refused.
    pub(crate) fn open(target: &Target) -> Result<Wire, Failure> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let session = runtime.block_on(target.connect())?;
        Ok(Wire { session, statements: None, runtime })
    }

    fn query(&self, of: fn(&Statements<Statement>) -> &Statement, values: &[&(dyn ToSql + Sync)]) -> Result<u64, Failure> {
        let statement = of(self.statements.as_ref().ok_or("the statements are not prepared")?);
        let rows = self.runtime.block_on(self.session.client().query(statement, values));
        Ok(rows.map_err(|error| bench::describe(&error))?.len() as u64)
    }

    fn execute(&self, of: impl Fn(&Statements<Statement>) -> &Statement, values: &[&(dyn ToSql + Sync)]) -> Result<u64, Failure> {
        let statement = of(self.statements.as_ref().ok_or("the statements are not prepared")?);
        let rows = self.runtime.block_on(self.session.client().execute(statement, values));
        Ok(rows.map_err(|error| bench::describe(&error))?)
    }
}

impl Store for Wire {
    fn run(&mut self, sql: &str) -> Result<(), Failure> {
        Ok(self.runtime.block_on(self.session.run(sql, sql))?)
    }

    fn number(&mut self, sql: &str) -> Result<u64, Failure> {
        Ok(self.runtime.block_on(self.session.text_value(sql, sql))?.parse()?)
    }

    fn prepare(&mut self) -> Result<(), Failure> {
        self.statements = Some(Statements::prepare(|sql| {
            let prepared = self.runtime.block_on(self.session.client().prepare(sql));
            Ok(prepared.map_err(|error| format!("prepare {sql}: {}", bench::describe(&error)))?)
        })?);
        Ok(())
    }

    fn load(&mut self, records: std::ops::Range<u64>, fields: &mut Fields, progress: &Progress) -> Result<(), Failure> {
        let wanted = records.end - records.start;
        let chunks = copy_chunks(records, fields).map(|(chunk, count)| {
            progress.add(count);
            Ok(Bytes::from(chunk))
        });
        let copy = self.session.copy_in("copy into usertable", "copy usertable from stdin", futures::stream::iter(chunks));
        let taken = self.runtime.block_on(copy)?;
        if taken != wanted {
            return Err(format!("the server took {taken} of {wanted} records").into());
        }
        Ok(())
    }

    fn read(&mut self, key: &str) -> Result<bool, Failure> {
        Ok(self.query(|statements| &statements.read, &[&key])? == 1)
    }

    fn update(&mut self, key: &str, field: usize, value: &str) -> Result<bool, Failure> {
        Ok(self.execute(|statements| &statements.update[field], &[&key, &value])? == 1)
    }

    fn insert(&mut self, key: &str, values: &[&str; FIELDS]) -> Result<(), Failure> {
        let mut all: Vec<&(dyn ToSql + Sync)> = vec![&key];
        all.extend(values.iter().map(|value| value as &(dyn ToSql + Sync)));
        self.execute(|statements| &statements.insert, &all)?;
        Ok(())
    }

    fn scan(&mut self, key: &str, count: u32) -> Result<u64, Failure> {
        self.query(|statements| &statements.scan, &[&key, &i64::from(count)])
    }
}

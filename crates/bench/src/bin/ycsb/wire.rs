//! The table on a PostgreSQL-wire server.

use bench::direct::{Direct, Prepared};
use bench::{Progress, Session, Target};
use bytes::{Bytes, BytesMut};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::store::{FIELDS, Failure, Fields, Records, Statements, Store, copy_chunks};

/// A session with a runtime of its own, driven by its thread while it waits for an answer.
pub(crate) struct Wire {
    session: Session,
    /// Last: the connection's task ends after the session.
    runtime: Runtime,
}

impl Wire {
    /// Errors: nobody answers, or the login is refused.
    pub(crate) fn open(target: &Target) -> Result<Wire, Failure> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let session = runtime.block_on(target.connect())?;
        Ok(Wire { session, runtime })
    }
}

impl Store for Wire {
    fn run(&mut self, sql: &str) -> Result<(), Failure> {
        Ok(self.runtime.block_on(self.session.run(sql, sql))?)
    }

    fn number(&mut self, sql: &str) -> Result<u64, Failure> {
        Ok(self.runtime.block_on(self.session.text_value(sql, sql))?.parse()?)
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
}

/// A client's connection.
pub(crate) struct WireRecords {
    connection: Direct,
    statements: Statements<Prepared>,
}

impl WireRecords {
    /// Errors: nobody answers, the login is refused, or there is no such table.
    pub(crate) async fn open(target: &Target) -> Result<WireRecords, Failure> {
        let mut connection = target.connect_direct().await?;
        let statements = Statements::prepare(async |sql: &str| {
            let prepared = connection.prepare(sql).await;
            prepared.map_err(|error| format!("prepare {sql}: {error}").into())
        });
        Ok(WireRecords { statements: statements.await?, connection })
    }
}

impl Records for WireRecords {
    async fn read(&mut self, key: &str) -> Result<bool, Failure> {
        Ok(self.connection.run(&self.statements.read, &[key]).await?.rows.len() == 1)
    }

    async fn update(&mut self, key: &str, field: usize, value: &str) -> Result<bool, Failure> {
        Ok(self.connection.run(&self.statements.update[field], &[key, value]).await?.count == 1)
    }

    async fn insert(&mut self, key: &str, values: &[&str; FIELDS]) -> Result<(), Failure> {
        let mut all = [key; FIELDS + 1];
        all[1..].copy_from_slice(values);
        self.connection.run(&self.statements.insert, &all).await?;
        Ok(())
    }

    async fn scan(&mut self, key: &str, count: u32) -> Result<u64, Failure> {
        self.connection.send(&self.statements.scan, &[Parameter::Key(key), Parameter::Count(count.into())])?;
        Ok(self.connection.answer().await?.rows.len() as u64)
    }
}

/// Of a scan.
#[derive(Debug)]
enum Parameter<'a> {
    Key(&'a str),
    Count(i64),
}

impl ToSql for Parameter<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        match self {
            Parameter::Key(key) => key.to_sql(ty, out),
            Parameter::Count(count) => count.to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        <&str as ToSql>::accepts(ty) || i64::accepts(ty)
    }

    to_sql_checked!();
}

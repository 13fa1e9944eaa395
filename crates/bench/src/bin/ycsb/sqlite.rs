//! The table in an SQLite file: a peer, behind the feature `sqlite`.
//!
//! 1. Durable as Colonnade is: write-ahead log, synchronous FULL.

use std::path::Path;
use std::time::Duration;

use bench::Progress;
use rusqlite::{Connection, params, params_from_iter};

use crate::keys::key_of;
use crate::store::{FIELDS, Failure, Fields, Records, Sql, Store};

/// How long a writer waits for another.
const BUSY: Duration = Duration::from_secs(600);
/// Records of a transaction of the load.
const LOAD_BATCH: u64 = 10_000;

pub(crate) struct Sqlite {
    connection: Connection,
    sql: Sql,
}

impl Sqlite {
    /// With a page cache of `cache_mib`. Errors: SQLite's.
    pub(crate) fn open(file: &Path, cache_mib: u32) -> Result<Sqlite, Failure> {
        let connection = Connection::open(file)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "cache_size", -(i64::from(cache_mib) * 1024))?;
        connection.set_prepared_statement_cache_capacity(FIELDS + 8);
        Ok(Sqlite { connection, sql: Sql::new('?') })
    }

    fn put(&self, key: &str, values: &[&str; FIELDS]) -> Result<(), Failure> {
        let all = params_from_iter(std::iter::once(&key).chain(values));
        self.connection.prepare_cached(&self.sql.insert)?.execute(all)?;
        Ok(())
    }

    /// Reads every column of every row; how many rows there were.
    fn count(&self, sql: &str, values: impl rusqlite::Params) -> Result<u64, Failure> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let columns = statement.column_count();
        let (mut rows, mut count, mut chars) = (statement.query(values)?, 0, 0);
        while let Some(row) = rows.next()? {
            for column in 0..columns {
                chars += row.get_ref(column)?.as_str()?.len();
            }
            count += 1;
        }
        std::hint::black_box(chars);
        Ok(count)
    }
}

impl Store for Sqlite {
    fn run(&mut self, sql: &str) -> Result<(), Failure> {
        Ok(self.connection.execute_batch(sql)?)
    }

    fn number(&mut self, sql: &str) -> Result<u64, Failure> {
        let number: i64 = self.connection.query_row(sql, [], |row| row.get(0))?;
        Ok(number.try_into()?)
    }

    fn load(&mut self, records: std::ops::Range<u64>, fields: &mut Fields, progress: &Progress) -> Result<(), Failure> {
        let mut next = records.start;
        while next < records.end {
            let end = records.end.min(next + LOAD_BATCH);
            self.connection.execute_batch("begin immediate")?;
            for record in next..end {
                self.put(&key_of(record), &fields.values())?;
            }
            self.connection.execute_batch("commit")?;
            progress.add(end - next);
            next = end;
        }
        Ok(())
    }
}

impl Records for Sqlite {
    async fn read(&mut self, key: &str) -> Result<bool, Failure> {
        Ok(self.count(&self.sql.read, [key])? == 1)
    }

    async fn update(&mut self, key: &str, field: usize, value: &str) -> Result<bool, Failure> {
        Ok(self.connection.prepare_cached(&self.sql.update[field])?.execute([key, value])? == 1)
    }

    async fn insert(&mut self, key: &str, values: &[&str; FIELDS]) -> Result<(), Failure> {
        self.put(key, values)
    }

    async fn scan(&mut self, key: &str, count: u32) -> Result<u64, Failure> {
        self.count(&self.sql.scan, params![key, count])
    }
}

//! SQLite in this process: a peer, behind the feature `sqlite`.
//!
//! 1. Durable as Colonnade is: write-ahead log, synchronous FULL. Its key is SQLite's own, `integer primary key`.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bench::Progress;
use rusqlite::{Connection, params};

use crate::Failure;
use crate::memory::Memory;
use crate::rows::{COLUMNS, Field, Shape};
use crate::work::{Job, Peer};

/// How long a writer waits for another.
const BUSY: Duration = Duration::from_secs(600);
/// Rows of a transaction of the load.
const LOAD_BATCH: u64 = 100_000;

pub(crate) struct Sqlite {
    file: PathBuf,
    shape: Shape,
    cache_mib: u32,
}

impl Sqlite {
    /// Errors: SQLite's.
    pub(crate) fn create(file: &Path, shape: Shape, cache_mib: u32) -> Result<Sqlite, Failure> {
        let sqlite = Sqlite { file: file.to_owned(), shape, cache_mib };
        sqlite.connect()?.execute_batch(&shape.create().replace("integer_key", "integer"))?;
        Ok(sqlite)
    }

    fn connect(&self) -> Result<Connection, Failure> {
        let connection = Connection::open(&self.file)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "cache_size", -(i64::from(self.cache_mib) * 1024))?;
        Ok(connection)
    }
}

impl Peer for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn version(&self) -> String {
        format!("SQLite {}, WAL, synchronous FULL, cache {} MiB a connection", rusqlite::version(), self.cache_mib)
    }

    fn load(&self, rows: u64, progress: &Progress) -> Result<(), Failure> {
        let connection = self.connect()?;
        let marks = ["?"; COLUMNS].join(", ");
        let mut insert = connection.prepare(&format!("insert into t values (?, {marks})"))?;
        let mut values = <[Field; COLUMNS]>::default();
        for from in (0..rows).step_by(LOAD_BATCH as usize) {
            let to = rows.min(from + LOAD_BATCH);
            connection.execute_batch("begin immediate")?;
            for id in from..to {
                self.shape.values(id, &mut values);
                insert.raw_bind_parameter(1, id.cast_signed())?;
                for (at, value) in (2..).zip(&values) {
                    match value {
                        Field::Number(v) => insert.raw_bind_parameter(at, v)?,
                        Field::Cents(v) => insert.raw_bind_parameter(at, *v as f64 / 100.0)?,
                        Field::Day(v) => insert.raw_bind_parameter(at, v)?,
                        Field::Text(text) => insert.raw_bind_parameter(at, text)?,
                    }
                }
                insert.raw_execute()?;
            }
            connection.execute_batch("commit")?;
            progress.add(to - from);
        }
        Ok(())
    }

    fn make_recent(&self, _rows: Range<u64>) -> Result<(), Failure> {
        Ok(())
    }

    fn read(&self, mut job: Job<'_>) -> Result<u64, Failure> {
        let connection = self.connect()?;
        let mut read = connection.prepare(&Shape::read('?'))?;
        while let Some(id) = job.next() {
            let mut rows = read.query(params![id.cast_signed()])?;
            let Some(row) = rows.next()? else { return Err(format!("row {id} is not there").into()) };
            for column in 0..COLUMNS {
                std::hint::black_box(row.get::<_, rusqlite::types::Value>(column)?);
            }
        }
        Ok(job.done())
    }

    fn update(&self, mut job: Job<'_>) -> Result<u64, Failure> {
        let connection = self.connect()?;
        let mut update = connection.prepare(&self.shape.update('?'))?;
        while let Some(id) = job.next() {
            let changed = match self.shape {
                Shape::Mixed => update.execute(params![id.cast_signed(), 1])?,
                Shape::Wide => update.execute(params![id.cast_signed(), Shape::text(job.done())])?,
            };
            if changed != 1 {
                return Err(format!("row {id} is not there").into());
            }
        }
        Ok(job.done())
    }

    fn memory(&self) -> Option<Memory> {
        None
    }
}

//! Colonnade in this process.

use std::ops::Range;
use std::path::Path;

use bench::Progress;
use colonnade::{Connection, Database, Error, Value};

use crate::Failure;
use crate::memory::Memory;
use crate::rows::{COLUMNS, Shape};
use crate::work::{Job, Peer};

/// Rows of a batch of the load.
const BATCH_ROWS: u64 = 8192;

pub(crate) struct Ours {
    database: Database,
    shape: Shape,
}

fn failure(error: Error) -> Failure {
    format!("{}: {}", error.state.as_str(), error.message).into()
}

impl Ours {
    /// Errors: the directory's.
    pub(crate) fn open(folder: &Path, shape: Shape, cache_mib: u32, delta_mib: u32) -> Result<Ours, Failure> {
        let mut options = colonnade::sql::Options::default();
        options.engine.cache_bytes_max = u64::from(cache_mib) << 20;
        options.engine.delta_bytes_max = u64::from(delta_mib) << 20;
        Ok(Ours { database: Database::open_with(folder, options).map_err(failure)?, shape })
    }

    fn connect(&self) -> Result<Connection, Failure> {
        self.database.connect().map_err(failure)
    }
}

impl Peer for Ours {
    fn name(&self) -> &'static str {
        "colonnade"
    }

    fn version(&self) -> String {
        let options = &self.database.instance().options().engine;
        let (cache, delta) = (options.cache_bytes_max >> 20, options.delta_bytes_max >> 20);
        format!("Colonnade {}, cache {cache} MiB, recent rows {delta} MiB", env!("CARGO_PKG_VERSION"))
    }

    fn load(&self, rows: u64, progress: &Progress) -> Result<(), Failure> {
        self.connect()?.execute(&self.shape.create().replace("integer_key", "bigint")).map_err(failure)?;
        let mut from = 0;
        let next = || {
            let ids = from..rows.min(from + BATCH_ROWS);
            from = ids.end;
            progress.add(ids.end - ids.start);
            let batch = (!ids.is_empty()).then(|| self.shape.batch(ids)).transpose();
            batch.map_err(|error| Error::bug(error.to_string()))
        };
        self.connect()?.append("t", next).map_err(failure)?;
        self.connect()?.execute("checkpoint").map(drop).map_err(failure)
    }

    fn make_recent(&self, rows: Range<u64>) -> Result<(), Failure> {
        let mut connection = self.connect()?;
        for from in rows.clone().step_by(5000) {
            let to = rows.end.min(from + 5000);
            connection.execute(&format!("update t set j = j where id >= {from} and id < {to}")).map_err(failure)?;
        }
        Ok(())
    }

    fn read(&self, mut job: Job<'_>) -> Result<u64, Failure> {
        let mut connection = self.connect()?;
        let read = connection.prepare(&Shape::read('$')).map_err(failure)?;
        while let Some(id) = job.next() {
            let rows = connection.query_prepared(&read, &[Value::from(id.cast_signed())]).map_err(failure)?;
            let found = rows.iter().next().map(|row| row.values().len());
            if found != Some(COLUMNS) {
                return Err(format!("row {id} is not there").into());
            }
        }
        Ok(job.done())
    }

    fn update(&self, mut job: Job<'_>) -> Result<u64, Failure> {
        let mut connection = self.connect()?;
        let update = connection.prepare(&self.shape.update('$')).map_err(failure)?;
        while let Some(id) = job.next() {
            let new = match self.shape {
                Shape::Mixed => Value::from(1_i64),
                Shape::Wide => Value::from(Shape::text(job.done())),
            };
            if connection.execute_prepared(&update, &[Value::from(id.cast_signed()), new]).map_err(failure)? != 1 {
                return Err(format!("row {id} is not there").into());
            }
        }
        Ok(job.done())
    }

    fn memory(&self) -> Option<Memory> {
        let status = self.database.instance().engine().status();
        let table = status.tables.iter().find(|table| table.name == "t")?;
        Some(Memory { index: table.index_bytes, cache: status.cache_bytes, delta: status.delta_bytes, segments: table.segments })
    }
}

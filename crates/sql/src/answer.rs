//! What a statement gives back.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;

use analytic::{BatchStream, Kept};
use arrow::array::RecordBatch;
use tokio::sync::Mutex;
use types::{Datum, RowImages, SqlError, SqlState};

pub use crate::copy::to::CopyOut;
use crate::cursor::Place;
use crate::dml::row_bytes;
use crate::pg_catalog::SystemRows;
use crate::prepare::OutputColumn;
use crate::watch::Watch;

/// The outcome of [`crate::Session::execute`]. What streams is owned and `Send`: it does not borrow the session, so that a portal
/// may keep it while other statements run.
pub enum Answer {
    /// Rows to pull.
    Rows(Rows),
    /// Done; the command tag, e.g. `INSERT 0 1`.
    Done(String),
    /// The statement was empty.
    Empty,
    /// The session now expects [`crate::Session::copy_in_data`], then `copy_in_finish` or `copy_in_fail`.
    CopyIn(CopyInInfo),
    /// Bytes to pull and send as COPY data.
    CopyOut(CopyOut),
}

/// What a client is told when COPY FROM STDIN begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyInInfo {
    /// Columns in each row.
    pub columns: usize,
    /// True for the binary format.
    pub binary: bool,
}

/// Some rows, in the form their executor made them.
#[derive(Clone, Debug)]
pub enum RowBatch {
    /// Row by row, each with one value per column.
    Datums(Vec<Vec<Datum>>),
    /// Row by row, as they were read.
    Images(RowImages),
    /// Column by column; the arrays' types are those of `types::arrow_form` or plain equivalents.
    Arrow(RecordBatch),
    /// Of system relations, with types of their own.
    System(Arc<SystemRows>),
}

impl RowBatch {
    /// How many rows.
    pub fn rows(&self) -> usize {
        match self {
            RowBatch::Datums(rows) => rows.len(),
            RowBatch::Images(rows) => rows.len(),
            RowBatch::Arrow(batch) => batch.num_rows(),
            RowBatch::System(rows) => rows.len(),
        }
    }

    /// The rows `from..to` of it.
    pub(crate) fn slice(&self, from: usize, to: usize) -> RowBatch {
        match self {
            RowBatch::Datums(rows) => RowBatch::Datums(rows[from..to].to_vec()),
            RowBatch::Images(rows) => RowBatch::Images(rows.slice(from, to)),
            RowBatch::Arrow(batch) => RowBatch::Arrow(batch.slice(from, to - from)),
            RowBatch::System(rows) => RowBatch::System(Arc::new(rows.slice(from, to))),
        }
    }
}

/// A result being pulled. Dropping it stops the query behind it.
pub struct Rows {
    columns: Arc<[OutputColumn]>,
    command: &'static str,
    source: Source,
    /// Room for rows that wait.
    kept: Option<Kept>,
    binary: bool,
}

enum Source {
    One(Option<RowBatch>),
    Ready(VecDeque<RowBatch>),
    Query {
        stream: BatchStream,
        watch: Option<Watch>,
        sees_own: bool,
    },
    /// Rows of a cursor, so many at most.
    Cursor {
        place: Arc<Mutex<Place>>,
        left: u64,
        watch: Option<Watch>,
    },
}

/// What [`Rows::hold`] keeps at most.
const HELD_BYTES_MAX: usize = 64 << 20;

impl Rows {
    /// Rows that are all there.
    pub(crate) fn ready(columns: Arc<[OutputColumn]>, command: &'static str, rows: Vec<Vec<Datum>>) -> Rows {
        let source = Source::One((!rows.is_empty()).then_some(RowBatch::Datums(rows)));
        Rows { columns, command, source, kept: None, binary: false }
    }

    /// Rows of a SELECT that are all there.
    pub(crate) fn images(columns: Arc<[OutputColumn]>, rows: RowImages) -> Rows {
        let source = Source::One((!rows.is_empty()).then_some(RowBatch::Images(rows)));
        Rows { columns, command: "SELECT", source, kept: None, binary: false }
    }

    /// The same with the room they take.
    pub(crate) fn with_room(self, kept: Kept) -> Rows {
        Rows { kept: Some(kept), ..self }
    }

    /// As [`Rows::ready`], in batches.
    pub(crate) fn batches(columns: Arc<[OutputColumn]>, command: &'static str, batches: Vec<RecordBatch>) -> Rows {
        let source = Source::Ready(batches.into_iter().map(RowBatch::Arrow).collect());
        Rows { columns, command, source, kept: None, binary: false }
    }

    /// Rows of system relations.
    pub(crate) fn system(columns: Arc<[OutputColumn]>, rows: SystemRows) -> Rows {
        let source = Source::One(Some(RowBatch::System(Arc::new(rows))));
        Rows { columns, command: "SELECT", source, kept: None, binary: false }
    }

    /// Rows of a running query. With `sees_own`, its transaction had made changes before.
    pub(crate) fn query(columns: Arc<[OutputColumn]>, stream: BatchStream, watch: Option<Watch>, sees_own: bool) -> Rows {
        Rows { columns, command: "SELECT", source: Source::Query { stream, watch, sees_own }, kept: None, binary: false }
    }

    /// The next rows of a cursor, at most so many, with room for those that [`Rows::hold`] keeps.
    pub(crate) fn fetched(
        columns: Arc<[OutputColumn]>,
        place: Arc<Mutex<Place>>,
        left: u64,
        binary: bool,
        watch: Option<Watch>,
        kept: Kept,
    ) -> Rows {
        Rows { columns, command: "FETCH", source: Source::Cursor { place, left, watch }, kept: Some(kept), binary }
    }

    /// Whether the values go to the client in binary form although it did not ask for it: a BINARY cursor's.
    pub fn is_binary(&self) -> bool {
        self.binary
    }

    /// Makes rows that are pulled later those of now, whatever the transaction does meanwhile: of a query that sees the
    /// transaction's own changes, the rest is read at once, as later changes of the same rows would take their place; so is that of a
    /// FETCH, which moves its cursor by all it asked for.
    ///
    /// Errors: as [`Rows::next`], 54000 for a rest of more than 64 MB, 53200 when all that is held is more than queries may use.
    pub async fn hold(&mut self) -> Result<(), SqlError> {
        let kept = match &self.source {
            Source::Query { stream, sees_own: true, .. } => Some(stream.keep("suspended results")),
            Source::Cursor { .. } => self.kept.take(),
            Source::Query { .. } | Source::One(_) | Source::Ready(_) => None,
        };
        let Some(mut kept) = kept else { return Ok(()) };
        let mut held = VecDeque::new();
        let mut bytes = 0;
        while let Some(batch) = self.next().await? {
            let (batch, size) = match batch {
                RowBatch::Arrow(batch) => {
                    let batch = kept.batch(&batch)?;
                    let size = batch.get_array_memory_size();
                    (RowBatch::Arrow(batch), size)
                }
                RowBatch::Datums(rows) => {
                    let size = rows.iter().map(|row| row_bytes(row)).sum();
                    kept.add(size)?;
                    (RowBatch::Datums(rows), size)
                }
                RowBatch::Images(rows) => {
                    let size = rows.bytes();
                    kept.add(size)?;
                    (RowBatch::Images(rows), size)
                }
                // Whoever made them has them all in memory.
                RowBatch::System(rows) => (RowBatch::System(rows), 0),
            };
            bytes += size;
            if bytes > HELD_BYTES_MAX {
                let message = "a suspended result of a cursor or of changed tables is larger than 64 MB";
                return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
                    .hint("Read it to its end at once, or before the transaction's first change."));
            }
            held.push_back(batch);
        }
        self.source = Source::Ready(held);
        self.kept = Some(kept);
        Ok(())
    }

    /// The columns of every batch.
    pub fn columns(&self) -> &Arc<[OutputColumn]> {
        &self.columns
    }

    /// The next rows, `None` after the last. Errors: whatever the query meets, 57014 when cancelled; the result is over then, and
    /// the caller must tell the session ([`crate::Session::fail`]).
    pub async fn next(&mut self) -> Result<Option<RowBatch>, SqlError> {
        match &mut self.source {
            Source::One(batch) => Ok(batch.take()),
            Source::Ready(batches) => Ok(batches.pop_front()),
            Source::Query { stream, watch, .. } => match stream.next().await {
                Some(Ok(batch)) => Ok(Some(RowBatch::Arrow(batch))),
                Some(Err(error)) => Err(match watch.take() {
                    Some(watch) => watch.explain(error),
                    None => error,
                }),
                None => {
                    *watch = None;
                    Ok(None)
                }
            },
            Source::Cursor { place, left, watch } => {
                // A cursor's own rows are never a cursor's.
                let found = Box::pin(async { place.lock().await.next(*left).await }).await;
                match &found {
                    Ok(Some(batch)) => *left -= batch.rows() as u64,
                    _ => *left = 0,
                }
                found.map_err(|error| match watch.take() {
                    Some(watch) => watch.explain(error),
                    None => error,
                })
            }
        }
    }

    /// The command tag once `rows` were sent, e.g. `SELECT 5`.
    pub fn tag(&self, rows: u64) -> String {
        tag(self.command, rows)
    }
}

/// PostgreSQL's tag of a command that handled `rows` rows.
pub(crate) fn tag(command: &str, rows: u64) -> String {
    let mut tag = String::with_capacity(32);
    tag.push_str(command);
    match command {
        "INSERT" => write!(tag, " 0 {rows}"),
        "SELECT" | "UPDATE" | "DELETE" | "MERGE" | "COPY" | "FETCH" => write!(tag, " {rows}"),
        _ => Ok(()),
    }
    .expect("writing to a string does not fail");
    tag
}

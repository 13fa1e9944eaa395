//! The log: one append-only stream of records, durable in groups, read back after a crash.
//!
//! ```text
//!   append ──copy──> buffer ──all that waits, framed──> file 7 | file 8 | spare | spare
//!                              one write, one sync         ^ truncate_below makes whole files spares
//!   (while a group is synced, the next one fills the buffer)
//! ```
//!
//! 1. The order of records is the order of [`Wal::append`]; a record's [`Lsn`] is where the stream ends after it.
//! 2. A record is acknowledged ([`Wal::durable`]) only when it and everything before it is on disk. What replay returns is a prefix
//!    of what was appended that holds at least everything acknowledged.
//! 3. A record that was appended has its place on disk: files are written with zeros and synced before they are used, and a record
//!    that would need one more waits for it, or fails with [`WalError::DiskFull`] before anything of it is written.
//! 4. A failed write or sync of the log closes it for good: nobody knows what is on disk, so nothing more may be acknowledged.
//! 5. What a crash tore is cut off; anything that was once durable and cannot be read is [`WalError::Damaged`]. The two are told
//!    apart by the durable position that every frame and file carries (`replay`).
//!
//! Not here: what a record means (`engine`), the byte layout (`frame`, docs/format.md "Log files").
//! Source: SQLite's WAL (salts), PostgreSQL's (recycled files), LevelDB's `log_writer`; DuckDB and Pebble for what goes wrong
//! when a torn tail and damage are treated alike.

#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use env::{Env, Priority};
use types::Lsn;

mod error;
mod file;
mod frame;
pub mod fuzzing;
mod prepare;
mod repair;
mod replay;
mod shared;
mod verify;
mod window;
mod witness;
mod writer;

#[cfg(test)]
mod tests;

pub use error::{ReplayStop, WalError};
use prepare::Preparer;
pub use repair::{Cut, cut_damaged};
use shared::{Haste, Shared};
use writer::{Writer, WriterJob};

/// The longest record, in bytes.
pub const RECORD_BYTES_MAX: usize = 2 << 30;

/// Where the log is and how large its parts are.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory of the log files, created if missing. Nothing else may be in it.
    pub dir: PathBuf,
    /// Bytes of a new file, rounded up to whole pages and at least [`Options::FILE_BYTES_MIN`]. Files of other lengths are still read.
    pub file_bytes: u64,
    /// Appended bytes that may wait to become durable; an append beyond it waits. A longer record goes through alone.
    pub buffer_bytes_max: usize,
}

impl Options {
    /// The smallest file: its header, one frame and a mark need 1.5 KiB; below this the padding would be most of it.
    pub const FILE_BYTES_MIN: u64 = 8192;

    /// A log in `dir` with files of 64 MiB and a buffer of 16 MiB.
    pub fn new(dir: impl Into<PathBuf>) -> Options {
        Options { dir: dir.into(), file_bytes: 64 << 20, buffer_bytes_max: 16 << 20 }
    }

    fn rounded(self) -> Options {
        let file_bytes = self.file_bytes.max(Options::FILE_BYTES_MIN).next_multiple_of(file::PAGE);
        Options { file_bytes, ..self }
    }
}

/// The log of one database, open for appending. All methods may be called from many threads.
pub struct Wal {
    shared: Arc<Shared>,
}

impl Wal {
    /// Reads the log in `options.dir` and opens it for appending.
    ///
    /// `replay` gets each record after `from`, which is 0 or the end of a record, in order, with the LSN of its end. A tail that a
    /// crash tore is cut; what was replayed is durable when this returns. Replay needs memory for the longest record and little more.
    ///
    /// Errors: [`WalError::Damaged`] if something that was durable cannot be read, [`WalError::Missing`] if the log does not reach
    /// back or forth to `from`, [`WalError::Stopped`] if `replay` said so, [`WalError::Version`], [`WalError::Io`]. The records are as
    /// they were after any of them; after the last, the torn tail may be cut and files that are not needed removed.
    pub fn open(
        env: Arc<dyn Env>,
        options: Options,
        from: Lsn,
        replay: &mut dyn FnMut(Lsn, &[u8]) -> Result<(), ReplayStop>,
    ) -> Result<Wal, WalError> {
        let options = options.rounded();
        let recovered = replay::recover(&*env, &options, from, replay)?;
        let end = recovered.end;
        let writer = Writer::new(recovered.tail, end, recovered.restart, recovered.witness);
        let shared = Arc::new(Shared::new(env.clone(), options, recovered.files, writer, end));
        let preparer = Preparer::new(shared.clone());
        shared.set_jobs(
            env.spawn("wal-writer", Priority::Normal, Box::new(WriterJob::new(shared.clone()))),
            env.spawn("wal-files", Priority::Normal, Box::new(preparer)),
        );
        Ok(Wal { shared })
    }

    /// Appends the concatenation of `record`'s parts as one record; returns its end, for [`Wal::wait_durable`]. Costs a copy; the
    /// record may become durable at any time from now on.
    ///
    /// Waits while too much waits to become durable, and for the preparation of files that the record needs. Calls that run at the
    /// same time may be ordered in any way. Errors: [`WalError::DiskFull`] (nothing was appended; try again when there is space),
    /// [`WalError::TooLong`], [`WalError::Closed`].
    pub fn append(&self, record: &[&[u8]]) -> Result<Lsn, WalError> {
        self.append_with(record, Haste::AtOnce)
    }

    /// As [`Wal::append`], for a record that nobody waits for: the log writes it after 200 ms, unless something appended later, or so
    /// much of it, is to be written before. [`Wal::wait_durable`] hastens it.
    pub fn append_lazily(&self, record: &[&[u8]]) -> Result<Lsn, WalError> {
        self.append_with(record, Haste::Lazy)
    }

    fn append_with(&self, record: &[&[u8]], haste: Haste) -> Result<Lsn, WalError> {
        let (end, tell) = self.shared.stage(record, haste)?;
        if tell {
            self.shared.wake_writer();
        }
        Ok(end)
    }

    /// As [`Wal::append`], for a caller that calls [`Wal::write_here`] next and waits for nothing before: until then, nobody may
    /// write the record.
    pub fn stage(&self, record: &[&[u8]]) -> Result<Lsn, WalError> {
        Ok(self.shared.stage(record, Haste::AtOnce)?.0)
    }

    /// Has what waits written: in this thread, if nobody writes just now, it is little and the disk answers fast; the callbacks of
    /// [`Wal::on_durable`] are then called in it. Otherwise the log's own thread does it, and this returns at once. What fails
    /// closes the log, see [`Wal::wait_durable`].
    pub fn write_here(&self) {
        writer::write_here(&self.shared);
    }

    /// Everything before this position is on disk.
    pub fn durable(&self) -> Lsn {
        Lsn(self.shared.durable.load(Ordering::Acquire))
    }

    /// The end of the last record appended.
    pub fn end(&self) -> Lsn {
        Lsn(self.shared.buffer.lock().end)
    }

    /// Returns when everything before `lsn` is on disk. Errors: [`WalError::Closed`], then it may or may not be.
    pub fn wait_durable(&self, lsn: Lsn) -> Result<(), WalError> {
        self.shared.wait_durable(lsn.0)
    }

    /// Has `f` called in the thread that writes, with the new durable position after each group, and once with the error if the log
    /// fails for good (at once if it has failed already). `f` must be short, as no group is written meanwhile, and must not take a
    /// lock that is held while appending: the append may be waiting for the writer.
    pub fn on_durable(&self, f: Box<dyn Fn(Result<Lsn, WalError>) + Send + Sync>) {
        self.shared.listen(f.into());
    }

    /// Gives up what is before `lsn`: files that hold nothing else are used again or removed. `lsn` must never be needed as `from`
    /// again for anything smaller. Errors: [`WalError::Io`]; the files are then given up by a later call or opening.
    pub fn truncate_below(&self, lsn: Lsn) -> Result<(), WalError> {
        self.shared.truncate_below(lsn.0)
    }

    /// Reads everything again that is durable now and has not been given up, and returns the first thing in it that is damaged.
    /// Appends go on; whoever calls sees to it that [`Wal::truncate_below`] is not called meanwhile. Errors: [`WalError::Io`].
    pub fn verify(&self) -> Result<Option<WalError>, WalError> {
        verify::verify(&self.shared)
    }

    /// Makes everything durable, marks the end and stops the writer. Later appends fail with [`WalError::Closed`]; a second close
    /// does nothing. Errors: [`WalError::Closed`] if the log has failed.
    pub fn close(&self) -> Result<(), WalError> {
        self.shared.close()
    }
}

impl Drop for Wal {
    /// Stops the writer where it is: what is not yet durable may be lost. [`Wal::close`] loses nothing.
    fn drop(&mut self) {
        self.shared.stop_jobs();
    }
}

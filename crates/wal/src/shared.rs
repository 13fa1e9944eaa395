//! What appenders, the writer and the preparer of files share, under one short lock.
//!
//! Space is promised before it is needed: `reserved`, what everything not yet on disk may take at most, never exceeds `room`, what
//! is left in files that exist. So a record that was appended is never refused for lack of space.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use env::{Env, JobHandle, Signal};
use parking_lot::Mutex;
use types::Lsn;

use crate::error::WalError;
use crate::file::{LogFile, cost};
use crate::frame::RECORD_HEADER;
use crate::writer::Writer;
use crate::{Options, RECORD_BYTES_MAX};

/// Spare files kept when the log is truncated, 1 GiB at the default size: what usually comes back from one checkpoint.
pub(crate) const SPARES_MAX: usize = 16;

/// An append does not try again to make a file if that failed less than this ago: it would write and remove most of a file.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// How long a lazy record may wait to be written: PostgreSQL's default `wal_writer_delay`.
pub(crate) const LAZY_MAX: Duration = Duration::from_millis(200);

/// More lazy bytes than this do not wait: PostgreSQL's default `wal_writer_flush_after`.
const LAZY_BYTES_MAX: usize = 1 << 20;

/// Whether somebody waits for a record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Haste {
    AtOnce,
    Lazy,
}

type Listener = dyn Fn(Result<Lsn, WalError>) + Send + Sync;

/// A file that holds part of the stream, from `first` on.
pub(crate) struct Live {
    pub(crate) log_file: LogFile,
    pub(crate) first: u64,
}

/// All files of the log but those in the making.
pub(crate) struct FileSet {
    /// In stream order. The writer is in the last one.
    pub(crate) live: VecDeque<Live>,
    pub(crate) spares: Vec<LogFile>,
    pub(crate) next_number: u64,
}

/// See the module.
pub(crate) struct Buffer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) end: u64,
    /// Records in `bytes`.
    pub(crate) records: usize,
    /// Until when, by the monotonic clock, `bytes` may wait to be written. `None`: somebody waits for them.
    pub(crate) lazy_until: Option<Duration>,
    /// The [`cost`] of what the writer has taken and not yet written.
    pub(crate) in_flight: u64,
    /// What an append waits for.
    pub(crate) wanted: u64,
    /// [`LogFile::room_from`] where the writer is.
    pub(crate) tail_room: u64,
    pub(crate) files: FileSet,
    /// When the last attempt to make a file failed for lack of space.
    pub(crate) full_since: Option<Duration>,
    /// Why no more files can be made; the writer will close the log for it.
    pub(crate) broken: Option<Arc<str>>,
    pub(crate) closing: bool,
    /// While nobody is writing.
    pub(crate) idle_writer: Option<Box<Writer>>,
}

impl Buffer {
    /// With `more` bytes. All of the buffer goes in one group.
    pub(crate) fn reserved(&self, more: u64) -> u64 {
        self.in_flight + cost(self.bytes.len() as u64 + more)
    }

    /// Adds a record that takes so many bytes with its header.
    fn take(&mut self, record: &[&[u8]], bytes: u64) {
        self.bytes.extend_from_slice(&((bytes - RECORD_HEADER as u64) as u32).to_le_bytes());
        record.iter().for_each(|part| self.bytes.extend_from_slice(part));
        self.end += bytes;
        self.records += 1;
    }

    pub(crate) fn room(&self) -> u64 {
        self.tail_room + self.files.spares.iter().map(LogFile::room).sum::<u64>()
    }
}

/// See the module.
pub(crate) struct Shared {
    pub(crate) env: Arc<dyn Env>,
    pub(crate) options: Options,
    pub(crate) buffer: Mutex<Buffer>,
    pub(crate) durable: AtomicU64,
    changes: AtomicU64,
    changed: Arc<dyn Signal>,
    failure: OnceLock<WalError>,
    closed: OnceLock<()>,
    listeners: Mutex<Arc<Vec<Arc<Listener>>>>,
    jobs: OnceLock<Jobs>,
}

struct Jobs {
    writer: Arc<dyn JobHandle>,
    preparer: Arc<dyn JobHandle>,
}

impl Shared {
    pub(crate) fn new(env: Arc<dyn Env>, options: Options, files: FileSet, writer: Writer, end: u64) -> Shared {
        let buffer = Buffer {
            bytes: Vec::new(),
            end,
            records: 0,
            lazy_until: None,
            in_flight: 0,
            wanted: 0,
            tail_room: writer.tail_room(),
            files,
            full_since: None,
            broken: None,
            closing: false,
            idle_writer: Some(Box::new(writer)),
        };
        Shared {
            changed: env.signal(),
            env,
            options,
            buffer: Mutex::new(buffer),
            durable: AtomicU64::new(end),
            changes: AtomicU64::new(0),
            failure: OnceLock::new(),
            closed: OnceLock::new(),
            listeners: Mutex::default(),
            jobs: OnceLock::new(),
        }
    }

    pub(crate) fn set_jobs(&self, writer: Arc<dyn JobHandle>, preparer: Arc<dyn JobHandle>) {
        self.jobs.get_or_init(|| Jobs { writer, preparer });
    }

    pub(crate) fn wake_writer(&self) {
        self.jobs.get().inspect(|jobs| jobs.writer.wake());
    }

    pub(crate) fn wake_preparer(&self) {
        self.jobs.get().inspect(|jobs| jobs.preparer.wake());
    }

    /// Stops the jobs where they are.
    pub(crate) fn stop_jobs(&self) {
        self.buffer.lock().closing = true;
        self.jobs.get().inspect(|jobs| {
            jobs.preparer.stop();
            jobs.writer.stop();
        });
    }

    /// Appends without waking anybody; returns the end and whether the writer is to be told.
    pub(crate) fn stage(&self, record: &[&[u8]], haste: Haste) -> Result<(Lsn, bool), WalError> {
        let len = record.iter().fold(0usize, |sum, part| sum.saturating_add(part.len()));
        if len > RECORD_BYTES_MAX {
            return Err(WalError::TooLong { bytes: len });
        }
        let bytes = (RECORD_HEADER + len) as u64;
        loop {
            let seen = self.changes.load(Ordering::Acquire);
            if let Some(appended) = self.try_append(record, bytes, haste)? {
                return Ok(appended);
            }
            if !self.changed.wait_until(&mut || self.changes.load(Ordering::Acquire) != seen, None) {
                return Err(given_up());
            }
        }
    }

    /// `None`: something must change first.
    fn try_append(&self, record: &[&[u8]], bytes: u64, haste: Haste) -> Result<Option<(Lsn, bool)>, WalError> {
        let mut buffer = self.buffer.lock();
        self.check_open(&buffer)?;
        let waiting = buffer.end - self.durable.load(Ordering::Acquire);
        if waiting > 0 && waiting + bytes > self.options.buffer_bytes_max as u64 {
            drop(buffer);
            self.hurry();
            return Ok(None);
        }
        let reserved = buffer.reserved(bytes);
        if reserved > buffer.room() {
            if buffer.full_since.is_some_and(|since| self.env.monotonic().saturating_sub(since) < RETRY_AFTER) {
                if env::seeded_bug("refused-record-stays") {
                    buffer.take(record, bytes);
                }
                return Err(WalError::DiskFull { dir: self.options.dir.clone() });
            }
            buffer.wanted = buffer.wanted.max(reserved);
            drop(buffer);
            self.wake_preparer();
            return Ok(None);
        }
        let was_empty = buffer.bytes.is_empty();
        let was_lazy = buffer.lazy_until.is_some();
        buffer.take(record, bytes);
        buffer.lazy_until = match haste {
            Haste::Lazy if was_empty => Some(self.env.monotonic() + LAZY_MAX),
            Haste::Lazy if buffer.bytes.len() <= LAZY_BYTES_MAX => buffer.lazy_until,
            Haste::Lazy | Haste::AtOnce => None,
        };
        let tell = was_empty || (was_lazy && buffer.lazy_until.is_none());
        Ok(Some((Lsn(buffer.end), tell)))
    }

    /// Has what waits written at once.
    pub(crate) fn hurry(&self) {
        if self.buffer.lock().lazy_until.take().is_some() {
            self.wake_writer();
        }
    }

    fn check_open(&self, buffer: &Buffer) -> Result<(), WalError> {
        match (self.failure.get(), &buffer.broken) {
            (Some(failure), _) => Err(failure.clone()),
            // The writer may be in a callback that waits for whoever is in this append.
            (None, Some(cause)) => Err(WalError::Closed { cause: cause.clone() }),
            (None, None) if buffer.closing => Err(WalError::Closed { cause: "by its owner".into() }),
            (None, None) => Ok(()),
        }
    }

    pub(crate) fn wait_durable(&self, lsn: u64) -> Result<(), WalError> {
        let durable = || self.durable.load(Ordering::Acquire) >= lsn;
        let mut over = || durable() || self.failure.get().is_some() || self.closed.get().is_some();
        if !durable() {
            self.hurry();
        }
        if durable() || (self.changed.wait_until(&mut over, None) && durable()) {
            return Ok(());
        }
        Err(self.failure.get().cloned().unwrap_or_else(given_up))
    }

    pub(crate) fn close(&self) -> Result<(), WalError> {
        self.buffer.lock().closing = true;
        self.note_change();
        self.wake_writer();
        self.changed.wait_until(&mut || self.closed.get().is_some() || self.failure.get().is_some(), None);
        self.stop_jobs();
        match (self.closed.get(), self.failure.get()) {
            (Some(()), _) => Ok(()),
            (None, failure) => Err(failure.cloned().unwrap_or_else(given_up)),
        }
    }

    pub(crate) fn truncate_below(&self, lsn: u64) -> Result<(), WalError> {
        let mut removed = Vec::new();
        {
            let mut buffer = self.buffer.lock();
            let FileSet { live, spares, .. } = &mut buffer.files;
            // A file whose first bytes are not durable may not have its header yet: nothing else on disk tells where the log goes on.
            let durable = self.durable.load(Ordering::Acquire);
            while live.get(1).is_some_and(|next| next.first <= lsn && next.first < durable) {
                let Some(Live { log_file, .. }) = live.pop_front() else { break };
                let is_kept = spares.len() < SPARES_MAX && !env::seeded_bug("log-cut-before-manifest");
                if is_kept && log_file.len == self.options.file_bytes {
                    spares.push(log_file);
                } else {
                    removed.push(log_file);
                }
            }
        }
        env::point(&*self.env, "log: files given up");
        self.note_change();
        for log_file in &removed {
            env::point(&*self.env, "log: file to be removed");
            self.env.unlink(&log_file.path).map_err(WalError::io("remove log file", &log_file.path))?;
        }
        if !removed.is_empty() {
            self.env.sync_dir(&self.options.dir).map_err(WalError::io("sync log directory", &self.options.dir))?;
        }
        Ok(())
    }

    pub(crate) fn listen(&self, listener: Arc<Listener>) {
        let mut listeners = self.listeners.lock();
        match self.failure.get() {
            None => Arc::make_mut(&mut listeners).push(listener),
            Some(failure) => {
                drop(listeners);
                listener(Err(failure.clone()));
            }
        }
    }

    /// Everybody who waits looks again.
    pub(crate) fn note_change(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_all();
    }

    /// Everything before `durable` is on disk: tells whoever waits for it.
    pub(crate) fn announce(&self, durable: u64) {
        self.durable.store(durable, Ordering::Release);
        self.note_change();
        let listeners = self.listeners.lock().clone();
        listeners.iter().for_each(|listener| listener(Ok(Lsn(durable))));
    }

    /// The log has failed for good. Only the first failure counts.
    pub(crate) fn fail(&self, cause: &str) {
        let failure = WalError::Closed { cause: cause.into() };
        if self.closed.get().is_some() || self.failure.set(failure.clone()).is_err() {
            return;
        }
        if !self.buffer.lock().closing {
            tracing::error!(cause, "the log has failed");
        }
        self.note_change();
        let listeners = std::mem::take(&mut *self.listeners.lock());
        listeners.iter().for_each(|listener| listener(Err(failure.clone())));
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failure.get().is_some()
    }

    /// The writer has done its last work.
    pub(crate) fn set_closed(&self) {
        self.closed.get_or_init(|| ());
        self.note_change();
    }
}

/// For waits that end although nothing happened: only in a simulation whose machine is gone.
fn given_up() -> WalError {
    WalError::Closed { cause: "the wait was given up".into() }
}

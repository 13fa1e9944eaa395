//! The writer: takes all that waits, writes it as one group, syncs, tells, and does it again.
//!
//! 1. A group is one write and one sync in one file. What goes beyond the file's end is a group of its own in the next file, begun
//!    after the sync: so a file's header, by being there, says that everything before the file is durable.
//! 2. Every frame of a group carries the position where the group starts, which is durable when the group is written.
//! 3. At rest, a mark behind the last group says that this one is durable too, and so does the witness, in a file of its own. They
//!    are not synced: they are evidence, not data.
//! 4. What nobody waits for is written once it has waited for a while, or with what somebody does wait for.
//! 5. One thread writes at a time: it holds the [`Writer`], which otherwise lies in the buffer. Mostly that is the job; a committer
//!    who finds it there may write its record itself and saves two changes of thread. Who puts it back and sees more waiting, or
//!    something only the job does, wakes the job: nothing waits for a thread that may not come.
//!
//! Source: "natural" group commit, without a timer (measured: 32 clients 82,000 commits/s and more at 97 us a sync).

use std::sync::Arc;
use std::time::Duration;

use env::{Job, Next};

use crate::error::WalError;
use crate::file::{LogFile, PAGE, cost};
use crate::frame::{FRAME_HEADER, Frame, PAYLOAD_MAX, SECTOR, encode_file_header};
use crate::shared::{Buffer, Live, Shared};
use crate::witness::Witness;

/// How long after the last group the log is taken to be at rest. A busy log need not write marks: the next group says as much.
const REST: Duration = Duration::from_millis(50);

/// Framed bytes written at a time; bounds the memory for framing.
const WRITE_MAX: usize = if cfg!(test) { 8 << 10 } else { 4 << 20 };

/// Where the stream ends.
pub(crate) struct Tail {
    pub(crate) log_file: LogFile,
    pub(crate) salt: u64,
    /// Of the next frame.
    pub(crate) offset: u64,
}

/// A committer writes its record itself only while the last group took no longer than this: it blocks a thread that serves others.
const HERE_MAX: Duration = Duration::from_micros(500);

/// More waiting bytes than this are the job's, for the same reason.
const HERE_BYTES_MAX: usize = 64 << 10;

/// Where writing is, see the module.
pub(crate) struct Writer {
    tail: Option<Tail>,
    /// The stream up to here is durable.
    end: u64,
    /// The next frame is the first after an incomplete record.
    restart: bool,
    marked: bool,
    witness: Witness,
    group: Vec<u8>,
    /// So much of `group` is durable.
    done: usize,
    framed: Vec<u8>,
    /// When the last part was on disk, by the monotonic clock, and how long that took.
    written_at: Duration,
    took: Duration,
    /// The last group was more than one record: more committers than one are at work.
    shared_group: bool,
}

/// The right to write, until it is dropped.
struct Turn<'a> {
    shared: &'a Shared,
    writer: Option<Box<Writer>>,
    was_marked: bool,
}

impl<'a> Turn<'a> {
    fn take(shared: &'a Shared, buffer: &mut Buffer) -> Option<Turn<'a>> {
        let writer = buffer.idle_writer.take()?;
        Some(Turn { shared, was_marked: writer.marked, writer: Some(writer) })
    }

    /// The next piece of work, if `work` fails the last one of all.
    fn step(&mut self) -> Next {
        let Some(writer) = &mut self.writer else { return Next::Done };
        let error = match writer.work(self.shared) {
            Ok(next) => return next,
            Err(error) => error,
        };
        self.writer = None;
        match error {
            WalError::Closed { cause } => self.shared.fail(&cause),
            error => self.shared.fail(&error.to_string()),
        }
        Next::Done
    }
}

impl Drop for Turn<'_> {
    /// Rule 5.
    fn drop(&mut self) {
        let Some(writer) = self.writer.take() else { return };
        if std::thread::panicking() {
            return self.shared.fail("its writer has stopped");
        }
        let to_mark = self.was_marked && !writer.marked;
        let mut buffer = self.shared.buffer.lock();
        buffer.idle_writer = Some(writer);
        let more = !buffer.bytes.is_empty() || buffer.closing || buffer.broken.is_some();
        drop(buffer);
        if more || to_mark {
            self.shared.wake_writer();
        }
    }
}

/// Writes what waits in this thread, if that is short and nobody else does; else sees to it that the job does. Where committers
/// are many, the job makes larger groups: by the time it has woken up, more of them have come.
pub(crate) fn write_here(shared: &Shared) {
    let mut buffer = shared.buffer.lock();
    let Some(writer) = &buffer.idle_writer else { return };
    let short =
        writer.took <= HERE_MAX && !writer.shared_group && writer.group.is_empty() && buffer.bytes.len() <= HERE_BYTES_MAX;
    if !short || buffer.closing || buffer.broken.is_some() {
        drop(buffer);
        return shared.wake_writer();
    }
    let turn = if buffer.bytes.is_empty() { None } else { Turn::take(shared, &mut buffer) };
    drop(buffer);
    if let Some(mut turn) = turn {
        while let Next::Again = turn.step() {}
    }
}

impl Writer {
    /// A writer after a recovery that left a mark at the end.
    pub(crate) fn new(tail: Option<Tail>, end: u64, restart: bool, witness: Witness) -> Writer {
        let (group, framed) = (Vec::new(), Vec::new());
        let (written_at, took) = (Duration::ZERO, Duration::ZERO);
        let (marked, shared_group) = (true, false);
        Writer { tail, end, restart, marked, witness, group, done: 0, framed, written_at, took, shared_group }
    }

    pub(crate) fn tail_room(&self) -> u64 {
        self.tail.as_ref().map_or(0, |tail| tail.log_file.room_from(tail.offset))
    }

    fn work(&mut self, shared: &Shared) -> Result<Next, WalError> {
        let (closing, left) = {
            let mut buffer = shared.buffer.lock();
            if let Some(cause) = &buffer.broken {
                return Err(WalError::Closed { cause: cause.clone() });
            }
            let left =
                buffer.lazy_until.and_then(|until| until.checked_sub(shared.env.monotonic())).filter(|left| !left.is_zero());
            if self.group.is_empty() && !buffer.bytes.is_empty() && (left.is_none() || buffer.closing) {
                buffer.lazy_until = None;
                std::mem::swap(&mut buffer.bytes, &mut self.group);
                buffer.in_flight = cost(self.group.len() as u64);
                self.shared_group = std::mem::take(&mut buffer.records) > 1;
            }
            (buffer.closing, left)
        };
        if !self.group.is_empty() {
            self.write_part(shared)?;
            return Ok(if self.group.is_empty() { Next::Sleep(REST) } else { Next::Again });
        }
        if !self.marked {
            let rested = shared.env.monotonic().saturating_sub(self.written_at);
            if rested < REST && !closing {
                return Ok(Next::Sleep(left.unwrap_or(REST).min(REST - rested))); // others have written meanwhile
            }
            self.write_mark()?;
        }
        if closing {
            if let Some(tail) = &self.tail {
                tail.log_file.sync()?;
                self.witness.sync();
            }
            shared.set_closed();
            return Ok(Next::Done);
        }
        Ok(left.map_or(Next::Wait, Next::Sleep))
    }

    /// Makes durable as much of the group as one file takes.
    fn write_part(&mut self, shared: &Shared) -> Result<(), WalError> {
        let begun = shared.env.monotonic();
        let mut group = std::mem::take(&mut self.group);
        if env::seeded_bug("acknowledged-before-written") {
            shared.announce(self.end + (group.len() - self.done) as u64);
        }
        let written = self.write_in_one_file(&group[self.done..], shared)?;
        self.written_at = shared.env.monotonic();
        self.took = self.written_at.saturating_sub(begun);
        self.done += written;
        self.end += written as u64;
        self.marked = false;
        {
            let mut buffer = shared.buffer.lock();
            buffer.in_flight = cost((group.len() - self.done) as u64);
            buffer.tail_room = self.tail_room();
        }
        if self.done == group.len() {
            self.done = 0;
            group.clear();
            group.shrink_to(shared.options.buffer_bytes_max); // one long record must not keep its memory
        }
        self.group = group;
        shared.announce(self.end);
        Ok(())
    }

    /// Writes and syncs as much of `bytes` as the file has room for, in the next file if this one has none; returns how much.
    fn write_in_one_file(&mut self, bytes: &[u8], shared: &Shared) -> Result<usize, WalError> {
        self.framed.clear();
        let (tail, mut at) = match self.tail.take_if(|tail| tail.offset < tail.log_file.capacity()) {
            Some(tail) => {
                let offset = tail.offset;
                (tail, offset)
            }
            None => {
                let tail = self.next_file(shared)?;
                self.framed.extend_from_slice(&encode_file_header(tail.salt, Some(self.end)));
                (tail, 0)
            }
        };
        let Tail { log_file, salt, .. } = tail;
        let mut written = 0;
        loop {
            let left = log_file.capacity() - (at + self.framed.len() as u64);
            if left < SECTOR || written == bytes.len() {
                break;
            }
            let len = (bytes.len() - written).min(PAYLOAD_MAX).min(left as usize - FRAME_HEADER);
            let lsn = self.end + written as u64;
            let frame = Frame { len, salt, lsn, durable: self.end, restart: std::mem::take(&mut self.restart) };
            frame.encode(&bytes[written..written + len], &mut self.framed);
            written += len;
            if self.framed.len() >= WRITE_MAX {
                log_file.write(&self.framed, at)?;
                at += self.framed.len() as u64;
                self.framed.clear();
            }
        }
        let offset = at + self.framed.len() as u64;
        let page_end = offset.next_multiple_of(PAGE).min(log_file.len);
        self.framed.resize((page_end - at) as usize, 0);
        log_file.write(&self.framed, at)?;
        env::point(&*shared.env, "log: group written");
        log_file.sync()?;
        env::point(&*shared.env, "log: group synced");
        self.tail = Some(Tail { log_file, salt, offset });
        Ok(written)
    }

    fn next_file(&mut self, shared: &Shared) -> Result<Tail, WalError> {
        let log_file = {
            let mut buffer = shared.buffer.lock();
            let Some(log_file) = buffer.files.spares.pop() else {
                return Err(WalError::Closed { cause: "a record was taken for which there is no file (a bug)".into() });
            };
            buffer.files.live.push_back(Live { log_file: log_file.clone(), first: self.end });
            buffer.tail_room = log_file.room();
            log_file
        };
        env::point(&*shared.env, "log: next file begun");
        shared.wake_preparer();
        Ok(Tail { log_file, salt: shared.env.random_u64(), offset: SECTOR })
    }

    fn write_mark(&mut self) -> Result<(), WalError> {
        if let Some(Tail { log_file, salt, offset }) = &self.tail {
            self.framed.clear();
            Frame { len: 0, salt: *salt, lsn: self.end, durable: self.end, restart: false }.encode(&[], &mut self.framed);
            log_file.write(&self.framed, *offset)?;
            self.witness.write(self.end);
        }
        self.marked = true;
        Ok(())
    }
}

/// Writes whatever nobody writes for itself, the marks, and the end.
pub(crate) struct WriterJob {
    shared: Arc<Shared>,
}

impl WriterJob {
    pub(crate) fn new(shared: Arc<Shared>) -> WriterJob {
        WriterJob { shared }
    }
}

impl Job for WriterJob {
    fn step(&mut self) -> Next {
        if self.shared.has_failed() {
            return Next::Done;
        }
        let turn = Turn::take(&self.shared, &mut self.shared.buffer.lock());
        turn.map_or(Next::Wait, |mut turn| turn.step())
    }
}

impl Drop for WriterJob {
    /// Whatever ended the job, nobody waits for it in vain.
    fn drop(&mut self) {
        self.shared.fail("its writer has stopped");
    }
}

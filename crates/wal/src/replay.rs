//! Reading the log after a crash: what is a torn tail, what is damage.
//!
//! ```text
//!   file 4 (first 0)          file 7 (first 9000)                     file 5 (spare)
//!   [frame][frame][frame]     [frame][frame][ bad ][frame]            [older frames]
//!                                           ^ x       ^ valid, and says "durable up to d" when it was written
//! ```
//!
//! 1. Files follow one another by the position in their headers; the stream is read to the first frame that is not valid, at x.
//! 2. If a frame after it in that file, or the header of another file, says that the stream was durable beyond x, then the bad frame
//!    was durable once: [`WalError::Damaged`]. Frames that were written together say no more than that what was before them was
//!    durable, so parts of a torn group, in any order, are no such evidence.
//! 3. Else everything from x on was never acknowledged: it is zeroed, so that the next recovery sees the same end.
//! 4. What was read is synced before it is handed to anyone who could acknowledge it again: after a mere kill of the process it may
//!    be in the page cache only. Only then a mark is set that calls it durable.
//! 5. The stream may end within a record. Its bytes stay; the next frame tells the reader to drop them.
//!
//! A last group that was acknowledged and then damaged, with nothing behind it that knows of it, cannot be told from a torn one.
//! The writer sets a mark behind the last group as soon as it rests, and at close, and notes the same in the [`Witness`], so that this
//! takes a crash within that moment *and* rot.
//!
//! 6. After a failed sync the page cache calls clean what the disk does not have. The next process must not take that for durable: it
//!    reads the files' headers, and the last file, from the disk.
//!
//! Source for rule 6: "Can Applications Recover from fsync Failures?" (USENIX ATC 2020).

use std::path::Path;

use env::Env;
use types::Lsn;

use crate::error::{ReplayStop, WalError};
use crate::file::{LogFile, number_of, path_of};
use crate::frame::{FileHeader, Frame, RECORD_HEADER, SECTOR};
use crate::shared::{FileSet, Live, SPARES_MAX};
use crate::window::Window;
use crate::witness::Witness;
use crate::writer::Tail;
use crate::{Options, RECORD_BYTES_MAX};

/// Bytes zeroed at a time behind the end.
const CUT_BLOCK: u64 = 64 << 10;

/// A log that was read.
pub(crate) struct Recovered {
    pub(crate) files: FileSet,
    /// The file the stream ends in; `None` in a new log.
    pub(crate) tail: Option<Tail>,
    pub(crate) end: u64,
    /// Rule 5.
    pub(crate) restart: bool,
    pub(crate) witness: Witness,
}

/// Reads all records after `from`, then makes the log ready for the writer.
pub(crate) fn recover(
    env: &dyn Env,
    options: &Options,
    from: Lsn,
    replay: &mut dyn FnMut(Lsn, &[u8]) -> Result<(), ReplayStop>,
) -> Result<Recovered, WalError> {
    let dir = &options.dir;
    env.create_dir_all(dir).map_err(WalError::io("create log directory", dir))?;
    let Found { mut used, mut spares, invalid, next_number } = find(env, dir)?;
    let seen = Seen { checkpoint: from.0, witness: Witness::read(env, dir)? };
    let mut records = Records { from: from.0, partial: Vec::new(), replay };
    let (end, tail) = match used.iter().rposition(|file| file.first <= from.0) {
        Some(start) => {
            spares.extend(used.drain(..start).map(|file| file.log_file)); // all before `from`
            let end = read(&used, &mut records)?;
            (end, used.last())
        }
        None if used.is_empty() && from.0 == 0 => (End { offset: SECTOR, lsn: 0, marked: false }, None),
        None => {
            check_nothing_is_lost(None, End { offset: SECTOR, lsn: 0, marked: false }, &seen, &invalid)?;
            let first = Lsn(used.first().map_or(0, |file| file.first));
            let end = Lsn(used.last().map_or(0, |file| file.first));
            return Err(WalError::Missing { dir: dir.clone(), first, end, from });
        }
    };
    check_nothing_is_lost(tail, end, &seen, &invalid)?;
    if tail.is_none() && seen.witness > end.lsn {
        let (first, end, from) = (Lsn(0), Lsn(end.lsn), Lsn(seen.witness));
        return Err(WalError::Missing { dir: dir.clone(), first, end, from });
    }
    let restart = !records.partial.is_empty();
    env::point(env, "replay: read");
    let tail = match tail {
        Some(file) => {
            cut(&file.log_file, file.salt, end)?;
            Some(Tail { log_file: file.log_file.clone(), salt: file.salt, offset: end.offset })
        }
        None => None,
    };
    // Files that were never made complete, or have a length no longer wanted.
    let (mut keep, mut drop): (Vec<_>, Vec<_>) = spares.into_iter().partition(|file| file.len == options.file_bytes);
    drop.extend(keep.drain(SPARES_MAX.min(keep.len())..));
    env::point(env, "replay: tail cut");
    for file in drop.iter().chain(&invalid) {
        env.unlink(&file.path).map_err(WalError::io("remove log file", &file.path))?;
    }
    let witness = Witness::open(env, dir);
    if end.lsn > seen.witness {
        witness.write(end.lsn);
    }
    // A name that was not yet synced when the process was killed would take the file with it.
    env::point(env, "replay: files removed");
    env.sync_dir(dir).map_err(WalError::io("sync log directory", dir))?;
    tracing::debug!(from = from.0, end = end.lsn, files = used.len(), restart, "read the log");
    let live = used.into_iter().map(|file| Live { log_file: file.log_file, first: file.first }).collect();
    Ok(Recovered { files: FileSet { live, spares: keep, next_number }, tail, end: end.lsn, restart, witness })
}

/// A file that holds, or held, part of the stream.
pub(crate) struct Used {
    pub(crate) log_file: LogFile,
    pub(crate) salt: u64,
    pub(crate) first: u64,
}

pub(crate) struct Found {
    pub(crate) used: Vec<Used>, // by position in the stream
    spares: Vec<LogFile>,
    pub(crate) invalid: Vec<LogFile>,
    pub(crate) next_number: u64,
}

fn find(env: &dyn Env, dir: &Path) -> Result<Found, WalError> {
    let found = find_all(env, dir)?;
    for pair in found.used.windows(2) {
        if pair[0].first == pair[1].first {
            let finding = format!("it starts at {} as {} does", pair[1].first, pair[0].log_file.path.display());
            return Err(damaged(&pair[1].log_file, 0, finding));
        }
    }
    Ok(found)
}

/// The files, also where two start at one position.
pub(crate) fn find_all(env: &dyn Env, dir: &Path) -> Result<Found, WalError> {
    let mut found = Found { used: Vec::new(), spares: Vec::new(), invalid: Vec::new(), next_number: 1 };
    let names = env.list(dir).map_err(WalError::io("list log directory", dir))?;
    for number in names.iter().filter_map(|name| number_of(name)) {
        found.next_number = found.next_number.max(number + 1);
        let log_file = LogFile::open(env, path_of(dir, number))?;
        log_file.forget_cached(SECTOR)?;
        match log_file.header()? {
            FileHeader::Valid { salt, first: Some(first) } => found.used.push(Used { log_file, salt, first }),
            FileHeader::Valid { first: None, .. } => found.spares.push(log_file),
            FileHeader::Invalid => found.invalid.push(log_file),
            FileHeader::OtherVersion(version) => return Err(WalError::Version { path: log_file.path, found: version }),
        }
    }
    found.used.sort_by_key(|file| file.first);
    if let Some(Used { log_file, .. }) = found.used.last() {
        log_file.forget_cached(log_file.len)?;
    }
    Ok(found)
}

/// What is known, from elsewhere, to have been durable.
struct Seen {
    checkpoint: u64,
    witness: u64,
}

/// Where the valid part of the stream ends.
#[derive(Clone, Copy)]
pub(crate) struct End {
    pub(crate) offset: u64,
    pub(crate) lsn: u64,
    pub(crate) marked: bool, // there is a mark at `offset`
}

/// Reads a chain of files, of which there is at least one.
fn read(files: &[Used], records: &mut Records<'_>) -> Result<End, WalError> {
    let mut end = End { offset: SECTOR, lsn: 0, marked: false };
    for (at, file) in files.iter().enumerate() {
        end = read_file(file, records)?;
        if let Some(next) = files.get(at + 1).filter(|next| next.first != end.lsn) {
            let finding =
                format!("the stream ends there at {}, but {} has it from {}", end.lsn, name(&next.log_file), next.first);
            return Err(damaged(&file.log_file, end.offset, finding));
        }
    }
    Ok(end)
}

pub(crate) fn read_file(file: &Used, records: &mut Records<'_>) -> Result<End, WalError> {
    let mut window = Window::new(&file.log_file);
    let mut end = End { offset: SECTOR, lsn: file.first, marked: false };
    while let Some((frame, payload)) = window.frame(end.offset)? {
        let follows = frame.salt == file.salt && frame.lsn == end.lsn;
        let Some(lsn) = end.lsn.checked_add(frame.len as u64).filter(|_| follows) else { break };
        if frame.len == 0 {
            end.marked = true;
            break;
        }
        records.feed(end.lsn, payload, frame.restart).map_err(|refusal| match refusal {
            Refusal::Stop(lsn, stop) => WalError::Stopped { lsn, stop },
            Refusal::Length(lsn, bytes) => damaged(&file.log_file, end.offset, format!("a record at {lsn} of {bytes} bytes")),
        })?;
        end.offset += Frame::footprint(frame.len);
        end.lsn = lsn;
    }
    Ok(end)
}

/// Rule 2.
fn check_nothing_is_lost(tail: Option<&Used>, end: End, seen: &Seen, invalid: &[LogFile]) -> Result<(), WalError> {
    if let Some(Used { log_file, salt, .. }) = tail {
        if end.lsn < seen.checkpoint {
            let finding = format!("the stream ends there at {}, but a checkpoint has seen {}", end.lsn, seen.checkpoint);
            return Err(damaged(log_file, end.offset, finding));
        }
        if let Some(later) = Window::new(log_file).evidence(end.offset, Some(*salt), end.lsn)? {
            let finding = format!("no valid frame, but there is a later one at byte {later}");
            return Err(damaged(log_file, end.offset, finding));
        }
    }
    for log_file in invalid {
        if let Some(later) = Window::new(log_file).evidence(SECTOR, None, end.lsn)? {
            let finding = format!("no valid file header, but a frame at byte {later} that was durable");
            return Err(damaged(log_file, 0, finding));
        }
    }
    match tail {
        Some(Used { log_file, .. }) if end.lsn < seen.witness => {
            let finding = format!("the stream ends there at {}, but the note of its end has seen {}", end.lsn, seen.witness);
            Err(damaged(log_file, end.offset, finding))
        }
        _ => Ok(()),
    }
}

/// Rules 3 and 4.
fn cut(log_file: &LogFile, salt: u64, end: End) -> Result<(), WalError> {
    let mut window = Window::new(log_file);
    let mut offset = if end.marked { end.offset + SECTOR } else { end.offset };
    let mut cut_bytes = 0;
    while offset < log_file.len {
        let n = (CUT_BLOCK - offset % CUT_BLOCK).min(log_file.len - offset);
        let block = window.get(offset, n as usize)?.unwrap_or_default();
        if block.iter().any(|byte| *byte != 0) {
            log_file.write(&vec![0; n as usize], offset)?;
            cut_bytes += n;
        }
        offset += n;
    }
    log_file.sync()?;
    if !end.marked && end.offset + SECTOR <= log_file.len {
        let mut mark = Vec::new();
        Frame { len: 0, salt, lsn: end.lsn, durable: end.lsn, restart: false }.encode(&[], &mut mark);
        log_file.write(&mark, end.offset)?;
    }
    if cut_bytes > 0 && env::seeded_bug("torn-tail-refused") {
        return Err(damaged(log_file, end.offset, "a torn tail".into()));
    }
    if cut_bytes > 0 {
        tracing::info!(file = name(log_file), offset = end.offset, lsn = end.lsn, "cut the tail of the log");
    }
    Ok(())
}

/// Cuts the stream into records.
pub(crate) struct Records<'a> {
    pub(crate) from: u64,
    pub(crate) partial: Vec<u8>, // the record that is not complete yet, with its header
    pub(crate) replay: &'a mut dyn FnMut(Lsn, &[u8]) -> Result<(), ReplayStop>,
}

pub(crate) enum Refusal {
    Stop(Lsn, ReplayStop),
    Length(u64, usize),
}

/// Memory kept for the next record that spans frames.
const PARTIAL_KEPT: usize = 4 << 20;

impl Records<'_> {
    /// Takes the next bytes of the stream; what is before `from` is passed over.
    pub(crate) fn feed(&mut self, mut lsn: u64, payload: &[u8], restart: bool) -> Result<(), Refusal> {
        if restart {
            self.partial.clear();
        }
        let passed = self.from.saturating_sub(lsn).min(payload.len() as u64);
        let mut rest = &payload[passed as usize..];
        lsn += passed;
        while !rest.is_empty() {
            if self.partial.is_empty()
                && let Some((header, body)) = rest.split_first_chunk::<RECORD_HEADER>()
                && let Some(record) = body.get(..record_len(header, lsn)?)
            {
                let len = RECORD_HEADER + record.len();
                lsn += len as u64;
                rest = &rest[len..];
                self.hand_over(lsn, record)?;
                continue;
            }
            // One that goes on in the next frame, or came from the last one.
            let wanted = match self.partial.first_chunk::<RECORD_HEADER>() {
                Some(header) => RECORD_HEADER + record_len(header, lsn)?,
                None => RECORD_HEADER,
            };
            let n = (wanted - self.partial.len()).min(rest.len());
            self.partial.extend_from_slice(&rest[..n]);
            lsn += n as u64;
            rest = &rest[n..];
            if let Some((header, body)) = self.partial.split_first_chunk::<RECORD_HEADER>()
                && body.len() == record_len(header, lsn)?
            {
                let mut partial = std::mem::take(&mut self.partial);
                self.hand_over(lsn, &partial[RECORD_HEADER..])?;
                partial.clear();
                partial.shrink_to(PARTIAL_KEPT);
                self.partial = partial;
            }
        }
        Ok(())
    }

    fn hand_over(&mut self, end: u64, record: &[u8]) -> Result<(), Refusal> {
        (self.replay)(Lsn(end), record).map_err(|stop| Refusal::Stop(Lsn(end), stop))
    }
}

fn record_len(header: &[u8; RECORD_HEADER], lsn: u64) -> Result<usize, Refusal> {
    let len = u32::from_le_bytes(*header) as usize;
    if len > RECORD_BYTES_MAX { Err(Refusal::Length(lsn, len)) } else { Ok(len) }
}

fn name(log_file: &LogFile) -> String {
    log_file.path.display().to_string()
}

pub(crate) fn damaged(log_file: &LogFile, offset: u64, finding: String) -> WalError {
    WalError::Damaged { path: log_file.path.clone(), offset, finding }
}

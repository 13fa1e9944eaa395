//! Giving up the end of a damaged log: for `colonnade check --repair`, never by itself.
//!
//! ```text
//!   [frame][frame][ bad ][frame][frame]   |   [frame][frame]        before: Damaged, with what is behind the bad frame out of reach
//!   [frame][frame] zeros                                            after: the log ends before it; whole files are kept aside
//! ```
//!
//! 1. What stays is a prefix: of commits after one that is lost, none may count. They are told to the caller, for a report.
//! 2. Records are found again behind the bad frame where a group starts in the middle of a file: groups are whole records there.
//! 3. If the log is not even readable up to the position it is needed from, it starts anew there.

use std::path::Path;

use env::{Env, OpenMode};
use types::Lsn;

use crate::Options;
use crate::error::WalError;
use crate::file::{LogFile, path_of};
use crate::frame::{Frame, SECTOR, encode_file_header};
use crate::replay::{End, Records, Used, find_all, read_file};
use crate::window::Window;
use crate::witness;

/// Bytes copied or zeroed at a time.
const BLOCK: u64 = 1 << 20;

/// What a log ends with after a repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The new end of the log.
    pub end: Lsn,
    /// How far it reached at least, by what is left of it.
    pub reached: Lsn,
}

/// Cuts the log in `options.dir` where it can no longer be read, and copies its files to `aside` first. `lost` gets each record behind
/// that place that can still be read, in order. For a log that [`crate::Wal::open`] says is damaged. Errors: [`WalError::Io`].
pub fn cut_damaged(
    env: &dyn Env,
    options: &Options,
    from: Lsn,
    aside: &Path,
    lost: &mut dyn FnMut(&[u8]),
) -> Result<Cut, WalError> {
    let options = &options.clone().rounded();
    let dir = &options.dir;
    let found = find_all(env, dir)?;
    let start = found.used.iter().rposition(|file| file.first <= from.0).unwrap_or(0);
    let (last, end) = readable_end(&found.used[start..])?;
    let last = last.map(|at| start + at);
    let mut reached = witness::Witness::read(env, dir)?.max(from.0).max(end.lsn);
    let mut records = Reader { lost, records: None, at: end.lsn };
    for (at, file) in found.used.iter().enumerate().skip(last.unwrap_or(0)) {
        let offset = if Some(at) == last { end.offset } else { SECTOR };
        reached = reached.max(records.read(&file.log_file, Some(file.salt), offset)?);
    }
    for log_file in &found.invalid {
        reached = reached.max(records.read(log_file, None, SECTOR)?);
    }

    env.create_dir_all(aside).map_err(WalError::io("create directory", aside))?;
    for log_file in found.used.iter().map(|file| &file.log_file).chain(&found.invalid) {
        copy(env, log_file, aside)?;
    }
    env.sync_dir(aside).map_err(WalError::io("sync directory", aside))?;
    let kept = last.filter(|_| end.lsn >= from.0);
    // What is behind the end, and what starts where another file does and was not read.
    let is_twin = |at: usize, other: usize| at != other && found.used[at].first == found.used[other].first;
    let is_gone = |at: usize| match kept {
        None => true,
        Some(kept) => at > kept || at < start && (0..found.used.len()).any(|other| is_twin(at, other)),
    };
    let gone = (0..found.used.len()).filter(|at| is_gone(*at)).map(|at| &found.used[at].log_file);
    for log_file in gone.chain(&found.invalid) {
        env.unlink(&log_file.path).map_err(WalError::io("remove log file", &log_file.path))?;
    }
    let end = match kept {
        Some(kept) => {
            let log_file = &found.used[kept].log_file;
            zero(log_file, end.offset)?;
            end.lsn
        }
        None => {
            start_anew(env, options, found.next_number, from)?;
            from.0
        }
    };
    let note = witness::path_in(dir);
    if env.exists(&note).map_err(WalError::io("remove end of log", &note))? {
        env.unlink(&note).map_err(WalError::io("remove end of log", &note))?;
    }
    env.sync_dir(dir).map_err(WalError::io("sync log directory", dir))?;
    Ok(Cut { end: Lsn(end), reached: Lsn(reached) })
}

/// The last file of the chain that can be read, and where reading ends there.
fn readable_end(files: &[Used]) -> Result<(Option<usize>, End), WalError> {
    let mut ignore = |_: Lsn, _: &[u8]| Ok(());
    let mut records = Records { from: 0, partial: Vec::new(), replay: &mut ignore };
    let mut end = End { offset: SECTOR, lsn: 0, marked: false };
    let mut last = None;
    for (at, file) in files.iter().enumerate() {
        if last.is_some() && file.first != end.lsn {
            break;
        }
        last = Some(at);
        // From the middle of a record on lengths mean nothing; frames do.
        records.from = u64::MAX;
        end = read_file(file, &mut records)?;
    }
    Ok((last, end))
}

/// Finds records again, see rule 2.
struct Reader<'a> {
    lost: &'a mut dyn FnMut(&[u8]),
    /// Bytes of the record that is not complete, while records are in step with frames.
    records: Option<Vec<u8>>,
    at: u64,
}

impl Reader<'_> {
    /// Reads frames from `offset` on; returns how far the stream reached.
    fn read(&mut self, log_file: &LogFile, salt: Option<u64>, mut offset: u64) -> Result<u64, WalError> {
        let mut window = Window::new(log_file);
        let mut reached = 0;
        while offset < log_file.len {
            let Some((frame, payload)) = window.frame(offset)? else {
                offset += SECTOR;
                continue;
            };
            if salt.is_some_and(|salt| salt != frame.salt) || frame.lsn < self.at {
                offset += SECTOR;
                continue;
            }
            let starts_group = frame.lsn == frame.durable && offset > SECTOR;
            let partial = match self.records.take() {
                Some(partial) if frame.lsn == self.at && !frame.restart => Some(partial),
                _ => starts_group.then(Vec::new),
            };
            if let Some(partial) = partial {
                let mut hand_over = |_: Lsn, record: &[u8]| {
                    (self.lost)(record);
                    Ok(())
                };
                let mut records = Records { from: 0, partial, replay: &mut hand_over };
                self.records = records.feed(frame.lsn, payload, false).ok().map(|()| records.partial);
            }
            self.at = frame.lsn.saturating_add(frame.len as u64);
            reached = self.at;
            offset += Frame::footprint(frame.len);
        }
        Ok(reached)
    }
}

fn copy(env: &dyn Env, log_file: &LogFile, aside: &Path) -> Result<(), WalError> {
    let Some(name) = log_file.path.file_name() else { return Ok(()) };
    let target = aside.join(name);
    let failed = || WalError::io("keep log file", &target);
    if env.exists(&target).map_err(failed())? {
        return Ok(()); // of an earlier attempt: the file is as it was then
    }
    let file = env.open(&target, OpenMode::CreateNew).map_err(failed())?;
    let mut block = Vec::new();
    for offset in (0..log_file.len).step_by(BLOCK as usize) {
        block.resize(BLOCK.min(log_file.len - offset) as usize, 0);
        log_file.file.read_exact_at(&mut block, offset).map_err(WalError::io("read log file", &log_file.path))?;
        file.write_all_at(&block, offset).map_err(failed())?;
    }
    file.sync_data().map_err(failed())
}

/// Zeros from `offset` on, from the back: after a crash in between, what is left still tells of damage.
fn zero(log_file: &LogFile, offset: u64) -> Result<(), WalError> {
    let mut to = log_file.len;
    while to > offset {
        let from = to.saturating_sub(BLOCK).max(offset);
        log_file.write(&vec![0; (to - from) as usize], from)?;
        to = from;
    }
    log_file.sync()
}

/// A file of a log that has nothing before `first`.
fn start_anew(env: &dyn Env, options: &Options, number: u64, first: Lsn) -> Result<(), WalError> {
    let path = path_of(&options.dir, number);
    let file = env.open(&path, OpenMode::CreateNew).map_err(WalError::io("create log file", &path))?;
    let log_file = LogFile { path, file, len: options.file_bytes };
    zero(&log_file, 0)?;
    log_file.write(&encode_file_header(env.random_u64(), Some(first.0)), 0)?;
    log_file.sync()
}

//! Reading an open log again: whether every frame up to the durable end is still what was written.

use crate::error::WalError;
use crate::file::LogFile;
use crate::frame::{FileHeader, Frame, SECTOR};
use crate::replay::damaged;
use crate::shared::Shared;
use crate::window::Window;

/// See [`crate::Wal::verify`].
pub(crate) fn verify(shared: &Shared) -> Result<Option<WalError>, WalError> {
    // In this order: what is durable now is in one of these files.
    let durable = shared.durable.load(std::sync::atomic::Ordering::Acquire);
    let files: Vec<(LogFile, u64)> = {
        let buffer = shared.buffer.lock();
        buffer.files.live.iter().map(|live| (live.log_file.clone(), live.first)).collect()
    };
    for (at, (log_file, first)) in files.iter().enumerate() {
        let to = files.get(at + 1).map_or(durable, |(_, next)| durable.min(*next));
        if *first < to
            && let Some(error) = verify_file(log_file, *first, to)?
        {
            return Ok(Some(error));
        }
    }
    Ok(None)
}

/// Reads the frames of a file that starts at `first` until the stream is at `to`.
fn verify_file(log_file: &LogFile, first: u64, to: u64) -> Result<Option<WalError>, WalError> {
    let salt = match log_file.header()? {
        FileHeader::Valid { salt, first: Some(found) } if found == first => salt,
        _ => return Ok(Some(damaged(log_file, 0, format!("no valid header of a file that starts at {first}")))),
    };
    let mut window = Window::new(log_file);
    let (mut offset, mut lsn) = (SECTOR, first);
    while lsn < to {
        let frame = window.frame(offset)?.map(|(frame, _)| frame);
        let Some(frame) = frame.filter(|frame| frame.salt == salt && frame.lsn == lsn && frame.len > 0) else {
            return Ok(Some(damaged(log_file, offset, format!("no valid frame at {lsn}, but the log was durable up to {to}"))));
        };
        lsn += frame.len as u64;
        offset += Frame::footprint(frame.len);
    }
    Ok(None)
}

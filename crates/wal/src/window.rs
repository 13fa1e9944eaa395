//! Reading a log file forward, a few MiB at a time.

use crate::error::WalError;
use crate::file::LogFile;
use crate::frame::{FRAME_HEADER, Frame, SECTOR};

/// Bytes read at a time: a frame always fits.
const WINDOW: u64 = 2 << 20;

pub(crate) struct Window<'a> {
    log_file: &'a LogFile,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    pub(crate) fn new(log_file: &'a LogFile) -> Window<'a> {
        Window { log_file, start: 0, bytes: Vec::new() }
    }

    /// `len` bytes at `offset`, or `None` if the file ends before that.
    pub(crate) fn get(&mut self, offset: u64, len: usize) -> Result<Option<&[u8]>, WalError> {
        let file = self.log_file;
        if offset.saturating_add(len as u64) > file.len {
            return Ok(None);
        }
        if offset < self.start || offset + len as u64 > self.start + self.bytes.len() as u64 {
            let n = (len as u64).max(WINDOW).min(file.len - offset);
            self.bytes.resize(n as usize, 0);
            self.start = offset;
            file.file.read_exact_at(&mut self.bytes, offset).map_err(WalError::io("read log file", &file.path))?;
        }
        let at = (offset - self.start) as usize;
        Ok(Some(&self.bytes[at..at + len]))
    }

    /// The frame at `offset` with its payload, if its checksum holds.
    pub(crate) fn frame(&mut self, offset: u64) -> Result<Option<(Frame, &[u8])>, WalError> {
        let Some(frame) = self.get(offset, FRAME_HEADER)?.and_then(Frame::decode) else { return Ok(None) };
        let Some(bytes) = self.get(offset, FRAME_HEADER + frame.len)? else { return Ok(None) };
        let (header, payload) = bytes.split_at(FRAME_HEADER);
        Ok(Frame::verify(header, payload).then_some((frame, payload)))
    }

    /// The offset, not before `offset`, of a frame which tells that the stream was durable beyond `end`. Frames of another salt
    /// count only if the file's own is not known.
    pub(crate) fn evidence(&mut self, mut offset: u64, salt: Option<u64>, end: u64) -> Result<Option<u64>, WalError> {
        if env::seeded_bug("damage-taken-for-the-end") {
            return Ok(None);
        }
        while let Some(header) = self.get(offset, FRAME_HEADER)? {
            // Most candidates are frames of earlier lives of the file: the cheap tests first.
            let promises =
                Frame::decode(header).is_some_and(|frame| frame.durable > end && salt.is_none_or(|salt| salt == frame.salt));
            if promises && self.frame(offset)?.is_some() {
                return Ok(Some(offset));
            }
            offset += SECTOR;
        }
        Ok(None)
    }
}

//! For fuzzing: what reads bytes of a log file, given any bytes.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use env::File;
use types::Lsn;

use crate::error::WalError;
use crate::file::LogFile;
use crate::frame::{FRAME_HEADER, FileHeader, Frame, SECTOR};
use crate::replay::{Records, Used, read_file};
use crate::window::Window;

struct Bytes(Vec<u8>);

impl File for Bytes {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|at| self.0.get(at..)).unwrap_or_default();
        let n = rest.len().min(buffer.len());
        buffer[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

/// Reads a log file as recovery does; returns how many records it has.
pub fn log_file(bytes: &[u8]) -> Result<usize, WalError> {
    let file: Arc<dyn File> = Arc::new(Bytes(bytes.to_vec()));
    let log_file = LogFile { path: PathBuf::from("fuzzed.wal"), file, len: bytes.len() as u64 };
    let FileHeader::Valid { salt, first: Some(first) } = log_file.header()? else { return Ok(0) };
    let mut found = 0;
    let mut count = |_: Lsn, _: &[u8]| {
        found += 1;
        Ok(())
    };
    let mut records = Records { from: 0, partial: Vec::new(), replay: &mut count };
    let end = read_file(&Used { log_file: log_file.clone(), salt, first }, &mut records)?;
    Window::new(&log_file).evidence(end.offset, Some(salt), end.lsn)?;
    Ok(found)
}

/// Puts the right checksums on the header and on every frame whose length says where it ends.
pub fn seal_log_file(bytes: &mut [u8]) {
    let seal = |bytes: &mut [u8], covered: std::ops::Range<usize>| {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&bytes[..36]);
        hasher.update(&bytes[covered]);
        bytes[36..40].copy_from_slice(&hasher.finalize().to_le_bytes());
    };
    if bytes.len() < SECTOR as usize {
        return;
    }
    seal(bytes, 0..0);
    let mut at = SECTOR as usize;
    while let Some(header) = bytes.get(at..at + FRAME_HEADER) {
        let Some(frame) = Frame::decode(header).filter(|frame| at + FRAME_HEADER + frame.len <= bytes.len()) else { return };
        seal(&mut bytes[at..at + FRAME_HEADER + frame.len], FRAME_HEADER..FRAME_HEADER + frame.len);
        at += Frame::footprint(frame.len) as usize;
    }
}

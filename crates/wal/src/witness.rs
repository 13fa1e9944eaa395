//! The witness: how far the log was durable, noted outside of its files.
//!
//! ```text
//! wal/END    | magic | lsn | crc |     written where a mark is, after it; not synced: it is evidence, not data
//! ```
//!
//! 1. It never says more than is on disk: it is written after the sync of what it speaks of.
//! 2. So a log that ends before it has lost something, also where the log's own files contradict nothing: an older copy of the last
//!    file, or a last group whose mark is damaged with it. One that cannot be read says nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use env::{Env, File, OpenMode};

use crate::error::WalError;

const NAME: &str = "END";
const MAGIC: [u8; 8] = *b"ClndEND\0";
const BYTES: usize = 20;

/// The file, if it can be written.
pub(crate) struct Witness {
    file: Option<Arc<dyn File>>,
}

impl Witness {
    /// What the witness in `dir` says; 0 if there is none, or none that can be believed.
    pub(crate) fn read(env: &dyn Env, dir: &Path) -> Result<u64, WalError> {
        let path = path_in(dir);
        let failed = || WalError::io("read end of log", &path);
        if !env.exists(&path).map_err(failed())? {
            return Ok(0);
        }
        let file = env.open(&path, OpenMode::Read).map_err(failed())?;
        let mut bytes = [0; BYTES];
        if file.len().map_err(failed())? < BYTES as u64 {
            return Ok(0);
        }
        file.read_exact_at(&mut bytes, 0).map_err(failed())?;
        let lsn = u64::from_le_bytes(std::array::from_fn(|at| bytes[8 + at]));
        let ignored = env::seeded_bug("end-of-log-not-noted") || env::seeded_bug("damage-taken-for-the-end");
        Ok(if bytes == encode(lsn) && !ignored { lsn } else { 0 })
    }

    /// Opens it, made if there is none. Its name is durable after a sync of `dir`.
    pub(crate) fn open(env: &dyn Env, dir: &Path) -> Witness {
        let path = path_in(dir);
        let file = env.open(&path, OpenMode::Write).or_else(|_| env.open(&path, OpenMode::CreateNew));
        Witness {
            file: file.inspect_err(|error| tracing::warn!(path = %path.display(), %error, "no note of the log's end")).ok(),
        }
    }

    /// Everything before `lsn` is durable. Whether this can be written or not, the log is whole.
    pub(crate) fn write(&self, lsn: u64) {
        if let Some(file) = &self.file
            && let Err(error) = file.write_all_at(&encode(lsn), 0)
        {
            tracing::warn!(%error, "cannot note the log's end");
        }
    }

    /// Makes it durable.
    pub(crate) fn sync(&self) {
        if let Some(file) = &self.file
            && let Err(error) = file.sync_data()
        {
            tracing::warn!(%error, "cannot note the log's end");
        }
    }
}

/// Its file.
pub(crate) fn path_in(dir: &Path) -> PathBuf {
    dir.join(NAME)
}

fn encode(lsn: u64) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&lsn.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..16]);
    bytes[16..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

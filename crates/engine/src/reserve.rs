//! Room that is kept for a checkpoint on a full disk: a file that is given up then, and made again once there is room.
//!
//! ```text
//! RESERVE, zeros --a checkpoint finds no room--> removed --> the checkpoint is made, the log's files are used again, files of what
//!    ^                                                       was dropped or merged go
//!    +---------------------------- there is room -----------------+
//! ```
//!
//! 1. It is made in the background, some time after opening, and counts once it is complete: what a crash has left of it is made anew.
//! 2. It is a help, not a promise: a delta larger than it may need more, and nothing fails because it is not there.
//!
//! Source: CockroachDB's ballast file; here nobody has to remove it by hand.

use std::path::{Path, PathBuf};
use std::time::Duration;

use env::{Env, OpenMode};
use parking_lot::Mutex;

/// Between attempts to make it, and before the first one: most processes that open a database for a command end earlier.
const RETRY: Duration = Duration::from_secs(10);
/// Bytes written at a time.
const CHUNK: usize = 1 << 20;
/// A long sync would hold up those of the log.
const SYNC_EVERY: u64 = 8 << 20;

pub(crate) struct Reserve {
    path: PathBuf,
    bytes: u64,
    state: Mutex<State>,
}

struct State {
    is_held: bool,
    next_attempt: Duration,
}

impl Reserve {
    /// Of so many bytes, 0 for none, in a data directory.
    pub(crate) fn new(env: &dyn Env, dir: &Path, bytes: u64) -> Reserve {
        let state = State { is_held: false, next_attempt: env.monotonic() + RETRY };
        Reserve { path: dir.join("RESERVE"), bytes, state: Mutex::new(state) }
    }

    /// Makes it if it is not there and it is time for an attempt.
    pub(crate) fn keep(&self, env: &dyn Env) {
        let mut state = self.state.lock();
        if self.bytes == 0 || state.is_held || env.monotonic() < state.next_attempt {
            return;
        }
        state.next_attempt = env.monotonic() + RETRY;
        match self.make(env) {
            Ok(()) => state.is_held = true,
            Err(error) => {
                tracing::debug!(%error, path = %self.path.display(), "no room for the reserve");
                self.remove(env);
            }
        }
    }

    fn make(&self, env: &dyn Env) -> std::io::Result<()> {
        if env.exists(&self.path)? {
            if env.open(&self.path, OpenMode::Read)?.len()? == self.bytes {
                return Ok(());
            }
            env.unlink(&self.path)?;
        }
        let file = env.open(&self.path, OpenMode::CreateNew)?;
        let mut written = 0;
        while written < self.bytes {
            let n = (self.bytes - written).min(CHUNK as u64);
            file.write_all_at(&vec![0; n as usize], written)?;
            written += n;
            if written == self.bytes || written.is_multiple_of(SYNC_EVERY) {
                file.sync_data()?;
            }
        }
        Ok(())
    }

    /// Gives its room to whoever needs it now; false if there is none.
    pub(crate) fn give_up(&self, env: &dyn Env) -> bool {
        let mut state = self.state.lock();
        state.next_attempt = env.monotonic() + RETRY;
        if !std::mem::take(&mut state.is_held) {
            return false;
        }
        tracing::warn!(path = %self.path.display(), "the disk is full: a checkpoint takes the room that was kept for it");
        self.remove(env)
    }

    fn remove(&self, env: &dyn Env) -> bool {
        match env.unlink(&self.path) {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(%error, path = %self.path.display(), "cannot remove the reserve");
                false
            }
        }
    }
}

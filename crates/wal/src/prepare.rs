//! Making files ahead of need, so that no commit waits for 64 MiB of zeros.
//!
//! 1. There is always one spare file, or one in the making, or no space for one.
//! 2. If there is no space, what was made of the file is removed, as are spares nobody has a claim on but one: a checkpoint may need
//!    the room to end the shortage. Later attempts come every second, and when an append asks.
//! 3. Any other failure closes the log, as a failed write of the log itself does.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use env::{Job, Next};

use crate::error::WalError;
use crate::file::{Making, path_of};
use crate::shared::Shared;

/// Between attempts when the disk is full.
const RETRY: Duration = Duration::from_secs(1);

/// The job, see the module.
pub(crate) struct Preparer {
    shared: Arc<Shared>,
    making: Option<(PathBuf, Making)>,
}

impl Preparer {
    pub(crate) fn new(shared: Arc<Shared>) -> Preparer {
        Preparer { shared, making: None }
    }

    fn work(&mut self) -> Result<Next, WalError> {
        let Shared { env, options, buffer, .. } = &*self.shared;
        let Some((_, making)) = &mut self.making else {
            let number = {
                let mut buffer = buffer.lock();
                let enough = !buffer.files.spares.is_empty() && buffer.wanted <= buffer.room();
                if enough || buffer.closing || self.shared.has_failed() {
                    buffer.wanted = 0;
                    return Ok(Next::Wait);
                }
                buffer.files.next_number += 1;
                buffer.files.next_number - 1
            };
            let path = path_of(&options.dir, number);
            self.making = Some((path.clone(), Making::create(&**env, path, options.file_bytes)?));
            return Ok(Next::Again);
        };
        if !making.step(&**env, &options.dir)? {
            return Ok(Next::Again);
        }
        if let Some((_, made)) = self.making.take() {
            let mut buffer = buffer.lock();
            buffer.files.spares.push(made.into_file());
            buffer.full_since = None;
        }
        self.shared.note_change();
        Ok(Next::Again)
    }

    /// Rule 2.
    fn give_up(&mut self) {
        let Shared { env, buffer, .. } = &*self.shared;
        let mut removed: Vec<PathBuf> = self.making.take().map(|(path, _)| path).into_iter().collect();
        {
            let mut buffer = buffer.lock();
            buffer.wanted = 0;
            while let [_, .., last] = &buffer.files.spares[..] {
                if buffer.room() - last.room() < buffer.reserved(0) {
                    break;
                }
                removed.extend(buffer.files.spares.pop().map(|spare| spare.path));
            }
        }
        for path in removed {
            if let Err(error) = env.unlink(&path) {
                tracing::warn!(%error, path = %path.display(), "remove a log file to make room");
            }
        }
        // Only now: whoever is told may look for the room at once.
        let mut buffer = buffer.lock();
        if buffer.full_since.is_none() {
            tracing::warn!(dir = %self.shared.options.dir.display(), "no space for another log file");
        }
        buffer.full_since = Some(env.monotonic());
        drop(buffer);
        self.shared.note_change();
    }
}

impl Job for Preparer {
    fn step(&mut self) -> Next {
        match self.work() {
            Ok(next) => next,
            Err(error) if error.is_lack_of_space() && !env::seeded_bug("full-disk-closes-the-log") => {
                self.give_up();
                Next::Sleep(RETRY)
            }
            Err(error) => {
                self.shared.buffer.lock().broken = Some(error.to_string().into());
                self.shared.note_change();
                self.shared.wake_writer();
                Next::Done
            }
        }
    }
}

//! The only door to files, the clock, randomness and background work.
//!
//! ```text
//!            +-- RealEnv: the operating system
//!   Env -----+
//!            +-- SimEnv: memory, one thread, everything from one seed; faults and power loss on demand
//! ```
//!
//! 1. Every other crate reaches the outside through an `Arc<dyn Env>`, so a whole engine runs in the simulation unchanged.
//! 2. Background work is a [`Job`]: a step at a time, so that the simulation can choose when each step runs.
//! 3. Nothing is durable until it is synced: file contents by [`File::sync_data`], a new, renamed or removed name by [`Env::sync_dir`].
//!
//! Not here: what files contain (`wal`, `segments`), sockets (`server`).
//! Source: LevelDB's `Env`; FoundationDB's simulated disk (`AsyncFileNonDurable`); Pebble's `CrashClone`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

mod blocking;
mod machine;
mod real;
mod seeded;
mod sim;
mod thread;

pub use blocking::{
    BLOCKING_BYTES_MIN, BLOCKING_STEPS_MIN, BlockingHook, blocking, blocking_if, keep_thread, lock_blocking, set_blocking_hook,
    waiting,
};
pub use machine::{idle_core_seconds, memory_bytes, process_cpu_seconds, raise_open_files_limit, resident_bytes};
pub use real::RealEnv;
pub use seeded::{point, seeded_bug};
pub use sim::{Fault, Operation, SimEnv};
pub use thread::thread_number;

/// How [`Env::open`] treats a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// The file must exist; writes are refused.
    Read,
    /// The file must exist.
    Write,
    /// The file must not exist; it is created empty.
    CreateNew,
}

/// How much a background job may get in the way of foreground work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// As foreground work: someone waits for it (the log writer).
    Normal,
    /// Only what foreground work leaves over (merge, checkpoint, scrub).
    Background,
}

/// An open file. All methods take `&self` and may be called from several threads; two writes of one range must not race.
pub trait File: Send + Sync {
    /// Reads at most `buffer.len()` bytes at `offset`; returns how many, 0 only at or after the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes` at `offset`, growing the file if needed.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes contents and length durable (fdatasync). After an error nothing is known of what is on disk: do not retry.
    fn sync_data(&self) -> io::Result<()>;
    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Cuts or extends (with zeros) to `len` bytes.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Has the first `len` bytes read from the disk from now on, where they were not written since the last sync, even one that failed:
    /// memory may hold what the disk has not. Some file systems cannot.
    fn forget_cached(&self, len: u64) -> io::Result<()> {
        let _ = len;
        Ok(())
    }

    /// True if the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `buffer` from `offset`, or fails with `UnexpectedEof`.
    fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            let n = self.read_at(buffer, offset)?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            buffer = &mut buffer[n..];
            offset += n as u64;
        }
        Ok(())
    }
}

/// What a disk has, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Free for this process; some file systems keep a part for others.
    pub free: u64,
    /// In all, that part too.
    pub total: u64,
}

/// Held while this process owns a directory; dropped, the next owner may take it.
pub trait Lock: Send + Sync {}

/// What a [`Job`] wants after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another step, soon.
    Again,
    /// A step when [`JobHandle::wake`] is called.
    Wait,
    /// A step after this long, or when woken.
    Sleep(Duration),
    /// No further step.
    Done,
}

/// Background work, a step at a time. A step should take at most some tens of milliseconds unless it is waiting for the disk.
pub trait Job: Send {
    /// Does the next piece of work.
    fn step(&mut self) -> Next;
}

impl<F: FnMut() -> Next + Send> Job for F {
    fn step(&mut self) -> Next {
        self()
    }
}

/// A running [`Job`]. Dropping the handle stops the job as [`JobHandle::stop`] does.
pub trait JobHandle: Send + Sync {
    /// A job in `Wait` or `Sleep` steps soon; a wake during a step is not lost.
    fn wake(&self);
    /// No step starts after this returns; a step in progress is waited for (unless called from that step itself).
    fn stop(&self);
}

/// Where foreground threads wait for something that another thread or a job makes true.
pub trait Signal: Send + Sync {
    /// Everyone waiting looks again. Call it after making the condition true.
    fn notify_all(&self);
    /// Waits until `ready` returns true or `timeout` has passed; returns whether it became true. `ready` runs under the signal's
    /// own lock: it must be short and must not call this signal. The simulation runs background jobs while it waits.
    fn wait_until(&self, ready: &mut dyn FnMut() -> bool, timeout: Option<Duration>) -> bool;
}

/// The outside world.
pub trait Env: Send + Sync + 'static {
    /// Opens a file. Errors: `NotFound`, `AlreadyExists`, and the operating system's.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;
    /// Gives a file another name, replacing what had it. Durable after [`Env::sync_dir`] of both directories.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name; fails with `AlreadyExists` if it is taken. Durable after [`Env::sync_dir`].
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a name.
    fn unlink(&self, path: &Path) -> io::Result<()>;
    /// Creates a directory and those above it that are missing, each durable in its parent when this returns.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// The names in a directory, sorted.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// True if a file or directory has this name.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Lets only the owner of this process read and write a file, or enter a directory. Nothing to do where
    /// there are no other users.
    fn restrict_to_owner(&self, path: &Path) -> io::Result<()> {
        let _ = path;
        Ok(())
    }
    /// The room on the disk that a directory is on; None where that is not known. Errors: the operating system's.
    fn room(&self, path: &Path) -> io::Result<Option<Room>> {
        let _ = path;
        Ok(None)
    }
    /// Takes the exclusive lock at `path` (created if absent). Errors: `WouldBlock` if another owner holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>>;

    /// Microseconds since 1970-01-01 UTC; may jump.
    fn now_micros(&self) -> i64;
    /// Time since some fixed moment; never goes back.
    fn monotonic(&self) -> Duration;
    /// Random bytes: unpredictable from the real one, from the seed in the simulation.
    fn fill_random(&self, bytes: &mut [u8]);

    /// Starts background work under a name shown in tools and logs.
    fn spawn(&self, name: &str, priority: Priority, job: Box<dyn Job>) -> Arc<dyn JobHandle>;
    /// A new place to wait.
    fn signal(&self) -> Arc<dyn Signal>;

    /// Called by [`point`]; for the simulation.
    fn at_point(&self, name: &'static str) {
        let _ = name;
    }

    /// Random bits.
    fn random_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_random(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

/// Reads a whole file. Errors: those of [`Env::open`] and reading.
pub fn read_file(env: &dyn Env, path: &Path) -> io::Result<Vec<u8>> {
    let file = env.open(path, OpenMode::Read)?;
    let mut bytes = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Writes a whole file so that `path` holds either what it held before or all of `bytes`, also after a power loss: temporary
/// name, sync, rename, sync of the directory. Errors: the operating system's; the temporary file may be left behind.
pub fn write_file_atomically(env: &dyn Env, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    if env.exists(&temporary)? {
        env.unlink(&temporary)?;
    }
    let file = env.open(&temporary, OpenMode::CreateNew)?;
    file.write_all_at(bytes, 0)?;
    file.sync_data()?;
    env.rename(&temporary, path)?;
    match path.parent() {
        Some(parent) => env.sync_dir(parent),
        None => Ok(()),
    }
}

//! The operating system: files by `pread` and `pwrite`, `fdatasync`, one named thread per job.
//!
//! 1. Jobs of [`Priority::Background`] run at nice +10, so that foreground threads win the processor.
//! 2. A panic in a job is logged and ends that job alone; the job is dropped, so it can tell those who wait for it from its `Drop`.
//! 3. A lock is held by an open file (`flock`), so it ends with the process whatever happens; the file itself stays. Some network
//!    file systems give `flock` to a process as a whole, therefore the files locked by this process are remembered here too.
//!
//! Not here: retries of a failed sync. There are none: after a failure the page cache may say "clean" about lost data.
//! Source: fsync(2), flock(2); "Can Applications Recover from fsync Failures?" (USENIX ATC 2020).

#![expect(clippy::disallowed_methods, reason = "this module is where files, clocks and threads come from")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex};
use rand::TryRngCore;

#[cfg(test)]
mod tests;

use crate::blocking::blocking;
use crate::seeded::seeded_bug;
use crate::{Env, File, Job, JobHandle, Lock, Next, OpenMode, Priority, Room, Signal};

/// The operating system. All of them are alike; the monotonic clock starts at [`RealEnv::new`].
#[derive(Debug)]
pub struct RealEnv {
    started: Instant,
}

impl RealEnv {
    /// The operating system, with the monotonic clock at zero.
    #[allow(clippy::new_ret_no_self, reason = "an Env is always shared")]
    pub fn new() -> Arc<RealEnv> {
        Arc::new(RealEnv { started: Instant::now() })
    }
}

impl Env for RealEnv {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => &mut options,
            OpenMode::Write => options.write(true),
            OpenMode::CreateNew => options.write(true).create_new(true),
        };
        Ok(Arc::new(RealFile(options.open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut missing = Vec::new();
        let mut existing = path;
        while !existing.is_dir() {
            missing.push(existing);
            existing = directory_of(existing);
        }
        // An earlier run may have been killed between creating the deepest directory there is and syncing its name.
        match self.sync_dir(directory_of(existing)) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
            other => other?,
        }
        for directory in missing.into_iter().rev() {
            match fs::create_dir(directory) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists && directory.is_dir() => {}
                other => other?,
            }
            self.sync_dir(directory_of(directory))?;
        }
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn room(&self, path: &Path) -> io::Result<Option<Room>> {
        let disk = rustix::fs::statvfs(path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        Ok(Some(Room { free: bytes(disk.f_bavail), total: bytes(disk.f_blocks) }))
    }

    fn restrict_to_owner(&self, path: &Path) -> io::Result<()> {
        let mode = if path.is_dir() { 0o700 } else { 0o600 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        // Not truncated before the lock is ours: the file tells who holds it.
        let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let metadata = file.metadata()?;
        let id = (metadata.dev(), metadata.ino());
        if !LOCKED.lock().insert(id) {
            return Err(io::Error::new(ErrorKind::WouldBlock, format!("{} is locked by this process", path.display())));
        }
        let lock = RealLock { id, file };
        match rustix::fs::flock(&lock.file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let holder = fs::read_to_string(path).unwrap_or_default();
                let message = format!("{} is locked by process {}", path.display(), holder.trim());
                return Err(io::Error::new(ErrorKind::WouldBlock, message));
            }
            Err(error) => return Err(error.into()),
        }
        lock.file.set_len(0)?;
        lock.file.write_all_at(format!("{}\n", std::process::id()).as_bytes(), 0)?;
        Ok(Box::new(lock))
    }

    fn now_micros(&self) -> i64 {
        let micros = |d: Duration| i64::try_from(d.as_micros()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => micros(after),
            Err(before) => -micros(before.duration()),
        }
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        rand::rngs::OsRng.try_fill_bytes(bytes).expect("the operating system gives random bytes");
    }

    fn spawn(&self, name: &str, priority: Priority, job: Box<dyn Job>) -> Arc<dyn JobHandle> {
        let shared = Arc::new(JobShared { state: Mutex::new(JobState::default()), changed: Condvar::new() });
        let of_thread = shared.clone();
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                if priority == Priority::Background
                    && let Err(error) = rustix::process::nice(10)
                {
                    tracing::warn!(%error, "lower the priority of a background thread");
                }
                run_job(job, &of_thread);
            })
            .expect("the operating system starts a thread");
        Arc::new(RealJobHandle { shared, thread: thread.thread().id() })
    }

    fn signal(&self) -> Arc<dyn Signal> {
        Arc::new(RealSignal { lock: Mutex::new(()), changed: Condvar::new() })
    }
}

/// The directory a name is in; the current one for a bare name, itself for the root.
fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None if path.as_os_str().is_empty() => Path::new("."),
        None => path,
    }
}

struct RealFile(fs::File);

impl File for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.0.read_at(buffer, offset) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if seeded_bug("short-write-taken-for-whole") {
            return self.0.write_at(bytes, offset).map(drop);
        }
        self.0.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn forget_cached(&self, len: u64) -> io::Result<()> {
        match NonZeroU64::new(len) {
            None => Ok(()),
            len => Ok(rustix::fs::fadvise(&self.0, 0, len, rustix::fs::Advice::DontNeed)?),
        }
    }
}

/// Device and inode of every file this process has locked.
static LOCKED: Mutex<BTreeSet<(u64, u64)>> = Mutex::new(BTreeSet::new());

struct RealLock {
    id: (u64, u64),
    file: fs::File, // closing it ends the flock
}

impl Lock for RealLock {}

impl Drop for RealLock {
    fn drop(&mut self) {
        // Before the entry goes: else a lock taken in between would be refused by the flock that is about to end.
        if let Err(error) = rustix::fs::flock(&self.file, rustix::fs::FlockOperation::NonBlockingUnlock) {
            tracing::warn!(%error, "release a lock");
        }
        LOCKED.lock().remove(&self.id);
    }
}

#[derive(Default)]
struct JobState {
    woken: bool,
    stopping: bool,
    finished: bool,
}

struct JobShared {
    state: Mutex<JobState>,
    changed: Condvar,
}

/// Steps `job` until it is done, stopped or has panicked, and drops it.
fn run_job(mut job: Box<dyn Job>, shared: &JobShared) {
    loop {
        {
            let mut state = shared.state.lock();
            if state.stopping {
                break;
            }
            state.woken = false;
        }
        let next = match catch_unwind(AssertUnwindSafe(|| job.step())) {
            Ok(next) => next,
            Err(panic) => {
                log_panic(&*panic);
                Next::Done
            }
        };
        let deadline = match next {
            Next::Again => continue,
            Next::Done => break,
            Next::Wait => None,
            Next::Sleep(time) => Instant::now().checked_add(time),
        };
        let mut state = shared.state.lock();
        while !state.woken && !state.stopping {
            match deadline {
                None => shared.changed.wait(&mut state),
                Some(deadline) if shared.changed.wait_until(&mut state, deadline).timed_out() => break,
                Some(_) => {}
            }
        }
    }
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(job))) {
        log_panic(&*panic);
    }
    shared.state.lock().finished = true;
    shared.changed.notify_all();
}

fn log_panic(panic: &(dyn std::any::Any + Send)) {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let thread = thread::current();
    tracing::error!(job = thread.name(), panic = text.unwrap_or("of an unknown kind"), "a background job panicked and has ended");
}

struct RealJobHandle {
    shared: Arc<JobShared>,
    thread: ThreadId,
}

impl JobHandle for RealJobHandle {
    fn wake(&self) {
        self.shared.state.lock().woken = true;
        self.shared.changed.notify_all();
    }

    fn stop(&self) {
        let mut state = self.shared.state.lock();
        state.stopping = true;
        self.shared.changed.notify_all();
        while !state.finished && thread::current().id() != self.thread {
            self.shared.changed.wait(&mut state);
        }
    }
}

impl Drop for RealJobHandle {
    fn drop(&mut self) {
        self.stop();
    }
}

struct RealSignal {
    lock: Mutex<()>,
    changed: Condvar,
}

impl Signal for RealSignal {
    fn notify_all(&self) {
        // Taken and let go: a waiter is now either before its look at the condition, or asleep.
        drop(self.lock.lock());
        self.changed.notify_all();
    }

    fn wait_until(&self, ready: &mut dyn FnMut() -> bool, timeout: Option<Duration>) -> bool {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        {
            let _guard = self.lock.lock();
            if ready() {
                return true;
            }
        }
        blocking(|| self.wait(ready, deadline))
    }
}

impl RealSignal {
    fn wait(&self, ready: &mut dyn FnMut() -> bool, deadline: Option<Instant>) -> bool {
        let mut guard = self.lock.lock();
        loop {
            if ready() {
                return true;
            }
            match deadline {
                None => self.changed.wait(&mut guard),
                Some(deadline) if self.changed.wait_until(&mut guard, deadline).timed_out() => return ready(),
                Some(_) => {}
            }
        }
    }
}

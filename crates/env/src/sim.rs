//! A world in memory: one thread, one seed, faults and power loss on demand.
//!
//! ```text
//!   SimEnv::new(seed) --workload, faults--> power_loss() --> the next SimEnv: what survived, no jobs, no locks, no open files
//!                                           process_kill() --> the next SimEnv: all that was written, synced or not
//! ```
//!
//! 1. Everything that could differ between two runs comes from the seed: job order, time, random bytes, what a power loss keeps.
//!    Two runs of one program with one seed have the same [`SimEnv::trace_hash`].
//! 2. All of it runs in the thread of the test; jobs step while something waits ([`crate::Signal::wait_until`]) or by
//!    [`SimEnv::run_jobs`]. Whoever waits must hold no lock that a job needs.
//! 3. After `power_loss` or `process_kill` the old world answers every call with an error, and its jobs have been dropped.
//!
//! Not here: misdirected writes and bit rot. A test makes them by writing to the file.
//! Source: FoundationDB's simulation; Pebble's `CrashClone`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};

use crate::seeded::forgets_sync;
use crate::{Env, File, Job, JobHandle, Lock, OpenMode, Priority, Room, Signal};

mod disk;
mod faults;
mod file;
mod inode;
mod jobs;
#[cfg(test)]
mod tests;

use disk::Disk;
pub use faults::{Fault, Operation};
use faults::{Faults, Verdict, stopped_error};
use file::{SimFile, SimLock};
use inode::PAGE;
use jobs::{Scheduled, SimSignal};

/// The simulated world, see the module. Everything made by it (files, handles, signals) holds it weakly: keep the `Arc`.
pub struct SimEnv {
    this: Weak<SimEnv>,
    state: Mutex<State>,
}

struct State {
    random: SmallRng,
    now: Duration,
    disk: Disk,
    locks: BTreeSet<PathBuf>,
    faults: Faults,
    jobs: Vec<Scheduled>,
    jobs_started: u64,
    trace: u64,
    gone: bool, // the disk is in a later world
}

impl State {
    /// Adds to the trace: words that tell one operation from all others.
    fn note(&mut self, words: &[u64]) {
        for word in words {
            self.trace = (self.trace.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
        }
    }

    fn note_bytes(&mut self, bytes: &[u8]) {
        for word in bytes.chunks(8) {
            let mut padded = [0; 8];
            padded[..word.len()].copy_from_slice(word);
            self.note(&[u64::from_le_bytes(padded)]);
        }
    }

    fn note_path(&mut self, path: &Path) {
        self.note_bytes(path.as_os_str().as_encoded_bytes());
    }

    /// Starts a call: `Ok(false)` to proceed, `Ok(true)` to fail in the way this call fails.
    fn begin(&mut self, operation: Operation) -> io::Result<bool> {
        if self.gone {
            return Err(stopped_error());
        }
        self.now += Duration::from_micros(if operation == Operation::SyncData { 100 } else { 1 });
        let verdict = self.faults.judge(operation);
        self.note(&[0x0c, operation as u64, verdict as u64, self.now.as_micros() as u64]);
        match verdict {
            Verdict::Proceed => Ok(false),
            Verdict::Fail => Ok(true),
            Verdict::Stopped => Err(stopped_error()),
        }
    }

    /// [`State::begin`] for a call that does nothing when it fails.
    fn begin_plain(&mut self, operation: Operation) -> io::Result<()> {
        if self.begin(operation)? { Err(self.faults.error()) } else { Ok(()) }
    }
}

impl SimEnv {
    /// A world with an empty disk (it has the directory `/`) in which everything random follows from `seed`.
    pub fn new(seed: u64) -> Arc<SimEnv> {
        Self::with_state(State {
            random: SmallRng::seed_from_u64(seed),
            now: Duration::ZERO,
            disk: Disk::new(),
            locks: BTreeSet::new(),
            faults: Faults::default(),
            jobs: Vec::new(),
            jobs_started: 0,
            trace: seed,
            gone: false,
        })
    }

    fn with_state(state: State) -> Arc<SimEnv> {
        Arc::new_cyclic(|this| SimEnv { this: this.clone(), state: Mutex::new(state) })
    }

    /// The power fails now, and comes back: the world after it, with a disk that holds all that was durable and a random part
    /// of what was not. Faults, the limit of [`SimEnv::disk_full_after`] and [`SimEnv::set_crash_at`] do not carry over.
    pub fn power_loss(&self) -> Arc<SimEnv> {
        self.next_world(|disk, random| disk.after_power_loss(random))
    }

    /// The process is killed now (kill -9) and the machine goes on: as [`SimEnv::power_loss`], but everything written is there.
    /// It is no more durable than before: a power loss that follows may still take it.
    pub fn process_kill(&self) -> Arc<SimEnv> {
        self.next_world(|disk, _| std::mem::replace(disk, Disk::new()))
    }

    fn next_world(&self, disk_of_next: impl FnOnce(&mut Disk, &mut SmallRng) -> Disk) -> Arc<SimEnv> {
        let mut state = self.state.lock();
        assert!(!state.gone, "this world has already ended");
        state.note(&[0x0d]);
        let State { disk, random, .. } = &mut *state;
        let mut disk = disk_of_next(disk, random);
        disk.pages_max = None;
        state.gone = true;
        let jobs = std::mem::take(&mut state.jobs);
        let next = Self::with_state(State {
            random: SmallRng::from_rng(&mut state.random),
            now: state.now + Duration::from_secs(1),
            disk,
            locks: BTreeSet::new(),
            faults: Faults::default(),
            jobs: Vec::new(),
            jobs_started: 0,
            trace: state.trace,
            gone: false,
        });
        drop(state);
        drop(jobs); // may call this environment, to be told that it is gone
        next
    }

    /// A second world as [`SimEnv::power_loss`] at this moment would leave it, while this one goes on. Its randomness follows from
    /// `seed`, so that many outcomes of one moment can be looked at.
    pub fn crash_clone(&self, seed: u64) -> Arc<SimEnv> {
        let clone = Self::new(seed);
        {
            let (state, mut new) = (self.state.lock(), clone.state.lock());
            let State { disk, random, now, .. } = &mut *new;
            *disk = state.disk.after_power_loss(random);
            disk.pages_max = None;
            *now = state.now + Duration::from_secs(1);
        }
        clone
    }

    /// Makes a later call fail. Several faults may be set.
    pub fn set_fault(&self, fault: Fault) {
        self.state.lock().faults.set(fault);
    }

    /// Calls that are made to fail say this, an error number of the operating system (e.g. 28, ENOSPC), instead of EIO.
    pub fn fail_with(&self, raw_os_error: i32) {
        self.state.lock().faults.error = Some(raw_os_error);
    }

    /// Forgets all faults, whether they have happened or not, and the error they give.
    pub fn clear_faults(&self) {
        self.state.lock().faults.clear();
    }

    /// The disk has room for `bytes` more (rounded up to pages of 4 KiB), then calls that need room fail with `StorageFull`; a
    /// write that fits in part is made in part. What unlinked and cut files took becomes free.
    pub fn disk_full_after(&self, bytes: u64) {
        let disk = &mut self.state.lock().disk;
        disk.pages_max = Some(disk.pages_used() + bytes.div_ceil(PAGE as u64));
    }

    /// What files take, in bytes of whole pages.
    pub fn bytes_used(&self) -> u64 {
        self.state.lock().disk.pages_used() * PAGE as u64
    }

    /// The disk has room again.
    pub fn free_space(&self) {
        self.state.lock().disk.pages_max = None;
    }

    /// Calls so far whose effect a crash could tell (see [`Operation::mutates`]), failed ones included.
    pub fn mutations(&self) -> u64 {
        self.state.lock().faults.mutations
    }

    /// Calls of a kind so far, failed ones included.
    pub fn calls(&self, operation: Operation) -> u64 {
        self.state.lock().faults.calls.get(&operation).copied().unwrap_or(0)
    }

    /// Pages of 4 KiB that files take.
    pub fn pages_used(&self) -> u64 {
        self.state.lock().disk.pages_used()
    }

    /// The machine stops after `n` more mutating calls (0: now): every later call fails. The test then calls
    /// [`SimEnv::power_loss`] or [`SimEnv::process_kill`].
    pub fn set_crash_at(&self, n: u64) {
        self.state.lock().faults.mutations_left = Some(n);
    }

    /// The machine stops, as by [`SimEnv::set_crash_at`], when it passes the named place ([`crate::point`]) for the `nth` time.
    pub fn set_crash_at_point(&self, name: &str, nth: u64) {
        self.state.lock().faults.stop_at = Some((name.to_owned(), nth));
    }

    /// The named places passed so far, and how often each.
    pub fn points(&self) -> BTreeMap<&'static str, u64> {
        self.state.lock().faults.points.clone()
    }

    /// True once the moment of [`SimEnv::set_crash_at`] or [`SimEnv::set_crash_at_point`] has come.
    pub fn has_crashed(&self) -> bool {
        self.state.lock().faults.stopped()
    }

    /// A hash over everything that has happened in this world and those before it: every call with its arguments, every job step.
    pub fn trace_hash(&self) -> u64 {
        self.state.lock().trace
    }
}

impl Env for SimEnv {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut state = self.state.lock();
        state.note_path(path);
        let inode = if mode == OpenMode::CreateNew {
            state.begin_plain(Operation::Create)?;
            state.disk.create(path)?
        } else {
            state.begin_plain(Operation::Open)?;
            state.disk.file(path)?
        };
        Ok(Arc::new(SimFile { env: self.this.clone(), path: path.to_owned(), inode, writable: mode != OpenMode::Read }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.note_path(from);
        state.note_path(to);
        state.begin_plain(Operation::Rename)?;
        state.disk.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.note_path(from);
        state.note_path(to);
        state.begin_plain(Operation::Link)?;
        state.disk.link(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.note_path(path);
        state.begin_plain(Operation::Unlink)?;
        state.disk.unlink(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let missing: Vec<_> = path.ancestors().take_while(|path| !state.disk.has_directory(path)).collect();
        for directory in missing.into_iter().rev() {
            state.note_path(directory);
            state.begin_plain(Operation::CreateDir)?;
            state.disk.create_dir(directory)?;
        }
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.note_path(path);
        state.begin_plain(Operation::SyncDir)?;
        if forgets_sync(path) { Ok(()) } else { state.disk.sync_dir(path) }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut state = self.state.lock();
        state.note_path(path);
        state.begin_plain(Operation::List)?;
        state.disk.list(path)
    }

    fn room(&self, _: &Path) -> io::Result<Option<Room>> {
        let disk = &self.state.lock().disk;
        let bytes = |pages: u64| pages * PAGE as u64;
        Ok(disk.pages_free().zip(disk.pages_max).map(|(free, total)| Room { free: bytes(free), total: bytes(total) }))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let mut state = self.state.lock();
        state.note_path(path);
        state.begin_plain(Operation::Exists)?;
        Ok(state.disk.exists(path))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let mut state = self.state.lock();
        state.note_path(path);
        state.begin_plain(Operation::Lock)?;
        if !state.disk.exists(path) {
            state.begin_plain(Operation::Create)?;
            state.disk.create(path)?;
        }
        if !state.locks.insert(path.to_owned()) {
            return Err(io::Error::new(ErrorKind::WouldBlock, format!("{} is locked by this process", path.display())));
        }
        Ok(Box::new(SimLock { env: self.this.clone(), path: path.to_owned() }))
    }

    fn now_micros(&self) -> i64 {
        1_767_225_600_000_000 + self.monotonic().as_micros() as i64 // the world began with 2026
    }

    fn monotonic(&self) -> Duration {
        self.state.lock().now
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        let mut state = self.state.lock();
        state.random.fill_bytes(bytes);
        state.note_bytes(bytes);
    }

    fn spawn(&self, _name: &str, _priority: Priority, job: Box<dyn Job>) -> Arc<dyn JobHandle> {
        self.add_job(job)
    }

    fn signal(&self) -> Arc<dyn Signal> {
        Arc::new(SimSignal { env: self.this.clone() })
    }

    fn at_point(&self, name: &'static str) {
        self.state.lock().faults.pass(name);
    }
}

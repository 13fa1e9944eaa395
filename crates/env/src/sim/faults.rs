//! What may be made to go wrong, and the count of calls by which it is timed.
//!
//! 1. A fault counts calls from the moment it is set: 1 is the next one.
//! 2. A failed write has written some prefix; a failed sync saved some pages (`disk`); any other failed call did nothing.
//! 3. After the machine has stopped no call does anything; what was written and not synced is still there for a power loss to judge.

use std::collections::BTreeMap;
use std::io;

/// A kind of call to the simulated world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// [`crate::Env::open`] of a file that exists.
    Open,
    /// [`crate::Env::open`] with [`crate::OpenMode::CreateNew`], and [`crate::Env::lock`] of a file that does not exist.
    Create,
    /// [`crate::File::read_at`].
    Read,
    /// [`crate::File::write_all_at`].
    Write,
    /// [`crate::File::sync_data`].
    SyncData,
    /// [`crate::File::len`].
    Len,
    /// [`crate::File::set_len`].
    SetLen,
    /// [`crate::Env::rename`].
    Rename,
    /// [`crate::Env::link`].
    Link,
    /// [`crate::Env::unlink`].
    Unlink,
    /// [`crate::Env::create_dir_all`], once for each directory it creates.
    CreateDir,
    /// [`crate::Env::sync_dir`].
    SyncDir,
    /// [`crate::Env::list`].
    List,
    /// [`crate::Env::exists`].
    Exists,
    /// [`crate::Env::lock`].
    Lock,
}

impl Operation {
    /// True if a power loss just before and just after the call may find different disks.
    pub fn mutates(self) -> bool {
        match self {
            Operation::Open | Operation::Read | Operation::Len | Operation::List | Operation::Exists | Operation::Lock => false,
            Operation::Create | Operation::Write | Operation::SyncData | Operation::SetLen => true,
            Operation::Rename | Operation::Link | Operation::Unlink | Operation::CreateDir | Operation::SyncDir => true,
        }
    }
}

/// A failure to come, see [`crate::SimEnv::set_fault`]. Calls are counted from 1, only those of `operation` if it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// That one call fails with EIO.
    Once {
        /// The kind of call; `None` for any.
        operation: Option<Operation>,
        /// Which call.
        call: u64,
    },
    /// That call and all after it fail with EIO.
    Always {
        /// The kind of call; `None` for any.
        operation: Option<Operation>,
        /// The first call to fail.
        call: u64,
    },
}

/// What is to become of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Proceed,
    Fail,
    Stopped,
}

/// The faults that are set, and the counters.
#[derive(Default)]
pub(super) struct Faults {
    set: Vec<(Fault, u64)>, // with the calls it has seen
    /// What failed calls say, by the operating system's number; EIO if none.
    pub(super) error: Option<i32>,
    pub(super) calls: BTreeMap<Operation, u64>,
    pub(super) mutations: u64,
    pub(super) mutations_left: Option<u64>,
    /// How often each named place was passed.
    pub(super) points: BTreeMap<&'static str, u64>,
    /// The machine stops when one of them has been passed so often.
    pub(super) stop_at: Option<(String, u64)>,
}

impl Faults {
    pub(super) fn set(&mut self, fault: Fault) {
        self.set.push((fault, 0));
    }

    pub(super) fn clear(&mut self) {
        self.set.clear();
        self.error = None;
    }

    pub(super) fn stopped(&self) -> bool {
        self.mutations_left == Some(0)
    }

    /// Counts a named place that is passed.
    pub(super) fn pass(&mut self, name: &'static str) {
        if self.stopped() {
            return;
        }
        let passed = self.points.entry(name).or_default();
        *passed += 1;
        if self.stop_at.as_ref().is_some_and(|(wanted, nth)| wanted == name && *nth == *passed) {
            self.mutations_left = Some(0);
        }
    }

    /// Counts a call that is about to be made.
    pub(super) fn judge(&mut self, operation: Operation) -> Verdict {
        if self.stopped() {
            return Verdict::Stopped;
        }
        *self.calls.entry(operation).or_default() += 1;
        if operation.mutates() {
            self.mutations += 1;
            // Zero is reached by the last call that is still made.
            self.mutations_left = self.mutations_left.map(|left| left - 1);
        }
        let mut fails = false;
        for (fault, calls) in &mut self.set {
            let (Fault::Once { operation: of, .. } | Fault::Always { operation: of, .. }) = *fault;
            if of.is_none_or(|of| of == operation) {
                *calls += 1;
                fails |= match *fault {
                    Fault::Once { call, .. } => *calls == call,
                    Fault::Always { call, .. } => *calls >= call,
                };
            }
        }
        if fails { Verdict::Fail } else { Verdict::Proceed }
    }

    /// What a call that is made to fail says.
    pub(super) fn error(&self) -> io::Error {
        io::Error::from_raw_os_error(self.error.unwrap_or(EIO))
    }
}

const EIO: i32 = 5;

pub(super) fn stopped_error() -> io::Error {
    io::Error::other("the simulated machine has stopped")
}

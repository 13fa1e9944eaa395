//! Open files and locks of the simulated world.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::Weak;

use rand::Rng;

use super::disk::no_space;
use super::faults::stopped_error;
use super::inode::{PAGE, SharedInode};
use super::{Operation, SimEnv, State};
use crate::seeded::{forgets_sync, seeded_bug};
use crate::{File, Lock};

pub(super) struct SimFile {
    pub(super) env: Weak<SimEnv>,
    /// As it was opened.
    pub(super) path: PathBuf,
    pub(super) inode: SharedInode,
    pub(super) writable: bool,
}

impl SimFile {
    fn call<T>(
        &self,
        operation: Operation,
        arguments: [u64; 2],
        f: impl FnOnce(&mut State, bool) -> io::Result<T>,
    ) -> io::Result<T> {
        let env = self.env.upgrade().ok_or_else(stopped_error)?;
        let mut state = env.state.lock();
        let fails = state.begin(operation)?;
        let id = self.inode.lock().id;
        state.note(&[id, arguments[0], arguments[1]]);
        f(&mut state, fails)
    }

    fn write_access(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(ErrorKind::PermissionDenied.into()) }
    }
}

impl File for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.call(Operation::Read, [offset, buffer.len() as u64], |state, fails| {
            if fails { Err(state.faults.error()) } else { Ok(self.inode.lock().read_at(buffer, offset)) }
        })
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_access()?;
        self.call(Operation::Write, [offset, bytes.len() as u64], |state, fails| {
            state.note_bytes(bytes);
            let missing = self.inode.lock().pages_missing(offset, bytes.len());
            if fails {
                let written = state.random.random_range(0..=bytes.len());
                self.inode.lock().write_at(&bytes[..written], offset);
                return if seeded_bug("failed-write-ignored") { Ok(()) } else { Err(state.faults.error()) };
            }
            match state.disk.pages_free() {
                Some(free) if missing > free => {
                    let mut inode = self.inode.lock();
                    let mut written = bytes.len().saturating_sub(PAGE);
                    while written > 0 && inode.pages_missing(offset, written) > free {
                        written = written.saturating_sub(PAGE);
                    }
                    inode.write_at(&bytes[..written], offset);
                    Err(no_space())
                }
                _ => {
                    self.inode.lock().write_at(bytes, offset);
                    Ok(())
                }
            }
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.call(Operation::SyncData, [0, 0], |state, fails| {
            if fails {
                self.inode.lock().fail_sync(&mut state.random);
                return if seeded_bug("failed-sync-ignored") { Ok(()) } else { Err(state.faults.error()) };
            }
            if !forgets_sync(&self.path) {
                self.inode.lock().sync_data();
            }
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.call(
            Operation::Len,
            [0, 0],
            |state, fails| if fails { Err(state.faults.error()) } else { Ok(self.inode.lock().len()) },
        )
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.write_access()?;
        self.call(Operation::SetLen, [len, 0], |state, fails| {
            if fails {
                return Err(state.faults.error());
            }
            self.inode.lock().set_len(len);
            Ok(())
        })
    }

    fn forget_cached(&self, len: u64) -> io::Result<()> {
        self.call(Operation::Read, [0, len], |state, fails| {
            if fails {
                return Err(state.faults.error());
            }
            self.inode.lock().forget_cached(len);
            Ok(())
        })
    }
}

pub(super) struct SimLock {
    pub(super) env: Weak<SimEnv>,
    pub(super) path: PathBuf,
}

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        if let Some(env) = self.env.upgrade() {
            env.state.lock().locks.remove(&self.path);
        }
    }
}

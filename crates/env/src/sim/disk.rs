//! The simulated disk: what is visible, what would survive, and what lies between.
//!
//! ```text
//!   write --> visible (page cache) --sync_data--> durable        name --> visible --sync_dir--> durable
//!                  |                                                |
//!                  +-- power loss: for each 4 KiB page what was     +-- power loss: for each chain of changes that share a name
//!                      durable, what is visible, or per 512 B           or a file, a prefix of the chain, chosen apart from
//!                      sector any state it had, or garbage              the other chains
//! ```
//!
//! 1. Garbage appears only in sectors that an unsynced write touched; their neighbours on the page keep what was durable there.
//! 2. Length and contents survive independently: a grown file may hold zeros where its new pages were lost.
//! 3. A rename is one change: after a power loss the file has its old name or its new one. Over two directories it may have both
//!    until both are synced, never none.
//! 4. A failed sync leaves each page durable or not, at random, and takes all of them for clean: a later sync does not save them.
//! 5. A file whose name is gone can be read and written through open handles, but takes no space on the simulated disk.
//!
//! Source: FoundationDB, `AsyncFileNonDurable.h` (pages, sectors, garbage); "All File Systems Are Not Created Equal" (OSDI 2014).

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::rngs::SmallRng;

use super::inode::{Contents, Fate, Inode, SharedInode};

/// A change of names that is not yet durable.
enum Change {
    Named { path: PathBuf, inode: SharedInode },
    Unnamed { path: PathBuf, inode: SharedInode },
    Renamed { from: PathBuf, to: PathBuf, inode: SharedInode, from_synced: bool },
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<PathBuf, SharedInode>) {
        match self {
            Change::Named { path, inode } => drop(names.insert(path.clone(), inode.clone())),
            Change::Unnamed { path, inode } => unname(names, path, inode),
            Change::Renamed { from, to, inode, .. } => {
                unname(names, from, inode);
                names.insert(to.clone(), inode.clone());
            }
        }
    }
}

fn unname(names: &mut BTreeMap<PathBuf, SharedInode>, path: &Path, inode: &SharedInode) {
    if names.get(path).is_some_and(|named| Arc::ptr_eq(named, inode)) {
        names.remove(path);
    }
}

/// All files and names.
pub(super) struct Disk {
    live: BTreeMap<PathBuf, SharedInode>,
    durable: BTreeMap<PathBuf, SharedInode>,
    unsynced: Vec<Change>,
    directories: BTreeSet<PathBuf>, // always durable: `create_dir_all` syncs
    inodes: u64,
    /// Pages that named files may take in all.
    pub(super) pages_max: Option<u64>,
}

impl Disk {
    pub(super) fn new() -> Disk {
        let directories = [PathBuf::from("/"), PathBuf::new(), PathBuf::from(".")].into();
        let (live, durable) = (BTreeMap::new(), BTreeMap::new());
        Disk { live, durable, unsynced: Vec::new(), directories, inodes: 0, pages_max: None }
    }

    pub(super) fn pages_used(&self) -> u64 {
        let mut seen = BTreeSet::new();
        let inodes = self.live.values().map(|inode| inode.lock());
        inodes.filter(|inode| seen.insert(inode.id)).map(|inode| inode.pages_used()).sum()
    }

    pub(super) fn pages_free(&self) -> Option<u64> {
        self.pages_max.map(|max| max.saturating_sub(self.pages_used()))
    }

    pub(super) fn file(&self, path: &Path) -> io::Result<SharedInode> {
        match self.live.get(path) {
            Some(inode) => Ok(inode.clone()),
            None if self.directories.contains(path) => Err(ErrorKind::IsADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn exists(&self, path: &Path) -> bool {
        self.live.contains_key(path) || self.directories.contains(path)
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<SharedInode> {
        if self.exists(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.in_directory(path)?;
        if self.pages_free() == Some(0) {
            return Err(no_space());
        }
        self.inodes += 1;
        let inode = Inode::new(self.inodes, Contents::default());
        self.change(Change::Named { path: path.to_owned(), inode: inode.clone() });
        Ok(inode)
    }

    pub(super) fn link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let inode = self.file(from)?;
        if self.exists(to) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.in_directory(to)?;
        self.change(Change::Named { path: to.to_owned(), inode });
        Ok(())
    }

    pub(super) fn unlink(&mut self, path: &Path) -> io::Result<()> {
        let inode = self.file(path)?;
        self.change(Change::Unnamed { path: path.to_owned(), inode });
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let inode = self.file(from)?;
        self.in_directory(to)?;
        match self.file(to) {
            Ok(old) if Arc::ptr_eq(&old, &inode) => return Ok(()), // as POSIX has it
            Err(error) if error.kind() == ErrorKind::IsADirectory => return Err(error),
            _ => {}
        }
        self.change(Change::Renamed { from: from.to_owned(), to: to.to_owned(), inode, from_synced: false });
        Ok(())
    }

    /// Creates one directory; returns whether it was missing.
    pub(super) fn create_dir(&mut self, path: &Path) -> io::Result<bool> {
        if self.live.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        Ok(self.directories.insert(path.to_owned()))
    }

    pub(super) fn has_directory(&self, path: &Path) -> bool {
        self.directories.contains(path)
    }

    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        if !self.directories.contains(path) {
            return Err(if self.live.contains_key(path) { ErrorKind::NotADirectory } else { ErrorKind::NotFound }.into());
        }
        let here = self.live.keys().chain(&self.directories).filter(|name| name.parent() == Some(path));
        let mut names: Vec<String> = here.filter_map(|p| Some(p.file_name()?.to_string_lossy().into_owned())).collect();
        names.sort();
        Ok(names)
    }

    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        if !self.directories.contains(path) {
            return Err(ErrorKind::NotFound.into());
        }
        for change in std::mem::take(&mut self.unsynced) {
            let rest = self.sync_change(change, |name| name.parent() == Some(path));
            self.unsynced.extend(rest);
        }
        Ok(())
    }

    /// Makes durable what of a change lies `here`; returns the rest.
    fn sync_change(&mut self, change: Change, here: impl Fn(&Path) -> bool) -> Option<Change> {
        match change {
            Change::Named { ref path, .. } | Change::Unnamed { ref path, .. } if !here(path) => return Some(change),
            Change::Named { .. } | Change::Unnamed { .. } => change.apply(&mut self.durable),
            Change::Renamed { from, to, inode, from_synced } => {
                let from_synced = from_synced || here(&from);
                if !here(&to) {
                    return Some(Change::Renamed { from, to, inode, from_synced });
                }
                self.durable.insert(to, inode.clone());
                if !from_synced {
                    return Some(Change::Unnamed { path: from, inode });
                }
                unname(&mut self.durable, &from, &inode);
            }
        }
        None
    }

    /// The disk as it may be found after the power failed now.
    pub(super) fn after_power_loss(&self, random: &mut SmallRng) -> Disk {
        let mut names = self.durable.clone();
        let fate = Fate::choose(random);
        let chains = self.chains();
        let mut left = BTreeMap::new();
        for chain in &chains {
            *left.entry(*chain).or_insert(0) += 1;
        }
        left.values_mut().for_each(|n| *n = fate.prefix(*n, random));
        for (change, chain) in self.unsynced.iter().zip(&chains) {
            let left = left.get_mut(chain).expect("every chain was counted");
            if *left > 0 {
                *left -= 1;
                change.apply(&mut names);
            }
        }
        let mut survivors = BTreeMap::new(); // by id: a file may have several names
        for inode in names.values_mut() {
            let old = inode.lock();
            let new = survivors.entry(old.id).or_insert_with(|| Inode::new(old.id, old.after_power_loss(random))).clone();
            drop(old);
            *inode = new;
        }
        Disk {
            live: names.clone(),
            durable: names,
            unsynced: Vec::new(),
            directories: self.directories.clone(),
            inodes: self.inodes,
            pages_max: self.pages_max,
        }
    }

    /// For each unsynced change its chain: changes that share a name or a file are in one.
    fn chains(&self) -> Vec<usize> {
        fn root(parents: &mut [usize], mut chain: usize) -> usize {
            while parents[chain] != chain {
                parents[chain] = parents[parents[chain]];
                chain = parents[chain];
            }
            chain
        }
        let mut parents: Vec<usize> = (0..self.unsynced.len()).collect();
        let mut of_name: BTreeMap<&Path, usize> = BTreeMap::new();
        let mut of_inode: BTreeMap<u64, usize> = BTreeMap::new();
        for (at, change) in self.unsynced.iter().enumerate() {
            let (names, inode): (&[&PathBuf], _) = match change {
                Change::Named { path, inode } | Change::Unnamed { path, inode } => (&[path], inode),
                Change::Renamed { from, to, inode, .. } => (&[from, to], inode),
            };
            let earlier = names.iter().filter_map(|name| of_name.insert(name.as_path(), at));
            for other in earlier.chain(of_inode.insert(inode.lock().id, at)).collect::<Vec<_>>() {
                let (a, b) = (root(&mut parents, at), root(&mut parents, other));
                parents[a] = b;
            }
        }
        (0..parents.len()).map(|at| root(&mut parents, at)).collect()
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.live);
        self.unsynced.push(change);
    }

    fn in_directory(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(parent) if self.directories.contains(parent) => Ok(()),
            _ => Err(ErrorKind::NotFound.into()),
        }
    }
}

pub(super) fn no_space() -> io::Error {
    io::Error::from_raw_os_error(28) // ENOSPC
}

//! The log as its users see it, in the simulation. Frames are small here (`frame::PAYLOAD_MAX`), so that a few KiB of records make
//! groups of many frames in many files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use env::{Env, File, OpenMode, SimEnv};
use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};
use types::Lsn;

use crate::{Options, ReplayStop, Wal, WalError};

mod basics;
mod crash;
mod faults;
mod rot;

const DIR: &str = "/log";

fn options() -> Options {
    Options { dir: DIR.into(), file_bytes: 16 << 10, buffer_bytes_max: 12 << 10 }
}

/// A record as replay gives it.
type Replayed = (Lsn, Vec<u8>);

fn open_from(env: &Arc<SimEnv>, from: Lsn) -> Result<(Wal, Vec<Replayed>), WalError> {
    let mut replayed = Vec::new();
    let wal = Wal::open(env.clone(), options(), from, &mut |lsn, record| {
        replayed.push((lsn, record.to_vec()));
        Ok(())
    })?;
    Ok((wal, replayed))
}

fn open(env: &Arc<SimEnv>) -> (Wal, Vec<Replayed>) {
    open_from(env, Lsn(0)).unwrap()
}

/// The log files with their lengths.
fn files(env: &SimEnv) -> Vec<(PathBuf, u64)> {
    let names = env.list(Path::new(DIR)).unwrap();
    let paths = names.iter().filter(|name| name.ends_with(".wal")).map(|name| Path::new(DIR).join(name));
    paths.map(|path| (path.clone(), handle(env, &path).len().unwrap())).collect()
}

fn handle(env: &SimEnv, path: &Path) -> Arc<dyn File> {
    env.open(path, OpenMode::Write).unwrap()
}

fn bytes(random: &mut SmallRng, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    random.fill_bytes(&mut bytes);
    bytes
}

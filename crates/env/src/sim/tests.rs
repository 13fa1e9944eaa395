//! Each rule of the simulation, by what it lets a test see.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::{Next, read_file};

mod disk;
mod faults;
mod jobs;

fn path(name: &str) -> PathBuf {
    Path::new("/").join(name)
}

/// Creates a file whose name and contents are durable.
fn durable(env: &SimEnv, name: &str, bytes: &[u8]) -> Arc<dyn File> {
    let file = env.open(&path(name), OpenMode::CreateNew).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file.sync_data().unwrap();
    env.sync_dir(Path::new("/")).unwrap();
    file
}

/// What `name` holds, if it is there.
fn contents(env: &SimEnv, name: &str) -> Option<Vec<u8>> {
    env.exists(&path(name)).unwrap().then(|| read_file(env, &path(name)).unwrap())
}

/// `look` at many power losses of one moment: the different things it saw.
fn outcomes<T: Ord>(env: &SimEnv, look: impl Fn(&SimEnv) -> T) -> BTreeSet<T> {
    (0..400).map(|seed| look(&env.crash_clone(seed))).collect()
}

fn set<T: Ord, const N: usize>(items: [T; N]) -> BTreeSet<T> {
    items.into()
}

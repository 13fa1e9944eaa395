//! The last 64 KiB of a log, torn at every byte: cut there, zeros from there on, what the file held before from there on, or in single
//! sectors; then written to and read again.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use env::{Env, OpenMode, SimEnv};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use types::Lsn;
use wal::{Options, Wal, WalError};

use super::{Figures, Row};

/// Bytes of the group that is torn.
const TAIL: usize = 64 << 10;
const RECORD: usize = 700;
const SECTOR: usize = 512;

/// What is behind the tear.
const WAYS: [Way; 4] = [Way::Cut, Way::Zeros, Way::Stale, Way::Sectors];

#[derive(Clone, Copy, Debug)]
enum Way {
    Cut,
    Zeros,
    Stale,
    Sectors,
}

pub(super) struct TornTail {
    seed: u64,
    /// From where the log is needed.
    from: Lsn,
    /// Every file, and which of them the group is in.
    files: Files,
    torn: usize,
    /// That file before the group was written.
    before: Vec<u8>,
    /// Where the group begins and ends.
    group: Range<usize>,
    /// Records that were durable before it, and all.
    durable: usize,
    all: usize,
}

fn options() -> Options {
    Options { dir: "/log".into(), file_bytes: 96 << 10, buffer_bytes_max: 1 << 20 }
}

fn record(n: usize) -> Vec<u8> {
    (0..RECORD).map(|at| (n * 31 + at * 7) as u8).collect()
}

fn open(env: &Arc<SimEnv>, from: Lsn) -> Result<(Wal, Vec<Vec<u8>>), WalError> {
    let mut found = Vec::new();
    let wal = Wal::open(Arc::clone(env) as Arc<dyn Env>, options(), from, &mut |_, bytes| {
        found.push(bytes.to_vec());
        Ok(())
    })?;
    Ok((wal, found))
}

fn append(wal: &Wal, n: usize) -> Lsn {
    wal.append(&[&record(n)]).expect("append")
}

type Files = Vec<(PathBuf, Vec<u8>)>;

fn files(env: &SimEnv) -> Files {
    let read = |name| {
        let path = Path::new("/log").join(name);
        let bytes = env::read_file(env, &path).expect("read");
        (path, bytes)
    };
    env.list(Path::new("/log")).expect("list").into_iter().map(read).collect()
}

impl TornTail {
    pub(super) fn new(seed: u64) -> TornTail {
        // Until the group goes into one file.
        (1..200).find_map(|durable| TornTail::with(seed, durable)).expect("a group in one file")
    }

    /// A log of so many records that are needed and durable, and the group behind them, in files that were used before.
    fn with(seed: u64, durable: usize) -> Option<TornTail> {
        let env = SimEnv::new(seed);
        let (wal, _) = open(&env, Lsn(0)).expect("open a new log");
        let mut from = Lsn(0);
        while from.0 < 400 << 10 {
            from = append(&wal, 1_000_000);
            wal.wait_durable(from).expect("durable");
            wal.truncate_below(from).expect("cut");
        }
        for n in 0..durable {
            let end = append(&wal, n);
            wal.wait_durable(end).expect("durable");
        }
        env.run_jobs(100);
        let before = files(&env);
        let all = durable + TAIL.div_ceil(RECORD + 4);
        for n in durable..all {
            append(&wal, n);
        }
        wal.wait_durable(wal.end()).expect("durable");
        let after = files(&env);
        let changed = |at: &usize| before.get(*at) != after.get(*at);
        let torn = (0..after.len()).find(changed)?;
        if (torn + 1..after.len()).any(|at| changed(&at)) {
            return None;
        }
        let (old, new) = (&before[torn].1, &after[torn].1);
        let differs = |at: &usize| old[*at] != new[*at];
        let start = (0..old.len()).find(differs)? / SECTOR * SECTOR;
        let end = (0..old.len()).rfind(differs)? + 1;
        assert!(end - start >= TAIL, "a tail of {} bytes", end - start);
        Some(TornTail { seed, from, torn, before: old.clone(), group: start..end, files: after, durable, all })
    }

    fn image(&self, way: Way, at: usize) -> Vec<u8> {
        let new = &self.files[self.torn].1;
        let mut image = new[..at].to_vec();
        match way {
            Way::Cut => {}
            Way::Zeros => image.resize(new.len(), 0),
            Way::Stale => image.extend_from_slice(&self.before[at..]),
            Way::Sectors => {
                image.extend_from_slice(&self.before[at..]);
                let mut random = SmallRng::seed_from_u64(self.seed ^ at as u64);
                for sector in (self.group.start..self.group.end).step_by(SECTOR) {
                    let sector = sector..(sector + SECTOR).min(new.len());
                    let from = if random.random_bool(0.5) { new } else { &self.before };
                    if !sector.contains(&at) {
                        image[sector.clone()].copy_from_slice(&from[sector]);
                    }
                }
            }
        }
        image
    }
}

/// The bytes as durable files.
fn write(env: &SimEnv, path: &Path, bytes: &[u8]) {
    let file = env.open(path, OpenMode::CreateNew).expect("create");
    file.write_all_at(bytes, 0).expect("write");
    file.sync_data().expect("sync");
}

impl Row for TornTail {
    /// The byte from which on the group is not there, by what is there instead.
    fn tries(&self) -> u64 {
        (self.group.len() * WAYS.len()) as u64
    }

    fn run(&self, number: u64, figures: &mut Figures) -> Result<(), String> {
        let at = self.group.start + number as usize / WAYS.len();
        let way = WAYS[number as usize % WAYS.len()];
        let said = |what: String| format!("{way:?} at {at}, {} in the group: {what}", at - self.group.start);
        let env = SimEnv::new(self.seed);
        env.create_dir_all(Path::new("/log")).expect("create a directory");
        for (index, (path, bytes)) in self.files.iter().enumerate() {
            if index == self.torn {
                write(&env, path, &self.image(way, at));
            } else {
                write(&env, path, bytes);
            }
        }
        env.sync_dir(Path::new("/log")).expect("sync a directory");
        let (wal, mut found) = open(&env, self.from).map_err(|error| said(error.to_string()))?;
        let is_ours = |(n, bytes): (usize, &Vec<u8>)| *bytes == record(n);
        if found.len() < self.durable || found.len() > self.all || !found.iter().enumerate().all(is_ours) {
            return Err(said(format!("{} records, of {} that were durable before", found.len(), self.durable)));
        }
        *figures.entry("records of torn groups kept").or_default() += (found.len() - self.durable) as u64;
        for n in 0..3 {
            found.push(record(n));
            append(&wal, n);
        }
        wal.wait_durable(wal.end()).map_err(|error| said(error.to_string()))?;
        let next = env.power_loss();
        drop(wal);
        let (_, again) = open(&next, self.from).map_err(|error| said(format!("the second time: {error}")))?;
        if again != found {
            return Err(said(format!("{} records the first time and three more, {} the second time", found.len(), again.len())));
        }
        Ok(())
    }
}

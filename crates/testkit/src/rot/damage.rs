//! Damage to make, and what becomes of all of it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::{SmallDatabase, Verdict};

/// Other bytes for one file, or none, and what that is called.
pub type Damage = (PathBuf, String, Option<Vec<u8>>);

/// What became of damages.
#[derive(Debug, Default)]
pub struct Outcome {
    /// By kind of file.
    pub verdicts: BTreeMap<String, BTreeMap<Verdict, usize>>,
    /// What went wrong, in words.
    pub wrong: Vec<String>,
}

impl Outcome {
    /// How many.
    pub fn tries(&self) -> usize {
        self.verdicts.values().flat_map(BTreeMap::values).sum::<usize>() + self.wrong.len()
    }
}

/// A bit of every `step`th byte of every file, from a place that `seed` moves.
pub fn flips(database: &SmallDatabase, step: usize, seed: usize) -> impl Iterator<Item = Damage> + Send + use<> {
    database.files().into_iter().flat_map(move |(path, bytes)| {
        (seed % step..bytes.len()).step_by(step).filter_map(move |at| {
            // Where a whole sector of the log is zero, one byte of it stands for the others.
            let sector = at / 512 * 512;
            let zero = bytes[sector..bytes.len().min(sector + 512)].iter().all(|byte| *byte == 0);
            if zero && at >= sector + step {
                return None;
            }
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            Some((path.clone(), format!("byte {at}"), Some(flipped)))
        })
    })
}

/// Sectors zeroed, and swapped with others.
pub fn blocks(database: &SmallDatabase) -> Vec<Damage> {
    let files = database.files();
    let mut damages: Vec<Damage> = Vec::new();
    for (path, bytes) in &files {
        for at in (0..bytes.len()).step_by(512) {
            let mut zeroed = bytes.clone();
            zeroed[at..bytes.len().min(at + 512)].fill(0);
            damages.push((path.clone(), format!("zeros from {at}"), Some(zeroed)));
            // With the sector after it, and one far behind.
            for other in [at + 512, at + 2048].into_iter().filter(|other| other + 512 <= bytes.len()) {
                let mut swapped = bytes.clone();
                let (left, right) = swapped.split_at_mut(other);
                left[at..at + 512].swap_with_slice(&mut right[..512]);
                damages.push((path.clone(), format!("sectors at {at} and {other} swapped"), Some(swapped)));
            }
        }
    }
    damages
}

/// Files cut, longer, lost, as they were earlier, and in each other's place.
pub fn whole_files(database: &SmallDatabase) -> Vec<Damage> {
    let files = database.files();
    let mut damages: Vec<Damage> = Vec::new();
    for (path, bytes) in &files {
        for at in [0, 1, bytes.len() / 2, bytes.len().saturating_sub(1)].into_iter().filter(|at| *at < bytes.len()) {
            damages.push((path.clone(), format!("the first {at} bytes"), Some(bytes[..at].to_vec())));
        }
        damages.push((path.clone(), "a byte more".into(), Some([bytes.as_slice(), b"x"].concat())));
        if kind_of(path) != "LOCK" {
            damages.push((path.clone(), "absence".into(), None));
        }
        if let Some(older) = database.older().get(path).filter(|older| *older != bytes) {
            damages.push((path.clone(), "an older copy".into(), Some(older.clone())));
        }
        for (other, content) in files.iter().chain(database.older()) {
            if other != path && kind_of(other) == kind_of(path) && content != bytes {
                damages.push((path.clone(), format!("a copy of {}", other.display()), Some(content.clone())));
            }
        }
    }
    damages
}

/// Judges all of them, on all cores.
pub fn judge_all(database: &SmallDatabase, damages: impl Iterator<Item = Damage> + Send) -> Outcome {
    on_all_cores(damages, |path, bytes| database.judge(path, bytes))
}

/// Repairs all of them, on all cores: [`Verdict::Found`] where no row is missing, [`Verdict::Refuses`] where the report says which.
pub fn repair_all(database: &SmallDatabase, damages: impl Iterator<Item = Damage> + Send) -> Outcome {
    on_all_cores(damages.filter(|(path, ..)| kind_of(path) != "LOCK"), |path, bytes| {
        database.repair(path, bytes).map(|(missing, _)| if missing == 0 { Verdict::Found } else { Verdict::Refuses })
    })
}

fn on_all_cores(
    damages: impl Iterator<Item = Damage> + Send,
    judge: impl Fn(&Path, Option<&[u8]>) -> Result<Verdict, String> + Sync,
) -> Outcome {
    let (damages, outcome) = (Mutex::new(damages), Mutex::new(Outcome::default()));
    let work = || {
        loop {
            let Some((path, what, bytes)) = damages.lock().expect("no panic").next() else { return };
            let judged = catch_unwind(AssertUnwindSafe(|| judge(&path, bytes.as_deref())));
            let judged = judged.unwrap_or_else(|_| Err("a panic".into()));
            let mut outcome = outcome.lock().expect("no panic");
            match judged {
                Ok(verdict) => *outcome.verdicts.entry(kind_of(&path)).or_default().entry(verdict).or_default() += 1,
                Err(error) => outcome.wrong.push(format!("{what} of {}: {error}", path.display())),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(work);
        }
    });
    outcome.into_inner().expect("no panic")
}

/// The extension of a file, or its name.
fn kind_of(path: &Path) -> String {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.rsplit_once('.').map_or(name, |(_, extension)| extension).to_owned()
}

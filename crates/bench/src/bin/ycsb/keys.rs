//! Which record an operation is for.
//!
//! ```text
//!   record number 0, 1, 2, ..  --FNV-1a-->  key "user6284781860667377211"      so neighbours in time are not neighbours in the index
//!   zipfian   rank by Zipf's law over 10^10 ranks  --FNV-1a, modulo records-->  record number       hot records lie scattered
//!   latest    newest record minus a rank by Zipf's law over the records
//! ```
//!
//! 1. Only records whose insertion is acknowledged, and all before them, are asked for ([`Inserted`]).
//!
//! Source: YCSB's ScrambledZipfianGenerator, SkewedLatestGenerator and AcknowledgedCounterGenerator; Gray et al., "Quickly generating
//! billion-record synthetic databases", 1994.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use clap::ValueEnum;
use rand::Rng;
use rand::rngs::StdRng;
use serde::Serialize;

/// Zipf's exponent in YCSB.
const THETA: f64 = 0.99;
/// Ranks of the scrambled distribution, and their zeta.
const SCRAMBLED_RANKS: u64 = 10_000_000_000;
const SCRAMBLED_ZETA: f64 = 26.469_028_201_783_02;

/// How records are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Distribution {
    /// Some records far more often than others, scattered over the keys.
    Zipfian,
    /// All alike.
    Uniform,
    /// New records more often than old ones.
    Latest,
}

/// The key of a record.
pub(crate) fn key_of(record: u64) -> String {
    format!("user{}", fnv(record))
}

/// FNV-1a over the eight bytes of a number, as a signed number without its sign.
fn fnv(number: u64) -> u64 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3);
    number.to_le_bytes().iter().fold(0xCBF2_9CE4_8422_2325, mix).cast_signed().unsigned_abs()
}

/// Zipf's law over ranks 0 to `ranks` - 1.
#[derive(Clone, Debug)]
struct Zipf {
    ranks: u64,
    zeta: f64,
}

impl Zipf {
    /// Costs a power for each rank.
    fn over(ranks: u64) -> Zipf {
        let mut zipf = Zipf { ranks: 0, zeta: 0.0 };
        zipf.extend(ranks);
        zipf
    }

    fn extend(&mut self, ranks: u64) {
        while self.ranks < ranks {
            self.ranks += 1;
            self.zeta += (self.ranks as f64).powf(-THETA);
        }
    }

    fn draw(&self, rng: &mut StdRng) -> u64 {
        let u: f64 = rng.random();
        let uz = u * self.zeta;
        if uz < 1.0 {
            return 0;
        }
        let second = 1.0 + 0.5_f64.powf(THETA);
        if uz < second {
            return 1;
        }
        let ranks = self.ranks as f64;
        let eta = (1.0 - (2.0 / ranks).powf(1.0 - THETA)) / (1.0 - second / self.zeta);
        ((ranks * (eta * u - eta + 1.0).powf(1.0 / (1.0 - THETA))) as u64).min(self.ranks - 1)
    }
}

/// Chooses records. Cloned, it goes on from the same state.
#[derive(Clone, Debug)]
pub(crate) struct Chooser {
    distribution: Distribution,
    zipf: Zipf,
}

impl Chooser {
    /// For a table of `records` at first.
    pub(crate) fn new(distribution: Distribution, records: u64) -> Chooser {
        let zipf = match distribution {
            Distribution::Latest => Zipf::over(records),
            _ => Zipf { ranks: SCRAMBLED_RANKS, zeta: SCRAMBLED_ZETA },
        };
        Chooser { distribution, zipf }
    }

    /// One of the first `records` (at least one).
    pub(crate) fn choose(&mut self, records: u64, rng: &mut StdRng) -> u64 {
        match self.distribution {
            Distribution::Uniform => rng.random_range(0..records),
            Distribution::Zipfian => fnv(self.zipf.draw(rng)) % records,
            Distribution::Latest => {
                self.zipf.extend(records);
                records - 1 - self.zipf.draw(rng).min(records - 1)
            }
        }
    }
}

/// How many records are there, while some are being inserted.
pub(crate) struct Inserted {
    next: AtomicU64,
    acknowledged: AtomicU64,
    /// Acknowledged before an earlier one.
    early: Mutex<BTreeSet<u64>>,
}

impl Inserted {
    /// With the first `records` there.
    pub(crate) fn new(records: u64) -> Inserted {
        Inserted { next: records.into(), acknowledged: records.into(), early: Mutex::default() }
    }

    /// How many records, from number 0 on, are all there.
    pub(crate) fn records(&self) -> u64 {
        self.acknowledged.load(Ordering::Acquire)
    }

    /// The number of a record to insert.
    pub(crate) fn take(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Says that a record is inserted.
    pub(crate) fn acknowledge(&self, record: u64) {
        let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        early.insert(record);
        let mut records = self.acknowledged.load(Ordering::Relaxed);
        while early.remove(&records) {
            records += 1;
        }
        self.acknowledged.store(records, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use rand::SeedableRng;

    use super::*;

    fn counts(distribution: Distribution, records: u64, draws: u32) -> HashMap<u64, u32> {
        let (mut chooser, mut rng) = (Chooser::new(distribution, records), StdRng::seed_from_u64(1));
        let mut counts = HashMap::new();
        for _ in 0..draws {
            *counts.entry(chooser.choose(records, &mut rng)).or_default() += 1;
        }
        assert!(counts.keys().all(|record| *record < records));
        counts
    }

    #[test]
    fn keys_are_those_of_ycsb() {
        assert_eq!([0, 1].map(key_of), ["user6284781860667377211", "user8517097267634966620"]);
    }

    #[test]
    fn zipf_over_a_few_ranks_follows_the_law() {
        let (zipf, mut rng, draws) = (Zipf::over(100), StdRng::seed_from_u64(2), 1_000_000);
        let mut counts = [0_u32; 100];
        for _ in 0..draws {
            counts[zipf.draw(&mut rng) as usize] += 1;
        }
        // The first two ranks are exact; the others are approximated by one power.
        for (rank, tolerance) in [(0, 0.02), (1, 0.02), (9, 0.15), (99, 0.15)] {
            let wanted = f64::from(draws) * ((rank + 1) as f64).powf(-THETA) / zipf.zeta;
            let error = (f64::from(counts[rank]) - wanted).abs() / wanted;
            assert!(error < tolerance, "rank {rank}: {} of {wanted:.0}", counts[rank]);
        }
    }

    #[test]
    fn the_zeta_of_the_scrambled_ranks_is_that_of_its_integral() {
        // Sum up to a million, and Euler and Maclaurin's formula from there on.
        let (head, from, to) = (Zipf::over(1_000_000).zeta, 1e6_f64, SCRAMBLED_RANKS as f64);
        let integral = (to.powf(1.0 - THETA) - from.powf(1.0 - THETA)) / (1.0 - THETA);
        let ends = (to.powf(-THETA) - from.powf(-THETA)) / 2.0;
        assert!((head + integral + ends - SCRAMBLED_ZETA).abs() < 1e-5);
    }

    #[test]
    fn the_hottest_record_is_scattered_and_has_its_share() {
        let counts = counts(Distribution::Zipfian, 1000, 200_000);
        let (hottest, count) = counts.iter().max_by_key(|(_, count)| **count).unwrap();
        assert_eq!(*hottest, fnv(0) % 1000);
        let share = f64::from(*count) / 200_000.0;
        assert!((1.0 / SCRAMBLED_ZETA..1.15 / SCRAMBLED_ZETA).contains(&share), "{share}");
    }

    #[test]
    fn latest_prefers_the_newest_and_uniform_nobody() {
        let latest = counts(Distribution::Latest, 1000, 100_000);
        assert!(latest[&999] > 10_000 && latest[&999] > latest[&998] && latest[&998] > latest[&900]);
        let uniform = counts(Distribution::Uniform, 1000, 1_000_000);
        assert!(uniform.len() == 1000 && uniform.values().all(|count| (800..1200).contains(count)));
    }

    #[test]
    fn records_are_there_when_all_before_them_are() {
        let inserted = Inserted::new(10);
        let taken: Vec<u64> = (0..3).map(|_| inserted.take()).collect();
        assert_eq!(taken, [10, 11, 12]);
        inserted.acknowledge(11);
        assert_eq!(inserted.records(), 10);
        inserted.acknowledge(10);
        assert_eq!(inserted.records(), 12);
        inserted.acknowledge(12);
        assert_eq!(inserted.records(), 13);
    }
}

//! The six workloads: which operations, how often, on which records.
//!
//! Source: YCSB's core workloads (Cooper et al., "Benchmarking cloud serving systems with YCSB", 2010).

use clap::ValueEnum;
use rand::Rng;
use rand::rngs::StdRng;
use serde::Serialize;

use crate::keys::Distribution;

/// Longest scan.
pub(crate) const SCAN_MAX: u32 = 100;

/// A core workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Workload {
    /// Half reads, half updates.
    A,
    /// 95 % reads, 5 % updates.
    B,
    /// Reads only.
    C,
    /// 95 % reads of the latest records, 5 % inserts.
    D,
    /// 95 % scans of 1 to 100 records, 5 % inserts.
    E,
    /// Half reads, half read-modify-writes.
    F,
}

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Operation {
    Read,
    Update,
    Insert,
    Scan,
    ReadModifyWrite,
}

impl Operation {
    pub(crate) const ALL: [Operation; 5] =
        [Operation::Read, Operation::Update, Operation::Insert, Operation::Scan, Operation::ReadModifyWrite];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Operation::Read => "read",
            Operation::Update => "update",
            Operation::Insert => "insert",
            Operation::Scan => "scan",
            Operation::ReadModifyWrite => "read-modify-write",
        }
    }
}

impl Workload {
    /// The operation that most are, how many of 100 are, and what the others are.
    fn mix(self) -> (Operation, u32, Operation) {
        match self {
            Workload::A => (Operation::Read, 50, Operation::Update),
            Workload::B => (Operation::Read, 95, Operation::Update),
            Workload::C => (Operation::Read, 100, Operation::Read),
            Workload::D => (Operation::Read, 95, Operation::Insert),
            Workload::E => (Operation::Scan, 95, Operation::Insert),
            Workload::F => (Operation::Read, 50, Operation::ReadModifyWrite),
        }
    }

    /// The next operation.
    pub(crate) fn draw(self, rng: &mut StdRng) -> Operation {
        let (most, percent, others) = self.mix();
        if rng.random_range(0..100) < percent { most } else { others }
    }

    /// How YCSB chooses its records.
    pub(crate) fn distribution(self) -> Distribution {
        if self == Workload::D { Distribution::Latest } else { Distribution::Zipfian }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn workloads_have_their_mixes() {
        let mut rng = StdRng::seed_from_u64(1);
        for (workload, shares) in [
            (Workload::A, [50, 50, 0, 0, 0]),
            (Workload::B, [95, 5, 0, 0, 0]),
            (Workload::C, [100, 0, 0, 0, 0]),
            (Workload::D, [95, 0, 5, 0, 0]),
            (Workload::E, [0, 0, 5, 95, 0]),
            (Workload::F, [50, 0, 0, 0, 50]),
        ] {
            let mut counts = [0_i32; 5];
            for _ in 0..10_000 {
                counts[workload.draw(&mut rng) as usize] += 1;
            }
            for (count, share) in counts.into_iter().zip(shares) {
                assert!((count - share * 100).abs() <= if share % 100 == 0 { 0 } else { 300 }, "{workload:?}: {counts:?}");
            }
        }
    }
}

//! How many distinct values a column has, from 2 KiB, mergeable over segments.
//!
//! Each value's 64-bit hash picks one of 2,048 registers with its upper 11 bits; the register keeps the greatest number of
//! leading zeros (plus one) seen in the remaining 53. The estimate is within 2.3 % (one standard error), for a few dozen
//! values within one.
//!
//! Source: Flajolet et al. 2007; the estimator without empirical constants is Ertl, "New cardinality estimation algorithms for
//! HyperLogLog sketches", 2017.

use crate::codec::{Decoder, Encoder};
use crate::error::Result;

const INDEX_BITS: u32 = 11;
const REGISTERS: usize = 1 << INDEX_BITS;
const RANK_MAX: u8 = (64 - INDEX_BITS + 1) as u8;

/// A HyperLogLog sketch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistinctSketch {
    registers: Box<[u8]>,
}

impl Default for DistinctSketch {
    fn default() -> DistinctSketch {
        DistinctSketch { registers: vec![0; REGISTERS].into_boxed_slice() }
    }
}

/// Spreads a fixed-width value over 64 bits. Part of the file format: never change it.
pub(crate) fn hash_u64(v: u64) -> u64 {
    let mut h = v.wrapping_add(0x9e37_79b9_7f4a_7c15);
    h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    h ^ (h >> 31)
}

impl DistinctSketch {
    /// Adds a value by its hash.
    pub(crate) fn insert(&mut self, hash: u64) {
        let register = &mut self.registers[(hash >> (64 - INDEX_BITS)) as usize];
        let rest = hash << INDEX_BITS | 1 << (INDEX_BITS - 1);
        *register = (*register).max(rest.leading_zeros() as u8 + 1);
    }

    /// Makes this the sketch of both sets of values.
    pub fn merge(&mut self, other: &DistinctSketch) {
        for (mine, theirs) in self.registers.iter_mut().zip(&other.registers) {
            *mine = (*mine).max(*theirs);
        }
    }

    /// About how many different values were added.
    pub fn estimate(&self) -> u64 {
        let mut counts = [0u32; RANK_MAX as usize + 1];
        for register in &self.registers {
            counts[usize::from(*register)] += 1;
        }
        let m = REGISTERS as f64;
        let mut z = m * tau(1.0 - f64::from(counts[usize::from(RANK_MAX)]) / m);
        for count in counts[1..usize::from(RANK_MAX)].iter().rev() {
            z = 0.5 * (z + f64::from(*count));
        }
        z += m * sigma(f64::from(counts[0]) / m);
        (m * m / (2.0 * std::f64::consts::LN_2 * z)).round() as u64
    }

    /// Writes the registers that are not zero if they are few, else all.
    pub(crate) fn encode(&self, out: &mut Encoder) {
        let used: Vec<_> = self.registers.iter().enumerate().filter(|(_, v)| **v != 0).collect();
        if used.len() * 3 < REGISTERS {
            out.u16(used.len() as u16);
            for (i, v) in used {
                out.u16(i as u16);
                out.u8(*v);
            }
        } else {
            out.u16(u16::MAX);
            out.raw(&self.registers);
        }
    }

    pub(crate) fn decode(from: &mut Decoder<'_>) -> Result<DistinctSketch> {
        let mut sketch = DistinctSketch::default();
        match from.u16()? {
            u16::MAX => sketch.registers.copy_from_slice(from.raw(REGISTERS)?),
            n => {
                for _ in 0..n {
                    let (i, v) = (from.u16()?, from.u8()?);
                    *sketch.registers.get_mut(usize::from(i)).ok_or_else(|| from.refuse("no such sketch register"))? = v;
                }
            }
        }
        if sketch.registers.iter().any(|v| *v > RANK_MAX) {
            return Err(from.refuse("a sketch register is too large"));
        }
        Ok(sketch)
    }
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn of(values: std::ops::Range<u64>) -> DistinctSketch {
        let mut sketch = DistinctSketch::default();
        values.for_each(|v| sketch.insert(hash_u64(v)));
        sketch
    }

    #[test]
    fn the_estimate_is_near_at_every_size() {
        assert_eq!(of(0..0).estimate(), 0);
        for n in [1u64, 2, 7, 30, 60] {
            assert!(of(0..n).estimate().abs_diff(n) <= 1, "{n} estimated as {}", of(0..n).estimate());
        }
        for n in [1_000u64, 5_000, 20_000, 300_000] {
            let found = of(0..n).estimate() as f64;
            assert!((found / n as f64 - 1.0).abs() < 0.07, "{n} estimated as {found}");
        }
    }

    #[test]
    fn merging_is_adding_both() {
        let mut both = of(0..4_000);
        both.merge(&of(2_000..6_000));
        assert_eq!(both, of(0..6_000));
    }

    #[test]
    fn sparse_and_dense_sketches_survive_the_file() {
        for sketch in [of(0..0), of(0..100), of(0..100_000)] {
            let mut out = Encoder::default();
            sketch.encode(&mut out);
            assert_eq!(DistinctSketch::decode(&mut Decoder::new(Path::new("x"), &out.bytes)).unwrap(), sketch);
        }
    }
}

//! Latencies counted into buckets of equal relative width, so that a run of any length takes the same memory.
//!
//! ```text
//!   value   0 .. 127 | 128 .. 255 | 256 .. 511 | ...        nanoseconds
//!   bucket     1 wide|     2 wide |     4 wide | ...        64 buckets an octave from the second one on
//! ```
//!
//! 1. A reported percentile is an upper bound of its bucket: at most 1.6 % above the true value, never below it.
//! 2. The largest value, the count and the sum are exact.
//!
//! Source: HdrHistogram's bucket scheme.

use std::time::Duration;

const OCTAVE: usize = 64;
const BUCKETS: usize = 2 * OCTAVE + (64 - 7) * OCTAVE;

/// A histogram of durations with nanosecond resolution.
#[derive(Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    count: u64,
    sum_ns: u128,
    max_ns: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { counts: vec![0; BUCKETS], count: 0, sum_ns: 0, max_ns: 0 }
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&mut self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(ns)] += 1;
        self.count += 1;
        self.sum_ns += u128::from(ns);
        self.max_ns = self.max_ns.max(ns);
    }

    /// Adds another histogram's counts to this one.
    pub fn merge(&mut self, other: &Histogram) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum_ns += other.sum_ns;
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The mean; zero when nothing was counted.
    pub fn mean(&self) -> Duration {
        let mean = self.sum_ns.checked_div(u128::from(self.count)).unwrap_or(0);
        Duration::from_nanos(u64::try_from(mean).unwrap_or(u64::MAX))
    }

    /// The largest duration; zero when nothing was counted.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.max_ns)
    }

    /// The duration that `quantile` (0 to 1) of the counted ones do not exceed; zero when nothing was counted.
    pub fn quantile(&self, quantile: f64) -> Duration {
        let wanted = ((quantile.clamp(0.0, 1.0) * self.count as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_nanos(upper_bound(bucket).min(self.max_ns));
            }
        }
        self.max()
    }
}

fn bucket(ns: u64) -> usize {
    if ns < 2 * OCTAVE as u64 {
        return ns as usize;
    }
    // `shift` halves the value into 64..128; each shift is one octave of 64 buckets.
    let shift = (64 - ns.leading_zeros() - 7) as usize;
    OCTAVE * (shift + 1) + (ns >> shift) as usize - OCTAVE
}

fn upper_bound(bucket: usize) -> u64 {
    if bucket < 2 * OCTAVE {
        return bucket as u64;
    }
    let shift = bucket / OCTAVE - 1;
    let head = (bucket % OCTAVE + OCTAVE) as u128;
    u64::try_from(((head + 1) << shift) - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_buckets_join() {
        let mut values: Vec<u64> = (0..100_000).collect();
        values.extend((17..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, (1 << bit) + 1]));
        values.push(u64::MAX);
        for ns in values {
            let at = bucket(ns);
            assert!(ns <= upper_bound(at), "{ns} above the bound of bucket {at}");
            assert!(at == 0 || ns > upper_bound(at - 1), "{ns} not above the bucket before {at}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_of_a_uniform_run_are_within_two_percent_and_not_below() {
        let mut histogram = Histogram::default();
        for us in 1..=1_000_000_u64 {
            histogram.record(Duration::from_micros(us));
        }
        for (quantile, exact) in [(0.5, 500_000.0), (0.99, 990_000.0), (0.999, 999_000.0)] {
            let got = histogram.quantile(quantile).as_micros() as f64;
            assert!(got >= exact && got <= exact * 1.02, "{quantile}: {got}");
        }
        assert_eq!(histogram.quantile(1.0), Duration::from_secs(1));
        assert_eq!(histogram.mean(), Duration::from_nanos(500_000_500));
    }

    #[test]
    fn merging_equals_counting_in_one() {
        let (mut left, mut right, mut both) = (Histogram::default(), Histogram::default(), Histogram::default());
        for us in 0..5_000_u64 {
            let duration = Duration::from_micros(us * us);
            if us % 3 == 0 {
                left.record(duration)
            } else {
                right.record(duration)
            }
            both.record(duration);
        }
        left.merge(&right);
        assert_eq!(left.count(), both.count());
        assert_eq!(left.quantile(0.37), both.quantile(0.37));
        assert_eq!((left.max(), left.mean()), (both.max(), both.mean()));
    }

    #[test]
    fn nothing_counted_is_zero() {
        let empty = Histogram::default();
        assert_eq!((empty.quantile(0.5), empty.mean(), empty.max()), (Duration::ZERO, Duration::ZERO, Duration::ZERO));
    }
}

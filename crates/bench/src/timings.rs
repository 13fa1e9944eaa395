//! Repeated times of one piece of work, and means over several pieces.

use std::time::Duration;

/// The times one piece of work took, a round each.
#[derive(Clone, Debug, Default)]
pub struct Timings {
    times: Vec<Duration>,
}

impl Timings {
    /// Adds one round.
    pub fn push(&mut self, time: Duration) {
        self.times.push(time);
    }

    /// The rounds in the order they ran.
    pub fn rounds(&self) -> &[Duration] {
        &self.times
    }

    /// The shortest round; zero without one.
    pub fn min(&self) -> Duration {
        self.times.iter().min().copied().unwrap_or_default()
    }

    /// The middle round, or the mean of the two in the middle; zero without one.
    pub fn median(&self) -> Duration {
        let mut sorted = self.times.clone();
        sorted.sort_unstable();
        match sorted.len() {
            0 => Duration::ZERO,
            n if n % 2 == 1 => sorted[n / 2],
            n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2,
        }
    }
}

/// The geometric mean; `None` without values or when one is not above zero.
pub fn geometric_mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (mut count, mut logarithms) = (0_u32, 0.0);
    for value in values {
        if value <= 0.0 || !value.is_finite() {
            return None;
        }
        count += 1;
        logarithms += value.ln();
    }
    (count > 0).then(|| (logarithms / f64::from(count)).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_is_the_mean_of_the_middle_two() {
        let mut timings = Timings::default();
        for ms in [40, 10, 30, 20] {
            timings.push(Duration::from_millis(ms));
        }
        assert_eq!(timings.median(), Duration::from_millis(25));
        assert_eq!(timings.min(), Duration::from_millis(10));
        timings.push(Duration::from_millis(90));
        assert_eq!(timings.median(), Duration::from_millis(30));
    }

    #[test]
    fn the_geometric_mean_of_two_and_eight_is_four() {
        assert!((geometric_mean([2.0, 8.0]).unwrap() - 4.0).abs() < 1e-12);
        assert_eq!(geometric_mean([]), None);
        assert_eq!(geometric_mean([1.0, 0.0]), None);
    }
}

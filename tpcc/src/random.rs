//! The specification's random values: uniform, non-uniform (NURand), strings, last names.
//!
//! ```text
//!   NURand(A, x, y) = ((random(0, A) | random(x, y)) + C) mod (y - x + 1) + x      A: 255 last names, 1023 customers, 8191 items
//! ```
//!
//! 1. C for last names differs between load and run by 65 to 119, but not by 96 or 112: else the run would hit the names that the load
//!    made frequent. The load's is a constant here, so that a run knows it without asking anybody.
//! 2. Everything follows from the seed.
//!
//! Source: TPC-C 5.11, clauses 2.1.6 and 4.3.2.

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

/// C for last names while loading.
const LOAD_LAST_NAME_C: u32 = 157;

const SYLLABLES: [&str; 10] = ["BAR", "OUGHT", "ABLE", "PRI", "PRES", "ESE", "ANTI", "CALLY", "ATION", "EING"];
const ALPHANUMERIC: &[u8; 62] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &[u8] = b"0123456789";

/// The C of each NURand, the same for everybody in a load or run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Constants {
    last_name: u32,
    customer: u32,
    item: u32,
}

impl Constants {
    /// For the load.
    pub(crate) fn of_load() -> Constants {
        Constants { last_name: LOAD_LAST_NAME_C, customer: 0, item: 0 }
    }

    /// For a run, by its seed.
    pub(crate) fn of_run(seed: u64) -> Constants {
        let mut rng = StdRng::seed_from_u64(seed ^ 0xC0_57A7);
        let allowed: Vec<u32> = (0..=255).filter(|&c| delta_allowed(c)).collect();
        Constants {
            last_name: allowed[rng.random_range(0..allowed.len())],
            customer: rng.random_range(0..=1023),
            item: rng.random_range(0..=8191),
        }
    }
}

/// Rule 1 above.
fn delta_allowed(c: u32) -> bool {
    let delta = c.abs_diff(LOAD_LAST_NAME_C);
    (65..=119).contains(&delta) && delta != 96 && delta != 112
}

/// A source of values.
pub(crate) struct Random {
    rng: StdRng,
    constants: Constants,
}

impl Random {
    /// `stream` separates sources of one seed.
    pub(crate) fn new(seed: u64, stream: u64, constants: Constants) -> Random {
        // Odd multiplier: different streams of one seed never start alike.
        let mixed = seed.wrapping_add(stream.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        Random { rng: StdRng::seed_from_u64(mixed), constants }
    }

    /// Uniform, both ends included.
    pub(crate) fn uniform(&mut self, low: u32, high: u32) -> u32 {
        self.rng.random_range(low..=high)
    }

    /// True in `percent` of 100 cases.
    pub(crate) fn percent(&mut self, percent: u32) -> bool {
        self.uniform(1, 100) <= percent
    }

    /// Uniform above 0 and up to 1.
    pub(crate) fn unit(&mut self) -> f64 {
        1.0 - self.rng.random::<f64>()
    }

    /// A customer's number, 1 to 3000.
    pub(crate) fn customer(&mut self) -> u32 {
        self.nurand(1023, 1, 3000, self.constants.customer)
    }

    /// An item's number, 1 to 100,000.
    pub(crate) fn item(&mut self) -> u32 {
        self.nurand(8191, 1, 100_000, self.constants.item)
    }

    /// A last name's number, 0 to 999, as NURand gives them.
    pub(crate) fn last_name(&mut self) -> u32 {
        self.nurand(255, 0, 999, self.constants.last_name)
    }

    fn nurand(&mut self, a: u32, low: u32, high: u32, c: u32) -> u32 {
        ((self.uniform(0, a) | self.uniform(low, high)) + c) % (high - low + 1) + low
    }

    /// Letters and digits: between `shortest` and `longest` of them.
    pub(crate) fn text(&mut self, shortest: u32, longest: u32) -> String {
        self.of(ALPHANUMERIC, shortest, longest)
    }

    /// Digits.
    pub(crate) fn digits(&mut self, count: u32) -> String {
        self.of(DIGITS, count, count)
    }

    /// Two capital letters.
    pub(crate) fn state(&mut self) -> String {
        self.of(LETTERS, 2, 2)
    }

    /// Four digits and 11111 (clause 4.3.2.7).
    pub(crate) fn zip(&mut self) -> String {
        self.digits(4) + "11111"
    }

    /// 26 to 50 characters, with ORIGINAL somewhere in one of ten (clause 4.3.3.1).
    pub(crate) fn data(&mut self) -> String {
        let mut text = self.text(26, 50);
        if self.percent(10) {
            let at = self.uniform(0, text.len() as u32 - 8) as usize;
            text.replace_range(at..at + 8, "ORIGINAL");
        }
        text
    }

    /// Tenthousandths from 0 to `high`, as a fraction of one.
    pub(crate) fn fraction(&mut self, high: u32) -> String {
        format!("0.{:04}", self.uniform(0, high))
    }

    /// 1 to `last` in random order.
    pub(crate) fn permutation(&mut self, last: u32) -> Vec<u32> {
        let mut numbers: Vec<u32> = (1..=last).collect();
        self.shuffle(&mut numbers);
        numbers
    }

    /// Random order.
    pub(crate) fn shuffle<T>(&mut self, values: &mut [T]) {
        values.shuffle(&mut self.rng);
    }

    fn of(&mut self, letters: &[u8], shortest: u32, longest: u32) -> String {
        let length = self.uniform(shortest, longest);
        (0..length).map(|_| char::from(letters[self.rng.random_range(0..letters.len())])).collect()
    }
}

/// The last name of a number below 1000: a syllable a digit (clause 4.3.2.3).
pub(crate) fn last_name_of(number: u32) -> String {
    [number / 100, number / 10 % 10, number % 10].map(|digit| SYLLABLES[digit as usize]).concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_names_are_syllables_of_their_digits() {
        for (number, name) in [(0, "BARBARBAR"), (371, "PRICALLYOUGHT"), (40, "BARPRESBAR"), (999, "EINGEINGEING")] {
            assert_eq!(last_name_of(number), name);
        }
    }

    #[test]
    fn nurand_stays_in_range_and_reaches_its_ends() {
        let mut random = Random::new(7, 0, Constants::of_run(7));
        let mut extremes = [(u32::MAX, 0); 3];
        for _ in 0..2_000_000 {
            for (extreme, value) in extremes.iter_mut().zip([random.last_name(), random.customer(), random.item()]) {
                *extreme = (extreme.0.min(value), extreme.1.max(value));
            }
        }
        assert_eq!(extremes[0], (0, 999));
        assert_eq!(extremes[1], (1, 3000));
        assert!(extremes[2].0 >= 1 && extremes[2].0 < 100 && extremes[2].1 > 99_900 && extremes[2].1 <= 100_000);
    }

    /// How often each last name's number comes, exactly: over all pairs that NURand ors.
    fn exact_frequency(c: u32) -> Vec<f64> {
        let mut counts = vec![0_u32; 1000];
        for a in 0..=255 {
            for b in 0..=999 {
                counts[(((a | b) + c) % 1000) as usize] += 1;
            }
        }
        counts.into_iter().map(|count| f64::from(count) / 256_000.0).collect()
    }

    #[test]
    fn last_names_follow_the_distribution_of_the_formula() {
        let draws = 2_000_000;
        let mut random = Random::new(3, 0, Constants::of_load());
        let mut counts = vec![0_u32; 1000];
        for _ in 0..draws {
            counts[random.last_name() as usize] += 1;
        }
        let exact = exact_frequency(LOAD_LAST_NAME_C);
        // Chi-square over 1000 cells: mean 999, standard deviation 45.
        let cells = counts.iter().zip(&exact).filter(|(_, share)| **share > 0.0);
        let chi: f64 =
            cells.map(|(count, share)| (f64::from(*count) - share * f64::from(draws)).powi(2) / (share * f64::from(draws))).sum();
        assert!(chi < 1300.0, "chi-square {chi}");
        assert!(exact.iter().copied().fold(0.0, f64::max) > 10.0 / 1000.0, "the formula is not uniform");
    }

    #[test]
    fn a_run_keeps_its_distance_from_the_load() {
        for seed in 0..1000 {
            let c = Constants::of_run(seed).last_name;
            let delta = c.abs_diff(LOAD_LAST_NAME_C);
            assert!(c <= 255 && (65..=119).contains(&delta) && delta != 96 && delta != 112, "{c}");
        }
        for (delta, allowed) in [(64, false), (65, true), (95, true), (96, false), (97, true)] {
            assert_eq!(delta_allowed(LOAD_LAST_NAME_C - delta), allowed, "{delta}");
        }
        assert!(
            !delta_allowed(LOAD_LAST_NAME_C - 112)
                && delta_allowed(LOAD_LAST_NAME_C - 119)
                && !delta_allowed(LOAD_LAST_NAME_C - 120)
        );
    }

    #[test]
    fn one_data_in_ten_says_original() {
        let mut random = Random::new(1, 0, Constants::of_load());
        let all: Vec<_> = (0..20_000).map(|_| random.data()).collect();
        let original = all.iter().filter(|data| data.contains("ORIGINAL")).count();
        assert!((1_850..2_150).contains(&original), "{original}");
        assert!(all.iter().all(|data| (26..=50).contains(&data.len())));
    }

    #[test]
    fn streams_of_one_seed_differ_and_repeat() {
        let text = |stream| Random::new(5, stream, Constants::of_load()).text(20, 20);
        assert_eq!(text(1), text(1));
        assert_ne!(text(1), text(2));
    }
}

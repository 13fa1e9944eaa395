//! Power losses of a machine on which clients, merges, loads and checkpoints run in an order from the seed.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::world::{Crash, World};

use super::{Figures, Row};

pub(super) struct PowerLoss {
    pub(super) seed: u64,
}

/// Several lives of one machine; the hash of everything that happened.
fn lives(seed: u64, figures: &mut Figures) -> u64 {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut world = World::new(seed);
    for _ in 0..3 {
        // Either somewhere between steps or in the middle of one, at a random call.
        if random.random_bool(0.9) {
            world.env().set_crash_at(random.random_range(1..120));
        }
        for _ in 0..random.random_range(1..300) {
            if !world.step() {
                break;
            }
        }
        *figures.entry("stopped in a call").or_default() += u64::from(world.env().has_crashed());
        let (survived, lost) = world.crash_and_recover(Crash::PowerLoss);
        *figures.entry("survived unasked").or_default() += survived as u64;
        *figures.entry("vanished").or_default() += lost as u64;
        *figures.entry("losses").or_default() += 1;
    }
    world.env().trace_hash()
}

impl Row for PowerLoss {
    fn tries(&self) -> u64 {
        u64::MAX
    }

    fn run(&self, number: u64, figures: &mut Figures) -> Result<(), String> {
        let seed = (self.seed << 40) + number;
        let hash = lives(seed, figures);
        // Now and then: the same seed does the same.
        if number.is_multiple_of(50) && lives(seed, &mut Figures::new()) != hash {
            return Err(format!("seed {seed} does not repeat itself"));
        }
        Ok(())
    }
}

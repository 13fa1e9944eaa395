//! Whole-engine simulation: a seeded workload against a model, with power loss and kills at any call that changes the
//! disk, calls that fail and disks that are full.
//!
//! ```text
//! World::new(seed) --step, step, step ... --> crash_and_recover --> the same checks --> go on
//!    clients with open transactions                            |
//!    views held over merges                                    +-- the database is the model after some prefix of the commits,
//!    model: the state after each commit                            and the prefix has every commit that was acknowledged
//! ```
//!
//! 1. Everything follows from the seed; a failure prints it, and the same seed fails the same way.
//! 2. The model knows nothing of deltas and segments: a map for each commit.
//!
//! Not here: SQL's meaning and the wire (their own tests). Nothing but tests depends on this crate.
//! Source: FoundationDB's simulation, Pebble's metamorphic and crash tests.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test kit: what fails here fails the test, with its seed")]

pub mod fuzz;
mod model;
mod ranges;
mod reading;
pub mod rot;
pub mod rows;
mod script;
mod tables;
mod world;

pub use rot::{SmallDatabase, Verdict};
pub use world::{Crash, World};

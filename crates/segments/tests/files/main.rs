//! Tests of this crate by its public interface, on simulated disks.

#![allow(clippy::unwrap_used)]

mod cache;
mod crashes;
mod damage;
mod dump;
mod manifest;
mod packed;
mod prune;
mod ranges;
mod round_trip;
mod sets;
mod store;
mod support;

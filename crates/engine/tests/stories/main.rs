//! Stories of what once went wrong, each on a simulated machine: what happened, and what is right.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::disallowed_methods, reason = "tests")]

mod bulk;
mod checkpoint;
mod later;
mod maintenance;
mod packing;
mod pressure;
mod recovery;
mod sequences;
mod support;
mod transaction;

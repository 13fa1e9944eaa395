//! What one execution did, counted while it runs.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one execution; read them at any time.
#[derive(Debug, Default)]
pub struct QueryStats {
    rows_from_delta: AtomicU64,
    rows_from_segments: AtomicU64,
    groups_read: AtomicU64,
    groups_pruned: AtomicU64,
    rows_pruned: AtomicU64,
    bytes_read: AtomicU64,
    rows_out: AtomicU64,
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident, $add:ident;)*) => {
        impl QueryStats {
            $(
                $(#[$doc])*
                pub fn $name(&self) -> u64 {
                    self.$name.load(Ordering::Relaxed)
                }

                pub(crate) fn $add(&self, n: u64) {
                    self.$name.fetch_add(n, Ordering::Relaxed);
                }
            )*
        }
    };
}

counters! {
    /// Rows that scans took from the delta, before filters.
    rows_from_delta, add_rows_from_delta;
    /// Rows that scans took from segments, after dead rows, pruned runs and before filters.
    rows_from_segments, add_rows_from_segments;
    /// Row groups of segments that were looked into.
    groups_read, add_groups_read;
    /// Row groups that zone maps excluded as a whole.
    groups_pruned, add_groups_pruned;
    /// Rows that zone maps excluded: whole groups and runs within a group.
    rows_pruned, add_rows_pruned;
    /// Bytes of decoded columns that scans used.
    bytes_read, add_bytes_read;
    /// Rows of the result.
    rows_out, add_rows_out;
}

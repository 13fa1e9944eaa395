//! Scans: a table's rows at one moment as batches, filtered and projected.
//!
//! ```text
//!                     +-- morsel: rows a..b of a row group --+   zone maps -> filters on their columns -> dead rows masked
//! shared queue ------>+-- morsel ...                         +-> -> the other columns, only where rows are left -> batches
//!  (one a scan)       +-- the delta, batch by batch ---------+   same filters
//! ```
//!
//! 1. Every live row is produced once: by the delta or by one position of one unit that is not dead.
//! 2. A filter that is accepted is applied to every row; a dynamic one (of a join or a TopK) may be left out when it does not pay.
//! 3. Columns of segments are looked at as they are packed; what is left is unpacked once, into the batch, and a column that is not
//!    packed is cut out of the cached one. An aggregation above may be done here, of codes (`fused`).
//! 4. Partitions take morsels from one queue, so a slow one does not keep the others waiting.

use std::sync::Arc;

use crate::statistics::QueryStats;
use crate::stop::Stop;

mod filter;
mod fused;
mod like;
mod morsels;
mod numbers;
mod provider;
mod prune;
mod rows;
mod source;
mod statistics;
mod stream;

pub(crate) use fused::{FusedAggregates, groups};
pub(crate) use numbers::number;
pub(crate) use provider::TableProvider;
pub(crate) use rows::pieces;
pub(crate) use source::{dynamic_filters, table_column, with_conditions};

/// What an execution lends its scans.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) stop: Stop,
    pub(crate) stats: Arc<QueryStats>,
}

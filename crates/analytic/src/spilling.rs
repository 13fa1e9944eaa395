//! How a query is run that has to do with little memory: joins sort, groups spill, and nobody takes what others need to begin.
//!
//! 1. DataFusion's hash joins hold one side and cannot spill; sorts can. With one partition it joins by hash whatever is preferred.
//! 2. A sort that has got memory keeps it for its merge, which cannot spill; so each may have a share only, and spills when it has that.
//!    What distributes rows by key may have what there is: made to spill by two inputs at a time it waits for ever
//!    (<https://github.com/apache/datafusion/issues/24883>, mended after version 55.2).
//! 3. Batches are small: a merge holds two of each of its inputs.

use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{SessionState, TaskContext};

use crate::session::ROWS_PER_BATCH;

/// What part of all memory for queries one sort may have before it spills.
const SHARES: usize = 16;
/// What part of that a sort keeps to merge what it has spilled.
const MERGES: usize = 4;
/// How much smaller batches are than others.
const BATCHES_SMALLER: usize = 8;
/// What DataFusion's sorts call themselves, while they can spill.
const SORT: &str = "ExternalSorter[";

/// What such a query is run with, where `state` is what others are run with. Errors: DataFusion's.
pub(crate) fn task(state: &SessionState) -> Result<Arc<TaskContext>> {
    let mut config = state.config().clone().with_batch_size(ROWS_PER_BATCH / BATCHES_SMALLER);
    let environment = state.runtime_env();
    let options = config.options_mut();
    options.optimizer.prefer_hash_join = false;
    options.execution.target_partitions = options.execution.target_partitions.max(2);
    let mut builder = RuntimeEnvBuilder::from_runtime_env(environment);
    if let MemoryLimit::Finite(limit) = environment.memory_pool.memory_limit() {
        let share = limit / SHARES;
        options.execution.sort_spill_reservation_bytes = options.execution.sort_spill_reservation_bytes.min(share / MERGES);
        builder = builder.with_memory_pool(Arc::new(Shares { all: Arc::clone(&environment.memory_pool), share }));
    }
    let state = SessionStateBuilder::new_from_existing(state.clone()).with_config(config).with_runtime_env(builder.build_arc()?);
    Ok(state.build().task_ctx())
}

/// Whether a plan made under these options is to do with little memory.
pub(crate) fn is_asked(options: &ConfigOptions) -> bool {
    !options.optimizer.prefer_hash_join
}

/// The memory of all queries, of which a sort gets a share.
#[derive(Debug)]
struct Shares {
    all: Arc<dyn MemoryPool>,
    share: usize,
}

impl fmt::Display for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} bytes each", self.all, self.share)
    }
}

impl MemoryPool for Shares {
    fn name(&self) -> &str {
        "shares"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.all.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.all.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.all.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.all.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        // Who has nothing yet has to begin with something.
        let consumer = reservation.consumer();
        if consumer.name().starts_with(SORT) && reservation.size() > 0 && reservation.size() + additional > self.share {
            let name = consumer.name();
            return Err(DataFusionError::ResourcesExhausted(format!("{name} has its share of {} bytes", self.share)));
        }
        self.all.try_grow(reservation, additional)
    }

    fn reserved(&self) -> usize {
        self.all.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.all.memory_limit()
    }
}

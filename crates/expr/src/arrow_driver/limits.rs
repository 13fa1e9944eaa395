//! What functions may use: text and bytes are as long as a function makes them, so a batch of them can be more than all memory.
//!
//! ```text
//! kernel   room for one value    taken before it is made, given back once it is in the array
//! array    its bytes             taken as it grows, given back when the last slice of it is gone
//! ```
//!
//! 1. All is taken from the queries' one pool; what finds no room ends its query with 53200.
//! 2. Less than [`FREE_BYTES`] of an array is not counted: every operator has some small batches in its hands.
//! 3. Between two rows a function asks whether its query is to go on.
//! 4. While a statement is planned there is no more than what is not counted: larger constants are computed when it is run.
//!
//! Not here: what operators keep (sorts, joins, groups), which they count themselves.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayRef, make_array};
use arrow::buffer::Buffer;
use bytes::Bytes;
use datafusion::common::config::{ConfigEntry, ConfigExtension, ConfigOptions, ExtensionOptions};
use datafusion::common::{Result, plan_err};
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryConsumer, MemoryPool, MemoryReservation};
use types::{Datum, SqlError, SqlState};

use crate::function::Room;

/// Bytes of one array that are not counted, and the step in which the others are.
pub(super) const FREE_BYTES: usize = 1 << 20;

/// Says whether a query is to go on.
pub type GoOn = Arc<dyn Fn() -> Result<()> + Send + Sync>;

/// A statement's limits, on their way to functions among DataFusion's options.
#[derive(Clone)]
pub struct Limits {
    pool: Arc<dyn MemoryPool>,
    go_on: GoOn,
}

impl Limits {
    /// Takes memory from `pool` while `go_on` says yes.
    pub fn new(pool: Arc<dyn MemoryPool>, go_on: GoOn) -> Limits {
        Limits { pool, go_on }
    }

    /// For the time when a statement is planned: a constant that takes more than is free is computed when it is run.
    pub fn of_planning(go_on: GoOn) -> Limits {
        Limits::new(Arc::new(GreedyMemoryPool::new(0)), go_on)
    }

    /// Those of the statement that has these options; `None` where there is no statement yet.
    pub fn of(options: &ConfigOptions) -> Option<&Limits> {
        options.extensions.get::<Limits>()
    }

    /// Errors once the query is to stop.
    pub fn go_on(&self) -> Result<()> {
        (self.go_on)()
    }

    /// What is taken of the queries' memory, nothing so far.
    pub(super) fn reservation(&self) -> MemoryReservation {
        MemoryConsumer::new("values of functions").register(&self.pool)
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits").field("pool", &self.pool).finish_non_exhaustive()
    }
}

impl ConfigExtension for Limits {
    const PREFIX: &'static str = "colonnade_limits";
}

impl ExtensionOptions for Limits {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, _value: &str) -> Result<()> {
        plan_err!("{key} is not a setting")
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        vec![]
    }
}

/// The room of one call over a batch.
pub(super) struct BatchRoom<'a> {
    limits: &'a Limits,
    /// Of the value being made.
    value: RefCell<Option<MemoryReservation>>,
    /// Of the array so far.
    array: Option<MemoryReservation>,
    bytes: usize,
}

impl BatchRoom<'_> {
    pub(super) fn new(limits: &Limits) -> BatchRoom<'_> {
        BatchRoom { limits, value: RefCell::new(None), array: None, bytes: 0 }
    }

    /// Counts a value before it is appended to the array. Errors: 53200, 57014.
    pub(super) fn add(&mut self, value: &Datum) -> Result<()> {
        self.limits.go_on()?;
        self.bytes += match value {
            Datum::Text(v) => v.len(),
            Datum::Bytea(v) => v.len(),
            _ => 0,
        };
        let counted = self.array.as_ref().map_or(0, MemoryReservation::size);
        if self.bytes - counted > FREE_BYTES {
            self.array.get_or_insert_with(|| self.limits.reservation()).try_grow(self.bytes - counted)?;
        }
        Ok(())
    }

    /// The value is in the array.
    pub(super) fn appended(&mut self) {
        self.value.get_mut().take();
    }

    /// The array, which gives its room back when it is dropped.
    pub(super) fn finish(self, array: ArrayRef) -> Result<ArrayRef> {
        match self.array {
            Some(reservation) => counted(&array, reservation),
            None => Ok(array),
        }
    }
}

impl Room for BatchRoom<'_> {
    fn take(&self, bytes: usize) -> std::result::Result<(), SqlError> {
        if bytes <= FREE_BYTES {
            return Ok(());
        }
        let mut value = self.value.borrow_mut();
        let reservation = value.get_or_insert_with(|| self.limits.reservation());
        reservation.try_grow(bytes).map_err(|error| {
            SqlError::new(SqlState::OUT_OF_MEMORY, "out of memory").detail(format!(
                "Failed on request of size {bytes}: {}",
                error.strip_backtrace().lines().next().unwrap_or_default()
            ))
        })
    }
}

/// A buffer with the memory that was taken for it.
struct Counted {
    buffer: Buffer,
    _reservation: Arc<MemoryReservation>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        self.buffer.as_slice()
    }
}

/// The same array, which gives its room back when the last slice of it is dropped.
pub(super) fn counted(array: &ArrayRef, reservation: MemoryReservation) -> Result<ArrayRef> {
    fn of(data: &ArrayData, reservation: &Arc<MemoryReservation>) -> Result<ArrayData> {
        let keep = |buffer: &Buffer| {
            let counted = Counted { buffer: buffer.clone(), _reservation: Arc::clone(reservation) };
            Buffer::from(Bytes::from_owner(counted))
        };
        let buffers = data.buffers().iter().map(keep).collect();
        let children = data.child_data().iter().map(|child| of(child, reservation)).collect::<Result<_>>()?;
        Ok(data.clone().into_builder().buffers(buffers).child_data(children).build()?)
    }
    Ok(make_array(of(&array.to_data(), &Arc::new(reservation))?))
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use types::SqlType;
    use types::arrow_form::ColumnBuilder;

    use super::*;

    fn limits(bytes: usize) -> (Limits, Arc<dyn MemoryPool>) {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(bytes));
        (Limits::new(Arc::clone(&pool), Arc::new(|| Ok(()))), pool)
    }

    #[test]
    fn an_array_holds_its_room_until_its_last_slice_is_gone() {
        let (limits, pool) = limits(16 << 20);
        let mut room = BatchRoom::new(&limits);
        let mut builder = ColumnBuilder::new(SqlType::Text, 4);
        for at in 0..4 {
            let value = Datum::Text("x".repeat((1 << 20) + at).into());
            room.add(&value).unwrap();
            builder.append(value.as_ref());
            room.appended();
        }
        let array = room.finish(builder.finish()).unwrap();
        assert!(pool.reserved() >= 3 << 20, "{}", pool.reserved());
        let slice = array.slice(3, 1);
        drop(array);
        assert!(pool.reserved() >= 3 << 20);
        assert_eq!(slice.as_string_view().value(0).len(), (1 << 20) + 3);
        drop(slice);
        assert_eq!(pool.reserved(), 0);
    }

    #[test]
    fn what_finds_no_room_is_not_made() {
        let (limits, pool) = limits(4 << 20);
        let mut room = BatchRoom::new(&limits);
        assert_eq!(room.take(5 << 20).unwrap_err().state, SqlState::OUT_OF_MEMORY);
        room.take(3 << 20).unwrap();
        assert_eq!(pool.reserved(), 3 << 20);
        room.appended();
        assert_eq!(pool.reserved(), 0);
        let big = Datum::Text("x".repeat(3 << 20).into());
        room.add(&big).unwrap();
        assert!(room.add(&big).is_err());
    }
}

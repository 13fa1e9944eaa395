//! The slabs of a table: found by position, taken to insert into, dropped when empty.
//!
//! Who inserts takes a slab with free slots from a stack and puts it back: inserters do not meet in one slab, and the last used,
//! still in the cache, is used next. A position whose slab was retired gets a new slab with later generations.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::slab::Slab;
use crate::slots::Slots;

#[derive(Default)]
pub(crate) struct Slabs {
    positions: RwLock<Positions>,
    open: Mutex<Vec<Arc<Slab>>>,
}

#[derive(Default)]
struct Positions {
    slabs: Vec<Option<Arc<Slab>>>,
    /// Positions without a slab, with the first generation of the next one there.
    vacant: Vec<(u32, u32)>,
}

impl Slabs {
    pub(crate) fn get(&self, position: u32) -> Option<Arc<Slab>> {
        self.positions.read().slabs.get(position as usize)?.clone()
    }

    /// One more than the greatest position in use.
    pub(crate) fn end(&self) -> u32 {
        self.positions.read().slabs.len() as u32
    }

    /// A slab that probably has a free slot; put it back with [`Slabs::put_back`] if it still has one afterwards.
    pub(crate) fn take_open(&self) -> Arc<Slab> {
        if let Some(slab) = self.open.lock().pop() {
            return slab;
        }
        let mut positions = self.positions.write();
        let (position, generation) = positions.vacant.pop().unwrap_or((positions.slabs.len() as u32, 0));
        let slab = Arc::new(Slab { position, slots: RwLock::new(Slots::new(generation)) });
        let entry = Some(Arc::clone(&slab));
        match positions.slabs.get_mut(position as usize) {
            Some(vacant) => *vacant = entry,
            None => positions.slabs.push(entry),
        }
        slab
    }

    /// Offers a slab whose `open` flag the caller has set (or left set) under its lock.
    pub(crate) fn put_back(&self, slab: Arc<Slab>) {
        self.open.lock().push(slab);
    }

    /// Forgets a slab that was retired under its lock; the next one at its position starts with `generation`.
    pub(crate) fn forget(&self, slab: &Slab, generation: u32) {
        let mut positions = self.positions.write();
        positions.slabs[slab.position as usize] = None;
        positions.vacant.push((slab.position, generation));
    }

    /// Drops retired slabs from the stack.
    pub(crate) fn sweep_open(&self) {
        self.open.lock().retain(|slab| slab.slots.try_read().is_none_or(|slots| !slots.retired));
    }
}

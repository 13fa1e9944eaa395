//! The row store in memory: the newest version of each row in place, older ones as before-images, per table.
//!
//! ```text
//!   index: key -> slot                 slab: 512 slots
//!   ...                                +--------------------------------------------+--------------------------+
//!   k17 -> slab 3, slot 2  ----------> | head: txn 9, Row | fixed part of the image | heap: keys, texts, patches
//!   ...                                +------|-------------------------------------+--------------------------+
//!                                             v before-images, newest first
//!                                      (@41, Row, columns 2 and 5 were ...) -> (@17, Deleted) -> bottom: InSegment
//! ```
//!
//! 1. A slot's chain ends at its bottom: there was no such row before ([`Base::Absent`]), or it is in a segment
//!    ([`Base::InSegment`]). A reader walks from the newest version to the first its snapshot sees.
//! 2. At most one transaction in progress has versions in a slot, and they are the newest. Nobody else ever sees them.
//! 3. A before-image holds the columns that changed, nothing else; deleting or moving a row leaves its image in place.
//! 4. A slot is freed when its newest version is `Deleted` or `InSegment` and every snapshot sees that, or when its only versions
//!    are undone. A freed slot gets another generation, so a reference from before does not find its next row.
//! 5. Lock order: none. Index and slabs are never locked together; an index entry whose slot is gone is removed by whoever
//!    finds it.
//!
//! A scan goes slab by slab with no lock in between and still meets each row exactly once: a key has one slot, a slot never
//! moves, and what is put into a freed or new slot after the snapshot was taken is nothing the snapshot sees.
//!
//! Not here: when to commit, freeze or reclaim (`engine`), whether a writer may overwrite what it finds (`engine`), the log. No IO.
//! Source: HyPer's in-place versions with before-images (Neumann et al., SIGMOD 2015).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cold;
mod columns;
mod counters;
mod index;
mod patch;
mod range;
mod reclaim;
mod scan;
mod shape;
mod slab;
mod slabs;
mod slots;
mod table;

pub use cold::Cold;
pub use counters::Counts;
pub use index::SlotRef;
pub use range::{Entry, RangeBlock};
pub use scan::{DeltaScan, Dump, KEY_COLUMN};
pub use slots::{Base, ROW_OVERHEAD};
pub use table::{DeltaTable, Expect, Found, Lineage, Newest, PutOutcome, Write};

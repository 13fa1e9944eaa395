//! Immutable column segments, their dead rows, and the manifest that says which of them count.
//!
//! ```text
//! data/<table>/7.parquet      rows in key order, readable by anyone        writer --> segment --> reader --> Arrow
//!              7.idx          checksums, keys, zone maps, statistics       sidecar     |           cache
//!              7.packed       packed columns, may be missing            packed_file |
//!              7.1200.dv      rows dead as of commit 1200                  deletion    set: which segments at which commit
//!              3.rows         rows not in segments as of a checkpoint      dump
//! manifest/00000000000000000003.mf                                         manifest
//! ```
//!
//! 1. Files never change. A new one is durable before a manifest names it; one that no manifest names is garbage.
//! 2. Every byte is compared with a checksum before it is used for anything.
//! 3. Nothing here knows of transactions in flight: timestamps come in as numbers.
//!
//! Not here: which rows go into a segment and when segments are merged (`engine`), versions of rows (`delta`).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cache;
mod codec;
mod column;
mod deletion;
mod dump;
mod encode;
mod error;
pub mod files;
mod filter;
pub mod fuzzing;
mod group;
mod info;
mod keys;
mod local;
mod lookup;
mod manifest;
mod measure;
mod packed;
mod packed_file;
mod pages;
mod range;
mod reader;
mod salvage;
mod schema;
mod segment;
mod set;
mod sidecar;
mod sketch;
mod statistics;
mod verify;
mod writer;
mod zone;

pub use cache::{Cache, CacheCounters};
pub use column::ColumnView;
pub use deletion::{DeletionLog, DeletionVector};
pub use dump::{DumpInfo, DumpReader, DumpWriter};
pub use encode::{EncodedGroup, GroupEncoder};
pub use error::{Result, SegmentError};
pub use group::Group;
pub use info::SegmentFileInfo;
pub use keys::KeyList;
pub use local::LocalStore;
pub use manifest::{Manifest, ManifestSegment, ManifestTable};
pub use packed::{Codes, Packed, PackedForm};
pub use packed_file::PackedFileWriter;
pub use range::SegmentRange;
pub use salvage::Salvaged;
pub use schema::{SegmentColumn, SegmentSchema};
pub use segment::Segment;
pub use set::{LiveSegment, SegmentSet};
pub use sketch::DistinctSketch;
pub use statistics::{ColumnStatistics, TableStatistics};
pub use verify::Checked;
pub use writer::{Codec, SegmentWriter, WriterOptions, value_bytes};
pub use zone::{Op, Predicate, Probe, Zone};

//! The sidecar of a segment, `<segment>.idx`: everything about the Parquet file beside it that is not the values themselves.
//!
//! ```text
//! | magic | version | segment id | schema | Parquet length, tail offset and CRC | groups | key index | column summaries | CRC |
//!                                                                               |
//!   group = rows, per column: its zone, a zone per 4,096 rows, its chunks       |
//!   chunk = offset, dictionary page {bytes, CRC}, data pages {bytes, rows, CRC} +-- pages lie side by side from `offset`
//! ```
//!
//! 1. Every byte of the Parquet file but its first four (the constant `PAR1`) is covered: by the CRC of its page, or by the CRC of
//!    the tail (page indexes and footer).
//! 2. The sidecar has a CRC of its own, which the manifest repeats: an older or another segment's sidecar is not taken for it.
//! 3. It is read whole when a segment is opened and stays in memory; without it a Parquet file is not readable by us (by
//!    others it is), and nothing rebuilds it from unverified bytes.
//!
//! Byte table: `docs/format.md`, Segment files. Source: our own; Parquet writers in Rust leave out page CRCs, so they are here.

use std::path::Path;
use std::sync::Arc;

use types::SegmentId;

use crate::codec::{Decoder, Encoder};
use crate::error::{Result, SegmentError};
use crate::filter::KeyFilter;
use crate::keys::KeyList;
use crate::schema::SegmentSchema;
use crate::statistics::ColumnSummary;
use crate::zone::Zone;

const MAGIC: &[u8; 8] = b"CLNDIDX\n";
pub(crate) const VERSION: u32 = 1;

/// Rows from one sparse key to the next.
pub(crate) const KEY_BLOCK_ROWS: usize = 128;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sidecar {
    pub(crate) id: SegmentId,
    pub(crate) schema: Arc<SegmentSchema>,
    pub(crate) rows: u32,
    pub(crate) parquet_bytes: u64,
    pub(crate) tail_offset: u64,
    pub(crate) tail_crc: u32,
    pub(crate) rows_per_zone: u32,
    pub(crate) groups: Vec<GroupEntry>,
    pub(crate) keys: KeyIndex,
    pub(crate) columns: Vec<ColumnSummary>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GroupEntry {
    pub(crate) rows: u32,
    pub(crate) columns: Vec<ColumnEntry>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ColumnEntry {
    pub(crate) zone: Zone,
    pub(crate) zones: Vec<Zone>,
    pub(crate) chunks: Vec<ChunkEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChunkEntry {
    pub(crate) offset: u64,
    pub(crate) dictionary: Option<PageEntry>,
    pub(crate) pages: Vec<PageEntry>,
}

/// A page: header and compressed values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageEntry {
    pub(crate) bytes: u32,
    /// Rows in the page; 0 for a dictionary.
    pub(crate) rows: u32,
    pub(crate) crc: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KeyIndex {
    pub(crate) min: Box<[u8]>,
    pub(crate) max: Box<[u8]>,
    /// The first key of each block of [`KEY_BLOCK_ROWS`] rows, blocks counted anew in each group.
    pub(crate) sparse: KeyList,
    pub(crate) filter: KeyFilter,
}

impl ChunkEntry {
    /// Bytes of the whole chunk.
    pub(crate) fn bytes(&self) -> u64 {
        self.dictionary.iter().chain(&self.pages).map(|page| u64::from(page.bytes)).sum()
    }
}

impl Sidecar {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        out.raw(MAGIC);
        out.u32(VERSION);
        out.u64(self.id.0);
        self.schema.encode(&mut out);
        out.u32(self.rows);
        out.u64(self.parquet_bytes);
        out.u64(self.tail_offset);
        out.u32(self.tail_crc);
        out.u32(self.rows_per_zone);
        out.count(self.groups.len());
        for group in &self.groups {
            out.u32(group.rows);
            for column in &group.columns {
                column.zone.encode(&mut out);
                out.count(column.zones.len());
                column.zones.iter().for_each(|zone| zone.encode(&mut out));
                column.chunks.iter().for_each(|chunk| chunk.encode(&mut out));
            }
        }
        out.bytes(&self.keys.min);
        out.bytes(&self.keys.max);
        self.keys.sparse.encode(&mut out);
        self.keys.filter.encode(&mut out);
        self.columns.iter().for_each(|column| column.encode(&mut out));
        out.finish_with_crc()
    }

    /// The sidecar in `bytes`, whose CRC is also noted as `crc` in the manifest.
    pub(crate) fn decode(path: &Path, bytes: &[u8], crc: u32) -> Result<Sidecar> {
        let mut from = Decoder::with_this_crc(path, bytes, crc)?;
        if from.raw(8)? != MAGIC {
            return Err(SegmentError::damaged(path, 0, "not a segment's sidecar"));
        }
        let found = from.u32()?;
        if found != VERSION {
            return Err(SegmentError::Version { path: path.to_path_buf(), found, supported: VERSION });
        }
        let id = SegmentId(from.u64()?);
        let schema = Arc::new(SegmentSchema::decode(&mut from)?);
        let (rows, parquet_bytes, tail_offset, tail_crc) = (from.u32()?, from.u64()?, from.u64()?, from.u32()?);
        let rows_per_zone = from.u32()?;
        let n = from.count(4)?;
        let groups = (0..n).map(|_| decode_group(&schema, &mut from)).collect::<Result<Vec<_>>>()?;
        let keys = KeyIndex {
            min: from.bytes()?.into(),
            max: from.bytes()?.into(),
            sparse: KeyList::decode(&schema, &mut from)?,
            filter: KeyFilter::decode(&mut from)?,
        };
        let columns = schema.columns().iter().map(|_| ColumnSummary::decode(&mut from)).collect::<Result<Vec<_>>>()?;
        from.finish()?;
        let sidecar = Sidecar { id, schema, rows, parquet_bytes, tail_offset, tail_crc, rows_per_zone, groups, keys, columns };
        sidecar.check_sums().map_err(|what| SegmentError::damaged(path, 0, what))?;
        Ok(sidecar)
    }

    /// Counts and offsets that must agree with each other. Asserted before a sidecar is written and after it is read.
    pub(crate) fn check_sums(&self) -> std::result::Result<(), String> {
        let rows: u64 = self.groups.iter().map(|g| u64::from(g.rows)).sum();
        if rows != u64::from(self.rows) || rows == 0 || self.groups.iter().any(|g| g.rows == 0) {
            return Err(format!("groups have {rows} rows, the segment {}", self.rows));
        }
        if self.rows_per_zone == 0 || self.columns.iter().any(|column| column.rows != rows) {
            return Err("a zone has no rows, or a column's summary too few".into());
        }
        let mut end = 4;
        for (g, group) in self.groups.iter().enumerate() {
            for (c, column) in group.columns.iter().enumerate() {
                let zones: u64 = column.zones.iter().map(|zone| u64::from(zone.rows())).sum();
                let whole = column.zones.iter().rev().skip(1).all(|zone| zone.rows() == self.rows_per_zone);
                if zones != u64::from(group.rows) || column.zone.rows() != group.rows || !whole {
                    return Err(format!("zones of column {c} in group {g} cover {zones} rows"));
                }
                for chunk in &column.chunks {
                    let rows: u64 = chunk.pages.iter().map(|page| u64::from(page.rows)).sum();
                    if rows != u64::from(group.rows) || chunk.offset != end {
                        return Err(format!("pages of column {c} in group {g} have {rows} rows from byte {}", chunk.offset));
                    }
                    end += chunk.bytes();
                }
            }
        }
        if end != self.tail_offset || self.tail_offset >= self.parquet_bytes {
            return Err(format!("pages end at byte {end}, the tail starts at {}", self.tail_offset));
        }
        let blocks: usize = self.groups.iter().map(|g| (g.rows as usize).div_ceil(KEY_BLOCK_ROWS)).sum();
        if blocks != self.keys.sparse.len() {
            return Err(format!("{} sparse keys for {blocks} blocks", self.keys.sparse.len()));
        }
        Ok(())
    }
}

fn decode_group(schema: &SegmentSchema, from: &mut Decoder<'_>) -> Result<GroupEntry> {
    let rows = from.u32()?;
    let columns = (0..schema.columns().len())
        .map(|c| {
            let zone = Zone::decode(from)?;
            let n = from.count(9)?;
            let zones = (0..n).map(|_| Zone::decode(from)).collect::<Result<Vec<_>>>()?;
            let chunks = (0..schema.leaves(c)).map(|_| ChunkEntry::decode(from)).collect::<Result<Vec<_>>>()?;
            Ok(ColumnEntry { zone, zones, chunks })
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(GroupEntry { rows, columns })
}

impl ChunkEntry {
    fn encode(&self, out: &mut Encoder) {
        out.u64(self.offset);
        let dictionary = self.dictionary.unwrap_or(PageEntry { bytes: 0, rows: 0, crc: 0 });
        out.u32(dictionary.bytes);
        out.u32(dictionary.crc);
        out.count(self.pages.len());
        for page in &self.pages {
            out.u32(page.bytes);
            out.u32(page.rows);
            out.u32(page.crc);
        }
    }

    fn decode(from: &mut Decoder<'_>) -> Result<ChunkEntry> {
        let offset = from.u64()?;
        let (bytes, crc) = (from.u32()?, from.u32()?);
        if bytes == 0 && crc != 0 {
            return Err(from.refuse("a checksum of no dictionary"));
        }
        let dictionary = (bytes != 0).then_some(PageEntry { bytes, rows: 0, crc });
        let n = from.count(12)?;
        let page = |from: &mut Decoder<'_>| Ok(PageEntry { bytes: from.u32()?, rows: from.u32()?, crc: from.u32()? });
        let pages = (0..n).map(|_| page(from)).collect::<Result<Vec<_>>>()?;
        if pages.iter().any(|page| page.rows == 0 || page.bytes == 0) {
            return Err(from.refuse("a page is empty"));
        }
        Ok(ChunkEntry { offset, dictionary, pages })
    }
}

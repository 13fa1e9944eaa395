//! A segment's entry in a manifest or a log record: how long its files are, and a checksum from which all others follow.

use std::ops::Range;

use crate::codec::{Decoder, Encoder};
use crate::error::Result;

/// What the manifest says of a segment's two files; everything else follows from the sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentFileInfo {
    /// Rows, dead ones too.
    pub rows: u32,
    /// Length of the Parquet file.
    pub parquet_bytes: u64,
    /// Length of the sidecar.
    pub sidecar_bytes: u64,
    /// The CRC-32 that the sidecar ends with. The sidecar has the CRCs of the Parquet file's parts.
    pub sidecar_crc: u32,
}

impl SegmentFileInfo {
    /// Its bytes in a log record or a manifest.
    pub const ENCODED_LEN: usize = 24;

    /// As bytes.
    pub fn to_bytes(self) -> [u8; SegmentFileInfo::ENCODED_LEN] {
        let mut out = Encoder::default();
        self.encode(&mut out);
        let mut bytes = [0; SegmentFileInfo::ENCODED_LEN];
        bytes.copy_from_slice(&out.bytes);
        bytes
    }

    /// From the bytes of [`SegmentFileInfo::to_bytes`].
    pub fn from_bytes(bytes: [u8; SegmentFileInfo::ENCODED_LEN]) -> SegmentFileInfo {
        let field = |range: Range<usize>| {
            let mut wide = [0; 8];
            wide[..range.len()].copy_from_slice(&bytes[range]);
            u64::from_le_bytes(wide)
        };
        SegmentFileInfo {
            rows: field(0..4) as u32,
            parquet_bytes: field(4..12),
            sidecar_bytes: field(12..20),
            sidecar_crc: field(20..24) as u32,
        }
    }

    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.u32(self.rows);
        out.u64(self.parquet_bytes);
        out.u64(self.sidecar_bytes);
        out.u32(self.sidecar_crc);
    }

    pub(crate) fn decode(from: &mut Decoder<'_>) -> Result<SegmentFileInfo> {
        Ok(SegmentFileInfo {
            rows: from.u32()?,
            parquet_bytes: from.u64()?,
            sidecar_bytes: from.u64()?,
            sidecar_crc: from.u32()?,
        })
    }
}

//! For fuzzing: what reads bytes of files, given any bytes whose checksum is right.

use std::path::Path;

use roaring::RoaringBitmap;
use types::{Datum, SqlType};

use crate::codec::trailing_crc;
use crate::deletion;
use crate::error::Result;
use crate::keys::decode_value;
use crate::sidecar::Sidecar;

/// Puts the CRC-32 of what is before the last four bytes there.
pub fn seal(bytes: &mut [u8]) {
    if let Some((body, crc)) = bytes.split_last_chunk_mut::<4>() {
        *crc = crc32fast::hash(body).to_le_bytes();
    }
}

/// Reads a sidecar; returns its rows.
pub fn sidecar(bytes: &[u8]) -> Result<u32> {
    Sidecar::decode(Path::new("fuzzed.idx"), bytes, trailing_crc(bytes).unwrap_or_default()).map(|sidecar| sidecar.rows)
}

/// Reads the bitmap of a deletion vector of a segment of `rows` rows.
pub fn deletions(bytes: &[u8], rows: u32) -> Result<RoaringBitmap> {
    deletion::parse(Path::new("fuzzed.dv"), bytes, rows)
}

/// The value of a key's bytes.
pub fn key_value(bytes: &[u8], t: SqlType) -> Option<Datum> {
    decode_value(bytes, t)
}

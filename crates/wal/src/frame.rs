//! The bytes: a header for each file, a header for each frame of the stream.
//!
//! ```text
//! file:    | header .... | frame | frame ........ | frame | mark | zeros or older frames ........ |
//!          0             512     +n*512           (frames start on sectors of 512 bytes)
//! frame:   | magic | length | salt | lsn | durable | flags | crc | payload ... | zeros to the next sector |
//! stream:  | length, record | length, rec[frame border]ord | length, record | ...
//! ```
//!
//! 1. A frame counts only if its checksum holds and its salt is the file's. A file in use again has another salt.
//! 2. No sector holds bytes of two groups, so a write torn in a sector cannot hurt what was durable before it.
//! 3. A frame's `durable`, and a file header's `first`, are positions up to which everything was on disk before they were written.
//!    So whoever reads them knows that everything before must be there.
//! 4. A mark is a frame without payload, written where the next group will start once the log is at rest: it says that the last
//!    group was durable. It is written over by that group.
//!
//! The byte tables are in docs/format.md, "Log files". Everything is little-endian.

/// Format of the files this version writes.
pub(crate) const VERSION: u32 = 1;

/// Frames start at multiples of this.
pub(crate) const SECTOR: u64 = 512;

/// The largest payload of a frame. Larger ones would only make replay need more memory: a header per MiB is nothing. In this
/// crate's own tests groups of many frames shall be small.
pub(crate) const PAYLOAD_MAX: usize = if cfg!(test) { 2 << 10 } else { 1 << 20 };

/// Bytes of a frame's header.
pub(crate) const FRAME_HEADER: usize = 40;

/// Bytes of a record's header, its length.
pub(crate) const RECORD_HEADER: usize = 4;

const FILE_HEADER: usize = 40;
const FILE_MAGIC: [u8; 8] = *b"ClndWAL\0";
const FRAME_MAGIC: [u8; 4] = *b"ClFr";
const FLAG_RESTART: u16 = 1;
const FIRST_OF_SPARE: u64 = u64::MAX;

/// What a file's first sector says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileHeader {
    /// Holds the stream from `first` on; `None` for a file that is prepared and was never used.
    Valid { salt: u64, first: Option<u64> },
    /// Of another format.
    OtherVersion(u32),
    /// Nothing that was ever completely written.
    Invalid,
}

/// The first sector of a file.
pub(crate) fn encode_file_header(salt: u64, first: Option<u64>) -> [u8; SECTOR as usize] {
    let mut bytes = [0; SECTOR as usize];
    bytes[0..8].copy_from_slice(&FILE_MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[16..24].copy_from_slice(&salt.to_le_bytes());
    bytes[24..32].copy_from_slice(&first.unwrap_or(FIRST_OF_SPARE).to_le_bytes());
    let crc = crc32fast::hash(&bytes[..36]);
    bytes[36..FILE_HEADER].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Reads a file's first sector; anything shorter is invalid.
pub(crate) fn decode_file_header(bytes: &[u8]) -> FileHeader {
    if bytes.len() < SECTOR as usize || bytes[0..8] != FILE_MAGIC || crc32fast::hash(&bytes[..36]) != u32_at(bytes, 36) {
        return FileHeader::Invalid;
    }
    match u32_at(bytes, 8) {
        VERSION => {
            let first = u64_at(bytes, 24);
            FileHeader::Valid { salt: u64_at(bytes, 16), first: (first != FIRST_OF_SPARE).then_some(first) }
        }
        other => FileHeader::OtherVersion(other),
    }
}

/// A frame's header, its checksum aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Bytes of the payload, at most [`PAYLOAD_MAX`]; 0 for a mark.
    pub(crate) len: usize,
    pub(crate) salt: u64,
    /// Position in the stream of the payload's first byte.
    pub(crate) lsn: u64,
    /// Rule 3.
    pub(crate) durable: u64,
    /// The record that is incomplete before this frame was given up; one starts with this frame.
    pub(crate) restart: bool,
}

impl Frame {
    /// Appends the frame with its payload and the padding to `out`, whose length must be a multiple of [`SECTOR`].
    pub(crate) fn encode(&self, payload: &[u8], out: &mut Vec<u8>) {
        debug_assert!(payload.len() == self.len && self.len <= PAYLOAD_MAX && out.len().is_multiple_of(SECTOR as usize));
        let start = out.len();
        out.extend_from_slice(&FRAME_MAGIC);
        out.extend_from_slice(&(self.len as u32).to_le_bytes());
        out.extend_from_slice(&self.salt.to_le_bytes());
        out.extend_from_slice(&self.lsn.to_le_bytes());
        out.extend_from_slice(&self.durable.to_le_bytes());
        out.extend_from_slice(&if self.restart { FLAG_RESTART } else { 0 }.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        let crc = checksum(&out[start..], payload);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(payload);
        out.resize(out.len().next_multiple_of(SECTOR as usize), 0);
    }

    /// Reads a header from its [`FRAME_HEADER`] bytes. Only after [`Frame::verify`] it may be believed.
    pub(crate) fn decode(header: &[u8]) -> Option<Frame> {
        let len = u32_at(header, 4) as usize;
        (header[..4] == FRAME_MAGIC && len <= PAYLOAD_MAX).then(|| Frame {
            len,
            salt: u64_at(header, 8),
            lsn: u64_at(header, 16),
            durable: u64_at(header, 24),
            restart: u16::from_le_bytes([header[32], header[33]]) & FLAG_RESTART != 0,
        })
    }

    /// True if header and payload are as they were written.
    pub(crate) fn verify(header: &[u8], payload: &[u8]) -> bool {
        u32_at(header, 36) == checksum(&header[..36], payload) || env::seeded_bug("log-checksum-not-compared")
    }

    /// Bytes from the start of a frame with a payload of `len` bytes to the next one.
    pub(crate) fn footprint(len: usize) -> u64 {
        ((FRAME_HEADER + len) as u64).next_multiple_of(SECTOR)
    }
}

fn checksum(header: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(payload);
    hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Frame = Frame { len: 5, salt: 0x1122_3344_5566_7788, lsn: 77, durable: 70, restart: true };

    #[test]
    fn a_frame_gives_back_what_was_put_in_and_fills_its_sectors() {
        for len in [0, 5, 471, 472, 473, PAYLOAD_MAX] {
            for restart in [false, true] {
                let (frame, payload) = (Frame { len, restart, ..FRAME }, vec![9; len]);
                let mut bytes = vec![1; 512];
                frame.encode(&payload, &mut bytes);
                assert_eq!(bytes.len() as u64, 512 + Frame::footprint(len));
                let (header, rest) = bytes[512..].split_at(FRAME_HEADER);
                assert_eq!(Frame::decode(header), Some(frame));
                assert!(Frame::verify(header, &rest[..len]));
                assert_eq!(rest[..len], payload);
            }
        }
        assert_eq!([0, 472, 473].map(Frame::footprint), [512, 512, 1024]);
    }

    #[test]
    fn every_flipped_bit_of_a_frame_shows() {
        let mut bytes = Vec::new();
        FRAME.encode(b"hello", &mut bytes);
        for bit in 0..(FRAME_HEADER + 5) * 8 {
            let mut bent = bytes.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            let valid = Frame::decode(&bent).is_some_and(|frame| {
                let payload = bent.get(FRAME_HEADER..FRAME_HEADER + frame.len);
                payload.is_some_and(|payload| Frame::verify(&bent[..FRAME_HEADER], payload))
            });
            assert!(!valid, "bit {bit}");
        }
    }

    #[test]
    fn every_flipped_bit_of_a_file_header_shows() {
        let valid = FileHeader::Valid { salt: 5, first: Some(99) };
        let bytes = encode_file_header(5, Some(99));
        assert_eq!(decode_file_header(&bytes), valid);
        assert_eq!(decode_file_header(&bytes[..511]), FileHeader::Invalid);
        for bit in 0..FILE_HEADER * 8 {
            let mut bent = bytes;
            bent[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_file_header(&bent), FileHeader::Invalid, "bit {bit}");
        }
    }

    #[test]
    fn spares_and_other_versions_are_told_apart() {
        assert_eq!(decode_file_header(&encode_file_header(5, None)), FileHeader::Valid { salt: 5, first: None });
        let mut later = encode_file_header(5, Some(0));
        later[8] = 2;
        let crc = crc32fast::hash(&later[..36]);
        later[36..40].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(decode_file_header(&later), FileHeader::OtherVersion(2));
        assert_eq!(decode_file_header(&[0; 512]), FileHeader::Invalid);
    }
}

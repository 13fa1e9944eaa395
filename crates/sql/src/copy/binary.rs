//! COPY's binary format.
//!
//! ```text
//! offset  size  field                                            (all integers big-endian)
//! 0       11    PGCOPY\n\xff\r\n\0
//! 11      4     flags: bit 16 = with oids (refused); other high bits are refused too
//! 15      4     length of an extension, then so many bytes to skip
//! then rows:    i16 number of fields, each i32 length (-1 = NULL) and so many bytes
//! end           i16 -1
//! ```

use types::SqlError;

use crate::copy::decode::{Record, Step, bad_format};

pub(crate) const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// What a COPY TO begins with.
pub(crate) fn header(out: &mut Vec<u8>) {
    out.extend_from_slice(SIGNATURE);
    out.extend_from_slice(&[0; 8]);
}

/// What a COPY TO ends with.
pub(crate) fn trailer(out: &mut Vec<u8>) {
    out.extend_from_slice(&(-1i16).to_be_bytes());
}

#[derive(Default)]
pub(crate) struct Decoder {
    begun: bool,
    ended: bool,
}

impl Decoder {
    pub(crate) fn step(&mut self, rest: &[u8], last: bool, record: &mut Record) -> Result<Step, SqlError> {
        let incomplete = |what: &str| if last { Err(bad_format(what)) } else { Ok(Step::More) };
        if self.ended {
            return if rest.is_empty() { Ok(Step::Skip(0)) } else { Err(bad_format("received copy data after EOF marker")) };
        }
        if !self.begun {
            return match self.head(rest)? {
                Some(bytes) => {
                    self.begun = true;
                    Ok(Step::Skip(bytes))
                }
                None if rest.len() < SIGNATURE.len() && last => Err(bad_format("COPY file signature not recognized")),
                None => incomplete("invalid COPY file header (missing length)"),
            };
        }
        let Some(count) = rest.first_chunk::<2>() else {
            // PostgreSQL takes the end of the stream for the end of the data as well.
            return if rest.is_empty() && last { Ok(Step::Skip(0)) } else { incomplete("unexpected EOF in COPY data") };
        };
        let count = i16::from_be_bytes(*count);
        if count == -1 {
            self.ended = true;
            return Ok(Step::Skip(2));
        }
        if count < 0 {
            return Err(bad_format(format!("row field count is {count}, which is not possible")));
        }
        let mut at = 2;
        for _ in 0..count {
            let Some(length) = rest.get(at..).and_then(<[u8]>::first_chunk::<4>) else {
                return incomplete("unexpected EOF in COPY data");
            };
            at += 4;
            let length = i32::from_be_bytes(*length);
            if length == -1 {
                record.fields.push(None);
                continue;
            }
            let Ok(length) = usize::try_from(length) else { return Err(bad_format("invalid field size")) };
            let Some(value) = rest.get(at..at.saturating_add(length)) else {
                return incomplete("unexpected EOF in COPY data");
            };
            at += length;
            let start = record.bytes.len();
            record.bytes.extend_from_slice(value);
            record.fields.push(Some(start..record.bytes.len()));
        }
        Ok(Step::Record(at))
    }

    /// Bytes of the header, `None` if it is not whole yet.
    fn head(&self, rest: &[u8]) -> Result<Option<usize>, SqlError> {
        let have = rest.len().min(SIGNATURE.len());
        if rest.get(..have) != SIGNATURE.get(..have) {
            return Err(bad_format("COPY file signature not recognized"));
        }
        let (Some(flags), Some(extension)) =
            (rest.get(11..).and_then(<[u8]>::first_chunk::<4>), rest.get(15..).and_then(<[u8]>::first_chunk::<4>))
        else {
            return Ok(None);
        };
        let flags = u32::from_be_bytes(*flags);
        if flags & (1 << 16) != 0 {
            return Err(bad_format("invalid COPY file header (WITH OIDS)"));
        }
        if flags >> 16 != 0 {
            return Err(bad_format("unrecognized critical flags in COPY file header"));
        }
        let Ok(extension) = usize::try_from(i32::from_be_bytes(*extension)) else {
            return Err(bad_format("invalid COPY file header (wrong length)"));
        };
        let whole = 19 + extension;
        Ok((rest.len() >= whole).then_some(whole))
    }
}

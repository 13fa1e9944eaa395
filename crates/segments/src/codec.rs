//! Little-endian fields into a byte vector and, bounds-checked, out of a slice: what sidecars, manifests, deletion vector and
//! dump files are made of.
//!
//! 1. A length or count read from disk is compared with the bytes that are left before anything is allocated for it.
//! 2. Every refusal names the file and the byte.

use std::path::Path;

use types::{ColumnId, SqlType};

use crate::error::{Result, SegmentError};

#[derive(Default)]
pub(crate) struct Encoder {
    pub(crate) bytes: Vec<u8>,
}

impl Encoder {
    pub(crate) fn u8(&mut self, v: u8) {
        self.bytes.push(v);
    }

    pub(crate) fn u16(&mut self, v: u16) {
        self.bytes.extend_from_slice(&v.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, v: u32) {
        self.bytes.extend_from_slice(&v.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, v: u64) {
        self.bytes.extend_from_slice(&v.to_le_bytes());
    }

    pub(crate) fn raw(&mut self, v: &[u8]) {
        self.bytes.extend_from_slice(v);
    }

    /// A count or length of this process's own making, which always fits its field.
    pub(crate) fn count(&mut self, n: usize) {
        self.u32(u32::try_from(n).expect("lengths in our files are below 4 GiB by the limits of their writers"));
    }

    pub(crate) fn bytes(&mut self, v: &[u8]) {
        self.count(v.len());
        self.raw(v);
    }

    pub(crate) fn sql_type(&mut self, t: SqlType) {
        let (code, parameter) = match t {
            SqlType::Bool => (1, 0),
            SqlType::Int2 => (2, 0),
            SqlType::Int4 => (3, 0),
            SqlType::Int8 => (4, 0),
            SqlType::Float4 => (5, 0),
            SqlType::Float8 => (6, 0),
            SqlType::Numeric { precision, scale } => (7, u32::from(precision) << 8 | u32::from(scale)),
            SqlType::Text => (8, 0),
            SqlType::Varchar(n) => (9, n),
            SqlType::Char(n) => (10, n),
            SqlType::Bytea => (11, 0),
            SqlType::Date => (12, 0),
            SqlType::Time => (13, 0),
            SqlType::Timestamp => (14, 0),
            SqlType::TimestampTz => (15, 0),
            SqlType::Interval => (16, 0),
            SqlType::Uuid => (17, 0),
        };
        self.u8(code);
        self.u32(parameter);
    }

    /// The bytes so far and the CRC-32 of them.
    pub(crate) fn finish_with_crc(mut self) -> Vec<u8> {
        let crc = crc32fast::hash(&self.bytes);
        self.u32(crc);
        self.bytes
    }
}

/// The CRC-32 that a file made by [`Encoder::finish_with_crc`] ends with. This is what other files note of it: the CRC of the file
/// with its own CRC behind it is the same number for every file.
pub(crate) fn trailing_crc(bytes: &[u8]) -> Option<u32> {
    bytes.last_chunk().map(|crc| u32::from_le_bytes(*crc))
}

pub(crate) struct Decoder<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(path: &'a Path, bytes: &'a [u8]) -> Decoder<'a> {
        Decoder { path, bytes, at: 0 }
    }

    /// As [`Decoder::with_crc`], of a file whose CRC is noted elsewhere too: another file, whole in itself, is refused.
    pub(crate) fn with_this_crc(path: &'a Path, bytes: &'a [u8], expected: u32) -> Result<Decoder<'a>> {
        let found = trailing_crc(bytes).unwrap_or_default();
        if found != expected {
            let what = "the whole file".into();
            return Err(SegmentError::Checksum { path: path.to_path_buf(), what, offset: 0, expected, found });
        }
        Decoder::with_crc(path, bytes)
    }

    /// Checks the CRC-32 in the last four bytes and reads the rest.
    pub(crate) fn with_crc(path: &'a Path, bytes: &'a [u8]) -> Result<Decoder<'a>> {
        let Some((body, crc)) = bytes.split_last_chunk::<4>() else {
            return Err(SegmentError::damaged(path, 0, "shorter than its checksum"));
        };
        crate::error::check_crc(path, || "the whole file".into(), 0, body, u32::from_le_bytes(*crc))?;
        Ok(Decoder::new(path, body))
    }

    /// Where it is.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn refuse(&self, what: impl Into<String>) -> SegmentError {
        SegmentError::damaged(self.path, self.at as u64, what)
    }

    pub(crate) fn raw(&mut self, n: usize) -> Result<&'a [u8]> {
        let taken = self.at.checked_add(n).and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or_else(|| self.refuse(format!("ends before the {n} bytes expected here")))?;
        self.at += n;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.raw(N)?);
        Ok(out)
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        self.array::<1>().map(|[v]| v)
    }

    pub(crate) fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A count of things of at least `bytes_each` bytes that follow.
    pub(crate) fn count(&mut self, bytes_each: usize) -> Result<usize> {
        let n = self.u32()? as usize;
        if n.checked_mul(bytes_each).is_none_or(|need| need > self.bytes.len() - self.at) {
            return Err(self.refuse(format!("a count of {n} does not fit the bytes that follow")));
        }
        Ok(n)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8]> {
        let n = self.count(1)?;
        self.raw(n)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| self.refuse("a name is not UTF-8"))
    }

    pub(crate) fn column_id(&mut self) -> Result<ColumnId> {
        self.u16().map(ColumnId)
    }

    pub(crate) fn sql_type(&mut self) -> Result<SqlType> {
        let (code, parameter) = (self.u8()?, self.u32()?);
        let [scale, precision, ..] = parameter.to_le_bytes();
        let t = match code {
            1 => SqlType::Bool,
            2 => SqlType::Int2,
            3 => SqlType::Int4,
            4 => SqlType::Int8,
            5 => SqlType::Float4,
            6 => SqlType::Float8,
            7 if (1..=38).contains(&precision) && scale <= precision && parameter >> 16 == 0 => {
                SqlType::Numeric { precision, scale }
            }
            8 => SqlType::Text,
            9 if parameter > 0 => SqlType::Varchar(parameter),
            10 if parameter > 0 => SqlType::Char(parameter),
            11 => SqlType::Bytea,
            12 => SqlType::Date,
            13 => SqlType::Time,
            14 => SqlType::Timestamp,
            15 => SqlType::TimestampTz,
            16 => SqlType::Interval,
            17 => SqlType::Uuid,
            _ => return Err(self.refuse(format!("{code} with parameter {parameter} is no column type"))),
        };
        let has_parameter = matches!(t, SqlType::Numeric { .. } | SqlType::Varchar(_) | SqlType::Char(_));
        if has_parameter || parameter == 0 { Ok(t) } else { Err(self.refuse("a type has a parameter that means nothing")) }
    }

    /// What has not been read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// Refuses bytes that nothing has read.
    pub(crate) fn finish(&self) -> Result<()> {
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            Err(self.refuse(format!("{} bytes too many", self.bytes.len() - self.at)))
        }
    }
}

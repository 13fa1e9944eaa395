//! A dump: the rows of one table's delta as of a checkpoint, keys and row images, in a file that is written and read front to back.
//!
//! ```text
//! | header: magic, version, table, F, salt, CRC | block | block | ... | end: rows, blocks, CRC |
//!   block = { bytes, rows, CRC } { key length, key, image length, image }...
//! ```
//!
//! 1. Writer and reader hold one block (about 256 KiB, or one larger row) in memory.
//! 2. A block's CRC covers the file's salt and the block's number too: a block of another file or at another place is not taken.
//! 3. Reading gives back every row or an error naming file and byte: the end block has the counts, the manifest has them again.
//!
//! Not here: what an image means (`types::row` checks it), which rows are dumped (`engine`).
//! Byte table: `docs/format.md`, Dump files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use env::{Env, File, OpenMode};
use types::{CommitTs, Kind, TableId};

use crate::codec::{Decoder, Encoder};
use crate::error::{Result, SegmentError};
use crate::files;

const MAGIC: &[u8; 8] = b"CLNDDMP\n";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 36;
const BLOCK_HEADER_BYTES: usize = 12;
/// In place of a block's length: the end.
const END: u32 = u32::MAX;
const BLOCK_BYTES: usize = 256 << 10;

/// What a manifest says of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DumpInfo {
    /// The manifest it was made for: its name is [`files::dump`] of this.
    pub version: u64,
    /// Length of the file.
    pub bytes: u64,
    /// Rows in it.
    pub rows: u64,
    /// The header's salt.
    pub salt: u64,
}

impl DumpInfo {
    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.u64(self.version);
        out.u64(self.bytes);
        out.u64(self.rows);
        out.u64(self.salt);
    }

    pub(crate) fn decode(from: &mut Decoder<'_>) -> Result<DumpInfo> {
        Ok(DumpInfo { version: from.u64()?, bytes: from.u64()?, rows: from.u64()?, salt: from.u64()? })
    }
}

/// Writes a dump.
pub struct DumpWriter {
    env: Arc<dyn Env>,
    dir: PathBuf,
    path: PathBuf,
    file: Arc<dyn File>,
    version: u64,
    salt: u64,
    written: u64,
    block: Vec<u8>,
    block_rows: u32,
    blocks: u64,
    rows: u64,
}

impl DumpWriter {
    /// Starts the dump of `table` as of `ts` for the manifest `version`, in `dir`. A file of that name is left over from a
    /// checkpoint that did not get as far as its manifest, and is replaced.
    pub fn create(env: Arc<dyn Env>, dir: &Path, version: u64, table: TableId, ts: CommitTs) -> Result<DumpWriter> {
        let path = dir.join(files::dump(version));
        let failed = || SegmentError::io("create dump", &path);
        if env.exists(&path).map_err(failed())? {
            env.unlink(&path).map_err(failed())?;
        }
        let file = env.open(&path, OpenMode::CreateNew).map_err(failed())?;
        let salt = env.random_u64();
        let mut header = Encoder::default();
        header.raw(MAGIC);
        header.u32(VERSION);
        header.u32(table.0);
        header.u64(ts.0);
        header.u64(salt);
        let mut writer = DumpWriter {
            env,
            dir: dir.to_path_buf(),
            path,
            file,
            version,
            salt,
            written: 0,
            block: Vec::new(),
            block_rows: 0,
            blocks: 0,
            rows: 0,
        };
        writer.write(&header.finish_with_crc())?;
        Ok(writer)
    }

    /// Adds a row. Errors: `Misuse` for a key and image of 4 GiB, `Io`.
    pub fn append(&mut self, key: &[u8], image: &[u8]) -> Result<()> {
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| SegmentError::Misuse("a row of 4 GiB".into()));
        let (key_len, image_len) = (len(key)?, len(image)?);
        self.block.extend_from_slice(&key_len.to_le_bytes());
        self.block.extend_from_slice(key);
        self.block.extend_from_slice(&image_len.to_le_bytes());
        self.block.extend_from_slice(image);
        self.block_rows += 1;
        if self.block.len() >= BLOCK_BYTES { self.write_block() } else { Ok(()) }
    }

    /// Completes the file and makes it and its name durable.
    pub fn finish(mut self) -> Result<DumpInfo> {
        self.write_block()?;
        let mut totals = Encoder::default();
        totals.u64(self.rows);
        totals.u64(self.blocks);
        self.write_framed(END, 0, &totals.bytes)?;
        self.file.sync_data().map_err(SegmentError::io("sync dump", &self.path))?;
        env::point(self.env.as_ref(), "dump: synced");
        self.env.sync_dir(&self.dir).map_err(SegmentError::io("sync directory", &self.dir))?;
        Ok(DumpInfo { version: self.version, bytes: self.written, rows: self.rows, salt: self.salt })
    }

    fn write_block(&mut self) -> Result<()> {
        if self.block_rows == 0 {
            return Ok(());
        }
        let block = std::mem::take(&mut self.block);
        let len = u32::try_from(block.len()).ok().filter(|len| *len != END);
        let len = len.ok_or_else(|| SegmentError::Misuse("a row of 4 GiB".into()))?;
        let rows = std::mem::take(&mut self.block_rows);
        self.write_framed(len, rows, &block)?;
        self.rows += u64::from(rows);
        self.blocks += 1;
        self.block = block;
        self.block.clear();
        Ok(())
    }

    fn write_framed(&mut self, len: u32, rows: u32, payload: &[u8]) -> Result<()> {
        let mut header = Encoder::default();
        header.u32(len);
        header.u32(rows);
        header.u32(block_crc(self.salt, self.blocks, len, rows, payload));
        self.write(&header.bytes)?;
        self.write(payload)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(bytes, self.written).map_err(SegmentError::io("write dump", &self.path))?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

fn block_crc(salt: u64, block: u64, len: u32, rows: u32, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(&block.to_le_bytes());
    hasher.update(&len.to_le_bytes());
    hasher.update(&rows.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

/// Reads a dump.
pub struct DumpReader {
    path: PathBuf,
    file: Arc<dyn File>,
    info: DumpInfo,
    /// Where the next block starts.
    next: u64,
    block_start: u64,
    block: Vec<u8>,
    at: usize,
    rows_left: u32,
    blocks: u64,
    rows: u64,
    ended: bool,
    /// Blocks that are damaged are passed over.
    lenient: bool,
}

impl DumpReader {
    /// Opens the dump of `table` as of `ts` in `dir` that a manifest describes as `info`.
    /// Errors: `Missing`, `Checksum`, `Damaged`, `Version`, `Io`.
    pub fn open(env: &dyn Env, dir: &Path, info: &DumpInfo, table: TableId, ts: CommitTs) -> Result<DumpReader> {
        let path = dir.join(files::dump(info.version));
        let failed = || SegmentError::io("read dump", &path);
        let file = env.open(&path, OpenMode::Read).map_err(failed())?;
        let len = file.len().map_err(failed())?;
        if len != info.bytes || len < HEADER_BYTES as u64 {
            let what = format!("it has {len} bytes, the manifest says {}", info.bytes);
            return Err(SegmentError::damaged(&path, len, what));
        }
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0).map_err(failed())?;
        let mut from = Decoder::with_crc(&path, &header)?;
        if from.raw(8)? != MAGIC {
            return Err(SegmentError::damaged(&path, 0, "not a dump"));
        }
        let found = from.u32()?;
        if found != VERSION {
            return Err(SegmentError::Version { path, found, supported: VERSION });
        }
        if (from.u32()?, from.u64()?, from.u64()?) != (table.0, ts.0, info.salt) {
            return Err(SegmentError::damaged(&path, 12, "it is the dump of something else"));
        }
        Ok(DumpReader::new(path, file, *info, false))
    }

    /// Opens a damaged dump to read the rows of every block that is whole and can be found. Errors: `Missing`, `Io`.
    pub fn salvage(env: &dyn Env, dir: &Path, info: &DumpInfo) -> Result<DumpReader> {
        let path = dir.join(files::dump(info.version));
        let failed = || SegmentError::io("read dump", &path);
        let file = env.open(&path, OpenMode::Read).map_err(failed())?;
        let bytes = file.len().map_err(failed())?.min(info.bytes).max(HEADER_BYTES as u64);
        Ok(DumpReader::new(path, file, DumpInfo { bytes, ..*info }, true))
    }

    /// Rows that were read so far, or are about to be.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    fn new(path: PathBuf, file: Arc<dyn File>, info: DumpInfo, lenient: bool) -> DumpReader {
        DumpReader {
            path,
            file,
            info,
            next: HEADER_BYTES as u64,
            block_start: 0,
            block: Vec::new(),
            at: 0,
            rows_left: 0,
            blocks: 0,
            rows: 0,
            ended: false,
            lenient,
        }
    }

    /// The next row's key and image, valid until the next call; None after the last. Errors: `Checksum`, `Damaged`, `Io`; then
    /// nothing more can be read.
    pub fn next_row(&mut self) -> Result<Option<(&[u8], &[u8])>> {
        while self.rows_left == 0 {
            if self.ended {
                return Ok(None);
            }
            match self.read_block() {
                Err(error) if self.lenient && error.kind() == Kind::Corrupt => self.pass_over(),
                read => read?,
            }
        }
        self.rows_left -= 1;
        let start = self.at;
        let mut from = Decoder::new(&self.path, &self.block[start..]);
        let row = from.bytes().and_then(|key| Ok((key, from.bytes()?)));
        let (key, image) = row.map_err(|_| self.damaged(self.block_start + start as u64, "a row does not fit its block"))?;
        self.at = start + 8 + key.len() + image.len();
        if self.rows_left == 0 && self.at != self.block.len() {
            return Err(self.damaged(self.block_start + self.at as u64, "a block has bytes that belong to no row"));
        }
        Ok(Some((key, image)))
    }

    fn damaged(&self, offset: u64, what: &str) -> SegmentError {
        SegmentError::damaged(&self.path, offset, what)
    }

    /// Goes on behind the block that could not be read, if its length says where that is.
    fn pass_over(&mut self) {
        let mut header = [0; BLOCK_HEADER_BYTES];
        let read = self.file.read_exact_at(&mut header, self.next);
        let len = header.first_chunk().map_or(END, |len| u32::from_le_bytes(*len));
        self.next += BLOCK_HEADER_BYTES as u64 + u64::from(len);
        self.blocks += 1;
        self.ended = read.is_err() || len == END || self.next >= self.info.bytes;
    }

    fn read_block(&mut self) -> Result<()> {
        let start = self.next;
        let left = self.info.bytes - start;
        if left < BLOCK_HEADER_BYTES as u64 {
            return Err(self.damaged(start, "it ends without an end block"));
        }
        let mut header = [0; BLOCK_HEADER_BYTES];
        self.file.read_exact_at(&mut header, start).map_err(SegmentError::io("read dump", &self.path))?;
        let mut from = Decoder::new(&self.path, &header);
        let (len, rows, expected) = (from.u32()?, from.u32()?, from.u32()?);
        let bytes = if len == END { 16 } else { u64::from(len) };
        if bytes > left - BLOCK_HEADER_BYTES as u64 {
            return Err(self.damaged(start, "a block is longer than the file"));
        }
        self.block.resize(bytes as usize, 0);
        let payload = start + BLOCK_HEADER_BYTES as u64;
        self.file.read_exact_at(&mut self.block, payload).map_err(SegmentError::io("read dump", &self.path))?;
        let found = block_crc(self.info.salt, self.blocks, len, rows, &self.block);
        if found != expected {
            let what = format!("block {}", self.blocks);
            return Err(SegmentError::Checksum { path: self.path.clone(), what, offset: start, expected, found });
        }
        (self.block_start, self.next, self.at) = (payload, payload + bytes, 0);
        if len == END {
            let mut from = Decoder::new(&self.path, &self.block);
            let totals = (from.u64()?, from.u64()?);
            if totals != (self.rows, self.blocks) || self.rows != self.info.rows || self.next != self.info.bytes {
                return Err(self.damaged(start, "it does not end where and as the manifest says"));
            }
            self.ended = true;
        } else {
            if rows == 0 {
                return Err(self.damaged(start, "a block has no rows"));
            }
            self.blocks += 1;
            self.rows += u64::from(rows);
            self.rows_left = rows;
        }
        Ok(())
    }
}

//! A segment's packed columns in a local file, so that a restart, or a column that was pushed out of memory, does not pay for decoding
//! Parquet again.
//!
//! ```text
//! <id>.packed   | magic, version, segment, group by group and column by column: offset, bytes, CRC | CRC | image | image | ...
//!                                                                                                        (`packed::image`)
//! ```
//!
//! 1. It is never needed: one that is not what was written is removed, and Parquet read. No manifest names it, and another version of
//!    this program may write another.
//! 2. Nothing of it is used before its CRC was compared, which covers the segment, the group and the column too: an image of another
//!    place or of another segment is not taken.
//! 3. The head is written last, under another name that is given up then: a file with a head that fits is complete, but for what a
//!    power loss has left out.
//!
//! Not here: which segments get one, and when (`engine`).
//! Byte table: `docs/format.md`, Packed files.

use std::path::PathBuf;
use std::sync::{Arc, Weak};

use arrow::buffer::MutableBuffer;
use env::{Env, File, OpenMode};
use types::Kind;
use types::SqlType::{Bytea, Char, Text, Varchar};

use crate::codec::{Decoder, Encoder};
use crate::error::{Result, SegmentError, check_crc};
use crate::files;
use crate::packed::Packed;
use crate::segment::Segment;

const MAGIC: &[u8; 8] = b"CLNPACK\n";
const VERSION: u32 = 1;
/// Magic, version, segment, CRC of its sidecar.
const FIXED_BYTES: usize = 24;
const ENTRY_BYTES: usize = 16;

/// What a segment knows of its file.
#[derive(Default)]
pub(crate) enum PackedState {
    /// Nothing yet.
    #[default]
    Unknown,
    /// There is none that can be used.
    Absent,
    /// It is there, and its head is right.
    There(Arc<PackedFile>),
}

/// A file whose head was read. It is opened again for each read: a segment has one file open already.
pub(crate) struct PackedFile {
    path: PathBuf,
    images: Vec<Entry>,
    bytes: u64,
}

#[derive(Clone, Copy, Default)]
struct Entry {
    offset: u64,
    /// 0: there is none.
    bytes: u32,
    crc: u32,
}

/// Makes the file of a segment, a row group at a time. Does not keep the segment: who wants to be rid of it need not wait.
pub struct PackedFileWriter {
    env: Arc<dyn Env>,
    segment: Weak<Segment>,
    temporary: PathBuf,
    file: Arc<dyn File>,
    images: Vec<Entry>,
    end: u64,
    group: usize,
    finished: bool,
}

impl PackedFile {
    /// The file of a segment, if there is one.
    fn open(segment: &Segment) -> Result<Option<PackedFile>> {
        let path = segment.packed_path();
        let failed = || SegmentError::io("read packed columns", &path);
        let file = match segment.env.open(&path, OpenMode::Read) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed())?,
        };
        let bytes = file.len().map_err(failed())?;
        let count = images_of(segment);
        let mut head = vec![0; head_bytes(count)];
        if bytes < head.len() as u64 {
            return Err(SegmentError::damaged(&path, bytes, "it ends in its head"));
        }
        file.read_exact_at(&mut head, 0).map_err(failed())?;
        let mut from = Decoder::with_crc(&path, &head)?;
        if head[..FIXED_BYTES] != fixed(segment) {
            return Err(SegmentError::damaged(&path, 0, "its head is not that of this segment"));
        }
        from.raw(FIXED_BYTES)?;
        let entry = |_| Ok(Entry { offset: from.u64()?, bytes: from.u32()?, crc: from.u32()? });
        let images = (0..count).map(entry).collect::<Result<Vec<_>>>()?;
        Ok(Some(PackedFile { path, images, bytes }))
    }

    /// A column of a group; None if the file has none.
    fn read(&self, segment: &Segment, group: usize, column: usize) -> Result<Option<Packed>> {
        let entry = self.images[place(segment, group, column)];
        if entry.bytes == 0 {
            return Ok(None);
        }
        if entry.offset.checked_add(entry.bytes.into()).is_none_or(|end| end > self.bytes) {
            return Err(SegmentError::damaged(&self.path, self.bytes, "it is shorter than its head says"));
        }
        let mut bytes = MutableBuffer::from_len_zeroed(entry.bytes as usize);
        let failed = || SegmentError::io("read packed columns", &self.path);
        let file = segment.env.open(&self.path, OpenMode::Read).map_err(failed())?;
        file.read_exact_at(bytes.as_slice_mut(), entry.offset).map_err(failed())?;
        let place = || format!("column {} of row group {group}", segment.schema().columns()[column].name);
        check_crc(&self.path, place, entry.offset, bytes.as_slice(), entry.crc ^ seal(segment, group, column))?;
        let rows = segment.sidecar.groups[group].rows as usize;
        let packed = Packed::of_image(&bytes.into(), segment.schema().columns()[column].sql_type, rows);
        packed.map(Some).ok_or_else(|| SegmentError::damaged(&self.path, entry.offset, format!("{} is no image of it", place())))
    }
}

impl PackedFileWriter {
    /// Begins the file of a segment that has none.
    pub fn create(segment: &Arc<Segment>) -> Result<PackedFileWriter> {
        let env = Arc::clone(&segment.env);
        let temporary = segment.dir.join(format!("{}.packed.tmp", segment.id()));
        let failed = || SegmentError::io("write packed columns", &temporary);
        if env.exists(&temporary).map_err(failed())? {
            env.unlink(&temporary).map_err(failed())?;
        }
        let file = env.open(&temporary, OpenMode::CreateNew).map_err(failed())?;
        let images = vec![Entry::default(); images_of(segment)];
        let end = head_bytes(images.len()) as u64;
        Ok(PackedFileWriter { env, segment: Arc::downgrade(segment), temporary, file, images, end, group: 0, finished: false })
    }

    /// Writes the next row group's columns, those in memory from there; after the last the file has its name, and is used from now on.
    /// Returns whether there is more to do; nothing, if the segment is gone. Errors: `Io` of this file, or what reading the segment
    /// gives; the writer is of no use then.
    pub fn step(&mut self) -> Result<bool> {
        match self.segment.upgrade() {
            Some(segment) => self.write(&segment),
            None => Ok(false),
        }
    }

    fn write(&mut self, segment: &Segment) -> Result<bool> {
        if self.group < segment.sidecar.groups.len() {
            for column in 0..segment.schema().columns().len() {
                if is_left_to_parquet(segment, self.group, column) {
                    continue;
                }
                let packed = segment.packed_for_now(self.group, column)?;
                let Some(image) = packed.image() else { continue };
                let Ok(bytes) = u32::try_from(image.len()) else { continue };
                self.file.write_all_at(&image, self.end).map_err(SegmentError::io("write packed columns", &self.temporary))?;
                let crc = crc32fast::hash(&image) ^ seal(segment, self.group, column);
                self.images[place(segment, self.group, column)] = Entry { offset: self.end, bytes, crc };
                self.end += u64::from(bytes);
            }
            self.group += 1;
            // Not for the file's sake: all of it at once would hold up the log's next sync.
            self.file.sync_data().map_err(SegmentError::io("sync packed columns", &self.temporary))?;
            return Ok(true);
        }
        let mut head = Encoder::default();
        head.raw(&fixed(segment));
        for entry in &self.images {
            head.u64(entry.offset);
            head.u32(entry.bytes);
            head.u32(entry.crc);
        }
        let failed = || SegmentError::io("write packed columns", &self.temporary);
        self.file.write_all_at(&head.finish_with_crc(), 0).map_err(failed())?;
        self.file.sync_data().map_err(failed())?;
        self.env.rename(&self.temporary, &segment.packed_path()).map_err(failed())?;
        self.finished = true;
        *segment.packed_file.write() = PackedState::Unknown;
        Ok(false)
    }
}

impl Drop for PackedFileWriter {
    /// A file that is not finished goes.
    fn drop(&mut self) {
        if !self.finished
            && let Err(error) = self.env.unlink(&self.temporary)
        {
            tracing::debug!(%error, path = %self.temporary.display(), "a file that is not needed stays until the next start");
        }
    }
}

impl Segment {
    /// Bytes of its local file of packed columns, if it has one. Reads the file's head the first time.
    pub fn packed_bytes_on_disk(&self) -> Option<u64> {
        self.packed_file().map(|file| file.bytes)
    }

    /// Removes that file, should there be one. Who reads from it can go on.
    pub fn remove_packed_file(&self) -> Result<()> {
        let mut state = self.packed_file.write();
        *state = PackedState::Absent;
        let path = self.packed_path();
        match self.env.unlink(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(SegmentError::io("remove", &path)(error)),
            _ => Ok(()),
        }
    }

    /// A column of a group from that file; None if it is not to be had there.
    pub(crate) fn packed_from_file(&self, group: usize, column: usize) -> Option<Packed> {
        let file = self.packed_file()?;
        match file.read(self, group, column) {
            Ok(packed) => packed,
            Err(error) => {
                self.doubt_packed_file(Some(&file), &error);
                None
            }
        }
    }

    fn packed_file(&self) -> Option<Arc<PackedFile>> {
        match &*self.packed_file.read() {
            PackedState::Absent => return None,
            PackedState::There(file) => return Some(Arc::clone(file)),
            PackedState::Unknown => {}
        }
        let mut state = self.packed_file.write();
        if let PackedState::Unknown = *state {
            match PackedFile::open(self) {
                Ok(Some(file)) => *state = PackedState::There(Arc::new(file)),
                Ok(None) => *state = PackedState::Absent,
                Err(error) => {
                    drop(state);
                    self.doubt_packed_file(None, &error);
                    return None;
                }
            }
        }
        match &*state {
            PackedState::There(file) => Some(Arc::clone(file)),
            _ => None,
        }
    }

    /// After an error of `file`, or of one that could not be opened: removes it if it is not what was written. One that cannot be read for
    /// now (too many are open, the disk fails) may be of use later.
    fn doubt_packed_file(&self, file: Option<&Arc<PackedFile>>, error: &SegmentError) {
        let is_current = match (&*self.packed_file.read(), file) {
            (PackedState::There(current), Some(file)) => Arc::ptr_eq(current, file),
            (PackedState::Unknown, None) => true,
            _ => false,
        };
        if !is_current || error.kind() == Kind::Unavailable {
            tracing::debug!(%error, "packed columns are read from Parquet");
            return;
        }
        tracing::warn!(%error, "a local file of packed columns is of no use and is made anew");
        if let Err(error) = self.remove_packed_file() {
            tracing::warn!(%error, "it cannot be removed");
        }
    }

    fn packed_path(&self) -> PathBuf {
        self.dir.join(files::packed(self.id()))
    }
}

/// What a file of this segment starts with.
fn fixed(segment: &Segment) -> [u8; FIXED_BYTES] {
    let mut head = [0; FIXED_BYTES];
    head[..8].copy_from_slice(MAGIC);
    head[8..12].copy_from_slice(&VERSION.to_le_bytes());
    head[12..20].copy_from_slice(&segment.id().0.to_le_bytes());
    head[20..].copy_from_slice(&segment.info().sidecar_crc.to_le_bytes());
    head
}

fn images_of(segment: &Segment) -> usize {
    segment.sidecar.groups.len() * segment.schema().columns().len()
}

fn head_bytes(images: usize) -> usize {
    FIXED_BYTES + images * ENTRY_BYTES + size_of::<u32>()
}

fn place(segment: &Segment, group: usize, column: usize) -> usize {
    group * segment.schema().columns().len() + column
}

/// Whether a column is of strings of which too many are distinct for a dictionary, there as here: to decode them would be in vain.
fn is_left_to_parquet(segment: &Segment, group: usize, column: usize) -> bool {
    let is_string = matches!(segment.schema().columns()[column].sql_type, Text | Varchar(_) | Char(_) | Bytea);
    is_string && segment.sidecar.groups[group].columns[column].chunks.iter().all(|chunk| chunk.dictionary.is_none())
}

/// What the CRC of an image is kept with.
fn seal(segment: &Segment, group: usize, column: usize) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&fixed(segment));
    hasher.update(&(place(segment, group, column) as u64).to_le_bytes());
    hasher.finalize()
}

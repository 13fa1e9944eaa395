//! Between Arrow and a Parquet column chunk: the arrays as they are stored, and where a written chunk's pages lie.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, StructArray};
use arrow::datatypes::{DataType, IntervalMonthDayNanoType};

use crate::encode::encode_error;
use crate::error::{Result, SegmentError};
use crate::schema::interval_fields;
use crate::sidecar::{ChunkEntry, PageEntry};

/// Sizes of a chunk's pages, in file order.
pub(crate) struct PageTable {
    dictionary_bytes: u64,
    pages: Vec<(u32, u32)>,
}

impl PageTable {
    pub(crate) fn of(chunk: &parquet::column::writer::ColumnCloseResult, rows: usize) -> Option<PageTable> {
        let locations = chunk.offset_index.as_ref()?.page_locations();
        let starts = locations.iter().skip(1).map(|page| page.first_row_index).chain([rows as i64]);
        let pages = locations
            .iter()
            .zip(starts)
            .map(|(page, next)| {
                let rows = u32::try_from(next - page.first_row_index).ok()?;
                Some((u32::try_from(page.compressed_page_size).ok()?, rows))
            })
            .collect::<Option<Vec<_>>>()?;
        let data: u64 = pages.iter().map(|(bytes, _)| u64::from(*bytes)).sum();
        let dictionary_bytes = u64::try_from(chunk.metadata.compressed_size()).ok()?.checked_sub(data)?;
        Some(PageTable { dictionary_bytes, pages })
    }

    /// The chunk that lies at `at` in `bytes`, which go to `base` in the file; moves `at` behind it.
    pub(crate) fn locate(&self, bytes: &[u8], at: &mut usize, base: u64) -> Result<ChunkEntry> {
        let offset = base + *at as u64;
        let mut entry = |size: u32, rows: u32| {
            let page = bytes.get(*at..*at + size as usize);
            let page = page.ok_or_else(|| SegmentError::Misuse("a page lies outside its row group".into()))?;
            *at += size as usize;
            Ok(PageEntry { bytes: size, rows, crc: crc32fast::hash(page) })
        };
        let dictionary = match self.dictionary_bytes {
            0 => None,
            n => Some(entry(u32::try_from(n).map_err(|_| SegmentError::Misuse("a dictionary of 4 GiB".into()))?, 0)?),
        };
        let pages = self.pages.iter().map(|(size, rows)| entry(*size, *rows)).collect::<Result<Vec<_>>>()?;
        Ok(ChunkEntry { offset, dictionary, pages })
    }
}

/// The array as Parquet stores it: intervals as a group of three numbers, the others as they are.
pub(crate) fn to_storage(array: &ArrayRef) -> Result<ArrayRef> {
    let DataType::Interval(_) = array.data_type() else { return Ok(Arc::clone(array)) };
    let intervals = array.as_primitive::<IntervalMonthDayNanoType>();
    if intervals.iter().flatten().any(|v| v.nanoseconds % 1000 != 0) {
        return Err(SegmentError::Misuse("an interval has a fraction of a microsecond".into()));
    }
    let months: Int32Array = intervals.values().iter().map(|v| v.months).collect();
    let days: Int32Array = intervals.values().iter().map(|v| v.days).collect();
    let micros: Int64Array = intervals.values().iter().map(|v| v.nanoseconds / 1000).collect();
    let members: Vec<ArrayRef> = vec![Arc::new(months), Arc::new(days), Arc::new(micros)];
    let group = StructArray::try_new(interval_fields(), members, intervals.nulls().cloned());
    Ok(Arc::new(group.map_err(|e| encode_error(e.into()))?))
}

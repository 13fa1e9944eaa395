//! What a commit record means: the changes of one transaction, by key, in the order they were made.
//!
//! ```text
//! record:  commit timestamp u64, then operations          integers little-endian; the byte table is in docs/format.md
//!   1 put      table u32, length u32, row image           insert or whole new version; the key is in the row
//!   2 delete   table u32, length u32, key
//!   3 catalog  length u32, edit as JSON
//!   4 ingest   table u32, segment u64, file info (24)     files were durable before the record was written
//!   5 counter  storage u32, tick u64, value i64, called u8   how far a sequence is
//! ```
//!
//! Rows are named by key, never by place: redo gives the same rows whatever freeze and compaction have done meanwhile.

use catalog::Edit;
use segments::SegmentFileInfo;
use types::{CommitTs, SegmentId, TableId};

use crate::sequences::Counter;

const PUT: u8 = 1;
const DELETE: u8 = 2;
const CATALOG: u8 = 3;
const INGEST: u8 = 4;
const COUNTER: u8 = 5;

/// One operation of a record.
#[derive(Debug)]
pub(crate) enum Op<'a> {
    Put { table: TableId, image: &'a [u8] },
    Delete { table: TableId, key: &'a [u8] },
    Catalog(Edit),
    Ingest { table: TableId, segment: SegmentId, info: SegmentFileInfo },
    Counter { storage: TableId, counter: Counter },
}

pub(crate) fn put(out: &mut Vec<u8>, table: TableId, image: &[u8]) {
    named(out, PUT, table, image);
}

pub(crate) fn delete(out: &mut Vec<u8>, table: TableId, key: &[u8]) {
    named(out, DELETE, table, key);
}

pub(crate) fn ingest(out: &mut Vec<u8>, table: TableId, segment: SegmentId, info: &SegmentFileInfo) {
    out.push(INGEST);
    out.extend_from_slice(&table.0.to_le_bytes());
    out.extend_from_slice(&segment.0.to_le_bytes());
    out.extend_from_slice(&info.to_bytes());
}

pub(crate) fn counter(out: &mut Vec<u8>, storage: TableId, counter: Counter) {
    out.push(COUNTER);
    out.extend_from_slice(&counter.to_bytes(storage));
}

pub(crate) fn catalog(out: &mut Vec<u8>, edit: &Edit) {
    let json = serde_json::to_vec(edit).expect("edits have string keys only");
    out.push(CATALOG);
    sized(out, &json);
}

fn named(out: &mut Vec<u8>, tag: u8, table: TableId, bytes: &[u8]) {
    out.push(tag);
    out.extend_from_slice(&table.0.to_le_bytes());
    sized(out, bytes);
}

fn sized(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// The operations of a record that can be read to its end.
#[derive(Debug)]
pub(crate) struct Ops<'a> {
    rest: &'a [u8],
}

/// Reads a record to its end, so that nothing is done of one that cannot be read; its operations are read again as they are done. Errors: what
/// cannot be read, in words.
pub(crate) fn decode(record: &[u8]) -> Result<(CommitTs, Ops<'_>), String> {
    let mut rest = record;
    let ts = CommitTs(u64::from_le_bytes(array(&mut rest)?));
    let ops = Ops { rest };
    while !rest.is_empty() {
        next_op(&mut rest)?;
    }
    Ok((ts, ops))
}

impl<'a> Iterator for Ops<'a> {
    type Item = Op<'a>;

    fn next(&mut self) -> Option<Op<'a>> {
        // All of it was read before.
        if self.rest.is_empty() { None } else { next_op(&mut self.rest).ok() }
    }
}

fn next_op<'a>(rest: &mut &'a [u8]) -> Result<Op<'a>, String> {
    let tag = take(rest, 1)?[0];
    Ok(match tag {
        PUT => Op::Put { table: table(rest)?, image: bytes(rest)? },
        DELETE => Op::Delete { table: table(rest)?, key: bytes(rest)? },
        INGEST => Op::Ingest {
            table: table(rest)?,
            segment: SegmentId(u64::from_le_bytes(array(rest)?)),
            info: SegmentFileInfo::from_bytes(array(rest)?),
        },
        COUNTER => {
            let (storage, counter) = Counter::from_bytes(&array(rest)?);
            Op::Counter { storage, counter }
        }
        CATALOG => Op::Catalog(serde_json::from_slice(bytes(rest)?).map_err(|e| format!("catalog edit: {e}"))?),
        other => return Err(format!("operation {other} is not known to this version")),
    })
}

fn table(rest: &mut &[u8]) -> Result<TableId, String> {
    Ok(TableId(u32_of(rest)?))
}

fn bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let len = u32_of(rest)? as usize;
    take(rest, len)
}

fn u32_of(rest: &mut &[u8]) -> Result<u32, String> {
    Ok(u32::from_le_bytes(array(rest)?))
}

fn array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], String> {
    take(rest, N)?.try_into().map_err(|_| "a field has another length".to_owned())
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], String> {
    let (head, tail) = rest.split_at_checked(len).ok_or("it ends in the middle of an operation")?;
    *rest = tail;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sequences::Position;

    #[test]
    fn a_record_gives_back_its_operations_and_a_cut_one_is_refused() {
        let mut record = 7u64.to_le_bytes().to_vec();
        put(&mut record, TableId(1), b"image");
        delete(&mut record, TableId(2), b"key");
        catalog(&mut record, &Edit::DropTable(3));
        let info = SegmentFileInfo { rows: 1, parquet_bytes: 2, sidecar_bytes: 3, sidecar_crc: 4 };
        ingest(&mut record, TableId(4), SegmentId(5), &info);
        let at = Position { value: -6, called: true };
        counter(&mut record, TableId(7), Counter { tick: 8, at });
        let (ts, ops) = decode(&record).unwrap();
        let ops: Vec<Op> = ops.collect();
        assert_eq!(ts, CommitTs(7));
        assert!(matches!(
            ops[..],
            [
                Op::Put { table: TableId(1), image: b"image" },
                Op::Delete { table: TableId(2), key: b"key" },
                Op::Catalog(Edit::DropTable(3)),
                Op::Ingest { table: TableId(4), segment: SegmentId(5), .. },
                Op::Counter { storage: TableId(7), counter: Counter { tick: 8, at: Position { value: -6, called: true } } },
            ]
        ));
        let whole: Vec<usize> = (8..=record.len()).filter(|&len| decode(&record[..len]).is_ok()).collect();
        assert_eq!(whole.len(), 6, "readable only where an operation ends");
    }
}

//! COPY TO STDOUT.

use bytes::Bytes;
use types::{Datum, DatumRef, SqlError, SqlType};

use crate::answer::{RowBatch, Rows, tag};
use crate::column::ColumnReader;
use crate::copy::encode::Encoder;
use crate::prepare::OutputColumn;

/// Bytes sent at a time, about.
const CHUNK_BYTES: usize = 64 << 10;

/// COPY TO STDOUT being pulled.
pub struct CopyOut {
    rows: Rows,
    encoder: Encoder,
    types: Vec<SqlType>,
    /// The batch being written, and its next row.
    batch: Option<(RowBatch, usize)>,
    sent: u64,
    stage: Stage,
    /// Where each message ends in the bytes given last.
    ends: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Head,
    Body,
    Done,
}

impl CopyOut {
    pub(crate) fn new(rows: Rows, encoder: Encoder) -> CopyOut {
        let types = rows.columns().iter().map(|c: &OutputColumn| c.data_type).collect();
        CopyOut { rows, encoder, types, batch: None, sent: 0, stage: Stage::Head, ends: Vec::new() }
    }

    /// Columns in each row.
    pub fn columns(&self) -> usize {
        self.types.len()
    }

    /// True for the binary format.
    pub fn binary(&self) -> bool {
        self.encoder.is_binary()
    }

    /// The next bytes: one or more whole lines, at most about 64 KiB. Errors as [`Rows::next`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, SqlError> {
        let mut out = Vec::new();
        self.ends.clear();
        if self.stage == Stage::Head {
            self.encoder.begin(&mut out);
            self.stage = Stage::Body;
            // The binary header is sent with the first row.
            if !out.is_empty() && !self.encoder.is_binary() {
                self.ends.push(out.len());
            }
        }
        while self.stage == Stage::Body && out.len() < CHUNK_BYTES {
            if self.batch.is_none() {
                self.batch = self.rows.next().await?.map(|batch| (batch, 0));
            }
            match &mut self.batch {
                None => {
                    let before = out.len();
                    self.encoder.end(&mut out);
                    if out.len() > before {
                        self.ends.push(out.len());
                    }
                    self.stage = Stage::Done;
                }
                Some((batch, at)) => {
                    let before = *at;
                    write(batch, at, &self.types, &mut self.encoder, &mut out, &mut self.ends);
                    self.sent += (*at - before) as u64;
                    if *at == batch.rows() {
                        self.batch = None;
                    }
                }
            }
        }
        Ok((!out.is_empty()).then(|| out.into()))
    }

    /// Where each message ends in the bytes [`CopyOut::next`] gave last: PostgreSQL sends one row a message, and clients rely on it.
    pub fn message_ends(&self) -> &[usize] {
        &self.ends
    }

    /// The command tag after the last bytes, e.g. `COPY 5`.
    pub fn tag(&self) -> String {
        tag("COPY", self.sent)
    }
}

/// Writes rows from `at` on until a chunk is full, and where each ends.
fn write(batch: &RowBatch, at: &mut usize, types: &[SqlType], encoder: &mut Encoder, out: &mut Vec<u8>, ends: &mut Vec<usize>) {
    let columns: Vec<ColumnReader<'_>> = match batch {
        RowBatch::Arrow(batch) => batch.columns().iter().zip(types).map(|(array, t)| ColumnReader::new(array, *t)).collect(),
        _ => vec![],
    };
    while out.len() < CHUNK_BYTES && *at < batch.rows() {
        let row = *at;
        match batch {
            RowBatch::Datums(rows) => encoder.row(|column| rows[row].get(column).map_or(DatumRef::Null, Datum::as_ref), out),
            RowBatch::Images(rows) => encoder.row(|column| rows.value(row, column), out),
            RowBatch::System(rows) => {
                let row: Vec<Datum> = (0..rows.width()).map(|column| rows.datum(row, column)).collect();
                encoder.row(|column| row.get(column).map_or(DatumRef::Null, Datum::as_ref), out);
            }
            RowBatch::Arrow(_) => encoder.row(|column| columns.get(column).map_or(DatumRef::Null, |c| c.get(row)), out),
        }
        ends.push(out.len());
        *at += 1;
    }
}

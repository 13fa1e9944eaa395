//! Batches into the table: straight in where the directory is open here, as COPY text to a server.

use arrow::array::RecordBatch;
use bench::{BenchError, Progress};
use bytes::Bytes;
use tokio::sync::mpsc::{self, Receiver};
use types::{SqlError, SqlState, SqlType, arrow_form, text};

use crate::client::{Client, Embedded};
use crate::exit::Failure;
use crate::import::Column;
use crate::import::batch::Lot;
use crate::import::rejects::Rejects;
use crate::import::source::Source;
use crate::names::{TableName, quoted};

/// Batches read ahead of the database: both sides stay busy, memory stays small.
const BATCHES_AHEAD: usize = 4;

type Batches = Receiver<Result<Lot, Failure>>;

/// Reads the sources and loads their rows. Returns how many rows were rejected. The caller commits.
pub(super) async fn load(
    client: &mut Client,
    table: &TableName,
    columns: &[Column],
    sources: Vec<Source>,
    mut rejects: Rejects,
    progress: &Progress,
) -> Result<u64, Failure> {
    let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
    let of_reader = progress.clone();
    let reader = tokio::task::spawn_blocking(move || {
        for source in sources {
            let read = source.read(&mut rejects, &of_reader, &mut |lot| sender.blocking_send(Ok(lot)).is_ok());
            if let Err(failure) = read {
                // Nobody takes it if the other side has failed already; its error is the one that counts.
                drop(sender.blocking_send(Err(failure)));
                return Ok(0);
            }
        }
        rejects.finish()
    });
    match client {
        Client::Embedded(embedded) => embedded_load(embedded, table, columns, receiver).await?,
        Client::Remote(remote) => remote_load(remote, table, columns, receiver).await?,
    }
    reader.await.map_err(|error| Failure::during("read the files", error))?
}

async fn embedded_load(
    embedded: &mut Embedded,
    table: &TableName,
    columns: &[Column],
    mut batches: Batches,
) -> Result<(), Failure> {
    let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    let mut append = embedded.session.append(table.schema.as_deref(), &table.table, &names)?;
    while let Some(batch) = batches.recv().await {
        let lot = batch?;
        append.add(&lot.rows).await.map_err(|error| of_lot(error, &lot))?;
    }
    append.finish().await?;
    Ok(())
}

/// The rows of a lot are checked one by one as they come; of keys it is known only later, from all rows, that they are there already.
fn of_lot(error: SqlError, lot: &Lot) -> Failure {
    let is_of_lot = error.state == SqlState::CHECK_VIOLATION;
    let failure = Failure::from(error);
    let (first, last) = lot.lines;
    if is_of_lot { failure.at(format!("{}, lines {first} to {last}", lot.file.display())) } else { failure }
}

async fn remote_load(remote: &bench::Session, table: &TableName, columns: &[Column], batches: Batches) -> Result<(), Failure> {
    let names: Vec<_> = columns.iter().map(|column| quoted(&column.name)).collect();
    let statement = format!("copy {} ({}) from stdin", table.sql(), names.join(", "));
    let types: Vec<_> = columns.iter().map(|column| column.data_type).collect();
    let mut read_failure = None;
    let chunks = futures::stream::unfold((batches, &mut read_failure), |(mut batches, read_failure)| async {
        let chunk = match batches.recv().await? {
            Ok(lot) => Ok(copy_text(&lot.rows, &types)),
            Err(failure) => {
                // The stream may only carry the driver's own error, which takes the COPY back.
                let error = BenchError::Statement { what: "read the files".into(), reason: failure.message().to_owned() };
                *read_failure = Some(failure);
                Err(error)
            }
        };
        Some((chunk, (batches, read_failure)))
    });
    let copied = remote.copy_in(&format!("copy into {}", table.sql()), &statement, chunks).await;
    match read_failure {
        Some(failure) => Err(failure),
        None => {
            copied?;
            Ok(())
        }
    }
}

/// Rows in PostgreSQL's COPY text format.
fn copy_text(batch: &RecordBatch, types: &[SqlType]) -> Bytes {
    let mut lines = Vec::with_capacity(batch.num_rows() * types.len() * 8);
    let mut value_text = Vec::new();
    for row in 0..batch.num_rows() {
        for (at, (array, t)) in batch.columns().iter().zip(types).enumerate() {
            if at > 0 {
                lines.push(b'\t');
            }
            if array.is_null(row) {
                lines.extend_from_slice(b"\\N");
                continue;
            }
            value_text.clear();
            text::format(arrow_form::datum_at(array, row, *t).as_ref(), &mut value_text);
            for &byte in &value_text {
                match byte {
                    b'\\' => lines.extend_from_slice(b"\\\\"),
                    b'\t' => lines.extend_from_slice(b"\\t"),
                    b'\n' => lines.extend_from_slice(b"\\n"),
                    b'\r' => lines.extend_from_slice(b"\\r"),
                    _ => lines.push(byte),
                }
            }
        }
        lines.push(b'\n');
    }
    lines.into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array, StringViewArray};

    use super::*;

    #[test]
    fn copy_text_escapes_what_the_format_uses() {
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
        let words: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a\tb\\c\nd\r"), Some("\\N")]));
        let batch = RecordBatch::try_from_iter_with_nullable([("n", numbers, true), ("w", words, true)]).unwrap();
        let text = copy_text(&batch, &[SqlType::Int4, SqlType::Text]);
        assert_eq!(&text[..], b"1\ta\\tb\\\\c\\nd\\r\n\\N\t\\\\N\n");
    }
}

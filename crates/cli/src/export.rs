//! `colonnade export`: a table or a query's rows to a file, which is there whole or not at all.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use bench::Progress;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::client::{Client, Missing, Place, schema_of};
use crate::exit::Failure;
use crate::files::{self, Output};
use crate::names::TableName;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  colonnade export --data shop orders orders.parquet
  colonnade export --data shop 'select * from orders where o_orderdate > current_date - 30' recent.csv
  colonnade export --url postgres://postgres@127.0.0.1:5433/postgres orders orders.csv --no-header

The file's ending chooses the form: .csv, .tsv or .parquet. In CSV an empty field is NULL and \"\" an empty text.
An old file of that name is replaced when the new one is complete.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// The database in a data directory; a URL names its own.
    #[arg(long, default_value = "postgres")]
    database: String,
    /// A table, or a query in quotes.
    #[arg(value_name = "QUERY or TABLE")]
    what: String,
    /// The file to write.
    file: PathBuf,
    /// Leave out the line with the columns' names (CSV).
    #[arg(long)]
    no_header: bool,
    /// What stands between values (CSV); '\t' is a tab [default: a comma, a tab in .tsv files].
    #[arg(long, value_parser = files::delimiter)]
    delimiter: Option<char>,
}

/// Exports and says how much.
pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let form = Form::of(&arguments)?;
    let query = match TableName::parse(&arguments.what) {
        Ok(table) => format!("select * from {}", table.sql()),
        Err(_) => arguments.what.trim().trim_end_matches(';').to_owned(),
    };
    let mut client = Client::open(&arguments.place, &arguments.database, Missing::Refuse).await?;
    let output = Output::create(&arguments.file)?;
    let progress = Progress::rows("export", None);
    let written = match form {
        Form::Csv { delimiter, header } => write_csv(&mut client, &query, delimiter, header, &output, &progress).await,
        Form::Parquet => write_parquet(&mut client, &query, &output, &progress).await,
    };
    let written = match written {
        Ok(()) => output.finish(),
        Err(failure) => Err(failure),
    };
    let closed = client.close().await;
    written.inspect_err(|_| progress.abandon())?;
    progress.finish();
    closed?;
    Ok(ExitCode::SUCCESS)
}

enum Form {
    Csv { delimiter: char, header: bool },
    Parquet,
}

impl Form {
    fn of(arguments: &Arguments) -> Result<Form, Failure> {
        let extension = arguments.file.extension().and_then(|extension| extension.to_str()).unwrap_or("").to_ascii_lowercase();
        let csv = |default| Form::Csv { delimiter: arguments.delimiter.unwrap_or(default), header: !arguments.no_header };
        match extension.as_str() {
            "csv" => Ok(csv(',')),
            "tsv" => Ok(csv('\t')),
            "parquet" => Ok(Form::Parquet),
            _ => Err(Failure::usage(format!("{} does not say what form it should have", arguments.file.display()))
                .next("let it end in .csv, .tsv or .parquet")),
        }
    }
}

async fn write_csv(
    client: &mut Client,
    query: &str,
    delimiter: char,
    header: bool,
    output: &Output,
    progress: &Progress,
) -> Result<(), Failure> {
    let mut writer = output.writer()?;
    let mut rows = RowCounter { lines_to_skip: u64::from(header), in_quotes: false };
    let statement = format!(
        "copy ({query}) to stdout with (format csv, header {header}, delimiter {})",
        crate::names::literal(&delimiter.to_string())
    );
    let failed = |error: std::io::Error| Failure::during("write the file", error);
    client
        .copy_out(&statement, &mut |bytes| {
            progress.add(rows.count(bytes));
            writer.write_all(bytes).map_err(failed)
        })
        .await?;
    writer.flush().map_err(failed)
}

/// Counts rows in CSV that comes in pieces: line ends outside quotes.
struct RowCounter {
    lines_to_skip: u64,
    in_quotes: bool,
}

impl RowCounter {
    fn count(&mut self, bytes: &[u8]) -> u64 {
        let mut lines = 0;
        for byte in bytes {
            match byte {
                b'"' => self.in_quotes = !self.in_quotes,
                b'\n' if !self.in_quotes => lines += 1,
                _ => {}
            }
        }
        let skipped = lines.min(self.lines_to_skip);
        self.lines_to_skip -= skipped;
        lines - skipped
    }
}

async fn write_parquet(client: &mut Client, query: &str, output: &Output, progress: &Progress) -> Result<(), Failure> {
    let failed = |error: parquet::errors::ParquetError| Failure::during("write the file", error);
    let columns = client.columns(query).await?;
    let level = ZstdLevel::try_new(1).map_err(failed)?;
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
    let mut writer = ArrowWriter::try_new(output.writer()?, schema_of(&columns), Some(properties)).map_err(failed)?;
    client
        .batches(query, &columns, &mut |batch| {
            progress.add(batch.num_rows() as u64);
            writer.write(&batch).map_err(failed)
        })
        .await?;
    let mut file = writer.into_inner().map_err(failed)?;
    file.flush().map_err(|error| Failure::during("write the file", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_across_pieces_and_not_in_quotes() {
        let text = b"a,b\n1,\"x\ny\"\n2,\"\"\"\n\"\n";
        for cut in 0..text.len() {
            let mut counter = RowCounter { lines_to_skip: 1, in_quotes: false };
            assert_eq!(counter.count(&text[..cut]) + counter.count(&text[cut..]), 2, "cut at {cut}");
        }
    }
}

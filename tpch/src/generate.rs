//! `tpch generate`: the same rows as files, for other systems and for `colonnade import`.

#![expect(clippy::disallowed_methods, reason = "this program makes input files; no engine runs here")]

use std::error::Error;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatchReader;
use bench::Progress;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tpch::Table;

/// The form of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Snappy-compressed Parquet.
    Parquet,
    /// Comma-separated, with a header line.
    Csv,
}

const ROWS_PER_BATCH: usize = 8192;

type Failure = Box<dyn Error + Send + Sync>;

/// Writes each table to `folder` as TABLE.parquet (or .csv), or as TABLE.1.parquet .. TABLE.N.parquet when split into parts.
/// Small tables are not split. Returns the number of rows.
pub(crate) async fn generate(folder: &Path, scale: f64, format: Format, parts: i32) -> Result<u64, Failure> {
    std::fs::create_dir_all(folder).map_err(|error| format!("create {}: {error}", folder.display()))?;
    let progress = Progress::rows("generate", Some(Table::ALL.iter().map(|table| table.rows_about(scale)).sum()));
    let permits = Arc::new(Semaphore::new(std::thread::available_parallelism().map_or(1, Into::into)));
    let mut tasks = JoinSet::new();
    for table in Table::ALL.into_iter().rev() {
        let parts = if matches!(table, Table::Region | Table::Nation) { 1 } else { parts };
        for part in 1..=parts {
            let (path, progress, permits) =
                (file_path(folder, table, format, part, parts), progress.clone(), Arc::clone(&permits));
            tasks.spawn(async move {
                let _permit = permits.acquire().await?;
                let batches = table.batches(scale, part, parts, ROWS_PER_BATCH);
                tokio::task::spawn_blocking(move || {
                    write(&path, format, batches, &progress).map_err(|error| format!("write {}: {error}", path.display()).into())
                })
                .await?
            });
        }
    }
    while let Some(task) = tasks.join_next().await {
        let written: Result<(), Failure> = task?;
        written.inspect_err(|_| progress.abandon())?;
    }
    progress.finish();
    Ok(progress.rows_done())
}

fn file_path(folder: &Path, table: Table, format: Format, part: i32, parts: i32) -> PathBuf {
    let extension = match format {
        Format::Parquet => "parquet",
        Format::Csv => "csv",
    };
    match parts {
        1 => folder.join(format!("{}.{extension}", table.name())),
        _ => folder.join(format!("{}.{part}.{extension}", table.name())),
    }
}

fn write(path: &Path, format: Format, batches: Box<dyn RecordBatchReader + Send>, progress: &Progress) -> Result<(), Failure> {
    let file = BufWriter::new(File::create(path)?);
    match format {
        Format::Parquet => {
            let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
            let mut writer = ArrowWriter::try_new(file, batches.schema(), Some(properties))?;
            for batch in batches {
                let batch = batch?;
                writer.write(&batch)?;
                progress.add(batch.num_rows() as u64);
            }
            writer.close()?;
        }
        Format::Csv => {
            let mut writer = arrow::csv::Writer::new(file);
            for batch in batches {
                let batch = batch?;
                writer.write(&batch)?;
                progress.add(batch.num_rows() as u64);
            }
            writer.into_inner().into_inner().map_err(|error| error.into_error())?;
        }
    }
    Ok(())
}

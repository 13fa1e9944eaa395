//! Runs `tests/slt/<topic>/*.slt`, each in a database directory of its own.
//!
//! The expectations are PostgreSQL's: `scripts/oracle/slt.py` runs the same files against PostgreSQL 15 and must find no difference.
//! What is different on purpose stands behind `onlyif colonnade` and `skipif colonnade`. Errors read `SQLSTATE: message`, with
//! `DETAIL:` and `CONTEXT:` on further lines. The lines after `COPY .. FROM STDIN` are its data; what COPY TO STDOUT sends is one
//! column of lines.

#![allow(clippy::unwrap_used)]

mod common;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use common::Client;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType};
use types::SqlError;

struct Database(Client);

struct Failure(SqlError);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SqlError { state, message, fields } = &self.0;
        write!(f, "{state}: {message}")?;
        for (name, text) in [("DETAIL", &fields.detail), ("CONTEXT", &fields.context)] {
            if let Some(text) = text {
                write!(f, "\n{name}: {text}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failure {}

#[async_trait]
impl AsyncDB for Database {
    type Error = Failure;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Failure> {
        let outcome = self.0.run(sql).await.map_err(Failure)?;
        if outcome.columns.is_empty() {
            let rows = outcome.tag.rsplit(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
            return Ok(DBOutput::StatementComplete(rows));
        }
        let text = |value: Option<String>| match value {
            None => "NULL".to_owned(),
            Some(text) if text.is_empty() => "(empty)".to_owned(),
            Some(text) => text,
        };
        Ok(DBOutput::Rows {
            types: outcome.columns.iter().map(|_| DefaultColumnType::Text).collect(),
            rows: outcome.rows.into_iter().map(|row| row.into_iter().map(text).collect()).collect(),
        })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "colonnade"
    }
}

fn files(topic: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt").join(topic);
    let mut files: Vec<PathBuf> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "slt"));
    files.sort();
    assert!(!files.is_empty(), "no files in {}", folder.display());
    files
}

fn run(topic: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut failures = Vec::new();
    for file in files(topic) {
        let (instance, _dir) = common::instance();
        let connect = Arc::clone(&instance);
        runtime.block_on(async {
            let mut runner = sqllogictest::Runner::new(move || {
                let client = Client::new(&connect);
                async move { Ok(Database(client)) }
            });
            // All that is wrong at once, not only the first.
            for record in sqllogictest::parse_file(&file).unwrap() {
                if let Err(error) = runner.run_async(record).await {
                    failures.push(error.display(false).to_string());
                }
            }
        });
        instance.close().unwrap();
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

macro_rules! topics {
    ($($topic:ident)*) => {
        $(
            #[test]
            fn $topic() {
                // As deep as a server's threads are.
                let thread = std::thread::Builder::new().stack_size(sql::STACK_BYTES);
                let done = thread.spawn(|| run(stringify!($topic))).unwrap().join();
                done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            }
        )*

        #[test]
        fn every_folder_is_run() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt");
            for entry in folder.read_dir().unwrap() {
                let name = entry.unwrap().file_name();
                assert!([$(stringify!($topic)),*].iter().any(|topic| *topic == name), "{name:?} is not run");
            }
        }
    };
}

topics! { catalog constraints copy ddl dml errors explain indexes prepared settings transactions types }

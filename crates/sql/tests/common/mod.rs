//! A client of an instance in this process, as psql would be one over the wire: simple queries, answers as text.

#![allow(dead_code, reason = "each test file uses some of it")]

use std::sync::Arc;

use env::RealEnv;
use sql::{Answer, CopyOut, FormatOptions, Instance, Login, Options, RowBatch, Rows, Session};
use types::{Datum, SqlError, arrow_form};

/// What a simple query gave: the last statement's rows and tag.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Option<String>>>,
    pub tag: String,
}

pub(crate) struct Client {
    pub session: Session,
}

/// An instance in a new directory.
pub(crate) fn instance() -> (Arc<Instance>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (open(dir.path()), dir)
}

pub(crate) fn open(dir: &std::path::Path) -> Arc<Instance> {
    let mut options = Options { query_threads: 2, query_memory_bytes_max: 256 << 20, ..Options::default() };
    options.engine.wal_file_bytes = 4 << 20;
    Instance::open(RealEnv::new(), dir, options).unwrap()
}

pub(crate) fn login(database: &str) -> Login {
    Login { database: database.into(), user: "postgres".into(), ..Login::default() }
}

impl Client {
    pub(crate) fn new(instance: &Arc<Instance>) -> Client {
        Client { session: Session::new(Arc::clone(instance), login("postgres")).unwrap() }
    }

    /// A simple Query message: all its statements, up to the first error, then the end of the implicit transaction.
    pub(crate) async fn run(&mut self, text: &str) -> Result<Outcome, SqlError> {
        // Lines after a COPY .. FROM STDIN are its data.
        let lower = text.to_ascii_lowercase();
        let (text, data) = match text.split_once('\n') {
            Some((head, data)) if lower.starts_with("copy") && head.to_ascii_lowercase().contains("from stdin") => {
                (head, data.to_owned() + "\n")
            }
            _ => (text, String::new()),
        };
        let result = self.statements(text, data.as_bytes()).await;
        match result {
            Ok(outcome) => {
                self.session.finish_implicit().await?;
                Ok(outcome)
            }
            Err(error) => {
                self.session.fail();
                let _ = self.session.finish_implicit().await;
                Err(error)
            }
        }
    }

    async fn statements(&mut self, text: &str, data: &[u8]) -> Result<Outcome, SqlError> {
        let mut outcome = Outcome::default();
        for statement in self.session.parse(text)? {
            let prepared = self.session.prepare(&statement, &[])?;
            let answer = self.session.execute(&prepared, vec![]).await?;
            outcome = self.pull(answer, data).await?;
        }
        Ok(outcome)
    }

    /// All of an answer, as text.
    pub(crate) async fn pull(&mut self, answer: Answer, data: &[u8]) -> Result<Outcome, SqlError> {
        match answer {
            Answer::Rows(rows) => rows_as_text(rows, &self.session.format_options()).await,
            Answer::Done(tag) => Ok(Outcome { tag, ..Outcome::default() }),
            Answer::Empty => Ok(Outcome::default()),
            Answer::CopyIn(_) => {
                // In small pieces, so that cuts fall everywhere.
                for piece in data.chunks(7) {
                    self.session.copy_in_data(piece)?;
                }
                let tag = self.session.copy_in_finish().await?;
                Ok(Outcome { tag, ..Outcome::default() })
            }
            Answer::CopyOut(out) => copied(out).await,
        }
    }

    pub(crate) async fn ok(&mut self, text: &str) -> Outcome {
        self.run(text).await.unwrap_or_else(|error| panic!("{text}: {error:?}"))
    }

    pub(crate) async fn error(&mut self, text: &str) -> SqlError {
        match self.run(text).await {
            Ok(outcome) => panic!("{text}: {outcome:?}"),
            Err(error) => error,
        }
    }

    /// The only value of a query.
    pub(crate) async fn value(&mut self, text: &str) -> String {
        let outcome = self.ok(text).await;
        assert_eq!((outcome.rows.len(), outcome.columns.len()), (1, 1), "{text}");
        outcome.rows[0][0].clone().unwrap_or_else(|| "NULL".into())
    }

    /// The notices since the last call: severity, state, message.
    pub(crate) fn notices(&mut self) -> Vec<String> {
        let notices = self.session.take_notices();
        notices.iter().map(|n| format!("{} {} {}", n.severity.as_str(), n.message.state, n.message.message)).collect()
    }
}

async fn rows_as_text(mut rows: Rows, format: &FormatOptions) -> Result<Outcome, SqlError> {
    let columns = Arc::clone(rows.columns());
    let mut outcome = Outcome { columns: columns.iter().map(|c| c.name.clone()).collect(), ..Outcome::default() };
    let text = |value: Datum| {
        let mut out = Vec::new();
        format.write(value.as_ref(), &mut out);
        (!value.is_null()).then(|| String::from_utf8(out).unwrap())
    };
    while let Some(batch) = rows.next().await? {
        match batch {
            RowBatch::Datums(values) => outcome.rows.extend(values.into_iter().map(|row| row.into_iter().map(text).collect())),
            RowBatch::Images(images) => {
                outcome.rows.extend(images.to_datums().into_iter().map(|row| row.into_iter().map(text).collect()));
            }
            RowBatch::System(system) => {
                outcome.rows.extend(system.datums().into_iter().map(|row| row.into_iter().map(text).collect()));
            }
            RowBatch::Arrow(batch) => {
                for row in 0..batch.num_rows() {
                    let values = batch.columns().iter().zip(columns.iter());
                    outcome.rows.push(values.map(|(a, c)| text(arrow_form::datum_at(a, row, c.data_type))).collect());
                }
            }
        }
    }
    outcome.tag = rows.tag(outcome.rows.len() as u64);
    Ok(outcome)
}

async fn copied(mut out: CopyOut) -> Result<Outcome, SqlError> {
    let mut data = Vec::new();
    while let Some(bytes) = out.next().await? {
        data.extend_from_slice(&bytes);
    }
    let rows = String::from_utf8(data).unwrap().lines().map(|line| vec![Some(line.to_owned())]).collect();
    Ok(Outcome { columns: vec!["copy".into()], rows, tag: out.tag() })
}

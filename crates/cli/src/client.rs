//! Where statements go: a data directory opened in this process, or a server by URL. The commands need not know which.
//!
//! ```text
//!   run         text of statements -> outcomes with all rows as text         shell
//!   copy_out    COPY .. TO STDOUT  -> bytes as they come                     export to CSV
//!   batches     a query            -> Arrow batches as they come             export to Parquet
//!   embedded    what only a directory can: Arrow batches straight in         import
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use bench::{Session as Remote, Target};
use env::RealEnv;
use futures::StreamExt;
use sql::{Answer, FormatOptions, Instance, Login, RowBatch, Session, Statement};
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::types::{FromSql, Type};
use types::arrow_form::{self, ColumnBuilder};
use types::{Datum, DatumRef, SqlType, binary};

use crate::exit::{Failure, counted};
use crate::serve;

/// Rows gathered into one Arrow batch when a server sends them one by one.
const ROWS_PER_BATCH: usize = 8192;

/// Which database a command is about.
#[derive(clap::Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct Place {
    /// A data directory, opened in this process; no server is needed, and none may have it open.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// A server, such as postgres://postgres@127.0.0.1:5433/postgres; the password may be in PGPASSWORD.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
}

/// What to do about a directory that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Make it.
    Create,
    /// Say so.
    Refuse,
}

/// An open database.
pub(crate) enum Client {
    /// A directory.
    Embedded(Box<Embedded>),
    /// A server.
    Remote(Remote),
}

/// A data directory open in this process, with one session.
pub(crate) struct Embedded {
    instance: Arc<Instance>,
    pub(crate) session: Session,
}

/// What one statement gave.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The result's columns; none if the statement returns no rows.
    pub(crate) columns: Vec<String>,
    /// Its rows as text; `None` is NULL.
    pub(crate) rows: Vec<Vec<Option<String>>>,
    /// The command tag, such as `INSERT 0 1`, if it is known.
    pub(crate) tag: Option<String>,
    /// Notices and warnings, each a line.
    pub(crate) notices: Vec<String>,
}

impl Client {
    /// Opens it. Errors: the directory is not there (with [`Missing::Refuse`]), in use or damaged; the server refuses.
    pub(crate) async fn open(place: &Place, database: &str, missing: Missing) -> Result<Client, Failure> {
        match (&place.data, &place.url) {
            (Some(dir), None) => Ok(Client::Embedded(Box::new(Embedded::open(dir, database, missing).await?))),
            (None, Some(url)) => Ok(Client::Remote(Target::parse(url)?.connect().await?)),
            _ => Err(Failure::usage("name one database: --data DIR or --url URL")),
        }
    }

    /// Runs statements as one simple query: together they are one transaction unless they say otherwise. Each outcome is handed on
    /// as it comes; those before an error have been.
    pub(crate) async fn run(&mut self, text: &str, each: &mut dyn FnMut(Outcome)) -> Result<(), Failure> {
        match self {
            Client::Embedded(embedded) => embedded.run(text, each).await,
            Client::Remote(remote) => run_remote(remote, text, each).await,
        }
    }

    /// The rows of one query as text.
    pub(crate) async fn rows(&mut self, query: &str) -> Result<Vec<Vec<Option<String>>>, Failure> {
        let mut rows = Vec::new();
        self.run(query, &mut |outcome| rows.extend(outcome.rows)).await?;
        Ok(rows)
    }

    /// The columns a query gives.
    pub(crate) async fn columns(&mut self, query: &str) -> Result<Vec<(String, SqlType)>, Failure> {
        match self {
            Client::Embedded(embedded) => {
                let columns = embedded.prepare(query)?.columns.clone().unwrap_or_else(|| Vec::new().into());
                embedded.session.finish_implicit().await?;
                Ok(columns.iter().map(|column| (column.name.clone(), column.data_type)).collect())
            }
            Client::Remote(remote) => {
                let statement = remote.client().prepare(query).await.map_err(Failure::from)?;
                statement.columns().iter().map(|column| Ok((column.name().to_owned(), remote_type(column)?))).collect()
            }
        }
    }

    /// Runs `COPY .. TO STDOUT` and hands the bytes on.
    pub(crate) async fn copy_out(
        &mut self,
        statement: &str,
        take: &mut (dyn FnMut(&[u8]) -> Result<(), Failure> + Send),
    ) -> Result<(), Failure> {
        match self {
            Client::Embedded(embedded) => {
                let prepared = embedded.prepare(statement)?;
                let Answer::CopyOut(mut out) = embedded.session.execute(&prepared, Vec::new()).await? else {
                    return Err(Failure::new("the statement is no COPY TO STDOUT"));
                };
                while let Some(bytes) = out.next().await? {
                    take(&bytes)?;
                }
                Ok(embedded.session.finish_implicit().await?)
            }
            Client::Remote(remote) => {
                let failed = |error: tokio_postgres::Error| Failure::from(error);
                let mut stream = std::pin::pin!(remote.client().copy_out(statement).await.map_err(failed)?);
                while let Some(bytes) = stream.next().await {
                    take(&bytes.map_err(failed)?)?;
                }
                Ok(())
            }
        }
    }

    /// Runs a query and hands its rows on as Arrow batches of `schema`, which is [`schema_of`] the query's columns.
    pub(crate) async fn batches(
        &mut self,
        query: &str,
        columns: &[(String, SqlType)],
        take: &mut (dyn FnMut(RecordBatch) -> Result<(), Failure> + Send),
    ) -> Result<(), Failure> {
        let schema = schema_of(columns);
        match self {
            Client::Embedded(embedded) => {
                let prepared = embedded.prepare(query)?;
                let Answer::Rows(mut rows) = embedded.session.execute(&prepared, Vec::new()).await? else {
                    return Err(Failure::new("the statement returns no rows"));
                };
                while let Some(batch) = rows.next().await? {
                    take(as_arrow(&schema, columns, batch)?)?;
                }
                Ok(embedded.session.finish_implicit().await?)
            }
            Client::Remote(remote) => remote_batches(remote, query, &schema, columns, take).await,
        }
    }

    /// Ends the session; a directory is closed, which makes sure everything is on disk.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        match self {
            Client::Embedded(embedded) => {
                let Embedded { instance, session } = *embedded;
                drop(session);
                let closed = tokio::task::spawn_blocking(move || instance.close()).await;
                Ok(closed.map_err(|error| Failure::during("close the database", error))??)
            }
            Client::Remote(_) => Ok(()),
        }
    }
}

/// The Arrow schema of a query's rows; it keeps the SQL types.
pub(crate) fn schema_of(columns: &[(String, SqlType)]) -> SchemaRef {
    let fields = columns.iter().map(|(name, t)| arrow_form::field(name, *t, true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

impl Embedded {
    async fn open(dir: &Path, database: &str, missing: Missing) -> Result<Embedded, Failure> {
        let mut options = sql::Options::default();
        options.engine.create = missing == Missing::Create;
        Embedded::of(serve::open(RealEnv::new(), dir, options).await?, database)
    }

    /// A session of its own in an open database.
    pub(crate) fn of(instance: Arc<Instance>, database: &str) -> Result<Embedded, Failure> {
        let login = Login {
            database: database.to_owned(),
            user: server::credentials::SUPERUSER.to_owned(),
            application_name: "colonnade".to_owned(),
            ..Login::default()
        };
        Ok(Embedded { session: Session::new(Arc::clone(&instance), login)?, instance })
    }

    /// The one statement of a text.
    fn prepare(&mut self, text: &str) -> Result<Arc<sql::Prepared>, Failure> {
        let statements = self.session.parse(text)?;
        match &statements[..] {
            [statement] => Ok(self.session.prepare(statement, &[])?),
            statements => Err(Failure::usage(format!("one statement is needed, {} were given", statements.len()))),
        }
    }

    /// As [`Client::run`].
    pub(crate) async fn run(&mut self, text: &str, each: &mut dyn FnMut(Outcome)) -> Result<(), Failure> {
        for statement in self.session.parse(text)? {
            let outcome = self.run_one(&statement).await?;
            each(outcome);
        }
        Ok(self.session.finish_implicit().await?)
    }

    async fn run_one(&mut self, statement: &Statement) -> Result<Outcome, Failure> {
        let prepared = self.session.prepare(statement, &[])?;
        let mut outcome = Outcome::default();
        match self.session.execute(&prepared, Vec::new()).await? {
            Answer::Rows(mut rows) => {
                let columns = Arc::clone(rows.columns());
                outcome.columns = columns.iter().map(|column| column.name.clone()).collect();
                let types: Vec<_> = columns.iter().map(|column| column.data_type).collect();
                let format = self.session.format_options();
                loop {
                    match rows.next().await {
                        Ok(Some(batch)) => as_text(&batch, &types, &format, &mut outcome.rows),
                        Ok(None) => break,
                        Err(error) => {
                            self.session.fail();
                            self.session.finish_implicit().await?;
                            return Err(error.into());
                        }
                    }
                }
                outcome.tag = Some(rows.tag(outcome.rows.len() as u64));
            }
            Answer::Done(tag) => outcome.tag = Some(tag),
            Answer::Empty => {}
            Answer::CopyIn(_) => {
                self.session.copy_in_fail("COPY FROM STDIN needs a client that sends the data");
                return Err(Failure::new("COPY FROM STDIN has no data here").next("use colonnade import, or psql with \\copy"));
            }
            Answer::CopyOut(mut out) => {
                while let Some(bytes) = out.next().await? {
                    let text = String::from_utf8_lossy(&bytes);
                    outcome.rows.extend(text.lines().map(|line| vec![Some(line.to_owned())]));
                }
                outcome.tag = Some(format!("COPY {}", outcome.rows.len()));
            }
        }
        let notices = self.session.take_notices();
        outcome.notices =
            notices.iter().map(|notice| format!("{}: {}", notice.severity.as_str(), notice.message.message)).collect();
        Ok(outcome)
    }
}

/// Appends a batch's rows as text.
fn as_text(batch: &RowBatch, types: &[SqlType], format: &FormatOptions, rows: &mut Vec<Vec<Option<String>>>) {
    let shown = |value: DatumRef<'_>| {
        (value != DatumRef::Null).then(|| {
            let mut text = Vec::new();
            format.write(value, &mut text);
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    match batch {
        RowBatch::Datums(datums) => rows.extend(datums.iter().map(|row| row.iter().map(|value| shown(value.as_ref())).collect())),
        RowBatch::Images(images) => rows.extend((0..images.len()).map(|row| images.values(row).map(shown).collect())),
        RowBatch::System(system) => {
            rows.extend(system.datums().iter().map(|row| row.iter().map(|value| shown(value.as_ref())).collect()));
        }
        RowBatch::Arrow(batch) => rows.extend((0..batch.num_rows()).map(|row| {
            let columns = batch.columns().iter().zip(types);
            columns.map(|(array, t)| shown(arrow_form::datum_at(array, row, *t).as_ref())).collect()
        })),
    }
}

/// A batch in exactly `schema`; queries may give plain variants of its types.
fn as_arrow(schema: &SchemaRef, columns: &[(String, SqlType)], batch: RowBatch) -> Result<RecordBatch, Failure> {
    let arrays: Vec<ArrayRef> = match batch {
        RowBatch::Arrow(batch) => {
            let pairs = batch.columns().iter().zip(columns);
            pairs
                .map(|(array, (_, t))| {
                    if *array.data_type() == arrow_form::data_type(*t) {
                        return Arc::clone(array);
                    }
                    let mut builder = ColumnBuilder::new(*t, array.len());
                    (0..array.len()).for_each(|row| builder.append(arrow_form::datum_at(array, row, *t).as_ref()));
                    builder.finish()
                })
                .collect()
        }
        RowBatch::Datums(rows) => arrays_of(columns, &rows),
        RowBatch::Images(rows) => arrays_of(columns, &rows.to_datums()),
        RowBatch::System(rows) => arrays_of(columns, &rows.datums()),
    };
    RecordBatch::try_new(Arc::clone(schema), arrays).map_err(|error| Failure::during("gather rows", error))
}

fn arrays_of(columns: &[(String, SqlType)], rows: &[Vec<Datum>]) -> Vec<ArrayRef> {
    let mut builders: Vec<_> = columns.iter().map(|(_, t)| ColumnBuilder::new(*t, rows.len())).collect();
    for row in rows {
        row.iter().zip(&mut builders).for_each(|(value, builder)| builder.append(value.as_ref()));
    }
    builders.iter_mut().map(ColumnBuilder::finish).collect()
}

async fn run_remote(remote: &Remote, text: &str, each: &mut dyn FnMut(Outcome)) -> Result<(), Failure> {
    let failed = |error: tokio_postgres::Error| Failure::from(error);
    let mut stream = std::pin::pin!(remote.client().simple_query_raw(text).await.map_err(failed)?);
    let mut outcome = Outcome::default();
    while let Some(message) = stream.next().await {
        match message.map_err(failed)? {
            SimpleQueryMessage::RowDescription(columns) => {
                outcome.columns = columns.iter().map(|column| column.name().to_owned()).collect();
            }
            SimpleQueryMessage::Row(row) => {
                outcome.rows.push((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect());
            }
            // The driver keeps only the number of the tag.
            SimpleQueryMessage::CommandComplete(rows) => {
                if outcome.columns.is_empty() {
                    outcome.tag = Some(if rows > 0 { format!("OK, {}", counted(rows, "row")) } else { "OK".to_owned() });
                }
                each(std::mem::take(&mut outcome));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Any value as the bytes it came in.
struct Bytes(Option<Vec<u8>>);

impl<'a> FromSql<'a> for Bytes {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Bytes, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Bytes(Some(raw.to_vec())))
    }

    fn from_sql_null(_: &Type) -> Result<Bytes, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Bytes(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

async fn remote_batches(
    remote: &Remote,
    query: &str,
    schema: &SchemaRef,
    columns: &[(String, SqlType)],
    take: &mut (dyn FnMut(RecordBatch) -> Result<(), Failure> + Send),
) -> Result<(), Failure> {
    let failed = |error: tokio_postgres::Error| Failure::from(error);
    let no_parameters: [i32; 0] = [];
    let mut stream = std::pin::pin!(remote.client().query_raw(query, no_parameters).await.map_err(failed)?);
    let mut builders: Vec<_> = columns.iter().map(|(_, t)| ColumnBuilder::new(*t, ROWS_PER_BATCH)).collect();
    let finish = |builders: &mut Vec<ColumnBuilder>| {
        RecordBatch::try_new(Arc::clone(schema), builders.iter_mut().map(ColumnBuilder::finish).collect())
            .map_err(|error| Failure::during("gather rows", error))
    };
    let mut rows = 0;
    while let Some(row) = stream.next().await {
        let row = row.map_err(failed)?;
        for (at, ((name, t), builder)) in columns.iter().zip(&mut builders).enumerate() {
            let Bytes(raw) = row.try_get(at).map_err(failed)?;
            let value = match raw {
                Some(raw) => binary::parse(*t, &raw).map_err(|error| Failure::during(format!("read column {name}"), error))?,
                None => Datum::Null,
            };
            builder.append(value.as_ref());
        }
        rows += 1;
        if rows == ROWS_PER_BATCH {
            take(finish(&mut builders)?)?;
            rows = 0;
        }
    }
    if rows > 0 { take(finish(&mut builders)?) } else { Ok(()) }
}

/// The type of a server's column: its oid, and lengths from its modifier.
fn remote_type(column: &tokio_postgres::Column) -> Result<SqlType, Failure> {
    let type_ = column.type_();
    let size = column.type_modifier() - 4;
    Ok(match (type_.oid(), u32::try_from(size)) {
        (1042, Ok(n)) if n > 0 => SqlType::Char(n),
        (1043, Ok(n)) if n > 0 => SqlType::Varchar(n),
        (1700, Ok(size)) => match (u8::try_from(size >> 16), u8::try_from(size & 0xffff)) {
            (Ok(precision @ 1..=38), Ok(scale)) if scale <= precision => SqlType::Numeric { precision, scale },
            _ => SqlType::NUMERIC,
        },
        (oid, _) => SqlType::from_oid(oid).ok_or_else(|| {
            Failure::new(format!("column {} is of type {}, which has no place here", column.name(), type_.name()))
                .next("cast it in the query, for example to text")
        })?,
    })
}

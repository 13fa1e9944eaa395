//! A server named by a URL, and a session with it.
//!
//! 1. A URL is `postgres://user:password@host:port/database`; what is missing comes from `PGHOST`, `PGPORT`, `PGUSER`,
//!    `PGPASSWORD` and `PGDATABASE`, then from `127.0.0.1`, 5432, `postgres` and the user's name.
//! 2. A session's answers come as text ([`Session::text_rows`], to compare) or stay undecoded ([`Session::count_rows`], to time).
//!
//! Not here: TLS; drivers run beside the server they measure.

use std::fmt;
use std::future::Future;

use bytes::Bytes;
use futures::{SinkExt, Stream, StreamExt};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use crate::direct::{Direct, DirectError};

/// What stops a driver. The message says which server and which statement.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The URL cannot be read.
    #[error("this is not a URL like postgres://user@host:port/database: {reason}")]
    Url {
        /// What is wrong with it. The text itself is not said: it may have a password in more places than can be told.
        reason: String,
    },
    /// Nobody answers there, or the login is refused.
    #[error("connect to {target}: {reason}")]
    Connect {
        /// The server, without a password.
        target: String,
        /// What the server or the system said.
        reason: String,
    },
    /// The server refused a statement.
    #[error("{what}: {reason}")]
    Statement {
        /// What the driver was doing, as "verb object".
        what: String,
        /// The server's message with its SQLSTATE.
        reason: String,
    },
}

/// A server to measure.
#[derive(Clone)]
pub struct Target {
    config: Config,
    shown: String,
}

impl Target {
    /// Reads a URL; see the module for what may be left out. Errors: [`BenchError::Url`].
    pub fn parse(url: &str) -> Result<Target, BenchError> {
        let mut config: Config =
            url.parse().map_err(|error: tokio_postgres::Error| BenchError::Url { reason: describe(&error) })?;
        let from_environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            config.host(from_environment("PGHOST").unwrap_or_else(|| "127.0.0.1".into()));
        }
        if config.get_ports().is_empty() {
            config.port(from_environment("PGPORT").and_then(|port| port.parse().ok()).unwrap_or(5432));
        }
        if config.get_user().is_none() {
            config.user(from_environment("PGUSER").unwrap_or_else(|| "postgres".into()));
        }
        if config.get_password().is_none()
            && let Some(password) = from_environment("PGPASSWORD")
        {
            config.password(password);
        }
        if config.get_dbname().is_none()
            && let Some(database) = from_environment("PGDATABASE")
        {
            config.dbname(database);
        }
        if config.get_application_name().is_none() {
            config.application_name("colonnade-bench");
        }
        Ok(Target { shown: shown(&config), config })
    }

    /// Opens a session. Errors: [`BenchError::Connect`].
    pub async fn connect(&self) -> Result<Session, BenchError> {
        let refused = |error: &tokio_postgres::Error| BenchError::Connect { target: self.shown.clone(), reason: describe(error) };
        let (client, connection) = self.config.connect(NoTls).await.map_err(|error| refused(&error))?;
        // The connection's own error reaches the client as a closed connection, with the statement that noticed.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Session { client })
    }

    /// Opens a connection that costs little. Errors: [`BenchError::Connect`].
    pub async fn connect_direct(&self) -> Result<Direct, BenchError> {
        let refused = |error: DirectError| BenchError::Connect { target: self.shown.clone(), reason: error.to_string() };
        Direct::connect(&self.config).await.map_err(refused)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

fn shown(config: &Config) -> String {
    use tokio_postgres::config::Host;
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        #[cfg(unix)]
        Some(Host::Unix(path)) => path.display().to_string(),
        None => config.get_hostaddrs().first().map(ToString::to_string).unwrap_or_default(),
    };
    let user = config.get_user().unwrap_or("postgres");
    let port = config.get_ports().first().copied().unwrap_or(5432);
    format!("postgres://{user}@{host}:{port}/{}", config.get_dbname().unwrap_or(user))
}

/// The URL with everything between the user's colon and the last `@` left out, and what follows `password=`.
pub(crate) fn without_password(url: &str) -> String {
    let named = "password=";
    let url = url.find(named).map_or(url, |at| &url[..at + named.len()]);
    let start = url.find("://").map_or(0, |at| at + 3);
    match (url.rfind('@'), url[start..].find(':')) {
        (Some(at), Some(colon)) if start + colon < at => format!("{}{}", &url[..start + colon], &url[at..]),
        _ => url.to_owned(),
    }
}

/// Rows of one statement as the server's text, with the types it announced.
#[derive(Debug)]
pub struct TextRows {
    /// Name and type of each column.
    pub columns: Vec<(String, Type)>,
    /// The rows in the order they came; `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

/// A session with a server; dropping it closes the connection.
pub struct Session {
    client: Client,
}

impl Session {
    /// The client underneath, for what the methods here do not cover.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The client underneath, for transactions.
    pub fn client_mut(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Runs one or more statements that answer no rows. `what` ("create table orders") goes into the error.
    pub async fn run(&self, what: &str, sql: &str) -> Result<(), BenchError> {
        attempt(what, self.client.batch_execute(sql)).await
    }

    /// Runs a prepared statement and reads every row without decoding it; returns how many there were.
    pub async fn count_rows(&self, what: &str, sql: &str) -> Result<u64, BenchError> {
        let statement = attempt(what, self.client.prepare(sql)).await?;
        let no_parameters: [i32; 0] = [];
        let mut stream = std::pin::pin!(attempt(what, self.client.query_raw(&statement, no_parameters)).await?);
        let mut rows = 0;
        while let Some(row) = stream.next().await {
            row.map_err(|error| failed(what, &error))?;
            rows += 1;
        }
        Ok(rows)
    }

    /// Runs one statement and returns its rows as text. The statement is prepared too, which is how its types are learnt.
    pub async fn text_rows(&self, what: &str, sql: &str) -> Result<TextRows, BenchError> {
        let statement = attempt(what, self.client.prepare(sql)).await?;
        let columns: Vec<_> =
            statement.columns().iter().map(|column| (column.name().to_owned(), column.type_().clone())).collect();
        let mut rows = Vec::new();
        for message in attempt(what, self.client.simple_query(sql)).await? {
            if let SimpleQueryMessage::Row(row) = message {
                rows.push((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect());
            }
        }
        Ok(TextRows { columns, rows })
    }

    /// Sends `chunks` through `COPY .. FROM STDIN`; returns how many rows the server took. An `Err` chunk ends the copy without
    /// a row kept, and comes back as the error. Back-pressure: a chunk is taken only when the one before is on its way.
    pub async fn copy_in(
        &self,
        what: &str,
        sql: &str,
        chunks: impl Stream<Item = Result<Bytes, BenchError>>,
    ) -> Result<u64, BenchError> {
        let mut sink = std::pin::pin!(attempt(what, self.client.copy_in::<_, Bytes>(sql)).await?);
        let mut chunks = std::pin::pin!(chunks);
        while let Some(chunk) = chunks.next().await {
            // Dropping the sink unfinished makes the client send CopyFail.
            if attempt(what, sink.send(chunk?)).await.is_err() {
                break; // the server's reason is the answer to finish
            }
        }
        attempt(what, sink.finish()).await
    }

    /// The one value of a one-row answer as text. Errors: the server's, or an answer of another shape.
    pub async fn text_value(&self, what: &str, sql: &str) -> Result<String, BenchError> {
        for message in attempt(what, self.client.simple_query(sql)).await? {
            if let SimpleQueryMessage::Row(row) = message
                && let Some(value) = row.get(0)
            {
                return Ok(value.to_owned());
            }
        }
        Err(BenchError::Statement { what: what.to_owned(), reason: "no value in the answer".into() })
    }
}

async fn attempt<T>(what: &str, work: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, BenchError> {
    work.await.map_err(|error| failed(what, &error))
}

fn failed(what: &str, error: &tokio_postgres::Error) -> BenchError {
    BenchError::Statement { what: what.to_owned(), reason: describe(error) }
}

/// The server's message with SQLSTATE, detail and hint; the driver's own error ("db error") says none of it.
pub fn describe(error: &tokio_postgres::Error) -> String {
    use std::error::Error as _;
    if let Some(db) = error.as_db_error() {
        let mut text = format!("{} {}: {}", db.severity(), db.code().code(), db.message());
        for (label, part) in [("detail", db.detail()), ("hint", db.hint())] {
            if let Some(part) = part {
                text.push_str(&format!("; {label}: {part}"));
            }
        }
        return text;
    }
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password() {
        let target = Target::parse("postgres://ann:secret@db.example:5433/shop").unwrap();
        assert_eq!(target.to_string(), "postgres://ann@db.example:5433/shop");
    }

    #[test]
    fn a_bad_url_is_named_without_its_password() {
        for url in [
            "postgres://ann:secret@host:notaport/x",
            "postgres://ann@host:notaport/x?password=secret",
            "host=there password=secret port=bad",
        ] {
            let Err(error) = Target::parse(url) else { panic!("accepted") };
            let text = error.to_string();
            assert!(text.contains("port"), "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
    }

    #[test]
    fn a_command_is_reported_without_its_password() {
        for (word, shown) in [
            ("postgres://ann:secret@host/x", "postgres://ann@host/x"),
            ("--url=postgres://ann@host/x?password=secret", "--url=postgres://ann@host/x?password="),
            ("host=there password=secret port=1", "host=there password="),
            ("--scale", "--scale"),
        ] {
            assert_eq!(without_password(word), shown);
        }
    }

    #[tokio::test]
    async fn nobody_there_says_where() {
        let port = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let target = Target::parse(&format!("postgres://ann:secret@127.0.0.1:{port}/x")).unwrap();
        let Err(error) = target.connect().await else { panic!("connected") };
        let text = error.to_string();
        assert!(text.starts_with(&format!("connect to postgres://ann@127.0.0.1:{port}/x: ")), "{text}");
        assert!(text.contains("refused"), "{text}");
    }
}

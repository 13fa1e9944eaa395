//! Where the table is: what the command line says of it, and connections to it.

use std::path::PathBuf;

use bench::{Server, Target};
use clap::Args;

#[cfg(feature = "embedded")]
use crate::embedded;
#[cfg(feature = "sqlite")]
use crate::sqlite;
use crate::store::{Failure, Store};
use crate::wire;

#[derive(Args)]
pub(crate) struct PlaceArguments {
    #[command(flatten)]
    place: OnePlace,
    /// SQLite's page cache of each connection.
    #[arg(long, default_value_t = 256, value_name = "MIB")]
    sqlite_cache: u32,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct OnePlace {
    /// A server, such as postgres://postgres@127.0.0.1:5433/postgres.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// A Colonnade directory, opened by this process.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// An SQLite file.
    #[arg(long, value_name = "FILE")]
    sqlite: Option<PathBuf>,
}

/// Where the table is.
pub(crate) enum Place {
    Wire(Target),
    #[cfg(feature = "embedded")]
    Embedded {
        database: colonnade::Database,
        shown: String,
    },
    #[cfg(feature = "sqlite")]
    Sqlite {
        file: PathBuf,
        cache_mib: u32,
    },
}

impl Place {
    /// Errors: the URL is none, or the directory does not open.
    pub(crate) fn open(arguments: &PlaceArguments) -> Result<Place, Failure> {
        match &arguments.place {
            OnePlace { url: Some(url), .. } => Ok(Place::Wire(Target::parse(url)?)),
            #[cfg(feature = "embedded")]
            OnePlace { data: Some(data), .. } => {
                let opened = colonnade::Database::open(data);
                let database = opened.map_err(|error| format!("open {}: {}", data.display(), error.message))?;
                Ok(Place::Embedded { database, shown: data.display().to_string() })
            }
            #[cfg(feature = "sqlite")]
            OnePlace { sqlite: Some(file), .. } => Ok(Place::Sqlite { file: file.clone(), cache_mib: arguments.sqlite_cache }),
            _ => Err("this place is not built in: see the features embedded and sqlite of crate bench".into()),
        }
    }

    /// A connection to make the table with. Errors: nobody answers, or the login is refused.
    pub(crate) fn connect(&self) -> Result<Box<dyn Store>, Failure> {
        Ok(match self {
            Place::Wire(target) => Box::new(wire::Wire::open(target)?),
            #[cfg(feature = "embedded")]
            Place::Embedded { database, .. } => Box::new(embedded::Embedded::open(database)?),
            #[cfg(feature = "sqlite")]
            Place::Sqlite { file, cache_mib } => Box::new(sqlite::Sqlite::open(file, *cache_mib)?),
        })
    }

    /// Who was measured, for the report.
    pub(crate) fn servers(&self) -> Result<Vec<Server>, Failure> {
        match self {
            Place::Wire(target) => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                Ok(runtime.block_on(Server::identify(std::slice::from_ref(target)))?)
            }
            #[cfg(feature = "embedded")]
            Place::Embedded { shown, .. } => {
                Ok(vec![Server { url: shown.clone(), version: format!("Colonnade {} in process", env!("CARGO_PKG_VERSION")) }])
            }
            #[cfg(feature = "sqlite")]
            Place::Sqlite { file, cache_mib } => Ok(vec![Server {
                url: file.display().to_string(),
                version: format!("SQLite {}, WAL, synchronous FULL, cache {cache_mib} MiB", rusqlite::version()),
            }]),
        }
    }
}

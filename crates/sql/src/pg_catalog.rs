//! PostgreSQL's system relations and functions: `pg_catalog` and `information_schema`, as one session sees them at one moment.
//!
//! ```text
//! query --route--> bind --> plan --run--> SystemRows          queries of system relations only: psql's \d, drivers, tools
//!            \---> DataFusion, with system relations as tables in memory (offer)       queries of both kinds
//! store: the relations' rows, computed when they are first read       data: PostgreSQL 15's own rows, part of the program
//! ```
//!
//! 1. Every relation and view of PostgreSQL 15 is there with its columns and types; those with nothing to say are empty.
//! 2. Plans do not depend on the moment: names in constants (`'t'::regclass`) are looked up when they run.
//! 3. One execution sees one catalog, one set of settings, one list of sessions.
//!
//! Not here: definitions of tables (`catalog`), settings (`settings`), sessions (`activity`).
//! Source: PostgreSQL 15's catalogs and view definitions, read out of a server by `scripts/oracle/pg_catalog.py`.

mod bind;
mod cast;
mod constraints;
mod data;
mod functions;
mod indexes;
mod kind;
mod locks;
mod objects;
mod offer;
mod operator;
mod plan;
mod relation;
mod route;
mod rows;
mod run;
mod server;
mod store;
mod system_plan;
mod value;

use std::sync::Arc;

use catalog::Catalog;
use engine::{Advisory, Sequences};
use types::{DatabaseId, text};

use crate::format::FormatOptions;
use crate::instance::Instance;
use crate::notice::Heard;
use crate::session::Session;
use crate::settings::Reader;

pub(crate) use cast::identifiers;
pub(crate) use kind::{array_of, wire_len};
pub(crate) use objects::{Volatility, volatility};
pub(crate) use offer::System;
pub use rows::{SystemRows, is_array, is_type, system_parameter};
pub(crate) use system_plan::SystemPlan;

/// The name of a type as `format_type` writes it.
pub(crate) fn type_name(data_type: types::SqlType) -> String {
    kind::format(data_type.oid(), Some(data_type.typmod().into()))
}

/// The name of a type in `pg_type`.
pub(crate) fn internal_type_name(data_type: types::SqlType) -> &'static str {
    kind::info(data_type.oid()).map_or("expr", |info| info.name)
}

/// What the system relations are made of.
pub(crate) struct Moment {
    pub(crate) instance: Arc<Instance>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) database: DatabaseId,
    pub(crate) user: String,
    pub(crate) process_id: i32,
    pub(crate) search_path: Arc<[String]>,
    pub(crate) settings: Reader,
    /// When the transaction began, in microseconds since 1970-01-01 UTC.
    pub(crate) now_micros: i64,
    /// What dates and times in texts mean.
    pub(crate) dates: text::Session,
    /// How values are written.
    pub(crate) format: FormatOptions,
    /// Of the transaction, if one has begun.
    pub(crate) sequences: Option<Sequences>,
    pub(crate) advisory: Option<Advisory>,
    /// For what functions have to tell the client beside their values.
    pub(crate) notices: Arc<Heard>,
}

impl Moment {
    pub(crate) fn of(session: &mut Session) -> Moment {
        let dates = session.dates();
        Moment {
            instance: Arc::clone(&session.instance),
            catalog: session.catalog(),
            database: session.database,
            user: session.login.user.clone(),
            process_id: session.login.process_id,
            search_path: Arc::clone(&session.settings.active().search_path),
            settings: session.settings_reader(),
            now_micros: dates.now.unwrap_or_default(),
            dates,
            format: session.format_options(),
            sequences: session.transaction.inner().map(|transaction| transaction.sequences()),
            advisory: session.transaction.inner().and_then(|transaction| transaction.advisory()),
            notices: Arc::clone(&session.heard),
        }
    }
}

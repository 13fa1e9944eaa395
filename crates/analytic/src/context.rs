//! What a query is planned in: which names there are and who asks.

use std::sync::Arc;

use catalog::{Catalog, Sequence};
use datafusion::catalog::TableProvider;
use datafusion::logical_expr::ScalarUDF;
use txn::Cancel;
use types::{DatabaseId, SqlError};

/// Relations and functions that describe the system: `pg_catalog`, `information_schema`, `current_setting`, ...
pub trait SystemTables: Send + Sync {
    /// The relation `name` of a system schema, with its rows as of now. `None`: there is none.
    fn table(&self, schema: &str, name: &str) -> Option<Result<Arc<dyn TableProvider>, SqlError>>;

    /// A sequence as a relation of one row, as of now.
    fn sequence(&self, sequence: &Sequence) -> Result<Arc<dyn TableProvider>, SqlError> {
        Err(SqlError::unsupported(format!("sequence \"{}\" cannot be read here", sequence.name)))
    }

    /// The scalar function `name` (lower case, without a schema), for functions that need the session or the catalog.
    fn function(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let _ = name;
        None
    }
}

/// Who asks: what `current_user` and its kin answer.
#[derive(Clone, Debug, Default)]
pub struct SessionInfo {
    /// `current_user` and `session_user`.
    pub user: String,
    /// `current_database()`.
    pub database: String,
    /// Values and zone that the meaning of dates and times depends on.
    pub dates: types::text::Session,
}

/// Where a query's names are looked up.
#[derive(Clone)]
pub struct PlanContext {
    /// The definitions, as the transaction sees them.
    pub catalog: Arc<Catalog>,
    /// The database the session is in.
    pub database: DatabaseId,
    /// Schemas searched for unqualified names, in order. `pg_catalog` is searched first unless it is listed.
    pub search_path: Vec<String>,
    /// The system's own relations.
    pub system: Arc<dyn SystemTables>,
    /// Who asks.
    pub session: Arc<SessionInfo>,
    /// Set to stop planning with 57014.
    pub cancel: Arc<Cancel>,
    /// The text the query was parsed from, for the position in errors; may be empty.
    pub text: Arc<str>,
}

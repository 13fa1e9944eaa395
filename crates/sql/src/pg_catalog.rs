//! The system's own relations and functions, as one session sees them at one moment: where `pg_catalog` and
//! `information_schema` plug into queries.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use analytic::SystemTables;
use catalog::Catalog;
use datafusion::catalog::TableProvider;
use datafusion::logical_expr::ScalarUDF;
use datafusion::scalar::ScalarValue;
use types::{DatabaseId, SqlError};

use crate::instance::Instance;
use crate::session::Session;
use crate::settings::Reader;

/// What the system relations are made of.
pub(crate) struct Moment {
    pub(crate) instance: Arc<Instance>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) database: DatabaseId,
    pub(crate) user: String,
    pub(crate) process_id: i32,
    pub(crate) search_path: Arc<[String]>,
    pub(crate) settings: Reader,
    pub(crate) began_micros: i64,
}

/// One session's system relations. Notes whether any of them was used: a plan that holds one is good for one execution.
pub(crate) struct System {
    moment: Arc<Moment>,
    used: AtomicBool,
}

impl System {
    pub(crate) fn of(session: &mut Session) -> System {
        let moment = Arc::new(Moment {
            instance: Arc::clone(&session.instance),
            catalog: session.catalog(),
            database: session.database,
            user: session.login.user.clone(),
            process_id: session.login.process_id,
            search_path: Arc::clone(&session.settings.active().search_path),
            settings: session.settings.reader(),
            began_micros: session.transaction.began_micros(),
        });
        System { moment, used: AtomicBool::new(false) }
    }

    /// Whether a relation or function was asked for and found.
    pub(crate) fn was_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    fn note<T>(&self, found: Option<T>) -> Option<T> {
        if found.is_some() {
            self.used.store(true, Ordering::Relaxed);
        }
        found
    }
}

impl SystemTables for System {
    fn table(&self, schema: &str, name: &str) -> Option<Arc<dyn TableProvider>> {
        let _ = (schema, name, &self.moment);
        self.note(None)
    }

    fn function(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let _ = name;
        self.note(None)
    }

    fn table_function(&self, name: &str, arguments: &[ScalarValue]) -> Option<Result<Arc<dyn TableProvider>, SqlError>> {
        let _ = (name, arguments);
        self.note(None)
    }
}

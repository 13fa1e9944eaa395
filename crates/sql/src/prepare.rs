//! A statement with its types settled: planned, for one catalog and one set of settings, and planned anew when those change.
//!
//! ```text
//! Statement --plan--> Planned (shared, cached) <---- Prepared (a session's): checks at each run that the plan still fits
//! ```

use std::ops::Deref;
use std::sync::Arc;

use catalog::Catalog;
use env::{BLOCKING_BYTES_MIN, blocking_if};
use parking_lot::Mutex;
use types::{SqlError, SqlState, SqlType, TableId};

use crate::dml::{InsertPlan, MergePlan, ModifyPlan, WithPlan};
use crate::locking::LockingPlan;
use crate::parse::{Command, Statement};
use crate::pg_catalog::{self, SystemPlan};
use crate::plan_cache::PlanKey;
use crate::point_plan::PointPlan;
use crate::query::QueryPlan;
use crate::session::Session;
use crate::watch::Watch;

/// A column of a result, as RowDescription needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputColumn {
    /// The name; not unique, and `?column?` where PostgreSQL says so.
    pub name: String,
    /// The type its values have here.
    pub data_type: SqlType,
    /// The type clients are told: another one than `data_type`'s for what only system relations have (`oid`, `name`, arrays).
    pub type_oid: u32,
    /// PostgreSQL's type modifier, -1 if there is none: a column has its own, an expression of numbers has none.
    pub type_modifier: i32,
    /// The table the column comes from unchanged, or 0.
    pub table_oid: u32,
    /// The column's number in that table, or 0.
    pub attnum: i16,
}

impl OutputColumn {
    /// A column that comes from no table.
    pub(crate) fn plain(name: impl Into<String>, data_type: SqlType) -> OutputColumn {
        let type_modifier = if matches!(data_type, SqlType::Numeric { .. }) { -1 } else { data_type.typmod() };
        OutputColumn { name: name.into(), data_type, type_oid: data_type.oid(), type_modifier, table_oid: 0, attnum: 0 }
    }

    /// What RowDescription says of the type's length: bytes, -1 for what varies.
    pub fn wire_len(&self) -> i16 {
        if self.type_oid == self.data_type.oid() { self.data_type.wire_len() } else { pg_catalog::wire_len(self.type_oid) }
    }
}

/// A statement ready to run, any number of times, with other parameters.
pub struct Prepared {
    /// The type of `$1`, `$2`, ...
    pub params: Vec<SqlType>,
    /// Their oids: others than those of `params` for what only system relations have.
    pub param_oids: Vec<u32>,
    /// The result's columns; `None` when the statement returns no rows.
    pub columns: Option<Arc<[OutputColumn]>>,
    pub(crate) statement: Statement,
    planned: Mutex<Arc<OwnPlan>>,
}

/// A plan as one session has it: who runs it counts references to this, and not to what all sessions share.
pub(crate) struct OwnPlan(pub(crate) Arc<Planned>);

impl Deref for OwnPlan {
    type Target = Planned;

    fn deref(&self) -> &Planned {
        &self.0
    }
}

impl Prepared {
    fn of(statement: &Statement, planned: Arc<Planned>) -> Arc<Prepared> {
        let param_oids = match &planned.kind {
            Kind::System(plan) => plan.params().to_vec(),
            kind => {
                let mut oids: Vec<u32> = planned.params.iter().map(|t| t.oid()).collect();
                for (at, element) in kind.arrays() {
                    if let Some(oid) = oids.get_mut(at) {
                        *oid = pg_catalog::array_of(element.oid());
                    }
                }
                oids
            }
        };
        Arc::new(Prepared {
            params: planned.params.clone(),
            param_oids,
            columns: planned.columns.clone(),
            statement: statement.clone(),
            planned: Mutex::new(Arc::new(OwnPlan(planned))),
        })
    }

    /// The statement's text.
    pub fn text(&self) -> &str {
        self.statement.text()
    }

    /// Whether it reads system relations only: its parameters may be of types other statements do not have.
    pub fn is_system(&self) -> bool {
        matches!(self.planned.lock().kind, Kind::System(_))
    }

    /// The statement.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }
}

/// A plan, and what it depends on.
pub(crate) struct Planned {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) planning: Arc<str>,
    pub(crate) params: Vec<SqlType>,
    pub(crate) columns: Option<Arc<[OutputColumn]>>,
    pub(crate) kind: Kind,
    /// Good for one execution only: it holds something as of now.
    pub(crate) volatile: bool,
}

pub(crate) enum Kind {
    Query(QueryPlan),
    /// Of system relations only.
    System(SystemPlan),
    Insert(InsertPlan),
    Modify(ModifyPlan),
    Merge(MergePlan),
    With(WithPlan),
    Point(PointPlan),
    Locking(Box<LockingPlan>),
    /// EXPLAIN of it.
    Explain(Arc<Prepared>),
    /// DECLARE of a cursor for it.
    Declare(Arc<Prepared>),
    /// Nothing is planned: the command says it all.
    Command,
}

impl Kind {
    /// The parameters that are arrays, and the type of their elements.
    fn arrays(&self) -> Vec<(usize, SqlType)> {
        match self {
            Kind::Query(QueryPlan::Analytic(plan)) => plan.arrays().to_vec(),
            Kind::Modify(plan) => plan.arrays(),
            Kind::Locking(plan) => plan.source.arrays().to_vec(),
            Kind::Merge(plan) => plan.source.arrays().to_vec(),
            Kind::Insert(plan) => plan.arrays(),
            Kind::With(plan) => plan.parts().flat_map(|(_, part)| part.kind.arrays()).collect(),
            Kind::Explain(of) | Kind::Declare(of) => of.planned.lock().kind.arrays(),
            Kind::Query(QueryPlan::SetConfig(_)) | Kind::System(_) | Kind::Point(_) | Kind::Command => vec![],
        }
    }
}

impl Planned {
    /// The tables it writes, or locks rows of.
    pub(crate) fn written(&self) -> Vec<TableId> {
        let target = match &self.kind {
            Kind::Insert(plan) => Some(plan.target()),
            Kind::Modify(plan) => Some(plan.target()),
            Kind::Merge(plan) => Some(plan.target()),
            Kind::Point(plan) => return plan.held().into_iter().collect(),
            Kind::Locking(plan) => return plan.tables().map(|table| table.id).collect(),
            Kind::With(plan) => return plan.parts().flat_map(|(_, part)| part.written()).collect(),
            _ => None,
        };
        target.map(|target| target.table.id).into_iter().collect()
    }
}

impl Session {
    /// Settles a statement's parameter and result types. `params` are the types the client declared, `None` where it left that to
    /// the server; there may be fewer than the statement has. Errors: everything that is wrong with the statement whatever the
    /// parameters, 25P02 in a failed transaction.
    pub fn prepare(&mut self, statement: &Statement, params: &[Option<SqlType>]) -> Result<Arc<Prepared>, SqlError> {
        if self.transaction.has_failed() && !statement.ends_transaction() {
            return Err(crate::transaction::aborted());
        }
        self.forget_cancel();
        let watch = Watch::start(&self.cancel, self.time_left());
        let planned = self.plan(statement, params).map_err(|error| {
            self.fail();
            watch.explain(error)
        })?;
        Ok(Prepared::of(statement, planned))
    }

    /// The plan to run a prepared statement by, now. Errors: 0A000 when its result would have other columns than it was prepared
    /// with.
    pub(crate) fn current_plan(&mut self, prepared: &Prepared) -> Result<Arc<OwnPlan>, SqlError> {
        let planned = Arc::clone(&prepared.planned.lock());
        if matches!(planned.kind, Kind::Command) {
            return Ok(planned);
        }
        let is_of_settings = planned.planning == self.settings.active().planning;
        if !planned.volatile && is_of_settings && self.sees_catalog(&planned.catalog) {
            return Ok(planned);
        }
        let declared: Vec<Option<SqlType>> = prepared.params.iter().copied().map(Some).collect();
        let again = Arc::new(OwnPlan(self.plan(&prepared.statement, &declared)?));
        let types = |columns: &Option<Arc<[OutputColumn]>>| {
            columns.as_ref().map(|columns| columns.iter().map(|c| (c.name.clone(), c.data_type, c.type_oid)).collect::<Vec<_>>())
        };
        if types(&again.columns) != types(&prepared.columns) {
            return Err(SqlError::unsupported("cached plan must not change result type"));
        }
        *prepared.planned.lock() = Arc::clone(&again);
        Ok(again)
    }

    fn plan(&mut self, statement: &Statement, params: &[Option<SqlType>]) -> Result<Arc<Planned>, SqlError> {
        let catalog = self.catalog();
        let active = Arc::clone(self.settings.active());
        let key = PlanKey {
            text: statement.text().into(),
            database: self.database,
            params: params.to_vec(),
            planning: Arc::clone(&active.planning),
        };
        let cacheable = matches!(statement.command(), Command::Query(_)) || statement.command().writes_rows();
        if cacheable && let Some(found) = self.instance.plans().find(&key, &catalog) {
            return Ok(found);
        }
        let much = statement.text().len() >= BLOCKING_BYTES_MIN;
        if let Some(planned) = blocking_if(much, || self.plan_point(statement, params)) {
            let planned = Arc::new(planned);
            self.instance.plans().insert(key, &planned);
            return Ok(planned);
        }
        let planning = Arc::clone(&active.planning);
        let plain = |kind, columns: Option<Vec<OutputColumn>>| Planned {
            catalog: Arc::clone(&catalog),
            planning: Arc::clone(&planning),
            params: vec![],
            columns: columns.map(Into::into),
            kind,
            volatile: false,
        };
        self.uses_system = false;
        let mut planned = match statement.command() {
            Command::Query(query) if query.locks.is_empty() => self.plan_query(statement, query, params)?,
            Command::Query(query) => self.plan_locking(statement, query, params)?,
            Command::Insert(insert) => self.plan_insert(statement, insert, params)?,
            Command::Update(update) => self.plan_update(statement, update, params)?,
            Command::Delete(delete) => self.plan_delete(statement, delete, params)?,
            Command::Merge(merge) => self.plan_merge(statement, merge, params)?,
            Command::With(query) => self.plan_with(statement, query, params)?,
            Command::Explain(explain) => {
                let inner = self.prepare_inner(&explain.statement, params)?;
                let columns = vec![OutputColumn::plain("QUERY PLAN", SqlType::Text)];
                // EXECUTE brings the values itself.
                let params = match explain.statement.command() {
                    Command::Execute { .. } => vec![],
                    _ => inner.params.clone(),
                };
                Planned { params, volatile: true, ..plain(Kind::Explain(inner), Some(columns)) }
            }
            Command::Declare(declare) => {
                let query = self.prepare_inner(&declare.statement, params)?;
                Planned { params: query.params.clone(), volatile: true, ..plain(Kind::Declare(query), None) }
            }
            Command::Fetch(fetch) if !fetch.moves => {
                Planned { columns: self.cursor_columns(&fetch.name), ..plain(Kind::Command, None) }
            }
            Command::Show(name) => plain(Kind::Command, Some(self.show_columns(name.as_deref())?)),
            Command::Execute { name, .. } => {
                let columns = self.named(name)?.columns.clone();
                Planned { columns, ..plain(Kind::Command, None) }
            }
            _ => plain(Kind::Command, None),
        };
        planned.volatile |= self.uses_system;
        let planned = Arc::new(planned);
        if cacheable && !planned.volatile && !mentions_clock(statement.text()) {
            self.instance.plans().insert(key, &planned);
        }
        Ok(planned)
    }

    /// The statement that EXPLAIN or PREPARE is about. EXECUTE stands for the statement it names.
    pub(crate) fn prepare_inner(&mut self, statement: &Statement, params: &[Option<SqlType>]) -> Result<Arc<Prepared>, SqlError> {
        if let Command::Execute { name, .. } = statement.command() {
            return self.named(name);
        }
        Ok(Prepared::of(statement, self.plan(statement, params)?))
    }

    /// A statement prepared under a name. Errors: 26000.
    pub(crate) fn named(&self, name: &str) -> Result<Arc<Prepared>, SqlError> {
        self.statements.get(name).cloned().ok_or_else(|| {
            SqlError::new(SqlState::INVALID_SQL_STATEMENT_NAME, format!("prepared statement \"{name}\" does not exist"))
        })
    }

    /// Keeps a prepared statement under a name, for EXECUTE and for [`Session::prepared`]. Errors: 42P05 if the name is taken.
    pub fn keep_prepared(&mut self, name: &str, prepared: Arc<Prepared>) -> Result<(), SqlError> {
        if self.statements.contains_key(name) {
            let message = format!("prepared statement \"{name}\" already exists");
            return Err(SqlError::new(SqlState::DUPLICATE_PREPARED_STATEMENT, message));
        }
        self.statements.insert(name.to_owned(), prepared);
        Ok(())
    }

    /// The statement kept under a name. Errors: 26000.
    pub fn prepared(&self, name: &str) -> Result<Arc<Prepared>, SqlError> {
        self.named(name)
    }

    /// Forgets the statement kept under a name, if there is one.
    pub fn forget_prepared(&mut self, name: &str) {
        self.statements.remove(name);
    }
}

/// Whether a text may hold a date constant whose meaning depends on the day it is planned.
fn mentions_clock(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let opens_constant = |at: usize| lower[..at].trim_end().ends_with(['\'', '$']);
    ["now", "today", "tomorrow", "yesterday"].iter().any(|word| lower.match_indices(word).any(|(at, _)| opens_constant(at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_of_the_clock_are_seen_in_any_spelling() {
        for text in ["select 'now'::date", "select ' Today'::date", "select $$yesterday$$::date", "select $x$ tomorrow$x$::date"]
        {
            assert!(mentions_clock(text), "{text}");
        }
        for text in ["select now()", "select 'I know'", "select today from t"] {
            assert!(!mentions_clock(text), "{text}");
        }
    }
}

//! Queries of system relations as statements: planned once, run any number of times.

use std::sync::Arc;

use engine::Cancel;
use sqlparser::ast::Query;
use types::{Datum, SqlError, SqlState, SqlType};

use super::bind::{self, Bound};
use super::kind::{self, Kind};
use super::rows::SystemRows;
use super::run::Run;
use super::store::Store;
use super::value::Value;
use super::{Moment, cast, route};
use crate::answer::{Answer, Rows};
use crate::names::Scope;
use crate::parse::Statement;
use crate::prepare::{self, OutputColumn, Planned};
use crate::session::Session;

/// A query of system relations, bound.
pub(crate) struct SystemPlan {
    bound: Bound,
}

impl SystemPlan {
    /// A query without parameters that was not a client's.
    pub(crate) fn of_query(names: Scope<'_>, query: &Query) -> Result<SystemPlan, SqlError> {
        Ok(SystemPlan { bound: bind::bind(names, None, query, &[])? })
    }

    /// The types of `$1`, `$2`, ... by oid.
    pub(crate) fn params(&self) -> &[Kind] {
        &self.bound.params
    }

    /// The columns of the result.
    pub(crate) fn columns(&self) -> Arc<[OutputColumn]> {
        let column = |c: &super::relation::Column| OutputColumn {
            type_oid: c.kind,
            ..OutputColumn::plain(c.name.as_ref(), kind::shown(c.kind))
        };
        self.bound.plan.columns.iter().map(column).collect()
    }

    /// Runs it. Errors: what values and casts in it meet, 54000 for too many rows on the way, 57014.
    pub(crate) fn run(&self, store: Arc<Store>, params: &[Datum], cancel: Option<&Cancel>) -> Result<SystemRows, SqlError> {
        let mut values = Vec::with_capacity(params.len());
        for (datum, kind) in params.iter().zip(self.params()) {
            values.push(match datum {
                // Types that have no values of their own elsewhere come as texts.
                Datum::Text(text) if !kind::is_string(*kind) => cast::parse(&store, text, *kind)?,
                datum => Value::of_datum(datum.clone()),
            });
        }
        let rows = Run::new(&store, &values, cancel).query(&self.bound.plan, None)?;
        let kinds = self.bound.plan.columns.iter().map(|c| c.kind).collect();
        Ok(SystemRows::new(rows, kinds, store))
    }
}

impl Session {
    /// The plan of a query if it is about the system; `None` if it is not, or has to be planned as others are.
    pub(crate) fn plan_system(
        &mut self,
        statement: &Statement,
        query: &Query,
        params: &[Option<SqlType>],
    ) -> Option<Result<Planned, SqlError>> {
        let catalog = self.catalog();
        let scope = self.scope(&catalog);
        if !route::uses(scope, query).is_system() {
            return None;
        }
        let declared: Vec<Option<Kind>> = params.iter().map(|t| t.map(SqlType::oid)).collect();
        let bound = match bind::bind(scope, Some(statement.source()), query, &declared) {
            Ok(bound) => bound,
            // DataFusion may have what this module has not.
            Err(error) if matches!(error.state, SqlState::FEATURE_NOT_SUPPORTED | SqlState::UNDEFINED_FUNCTION) => {
                return match self.analytic_plan(Some(statement), query, params) {
                    Ok(_) => None,
                    Err(_) => Some(Err(error)),
                };
            }
            Err(error) => return Some(Err(error)),
        };
        let plan = SystemPlan { bound };
        Some(Ok(Planned {
            planning: Arc::clone(&self.settings.active().planning),
            params: plan.params().iter().map(|k| kind::shown(*k)).collect(),
            columns: Some(plan.columns()),
            kind: prepare::Kind::System(plan),
            volatile: false,
            catalog,
        }))
    }

    pub(crate) fn run_system(&mut self, planned: &Planned, plan: &SystemPlan, params: &[Datum]) -> Result<Answer, SqlError> {
        let rows = self.system_rows(plan, params)?;
        Ok(Answer::Rows(Rows::system(planned.columns.clone().unwrap_or_default(), rows)))
    }

    pub(crate) fn system_rows(&mut self, plan: &SystemPlan, params: &[Datum]) -> Result<SystemRows, SqlError> {
        let store = Arc::new(Store::new(Moment::of(self)));
        let cancel = Arc::clone(&self.cancel);
        env::blocking(|| plan.run(store, params, Some(&cancel)))
    }
}

//! SELECT and its kin.

use std::sync::Arc;

use analytic::{AnalyticPlan, PlanContext, SessionInfo};
use sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Query, SelectItem, SetExpr};
use types::{Datum, SqlError, SqlState, SqlType};

use crate::answer::{Answer, Rows};
use crate::evaluate::Simple;
use crate::parse::Statement;
use crate::pg_catalog::System;
use crate::prepare::{Kind, OutputColumn, Planned};
use crate::session::Session;
use crate::watch::Watch;

/// How a query is run.
pub(crate) enum QueryPlan {
    Analytic(AnalyticPlan),
    /// `SELECT set_config(name, value, is_local), ...`: it changes the session, so the session runs it.
    SetConfig(Vec<SettingCall>),
}

/// A call of `set_config`, or of `current_setting` beside one, in the order of the list.
pub(crate) struct SettingCall {
    title: String,
    sets: bool,
    arguments: Vec<Simple>,
}

impl Session {
    pub(crate) fn plan_query(
        &mut self,
        statement: &Statement,
        query: &Query,
        params: &[Option<SqlType>],
    ) -> Result<Planned, SqlError> {
        let catalog = self.catalog();
        let planning = Arc::clone(&self.settings.active().planning);
        if let Some(calls) = setting_calls(query, &self.dates())? {
            let columns = calls.iter().map(|call| OutputColumn::plain(call.title.as_str(), SqlType::Text)).collect();
            let parameters = calls.iter().flat_map(|call| &call.arguments).filter_map(|s| match s {
                Simple::Parameter(at) => Some(at + 1),
                _ => None,
            });
            let count = parameters.max().unwrap_or(0);
            let params = (0..count).map(|at| params.get(at).copied().flatten().unwrap_or(SqlType::Text)).collect();
            let kind = Kind::Query(QueryPlan::SetConfig(calls));
            return Ok(Planned { catalog, planning, params, columns: Some(columns), kind, volatile: true });
        }
        if let Some(planned) = self.plan_system(statement, query, params) {
            return planned;
        }
        let (plan, volatile) = self.analytic_plan(Some(statement), query, params)?;
        let columns = Some(output_columns(&plan));
        Ok(Planned {
            catalog,
            planning,
            params: plan.params().to_vec(),
            columns,
            kind: Kind::Query(QueryPlan::Analytic(plan)),
            volatile,
        })
    }

    pub(crate) async fn run_query(
        &mut self,
        planned: &Planned,
        plan: &QueryPlan,
        params: &[Datum],
        watch: &mut Option<Watch>,
    ) -> Result<Answer, SqlError> {
        let columns = planned.columns.clone().unwrap_or_default();
        match plan {
            QueryPlan::Analytic(plan) => {
                let stream = plan.execute(self.execution(params, Arc::default())?)?;
                let sees_own = self.transaction.inner().is_some_and(|inner| inner.has_changes());
                Ok(Answer::Rows(Rows::query(columns, stream, watch.take(), sees_own)))
            }
            QueryPlan::SetConfig(calls) => {
                let mut row = Vec::with_capacity(calls.len());
                for call in calls {
                    let text = |at: usize| call.arguments.get(at).map_or(Ok(None), |simple| argument(simple, params));
                    let shown = match text(0)? {
                        None if call.sets => {
                            return Err(SqlError::new(SqlState::NULL_VALUE_NOT_ALLOWED, "SET requires parameter name"));
                        }
                        None => None,
                        Some(name) if call.sets => {
                            let is_local = text(2)?.and_then(|t| crate::settings::value::boolean(&t)).unwrap_or(false);
                            Some(self.set_config(&name, &text(1)?.unwrap_or_default(), is_local)?)
                        }
                        Some(name) => Some(self.setting(&name)?),
                    };
                    row.push(shown.map_or(Datum::Null, |shown| Datum::Text(shown.into())));
                }
                Ok(Answer::Rows(Rows::ready(columns, "SELECT", vec![row])))
            }
        }
    }

    /// What a query of this session is planned in.
    pub(crate) fn plan_context(&mut self, statement: Option<&Statement>) -> Result<(PlanContext, Arc<System>), SqlError> {
        let system = Arc::new(System::of(self));
        let catalog = self.catalog();
        let (catalog, search_path) = self.locals.scope(catalog, self.database, &self.settings.active().search_path)?;
        let context = PlanContext {
            catalog,
            database: self.database,
            search_path,
            system: Arc::clone(&system) as Arc<dyn analytic::SystemTables>,
            session: Arc::new(SessionInfo {
                user: self.login.user.clone(),
                database: self.login.database.clone(),
                dates: self.dates(),
            }),
            cancel: Arc::clone(&self.cancel),
            text: statement.map_or_else(|| "".into(), |s| s.source().shared_text()),
        };
        Ok((context, system))
    }
}

/// The columns of a plan's result, for clients.
pub(crate) fn output_columns(plan: &AnalyticPlan) -> Arc<[OutputColumn]> {
    let column = |c: &analytic::OutputColumn| OutputColumn {
        type_modifier: match c.data_type {
            SqlType::Numeric { .. } if c.origin.is_none() && !c.cast => -1,
            data_type => data_type.typmod(),
        },
        table_oid: c.origin.map_or(0, |(table, _)| table.0),
        attnum: c.origin.map_or(0, |(_, column)| i16::try_from(column.0).unwrap_or(0)),
        ..OutputColumn::plain(c.name.clone(), c.data_type)
    };
    plan.columns().iter().map(column).collect()
}

/// The text of an argument; `None` for NULL.
fn argument(simple: &Simple, params: &[Datum]) -> Result<Option<String>, SqlError> {
    let value = match simple {
        Simple::Untyped(s) => return Ok(Some(s.to_string())),
        Simple::Constant(v) => v,
        Simple::Parameter(at) => params.get(*at).unwrap_or(&Datum::Null),
        Simple::Clock(_) => return Err(SqlError::bug("set_config of a time")),
    };
    Ok((!value.is_null()).then(|| types::text::to_string(value.as_ref())))
}

/// The calls of a query that consists of `set_config` calls with simple arguments, and maybe of `current_setting` ones.
fn setting_calls(query: &Query, dates: &types::text::Session) -> Result<Option<Vec<SettingCall>>, SqlError> {
    let SetExpr::Select(select) = query.body.as_ref() else { return Ok(None) };
    if !select.from.is_empty() || select.selection.is_some() || query.with.is_some() || select.projection.is_empty() {
        return Ok(None);
    }
    let mut calls = Vec::new();
    for item in &select.projection {
        let (function, alias) = match item {
            SelectItem::UnnamedExpr(Expr::Function(function)) => (function, None),
            SelectItem::ExprWithAlias { expr: Expr::Function(function), alias } => (function, Some(alias.value.clone())),
            _ => return Ok(None),
        };
        let written = function.name.to_string();
        let name = written.strip_prefix("pg_catalog.").unwrap_or(&written);
        let FunctionArguments::List(list) = &function.args else { return Ok(None) };
        let sets = match (name, list.args.len()) {
            ("set_config", 3) => true,
            ("current_setting", 1) => false,
            _ => return Ok(None),
        };
        let mut arguments = Vec::new();
        for argument in &list.args {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = argument else { return Ok(None) };
            match Simple::of(expr, dates)? {
                Some(simple) if !matches!(simple, Simple::Clock(_)) => arguments.push(simple),
                _ if !sets => return Ok(None),
                _ => return Err(SqlError::unsupported("set_config with arguments that are neither constants nor parameters")),
            }
        }
        calls.push(SettingCall { title: alias.unwrap_or_else(|| name.to_owned()), sets, arguments });
    }
    // What only asks is for the system's functions.
    Ok(calls.iter().any(|call| call.sets).then_some(calls))
}

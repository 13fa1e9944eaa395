//! A planned query: its types settled, its names resolved, ready to be run any number of times.
//!
//! ```text
//! plan      AST -> prepared AST -> logical plan -> analyzed (types, casts)            once
//! execute   parameters in, tables of one snapshot in -> optimized -> physical -> run  every time
//! ```
//!
//! Optimizing again every time costs 0.1 to some ms and lets the plan follow the parameters and the data.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::expr::Alias;
use datafusion::logical_expr::{Cast, Expr, InvariantLevel, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast::{Query, Statement};
use datafusion::sql::sqlparser::parser::Parser;
use expr::dialect::DIALECT;
use jiff::tz::TimeZone;
use txn::Cancel;
use types::{Datum, SqlError, SqlState, SqlType, TableId, arrow_form};

use crate::analytic::Analytic;
use crate::context::PlanContext;
use crate::cte::{self, Cte};
use crate::output::OutputColumn;
use crate::parameters::{self, Known};
use crate::prepare::cte::TakenOut;
use crate::resolve::{Met, Names};
use crate::source::Tables;
use crate::statistics::QueryStats;
use crate::stream::{self, BatchStream};
use crate::{apply, bind, errors, names, output, prepare};

/// A query that can be run, see the module's head.
pub struct AnalyticPlan {
    pub(crate) analytic: Arc<Analytic>,
    pub(crate) plan: LogicalPlan,
    /// The queries of WITH that it computes once; each reads those before it.
    ctes: Vec<Cte>,
    columns: Vec<OutputColumn>,
    params: Vec<SqlType>,
    arrays: Vec<(usize, SqlType)>,
    relations: Vec<TableId>,
    pub(crate) text: Arc<str>,
    /// The session's time zone, unless it is UTC.
    pub(crate) zone: Option<String>,
}

/// The plans of one execution: with constants where parameters were.
#[derive(Clone)]
pub(crate) struct Ready {
    pub(crate) plan: LogicalPlan,
    pub(crate) ctes: Vec<Cte>,
}

impl Ready {
    /// Whether it is another each time, see [`apply::is_volatile`].
    pub(crate) fn is_volatile(&self) -> Result<bool> {
        let mut plans = self.ctes.iter().map(|cte| &cte.plan).chain([&self.plan]);
        plans.try_fold(false, |found, plan| Ok(found || apply::is_volatile(plan)?))
    }
}

/// What one execution is given.
pub struct Execution<'a> {
    /// The tables, at the statement's snapshot.
    pub view: Arc<dyn Tables>,
    /// The values of `$1`, `$2`, ..., each of its parameter's type or NULL.
    pub params: &'a [Datum],
    /// When the transaction began, microseconds since 1970-01-01 UTC: `now()`.
    pub now_micros: i64,
    /// Set to stop the query with 57014.
    pub cancel: Arc<Cancel>,
    /// Counts what the query does.
    pub stats: Arc<QueryStats>,
}

impl AnalyticPlan {
    /// The columns of the result.
    pub fn columns(&self) -> &[OutputColumn] {
        &self.columns
    }

    /// The types of the parameters.
    pub fn params(&self) -> &[SqlType] {
        &self.params
    }

    /// The parameters that are the text of an array, by position, and the type of its elements.
    pub fn arrays(&self) -> &[(usize, SqlType)] {
        &self.arrays
    }

    /// The tables and views the query reads, each once. The plan is good as long as their definitions are the same.
    pub fn relations(&self) -> &[TableId] {
        &self.relations
    }

    /// Starts the query on its own threads; returns at once. Errors of planning and running come out of the stream.
    ///
    /// Errors here: a wrong number of parameters.
    pub fn execute(&self, execution: Execution<'_>) -> std::result::Result<BatchStream, SqlError> {
        let query = self.with_values(execution.params)?;
        Ok(stream::start(self, query, execution))
    }

    /// The plan with constants where its parameters were.
    pub(crate) fn with_values(&self, params: &[Datum]) -> std::result::Result<Ready, SqlError> {
        if params.len() != self.params.len() {
            let message = format!("the query needs {} parameters and was given {}", self.params.len(), params.len());
            return Err(SqlError::new(SqlState::PROTOCOL_VIOLATION, message));
        }
        let with_values = |plan: &LogicalPlan| {
            parameters::substitute(plan.clone(), &self.params, params).map_err(|error| errors::sql_error(&error, &self.text))
        };
        let cte = |cte: &Cte| Ok(Cte { plan: with_values(&cte.plan)?, ..cte.clone() });
        Ok(Ready {
            plan: with_values(&self.plan)?,
            ctes: self.ctes.iter().map(cte).collect::<std::result::Result<_, SqlError>>()?,
        })
    }
}

/// Plans a query; `keyed` are the tables whose rows' keys are wanted, see [`crate::dml::keyed_name`]. A panic of the planner is an error of
/// the statement: XX000.
pub(crate) fn plan(
    analytic: &Arc<Analytic>,
    context: &PlanContext,
    query: &Query,
    keyed: &[TableId],
    declared: &[Option<SqlType>],
) -> std::result::Result<AnalyticPlan, SqlError> {
    // What it has made so far is dropped, and it shares nothing that is left half-done.
    let planning = AssertUnwindSafe(|| planned(analytic, context, query, keyed, declared));
    catch_unwind(planning).unwrap_or_else(|panic| Err(stream::panicked(panic.as_ref())))
}

fn planned(
    analytic: &Arc<Analytic>,
    context: &PlanContext,
    query: &Query,
    keyed: &[TableId],
    declared: &[Option<SqlType>],
) -> std::result::Result<AnalyticPlan, SqlError> {
    let met = Met::default();
    let names = Names::new(analytic.shared(), context, keyed, &met);
    let mut prepared = query.clone();
    prepare::query(&mut prepared, &context.text, &names)?;
    let taken = names.take_out(&mut prepared)?;
    let fail = |error: DataFusionError| errors::sql_error(&error, &context.text);
    let mut count = parameters::count(&prepared, declared.len())?;
    for taken in &taken {
        count = parameters::count(&taken.query, count)?;
    }
    let mut known = Known::new(declared, count);
    let mut logical = analyzed(&names, &prepared, &taken, &known).map_err(fail)?;
    if !known.is_complete() {
        // The first plan showed what the others are compared with, cast to, assigned to; plan again with those types.
        for cte in met.ctes() {
            known.infer(&cte.plan).map_err(fail)?;
        }
        known.infer(&logical).map_err(fail)?;
        known.complete();
        logical = analyzed(&names, &prepared, &taken, &known).map_err(fail)?;
    }
    let columns = output::columns(&logical)?;
    let ctes = cte::needed(met.ctes(), &logical).map_err(fail)?;
    let mut arrays = parameters::arrays(&logical).map_err(fail)?;
    for cte in &ctes {
        arrays.extend(parameters::arrays(&cte.plan).map_err(fail)?);
    }
    Ok(AnalyticPlan {
        analytic: Arc::clone(analytic),
        ctes,
        plan: logical,
        columns,
        params: known.types(),
        arrays,
        relations: met.used(),
        text: Arc::clone(&context.text),
        zone: zone_name(&context.session.dates.zone),
    })
}

/// A zone's name, as [`types::zone::named`] reads it; `None` for UTC.
pub(crate) fn zone_name(zone: &TimeZone) -> Option<String> {
    if *zone == TimeZone::UTC {
        return None;
    }
    let Ok(offset) = zone.to_fixed_offset() else {
        return zone.iana_name().map(str::to_owned);
    };
    // A POSIX rule counts west of UTC.
    let seconds = offset.seconds();
    let clock = |sign: char| {
        let seconds = seconds.abs();
        format!("{sign}{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    };
    let (east, west) = if seconds < 0 { ('-', '+') } else { ('+', '-') };
    Some(format!("<{east}{:02}>{}", seconds.abs() / 3600, clock(west)))
}

/// A view's text.
pub(crate) fn parsed(text: &str) -> Result<Box<Query>> {
    let parsed = Parser::new(&DIALECT).try_with_sql(text).and_then(|mut parser| parser.parse_query());
    parsed.map_err(|error| DataFusionError::SQL(Box::new(error), None))
}

/// The plan of a view's text, not yet analyzed.
pub(crate) fn logical_plan_of_text(names: &Names<'_>, text: &str) -> Result<LogicalPlan> {
    let mut query = parsed(text)?;
    prepare::query(&mut query, text, names).map_err(errors::raise)?;
    let known = Known::new(&[], 0);
    for taken in names.take_out(&mut query).map_err(errors::raise)? {
        define(names, &taken, &known)?;
    }
    logical_plan(names, &query, &known)
}

/// Plans a query of WITH that is computed once.
fn define(names: &Names<'_>, taken: &TakenOut, known: &Known) -> Result<()> {
    let plan = settled(names, logical_plan(names, &taken.query, known)?, false)?;
    names.define(taken, plan)
}

fn logical_plan(names: &Names<'_>, query: &Query, known: &Known) -> Result<LogicalPlan> {
    let options = ParserOptions::from(&names.shared().state().config_options().sql_parser);
    let planner = SqlToRel::new_with_options(names, options);
    let mut context = PlannerContext::new().with_prepare_param_data_types(known.fields());
    planner.sql_statement_to_plan_with_context(Statement::Query(Box::new(query.clone())), &mut context)
}

/// The plan with every type settled and its output in the Arrow types of SQL.
fn analyzed(names: &Names<'_>, query: &Query, taken: &[TakenOut], known: &Known) -> Result<LogicalPlan> {
    names.start();
    for taken in taken {
        define(names, taken, known)?;
    }
    settled(names, logical_plan(names, query, known)?, true)
}

/// `is_output`: what no client can be sent is shown as text.
fn settled(names: &Names<'_>, plan: LogicalPlan, is_output: bool) -> Result<LogicalPlan> {
    let shared = names.shared();
    bind::check_recursion(&plan)?;
    let plan = canonical_output(expr::arrow_driver::settle_constants(plan)?, is_output)?;
    names.check()?;
    let options = shared.state().config_options();
    let plan = shared.analyzer.rules.iter().try_fold(plan, |plan, rule| {
        names.check()?;
        rule.analyze(plan, options)
    })?;
    bind::check(&plan)?;
    // What cannot be run is said now.
    apply::rewrite(plan.clone())?.check_invariants(InvariantLevel::Executable)?;
    Ok(plan)
}

/// Casts output columns to the Arrow types of their SQL types: `Utf8` to `Utf8View`, NULL to text, for a client arrays to their text.
fn canonical_output(plan: LogicalPlan, is_output: bool) -> Result<LogicalPlan> {
    let schema = Arc::clone(plan.schema());
    let mut changed = false;
    let mut exprs = Vec::with_capacity(schema.fields().len());
    for (at, field) in schema.fields().iter().enumerate() {
        let column = Expr::Column(datafusion::common::Column::from(schema.qualified_field(at)));
        let expr = match arrow_form::sql_type_of(field) {
            Some(t) if arrow_form::data_type(t) == *field.data_type() => column,
            None if !is_output => column,
            Some(t) => {
                changed = true;
                let target = Arc::new(arrow_form::field("", t, true));
                aliased(Expr::Cast(Cast::new_from_field(Box::new(column), target)), field.name())
            }
            None => {
                changed = true;
                let text = expr::arrow_driver::text_of_nested(column, field.data_type()).ok_or_else(|| {
                    let name = names::shown(field.name()).to_owned();
                    errors::raise(SqlError::unsupported(format!("column \"{name}\" has a type no client can be sent")))
                })?;
                aliased(text, field.name())
            }
        };
        exprs.push(expr);
    }
    if changed { LogicalPlanBuilder::from(plan).project(exprs)?.build() } else { Ok(plan) }
}

fn aliased(expr: Expr, name: &str) -> Expr {
    Expr::Alias(Alias::new(expr, None::<datafusion::common::TableReference>, name))
}

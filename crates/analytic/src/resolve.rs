//! Names: what a relation, a function or a type in a query stands for.
//!
//! ```text
//! t              pg_catalog (unless listed), then each schema of the search path
//! s.t            schema s of this database, else a system schema
//! d.s.t          d must be this database
//! ```
//!
//! 1. A view is planned where it is used, by its own text; its names were made complete when it was created.
//! 2. Every table and view met is noted: a plan is stale once one of them changes.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::datatypes::{DataType, Schema, SchemaRef};
use catalog::{Relation, Table, View};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchema, DataFusionError, Result, TableReference};
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::logical_expr::expr::Alias;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, RelationPlanner, TypePlanner};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    AggregateUDF, Cast, Expr, ExprSchemable, HigherOrderUDF, LogicalPlan, LogicalPlanBuilder, ScalarUDF, TableSource, TableType,
    Volatility, WindowUDF,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::scalar::ScalarValue;
use datafusion::sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast::{self, ObjectName, Query};
use parking_lot::Mutex;
use types::{SqlError, SqlState, SqlType, TableId, arrow_form};

use crate::context::PlanContext;
use crate::cte::{Cte, CteTable};
use crate::dependencies::Relations;
use crate::errors;
use crate::prepare::cte::{self, TakenOut, Volatile};
use crate::prepare::{inner_with, outer_alias, size};
use crate::scan::TableProvider;
use crate::session::Shared;

mod volatile;

/// Views in views in views, at most: PostgreSQL stops at its stack's depth.
const VIEW_DEPTH_MAX: usize = 64;

/// The schemas that are the system's.
const SYSTEM_SCHEMAS: [&str; 2] = ["pg_catalog", "information_schema"];

/// The names a query can use, for DataFusion's planner.
pub(crate) struct Names<'a> {
    shared: &'a Arc<Shared>,
    context: &'a PlanContext,
    /// The tables that show their rows' keys, see `dml::keyed_name`.
    keyed: &'a [TableId],
    depth: usize,
    met: &'a Met,
    relation_planners: [Arc<dyn RelationPlanner>; 1],
}

/// What a relation's name stands for.
enum Found {
    /// A table, and whether its rows' keys are shown.
    Table(Arc<Table>, bool),
    View(Arc<View>),
    /// A query of WITH, or a relation of the system.
    Source(Arc<dyn TableSource>),
}

/// What was met while names were looked up.
#[derive(Default)]
pub(crate) struct Met {
    used: Mutex<BTreeSet<TableId>>,
    /// Queries of WITH that are computed once, with the tables they are to others.
    ctes: Mutex<Vec<(Arc<Cte>, Arc<CteTable>)>>,
    ctes_named: AtomicUsize,
    /// How many relations there will be in the plan.
    relations: AtomicUsize,
}

impl Met {
    /// In an order in which each reads only those before it.
    pub(crate) fn ctes(&self) -> Vec<Arc<Cte>> {
        self.ctes.lock().iter().map(|(cte, _)| Arc::clone(cte)).collect()
    }

    /// The tables and views, each once.
    pub(crate) fn used(&self) -> Vec<TableId> {
        self.used.lock().iter().copied().collect()
    }
}

impl<'a> Names<'a> {
    pub(crate) fn new(shared: &'a Arc<Shared>, context: &'a PlanContext, keyed: &'a [TableId], met: &'a Met) -> Names<'a> {
        Names { shared, context, keyed, depth: 0, met, relation_planners: [Arc::new(Relations::default())] }
    }

    /// Planning begins, perhaps once more.
    pub(crate) fn start(&self) {
        self.met.ctes.lock().clear();
        self.met.relations.store(0, Ordering::Relaxed);
    }

    /// Takes the queries of WITH that are computed once out of a prepared query. Errors: 54001.
    pub(crate) fn take_out(&self, query: &mut Query) -> std::result::Result<Vec<TakenOut>, SqlError> {
        let is_volatile = |name: &ObjectName| {
            let function = crate::names::last(name).and_then(|name| self.get_function_meta(&name));
            function.is_some_and(|function| function.signature().volatility == Volatility::Volatile)
        };
        let known = RefCell::new(HashMap::new());
        let view = |name: &ObjectName| self.is_volatile_view(name, &is_volatile, &known);
        inner_with::tell_apart(query);
        outer_alias::tell_apart(query, &self.context.text, &|name| self.columns(name))?;
        let taken = cte::take_out(query, Volatile { function: &is_volatile, view: &view }, &self.met.ctes_named);
        taken.iter().map(|taken| &taken.query).chain([&*query]).try_for_each(size::check)?;
        Ok(taken)
    }

    /// Makes a query of WITH a table for what is planned next.
    pub(crate) fn define(&self, taken: &TakenOut, plan: LogicalPlan) -> Result<()> {
        let columns: Vec<String> = taken.columns.iter().map(crate::names::folded).collect();
        let width = plan.schema().fields().len();
        if columns.len() > width {
            let message =
                format!("WITH query \"{}\" has {width} columns available but {} columns specified", taken.name, columns.len());
            return Err(errors::raise(SqlError::new(SqlState::INVALID_COLUMN_REFERENCE, message)));
        }
        let columns = apart(columns, &plan);
        let table = Arc::new(CteTable::new(&taken.relation, &plan, &columns));
        let cte = Arc::new(Cte { relation: taken.relation.clone(), name: taken.name.clone(), plan });
        self.met.ctes.lock().push((cte, table));
        Ok(())
    }

    /// Errors: 54001, there are too many relations; 57014.
    pub(crate) fn check(&self) -> Result<()> {
        if self.met.relations.load(Ordering::Relaxed) > size::RELATIONS_MAX {
            return Err(errors::raise(size::too_complex()));
        }
        if self.context.cancel.is_set() {
            return Err(errors::raise(crate::stop::canceled()));
        }
        Ok(())
    }

    /// The columns of a table or view; `None` if there is none by this name.
    pub(crate) fn columns(&self, name: &ObjectName) -> Option<Vec<String>> {
        Some(match self.find(&reference(name)?).ok()? {
            Found::Table(table, _) => table.columns.iter().map(|column| column.name.clone()).collect(),
            Found::View(view) => view.columns.iter().map(|column| column.name.clone()).collect(),
            Found::Source(source) => source.schema().fields().iter().map(|field| field.name().clone()).collect(),
        })
    }

    /// A table by this name; `None` if there is none, or it is a view or the system's.
    pub(crate) fn stored(&self, name: &ObjectName) -> Option<Arc<Table>> {
        match self.find(&reference(name)?).ok()? {
            Found::Table(table, _) => Some(table),
            Found::View(_) | Found::Source(_) => None,
        }
    }

    /// The type of a prepared expression without columns; `None` if it cannot be told.
    pub(crate) fn type_of(&self, expr: ast::Expr) -> Option<SqlType> {
        let options = ParserOptions::from(&self.shared.state().config_options().sql_parser);
        let planner = SqlToRel::new_with_options(self, options);
        let planned = planner.sql_to_expr(expr, &DFSchema::empty(), &mut PlannerContext::new()).ok()?;
        let (_, field) = planned.to_field(&DFSchema::empty()).ok()?;
        arrow_form::sql_type_of(&field)
    }

    /// The constants that expressions are, in the session's zone; `None` if one is anything else.
    fn constants(&self, args: &[Expr]) -> Result<Option<Vec<ScalarValue>>> {
        let named = args.iter().enumerate().map(|(at, arg)| arg.clone().alias(format!("column{at}")));
        let plan = LogicalPlanBuilder::empty(true).project(named)?.build()?;
        let mut options = ConfigOptions::clone(self.shared.state().config_options());
        options.execution.time_zone = crate::plan::zone_name(&self.context.session.dates.zone);
        let plan = self.shared.analyzer.execute_and_check(plan, &options, |_, _| {})?;
        let LogicalPlan::Projection(plan) = plan else { return Ok(None) };
        let simplifier = ExprSimplifier::new(SimplifyContext::builder().with_config_options(Arc::new(options)).build());
        let value = |arg: Expr| match simplifier.simplify(arg.unalias())? {
            Expr::Literal(value, _) => Ok(Some(value)),
            _ => Ok(None),
        };
        plan.expr.into_iter().map(value).collect()
    }

    /// `generate_series` of what is known when it runs: an array of the values, unnested.
    fn series(&self, args: Vec<Expr>) -> Result<Arc<dyn TableSource>> {
        let series = expr::arrow_driver::series_list().call(args).alias("generate_series");
        let plan = LogicalPlanBuilder::empty(true).project([series])?.build()?;
        let plan = expr::arrow_driver::settle_constants(plan)?;
        let plan = LogicalPlanBuilder::from(plan).unnest_column("generate_series")?.build()?;
        Ok(Arc::new(ViewSource { schema: Arc::new(plan.schema().as_arrow().clone()), plan }))
    }

    fn relation(&self, name: &TableReference) -> Result<Arc<dyn TableSource>> {
        self.met.relations.fetch_add(1, Ordering::Relaxed);
        self.check()?;
        match self.find(name)? {
            Found::Table(table, with_key) => {
                self.met.used.lock().insert(table.id);
                Ok(provider_as_source(Arc::new(TableProvider::new(table, with_key))))
            }
            Found::View(view) => self.view(&view),
            Found::Source(source) => Ok(source),
        }
    }

    /// What a name stands for, without planning it. Errors: 42P01, 42809.
    fn find(&self, name: &TableReference) -> Result<Found> {
        let context = self.context;
        if let (None, Some((_, table))) =
            (name.schema(), self.met.ctes.lock().iter().find(|(cte, _)| cte.relation == name.table()))
        {
            return Ok(Found::Source(provider_as_source(Arc::clone(table) as _)));
        }
        if let Some(database) = name.catalog()
            && context.catalog.database_by_id(context.database).is_none_or(|d| d.name != database)
        {
            let message = format!("cross-database references are not implemented: \"{}\"", errors::written(name));
            return Err(errors::raise(SqlError::unsupported(message)));
        }
        if name.schema().is_none()
            && let Some(&id) = crate::dml::keyed_at(name.table()).and_then(|at| self.keyed.get(at))
        {
            let table = context.catalog.table_by_id(id).ok_or_else(|| dangling(id))?;
            return Ok(Found::Table(Arc::clone(table), true));
        }
        match name.schema() {
            Some(schema) => {
                if let Some(found) = self.in_schema(schema, name.table())? {
                    return Ok(found);
                }
                let known = SYSTEM_SCHEMAS.contains(&schema) || context.catalog.schema(context.database, schema).is_some();
                if !known {
                    let message = format!("relation \"{}\" does not exist", errors::written(name));
                    let detail = format!("There is no schema \"{schema}\".");
                    return Err(errors::raise(SqlError::new(SqlState::UNDEFINED_TABLE, message).detail(detail)));
                }
            }
            None => {
                let listed = context.search_path.iter().any(|s| s == "pg_catalog");
                let implicit = (!listed).then_some("pg_catalog");
                for schema in implicit.into_iter().chain(context.search_path.iter().map(String::as_str)) {
                    if let Some(found) = self.in_schema(schema, name.table())? {
                        return Ok(found);
                    }
                }
            }
        }
        let error = SqlError::new(SqlState::UNDEFINED_TABLE, format!("relation \"{}\" does not exist", errors::written(name)));
        Err(errors::raise(match self.similar(name.table()) {
            Some(hint) => error.hint(format!("Perhaps you meant to reference the table \"{hint}\".")),
            None => error,
        }))
    }

    fn in_schema(&self, schema: &str, name: &str) -> Result<Option<Found>> {
        let catalog = &self.context.catalog;
        if let Some(schema) = catalog.schema(self.context.database, schema) {
            match catalog.relation(schema.id, name) {
                Some(Relation::Table(id)) => {
                    let table = catalog.table_by_id(id).ok_or_else(|| dangling(id))?;
                    return Ok(Some(Found::Table(Arc::clone(table), false)));
                }
                Some(Relation::View(id)) => {
                    let view = catalog.view_by_id(id).ok_or_else(|| dangling(id))?;
                    return Ok(Some(Found::View(Arc::clone(view))));
                }
                Some(Relation::Sequence(id)) => {
                    let sequence = catalog.sequence_by_id(id).ok_or_else(|| dangling(id))?;
                    let provider = self.context.system.sequence(sequence).map_err(errors::raise)?;
                    return Ok(Some(Found::Source(provider_as_source(provider))));
                }
                Some(Relation::PrimaryKey(_) | Relation::Index(_)) => {
                    let message = format!("\"{name}\" is an index");
                    return Err(errors::raise(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message)));
                }
                None => {}
            }
        }
        let system = self.context.system.table(schema, name).transpose().map_err(errors::raise)?;
        Ok(system.map(|table| Found::Source(provider_as_source(table))))
    }

    fn view(&self, view: &Arc<View>) -> Result<Arc<dyn TableSource>> {
        if self.depth == VIEW_DEPTH_MAX {
            let message = format!("views are nested more than {VIEW_DEPTH_MAX} deep");
            return Err(errors::raise(SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, message)));
        }
        self.met.used.lock().insert(view.id);
        let names = Names { depth: self.depth + 1, keyed: &[], relation_planners: [Arc::new(Relations::default())], ..*self };
        let before = self.met.relations.load(Ordering::Relaxed);
        let plan = crate::plan::logical_plan_of_text(&names, &view.query)
            .map_err(|error| error.context(format!("view {}", view.name)))?;
        // What its own WITH has it copy was looked up once.
        let mut scans = 0;
        plan.apply_with_subqueries(|node| {
            scans += usize::from(matches!(node, LogicalPlan::TableScan(_)));
            Ok(TreeNodeRecursion::Continue)
        })?;
        self.met.relations.fetch_max(before + scans, Ordering::Relaxed);
        self.check()?;
        let columns = plan.schema().columns();
        if columns.len() != view.columns.len() {
            return Err(errors::raise(SqlError::bug(format!("view \"{}\" has lost a column", view.name))));
        }
        let output = columns.into_iter().zip(&view.columns).map(|(column, to)| {
            let field = Arc::new(arrow_form::field(&to.name, to.data_type, true));
            let expr = Expr::Cast(Cast::new_from_field(Box::new(Expr::Column(column)), field));
            Expr::Alias(Alias::new(expr, None::<TableReference>, &to.name))
        });
        let plan = LogicalPlanBuilder::from(plan).project(output)?.build()?;
        Ok(Arc::new(ViewSource { schema: Arc::new(plan.schema().as_arrow().clone()), plan }))
    }

    /// A relation of the search path whose name is much like this one.
    fn similar(&self, name: &str) -> Option<String> {
        let context = self.context;
        let schemas = context.search_path.iter().filter_map(|s| context.catalog.schema(context.database, s));
        let names = schemas.flat_map(|schema| {
            let tables = context.catalog.tables_of(schema.id).map(|t| t.name.as_str());
            tables.chain(context.catalog.views_of(schema.id).map(|v| v.name.as_str()))
        });
        errors::closest(name, names).map(str::to_owned)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        self.shared
    }
}

/// The names of all columns, where `columns` names the first ones. A name that several have reads none of them.
fn apart(mut columns: Vec<String>, plan: &LogicalPlan) -> Vec<String> {
    let fields = plan.schema().fields();
    columns.extend(fields.iter().skip(columns.len()).map(|field| field.name().clone()));
    let mut count = HashMap::new();
    columns.iter().for_each(|name| *count.entry(name.clone()).or_insert(0) += 1);
    let one = |(at, name): (usize, String)| if count.get(&name) == Some(&1) { name } else { crate::names::marked(&name, at) };
    columns.into_iter().enumerate().map(one).collect()
}

fn dangling(id: TableId) -> DataFusionError {
    errors::raise(SqlError::bug(format!("the catalog names relation {id} and does not have it")))
}

/// A view: DataFusion puts its plan where its name was.
struct ViewSource {
    schema: SchemaRef,
    plan: LogicalPlan,
}

impl TableSource for ViewSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        Some(Cow::Borrowed(&self.plan))
    }
}

/// DataFusion's own scalar functions that are PostgreSQL's too and answer as it does. Any other that it has by the name of none of
/// ours would be one PostgreSQL does not know, or one it knows as something else.
const SCALAR_FUNCTIONS: [&str; 30] = [
    "acosh",
    "array_append",
    "array_cat",
    "array_dims",
    "array_length",
    "array_ndims",
    "array_position",
    "array_positions",
    "array_prepend",
    "array_remove",
    "array_replace",
    "array_to_string",
    "asinh",
    "atanh",
    "cardinality",
    "cosh",
    "factorial",
    "md5",
    "random",
    "regexp_count",
    "regexp_instr",
    "regexp_like",
    "regexp_match",
    "sha224",
    "sha256",
    "sha384",
    "sha512",
    "sinh",
    "string_to_array",
    "tanh",
];

/// Functions that DataFusion's planner knows by itself.
const PLANNERS_OWN: [&str; 6] = ["grouping", "struct", "unnest", "make_array", "named_struct", "row"];

/// A function's name without the schema all of ours are in.
fn function_name(name: &str) -> &str {
    name.strip_prefix("pg_catalog.").unwrap_or(name)
}

impl ContextProvider for Names<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        self.relation(&name)
    }

    fn get_table_function_source(&self, name: &str, args: Vec<Expr>) -> Result<Arc<dyn TableSource>> {
        let name = function_name(name);
        if name != "generate_series" {
            let message = format!("function {name}() in FROM does not exist");
            return Err(errors::raise(SqlError::new(SqlState::UNDEFINED_FUNCTION, message)));
        }
        if args.iter().any(|arg| arg.any_column_refs() || arg.contains_outer() || matches!(arg, Expr::ScalarSubquery(_))) {
            return Err(errors::raise(SqlError::unsupported("generate_series of columns and subqueries is not supported")));
        }
        match self.constants(&args)? {
            Some(constants) => {
                let table = expr::arrow_driver::series(&constants, &self.context.session.dates);
                table.map(provider_as_source).map_err(errors::raise)
            }
            None => self.series(args),
        }
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.shared.expr_planners
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relation_planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::clone(&self.shared.type_planner))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let name = function_name(name);
        if name == "pg_sleep" {
            return Some(crate::sleep::function());
        }
        // Of text here; `syntax` casts it.
        if name == "gen_random_uuid" {
            return self.shared.state().scalar_functions().get("uuid").cloned();
        }
        expr::arrow_driver::session_function(name, &self.context.session.user, &self.context.session.database)
            .or_else(|| self.context.system.function(name))
            .or_else(|| expr::arrow_driver::scalar_function(name))
            .or_else(|| {
                let known = SCALAR_FUNCTIONS.contains(&name);
                // DataFusion's functions of these names change the first element that matches.
                let theirs = match name {
                    "array_remove" => "array_remove_all",
                    "array_replace" => "array_replace_all",
                    name => name,
                };
                let function = known.then(|| self.shared.state().scalar_functions().get(theirs).cloned()).flatten()?;
                Some(expr::arrow_driver::within_limits(function))
            })
            .or_else(|| {
                let other = self.get_aggregate_meta(name).is_some() || self.get_window_meta(name).is_some();
                (!other && !PLANNERS_OWN.contains(&name)).then(|| expr::arrow_driver::unknown_function(name))
            })
    }

    /// PostgreSQL has no functions of functions.
    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        let name = function_name(name);
        expr::arrow_driver::aggregate_function(name).or_else(|| self.shared.state().aggregate_functions().get(name).cloned())
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.shared.state().window_functions().get(function_name(name)).cloned()
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.shared.state().config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.shared.state().scalar_functions().keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.shared.state().higher_order_functions().keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.shared.state().aggregate_functions().keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.shared.state().window_functions().keys().cloned().collect()
    }
}

fn reference(name: &ObjectName) -> Option<TableReference> {
    let parts: Option<Vec<String>> = name.0.iter().map(|part| part.as_ident().map(crate::names::folded)).collect();
    match parts?.as_slice() {
        [table] => Some(TableReference::bare(table.as_str())),
        [schema, table] => Some(TableReference::partial(schema.as_str(), table.as_str())),
        [database, schema, table] => Some(TableReference::full(database.as_str(), schema.as_str(), table.as_str())),
        _ => None,
    }
}

/// The table behind a scan, if it is one of ours.
pub(crate) fn provider_of(source: &Arc<dyn TableSource>) -> Option<Arc<dyn datafusion::catalog::TableProvider>> {
    source_as_provider(source).ok().filter(|provider| provider.is::<TableProvider>())
}

/// The Arrow schema of a table's SQL columns.
pub(crate) fn sql_schema(table: &Table, with_key: bool) -> SchemaRef {
    let columns = table.columns.iter().map(|c| arrow_form::field(&c.name, c.data_type, !c.not_null));
    let key = with_key.then(|| arrow::datatypes::Field::new(crate::dml::KEY_COLUMN, DataType::BinaryView, false));
    Arc::new(Schema::new(columns.chain(key).collect::<Vec<_>>()))
}

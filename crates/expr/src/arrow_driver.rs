//! The Arrow driver: what DataFusion is given so that it computes as PostgreSQL does.
//!
//! ```text
//! SQL planner     planner     operators become our functions, comparisons get the casts PostgreSQL would make
//!                 sql_types   type names          udf, aggregates   functions by name
//! analyzer        analyze     string constants take their type, casts their meaning
//! execution       udf         vector loops (vector), else the kernel row by row; cast_udf the same for casts
//! ```
//!
//! 1. A string constant, and a parameter whose type is not known yet, is `Utf8`; text is `Utf8View`. That is how the two are told apart.
//! 2. Every result is in the Arrow form of its SQL type (`types::arrow_form`).
//! 3. Errors are `SqlError`s, carried through DataFusion as external errors.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::catalog::TableProvider;
use datafusion::common::DataFusionError;
use datafusion::logical_expr::planner::{ExprPlanner, TypePlanner};
use datafusion::logical_expr::{AggregateUDF, Expr, LogicalPlan, ScalarUDF};
use datafusion::optimizer::AnalyzerRule;
use datafusion::scalar::ScalarValue;
use types::{SqlError, SqlState, SqlType, arrow_form};

use crate::function::{Arg, split_name};
use crate::functions::any;

mod aggregates;
mod analyze;
mod borrowed;
mod cast_udf;
mod equality;
mod limits;
mod nested;
mod planner;
mod read;
mod series;
mod series_list;
mod session;
mod set_operations;
mod sql_types;
mod udf;
mod values;
mod vector;

pub use limits::{GoOn, Limits};
pub use sql_types::{CHAR_OF_ANY_LENGTH, sql_type};
pub use values::{datum, scalar};

/// An error of ours, to travel through DataFusion and Arrow.
pub fn raise(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Adds the rules that give casts and comparisons PostgreSQL's meaning.
pub fn add_analyzer_rules(rules: &mut Vec<Arc<dyn AnalyzerRule + Send + Sync>>) {
    analyze::add(rules);
}

/// A plan whose columns have the types that they will have when it is settled: for what is planned over it.
pub fn with_types(plan: LogicalPlan) -> datafusion::common::Result<LogicalPlan> {
    analyze::with_types(plan)
}

/// Settles what string constants are, in a plan fresh from the SQL planner: before its output columns are looked at.
pub fn settle_constants(plan: LogicalPlan) -> datafusion::common::Result<LogicalPlan> {
    analyze::settle_constants(plan)
}

/// How operators are planned: ours, then `defaults`.
pub fn expr_planners(defaults: &[Arc<dyn ExprPlanner>]) -> Vec<Arc<dyn ExprPlanner>> {
    let ours: Arc<dyn ExprPlanner> = Arc::new(planner::Operators);
    std::iter::once(ours).chain(defaults.iter().cloned()).collect()
}

/// Which Arrow types SQL's type names stand for.
pub fn type_planner() -> Arc<dyn TypePlanner> {
    Arc::new(sql_types::SqlTypes)
}

/// The scalar function `name` (lower case, without a schema, with the constant that `syntax` may have made part of it).
pub fn scalar_function(name: &str) -> Option<Arc<ScalarUDF>> {
    udf::scalar_function(name)
}

/// One of DataFusion's functions that are called as they are, within the limits of its query.
pub fn within_limits(function: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    borrowed::within_limits(function)
}

/// The function that a name of no function stands for: a call of it is refused with its argument types.
pub fn unknown_function(name: &str) -> Arc<ScalarUDF> {
    udf::unknown_function(name)
}

/// A function that answers something about the session.
pub fn session_function(name: &str, user: &str, database: &str) -> Option<Arc<ScalarUDF>> {
    session::function(name, user, database)
}

/// The aggregate function `name`.
pub fn aggregate_function(name: &str) -> Option<Arc<AggregateUDF>> {
    aggregates::find(name)
}

/// The type that values of all these types can be, as in VALUES; `None` among them: a constant in quotes or NULL.
///
/// Errors: 42804, for `what`.
pub fn common_type(what: &str, types: &[Option<SqlType>]) -> Result<SqlType, SqlError> {
    crate::rules::common(types.iter().copied()).ok_or_else(|| mixed(what, types))
}

/// The function from the arguments of `generate_series` to the array of its values, for what is known only when it runs.
pub fn series_list() -> Arc<ScalarUDF> {
    series_list::function()
}

/// `generate_series` of constants, as a table. `session` says what dates in quotes mean. Errors: 42883 for types there is no series of, 22023
/// for a step of zero.
pub fn series(constants: &[ScalarValue], session: &types::text::Session) -> Result<Arc<dyn TableProvider>, SqlError> {
    series::table(constants, session)
}

/// A cast, what it is applied to and the type it casts to, whichever form it has.
pub fn cast_of(expr: &Expr) -> Option<(&Expr, SqlType)> {
    match expr {
        Expr::Cast(cast) => Some((&cast.expr, arrow_form::sql_type_of(&cast.field)?)),
        Expr::ScalarFunction(function) => {
            let cast = function.func.inner().downcast_ref::<cast_udf::CastUdf>()?;
            Some((function.args.first()?, cast.target()))
        }
        _ => None,
    }
}

/// What `x = ANY (array)` compares, `x`, and the array's text.
pub fn array_test_of(expr: &Expr) -> Option<(&Expr, &Expr)> {
    match expr {
        Expr::ScalarFunction(function) if split_name(function.func.name()).0 == any::NAME => match function.args.as_slice() {
            [wanted, array] => Some((wanted, array)),
            _ => None,
        },
        _ => None,
    }
}

/// `expr`, of any type of SQL, cast to `to`.
pub fn cast_to(expr: Expr, to: SqlType) -> Expr {
    cast_udf::cast_expr(expr, to)
}

/// A value of a nested type as text, as PostgreSQL writes arrays. `None` for types it cannot write.
pub fn text_of_nested(expr: Expr, data_type: &DataType) -> Option<Expr> {
    nested::text_of(expr, data_type)
}

fn shown(arg: &Arg) -> String {
    arg.map_or("unknown".into(), |t| t.base_name().to_string())
}

/// The error for a call of a function with types it does not take.
fn undefined(name: &str, args: &[Arg]) -> SqlError {
    if !name.starts_with(|c: char| c.is_ascii_alphabetic())
        && let [a, b] = args
    {
        return undefined_operator(name, *a, *b);
    }
    if let "coalesce" | "greatest" | "least" = name {
        return mixed(&name.to_uppercase(), args);
    }
    let types: Vec<String> = args.iter().map(shown).collect();
    SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("function {name}({}) does not exist", types.join(", ")))
        .hint("No function matches the given name and argument types. You might need to add explicit type casts.")
}

/// The error for values that have no type in common.
fn mixed(what: &str, types: &[Arg]) -> SqlError {
    let names: Vec<String> = types.iter().flatten().map(|t| t.base_name().to_string()).collect();
    let first = names.first().cloned().unwrap_or_default();
    let other = names.iter().find(|name| **name != first).cloned().unwrap_or_default();
    SqlError::new(SqlState::DATATYPE_MISMATCH, format!("{what} types {first} and {other} cannot be matched"))
}

/// The error for an operator that types do not have.
fn undefined_operator(name: &str, a: Arg, b: Arg) -> SqlError {
    SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("operator does not exist: {} {name} {}", shown(&a), shown(&b)))
        .hint("No operator matches the given name and argument types. You might need to add explicit type casts.")
}

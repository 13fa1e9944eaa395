//! Values of expressions that stand alone: in VALUES, in DEFAULT, as arguments of EXECUTE.
//!
//! ```text
//! 42, 'text', NULL, -1, DATE '2020-01-01', now()     a value at once, by the rules of assignment
//! everything else                                    one SELECT for all of them together
//! ```
//!
//! 1. A string constant has no type of its own: it is read as the type it is assigned to.
//! 2. Both ways give the same value; the first is there because most INSERTs need nothing else.

use std::sync::Arc;

use analytic::{AnalyticPlan, Execution, Kept, QueryStats};
use arrow::array::RecordBatch;
use engine::ReadView;
use env::blocking;
use sqlparser::ast::{self, Expr, Query, SelectItem, SetExpr, UnaryOperator, Value};
use types::text::{self, Session as Dates};
use types::{Datum, SqlError, SqlState, SqlType, coerce};

use crate::column::ColumnReader;
use crate::parse::{Statement, sql_type};
use crate::session::Session;

/// Literals that mean the transaction's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// `now()`, `current_timestamp`, `transaction_timestamp()`
    Now,
    /// `current_date`
    Today,
    /// `localtimestamp`
    Local,
}

impl Clock {
    /// The expression's own value, before assignment.
    pub(crate) fn value(self, dates: &Dates) -> Result<Datum, SqlError> {
        let now = Datum::TimestampTz(dates.now.unwrap_or_default());
        match self {
            Clock::Now => Ok(now),
            Clock::Today => coerce::assign_in(now, SqlType::Date, dates),
            Clock::Local => coerce::assign_in(now, SqlType::Timestamp, dates),
        }
    }
}

/// What an expression is, as far as it can be told without planning it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Simple {
    /// A string constant: of whatever type is asked for.
    Untyped(Box<str>),
    /// A constant with a type.
    Constant(Datum),
    /// `$n`, counted from 0.
    Parameter(usize),
    Clock(Clock),
}

impl Simple {
    /// A simple expression, `None` for any other. Errors: a constant that is none of its type.
    pub(crate) fn of(expr: &Expr, dates: &Dates) -> Result<Option<Simple>, SqlError> {
        Ok(match expr {
            Expr::Nested(inner) => return Simple::of(inner, dates),
            Expr::Value(value) => match &value.value {
                Value::Null => Some(Simple::Constant(Datum::Null)),
                Value::Boolean(v) => Some(Simple::Constant(Datum::Bool(*v))),
                Value::Number(digits, _) => number(digits, false)?.map(Simple::Constant),
                Value::Placeholder(name) => parameter(name).map(Simple::Parameter),
                other => string(other).map(|s| Simple::Untyped(s.into())),
            },
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match expr.as_ref() {
                Expr::Value(value) => match &value.value {
                    Value::Number(digits, _) => number(digits, true)?.map(Simple::Constant),
                    _ => None,
                },
                _ => None,
            },
            Expr::TypedString(typed) => match (sql_type(&typed.data_type), string(&typed.value.value)) {
                (Ok(t), Some(s)) => Some(Simple::Constant(text::parse_in(t, s, dates)?)),
                _ => None,
            },
            Expr::Cast {
                kind: ast::CastKind::Cast | ast::CastKind::DoubleColon,
                expr,
                data_type,
                array: false,
                format: None,
            } => {
                let (Expr::Value(value), Ok(t)) = (expr.as_ref(), sql_type(data_type)) else { return Ok(None) };
                match (string(&value.value), t) {
                    // An explicit cast cuts what is too long; leave that to the planner.
                    (_, SqlType::Varchar(_) | SqlType::Char(_)) | (None, _) => None,
                    (Some(s), t) => Some(Simple::Constant(text::parse_in(t, s, dates)?)),
                }
            }
            Expr::Function(function) => clock(function).map(Simple::Clock),
            _ => None,
        })
    }

    /// The value as one of type `to`, by assignment. A parameter's value is its own affair.
    pub(crate) fn assign(&self, to: SqlType, column: &str, dates: &Dates) -> Result<Option<Datum>, SqlError> {
        match self {
            Simple::Untyped(s) => text::parse_in(to, s, dates).map(Some),
            Simple::Constant(v) => coerce::assign_column_in(v.clone(), to, column, dates).map(Some),
            Simple::Clock(clock) => coerce::assign_column_in(clock.value(dates)?, to, column, dates).map(Some),
            Simple::Parameter(_) => Ok(None),
        }
    }
}

/// The contents of a string constant.
fn string(value: &Value) -> Option<&str> {
    match value {
        Value::SingleQuotedString(s) | Value::EscapedStringLiteral(s) | Value::UnicodeStringLiteral(s) => Some(s),
        Value::DollarQuotedString(s) => Some(&s.value),
        _ => None,
    }
}

fn parameter(name: &str) -> Option<usize> {
    name.strip_prefix('$')?.parse::<usize>().ok()?.checked_sub(1)
}

/// A number constant as PostgreSQL types it: integer, bigint, else numeric; double precision where numeric has no room for it here.
fn number(digits: &str, negative: bool) -> Result<Option<Datum>, SqlError> {
    let signed = if negative { format!("-{digits}") } else { digits.to_owned() };
    if digits.bytes().all(|b| b.is_ascii_digit())
        && let Ok(v) = signed.parse::<i64>()
    {
        // -2147483648 is minus a bigint to PostgreSQL, and assigned all the same.
        return Ok(Some(i32::try_from(v).map_or(Datum::Int8(v), Datum::Int4)));
    }
    match text::parse_decimal(&signed) {
        // So small that none of its digits are left here.
        Ok(value) if value.unscaled == 0 && digits.bytes().any(|b| matches!(b, b'1'..=b'9')) => {
            Ok(signed.parse().ok().map(Datum::Float8))
        }
        Ok(value) => Ok(Some(Datum::Numeric(value))),
        // PostgreSQL's numeric has room for it; what it is assigned to decides.
        Err(_) => Ok(signed.parse().ok().map(Datum::Float8)),
    }
}

fn clock(function: &ast::Function) -> Option<Clock> {
    let [part] = function.name.0.as_slice() else { return None };
    let no_arguments = match &function.args {
        ast::FunctionArguments::None => true,
        ast::FunctionArguments::List(list) => list.args.is_empty() && list.clauses.is_empty(),
        ast::FunctionArguments::Subquery(_) => false,
    };
    if !no_arguments || function.over.is_some() || function.filter.is_some() {
        return None;
    }
    match part.as_ident()?.value.as_str() {
        "now" | "current_timestamp" | "transaction_timestamp" => Some(Clock::Now),
        "current_date" => Some(Clock::Today),
        "localtimestamp" => Some(Clock::Local),
        _ => None,
    }
}

/// `SELECT e1, e2, ...`, and `FROM generate_series(1, rows)` if each is to be computed for so many rows.
pub(crate) fn select(exprs: &[Expr], rows: Option<usize>) -> Result<Query, SqlError> {
    let text = match rows {
        None => "select 1".to_owned(),
        Some(rows) => format!("select 1 from generate_series(1, {rows})"),
    };
    let mut query = crate::parse::parse_query(&text)?;
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.projection = exprs.iter().cloned().map(SelectItem::UnnamedExpr).collect();
    }
    Ok(*query)
}

impl Session {
    /// The values of expressions as values of the types they are for. Parameters are not allowed in them.
    pub(crate) async fn evaluate(&mut self, exprs: &[Expr], targets: &[SqlType]) -> Result<Vec<Datum>, SqlError> {
        let dates = self.dates();
        let mut values = Vec::with_capacity(exprs.len());
        let mut general = Vec::new();
        for (expr, to) in exprs.iter().zip(targets) {
            match Simple::of(expr, &dates)? {
                Some(Simple::Parameter(at)) => return Err(no_parameter(at)),
                Some(simple) => values.push(simple.assign(*to, "parameter", &dates)?.unwrap_or(Datum::Null)),
                None => {
                    general.push(values.len());
                    values.push(Datum::Null);
                }
            }
        }
        if general.is_empty() {
            return Ok(values);
        }
        let exprs: Vec<Expr> = general.iter().filter_map(|at| exprs.get(*at).cloned()).collect();
        let computed = self.compute(&exprs).await?;
        for (at, value) in general.into_iter().zip(computed) {
            if let (Some(slot), Some(to)) = (values.get_mut(at), targets.get(at)) {
                *slot = coerce::assign_in(value, *to, &dates)?;
            }
        }
        Ok(values)
    }

    /// The values of expressions that have no parameters, each of its own type.
    pub(crate) async fn compute(&mut self, exprs: &[Expr]) -> Result<Vec<Datum>, SqlError> {
        self.begin_statement();
        let query = select(exprs, None)?;
        let (plan, _) = self.analytic_plan(None, &query, &[])?;
        if !plan.params().is_empty() {
            return Err(no_parameter(0));
        }
        self.one_row(&plan, &[]).await
    }

    /// The only row of a query.
    pub(crate) async fn one_row(&mut self, plan: &AnalyticPlan, params: &[Datum]) -> Result<Vec<Datum>, SqlError> {
        let mut kept = self.instance.analytic().keep("values of a row");
        let batches = self.collect(plan, params, &mut kept).await?;
        let Some(batch) = batches.iter().find(|b| b.num_rows() == 1) else {
            return Err(SqlError::bug("expressions gave no value"));
        };
        let types = plan.columns().iter().map(|c| c.data_type);
        Ok(batch.columns().iter().zip(types).map(|(array, t)| ColumnReader::new(array, t).get(0).to_owned()).collect())
    }

    /// All of a query's result, in room of `kept`. Errors: those of the query, 53200.
    pub(crate) async fn collect(
        &mut self,
        plan: &AnalyticPlan,
        params: &[Datum],
        kept: &mut Kept,
    ) -> Result<Vec<RecordBatch>, SqlError> {
        let mut stream = plan.execute(self.execution(used(plan, params), Arc::default())?)?;
        let mut batches = Vec::new();
        while let Some(batch) = stream.next().await {
            batches.push(kept.batch(&batch?)?);
        }
        Ok(batches)
    }

    /// What a query of this statement runs with.
    pub(crate) fn execution<'a>(&mut self, params: &'a [Datum], stats: Arc<QueryStats>) -> Result<Execution<'a>, SqlError> {
        let Some(inner) = self.transaction.inner() else { return Err(SqlError::bug("a query outside of a transaction")) };
        let view = inner.read_view();
        Ok(self.execution_at(view, params, stats))
    }

    /// The same for what is read in another view than the statement's.
    pub(crate) fn execution_at<'a>(&self, view: Arc<ReadView>, params: &'a [Datum], stats: Arc<QueryStats>) -> Execution<'a> {
        let view = Arc::new(crate::reading::Snapshot { view, held: self.locals.held.clone() });
        let now_micros = self.transaction.began_micros();
        Execution { view, params, now_micros, cancel: Arc::clone(&self.cancel), stats }
    }

    /// Plans a query in the session's place, which takes milliseconds and more. True: the plan holds something as of now.
    pub(crate) fn analytic_plan(
        &mut self,
        statement: Option<&Statement>,
        query: &Query,
        params: &[Option<SqlType>],
    ) -> Result<(AnalyticPlan, bool), SqlError> {
        let (context, system) = self.plan_context(statement)?;
        let analytic = Arc::clone(self.instance.analytic());
        let plan = blocking(|| analytic.plan(&context, query, params))?;
        self.uses_system |= system.was_used();
        Ok((plan, system.was_used()))
    }
}

/// The parameters of a statement that one query of it has.
pub(crate) fn used<'a>(plan: &AnalyticPlan, params: &'a [Datum]) -> &'a [Datum] {
    params.get(..plan.params().len()).unwrap_or(params)
}

fn no_parameter(at: usize) -> SqlError {
    SqlError::new(SqlState::UNDEFINED_PARAMETER, format!("there is no parameter ${}", at + 1))
}

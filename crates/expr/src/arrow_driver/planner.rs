//! Operators, as the SQL planner meets them: which of ours, or which of DataFusion's with which casts.
//!
//! Types are settled here, while expressions are built, so that every type derived from them is right from the start.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, ScalarValue, TableReference};
use datafusion::logical_expr::expr::{BinaryExpr, Case, Cast, WindowFunction};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawAggregateExpr, RawBinaryExpr, RawWindowExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, Operator, WindowFunctionDefinition, lit};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use types::{Datum, SqlError, SqlState, SqlType, arrow_form, text};

use super::read::is_open;
use super::{analyze, cast_udf, raise, udf, undefined_operator, values};
use crate::function::Arg;
use crate::rules::{self, Comparison};

/// Plans operators with PostgreSQL's types.
#[derive(Debug)]
pub(super) struct Operators;

/// The type of an expression as an argument. `Err` for types that are not SQL's (arrays), which DataFusion plans by itself.
pub(super) fn arg(expr: &Expr, schema: &DFSchema) -> std::result::Result<Arg, ()> {
    if let Expr::Case(case) = expr {
        return case_type(case, schema);
    }
    let field = match untold(expr, schema)? {
        Some(told) => told.to_field(schema),
        None => expr.to_field(schema),
    };
    let (_, field) = field.map_err(|_| ())?;
    if is_open(field.data_type()) {
        return Ok(None);
    }
    arrow_form::sql_type_of(&field).map(Some).ok_or(())
}

/// The type that all branches of a CASE get.
fn case_type(case: &Case, schema: &DFSchema) -> std::result::Result<Arg, ()> {
    let results = case.when_then_expr.iter().map(|(_, then)| then).chain(&case.else_expr);
    let mut types = results.clone().map(|result| arg(result, schema)).collect::<std::result::Result<Vec<Arg>, ()>>()?;
    if types.iter().any(|t| matches!(t, Some(SqlType::Numeric { .. }))) {
        types = results.zip(types).map(|(result, t)| own_digits(result.as_ref().clone(), t).1).collect();
    }
    if types.iter().all(Option::is_none) {
        return Ok(None);
    }
    rules::common(types).map(Some).ok_or(())
}

/// An expression of the same type whose type can be asked for: to DataFusion a CASE is of its first branch's type until its branches are
/// cast, and so is what is made of it, and a subquery that gives it. `None`: it is such an expression itself.
fn untold(expr: &Expr, schema: &DFSchema) -> std::result::Result<Option<Expr>, ()> {
    let is_untold = |expr: &Expr| matches!(expr, Expr::Case(_) | Expr::ScalarSubquery(_));
    if !expr.exists(|expr| Ok(is_untold(expr))).map_err(|_| ())? {
        return Ok(None);
    }
    let typed = |t: Arg, expr: Expr| match t {
        Some(t) => Transformed::new(lit(values::scalar(&Datum::Null, t)), true, TreeNodeRecursion::Jump),
        None => Transformed::new(expr, false, TreeNodeRecursion::Jump),
    };
    let told = expr.clone().transform_down(|expr| {
        Ok(match &expr {
            Expr::Case(case) => {
                let t = case_type(case, schema).unwrap_or_default();
                typed(t, expr)
            }
            Expr::ScalarSubquery(subquery) => {
                let plan = analyze::with_types(subquery.subquery.as_ref().clone())?;
                let t = plan.schema().fields().first().and_then(|field| arrow_form::sql_type_of(field));
                typed(t.filter(|_| !is_open(plan.schema().field(0).data_type())), expr)
            }
            _ => Transformed::no(expr),
        })
    });
    told.map(|told| Some(told.data)).map_err(|_| ())
}

impl ExprPlanner for Operators {
    fn plan_binary_op(&self, raw: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let RawBinaryExpr { op, left, right } = raw;
        let name = match op {
            BinaryOperator::Plus => "+",
            BinaryOperator::Minus => "-",
            BinaryOperator::Multiply => "*",
            BinaryOperator::Divide => "/",
            BinaryOperator::Modulo => "%",
            BinaryOperator::PGExp | BinaryOperator::BitwiseXor => "^",
            BinaryOperator::StringConcat => "||",
            BinaryOperator::BitwiseAnd => "&",
            BinaryOperator::BitwiseOr => "|",
            BinaryOperator::PGBitwiseXor => "#",
            BinaryOperator::PGBitwiseShiftLeft => "<<",
            BinaryOperator::PGBitwiseShiftRight => ">>",
            _ => "",
        };
        let (Ok(a), Ok(b)) = (arg(&left, schema), arg(&right, schema)) else {
            return Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }));
        };
        if !name.is_empty() {
            return operator(name, left, a, right, b).map(PlannerResult::Planned);
        }
        match comparison_operator(&op) {
            Some(op) => compare(op, left, a, right, b).map(PlannerResult::Planned),
            None => Ok(PlannerResult::Original(RawBinaryExpr { op, left, right })),
        }
    }

    /// No column has fields: what has the name of one is taken for a relation, and found missing.
    fn plan_compound_identifier(
        &self,
        field: &Field,
        _qualifier: Option<&TableReference>,
        nested: &[String],
    ) -> Result<PlannerResult<Vec<Expr>>> {
        let name = nested.first().map(String::as_str).unwrap_or_default();
        Ok(PlannerResult::Planned(Expr::Column(Column::new(Some(field.name()), name))))
    }

    fn plan_aggregate(&self, mut raw: RawAggregateExpr) -> Result<PlannerResult<RawAggregateExpr>> {
        // An order is compared with the arguments.
        if raw.order_by.is_empty() {
            raw.args = raw.args.into_iter().map(with_casts_named).collect::<Result<_>>()?;
        }
        Ok(PlannerResult::Original(raw))
    }

    /// DataFusion numbers rows with unsigned integers, PostgreSQL with bigint.
    fn plan_window(&self, mut raw: RawWindowExpr) -> Result<PlannerResult<RawWindowExpr>> {
        raw.args = raw.args.into_iter().map(with_casts_named).collect::<Result<_>>()?;
        let to = match raw.func_def.name() {
            "nth_value" if raw.args.get(1).and_then(integer).is_some_and(|n| n <= 0) => {
                return Err(raise(SqlError::new(SqlState(*b"22016"), "argument of nth_value must be greater than zero")));
            }
            "ntile" if raw.args.first().and_then(integer).is_some_and(|n| n <= 0) => {
                return Err(raise(SqlError::new(SqlState(*b"22014"), "argument of ntile must be greater than zero")));
            }
            "row_number" | "rank" | "dense_rank" => SqlType::Int8,
            "ntile" => SqlType::Int4,
            _ => return Ok(PlannerResult::Original(raw)),
        };
        let RawWindowExpr { func_def, args, partition_by, order_by, window_frame, filter, null_treatment, distinct } = raw;
        let name = func_def.name().to_owned();
        let window = WindowFunction {
            fun: match func_def {
                WindowFunctionDefinition::AggregateUDF(f) => WindowFunctionDefinition::AggregateUDF(f),
                WindowFunctionDefinition::WindowUDF(f) => WindowFunctionDefinition::WindowUDF(f),
            },
            params: datafusion::logical_expr::expr::WindowFunctionParams {
                args,
                partition_by,
                order_by,
                window_frame,
                filter,
                null_treatment,
                distinct,
            },
        };
        let field = Arc::new(arrow_form::field(name, to, true));
        let window = Expr::WindowFunction(Box::new(window));
        Ok(PlannerResult::Planned(Expr::Cast(Cast::new_from_field(Box::new(window), field))))
    }
}

/// The number that a constant is.
fn integer(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(value, _) => value.cast_to(&DataType::Int64).ok().and_then(|value| i64::try_from(value).ok()),
        Expr::Cast(cast) => integer(&cast.expr),
        Expr::Alias(alias) => integer(&alias.expr),
        _ => None,
    }
}

/// An argument under a name that has its casts: DataFusion leaves them out, and takes `sum(a)` and `sum(a::bigint)` for one column.
fn with_casts_named(arg: Expr) -> Result<Expr> {
    let is_cast = |expr: &Expr| Ok(matches!(expr, Expr::Cast(cast) if !matches!(cast.expr.as_ref(), Expr::Literal(..))));
    if !arg.exists(is_cast)? {
        return Ok(arg);
    }
    let name = arg.to_string();
    Ok(arg.alias(name))
}

pub(super) fn comparison_operator(op: &BinaryOperator) -> Option<Operator> {
    Some(match op {
        BinaryOperator::Eq => Operator::Eq,
        BinaryOperator::NotEq => Operator::NotEq,
        BinaryOperator::Lt => Operator::Lt,
        BinaryOperator::LtEq => Operator::LtEq,
        BinaryOperator::Gt => Operator::Gt,
        BinaryOperator::GtEq => Operator::GtEq,
        _ => return None,
    })
}

/// An open constant or parameter beside a numeric, as the numeric it is by itself: it does not take the digits of its neighbour.
pub(super) fn own_digits(expr: Expr, t: Arg) -> (Expr, Arg) {
    if t.is_some() {
        return (expr, t);
    }
    match &expr {
        Expr::Literal(value, _) => match cast_udf::literal(value).and_then(|s| text::parse_decimal(s).ok()) {
            Some(decimal) => {
                let digits = decimal.unscaled.unsigned_abs().checked_ilog10().unwrap_or(0) as u8 + 1;
                let t = SqlType::Numeric { precision: digits.max(decimal.scale).max(1), scale: decimal.scale };
                (lit(values::scalar(&Datum::Numeric(decimal), t)), Some(t))
            }
            None => (expr, t),
        },
        Expr::Placeholder(_) => (to_type(expr, t, SqlType::NUMERIC), Some(SqlType::NUMERIC)),
        _ => (expr, t),
    }
}

/// `left name right` as a call of our operator.
fn operator(name: &str, left: Expr, a: Arg, right: Expr, b: Arg) -> Result<Expr> {
    let ((left, a), (right, b)) = match (a, b) {
        (Some(SqlType::Numeric { .. }), None) => ((left, a), own_digits(right, b)),
        (None, Some(SqlType::Numeric { .. })) => (own_digits(left, a), (right, b)),
        _ => ((left, a), (right, b)),
    };
    let function = udf::scalar_function(name).ok_or_else(|| raise(SqlError::bug(format!("operator {name} is missing"))))?;
    let found = crate::function::find(name).and_then(|f| (f.resolve)(&[a, b], None));
    let Some(signature) = found else {
        return Err(raise(match (a, b) {
            (None, None) => {
                SqlError::new(SqlState::AMBIGUOUS_FUNCTION, format!("operator is not unique: unknown {name} unknown"))
                    .hint("Could not choose a best candidate operator. You might need to add explicit type casts.")
            }
            _ => undefined_operator(name, a, b),
        }));
    };
    let left = to_type(left, a, signature.args[0]);
    let right = to_type(right, b, signature.args[1]);
    Ok(function.call(vec![left, right]))
}

/// A comparison in the type both meet in.
pub(super) fn compare(op: Operator, left: Expr, a: Arg, right: Expr, b: Arg) -> Result<Expr> {
    let comparison = comparison_of(op, (&left, a), (&right, b))?;
    compare_as(comparison, op, left, a, right, b)
}

/// How two operands compare. Errors: they do not.
pub(super) fn comparison_of(op: Operator, (left, a): (&Expr, Arg), (right, b): (&Expr, Arg)) -> Result<Comparison> {
    let Some(comparison) = rules::comparison(a, b) else {
        return Err(raise(undefined_operator(&op.to_string().replace("!=", "<>"), a, b)));
    };
    Ok(match comparison {
        // A constant that is longer than the char(n) beside it is not cut to it.
        Comparison::As(SqlType::Char(n)) if is_longer(left, n) || is_longer(right, n) => Comparison::Blanks,
        comparison => comparison,
    })
}

/// A comparison done in a given way.
pub(super) fn compare_as(comparison: Comparison, op: Operator, left: Expr, a: Arg, right: Expr, b: Arg) -> Result<Expr> {
    let (left, right) = (operand(left, a, comparison)?, operand(right, b, comparison)?);
    Ok(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right))))
}

/// One operand of a comparison, as something Arrow compares as PostgreSQL compares the operand.
pub(super) fn operand(expr: Expr, t: Arg, comparison: Comparison) -> Result<Expr> {
    let expr = side(expr, t, comparison);
    match comparison {
        // Arrow orders intervals by their parts, PostgreSQL by their length.
        Comparison::As(SqlType::Interval) => interval_order(expr),
        _ => Ok(expr),
    }
}

/// Whether an open constant has more than `n` characters, blanks at its end not counted.
pub(super) fn is_longer(expr: &Expr, n: u32) -> bool {
    match expr {
        Expr::Literal(value, _) => {
            cast_udf::literal(value).is_some_and(|text| text.trim_end_matches(' ').chars().count() > n as usize)
        }
        _ => false,
    }
}

/// An interval as a number that orders, and is equal, as intervals are.
pub(super) fn interval_order(expr: Expr) -> Result<Expr> {
    ordered_by("interval_order", expr)
}

/// A float with one zero.
pub(super) fn float_order(expr: Expr) -> Result<Expr> {
    ordered_by("float_order", expr)
}

fn ordered_by(name: &str, expr: Expr) -> Result<Expr> {
    let function = udf::scalar_function(name).ok_or_else(|| raise(SqlError::bug(format!("{name} is missing"))))?;
    Ok(function.call(vec![expr]))
}

/// A `char` as a text that orders, and is equal, as it does.
pub(super) fn without_blanks(expr: Expr) -> Expr {
    match udf::scalar_function("without_blanks") {
        Some(function) => function.call(vec![expr]),
        None => expr,
    }
}

/// One operand of a comparison, as it is compared.
pub(super) fn side(expr: Expr, t: Arg, comparison: Comparison) -> Expr {
    match comparison {
        Comparison::As(SqlType::Text) if is_constant(&expr) => {
            Expr::Cast(Cast::new_from_field(Box::new(expr), Arc::new(arrow_form::field(TAKEN_FOR_TEXT, SqlType::Text, true))))
        }
        Comparison::As(to) => to_type(expr, t, to),
        Comparison::Blanks => match &expr {
            Expr::Literal(ScalarValue::Utf8(Some(text)), _) => {
                lit(ScalarValue::Utf8View(Some(text.trim_end_matches(' ').into())))
            }
            _ if t.is_some() => without_blanks(expr),
            _ => without_blanks(to_type(expr, t, SqlType::Text)),
        },
        Comparison::CharAsText if matches!(t, Some(SqlType::Char(_))) => without_blanks(expr),
        Comparison::CharAsText => to_type(expr, t, SqlType::Text),
        // A number in quotes keeps the digits it was written with.
        Comparison::Numbers if t.is_none() => match own_digits(expr, t) {
            (expr, Some(_)) => expr,
            (expr, None) => to_type(expr, t, SqlType::NUMERIC),
        },
        Comparison::Numbers => expr,
    }
}

/// The field of a cast that nobody has written, of a constant that is compared with what is text as far as it is known yet.
const TAKEN_FOR_TEXT: &str = "\u{1}text";

fn is_constant(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(value, _) if cast_udf::literal(value).is_some())
}

/// A constant as it was written, if it was taken for a text.
pub(super) fn as_written(expr: Expr, t: Arg) -> (Expr, Arg) {
    match expr {
        Expr::Cast(cast) if cast.field.name() == TAKEN_FOR_TEXT => (*cast.expr, None),
        other => (other, t),
    }
}

/// `expr` as a value of type `to`. A cast is written as one, for the planner to see; what it does is settled by `analyze`.
pub(super) fn to_type(expr: Expr, from: Arg, to: SqlType) -> Expr {
    let same = match (from, to) {
        (Some(from), to) => {
            from == to || (matches!((from, to), (SqlType::Text | SqlType::Varchar(_), SqlType::Text | SqlType::Varchar(_))))
        }
        (None, _) => false,
    };
    if same {
        return expr;
    }
    match (&expr, to) {
        (Expr::Literal(ScalarValue::Null, _), _) => lit(values::scalar(&Datum::Null, to)),
        _ => Expr::Cast(Cast::new_from_field(Box::new(expr), Arc::new(arrow_form::field("", to, true)))),
    }
}

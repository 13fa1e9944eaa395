//! What the planner could not settle while it built expressions, settled on the finished plan.
//!
//! `settle_constants`, before DataFusion's type coercion: string constants in IN lists, CASE, LIKE, `IS DISTINCT FROM` take the type they
//! are compared with, the sides of a set operation their common type (`set_operations`); intervals and `char` of several lengths are
//! ordered and grouped as they compare (`equality`), and what grouping sets group by is made columns. `Casts`, after it: every cast,
//! written or implied, gets PostgreSQL's meaning.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::{BinaryExpr, Case, GroupingSet, InList, InSubquery, SetComparison, WindowFunctionParams};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{grouping_set_to_exprlist, merge_schema};
use datafusion::logical_expr::{
    Aggregate, Expr, ExprSchemable, LogicalPlan, Operator, Projection, Subquery, WindowFrameBound, WindowFrameUnits,
};
use datafusion::optimizer::AnalyzerRule;
use types::{SqlError, SqlType, arrow_form, text};

use super::planner::{
    arg, as_written, compare, compare_as, comparison_of, is_longer, operand, own_digits, side, to_type, without_blanks,
};
use super::read::is_open;
use super::{cast_udf, equality, mixed, nested, raise, set_operations, undefined_operator};
use crate::cast;
use crate::function::Arg;
use crate::{rules, syntax};

/// Puts the rules where they belong among DataFusion's.
pub(super) fn add(rules: &mut Vec<Arc<dyn AnalyzerRule + Send + Sync>>) {
    rules.push(Arc::new(Casts));
}

#[derive(Debug)]
struct Casts;

/// String constants in a finished plan take the type they are compared or united with.
pub(super) fn settle_constants(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(grouping_columns)?.data;
    equality::settle(rewrite(plan, set_operations::unite, open_constant)?)
}

/// A plan whose columns have the types they will have: those of CASE and of UNION are their first branch's before that.
pub(super) fn with_types(plan: LogicalPlan) -> Result<LogicalPlan> {
    let is_case = |expr: &Expr| expr.exists(|expr| Ok(matches!(expr, Expr::Case(_))));
    let mut has_any = false;
    plan.apply(|node| {
        has_any |= matches!(node, LogicalPlan::Union(_));
        node.apply_expressions(|expr| {
            has_any |= is_case(expr)?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(if has_any { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    if !has_any {
        return Ok(plan);
    }
    let union = |plan: LogicalPlan| match plan {
        LogicalPlan::Union(_) => set_operations::unite(plan),
        plan => Ok(Transformed::no(plan)),
    };
    let case = |expr: Expr, schema: &DFSchema| match expr {
        Expr::Case(case) => case_of(case, schema),
        expr => Ok(Transformed::no(expr)),
    };
    rewrite(plan, union, case)
}

/// The expressions of grouping sets as columns of a projection below: their names must not change when their constants are settled.
fn grouping_columns(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Aggregate(aggregate) = plan else { return Ok(Transformed::no(plan)) };
    let computed = |expr: &Expr| !matches!(expr, Expr::Column(_));
    let expressions = grouping_set_to_exprlist(&aggregate.group_expr)?;
    let is_set = matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)]);
    if !is_set || !expressions.iter().any(|expr| computed(expr)) {
        return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
    }
    let mut outputs: Vec<Expr> = aggregate.input.schema().columns().into_iter().map(Expr::Column).collect();
    let name_of = |expr: &Expr| expr.schema_name().to_string();
    for expr in expressions.into_iter().filter(|expr| computed(expr)) {
        outputs.push(expr.clone().alias(name_of(expr)));
    }
    let named =
        |expr: Expr| -> Expr { if computed(&expr) { Expr::Column(Column::new_unqualified(name_of(&expr))) } else { expr } };
    let all = |list: Vec<Expr>| list.into_iter().map(named).collect::<Vec<_>>();
    let groups = aggregate.group_expr.into_iter().map(|expr| match expr {
        Expr::GroupingSet(GroupingSet::Rollup(list)) => Expr::GroupingSet(GroupingSet::Rollup(all(list))),
        Expr::GroupingSet(GroupingSet::Cube(list)) => Expr::GroupingSet(GroupingSet::Cube(all(list))),
        Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => {
            Expr::GroupingSet(GroupingSet::GroupingSets(sets.into_iter().map(all).collect()))
        }
        other => other,
    });
    let groups: Vec<Expr> = groups.collect();
    let input = LogicalPlan::Projection(Projection::try_new(outputs, aggregate.input)?);
    // GROUPING takes the expressions that are grouped by.
    let mut aggregates = aggregate.aggr_expr;
    for expr in &mut aggregates {
        if let Expr::AggregateFunction(function) = expr
            && function.func.name() == "grouping"
        {
            function.params.args = all(std::mem::take(&mut function.params.args));
        }
    }
    Ok(Transformed::yes(LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(input), groups, aggregates)?)))
}

impl AnalyzerRule for Casts {
    fn name(&self) -> &str {
        "casts"
    }

    fn analyze(&self, plan: LogicalPlan, _options: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite(plan, set_operations::renewed, settle_cast)
    }
}

/// Applies `node` to every node of a plan and of its subqueries, from the leaves up, and `f` to every expression of it.
fn rewrite(
    plan: LogicalPlan,
    node: impl Fn(LogicalPlan) -> Result<Transformed<LogicalPlan>>,
    f: impl Fn(Expr, &DFSchema) -> Result<Transformed<Expr>>,
) -> Result<LogicalPlan> {
    let mut changed = false;
    let rewritten = plan.transform_up_with_subqueries(|plan| {
        // A new type below shows here.
        let plan = if changed { plan.recompute_schema()? } else { plan };
        let plan = node(plan)?;
        changed |= plan.transformed;
        let plan = plan.data;
        let mut schema = merge_schema(&plan.inputs());
        if let LogicalPlan::TableScan(scan) = &plan {
            schema.merge(&DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?);
        }
        let names = NamePreserver::new(&plan);
        let done = plan.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(expr.transform_up(|expr| f(expr, &schema))?.update_data(|expr| name.restore(expr)))
        })?;
        changed |= done.transformed;
        if done.transformed {
            done.map_data(LogicalPlan::recompute_schema)
        } else {
            Ok(Transformed::new_transformed(done.data, changed))
        }
    })?;
    Ok(rewritten.data)
}

fn open_constant(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::InList(list) => in_list(list, schema),
        Expr::InSubquery(InSubquery { expr, subquery, negated }) => Ok(rows_compared(*expr, Operator::Eq, subquery, schema)?
            .update_data(|(expr, subquery)| Expr::InSubquery(InSubquery::new(Box::new(expr), subquery, negated)))),
        Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }) => Ok(rows_compared(*expr, op, subquery, schema)?
            .update_data(|(expr, subquery)| Expr::SetComparison(SetComparison::new(Box::new(expr), subquery, op, quantifier)))),
        Expr::ScalarFunction(mut function) if function.func.name() == "nullif" && is_nullif_of_char(&function.args, schema) => {
            let other = function.args.pop().map(|other| to_type(other, None, SqlType::Char(0)));
            function.args.extend(other);
            Ok(Transformed::yes(Expr::ScalarFunction(function)))
        }
        Expr::ScalarFunction(mut function) if takes_text(function.func.name()) => {
            let changed = char_as_text(&mut function.args, schema);
            Ok(Transformed::new_transformed(Expr::ScalarFunction(function), changed))
        }
        Expr::AggregateFunction(mut function) if function.func.name() == "string_agg" => {
            let changed = char_as_text(&mut function.params.args, schema);
            Ok(Transformed::new_transformed(Expr::AggregateFunction(function), changed))
        }
        Expr::ScalarFunction(mut function) if ["coalesce", "nullif", "greatest", "least"].contains(&function.func.name()) => {
            let types: Vec<_> = function.args.iter().map(|e| arg(e, schema)).collect();
            if function.func.name() == "coalesce" && is_text_of_several(&types) {
                let changed = char_as_text(&mut function.args, schema);
                return Ok(Transformed::new_transformed(Expr::ScalarFunction(function), changed));
            }
            if !types.iter().any(|t| matches!(t, Ok(Some(SqlType::Numeric { .. })))) || !types.contains(&Ok(None)) {
                return Ok(Transformed::no(Expr::ScalarFunction(function)));
            }
            let args = std::mem::take(&mut function.args).into_iter().zip(types);
            function.args = args.map(|(e, t)| own_digits(e, t.unwrap_or(Some(SqlType::Text))).0).collect();
            Ok(Transformed::yes(Expr::ScalarFunction(function)))
        }
        Expr::Case(case) => case_of(case, schema),
        Expr::WindowFunction(window) => {
            frame_offsets(&window.params, schema)?;
            Ok(Transformed::no(Expr::WindowFunction(window)))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::IsDistinctFrom | Operator::IsNotDistinctFrom), right }) => {
            match (arg(&left, schema), arg(&right, schema)) {
                (Ok(a), Ok(b)) => compare(op, *left, a, *right, b).map(Transformed::yes),
                _ => Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }))),
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if COMPARISONS.contains(&op) => late(*left, op, *right, schema),
        Expr::Like(mut like) => {
            // A pattern is text; so is what it is matched with.
            match arg(&like.expr, schema) {
                Ok(Some(t)) if !t.is_string() => Err(raise(undefined_operator("~~", Some(t), None))),
                _ => {
                    if let Ok(pattern @ Some(_)) = arg(&like.pattern, schema)
                        && let Some(SqlType::Char(_)) = pattern
                    {
                        like.pattern = Box::new(side(*like.pattern, pattern, rules::Comparison::Blanks));
                        return Ok(Transformed::yes(Expr::Like(like)));
                    }
                    Ok(Transformed::no(Expr::Like(like)))
                }
            }
        }
        other => Ok(Transformed::no(other)),
    }
}

const COMPARISONS: [Operator; 6] = [Operator::Eq, Operator::NotEq, Operator::Lt, Operator::LtEq, Operator::Gt, Operator::GtEq];

/// A comparison of what has turned out to be of another type than it was planned for: a column of a set operation, a CASE in a subquery.
/// A constant may have been taken for a text.
fn late(left: Expr, op: Operator, right: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    if let (Ok(a), Ok(b)) = (arg(&left, schema), arg(&right, schema)) {
        let is_settled = (a.is_none() || b.is_none() || a == b) && !is_char(a) && !is_char(b);
        if !is_settled && rules::comparison(a, b).is_some() {
            let ((left, a), (right, b)) = (as_written(left, a), as_written(right, b));
            return compare(op, left, a, right, b).map(Transformed::yes);
        }
    }
    Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))))
}

/// Whether values of these types are texts together.
fn is_text_of_several(types: &[std::result::Result<Arg, ()>]) -> bool {
    let types: Option<Vec<Arg>> = types.iter().map(|t| t.ok()).collect();
    types.and_then(rules::common) == Some(SqlType::Text)
}

fn is_char(t: Arg) -> bool {
    matches!(t, Some(SqlType::Char(_)))
}

/// Whether a `char` is compared with what becomes one: a constant, a varchar.
fn is_nullif_of_char(args: &[Expr], schema: &DFSchema) -> bool {
    let [a, b] = args else { return false };
    arg(a, schema).is_ok_and(is_char) && matches!(arg(b, schema), Ok(None | Some(SqlType::Varchar(_))))
}

/// Functions of texts that are DataFusion's, which knows no `char`.
fn takes_text(function: &str) -> bool {
    ["md5", "regexp_count", "regexp_instr", "regexp_like", "regexp_match", "string_to_array"].contains(&function)
}

/// Gives a function of texts its `char` arguments as texts. True if there are any.
fn char_as_text(args: &mut [Expr], schema: &DFSchema) -> bool {
    let mut found = false;
    for expr in args {
        if arg(expr, schema).is_ok_and(is_char) {
            *expr = without_blanks(std::mem::take(expr));
            found = true;
        }
    }
    found
}

/// The column of a subquery as it is compared: no name of a column below it.
const COMPARED: &str = "\u{1}compared";

/// An operand and the rows of a subquery, as the two are compared.
fn rows_compared(expr: Expr, op: Operator, mut subquery: Subquery, schema: &DFSchema) -> Result<Transformed<(Expr, Subquery)>> {
    let rows = Arc::clone(&subquery.subquery);
    let [(table, field)] = rows.schema().iter().collect::<Vec<_>>()[..] else { return Ok(Transformed::no((expr, subquery))) };
    // A constant that is the column of a query is a text.
    let (Ok(a), Some(b)) = (arg(&expr, schema), arrow_form::sql_type_of(field)) else {
        return Ok(Transformed::no((expr, subquery)));
    };
    let column = Expr::Column(Column::from((table, field)));
    let comparison = comparison_of(op, (&expr, a), (&column, Some(b)))?;
    let value = operand(column.clone(), Some(b), comparison)?;
    if value != column {
        let rows = Projection::try_new(vec![value.alias(COMPARED)], rows)?;
        subquery = subquery.with_plan(Arc::new(LogicalPlan::Projection(rows)));
    }
    Ok(Transformed::yes((operand(expr, a, comparison)?, subquery)))
}

/// Errors: RANGE counts from what is no number; the offset is none of its type (22P02), or a negative one (22013).
fn frame_offsets(WindowFunctionParams { order_by, window_frame, .. }: &WindowFunctionParams, schema: &DFSchema) -> Result<()> {
    let [key] = order_by.as_slice() else { return Ok(()) };
    let Ok(Some(t)) = arg(&key.expr, schema) else { return Ok(()) };
    if window_frame.units != WindowFrameUnits::Range {
        return Ok(());
    }
    for bound in [&window_frame.start_bound, &window_frame.end_bound] {
        let (WindowFrameBound::Preceding(offset) | WindowFrameBound::Following(offset)) = bound else { continue };
        let Some(offset) = cast_udf::literal(offset) else { continue };
        if matches!(t, SqlType::Date | SqlType::Time | SqlType::Timestamp | SqlType::TimestampTz | SqlType::Interval) {
            // Arrow adds them to infinite dates and timestamps as if they were finite.
            text::parse(SqlType::Interval, offset).map_err(raise)?;
            return Err(raise(SqlError::unsupported("RANGE with an interval as offset is not supported")));
        }
        if rules::numbers(t, t).is_none() {
            let message = format!("RANGE with offset PRECEDING/FOLLOWING is not supported for column type {}", t.base_name());
            return Err(raise(SqlError::unsupported(message)));
        }
        match t {
            // It becomes a number of the key's type.
            SqlType::Numeric { scale, .. } if text::parse_decimal(offset).map_err(raise)?.scale > scale => {
                let message = "RANGE with an offset of more digits behind the point than its column has is not supported";
                return Err(raise(SqlError::unsupported(message)));
            }
            SqlType::Numeric { .. } => {}
            t => drop(text::parse(t, offset).map_err(raise)?),
        }
        if offset.trim_start().starts_with('-') {
            let message = "invalid preceding or following size in window function";
            return Err(raise(SqlError::new(syntax::INVALID_OFFSET, message)));
        }
    }
    Ok(())
}

fn in_list(InList { expr, list, negated }: InList, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let types: std::result::Result<Vec<Arg>, ()> = std::iter::once(&*expr).chain(&list).map(|e| arg(e, schema)).collect();
    let Ok(types) = types else { return Ok(Transformed::no(Expr::InList(InList { expr, list, negated }))) };
    // Where `=` is more than equal bytes, it is a chain of `=`.
    let cut = matches!(types[0], Some(SqlType::Char(n)) if list.iter().any(|item| is_longer(item, n)));
    let of_char = types.iter().any(|t| is_char(*t)) && types[1..].iter().any(Option::is_some);
    if cut || of_char || types.contains(&Some(SqlType::Interval)) {
        // Several constants make an array, of a type that they and what is sought fit.
        let is_constant = |item: &Expr| !item.any_column_refs();
        let constants = || list.iter().zip(&types[1..]).filter(|(item, _)| is_constant(item)).map(|(_, t)| *t);
        let array = if of_char && constants().count() > 1 {
            rules::common([types[0]].into_iter().chain(constants())).map(|t| match t {
                SqlType::Char(_) => rules::Comparison::Blanks,
                _ => rules::Comparison::CharAsText,
            })
        } else {
            None
        };
        let mut any = None;
        for (item, t) in list.iter().cloned().zip(&types[1..]) {
            let how = match array {
                Some(how) if is_constant(&item) => how,
                _ => comparison_of(Operator::Eq, (&expr, types[0]), (&item, *t))?,
            };
            let test = compare_as(how, Operator::Eq, expr.as_ref().clone(), types[0], item, *t)?;
            any = Some(any.map_or(test.clone(), |any: Expr| any.or(test)));
        }
        let any = any.unwrap_or_else(|| datafusion::logical_expr::lit(false));
        return Ok(Transformed::yes(if negated { Expr::Not(Box::new(any)) } else { any }));
    }
    let (a, items) = (types[0], &types[1..]);
    // One type for the whole list where there is one; else what each pair compares as.
    let known = rules::common(items.iter().copied().filter(Option::is_some));
    let b = match (items.iter().any(Option::is_some), known) {
        (false, _) => None,
        (true, Some(t)) => Some(t),
        (true, None) => return Err(raise(mixed("IN", items))),
    };
    let comparison = rules::comparison(a, b).ok_or_else(|| raise(undefined_operator("=", a, b)))?;
    let expr = Box::new(side(*expr, a, comparison));
    let list = list.into_iter().zip(items).map(|(item, t)| side(item, *t, comparison)).collect();
    Ok(Transformed::yes(Expr::InList(InList { expr, list, negated })))
}

fn case_of(case: Case, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Case { expr, when_then_expr, else_expr } = case;
    let results: std::result::Result<Vec<Arg>, ()> =
        when_then_expr.iter().map(|(_, then)| arg(then, schema)).chain(else_expr.iter().map(|e| arg(e, schema))).collect();
    let operand = expr.as_ref().map(|e| arg(e, schema));
    let (Ok(results), None | Some(Ok(_))) = (results, &operand) else {
        return Ok(Transformed::no(Expr::Case(Case { expr, when_then_expr, else_expr })));
    };
    let numeric = results.iter().any(|t| matches!(t, Some(SqlType::Numeric { .. })));
    let mut kinds = results.into_iter();
    let mut settled = Vec::new();
    for result in when_then_expr.iter().map(|(_, then)| then).chain(&else_expr) {
        let (result, kind) = (result.as_ref().clone(), kinds.next().flatten());
        settled.push(if numeric { own_digits(result, kind) } else { (result, kind) });
    }
    let types: Vec<Arg> = settled.iter().map(|(_, t)| *t).collect();
    let t = rules::common(types.iter().copied()).ok_or_else(|| raise(mixed("CASE", &types)))?;
    let mut settled = settled.into_iter();
    let mut result = |e: Box<Expr>| {
        let (e, kind) = settled.next().unwrap_or((*e, None));
        Box::new(to_type(e, kind, t))
    };
    let mut branches = Vec::with_capacity(when_then_expr.len());
    for (when, then) in when_then_expr {
        // `CASE x WHEN y` compares as `x = y` does.
        let when = match (&expr, &operand) {
            (Some(e), Some(Ok(a))) => match arg(&when, schema) {
                Ok(b) => Box::new(compare(Operator::Eq, e.as_ref().clone(), *a, *when, b)?),
                Err(()) => when,
            },
            _ => when,
        };
        branches.push((when, result(then)));
    }
    let else_expr = else_expr.map(&mut result);
    let case = Case { expr: None, when_then_expr: branches, else_expr };
    let case = if t == SqlType::Bool { branching(case)? } else { Expr::Case(case) };
    Ok(Transformed::yes(cast_udf::known_as(case, t)))
}

/// A CASE of booleans that stays one: DataFusion writes it with AND and OR, which compute branches that are not taken. Where those may fail
/// it is one of integers.
fn branching(mut case: Case) -> Result<Expr> {
    let conditional =
        case.when_then_expr.iter().enumerate().flat_map(|(at, (when, then))| (at > 0).then_some(when).into_iter().chain([then]));
    let mut may_fail = false;
    for expr in conditional.chain(&case.else_expr) {
        may_fail |= expr.exists(|expr| {
            Ok(!matches!(
                expr,
                Expr::Column(_) | Expr::Literal(..) | Expr::BinaryExpr(_) | Expr::Not(_) | Expr::IsNull(_) | Expr::IsNotNull(_)
            ))
        })?;
    }
    if !may_fail {
        return Ok(Expr::Case(case));
    }
    for result in case.when_then_expr.iter_mut().map(|(_, then)| then).chain(&mut case.else_expr) {
        **result = to_type(std::mem::take(result.as_mut()), Some(SqlType::Bool), SqlType::Int4);
    }
    Ok(to_type(Expr::Case(case), Some(SqlType::Int4), SqlType::Bool))
}

fn settle_cast(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Expr::Cast(mut cast) = expr else { return Ok(Transformed::no(expr)) };
    let Some(to) = arrow_form::sql_type_of(&cast.field) else { return Ok(Transformed::no(Expr::Cast(cast))) };
    let (_, field) = cast.expr.to_field(schema)?;
    let from_type = field.data_type();
    if to.is_string()
        && let Some(text) = nested::text_of(cast.expr.as_ref().clone(), from_type)
    {
        return Ok(Transformed::yes(cast_udf::cast_expr(text, to)));
    }
    let from = if is_open(from_type) { None } else { arrow_form::sql_type_of(&field) };
    if let Some(from) = from
        && !cast::exists(from, to)
    {
        return Err(raise(cast::missing(from, to)));
    }
    let char_to_text = matches!(from, Some(SqlType::Char(_))) && !matches!(to, SqlType::Char(_));
    if !char_to_text && cast_udf::is_arrows(from_type, to) && from_type != &DataType::Utf8 {
        // It is NULL where what is cast is: a field that says more is one to physical plans, and none to logical ones.
        cast.field = Arc::new(cast.field.as_ref().clone().with_nullable(false));
        return Ok(Transformed::yes(Expr::Cast(cast)));
    }
    if from.is_some_and(|from| from == to) {
        return Ok(Transformed::yes(*cast.expr));
    }
    Ok(Transformed::yes(cast_udf::cast_expr(*cast.expr, to)))
}

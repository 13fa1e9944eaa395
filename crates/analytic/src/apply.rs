//! Subqueries that cannot be turned into joins: run once for each distinct set of the outer columns they use.
//!
//! ```text
//! Filter n > (SELECT max(y) FROM b WHERE b.x < a.x)        Filter n > #0
//!   a                                                        Apply #0 = SELECT max(y) FROM b WHERE b.x < $a.x
//!                                                              a
//! ```
//!
//! 1. A subquery becomes a join (DataFusion's rules do it) only in the forms [`Shape`](shape) knows to be right; any other becomes an
//!    [`Apply`](node::Apply), which adds the subquery's value to its input as a column.
//! 2. `EXISTS`, `IN`, `ANY` and `ALL` are scalar subqueries over aggregates by then, and keep their three values. `NOT IN` becomes a join
//!    only with a column as what is sought, made one if need be: the join knows of NULLs among its keys alone.
//! 3. It is run only where its value is asked for: not in a branch of CASE that is not taken, nor behind AND, OR and COALESCE where what
//!    stands before settles them (`guards`).
//! 4. It is done when a plan has its tables and parameters, before it is optimized: nothing is optimized across an Apply but the columns
//!    and conditions of its input.
//!
//! An Apply costs a plan and a run for each distinct key (`run`), so it is what is left, not the way.
//!
//! Source: "Orthogonal Optimization of Subqueries and Aggregation" (Galindo-Legaria, Joshi 2001), whose operator it is.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::functions_aggregate::bool_and_or::bool_or_udaf;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison, SetQuantifier};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, Case, Cast, Expr, ExprSchemable, Extension, Filter, JoinType, LogicalPlan, LogicalPlanBuilder, Operator,
    Projection, Sort, Subquery, lit,
};
use datafusion::scalar::ScalarValue;

use self::node::{Apply, Key};

mod guards;
mod node;
mod outer_join;
mod own_names;
mod references;
mod run;
mod shape;

pub(crate) use run::{ApplyExec, Planner, is_volatile};

/// What an operand of IN or ANY is called in a subquery: no user's name.
const OPERAND: &str = "\u{1}operand";
/// The only column of a subquery that is joined with, so that none of its table's columns has its name.
const VALUE: &str = "\u{1}answer";

/// What the columns are called that are made of operands, with a number.
const SOUGHT: &str = "\u{1}sought";

/// The plan, with an Apply for each subquery that cannot become a join.
pub(crate) fn rewrite(plan: LogicalPlan) -> Result<LogicalPlan> {
    Rewriter { made: 0 }.plan(plan)
}

struct Rewriter {
    /// How many columns were made, to name the next.
    made: usize,
}

/// The node a subquery is an expression of, as far as it is rewritten.
struct ExpressionRewriter<'r> {
    rewriter: &'r mut Rewriter,
    /// Its input, with the columns made so far.
    input: LogicalPlan,
    is_filter: bool,
    /// Whether a scalar subquery of it can become a join.
    takes_scalars: bool,
    /// The columns of the input that have other names there than subqueries know them by.
    hidden: HashMap<Column, Column>,
    /// What is true where the expression looked at is computed: each may only be computed where those before it are true.
    guards: Vec<Expr>,
    /// Whether it is computed on some rows only, which the guards do not always tell.
    conditional: bool,
}

impl Rewriter {
    /// A name no other column has.
    fn name(&mut self, prefix: &str) -> String {
        self.made += 1;
        format!("{prefix}{}", self.made)
    }

    fn plan(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        Ok(plan.transform_up(|node| self.node(node))?.data)
    }

    fn node(&mut self, node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        if !references::has_subquery(&node)? {
            return Ok(Transformed::no(node));
        }
        let mut node = condition_above(node)?;
        if let LogicalPlan::Join(join) = node {
            return self.outer_join(join);
        }
        let shown = node.schema().columns();
        let mut hidden = HashMap::new();
        if let LogicalPlan::Sort(sort) = &mut node {
            hidden = outer_columns_of_keys(sort)?;
        }
        let inputs = node.inputs();
        let [input] = inputs.as_slice() else { return Ok(Transformed::no(node)) };
        let names = NamePreserver::new(&node);
        let mut expressions = ExpressionRewriter {
            rewriter: self,
            input: (*input).clone(),
            is_filter: matches!(node, LogicalPlan::Filter(_)),
            takes_scalars: matches!(node, LogicalPlan::Filter(_) | LogicalPlan::Projection(_)),
            hidden,
            guards: vec![],
            conditional: false,
        };
        let mut changed = false;
        let mut exprs = Vec::new();
        for expr in node.expressions() {
            let name = names.save(&expr);
            let done = expressions.root(expr)?.update_data(|expr| name.restore(expr));
            changed |= done.transformed;
            exprs.push(done.data);
        }
        if !changed {
            return Ok(Transformed::no(node));
        }
        let plan = node.with_new_exprs(exprs, vec![expressions.input])?;
        // What passes on its input's columns shows those it had.
        if plan.schema().fields().len() == shown.len() {
            return Ok(Transformed::yes(plan));
        }
        let shown = shown.into_iter().map(Expr::Column).collect();
        Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(shown, Arc::new(plan))?)))
    }
}

/// Whether a join with the rows of a subquery can look for the operand as it is. For NOT IN it must be a key, which a constant is not, and one
/// that is known to be maybe NULL; what is volatile is computed once a row.
fn is_joined_with(operand: &Expr, negated: bool) -> bool {
    match operand {
        Expr::Column(_) => true,
        Expr::Cast(Cast { expr, .. }) => is_joined_with(expr, negated),
        operand => !negated && !operand.is_volatile(),
    }
}

/// What subqueries in ORDER BY use of the rows the SELECT list is made of, added to the list under names of its own.
fn outer_columns_of_keys(sort: &mut Sort) -> Result<HashMap<Column, Column>> {
    let mut hidden = HashMap::new();
    let LogicalPlan::Projection(projection) = sort.input.as_ref() else { return Ok(hidden) };
    let mut exprs = projection.expr.clone();
    for key in &sort.expr {
        for column in references::of_subqueries(&key.expr)? {
            let known = sort.input.schema().has_column(&column) || hidden.contains_key(&column);
            if !known && projection.input.schema().has_column(&column) {
                let name = format!("\u{1}outer{}", hidden.len());
                exprs.push(Expr::Column(column.clone()).alias(&name));
                hidden.insert(column, Column::new_unqualified(name));
            }
        }
    }
    if !hidden.is_empty() {
        sort.input = Arc::new(LogicalPlan::Projection(Projection::try_new(exprs, Arc::clone(&projection.input))?));
    }
    Ok(hidden)
}

/// An inner join's condition with subqueries, above the join. Errors: the condition is not boolean.
fn condition_above(node: LogicalPlan) -> Result<LogicalPlan> {
    let LogicalPlan::Join(mut join) = node else { return Ok(node) };
    if join.join_type != JoinType::Inner {
        return Ok(LogicalPlan::Join(join));
    }
    let condition = join.filter.take();
    let join = LogicalPlan::Join(join);
    match condition {
        Some(condition) => Ok(LogicalPlan::Filter(Filter::try_new(condition, Arc::new(join))?)),
        None => Ok(join),
    }
}

impl ExpressionRewriter<'_> {
    /// An expression of the node itself. The conditions of a WHERE are rewritten one by one: where one is true is all that counts.
    fn root(&mut self, expr: Expr) -> Result<Transformed<Expr>> {
        if !self.is_filter {
            return self.expr(expr);
        }
        let mut changed = false;
        let mut conditions = Vec::new();
        for condition in split_conjunction_owned(expr) {
            let done = match condition {
                Expr::InSubquery(is_in) => self.condition_in(is_in, true)?,
                Expr::Not(inner) => match *inner {
                    Expr::InSubquery(is_in) => self.condition_in(InSubquery { negated: !is_in.negated, ..is_in }, true)?,
                    inner => self.expr(Expr::Not(Box::new(inner)))?,
                },
                other => self.condition(other)?,
            };
            changed |= done.transformed;
            conditions.push(done.data);
        }
        let all = conjunction(conditions).unwrap_or_else(|| lit(true));
        Ok(if changed { Transformed::yes(all) } else { Transformed::no(all) })
    }

    fn scalar(&mut self, subquery: Subquery) -> Result<Transformed<Expr>> {
        if !references::is_correlated(&subquery.subquery)? {
            return self.alone(subquery, Expr::ScalarSubquery);
        }
        if self.takes_scalars
            && shape::is_scalar(&subquery.subquery, !self.conditional)?
            && let Some(inner) = self.joinable(&subquery)?
        {
            let inner = with_value_named(inner)?;
            return Ok(Transformed::yes(Expr::ScalarSubquery(subquery.with_plan(Arc::new(inner)))));
        }
        self.apply(subquery.subquery.as_ref().clone(), vec![]).map(Transformed::yes)
    }

    fn exists(&mut self, Exists { subquery, negated }: Exists) -> Result<Transformed<Expr>> {
        let again = |subquery: Subquery| Expr::Exists(Exists { subquery, negated });
        let correlated = references::is_correlated(&subquery.subquery)?;
        if self.is_filter {
            if !correlated {
                return self.alone(subquery, again);
            }
            let rows = shape::rows_of(&subquery.subquery);
            if shape::is_chain(rows)?
                && let Some(inner) = self.joinable(&subquery.with_plan(Arc::new(rows.clone())))?
            {
                return Ok(Transformed::yes(again(subquery.with_plan(Arc::new(inner)))));
            }
        }
        let any = count_udaf().call(vec![lit(1i64)]);
        let first = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone()).limit(0, Some(1))?;
        let counted = first.aggregate(Vec::<Expr>::new(), vec![any])?.build()?;
        let test = column(&counted, 0).gt(lit(0i64));
        let value = self.apply(LogicalPlanBuilder::from(counted).project(vec![test.alias(VALUE)])?.build()?, vec![])?;
        Ok(Transformed::yes(if negated { Expr::Not(Box::new(value)) } else { value }))
    }

    /// `x [NOT] IN (..)` where NULL is as good as false; `whole`: rows must fulfil it.
    fn condition_in(&mut self, InSubquery { expr, subquery, negated }: InSubquery, whole: bool) -> Result<Transformed<Expr>> {
        let operand = self.expr(*expr)?;
        let again = |expr: Expr, subquery: Subquery| Expr::InSubquery(InSubquery::new(Box::new(expr), subquery, negated));
        if !references::is_correlated(&subquery.subquery)? {
            let sought = if is_joined_with(&operand.data, negated) { operand } else { self.as_column(operand.data)? };
            let done = self.alone(subquery, |subquery| again(sought.data, subquery))?;
            return Ok(Transformed::new_transformed(done.data, done.transformed || sought.transformed));
        }
        if !operand.data.is_volatile()
            && shape::is_chain(&subquery.subquery)?
            && let Some(inner) = self.joinable(&subquery)?
        {
            if !negated {
                return Ok(Transformed::yes(again(operand.data, subquery.with_plan(Arc::new(with_value_named(inner)?)))));
            }
            // No row may be equal, or not known to differ.
            if whole && let Some(outer) = references::as_outer(&operand.data, self.input.schema())? {
                let unequal = BinaryExpr::new(Box::new(column(&inner, 0)), Operator::Eq, Box::new(outer));
                let test = Expr::IsNotFalse(Box::new(Expr::BinaryExpr(unequal)));
                let inner = LogicalPlan::Filter(Filter::try_new(test, Arc::new(inner))?);
                let outer_ref_columns = inner.all_out_ref_exprs();
                let subquery = Subquery { subquery: Arc::new(inner), outer_ref_columns, spans: subquery.spans };
                return Ok(Transformed::yes(Expr::Exists(Exists { subquery, negated: true })));
            }
        }
        self.in_value(operand.data, subquery, negated).map(Transformed::yes)
    }

    /// `x [NOT] IN (..)` anywhere else, where NULL is not false.
    fn embedded_in(&mut self, InSubquery { expr, subquery, negated }: InSubquery) -> Result<Transformed<Expr>> {
        self.in_value(*expr, subquery, negated).map(Transformed::yes)
    }

    fn in_value(&mut self, operand: Expr, subquery: Subquery, negated: bool) -> Result<Expr> {
        let value = self.compared(operand, Operator::Eq, &subquery.subquery, SetQuantifier::Any)?;
        Ok(if negated { Expr::Not(Box::new(value)) } else { value })
    }

    fn set_comparison(&mut self, comparison: SetComparison) -> Result<Transformed<Expr>> {
        let SetComparison { expr, subquery, op, quantifier } = comparison;
        if self.is_filter && !references::is_correlated(&subquery.subquery)? {
            let again = |subquery: Subquery| Expr::SetComparison(SetComparison::new(expr, subquery, op, quantifier));
            return self.alone(subquery, again);
        }
        self.compared(*expr, op, &subquery.subquery, quantifier).map(Transformed::yes)
    }

    /// `operand op ANY (plan)` or ALL, as a value of three.
    fn compared(&mut self, operand: Expr, op: Operator, plan: &LogicalPlan, quantifier: SetQuantifier) -> Result<Expr> {
        let (_, field) = operand.to_field(self.input.schema())?;
        let outer = Expr::OuterReferenceColumn(field, Column::new_unqualified(OPERAND));
        let test = Expr::BinaryExpr(BinaryExpr::new(Box::new(outer), op, Box::new(column(plan, 0))));
        // What decides: one that is true for ANY, one that is false for ALL.
        let (deciding, decided) = match quantifier {
            SetQuantifier::Any => (test.clone(), true),
            SetQuantifier::All => (Expr::Not(Box::new(test.clone())), false),
        };
        let found = bool_or_udaf().call(vec![deciding]).alias("found");
        let open = bool_or_udaf().call(vec![Expr::IsNull(Box::new(test))]).alias("open");
        let tested = LogicalPlanBuilder::from(plan.clone()).aggregate(Vec::<Expr>::new(), vec![found, open])?.build()?;
        let case = Case::new(
            None,
            vec![
                (Box::new(column(&tested, 0)), Box::new(lit(decided))),
                (Box::new(column(&tested, 1)), Box::new(lit(ScalarValue::Boolean(None)))),
            ],
            Some(Box::new(lit(!decided))),
        );
        let template = LogicalPlanBuilder::from(tested).project(vec![Expr::Case(case).alias(VALUE)])?.build()?;
        self.apply(template, vec![Key { name: Column::new_unqualified(OPERAND), value: operand }])
    }

    /// An expression as a column of the input.
    fn as_column(&mut self, expr: Expr) -> Result<Transformed<Expr>> {
        let name = self.rewriter.name(SOUGHT);
        let input = std::mem::replace(&mut self.input, LogicalPlan::EmptyRelation(empty()));
        let mut columns: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
        columns.push(expr.alias(&name));
        self.input = LogicalPlan::Projection(Projection::try_new(columns, Arc::new(input))?);
        Ok(Transformed::yes(Expr::Column(Column::new_unqualified(name))))
    }

    /// A subquery that uses nothing of this node: it is a query of its own.
    fn alone(&mut self, subquery: Subquery, again: impl FnOnce(Subquery) -> Expr) -> Result<Transformed<Expr>> {
        let plan = self.rewriter.plan(subquery.subquery.as_ref().clone())?;
        let changed = plan != *subquery.subquery;
        Ok(Transformed::new_transformed(again(subquery.with_plan(Arc::new(plan))), changed))
    }

    /// The subquery as it can be joined with; `None` if there is an Apply in it, which nothing is pulled out of.
    fn joinable(&mut self, subquery: &Subquery) -> Result<Option<LogicalPlan>> {
        let plan = self.rewriter.plan(subquery.subquery.as_ref().clone())?;
        if plan.exists(|node| Ok(matches!(node, LogicalPlan::Extension(_))))? {
            return Ok(None);
        }
        own_names::give(plan, self.rewriter).map(Some)
    }

    /// The value of a subquery, as a column of the input.
    fn apply(&mut self, template: LogicalPlan, mut keys: Vec<Key>) -> Result<Expr> {
        for name in references::outer_columns(&template)? {
            if keys.iter().any(|key| key.name == name) {
                continue;
            }
            let column = self.hidden.get(&name).unwrap_or(&name).clone();
            references::check(&column, self.input.schema())?;
            keys.push(Key { name, value: Expr::Column(column) });
        }
        let name = self.rewriter.name("\u{1}apply");
        let input = std::mem::replace(&mut self.input, LogicalPlan::EmptyRelation(empty()));
        let apply = Apply::new(input, keys, self.guards.clone(), Arc::new(template), name)?;
        let column = Expr::Column(apply.column());
        self.input = LogicalPlan::Extension(Extension { node: Arc::new(apply) });
        Ok(column)
    }
}

fn empty() -> datafusion::logical_expr::EmptyRelation {
    datafusion::logical_expr::EmptyRelation { produce_one_row: false, schema: Arc::new(DFSchema::empty()) }
}

fn column(plan: &LogicalPlan, at: usize) -> Expr {
    Expr::Column(Column::from(plan.schema().qualified_field(at)))
}

/// The plan's one column under a name that no column a join may need has.
fn with_value_named(plan: LogicalPlan) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Projection(Projection { mut expr, input, .. }) if expr.len() == 1 => {
            let value = expr.remove(0).unalias().alias(VALUE);
            Ok(LogicalPlan::Projection(Projection::try_new(vec![value], input)?))
        }
        plan => {
            let value = column(&plan, 0).alias(VALUE);
            Ok(LogicalPlan::Projection(Projection::try_new(vec![value], Arc::new(plan))?))
        }
    }
}

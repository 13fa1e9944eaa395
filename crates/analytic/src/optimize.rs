//! Our optimizer rules, among DataFusion's.
//!
//! ```text
//! before: subqueries to joins, conditions to where they belong --> join order --> after: the same conditions again, columns
//! ```
//!
//! No rule sees functional dependencies (`dependencies`). Joins are ordered once, when conditions are as far down as they go and no
//! projection stands between joins yet. The rules before are not repeated after: one of them would order joins as they stand in the
//! text.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{NullEquality, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{Optimizer, OptimizerConfig, OptimizerRule};
use datafusion::scalar::ScalarValue;
use expr::arrow_driver::Limits;

use crate::dependencies::without_dependencies;
use crate::join_order;

pub(crate) type Rules = Vec<Arc<dyn OptimizerRule + Send + Sync>>;

/// The last rule of DataFusion's that prepares joins.
const LAST_BEFORE: &str = "push_down_filter";
/// Rules that are run on both sides of ours: they see to what it has moved.
const AGAIN: [&str; 6] = [
    "simplify_expressions",
    "eliminate_filter",
    "propagate_empty_relation",
    "push_down_limit",
    ConstantsRight::NAME,
    "push_down_filter",
];

/// Rules of DataFusion's that answer wrongly. `eliminate_cross_join` takes joins apart and loses conditions that look at two relations
/// on one side, and joins by all keys with the NULL rule of one of them; what it is for, the order of joins does.
const LEFT_OUT: [&str; 1] = ["eliminate_cross_join"];

/// All logical rules, in two halves around the order of joins.
#[derive(Debug)]
pub(crate) struct Rewrites {
    before: Optimizer,
    after: Optimizer,
}

impl Rewrites {
    pub(crate) fn new(defaults: Rules) -> Rewrites {
        let defaults = defaults.into_iter().filter(|rule| !LEFT_OUT.contains(&rule.name())).map(guarded).collect();
        let mut defaults = without_dependencies(defaults);
        let last = defaults.iter().position(|rule| rule.name() == LAST_BEFORE).unwrap_or(defaults.len());
        defaults.insert(last, Arc::new(ConstantsRight));
        let (before, rest) = defaults.split_at((last + 2).min(defaults.len()));
        let again = before.iter().filter(|rule| AGAIN.contains(&rule.name()));
        let after = again.chain(rest).cloned().collect();
        Rewrites { before: Optimizer::with_rules(before.to_vec()), after: Optimizer::with_rules(after) }
    }

    /// The plan, rewritten to do less. `go_on` is asked between steps and ends it with its error.
    pub(crate) fn apply(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
        joins: JoinOrder,
        go_on: &dyn Fn() -> Result<()>,
    ) -> Result<LogicalPlan> {
        let plan = self.before.optimize(plan, config, |_, _| {})?;
        go_on()?;
        let plan = match joins {
            JoinOrder::ByCost => join_order::order(plan)?,
            JoinOrder::AsWritten => plan,
        };
        go_on()?;
        self.after.optimize(plan, config, |_, _| {})
    }
}

/// A rule of DataFusion's that is kept from nodes it would get wrong, and from all once its statement is to stop: one rule alone may take
/// seconds of a condition of ten thousand parts.
#[derive(Debug)]
struct Guarded {
    rule: Arc<dyn OptimizerRule + Send + Sync>,
    is_wrong: fn(&LogicalPlan) -> bool,
}

/// A rule as it is used.
fn guarded(rule: Arc<dyn OptimizerRule + Send + Sync>) -> Arc<dyn OptimizerRule + Send + Sync> {
    let is_wrong = match rule.name() {
        "extract_equijoin_predicate" => has_keys_with_nulls,
        LAST_BEFORE => is_filter_of_one_group,
        _ => |_: &LogicalPlan| false,
    };
    Arc::new(Guarded { rule, is_wrong })
}

/// `a IS NOT DISTINCT FROM b` is a key of a join where NULL equals NULL; `=` beside it would be, too.
fn has_keys_with_nulls(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Join(join) if join.null_equality == NullEquality::NullEqualsNull && !join.on.is_empty())
}

/// An aggregate without GROUP BY, or with an empty grouping set, has a row of no rows: a condition below it does not take that away.
fn is_filter_of_one_group(plan: &LogicalPlan) -> bool {
    let LogicalPlan::Filter(filter) = plan else { return false };
    let mut input = filter.input.as_ref();
    // The rule takes filters on one another for one.
    while let LogicalPlan::Filter(below) = input {
        input = below.input.as_ref();
    }
    matches!(input, LogicalPlan::Aggregate(aggregate) if matches!(aggregate.group_expr.as_slice(), [] | [Expr::GroupingSet(_)]))
}

impl OptimizerRule for Guarded {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if let Some(limits) = Limits::of(&config.options()) {
            limits.go_on()?;
        }
        if (self.is_wrong)(&plan) { Ok(Transformed::no(plan)) } else { self.rule.rewrite(plan, config) }
    }
}

/// Comparisons with constants in one form: the constant on the right, without what its field says. `x = 1 AND 1 = x` is false to
/// DataFusion's rule for conditions, and so is `x = 1 AND x = 1::bigint`: the two are different expressions.
#[derive(Debug)]
struct ConstantsRight;

impl ConstantsRight {
    const NAME: &'static str = "constants_right";
}

const COMPARISONS: [Operator; 6] = [Operator::Eq, Operator::NotEq, Operator::Lt, Operator::LtEq, Operator::Gt, Operator::GtEq];

impl OptimizerRule for ConstantsRight {
    fn name(&self) -> &str {
        ConstantsRight::NAME
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        // A condition may move below a projection, and have what is computed there in it.
        if !matches!(plan, LogicalPlan::Filter(_) | LogicalPlan::Join(_) | LogicalPlan::Projection(_)) {
            return Ok(Transformed::no(plan));
        }
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(expr.transform_up(|expr| Ok(constant_right(expr)))?.update_data(|expr| name.restore(expr)))
        })
    }
}

fn constant_right(expr: Expr) -> Transformed<Expr> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { mut left, mut op, mut right }) if COMPARISONS.contains(&op) => {
            let mut changed = false;
            if let (Expr::Literal(..), false, Some(swapped)) = (&*left, matches!(*right, Expr::Literal(..)), op.swap()) {
                (left, op, right) = (right, swapped, left);
                changed = true;
            }
            if let Expr::Literal(value, metadata) = right.as_mut() {
                changed |= metadata.take().is_some();
                changed |= one_zero(value);
            }
            Transformed::new_transformed(Expr::BinaryExpr(BinaryExpr { left, op, right }), changed)
        }
        other => Transformed::no(other),
    }
}

/// Writes the zero below zero as the other. True if it was one.
fn one_zero(value: &mut ScalarValue) -> bool {
    match value {
        ScalarValue::Float64(Some(v)) if *v == 0.0 && v.is_sign_negative() => *v = 0.0,
        ScalarValue::Float32(Some(v)) if *v == 0.0 && v.is_sign_negative() => *v = 0.0,
        _ => return false,
    }
    true
}

/// What decides the order of joins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JoinOrder {
    /// The estimated cost.
    #[default]
    ByCost,
    /// The query's text, as DataFusion reads it: to compare with.
    AsWritten,
}

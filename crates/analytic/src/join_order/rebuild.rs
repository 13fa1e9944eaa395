//! From a graph and an order back to a plan.

use std::sync::Arc;

use datafusion::common::{JoinType, NullEquality, Result};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Filter, Join, JoinConstraint, LogicalPlan};

use super::graph::{Condition, Graph, Reduction};
use super::search::{Bits, Build, Tree};

/// The plan of `tree`: every condition of the graph applied once, where all it looks at first meets.
pub(super) fn rebuild(graph: &Graph, tree: &Tree) -> Result<LogicalPlan> {
    let (plan, _) = build(graph, tree)?;
    let constant = graph.conditions.iter().filter(|condition| condition.relations == 0).map(|c| c.expr.clone());
    filtered(plan, constant.collect())
}

fn build(graph: &Graph, tree: &Tree) -> Result<(LogicalPlan, Bits)> {
    match tree {
        Tree::Relation(at) => Ok((filtered(graph.relations[*at].clone(), own_conditions(graph, *at))?, 1 << at)),
        Tree::Join(left, right) => {
            let (left, left_bits) = build(graph, left)?;
            let (right, right_bits) = build(graph, right)?;
            let bits = left_bits | right_bits;
            let mut on = Vec::new();
            for class in &graph.classes {
                let of = |bits: Bits| class.iter().find(|member| bits & (1 << member.relation) != 0);
                if let (Some(a), Some(b)) = (of(left_bits), of(right_bits)) {
                    on.push((Expr::Column(a.column.clone()), Expr::Column(b.column.clone())));
                }
            }
            let mut filters = Vec::new();
            for condition in graph.conditions.iter().filter(|condition| condition.relations != 0) {
                let meets = condition.relations & !bits == 0
                    && condition.relations & !left_bits != 0
                    && condition.relations & !right_bits != 0;
                if meets {
                    match pair(condition, left_bits, right_bits) {
                        Some(pair) => on.push(pair),
                        None => filters.push(condition.expr.clone()),
                    }
                }
            }
            let join = Join::try_new(
                Arc::new(left),
                Arc::new(right),
                on,
                conjunction(filters),
                JoinType::Inner,
                JoinConstraint::On,
                NullEquality::NullEqualsNothing,
                false,
            )?;
            Ok((LogicalPlan::Join(join), bits))
        }
        Tree::Reduce { input, reducer, build: side } => {
            let (input, bits) = build(graph, input)?;
            Ok((reduced(input, &graph.reducers[*reducer], *side)?, bits))
        }
    }
}

/// Conditions over one relation, those too that follow from its having two columns of a class.
fn own_conditions(graph: &Graph, at: usize) -> Vec<Expr> {
    let mut own: Vec<Expr> =
        graph.conditions.iter().filter(|condition| condition.relations == 1 << at).map(|c| c.expr.clone()).collect();
    for class in &graph.classes {
        let mut members = class.iter().filter(|member| member.relation == at);
        if let Some(first) = members.next() {
            own.extend(members.map(|member| Expr::Column(first.column.clone()).eq(Expr::Column(member.column.clone()))));
        }
    }
    own
}

/// The condition as a pair of keys, if each side of it is on one side of the join.
fn pair(condition: &Condition, left: Bits, right: Bits) -> Option<(Expr, Expr)> {
    let ((a, a_bits), (b, b_bits)) = condition.sides.as_ref()?;
    if a_bits & !left == 0 && b_bits & !right == 0 {
        Some((a.clone(), b.clone()))
    } else if b_bits & !left == 0 && a_bits & !right == 0 {
        Some((b.clone(), a.clone()))
    } else {
        None
    }
}

fn reduced(input: LogicalPlan, reduction: &Reduction, build: Build) -> Result<LogicalPlan> {
    let (input, inner) = (Arc::new(input), Arc::new(reduction.inner.clone()));
    let (left, right, on, join_type) = match build {
        Build::Input => {
            (input, inner, reduction.on.clone(), if reduction.anti { JoinType::LeftAnti } else { JoinType::LeftSemi })
        }
        Build::Reducer => {
            let turned = reduction.on.iter().map(|(outer, inner)| (inner.clone(), outer.clone())).collect();
            (inner, input, turned, if reduction.anti { JoinType::RightAnti } else { JoinType::RightSemi })
        }
    };
    let Join { filter, join_constraint, null_equality, null_aware, .. } = reduction.join.clone();
    Ok(LogicalPlan::Join(Join::try_new(left, right, on, filter, join_type, join_constraint, null_equality, null_aware)?))
}

fn filtered(plan: LogicalPlan, conditions: Vec<Expr>) -> Result<LogicalPlan> {
    match conjunction(conditions) {
        Some(predicate) => Ok(LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(plan))?)),
        None => Ok(plan),
    }
}

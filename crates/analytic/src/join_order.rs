//! The order of joins: cheapest first by estimates, with the smaller side in the hash table.
//!
//! ```text
//!   a JOIN b JOIN c WHERE .. AND EXISTS (d)     relations a b c, conditions, reducer d
//!     --graph--> --estimate--> --search-->        (c JOIN (a SEMI d)) JOIN b
//! ```
//!
//! 1. Inner joins commute and associate, and a semi or anti join keeps or drops a row of its outer side by that row alone: any order
//!    that applies every condition once, where the columns it looks at have met, gives the same rows.
//! 2. Equality of columns carries on: of `a = b AND b = c` any two may be joined directly. The rest of a class follows.
//! 3. Conditions with side effects, outer joins and everything else stay where they are; what is on both sides of them is ordered
//!    by itself.
//! 4. The left input of every join is the one to be put in a hash table. DataFusion's own swapping is off.
//! 5. Estimates are guesses and errors in them cost time only. A plan that cannot be taken apart is left as it is.
//!
//! Not here: where hash tables are shared by all threads and where rows are distributed first (`join_mode`); DataFusion's rules,
//! which have pushed conditions down before and do so again after (`optimize`).

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, JoinType, NullEquality, Result};
use datafusion::logical_expr::{Expr, Join, LogicalPlan, Projection};

pub(crate) use estimate::Estimate;
use estimate::{anti_share, equal_share, semi_share};
use graph::Graph;
use search::{Class, Edge, Problem, Reducer};

mod estimate;
mod graph;
mod rebuild;
mod search;

/// `plan` with its joins ordered. The output columns are the same, in the same order.
pub(crate) fn order(plan: LogicalPlan) -> Result<LogicalPlan> {
    if graph::is_part(&plan) {
        return ordered(plan);
    }
    let plan = plan.map_subqueries(|subquery| Ok(Transformed::yes(order(subquery)?)))?.data;
    let plan = plan.map_children(|child| Ok(Transformed::yes(order(child)?)))?.data;
    match plan {
        LogicalPlan::Join(join) => smaller_first(join),
        other => Ok(other),
    }
}

fn ordered(plan: LogicalPlan) -> Result<LogicalPlan> {
    let schema = Arc::clone(plan.schema());
    let Some(graph) = Graph::of(&plan, &mut order)? else {
        return plan.map_children(|child| Ok(Transformed::yes(order(child)?))).map(|plan| plan.data);
    };
    let Some(tree) = problem(&graph).solve() else { return Ok(plan) };
    tracing::trace!(?tree, "joins ordered");
    let rebuilt = rebuild::rebuild(&graph, &tree)?;
    let rebuilt = rebuilt.map_subqueries(|subquery| Ok(Transformed::yes(order(subquery)?)))?.data;
    restore(rebuilt, schema)
}

/// The columns of `schema`, in its order.
fn restore(plan: LogicalPlan, schema: datafusion::common::DFSchemaRef) -> Result<LogicalPlan> {
    if plan.schema().columns() == schema.columns() {
        return Ok(plan);
    }
    let columns = schema.columns().into_iter().map(Expr::Column).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?))
}

/// An outer join with the smaller side in the hash table.
fn smaller_first(join: Join) -> Result<LogicalPlan> {
    let turned = match join.join_type {
        JoinType::Left => JoinType::Right,
        JoinType::Right => JoinType::Left,
        JoinType::Full => JoinType::Full,
        JoinType::Inner => JoinType::Inner,
        _ => return Ok(LogicalPlan::Join(join)),
    };
    if Estimate::of(&join.left).rows <= Estimate::of(&join.right).rows {
        return Ok(LogicalPlan::Join(join));
    }
    let on = join.on.into_iter().map(|(left, right)| (right, left)).collect();
    let Join { left, right, filter, join_constraint, null_equality, null_aware, schema, .. } = join;
    let turned = Join::try_new(right, left, on, filter, turned, join_constraint, null_equality, null_aware)?;
    restore(LogicalPlan::Join(turned), schema)
}

/// The numbers of a graph.
fn problem(graph: &Graph) -> Problem {
    let bases: Vec<Estimate> = graph.relations.iter().map(Estimate::of).collect();
    let own = |at: usize| {
        let conditions = graph.conditions.iter().filter(move |condition| condition.relations == 1 << at);
        conditions.map(|condition| condition.expr.clone()).collect::<Vec<_>>()
    };
    let estimates: Vec<Estimate> = bases.into_iter().enumerate().map(|(at, base)| base.filtered(&own(at))).collect();
    let domain = |relation: usize, column: &Column| estimates[relation].domain(&Expr::Column(column.clone()));
    let classes: Vec<Class> = graph
        .classes
        .iter()
        .map(|class| {
            let mut members: Vec<(usize, f64)> = Vec::new();
            for member in class {
                if !members.iter().any(|(relation, _)| *relation == member.relation) {
                    members.push((member.relation, domain(member.relation, &member.column)));
                }
            }
            Class { members }
        })
        .collect();
    let mut edges = corrections(graph, &classes, &estimates);
    for condition in graph.conditions.iter().filter(|condition| condition.relations.count_ones() > 1) {
        let all = together(&estimates, condition.relations);
        let share = match &condition.sides {
            Some(((a, x), (b, y))) => {
                let side = |bits| together(&estimates, bits);
                equal_share(&side(*x), &side(*y), &[(a.clone(), b.clone())])
            }
            None => all.selectivity(std::slice::from_ref(&condition.expr)),
        };
        let sides = condition.sides.as_ref().map(|((_, a), (_, b))| (*a, *b));
        edges.push(Edge { relations: condition.relations, share, sides });
    }
    let reducers = graph
        .reducers
        .iter()
        .map(|reduction| {
            let inner = Estimate::of(&reduction.inner);
            let outer = together(&estimates, reduction.needs);
            let on: Vec<(&Expr, &Expr)> = reduction.on.iter().map(|(outer, inner)| (outer, inner)).collect();
            let semi = semi_share(&outer, &inner, &on, reduction.join.filter.is_some());
            Reducer {
                needs: reduction.needs,
                rows: inner.rows,
                share: if reduction.anti { anti_share(semi) } else { semi },
                turns: !reduction.join.null_aware && reduction.join.null_equality == NullEquality::NullEqualsNothing,
            }
        })
        .collect();
    Problem { relations: estimates.iter().map(|estimate| estimate.rows.max(1.0)).collect(), classes, edges, reducers }
}

/// Relations that share several classes are joined by all of them at once: a foreign key of two columns is not two independent ones.
fn corrections(graph: &Graph, classes: &[Class], estimates: &[Estimate]) -> Vec<Edge> {
    let mut edges = Vec::new();
    for a in 0..estimates.len() {
        for b in a + 1..estimates.len() {
            let mut on = Vec::new();
            let mut alone = 1.0;
            for (members, class) in graph.classes.iter().zip(classes) {
                let of = |relation| members.iter().find(move |member| member.relation == relation);
                let distinct = |relation| class.members.iter().find(|(at, _)| *at == relation).map_or(1.0, |(_, d)| *d);
                if let (Some(left), Some(right)) = (of(a), of(b)) {
                    on.push((Expr::Column(left.column.clone()), Expr::Column(right.column.clone())));
                    alone /= distinct(a).max(distinct(b)).max(1.0);
                }
            }
            if on.len() > 1 {
                let share = equal_share(&estimates[a], &estimates[b], &on) / alone;
                edges.push(Edge { relations: 1 << a | 1 << b, share, sides: None });
            }
        }
    }
    edges
}

/// The columns of several relations, as if each stood alone.
fn together(estimates: &[Estimate], bits: search::Bits) -> Estimate {
    let mut of = estimates.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0).map(|(_, estimate)| estimate.clone());
    let first = of.next().unwrap_or_default();
    of.fold(first, |all, next| {
        let rows = all.rows.max(next.rows);
        all.beside(next, rows)
    })
}

#[cfg(test)]
mod tests;

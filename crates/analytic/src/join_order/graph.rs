//! Inner joins, and the semi and anti joins among them, as a graph: relations, conditions over them, reducers.

use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Column, ExprSchema, HashSet, JoinType, NullEquality, Result};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Join, LogicalPlan, Operator};

use super::search::{BITS_MAX, Bits};

/// See the module's head.
#[derive(Default)]
pub(super) struct Graph {
    pub(super) relations: Vec<LogicalPlan>,
    pub(super) conditions: Vec<Condition>,
    /// Columns with equal values in every row of the whole.
    pub(super) classes: Vec<Vec<Member>>,
    pub(super) reducers: Vec<Reduction>,
}

/// A condition that is not the equality of two columns.
pub(super) struct Condition {
    pub(super) expr: Expr,
    pub(super) relations: Bits,
    /// For `a = b` of different relations: both expressions with the relations they look at.
    pub(super) sides: Option<((Expr, Bits), (Expr, Bits))>,
}

/// A column of a class.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) relation: usize,
    pub(super) column: Column,
}

/// A semi or anti join without its outer side.
pub(super) struct Reduction {
    pub(super) inner: LogicalPlan,
    /// Pairs of an outer and an inner expression.
    pub(super) on: Vec<(Expr, Expr)>,
    pub(super) join: Join,
    pub(super) needs: Bits,
    pub(super) anti: bool,
}

/// True if `plan` is the top of something this module can take apart.
pub(super) fn is_part(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Join(join) => takes(join),
        LogicalPlan::Filter(filter) => is_movable(&filter.predicate) && is_part(&filter.input),
        _ => false,
    }
}

fn takes(join: &Join) -> bool {
    let kind = match join.join_type {
        JoinType::Inner => join.null_equality == NullEquality::NullEqualsNothing,
        JoinType::LeftSemi | JoinType::LeftAnti | JoinType::RightSemi | JoinType::RightAnti => true,
        _ => false,
    };
    kind && join.on.iter().all(|(left, right)| is_movable(left) && is_movable(right)) && join.filter.iter().all(is_movable)
}

/// A condition means the same wherever its columns are: it has no side effect and looks at nothing outside.
fn is_movable(expr: &Expr) -> bool {
    let fixed = expr.exists(|e| {
        Ok(match e {
            Expr::ScalarSubquery(subquery) => !subquery.outer_ref_columns.is_empty(),
            Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_) | Expr::OuterReferenceColumn(..) => true,
            _ => false,
        })
    });
    matches!(fixed, Ok(false)) && !expr.is_volatile()
}

impl Graph {
    /// Takes a tree of joins apart. `inner` is applied to every plan at its edge. `None`: a column is not where it should be, or
    /// there is too much; the plan must then stay as it is.
    pub(super) fn of(plan: &LogicalPlan, inner: &mut dyn FnMut(LogicalPlan) -> Result<LogicalPlan>) -> Result<Option<Graph>> {
        let mut parts = Parts::default();
        collect(plan, &mut parts);
        if parts.relations.len() + parts.reducers.len() > BITS_MAX {
            return Ok(None);
        }
        let mut names = HashSet::new();
        if !parts.relations.iter().flat_map(|relation| relation.schema().columns()).all(|column| names.insert(column)) {
            return Ok(None);
        }
        let mut graph = Graph::default();
        for condition in parts.conditions {
            if graph.condition(&parts.relations, condition).is_none() {
                return Ok(None);
            }
        }
        for join in &parts.reducers {
            let Some(reduction) = reduction(&parts.relations, join, inner)? else { return Ok(None) };
            graph.reducers.push(reduction);
        }
        graph.relations = parts.relations.into_iter().map(|relation| inner(relation.clone())).collect::<Result<_>>()?;
        Ok(Some(graph))
    }

    fn condition(&mut self, relations: &[&LogicalPlan], expr: Expr) -> Option<()> {
        let bits = looks_at(relations, &expr)?;
        let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = &expr else {
            self.conditions.push(Condition { expr, relations: bits, sides: None });
            return Some(());
        };
        if let (Expr::Column(a), Expr::Column(b)) = (left.as_ref(), right.as_ref()) {
            let (a, b) = (member(relations, a)?, member(relations, b)?);
            let data_type =
                |m: &Member| relations[m.relation].schema().field_from_column(&m.column).ok().map(|f| f.data_type().clone());
            if a.relation != b.relation && data_type(&a) == data_type(&b) {
                self.equal(a, b);
                return Some(());
            }
        }
        let (a, b) = (looks_at(relations, left)?, looks_at(relations, right)?);
        let sides = (a != 0 && b != 0 && a & b == 0).then(|| ((left.as_ref().clone(), a), (right.as_ref().clone(), b)));
        self.conditions.push(Condition { expr, relations: bits, sides });
        Some(())
    }

    fn equal(&mut self, a: Member, b: Member) {
        let has = |class: &[Member], m: &Member| class.iter().any(|known| known.column == m.column);
        let (mut inside, outside): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.classes).into_iter().partition(|class| has(class, &a) || has(class, &b));
        let mut class: Vec<Member> = inside.drain(..).flatten().collect();
        for member in [a, b] {
            if !has(&class, &member) {
                class.push(member);
            }
        }
        self.classes = outside;
        self.classes.push(class);
    }
}

#[derive(Default)]
struct Parts<'p> {
    relations: Vec<&'p LogicalPlan>,
    conditions: Vec<Expr>,
    reducers: Vec<&'p Join>,
}

fn collect<'p>(plan: &'p LogicalPlan, parts: &mut Parts<'p>) {
    match plan {
        LogicalPlan::Filter(filter) if is_part(plan) => {
            parts.conditions.extend(split_conjunction(&filter.predicate).into_iter().cloned());
            collect(&filter.input, parts);
        }
        LogicalPlan::Join(join) if takes(join) => match join.join_type {
            JoinType::Inner => {
                let equal = |(left, right): &(Expr, Expr)| left.clone().eq(right.clone());
                parts.conditions.extend(join.on.iter().map(equal));
                parts.conditions.extend(join.filter.iter().flat_map(split_conjunction).cloned());
                collect(&join.left, parts);
                collect(&join.right, parts);
            }
            JoinType::RightSemi | JoinType::RightAnti => {
                parts.reducers.push(join);
                collect(&join.right, parts);
            }
            _ => {
                parts.reducers.push(join);
                collect(&join.left, parts);
            }
        },
        // Columns passed on under their names: what is left out of them is left out again at the top.
        LogicalPlan::Projection(projection)
            if is_part(&projection.input) && projection.expr.iter().all(|expr| matches!(expr, Expr::Column(_))) =>
        {
            collect(&projection.input, parts);
        }
        other => parts.relations.push(other),
    }
}

fn reduction(
    relations: &[&LogicalPlan],
    join: &Join,
    inner: &mut dyn FnMut(LogicalPlan) -> Result<LogicalPlan>,
) -> Result<Option<Reduction>> {
    let turned = matches!(join.join_type, JoinType::RightSemi | JoinType::RightAnti);
    let on: Vec<(Expr, Expr)> = match turned {
        true => join.on.iter().map(|(left, right)| (right.clone(), left.clone())).collect(),
        false => join.on.clone(),
    };
    let plan = if turned { &join.left } else { &join.right };
    let own = plan.schema();
    let mut needs = 0;
    for (outer, _) in &on {
        let Some(bits) = looks_at(relations, outer) else { return Ok(None) };
        needs |= bits;
    }
    for column in join.filter.iter().flat_map(Expr::column_refs) {
        let here = own.has_column(column);
        match member(relations, column) {
            Some(member) if !here => needs |= 1 << member.relation,
            None if here => {}
            _ => return Ok(None),
        }
    }
    // The inner side's names must be its own: it may get neighbours it did not have before.
    if own.columns().iter().any(|column| member(relations, column).is_some()) {
        return Ok(None);
    }
    let anti = matches!(join.join_type, JoinType::LeftAnti | JoinType::RightAnti);
    Ok(Some(Reduction { inner: inner(plan.as_ref().clone())?, on, join: join.clone(), needs, anti }))
}

/// The relations whose columns an expression has; `None` if a column is in none or several.
fn looks_at(relations: &[&LogicalPlan], expr: &Expr) -> Option<Bits> {
    expr.column_refs().into_iter().try_fold(0, |bits, column| Some(bits | 1 << member(relations, column)?.relation))
}

/// The one relation that has the column, and its full name there.
fn member(relations: &[&LogicalPlan], column: &Column) -> Option<Member> {
    let mut found = None;
    for (at, relation) in relations.iter().enumerate() {
        let schema = relation.schema();
        let index = match &column.relation {
            Some(qualifier) => schema.index_of_column_by_name(Some(qualifier), &column.name),
            None => schema.maybe_index_of_column(column),
        };
        if let Some(index) = index {
            if found.is_some() {
                return None;
            }
            found = Some(Member { relation: at, column: Column::from(schema.qualified_field(index)) });
        }
    }
    found
}

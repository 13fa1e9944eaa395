//! JOIN .. USING by PostgreSQL's meaning: the columns it merges are one column, to every later join and to the SELECT list.
//!
//! ```text
//! SELECT id FROM a JOIN b USING (id) JOIN c USING (id)   SELECT a.id FROM a JOIN b ON a.id = b.id JOIN c ON a.id = c.id
//! SELECT id FROM a FULL JOIN b USING (id)                SELECT coalesce(a.id, b.id) AS id FROM a FULL JOIN b ON a.id = b.id
//! SELECT * FROM a RIGHT JOIN b USING (id)                SELECT b.id, a.* EXCLUDE (id), b.* EXCLUDE (id) FROM a RIGHT JOIN b ON ..
//! ```
//!
//! 1. A merged column is the left one's of an inner or LEFT join, the right one's of a RIGHT one, of a FULL one whichever is not NULL.
//! 2. `*` has the columns that the last join merges first, then those of its left side in the same way, then those of its right side.
//! 3. What cannot be told stays as it is (NATURAL of what `natural` does not know the columns of, and a column that any of several
//!    tables may have), and is refused where it would answer wrongly.
//!
//! DataFusion by itself merges two tables' columns only, and takes the same side's for every kind of join.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    ExcludeSelectItem, Expr, Ident, Join, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, OrderBy, OrderByKind, Query,
    Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableFactor, TableWithJoins, VisitMut,
    WildcardAdditionalOptions,
};
use types::SqlError;

use super::predicates::{expression, substitute};
use super::{natural, own};
use crate::names::folded;

/// A column that joins have merged so far.
#[derive(Clone)]
struct Merged {
    name: Ident,
    /// Its value.
    value: Expr,
}

/// What an item of FROM gives.
struct Output {
    /// In the order of `*`.
    merged: Vec<Merged>,
    /// The tables, each with the columns that are in `merged`.
    tables: Vec<(Ident, Vec<Ident>)>,
    /// The condition of each join that has one.
    conditions: Vec<Option<Expr>>,
}

/// Names merged columns in a SELECT. Call it before columns are named.
pub(super) fn select(select: &mut Select) -> Result<(), SqlError> {
    let Some(outputs) = outputs(&select.from)? else { return refuse(select) };
    for (from, output) in select.from.iter_mut().zip(&outputs) {
        for (join, condition) in from.joins.iter_mut().zip(&output.conditions) {
            if let (Some(constraint), Some(condition)) = (natural::constraint_mut(&mut join.join_operator), condition) {
                *constraint = JoinConstraint::On(condition.clone());
            }
        }
    }
    let merged: Vec<Merged> = outputs.iter().flat_map(|output| output.merged.iter().cloned()).collect();
    let mut items = Vec::with_capacity(select.projection.len());
    for mut item in std::mem::take(&mut select.projection) {
        match &item {
            SelectItem::Wildcard(_) => {
                items.extend(outputs.iter().flat_map(star));
                continue;
            }
            SelectItem::UnnamedExpr(Expr::Identifier(ident)) => {
                if let Some(found) = find(&merged, ident).filter(|found| !matches!(found.value, Expr::CompoundIdentifier(_))) {
                    items.push(found.item());
                    continue;
                }
            }
            _ => {}
        }
        name(&mut item, &merged);
        items.push(item);
    }
    select.projection = items;
    name(&mut select.distinct, &merged);
    name(&mut select.selection, &merged);
    name(&mut select.group_by, &merged);
    name(&mut select.having, &merged);
    Ok(())
}

/// Names merged columns in ORDER BY, unless they are output columns. Call it before the SELECT is changed.
pub(super) fn order(query: &mut Query) -> Result<(), SqlError> {
    let (SetExpr::Select(select), Some(OrderBy { kind: OrderByKind::Expressions(items), .. })) =
        (query.body.as_ref(), &mut query.order_by)
    else {
        return Ok(());
    };
    let Some(outputs) = outputs(&select.from)? else { return Ok(()) };
    let merged: Vec<Merged> = outputs.into_iter().flat_map(|output| output.merged).collect();
    let is_output = |ident: &Ident| {
        select.projection.iter().any(|item| match item {
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => true,
            SelectItem::UnnamedExpr(Expr::Identifier(name)) | SelectItem::ExprWithAlias { alias: name, .. } => {
                folded(name) == folded(ident)
            }
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
                parts.last().is_some_and(|name| folded(name) == folded(ident))
            }
            _ => false,
        })
    };
    for item in items {
        match &item.expr {
            Expr::Identifier(ident) if is_output(ident) => {}
            _ => name(&mut item.expr, &merged),
        }
    }
    Ok(())
}

/// Errors: a join that stays as it is would have its merged columns from the side without partners.
fn refuse(select: &Select) -> Result<(), SqlError> {
    let star = select.projection.iter().any(|item| matches!(item, SelectItem::Wildcard(_)));
    for join in select.from.iter().flat_map(|from| &from.joins) {
        let (kind, constraint) = match &join.join_operator {
            JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) if star => ("LEFT", constraint),
            JoinOperator::Join(constraint @ JoinConstraint::Natural)
            | JoinOperator::Inner(constraint @ JoinConstraint::Natural)
                if star =>
            {
                ("INNER", constraint)
            }
            JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => ("RIGHT", constraint),
            JoinOperator::FullOuter(constraint) => ("FULL", constraint),
            _ => continue,
        };
        let how = match constraint {
            JoinConstraint::Natural => "NATURAL",
            JoinConstraint::Using(_) => "USING",
            JoinConstraint::On(_) | JoinConstraint::None => continue,
        };
        return Err(SqlError::unsupported(format!("{how} is not supported in this {kind} JOIN")).hint("Name the columns in ON."));
    }
    Ok(())
}

impl Merged {
    fn item(&self) -> SelectItem {
        SelectItem::ExprWithAlias { expr: self.value.clone(), alias: self.name.clone() }
    }
}

/// What each item of FROM gives; `None` if no columns are merged, or it cannot be told which.
fn outputs(from: &[TableWithJoins]) -> Result<Option<Vec<Output>>, SqlError> {
    let mut outputs = Vec::with_capacity(from.len());
    for item in from {
        match output(item)? {
            Some(output) => outputs.push(output),
            None => return Ok(None),
        }
    }
    let merges = outputs.iter().any(|output| !output.merged.is_empty());
    Ok(merges.then_some(outputs))
}

fn output(from: &TableWithJoins) -> Result<Option<Output>, SqlError> {
    let Some(first) = table_name(&from.relation) else { return Ok(None) };
    let mut output = Output { merged: vec![], tables: vec![(first, vec![])], conditions: vec![] };
    for join in &from.joins {
        let Some(right) = table_name(&join.relation) else { return Ok(None) };
        output.tables.push((right.clone(), vec![]));
        let mut join = join.clone();
        let using = match natural::constraint_mut(&mut join.join_operator) {
            Some(JoinConstraint::Using(names)) => std::mem::take(names),
            Some(JoinConstraint::On(on)) => {
                name(on, &output.merged);
                output.conditions.push(Some(on.clone()));
                continue;
            }
            Some(JoinConstraint::None) => {
                output.conditions.push(None);
                continue;
            }
            Some(JoinConstraint::Natural) | None => return Ok(None),
        };
        let Some(condition) = merge(&mut output, &join, &using, &right)? else { return Ok(None) };
        output.conditions.push(Some(condition));
    }
    Ok(Some(output))
}

/// Merges the columns of one join; returns its condition. `None`: it cannot be told which table on the left has one.
fn merge(output: &mut Output, join: &Join, using: &[ObjectName], right: &Ident) -> Result<Option<Expr>, SqlError> {
    let mut now = Vec::new();
    let mut condition = None;
    for name in using {
        let [ObjectNamePart::Identifier(name)] = name.0.as_slice() else { return Ok(None) };
        let right_value = Expr::CompoundIdentifier(vec![right.clone(), name.clone()]);
        let left_value = match output.merged.iter().position(|merged| folded(&merged.name) == folded(name)) {
            Some(at) => output.merged.remove(at).value,
            None => {
                // Of several tables on the left any may have it.
                let [(left, columns), _] = output.tables.as_mut_slice() else { return Ok(None) };
                columns.push(name.clone());
                Expr::CompoundIdentifier(vec![left.clone(), name.clone()])
            }
        };
        if let Some((_, columns)) = output.tables.last_mut() {
            columns.push(name.clone());
        }
        let of_both = |template: &str| -> Result<Expr, SqlError> {
            let mut both = expression(template)?;
            substitute(&mut both, &[("l", left_value.clone()), ("r", right_value.clone())]);
            Ok(both)
        };
        let equal = of_both("l = r")?;
        let value = match &join.join_operator {
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) => right_value.clone(),
            JoinOperator::FullOuter(_) => of_both("coalesce(l, r)")?,
            _ => left_value.clone(),
        };
        now.push(Merged { name: name.clone(), value });
        condition = Some(match condition {
            None => equal,
            Some(before) => {
                let mut both = expression("l AND r")?;
                substitute(&mut both, &[("l", before), ("r", equal)]);
                both
            }
        });
    }
    now.append(&mut output.merged);
    output.merged = now;
    Ok(condition)
}

/// `*` of an item of FROM.
fn star(output: &Output) -> Vec<SelectItem> {
    let table = |(name, merged): &(Ident, Vec<Ident>)| {
        let kind = SelectItemQualifiedWildcardKind::ObjectName(ObjectName(vec![ObjectNamePart::Identifier(name.clone())]));
        let names = merged.iter().map(|name| ObjectName(vec![ObjectNamePart::Identifier(name.clone())])).collect();
        let opt_exclude = (!merged.is_empty()).then_some(ExcludeSelectItem::Multiple(names));
        SelectItem::QualifiedWildcard(kind, WildcardAdditionalOptions { opt_exclude, ..WildcardAdditionalOptions::default() })
    };
    output.merged.iter().map(Merged::item).chain(output.tables.iter().map(table)).collect()
}

/// What columns of a table are qualified by.
pub(super) fn table_name(table: &TableFactor) -> Option<Ident> {
    match table {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::Function { alias: Some(alias), .. } => Some(alias.name.clone()),
        TableFactor::Table { name, alias: None, .. } => name.0.last().and_then(ObjectNamePart::as_ident).cloned(),
        _ => None,
    }
}

fn find<'m>(merged: &'m [Merged], ident: &Ident) -> Option<&'m Merged> {
    merged.iter().find(|merged| folded(&merged.name) == folded(ident))
}

/// Puts merged columns where their names are, not in subqueries: those may have columns of the same names.
fn name<T: VisitMut>(node: &mut T, merged: &[Merged]) {
    let _ = own::visit_mut(node, |expr| {
        if let Expr::Identifier(ident) = expr
            && let Some(merged) = find(merged, ident)
        {
            *expr = merged.value.clone();
        }
        ControlFlow::<()>::Continue(())
    });
}

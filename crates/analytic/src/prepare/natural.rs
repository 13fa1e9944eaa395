//! NATURAL joins as joins with USING, where the columns of both sides can be told.
//!
//! ```text
//! a NATURAL LEFT JOIN b     a LEFT JOIN b USING (x, y)     x, y: the columns both have, in a's order; ON true if there are none
//! ```
//!
//! Not here: what USING means (`using`), which also refuses the NATURAL joins that are left.

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, JoinConstraint, JoinOperator, ObjectName, Select, SelectItem, SetExpr, TableAlias, TableFactor, Value,
};
use types::{SqlError, SqlState};

use crate::names::{self, folded};

/// The columns of a relation by its name; `None` if it is not known.
pub(crate) type Columns<'a> = &'a dyn Fn(&ObjectName) -> Option<Vec<String>>;

/// Errors: 42702 for a column to join by that its side has twice.
pub(super) fn to_using(select: &mut Select, columns: Columns<'_>) -> Result<(), SqlError> {
    for from in &mut select.from {
        let is_natural = |operator: &JoinOperator| matches!(constraint(operator), Some(JoinConstraint::Natural));
        if !from.joins.iter().any(|join| is_natural(&join.join_operator)) {
            continue;
        }
        let Some(mut left) = columns_of(&from.relation, columns) else { continue };
        for join in &mut from.joins {
            let Some(right) = columns_of(&join.relation, columns) else { break };
            let merged = match constraint(&join.join_operator) {
                Some(JoinConstraint::Natural) => {
                    let shared: Vec<String> = left.iter().filter(|name| right.contains(name)).cloned().collect();
                    once(&shared, &left, "left")?;
                    once(&shared, &right, "right")?;
                    shared
                }
                Some(JoinConstraint::Using(names)) => names.iter().filter_map(names::last).collect(),
                Some(JoinConstraint::On(_) | JoinConstraint::None) => vec![],
                None => break,
            };
            if let Some(constraint @ JoinConstraint::Natural) = constraint_mut(&mut join.join_operator) {
                let ident = |name: &String| ObjectName::from(Ident::with_quote('"', name));
                *constraint = match merged.is_empty() {
                    true => JoinConstraint::On(Expr::value(Value::Boolean(true))),
                    false => JoinConstraint::Using(merged.iter().map(ident).collect()),
                };
            }
            let others = left.into_iter().chain(right).filter(|name| !merged.contains(name)).collect::<Vec<_>>();
            left = merged.iter().cloned().chain(others).collect();
        }
    }
    Ok(())
}

fn once(shared: &[String], side: &[String], which: &str) -> Result<(), SqlError> {
    match shared.iter().find(|name| side.iter().filter(|other| other == name).count() > 1) {
        None => Ok(()),
        Some(name) => {
            let message = format!("common column name \"{name}\" appears more than once in {which} table");
            Err(SqlError::new(SqlState::AMBIGUOUS_COLUMN, message))
        }
    }
}

fn columns_of(factor: &TableFactor, columns: Columns<'_>) -> Option<Vec<String>> {
    let (mut names, alias) = match factor {
        TableFactor::Table { name, args: None, alias, .. } => (columns(name)?, alias),
        TableFactor::Derived { subquery, alias, .. } => match subquery.body.as_ref() {
            SetExpr::Select(select) => (listed(select)?, alias),
            _ => return None,
        },
        _ => return None,
    };
    let renamed = alias.iter().flat_map(|TableAlias { columns, .. }| columns);
    names.iter_mut().zip(renamed).for_each(|(name, column)| *name = folded(&column.name));
    Some(names)
}

/// The columns of a SELECT without `*`.
fn listed(select: &Select) -> Option<Vec<String>> {
    let mut select = select.clone();
    names::name_columns(&mut select);
    let name = |item: &SelectItem| match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(names::shown(&folded(alias)).to_owned()),
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(folded(name)),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts.last().map(folded),
        _ => None,
    };
    select.projection.iter().map(name).collect()
}

pub(super) fn constraint(operator: &JoinOperator) -> Option<&JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::CrossJoin(constraint) => Some(constraint),
        _ => None,
    }
}

pub(super) fn constraint_mut(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::CrossJoin(constraint) => Some(constraint),
        _ => None,
    }
}

//! The relations of FROM, by what they are called there.

use datafusion::sql::sqlparser::ast::{JoinConstraint, ObjectName, TableFactor, TableWithJoins};

use super::natural;
use crate::names;

/// A relation of FROM.
pub(super) struct Relation {
    /// Its alias, or its own name.
    pub(super) called: String,
    /// The table, view or query of WITH that it is, if its columns are called there as they are here.
    pub(super) name: Option<ObjectName>,
}

/// All relations that have a name, those of joins in parentheses among them.
pub(super) fn relations(from: &[TableWithJoins]) -> Vec<Relation> {
    let mut all = Vec::new();
    from.iter().for_each(|item| add(item, &mut all));
    all
}

fn add(item: &TableWithJoins, all: &mut Vec<Relation>) {
    for factor in std::iter::once(&item.relation).chain(item.joins.iter().map(|join| &join.relation)) {
        if let TableFactor::NestedJoin { table_with_joins, alias: None } = factor {
            add(table_with_joins, all);
        } else if let Some(called) = called(factor) {
            let name = match factor {
                TableFactor::Table { name, alias, args: None, .. } => {
                    alias.as_ref().is_none_or(|alias| alias.columns.is_empty()).then(|| name.clone())
                }
                _ => None,
            };
            all.push(Relation { called, name });
        }
    }
}

/// The names of columns that USING makes one, in parentheses too.
pub(super) fn merged(from: &[TableWithJoins]) -> Vec<String> {
    let mut all = Vec::new();
    for item in from {
        for factor in std::iter::once(&item.relation).chain(item.joins.iter().map(|join| &join.relation)) {
            if let TableFactor::NestedJoin { table_with_joins, .. } = factor {
                all.extend(merged(std::slice::from_ref(table_with_joins)));
            }
        }
        for join in &item.joins {
            if let Some(JoinConstraint::Using(columns)) = natural::constraint(&join.join_operator) {
                all.extend(columns.iter().filter_map(names::last));
            }
        }
    }
    all
}

/// What a relation is called.
pub(super) fn called(factor: &TableFactor) -> Option<String> {
    match factor {
        TableFactor::Table { name, alias: None, args: None, .. } => names::last(name),
        TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::UNNEST { alias, .. }
        | TableFactor::NestedJoin { alias, .. } => alias.as_ref().map(|alias| names::folded(&alias.name)),
        _ => None,
    }
}

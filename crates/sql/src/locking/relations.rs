//! The relations of a FROM clause, one by one.

use sqlparser::ast::{Ident, JoinOperator, ObjectName, TableAlias, TableFactor, TableWithJoins};

/// One of them.
pub(super) struct Relation<'a> {
    pub(super) factor: &'a mut TableFactor,
    /// An outer join may give NULLs in its place.
    pub(super) is_nullable: bool,
}

impl Relation<'_> {
    /// What the query calls it.
    pub(super) fn name(&self) -> Option<String> {
        let (alias, name) = match &*self.factor {
            TableFactor::Table { alias, name, .. } => (alias, name.0.last().and_then(|part| part.as_ident())),
            TableFactor::Derived { alias, .. } | TableFactor::Function { alias, .. } | TableFactor::NestedJoin { alias, .. } => {
                (alias, None)
            }
            _ => return None,
        };
        alias.as_ref().map(|alias| &alias.name).or(name).map(|name| name.value.clone())
    }

    /// Lets a table be read by another name; gives what the query calls it.
    pub(super) fn show_keys(&mut self, shown: ObjectName) -> Ident {
        let called = Ident::with_quote('"', self.name().unwrap_or_default());
        if let TableFactor::Table { name, alias, .. } = &mut *self.factor {
            *name = shown;
            let new = || TableAlias { explicit: true, name: called.clone(), columns: vec![], at: None };
            return alias.get_or_insert_with(new).name.clone();
        }
        called
    }
}

/// Calls `each` with every relation, those of joins in parentheses too.
pub(super) fn each_relation(from: &mut TableWithJoins, is_nullable: bool, each: &mut dyn FnMut(Relation<'_>)) {
    // What a RIGHT or FULL join has on its left is nullable, all of it.
    let null_left = |joins: &[sqlparser::ast::Join]| {
        joins.iter().any(|join| {
            matches!(join.join_operator, JoinOperator::Right(_) | JoinOperator::RightOuter(_) | JoinOperator::FullOuter(_))
        })
    };
    factor(&mut from.relation, is_nullable || null_left(&from.joins), each);
    for at in 0..from.joins.len() {
        let by_later = null_left(&from.joins[at + 1..]);
        let join = &mut from.joins[at];
        let by_own =
            matches!(join.join_operator, JoinOperator::Left(_) | JoinOperator::LeftOuter(_) | JoinOperator::FullOuter(_));
        factor(&mut join.relation, is_nullable || by_later || by_own, each);
    }
}

fn factor(factor: &mut TableFactor, is_nullable: bool, each: &mut dyn FnMut(Relation<'_>)) {
    match factor {
        TableFactor::NestedJoin { table_with_joins, alias: None } => each_relation(table_with_joins, is_nullable, each),
        factor => each(Relation { factor, is_nullable }),
    }
}

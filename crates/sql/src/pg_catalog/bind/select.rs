//! SELECT: its conditions where they hold soonest, its list, its groups.

use sqlparser::ast::{
    self, Expr, GroupByExpr, OrderBy, SelectItem, SelectItemQualifiedWildcardKind, TableFactor, TableWithJoins,
};
use types::{SqlError, SqlState};

use super::from::side_by_side;
use super::level::{Clause, Level, Visible};
use super::query::{column, order, order_items};
use super::title::title;
use super::{Binder, Ctes, Typed, unsupported};
use crate::pg_catalog::kind;
use crate::pg_catalog::operator::Operator;
use crate::pg_catalog::plan::{Body, Distinct, Ex, Node, Order, OrderKey, Plan, Select};
use crate::pg_catalog::relation::Column;

impl Binder<'_> {
    pub(super) fn select(
        &self,
        select: &ast::Select,
        order_by: Option<&OrderBy>,
        parent: Option<&Level<'_>>,
        ctes: &Ctes,
    ) -> Result<Plan, SqlError> {
        refuse(select)?;
        let (level, from, filters) = self.rows(select, parent, ctes)?;
        let mut made = Select { from, width: level.width, filters, ..Select::default() };

        level.clause.set(Clause::Items);
        let mut columns: Vec<Column> = Vec::new();
        for item in &select.projection {
            for (name, value) in self.item(&level, item)? {
                columns.push(Column { fields: value.fields.clone(), ..column(&name, value.kind) });
                made.items.push(if value.kind == kind::UNKNOWN { self.coerce(value, kind::TEXT) } else { value.ex });
            }
        }
        let order = self.order(&level, order_by, &columns)?;
        if let Some(ast::Distinct::On(exprs)) = &select.distinct {
            let mut keys = Vec::new();
            for expr in exprs {
                keys.push(match self.output_position(expr, &columns)? {
                    Some(at) => made.items.get(at).cloned().ok_or_else(|| SqlError::bug("a column of the list is missing"))?,
                    None => self.expression(&level, expr)?.ex,
                });
            }
            made.distinct = Distinct::On(keys);
        } else if let Some(ast::Distinct::Distinct) = &select.distinct {
            made.distinct = Distinct::Rows;
        }
        level.clause.set(Clause::Having);
        made.having = match &select.having {
            Some(expr) => Some(self.condition("HAVING", self.expression(&level, expr)?)?),
            None => None,
        };
        level.clause.set(Clause::Other("GROUP BY"));
        let groups = self.groups(&level, &select.group_by, &made.items, &columns)?;
        made.aggregates = level.aggregates.take();
        made.sets = level.sets.take();
        if !groups.is_empty() || !made.aggregates.is_empty() || made.having.is_some() {
            let sorted = order.iter().filter_map(|o| match &o.key {
                OrderKey::Expression(ex) => Some(ex),
                OrderKey::Output(_) => None,
            });
            check_groups(&level, &groups, made.items.iter().chain(&made.having).chain(sorted))?;
            made.group = Some(groups);
        }
        let correlated = level.reads_outer.get();
        Ok(Plan { columns, ctes: vec![], body: Body::Select(Box::new(made)), order, limit: None, offset: None, correlated })
    }

    /// FROM and WHERE. Relations that are listed side by side are joined in the order in which conditions connect them.
    fn rows<'p>(
        &self,
        select: &ast::Select,
        parent: Option<&'p Level<'p>>,
        ctes: &Ctes,
    ) -> Result<(Level<'p>, Option<Node>, Vec<Ex>), SqlError> {
        let mut items: Vec<&TableWithJoins> = select.from.iter().collect();
        let bind = |items: &[&TableWithJoins]| -> Result<_, SqlError> {
            let mut level = Level::new(parent, ctes);
            let (mut ends, mut node) = (Vec::new(), None);
            for item in items {
                let next = self.joined(&mut level, item)?;
                node = Some(side_by_side(node, next));
                ends.push((level.width, level.relations.len()));
            }
            let mut conditions = Vec::new();
            if let Some(expr) = &select.selection {
                level.clause.set(Clause::Other("WHERE"));
                self.condition("WHERE", self.expression(&level, expr)?)?.conjuncts(&mut conditions);
            }
            Ok((level, node, conditions, ends))
        };
        let mut bound = bind(&items)?;
        let movable = items.iter().take_while(|item| is_plain(item)).count();
        let widths: Vec<usize> = bound.3.iter().map(|(width, _)| *width).collect();
        let better = connected(&widths, movable, &bound.2);
        if better.iter().enumerate().any(|(at, item)| at != *item) {
            items = better.iter().filter_map(|at| items.get(*at).copied()).collect();
            bound = bind(&items)?;
            // `*` lists the relations as they were written.
            let (level, ends) = (&mut bound.0, &bound.3);
            let mut ranges: Vec<(usize, Vec<Visible>)> = Vec::new();
            let mut rest = std::mem::take(&mut level.relations);
            for (at, item) in better.iter().enumerate().rev() {
                let start = at.checked_sub(1).and_then(|at| ends.get(at)).map_or(0, |(_, relations)| *relations);
                ranges.push((*item, rest.split_off(start.min(rest.len()))));
            }
            ranges.sort_by_key(|(item, _)| *item);
            level.relations = ranges.into_iter().flat_map(|(_, relations)| relations).collect();
        }
        let (level, mut node, conditions, _) = bound;
        let mut filters = Vec::new();
        for condition in conditions {
            match &mut node {
                Some(node) => filters.extend(node.push(condition)),
                None => filters.push(condition),
            }
        }
        Ok((level, node, filters))
    }

    fn item(&self, level: &Level<'_>, item: &SelectItem) -> Result<Vec<(String, Typed)>, SqlError> {
        let all = |columns: Vec<super::level::VisibleColumn>| columns.iter().map(|c| (c.name.clone(), c.typed())).collect();
        match item {
            SelectItem::UnnamedExpr(expr) => Ok(vec![(title(expr), self.expression(level, expr)?)]),
            SelectItem::ExprWithAlias { expr, alias } => Ok(vec![(alias.value.clone(), self.expression(level, expr)?)]),
            SelectItem::Wildcard(_) => match level.star() {
                columns if columns.is_empty() && level.relations.is_empty() => {
                    Err(SqlError::new(SqlState::SYNTAX_ERROR, "SELECT * with no tables specified is not valid"))
                }
                columns => Ok(all(columns)),
            },
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                let ident = name.0.last().and_then(|part| part.as_ident()).ok_or_else(|| unsupported(item))?;
                Ok(all(self.relation_star(level, ident)?))
            }
            // `(row).*`
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::Expr(expr), _) => {
                let row = self.expression(level, expr)?;
                let Some(fields) = &row.fields else { return Err(unsupported(item)) };
                let field = |(at, (name, kind)): (usize, &(String, kind::Kind))| {
                    (name.clone(), Typed::new(Ex::Field(Box::new(row.ex.clone()), at), *kind))
                };
                Ok(fields.iter().enumerate().map(field).collect())
            }
            other => Err(unsupported(format!("\"{other}\""))),
        }
    }

    fn order(&self, level: &Level<'_>, by: Option<&OrderBy>, columns: &[Column]) -> Result<Vec<Order>, SqlError> {
        let mut found = Vec::new();
        for item in order_items(by)? {
            let key = match self.output_position(&item.expr, columns)? {
                Some(at) => OrderKey::Output(at),
                None => OrderKey::Expression(self.expression(level, &item.expr)?.ex),
            };
            found.push(order(key, item)?);
        }
        Ok(found)
    }

    fn groups(&self, level: &Level<'_>, by: &GroupByExpr, items: &[Ex], columns: &[Column]) -> Result<Vec<Ex>, SqlError> {
        let GroupByExpr::Expressions(exprs, modifiers) = by else { return Err(unsupported("GROUP BY ALL")) };
        if !modifiers.is_empty() {
            return Err(unsupported("GROUP BY with grouping sets"));
        }
        let mut groups = Vec::new();
        for expr in exprs {
            // A name is a column of FROM before it is one of the list.
            let own = match expr {
                Expr::Identifier(ident) if self.column(level, ident).is_ok() => None,
                expr => self.output_position(expr, columns)?,
            };
            groups.push(match own.and_then(|at| items.get(at)) {
                Some(ex) => ex.clone(),
                None => self.expression(level, expr)?.ex,
            });
        }
        Ok(groups)
    }
}

/// Whether an item of FROM reads nothing of the items before it.
fn is_plain(item: &TableWithJoins) -> bool {
    let plain = |factor: &TableFactor| match factor {
        TableFactor::Table { args, .. } => args.is_none(),
        TableFactor::Derived { lateral, .. } => !lateral,
        _ => false,
    };
    plain(&item.relation) && item.joins.iter().all(|join| plain(&join.relation))
}

/// An order of FROM's items in which each can be found by what is known before, as far as conditions say. `widths`: where the
/// columns of each end; only the first `movable` ones are moved.
fn connected(widths: &[usize], movable: usize, conditions: &[Ex]) -> Vec<usize> {
    let item_of = |column: usize| widths.iter().position(|end| column < *end);
    // What each equality sets equal: an item's own column, and the items of the other side.
    let mut links: Vec<(usize, Vec<usize>)> = Vec::new();
    for condition in conditions {
        let Ex::Operate(Operator::Eq, a, b) = condition else { continue };
        for (own, other) in [(a, b), (b, a)] {
            let Ex::Column { up: 0, at } = own.as_ref() else { continue };
            let mut needs = Vec::new();
            let known = other.columns(&mut |up, at| {
                if up == 0 {
                    needs.extend(item_of(at));
                }
            });
            if let (true, Some(item)) = (known, item_of(*at)) {
                links.push((item, needs));
            }
        }
    }
    let mut placed: Vec<usize> = Vec::with_capacity(widths.len());
    while placed.len() < movable {
        let mut left = (0..movable).filter(|item| !placed.contains(item));
        let first = left.clone().next();
        let found = left.find(|item| links.iter().any(|(own, needs)| own == item && needs.iter().all(|n| placed.contains(n))));
        placed.extend(found.or(first));
    }
    placed.extend(movable..widths.len());
    placed
}

/// Errors if a value of a grouped query differs within a group: 42803. All of a system relation depends on its oid.
fn check_groups<'e>(level: &Level<'_>, groups: &[Ex], values: impl Iterator<Item = &'e Ex>) -> Result<(), SqlError> {
    let mut allowed: Vec<usize> = Vec::new();
    for group in groups {
        group.columns(&mut |up, at| {
            if up == 0 {
                allowed.push(at);
            }
        });
    }
    let owner = |at: usize| {
        let relation = level
            .relations
            .iter()
            .find(|r| r.columns.iter().any(|c| matches!(c.ex, Ex::Column { up: 0, at: own } if own == at)))?;
        relation
            .columns
            .iter()
            .find(|c| matches!(c.ex, Ex::Column { up: 0, at: own } if own == at))
            .map(|column| (relation, column))
    };
    for at in allowed.clone() {
        if let Some((relation, column)) = owner(at)
            && relation.shape.is_some()
            && column.name == "oid"
        {
            allowed.extend(
                relation.columns.iter().filter_map(|c| if let Ex::Column { up: 0, at } = c.ex { Some(at) } else { None }),
            );
        }
    }
    for value in values {
        let mut stray = None;
        value.columns(&mut |up, at| {
            if up == 0 && !allowed.contains(&at) {
                stray = stray.or(Some(at));
            }
        });
        if let Some((relation, column)) = stray.and_then(owner) {
            let message = format!(
                "column \"{}.{}\" must appear in the GROUP BY clause or be used in an aggregate function",
                relation.name, column.name
            );
            return Err(SqlError::new(SqlState::GROUPING_ERROR, message));
        }
    }
    Ok(())
}

/// Errors for what is parsed and not done: 0A000.
fn refuse(select: &ast::Select) -> Result<(), SqlError> {
    let strange = select.top.is_some()
        || select.into.is_some()
        || !select.lateral_views.is_empty()
        || select.prewhere.is_some()
        || select.qualify.is_some()
        || !select.named_window.is_empty()
        || !select.connect_by.is_empty()
        || select.value_table_mode.is_some();
    if strange { Err(unsupported("this clause of SELECT")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn equal(a: usize, b: Option<usize>) -> Ex {
        let column = |at| Box::new(Ex::Column { up: 0, at });
        let known = || Box::new(Ex::Const(crate::pg_catalog::value::Value::Int(1)));
        Ex::Operate(Operator::Eq, column(a), b.map_or_else(known, column))
    }

    #[test]
    fn relations_are_joined_as_conditions_connect_them() {
        // Three relations of two columns each: 0 1 | 2 3 | 4 5.
        for (conditions, expected) in [
            (vec![], [0, 1, 2]),
            // The last one is known, and leads to the first, which leads to the second.
            (vec![equal(4, None), equal(0, Some(4)), equal(2, Some(0))], [2, 0, 1]),
            (vec![equal(0, Some(4)), equal(2, Some(5))], [0, 2, 1]),
        ] {
            assert_eq!(connected(&[2, 4, 6], 3, &conditions), expected, "{conditions:?}");
        }
        assert_eq!(connected(&[2, 4, 6], 2, &[equal(4, None)]), [0, 1, 2], "what may not be moved stays");
    }
}

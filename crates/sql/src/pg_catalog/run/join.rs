//! FROM: rows of relations, put together by loops; a condition that says what a column equals is looked up in an index.

use types::SqlError;

use super::{Run, Scope};
use crate::pg_catalog::functions;
use crate::pg_catalog::operator::Operator;
use crate::pg_catalog::plan::{Ex, JoinKind, Node, Source};
use crate::pg_catalog::relation::{Relation, Row};
use crate::pg_catalog::value::Value;

impl Run<'_> {
    /// The rows of a node after a row of what is to its left.
    pub(super) fn node(&self, node: &Node, left: Row, outer: Option<&Scope<'_>>) -> Result<Vec<Row>, SqlError> {
        debug_assert_eq!(left.len(), node.offset);
        match &node.source {
            Source::Table(shape) => self.scan(node, &self.store.relation(shape), &left, outer),
            Source::Cte(id) => {
                let rows = self.ctes.borrow().get(id).cloned();
                let rows = rows.ok_or_else(|| SqlError::bug("a WITH query is read before it is run"))?;
                self.scan(node, &rows, &left, outer)
            }
            Source::Query { plan, lateral: false } => self.scan(node, &*self.kept(plan, outer)?, &left, outer),
            Source::Query { plan, lateral: true } => {
                let scope = Scope::of(&left, outer);
                let rows = Relation::new(self.query(plan, Some(&scope))?);
                self.scan(node, &rows, &left, outer)
            }
            Source::Functions { calls, ordinality } => {
                let scope = Scope::of(&left, outer);
                let mut lists = Vec::with_capacity(calls.len());
                for (function, args, kinds, width) in calls {
                    lists.push((functions::set(self, *function, &self.all(args, &scope)?, kinds)?, *width));
                }
                let longest = lists.iter().map(|(list, _)| list.len()).max().unwrap_or(0);
                let mut rows = Vec::with_capacity(longest);
                for at in 0..longest {
                    let mut row = Vec::with_capacity(node.width);
                    for (list, width) in &lists {
                        let found = list.get(at).map(Vec::as_slice).unwrap_or_default();
                        row.extend(found.iter().cloned().chain(std::iter::repeat(Value::Null)).take(*width));
                    }
                    if *ordinality {
                        row.push(Value::Int(i64::try_from(at + 1).unwrap_or(i64::MAX)));
                    }
                    rows.push(row);
                }
                self.scan(node, &Relation::new(rows), &left, outer)
            }
            Source::Join { how, left: l, right: r, on } => self.join(node, *how, (l, r), on, left, outer),
        }
    }

    fn join(
        &self,
        node: &Node,
        how: JoinKind,
        (l, r): (&Node, &Node),
        on: &[Ex],
        before: Row,
        outer: Option<&Scope<'_>>,
    ) -> Result<Vec<Row>, SqlError> {
        let blank = |n: usize| std::iter::repeat_n(Value::Null, n);
        let mut out = Vec::new();
        match how {
            JoinKind::Inner | JoinKind::Left => {
                for left in self.node(l, before, outer)? {
                    self.step()?;
                    let mut matched = false;
                    for row in self.node(r, left.clone(), outer)? {
                        if self.passes(on, &Scope::of(&row, outer))? {
                            matched = true;
                            out.push(row);
                        }
                    }
                    if !matched && how == JoinKind::Left {
                        out.push(left.into_iter().chain(blank(r.width)).collect());
                    }
                    self.bounded(out.len())?;
                }
            }
            JoinKind::Right | JoinKind::Full => {
                let middle: Row = before.iter().cloned().chain(blank(l.width)).collect();
                let rights = self.node(r, middle.clone(), outer)?;
                let mut matched = vec![false; rights.len()];
                for left in self.node(l, before, outer)? {
                    let mut found = false;
                    for (right, seen) in rights.iter().zip(&mut matched) {
                        self.step()?;
                        let row: Row = left.iter().chain(right.iter().skip(r.offset)).cloned().collect();
                        if self.passes(on, &Scope::of(&row, outer))? {
                            (found, *seen) = (true, true);
                            out.push(row);
                        }
                    }
                    if !found && how == JoinKind::Full {
                        out.push(left.into_iter().chain(blank(r.width)).collect());
                    }
                    self.bounded(out.len())?;
                }
                let lonely = rights.into_iter().zip(matched).filter(|(_, matched)| !matched);
                out.extend(lonely.map(|(right, _)| right));
            }
        }
        if node.filters.is_empty() {
            return Ok(out);
        }
        let mut kept = Vec::new();
        for row in out {
            if self.passes(&node.filters, &Scope::of(&row, outer))? {
                kept.push(row);
            }
        }
        Ok(kept)
    }

    /// Rows of a relation that pass the node's conditions, found by an index if a condition says what a column equals.
    fn scan(&self, node: &Node, relation: &Relation, left: &[Value], outer: Option<&Scope<'_>>) -> Result<Vec<Row>, SqlError> {
        let mut probe = None;
        for condition in &node.filters {
            if let Some((column, ex)) = probe_of(node, condition) {
                probe = Some(relation.find(column, &self.value(ex, &Scope::of(left, outer))?));
                break;
            }
        }
        let mut out = Vec::new();
        let mut judge = |row: &Row| -> Result<(), SqlError> {
            self.step()?;
            let row: Row = left.iter().chain(row).cloned().collect();
            if self.passes(&node.filters, &Scope::of(&row, outer))? {
                out.push(row);
            }
            Ok(())
        };
        match probe {
            Some(found) => found.iter().filter_map(|at| relation.rows().get(*at as usize)).try_for_each(&mut judge)?,
            None => relation.rows().iter().try_for_each(&mut judge)?,
        }
        self.bounded(out.len())?;
        Ok(out)
    }
}

/// The column of a node's own that a condition sets equal to something that is known before the node's rows are.
fn probe_of<'e>(node: &Node, condition: &'e Ex) -> Option<(usize, &'e Ex)> {
    let Ex::Operate(Operator::Eq, a, b) = condition else { return None };
    let own = |ex: &Ex| match ex {
        Ex::Column { up: 0, at } => at.checked_sub(node.offset).filter(|at| *at < node.width),
        _ => None,
    };
    let before = |ex: &Ex| {
        let mut before = true;
        ex.columns(&mut |up, at| before &= up > 0 || at < node.offset) && before
    };
    match (own(a), own(b)) {
        (Some(at), _) if before(b) => Some((at, b)),
        (_, Some(at)) if before(a) => Some((at, a)),
        _ => None,
    }
}

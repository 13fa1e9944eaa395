//! Joins of a few tables, each reached by a key.
//!
//! ```text
//! FROM a, b WHERE a.k >= $1 AND a.k < $2 AND b.id = a.x AND b.n < $3
//!
//!   range of a       --> row [a.k, a.x]            a.k >= $1, a.k < $2
//!   lookup of b      --> row [a.k, a.x, b.id, b.n] b.id = a.x, b.n < $3      --> outputs, or aggregates
//! ```
//!
//! 1. All expressions read one row, of the columns that the statement names. Those of tables that come later have no meaning yet.
//! 2. Each part of WHERE and ON is looked at as soon as all it reads is there: the keys only leave out what cannot satisfy it.
//! 3. The table whose key is known best comes first; all tables together may have as many rows to look at as a range.
//! 4. Rows come in the order of the first table's range. ORDER BY is done only if that is its order.
//!
//! Not here: outer joins, LIMIT, row locks.
//! Source: index nested loops, as everybody has them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use catalog::Table;
use engine::Transaction;
use expr::row::{Binder, RowExpr};
use sqlparser::ast::{Expr, JoinConstraint, JoinOperator, OrderBy, OrderByKind, Query, Select, TableWithJoins};
use types::{Datum, RowLayout, RowRef, SqlError, SqlType};

use crate::compile::{Named, Scope, conjuncts, list_of, named_relation, one_row};
use crate::range::{BYTES_MAX, ROWS_MAX, Range, bytes_of};
use crate::scan::Visit;
use crate::{Access, Column, Outcome, Program, Verb, range};

/// Tables of a join.
const TABLES_MAX: usize = 4;

/// A compiled join.
#[derive(Debug)]
pub(crate) struct Join {
    /// In the order of FROM.
    tables: Vec<Arc<Table>>,
    /// Of the row of all tables.
    layout: RowLayout,
    steps: Vec<Step>,
}

/// How the rows of one table are found, given those of earlier ones.
#[derive(Debug)]
struct Step {
    /// Its condition is about the row of all tables.
    access: Access,
    range: Option<Range>,
    /// The stored columns that are read, and where they are in the row of all tables.
    reads: Vec<usize>,
    slots: Vec<usize>,
}

/// A column of the row of all tables: of which one, stored where.
struct Slot {
    relation: usize,
    stored: usize,
    data_type: SqlType,
}

/// Compiles a SELECT of 2 to [`TABLES_MAX`] tables. `None`: not of this form, or some table has no key that is known.
pub(crate) fn compile(
    query: &Query,
    select: &Select,
    from: &[TableWithJoins],
    scope: &Scope<'_>,
    params: &[Option<SqlType>],
) -> Option<Program> {
    if query.limit_clause.is_some() || !query.locks.is_empty() {
        return None;
    }
    let (relations, conditions) = relations(from, scope)?;
    let slots = RefCell::new(Vec::new());
    let column = |parts: &[&str]| slot(&relations, &slots, parts);
    let mut binder = Binder { column: &column, data_type: scope.data_type, params: params.to_vec() };
    // In the order in which PostgreSQL settles parameter types: FROM, the list, WHERE.
    let mut parts = Vec::new();
    let mut tests = Vec::new();
    for (on, visible) in conditions {
        let first = parts.len();
        conjuncts(on, &mut parts);
        for part in &parts[first..] {
            let test = binder.bind_as(part, SqlType::Bool)?;
            // ON knows the tables that it joins.
            if !relations_of(&test, &slots.borrow()).iter().all(|relation| visible.contains(relation)) {
                return None;
            }
            tests.push(test);
        }
    }
    let source = |at: usize| {
        let slots = slots.borrow();
        let slot: &Slot = slots.get(at)?;
        relations.get(slot.relation)?.source_of(slot.stored)
    };
    let bare = query.order_by.is_none();
    let (aggregates, outputs, columns) = list_of(&select.projection, &relations, &source, bare, &mut binder)?;
    let first = parts.len();
    select.selection.iter().for_each(|selection| conjuncts(selection, &mut parts));
    for part in &parts[first..] {
        tests.push(binder.bind_as(part, SqlType::Bool)?);
    }
    if let Some(order_by) = &query.order_by {
        are_clear(order_by, &columns, &mut binder)?;
    }
    let steps = Steps { relations: &relations, parts: &parts, tests: &tests, slots: &slots };
    let steps = steps.ordered(query.order_by.as_ref(), &columns, &mut binder)?;
    let params = binder.params.into_iter().collect::<Option<Vec<_>>>()?;
    let types: Vec<SqlType> = slots.borrow().iter().map(|slot: &Slot| slot.data_type).collect();
    let tables = relations.iter().map(|named| Arc::clone(&named.table)).collect();
    Some(Program {
        params,
        columns,
        verb: Verb::Select,
        access: None,
        range: None,
        join: Some(Join { tables, layout: RowLayout::new(&types), steps }),
        aggregates,
        outputs,
        shown: None,
        reads: vec![],
        assignments: vec![],
        rows: vec![],
        conflict: None,
        lock: None,
    })
}

/// The tables of FROM, and the conditions of ON with the tables that each may be about.
#[allow(clippy::type_complexity, reason = "said in one line above")]
fn relations<'a>(from: &'a [TableWithJoins], scope: &Scope<'_>) -> Option<(Vec<Named>, Vec<(&'a Expr, std::ops::Range<usize>)>)> {
    let mut found: Vec<Named> = Vec::new();
    let mut conditions = Vec::new();
    let add = |relation, found: &mut Vec<Named>| {
        let named = Named { relation: found.len(), ..named_relation(relation, scope)? };
        let is_new = found.len() < TABLES_MAX && found.iter().all(|other| other.name != named.name);
        is_new.then(|| found.push(named))
    };
    for item in from {
        let first = found.len();
        add(&item.relation, &mut found)?;
        for join in &item.joins {
            add(&join.relation, &mut found)?;
            match &join.join_operator {
                JoinOperator::Join(JoinConstraint::On(on)) | JoinOperator::Inner(JoinConstraint::On(on)) if !join.global => {
                    conditions.push((on, first..found.len()));
                }
                JoinOperator::CrossJoin(JoinConstraint::None) if !join.global => {}
                _ => return None,
            }
        }
    }
    Some((found, conditions))
}

/// The place in the row of all tables of the column a name stands for, and its type. A name that several tables have stands for none.
fn slot(relations: &[Named], slots: &RefCell<Vec<Slot>>, parts: &[&str]) -> Option<(usize, SqlType)> {
    let mut having = relations.iter().filter_map(|named| Some((named.relation, named.column(parts)?)));
    let (relation, (stored, data_type)) = having.next()?;
    if having.next().is_some() {
        return None;
    }
    let mut slots = slots.borrow_mut();
    let known = slots.iter().position(|slot| slot.relation == relation && slot.stored == stored);
    let at = known.unwrap_or_else(|| {
        slots.push(Slot { relation, stored, data_type });
        slots.len() - 1
    });
    Some((at, data_type))
}

/// The tables an expression reads.
fn relations_of(expr: &RowExpr, slots: &[Slot]) -> BTreeSet<usize> {
    expr.columns().iter().filter_map(|at| Some(slots.get(*at)?.relation)).collect()
}

/// `None` if an expression of ORDER BY is about a name that is no output's and that several tables have.
fn are_clear(order_by: &OrderBy, outputs: &[Column], binder: &mut Binder<'_>) -> Option<()> {
    let OrderByKind::Expressions(items) = &order_by.kind else { return None };
    for item in items {
        let is_output = matches!(&item.expr, Expr::Identifier(name) if outputs.iter().any(|output| output.name == name.value));
        if !is_output {
            binder.bind(&item.expr)?;
        }
    }
    Some(())
}

/// What the steps are made from.
struct Steps<'a> {
    relations: &'a [Named],
    parts: &'a [&'a Expr],
    tests: &'a [RowExpr],
    slots: &'a RefCell<Vec<Slot>>,
}

impl Steps<'_> {
    /// A step for each table, each with keys that earlier ones know; `None`: there is no such order.
    fn ordered(&self, order_by: Option<&OrderBy>, outputs: &[Column], binder: &mut Binder<'_>) -> Option<Vec<Step>> {
        let all = 0..self.relations.len();
        let mut firsts: Vec<(usize, usize)> =
            all.filter_map(|relation| Some((self.reach(relation, &[], order_by, outputs, binder)?.0, relation))).collect();
        // The best first; of equals the first in FROM.
        firsts.sort_by_key(|(known, relation)| (std::cmp::Reverse(*known), *relation));
        firsts.into_iter().find_map(|(_, first)| self.ordered_from(first, order_by, outputs, binder))
    }

    fn ordered_from(
        &self,
        first: usize,
        order_by: Option<&OrderBy>,
        outputs: &[Column],
        binder: &mut Binder<'_>,
    ) -> Option<Vec<Step>> {
        let mut steps = vec![self.reach(first, &[], order_by, outputs, binder)?.1];
        let mut placed = vec![first];
        while placed.len() < self.relations.len() {
            let others = (0..self.relations.len()).filter(|relation| !placed.contains(relation));
            let reached = others.filter_map(|relation| Some((relation, self.reach(relation, &placed, None, &[], binder)?)));
            let (relation, (_, step)) = reached.max_by_key(|(relation, (known, _))| (*known, std::cmp::Reverse(*relation)))?;
            placed.push(relation);
            steps.push(step);
        }
        Some(steps)
    }

    /// How a table is reached when those of `placed` are, and how much of a key is known for it.
    fn reach(
        &self,
        relation: usize,
        placed: &[usize],
        order_by: Option<&OrderBy>,
        outputs: &[Column],
        binder: &mut Binder<'_>,
    ) -> Option<(usize, Step)> {
        let named = &self.relations[relation];
        let of_placed = |(at, slot): (usize, &Slot)| placed.contains(&slot.relation).then_some(at);
        let earlier = self.slots.borrow().iter().enumerate().filter_map(of_placed).collect();
        let named = Named { table: Arc::clone(&named.table), name: named.name.clone(), relation, earlier };
        let by_key = if order_by.is_none() { one_row(&named, self.parts, binder) } else { None };
        let (known, mut access, range) = match by_key {
            Some(access) => (usize::MAX, access, None),
            None => {
                let (access, range) = range::access(&named, order_by, None, self.parts, outputs, binder)?;
                (range.settled(), access, Some(range))
            }
        };
        let slots = self.slots.borrow();
        // What can be looked at now and could not be before.
        let is_due = |test: &&RowExpr| {
            let of = relations_of(test, &slots);
            of.iter().all(|of| *of == relation || placed.contains(of)) && (placed.is_empty() || of.contains(&relation))
        };
        access.condition = self.tests.iter().filter(is_due).cloned().reduce(RowExpr::and);
        let mut reads: Vec<(usize, usize)> =
            slots.iter().enumerate().filter(|(_, slot)| slot.relation == relation).map(|(at, slot)| (slot.stored, at)).collect();
        reads.sort_unstable();
        let (reads, slots) = reads.into_iter().unzip();
        Some((known, Step { access, range, reads, slots }))
    }
}

impl Join {
    /// The table at a place of FROM.
    pub(crate) fn table(&self, at: usize) -> Option<&Arc<Table>> {
        self.tables.get(at)
    }

    /// How each table is reached, in order.
    pub(crate) fn steps(&self) -> impl Iterator<Item = (&Access, Option<&Range>)> {
        self.steps.iter().map(|step| (&step.access, step.range.as_ref()))
    }

    /// Shows `visit` each row of all tables, until it has enough. False: there are more rows to look at than a program does.
    pub(crate) fn each(&self, transaction: &Transaction, params: &[Datum], visit: &mut Visit<'_>) -> Result<bool, SqlError> {
        let values = vec![Datum::Null; self.layout.types().len()];
        let nothing = self.layout.encode(&values);
        let mut run = Run { join: self, transaction, params, values, looked_at: 0, visit };
        let _ = run.step(0, self.layout.read(&nothing))?;
        Ok(run.looked_at <= ROWS_MAX)
    }
}

/// A join being run.
struct Run<'a, 'v> {
    join: &'a Join,
    transaction: &'a Transaction,
    params: &'a [Datum],
    /// Of the row of all tables, as far as they are known.
    values: Vec<Datum>,
    looked_at: usize,
    visit: &'a mut Visit<'v>,
}

impl Run<'_, '_> {
    /// Finds the rows of the table at `at` for a row of those before it, and goes on with each.
    fn step(&mut self, at: usize, row: RowRef<'_>) -> Result<ControlFlow<()>, SqlError> {
        let Some(step) = self.join.steps.get(at) else { return (self.visit)(&[], row) };
        let (access, transaction, params) = (&step.access, self.transaction, self.params);
        if let Some(range) = &step.range {
            return range.each(access, &step.reads, transaction, Some(row), params, &mut |_, found| self.found(at, step, found));
        }
        let Some(key) = access.find(transaction, Some(row), params)? else { return Ok(ControlFlow::Continue(())) };
        match transaction.get_columns(access.table.id, &key, &step.reads)? {
            Some(found) => self.found(at, step, access.layout.read(&found)),
            None => Ok(ControlFlow::Continue(())),
        }
    }

    fn found(&mut self, at: usize, step: &Step, found: RowRef<'_>) -> Result<ControlFlow<()>, SqlError> {
        self.looked_at += 1;
        if self.looked_at > ROWS_MAX {
            return Ok(ControlFlow::Break(()));
        }
        for (read, slot) in step.reads.iter().zip(&step.slots) {
            self.values[*slot] = found.get(*read).to_owned();
        }
        let layout = &self.join.layout;
        let image = layout.encode(&self.values);
        let row = layout.read(&image);
        match &step.access.condition {
            Some(condition) if !condition.holds(Some(row), self.params)? => Ok(ControlFlow::Continue(())),
            _ => self.step(at + 1, row),
        }
    }
}

impl Program {
    /// The rows of a join, or [`Outcome::TooMany`].
    pub(crate) fn select_joined(&self, transaction: &Transaction, params: &[Datum]) -> Result<Outcome, SqlError> {
        let mut rows = Vec::new();
        let mut bytes = 0;
        let is_all = self.each_found(transaction, params, &mut |_, row| {
            let values = self.outputs.iter().map(|e| e.evaluate(Some(row), params)).collect::<Result<Vec<_>, _>>()?;
            bytes += values.iter().map(bytes_of).sum::<usize>();
            rows.push(values);
            Ok(if bytes > BYTES_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(if is_all && bytes <= BYTES_MAX { Outcome::Rows(rows) } else { Outcome::TooMany })
    }
}

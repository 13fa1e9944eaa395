//! Running plans of system queries: joins as loops with indexes made on the way, everything in memory.

mod aggregate;
mod evaluate;
mod join;

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use engine::Cancel;
use regex::Regex;
use types::{SqlError, SqlState};

use super::kind;
use super::plan::{Body, Cte, Distinct, Ex, Order, OrderKey, Plan, Select, SetKind};
use super::relation::{Relation, Row};
use super::store::Store;
use super::value::{self, Value};
use super::{cast, functions};

/// Rows one system query may hold at a time.
const ROWS_MAX: usize = 1 << 20;
/// How often a recursive query may repeat itself.
const REPEATS_MAX: usize = 1 << 16;

/// One execution.
pub(crate) struct Run<'a> {
    pub(crate) store: &'a Store,
    params: &'a [Value],
    cancel: Option<&'a Cancel>,
    steps: Cell<u32>,
    /// Results of queries that read nothing around them.
    results: RefCell<HashMap<*const Plan, Rc<Relation>>>,
    ctes: RefCell<HashMap<usize, Rc<Relation>>>,
    patterns: RefCell<HashMap<(String, bool), Regex>>,
}

/// The rows an expression sees: its query's, and those of the queries around.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    row: &'a [Value],
    aggregates: &'a [Value],
    sets: &'a [Value],
    outer: Option<&'a Scope<'a>>,
}

impl<'a> Scope<'a> {
    fn of(row: &'a [Value], outer: Option<&'a Scope<'a>>) -> Scope<'a> {
        Scope { row, aggregates: &[], sets: &[], outer }
    }
}

impl<'a> Run<'a> {
    pub(crate) fn new(store: &'a Store, params: &'a [Value], cancel: Option<&'a Cancel>) -> Run<'a> {
        Run {
            store,
            params,
            cancel,
            steps: Cell::new(0),
            results: RefCell::default(),
            ctes: RefCell::default(),
            patterns: RefCell::default(),
        }
    }

    /// All rows of a query.
    pub(crate) fn query(&self, plan: &Plan, outer: Option<&Scope<'_>>) -> Result<Vec<Row>, SqlError> {
        for cte in &plan.ctes {
            self.fill(cte, outer)?;
        }
        let mut rows = match &plan.body {
            Body::Select(select) => self.select(select, &plan.order, outer)?,
            body => {
                let rows = match body {
                    Body::Set { how, all, left, right } => {
                        set_operation(*how, *all, self.query(left, outer)?, self.query(right, outer)?)
                    }
                    Body::Values(rows) => {
                        let scope = Scope::of(&[], outer);
                        rows.iter().map(|row| self.all(row, &scope)).collect::<Result<_, _>>()?
                    }
                    Body::Select(_) => vec![],
                };
                let mut keyed: Vec<(Vec<Value>, Row)> = rows.into_iter().map(|row| (keys(&plan.order, &row), row)).collect();
                sort(&mut keyed, &plan.order);
                keyed.into_iter().map(|(_, row)| row).collect()
            }
        };
        let scope = Scope::of(&[], outer);
        let bound = |ex: &Option<Ex>| -> Result<Option<usize>, SqlError> {
            let Some(ex) = ex else { return Ok(None) };
            Ok(self.value(ex, &scope)?.as_int().map(|n| usize::try_from(n.max(0)).unwrap_or(usize::MAX)))
        };
        if let Some(offset) = bound(&plan.offset)? {
            rows.drain(..offset.min(rows.len()));
        }
        if let Some(limit) = bound(&plan.limit)? {
            rows.truncate(limit);
        }
        Ok(rows)
    }

    /// As [`Run::query`], kept if the query is the same each time.
    fn kept(&self, plan: &Arc<Plan>, outer: Option<&Scope<'_>>) -> Result<Rc<Relation>, SqlError> {
        if plan.correlated {
            return Ok(Rc::new(Relation::new(self.query(plan, outer)?)));
        }
        let key = Arc::as_ptr(plan);
        if let Some(found) = self.results.borrow().get(&key) {
            return Ok(Rc::clone(found));
        }
        let relation = Rc::new(Relation::new(self.query(plan, outer)?));
        self.results.borrow_mut().insert(key, Rc::clone(&relation));
        Ok(relation)
    }

    fn fill(&self, cte: &Cte, outer: Option<&Scope<'_>>) -> Result<(), SqlError> {
        let mut rows = self.query(&cte.plan, outer)?;
        if let Some((plan, distinct)) = &cte.repeated {
            let mut seen: HashSet<Row> = HashSet::new();
            if *distinct {
                rows.retain(|row| seen.insert(row.clone()));
            }
            let mut fresh = rows.clone();
            for _ in 0..REPEATS_MAX {
                if fresh.is_empty() {
                    break;
                }
                self.ctes.borrow_mut().insert(cte.id, Rc::new(Relation::new(fresh)));
                fresh = self.query(plan, outer)?;
                if *distinct {
                    fresh.retain(|row| seen.insert(row.clone()));
                }
                rows.extend(fresh.iter().cloned());
                self.bounded(rows.len())?;
            }
            if !fresh.is_empty() {
                let message = format!("a recursive query of the system relations takes more than {REPEATS_MAX} rounds");
                return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
            }
        }
        self.ctes.borrow_mut().insert(cte.id, Rc::new(Relation::new(rows)));
        Ok(())
    }

    fn bounded(&self, rows: usize) -> Result<(), SqlError> {
        if rows > ROWS_MAX {
            let message = format!("a query of the system relations has more than {ROWS_MAX} rows on the way");
            return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
        }
        Ok(())
    }

    fn step(&self) -> Result<(), SqlError> {
        self.steps.set(self.steps.get().wrapping_add(1));
        if self.steps.get().is_multiple_of(1024) && self.cancel.is_some_and(Cancel::is_set) {
            return Err(SqlError::new(SqlState::QUERY_CANCELED, "canceling statement due to user request"));
        }
        Ok(())
    }

    fn select(&self, select: &Select, order: &[Order], outer: Option<&Scope<'_>>) -> Result<Vec<Row>, SqlError> {
        let mut rows = match &select.from {
            Some(node) => self.node(node, vec![], outer)?,
            None => vec![vec![]],
        };
        if !select.filters.is_empty() {
            let mut kept = Vec::with_capacity(rows.len());
            for row in rows {
                if self.passes(&select.filters, &Scope::of(&row, outer))? {
                    kept.push(row);
                }
            }
            rows = kept;
        }
        let groups = match &select.group {
            None => rows.into_iter().map(|row| (row, vec![])).collect(),
            Some(by) => self.groups(select, by, rows, outer)?,
        };
        // Result rows with what they are sorted by, and what DISTINCT ON looks at.
        let mut out: Vec<(Vec<Value>, Row)> = Vec::new();
        let mut firsts: HashSet<Row> = HashSet::new();
        let mut emit = |scope: &Scope<'_>| -> Result<(), SqlError> {
            let row = self.all(&select.items, scope)?;
            let mut keys = Vec::with_capacity(order.len());
            for by in order {
                keys.push(match &by.key {
                    OrderKey::Output(at) => row.get(*at).cloned().unwrap_or(Value::Null),
                    OrderKey::Expression(ex) => self.value(ex, scope)?,
                });
            }
            match &select.distinct {
                Distinct::Rows if !firsts.insert(row.clone()) => return Ok(()),
                Distinct::On(exs) => keys.extend(self.all(exs, scope)?),
                _ => {}
            }
            out.push((keys, row));
            self.bounded(out.len())
        };
        for (row, aggregates) in &groups {
            let scope = Scope { row, aggregates, sets: &[], outer };
            if let Some(having) = &select.having
                && !self.value(having, &scope)?.is_true()
            {
                continue;
            }
            if select.sets.is_empty() {
                emit(&scope)?;
                continue;
            }
            let mut lists = Vec::with_capacity(select.sets.len());
            for (function, args, kinds) in &select.sets {
                lists.push(functions::set(self, *function, &self.all(args, &scope)?, kinds)?);
            }
            for at in 0..lists.iter().map(Vec::len).max().unwrap_or(0) {
                let sets: Vec<Value> = lists
                    .iter()
                    .map(|list| match list.get(at).map(Vec::as_slice) {
                        None => Value::Null,
                        Some([one]) => one.clone(),
                        Some(row) => Value::Row(row.into()),
                    })
                    .collect();
                emit(&Scope { sets: &sets, ..scope })?;
            }
        }
        sort(&mut out, order);
        if matches!(select.distinct, Distinct::On(_)) {
            let mut seen = HashSet::new();
            out.retain(|(keys, _)| seen.insert(keys.get(order.len()..).unwrap_or_default().to_vec()));
        }
        Ok(out.into_iter().map(|(_, row)| row).collect())
    }

    fn passes(&self, conditions: &[Ex], scope: &Scope<'_>) -> Result<bool, SqlError> {
        for condition in conditions {
            if !self.value(condition, scope)?.is_true() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(crate) fn all(&self, exs: &[Ex], scope: &Scope<'_>) -> Result<Vec<Value>, SqlError> {
        exs.iter().map(|ex| self.value(ex, scope)).collect()
    }

    /// A compiled pattern.
    pub(crate) fn regex(&self, pattern: &str, fold: bool) -> Result<Regex, SqlError> {
        let key = (pattern.to_owned(), fold);
        if let Some(found) = self.patterns.borrow().get(&key) {
            return Ok(found.clone());
        }
        // PostgreSQL's `***:` only says that what follows is an ordinary pattern.
        let plain = pattern.strip_prefix("***:").unwrap_or(pattern);
        let compiled = regex::RegexBuilder::new(plain).case_insensitive(fold).dot_matches_new_line(true).build();
        let compiled = compiled.map_err(|error| {
            SqlError::new(SqlState::INVALID_REGULAR_EXPRESSION, format!("invalid regular expression: {error}"))
        })?;
        self.patterns.borrow_mut().insert(key, compiled.clone());
        Ok(compiled)
    }

    /// A value's text where its type does not matter.
    pub(crate) fn plain_text(&self, value: &Value) -> String {
        cast::text_of(self.store, value, kind::TEXT)
    }
}

fn set_operation(how: SetKind, all: bool, left: Vec<Row>, right: Vec<Row>) -> Vec<Row> {
    let mut rows: Vec<Row> = match how {
        SetKind::Union => left.into_iter().chain(right).collect(),
        SetKind::Intersect | SetKind::Except => {
            let mut counts: HashMap<Row, usize> = HashMap::new();
            right.into_iter().for_each(|row| *counts.entry(row).or_default() += 1);
            let mut keep = |row: &Row| {
                let count = counts.get_mut(row).filter(|count| **count > 0);
                let found = count.is_some();
                if let Some(count) = count.filter(|_| all) {
                    *count -= 1;
                }
                found == (how == SetKind::Intersect)
            };
            left.into_iter().filter(|row| keep(row)).collect()
        }
    };
    if !all {
        let mut seen = HashSet::new();
        rows.retain(|row| seen.insert(row.clone()));
    }
    rows
}

fn keys(order: &[Order], row: &Row) -> Vec<Value> {
    let key = |by: &Order| match &by.key {
        OrderKey::Output(at) => row.get(*at).cloned().unwrap_or(Value::Null),
        OrderKey::Expression(_) => Value::Null,
    };
    order.iter().map(key).collect()
}

fn sort(rows: &mut [(Vec<Value>, Row)], order: &[Order]) {
    if order.is_empty() {
        return;
    }
    rows.sort_by(|(a, _), (b, _)| {
        for ((a, b), by) in a.iter().zip(b).zip(order) {
            let found = match (a.is_null(), b.is_null()) {
                (true, true) => Ordering::Equal,
                (true, false) => {
                    if by.nulls_first {
                        Ordering::Less
                    } else {
                        Ordering::Greater
                    }
                }
                (false, true) => {
                    if by.nulls_first {
                        Ordering::Greater
                    } else {
                        Ordering::Less
                    }
                }
                (false, false) if by.descending => value::total(b, a),
                (false, false) => value::total(a, b),
            };
            if found != Ordering::Equal {
                return found;
            }
        }
        Ordering::Equal
    });
}

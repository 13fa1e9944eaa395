//! Running plans of system queries: joins as loops with indexes made on the way, everything in memory.

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use engine::Cancel;
use regex::Regex;
use types::{SqlError, SqlState};

use super::kind;
use super::operator::{self, Operator};
use super::plan::{Aggregate, AggregateKind, Body, Cte, Distinct, Ex, JoinKind, Node, Order, OrderKey, Plan, Select, SetKind, Source, SubqueryKind};
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
                let mut keyed: Vec<(Vec<Value>, Row)> =
                    rows.into_iter().map(|row| (keys(&plan.order, &row), row)).collect();
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
        if self.steps.get() % 1024 == 0 && self.cancel.is_some_and(Cancel::is_set) {
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

    /// A row of each group with the group's aggregates.
    fn groups(
        &self,
        select: &Select,
        by: &[Ex],
        rows: Vec<Row>,
        outer: Option<&Scope<'_>>,
    ) -> Result<Vec<(Row, Vec<Value>)>, SqlError> {
        let mut order: Vec<Vec<Row>> = Vec::new();
        if by.is_empty() {
            order.push(rows);
        } else {
            let mut places: HashMap<Vec<Value>, usize> = HashMap::new();
            for row in rows {
                let key = self.all(by, &Scope::of(&row, outer))?;
                let place = *places.entry(key).or_insert_with(|| {
                    order.push(vec![]);
                    order.len() - 1
                });
                if let Some(group) = order.get_mut(place) {
                    group.push(row);
                }
            }
        }
        let mut groups = Vec::with_capacity(order.len());
        for rows in order {
            let aggregates =
                select.aggregates.iter().map(|a| self.aggregate(a, &rows, outer)).collect::<Result<Vec<_>, _>>()?;
            let first = rows.into_iter().next().unwrap_or_else(|| vec![Value::Null; select.width]);
            groups.push((first, aggregates));
        }
        Ok(groups)
    }

    fn aggregate(&self, aggregate: &Aggregate, rows: &[Row], outer: Option<&Scope<'_>>) -> Result<Value, SqlError> {
        let mut inputs: Vec<(Vec<Value>, Row)> = Vec::new();
        for row in rows {
            let scope = Scope::of(row, outer);
            if let Some(filter) = &aggregate.filter
                && !self.value(filter, &scope)?.is_true()
            {
                continue;
            }
            let mut keys = Vec::new();
            for by in &aggregate.order {
                if let OrderKey::Expression(ex) = &by.key {
                    keys.push(self.value(ex, &scope)?);
                }
            }
            inputs.push((keys, self.all(&aggregate.args, &scope)?));
        }
        sort(&mut inputs, &aggregate.order);
        if aggregate.distinct {
            let mut seen = HashSet::new();
            inputs.retain(|(_, args)| seen.insert(args.clone()));
        }
        let counts_rows = aggregate.args.is_empty();
        let firsts = || inputs.iter().filter_map(|(_, args)| args.first()).filter(|v| !v.is_null());
        Ok(match aggregate.how {
            AggregateKind::Count if counts_rows => Value::Int(i64::try_from(inputs.len()).unwrap_or(i64::MAX)),
            AggregateKind::Count => Value::Int(i64::try_from(firsts().count()).unwrap_or(i64::MAX)),
            AggregateKind::Sum => {
                let mut sum = Value::Null;
                for value in firsts() {
                    sum = if sum.is_null() { value.clone() } else { operator::apply(self, Operator::Add, &sum, value)? };
                }
                sum
            }
            AggregateKind::Min => firsts().min_by(|a, b| value::total(a, b)).cloned().unwrap_or(Value::Null),
            AggregateKind::Max => firsts().max_by(|a, b| value::total(a, b)).cloned().unwrap_or(Value::Null),
            AggregateKind::And if firsts().next().is_none() => Value::Null,
            AggregateKind::Or if firsts().next().is_none() => Value::Null,
            AggregateKind::And => Value::Bool(firsts().all(Value::is_true)),
            AggregateKind::Or => Value::Bool(firsts().any(Value::is_true)),
            AggregateKind::Array if inputs.is_empty() => Value::Null,
            AggregateKind::Array => Value::array(inputs.iter().map(|(_, args)| args.first().cloned().unwrap_or(Value::Null))),
            AggregateKind::String => {
                let mut out: Option<String> = None;
                for (_, args) in &inputs {
                    let [Value::Text(text), delimiter] = args.as_slice() else { continue };
                    match &mut out {
                        None => out = Some(text.to_string()),
                        Some(out) => {
                            out.push_str(delimiter.as_str().unwrap_or_default());
                            out.push_str(text);
                        }
                    }
                }
                out.map_or(Value::Null, Value::text)
            }
        })
    }

    /// The rows of a node after a row of what is to its left.
    fn node(&self, node: &Node, left: Row, outer: Option<&Scope<'_>>) -> Result<Vec<Row>, SqlError> {
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

    /// The value of an expression.
    pub(crate) fn value(&self, ex: &Ex, scope: &Scope<'_>) -> Result<Value, SqlError> {
        Ok(match ex {
            Ex::Const(value) => value.clone(),
            Ex::Param(at) => self.params.get(*at).cloned().unwrap_or(Value::Null),
            Ex::Column { up, at } => {
                let mut from = Some(scope);
                for _ in 0..*up {
                    from = from.and_then(|scope| scope.outer);
                }
                let found = from.and_then(|scope| scope.row.get(*at));
                found.cloned().ok_or_else(|| SqlError::bug("a column is read outside its query"))?
            }
            Ex::Aggregate(at) => scope.aggregates.get(*at).cloned().unwrap_or(Value::Null),
            Ex::Set(at) => scope.sets.get(*at).cloned().unwrap_or(Value::Null),
            Ex::And(a, b) => match self.value(a, scope)? {
                Value::Bool(false) => Value::Bool(false),
                a => match (a, self.value(b, scope)?) {
                    (_, Value::Bool(false)) => Value::Bool(false),
                    (Value::Bool(true), Value::Bool(true)) => Value::Bool(true),
                    _ => Value::Null,
                },
            },
            Ex::Or(a, b) => match self.value(a, scope)? {
                Value::Bool(true) => Value::Bool(true),
                a => match (a, self.value(b, scope)?) {
                    (_, Value::Bool(true)) => Value::Bool(true),
                    (Value::Bool(false), Value::Bool(false)) => Value::Bool(false),
                    _ => Value::Null,
                },
            },
            Ex::Not(a) => match self.value(a, scope)? {
                Value::Bool(v) => Value::Bool(!v),
                _ => Value::Null,
            },
            Ex::IsNull(a) => Value::Bool(match self.value(a, scope)? {
                Value::Row(fields) => fields.iter().all(Value::is_null),
                value => value.is_null(),
            }),
            Ex::Same(a, b) => Value::Bool(self.value(a, scope)? == self.value(b, scope)?),
            Ex::Operate(op, a, b) => operator::apply(self, *op, &self.value(a, scope)?, &self.value(b, scope)?)?,
            Ex::Call(function, args, kinds) => function.call(self, &self.all(args, scope)?, kinds)?,
            Ex::Cast { ex, from, to } => cast::cast(self, self.value(ex, scope)?, *from, *to)?,
            Ex::Case(branches, last) => {
                for (condition, result) in branches {
                    if self.value(condition, scope)?.is_true() {
                        return self.value(result, scope);
                    }
                }
                last.as_ref().map_or(Ok(Value::Null), |ex| self.value(ex, scope))?
            }
            Ex::Coalesce(args) => {
                for arg in args {
                    let value = self.value(arg, scope)?;
                    if !value.is_null() {
                        return Ok(value);
                    }
                }
                Value::Null
            }
            Ex::Quantified { operator, all, left, right } => {
                let left = self.value(left, scope)?;
                match self.value(right, scope)? {
                    Value::Array(values) => self.quantified(*operator, *all, &left, values.iter())?,
                    _ => Value::Null,
                }
            }
            Ex::Array(items) => Value::array(self.all(items, scope)?),
            Ex::Row(items) => Value::Row(self.all(items, scope)?.into()),
            Ex::Subscript { array, index, base } => {
                let index = self.value(index, scope)?;
                let element = |values: &[Value]| {
                    let at = usize::try_from(index.as_int()?.checked_sub(*base)?).ok()?;
                    values.get(at).cloned()
                };
                self.value(array, scope)?.as_array().and_then(element).unwrap_or(Value::Null)
            }
            Ex::Slice { array, from, to, base } => {
                let bound = |ex: &Option<Box<Ex>>| ex.as_ref().map(|ex| self.value(ex, scope)).transpose();
                let (from, to) = (bound(from)?, bound(to)?);
                let place = |v: Value| v.as_int().map_or(0, |v| usize::try_from(v - base).unwrap_or(0));
                match self.value(array, scope)? {
                    Value::Array(values) => {
                        let end = to.map_or(values.len(), |v| place(v) + 1).min(values.len());
                        let start = from.map_or(0, place).min(end);
                        Value::array(values.iter().take(end).skip(start).cloned())
                    }
                    _ => Value::Null,
                }
            }
            Ex::Field(row, at) => match self.value(row, scope)? {
                Value::Row(fields) => fields.get(*at).cloned().unwrap_or(Value::Null),
                _ => Value::Null,
            },
            Ex::Subquery(plan, how) => self.subquery(plan, how, scope)?,
        })
    }

    fn subquery(&self, plan: &Arc<Plan>, how: &SubqueryKind, scope: &Scope<'_>) -> Result<Value, SqlError> {
        let relation = self.kept(plan, Some(scope))?;
        let rows = relation.rows();
        let first = |row: &Row| row.first().cloned().unwrap_or(Value::Null);
        Ok(match how {
            SubqueryKind::Exists => Value::Bool(!rows.is_empty()),
            SubqueryKind::Scalar => match rows {
                [] => Value::Null,
                [row] => first(row),
                _ => {
                    let message = "more than one row returned by a subquery used as an expression";
                    return Err(SqlError::new(SqlState::CARDINALITY_VIOLATION, message));
                }
            },
            SubqueryKind::Array => Value::array(rows.iter().map(first)),
            SubqueryKind::Quantified { operator, all, left } => {
                let left = self.value(left, scope)?;
                let is_row = matches!(left, Value::Row(_));
                // IN over many rows: by the index of the only column.
                if *operator == Operator::Eq && !all && !is_row && rows.len() > 8 && !left.is_null() {
                    if !relation.find(0, &left).is_empty() {
                        return Ok(Value::Bool(true));
                    }
                    let unknown = rows.iter().any(|row| row.first().is_some_and(Value::is_null));
                    return Ok(if unknown { Value::Null } else { Value::Bool(false) });
                }
                let values: Vec<Value> = rows.iter().map(|row| if is_row { Value::Row(row.clone().into()) } else { first(row) }).collect();
                self.quantified(*operator, *all, &left, values.iter())?
            }
        })
    }

    fn quantified<'v>(
        &self,
        operator: Operator,
        all: bool,
        left: &Value,
        values: impl Iterator<Item = &'v Value>,
    ) -> Result<Value, SqlError> {
        let mut unknown = false;
        for value in values {
            match operator::apply(self, operator, left, value)? {
                Value::Bool(truth) if truth != all => return Ok(Value::Bool(truth)),
                Value::Null => unknown = true,
                _ => {}
            }
        }
        Ok(if unknown { Value::Null } else { Value::Bool(all) })
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
            SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("invalid regular expression: {error}"))
        })?;
        self.patterns.borrow_mut().insert(key, compiled.clone());
        Ok(compiled)
    }

    /// A value's text where its type does not matter.
    pub(crate) fn plain_text(&self, value: &Value) -> String {
        cast::text_of(self.store, value, kind::TEXT)
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
                (true, false) => if by.nulls_first { Ordering::Less } else { Ordering::Greater },
                (false, true) => if by.nulls_first { Ordering::Greater } else { Ordering::Less },
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

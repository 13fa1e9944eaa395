//! Whole queries: WITH, set operations, VALUES, ORDER BY, LIMIT.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use sqlparser::ast::{
    self, Expr, LimitClause, OrderBy, OrderByExpr, OrderByKind, Query, SetExpr, SetOperator, SetQuantifier, Values, With,
};
use types::{SqlError, SqlState};

use super::level::{Clause, Level};
use super::{Binder, CteEntry, Ctes, Typed, unsupported};
use crate::pg_catalog::kind::{self, Kind};
use crate::pg_catalog::plan::{Body, Cte, Ex, Order, OrderKey, Plan, SetKind};
use crate::pg_catalog::relation::Column;

/// One column of ORDER BY. Errors: 0A000 for USING.
pub(super) fn order(key: OrderKey, item: &OrderByExpr) -> Result<Order, SqlError> {
    if item.with_fill.is_some() {
        return Err(unsupported("ORDER BY .. WITH FILL"));
    }
    let descending = item.options.asc == Some(false);
    Ok(Order { key, descending, nulls_first: item.options.nulls_first.unwrap_or(descending) })
}

pub(super) fn column(name: &str, kind: Kind) -> Column {
    // What no one settles is text.
    let kind = if kind == kind::UNKNOWN { kind::TEXT } else { kind };
    Column { name: name.into(), kind, not_null: false, fields: None }
}

impl Binder<'_> {
    /// Binds a query inside of `parent`.
    pub(super) fn query(&self, query: &Query, parent: Option<&Level<'_>>, ctes: &Ctes) -> Result<Plan, SqlError> {
        self.deeper(|| self.whole_query(query, parent, ctes))
    }

    fn whole_query(&self, query: &Query, parent: Option<&Level<'_>>, ctes: &Ctes) -> Result<Plan, SqlError> {
        if !query.locks.is_empty() {
            return Err(unsupported("FOR UPDATE"));
        }
        let mut visible = ctes.clone();
        let mut made = Vec::new();
        if let Some(with) = &query.with {
            self.with(with, parent, &mut visible, &mut made)?;
        }
        let mut plan = match query.body.as_ref() {
            SetExpr::Select(select) => self.select(select, query.order_by.as_ref(), parent, &visible)?,
            body => {
                let mut plan = self.body(body, parent, &visible)?;
                plan.order = self.order_of_output(query.order_by.as_ref(), &plan.columns)?;
                plan
            }
        };
        plan.correlated |= made.iter().any(|cte: &Cte| cte.plan.correlated);
        plan.ctes.splice(0..0, made);
        self.limits(query, parent, &visible, &mut plan)?;
        Ok(plan)
    }

    fn limits(&self, query: &Query, parent: Option<&Level<'_>>, ctes: &Ctes, plan: &mut Plan) -> Result<(), SqlError> {
        let level = Level::new(parent, ctes);
        level.clause.set(Clause::Other("LIMIT"));
        let bound = |expr: &Expr, what: &str| {
            let value = self.expression(&level, expr)?;
            if kind::is_integer(value.kind) || value.kind == kind::UNKNOWN {
                return Ok(self.coerce(value, kind::INT8));
            }
            let message = format!("argument of {what} must be type bigint, not type {}", kind::format(value.kind, None));
            Err(SqlError::new(SqlState::DATATYPE_MISMATCH, message))
        };
        match &query.limit_clause {
            None => {}
            Some(LimitClause::LimitOffset { limit, offset, .. }) => {
                plan.limit = limit.as_ref().map(|expr| bound(expr, "LIMIT")).transpose()?;
                plan.offset = offset.as_ref().map(|offset| bound(&offset.value, "OFFSET")).transpose()?;
            }
            Some(LimitClause::OffsetCommaLimit { .. }) => return Err(unsupported("LIMIT with a comma")),
        }
        if let Some(fetch) = &query.fetch {
            if fetch.with_ties || fetch.percent {
                return Err(unsupported("FETCH FIRST .. WITH TIES or PERCENT"));
            }
            let one = Expr::value(ast::Value::Number("1".into(), false));
            plan.limit = Some(bound(fetch.quantity.as_ref().unwrap_or(&one), "FETCH FIRST")?);
        }
        plan.correlated |= level.reads_outer.get();
        Ok(())
    }

    fn body(&self, body: &SetExpr, parent: Option<&Level<'_>>, ctes: &Ctes) -> Result<Plan, SqlError> {
        match body {
            SetExpr::Select(select) => self.select(select, None, parent, ctes),
            SetExpr::Query(query) => self.query(query, parent, ctes),
            SetExpr::Values(values) => self.values(values, parent, ctes),
            SetExpr::SetOperation { left, op, set_quantifier, right } => {
                let (how, all) = set_kind(*op, *set_quantifier)?;
                let (left, right) = self.deeper(|| Ok((self.body(left, parent, ctes)?, self.body(right, parent, ctes)?)))?;
                self.set_operation(how, all, left, right)
            }
            _ => Err(unsupported("this form of query")),
        }
    }

    fn set_operation(&self, how: SetKind, all: bool, left: Plan, right: Plan) -> Result<Plan, SqlError> {
        let name = match how {
            SetKind::Union => "UNION",
            SetKind::Intersect => "INTERSECT",
            SetKind::Except => "EXCEPT",
        };
        if left.columns.len() != right.columns.len() {
            let message = format!("each {name} query must have the same number of columns");
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
        }
        let mut columns = Vec::with_capacity(left.columns.len());
        for (l, r) in left.columns.iter().zip(&right.columns) {
            // A NULL or a constant takes the other side's type, which is the form of most values anyhow.
            let kinds = [untyped_or(&left, l, columns.len()), untyped_or(&right, r, columns.len())];
            columns.push(column(&l.name, super::coercion::common_kind(name, kinds)?));
        }
        let (left, right) = (self.recast(left, &columns), self.recast(right, &columns));
        let correlated = left.correlated || right.correlated;
        let body = Body::Set { how, all, left: Arc::new(left), right: Arc::new(right) };
        Ok(Plan { columns, ctes: vec![], body, order: vec![], limit: None, offset: None, correlated })
    }

    /// Casts the columns of a side of a set operation whose values would be of another form.
    fn recast(&self, mut plan: Plan, to: &[Column]) -> Plan {
        let kinds: Vec<Kind> = (0..).zip(&plan.columns).map(|(at, c)| untyped_or(&plan, c, at)).collect();
        let cast = |items: &mut Vec<Ex>| {
            for ((item, from), to) in items.iter_mut().zip(&kinds).zip(to) {
                let inner = std::mem::replace(item, Ex::Const(crate::pg_catalog::value::Value::Null));
                *item = self.coerce(Typed::new(inner, *from), to.kind);
            }
        };
        match &mut plan.body {
            Body::Select(select) => cast(&mut select.items),
            Body::Values(rows) => rows.iter_mut().for_each(cast),
            Body::Set { .. } => {}
        }
        plan
    }

    fn values(&self, values: &Values, parent: Option<&Level<'_>>, ctes: &Ctes) -> Result<Plan, SqlError> {
        let level = Level::new(parent, ctes);
        level.clause.set(Clause::Other("VALUES"));
        let width = values.rows.first().map_or(0, |row| row.content.len());
        let mut by_column: Vec<Vec<Typed>> = (0..width).map(|_| vec![]).collect();
        for row in &values.rows {
            if row.content.len() != width {
                return Err(SqlError::new(SqlState::SYNTAX_ERROR, "VALUES lists must all be the same length"));
            }
            for (expr, column) in row.content.iter().zip(&mut by_column) {
                column.push(self.expression(&level, expr)?);
            }
        }
        let mut columns = Vec::with_capacity(width);
        let mut rows: Vec<Vec<Ex>> = (0..values.rows.len()).map(|_| Vec::with_capacity(width)).collect();
        for (at, values) in by_column.into_iter().enumerate() {
            let (exs, kind) = self.unify("VALUES", values)?;
            columns.push(column(&format!("column{}", at + 1), kind));
            rows.iter_mut().zip(exs).for_each(|(row, ex)| row.push(ex));
        }
        let correlated = level.reads_outer.get();
        Ok(Plan { columns, ctes: vec![], body: Body::Values(rows), order: vec![], limit: None, offset: None, correlated })
    }

    fn with(&self, with: &With, parent: Option<&Level<'_>>, visible: &mut Ctes, made: &mut Vec<Cte>) -> Result<(), SqlError> {
        for cte in &with.cte_tables {
            let id = self.ctes_made.get();
            self.ctes_made.set(id + 1);
            let name = &cte.alias.name.value;
            let named = |columns: &[Column]| -> Vec<Column> {
                let given = cte.alias.columns.iter().map(|c| Some(c.name.value.as_str().into())).chain(std::iter::repeat(None));
                columns
                    .iter()
                    .zip(given)
                    .map(|(c, given)| Column { name: given.unwrap_or(c.name.clone()), ..c.clone() })
                    .collect()
            };
            let entry = |columns: &[Column], recursing: bool| {
                Rc::new(CteEntry { name: name.clone(), id, columns: named(columns), recursing: Cell::new(recursing) })
            };
            let recursive = match cte.query.body.as_ref() {
                SetExpr::SetOperation { left, op: SetOperator::Union, set_quantifier, right } if with.recursive => {
                    Some((left, *set_quantifier != SetQuantifier::All, right))
                }
                _ => None,
            };
            let Some((left, distinct, right)) = recursive else {
                let plan = self.query(&cte.query, parent, visible)?;
                visible.0.push(entry(&plan.columns, false));
                made.push(Cte { id, plan: Arc::new(plan), repeated: None });
                continue;
            };
            let mut inner = visible.clone();
            let mut inner_made = Vec::new();
            if let Some(with) = &cte.query.with {
                self.with(with, parent, &mut inner, &mut inner_made)?;
            }
            let first = self.body(left, parent, &inner)?;
            let own = entry(&first.columns, true);
            inner.0.push(Rc::clone(&own));
            let repeated = self.body(right, parent, &inner)?;
            own.recursing.set(false);
            if repeated.columns.len() != first.columns.len() {
                let message = "each UNION query must have the same number of columns";
                return Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
            }
            made.extend(inner_made);
            visible.0.push(own);
            made.push(Cte { id, plan: Arc::new(first), repeated: Some((Arc::new(repeated), distinct)) });
        }
        Ok(())
    }

    /// ORDER BY of what is no SELECT: by columns of the result.
    fn order_of_output(&self, by: Option<&OrderBy>, columns: &[Column]) -> Result<Vec<Order>, SqlError> {
        let mut found = Vec::new();
        for item in order_items(by)? {
            let at = self.output_position(&item.expr, columns)?.ok_or_else(|| {
                SqlError::unsupported("invalid UNION/INTERSECT/EXCEPT ORDER BY clause")
                    .detail("Only result column names can be used, not expressions or functions.")
            })?;
            found.push(order(OrderKey::Output(at), item)?);
        }
        Ok(found)
    }

    /// The column of the result that a number or a name of ORDER BY or GROUP BY means. Errors: 42P10.
    pub(super) fn output_position(&self, expr: &Expr, columns: &[Column]) -> Result<Option<usize>, SqlError> {
        match expr {
            Expr::Value(value) => match &value.value {
                ast::Value::Number(digits, _) => {
                    let at = digits.parse::<usize>().ok().and_then(|n| n.checked_sub(1)).filter(|at| *at < columns.len());
                    let invalid =
                        || SqlError::new(SqlState(*b"42P10"), format!("ORDER BY position {digits} is not in select list"));
                    at.map(Some).ok_or_else(invalid)
                }
                _ => Ok(None),
            },
            Expr::Identifier(ident) => Ok(columns.iter().position(|c| *c.name == ident.value)),
            Expr::Nested(inner) => self.output_position(inner, columns),
            _ => Ok(None),
        }
    }
}

pub(super) fn order_items(by: Option<&OrderBy>) -> Result<&[OrderByExpr], SqlError> {
    match by.map(|by| &by.kind) {
        None => Ok(&[]),
        Some(OrderByKind::Expressions(items)) => Ok(items),
        Some(OrderByKind::All(_)) => Err(unsupported("ORDER BY ALL")),
    }
}

/// A column's type; UNKNOWN for a constant without a type.
fn untyped_or(plan: &Plan, column: &Column, at: usize) -> Kind {
    let untyped = |ex: Option<&Ex>| {
        matches!(ex, Some(Ex::Const(crate::pg_catalog::value::Value::Null | crate::pg_catalog::value::Value::Text(_))))
    };
    let constant = match &plan.body {
        Body::Select(select) => untyped(select.items.get(at)),
        Body::Values(rows) => !rows.is_empty() && rows.iter().all(|row| untyped(row.get(at))),
        Body::Set { .. } => false,
    };
    if constant && column.kind == kind::TEXT { kind::UNKNOWN } else { column.kind }
}

fn set_kind(op: SetOperator, quantifier: SetQuantifier) -> Result<(SetKind, bool), SqlError> {
    let how = match op {
        SetOperator::Union => SetKind::Union,
        SetOperator::Intersect => SetKind::Intersect,
        SetOperator::Except | SetOperator::Minus => SetKind::Except,
    };
    match quantifier {
        SetQuantifier::All => Ok((how, true)),
        SetQuantifier::Distinct | SetQuantifier::None => Ok((how, false)),
        _ => Err(unsupported("UNION BY NAME")),
    }
}

//! Aggregates over all rows that a SELECT finds.
//!
//! ```text
//! SELECT coalesce(sum(a), 0), max(b) + 1 ...      a row of the aggregates' values: [sum(a), max(b)]
//!                                                 outputs read that row: coalesce(#0, 0), #1 + 1
//! ```
//!
//! Not here: groups. Too many rows are none of a program's: see `range`.

use std::ops::ControlFlow;

use engine::Transaction;
use expr::row::{Aggregated, Binder, RowAggregate, RowExpr};
use expr::syntax::OURS;
use sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, SelectItem, visit_expressions_mut,
};
use types::{Datum, RowLayout, SqlError, SqlType};

use crate::compile::name_of;
use crate::{Column, Outcome, Program};

/// The aggregates of a SELECT.
#[derive(Debug)]
pub(crate) struct Aggregates {
    calls: Vec<RowAggregate>,
    /// Of a row of their values.
    layout: RowLayout,
}

impl Aggregates {
    /// The columns of a row that they read.
    pub(crate) fn columns(&self) -> impl Iterator<Item = usize> {
        self.calls.iter().filter_map(RowAggregate::argument).flat_map(RowExpr::columns)
    }
}

/// The aggregates of a SELECT list, with what is put out of their values; `binder` is of the rows they are over. `None`: there are
/// none, or something else is beside them.
pub(crate) fn compile(items: &[SelectItem], binder: &mut Binder<'_>) -> Option<(Aggregates, Vec<RowExpr>, Vec<Column>)> {
    let mut calls: Vec<RowAggregate> = Vec::new();
    let mut outputs = Vec::new();
    let mut columns = Vec::new();
    for item in items {
        let (expr, alias) = match item {
            SelectItem::UnnamedExpr(expr) => (expr, None),
            SelectItem::ExprWithAlias { expr, alias } => (expr, Some(&alias.value)),
            _ => return None,
        };
        let mut over_values = expr.clone();
        let called = visit_expressions_mut(&mut over_values, |expr| {
            let Expr::Function(function) = &*expr else { return ControlFlow::Continue(()) };
            match called(function, binder) {
                None => ControlFlow::Break(()),
                Some(None) => ControlFlow::Continue(()),
                Some(Some(aggregate)) => {
                    *expr = Expr::Identifier(Ident::new(format!("{OURS}{}", calls.len())));
                    calls.push(aggregate);
                    ControlFlow::Continue(())
                }
            }
        });
        if called.is_break() {
            return None;
        }
        let column = |parts: &[&str]| {
            let [name] = parts else { return None };
            let at = name.strip_prefix(OURS)?.parse::<usize>().ok()?;
            Some((at, calls.get(at)?.data_type))
        };
        let mut outer = Binder { column: &column, data_type: binder.data_type, params: std::mem::take(&mut binder.params) };
        let bound = outer.bind(&over_values)?;
        let value = outer.settle(bound, SqlType::Text)?;
        binder.params = outer.params;
        // Arithmetic has no precision of its own.
        if matches!(value.data_type, SqlType::Numeric { .. }) && value.as_column().is_none() {
            return None;
        }
        let name = alias.cloned().or_else(|| name_of(expr))?;
        columns.push(Column { name, data_type: value.data_type, source: None });
        outputs.push(value);
    }
    if calls.is_empty() {
        return None;
    }
    let types: Vec<SqlType> = calls.iter().map(|call| call.data_type).collect();
    Some((Aggregates { calls, layout: RowLayout::new(&types) }, outputs, columns))
}

/// The aggregate that a function's call is; `Some(None)`: none. `None`: one that cannot be done.
#[allow(clippy::option_option, reason = "another function is not an aggregate that cannot be done")]
fn called(function: &Function, binder: &mut Binder<'_>) -> Option<Option<RowAggregate>> {
    let [name] = function.name.0.as_slice() else { return Some(None) };
    let name = name.as_ident()?.value.as_str();
    if !matches!(name, "count" | "sum" | "avg" | "min" | "max") {
        return Some(None);
    }
    let FunctionArguments::List(list) = &function.args else { return None };
    let plain = function.filter.is_none()
        && function.over.is_none()
        && function.within_group.is_empty()
        && function.null_treatment.is_none()
        && matches!(function.parameters, FunctionArguments::None)
        && list.clauses.is_empty();
    let ([FunctionArg::Unnamed(argument)], true) = (list.args.as_slice(), plain) else { return None };
    let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
    Some(Some(match argument {
        FunctionArgExpr::Wildcard if name == "count" && list.duplicate_treatment.is_none() => RowAggregate::count_rows(),
        FunctionArgExpr::Expr(expr) => {
            let bound = binder.bind(expr)?;
            let expr::row::Bound::Typed(argument) = bound else { return None };
            RowAggregate::new(name, distinct, argument)?
        }
        _ => return None,
    }))
}

impl Program {
    /// The aggregates of the rows that are found, or [`Outcome::TooMany`].
    pub(crate) fn aggregate(
        &self,
        aggregates: &Aggregates,
        transaction: &Transaction,
        params: &[Datum],
    ) -> Result<Outcome, SqlError> {
        let mut found: Vec<Aggregated<'_>> = aggregates.calls.iter().map(RowAggregate::begin).collect();
        let is_all = self.each_found(transaction, params, &mut |_, row| {
            found.iter_mut().try_for_each(|call| call.add(row, params))?;
            Ok(ControlFlow::Continue(()))
        })?;
        if !is_all {
            return Ok(Outcome::TooMany);
        }
        let values = found.into_iter().map(Aggregated::value).collect::<Result<Vec<_>, _>>()?;
        let row = aggregates.layout.encode(&values);
        let row = aggregates.layout.read(&row);
        let outputs = self.outputs.iter().map(|output| output.evaluate(Some(row), params));
        Ok(Outcome::Row(Some(outputs.collect::<Result<_, _>>()?)))
    }
}

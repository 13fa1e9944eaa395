//! Named windows: what `OVER (w ..)` and `WINDOW v AS (w ..)` take from the window they name, which DataFusion leaves out.
//!
//! ```text
//! SELECT sum(a) OVER (w ORDER BY b) FROM t WINDOW w AS (PARTITION BY c)     sum(a) OVER (PARTITION BY c ORDER BY b)
//! ```
//!
//! 1. A window names one defined before it, in the same SELECT.
//! 2. It may add an ORDER BY to one that has none, and its own frame; never a PARTITION BY, and nothing to one that has a frame.
//!
//! Source: PostgreSQL 15, `transformWindowDefinitions` and `transformWindowFuncCall`.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, NamedWindowDefinition, NamedWindowExpr, OrderBy, OrderByKind, Query, Select, SetExpr, VisitMut, WindowSpec,
    WindowType,
};
use types::{SqlError, SqlState};

use super::own;
use crate::names::folded;

/// Writes the windows of a query's SELECT out where its ORDER BY uses them. Call it before [`in_list`].
///
/// Errors: 42704 for a window that is not there, 42P20 for one that is there twice or cannot be changed so, with their positions.
pub(super) fn in_order(query: &mut Query, text: &str) -> Result<(), SqlError> {
    let Some(OrderBy { kind: OrderByKind::Expressions(items), .. }) = &mut query.order_by else { return Ok(()) };
    let SetExpr::Select(select) = query.body.as_ref() else { return Ok(()) };
    let defined = definitions(select, text)?;
    items.iter_mut().try_for_each(|item| used(&mut item.expr, &defined, text))
}

/// Writes the windows of a SELECT out where its list uses them. Errors: as [`in_order`].
pub(super) fn in_list(select: &mut Select, text: &str) -> Result<(), SqlError> {
    let defined = definitions(select, text)?;
    select.named_window.clear();
    used(&mut select.projection, &defined, text)?;
    used(&mut select.distinct, &defined, text)
}

type Defined = Vec<(Ident, WindowSpec)>;

/// The windows of a WINDOW clause, complete.
fn definitions(select: &Select, text: &str) -> Result<Defined, SqlError> {
    let mut defined = Defined::new();
    for NamedWindowDefinition(name, window) in &select.named_window {
        if find(&defined, name).is_some() {
            let error = SqlError::new(SqlState::WINDOWING_ERROR, format!("window \"{}\" is already defined", folded(name)));
            return Err(crate::errors::at(error, text, name.span));
        }
        let spec = match window {
            NamedWindowExpr::WindowSpec(spec) => complete(spec, &defined, text)?,
            // PostgreSQL's grammar has no such thing.
            NamedWindowExpr::NamedWindow(name) => existing(&defined, name, text)?.clone(),
        };
        defined.push((name.clone(), spec));
    }
    Ok(defined)
}

fn find<'d>(defined: &'d Defined, name: &Ident) -> Option<&'d WindowSpec> {
    defined.iter().find(|(other, _)| folded(other) == folded(name)).map(|(_, spec)| spec)
}

/// A window with what it takes from the one it names.
fn complete(spec: &WindowSpec, defined: &Defined, text: &str) -> Result<WindowSpec, SqlError> {
    let Some(name) = &spec.window_name else { return Ok(spec.clone()) };
    let base = existing(defined, name, text).map_err(|error| from_parenthesis(error, text))?;
    let shown = folded(name);
    let wrong = |message: String| {
        let error = crate::errors::at(SqlError::new(SqlState::WINDOWING_ERROR, message), text, name.span);
        from_parenthesis(error, text)
    };
    if !spec.partition_by.is_empty() {
        return Err(wrong(format!("cannot override PARTITION BY clause of window \"{shown}\"")));
    }
    if !spec.order_by.is_empty() && !base.order_by.is_empty() {
        return Err(wrong(format!("cannot override ORDER BY clause of window \"{shown}\"")));
    }
    if base.window_frame.is_some() {
        let error = wrong(format!("cannot copy window \"{shown}\" because it has a frame clause"));
        let bare = spec.order_by.is_empty() && spec.window_frame.is_none();
        return Err(if bare { error.hint("Omit the parentheses in this OVER clause.") } else { error });
    }
    let order_by = if spec.order_by.is_empty() { &base.order_by } else { &spec.order_by };
    Ok(WindowSpec {
        window_name: None,
        partition_by: base.partition_by.clone(),
        order_by: order_by.clone(),
        window_frame: spec.window_frame.clone(),
    })
}

fn existing<'d>(defined: &'d Defined, name: &Ident, text: &str) -> Result<&'d WindowSpec, SqlError> {
    find(defined, name).ok_or_else(|| {
        let error = SqlError::new(SqlState::UNDEFINED_OBJECT, format!("window \"{}\" does not exist", folded(name)));
        crate::errors::at(error, text, name.span)
    })
}

/// The error at the parenthesis before the name it is at: there a window's definition begins.
fn from_parenthesis(error: SqlError, text: &str) -> SqlError {
    let Some(at) = error.fields.position.map(|at| at as usize) else { return error };
    let before: Vec<char> = text.chars().take(at.saturating_sub(1)).collect();
    let blanks = before.iter().rev().take_while(|c| c.is_whitespace()).count();
    match before.len().checked_sub(blanks + 1) {
        Some(paren) if before.get(paren) == Some(&'(') => error.position(u32::try_from(paren + 1).unwrap_or(u32::MAX)),
        _ => error,
    }
}

/// Gives the calls in a part of a SELECT their whole windows. Subqueries have windows of their own.
fn used(node: &mut impl VisitMut, defined: &Defined, text: &str) -> Result<(), SqlError> {
    let found = own::visit_mut(node, |expr| {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        let spec = match &function.over {
            None => return ControlFlow::Continue(()),
            Some(WindowType::NamedWindow(name)) => existing(defined, name, text).cloned(),
            Some(WindowType::WindowSpec(spec)) => complete(spec, defined, text),
        };
        match spec {
            Ok(spec) => {
                function.over = Some(WindowType::WindowSpec(spec));
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    });
    found.break_value().map_or(Ok(()), Err)
}

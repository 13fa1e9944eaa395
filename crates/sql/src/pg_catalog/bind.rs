//! The binder: a query's syntax, with its names resolved and its types settled, as a plan.
//!
//! ```text
//! query    WITH, set operations, VALUES, ORDER BY, LIMIT        from      relations, joins, functions and subqueries in FROM
//! select   the SELECT list, groups, DISTINCT                    expression, operators, call, subquery      values
//! coercion what goes with what: casts of constants, one type for several values
//! level    which columns one query sees; the queries around it are levels further out
//! ```
//!
//! 1. Constants and parameters without a type get theirs from what they are used with; parameters nothing says anything of are text.
//! 2. A view is PostgreSQL's own text, bound by this binder where its name stands.
//! 3. What is not understood is refused: 0A000 for syntax, 42883 for functions and operators.
//!
//! Source: PostgreSQL 15, `parser/parse_*.c`, as far as clients' queries of the system relations go.

mod call;
mod coercion;
mod expression;
mod from;
mod level;
mod operators;
mod query;
mod select;
mod subquery;
mod title;

pub(super) use call::function_name;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use sqlparser::ast::{Ident, Query};
use sqlparser::tokenizer::Location;
use types::{SqlError, SqlState};

use super::kind::{self, Kind};
use super::plan::{Ex, Plan};
use super::relation::{Column, Fields};
use super::value::Value;
use crate::names::Scope;
use crate::parse::Source;

/// How deep expressions, queries and views may be in each other, together. psql and drivers stay below 30.
const DEPTH_MAX: usize = 100;

/// A query bound.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) plan: Plan,
    /// The types of `$1`, `$2`, ...
    pub(crate) params: Vec<Kind>,
}

/// Binds a query. `declared` are the types the client gave its parameters; `source` is its text, for positions in errors. Errors:
/// 42P01, 42703, 42702, 42883, 42804, 42803 and their kin; 0A000 for what system relations are not asked with.
pub(crate) fn bind(
    names: Scope<'_>,
    source: Option<&Source>,
    query: &Query,
    declared: &[Option<Kind>],
) -> Result<Bound, SqlError> {
    let binder = Binder {
        names,
        source: Cell::new(source),
        params: RefCell::new(declared.to_vec()),
        ctes_made: Cell::new(0),
        depth: Cell::new(0),
    };
    let plan = binder.query(query, None, &Ctes::default())?;
    let params = binder.params.into_inner().into_iter().map(|kind| kind.unwrap_or(kind::TEXT)).collect();
    Ok(Bound { plan, params })
}

struct Binder<'a> {
    names: Scope<'a>,
    /// None inside of a view.
    source: Cell<Option<&'a Source>>,
    params: RefCell<Vec<Option<Kind>>>,
    ctes_made: Cell<usize>,
    depth: Cell<usize>,
}

/// An expression with its type.
#[derive(Clone, Debug)]
struct Typed {
    ex: Ex,
    kind: Kind,
    /// Of a row: its columns.
    fields: Option<Fields>,
}

impl Typed {
    fn new(ex: Ex, kind: Kind) -> Typed {
        Typed { ex, kind, fields: None }
    }

    fn null() -> Typed {
        Typed::new(Ex::Const(Value::Null), kind::UNKNOWN)
    }
}

/// A WITH query that can be read by its name.
struct CteEntry {
    name: String,
    id: usize,
    columns: Vec<Column>,
    /// Its recursive part is being bound: what it gives changes while it runs.
    recursing: Cell<bool>,
}

/// The WITH queries that are visible, the innermost last.
#[derive(Clone, Default)]
struct Ctes(Vec<Rc<CteEntry>>);

impl Binder<'_> {
    /// Counts a step inwards. Errors: 54001.
    fn deeper<T>(&self, bind: impl FnOnce() -> Result<T, SqlError>) -> Result<T, SqlError> {
        if self.depth.get() >= DEPTH_MAX {
            let message = format!("a query of the system relations is nested more than {DEPTH_MAX} deep");
            return Err(SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, message));
        }
        self.depth.set(self.depth.get() + 1);
        let bound = bind();
        self.depth.set(self.depth.get() - 1);
        bound
    }

    /// An error with the place in the client's text it is about.
    fn error_at(&self, at: Location, state: SqlState, message: impl Into<String>) -> SqlError {
        let error = SqlError::new(state, message);
        match self.source.get().and_then(|source| source.position_of(at)) {
            Some(position) => error.position(position),
            None => error,
        }
    }

    fn error_of(&self, ident: &Ident, state: SqlState, message: impl Into<String>) -> SqlError {
        self.error_at(ident.span.start, state, message)
    }
}

fn unsupported(what: impl std::fmt::Display) -> SqlError {
    SqlError::unsupported(format!("{what} is not supported in queries of system relations"))
}

#[cfg(test)]
mod tests;

//! How much there is to plan: relations, those of WITH as often as they are put where they are read.
//!
//! Not here: what is computed once and so counts once (`cte`).

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Query, TableFactor, Visit, Visitor};
use types::{SqlError, SqlState};

use super::cte::{is_named, name_of};

/// Relations a query may name, what it names more than once and is put there each time counted each time: each takes some 10 KB and
/// a fraction of a millisecond to plan.
pub(crate) const RELATIONS_MAX: usize = 10_000;

/// Errors: 54001, it would be planned as more than [`RELATIONS_MAX`] relations.
pub(crate) fn check(query: &Query) -> Result<(), SqlError> {
    let mut size = Size { count: 0, open: Vec::new(), named: HashMap::new(), known: Vec::new() };
    match Visit::visit(query, &mut size) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(too_complex()),
    }
}

pub(crate) fn too_complex() -> SqlError {
    let message = format!("the query has more than {RELATIONS_MAX} relations");
    SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, message)
        .hint("Queries of WITH that are NOT MATERIALIZED, and views, count as often as they are referred to.")
}

/// Counts relations as they will be planned.
struct Size {
    count: usize,
    /// The queries around, innermost last: what was counted before each, and how many names were known.
    open: Vec<(usize, usize)>,
    /// Queries of WITH that are not counted yet, by where they are, and their names.
    named: HashMap<*const Query, String>,
    /// Names of WITH and their sizes.
    known: Vec<(String, usize)>,
}

impl Visitor for Size {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.open.push((self.count, self.known.len()));
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        self.named.extend(ctes.map(|cte| (std::ptr::from_ref(cte.query.as_ref()), name_of(cte))));
        ControlFlow::Continue(())
    }

    /// WITH comes before what refers to it.
    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let Some((before, known)) = self.open.pop() else { return ControlFlow::Continue(()) };
        self.known.truncate(known);
        if let Some(name) = self.named.remove(&std::ptr::from_ref(query)) {
            self.known.push((name, self.count - before));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { .. } = factor {
            let known = self.known.iter().rev().find(|(name, _)| is_named(factor, name));
            self.count = self.count.saturating_add(known.map_or(1, |(_, size)| (*size).max(1)));
        }
        if self.count > RELATIONS_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

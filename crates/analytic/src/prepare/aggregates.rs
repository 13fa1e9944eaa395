//! Aggregates and window functions where there are no groups: refused as PostgreSQL does.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::LazyLock;

use datafusion::sql::sqlparser::ast::{Expr, Query, Visit, Visitor};
use types::{SqlError, SqlState};

use crate::names;

/// Errors: 42803 or 42P20 if an expression of the clause has one outside of subqueries.
pub fn refuse(expr: &Expr, clause: &str) -> Result<(), SqlError> {
    match Visit::visit(expr, &mut Search { clause, depth: 0 }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Search<'a> {
    clause: &'a str,
    depth: usize,
}

impl Visitor for Search<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<SqlError> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<SqlError> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<SqlError> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        let clause = self.clause;
        if function.over.is_some() {
            let message = format!("window functions are not allowed in {clause}");
            return ControlFlow::Break(SqlError::new(SqlState::WINDOWING_ERROR, message));
        }
        if names::last(&function.name).is_some_and(|name| is_aggregate(&name)) {
            let message = format!("aggregate functions are not allowed in {clause}");
            return ControlFlow::Break(SqlError::new(SqlState::GROUPING_ERROR, message));
        }
        ControlFlow::Continue(())
    }
}

fn is_aggregate(name: &str) -> bool {
    static NAMES: LazyLock<HashSet<String>> = LazyLock::new(|| {
        let all = datafusion::functions_aggregate::all_default_aggregate_functions();
        all.iter().flat_map(|f| f.aliases().iter().cloned().chain([f.name().to_owned()])).collect()
    });
    expr::arrow_driver::aggregate_function(name).is_some() || NAMES.contains(name)
}

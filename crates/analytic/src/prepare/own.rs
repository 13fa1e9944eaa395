//! The expressions of a query itself, not those of its subqueries: there the same names mean other things.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Query, Visit, VisitMut, Visitor, VisitorMut};

/// Calls `f` with each expression before its parts, until it breaks.
pub(super) fn visit<B>(node: &impl Visit, f: impl FnMut(&Expr) -> ControlFlow<B>) -> ControlFlow<B> {
    node.visit(&mut Own { f, depth: 0 })
}

/// Calls `f` with each expression after its parts, until it breaks.
pub(super) fn visit_mut<B>(node: &mut impl VisitMut, f: impl FnMut(&mut Expr) -> ControlFlow<B>) -> ControlFlow<B> {
    node.visit(&mut OwnMut { f, depth: 0 })
}

struct Own<F> {
    f: F,
    depth: usize,
}

impl<B, F: FnMut(&Expr) -> ControlFlow<B>> Visitor for Own<F> {
    type Break = B;

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<B> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<B> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<B> {
        if self.depth == 0 { (self.f)(expr) } else { ControlFlow::Continue(()) }
    }
}

struct OwnMut<F> {
    f: F,
    depth: usize,
}

impl<B, F: FnMut(&mut Expr) -> ControlFlow<B>> VisitorMut for OwnMut<F> {
    type Break = B;

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<B> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<B> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<B> {
        if self.depth == 0 { (self.f)(expr) } else { ControlFlow::Continue(()) }
    }
}

//! Names of WITH that hide one of a query around them: DataFusion takes no name twice, so each gets one of its own.
//!
//! ```text
//! WITH c AS (..) SELECT .. FROM (WITH c AS (..) SELECT c.a FROM c)   ->   .. (WITH "c\u{1}0" AS (..) SELECT c.a FROM "c\u{1}0" AS c)
//! ```
//!
//! Innermost first: where a name stands then, it is no longer one of a query further in.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Ident, Query, VisitMut, VisitorMut};

use super::cte::{Renaming, name_of, names_of};
use crate::names;

/// See the module's head.
pub(crate) fn tell_apart(query: &mut Query) {
    let _ = VisitMut::visit(query, &mut Inner { around: vec![], renamed: 0 });
}

struct Inner {
    /// What each query around, outermost first, names in its WITH.
    around: Vec<Vec<String>>,
    renamed: usize,
}

impl VisitorMut for Inner {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.around.push(names_of(query).collect());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.around.pop();
        let Some(mut with) = query.with.take() else { return ControlFlow::Continue(()) };
        for at in 0..with.cte_tables.len() {
            let name = name_of(&with.cte_tables[at]);
            if !self.around.iter().flatten().any(|outer| *outer == name) {
                continue;
            }
            let relation = names::marked(&name, self.renamed);
            self.renamed += 1;
            let mut renaming = Renaming { name: &name, relation: &relation };
            // Without RECURSIVE, it itself and those before it read the one around.
            let readers = if with.recursive { 0 } else { at + 1 };
            for cte in &mut with.cte_tables[readers..] {
                let _ = VisitMut::visit(cte, &mut renaming);
            }
            let _ = VisitMut::visit(query, &mut renaming);
            with.cte_tables[at].alias.name = Ident::with_quote('"', relation);
        }
        query.with = Some(with);
        ControlFlow::Continue(())
    }
}

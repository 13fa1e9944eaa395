//! Queries of WITH that are computed once: taken out of the query, each under a name of its own that no user can write.
//!
//! ```text
//! WITH c AS (Q) SELECT .. FROM c a, c b    ->    "1" = Q    SELECT .. FROM "1" a, "1" b
//! ```
//!
//! 1. As in PostgreSQL, once is: what is referred to more than once, calls a volatile function or says MATERIALIZED. What is not is
//!    put where it is referred to; so it is with NOT MATERIALIZED.
//! 2. What is taken out is planned by itself, before what refers to it. What it refers to and is not taken out goes with it.
//! 3. A WITH RECURSIVE stays as it is, and so does what refers to it; so does a WITH inside of an expression or a LATERAL, which may
//!    refer to the query around it.
//! 4. No name is hidden by another: those of a query were compared (`prepare`), those further in told apart (`inner_with`) before.
//!
//! Not here: planning and running it (`cte`). Source: PostgreSQL 15, `SS_process_ctes`.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    Cte, CteAsMaterialized, Expr, Function, Ident, ObjectName, Query, SetExpr, TableAlias, TableFactor, TableWithJoins, Visit,
    VisitMut, Visitor, VisitorMut, With,
};

use crate::names;

/// A query of WITH that was taken out.
pub(crate) struct TakenOut {
    /// The name of the relation it is now.
    pub(crate) relation: String,
    /// What WITH called it.
    pub(crate) name: String,
    /// The names WITH gave its first columns.
    pub(crate) columns: Vec<Ident>,
    pub(crate) query: Query,
}

/// What may be volatile in a query, by its name.
#[derive(Clone, Copy)]
pub(crate) struct Volatile<'a> {
    pub(crate) function: &'a dyn Fn(&ObjectName) -> bool,
    /// A view that calls one.
    pub(crate) view: &'a dyn Fn(&ObjectName) -> bool,
}

/// Takes out what is computed once. In the order in which they can be planned. `next` numbers them.
pub(crate) fn take_out(query: &mut Query, is_volatile: Volatile<'_>, next: &AtomicUsize) -> Vec<TakenOut> {
    let mut taking = Taking { is_volatile, next, taken: Vec::new(), around: Vec::new() };
    taking.query(query);
    taking.taken
}

/// What a name of WITH stands for that was not taken out.
#[derive(Clone)]
enum Around {
    Here(Cte),
    /// Of a WITH RECURSIVE, or it refers to one.
    Fixed(String),
}

struct Taking<'a> {
    is_volatile: Volatile<'a>,
    next: &'a AtomicUsize,
    taken: Vec<TakenOut>,
    /// Of the queries around, outermost first.
    around: Vec<Around>,
}

impl Taking<'_> {
    fn query(&mut self, query: &mut Query) {
        let around = self.around.len();
        if let Some(mut with) = query.with.take() {
            if with.recursive {
                self.around.extend(with.cte_tables.iter().map(|cte| Around::Fixed(name_of(cte))));
            } else {
                with.cte_tables = self.with(with.cte_tables, query);
            }
            query.with = Some(with).filter(|with| !with.cte_tables.is_empty());
        }
        self.body(&mut query.body);
        self.around.truncate(around);
    }

    /// Takes out some of the queries in the WITH of `query`, which is without it; returns the others.
    fn with(&mut self, mut left: Vec<Cte>, query: &mut Query) -> Vec<Cte> {
        let mut stay = Vec::new();
        left.reverse();
        while let Some(mut cte) = left.pop() {
            self.query(&mut cte.query);
            let name = name_of(&cte);
            let mut uses = Uses { name: &name, count: 0 };
            let _ = Visit::visit(&left, &mut uses);
            let _ = Visit::visit(query, &mut uses);
            let once = match cte.materialized {
                Some(CteAsMaterialized::Materialized) => uses.count > 0,
                Some(CteAsMaterialized::NotMaterialized) => uses.count > 0 && calls_volatile(&cte.query, self.is_volatile),
                None => uses.count > 1 || uses.count == 1 && calls_volatile(&cte.query, self.is_volatile),
            };
            let fixed = self.refers_to_fixed(&cte.query);
            if !once || fixed {
                self.around.push(if fixed { Around::Fixed(name) } else { Around::Here(cte.clone()) });
                stay.push(cte);
                continue;
            }
            let relation = format!("\u{1}with {}", self.next.fetch_add(1, Ordering::Relaxed));
            let mut renaming = Renaming { name: &name, relation: &relation };
            let _ = VisitMut::visit(&mut left, &mut renaming);
            let _ = VisitMut::visit(query, &mut renaming);
            let columns = cte.alias.columns.iter().map(|column| column.name.clone()).collect();
            let query = self.with_around(*cte.query);
            self.taken.push(TakenOut { relation, name: names::shown(&name).to_owned(), columns, query });
        }
        stay
    }

    /// Queries whose own names are all they can refer to, with those around.
    fn body(&mut self, body: &mut SetExpr) {
        match body {
            SetExpr::Select(select) => select.from.iter_mut().for_each(|from| self.from(from)),
            SetExpr::Query(query) => self.query(query),
            SetExpr::SetOperation { left, right, .. } => {
                self.body(left);
                self.body(right);
            }
            _ => {}
        }
    }

    fn from(&mut self, from: &mut TableWithJoins) {
        self.factor(&mut from.relation);
        from.joins.iter_mut().for_each(|join| self.factor(&mut join.relation));
    }

    fn factor(&mut self, factor: &mut TableFactor) {
        match factor {
            TableFactor::Derived { lateral: false, subquery, .. } => self.query(subquery),
            TableFactor::NestedJoin { table_with_joins, .. } => self.from(table_with_joins),
            _ => {}
        }
    }

    fn refers_to_fixed(&self, query: &Query) -> bool {
        self.around.iter().any(|around| matches!(around, Around::Fixed(name) if refers_to(query, name)))
    }

    /// The query with those of the queries around in its WITH that it refers to, and that these refer to.
    fn with_around(&self, mut query: Query) -> Query {
        let mut needed: Vec<Cte> = Vec::new();
        for around in self.around.iter().rev() {
            let Around::Here(cte) = around else { continue };
            let name = name_of(cte);
            if refers_to(&query, &name) || needed.iter().any(|other| refers_to(&other.query, &name)) {
                needed.push(cte.clone());
            }
        }
        if needed.is_empty() {
            return query;
        }
        needed.reverse();
        match &mut query.with {
            Some(with) => {
                needed.append(&mut with.cte_tables);
                with.cte_tables = needed;
            }
            None => {
                query.with = Some(With { with_token: AttachedToken::empty(), recursive: false, cte_tables: needed });
            }
        }
        query
    }
}

/// Whether a query calls a volatile function, or reads a view that does.
pub(crate) fn calls_volatile(query: &Query, is_volatile: Volatile<'_>) -> bool {
    struct Calls<'a>(Volatile<'a>);
    impl Visitor for Calls<'_> {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Function(Function { name, .. }) if (self.0.function)(name) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }

        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
            match factor {
                TableFactor::Table { name, args: None, .. } if (self.0.view)(name) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    Visit::visit(query, &mut Calls(is_volatile)).is_break()
}

pub(super) fn name_of(cte: &Cte) -> String {
    names::folded(&cte.alias.name)
}

/// The names of a query's own WITH.
pub(super) fn names_of(query: &Query) -> impl Iterator<Item = String> {
    query.with.iter().flat_map(|with| &with.cte_tables).map(name_of)
}

/// Whether a relation of FROM is the one by a name of WITH.
pub(super) fn is_named(factor: &TableFactor, wanted: &str) -> bool {
    match factor {
        TableFactor::Table { name, args: None, .. } if name.0.len() == 1 => {
            name.0.iter().any(|part| part.as_ident().is_some_and(|ident| names::folded(ident) == wanted))
        }
        _ => false,
    }
}

fn refers_to(query: &Query, name: &str) -> bool {
    let mut uses = Uses { name, count: 0 };
    let _ = Visit::visit(query, &mut uses);
    uses.count > 0
}

/// Counts what refers to a name.
struct Uses<'a> {
    name: &'a str,
    count: usize,
}

impl Visitor for Uses<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        self.count += usize::from(is_named(factor, self.name));
        ControlFlow::Continue(())
    }
}

/// Reads another relation wherever a name is read; what is named so keeps its alias.
pub(super) struct Renaming<'a> {
    pub(super) name: &'a str,
    pub(super) relation: &'a str,
}

impl VisitorMut for Renaming<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if is_named(factor, self.name)
            && let TableFactor::Table { name, alias, .. } = factor
        {
            alias.get_or_insert_with(|| TableAlias {
                explicit: true,
                name: Ident::with_quote('"', self.name),
                columns: vec![],
                at: None,
            });
            *name = ObjectName::from(Ident::with_quote('"', self.relation));
        }
        ControlFlow::Continue(())
    }
}

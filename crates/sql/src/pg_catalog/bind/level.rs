//! What one query sees: the columns of its FROM clause, and through its parents those of the queries around it.

use std::cell::{Cell, RefCell};

use sqlparser::ast::Ident;
use types::{SqlError, SqlState};

use super::{Binder, Ctes, Typed};
use crate::pg_catalog::data::Shape;
use crate::pg_catalog::functions::SetFunction;
use crate::pg_catalog::kind::{self, Kind};
use crate::pg_catalog::plan::{Aggregate, Ex};
use crate::pg_catalog::relation::Fields;
use crate::pg_catalog::value::Value;

/// One query's names. Which row a plan sees as its own and which as those around it is the same chain when it runs.
pub(super) struct Level<'p> {
    pub(super) relations: Vec<Visible>,
    /// Columns that USING and NATURAL made one: they are found first, and stand in front of `*`.
    pub(super) merged: Vec<VisibleColumn>,
    /// Values in the joined row so far.
    pub(super) width: usize,
    pub(super) parent: Option<&'p Level<'p>>,
    pub(super) ctes: Ctes,
    /// Whether something in the query reads a row of a query around it.
    pub(super) reads_outer: Cell<bool>,
    pub(super) aggregates: RefCell<Vec<Aggregate>>,
    pub(super) sets: RefCell<Vec<(SetFunction, Vec<Ex>, Vec<Kind>)>>,
    /// The clause being bound.
    pub(super) clause: Cell<Clause>,
}

/// Where an expression stands: what may be in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clause {
    /// SELECT list, ORDER BY: aggregates and functions that return rows.
    Items,
    /// HAVING: aggregates.
    Having,
    /// Inside of an aggregate.
    Aggregate,
    /// WHERE, ON, GROUP BY, functions in FROM, VALUES, LIMIT.
    Other(&'static str),
}

/// A relation of FROM.
pub(super) struct Visible {
    pub(super) name: String,
    pub(super) columns: Vec<VisibleColumn>,
    pub(super) shape: Option<&'static Shape>,
}

#[derive(Clone)]
pub(super) struct VisibleColumn {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) fields: Option<Fields>,
    pub(super) ex: Ex,
    /// Another column of USING has its place in `*` and in names without a relation.
    pub(super) hidden: bool,
}

impl VisibleColumn {
    pub(super) fn typed(&self) -> Typed {
        Typed { ex: self.ex.clone(), kind: self.kind, fields: self.fields.clone() }
    }
}

impl<'p> Level<'p> {
    pub(super) fn new(parent: Option<&'p Level<'p>>, ctes: &Ctes) -> Level<'p> {
        Level {
            relations: vec![],
            merged: vec![],
            width: 0,
            parent,
            ctes: ctes.clone(),
            reads_outer: Cell::new(false),
            aggregates: RefCell::default(),
            sets: RefCell::default(),
            clause: Cell::new(Clause::Other("FROM")),
        }
    }

    /// The levels from this one outwards.
    fn outwards<'l>(&'l self) -> impl Iterator<Item = (usize, &'l Level<'p>)>
    where
        'p: 'l,
    {
        let mut next: Option<&'l Level<'p>> = Some(self);
        std::iter::from_fn(move || {
            let level = next?;
            next = level.parent.map(|parent| parent as &'l Level<'p>);
            Some(level)
        })
        .enumerate()
    }

    /// Notes that this query reads a row `up` levels out.
    pub(super) fn note(&self, up: usize) {
        self.outwards().take(up).for_each(|(_, level)| level.reads_outer.set(true));
    }

    /// The columns `*` stands for.
    pub(super) fn star(&self) -> Vec<VisibleColumn> {
        let own = self.relations.iter().flat_map(|r| &r.columns).filter(|c| !c.hidden);
        self.merged.iter().chain(own).cloned().collect()
    }
}

fn raised(typed: Typed, up: usize) -> Typed {
    Typed { ex: lift(typed.ex, up), ..typed }
}

/// A column (or the COALESCE of two) as it is read from `up` levels further in.
fn lift(ex: Ex, up: usize) -> Ex {
    match ex {
        Ex::Column { up: own, at } => Ex::Column { up: own + up, at },
        Ex::Coalesce(args) => Ex::Coalesce(args.into_iter().map(|ex| lift(ex, up)).collect()),
        other => other,
    }
}

/// A relation's row as one value.
pub(super) fn row_of(relation: &Visible) -> Typed {
    let fields: Fields = relation.columns.iter().map(|c| (c.name.clone(), c.kind)).collect();
    let ex = Ex::Row(relation.columns.iter().map(|c| c.ex.clone()).collect());
    Typed { ex, kind: kind::RECORD, fields: Some(fields) }
}

impl Binder<'_> {
    /// A column by its name alone; a relation's row if there is no such column. Errors: 42703, 42702.
    pub(super) fn column(&self, level: &Level<'_>, ident: &Ident) -> Result<Typed, SqlError> {
        let name = ident.value.as_str();
        for (up, at) in level.outwards() {
            let own = at.relations.iter().flat_map(|r| &r.columns).filter(|c| !c.hidden);
            let mut found = at.merged.iter().chain(own).filter(|c| c.name == name);
            if let Some(column) = found.next() {
                if found.next().is_some() {
                    let message = format!("column reference \"{name}\" is ambiguous");
                    return Err(self.error_of(ident, SqlState::AMBIGUOUS_COLUMN, message));
                }
                level.note(up);
                return Ok(raised(column.typed(), up));
            }
            if let [only] = at.relations.as_slice()
                && let Some(typed) = system_column(only, name)
            {
                return Ok(typed);
            }
        }
        for (up, at) in level.outwards() {
            if let Some(relation) = at.relations.iter().find(|r| r.name == name) {
                level.note(up);
                return Ok(whole_row(relation, up));
            }
        }
        Err(self.error_of(ident, SqlState::UNDEFINED_COLUMN, format!("column \"{name}\" does not exist")))
    }

    /// `relation.column`, with or without the relation's schema. Errors: 42703, 42P01.
    pub(super) fn qualified_column(&self, level: &Level<'_>, parts: &[Ident]) -> Result<Typed, SqlError> {
        let (relation, column) = match parts {
            [relation, column] | [_, relation, column] | [_, _, relation, column] => (relation, column),
            _ => return Err(SqlError::new(SqlState::SYNTAX_ERROR, "improper qualified name (too many dotted names)")),
        };
        for (up, at) in level.outwards() {
            let Some(found) = at.relations.iter().find(|r| r.name == relation.value) else { continue };
            level.note(up);
            if let Some(column) = found.columns.iter().find(|c| c.name == column.value) {
                return Ok(raised(column.typed(), up));
            }
            if let Some(typed) = system_column(found, &column.value) {
                return Ok(typed);
            }
            let message = format!("column {}.{} does not exist", relation.value, column.value);
            return Err(self.error_of(relation, SqlState::UNDEFINED_COLUMN, message));
        }
        // `(a).b` is also written `a.b` where a is a column with fields.
        if let [root, field] = parts
            && let Ok(root) = self.column(level, root)
            && root.fields.is_some()
        {
            return self.field(root, field);
        }
        Err(self.missing_from(relation))
    }

    /// The columns of `relation.*`. Errors: 42P01.
    pub(super) fn relation_star(&self, level: &Level<'_>, relation: &Ident) -> Result<Vec<VisibleColumn>, SqlError> {
        for (up, at) in level.outwards() {
            if let Some(found) = at.relations.iter().find(|r| r.name == relation.value) {
                level.note(up);
                let lifted = |c: &VisibleColumn| VisibleColumn { ex: lift(c.ex.clone(), up), ..c.clone() };
                return Ok(found.columns.iter().map(lifted).collect());
            }
        }
        Err(self.missing_from(relation))
    }

    /// A relation's row as a value: `f(t.*)`. Errors: 42P01.
    pub(super) fn relation_row(&self, level: &Level<'_>, relation: &Ident) -> Result<Typed, SqlError> {
        for (up, at) in level.outwards() {
            if let Some(found) = at.relations.iter().find(|r| r.name == relation.value) {
                level.note(up);
                return Ok(whole_row(found, up));
            }
        }
        Err(self.missing_from(relation))
    }

    fn missing_from(&self, relation: &Ident) -> SqlError {
        let message = format!("missing FROM-clause entry for table \"{}\"", relation.value);
        self.error_of(relation, SqlState::UNDEFINED_TABLE, message)
    }
}

fn whole_row(relation: &Visible, up: usize) -> Typed {
    // A function's only value is its row.
    if let ([column], None) = (relation.columns.as_slice(), relation.shape)
        && column.name == relation.name
    {
        return raised(column.typed(), up);
    }
    let row = row_of(relation);
    let ex = match row.ex {
        Ex::Row(items) => Ex::Row(items.into_iter().map(|ex| lift(ex, up)).collect()),
        other => other,
    };
    Typed { ex, ..row }
}

/// Columns every table has without saying so.
fn system_column(relation: &Visible, name: &str) -> Option<Typed> {
    let shape = relation.shape?;
    match name {
        "tableoid" => Some(Typed::new(Ex::Const(Value::Int(shape.oid.into())), kind::OID)),
        "xmin" => Some(Typed::new(Ex::Const(Value::Int(1)), kind::XID)),
        _ => None,
    }
}

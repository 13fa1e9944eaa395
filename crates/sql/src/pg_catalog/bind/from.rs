//! FROM: relations, views, WITH queries, subqueries, functions, and how they are joined.

use std::sync::Arc;

use sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, Join, JoinConstraint, JoinOperator, ObjectName, TableAlias, TableFactor,
    TableWithJoins,
};
use types::{SqlError, SqlState};

use super::call::{SetCall, function_name};
use super::level::{Clause, Level, Visible, VisibleColumn};
use super::query::column;
use super::{Binder, CteEntry, Ctes, unsupported};
use crate::pg_catalog::data::{self, Shape};
use crate::pg_catalog::functions::{self, SetFunction};
use crate::pg_catalog::kind::{self, Kind};
use crate::pg_catalog::plan::{Ex, JoinKind, Node, Source};
use crate::pg_catalog::relation::Column;
use crate::pg_catalog::route::{self, Found};
use crate::pg_catalog::store;

/// What a name of FROM gives: its columns and where the rows come from.
struct Given {
    name: String,
    columns: Vec<Column>,
    shape: Option<&'static Shape>,
    source: Source,
}

impl Binder<'_> {
    /// Binds an item of FROM into a level, after those before it. Errors: 42P01, 42712 and those of the parts.
    pub(super) fn joined(&self, level: &mut Level<'_>, item: &TableWithJoins) -> Result<Node, SqlError> {
        let first = level.relations.len();
        let mut tree = self.factor(level, &item.relation)?;
        for step in &item.joins {
            tree = self.join(level, first, tree, step)?;
        }
        Ok(tree)
    }

    fn join(&self, level: &mut Level<'_>, first: usize, left: Node, step: &Join) -> Result<Node, SqlError> {
        let middle = level.relations.len();
        let right = self.factor(level, &step.relation)?;
        let (how, constraint) = match &step.join_operator {
            JoinOperator::Join(on) | JoinOperator::Inner(on) | JoinOperator::CrossJoin(on) => (JoinKind::Inner, on),
            JoinOperator::Left(on) | JoinOperator::LeftOuter(on) => (JoinKind::Left, on),
            JoinOperator::Right(on) | JoinOperator::RightOuter(on) => (JoinKind::Right, on),
            JoinOperator::FullOuter(on) => (JoinKind::Full, on),
            _ => return Err(unsupported("this kind of join")),
        };
        let mut tree = join(left, right, how);
        let mut conditions = Vec::new();
        match constraint {
            JoinConstraint::None => {}
            JoinConstraint::On(expr) => {
                level.clause.set(Clause::Other("JOIN conditions"));
                self.condition("JOIN/ON", self.expression(level, expr)?)?.conjuncts(&mut conditions);
            }
            JoinConstraint::Using(names) => {
                let names: Vec<String> =
                    names.iter().filter_map(|n| n.0.last()?.as_ident().map(|ident| ident.value.clone())).collect();
                conditions = self.merge(level, first, middle, how, &names)?;
            }
            JoinConstraint::Natural => {
                let right: Vec<String> =
                    level.relations.iter().skip(middle).flat_map(|r| &r.columns).map(|c| c.name.clone()).collect();
                let left = level.relations.get(first..middle).unwrap_or_default();
                let shared = |name: &String| left.iter().flat_map(|r| &r.columns).any(|c| !c.hidden && c.name == *name);
                let names: Vec<String> = right.into_iter().filter(shared).collect();
                conditions = self.merge(level, first, middle, how, &names)?;
            }
        }
        let rest: Vec<Ex> = conditions.into_iter().filter_map(|condition| tree.push_into_right(condition)).collect();
        if let Source::Join { on, .. } = &mut tree.source {
            *on = rest;
        }
        Ok(tree)
    }

    /// USING: columns of both sides that become one. Errors: 42703.
    fn merge(
        &self,
        level: &mut Level<'_>,
        first: usize,
        middle: usize,
        how: JoinKind,
        names: &[String],
    ) -> Result<Vec<Ex>, SqlError> {
        let mut conditions = Vec::new();
        for name in names {
            let merged = level.merged.iter().position(|c| c.name == *name);
            let place = |from: usize, to: usize| {
                (from..to).find_map(|r| {
                    let columns = &level.relations.get(r)?.columns;
                    columns.iter().position(|c| c.name == *name && !c.hidden).map(|c| (r, c))
                })
            };
            let missing = |side: &str| {
                let message = format!("column \"{name}\" specified in USING clause does not exist in {side} table");
                SqlError::new(SqlState::UNDEFINED_COLUMN, message)
            };
            let left_at = place(first, middle);
            let right_at = place(middle, level.relations.len()).ok_or_else(|| missing("right"))?;
            let left = match (merged, left_at) {
                (Some(at), _) => level.merged.remove(at),
                (None, Some((r, c))) => take(level, r, c).ok_or_else(|| missing("left"))?,
                (None, None) => return Err(missing("left")),
            };
            let right = take(level, right_at.0, right_at.1).ok_or_else(|| missing("right"))?;
            conditions.push(self.operate("=", left.typed(), right.typed())?.ex);
            let ex = match how {
                JoinKind::Inner | JoinKind::Left => left.ex.clone(),
                JoinKind::Right => right.ex.clone(),
                JoinKind::Full => Ex::Coalesce(vec![left.ex.clone(), right.ex.clone()]),
            };
            level.merged.push(VisibleColumn { ex, hidden: false, ..left });
        }
        Ok(conditions)
    }

    fn factor(&self, level: &mut Level<'_>, factor: &TableFactor) -> Result<Node, SqlError> {
        match factor {
            TableFactor::Table { name, alias, args: None, sample: None, .. } => {
                let given = self.relation(level, name)?;
                self.add(level, given, alias.as_ref())
            }
            TableFactor::Table { name, alias, args: Some(args), with_ordinality, .. } => {
                self.function_item(level, name, &args.args, *with_ordinality, alias.as_ref())
            }
            TableFactor::Function { name, args, with_ordinality, alias, .. } => {
                self.function_item(level, name, args, *with_ordinality, alias.as_ref())
            }
            TableFactor::UNNEST { alias, array_exprs, with_ordinality, with_offset: false, .. } => {
                let name = ObjectName::from(vec![Ident::new("unnest")]);
                let one = |e: &Expr| vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(e.clone()))];
                let mut calls = Vec::new();
                for array in array_exprs {
                    calls.push(self.row_function(level, &name, &one(array))?);
                }
                self.functions(level, "unnest", calls, *with_ordinality, alias.as_ref())
            }
            TableFactor::Derived { lateral, subquery, alias, .. } => {
                let outer: Option<&Level<'_>> = if *lateral { Some(level) } else { level.parent };
                let plan = self.query(subquery, outer, &level.ctes)?;
                if !lateral && plan.correlated {
                    level.reads_outer.set(true);
                }
                let columns = plan.columns.clone();
                let name = alias.as_ref().map_or_else(String::new, |a| a.name.value.clone());
                let source = Source::Query { plan: Arc::new(plan), lateral: *lateral };
                self.add(level, Given { name, columns, shape: None, source }, alias.as_ref())
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => self.joined(level, table_with_joins),
            other => Err(unsupported(format!("\"{other}\" in FROM"))),
        }
    }

    fn relation(&self, level: &Level<'_>, name: &ObjectName) -> Result<Given, SqlError> {
        if let [part] = name.0.as_slice()
            && let Some(ident) = part.as_ident()
            && let Some(cte) = level.ctes.0.iter().rev().find(|cte| cte.name == ident.value)
        {
            return Ok(of_cte(level, cte));
        }
        let parts: Vec<&Ident> = name.0.iter().filter_map(|part| part.as_ident()).collect();
        let names: Vec<String> = parts.iter().map(|ident| ident.value.clone()).collect();
        match route::find(self.names, &names) {
            Found::System(shape) => self.system(shape),
            Found::User => {
                let message = format!("\"{}\" and system relations cannot be read by one query in this way", names.join("."));
                Err(SqlError::unsupported(message))
            }
            Found::Nothing => {
                let message = format!("relation \"{}\" does not exist", names.join("."));
                Err(match parts.first() {
                    Some(ident) => self.error_of(ident, SqlState::UNDEFINED_TABLE, message),
                    None => SqlError::new(SqlState::UNDEFINED_TABLE, message),
                })
            }
        }
    }

    /// A system relation, or PostgreSQL's text of a system view in its place.
    fn system(&self, shape: &'static Shape) -> Result<Given, SqlError> {
        let columns = store::columns(shape);
        let source = match data::view(shape.schema, shape.name) {
            None => Source::Table(shape),
            // The store has no rows for it.
            Some(_) if data::is_empty_view(shape) => Source::Table(shape),
            Some(text) => {
                let query = crate::parse::parse_query(&text)?;
                let was = self.source.replace(None);
                let plan = self.query(&query, None, &Ctes::default());
                self.source.set(was);
                let context = |error: SqlError| error.context(format!("view {}.{}", shape.schema, shape.name));
                Source::Query { plan: Arc::new(plan.map_err(context)?), lateral: false }
            }
        };
        Ok(Given { name: shape.name.to_owned(), columns, shape: Some(shape), source })
    }

    fn function_item(
        &self,
        level: &mut Level<'_>,
        name: &ObjectName,
        args: &[FunctionArg],
        ordinality: bool,
        alias: Option<&TableAlias>,
    ) -> Result<Node, SqlError> {
        let call = self.row_function(level, name, args)?;
        let title = name.0.last().and_then(|part| part.as_ident()).map_or_else(String::new, |ident| ident.value.clone());
        self.functions(level, &title, vec![call], ordinality, alias)
    }

    /// A function as a relation: one that returns rows, or a value as one row.
    fn row_function(&self, level: &Level<'_>, name: &ObjectName, args: &[FunctionArg]) -> Result<SetCall, SqlError> {
        level.clause.set(Clause::Other("functions in FROM"));
        let arguments = self.arguments(level, args)?;
        let lower = function_name(name).map(str::to_ascii_lowercase).ok_or_else(|| self.no_function(name, &[]))?;
        if let Some(call) = self.set_call(&lower, &arguments)? {
            return Ok(call);
        }
        let kinds: Vec<Kind> = arguments.iter().map(|a| a.kind).collect();
        let function = functions::find(&lower, &kinds).ok_or_else(|| self.no_function(name, &kinds))?;
        let arguments = arguments.into_iter().map(|a| if a.kind == kind::UNKNOWN { self.coerce(a, kind::TEXT) } else { a.ex });
        let arguments = arguments.collect();
        Ok(SetCall { function: SetFunction::One(function), arguments, kinds, columns: vec![("", function.returns)] })
    }

    fn functions(
        &self,
        level: &mut Level<'_>,
        title: &str,
        calls: Vec<SetCall>,
        ordinality: bool,
        alias: Option<&TableAlias>,
    ) -> Result<Node, SqlError> {
        let name = alias.map_or(title, |a| a.name.value.as_str()).to_owned();
        let mut columns = Vec::new();
        for call in &calls {
            match call.columns.as_slice() {
                // A function of one value gives its column the relation's name.
                [(_, kind)] => columns.push(column(&name, *kind)),
                several => columns.extend(several.iter().map(|(name, kind)| column(name, *kind))),
            }
        }
        if ordinality {
            columns.push(column("ordinality", kind::INT8));
        }
        let calls = calls.into_iter().map(|c| (c.function, c.arguments, c.kinds, c.columns.len())).collect();
        let source = Source::Functions { calls, ordinality };
        self.add(level, Given { name, columns, shape: None, source }, alias)
    }

    /// Makes a relation visible under its name. Errors: 42712 if there is one of that name, 42P10 for too many column names.
    fn add(&self, level: &mut Level<'_>, given: Given, alias: Option<&TableAlias>) -> Result<Node, SqlError> {
        let Given { name, columns, shape, source } = given;
        let renamed = alias.map_or(&[][..], |a| &a.columns);
        let name = alias.map_or(name, |a| a.name.value.clone());
        if renamed.len() > columns.len() {
            let message =
                format!("table \"{name}\" has {} columns available but {} columns specified", columns.len(), renamed.len());
            return Err(SqlError::new(SqlState(*b"42P10"), message));
        }
        if !name.is_empty() && level.relations.iter().any(|r| r.name == name) {
            let message = format!("table name \"{name}\" specified more than once");
            return Err(SqlError::new(SqlState(*b"42712"), message));
        }
        let (offset, width) = (level.width, columns.len());
        let visible = columns.into_iter().enumerate().map(|(at, column)| VisibleColumn {
            name: renamed.get(at).map_or_else(|| column.name.to_string(), |c| c.name.value.clone()),
            kind: column.kind,
            fields: column.fields,
            ex: Ex::Column { up: 0, at: offset + at },
            hidden: false,
        });
        level.relations.push(Visible { name, columns: visible.collect(), shape });
        level.width += width;
        Ok(Node { offset, width, filters: vec![], source })
    }
}

fn of_cte(level: &Level<'_>, cte: &CteEntry) -> Given {
    if cte.recursing.get() {
        // What it reads changes with every repetition: no query around it may be kept.
        level.note(usize::MAX);
    }
    Given { name: cte.name.clone(), columns: cte.columns.clone(), shape: None, source: Source::Cte(cte.id) }
}

fn take(level: &mut Level<'_>, relation: usize, column: usize) -> Option<VisibleColumn> {
    let column = level.relations.get_mut(relation)?.columns.get_mut(column)?;
    column.hidden = true;
    Some(column.clone())
}

/// What is before a comma in FROM, with what is behind it.
pub(super) fn side_by_side(left: Option<Node>, right: Node) -> Node {
    match left {
        None => right,
        Some(left) => join(left, right, JoinKind::Inner),
    }
}

fn join(left: Node, right: Node, how: JoinKind) -> Node {
    let (offset, width) = (left.offset, left.width + right.width);
    let source = Source::Join { how, left: Box::new(left), right: Box::new(right), on: vec![] };
    Node { offset, width, filters: vec![], source }
}

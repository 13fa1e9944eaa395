//! CREATE VIEW: the query is checked, made independent of the search path, and kept as text.
//!
//! ```text
//! SELECT a FROM t WITH search_path = s     kept as     SELECT a FROM "s"."t"
//! ```

use std::ops::ControlFlow;

use catalog::{Column, Edit, Relation, View};
use sqlparser::ast::{Ident, ObjectName, Query, TableFactor, VisitMut, VisitorMut};
use types::{ColumnId, SqlError, SqlState, TableId};

use crate::answer::Answer;
use crate::ddl::moments::settle;
use crate::ddl::names::{check_columns, exists};
use crate::names::{Name, Scope};
use crate::parse::{CreateView, Statement};
use crate::session::Session;

impl Session {
    pub(crate) fn create_view(&mut self, statement: &Statement, create: &CreateView) -> Result<Answer, SqlError> {
        let catalog = self.begin_ddl();
        let schema = self.scope(&catalog).schema_for_new(&create.name)?.id;
        let old = match catalog.relation(schema, &create.name.name) {
            None => None,
            Some(Relation::View(id)) if create.or_replace => Some(self.scope(&catalog).view(id)?.clone()),
            Some(Relation::Table(_) | Relation::PrimaryKey(_) | Relation::Index(_) | Relation::Sequence(_))
                if create.or_replace =>
            {
                let message = format!("\"{}\" is not a view", create.name.name);
                return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message));
            }
            Some(_) => return Err(exists(&create.name.name)),
        };
        let (plan, _) = self.analytic_plan(Some(statement), &create.query, &[])?;
        if !plan.params().is_empty() {
            return Err(SqlError::new(SqlState::UNDEFINED_PARAMETER, "there is no parameter $1"));
        }
        if create.columns.len() > plan.columns().len() {
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, "CREATE VIEW specifies more column names than columns"));
        }
        let columns: Vec<Column> = (plan.columns().iter().enumerate())
            .map(|(at, column)| Column {
                id: ColumnId(u16::try_from(at + 1).unwrap_or(u16::MAX)),
                name: create.columns.get(at).unwrap_or(&column.name).clone(),
                data_type: column.data_type,
                not_null: false,
                default: None,
                identity: None,
                generated: None,
            })
            .collect();
        check_columns(columns.iter().map(|c| c.name.as_str()))?;
        let mut query = create.query.as_ref().clone();
        settle(&mut query, &self.dates())?;
        let mut depends_on = Vec::new();
        qualify(&mut query, &self.scope(&catalog), &[], &mut depends_on)?;
        let mut view =
            View { id: TableId(0), schema, name: create.name.name.clone(), query: query.to_string(), columns, depends_on };
        match old {
            None => {
                view.id = TableId(self.new_oid()?);
                self.edit(Edit::CreateView(view))?;
            }
            Some(old) => {
                check_replacement(&old.columns, &view.columns)?;
                view.id = old.id;
                if reads(&catalog, &view.depends_on, view.id) {
                    let message = format!("infinite recursion detected in rules for relation \"{}\"", view.name);
                    return Err(SqlError::new(SqlState(*b"42P17"), message));
                }
                self.edit(Edit::ReplaceView(view))?;
            }
        }
        Ok(Answer::Done("CREATE VIEW".into()))
    }
}

/// Whether any of these relations is, or reads, the view.
fn reads(catalog: &catalog::Catalog, relations: &[TableId], view: TableId) -> bool {
    relations.iter().any(|id| *id == view || catalog.view_by_id(*id).is_some_and(|v| reads(catalog, &v.depends_on, view)))
}

/// Errors unless a view with `new` columns can stand where one with `old` columns was: 42P16.
fn check_replacement(old: &[Column], new: &[Column]) -> Result<(), SqlError> {
    let invalid = |message: String| Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message));
    if new.len() < old.len() {
        return invalid("cannot drop columns from view".into());
    }
    for (old, new) in old.iter().zip(new) {
        if old.name != new.name {
            return invalid(format!("cannot change name of view column \"{}\" to \"{}\"", old.name, new.name));
        }
        if old.data_type != new.data_type {
            let (from, to) = (old.data_type, new.data_type);
            return invalid(format!("cannot change data type of view column \"{}\" from {from} to {to}", old.name));
        }
    }
    Ok(())
}

/// Gives every relation of a query its schema, and notes it in `used`. `ctes`: names that mean common table expressions.
fn qualify(query: &mut Query, scope: &Scope<'_>, ctes: &[String], used: &mut Vec<TableId>) -> Result<(), SqlError> {
    let mut known = ctes.to_vec();
    if let Some(with) = &mut query.with {
        let names: Vec<String> = with.cte_tables.iter().map(|cte| cte.alias.name.value.clone()).collect();
        if with.recursive {
            known.extend(names.iter().cloned());
        }
        for (cte, name) in with.cte_tables.iter_mut().zip(names) {
            qualify(&mut cte.query, scope, &known, used)?;
            if !with.recursive {
                known.push(name);
            }
        }
    }
    let with = query.with.take();
    let mut visitor = Qualifier { scope, ctes: known, depth: 0, used };
    let outcome = query.visit(&mut visitor);
    query.with = with;
    match outcome {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// Qualifies the relations of one query; queries inside it are qualified as a whole when they are met, and then passed over.
struct Qualifier<'a> {
    scope: &'a Scope<'a>,
    ctes: Vec<String>,
    /// How many queries deep: 1 is the query itself.
    depth: usize,
    used: &'a mut Vec<TableId>,
}

impl VisitorMut for Qualifier<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        self.depth += 1;
        if self.depth == 2
            && let Err(error) = qualify(query, self.scope, &self.ctes, self.used)
        {
            return ControlFlow::Break(error);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<SqlError> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        let TableFactor::Table { name, alias, args: None, .. } = factor else { return ControlFlow::Continue(()) };
        if self.depth != 1 {
            return ControlFlow::Continue(());
        }
        match self.resolve(name) {
            Err(error) => return ControlFlow::Break(error),
            Ok(None) => {}
            Ok(Some((schema, bare))) => {
                // Its own name stays what its columns are called by.
                alias.get_or_insert_with(|| sqlparser::ast::TableAlias {
                    explicit: true,
                    name: Ident::with_quote('"', &bare),
                    columns: vec![],
                    at: None,
                });
                *name = ObjectName::from(vec![Ident::with_quote('"', schema), Ident::with_quote('"', &bare)]);
            }
        }
        ControlFlow::Continue(())
    }
}

impl<'a> Qualifier<'a> {
    /// The schema and the name of a relation that is written without a schema.
    fn resolve(&mut self, name: &ObjectName) -> Result<Option<(&'a str, String)>, SqlError> {
        let parts = name.0.iter().map(|part| part.as_ident().map_or_else(String::new, |ident| ident.value.clone()));
        let written = Name::from_parts(parts.collect(), None)?;
        if written.schema.is_none() && self.ctes.contains(&written.name) {
            return Ok(None);
        }
        let relation = self.scope.find(&written)?;
        if let Some(Relation::Table(id) | Relation::View(id)) = relation
            && !self.used.contains(&id)
        {
            self.used.push(id);
        }
        let schema = relation.and_then(|relation| schema_of(self.scope, relation)).unwrap_or("pg_catalog");
        Ok(written.schema.is_none().then_some((schema, written.name)))
    }
}

fn schema_of<'a>(scope: &Scope<'a>, relation: Relation) -> Option<&'a str> {
    let schema = match relation {
        Relation::Table(id) | Relation::PrimaryKey(id) => scope.catalog.table_by_id(id)?.schema,
        Relation::Index(id) => scope.catalog.table_of_index(id)?.schema,
        Relation::View(id) => scope.catalog.view_by_id(id)?.schema,
        Relation::Sequence(id) => scope.catalog.sequence_by_id(id)?.schema,
    };
    scope.catalog.schema_by_id(schema).map(|s| s.name.as_str())
}

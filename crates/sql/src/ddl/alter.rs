//! ALTER TABLE.
//!
//! ```text
//! ADD, DROP, ALTER COLUMN ..     gathered into one new definition --> new storage, filled from the old        O(rows)
//! SET DEFAULT                    the definition alone; RENAME, SCHEMA too (`rename`)
//! constraints                    one by one (`constraint`, `primary_key`), after what was gathered before them
//! ```
//!
//! 1. Writers are waited for, and wait, from the first action to the end of the transaction; readers go on with what they see.
//! 2. What reads a column that goes is dropped with it if it is the table's own (keys, indexes, CHECK), as in PostgreSQL; views are not,
//!    without CASCADE. A view is asked by planning it again.
//!
//! Source: PostgreSQL 15 `tablecmds.c`, for what is refused and how it is said.

use std::sync::Arc;

use catalog::{Catalog, Column, Edit, ForeignKey, IndexSource, Relation, Table, View};
use sqlparser::ast::{Expr, Ident, SelectItem, SetExpr};
use types::{ColumnId, SqlError, SqlState};

use super::foreign_key::relying_on;
use super::generated::computed_of;
use super::moments::settle_default;
use super::names::{check_columns, shown};
use super::primary_key::explain;
use crate::answer::Answer;
use crate::deparse;
use crate::dml::{Default, Loader, check_assignable, default_of, defined_always};
use crate::names::{always_quoted, quote_ident};
use crate::notice::Notice;
use crate::parse::{AddColumn, AlterTable, ColumnDefinition, TableAction, parse_expr, parse_query};
use crate::session::Session;

/// Where the values of a column of the new definition come from.
#[derive(Clone)]
enum From {
    /// An expression over the old columns.
    Old(Expr),
    /// Its DEFAULT.
    Default,
}

/// Changes of columns on their way.
struct Rework {
    old: Arc<Table>,
    new: Table,
    /// For each column of `new`.
    from: Vec<From>,
    /// The rows have to be written anew.
    rebuilds: bool,
    /// What views are checked for afterwards.
    views: Option<ViewError>,
    /// Views that stand in the way go.
    cascades: bool,
}

/// What is said of a view that stands in the way.
#[derive(Clone)]
enum ViewError {
    Drop(String),
    Type(String),
    Add,
}

impl Session {
    pub(crate) async fn alter_table(&mut self, alter: &AlterTable) -> Result<Answer, SqlError> {
        let done = Answer::Done("ALTER TABLE".into());
        if self.is_missing(&alter.table, alter.if_exists)? {
            return Ok(done);
        }
        let mut rework: Option<Rework> = None;
        for action in &alter.actions {
            let columns = matches!(
                action,
                TableAction::AddColumn(_)
                    | TableAction::DropColumn { .. }
                    | TableAction::SetType { .. }
                    | TableAction::SetDefault { .. }
                    | TableAction::DropDefault { .. }
                    | TableAction::DropExpression { .. }
                    | TableAction::SetNotNull { .. }
                    | TableAction::DropNotNull { .. }
            );
            if columns {
                let mut work = match rework.take() {
                    Some(work) => work,
                    None => Rework::of(self.table_to_alter(&alter.table, "ALTER TABLE")?.1)?,
                };
                let is_new = |add: &AddColumn| work.new.column(&add.column.name).is_none();
                let adds = matches!(action, TableAction::AddColumn(add) if is_new(add));
                self.change_columns(&mut work, action).await?;
                // What its constraints read must be there.
                if let TableAction::AddColumn(add) = action
                    && adds
                    && (add.primary_key.is_some() || !add.constraints.is_empty())
                {
                    self.finish_rework(work).await?;
                    self.add_column_constraints(alter, add).await?;
                } else {
                    rework = Some(work);
                }
                continue;
            }
            if let Some(work) = rework.take() {
                self.finish_rework(work).await?;
            }
            match action {
                TableAction::AddPrimaryKey(key) => self.add_primary_key(&alter.table, key).await?,
                TableAction::Rename(to) => self.rename_table(alter, to)?,
                TableAction::SetSchema(to) => self.move_table(alter, to)?,
                TableAction::RenameColumn { name, to } => self.rename_column(alter, name, to)?,
                other => self.alter_constraint(&alter.table, other)?,
            }
        }
        if let Some(work) = rework {
            self.finish_rework(work).await?;
        }
        Ok(done)
    }

    async fn add_column_constraints(&mut self, alter: &AlterTable, add: &AddColumn) -> Result<(), SqlError> {
        if let Some(key) = &add.primary_key {
            self.add_primary_key(&alter.table, key).await?;
        }
        for constraint in &add.constraints {
            self.alter_constraint(&alter.table, &TableAction::AddConstraint(constraint.clone()))?;
        }
        Ok(())
    }

    async fn change_columns(&mut self, work: &mut Rework, action: &TableAction) -> Result<(), SqlError> {
        match action {
            TableAction::AddColumn(add) => self.add_column(work, add),
            TableAction::DropColumn { name, missing_ok, cascade } => self.drop_column(work, name, *missing_ok, *cascade),
            TableAction::SetType { column, data_type, using } => {
                let at = work.position(column)?;
                if *data_type == work.new.columns[at].data_type && using.is_none() {
                    return Ok(());
                }
                let catalog = self.open_transaction()?.catalog();
                work.check_type_may_change(&catalog, at)?;
                let before = work.new.columns[at].data_type;
                let altered = Column { data_type: *data_type, ..work.new.columns[at].clone() };
                let is_generated = altered.generated.is_some();
                match using {
                    None => check_assignable(before, &altered).map_err(|_| {
                        let message = format!("column \"{column}\" cannot be cast automatically to type {data_type}");
                        let error = SqlError::new(SqlState::DATATYPE_MISMATCH, message);
                        let hint = format!("You might need to specify \"USING {}::{data_type}\".", quote_ident(column));
                        if is_generated { error } else { error.hint(hint) }
                    })?,
                    Some(_) if is_generated => {
                        let message = "cannot specify USING when altering type of generated column";
                        return Err(SqlError::new(SqlState(*b"42611"), message).detail(defined_always(&altered)));
                    }
                    Some(using) => work.from[at] = From::Old(using.as_ref().clone()),
                }
                if let Some(default) = &altered.default {
                    let definition = definition_with(&altered, parse_expr(default)?);
                    self.check_default(&definition, &altered).map_err(|_| {
                        let message = format!("default for column \"{column}\" cannot be cast automatically to type {data_type}");
                        SqlError::new(SqlState::DATATYPE_MISMATCH, message)
                    })?;
                }
                if let Some(generated) = &altered.generated {
                    self.generation(&work.new, &altered, &parse_expr(generated)?).map_err(|error| match error.state {
                        SqlState::DATATYPE_MISMATCH => {
                            let message = "generation expression for column";
                            let message = format!("{message} \"{column}\" cannot be cast automatically to type {data_type}");
                            SqlError::new(SqlState::DATATYPE_MISMATCH, message)
                        }
                        _ => error,
                    })?;
                }
                if let Some(identity) = &altered.identity {
                    self.retype_identity(identity, *data_type)?;
                }
                work.new.columns[at] = altered;
                work.rebuild(ViewError::Type(column.clone()));
                Ok(())
            }
            TableAction::SetDefault { column, default } => {
                let at = work.position(column)?;
                work.check_no_identity(at)?;
                work.check_not_generated(at)?;
                let catalog = self.catalog();
                let mut default = default.as_ref().clone();
                self.check_default(&definition_with(&work.new.columns[at], default.clone()), &work.new.columns[at])?;
                self.settle_sequences(&catalog, &mut default)?;
                settle_default(&mut default, work.new.columns[at].data_type, &self.dates())?;
                work.new.columns[at].default = Some(default.to_string());
                Ok(())
            }
            TableAction::DropDefault { column } => {
                let at = work.position(column)?;
                work.check_no_identity(at)?;
                work.check_not_generated(at)
                    .map_err(|error| error.hint("Use ALTER TABLE ... ALTER COLUMN ... DROP EXPRESSION instead."))?;
                work.new.columns[at].default = None;
                Ok(())
            }
            TableAction::DropExpression { column, missing_ok } => {
                let at = work.position(column)?;
                if work.new.columns[at].generated.take().is_some() {
                    return Ok(());
                }
                let message = format!("column \"{column}\" of relation \"{}\" is not a stored generated column", work.new.name);
                if !missing_ok {
                    return Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message));
                }
                self.notice(Notice::plain(format!("{message}, skipping")));
                Ok(())
            }
            TableAction::SetNotNull { column } | TableAction::DropNotNull { column } => {
                let at = work.position(column)?;
                let not_null = matches!(action, TableAction::SetNotNull { .. });
                if work.new.columns[at].not_null == not_null {
                    return Ok(());
                }
                if !not_null {
                    work.check_no_identity(at)?;
                    if work.new.is_in_primary_key(at) {
                        let message = format!("column \"{column}\" is in a primary key");
                        return Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message));
                    }
                }
                work.new.columns[at].not_null = not_null;
                work.rebuilds = true;
                Ok(())
            }
            _ => Err(SqlError::bug("an action that is not about columns")),
        }
    }

    fn add_column(&mut self, work: &mut Rework, add: &AddColumn) -> Result<(), SqlError> {
        let definition = &add.column;
        if work.new.column(&definition.name).is_some() {
            let message = format!("column \"{}\" of relation \"{}\" already exists", definition.name, work.new.name);
            if !add.if_not_exists {
                return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message));
            }
            self.notice(Notice::notice_with(SqlState::DUPLICATE_COLUMN, format!("{message}, skipping")));
            return Ok(());
        }
        let names = work.new.columns.iter().map(|c| c.name.as_str()).chain([definition.name.as_str()]);
        check_columns(names)?;
        let last = work.new.columns.iter().chain(&work.old.columns).map(|column| column.id.0).max().unwrap_or(0);
        let catalog = self.catalog();
        let column = self.column(&catalog, definition, ColumnId(last.saturating_add(1)))?;
        work.new.columns.push(column);
        work.from.push(From::Default);
        self.add_generated(&mut work.new, &[definition])?;
        let at = work.new.columns.len() - 1;
        self.add_sequence(&mut work.new, at, definition)?;
        work.rebuild(ViewError::Add);
        Ok(())
    }

    fn drop_column(&mut self, work: &mut Rework, name: &str, missing_ok: bool, cascade: bool) -> Result<(), SqlError> {
        let Some(at) = work.new.column(name) else {
            let error = no_column(name, &work.new);
            if !missing_ok {
                return Err(error);
            }
            self.notice(Notice::plain(format!("{}, skipping", error.message)));
            return Ok(());
        };
        if work.new.columns.len() == 1 {
            return Err(SqlError::unsupported("tables without columns are not supported"));
        }
        let computed: Vec<String> = computed_of(&work.new, &work.new.columns[at]).map(|column| column.name.clone()).collect();
        if !cascade && !computed.is_empty() {
            let of = &work.new.name;
            let lines: Vec<String> = computed
                .iter()
                .map(|other| format!("column {other} of table {of} depends on column {name} of table {of}"))
                .collect();
            let message = format!("cannot drop column {name} of table {of} because other objects depend on it");
            return Err(SqlError::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
                .detail(lines.join("\n"))
                .hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        for other in &computed {
            self.notice(Notice::plain(format!("drop cascades to column {other} of table {}", work.new.name)));
            self.drop_column(work, other, false, cascade)?;
        }
        let Some(at) = work.new.column(name) else { return Ok(()) };
        let catalog = self.open_transaction()?.catalog();
        let id = work.new.columns[at].id;
        let what = |table: &Table| format!("column {name} of table {}", table.name);
        for sequence in catalog.sequences_owned_by(work.old.id).filter(|s| s.owner.is_some_and(|owner| owner.column == id)) {
            self.drop_sequence_of_column(sequence, &work.old, at, cascade)?;
        }
        let reads = |text: &str, table: &Table| deparse::columns(text, table).contains(&id);
        let table = work.new.clone();
        let goes = |index: &catalog::Index| {
            index.predicate.as_ref().is_some_and(|predicate| reads(predicate, &table))
                || index.columns.iter().any(|column| match &column.source {
                    IndexSource::Column(column) => *column == id,
                    IndexSource::Expression { text, .. } => reads(text, &table),
                })
        };
        for index in work.new.indexes.iter().filter(|index| goes(index)) {
            let relying = relying_on(&catalog, work.old.id, Some(index.id));
            self.drop_relying(&relying, &what(&table), &index.name, cascade)?;
        }
        if let Some(key) = table.primary_key.as_ref().filter(|key| key.columns.contains(&at)) {
            let relying = relying_on(&catalog, work.old.id, None);
            self.drop_relying(&relying, &what(&table), &key.name, cascade)?;
            work.new.primary_key = None;
        }
        work.new.indexes.retain(|index| !goes(index));
        work.new.checks.retain(|check| !reads(&check.expression, &table));
        work.new.foreign_keys.retain(|key| !key.columns.contains(&id));
        work.new.columns.remove(at);
        work.from.remove(at);
        if let Some(key) = &mut work.new.primary_key {
            key.columns.iter_mut().filter(|column| **column > at).for_each(|column| *column -= 1);
        }
        work.cascades |= cascade;
        work.rebuild(ViewError::Drop(name.to_owned()));
        Ok(())
    }

    /// Puts the new definition in force.
    async fn finish_rework(&mut self, work: Rework) -> Result<(), SqlError> {
        let Rework { old, new, from, rebuilds, views, cascades } = work;
        if !rebuilds {
            return if new == *old { Ok(()) } else { self.edit(Edit::AlterTable(new)) };
        }
        // A foreign key of its own may have gone with what it relied on.
        let current = self.open_transaction()?.catalog().table_by_id(old.id).cloned().unwrap_or_else(|| Arc::clone(&old));
        let mut new = new;
        new.foreign_keys.retain(|key| current.foreign_keys.iter().any(|other| other.id == key.id));
        for index in &mut new.indexes {
            for column in &mut index.columns {
                if let IndexSource::Column(id) = &column.source
                    && let Some(of) = new.columns.iter().find(|c| c.id == *id)
                {
                    (column.data_type, column.nullable) = (of.data_type, !of.not_null);
                }
            }
        }
        self.retype_indexes(&old, &mut new)?;
        let new = self.renewed(&new)?;
        self.rebuild(&current, new.clone(), &from).await?;
        match views {
            Some(error) => self.check_views(&new, &error, cascades),
            None => Ok(()),
        }
    }

    /// Puts `new`, which has ids of its own, in the place of a table that is held, with the rows of the old one.
    async fn rebuild(&mut self, old: &Arc<Table>, new: Table, from: &[From]) -> Result<(), SqlError> {
        let catalog = self.open_transaction()?.catalog();
        let schema = catalog.schema_by_id(old.schema).map_or("public", |s| s.name.as_str());
        let text = format!("select 1 from {}.{}", always_quoted(schema), always_quoted(&old.name));
        let mut query = parse_query(&text)?;
        let (mut given, mut exprs) = (Vec::new(), Vec::new());
        for (at, from) in from.iter().enumerate() {
            if let From::Old(expr) = from {
                given.push(at);
                exprs.push(SelectItem::UnnamedExpr(expr.clone()));
            }
        }
        if let SetExpr::Select(select) = query.body.as_mut() {
            select.projection = exprs;
        }
        let (plan, _) = self.analytic_plan(None, &query, &[])?;
        for (at, column) in given.iter().zip(plan.columns()) {
            let to = &new.columns[*at];
            check_assignable(column.data_type, to).map_err(|_| {
                let message = format!(
                    "result of USING clause for column \"{}\" cannot be cast automatically to type {}",
                    to.name, to.data_type
                );
                SqlError::new(SqlState::DATATYPE_MISMATCH, message).hint("You might need to add an explicit cast.")
            })?;
        }
        self.replace_table(old, new.clone())?;
        let new = Arc::new(new);
        let target = self.target(&new)?;
        let dates = self.dates();
        let catalog = self.open_transaction()?.catalog();
        let defaults = (new.columns.iter().enumerate().filter(|(at, _)| !given.contains(at)))
            .map(|(at, column)| Ok((at, default_of(&catalog, column, &dates)?)))
            .collect::<Result<Vec<(usize, Default)>, SqlError>>()?;
        let types: Vec<_> = plan.columns().iter().map(|c| c.data_type).collect();
        let mut loader = Loader::new(target.clone());
        // Writers that were waited for have committed: whatever the transaction's snapshot, the rows are those of now.
        let view = self.open_transaction()?.newest_view()?;
        let mut stream = plan.execute(self.execution_at(view, &[], Arc::default()))?;
        while let Some(batch) = stream.next().await {
            let filled = self.fill(&batch?, &types, &given, &defaults, &target, &dates).await?;
            loader.add(self.open_transaction()?, filled, &[]).map_err(|e| explain(e, &new))?;
        }
        let transaction = self.open_transaction()?;
        loader.finish(transaction).map_err(|e| explain(e, &new))?;
        // The rows refer to what they did; whether they are unique is told at once.
        transaction.take_owed();
        self.check_unique(&target, None).map_err(|e| explain(e, &new))
    }

    /// As [`Session::rebuild`], of columns that stay as they are.
    pub(crate) async fn rebuild_rows(&mut self, old: &Arc<Table>, new: Table) -> Result<(), SqlError> {
        let from: Vec<From> = old.columns.iter().map(|column| From::Old(column_expr(column))).collect();
        self.rebuild(old, new, &from).await
    }

    /// Asks every view that reads a table whether it still can, by planning it.
    fn check_views(&mut self, table: &Table, error: &ViewError, cascades: bool) -> Result<(), SqlError> {
        let catalog = self.open_transaction()?.catalog();
        for view in catalog.dependents_of(table.id).cloned().collect::<Vec<_>>() {
            if self.is_good(&view)? {
                continue;
            }
            let scope = self.scope(&catalog);
            let name = shown(&scope, view.schema, &view.name, Relation::View(view.id));
            let of = shown(&scope, table.schema, &table.name, Relation::Table(table.id));
            match error {
                ViewError::Drop(_) if cascades => {
                    self.notice(Notice::plain(format!("drop cascades to view {name}")));
                    self.drop_view_and_dependents(&view)?;
                }
                ViewError::Drop(column) => {
                    let message = format!("cannot drop column {column} of table {of} because other objects depend on it");
                    return Err(SqlError::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
                        .detail(format!("view {name} depends on column {column} of table {of}"))
                        .hint("Use DROP ... CASCADE to drop the dependent objects too."));
                }
                ViewError::Type(column) => {
                    return Err(SqlError::unsupported("cannot alter type of a column used by a view or rule")
                        .detail(format!("rule _RETURN on view {name} depends on column \"{column}\"")));
                }
                ViewError::Add => {
                    let message = format!("cannot add a column to table {of}: view {name} reads all its columns by *");
                    return Err(SqlError::unsupported(message).hint("Drop the view, and make it anew afterwards."));
                }
            }
        }
        Ok(())
    }

    /// Whether a view's query gives what the view has.
    pub(super) fn is_good(&mut self, view: &View) -> Result<bool, SqlError> {
        let query = parse_query(&view.query)?;
        Ok(match self.analytic_plan(None, &query, &[]) {
            Ok((plan, _)) => {
                let types = plan.columns().iter().map(|column| column.data_type);
                types.eq(view.columns.iter().map(|column| column.data_type))
            }
            Err(error) if error.state == SqlState::QUERY_CANCELED => return Err(error),
            Err(_) => false,
        })
    }
}

impl Rework {
    fn of(old: Arc<Table>) -> Result<Rework, SqlError> {
        let from = old.columns.iter().map(|column| From::Old(column_expr(column))).collect();
        let new = old.as_ref().clone();
        Ok(Rework { old, new, from, rebuilds: false, views: None, cascades: false })
    }

    fn position(&self, column: &str) -> Result<usize, SqlError> {
        self.new.column(column).ok_or_else(|| no_column(column, &self.new))
    }

    /// The rows are written anew; views that stand in the way are told of so, the gravest reason first.
    fn rebuild(&mut self, error: ViewError) {
        self.rebuilds = true;
        let is_graver = matches!(error, ViewError::Drop(_)) || self.views.is_none();
        if is_graver {
            self.views = Some(error);
        }
    }

    fn check_no_identity(&self, at: usize) -> Result<(), SqlError> {
        let column = &self.new.columns[at];
        if column.identity.is_none() {
            return Ok(());
        }
        let message = format!("column \"{}\" of relation \"{}\" is an identity column", column.name, self.new.name);
        Err(SqlError::new(SqlState::SYNTAX_ERROR, message))
    }

    fn check_not_generated(&self, at: usize) -> Result<(), SqlError> {
        let column = &self.new.columns[at];
        if column.generated.is_none() {
            return Ok(());
        }
        let message = format!("column \"{}\" of relation \"{}\" is a generated column", column.name, self.new.name);
        Err(SqlError::new(SqlState::SYNTAX_ERROR, message))
    }

    /// Errors where another type would change what is not looked at: 0A000.
    fn check_type_may_change(&self, catalog: &Catalog, at: usize) -> Result<(), SqlError> {
        let column = &self.new.columns[at];
        let id = column.id;
        if let Some(other) = computed_of(&self.new, column).next() {
            let message = "cannot alter type of a column used by a generated column";
            let detail = format!("Column \"{}\" is used by generated column \"{}\".", column.name, other.name);
            return Err(SqlError::unsupported(message).detail(detail));
        }
        let refers = |key: &ForeignKey| key.target == self.old.id && key.target_columns.contains(&id);
        let is_referred = catalog.references_to(self.old.id).any(|child| child.foreign_keys.iter().any(refers));
        if is_referred || self.new.foreign_keys.iter().any(|key| key.columns.contains(&id)) {
            return Err(SqlError::unsupported("changing the type of a column of a foreign key is not supported"));
        }
        Ok(())
    }
}

fn no_column(name: &str, table: &Table) -> SqlError {
    let message = format!("column \"{name}\" of relation \"{}\" does not exist", table.name);
    SqlError::new(SqlState::UNDEFINED_COLUMN, message)
}

fn column_expr(column: &Column) -> Expr {
    Expr::Identifier(Ident::with_quote('"', &column.name))
}

/// A column with another DEFAULT, as CREATE TABLE would have it.
fn definition_with(column: &Column, default: Expr) -> ColumnDefinition {
    ColumnDefinition {
        name: column.name.clone(),
        data_type: column.data_type,
        not_null: column.not_null,
        default: Some(default),
        sequence: None,
        generated: None,
    }
}

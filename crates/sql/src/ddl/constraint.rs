//! Constraints of tables that are made, and of tables with rows.
//!
//! Not here: primary keys (`primary_key`), what is special about foreign keys (`foreign_key`).

use std::ops::ControlFlow;
use std::sync::Arc;

use catalog::{Catalog, Check, Deferral, Edit, ForeignKey, Index, IndexColumn, IndexSource, Table, UniqueConstraint};
use env::blocking;
use point::write::StoredBatch;
use sqlparser::ast::{Expr, Visit, VisitMut, Visitor, VisitorMut};
use types::{Oid, SqlError, SqlState, TableId};

use crate::ddl::foreign_key::relying_on;
use crate::ddl::index::{Condition, check_width, name_addition};
use crate::ddl::names::{choose_name, exists};
use crate::names::Name;
use crate::notice::Notice;
use crate::parse::{Constraint, KeyConstraint, TableAction};
use crate::session::Session;

impl Session {
    /// Gives a table that is being made its constraints but the primary key. Errors: everything wrong with them.
    pub(crate) fn add_constraints(&mut self, table: &mut Table, constraints: &[Constraint]) -> Result<(), SqlError> {
        for constraint in constraints {
            match constraint {
                Constraint::PrimaryKey(_) | Constraint::ForeignKey(_) => {}
                Constraint::Unique { key, nulls_not_distinct } => {
                    let index = self.unique_index(table, key, *nulls_not_distinct)?;
                    // The same key twice is one.
                    let same = |other: &Index| {
                        other.columns == index.columns
                            && other.nulls_not_distinct == *nulls_not_distinct
                            && other.deferral() == key.deferral
                    };
                    let is_primary = key.name.is_none()
                        && table.primary_key.as_ref().is_some_and(|primary| {
                            let names = primary.columns.iter().map(|at| &table.columns[*at].name);
                            names.eq(key.columns.iter())
                        });
                    if !is_primary && !table.indexes.iter().any(same) {
                        table.indexes.push(index);
                    }
                }
                Constraint::Check { name, condition, .. } => {
                    // Rows to come are checked; there are no others.
                    if let Some(name) = name
                        && table.checks.iter().any(|check| check.name == *name)
                    {
                        let message = format!("check constraint \"{name}\" already exists");
                        return Err(SqlError::new(SqlState::DUPLICATE_OBJECT, message));
                    }
                    let check = self.check_constraint(table, name.as_deref(), condition, true)?;
                    add_check(table, check);
                }
            }
        }
        // They may refer to a key of the table itself.
        for constraint in constraints {
            if let Constraint::ForeignKey(reference) = constraint {
                let key = self.foreign_key(table, reference)?;
                table.foreign_keys.push(ForeignKey { validated: true, ..key });
            }
        }
        Ok(())
    }

    /// The catalog with a table as it is to be.
    pub(super) fn catalog_with(&mut self, table: &Table) -> Result<Arc<Catalog>, SqlError> {
        let catalog = self.open_transaction()?.catalog();
        let edit = match catalog.table_by_id(table.id) {
            Some(_) => Edit::AlterTable(table.clone()),
            None => Edit::CreateTable(table.clone()),
        };
        Ok(Arc::new(catalog.apply(&edit).map_err(engine::EngineError::from)?))
    }

    /// The index of a UNIQUE constraint. Errors: 42703, 42701, 42P07.
    fn unique_index(&mut self, table: &Table, key: &KeyConstraint, nulls_not_distinct: bool) -> Result<Index, SqlError> {
        let mut columns: Vec<IndexColumn> = Vec::with_capacity(key.columns.len());
        for name in &key.columns {
            let column = table.column(name).map(|at| &table.columns[at]).ok_or_else(|| {
                SqlError::new(SqlState::UNDEFINED_COLUMN, format!("column \"{name}\" named in key does not exist"))
            })?;
            let source = IndexSource::Column(column.id);
            if columns.iter().any(|c| c.source == source) {
                let message = format!("column \"{name}\" appears twice in unique constraint");
                return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message));
            }
            let (data_type, nullable) = (column.data_type, !column.not_null);
            columns.push(IndexColumn { source, data_type, nullable, descending: false, nulls_first: false });
        }
        check_width(columns.len())?;
        let catalog = self.open_transaction()?.catalog();
        let is_relation = |name: &str| {
            let own = name == table.name || table.indexes.iter().any(|index| index.name == name);
            own || table.primary_key.as_ref().is_some_and(|key| key.name == name)
                || catalog.relation(table.schema, name).is_some()
        };
        let name = match &key.name {
            Some(name) if is_relation(name) => return Err(exists(name)),
            Some(name) if table.has_constraint(name) => return Err(duplicate(name, &table.name)),
            Some(name) => name.clone(),
            None => {
                let taken = |name: &str| is_relation(name) || is_constraint(&catalog, table, name);
                choose_name(&table.name, &name_addition(key.columns.iter().map(String::as_str)), "key", &taken)
            }
        };
        let constraint = Some(UniqueConstraint { id: Oid(self.new_oid()?), deferral: key.deferral, primary: false });
        let id = TableId(self.new_oid()?);
        Ok(Index { id, name, columns, unique: true, nulls_not_distinct, predicate: None, constraint })
    }

    fn check_constraint(
        &mut self,
        table: &Table,
        name: Option<&str>,
        condition: &Expr,
        validated: bool,
    ) -> Result<Check, SqlError> {
        let catalog = self.catalog_with(table)?;
        let expression = self.condition(table, &catalog, condition, Condition::Check)?;
        let name = match name {
            Some(name) if table.has_constraint(name) => return Err(duplicate(name, &table.name)),
            Some(name) => name.to_owned(),
            None => {
                let compiled = self.compile(table, &catalog, &crate::parse::parse_expr(&expression)?)?;
                let mut columns = compiled.columns();
                columns.sort_unstable();
                columns.dedup();
                let addition = match columns.as_slice() {
                    [one] => table.columns[one - table.hidden()].name.clone(),
                    _ => String::new(),
                };
                choose_name(&table.name, &addition, "check", &|name| is_constraint(&catalog, table, name))
            }
        };
        Ok(Check { id: Oid(self.new_oid()?), name, expression, validated })
    }

    /// An action of ALTER TABLE about a constraint that is no primary key.
    pub(crate) fn alter_constraint(&mut self, name: &Name, action: &TableAction) -> Result<(), SqlError> {
        let (catalog, table) = self.table_to_alter(name, "ALTER TABLE")?;
        match action {
            TableAction::AddConstraint(constraint) => self.add_constraint(&table, constraint),
            TableAction::DropConstraint { name, missing_ok, cascade } => {
                self.drop_constraint(&catalog, &table, name, *missing_ok, *cascade)
            }
            TableAction::RenameConstraint { name, to } => self.rename_constraint(&catalog, &table, name, to),
            TableAction::ValidateConstraint(name) => self.validate_constraint(&table, name),
            TableAction::AlterConstraint { name, deferral } => self.defer_constraint(&table, name, *deferral),
            _ => Err(SqlError::bug("an action that is not about a constraint")),
        }
    }

    /// Whether a table is not there, which IF EXISTS foresees with a notice.
    pub(crate) fn is_missing(&mut self, name: &Name, if_exists: bool) -> Result<bool, SqlError> {
        let catalog = self.begin_ddl();
        let missing = if_exists && self.scope(&catalog).find(name)?.is_none();
        if missing {
            self.notice(Notice::plain(format!("relation \"{name}\" does not exist, skipping")));
        }
        Ok(missing)
    }

    fn add_constraint(&mut self, table: &Arc<Table>, constraint: &Constraint) -> Result<(), SqlError> {
        match constraint {
            Constraint::PrimaryKey(_) => Err(SqlError::bug("a primary key is added otherwise")),
            Constraint::Unique { key, nulls_not_distinct } => {
                let index = self.unique_index(table, key, *nulls_not_distinct)?;
                self.add_index(table, index).map(drop)
            }
            Constraint::Check { name, condition, validated } => {
                let check = self.check_constraint(table, name.as_deref(), condition, *validated)?;
                let added = check.name.clone();
                let mut altered = table.as_ref().clone();
                add_check(&mut altered, check);
                self.edit(Edit::AlterTable(altered.clone()))?;
                if *validated {
                    self.check_rows(&Arc::new(altered), &added)?;
                }
                Ok(())
            }
            Constraint::ForeignKey(reference) => self.add_foreign_key(table, reference),
        }
    }

    /// Errors with 23514 if a CHECK constraint is false for a row of a table that is held.
    fn check_rows(&mut self, table: &Arc<Table>, name: &str) -> Result<(), SqlError> {
        let mut only = table.as_ref().clone();
        only.checks.retain(|check| check.name == name);
        only.indexes.clear();
        let target = self.target(&Arc::new(only))?;
        let transaction = self.open_transaction()?;
        let columns: Vec<usize> = (0..target.layout.types().len()).collect();
        let cancel = transaction.cancel();
        blocking(|| {
            let view = transaction.newest_view()?.table(table.id)?;
            for batch in view.rows(&columns, &cancel) {
                let rows = StoredBatch::of_stored_columns(table, &target.layout, &batch?)?;
                for at in 0..rows.len() {
                    target.writer.check(target.layout.read(&rows.row(at))).map_err(|mut error| {
                        if error.state == SqlState::CHECK_VIOLATION {
                            error.message =
                                format!("check constraint \"{name}\" of relation \"{}\" is violated by some row", table.name);
                            error.fields.detail = None;
                        }
                        error
                    })?;
                }
            }
            Ok(())
        })
    }

    fn drop_constraint(
        &mut self,
        catalog: &Catalog,
        table: &Table,
        name: &str,
        missing_ok: bool,
        cascade: bool,
    ) -> Result<(), SqlError> {
        if table.primary_key.as_ref().is_some_and(|key| key.name == name) {
            return Err(SqlError::unsupported("dropping a primary key is not supported yet"));
        }
        if !table.has_constraint(name) {
            let message = format!("constraint \"{name}\" of relation \"{}\" does not exist", table.name);
            if !missing_ok {
                return Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message));
            }
            self.notice(Notice::plain(format!("{message}, skipping")));
            return Ok(());
        }
        if let Some(index) = table.indexes.iter().find(|index| index.constraint.is_some() && index.name == name) {
            let relying = relying_on(catalog, table.id, Some(index.id));
            self.drop_relying(&relying, &format!("constraint {name} on table {}", table.name), name, cascade)?;
        }
        // A foreign key of the table itself may have relied on it.
        let current = self.open_transaction()?.catalog().table_by_id(table.id).cloned();
        let mut altered = current.as_deref().unwrap_or(table).clone();
        altered.indexes.retain(|index| index.constraint.is_none() || index.name != name);
        altered.checks.retain(|check| check.name != name);
        altered.foreign_keys.retain(|key| key.name != name);
        self.edit(Edit::AlterTable(altered))
    }

    fn rename_constraint(&mut self, catalog: &Catalog, table: &Table, name: &str, to: &str) -> Result<(), SqlError> {
        if !table.has_constraint(name) {
            let message = format!("constraint \"{name}\" for table \"{}\" does not exist", table.name);
            return Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message));
        }
        let mut of_index = table.primary_key.iter().map(|key| &key.name).chain(table.indexes.iter().map(|index| &index.name));
        if of_index.any(|found| found == name) && catalog.relation(table.schema, to).is_some() {
            return Err(exists(to));
        }
        if table.has_constraint(to) {
            return Err(duplicate(to, &table.name));
        }
        let mut altered = table.clone();
        let indexes = altered.indexes.iter_mut().filter(|index| index.constraint.is_some()).map(|index| &mut index.name);
        let keys = altered.primary_key.iter_mut().map(|key| &mut key.name);
        keys.chain(indexes).filter(|found| *found == name).for_each(|found| to.clone_into(found));
        altered.checks.iter_mut().filter(|check| check.name == name).for_each(|check| to.clone_into(&mut check.name));
        altered.checks.sort_by(|a, b| a.name.cmp(&b.name));
        altered.foreign_keys.iter_mut().filter(|key| key.name == name).for_each(|key| to.clone_into(&mut key.name));
        self.edit(Edit::AlterTable(altered))
    }

    /// Makes a foreign key deferrable or not. Errors: 42704, 42809 for a constraint of another kind.
    fn defer_constraint(&mut self, table: &Table, name: &str, deferral: Deferral) -> Result<(), SqlError> {
        if !table.has_constraint(name) {
            let message = format!("constraint \"{name}\" of relation \"{}\" does not exist", table.name);
            return Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message));
        }
        let mut altered = table.clone();
        let Some(key) = altered.foreign_keys.iter_mut().find(|key| key.name == name) else {
            let message = format!("constraint \"{name}\" of relation \"{}\" is not a foreign key constraint", table.name);
            return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message));
        };
        key.deferral = deferral;
        self.edit(Edit::AlterTable(altered))
    }

    fn validate_constraint(&mut self, table: &Arc<Table>, name: &str) -> Result<(), SqlError> {
        if !table.has_constraint(name) {
            let message = format!("constraint \"{name}\" of relation \"{}\" does not exist", table.name);
            return Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message));
        }
        if let Some(key) = table.foreign_keys.iter().find(|key| key.name == name) {
            if key.validated {
                return Ok(());
            }
            self.check_references(table, key)?;
            let mut altered = table.as_ref().clone();
            altered.foreign_keys.iter_mut().filter(|key| key.name == name).for_each(|key| key.validated = true);
            return self.edit(Edit::AlterTable(altered));
        }
        let Some(check) = table.checks.iter().find(|check| check.name == name) else {
            let message =
                format!("constraint \"{name}\" of relation \"{}\" is not a foreign key or check constraint", table.name);
            return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message));
        };
        if check.validated {
            return Ok(());
        }
        self.check_rows(table, name)?;
        let mut altered = table.as_ref().clone();
        altered.checks.iter_mut().filter(|check| check.name == name).for_each(|check| check.validated = true);
        self.edit(Edit::AlterTable(altered))
    }
}

/// Adds a CHECK constraint where its name puts it.
fn add_check(table: &mut Table, check: Check) {
    table.checks.push(check);
    table.checks.sort_by(|a, b| a.name.cmp(&b.name));
}

/// Whether a table of the schema, or this one as it is to be, has a constraint of this name.
pub(crate) fn is_constraint(catalog: &Catalog, table: &Table, name: &str) -> bool {
    table.has_constraint(name) || catalog.tables_of(table.schema).any(|other| other.id != table.id && other.has_constraint(name))
}

pub(crate) fn duplicate(name: &str, table: &str) -> SqlError {
    let message = format!("constraint \"{name}\" for relation \"{table}\" already exists");
    SqlError::new(SqlState::DUPLICATE_OBJECT, message)
}

/// Errors for what an expression over one row cannot have.
pub(crate) fn refuse_in_row(expr: &Expr, one: &str, many: &str) -> Result<(), SqlError> {
    struct Refused;
    impl Visitor for Refused {
        type Break = &'static str;

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<&'static str> {
            match expr {
                Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => ControlFlow::Break("subquery"),
                Expr::Value(value) if matches!(value.value, sqlparser::ast::Value::Placeholder(_)) => {
                    ControlFlow::Break("parameter")
                }
                Expr::Function(function) if function.over.is_some() => ControlFlow::Break("window"),
                Expr::Function(function) => {
                    let name = function.name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.as_str());
                    if matches!(name, Some("generate_series" | "generate_subscripts" | "unnest")) {
                        return ControlFlow::Break("set");
                    }
                    let aggregate = matches!(
                        name,
                        Some(
                            "count"
                                | "sum"
                                | "avg"
                                | "min"
                                | "max"
                                | "string_agg"
                                | "array_agg"
                                | "bool_and"
                                | "bool_or"
                                | "every"
                        )
                    );
                    if aggregate { ControlFlow::Break("aggregate") } else { ControlFlow::Continue(()) }
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    match expr.visit(&mut Refused) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break("subquery") => Err(SqlError::unsupported(format!("cannot use subquery in {one}"))),
        ControlFlow::Break("parameter") => Err(SqlError::new(SqlState::UNDEFINED_PARAMETER, "there is no parameter $1")),
        ControlFlow::Break("set") => Err(SqlError::unsupported(format!("set-returning functions are not allowed in {many}"))),
        ControlFlow::Break("window") => {
            let message = format!("window functions are not allowed in {many}");
            Err(SqlError::new(SqlState(*b"42P20"), message))
        }
        ControlFlow::Break(_) => {
            let message = format!("aggregate functions are not allowed in {many}");
            Err(SqlError::new(SqlState::GROUPING_ERROR, message))
        }
    }
}

/// The same expression with the table's columns by their names alone, so that the table can get another name.
pub(crate) fn without_qualifiers(expr: &Expr, table: &Table) -> Expr {
    struct Bare<'a>(&'a str);
    impl VisitorMut for Bare<'_> {
        type Break = ();

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::CompoundIdentifier(parts) = expr
                && let [qualifier, column] = parts.as_slice()
                && qualifier.value == self.0
            {
                *expr = Expr::Identifier(column.clone());
            }
            ControlFlow::Continue(())
        }
    }
    let mut bare = expr.clone();
    let _: ControlFlow<()> = VisitMut::visit(&mut bare, &mut Bare(&table.name));
    bare
}

//! FOREIGN KEY constraints: what they are to, what relies on what, how they go.

use std::sync::Arc;

use catalog::{Action, Catalog, Edit, ForeignKey, Relation, Table};
use types::{ColumnId, Oid, SqlError, SqlState, SqlType, TableId};

use crate::ddl::index::check_width;
use crate::ddl::names::choose_name;
use crate::notice::Notice;
use crate::parse::Reference;
use crate::references::{has_deferrable, target_of, unique_target};
use crate::session::Session;

use super::constraint::{duplicate, is_constraint};

/// A foreign key and the table that has it.
pub(crate) struct Referring {
    pub(crate) child: Arc<Table>,
    pub(crate) key: ForeignKey,
}

impl Referring {
    /// As messages name it.
    pub(crate) fn described(&self) -> String {
        format!("constraint {} on table {}", self.key.name, self.child.name)
    }
}

/// The foreign keys of other tables that refer to this one.
pub(crate) fn referring(catalog: &Catalog, table: TableId) -> Vec<Referring> {
    let others = catalog.references_to(table).filter(|child| child.id != table);
    let of = |child: &Arc<Table>| {
        let keys = child.foreign_keys.iter().filter(|key| key.target == table);
        keys.map(|key| Referring { child: Arc::clone(child), key: key.clone() }).collect::<Vec<_>>()
    };
    let mut found: Vec<Referring> = others.flat_map(of).collect();
    found.sort_by_key(|referring| referring.key.id);
    found
}

/// The foreign keys that rely on an index of a table; `None`: its primary key's.
pub(crate) fn relying_on(catalog: &Catalog, table: TableId, index: Option<TableId>) -> Vec<Referring> {
    let own = catalog.references_to(table).flat_map(|child| {
        let keys = child.foreign_keys.iter().filter(|key| target_of(catalog, key) == Some((table, index)));
        keys.map(|key| Referring { child: Arc::clone(child), key: key.clone() }).collect::<Vec<_>>()
    });
    own.collect()
}

impl Session {
    /// A foreign key of `table`, which is as it is to be but for this. Its target is held. Errors: everything wrong with it.
    pub(crate) fn foreign_key(&mut self, table: &Table, reference: &Reference) -> Result<ForeignKey, SqlError> {
        let target = self.target_table(table, reference)?;
        let columns = columns_of(table, &reference.columns)?;
        check_width(columns.len())?;
        let target_columns = if reference.target_columns.is_empty() {
            if target.primary_index().is_some() {
                return Err(deferrable_target("primary key", &target));
            }
            let key = target.primary_key.as_ref().ok_or_else(|| {
                let message = format!("there is no primary key for referenced table \"{}\"", target.name);
                SqlError::new(SqlState::UNDEFINED_OBJECT, message)
            })?;
            key.columns.iter().map(|at| target.columns[*at].id).collect()
        } else {
            columns_of(&target, &reference.target_columns)?
        };
        if columns.len() != target_columns.len() {
            let message = "number of referencing and referenced columns for foreign key disagree";
            return Err(invalid(message.into()));
        }
        if (1..target_columns.len()).any(|at| target_columns[..at].contains(&target_columns[at])) {
            return Err(invalid("foreign key referenced-columns list must not contain duplicates".into()));
        }
        if unique_target(&target, &target_columns).is_none() {
            if has_deferrable(&target, &target_columns) {
                return Err(deferrable_target("unique constraint", &target));
            }
            let message = format!("there is no unique constraint matching given keys for referenced table \"{}\"", target.name);
            return Err(invalid(message));
        }
        let mut delete_sets = Vec::new();
        for name in &reference.delete_sets {
            let id = columns_of(table, std::slice::from_ref(name))?[0];
            if !columns.contains(&id) {
                let message = format!("column \"{name}\" referenced in ON DELETE SET action must be part of foreign key");
                return Err(SqlError::new(SqlState(*b"42P10"), message));
            }
            delete_sets.push(id);
        }
        check_generated(table, &columns, reference)?;
        let catalog = self.open_transaction()?.catalog();
        let name = match &reference.name {
            Some(name) if table.has_constraint(name) => return Err(duplicate(name, &table.name)),
            Some(name) => name.clone(),
            None => {
                let taken = |name: &str| is_constraint(&catalog, table, name);
                choose_name(&table.name, &reference.columns.join("_"), "fkey", &taken)
            }
        };
        check_types(table, &columns, &target, &target_columns, &name)?;
        Ok(ForeignKey {
            id: Oid(self.new_oid()?),
            name,
            columns,
            target: target.id,
            target_columns,
            match_full: reference.match_full,
            on_delete: reference.on_delete,
            delete_sets,
            on_update: reference.on_update,
            deferral: reference.deferral,
            validated: reference.validated,
        })
    }

    /// The table referred to, held; perhaps the table itself.
    fn target_table(&mut self, table: &Table, reference: &Reference) -> Result<Arc<Table>, SqlError> {
        loop {
            let catalog = self.open_transaction()?.catalog();
            let scope = self.scope(&catalog);
            let name = &reference.target;
            let target = match scope.find(name)? {
                Some(Relation::Table(id)) => catalog.table_by_id(id).cloned(),
                Some(Relation::View(_) | Relation::Sequence(_)) => {
                    let message = format!("referenced relation \"{}\" is not a table", name.name);
                    return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message));
                }
                Some(Relation::PrimaryKey(_) | Relation::Index(_)) => {
                    let message = format!("\"{}\" is an index", name.name);
                    return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message));
                }
                None => None,
            };
            let is_own = target.as_ref().is_some_and(|target| target.id == table.id);
            let is_new = target.is_none() && name.name == table.name && catalog.table_by_id(table.id).is_none();
            if is_own || is_new {
                return Ok(Arc::new(table.clone()));
            }
            let Some(target) = target else { return Err(scope.missing(name)) };
            if self.hold_table(target.id)? {
                return Ok(target);
            }
        }
    }

    /// Whoever writes rows that foreign keys of `table` refer to has to know: plans made before are made again.
    pub(crate) fn announce_references(&mut self, table: &Table) -> Result<(), SqlError> {
        for key in table.foreign_keys.iter().filter(|key| key.target != table.id) {
            let target = self.open_transaction()?.catalog().table_by_id(key.target).cloned();
            if let Some(target) = target {
                self.edit(Edit::AlterTable(target.as_ref().clone()))?;
            }
        }
        Ok(())
    }

    /// ALTER TABLE ... ADD FOREIGN KEY of a table that is held.
    pub(crate) fn add_foreign_key(&mut self, table: &Table, reference: &Reference) -> Result<(), SqlError> {
        let key = self.foreign_key(table, reference)?;
        let mut altered = table.clone();
        altered.foreign_keys.push(key.clone());
        self.edit(Edit::AlterTable(altered.clone()))?;
        self.announce_references(&altered)?;
        if key.validated { self.check_references(&Arc::new(altered), &key) } else { Ok(()) }
    }

    /// Takes foreign keys away, telling so.
    pub(crate) fn drop_foreign_keys(&mut self, keys: &[Referring]) -> Result<(), SqlError> {
        for Referring { child, key } in keys {
            let child = self.open_transaction()?.catalog().table_by_id(child.id).cloned();
            if let Some(child) = child {
                let mut altered = child.as_ref().clone();
                altered.foreign_keys.retain(|other| other.id != key.id);
                self.edit(Edit::AlterTable(altered))?;
            }
        }
        Ok(())
    }

    /// What relies on an index that is to go: 2BP01 unless CASCADE, which takes it away with a notice.
    pub(crate) fn drop_relying(&mut self, keys: &[Referring], what: &str, index: &str, cascade: bool) -> Result<(), SqlError> {
        if keys.is_empty() {
            return Ok(());
        }
        if !cascade {
            let lines: Vec<String> = keys.iter().map(|key| format!("{} depends on index {index}", key.described())).collect();
            let message = format!("cannot drop {what} because other objects depend on it");
            return Err(SqlError::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
                .detail(lines.join("\n"))
                .hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        for key in keys {
            self.notice(Notice::plain(format!("drop cascades to {}", key.described())));
        }
        self.drop_foreign_keys(keys)
    }
}

fn invalid(message: String) -> SqlError {
    SqlError::new(SqlState(*b"42830"), message)
}

fn deferrable_target(what: &str, target: &Table) -> SqlError {
    let message = format!("cannot use a deferrable {what} for referenced table \"{}\"", target.name);
    SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
}

fn columns_of(table: &Table, names: &[String]) -> Result<Vec<ColumnId>, SqlError> {
    let column = |name: &String| {
        table.column(name).map(|at| table.columns[at].id).ok_or_else(|| {
            let message = format!("column \"{name}\" referenced in foreign key constraint does not exist");
            SqlError::new(SqlState::UNDEFINED_COLUMN, message)
        })
    };
    names.iter().map(column).collect()
}

/// Errors with 42601 for an action that would write a generated column.
fn check_generated(table: &Table, columns: &[ColumnId], reference: &Reference) -> Result<(), SqlError> {
    let is_generated = |id: &ColumnId| table.column_by_id(*id).is_some_and(|column| column.generated.is_some());
    let sets = |action| matches!(action, Action::SetNull | Action::SetDefault);
    let clause = match reference {
        _ if !columns.iter().any(is_generated) => return Ok(()),
        Reference { on_update, .. } if sets(*on_update) || *on_update == Action::Cascade => "UPDATE",
        Reference { on_delete, .. } if sets(*on_delete) => "DELETE",
        _ => return Ok(()),
    };
    let message = format!("invalid ON {clause} action for foreign key constraint containing generated column");
    Err(SqlError::new(SqlState::SYNTAX_ERROR, message))
}

/// 42804 where values of the two tables cannot be equal.
fn check_types(
    table: &Table,
    columns: &[ColumnId],
    target: &Table,
    target_columns: &[ColumnId],
    name: &str,
) -> Result<(), SqlError> {
    for (own, other) in columns.iter().zip(target_columns) {
        let (Some(own), Some(other)) = (table.column_by_id(*own), target.column_by_id(*other)) else { continue };
        if !comparable(own.data_type, other.data_type) {
            let of = |t: SqlType| {
                if matches!(t, SqlType::Numeric { .. }) { "numeric".into() } else { crate::pg_catalog::type_name(t) }
            };
            let detail = format!(
                "Key columns \"{}\" and \"{}\" are of incompatible types: {} and {}.",
                own.name,
                other.name,
                of(own.data_type),
                of(other.data_type)
            );
            let message = format!("foreign key constraint \"{name}\" cannot be implemented");
            return Err(SqlError::new(SqlState::DATATYPE_MISMATCH, message).detail(detail));
        }
        if !same_when_equal(own.data_type, other.data_type) {
            let of = crate::pg_catalog::type_name;
            let message =
                format!("foreign keys from type {} to type {} are not supported", of(own.data_type), of(other.data_type));
            return Err(SqlError::unsupported(message));
        }
    }
    Ok(())
}

/// Whether PostgreSQL compares them by the referenced type's index.
fn comparable(own: SqlType, other: SqlType) -> bool {
    let is_float = |t| matches!(t, SqlType::Float4 | SqlType::Float8);
    let is_moment = |t| matches!(t, SqlType::Date | SqlType::Timestamp | SqlType::TimestampTz);
    let is_number = |t| is_exact(t) || is_float(t);
    own.oid() == other.oid()
        || (own.is_string() && other.is_string())
        || (is_whole(own) && is_number(other))
        || (is_number(own) && is_float(other))
        || (is_moment(own) && is_moment(other))
}

/// Whether each value of one has at most one equal value of the other, by which it can be found.
fn same_when_equal(own: SqlType, other: SqlType) -> bool {
    let is_char = |t| matches!(t, SqlType::Char(_));
    own.oid() == other.oid()
        || (is_whole(own) && is_exact(other))
        || (own.is_string() && other.is_string() && is_char(own) == is_char(other))
}

fn is_whole(t: SqlType) -> bool {
    matches!(t, SqlType::Int2 | SqlType::Int4 | SqlType::Int8)
}

fn is_exact(t: SqlType) -> bool {
    is_whole(t) || matches!(t, SqlType::Numeric { .. })
}

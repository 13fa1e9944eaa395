//! Names that new objects may have, and how existing ones are shown.

use catalog::{Catalog, Relation};
use types::{SchemaId, SqlError, SqlState, TableId};

use crate::names::Scope;

/// PostgreSQL's system columns, and ours.
const SYSTEM_COLUMNS: [&str; 8] = ["cmax", "cmin", "ctid", "tableoid", "xmax", "xmin", catalog::ROWID, "__key"];

/// Columns of a relation, at most: PostgreSQL's.
const COLUMNS_MAX: usize = 1600;

/// Errors unless these can be the columns of a new relation: 42701, 54011.
pub(crate) fn check_columns<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), SqlError> {
    let mut seen: Vec<&str> = Vec::new();
    for name in names {
        if SYSTEM_COLUMNS.contains(&name) {
            let message = format!("column name \"{name}\" conflicts with a system column name");
            return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message));
        }
        if seen.contains(&name) {
            return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, format!("column \"{name}\" specified more than once")));
        }
        seen.push(name);
    }
    if seen.len() > COLUMNS_MAX {
        let message = format!("tables can have at most {COLUMNS_MAX} columns");
        return Err(SqlError::new(SqlState::TOO_MANY_COLUMNS, message));
    }
    Ok(())
}

/// A name for a table's primary key that nothing in the schema has: `t_pkey`, `t_pkey1`, ...
pub(crate) fn key_name(catalog: &Catalog, schema: SchemaId, table: &str) -> String {
    for attempt in 0u32.. {
        let suffix = if attempt == 0 { "_pkey".to_owned() } else { format!("_pkey{attempt}") };
        let room = 63 - suffix.len();
        let head = &table[..table.floor_char_boundary(room.min(table.len()))];
        let name = format!("{head}{suffix}");
        if name != table && catalog.relation(schema, &name).is_none() {
            return name;
        }
    }
    table.to_owned()
}

pub(crate) fn exists(name: &str) -> SqlError {
    SqlError::new(SqlState::DUPLICATE_TABLE, format!("relation \"{name}\" already exists"))
}

/// A relation as messages name it: with its schema unless the search path finds it.
pub(crate) fn shown(scope: &Scope<'_>, schema: SchemaId, name: &str, relation: Relation) -> String {
    let bare = crate::names::Name { database: None, schema: None, name: name.to_owned(), position: None };
    if scope.find(&bare).ok().flatten() == Some(relation) {
        return name.to_owned();
    }
    let schema = scope.catalog.schema_by_id(schema).map_or("?", |s| s.name.as_str());
    format!("{schema}.{name}")
}

/// `table t` or `view v`, for messages about what depends on what.
pub(crate) fn described(scope: &Scope<'_>, id: TableId) -> String {
    if let Some(table) = scope.catalog.table_by_id(id) {
        return format!("table {}", shown(scope, table.schema, &table.name, Relation::Table(id)));
    }
    match scope.catalog.view_by_id(id) {
        Some(view) => format!("view {}", shown(scope, view.schema, &view.name, Relation::View(id))),
        None => format!("relation {id}"),
    }
}

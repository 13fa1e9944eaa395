//! Names that new objects may have, and how existing ones are shown.

use catalog::{Catalog, Relation};
use sqlparser::ast::{Expr, TrimWhereField};
use types::{SchemaId, SqlError, SqlState, TableId};

use crate::names::Scope;
use crate::parse::sql_type;
use crate::pg_catalog::internal_type_name;

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

/// Bytes of a name, at most.
const NAME_BYTES_MAX: usize = 63;

/// The name PostgreSQL gives an expression, and whether it would rather take another. Source: `FigureColnameInternal`.
pub(crate) fn column_name(expr: &Expr) -> (String, bool) {
    let firm = |name: &str| (name.to_owned(), false);
    match expr {
        Expr::Nested(inner) => column_name(inner),
        Expr::Identifier(ident) => firm(&ident.value),
        Expr::Function(function) => {
            firm(function.name.0.last().and_then(|part| part.as_ident()).map_or("expr", |ident| ident.value.as_str()))
        }
        Expr::Extract { .. } => firm("extract"),
        Expr::Position { .. } => firm("position"),
        Expr::Substring { shorthand, .. } => firm(if *shorthand { "substr" } else { "substring" }),
        Expr::Trim { trim_where: Some(TrimWhereField::Leading), .. } => firm("ltrim"),
        Expr::Trim { trim_where: Some(TrimWhereField::Trailing), .. } => firm("rtrim"),
        Expr::Trim { .. } => firm("btrim"),
        Expr::AtTimeZone { .. } => firm("timezone"),
        Expr::Cast { expr, data_type, .. } => match column_name(expr) {
            (name, false) => (name, false),
            _ => (sql_type(data_type).map_or("expr", internal_type_name).to_owned(), true),
        },
        Expr::Case { else_result, .. } => match else_result.as_deref().map(column_name) {
            Some((name, false)) => (name, false),
            _ => ("case".to_owned(), true),
        },
        _ => ("expr".to_owned(), true),
    }
}

/// A name for a table's primary key that nothing in the schema has: `t_pkey`, `t_pkey1`, ...
pub(crate) fn key_name(catalog: &Catalog, schema: SchemaId, table: &str) -> String {
    choose_name(table, "", "pkey", &|name| name == table || catalog.relation(schema, name).is_some())
}

/// A name for something of a table that is not taken: `table_addition_label`, `table_addition_label1`, ... Names too long lose bytes
/// from the longer of table and addition. Source: PostgreSQL's `makeObjectName`.
pub(crate) fn choose_name(table: &str, addition: &str, label: &str, taken: &dyn Fn(&str) -> bool) -> String {
    for attempt in 0u32.. {
        let label = if attempt == 0 { label.to_owned() } else { format!("{label}{attempt}") };
        let separators = if addition.is_empty() { 1 } else { 2 };
        let room = NAME_BYTES_MAX.saturating_sub(label.len() + separators);
        let (mut first, mut second) = (table.len(), addition.len());
        while first + second > room {
            if first > second { first -= 1 } else { second -= 1 }
        }
        let first = &table[..table.floor_char_boundary(first)];
        let second = &addition[..addition.floor_char_boundary(second)];
        let name = if addition.is_empty() { format!("{first}_{label}") } else { format!("{first}_{second}_{label}") };
        if !taken(&name) {
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

/// `table t`, `view v` or `sequence s`, for messages about what depends on what.
pub(crate) fn described(scope: &Scope<'_>, id: TableId) -> String {
    if let Some(table) = scope.catalog.table_by_id(id) {
        return format!("table {}", shown(scope, table.schema, &table.name, Relation::Table(id)));
    }
    if let Some(sequence) = scope.catalog.sequence_by_id(id) {
        return format!("sequence {}", shown(scope, sequence.schema, &sequence.name, Relation::Sequence(id)));
    }
    match scope.catalog.view_by_id(id) {
        Some(view) => format!("view {}", shown(scope, view.schema, &view.name, Relation::View(id))),
        None => format!("relation {id}"),
    }
}

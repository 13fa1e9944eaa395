//! Names of relations and schemas, and how they are found along the search path.
//!
//! 1. An unqualified name is looked up in each schema of `search_path` in turn; new relations go to the first one that exists.
//! 2. `pg_catalog` is searched first unless the path names it; nothing can be created there or in `information_schema`.

mod keywords;

use std::fmt;
use std::sync::Arc;

use catalog::{Catalog, Deferral, Relation, Schema, Table, View};
use sqlparser::ast::ObjectName;
use types::{DatabaseId, Oid, SqlError, SqlState};

use crate::parse::Source;

/// The name of a relation as written: maybe with a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) database: Option<String>,
    pub(crate) schema: Option<String>,
    pub(crate) name: String,
    /// Where it was written.
    pub(crate) position: Option<u32>,
}

impl Name {
    pub(crate) fn from_parts(parts: Vec<String>, position: Option<u32>) -> Result<Name, SqlError> {
        let mut parts = parts.into_iter().rev();
        let name = parts.next().unwrap_or_default();
        let (schema, database) = (parts.next(), parts.next());
        if parts.next().is_some() {
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, "improper qualified name (too many dotted names)"));
        }
        Ok(Name { database, schema, name, position })
    }

    /// From the AST, whose identifiers are folded already.
    pub(crate) fn of(name: &ObjectName, source: &Source) -> Result<Name, SqlError> {
        let mut parts = Vec::with_capacity(name.0.len());
        let mut position = None;
        for part in &name.0 {
            let Some(ident) = part.as_ident() else {
                return Err(SqlError::new(SqlState::SYNTAX_ERROR, format!("improper name \"{name}\"")));
            };
            position = position.or_else(|| source.position_of(ident.span.start));
            parts.push(ident.value.clone());
        }
        Name::from_parts(parts, position)
    }

    /// With its position in an error about it.
    pub(crate) fn at(&self, error: SqlError) -> SqlError {
        match self.position {
            Some(position) => error.position(position),
            None => error,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.database, &self.schema].into_iter().flatten() {
            write!(f, "{part}.")?;
        }
        f.write_str(&self.name)
    }
}

/// Schemas that exist in every database without being in the catalog.
pub(crate) const SYSTEM_SCHEMAS: [&str; 2] = ["pg_catalog", "information_schema"];

/// Where names are looked up: one database along one search path.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) database: DatabaseId,
    pub(crate) search_path: &'a [String],
}

impl<'a> Scope<'a> {
    /// The schema with a name. Errors: 3F000.
    pub(crate) fn schema(&self, name: &str) -> Result<&'a Arc<Schema>, SqlError> {
        self.catalog
            .schema(self.database, name)
            .ok_or_else(|| SqlError::new(SqlState::INVALID_SCHEMA_NAME, format!("schema \"{name}\" does not exist")))
    }

    /// The schema a new relation of this name goes to.
    pub(crate) fn schema_for_new(&self, name: &Name) -> Result<&'a Arc<Schema>, SqlError> {
        self.check_database(name)?;
        match &name.schema {
            Some(schema) if SYSTEM_SCHEMAS.contains(&schema.as_str()) => Err(SqlError::new(
                SqlState::INSUFFICIENT_PRIVILEGE,
                format!("permission denied to create \"{schema}.{}\"", name.name),
            )
            .detail("System catalog modifications are currently disallowed.")),
            Some(schema) => self.schema(schema).map_err(|e| name.at(e)),
            None => {
                self.search_path.iter().find_map(|schema| self.catalog.schema(self.database, schema)).ok_or_else(|| {
                    name.at(SqlError::new(SqlState::INVALID_SCHEMA_NAME, "no schema has been selected to create in"))
                })
            }
        }
    }

    fn check_database(&self, name: &Name) -> Result<(), SqlError> {
        let current = self.catalog.database_by_id(self.database).map(|d| d.name.as_str());
        match &name.database {
            Some(database) if Some(database.as_str()) != current => {
                Err(name.at(SqlError::unsupported(format!("cross-database references are not implemented: \"{name}\""))))
            }
            _ => Ok(()),
        }
    }

    /// What a name stands for, if anything.
    pub(crate) fn find(&self, name: &Name) -> Result<Option<Relation>, SqlError> {
        self.check_database(name)?;
        Ok(match &name.schema {
            Some(schema) => self.catalog.schema(self.database, schema).and_then(|s| self.catalog.relation(s.id, &name.name)),
            None => (self.search_path.iter())
                .filter_map(|schema| self.catalog.schema(self.database, schema))
                .find_map(|schema| self.catalog.relation(schema.id, &name.name)),
        })
    }

    /// The table with a name, for DML. Errors: 42P01; 42809 for what is no table.
    pub(crate) fn table(&self, name: &Name) -> Result<&'a Arc<Table>, SqlError> {
        match self.find(name)? {
            Some(Relation::Table(id)) => {
                self.catalog.table_by_id(id).ok_or_else(|| SqlError::bug(format!("relation \"{name}\" has no definition")))
            }
            Some(Relation::View(_)) => {
                Err(SqlError::unsupported(format!("cannot change view \"{}\": only tables can be written", name.name)))
            }
            Some(Relation::Sequence(_)) => {
                Err(name.at(SqlError::new(SqlState::WRONG_OBJECT_TYPE, format!("cannot change sequence \"{}\"", name.name))))
            }
            Some(Relation::PrimaryKey(_) | Relation::Index(_)) => {
                Err(name.at(SqlError::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{}\" is an index", name.name))))
            }
            None => Err(self.missing(name)),
        }
    }

    /// The constraints with a name, in the first schema of the search path that has one, for SET CONSTRAINTS. Errors: 42704; 42809
    /// for one that cannot be deferred.
    pub(crate) fn deferrable(&self, name: &Name) -> Result<Vec<Oid>, SqlError> {
        let schemas: Vec<&String> = match &name.schema {
            Some(schema) => vec![schema],
            None => self.search_path.iter().collect(),
        };
        for schema in schemas.into_iter().filter_map(|schema| self.catalog.schema(self.database, schema)) {
            let tables = || self.catalog.tables_of(schema.id).filter(|table| table.has_constraint(&name.name));
            if tables().next().is_none() {
                continue;
            }
            let keys = tables().flat_map(|table| &table.foreign_keys).map(|key| (&key.name, key.id, key.deferral));
            let unique = tables().flat_map(|table| &table.indexes).filter_map(|index| Some((index, index.constraint.as_ref()?)));
            let all = keys.chain(unique.map(|(index, constraint)| (&index.name, constraint.id, constraint.deferral)));
            let deferrable = all.filter(|(found, _, deferral)| **found == name.name && *deferral != Deferral::NotDeferrable);
            let found: Vec<Oid> = deferrable.map(|(_, id, _)| id).collect();
            if found.len() < tables().count() {
                let message = format!("constraint \"{}\" is not deferrable", name.name);
                return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message));
            }
            return Ok(found);
        }
        let message = format!("constraint \"{}\" does not exist", name.name);
        Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message))
    }

    /// The view with an id.
    pub(crate) fn view(&self, id: types::TableId) -> Result<&'a Arc<View>, SqlError> {
        self.catalog.view_by_id(id).ok_or_else(|| SqlError::bug(format!("view {id} has no definition")))
    }

    /// The error that a relation does not exist, naming the schema if that is what is missing.
    pub(crate) fn missing(&self, name: &Name) -> SqlError {
        if let Some(schema) = &name.schema
            && SYSTEM_SCHEMAS.contains(&schema.as_str())
        {
            return name.at(SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, format!("permission denied for schema {schema}")));
        }
        name.at(SqlError::new(SqlState::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist")))
    }
}

/// An identifier as text that this program's own parser reads, whatever words it takes for its own.
pub(crate) fn always_quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// An identifier as PostgreSQL shows it: quoted if it must be.
pub(crate) fn quote_ident(name: &str) -> String {
    let mut chars = name.chars();
    let plain = chars.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '$')
        && !keywords::is_keyword(name);
    if plain { name.to_owned() } else { always_quoted(name) }
}

//! The catalog as one immutable value.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use types::{DatabaseId, Oid, SchemaId, TableId};

use crate::definition::{Database, Schema, Table, View};
use crate::edit::{CatalogError, Edit};
use crate::sequence::Sequence;

/// Every definition there is at one moment. Cloning shares the definitions; looking one up by name costs O(log n).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalog {
    next_oid: u32,
    databases: BTreeMap<DatabaseId, Arc<Database>>,
    schemas: BTreeMap<SchemaId, Arc<Schema>>,
    tables: BTreeMap<TableId, Arc<Table>>,
    /// The hidden tables of their indexes.
    hidden: BTreeMap<TableId, Arc<Table>>,
    /// Of foreign keys: the table referenced, and the one that has it.
    references: BTreeSet<(TableId, TableId)>,
    views: BTreeMap<TableId, Arc<View>>,
    sequences: BTreeMap<TableId, Arc<Sequence>>,
    names: BTreeMap<(SchemaId, String), Relation>,
}

/// What a relation's name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// A table.
    Table(TableId),
    /// A view.
    View(TableId),
    /// The index of a table's primary key.
    PrimaryKey(TableId),
    /// A secondary index, by its own id.
    Index(TableId),
    /// A sequence.
    Sequence(TableId),
}

/// The stored form.
#[derive(Serialize, Deserialize)]
struct Stored {
    format: u32,
    next_oid: u32,
    databases: Vec<Database>,
    schemas: Vec<Schema>,
    tables: Vec<Table>,
    views: Vec<View>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sequences: Vec<Sequence>,
}

const FORMAT: u32 = 1;

impl Default for Catalog {
    fn default() -> Catalog {
        Catalog::new()
    }
}

impl Catalog {
    /// The catalog of a new data directory: database `postgres` with schema `public`.
    pub fn new() -> Catalog {
        let empty = Catalog {
            next_oid: Oid::FIRST_USER.0,
            databases: BTreeMap::new(),
            schemas: BTreeMap::new(),
            tables: BTreeMap::new(),
            hidden: BTreeMap::new(),
            references: BTreeSet::new(),
            views: BTreeMap::new(),
            sequences: BTreeMap::new(),
            names: BTreeMap::new(),
        };
        let postgres = Database { id: DatabaseId(5), name: "postgres".into() };
        let public = Schema { id: SchemaId(2200), database: postgres.id, name: "public".into() };
        [Edit::CreateDatabase(postgres), Edit::CreateSchema(public)]
            .iter()
            .try_fold(empty, |catalog, edit| catalog.apply(edit))
            .expect("the first objects do not collide")
    }

    /// The smallest oid never given out.
    pub fn next_oid(&self) -> u32 {
        self.next_oid
    }

    /// The database with this name.
    pub fn database(&self, name: &str) -> Option<&Arc<Database>> {
        self.databases.values().find(|d| d.name == name)
    }

    /// The database with this id.
    pub fn database_by_id(&self, id: DatabaseId) -> Option<&Arc<Database>> {
        self.databases.get(&id)
    }

    /// Every database.
    pub fn databases(&self) -> impl Iterator<Item = &Arc<Database>> {
        self.databases.values()
    }

    /// The schema with this name in a database.
    pub fn schema(&self, database: DatabaseId, name: &str) -> Option<&Arc<Schema>> {
        self.schemas_of(database).find(|s| s.name == name)
    }

    /// The schema with this id.
    pub fn schema_by_id(&self, id: SchemaId) -> Option<&Arc<Schema>> {
        self.schemas.get(&id)
    }

    /// The schemas of a database.
    pub fn schemas_of(&self, database: DatabaseId) -> impl Iterator<Item = &Arc<Schema>> {
        self.schemas.values().filter(move |s| s.database == database)
    }

    /// What a name in a schema stands for.
    pub fn relation(&self, schema: SchemaId, name: &str) -> Option<Relation> {
        self.names.get(&(schema, name.to_owned())).copied()
    }

    /// The table with this name in a schema.
    pub fn table(&self, schema: SchemaId, name: &str) -> Option<&Arc<Table>> {
        match self.relation(schema, name)? {
            Relation::Table(id) => self.tables.get(&id),
            _ => None,
        }
    }

    /// The table with this id.
    pub fn table_by_id(&self, id: TableId) -> Option<&Arc<Table>> {
        self.tables.get(&id)
    }

    /// Every table.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.tables.values()
    }

    /// Everything that has rows of its own: tables, and the hidden tables of indexes.
    pub fn stored_tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.tables.values().chain(self.hidden.values())
    }

    /// The table, or the hidden table of an index, with this id.
    pub fn stored_table(&self, id: TableId) -> Option<&Arc<Table>> {
        self.tables.get(&id).or_else(|| self.hidden.get(&id))
    }

    /// The table an index is of. O(number of tables).
    pub fn table_of_index(&self, index: TableId) -> Option<&Arc<Table>> {
        self.tables.values().find(|table| table.index(index).is_some())
    }

    /// The tables with a foreign key that references this one, itself perhaps among them.
    pub fn references_to(&self, table: TableId) -> impl Iterator<Item = &Arc<Table>> {
        let from = (table, TableId(0))..=(table, TableId(u32::MAX));
        self.references.range(from).filter_map(|(_, child)| self.tables.get(child))
    }

    /// The tables of a schema.
    pub fn tables_of(&self, schema: SchemaId) -> impl Iterator<Item = &Arc<Table>> {
        self.tables.values().filter(move |t| t.schema == schema)
    }

    /// The view with this name in a schema.
    pub fn view(&self, schema: SchemaId, name: &str) -> Option<&Arc<View>> {
        match self.relation(schema, name)? {
            Relation::View(id) => self.views.get(&id),
            _ => None,
        }
    }

    /// The view with this id.
    pub fn view_by_id(&self, id: TableId) -> Option<&Arc<View>> {
        self.views.get(&id)
    }

    /// Every view.
    pub fn views(&self) -> impl Iterator<Item = &Arc<View>> {
        self.views.values()
    }

    /// The views of a schema.
    pub fn views_of(&self, schema: SchemaId) -> impl Iterator<Item = &Arc<View>> {
        self.views.values().filter(move |v| v.schema == schema)
    }

    /// The views that read a relation.
    pub fn dependents_of(&self, relation: TableId) -> impl Iterator<Item = &Arc<View>> {
        self.views.values().filter(move |v| v.depends_on.contains(&relation))
    }

    /// The sequence with this id.
    pub fn sequence_by_id(&self, id: TableId) -> Option<&Arc<Sequence>> {
        self.sequences.get(&id)
    }

    /// Every sequence.
    pub fn sequences(&self) -> impl Iterator<Item = &Arc<Sequence>> {
        self.sequences.values()
    }

    /// The sequences of a schema.
    pub fn sequences_of(&self, schema: SchemaId) -> impl Iterator<Item = &Arc<Sequence>> {
        self.sequences.values().filter(move |s| s.schema == schema)
    }

    /// The sequences that go with columns of a table. O(number of sequences).
    pub fn sequences_owned_by(&self, table: TableId) -> impl Iterator<Item = &Arc<Sequence>> {
        self.sequences.values().filter(move |s| s.owner.is_some_and(|owner| owner.table == table))
    }

    /// The next catalog. O(number of objects). Errors: a name that is taken, an id that is missing, something that still depends
    /// on what is dropped (drop the dependents first).
    pub fn apply(&self, edit: &Edit) -> Result<Catalog, CatalogError> {
        let mut next = self.clone();
        match edit {
            Edit::CreateDatabase(database) => {
                if self.database(&database.name).is_some() {
                    return Err(CatalogError::DuplicateDatabase(database.name.clone()));
                }
                next.reserve(database.id.0);
                next.databases.insert(database.id, Arc::new(database.clone()));
            }
            Edit::DropDatabase(id) => {
                let database = next.databases.remove(&DatabaseId(*id)).ok_or(CatalogError::Missing("database", *id))?;
                if let Some(schema) = self.schemas_of(database.id).next() {
                    return Err(in_use("database", &database.name, "schema", &schema.name));
                }
            }
            Edit::CreateSchema(schema) => {
                if !self.databases.contains_key(&schema.database) {
                    return Err(CatalogError::Missing("database", schema.database.0));
                }
                if self.schema(schema.database, &schema.name).is_some() {
                    return Err(CatalogError::DuplicateSchema(schema.name.clone()));
                }
                next.reserve(schema.id.0);
                next.schemas.insert(schema.id, Arc::new(schema.clone()));
            }
            Edit::DropSchema(id) => {
                let schema = next.schemas.remove(&SchemaId(*id)).ok_or(CatalogError::Missing("schema", *id))?;
                if let Some(((_, name), _)) = self.names.range((schema.id, String::new())..).find(|((s, _), _)| *s == schema.id) {
                    return Err(in_use("schema", &schema.name, "relation", name));
                }
            }
            Edit::CreateTable(table) => {
                next.add_table(table)?;
            }
            Edit::AlterTable(table) => {
                next.remove_table(table.id)?;
                next.add_table(table)?;
            }
            Edit::DropTable(id) => {
                let table = next.remove_table(TableId(*id))?;
                if let Some(view) = self.dependents_of(table.id).next() {
                    return Err(in_use("table", &table.name, "view", &view.name));
                }
                if let Some(other) = self.references_to(table.id).find(|other| other.id != table.id) {
                    return Err(in_use("table", &table.name, "table", &other.name));
                }
            }
            Edit::CreateView(view) => {
                next.name(view.schema, &view.name, Relation::View(view.id))?;
                next.reserve(view.id.0);
                next.views.insert(view.id, Arc::new(view.clone()));
            }
            Edit::ReplaceView(view) => {
                let old = next.views.insert(view.id, Arc::new(view.clone())).ok_or(CatalogError::Missing("view", view.id.0))?;
                if (&old.name, old.schema) != (&view.name, view.schema) {
                    next.names.remove(&(old.schema, old.name.clone()));
                    next.name(view.schema, &view.name, Relation::View(view.id))?;
                }
            }
            Edit::DropView(id) => {
                let view = next.views.remove(&TableId(*id)).ok_or(CatalogError::Missing("view", *id))?;
                if let Some(dependent) = self.dependents_of(view.id).next() {
                    return Err(in_use("view", &view.name, "view", &dependent.name));
                }
                next.names.remove(&(view.schema, view.name.clone()));
            }
            Edit::CreateSequence(sequence) => next.add_sequence(sequence)?,
            Edit::AlterSequence(sequence) => {
                next.remove_sequence(sequence.id)?;
                next.add_sequence(sequence)?;
            }
            Edit::DropSequence(id) => next.remove_sequence(TableId(*id))?,
            Edit::ReserveOids(next_oid) => next.next_oid = next.next_oid.max(*next_oid),
        }
        Ok(next)
    }

    fn reserve(&mut self, oid: u32) {
        self.next_oid = self.next_oid.max(oid.saturating_add(1));
    }

    /// Adds a table with its key, indexes and constraints.
    fn add_table(&mut self, table: &Table) -> Result<(), CatalogError> {
        self.name(table.schema, &table.name, Relation::Table(table.id))?;
        self.reserve(table.id.0);
        if let Some(key) = &table.primary_key {
            self.name(table.schema, &key.name, Relation::PrimaryKey(table.id))?;
            self.reserve(key.id.0);
        }
        for index in &table.indexes {
            self.name(table.schema, &index.name, Relation::Index(index.id))?;
            self.reserve(index.id.0);
            self.hidden.insert(index.id, Arc::new(index.storage(table)));
        }
        let constraints = table.indexes.iter().filter_map(|index| index.constraint.as_ref()).map(|c| c.id);
        let others = table.checks.iter().map(|c| c.id).chain(table.foreign_keys.iter().map(|c| c.id));
        constraints.chain(others).for_each(|id| self.reserve(id.0));
        self.references.extend(table.foreign_keys.iter().map(|key| (key.target, table.id)));
        self.tables.insert(table.id, Arc::new(table.clone()));
        Ok(())
    }

    fn remove_table(&mut self, id: TableId) -> Result<Arc<Table>, CatalogError> {
        let table = self.tables.remove(&id).ok_or(CatalogError::Missing("table", id.0))?;
        let keys = table.primary_key.iter().map(|key| &key.name);
        for name in [&table.name].into_iter().chain(keys).chain(table.indexes.iter().map(|index| &index.name)) {
            self.names.remove(&(table.schema, name.clone()));
        }
        for index in &table.indexes {
            self.hidden.remove(&index.id);
        }
        self.references.retain(|(_, child)| *child != id);
        Ok(table)
    }

    fn add_sequence(&mut self, sequence: &Sequence) -> Result<(), CatalogError> {
        self.name(sequence.schema, &sequence.name, Relation::Sequence(sequence.id))?;
        self.reserve(sequence.id.0.max(sequence.storage.0));
        self.sequences.insert(sequence.id, Arc::new(sequence.clone()));
        Ok(())
    }

    fn remove_sequence(&mut self, id: TableId) -> Result<(), CatalogError> {
        let sequence = self.sequences.remove(&id).ok_or(CatalogError::Missing("sequence", id.0))?;
        self.names.remove(&(sequence.schema, sequence.name.clone()));
        Ok(())
    }

    fn name(&mut self, schema: SchemaId, name: &str, relation: Relation) -> Result<(), CatalogError> {
        if !self.schemas.contains_key(&schema) {
            return Err(CatalogError::Missing("schema", schema.0));
        }
        match self.names.insert((schema, name.to_owned()), relation) {
            None => Ok(()),
            Some(_) => Err(CatalogError::DuplicateRelation(name.to_owned())),
        }
    }

    /// The stored form: JSON, so that a stranger can read it out of a manifest.
    pub fn encode(&self) -> Vec<u8> {
        let stored = Stored {
            format: FORMAT,
            next_oid: self.next_oid,
            databases: self.databases.values().map(|d| d.as_ref().clone()).collect(),
            schemas: self.schemas.values().map(|s| s.as_ref().clone()).collect(),
            tables: self.tables.values().map(|t| t.as_ref().clone()).collect(),
            views: self.views.values().map(|v| v.as_ref().clone()).collect(),
            sequences: self.sequences.values().map(|s| s.as_ref().clone()).collect(),
        };
        serde_json::to_vec(&stored).expect("definitions have string keys only")
    }

    /// Reads the stored form. Errors: `Malformed`, also for a format newer than this version knows, and what [`Catalog::apply`]
    /// refuses.
    pub fn decode(bytes: &[u8]) -> Result<Catalog, CatalogError> {
        let stored: Stored = serde_json::from_slice(bytes).map_err(|e| CatalogError::Malformed(e.to_string()))?;
        if stored.format != FORMAT {
            return Err(CatalogError::Malformed(format!("format {} is not {FORMAT}", stored.format)));
        }
        let edits = (stored.databases.into_iter().map(Edit::CreateDatabase))
            .chain(stored.schemas.into_iter().map(Edit::CreateSchema))
            .chain(stored.tables.into_iter().map(Edit::CreateTable))
            .chain(stored.views.into_iter().map(Edit::CreateView))
            .chain(stored.sequences.into_iter().map(Edit::CreateSequence))
            .chain([Edit::ReserveOids(stored.next_oid)]);
        let mut catalog = Catalog {
            next_oid: Oid::FIRST_USER.0,
            databases: BTreeMap::new(),
            schemas: BTreeMap::new(),
            tables: BTreeMap::new(),
            hidden: BTreeMap::new(),
            references: BTreeSet::new(),
            views: BTreeMap::new(),
            sequences: BTreeMap::new(),
            names: BTreeMap::new(),
        };
        for edit in edits {
            catalog = catalog.apply(&edit)?;
        }
        Ok(catalog)
    }
}

fn in_use(kind: &str, name: &str, by_kind: &str, by: &str) -> CatalogError {
    CatalogError::InUse(format!("{kind} \"{name}\""), format!("{by_kind} \"{by}\""))
}

#[cfg(test)]
mod tests {
    use types::{ColumnId, SqlType};

    use super::*;
    use crate::constraint::{Action, Deferral, ForeignKey};
    use crate::definition::{Column, PrimaryKey};
    use crate::index::{Index, IndexColumn, IndexSource, UniqueConstraint};
    use crate::sequence::SequenceOwner;

    fn table(id: u32, name: &str, key: Option<&str>) -> Table {
        let column = |id, name: &str, data_type| Column {
            id: ColumnId(id),
            name: name.into(),
            data_type,
            not_null: id == 1,
            default: None,
            identity: None,
            generated: None,
        };
        Table {
            id: TableId(id),
            schema: SchemaId(2200),
            name: name.into(),
            columns: vec![
                column(1, "a", SqlType::Int4),
                column(2, "b", SqlType::Varchar(10)),
                column(3, "c", SqlType::Numeric { precision: 15, scale: 2 }),
            ],
            primary_key: key.map(|name| PrimaryKey { id: Oid(id + 1), name: name.into(), columns: vec![0] }),
            ..Table::default()
        }
    }

    fn index(id: u32, name: &str, nullable: bool) -> Index {
        let source = IndexSource::Column(ColumnId(2));
        let data_type = SqlType::Varchar(10);
        let column = IndexColumn { source, data_type, nullable, descending: true, nulls_first: true };
        let constraint = Some(UniqueConstraint { id: Oid(id + 1), deferral: Deferral::Immediate, primary: true });
        Index {
            id: TableId(id),
            name: name.into(),
            columns: vec![column],
            unique: true,
            nulls_not_distinct: false,
            predicate: Some("a > 0".into()),
            constraint,
        }
    }

    #[test]
    fn indexes_have_names_and_hidden_tables_and_go_with_their_table() {
        let mut with = table(20000, "t", Some("t_pkey"));
        let catalog = Catalog::new().apply(&Edit::CreateTable(with.clone())).unwrap();
        with.indexes.push(index(20010, "t_b_key", true));
        let catalog = catalog.apply(&Edit::AlterTable(with.clone())).unwrap();
        assert_eq!(catalog.relation(SchemaId(2200), "t_b_key"), Some(Relation::Index(TableId(20010))));
        assert_eq!(catalog.stored_tables().count(), 2);
        assert_eq!(catalog.stored_table(TableId(20010)).unwrap().key_order.len(), 1);
        assert_eq!(catalog.next_oid(), 20012);
        let taken = Edit::CreateTable(table(20020, "t_b_key", None));
        assert_eq!(catalog.apply(&taken), Err(CatalogError::DuplicateRelation("t_b_key".into())));
        assert_eq!(Catalog::decode(&catalog.encode()).unwrap(), catalog);
        with.indexes.clear();
        let without = catalog.apply(&Edit::AlterTable(with)).unwrap();
        assert!(without.apply(&taken).is_ok());
        assert_eq!(without.stored_tables().count(), 1);
        let dropped = catalog.apply(&Edit::DropTable(20000)).unwrap();
        assert_eq!(dropped.stored_tables().count(), 0);
        assert!(dropped.apply(&taken).is_ok());
    }

    #[test]
    fn a_referenced_table_cannot_be_dropped_before_its_references() {
        let mut child = table(20010, "child", None);
        let parent = table(20000, "parent", Some("parent_pkey"));
        let key = |target| ForeignKey {
            id: Oid(20011),
            name: "child_a_fkey".into(),
            columns: vec![ColumnId(1)],
            target: TableId(target),
            target_columns: vec![ColumnId(1)],
            match_full: false,
            on_delete: Action::Cascade,
            delete_sets: vec![],
            on_update: Action::Nothing,
            deferral: Deferral::Deferred,
            validated: true,
        };
        child.foreign_keys.push(key(20000));
        let catalog = Catalog::new().apply(&Edit::CreateTable(parent)).unwrap();
        let catalog = catalog.apply(&Edit::CreateTable(child.clone())).unwrap();
        assert_eq!(Catalog::decode(&catalog.encode()).unwrap(), catalog);
        assert!(matches!(catalog.apply(&Edit::DropTable(20000)), Err(CatalogError::InUse(..))));
        child.foreign_keys = vec![key(20010)];
        let catalog = catalog.apply(&Edit::AlterTable(child)).unwrap();
        let catalog = catalog.apply(&Edit::DropTable(20000)).unwrap();
        assert!(catalog.apply(&Edit::DropTable(20010)).is_ok(), "a reference to itself does not count");
    }

    #[test]
    fn a_definition_from_before_indexes_is_read() {
        let old = r#"{"CreateTable":{"id":20000,"schema":2200,"name":"t","columns":[{"id":1,"name":"a","data_type":"integer",
            "not_null":true,"default":null}],"primary_key":{"id":20001,"name":"t_pkey","columns":[0]}}}"#;
        let edit: Edit = serde_json::from_str(old).unwrap();
        let catalog = Catalog::new().apply(&edit).unwrap();
        let read = catalog.table_by_id(TableId(20000)).unwrap();
        assert!(read.indexes.is_empty() && read.checks.is_empty() && read.foreign_keys.is_empty());
        let written: serde_json::Value = serde_json::to_value(&edit).unwrap();
        assert_eq!(written, serde_json::from_str::<serde_json::Value>(old).unwrap(), "and written as it was");
    }

    #[test]
    fn a_generated_column_is_stored() {
        let mut with = table(20000, "t", None);
        with.columns[1].generated = Some("a * 2".into());
        let catalog = Catalog::new().apply(&Edit::CreateTable(with)).unwrap();
        let read = Catalog::decode(&catalog.encode()).unwrap();
        assert_eq!(read, catalog);
        assert!(read.table_by_id(TableId(20000)).unwrap().columns[1].is_generated_always());
    }

    #[test]
    fn relations_share_one_namespace() {
        let catalog = Catalog::new().apply(&Edit::CreateTable(table(20000, "t", Some("t_pkey")))).unwrap();
        for name in ["t", "t_pkey"] {
            assert_eq!(
                catalog.apply(&Edit::CreateTable(table(20010, name, None))),
                Err(CatalogError::DuplicateRelation(name.into()))
            );
        }
        assert_eq!(catalog.next_oid(), 20002);
        let dropped = catalog.apply(&Edit::DropTable(20000)).unwrap();
        assert!(dropped.apply(&Edit::CreateTable(table(20010, "t_pkey", None))).is_ok());
        assert_eq!(dropped.next_oid(), 20002, "ids are not reused");
    }

    #[test]
    fn sequences_share_the_namespace_and_are_stored() {
        let sequence = |id, name: &str| Sequence {
            id: TableId(id),
            schema: SchemaId(2200),
            name: name.into(),
            data_type: SqlType::Int8,
            increment: 1,
            min: 1,
            max: i64::MAX,
            start: 1,
            cache: 1,
            cycle: false,
            owner: Some(SequenceOwner { table: TableId(20000), column: ColumnId(1) }),
            storage: TableId(id + 1),
            first: 1,
        };
        let catalog = Catalog::new().apply(&Edit::CreateTable(table(20000, "t", None))).unwrap();
        assert_eq!(catalog.apply(&Edit::CreateSequence(sequence(20010, "t"))), Err(CatalogError::DuplicateRelation("t".into())));
        let catalog = catalog.apply(&Edit::CreateSequence(sequence(20010, "s"))).unwrap();
        assert_eq!(catalog.relation(SchemaId(2200), "s"), Some(Relation::Sequence(TableId(20010))));
        assert_eq!(catalog.sequences_owned_by(TableId(20000)).count(), 1);
        assert_eq!(catalog.next_oid(), 20012, "the storage's id is taken, too");
        assert_eq!(Catalog::decode(&catalog.encode()).unwrap(), catalog);
        let renamed = catalog.apply(&Edit::AlterSequence(sequence(20010, "u"))).unwrap();
        assert_eq!(renamed.relation(SchemaId(2200), "s"), None);
        let dropped = renamed.apply(&Edit::DropSequence(20010)).unwrap();
        assert!(dropped.apply(&Edit::CreateSequence(sequence(20020, "u"))).is_ok());
        assert_eq!(dropped.apply(&Edit::DropSequence(20010)), Err(CatalogError::Missing("sequence", 20010)));
    }

    #[test]
    fn what_is_used_cannot_be_dropped() {
        let view = View {
            id: TableId(20005),
            schema: SchemaId(2200),
            name: "v".into(),
            query: "SELECT a FROM public.t".into(),
            columns: vec![],
            depends_on: vec![TableId(20000)],
        };
        let catalog = Catalog::new().apply(&Edit::CreateTable(table(20000, "t", None))).unwrap();
        let catalog = catalog.apply(&Edit::CreateView(view)).unwrap();
        assert!(matches!(catalog.apply(&Edit::DropTable(20000)), Err(CatalogError::InUse(..))));
        assert!(matches!(catalog.apply(&Edit::DropSchema(2200)), Err(CatalogError::InUse(..))));
        assert!(matches!(catalog.apply(&Edit::DropDatabase(5)), Err(CatalogError::InUse(..))));
        assert!(catalog.apply(&Edit::DropView(20005)).unwrap().apply(&Edit::DropTable(20000)).is_ok());
    }

    #[test]
    fn the_stored_form_gives_back_the_catalog() {
        let catalog = Catalog::new().apply(&Edit::CreateTable(table(20000, "t", Some("t_pkey")))).unwrap();
        let catalog = catalog.apply(&Edit::ReserveOids(30000)).unwrap();
        assert_eq!(Catalog::decode(&catalog.encode()).unwrap(), catalog);
        let bytes = catalog.encode();
        assert!(Catalog::decode(&bytes[..bytes.len() - 1]).is_err());
        assert!(Catalog::decode(b"{\"format\":2}").is_err());
    }
}

//! DROP.

use std::sync::Arc;

use catalog::{Catalog, Edit, Relation, Table, View};
use types::{SchemaId, SqlError, SqlState, TableId};

use crate::answer::Answer;
use crate::ddl::foreign_key::{Referring, referring};
use crate::ddl::names::{described, shown};
use crate::ddl::sequence::{defaults_of, described_default, identity_of};
use crate::names::{Name, SYSTEM_SCHEMAS, Scope};
use crate::notice::Notice;
use crate::parse::{Drop, ObjectKind, Statement};
use crate::session::Session;

impl ObjectKind {
    pub(crate) fn drop_tag(self) -> &'static str {
        match self {
            ObjectKind::Table => "DROP TABLE",
            ObjectKind::View => "DROP VIEW",
            ObjectKind::Schema => "DROP SCHEMA",
            ObjectKind::Database => "DROP DATABASE",
            ObjectKind::Index => "DROP INDEX",
            ObjectKind::Sequence => "DROP SEQUENCE",
        }
    }

    fn word(self) -> &'static str {
        match self {
            ObjectKind::Table => "table",
            ObjectKind::View => "view",
            ObjectKind::Schema => "schema",
            ObjectKind::Database => "database",
            ObjectKind::Index => "index",
            ObjectKind::Sequence => "sequence",
        }
    }
}

/// What goes of a relation.
enum Part {
    Whole,
    /// A foreign key of the table.
    Key,
    /// The DEFAULT of this column.
    Default(usize),
}

/// Something that goes because of what it depends on.
struct Cascaded {
    id: TableId,
    /// What of it.
    part: Part,
    what: String,
    because_of: String,
}

impl Session {
    pub(crate) fn drop_objects(&mut self, statement: &Statement, drop: &Drop) -> Result<Answer, SqlError> {
        let tag = drop.kind.drop_tag();
        if drop.kind == ObjectKind::Database {
            self.prevent_in_block(statement, tag)?;
        }
        if drop.concurrently {
            self.prevent_in_block(statement, "DROP INDEX CONCURRENTLY")?;
            if drop.names.len() > 1 {
                return Err(SqlError::unsupported("DROP INDEX CONCURRENTLY does not support dropping multiple objects"));
            }
            if drop.cascade {
                return Err(SqlError::unsupported("DROP INDEX CONCURRENTLY does not support CASCADE"));
            }
        }
        let catalog = self.begin_ddl();
        match drop.kind {
            ObjectKind::Database => {
                for name in &drop.names {
                    self.drop_database(&catalog, &name.name, drop.if_exists)?;
                }
            }
            ObjectKind::Schema => self.drop_schemas(&catalog, drop)?,
            ObjectKind::Table | ObjectKind::View | ObjectKind::Index | ObjectKind::Sequence => {
                self.drop_relations(&catalog, drop)?;
            }
        }
        Ok(Answer::Done(tag.into()))
    }

    /// The object is not there: a notice if that was foreseen, else an error.
    fn missing(&mut self, drop: &Drop, state: SqlState, name: &str) -> Result<(), SqlError> {
        let message = format!("{} \"{name}\" does not exist", drop.kind.word());
        if !drop.if_exists {
            return Err(SqlError::new(state, message));
        }
        self.notice(Notice::plain(format!("{message}, skipping")));
        Ok(())
    }

    fn drop_relations(&mut self, catalog: &Catalog, drop: &Drop) -> Result<(), SqlError> {
        let mut dropped: Vec<TableId> = Vec::new();
        let mut indexes: Vec<TableId> = Vec::new();
        for name in &drop.names {
            if drop.if_exists
                && let Some(schema) = &name.schema
                && catalog.schema(self.database, schema).is_none()
                && !SYSTEM_SCHEMAS.contains(&schema.as_str())
            {
                self.notice(Notice::plain(format!("schema \"{schema}\" does not exist, skipping")));
                continue;
            }
            if name.schema.as_deref().is_some_and(|schema| SYSTEM_SCHEMAS.contains(&schema)) {
                let message = format!("permission denied: \"{}\" is a system catalog", name.name);
                return Err(SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, message));
            }
            let scope = self.scope(catalog);
            match (drop.kind, scope.find(name)?) {
                (ObjectKind::Table, Some(Relation::Table(id)))
                | (ObjectKind::View, Some(Relation::View(id)))
                | (ObjectKind::Sequence, Some(Relation::Sequence(id))) => {
                    if let Some((table, at)) = identity_of(catalog, id) {
                        return Err(required_by_column(&scope, id, &table, at));
                    }
                    if !dropped.contains(&id) {
                        dropped.push(id);
                    }
                }
                (ObjectKind::Index, Some(Relation::Index(id))) => {
                    let table = catalog.table_of_index(id);
                    if let Some((table, index)) = table.and_then(|t| Some((t, t.index(id)?)))
                        && index.constraint.is_some()
                    {
                        return Err(required(&index.name, &table.name));
                    }
                    if !indexes.contains(&id) {
                        indexes.push(id);
                    }
                }
                (ObjectKind::Index, Some(Relation::PrimaryKey(id))) => {
                    return Err(required(&name.name, catalog.table_by_id(id).map_or("?", |t| t.name.as_str())));
                }
                (_, Some(found)) => return Err(wrong_kind(drop.kind, name, found)),
                (ObjectKind::Index, None) => self.missing(drop, SqlState::UNDEFINED_OBJECT, &name.name)?,
                (_, None) => self.missing(drop, SqlState::UNDEFINED_TABLE, &name.to_string())?,
            }
        }
        let mut cascaded = self.cascade(catalog, &dropped);
        cascaded.extend(referring_to(catalog, &self.scope(catalog), &dropped));
        cascaded.extend(calling(catalog, &self.scope(catalog), &dropped));
        if !cascaded.is_empty() && !drop.cascade {
            let first = dropped.first().map(|id| described(&self.scope(catalog), *id)).unwrap_or_default();
            return Err(still_needed(&first, &cascaded));
        }
        self.notice_cascade(&cascaded);
        self.drop_defaults(&cascaded)?;
        // What depends on something goes before it.
        let whole = cascaded.iter().rev().filter(|c| matches!(c.part, Part::Whole)).map(|c| c.id);
        for id in whole.chain(in_order(catalog, dropped)) {
            self.drop_relation(catalog, id)?;
        }
        indexes.into_iter().try_for_each(|id| self.drop_index(id, drop.cascade))
    }

    /// Lets columns have no DEFAULT any more that calls what is dropped.
    fn drop_defaults(&mut self, cascaded: &[Cascaded]) -> Result<(), SqlError> {
        for found in cascaded {
            let Part::Default(at) = found.part else { continue };
            let Some(table) = self.open_transaction()?.catalog().table_by_id(found.id).cloned() else { continue };
            let mut altered = table.as_ref().clone();
            altered.columns[at].default = None;
            self.edit(Edit::AlterTable(altered))?;
        }
        Ok(())
    }

    /// Drops a view, and those that read it.
    pub(super) fn drop_view_and_dependents(&mut self, view: &View) -> Result<(), SqlError> {
        let catalog = self.open_transaction()?.catalog();
        let cascaded = self.cascade(&catalog, &[view.id]);
        self.notice_cascade(&cascaded);
        let dependents = cascaded.iter().rev().map(|found| found.id).collect::<Vec<_>>();
        dependents.into_iter().chain([view.id]).try_for_each(|id| self.edit(Edit::DropView(id.0)))
    }

    /// Drops a view, a sequence, or a table with its sequences and the foreign keys that refer to it.
    fn drop_relation(&mut self, catalog: &Catalog, id: TableId) -> Result<(), SqlError> {
        if catalog.sequence_by_id(id).is_some() {
            // It may have gone with its table.
            let is_left = self.open_transaction()?.catalog().sequence_by_id(id).is_some();
            return if is_left { self.edit(Edit::DropSequence(id.0)) } else { Ok(()) };
        }
        if catalog.view_by_id(id).is_some() {
            return self.edit(Edit::DropView(id.0));
        }
        let now = self.open_transaction()?.catalog();
        if let Some(table) = now.table_by_id(id) {
            self.check_nothing_deferred(table, "DROP TABLE")?;
        }
        self.drop_foreign_keys(&referring(&now, id))?;
        self.edit(Edit::DropTable(id.0))?;
        now.sequences_owned_by(id).try_for_each(|sequence| self.edit(Edit::DropSequence(sequence.id.0)))
    }

    /// The views that read any of these relations, and those that read the views, and so on; none of them among the relations.
    fn cascade(&self, catalog: &Catalog, relations: &[TableId]) -> Vec<Cascaded> {
        let scope = self.scope(catalog);
        let mut found: Vec<Cascaded> = Vec::new();
        let mut next = 0;
        let mut queue: Vec<TableId> = relations.to_vec();
        while let Some(&id) = queue.get(next) {
            next += 1;
            for view in catalog.dependents_of(id) {
                if queue.contains(&view.id) {
                    continue;
                }
                queue.push(view.id);
                let what = format!("view {}", shown(&scope, view.schema, &view.name, Relation::View(view.id)));
                found.push(Cascaded { id: view.id, part: Part::Whole, what, because_of: described(&scope, id) });
            }
        }
        found
    }

    fn notice_cascade(&mut self, cascaded: &[Cascaded]) {
        match cascaded {
            [] => {}
            [one] => self.notice(Notice::plain(format!("drop cascades to {}", one.what))),
            several => {
                let mut notice = Notice::plain(format!("drop cascades to {} other objects", several.len()));
                let lines: Vec<String> = several.iter().map(|c| format!("drop cascades to {}", c.what)).collect();
                notice.message = notice.message.detail(lines.join("\n"));
                self.notice(notice);
            }
        }
    }

    fn drop_schemas(&mut self, catalog: &Catalog, drop: &Drop) -> Result<(), SqlError> {
        for name in &drop.names {
            if SYSTEM_SCHEMAS.contains(&name.name.as_str()) {
                let message = format!("cannot drop schema {} because it is required by the database system", name.name);
                return Err(SqlError::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message));
            }
            let Some(schema) = catalog.schema(self.database, &name.name).map(|s| s.id) else {
                self.missing(drop, SqlState::INVALID_SCHEMA_NAME, &name.name)?;
                continue;
            };
            let members = members(catalog, schema);
            let scope = self.scope(catalog);
            let because_of = format!("schema {}", name.name);
            let mut cascaded: Vec<Cascaded> = (members.iter())
                .map(|id| Cascaded { id: *id, part: Part::Whole, what: described(&scope, *id), because_of: because_of.clone() })
                .collect();
            cascaded.extend(self.cascade(catalog, &members));
            cascaded.extend(referring_to(catalog, &scope, &members));
            cascaded.extend(calling(catalog, &scope, &members));
            if !cascaded.is_empty() && !drop.cascade {
                return Err(still_needed(&because_of, &cascaded));
            }
            self.notice_cascade(&cascaded);
            self.drop_defaults(&cascaded)?;
            let whole = cascaded.iter().filter(|c| matches!(c.part, Part::Whole));
            let ids = in_order(catalog, whole.map(|c| c.id).collect());
            for id in ids {
                self.drop_relation(catalog, id)?;
            }
            self.edit(Edit::DropSchema(schema.0))?;
        }
        Ok(())
    }

    fn drop_database(&mut self, catalog: &Catalog, name: &str, if_exists: bool) -> Result<(), SqlError> {
        let Some(id) = catalog.database(name).map(|d| d.id) else {
            let message = format!("database \"{name}\" does not exist");
            if !if_exists {
                return Err(SqlError::new(SqlState::INVALID_CATALOG_NAME, message));
            }
            self.notice(Notice::plain(format!("{message}, skipping")));
            return Ok(());
        };
        if id == self.database {
            return Err(SqlError::new(SqlState::OBJECT_IN_USE, "cannot drop the currently open database"));
        }
        // Whoever is inside keeps it; whoever comes later finds it gone.
        let dropping = self.instance.registry().keep_out(id).map_err(|others| in_use(name, others))?;
        self.dropping.push(dropping);
        let schemas: Vec<SchemaId> = catalog.schemas_of(id).map(|s| s.id).collect();
        for schema in &schemas {
            for relation in in_order(catalog, members(catalog, *schema)) {
                self.drop_relation(catalog, relation)?;
            }
        }
        for schema in schemas {
            self.edit(Edit::DropSchema(schema.0))?;
        }
        self.edit(Edit::DropDatabase(id.0))
    }
}

fn in_use(name: &str, others: usize) -> SqlError {
    let detail = match others {
        1 => "There is 1 other session using the database.".to_owned(),
        n => format!("There are {n} other sessions using the database."),
    };
    let message = format!("database \"{name}\" is being accessed by other users");
    SqlError::new(SqlState::OBJECT_IN_USE, message).detail(detail)
}

/// The relations of a schema.
fn members(catalog: &Catalog, schema: SchemaId) -> Vec<TableId> {
    let relations = catalog.tables_of(schema).map(|t| t.id).chain(catalog.views_of(schema).map(|v| v.id));
    // Those of columns go with their tables.
    let sequences = catalog.sequences_of(schema).filter(|sequence| sequence.owner.is_none());
    relations.chain(sequences.map(|sequence| sequence.id)).collect()
}

/// The defaults of other tables that call these sequences, or those of these tables.
fn calling(catalog: &Catalog, scope: &Scope<'_>, dropped: &[TableId]) -> Vec<Cascaded> {
    let own = dropped.iter().filter(|id| catalog.sequence_by_id(**id).is_some()).copied();
    let owned = dropped.iter().flat_map(|id| catalog.sequences_owned_by(*id)).map(|sequence| sequence.id);
    let of = |sequence: TableId| {
        let because_of = described(scope, sequence);
        let others = defaults_of(catalog, sequence).into_iter().filter(|(table, _)| !dropped.contains(&table.id));
        let cascaded = |(table, at): (Arc<Table>, usize)| {
            let what = described_default(scope, &table, at);
            Cascaded { id: table.id, part: Part::Default(at), what, because_of: because_of.clone() }
        };
        others.map(cascaded).collect::<Vec<_>>()
    };
    own.chain(owned).flat_map(of).collect()
}

/// The sequence of an identity column cannot be dropped without it.
fn required_by_column(scope: &Scope<'_>, sequence: TableId, table: &Table, at: usize) -> SqlError {
    let column = format!("column {} of {}", table.columns[at].name, described(scope, table.id));
    let message = format!("cannot drop {} because {column} requires it", described(scope, sequence));
    SqlError::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message).hint(format!("You can drop {column} instead."))
}

/// Relations in an order in which they can be dropped: each view before what it reads.
fn in_order(catalog: &Catalog, mut ids: Vec<TableId>) -> Vec<TableId> {
    let mut ordered = Vec::with_capacity(ids.len());
    while !ids.is_empty() {
        let free = |id: TableId| !catalog.dependents_of(id).any(|view| view.id != id && ids.contains(&view.id));
        let next: Vec<TableId> = ids.iter().copied().filter(|id| free(*id)).collect();
        if next.is_empty() {
            // Definitions do not go in circles; if they did, the engine would name the one.
            ordered.append(&mut ids);
        }
        ids.retain(|id| !next.contains(id));
        ordered.extend(next);
    }
    ordered
}

/// The foreign keys of other tables that refer to these.
fn referring_to(catalog: &Catalog, scope: &Scope<'_>, dropped: &[TableId]) -> Vec<Cascaded> {
    let of = |id: &TableId| {
        let others = referring(catalog, *id).into_iter().filter(|referring| !dropped.contains(&referring.child.id));
        let because_of = described(scope, *id);
        let cascaded = |key: Referring| {
            let what = key.described();
            Cascaded { id: key.child.id, part: Part::Key, what, because_of: because_of.clone() }
        };
        others.map(cascaded).collect::<Vec<_>>()
    };
    dropped.iter().filter(|id| catalog.table_by_id(**id).is_some()).flat_map(of).collect()
}

fn still_needed(what: &str, cascaded: &[Cascaded]) -> SqlError {
    let lines: Vec<String> = cascaded.iter().map(|c| format!("{} depends on {}", c.what, c.because_of)).collect();
    let message = format!("cannot drop {what} because other objects depend on it");
    SqlError::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
        .detail(lines.join("\n"))
        .hint("Use DROP ... CASCADE to drop the dependent objects too.")
}

/// The index of a constraint cannot be dropped without it.
fn required(index: &str, table: &str) -> SqlError {
    let message = format!("cannot drop index {index} because constraint {index} on table {table} requires it");
    SqlError::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
        .hint(format!("You can drop constraint {index} on table {table} instead."))
}

fn wrong_kind(kind: ObjectKind, name: &Name, found: Relation) -> SqlError {
    let article = if kind == ObjectKind::Index { "an" } else { "a" };
    let message = format!("\"{}\" is not {article} {}", name.name, kind.word());
    let other = match found {
        Relation::Table(_) => "TABLE",
        Relation::View(_) => "VIEW",
        Relation::Sequence(_) => "SEQUENCE",
        Relation::PrimaryKey(_) | Relation::Index(_) => "INDEX",
    };
    let article = if other == "INDEX" { "an" } else { "a" };
    let error = SqlError::new(SqlState::WRONG_OBJECT_TYPE, message);
    error.hint(format!("Use DROP {other} to remove {article} {}.", other.to_ascii_lowercase()))
}

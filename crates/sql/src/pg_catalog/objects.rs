//! Rows about tables, views, columns, keys and schemas.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use catalog::{Catalog, IdentityKind, Schema, Sequence, Table, View};
use types::SqlType;

use super::cast;
use super::constraints;
use super::data;
use super::indexes::{self, AnIndex};
use super::kind;
use super::store::{Rows, Store};
use super::value::Value;
use crate::ddl::sequence::{self, with_names};
use crate::deparse;

/// The oids of what is the same in every database.
pub(crate) const PG_CATALOG: u32 = 11;
/// `information_schema`'s, as `data/pg_type.tsv` has it.
pub(crate) const INFORMATION_SCHEMA: u32 = 13207;
const PG_TOAST: u32 = 99;
/// Owner of everything: the one superuser.
pub(crate) const OWNER: i64 = 10;
const HEAP: i64 = 2;
const BTREE: i64 = 403;
pub(super) const PG_CLASS: i64 = 1259;
const PG_REWRITE: i64 = 2618;
const PG_ATTRDEF: i64 = 2604;

/// A relation of the session's database, by whatever it is.
#[derive(Clone, Copy)]
pub(crate) enum Object<'a> {
    Table(&'a Arc<Table>),
    Index(&'a Arc<Table>, AnIndex<'a>),
    View(&'a Arc<View>),
    Sequence(&'a Arc<Sequence>),
    System(&'static data::Shape),
}

impl Object<'_> {
    pub(crate) fn name(&self) -> &str {
        match self {
            Object::Table(table) => &table.name,
            Object::Index(table, index) => index.name(table),
            Object::View(view) => &view.name,
            Object::Sequence(sequence) => &sequence.name,
            Object::System(shape) => shape.name,
        }
    }

    pub(crate) fn schema<'a>(&self, catalog: &'a Catalog) -> &'a str {
        let id = match self {
            Object::Table(table) | Object::Index(table, _) => table.schema,
            Object::View(view) => view.schema,
            Object::Sequence(sequence) => sequence.schema,
            Object::System(shape) => return shape.schema,
        };
        catalog.schema_by_id(id).map_or("", |schema| &schema.name)
    }
}

/// The relation with an oid.
pub(crate) fn object(catalog: &Catalog, oid: u32) -> Option<Object<'_>> {
    if let Some(table) = catalog.table_by_id(types::TableId(oid)) {
        return Some(Object::Table(table));
    }
    if let Some(view) = catalog.view_by_id(types::TableId(oid)) {
        return Some(Object::View(view));
    }
    if let Some(sequence) = catalog.sequence_by_id(types::TableId(oid)) {
        return Some(Object::Sequence(sequence));
    }
    if let Some(shape) = data::shapes().iter().find(|shape| shape.oid == oid) {
        return Some(Object::System(shape));
    }
    catalog.tables().find_map(|table| indexes::of(table).find(|index| index.oid(table) == oid).map(|i| Object::Index(table, i)))
}

/// The oid of a relation by its name in a schema.
pub(crate) fn relation_oid(store: &Store, schema: &str, name: &str) -> Option<u32> {
    if let Some(shape) = data::shape(schema, name) {
        return Some(shape.oid);
    }
    let moment = &store.moment;
    let schema = moment.catalog.schema(moment.database, schema)?;
    match moment.catalog.relation(schema.id, name)? {
        catalog::Relation::Table(id) | catalog::Relation::View(id) => Some(id.0),
        catalog::Relation::Index(id) | catalog::Relation::Sequence(id) => Some(id.0),
        catalog::Relation::PrimaryKey(id) => Some(moment.catalog.table_by_id(id)?.primary_key.as_ref()?.id.0),
    }
}

/// The schemas names are looked up in: `pg_catalog` first unless it is listed.
pub(crate) fn search_path(store: &Store) -> Vec<&str> {
    let path = &store.moment.search_path;
    let implicit = (!path.iter().any(|s| s == "pg_catalog")).then_some("pg_catalog");
    implicit.into_iter().chain(path.iter().map(String::as_str)).collect()
}

/// Every schema of the session's database: name and oid.
pub(crate) fn schemas(store: &Store) -> impl Iterator<Item = (&str, u32)> {
    let moment = &store.moment;
    let system = [("pg_catalog", PG_CATALOG), ("pg_toast", PG_TOAST), ("information_schema", INFORMATION_SCHEMA)];
    system.into_iter().chain(moment.catalog.schemas_of(moment.database).map(|s| (s.name.as_str(), s.id.0)))
}

/// The oid of a function of `pg_catalog`; of the one with the smallest oid if there are several.
pub(crate) fn function_oid(name: &str) -> Option<u32> {
    static OIDS: LazyLock<HashMap<&'static str, u32>> = LazyLock::new(|| {
        let mut oids = HashMap::new();
        for line in data::table("pg_proc").iter().flat_map(data::Table::lines) {
            let mut cells = data::cells_raw(line);
            if let (Some(oid), Some(name)) = (cells.next().and_then(|oid| oid.parse().ok()), cells.next()) {
                oids.entry(name).or_insert(oid);
            }
        }
        oids
    });
    OIDS.get(name.strip_prefix("pg_catalog.").unwrap_or(name)).copied()
}

/// The name of a function of `pg_catalog`.
pub(crate) fn function_name(oid: u32) -> Option<&'static str> {
    static NAMES: LazyLock<HashMap<u32, &'static str>> = LazyLock::new(|| {
        let entry = |line: &'static str| {
            let mut cells = data::cells_raw(line);
            Some((cells.next()?.parse().ok()?, cells.next()?))
        };
        data::table("pg_proc").iter().flat_map(data::Table::lines).filter_map(entry).collect()
    });
    NAMES.get(&oid).copied()
}

/// Whether a function's value depends on its arguments alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Volatility {
    /// Always.
    Immutable,
    /// For some types of arguments.
    Mixed,
    /// Never.
    Other,
}

/// What `pg_proc` says of the functions with a name; those it does not have are syntax.
pub(crate) fn volatility(name: &str) -> Volatility {
    static IMMUTABLE: LazyLock<HashMap<&'static str, Volatility>> = LazyLock::new(|| {
        let mut found: HashMap<&'static str, Volatility> = HashMap::new();
        for line in data::table("pg_proc").iter().flat_map(data::Table::lines) {
            let mut cells = data::cells_raw(line);
            let (Some(name), Some(volatile)) = (cells.nth(1), cells.nth(12)) else { continue };
            let of_one = if volatile == "i" { Volatility::Immutable } else { Volatility::Other };
            found
                .entry(name)
                .and_modify(|known| *known = if *known == of_one { of_one } else { Volatility::Mixed })
                .or_insert(of_one);
        }
        found
    });
    let is_clock_or_user =
        name.starts_with("current_") || matches!(name, "localtime" | "localtimestamp" | "session_user" | "user");
    let syntax = if is_clock_or_user { Volatility::Other } else { Volatility::Immutable };
    IMMUTABLE.get(name).copied().unwrap_or(syntax)
}

/// Adds the rows of a relation that this module knows.
pub(crate) fn fill(store: &Store, relation: &str, rows: &mut Rows) {
    match relation {
        "pg_namespace" => namespaces(store, rows),
        "pg_class" => classes(store, rows),
        "pg_attribute" => attributes(store, rows),
        "pg_attrdef" => defaults(store, rows),
        "pg_sequence" => sequence_rows(store, rows),
        "pg_index" => indexes::fill_indexes(store, rows),
        "pg_constraint" => constraints::fill_constraints(store, rows),
        "pg_rewrite" => rewrites(store, rows),
        "pg_depend" => {
            dependencies(store, rows);
            constraints::fill_dependencies(store, rows);
        }
        _ => {}
    }
}

fn here<'a>(store: &'a Store) -> impl Iterator<Item = &'a Arc<Schema>> + 'a {
    store.moment.catalog.schemas_of(store.moment.database)
}

pub(super) fn tables(store: &Store) -> impl Iterator<Item = &Arc<Table>> {
    here(store).flat_map(|schema| store.moment.catalog.tables_of(schema.id))
}

fn views(store: &Store) -> impl Iterator<Item = &Arc<View>> {
    here(store).flat_map(|schema| store.moment.catalog.views_of(schema.id))
}

fn sequences(store: &Store) -> impl Iterator<Item = &Arc<Sequence>> {
    here(store).flat_map(|schema| store.moment.catalog.sequences_of(schema.id))
}

fn namespaces(store: &Store, rows: &mut Rows) {
    for (name, oid) in schemas(store) {
        rows.push([("oid", oid.int()), ("nspname", Value::text(name)), ("nspowner", Value::Int(OWNER))]);
    }
}

pub(super) trait AsValue {
    fn int(self) -> Value;
}

impl AsValue for u32 {
    fn int(self) -> Value {
        Value::Int(self.into())
    }
}

pub(super) fn count(n: usize) -> Value {
    Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

fn classes(store: &Store, rows: &mut Rows) {
    for shape in data::shapes() {
        let namespace = if shape.schema == "pg_catalog" { PG_CATALOG } else { INFORMATION_SCHEMA };
        let table = shape.relkind == "r";
        rows.push([
            ("oid", shape.oid.int()),
            ("relname", Value::text(shape.name)),
            ("relnamespace", namespace.int()),
            ("relowner", Value::Int(OWNER)),
            ("relam", Value::Int(if table { HEAP } else { 0 })),
            ("relpersistence", Value::text("p")),
            ("relkind", Value::text(shape.relkind)),
            ("relnatts", count(shape.columns().count())),
            ("relispopulated", Value::Bool(true)),
            ("relhasrules", Value::Bool(!table)),
            ("relreplident", Value::text("n")),
            ("relpages", Value::Int(0)),
        ]);
    }
    let has_references = |table| store.moment.catalog.references_to(table).next().is_some();
    for table in tables(store) {
        let (live, bytes) = size_of(store, table.id);
        rows.push([
            ("oid", table.id.0.int()),
            ("relname", Value::text(&table.name)),
            ("relnamespace", table.schema.0.int()),
            ("relowner", Value::Int(OWNER)),
            ("relam", Value::Int(HEAP)),
            ("relfilenode", table.id.0.int()),
            ("relpages", pages(bytes)),
            ("reltuples", Value::Float(live)),
            ("relhasindex", Value::Bool(indexes::of(table).next().is_some())),
            ("relpersistence", Value::text("p")),
            ("relkind", Value::text("r")),
            ("relnatts", count(table.columns.len())),
            ("relchecks", count(table.checks.len())),
            ("relhastriggers", Value::Bool(!table.foreign_keys.is_empty() || has_references(table.id))),
            ("relispopulated", Value::Bool(true)),
            ("relreplident", Value::text("d")),
        ]);
        for index in indexes::of(table) {
            let (live, bytes) = match index {
                AnIndex::PrimaryKey => (live, 0),
                AnIndex::Secondary(index) => size_of(store, index.id),
            };
            rows.push([
                ("oid", index.oid(table).int()),
                ("relname", Value::text(index.name(table))),
                ("relnamespace", table.schema.0.int()),
                ("relowner", Value::Int(OWNER)),
                ("relam", Value::Int(BTREE)),
                ("relfilenode", index.oid(table).int()),
                ("relpages", pages(bytes)),
                ("reltuples", Value::Float(live)),
                ("relpersistence", Value::text("p")),
                ("relkind", Value::text("i")),
                ("relnatts", count(index.parts(table).len())),
                ("relispopulated", Value::Bool(true)),
                ("relreplident", Value::text("n")),
            ]);
        }
    }
    for sequence in sequences(store) {
        rows.push([
            ("oid", sequence.id.0.int()),
            ("relname", Value::text(&sequence.name)),
            ("relnamespace", sequence.schema.0.int()),
            ("relowner", Value::Int(OWNER)),
            ("relfilenode", sequence.storage.0.int()),
            ("relpages", Value::Int(1)),
            ("reltuples", Value::Float(1.0)),
            ("relpersistence", Value::text("p")),
            ("relkind", Value::text("S")),
            ("relnatts", count(SEQUENCE_COLUMNS.len())),
            ("relispopulated", Value::Bool(true)),
            ("relreplident", Value::text("n")),
        ]);
    }
    for view in views(store) {
        rows.push([
            ("oid", view.id.0.int()),
            ("relname", Value::text(&view.name)),
            ("relnamespace", view.schema.0.int()),
            ("relowner", Value::Int(OWNER)),
            ("relpersistence", Value::text("p")),
            ("relkind", Value::text("v")),
            ("relnatts", count(view.columns.len())),
            ("relhasrules", Value::Bool(true)),
            ("relispopulated", Value::Bool(true)),
            ("relreplident", Value::text("n")),
        ]);
    }
}

/// Rows and bytes of a table, or of an index.
fn size_of(store: &Store, id: types::TableId) -> (f64, u64) {
    let Some(figures) = store.status().tables.iter().find(|t| t.table == id) else { return (0.0, 0) };
    let live = figures.delta_rows as f64 + figures.segment_rows as f64 - figures.segment_rows_dead as f64;
    (live.max(0.0), figures.delta_bytes + figures.segment_bytes)
}

fn pages(bytes: u64) -> Value {
    Value::Int(i64::try_from(bytes.div_ceil(8192)).unwrap_or(i64::MAX))
}

/// What a row of `pg_attribute` says.
struct Attribute<'a> {
    relation: u32,
    name: &'a str,
    kind: kind::Kind,
    typmod: i32,
    number: i64,
    not_null: bool,
    has_default: bool,
    identity: &'static str,
    generated: &'static str,
    system: bool,
}

fn attribute(rows: &mut Rows, a: &Attribute<'_>) {
    let info = kind::info(a.kind);
    let collation = match (info.map_or(0, |i| i.collation), a.system) {
        // Names and texts of the system relations are in collation C.
        (0, _) => 0,
        (_, true) => 950,
        (other, false) => other,
    };
    rows.push([
        ("attrelid", a.relation.int()),
        ("attname", Value::text(a.name)),
        ("atttypid", a.kind.int()),
        ("attstattarget", Value::Int(-1)),
        ("attlen", Value::Int(info.map_or(-1, |i| i.len))),
        ("attnum", Value::Int(a.number)),
        ("attcacheoff", Value::Int(-1)),
        ("atttypmod", Value::Int(a.typmod.into())),
        ("attbyval", Value::Bool(info.is_some_and(|i| i.by_value))),
        ("attalign", Value::text(info.map_or("i", |i| i.align))),
        ("attstorage", Value::text(info.map_or("p", |i| i.storage))),
        ("attnotnull", Value::Bool(a.not_null)),
        ("atthasdef", Value::Bool(a.has_default)),
        ("attidentity", Value::text(a.identity)),
        ("attgenerated", Value::text(a.generated)),
        ("attislocal", Value::Bool(true)),
        ("attcollation", Value::Int(collation)),
    ]);
}

fn attributes(store: &Store, rows: &mut Rows) {
    for shape in data::shapes() {
        for (number, column) in (1..).zip(shape.columns()) {
            let kind = kind::by_name(column.type_name).unwrap_or(kind::TEXT);
            let (relation, name, not_null) = (shape.oid, column.name, column.not_null);
            let system = true;
            let (has_default, identity, generated) = (false, "", "");
            let typmod = -1;
            attribute(
                rows,
                &Attribute { relation, name, kind, typmod, number, not_null, has_default, identity, generated, system },
            );
        }
    }
    let column = |rows: &mut Rows, relation, number, c: &catalog::Column, not_null, has_default| {
        let (kind, typmod) = (c.data_type.oid(), c.data_type.typmod());
        let (name, system) = (c.name.as_str(), false);
        let identity = match c.identity.map(|identity| identity.kind) {
            None => "",
            Some(IdentityKind::Always) => "a",
            Some(IdentityKind::ByDefault) => "d",
        };
        let generated = if c.generated.is_some() { "s" } else { "" };
        attribute(rows, &Attribute { relation, name, kind, typmod, number, not_null, has_default, identity, generated, system });
    };
    for table in tables(store) {
        for c in &table.columns {
            column(rows, table.id.0, i64::from(c.id.0), c, c.not_null, c.default.is_some() || c.generated.is_some());
        }
        for index in indexes::of(table) {
            for (number, part) in (1..).zip(index.parts(table)) {
                let (kind, typmod, name) = (part.data_type.oid(), part.data_type.typmod(), part.name.as_str());
                let relation = index.oid(table);
                let (not_null, has_default, identity, generated, system) = (false, false, "", "", false);
                attribute(
                    rows,
                    &Attribute { relation, name, kind, typmod, number, not_null, has_default, identity, generated, system },
                );
            }
        }
    }
    for sequence in sequences(store) {
        for (number, (name, kind)) in (1..).zip(SEQUENCE_COLUMNS) {
            let (relation, typmod, not_null, has_default) = (sequence.id.0, -1, true, false);
            let (identity, generated, system) = ("", "", false);
            attribute(
                rows,
                &Attribute { relation, name, kind, typmod, number, not_null, has_default, identity, generated, system },
            );
        }
    }
    for view in views(store) {
        for (number, c) in (1..).zip(&view.columns) {
            column(rows, view.id.0, number, c, false, false);
        }
    }
}

/// The columns of a sequence as a relation.
pub(crate) const SEQUENCE_COLUMNS: [(&str, kind::Kind); 3] =
    [("last_value", kind::INT8), ("log_cnt", kind::INT8), ("is_called", kind::BOOL)];

fn sequence_rows(store: &Store, rows: &mut Rows) {
    for sequence in sequences(store) {
        rows.push([
            ("seqrelid", sequence.id.0.int()),
            ("seqtypid", sequence.data_type.oid().int()),
            ("seqstart", Value::Int(sequence.start)),
            ("seqincrement", Value::Int(sequence.increment)),
            ("seqmax", Value::Int(sequence.max)),
            ("seqmin", Value::Int(sequence.min)),
            ("seqcache", Value::Int(sequence.cache)),
            ("seqcycle", Value::Bool(sequence.cycle)),
        ]);
    }
}

/// A default as PostgreSQL shows it: a string constant with its type.
fn shown_default(text: &str, data_type: SqlType) -> String {
    let inner = text.strip_prefix('\'').and_then(|t| t.strip_suffix('\''));
    match inner {
        Some(inner) if data_type == SqlType::Int4 && inner.bytes().all(|byte| byte.is_ascii_digit()) => inner.to_owned(),
        Some(inner) if !inner.replace("''", "").contains('\'') => {
            let name = match data_type {
                SqlType::Char(_) => "bpchar".to_owned(),
                other => kind::format(other.oid(), None),
            };
            format!("{text}::{name}")
        }
        _ => text.to_owned(),
    }
}

fn defaults(store: &Store, rows: &mut Rows) {
    let name = |id: types::TableId| Some(cast::qualified(store, &object(&store.moment.catalog, id.0)?));
    for table in tables(store) {
        for column in &table.columns {
            let text = match (&column.default, &column.generated) {
                (Some(default), _) => with_names(&shown_default(default, column.data_type), name),
                (None, Some(generated)) => shown_default(generated, column.data_type),
                (None, None) => continue,
            };
            rows.push([
                ("oid", default_oid(table, column)),
                ("adrelid", table.id.0.int()),
                ("adnum", Value::Int(column.id.0.into())),
                ("adbin", Value::text(text)),
            ]);
        }
    }
}

/// A default has no oid of its own: no two of one table are equal.
fn default_oid(table: &Table, column: &catalog::Column) -> Value {
    Value::Int(i64::from(table.id.0) + i64::from(column.id.0))
}

/// A view's rule, with the view's own oid.
fn rewrites(store: &Store, rows: &mut Rows) {
    for view in views(store) {
        rows.push([
            ("oid", view.id.0.int()),
            ("rulename", Value::text("_RETURN")),
            ("ev_class", view.id.0.int()),
            ("ev_type", Value::text("1")),
            ("ev_enabled", Value::text("O")),
            ("is_instead", Value::Bool(true)),
        ]);
    }
}

/// Which relations views read, which columns sequences go with, and which sequences defaults call.
fn dependencies(store: &Store, rows: &mut Rows) {
    for table in tables(store) {
        for column in &table.columns {
            let Some(generated) = &column.generated else { continue };
            let read = deparse::columns(generated, table).into_iter().map(|id| (id, "a"));
            for (id, how) in read.chain([(column.id, "i")]) {
                rows.push([
                    ("classid", Value::Int(PG_ATTRDEF)),
                    ("objid", default_oid(table, column)),
                    ("refclassid", Value::Int(PG_CLASS)),
                    ("refobjid", table.id.0.int()),
                    ("refobjsubid", Value::Int(id.0.into())),
                    ("deptype", Value::text(how)),
                ]);
            }
        }
    }
    for sequence in sequences(store) {
        let identity = sequence::identity_of(&store.moment.catalog, sequence.id).is_some();
        if let Some(owner) = sequence.owner {
            rows.push([
                ("classid", Value::Int(PG_CLASS)),
                ("objid", sequence.id.0.int()),
                ("refclassid", Value::Int(PG_CLASS)),
                ("refobjid", owner.table.0.int()),
                ("refobjsubid", Value::Int(owner.column.0.into())),
                ("deptype", Value::text(if identity { "i" } else { "a" })),
            ]);
        }
        for (table, column) in sequence::defaults_of(&store.moment.catalog, sequence.id) {
            rows.push([
                ("classid", Value::Int(PG_ATTRDEF)),
                ("objid", default_oid(&table, &table.columns[column])),
                ("refclassid", Value::Int(PG_CLASS)),
                ("refobjid", sequence.id.0.int()),
                ("deptype", Value::text("n")),
            ]);
        }
    }
    for view in views(store) {
        let reads = view.depends_on.iter().map(|id| (id.0, "n"));
        for (referenced, how) in reads.chain([(view.id.0, "i")]) {
            rows.push([
                ("classid", Value::Int(PG_REWRITE)),
                ("objid", view.id.0.int()),
                ("refclassid", Value::Int(PG_CLASS)),
                ("refobjid", referenced.int()),
                ("deptype", Value::text(how)),
            ]);
        }
    }
}

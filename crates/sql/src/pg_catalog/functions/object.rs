//! What relations, types and users are called, how they are defined, how big they are, who may do what with them.

use types::SqlError;

use super::{Function, integer, string};
use crate::deparse::Style;
use crate::pg_catalog::cast;
use crate::pg_catalog::constraints;
use crate::pg_catalog::indexes;
use crate::pg_catalog::kind::{self, Kind};
use crate::pg_catalog::objects::{self, Object};
use crate::pg_catalog::run::Run;
use crate::pg_catalog::server;
use crate::pg_catalog::store::Store;
use crate::pg_catalog::value::Value;

pub(super) fn find(name: &str, kinds: &[Kind]) -> Option<Function> {
    let f = Function::strict;
    let null: super::Body = |_, _, _| Ok(Value::Null);
    let yes: super::Body = |_, _, _| Ok(Value::Bool(true));
    Some(match (name, kinds.len()) {
        ("format_type", 2) => Function::lax(kind::TEXT, format_type),
        ("pg_get_expr", 2 | 3) => f(kind::TEXT, written_back),
        ("pg_get_indexdef", 1) => f(kind::TEXT, index_definition),
        ("pg_get_indexdef", 3) => f(kind::TEXT, index_definition),
        ("pg_get_constraintdef", 1 | 2) => f(kind::TEXT, constraint_definition),
        ("pg_get_viewdef", 1 | 2) => f(kind::TEXT, view_definition),
        ("pg_get_userbyid", 1) => f(kind::NAME, |run, args, _| Ok(user_name(run.store, integer(args, 0)))),
        ("pg_table_is_visible", 1) => f(kind::BOOL, |run, args, _| {
            let catalog = &run.store.moment.catalog;
            let object = args.first().and_then(Value::as_oid).and_then(|oid| objects::object(catalog, oid));
            Ok(object.map_or(Value::Null, |o| Value::Bool(cast::is_visible(run.store, o.schema(catalog), o.name()))))
        }),
        (
            "pg_type_is_visible"
            | "pg_function_is_visible"
            | "pg_operator_is_visible"
            | "pg_opclass_is_visible"
            | "pg_opfamily_is_visible"
            | "pg_collation_is_visible"
            | "pg_conversion_is_visible"
            | "pg_statistics_obj_is_visible"
            | "pg_ts_config_is_visible"
            | "pg_ts_dict_is_visible"
            | "pg_ts_parser_is_visible"
            | "pg_ts_template_is_visible",
            1,
        ) => f(kind::BOOL, yes),
        ("obj_description", 1 | 2) | ("col_description", 2) | ("shobj_description", 2) => f(
            kind::TEXT,
            match name {
                "obj_description" => |run, args, _| Ok(description(run, args, 0)),
                "col_description" => |run, args, _| Ok(description(run, args, integer(args, 1))),
                _ => |run, args, _| Ok(shared_description(run, args)),
            },
        ),
        ("pg_encoding_to_char", 1) => {
            f(kind::NAME, |_, args, _| Ok(Value::text(if integer(args, 0) == server::UTF8 { "UTF8" } else { "" })))
        }
        ("pg_char_to_encoding", 1) => f(kind::INT4, |_, args, _| {
            let known = matches!(string(args, 0).to_ascii_lowercase().as_str(), "utf8" | "utf-8" | "unicode");
            Ok(Value::Int(if known { server::UTF8 } else { -1 }))
        }),
        ("pg_table_size" | "pg_relation_size", 1 | 2) => f(kind::INT8, |run, args, _| Ok(relation_size(run.store, args, 1, 0))),
        ("pg_total_relation_size", 1) => f(kind::INT8, |run, args, _| Ok(relation_size(run.store, args, 1, 1))),
        ("pg_indexes_size", 1) => f(kind::INT8, |run, args, _| Ok(relation_size(run.store, args, 0, 1))),
        ("pg_database_size", 1) => f(kind::INT8, database_size),
        ("pg_tablespace_size", 1) => f(kind::INT8, |run, _, _| Ok(Value::Int(total_size(run.store)))),
        ("pg_size_pretty", 1) => f(kind::TEXT, |_, args, _| Ok(Value::text(pretty(integer(args, 0))))),
        ("pg_tablespace_location", 1) => f(kind::TEXT, |_, _, _| Ok(Value::text(""))),
        (
            "has_table_privilege"
            | "has_schema_privilege"
            | "has_database_privilege"
            | "has_function_privilege"
            | "has_sequence_privilege"
            | "has_tablespace_privilege"
            | "has_language_privilege"
            | "has_type_privilege"
            | "has_foreign_data_wrapper_privilege"
            | "has_server_privilege"
            | "has_any_column_privilege",
            2 | 3,
        )
        | ("has_column_privilege", 3 | 4)
        | ("pg_has_role", 2 | 3) => f(kind::BOOL, yes),
        ("row_security_active", 1) => f(kind::BOOL, |_, _, _| Ok(Value::Bool(false))),
        ("to_regclass" | "to_regtype" | "to_regproc" | "to_regprocedure" | "to_regnamespace" | "to_regrole", 1) => {
            let returns = kind::by_name(name.strip_prefix("to_")?)?;
            f(
                returns,
                match returns {
                    kind::REGCLASS => |run, args, _| Ok(to_reg(run, args, kind::REGCLASS)),
                    kind::REGTYPE => |run, args, _| Ok(to_reg(run, args, kind::REGTYPE)),
                    kind::REGNAMESPACE => |run, args, _| Ok(to_reg(run, args, kind::REGNAMESPACE)),
                    kind::REGROLE => |run, args, _| Ok(to_reg(run, args, kind::REGROLE)),
                    _ => |run, args, _| Ok(to_reg(run, args, kind::REGPROC)),
                },
            )
        }
        ("pg_relation_is_publishable", 1) => f(kind::BOOL, |run, args, _| {
            let object = args.first().and_then(Value::as_oid).and_then(|oid| objects::object(&run.store.moment.catalog, oid));
            Ok(Value::Bool(matches!(object, Some(Object::Table(_)))))
        }),
        ("pg_relation_is_updatable", 2) => f(kind::INT4, |run, args, _| {
            let object = args.first().and_then(Value::as_oid).and_then(|oid| objects::object(&run.store.moment.catalog, oid));
            // INSERT, UPDATE and DELETE of tables; views are not written to.
            Ok(Value::Int(if matches!(object, Some(Object::Table(_))) { 28 } else { 0 }))
        }),
        ("pg_column_is_updatable", 3) => f(kind::BOOL, |run, args, _| {
            let object = args.first().and_then(Value::as_oid).and_then(|oid| objects::object(&run.store.moment.catalog, oid));
            Ok(Value::Bool(matches!(object, Some(Object::Table(_)))))
        }),
        ("pg_relation_filenode", 1) => f(kind::OID, |_, args, _| Ok(args.first().cloned().unwrap_or(Value::Null))),
        ("pg_get_function_result", 1) => f(kind::TEXT, |run, args, _| Ok(procedure(run.store, args, "prorettype"))),
        ("pg_get_function_arguments" | "pg_get_function_identity_arguments", 1) => {
            f(kind::TEXT, |run, args, _| Ok(procedure(run.store, args, "proargtypes")))
        }
        ("acldefault", 2) => f(kind::by_name("_aclitem")?, |run, args, _| Ok(default_privileges(run.store, args))),
        (
            "pg_get_partkeydef"
            | "pg_get_partition_constraintdef"
            | "pg_get_ruledef"
            | "pg_get_triggerdef"
            | "pg_get_functiondef"
            | "pg_get_serial_sequence"
            | "pg_get_statisticsobjdef"
            | "pg_get_statisticsobjdef_columns"
            | "pg_get_function_sqlbody"
            | "pg_describe_object"
            | "pg_identify_object"
            | "pg_get_function_arg_default",
            _,
        ) => f(kind::TEXT, null),
        ("pg_stat_get_lastscan", 1) => f(kind::INT8, null),
        ("pg_sequence_parameters", 1) => f(kind::RECORD, null),
        (name, 0 | 1) if name.starts_with("pg_stat_get_") => statistic(name),
        ("pg_partition_root", 1) => f(kind::REGCLASS, null),
        ("pg_indexam_has_property" | "pg_index_has_property", 2) | ("pg_index_column_has_property", 3) => f(kind::BOOL, yes),
        _ => return None,
    })
}

fn format_type(_: &Run<'_>, args: &[Value], _: &[Kind]) -> Result<Value, SqlError> {
    let Some(oid) = args.first().and_then(Value::as_oid) else { return Ok(Value::Null) };
    Ok(Value::text(kind::format(oid, args.get(1).and_then(Value::as_int))))
}

/// Expressions of indexes and CHECK are kept as they were written; defaults are shown already.
fn written_back(run: &Run<'_>, args: &[Value], _: &[Kind]) -> Result<Value, SqlError> {
    let object = args.get(1).and_then(Value::as_oid).and_then(|oid| objects::object(&run.store.moment.catalog, oid));
    let shown = match object {
        Some(Object::Table(table)) => indexes::written_back(table, string(args, 0), style(args, 2)),
        _ => None,
    };
    Ok(shown.map_or_else(|| args.first().cloned().unwrap_or(Value::Null), Value::text))
}

fn style(args: &[Value], at: usize) -> Style {
    if matches!(args.get(at), Some(Value::Bool(true))) { Style::Pretty } else { Style::Full }
}

fn index_definition(run: &Run<'_>, args: &[Value], _: &[Kind]) -> Result<Value, SqlError> {
    let catalog = &run.store.moment.catalog;
    let Some(Object::Index(table, index)) = args.first().and_then(Value::as_oid).and_then(|oid| objects::object(catalog, oid))
    else {
        return Ok(Value::Null);
    };
    let style = style(args, 2);
    if integer(args, 1) == 0 {
        return Ok(Value::text(index.definition(catalog, table, style, &objects::search_path(run.store))));
    }
    let at = usize::try_from(integer(args, 1) - 1).ok();
    Ok(Value::text(at.and_then(|at| index.part(table, at, style)).unwrap_or_default()))
}

fn constraint_definition(run: &Run<'_>, args: &[Value], _: &[Kind]) -> Result<Value, SqlError> {
    let catalog = &run.store.moment.catalog;
    let found = args.first().and_then(Value::as_oid).and_then(|oid| constraints::constraint(catalog, oid));
    let path = objects::search_path(run.store);
    Ok(found.map_or(Value::Null, |(table, constraint)| Value::text(constraint.definition(catalog, table, style(args, 1), &path))))
}

fn view_definition(run: &Run<'_>, args: &[Value], kinds: &[Kind]) -> Result<Value, SqlError> {
    let store = run.store;
    let oid = match (args.first(), kinds.first()) {
        (Some(Value::Text(name)), _) => cast::find_reg(store, name, kind::REGCLASS),
        (Some(value), _) => value.as_oid(),
        _ => None,
    };
    Ok(match oid.and_then(|oid| objects::object(&store.moment.catalog, oid)) {
        Some(Object::View(view)) => Value::text(format!(" {};", view.query.trim().trim_end_matches(';'))),
        Some(Object::System(shape)) => {
            crate::pg_catalog::data::view(shape.schema, shape.name).map_or(Value::Null, |text| Value::text(format!("{text};")))
        }
        _ => Value::Null,
    })
}

fn user_name(store: &Store, oid: i64) -> Value {
    let found = server::users(store).find(|(id, _)| *id == oid);
    Value::text(found.map_or_else(|| format!("unknown (OID={oid})"), |(_, name)| name.to_owned()))
}

/// `pg_description` of an object; `part` is 0 or a column's number.
fn description(run: &Run<'_>, args: &[Value], part: i64) -> Value {
    let Some(rows) = run.store.catalog_relation("pg_description") else { return Value::Null };
    let Some(object) = args.first() else { return Value::Null };
    let class = (args.get(1).and_then(Value::as_str)).and_then(|name| objects::relation_oid(run.store, "pg_catalog", name));
    let matches = |row: &&Vec<Value>| {
        let [_, classoid, objsubid, ..] = row.as_slice() else { return false };
        class.is_none_or(|class| classoid.as_oid() == Some(class)) && objsubid.as_int() == Some(part)
    };
    let found = rows.find(0, object);
    let mut rows = found.iter().filter_map(|at| rows.rows().get(*at as usize));
    rows.find(matches).and_then(|row| row.get(3)).cloned().unwrap_or(Value::Null)
}

fn shared_description(run: &Run<'_>, args: &[Value]) -> Value {
    let Some(rows) = run.store.catalog_relation("pg_shdescription") else { return Value::Null };
    let found = args.first().map(|object| rows.find(0, object)).unwrap_or_default();
    found.first().and_then(|at| rows.rows().get(*at as usize)?.get(2).cloned()).unwrap_or(Value::Null)
}

/// Bytes in memory and in files: of a relation itself so many times, of its indexes so many times. 0 of what has no storage of its own.
fn relation_size(store: &Store, args: &[Value], itself: u64, indexes: u64) -> Value {
    let Some(oid) = args.first().and_then(Value::as_oid) else { return Value::Null };
    let Some(object) = objects::object(&store.moment.catalog, oid) else { return Value::Null };
    let size = |id: u32| {
        let figures = store.status().tables.iter().find(|t| t.table.0 == id);
        figures.map_or(0, |t| t.delta_bytes + t.segment_bytes)
    };
    let of_indexes: u64 = match object {
        Object::Table(table) => table.indexes.iter().map(|index| size(index.id.0)).sum(),
        _ => 0,
    };
    Value::Int(i64::try_from(itself * size(oid) + indexes * of_indexes).unwrap_or(i64::MAX))
}

fn total_size(store: &Store) -> i64 {
    let tables = store.status().tables.iter().map(|t| t.delta_bytes + t.segment_bytes);
    i64::try_from(tables.sum::<u64>()).unwrap_or(i64::MAX)
}

fn database_size(run: &Run<'_>, args: &[Value], _: &[Kind]) -> Result<Value, SqlError> {
    let catalog = &run.store.moment.catalog;
    let database = match args.first() {
        Some(Value::Text(name)) => catalog.database(name).map(|d| d.id),
        Some(value) => value.as_oid().map(types::DatabaseId),
        None => None,
    };
    let Some(id) = database.filter(|id| catalog.database_by_id(*id).is_some()) else { return Ok(Value::Null) };
    let inside = |table: &&engine::TableStatus| {
        let schema = catalog.stored_table(table.table).and_then(|t| catalog.schema_by_id(t.schema));
        schema.is_some_and(|schema| schema.database == id)
    };
    let bytes = run.store.status().tables.iter().filter(inside).map(|t| t.delta_bytes + t.segment_bytes).sum::<u64>();
    Ok(Value::Int(i64::try_from(bytes).unwrap_or(i64::MAX)))
}

/// A size as PostgreSQL writes it: in the greatest unit that keeps at least 10.
fn pretty(bytes: i64) -> String {
    if bytes.unsigned_abs() < 10 * 1024 {
        return format!("{bytes} bytes");
    }
    let mut half = bytes >> 9;
    for unit in ["kB", "MB", "GB", "TB"] {
        if half.unsigned_abs() < 20 * 1024 - 1 {
            return format!("{} {unit}", (half + half.signum()) / 2);
        }
        half >>= 10;
    }
    format!("{} PB", (half + half.signum()) / 2)
}

fn to_reg(run: &Run<'_>, args: &[Value], to: Kind) -> Value {
    cast::find_reg(run.store, string(args, 0), to).map_or(Value::Null, |oid| Value::Int(oid.into()))
}

/// Types of a function of `pg_proc`, written out.
fn procedure(store: &Store, args: &[Value], column: &str) -> Value {
    let (Some(rows), Some(shape)) = (store.catalog_relation("pg_proc"), crate::pg_catalog::data::shape("pg_catalog", "pg_proc"))
    else {
        return Value::Null;
    };
    let found = args.first().map(|oid| rows.find(0, oid)).unwrap_or_default();
    let at = shape.columns().position(|c| c.name == column);
    let value = found.first().and_then(|row| rows.rows().get(*row as usize)?.get(at?));
    match value {
        Some(Value::Array(types)) => {
            let names = types.iter().filter_map(Value::as_oid).map(|oid| kind::format(oid, None));
            Value::text(names.collect::<Vec<_>>().join(", "))
        }
        Some(value) => value.as_oid().map_or(Value::Null, |oid| Value::text(kind::format(oid, None))),
        None => Value::Null,
    }
}

/// A function as `regprocedure` writes it.
pub(crate) fn procedure_text(store: &Store, oid: u32) -> Option<String> {
    let name = objects::function_name(oid)?;
    let types = procedure(store, &[Value::Int(oid.into())], "proargtypes");
    Some(format!("{name}({})", types.as_str().unwrap_or_default().replace(", ", ",")))
}

/// What the owner, and everybody, may do with an object of a kind.
fn default_privileges(store: &Store, args: &[Value]) -> Value {
    let (owner, everybody) = match string(args, 0) {
        "r" | "c" => ("arwdDxt", ""),
        "s" => ("rwU", ""),
        "n" => ("UC", ""),
        "d" => ("CTc", "Tc"),
        "f" => ("X", "X"),
        "l" | "T" => ("U", "U"),
        "t" => ("C", ""),
        _ => ("", ""),
    };
    let name = user_name(store, integer(args, 1));
    let name = name.as_str().unwrap_or_default();
    let public = (!everybody.is_empty()).then(|| Value::text(format!("={everybody}/{name}")));
    Value::array(public.into_iter().chain([Value::text(format!("{name}={owner}/{name}"))]))
}

/// Counters that are not kept: 0, or never.
fn statistic(name: &str) -> Function {
    let ends = |suffixes: &[&str]| suffixes.iter().any(|s| name.ends_with(s));
    if ends(&["_time", "_start", "_reset", "_since"]) && !name.contains("blk") {
        return Function::lax(kind::TIMESTAMPTZ, |_, _, _| Ok(Value::Null));
    }
    match name {
        "pg_stat_get_live_tuples" => Function::strict(kind::INT8, |run, args, _| {
            let oid = args.first().and_then(Value::as_oid);
            let figures = run.store.status().tables.iter().find(|t| Some(t.table.0) == oid);
            let rows = figures.map_or(0, |f| (f.delta_rows as u64 + f.segment_rows).saturating_sub(f.segment_rows_dead));
            Ok(Value::Int(i64::try_from(rows).unwrap_or(i64::MAX)))
        }),
        "pg_stat_get_dead_tuples" => Function::strict(kind::INT8, |run, args, _| {
            let oid = args.first().and_then(Value::as_oid);
            let figures = run.store.status().tables.iter().find(|t| Some(t.table.0) == oid);
            Ok(Value::Int(figures.map_or(0, |f| i64::try_from(f.segment_rows_dead).unwrap_or(i64::MAX))))
        }),
        _ => Function::lax(kind::INT8, |_, _, _| Ok(Value::Int(0))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_as_postgresql_rounds() {
        // As PostgreSQL 15 answers.
        for (bytes, text) in [
            (0, "0 bytes"),
            (10239, "10239 bytes"),
            (10240, "10 kB"),
            (10752, "11 kB"),
            (7_500_000, "7324 kB"),
            (10_485_248, "10 MB"),
            (1_000_000_000, "954 MB"),
            (-20000, "-20 kB"),
            (123_456_789_012, "115 GB"),
        ] {
            assert_eq!(pretty(bytes), text, "{bytes}");
        }
    }
}

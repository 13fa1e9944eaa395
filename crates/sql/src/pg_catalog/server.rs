//! Rows about the server: databases, roles, sessions, settings.

use super::locks;
use super::objects::OWNER;
use super::store::{Rows, Store};
use super::value::Value;
use crate::activity::ActivityState;
use crate::settings::definition::{self, Context, Kind};

/// The oid of the user who is not the first one.
const OTHER_USER: i64 = 16383;
/// The encoding's number: UTF8.
pub(crate) const UTF8: i64 = 6;
const DEFAULT_TABLESPACE: i64 = 1663;
/// The name of the user all objects belong to.
const FIRST_USER: &str = "postgres";

/// Users by oid: the first one, and the session's own.
pub(crate) fn users(store: &Store) -> impl Iterator<Item = (i64, &str)> {
    let user = store.moment.user.as_str();
    [(OWNER, FIRST_USER)].into_iter().chain((user != FIRST_USER).then_some((OTHER_USER, user)))
}

/// The oid of a user.
pub(crate) fn user_oid(store: &Store, name: &str) -> Option<i64> {
    users(store).find(|(_, user)| *user == name).map(|(oid, _)| oid)
}

/// Adds the rows of a relation that this module knows.
pub(crate) fn fill(store: &Store, relation: &str, rows: &mut Rows) {
    match relation {
        "pg_database" => databases(store, rows),
        "pg_authid" => roles(store, rows),
        "pg_shdescription" => descriptions(store, rows),
        "pg_stat_scrub" => scrub(store, rows),
        "pg_check_database" => check(store, rows),
        _ => {}
    }
}

/// How far the scrub is.
fn scrub(store: &Store, rows: &mut Rows) {
    let status = store.moment.instance.engine().scrub_status();
    let moment = |at: Option<i64>| at.map_or(Value::Null, Value::timestamp);
    let last = status.findings.last();
    rows.push([
        ("passes", Value::Int(status.passes as i64)),
        ("began", moment(status.began)),
        ("ended", moment(status.ended)),
        ("segments_read", Value::Int(status.segments as i64)),
        ("bytes_read", Value::Int(status.bytes as i64)),
        ("damaged", Value::Int(status.findings.len() as i64)),
        ("last_damage", last.map_or(Value::Null, |finding| Value::text(&finding.what))),
    ]);
}

/// Checks everything, now, and has a row for each finding.
fn check(store: &Store, rows: &mut Rows) {
    let instance = &store.moment.instance;
    let findings = env::blocking(|| crate::check(instance)).unwrap_or_else(|error| {
        vec![engine::Finding { table: None, place: "-".into(), what: format!("the check could not go on: {error}") }]
    });
    let catalog = instance.engine().catalog();
    for finding in findings {
        let table = finding.table.and_then(|id| catalog.table_by_id(id).or_else(|| catalog.table_of_index(id)));
        rows.push([
            ("relation", table.map_or(Value::Null, |table| Value::text(&table.name))),
            ("place", Value::text(&finding.place)),
            ("finding", Value::text(&finding.what)),
        ]);
    }
}

fn databases(store: &Store, rows: &mut Rows) {
    let locale = |name: &str| Value::text(store.moment.settings.show(name).unwrap_or_else(|_| "C".into()));
    for database in store.moment.catalog.databases() {
        rows.push([
            ("oid", Value::Int(database.id.0.into())),
            ("datname", Value::text(&database.name)),
            ("datdba", Value::Int(OWNER)),
            ("encoding", Value::Int(UTF8)),
            ("datlocprovider", Value::text("c")),
            ("datallowconn", Value::Bool(true)),
            ("datconnlimit", Value::Int(-1)),
            ("datminmxid", Value::Int(1)),
            ("dattablespace", Value::Int(DEFAULT_TABLESPACE)),
            ("datcollate", locale("lc_collate")),
            ("datctype", locale("lc_ctype")),
        ]);
    }
}

fn roles(store: &Store, rows: &mut Rows) {
    let yes = || Value::Bool(true);
    for (oid, name) in users(store) {
        rows.push([
            ("oid", Value::Int(oid)),
            ("rolname", Value::text(name)),
            ("rolsuper", yes()),
            ("rolinherit", yes()),
            ("rolcreaterole", yes()),
            ("rolcreatedb", yes()),
            ("rolcanlogin", yes()),
            ("rolreplication", yes()),
            ("rolbypassrls", yes()),
            ("rolconnlimit", Value::Int(-1)),
        ]);
    }
}

fn descriptions(store: &Store, rows: &mut Rows) {
    if let Some(database) = store.moment.catalog.database("postgres") {
        rows.push([
            ("objoid", Value::Int(database.id.0.into())),
            ("classoid", Value::Int(1262)),
            ("description", Value::text("default administrative connection database")),
        ]);
    }
}

/// The rows of `pg_show_all_settings()`, which `pg_settings` shows.
pub(crate) fn settings(store: &Store) -> Vec<Vec<Value>> {
    let text = |s: &str| Value::text(s);
    let row = |d: &definition::Definition| {
        let shown = store.moment.settings.show(d.name).unwrap_or_else(|_| d.default.to_owned());
        let (kind, min, max, values) = match &d.kind {
            Kind::Bool => ("bool", Value::Null, Value::Null, Value::Null),
            Kind::Integer { min, max, .. } => ("integer", text(&min.to_string()), text(&max.to_string()), Value::Null),
            Kind::Real { min, max, .. } => ("real", text(&min.to_string()), text(&max.to_string()), Value::Null),
            Kind::Enum(values) => ("enum", Value::Null, Value::Null, Value::array(values.iter().map(|v| text(v)))),
            Kind::Text | Kind::Names => ("string", Value::Null, Value::Null, Value::Null),
        };
        let context = match d.context {
            Context::User => "user",
            Context::Superuser => "superuser",
            Context::Postmaster => "postmaster",
            Context::Internal => "internal",
        };
        let base = store.moment.settings.base(d.name).unwrap_or(shown);
        let source = if base == d.default { "default" } else { "session" };
        vec![
            text(d.name),
            text(&base),
            if d.unit.is_empty() { Value::Null } else { text(d.unit) },
            text(d.category),
            text(d.description),
            Value::Null,
            text(context),
            text(kind),
            text(source),
            min,
            max,
            values,
            text(d.default),
            text(d.default),
            Value::Null,
            Value::Null,
            Value::Bool(false),
        ]
    };
    definition::all().iter().filter(|d| !d.hidden).map(row).collect()
}

/// The rows of `pg_stat_get_activity(pid)`, with the columns `pg_stat_activity` names.
pub(crate) fn activity(store: &Store, process_id: Option<i64>) -> Vec<Vec<Value>> {
    let time = |micros: Option<i64>| micros.map_or(Value::Null, Value::timestamp);
    let sessions = store.moment.instance.sessions();
    let waits = locks::waits(store);
    let wanted = sessions.into_iter().filter(|s| process_id.is_none_or(|id| id == i64::from(s.process_id)));
    wanted
        .map(|s| {
            let (address, port) = match s.client_address.rsplit_once(':') {
                Some((host, port)) => (Value::text(host.trim_matches(['[', ']'])), port.parse().map_or(Value::Null, Value::Int)),
                None if s.client_address.is_empty() => (Value::Null, Value::Int(-1)),
                None => (Value::text(&s.client_address), Value::Null),
            };
            let (wait_type, wait_event) = match waits.get(&s.process_id) {
                Some((kind, what)) => (Value::text(*kind), Value::text(*what)),
                None if s.state == ActivityState::Active => (Value::Null, Value::Null),
                None => (Value::text("Client"), Value::text("ClientRead")),
            };
            vec![
                Value::Int(s.database.0.into()),
                Value::Int(s.process_id.into()),
                user_oid(store, &s.user).map_or(Value::Null, Value::Int),
                Value::text(&s.application_name),
                Value::text(s.state.as_str()),
                Value::text(s.statement.as_ref().map_or("", |statement| statement.text())),
                wait_type,
                wait_event,
                time(s.transaction_micros),
                time(s.query_micros),
                time(Some(s.began_micros)),
                time(Some(s.state_micros)),
                address,
                Value::Null,
                port,
                Value::Null,
                Value::Null,
                Value::text("client backend"),
                Value::Bool(false),
                Value::Null,
                Value::Null,
                Value::Null,
                Value::Null,
                Value::Null,
                Value::Null,
                Value::Bool(false),
                Value::Null,
                Value::Bool(false),
                Value::Null,
                Value::Null,
            ]
        })
        .collect()
}

//! Who and where the session is, and what the server is doing.

use types::{Datum, SqlError, SqlState};

use super::{Function, integer, string};
use crate::activity::SessionActivity;
use crate::pg_catalog::kind::{self, Kind};
use crate::pg_catalog::locks;
use crate::pg_catalog::objects;
use crate::pg_catalog::run::Run;
use crate::pg_catalog::server;
use crate::pg_catalog::value::Value;

pub(super) fn find(name: &str, kinds: &[Kind]) -> Option<Function> {
    let f = Function::lax;
    Some(match (name, kinds.len()) {
        ("version", 0) => f(kind::TEXT, |_, _, _| Ok(Value::text(version()))),
        ("current_database" | "current_catalog", 0) => f(kind::NAME, |run, _, _| Ok(Value::text(database(run)))),
        ("current_user" | "session_user" | "user" | "current_role", 0) => {
            f(kind::NAME, |run, _, _| Ok(Value::text(&run.store.moment.user)))
        }
        ("current_schema", 0) => f(kind::NAME, |run, _, _| Ok(existing(run).into_iter().next().map_or(Value::Null, Value::text))),
        ("current_schemas", 1) => Function::strict(kind::by_name("_name")?, |run, args, _| {
            let implicit = args.first().is_some_and(Value::is_true);
            let listed = run.store.moment.search_path.iter().any(|s| s == "pg_catalog");
            let first = (implicit && !listed).then(|| "pg_catalog".to_owned());
            Ok(Value::array(first.into_iter().chain(existing(run)).map(Value::text)))
        }),
        ("pg_backend_pid", 0) => f(kind::INT4, |run, _, _| Ok(Value::Int(run.store.moment.process_id.into()))),
        ("pg_is_in_recovery" | "pg_is_wal_replay_paused", 0) => f(kind::BOOL, |_, _, _| Ok(Value::Bool(false))),
        ("pg_postmaster_start_time" | "pg_conf_load_time", 0) => {
            f(kind::TIMESTAMPTZ, |run, _, _| Ok(Value::timestamp(run.store.moment.instance.opened_micros())))
        }
        ("inet_server_addr" | "inet_server_port", 0) => {
            f(if name.ends_with("port") { kind::INT4 } else { kind::INET }, |_, _, _| Ok(Value::Null))
        }
        ("inet_client_addr", 0) => f(kind::INET, |run, _, _| Ok(own_activity(run, 12))),
        ("inet_client_port", 0) => f(kind::INT4, |run, _, _| Ok(own_activity(run, 14))),
        ("current_setting", 1 | 2) => Function::strict(kind::TEXT, current_setting),
        ("pg_my_temp_schema", 0) => f(kind::OID, |_, _, _| Ok(Value::Int(0))),
        ("pg_is_other_temp_schema", 1) => Function::strict(kind::BOOL, |_, _, _| Ok(Value::Bool(false))),
        ("txid_current" | "txid_current_if_assigned" | "pg_current_xact_id" | "pg_current_xact_id_if_assigned", 0) => {
            f(kind::INT8, |run, _, _| {
                let visible = run.store.status().visible.0;
                Ok(Value::Int(i64::try_from(visible).unwrap_or(i64::MAX)))
            })
        }
        ("pg_blocking_pids", 1) => {
            Function::strict(kind::by_name("_int4")?, |run, args, _| Ok(locks::blocking(run.store, integer(args, 0)))).volatile()
        }
        ("pg_isolation_test_session_is_blocked", 2) => Function::strict(kind::BOOL, |run, args, _| {
            let by = args.get(1).and_then(Value::as_array).unwrap_or_default();
            Ok(Value::Bool(locks::is_blocked(run.store, integer(args, 0), by)))
        })
        .volatile(),
        ("pg_safe_snapshot_blocking_pids", 1) => Function::strict(kind::by_name("_int4")?, |_, _, _| Ok(Value::array([]))),
        ("pg_client_encoding" | "getdatabaseencoding", 0) => f(kind::NAME, |_, _, _| Ok(Value::text("UTF8"))),
        ("now" | "current_timestamp" | "transaction_timestamp" | "statement_timestamp", 0) => {
            f(kind::TIMESTAMPTZ, |run, _, _| Ok(Value::timestamp(run.store.moment.now_micros))).common()
        }
        ("clock_timestamp", 0) => {
            f(kind::TIMESTAMPTZ, |run, _, _| Ok(Value::timestamp(run.store.moment.instance.env().now_micros()))).common()
        }
        ("current_date", 0) => f(kind::DATE, |run, _, _| {
            let now = Datum::TimestampTz(run.store.moment.now_micros);
            types::coerce::assign_in(now, types::SqlType::Date, &run.store.moment.dates).map(Value::of_datum)
        })
        .common(),
        ("pg_cancel_backend", 1) => Function::strict(kind::BOOL, |run, args, _| {
            Ok(Value::Bool(other(run, integer(args, 0)).inspect(SessionActivity::cancel).is_some()))
        }),
        // The second argument is how long to wait for its end, which here has begun when this returns.
        ("pg_terminate_backend", 1 | 2) => Function::strict(kind::BOOL, |run, args, _| {
            Ok(Value::Bool(other(run, integer(args, 0)).is_some_and(|session| session.terminate())))
        }),
        _ => return None,
    })
}

/// The session with this process id.
fn other(run: &Run<'_>, process_id: i64) -> Option<SessionActivity> {
    run.store.moment.instance.sessions().into_iter().find(|session| i64::from(session.process_id) == process_id)
}

/// What `version()` answers.
fn version() -> String {
    let server = crate::settings::definition::SERVER_VERSION;
    let (ours, machine, system) = (env!("CARGO_PKG_VERSION"), std::env::consts::ARCH, std::env::consts::OS);
    format!("PostgreSQL {server} (Colonnade {ours}) on {machine}-{system}")
}

fn database(run: &Run<'_>) -> String {
    let moment = &run.store.moment;
    moment.catalog.database_by_id(moment.database).map_or_else(String::new, |d| d.name.clone())
}

/// The schemas of the search path that exist.
fn existing(run: &Run<'_>) -> Vec<String> {
    let known: Vec<&str> = objects::schemas(run.store).map(|(name, _)| name).collect();
    run.store.moment.search_path.iter().filter(|s| known.contains(&s.as_str())).cloned().collect()
}

fn own_activity(run: &Run<'_>, column: usize) -> Value {
    let rows = server::activity(run.store, Some(run.store.moment.process_id.into()));
    match rows.first().and_then(|row| row.get(column)) {
        Some(Value::Int(-1)) | None => Value::Null,
        Some(value) => value.clone(),
    }
}

fn current_setting(run: &Run<'_>, args: &[Value], _: &[Kind]) -> Result<Value, SqlError> {
    match run.store.moment.settings.show(string(args, 0)) {
        Ok(shown) => Ok(Value::text(shown)),
        Err(error) if error.state == SqlState::UNDEFINED_OBJECT && args.get(1).is_some_and(Value::is_true) => Ok(Value::Null),
        Err(error) => Err(error),
    }
}

//! Functions that return rows.

use types::{SqlError, SqlState};

use super::{integer, string};
use crate::pg_catalog::kind::{self, Kind};
use crate::pg_catalog::locks;
use crate::pg_catalog::run::Run;
use crate::pg_catalog::server;
use crate::pg_catalog::value::Value;

/// A function that returns rows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SetFunction {
    Unnest,
    GenerateSeries,
    GenerateSubscripts,
    ExpandArray,
    ExplodePrivileges,
    Settings,
    Activity,
    Locks,
    SplitRegex,
    Split,
    /// One that would find nothing here.
    Nothing,
    /// One value, as a row.
    One(super::Function),
}

/// A set-returning function with the names and types of its columns.
pub(crate) fn find(name: &str, kinds: &[Kind]) -> Option<(SetFunction, Vec<(&'static str, Kind)>)> {
    use SetFunction::*;
    let first = kinds.first().copied().unwrap_or(kind::UNKNOWN);
    Some(match (name, kinds.len()) {
        ("unnest", 1) => (Unnest, vec![("unnest", kind::element(first))]),
        ("generate_series", 2 | 3) if kinds.iter().all(|k| kind::is_integer(*k) || *k == kind::UNKNOWN) => {
            let widest = if kinds.contains(&kind::INT8) { kind::INT8 } else { kind::INT4 };
            (GenerateSeries, vec![("generate_series", widest)])
        }
        ("generate_subscripts", 2 | 3) => (GenerateSubscripts, vec![("generate_subscripts", kind::INT4)]),
        ("_pg_expandarray", 1) => (ExpandArray, vec![("x", kind::element(first)), ("n", kind::INT4)]),
        ("aclexplode", 1) => (
            ExplodePrivileges,
            vec![("grantor", kind::OID), ("grantee", kind::OID), ("privilege_type", kind::TEXT), ("is_grantable", kind::BOOL)],
        ),
        ("pg_show_all_settings", 0) => {
            let mut columns = vec![("name", kind::TEXT); 17];
            columns[11] = ("enumvals", kind::by_name("_text")?);
            columns[15] = ("sourceline", kind::INT4);
            columns[16] = ("pending_restart", kind::BOOL);
            (Settings, columns)
        }
        ("pg_stat_get_activity", 1) => {
            use kind::{BOOL, INET, INT4, INT8, NUMERIC, OID, TEXT, TIMESTAMPTZ, XID};
            let kinds = [
                OID,
                INT4,
                OID,
                TEXT,
                TEXT,
                TEXT,
                TEXT,
                TEXT,
                TIMESTAMPTZ,
                TIMESTAMPTZ,
                TIMESTAMPTZ,
                TIMESTAMPTZ,
                INET,
                TEXT,
                INT4,
                XID,
                XID,
                TEXT,
                BOOL,
                TEXT,
                TEXT,
                INT4,
                TEXT,
                NUMERIC,
                TEXT,
                BOOL,
                TEXT,
                BOOL,
                INT4,
                INT8,
            ];
            (Activity, kinds.into_iter().map(|k| ("activity", k)).collect())
        }
        ("pg_lock_status", 0) => (Locks, locks::columns()),
        ("regexp_split_to_table", 2) => (SplitRegex, vec![("regexp_split_to_table", kind::TEXT)]),
        ("string_to_table", 2) => (Split, vec![("string_to_table", kind::TEXT)]),
        ("pg_options_to_table", 1) => (Nothing, vec![("option_name", kind::TEXT), ("option_value", kind::TEXT)]),
        ("pg_get_publication_tables", 1) => {
            (Nothing, vec![("relid", kind::OID), ("attrs", kind::INT2VECTOR), ("qual", kind::by_name("pg_node_tree")?)])
        }
        ("pg_partition_ancestors", 1) => (Nothing, vec![("relid", kind::REGCLASS)]),
        ("pg_listening_channels", 0) => (Nothing, vec![("pg_listening_channels", kind::TEXT)]),
        _ => return None,
    })
}

/// Whether a function that returns rows tells something only the server knows.
pub(crate) fn is_system(name: &str, kinds: &[Kind]) -> bool {
    use SetFunction::{Activity, ExpandArray, ExplodePrivileges, Locks, Nothing, Settings};
    find(name, kinds).is_some_and(|(f, _)| matches!(f, Activity | ExpandArray | ExplodePrivileges | Locks | Nothing | Settings))
}

/// The rows of a call.
pub(crate) fn set(run: &Run<'_>, function: SetFunction, args: &[Value], kinds: &[Kind]) -> Result<Vec<Vec<Value>>, SqlError> {
    let elements = || args.first().and_then(Value::as_array).unwrap_or_default();
    let vector = matches!(kinds.first(), Some(&(kind::INT2VECTOR | kind::OIDVECTOR)));
    let number = |n: usize| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
    Ok(match function {
        SetFunction::Nothing => vec![],
        SetFunction::One(function) => vec![vec![function.call(run, args, kinds)?]],
        SetFunction::Unnest => elements().iter().map(|v| vec![v.clone()]).collect(),
        SetFunction::ExpandArray => (1..).zip(elements()).map(|(n, v)| vec![v.clone(), number(n)]).collect(),
        SetFunction::GenerateSubscripts => {
            let wanted = integer(args, 1) == 1;
            let base = usize::from(!vector);
            let mut rows: Vec<_> =
                elements().iter().enumerate().filter(|_| wanted).map(|(at, _)| vec![number(at + base)]).collect();
            if args.get(2).is_some_and(Value::is_true) {
                rows.reverse();
            }
            rows
        }
        SetFunction::GenerateSeries => {
            if args.iter().any(Value::is_null) {
                return Ok(vec![]);
            }
            let (from, to) = (integer(args, 0), integer(args, 1));
            let step = args.get(2).and_then(Value::as_int).unwrap_or(1);
            if step == 0 {
                return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "step size cannot equal zero"));
            }
            let mut rows = Vec::new();
            let mut at = from;
            while (step > 0 && at <= to) || (step < 0 && at >= to) {
                rows.push(vec![Value::Int(at)]);
                if rows.len() > 1 << 20 {
                    return Err(SqlError::new(
                        SqlState::PROGRAM_LIMIT_EXCEEDED,
                        "generate_series is too long for a query of system relations",
                    ));
                }
                let Some(next) = at.checked_add(step) else { break };
                at = next;
            }
            rows
        }
        SetFunction::ExplodePrivileges => {
            elements().iter().filter_map(Value::as_str).flat_map(|acl| exploded(run, acl)).collect()
        }
        SetFunction::Settings => server::settings(run.store),
        SetFunction::Activity => server::activity(run.store, args.first().and_then(Value::as_int)),
        SetFunction::Locks => locks::status(run.store),
        SetFunction::SplitRegex => {
            if args.iter().any(Value::is_null) {
                return Ok(vec![]);
            }
            let regex = run.regex(string(args, 1), false)?;
            regex.split(string(args, 0)).map(|part| vec![Value::text(part)]).collect()
        }
        SetFunction::Split => {
            if args.iter().any(Value::is_null) {
                return Ok(vec![]);
            }
            string(args, 0).split(string(args, 1)).map(|part| vec![Value::text(part)]).collect()
        }
    })
}

/// The privileges in `grantee=letters/grantor`.
fn exploded(run: &Run<'_>, acl: &str) -> Vec<Vec<Value>> {
    let Some((grantee, rest)) = acl.split_once('=') else { return vec![] };
    let (letters, grantor) = rest.split_once('/').unwrap_or((rest, ""));
    let oid = |name: &str| Value::Int(server::user_oid(run.store, name).unwrap_or(0));
    let name = |letter| match letter {
        'a' => "INSERT",
        'r' => "SELECT",
        'w' => "UPDATE",
        'd' => "DELETE",
        'D' => "TRUNCATE",
        'x' => "REFERENCES",
        't' => "TRIGGER",
        'X' => "EXECUTE",
        'U' => "USAGE",
        'C' => "CREATE",
        'T' => "TEMPORARY",
        'c' => "CONNECT",
        _ => "",
    };
    let known = letters.chars().map(name).filter(|name| !name.is_empty());
    known.map(|name| vec![oid(grantor), oid(grantee), Value::text(name), Value::Bool(false)]).collect()
}

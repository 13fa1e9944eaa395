//! The helpers of `information_schema`'s views.
//!
//! Source: PostgreSQL 15, `information_schema.sql`.

use super::{Function, integer};
use crate::pg_catalog::kind::{self, Kind};
use crate::pg_catalog::value::Value;

pub(super) fn find(name: &str, kinds: &[Kind]) -> Option<Function> {
    let f = |body| Some(Function::strict(kind::INT4, body));
    match (name, kinds.len()) {
        ("_pg_char_max_length", 2) => f(|_, args, _| {
            let (t, m) = (integer(args, 0), integer(args, 1));
            Ok(if m == -1 {
                Value::Null
            } else if t == i64::from(kind::BPCHAR) || t == i64::from(kind::VARCHAR) {
                Value::Int(m - 4)
            } else if t == 1560 || t == 1562 {
                Value::Int(m)
            } else {
                Value::Null
            })
        }),
        ("_pg_char_octet_length", 2) => f(|_, args, _| {
            let (t, m) = (integer(args, 0), integer(args, 1));
            let text = [kind::TEXT, kind::BPCHAR, kind::VARCHAR].iter().any(|k| i64::from(*k) == t);
            Ok(match (text, m) {
                (false, _) => Value::Null,
                (true, -1) => Value::Int(1 << 30),
                // Four bytes a character at most.
                (true, m) => Value::Int((m - 4) * 4),
            })
        }),
        ("_pg_numeric_precision", 2) => f(|_, args, _| {
            let (t, m) = (integer(args, 0), integer(args, 1));
            Ok(match t {
                21 => Value::Int(16),
                23 => Value::Int(32),
                20 => Value::Int(64),
                1700 if m != -1 => Value::Int(((m - 4) >> 16) & 0xffff),
                700 => Value::Int(24),
                701 => Value::Int(53),
                _ => Value::Null,
            })
        }),
        ("_pg_numeric_precision_radix", 2) => f(|_, args, _| {
            Ok(match integer(args, 0) {
                20 | 21 | 23 | 700 | 701 => Value::Int(2),
                1700 => Value::Int(10),
                _ => Value::Null,
            })
        }),
        ("_pg_numeric_scale", 2) => f(|_, args, _| {
            Ok(match (integer(args, 0), integer(args, 1)) {
                (20 | 21 | 23, _) => Value::Int(0),
                (1700, m) if m != -1 => Value::Int((m - 4) & 0xffff),
                _ => Value::Null,
            })
        }),
        ("_pg_datetime_precision", 2) => f(|_, args, _| {
            Ok(match (integer(args, 0), integer(args, 1)) {
                (1082, _) => Value::Int(0),
                (1083 | 1114 | 1184 | 1266, m) => Value::Int(if m < 0 { 6 } else { m }),
                (1186, m) => Value::Int(if m < 0 || m & 0xffff == 0xffff { 6 } else { m & 0xffff }),
                _ => Value::Null,
            })
        }),
        ("_pg_interval_type", 2) => Some(Function::strict(kind::TEXT, |_, _, _| Ok(Value::Null))),
        ("_pg_index_position", 2) => f(|run, args, _| {
            let Some(rows) = run.store.catalog_relation("pg_index") else { return Ok(Value::Null) };
            let found = args.first().map(|oid| rows.find(0, oid)).unwrap_or_default();
            let columns = |at: &u32| rows.rows().get(*at as usize)?.iter().find_map(Value::as_array);
            let wanted = integer(args, 1);
            let position = found.first().and_then(columns).and_then(|c| c.iter().position(|v| v.as_int() == Some(wanted)));
            Ok(position.and_then(|p| i64::try_from(p + 1).ok()).map_or(Value::Null, Value::Int))
        }),
        _ => None,
    }
}

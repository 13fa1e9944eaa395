//! Strings and arrays, as far as introspection uses them.

use types::{SqlError, SqlState};

use super::{Function, integer, string};
use crate::names::quote_ident;
use crate::pg_catalog::cast;
use crate::pg_catalog::kind::{self, Kind};
use crate::pg_catalog::run::Run;
use crate::pg_catalog::value::Value;

pub(super) fn find(name: &str, kinds: &[Kind]) -> Option<Function> {
    let f = |returns, body| Function::strict(returns, body).common();
    let first = kinds.first().copied().unwrap_or(kind::UNKNOWN);
    let same = if first == kind::UNKNOWN { kind::TEXT } else { first };
    Some(match (name, kinds.len()) {
        ("nameconcatoid", 2) => f(kind::NAME, |_, args, _| Ok(Value::text(format!("{}_{}", string(args, 0), integer(args, 1))))),
        ("pg_typeof", 1) => {
            Function::lax(kind::REGTYPE, |_, _, kinds| Ok(kinds.first().map_or(Value::Null, |kind| Value::Int(i64::from(*kind)))))
                .common()
        }
        ("lower", 1) => f(kind::TEXT, |_, args, _| Ok(Value::text(string(args, 0).to_lowercase()))),
        ("upper", 1) => f(kind::TEXT, |_, args, _| Ok(Value::text(string(args, 0).to_uppercase()))),
        ("length" | "char_length" | "character_length", 1) => {
            f(kind::INT4, |_, args, _| Ok(count(string(args, 0).chars().count())))
        }
        ("octet_length", 1) => f(kind::INT4, |_, args, _| Ok(count(string(args, 0).len()))),
        ("substring" | "substr", 2 | 3) => f(kind::TEXT, substring),
        ("replace", 3) => f(kind::TEXT, |_, args, _| Ok(Value::text(string(args, 0).replace(string(args, 1), string(args, 2))))),
        ("translate", 3) => {
            f(kind::TEXT, |_, args, _| Ok(Value::text(translate(string(args, 0), string(args, 1), string(args, 2)))))
        }
        ("split_part", 3) => f(kind::TEXT, |_, args, _| {
            let part = usize::try_from(integer(args, 2) - 1).ok().and_then(|at| string(args, 0).split(string(args, 1)).nth(at));
            Ok(Value::text(part.unwrap_or_default()))
        }),
        ("concat", _) => Function::lax(kind::TEXT, |run, args, kinds| {
            let parts = args.iter().zip(kinds).map(|(v, k)| cast::text_of(run.store, v, *k));
            Ok(Value::text(parts.collect::<String>()))
        })
        .common(),
        ("concat_ws", 1..) => Function::lax(kind::TEXT, |run, args, kinds| {
            if args.first().is_none_or(Value::is_null) {
                return Ok(Value::Null);
            }
            let parts = args.iter().zip(kinds).skip(1).filter(|(v, _)| !v.is_null());
            let parts: Vec<_> = parts.map(|(v, k)| cast::text_of(run.store, v, *k)).collect();
            Ok(Value::text(parts.join(string(args, 0))))
        })
        .common(),
        ("strpos" | "position", 2) => f(kind::INT4, |_, args, _| {
            let (text, part) = (string(args, 0), string(args, 1));
            let at = text.find(part).and_then(|at| text.get(..at)).map_or(0, |before| before.chars().count() + 1);
            Ok(count(at))
        }),
        ("left", 2) => f(kind::TEXT, |_, args, _| {
            let text: Vec<char> = string(args, 0).chars().collect();
            let keep = places(integer(args, 1), text.len());
            Ok(Value::text(text.iter().take(keep).collect::<String>()))
        }),
        ("right", 2) => f(kind::TEXT, |_, args, _| {
            let text: Vec<char> = string(args, 0).chars().collect();
            let keep = places(integer(args, 1), text.len());
            Ok(Value::text(text.iter().skip(text.len() - keep).collect::<String>()))
        }),
        ("btrim" | "ltrim" | "rtrim", 1 | 2) => f(
            kind::TEXT,
            match name {
                "ltrim" => |_, args, _| Ok(Value::text(string(args, 0).trim_start_matches(trimmed(args).as_slice()))),
                "rtrim" => |_, args, _| Ok(Value::text(string(args, 0).trim_end_matches(trimmed(args).as_slice()))),
                _ => |_, args, _| Ok(Value::text(string(args, 0).trim_matches(trimmed(args).as_slice()))),
            },
        ),
        ("repeat", 2) => f(kind::TEXT, |_, args, _| {
            let times = usize::try_from(integer(args, 1)).unwrap_or(0);
            if string(args, 0).len().saturating_mul(times) > 1 << 24 {
                return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "requested length too large"));
            }
            Ok(Value::text(string(args, 0).repeat(times)))
        }),
        ("starts_with", 2) => f(kind::BOOL, |_, args, _| Ok(Value::Bool(string(args, 0).starts_with(string(args, 1))))),
        ("regexp_replace", 3 | 4) => f(kind::TEXT, regexp_replace),
        ("quote_ident", 1) => f(kind::TEXT, |_, args, _| Ok(Value::text(quote_ident(string(args, 0))))),
        ("quote_literal", 1) => f(kind::TEXT, |run, args, kinds| Ok(Value::text(quoted(run, args, kinds)))),
        ("quote_nullable", 1) => Function::lax(kind::TEXT, |run, args, kinds| {
            Ok(Value::text(if args.first().is_none_or(Value::is_null) { "NULL".to_owned() } else { quoted(run, args, kinds) }))
        })
        .common(),
        ("parse_ident", 1 | 2) => f(kind::by_name("_text")?, |_, args, _| match cast::identifiers(string(args, 0)) {
            Some(parts) => Ok(Value::array(parts.into_iter().map(Value::text))),
            None => {
                let message = format!("string is not a valid identifier: \"{}\"", string(args, 0));
                Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message))
            }
        }),
        ("format", 1..) => Function::lax(kind::TEXT, format).common(),
        ("array_to_string", 2 | 3) => Function::lax(kind::TEXT, array_to_string).common(),
        ("string_to_array", 2) => Function::lax(kind::by_name("_text")?, |_, args, _| {
            let (Some(text), delimiter) = (args.first().and_then(Value::as_str), args.get(1).and_then(Value::as_str)) else {
                return Ok(Value::Null);
            };
            Ok(match delimiter {
                _ if text.is_empty() => Value::array([]),
                None => Value::array(text.chars().map(|c| Value::text(c.to_string()))),
                Some("") => Value::array([Value::text(text)]),
                Some(delimiter) => Value::array(text.split(delimiter).map(Value::text)),
            })
        })
        .common(),
        ("array_length", 2) => f(kind::INT4, |_, args, _| Ok(length(args))),
        ("array_upper", 2) => f(kind::INT4, |_, args, kinds| {
            // Vectors count from 0.
            let vector = matches!(kinds.first(), Some(&(kind::INT2VECTOR | kind::OIDVECTOR)));
            Ok(length(args).as_int().map_or(Value::Null, |n| Value::Int(n - i64::from(vector))))
        }),
        ("array_lower", 2) => f(kind::INT4, |_, args, kinds| {
            let vector = matches!(kinds.first(), Some(&(kind::INT2VECTOR | kind::OIDVECTOR)));
            Ok(if elements(args).is_empty() { Value::Null } else { Value::Int(i64::from(!vector)) })
        }),
        ("array_ndims", 1) => f(kind::INT4, |_, args, _| Ok(if elements(args).is_empty() { Value::Null } else { Value::Int(1) })),
        ("cardinality", 1) => f(kind::INT4, |_, args, _| Ok(count(elements(args).len()))),
        ("array_position", 2) => Function::lax(kind::INT4, |_, args, _| {
            let at = args.get(1).and_then(|wanted| elements(args).iter().position(|v| v == wanted));
            Ok(at.map_or(Value::Null, |at| count(at + 1)))
        })
        .common(),
        ("array_remove", 2) => Function::lax(first, |_, args, _| {
            let Some(Value::Array(values)) = args.first() else { return Ok(Value::Null) };
            Ok(Value::array(values.iter().filter(|v| Some(*v) != args.get(1)).cloned()))
        })
        .common(),
        ("array_append" | "array_cat", 2) => Function::lax(first, |run, args, _| {
            let (a, b) = (args.first().unwrap_or(&Value::Null), args.get(1).unwrap_or(&Value::Null));
            crate::pg_catalog::operator::apply(run, crate::pg_catalog::operator::Operator::Append, a, b)
        })
        .common(),
        ("nullif", 2) => Function::lax(same, |_, args, _| match args {
            [a, b] if !a.is_null() && a == b => Ok(Value::Null),
            [a, ..] => Ok(a.clone()),
            [] => Ok(Value::Null),
        })
        .common(),
        ("greatest" | "least", 1..) => Function::lax(
            same,
            match name {
                "least" => |_, args, _| Ok(extreme(args, std::cmp::Ordering::Less)),
                _ => |_, args, _| Ok(extreme(args, std::cmp::Ordering::Greater)),
            },
        )
        .common(),
        ("abs", 1) => f(same, |_, args, _| match args.first() {
            Some(Value::Int(v)) => Ok(Value::Int(v.saturating_abs())),
            Some(Value::Float(v)) => Ok(Value::Float(v.abs())),
            _ => Err(SqlError::unsupported("abs of this type is not supported in queries of system relations")),
        }),
        ("-", 1) => f(same, |run, args, _| {
            let value = args.first().unwrap_or(&Value::Null);
            crate::pg_catalog::operator::apply(run, crate::pg_catalog::operator::Operator::Subtract, &Value::Int(0), value)
        }),
        _ => return None,
    })
}

fn count(n: usize) -> Value {
    Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

fn elements(args: &[Value]) -> &[Value] {
    args.first().and_then(Value::as_array).unwrap_or_default()
}

/// Elements in the only dimension; NULL for an empty array and other dimensions.
fn length(args: &[Value]) -> Value {
    let length = elements(args).len();
    if integer(args, 1) != 1 || length == 0 { Value::Null } else { count(length) }
}

/// How many characters `left(text, n)` keeps: all but the last -n if n is negative.
fn places(n: i64, length: usize) -> usize {
    let n_abs = usize::try_from(n.unsigned_abs()).unwrap_or(usize::MAX);
    if n < 0 { length.saturating_sub(n_abs) } else { n_abs.min(length) }
}

fn trimmed(args: &[Value]) -> Vec<char> {
    if args.len() > 1 { string(args, 1).chars().collect() } else { vec![' '] }
}

fn extreme(args: &[Value], wanted: std::cmp::Ordering) -> Value {
    let known = args.iter().filter(|v| !v.is_null());
    let better = |a: &Value, b: &Value| crate::pg_catalog::value::total(b, a) == wanted;
    known
        .fold(None::<&Value>, |best, v| if best.is_none_or(|best| better(best, v)) { Some(v) } else { best })
        .cloned()
        .unwrap_or(Value::Null)
}

fn substring(run: &Run<'_>, args: &[Value], _: &[Kind]) -> Result<Value, SqlError> {
    // With a pattern: what it matches, or its first group.
    if let Some(Value::Text(pattern)) = args.get(1) {
        let regex = run.regex(pattern, false)?;
        let found = regex.captures(string(args, 0));
        let part = found.as_ref().and_then(|c| c.get(1).or_else(|| c.get(0)));
        return Ok(part.map_or(Value::Null, |m| Value::text(m.as_str())));
    }
    let start = integer(args, 1);
    let end = match args.get(2).and_then(Value::as_int) {
        Some(n) if n < 0 => {
            return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "negative substring length not allowed"));
        }
        Some(n) => start.saturating_add(n),
        None => i64::MAX,
    };
    let place = |n: i64| usize::try_from(n - 1).unwrap_or(0);
    let (from, to) = (place(start.max(1)), place(end.max(1)));
    Ok(Value::text(string(args, 0).chars().take(to).skip(from).collect::<String>()))
}

fn translate(text: &str, from: &str, to: &str) -> String {
    let to: Vec<char> = to.chars().collect();
    let map = |c: char| match from.chars().position(|f| f == c) {
        Some(at) => to.get(at).copied(),
        None => Some(c),
    };
    text.chars().filter_map(map).collect()
}

fn regexp_replace(run: &Run<'_>, args: &[Value], _: &[Kind]) -> Result<Value, SqlError> {
    let flags = string(args, 3);
    let regex = run.regex(string(args, 1), flags.contains('i'))?;
    // `\1` and `\&` are written `${1}` and `${0}`.
    let mut replacement = String::new();
    let mut chars = string(args, 2).chars();
    while let Some(c) = chars.next() {
        match c {
            '$' => replacement.push_str("$$"),
            '\\' => match chars.next() {
                Some('&') => replacement.push_str("${0}"),
                Some(d) if d.is_ascii_digit() => replacement.push_str(&format!("${{{d}}}")),
                Some(other) => replacement.push(other),
                None => replacement.push('\\'),
            },
            c => replacement.push(c),
        }
    }
    let limit = usize::from(!flags.contains('g'));
    Ok(Value::text(regex.replacen(string(args, 0), limit, replacement.as_str())))
}

fn quoted(run: &Run<'_>, args: &[Value], kinds: &[Kind]) -> String {
    let text = args.first().zip(kinds.first()).map_or_else(String::new, |(v, k)| cast::text_of(run.store, v, *k));
    let prefix = if text.contains('\\') { "E" } else { "" };
    format!("{prefix}'{}'", text.replace('\'', "''").replace('\\', "\\\\"))
}

fn array_to_string(run: &Run<'_>, args: &[Value], kinds: &[Kind]) -> Result<Value, SqlError> {
    let (Some(Value::Array(values)), Some(Value::Text(delimiter))) = (args.first(), args.get(1)) else { return Ok(Value::Null) };
    let element = kind::element(kinds.first().copied().unwrap_or(kind::UNKNOWN));
    let null = args.get(2).and_then(Value::as_str);
    let texts = values.iter().filter_map(|v| match v {
        Value::Null => null.map(str::to_owned),
        v => Some(cast::text_of(run.store, v, element)),
    });
    Ok(Value::text(texts.collect::<Vec<_>>().join(delimiter)))
}

fn format(run: &Run<'_>, args: &[Value], kinds: &[Kind]) -> Result<Value, SqlError> {
    let Some(Value::Text(pattern)) = args.first() else { return Ok(Value::Null) };
    let mut out = String::new();
    let mut next = 1;
    let mut chars = pattern.chars().peekable();
    let unrecognized =
        |c: char| SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("unrecognized format() type specifier \"{c}\""));
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut digits = String::new();
        while let Some(d) = chars.next_if(char::is_ascii_digit) {
            digits.push(d);
        }
        if !digits.is_empty() && chars.next_if_eq(&'$').is_some() {
            next = digits.parse().unwrap_or(1);
        }
        let Some(what) = chars.next() else {
            return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "unterminated format() type specifier"));
        };
        if what == '%' {
            out.push('%');
            continue;
        }
        let Some((value, kind)) = args.get(next).zip(kinds.get(next)) else {
            return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "too few arguments for format()"));
        };
        next += 1;
        let text = cast::text_of(run.store, value, *kind);
        match what {
            's' => out.push_str(&text),
            'I' => out.push_str(&quote_ident(&text)),
            'L' if value.is_null() => out.push_str("NULL"),
            'L' => out.push_str(&quoted(run, &[Value::text(text)], &[kind::TEXT])),
            other => return Err(unrecognized(other)),
        }
    }
    Ok(Value::text(out))
}

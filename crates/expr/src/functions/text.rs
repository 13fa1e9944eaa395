//! Functions of text. Positions and lengths count characters; text is compared by bytes.

use types::{Datum, DatumRef, SqlError, SqlState, SqlType};

use super::{fits, int_of, mismatch, text, text_of};
use crate::function::{Arg, Call, Function, Signature, VALUE_BYTES_MAX};

use SqlType::{Bool, Bytea, Int4, Int8, Text};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("||", |args, _| concatenation(args), concatenate),
    Function::new("length", |args, _| text_or_bytes(args, Int4), |_, args| count(args, |s| s.chars().count(), |b| b.len())),
    Function::new("char_length", |args, _| fits(args, &[Text], Int4), |_, args| count(args, |s| s.chars().count(), |b| b.len())),
    Function::new(
        "character_length",
        |args, _| fits(args, &[Text], Int4),
        |_, args| count(args, |s| s.chars().count(), |b| b.len()),
    ),
    Function::new("octet_length", |args, _| text_or_bytes(args, Int4), |_, args| count(args, str::len, |b| b.len())),
    Function::new("bit_length", |args, _| text_or_bytes(args, Int4), |_, args| count(args, |s| s.len() * 8, |b| b.len() * 8)),
    Function::new("lower", |args, _| fits(args, &[Text], Text), |_, args| text(text_of(args, 0)?.to_lowercase())),
    Function::new("upper", |args, _| fits(args, &[Text], Text), |_, args| text(text_of(args, 0)?.to_uppercase())),
    Function::new("initcap", |args, _| fits(args, &[Text], Text), |_, args| text(initcap(text_of(args, 0)?))),
    Function::new("substring", |args, _| substring_signature(args), substring),
    Function::new("substr", |args, _| substring_signature(args), substring),
    Function::new("position", |args, _| fits(args, &[Text, Text], Int4), |_, args| position(args)),
    Function::new("strpos", |args, _| fits(args, &[Text, Text], Int4), |_, args| position(args)),
    Function::new("overlay", |args, _| overlay_signature(args), overlay),
    Function::new("btrim", |args, _| trim_signature(args), |_, args| trim(args, true, true)),
    Function::new("trim", |args, _| trim_signature(args), |_, args| trim(args, true, true)),
    Function::new("ltrim", |args, _| trim_signature(args), |_, args| trim(args, true, false)),
    Function::new("rtrim", |args, _| trim_signature(args), |_, args| trim(args, false, true)),
    // Inner: `char(n)` as text, and the form in which char(n) and text compare.
    Function::new("without_blanks", |args, _| fits(args, &[Text], Text), |_, args| text(text_of(args, 0)?.trim_end_matches(' '))),
    Function::new(
        "left",
        |args, _| fits(args, &[Text, Int4], Text),
        |_, args| {
            let (s, n) = (text_of(args, 0)?, int_of(args, 1)?);
            text(if n >= 0 {
                first(s, n as usize)
            } else {
                first(s, s.chars().count().saturating_sub(n.unsigned_abs() as usize))
            })
        },
    ),
    Function::new(
        "right",
        |args, _| fits(args, &[Text, Int4], Text),
        |_, args| {
            let (s, n) = (text_of(args, 0)?, int_of(args, 1)?);
            let drop = if n >= 0 { s.chars().count().saturating_sub(n as usize) } else { n.unsigned_abs() as usize };
            text(&s[first(s, drop).len()..])
        },
    ),
    Function::new("lpad", |args, _| pad_signature(args), |call, args| pad(call, args, true)),
    Function::new("rpad", |args, _| pad_signature(args), |call, args| pad(call, args, false)),
    Function::new(
        "repeat",
        |args, _| fits(args, &[Text, Int4], Text),
        |call, args| {
            let (s, n) = (text_of(args, 0)?, int_of(args, 1)?.max(0) as usize);
            call.room_for(s.len().saturating_mul(n))?;
            text(s.repeat(n))
        },
    ),
    Function::new(
        "replace",
        |args, _| fits(args, &[Text; 3], Text),
        |call, args| {
            let (s, from, to) = (text_of(args, 0)?, text_of(args, 1)?, text_of(args, 2)?);
            if from.is_empty() {
                return text(s);
            }
            if to.len() > from.len() {
                let found = s.matches(from).count();
                call.room_for(s.len().saturating_add(found.saturating_mul(to.len() - from.len())))?;
            }
            text(s.replace(from, to))
        },
    ),
    Function::new(
        "reverse",
        |args, _| fits(args, &[Text], Text),
        |_, args| text(text_of(args, 0)?.chars().rev().collect::<String>()),
    ),
    Function::new("split_part", |args, _| fits(args, &[Text, Text, Int4], Text), |_, args| split_part(args)),
    Function::new(
        "starts_with",
        |args, _| fits(args, &[Text, Text], Bool),
        |_, args| Ok(Datum::Bool(text_of(args, 0)?.starts_with(text_of(args, 1)?))),
    ),
    Function::new(
        "ascii",
        |args, _| fits(args, &[Text], Int4),
        |_, args| Ok(Datum::Int4(text_of(args, 0)?.chars().next().map_or(0, |c| c as i32))),
    ),
    Function::new(
        "chr",
        |args, _| fits(args, &[Int4], Text),
        |_, args| {
            let n = int_of(args, 0)?;
            match u32::try_from(n).ok().and_then(char::from_u32) {
                Some('\0') | None => {
                    let message =
                        if n == 0 { "null character not permitted" } else { "requested character not valid for encoding" };
                    Err(SqlError::new(SqlState(*b"54000"), message))
                }
                Some(c) => text(c.to_string()),
            }
        },
    ),
    Function::new("translate", |args, _| fits(args, &[Text; 3], Text), translate),
    Function::new(
        "like_escape",
        |args, _| fits(args, &[Text; 2], Text),
        |_, args| text(super::pattern::like_escape(text_of(args, 0)?, text_of(args, 1)?)?),
    ),
    Function::new(
        "similar_to",
        |args, _| similar_signature(args),
        |_, args| {
            let escape = if args.len() == 3 { text_of(args, 2)? } else { "\\" };
            super::pattern::similar(text_of(args, 0)?, text_of(args, 1)?, escape).map(Datum::Bool)
        },
    ),
    Function::new(
        "to_hex",
        |args, _| hex_signature(args),
        |_, args| match *args {
            [DatumRef::Int4(v)] => text(format!("{v:x}")),
            [DatumRef::Int8(v)] => text(format!("{v:x}")),
            _ => Err(mismatch("to_hex")),
        },
    ),
    Function::new(
        "concat",
        |args, _| all_text(args),
        |call, args| {
            call.room_for(args.iter().filter_map(as_output).map(str::len).sum())?;
            text(args.iter().filter_map(as_output).collect::<String>())
        },
    )
    .called_on_null(),
    Function::new(
        "concat_ws",
        |args, _| all_text(args),
        |call, args| match args.split_first() {
            Some((DatumRef::Text(separator), rest)) => {
                call.room_for(rest.iter().filter_map(as_output).map(|s| s.len() + separator.len()).sum())?;
                text(rest.iter().filter_map(as_output).collect::<Vec<_>>().join(separator))
            }
            _ => Ok(Datum::Null),
        },
    )
    .called_on_null(),
    Function::new("quote_ident", |args, _| fits(args, &[Text], Text), |_, args| text(quote_ident(text_of(args, 0)?))),
    Function::new("quote_literal", |args, _| fits(args, &[Text], Text), |_, args| text(quote_literal(text_of(args, 0)?))),
    Function::new(
        "quote_nullable",
        |args, _| fits(args, &[Text], Text),
        |_, args| match args.first() {
            Some(DatumRef::Text(v)) => text(quote_literal(v)),
            _ => text("NULL"),
        },
    )
    .called_on_null(),
];

/// One side must be a string, or both be bytes; the other is taken as its text.
fn concatenation(args: &[Arg]) -> Option<Signature> {
    let is_text = |arg: Arg| arg.is_none_or(SqlType::is_string);
    match *args {
        [Some(Bytea), Some(Bytea) | None] | [None, Some(Bytea)] => Some(Signature { args: vec![Bytea; 2], result: Bytea }),
        [a, b] if is_text(a) || is_text(b) => Some(Signature { args: vec![Text; 2], result: Text }),
        _ => None,
    }
}

fn concatenate(call: &Call<'_>, args: &[DatumRef<'_>]) -> Result<Datum, SqlError> {
    match *args {
        [DatumRef::Text(a), DatumRef::Text(b)] => {
            call.room_for(a.len() + b.len())?;
            text([a, b].concat())
        }
        [DatumRef::Bytea(a), DatumRef::Bytea(b)] => {
            call.room_for(a.len() + b.len())?;
            Ok(Datum::Bytea([a, b].concat().into()))
        }
        _ => Err(mismatch("||")),
    }
}

fn text_or_bytes(args: &[Arg], result: SqlType) -> Option<Signature> {
    match args {
        [Some(Bytea)] => Some(Signature { args: vec![Bytea], result }),
        _ => fits(args, &[Text], result),
    }
}

fn count(args: &[DatumRef<'_>], of_text: fn(&str) -> usize, of_bytes: fn(&[u8]) -> usize) -> Result<Datum, SqlError> {
    let n = match args {
        [DatumRef::Text(v)] => of_text(v),
        [DatumRef::Bytea(v)] => of_bytes(v),
        _ => return Err(mismatch("length")),
    };
    Ok(Datum::Int4(n as i32))
}

fn initcap(s: &str) -> String {
    let mut inside = false;
    s.chars()
        .flat_map(|c| {
            let starts = c.is_alphanumeric() && !inside;
            inside = c.is_alphanumeric();
            if starts { c.to_uppercase().collect::<Vec<_>>() } else { c.to_lowercase().collect() }
        })
        .collect()
}

/// The first `n` characters.
pub(crate) fn first(s: &str, n: usize) -> &str {
    // Fewer bytes than characters wanted: all of it.
    if s.len() <= n {
        return s;
    }
    match s.char_indices().nth(n) {
        Some((at, _)) => &s[..at],
        None => s,
    }
}

fn substring_signature(args: &[Arg]) -> Option<Signature> {
    match *args {
        [Some(Bytea), _] => fits(args, &[Bytea, Int4], Bytea),
        [Some(Bytea), _, _] => fits(args, &[Bytea, Int4, Int4], Bytea),
        // `substring(text from pattern)` is a regular expression.
        [_, None] => fits(args, &[Text, Text], Text),
        [_, Some(t)] if t.is_string() => fits(args, &[Text, Text], Text),
        [_, _] => fits(args, &[Text, Int4], Text),
        _ => fits(args, &[Text, Int4, Int4], Text),
    }
}

fn substring(_: &Call<'_>, args: &[DatumRef<'_>]) -> Result<Datum, SqlError> {
    if let [DatumRef::Text(_), DatumRef::Text(_)] = args {
        return Err(SqlError::unsupported("substring with a pattern is not supported").hint("Use regexp_match."));
    }
    let from = int_of(args, 1)?;
    let end = match args.get(2) {
        None => i64::MAX,
        Some(_) => {
            let count = int_of(args, 2)?;
            if count < 0 {
                return Err(SqlError::new(SqlState(*b"22011"), "negative substring length not allowed"));
            }
            from.saturating_add(count)
        }
    };
    match args.first() {
        Some(DatumRef::Text(s)) => text(characters(s, from, end)),
        Some(DatumRef::Bytea(b)) => {
            let at = |n: i64| (n.max(1) - 1).min(b.len() as i64) as usize;
            Ok(Datum::Bytea(b[at(from)..at(end).max(at(from))].into()))
        }
        _ => Err(mismatch("substring")),
    }
}

/// The characters at positions `from` (counted from 1) up to but not including `end`.
pub(crate) fn characters(s: &str, from: i64, end: i64) -> &str {
    let from = from.max(1);
    if end <= from {
        return "";
    }
    let (skip, take) = ((from - 1) as usize, usize::try_from(end - from).unwrap_or(usize::MAX));
    if s.is_ascii() {
        let start = skip.min(s.len());
        return &s[start..start.saturating_add(take).min(s.len())];
    }
    first(&s[first(s, skip).len()..], take)
}

fn position(args: &[DatumRef<'_>]) -> Result<Datum, SqlError> {
    let (s, part) = (text_of(args, 0)?, text_of(args, 1)?);
    Ok(Datum::Int4(s.find(part).map_or(0, |at| s[..at].chars().count() as i32 + 1)))
}

fn overlay_signature(args: &[Arg]) -> Option<Signature> {
    match args.len() {
        3 => fits(args, &[Text, Text, Int4], Text),
        _ => fits(args, &[Text, Text, Int4, Int4], Text),
    }
}

fn overlay(call: &Call<'_>, args: &[DatumRef<'_>]) -> Result<Datum, SqlError> {
    let (s, with, from) = (text_of(args, 0)?, text_of(args, 1)?, int_of(args, 2)?);
    let count = if args.len() == 4 { int_of(args, 3)? } else { with.chars().count() as i64 };
    if from < 1 {
        return Err(SqlError::new(SqlState(*b"22011"), "negative substring length not allowed"));
    }
    let parts = [characters(s, 1, from), with, characters(s, from.saturating_add(count), i64::MAX)];
    call.room_for(parts.iter().map(|part| part.len()).sum())?;
    text(parts.concat())
}

fn trim_signature(args: &[Arg]) -> Option<Signature> {
    match args.len() {
        1 => fits(args, &[Text], Text),
        _ => fits(args, &[Text, Text], Text),
    }
}

fn trim(args: &[DatumRef<'_>], start: bool, end: bool) -> Result<Datum, SqlError> {
    let mut s = text_of(args, 0)?;
    let characters = if args.len() == 2 { text_of(args, 1)? } else { " " };
    if start {
        s = s.trim_start_matches(|c| characters.contains(c));
    }
    if end {
        s = s.trim_end_matches(|c| characters.contains(c));
    }
    text(s)
}

fn pad_signature(args: &[Arg]) -> Option<Signature> {
    match args.len() {
        2 => fits(args, &[Text, Int4], Text),
        _ => fits(args, &[Text, Int4, Text], Text),
    }
}

fn pad(call: &Call<'_>, args: &[DatumRef<'_>], left: bool) -> Result<Datum, SqlError> {
    let (s, wanted) = (text_of(args, 0)?, int_of(args, 1)?.max(0) as usize);
    let fill = if args.len() == 3 { text_of(args, 2)? } else { " " };
    let have = s.chars().count();
    if wanted <= have || fill.is_empty() {
        return text(first(s, wanted));
    }
    // PostgreSQL reckons with characters of four bytes.
    let most = wanted.saturating_mul(4);
    let widest = fill.chars().map(char::len_utf8).max().unwrap_or(1);
    call.room_for(if most > VALUE_BYTES_MAX { most } else { s.len() + (wanted - have) * widest })?;
    let padding: String = fill.chars().cycle().take(wanted - have).collect();
    text(if left { [&padding, s].concat() } else { [s, &padding].concat() })
}

fn split_part(args: &[DatumRef<'_>]) -> Result<Datum, SqlError> {
    let (s, separator, n) = (text_of(args, 0)?, text_of(args, 1)?, int_of(args, 2)?);
    if n == 0 {
        return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "field position must not be zero"));
    }
    let at = n.unsigned_abs() as usize - 1;
    if separator.is_empty() {
        return text(if at == 0 { s } else { "" });
    }
    let part = if n > 0 { s.split(separator).nth(at) } else { s.rsplit(separator).nth(at) };
    text(part.unwrap_or(""))
}

fn translate(call: &Call<'_>, args: &[DatumRef<'_>]) -> Result<Datum, SqlError> {
    let (s, from) = (text_of(args, 0)?, text_of(args, 1)?);
    let to: Vec<char> = text_of(args, 2)?.chars().collect();
    let widest = to.iter().map(|c| c.len_utf8()).max().unwrap_or(1);
    call.room_for(s.len().saturating_mul(widest).min(VALUE_BYTES_MAX))?;
    let mapped = s.chars().filter_map(|c| match from.chars().position(|f| f == c) {
        Some(at) => to.get(at).copied(),
        None => Some(c),
    });
    text(mapped.collect::<String>())
}

fn similar_signature(args: &[Arg]) -> Option<Signature> {
    match args.len() {
        2 => fits(args, &[Text; 2], Bool),
        _ => fits(args, &[Text; 3], Bool),
    }
}

fn hex_signature(args: &[Arg]) -> Option<Signature> {
    match *args {
        [Some(Int8)] => fits(args, &[Int8], Text),
        _ => fits(args, &[Int4], Text),
    }
}

fn all_text(args: &[Arg]) -> Option<Signature> {
    // A boolean is not cast: its output is shorter than its text.
    let taken = |arg: &Arg| if *arg == Some(Bool) { Bool } else { Text };
    (!args.is_empty()).then(|| Signature { args: args.iter().map(taken).collect(), result: Text })
}

/// What is shown of a value; `None` is NULL.
fn as_output<'a>(v: &DatumRef<'a>) -> Option<&'a str> {
    match v {
        DatumRef::Text(v) => Some(v),
        DatumRef::Bool(v) => Some(if *v { "t" } else { "f" }),
        _ => None,
    }
}

fn quote_ident(s: &str) -> String {
    let mut chars = s.chars();
    let plain = chars.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '$');
    if plain && !KEYWORDS.contains(&s) { s.to_owned() } else { format!("\"{}\"", s.replace('"', "\"\"")) }
}

/// PostgreSQL's reserved words.
const KEYWORDS: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "both",
    "case",
    "cast",
    "check",
    "collate",
    "column",
    "constraint",
    "create",
    "current_catalog",
    "current_date",
    "current_role",
    "current_time",
    "current_timestamp",
    "current_user",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "false",
    "fetch",
    "for",
    "foreign",
    "from",
    "grant",
    "group",
    "having",
    "in",
    "initially",
    "intersect",
    "into",
    "lateral",
    "leading",
    "limit",
    "localtime",
    "localtimestamp",
    "not",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "placing",
    "primary",
    "references",
    "returning",
    "select",
    "session_user",
    "some",
    "symmetric",
    "table",
    "then",
    "to",
    "trailing",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "variadic",
    "when",
    "where",
    "window",
    "with",
];

fn quote_literal(s: &str) -> String {
    let quoted = s.replace('\'', "''");
    if s.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

//! `regexp_replace`, with PostgreSQL's replacements and flags over the `regex` crate's patterns.
//!
//! ```text
//! replacement   \1 .. \9 a group   \& the match   \\ a backslash   any other backslash is itself
//! flags         g all of them      i, c case      n, m, p, w new lines      x blanks ignored      q no pattern, plain text
//! ```
//!
//! Not here: back references and look-around in patterns, which `regex` has not; they are refused (2201B).

use std::cell::RefCell;

use regex::{Captures, Regex, RegexBuilder};
use types::{Datum, DatumRef, SqlError, SqlState, SqlType};

use super::{fits, text, text_of};
use crate::function::{Call, Function};

pub(super) const FUNCTIONS: &[Function] = &[Function::new(
    "regexp_replace",
    |args, _| fits(args, &[SqlType::Text; 3], SqlType::Text).or_else(|| fits(args, &[SqlType::Text; 4], SqlType::Text)),
    replace,
)];

/// A compiled pattern, its flags resolved.
#[derive(Clone)]
struct Compiled {
    regex: Regex,
    all: bool,
}

fn compile(pattern: &str, flags: &str) -> Result<Compiled, SqlError> {
    let (mut all, mut ignore_case, mut dot_all, mut lines, mut extended, mut plain) = (false, false, true, false, false, false);
    for flag in flags.chars() {
        match flag {
            'g' => all = true,
            'i' => ignore_case = true,
            'c' => ignore_case = false,
            'n' | 'm' => (dot_all, lines) = (false, true),
            'p' => (dot_all, lines) = (false, false),
            'w' => (dot_all, lines) = (true, true),
            's' => (dot_all, lines) = (true, false),
            'x' => extended = true,
            't' => extended = false,
            'q' => plain = true,
            other => {
                let message = format!("invalid regular expression option: \"{other}\"");
                return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
            }
        }
    }
    let escaped = if plain { regex::escape(pattern) } else { pattern.to_owned() };
    let regex = RegexBuilder::new(&escaped)
        .case_insensitive(ignore_case)
        .dot_matches_new_line(dot_all)
        .multi_line(lines)
        .ignore_whitespace(extended)
        .build()
        .map_err(|error| {
            // The last line says what is wrong, those before show where.
            let shown = error.to_string();
            let why = shown.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            SqlError::new(SqlState(*b"2201B"), format!("invalid regular expression: {why}"))
        })?;
    Ok(Compiled { regex, all })
}

thread_local! {
    /// The last pattern with its flags: a column is replaced by one.
    static LAST: RefCell<Option<(String, String, Compiled)>> = const { RefCell::new(None) };
}

fn compiled(pattern: &str, flags: &str) -> Result<Compiled, SqlError> {
    LAST.with_borrow_mut(|last| {
        if let Some((p, f, found)) = last
            && p == pattern
            && f == flags
        {
            return Ok(found.clone());
        }
        let made = compile(pattern, flags)?;
        *last = Some((pattern.to_owned(), flags.to_owned(), made.clone()));
        Ok(made)
    })
}

fn replace(call: &Call<'_>, args: &[DatumRef<'_>]) -> Result<Datum, SqlError> {
    let (subject, replacement) = (text_of(args, 0)?, text_of(args, 2)?);
    let flags = if args.len() > 3 { text_of(args, 3)? } else { "" };
    let Compiled { regex, all } = compiled(text_of(args, 1)?, flags)?;
    let mut out = String::new();
    let mut copied = 0;
    for found in regex.captures_iter(subject).take(if all { usize::MAX } else { 1 }) {
        let Some(whole) = found.get(0) else { continue };
        out.push_str(&subject[copied..whole.start()]);
        append(&found, replacement, &mut out);
        copied = whole.end();
        if out.len() > subject.len() {
            call.room_for(out.len())?;
        }
    }
    out.push_str(&subject[copied..]);
    text(out)
}

/// The replacement of one match.
fn append(found: &Captures<'_>, replacement: &str, out: &mut String) {
    let mut rest = replacement.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let group = |at: usize| found.get(at).map_or("", |group| group.as_str());
        match rest.next() {
            Some('&') => out.push_str(group(0)),
            Some(digit @ '1'..='9') => out.push_str(group(digit as usize - '0' as usize)),
            Some('\\') | None => out.push('\\'),
            Some(other) => out.extend(['\\', other]),
        }
    }
}

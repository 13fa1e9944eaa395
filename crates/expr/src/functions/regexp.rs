//! `regexp_replace`: PostgreSQL's patterns, replacements and flags, matched by the `regex` crate.
//!
//! ```text
//! replacement   \1 .. \9 a group   \& the match   \\ a backslash   any other backslash is itself
//! flags         g all of them      i, c case      n, m, p, s, w new lines      x, t blanks      q plain text      e extended, not advanced
//! ```
//!
//! 1. Patterns are translated (`pattern`), and where the next match is looked for is PostgreSQL's: behind an empty one, one character on.
//! 2. Of alternatives the first that leads to a match is taken, where PostgreSQL takes the longest match: `foo|foobar` finds `foo`.
//!    A quantifier is greedy or not by itself; in PostgreSQL the first of a branch decides for all.
//! 3. `i` is for all letters, not only ASCII's.
//!
//! Not here: back references and look-around in patterns, which `regex` has not, and basic expressions; they are refused (0A000).

use std::cell::RefCell;

use regex::{Captures, Regex, RegexBuilder};
use types::{Datum, DatumRef, SqlError, SqlType};

use super::{fits, text, text_of};
use crate::function::{Call, Function};

mod pattern;

use pattern::Options;

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
    let mut options = Options::of(flags)?;
    let pattern = pattern::translate(pattern, &mut options)?;
    let regex = RegexBuilder::new(&pattern)
        .case_insensitive(options.ignore_case)
        .dot_matches_new_line(options.dot_all)
        .multi_line(options.lines)
        .build()
        .map_err(|error| {
            // The last line says what is wrong, those before show where.
            let shown = error.to_string();
            pattern::invalid(shown.lines().last().unwrap_or_default().trim_start_matches("error: "))
        })?;
    Ok(Compiled { regex, all: options.all })
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
    let subject = text_of(args, 0)?;
    let replacement = parts(text_of(args, 2)?);
    let flags = if args.len() > 3 { text_of(args, 3)? } else { "" };
    let Compiled { regex, all } = compiled(text_of(args, 1)?, flags)?;
    let mut out = String::new();
    let mut room = subject.len();
    // What is copied, and where the next match is looked for.
    let (mut copied, mut from) = (0, 0);
    while let Some(found) = regex.captures_at(subject, from) {
        let Some(whole) = found.get(0) else { break };
        let before = &subject[copied..whole.start()];
        let length: usize = replacement.iter().map(|part| part.text(&found).len()).sum();
        call.room_to_grow(&mut room, out.len() + before.len() + length)?;
        out.push_str(before);
        replacement.iter().for_each(|part| out.push_str(part.text(&found)));
        copied = whole.end();
        from = copied;
        if whole.is_empty() {
            match subject[copied..].chars().next() {
                Some(next) => from += next.len_utf8(),
                None => break,
            }
        }
        if !all {
            break;
        }
    }
    let rest = &subject[copied..];
    call.room_to_grow(&mut room, out.len() + rest.len())?;
    out.push_str(rest);
    text(out)
}

/// A part of a replacement.
#[derive(Debug, PartialEq)]
enum Part<'a> {
    Text(&'a str),
    Group(usize),
}

impl Part<'_> {
    fn text<'a>(&'a self, found: &'a Captures<'_>) -> &'a str {
        match self {
            Part::Text(text) => text,
            Part::Group(at) => found.get(*at).map_or("", |group| group.as_str()),
        }
    }
}

fn parts(replacement: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = replacement;
    while let Some(at) = rest.find('\\') {
        parts.push(Part::Text(&rest[..at]));
        let (part, length) = match rest.as_bytes().get(at + 1) {
            Some(b'&') => (Part::Group(0), 2),
            Some(digit @ b'1'..=b'9') => (Part::Group((digit - b'0').into()), 2),
            Some(b'\\') => (Part::Text("\\"), 2),
            // It is itself, and what follows it.
            _ => (Part::Text("\\"), 1),
        };
        parts.push(part);
        rest = &rest[at + length..];
    }
    parts.push(Part::Text(rest));
    parts
}

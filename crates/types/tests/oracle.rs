//! What PostgreSQL 15 answers, case by case: `scripts/oracle/value_forms.py` asked it and wrote `fixtures/*.tsv`.
//!
//! Every difference is either ours on purpose, and then [`ours`] says which and why, or a failure.

#![allow(clippy::unwrap_used, reason = "tests")]

use types::text::Session;
use types::{Datum, SqlError, SqlType, binary, coerce, text, zone};

struct Case<'a> {
    zone: &'a str,
    from: SqlType,
    input: String,
    to: SqlType,
    expected: Result<(String, String), [String; 4]>,
}

fn unescape(field: &str) -> String {
    let mut out = String::new();
    let mut chars = field.chars();
    while let Some(c) = chars.next() {
        out.push(match (c, if c == '\\' { chars.next() } else { None }) {
            (_, Some('t')) => '\t',
            (_, Some('n')) => '\n',
            (_, Some('r')) => '\r',
            (_, Some(other)) => other,
            (c, None) => c,
        });
    }
    out
}

fn cases(fixture: &str, has_target: bool) -> impl Iterator<Item = Case<'_>> {
    // Split at \n only: `lines` would also drop a \r.
    fixture.split('\n').filter(|line| !line.is_empty() && !line.starts_with('#')).map(move |line| {
        let mut columns = line.split('\t');
        let mut next = || columns.next().unwrap_or_default();
        let (zone, from, input) = (next(), next(), unescape(next()));
        let to = if has_target { next() } else { from };
        let named = |name: &str| SqlType::from_name(name).unwrap_or_else(|| panic!("no type {name}"));
        let first = unescape(next());
        let rest = [(); 3].map(|()| unescape(next()));
        let expected = match first.strip_prefix('!') {
            Some(state) => {
                let [message, detail, hint] = rest;
                Err([state.to_owned(), message, detail, hint])
            }
            None => Ok((first, rest[0].clone())),
        };
        Case { zone, from: named(from), input, to: named(to), expected }
    })
}

fn described(error: &SqlError) -> [String; 4] {
    let field = |field: &Option<String>| field.clone().unwrap_or_default();
    [error.state.to_string(), error.message.clone(), field(&error.fields.detail), field(&error.fields.hint)]
}

fn shown(v: &Datum, session: &Session) -> String {
    let mut out = Vec::new();
    text::format_in(v.as_ref(), &session.zone, &mut out);
    String::from_utf8(out).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn session(zone: &str) -> Session {
    Session { zone: zone::named(zone).unwrap(), now: None }
}

/// The SQLSTATE of ours where PostgreSQL has another answer, and why.
fn ours(t: SqlType, input: &str, expected: &Result<(String, String), [String; 4]>) -> Option<(&'static str, &'static str)> {
    let shown = expected.as_ref().map(|(shown, _)| shown.as_str()).unwrap_or_default();
    let year = || shown.split('-').next().and_then(|year| year.parse::<i64>().ok());
    match t {
        SqlType::Float4 | SqlType::Float8 if input.contains(['x', '(']) => {
            Some(("22P02", "hexadecimal floats and nan(n) are the C library's, not PostgreSQL's"))
        }
        SqlType::Numeric { .. } if shown == "NaN" => Some(("0A000", "a numeric has no NaN")),
        SqlType::Date if shown == "4714-11-23 BC" => Some(("22008", "PostgreSQL shows this date and cannot read it")),
        SqlType::Timestamp | SqlType::TimestampTz if year().is_some_and(|year| year >= 294_247) => {
            Some(("22008", "our timestamps end in January 294247"))
        }
        SqlType::Interval => {
            let hours = shown.split(' ').find(|part| part.contains(':')).and_then(|time| time.split(':').next());
            let hours: Option<i64> = hours.and_then(|hours| hours.trim_start_matches(['-', '+']).parse().ok());
            let is_long = hours.is_some_and(|hours| hours >= 2_562_047);
            is_long.then_some(("22008", "the time part of our intervals ends at 292 years"))
        }
        _ => None,
    }
}

fn text_case(case: &Case<'_>) -> Result<(), String> {
    let session = session(case.zone);
    let answer = text::parse_in(case.from, &case.input, &session);
    match (&answer, &case.expected) {
        (Err(error), expected)
            if ours(case.from, &case.input, expected).is_some_and(|(state, _)| state == error.state.as_str()) =>
        {
            Ok(())
        }
        (Err(error), Err(expected)) if described(error) == *expected => Ok(()),
        (Ok(value), Ok((expected, sent))) => {
            let mut bytes = Vec::new();
            binary::format(value.as_ref(), case.from, &mut bytes);
            if shown(value, &session) != *expected {
                return Err(format!("shown as {:?}", shown(value, &session)));
            }
            if hex(&bytes) != *sent {
                return Err(format!("sent as {}", hex(&bytes)));
            }
            let is_nan = matches!(value, Datum::Float4(v) if v.is_nan()) || matches!(value, Datum::Float8(v) if v.is_nan());
            match binary::parse(case.from, &unhex(sent)) {
                Ok(back) if back == *value || is_nan => Ok(()),
                back => Err(format!("received as {back:?}")),
            }
        }
        (Ok(value), _) => Err(format!("shown as {:?}", shown(value, &session))),
        (Err(error), _) => Err(format!("refused as {:?}", described(error))),
    }
}

/// A bare numeric has as many digits after the point as are written in PostgreSQL, and as its type says here.
fn bare_numeric_case(case: &Case<'_>) -> Result<(), String> {
    let answer = text::parse_decimal(&case.input).map(|value| text::to_string(types::DatumRef::Numeric(value)));
    match (&answer, &case.expected) {
        (Ok(shown), Ok((expected, _))) if shown == expected => Ok(()),
        // More digits than fit: rounded, or refused if they are before the point.
        (Ok(shown), Ok((expected, _))) if expected.len() > 38 => {
            let scale = shown.split('.').nth(1).map_or(0, str::len) as u8;
            let rounded = text::parse(SqlType::Numeric { precision: 38, scale }, expected).map(|v| text::to_string(v.as_ref()));
            if rounded.as_ref() == Ok(shown) { Ok(()) } else { Err(shown.clone()) }
        }
        (Err(error), Ok((expected, _)))
            if error.state.as_str() == "22003"
                && (expected.find('.').unwrap_or(expected.len()) > 38 || expected.ends_with("Infinity")) =>
        {
            Ok(())
        }
        (Err(error), Ok((expected, _))) if error.state.as_str() == "0A000" && expected == "NaN" => Ok(()),
        (Err(error), Err(expected)) if described(error) == *expected => Ok(()),
        (answer, _) => Err(format!("{answer:?}")),
    }
}

fn report(failures: Vec<String>, cases: usize) {
    assert!(cases > 1000, "the fixture has only {cases} cases");
    assert!(failures.is_empty(), "{} of {cases} cases differ:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn text_and_binary_forms_are_those_of_postgresql() {
    let mut failures = Vec::new();
    let mut count = 0;
    for case in cases(include_str!("fixtures/text.tsv"), false) {
        count += 1;
        let answer = if case.from == SqlType::NUMERIC { bare_numeric_case(&case) } else { text_case(&case) };
        if let Err(answer) = answer {
            failures.push(format!("{} {} {:?}: {answer}, expected {:?}", case.zone, case.from, case.input, case.expected));
        }
    }
    report(failures, count);
}

#[test]
fn assignments_are_those_of_postgresql() {
    let mut failures = Vec::new();
    let mut count = 0;
    for case in cases(include_str!("fixtures/coerce.tsv"), true) {
        count += 1;
        let session = session(case.zone);
        // The literal itself is a matter of the other test.
        let Ok(value) = text::parse_in(case.from, &case.input, &session) else { continue };
        let answer = coerce::assign_column_in(value, case.to, "v", &session);
        let answer = answer.map(|v| shown(&v, &session)).map_err(|error| described(&error));
        let same = match (&answer, &case.expected) {
            (Ok(shown), Ok((expected, _))) => shown == expected,
            (Err([state, ..]), expected) if ours(case.to, "", expected).is_some_and(|(ours, _)| ours == state) => true,
            (Err(error), Err(expected)) => error == expected,
            _ => false,
        };
        if !same {
            failures.push(format!(
                "{} {} {:?} to {}: {answer:?}, expected {:?}",
                case.zone, case.from, case.input, case.to, case.expected
            ));
        }
    }
    report(failures, count);
}

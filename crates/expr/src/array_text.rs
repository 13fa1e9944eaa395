//! The elements of an array written as text: `'{1,2,"a b",NULL}'`, or with its bounds `'[0:1]={1,2}'`.
//!
//! Source: PostgreSQL 15, "Array Input and Output Syntax".

use types::{SqlError, SqlState};

/// The elements of an array of one dimension; `None` is NULL. Errors: 22P02, 0A000 for arrays of arrays.
pub(crate) fn elements(text: &str) -> Result<Vec<Option<String>>, SqlError> {
    let malformed = |why: &str| {
        SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("malformed array literal: \"{text}\""))
            .detail(why.to_owned())
    };
    let (length, items) = bounds(text.trim(), &malformed)?;
    let inner = (items.strip_prefix('{'))
        .ok_or_else(|| malformed("Array value must start with \"{\" or dimension information."))?
        .strip_suffix('}')
        .ok_or_else(|| malformed("Unexpected end of input."))?;
    let mut chars = inner.trim().chars().peekable();
    let mut found = Vec::new();
    let differs = |found: usize| length.is_some_and(|length| length != found as i64);
    let wrong_length = || malformed("Specified array dimensions do not match array contents.");
    if chars.peek().is_none() {
        return if differs(0) { Err(wrong_length()) } else { Ok(found) };
    }
    loop {
        while chars.next_if(|c| c.is_ascii_whitespace()).is_some() {}
        let mut element = String::new();
        let mut is_quoted = false;
        // What blanks at the end are cut back to: those that a backslash or quotes protect stay.
        let mut kept = 0;
        loop {
            match chars.next_if(|c| *c != ',') {
                None => break,
                Some('{' | '}') => return Err(SqlError::unsupported("arrays of arrays are not supported")),
                Some('"') if is_quoted || !element.is_empty() => return Err(malformed("Incorrectly quoted array element.")),
                Some('"') => {
                    is_quoted = true;
                    loop {
                        match chars.next().ok_or_else(|| malformed("Unexpected end of input."))? {
                            '"' => break,
                            '\\' => element.push(chars.next().ok_or_else(|| malformed("Unexpected end of input."))?),
                            c => element.push(c),
                        }
                    }
                    kept = element.len();
                }
                Some(c) if is_quoted && !c.is_ascii_whitespace() => return Err(malformed("Incorrectly quoted array element.")),
                Some('\\') => {
                    element.push(chars.next().ok_or_else(|| malformed("Unexpected end of input."))?);
                    kept = element.len();
                }
                Some(c) => {
                    element.push(c);
                    if !c.is_ascii_whitespace() {
                        kept = element.len();
                    }
                }
            }
        }
        element.truncate(kept);
        match element {
            element if !is_quoted && element.eq_ignore_ascii_case("null") => found.push(None),
            element if !is_quoted && element.is_empty() => return Err(malformed("Unexpected \",\" or end of input.")),
            element => found.push(Some(element)),
        }
        if chars.next().is_none() {
            return if differs(found.len()) { Err(wrong_length()) } else { Ok(found) };
        }
    }
}

/// The length that bounds say, if there are any (`[low:high]=` or `[high]=`), and what follows them.
fn bounds<'a>(text: &'a str, malformed: &impl Fn(&str) -> SqlError) -> Result<(Option<i64>, &'a str), SqlError> {
    let Some(rest) = text.strip_prefix('[') else { return Ok((None, text)) };
    let missing = |what: &str| malformed(&format!("Missing \"{what}\" after array dimensions."));
    let (inside, rest) = rest.split_once(']').ok_or_else(|| missing("]"))?;
    let number = |text: &str| {
        text.parse::<i32>().map(i64::from).map_err(|_| malformed("\"[\" must introduce explicitly-specified array dimensions."))
    };
    let (low, high) = match inside.split_once(':') {
        Some((low, high)) => (number(low)?, number(high)?),
        None => (1, number(inside)?),
    };
    if high < low {
        return Err(SqlError::new(SqlState(*b"2202E"), "upper bound cannot be less than lower bound"));
    }
    let rest = rest.trim_start();
    if rest.starts_with('[') {
        return Err(SqlError::unsupported("arrays of arrays are not supported"));
    }
    Ok((Some(high - low + 1), rest.strip_prefix('=').ok_or_else(|| missing("="))?.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_postgresqls() {
        // As PostgreSQL 15 answers; None: refused.
        let some =
            |items: &[&str]| Some(items.iter().map(|item| (*item != "<null>").then(|| (*item).to_owned())).collect::<Vec<_>>());
        for (text, expected) in [
            ("{}", some(&[])),
            (" { } ", some(&[])),
            ("{1,2}", some(&["1", "2"])),
            ("{ a b , c }", some(&["a b", "c"])),
            (r#"{"a,b","c\"d",NULL,"NULL",x\,y}"#, some(&["a,b", "c\"d", "<null>", "NULL", "x,y"])),
            (r#"{""}"#, some(&[""])),
            ("{1,}", None),
            ("{,1}", None),
            ("1,2", None),
            ("{1", None),
            (r#"{"a"b}"#, None),
            (r#"{a"b"}"#, None),
            (r#"{"a}"#, None),
            ("{{1},{2}}", None),
            ("[1:2]={1,2}", some(&["1", "2"])),
            ("[-1:0] = {1,2}", some(&["1", "2"])),
            ("[2]={1,2}", some(&["1", "2"])),
            ("[1:3]={1,2}", None),
            ("[2:1]={}", None),
            ("[1:1]={}", None),
            ("[1:2]{1,2}", None),
            ("[a:2]={1,2}", None),
            ("[1:1][1:2]={{1,2}}", None),
        ] {
            assert_eq!(elements(text).ok(), expected, "{text}");
        }
    }
}

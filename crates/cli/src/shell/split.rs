//! Where a statement ends: at a semicolon that is in no string, name, comment or dollar quote. Backslash commands end with their line.
//!
//! Not here: what statements mean; the parser of `sql` finds every error.

/// The statements of a text, each with the number of its first line (from 1). The last one need not end with a semicolon.
pub(super) fn statements(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let end = end_of(&text[start..]).map_or(text.len(), |end| start + end);
        let statement = &text[start..end];
        let blank = statement.len() - skip_blank(statement).len();
        if blank < statement.len() && statement[blank..].trim() != ";" {
            let line = 1 + text[..start + blank].matches('\n').count();
            found.push((line, statement[blank..].trim_end()));
        }
        start = end;
    }
    found
}

/// True if the text ends with a whole statement.
pub(super) fn is_complete(text: &str) -> bool {
    let mut rest = text;
    while let Some(end) = end_of(rest) {
        rest = &rest[end..];
    }
    skip_blank(rest).is_empty()
}

/// What follows white space and comments.
fn skip_blank(text: &str) -> &str {
    let mut rest = text.trim_start();
    loop {
        let after = if rest.starts_with("--") {
            rest.find('\n').map_or("", |end| &rest[end..])
        } else if rest.starts_with("/*") {
            match comment_end(rest) {
                Some(end) => &rest[end..],
                None => return rest,
            }
        } else {
            return rest;
        };
        rest = after.trim_start();
    }
}

/// The byte after the first statement's semicolon, or after a backslash command's line.
fn end_of(text: &str) -> Option<usize> {
    let begin = text.len() - skip_blank(text).len();
    if text[begin..].starts_with('\\') {
        return Some(text[begin..].find('\n').map_or(text.len(), |end| begin + end + 1));
    }
    let bytes = text.as_bytes();
    let mut at = begin;
    while at < bytes.len() {
        at = match bytes[at] {
            b';' => return Some(at + 1),
            b'\'' => {
                let escapes = at > 0 && matches!(bytes[at - 1], b'e' | b'E') && (at < 2 || !is_word(bytes[at - 2]));
                quote_end(text, at, b'\'', escapes)?
            }
            b'"' => quote_end(text, at, b'"', false)?,
            b'-' if text[at..].starts_with("--") => at + text[at..].find('\n')?,
            b'/' if text[at..].starts_with("/*") => at + comment_end(&text[at..])?,
            b'$' if at == 0 || !is_word(bytes[at - 1]) => match dollar_tag(&text[at..]) {
                Some(tag) => at + tag.len() + text[at + tag.len()..].find(tag)? + tag.len(),
                None => at + 1,
            },
            _ => at + 1,
        };
    }
    None
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// The byte after a quoted piece that starts at `start`; a doubled quote is part of it.
fn quote_end(text: &str, start: usize, quote: u8, escapes: bool) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = start + 1;
    while at < bytes.len() {
        if bytes[at] == b'\\' && escapes {
            at += 2;
        } else if bytes[at] != quote {
            at += 1;
        } else if bytes.get(at + 1) == Some(&quote) {
            at += 2;
        } else {
            return Some(at + 1);
        }
    }
    None
}

/// The byte after a comment, which may hold others, at the start of `text`.
fn comment_end(text: &str) -> Option<usize> {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += 1;
        }
    }
    None
}

/// `$$` or `$name$` at the start of `text`.
fn dollar_tag(text: &str) -> Option<&str> {
    let end = text[1..].find('$')? + 1;
    let name = &text.as_bytes()[1..end];
    let is_tag = name.iter().all(|byte| is_word(*byte)) && !name.first().is_some_and(u8::is_ascii_digit);
    is_tag.then(|| &text[..=end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_in_quotes_and_comments_end_nothing() {
        for whole in [
            "select ';';",
            "select 'it''s; ok';",
            "select E'\\';' ;",
            "select \"a;b\" from t;",
            "select 1 -- one; two\n;",
            "select /* ; /* ; */ ; */ 1;",
            "select $$ ; $$;",
            "select $x$ ; $$ ; $x$;",
            "select $1;",
            "select a$b$;",
        ] {
            assert_eq!(statements(whole), [(1, whole)], "{whole}");
            assert!(is_complete(whole), "{whole}");
            assert!(!is_complete(&whole[..whole.len() - 1]), "{whole}");
        }
    }

    #[test]
    fn statements_have_their_lines() {
        let text = "-- head\nselect 1;\n\n  select\n 2 ;;\\d t\n select 3\n";
        assert_eq!(statements(text), [(2, "select 1;"), (4, "select\n 2 ;"), (5, "\\d t"), (6, "select 3")]);
        assert!(!is_complete(text));
        assert!(is_complete("select 1; -- done\n"));
        assert!(statements(" -- nothing\n/* at all */ ; ").is_empty());
    }

    #[test]
    fn any_text_is_split_without_losing_a_word() {
        for text in ["'", "\"", "$", "$$", "$a", "/*", "--", "é;'", "\\", "E'\\"] {
            statements(text);
            is_complete(text);
        }
        assert_eq!(statements("select 'open; x"), [(1, "select 'open; x")]);
    }
}

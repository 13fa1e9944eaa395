//! FOR NO KEY UPDATE, FOR KEY SHARE and lists behind OF, in the form that the parser of queries knows.
//!
//! ```text
//! FOR NO KEY UPDATE OF a, b      FOR UPDATE OF <no key update>.a.b          read again by `point::LockClause`
//! FOR UPDATE LIMIT 1             LIMIT 1 FOR UPDATE
//! ```

use point::{KEY_SHARE, NO_KEY_UPDATE};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Whitespace, Word};
use types::{SqlError, SqlState};

use super::source::Source;

/// The tokens with locking clauses as the parser knows them. Errors: 42601.
pub(super) fn adjust(mut tokens: Vec<TokenWithSpan>, source: &Source) -> Result<Vec<TokenWithSpan>, SqlError> {
    let mut at = 0;
    // Where the clauses begin that the last one belongs to, and the first token behind them.
    let mut clauses = (0, None);
    while at < tokens.len() {
        if is(&tokens[at], "for") {
            let end = clause(&mut tokens, at, source)?;
            if end > at {
                let first = if clauses.1 == Some(at) { clauses.0 } else { at };
                let end = policy(&tokens, end);
                at = end + bounds(&mut tokens, first, end);
                clauses = (first, next(&tokens, at));
            }
        }
        at += 1;
    }
    Ok(tokens)
}

/// Behind a clause, the end of its NOWAIT or SKIP LOCKED.
fn policy(tokens: &[TokenWithSpan], end: usize) -> usize {
    match next(tokens, end) {
        Some(at) if is(&tokens[at], "nowait") => at,
        Some(at) if is(&tokens[at], "skip") => words(tokens, at, &["locked"]).and_then(|at| at.last().copied()).unwrap_or(end),
        _ => end,
    }
}

/// Moves LIMIT, OFFSET and FETCH from behind the clauses that end at `end` to before them; returns by how much those moved.
fn bounds(tokens: &mut Vec<TokenWithSpan>, first: usize, end: usize) -> usize {
    let is_bound = |at: &usize| ["limit", "offset", "fetch"].iter().any(|word| is(&tokens[*at], word));
    let Some(from) = next(tokens, end).filter(is_bound) else { return 0 };
    let mut depth = 0;
    let is_over = |token: &TokenWithSpan| {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        depth < 0 || matches!(token.token, Token::SemiColon | Token::EOF)
    };
    let to = tokens[from..].iter().position(is_over).map_or(tokens.len(), |rest| from + rest);
    let blank = TokenWithSpan { token: Token::Whitespace(Whitespace::Space), span: tokens[from].span };
    let moved: Vec<TokenWithSpan> = tokens.drain(from..to).chain([blank]).collect();
    let by = moved.len();
    tokens.splice(first..first, moved);
    by
}

fn is(token: &TokenWithSpan, word: &str) -> bool {
    matches!(&token.token, Token::Word(Word { value, quote_style: None, .. }) if value == word)
}

/// The position behind `from` of the next token that is no blank.
fn next(tokens: &[TokenWithSpan], from: usize) -> Option<usize> {
    (from + 1..tokens.len()).find(|at| !matches!(tokens[*at].token, Token::Whitespace(_)))
}

/// The positions of these words, one behind the other.
fn words(tokens: &[TokenWithSpan], from: usize, words: &[&str]) -> Option<Vec<usize>> {
    let mut found = vec![from];
    for word in words {
        let at = next(tokens, *found.last()?)?;
        if !is(&tokens[at], word) {
            return None;
        }
        found.push(at);
    }
    Some(found)
}

/// Changes the clause that a FOR may begin; returns where it ends.
fn clause(tokens: &mut Vec<TokenWithSpan>, from: usize, source: &Source) -> Result<usize, SqlError> {
    let special = words(tokens, from, &["no", "key", "update"]).map(|at| (at, NO_KEY_UPDATE));
    let special = special.or_else(|| words(tokens, from, &["key", "share"]).map(|at| (at, KEY_SHARE)));
    let plain = || words(tokens, from, &["update"]).or_else(|| words(tokens, from, &["share"]));
    let Some(mut end) = special.as_ref().map(|(at, _)| at.clone()).or_else(plain).and_then(|at| at.last().copied()) else {
        return Ok(from);
    };
    let words = match &special {
        Some((_, NO_KEY_UPDATE)) => "NO KEY UPDATE",
        Some(_) => "KEY SHARE",
        None if is(&tokens[end], "share") => "SHARE",
        None => "UPDATE",
    };
    let mut of = next(tokens, end).filter(|at| is(&tokens[*at], "of"));
    if let Some((at, name)) = special {
        // All but FOR and the last word.
        for gone in &at[1..at.len() - 1] {
            tokens[*gone].token = Token::Whitespace(Whitespace::Space);
        }
        let span = tokens[end].span;
        let word = |value: &str, quote_style, keyword| TokenWithSpan {
            token: Token::Word(Word { value: value.to_owned(), quote_style, keyword }),
            span,
        };
        let made = match of {
            Some(at) => {
                let made = vec![word(name, Some('"'), Keyword::NoKeyword), TokenWithSpan { token: Token::Period, span }];
                tokens.splice(at + 1..=at, made);
                of = Some(at + 2);
                None
            }
            None => Some([word("of", None, Keyword::OF), word(name, Some('"'), Keyword::NoKeyword)]),
        };
        if let Some(made) = made {
            tokens.splice(end + 1..=end, made);
            end += 2;
        }
    }
    let Some(of) = of else { return Ok(end) };
    // A list of names becomes one name of several parts.
    let mut last = of;
    while let Some(name) = next(tokens, last).filter(|at| matches!(tokens[*at].token, Token::Word(_))) {
        last = name;
        let Some(after) = next(tokens, name) else { break };
        match tokens[after].token {
            Token::Comma => tokens[after].token = Token::Period,
            Token::Period => {
                let message = format!("FOR {words} must specify unqualified relation names");
                let position = source.position(source.byte(tokens[name].span.start));
                return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).position(position));
            }
            _ => break,
        }
        last = after;
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use engine::{OnLocked, RowLock};
    use point::LockClause;

    use crate::parse::{Command, parse};

    #[test]
    fn clauses_are_read_as_postgresql_reads_them() {
        for (text, expected) in [
            ("for update", vec![(RowLock::Update, OnLocked::Wait, "")]),
            ("for no key update nowait", vec![(RowLock::NoKeyUpdate, OnLocked::Fail, "")]),
            ("for share of t skip locked", vec![(RowLock::Share, OnLocked::Skip, "t")]),
            ("for key share of t, u", vec![(RowLock::KeyShare, OnLocked::Wait, "t u")]),
            ("for  no /* not */ key\nupdate of \"T\" , u nowait", vec![(RowLock::NoKeyUpdate, OnLocked::Fail, "T u")]),
            (
                "for update of a, b for key share",
                vec![(RowLock::Update, OnLocked::Wait, "a b"), (RowLock::KeyShare, OnLocked::Wait, "")],
            ),
        ] {
            let statements = parse(&format!("select * from t, u {text}")).unwrap();
            let Command::Query(query) = statements[0].command() else { panic!("{text}") };
            let found: Vec<_> = LockClause::of(query)
                .iter()
                .map(|clause| {
                    let of: Vec<&str> = clause.of.iter().map(|of| of.value.as_str()).collect();
                    (clause.lock.strength, clause.lock.on_locked, of.join(" "))
                })
                .collect();
            let expected: Vec<_> = expected.into_iter().map(|(lock, on_locked, of)| (lock, on_locked, of.to_owned())).collect();
            assert_eq!(found, expected, "{text}");
        }
        for (text, expected) in [
            ("for update limit 1", "LIMIT 1 FOR UPDATE"),
            (
                "for update skip locked for share of u offset (2) limit 1; select 1",
                "LIMIT 1 OFFSET (2) FOR UPDATE SKIP LOCKED FOR SHARE OF u",
            ),
            ("for update nowait fetch first 2 rows only", "FETCH FIRST 2 ROWS ONLY FOR UPDATE NOWAIT"),
        ] {
            let statements = parse(&format!("select * from t, u {text}")).unwrap();
            let Command::Query(query) = statements[0].command() else { panic!("{text}") };
            assert_eq!(query.to_string(), format!("SELECT * FROM t, u {expected}"), "{text}");
        }
        assert!(parse("select * from t limit 1 for update limit 1").is_err());
        for text in ["for key update", "for no update", "for update of", "for update of a b", "for update of a.b, c of d"] {
            assert!(parse(&format!("select * from t {text}")).is_err(), "{text}");
        }
    }
}

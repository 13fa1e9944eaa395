//! What a conflict target of ON CONFLICT may have beside names of columns: expressions, and a condition.
//!
//! ```text
//! ON CONFLICT (lower(a), b) WHERE c > 0 DO ..   -->   ON CONFLICT ON CONSTRAINT "\1(lower(a), b) WHERE c > 0" DO ..
//! ```
//!
//! sqlparser's grammar has columns only; the rest goes through it as the name of a constraint that nobody can write.
//!
//! Source: PostgreSQL 15 `gram.y`, `opt_conf_expr`.

use expr::syntax::OURS;
use sqlparser::ast::Expr;
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};
use types::{SqlError, SqlState};

use crate::parse::cursor::{self, Cursor};
use crate::parse::source::Source;

/// A conflict target as written.
#[derive(Clone, Debug)]
pub(crate) struct Inference {
    pub(crate) elements: Vec<Expr>,
    pub(crate) predicate: Option<Expr>,
}

/// Ends a SELECT list before ON CONFLICT, where `on` would be read as the name of its last column: `SELECT 1 ON CONFLICT ..` becomes
/// `SELECT 1 WHERE true ON CONFLICT ..`.
fn with_ends(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    // By depth of parentheses: within a list.
    let mut in_list = vec![false];
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    for token in tokens {
        let top = in_list.len() - 1;
        match &token.token {
            Token::LParen => in_list.push(false),
            Token::RParen if top > 0 => drop(in_list.pop()),
            Token::Word(Word { value, quote_style: None, .. }) => match value.as_str() {
                "select" => in_list[top] = true,
                "from" | "where" | "group" | "having" | "order" | "limit" | "offset" | "fetch" | "window" => in_list[top] = false,
                // DISTINCT ON is followed by a parenthesis.
                "on" if in_list[top] && !out.iter().rfind(|t| !is_space(t)).is_some_and(|t| is(t, "distinct")) => {
                    let span = token.span;
                    out.extend(["where", "true"].map(|word| TokenWithSpan::new(Token::make_keyword(word), span)));
                    in_list[top] = false;
                }
                _ => {}
            },
            _ => {}
        }
        out.push(token);
    }
    out
}

/// Puts names in the place of conflict targets that have more than names of columns. Errors: what is wrong in those.
pub(crate) fn with_names(tokens: Vec<TokenWithSpan>, source: &Source) -> Result<Vec<TokenWithSpan>, SqlError> {
    if !tokens.iter().any(|token| is(token, "conflict")) {
        return Ok(tokens);
    }
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut rest = with_ends(tokens).into_iter().peekable();
    while let Some(token) = rest.next() {
        let begins = is(&token, "conflict") && out.iter().rfind(|t| !is_space(t)).is_some_and(|t| is(t, "on"));
        out.push(token);
        if !begins {
            continue;
        }
        while let Some(space) = rest.next_if(is_space) {
            out.push(space);
        }
        if rest.peek().is_none_or(|token| token.token != Token::LParen) {
            continue;
        }
        let mut target = Vec::new();
        while let Some(token) = rest.next_if(|token| !is(token, "do")) {
            target.push(token);
        }
        let is_plain = |t: &TokenWithSpan| is_space(t) || matches!(t.token, Token::LParen | Token::RParen | Token::Comma);
        let is_name = |t: &TokenWithSpan| matches!(&t.token, Token::Word(_)) && !is(t, "where");
        let mut words = target.iter().filter(|t| !is_space(t));
        // Two words in a row are a column and something of an index.
        let one_by_one = !words
            .clone()
            .zip(words.clone().skip(1))
            .any(|(a, b)| is_name(a) && !matches!(b.token, Token::Comma | Token::RParen));
        if words.all(|t| is_plain(t) || is_name(t)) && one_by_one {
            out.extend(target);
            continue;
        }
        let (Some(first), Some(last)) = (target.first().map(|t| t.span), target.iter().rfind(|t| !is_space(t)).map(|t| t.span))
        else {
            continue;
        };
        read(&mut Cursor::new(target, source))?;
        let text = source.text().get(source.byte(first.start)..source.byte(last.end)).unwrap_or_default();
        let name =
            Word { value: format!("{OURS}{text}"), quote_style: Some('"'), keyword: sqlparser::keywords::Keyword::NoKeyword };
        for token in [Token::make_keyword("on"), Token::make_keyword("constraint"), Token::Word(name)] {
            out.push(TokenWithSpan::new(token, first));
        }
    }
    Ok(out)
}

/// The conflict target that the name of a constraint stands for; `None`: it is a name.
pub(crate) fn of_name(name: &str) -> Result<Option<Inference>, SqlError> {
    let Some(text) = name.strip_prefix(OURS) else { return Ok(None) };
    let source = Source::new(text);
    read(&mut Cursor::new(cursor::tokens(&source)?, &source)).map(Some)
}

fn read(cursor: &mut Cursor<'_>) -> Result<Inference, SqlError> {
    let elements = cursor.parenthesized(element)?;
    let predicate = if cursor.take(&["where"]) { Some(cursor.expr()?) } else { None };
    cursor.expect_end()?;
    Ok(Inference { elements, predicate })
}

fn element(cursor: &mut Cursor<'_>) -> Result<Expr, SqlError> {
    let expr = cursor.index_element()?;
    match cursor.peek() {
        None => Ok(expr),
        Some("asc" | "desc") => {
            Err(SqlError::new(SqlState::INVALID_COLUMN_REFERENCE, "ASC/DESC is not allowed in ON CONFLICT clause"))
        }
        Some("nulls") => {
            Err(SqlError::new(SqlState::INVALID_COLUMN_REFERENCE, "NULLS FIRST/LAST is not allowed in ON CONFLICT clause"))
        }
        Some(_) => Err(SqlError::unsupported("COLLATE and operator classes in ON CONFLICT are not supported")),
    }
}

fn is(token: &TokenWithSpan, word: &str) -> bool {
    matches!(&token.token, Token::Word(Word { value, quote_style: None, .. }) if value == word)
}

fn is_space(token: &TokenWithSpan) -> bool {
    matches!(token.token, Token::Whitespace(_))
}

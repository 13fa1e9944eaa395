//! What PostgreSQL's scanner does with characters that sqlparser's does not.
//!
//! ```text
//! a>-1                   a > - 1        an operator of several characters ends in + or - only with one of ~ ! @ # % ^ & | ` ? in it
//! 'one'⏎  'two'          'onetwo'       strings on several lines are one; on one line they are an error
//! '1 day'::interval PRECEDING           its type is that of the order, which the constant takes by itself
//! ```
//!
//! Not here: a comment right behind an operator, and escapes in the second line of an E'' string; they are refused.
//!
//! Source: PostgreSQL 15, `scan.l`.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Whitespace};
use types::SqlError;

use super::source::Source;

/// The tokens as PostgreSQL has them. Errors: 42601.
pub(super) fn adjust(tokens: Vec<TokenWithSpan>, source: &Source) -> Result<Vec<TokenWithSpan>, SqlError> {
    let concerned = |token: &TokenWithSpan| matches!(token.token, Token::CustomBinaryOperator(_) | Token::SingleQuotedString(_));
    if !tokens.iter().any(concerned) {
        return Ok(tokens);
    }
    let mut adjusted: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    for token in tokens {
        match &token.token {
            // Its rest is a comment, which was read as something else.
            Token::CustomBinaryOperator(text) if text.contains("--") || text.contains("/*") => {
                return Err(source.syntax_error(source.byte(token.span.start), text).hint("Put a blank before the comment."));
            }
            Token::CustomBinaryOperator(text) => match split(text) {
                Some(parts) => {
                    let mut column = token.span.start.column;
                    for (part, length) in parts {
                        let at = |column| Location { line: token.span.start.line, column };
                        let span = Span { start: at(column), end: at(column + length) };
                        adjusted.push(TokenWithSpan { token: part, span });
                        column += length;
                    }
                }
                None => adjusted.push(token),
            },
            Token::SingleQuotedString(more) => match before(&adjusted, more) {
                Some((at, true)) => {
                    adjusted.truncate(at + 1);
                    if let Some(TokenWithSpan { token: string, span }) = adjusted.last_mut()
                        && let Token::SingleQuotedString(whole) | Token::EscapedStringLiteral(whole) = string
                    {
                        whole.push_str(more);
                        span.end = token.span.end;
                    }
                }
                Some((_, false)) => {
                    return Err(source.syntax_error(source.byte(token.span.start), &token.token.to_string()));
                }
                None => adjusted.push(token),
            },
            Token::Word(word) if matches!(word.keyword, Keyword::PRECEDING | Keyword::FOLLOWING) => {
                drop_interval_cast(&mut adjusted);
                adjusted.push(token);
            }
            _ => adjusted.push(token),
        }
    }
    Ok(adjusted)
}

/// Takes the cast of a constant off the end: sqlparser reads a constant as the whole of a frame's offset.
fn drop_interval_cast(tokens: &mut Vec<TokenWithSpan>) {
    let mut written = tokens.iter().enumerate().rev().filter(|(_, token)| !matches!(token.token, Token::Whitespace(_)));
    let last = [written.next(), written.next(), written.next()].map(|found| found.map(|(at, token)| (at, &token.token)));
    if let [Some((_, Token::Word(word))), Some((cast, Token::DoubleColon)), Some((_, Token::SingleQuotedString(_)))] = last
        && word.keyword == Keyword::INTERVAL
    {
        tokens.truncate(cast);
    }
}

/// The string that stands last, with nothing but blanks behind it, and whether `more` on another line is more of it. Escapes have been
/// read by now.
fn before(tokens: &[TokenWithSpan], more: &str) -> Option<(usize, bool)> {
    let (mut new_line, mut broken) = (false, false);
    for (at, token) in tokens.iter().enumerate().rev() {
        match &token.token {
            Token::Whitespace(Whitespace::Newline | Whitespace::SingleLineComment { .. }) => new_line = true,
            Token::Whitespace(Whitespace::MultiLineComment(_)) => broken = true,
            Token::Whitespace(_) => {}
            Token::SingleQuotedString(_) => return Some((at, new_line && !broken)),
            Token::EscapedStringLiteral(_) => return Some((at, new_line && !broken && !more.contains('\\'))),
            Token::UnicodeStringLiteral(_) | Token::NationalStringLiteral(_) | Token::HexStringLiteral(_) => {
                return Some((at, false));
            }
            _ => return None,
        }
    }
    None
}

/// An operator and the signs behind it, each with its length in characters; `None` if it is one by all rules.
fn split(text: &str) -> Option<Vec<(Token, u64)>> {
    if text.contains(['~', '!', '@', '#', '%', '^', '&', '|', '`', '?']) {
        return None;
    }
    // It keeps a character.
    let signs = text.chars().skip(1).collect::<String>();
    let signs = signs.len() - signs.trim_end_matches(['+', '-']).len();
    let operator = &text[..text.len() - signs];
    let known = match operator {
        "-" => Token::Minus,
        ">" => Token::Gt,
        ">=" => Token::GtEq,
        "<>" => Token::Neq,
        "<<" => Token::ShiftLeft,
        ">>" => Token::ShiftRight,
        _ => return None,
    };
    let signs = text[operator.len()..].chars().map(|sign| (if sign == '+' { Token::Plus } else { Token::Minus }, 1));
    Some(std::iter::once((known, operator.len() as u64)).chain(signs).collect())
}

#[cfg(test)]
mod tests {
    use crate::parse::parse;

    #[test]
    fn operators_end_before_a_sign() {
        let places = regex::Regex::new(r"(Span|Location)\([^)]*\)+").unwrap();
        for (text, same) in [
            ("select 5-+3, 1<<-1, 8>>+1", "select 5 - + 3, 1 << - 1, 8 >> + 1"),
            ("select a<-1, a<=-1", "select a < - 1, a <= - 1"),
            ("select a>-1", "select a > - 1"),
            ("select a>=-1, b<>-2", "select a >= - 1, b <> - 2"),
            ("select a>+1", "select a > + 1"),
            ("select a*-1, a/-1", "select a * - 1, a / - 1"),
            ("select 'one'\n 'two'", "select 'onetwo'"),
            ("select E'one\\t'\n 'two'", "select E'one\\ttwo'"),
            ("select 'one' -- said\n\n 'two'\n'three'", "select 'onetwothree'"),
        ] {
            let tree = |text: &str| parse(text).unwrap().iter().map(|s| format!("{:?}", s.command())).collect::<String>();
            let without_places = |text: &str| places.replace_all(&tree(text), "").into_owned();
            assert_eq!(without_places(text), without_places(same), "{text}");
        }
        assert_eq!(parse("select 1 where a>--1\n 2").unwrap_err().fields.position, Some(17));
        assert!(parse("select 'a' /* no */\n'b'").is_err());
        let error = parse("select 'a' 'b'").unwrap_err();
        assert_eq!((error.message.as_str(), error.fields.position), ("syntax error at or near \"'b'\"", Some(12)));
    }
}

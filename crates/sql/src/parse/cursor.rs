//! A position among one statement's tokens: sqlparser's parser for queries and expressions, and the small steps our own grammar
//! is made of.

use expr::dialect::{DIALECT, NATURAL_DIALECT};
use expr::syntax::OURS;
use sqlparser::ast::{Assignment, DataType, Expr, ObjectName, Query, TableWithJoins, Visit, VisitMut};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Word};
use types::{SqlError, SqlState};

use crate::names::Name;
use crate::parse::depth::balance;
use crate::parse::source::Source;
use crate::parse::{foreign, locking};

/// How deep expressions and subqueries may nest; `depth` bounds what gets deep without nesting.
const NESTING_MAX: usize = 200;

/// The tokens of one statement, read once from left to right.
pub(crate) struct Cursor<'s> {
    parser: Parser<'static>,
    source: &'s Source,
}

/// The tokens of a whole text, unquoted words folded. Errors: 42601 for what is no token, 42602.
pub(crate) fn tokens(source: &Source) -> Result<Vec<TokenWithSpan>, SqlError> {
    let mut tokens = Vec::new();
    let result = sqlparser::tokenizer::Tokenizer::new(&DIALECT, source.text())
        .tokenize_with_location_into_buf_with_mapper(&mut tokens, fold);
    match result {
        Ok(()) => match tokens.iter().find(|token| matches!(&token.token, Token::Word(word) if word.value.contains(OURS))) {
            Some(token) => Err(SqlError::new(SqlState::INVALID_NAME, "an identifier cannot have the character U+0001 in it")
                .position(source.position(source.byte(token.span.start)))),
            None => locking::adjust(super::lexical::adjust(tokens, source)?, source),
        },
        Err(error) => {
            let byte = source.byte(error.location);
            let unterminated = match error.message.as_str() {
                m if m.starts_with("Unterminated string") => Some("quoted string"),
                m if m.starts_with("Unterminated dollar") => Some("dollar-quoted string"),
                m if m.starts_with("Unterminated encoded") => Some("quoted string"),
                m if m.contains("comment") => Some("/* comment"),
                m if m.contains("close delimiter '\"'") => Some("quoted identifier"),
                _ => None,
            };
            let rest = &source.text()[byte..];
            Err(match unterminated {
                Some(what) => SqlError::new(SqlState::SYNTAX_ERROR, format!("unterminated {what} at or near \"{rest}\""))
                    .position(source.position(byte)),
                None => source.syntax_error(byte, rest.split_whitespace().next().unwrap_or("")).detail(error.message),
            })
        }
    }
}

/// PostgreSQL's folding: unquoted words to lower case (ASCII only), every identifier cut to 63 bytes.
fn fold(mut token: TokenWithSpan) -> TokenWithSpan {
    if let Token::Word(word) = &mut token.token {
        if word.quote_style.is_none() {
            word.value.make_ascii_lowercase();
        }
        if word.value.len() > IDENTIFIER_BYTES_MAX {
            word.value.truncate(word.value.floor_char_boundary(IDENTIFIER_BYTES_MAX));
        }
    }
    token
}

/// PostgreSQL's NAMEDATALEN less one.
const IDENTIFIER_BYTES_MAX: usize = 63;

impl<'s> Cursor<'s> {
    pub(crate) fn new(tokens: Vec<TokenWithSpan>, source: &'s Source) -> Cursor<'s> {
        let is_natural = |token: &TokenWithSpan| matches!(&token.token, Token::Word(word) if word.keyword == Keyword::NATURAL);
        let dialect = if tokens.iter().any(is_natural) { &NATURAL_DIALECT } else { &DIALECT };
        let parser = Parser::new(dialect).with_recursion_limit(NESTING_MAX).with_tokens_with_locations(tokens);
        Cursor { parser, source }
    }

    pub(crate) fn source(&self) -> &'s Source {
        self.source
    }

    /// The byte where the next token begins; the end of the text if there is none.
    pub(crate) fn byte(&self) -> usize {
        self.source.byte(self.parser.peek_token_ref().span.start)
    }

    /// The word the next token is, if it is unquoted.
    pub(crate) fn peek(&self) -> Option<&str> {
        self.peek_at(0)
    }

    /// The word `n` tokens ahead, if it is unquoted.
    pub(crate) fn peek_at(&self, n: usize) -> Option<&str> {
        match &self.parser.peek_nth_token_ref(n).token {
            Token::Word(Word { value, quote_style: None, .. }) => Some(value),
            _ => None,
        }
    }

    /// The next token.
    pub(crate) fn peek_token(&self) -> &Token {
        &self.parser.peek_token_ref().token
    }

    /// The token `n` tokens ahead.
    pub(crate) fn token_at(&self, n: usize) -> &Token {
        &self.parser.peek_nth_token_ref(n).token
    }

    pub(crate) fn at_end(&self) -> bool {
        *self.peek_token() == Token::EOF
    }

    /// Takes the next token.
    pub(crate) fn next(&mut self) -> Token {
        self.parser.next_token().token
    }

    /// Takes these words if all of them come next.
    pub(crate) fn take(&mut self, words: &[&str]) -> bool {
        if words.iter().enumerate().any(|(n, word)| self.peek_at(n) != Some(word)) {
            return false;
        }
        words.iter().for_each(|_| self.parser.advance_token());
        true
    }

    /// Takes one of these words and says which.
    pub(crate) fn take_any<'w>(&mut self, words: &[&'w str]) -> Option<&'w str> {
        let found = words.iter().find(|word| self.peek() == Some(word))?;
        self.parser.advance_token();
        Some(found)
    }

    pub(crate) fn expect(&mut self, words: &[&str]) -> Result<(), SqlError> {
        for word in words {
            if !self.take(&[word]) {
                return Err(self.unexpected());
            }
        }
        Ok(())
    }

    pub(crate) fn take_token(&mut self, token: &Token) -> bool {
        self.parser.consume_token(token)
    }

    pub(crate) fn expect_token(&mut self, token: &Token) -> Result<(), SqlError> {
        if self.take_token(token) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// The error that the next token does not fit.
    pub(crate) fn unexpected(&self) -> SqlError {
        let token = self.parser.peek_token_ref();
        if token.token == Token::EOF {
            let end = self.end();
            return self.source.syntax_error(end, "");
        }
        let (start, end) = (self.source.byte(token.span.start), self.source.byte(token.span.end));
        self.source.syntax_error(start, &self.source.text()[start..end.max(start)])
    }

    /// The byte after the last token.
    fn end(&self) -> usize {
        self.source.text().trim_end_matches(|c: char| c == ';' || c.is_whitespace()).len()
    }

    /// Errors unless every token was read.
    pub(crate) fn expect_end(&self) -> Result<(), SqlError> {
        if self.at_end() { Ok(()) } else { Err(self.unexpected()) }
    }

    /// A part of the grammar that sqlparser knows.
    fn parse<T>(&mut self, part: impl FnOnce(&mut Parser<'static>) -> Result<T, ParserError>) -> Result<T, SqlError> {
        part(&mut self.parser).map_err(|error| self.explain(&error))
    }

    fn explain(&self, error: &ParserError) -> SqlError {
        let message = match error {
            ParserError::RecursionLimitExceeded => {
                return SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded")
                    .hint(format!("Expressions and subqueries may nest at most {NESTING_MAX} deep."));
            }
            ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
        };
        let (what, location) = match message.rsplit_once(" at Line: ") {
            None => (message.as_str(), None),
            Some((what, location)) => (what, parse_location(location)),
        };
        let what = what.split(", found:").next().unwrap_or(what);
        let Some(location) = location else {
            return self.source.syntax_error(self.end(), "").detail(format!("{what}."));
        };
        let start = self.source.byte(location);
        let near = self.text_of_token_at(location, start);
        self.source.syntax_error(start, near).detail(format!("{what}."))
    }

    fn text_of_token_at(&self, location: Location, start: usize) -> &'s str {
        for index in 0.. {
            let token = self.parser.token_at(index);
            if token.token == Token::EOF {
                break;
            }
            if token.span.start == location && !matches!(token.token, Token::Whitespace(_)) {
                return &self.source.text()[start..self.source.byte(token.span.end).max(start)];
            }
        }
        self.source.text()[start..].split_whitespace().next().unwrap_or("")
    }

    /// One identifier. Words reserved in PostgreSQL are not identifiers unless quoted.
    pub(crate) fn ident(&mut self) -> Result<String, SqlError> {
        match self.peek_token() {
            Token::Word(word) if word.quote_style.is_some() || !is_reserved(word) => {
                let value = word.value.clone();
                self.parser.advance_token();
                Ok(value)
            }
            _ => Err(self.unexpected()),
        }
    }

    /// `ident` or `schema.ident` or `database.schema.ident`.
    pub(crate) fn name(&mut self) -> Result<Name, SqlError> {
        let position = self.source.position(self.byte());
        let mut parts = vec![self.ident()?];
        while self.take_token(&Token::Period) {
            parts.push(match self.next() {
                // After a dot every word is a name.
                Token::Word(word) => word.value,
                _ => return Err(self.unexpected()),
            });
        }
        Name::from_parts(parts, Some(position))
    }

    /// The name that an AST node carries.
    pub(crate) fn name_of(&self, name: &ObjectName) -> Result<Name, SqlError> {
        Name::of(name, self.source)
    }

    pub(crate) fn names(&mut self) -> Result<Vec<Name>, SqlError> {
        self.separated(Cursor::name)
    }

    /// One or more, separated by commas.
    pub(crate) fn separated<T>(&mut self, item: impl Fn(&mut Self) -> Result<T, SqlError>) -> Result<Vec<T>, SqlError> {
        let mut items = vec![item(self)?];
        while self.take_token(&Token::Comma) {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// `( a, b, ... )`
    pub(crate) fn parenthesized<T>(&mut self, item: impl Fn(&mut Self) -> Result<T, SqlError>) -> Result<Vec<T>, SqlError> {
        self.expect_token(&Token::LParen)?;
        let items = self.separated(item)?;
        self.expect_token(&Token::RParen)?;
        Ok(items)
    }

    /// A string constant in any of its spellings.
    pub(crate) fn string(&mut self) -> Result<String, SqlError> {
        let value = match self.peek_token() {
            Token::SingleQuotedString(s) | Token::EscapedStringLiteral(s) | Token::UnicodeStringLiteral(s) => s.clone(),
            Token::DollarQuotedString(s) => s.value.clone(),
            _ => return Err(self.unexpected()),
        };
        self.parser.advance_token();
        Ok(value)
    }

    pub(crate) fn query(&mut self) -> Result<Box<Query>, SqlError> {
        self.parse(|p| p.parse_query()).and_then(checked)
    }

    pub(crate) fn expr(&mut self) -> Result<Expr, SqlError> {
        self.parse(|p| p.parse_expr()).and_then(checked)
    }

    /// A column, a call, or an expression in parentheses.
    pub(crate) fn index_element(&mut self) -> Result<Expr, SqlError> {
        if matches!(self.token_at(1), Token::LParen) || *self.peek_token() == Token::LParen {
            return self.parse(|p| p.parse_prefix()).map(balance);
        }
        self.parse(|p| p.parse_identifier().map(Expr::Identifier))
    }

    /// A relation of FROM with what is joined to it.
    pub(crate) fn table_and_joins(&mut self) -> Result<TableWithJoins, SqlError> {
        self.parse(|p| p.parse_table_and_joins()).and_then(checked)
    }

    /// The list of SET.
    pub(crate) fn assignments(&mut self) -> Result<Vec<Assignment>, SqlError> {
        self.parse(|p| p.parse_comma_separated(Parser::parse_assignment)).and_then(checked)
    }

    /// A DEFAULT expression: one that ends before NOT NULL and other column constraints.
    pub(crate) fn column_option(&mut self) -> Result<Option<sqlparser::ast::ColumnOption>, SqlError> {
        self.parse(|p| p.parse_optional_column_option()).and_then(checked)
    }

    pub(crate) fn data_type(&mut self) -> Result<DataType, SqlError> {
        self.parse(|p| p.parse_data_type())
    }

    /// A whole statement of sqlparser's grammar.
    pub(crate) fn statement(&mut self) -> Result<sqlparser::ast::Statement, SqlError> {
        self.parse(|p| p.parse_statement()).and_then(checked)
    }

    /// The part of the text between two bytes, trimmed.
    pub(crate) fn text_between(&self, from: usize, to: usize) -> &'s str {
        self.source.text()[from..to.max(from)].trim()
    }
}

/// What the parser read, unless nobody would do it; with rows of AND and OR balanced.
fn checked<T: Visit + VisitMut>(parsed: T) -> Result<T, SqlError> {
    foreign::refuse(&parsed)?;
    Ok(balance(parsed))
}

fn parse_location(text: &str) -> Option<Location> {
    let (line, column) = text.split_once(", Column: ")?;
    Some(Location { line: line.trim().parse().ok()?, column: column.trim().parse().ok()? })
}

/// PostgreSQL's fully reserved keywords, as far as sqlparser knows them as keywords.
fn is_reserved(word: &Word) -> bool {
    const RESERVED: &[&str] = &[
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
    RESERVED.binary_search(&word.value.as_str()).is_ok()
}

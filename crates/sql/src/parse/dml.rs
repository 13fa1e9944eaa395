//! INSERT, UPDATE, DELETE, and WITH before them or with them in it: sqlparser's grammar, and what PostgreSQL's has more.

use std::ops::ControlFlow;

use sqlparser::ast::{self, Query, Visit, Visitor};
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};
use types::{SqlError, SqlState};

use crate::parse::command::Command;
use crate::parse::cursor::Cursor;
use crate::parse::merge::writes;
use crate::parse::statement::{LOCKS_INSIDE, check_query};

/// Takes ONLY and `*` away around the table of UPDATE, DELETE and MERGE, and ONLY in FROM: no table here has children.
pub(crate) fn without_inheritance(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let is = |token: Option<&TokenWithSpan>, word: &str| matches!(token.map(|t| &t.token), Some(Token::Word(Word { value, quote_style: None, .. })) if value == word);
    let solid: Vec<usize> =
        tokens.iter().enumerate().filter(|(_, t)| !matches!(t.token, Token::Whitespace(_))).map(|(at, _)| at).collect();
    let token = |n: usize| solid.get(n).and_then(|at| tokens.get(*at));
    let mut dropped = Vec::new();
    for n in 0..solid.len() {
        let table = match () {
            () if is(token(n), "update") && (n == 0 || !is(token(n - 1), "for") && !is(token(n - 1), "key")) => n + 1,
            () if is(token(n), "delete") && is(token(n + 1), "from") => n + 2,
            () if is(token(n), "merge") && is(token(n + 1), "into") => n + 2,
            () if is(token(n), "from") || is(token(n), "join") => {
                if is(token(n + 1), "only") && matches!(token(n + 2).map(|t| &t.token), Some(Token::Word(_))) {
                    dropped.push(solid[n + 1]);
                }
                continue;
            }
            () => continue,
        };
        let name = if is(token(table), "only") && matches!(token(table + 1).map(|t| &t.token), Some(Token::Word(_))) {
            dropped.push(solid[table]);
            table + 1
        } else {
            table
        };
        let mut end = name + 1;
        while matches!(token(end).map(|t| &t.token), Some(Token::Period)) {
            end += 2;
        }
        if matches!(token(end).map(|t| &t.token), Some(Token::Mul)) {
            dropped.push(solid[end]);
        }
    }
    if dropped.is_empty() {
        return tokens;
    }
    tokens.into_iter().enumerate().filter(|(at, _)| !dropped.contains(at)).map(|(_, token)| token).collect()
}

/// Errors for WHERE CURRENT OF: 0A000.
pub(crate) fn check_cursors(tokens: &[TokenWithSpan]) -> Result<(), SqlError> {
    let solid: Vec<&Token> = tokens.iter().map(|t| &t.token).filter(|t| !matches!(t, Token::Whitespace(_))).collect();
    let is = |token: &Token, word: &str| matches!(token, Token::Word(Word { value, quote_style: None, .. }) if value == word);
    for four in solid.windows(4) {
        if let [a, b, c, Token::Word(name)] = four
            && is(a, "where")
            && is(b, "current")
            && is(c, "of")
        {
            let message = format!("WHERE CURRENT OF {} is not supported", name.value);
            return Err(SqlError::unsupported(message).hint("Name the row by its key."));
        }
    }
    Ok(())
}

pub(crate) fn dml(cursor: &mut Cursor<'_>) -> Result<Command, SqlError> {
    // The parser takes more dialects than one.
    let follows = match cursor.peek() {
        Some("insert") => Some("into"),
        Some("delete") => Some("from"),
        _ => None,
    };
    if follows.is_some_and(|word| cursor.peek_at(1) != Some(word)) {
        cursor.next();
        return Err(cursor.unexpected());
    }
    match cursor.statement()? {
        ast::Statement::Insert(insert) => {
            if let Some(source) = &insert.source {
                check_query(source)?;
            }
            Ok(Command::Insert(insert.into()))
        }
        ast::Statement::Update(update) => Ok(Command::Update(update.into())),
        ast::Statement::Delete(delete) => Ok(Command::Delete(delete.into())),
        other => Err(SqlError::unsupported(format!("this form of statement is not supported: {other}"))),
    }
}

fn writes_in(with: &ast::With) -> bool {
    with.cte_tables.iter().any(|cte| writes(&cte.query.body))
}

/// A query that writes: WITH has statements that do, or is before one. `None` for any other.
pub(crate) fn of_query(query: &Query) -> Result<Option<Command>, SqlError> {
    let with_writes = query.with.as_ref().is_some_and(writes_in);
    if !with_writes && !writes(&query.body) {
        return Ok(None);
    }
    if query.order_by.is_some() && writes(&query.body) || query.limit_clause.is_some() && writes(&query.body) {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "ORDER BY and LIMIT are no part of a statement that writes"));
    }
    check_levels(query)?;
    if let (ast::SetExpr::Insert(ast::Statement::Insert(insert)), false, Some(with)) =
        (query.body.as_ref(), with_writes, &query.with)
        && insert.on.is_none()
        && insert.returning.is_none()
        && let Some(source) = insert.source.as_deref().filter(|source| source.with.is_none())
    {
        let source = Query { with: Some(with.clone()), ..source.clone() };
        return Ok(Some(Command::Insert(ast::Insert { source: Some(Box::new(source)), ..insert.clone() }.into())));
    }
    Ok(Some(Command::With(query.clone().into())))
}

/// Errors for statements that write anywhere but in the outermost WITH and behind it: 0A000.
fn check_levels(query: &Query) -> Result<(), SqlError> {
    struct Levels {
        depth: usize,
        /// Of CTEs of the outermost WITH.
        allowed: Vec<*const Query>,
    }
    impl Visitor for Levels {
        type Break = SqlError;

        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<SqlError> {
            let is_part = self.depth == 0 || self.allowed.contains(&std::ptr::from_ref(query));
            self.depth += 1;
            if !is_part && (writes(&query.body) || query.with.as_ref().is_some_and(writes_in)) {
                let message = "WITH clause containing a data-modifying statement must be at the top level";
                return ControlFlow::Break(SqlError::unsupported(message));
            }
            if self.depth > 1 && is_part && query.with.as_ref().is_some_and(writes_in) {
                let message = "WITH clause containing a data-modifying statement must be at the top level";
                return ControlFlow::Break(SqlError::unsupported(message));
            }
            if !query.locks.is_empty() {
                return ControlFlow::Break(SqlError::unsupported(LOCKS_INSIDE));
            }
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<SqlError> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }
    }
    let parts = query.with.iter().flat_map(|with| &with.cte_tables).map(|cte| std::ptr::from_ref(cte.query.as_ref()));
    let mut levels = Levels { depth: 0, allowed: parts.collect() };
    match query.visit(&mut levels) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

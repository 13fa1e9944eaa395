//! COPY: the statement in its new and its old spelling.

use sqlparser::tokenizer::Token;
use types::SqlError;

use crate::parse::command::{Command, Copy, CopyDirection, CopyOption, CopyValue, CopyWhat};
use crate::parse::cursor::Cursor;
use crate::parse::statement::check_query;

pub(crate) fn copy(cursor: &mut Cursor<'_>) -> Result<Command, SqlError> {
    cursor.take(&["copy"]);
    let mut options = Vec::new();
    if cursor.peek() == Some("binary") && !matches!(cursor.peek_at(1), Some("from" | "to")) {
        cursor.next();
        options.push(option("format", "binary"));
    }
    let what = if cursor.take_token(&Token::LParen) {
        if matches!(cursor.peek(), Some("insert" | "update" | "delete")) {
            return Err(SqlError::unsupported("COPY of INSERT, UPDATE or DELETE with RETURNING is not supported"));
        }
        let query = cursor.query()?;
        check_query(&query)?;
        cursor.expect_token(&Token::RParen)?;
        CopyWhat::Query(query.into())
    } else {
        let name = cursor.name()?;
        let columns = if *cursor.peek_token() == Token::LParen { cursor.parenthesized(Cursor::ident)? } else { vec![] };
        CopyWhat::Table { name, columns }
    };
    let from = match cursor.take_any(&["from", "to"]) {
        Some("from") if matches!(what, CopyWhat::Table { .. }) => true,
        Some("to") => false,
        _ => return Err(cursor.unexpected()),
    };
    let direction = if cursor.take(&["program"]) {
        cursor.string()?;
        CopyDirection::Server { from, program: true }
    } else if cursor.take_any(&["stdin", "stdout"]).is_some() {
        if from { CopyDirection::FromStdin } else { CopyDirection::ToStdout }
    } else {
        cursor.string()?;
        CopyDirection::Server { from, program: false }
    };
    cursor.take(&["with"]);
    if cursor.take_token(&Token::LParen) {
        loop {
            options.push(new_option(cursor)?);
            if !cursor.take_token(&Token::Comma) {
                break;
            }
        }
        cursor.expect_token(&Token::RParen)?;
    } else {
        while !cursor.at_end() && cursor.peek() != Some("where") {
            options.push(old_option(cursor)?);
        }
    }
    if cursor.peek() == Some("where") {
        return Err(SqlError::unsupported("COPY FROM with WHERE is not supported"));
    }
    Ok(Command::Copy(Copy { what, direction, options }))
}

fn option(name: &str, value: &str) -> CopyOption {
    CopyOption { name: name.to_owned(), value: CopyValue::Text(value.to_owned()) }
}

/// `NAME`, `NAME value`, `NAME (a, b)` or `NAME *`
fn new_option(cursor: &mut Cursor<'_>) -> Result<CopyOption, SqlError> {
    let Token::Word(word) = cursor.peek_token() else { return Err(cursor.unexpected()) };
    let name = word.value.clone();
    cursor.next();
    let value = match cursor.peek_token() {
        Token::Comma | Token::RParen => CopyValue::Nothing,
        Token::LParen => CopyValue::Columns(cursor.parenthesized(Cursor::ident)?),
        Token::Mul => {
            cursor.next();
            CopyValue::Star
        }
        Token::Word(word) => {
            let value = word.value.clone();
            cursor.next();
            CopyValue::Text(value)
        }
        Token::Number(digits, _) => {
            let value = digits.clone();
            cursor.next();
            CopyValue::Text(value)
        }
        _ => CopyValue::Text(cursor.string()?),
    };
    Ok(CopyOption { name, value })
}

/// The syntax before PostgreSQL 9.0: `CSV HEADER DELIMITER AS ';' FORCE QUOTE *`
fn old_option(cursor: &mut Cursor<'_>) -> Result<CopyOption, SqlError> {
    let text = |cursor: &mut Cursor<'_>, name: &str| {
        cursor.take(&["as"]);
        let value = cursor.string()?;
        Ok(option(name, &value))
    };
    let columns = |cursor: &mut Cursor<'_>, name: &str| {
        let value =
            if cursor.take_token(&Token::Mul) { CopyValue::Star } else { CopyValue::Columns(cursor.separated(Cursor::ident)?) };
        Ok(CopyOption { name: name.to_owned(), value })
    };
    if let Some(format) = cursor.take_any(&["csv", "binary"]) {
        return Ok(option("format", format));
    }
    if let Some(flag) = cursor.take_any(&["header", "freeze"]) {
        return Ok(CopyOption { name: flag.to_owned(), value: CopyValue::Nothing });
    }
    if let Some(name) = cursor.take_any(&["delimiter", "null", "quote", "escape", "encoding"]) {
        return text(cursor, name);
    }
    if cursor.take(&["delimiters"]) {
        return text(cursor, "delimiter");
    }
    if cursor.take(&["force", "quote"]) {
        return columns(cursor, "force_quote");
    }
    if cursor.take(&["force", "not", "null"]) {
        return columns(cursor, "force_not_null");
    }
    if cursor.take(&["force", "null"]) {
        return columns(cursor, "force_null");
    }
    Err(cursor.unexpected())
}

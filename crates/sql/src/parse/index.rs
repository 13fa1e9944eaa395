//! CREATE INDEX, REINDEX, ALTER INDEX.

use sqlparser::ast::Expr;
use sqlparser::tokenizer::Token;
use types::{SqlError, SqlState};

use crate::names::Name;
use crate::parse::command::Command;
use crate::parse::constraint::nulls_not_distinct;
use crate::parse::cursor::Cursor;
use crate::parse::ddl::{storage_parameters, tablespace};

/// CREATE INDEX as written.
#[derive(Clone, Debug)]
pub(crate) struct CreateIndex {
    pub(crate) name: Option<String>,
    pub(crate) table: Name,
    pub(crate) columns: Vec<IndexElement>,
    pub(crate) unique: bool,
    pub(crate) nulls_not_distinct: bool,
    pub(crate) predicate: Option<Box<Expr>>,
    pub(crate) if_not_exists: bool,
    pub(crate) concurrently: bool,
}

/// What an index is of.
#[derive(Clone, Debug)]
pub(crate) struct IndexElement {
    pub(crate) expr: Expr,
    pub(crate) descending: bool,
    pub(crate) nulls_first: bool,
}

/// What REINDEX rebuilds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReindexKind {
    Index,
    Table,
    Schema,
    Database,
}

/// After CREATE: `[UNIQUE] INDEX [CONCURRENTLY] [[IF NOT EXISTS] name] ON table [USING btree] (...) ...`
pub(crate) fn create(cursor: &mut Cursor<'_>) -> Result<Command, SqlError> {
    let unique = cursor.take(&["unique"]);
    cursor.expect(&["index"])?;
    let concurrently = cursor.take(&["concurrently"]);
    let if_not_exists = cursor.take(&["if", "not", "exists"]);
    let name = if cursor.peek() == Some("on") && !if_not_exists { None } else { Some(cursor.ident()?) };
    cursor.expect(&["on"])?;
    cursor.take(&["only"]);
    let table = cursor.name()?;
    if cursor.take(&["using"]) {
        let method = cursor.ident()?;
        match method.as_str() {
            "btree" => {}
            "hash" | "gist" | "gin" | "spgist" | "brin" => {
                let message = format!("access method \"{method}\" is not supported: indexes are of the kind btree");
                return Err(SqlError::unsupported(message));
            }
            _ => {
                let message = format!("access method \"{method}\" does not exist");
                return Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message));
            }
        }
    }
    let columns = cursor.parenthesized(element)?;
    if cursor.peek() == Some("include") {
        return Err(SqlError::unsupported("indexes with INCLUDE are not supported"));
    }
    let nulls_not_distinct = nulls_not_distinct(cursor)?;
    if cursor.take(&["with"]) {
        storage_parameters(cursor)?;
    }
    if cursor.take(&["tablespace"]) {
        tablespace(cursor)?;
    }
    let predicate = if cursor.take(&["where"]) { Some(Box::new(cursor.expr()?)) } else { None };
    Ok(Command::CreateIndex(CreateIndex {
        name,
        table,
        columns,
        unique,
        nulls_not_distinct,
        predicate,
        if_not_exists,
        concurrently,
    }))
}

/// `column | function(...) | (expression)`, then `[ASC | DESC] [NULLS FIRST | LAST]`
fn element(cursor: &mut Cursor<'_>) -> Result<IndexElement, SqlError> {
    let expr = cursor.index_element()?;
    if cursor.peek() == Some("collate") {
        return Err(SqlError::unsupported("COLLATE in an index is not supported"));
    }
    match cursor.peek() {
        None | Some("asc" | "desc" | "nulls") => {}
        // Operator classes: only those that are the default anyway.
        Some(word) if word.ends_with("_ops") => {
            let word = word.to_owned();
            if word.contains("pattern") {
                return Err(SqlError::unsupported(format!("operator class \"{word}\" is not supported")));
            }
            return Err(SqlError::unsupported("operator classes in an index are not supported"));
        }
        Some(_) => return Err(cursor.unexpected()),
    }
    let descending = cursor.take_any(&["asc", "desc"]) == Some("desc");
    let nulls_first = match cursor.take(&["nulls"]).then(|| cursor.take_any(&["first", "last"])) {
        None => descending,
        Some(Some(word)) => word == "first",
        Some(None) => return Err(cursor.unexpected()),
    };
    Ok(IndexElement { expr, descending, nulls_first })
}

/// `REINDEX INDEX | TABLE | SCHEMA | DATABASE [CONCURRENTLY] name`
pub(crate) fn reindex(cursor: &mut Cursor<'_>) -> Result<Command, SqlError> {
    cursor.take(&["reindex"]);
    if *cursor.peek_token() == Token::LParen {
        let options = cursor.parenthesized(Cursor::ident)?;
        if let Some(other) = options.iter().find(|o| !matches!(o.as_str(), "verbose" | "concurrently")) {
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, format!("unrecognized REINDEX option \"{other}\"")));
        }
    }
    let kind = match cursor.take_any(&["index", "table", "schema", "database", "system"]) {
        Some("index") => ReindexKind::Index,
        Some("table") => ReindexKind::Table,
        Some("schema") => ReindexKind::Schema,
        Some("database") => ReindexKind::Database,
        Some(_) => return Err(SqlError::unsupported("REINDEX SYSTEM is not supported: system catalogs have no indexes")),
        None => return Err(cursor.unexpected()),
    };
    cursor.take(&["concurrently"]);
    let name = cursor.name()?;
    Ok(Command::Reindex { kind, name })
}

/// After ALTER: `INDEX [IF EXISTS] name RENAME TO name`
pub(crate) fn alter(cursor: &mut Cursor<'_>) -> Result<Command, SqlError> {
    cursor.expect(&["index"])?;
    let if_exists = cursor.take(&["if", "exists"]);
    let name = cursor.name()?;
    if cursor.take(&["rename", "to"]) {
        let to = cursor.ident()?;
        return Ok(Command::RenameIndex { index: name, if_exists, to });
    }
    Err(SqlError::unsupported("this form of ALTER INDEX is not supported: only RENAME is"))
}

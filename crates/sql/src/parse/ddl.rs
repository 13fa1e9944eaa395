//! CREATE, DROP, ALTER, TRUNCATE.

use sqlparser::ast::{self, DataType};
use sqlparser::tokenizer::Token;
use types::{SqlError, SqlState, SqlType};

use crate::parse::alter;
use crate::parse::command::{
    ColumnDefinition, Command, CreateDatabase, CreateSchema, CreateTable, CreateTableAs, CreateView, Drop, KeyConstraint,
    ObjectKind,
};
use crate::parse::constraint::{self, Constraint};
use crate::parse::cursor::Cursor;
use crate::parse::index;
use crate::parse::sequence::{self, ColumnSequence, Generated};
use crate::parse::statement::check_query;

pub(crate) fn create(cursor: &mut Cursor<'_>) -> Result<Command, SqlError> {
    cursor.take(&["create"]);
    let or_replace = cursor.take(&["or", "replace"]);
    cursor.take_any(&["global", "local"]);
    if cursor.take_any(&["temporary", "temp"]).is_some() {
        return Err(SqlError::unsupported("temporary tables and views are not supported"));
    }
    if cursor.take(&["unlogged"]) {
        return Err(SqlError::unsupported("unlogged tables are not supported"));
    }
    if cursor.take(&["view"]) {
        return create_view(cursor, or_replace);
    }
    if or_replace {
        return Err(refused(cursor, "CREATE OR REPLACE"));
    }
    if cursor.take(&["table"]) {
        return create_table(cursor);
    }
    if cursor.peek() == Some("index") || (cursor.peek(), cursor.peek_at(1)) == (Some("unique"), Some("index")) {
        return index::create(cursor);
    }
    if cursor.take(&["schema"]) {
        let if_not_exists = if_not_exists(cursor);
        if cursor.peek() == Some("authorization") {
            return Err(SqlError::unsupported("CREATE SCHEMA AUTHORIZATION is not supported"));
        }
        let name = cursor.ident()?;
        if !cursor.at_end() {
            return Err(match cursor.peek() {
                Some("authorization" | "create" | "grant") => SqlError::unsupported("schema elements are not supported"),
                _ => cursor.unexpected(),
            });
        }
        return Ok(Command::CreateSchema(CreateSchema { name, if_not_exists }));
    }
    if cursor.take(&["sequence"]) {
        return sequence::create(cursor);
    }
    if cursor.take(&["database"]) {
        return create_database(cursor);
    }
    Err(refused(cursor, "CREATE"))
}

/// The error for an object of a kind that PostgreSQL has and we do not; a syntax error for anything else.
fn refused(cursor: &Cursor<'_>, verb: &str) -> SqlError {
    const KINDS: &[&str] = &[
        "access",
        "aggregate",
        "cast",
        "collation",
        "conversion",
        "domain",
        "event",
        "extension",
        "foreign",
        "function",
        "group",
        "index",
        "language",
        "large",
        "materialized",
        "operator",
        "owned",
        "policy",
        "procedural",
        "procedure",
        "publication",
        "recursive",
        "role",
        "routine",
        "rule",
        "server",
        "statistics",
        "subscription",
        "system",
        "tablespace",
        "text",
        "transform",
        "trigger",
        "trusted",
        "type",
        "unique",
        "user",
    ];
    match cursor.peek().filter(|word| KINDS.contains(word)) {
        Some(word) => SqlError::unsupported(format!("{verb} {} is not supported", word.to_ascii_uppercase())),
        None => cursor.unexpected(),
    }
}

fn if_not_exists(cursor: &mut Cursor<'_>) -> bool {
    cursor.take(&["if", "not", "exists"])
}

fn create_view(cursor: &mut Cursor<'_>, or_replace: bool) -> Result<Command, SqlError> {
    let name = cursor.name()?;
    let columns = if *cursor.peek_token() == Token::LParen { cursor.parenthesized(Cursor::ident)? } else { vec![] };
    if cursor.peek() == Some("with") {
        return Err(SqlError::unsupported("view options are not supported"));
    }
    cursor.expect(&["as"])?;
    let query = cursor.query()?;
    check_query(&query)?;
    if cursor.peek() == Some("with") {
        return Err(SqlError::unsupported("WITH CHECK OPTION is not supported"));
    }
    Ok(Command::CreateView(CreateView { name, or_replace, columns, query: query.into() }))
}

fn create_database(cursor: &mut Cursor<'_>) -> Result<Command, SqlError> {
    let name = cursor.ident()?;
    let mut template = None;
    cursor.take(&["with"]);
    while !cursor.at_end() {
        let Some(option) = cursor.peek().map(str::to_owned) else { return Err(cursor.unexpected()) };
        cursor.next();
        cursor.take_token(&Token::Eq);
        let value = match cursor.next() {
            Token::Word(word) => word.value,
            Token::SingleQuotedString(value) | Token::EscapedStringLiteral(value) => value,
            Token::Number(value, _) => value,
            _ => return Err(cursor.unexpected()),
        };
        let is = |accepted: &[&str]| accepted.iter().any(|a| value.eq_ignore_ascii_case(a));
        let supported = match option.as_str() {
            "template" if is(&["template0", "template1", "default"]) => true,
            "template" => {
                template = Some(value.clone());
                true
            }
            "encoding" => is(&["utf8", "utf-8", "unicode", "default", "6"]),
            "locale" | "lc_collate" | "lc_ctype" => is(&["c", "posix", "c.utf-8", "c.utf8", "default"]),
            "connection" => return Err(SqlError::unsupported("CONNECTION LIMIT is not supported")),
            "owner" => is(&["default"]),
            "tablespace" => is(&["default", "pg_default"]),
            "allow_connections" | "is_template" | "oid" | "strategy" | "collation_version" | "locale_provider" | "icu_locale" => {
                false
            }
            _ => return Err(SqlError::new(SqlState::SYNTAX_ERROR, format!("option \"{option}\" not recognized"))),
        };
        if !supported {
            return Err(SqlError::unsupported(format!("CREATE DATABASE with {option} {value} is not supported")));
        }
    }
    Ok(Command::CreateDatabase(CreateDatabase { name, template }))
}

fn create_table(cursor: &mut Cursor<'_>) -> Result<Command, SqlError> {
    let if_not_exists = if_not_exists(cursor);
    let name = cursor.name()?;
    if cursor.take(&["partition", "of"]) || cursor.peek() == Some("of") {
        return Err(SqlError::unsupported("typed and partition tables are not supported"));
    }
    let names_only = matches!(cursor.peek_token(), Token::LParen) && !is_column_definition(cursor);
    if cursor.peek_token() != &Token::LParen || names_only {
        let columns = if names_only { cursor.parenthesized(Cursor::ident)? } else { vec![] };
        table_options(cursor)?;
        cursor.expect(&["as"])?;
        if cursor.peek() == Some("execute") {
            return Err(SqlError::unsupported("CREATE TABLE AS EXECUTE is not supported"));
        }
        let query = cursor.query()?;
        check_query(&query)?;
        let with_data = !cursor.take(&["with", "no", "data"]);
        cursor.take(&["with", "data"]);
        let query = query.into();
        return Ok(Command::CreateTableAs(CreateTableAs { name, if_not_exists, columns, query, with_data }));
    }
    cursor.expect_token(&Token::LParen)?;
    if cursor.take_token(&Token::RParen) {
        return Err(SqlError::unsupported("tables without columns are not supported"));
    }
    let mut table = CreateTable { name, if_not_exists, columns: vec![], primary_key: None, constraints: vec![] };
    loop {
        element(cursor, &mut table)?;
        if !cursor.take_token(&Token::Comma) {
            break;
        }
    }
    cursor.expect_token(&Token::RParen)?;
    table_options(cursor)?;
    Ok(Command::CreateTable(table))
}

/// After `(`: whether columns with types follow rather than names alone.
fn is_column_definition(cursor: &Cursor<'_>) -> bool {
    !matches!(cursor.token_at(2), Token::Comma | Token::RParen) || *cursor.token_at(1) == Token::RParen
}

fn element(cursor: &mut Cursor<'_>, table: &mut CreateTable) -> Result<(), SqlError> {
    match cursor.peek() {
        Some("constraint" | "primary" | "unique" | "check" | "foreign" | "exclude") => {
            return match constraint::of_table(cursor)? {
                Constraint::PrimaryKey(key) => add_key(table, key),
                other => {
                    table.constraints.push(other);
                    Ok(())
                }
            };
        }
        Some("like") => return Err(SqlError::unsupported("CREATE TABLE LIKE is not supported")),
        _ => {}
    }
    column(cursor, table)
}

/// A column with its constraints.
pub(crate) fn column(cursor: &mut Cursor<'_>, table: &mut CreateTable) -> Result<(), SqlError> {
    let name = cursor.ident()?;
    let (data_type, sequence) = match sequence::serial(cursor) {
        Some(data_type) => (data_type, Some(ColumnSequence::Serial)),
        None => (data_type(cursor)?, None),
    };
    let mut column = ColumnDefinition { name, data_type, not_null: sequence.is_some(), default: None, sequence, generated: None };
    let mut nullable = false;
    loop {
        let constraint_name = if cursor.take(&["constraint"]) { Some(cursor.ident()?) } else { None };
        let conflict = |cursor: &Cursor<'_>| {
            let message =
                format!("conflicting NULL/NOT NULL declarations for column \"{}\" of table \"{}\"", column.name, table.name.name);
            SqlError::new(SqlState::SYNTAX_ERROR, message).position(cursor.source().position(cursor.byte()))
        };
        if cursor.take(&["not", "null"]) {
            if nullable {
                return Err(conflict(cursor));
            }
            column.not_null = true;
        } else if cursor.take(&["null"]) {
            if column.not_null {
                return Err(conflict(cursor));
            }
            nullable = true;
        } else if cursor.peek() == Some("default") {
            if column.default.is_some() || matches!(column.sequence, Some(ColumnSequence::Serial)) {
                let message =
                    format!("multiple default values specified for column \"{}\" of table \"{}\"", column.name, table.name.name);
                return Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
            }
            let other = match (&column.sequence, &column.generated) {
                (Some(_), _) => Some("identity"),
                (None, Some(_)) => Some("generation expression"),
                (None, None) => None,
            };
            if let Some(other) = other {
                let message =
                    format!("both default and {other} specified for column \"{}\" of table \"{}\"", column.name, table.name.name);
                return Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
            }
            match cursor.column_option()? {
                Some(ast::ColumnOption::Default(expr)) => column.default = Some(expr),
                _ => return Err(cursor.unexpected()),
            }
        } else if cursor.peek() == Some("generated") {
            let found = sequence::generated(cursor)?;
            let has_identity = matches!(column.sequence, Some(ColumnSequence::Identity(..)));
            let has_default = column.default.is_some() || matches!(column.sequence, Some(ColumnSequence::Serial));
            let message = match &found {
                Generated::Identity(_) if has_identity => "multiple identity specifications",
                Generated::Identity(_) if has_default => "both default and identity specified",
                Generated::Identity(_) if column.generated.is_some() => "both identity and generation expression specified",
                Generated::Identity(_) if nullable => return Err(conflict(cursor)),
                Generated::Stored(_) if column.generated.is_some() => "multiple generation clauses specified",
                Generated::Stored(_) if has_default => "both default and generation expression specified",
                Generated::Stored(_) if has_identity => "both identity and generation expression specified",
                _ => "",
            };
            if !message.is_empty() {
                let message = format!("{message} for column \"{}\" of table \"{}\"", column.name, table.name.name);
                return Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
            }
            match found {
                Generated::Identity(identity) => {
                    column.not_null = true;
                    column.sequence = Some(identity);
                }
                Generated::Stored(expr) => column.generated = Some(expr),
            }
        } else if cursor.take(&["primary", "key"]) {
            let deferral = constraint::primary_key_options(cursor)?;
            add_key(table, KeyConstraint { name: constraint_name, columns: vec![column.name.clone()], deferral })?;
        } else if let Some(found) = constraint::of_column(cursor, constraint_name.clone(), &column.name)? {
            table.constraints.push(found);
        } else if let Some(error) = misplaced(cursor) {
            return Err(error);
        } else if let Some(word) = cursor.peek() {
            return Err(refused_constraint(word).unwrap_or_else(|| cursor.unexpected()));
        } else if constraint_name.is_some() {
            return Err(cursor.unexpected());
        } else {
            break;
        }
    }
    table.columns.push(column);
    Ok(())
}

/// The error for when a constraint is checked that is not said of one that can be deferred.
fn misplaced(cursor: &mut Cursor<'_>) -> Option<SqlError> {
    const CLAUSES: &[&[&str]] =
        &[&["deferrable"], &["not", "deferrable"], &["initially", "deferred"], &["initially", "immediate"]];
    let clause = CLAUSES.iter().find(|clause| cursor.take(clause))?.join(" ").to_ascii_uppercase();
    Some(SqlError::new(SqlState::SYNTAX_ERROR, format!("misplaced {clause} clause")))
}

fn refused_constraint(word: &str) -> Option<SqlError> {
    let what = match word {
        "collate" => "COLLATE on a column is",
        "storage" | "compression" => "storage options of a column are",
        _ => return None,
    };
    Some(SqlError::unsupported(format!("{what} not supported yet")))
}

fn add_key(table: &mut CreateTable, key: KeyConstraint) -> Result<(), SqlError> {
    if table.primary_key.is_some() {
        let message = format!("multiple primary keys for table \"{}\" are not allowed", table.name.name);
        return Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message));
    }
    table.primary_key = Some(key);
    Ok(())
}

/// What may follow a table's columns.
fn table_options(cursor: &mut Cursor<'_>) -> Result<(), SqlError> {
    if cursor.peek() == Some("inherits") {
        return Err(SqlError::unsupported("table inheritance is not supported"));
    }
    if cursor.peek() == Some("partition") {
        return Err(SqlError::unsupported("partitioned tables are not supported"));
    }
    if cursor.take(&["using"]) {
        let method = cursor.ident()?;
        if method != "heap" {
            let message = format!("access method \"{method}\" does not exist");
            return Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message));
        }
    }
    if cursor.take(&["with"]) {
        storage_parameters(cursor)?;
    }
    cursor.take(&["without", "oids"]);
    if cursor.peek() == Some("on") {
        let message = "ON COMMIT can only be used on temporary tables";
        return Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message));
    }
    if cursor.take(&["tablespace"]) {
        tablespace(cursor)?;
    }
    Ok(())
}

pub(crate) fn tablespace(cursor: &mut Cursor<'_>) -> Result<(), SqlError> {
    let name = cursor.ident()?;
    if name == "pg_default" {
        return Ok(());
    }
    Err(SqlError::new(SqlState::UNDEFINED_OBJECT, format!("tablespace \"{name}\" does not exist")))
}

/// `(fillfactor = 70, ...)`: about how PostgreSQL lays out pages, which we have none of; checked by name alone.
pub(crate) fn storage_parameters(cursor: &mut Cursor<'_>) -> Result<(), SqlError> {
    const KNOWN: &[&str] = &[
        "deduplicate_items",
        "fillfactor",
        "oids",
        "parallel_workers",
        "toast_tuple_target",
        "user_catalog_table",
        "vacuum_index_cleanup",
        "vacuum_truncate",
    ];
    cursor.expect_token(&Token::LParen)?;
    loop {
        let name = match cursor.next() {
            Token::Word(word) => word.value,
            _ => return Err(cursor.unexpected()),
        };
        let name = match cursor.take_token(&Token::Period) {
            true if name == "toast" => match cursor.next() {
                Token::Word(word) => word.value,
                _ => return Err(cursor.unexpected()),
            },
            true => {
                let message = format!("unrecognized parameter namespace \"{name}\"");
                return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
            }
            false => name,
        };
        if !KNOWN.contains(&name.as_str()) && !name.starts_with("autovacuum_") && name != "log_autovacuum_min_duration" {
            return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("unrecognized parameter \"{name}\"")));
        }
        if cursor.take_token(&Token::Eq) {
            cursor.take_token(&Token::Minus);
            cursor.next();
        }
        if !cursor.take_token(&Token::Comma) {
            return cursor.expect_token(&Token::RParen);
        }
    }
}

pub(crate) fn drop(cursor: &mut Cursor<'_>) -> Result<Command, SqlError> {
    cursor.take(&["drop"]);
    let kind = match cursor.take_any(&["table", "view", "schema", "database", "sequence", "index"]) {
        Some("table") => ObjectKind::Table,
        Some("view") => ObjectKind::View,
        Some("schema") => ObjectKind::Schema,
        Some("database") => ObjectKind::Database,
        Some("sequence") => ObjectKind::Sequence,
        Some(_) => ObjectKind::Index,
        None => return Err(refused(cursor, "DROP")),
    };
    let concurrently = kind == ObjectKind::Index && cursor.take(&["concurrently"]);
    let if_exists = cursor.take(&["if", "exists"]);
    let names = cursor.names()?;
    if kind == ObjectKind::Database {
        cursor.take(&["with"]);
        if names.len() > 1 || *cursor.peek_token() == Token::LParen {
            return Err(if names.len() > 1 {
                cursor.unexpected()
            } else {
                SqlError::unsupported("DROP DATABASE FORCE is not supported")
            });
        }
    }
    let cascade = kind != ObjectKind::Database && cursor.take_any(&["cascade", "restrict"]) == Some("cascade");
    Ok(Command::Drop(Drop { kind, names, if_exists, cascade, concurrently }))
}

pub(crate) fn truncate(cursor: &mut Cursor<'_>) -> Result<Command, SqlError> {
    cursor.take(&["truncate"]);
    cursor.take(&["table"]);
    let tables = cursor.separated(|c| {
        c.take(&["only"]);
        let name = c.name()?;
        c.take_token(&Token::Mul);
        Ok(name)
    })?;
    let restart_identity = match cursor.take_any(&["restart", "continue"]) {
        Some(word) => {
            cursor.expect(&["identity"])?;
            word == "restart"
        }
        None => false,
    };
    let cascade = cursor.take_any(&["cascade", "restrict"]) == Some("cascade");
    Ok(Command::Truncate { tables, restart_identity, cascade })
}

pub(crate) fn alter(cursor: &mut Cursor<'_>) -> Result<Command, SqlError> {
    cursor.take(&["alter"]);
    if cursor.peek() == Some("index") {
        return index::alter(cursor);
    }
    if cursor.take(&["sequence"]) {
        return sequence::alter(cursor);
    }
    if !cursor.take(&["table"]) {
        return Err(match cursor.peek() {
            Some(word @ ("database" | "schema" | "view" | "default")) => {
                SqlError::unsupported(format!("ALTER {} is not supported", word.to_ascii_uppercase()))
            }
            _ => refused(cursor, "ALTER"),
        });
    }
    alter::alter(cursor)
}

/// A type as written.
pub(crate) fn data_type(cursor: &mut Cursor<'_>) -> Result<SqlType, SqlError> {
    let start = cursor.byte();
    let parsed = cursor.data_type()?;
    sql_type(&parsed).map_err(|e| e.position(cursor.source().position(start)))
}

/// The type an AST node names. Errors: 0A000 for a type of PostgreSQL's that we do not have, 42704 for any other name.
pub(crate) fn sql_type(parsed: &DataType) -> Result<SqlType, SqlError> {
    let text = parsed.to_string();
    if let Some(t) = SqlType::from_name(&text) {
        return Ok(t);
    }
    let lower = text.to_ascii_lowercase();
    let name = lower.trim_start_matches("pg_catalog.");
    if let Some(t) = SqlType::from_name(name) {
        return Ok(t);
    }
    const POSTGRES: &[&str] = &[
        "bit",
        "box",
        "cidr",
        "circle",
        "date",
        "decimal",
        "inet",
        "int4range",
        "int8range",
        "interval",
        "json",
        "jsonb",
        "line",
        "lseg",
        "macaddr",
        "macaddr8",
        "money",
        "name",
        "numeric",
        "numrange",
        "oid",
        "path",
        "point",
        "polygon",
        "regclass",
        "time",
        "timestamp",
        "timestamptz",
        "timetz",
        "tsquery",
        "tsrange",
        "tstzrange",
        "tsvector",
        "varbit",
        "xml",
    ];
    let head = name.split(['(', ' ', '[']).next().unwrap_or(name);
    if let Some(error) = SqlType::length_error(name) {
        return Err(error);
    }
    if name.ends_with(']') || POSTGRES.contains(&head) {
        return Err(SqlError::unsupported(format!("type {name} is not supported")));
    }
    Err(SqlError::new(SqlState::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist")))
}

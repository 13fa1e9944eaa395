//! Statements about the session: transactions, settings, prepared statements, EXPLAIN, maintenance; and the names of those that
//! are refused.

use engine::Isolation;
use sqlparser::tokenizer::Token;
use types::{SqlError, SqlState};

use crate::parse::command::{Command, Discard, Explain, ExplainFormat, Modes, Set, SetValue};
use crate::parse::cursor::Cursor;
use crate::parse::{ddl, fetch, statement};

pub(crate) fn command(cursor: &mut Cursor<'_>) -> Result<Command, SqlError> {
    let word = cursor.peek().unwrap_or_default().to_owned();
    let command = match word.as_str() {
        "begin" | "start" | "commit" | "end" | "rollback" | "abort" | "savepoint" | "release" => transaction(cursor)?,
        "set" => set(cursor)?,
        "reset" => reset(cursor)?,
        "show" => show(cursor)?,
        "discard" => discard(cursor)?,
        "prepare" => prepare(cursor)?,
        "execute" => execute(cursor)?,
        "deallocate" => {
            cursor.take(&["deallocate"]);
            cursor.take(&["prepare"]);
            Command::Deallocate(if cursor.take(&["all"]) { None } else { Some(cursor.ident()?) })
        }
        "vacuum" | "analyze" | "analyse" => maintain(cursor)?,
        "checkpoint" => {
            cursor.take(&["checkpoint"]);
            Command::Checkpoint
        }
        "explain" => explain(cursor)?,
        "declare" => fetch::declare(cursor)?,
        "fetch" | "move" => fetch::fetch(cursor)?,
        "close" => {
            cursor.take(&["close"]);
            Command::Close(if cursor.take(&["all"]) { None } else { Some(cursor.ident()?) })
        }
        "unlisten" => {
            cursor.next();
            cursor.expect_token(&Token::Mul)?;
            Command::Nothing("UNLISTEN")
        }
        "lock" => lock(cursor)?,
        _ => return Err(refused(cursor)),
    };
    Ok(command)
}

/// PostgreSQL's other statements: refused by name, so that nobody takes them for a typing error.
fn refused(cursor: &Cursor<'_>) -> SqlError {
    const NAMES: &[&str] = &[
        "call", "cluster", "comment", "do", "grant", "import", "listen", "load", "merge", "notify", "reassign", "refresh",
        "revoke", "security",
    ];
    match cursor.peek().filter(|word| NAMES.contains(word)) {
        Some(word) => SqlError::unsupported(format!("{} is not supported", word.to_ascii_uppercase())),
        None => cursor.unexpected(),
    }
}

/// `LOCK [TABLE] [ONLY] name, .. [IN mode MODE] [NOWAIT]`
fn lock(cursor: &mut Cursor<'_>) -> Result<Command, SqlError> {
    cursor.take(&["lock"]);
    cursor.take(&["table"]);
    let tables = cursor.separated(|c| {
        c.take(&["only"]);
        let name = c.name()?;
        c.take_token(&Token::Mul);
        Ok(name)
    })?;
    let mut keeps_writers = true;
    if cursor.take(&["in"]) {
        // Longest first: a mode may be the beginning of another's name.
        const MODES: [(&[&str], bool); 8] = [
            (&["access", "share"], false),
            (&["row", "share"], false),
            (&["row", "exclusive"], false),
            (&["share", "update", "exclusive"], false),
            (&["share", "row", "exclusive"], true),
            (&["access", "exclusive"], true),
            (&["exclusive"], true),
            (&["share"], true),
        ];
        let found = MODES.iter().find(|(words, _)| cursor.take(words));
        keeps_writers = found.ok_or_else(|| cursor.unexpected())?.1;
        cursor.expect(&["mode"])?;
    }
    let nowait = cursor.take(&["nowait"]);
    Ok(Command::Lock { tables, keeps_writers, nowait })
}

fn transaction(cursor: &mut Cursor<'_>) -> Result<Command, SqlError> {
    if cursor.take(&["start"]) {
        cursor.expect(&["transaction"])?;
        return Ok(Command::Begin { start: true, modes: modes(cursor)? });
    }
    if cursor.take(&["begin"]) {
        cursor.take_any(&["work", "transaction"]);
        return Ok(Command::Begin { start: false, modes: modes(cursor)? });
    }
    if cursor.take(&["savepoint"]) {
        return Ok(Command::Savepoint(cursor.ident()?));
    }
    if cursor.take(&["release"]) {
        cursor.take(&["savepoint"]);
        return Ok(Command::Release(cursor.ident()?));
    }
    let commit = cursor.take_any(&["commit", "end"]).is_some();
    if !commit {
        cursor.take_any(&["rollback", "abort"]);
    }
    if cursor.take(&["prepared"]) {
        return Err(SqlError::unsupported("prepared transactions are not supported"));
    }
    cursor.take_any(&["work", "transaction"]);
    if !commit && cursor.take(&["to"]) {
        cursor.take(&["savepoint"]);
        return Ok(Command::RollbackTo(cursor.ident()?));
    }
    let mut chain = false;
    if cursor.take(&["and"]) {
        chain = !cursor.take(&["no"]);
        cursor.expect(&["chain"])?;
    }
    Ok(if commit { Command::Commit { chain } } else { Command::Rollback { chain } })
}

/// `ISOLATION LEVEL ..`, `READ ONLY`, ... with or without commas.
fn modes(cursor: &mut Cursor<'_>) -> Result<Modes, SqlError> {
    let mut modes = Modes::default();
    loop {
        if cursor.take(&["isolation", "level"]) {
            modes.isolation = Some(if cursor.take(&["repeatable", "read"]) {
                Isolation::RepeatableRead
            } else if cursor.take(&["read", "committed"]) || cursor.take(&["read", "uncommitted"]) {
                Isolation::ReadCommitted
            } else if cursor.take(&["serializable"]) {
                Isolation::Serializable
            } else {
                return Err(cursor.unexpected());
            });
        } else if cursor.take(&["read", "only"]) {
            modes.read_only = Some(true);
        } else if cursor.take(&["read", "write"]) {
            modes.read_only = Some(false);
        } else if cursor.take(&["not", "deferrable"]) {
            modes.deferrable = Some(false);
        } else if cursor.take(&["deferrable"]) {
            modes.deferrable = Some(true);
        } else {
            return Ok(modes);
        }
        cursor.take_token(&Token::Comma);
    }
}

fn set(cursor: &mut Cursor<'_>) -> Result<Command, SqlError> {
    cursor.take(&["set"]);
    if cursor.take(&["session", "characteristics", "as", "transaction"]) {
        return Ok(Command::SetSessionCharacteristics(modes(cursor)?));
    }
    if cursor.peek() == Some("transaction") && cursor.peek_at(1).is_some() {
        cursor.take(&["transaction"]);
        if cursor.take(&["snapshot"]) {
            return Err(SqlError::unsupported("SET TRANSACTION SNAPSHOT is not supported"));
        }
        return Ok(Command::SetTransaction(modes(cursor)?));
    }
    if cursor.peek() == Some("constraints") && cursor.peek_at(1).is_some_and(|word| word != "to") {
        cursor.take(&["constraints"]);
        let names = if cursor.take(&["all"]) { None } else { Some(cursor.names()?) };
        return match cursor.take_any(&["immediate", "deferred"]) {
            Some(word) => Ok(Command::SetConstraints { names, deferred: word == "deferred" }),
            None => Err(cursor.unexpected()),
        };
    }
    let local = cursor.take_any(&["session", "local"]) == Some("local");
    let assign = |name: &str, values| Ok(Command::Set(Set { local, name: name.to_owned(), values }));
    if cursor.take(&["time", "zone"]) {
        let values = if cursor.take_any(&["local", "default"]).is_some() { None } else { Some(vec![zone(cursor)?]) };
        return assign("timezone", values);
    }
    if cursor.take(&["names"]) {
        let values = if cursor.take(&["default"]) { None } else { Some(vec![value(cursor)?]) };
        return assign("client_encoding", values);
    }
    if cursor.take(&["schema"]) {
        let schema = SetValue::Text(cursor.string()?);
        return assign("search_path", Some(vec![schema]));
    }
    if cursor.take(&["role"]) {
        let values = if cursor.take(&["none"]) { None } else { Some(vec![value(cursor)?]) };
        return assign("role", values);
    }
    if cursor.take(&["authorization"]) {
        let values = if cursor.take(&["default"]) { None } else { Some(vec![value(cursor)?]) };
        return assign("session_authorization", values);
    }
    let name = setting(cursor)?;
    if !cursor.take_token(&Token::Eq) {
        cursor.expect(&["to"])?;
    }
    let values = if cursor.take(&["default"]) { None } else { Some(cursor.separated(value)?) };
    Ok(Command::Set(Set { local, name, values }))
}

/// The name of a setting: one word, or two with a dot between them.
fn setting(cursor: &mut Cursor<'_>) -> Result<String, SqlError> {
    let Token::Word(word) = cursor.peek_token() else { return Err(cursor.unexpected()) };
    let mut name = word.value.clone();
    cursor.next();
    while cursor.take_token(&Token::Period) {
        name = format!("{name}.{}", cursor.ident()?);
    }
    Ok(name)
}

fn value(cursor: &mut Cursor<'_>) -> Result<SetValue, SqlError> {
    let sign = if cursor.take_token(&Token::Minus) {
        "-"
    } else {
        cursor.take_token(&Token::Plus);
        ""
    };
    match cursor.peek_token() {
        Token::Number(digits, _) => {
            let number = format!("{sign}{digits}");
            cursor.next();
            Ok(SetValue::Number(number))
        }
        _ if !sign.is_empty() => Err(cursor.unexpected()),
        Token::Word(word) => {
            let value = word.value.clone();
            let quoted = word.quote_style.is_some();
            cursor.next();
            Ok(if quoted { SetValue::Text(value) } else { SetValue::Word(value) })
        }
        _ => Ok(SetValue::Text(cursor.string()?)),
    }
}

/// `SET TIME ZONE`'s value: also `INTERVAL '-08:00' HOUR TO MINUTE`.
fn zone(cursor: &mut Cursor<'_>) -> Result<SetValue, SqlError> {
    if cursor.take(&["interval"]) {
        let text = cursor.string()?;
        if cursor.take(&["hour"]) {
            cursor.expect(&["to", "minute"])?;
        }
        return Ok(SetValue::Text(text));
    }
    value(cursor)
}

fn show_name(cursor: &mut Cursor<'_>) -> Result<Option<String>, SqlError> {
    if cursor.take(&["all"]) {
        return Ok(None);
    }
    if cursor.take(&["time", "zone"]) {
        return Ok(Some("timezone".into()));
    }
    if cursor.take(&["transaction", "isolation", "level"]) {
        return Ok(Some("transaction_isolation".into()));
    }
    if cursor.take(&["session", "authorization"]) {
        return Ok(Some("session_authorization".into()));
    }
    setting(cursor).map(Some)
}

fn show(cursor: &mut Cursor<'_>) -> Result<Command, SqlError> {
    cursor.take(&["show"]);
    Ok(Command::Show(show_name(cursor)?))
}

fn reset(cursor: &mut Cursor<'_>) -> Result<Command, SqlError> {
    cursor.take(&["reset"]);
    Ok(Command::Reset(show_name(cursor)?))
}

fn discard(cursor: &mut Cursor<'_>) -> Result<Command, SqlError> {
    cursor.take(&["discard"]);
    Ok(Command::Discard(match cursor.take_any(&["all", "plans", "sequences", "temp", "temporary"]) {
        Some("all") => Discard::All,
        Some("plans") => Discard::Plans,
        Some("sequences") => Discard::Sequences,
        Some(_) => Discard::Temp,
        None => return Err(cursor.unexpected()),
    }))
}

fn prepare(cursor: &mut Cursor<'_>) -> Result<Command, SqlError> {
    cursor.take(&["prepare"]);
    if cursor.peek() == Some("transaction") && !matches!(cursor.peek_at(1), Some("as")) {
        return Err(SqlError::unsupported("prepared transactions are not supported"));
    }
    let name = cursor.ident()?;
    let types = if *cursor.peek_token() == Token::LParen { cursor.parenthesized(parameter_type)? } else { vec![] };
    cursor.expect(&["as"])?;
    let statement = Box::new(statement::nested(cursor)?);
    match statement.command() {
        Command::Query(_) => {}
        command if command.writes_rows() => {}
        _ => {
            let message = "only SELECT, VALUES, INSERT, UPDATE, DELETE and MERGE can be prepared";
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
        }
    }
    Ok(Command::Prepare { name, types, statement })
}

fn parameter_type(cursor: &mut Cursor<'_>) -> Result<Option<types::SqlType>, SqlError> {
    if cursor.take(&["unknown"]) {
        return Ok(None);
    }
    ddl::data_type(cursor).map(Some)
}

fn execute(cursor: &mut Cursor<'_>) -> Result<Command, SqlError> {
    cursor.take(&["execute"]);
    let name = cursor.ident()?;
    let parameters = if *cursor.peek_token() == Token::LParen { cursor.parenthesized(Cursor::expr)? } else { vec![] };
    Ok(Command::Execute { name, parameters })
}

/// VACUUM and ANALYZE with their options; each is checked by name, and means here: merge now, or nothing.
fn maintain(cursor: &mut Cursor<'_>) -> Result<Command, SqlError> {
    let merge = cursor.take(&["vacuum"]);
    let command = if merge { "VACUUM" } else { "ANALYZE" };
    if !merge {
        cursor.take_any(&["analyze", "analyse"]);
    }
    if cursor.take_token(&Token::LParen) {
        loop {
            let byte = cursor.byte();
            let Token::Word(word) = cursor.next() else { return Err(cursor.unexpected()) };
            const KNOWN: &[&str] = &[
                "analyze",
                "analyse",
                "buffer_usage_limit",
                "disable_page_skipping",
                "freeze",
                "full",
                "index_cleanup",
                "parallel",
                "process_main",
                "process_toast",
                "skip_locked",
                "truncate",
                "verbose",
            ];
            if !KNOWN.contains(&word.value.as_str()) {
                return Err(SqlError::new(SqlState::SYNTAX_ERROR, format!("unrecognized {command} option \"{}\"", word.value))
                    .position(cursor.source().position(byte)));
            }
            if !matches!(cursor.peek_token(), Token::Comma | Token::RParen) {
                value(cursor)?;
            }
            if !cursor.take_token(&Token::Comma) {
                break;
            }
        }
        cursor.expect_token(&Token::RParen)?;
    } else {
        while cursor.take_any(&["full", "freeze", "verbose", "analyze", "analyse"]).is_some() {}
    }
    let tables = if cursor.at_end() {
        vec![]
    } else {
        cursor.separated(|c| {
            let name = c.name()?;
            if *c.peek_token() == Token::LParen {
                c.parenthesized(Cursor::ident)?;
            }
            Ok(name)
        })?
    };
    Ok(Command::Maintain { command, merge, tables })
}

fn explain(cursor: &mut Cursor<'_>) -> Result<Command, SqlError> {
    cursor.take(&["explain"]);
    let mut explain = (false, false, true, ExplainFormat::Text);
    if *cursor.peek_token() == Token::LParen && !matches!(cursor.peek_at(1), Some("select" | "values" | "with" | "table")) {
        cursor.next();
        loop {
            explain_option(cursor, &mut explain)?;
            if !cursor.take_token(&Token::Comma) {
                break;
            }
        }
        cursor.expect_token(&Token::RParen)?;
    } else {
        explain.0 = cursor.take_any(&["analyze", "analyse"]).is_some();
        explain.1 = cursor.take(&["verbose"]);
    }
    let statement = Box::new(statement::nested(cursor)?);
    match statement.command() {
        Command::Query(_)
        | Command::Insert(_)
        | Command::Update(_)
        | Command::Delete(_)
        | Command::CreateTableAs(_)
        | Command::Execute { .. } => {}
        _ => return Err(SqlError::new(SqlState::SYNTAX_ERROR, "this statement has no plan to explain")),
    }
    let (analyze, verbose, timing, format) = explain;
    Ok(Command::Explain(Explain { analyze, verbose, timing, format, statement }))
}

fn explain_option(cursor: &mut Cursor<'_>, explain: &mut (bool, bool, bool, ExplainFormat)) -> Result<(), SqlError> {
    let byte = cursor.byte();
    let Token::Word(word) = cursor.next() else { return Err(cursor.unexpected()) };
    let argument = match cursor.peek_token() {
        Token::Comma | Token::RParen => None,
        _ => Some(match value(cursor)? {
            SetValue::Text(v) | SetValue::Word(v) | SetValue::Number(v) => v.to_ascii_lowercase(),
        }),
    };
    let name = word.value.as_str();
    let invalid = |state, message: String| Err(SqlError::new(state, message).position(cursor.source().position(byte)));
    let on = match argument.as_deref() {
        None | Some("true" | "on" | "1") => Some(true),
        Some("false" | "off" | "0") => Some(false),
        Some(_) => None,
    };
    match (name, on) {
        ("format", _) => {
            explain.3 = match argument.as_deref() {
                Some("text") => ExplainFormat::Text,
                Some("json") => ExplainFormat::Json,
                Some(other @ ("xml" | "yaml")) => {
                    return Err(SqlError::unsupported(format!("EXPLAIN format {other} is not supported")));
                }
                other => {
                    let other = other.unwrap_or_default();
                    let message = format!("unrecognized value for EXPLAIN option \"format\": \"{other}\"");
                    return invalid(SqlState::INVALID_PARAMETER_VALUE, message);
                }
            }
        }
        ("analyze", Some(on)) => explain.0 = on,
        ("verbose", Some(on)) => explain.1 = on,
        ("timing", Some(on)) => explain.2 = on,
        // What they would add or leave out is not part of our plans.
        ("costs" | "buffers" | "wal" | "summary" | "settings", Some(_)) => {}
        ("analyze" | "verbose" | "timing" | "costs" | "buffers" | "wal" | "summary" | "settings", None) => {
            return invalid(SqlState::SYNTAX_ERROR, format!("{name} requires a Boolean value"));
        }
        _ => return invalid(SqlState::SYNTAX_ERROR, format!("unrecognized EXPLAIN option \"{name}\"")),
    }
    Ok(())
}

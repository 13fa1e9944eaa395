//! CREATE and ALTER SEQUENCE, `serial` types, GENERATED .. AS, and OVERRIDING in INSERT and MERGE.
//!
//! ```text
//! CREATE SEQUENCE s AS int START 10 OWNED BY t.a        a serial        a int GENERATED ALWAYS AS IDENTITY (CYCLE)
//! INSERT INTO t (a) OVERRIDING SYSTEM VALUE VALUES (1)  is read as      INSERT INTO t (a) PARTITION ("\u{1}system") VALUES (1)
//! INSERT INTO t OVERRIDING SYSTEM VALUE VALUES (1)      is read as      INSERT INTO t AS "\u{1}system" VALUES (1)
//! ```
//!
//! Source: PostgreSQL 15 `gram.y`; `init_params` in `sequence.c` for which option may stand where.

use catalog::IdentityKind;
use expr::syntax::OURS;
use sqlparser::ast::{Expr, Ident, Insert};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};
use types::{SqlError, SqlState, SqlType};

use crate::names::Name;
use crate::parse::command::Command;
use crate::parse::cursor::Cursor;
use crate::parse::ddl::data_type;

/// What was said of a sequence; what was not is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SequenceOptions {
    pub(crate) data_type: Option<SqlType>,
    pub(crate) increment: Option<i64>,
    /// Within: `None` is NO MINVALUE.
    pub(crate) min: Option<Option<i64>>,
    /// Within: `None` is NO MAXVALUE.
    pub(crate) max: Option<Option<i64>>,
    pub(crate) start: Option<i64>,
    /// Within: `None` is the sequence's start.
    pub(crate) restart: Option<Option<i64>>,
    pub(crate) cache: Option<i64>,
    pub(crate) cycle: Option<bool>,
    /// Within: `None` is OWNED BY NONE.
    pub(crate) owner: Option<Option<OwnerName>>,
    /// Of an identity column: the sequence's name.
    pub(crate) name: Option<Name>,
}

/// `table.column`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnerName {
    pub(crate) table: Name,
    pub(crate) column: String,
}

#[derive(Clone, Debug)]
pub(crate) struct CreateSequence {
    pub(crate) name: Name,
    pub(crate) if_not_exists: bool,
    pub(crate) options: SequenceOptions,
}

#[derive(Clone, Debug)]
pub(crate) struct AlterSequence {
    pub(crate) name: Name,
    pub(crate) if_exists: bool,
    pub(crate) action: SequenceAction,
}

#[derive(Clone, Debug)]
pub(crate) enum SequenceAction {
    Options(SequenceOptions),
    Rename(String),
    SetSchema(String),
}

/// Where a column's values come from that no statement gives.
#[derive(Clone, Debug)]
pub(crate) enum ColumnSequence {
    /// `serial` and its kin.
    Serial,
    Identity(IdentityKind, Box<SequenceOptions>),
}

/// What OVERRIDING says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overriding {
    /// Given values go before those of GENERATED ALWAYS.
    System,
    /// Given values of identity columns are left out.
    User,
}

/// After CREATE SEQUENCE.
pub(crate) fn create(cursor: &mut Cursor<'_>) -> Result<Command, SqlError> {
    let if_not_exists = cursor.take(&["if", "not", "exists"]);
    let name = cursor.name()?;
    let options = options(cursor, Place::Sequence)?;
    Ok(Command::CreateSequence(CreateSequence { name, if_not_exists, options }))
}

/// After ALTER SEQUENCE.
pub(crate) fn alter(cursor: &mut Cursor<'_>) -> Result<Command, SqlError> {
    let if_exists = cursor.take(&["if", "exists"]);
    let name = cursor.name()?;
    let action = if cursor.take(&["rename", "to"]) {
        SequenceAction::Rename(cursor.ident()?)
    } else if cursor.take(&["set", "schema"]) {
        SequenceAction::SetSchema(cursor.ident()?)
    } else if let Some("owner" | "set") = cursor.peek() {
        return Err(SqlError::unsupported("ALTER SEQUENCE with OWNER or SET is not supported"));
    } else if cursor.at_end() {
        return Err(cursor.unexpected());
    } else {
        SequenceAction::Options(options(cursor, Place::Sequence)?)
    };
    Ok(Command::AlterSequence(AlterSequence { name, if_exists, action }))
}

/// The type `serial` and its kin stand for, if one of them comes next.
pub(crate) fn serial(cursor: &mut Cursor<'_>) -> Option<SqlType> {
    let data_type = match cursor.peek()? {
        "smallserial" | "serial2" => SqlType::Int2,
        "serial" | "serial4" => SqlType::Int4,
        "bigserial" | "serial8" => SqlType::Int8,
        _ => return None,
    };
    // A schema may have such a name.
    if *cursor.token_at(1) == Token::Period {
        return None;
    }
    cursor.next();
    Some(data_type)
}

/// What GENERATED says of a column.
pub(crate) enum Generated {
    /// AS IDENTITY
    Identity(ColumnSequence),
    /// AS (..) STORED
    Stored(Expr),
}

/// `GENERATED ALWAYS | BY DEFAULT AS IDENTITY [(options)]`, `GENERATED ALWAYS AS (expression) STORED`.
pub(crate) fn generated(cursor: &mut Cursor<'_>) -> Result<Generated, SqlError> {
    cursor.expect(&["generated"])?;
    let start = cursor.byte();
    let kind = if cursor.take(&["always"]) {
        IdentityKind::Always
    } else {
        cursor.expect(&["by", "default"])?;
        IdentityKind::ByDefault
    };
    cursor.expect(&["as"])?;
    if cursor.take_token(&Token::LParen) {
        let expr = cursor.expr()?;
        cursor.expect_token(&Token::RParen)?;
        cursor.expect(&["stored"])?;
        if kind != IdentityKind::Always {
            let message = "for a generated column, GENERATED ALWAYS must be specified";
            let error = SqlError::new(SqlState::SYNTAX_ERROR, message);
            return Err(error.position(cursor.source().position(start)));
        }
        return Ok(Generated::Stored(expr));
    }
    cursor.expect(&["identity"])?;
    let mut found = SequenceOptions::default();
    if cursor.take_token(&Token::LParen) {
        found = options(cursor, Place::Identity)?;
        cursor.expect_token(&Token::RParen)?;
    }
    Ok(Generated::Identity(ColumnSequence::Identity(kind, Box::new(found))))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Sequence,
    /// In the parentheses of AS IDENTITY.
    Identity,
}

fn options(cursor: &mut Cursor<'_>, place: Place) -> Result<SequenceOptions, SqlError> {
    let mut found = SequenceOptions::default();
    loop {
        let start = cursor.byte();
        let twice = if cursor.take(&["as"]) {
            found.data_type.replace(data_type(cursor)?).is_some()
        } else if cursor.take(&["increment"]) {
            cursor.take(&["by"]);
            found.increment.replace(number(cursor)?).is_some()
        } else if cursor.take(&["minvalue"]) {
            found.min.replace(Some(number(cursor)?)).is_some()
        } else if cursor.take(&["no", "minvalue"]) {
            found.min.replace(None).is_some()
        } else if cursor.take(&["maxvalue"]) {
            found.max.replace(Some(number(cursor)?)).is_some()
        } else if cursor.take(&["no", "maxvalue"]) {
            found.max.replace(None).is_some()
        } else if cursor.take(&["start"]) {
            cursor.take(&["with"]);
            found.start.replace(number(cursor)?).is_some()
        } else if cursor.take(&["restart"]) {
            let with = cursor.take(&["with"]);
            let given = with || matches!(cursor.peek_token(), Token::Number(..) | Token::Minus | Token::Plus);
            let value = if given { Some(number(cursor)?) } else { None };
            found.restart.replace(value).is_some()
        } else if cursor.take(&["cache"]) {
            found.cache.replace(number(cursor)?).is_some()
        } else if cursor.take(&["cycle"]) {
            found.cycle.replace(true).is_some()
        } else if cursor.take(&["no", "cycle"]) {
            found.cycle.replace(false).is_some()
        } else if cursor.take(&["owned", "by"]) {
            found.owner.replace(owner(cursor)?).is_some()
        } else if place == Place::Identity && cursor.take(&["sequence", "name"]) {
            found.name.replace(cursor.name()?).is_some()
        } else {
            break;
        };
        if twice {
            let error = SqlError::new(SqlState::SYNTAX_ERROR, "conflicting or redundant options");
            return Err(error.position(cursor.source().position(start)));
        }
    }
    Ok(found)
}

fn owner(cursor: &mut Cursor<'_>) -> Result<Option<OwnerName>, SqlError> {
    let name = cursor.name()?;
    let Name { database, schema, name: last, position } = name;
    let Some(table) = schema else {
        return match last.as_str() {
            "none" => Ok(None),
            _ => Err(SqlError::new(SqlState::SYNTAX_ERROR, "invalid OWNED BY option")
                .hint("Specify OWNED BY table.column or OWNED BY NONE.")),
        };
    };
    Ok(Some(OwnerName { table: Name { database: None, schema: database, name: table, position }, column: last }))
}

/// A whole number, signed.
fn number(cursor: &mut Cursor<'_>) -> Result<i64, SqlError> {
    let negative = cursor.take_token(&Token::Minus);
    if !negative {
        cursor.take_token(&Token::Plus);
    }
    let Token::Number(digits, _) = cursor.peek_token().clone() else { return Err(cursor.unexpected()) };
    let signed = if negative { format!("-{digits}") } else { digits };
    let value = signed.parse::<i64>().map_err(|_| {
        let message = format!("value \"{signed}\" is out of range for type bigint");
        SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message)
    })?;
    cursor.next();
    Ok(value)
}

/// Writes OVERRIDING of an INSERT as the parser can read it; [`overriding`] finds it again.
pub(crate) fn with_overriding(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let word = |token: &TokenWithSpan| match &token.token {
        Token::Word(Word { value, quote_style: None, .. }) => Some(value.clone()),
        _ => None,
    };
    let is_solid = |token: &TokenWithSpan| !matches!(token.token, Token::Whitespace(_));
    let mut from = 0;
    while let Some(at) = (from..tokens.len()).find(|at| word(&tokens[*at]).as_deref() == Some("overriding")) {
        from = at + 1;
        let solid: Vec<usize> = (at..tokens.len()).filter(|at| is_solid(&tokens[*at])).take(3).collect();
        let [first, second, third] = solid.as_slice() else { break };
        let what = match (word(&tokens[*second]).as_deref(), word(&tokens[*third]).as_deref()) {
            (Some(what @ ("system" | "user")), Some("value")) => format!("{OURS}{what}"),
            _ => continue,
        };
        if !tokens[..at].iter().any(|token| word(token).as_deref() == Some("insert")) {
            continue;
        }
        let mut before = tokens[..at].iter().rev().filter(|token| is_solid(token));
        let is_behind_list = before.next().is_some_and(|token| token.token == Token::RParen);
        let is_behind_alias = before.next().is_some_and(|token| word(token).as_deref() == Some("as"));
        let mark = Token::Word(Word { value: what, quote_style: Some('"'), keyword: Keyword::NoKeyword });
        let keyword = |value: &str, keyword| Token::Word(Word { value: value.into(), quote_style: None, keyword });
        if is_behind_list || is_behind_alias {
            tokens[*first].token = keyword("partition", Keyword::PARTITION);
            let span = tokens[*second].span;
            tokens[*second].token = Token::LParen;
            tokens[*third].token = Token::RParen;
            tokens.insert(second + 1, TokenWithSpan { token: mark, span });
        } else {
            // PARTITION would be read as the table's other name.
            tokens[*first].token = keyword("as", Keyword::AS);
            tokens[*second].token = mark;
            tokens.remove(*third);
        }
    }
    tokens
}

/// What OVERRIDING says in an INSERT. Errors: 0A000 for a PARTITION that was one.
pub(crate) fn overriding(insert: &Insert) -> Result<Option<Overriding>, SqlError> {
    let alias = insert.table_alias.as_ref().map(|alias| &alias.alias).filter(|alias| alias.value.starts_with(OURS));
    let mark = match (alias, insert.partitioned.as_deref()) {
        (None, None) => return Ok(None),
        (Some(mark), None) | (None, Some([Expr::Identifier(mark)])) => mark.value.trim_start_matches(OURS),
        _ => return Err(SqlError::unsupported("this form of INSERT is not supported")),
    };
    Ok(Some(of_mark(mark)))
}

fn of_mark(mark: &str) -> Overriding {
    if mark == "system" { Overriding::System } else { Overriding::User }
}

/// What OVERRIDING says where a MERGE inserts, as [`with_overriding`] has left it.
pub(crate) fn overriding_at(cursor: &mut Cursor<'_>) -> Result<Option<Overriding>, SqlError> {
    let mark = if cursor.take(&["partition"]) {
        cursor.parenthesized(Cursor::ident)?.pop().unwrap_or_default()
    } else if cursor.take(&["as"]) {
        cursor.ident()?
    } else {
        return Ok(None);
    };
    mark.strip_prefix(OURS).map(|mark| Some(of_mark(mark))).ok_or_else(|| cursor.unexpected())
}

/// What an INSERT calls its table.
pub(crate) fn alias_of(insert: &Insert) -> Option<&Ident> {
    insert.table_alias.as_ref().map(|alias| &alias.alias).filter(|alias| !alias.value.starts_with(OURS))
}

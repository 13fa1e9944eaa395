//! Constraints of CREATE TABLE and ALTER TABLE.
//!
//! ```text
//! a int CONSTRAINT n UNIQUE CHECK (a > 0),  CONSTRAINT m UNIQUE NULLS NOT DISTINCT (a, b),  PRIMARY KEY (a)
//! ```

use catalog::{Action, Deferral};
use sqlparser::ast::Expr;
use sqlparser::tokenizer::Token;
use types::{SqlError, SqlState};

use crate::names::Name;
use crate::parse::command::KeyConstraint;
use crate::parse::cursor::Cursor;
use crate::parse::ddl::{storage_parameters, tablespace};

/// A constraint as written.
#[derive(Clone, Debug)]
pub(crate) enum Constraint {
    PrimaryKey(KeyConstraint),
    Unique { key: KeyConstraint, nulls_not_distinct: bool },
    Check { name: Option<String>, condition: Box<Expr>, validated: bool },
    ForeignKey(Box<Reference>),
}

/// FOREIGN KEY as written.
#[derive(Clone, Debug)]
pub(crate) struct Reference {
    pub(crate) name: Option<String>,
    pub(crate) columns: Vec<String>,
    pub(crate) target: Name,
    /// Empty: the target's primary key.
    pub(crate) target_columns: Vec<String>,
    pub(crate) match_full: bool,
    pub(crate) on_delete: Action,
    pub(crate) delete_sets: Vec<String>,
    pub(crate) on_update: Action,
    pub(crate) deferral: Deferral,
    pub(crate) validated: bool,
}

/// The words a table's constraint begins with.
pub(crate) const BEGINNINGS: &[&str] = &["constraint", "primary", "unique", "check", "foreign", "exclude"];

/// `[CONSTRAINT name] PRIMARY KEY (a, b) | UNIQUE (a) | CHECK (e) | FOREIGN KEY (a) REFERENCES ...`
pub(crate) fn of_table(cursor: &mut Cursor<'_>) -> Result<Constraint, SqlError> {
    let name = if cursor.take(&["constraint"]) { Some(cursor.ident()?) } else { None };
    if cursor.take(&["primary", "key"]) {
        refuse_using_index(cursor, "PRIMARY KEY")?;
        let columns = cursor.parenthesized(Cursor::ident)?;
        key_options(cursor, "PRIMARY KEY")?;
        return Ok(Constraint::PrimaryKey(KeyConstraint { name, columns, deferral: deferral(cursor)? }));
    }
    if cursor.take(&["unique"]) {
        let nulls_not_distinct = nulls_not_distinct(cursor)?;
        refuse_using_index(cursor, "UNIQUE")?;
        let columns = cursor.parenthesized(Cursor::ident)?;
        return unique(cursor, name, columns, nulls_not_distinct);
    }
    if cursor.peek() == Some("check") {
        let check = check(cursor, name)?;
        return match deferral(cursor)? {
            Deferral::NotDeferrable => Ok(check),
            _ => Err(SqlError::unsupported("CHECK constraints cannot be marked DEFERRABLE")),
        };
    }
    if cursor.take(&["foreign", "key"]) {
        let columns = cursor.parenthesized(Cursor::ident)?;
        return references(cursor, name, columns);
    }
    match cursor.peek() {
        Some("exclude") => Err(SqlError::unsupported("EXCLUDE constraints are not supported")),
        _ => Err(cursor.unexpected()),
    }
}

/// A constraint of the column `column`, if one comes next; NOT NULL and PRIMARY KEY are not among them.
pub(crate) fn of_column(cursor: &mut Cursor<'_>, name: Option<String>, column: &str) -> Result<Option<Constraint>, SqlError> {
    Ok(Some(match cursor.peek() {
        Some("unique") => {
            cursor.take(&["unique"]);
            let nulls_not_distinct = nulls_not_distinct(cursor)?;
            unique(cursor, name, vec![column.to_owned()], nulls_not_distinct)?
        }
        Some("check") => check(cursor, name)?,
        Some("references") => references(cursor, name, vec![column.to_owned()])?,
        _ => return Ok(None),
    }))
}

/// `REFERENCES table [(a, b)] [MATCH ..] [ON DELETE ..] [ON UPDATE ..]`, deferral, `NOT VALID`
fn references(cursor: &mut Cursor<'_>, name: Option<String>, columns: Vec<String>) -> Result<Constraint, SqlError> {
    cursor.expect(&["references"])?;
    let target = cursor.name()?;
    let target_columns = if *cursor.peek_token() == Token::LParen { cursor.parenthesized(Cursor::ident)? } else { Vec::new() };
    let mut match_full = false;
    if cursor.take(&["match"]) {
        match cursor.take_any(&["full", "simple", "partial"]) {
            Some("partial") => return Err(SqlError::unsupported("MATCH PARTIAL not yet implemented")),
            Some(word) => match_full = word == "full",
            None => return Err(cursor.unexpected()),
        }
    }
    let (mut on_delete, mut on_update, mut delete_sets) = (None, None, Vec::new());
    while cursor.take(&["on"]) {
        let event = cursor.take_any(&["delete", "update"]).ok_or_else(|| cursor.unexpected())?;
        let (action, sets) = action(cursor)?;
        if event == "update" && !sets.is_empty() {
            let message = "a column list with SET NULL is only supported for ON DELETE actions";
            return Err(SqlError::unsupported(message));
        }
        let slot = if event == "delete" { &mut on_delete } else { &mut on_update };
        if slot.replace(action).is_some() {
            return Err(cursor.unexpected());
        }
        if event == "delete" {
            delete_sets = sets;
        }
    }
    let mut deferral = deferral(cursor)?;
    let validated = !cursor.take(&["not", "valid"]);
    if deferral == Deferral::NotDeferrable {
        deferral = self::deferral(cursor)?;
    }
    Ok(Constraint::ForeignKey(Box::new(Reference {
        name,
        columns,
        target,
        target_columns,
        match_full,
        on_delete: on_delete.unwrap_or_default(),
        delete_sets,
        on_update: on_update.unwrap_or_default(),
        deferral,
        validated,
    })))
}

fn action(cursor: &mut Cursor<'_>) -> Result<(Action, Vec<String>), SqlError> {
    let action = if cursor.take(&["no", "action"]) {
        Action::Nothing
    } else if cursor.take(&["restrict"]) {
        Action::Restrict
    } else if cursor.take(&["cascade"]) {
        Action::Cascade
    } else if cursor.take(&["set", "null"]) {
        Action::SetNull
    } else if cursor.take(&["set", "default"]) {
        Action::SetDefault
    } else {
        return Err(cursor.unexpected());
    };
    let takes_columns = matches!(action, Action::SetNull | Action::SetDefault);
    let sets = if takes_columns && *cursor.peek_token() == Token::LParen { cursor.parenthesized(Cursor::ident)? } else { vec![] };
    Ok((action, sets))
}

fn refuse_using_index(cursor: &Cursor<'_>, what: &str) -> Result<(), SqlError> {
    match cursor.peek() {
        Some("using") => Err(SqlError::unsupported(format!("{what} USING INDEX is not supported"))),
        _ => Ok(()),
    }
}

pub(crate) fn nulls_not_distinct(cursor: &mut Cursor<'_>) -> Result<bool, SqlError> {
    if !cursor.take(&["nulls"]) {
        return Ok(false);
    }
    let not = cursor.take(&["not"]);
    cursor.expect(&["distinct"])?;
    Ok(not)
}

fn unique(
    cursor: &mut Cursor<'_>,
    name: Option<String>,
    columns: Vec<String>,
    nulls_not_distinct: bool,
) -> Result<Constraint, SqlError> {
    key_options(cursor, "UNIQUE")?;
    let deferral = deferral(cursor)?;
    Ok(Constraint::Unique { key: KeyConstraint { name, columns, deferral }, nulls_not_distinct })
}

fn check(cursor: &mut Cursor<'_>, name: Option<String>) -> Result<Constraint, SqlError> {
    cursor.take(&["check"]);
    cursor.expect_token(&Token::LParen)?;
    let condition = Box::new(cursor.expr()?);
    cursor.expect_token(&Token::RParen)?;
    if cursor.take(&["no", "inherit"]) {
        return Err(SqlError::unsupported("NO INHERIT constraints are not supported: there is no inheritance"));
    }
    let validated = !cursor.take(&["not", "valid"]);
    Ok(Constraint::Check { name, condition, validated })
}

/// `[NOT] DEFERRABLE`, `INITIALLY DEFERRED | IMMEDIATE`, in any order.
pub(super) fn deferral(cursor: &mut Cursor<'_>) -> Result<Deferral, SqlError> {
    let (mut deferrable, mut deferred) = (None, None);
    loop {
        if cursor.take(&["not", "deferrable"]) {
            deferrable = Some(false);
        } else if cursor.take(&["deferrable"]) {
            deferrable = Some(true);
        } else if cursor.take(&["initially", "deferred"]) {
            deferred = Some(true);
        } else if cursor.take(&["initially", "immediate"]) {
            deferred = Some(false);
        } else {
            break;
        }
    }
    match (deferrable, deferred) {
        (Some(false), Some(true)) => {
            let message = "constraint declared INITIALLY DEFERRED must be DEFERRABLE";
            Err(SqlError::new(SqlState::SYNTAX_ERROR, message))
        }
        (_, Some(true)) => Ok(Deferral::Deferred),
        (Some(true), _) => Ok(Deferral::Immediate),
        _ => Ok(Deferral::NotDeferrable),
    }
}

/// What may follow the columns of a key.
fn key_options(cursor: &mut Cursor<'_>, what: &str) -> Result<(), SqlError> {
    if cursor.peek() == Some("include") {
        return Err(SqlError::unsupported(format!("{what} with INCLUDE is not supported")));
    }
    if cursor.take(&["with"]) {
        storage_parameters(cursor)?;
    }
    if cursor.take(&["using", "index", "tablespace"]) {
        tablespace(cursor)?;
    }
    Ok(())
}

/// The options of a column's PRIMARY KEY.
pub(crate) fn primary_key_options(cursor: &mut Cursor<'_>) -> Result<Deferral, SqlError> {
    key_options(cursor, "PRIMARY KEY")?;
    deferral(cursor)
}

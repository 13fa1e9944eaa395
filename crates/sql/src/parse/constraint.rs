//! Constraints of CREATE TABLE and ALTER TABLE.
//!
//! ```text
//! a int CONSTRAINT n UNIQUE CHECK (a > 0),  CONSTRAINT m UNIQUE NULLS NOT DISTINCT (a, b),  PRIMARY KEY (a)
//! ```

use catalog::Deferral;
use sqlparser::ast::Expr;
use sqlparser::tokenizer::Token;
use types::{SqlError, SqlState};

use crate::parse::command::KeyConstraint;
use crate::parse::cursor::Cursor;
use crate::parse::ddl::{storage_parameters, tablespace};

/// A constraint as written.
#[derive(Clone, Debug)]
pub(crate) enum Constraint {
    PrimaryKey(KeyConstraint),
    Unique { key: KeyConstraint, nulls_not_distinct: bool },
    Check { name: Option<String>, condition: Box<Expr>, validated: bool },
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
        return match deferral(cursor)? {
            Deferral::NotDeferrable => Ok(Constraint::PrimaryKey(KeyConstraint { name, columns })),
            _ => Err(SqlError::unsupported("deferrable primary keys are not supported")),
        };
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
    match cursor.peek() {
        Some("foreign") => Err(foreign_key()),
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
        Some("check") => {
            let check = check(cursor, name)?;
            match cursor.peek() {
                Some("deferrable") => return Err(SqlError::new(SqlState::SYNTAX_ERROR, "misplaced DEFERRABLE clause")),
                _ => check,
            }
        }
        Some("references") => return Err(foreign_key()),
        _ => return Ok(None),
    }))
}

fn foreign_key() -> SqlError {
    SqlError::unsupported("FOREIGN KEY constraints are not supported yet")
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
    if deferral(cursor)? != Deferral::NotDeferrable {
        return Err(SqlError::unsupported("deferrable UNIQUE constraints are not supported"));
    }
    Ok(Constraint::Unique { key: KeyConstraint { name, columns }, nulls_not_distinct })
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
fn deferral(cursor: &mut Cursor<'_>) -> Result<Deferral, SqlError> {
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
pub(crate) fn primary_key_options(cursor: &mut Cursor<'_>) -> Result<(), SqlError> {
    key_options(cursor, "PRIMARY KEY")?;
    match deferral(cursor)? {
        Deferral::NotDeferrable => Ok(()),
        _ => Err(SqlError::unsupported("deferrable primary keys are not supported")),
    }
}

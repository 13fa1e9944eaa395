//! ALTER TABLE: one action, or several that are one rewrite.
//!
//! ```text
//! ALTER TABLE [IF EXISTS] [ONLY] t RENAME [COLUMN] a TO b | RENAME TO u | RENAME CONSTRAINT c TO d | SET SCHEMA s
//!                                  ADD [COLUMN] .. , DROP [COLUMN] .. , ALTER [COLUMN] a .. , ADD | DROP | ALTER | VALIDATE CONSTRAINT ..
//! ```
//!
//! Source: PostgreSQL 15 `gram.y`.

use catalog::Deferral;
use sqlparser::ast::Expr;
use sqlparser::tokenizer::Token;
use types::{SqlError, SqlType};

use crate::names::Name;
use crate::parse::command::{ColumnDefinition, Command, CreateTable, KeyConstraint};
use crate::parse::constraint::{self, Constraint};
use crate::parse::cursor::Cursor;
use crate::parse::ddl::{column, data_type};

/// ALTER TABLE as written.
#[derive(Clone, Debug)]
pub(crate) struct AlterTable {
    pub(crate) table: Name,
    pub(crate) if_exists: bool,
    /// In the order of the text; not empty.
    pub(crate) actions: Vec<TableAction>,
}

/// One action of ALTER TABLE.
#[derive(Clone, Debug)]
pub(crate) enum TableAction {
    AddColumn(Box<AddColumn>),
    DropColumn { name: String, missing_ok: bool, cascade: bool },
    SetType { column: String, data_type: SqlType, using: Option<Box<Expr>> },
    SetDefault { column: String, default: Box<Expr> },
    DropDefault { column: String },
    DropExpression { column: String, missing_ok: bool },
    SetNotNull { column: String },
    DropNotNull { column: String },
    AddPrimaryKey(KeyConstraint),
    AddConstraint(Constraint),
    DropConstraint { name: String, missing_ok: bool, cascade: bool },
    ValidateConstraint(String),
    AlterConstraint { name: String, deferral: Deferral },
    RenameConstraint { name: String, to: String },
    RenameColumn { name: String, to: String },
    Rename(String),
    SetSchema(String),
}

/// A column as CREATE TABLE would have it.
#[derive(Clone, Debug)]
pub(crate) struct AddColumn {
    pub(crate) column: ColumnDefinition,
    pub(crate) primary_key: Option<KeyConstraint>,
    pub(crate) constraints: Vec<Constraint>,
    pub(crate) if_not_exists: bool,
}

/// After ALTER TABLE.
pub(crate) fn alter(cursor: &mut Cursor<'_>) -> Result<Command, SqlError> {
    let if_exists = cursor.take(&["if", "exists"]);
    cursor.take(&["only"]);
    let table = cursor.name()?;
    cursor.take_token(&Token::Mul);
    let actions = match alone(cursor)? {
        Some(action) => vec![action],
        None => {
            let mut actions = vec![action(cursor, &table)?];
            while cursor.take_token(&Token::Comma) {
                actions.push(action(cursor, &table)?);
            }
            actions
        }
    };
    Ok(Command::AlterTable(AlterTable { table, if_exists, actions }))
}

/// An action that has no others beside it.
fn alone(cursor: &mut Cursor<'_>) -> Result<Option<TableAction>, SqlError> {
    if cursor.take(&["set", "schema"]) {
        return Ok(Some(TableAction::SetSchema(cursor.ident()?)));
    }
    if !cursor.take(&["rename"]) {
        return Ok(None);
    }
    if cursor.take(&["to"]) {
        return Ok(Some(TableAction::Rename(cursor.ident()?)));
    }
    let constraint = cursor.take(&["constraint"]);
    if !constraint {
        cursor.take(&["column"]);
    }
    let name = cursor.ident()?;
    cursor.expect(&["to"])?;
    let to = cursor.ident()?;
    Ok(Some(if constraint { TableAction::RenameConstraint { name, to } } else { TableAction::RenameColumn { name, to } }))
}

fn action(cursor: &mut Cursor<'_>, table: &Name) -> Result<TableAction, SqlError> {
    if cursor.take(&["add"]) {
        return add(cursor, table);
    }
    if cursor.take(&["drop", "constraint"]) {
        let missing_ok = cursor.take(&["if", "exists"]);
        let name = cursor.ident()?;
        return Ok(TableAction::DropConstraint { name, missing_ok, cascade: cascade(cursor) });
    }
    if cursor.take(&["drop"]) {
        cursor.take(&["column"]);
        let missing_ok = cursor.take(&["if", "exists"]);
        let name = cursor.ident()?;
        return Ok(TableAction::DropColumn { name, missing_ok, cascade: cascade(cursor) });
    }
    if cursor.take(&["validate", "constraint"]) {
        return cursor.ident().map(TableAction::ValidateConstraint);
    }
    if cursor.take(&["alter", "constraint"]) {
        let name = cursor.ident()?;
        return Ok(TableAction::AlterConstraint { name, deferral: constraint::deferral(cursor)? });
    }
    if cursor.take(&["alter"]) {
        cursor.take(&["column"]);
        let column = cursor.ident()?;
        return change(cursor, column);
    }
    let refused = match cursor.peek() {
        Some("owner") => "ALTER TABLE OWNER TO is not supported: there is one owner",
        Some("attach" | "detach" | "inherit" | "no" | "of" | "not") => {
            "ALTER TABLE of inheritance and partitions is not supported"
        }
        Some("enable" | "disable" | "force") => "ALTER TABLE ENABLE and DISABLE of triggers, rules and policies is not supported",
        Some("set" | "reset" | "cluster" | "replica") => "ALTER TABLE of storage is not supported",
        _ => return Err(cursor.unexpected()),
    };
    Err(SqlError::unsupported(refused))
}

fn cascade(cursor: &mut Cursor<'_>) -> bool {
    cursor.take_any(&["cascade", "restrict"]) == Some("cascade")
}

fn add(cursor: &mut Cursor<'_>, table: &Name) -> Result<TableAction, SqlError> {
    if cursor.peek().is_some_and(|word| constraint::BEGINNINGS.contains(&word)) {
        return Ok(match constraint::of_table(cursor)? {
            Constraint::PrimaryKey(key) => TableAction::AddPrimaryKey(key),
            constraint => TableAction::AddConstraint(constraint),
        });
    }
    cursor.take(&["column"]);
    let if_not_exists = cursor.take(&["if", "not", "exists"]);
    let mut of = CreateTable { name: table.clone(), if_not_exists, columns: vec![], primary_key: None, constraints: vec![] };
    column(cursor, &mut of)?;
    let CreateTable { mut columns, primary_key, constraints, .. } = of;
    match columns.pop() {
        Some(column) => Ok(TableAction::AddColumn(Box::new(AddColumn { column, primary_key, constraints, if_not_exists }))),
        None => Err(SqlError::bug("a column definition without a column")),
    }
}

/// After ALTER COLUMN and its name.
fn change(cursor: &mut Cursor<'_>, column: String) -> Result<TableAction, SqlError> {
    if cursor.take(&["set", "data", "type"]) || cursor.take(&["type"]) {
        let data_type = data_type(cursor)?;
        if cursor.peek() == Some("collate") {
            return Err(SqlError::unsupported("COLLATE on a column is not supported"));
        }
        let using = if cursor.take(&["using"]) { Some(Box::new(cursor.expr()?)) } else { None };
        return Ok(TableAction::SetType { column, data_type, using });
    }
    if cursor.take(&["set", "default"]) {
        return Ok(TableAction::SetDefault { column, default: Box::new(cursor.expr()?) });
    }
    if cursor.take(&["drop", "default"]) {
        return Ok(TableAction::DropDefault { column });
    }
    if cursor.take(&["drop", "expression"]) {
        return Ok(TableAction::DropExpression { column, missing_ok: cursor.take(&["if", "exists"]) });
    }
    if cursor.take(&["set", "not", "null"]) {
        return Ok(TableAction::SetNotNull { column });
    }
    if cursor.take(&["drop", "not", "null"]) {
        return Ok(TableAction::DropNotNull { column });
    }
    match cursor.peek() {
        Some("set" | "reset" | "add" | "drop" | "restart") => Err(SqlError::unsupported(
            "this form of ALTER COLUMN is not supported: only TYPE, DEFAULT, NOT NULL and DROP EXPRESSION are",
        )),
        _ => Err(cursor.unexpected()),
    }
}

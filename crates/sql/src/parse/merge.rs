//! MERGE: sqlparser's grammar of it knows no DO NOTHING and some that PostgreSQL has not.
//!
//! Source: PostgreSQL 15 `gram.y`, `MergeStmt`.

use sqlparser::ast::{self, Assignment, Expr, Ident, SetExpr, TableFactor, TableWithJoins};
use sqlparser::tokenizer::Token;
use types::{SqlError, SqlState};

use crate::parse::command::Command;
use crate::parse::cursor::Cursor;
use crate::parse::sequence::{self, Overriding};

/// MERGE as written.
#[derive(Clone, Debug)]
pub(crate) struct Merge {
    pub(crate) table: TableWithJoins,
    pub(crate) source: TableWithJoins,
    pub(crate) on: Expr,
    pub(crate) clauses: Vec<When>,
}

/// WHEN .. THEN.
#[derive(Clone, Debug)]
pub(crate) struct When {
    pub(crate) matched: bool,
    pub(crate) condition: Option<Expr>,
    pub(crate) action: MergeAction,
}

#[derive(Clone, Debug)]
pub(crate) enum MergeAction {
    Nothing,
    Delete,
    Update(Vec<Assignment>),
    /// Without values: DEFAULT VALUES.
    Insert {
        columns: Vec<Ident>,
        overriding: Option<Overriding>,
        values: Option<Vec<Expr>>,
    },
}

pub(crate) fn merge(cursor: &mut Cursor<'_>) -> Result<Command, SqlError> {
    cursor.expect(&["merge", "into"])?;
    let table = cursor.table_and_joins()?;
    cursor.expect(&["using"])?;
    let source = cursor.table_and_joins()?;
    cursor.expect(&["on"])?;
    let on = cursor.expr()?;
    let mut clauses = Vec::new();
    while cursor.take(&["when"]) {
        let matched = !cursor.take(&["not"]);
        cursor.expect(&["matched"])?;
        let condition = if cursor.take(&["and"]) { Some(cursor.expr()?) } else { None };
        cursor.expect(&["then"])?;
        clauses.push(When { matched, condition, action: action(cursor, matched)? });
    }
    if clauses.is_empty() {
        return Err(cursor.unexpected());
    }
    let merge = Merge { table, source, on, clauses };
    check(&merge)?;
    Ok(Command::Merge(merge.into()))
}

fn action(cursor: &mut Cursor<'_>, matched: bool) -> Result<MergeAction, SqlError> {
    if cursor.take(&["do", "nothing"]) {
        return Ok(MergeAction::Nothing);
    }
    if matched {
        return match cursor.take_any(&["update", "delete"]) {
            Some("update") => {
                cursor.expect(&["set"])?;
                cursor.assignments().map(MergeAction::Update)
            }
            Some(_) => Ok(MergeAction::Delete),
            None => Err(cursor.unexpected()),
        };
    }
    cursor.expect(&["insert"])?;
    let mut columns = Vec::new();
    if *cursor.peek_token() == Token::LParen {
        columns = cursor.parenthesized(|c| c.ident().map(|name| Ident::with_quote('"', name)))?;
    }
    if cursor.take(&["default", "values"]) {
        return Ok(MergeAction::Insert { columns, overriding: None, values: None });
    }
    let overriding = sequence::overriding_at(cursor)?;
    cursor.expect(&["values"])?;
    let values = cursor.parenthesized(Cursor::expr)?;
    Ok(MergeAction::Insert { columns, overriding, values: Some(values) })
}

fn check(merge: &Merge) -> Result<(), SqlError> {
    for matched in [true, false] {
        let mut rest = merge.clauses.iter().filter(|when| when.matched == matched).skip_while(|when| when.condition.is_some());
        if rest.nth(1).is_some() {
            let message = "unreachable WHEN clause specified after unconditional WHEN clause";
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
        }
    }
    Ok(())
}

/// A MERGE behind WITH, which sqlparser has read.
pub(crate) fn of_ast(merge: &ast::Merge) -> Result<Merge, SqlError> {
    let other = || SqlError::unsupported("this form of MERGE is not supported");
    if merge.output.is_some() || !merge.into {
        return Err(other());
    }
    let alone = |relation: &TableFactor| TableWithJoins { relation: relation.clone(), joins: vec![] };
    let mut clauses = Vec::new();
    for clause in &merge.clauses {
        let matched = match clause.clause_kind {
            ast::MergeClauseKind::Matched => true,
            ast::MergeClauseKind::NotMatched => false,
            _ => return Err(other()),
        };
        let action = match &clause.action {
            ast::MergeAction::Delete { .. } => MergeAction::Delete,
            ast::MergeAction::Update(update) if update.update_predicate.is_none() && update.delete_predicate.is_none() => {
                MergeAction::Update(update.assignments.clone())
            }
            ast::MergeAction::Insert(insert) if insert.insert_predicate.is_none() => {
                let column = |name: &ast::ObjectName| match name.0.as_slice() {
                    [part] => part.as_ident().cloned().ok_or_else(other),
                    _ => Err(other()),
                };
                let columns = insert.columns.iter().map(column).collect::<Result<_, _>>()?;
                let ast::MergeInsertKind::Values(values) = &insert.kind else { return Err(other()) };
                let [row] = values.rows.as_slice() else { return Err(other()) };
                MergeAction::Insert { columns, overriding: None, values: Some(row.content.clone()) }
            }
            _ => return Err(other()),
        };
        clauses.push(When { matched, condition: clause.predicate.clone(), action });
    }
    let merge = Merge { table: alone(&merge.table), source: alone(&merge.source), on: merge.on.as_ref().clone(), clauses };
    check(&merge)?;
    Ok(merge)
}

/// Whether a query's body is a statement that writes.
pub(crate) fn writes(body: &SetExpr) -> bool {
    matches!(body, SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_))
}

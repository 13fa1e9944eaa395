//! One statement: its text and its command; the first words decide whose grammar reads the rest.

use std::ops::Range;
use std::sync::Arc;

use expr::dialect::DIALECT;
use sqlparser::ast::{self, Query, SetExpr};
use sqlparser::tokenizer::{Token, Tokenizer};
use types::{SqlError, SqlState};

use crate::parse::command::{Command, CreateTableAs};
use crate::parse::cursor::Cursor;
use crate::parse::source::Source;
use crate::parse::{copy, ddl, dml, index, merge, session};

/// A parsed statement. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Statement {
    inner: Arc<Inner>,
    alone: bool,
}

#[derive(Debug)]
struct Inner {
    source: Source,
    range: Range<usize>,
    command: Command,
}

impl Statement {
    pub(crate) fn new(source: Source, range: Range<usize>, command: Command) -> Statement {
        Statement { inner: Arc::new(Inner { source, range, command }), alone: true }
    }

    /// The statement's own text, without the semicolon.
    pub fn text(&self) -> &str {
        &self.inner.source.text()[self.inner.range.clone()]
    }

    pub(crate) fn command(&self) -> &Command {
        &self.inner.command
    }

    pub(crate) fn source(&self) -> &Source {
        &self.inner.source
    }

    /// The error for parameters where none are given, at the first one.
    pub fn parameter_error(&self) -> SqlError {
        let error = |name: &str| SqlError::new(SqlState::UNDEFINED_PARAMETER, format!("there is no parameter {name}"));
        let tokens = Tokenizer::new(&DIALECT, self.source().text()).tokenize_with_location().unwrap_or_default();
        let mut parameters = tokens.iter().filter_map(|found| match &found.token {
            Token::Placeholder(name) => Some((self.source().byte(found.span.start), name)),
            _ => None,
        });
        match parameters.find(|(byte, _)| self.inner.range.contains(byte)) {
            Some((byte, name)) => error(name).position(self.source().position(byte)),
            None => error("$1"),
        }
    }

    /// False if other statements were sent in the same text.
    pub(crate) fn is_alone(&self) -> bool {
        self.alone
    }

    pub(crate) fn in_company(&mut self) {
        self.alone = false;
    }

    /// True for what an aborted transaction still accepts.
    pub fn ends_transaction(&self) -> bool {
        matches!(self.command(), Command::Commit { .. } | Command::Rollback { .. } | Command::RollbackTo(_))
    }
}

/// A statement inside another one, from here to the end.
pub(crate) fn nested(cursor: &mut Cursor<'_>) -> Result<Statement, SqlError> {
    let start = cursor.byte();
    let command = command(cursor)?;
    cursor.expect_end()?;
    let end = cursor.byte();
    let text = cursor.text_between(start, end).trim_end_matches(';').trim_end();
    Ok(Statement::new(cursor.source().clone(), start..start + text.len(), command))
}

pub(crate) fn command(cursor: &mut Cursor<'_>) -> Result<Command, SqlError> {
    let Some(word) = cursor.peek() else {
        return if *cursor.peek_token() == Token::LParen { query(cursor) } else { Err(cursor.unexpected()) };
    };
    match word {
        "select" | "values" | "with" | "table" => query(cursor),
        "insert" | "update" | "delete" => dml::dml(cursor),
        "merge" => merge::merge(cursor),
        "create" => ddl::create(cursor),
        "drop" => ddl::drop(cursor),
        "alter" => ddl::alter(cursor),
        "truncate" => ddl::truncate(cursor),
        "reindex" => index::reindex(cursor),
        "copy" => copy::copy(cursor),
        _ => session::command(cursor),
    }
}

fn query(cursor: &mut Cursor<'_>) -> Result<Command, SqlError> {
    let mut query = cursor.query()?;
    if let Some(command) = dml::of_query(&query)? {
        return Ok(command);
    }
    // Those of the statement itself are done; those of a query in it are not.
    let locks = std::mem::take(&mut query.locks);
    check_query(&query)?;
    if let SetExpr::Select(select) = query.body.as_mut()
        && let Some(into) = select.into.take()
    {
        if !locks.is_empty() {
            return Err(SqlError::unsupported(LOCKS_INSIDE));
        }
        if into.temporary {
            return Err(SqlError::unsupported("temporary tables are not supported"));
        }
        if into.unlogged {
            return Err(SqlError::unsupported("unlogged tables are not supported"));
        }
        let name = cursor.name_of(&into.name)?;
        return Ok(Command::CreateTableAs(CreateTableAs {
            name,
            if_not_exists: false,
            columns: vec![],
            query: query.into(),
            with_data: true,
        }));
    }
    query.locks = locks;
    Ok(Command::Query(query.into()))
}

/// What to say of FOR UPDATE anywhere but at the end of a SELECT that is the whole statement.
pub(super) const LOCKS_INSIDE: &str = "FOR UPDATE and FOR SHARE inside another statement are not supported";

/// Refuses what would be read and not done.
pub(crate) fn check_query(query: &Query) -> Result<(), SqlError> {
    if merge::writes(&query.body) {
        return Err(SqlError::unsupported("a statement that writes is not supported here"));
    }
    struct Locks(Option<&'static str>);
    impl ast::Visitor for Locks {
        type Break = ();

        fn pre_visit_query(&mut self, query: &Query) -> std::ops::ControlFlow<()> {
            if !query.locks.is_empty() {
                self.0 = Some(LOCKS_INSIDE);
            }
            if query.with.iter().flat_map(|with| &with.cte_tables).any(|cte| merge::writes(&cte.query.body)) {
                self.0 = Some("WITH clause containing a data-modifying statement must be at the top level");
            }
            if self.0.is_some() { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) }
        }
    }
    let mut locks = Locks(None);
    let _ = ast::Visit::visit(query, &mut locks);
    locks.0.map_or(Ok(()), |what| Err(SqlError::unsupported(what)))
}

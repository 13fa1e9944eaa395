//! One transaction of the mixed run: what it does, what must come of it, and what the client knows afterwards.
//!
//! 1. Whatever two clients do at the same time commutes, or touches rows that only one of them owns: any serial order of the
//!    committed transactions leads to the same tables.
//! 2. A committed transaction has written its marker and as many journal rows as the marker says.
//! 3. A transaction keeps every sum of `books`, whatever else it does.

use super::statement::{Arg, Statement};

/// How a transaction reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Isolation {
    ReadCommitted,
    RepeatableRead,
}

/// How a transaction ends, if no statement fails that should not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Commit,
    /// On purpose; nothing of it may be seen.
    Rollback,
    /// COMMIT after a statement that failed: the server answers ROLLBACK.
    FailedCommit,
    /// No transaction block: the steps are statements of their own that must all fail.
    NoBlock,
}

/// One thing sent.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A statement that must succeed, and how many rows it must touch, if the client can know.
    Run(Statement, Option<u64>),
    /// A statement that must fail with this SQLSTATE.
    Fails(Statement, &'static str),
    Savepoint,
    RollbackTo,
    Release,
}

/// An order that the client entered and may delete.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    pub(super) key: i64,
    pub(super) customer: i64,
    /// In cents.
    pub(super) total: i64,
    pub(super) lines: u64,
}

/// A whole transaction.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) kind: &'static str,
    pub(super) isolation: Isolation,
    pub(super) steps: Vec<Step>,
    pub(super) end: End,
    /// The marker's number; only a committed transaction uses it up.
    pub(super) sequence: i64,
    pub(super) entered: Vec<Order>,
    pub(super) deleted: Vec<i64>,
}

impl Plan {
    /// Adds a statement; `rows` if known.
    pub(super) fn run(
        &mut self,
        template: impl Into<std::borrow::Cow<'static, str>>,
        args: Vec<Arg>,
        rows: impl Into<Option<u64>>,
    ) {
        self.steps.push(Step::Run(Statement::new(template, args), rows.into()));
    }

    /// Adds a statement that must fail.
    pub(super) fn fails(&mut self, template: impl Into<std::borrow::Cow<'static, str>>, args: Vec<Arg>, state: &'static str) {
        self.steps.push(Step::Fails(Statement::new(template, args), state));
    }

    /// The lines of the operation log: the transaction as another server must run it to come to the same. psql sends what
    /// `\;` joins as one message.
    pub(super) fn log(&self) -> String {
        let mut text = "begin\\;\n".to_owned();
        for step in &self.steps {
            match step {
                Step::Run(statement, _) => text.push_str(&statement.text()),
                Step::Fails(..) => continue,
                Step::Savepoint => text.push_str("savepoint s"),
                Step::RollbackTo => text.push_str("rollback to s"),
                Step::Release => text.push_str("release s"),
            }
            text.push_str("\\;\n");
        }
        text.push_str("commit;\n");
        text
    }
}

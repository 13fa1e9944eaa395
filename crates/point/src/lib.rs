//! Statements by primary key or by an index, compiled once and run without a query plan.
//!
//! ```text
//! SELECT a, b + 1 FROM t WHERE id = $1        key from the parameters -> one lookup -> outputs of one row
//! SELECT a FROM t WHERE b = $1 ORDER BY id    between two keys of an index -> a few rows, in its order (`range`)
//! SELECT sum(a) FROM t WHERE b = $1           those rows added up: one row (`aggregate`)
//! SELECT b, d FROM t, u WHERE id = $1 AND c = b   a row, then a row of the next table by its values (`join`)
//! UPDATE t SET a = a + $2 WHERE id = $1       key -> row locked -> condition looked at again -> new row
//! DELETE FROM t WHERE id = $1 AND a > 0
//! DELETE FROM t WHERE b BETWEEN $1 AND $2     the keys of the rows first, then each as above (`modify`)
//! INSERT INTO t VALUES ($1, $2), ...          values -> checked -> new row
//!   ON CONFLICT (id) DO UPDATE SET a = ..     key exists -> row locked -> condition -> new row
//!   RETURNING a, b + 1                        of all three that write: outputs of the row
//! SELECT a FROM t WHERE id = $1 FOR UPDATE    row at the snapshot -> locked -> condition looked at again -> outputs
//! SELECT $1 + 1                               no table at all
//!
//! syntax --compile--> Program --run(transaction, parameters)--> rows or a count
//! ```
//!
//! 1. A program holds no snapshot and no transaction: it is shared between connections for as long as the catalog stays the same.
//! 2. Whatever does not fit exactly (another clause, an expression without a row kernel, something wrong in it) is not compiled:
//!    the statement takes the general way, which also tells what is wrong with it.
//! 3. Running never blocks but for a row lock, and never leaves the thread.
//!
//! Not here: groups, values that only `analytic` can compute (`sql` assigns those to columns).
//! Source: VoltDB's and HyPer's compiled single-row plans.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod aggregate;
mod compile;
mod explain;
mod insert;
mod join;
mod key;
mod locking;
mod modify;
mod range;
mod run;
mod scan;
mod unique;
mod upsert;
pub mod write;

pub use compile::{Scope, compile_delete, compile_query, compile_update};
pub use insert::{ColumnDefault, compile_insert};
pub use locking::{KEY_SHARE, Lock, LockClause, NO_KEY_UPDATE};
pub use run::Outcome;
pub use upsert::second_time;
pub use write::TableWriter;

use std::sync::Arc;

use catalog::Table;
use expr::row::RowExpr;
use types::{RowLayout, Shown, SqlType};

use crate::aggregate::Aggregates;
use crate::insert::Cell;
use crate::join::Join;
use crate::key::KeyExpr;
use crate::range::Range;
use crate::unique::UniqueKey;
use crate::upsert::OnConflict;

/// A compiled statement.
#[derive(Debug)]
pub struct Program {
    /// The type of `$1`, `$2`, ...
    pub params: Vec<SqlType>,
    /// The result's columns: of a SELECT or of RETURNING. Empty for a statement without either.
    pub columns: Vec<Column>,
    /// What kind of statement.
    pub verb: Verb,
    access: Option<Access>,
    /// Its rows are between two keys.
    range: Option<Range>,
    /// Of a SELECT of several tables, which has no access.
    join: Option<Join>,
    /// Of a SELECT: what the outputs are made of, instead of a row's columns.
    aggregates: Option<Aggregates>,
    outputs: Vec<RowExpr>,
    /// Of a SELECT of one table without a lock, whose outputs are columns as they are: those.
    shown: Option<Arc<Shown>>,
    /// The stored columns that are read of a row to select it, in order: by condition and outputs of a SELECT, by the condition of a
    /// range that is written.
    reads: Vec<usize>,
    /// SQL column, value.
    assignments: Vec<(usize, RowExpr)>,
    /// Of an INSERT: the values of all SQL columns, row by row.
    rows: Vec<Vec<Cell>>,
    /// Of an INSERT: its ON CONFLICT.
    conflict: Option<OnConflict>,
    /// Of a SELECT: FOR UPDATE or its kin.
    lock: Option<Lock>,
}

/// What a program does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Gives a row, if there is one.
    Select,
    /// Changes the row.
    Update,
    /// Removes the row.
    Delete,
    /// Adds rows.
    Insert,
}

/// A column of a program's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name, by PostgreSQL's rules.
    pub name: String,
    /// Its type.
    pub data_type: SqlType,
    /// The column of a table that it is, unchanged.
    pub source: Option<Source>,
}

/// A column of a program's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Which table: see [`Program::relation`].
    pub relation: usize,
    /// Its SQL column, from 0.
    pub column: usize,
}

/// How a program finds its row.
#[derive(Debug)]
struct Access {
    table: Arc<Table>,
    layout: RowLayout,
    /// One for each column of the key, in key order; none for an INSERT, and none if it is by a unique index.
    key: Vec<KeyExpr>,
    /// The unique index that it is by.
    unique: Option<UniqueKey>,
    /// What else the row must satisfy.
    condition: Option<RowExpr>,
}

impl Program {
    /// The table the program reads or writes, if it is one.
    pub fn table(&self) -> Option<&Arc<Table>> {
        self.access.as_ref().map(|access| &access.table)
    }

    /// The table at a place of FROM, from 0; a program without FROM may have one.
    pub fn relation(&self, at: usize) -> Option<&Arc<Table>> {
        match &self.join {
            Some(join) => join.table(at),
            None => self.table().filter(|_| at == 0),
        }
    }

    /// Whether there may be more rows to look at than it does, see [`Outcome::TooMany`].
    pub fn is_of_many(&self) -> bool {
        self.range.is_some() || self.join.is_some()
    }

    /// Whether it gives one row of all it finds.
    pub fn is_aggregate(&self) -> bool {
        self.aggregates.is_some()
    }

    /// How many rows an INSERT adds.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }
}

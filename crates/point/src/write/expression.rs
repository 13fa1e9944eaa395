//! An expression over a row of a table: by the row driver if it has it, else by whoever can compute it.

use std::fmt;

use arrow::array::{ArrayRef, RecordBatch};
use expr::row::RowExpr;
use types::{Datum, RowRef, SqlError};

/// An expression that has no row kernel.
pub trait RowFunction: fmt::Debug + Send + Sync {
    /// Its value for a stored row.
    fn evaluate(&self, row: RowRef<'_>) -> Result<Datum, SqlError>;

    /// Its values for a batch of the table's SQL columns, in the Arrow form of its type.
    fn evaluate_batch(&self, batch: &RecordBatch) -> Result<ArrayRef, SqlError>;

    /// The stored columns it reads.
    fn columns(&self) -> Vec<usize>;
}

/// Makes expressions over one table of their text.
pub trait Compile {
    /// The expression. Errors: everything wrong with it.
    fn expression(&mut self, text: &str) -> Result<Expression, SqlError>;

    /// How an index of it is shown: as PostgreSQL writes it back.
    fn shown(&self, text: &str) -> String;
}

/// See the module's head.
#[derive(Debug)]
pub enum Expression {
    /// Compiled for rows.
    Row(RowExpr),
    /// Computed elsewhere, about a hundred times slower.
    Other(Box<dyn RowFunction>),
}

impl Expression {
    /// Its value for a stored row.
    pub fn evaluate(&self, row: RowRef<'_>) -> Result<Datum, SqlError> {
        match self {
            Expression::Row(expr) => expr.evaluate(Some(row), &[]),
            Expression::Other(function) => function.evaluate(row),
        }
    }

    /// The stored columns it reads.
    pub fn columns(&self) -> Vec<usize> {
        match self {
            Expression::Row(expr) => expr.columns().into_iter().collect(),
            Expression::Other(function) => function.columns(),
        }
    }
}

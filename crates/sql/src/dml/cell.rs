//! One value of a row that is written, as far as it is known when the statement is planned.

use std::sync::Arc;

use catalog::{Catalog, Sequence};
use engine::Sequences;
use sqlparser::ast::Expr;
use types::text::Session as Dates;
use types::{Datum, SqlError, SqlType, coerce};

use crate::dml::defaults::{Default, default_of};
use crate::evaluate::Simple;

/// See the module's head.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    /// A value of the column's type.
    Constant(Datum),
    /// A time of the transaction.
    Simple(Simple),
    Parameter(usize),
    /// The next value of a sequence.
    Next(Arc<Sequence>),
    /// A column of the query behind the statement.
    Computed(usize),
}

/// What planning cells needs and gathers.
pub(crate) struct Cells<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) dates: &'a Dates,
    /// Parameter types as they become known.
    pub(crate) params: Vec<Option<SqlType>>,
    /// The expressions that are no simple ones.
    pub(crate) general: Vec<Expr>,
}

impl Cells<'_> {
    /// The cell of a column's value. Errors: a constant that is none of the column's type.
    pub(crate) fn cell(&mut self, expr: &Expr, column: &catalog::Column) -> Result<Cell, SqlError> {
        if is_default(expr) {
            return self.default(column);
        }
        match Simple::of(expr, self.dates)? {
            Some(Simple::Parameter(number)) => {
                if self.params.len() <= number {
                    self.params.resize(number + 1, None);
                }
                // What a client declares is assigned as the type it declares.
                self.params[number].get_or_insert(column.data_type);
                Ok(Cell::Parameter(number))
            }
            Some(clock @ Simple::Clock(_)) => Ok(Cell::Simple(clock)),
            Some(simple) => {
                let value = simple.assign(column.data_type, &column.name, self.dates)?;
                Ok(Cell::Constant(value.unwrap_or(Datum::Null)))
            }
            None => Ok(self.computed(expr.clone())),
        }
    }

    /// The cell of a column's DEFAULT.
    pub(crate) fn default(&mut self, column: &catalog::Column) -> Result<Cell, SqlError> {
        Ok(match default_of(self.catalog, column, self.dates)? {
            Default::Constant(value) => Cell::Constant(value),
            Default::Simple(simple) => Cell::Simple(simple),
            Default::Next(sequence) => Cell::Next(sequence),
            Default::Computed(expr) => self.computed(expr),
        })
    }

    fn computed(&mut self, expr: Expr) -> Cell {
        self.general.push(expr);
        Cell::Computed(self.general.len() - 1)
    }
}

impl Cell {
    /// The value, of the column's type. `computed` gives the columns of the query behind the statement.
    pub(crate) fn value(
        &self,
        column: &catalog::Column,
        params: &[Datum],
        computed: impl Fn(usize) -> Datum,
        dates: &Dates,
        sequences: &Sequences,
    ) -> Result<Datum, SqlError> {
        let assign = |v: Datum| coerce::assign_column_in(v, column.data_type, &column.name, dates);
        match self {
            Cell::Constant(value) => Ok(value.clone()),
            Cell::Simple(simple) => Ok(simple.assign(column.data_type, &column.name, dates)?.unwrap_or(Datum::Null)),
            Cell::Parameter(at) => assign(params.get(*at).cloned().unwrap_or(Datum::Null)),
            Cell::Next(sequence) => assign(Datum::Int8(sequences.next(sequence)?)),
            Cell::Computed(at) => assign(computed(*at)),
        }
    }
}

/// Whether an expression is the word DEFAULT.
pub(crate) fn is_default(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(ident) if ident.value == "default" && ident.quote_style.is_none())
}

/// Errors with 42804 unless a value of type `from` may be assigned to a column.
pub(crate) fn check_assignable(from: SqlType, column: &catalog::Column) -> Result<(), SqlError> {
    use SqlType::{Bool, Bytea, Date, Interval, Time, Timestamp, TimestampTz, Uuid};
    let to = column.data_type;
    let fits = match (from, to) {
        _ if to.is_string() => true,
        _ if from.is_number() => to.is_number(),
        (Bool, Bool) | (Bytea, Bytea) | (Uuid, Uuid) => true,
        (Date, Date | Timestamp | TimestampTz) => true,
        (Timestamp | TimestampTz, Date | Time | Timestamp | TimestampTz) => true,
        (Time, Time | Interval) | (Interval, Interval | Time) => true,
        _ => false,
    };
    if fits {
        return Ok(());
    }
    let message = format!("column \"{}\" is of type {to} but expression is of type {from}", column.name);
    Err(SqlError::new(types::SqlState::DATATYPE_MISMATCH, message).hint("You will need to rewrite or cast the expression."))
}

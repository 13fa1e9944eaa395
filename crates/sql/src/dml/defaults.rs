//! What a column gets when a statement says nothing about it.

use std::sync::Arc;

use catalog::{Catalog, Sequence};
use sqlparser::ast::Expr;
use types::text::Session as Dates;
use types::{Datum, SqlError, TableId};

use crate::ddl::sequence::{next_of_default, of_oid};
use crate::evaluate::Simple;

/// A column's DEFAULT.
#[derive(Clone, Debug)]
pub(crate) enum Default {
    /// A value of the column's type.
    Constant(Datum),
    /// A time of the transaction.
    Simple(Simple),
    /// The next value of a sequence.
    Next(Arc<Sequence>),
    /// An expression to be computed for each row.
    Computed(Expr),
}

/// The default of a column: NULL if it has none. Errors: its text does not parse, or is no value of the column's type.
pub(crate) fn default_of(catalog: &Catalog, column: &catalog::Column, dates: &Dates) -> Result<Default, SqlError> {
    if let Some(identity) = column.identity {
        return next(catalog, identity.sequence);
    }
    let Some(text) = &column.default else { return Ok(Default::Constant(Datum::Null)) };
    let expr = crate::parse::parse_expr(text)?;
    if let Some(sequence) = next_of_default(&expr) {
        return next(catalog, sequence);
    }
    Ok(match Simple::of(&expr, dates)? {
        Some(simple @ (Simple::Clock(_) | Simple::Untyped(_))) if depends_on_time(&simple) => Default::Simple(simple),
        Some(simple) => match simple.assign(column.data_type, &column.name, dates)? {
            Some(value) => Default::Constant(value),
            None => return Err(SqlError::bug(format!("the default of column \"{}\" has a parameter", column.name))),
        },
        None => Default::Computed(expr),
    })
}

fn next(catalog: &Catalog, sequence: TableId) -> Result<Default, SqlError> {
    of_oid(catalog, sequence.0).map(|sequence| Default::Next(Arc::clone(sequence)))
}

/// Whether a value is another one in another transaction.
fn depends_on_time(simple: &Simple) -> bool {
    match simple {
        Simple::Clock(_) => true,
        Simple::Untyped(text) => {
            let text = text.to_ascii_lowercase();
            ["now", "today", "tomorrow", "yesterday"].iter().any(|word| text.contains(word))
        }
        Simple::Constant(_) | Simple::Parameter(_) => false,
    }
}

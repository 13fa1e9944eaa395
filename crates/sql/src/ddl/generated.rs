//! Columns that are computed of others: what their expressions may be.
//!
//! 1. The value is the same at any time and in any session, since it is kept: also when it is assigned to the column's type. (PostgreSQL
//!    15 takes a `timestamptz` for a `date` column, and computes it in the zone of whoever writes the row.)
//! 2. It is of columns that are not generated: rows get them in any order.
//!
//! Not here: computing them (`point::write`). Source: PostgreSQL 15 `cookDefault`.

use catalog::{Column, Table};
use sqlparser::ast::Expr;
use types::{Datum, SqlError, SqlState};

use super::constraint::{refuse_in_row, without_qualifiers};
use super::immutable::{is_immutable, is_immutable_cast};
use super::index::refuse_bad_constants;
use super::moments::settle_default;
use crate::deparse;
use crate::dml::check_assignable;
use crate::evaluate::Simple;
use crate::parse::ColumnDefinition;
use crate::session::Session;

impl Session {
    /// Gives columns of a table that is as it is to be but for this the expressions they are computed by, in the form that is kept.
    /// Errors: everything wrong with them.
    pub(crate) fn add_generated(&mut self, table: &mut Table, definitions: &[&ColumnDefinition]) -> Result<(), SqlError> {
        for definition in definitions {
            if let (Some(expr), Some(at)) = (&definition.generated, table.column(&definition.name)) {
                table.columns[at].generated = Some(self.generation(table, &table.columns[at], expr)?);
            }
        }
        Ok(())
    }

    /// The expression that computes a column of `table`, of which every generated column is marked.
    pub(crate) fn generation(&mut self, table: &Table, column: &Column, expr: &Expr) -> Result<String, SqlError> {
        refuse_in_row(expr, "column generation expression", "column generation expressions")?;
        let mut expr = without_qualifiers(expr, table);
        let read = deparse::columns(&expr.to_string(), table).into_iter().filter_map(|id| table.column_by_id(id));
        if let Some(other) = read.into_iter().find(|read| read.generated.is_some()) {
            let message = format!("cannot use generated column \"{}\" in column generation expression", other.name);
            return Err(SqlError::new(SqlState(*b"42P17"), message)
                .detail("A generated column cannot reference another generated column."));
        }
        let dates = self.dates();
        settle_default(&mut expr, column.data_type, &dates)?;
        let not_immutable = || Err(SqlError::new(SqlState(*b"42P17"), "generation expression is not immutable"));
        match Simple::of(&expr, &dates)? {
            Some(Simple::Clock(_)) => return not_immutable(),
            // A constant without a type is of the column's.
            Some(simple) => {
                let value = simple.assign(column.data_type, &column.name, &dates).map_err(of_default)?;
                if value == Some(Datum::Null) || matches!(simple, Simple::Untyped(_)) {
                    return Ok(expr.to_string());
                }
            }
            None => {}
        }
        let catalog = self.catalog_with(table)?;
        let functions = self.row_functions(table, &catalog, std::slice::from_ref(&expr))?;
        refuse_bad_constants(&functions, table)?;
        let [data_type] = functions.types() else { return Err(SqlError::bug("an expression of several columns")) };
        check_assignable(*data_type, column).map_err(of_default)?;
        if !is_immutable(&expr, table) || !is_immutable_cast(*data_type, column.data_type) {
            return not_immutable();
        }
        Ok(expr.to_string())
    }
}

/// PostgreSQL speaks of a default here, too.
pub(crate) fn of_default(mut error: SqlError) -> SqlError {
    error.message = error.message.replace("but expression is", "but default expression is");
    error
}

/// The columns that are computed of another one.
pub(crate) fn computed_of<'t>(table: &'t Table, column: &Column) -> impl Iterator<Item = &'t Column> {
    let id = column.id;
    table
        .columns
        .iter()
        .filter(move |other| other.generated.as_ref().is_some_and(|text| deparse::columns(text, table).contains(&id)))
}

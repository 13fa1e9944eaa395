//! The table that is written: its rows' form and the errors about them.

use std::sync::Arc;

use catalog::{Catalog, Table};
use engine::{Inserted, Transaction};
use types::{Datum, RowLayout, SqlError, SqlState, SqlType, text};

/// Bytes of a value shown in an error, as in PostgreSQL.
const SHOWN_BYTES_MAX: usize = 64;

/// A table and what is needed to write it.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) table: Arc<Table>,
    pub(crate) layout: Arc<RowLayout>,
    schema_name: String,
}

impl Target {
    pub(crate) fn new(table: &Arc<Table>, catalog: &Catalog) -> Target {
        Target {
            layout: Arc::new(RowLayout::new(&table.stored_types())),
            schema_name: catalog.schema_by_id(table.schema).map_or_else(String::new, |s| s.name.clone()),
            table: Arc::clone(table),
        }
    }

    /// The type of a SQL column.
    pub(crate) fn type_of(&self, column: usize) -> SqlType {
        self.table.columns[column].data_type
    }

    /// Errors with 23502 if a column that must not be NULL is. `values`: the SQL columns.
    pub(crate) fn check_not_null(&self, values: &[Datum]) -> Result<(), SqlError> {
        for (column, value) in self.table.columns.iter().zip(values) {
            if column.not_null && value.is_null() {
                let message = format!(
                    "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
                    column.name, self.table.name
                );
                let error = SqlError::new(SqlState::NOT_NULL_VIOLATION, message)
                    .detail(format!("Failing row contains ({}).", shown(values, true)));
                return Err(self.located(error).column(&column.name));
            }
        }
        Ok(())
    }

    /// The error for a key that exists. `values`: the SQL columns.
    pub(crate) fn duplicate(&self, values: &[Datum]) -> SqlError {
        let Some(key) = &self.table.primary_key else {
            return SqlError::bug(format!("a row id of table \"{}\" was given out twice", self.table.name));
        };
        let names: Vec<&str> = key.columns.iter().map(|&c| self.table.columns[c].name.as_str()).collect();
        let of_key: Vec<Datum> = key.columns.iter().map(|&c| values[c].clone()).collect();
        let message = format!("duplicate key value violates unique constraint \"{}\"", key.name);
        let error = SqlError::new(SqlState::UNIQUE_VIOLATION, message).detail(format!(
            "Key ({})=({}) already exists.",
            names.join(", "),
            shown(&of_key, false)
        ));
        self.located(error).constraint(&key.name)
    }

    /// With the table's names in the error's fields.
    pub(crate) fn located(&self, mut error: SqlError) -> SqlError {
        error.fields.schema = Some(self.schema_name.clone());
        error.table(&self.table.name)
    }

    /// An engine's error about a row of this table, completed.
    pub(crate) fn explain(&self, error: engine::EngineError) -> SqlError {
        let error = SqlError::from(error);
        match error.state {
            SqlState::UNIQUE_VIOLATION | SqlState::NOT_NULL_VIOLATION => self.located(error),
            _ => error,
        }
    }

    /// Adds a row given by its SQL columns, which are of their types and checked. Errors: 23505, and the engine's.
    pub(crate) fn insert(&self, transaction: &mut Transaction, values: &[Datum]) -> Result<(), SqlError> {
        match point::insert_row(transaction, &self.table, &self.layout, values)? {
            Inserted::Done => Ok(()),
            Inserted::Duplicate => Err(self.duplicate(values)),
        }
    }
}

/// Values as an error shows them, separated by commas; `cut` long ones.
fn shown(values: &[Datum], cut: bool) -> String {
    let one = |value: &Datum| {
        if value.is_null() {
            return "null".to_owned();
        }
        let mut text = text::to_string(value.as_ref());
        if cut && text.len() > SHOWN_BYTES_MAX {
            text.truncate(text.floor_char_boundary(SHOWN_BYTES_MAX));
            text.push_str("...");
        }
        text
    };
    values.iter().map(one).collect::<Vec<_>>().join(", ")
}

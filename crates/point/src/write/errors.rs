//! What PostgreSQL says when a row does not fit its table.

use types::{Datum, Row, RowRef, SqlError, SqlState, text};

use super::{Conflict, TableWriter};

/// Bytes of a value shown in an error, as in PostgreSQL.
const SHOWN_BYTES_MAX: usize = 64;

impl TableWriter {
    /// Errors with 23502 if a column that must not be NULL is. `values`: the SQL columns.
    pub fn check_not_null(&self, values: &[Datum]) -> Result<(), SqlError> {
        for (column, value) in self.table.columns.iter().zip(values) {
            if column.not_null && value.is_null() {
                return Err(self.null_error(&column.name, values));
            }
        }
        Ok(())
    }

    pub(super) fn check_row_not_null(&self, row: RowRef<'_>) -> Result<(), SqlError> {
        let hidden = self.table.hidden();
        for (at, column) in self.table.columns.iter().enumerate() {
            if column.not_null && row.is_null(hidden + at) {
                return Err(self.null_error(&column.name, &row.to_datums()[hidden..]));
            }
        }
        Ok(())
    }

    fn null_error(&self, column: &str, values: &[Datum]) -> SqlError {
        let message =
            format!("null value in column \"{column}\" of relation \"{}\" violates not-null constraint", self.table.name);
        let error = SqlError::new(SqlState::NOT_NULL_VIOLATION, message).detail(failing_row(values));
        self.located(error).column(column)
    }

    /// Errors with 23514 if a CHECK constraint is false for a stored row.
    pub fn check(&self, row: RowRef<'_>) -> Result<(), SqlError> {
        for check in &self.checks {
            if check.condition.evaluate(row)? == Datum::Bool(false) {
                let values = &row.to_datums()[self.table.hidden()..];
                let message =
                    format!("new row for relation \"{}\" violates check constraint \"{}\"", self.table.name, check.name);
                let error = SqlError::new(SqlState::CHECK_VIOLATION, message).detail(failing_row(values));
                return Err(self.located(error).constraint(&check.name));
            }
        }
        Ok(())
    }

    /// The error for a key that exists: 23505. `values`: the new row's SQL columns.
    pub fn conflict(&self, conflict: &Conflict, values: &[Datum]) -> SqlError {
        if conflict.index.is_none() {
            return self.duplicate(values);
        }
        let row = self.unnumbered(values);
        let index = self.indexes.iter().find(|index| Some(index.id()) == conflict.index);
        let entry = index.and_then(|index| index.entry(self.layout.read(&row)).ok().flatten());
        self.conflict_error(conflict, entry.as_ref())
    }

    pub(super) fn conflict_error(&self, conflict: &Conflict, entry: Option<&Row>) -> SqlError {
        let Some(index) = self.indexes.iter().find(|index| Some(index.id()) == conflict.index) else {
            return SqlError::bug(format!("a conflict in no index of table \"{}\"", self.table.name));
        };
        let values = entry.map(|entry| index.values_of(entry)).unwrap_or_default();
        self.unique_error(index, &values)
    }

    /// 23505 of an index, for its columns' values.
    pub fn unique_error(&self, index: &super::IndexRule, values: &[Datum]) -> SqlError {
        let definition = index.definition();
        let message = format!("duplicate key value violates unique constraint \"{}\"", definition.name);
        let detail = format!("Key ({})=({}) already exists.", index.shown.join(", "), shown(values, false));
        self.located(SqlError::new(SqlState::UNIQUE_VIOLATION, message).detail(detail)).constraint(&definition.name)
    }

    /// The error for a primary key that exists. `values`: the SQL columns.
    pub fn duplicate(&self, values: &[Datum]) -> SqlError {
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
    pub fn located(&self, mut error: SqlError) -> SqlError {
        error.fields.schema = Some(self.schema_name.clone());
        error.table(&self.table.name)
    }

    /// An engine's error about rows of this table or of its indexes, completed.
    pub fn explain(&self, error: engine::EngineError) -> SqlError {
        if let engine::EngineError::DuplicateKey { id, values, .. } = &error
            && let Some(index) = self.indexes.iter().find(|index| index.id() == *id)
        {
            return self.unique_error(index, values.get(..index.definition().width()).unwrap_or_default());
        }
        let error = SqlError::from(error);
        match error.state {
            SqlState::UNIQUE_VIOLATION | SqlState::NOT_NULL_VIOLATION => self.located(error),
            _ => error,
        }
    }
}

fn failing_row(values: &[Datum]) -> String {
    format!("Failing row contains ({}).", shown(values, true))
}

/// Values as an error shows them, separated by commas; `cut` long ones.
pub(super) fn shown(values: &[Datum], cut: bool) -> String {
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

/// An index that does not say what its table does: 58P02 is for files, XX002 for this.
pub(super) fn index_corrupted(index: &str, what: &str) -> SqlError {
    SqlError::new(SqlState(*b"XX002"), format!("index \"{index}\" {what}"))
        .hint(format!("Rebuild it with REINDEX INDEX {index}."))
        .constraint(index)
}

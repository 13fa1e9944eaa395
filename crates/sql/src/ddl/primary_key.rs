//! ALTER TABLE ... ADD PRIMARY KEY: the rows move to new storage, sorted by the key.

use types::{SqlError, SqlState};

use crate::names::Name;
use crate::parse::KeyConstraint;
use crate::session::Session;

impl Session {
    pub(crate) async fn add_primary_key(&mut self, name: &Name, key: &KeyConstraint) -> Result<(), SqlError> {
        let (_, old) = self.table_to_alter(name, "ALTER TABLE")?;
        if old.primary_key_name().is_some() {
            let message = format!("multiple primary keys for table \"{}\" are not allowed", old.name);
            return Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message));
        }
        let mut new = self.renewed(&old)?;
        self.add_key(&mut new, key)?;
        self.rebuild_rows(&old, new).await
    }
}

/// PostgreSQL's messages for rows that do not fit a key that is added.
pub(super) fn explain(mut error: SqlError, table: &catalog::Table) -> SqlError {
    match error.state {
        SqlState::NOT_NULL_VIOLATION => {
            let column = error.fields.column.clone().unwrap_or_default();
            error.message = format!("column \"{column}\" of relation \"{}\" contains null values", table.name);
            error.fields.detail = None;
        }
        SqlState::UNIQUE_VIOLATION => {
            let key = error.fields.constraint.as_deref().or(table.primary_key_name()).unwrap_or_default();
            error.message = format!("could not create unique index \"{key}\"");
            error.fields.detail = error.fields.detail.map(|detail| detail.replace(" already exists.", " is duplicated."));
        }
        _ => {}
    }
    error
}

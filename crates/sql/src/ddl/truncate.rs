//! TRUNCATE: the table gets new, empty storage.

use std::sync::Arc;

use catalog::{PrimaryKey, Table};
use types::{Oid, SqlError, TableId};

use crate::answer::Answer;
use crate::names::Name;
use crate::session::Session;

impl Session {
    pub(crate) fn truncate(&mut self, tables: &[Name]) -> Result<Answer, SqlError> {
        let mut found: Vec<Arc<Table>> = Vec::new();
        for name in tables {
            let (_, table) = self.table_to_alter(name)?;
            if !found.iter().any(|t| t.id == table.id) {
                found.push(table);
            }
        }
        for table in found {
            let empty = self.renewed(&table)?;
            self.replace_table(&table, empty)?;
        }
        Ok(Answer::Done("TRUNCATE TABLE".into()))
    }

    /// The same definition under new ids.
    pub(crate) fn renewed(&mut self, table: &Table) -> Result<Table, SqlError> {
        let id = TableId(self.new_oid()?);
        let primary_key = match &table.primary_key {
            None => None,
            Some(key) => Some(PrimaryKey { id: Oid(self.new_oid()?), ..key.clone() }),
        };
        let mut new = Table { id, primary_key, ..table.clone() };
        for index in &mut new.indexes {
            index.id = TableId(self.new_oid()?);
        }
        Ok(new)
    }
}

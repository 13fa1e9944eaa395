//! TRUNCATE: the table gets new, empty storage.

use std::sync::Arc;

use catalog::{PrimaryKey, Table};
use types::{Oid, SqlError, TableId};

use crate::answer::Answer;
use crate::ddl::foreign_key::referring;
use crate::names::Name;
use crate::notice::Notice;
use crate::session::Session;

impl Session {
    pub(crate) fn truncate(&mut self, tables: &[Name], restart_identity: bool, cascade: bool) -> Result<Answer, SqlError> {
        let mut found: Vec<Arc<Table>> = Vec::new();
        for name in tables {
            let (_, table) = self.table_to_alter(name, "TRUNCATE")?;
            if !found.iter().any(|t| t.id == table.id) {
                found.push(table);
            }
        }
        let mut at = 0;
        while let Some(table) = found.get(at).cloned() {
            at += 1;
            for other in referring(&self.catalog(), table.id) {
                if found.iter().any(|t| t.id == other.child.id) {
                    continue;
                }
                if !cascade {
                    return Err(still_referenced(&other.child.name, &table.name));
                }
                self.notice(Notice::plain(format!("truncate cascades to table \"{}\"", other.child.name)));
                while !self.hold_table(other.child.id)? {}
                self.check_nothing_deferred(&other.child, "TRUNCATE")?;
                found.push(other.child);
            }
        }
        for table in found {
            // Foreign keys may have been directed to a table's new storage by now.
            let Some(table) = self.open_transaction()?.catalog().table_by_id(table.id).cloned() else { continue };
            let empty = self.renewed(&table)?;
            let id = empty.id;
            self.replace_table(&table, empty)?;
            if restart_identity {
                self.restart_sequences_of(id)?;
            }
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
        new.foreign_keys.iter_mut().filter(|key| key.target == table.id).for_each(|key| key.target = id);
        Ok(new)
    }
}

fn still_referenced(child: &str, table: &str) -> SqlError {
    SqlError::unsupported("cannot truncate a table referenced in a foreign key constraint")
        .detail(format!("Table \"{child}\" references \"{table}\"."))
        .hint(format!("Truncate table \"{child}\" at the same time, or use TRUNCATE ... CASCADE."))
}

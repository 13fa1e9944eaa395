//! CREATE, DROP, TRUNCATE, ALTER: changes of the catalog, in the transaction like everything else.
//!
//! 1. A definition is checked against the catalog the transaction sees; the engine checks it again against the newest one.
//! 2. What a view reads cannot be dropped before it (2BP01), unless CASCADE says so.
//! 3. A table that is emptied or rebuilt gets new storage under a new id; views that read it are told.

mod alter;
mod build;
mod constraint;
mod create_as;
mod drop;
mod foreign_key;
mod generated;
mod immutable;
mod index;
mod moments;
mod names;
mod primary_key;
mod rename;
mod schema;
pub(crate) mod sequence;
mod table;
mod truncate;
mod view;

pub(crate) use table::table_like;

use std::sync::Arc;

use catalog::{Catalog, Edit, Table};
use types::{SqlError, TableId};

use crate::session::Session;

impl Session {
    pub(crate) fn edit(&mut self, edit: Edit) -> Result<(), SqlError> {
        env::point(self.instance.env().as_ref(), "ddl: catalog to be edited");
        Ok(self.open_transaction()?.edit_catalog(edit)?)
    }

    /// A catalog to look names up in, of a snapshot of this statement.
    pub(crate) fn begin_ddl(&mut self) -> Arc<Catalog> {
        self.begin_statement().catalog()
    }

    pub(crate) fn new_oid(&mut self) -> Result<u32, SqlError> {
        Ok(self.open_transaction()?.new_oid())
    }

    /// Puts another table (with another id, and no rows yet) in a table's place.
    pub(crate) fn replace_table(&mut self, old: &Table, new: Table) -> Result<(), SqlError> {
        let catalog = self.open_transaction()?.catalog();
        let views: Vec<_> = catalog.dependents_of(old.id).cloned().collect();
        let told = |ids: &[TableId], to: Option<TableId>| -> Vec<TableId> {
            ids.iter().copied().filter(|id| *id != old.id).chain(to).collect()
        };
        for view in &views {
            let depends_on = told(&view.depends_on, None);
            self.edit(Edit::ReplaceView(catalog::View { depends_on, ..view.as_ref().clone() }))?;
        }
        let id = new.id;
        let sequences: Vec<_> = catalog.sequences_owned_by(old.id).cloned().collect();
        let referring = foreign_key::referring(&catalog, old.id);
        self.drop_foreign_keys(&referring)?;
        self.edit(Edit::DropTable(old.id.0))?;
        self.edit(Edit::CreateTable(new))?;
        for sequence in sequences {
            let mut altered = sequence.as_ref().clone();
            altered.owner.iter_mut().for_each(|owner| owner.table = id);
            self.edit(Edit::AlterSequence(altered))?;
        }
        for foreign_key::Referring { child, key } in referring {
            let Some(child) = self.open_transaction()?.catalog().table_by_id(child.id).cloned() else { continue };
            let mut altered = child.as_ref().clone();
            altered.foreign_keys.push(catalog::ForeignKey { target: id, ..key });
            altered.foreign_keys.sort_by_key(|key| key.id);
            self.edit(Edit::AlterTable(altered))?;
        }
        for view in &views {
            let depends_on = told(&view.depends_on, Some(id));
            self.edit(Edit::ReplaceView(catalog::View { depends_on, ..view.as_ref().clone() }))?;
        }
        Ok(())
    }
}

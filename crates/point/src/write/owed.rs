//! What a changed row means for foreign keys: what the statement owes then.

use std::collections::HashSet;

use catalog::{Catalog, Deferral, ForeignKey, Table};
use engine::{Owed, Transaction};
use types::{ColumnId, Key, Oid, RowRef, key};

use super::batch::StoredBatch;

/// The foreign keys of a table: its own, and those of others that refer to it.
#[derive(Debug, Default)]
pub struct Links {
    own: Vec<Link>,
    incoming: Vec<Link>,
}

#[derive(Debug)]
struct Link {
    constraint: Oid,
    /// The stored columns of this table that it is of.
    columns: Vec<usize>,
    match_full: bool,
    deferrable: bool,
}

impl Links {
    /// Those of a table that `catalog` has.
    pub fn of(table: &Table, catalog: &Catalog) -> Links {
        let link = |key: &ForeignKey, columns: &[ColumnId]| {
            let columns = columns.iter().filter_map(|id| table.position_of(*id)).map(|at| at + table.hidden()).collect();
            let deferrable = key.deferral != Deferral::NotDeferrable;
            Link { constraint: key.id, columns, match_full: key.match_full, deferrable }
        };
        let own = table.foreign_keys.iter().map(|key| link(key, &key.columns));
        let keys = catalog.references_to(table.id).flat_map(|other| &other.foreign_keys).filter(|key| key.target == table.id);
        let mut incoming: Vec<Link> = keys.map(|key| link(key, &key.target_columns)).collect();
        incoming.sort_by_key(|link| link.constraint);
        Links { own: own.collect(), incoming }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.own.is_empty() && self.incoming.is_empty()
    }

    /// For a row that is new or has other values: references to look at. `moves`: it has got this key just now.
    pub(super) fn references(&self, key: &Key, old: Option<RowRef<'_>>, new: RowRef<'_>, moves: bool) -> Vec<Owed> {
        let own = self.own.iter().filter(|link| link.refers(new));
        let is_same = |link: &Link| old.is_some_and(|old| !link.differs(old, new));
        own.filter(|link| moves || !is_same(link))
            .map(|link| Owed::Reference { constraint: link.constraint, row: key.clone(), moved: is_same(link) })
            .collect()
    }

    /// For a row that is gone, or has other values: constraints that may refer to what it was.
    pub(super) fn referenced(&self, old: RowRef<'_>, new: Option<RowRef<'_>>) -> Vec<Owed> {
        let has_key = |link: &&Link| !link.columns.iter().any(|column| old.is_null(*column));
        let incoming = self.incoming.iter().filter(has_key).filter(|link| new.is_none_or(|new| link.differs(old, new)));
        incoming
            .map(|link| Owed::Referenced { constraint: link.constraint, old: old.to_row(), new: new.map(|new| new.to_row()) })
            .collect()
    }
}

impl Link {
    /// Whether a row refers to anything, or breaks MATCH FULL.
    fn refers(&self, row: RowRef<'_>) -> bool {
        let nulls = self.columns.iter().filter(|column| row.is_null(**column)).count();
        nulls == 0 || (self.match_full && nulls < self.columns.len())
    }

    fn differs(&self, old: RowRef<'_>, new: RowRef<'_>) -> bool {
        self.columns.iter().any(|column| old.get(*column) != new.get(*column))
    }
}

impl super::TableWriter {
    /// The foreign keys of the table.
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// What rows that were loaded owe: of those that refer to the same key one speaks for all, unless the constraint may be deferred.
    /// `seen`: what was referred to so far.
    pub fn owed_by(&self, rows: &StoredBatch<'_>, seen: &mut HashSet<Vec<u8>>) -> Vec<Owed> {
        let mut owed = Vec::new();
        if self.links.own.is_empty() {
            return owed;
        }
        for at in 0..rows.len() {
            let row = rows.row(at);
            let read = self.layout.read(&row);
            for link in self.links.own.iter().filter(|link| link.refers(read)) {
                let mut values = link.constraint.0.to_be_bytes().to_vec();
                for column in &link.columns {
                    key::encode_nullable(read.get(*column), self.layout.types()[*column], &mut values);
                }
                if link.deferrable || seen.insert(values) {
                    owed.push(Owed::Reference { constraint: link.constraint, row: self.table.key_of(&read), moved: false });
                }
            }
        }
        owed
    }

    pub(super) fn owe(&self, transaction: &mut Transaction, owed: Vec<Owed>) {
        owed.into_iter().for_each(|owed| transaction.owe(owed));
    }
}

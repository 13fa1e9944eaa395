//! Deferrable UNIQUE and PRIMARY KEY constraints: whether values are there twice.
//!
//! ```text
//! entry in --> at the end: lock of its values, exclusive --> how many entries have them, now?      more than one: 23505
//! ```
//!
//! 1. The lock is kept to the end of the transaction: the second of two who bring the same values sees what the first has done.
//! 2. An entry that somebody else is about to take away is waited for.
//!
//! Not here: the hidden table, where such entries are kept apart by their rows (`catalog::Index`). Source: PostgreSQL 15
//! `unique_key_recheck`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use catalog::{Catalog, Index, Table};
use engine::{Change, EngineError, KeyLock, ReadView};
use env::blocking;
use types::{Datum, Key, Oid, SqlError, TableId};

use super::find::each_below;
use crate::dml::Target;
use crate::session::Session;

/// Values of constraints: what the keys of their entries begin with.
pub(super) type Values = BTreeSet<(Oid, Key)>;

/// A constraint that is looked at late.
pub(super) struct LateKey {
    pub(super) table: Arc<Table>,
    index: Index,
    storage: Table,
}

/// Entries with the same values.
struct Twice {
    key: Arc<LateKey>,
    values: Vec<Datum>,
    entries: Vec<Key>,
}

impl LateKey {
    /// `None`: the catalog does not have it.
    pub(super) fn of(catalog: &Catalog, constraint: Oid) -> Option<LateKey> {
        catalog.tables().find_map(|table| {
            let index = table.indexes.iter().find(|index| index.constraint.as_ref().is_some_and(|c| c.id == constraint))?;
            Some(LateKey { table: Arc::clone(table), index: index.clone(), storage: index.storage(table) })
        })
    }

    /// When it is looked at.
    pub(super) fn deferral(&self) -> catalog::Deferral {
        self.index.deferral()
    }
}

impl Session {
    /// Errors with 23505 if any of these values are there twice.
    pub(super) fn settle_unique(&mut self, values: &Values) -> Result<(), SqlError> {
        let keys = self.late_keys(values)?;
        let transaction = self.open_transaction()?;
        for (constraint, values) in values {
            if let Some(key) = keys.get(constraint) {
                transaction.lock_key(key.index.id, values, KeyLock::Exclusive)?;
            }
        }
        for Twice { key, entries, .. } in self.twice(&keys, values)? {
            let transaction = self.open_transaction()?;
            for entry in &entries {
                match transaction.modify_newest(key.index.id, entry, &mut |_| Ok(Change::Keep)) {
                    // It has changed since the snapshot, which is not what counts here.
                    Ok(_) | Err(EngineError::Conflict(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        match self.twice(&keys, values)?.first() {
            Some(Twice { key, values, .. }) => {
                let target = self.target(&key.table)?;
                Err(duplicate(&target, key.index.id, values))
            }
            None => Ok(()),
        }
    }

    /// Whether any of these values are there twice by now.
    pub(super) fn are_twice(&mut self, values: &Values) -> Result<bool, SqlError> {
        let keys = self.late_keys(values)?;
        Ok(!self.twice(&keys, values)?.is_empty())
    }

    /// Errors with 23505 if rows of a table, which is held, break one of its deferrable keys; `only` of these indexes if it is given.
    pub(crate) fn check_unique(&mut self, target: &Target, only: Option<&[TableId]>) -> Result<(), SqlError> {
        let late = target.writer.indexes().iter().filter(|rule| {
            let index = rule.definition();
            index.unique && !index.refuses_duplicates() && only.is_none_or(|only| only.contains(&index.id))
        });
        for rule in late {
            let view = self.open_transaction()?.newest_view()?;
            let (index, storage) = (rule.definition(), rule.storage());
            let mut last: Option<Key> = None;
            let mut found: Option<Vec<Datum>> = None;
            blocking(|| {
                each_below(&view, &self.cancel, storage, &[], usize::MAX, &mut |block, at| {
                    let row = block.row(at);
                    let values: Vec<Datum> = (0..index.width()).map(|column| row.get(column).to_owned()).collect();
                    if !index.nulls_not_distinct && values.iter().any(Datum::is_null) {
                        return;
                    }
                    let key = storage.key_from(&values);
                    if found.is_none() && last.as_ref() == Some(&key) {
                        found = Some(values);
                    }
                    last = Some(key);
                })
            })?;
            if let Some(values) = found {
                return Err(duplicate(target, index.id, &values));
            }
        }
        Ok(())
    }

    fn late_keys(&mut self, values: &Values) -> Result<BTreeMap<Oid, Arc<LateKey>>, SqlError> {
        let catalog = self.open_transaction()?.catalog();
        let constraints: BTreeSet<Oid> = values.iter().map(|(constraint, _)| *constraint).collect();
        Ok(constraints.into_iter().filter_map(|id| Some((id, Arc::new(LateKey::of(&catalog, id)?)))).collect())
    }

    /// Those of the values that more than one entry has, committed by anyone by now, or own.
    fn twice(&mut self, keys: &BTreeMap<Oid, Arc<LateKey>>, values: &Values) -> Result<Vec<Twice>, SqlError> {
        let view: Arc<ReadView> = self.open_transaction()?.newest_view()?;
        let mut all = Vec::new();
        for (constraint, prefix) in values {
            let Some(key) = keys.get(constraint) else { continue };
            let mut twice = Twice { key: Arc::clone(key), values: vec![], entries: vec![] };
            each_below(&view, &self.cancel, &key.storage, prefix, 2, &mut |block, at| {
                let row = block.row(at);
                twice.values = (0..key.index.width()).map(|column| row.get(column).to_owned()).collect();
                twice.entries.push(Key::from(block.key(at)));
            })?;
            if twice.entries.len() > 1 {
                all.push(twice);
            }
        }
        Ok(all)
    }
}

fn duplicate(target: &Target, index: TableId, values: &[Datum]) -> SqlError {
    match target.writer.indexes().iter().find(|rule| rule.id() == index) {
        Some(rule) => target.writer.unique_error(rule, values),
        None => SqlError::bug("a deferrable key is not its table's"),
    }
}

//! Looking at one thing that is owed, and doing what the constraint says.

use std::sync::Arc;

use catalog::{Action, ForeignKey, Table};
use engine::{Change, KeyLock, Modified};
use env::{BLOCKING_STEPS_MIN, blocking, blocking_if};
use point::write::Expression;
use types::{Datum, Key, Row, RowLayout, RowRef, SqlError, SqlState, coerce};

use super::find;
use super::link::Link;
use crate::dml::{self, Default};
use crate::session::Session;

impl Session {
    /// A row of the child, as it is now, must have its target.
    pub(super) fn settle_reference(&mut self, link: &Link, row: &Key) -> Result<(), SqlError> {
        let transaction = self.open_transaction()?;
        // It may have gone, or have got other values, since; then that is owed too.
        let Some(row) = transaction.get(link.child.id, row)? else { return Ok(()) };
        let values = link.child_values(link.child_layout.read(&row));
        let nulls = values.iter().filter(|value| value.is_null()).count();
        if nulls > 0 {
            return if link.key.match_full && nulls < values.len() { Err(link.mixed()) } else { Ok(()) };
        }
        let Some(target) = link.to_parent(&values) else { return Err(link.not_present(&values)) };
        let (table, key) = link.place_of(&target);
        transaction.lock_key(table, &key, KeyLock::Shared)?;
        if transaction.has_now(table, &key)? { Ok(()) } else { Err(link.not_present(&values)) }
    }

    /// A row of the parent has gone, or has got other values.
    pub(super) fn settle_referenced(&mut self, link: &Link, old: &Row, new: Option<&Row>) -> Result<(), SqlError> {
        let values = link.parent_values(link.parent_layout.read(old));
        let action = if new.is_some() { link.key.on_update } else { link.key.on_delete };
        let (table, key) = link.place_of(&values);
        let cancel = Arc::clone(&self.cancel);
        let transaction = self.open_transaction()?;
        transaction.lock_key(table, &key, KeyLock::Exclusive)?;
        // Another row may have the key by now.
        if action == Action::Nothing && transaction.has_now(table, &key)? {
            return Ok(());
        }
        let Some(referring) = link.to_child(&values) else { return Ok(()) };
        let all = if matches!(action, Action::Nothing | Action::Restrict) { 1 } else { usize::MAX };
        let view = transaction.newest_view()?;
        let children = blocking(|| find::children(&view, &cancel, link, &referring, all))?;
        drop(view);
        if children.is_empty() {
            return Ok(());
        }
        match (action, new) {
            (Action::Nothing | Action::Restrict, _) => Err(link.still_referenced(&values)),
            (Action::Cascade, None) => self.change_children(link, &children, &referring, None),
            (Action::Cascade, Some(new)) => {
                let new = link.parent_values(link.parent_layout.read(new));
                self.change_children(link, &children, &referring, Some(&(link.child_columns.clone(), new)))
            }
            (Action::SetNull | Action::SetDefault, _) => {
                let columns = self.columns_to_set(link, new.is_none());
                let mut defaults = Vec::with_capacity(columns.len());
                for column in &columns {
                    defaults.push(match action {
                        Action::SetDefault => self.default_value(&link.child, column - link.child.hidden())?,
                        _ => Datum::Null,
                    });
                }
                self.change_children(link, &children, &referring, Some(&(columns, defaults)))?;
                // The default may be the very key that has gone.
                let transaction = self.open_transaction()?;
                if action == Action::SetNull || transaction.has_now(table, &key)? {
                    return Ok(());
                }
                let view = transaction.newest_view()?;
                match blocking(|| find::children(&view, &cancel, link, &referring, 1))?.is_empty() {
                    true => Ok(()),
                    false => Err(link.still_referenced(&values)),
                }
            }
        }
    }

    fn columns_to_set(&self, link: &Link, is_delete: bool) -> Vec<usize> {
        let ForeignKey { delete_sets, .. } = &link.key;
        if !is_delete || delete_sets.is_empty() {
            return link.child_columns.clone();
        }
        let child = &link.child;
        delete_sets.iter().filter_map(|id| child.position_of(*id)).map(|at| at + child.hidden()).collect()
    }

    /// Removes rows of the child that refer to `referring`, or gives them other values.
    fn change_children(
        &mut self,
        link: &Link,
        children: &[Key],
        referring: &[Datum],
        set: Option<&(Vec<usize>, Vec<Datum>)>,
    ) -> Result<(), SqlError> {
        while !self.hold_definition(link.child.id)? {}
        let table = self.catalog().table_by_id(link.child.id).cloned();
        let Some(table) = table else { return Ok(()) };
        let target = self.target(&table)?;
        let transaction = self.open_transaction()?;
        // READ COMMITTED changes what its snapshot sees: the children may be younger than the statement.
        transaction.begin_statement();
        let hidden = table.hidden();
        let referring = link.key_of(referring);
        let refers = |row: RowRef<'_>| link.key_of(&link.child_values(row)) == referring;
        let mut change = |key: &Key| {
            let outcome = match set {
                None => target
                    .writer
                    .modify(transaction, key, &mut |row| Ok(if refers(row) { Change::Delete } else { Change::Keep }))?,
                Some((columns, values)) => target.rewrite(transaction, key, &mut |row| {
                    if !refers(row) {
                        return Ok(None);
                    }
                    let mut new = row.to_datums().split_off(hidden);
                    for (column, value) in columns.iter().zip(values) {
                        let definition = &table.columns[column - hidden];
                        new[column - hidden] = coerce::assign_column(value.clone(), definition.data_type, &definition.name)?;
                    }
                    Ok(Some(new))
                })?,
            };
            if outcome == Modified::NotFound && transaction.isolation().keeps_snapshot() {
                let message = "could not serialize access due to concurrent update";
                return Err(SqlError::new(SqlState::SERIALIZATION_FAILURE, message));
            }
            Ok(())
        };
        blocking_if(children.len() >= BLOCKING_STEPS_MIN, || children.iter().try_for_each(&mut change))
    }

    /// What a column is when nothing is said about it.
    fn default_value(&mut self, table: &Table, at: usize) -> Result<Datum, SqlError> {
        let dates = self.dates();
        let catalog = self.catalog();
        let column = &table.columns[at];
        let value = match dml::default_of(&catalog, column, &dates)? {
            Default::Constant(value) => value,
            Default::Simple(simple) => simple.assign(column.data_type, &column.name, &dates)?.unwrap_or(Datum::Null),
            Default::Next(sequence) => Datum::Int8(self.open_transaction()?.sequences().next(&sequence)?),
            Default::Computed(expr) => {
                let computed: Expression = self.compile(table, &catalog, &expr)?;
                let layout = RowLayout::new(&table.stored_types());
                let nulls = layout.encode(&vec![Datum::Null; layout.types().len()]);
                computed.evaluate(layout.read(&nulls))?
            }
        };
        coerce::assign_column(value, column.data_type, &column.name)
    }
}

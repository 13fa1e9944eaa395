//! A row by the key of a unique index: the index's entry first, which names the row.
//!
//! ```text
//! WHERE email = $1        key of the hidden table --> entry at the snapshot --> the row's key --> the row, all of WHERE looked at again
//! ```
//!
//! The row may be another one by the time it is locked, so the whole condition is the row's too.

use std::sync::Arc;

use catalog::{Index, IndexSource, Table};
use engine::Transaction;
use expr::row::{Binder, RowExpr};
use sqlparser::ast::Expr;
use types::{Datum, Key, RowLayout, RowRef, SqlError, SqlType, TableId};

use crate::Access;
use crate::compile::{Named, key_equality};
use crate::key::KeyExpr;

/// See the module's head.
#[derive(Debug)]
pub(crate) struct UniqueKey {
    pub(crate) index: TableId,
    pub(crate) name: String,
    storage: Table,
    layout: RowLayout,
    /// One for each column of the index.
    key: Vec<KeyExpr>,
    /// NULLs in an entry's key behind those.
    nulls: usize,
    /// Where in an entry the row's key is.
    row_key: Vec<usize>,
}

/// By the first unique index whose columns all have a value. `None`: by none of them.
pub(crate) fn access(named: &Named, parts: &[&Expr], binder: &mut Binder<'_>) -> Option<Access> {
    let before = binder.params.clone();
    named.table.indexes.iter().filter(|index| index.refuses_duplicates() && index.predicate.is_none()).find_map(|index| {
        binder.params.clone_from(&before);
        by_index(named, index, parts, binder)
    })
}

fn by_index(named: &Named, index: &Index, parts: &[&Expr], binder: &mut Binder<'_>) -> Option<Access> {
    let table = &named.table;
    let stored = |source: &IndexSource| match source {
        IndexSource::Column(id) => table.position_of(*id).map(|at| at + table.hidden()),
        IndexSource::Expression { .. } => None,
    };
    let columns: Vec<usize> = index.columns.iter().map(|column| stored(&column.source)).collect::<Option<_>>()?;
    let mut condition: Option<RowExpr> = None;
    let mut key: Vec<Option<KeyExpr>> = columns.iter().map(|_| None).collect();
    for part in parts {
        let test = binder.bind_as(part, SqlType::Bool)?;
        if let Some((at, value)) = key_equality(named, part, &columns, binder) {
            key[at].get_or_insert(value);
        }
        condition = Some(match condition {
            None => test,
            Some(condition) => condition.and(test),
        });
    }
    let storage = index.storage(table);
    let by = UniqueKey {
        index: index.id,
        name: index.name.clone(),
        layout: RowLayout::new(&storage.stored_types()),
        storage,
        key: key.into_iter().collect::<Option<_>>()?,
        nulls: if index.has_tiebreak() { index.row_key_missing(table).len() } else { 0 },
        row_key: index.row_key_columns(table),
    };
    let layout = RowLayout::new(&table.stored_types());
    Some(Access { table: Arc::clone(table), layout, key: vec![], unique: Some(by), condition })
}

impl UniqueKey {
    /// The key of the row that has the values asked for at the statement's snapshot.
    pub(crate) fn find(
        &self,
        table: &Table,
        transaction: &Transaction,
        earlier: Option<RowRef<'_>>,
        params: &[Datum],
    ) -> Result<Option<Key>, SqlError> {
        let mut values = Vec::with_capacity(self.key.len() + self.nulls);
        for part in &self.key {
            match part.evaluate(earlier, params)? {
                Some(value) => values.push(value),
                None => return Ok(None),
            }
        }
        values.extend(std::iter::repeat_n(Datum::Null, self.nulls));
        let Some(entry) = transaction.get(self.index, &self.storage.key_from(&values))? else { return Ok(None) };
        let entry = self.layout.read(&entry);
        let of_row: Vec<Datum> = self.row_key.iter().map(|column| entry.get(*column).to_owned()).collect();
        Ok(Some(table.key_from(&of_row)))
    }
}

//! The entries of one index: which a row has, and putting them into the hidden table.

use std::collections::BTreeSet;

use catalog::{Index, IndexSource, Table};
use engine::{Change, EngineError, Modified, Owed, Transaction};
use types::{Datum, Key, Row, RowLayout, RowRef, SqlError, SqlType, TableId, coerce};

use super::errors::index_corrupted;
use super::expression::{Compile, Expression};

/// How the rows of an index's hidden table are made.
#[derive(Debug)]
pub struct IndexRule {
    index: Index,
    storage: Table,
    layout: RowLayout,
    pub(super) values: Vec<Value>,
    pub(super) predicate: Option<Expression>,
    /// The stored columns of the row's key that the index itself does not have.
    pub(super) missing: Vec<usize>,
    /// Where the row's key is among the stored columns of an entry.
    row_key: Vec<usize>,
    pub(super) tiebreak: bool,
    /// The stored columns of the row that its entry depends on, but for its key.
    reads: BTreeSet<usize>,
    /// Its columns in messages.
    pub(super) shown: Vec<String>,
}

#[derive(Debug)]
pub(super) enum Value {
    Column(usize),
    Computed(Expression, SqlType),
}

impl IndexRule {
    pub(super) fn new(table: &Table, index: &Index, compile: &mut dyn Compile) -> Result<IndexRule, SqlError> {
        let values = index.columns.iter().map(|column| match &column.source {
            IndexSource::Column(id) => match table.position_of(*id) {
                Some(at) => Ok(Value::Column(at + table.hidden())),
                None => Err(SqlError::bug(format!("index \"{}\" is of a column that is not there", index.name))),
            },
            IndexSource::Expression { text, .. } => Ok(Value::Computed(compile.expression(text)?, column.data_type)),
        });
        let values: Vec<Value> = values.collect::<Result<_, SqlError>>()?;
        let predicate = index.predicate.as_deref().map(|text| compile.expression(text)).transpose()?;
        let mut reads: BTreeSet<usize> = predicate.iter().flat_map(Expression::columns).collect();
        for value in &values {
            match value {
                Value::Column(column) => reads.extend([*column]),
                Value::Computed(expression, _) => reads.extend(expression.columns()),
            }
        }
        let shown = index.columns.iter().map(|column| match &column.source {
            IndexSource::Column(_) => column.name(table).to_owned(),
            IndexSource::Expression { text, .. } => compile.shown(text),
        });
        let shown = shown.collect();
        let storage = index.storage(table);
        Ok(IndexRule {
            layout: RowLayout::new(&storage.stored_types()),
            values,
            predicate,
            missing: index.row_key_missing(table),
            row_key: index.row_key_columns(table),
            tiebreak: index.has_tiebreak(),
            reads,
            shown,
            storage,
            index: index.clone(),
        })
    }

    /// The index's id, which is its hidden table's.
    pub fn id(&self) -> TableId {
        self.index.id
    }

    /// Its definition.
    pub fn definition(&self) -> &Index {
        &self.index
    }

    /// The hidden table.
    pub fn storage(&self) -> &Table {
        &self.storage
    }

    /// The layout of its rows.
    pub fn layout(&self) -> &RowLayout {
        &self.layout
    }

    /// Whether a row that becomes another one, with the same key, may get another entry.
    pub(super) fn is_affected(&self, old: RowRef<'_>, new: RowRef<'_>) -> bool {
        self.reads.iter().any(|column| old.get(*column) != new.get(*column))
    }

    /// The row of the hidden table for a stored row; `None` if the predicate does not hold for it.
    pub fn entry(&self, row: RowRef<'_>) -> Result<Option<Row>, SqlError> {
        if let Some(predicate) = &self.predicate
            && predicate.evaluate(row)? != Datum::Bool(true)
        {
            return Ok(None);
        }
        let mut values = Vec::with_capacity(self.layout.types().len());
        for value in &self.values {
            values.push(match value {
                Value::Column(column) => row.get(*column).to_owned(),
                Value::Computed(expression, data_type) => coerce::assign(expression.evaluate(row)?, *data_type)?,
            });
        }
        if self.tiebreak {
            let has_null = values.iter().any(Datum::is_null);
            let own = |column: &usize| if has_null { row.get(*column).to_owned() } else { Datum::Null };
            values.extend(self.missing.iter().map(own));
        }
        values.extend(self.missing.iter().map(|column| row.get(*column).to_owned()));
        Ok(Some(self.layout.encode(&values)))
    }

    /// The key of an entry in the hidden table.
    pub fn entry_key(&self, entry: &Row) -> Key {
        self.storage.key_of(&self.layout.read(entry))
    }

    /// The key of the row that an entry is of.
    pub fn row_key(&self, table: &Table, entry: RowRef<'_>) -> Key {
        let values: Vec<Datum> = self.row_key.iter().map(|column| entry.get(*column).to_owned()).collect();
        table.key_from(&values)
    }

    /// The key of the row that an entry is of, for messages.
    pub fn shown_row(&self, entry: &Row) -> String {
        let read = self.layout.read(entry);
        let values: Vec<Datum> = self.row_key.iter().map(|column| read.get(*column).to_owned()).collect();
        format!("({})", super::errors::shown(&values, true))
    }

    /// The values of an entry that are the index's own.
    pub fn values_of(&self, entry: &Row) -> Vec<Datum> {
        let read = self.layout.read(entry);
        (0..self.values.len()).map(|column| read.get(column).to_owned()).collect()
    }

    /// What an entry that is new owes: of a deferrable key, that no other has its values.
    pub(super) fn owed(&self, entry: &Row) -> Option<Owed> {
        let constraint = self.index.constraint.as_ref().filter(|_| !self.index.refuses_duplicates())?;
        let values = self.values_of(entry);
        let is_distinct = !self.index.nulls_not_distinct && values.iter().any(Datum::is_null);
        (!is_distinct).then(|| Owed::Unique { constraint: constraint.id, values: self.storage.key_from(&values) })
    }

    /// Adds an entry. Waits for a transaction in flight that holds its key. Returns the key if it is there already.
    pub fn add(&self, transaction: &mut Transaction, entry: &Row) -> Result<Option<Key>, SqlError> {
        match transaction.insert(self.id(), entry)? {
            engine::Inserted::Done => Ok(None),
            engine::Inserted::Duplicate if self.index.refuses_duplicates() => Ok(Some(self.entry_key(entry))),
            engine::Inserted::Duplicate => Err(index_corrupted(&self.index.name, "has an entry of a row that is new")),
        }
    }

    /// Puts `new` in the place of `old`. Returns the new key if another row has it.
    pub(super) fn replace(
        &self,
        transaction: &mut Transaction,
        old: Option<&Row>,
        new: Option<&Row>,
    ) -> Result<Option<Key>, SqlError> {
        if old == new {
            return Ok(None);
        }
        if let Some(old) = old {
            let key = self.entry_key(old);
            let moves = new.is_none_or(|new| self.entry_key(new) != key);
            let change = |_: RowRef<'_>| match new {
                // Another value that is equal: 0.0 for -0.0.
                Some(new) if !moves => Ok(Change::Put(new.clone())),
                _ => Ok(Change::Delete),
            };
            let outcome = transaction.modify_newest(self.id(), &key, &mut { change });
            match outcome {
                Ok(Modified::Changed) => {}
                Ok(Modified::Kept | Modified::NotFound) => {
                    return Err(index_corrupted(&self.index.name, "lacks the entry of a row"));
                }
                Err(EngineError::Statement(error)) => return Err(error),
                Err(error) => return Err(error.into()),
            }
            if !moves {
                return Ok(None);
            }
        }
        match new {
            Some(new) => self.add(transaction, new),
            None => Ok(None),
        }
    }
}

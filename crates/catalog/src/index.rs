//! Secondary indexes: what they are of, and the hidden table each is kept in.
//!
//! ```text
//! CREATE TABLE t (k int PRIMARY KEY, a int, b text)
//! INDEX (a, b)           hidden table: i1 a, i2 b, k1 k           key: i1 i2 k1
//! INDEX (k, a)                         i1 k, i2 a                 key: i1 i2            the row's key is among them
//! UNIQUE (a)                           i1 a, d1 k or NULL, k1 k   key: i1 d1            d1 is NULL unless a is
//! UNIQUE NULLS NOT DISTINCT (a)        i1 a, k1 k                 key: i1
//! UNIQUE (a) DEFERRABLE                i1 a, k1 k                 key: i1 k1            equal ones are looked for later
//! ```
//!
//! 1. The hidden table is an ordinary one to the engine: delta, segments, log, checkpoint and recovery are those of any table.
//! 2. It names rows by their primary key (or row id), so that moving a row between delta and segments does not concern it.
//! 3. Its form follows from the index's definition and the table's primary key alone: [`Index::storage`] gives the same form each time.
//!    What would change it (a column's type, whether it can be NULL) makes a new index with a new id.
//!
//! Not here: keeping rows and index the same (`point`). Source: InnoDB's secondary indexes; NULLs as in PostgreSQL 15.

use serde::{Deserialize, Serialize};
use types::key::KeyOrder;
use types::{ColumnId, Oid, SqlType, TableId};

use crate::constraint::Deferral;
use crate::definition::{Column, PrimaryKey, ROWID, Table, ids};

/// A secondary index of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Its id, also its oid; names the files of its hidden table.
    #[serde(with = "ids::table")]
    pub id: TableId,
    /// Unique among the schema's relations.
    pub name: String,
    /// What it is sorted by; not empty.
    pub columns: Vec<IndexColumn>,
    /// No two rows have the same values.
    #[serde(default)]
    pub unique: bool,
    /// Of a unique one: rows with a NULL can be equal too.
    #[serde(default)]
    pub nulls_not_distinct: bool,
    /// WHERE, as SQL text: only rows for which it is true are in the index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicate: Option<String>,
    /// The UNIQUE constraint that made it; both have the index's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraint: Option<UniqueConstraint>,
}

/// A UNIQUE constraint, which is an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UniqueConstraint {
    /// Its oid.
    #[serde(with = "ids::oid")]
    pub id: Oid,
    /// When it is checked.
    #[serde(default)]
    pub deferral: Deferral,
    /// It is the table's PRIMARY KEY, which is deferrable: rows are kept under a hidden row id.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub primary: bool,
}

/// One of the things an index is sorted by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexColumn {
    /// A column or an expression.
    pub source: IndexSource,
    /// The type of its values.
    #[serde(with = "ids::sql_type")]
    pub data_type: SqlType,
    /// Whether the hidden table has room for NULL.
    pub nullable: bool,
    /// DESC.
    #[serde(default)]
    pub descending: bool,
    /// NULLS FIRST; the default of DESC.
    #[serde(default)]
    pub nulls_first: bool,
}

/// Where an index's values come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexSource {
    /// A column of the table.
    #[serde(with = "ids::column")]
    Column(ColumnId),
    /// An expression over the table's columns.
    Expression {
        /// As SQL text.
        text: String,
        /// The name PostgreSQL gives such a column.
        name: String,
    },
}

impl Index {
    /// How many of the stored columns are those of the index itself; they come first.
    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// The hidden table of this index of `table`.
    pub fn storage(&self, table: &Table) -> Table {
        let mut columns: Vec<Column> = Vec::new();
        let mut add = |name: String, data_type, not_null| {
            let id = ColumnId(u16::try_from(columns.len() + 1).unwrap_or(u16::MAX));
            columns.push(Column { id, name, data_type, not_null, default: None, identity: None, generated: None });
        };
        for (at, column) in self.columns.iter().enumerate() {
            add(format!("i{}", at + 1), column.data_type, !column.nullable);
        }
        let missing = self.row_key_missing(table);
        let mut key = self.columns.len();
        if self.has_tiebreak() {
            for (at, stored) in missing.iter().enumerate() {
                add(format!("d{}", at + 1), table.stored_type(*stored), false);
            }
            key += missing.len();
        }
        for (at, stored) in missing.iter().enumerate() {
            add(format!("k{}", at + 1), table.stored_type(*stored), true);
        }
        if !self.refuses_duplicates() {
            key += missing.len();
        }
        let order = |c: &IndexColumn| KeyOrder { descending: c.descending, nulls_first: c.nulls_first };
        Table {
            id: self.id,
            schema: table.schema,
            name: self.name.clone(),
            columns,
            primary_key: Some(PrimaryKey { id: Oid(self.id.0), name: self.name.clone(), columns: (0..key).collect() }),
            key_order: self.columns.iter().map(order).collect(),
            ..Table::default()
        }
    }

    /// When its constraint, if it is one's, is checked.
    pub fn deferral(&self) -> Deferral {
        self.constraint.as_ref().map_or(Deferral::NotDeferrable, |constraint| constraint.deferral)
    }

    /// Whether it is the table's PRIMARY KEY, see [`UniqueConstraint::primary`].
    pub fn is_primary(&self) -> bool {
        self.constraint.as_ref().is_some_and(|constraint| constraint.primary)
    }

    /// Whether no two rows have the same values at any time: unique, and not deferrable. The values are the hidden table's key then.
    pub fn refuses_duplicates(&self) -> bool {
        self.unique && self.deferral() == Deferral::NotDeferrable
    }

    /// Whether rows with a NULL are told apart by their key: unique, but not among NULLs.
    pub fn has_tiebreak(&self) -> bool {
        self.refuses_duplicates() && !self.nulls_not_distinct && self.columns.iter().any(|c| c.nullable)
    }

    /// The stored columns of `table` that its key needs and the index itself does not have.
    pub fn row_key_missing(&self, table: &Table) -> Vec<usize> {
        table.key_columns().into_iter().filter(|stored| self.position_of(table, *stored).is_none()).collect()
    }

    /// Where in the hidden table's stored columns the columns of the row's key are, in key order.
    pub fn row_key_columns(&self, table: &Table) -> Vec<usize> {
        let missing = self.row_key_missing(table);
        let first = self.columns.len() + if self.has_tiebreak() { missing.len() } else { 0 };
        let place = |stored: usize| match missing.iter().position(|m| *m == stored) {
            Some(at) => first + at,
            None => self.position_of(table, stored).unwrap_or_default(),
        };
        table.key_columns().into_iter().map(place).collect()
    }

    /// Which of the index's columns is this stored column of `table`, unchanged.
    pub fn position_of(&self, table: &Table, stored: usize) -> Option<usize> {
        let column = table.columns.get(stored.checked_sub(table.hidden())?)?;
        self.columns.iter().position(|c| c.source == IndexSource::Column(column.id))
    }
}

impl IndexColumn {
    /// Its name as PostgreSQL shows it.
    pub fn name<'a>(&'a self, table: &'a Table) -> &'a str {
        match &self.source {
            IndexSource::Column(id) => table.column_by_id(*id).map_or(ROWID, |c| c.name.as_str()),
            IndexSource::Expression { name, .. } => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use types::{Datum, RowLayout, SchemaId};

    use super::*;

    fn table(key: Option<Vec<usize>>) -> Table {
        let column = |id: u16, name: &str, data_type| Column {
            id: ColumnId(id),
            name: name.into(),
            data_type,
            not_null: id == 1,
            default: None,
            identity: None,
            generated: None,
        };
        Table {
            id: TableId(20000),
            schema: SchemaId(2200),
            name: "t".into(),
            columns: vec![column(1, "k", SqlType::Int4), column(2, "a", SqlType::Int4), column(3, "b", SqlType::Text)],
            primary_key: key.map(|columns| PrimaryKey { id: Oid(20001), name: "t_pkey".into(), columns }),
            ..Table::default()
        }
    }

    fn index(columns: &[u16], unique: bool) -> Index {
        let column = |id: &u16| IndexColumn {
            source: IndexSource::Column(ColumnId(*id)),
            data_type: if *id == 3 { SqlType::Text } else { SqlType::Int4 },
            nullable: *id != 1,
            descending: false,
            nulls_first: false,
        };
        Index {
            id: TableId(20002),
            name: "i".into(),
            columns: columns.iter().map(column).collect(),
            unique,
            nulls_not_distinct: false,
            predicate: None,
            constraint: None,
        }
    }

    #[test]
    fn the_hidden_table_has_the_row_key_once_and_is_unique_as_the_index_is() {
        let cases = [
            // index columns, unique, names, key, where the row's key is
            (vec![2, 3], false, "i1 i2 k1", vec![0, 1, 2], vec![2]),
            (vec![1, 2], false, "i1 i2", vec![0, 1], vec![0]),
            (vec![2], true, "i1 d1 k1", vec![0, 1], vec![2]),
            (vec![1], true, "i1", vec![0], vec![0]),
        ];
        let table = table(Some(vec![0]));
        for (columns, unique, names, key, row_key) in cases {
            let index = index(&columns, unique);
            let storage = index.storage(&table);
            let found: Vec<&str> = storage.columns.iter().map(|c| c.name.as_str()).collect();
            assert_eq!((found.join(" ").as_str(), storage.key_columns()), (names, key));
            assert_eq!(index.row_key_columns(&table), row_key);
        }
    }

    #[test]
    fn a_deferrable_index_keeps_equal_values_apart_by_their_rows() {
        let mut index = index(&[2], true);
        let deferral = Deferral::Immediate;
        index.constraint = Some(UniqueConstraint { id: Oid(20003), deferral, primary: false });
        let storage = index.storage(&table(Some(vec![0])));
        assert_eq!((storage.columns.len(), storage.key_columns()), (2, vec![0, 1]));
    }

    #[test]
    fn a_table_without_a_key_is_named_by_its_row_ids() {
        let index = index(&[2], false);
        let storage = index.storage(&table(None));
        assert_eq!(storage.stored_types(), [SqlType::Int4, SqlType::Int8]);
        assert_eq!(index.row_key_columns(&table(None)), [1]);
    }

    #[test]
    fn null_is_a_part_of_a_hidden_key() {
        let storage = index(&[2], true).storage(&table(Some(vec![0])));
        let layout = RowLayout::new(&storage.stored_types());
        let key = |values: [Datum; 3]| storage.key_of(&layout.read(&layout.encode(&values)));
        let (one, null) = (|n| Datum::Int4(n), || Datum::Null);
        assert_eq!(key([one(1), null(), one(5)]), key([one(1), null(), one(6)]), "unique without the row's key");
        assert_ne!(key([null(), one(5), one(5)]), key([null(), one(6), one(6)]), "NULLs are distinct");
        assert!(key([one(1), null(), one(5)]) < key([null(), one(5), one(5)]), "NULL is last");
    }
}

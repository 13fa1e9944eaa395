//! Definitions of the objects in a catalog.
//!
//! A table's *stored* columns are its SQL columns, and before them the hidden row id if it has no primary key:
//!
//! ```text
//! CREATE TABLE t (a int PRIMARY KEY, b text)    stored: a, b            key: a
//! CREATE TABLE l (a int, b text)                stored: __rowid, a, b   key: __rowid
//! ```

use serde::{Deserialize, Serialize};
use types::{ColumnId, DatabaseId, Key, Oid, RowRef, SchemaId, SqlType, TableId, key};

/// The name of the hidden row id among the stored columns.
pub const ROWID: &str = "__rowid";

/// A database: what a connection sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Its id, also its oid.
    #[serde(with = "ids::database")]
    pub id: DatabaseId,
    /// Unique among databases.
    pub name: String,
}

/// A namespace of relations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// Its id, also its oid.
    #[serde(with = "ids::schema")]
    pub id: SchemaId,
    /// The database it is in.
    #[serde(with = "ids::database")]
    pub database: DatabaseId,
    /// Unique in its database.
    pub name: String,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// PostgreSQL's `attnum`.
    #[serde(with = "ids::column")]
    pub id: ColumnId,
    /// Unique in its table.
    pub name: String,
    /// The declared type.
    #[serde(with = "ids::sql_type")]
    pub data_type: SqlType,
    /// True for NOT NULL and for every column of the primary key.
    pub not_null: bool,
    /// The DEFAULT expression as SQL text.
    pub default: Option<String>,
}

/// A PRIMARY KEY constraint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrimaryKey {
    /// The oid of the index clients see for it.
    #[serde(with = "ids::oid")]
    pub id: Oid,
    /// The constraint's (and the index's) name, in the namespace of relations.
    pub name: String,
    /// SQL column positions (from 0) in key order; not empty.
    pub columns: Vec<usize>,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its id, also its oid; names its files.
    #[serde(with = "ids::table")]
    pub id: TableId,
    /// The schema it is in.
    #[serde(with = "ids::schema")]
    pub schema: SchemaId,
    /// Unique among the schema's relations.
    pub name: String,
    /// SQL columns in order.
    pub columns: Vec<Column>,
    /// None: rows are kept under a hidden row id.
    pub primary_key: Option<PrimaryKey>,
}

/// A view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Its id, also its oid.
    #[serde(with = "ids::table")]
    pub id: TableId,
    /// The schema it is in.
    #[serde(with = "ids::schema")]
    pub schema: SchemaId,
    /// Unique among the schema's relations.
    pub name: String,
    /// The SELECT as SQL text, with every relation schema-qualified.
    pub query: String,
    /// Output columns in order.
    pub columns: Vec<Column>,
    /// The relations the query reads; none of them can be dropped before the view.
    #[serde(with = "ids::tables")]
    pub depends_on: Vec<TableId>,
}

impl Table {
    /// Stored columns before the SQL columns: 1 (the row id) without a primary key, else 0.
    pub fn hidden(&self) -> usize {
        usize::from(self.primary_key.is_none())
    }

    /// The types of the stored columns.
    pub fn stored_types(&self) -> Vec<SqlType> {
        self.stored_columns().map(|(_, t, _)| t).collect()
    }

    /// Name, type and nullability of the stored columns.
    pub fn stored_columns(&self) -> impl Iterator<Item = (&str, SqlType, bool)> {
        let rowid = self.primary_key.is_none().then_some((ROWID, SqlType::Int8, false));
        rowid.into_iter().chain(self.columns.iter().map(|c| (c.name.as_str(), c.data_type, !c.not_null)))
    }

    /// The stored positions of the key's columns, in key order.
    pub fn key_columns(&self) -> Vec<usize> {
        match &self.primary_key {
            Some(key) => key.columns.clone(),
            None => vec![0],
        }
    }

    /// The type of a stored column.
    pub fn stored_type(&self, stored: usize) -> SqlType {
        match stored.checked_sub(self.hidden()) {
            Some(column) => self.columns[column].data_type,
            None => SqlType::Int8,
        }
    }

    /// The key of a stored row.
    pub fn key_of(&self, row: &RowRef<'_>) -> Key {
        let mut out = Vec::with_capacity(16);
        match &self.primary_key {
            Some(primary) => {
                for &column in &primary.columns {
                    key::encode(row.get(column), self.columns[column].data_type, &mut out);
                }
            }
            None => key::encode(row.get(0), SqlType::Int8, &mut out),
        }
        out.into()
    }

    /// The key with these values, in key order, coerced and not NULL.
    pub fn key_from(&self, values: &[types::Datum]) -> Key {
        let mut out = Vec::with_capacity(16);
        for (&column, value) in self.key_columns().iter().zip(values) {
            key::encode(value.as_ref(), self.stored_type(column), &mut out);
        }
        out.into()
    }

    /// The position (from 0) of the SQL column with this name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }
}

/// How ids and types are written: ids as numbers, types by their SQL names.
mod ids {
    macro_rules! number {
        ($module:ident, $id:ident, $inner:ty) => {
            pub(super) mod $module {
                use serde::{Deserialize, Deserializer, Serialize, Serializer};
                use types::$id;

                pub(in super::super) fn serialize<S: Serializer>(id: &$id, s: S) -> Result<S::Ok, S::Error> {
                    id.0.serialize(s)
                }

                pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<$id, D::Error> {
                    <$inner>::deserialize(d).map($id)
                }
            }
        };
    }

    number!(database, DatabaseId, u32);
    number!(schema, SchemaId, u32);
    number!(table, TableId, u32);
    number!(column, ColumnId, u16);
    number!(oid, Oid, u32);

    pub(super) mod tables {
        use serde::{Deserialize, Deserializer, Serialize, Serializer};
        use types::TableId;

        pub(in super::super) fn serialize<S: Serializer>(ids: &[TableId], s: S) -> Result<S::Ok, S::Error> {
            ids.iter().map(|id| id.0).collect::<Vec<_>>().serialize(s)
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<TableId>, D::Error> {
            Ok(Vec::<u32>::deserialize(d)?.into_iter().map(TableId).collect())
        }
    }

    pub(super) mod sql_type {
        use serde::{Deserialize, Deserializer, Serializer, de};
        use types::SqlType;

        pub(in super::super) fn serialize<S: Serializer>(t: &SqlType, s: S) -> Result<S::Ok, S::Error> {
            s.collect_str(t)
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<SqlType, D::Error> {
            let name = String::deserialize(d)?;
            SqlType::from_shown(&name).ok_or_else(|| de::Error::custom(format!("unknown type \"{name}\"")))
        }
    }
}

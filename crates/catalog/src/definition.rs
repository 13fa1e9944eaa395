//! Definitions of the objects in a catalog.
//!
//! A table's *stored* columns are its SQL columns, and before them the hidden row id if it has no primary key:
//!
//! ```text
//! CREATE TABLE t (a int PRIMARY KEY, b text)    stored: a, b            key: a
//! CREATE TABLE l (a int, b text)                stored: __rowid, a, b   key: __rowid
//! ```

use serde::{Deserialize, Serialize};
use types::key::{self, KeyOrder};
use types::{ColumnId, DatabaseId, Key, Oid, RowRef, SchemaId, SqlType, TableId};

use crate::constraint::{Check, ForeignKey};
use crate::index::{Index, IndexColumn, IndexSource};
use crate::sequence::{Identity, IdentityKind};

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
    /// Its values come from a sequence unless a statement gives them; then there is no DEFAULT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// Its values are computed of the row's other columns, by this expression as SQL text; then there is neither DEFAULT nor identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated: Option<String>,
}

impl Column {
    /// GENERATED ALWAYS: a statement cannot simply give it a value.
    pub fn is_generated_always(&self) -> bool {
        self.generated.is_some() || self.identity.is_some_and(|identity| identity.kind == IdentityKind::Always)
    }
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// None: rows are kept under a hidden row id. A deferrable PRIMARY KEY is among `indexes`.
    pub primary_key: Option<PrimaryKey>,
    /// Secondary indexes, UNIQUE constraints among them, in the order of their ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<Index>,
    /// CHECK constraints in the order they are checked in: by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// FOREIGN KEY constraints in the order of their ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign_keys: Vec<ForeignKey>,
    /// Of an index's hidden table: how the first columns of its key are sorted. Such tables are not stored: they follow from
    /// their indexes.
    #[serde(skip)]
    pub key_order: Vec<KeyOrder>,
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
                for (at, &column) in primary.columns.iter().enumerate() {
                    let (c, order) = (&self.columns[column], self.key_order_at(at));
                    key::encode_ordered(row.get(column), c.data_type, !c.not_null, order, &mut out);
                }
            }
            None => key::encode(row.get(0), SqlType::Int8, &mut out),
        }
        out.into()
    }

    /// The key with these values, in key order and coerced. With fewer values than the key has columns: what every key that begins
    /// with them begins with.
    pub fn key_from(&self, values: &[types::Datum]) -> Key {
        let mut out = Vec::with_capacity(16);
        for (at, (&column, value)) in self.key_columns().iter().zip(values).enumerate() {
            let nullable = column.checked_sub(self.hidden()).is_some_and(|column| !self.columns[column].not_null);
            key::encode_ordered(value.as_ref(), self.stored_type(column), nullable, self.key_order_at(at), &mut out);
        }
        out.into()
    }

    fn key_order_at(&self, at: usize) -> KeyOrder {
        self.key_order.get(at).copied().unwrap_or_default()
    }

    /// The index with this id.
    pub fn index(&self, id: TableId) -> Option<&Index> {
        self.indexes.iter().find(|index| index.id == id)
    }

    /// The SQL column with this id.
    pub fn column_by_id(&self, id: ColumnId) -> Option<&Column> {
        self.columns.iter().find(|c| c.id == id)
    }

    /// The position (from 0) of the SQL column with this id.
    pub fn position_of(&self, id: ColumnId) -> Option<usize> {
        self.columns.iter().position(|c| c.id == id)
    }

    /// The PRIMARY KEY, if it is deferrable.
    pub fn primary_index(&self) -> Option<&Index> {
        self.indexes.iter().find(|index| index.is_primary())
    }

    /// The name of the PRIMARY KEY, of either kind.
    pub fn primary_key_name(&self) -> Option<&str> {
        let key = self.primary_key.as_ref().map(|key| key.name.as_str());
        key.or_else(|| self.primary_index().map(|index| index.name.as_str()))
    }

    /// Whether a column (from 0) is of the PRIMARY KEY, of either kind.
    pub fn is_in_primary_key(&self, at: usize) -> bool {
        let id = self.columns.get(at).map(|column| column.id);
        let is_it = |column: &IndexColumn| matches!(&column.source, IndexSource::Column(of) if Some(*of) == id);
        self.primary_key.as_ref().is_some_and(|key| key.columns.contains(&at))
            || self.primary_index().is_some_and(|index| index.columns.iter().any(is_it))
    }

    /// Whether a constraint of the table has this name.
    pub fn has_constraint(&self, name: &str) -> bool {
        self.primary_key.iter().any(|key| key.name == name)
            || self.indexes.iter().any(|index| index.constraint.is_some() && index.name == name)
            || self.checks.iter().any(|check| check.name == name)
            || self.foreign_keys.iter().any(|key| key.name == name)
    }

    /// The position (from 0) of the SQL column with this name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }
}

/// How ids and types are written: ids as numbers, types by their SQL names.
pub(crate) mod ids {
    macro_rules! number {
        ($module:ident, $id:ident, $inner:ty) => {
            pub(crate) mod $module {
                use serde::{Deserialize, Deserializer, Serialize, Serializer};
                use types::$id;

                pub(crate) fn serialize<S: Serializer>(id: &$id, s: S) -> Result<S::Ok, S::Error> {
                    id.0.serialize(s)
                }

                pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<$id, D::Error> {
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

    pub(crate) mod tables {
        use serde::{Deserialize, Deserializer, Serialize, Serializer};
        use types::TableId;

        pub(crate) fn serialize<S: Serializer>(ids: &[TableId], s: S) -> Result<S::Ok, S::Error> {
            ids.iter().map(|id| id.0).collect::<Vec<_>>().serialize(s)
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<TableId>, D::Error> {
            Ok(Vec::<u32>::deserialize(d)?.into_iter().map(TableId).collect())
        }
    }

    pub(crate) mod columns {
        use serde::{Deserialize, Deserializer, Serialize, Serializer};
        use types::ColumnId;

        pub(crate) fn serialize<S: Serializer>(ids: &[ColumnId], s: S) -> Result<S::Ok, S::Error> {
            ids.iter().map(|id| id.0).collect::<Vec<_>>().serialize(s)
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<ColumnId>, D::Error> {
            Ok(Vec::<u16>::deserialize(d)?.into_iter().map(ColumnId).collect())
        }
    }

    pub(crate) mod sql_type {
        use serde::{Deserialize, Deserializer, Serializer, de};
        use types::SqlType;

        pub(crate) fn serialize<S: Serializer>(t: &SqlType, s: S) -> Result<S::Ok, S::Error> {
            s.collect_str(t)
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<SqlType, D::Error> {
            let name = String::deserialize(d)?;
            SqlType::from_shown(&name).ok_or_else(|| de::Error::custom(format!("unknown type \"{name}\"")))
        }
    }
}

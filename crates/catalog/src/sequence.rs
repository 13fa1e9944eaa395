//! Sequences: what numbers they give. How far each has come is the engine's to know: that is outside of transactions.
//!
//! ```text
//! CREATE SEQUENCE s INCREMENT 2       1, 3, 5, ..        storage 16401, begins with 1
//! ALTER SEQUENCE s RESTART WITH 7     7, 9, 11, ..       storage 16405, begins with 7: a transaction that is undone has the old one
//! ```
//!
//! Source: PostgreSQL 15's `pg_sequence`; `sequence.c` for the limits and for RESTART.

use serde::{Deserialize, Serialize};
use types::{ColumnId, SchemaId, SqlType, TableId};

use crate::definition::ids;

/// A sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// Its id, also its oid.
    #[serde(with = "ids::table")]
    pub id: TableId,
    /// The schema it is in.
    #[serde(with = "ids::schema")]
    pub schema: SchemaId,
    /// Unique among the schema's relations.
    pub name: String,
    /// `smallint`, `integer` or `bigint`.
    #[serde(with = "ids::sql_type")]
    pub data_type: SqlType,
    /// Between one value and the next; not 0.
    pub increment: i64,
    /// The least value.
    pub min: i64,
    /// The greatest value.
    pub max: i64,
    /// What RESTART without a value goes back to.
    pub start: i64,
    /// How many values a session may take at once. Sessions here take one at a time.
    pub cache: i64,
    /// Whether it goes on at the other end instead of failing.
    pub cycle: bool,
    /// The column it goes with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<SequenceOwner>,
    /// Names the counter; never used again after a RESTART.
    #[serde(with = "ids::table")]
    pub storage: TableId,
    /// The first value of a counter that has given none.
    pub first: i64,
}

/// The column a sequence goes with: dropped with it, restarted when its table is emptied with RESTART IDENTITY.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceOwner {
    /// The table.
    #[serde(with = "ids::table")]
    pub table: TableId,
    /// The column.
    #[serde(with = "ids::column")]
    pub column: ColumnId,
}

/// How an IDENTITY column takes values that a statement gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IdentityKind {
    /// Only with OVERRIDING SYSTEM VALUE.
    Always,
    /// In place of its own.
    ByDefault,
}

/// What makes a column an IDENTITY column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// GENERATED ALWAYS or BY DEFAULT.
    pub kind: IdentityKind,
    /// The sequence its values come from.
    #[serde(with = "ids::table")]
    pub sequence: TableId,
}

//! Constraints of a table that are no index: CHECK and FOREIGN KEY.

use serde::{Deserialize, Serialize};
use types::{ColumnId, Oid, TableId};

use crate::definition::ids;

/// When a constraint is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deferral {
    /// With each statement, always.
    #[default]
    NotDeferrable,
    /// With each statement unless SET CONSTRAINTS says otherwise.
    Immediate,
    /// At the end of the transaction unless SET CONSTRAINTS says otherwise.
    Deferred,
}

/// A CHECK constraint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its oid.
    #[serde(with = "ids::oid")]
    pub id: Oid,
    /// Unique among the table's constraints.
    pub name: String,
    /// The condition as SQL text; a row for which it is false is refused.
    pub expression: String,
    /// False: rows from before it may violate it (NOT VALID).
    #[serde(default = "yes")]
    pub validated: bool,
}

/// A FOREIGN KEY constraint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// Its oid.
    #[serde(with = "ids::oid")]
    pub id: Oid,
    /// Unique among the table's constraints.
    pub name: String,
    /// The referencing columns.
    #[serde(with = "ids::columns")]
    pub columns: Vec<ColumnId>,
    /// The table that is referenced.
    #[serde(with = "ids::table")]
    pub target: TableId,
    /// Its columns, one for each of `columns`: those of its primary key or of a unique index, in any order.
    #[serde(with = "ids::columns")]
    pub target_columns: Vec<ColumnId>,
    /// MATCH FULL: all columns are NULL or none is.
    #[serde(default)]
    pub match_full: bool,
    /// ON DELETE.
    #[serde(default)]
    pub on_delete: Action,
    /// The columns that ON DELETE SET NULL or SET DEFAULT sets; none: all.
    #[serde(default, with = "ids::columns", skip_serializing_if = "Vec::is_empty")]
    pub delete_sets: Vec<ColumnId>,
    /// ON UPDATE.
    #[serde(default)]
    pub on_update: Action,
    /// When it is checked.
    #[serde(default)]
    pub deferral: Deferral,
    /// False: rows from before it may violate it (NOT VALID).
    #[serde(default = "yes")]
    pub validated: bool,
}

/// What becomes of the rows that reference a row that goes or gets another key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// NO ACTION: if there are any at the end of the statement (of the transaction if deferred) it is refused.
    #[default]
    Nothing,
    /// If there are any it is refused at once.
    Restrict,
    /// They go too, or get the new key.
    Cascade,
    /// Their columns become NULL.
    SetNull,
    /// Their columns become their defaults.
    SetDefault,
}

fn yes() -> bool {
    true
}

//! One change of a catalog, as a commit record carries it.

use serde::{Deserialize, Serialize};

use crate::definition::{Database, Schema, Table, View};
use crate::sequence::Sequence;

/// A change. Definitions carry their ids, so that replay gives the same ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each says what it does; ids are those of the object")]
pub enum Edit {
    CreateDatabase(Database),
    DropDatabase(u32),
    CreateSchema(Schema),
    DropSchema(u32),
    CreateTable(Table),
    /// Replaces a table's definition, same id and same stored columns: its name, indexes, constraints, defaults. The hidden tables
    /// of indexes come and go with it.
    AlterTable(Table),
    DropTable(u32),
    CreateView(View),
    /// Replaces a view's definition (CREATE OR REPLACE VIEW), same id.
    ReplaceView(View),
    DropView(u32),
    CreateSequence(Sequence),
    /// Replaces a sequence's definition, same id.
    AlterSequence(Sequence),
    DropSequence(u32),
    /// Raises the next oid to at least this, so that ids given out before a crash are not given again.
    ReserveOids(u32),
}

/// An edit that does not fit the catalog.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum CatalogError {
    #[error("database \"{0}\" already exists")]
    DuplicateDatabase(String),
    #[error("schema \"{0}\" already exists")]
    DuplicateSchema(String),
    #[error("relation \"{0}\" already exists")]
    DuplicateRelation(String),
    #[error("{0} {1} does not exist")]
    Missing(&'static str, u32),
    #[error("{0} cannot be dropped because {1} depends on it")]
    InUse(String, String),
    #[error("catalog cannot be read: {0}")]
    Malformed(String),
}

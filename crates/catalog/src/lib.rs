//! Versioned definitions: what databases, schemas, tables and views exist, as one immutable value.
//!
//! ```text
//! Catalog v1 --Edit::CreateTable--> Catalog v2 --Edit::DropSchema--> Catalog v3      a transaction sees one of them
//! ```
//!
//! 1. A [`Catalog`] never changes; [`Catalog::apply`] makes the next one. Definitions are shared between versions.
//! 2. Relations (tables, indexes, views, sequences) of one schema share one namespace; ids are never reused.
//! 3. The same [`Edit`]s are what a commit record carries and what recovery replays.
//!
//! Not here: rows and files (`engine`), how definitions are shown to clients (`sql`'s pg_catalog), sessions.
//! Source: PostgreSQL's `pg_class`, `pg_attribute`, `pg_constraint`, reduced to what has one meaning.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod catalog;
mod constraint;
mod definition;
mod edit;
mod index;
mod sequence;

pub use catalog::{Catalog, Relation};
pub use constraint::{Action, Check, Deferral, ForeignKey};
pub use definition::{Column, Database, PrimaryKey, ROWID, Schema, Table, View};
pub use edit::{CatalogError, Edit};
pub use index::{Index, IndexColumn, IndexSource, UniqueConstraint};
pub use sequence::{Identity, IdentityKind, Sequence, SequenceOwner};

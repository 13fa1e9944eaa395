//! Newtypes for ids and positions: an id of one thing cannot be passed where another is meant.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(/// A catalog object as PostgreSQL clients see it. User objects start at [`Oid::FIRST_USER`] and are never reused.
    Oid(u32));
id!(/// A database; its number is also its [`Oid`].
    DatabaseId(u32));
id!(/// A schema; its number is also its [`Oid`].
    SchemaId(u32));
id!(/// A table, an index's hidden table or a view; its number is also its [`Oid`]. Never reused, so files and log records can name it.
    TableId(u32));
id!(/// A column within its table, counted from 1 in order of creation and never reused (PostgreSQL's `attnum`).
    ColumnId(u16));
id!(/// An immutable column segment. Never reused.
    SegmentId(u64));
id!(/// A transaction in flight. Never reused within one run of the engine; never written to disk.
    TxnId(u64));
id!(/// A commit timestamp: a counter, not a clock. Commit order, log order and timestamp order are the same order.
    CommitTs(u64));
id!(/// A position in the log: the number of stream bytes before it, counted from the first log ever written.
    Lsn(u64));

impl Oid {
    /// The first id given to an object a user creates.
    pub const FIRST_USER: Oid = Oid(16384);
}

impl CommitTs {
    /// Before every commit.
    pub const ZERO: CommitTs = CommitTs(0);
    /// After every commit.
    pub const MAX: CommitTs = CommitTs(u64::MAX >> 1);

    /// The next timestamp.
    #[must_use]
    pub fn next(self) -> CommitTs {
        CommitTs(self.0 + 1)
    }
}

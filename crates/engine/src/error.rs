//! What can go wrong in the engine, in its own terms, and what a client is told.

use std::path::PathBuf;
use std::sync::Arc;

use catalog::CatalogError;
use types::{Datum, Kind, SqlError, SqlState, TableId};

/// What to do about damage.
const REPAIR: &str =
    "Stop the server and look at the directory with colonnade check; colonnade check --repair saves what is left.";

/// An error of the engine.
#[derive(Debug, Clone, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum EngineError {
    #[error("{action} {path}: {error}")]
    Io { action: &'static str, path: PathBuf, kind: std::io::ErrorKind, error: String },
    #[error("data directory {0} is in use by another process")]
    Locked(PathBuf),
    #[error("{0} is no data directory: it has no file FORMAT")]
    NotADataDirectory(PathBuf),
    #[error("data directory {dir} is damaged: {what}")]
    Incomplete { dir: PathBuf, what: &'static str },
    #[error("{path}: {found:?} is not a format")]
    Format { path: PathBuf, found: String },
    #[error("{path}: this is {found}, which this version does not know")]
    OtherFormat { path: PathBuf, found: String },
    #[error(transparent)]
    Wal(#[from] wal::WalError),
    #[error(transparent)]
    Segment(Arc<segments::SegmentError>),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("record at log position {lsn} cannot be read: {what}")]
    Record { lsn: u64, what: String },
    #[error("table \"{table}\" cannot be read: {what}")]
    Damaged { table: String, what: String },
    #[error("the database can only be read, as it is damaged: {0}")]
    ReadOnlyDamaged(String),
    #[error("could not serialize access due to concurrent {0}")]
    Conflict(&'static str),
    #[error("could not serialize access due to {0}")]
    Serialization(txn::SerializationFailure),
    #[error("deadlock detected")]
    Deadlock(String),
    #[error("canceling statement due to lock timeout")]
    LockTimeout,
    #[error("could not obtain lock on row in relation \"{0}\"")]
    RowLocked(String),
    #[error("out of shared memory")]
    TooManyLocks,
    #[error("canceling statement due to user request")]
    Canceled,
    #[error("cannot execute this statement in a read-only transaction")]
    ReadOnly,
    #[error("table {0} does not exist")]
    NoTable(TableId),
    #[error("table {0} has been altered since the statement was planned")]
    TableChanged(TableId),
    #[error("duplicate key in bulk load")]
    DuplicateKey { id: TableId, table: String, constraint: String, key: String, values: Vec<Datum> },
    #[error("null value in column \"{column}\" of relation \"{table}\" violates not-null constraint")]
    NotNull { table: String, column: String },
    #[error("transaction is larger than {limit} bytes of changes")]
    TransactionTooLarge { limit: usize },
    #[error("the transaction does not fit into the store of recent changes: it may have {limit} bytes there")]
    TransactionOutgrowsDelta { limit: u64 },
    #[error("the row is too big for the store of recent changes")]
    RowTooBig,
    #[error("the store of recent changes is full: {bytes} of {limit} bytes")]
    DeltaFull { bytes: u64, limit: u64 },
    #[error("the database does not take writes any more: {0}")]
    Closed(String),
    #[error(transparent)]
    Statement(SqlError),
    #[error("{0}")]
    Bug(String),
}

impl EngineError {
    /// An operating system error while doing `action` on `path`.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, error: &std::io::Error) -> EngineError {
        EngineError::Io { action, path: path.into(), kind: error.kind(), error: error.to_string() }
    }

    /// True if there was no room on the disk.
    pub(crate) fn is_disk_full(&self) -> bool {
        SqlError::from(self.clone()).state == SqlState::DISK_FULL
    }

    /// True if bytes on disk are not what was written.
    pub(crate) fn is_corrupt(&self) -> bool {
        self.kind() == Kind::Corrupt
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> Kind {
        SqlError::from(self.clone()).kind()
    }
}

impl From<txn::WaitError> for EngineError {
    fn from(error: txn::WaitError) -> EngineError {
        match error {
            txn::WaitError::Deadlock { detail } => EngineError::Deadlock(detail),
            txn::WaitError::Timeout => EngineError::LockTimeout,
            txn::WaitError::Cancelled => EngineError::Canceled,
            txn::WaitError::TooMany => EngineError::TooManyLocks,
        }
    }
}

impl From<txn::SerializationFailure> for EngineError {
    fn from(failure: txn::SerializationFailure) -> EngineError {
        EngineError::Serialization(failure)
    }
}

impl From<segments::SegmentError> for EngineError {
    fn from(error: segments::SegmentError) -> EngineError {
        EngineError::Segment(Arc::new(error))
    }
}

impl From<SqlError> for EngineError {
    fn from(error: SqlError) -> EngineError {
        EngineError::Statement(error)
    }
}

impl From<EngineError> for SqlError {
    fn from(error: EngineError) -> SqlError {
        let message = error.to_string();
        let state = match &error {
            EngineError::Statement(error) => return error.clone(),
            EngineError::Io { kind: std::io::ErrorKind::StorageFull, .. } => SqlState::DISK_FULL,
            EngineError::Io { .. } => SqlState::IO_ERROR,
            EngineError::Locked(_) => {
                return SqlError::new(SqlState::OBJECT_IN_USE, message)
                    .hint("Reach the database through the server that has it, by its URL, or stop that.");
            }
            EngineError::NotADataDirectory(_) => {
                return SqlError::new(SqlState::UNDEFINED_FILE, message)
                    .hint("Name a directory that colonnade has made: serve and import make one where there is nothing yet, or an empty one.");
            }
            EngineError::OtherFormat { .. } => {
                return SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message)
                    .hint("Open the directory with the version of colonnade that made it, or a later one.");
            }
            EngineError::Incomplete { .. } | EngineError::Format { .. } => SqlState::DATA_CORRUPTED,
            EngineError::Wal(wal) => match wal.kind() {
                Kind::Corrupt => SqlState::DATA_CORRUPTED,
                Kind::Unavailable => SqlState::DISK_FULL,
                _ => SqlState::IO_ERROR,
            },
            EngineError::Segment(segment) => match segment.kind() {
                Kind::Corrupt => SqlState::DATA_CORRUPTED,
                Kind::Unavailable if segment.is_disk_full() => SqlState::DISK_FULL,
                Kind::Bug => SqlState::INTERNAL_ERROR,
                _ => SqlState::IO_ERROR,
            },
            EngineError::Catalog(catalog) => match catalog {
                CatalogError::DuplicateDatabase(_) => SqlState::DUPLICATE_DATABASE,
                CatalogError::DuplicateSchema(_) => SqlState::DUPLICATE_SCHEMA,
                CatalogError::DuplicateRelation(_) => SqlState::DUPLICATE_TABLE,
                CatalogError::Missing(..) => SqlState::UNDEFINED_OBJECT,
                CatalogError::InUse(..) => SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                CatalogError::Malformed(_) => SqlState::DATA_CORRUPTED,
            },
            EngineError::Record { .. } => SqlState::DATA_CORRUPTED,
            EngineError::Damaged { table, .. } => {
                return SqlError::new(SqlState::DATA_CORRUPTED, message).table(table).hint(REPAIR);
            }
            EngineError::ReadOnlyDamaged(_) => return SqlError::new(SqlState::DATA_CORRUPTED, message).hint(REPAIR),
            EngineError::Conflict(_) => SqlState::SERIALIZATION_FAILURE,
            EngineError::Serialization(_) => {
                return SqlError::new(SqlState::SERIALIZATION_FAILURE, message).hint("The transaction might succeed if retried.");
            }
            EngineError::Deadlock(detail) => {
                return SqlError::new(SqlState::DEADLOCK_DETECTED, message)
                    .detail(detail.clone())
                    .hint("Run the transaction again.");
            }
            EngineError::LockTimeout | EngineError::RowLocked(_) => SqlState::LOCK_NOT_AVAILABLE,
            EngineError::TooManyLocks => {
                return SqlError::new(SqlState::OUT_OF_MEMORY, message)
                    .hint("Give back advisory locks that are not needed any more.");
            }
            EngineError::Canceled => SqlState::QUERY_CANCELED,
            EngineError::ReadOnly => SqlState::READ_ONLY_SQL_TRANSACTION,
            EngineError::NoTable(_) => SqlState::UNDEFINED_TABLE,
            EngineError::TableChanged(_) => {
                let message = "could not serialize access due to a concurrent change of a table's definition";
                return SqlError::new(SqlState::SERIALIZATION_FAILURE, message).hint("Run the transaction again.");
            }
            EngineError::DuplicateKey { table, constraint, key, .. } => {
                return SqlError::new(
                    SqlState::UNIQUE_VIOLATION,
                    format!("duplicate key value violates unique constraint \"{constraint}\""),
                )
                .detail(format!("Key {key} already exists."))
                .table(table)
                .constraint(constraint);
            }
            EngineError::NotNull { table, column } => {
                return SqlError::new(SqlState::NOT_NULL_VIOLATION, message.clone()).table(table).column(column);
            }
            EngineError::TransactionTooLarge { .. } => {
                return SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
                    .hint("Split the transaction, or load rows with COPY or import, which go straight to column segments.");
            }
            EngineError::TransactionOutgrowsDelta { .. } => {
                return SqlError::new(SqlState::OUT_OF_MEMORY, message)
                    .hint("Split the transaction, load rows with COPY or import, which go straight to column segments, or raise delta_mib.");
            }
            EngineError::RowTooBig => SqlState::PROGRAM_LIMIT_EXCEEDED,
            EngineError::DeltaFull { .. } => {
                return SqlError::new(SqlState::OUT_OF_MEMORY, message)
                    .hint("The background merge is behind. Try again in a moment, or raise delta_mib.");
            }
            EngineError::Closed(_) => {
                return SqlError::new(SqlState::IO_ERROR, message)
                    .hint("Look at the server log for the cause; after mending it, restart to recover from the log.");
            }
            EngineError::Bug(_) => SqlState::INTERNAL_ERROR,
        };
        SqlError::new(state, message)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn only_a_full_disk_is_reported_as_one() {
        let state = |kind: std::io::ErrorKind| {
            let source = std::io::Error::from(kind);
            let error = segments::SegmentError::Io { action: "read segment", path: Path::new("1.parquet").into(), source };
            SqlError::from(EngineError::from(error)).state
        };
        assert_eq!(state(std::io::ErrorKind::StorageFull), SqlState::DISK_FULL);
        assert_eq!(state(std::io::ErrorKind::Other), SqlState::IO_ERROR);
    }
}

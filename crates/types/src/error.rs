//! What a user is told when something does not work: PostgreSQL's SQLSTATE, what and where, and what to do next.
//!
//! Lower crates have small enums of their own, named in their terms; each maps to a [`Kind`], and `engine` and `sql` turn them
//! into [`SqlError`]s. Source: PostgreSQL 15, Appendix A.

use std::fmt;

/// A five-character SQLSTATE.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SqlState(pub [u8; 5]);

/// What the caller can do about an error, whatever its cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The same transaction may succeed if run again.
    Retry,
    /// The request is wrong; running it again changes nothing.
    Invalid,
    /// A resource is exhausted or not reachable now.
    Unavailable,
    /// Bytes on disk are not what was written.
    Corrupt,
    /// The database, the connection or the transaction is closed.
    Closed,
    /// A broken invariant of ours.
    Bug,
}

macro_rules! states {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        impl SqlState {
            $($(#[$doc])* #[doc = concat!("SQLSTATE ", stringify!($code))] pub const $name: SqlState = SqlState(*$code);)*
        }
    };
}

states! {
    SUCCESSFUL_COMPLETION = b"00000";
    WARNING = b"01000";
    CONNECTION_FAILURE = b"08006";
    PROTOCOL_VIOLATION = b"08P01";
    FEATURE_NOT_SUPPORTED = b"0A000";
    CARDINALITY_VIOLATION = b"21000";
    STRING_DATA_RIGHT_TRUNCATION = b"22001";
    NUMERIC_VALUE_OUT_OF_RANGE = b"22003";
    NULL_VALUE_NOT_ALLOWED = b"22004";
    INVALID_DATETIME_FORMAT = b"22007";
    DATETIME_FIELD_OVERFLOW = b"22008";
    INVALID_TIME_ZONE_DISPLACEMENT = b"22009";
    DIVISION_BY_ZERO = b"22012";
    INTERVAL_FIELD_OVERFLOW = b"22015";
    CHARACTER_NOT_IN_REPERTOIRE = b"22021";
    INVALID_PARAMETER_VALUE = b"22023";
    INVALID_REGULAR_EXPRESSION = b"2201B";
    SEQUENCE_GENERATOR_LIMIT_EXCEEDED = b"2200H";
    INVALID_TEXT_REPRESENTATION = b"22P02";
    INVALID_BINARY_REPRESENTATION = b"22P03";
    BAD_COPY_FILE_FORMAT = b"22P04";
    NOT_NULL_VIOLATION = b"23502";
    FOREIGN_KEY_VIOLATION = b"23503";
    UNIQUE_VIOLATION = b"23505";
    CHECK_VIOLATION = b"23514";
    INVALID_CURSOR_STATE = b"24000";
    INVALID_TRANSACTION_STATE = b"25000";
    ACTIVE_SQL_TRANSACTION = b"25001";
    READ_ONLY_SQL_TRANSACTION = b"25006";
    NO_ACTIVE_SQL_TRANSACTION = b"25P01";
    IN_FAILED_SQL_TRANSACTION = b"25P02";
    IDLE_IN_TRANSACTION_SESSION_TIMEOUT = b"25P03";
    /// Ends the session.
    TRANSACTION_TIMEOUT = b"25P04";
    INVALID_SQL_STATEMENT_NAME = b"26000";
    INVALID_AUTHORIZATION = b"28000";
    INVALID_PASSWORD = b"28P01";
    DEPENDENT_OBJECTS_STILL_EXIST = b"2BP01";
    INVALID_CURSOR_NAME = b"34000";
    INVALID_CATALOG_NAME = b"3D000";
    INVALID_SAVEPOINT = b"3B001";
    INVALID_SCHEMA_NAME = b"3F000";
    SERIALIZATION_FAILURE = b"40001";
    STATEMENT_COMPLETION_UNKNOWN = b"40003";
    DEADLOCK_DETECTED = b"40P01";
    SYNTAX_ERROR = b"42601";
    INSUFFICIENT_PRIVILEGE = b"42501";
    CANNOT_COERCE = b"42846";
    GROUPING_ERROR = b"42803";
    DATATYPE_MISMATCH = b"42804";
    WRONG_OBJECT_TYPE = b"42809";
    GENERATED_ALWAYS = b"428C9";
    UNDEFINED_COLUMN = b"42703";
    UNDEFINED_FUNCTION = b"42883";
    UNDEFINED_TABLE = b"42P01";
    UNDEFINED_PARAMETER = b"42P02";
    UNDEFINED_OBJECT = b"42704";
    DUPLICATE_COLUMN = b"42701";
    DUPLICATE_CURSOR = b"42P03";
    INVALID_CURSOR_DEFINITION = b"42P11";
    WINDOWING_ERROR = b"42P20";
    DUPLICATE_DATABASE = b"42P04";
    DUPLICATE_PREPARED_STATEMENT = b"42P05";
    DUPLICATE_SCHEMA = b"42P06";
    DUPLICATE_TABLE = b"42P07";
    DUPLICATE_OBJECT = b"42710";
    DUPLICATE_ALIAS = b"42712";
    AMBIGUOUS_COLUMN = b"42702";
    AMBIGUOUS_FUNCTION = b"42725";
    INVALID_COLUMN_REFERENCE = b"42P10";
    INVALID_TABLE_DEFINITION = b"42P16";
    INDETERMINATE_DATATYPE = b"42P18";
    INVALID_NAME = b"42602";
    NAME_TOO_LONG = b"42622";
    WITH_CHECK_OPTION_VIOLATION = b"44000";
    INSUFFICIENT_RESOURCES = b"53000";
    DISK_FULL = b"53100";
    OUT_OF_MEMORY = b"53200";
    TOO_MANY_CONNECTIONS = b"53300";
    CONFIGURATION_LIMIT_EXCEEDED = b"53400";
    PROGRAM_LIMIT_EXCEEDED = b"54000";
    STATEMENT_TOO_COMPLEX = b"54001";
    TOO_MANY_COLUMNS = b"54011";
    OBJECT_NOT_IN_PREREQUISITE_STATE = b"55000";
    OBJECT_IN_USE = b"55006";
    CANT_CHANGE_RUNTIME_PARAM = b"55P02";
    LOCK_NOT_AVAILABLE = b"55P03";
    QUERY_CANCELED = b"57014";
    ADMIN_SHUTDOWN = b"57P01";
    CRASH_SHUTDOWN = b"57P02";
    CANNOT_CONNECT_NOW = b"57P03";
    IO_ERROR = b"58030";
    UNDEFINED_FILE = b"58P01";
    INTERNAL_ERROR = b"XX000";
    DATA_CORRUPTED = b"XX001";
}

impl SqlState {
    /// The five characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XX000")
    }

    /// What a caller can do about an error of this state.
    pub fn kind(self) -> Kind {
        match &self.0 {
            b"40001" | b"40P01" | b"55P03" => Kind::Retry,
            b"57P01" | b"57P02" | b"57P03" | b"08006" => Kind::Closed,
            b"XX000" => Kind::Bug,
            b"XX001" => Kind::Corrupt,
            [b'5', b'3', ..] | b"58030" | b"57014" => Kind::Unavailable,
            _ => Kind::Invalid,
        }
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where an error happened and what it concerns, as PostgreSQL's optional error fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// `D`: more about the cause, e.g. the key that exists.
    pub detail: Option<String>,
    /// `H`: what to do next.
    pub hint: Option<String>,
    /// `P`: character of the statement, counted from 1.
    pub position: Option<u32>,
    /// `W`: where in a nested context, e.g. `COPY t, line 3, column c`.
    pub context: Option<String>,
    /// `s`
    pub schema: Option<String>,
    /// `t`
    pub table: Option<String>,
    /// `c`
    pub column: Option<String>,
    /// `d`
    pub data_type: Option<String>,
    /// `n`
    pub constraint: Option<String>,
}

/// An error as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlError {
    /// What class of error.
    pub state: SqlState,
    /// What went wrong, in one sentence, lower case, without a full stop.
    pub message: String,
    /// Where, and what to do. Boxed: errors are rare and results are not.
    pub fields: Box<Fields>,
}

impl SqlError {
    /// An error with no fields yet.
    pub fn new(state: SqlState, message: impl Into<String>) -> SqlError {
        SqlError { state, message: message.into(), fields: Box::default() }
    }

    /// A broken invariant of ours.
    pub fn bug(message: impl Into<String>) -> SqlError {
        SqlError::new(SqlState::INTERNAL_ERROR, message)
    }

    /// Something that PostgreSQL has and this version does not.
    pub fn unsupported(message: impl Into<String>) -> SqlError {
        SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message)
    }

    /// With `D`.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> SqlError {
        self.fields.detail = Some(detail.into());
        self
    }

    /// With `H`.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> SqlError {
        self.fields.hint = Some(hint.into());
        self
    }

    /// With `W`.
    #[must_use]
    pub fn context(mut self, context: impl Into<String>) -> SqlError {
        self.fields.context = Some(context.into());
        self
    }

    /// With `P`, a character of the statement counted from 1.
    #[must_use]
    pub fn position(mut self, position: u32) -> SqlError {
        self.fields.position = Some(position);
        self
    }

    /// With `t`.
    #[must_use]
    pub fn table(mut self, table: impl Into<String>) -> SqlError {
        self.fields.table = Some(table.into());
        self
    }

    /// With `c`.
    #[must_use]
    pub fn column(mut self, column: impl Into<String>) -> SqlError {
        self.fields.column = Some(column.into());
        self
    }

    /// With `n`.
    #[must_use]
    pub fn constraint(mut self, constraint: impl Into<String>) -> SqlError {
        self.fields.constraint = Some(constraint.into());
        self
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> Kind {
        self.state.kind()
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.message, self.state)?;
        if let Some(context) = &self.fields.context {
            write!(f, ", in {context}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SqlError {}

//! What a statement asks for, with everything in it named: nothing that was written is left out of these types.

use std::sync::Arc;

use catalog::Deferral;
use engine::Isolation;
use sqlparser::ast::{Delete, Expr, Insert, Query, Update};
use types::SqlType;

use crate::names::Name;
use crate::parse::alter::AlterTable;
use crate::parse::constraint::Constraint;
use crate::parse::index::{CreateIndex, ReindexKind};
use crate::parse::sequence::{AlterSequence, ColumnSequence, CreateSequence};
use crate::parse::{Merge, Statement};

/// One statement.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    /// SELECT, VALUES, TABLE, WITH ... SELECT.
    Query(Arc<Query>),
    Insert(Arc<Insert>),
    Update(Arc<Update>),
    Delete(Arc<Delete>),
    Merge(Arc<Merge>),
    /// WITH that writes, or before a statement that does.
    With(Arc<Query>),
    /// SELECT INTO, CREATE TABLE AS.
    CreateTableAs(CreateTableAs),
    CreateTable(CreateTable),
    CreateView(CreateView),
    CreateSchema(CreateSchema),
    CreateSequence(CreateSequence),
    AlterSequence(AlterSequence),
    CreateDatabase(CreateDatabase),
    Drop(Drop),
    Lock {
        tables: Vec<Name>,
        /// Whether others are kept from writing rows.
        keeps_writers: bool,
        nowait: bool,
    },
    Truncate {
        tables: Vec<Name>,
        restart_identity: bool,
        cascade: bool,
    },
    SetConstraints {
        /// None: ALL.
        names: Option<Vec<Name>>,
        deferred: bool,
    },
    AlterTable(AlterTable),
    RenameIndex {
        index: Name,
        if_exists: bool,
        to: String,
    },
    CreateIndex(CreateIndex),
    Reindex {
        kind: ReindexKind,
        name: Name,
    },
    Begin {
        start: bool,
        modes: Modes,
    },
    Commit {
        chain: bool,
    },
    Rollback {
        chain: bool,
    },
    Savepoint(String),
    Release(String),
    RollbackTo(String),
    SetTransaction(Modes),
    SetSessionCharacteristics(Modes),
    Set(Set),
    /// `None` is ALL.
    Reset(Option<String>),
    /// `None` is ALL.
    Show(Option<String>),
    Discard(Discard),
    Prepare {
        name: String,
        types: Vec<Option<SqlType>>,
        statement: Box<Statement>,
    },
    Execute {
        name: String,
        parameters: Vec<Expr>,
    },
    /// `None` is ALL.
    Deallocate(Option<String>),
    Copy(Copy),
    /// VACUUM and ANALYZE; empty is every table.
    Maintain {
        command: &'static str,
        merge: bool,
        tables: Vec<Name>,
    },
    Checkpoint,
    Explain(Explain),
    Declare(Declare),
    Fetch(Fetch),
    /// CLOSE; `None` is ALL.
    Close(Option<String>),
    /// Something that would change nothing here (SET CONSTRAINTS ALL, UNLISTEN *); its command tag.
    Nothing(&'static str),
}

impl Command {
    /// Whether it is a planned statement that changes rows.
    pub(crate) fn writes_rows(&self) -> bool {
        matches!(self, Command::Insert(_) | Command::Update(_) | Command::Delete(_) | Command::Merge(_) | Command::With(_))
    }
}

/// Transaction modes; what was not said is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Modes {
    pub(crate) isolation: Option<Isolation>,
    pub(crate) read_only: Option<bool>,
    pub(crate) deferrable: Option<bool>,
}

#[derive(Clone, Debug)]
pub(crate) struct ColumnDefinition {
    pub(crate) name: String,
    pub(crate) data_type: SqlType,
    pub(crate) not_null: bool,
    pub(crate) default: Option<Expr>,
    pub(crate) sequence: Option<ColumnSequence>,
    /// It is computed of other columns.
    pub(crate) generated: Option<Expr>,
}

/// PRIMARY KEY, of a column or of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyConstraint {
    pub(crate) name: Option<String>,
    pub(crate) columns: Vec<String>,
    pub(crate) deferral: Deferral,
}

#[derive(Clone, Debug)]
pub(crate) struct CreateTable {
    pub(crate) name: Name,
    pub(crate) if_not_exists: bool,
    pub(crate) columns: Vec<ColumnDefinition>,
    pub(crate) primary_key: Option<KeyConstraint>,
    /// The others, in the order of the text.
    pub(crate) constraints: Vec<Constraint>,
}

#[derive(Clone, Debug)]
pub(crate) struct CreateTableAs {
    pub(crate) name: Name,
    pub(crate) if_not_exists: bool,
    pub(crate) columns: Vec<String>,
    pub(crate) query: Arc<Query>,
    pub(crate) with_data: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct CreateView {
    pub(crate) name: Name,
    pub(crate) or_replace: bool,
    pub(crate) columns: Vec<String>,
    pub(crate) query: Arc<Query>,
}

#[derive(Clone, Debug)]
pub(crate) struct CreateSchema {
    pub(crate) name: String,
    pub(crate) if_not_exists: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct CreateDatabase {
    pub(crate) name: String,
    pub(crate) template: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ObjectKind {
    Table,
    View,
    Schema,
    Database,
    Index,
    Sequence,
}

#[derive(Clone, Debug)]
pub(crate) struct Drop {
    pub(crate) kind: ObjectKind,
    pub(crate) names: Vec<Name>,
    pub(crate) if_exists: bool,
    pub(crate) cascade: bool,
    pub(crate) concurrently: bool,
}

/// One value of SET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SetValue {
    Text(String),
    /// A word that was not quoted: of a list setting it is folded, of a plain one taken as it is.
    Word(String),
    Number(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Set {
    pub(crate) local: bool,
    pub(crate) name: String,
    /// `None` is DEFAULT.
    pub(crate) values: Option<Vec<SetValue>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Discard {
    All,
    Plans,
    Sequences,
    Temp,
}

#[derive(Clone, Debug)]
pub(crate) enum CopyWhat {
    Table { name: Name, columns: Vec<String> },
    Query(Arc<Query>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CopyDirection {
    FromStdin,
    ToStdout,
    /// A file or a program of the server: refused, whatever its name.
    Server {
        from: bool,
        program: bool,
    },
}

/// COPY with its options as written; `copy::options` gives them their meaning.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    pub(crate) what: CopyWhat,
    pub(crate) direction: CopyDirection,
    pub(crate) options: Vec<CopyOption>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CopyOption {
    pub(crate) name: String,
    pub(crate) value: CopyValue,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CopyValue {
    Nothing,
    Text(String),
    Columns(Vec<String>),
    Star,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ExplainFormat {
    #[default]
    Text,
    Json,
}

#[derive(Clone, Debug)]
pub(crate) struct Explain {
    pub(crate) analyze: bool,
    pub(crate) verbose: bool,
    pub(crate) timing: bool,
    pub(crate) format: ExplainFormat,
    pub(crate) statement: Box<Statement>,
}

#[derive(Clone, Debug)]
pub(crate) struct Declare {
    pub(crate) name: String,
    pub(crate) binary: bool,
    /// A query.
    pub(crate) statement: Box<Statement>,
}

/// FETCH, or MOVE.
#[derive(Clone, Debug)]
pub(crate) struct Fetch {
    pub(crate) name: String,
    pub(crate) direction: Direction,
    pub(crate) moves: bool,
}

/// Which rows of a cursor. Negative: backward, from the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward(i64),
    All,
    BackwardAll,
    Absolute(i64),
    Relative(i64),
}

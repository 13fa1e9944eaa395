//! CREATE and ALTER SEQUENCE; the sequences of `serial` and IDENTITY columns; what depends on a sequence.
//!
//! A DEFAULT names its sequence by oid, `nextval('16401'::regclass)`, so that the sequence can get another name; clients are shown the
//! name (`pg_catalog::objects`).
//!
//! Source: PostgreSQL 15 `sequence.c`, for what is allowed and how it is said.

use std::ops::ControlFlow;
use std::sync::Arc;

use catalog::{Catalog, Edit, Identity, Relation, Sequence, SequenceOwner, Table};
use sqlparser::ast::{
    CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Value, VisitMut, VisitorMut,
};
use types::{SchemaId, SqlError, SqlState, SqlType, TableId};

use crate::answer::Answer;
use crate::ddl::names::{choose_name, exists, shown};
use crate::names::{Name, Scope, quote_ident};
use crate::notice::Notice;
use crate::parse::{AlterSequence, ColumnDefinition, ColumnSequence, CreateSequence, OwnerName, SequenceAction, SequenceOptions};
use crate::session::Session;

impl Session {
    pub(crate) fn create_sequence(&mut self, create: &CreateSequence) -> Result<Answer, SqlError> {
        let done = Answer::Done("CREATE SEQUENCE".into());
        let catalog = self.begin_ddl();
        let schema = self.scope(&catalog).schema_for_new(&create.name)?.id;
        if catalog.relation(schema, &create.name.name).is_some() {
            self.exists_already(&create.name.name, create.if_not_exists)?;
            return Ok(done);
        }
        let mut sequence = self.new_sequence(schema, &create.name.name, &create.options, None)?;
        if let Some(owner) = &create.options.owner {
            sequence.owner = self.owner_of(&catalog, &sequence, owner.as_ref())?;
        }
        self.edit(Edit::CreateSequence(sequence))?;
        Ok(done)
    }

    /// A sequence with ids of its own. Errors: 22023 for options that do not go together.
    fn new_sequence(
        &mut self,
        schema: SchemaId,
        name: &str,
        options: &SequenceOptions,
        column: Option<SqlType>,
    ) -> Result<Sequence, SqlError> {
        let mut sequence = Sequence {
            id: TableId(self.new_oid()?),
            schema,
            name: name.to_owned(),
            data_type: column.unwrap_or(SqlType::Int8),
            increment: 1,
            min: 0,
            max: 0,
            start: 0,
            cache: 1,
            cycle: false,
            owner: None,
            storage: TableId(self.new_oid()?),
            first: 0,
        };
        settle(&mut sequence, options, true)?;
        sequence.first = sequence.start;
        Ok(sequence)
    }

    pub(crate) fn alter_sequence(&mut self, alter: &AlterSequence) -> Result<Answer, SqlError> {
        let done = Answer::Done("ALTER SEQUENCE".into());
        let catalog = self.begin_ddl();
        let scope = self.scope(&catalog);
        let sequence = match scope.find(&alter.name)? {
            Some(Relation::Sequence(id)) => catalog.sequence_by_id(id).cloned(),
            Some(_) => {
                let message = format!("\"{}\" is not a sequence", alter.name.name);
                return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message));
            }
            None if alter.if_exists => {
                self.notice(Notice::plain(format!("relation \"{}\" does not exist, skipping", alter.name)));
                return Ok(done);
            }
            None => None,
        };
        let Some(sequence) = sequence else { return Err(scope.missing(&alter.name)) };
        let mut altered = sequence.as_ref().clone();
        match &alter.action {
            SequenceAction::Options(options) => {
                if let Some(owner) = &options.owner {
                    if let Some((table, _)) = identity_of(&catalog, sequence.id) {
                        let detail = format!("Sequence \"{}\" is linked to table \"{}\".", sequence.name, table.name);
                        return Err(SqlError::unsupported("cannot change ownership of identity sequence").detail(detail));
                    }
                    altered.owner = self.owner_of(&catalog, &sequence, owner.as_ref())?;
                }
                settle(&mut altered, options, false)?;
                self.restart(&mut altered, options.restart)?;
            }
            SequenceAction::Rename(to) if catalog.relation(sequence.schema, to).is_some() => return Err(exists(to)),
            SequenceAction::Rename(to) => altered.name.clone_from(to),
            SequenceAction::SetSchema(schema) => {
                if let Some(table) = sequence.owner.and_then(|owner| catalog.table_by_id(owner.table)) {
                    let detail = format!("Sequence \"{}\" is linked to table \"{}\".", sequence.name, table.name);
                    return Err(SqlError::unsupported("cannot move an owned sequence into another schema").detail(detail));
                }
                let schema = self.scope(&catalog).schema(schema)?;
                if schema.id != sequence.schema && catalog.relation(schema.id, &sequence.name).is_some() {
                    let message = format!("relation \"{}\" already exists in schema \"{}\"", sequence.name, schema.name);
                    return Err(SqlError::new(SqlState::DUPLICATE_TABLE, message));
                }
                altered.schema = schema.id;
            }
        }
        self.edit(Edit::AlterSequence(altered))?;
        Ok(done)
    }

    /// Lets a sequence begin anew, if that is asked for, and checks that it is within its bounds. Errors: 22023.
    fn restart(&mut self, sequence: &mut Sequence, restart: Option<Option<i64>>) -> Result<(), SqlError> {
        if let Some(to) = restart {
            sequence.storage = TableId(self.new_oid()?);
            sequence.first = to.unwrap_or(sequence.start);
        }
        let at = self.open_transaction()?.sequences().position(sequence).value;
        within(sequence, "RESTART", at)
    }

    /// Lets the sequences of a table's columns begin anew.
    pub(crate) fn restart_sequences_of(&mut self, table: TableId) -> Result<(), SqlError> {
        let catalog = self.open_transaction()?.catalog();
        for sequence in catalog.sequences_owned_by(table) {
            let mut altered = sequence.as_ref().clone();
            self.restart(&mut altered, Some(None))?;
            self.edit(Edit::AlterSequence(altered))?;
        }
        Ok(())
    }

    /// The column OWNED BY names. Errors: 42P01, 42703, 55000 for a table of another schema.
    fn owner_of(
        &self,
        catalog: &Catalog,
        sequence: &Sequence,
        owner: Option<&OwnerName>,
    ) -> Result<Option<SequenceOwner>, SqlError> {
        let Some(OwnerName { table: name, column }) = owner else { return Ok(None) };
        let table = self.scope(catalog).table(name)?;
        if table.schema != sequence.schema {
            let message = "sequence must be in same schema as table it is linked to";
            return Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message));
        }
        let Some(at) = table.column(column) else {
            let message = format!("column \"{column}\" of relation \"{}\" does not exist", table.name);
            return Err(SqlError::new(SqlState::UNDEFINED_COLUMN, message));
        };
        Ok(Some(SequenceOwner { table: table.id, column: table.columns[at].id }))
    }

    /// Gives a column of a table that is being made or altered the sequence it asks for, which comes before it in the catalog.
    pub(crate) fn add_sequence(&mut self, table: &mut Table, at: usize, definition: &ColumnDefinition) -> Result<(), SqlError> {
        let (options, kind) = match &definition.sequence {
            None => return Ok(()),
            Some(ColumnSequence::Serial) => (&SequenceOptions::default(), None),
            Some(ColumnSequence::Identity(kind, options)) => (options.as_ref(), Some(*kind)),
        };
        let column = &mut table.columns[at];
        check_identity_type(column.data_type)?;
        if options.owner.is_some() {
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, "conflicting or redundant options"));
        }
        let catalog = self.open_transaction()?.catalog();
        let (schema, name) = match &options.name {
            Some(name) => {
                let schema = self.scope(&catalog).schema_for_new(name)?.id;
                if catalog.relation(schema, &name.name).is_some() || name.name == table.name {
                    return Err(exists(&name.name));
                }
                (schema, name.name.clone())
            }
            None => {
                let taken = |name: &str| name == table.name || catalog.relation(table.schema, name).is_some();
                (table.schema, choose_name(&table.name, &column.name, "seq", &taken))
            }
        };
        let mut sequence = self.new_sequence(schema, &name, options, Some(column.data_type))?;
        sequence.owner = Some(SequenceOwner { table: table.id, column: column.id });
        match kind {
            Some(kind) => column.identity = Some(Identity { kind, sequence: sequence.id }),
            None => column.default = Some(next_of(sequence.id)),
        }
        self.edit(Edit::CreateSequence(sequence))
    }

    /// Gives the sequence of an identity column the column's new type. Errors: 22023.
    pub(crate) fn retype_identity(&mut self, identity: &Identity, to: SqlType) -> Result<(), SqlError> {
        check_identity_type(to)?;
        let catalog = self.open_transaction()?.catalog();
        let Some(sequence) = catalog.sequence_by_id(identity.sequence) else {
            return Err(SqlError::bug(format!("sequence {} has no definition", identity.sequence)));
        };
        let mut altered = sequence.as_ref().clone();
        settle(&mut altered, &SequenceOptions { data_type: Some(to), ..SequenceOptions::default() }, false)?;
        self.restart(&mut altered, None)?;
        self.edit(Edit::AlterSequence(altered))
    }

    /// Drops the sequence of a column that is dropped. Errors: 2BP01 if other defaults call it, without `cascade`.
    pub(crate) fn drop_sequence_of_column(
        &mut self,
        sequence: &Sequence,
        table: &Table,
        column: usize,
        cascade: bool,
    ) -> Result<(), SqlError> {
        let catalog = self.open_transaction()?.catalog();
        let is_other =
            |(other, at): &(Arc<Table>, usize)| other.id != table.id || other.columns[*at].id != table.columns[column].id;
        for (other, at) in defaults_of(&catalog, sequence.id).into_iter().filter(is_other) {
            let scope = self.scope(&catalog);
            let what = described_default(&scope, &other, at);
            if !cascade {
                let message = format!(
                    "cannot drop column {} of table {} because other objects depend on it",
                    table.columns[column].name, table.name
                );
                return Err(SqlError::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
                    .detail(format!("{what} depends on sequence {}", sequence.name))
                    .hint("Use DROP ... CASCADE to drop the dependent objects too."));
            }
            self.notice(Notice::plain(format!("drop cascades to {what}")));
            let mut altered = other.as_ref().clone();
            altered.columns[at].default = None;
            self.edit(Edit::AlterTable(altered))?;
        }
        self.edit(Edit::DropSequence(sequence.id.0))
    }

    /// Names sequences in a DEFAULT by oid, where they are constants. Errors: 42P01, 42809.
    pub(crate) fn settle_sequences(&self, catalog: &Catalog, default: &mut Expr) -> Result<(), SqlError> {
        struct Settler<'a>(Scope<'a>);
        impl VisitorMut for Settler<'_> {
            type Break = SqlError;

            fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
                let Some(constant) = sequence_argument(expr) else { return ControlFlow::Continue(()) };
                match named(self.0, constant) {
                    Err(error) => return ControlFlow::Break(error),
                    Ok(sequence) => *constant = by_oid(sequence.id),
                }
                ControlFlow::Continue(())
            }
        }
        match VisitMut::visit(default, &mut Settler(self.scope(catalog))) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }
}

fn check_identity_type(data_type: SqlType) -> Result<(), SqlError> {
    if bounds(data_type).is_none() {
        let message = "identity column type must be smallint, integer, or bigint";
        return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
    }
    Ok(())
}

/// The DEFAULT of a `serial` column, in the form that the catalog has it.
fn next_of(sequence: TableId) -> String {
    format!("nextval('{sequence}'::REGCLASS)")
}

fn by_oid(sequence: TableId) -> Expr {
    let oid = Expr::Value(Value::SingleQuotedString(sequence.to_string()).into());
    Expr::Cast { kind: CastKind::DoubleColon, expr: Box::new(oid), data_type: DataType::Regclass, array: false, format: None }
}

/// The first argument of `nextval`, `currval` or `setval`, where it is a constant, with or without `::regclass`.
fn sequence_argument(expr: &mut Expr) -> Option<&mut Expr> {
    let Expr::Function(Function { name, args: FunctionArguments::List(list), .. }) = expr else { return None };
    let function = name.0.last()?.as_ident()?.value.as_str();
    if !matches!(function, "nextval" | "currval" | "setval") {
        return None;
    }
    let FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) = list.args.first_mut()? else { return None };
    let constant = match &*argument {
        Expr::Cast { expr, data_type: DataType::Regclass, .. } => expr,
        other => other,
    };
    matches!(constant, Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_))).then_some(argument)
}

/// The sequence a constant names.
fn named<'a>(scope: Scope<'a>, constant: &Expr) -> Result<&'a Arc<Sequence>, SqlError> {
    let text = match constant {
        Expr::Cast { expr, .. } => expr.as_ref(),
        other => other,
    };
    let Expr::Value(value) = text else { return Err(SqlError::bug("a sequence that is no constant")) };
    let text = value.value.clone().into_string().unwrap_or_default();
    find(scope, &text)
}

/// The sequence that a text names as `regclass` reads it: a name, or an oid. Errors: 42602, 42P01, 42809.
pub(crate) fn find<'a>(scope: Scope<'a>, text: &str) -> Result<&'a Arc<Sequence>, SqlError> {
    let trimmed = text.trim();
    if let Ok(oid) = trimmed.parse::<u32>() {
        return of_oid(scope.catalog, oid);
    }
    let parts =
        crate::pg_catalog::identifiers(trimmed).ok_or_else(|| SqlError::new(SqlState::INVALID_NAME, "invalid name syntax"))?;
    let name = Name::from_parts(parts, None)?;
    match scope.find(&name)? {
        Some(Relation::Sequence(id)) => {
            scope.catalog.sequence_by_id(id).ok_or_else(|| SqlError::bug(format!("sequence {id} has no definition")))
        }
        Some(_) => {
            let message = format!("\"{}\" is not a sequence", name.name);
            Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message))
        }
        None => Err(scope.missing(&name)),
    }
}

/// The sequence with an oid. Errors: 42P01.
pub(crate) fn of_oid(catalog: &Catalog, oid: u32) -> Result<&Arc<Sequence>, SqlError> {
    let missing = || SqlError::new(SqlState::UNDEFINED_TABLE, format!("could not open relation with OID {oid}"));
    catalog.sequence_by_id(TableId(oid)).ok_or_else(missing)
}

/// The sequence that a DEFAULT is the next value of, and nothing more.
pub(crate) fn next_of_default(expr: &Expr) -> Option<TableId> {
    let mut expr = expr.clone();
    if !matches!(&expr, Expr::Function(function) if function.name.to_string() == "nextval") {
        return None;
    }
    match sequence_argument(&mut expr)? {
        Expr::Cast { expr, .. } => match expr.as_ref() {
            Expr::Value(value) => Some(TableId(value.value.clone().into_string()?.parse().ok()?)),
            _ => None,
        },
        _ => None,
    }
}

/// The names of sequences where a DEFAULT has their oids.
pub(crate) fn with_names(default: &str, name: impl Fn(TableId) -> Option<String>) -> String {
    const END: &str = "'::REGCLASS";
    let mut out = String::with_capacity(default.len());
    let mut rest = default;
    while let Some(end) = rest.find(END) {
        let start = rest[..end].rfind('\'').map_or(end, |at| at + 1);
        let named = rest[start..end].parse().ok().and_then(|oid| name(TableId(oid)));
        out.push_str(&rest[..start]);
        out.push_str(&named.map_or_else(|| rest[start..end].to_owned(), |name| name.replace('\'', "''")));
        out.push_str("'::regclass");
        rest = &rest[end + END.len()..];
    }
    out + rest
}

/// Whether a DEFAULT calls a sequence.
fn calls(default: &str, sequence: TableId) -> bool {
    default.contains(&format!("'{sequence}'::REGCLASS"))
}

/// The columns whose DEFAULT calls a sequence.
pub(crate) fn defaults_of(catalog: &Catalog, sequence: TableId) -> Vec<(Arc<Table>, usize)> {
    let of_table = |table: &Arc<Table>| {
        let columns = table.columns.iter().enumerate();
        let calling = columns.filter(|(_, column)| column.default.as_ref().is_some_and(|default| calls(default, sequence)));
        calling.map(|(at, _)| (Arc::clone(table), at)).collect::<Vec<_>>()
    };
    catalog.tables().flat_map(of_table).collect()
}

/// The IDENTITY column a sequence is of.
pub(crate) fn identity_of(catalog: &Catalog, sequence: TableId) -> Option<(Arc<Table>, usize)> {
    let owner = catalog.sequence_by_id(sequence)?.owner?;
    let table = catalog.table_by_id(owner.table)?;
    let at = table.position_of(owner.column)?;
    let is_its = table.columns[at].identity.is_some_and(|identity| identity.sequence == sequence);
    is_its.then(|| (Arc::clone(table), at))
}

/// `default value for column a of table t`, for messages about what depends on what.
pub(crate) fn described_default(scope: &Scope<'_>, table: &Table, column: usize) -> String {
    let of = shown(scope, table.schema, &table.name, Relation::Table(table.id));
    format!("default value for column {} of table {of}", quote_ident(&table.columns[column].name))
}

/// Settles a sequence's definition by what was said of it. Source: PostgreSQL's `init_params`.
fn settle(sequence: &mut Sequence, options: &SequenceOptions, is_new: bool) -> Result<(), SqlError> {
    let invalid = |message: String| SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message);
    // The limits of the type before, which become those of the new one whichever way it goes.
    let (mut reset_min, mut reset_max) = (false, false);
    if let Some(data_type) = options.data_type {
        if bounds(data_type).is_none() {
            return Err(invalid("sequence type must be smallint, integer, or bigint".into()));
        }
        if !is_new && let Some(before) = bounds(sequence.data_type) {
            (reset_min, reset_max) = (sequence.min == before.0, sequence.max == before.1);
        }
        sequence.data_type = data_type;
    }
    let (least, most) = bounds(sequence.data_type).unwrap_or((i64::MIN, i64::MAX));
    match options.increment {
        Some(0) => return Err(invalid("INCREMENT must not be zero".into())),
        Some(increment) => sequence.increment = increment,
        None => {}
    }
    if let Some(cycle) = options.cycle {
        sequence.cycle = cycle;
    }
    let ascending = sequence.increment > 0;
    match options.max {
        Some(Some(max)) => sequence.max = max,
        None if !is_new && !reset_max => {}
        Some(None) | None => sequence.max = if ascending || reset_max { most } else { -1 },
    }
    match options.min {
        Some(Some(min)) => sequence.min = min,
        None if !is_new && !reset_min => {}
        Some(None) | None => sequence.min = if ascending && !reset_min { 1 } else { least },
    }
    for (name, value) in [("MAXVALUE", sequence.max), ("MINVALUE", sequence.min)] {
        if !(least..=most).contains(&value) {
            return Err(invalid(format!("{name} ({value}) is out of range for sequence data type {}", sequence.data_type)));
        }
    }
    if sequence.min >= sequence.max {
        return Err(invalid(format!("MINVALUE ({}) must be less than MAXVALUE ({})", sequence.min, sequence.max)));
    }
    match options.start {
        Some(start) => sequence.start = start,
        None if is_new => sequence.start = if ascending { sequence.min } else { sequence.max },
        None => {}
    }
    within(sequence, "START", sequence.start)?;
    match options.cache {
        Some(cache) if cache <= 0 => return Err(invalid(format!("CACHE ({cache}) must be greater than zero"))),
        Some(cache) => sequence.cache = cache,
        None => {}
    }
    Ok(())
}

/// Errors unless a value is within a sequence's bounds: 22023.
fn within(sequence: &Sequence, what: &str, value: i64) -> Result<(), SqlError> {
    let message = if value < sequence.min {
        format!("{what} value ({value}) cannot be less than MINVALUE ({})", sequence.min)
    } else if value > sequence.max {
        format!("{what} value ({value}) cannot be greater than MAXVALUE ({})", sequence.max)
    } else {
        return Ok(());
    };
    Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message))
}

/// The least and the greatest value of a type that a sequence can be of.
fn bounds(data_type: SqlType) -> Option<(i64, i64)> {
    match data_type {
        SqlType::Int2 => Some((i16::MIN.into(), i16::MAX.into())),
        SqlType::Int4 => Some((i32::MIN.into(), i32::MAX.into())),
        SqlType::Int8 => Some((i64::MIN, i64::MAX)),
        _ => None,
    }
}

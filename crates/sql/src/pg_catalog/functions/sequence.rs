//! `nextval` and its kin.
//!
//! Not here: how values are given out (`engine`), what sequences there are (`ddl::sequence`). Source: PostgreSQL 15 `sequence.c`.

use std::sync::Arc;

use catalog::Sequence;
use engine::{Position, Sequences};
use types::{SqlError, SqlState};

use super::{Function, integer, string};
use crate::ddl::sequence;
use crate::names::{Name, Scope, quote_ident};
use crate::pg_catalog::kind::{self, Kind};
use crate::pg_catalog::objects::{self, Object};
use crate::pg_catalog::run::Run;
use crate::pg_catalog::value::Value;

pub(super) fn find(name: &str, kinds: &[Kind]) -> Option<Function> {
    let f = Function::strict;
    Some(match (name, kinds.len()) {
        ("nextval", 1) => f(kind::INT8, nextval).volatile(),
        ("currval", 1) => f(kind::INT8, currval).volatile(),
        ("lastval", 0) => f(kind::INT8, lastval).volatile(),
        ("setval", 2 | 3) => f(kind::INT8, setval).volatile(),
        ("pg_sequence_last_value", 1) => f(kind::INT8, |run, args, _| {
            let sequence = named(run, args)?;
            let at = access(run)?.position(sequence);
            Ok(if at.called { Value::Int(at.value) } else { Value::Null })
        })
        .volatile(),
        ("pg_get_serial_sequence", 2) => f(kind::TEXT, serial_sequence),
        _ => return None,
    })
}

fn access<'a>(run: &'a Run<'_>) -> Result<&'a Sequences, SqlError> {
    let sequences = run.store.moment.sequences.as_ref();
    sequences.ok_or_else(|| SqlError::bug("a sequence is asked outside of a transaction"))
}

fn scope<'a>(run: &'a Run<'_>) -> Scope<'a> {
    let moment = &run.store.moment;
    Scope { catalog: &moment.catalog, database: moment.database, search_path: &moment.search_path }
}

/// The sequence of the first argument: an oid, or its name.
fn named<'a>(run: &'a Run<'_>, args: &[Value]) -> Result<&'a Arc<Sequence>, SqlError> {
    match args.first() {
        Some(Value::Int(oid)) => {
            let oid = u32::try_from(*oid).unwrap_or_default();
            match objects::object(&run.store.moment.catalog, oid) {
                None | Some(Object::Sequence(_)) => sequence::of_oid(&run.store.moment.catalog, oid),
                Some(other) => {
                    let message = format!("\"{}\" is not a sequence", other.name());
                    Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message))
                }
            }
        }
        _ => sequence::find(scope(run), string(args, 0)),
    }
}

fn nextval(run: &Run<'_>, args: &[Value], _: &[Kind]) -> Result<Value, SqlError> {
    Ok(Value::Int(access(run)?.next(named(run, args)?)?))
}

fn currval(run: &Run<'_>, args: &[Value], _: &[Kind]) -> Result<Value, SqlError> {
    let sequence = named(run, args)?;
    match access(run)?.given().of(sequence.id) {
        Some(value) => Ok(Value::Int(value)),
        None => {
            let message = format!("currval of sequence \"{}\" is not yet defined in this session", sequence.name);
            Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message))
        }
    }
}

fn lastval(run: &Run<'_>, _: &[Value], _: &[Kind]) -> Result<Value, SqlError> {
    let last = access(run)?.given().last();
    match last.filter(|(id, _)| run.store.moment.catalog.sequence_by_id(*id).is_some()) {
        Some((_, value)) => Ok(Value::Int(value)),
        None => {
            let message = "lastval is not yet defined in this session";
            Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message))
        }
    }
}

fn setval(run: &Run<'_>, args: &[Value], _: &[Kind]) -> Result<Value, SqlError> {
    let value = integer(args, 1);
    let called = args.get(2).is_none_or(Value::is_true);
    access(run)?.set(named(run, args)?, Position { value, called })?;
    Ok(Value::Int(value))
}

/// The sequence that goes with a column, by the table's name and the column's.
fn serial_sequence(run: &Run<'_>, args: &[Value], _: &[Kind]) -> Result<Value, SqlError> {
    let scope = scope(run);
    let parts = crate::pg_catalog::identifiers(string(args, 0))
        .ok_or_else(|| SqlError::new(SqlState::INVALID_NAME, "invalid name syntax"))?;
    let table = scope.table(&Name::from_parts(parts, None)?)?;
    let column = string(args, 1);
    let Some(at) = table.column(column) else {
        let message = format!("column \"{column}\" of relation \"{}\" does not exist", table.name);
        return Err(SqlError::new(SqlState::UNDEFINED_COLUMN, message));
    };
    let id = table.columns[at].id;
    let owned = scope.catalog.sequences_owned_by(table.id).find(|sequence| sequence.owner.is_some_and(|o| o.column == id));
    Ok(owned.map_or(Value::Null, |sequence| {
        let schema = scope.catalog.schema_by_id(sequence.schema).map_or("public", |schema| &schema.name);
        Value::text(format!("{}.{}", quote_ident(schema), quote_ident(&sequence.name)))
    }))
}

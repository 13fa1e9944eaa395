//! `pg_advisory_lock` and its kin.
//!
//! Not here: the locks (`txn`), how long they last (`engine`). Source: PostgreSQL 15 `lockfuncs.c`.

use engine::{Advisory, AdvisoryKey, LockMode, Until};
use types::{SqlError, SqlState};

use super::{Function, integer};
use crate::notice::Notice;
use crate::pg_catalog::kind::{self, Kind};
use crate::pg_catalog::run::Run;
use crate::pg_catalog::value::Value;

pub(super) fn find(name: &str, kinds: &[Kind]) -> Option<Function> {
    let fits = match kinds {
        [] => name == "pg_advisory_unlock_all",
        [kind] => matches!(*kind, kind::INT8 | kind::INT4 | kind::INT2 | kind::UNKNOWN),
        [_, _] => kinds.iter().all(|kind| matches!(*kind, kind::INT4 | kind::INT2 | kind::UNKNOWN)),
        _ => false,
    };
    if !fits {
        return None;
    }
    let f = Function::strict;
    let function = match (name, kinds.len()) {
        ("pg_advisory_lock", 1 | 2) => f(kind::VOID, lock::<false, false>),
        ("pg_advisory_lock_shared", 1 | 2) => f(kind::VOID, lock::<true, false>),
        ("pg_advisory_xact_lock", 1 | 2) => f(kind::VOID, lock::<false, true>),
        ("pg_advisory_xact_lock_shared", 1 | 2) => f(kind::VOID, lock::<true, true>),
        ("pg_try_advisory_lock", 1 | 2) => f(kind::BOOL, try_lock::<false, false>),
        ("pg_try_advisory_lock_shared", 1 | 2) => f(kind::BOOL, try_lock::<true, false>),
        ("pg_try_advisory_xact_lock", 1 | 2) => f(kind::BOOL, try_lock::<false, true>),
        ("pg_try_advisory_xact_lock_shared", 1 | 2) => f(kind::BOOL, try_lock::<true, true>),
        ("pg_advisory_unlock", 1 | 2) => f(kind::BOOL, unlock::<false>),
        ("pg_advisory_unlock_shared", 1 | 2) => f(kind::BOOL, unlock::<true>),
        ("pg_advisory_unlock_all", 0) => f(kind::VOID, |run, _, _| {
            access(run)?.unlock_all();
            Ok(Value::text(""))
        }),
        _ => return None,
    };
    Some(function.volatile())
}

fn access<'a>(run: &'a Run<'_>) -> Result<&'a Advisory, SqlError> {
    let advisory = run.store.moment.advisory.as_ref();
    advisory.ok_or_else(|| SqlError::bug("an advisory lock is asked for outside of a transaction"))
}

/// What the arguments name: one number of 64 bits, or two of 32.
fn key(run: &Run<'_>, args: &[Value]) -> AdvisoryKey {
    let database = run.store.moment.database.0;
    let (first, second) = (integer(args, 0), integer(args, 1));
    match args.len() {
        1 => AdvisoryKey { database, class: (first >> 32) as u32, object: first as u32, numbers: 1 },
        _ => AdvisoryKey { database, class: first as u32, object: second as u32, numbers: 2 },
    }
}

const fn mode(shared: bool) -> LockMode {
    if shared { LockMode::Shared } else { LockMode::Exclusive }
}

const fn until(transaction: bool) -> Until {
    if transaction { Until::TransactionEnd } else { Until::Unlocked }
}

fn lock<const SHARED: bool, const TRANSACTION: bool>(run: &Run<'_>, args: &[Value], _: &[Kind]) -> Result<Value, SqlError> {
    access(run)?.lock(key(run, args), mode(SHARED), until(TRANSACTION))?;
    Ok(Value::text(""))
}

fn try_lock<const SHARED: bool, const TRANSACTION: bool>(run: &Run<'_>, args: &[Value], _: &[Kind]) -> Result<Value, SqlError> {
    Ok(Value::Bool(access(run)?.try_lock(key(run, args), mode(SHARED), until(TRANSACTION))?))
}

fn unlock<const SHARED: bool>(run: &Run<'_>, args: &[Value], _: &[Kind]) -> Result<Value, SqlError> {
    let has_had = access(run)?.unlock(key(run, args), mode(SHARED));
    if !has_had {
        let message = format!("you don't own a lock of type {}", mode(SHARED).of_number());
        run.store.moment.notices.add(Notice::warning(SqlState::WARNING, message));
    }
    Ok(Value::Bool(has_had))
}

//! FOR UPDATE and its kin: what a query's locking clauses say, and a program's rows locked by them.
//!
//! ```text
//! row at the snapshot --> condition --> lock --> the row as it is now --> condition again --> outputs
//! ```
//!
//! Source: PostgreSQL 15 `nodeLockRows.c`, `applyLockingClause`.

use engine::{Locked, OnLocked, RowLock, Transaction};
use sqlparser::ast::{self, Ident, Query};
use types::{Datum, SqlError};

use crate::{Access, Program};

/// What stands first in OF for FOR NO KEY UPDATE, which the parser of queries does not know.
pub const NO_KEY_UPDATE: &str = "\u{1}no key update";
/// The same for FOR KEY SHARE.
pub const KEY_SHARE: &str = "\u{1}key share";

/// One locking clause of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockClause {
    /// How, and what to do about a row that is locked.
    pub lock: Lock,
    /// The relations named in OF; none for all of them.
    pub of: Vec<Ident>,
}

/// How rows are locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// How strongly.
    pub strength: RowLock,
    /// What to do about a row that another transaction has locked.
    pub on_locked: OnLocked,
}

impl LockClause {
    /// The clauses of a query, in its order.
    pub fn of(query: &Query) -> Vec<LockClause> {
        let clause = |clause: &ast::LockClause| {
            let parts = clause.of.iter().flat_map(|of| &of.0).filter_map(|part| part.as_ident().cloned());
            let mut of: Vec<Ident> = parts.collect();
            let special = match of.first().map(|first| first.value.as_str()) {
                Some(NO_KEY_UPDATE) => Some(RowLock::NoKeyUpdate),
                Some(KEY_SHARE) => Some(RowLock::KeyShare),
                _ => None,
            };
            if special.is_some() {
                of.remove(0);
            }
            let strength = special.unwrap_or(match clause.lock_type {
                ast::LockType::Update => RowLock::Update,
                ast::LockType::Share => RowLock::Share,
            });
            let on_locked = match clause.nonblock {
                None => OnLocked::Wait,
                Some(ast::NonBlock::Nowait) => OnLocked::Fail,
                Some(ast::NonBlock::SkipLocked) => OnLocked::Skip,
            };
            LockClause { lock: Lock { strength, on_locked }, of }
        };
        query.locks.iter().map(clause).collect()
    }

    /// How a relation of this name is to be locked: as strongly as any clause says. `None`: by none.
    pub fn lock_of(clauses: &[LockClause], name: &str) -> Option<Lock> {
        let concern = clauses.iter().filter(|clause| clause.of.is_empty() || clause.of.iter().any(|of| of.value == name));
        concern.map(|clause| clause.lock).reduce(|one, other| Lock {
            strength: one.strength.max(other.strength),
            on_locked: match (one.on_locked, other.on_locked) {
                (OnLocked::Fail, _) | (_, OnLocked::Fail) => OnLocked::Fail,
                (OnLocked::Skip, _) | (_, OnLocked::Skip) => OnLocked::Skip,
                (OnLocked::Wait, OnLocked::Wait) => OnLocked::Wait,
            },
        })
    }
}

impl Lock {
    /// The clause as it is written.
    pub fn words(self) -> &'static str {
        match self.strength {
            RowLock::KeyShare => "FOR KEY SHARE",
            RowLock::Share => "FOR SHARE",
            RowLock::NoKeyUpdate => "FOR NO KEY UPDATE",
            RowLock::Update => "FOR UPDATE",
        }
    }
}

impl Program {
    /// How it locks the rows it gives.
    pub fn lock(&self) -> Option<Lock> {
        self.lock
    }

    /// Locks a row for which the condition held at the snapshot. Gives its outputs as it is now; `None`: it is gone, skipped, or the
    /// condition holds no more.
    pub(crate) fn lock_row(
        &self,
        lock: Lock,
        access: &Access,
        transaction: &mut Transaction,
        key: &[u8],
        params: &[Datum],
    ) -> Result<Option<Vec<Datum>>, SqlError> {
        let Locked::Row(row) = transaction.lock_row(access.table.id, key, lock.strength, lock.on_locked)? else {
            return Ok(None);
        };
        let row = access.layout.read(&row);
        if let Some(condition) = &access.condition
            && !condition.holds(Some(row), params)?
        {
            return Ok(None);
        }
        self.outputs.iter().map(|e| e.evaluate(Some(row), params)).collect::<Result<_, _>>().map(Some)
    }
}

//! Foreign keys at work: what statements and transactions owe is settled when they end.
//!
//! ```text
//! statement --> what it owes --> a reference: is its target there?        23503 if not
//!                    ^      \--> a target that goes: NO ACTION, RESTRICT  23503 if rows refer to it
//!                    |                               CASCADE, SET ..      those rows are changed
//!                    +------------------------------------/  and owe in turn, which is settled before the next thing
//! ```
//!
//! 1. Never a row without its target, whatever runs at the same time. Who refers to a key holds a lock of it, shared, to the end; who
//!    takes a key away asks for it exclusively and then looks at everything committed by then. So one of the two sees the other.
//! 2. Targets are looked for by key; rows that refer to one by an index that begins with the columns, else in the whole table.
//! 3. A deferred constraint is looked at when the transaction ends, as things are then; RESTRICT and the actions cannot be deferred.
//!
//! Not here: definitions (`ddl::foreign_key`), the locks (`engine::owed`). Source: PostgreSQL 15 `ri_triggers.c`.

mod act;
mod find;
mod link;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use catalog::{Action, Catalog, ForeignKey, Table};
use engine::{EngineError, Owed};
use env::{BLOCKING_STEPS_MIN, blocking, blocking_if};
use types::{Oid, SqlError, SqlState};

use crate::session::Session;
use link::Link;
pub(crate) use link::{target_of, unique_target};

/// When what is owed is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looking {
    AtStatement,
    /// SET CONSTRAINTS: again at what was deferred.
    Again,
    /// At the end of the transaction: nothing waits any more.
    AtEnd,
}

/// What SET CONSTRAINTS has said in this transaction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deferrals {
    /// ALL, and whether deferred.
    all: Option<bool>,
    named: BTreeMap<Oid, bool>,
}

impl Deferrals {
    pub(crate) fn set_all(&mut self, deferred: bool) {
        *self = Deferrals { all: Some(deferred), named: BTreeMap::new() };
    }

    pub(crate) fn set(&mut self, constraint: Oid, deferred: bool) {
        self.named.insert(constraint, deferred);
    }

    fn is_deferred(&self, link: &Link) -> bool {
        match link.key.deferral {
            catalog::Deferral::NotDeferrable => false,
            of_itself => {
                let said = self.named.get(&link.key.id).copied().or(self.all);
                said.unwrap_or(of_itself == catalog::Deferral::Deferred)
            }
        }
    }
}

/// The foreign keys of one catalog that have been asked for.
#[derive(Default)]
struct Links {
    catalog: Option<Arc<Catalog>>,
    known: BTreeMap<Oid, Option<Arc<Link>>>,
}

impl Links {
    /// `None`: the catalog does not have it.
    fn get(&mut self, catalog: &Arc<Catalog>, constraint: Oid) -> Option<Arc<Link>> {
        if !self.catalog.as_ref().is_some_and(|known| Arc::ptr_eq(known, catalog)) {
            *self = Links { catalog: Some(Arc::clone(catalog)), known: BTreeMap::new() };
        }
        self.known.entry(constraint).or_insert_with(|| Link::of(catalog, constraint).map(Arc::new)).clone()
    }
}

impl Session {
    /// Settles what the statement owes. Errors: 23503 and whatever the changes meet that it makes.
    pub(crate) fn settle_statement(&mut self) -> Result<(), SqlError> {
        match self.transaction.inner().filter(|transaction| transaction.owes()).map(|transaction| transaction.take_owed()) {
            Some(owed) => self.settle(owed, Looking::AtStatement),
            None => Ok(()),
        }
    }

    /// Settles what was deferred, of the constraints that are not deferred any more, or of all.
    pub(crate) fn settle_deferred(&mut self, looking: Looking) -> Result<(), SqlError> {
        let Some(transaction) = self.transaction.inner() else { return Ok(()) };
        let deferred = transaction.deferred().to_vec();
        if deferred.is_empty() {
            return Ok(());
        }
        self.begin_statement();
        self.settle(deferred, looking)
    }

    /// Errors with 55006 if something about a table is left for the end of the transaction: its definition stays until then.
    pub(crate) fn check_nothing_deferred(&mut self, table: &Table, command: &str) -> Result<(), SqlError> {
        let Some(transaction) = self.transaction.inner() else { return Ok(()) };
        let deferred: BTreeSet<(Oid, bool)> = (transaction.deferred().iter())
            .map(|owed| match owed {
                Owed::Reference { constraint, .. } => (*constraint, true),
                Owed::Referenced { constraint, .. } => (*constraint, false),
            })
            .collect();
        let catalog = transaction.catalog();
        let is_pending = |(constraint, of_child): &(Oid, bool)| {
            Link::of(&catalog, *constraint).is_some_and(|link| {
                let about = if *of_child { &link.child } else { &link.parent };
                about.id == table.id && self.transaction.deferrals().is_deferred(&link)
            })
        };
        if !deferred.iter().any(is_pending) {
            return Ok(());
        }
        let message = format!("cannot {command} \"{}\" because it has pending trigger events", table.name);
        Err(SqlError::new(SqlState::OBJECT_IN_USE, message))
    }

    /// Errors with 23503 if a row of `child`, which is held as its target is, has no target by this key.
    pub(crate) fn check_references(&mut self, child: &Arc<Table>, key: &ForeignKey) -> Result<(), SqlError> {
        let transaction = self.open_transaction()?;
        let Some(link) = Link::new(&transaction.catalog(), child, key) else {
            return Err(SqlError::bug(format!("constraint \"{}\" has no target", key.name)));
        };
        let view = transaction.newest_view()?;
        blocking(|| find::check_all(&view, &self.cancel, &link))
    }

    fn settle(&mut self, owed: Vec<Owed>, looking: Looking) -> Result<(), SqlError> {
        blocking_if(owed.len() >= BLOCKING_STEPS_MIN, || self.settle_all(owed, looking))
    }

    fn settle_all(&mut self, owed: Vec<Owed>, looking: Looking) -> Result<(), SqlError> {
        // What a change owes comes before what is left of the statement that made it; rows that only moved come last.
        let (now, last) = owed.into_iter().partition::<Vec<_>, _>(|owed| !is_moved(owed));
        let mut waiting: Vec<VecDeque<Owed>> = vec![last.into(), now.into()];
        let mut links = Links::default();
        while let Some(first) = waiting.last_mut() {
            let Some(owed) = first.pop_front() else {
                waiting.pop();
                continue;
            };
            self.settle_one(owed, &mut links, looking)?;
            let (now, last) = self.open_transaction()?.take_owed().into_iter().partition::<Vec<_>, _>(|owed| !is_moved(owed));
            waiting[0].extend(last);
            if !now.is_empty() {
                waiting.push(now.into());
            }
        }
        Ok(())
    }

    fn settle_one(&mut self, owed: Owed, links: &mut Links, looking: Looking) -> Result<(), SqlError> {
        if self.cancel.is_set() {
            return Err(EngineError::Canceled.into());
        }
        let (Owed::Reference { constraint, .. } | Owed::Referenced { constraint, .. }) = &owed;
        // It may have been dropped since.
        let Some(link) = links.get(&self.catalog(), *constraint) else { return Ok(()) };
        let waits = match &owed {
            Owed::Reference { .. } => true,
            Owed::Referenced { new: None, .. } => link.key.on_delete == Action::Nothing,
            Owed::Referenced { new: Some(_), .. } => link.key.on_update == Action::Nothing,
        };
        if waits && looking != Looking::AtEnd && self.transaction.deferrals().is_deferred(&link) {
            // What was deferred before still is.
            if looking == Looking::AtStatement {
                self.open_transaction()?.defer(owed);
            }
            return Ok(());
        }
        match owed {
            Owed::Reference { row, .. } => self.settle_reference(&link, &row),
            Owed::Referenced { old, new, .. } => self.settle_referenced(&link, &old, new.as_ref()),
        }
    }
}

fn is_moved(owed: &Owed) -> bool {
    matches!(owed, Owed::Reference { moved: true, .. })
}

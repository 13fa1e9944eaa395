//! Foreign keys and deferrable unique keys at work: what statements and transactions owe is settled when they end.
//!
//! ```text
//! statement --> what it owes --> a reference: is its target there?        23503 if not
//!                    ^      \--> a target that goes: NO ACTION, RESTRICT  23503 if rows refer to it
//!                    |                               CASCADE, SET ..      those rows are changed
//!                    +------------------------------------/  and owe in turn, which is settled before the next thing
//!                     \--> after all of that: values of a deferrable key (`unique`)
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
mod unique;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use catalog::{Action, Catalog, Deferral, ForeignKey, Table};
use engine::{EngineError, Owed};
use env::{BLOCKING_STEPS_MIN, blocking, blocking_if};
use types::{Oid, SqlError, SqlState};

use crate::session::Session;
use link::Link;
pub(crate) use link::{has_deferrable, target_of, unique_target};
use unique::{LateKey, Values};

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

    fn is_deferred(&self, constraint: Oid, of_itself: Deferral) -> bool {
        let said = self.named.get(&constraint).copied().or(self.all);
        of_itself != Deferral::NotDeferrable && said.unwrap_or(of_itself == Deferral::Deferred)
    }
}

/// The constraints of one catalog that have been asked for.
#[derive(Default)]
struct Known {
    catalog: Option<Arc<Catalog>>,
    links: BTreeMap<Oid, Option<Arc<Link>>>,
    deferrals: BTreeMap<Oid, Option<Deferral>>,
}

impl Known {
    fn of(&mut self, catalog: &Arc<Catalog>) -> &mut Known {
        if !self.catalog.as_ref().is_some_and(|known| Arc::ptr_eq(known, catalog)) {
            *self = Known { catalog: Some(Arc::clone(catalog)), ..Known::default() };
        }
        self
    }

    /// A foreign key. `None`: the catalog does not have it.
    fn link(&mut self, catalog: &Arc<Catalog>, constraint: Oid) -> Option<Arc<Link>> {
        let links = &mut self.of(catalog).links;
        links.entry(constraint).or_insert_with(|| Link::of(catalog, constraint).map(Arc::new)).clone()
    }

    /// When a unique key is looked at. `None`: the catalog does not have it.
    fn deferral(&mut self, catalog: &Arc<Catalog>, constraint: Oid) -> Option<Deferral> {
        let deferrals = &mut self.of(catalog).deferrals;
        *deferrals.entry(constraint).or_insert_with(|| LateKey::of(catalog, constraint).map(|key| key.deferral()))
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
        let mut deferred: BTreeSet<(Oid, bool)> = BTreeSet::new();
        let mut values = Values::new();
        for owed in transaction.deferred() {
            match owed {
                Owed::Reference { constraint, .. } => drop(deferred.insert((*constraint, true))),
                Owed::Referenced { constraint, .. } => drop(deferred.insert((*constraint, false))),
                Owed::Unique { constraint, values: of } => drop(values.insert((*constraint, of.clone()))),
            }
        }
        let catalog = transaction.catalog();
        let is_deferred = |constraint, of_itself| self.transaction.deferrals().is_deferred(constraint, of_itself);
        let is_pending = |(constraint, of_child): &(Oid, bool)| {
            Link::of(&catalog, *constraint).is_some_and(|link| {
                let about = if *of_child { &link.child } else { &link.parent };
                about.id == table.id && is_deferred(link.key.id, link.key.deferral)
            })
        };
        let own = table.indexes.iter().filter_map(|index| index.constraint.as_ref());
        let own: BTreeSet<Oid> = own.filter(|c| is_deferred(c.id, c.deferral)).map(|c| c.id).collect();
        values.retain(|(constraint, _)| own.contains(constraint));
        // Values that are there once owe nothing.
        if !deferred.iter().any(is_pending) && !self.are_twice(&values)? {
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
        let mut known = Known::default();
        let mut values = Values::new();
        while let Some(first) = waiting.last_mut() {
            let Some(owed) = first.pop_front() else {
                waiting.pop();
                continue;
            };
            self.settle_one(owed, &mut known, looking, &mut values)?;
            let (now, last) = self.open_transaction()?.take_owed().into_iter().partition::<Vec<_>, _>(|owed| !is_moved(owed));
            waiting[0].extend(last);
            if !now.is_empty() {
                waiting.push(now.into());
            }
        }
        if values.is_empty() { Ok(()) } else { self.settle_unique(&values) }
    }

    /// Settles one thing, but for values of a unique key, which are gathered.
    fn settle_one(&mut self, owed: Owed, known: &mut Known, looking: Looking, values: &mut Values) -> Result<(), SqlError> {
        if self.cancel.is_set() {
            return Err(EngineError::Canceled.into());
        }
        // What is not known has been dropped since.
        match owed {
            Owed::Reference { constraint, ref row, .. } => {
                let Some(link) = known.link(&self.catalog(), constraint) else { return Ok(()) };
                if self.waits(constraint, link.key.deferral, &owed, looking)? {
                    return Ok(());
                }
                self.settle_reference(&link, row)
            }
            Owed::Referenced { constraint, ref old, ref new } => {
                let Some(link) = known.link(&self.catalog(), constraint) else { return Ok(()) };
                let action = if new.is_some() { link.key.on_update } else { link.key.on_delete };
                if action == Action::Nothing && self.waits(constraint, link.key.deferral, &owed, looking)? {
                    return Ok(());
                }
                self.settle_referenced(&link, old, new.as_ref())
            }
            Owed::Unique { constraint, values: ref of } => {
                let Some(deferral) = known.deferral(&self.catalog(), constraint) else { return Ok(()) };
                if !self.waits(constraint, deferral, &owed, looking)? {
                    values.insert((constraint, of.clone()));
                }
                Ok(())
            }
        }
    }

    /// Whether something is left for the end of the transaction, where it is noted then.
    fn waits(&mut self, constraint: Oid, of_itself: Deferral, owed: &Owed, looking: Looking) -> Result<bool, SqlError> {
        let waits = looking != Looking::AtEnd && self.transaction.deferrals().is_deferred(constraint, of_itself);
        // What was deferred before still is.
        if waits && looking == Looking::AtStatement {
            self.open_transaction()?.defer(owed.clone());
        }
        Ok(waits)
    }
}

fn is_moved(owed: &Owed) -> bool {
    matches!(owed, Owed::Reference { moved: true, .. })
}

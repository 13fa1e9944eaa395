//! Plans by statement text, shared by all sessions.
//!
//! 1. A plan is found under everything it depends on: text, database, declared parameter types, the settings that names, types and
//!    constants depend on, and the very catalog it was made in.
//! 2. At most twice [`GENERATION`] plans are kept: a full young generation becomes the old one, whose unused plans are forgotten.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use types::{DatabaseId, SqlType};

use crate::prepare::Planned;

/// Plans of one generation: some hundred distinct statements is what an application has; a plan is some 10 KB.
const GENERATION: usize = 512;

/// Longer statements are loads, not queries that come again.
const TEXT_BYTES_MAX: usize = 16 << 10;

/// What a plan is found under, beside its catalog.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct PlanKey {
    pub(crate) text: Arc<str>,
    pub(crate) database: DatabaseId,
    pub(crate) params: Vec<Option<SqlType>>,
    pub(crate) planning: Arc<str>,
}

/// See the module's head.
#[derive(Default)]
pub(crate) struct PlanCache {
    generations: Mutex<(HashMap<PlanKey, Arc<Planned>>, HashMap<PlanKey, Arc<Planned>>)>,
}

impl PlanCache {
    /// A plan made in this very catalog.
    pub(crate) fn find(&self, key: &PlanKey, catalog: &Arc<catalog::Catalog>) -> Option<Arc<Planned>> {
        let mut generations = self.generations.lock();
        let (young, old) = &mut *generations;
        if let Some(plan) = young.get(key) {
            return Arc::ptr_eq(&plan.catalog, catalog).then(|| Arc::clone(plan));
        }
        let plan = old.remove(key)?;
        if !Arc::ptr_eq(&plan.catalog, catalog) {
            return None;
        }
        young.insert(key.clone(), Arc::clone(&plan));
        Some(plan)
    }

    pub(crate) fn insert(&self, key: PlanKey, plan: &Arc<Planned>) {
        if key.text.len() > TEXT_BYTES_MAX {
            return;
        }
        let mut generations = self.generations.lock();
        let (young, old) = &mut *generations;
        if young.len() >= GENERATION {
            *old = std::mem::take(young);
        }
        young.insert(key, Arc::clone(plan));
    }

    /// DISCARD PLANS.
    pub(crate) fn clear(&self) {
        *self.generations.lock() = Default::default();
    }
}

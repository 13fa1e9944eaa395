//! Whether a view may give other rows each time it is read: what is to be computed once has to be found without planning it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use catalog::{Relation, View};
use datafusion::sql::sqlparser::ast::ObjectName;
use types::TableId;

use super::Names;
use crate::prepare::cte::{self, Volatile};

impl Names<'_> {
    /// Whether it is a view that calls a volatile function, or reads one that does. `known`: what was answered before.
    pub(super) fn is_volatile_view(
        &self,
        name: &ObjectName,
        function: &dyn Fn(&ObjectName) -> bool,
        known: &RefCell<HashMap<TableId, bool>>,
    ) -> bool {
        let Some(view) = self.view_named(name) else { return false };
        if let Some(found) = known.borrow().get(&view.id) {
            return *found;
        }
        let inner = |name: &ObjectName| self.is_volatile_view(name, function, known);
        let is_volatile = Volatile { function, view: &inner };
        let found = crate::plan::parsed(&view.query).is_ok_and(|query| cte::calls_volatile(&query, is_volatile));
        known.borrow_mut().insert(view.id, found);
        found
    }

    fn view_named(&self, name: &ObjectName) -> Option<&Arc<View>> {
        let context = self.context;
        let parts = name.0.iter().map(|part| part.as_ident().map(crate::names::folded)).collect::<Option<Vec<_>>>()?;
        let (schemas, name) = match parts.as_slice() {
            [name] => (context.search_path.clone(), name),
            [.., schema, name] => (vec![schema.clone()], name),
            [] => return None,
        };
        let mut schemas = schemas.iter().filter_map(|schema| context.catalog.schema(context.database, schema));
        match schemas.find_map(|schema| context.catalog.relation(schema.id, name))? {
            Relation::View(id) => context.catalog.view_by_id(id),
            _ => None,
        }
    }
}

//! Parameters of a statement that is planned as several queries: each settles the types of those it mentions, and the next ones are
//! told.

use std::ops::ControlFlow;

use sqlparser::ast::{Value, ValueWithSpan, Visit, Visitor};
use types::SqlType;

/// Takes over the types that the query of `ast` has settled.
pub(crate) fn settle(params: &mut Vec<Option<SqlType>>, types: &[SqlType], ast: &impl Visit) {
    if params.len() < types.len() {
        params.resize(types.len(), None);
    }
    let mut mentioned = Mentioned(vec![]);
    let _ = ast.visit(&mut mentioned);
    for at in mentioned.0 {
        if let (Some(slot), Some(t)) = (params.get_mut(at), types.get(at)) {
            slot.get_or_insert(*t);
        }
    }
}

/// The types of all parameters, now that every query has been planned: nobody asked for the rest.
pub(crate) fn settled(params: Vec<Option<SqlType>>) -> Vec<SqlType> {
    params.into_iter().map(|t| t.unwrap_or(SqlType::Text)).collect()
}

struct Mentioned(Vec<usize>);

impl Visitor for Mentioned {
    type Break = ();

    fn pre_visit_value(&mut self, value: &ValueWithSpan) -> ControlFlow<()> {
        if let Value::Placeholder(name) = &value.value {
            let number = name.strip_prefix('$').and_then(|n| n.parse::<usize>().ok());
            self.0.extend(number.and_then(|n| n.checked_sub(1)));
        }
        ControlFlow::Continue(())
    }
}

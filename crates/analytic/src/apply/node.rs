//! The node: its input, and a column with a subquery's value for each row.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;

use datafusion::common::{Column, DFSchema, DFSchemaRef, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};
use types::SqlError;

use crate::errors;

/// A value of the input that the subquery uses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// What the subquery calls it: an outer reference.
    pub(super) name: Column,
    /// What it is in the input.
    pub(super) value: Expr,
}

/// See the module's head.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Apply {
    pub(super) input: LogicalPlan,
    pub(super) keys: Vec<Key>,
    /// Where the value is asked for: the subquery is not run for other rows, nor are the keys computed there. Each is computed where those
    /// before it are true.
    pub(super) guards: Vec<Expr>,
    /// The subquery, of one column. It is no input: rules leave it as it is until it is run.
    pub(super) template: Arc<LogicalPlan>,
    name: String,
    schema: DFSchemaRef,
}

impl Apply {
    pub(super) fn new(
        input: LogicalPlan,
        keys: Vec<Key>,
        guards: Vec<Expr>,
        template: Arc<LogicalPlan>,
        name: String,
    ) -> Result<Apply> {
        if template.schema().fields().len() != 1 {
            let message = format!("subquery must return only one column, not {}", template.schema().fields().len());
            return Err(errors::raise(SqlError::new(types::SqlState::SYNTAX_ERROR, message)));
        }
        let (_, value) = template.schema().qualified_field(0);
        let value = value.as_ref().clone().with_name(&name).with_nullable(true);
        let mut fields: Vec<_> = input.schema().iter().map(|(table, field)| (table.cloned(), Arc::clone(field))).collect();
        fields.push((None, Arc::new(value)));
        let schema = Arc::new(DFSchema::new_with_metadata(fields, input.schema().metadata().clone())?);
        Ok(Apply { input, keys, guards, template, name, schema })
    }

    /// The column it adds.
    pub(super) fn column(&self) -> Column {
        Column::new_unqualified(&self.name)
    }
}

impl PartialOrd for Apply {
    fn partial_cmp(&self, other: &Apply) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for Apply {
    fn name(&self) -> &str {
        "Apply"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.keys.iter().map(|key| &key.value).chain(&self.guards).cloned().collect()
    }

    /// Conditions on other columns hold before as they do after.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        HashSet::from([self.name.clone()])
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<String> = self.keys.iter().map(|key| key.value.to_string()).collect();
        write!(f, "Apply: keys=[{}], subquery=[{}]", keys.join(", "), self.template.display())
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Apply> {
        let mut exprs = exprs.into_iter();
        let keys = self.keys.iter().zip(&mut exprs).map(|(key, value)| Key { name: key.name.clone(), value }).collect();
        let guards = exprs.collect();
        match <[LogicalPlan; 1]>::try_from(inputs) {
            Ok([input]) => Apply::new(input, keys, guards, Arc::clone(&self.template), self.name.clone()),
            Err(inputs) => Err(errors::raise(SqlError::bug(format!("an Apply of {} inputs", inputs.len())))),
        }
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let schema = self.input.schema();
        let mut needed: BTreeSet<usize> =
            output_columns.iter().copied().filter(|column| *column < schema.fields().len()).collect();
        for expr in self.keys.iter().map(|key| &key.value).chain(&self.guards) {
            for column in expr.column_refs() {
                needed.insert(schema.maybe_index_of_column(column)?);
            }
        }
        Some(vec![needed.into_iter().collect()])
    }
}

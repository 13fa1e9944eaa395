//! Parameters: which types they have, and putting values where they stand.
//!
//! 1. A parameter's type is what the client declared, else what its first use asks for, as for a string constant: the other operand's
//!    type, a cast's, a function argument's, bigint in LIMIT; else text.
//! 2. While its type is being looked for, a parameter is planned as a `Utf8` value: the form of a string constant, whose type
//!    `expr` also settles by its use (text proper is `Utf8View`). The casts that the planner puts around it are the answer.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{ParamValues, Result};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::sql::sqlparser::ast::{Query, Value, ValueWithSpan, Visit, Visitor};
use types::{Datum, SqlError, SqlState, SqlType, arrow_form};

/// The number PostgreSQL's protocol can carry.
const PARAMETERS_MAX: usize = u16::MAX as usize;

/// The types of `$1`, `$2`, ... as far as they are known.
pub(crate) struct Known(Vec<Option<SqlType>>);

impl Known {
    pub(crate) fn new(declared: &[Option<SqlType>], count: usize) -> Known {
        Known((0..count).map(|at| declared.get(at).copied().flatten()).collect())
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.0.iter().all(Option::is_some)
    }

    /// For the planner: a field per parameter.
    pub(crate) fn fields(&self) -> Vec<Option<FieldRef>> {
        let field = |t: &Option<SqlType>| match t {
            Some(t) => arrow_form::field("", *t, true),
            None => Field::new("", DataType::Utf8, true),
        };
        self.0.iter().map(|t| Some(Arc::new(field(t)))).collect()
    }

    /// Reads missing types off the casts around parameters.
    pub(crate) fn infer(&mut self, plan: &LogicalPlan) -> Result<()> {
        plan.apply_with_subqueries(|node| {
            node.apply_expressions(|expr| {
                expr.apply(|expr| {
                    if let Some((inner, target)) = expr::arrow_driver::cast_of(expr)
                        && let Expr::Placeholder(Placeholder { id, .. }) = inner
                        && let Some(at) = index(id)
                        && let Some(slot @ None) = self.0.get_mut(at)
                    {
                        *slot = Some(target);
                    }
                    Ok(TreeNodeRecursion::Continue)
                })
            })
        })?;
        Ok(())
    }

    /// What has no type by now is text.
    pub(crate) fn complete(&mut self) {
        self.0.iter_mut().for_each(|t| *t = Some(t.unwrap_or(SqlType::Text)));
    }

    pub(crate) fn types(&self) -> Vec<SqlType> {
        self.0.iter().map(|t| t.unwrap_or(SqlType::Text)).collect()
    }
}

/// The parameters that are arrays, with the type of their elements: `x = ANY ($1)`.
pub(crate) fn arrays(plan: &LogicalPlan) -> Result<Vec<(usize, SqlType)>> {
    let mut found = Vec::new();
    plan.apply_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Some((wanted, Expr::Placeholder(Placeholder { id, .. }))) = expr::arrow_driver::array_test_of(expr)
                    && let Some(at) = index(id)
                {
                    let of = wanted.to_field(&schema).ok().and_then(|(_, field)| arrow_form::sql_type_of(&field));
                    found.push((at, of.unwrap_or(SqlType::Text)));
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

fn index(id: &str) -> Option<usize> {
    id.strip_prefix('$')?.parse::<usize>().ok()?.checked_sub(1)
}

/// How many parameters a query has: the greatest number it names, or as many as were declared.
pub(crate) fn count(query: &Query, declared: usize) -> std::result::Result<usize, SqlError> {
    struct Greatest(usize);
    impl Visitor for Greatest {
        type Break = SqlError;

        fn pre_visit_value(&mut self, value: &ValueWithSpan) -> ControlFlow<SqlError> {
            let Value::Placeholder(name) = &value.value else { return ControlFlow::Continue(()) };
            match index(name) {
                Some(at) if at < PARAMETERS_MAX => {
                    self.0 = self.0.max(at + 1);
                    ControlFlow::Continue(())
                }
                _ => ControlFlow::Break(SqlError::new(SqlState::UNDEFINED_PARAMETER, format!("there is no parameter {name}"))),
            }
        }
    }
    let mut greatest = Greatest(declared);
    match Visit::visit(query, &mut greatest) {
        ControlFlow::Continue(()) => Ok(greatest.0),
        ControlFlow::Break(error) => Err(error),
    }
}

/// The plan with the values in place of its parameters.
pub(crate) fn substitute(plan: LogicalPlan, types: &[SqlType], values: &[Datum]) -> Result<LogicalPlan> {
    if types.is_empty() {
        return Ok(plan);
    }
    let values =
        types.iter().zip(values).map(|(t, value)| ScalarAndMetadata::from(expr::arrow_driver::scalar(value, *t))).collect();
    plan.replace_params_with_values(&ParamValues::List(values))
}

//! Subqueries in the condition of an outer join: each becomes a column of the side whose columns it uses.
//!
//! ```text
//! a LEFT JOIN b ON b.y = (SELECT max(y) FROM c WHERE c.x = a.x)        Join b.y = #0
//!                                                                        Apply #0 = SELECT max(y) FROM c WHERE c.x = $a.x
//!                                                                          a
//!                                                                        b
//! ```
//!
//! Not here: those of an inner join, whose condition is one of a WHERE.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, JoinType, Result};
use datafusion::logical_expr::{Expr, Join, LogicalPlan, Projection};
use types::SqlError;

use super::{ExpressionRewriter, Rewriter, references};
use crate::errors;

impl Rewriter {
    /// The join without subqueries in its condition. Errors: one uses columns of both sides (0A000).
    pub(super) fn outer_join(&mut self, mut join: Join) -> Result<Transformed<LogicalPlan>> {
        let shown = join.schema.columns();
        let Some(condition) = join.filter.take() else { return Ok(Transformed::no(LogicalPlan::Join(join))) };
        // A condition on the side that is filled up with NULLs is pushed down there.
        let order = if join.join_type == JoinType::Right { [Side::Left, Side::Right] } else { [Side::Right, Side::Left] };
        let mut sides = [(*join.left).clone(), (*join.right).clone()];
        let condition = self.on_sides(condition, &mut sides, order)?;
        let [left, right] = sides.map(Arc::new);
        let plan = LogicalPlan::Join(Join::try_new(
            left,
            right,
            join.on,
            Some(condition),
            join.join_type,
            join.join_constraint,
            join.null_equality,
            join.null_aware,
        )?);
        let shown = shown.into_iter().map(Expr::Column).collect();
        Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(shown, Arc::new(plan))?)))
    }

    fn on_sides(&mut self, expr: Expr, sides: &mut [LogicalPlan; 2], order: [Side; 2]) -> Result<Expr> {
        if !references::has_subqueries(&expr)? {
            return Ok(expr);
        }
        let mut used = references::of_subqueries(&expr)?;
        used.extend(expr.column_refs().into_iter().cloned());
        let has_all = |schema: &DFSchema| used.iter().all(|column| schema.has_column(column));
        for side in order {
            let plan = &mut sides[side as usize];
            if has_all(plan.schema()) {
                let mut expressions = ExpressionRewriter {
                    rewriter: self,
                    input: plan.clone(),
                    is_filter: false,
                    takes_scalars: false,
                    hidden: HashMap::new(),
                    guards: vec![],
                    conditional: false,
                };
                let done = expressions.expr(expr)?.data;
                *plan = expressions.input;
                return Ok(done);
            }
        }
        if references::is_subquery(&expr) {
            let message = "a subquery that uses columns of both sides in the condition of an outer join is not supported";
            return Err(errors::raise(SqlError::unsupported(message)));
        }
        Ok(expr.map_children(|part| self.on_sides(part, sides, order).map(Transformed::yes))?.data)
    }
}

#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
}

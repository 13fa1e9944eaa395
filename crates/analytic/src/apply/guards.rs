//! Where the value of a subquery in an expression is asked for.
//!
//! ```text
//! CASE WHEN x = 0 THEN 0 WHEN 10 / x > 1 THEN (SELECT ..) END      guards: x = 0 is not true, then 10 / x > 1 is true
//! a AND (SELECT ..)                                                guard:  a is not false
//! coalesce(a, (SELECT ..))                                         guard:  a is NULL
//! ```
//!
//! A guard too may fail, so they are a list: each is computed where those before it are true, and nowhere else. DataFusion's AND computes
//! its right side on rows that its left side rules out.

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{BinaryExpr, Case, Expr, Operator};

use super::{ExpressionRewriter, references};

impl ExpressionRewriter<'_> {
    /// A part of a condition that counts only where it is true: a side of AND or OR.
    pub(super) fn condition(&mut self, expr: Expr) -> Result<Transformed<Expr>> {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
                let left = self.condition(*left)?;
                let right = self.behind(op, &left.data, |this| this.condition(*right))?;
                let both = Expr::BinaryExpr(BinaryExpr::new(Box::new(left.data), op, Box::new(right.data)));
                Ok(Transformed::new_transformed(both, left.transformed || right.transformed))
            }
            Expr::InSubquery(is_in) if !is_in.negated => self.condition_in(is_in, false),
            other => self.expr(other),
        }
    }

    pub(super) fn expr(&mut self, expr: Expr) -> Result<Transformed<Expr>> {
        if !references::has_subqueries(&expr)? {
            return Ok(Transformed::no(expr));
        }
        let inner = match expr {
            Expr::Case(case) => return self.case(case),
            Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
                let left = self.expr(*left)?;
                let right = self.behind(op, &left.data, |this| this.expr(*right))?;
                let both = Expr::BinaryExpr(BinaryExpr::new(Box::new(left.data), op, Box::new(right.data)));
                return Ok(Transformed::new_transformed(both, left.transformed || right.transformed));
            }
            Expr::ScalarFunction(call) if call.func.short_circuits() => return self.first_known(call),
            other => other.map_children(|inner| self.expr(inner))?,
        };
        let done = match inner.data {
            Expr::ScalarSubquery(subquery) => self.scalar(subquery)?,
            Expr::Exists(exists) => self.exists(exists)?,
            Expr::InSubquery(is_in) => self.embedded_in(is_in)?,
            Expr::SetComparison(comparison) => self.set_comparison(comparison)?,
            other => Transformed::no(other),
        };
        Ok(Transformed::new_transformed(done.data, done.transformed || inner.transformed))
    }

    /// The right side of AND or OR: computed where the left does not settle it.
    fn behind(
        &mut self,
        op: Operator,
        left: &Expr,
        right: impl FnOnce(&mut Self) -> Result<Transformed<Expr>>,
    ) -> Result<Transformed<Expr>> {
        let left = Box::new(left.clone());
        self.guarded(if op == Operator::And { Expr::IsNotFalse(left) } else { Expr::IsNotTrue(left) }, right)
    }

    /// Does `work` where `guard` is true.
    fn guarded<T>(&mut self, guard: Expr, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let before = self.guards();
        self.guard(guard)?;
        let done = work(self);
        self.back_to(before);
        done
    }

    fn guards(&self) -> (usize, bool) {
        (self.guards.len(), self.conditional)
    }

    fn back_to(&mut self, (guards, conditional): (usize, bool)) {
        self.guards.truncate(guards);
        self.conditional = conditional;
    }

    /// What follows is computed where `guard` is true. One that is to become a join is none, since it is not known yet what it will be;
    /// nor one that would have another value here than where the query has it.
    fn guard(&mut self, guard: Expr) -> Result<()> {
        self.conditional = true;
        if !references::has_subqueries(&guard)? && !guard.is_volatile() {
            self.guards.push(guard);
        }
        Ok(())
    }

    fn case(&mut self, Case { expr, when_then_expr, else_expr }: Case) -> Result<Transformed<Expr>> {
        let before = self.guards();
        let mut changed = false;
        let operand = expr.map(|expr| self.expr(*expr)).transpose()?.map(|done| {
            changed |= done.transformed;
            Box::new(done.data)
        });
        let mut branches = Vec::with_capacity(when_then_expr.len());
        for (when, then) in when_then_expr {
            // As a join it could not be a guard.
            let takes_scalars = std::mem::replace(&mut self.takes_scalars, false);
            let when = self.expr(*when);
            self.takes_scalars = takes_scalars;
            let when = when?;
            let test = match &operand {
                Some(operand) => operand.as_ref().clone().eq(when.data.clone()),
                None => when.data.clone(),
            };
            let then = self.guarded(Expr::IsTrue(Box::new(test.clone())), |this| this.expr(*then))?;
            changed |= when.transformed || then.transformed;
            branches.push((Box::new(when.data), Box::new(then.data)));
            self.guard(Expr::IsNotTrue(Box::new(test)))?;
        }
        let last = else_expr.map(|last| self.expr(*last)).transpose();
        self.back_to(before);
        let last = last?.map(|done| {
            changed |= done.transformed;
            Box::new(done.data)
        });
        Ok(Transformed::new_transformed(Expr::Case(Case::new(operand, branches, last)), changed))
    }

    /// COALESCE: an argument is computed where all before it are NULL.
    fn first_known(&mut self, mut call: ScalarFunction) -> Result<Transformed<Expr>> {
        let before = self.guards();
        let mut changed = false;
        for arg in &mut call.args {
            let done = self.expr(std::mem::take(arg))?;
            changed |= done.transformed;
            *arg = done.data;
            self.guard(Expr::IsNull(Box::new(arg.clone())))?;
        }
        self.back_to(before);
        Ok(Transformed::new_transformed(Expr::ScalarFunction(call), changed))
    }
}

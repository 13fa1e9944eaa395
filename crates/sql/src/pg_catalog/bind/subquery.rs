//! Queries as values: scalar ones, EXISTS, IN, ANY, ARRAY.

use std::sync::Arc;

use sqlparser::ast::{Expr, Query};
use types::{SqlError, SqlState};

use super::level::Level;
use super::{Binder, Typed};
use crate::pg_catalog::kind;
use crate::pg_catalog::plan::{Ex, Plan, SubqueryKind};

impl Binder<'_> {
    pub(super) fn subquery(&self, level: &Level<'_>, expr: &Expr) -> Result<Typed, SqlError> {
        match expr {
            Expr::Subquery(query) => {
                let plan = self.inner(level, query)?;
                let [column] = plan.columns.as_slice() else { return Err(one_column()) };
                let kind = column.kind;
                Ok(Typed::new(Ex::Subquery(plan, SubqueryKind::Scalar), kind))
            }
            Expr::Exists { subquery, negated } => {
                let ex = Ex::Subquery(self.inner(level, subquery)?, SubqueryKind::Exists);
                Ok(Typed::new(if *negated { Ex::Not(Box::new(ex)) } else { ex }, kind::BOOL))
            }
            Expr::InSubquery { expr, subquery, negated } => {
                let symbol = if *negated { "<>" } else { "=" };
                self.quantified_subquery(level, symbol, *negated, expr, subquery)
            }
            other => Err(SqlError::bug(format!("{other} is no subquery"))),
        }
    }

    /// `ARRAY(query)`
    pub(super) fn array_subquery(&self, level: &Level<'_>, query: &Query) -> Result<Typed, SqlError> {
        let plan = self.inner(level, query)?;
        let [column] = plan.columns.as_slice() else { return Err(one_column()) };
        let kind = kind::array_of(column.kind);
        Ok(Typed::new(Ex::Subquery(plan, SubqueryKind::Array), kind))
    }

    /// `left op ANY (query)` and ALL.
    pub(super) fn quantified_subquery(
        &self,
        level: &Level<'_>,
        symbol: &str,
        all: bool,
        left: &Expr,
        query: &Query,
    ) -> Result<Typed, SqlError> {
        let left = self.expression(level, left)?;
        let plan = self.inner(level, query)?;
        let width = left.fields.as_ref().map_or(1, |fields| fields.len());
        if plan.columns.len() != width {
            let few = if plan.columns.len() < width { "few" } else { "many" };
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, format!("subquery has too {few} columns")));
        }
        let (operator, left) = match (&left.fields, plan.columns.as_slice()) {
            (None, [column]) => {
                let (operator, _) = self.quantified_operator(symbol, left.kind, column.kind)?;
                let to = if left.kind == kind::UNKNOWN { column.kind } else { left.kind };
                (operator, self.coerce(left, to))
            }
            _ => (self.quantified_operator(symbol, kind::RECORD, kind::RECORD)?.0, left.ex),
        };
        let how = SubqueryKind::Quantified { operator, all, left: Box::new(left) };
        Ok(Typed::new(Ex::Subquery(plan, how), kind::BOOL))
    }

    fn inner(&self, level: &Level<'_>, query: &Query) -> Result<Arc<Plan>, SqlError> {
        Ok(Arc::new(self.query(query, Some(level), &level.ctes)?))
    }
}

fn one_column() -> SqlError {
    SqlError::new(SqlState::SYNTAX_ERROR, "subquery must return only one column")
}

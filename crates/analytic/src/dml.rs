//! UPDATE, DELETE, MERGE and SELECT FOR UPDATE that need a query: which rows, and their new values.
//!
//! ```text
//! UPDATE t SET a = x.b FROM x WHERE t.k = x.k   ->   SELECT __key, x.b FROM t, x WHERE t.k = x.k      __key: the row's key as bytes
//! DELETE FROM t WHERE a IN (SELECT ..)          ->   SELECT __key FROM t WHERE a IN (SELECT ..)
//! MERGE INTO t USING x ON c ..                  ->   SELECT __key, .. FROM x LEFT JOIN t ON c                no key: not matched
//! ```
//!
//! 1. A row can come more than once (a join that matches it twice); PostgreSQL then changes it once, by any of them.
//! 2. New values have their expressions' types; the writer coerces them to the columns'.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, Join, JoinConstraint, JoinOperator, ObjectName, Query, Select, SelectItem, SetExpr, TableAlias, TableFactor,
    TableWithJoins,
};
use datafusion::sql::sqlparser::parser::Parser;
use expr::dialect::DIALECT;
use types::{SqlError, SqlType, TableId};

use crate::analytic::Analytic;
use crate::context::PlanContext;
use crate::plan::{self, AnalyticPlan};

/// The name of the column that has a row's key.
pub const KEY_COLUMN: &str = "__key";

/// The name the statement's own tables are scanned by, with a number behind it; no user can write it.
const TARGET: &str = "\u{1}target";

/// The name by which the `at`-th of the tables that a query is planned with shows its rows' keys, in a column [`KEY_COLUMN`].
pub fn keyed_name(at: usize) -> ObjectName {
    ObjectName::from(Ident::with_quote('"', format!("{TARGET}{at}")))
}

/// Which of those tables has this name.
pub(crate) fn keyed_at(name: &str) -> Option<usize> {
    name.strip_prefix(TARGET)?.parse().ok()
}

/// What an UPDATE or DELETE asks of a query.
#[derive(Clone, Debug)]
pub struct DmlSource {
    /// The table whose rows are changed.
    pub target: TableId,
    /// What the statement calls it: its alias, else its name.
    pub alias: Ident,
    /// The other tables, of FROM or USING.
    pub from: Vec<TableWithJoins>,
    /// WHERE.
    pub selection: Option<Expr>,
    /// Of a MERGE: what joins the table to `from`, each row of which comes whether it has a partner or not.
    pub on: Option<Expr>,
    /// The columns after the key: new values, then what RETURNING needs of the other tables.
    pub values: Vec<Expr>,
}

impl Analytic {
    /// Plans the query behind an UPDATE or DELETE: its first column is the row's key (`bytea`), then `source.values`.
    ///
    /// Errors: as [`Analytic::plan`].
    pub fn plan_dml(
        self: &Arc<Self>,
        context: &PlanContext,
        source: &DmlSource,
        params: &[Option<SqlType>],
    ) -> Result<AnalyticPlan, SqlError> {
        plan::plan(self, context, &query(source)?, &[source.target], params)
    }

    /// Plans a query in which [`keyed_name`]s stand for these tables.
    ///
    /// Errors: as [`Analytic::plan`].
    pub fn plan_keyed(
        self: &Arc<Self>,
        context: &PlanContext,
        query: &Query,
        keyed: &[TableId],
        params: &[Option<SqlType>],
    ) -> Result<AnalyticPlan, SqlError> {
        plan::plan(self, context, query, keyed, params)
    }
}

/// `SELECT alias.__key, values FROM target AS alias, from WHERE selection`
pub(crate) fn query(source: &DmlSource) -> Result<Query, SqlError> {
    // The parser knows how to fill in a query's many fields.
    let mut query = Parser::new(&DIALECT)
        .try_with_sql("SELECT 1 FROM t")
        .and_then(|mut parser| parser.parse_query())
        .map_err(|error| SqlError::bug(error.to_string()))?;
    let SetExpr::Select(select) = query.body.as_mut() else { return Err(SqlError::bug("SELECT is not a select")) };
    let select: &mut Select = select;
    let key = Expr::CompoundIdentifier(vec![source.alias.clone(), Ident::with_quote('"', KEY_COLUMN)]);
    select.projection = std::iter::once(&key).chain(&source.values).cloned().map(SelectItem::UnnamedExpr).collect();
    let Some(TableWithJoins { relation: TableFactor::Table { name, alias, .. }, .. }) = select.from.first_mut() else {
        return Err(SqlError::bug("FROM t is not a table"));
    };
    *name = keyed_name(0);
    *alias = Some(TableAlias { explicit: true, name: source.alias.clone(), columns: vec![], at: None });
    match (&source.on, source.from.as_slice()) {
        (Some(on), [from]) => {
            let target = std::mem::replace(&mut select.from, vec![from.clone()]);
            let (Some(target), Some(from)) = (target.into_iter().next(), select.from.first_mut()) else {
                return Err(SqlError::bug("MERGE without a table"));
            };
            let join_operator = JoinOperator::LeftOuter(JoinConstraint::On(on.clone()));
            from.joins.push(Join { relation: target.relation, global: false, join_operator });
        }
        _ => select.from.extend(source.from.iter().cloned()),
    }
    select.selection = source.selection.clone();
    Ok(*query)
}

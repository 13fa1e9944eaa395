//! SELECT .. FOR UPDATE, NO KEY UPDATE, SHARE, KEY SHARE that needs a query.
//!
//! ```text
//! SELECT a FROM t JOIN u ON .. LIMIT 10 FOR UPDATE OF t      ->      SELECT a, t.__key FROM t JOIN u ON ..
//!
//! row --> each of its rows locked --> as the snapshot has them: given
//!                                 --> one has changed (READ COMMITTED): query anew, of the locked rows as they are now
//! ```
//!
//! 1. Rows are locked in the order in which they are given, and no more of them than LIMIT and OFFSET ask for.
//! 2. Of a row that has changed, the whole query is asked again about it alone; it keeps its place, whatever ORDER BY makes of it now.
//! 3. Of a view or a subquery the rows of the one table behind it are locked (`nested`).
//!
//! Not here: rows found by a key (`point`). Source: PostgreSQL 15 `nodeLockRows.c`, `parser/analyze.c` (`transformLockingClause`).

use std::ops::ControlFlow;
use std::sync::Arc;

use analytic::{AnalyticPlan, KEY_COLUMN, keyed_name};
use catalog::Table;
use env::blocking;
use point::{Lock, LockClause};
use sqlparser::ast::{
    self, BinaryOperator, Distinct, Expr, GroupByExpr, Ident, LimitClause, Offset, Query, Select, SelectItem, SetExpr,
    TableFactor, Value, Visit, Visitor,
};
use types::{SqlError, SqlState, SqlType};

use crate::evaluate::Simple;
use crate::names::Name;
use crate::parameters;
use crate::parse::Statement;
use crate::prepare::{Kind, OutputColumn, Planned};
use crate::query::output_columns;
use crate::session::Session;

mod nested;
mod relations;
mod run;

use nested::Asked;
use relations::{Relation, each_relation};

/// Rows beyond LIMIT that the first query gives, for those that are locked already or have changed.
const SPARE_ROWS: i64 = 64;

/// How such a SELECT is run.
pub(crate) struct LockingPlan {
    /// Every row, in the statement's order; the keys come last.
    pub(crate) source: AnalyticPlan,
    /// The same with a LIMIT that is likely enough.
    first: Option<AnalyticPlan>,
    targets: Vec<LockTarget>,
    /// Where the statement's own columns are.
    columns: Vec<usize>,
    limit: Option<Simple>,
    offset: Option<Simple>,
}

struct LockTarget {
    table: Arc<Table>,
    lock: Lock,
}

impl LockingPlan {
    /// The tables whose rows are locked.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.targets.iter().map(|target| &target.table)
    }

    /// What is locked, as EXPLAIN says it.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        self.targets.iter().map(|target| format!("Lock Rows of {} {}", target.table.name, target.lock.words()))
    }
}

impl Session {
    /// Errors: as [`Session::plan_query`], 0A000 and 42P01 for what cannot be locked.
    pub(crate) fn plan_locking(
        &mut self,
        statement: &Statement,
        query: &Query,
        declared: &[Option<SqlType>],
    ) -> Result<Planned, SqlError> {
        let clauses = LockClause::of(query);
        let plain = Query { locks: vec![], ..query.clone() };
        let planned = self.plan_keyed(statement, &clauses, plain.clone(), declared);
        match planned {
            Ok(Some(planned)) => Ok(planned),
            Ok(None) => self.plan_query(statement, &plain, declared),
            Err(error) if error.state == SqlState::GROUPING_ERROR => {
                // Unless the query itself is wrong, it was the key that stood beside an aggregate.
                self.plan_query(statement, &plain, declared)?;
                Err(refused(&clauses, "is not allowed with aggregate functions"))
            }
            Err(error) => Err(error),
        }
    }

    /// `None`: there is nothing to lock.
    fn plan_keyed(
        &mut self,
        statement: &Statement,
        clauses: &[LockClause],
        mut query: Query,
        declared: &[Option<SqlType>],
    ) -> Result<Option<Planned>, SqlError> {
        check(&query, clauses)?;
        let catalog = self.catalog();
        let targets = self.take_targets(statement, clauses, &mut query)?;
        if targets.is_empty() {
            return Ok(None);
        }
        let (limit, offset) = self.take_bounds(&mut query)?;
        let (context, system) = self.plan_context(Some(statement))?;
        let analytic = Arc::clone(self.instance.analytic());
        let keyed: Vec<_> = targets.iter().map(|target| target.table.id).collect();
        let mut params = declared.to_vec();
        let source = blocking(|| analytic.plan_keyed(&context, &query, &keyed, &params))?;
        parameters::settle(&mut params, source.params(), &query);
        for bound in [&limit, &offset] {
            if let Some(Simple::Parameter(at)) = bound {
                params.resize(params.len().max(at + 1), None);
                params[*at].get_or_insert(SqlType::Int8);
            }
        }
        let first = match first_rows(limit.as_ref(), offset.as_ref()) {
            None => None,
            Some(rows) => {
                query.limit_clause = Some(LimitClause::LimitOffset { limit: Some(rows), offset: None, limit_by: vec![] });
                Some(blocking(|| analytic.plan_keyed(&context, &query, &keyed, &params))?)
            }
        };
        let is_own = |at: &usize| source.columns()[*at].name != KEY_COLUMN;
        let columns: Vec<usize> = (0..source.columns().len()).filter(is_own).collect();
        let all = output_columns(&source);
        let output: Arc<[OutputColumn]> = columns.iter().map(|at| all[*at].clone()).collect();
        Ok(Some(Planned {
            catalog,
            planning: Arc::clone(&self.settings.active().planning),
            params: parameters::settled(params),
            columns: Some(output),
            kind: Kind::Locking(Box::new(LockingPlan { source, first, targets, columns, limit, offset })),
            volatile: system.was_used(),
        }))
    }

    /// Lets the tables to be locked show their rows' keys, and the query give them.
    fn take_targets(
        &mut self,
        statement: &Statement,
        clauses: &[LockClause],
        query: &mut Query,
    ) -> Result<Vec<LockTarget>, SqlError> {
        let ctes: Vec<String> =
            query.with.iter().flat_map(|with| &with.cte_tables).map(|cte| cte.alias.name.value.clone()).collect();
        let SetExpr::Select(select) = query.body.as_mut() else { return Err(SqlError::bug("a query without SELECT")) };
        let select: &mut Select = select;
        let mut targets = Vec::new();
        let mut keys = Vec::new();
        let mut names: Vec<String> = Vec::new();
        let catalog = self.catalog();
        let asked = Asked { statement, clauses, ctes: &ctes };
        let mut refused_first = None;
        for from in &mut select.from {
            each_relation(from, false, &mut |relation| {
                let Some(name) = relation.name() else { return };
                names.push(name.clone());
                let Some(lock) = LockClause::lock_of(clauses, &name) else { return };
                let is_named = clauses.iter().any(|clause| clause.of.iter().any(|of| of.value == name));
                let shown = self.is_lockable(&asked, &catalog, &relation, lock, is_named).and_then(|is_lockable| {
                    let shown = keyed_name(targets.len());
                    is_lockable.then(|| self.show_keys(&catalog, relation, &asked, shown)).transpose()
                });
                match shown {
                    Err(error) => {
                        refused_first.get_or_insert(error);
                    }
                    Ok(None) => {}
                    Ok(Some((table, alias))) => {
                        let key = Expr::CompoundIdentifier(vec![alias, Ident::with_quote('"', KEY_COLUMN)]);
                        keys.push(SelectItem::UnnamedExpr(key));
                        targets.push(LockTarget { table, lock });
                    }
                }
            });
        }
        for (clause, of) in clauses.iter().flat_map(|clause| clause.of.iter().map(move |of| (clause, of))) {
            if !names.contains(&of.value) {
                let words = clause.lock.words();
                let message = format!("relation \"{}\" in {words} clause not found in FROM clause", of.value);
                let source = statement.source();
                let position = source.position(source.byte(of.span.start));
                return Err(SqlError::new(SqlState::UNDEFINED_TABLE, message).position(position));
            }
        }
        if let Some(error) = refused_first {
            return Err(error);
        }
        select.projection.extend(keys);
        Ok(targets)
    }

    /// Whether a relation has rows that are to be locked. Errors: 0A000.
    fn is_lockable(
        &self,
        asked: &Asked<'_>,
        catalog: &Arc<catalog::Catalog>,
        relation: &Relation<'_>,
        lock: Lock,
        is_named: bool,
    ) -> Result<bool, SqlError> {
        let words = lock.words();
        let cannot = |what: &str| Err(SqlError::unsupported(format!("{words} cannot be applied to {what}")));
        if relation.is_nullable {
            return cannot("the nullable side of an outer join");
        }
        let name = match &relation.factor {
            TableFactor::Table { name, args: None, .. } => name,
            TableFactor::Derived { subquery, .. } if !matches!(subquery.body.as_ref(), SetExpr::Values(_)) => return Ok(true),
            TableFactor::Derived { .. } if is_named => return cannot("VALUES"),
            TableFactor::NestedJoin { .. } if is_named => return cannot("a join"),
            _ if is_named => return cannot("a function"),
            _ => return Ok(false),
        };
        let name = Name::of(name, asked.statement.source())?;
        if name.schema.is_none() && asked.ctes.contains(&name.name) {
            return if is_named { cannot("a WITH query") } else { Ok(false) };
        }
        // Of other names the planner tells what is wrong, or they are the system's.
        Ok(matches!(self.scope(catalog).find(&name), Ok(Some(catalog::Relation::Table(_) | catalog::Relation::View(_)))))
    }

    /// Takes LIMIT and OFFSET off: they count rows that are locked. Errors: 0A000 for what is no constant.
    fn take_bounds(&self, query: &mut Query) -> Result<(Option<Simple>, Option<Simple>), SqlError> {
        let (mut limit, mut offset) = match query.limit_clause.take() {
            None => (None, None),
            Some(LimitClause::LimitOffset { limit, offset, .. }) => (limit, offset.map(|Offset { value, .. }: Offset| value)),
            Some(LimitClause::OffsetCommaLimit { .. }) => {
                return Err(SqlError::unsupported("LIMIT with a comma is not supported"));
            }
        };
        if let Some(fetch) = query.fetch.take() {
            if fetch.with_ties || fetch.percent {
                return Err(SqlError::unsupported("FETCH FIRST WITH TIES of locked rows is not supported"));
            }
            limit = Some(fetch.quantity.unwrap_or_else(|| Expr::value(Value::Number("1".into(), false))));
        }
        let dates = self.dates();
        let simple = |expr: Option<Expr>, what: &str| match expr {
            None => Ok(None),
            Some(expr) => match Simple::of(&expr, &dates)? {
                Some(Simple::Constant(types::Datum::Null)) => Ok(None),
                Some(bound @ (Simple::Constant(_) | Simple::Parameter(_))) => Ok(Some(bound)),
                _ => Err(SqlError::unsupported(format!("{what} of locked rows is a constant or a parameter"))),
            },
        };
        Ok((simple(limit.take(), "LIMIT")?, simple(offset.take(), "OFFSET")?))
    }
}

/// A LIMIT for LIMIT and OFFSET together, and some more rows.
fn first_rows(limit: Option<&Simple>, offset: Option<&Simple>) -> Option<Expr> {
    let spare = Expr::value(Value::Number(SPARE_ROWS.to_string(), false));
    let bigint = |bound: &Simple| {
        let value = match bound {
            Simple::Parameter(at) => Value::Placeholder(format!("${}", at + 1)),
            Simple::Constant(value) => Value::Number(types::text::to_string(value.as_ref()), false),
            Simple::Untyped(_) | Simple::Clock(_) => return None,
        };
        let expr = Box::new(Expr::value(value));
        Some(Expr::Cast { kind: ast::CastKind::Cast, expr, data_type: ast::DataType::BigInt(None), array: false, format: None })
    };
    let plus = |left, right| Expr::BinaryOp { left: Box::new(left), op: BinaryOperator::Plus, right: Box::new(right) };
    let rows = plus(bigint(limit?)?, spare);
    match offset {
        None => Some(rows),
        Some(offset) => Some(plus(rows, bigint(offset)?)),
    }
}

fn refused(clauses: &[LockClause], what: &str) -> SqlError {
    let words = clauses.first().map_or("FOR UPDATE", |clause| clause.lock.words());
    SqlError::unsupported(format!("{words} {what}"))
}

/// Errors: queries whose rows are not those of a table, 0A000.
fn check(query: &Query, clauses: &[LockClause]) -> Result<(), SqlError> {
    let select = match query.body.as_ref() {
        SetExpr::Select(select) => select,
        SetExpr::SetOperation { .. } => return Err(refused(clauses, "is not allowed with UNION/INTERSECT/EXCEPT")),
        SetExpr::Values(_) => return Err(refused(clauses, "cannot be applied to VALUES")),
        _ => return Err(refused(clauses, "of a query in parentheses is not supported")),
    };
    if matches!(select.distinct, Some(Distinct::Distinct | Distinct::On(_))) {
        return Err(refused(clauses, "is not allowed with DISTINCT clause"));
    }
    if !matches!(&select.group_by, GroupByExpr::Expressions(exprs, modifiers) if exprs.is_empty() && modifiers.is_empty()) {
        return Err(refused(clauses, "is not allowed with GROUP BY clause"));
    }
    if select.having.is_some() {
        return Err(refused(clauses, "is not allowed with HAVING clause"));
    }
    struct Windows;
    impl Visitor for Windows {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            let is_window = matches!(expr, Expr::Function(function) if function.over.is_some());
            if is_window { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    if select.projection.visit(&mut Windows).is_break() {
        return Err(refused(clauses, "is not allowed with window functions"));
    }
    Ok(())
}

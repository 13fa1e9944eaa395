//! Statements with parts: WITH that writes, and WITH before a statement that does.
//!
//! ```text
//! WITH x AS (DELETE FROM t RETURNING *), y AS (SELECT ..)  INSERT INTO u SELECT * FROM x
//!      part 1: its rows as relation x    part 2: y         main
//! ```
//!
//! 1. Every part runs once, in the order of the text, whether it is read or not.
//! 2. All parts read the tables as they were before the statement; what one gives another are its rows alone. A row is changed by the
//!    first part that does.
//!
//! Not here: WITH of queries that only read (`analytic`). Source: PostgreSQL 15, chapter 7.8.4.

use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;

use analytic::Kept;
use arrow::array::RecordBatch;
use catalog::Table;
use sqlparser::ast::{self, Cte, ObjectName, Query, SetExpr, Visit, Visitor};
use types::{Datum, SqlError, SqlType};

use crate::answer::{Answer, RowBatch, Rows};
use crate::dml::returning::Returned;
use crate::dml::row_bytes;
use crate::evaluate::used;
use crate::parameters;
use crate::parse::{Statement, merge_of_ast, writes};
use crate::prepare::{Kind, OutputColumn, Planned};
use crate::query::{QueryPlan, output_columns};
use crate::reading::LocalRows;
use crate::session::Session;
use crate::watch::Watch;

/// How a statement with parts is run.
pub(crate) struct WithPlan {
    parts: Vec<Part>,
    main: Box<Planned>,
}

/// One query or statement of WITH.
struct Part {
    name: String,
    /// What its rows are to the others; `None` if it gives none.
    relation: Option<Arc<Table>>,
    planned: Planned,
}

impl WithPlan {
    /// The parts by name, and the statement itself.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (Option<&str>, &Planned)> {
        let parts = self.parts.iter().map(|part| (Some(part.name.as_str()), &part.planned));
        std::iter::once((None, self.main.as_ref())).chain(parts)
    }
}

impl Session {
    pub(crate) fn plan_with(
        &mut self,
        statement: &Statement,
        query: &Query,
        declared: &[Option<SqlType>],
    ) -> Result<Planned, SqlError> {
        let mark = self.locals.show([]);
        let planned = self.plan_parts(statement, query, declared);
        self.locals.hide(mark);
        planned
    }

    fn plan_parts(&mut self, statement: &Statement, query: &Query, declared: &[Option<SqlType>]) -> Result<Planned, SqlError> {
        let mut params = declared.to_vec();
        let mut parts: Vec<Part> = Vec::new();
        let mut volatile = false;
        let recursive = query.with.as_ref().is_some_and(|with| with.recursive);
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let name = cte.alias.name.value.clone();
            if parts.iter().any(|part| part.name == name) {
                let message = format!("WITH query name \"{name}\" specified more than once");
                return Err(SqlError::new(types::SqlState::DUPLICATE_ALIAS, message));
            }
            check_reads(&parts, cte.query.as_ref())?;
            let planned = match (writes(&cte.query.body), recursive) {
                (false, true) => self.plan_one(statement, &recursive_query(cte)?, &params)?,
                _ if writes(&cte.query.body) && cte.query.with.is_some() => self.plan_with(statement, &cte.query, &params)?,
                _ => self.plan_one(statement, &cte.query, &params)?,
            };
            parameters::settle(&mut params, &planned.params, cte);
            volatile |= planned.volatile;
            let relation = match &planned.columns {
                None => None,
                Some(columns) => Some(self.locals.define(&name, false, part_columns(columns, cte)?.into_iter())),
            };
            self.locals.show(relation.clone());
            parts.push(Part { name, relation, planned });
        }
        let main = Query { with: None, ..query.clone() };
        check_reads(&parts, &main)?;
        let main = self.plan_one(statement, &main, &params)?;
        parameters::settle(&mut params, &main.params, query);
        Ok(Planned {
            catalog: Arc::clone(&main.catalog),
            planning: Arc::clone(&main.planning),
            params: parameters::settled(params),
            columns: main.columns.clone(),
            volatile: volatile | main.volatile,
            kind: Kind::With(WithPlan { parts, main: Box::new(main) }),
        })
    }

    fn plan_one(&mut self, statement: &Statement, query: &Query, params: &[Option<SqlType>]) -> Result<Planned, SqlError> {
        match query.body.as_ref() {
            SetExpr::Insert(ast::Statement::Insert(insert)) => self.plan_insert(statement, insert, params),
            SetExpr::Update(ast::Statement::Update(update)) => self.plan_update(statement, update, params),
            SetExpr::Delete(ast::Statement::Delete(delete)) => self.plan_delete(statement, delete, params),
            SetExpr::Merge(ast::Statement::Merge(merge)) => self.plan_merge(statement, &merge_of_ast(merge)?, params),
            body if writes(body) => Err(SqlError::unsupported("this form of statement behind WITH is not supported")),
            _ => {
                let (plan, volatile) = self.analytic_plan(Some(statement), query, params)?;
                Ok(Planned {
                    catalog: self.catalog(),
                    planning: Arc::clone(&self.settings.active().planning),
                    params: plan.params().to_vec(),
                    columns: Some(output_columns(&plan)),
                    kind: Kind::Query(QueryPlan::Analytic(plan)),
                    volatile,
                })
            }
        }
    }

    pub(crate) async fn run_with(
        &mut self,
        plan: &WithPlan,
        params: &[Datum],
        watch: &mut Option<Watch>,
    ) -> Result<Answer, SqlError> {
        self.hide_changes();
        for part in &plan.parts {
            let mut room = self.instance.analytic().keep("rows of WITH");
            let rows = self.run_part(&part.planned, params, &mut room).await?;
            if let (Some(relation), Some(rows)) = (&part.relation, rows) {
                let rows = match rows {
                    Returned::Datums(rows) => LocalRows::of_datums(relation, rows.iter().map(Vec::as_slice)),
                    Returned::Batches(batches) => LocalRows::of_batches(relation, &batches)?,
                };
                self.locals.fill(relation, rows, &mut room)?;
            }
            self.locals.keep(room);
        }
        let columns = plan.main.columns.clone().unwrap_or_default();
        match &plan.main.kind {
            // What foreign keys still change is not for it to see.
            Kind::Query(QueryPlan::Analytic(query)) if self.open_transaction()?.owes() => {
                let mut room = self.instance.analytic().keep("rows of WITH");
                let batches = self.collect(query, params, &mut room).await?;
                Ok(Answer::Rows(Rows::batches(columns, "SELECT", batches).with_room(room)))
            }
            Kind::Query(QueryPlan::Analytic(query)) => {
                let stream = query.execute(self.execution(used(query, params), Arc::default())?)?;
                Ok(Answer::Rows(Rows::query(columns, stream, watch.take(), true)))
            }
            Kind::Insert(insert) => Ok(self.run_insert(insert, params).await?.answer()),
            Kind::Modify(modify) => Ok(self.run_modify(modify, params).await?.answer()),
            Kind::Merge(merge) => Ok(self.run_merge(merge, params).await?.answer()),
            _ => Err(SqlError::bug("a statement of this kind behind WITH")),
        }
    }

    fn run_part<'a>(
        &'a mut self,
        planned: &'a Planned,
        params: &'a [Datum],
        room: &'a mut Kept,
    ) -> Pin<Box<dyn Future<Output = Result<Option<Returned>, SqlError>> + Send + 'a>> {
        Box::pin(async move {
            let outcome = match &planned.kind {
                Kind::Query(QueryPlan::Analytic(query)) => {
                    return Ok(Some(Returned::Batches(self.collect(query, params, room).await?)));
                }
                Kind::Insert(insert) => self.run_insert(insert, params).await?,
                Kind::Modify(modify) => self.run_modify(modify, params).await?,
                Kind::Merge(merge) => self.run_merge(merge, params).await?,
                Kind::With(with) => return self.run_nested(with, params, room).await.map(Some),
                _ => return Err(SqlError::bug("a part of this kind in WITH")),
            };
            *room = outcome.room;
            Ok(outcome.returned.map(|(_, returned)| returned))
        })
    }

    /// The rows of a part that has parts itself.
    async fn run_nested(&mut self, plan: &WithPlan, params: &[Datum], room: &mut Kept) -> Result<Returned, SqlError> {
        let Answer::Rows(mut rows) = self.run_with(plan, params, &mut None).await? else {
            return Ok(Returned::Datums(vec![]));
        };
        let mut all: (Vec<Vec<Datum>>, Vec<RecordBatch>) = Default::default();
        while let Some(batch) = rows.next().await? {
            let rows = match batch {
                RowBatch::Datums(rows) => rows,
                RowBatch::Images(rows) => rows.to_datums(),
                RowBatch::Arrow(batch) => {
                    all.1.push(room.batch(&batch)?);
                    continue;
                }
                RowBatch::System(_) => return Err(SqlError::bug("system rows in WITH")),
            };
            room.add(rows.iter().map(|row| row_bytes(row)).sum())?;
            all.0.extend(rows);
        }
        Ok(if all.1.is_empty() { Returned::Datums(all.0) } else { Returned::Batches(all.1) })
    }

    /// Gives every relation of a plan no rows, so that it can be explained.
    pub(crate) fn fill_empty(&mut self, plan: &WithPlan) -> Result<(), SqlError> {
        for relation in plan.parts.iter().filter_map(|part| part.relation.as_ref()) {
            let mut room = self.instance.analytic().keep("rows of WITH");
            self.locals.fill(relation, LocalRows::of_datums(relation, std::iter::empty::<&[Datum]>()), &mut room)?;
        }
        Ok(())
    }
}

/// Names and types of a part's columns. Errors: 42P10 for more names than columns; 0A000 for two of a name.
fn part_columns(columns: &[OutputColumn], cte: &Cte) -> Result<Vec<(String, SqlType)>, SqlError> {
    let given = &cte.alias.columns;
    if given.len() > columns.len() {
        let message = format!(
            "WITH query \"{}\" has {} columns available but {} columns specified",
            cte.alias.name.value,
            columns.len(),
            given.len()
        );
        return Err(SqlError::new(types::SqlState::INVALID_COLUMN_REFERENCE, message));
    }
    let named: Vec<(String, SqlType)> = (columns.iter().enumerate())
        .map(|(at, column)| (given.get(at).map_or_else(|| column.name.clone(), |g| g.name.value.clone()), column.data_type))
        .collect();
    for (at, (name, _)) in named.iter().enumerate() {
        if named[..at].iter().any(|(other, _)| other == name) {
            let message =
                format!("WITH query \"{}\" with two columns \"{name}\" beside a statement that writes", cte.alias.name.value);
            return Err(SqlError::unsupported(format!("{message} is not supported")));
        }
    }
    Ok(named)
}

/// `WITH RECURSIVE x AS (..) SELECT * FROM x`
fn recursive_query(cte: &Cte) -> Result<Query, SqlError> {
    let mut query = crate::parse::parse_query("with recursive x as (select 1) select * from x")?;
    if let Some(with) = &mut query.with {
        with.cte_tables = vec![cte.clone()];
    }
    if let SetExpr::Select(select) = query.body.as_mut()
        && let Some(ast::TableWithJoins { relation: ast::TableFactor::Table { name, .. }, .. }) = select.from.first_mut()
    {
        *name = ObjectName::from(cte.alias.name.clone());
    }
    Ok(*query)
}

/// Errors if a query reads a part that gives nothing.
fn check_reads(parts: &[Part], query: &Query) -> Result<(), SqlError> {
    struct Reads<'a>(&'a [Part]);
    impl Visitor for Reads<'_> {
        type Break = SqlError;

        fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<SqlError> {
            let [part] = relation.0.as_slice() else { return ControlFlow::Continue(()) };
            let name = part.as_ident().map(|ident| ident.value.as_str());
            match self.0.iter().find(|part| Some(part.name.as_str()) == name) {
                Some(Part { name, relation: None, .. }) => {
                    let message = format!("WITH query \"{name}\" does not have a RETURNING clause");
                    ControlFlow::Break(SqlError::unsupported(message))
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    match query.visit(&mut Reads(parts)) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

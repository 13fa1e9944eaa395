//! Statements by primary key, run in the session's thread without a query plan.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use engine::Place;
use env::{BLOCKING_STEPS_MIN, blocking_if};
use point::{Outcome, Program, Verb};
use types::{Datum, SqlError, SqlType, TableId};

use crate::answer::{Answer, Rows, tag};
use crate::dml::{Default, Target, default_of};
use crate::names::Name;
use crate::parse::{Command, Explain, Statement, sql_type};
use crate::prepare::{Kind, OutputColumn, Planned};
use crate::session::Session;

/// A program, and what its errors need to know of the table it writes.
pub(crate) struct PointPlan {
    program: Program,
    target: Option<Target>,
    /// What is run instead if a range has too many rows for a program; made the first time.
    general: OnceLock<Arc<Planned>>,
    /// How often in a row that was so.
    too_many: AtomicU32,
}

/// After so many times a range is not tried any more.
const TOO_MANY_MAX: u32 = 3;

impl Session {
    /// The plan of a statement that has the form of a program; `None` for any other.
    pub(crate) fn plan_point(&mut self, statement: &Statement, params: &[Option<SqlType>]) -> Option<Planned> {
        let catalog = self.catalog();
        let scope = self.scope(&catalog);
        let table = |name: &sqlparser::ast::ObjectName| {
            let name = Name::of(name, statement.source()).ok()?;
            scope.table(&name).ok().cloned()
        };
        let dates = self.dates();
        let default = |column: &catalog::Column| match default_of(&catalog, column, &dates).ok()? {
            Default::Constant(value) => Some(point::ColumnDefault::Value(value)),
            Default::Next(sequence) => Some(point::ColumnDefault::Next(sequence)),
            Default::Simple(_) | Default::Computed(_) => None,
        };
        let data_type = |parsed: &sqlparser::ast::DataType| sql_type(parsed).ok();
        let scope = point::Scope { table: &table, data_type: &data_type, default: &default };
        let program = match statement.command() {
            Command::Query(query) => point::compile_query(query, &scope, params)?,
            Command::Update(update) => point::compile_update(update, &scope, params)?,
            Command::Delete(delete) => point::compile_delete(delete, &scope, params)?,
            Command::Insert(insert) => point::compile_insert(insert, &scope, params)?,
            _ => return None,
        };
        let written = program.table().filter(|_| program.verb != Verb::Select);
        // An error about it comes from the general way.
        let target = written.map(|table| self.target(table)).transpose().ok()?;
        let column =
            |c: &point::Column| match c.source.and_then(|source| Some((source.column, program.relation(source.relation)?))) {
                Some((at, table)) => OutputColumn {
                    name: c.name.clone(),
                    data_type: c.data_type,
                    type_oid: c.data_type.oid(),
                    type_modifier: c.data_type.typmod(),
                    table_oid: table.id.0,
                    attnum: i16::try_from(table.columns[at].id.0).unwrap_or(0),
                },
                None if program.is_aggregate() => OutputColumn::plain(c.name.clone(), c.data_type),
                None => OutputColumn { type_modifier: c.data_type.typmod(), ..OutputColumn::plain(c.name.clone(), c.data_type) },
            };
        let has_rows = program.verb == Verb::Select || !program.columns.is_empty();
        let columns = has_rows.then(|| program.columns.iter().map(column).collect::<Arc<[_]>>());
        Some(Planned {
            planning: Arc::clone(&self.settings.active().planning),
            params: program.params.clone(),
            columns,
            kind: Kind::Point(PointPlan { program, target, general: OnceLock::new(), too_many: AtomicU32::new(0) }),
            volatile: false,
            catalog,
        })
    }

    /// Runs a program; `None`: it is for [`Session::general_plan`].
    pub(crate) fn run_point(
        &mut self,
        planned: &Planned,
        plan: &PointPlan,
        params: &[Datum],
    ) -> Result<Option<Answer>, SqlError> {
        if plan.too_many.load(Ordering::Relaxed) >= TOO_MANY_MAX {
            return Ok(None);
        }
        let writer = plan.target.as_ref().map(|target| target.writer.as_ref());
        let much = self.is_large || plan.program.rows() >= BLOCKING_STEPS_MIN;
        let transaction = self.open_transaction()?;
        let done = blocking_if(much, || plan.program.run(transaction, params, writer));
        let answer = match done? {
            Outcome::TooMany => {
                plan.too_many.fetch_add(1, Ordering::Relaxed);
                return Ok(None);
            }
            Outcome::Rows(rows) => Answer::Rows(Rows::ready(planned.columns.clone().unwrap_or_default(), "SELECT", rows)),
            Outcome::Images(rows) => Answer::Rows(Rows::images(planned.columns.clone().unwrap_or_default(), rows)),
            Outcome::Row(row) => {
                let columns = planned.columns.clone().unwrap_or_default();
                Answer::Rows(Rows::ready(columns, "SELECT", row.into_iter().collect()))
            }
            Outcome::Changed(rows) => Answer::Done(tag(plan.command(), rows)),
            Outcome::Returned(rows) => {
                Answer::Rows(Rows::ready(planned.columns.clone().unwrap_or_default(), plan.command(), rows))
            }
        };
        if plan.is_of_many() {
            plan.too_many.store(0, Ordering::Relaxed);
        }
        Ok(Some(answer))
    }

    /// The plan of a statement whose range has too many rows for a program. Errors: as planning.
    pub(crate) fn general_plan(
        &mut self,
        statement: &Statement,
        planned: &Planned,
        plan: &PointPlan,
    ) -> Result<Arc<Planned>, SqlError> {
        if let Some(general) = plan.general.get() {
            return Ok(Arc::clone(general));
        }
        let params: Vec<Option<SqlType>> = planned.params.iter().copied().map(Some).collect();
        let general = Arc::new(match statement.command() {
            Command::Query(query) if query.locks.is_empty() => self.plan_query(statement, query, &params)?,
            Command::Query(query) => self.plan_locking(statement, query, &params)?,
            Command::Update(update) => self.plan_update(statement, update, &params)?,
            Command::Delete(delete) => self.plan_delete(statement, delete, &params)?,
            _ => return Err(SqlError::bug("a program of many rows that has no other plan")),
        });
        let types = |planned: &Planned| {
            let columns = planned.columns.iter().flat_map(|columns| columns.iter());
            columns.map(|c| (c.name.clone(), c.type_oid)).collect::<Vec<_>>()
        };
        if types(&general) != types(planned) {
            return Err(SqlError::bug("two plans of a statement have other columns"));
        }
        Ok(Arc::clone(plan.general.get_or_init(|| general)))
    }

    /// EXPLAIN's lines; `None`: it was to be run, and is for [`Session::general_plan`].
    pub(crate) fn explain_point(
        &mut self,
        planned: &Planned,
        plan: &PointPlan,
        explain: &Explain,
        params: &[Datum],
    ) -> Result<Option<Vec<String>>, SqlError> {
        let mut lines = vec!["Executor: point".to_owned()];
        lines.extend(plan.program.explain());
        if explain.analyze {
            let inserts = plan.program.verb == Verb::Insert;
            let place = if inserts { Place::Nowhere } else { plan.program.locate(self.open_transaction()?, params)? };
            if self.run_point(planned, plan, params)?.is_none() {
                return Ok(None);
            }
            if plan.program.table().is_some() && !inserts && !plan.is_of_many() {
                lines.push(format!("Rows from delta: {}", u8::from(place == Place::Delta)));
                lines.push(format!("Rows from segments: {}", u8::from(place == Place::Segment)));
            }
        }
        Ok(Some(lines))
    }
}

impl PointPlan {
    /// The table it writes, or locks rows of.
    pub(crate) fn held(&self) -> Option<TableId> {
        let locks = self.program.table().filter(|_| self.program.lock().is_some());
        self.target.as_ref().map(|target| &target.table).or(locks).map(|table| table.id)
    }

    /// Whether it may have more rows to look at than it does.
    pub(crate) fn is_of_many(&self) -> bool {
        self.program.is_of_many()
    }

    fn command(&self) -> &'static str {
        match self.program.verb {
            Verb::Select => "SELECT",
            Verb::Update => "UPDATE",
            Verb::Delete => "DELETE",
            Verb::Insert => "INSERT",
        }
    }
}

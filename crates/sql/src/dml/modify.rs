//! UPDATE and DELETE of whatever rows a query finds.
//!
//! ```text
//! query --> rows --> write each, waiting for who holds it --> all are as the query saw them, or have ended: done
//!             ^                                          |
//!             +-- query anew, of those that have         +-- some have changed (READ COMMITTED): undo, hold every row that was found
//!                 changed, as they are now     <---------+
//! ```
//!
//! 1. Rows that the first query did not find are not written, whatever they are by then.
//! 2. What is looked at anew is the changed rows alone; whatever else the query reads is what the statement's snapshot shows.
//!
//! Source: PostgreSQL 15 `EvalPlanQual`.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use analytic::{AnalyticPlan, DmlSource, Kept};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use engine::Sequences;
use env::{blocking, blocking_if};
use sqlparser::ast::{
    Assignment, Delete, Expr, FromTable, Ident, SelectItem, TableFactor, TableWithJoins, Update, UpdateTableFromKind,
};
use types::text::Session as Dates;
use types::{Datum, Key, Row, SqlError, SqlState, SqlType};

use crate::column::ColumnReader;
use crate::dml::assignments::plan_assignments;
use crate::dml::cell::{Cell, Cells, check_assignable};
use crate::dml::has_many_rows;
use crate::dml::insert::is_untyped_expr;
use crate::dml::outcome::Outcome;
use crate::dml::returning::{Other, Returning, Written};
use crate::dml::row_bytes;
use crate::dml::target::Target;
use crate::dml::write::{Changed, RowChange, Writer};
use crate::names::Name;
use crate::parameters;
use crate::parse::Statement;
use crate::prepare::{Kind, Planned};
use crate::reading::{Before, LocalRows};
use crate::session::Session;

/// How an UPDATE or DELETE is run.
pub(crate) struct ModifyPlan {
    target: Target,
    pub(crate) source: AnalyticPlan,
    /// What UPDATE sets: column, value. `None` for DELETE.
    assignments: Option<Vec<(usize, Cell)>>,
    /// Whether the query may give a row more than once.
    joins: bool,
    returning: Option<Returning>,
    /// Where, among the values of the query, those begin that RETURNING needs of the other relations.
    others_from: usize,
}

impl ModifyPlan {
    pub(crate) fn command(&self) -> &'static str {
        if self.assignments.is_some() { "UPDATE" } else { "DELETE" }
    }

    /// The parameters that are arrays, and the type of their elements.
    pub(crate) fn arrays(&self) -> Vec<(usize, SqlType)> {
        let returning = self.returning.as_ref().and_then(Returning::query);
        std::iter::once(&self.source).chain(returning).flat_map(AnalyticPlan::arrays).copied().collect()
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    pub(crate) fn table_name(&self) -> &str {
        &self.target.table.name
    }
}

/// An UPDATE or DELETE before it is planned.
struct Request<'a> {
    table: &'a TableWithJoins,
    from: Vec<TableWithJoins>,
    selection: Option<Expr>,
    assignments: Option<&'a [Assignment]>,
    returning: Option<&'a [SelectItem]>,
}

impl Session {
    pub(crate) fn plan_update(
        &mut self,
        statement: &Statement,
        update: &Update,
        declared: &[Option<SqlType>],
    ) -> Result<Planned, SqlError> {
        let other = update.output.is_some() || update.or.is_some() || !update.order_by.is_empty() || update.limit.is_some();
        let from = match &update.from {
            None => vec![],
            Some(UpdateTableFromKind::AfterSet(from)) => from.clone(),
            Some(UpdateTableFromKind::BeforeSet(_)) => return Err(SqlError::unsupported("FROM before SET is not supported")),
        };
        if other {
            return Err(SqlError::unsupported("this form of UPDATE is not supported"));
        }
        let request = Request {
            table: &update.table,
            from,
            selection: update.selection.clone(),
            assignments: Some(&update.assignments),
            returning: update.returning.as_deref(),
        };
        self.plan_modify(statement, request, declared)
    }

    pub(crate) fn plan_delete(
        &mut self,
        statement: &Statement,
        delete: &Delete,
        declared: &[Option<SqlType>],
    ) -> Result<Planned, SqlError> {
        let other = !delete.tables.is_empty() || delete.output.is_some() || !delete.order_by.is_empty() || delete.limit.is_some();
        let FromTable::WithFromKeyword(tables) = &delete.from else {
            return Err(SqlError::unsupported("DELETE without FROM is not supported"));
        };
        let ([table], false) = (tables.as_slice(), other) else {
            return Err(SqlError::unsupported("this form of DELETE is not supported"));
        };
        let request = Request {
            table,
            from: delete.using.clone().unwrap_or_default(),
            selection: delete.selection.clone(),
            assignments: None,
            returning: delete.returning.as_deref(),
        };
        self.plan_modify(statement, request, declared)
    }

    fn plan_modify(
        &mut self,
        statement: &Statement,
        request: Request<'_>,
        declared: &[Option<SqlType>],
    ) -> Result<Planned, SqlError> {
        let (table, known) = self.writable_table(statement, request.table)?;
        let catalog = self.catalog();
        let target = self.target(&table)?;
        let dates = self.dates();
        let mut cells = Cells { catalog: &catalog, dates: &dates, params: declared.to_vec(), general: vec![] };
        let assignments = match request.assignments {
            None => None,
            Some(assignments) => Some(plan_assignments(assignments, &table, &mut cells)?),
        };
        let Cells { mut params, general, .. } = cells;
        let written = Written { table: &table, alias: &known, from: &request.from };
        let others = self.returning_others(statement, request.returning, &written, &params)?;
        let source = DmlSource {
            target: table.id,
            alias: known.clone(),
            from: request.from.clone(),
            selection: request.selection,
            on: None,
            values: general.iter().cloned().chain(Other::values(&others)).collect(),
        };
        let (context, system) = self.plan_context(Some(statement))?;
        let analytic = Arc::clone(self.instance.analytic());
        let plan = blocking(|| analytic.plan_dml(&context, &source, &params))?;
        parameters::settle(&mut params, plan.params(), &source.values);
        parameters::settle(&mut params, plan.params(), &source.selection);
        parameters::settle(&mut params, plan.params(), &source.from);
        for (column, cell) in assignments.iter().flatten() {
            if let Cell::Computed(at) = cell
                && let (Some(from), Some(expr)) = (plan.columns().get(at + 1), general.get(*at))
                && !is_untyped_expr(expr)
            {
                check_assignable(from.data_type, &table.columns[*column])?;
            }
        }
        let returning = self.plan_returning(statement, request.returning, &written, &others, &mut params)?;
        let joins = !request.from.is_empty();
        Ok(Planned {
            catalog,
            planning: Arc::clone(&self.settings.active().planning),
            params: parameters::settled(params),
            columns: returning.as_ref().map(|r| Arc::clone(&r.output)),
            kind: Kind::Modify(ModifyPlan { target, source: plan, assignments, joins, returning, others_from: general.len() }),
            volatile: system.was_used(),
        })
    }

    /// The table that a statement writes, and what it calls it. Errors: what is no table, 42P01.
    pub(crate) fn writable_table(
        &mut self,
        statement: &Statement,
        written: &TableWithJoins,
    ) -> Result<(Arc<catalog::Table>, Ident), SqlError> {
        let TableWithJoins { relation: TableFactor::Table { name, alias, args: None, .. }, joins } = written else {
            return Err(SqlError::unsupported("only tables can be written"));
        };
        if !joins.is_empty() || alias.as_ref().is_some_and(|a| !a.columns.is_empty()) {
            return Err(SqlError::unsupported("joins and column aliases of the table to write are not supported"));
        }
        let name = Name::of(name, statement.source())?;
        self.check_no_local(&name)?;
        let catalog = self.catalog();
        let table = Arc::clone(self.scope(&catalog).table(&name)?);
        let known = alias.as_ref().map_or_else(|| Ident::with_quote('"', &name.name), |a| a.name.clone());
        Ok((table, known))
    }

    /// Errors if a name is that of a query in WITH, which cannot be written: 42809.
    pub(crate) fn check_no_local(&self, name: &Name) -> Result<(), SqlError> {
        if name.schema.is_none() && self.locals.has(&name.name) {
            let message = format!("relation \"{}\" cannot be the target of a modifying statement", name.name);
            return Err(name.at(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message)));
        }
        Ok(())
    }

    pub(crate) async fn run_modify(&mut self, plan: &ModifyPlan, params: &[Datum]) -> Result<Outcome, SqlError> {
        if plan.returning.as_ref().is_some_and(Returning::reads_tables) {
            self.hide_changes();
        }
        let dates = self.dates();
        let earlier = self.locals.held.before.clone();
        let mut kept = self.instance.analytic().keep("rows to write");
        let found = self.collect(&plan.source, params, &mut kept).await?;
        // Once every row is held: those that have changed since the snapshot, as they are now.
        let mut newest: Option<BTreeMap<Key, Option<Row>>> = None;
        let mut again = Vec::new();
        loop {
            let before = self.locals.held.before.clone();
            let cancel = Arc::clone(&self.cancel);
            let mut writer = self.writer()?;
            let start = writer.transaction.savepoint();
            let earlier = earlier.as_deref();
            let mut work =
                Work { plan, params, dates: &dates, kept: &mut kept, earlier, changed: false, returned: vec![], rows: 0 };
            let is_as_found = |key: &[u8]| newest.as_ref().is_none_or(|newest| !newest.contains_key(key));
            let done = blocking_if(has_many_rows(&found) || has_many_rows(&again), || {
                work.run(&mut writer, &found, &is_as_found, &cancel)?;
                work.run(&mut writer, &again, &|_| true, &cancel)
            });
            match done {
                // The row it is in conflict with may be one that is not as the query saw it.
                Err(error) if error.state == SqlState::UNIQUE_VIOLATION && work.changed => {}
                done => done?,
            }
            let Work { changed, rows, returned, .. } = work;
            if !changed {
                return self.outcome(plan.command(), rows, plan.returning.as_ref(), returned, params, kept).await;
            }
            if newest.is_some() {
                return Err(SqlError::bug("a row that was held has changed"));
            }
            writer.transaction.rollback_to(&start);
            self.locals.held.before = before;
            // The others of the query are still those of the snapshot.
            self.hide_changes();
            let mut writer = self.writer()?;
            let held = || writer.hold_found(&plan.target.table, &found, &cancel, &mut kept);
            let changed = blocking_if(has_many_rows(&found), held)?;
            let rows: Vec<(&Key, &Row)> = changed.iter().filter_map(|(key, row)| row.as_ref().map(|row| (key, row))).collect();
            let rows = LocalRows::of_stored(&plan.target.layout, rows.into_iter());
            newest = Some(changed);
            self.locals.held.targets.insert(plan.target.table.id, Arc::new(rows));
            let found = self.collect(&plan.source, params, &mut kept).await;
            self.locals.held.targets.clear();
            again = found?;
        }
    }
}

/// One attempt.
struct Work<'a> {
    plan: &'a ModifyPlan,
    params: &'a [Datum],
    dates: &'a Dates,
    /// Room for all that is below.
    kept: &'a mut Kept,
    /// What earlier parts of the statement have written: a row is changed once, by the first.
    earlier: Option<&'a Before>,
    /// A row is not as the query saw it.
    changed: bool,
    returned: Vec<Vec<Datum>>,
    rows: u64,
}

impl Work<'_> {
    /// Changes the rows of the query whose keys are wanted.
    fn run(
        &mut self,
        writer: &mut Writer<'_>,
        batches: &[RecordBatch],
        wanted: &dyn Fn(&[u8]) -> bool,
        cancel: &engine::Cancel,
    ) -> Result<(), SqlError> {
        let plan = self.plan;
        let mut met: HashSet<Vec<u8>> = HashSet::new();
        let sequences = writer.transaction.sequences();
        let types: Vec<SqlType> = plan.source.columns().iter().map(|c| c.data_type).collect();
        for batch in batches {
            if cancel.is_set() {
                return Err(crate::watch::canceled());
            }
            let readers: Vec<ColumnReader<'_>> =
                batch.columns().iter().zip(&types).skip(1).map(|(array, t)| ColumnReader::new(array, *t)).collect();
            for row in 0..batch.num_rows() {
                let Some(key) = key_at(batch.column(0), row)? else { continue };
                let is_early = self.earlier.is_some_and(|earlier| earlier.has(plan.target.table.id, key));
                // A row that the query gives twice is changed once, by either.
                if is_early || !wanted(key) {
                    continue;
                }
                if plan.joins {
                    if !met.insert(key.to_vec()) {
                        continue;
                    }
                    self.kept.add(size_of::<Vec<u8>>() + key.len())?;
                }
                let computed = |at: usize| readers.get(at).map_or(Datum::Null, |r| r.get(row).to_owned());
                self.row(writer, key, &computed, readers.len(), &sequences)?;
            }
        }
        Ok(())
    }

    fn row(
        &mut self,
        writer: &mut Writer<'_>,
        key: &[u8],
        computed: &dyn Fn(usize) -> Datum,
        computed_len: usize,
        sequences: &Sequences,
    ) -> Result<(), SqlError> {
        let (plan, target) = (self.plan, &self.plan.target);
        let mut new = Vec::new();
        for (at, cell) in plan.assignments.iter().flatten() {
            new.push((*at, cell.value(&target.table.columns[*at], self.params, computed, self.dates, sequences)?));
        }
        let change = match plan.assignments {
            None => RowChange::Delete,
            Some(_) => RowChange::Set(&new),
        };
        match writer.change(target, key, &change)? {
            Changed::Stale => self.changed = true,
            Changed::Gone => {}
            Changed::Done(values) => {
                self.rows += 1;
                let others = (plan.others_from..computed_len).map(computed);
                if let Some(returning) = &plan.returning {
                    let values = returning.row(&values, others);
                    self.kept.add(row_bytes(&values))?;
                    self.returned.push(values);
                }
            }
        }
        Ok(())
    }
}

/// A row's key, from the first column of the query; `None` where it has no row.
pub(crate) fn key_at(array: &dyn Array, row: usize) -> Result<Option<&[u8]>, SqlError> {
    if array.is_null(row) {
        return Ok(None);
    }
    match array.data_type() {
        DataType::BinaryView => Ok(Some(array.as_binary_view().value(row))),
        DataType::Binary => Ok(Some(array.as_binary::<i32>().value(row))),
        other => Err(SqlError::bug(format!("keys come as {other}"))),
    }
}

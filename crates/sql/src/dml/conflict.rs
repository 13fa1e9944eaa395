//! ON CONFLICT: what becomes of a row whose key is there already.
//!
//! ```text
//! row --insert--> done
//!        |
//!        +--arbiter's key exists--> DO NOTHING: the next row
//!                                   DO UPDATE:  hold the row in the way (wait, newest version) --> condition and new values, all rows
//!                                                                                                  in one query --> change
//! ```
//!
//! 1. A conflict with a key that is no arbiter's is an error as without ON CONFLICT.
//! 2. A row is inserted or changed once by one statement: 21000 for the second time.
//! 3. READ COMMITTED changes the newest version of the row in the way even if the snapshot does not show it; REPEATABLE READ fails
//!    with 40001 then, also for DO NOTHING.
//!
//! Source: PostgreSQL 15, `ExecOnConflictUpdate` and `infer_arbiter_indexes`.

use std::collections::HashSet;
use std::sync::Arc;

use analytic::{AnalyticPlan, Kept};
use catalog::Table;
use env::{BLOCKING_STEPS_MIN, blocking_if};
use point::second_time;
use point::write::{Arbiters, Inserted, changed_since};
use sqlparser::ast::{Expr, Ident, OnConflict, OnConflictAction, SelectItem};
use types::text::Session as Dates;
use types::{Datum, Key, Row, SqlError, SqlState};

use crate::column::ColumnReader;
use crate::dml::assignments::plan_assignments;
use crate::dml::cell::{Cell, Cells, check_assignable};
use crate::dml::insert::is_untyped_expr;
use crate::dml::returning::{numbered_query, numbered_rows, other_name, quoted};
use crate::dml::target::Target;
use crate::dml::write::{Changed, RowChange};
use crate::locals;
use crate::parameters;
use crate::parse::Statement;
use crate::reading::Before;
use crate::session::Session;

/// How often a row in the way may go while it is waited for.
const ATTEMPTS_MAX: usize = 1000;

/// What ON CONFLICT asks for.
pub(crate) struct Conflict {
    arbiters: Arbiters,
    /// `None`: nothing.
    update: Option<Update>,
}

struct Update {
    assignments: Vec<(usize, Cell)>,
    /// Number, condition, and values that are no simple ones. `None`: there is neither condition nor such a value.
    query: Option<Query>,
}

struct Query {
    plan: AnalyticPlan,
    has_condition: bool,
    /// The rows in the way.
    existing: Arc<Table>,
    /// Those that were to be added.
    excluded: Arc<Table>,
}

impl Conflict {
    /// Whether queries of the statement must be kept from seeing its changes.
    pub(crate) fn reads_tables(&self) -> bool {
        self.query().is_some_and(|plan| plan.relations().iter().any(|id| !locals::is_local(*id)))
    }

    /// What DO UPDATE computes, if it needs a query for it.
    pub(crate) fn query(&self) -> Option<&AnalyticPlan> {
        self.update.as_ref()?.query.as_ref().map(|query| &query.plan)
    }

    /// EXPLAIN's lines.
    pub(crate) fn lines(&self, table: &Table) -> Vec<String> {
        let action = if self.update.is_some() { "UPDATE" } else { "NOTHING" };
        let arbiters = self.arbiters.names(table).join(", ");
        let arbiters = (!arbiters.is_empty()).then(|| format!("Conflict Arbiter Indexes: {arbiters}"));
        std::iter::once(format!("Conflict Resolution: {action}")).chain(arbiters).collect()
    }
}

/// Rows on their way, one statement's.
pub(crate) struct Upserts<'a> {
    conflict: &'a Conflict,
    target: &'a Target,
    /// What earlier parts of the statement have written.
    earlier: Option<Arc<Before>>,
    /// Keys of rows that were added or are to be changed.
    touched: HashSet<Key>,
    /// Number of the row given, row in the way, row given.
    waiting: Vec<(usize, Row, Vec<Datum>)>,
    given: usize,
    /// Rows written, with the number of the row given.
    pub(crate) written: Vec<(usize, Vec<Datum>)>,
}

impl Session {
    /// The beginning of a statement with ON CONFLICT.
    pub(crate) fn upserts<'a>(&self, conflict: &'a Conflict, target: &'a Target) -> Upserts<'a> {
        let earlier = self.locals.held.before.clone();
        Upserts { conflict, target, earlier, touched: HashSet::new(), waiting: vec![], given: 0, written: vec![] }
    }

    pub(crate) fn plan_conflict(
        &mut self,
        statement: &Statement,
        on: &OnConflict,
        table: &Arc<Table>,
        alias: &Ident,
        params: &mut Vec<Option<types::SqlType>>,
    ) -> Result<Conflict, SqlError> {
        let update = match &on.action {
            OnConflictAction::DoNothing => None,
            OnConflictAction::DoUpdate(update) => Some(update),
        };
        let arbiters = self.arbiters(on.conflict_target.as_ref(), table, update.is_some())?;
        let Some(update) = update else { return Ok(Conflict { arbiters, update: None }) };
        let dates = self.dates();
        let catalog = self.catalog();
        let mut cells = Cells { catalog: &catalog, dates: &dates, params: std::mem::take(params), general: vec![] };
        let assignments = plan_assignments(&update.assignments, table, &mut cells)?;
        let Cells { params: known, general, .. } = cells;
        *params = known;
        if general.is_empty() && update.selection.is_none() {
            return Ok(Conflict { arbiters, update: Some(Update { assignments, query: None }) });
        }
        let columns = || table.columns.iter().map(|c| (c.name.clone(), c.data_type));
        let existing = self.locals.define("\u{1}existing", true, columns());
        let excluded = self.locals.define("\u{1}excluded", true, columns());
        let (known_excluded, number) =
            (Ident::new("excluded"), |alias: &Ident| Expr::CompoundIdentifier(vec![alias.clone(), quoted(locals::ROW_NUMBER)]));
        let items = update.selection.iter().chain(&general).cloned().map(SelectItem::UnnamedExpr).collect();
        let relations = [(&existing, alias), (&excluded, &known_excluded)];
        let query = numbered_query(items, &relations, Some(number(alias)))?;
        let mark = self.locals.show([Arc::clone(&existing), Arc::clone(&excluded)]);
        let planned = self.analytic_plan(Some(statement), &query, params);
        self.locals.hide(mark);
        let (plan, _) = planned.map_err(|error| other_name(error, table, alias))?;
        parameters::settle(params, plan.params(), &query);
        let has_condition = update.selection.is_some();
        if has_condition {
            check_condition(&plan)?;
        }
        let first = 1 + usize::from(has_condition);
        for (column, cell) in &assignments {
            if let Cell::Computed(at) = cell
                && let (Some(from), Some(expr)) = (plan.columns().get(first + at), general.get(*at))
                && !is_untyped_expr(expr)
            {
                check_assignable(from.data_type, &table.columns[*column])?;
            }
        }
        let query = Some(Query { plan, has_condition, existing, excluded });
        Ok(Conflict { arbiters, update: Some(Update { assignments, query }) })
    }

    /// Adds one row by its SQL columns, which are of their types; a conflict that is to be resolved is, or waits.
    /// Errors: 23502, 23505, 23514, 21000, 40001, and the engine's.
    pub(crate) fn upsert(&mut self, upserts: &mut Upserts<'_>, values: Vec<Datum>) -> Result<(), SqlError> {
        let (target, arbiters) = (upserts.target, &upserts.conflict.arbiters);
        let number = upserts.given;
        upserts.given += 1;
        let mut writer = self.writer()?;
        for _ in 0..ATTEMPTS_MAX {
            let conflict = match writer.insert_by(target, &values, arbiters)? {
                Inserted::Done(key) => {
                    if upserts.conflict.update.is_some() {
                        upserts.touched.insert(key);
                    }
                    upserts.written.push((number, values));
                    return Ok(());
                }
                Inserted::Conflict(conflict) if !arbiters.has(conflict.index) => {
                    return Err(target.writer.conflict(&conflict, &values));
                }
                Inserted::Conflict(conflict) => conflict,
            };
            if upserts.conflict.update.is_none() {
                return target.writer.see_conflicting(writer.transaction, &conflict);
            }
            // What is not there any more, or has another key now, is not in the way.
            let Some(key) = target.writer.conflicting(writer.transaction, &conflict)? else { continue };
            let is_early = upserts.earlier.as_ref().is_some_and(|earlier| earlier.has(target.table.id, &key));
            if is_early || upserts.touched.contains(&key) {
                return Err(second_time());
            }
            match writer.hold_newest(&target.table, &key)? {
                Some(row) if target.writer.has_key(target.layout.read(&row), &conflict)? => {
                    upserts.touched.insert(key);
                    upserts.waiting.push((number, row, values));
                    return Ok(());
                }
                None if writer.transaction.isolation().keeps_snapshot() => return Err(changed_since()),
                _ => {}
            }
        }
        Err(changed_since())
    }

    /// Changes the rows that were in the way. Errors: 23502, 23505, those of the expressions, and the engine's.
    pub(crate) async fn finish_upserts(
        &mut self,
        mut upserts: Upserts<'_>,
        params: &[Datum],
        dates: &Dates,
        room: &mut Kept,
    ) -> Result<Vec<Vec<Datum>>, SqlError> {
        let target = upserts.target;
        if let (Some(update), false) = (&upserts.conflict.update, upserts.waiting.is_empty()) {
            let waiting = std::mem::take(&mut upserts.waiting);
            let hidden = target.table.hidden();
            let existing: Vec<Vec<Datum>> =
                waiting.iter().map(|(_, row, _)| target.layout.read(row).to_datums().split_off(hidden)).collect();
            let mut results = Vec::new();
            if let Some(query) = &update.query {
                let excluded: Vec<Vec<Datum>> = waiting.iter().map(|(_, _, values)| values.clone()).collect();
                let columns = 0..target.table.columns.len();
                self.locals.fill(&query.existing, numbered_rows(&query.existing, &existing, columns.clone()), room)?;
                self.locals.fill(&query.excluded, numbered_rows(&query.excluded, &excluded, columns), room)?;
                let batches = self.collect(&query.plan, params, room).await;
                self.locals.held.rows.remove(&query.existing.id);
                self.locals.held.rows.remove(&query.excluded.id);
                for batch in batches? {
                    let readers: Vec<ColumnReader<'_>> = (batch.columns().iter().zip(query.plan.columns()))
                        .map(|(array, column)| ColumnReader::new(array, column.data_type))
                        .collect();
                    for row in 0..batch.num_rows() {
                        results.push(readers.iter().map(|reader| reader.get(row).to_owned()).collect::<Vec<Datum>>());
                    }
                }
            }
            let has_condition = update.query.as_ref().is_some_and(|query| query.has_condition);
            let first = 1 + usize::from(has_condition);
            let mut writer = self.writer()?;
            let sequences = writer.transaction.sequences();
            let mut change = |(at, (number, row, _)): (usize, &(usize, Row, Vec<Datum>))| {
                let result = results.get(at).map(Vec::as_slice).unwrap_or_default();
                if has_condition && result.get(1) != Some(&Datum::Bool(true)) {
                    return Ok(());
                }
                let mut new = Vec::with_capacity(update.assignments.len());
                for (column, cell) in &update.assignments {
                    let computed = |at: usize| result.get(first + at).cloned().unwrap_or(Datum::Null);
                    new.push((*column, cell.value(&target.table.columns[*column], params, computed, dates, &sequences)?));
                }
                let key = target.table.key_of(&target.layout.read(row));
                match writer.change(target, &key, &RowChange::Set(&new))? {
                    Changed::Done(values) => upserts.written.push((*number, values)),
                    Changed::Gone | Changed::Stale => return Err(SqlError::bug("a row that was held has changed")),
                }
                Ok(())
            };
            blocking_if(waiting.len() >= BLOCKING_STEPS_MIN, || waiting.iter().enumerate().try_for_each(&mut change))?;
        }
        upserts.written.sort_by_key(|(number, _)| *number);
        Ok(upserts.written.into_iter().map(|(_, values)| values).collect())
    }
}

/// Errors unless the second column of a plan is a condition: 42804.
fn check_condition(plan: &AnalyticPlan) -> Result<(), SqlError> {
    match plan.columns().get(1) {
        Some(column) if column.data_type != types::SqlType::Bool => {
            let message = format!("argument of WHERE must be type boolean, not type {}", column.data_type);
            Err(SqlError::new(SqlState::DATATYPE_MISMATCH, message))
        }
        _ => Ok(()),
    }
}

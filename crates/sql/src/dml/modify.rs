//! UPDATE and DELETE of whatever rows a query finds.
//!
//! ```text
//! query --> rows --> write each, waiting for who holds it --> all are as the query saw them, or have ended: done
//!             ^                                          |
//!             +-- query anew, for these rows alone <-----+ some have changed (READ COMMITTED): undo, lock every row that was found
//! ```
//!
//! 1. Rows that the first query did not find are not written, whatever they are by then.
//! 2. The second query reads at a snapshot of its own. PostgreSQL's `EvalPlanQual` looks again at the changed row alone and keeps to
//!    the statement's snapshot elsewhere; here joined tables and subqueries of the second query are as new as the rows.

use std::collections::HashSet;
use std::sync::Arc;

use analytic::{AnalyticPlan, DmlSource, Kept};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use engine::{Change, Isolation, Modified, Transaction};
use point::write::Fate;
use sqlparser::ast::{
    Assignment, AssignmentTarget, Delete, Expr, FromTable, Ident, SelectItem, TableFactor, TableWithJoins, Update,
    UpdateTableFromKind,
};
use types::text::Session as Dates;
use types::{Datum, Row, SqlError, SqlState, SqlType};

use crate::answer::{Answer, Rows, tag};
use crate::column::ColumnReader;
use crate::dml::cell::{Cell, Cells, check_assignable};
use crate::dml::insert::is_untyped_expr;
use crate::dml::returning::Returning;
use crate::dml::row_bytes;
use crate::dml::target::Target;
use crate::names::Name;
use crate::parse::Statement;
use crate::prepare::{Kind, Planned, Prepared};
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
}

impl ModifyPlan {
    pub(crate) fn command(&self) -> &'static str {
        if self.assignments.is_some() { "UPDATE" } else { "DELETE" }
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
        let TableWithJoins { relation: TableFactor::Table { name, alias, args: None, .. }, joins } = request.table else {
            return Err(SqlError::unsupported("only tables can be written"));
        };
        if !joins.is_empty() || alias.as_ref().is_some_and(|a| !a.columns.is_empty()) {
            return Err(SqlError::unsupported("joins and column aliases of the table to write are not supported"));
        }
        let name = Name::of(name, statement.source())?;
        let catalog = self.catalog();
        let table = Arc::clone(self.scope(&catalog).table(&name)?);
        let target = self.target(&table)?;
        let known = alias.as_ref().map_or_else(|| Ident::with_quote('"', &name.name), |a| a.name.clone());
        let returning = Returning::of(request.returning, &table, Some(&known.value))?;
        let dates = self.dates();
        let mut cells = Cells { dates: &dates, params: declared.to_vec(), general: vec![] };
        let assignments = match request.assignments {
            None => None,
            Some(assignments) => Some(plan_assignments(assignments, &table, &mut cells)?),
        };
        let Cells { params, general, .. } = cells;
        let joins = !request.from.is_empty();
        let source = DmlSource {
            target: table.id,
            alias: known,
            from: request.from,
            selection: request.selection,
            values: general.clone(),
        };
        let (context, system) = self.plan_context(Some(statement));
        let analytic = Arc::clone(self.instance.analytic());
        let source = analytic.plan_dml(&context, &source, &params)?;
        for (column, cell) in assignments.iter().flatten() {
            if let Cell::Computed(at) = cell
                && let (Some(from), Some(expr)) = (source.columns().get(at + 1), general.get(*at))
                && !is_untyped_expr(expr)
            {
                check_assignable(from.data_type, &table.columns[*column])?;
            }
        }
        Ok(Planned {
            catalog,
            planning: Arc::clone(&self.settings.active().planning),
            params: source.params().to_vec(),
            columns: returning.as_ref().map(|r| r.output.clone().into()),
            kind: Kind::Modify(ModifyPlan { target, source, assignments, joins, returning }),
            volatile: system.was_used(),
        })
    }

    pub(crate) async fn run_modify(
        &mut self,
        prepared: &Prepared,
        planned: &Arc<Planned>,
        params: &[Datum],
    ) -> Result<Answer, SqlError> {
        let dates = self.dates();
        let mut planned = Arc::clone(planned);
        // From the second run on: the rows that may be written, which are locked.
        let mut locked: Option<(HashSet<Vec<u8>>, Kept)> = None;
        loop {
            let Kind::Modify(plan) = &planned.kind else { return Err(SqlError::bug("a plan of another kind")) };
            let mut kept = self.instance.analytic().keep("rows to write");
            let batches = self.collect(&plan.source, params, &mut kept).await?;
            let cancel = Arc::clone(&self.cancel);
            let transaction = self.open_transaction()?;
            let start = transaction.savepoint();
            let only = locked.as_ref().map(|(keys, _)| keys);
            let mut work =
                Work { plan, params, dates: &dates, kept, only, changed: false, inserts: vec![], returned: vec![], rows: 0 };
            match work.run(transaction, &batches, &cancel) {
                // The row it is in conflict with may be one that is not as the query saw it.
                Err(error) if error.state == SqlState::UNIQUE_VIOLATION && work.changed => {}
                outcome => outcome?,
            }
            if !work.changed {
                work.insert(transaction)?;
                let Work { rows, returned, kept, .. } = work;
                return Ok(match &plan.returning {
                    None => Answer::Done(tag(plan.command(), rows)),
                    Some(returning) => {
                        let rows = Rows::ready(returning.output.clone().into(), plan.command(), returned);
                        Answer::Rows(rows.with_room(kept))
                    }
                });
            }
            if locked.is_some() {
                return Err(SqlError::bug("a locked row has changed"));
            }
            transaction.rollback_to(&start);
            let mut kept = self.instance.analytic().keep("locked rows");
            let keys = lock(self.open_transaction()?, plan, &batches, &cancel, &mut kept)?;
            locked = Some((keys, kept));
            self.open_transaction()?.begin_statement();
            planned = self.current_plan(prepared)?;
        }
    }
}

/// Locks the rows that a query has found, unless they have ended: their keys.
fn lock(
    transaction: &mut Transaction,
    plan: &ModifyPlan,
    batches: &[RecordBatch],
    cancel: &engine::Cancel,
    kept: &mut Kept,
) -> Result<HashSet<Vec<u8>>, SqlError> {
    let mut keys = HashSet::new();
    for batch in batches {
        if cancel.is_set() {
            return Err(crate::watch::canceled());
        }
        for row in 0..batch.num_rows() {
            let key = key_at(batch.column(0), row)?;
            // A write of the row as it is holds it until the transaction ends.
            let locked = transaction.modify(plan.target.table.id, key, &mut |row| Ok(Change::Put(row.to_row())))?;
            if locked == Modified::Changed && keys.insert(key.to_vec()) {
                kept.add(size_of::<Vec<u8>>() + key.len())?;
            }
        }
    }
    Ok(keys)
}

/// Which columns an UPDATE sets to what. Errors: 42703; 42601 for one that is set twice.
fn plan_assignments(
    assignments: &[Assignment],
    table: &catalog::Table,
    cells: &mut Cells<'_>,
) -> Result<Vec<(usize, Cell)>, SqlError> {
    let mut planned: Vec<(usize, Cell)> = Vec::new();
    let mut set = |name: &sqlparser::ast::ObjectName, expr: &Expr| {
        let [part] = name.0.as_slice() else {
            return Err(SqlError::unsupported(format!("SET of \"{name}\": only whole columns can be set")));
        };
        let name = part.as_ident().map_or("", |ident| ident.value.as_str());
        let at = table.column(name).ok_or_else(|| {
            let message = format!("column \"{name}\" of relation \"{}\" does not exist", table.name);
            SqlError::new(SqlState::UNDEFINED_COLUMN, message)
        })?;
        if planned.iter().any(|(column, _)| *column == at) {
            let message = format!("multiple assignments to same column \"{name}\"");
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
        }
        analytic::refuse_aggregates(expr, "UPDATE")?;
        planned.push((at, cells.cell(expr, &table.columns[at])?));
        Ok(())
    };
    for assignment in assignments {
        match (&assignment.target, &assignment.value) {
            (AssignmentTarget::ColumnName(name), value) => set(name, value)?,
            (AssignmentTarget::Tuple(names), Expr::Tuple(values)) if names.len() == values.len() => {
                names.iter().zip(values).try_for_each(|(name, value)| set(name, value))?;
            }
            (AssignmentTarget::Tuple(_), Expr::Tuple(_)) => {
                let message = "number of columns does not match number of values";
                return Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
            }
            (AssignmentTarget::Tuple(names), value) if names.len() == 1 => {
                names.iter().try_for_each(|name| set(name, value))?;
            }
            (AssignmentTarget::Tuple(_), _) => {
                return Err(SqlError::unsupported("SET (a, b) = (SELECT ...) is not supported yet"));
            }
        }
    }
    Ok(planned)
}

/// One attempt.
struct Work<'a> {
    plan: &'a ModifyPlan,
    params: &'a [Datum],
    dates: &'a Dates,
    /// Room for all that is below, and for the query's result.
    kept: Kept,
    /// If given, no other rows are written.
    only: Option<&'a HashSet<Vec<u8>>>,
    /// A row is not as the query saw it.
    changed: bool,
    /// Rows that get another key: as they were, and their new SQL columns.
    inserts: Vec<(Row, Vec<Datum>)>,
    returned: Vec<Vec<Datum>>,
    rows: u64,
}

impl Work<'_> {
    fn run(&mut self, transaction: &mut Transaction, batches: &[RecordBatch], cancel: &engine::Cancel) -> Result<(), SqlError> {
        let plan = self.plan;
        let mut met: HashSet<Vec<u8>> = HashSet::new();
        let types: Vec<SqlType> = plan.source.columns().iter().map(|c| c.data_type).collect();
        for batch in batches {
            if cancel.is_set() {
                return Err(crate::watch::canceled());
            }
            let readers: Vec<ColumnReader<'_>> =
                batch.columns().iter().zip(&types).skip(1).map(|(array, t)| ColumnReader::new(array, *t)).collect();
            for row in 0..batch.num_rows() {
                let key = key_at(batch.column(0), row)?;
                if self.only.is_some_and(|only| !only.contains(key)) {
                    continue;
                }
                // A row that the query gives twice is changed once, by either.
                if plan.joins {
                    if !met.insert(key.to_vec()) {
                        continue;
                    }
                    self.kept.add(size_of::<Vec<u8>>() + key.len())?;
                }
                let computed = |at: usize| readers.get(at).map_or(Datum::Null, |r| r.get(row).to_owned());
                self.row(transaction, key, &computed)?;
            }
        }
        Ok(())
    }

    fn row(&mut self, transaction: &mut Transaction, key: &[u8], computed: &dyn Fn(usize) -> Datum) -> Result<(), SqlError> {
        let (plan, target) = (self.plan, &self.plan.target);
        let mut new = Vec::new();
        for (at, cell) in plan.assignments.iter().flatten() {
            new.push((*at, cell.value(&target.table.columns[*at], self.params, computed, self.dates)?));
        }
        // REPEATABLE READ: the engine itself refuses a row that has changed.
        let looks = transaction.isolation() == Isolation::ReadCommitted;
        let seen = if looks { transaction.get(target.table.id, key)? } else { None };
        let mut is_changed = false;
        let mut moved = None;
        let mut returned = None;
        let outcome = target.writer.modify_or_move(transaction, key, &mut |row| {
            if looks && seen.as_ref() != Some(&row.to_row()) {
                is_changed = true;
                return Ok(Fate::Here(Change::Keep));
            }
            let mut values = row.to_datums();
            let hidden = target.table.hidden();
            if plan.assignments.is_none() {
                returned = plan.returning.as_ref().map(|r| r.row(&values[hidden..]));
                return Ok(Fate::Here(Change::Delete));
            }
            for (at, value) in &new {
                values[hidden + at].clone_from(value);
            }
            // Before the key, which has no NULL.
            target.writer.check_not_null(&values[hidden..])?;
            returned = plan.returning.as_ref().map(|r| r.row(&values[hidden..]));
            let image = target.layout.encode(&values);
            if *target.table.key_of(&target.layout.read(&image)) == *key {
                return Ok(Fate::Here(Change::Put(image)));
            }
            moved = Some((row.to_row(), values.split_off(hidden)));
            Ok(Fate::Moves)
        })?;
        if is_changed {
            self.changed = true;
        } else if outcome == Modified::Changed {
            self.rows += 1;
            for values in moved.iter().map(|(_, values)| values).chain(&returned) {
                self.kept.add(row_bytes(values))?;
            }
            self.inserts.extend(moved);
            self.returned.extend(returned);
        }
        Ok(())
    }

    /// Adds the rows that got another key, after all the old ones are gone.
    fn insert(&mut self, transaction: &mut Transaction) -> Result<(), SqlError> {
        for (old, values) in &self.inserts {
            self.plan.target.insert_moved(transaction, old, values)?;
        }
        Ok(())
    }
}

/// A row's key, from the first column of the query.
fn key_at(array: &dyn Array, row: usize) -> Result<&[u8], SqlError> {
    match array.data_type() {
        DataType::BinaryView => Ok(array.as_binary_view().value(row)),
        DataType::Binary => Ok(array.as_binary::<i32>().value(row)),
        other => Err(SqlError::bug(format!("keys come as {other}"))),
    }
}

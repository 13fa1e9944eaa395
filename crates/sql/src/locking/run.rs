//! Running a SELECT that locks rows.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use analytic::Kept;
use arrow::array::RecordBatch;
use arrow::compute::interleave_record_batch;
use engine::Locked;
use types::{Datum, Key, Row, RowLayout, SqlError, SqlState, TableId};

use super::{LockingPlan, SPARE_ROWS};
use crate::answer::{Answer, Rows};
use crate::dml::key_at;
use crate::evaluate::{Simple, used};
use crate::prepare::Planned;
use crate::reading::LocalRows;
use crate::session::Session;

/// The keys of one row of the query, one for each table that is locked.
type Tuple = Vec<Key>;

/// A row of the query whose rows are locked.
enum Picked {
    /// It is as the query gave it.
    Same(usize),
    /// Something in it has changed since the snapshot.
    Changed(Tuple),
}

/// Locked rows as they are now, of tuples that have changed.
type Newest = HashMap<TableId, BTreeMap<Key, Row>>;

impl Session {
    pub(crate) async fn run_locking(
        &mut self,
        planned: &Planned,
        plan: &LockingPlan,
        params: &[Datum],
    ) -> Result<Answer, SqlError> {
        let limit = bound(plan.limit.as_ref(), params, "LIMIT", SqlState(*b"2201W"))?;
        let offset = bound(plan.offset.as_ref(), params, "OFFSET", SqlState(*b"2201X"))?.unwrap_or(0);
        let mut work = Work {
            plan,
            params,
            wanted: limit.map(|limit| limit.saturating_add(offset)),
            met: plan.first.as_ref().map(|_| HashSet::new()),
            kept: self.instance.analytic().keep("locked rows"),
            given: Vec::new(),
            rows: 0,
        };
        for source in plan.first.iter().chain([&plan.source]) {
            if work.is_enough() {
                break;
            }
            let mut stream = source.execute(self.execution(used(source, params), Arc::default())?)?;
            let mut came = 0;
            while !work.is_enough()
                && let Some(batch) = stream.next().await
            {
                let batch = batch?;
                came += batch.num_rows() as u64;
                work.batch(self, &batch).await?;
            }
            // The first query has given all there is.
            if work.wanted.is_some_and(|wanted| came < wanted.saturating_add(SPARE_ROWS as u64)) {
                break;
            }
        }
        let mut left = offset;
        let mut given = Vec::new();
        for batch in work.given {
            let rows = batch.num_rows() as u64;
            let skipped = left.min(rows);
            left -= skipped;
            given.push(batch.slice(skipped as usize, (rows - skipped) as usize));
        }
        let columns = planned.columns.clone().unwrap_or_default();
        Ok(Answer::Rows(Rows::batches(columns, "SELECT", given).with_room(work.kept)))
    }

    /// Locks the rows of one row of the query. `None`: one has gone, or is skipped.
    fn lock_tuple(&mut self, plan: &LockingPlan, tuple: &Tuple, newest: &mut Newest) -> Result<Option<bool>, SqlError> {
        let transaction = self.open_transaction()?;
        let looks = !transaction.isolation().keeps_snapshot();
        let mut changed = false;
        let mut rows = Vec::with_capacity(tuple.len());
        for (target, key) in plan.targets.iter().zip(tuple) {
            let seen = if looks { transaction.get(target.table.id, key)? } else { None };
            match transaction.lock_row(target.table.id, key, target.lock.strength, target.lock.on_locked)? {
                Locked::Gone | Locked::Skipped => return Ok(None),
                Locked::Row(row) => {
                    changed |= looks && seen.as_ref() != Some(&row);
                    rows.push(row);
                }
            }
        }
        if changed {
            for ((target, key), row) in plan.targets.iter().zip(tuple).zip(rows) {
                newest.entry(target.table.id).or_default().insert(key.clone(), row);
            }
        }
        Ok(Some(changed))
    }
}

struct Work<'a> {
    plan: &'a LockingPlan,
    params: &'a [Datum],
    /// Rows to lock; None: all.
    wanted: Option<u64>,
    /// What was looked at, if there may be a second query.
    met: Option<HashSet<Tuple>>,
    kept: Kept,
    given: Vec<RecordBatch>,
    rows: u64,
}

impl Work<'_> {
    fn is_enough(&self) -> bool {
        self.wanted.is_some_and(|wanted| self.rows >= wanted)
    }

    async fn batch(&mut self, session: &mut Session, batch: &RecordBatch) -> Result<(), SqlError> {
        let mut next = 0;
        while next < batch.num_rows() && !self.is_enough() {
            let mut picked = Vec::new();
            let mut newest = Newest::default();
            while next < batch.num_rows() && self.wanted.is_none_or(|wanted| self.rows + (picked.len() as u64) < wanted) {
                let tuple = self.tuple(batch, next)?;
                let is_new = self.met.as_mut().is_none_or(|met| met.insert(tuple.clone()));
                if is_new {
                    match session.lock_tuple(self.plan, &tuple, &mut newest)? {
                        None => {}
                        Some(false) => picked.push(Picked::Same(next)),
                        Some(true) => picked.push(Picked::Changed(tuple)),
                    }
                }
                next += 1;
            }
            self.give(session, batch, picked, newest).await?;
        }
        Ok(())
    }

    fn tuple(&self, batch: &RecordBatch, row: usize) -> Result<Tuple, SqlError> {
        let first = batch.num_columns() - self.plan.targets.len();
        (first..batch.num_columns())
            .map(|at| key_at(batch.column(at), row)?.map(Key::from).ok_or_else(|| SqlError::bug("a locked row without a key")))
            .collect()
    }

    /// Adds what was picked of a batch to the result.
    async fn give(
        &mut self,
        session: &mut Session,
        batch: &RecordBatch,
        picked: Vec<Picked>,
        newest: Newest,
    ) -> Result<(), SqlError> {
        let mut anew: Vec<RecordBatch> = Vec::new();
        if !newest.is_empty() {
            for target in &self.plan.targets {
                let Some(rows) = newest.get(&target.table.id) else { continue };
                let layout = RowLayout::new(&target.table.stored_types());
                let rows = LocalRows::of_stored(&layout, rows.iter());
                session.locals.held.targets.insert(target.table.id, Arc::new(rows));
            }
            let found = session.collect(&self.plan.source, self.params, &mut self.kept).await;
            session.locals.held.targets.clear();
            anew = found?;
        }
        let mut places: HashMap<Tuple, Vec<(usize, usize)>> = HashMap::new();
        for (at, batch) in anew.iter().enumerate() {
            for row in 0..batch.num_rows() {
                places.entry(self.tuple(batch, row)?).or_default().push((at + 1, row));
            }
        }
        let mut rows = Vec::with_capacity(picked.len());
        for picked in picked {
            match picked {
                Picked::Same(row) => rows.push((0, row)),
                Picked::Changed(tuple) => rows.extend(places.remove(&tuple).unwrap_or_default()),
            }
        }
        self.rows += rows.len() as u64;
        let batches: Vec<&RecordBatch> = std::iter::once(batch).chain(&anew).collect();
        let failed = |error: arrow::error::ArrowError| SqlError::bug(format!("locked rows: {error}"));
        let given =
            interleave_record_batch(&batches, &rows).and_then(|given| given.project(&self.plan.columns)).map_err(failed)?;
        self.given.push(self.kept.batch(&given)?);
        Ok(())
    }
}

/// The value of LIMIT or OFFSET. Errors: a negative one.
fn bound(bound: Option<&Simple>, params: &[Datum], what: &str, state: SqlState) -> Result<Option<u64>, SqlError> {
    let value = match bound {
        None => return Ok(None),
        Some(Simple::Parameter(at)) => params.get(*at).cloned().unwrap_or(Datum::Null),
        Some(Simple::Constant(value)) => value.clone(),
        Some(Simple::Untyped(_) | Simple::Clock(_)) => return Err(SqlError::bug(format!("{what} is no constant"))),
    };
    let rows = match value {
        Datum::Null => return Ok(None),
        Datum::Int2(rows) => i64::from(rows),
        Datum::Int4(rows) => i64::from(rows),
        Datum::Int8(rows) => rows,
        _ => return Err(SqlError::unsupported(format!("{what} of locked rows is a whole number"))),
    };
    u64::try_from(rows).map(Some).map_err(|_| SqlError::new(state, format!("{what} must not be negative")))
}
